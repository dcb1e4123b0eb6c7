/* SRTP by OpenSSL's EVP, written from RFC 3711 and RFC 7714: a key, an SSRC, no replay window. */
#include "rtpload.h"
#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>

enum { HEADER = 12, TAG_CM = 10, TAG_GCM = 16 };

const char *suite_name(enum suite s)
{
    return s == SUITE_CM80 ? "AES_CM_128_HMAC_SHA1_80" : s == SUITE_GCM ? "AEAD_AES_128_GCM" : "-";
}

bool suite_of(const char *text, enum suite *ret)
{
    static const char *const names[] = {"rtp", "cm80", "gcm", "dtls"};
    for (unsigned i = 0; i < 4; i++) {
        if (strcmp(text, names[i]) == 0) {
            *ret = (enum suite)i;
            return true;
        }
    }
    return false;
}

size_t suite_key_bytes(enum suite s)
{
    return s == SUITE_GCM ? 28 : 30;
}

/* RFC 3711 4.3, with a key derivation rate of 0. */
static void derive(const uint8_t key[16], const uint8_t salt[14], unsigned label, uint8_t *out,
                   size_t n)
{
    uint8_t iv[16] = {0}, zero[64] = {0};
    int len;
    EVP_CIPHER_CTX *c = EVP_CIPHER_CTX_new();
    memcpy(iv, salt, 14);
    iv[7] ^= (uint8_t)label;
    if (c == NULL || EVP_EncryptInit_ex(c, EVP_aes_128_ctr(), NULL, key, iv) != 1 ||
        EVP_EncryptUpdate(c, out, &len, zero, (int)n) != 1)
        abort();
    EVP_CIPHER_CTX_free(c);
}

void crypto_init(struct crypto *c, enum suite suite, const uint8_t *key_salt, bool is_sender)
{
    uint8_t session[16], auth[20], pad[64];
    memset(c, 0, sizeof(*c));
    c->suite = suite;
    if (suite == SUITE_RTP)
        return;
    memcpy(c->key, key_salt, 16);
    memcpy(c->salt, key_salt + 16, suite == SUITE_GCM ? 12 : 14);
    derive(c->key, c->salt, 0, session, 16);
    derive(c->key, c->salt, 1, auth, 20);
    derive(c->key, c->salt, 2, c->session_salt, 14);
    c->cipher = EVP_CIPHER_CTX_new();
    if (c->cipher == NULL ||
        EVP_CipherInit_ex(c->cipher, suite == SUITE_GCM ? EVP_aes_128_gcm() : EVP_aes_128_ctr(),
                          NULL, session, NULL, suite == SUITE_GCM ? is_sender : 1) != 1)
        abort();
    if (suite == SUITE_GCM)
        return;
    for (unsigned outer = 0; outer < 2; outer++) {
        EVP_MD_CTX **md = outer ? &c->outer : &c->inner;
        memset(pad, outer ? 0x5c : 0x36, 64);
        for (unsigned i = 0; i < 20; i++)
            pad[i] ^= auth[i];
        *md = EVP_MD_CTX_new();
        if (*md == NULL || EVP_DigestInit_ex(*md, EVP_sha1(), NULL) != 1 ||
            EVP_DigestUpdate(*md, pad, 64) != 1)
            abort();
    }
    c->work = EVP_MD_CTX_new();
}

void crypto_done(struct crypto *c)
{
    EVP_CIPHER_CTX_free(c->cipher);
    EVP_MD_CTX_free(c->inner);
    EVP_MD_CTX_free(c->outer);
    EVP_MD_CTX_free(c->work);
    memset(c, 0, sizeof(*c));
}

static void iv_of(const struct crypto *c, const uint8_t *p, uint32_t roc, uint8_t iv[16])
{
    uint8_t index[6] = {
        (uint8_t)(roc >> 24), (uint8_t)(roc >> 16), (uint8_t)(roc >> 8), (uint8_t)roc, p[2], p[3]};
    unsigned ssrc_at = c->suite == SUITE_GCM ? 2 : 4, index_at = c->suite == SUITE_GCM ? 6 : 8;
    memset(iv, 0, 16);
    memcpy(iv, c->session_salt, c->suite == SUITE_GCM ? 12 : 14);
    for (unsigned i = 0; i < 4; i++)
        iv[ssrc_at + i] ^= p[8 + i];
    for (unsigned i = 0; i < 6; i++)
        iv[index_at + i] ^= index[i];
}

static void tag_of(const struct crypto *c, const uint8_t *p, size_t n, uint32_t roc,
                   uint8_t tag[20])
{
    uint8_t be[4] = {(uint8_t)(roc >> 24), (uint8_t)(roc >> 16), (uint8_t)(roc >> 8), (uint8_t)roc};
    if (EVP_MD_CTX_copy_ex(c->work, c->inner) != 1 || EVP_DigestUpdate(c->work, p, n) != 1 ||
        EVP_DigestUpdate(c->work, be, 4) != 1 || EVP_DigestFinal_ex(c->work, tag, NULL) != 1 ||
        EVP_MD_CTX_copy_ex(c->work, c->outer) != 1 || EVP_DigestUpdate(c->work, tag, 20) != 1 ||
        EVP_DigestFinal_ex(c->work, tag, NULL) != 1)
        abort();
}

static void xor_stream(struct crypto *c, uint8_t *p, size_t n, const uint8_t *header, uint32_t roc)
{
    uint8_t iv[16];
    int len;
    iv_of(c, header, roc, iv);
    if (EVP_EncryptInit_ex(c->cipher, NULL, NULL, NULL, iv) != 1 ||
        EVP_EncryptUpdate(c->cipher, p, &len, p, (int)n) != 1)
        abort();
}

size_t crypto_seal(struct crypto *c, uint8_t *p, size_t n, uint32_t roc)
{
    uint8_t iv[16], tag[20];
    int len;
    switch (c->suite) {
    case SUITE_CM80:
    case SUITE_DTLS:
        xor_stream(c, p + HEADER, n - HEADER, p, roc);
        tag_of(c, p, n, roc, tag);
        memcpy(p + n, tag, TAG_CM);
        return n + TAG_CM;
    case SUITE_GCM:
        iv_of(c, p, roc, iv);
        if (EVP_EncryptInit_ex(c->cipher, NULL, NULL, NULL, iv) != 1 ||
            EVP_EncryptUpdate(c->cipher, NULL, &len, p, HEADER) != 1 ||
            EVP_EncryptUpdate(c->cipher, p + HEADER, &len, p + HEADER, (int)n - HEADER) != 1 ||
            EVP_EncryptFinal_ex(c->cipher, p + n, &len) != 1 ||
            EVP_CIPHER_CTX_ctrl(c->cipher, EVP_CTRL_AEAD_GET_TAG, TAG_GCM, p + n) != 1)
            abort();
        return n + TAG_GCM;
    default:
        return n;
    }
}

size_t crypto_open(struct crypto *c, uint8_t *p, size_t n, uint32_t roc)
{
    uint8_t iv[16], tag[20];
    int len;
    size_t n_tag = c->suite == SUITE_RTP ? 0 : c->suite == SUITE_GCM ? TAG_GCM : TAG_CM;
    if (n < HEADER + n_tag)
        return 0;
    n -= n_tag;
    switch (c->suite) {
    case SUITE_CM80:
    case SUITE_DTLS:
        tag_of(c, p, n, roc, tag);
        if (CRYPTO_memcmp(tag, p + n, TAG_CM) != 0)
            return 0;
        xor_stream(c, p + HEADER, n - HEADER, p, roc);
        return n;
    case SUITE_GCM:
        iv_of(c, p, roc, iv);
        if (EVP_DecryptInit_ex(c->cipher, NULL, NULL, NULL, iv) != 1 ||
            EVP_CIPHER_CTX_ctrl(c->cipher, EVP_CTRL_AEAD_SET_TAG, TAG_GCM, p + n) != 1 ||
            EVP_DecryptUpdate(c->cipher, NULL, &len, p, HEADER) != 1 ||
            EVP_DecryptUpdate(c->cipher, p + HEADER, &len, p + HEADER, (int)n - HEADER) != 1)
            return 0;
        return EVP_DecryptFinal_ex(c->cipher, p + n, &len) == 1 ? n : 0;
    default:
        return n;
    }
}

/* The ciphers of SRTP, one scheduled key each: AES-CM (RFC 3711 4.1.1, RFC 6188), AES-F8 (RFC
 * 3711 4.1.2), AES-GCM (RFC 7714), NULL. An object belongs to one thread at a time.
 *
 * Contexts are made once for a key and get only a new IV with each packet: in OpenSSL 3 each
 * initialisation with a cipher or a key costs more than the packet. Where ipsec-mb is built in and
 * the processor can, CM and GCM go there: it takes 8 and 26 ns for 160 bytes, OpenSSL 69 and 192.
 */
#include "base/err.h"
#include "base/mem.h"
#include "base/secret.h"
#include "media/srtp_priv.h"
#include <pthread.h>

/* OpenSSL's algorithms, looked up once: EVP_aes_128_ctr() would be looked up under a lock by each
 * new context. */
enum aes_mode { AES_CTR, AES_GCM, AES_CBC, AES_ECB, AES_MODES };
static EVP_CIPHER *aes[AES_MODES][3];
static bool allows_mb = true;

static void aes_fetch(void)
{
    static const char *const names[AES_MODES][3] = {
        [AES_CTR] = {"AES-128-CTR", "AES-192-CTR", "AES-256-CTR"},
        [AES_GCM] = {"AES-128-GCM", "AES-192-GCM", "AES-256-GCM"},
        [AES_CBC] = {"AES-128-CBC", "AES-192-CBC", "AES-256-CBC"},
        [AES_ECB] = {"AES-128-ECB", "AES-192-ECB", "AES-256-ECB"},
    };

    for (size_t i = 0; i < AES_MODES; i++) {
        for (size_t j = 0; j < 3; j++)
            aes[i][j] = EVP_CIPHER_fetch(NULL, names[i][j], NULL);
    }
}

static const EVP_CIPHER *aes_get(enum aes_mode mode, unsigned key_len)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    pthread_once(&once, aes_fetch);
    return aes[mode][key_len / 8 - 2];
}

void msrtp_cipher_allow_mb(bool allow)
{
    allows_mb = allow;
}

/* A context for mode and key: the one that is there with a new key, or a new one. */
static bool evp_set(EVP_CIPHER_CTX **ctx, enum aes_mode mode, bool encrypts, const uint8_t *key,
                    unsigned key_len)
{
    const EVP_CIPHER *cipher = NULL;

    if (*ctx == NULL) {
        cipher = aes_get(mode, key_len);
        *ctx = EVP_CIPHER_CTX_new();
        if (*ctx == NULL || cipher == NULL)
            return false;
    }
    return EVP_CipherInit_ex(*ctx, cipher, NULL, key, NULL, encrypts) == 1 &&
           EVP_CIPHER_CTX_set_padding(*ctx, 0) == 1;
}

/* F8 masks its key for the cipher that makes IV': m = k_s || 0x555..5 (RFC 3711 4.1.2.1). Its chain
 * S(j) = E(IV' XOR j XOR S(j-1)) is CBC over the blocks IV' XOR j with an IV of zeros. */
static bool f8_set(struct msrtp_cipher *c, const uint8_t *key, const uint8_t *salt,
                   unsigned salt_len)
{
    uint8_t masked[KEYING_MASTER_KEY_MAX];
    bool ok;

    for (size_t i = 0; i < c->key_len; i++)
        masked[i] = (uint8_t)(key[i] ^ (i < salt_len ? salt[i] : 0x55));
    ok = evp_set(&c->f8, AES_ECB, true, masked, c->key_len) &&
         evp_set(&c->evp, AES_CBC, true, key, c->key_len);
    secret_wipe(masked, sizeof(masked));
    return ok;
}

size_t msrtp_cipher_room(const struct keying_suite *suite, enum msrtp_room room)
{
    bool has_mb = suite->cipher == KEYING_AES_GCM || suite->cipher == KEYING_AES_CM;

    if (!has_mb || !allows_mb || !msrtp_mb_is_there())
        return 0;
    if (room == SRTP_ROOM_KEY)
        return suite->key_len;
    return msrtp_mb_size(suite->cipher, suite->key_len) +
           (suite->cipher == KEYING_AES_GCM ? SRTP_LINE - 16 : 0);
}

void msrtp_cipher_place(struct msrtp_cipher *c, const struct keying_suite *suite,
                        enum msrtp_room room, void *at)
{
    uintptr_t to = (uintptr_t)at;

    c->is_key = room == SRTP_ROOM_KEY;
    if (!c->is_key && suite->cipher == KEYING_AES_GCM) /* as the library declares it */
        to = (to + SRTP_LINE - 1) & ~(uintptr_t)(SRTP_LINE - 1);
    c->mb = (void *)to;
}

int msrtp_cipher_set(struct msrtp_cipher *c, const struct keying_suite *suite, bool is_sender,
                     const uint8_t *key, const uint8_t *salt)
{
    bool ok = true;

    c->kind = suite->cipher;
    c->key_len = suite->key_len;
    c->is_sender = is_sender;
    if (c->kind == KEYING_NULL)
        return 0;
    if (c->kind == KEYING_AES_F8)
        return f8_set(c, key, salt, suite->salt_len) ? 0 : ERR_CRYPTO;
    if (c->mb != NULL && c->is_key)
        memcpy(c->mb, key, c->key_len);
    else if (c->mb != NULL)
        msrtp_mb_set(c->mb, c->kind, key, c->key_len);
    else
        ok = evp_set(&c->evp, c->kind == KEYING_AES_GCM ? AES_GCM : AES_CTR,
                     c->kind != KEYING_AES_GCM || is_sender, key, c->key_len);
    return ok ? 0 : ERR_CRYPTO;
}

void msrtp_cipher_done(struct msrtp_cipher *c)
{
    if (c->mb != NULL)
        secret_wipe(c->mb, c->is_key ? c->key_len : msrtp_mb_size(c->kind, c->key_len));
    EVP_CIPHER_CTX_free(c->evp); /* OpenSSL wipes the schedules */
    EVP_CIPHER_CTX_free(c->f8);
    *c = (struct msrtp_cipher){.kind = KEYING_NULL};
}

#define F8_BLOCKS 8

static bool f8_xor(struct msrtp_cipher *c, const uint8_t iv[16], uint8_t *p, size_t n)
{
    static const uint8_t zeros[16];
    uint8_t masked_iv[16], blocks[16 * F8_BLOCKS];
    uint32_t j = 0;
    int len = 0;

    if (EVP_EncryptUpdate(c->f8, masked_iv, &len, iv, 16) != 1 || len != 16 ||
        EVP_EncryptInit_ex(c->evp, NULL, NULL, NULL, zeros) != 1)
        return false;
    while (n > 0) {
        size_t part = n < sizeof(blocks) ? n : sizeof(blocks), whole = (part + 15) & ~(size_t)15;

        for (size_t i = 0; i < whole; i += 16) {
            memcpy(blocks + i, masked_iv, 16);
            msrtp_xor32(blocks + i + 12, j++);
        }
        if (EVP_EncryptUpdate(c->evp, blocks, &len, blocks, (int)whole) != 1 || len != (int)whole)
            return false;
        for (size_t i = 0; i < part; i++)
            p[i] ^= blocks[i];
        p += part;
        n -= part;
    }
    return true;
}

/* With a schedule for this packet alone; apart, so that the others do not pay for the room. */
struct made {
    _Alignas(SRTP_LINE) uint8_t bytes[SRTP_MB_MAX];
};

static __attribute__((noinline)) void ctr_by_key(const struct msrtp_cipher *c, const uint8_t iv[16],
                                                 uint8_t *p, size_t n)
{
    NO_AUTO_INIT struct made made;

    msrtp_mb_set(made.bytes, c->kind, c->mb, c->key_len);
    msrtp_mb_ctr(made.bytes, c->key_len, iv, p, n);
    secret_wipe(made.bytes, msrtp_mb_size(c->kind, c->key_len));
}

static __attribute__((noinline)) void gcm_by_key(const struct msrtp_cipher *c, bool seal,
                                                 const uint8_t iv[12], const uint8_t *aad,
                                                 size_t n_aad, uint8_t *p, size_t n,
                                                 uint8_t tag[16])
{
    NO_AUTO_INIT struct made made;

    msrtp_mb_set(made.bytes, c->kind, c->mb, c->key_len);
    msrtp_mb_gcm(made.bytes, c->key_len, seal, iv, aad, n_aad, p, n, tag);
    secret_wipe(made.bytes, msrtp_mb_size(c->kind, c->key_len));
}

static void mb_gcm(const struct msrtp_cipher *c, bool seal, const uint8_t iv[12],
                   const uint8_t *aad, size_t n_aad, uint8_t *p, size_t n, uint8_t tag[16])
{
    if (c->is_key)
        gcm_by_key(c, seal, iv, aad, n_aad, p, n, tag);
    else
        msrtp_mb_gcm(c->mb, c->key_len, seal, iv, aad, n_aad, p, n, tag);
}

bool msrtp_cipher_xor(struct msrtp_cipher *c, const uint8_t iv[16], uint8_t *p, size_t n)
{
    int len = 0;

    if (n == 0 || c->kind == KEYING_NULL)
        return true;
    if (c->mb != NULL) {
        if (c->is_key)
            ctr_by_key(c, iv, p, n);
        else
            msrtp_mb_ctr(c->mb, c->key_len, iv, p, n);
        return true;
    }
    if (c->kind == KEYING_AES_F8)
        return f8_xor(c, iv, p, n);
    return EVP_EncryptInit_ex(c->evp, NULL, NULL, NULL, iv) == 1 &&
           EVP_EncryptUpdate(c->evp, p, &len, p, (int)n) == 1 && len == (int)n;
}

bool msrtp_cipher_seal(struct msrtp_cipher *c, const uint8_t iv[12], const uint8_t *aad,
                       size_t n_aad, uint8_t *p, size_t n, uint8_t tag[16])
{
    int len = 0;

    if (c->mb != NULL) {
        mb_gcm(c, true, iv, aad, n_aad, p, n, tag);
        return true;
    }
    return EVP_EncryptInit_ex(c->evp, NULL, NULL, NULL, iv) == 1 &&
           EVP_EncryptUpdate(c->evp, NULL, &len, aad, (int)n_aad) == 1 &&
           (n == 0 || EVP_EncryptUpdate(c->evp, p, &len, p, (int)n) == 1) &&
           EVP_EncryptFinal_ex(c->evp, p + n, &len) == 1 && len == 0 &&
           EVP_CIPHER_CTX_ctrl(c->evp, EVP_CTRL_AEAD_GET_TAG, 16, tag) == 1;
}

static bool evp_open(struct msrtp_cipher *c, const uint8_t iv[12], const uint8_t *aad, size_t n_aad,
                     uint8_t *p, size_t n, const uint8_t tag[16], bool *ret_ok)
{
    uint8_t expected[16];
    int len = 0;

    memcpy(expected, tag, sizeof(expected));
    if (EVP_DecryptInit_ex(c->evp, NULL, NULL, NULL, iv) != 1 ||
        EVP_DecryptUpdate(c->evp, NULL, &len, aad, (int)n_aad) != 1 ||
        (n > 0 && EVP_DecryptUpdate(c->evp, p, &len, p, (int)n) != 1) ||
        EVP_CIPHER_CTX_ctrl(c->evp, EVP_CTRL_AEAD_SET_TAG, 16, expected) != 1)
        return false;
    *ret_ok = EVP_DecryptFinal_ex(c->evp, p + n, &len) == 1; /* compares in constant time */
    if (*ret_ok || n == 0)
        return true;
    return EVP_DecryptInit_ex(c->evp, NULL, NULL, NULL, iv) == 1 &&
           EVP_DecryptUpdate(c->evp, p, &len, p, (int)n) == 1;
}

/* Where the tag does not fit, decrypting once more gives back what came: the keystream is the same.
 * So another key or another rollover counter can be tried on it, and nothing that was not authentic
 * is left in the open. */
bool msrtp_cipher_open(struct msrtp_cipher *c, const uint8_t iv[12], const uint8_t *aad,
                       size_t n_aad, uint8_t *p, size_t n, const uint8_t tag[16], bool *ret_ok)
{
    uint8_t found[16];

    if (c->mb == NULL)
        return evp_open(c, iv, aad, n_aad, p, n, tag, ret_ok);
    mb_gcm(c, false, iv, aad, n_aad, p, n, found);
    *ret_ok = secret_bytes_eq(found, tag, sizeof(found));
    if (!*ret_ok)
        mb_gcm(c, false, iv, aad, n_aad, p, n, found);
    return true;
}

/* What TLS signs, taken apart, and keys read from files: RFC 8446 4.2.3 and 4.4.3, RFC 8422 5.4,
 * RFC 5246 7.3 and 7.4.8. The first part is pure. */
#include "pki/signing.h"
#include "base/attr.h"
#include "pki/pki_priv.h"
#include <errno.h>
#include <openssl/err.h>
#include <openssl/x509.h>
#include <strings.h>
#include <sys/stat.h>

static const struct pki_sign_scheme schemes[] = {
    {0x0403, "EC", "SHA256", false, "prime256v1"}, {0x0503, "EC", "SHA384", false, "secp384r1"},
    {0x0603, "EC", "SHA512", false, "secp521r1"},  {0x0804, "RSA", "SHA256", true, NULL},
    {0x0805, "RSA", "SHA384", true, NULL},         {0x0806, "RSA", "SHA512", true, NULL},
    {0x0401, "RSA", "SHA256", false, NULL},        {0x0501, "RSA", "SHA384", false, NULL},
    {0x0601, "RSA", "SHA512", false, NULL},        {0x0807, "ED25519", NULL, false, NULL},
};

const struct pki_sign_scheme *pki_sign_scheme(uint16_t code)
{
    for (size_t i = 0; i < ARRAY_LEN(schemes); i++) {
        if (schemes[i].code == code)
            return &schemes[i];
    }
    return NULL;
}

const struct pki_sign_scheme *pki_sign_scheme_find(const char *key_type, const char *digest,
                                                   bool is_pss)
{
    for (size_t i = 0; i < ARRAY_LEN(schemes); i++) {
        const struct pki_sign_scheme *s = &schemes[i];
        bool same = !s->digest || (digest && strcasecmp(s->digest, digest) == 0);

        if (strcmp(s->key_type, key_type) == 0 && same && s->is_pss == is_pss)
            return s;
    }
    return NULL;
}

/* --- what is signed --- */

/* 64 blanks, the context, a zero, the hash of the handshake so far. */
static bool is_tls13(struct str in, struct str context)
{
    size_t n = 64 + context.n + 1;

    if (in.n != n + 32 && in.n != n + 48)
        return false;
    for (size_t i = 0; i < 64; i++) {
        if (in.p[i] != ' ')
            return false;
    }
    return str_eq(str_make(in.p + 64, context.n), context) && in.p[64 + context.n] == '\0';
}

/* Both randoms, and the parameters of a named curve. */
static bool is_tls12_params(struct str in)
{
    static const struct {
        uint16_t curve;
        uint8_t n;
    } points[] = {{23, 65}, {24, 97}, {25, 133}, {29, 32}, {30, 56}};
    const uint8_t *p = (const uint8_t *)in.p + 64;

    if (in.n < 64 + 4 || p[0] != 3)
        return false;
    for (size_t i = 0; i < ARRAY_LEN(points); i++) {
        if (points[i].curve == (p[1] << 8 | p[2]))
            return p[3] == points[i].n && in.n == 64u + 4u + p[3];
    }
    return false;
}

/* The messages before a client's CertificateVerify in their order (RFC 5246 7.3), each whole; but
 * for a server's CertificateStatus (RFC 6066 8) none may be missing. */
static bool is_tls12_transcript(struct str in)
{
    static const uint8_t order[] = {1, 2, 11, 22, 12, 13, 14, 11, 16};
    size_t at = 0;

    for (size_t i = 0; i < ARRAY_LEN(order); i++) {
        const uint8_t *p = (const uint8_t *)in.p + at;
        size_t n;

        if (in.n - at < 4)
            return false;
        if (p[0] != order[i]) {
            if (order[i] == 22)
                continue;
            return false;
        }
        n = (size_t)p[1] << 16 | (size_t)p[2] << 8 | p[3];
        if (in.n - at - 4 < n)
            return false;
        at += 4 + n;
    }
    return at == in.n;
}

int pki_sign_judge(const struct pki_sign_request *r, struct reason *why)
{
    const struct pki_sign_scheme *scheme = pki_sign_scheme(r->scheme);
    bool is_13 = r->kind == PKI_SIGN_TLS13_SERVER || r->kind == PKI_SIGN_TLS13_CLIENT;
    bool is_it = false;

    switch (r->kind) {
    case PKI_SIGN_TLS13_SERVER:
        is_it = is_tls13(r->input, STR("TLS 1.3, server CertificateVerify"));
        break;
    case PKI_SIGN_TLS13_CLIENT:
        is_it = is_tls13(r->input, STR("TLS 1.3, client CertificateVerify"));
        break;
    case PKI_SIGN_TLS12_SERVER:
        is_it = is_tls12_params(r->input);
        break;
    case PKI_SIGN_TLS12_CLIENT:
        is_it = is_tls12_transcript(r->input);
        break;
    }
    if (!is_it) {
        reason_set(why, "tls-sign-input", is_13 ? "RFC 8446 4.4.3" : "RFC 5246 7.4", 0,
                   "nothing that a handshake signs");
        return ERR_SYNTAX;
    }
    if (!scheme || (is_13 && scheme->key_type[0] == 'R' && !scheme->is_pss)) {
        reason_set(why, "tls-sign-scheme", "RFC 8446 4.2.3", 0, "scheme %04x is not for that",
                   r->scheme);
        return ERR_REFUSED;
    }
    return 0;
}

/* --- keys --- */

int pki_key_name(const EVP_PKEY *key, char ret[PKI_KEY_NAME + 1])
{
    uint8_t digest[PKI_KEY_NAME / 2], *der = NULL;
    int n = i2d_PUBKEY(key, &der);
    size_t n_digest;
    bool ok = n > 0 && EVP_Q_digest(NULL, "SHA256", NULL, der, (size_t)n, digest, &n_digest) == 1;

    OPENSSL_free(der);
    ERR_clear_error();
    if (!ok)
        return ERR_CRYPTO;
    str_hex(ret, digest, sizeof(digest));
    return 0;
}

int pki_cert_key_load(const char *file, EVP_PKEY **ret, struct reason *why)
{
    STACK_OF(X509) *certs = sk_X509_new_null();
    int err = certs ? load_certs(file, certs, CHAIN_MAX, why) : ERR_NOMEM;

    *ret = err == 0 ? X509_get_pubkey(sk_X509_value(certs, 0)) : NULL;
    if (err == 0 && !*ret) {
        reason_set(why, "cert-key", "RFC 5280 4.1.2.7", 0, "%s: its key is not understood", file);
        err = ERR_UNSUPPORTED;
    }
    sk_X509_pop_free(certs, X509_free);
    ERR_clear_error();
    return err;
}

bool pki_certs_share_key(const char *a_file, const char *b_file)
{
    EVP_PKEY *a = NULL, *b = NULL;
    bool same = pki_cert_key_load(a_file, &a, NULL) == 0 &&
                pki_cert_key_load(b_file, &b, NULL) == 0 && EVP_PKEY_eq(a, b) == 1;

    EVP_PKEY_free(a);
    EVP_PKEY_free(b);
    ERR_clear_error();
    return same;
}

int pki_private_key_load(const char *file, EVP_PKEY **ret, struct reason *why)
{
    struct stat st;

    *ret = NULL;
    if (stat(file, &st) != 0) {
        reason_set(why, "key-file", NULL, 0, "%s: %s", file, strerror(errno));
        return ERR_IO;
    }
    if (st.st_mode & (S_IROTH | S_IWOTH)) {
        reason_set(why, "key-file", NULL, 0, "%s: anybody can read it; chmod 600 it", file);
        return ERR_REFUSED;
    }
    return load_key(file, ret, why);
}

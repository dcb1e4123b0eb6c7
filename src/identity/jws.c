/* JWS signatures with elliptic curves: RFC 7515 5, RFC 7518 3.4, RFC 8225 4.2 and 6. Each key keeps
 * its OpenSSL context, so that a signature costs little more than its arithmetic. A key belongs to
 * one thread. */
#include "identity/jws.h"
#include "base/mem.h"
#include "identity/identity_priv.h"
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>

static const struct algorithm {
    struct str name;
    const char *curve; /* as OpenSSL names its group */
    const char *digest;
    uint8_t half; /* bytes of R, and of S */
    uint8_t hash; /* bytes */
} algorithms[JWS_ALG_N] = {
    [JWS_ES256] = {{"ES256", 5}, "prime256v1", "SHA2-256", 32, 32},
    [JWS_ES384] = {{"ES384", 5}, "secp384r1", "SHA2-384", 48, 48},
    [JWS_ES512] = {{"ES512", 5}, "secp521r1", "SHA2-512", 66, 64},
};

struct jws_key {
    enum jws_alg alg;
    bool can_sign;
    EVP_PKEY_CTX *ctx; /* started for signing or for verifying */
};

struct str jws_alg_text(enum jws_alg alg)
{
    return algorithms[alg].name;
}

int jws_alg_parse(struct str name, enum jws_alg *ret, struct reason *why)
{
    for (size_t i = 0; i < JWS_ALG_N; i++) {
        if (str_eq(name, algorithms[i].name)) {
            *ret = (enum jws_alg)i;
            return 0;
        }
    }
    /* In any case, for no reader of it may take such a token for a signed one. */
    if (str_eq_nocase(name, STR("none")) || str_starts_nocase(name, STR("HS"))) {
        reason_set(why, "passport-alg-confusion", "RFC 7515 4.1.1", 438,
                   "\"%.*s\" is no signature that a certificate can stand behind",
                   (int)(name.n > 32 ? 32 : name.n), name.p);
        return ERR_REFUSED;
    }
    reason_set(why, "passport-alg-unsupported", "RFC 8225 4.2", 437, "algorithm \"%.*s\"",
               (int)(name.n > 32 ? 32 : name.n), name.p);
    return ERR_UNSUPPORTED;
}

/* --- keys --- */

static int alg_of_key(EVP_PKEY *pkey, enum jws_alg *ret, struct reason *why)
{
    char group[64];
    size_t n = 0;

    if (EVP_PKEY_is_a(pkey, "EC") &&
        EVP_PKEY_get_utf8_string_param(pkey, OSSL_PKEY_PARAM_GROUP_NAME, group, sizeof(group),
                                       &n) == 1) {
        for (size_t i = 0; i < JWS_ALG_N; i++) {
            if (strcmp(group, algorithms[i].curve) == 0) {
                *ret = (enum jws_alg)i;
                return 0;
            }
        }
    }
    reason_set(why, "identity-key-unsupported", "RFC 8225 4.2", 437,
               "the key is not one for ES256, ES384 or ES512");
    return ERR_UNSUPPORTED;
}

int jws_key_new(EVP_PKEY *pkey, bool can_sign, struct jws_key **ret, struct reason *why)
{
    enum jws_alg alg;
    struct jws_key *k;
    int err = alg_of_key(pkey, &alg, why), started;

    *ret = NULL;
    if (err != 0)
        return err;
    k = mem_zalloc(sizeof(*k));
    if (k && !fault_hit())
        k->ctx = EVP_PKEY_CTX_new_from_pkey(NULL, pkey, NULL);
    if (!k || !k->ctx) {
        reason_set(why, "no-memory", NULL, 500, NULL);
        jws_key_free(k);
        return ERR_NOMEM;
    }
    k->alg = alg;
    k->can_sign = can_sign;
    started = can_sign ? EVP_PKEY_sign_init(k->ctx) : EVP_PKEY_verify_init(k->ctx);
    if (started != 1) {
        ERR_clear_error();
        reason_set(why, "identity-key-unusable", NULL, 500, "OpenSSL does not take the key");
        jws_key_free(k);
        return ERR_CRYPTO;
    }
    *ret = k;
    return 0;
}

void jws_key_free(struct jws_key *k)
{
    if (!k)
        return;
    EVP_PKEY_CTX_free(k->ctx);
    mem_free(k);
}

enum jws_alg jws_key_alg(const struct jws_key *k)
{
    return k->alg;
}

/* --- DER: SEQUENCE { INTEGER r, INTEGER s } --- */

static size_t int_from_raw(const uint8_t *raw, size_t half, uint8_t *p)
{
    size_t zeros = 0, n, at = 0;

    while (zeros + 1 < half && raw[zeros] == 0)
        zeros++;
    n = half - zeros;
    p[at++] = 0x02;
    if (raw[zeros] & 0x80) {
        p[at++] = (uint8_t)(n + 1);
        p[at++] = 0;
    } else {
        p[at++] = (uint8_t)n;
    }
    memcpy(p + at, raw + zeros, n);
    return at + n;
}

int jws_der_from_raw(const uint8_t *raw, size_t half, uint8_t ret[JWS_DER_MAX], size_t *ret_len)
{
    uint8_t body[JWS_DER_MAX];
    size_t n, at = 0;

    if (half == 0 || half > JWS_SIGNATURE_MAX / 2)
        return ERR_INVALID;
    n = int_from_raw(raw, half, body);
    n += int_from_raw(raw + half, half, body + n);
    ret[at++] = 0x30;
    if (n >= 0x80)
        ret[at++] = 0x81;
    ret[at++] = (uint8_t)n;
    memcpy(ret + at, body, n);
    *ret_len = at + n;
    return 0;
}

static bool int_to_raw(const uint8_t *der, size_t n, size_t *at, size_t half, uint8_t *raw)
{
    const uint8_t *p = der + *at;
    size_t left = n - *at, len;

    if (left < 3 || p[0] != 0x02 || p[1] >= 0x80 || p[1] == 0 || p[1] > left - 2)
        return false;
    len = p[1];
    *at += 2 + len;
    p += 2;
    if ((p[0] & 0x80) || (len > 1 && p[0] == 0 && !(p[1] & 0x80)))
        return false; /* negative, or longer than it needs to be */
    if (p[0] == 0 && len > 1) {
        p++;
        len--;
    }
    if (len > half)
        return false;
    memset(raw, 0, half - len);
    memcpy(raw + half - len, p, len);
    return true;
}

int jws_raw_from_der(const uint8_t *der, size_t n, size_t half, uint8_t ret[JWS_SIGNATURE_MAX])
{
    size_t at = 2;

    if (half == 0 || half > JWS_SIGNATURE_MAX / 2)
        return ERR_INVALID;
    if (n < 3 || der[0] != 0x30)
        return ERR_SYNTAX;
    if (der[1] == 0x81) {
        if (der[2] < 0x80 || der[2] != n - 3)
            return ERR_SYNTAX;
        at = 3;
    } else if (der[1] >= 0x80 || der[1] != n - 2) {
        return ERR_SYNTAX;
    }
    if (!int_to_raw(der, n, &at, half, ret) || !int_to_raw(der, n, &at, half, ret + half) ||
        at != n)
        return ERR_SYNTAX;
    return 0;
}

/* --- signing and verifying --- */

static int digest_make(const struct algorithm *alg, struct str input, uint8_t ret[64])
{
    if (alg == &algorithms[JWS_ES256]) {
        NO_AUTO_INIT struct hash h;

        hash_start(&h, DIGEST_SHA256);
        hash_add(&h, input);
        return hash_finish(&h, ret);
    }
    if (fault_hit())
        return ERR_NOMEM;
    return EVP_Q_digest(NULL, alg->digest, NULL, input.p, input.n, ret, NULL) == 1 ? 0 : ERR_CRYPTO;
}

int jws_sign(struct jws_key *k, struct str input, char ret[JWS_SIGNATURE_TEXT_MAX])
{
    const struct algorithm *alg = &algorithms[k->alg];
    uint8_t digest[64], der[JWS_DER_MAX + 8], raw[JWS_SIGNATURE_MAX];
    size_t n = sizeof(der);
    int err;

    if (!k->can_sign)
        return ERR_INVALID;
    if ((err = digest_make(alg, input, digest)) != 0)
        return err;
    if (fault_hit())
        return ERR_NOMEM;
    if (EVP_PKEY_sign(k->ctx, der, &n, digest, alg->hash) != 1) {
        ERR_clear_error();
        return ERR_CRYPTO;
    }
    if (jws_raw_from_der(der, n, alg->half, raw) != 0)
        return ERR_CRYPTO;
    return str_base64_encode(ret, JWS_SIGNATURE_TEXT_MAX, raw, 2u * alg->half, true);
}

int jws_verify(struct jws_key *k, enum jws_alg name, struct str input, struct str signature,
               struct reason *why)
{
    const struct algorithm *alg = &algorithms[k->alg];
    uint8_t digest[64], raw[JWS_SIGNATURE_MAX], der[JWS_DER_MAX];
    size_t n_raw = 0, n_der;
    int err;

    if (k->can_sign)
        return ERR_INVALID;
    if (k->alg != name) {
        reason_set(why, "passport-alg-confusion", "RFC 8725 3.1", 438,
                   "the token says %.*s, the certificate's key is for %.*s",
                   STR_FMT(algorithms[name].name), STR_FMT(alg->name));
        return ERR_CONFLICT;
    }
    if (str_base64_decode(raw, sizeof(raw), signature, true, &n_raw) != 0 ||
        n_raw != 2u * alg->half) {
        reason_set(why, "passport-signature-form", "RFC 7518 3.4", 438,
                   "the signature is not %u bytes of base64url", 2u * alg->half);
        return ERR_SYNTAX;
    }
    if ((err = digest_make(alg, input, digest)) != 0 ||
        (err = jws_der_from_raw(raw, alg->half, der, &n_der)) != 0)
        return err;
    if (fault_hit())
        return ERR_NOMEM;
    if (EVP_PKEY_verify(k->ctx, der, n_der, digest, alg->hash) == 1)
        return 0;
    ERR_clear_error();
    reason_set(why, "identity-signature", "RFC 8224 6.2 step 5", 438,
               "the signature is not over these claims, or not by this certificate");
    return ERR_REFUSED;
}

/* A key that signs whole requests with SHA-1: RFC 4474 5, 9, as its holder sees it. */
#include "base/mem.h"
#include "keeper/keeper_priv.h"
#include <openssl/evp.h>

static int sign(struct keeper_rfc4474 *k, struct str input, char ret[RFC4474_SIGNATURE_TEXT_MAX])
{
    static const struct pki_sign_scheme scheme = {.key_type = "RSA", .digest = "SHA1"};
    uint8_t hash[RFC4474_HASH], signature[PKI_SIGNATURE_MAX];
    size_t n = 0;
    int err;

    if (!k->token)
        return rfc4474_sign(k->file_key, input, ret);
    if ((err = rfc4474_hash(input, hash)) != 0 ||
        (err = token_key_sign_rsa(k->token, &scheme, hash, sizeof(hash), signature, &n)) != 0)
        return err;
    return str_base64_encode(ret, RFC4474_SIGNATURE_TEXT_MAX, signature, n, false);
}

/* One that does not fit its certificate is found now. What is signed for that is no digest-string.
 */
static int try_key(struct keeper_rfc4474 *k, struct reason *why)
{
    char signature[RFC4474_SIGNATURE_TEXT_MAX];
    struct reason inner;
    int err = sign(k, STR("."), signature);

    if (err == 0)
        err = rfc4474_verify(k->cred.rsa, STR("."), str_z(signature), &inner);
    if (err != 0)
        reason_set(why, "keeper-key", NULL, 0,
                   "rfc4474-key does not sign what the certificate verifies");
    return err;
}

static int load_private(struct keeper_rfc4474 *k, const char *key, struct reason *why)
{
    EVP_PKEY *pkey;
    int err;

    if (token_uri_is(key))
        return token_key_open(key, TOKEN_RSA, &k->token, why);
    if ((err = pki_chain_key_load(k->chain, key, &pkey, why)) != 0)
        return err;
    err = rfc4474_key_new(pkey, true, &k->file_key, why);
    EVP_PKEY_free(pkey);
    return err;
}

int keeper_rfc4474_load(struct keeper_rfc4474 *k, struct arena *a,
                        const struct keeper_key_args *args, struct reason *why)
{
    int err;

    if (!args->rfc4474_cert_file)
        return 0;
    k->min_bits = args->rfc4474_min_bits ? args->rfc4474_min_bits : RFC4474_RSA_BITS;
    if ((err = pki_chain_load(args->rfc4474_cert_file, &k->chain, why)) != 0 ||
        (err = identity_credential_make(a, k->chain, &k->cred, why)) != 0)
        return err;
    if (!k->cred.rsa || rfc4474_key_bits(k->cred.rsa) < k->min_bits) {
        reason_set(why, "rfc4474-key-unsupported", "RFC 4474 9", 0,
                   "rfc4474-certificate is not one of an RSA key of %u to %u bits", k->min_bits,
                   RFC4474_RSA_BITS_MAX);
        return ERR_UNSUPPORTED;
    }
    if ((err = load_private(k, args->rfc4474_key ? args->rfc4474_key : "", why)) != 0)
        return err;
    return try_key(k, why);
}

void keeper_rfc4474_done(struct keeper_rfc4474 *k)
{
    identity_credential_done(&k->cred);
    rfc4474_key_free(k->file_key);
    token_key_close(k->token);
    pki_chain_unref(k->chain);
}

int keeper_rfc4474_sign(struct keeper_rfc4474 *k, struct arena *a, struct str input, uint64_t now_s,
                        struct rfc4474_parts *ret_p, char signature[RFC4474_SIGNATURE_TEXT_MAX],
                        struct reason *why)
{
    struct identity_policy policy = identity_policy_default(now_s);
    int err = rfc4474_parse(input, ret_p, why);

    policy.rsa_min_bits = k->min_bits;
    if (err == 0)
        err = identity_sign_judge_rfc4474(a, ret_p, &k->cred, &policy, why);
    if (err == 0 && (err = sign(k, input, signature)) != 0)
        reason_set(why, "sign-failed", NULL, 500, "%s", err_text(err));
    return err;
}

/* Kinds and sizes of public keys (key_cost.h). Pure; any thread. */
#include "pki/key_cost.h"
#include "base/limits.h"
#include "base/str.h"
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>

static bool is_fair_rsa(const EVP_PKEY *key, unsigned bits_min)
{
    int bits = EVP_PKEY_get_bits(key);
    BIGNUM *e = NULL;
    bool is_short = EVP_PKEY_get_bn_param(key, OSSL_PKEY_PARAM_RSA_E, &e) == 1 &&
                    BN_num_bits(e) <= (int)LIMIT_RSA_EXPONENT_BITS;

    BN_free(e);
    return is_short && bits >= (int)bits_min && bits <= (int)LIMIT_RSA_BITS;
}

static bool is_fair_group(const EVP_PKEY *key)
{
    static const char *const names[] = {"prime256v1", "secp384r1", "secp521r1"};
    char name[64];

    if (EVP_PKEY_get_group_name(key, name, sizeof(name), NULL) != 1)
        return false;
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        if (strcmp(name, names[i]) == 0)
            return true;
    return false;
}

bool pki_key_is_fair(const EVP_PKEY *key, unsigned rsa_bits_min)
{
    bool fair;

    if (EVP_PKEY_is_a(key, "RSA") || EVP_PKEY_is_a(key, "RSA-PSS"))
        fair = is_fair_rsa(key, rsa_bits_min);
    else if (EVP_PKEY_is_a(key, "EC"))
        fair = is_fair_group(key);
    else
        fair = EVP_PKEY_is_a(key, "ED25519") || EVP_PKEY_is_a(key, "ED448");
    ERR_clear_error();
    return fair;
}

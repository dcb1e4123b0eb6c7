/* RSA keys of any numbers of given lengths: nobody signs with them, and to find primes for real
 * ones takes seconds. For tests of what keys of others may cost. */
#ifndef TESTS_ODD_RSA_H
#define TESTS_ODD_RSA_H

#include "check.h"
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>

/* The caller frees it. */
static inline EVP_PKEY *odd_rsa(int n_bits, int e_bits)
{
    BIGNUM *n = BN_new(), *e = BN_new();
    OSSL_PARAM_BLD *b = OSSL_PARAM_BLD_new();
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "RSA", NULL);
    EVP_PKEY *k = NULL;
    OSSL_PARAM *params;

    assert_true(n && e && b && ctx && BN_set_bit(n, n_bits - 1) && BN_set_bit(n, 0) &&
                BN_set_bit(e, e_bits - 1) && BN_set_bit(e, 0));
    assert_true(OSSL_PARAM_BLD_push_BN(b, "n", n) && OSSL_PARAM_BLD_push_BN(b, "e", e));
    params = OSSL_PARAM_BLD_to_param(b);
    assert_true(EVP_PKEY_fromdata_init(ctx) == 1 &&
                EVP_PKEY_fromdata(ctx, &k, EVP_PKEY_PUBLIC_KEY, params) == 1);
    OSSL_PARAM_free(params);
    OSSL_PARAM_BLD_free(b);
    EVP_PKEY_CTX_free(ctx);
    BN_free(n);
    BN_free(e);
    return k;
}

#endif

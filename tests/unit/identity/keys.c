/* Keys for tests of signatures. */
#include "keys.h"
#include "check.h"
#include <openssl/ec.h>
#include <openssl/pem.h>

static EVP_PKEY *read_pem(const char *pem, bool is_private)
{
    BIO *b = BIO_new_mem_buf(pem, -1);
    EVP_PKEY *k = is_private ? PEM_read_bio_PrivateKey(b, NULL, NULL, NULL)
                             : PEM_read_bio_PUBKEY(b, NULL, NULL, NULL);

    BIO_free(b);
    assert_non_null(k);
    return k;
}

EVP_PKEY *key_public(const char *pem)
{
    return read_pem(pem, false);
}

EVP_PKEY *key_private(const char *pem)
{
    return read_pem(pem, true);
}

EVP_PKEY *key_make(const char *curve)
{
    EVP_PKEY *k = EVP_EC_gen(curve);

    assert_non_null(k);
    return k;
}

struct jws_key *key_signer(EVP_PKEY *pkey)
{
    struct jws_key *k;

    check_err(jws_key_new(pkey, true, &k, NULL), 0);
    return k;
}

struct jws_key *key_verifier(EVP_PKEY *pkey)
{
    struct jws_key *k;

    check_err(jws_key_new(pkey, false, &k, NULL), 0);
    return k;
}

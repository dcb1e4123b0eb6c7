/* Keys for tests of signatures. */
#ifndef TESTS_UNIT_IDENTITY_KEYS_H
#define TESTS_UNIT_IDENTITY_KEYS_H

#include "identity/jws.h"
#include <openssl/evp.h>

EVP_PKEY *key_public(const char *pem);
EVP_PKEY *key_private(const char *pem);
EVP_PKEY *key_make(const char *curve); /* "P-256" ...: a new key */
/* Ready ones; the caller frees. */
struct jws_key *key_signer(EVP_PKEY *pkey);
struct jws_key *key_verifier(EVP_PKEY *pkey);

#endif

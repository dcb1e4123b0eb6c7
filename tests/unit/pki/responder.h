/* An OCSP responder in memory: answers made with OpenSSL, good and bad ones (RFC 6960 4.2). */
#ifndef TESTS_UNIT_PKI_RESPONDER_H
#define TESTS_UNIT_PKI_RESPONDER_H

#include <openssl/ocsp.h>
#include <openssl/x509.h>
#include <stdbool.h>

struct answer_args {
    X509 *cert, *issuer; /* what it is about */
    X509 *signer;        /* who signs, and with which key */
    EVP_PKEY *key;
    bool with_signer;      /* the signer's certificate is in the answer */
    int status, cause;     /* V_OCSP_CERTSTATUS_..., OCSP_REVOKED_STATUS_... */
    long from_s, until_s;  /* from now; until_s 0: no nextUpdate */
    const EVP_MD *hash; /* of the signature; NULL: SHA-256 */
    const EVP_MD *id_hash; /* NULL: SHA-1 */
};
X509 *read_cert(const char *file);
EVP_PKEY *read_key(const char *file);
/* DER for OPENSSL_free. */
unsigned char *answer_make(const struct answer_args *a, size_t *ret_n);

#endif

/* What the files of pki share: reading PEM files with causes, the data behind a context and behind
 * a connection. */
#ifndef PKI_PKI_PRIV_H
#define PKI_PKI_PRIV_H

#include "pki/names.h"
#include <openssl/ssl.h>

/* --- load.c --- */

#define CHAIN_MAX 8 /* certificates in one file of ours, and in a chain */

struct identity {
    char *domain; /* lower case, may be empty */
    char *file;
    X509 *cert;
    STACK_OF(X509) * chain; /* intermediates, never NULL */
    EVP_PKEY *key;
    int64_t not_after; /* the soonest of leaf and intermediates */
    struct arena *arena;
    struct str *names; /* in the arena */
    size_t n_names;
};

MUST_USE int load_identity(struct identity *ret, struct str domain, const char *cert_pem,
                           const char *key_pem, bool is_server, struct reason *reason);
void identity_done(struct identity *i);
/* Adds the certificates of a file to the store as anchors, and their names to ret_names (may be
 * NULL). */
MUST_USE int load_anchors(X509_STORE *store, const char *file, STACK_OF(X509_NAME) * ret_names,
                          struct reason *reason);
/* Adds the CRLs of a file and switches revocation checks on for whole chains. */
MUST_USE int load_crls(X509_STORE *store, const char *file, struct reason *reason);
/* Seconds since 1970; ERR_SYNTAX. */
MUST_USE int asn1_time_s(const ASN1_TIME *t, int64_t *ret);

/* --- tnauth.c --- */

/* The value of the extension with this object identifier (its DER contents). ERR_NOTFOUND;
 * ERR_SYNTAX: there is more than one. */
MUST_USE int cert_extension(const X509 *cert, const uint8_t *oid, size_t n_oid, const uint8_t **ret,
                            size_t *ret_n);

/* --- verify.c --- */

/* Behind an SSL object; made with the first thing that has to be remembered. */
struct conn {
    char *expected; /* client: the domain that the certificate must name */
    struct reason *refused;
};

/* Behind an SSL_CTX, so that it lives as long as the last connection made from it. */
struct context {
    bool is_server;
    bool insecure_no_verify;
    struct identity *identities;
    size_t n_identities;
};

MUST_USE int ex_data_init(void);
struct context *context_of(const SSL_CTX *ctx);
MUST_USE int context_attach(SSL_CTX *ctx, struct context *c); /* c is freed with ctx */
MUST_USE int conn_set_expected(SSL *ssl, struct str name);
/* May a certificate be used by a SIP server, or by a client? (extended key usage) */
bool cert_use_is_allowed(X509 *cert, bool by_client);
bool cert_can_sign(X509 *cert); /* key usage: ECDHE and TLS 1.3 always sign */
/* For SSL_CTX_set_cert_verify_callback. */
int verify_peer(X509_STORE_CTX *store, void *arg);

#endif

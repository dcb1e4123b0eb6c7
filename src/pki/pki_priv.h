/* What the files of pki share: reading PEM files with causes, the data behind a context and behind
 * a connection. */
#ifndef PKI_PKI_PRIV_H
#define PKI_PKI_PRIV_H

#include "pki/chain.h"
#include "pki/der.h"
#include "pki/names.h"
#include "pki/statuses.h"
#include "pki/tls.h"
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
    struct pki_cert_id id; /* for what is stapled; only if the file has the issuer */
    struct arena *arena;
    struct str *names; /* in the arena */
    size_t n_names;
};

/* key_pem NULL: a key object that asks for signatures (signing.h). */
MUST_USE int load_identity(struct identity *ret, struct str domain, const char *cert_pem,
                           const char *key_pem, bool is_server, struct reason *reason);
void identity_done(struct identity *i);
MUST_USE int load_key(const char *file, EVP_PKEY **ret, struct reason *reason);
/* Adds the certificates of a file to the store as anchors, and their names to ret_names (may be
 * NULL). ret_not_after: the soonest end among those in force. */
MUST_USE int load_anchors(X509_STORE *store, const char *file, STACK_OF(X509_NAME) * ret_names,
                          int64_t *ret_not_after, struct reason *reason);
/* Adds the CRLs of a file (PEM, or one in DER) and switches revocation checks on for whole chains.
 * One that has expired is taken, too: what it lists is revoked, and that it has expired is told when
 * it matters. ret_not_after: the soonest nextUpdate. */
MUST_USE int load_crls(X509_STORE *store, const char *file, int64_t *ret_not_after,
                       struct reason *reason);
/* Up to max certificates of a PEM file, at least one. */
MUST_USE int load_certs(const char *file, STACK_OF(X509) * ret, size_t max, struct reason *reason);
/* Seconds since 1970; ERR_SYNTAX. */
MUST_USE int asn1_time_s(const ASN1_TIME *t, int64_t *ret);
void time_text(int64_t t, char dst[32]); /* "2026-01-31 12:00:00 UTC" */

/* --- mint.c --- */

MUST_USE int mint_write_key(const char *file, EVP_PKEY *key, struct reason *reason);
/* A file that is written beside and renamed: a reader sees the old or the new one, never half. */
BIO *mint_out_open(const char *file, mode_t mode, char *tmp, size_t cap, struct reason *reason);
MUST_USE int mint_out_close(BIO *bio, bool ok, const char *tmp, const char *file,
                            struct reason *reason);

/* --- chain.c --- */

/* The chain of who has signed an S/MIME body, of the certificates that came with it: `leaf` is one of
 * them. As pki_chain_new; e-mail addresses are names, too, and emailProtection is a use (RFC 8550 3,
 * 4.4.4). */
MUST_USE int chain_of_signer(X509 *leaf, const STACK_OF(X509) * certs,
                             const struct pki_anchors *anchors, uint64_t now_s,
                             struct pki_chain **ret, struct reason *why);

/* --- cms_shape.c --- */

/* A SignedData within the limits, of one signer, which OpenSSL can read? ERR_SYNTAX, ERR_LIMIT,
 * ERR_UNSUPPORTED: another kind. */
MUST_USE int cms_shape_check(struct str cms, struct reason *why);

/* --- tnauth.c --- */

/* The value of the extension with this object identifier (its DER contents). ERR_NOTFOUND;
 * ERR_SYNTAX: there is more than one. */
MUST_USE int cert_extension(const X509 *cert, const uint8_t *oid, size_t n_oid, const uint8_t **ret,
                            size_t *ret_n);

/* --- revoke.c --- */

#define CHAIN_DEPTH_MAX (CHAIN_MAX + 4)

/* What the CRLs of a context said about the certificates of one chain: X509_V_OK, or why they say
 * nothing. */
struct chain_facts {
    int crl_error[CHAIN_DEPTH_MAX];
    bool has_forged;                  /* the last CRL of which something was wrong its issuer has not signed: */
    const struct X509_crl_st *forged; /* this one; to compare */
};
struct staple {
    bool is_possible; /* we asked for it */
    const unsigned char *p;
    size_t n;
};
struct standing {
    enum cert_standing standing;
    struct reason doubt; /* CERT_UNKNOWN: why */
    bool is_asked;       /* ... and a responder is being asked */
};
MUST_USE int revoke_init(void);
/* Before X509_verify_cert: what CRLs do not say is noted in *f, which must live as long as `store`. */
MUST_USE int revoke_watch(X509_STORE_CTX *store, struct chain_facts *f);
struct context;
/* After it: is the certificate at the top of the chain, where it is not a root, revoked by a CA that
 * is trusted, too? */
bool revoke_anchor_is_listed(X509_STORE_CTX *store);
/* Also after it, on a chain that holds. ERR_REFUSED: why, and which certificate. staple may be NULL. */
MUST_USE int revoke_judge(const struct context *c, const STACK_OF(X509) * chain,
                          const struct chain_facts *f, const struct staple *staple,
                          struct standing *ret, int *ret_depth, struct reason *why);

/* Is a certificate of a chain that was accepted known by now to be revoked? chain may be NULL. */
bool revoke_is_seen(const struct context *c, const STACK_OF(X509) * chain, struct reason *why);

/* --- verify.c --- */

/* Behind an SSL object; made with the first thing that has to be remembered. */
struct conn {
    char *expected; /* client: the domain that the certificate must name */
    struct reason *refused;
    struct chain_facts crl; /* client: kept until the stapled answer has come */
    enum cert_standing standing;
    struct reason *doubt; /* CERT_UNKNOWN: why */
};

/* A file that the context was made from, and when it ends. */
struct file_end {
    const char *kind; /* "anchors", "crl" */
    char *file;
    int64_t not_after;
};

/* Behind an SSL_CTX, so that it lives as long as the last connection made from it. */
struct context {
    bool is_server;
    bool insecure_no_verify;
    bool has_crl;
    bool remote_keys;
    enum pki_revocation revocation;
    enum pki_client_usage client_usage;
    struct pki_statuses *statuses; /* NULL: nothing is asked or remembered */
    struct file_end *ends;
    size_t n_ends;
    struct identity *identities;
    size_t n_identities;
};

MUST_USE int ex_data_init(void);
struct context *context_of(const SSL_CTX *ctx);
MUST_USE int context_attach(SSL_CTX *ctx, struct context *c); /* c is freed with ctx */
MUST_USE int conn_set_expected(SSL *ssl, struct str name);
/* May a certificate be used by a SIP server, or by a client? (extended key usage) */
bool cert_use_is_allowed(X509 *cert, bool by_client);
enum cert_client_use cert_client_use_of(X509 *cert);
/* The chain that a peer of this context would have shown is judged as in a handshake with it, but for
 * what could have been stapled. ERR_REFUSED. */
MUST_USE int chain_judge_shown(SSL_CTX *ctx, STACK_OF(X509) * shown, struct str expected,
                               struct standing *ret, struct reason *why);
/* For SSL_CTX_set_tlsext_status_cb: client, server. */
int status_stapled(SSL *ssl, void *arg);
int status_to_staple(SSL *ssl, void *arg);
/* Do the DNS name constraints of a CA allow these hosts? */
bool cert_names_are_within(X509 *ca, const struct str *names, size_t n);
bool cert_can_sign(X509 *cert); /* key usage: ECDHE and TLS 1.3 always sign */
/* What the peer of this connection has shown, judged by the anchors of another context. ERR_REFUSED. */
MUST_USE int chain_judge(SSL_CTX *ctx, const SSL *ssl, struct reason *why);
/* For SSL_CTX_set_cert_verify_callback. */
int verify_peer(X509_STORE_CTX *store, void *arg);

#endif

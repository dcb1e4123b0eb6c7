/* TLS contexts made from plain options: server side with several domains by SNI, client side with anchors and floor. Both are
 * reference-counted and immutable, so that a reload builds a new one and swaps the pointer while handshakes go on. */
#ifndef PKI_TLS_H
#define PKI_TLS_H

#include "base/reason.h"
#include "base/str.h"

struct ssl_st;
struct pki_tls_server;
struct pki_tls_client;

enum pki_client_cert { PKI_CLIENT_CERT_NONE, PKI_CLIENT_CERT_ASK, PKI_CLIENT_CERT_REQUIRE };

struct pki_tls_identity {
    struct str domain;    /* the SNI name it serves, lower case; the first of a server is also the one without SNI */
    const char *cert_pem; /* file: leaf first, then intermediates */
    const char *key_pem;  /* file */
};

struct pki_tls_options {
    const struct pki_tls_identity *identities;
    size_t n_identities;
    const char *ca_pem;               /* anchors for the peer; NULL: none (server) or the system's (client) */
    enum pki_client_cert client_cert; /* server; enforced for every SNI domain alike */
    int min_version;                  /* 12 or 13; 0: 12 */
    struct str ciphers12;             /* OpenSSL list for TLS 1.2; empty: ECDHE with AEAD only */
    bool insecure_no_verify;          /* client, allow-unverified line only: chain and name are not checked */
    unsigned session_tickets;         /* server: TLS 1.3 tickets per handshake; default 0 */
};

/* Reads all files and checks that keys fit certificates, that certificates are in force, and that they name the domain.
 * On failure nothing is kept and `reason` names file and cause. */
MUST_USE int pki_tls_server_new(const struct pki_tls_options *o, struct pki_tls_server **ret, struct reason *reason);
MUST_USE int pki_tls_client_new(const struct pki_tls_options *o, struct pki_tls_client **ret, struct reason *reason);
struct pki_tls_server *pki_tls_server_ref(struct pki_tls_server *s);
void pki_tls_server_unref(struct pki_tls_server *s); /* NULL is fine; any thread */
struct pki_tls_client *pki_tls_client_ref(struct pki_tls_client *c);
void pki_tls_client_unref(struct pki_tls_client *c);
/* A new SSL object for one connection, the caller's to free; NULL if out of memory. The client form sets SNI and the name
 * that the certificate must carry (RFC 5922 7.3: exact match, no wildcards). */
struct ssl_st *pki_tls_server_ssl(struct pki_tls_server *s);
struct ssl_st *pki_tls_client_ssl(struct pki_tls_client *c, struct str server_name);
/* The soonest end of validity among the own certificates (seconds since 1970) and the file it is in. */
void pki_tls_server_expiry(const struct pki_tls_server *s, int64_t *ret_not_after, struct str *ret_file);

#endif

/* TLS contexts made from plain options: server side with several domains by SNI, client side with
 * anchors and floor. Both are reference-counted and immutable, so that a reload builds a new one
 * and swaps the pointer while handshakes go on; an SSL object keeps what it needs of the old one
 * alive by itself.
 *
 * What is the same for every context: TLS 1.2 or 1.3, no renegotiation, no compression, no
 * resumption unless session_tickets is set (then TLS 1.3 only), groups X25519, P-256, P-384,
 * security level 2 (RFC 9325 4), buffers released while a connection is idle.
 *
 * A peer's certificate is accepted when its chain holds (RFC 5280 6) up to one of the anchors given
 * (an anchor need not be self-signed), neither it nor an intermediate is restricted to other uses,
 * and, where we are the client, it names the domain (RFC 5922 7.3). Uses: no extended key usage at
 * all, id-kp-sipDomain, anyExtendedKeyUsage, or serverAuth (from servers and clients, since a SIP
 * domain is both) or clientAuth (from clients only). RFC 5924 5 would refuse the last two alone;
 * almost no public CA issues anything else. DNS name constraints of a CA bind the hosts of sip:
 * URIs as well. */
#ifndef PKI_TLS_H
#define PKI_TLS_H

#include "base/path.h"
#include "base/reason.h"
#include "base/str.h"

struct ssl_st;
struct pki_tls_server;
struct pki_tls_client;

/* ASK: a client may come without a certificate and is then not authenticated; one that presents a
 * certificate which does not hold is refused with the cause. */
enum pki_client_cert { PKI_CLIENT_CERT_NONE, PKI_CLIENT_CERT_ASK, PKI_CLIENT_CERT_REQUIRE };

/* Whether a peer's certificate, or one of its chain, is revoked (RFC 5280 6.3, RFC 6960, RFC 6066 8):
 * OFF nobody looks; SOFT revoked ones are refused, and what is not known is noted (pki_peer_standing);
 * HARD what is not known is refused as well. SOFT and HARD honour must-staple (RFC 7633). */
enum pki_revocation { PKI_REVOCATION_OFF, PKI_REVOCATION_SOFT, PKI_REVOCATION_HARD };

/* What the extended key usage of a client's certificate must allow (RFC 5924 5): ANY_TLS one for
 * servers, too, since a SIP domain is both and public CAs stop issuing clientAuth; REQUIRED clientAuth
 * or sipDomain (or no restriction); IGNORE it is not looked at. */
enum pki_client_usage { PKI_USAGE_ANY_TLS, PKI_USAGE_REQUIRED, PKI_USAGE_IGNORE };

struct pki_statuses;

struct pki_tls_identity {
    /* Server: the SNI name it serves, lower case; the first of a server is also the one without SNI
     * and for unknown names. Two with the same domain may have keys of different types. Client: may
     * be empty, then no name is asked of it. */
    struct str domain;
    const char *cert_pem; /* file: leaf first, then intermediates */
    const char *key_pem;  /* file, without passphrase; not looked at with remote_keys */
};

struct pki_tls_options {
    const struct pki_tls_identity *identities;
    size_t n_identities;
    const char *ca_pem; /* anchors for the peer; NULL: none (server) or the system's (client) */
    const char *const *more_ca_pem; /* server: further files of them; none may stand for the other's
                                     * names (pki_tls_client_vouches) */
    size_t n_more_ca_pem;
    enum pki_revocation revocation;
    const char *crl_pem; /* CRLs of the CAs under the anchors; NULL: none. Of no use with OFF */
    struct pki_statuses *statuses; /* answers of responders, and whom to ask for them; server: what is
                                    * stapled as well. NULL: none */
    enum pki_client_usage client_usage; /* server */
    enum pki_client_cert client_cert; /* server; enforced for every SNI domain alike */
    int min_version;                  /* 12 or 13; 0: 12 */
    struct str ciphers12;             /* OpenSSL list for TLS 1.2; empty: ECDHE with AEAD only */
    bool
        insecure_no_verify; /* client, allow-unverified line only: chain and name are not checked */
    bool remote_keys; /* somebody else has the keys of the certificates (signing.h) */
    unsigned session_tickets; /* server: TLS 1.3 tickets per handshake; default 0 */
};

/* Reads all files and checks that keys fit certificates, that certificates are in force, and that
 * they name the domain. On failure nothing is kept and `reason` names file and cause. */
MUST_USE int pki_tls_server_new(const struct pki_tls_options *o, struct pki_tls_server **ret,
                                struct reason *reason);
MUST_USE int pki_tls_client_new(const struct pki_tls_options *o, struct pki_tls_client **ret,
                                struct reason *reason);
struct pki_tls_server *pki_tls_server_ref(struct pki_tls_server *s);
void pki_tls_server_unref(struct pki_tls_server *s); /* NULL is fine; any thread */
struct pki_tls_client *pki_tls_client_ref(struct pki_tls_client *c);
void pki_tls_client_unref(struct pki_tls_client *c);
uint64_t pki_tls_client_serial(const struct pki_tls_client *c); /* no other one has it, ever */
/* A new SSL object for one connection, the caller's to free; NULL if out of memory. It is in accept
 * or connect state and needs its BIOs. The client form sets SNI (not for addresses) and the name
 * that the certificate must carry (RFC 5922 7.3: exact match, no wildcards); with an empty name
 * every peer is refused unless the context does not verify. */
struct ssl_st *pki_tls_server_ssl(struct pki_tls_server *s);
struct ssl_st *pki_tls_client_ssl(struct pki_tls_client *c, struct str server_name);
/* Will its handshake have to ask somebody for a signature (pki_signing_set)? */
bool pki_ssl_asks(const struct ssl_st *ssl);
/* Files that the context was made from and when they end (seconds since 1970): "certificate" the
 * soonest end in the chain, "anchors" the soonest among those in force, "crl" the soonest nextUpdate.
 * Ended ones are told, too. */
typedef void pki_end_fn(void *arg, const char *kind, struct str file, int64_t not_after);
void pki_tls_server_ends(const struct pki_tls_server *s, pki_end_fn *fn, void *arg);
void pki_tls_client_ends(const struct pki_tls_client *c, pki_end_fn *fn, void *arg);
/* The same for the certificates in any PEM file: the soonest end among those in force (a file of nothing
 * but ended ones: the last). What reading it fails with. */
MUST_USE int pki_file_end(const char *file, int64_t *ret_not_after, struct reason *why);
/* Of a file of CRLs: the soonest nextUpdate. */
MUST_USE int pki_crl_file_end(const char *file, int64_t *ret_next_update, struct reason *why);
/* Names the certificates of the context that can be stapled (statuses.h, between begin and end). */
void pki_tls_server_staples(const struct pki_tls_server *s, int64_t now);
/* The soonest end of validity among the own certificates (seconds since 1970) and the file it is
 * in, which lives as long as the context; INT64_MAX and an empty file if there are none (clients).
 */
void pki_tls_server_expiry(const struct pki_tls_server *s, int64_t *ret_not_after,
                           struct str *ret_file);
void pki_tls_client_expiry(const struct pki_tls_client *c, int64_t *ret_not_after,
                           struct str *ret_file);

/* Why the handshake of this connection was refused, by us or by the other side, for its one log
 * line: expected and presented names and the cause. Call it on the thread that ran the handshake,
 * right after the failed call and before anything else uses OpenSSL there (its error queue is read,
 * not cleared). Code "tls-closed" if there is no sign of a cause. */
void pki_tls_ssl_reason(const struct ssl_st *ssl, struct reason *ret);
/* After the handshake: did the peer present a certificate, and did all checks hold (name included
 * where we connected)? True as well for a resumed session, whose certificate was checked when the
 * session was made. */
bool pki_peer_is_verified(const struct ssl_st *ssl);
/* Of a verified peer: is its certificate known not to be revoked? CERT_UNKNOWN: `why` (may be NULL)
 * says what is missing. CERT_UNCHECKED for a resumed session. */
enum cert_standing pki_peer_standing(const struct ssl_st *ssl, struct reason *why);
/* Of a peer's certificate, as a client's. */
enum cert_client_use pki_peer_client_use(const struct ssl_st *ssl);
/* Does the chain that the peer of this connection has shown hold by the anchors (and the CRLs) of `c`,
 * whatever anchors it was accepted by? The name is not looked at. For a server whose clients belong
 * to several CAs, each of which may speak for its own domains only (TR/100 9). ERR_REFUSED and why;
 * ERR_AGAIN: refused because nobody has said yet whether it is revoked (PKI_REVOCATION_HARD); ERR_NOMEM. A resumed session has no chain but the certificate itself. */
MUST_USE int pki_tls_client_vouches(const struct pki_tls_client *c, const struct ssl_st *ssl,
                                    struct reason *why);

/* A chain in a PEM file, as if a server that was asked for `server_name` (empty: any name; a client) had
 * shown it: judged as in a handshake, but for what could have been stapled. ERR_REFUSED and why; what
 * load_certs fails with. */
MUST_USE int pki_tls_client_judge_file(const struct pki_tls_client *c, const char *file,
                                       struct str server_name, enum cert_standing *ret,
                                       struct reason *why);
/* Has a responder said, since the peer of this connection was accepted, that a certificate of its chain
 * is revoked? Asks again where it is time. Always false with PKI_REVOCATION_OFF. */
bool pki_tls_client_sees_revoked(const struct pki_tls_client *c, const struct ssl_st *ssl,
                                 struct reason *why);

#endif

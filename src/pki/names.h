/* The SIP identities in a certificate (RFC 5922 7.1) and their comparison (7.2: exact,
 * case-insensitive, no wildcards). */
#ifndef PKI_NAMES_H
#define PKI_NAMES_H

#include "base/arena.h"
#include "base/reason.h"
#include "base/sbuf.h"

struct x509_st;
struct ssl_st;

#define PKI_NAMES_MAX 64

/* The hosts of the sip: URIs without user part; only if there are none the DNS names; and the CN
 * only if the certificate has no subjectAltName at all (RFC 5922 7.1). Lower case, without final
 * dot, each once, in the arena. Names with NUL or outside the host grammar (wildcards too) are left
 * out, as is what goes beyond PKI_NAMES_MAX. Returns how many; negative on no memory. A
 * subjectAltName that cannot be decoded yields no names. */
MUST_USE int pki_cert_names(struct x509_st *cert, struct arena *a,
                            struct str ret_names[PKI_NAMES_MAX]);
/* The same without the CN, whether there is a subjectAltName or not. */
MUST_USE int pki_cert_alt_names(struct x509_st *cert, struct arena *a,
                                struct str ret_names[PKI_NAMES_MAX]);
/* Could it be the host of a SIP URI, as a name? No wildcards, no blanks, no NUL. */
bool pki_name_is_host(struct str s);
/* Does one of the names stand for this domain? ERR_REFUSED if not: reason then has the expected and
 * presented names. */
MUST_USE int pki_names_check(const struct str *names, size_t n, struct str domain,
                             struct reason *reason);
/* The identities of the peer's certificate; 0 if it presented none. Says nothing about whether they
 * hold: see pki_peer_is_verified. */
MUST_USE int pki_peer_names(const struct ssl_st *ssl, struct arena *a,
                            struct str ret_names[PKI_NAMES_MAX]);
/* Of the first certificate in a PEM file. What reading it fails with, and why. */
MUST_USE int pki_file_names(const char *file, struct arena *a, struct str ret_names[PKI_NAMES_MAX],
                            struct reason *why);
/* Everything that a certificate claims to be, refused kinds of names included, for people:
 * "URI:sip:a.example, DNS:*.a.example, CN=a.example". Stops with "..." when dst is nearly full. */
void pki_cert_describe(struct x509_st *cert, struct sbuf *dst);

#endif

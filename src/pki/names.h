/* The SIP identities in a certificate (RFC 5922 7.1) and their comparison (7.2: exact, case-insensitive, no wildcards). */
#ifndef PKI_NAMES_H
#define PKI_NAMES_H

#include "base/arena.h"
#include "base/reason.h"

struct x509_st;

#define PKI_NAMES_MAX 64

/* sip: URIs without user part, then DNS names, then the CN if there is neither (lower case, in the arena). Names with NUL
 * or outside the host grammar are left out. Returns how many; negative on no memory. */
MUST_USE int pki_cert_names(struct x509_st *cert, struct arena *a, struct str ret_names[PKI_NAMES_MAX]);
/* Does one of the names stand for this domain? Fills reason with expected and presented names if not. */
MUST_USE int pki_names_check(const struct str *names, size_t n, struct str domain, struct reason *reason);

#endif

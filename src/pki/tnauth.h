/* Certificates that speak for telephone numbers: the TN Authorization List (RFC 8226 9) and what it
 * covers. Numbers are digits with country code, without "+", as RFC 8224 8.3 makes them.
 *
 * A list names numbers, ranges of them, or service providers by code (SPC). What numbers belong to
 * a code, only a database that we have not got would tell: PKI_TN_BY_PROVIDER says that the
 * certificate names no such number itself, and leaves to policy whether a provider's word is enough
 * (SHAKEN's trust model says so). Pure; any thread; results in the caller's arena and slices over
 * the DER. */
#ifndef PKI_TNAUTH_H
#define PKI_TNAUTH_H

#include "base/arena.h"
#include "base/err.h"
#include "base/reason.h"

struct x509_st;

struct pki_tn_range {
    uint64_t start, last; /* values of the digits */
    uint8_t digits;       /* how many digits each of them has, leading zeros counted */
};

struct pki_tnauth {
    const struct pki_tn_range *ranges; /* sorted, merged; a single number is a range of one */
    size_t n_ranges;
    const struct str *codes; /* numbers with "#" or "*" */
    size_t n_codes;
    const struct str *spcs;
    size_t n_spcs;
};

/* In the order of what is worth more. */
enum pki_tn_scope { PKI_TN_NOT_COVERED, PKI_TN_BY_PROVIDER, PKI_TN_COVERED };

/* The DER of a TNAuthorizationList (an extension's value, or what RFC 8226 10.1 fetches).
 * ERR_SYNTAX, ERR_LIMIT, ERR_NOMEM. */
MUST_USE int pki_tnauth_parse(struct arena *a, const void *der, size_t n, struct pki_tnauth *ret,
                              struct reason *why);
/* Of a certificate. ERR_NOTFOUND: it has none. ERR_SYNTAX also if it has two. The slices of *ret
 * live as long as the certificate. */
MUST_USE int pki_tnauth_of(const struct x509_st *cert, struct arena *a, struct pki_tnauth *ret,
                           struct reason *why);
enum pki_tn_scope pki_tnauth_covers(const struct pki_tnauth *t, struct str number);
/* Of a chain: the list of a CA limits what is below it (RFC 8226 9), so the least of all counts.
 * NULL members (certificates without a list) limit nothing; if all are NULL nothing is covered. */
enum pki_tn_scope pki_tnauth_chain_covers(const struct pki_tnauth *const *lists, size_t n,
                                          struct str number);

#endif

/* What a certificate lets its holder claim: JWT Claim Constraints (RFC 8226 8) and their enhanced
 * form (RFC 9118 3). Which claims a token has is the caller's to know: it answers by name. Pure;
 * any thread; results in the caller's arena and slices over the certificate. */
#ifndef PKI_CLAIMS_H
#define PKI_CLAIMS_H

#include "base/arena.h"
#include "base/err.h"
#include "base/reason.h"

struct x509_st;

struct pki_claim_values {
    struct str claim;
    const struct str *values;
    size_t n;
};

struct pki_claim_rules {
    const struct str *must_include, *must_exclude;
    size_t n_include, n_exclude;
    const struct pki_claim_values *permitted;
    size_t n_permitted;
};

/* ERR_NOTFOUND: no constraints, or enhanced ones that forbid a claim which every token has, which
 * count as not there (RFC 9118 3 item 3). ERR_SYNTAX: malformed, twice, or both forms (RFC 9118 6).
 * ERR_LIMIT, ERR_NOMEM. */
MUST_USE int pki_claim_rules_of(const struct x509_st *cert, struct arena *a,
                                struct pki_claim_rules *ret, struct reason *why);
/* One extension's DER. */
MUST_USE int pki_claim_rules_parse(struct arena *a, const void *der, size_t n, bool enhanced,
                                   struct pki_claim_rules *ret, struct reason *why);

/* Is the claim there, and with what value? A text's contents, or anything else as the token's
 * deterministic JSON. */
typedef bool pki_claim_fn(void *arg, struct str claim, struct str *ret_value);
/* ERR_REFUSED: a claim is missing, forbidden, or has a value that is not permitted. */
MUST_USE int pki_claim_rules_check(const struct pki_claim_rules *r, pki_claim_fn *find, void *arg,
                                   struct reason *why);

#endif

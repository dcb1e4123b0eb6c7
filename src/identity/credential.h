/* A certificate as identity sees it: its key, and whom it may speak for (RFC 8224 7, 8.2, 8.4). Its
 * chain was validated, or not, by whoever made this; nothing here looks at chains, clocks or the
 * network. Owned by the maker (a cache); verification borrows it. A key belongs to one thread. */
#ifndef IDENTITY_CREDENTIAL_H
#define IDENTITY_CREDENTIAL_H

#include "identity/jws.h"
#include "identity/passport.h"
#include "identity/rfc4474.h"
#include "pki/claims.h"
#include "pki/tnauth.h"

enum identity_cred_state {
    IDENTITY_CRED_GOOD,
    IDENTITY_CRED_MISSING, /* could not be had: 436 */
    IDENTITY_CRED_REFUSED, /* is there, but not supported or not trusted: 437 */
};

struct identity_credential {
    enum identity_cred_state state;
    struct reason why; /* unless GOOD */
    struct jws_key *key;
    struct rfc4474_key *rsa;            /* for RFC 4474 instead; may be NULL */
    uint64_t not_before_s, not_after_s; /* of the whole chain */
    const struct str *domains;          /* SIP domains it names (RFC 5922 7.1; pki/chain.h) */
    size_t n_domains;
    const struct str
        *uris; /* single users it names, canonical ("sip:alice@example.com"; 8862 4.1) */
    size_t n_uris;
    const struct pki_tnauth *const *tn; /* of the chain, leaf first; NULL members: no list */
    size_t n_tn;
    const struct str *prefixes; /* numbers that local policy lets it speak for ("4930123") */
    size_t n_prefixes;
    const struct pki_claim_rules *rules; /* NULL: none */
};

/* By what a credential speaks for an identity, in the order of what it is worth. */
enum identity_authority {
    IDENTITY_NO_AUTHORITY,
    IDENTITY_BY_PROVIDER, /* a service provider's code: any number, as far as it says (RFC 8226 9)
                           */
    IDENTITY_BY_POLICY,   /* number prefixes that our configuration grants it */
    IDENTITY_BY_NUMBER,   /* its TN Authorization List */
    IDENTITY_BY_DOMAIN,   /* the domain of the URI */
    IDENTITY_BY_USER,     /* the very URI */
};
struct str identity_authority_text(enum identity_authority a);
enum identity_authority identity_authority_of(const struct identity_credential *c,
                                              struct passport_id id);
/* The host of a canonical sip or sips URI; p == NULL: another scheme. */
struct str identity_uri_host(struct str uri);
/* May it make these claims (RFC 8226 8, RFC 9118)? ERR_REFUSED, ERR_NOMEM. */
MUST_USE int identity_claims_check(const struct identity_credential *c, struct arena *a,
                                   const struct passport *p, struct reason *why);

#endif

/* Signatures of S/MIME: CMS SignedData (RFC 5652 5) as RFC 8551 uses it, verified by OpenSSL, and
 * their signer, whose chain is judged as those of signed identities are (pki/chain.h).
 *
 * Everything is from strangers, so that a reader of our own looks at the shape first: size,
 * nesting, elements, certificates, one signer (RFC 3261 23.3: no parallel signatures). What OpenSSL
 * then makes of it is bounded, the cost of keys too (pki/key_cost.h). Algorithms: RSA (PKCS #1 1.5 and PSS, 2048 to 4096 bits), ECDSA with
 * P-256, P-384, P-521; SHA-256, SHA-384, SHA-512. RFC 3261 23.3 knows SHA-1, which proves
 * nothing any more: a signature that rests on it cannot be verified. Revocation lists inside are
 * not looked at: who is revoked our own say.
 *
 * Some 300 us with a signer under the anchor (P-256, bench/micro_cms), 200 more for each certificate
 * in between, on the caller's thread: who calls for strangers limits the rate. */
#ifndef PKI_CMS_H
#define PKI_CMS_H

#include "pki/chain.h"

struct pki_cms_args {
    struct str cms;     /* BER or DER */
    struct str content; /* what it is over, byte by byte; p == NULL: it is inside */
    const struct pki_anchors *anchors;
    uint64_t now_s;
};

struct pki_cms {
    struct pki_chain
        *chain;         /* the signer's, up to its anchor: pki_chain_unref; NULL: not trusted */
    struct str content; /* what is signed; of one that was inside a copy in the arena */
    uint64_t signed_s;  /* signingTime (RFC 5652 11.3), a claim of the signer; 0: there is none */
    struct str fixed;   /* what of the signature nobody but the signer can vary; in the arena */
};

/* 0: it holds, and its signer is trusted. Otherwise `why`, and nothing is to be freed:
 *   ERR_SYNTAX, ERR_LIMIT   it cannot be read, or is too much
 *   ERR_UNSUPPORTED         of another kind, or by an algorithm that is not above
 *   ERR_NOTFOUND            the signer's certificate is not in it (RFC 3261 23.2 says MUST)
 *   ERR_CRYPTO              it does not hold over this content
 *   ERR_REFUSED             it holds; the chain does not: of nobody we know, expired, revoked ...
 *   ERR_NOMEM */
MUST_USE int pki_cms_verify(const struct pki_cms_args *args, struct arena *a, struct pki_cms *ret,
                            struct reason *why);
/* What is inside of one that has its content in it, unverified: for those who have to know what
 * passes. ERR_SYNTAX, ERR_LIMIT, ERR_UNSUPPORTED, ERR_NOMEM. */
MUST_USE int pki_cms_content(struct str cms, struct arena *a, struct str *ret, struct reason *why);

#endif

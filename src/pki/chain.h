/* Certificate chains that speak for SIP identities: read from bytes that a stranger's server sent
 * (or from a file of ours), validated against anchors that are kept apart from those of TLS, and
 * asked for what they say (RFC 8224 6.2 step 2 and 7, RFC 8226, RFC 5280 6).
 *
 * A chain is PEM (RFC 7515 4.1.5: each certificate certifies the one before it; here any order
 * behind the leaf will do) or the DER of the leaf alone. What an issuer may not do binds what it
 * issues: DNS name constraints bind SIP URIs too (pki/tls.h), and TN Authorization Lists of all
 * certificates are kept for pki_tnauth_chain_covers. A chain is immutable and reference-counted
 * over threads; making one costs some 100 us a certificate, so nobody does it on a worker. What its
 * keys cost is looked at before (pki/key_cost.h). */
#ifndef PKI_CHAIN_H
#define PKI_CHAIN_H

#include "base/path.h"
#include "pki/claims.h"
#include "pki/tls.h"
#include "pki/tnauth.h"

struct evp_pkey_st;
struct pki_chain;
struct pki_anchors;

#define PKI_CHAIN_CERTS 8u /* certificates in a chain */

/* Who is believed. Immutable, reference-counted over threads. `ca_file` NULL: nobody. `crl_file`
 * (NULL: revocation is not checked) has the CRLs of every CA under the anchors, as in pki/tls.h. */
MUST_USE int pki_anchors_new(const char *ca_file, const char *crl_file, struct pki_anchors **ret,
                             struct reason *why);
/* Before it is shared: whether a certificate of a chain is revoked, as in pki/tls.h, and whose answers are looked at and asked for
 * besides CRLs (NULL: nobody's). Without this: HARD where there are CRLs, else OFF. */
void pki_anchors_set_revocation(struct pki_anchors *a, enum pki_revocation revocation,
                                struct pki_statuses *statuses);
bool pki_anchors_look(const struct pki_anchors *a); /* not OFF: what is found now may be otherwise later */
struct pki_anchors *pki_anchors_ref(struct pki_anchors *a);
void pki_anchors_unref(struct pki_anchors *a); /* NULL is fine */

/* With anchors: only a chain that holds at `now_s`. Without (our own): as it is in the file, its
 * order checked. ERR_SYNTAX, ERR_LIMIT: cannot be read, too long. ERR_REFUSED: not trusted,
 * expired, revoked, not made for signatures. ERR_AGAIN: refused because nobody has said yet whether
 * it is revoked, and somebody is being asked. ERR_NOMEM. The reason asks for 437. */
MUST_USE int pki_chain_new(struct str bytes, const struct pki_anchors *anchors, uint64_t now_s,
                           struct pki_chain **ret, struct reason *why);
/* Of ours, from a file; ERR_IO if it cannot be read. */
MUST_USE int pki_chain_load(const char *file, struct pki_chain **ret, struct reason *why);
/* The private key of such a chain's leaf, from a PEM file that others cannot read; the caller frees it
 * (EVP_PKEY_free). Only who keeps keys calls this. ERR_IO, ERR_SYNTAX; ERR_REFUSED: open to others, or
 * not this leaf's. */
MUST_USE int pki_chain_key_load(const struct pki_chain *c, const char *file,
                                struct evp_pkey_st **ret, struct reason *why);
/* Its certificates as PEM, leaf first, and nothing else that may have been in the file (a key, say):
 * what may be given to anybody. In the arena. */
MUST_USE int pki_chain_pem(const struct pki_chain *c, struct arena *a, struct str *ret);
/* The leaf alone, in DER (RFC 2585). */
MUST_USE int pki_chain_der(const struct pki_chain *c, struct arena *a, struct str *ret);
struct pki_chain *pki_chain_ref(struct pki_chain *c);
void pki_chain_unref(struct pki_chain *c); /* NULL is fine */

struct pki_chain_facts {
    struct evp_pkey_st *key;            /* the leaf's, public */
    uint64_t not_before_s, not_after_s; /* when all of its certificates are in force */
    const struct str *domains; /* pki_cert_alt_names; of RSA without numbers pki_cert_names */
    size_t n_domains;
    const struct str *uris; /* "sip:user@host" and sips: of the subjectAltName, as written */
    size_t n_uris;
    const struct str *emails; /* rfc822Names, of chains of S/MIME alone (RFC 3261 23.1) */
    size_t n_emails;
    const struct pki_tnauth *const
        *tn; /* a member for each certificate, leaf first; NULL: no list */
    size_t n_tn;
    const struct pki_claim_rules *rules; /* of the leaf; NULL: none */
    enum cert_standing standing;         /* CERT_UNKNOWN: SOFT, and nobody says whether it is revoked: */
    const struct reason *doubt;          /* why */
    bool is_asked;                       /* ... yet */
};
/* Lives as long as the chain. */
const struct pki_chain_facts *pki_chain_facts(const struct pki_chain *c);

#endif

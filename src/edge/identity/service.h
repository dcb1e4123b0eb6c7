/* SIP Identity at the edge (RFC 8224): the verification service of what comes in and the
 * authentication service of what leaves for other domains. The arithmetic is identity's; here it is
 * joined to requests, configuration, and to whoever has certificates and keys. Worker thread. */
#ifndef EDGE_IDENTITY_SERVICE_H
#define EDGE_IDENTITY_SERVICE_H

#include "edge/edge_priv.h"
#include "edge/identity/show.h"

struct forward_changes;

/* Whoever has the certificates that signatures name. One for the process, or a simulated one. */
struct edge_credentials {
    /* 0: *ret is there, and stays until put. ERR_AGAIN: `fn` is told later, on this worker's
     * thread, unless it is cancelled; *ret_id names the wait. ERR_LIMIT, ERR_NOMEM: not to be had
     * now. */
    int (*get)(struct edge_credentials *self, struct edge_worker *w, struct str url,
               void (*fn)(void *arg, const struct identity_credential *cred), void *arg,
               const struct identity_credential **ret, uint64_t *ret_id);
    void (*put)(struct edge_credentials *self, const struct identity_credential *cred);
    void (*cancel)(struct edge_credentials *self, struct edge_worker *w, uint64_t id);
    /* Who is believed, for those who bring their certificates along (smime.h): pki_anchors_unref. */
    struct pki_anchors *(*anchors)(struct edge_credentials *self);
};

/* What the signatures of a message say; in its arena. */
struct identity_vouch {
    struct identity_result result; /* verdict and facts */
    struct identity_shown shown;
    bool is_looked_at; /* false: policy says not to */
};

/* Starts to verify. 0: r->vouch says how it stands (NULL: nothing was asked), go on. ERR_AGAIN:
 * `fn` is called later, once, unless it is cancelled; *why then has what to refuse with, if it must
 * be. ERR_REFUSED: `why` says with what. */
typedef void identity_verified_fn(void *arg, const struct reason *refuse);
MUST_USE int identity_verify(struct edge_req *r, identity_verified_fn *fn, void *arg,
                             struct reason *why);
/* Policy asks for a signature that holds: before it is judged its sender is told nothing of whom it
 * asks for, neither whether there is such a user nor whether somebody is there (RFC 3261 22.1). */
bool identity_is_judged_first(const struct edge_req *r);
/* Does it say that its user has signed its media keys ("msec", RFC 8862)? Not judged. */
bool identity_claims_user(const struct sip_msg *m);
/* `on-attack = alarm`: it goes on, and is shown and logged as what it is. */
bool identity_only_alarms(const struct edge_req *r);
void identity_verify_cancel(struct edge_req *r); /* harmless if nothing is under way */

/* The same for a response that a peer (NULL: a domain without a stanza) has sent, in an arena that
 * lives as long. *slot names it while it waits. */
struct identity_answer {
    const struct sip_msg *m;
    const struct config *cfg;
    const struct config_peer *peer;
};
MUST_USE int identity_verify_answer(struct edge_worker *w, const struct identity_answer *a,
                                    identity_verified_fn *fn, void *arg,
                                    struct identity_vouch *vouch,
                                    struct identity_verification **slot, struct reason *why);
void identity_verification_cancel(struct identity_verification **slot); /* *slot may be NULL */

/* The final response to a request: its signatures have done their work, or may be mended once (RFC
 * 8224 6.1.1). */
void identity_verify_answered(const struct edge_req *r, unsigned status);
/* Reason of a refusal for those who read RFC 9410: "STIR;cause=436;text=...". In the arena; empty
 * if the status is none of RFC 8224's. */
struct str identity_reason_value(struct arena *a, unsigned status);

/* A certificate by which we sign, of the configuration in force; the key is the signer's. */
struct identity_own {
    struct str domain; /* it signs for callers of this domain of ours */
    struct str key;    /* the signer's name of the key */
    struct str url;    /* "x5u": where others find the certificate */
    const struct identity_credential *credential;
    struct str rfc4474_url; /* Identity-Info: where they find the other one, ... */
    const struct identity_credential *rfc4474; /* ... for RFC 4474; NULL: there is none */
};
/* How we judge what we sign ourselves. A message without a Date gets the time: `date` then has the
 * text, else it is empty. */
struct identity_policy identity_sign_policy(const struct edge_worker *w, const struct config *cfg,
                                            struct identity_message *m, char date[CANON_DATE_MAX]);

/* The signatures of one branch, under way or done. In the request's arena. */
struct identity_signing;
/* What the request gets by them: header fields' values. */
struct identity_signed {
    struct str identity; /* in lines, one for each header; empty: it leaves unsigned */
    struct str info;     /* Identity-Info, of RFC 4474; empty: none */
    struct str date;     /* of the Date that is to be added; empty: the request has one */
};
typedef void identity_request_signed_fn(void *arg, const struct identity_signed *s);
/* What leaves for `t` is signed if it leaves for another domain, is from one of ours, and policy
 * does not say otherwise (TR/100 recommendation 4). *ret_whole: as a whole, as RFC 4474 has it. */
bool identity_signs(struct edge_req *r, const struct edge_target *t, bool *ret_whole);
/* `as`: how it leaves. True: `fn` is called later, once, unless *ret is cancelled. False: nothing
 * is to be signed, or cannot be (which has been logged and counted). */
bool identity_sign(struct edge_req *r, const struct edge_target *t,
                   const struct forward_changes *as, identity_request_signed_fn *fn, void *arg,
                   struct identity_signing **ret);
/* `value`: of the Identity header of a response; `date` as above. Empty value: it leaves unsigned,
 * `why` says why. */
typedef void identity_signed_fn(void *arg, struct str value, struct str date,
                                const struct reason *why);
/* A response `m` as it leaves, in an arena that lives until then: signed for who answers, a URI
 * (answer_sign.c; RFC 9970). As above. */
struct identity_answer_signing;
bool identity_sign_answer(struct edge_worker *w, const struct edge_snapshot *snap,
                          const struct sip_msg *m, struct str answerer, identity_signed_fn *fn,
                          void *arg, struct identity_answer_signing **ret);
void identity_answer_signing_cancel(struct identity_answer_signing *s); /* NULL is fine */
/* Is there a certificate for this one? */
bool identity_signs_for(const struct edge_snapshot *snap, struct str uri);
void identity_signing_cancel(struct identity_signing *s); /* NULL is fine */

#endif

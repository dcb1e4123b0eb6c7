/* S/MIME of requests and answers (RFC 3261 23) and what says in it who calls, or answers (RFC 3893,
 * message/sip of 23.4): verified where it is there, never asked for (TR/100 7.4.1, 7.5.2,
 * recommendation 2). Worker thread; everything in the request's arena.
 *
 * A signature is judged like one of RFC 8224 (TR/100 gap 1), by the anchors of identities:
 *
 *   NAMES         it holds, and what is signed says who calls: From, Call-ID, Date, Contact, as the
 *                 message shows them, signed by who may speak for From
 *   SIGNED        it holds over a body that says no such thing, and its signer may speak for From.
 *                 That is no proof of who calls: it could be cut out and pasted into another call
 *   ENCRYPTED     for its recipient alone; nothing can be said
 *   UNVERIFIABLE  of nobody whom we know, or by means that are not taken, or too many at a time
 *   STALE         dated more than an hour ago, or ahead (RFC 3893 10)
 *   BROKEN        it does not hold, or over other headers than the message now shows: networks do
 * such things CONTRADICTED  it holds, and its signer says what only somebody else may say, or it
 * was seen in another call. The only one that is an attack */
#ifndef EDGE_IDENTITY_SMIME_H
#define EDGE_IDENTITY_SMIME_H

#include "edge/edge_priv.h"
#include "policy/facts.h"

struct smime_vouch {
    enum policy_smime state;
    struct reason why;                 /* unless NAMES or SIGNED */
    enum identity_authority authority; /* NAMES: by what its signer speaks for From */
    enum identity_reached reached;     /* NAMES: is it for the one that the request goes to? */
    /* What it is worth for keys in the description that is used: fingerprints, which prove
     * themselves in the handshake; and keys of any kind, where one signature covers them and who
     * calls. */
    enum policy_bound bound, body_bound;
    struct str description;  /* the one that is used; empty: none */
    struct str who;          /* NAMES, SIGNED: for whom it was signed, a URI */
    struct identity_tag tag; /* of the signature, once it was looked up */
    bool has_tag;
};

/* 0: r->smime says how it stands; NULL: there is none. ERR_REFUSED: `why` says with what to refuse:
 * it is contradicted, and policy (verify-identity, on-attack) does not let that pass. */
MUST_USE int smime_judge(struct edge_req *r, struct reason *why);
/* The same of an answer (RFC 3893 6): who answers, which may be another than was called. *ret is in
 * its arena; NULL: there is nothing. */
struct identity_answer;
MUST_USE int smime_judge_answer(struct edge_worker *w, const struct identity_answer *a,
                                const struct smime_vouch **ret, struct reason *why);
/* The final answer to the request. */
void smime_answered(const struct edge_req *r, unsigned status);

#endif

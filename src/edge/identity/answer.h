/* Proof of who answered: signatures in responses to INVITE, and to what tells media keys within the
 * call, UPDATE and PRACK (RFC 9970, "rsp"; RFC 3311, RFC 3262 5; TR/100 7.5.4, recommendation 6).
 *
 * Out. What a user of ours answers to a call from another domain is signed before it leaves: a 2xx,
 * and an 18x with a session description (to UPDATE and PRACK nothing but those with one), whose fingerprints are under the signature as the caller
 * will see them. The keeper signs later, so responses wait in a row and leave in the order they
 * came. A repetition, and a 2xx that repeats the description of its 18x, carries the signature that
 * was made first. What cannot be signed leaves unsigned; that is logged and counted.
 *
 * In. What a peer answers waits until its signature is judged, which may need a certificate from
 * far away: a fingerprint must not reach the caller, nor keys be taken, before it is known whether
 * it is the signed one. Policy (verify-answers) may then end the call: its callee gets ACK and BYE
 * from us, its caller 502 (481 in a dialog, which ends it: RFC 3261 12.2.1.2). An answer that is not
 * signed, with other keys than the signed ones, leaves them bound to nobody (facts.h). Nothing but an
 * Identity header, or a policy that requires one, costs anything.
 *
 * One row and one set of verdicts a response context; they outlive the request, for a 2xx may be
 * repeated, and come from another fork, when it is gone. Worker thread. */
#ifndef EDGE_IDENTITY_ANSWER_H
#define EDGE_IDENTITY_ANSWER_H

#include "edge/identity/service.h"
#include "edge/proxy/proxy_priv.h"

/* The context is made: are its answers to be signed? */
void answer_context(struct proxy *p);
/* A branch of it starts: what will be asked when its request is gone. */
void answer_branch(struct branch *b);
/* The end of the context; or nobody waits for its responses any more. */
void answer_stop(struct proxy *p);
void answer_done(struct proxy *p);

/* --- out (answer.c) --- */

/* Headers that a response loses on the way from `b` to the caller. */
void answer_strip(const struct branch *b, struct sip_edit *e, const struct sip_msg *m);
/* A response is about to be built: the signature that one like it got, if any, into *ret. */
void answer_recall(const struct branch *b, const struct sip_msg *m, struct forward_changes *ret);
/* `out` is what `m` has become: it leaves, now or when it is signed and all before it have left. */
void answer_pass(struct branch *b, const struct sip_msg *m, struct buf *out, uint32_t session_s);
/* A final failure goes out: what was still to come before it does not. */
void answer_overtaken(struct proxy *p);

/* --- in (answer_verify.c) --- */

/* True: `m` is taken. It waits, and comes back by branch_judged; or it was refused, and the branch
 * knows. False: it goes on; b->vouch says what its signature proves (NULL: it has none). */
bool answer_judge(struct branch *b, const struct sip_msg *m, const struct rx *rx);
/* Nothing more of what waits for this branch is wanted. */
void answer_forget(struct branch *b);
/* Is one of this branch being judged? */
bool answer_waits(const struct branch *b);

/* branch.c: as if it had just come. */
void branch_judged(struct branch *b, struct sip_msg *m, const struct rx *rx);
/* Something has come of it that still waits: nobody else is asked instead (RFC 3263 4.3). */
void branch_heard(struct branch *b);
/* It could not be judged, for want of memory. */
void branch_answer_lost(struct branch *b);
/* The branch has failed: its 18x, or 2xx, is not taken. */
void branch_answer_refused(struct branch *b, const struct sip_msg *m, const struct reason *why);

/* hang_up.c: the 2xx that came by this branch of a call that is not anchored is acknowledged, and,
 * unless it is a repetition, BYE follows: its caller will not hear of it (RFC 3261 13.2.2.4). */
void hang_up(struct branch *b, const struct sip_msg *m, bool is_repeated, const struct reason *why);
void hang_ups_stop(struct edge_worker *w); /* before whoever signs goes */

/* What one context keeps. */
struct answer_seen {
    uint64_t name; /* of branch, To tag, and what makes it the same */
    bool is_refused;
    char *identity, *date; /* of what we have signed; NULL: it was judged */
};
struct answers {
    struct list out, in;
    struct answer_seen seen[LIMIT_ANSWERS];
    unsigned n_seen;
    unsigned n_late; /* 2xx of further forks that were hung up on, after one that was refused */
};
/* Makes p->answers if need be; NULL: no memory. */
struct answers *answers_get(struct proxy *p);
const struct answer_seen *answer_seen_find(const struct proxy *p, uint64_t name);
/* The oldest one makes room. NULL: no memory. */
struct answer_seen *answer_seen_add(struct proxy *p, uint64_t name);

#endif

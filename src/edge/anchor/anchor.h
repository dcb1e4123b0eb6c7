/* Anchored calls: those whose media pass through us. Such a call is a thin B2BUA on top of the
 * proxy core (RFC 7092 3.2): Call-ID, tags, Contacts and route sets stay as they are, so that
 * everything the proxy does for a call holds for it, too. What differs: descriptions are made anew
 * on each side (anchor/sdp.h), with addresses of the media plane and keys of each leg's own, and
 * each direction of each dialog has its own CSeq numbering, so that we can send requests in
 * between.
 *
 * Words. A *side* is who is there: caller or callee, and what policy says of it. A *leg* is one
 * side of one negotiation: ends of the media plane, keys, the descriptions last heard and said. A
 * *branch* is one of ours (proxy.c); a *dialog* is what one To tag has made of it: one, or more
 * where a proxy behind us forks. The caller's leg is one for all branches, since none of them sees
 * its keys; where packets are relayed as they are, each branch has its own.
 *
 * Owner: the worker that got the INVITE. The dialog token names it, and the other workers hand over
 * what belongs to the call. */
#ifndef EDGE_ANCHOR_ANCHOR_H
#define EDGE_ANCHOR_ANCHOR_H

#include "edge/edge_priv.h"

struct anchor;
struct anchor_branch;
struct anchor_dialog;
struct proxy;
struct branch;

/* What is changed in a message that passes. Slices live as long as the message's arena. */
struct forward_changes {
    bool has_cseq;
    uint32_t cseq;
    struct str rack, event; /* empty: as they came */
    bool has_body;
    bool is_unwrapped; /* ... which had been within something that described it */
    struct str content_type, body;
    bool has_other_keys; /* the body: what was signed of the old ones says nothing of these */
    struct str identity, date; /* of an answer that we sign (answer.h); empty: none */
    struct str from;              /* with the call's level in it (status/name.h); empty: as it came */
    struct str status, call_info; /* what a phone of ours is told of the call (status/phone.h); empty: nothing */
};

/* What a request is to leave with, once its way is found and it is signed. */
struct anchor_number {
    uint32_t out;   /* 0: none yet */
    uint32_t after; /* the highest that had left when it was given */
};

enum anchor_verdict {
    ANCHOR_PASS,    /* with the changes */
    ANCHOR_REFUSED, /* `why`: an answer to the request says so; a response fails its branch */
    ANCHOR_DROP,    /* nobody is told */
    ANCHOR_AGAIN    /* the branch is to be sent once more: another description may be taken */
};

MUST_USE int anchors_start(struct edge_worker *w);
void anchors_stop(struct edge_worker *w);

/* A new INVITE: is its call to be anchored? *ret stays NULL if not. A reference. ERR_REFUSED,
 * ERR_NOMEM: `why` says what to answer. */
MUST_USE int anchor_begin(struct edge_req *r, const struct edge_targets *ts, struct anchor **ret,
                          struct reason *why);
/* The call that a request's token names, and the dialog; NULL: none (any more). A reference. */
struct anchor *anchor_of(const struct edge_req *r, struct anchor_dialog **ret_dialog);
void anchor_unref(struct anchor *a); /* NULL is fine */
/* A redirection leads here. True: it may, the call being anchored as that wants, from now on if need be. False: this is
 * for the caller to follow, by a call of its own. */
MUST_USE bool anchor_may_redirect(struct proxy *p, struct edge_target *t);
/* Nothing comes of the request that it was got for: with it ends a call that has not begun. NULL is
 * fine. */
void anchor_discard(struct anchor *a, const struct anchor_dialog *d);
/* For the dialog token. */
void anchor_name(const struct anchor *a, uint32_t *ret_slot, uint32_t *ret_gen);
/* Its record in calls.c and itself know each other. */
void anchor_set_call(struct anchor *a, uint32_t slot, uint32_t gen);

/* A request that leaves along `out`. */
enum anchor_verdict anchor_request(struct proxy *p, struct branch *b, const struct path *out,
                                   struct forward_changes *ret, struct reason *why);
/* ... and has left with this number. */
void anchor_request_left(struct proxy *p, const struct branch *b, uint32_t cseq);
enum anchor_verdict anchor_response(struct proxy *p, struct branch *b, const struct sip_msg *m,
                                    struct forward_changes *ret, struct reason *why);
/* A 2xx that is not to be believed (answer.h): its callee gets ACK and BYE; of a call that was answered
 * before, its caller gets BYE, too. */
void anchor_refuse_answer(struct proxy *p, struct branch *b, const struct sip_msg *m,
                          const struct reason *why);
/* The branch has come to its end without a 2xx. */
void anchor_branch_over(struct proxy *p, struct branch *b);
/* The request has got its final answer, or will get none. */
void anchor_request_over(struct proxy *p, unsigned status);
/* False: it is of a dialog that is not the call's, or not yet: one of several early ones, one that
 * was hung up on. */
bool anchor_is_call(const struct proxy *p);
enum anchor_verdict anchor_ack(struct edge_req *r, struct forward_changes *ret);
/* Its hop is known now. False: keys in it would pass in clear, the call is ended. */
bool anchor_ack_may_leave(struct edge_req *r, const struct path *out, const struct forward_changes *changes);

/* A carrier that has an account of ours is told another From (trunk_names.c): then the one that came, with its tag; empty: it is not. */
void anchor_set_renamed(struct anchor *a);
struct str anchor_renamed(const struct edge_req *r);
/* The credentials that an INVITE went out with, which its ACK has to have as well (RFC 3261 22.1); d NULL: it began the call. They are
 * read as lines "NAME: VALUE"; empty: none. */
struct digest_client_cred;
void anchor_keep_creds(const struct branch *b, struct anchor_dialog *d, const struct digest_client_cred *v, unsigned n);
struct str anchor_ack_creds(const struct edge_req *r);

/* The call's time is over. False: media still come, and it has no session timer that says
 * otherwise. True: it is ended, with BYE where it was answered; or is not there any more. */
bool anchor_expire(struct edge_worker *w, uint32_t slot, uint32_t gen, bool has_timer);

/* Calls that are not anchored (anchor/direct.c): what must not pass. ERR_REFUSED, ERR_NOMEM: `why`.
 */
MUST_USE int anchor_direct_request(const struct edge_req *r, const struct edge_target *t,
                                   const struct path *out, struct forward_changes *ret,
                                   struct reason *why);
/* In an answer, which cannot be refused, sections without keys are closed where there may be none.
 * ERR_NOMEM: it must not pass. */
MUST_USE int anchor_direct_response(const struct sip_msg *m, const struct path *in,
                                    const struct path *out, bool may_be_clear, bool emergency,
                                    struct forward_changes *ret);
bool anchor_direct_may_be_clear(const struct edge_req *r, const struct edge_target *t);

/* The worker that an anchored call's request belongs to; -1: any. */
int anchor_owner(const struct edge_worker *w, const struct sip_msg *m);

/* The media plane of the process: made before the workers, freed after them. Without an address in
 * the configuration there is none. `dry`: for virtual time. ERR_IO and the like: `why`. */
MUST_USE int anchor_plane_start(struct edge *e, bool dry, struct reason *why);
/* Nothing more is posted to the workers, which are about to end. */
void anchor_plane_mute(struct edge *e);
void anchor_plane_stop(struct edge *e);

/* anchor/policy.c: what key management may do with each side; a part of the snapshot. */
struct anchor_policies;
MUST_USE int anchor_policies_new(const struct config *cfg, struct anchor_policies **ret);
void anchor_policies_free(struct anchor_policies *p); /* NULL is fine */

#endif

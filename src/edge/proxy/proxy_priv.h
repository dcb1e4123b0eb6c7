/* Between proxy.c (the response context), best.c (its choice), redirect.c, ack.c, and forward.c (the making of a forwarded request). */
#ifndef EDGE_PROXY_PROXY_PRIV_H
#define EDGE_PROXY_PROXY_PRIV_H

#include "edge/anchor/anchor.h"
#include "identity/digest_client.h"

/* RFC 3261 16.6 steps 1 to 10: the copy that leaves along `out` to `t`, with `branch` in its Via. `breadth`: Max-Breadth for it
 * (RFC 5393 5.3.3), 0: none to set. `call_*`: which call record the dialog token names. */
struct forward_args {
    const struct edge_target *t;
    const struct path *out;
    struct str branch;
    unsigned breadth;
    uint32_t call_slot, call_gen;
    struct str identity, identity_info, date; /* headers to add, `identity` in lines; empty: none (edge/identity/service.h) */
    uint32_t anchor_slot, anchor_gen;      /* of an anchored call, for the token; 0: none */
    const struct forward_changes *changes; /* of an anchored call; NULL: none */
    const struct digest_client_cred *creds; /* for a carrier that has challenged us */
    unsigned n_creds;
    struct str ack_creds;                  /* ... as lines "NAME: VALUE": those of the INVITE that this is the ACK of */
    bool is_own;                           /* a request of ours: nobody's Via is in it that counts */
};
MUST_USE int forward_build(struct edge_req *r, const struct forward_args *f, struct buf **ret);
/* A branch for what is forwarded without a transaction: the same for retransmissions (16.11). */
void forward_stateless_branch(const struct edge_req *r, char ret[40]);

enum branch_state { BRANCH_IDLE, BRANCH_LOCATING, BRANCH_CALLING, BRANCH_PROCEEDING, BRANCH_DONE };

struct branch {
    struct proxy *p;
    const struct edge_target *t; /* NULL once the request is gone */
    struct hop *hop;
    struct sip_ctx *ctx;
    const struct path *way;     /* ... it took, where its transaction is over while its answer is being judged; NULL: else */
    struct wheel_timer timer_c; /* 16.6 step 11 */
    uint64_t called_us;         /* when the request went out */
    enum branch_state state;
    bool started, canceled;
    bool is_hurried; /* timer_c is that of a first answer: another peer may do instead */
    bool is_signed;                    /* as far as it is to be; asked once, whatever servers are tried */
    struct identity_signing *signing;  /* under way */
    const struct path *signed_path;    /* where it goes then */
    const struct identity_signed *signed_; /* what it has got by them; NULL: nothing */
    uint64_t signed_as;                /* how it left when it was signed as a whole (RFC 4474); 0: it was not */
    uint8_t n_challenged; /* how often by a carrier, and answered */
    bool has_other_cseq; /* it left with another number than it came with, and is not of an anchored call */
    bool is_challenged;  /* it is to be sent again with credentials: the next number */
    bool is_emergency;
    bool has_level; /* From, as it left (status/name.h) */
    /* answer.h; these outlive the request */
    bool is_judged;  /* its answers are another domain's, or a user of ours has signed one */
    bool may_sign;   /* ... of ours, which may do so */
    bool is_refused; /* ... and one was not taken: no other will be */
    const struct config_peer *peer;     /* of its target, believed or not (asserted.h); the context's snapshot has it */
    char *answerer;                     /* the user of ours whose answers are signed; NULL: nobody's are */
    const struct identity_vouch *vouch; /* what the signature of the response that is just passed proves; NULL: it has none */
    const struct smime_vouch *smime;    /* ... and of its body */
    bool may_be_clear; /* media that do not pass through us (anchor/direct.c) */
    const struct path *oversize; /* 18.1.1: the datagram path that the request is too large for; NULL: none */
    unsigned status;             /* final, when DONE */
    const char *code, *clause;   /* why, where it is our own finding */
    void (*no_more)(struct branch *b); /* how it ends if there is no server after the one that failed last; NULL: as the search says */
    struct peer_state *counted;            /* the call counts there for it (calls_peer_begin); NULL: nowhere */
    struct anchor_number number;           /* of an anchored call, within its dialog */
    struct anchor_branch *anchored;        /* of an anchored call; NULL: not, or not yet */
    const struct forward_changes *changes; /* ... to the response that is just passed; NULL: none */
};

/* One response context (16.6). That of an INVITE lingers for half a minute with its transactions: it is kept small. */
struct proxy {
    struct list node; /* in the worker's list, for its end */
    struct edge_worker *w;
    struct edge_snapshot *snap; /* the targets and the sender point into it */
    struct sip_stx *stx; /* NULL: gone */
    struct edge_req *r;  /* NULL: a final response was sent, the request is gone */
    enum sip_method method;
    bool tells_sender, sender_is_phone; /* asserted.h */
    const struct config_strs *sender_loses; /* header_policy.h; NULL: nothing */
    bool shows_levels;                  /* ... one that shows levels before names (status/name.h) */
    bool in_dialog;
    bool final_sent, canceled, running; /* running: inside start_group, do not conclude yet */
    bool signs_answers, strips_answers; /* answer.h: what the sender's peer gets, and must not get */
    bool is_answered;                   /* a 2xx is about to leave: nothing else will */
    struct answers *answers;            /* NULL: none yet */
    const struct reason *cannot;        /* why it goes nowhere, said once its sender is judged; NULL: it may go */
    bool is_verifying;                  /* nothing goes out before the caller's signatures are judged */
    unsigned depth;                     /* calls into it under way */
    unsigned n, n_first;                /* branches; those of the request's own targets */
    unsigned breadth;
    uint32_t call_slot, call_gen;
    uint32_t callee_tag;          /* hash of it: in a dialog, or of the 2xx that is just passed */
    struct anchor *anchor;        /* media of the call pass through us; NULL: they do not */
    struct anchor_dialog *dialog; /* in a dialog of such a call */
    bool from_caller, had_offer;  /* ... who sent this, and had it an offer in it */
    bool has_answer;              /* ... and a description that counts has come back */
    uint32_t cseq;                /* as it came */
    /* the best final response so far (16.7 step 6), as it would be forwarded */
    struct buf *best;
    unsigned best_status;
    struct branch *more; /* LIMIT_REDIRECTS of them, once there was a redirection */
    struct branch first[];
};

static inline struct branch *branch_at(struct proxy *p, unsigned i)
{
    return i < p->n_first ? &p->first[i] : &p->more[i - p->n_first];
}

/* It is of a target that a redirection brought (redirect.c). */
static inline bool branch_is_redirected(const struct branch *b)
{
    return b < b->p->first || b >= b->p->first + b->p->n_first;
}

/* proxy.c: around whatever comes from other rooms; only the outermost leave frees. */
void proxy_enter(struct proxy *p);
void proxy_leave(struct proxy *p);
/* Passes a response on. A final one is the end of the request: nothing may look at it afterwards. */
void proxy_send(struct proxy *p, unsigned status, struct buf *msg, uint32_t session_s);
/* When nothing is under way any more: the next group, or the best response (16.7 steps 5 to 9). */
void proxy_conclude(struct proxy *p);

/* branch.c */
void branch_init(struct branch *b, struct proxy *p, const struct edge_target *t);
void branch_start(struct branch *b);
/* It is over: its peer is not called by it any more, or has answered. */
void branch_uncount(struct branch *b, bool has_answered);
/* Where its request went; NULL: nowhere, or it is over. */
const struct path *branch_way(const struct branch *b);
/* All but one that are not done (NULL: all), each with this Reason (empty: none). */
void branches_cancel(struct proxy *p, const struct branch *except, struct str reason_value);

/* proxy_facts.c */
bool proxy_begins_call(const struct proxy *p);
void proxy_note_called(const struct branch *b, const struct path *path);
void proxy_note_answer(struct branch *b, const struct sip_msg *m, const struct rx *rx);
void proxy_note_vouch(const struct proxy *p);

/* best.c */
/* Lower is better: 6xx ends it, then the lowest class; within 4xx those that let the caller mend its request. */
unsigned best_rank(unsigned status);
/* The response as it goes back: without our Via (16.7 step 3). NULL: it has no other Via, is malformed, or there is no memory. */
MUST_USE struct buf *best_response_build(const struct branch *b, const struct sip_msg *m);
/* Keeps a final response if it is better than what there is (16.7 step 6); challenges come together (step 7). Of a redirection, the
 * contacts in `taken` have been tried and do not go back (step 4). */
void best_keep(const struct branch *b, const struct sip_msg *m, uint64_t taken);

/* Of an anchored call: what is another in the copy that leaves. What was signed of keys that are others now goes with them, unless the
 * message only crosses us (`is_transit`): then whoever gets it is to see that they were changed (RFC 8224 6.1 step 1). */
MUST_USE int forward_change(struct sip_edit *e, const struct sip_msg *m, const struct forward_changes *c, bool is_transit);

/* spaced.c: the caller's request in a dialog whose numbers leave with room between them (edge_priv.h, token_cseq)? What else names one
 * of them, in either direction. ERR_NOMEM. */
bool spaced_is(const struct proxy *p);
MUST_USE int spaced_event(const struct proxy *p, struct forward_changes *ret);

/* redirect.c: adds the contacts of a 3xx as branches, if it may; the others are kept for the caller. False: none added. */
bool redirect_follow(const struct branch *b, const struct sip_msg *m);
/* Adds an unstarted branch; NULL: no room (any more). */
struct branch *proxy_branch_add(struct proxy *p, const struct edge_target *t);

#endif

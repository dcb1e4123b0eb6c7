/* Between the files of anchored calls (anchor*.c). Worker thread, but where it says otherwise. */
#ifndef EDGE_ANCHOR_ANCHOR_PRIV_H
#define EDGE_ANCHOR_ANCHOR_PRIV_H

#include "base/list.h"
#include "edge/anchor/anchor.h"
#include "edge/anchor/sdp.h"
#include "edge/proxy/proxy_priv.h"
#include "edge/slots.h"
#include "policy/facts.h"
#include "relay/keys.h"
#include "relay/relay.h"

/* DIRECT: not anchored. RELAY: packets pass as they are, keys are between the phones. PROTECT: each
 * leg has its own. */
enum anchor_mode { ANCHOR_DIRECT, ANCHOR_RELAY, ANCHOR_PROTECT };

/* ---- sides (anchor/policy.c) ---- */

enum anchor_policy_kind {
    ANCHOR_POLICY_NORMAL,
    ANCHOR_POLICY_INSIDE,    /* clear-inside: our own users' leg */
    ANCHOR_POLICY_WEB,       /* a browser: DTLS-SRTP and nothing else (RFC 8827 6.5) */
    ANCHOR_POLICY_EMERGENCY, /* whatever it takes */
    ANCHOR_POLICY_KINDS
};
struct anchor_side {
    const struct config_media_side *cfg; /* NULL: of nobody we know */
    const struct config_domain *domain;  /* of a user of ours; NULL: outside */
    const struct config_peer *peer;
    enum anchor_policy_kind kind;
    const struct keying_policy *policy; /* the snapshot's */
    bool is_web;
    bool is_private; /* its hop is encrypted and authenticated: keys may be said there (RFC
                        4568 8.3) */
    bool is_v6;
    unsigned without; /* bits of methods: SDES after its date */
};
void anchor_side_caller(const struct edge_req *r, struct anchor_side *ret);
void anchor_side_target(const struct edge_req *r, const struct edge_target *t,
                        struct anchor_side *ret);
void anchor_side_path(struct anchor_side *s, const struct path *out); /* the path is known now */
/* Sets what depends on the other side and on the call. */
void anchor_side_settle(struct anchor_side *s, const struct edge_snapshot *snap, bool crosses,
                        bool emergency, uint64_t now_s);
enum anchor_mode anchor_side_wish(const struct anchor_side *s, bool crosses);
bool anchor_sides_cross(const struct anchor_side *a, const struct anchor_side *b);
/* mode.c: what a call needs that this side calls these targets by. */
enum anchor_mode anchor_mode_of(const struct edge_req *r, const struct edge_targets *ts,
                                const struct anchor_side *caller, bool *ret_crosses);

/* ---- text with keys in it ---- */

struct anchor_text {
    char *p;
    size_t n;
};
MUST_USE int anchor_text_set(struct anchor_text *t, struct str s);
void anchor_text_done(struct anchor_text *t); /* wiped */
static inline struct str anchor_text_get(const struct anchor_text *t)
{
    return str_make(t->p, t->n);
}

/* ---- legs (anchor/media.c) ---- */

struct anchor_leg;
struct anchor_end {
    struct relay_end *end;    /* NULL: none (any more) */
    struct anchor_leg *bound; /* whose keys it has; NULL: nobody's */
    bool mux, is_ice, is_clear;
    bool is_silent;
    uint64_t silent_at; /* packets that had come then */
    uint64_t seen;      /* ... when the call's time was last looked at */
    char ufrag[9], pwd[25];
    struct anchor_text peer_ufrag, peer_pwd; /* ICE: in use */
    bool is_restarting; /* its offer begins ICE anew: we follow when we answer (RFC 8839 4.4.1.1.1) */
    struct anchor_text next_ufrag, next_pwd;
    struct addr remote; /* what its last description said; not set: nothing yet */
    enum sdp_dir dir;   /* of the peer, by its last description */
};
/* Ends towards one place, for all answers to one offer. */
struct anchor_place {
    unsigned refs;
    struct keying_policy policy; /* of the keys of all of them, with the identity of the call */
    unsigned n; /* as many as the longest description had sections */
    struct anchor_end *v;
};
struct anchor_said { /* of an answer that is ready before it is asked for */
    struct anchor_text text;
    size_t n;
    struct sdp_new_attr attr[];
};
struct anchor_section {
    bool is_taken;        /* in the exchange under way, or the last one */
    bool is_settled;      /* its keys, or that it has none, are agreed */
    bool offers_mux;      /* the peer's offer has rtcp-mux */
    enum sdp_dir may;     /* what of the peer's direction counts */
    enum sdp_proto proto; /* in what we say */
    struct anchor_said *said;
    struct anchor_text mid; /* of the peer's offer */
};
struct anchor_leg {
    struct list node; /* in the anchor's */
    struct anchor *a;
    unsigned id;
    struct anchor_side side;
    struct anchor_place *place;
    struct relay_keys *keys; /* NULL: none, packets pass as they are */
    unsigned n, n_sec; /* sections of the last description; those that there is room for */
    struct anchor_section *sec;
    struct anchor_text in, out; /* the last description agreed on, and the last one said */
    uint64_t sess_id, version;
    unsigned without; /* bits of methods: this side has refused them */
    unsigned offered; /* bits of methods in the offer that is out */
    bool is_wrong;         /* said already: a certificate that was not announced */
    bool is_elsewhere;     /* ... media from another address than it describes, followed */
    bool is_astray;        /* ... refused */
    struct reason failure; /* no keys will come; code NULL: nothing has failed */
};
/* NULL: no memory, or too many. */
MUST_USE struct anchor_leg *anchor_leg_new(struct anchor *a, const struct anchor_side *side);
/* Room for a description of n sections. ERR_NOMEM. */
MUST_USE int anchor_leg_room(struct anchor_leg *leg, unsigned n);
/* Another answer to what `leg` has offered: its place, keys of its own. */
MUST_USE struct anchor_leg *anchor_leg_fork(struct anchor_leg *leg);
void anchor_leg_free(struct anchor_leg *leg); /* NULL is fine */
/* Its keys are the ones of its place from here on. */
void anchor_leg_bind(struct anchor_leg *leg);
/* The end of a section, made if there is none. `hint`: the peer's description; NULL. ERR_LIMIT,
 * ERR_NOMEM: `why`. */
MUST_USE int anchor_leg_end(struct anchor_leg *leg, unsigned i, const struct sdp *hint,
                            bool needs_rtcp, struct reason *why);
void anchor_leg_close(struct anchor_leg *leg, unsigned i);
/* Does an offer begin ICE anew (RFC 8839 4.4.1.1.1)? Noted; nothing changes before we answer it. */
MUST_USE int anchor_leg_hear_restart(struct anchor_leg *leg, unsigned i, const struct sdp *offer);
/* ... which is now: with a fragment and password of our own that are new. */
MUST_USE int anchor_leg_restart(struct anchor_leg *leg, unsigned i);
/* What the peer's description says of a section goes to its end. */
void anchor_leg_set(struct anchor_leg *leg, unsigned i, const struct sdp *heard);
/* How fast its peer may send: as configured for the kinds of the sections of `like`, and by what we have
 * told it (`said`). `a`: for a moment. */
void anchor_leg_police(struct anchor_leg *leg, const struct sdp *like, struct str said,
                       struct arena *a);
bool anchor_leg_is_moved(const struct anchor_leg *leg, unsigned i, const struct sdp *heard);
void anchor_legs_join(struct anchor_leg *x, struct anchor_leg *y);
void anchor_said_free(struct anchor_said *s); /* NULL is fine */

/* ---- offers and answers (anchor/offer.c) ---- */

/* x has made an offer: its keys are answered, its ends are ready. ERR_REFUSED: nothing in it can be
 * taken. */
MUST_USE int anchor_offer_take(struct anchor_leg *x, const struct sdp *offer, struct reason *why);
/* The same offer as it goes to y. In `a`. */
MUST_USE int anchor_offer_make(struct anchor_leg *y, struct anchor_leg *x, const struct sdp *offer,
                               bool rekey, struct arena *a, struct str *ret, struct reason *why);
/* y's answer: checked against what was offered to it, its keys accepted, its ends know where it is.
 * x NULL: to an offer of our own. */
MUST_USE int anchor_answer_take(struct anchor_leg *y, struct anchor_leg *x,
                                const struct sdp *answer, struct reason *why);
/* ... as it goes back to x. */
MUST_USE int anchor_answer_make(struct anchor_leg *x, struct anchor_leg *y,
                                const struct sdp *answer, struct arena *a, struct str *ret,
                                struct reason *why);
/* The offer has come to nothing: both are as before. x NULL: it was our own. */
void anchor_rollback(struct anchor_leg *x, struct anchor_leg *y);

/* anchor/body.c: the description in a message's body; ret->n == 0: none. ERR_REFUSED: it cannot be
 * read. */
MUST_USE int anchor_body_find(const struct sip_msg *m, struct str *ret, struct reason *why);
/* Does it stand under a signature, or in a message inside? Then nobody can change it there. */
bool anchor_body_is_wrapped(const struct sip_msg *m, struct str was);
/* anchor/refer.c: a REFER passes; what names one by its number is changed. ERR_NOMEM. */
void anchor_refer_note(struct anchor_dialog *d, bool by_caller, uint32_t in, uint32_t out);
MUST_USE int anchor_refer_map(const struct anchor_dialog *d, bool from_caller, const struct sip_msg *m,
                              struct forward_changes *ret);
/* May what follows from one still come when the call is over, and need other numbers than it has? */
bool anchor_refer_lasts(const struct anchor *a);

/* The body with the description replaced, without what was wrapped around it; an empty one takes a
 * plain body away. ERR_NOMEM. */
MUST_USE int anchor_body_replace(const struct sip_msg *m, struct str was, struct str is,
                                 struct forward_changes *ret);

/* ---- the call ---- */

enum anchor_ex_state { ANCHOR_EX_NONE, ANCHOR_EX_OFFERED, ANCHOR_EX_ANSWERED };
/* An offer and its answer. */
struct anchor_exchange {
    enum anchor_ex_state state;
    bool from_caller;       /* who offers */
    bool is_own;            /* we: nothing of it passes */
    bool in_response;       /* the offer is in a response to the request */
    bool has_rekey;         /* with new keys, which were due */
    bool is_first;          /* the INVITE's own, that began the dialog */
    enum sip_method method; /* the request in whose transaction it went, by its sender's numbers */
    uint32_t cseq;
    struct anchor_text offer_in, offer_out, answer_in, answer_out;
};
void anchor_exchange_done(struct anchor_exchange *x);

/* Numbers of one direction (RFC 3261 12.2.1.1): what comes in, and what we make of it. */
struct anchor_count {
    bool has_in, has_out;
    uint32_t last_in, last_out;
    int64_t offset;
    uint32_t invite_in, invite_out; /* of the last INVITE, for ACK and RAck */
    uint32_t left; /* the highest that has left: others may still wait for their signature */
};
uint32_t anchor_count_map(struct anchor_count *c, uint32_t in, enum sip_method method);
uint32_t anchor_count_own(struct anchor_count *c);
/* Another has left since that number was given, with a higher one: it takes the next (RFC 3261 12.2.2). What
 * came late itself keeps its place, and is not overtaken. */
bool anchor_count_is_overtaken(const struct anchor_count *c, const struct anchor_number *n);
void anchor_count_left(struct anchor_count *c, uint32_t out);
/* The same request once more, which takes another number (RFC 3261 22.2). */
uint32_t anchor_count_again(struct anchor_count *c, uint32_t in, enum sip_method method);

struct anchor_branch {
    struct list node;
    struct anchor *a;
    struct anchor_side side;
    struct anchor_leg *near, *far; /* far: of the first answer */
    bool far_taken;                /* ... which has come */
    bool is_private;               /* the hop that offer_out was made for */
    struct anchor_text offer_out;
    struct anchor_count count;
    unsigned without;
    struct anchor_text creds; /* of the last INVITE to a carrier that challenges; wiped */
    bool is_refused; /* its answer was none of ours: whatever still comes is hung up on */
    bool is_again;   /* the next one sent is another offer */
};

/* A REFER that has passed: its number as it came, and as it left. */
struct anchor_refer {
    bool by_caller;
    uint32_t in, out;
};

enum anchor_dialog_state { ANCHOR_EARLY, ANCHOR_CONFIRMED, ANCHOR_OVER };
struct anchor_dialog {
    struct list node;
    struct anchor *a;
    struct anchor_branch *b;
    enum anchor_dialog_state state;
    struct anchor_text tag; /* the callee's */
    struct anchor_text name[2]; /* From of [0] the caller, [1] the callee, with tag, if it is another than
                                   in the INVITE and the other side has taken it (RFC 4916 4.4.1); else empty */
    struct anchor_leg *near, *far;
    struct anchor_count to_callee, to_caller;
    struct anchor_exchange ex;
    struct anchor_text first_in, first_out; /* the description in answers to the INVITE, as it came and as it went */
    bool first_final;                       /* ... reliably: what they say of it again changes nothing */
    struct anchor_text contact[2],
        routes[2]; /* of [0] the caller, [1] the callee: target and Route of requests to it */
    struct dialog_token token; /* from our own Record-Route: where each side is reached */
    bool has_token;
    bool is_acked;
    bool is_branched;         /* others have had the offer that it answered: keys are told so */
    bool is_hung_up;          /* by us, before anybody else knew of it */
    bool answer_final;        /* the answer came reliably: later ones in the same transaction are
                                 repetitions */
    bool wants_rekey[2];      /* towards [0] the caller, [1] the callee */
    bool allows_update[2];    /* their Allow says so */
    struct anchor_refer refer[4]; /* the latest */
    unsigned n_refers;
    struct wheel_timer timer; /* own requests that have to wait */
};

struct anchor {
    struct list node;          /* in the worker's */
    unsigned refs;
    struct edge_worker *w;
    uint32_t slot, gen;
    enum anchor_mode mode;
    bool is_ended;           /* media are gone; who still holds it finds nothing to do */
    bool is_renamed; /* the caller is another to a carrier */
    bool allows_update; /* the caller's INVITE */
    bool emergency, crosses; /* crosses: its sides are of different domains */
    struct edge_snapshot *snap;
    struct relay_call *media;
    struct keying_dtls_identity *identity;
    struct anchor_side side;   /* the caller's */
    struct anchor_leg *caller; /* NULL: each branch (or dialog) has its own */
    struct anchor_text call_id, from_tag, from, to, offer, contact, routes;
    uint32_t invite_cseq;
    uint32_t call_slot, call_gen; /* its record (calls.c); 0: none */
    unsigned next_leg, n_late; /* n_late: dialogs that were only to be ended */
    struct list legs, branches, dialogs, own;
    struct anchor_dialog *answered;
    struct wheel_timer wrong; /* somebody with another certificate was there: is nobody else? */
    struct wheel_timer lonely; /* one side is silent: is it still, much later? */
    struct wheel_timer consent; /* ... has lost its consent: does it come back? */
    struct wheel_timer refers; /* it has ended, and is kept for the numbers of what follows from a REFER */
    bool is_kept;
};
struct anchors {
    struct edge_worker *w;
    struct slots slots; /* of struct anchor: those that have media, or are kept */
    struct list all;
    unsigned n_kept;
};

/* Media of the call are over; the record goes when nobody holds it. */
void anchor_end(struct anchor *a);
struct anchor *anchor_find(const struct edge_worker *w, uint32_t slot, uint32_t gen);
struct anchor_dialog *anchor_dialog_find(struct anchor *a, struct str callee_tag);

/* anchor/exchange.c: whose leg; an offer by one side, on its way to the other; its answer. */
struct anchor_leg *anchor_ex_leg(struct anchor_dialog *d, bool caller);
MUST_USE int anchor_ex_offer(struct anchor_dialog *d, bool from_caller, const struct sip_msg *m,
                             struct str text, bool in_response, struct str *ret, struct reason *why);
MUST_USE int anchor_ex_answer(struct anchor_dialog *d, const struct sip_msg *m, struct str text,
                              struct str *ret, struct reason *why);
void anchor_ex_rollback(struct anchor_dialog *d);
/* Ports and keys of what y has not taken go. */
void anchor_ex_trim(struct anchor_leg *x, struct anchor_leg *y);
/* ... in a response: to the offer in the request, for the first time or again; the offer where it had none. */
MUST_USE int anchor_ex_response_answer(struct anchor_dialog *d, const struct sip_msg *m, struct str text,
                                       struct str *ret, struct reason *why);
MUST_USE int anchor_ex_response_offer(struct anchor_dialog *d, bool by_caller, const struct sip_msg *m,
                                      struct str text, struct str *ret, struct reason *why);
bool anchor_is_repeated(const struct anchor_text *t, struct str s);
MUST_USE int anchor_keep_repeated(const struct sip_msg *m, const struct anchor_text *t, struct str *ret,
                                  struct reason *why);
bool anchor_is_reliable(const struct sip_msg *m);

/* anchor/dialog.c: what a message shows of a dialog. */
void anchor_learn_target(struct anchor_dialog *d, bool is_callee, const struct sip_msg *m);
/* Its request has been taken (2xx): who it is now (RFC 4916). */
void anchor_learn_name(struct anchor_dialog *d, bool is_callee, const struct sip_msg *request);
void anchor_learn_routes(struct anchor_dialog *d, const struct sip_msg *response);
/* It has the 2xx: the others are no longer needed. Their ports are free at once, late answers are hung
 * up on. */
void anchor_settle_on(struct anchor_dialog *d);
/* Another one has had the offer that `d` has answered: keys in it are known to him (TR/100
 * 8.2.1.3). */
void anchor_tell_branched(struct anchor_dialog *d);
/* What goes to the callee by keys in SDP that others have as well waits for so long; 0: no longer. */
void anchor_withhold(struct anchor_dialog *d, unsigned ms);

/* anchor/own.c: requests of our own. BYE, or ACK for a 2xx that we do not pass on; reason: of the Reason header,
 * empty: none. */
void anchor_own_bye(struct anchor_dialog *d, bool to_callee, const struct reason *why);
void anchor_own_ack(struct anchor_dialog *d, bool to_callee, uint32_t cseq, struct str body);
void anchor_rekey_timer(struct wheel_timer *t);
void anchor_own_rekey(struct anchor_dialog *d, bool to_callee);
/* How long after 491 it is tried again; is_owner: towards the callee, as the caller would. */
uint64_t anchor_glare_ms(bool is_owner, uint64_t random);
void anchor_own_stop(struct anchor *a);
/* anchor/own_sender.c: for whom it is: r->who as it would be had that side sent it; nobody where From is
 * not the side's own address. */
void anchor_own_sender(struct edge_req *r);
/* Both sides are told that it is over. */
void anchor_hang_up(struct anchor *a, const struct reason *why);

/* anchor/plane.c */
#define ANCHOR_COOKIE_LEG 12
static inline uint64_t anchor_cookie(const struct anchor *a, unsigned leg)
{
    return ((uint64_t)a->w->id << 56) | ((uint64_t)(a->slot & 0xfffffu) << 36) |
           ((uint64_t)(a->gen & 0xffffffu) << 12) | (leg & 0xfffu);
}
struct anchor_event {
    uint64_t cookie;
    bool is_keys; /* change, else event */
    enum relay_event_kind event;
    enum relay_keys_change_kind change;
    int section;
    struct addr from, described; /* REMOTE, ASTRAY */
    struct reason reason;
};
void anchor_event(struct edge_worker *w, const struct anchor_event *ev);

#endif

/* What the files of the phone share: the phone, its registration, its requests, its dialogs and
 * calls. Everything here belongs to the phone's worker thread. */
#ifndef PHONE_PHONE_PRIV_H
#define PHONE_PHONE_PRIV_H

#include "base/limits.h"
#include "base/list.h"
#include "identity/digest_client.h"
#include "phone/media.h"
#include "phone/out.h"
#include "phone/phone.h"
#include "phone/signer.h"
#include "phone/verify.h"
#include "sip/edit.h"

#define PHONE_TAG_BYTES 12u
#define PHONE_CALL_ID_BYTES 24u
#define PHONE_ROUTES_MAX 16u
#define PHONE_EARLY_MAX 8u   /* dialogs that an INVITE of ours may make by forking */
#define PHONE_CALLS_LIMIT 8u /* at once, whatever the configuration says */
#define PHONE_TARGETS_MAX 8u /* addresses of the server that are tried */

/* ---- dialog.c (RFC 3261 12) ---- */

struct dialog {
    struct arena *arena; /* NULL: not in use */
    struct str call_id, local_tag, remote_tag;
    struct str local, remote; /* From and To of our requests, without tags */
    struct str target;        /* remote target, a URI */
    struct str routes[PHONE_ROUTES_MAX];
    unsigned n_routes;
    uint32_t local_cseq, remote_cseq;
    bool has_remote_cseq;
    bool peer_allows_update;
    bool peer_takes_from_change; /* RFC 4916 */
    char *target_buf; /* where target lies if it was refreshed */
};
/* From our INVITE and a response to it, or from an INVITE to us and the tag we give. ERR_SYNTAX (no
 * Contact, no tag), ERR_LIMIT, ERR_NOMEM. */
MUST_USE int dialog_from_response(struct dialog *d, const struct sip_msg *response,
                                  uint32_t local_cseq);
MUST_USE int dialog_from_request(struct dialog *d, const struct sip_msg *invite,
                                 struct str local_tag);
void dialog_done(struct dialog *d);
/* A target refresh (12.2.1.2, 12.2.2): the Contact of a request or response, if it has a usable
 * one. */
void dialog_refresh(struct dialog *d, const struct sip_msg *m);
/* Who sends a request in the dialog says so by another From: true, and our requests go to that one
 * from now on (RFC 4916 4.4). */
bool dialog_take_from(struct dialog *d, const struct sip_msg *m);
/* Is this request, or response to a request of ours, in the dialog? */
bool dialog_is_of_request(const struct dialog *d, const struct sip_msg *m);
/* RFC 3261 12.2.2: ERR_CONFLICT for a CSeq that is lower than the last. */
MUST_USE int dialog_take_cseq(struct dialog *d, const struct sip_msg *m);
/* Request-URI and Route value of the next request (12.2.1.1; strict routers too); *ret_route is
 * empty if there is none. */
MUST_USE int dialog_route(const struct dialog *d, struct arena *a, struct str *ret_ruri,
                          struct str *ret_route);

/* ---- request.c ---- */

struct request;
/* The response (1xx as well), or m == NULL: none came, `why` says why. After a final one only
 * further 2xx to INVITE follow. */
typedef void (*request_fn)(void *arg, struct request *r, struct sip_msg *m, const struct rx *rx,
                           enum sip_tx_end why);

struct request {
    struct list node;
    struct phone *p;
    struct arena *arena;
    struct sip_ctx *tx; /* NULL: between two tries, or after the end */
    enum sip_method method;
    bool is_register, is_final, is_cancelled, is_telling;
    bool was_challenged;     /* and answered: a second time means that the password is wrong */
    struct reason why;       /* of a challenge that cannot be answered */
    struct request **slot;   /* its owner's pointer, cleared when it goes */
    struct sip_request base; /* everything but Via, CSeq and credentials */
    uint32_t cseq;
    uint32_t *cseq_counter; /* of the dialog, or NULL: counts on from cseq */
    unsigned tries;
    struct str method_text;
    struct digest_client_cred creds[DIGEST_CLIENT_CREDS_MAX];
    unsigned n_creds;
    struct wheel_timer later; /* what went wrong at once is told later */
    enum sip_tx_end later_why;
    request_fn fn; /* NULL: nobody listens any more */
    void *arg;
};
/* Parts of it; slices are copied. `dialog` gives From, To, Call-ID, target and routes where it is
 * not NULL. */
struct request_args {
    enum sip_method method;
    struct str ruri, from, to, call_id; /* without dialog; from has its tag */
    struct dialog *dialog;
    uint32_t *cseq_counter; /* without dialog: incremented for each try */
    bool has_contact, is_register;
    struct str contact; /* instead of the usual one */
    struct {
        struct str name, value;
    } extra[12];
    unsigned n_extra;
    struct str content_type, body;
    request_fn fn;
    void *arg;
};
/* *slot is the request until it goes by itself, after its last news; what it was before is
 * forgotten. On failure nothing is called back. */
MUST_USE int phone_request_start(struct phone *p, const struct request_args *args,
                                 struct request **slot);
/* Nobody listens any more; NULL is fine. What is under way goes on silently. */
void phone_request_forget(struct request *r);
void phone_request_cancel(struct request *r); /* CANCEL for an INVITE */
void phone_requests_done(struct phone *p);
/* ACK to a 2xx: in the dialog, with the INVITE's number and credentials (13.2.2.4). */
MUST_USE int phone_request_ack(struct phone *p, struct dialog *d, const struct request *invite,
                               struct buf **ret);

/* ---- register.c ---- */

enum reg_state {
    REG_IDLE,
    REG_LOCATING,
    REG_TRYING,
    REG_UP,
    REG_WAITING,
    REG_LEAVING,
    REG_ENDED,
    REG_STATES
};
enum reg_event {
    REG_E_START,
    REG_E_LOCATED,
    REG_E_NOWHERE,
    REG_E_OK,
    REG_E_REFUSED,
    REG_E_FAILED,
    REG_E_LOST,
    REG_E_TIMER,
    REG_E_LEAVE,
    REG_E_GONE,
    REG_EVENTS
};
struct registration {
    enum reg_state state;
    uint64_t locate_id;
    struct net_target targets[PHONE_TARGETS_MAX];
    unsigned n_targets, at_target;
    struct request *request;
    char call_id[PHONE_CALL_ID_BYTES], tag[PHONE_TAG_BYTES];
    uint32_t cseq, expires_s, granted_s;
    unsigned failures; /* in a row */
    bool was_up;
    uint64_t again_ms; /* of the back-off under way */
    unsigned status;   /* of the last refusal */
    struct reason why;
    struct wheel_timer timer, keepalive;
    uint64_t keepalive_ms;
    struct str service_route; /* of the registrar (RFC 3608) */
    struct arena *arena;
};
void reg_init(struct phone *p);
void reg_done(struct phone *p);
void reg_event(struct phone *p, enum reg_event e);
void reg_flow_closed(struct phone *p, enum net_close_why why, const struct reason *reason);
extern const struct reg_cell {
    void (*act)(struct phone *p);
    enum reg_state next;
} reg_table[REG_STATES][REG_EVENTS];

/* ---- watch.c: what the edge tells of calls while they last ---- */

struct watch {
    bool is_on;
    struct request *request;
    struct dialog dlg; /* in use once the SUBSCRIBE was taken */
    char call_id[PHONE_CALL_ID_BYTES], tag[PHONE_TAG_BYTES];
    uint32_t cseq;
    struct wheel_timer timer; /* to refresh it, or to begin anew */
};
void phone_watch_init(struct phone *p);
/* The registration is up: `registered` says whether the edge has it to offer. */
void phone_watch_start(struct phone *p, const struct sip_msg *registered);
void phone_watch_stop(struct phone *p); /* the flow is gone, or the phone */
/* A request in a dialog that is no call's. False: not a NOTIFY of it. */
bool phone_watch_notified(struct phone *p, struct sip_stx *tx, struct sip_msg *m);

/* ---- session.c: what was offered and agreed in a call ---- */

struct session {
    struct phone *p;
    struct phone_media *media;
    uint64_t id, version;
    enum sdp_dir want; /* what we wish: sendrecv, or sendonly to hold */
    int audio;         /* our section; -1: none yet */
    struct arena *local_arena, *remote_arena, *offer_arena;
    struct sdp *local, *remote; /* of the last exchange; NULL: none */
    struct sdp *offered;        /* ours, without an answer */
    bool we_offered;            /* in the last exchange */
    /* Our INVITE's offer may have several answers: their To tags, and whose is the last. */
    char tags[PHONE_MEDIA_BRANCHES][64];
    unsigned n_tags, branch;
    enum sdp_dir dir;           /* agreed: what we do */
    bool is_held;               /* they want to hear nothing of us */
};
MUST_USE int session_init(struct session *s, struct phone *p, uint32_t call, struct reason *why);
void session_done(struct session *s);
/* The text of an offer; it lives until the next exchange. ERR_AGAIN: one of ours is unanswered.
 * ERR_REFUSED and the reason: policy has nothing that could be offered. */
MUST_USE int session_offer(struct session *s, struct str *ret, struct reason *why);
/* Whose answer comes next, by the To tag of an INVITE's response. ERR_LIMIT. */
MUST_USE int session_branch(struct session *s, struct str tag, struct reason *why);
void session_settled(struct session *s); /* no other answers count any more */
/* Would we answer this first offer of a call? Without any effect. */
MUST_USE int session_check(struct session *s, struct str offer, struct reason *why);
/* The answer to our offer; a second one is that of another fork, and counts instead. */
MUST_USE int session_answered(struct session *s, struct str text, struct reason *why);
/* The text of our answer to an offer; it lives until the next exchange. */
MUST_USE int session_answer(struct session *s, struct str offer, struct str *ret,
                            struct reason *why);
void session_rollback(struct session *s); /* our offer was refused */
static inline bool session_is_offering(const struct session *s)
{
    return s->offered != NULL;
}
/* The session description in a message: its body, or a part of it. ERR_NOTFOUND: no body.
 * ERR_UNSUPPORTED: only others (415). */
MUST_USE int session_text(const struct sip_msg *m, struct str *ret);

/* ---- call.c ---- */

enum call_state {
    CALL_CALLING,  /* INVITE sent */
    CALL_EARLY,    /* ... and a provisional response is here */
    CALL_STOPPING, /* ... and CANCEL asked for */
    CALL_RINGING,  /* an INVITE to us, unanswered */
    CALL_ANSWERED, /* 200 sent, no ACK yet */
    CALL_UP,
    CALL_LEAVING, /* BYE sent */
    CALL_ENDED,
    CALL_STATES
};
enum call_event {
    CALL_E_1XX,
    CALL_E_2XX,
    CALL_E_REFUSED,
    CALL_E_ANSWER,
    CALL_E_FAILED,
    CALL_E_ACK,
    CALL_E_NO_ACK,
    CALL_E_THEIR_CANCEL,
    CALL_E_THEIR_BYE,
    CALL_E_HANG_UP,
    CALL_E_BYE_DONE,
    CALL_EVENTS
};

/* A response that is repeated until something comes, at growing intervals (RFC 3261 13.3.1.4, 3262
 * 3). */
struct repeat {
    struct buf *buf;
    struct wheel_timer timer;
    uint64_t interval_ms, left_ms;
};

struct call {
    struct list node;
    struct phone *p;
    phone_call_id id;
    enum call_state state;
    struct wheel_timer gone; /* freed a moment after its end, when nobody is inside it */
    struct arena *arena;
    struct dialog dlg; /* in use from the 2xx, or from the INVITE to us */
    struct dialog early[PHONE_EARLY_MAX];
    unsigned n_early;
    struct session session;
    struct str peer; /* their URI */
    struct phone_check *check; /* of the signature that it came with, or was answered with */
    uint64_t status_hash; /* of the status that was told last */
    unsigned end_status;
    struct reason end_why;
    bool has_end;
    /* outgoing */
    struct request *invite;
    struct str from, to, call_id;
    uint32_t cseq;
    char answer_tag[64]; /* of the fork whose answer counts */
    struct str answers[PHONE_MEDIA_BRANCHES]; /* of each fork, by session.branch */
    struct buf *ack;     /* repeated when the 2xx is */
    uint32_t rseq;       /* last reliable provisional response, 0: none */
    char rseq_tag[64];
    uint32_t se_s;             /* the session interval we ask for */
    phone_call_id referred_by; /* RFC 3515: whom to tell how it goes */
    struct str referrer;
    /* incoming */
    struct sip_stx *stx;  /* of the INVITE, until its final response */
    uint32_t invite_cseq; /* that the ACK must have */
    struct str offer;     /* of the INVITE; p == NULL: none, ours goes in the 200 */
    bool is_user_signed;  /* ... says that its user has signed it (RFC 8862) */
    bool offer_in_ack;    /* the answer to ours is to come with the ACK */
    struct repeat ok, reliable;
    struct path ok_path;
    uint32_t our_rseq;
    bool is_told_up;
    bool hang_up_wanted; /* as soon as the ACK is here */
    /* changes in the call */
    struct request *change; /* re-INVITE or UPDATE of ours */
    bool change_pending, change_has_offer, change_hold;
    bool rekey_wanted; /* new keys are due, and could not be offered yet */
    struct str was_local; /* while the other side is told who we are: what it knew us as */
    struct buf *change_ack; /* ACK of the last re-INVITE */
    uint32_t change_cseq;
    struct wheel_timer retry; /* after 491 */
    struct { /* call_judge.c: what of theirs is being judged; check NULL: nothing */
        struct phone_check *check;
        struct sip_stx *tx; /* of an offer; NULL: it is an answer to ours */
        struct path path;
        bool has_others; /* keys that are not the signed ones */
    } judged;
    struct request *bye, *refer;
    bool refer_wanted; /* NOTIFYs are awaited */
    /* session timer (RFC 4028) */
    uint32_t timer_s; /* 0: none */
    bool we_refresh;
    struct wheel_timer timer;
};

extern const struct call_cell {
    void (*act)(struct call *c, struct sip_msg *m);
    enum call_state next;
} call_table[CALL_STATES][CALL_EVENTS];

void call_event(struct call *c, enum call_event e, struct sip_msg *m);
struct call *call_new(struct phone *p);
void call_free(struct call *c);
struct call *call_find(struct phone *p, phone_call_id id);
struct call *call_of_dialog(struct phone *p, const struct sip_msg *m);
/* Tells what its signature is worth. */
void call_verified(struct call *c, const struct identity_result *r);
/* Tells what the edge says of its security, in the INVITE or a response to it. */
void call_status(struct call *c, const struct sip_msg *m);
void call_status_value(struct call *c, struct str value); /* ... or in between (watch.c) */
void call_because(struct call *c, unsigned status,
                  const struct reason *why); /* the first cause of its end counts */
void call_up(struct call *c);
void call_held(struct call *c, bool was_held); /* tells a change */
void call_media_news(struct call *c, enum phone_media_news what);
void call_rekey(struct call *c); /* an offer with new keys, as soon as one can be made */
void call_bye(struct call *c);
void repeat_start(struct phone *p, struct repeat *r, struct buf *buf); /* takes its own reference */
void repeat_stop(struct phone *p, struct repeat *r);
/* The time until the next one is planned; false: it has been tried long enough. */
MUST_USE bool repeat_again(struct phone *p, struct repeat *r);

/* call_out.c */
MUST_USE int call_out(struct phone *p, struct str uri, phone_call_id referred_by,
                      struct str referrer, struct call **ret);
void call_act_early(struct call *c, struct sip_msg *m);
void call_act_confirm(struct call *c, struct sip_msg *m);
void call_act_confirm_late(struct call *c, struct sip_msg *m); /* it was cancelled */
void call_act_cancel(struct call *c, struct sip_msg *m);

/* call_in.c */
void call_in(struct phone *p, struct sip_stx *tx, struct sip_msg *m, const struct rx *rx);
/* An INVITE whose signature is not judged yet: cancelled, or gone. False: there is none such. */
bool call_in_cancelled(struct phone *p, struct sip_stx *tx);
void call_in_gone(struct phone *p, const struct sip_stx *tx);
void call_act_answer(struct call *c, struct sip_msg *m);
void call_act_decline(struct call *c, struct sip_msg *m);
void call_act_their_cancel(struct call *c, struct sip_msg *m);
void call_act_ack(struct call *c, struct sip_msg *m);
void call_act_no_ack(struct call *c, struct sip_msg *m);
void call_pracked(struct call *c, struct sip_stx *tx, struct sip_msg *m);
/* The 200 to an INVITE or re-INVITE: sent and repeated until its ACK. */
MUST_USE int call_ok(struct call *c, struct sip_stx *tx, struct sip_msg *m, const struct path *path,
                     struct str sdp);

/* call_change.c: within a dialog */
void call_in_dialog(struct call *c, struct sip_stx *tx, struct sip_msg *m, const struct rx *rx);
int call_sign_ok(struct call *c, struct sip_msg *m, struct sip_response *r); /* Date and Identity, if there is anything to be signed */
void call_offer_judged(struct call *c, struct sip_stx *tx, struct sip_msg *m, const struct path *path);

/* call_judge.c. 0: it may be taken. ERR_AGAIN: call_offer_judged follows, if it may. ERR_REFUSED: it has
 * been answered. */
MUST_USE int call_judge_offer(struct call *c, struct sip_stx *tx, const struct sip_msg *m,
                              const struct path *path);
/* The answer to an offer of ours, in a response or an ACK, which was taken: the call may end. */
void call_judge_answer(struct call *c, const struct sip_msg *m);
bool call_is_judging(const struct call *c);
void call_judge_stop(struct call *c);
void call_judge_gone(struct call *c, const struct sip_stx *tx); /* NULL: all are */
MUST_USE int call_offer(struct call *c, bool hold);
void call_retry(struct wheel_timer *t);
void call_say_who(struct call *c); /* RFC 4916: who has answered, if it is another than was called */

/* call_timer.c (RFC 4028) */
#define CALL_SE_MIN 90u
/* An interval in a request to us is too small: answered with 422. */
bool call_timer_refuses(struct call *c, struct sip_stx *tx, const struct sip_msg *m);
/* Takes what a request to us says, and writes what our 2xx says. */
void call_timer_answer(struct call *c, const struct sip_msg *m, struct sip_response *r,
                       struct arena *a);
/* What a 2xx to a request of ours says. */
void call_timer_agreed(struct call *c, const struct sip_msg *m);
/* What a request of ours says. */
void call_timer_ask(struct call *c, struct request_args *args, struct arena *a);
void call_timer_fired(struct wheel_timer *t);
void call_timer_stop(struct call *c);
void call_refresh(struct call *c); /* sends UPDATE, or re-INVITE */

/* call_refer.c (RFC 3515) */
void call_refer_in(struct call *c, struct sip_stx *tx, struct sip_msg *m);
void call_notify_in(struct call *c, struct sip_stx *tx, struct sip_msg *m);
void call_refer_progress(struct call *c, unsigned status,
                         bool is_last); /* of a call that a REFER asked for */
MUST_USE int call_refer(struct call *c, struct str uri);

/* ---- phone.c ---- */

struct phone {
    struct net *net;
    const struct phone_config *cfg;
    struct phone_user user;
    struct phone_out *out;
    struct arena *arena;
    struct sip_txl *txl;
    struct digest_client auth;
    struct registration reg;
    bool has_path;
    struct path
        path;       /* the flow: everything goes along it, and what comes otherwise is not for us */
    struct str aor; /* sip:user@domain */
    struct str contact_user, instance;
    struct str contact; /* for this flow, in flow_arena */
    struct arena *flow_arena;
    struct list requests, calls;
    struct list judging; /* INVITEs to us (call_in.c) */
    unsigned n_judging;
    struct watch watch;
    unsigned n_calls;
    phone_call_id next_call;
    uint32_t text_cseq;
    bool is_leaving;
    struct reason call_why; /* of the last call that could not be made */
};

/* A flow is there: Via, Contact. And is not any more. */
MUST_USE int phone_flow_set(struct phone *p, const struct path *path);
void phone_flow_unset(struct phone *p);
/* "bob", "bob@host" or a URI (sip, sips, tel, urn), as a URI. ERR_SYNTAX, ERR_UNSUPPORTED,
 * ERR_NOMEM. */
MUST_USE int phone_uri(const struct phone *p, struct arena *a, struct str text, struct str *ret);
/* "Date" of what leaves now; p == NULL: no memory. */
struct str phone_date(const struct phone *p, struct arena *a);
/* The user's own signature of a message as it will leave (signer.h). Told if there should be one and
 * is not. ERR_NOTFOUND: none is needed. */
MUST_USE int phone_sign(struct phone *p, struct arena *a, struct str message, struct str *ret);
/* Does it say that its user has signed its keys itself ("msec", RFC 8862)? Not judged. */
bool phone_claims_user(const struct sip_msg *m);
/* A response of ours without anything of its own. */
void phone_reply(struct phone *p, struct sip_stx *tx, unsigned status);
void phone_reply_with(struct phone *p, struct sip_stx *tx, struct sip_response *r);
/* The reason as the inside of a quoted string. */
void phone_put_why(struct sbuf *b, const struct reason *why);
/* With the reason as a Warning (RFC 3261 20.43), where there is one. */
void phone_reply_why(struct phone *p, struct sip_stx *tx, unsigned status,
                     const struct reason *why);
static inline void phone_add(struct sip_response *r, struct str name, struct str value)
{
    if (r->n_extra < ARRAY_LEN(r->extra)) {
        r->extra[r->n_extra].name = name;
        r->extra[r->n_extra++].value = value;
    }
}
#define PHONE_ALLOW STR("INVITE, ACK, CANCEL, BYE, OPTIONS, PRACK, UPDATE, MESSAGE, REFER, NOTIFY")
#define PHONE_SUPPORTED STR("100rel, timer, outbound, path, from-change")

#endif

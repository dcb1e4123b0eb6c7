/* What the files of the transaction layer share and nobody else includes: the layer, the two kinds of transaction, and the
 * form of their machines. Each machine is a const table [state][event] of {action, next state}; the state is set before the
 * action runs, so that callbacks find the transaction where it will be. One setter a side: ctx_set_state, stx_set_state.
 *
 * Owner: the layer owns all transactions, in slabs that never move and are reused; one worker's thread. */
#ifndef SIP_TX_PRIV_H
#define SIP_TX_PRIV_H

#include "base/err.h"
#include "sip/tx.h"

#define TX_OBJECT_BYTES 256u /* one transaction; 10,000 calls a second leave some 600,000 remnants */
#define TX_CHUNK 256u        /* transactions allocated at once */
#define TX_ARENAS 64u        /* arenas kept for the next messages */
#define TX_ARENA_FIRST 4096u /* holds the index of an ordinary request and what answering it needs */
#define TX_NEVER UINT64_MAX
#define TX_TIMER_C_MS 180000u /* 16.6 step 11: more than three minutes */
#define TX_TRYING_MS 200u     /* 17.2.1 */

/* A node of a bucket or of a free list. `where` is what points to it; NULL when it is in no bucket. */
struct tx_link {
    struct tx_link *next, **where;
};

struct tx_head {
    struct tx_link link; /* in the index by destination, or in a list of free or dead ones */
    uint32_t index;      /* in the pool; a client transaction's slot */
    uint8_t state;       /* 0: free */
    uint8_t method;      /* enum sip_method */
    uint8_t flags;
    uint8_t n_branch;
};

enum { TX_F_QUEUED = 128 }; /* in head.flags: the timer is in a tx_queue, not in the wheel */

/* Those that linger for one and the same time, in the order of their ends: to put one in and to take one out touches nobody
 * else, where the wheel would move half a million of them from level to level. The oldest are also those that may go early
 * when room is needed. */
struct tx_queue {
    struct list list;         /* of wheel_timer.node */
    struct wheel_timer timer; /* due with the first one, or earlier */
    uint64_t ms;
    struct wheel *wheel;
};
enum { TX_QUEUE_64T1, TX_QUEUE_T4, TX_QUEUE_D, TX_QUEUE_N };

struct tx_pool {
    void **chunks; /* as allocated; objects begin at the first multiple of 64 */
    size_t n_chunks, max_chunks;
    struct tx_link *free;
};

/* ---- client transactions ---- */

enum ctx_state { CTX_FREE, CTX_NEW, CTX_CALLING, CTX_PROCEEDING, CTX_COMPLETED, CTX_ACCEPTED, CTX_TERMINATED, CTX_STATE_N };
enum ctx_event {
    CTX_E_1XX, CTX_E_2XX, CTX_E_FINAL, /* 300 to 699 */
    CTX_E_AGAIN,                       /* timer A or E */
    CTX_E_END,                         /* timer B, D, F, K or M, or 64*T1 after CANCEL */
    CTX_E_SEND_ERROR,                  /* on a retransmission, an ACK, or by ICMP */
    CTX_E_FLOW_GONE,
    CTX_E_CANCEL,
    CTX_EVENT_N
};
enum ctx_flag {
    CTX_F_CANCEL_WANTED = 1, /* `reason` is in use, and CANCEL waits for a provisional response (9.1) */
    CTX_F_CANCELLED = 2,     /* CANCEL was sent; `peer` is its transaction while that lives */
    CTX_F_ACKED = 4,         /* `buf` is the ACK, no longer the request */
    CTX_F_WAITS = 8          /* released but for its CANCEL, which still answers to its branch */
};

struct sip_ctx {
    struct tx_head head;
    struct wheel_timer timer; /* whichever of retransmission and end comes first */
    struct sip_txl *l;
    union {
        struct sip_ctx *peer; /* INVITE and its CANCEL know each other, for they share the branch */
        struct buf *reason;
    };
    struct buf *buf;
    uint64_t end_ms;
    struct sip_ctx_user user;
    struct path path;
    uint32_t interval_ms;
    char branch[SIP_BRANCH_MAX];
};
_Static_assert(sizeof(struct sip_ctx) <= TX_OBJECT_BYTES, "remnants must stay small");

struct ctx_in {
    struct sip_msg *m; /* responses */
    const struct rx *rx;
};
struct ctx_act {
    const char *name;
    void (*run)(struct sip_ctx *tx, const struct ctx_in *in);
};
struct ctx_cell {
    const struct ctx_act *act; /* NULL: the event means nothing in this state */
    uint8_t next;
};
extern const struct ctx_cell ctx_invite_table[CTX_STATE_N][CTX_EVENT_N];
extern const struct ctx_cell ctx_other_table[CTX_STATE_N][CTX_EVENT_N];

void ctx_event(struct sip_ctx *tx, enum ctx_event ev, const struct ctx_in *in);
void ctx_receive(struct sip_txl *l, struct sip_msg *m, const struct rx *rx);
void ctx_arm(struct sip_ctx *tx, uint64_t again_ms); /* timer: in again_ms, or at end_ms if that is earlier */
void ctx_end_in(struct sip_ctx *tx, uint64_t ms);    /* only the end from now on */
void ctx_linger(struct sip_ctx *tx, uint64_t ms);    /* likewise, and nothing but repetitions is waited for */
void ctx_up(struct sip_ctx *tx, const struct ctx_in *in);
bool ctx_repeat(struct sip_ctx *tx); /* sends `buf` once more; false: the transaction failed by it and is gone */
void ctx_send_cancel(struct sip_ctx *invite);
void ctx_send_ack(struct sip_ctx *invite, struct sip_msg *response, bool *ret_failed);
void ctx_drop_buf(struct sip_ctx *tx);
/* Actions that both machines have. */
extern const struct ctx_act ctx_act_timeout, ctx_act_fail, ctx_act_gone;

/* ---- server transactions ---- */

enum stx_state {
    STX_FREE, STX_TRYING, STX_PROCEEDING, STX_COMPLETED, STX_CONFIRMED, STX_ACCEPTED, STX_TERMINATED, STX_STATE_N
};
enum stx_event {
    STX_E_REQUEST,                     /* a retransmission of the request */
    STX_E_ACK,
    STX_E_1XX, STX_E_2XX, STX_E_FINAL, /* from the user; FINAL: 300 to 699 */
    STX_E_AGAIN,                       /* timer G, or time for a 100 */
    STX_E_END,                         /* timer H, I, J or L, or nobody waits any more */
    STX_E_SEND_ERROR,
    STX_E_DROP,
    STX_EVENT_N
};
enum stx_flag {
    STX_F_DETACHED = 1, /* the user wants no more news */
    STX_F_POST = 2,     /* a send failed inside a call of the user's: said when the timer comes */
    STX_F_REPORTED = 4, /* on_stx_failed has been called */
    STX_F_OLD = 8,      /* matched by RFC 2543's rules */
    STX_F_FORGET = 16,  /* to end when on_request has returned */
    STX_F_BUSY = 32     /* on_request is running: it stays */
};
enum { STX_TO_USER = 1 }; /* result of an action: the ACK is the user's */

/* The part that ends with the final response; it lives in the request's own arena. */
struct stx_live {
    struct stx_live *next; /* in sip_txl.dying */
    struct sip_msg *m;
    struct buf *buf;
};

struct sip_stx {
    struct tx_head head;
    uint64_t key[2];
    struct wheel_timer timer;
    struct stx_live *live;
    struct sip_txl *l;
    void *upper;
    struct buf *resp; /* the last one, where it may have to be repeated */
    uint64_t end_ms;
    uint32_t interval_ms;
    uint32_t next;         /* in its bucket by key: index and one more, 0 at the end */
    uint32_t method_hash;  /* of a method without a number */
    uint32_t to_hash;      /* RFC 2543: the To tag of the request, and that of the final response */
    uint32_t resp_to_hash;
    uint16_t via_port;     /* sent-by, with the default filled in */
    char to_tag[12];       /* empty until asked for */
    struct rx rx;
    struct buf *dest;      /* a struct addr, if responses do not go to where the request came from */
};
_Static_assert(sizeof(struct sip_stx) <= TX_OBJECT_BYTES, "remnants must stay small");

struct stx_in {
    struct buf *msg;
    unsigned status;
};
struct stx_act {
    const char *name;
    int (*run)(struct sip_stx *tx, const struct stx_in *in);
};
struct stx_cell {
    const struct stx_act *act;
    uint8_t next;
};
extern const struct stx_cell stx_invite_table[STX_STATE_N][STX_EVENT_N];
extern const struct stx_cell stx_other_table[STX_STATE_N][STX_EVENT_N];

int stx_event(struct sip_stx *tx, enum stx_event ev, const struct stx_in *in);
/* ERR_LIMIT, ERR_NOMEM: then the arena is still the caller's. */
MUST_USE int stx_receive(struct sip_txl *l, struct sip_msg *m, const struct rx *rx);
void stx_arm(struct sip_stx *tx, uint64_t again_ms);
void stx_linger(struct sip_stx *tx, uint64_t ms);
int stx_send(struct sip_stx *tx, struct buf *msg); /* 0, or the transport error when nothing worked */
void stx_repeat(struct sip_stx *tx);               /* the kept response, if there is one */
void stx_keep(struct sip_stx *tx, struct buf *msg); /* instead of what was kept; NULL: nothing */
void stx_give_back(struct sip_stx *tx);            /* request and arena; harmless when done */
void stx_send_trying(struct sip_stx *tx);
const struct path *stx_path(const struct sip_stx *tx, struct path *scratch); /* where responses go */
/* Actions that both machines have. */
extern const struct stx_act stx_act_repeat, stx_act_trying, stx_act_provisional, stx_act_end, stx_act_refuse,
    stx_act_detach;

/* ---- matching (tx_key.c) ---- */

struct tx_key {
    uint64_t v[2];
    uint32_t method_hash, to_hash;
    bool old; /* RFC 2543 */
};
MUST_USE int tx_key_make(const struct sip_msg *m, struct tx_key *ret); /* ERR_NOMEM */
bool tx_key_is_old(struct str branch); /* RFC 2543's rules: other fields than Via count */
uint32_t tx_tag_hash(struct str tag);
/* Writes a branch of ours; `n` bytes of it are used. */
size_t tx_branch_write(char dst[SIP_BRANCH_MAX], unsigned worker, uint32_t slot, uint64_t secret);
size_t tx_branch_add_hash(char dst[SIP_BRANCH_MAX], uint64_t hash);
/* The slot in a branch of ours, -1 if it is none. */
int64_t tx_branch_slot(struct str branch);

/* ---- the layer (txl.c) ---- */

/* Most requests are new, and what else is in their bucket is in no cache: a bit for each that was put
 * in tells that it need not be looked at. */
struct tx_bucket {
    uint32_t first; /* index and one more; 0: empty */
    uint32_t seen;  /* bits of those in it, and of some that have gone */
};
static inline uint32_t tx_bucket_bit(uint64_t key)
{
    return (uint32_t)1 << (key >> 59); /* the bucket is chosen by the low end */
}

struct sip_txl {
    struct sip_txl_user user;
    struct wheel *wheel;
    struct rand_source *rand;
    unsigned worker;
    unsigned depth; /* calls into the layer under way */
    size_t max, reserve;
    bool uses_reserve; /* ... is open to everybody */
    bool maddr;
    struct sip_timers t;
    uint32_t trying_ms; /* when timer E of a client reaches T2 (4320 4.1) */
    bool is_evicting;   /* the timer about to be called means the end, whatever the time */
    struct tx_queue queues[TX_QUEUE_N];
    struct tx_pool ctxs, stxs;
    struct tx_bucket *table;
    size_t table_mask;
    struct tx_link **ctx_dest, **stx_dest; /* those waiting, by flow or remote address */
    size_t dest_mask;
    struct tx_link *dead;   /* client transactions whose pointers may still be on the stack */
    struct stx_live *dying; /* requests answered since the last message */
    struct arena *arenas[TX_ARENAS];
    size_t n_arenas;
    struct sip_txl_stats st;
};

void txl_enter(struct sip_txl *l);
void txl_leave(struct sip_txl *l);
int txl_send(struct sip_txl *l, const struct path *to, struct buf *msg);
/* May one more be made? The reserve is for what ends calls. */
bool txl_has_room(const struct sip_txl *l, bool reserve);
/* Ends some of the oldest remnants when the limit is near, so that a busy hour costs late repetitions and not new calls. */
void txl_evict(struct sip_txl *l);
/* A transaction's one timer: started in the wheel, or in the queue for just that time if nothing is to happen before. */
void txl_timer_start(struct sip_txl *l, struct tx_head *h, struct wheel_timer *t, uint64_t ms);
void txl_timer_linger(struct sip_txl *l, struct tx_head *h, struct wheel_timer *t, uint64_t ms);
void txl_timer_stop(struct sip_txl *l, struct tx_head *h, struct wheel_timer *t);
/* First thing in the timer's callback: is it the end? */
bool txl_timer_is_end(struct sip_txl *l, struct tx_head *h, uint64_t end_ms);
struct sip_ctx *txl_ctx_get(struct sip_txl *l); /* NULL: no memory */
struct sip_stx *txl_stx_get(struct sip_txl *l);
void txl_ctx_put(struct sip_ctx *tx); /* reusable once the outermost call returns */
void txl_stx_put(struct sip_stx *tx);
struct sip_ctx *txl_ctx_at(const struct sip_txl *l, uint32_t slot); /* NULL: no such slot; it may be free */
struct sip_stx *txl_stx_at(const struct sip_txl *l, uint32_t number); /* as buckets name them; 0: NULL */
void txl_table_add(struct sip_stx *tx);
void txl_table_remove(struct sip_stx *tx);
void txl_ctx_wait(struct sip_ctx *tx); /* into the index by destination */
void txl_stx_wait(struct sip_stx *tx);
void tx_unlink(struct tx_link *link); /* harmless when not linked */

static inline uint64_t txl_now(const struct sip_txl *l)
{
    return wheel_now_ms(l->wheel);
}
static inline uint64_t txl_64t1(const struct sip_txl *l)
{
    return 64 * (uint64_t)l->t.t1_ms;
}
static inline bool tx_is_reliable(const struct path *p)
{
    return transport_is_reliable(p->transport);
}

#endif

/* Transactions (RFC 3261 17, 6026, 4320, 4321): the four state machines and their matching, one layer a worker.
 *
 * Upwards (struct sip_txl_user): new requests with their server transaction, ACKs to 2xx (which have none), retransmitted 2xx and
 * other responses without a transaction. Downwards: send(path, buffer). It knows neither sockets nor policy; time comes from the
 * wheel, so scenarios play it in virtual time. Timers: T1 500 ms, T2 4 s, T4 5 s (Table 4), changeable for tests.
 *
 * Memory after the end of a transaction is what a busy edge pays for (timers D, H, I, J, K, L, M run 5 to 32 s): a server
 * transaction gives back request and arena once the final response is sent and keeps that response only where it may have to be
 * repeated; what remains is 256 bytes. Objects, arenas and buffers come from free lists.
 *
 * Branches we make (sip_ctx_via_branch) carry worker and slot, so that a response finds its transaction without a table, and a
 * response read by another worker can be handed over (sip_branch_worker). They are not guessable (64 random bits), and a wrong
 * one is dropped.
 *
 * Calls back and forth: any function of this file may be called inside any callback, except sip_txl_free and wheel_advance.
 * Whatever is done inside, the message given to a callback stays readable until it returns, and its transaction until the
 * outermost call into the layer has returned. The message of a server transaction stays, once the final response is sent, until
 * the next message or timer. Nothing is called back from inside sip_ctx_start,
 * sip_ctx_cancel, sip_ctx_detach, sip_stx_respond, sip_stx_reply and sip_stx_drop: what they cause comes later, by the wheel. */
#ifndef SIP_TX_H
#define SIP_TX_H

#include "base/path.h"
#include "base/rand.h"
#include "base/sbuf.h"
#include "base/wheel.h"
#include "sip/edit.h"
#include "sip/msg.h"

struct sip_txl;
struct sip_stx; /* server transaction */
struct sip_ctx; /* client transaction */

enum sip_tx_end { SIP_TX_TIMEOUT, SIP_TX_TRANSPORT }; /* 408 and 503 to the user above (RFC 3261 8.1.3.1, 16.9) */

struct sip_txl_user {
    void *arg;
    /* Negative: transport error at once. A stream path with flow 0 means: the connection by which a request came is gone, the
     * response may be delivered to that address instead (RFC 3261 18.2.2); whoever does not want to connect refuses it. */
    int (*send)(void *arg, const struct path *to, struct buf *msg);
    /* A request that begins a server transaction (never ACK). The callee answers with sip_stx_respond, now or later. `m` lives
     * until the transaction's final response is sent (sip_stx_msg). CANCEL: `invite` is the transaction it matches (9.2) or
     * NULL; the layer answers CANCEL itself (200, or 481) before it calls. An INVITE unanswered for 200 ms gets its 100 from
     * the layer (17.2.1), any other request when timer E of its client reaches T2, 3.5 s (4320 4.1). */
    void (*on_request)(void *arg, struct sip_stx *tx, struct sip_stx *invite, struct sip_msg *m, const struct rx *rx);
    /* ACK that belongs to no INVITE transaction of ours still waiting for it: end to end for a 2xx. */
    void (*on_ack)(void *arg, struct sip_msg *m, const struct rx *rx);
    /* A response that matches no client transaction (RFC 6026 8.9: not forwarded; for counting). */
    void (*on_stray)(void *arg, struct sip_msg *m, const struct rx *rx);
    /* The transaction is gone: last call, drop the pointer. `upper` is what sip_stx_set_upper stored. A request other than
     * INVITE that is unanswered after 64*T1 ends this way too: nobody waits for it any more (4320 4.2). */
    void (*on_stx_end)(void *arg, struct sip_stx *tx, void *upper);
    /* An INVITE server transaction could not deliver its final response: no ACK (timer H) or transport error. Said once; the
     * transaction stays until its timer ends it (6026 7.1). */
    void (*on_stx_failed)(void *arg, struct sip_stx *tx, void *upper, enum sip_tx_end why);
};

struct sip_timers {
    uint32_t t1_ms, t2_ms, t4_ms, t_udp_d_ms; /* 500, 4000, 5000, 32000 */
};

#define SIP_BRANCH_MAX 49 /* bytes of a branch of ours */

MUST_USE struct sip_txl *sip_txl_new(const struct sip_txl_user *user, struct wheel *wheel, struct rand_source *rand,
                                     unsigned worker, size_t max_transactions);
void sip_txl_free(struct sip_txl *l);
void sip_txl_set_timers(struct sip_txl *l, const struct sip_timers *t);

/* An arena to parse the next message into, from the layer's free list; NULL: no memory. Give back what was not passed on. */
struct arena *sip_txl_arena(struct sip_txl *l);
void sip_txl_arena_done(struct sip_txl *l, struct arena *a); /* NULL is fine */
/* A message of which sip_msg_scan is done will be received: what its transaction is found by is asked of memory ahead. With half a
 * minute's transactions kept it is in no cache. A hint; harmless if it is not received after all. */
void sip_txl_warm(struct sip_txl *l, struct sip_msg *m);
/* Entry for every parsed message. Takes over the arena of `m` and a reference to rx->buf as long as it needs them. A negative
 * result is for requests only: ERR_LIMIT (too many transactions) or ERR_NOMEM; the caller answers 503 statelessly, the arena is
 * then still the caller's. */
MUST_USE int sip_txl_receive(struct sip_txl *l, struct sip_msg *m, const struct rx *rx);
/* Is this request the repetition of one that has a transaction? To be asked before refusing for overload: what was taken on is
 * finished. */
bool sip_txl_has(const struct sip_txl *l, const struct sip_msg *m);
/* From here on, or no longer: transactions that are made may use what is kept back for what ends calls, or calls for help. */
void sip_txl_use_reserve(struct sip_txl *l, bool on);
/* Our branches begin so, and behind it have the worker in two hexadecimal digits. */
#define SIP_BRANCH_MARK "z9hG4bKsp"
/* The worker in a Via branch of ours; -1 if it is not one. */
int sip_branch_worker(struct str branch);
/* Transport news: transactions waiting on this flow fail with SIP_TX_TRANSPORT; by sip_txl_path_failed those that send along a
 * path without a flow to this remote address (datagrams: ICMP errors; an INVITE with a provisional response sends nothing more
 * and is left alone, Figure 5). To be called later than the send, never inside it. */
void sip_txl_flow_failed(struct sip_txl *l, flow_id flow);
void sip_txl_path_failed(struct sip_txl *l, const struct path *path);
/* Responses go where RFC 3261 18.2.2 says, but a maddr in the Via is followed only if this is set (unicast literals, UDP): by
 * default nobody can have our responses, repeated ones included, sent to a third party by naming it there. */
void sip_txl_allow_maddr(struct sip_txl *l, bool allow);

/* ---- server side ---- */
struct sip_msg *sip_stx_msg(struct sip_stx *tx);       /* the request; NULL once given back */
const struct rx *sip_stx_rx(const struct sip_stx *tx); /* path and hop of the request (hop may be stale after the callback) */
void sip_stx_set_upper(struct sip_stx *tx, void *upper);
void *sip_stx_upper(const struct sip_stx *tx);
/* Sends a response built elsewhere (a forwarded one without our Via, or sip_response_build's). Takes its own reference. Statuses in
 * the wrong order are refused with ERR_INVALID; 2xx to INVITE may follow a 2xx (6026); provisional ones are ignored after a
 * final one. ERR_REFUSED for what RFC 4320 forbids for requests other than INVITE: 101 to 199, 100 too early over UDP (the layer
 * sends it in time), 408 (then use sip_stx_drop). Nothing is sent when it is negative; a transport error is no error here.
 * To where RFC 3261 18.2.2, 3581 and 5626 5.3 say: the flow it came by, else the Via's address. */
MUST_USE int sip_stx_respond(struct sip_stx *tx, unsigned status, struct buf *msg);
/* Builds and sends in one go; the To tag is made by the layer and the same for all responses of the transaction. */
MUST_USE int sip_stx_reply(struct sip_stx *tx, struct sip_response *r);
struct str sip_stx_to_tag(struct sip_stx *tx); /* the tag sip_stx_reply uses where the request has none */
bool sip_stx_is_final(const struct sip_stx *tx);
/* After a final response to anything but INVITE: end at once, as a UAS without state does (8.2.7), for answers that a repetition
 * may well get anew: challenges, OPTIONS. The pointer is gone with the current callback; on_stx_end is called. */
void sip_stx_forget(struct sip_stx *tx);
/* No (further) response will come (4320 4.2: non-INVITE late, or forwarding gave up silently): the pointer is not used any more
 * by the user, nothing is called back for it, request and arena are given back. Retransmissions are still absorbed. */
void sip_stx_drop(struct sip_stx *tx);

/* ---- client side ---- */
struct sip_ctx_user {
    void *arg;
    /* Every response but a repeated final non-2xx: 1xx, the final one, and further 2xx to INVITE. `m` lives during the call. */
    void (*on_response)(void *arg, struct sip_ctx *tx, struct sip_msg *m, const struct rx *rx);
    void (*on_end)(void *arg, struct sip_ctx *tx, enum sip_tx_end why); /* without a final response */
    /* The transaction is gone (terminated): last call, drop the pointer. */
    void (*on_gone)(void *arg, struct sip_ctx *tx);
};
/* Two steps, because the Via must carry the branch: make, then build the request with it, then start (or sip_ctx_detach, which
 * gives back one that was never started). NULL: no memory or too many. Never for ACK. */
MUST_USE struct sip_ctx *sip_ctx_new(struct sip_txl *l, enum sip_method method, const struct sip_ctx_user *user);
struct str sip_ctx_via_branch(const struct sip_ctx *tx); /* "z9hG4bK..." ; stays valid while tx lives */
/* `loop_hash` (RFC 5393 4.2.2) is carried in the branch behind the id. Call before sip_ctx_via_branch. */
void sip_ctx_set_loop_hash(struct sip_ctx *tx, uint64_t hash);
/* Sends; keeps its own reference for retransmission. A negative result means that nothing will be called back and tx is gone. */
MUST_USE int sip_ctx_start(struct sip_ctx *tx, struct buf *request, const struct path *to);
/* CANCEL an INVITE (9.1): sent when a provisional response is or comes in; nothing happens after a final one. `reason_value` may
 * be empty (RFC 3326). 64*T1 after the CANCEL the transaction ends with SIP_TX_TIMEOUT (9.1) if nothing final came. */
void sip_ctx_cancel(struct sip_ctx *tx, struct str reason_value);
/* Let go without news: detach the user; the machine runs on silently (an INVITE at most for timer C more, 16.6 step 11). */
void sip_ctx_detach(struct sip_ctx *tx);
const struct path *sip_ctx_path(const struct sip_ctx *tx);
/* Can there be a branch of ours in this Via value? False: certainly not. */
bool sip_branch_may_be_in(struct str via_value);
/* The loop hash in a branch of ours, 0 if it has none or is not ours. */
uint64_t sip_branch_loop_hash(struct str branch);

struct sip_txl_stats {
    uint64_t stx_open, ctx_open; /* without a final response yet; the others only absorb repetitions */
    uint64_t stx_now, ctx_now, stx_made, ctx_made, retransmits_in, retransmits_out, timeouts, transport_errors, strays;
    uint64_t evicted; /* near the limit the oldest of those others, over 8*T1 old, make room for new ones */
};
void sip_txl_stats(const struct sip_txl *l, struct sip_txl_stats *ret);

/* The four machines as text, a line for each pair of state and event ("sallyport debug states"); about 8 KiB. */
void sip_tx_states(struct sbuf *ret);

#endif

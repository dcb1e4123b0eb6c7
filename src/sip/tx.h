/* Transactions (RFC 3261 17, 6026, 4320, 4321): the four state machines and their matching, one layer a worker.
 *
 * Upwards (struct sip_txl_user): new requests with their server transaction, ACKs to 2xx (which have none), retransmitted 2xx and
 * other responses without a transaction. Downwards: send(path, buffer). It knows neither sockets nor policy; time comes from the
 * wheel, so scenarios play it in virtual time. Timers: T1 500 ms, T2 4 s, T4 5 s (Table 4), changeable for tests.
 *
 * Memory after the end of a transaction is what a busy edge pays for (timers D, H, I, J, K, L, M run 5 to 32 s): a server
 * transaction gives back request and arena once the final response is sent and keeps that response only where it may have to be
 * repeated; objects come from free lists.
 *
 * Branches we make (sip_ctx_via_branch) carry worker and slot, so that a response finds its transaction without a table, and a
 * response read by another worker can be handed over (sip_branch_worker). They are not guessable, and a wrong one is dropped. */
#ifndef SIP_TX_H
#define SIP_TX_H

#include "base/path.h"
#include "base/rand.h"
#include "base/wheel.h"
#include "sip/edit.h"
#include "sip/msg.h"

struct sip_txl;
struct sip_stx; /* server transaction */
struct sip_ctx; /* client transaction */

enum sip_tx_end { SIP_TX_TIMEOUT, SIP_TX_TRANSPORT }; /* 408 and 503 to the user above (RFC 3261 8.1.3.1, 16.9) */

struct sip_txl_user {
    void *arg;
    int (*send)(void *arg, const struct path *to, struct buf *msg); /* negative: transport error at once */
    /* A request that begins a server transaction (never ACK). The callee answers with sip_stx_respond, now or later. `m` lives
     * until the transaction's final response is sent (sip_stx_msg). CANCEL: `invite` is the transaction it matches (9.2) or
     * NULL; the layer answers CANCEL itself (200, or 481) before it calls. */
    void (*on_request)(void *arg, struct sip_stx *tx, struct sip_stx *invite, struct sip_msg *m, const struct rx *rx);
    /* ACK that belongs to no INVITE transaction of ours still waiting for it: end to end for a 2xx. */
    void (*on_ack)(void *arg, struct sip_msg *m, const struct rx *rx);
    /* A response that matches no client transaction (RFC 6026 8.9: not forwarded; for counting). */
    void (*on_stray)(void *arg, struct sip_msg *m, const struct rx *rx);
    /* The last state of a server transaction is reached: forget it. `upper` is what sip_stx_set_upper stored. */
    void (*on_stx_end)(void *arg, struct sip_stx *tx, void *upper);
    /* An INVITE server transaction could not deliver its final response: no ACK (timer H) or transport error. */
    void (*on_stx_failed)(void *arg, struct sip_stx *tx, void *upper, enum sip_tx_end why);
};

struct sip_timers {
    uint32_t t1_ms, t2_ms, t4_ms, t_udp_d_ms; /* 500, 4000, 5000, 32000 */
};

MUST_USE struct sip_txl *sip_txl_new(const struct sip_txl_user *user, struct wheel *wheel, struct rand_source *rand,
                                     unsigned worker, size_t max_transactions);
void sip_txl_free(struct sip_txl *l);
void sip_txl_set_timers(struct sip_txl *l, const struct sip_timers *t);

/* An arena to parse the next message into, from the layer's free list; NULL: no memory. Give back what was not passed on. */
struct arena *sip_txl_arena(struct sip_txl *l);
void sip_txl_arena_done(struct sip_txl *l, struct arena *a); /* NULL is fine */
/* Entry for every parsed message. Takes over the arena of `m` in every case. ERR_LIMIT: too many transactions (the caller
 * answers 503 statelessly, the arena is then still the caller's). */
MUST_USE int sip_txl_receive(struct sip_txl *l, struct sip_msg *m, const struct rx *rx);
/* The worker in a Via branch of ours; -1 if it is not one. */
int sip_branch_worker(struct str branch);
/* Transport news: transactions waiting on this flow (or datagram path) fail with SIP_TX_TRANSPORT. Called later than the send. */
void sip_txl_flow_failed(struct sip_txl *l, flow_id flow);
void sip_txl_path_failed(struct sip_txl *l, const struct path *path);

/* ---- server side ---- */
struct sip_msg *sip_stx_msg(struct sip_stx *tx);       /* the request; NULL once given back */
const struct rx *sip_stx_rx(const struct sip_stx *tx); /* path and hop of the request (hop may be stale after the callback) */
void sip_stx_set_upper(struct sip_stx *tx, void *upper);
void *sip_stx_upper(const struct sip_stx *tx);
/* Sends a response built elsewhere (a forwarded one without our Via, or sip_response_build's). Takes its own reference. Statuses in
 * the wrong order are refused with ERR_INVALID; 2xx to INVITE may follow a 2xx (6026); provisional ones are ignored after a
 * final one. To where RFC 3261 18.2.2, 3581 and 5626 5.3 say: the flow it came by, else the Via's address. */
MUST_USE int sip_stx_respond(struct sip_stx *tx, unsigned status, struct buf *msg);
/* Builds and sends in one go; the To tag is made by the layer and the same for all responses of the transaction. */
MUST_USE int sip_stx_reply(struct sip_stx *tx, struct sip_response *r);
struct str sip_stx_to_tag(struct sip_stx *tx); /* the tag sip_stx_reply uses */
bool sip_stx_is_final(const struct sip_stx *tx);
/* No final response will come (4320 4.2: non-INVITE late, or forwarding gave up silently): forget it. */
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
/* Two steps, because the Via must carry the branch: make, then build the request with it, then start. */
MUST_USE struct sip_ctx *sip_ctx_new(struct sip_txl *l, enum sip_method method, const struct sip_ctx_user *user);
struct str sip_ctx_via_branch(const struct sip_ctx *tx); /* "z9hG4bK..." ; stays valid while tx lives */
/* `loop_hash` (RFC 5393 4.2.2) is carried in the branch behind the id. Call before sip_ctx_via_branch. */
void sip_ctx_set_loop_hash(struct sip_ctx *tx, uint64_t hash);
/* Sends; keeps its own reference for retransmission. A negative result means that nothing will be called back and tx is gone. */
MUST_USE int sip_ctx_start(struct sip_ctx *tx, struct buf *request, const struct path *to);
/* CANCEL an INVITE (9.1): sent when a provisional response is or comes in; nothing happens after a final one. `reason_value` may
 * be empty (RFC 3326). 64*T1 after the CANCEL the transaction ends with SIP_TX_TIMEOUT (9.1) if nothing final came. */
void sip_ctx_cancel(struct sip_ctx *tx, struct str reason_value);
/* Let go without news: detach the user; the machine runs on silently. */
void sip_ctx_detach(struct sip_ctx *tx);
const struct path *sip_ctx_path(const struct sip_ctx *tx);
/* The loop hash in a branch of ours, 0 if it has none or is not ours. */
uint64_t sip_branch_loop_hash(struct str branch);

struct sip_txl_stats {
    uint64_t stx_now, ctx_now, stx_made, ctx_made, retransmits_in, retransmits_out, timeouts, transport_errors, strays;
};
void sip_txl_stats(const struct sip_txl *l, struct sip_txl_stats *ret);

#endif

/* Client transactions: what both machines share (RFC 3261 17.1), the matching of responses by
 * branch (17.1.3), ACK to a final non-2xx (17.1.1.3) and CANCEL (9.1). The machines are in
 * ctx_invite.c and ctx_other.c.
 *
 * The branch names the slot, so matching is one look and one comparison in constant time. A CANCEL
 * has the branch of its INVITE (9.1) and is found through it; the INVITE's slot therefore stays
 * taken until its CANCEL has ended too.
 *
 * Owner: the layer; its worker's thread. */
#include "base/secret.h"
#include "sip/tx_priv.h"

static void ctx_timer(struct wheel_timer *t)
{
    struct sip_ctx *tx = CONTAINER_OF(t, struct sip_ctx, timer);
    struct sip_txl *l = tx->l;

    txl_enter(l);
    ctx_event(tx, txl_timer_is_end(l, &tx->head, tx->end_ms) ? CTX_E_END : CTX_E_AGAIN, NULL);
    txl_leave(l);
}

void ctx_arm(struct sip_ctx *tx, uint64_t again_ms)
{
    uint64_t now = txl_now(tx->l), delay = again_ms;

    if (tx->end_ms != TX_NEVER) {
        uint64_t left = tx->end_ms > now ? tx->end_ms - now : 0;

        if (left < delay)
            delay = left;
    }
    if (delay == TX_NEVER)
        txl_timer_stop(tx->l, &tx->head, &tx->timer);
    else
        txl_timer_start(tx->l, &tx->head, &tx->timer, delay);
}

void ctx_end_in(struct sip_ctx *tx, uint64_t ms)
{
    tx->end_ms = txl_now(tx->l) + ms;
    ctx_arm(tx, TX_NEVER);
}

void ctx_linger(struct sip_ctx *tx, uint64_t ms)
{
    tx->end_ms = txl_now(tx->l) + ms;
    txl_timer_linger(tx->l, &tx->head, &tx->timer, ms);
}

/* The request or the ACK, and the reason of a CANCEL that was never sent. */
void ctx_drop_buf(struct sip_ctx *tx)
{
    buf_unref(tx->buf);
    tx->buf = NULL;
    if (tx->head.flags & CTX_F_CANCEL_WANTED) {
        buf_unref(tx->reason);
        tx->reason = NULL;
        tx->head.flags &= (uint8_t)~CTX_F_CANCEL_WANTED;
    }
}

static bool ctx_is_waiting(enum ctx_state s)
{
    return s == CTX_CALLING || s == CTX_PROCEEDING;
}

/* The setter: what goes with a state whichever machine it is. */
static void ctx_set_state(struct sip_ctx *tx, enum ctx_state next)
{
    enum ctx_state was = tx->head.state;

    if (was == next)
        return;
    tx->head.state = (uint8_t)next;
    if (ctx_is_waiting(was) && !ctx_is_waiting(next)) {
        tx_unlink(&tx->head.link);
        tx->l->st.ctx_open--;
    }
    if (next == CTX_CALLING) {
        txl_ctx_wait(tx);
        tx->l->st.ctx_open++;
    }
    if (next == CTX_TERMINATED)
        txl_timer_stop(tx->l, &tx->head, &tx->timer);
}

void ctx_event(struct sip_ctx *tx, enum ctx_event ev, const struct ctx_in *in)
{
    const struct ctx_cell *cell;

    if (tx->head.method == SIP_INVITE)
        cell = &ctx_invite_table[tx->head.state][ev];
    else
        cell = &ctx_other_table[tx->head.state][ev];
    if (!cell->act)
        return;
    ctx_set_state(tx, cell->next);
    cell->act->run(tx, in);
}

void ctx_up(struct sip_ctx *tx, const struct ctx_in *in)
{
    if (tx->user.on_response)
        tx->user.on_response(tx->user.arg, tx, in->m, in->rx);
}

/* ---- ends ---- */

/* Gives the object back, with the INVITE that waited for its CANCEL to end. */
static void ctx_release(struct sip_ctx *tx)
{
    struct sip_ctx *peer =
        tx->head.flags & CTX_F_CANCELLED || tx->head.method == SIP_CANCEL ? tx->peer : NULL;

    ctx_drop_buf(tx);
    if (tx->head.method == SIP_CANCEL && peer) {
        peer->peer = NULL;
        if (peer->head.flags & CTX_F_WAITS)
            txl_ctx_put(peer);
    } else if (peer) {
        tx->head.flags |= CTX_F_WAITS;
        return;
    }
    txl_ctx_put(tx);
}

static void ctx_gone(struct sip_ctx *tx, const struct ctx_in *in)
{
    (void)in;
    if (tx->user.on_gone)
        tx->user.on_gone(tx->user.arg, tx);
    tx->user = (struct sip_ctx_user){0};
    ctx_release(tx);
}

static void ctx_end(struct sip_ctx *tx, enum sip_tx_end why)
{
    if (tx->user.on_end)
        tx->user.on_end(tx->user.arg, tx, why);
    ctx_gone(tx, NULL);
}

static void ctx_timeout(struct sip_ctx *tx, const struct ctx_in *in)
{
    (void)in;
    tx->l->st.timeouts++;
    ctx_end(tx, SIP_TX_TIMEOUT);
}

static void ctx_fail(struct sip_ctx *tx, const struct ctx_in *in)
{
    (void)in;
    ctx_end(tx, SIP_TX_TRANSPORT);
}

const struct ctx_act ctx_act_timeout = {"say timeout", ctx_timeout};
const struct ctx_act ctx_act_fail = {"say transport error", ctx_fail};
const struct ctx_act ctx_act_gone = {"-", ctx_gone};

bool ctx_repeat(struct sip_ctx *tx)
{
    tx->l->st.retransmits_out++;
    if (txl_send(tx->l, &tx->path, tx->buf) == 0)
        return true;
    ctx_event(tx, CTX_E_SEND_ERROR, NULL);
    return false;
}

/* ---- matching ---- */

static struct sip_ctx *ctx_find(const struct sip_txl *l, const struct sip_msg *m)
{
    struct str branch = m->via.branch;
    int64_t slot = tx_branch_slot(branch);
    struct sip_ctx *tx = slot < 0 ? NULL : txl_ctx_at(l, (uint32_t)slot);

    if (!tx || tx->head.state == CTX_FREE || tx->head.state == CTX_NEW ||
        branch.n != tx->head.n_branch || !secret_bytes_eq(branch.p, tx->branch, branch.n))
        return NULL;
    if (m->cseq_method == SIP_CANCEL && tx->head.method == SIP_INVITE)
        tx = tx->head.flags & CTX_F_CANCELLED ? tx->peer : NULL;
    else if (m->cseq_method != (enum sip_method)tx->head.method)
        tx = NULL;
    return tx && tx->head.state != CTX_TERMINATED ? tx : NULL;
}

void ctx_receive(struct sip_txl *l, struct sip_msg *m, const struct rx *rx)
{
    struct sip_ctx *tx = ctx_find(l, m);
    struct ctx_in in = {m, rx};

    if (!tx) {
        l->st.strays++;
        l->user.on_stray(l->user.arg, m, rx);
        return;
    }
    if (tx->head.state == CTX_COMPLETED)
        l->st.retransmits_in++;
    ctx_event(tx, m->status < 200 ? CTX_E_1XX : m->status < 300 ? CTX_E_2XX : CTX_E_FINAL, &in);
}

/* ---- from the user ---- */

static struct sip_ctx *ctx_make(struct sip_txl *l, enum sip_method method, bool reserve)
{
    struct sip_ctx *tx = txl_has_room(l, reserve) ? txl_ctx_get(l) : NULL;

    if (!tx)
        return NULL;
    tx->head.state = CTX_NEW;
    tx->head.method = (uint8_t)method;
    tx->l = l;
    tx->end_ms = TX_NEVER;
    wheel_timer_init(&tx->timer, ctx_timer);
    return tx;
}

struct sip_ctx *sip_ctx_new(struct sip_txl *l, enum sip_method method,
                            const struct sip_ctx_user *user)
{
    struct sip_ctx *tx = method == SIP_ACK ? NULL : ctx_make(l, method, false);

    if (!tx)
        return NULL;
    if (user)
        tx->user = *user;
    tx->head.n_branch =
        (uint8_t)tx_branch_write(tx->branch, l->worker, tx->head.index, rand_u64(l->rand));
    return tx;
}

void sip_ctx_set_loop_hash(struct sip_ctx *tx, uint64_t hash)
{
    if (tx->head.state == CTX_NEW && hash)
        tx->head.n_branch = (uint8_t)tx_branch_add_hash(tx->branch, hash);
}

struct str sip_ctx_via_branch(const struct sip_ctx *tx)
{
    return str_make(tx->branch, tx->head.n_branch);
}

const struct path *sip_ctx_path(const struct sip_ctx *tx)
{
    return &tx->path;
}

static void ctx_discard(struct sip_ctx *tx)
{
    tx->user = (struct sip_ctx_user){0};
    ctx_set_state(tx, CTX_TERMINATED);
    ctx_release(tx);
}

int sip_ctx_start(struct sip_ctx *tx, struct buf *request, const struct path *to)
{
    struct sip_txl *l = tx->l;
    int err;

    if (tx->head.state != CTX_NEW)
        return ERR_INVALID;
    tx->path = *to;
    err = txl_send(l, to, request);
    if (err < 0) {
        ctx_discard(tx);
        return err;
    }
    /* Over a stream only an INVITE needs its text again, for ACK and CANCEL. */
    if (!tx_is_reliable(to) || tx->head.method == SIP_INVITE)
        tx->buf = buf_ref(request);
    ctx_set_state(tx, CTX_CALLING);
    tx->interval_ms = l->t.t1_ms;
    tx->end_ms = txl_now(l) + txl_64t1(l); /* timers B and F, on any transport */
    ctx_arm(tx, tx_is_reliable(to) ? TX_NEVER : tx->interval_ms);
    return 0;
}

void sip_ctx_detach(struct sip_ctx *tx)
{
    if (tx->head.state == CTX_NEW) {
        ctx_discard(tx);
        return;
    }
    tx->user = (struct sip_ctx_user){0};
    /* Nobody is left who would cancel it. */
    if (tx->head.method == SIP_INVITE && tx->head.state == CTX_PROCEEDING && tx->end_ms == TX_NEVER)
        ctx_end_in(tx, TX_TIMER_C_MS);
}

void sip_ctx_cancel(struct sip_ctx *tx, struct str reason_value)
{
    if (tx->head.method != SIP_INVITE || tx->head.flags & (CTX_F_CANCEL_WANTED | CTX_F_CANCELLED) ||
        (tx->head.state != CTX_NEW && !ctx_is_waiting(tx->head.state)))
        return;
    /* Without memory the CANCEL goes without its reason. */
    tx->head.flags |= CTX_F_CANCEL_WANTED;
    tx->reason = reason_value.n ? buf_copy(reason_value) : NULL;
    ctx_event(tx, CTX_E_CANCEL, NULL);
}

/* ---- ACK and CANCEL, built from the request as it was sent ---- */

/* The request parsed again: it is needed in rare cases only. The caller gives back the arena. */
static struct sip_msg *ctx_parse_sent(struct sip_ctx *tx, struct arena **ret_arena)
{
    struct reason why;
    struct sip_msg *m;

    *ret_arena = sip_txl_arena(tx->l);
    if (!*ret_arena || sip_msg_parse(*ret_arena, buf_str(tx->buf), &m, &why) != 0)
        return NULL;
    return m->is_request ? m : NULL;
}

/* 17.1.1.3. Without memory nothing is sent; the response comes again, and then perhaps. */
void ctx_send_ack(struct sip_ctx *invite, struct sip_msg *response, bool *ret_failed)
{
    struct sip_txl *l = invite->l;
    struct arena *a;
    struct sip_msg *sent = ctx_parse_sent(invite, &a);
    struct buf *ack = NULL;
    int err;

    *ret_failed = false;
    err = sent ? sip_ack_build(sent, response, &ack) : ERR_NOMEM;
    sip_txl_arena_done(l, a);
    if (err != 0)
        return;
    ctx_drop_buf(invite);
    invite->buf = ack;
    invite->head.flags |= CTX_F_ACKED;
    *ret_failed = txl_send(l, &invite->path, ack) < 0;
}

/* A transaction without a user. If it cannot be made or sent, the INVITE still ends 64*T1 later. */
static void cancel_start(struct sip_ctx *invite, struct buf *request)
{
    struct sip_txl *l = invite->l;
    struct sip_ctx *tx = ctx_make(l, SIP_CANCEL, true);

    if (!tx)
        return;
    tx->peer = invite;
    invite->peer = tx;
    if (sip_ctx_start(tx, request, &invite->path) != 0)
        return; /* it has undone the two lines above */
}

void ctx_send_cancel(struct sip_ctx *invite)
{
    struct sip_txl *l = invite->l;
    struct arena *a;
    struct sip_msg *sent = ctx_parse_sent(invite, &a);
    struct buf *reason = invite->reason, *request = NULL;
    struct str value = reason ? buf_str(reason) : STR_NULL;

    invite->head.flags &= (uint8_t)~CTX_F_CANCEL_WANTED;
    invite->head.flags |= CTX_F_CANCELLED;
    invite->peer = NULL;
    if (sent && sip_cancel_build(sent, value, &request) == 0)
        cancel_start(invite, request);
    buf_unref(request);
    buf_unref(reason);
    sip_txl_arena_done(l, a);
    ctx_end_in(invite, txl_64t1(l)); /* 9.1 */
}

/* The branches of a response context: each finds its path (hop.c), is signed if it leaves for another domain, goes out with its client
 * transaction, and comes back with responses, which pass, are kept, or lead to another try: the next server (RFC 3263 4.3), TCP for what
 * is too large, another description or credentials of an anchored call (RFC 3261 16.6 steps 7 to 11, 16.7 to 16.9).
 *
 * Owner: the context (proxy.c). What comes from other rooms runs between proxy_enter and proxy_leave. Worker thread. */
#include "base/log.h"
#include "edge/identity/answer.h"
#include "edge/proxy/proxy_priv.h"
#include "edge/request_priv.h"
#include "edge/status/phone.h"
#include "edge/peers/trunk.h"
#include "sip/smime.h"

/* ---- answers ---- */

void branch_uncount(struct branch *b, bool has_answered)
{
    struct proxy *p = b->p;

    if (b->counted)
        calls_peer_over(p->w, p->call_slot, p->call_gen, b->counted, has_answered);
    b->counted = NULL;
}

static void branch_done(struct branch *b, unsigned status)
{
    b->state = BRANCH_DONE;
    b->status = status;
    branch_uncount(b, status < 300);
    wheel_cancel(b->p->w->net->wheel, &b->timer_c);
    if (b->anchored && status >= 300)
        anchor_branch_over(b->p, b);
}

/* It ended by our own finding. */
static void branch_fail(struct branch *b, unsigned status, const char *code, const char *clause)
{
    branch_done(b, status);
    b->code = code;
    b->clause = clause;
}

/* 16.9: as if 503 had come; on the flow of a registration, 430 (RFC 5626 5.3.1). A contact that cannot be connected to any more is no
 * fault of ours either: there is no valid location of that user (21.4.18; said as 480, as of a flow). */
static void branch_fail_transport(struct branch *b)
{
    if (b->t && b->t->to_user && b->t->has_path)
        branch_fail(b, 430, "flow-failed", "RFC 5626 5.3");
    else if (b->t && b->t->to_user)
        branch_fail(b, 430, "contact-unreachable", "RFC 3261 21.4.18");
    else
        branch_fail(b, 503, "transport-error", "RFC 3261 16.9");
}

static void branch_fail_timeout(struct branch *b)
{
    branch_fail(b, 408, "no-response", "RFC 3261 17.1");
}

/* ---- branches ---- */

void branches_cancel(struct proxy *p, const struct branch *except, struct str reason_value)
{
    unsigned i;

    for (i = 0; i < p->n; i++) {
        struct branch *b = branch_at(p, i);

        if (b == except || b->state == BRANCH_DONE)
            continue;
        b->canceled = true;
        if (b->state == BRANCH_CALLING || b->state == BRANCH_PROCEEDING) {
            if (b->ctx && p->method == SIP_INVITE)
                sip_ctx_cancel(b->ctx, reason_value);
        } else {
            if (p->r)
                hop_cancel(b->hop);
            identity_signing_cancel(b->signing);
            b->signing = NULL;
            branch_done(b, 487);
        }
    }
}

static void branch_give_up(struct branch *b);

static void on_timer_c(struct wheel_timer *t)
{
    struct branch *b = CONTAINER_OF(t, struct branch, timer_c);

    if (!b->ctx || b->state == BRANCH_DONE)
        return;
    if (b->state == BRANCH_CALLING && b->is_hurried) {
        proxy_enter(b->p);
        branch_give_up(b);
        proxy_leave(b->p);
        return;
    }
    LOG(LOG_INFO, "timer-c", LZ("clause", "RFC 3261 16.8"));
    sip_ctx_cancel(b->ctx, STR_NULL);
}

/* Is there somebody else to be asked the same? Who calls for help does not wait until a way that says nothing has failed (RFC 6881
 * SP-31). */
static bool has_another(const struct branch *b)
{
    unsigned i;

    for (i = 0; (b->t->is_one_of || b->t->emergency) && i < b->p->n; i++)
        if (!branch_at(b->p, i)->started && str_eq(branch_at(b->p, i)->t->group, b->t->group))
            return true;
    return false;
}

#define HURRY_MS 4000u /* a server that works answers before its client has repeated a request three times (RFC 3261 17.1) */

static void start_timer_c(struct branch *b)
{
    b->is_hurried = b->state == BRANCH_CALLING && b->p->r && !b->p->final_sent && has_another(b);
    if (b->is_hurried)
        wheel_start(b->p->w->net->wheel, &b->timer_c, HURRY_MS);
    else if (b->p->method == SIP_INVITE)
        wheel_start(b->p->w->net->wheel, &b->timer_c, (uint64_t)b->p->w->cfg->timer_c_s * 1000);
}

static void on_final_2xx(struct branch *b, const struct sip_msg *m)
{
    struct proxy *p = b->p;
    struct buf *out = best_response_build(b, m);
    uint32_t session_s;

    if (sip_msg_seconds(m, SIP_H_SESSION_EXPIRES, &session_s) != 0)
        session_s = 0; /* RFC 4028 8.1: the proxy may forget the call when it is not refreshed */
    if (!out && p->method == SIP_INVITE)
        return; /* no memory: its sender repeats it until there is an ACK (13.3.1.4); else on_gone ends it */
    branch_done(b, m->status);
    if (!out) {
        branch_fail(b, 502, "bad-response", "RFC 3261 16.7");
        proxy_conclude(p);
        return;
    }
    if (!p->final_sent)
        branches_cancel(p, b, STR("SIP;cause=200;text=\"Call completed elsewhere\""));
    answer_pass(b, m, out, session_s); /* every 2xx to an INVITE passes (16.7 step 5) */
    buf_unref(out);
}

/* The branch goes on without its client transaction, which runs to its end by itself and must not call a context that is gone. */
static void branch_let_go(struct branch *b)
{
    struct sip_ctx *tx = b->ctx;

    b->ctx = NULL;
    wheel_cancel(b->p->w->net->wheel, &b->timer_c);
    if (tx)
        sip_ctx_detach(tx);
}

/* RFC 3263 4.3: that server failed: the next one. False: there is none to be looked for. */
static bool branch_next_server(struct branch *b)
{
    if (!b->hop || !b->t || b->t->has_path || b->canceled || b->p->final_sent)
        return false;
    branch_let_go(b);
    b->state = BRANCH_LOCATING;
    if (b->p->anchor) { /* keys may be said to that one and not to this, or the other way round */
        b->is_signed = false;
        b->signed_ = NULL;
    }
    hop_next(b->hop);
    return true;
}

/* It has not said a word, and another peer may do: that one is asked. Should this one wake up, it is told that nobody waits. */
static void branch_give_up(struct branch *b)
{
    if (b->hop && b->t && !b->t->has_path)
        hop_failed(b->hop);
    if (b->p->method == SIP_INVITE)
        sip_ctx_cancel(b->ctx, STR_NULL);
    branch_let_go(b);
    branch_fail(b, 408, "no-response", "RFC 3263 4.3");
    if (!b->p->final_sent)
        proxy_conclude(b->p);
}

static int branch_send(struct branch *b, const struct path *path);
static void branch_path(struct branch *b, const struct path *path, const struct reason *why);

/* Its answer does not fit what was offered (an anchored call): as if the branch had refused. */
static void branch_refused(struct branch *b, const struct sip_msg *m, const struct reason *why)
{
    if (m->status < 200 && b->ctx)
        sip_ctx_cancel(b->ctx, STR_NULL);
    branch_fail(b, why->sip_status ? why->sip_status : 488, why->code, why->clause);
    proxy_conclude(b->p);
}

/* The same target again, with another offer. */
static void branch_again(struct branch *b)
{
    struct path path = *sip_ctx_path(b->ctx);

    branch_let_go(b);
    b->is_signed = false; /* it signs another description */
    b->signed_ = NULL;
    branch_path(b, &path, NULL);
}

#define CHALLENGES_MAX 4u /* of one request: nonces that are stale each time go on for ever */

_Static_assert(CHALLENGES_MAX < TOKEN_CSEQ_ROOM, "each try has a number of its own");

/* A request that is sent again has another number (RFC 3261 22.2): an anchored call has numbers of its own, and so can have what stands
 * alone, or forms a dialog (SUBSCRIBE, REFER), whose token keeps them apart from then on. */
static bool may_count_on(const struct proxy *p)
{
    return p->anchor || (p->method != SIP_INVITE && (!sip_msg_in_dialog(p->r->m) || spaced_is(p)));
}

/* A carrier that we have an account with challenges us: the caller, who has none there, hears nothing of it (RFC 3261 22.3). */
static bool branch_challenged(struct branch *b, const struct sip_msg *m)
{
    struct reason why = {0};
    struct path path;

    if ((m->status != 401 && m->status != 407) || !b->t || !trunk_is(b->t->peer) || !b->p->r || b->canceled || b->p->final_sent || !b->ctx ||
        !trunk_is_at(b->p->w, b->t->peer, b->t, sip_ctx_path(b->ctx)))
        return false;
    if (b->n_challenged == CHALLENGES_MAX || trunk_challenged(b->p->w, b->t->peer, m, b->n_challenged > 0, &why) != 0) {
        LOG(LOG_WARN, "trunk-challenge", LS("peer", b->t->peer->name), LZ("reason", why.code), LZ("detail", why.detail));
        return false;
    }
    if (!may_count_on(b->p))
        return false;
    path = *sip_ctx_path(b->ctx);
    branch_let_go(b);
    b->n_challenged++;
    b->is_challenged = true;
    if (b->signed_ && b->signed_->info.n) { /* whose signature names the number */
        b->is_signed = false;
        b->signed_ = NULL;
    }
    branch_path(b, &path, NULL);
    return true;
}

/* What becomes of a response in an anchored call. True: it passes, with the changes. */
static bool branch_anchored(struct branch *b, const struct sip_msg *m, struct forward_changes *changes)
{
    struct reason why = {0};

    if (b->state == BRANCH_DONE && m->status >= 300)
        return false; /* refused by us before */
    if (branch_challenged(b, m))
        return false;
    switch (anchor_response(b->p, b, m, changes, &why)) {
    case ANCHOR_PASS:
        return true;
    case ANCHOR_REFUSED:
        branch_refused(b, m, &why);
        break;
    case ANCHOR_AGAIN:
        branch_again(b);
        break;
    case ANCHOR_DROP:
        if (m->status >= 200) {
            branch_uncount(b, false); /* hung up on */
            branch_done(b, m->status);
        }
        break;
    }
    return false;
}

static void branch_pass(struct branch *b, const struct sip_msg *m)
{
    struct proxy *p = b->p;
    struct buf *out;

    if (m->status < 200) {
        b->state = BRANCH_PROCEEDING;
        if (m->status > 100) {
            start_timer_c(b);
            if (!p->final_sent && (out = best_response_build(b, m)) != NULL) {
                calls_event(p->w, p->call_slot, p->call_gen, m->status, p->method, 0, 0);
                answer_pass(b, m, out, 0);
                buf_unref(out);
            }
        }
        return;
    }
    if (m->status < 300) {
        on_final_2xx(b, m);
        return;
    }
    branch_done(b, m->status);
    if (p->final_sent)
        return;
    if (m->status < 400 && redirect_follow(b, m)) {
        b->status = 0; /* what came of it counts */
        proxy_conclude(p);
        return;
    }
    best_keep(b, m, 0);
    if (m->status == 503 && b->hop && b->t && !b->t->has_path && sip_msg_has(m, SIP_H_RETRY_AFTER))
        hop_failed(b->hop); /* it asks to be spared (RFC 3261 21.5.4) */
    if (m->status == 503 && branch_next_server(b))
        return;
    if (m->status >= 600)
        branches_cancel(p, b, STR_NULL);
    proxy_conclude(p);
}

static void branch_response(struct branch *b, const struct sip_msg *m, const struct rx *rx)
{
    struct forward_changes changes = {0};
    struct proxy *p = b->p;

    if (b->p->anchor ? !branch_anchored(b, m, &changes) : branch_challenged(b, m))
        return;
    if (!b->p->anchor && b->has_other_cseq) {
        changes.has_cseq = true;
        changes.cseq = p->cseq;
    }
    if (!b->p->anchor && m->body.n && b->p->stx &&
        anchor_direct_response(m, &rx->path, &sip_stx_rx(b->p->stx)->path, b->may_be_clear, b->is_emergency, &changes) != 0)
        return; /* no memory: its sender repeats what counts */
    proxy_note_answer(b, m, rx);
    if (p->r && proxy_begins_call(p))
        status_tell_caller(b, m, &changes);
    answer_recall(b, m, &changes);
    b->changes = &changes;
    branch_pass(b, m);
    b->changes = NULL;
}

static void on_response(void *arg, struct sip_ctx *tx, struct sip_msg *m, const struct rx *rx)
{
    struct branch *b = arg;
    struct proxy *p = b->p;
    bool may_be_judged;

    (void)tx;
    proxy_enter(p);
    if (b->may_sign && m->status > 100 && sip_msg_has(m, SIP_H_IDENTITY))
        b->is_judged = true;
    /* What a user of ours has signed in the body is judged as well; that it has not is no news. */
    may_be_judged = b->is_judged || (b->may_sign && m->status > 100 && sip_smime_is_possible(m));
    if (!may_be_judged || !answer_judge(b, m, rx))
        branch_response(b, m, rx);
    b->smime = NULL; /* it lived as long as the response */
    proxy_leave(p);
}

void branch_judged(struct branch *b, struct sip_msg *m, const struct rx *rx)
{
    if (branch_way(b)) /* else it has ended meanwhile */
        branch_response(b, m, rx);
}

void branch_answer_lost(struct branch *b)
{
    if (b->ctx || b->state == BRANCH_DONE)
        return; /* its sender says it again */
    branch_fail(b, 500, "no-memory", NULL);
    if (!b->p->final_sent)
        proxy_conclude(b->p);
}

const struct path *branch_way(const struct branch *b)
{
    return b->ctx ? sip_ctx_path(b->ctx) : b->way;
}

void branch_heard(struct branch *b)
{
    if (b->state == BRANCH_CALLING) {
        b->state = BRANCH_PROCEEDING;
        start_timer_c(b);
    }
}

void branch_answer_refused(struct branch *b, const struct sip_msg *m, const struct reason *why)
{
    if (m->status < 200 && b->ctx)
        sip_ctx_cancel(b->ctx, STR_NULL);
    if (b->state != BRANCH_DONE)
        branch_fail(b, b->p->r && sip_msg_in_dialog(b->p->r->m) ? 481 : 502, why->code, why->clause);
    if (!b->p->final_sent)
        proxy_conclude(b->p);
}

/* The TCP connection for a large request was refused: 18.1.1 says to use UDP then. */
static bool branch_again_by_datagram(struct branch *b)
{
    const struct path *udp = b->oversize;

    if (!udp || b->state != BRANCH_CALLING || b->canceled || !b->p->r || sip_ctx_path(b->ctx)->transport == TRANSPORT_UDP)
        return false;
    branch_let_go(b);
    return branch_send(b, udp) == 0;
}

static void branch_end(struct branch *b, enum sip_tx_end why)
{
    bool is_next;

    if (why == SIP_TX_TRANSPORT && branch_again_by_datagram(b))
        return;
    /* A timeout counts where nothing at all came back (RFC 3263 4.3). */
    if (why == SIP_TX_TIMEOUT && b->state == BRANCH_CALLING && b->hop && b->t && !b->t->has_path)
        hop_failed(b->hop);
    is_next = why == SIP_TX_TRANSPORT || b->state == BRANCH_CALLING;
    if (is_next) { /* what is said if there is none */
        b->no_more = why == SIP_TX_TIMEOUT ? branch_fail_timeout : branch_fail_transport;
        if (branch_next_server(b))
            return;
    }
    if (why == SIP_TX_TIMEOUT)
        branch_fail_timeout(b);
    else
        branch_fail_transport(b);
    if (!b->p->final_sent)
        proxy_conclude(b->p);
}

static void on_end(void *arg, struct sip_ctx *tx, enum sip_tx_end why)
{
    struct branch *b = arg;
    struct proxy *p = b->p;

    (void)tx;
    proxy_enter(p);
    branch_end(b, why);
    proxy_leave(p);
}

/* On a stream a transaction other than INVITE's is over with its answer (timer K, RFC 3261 17.1.2.2), and nobody repeats that: what is
 * being judged then is waited for as long as the request is. */
static bool keep_waiting(struct branch *b, struct sip_ctx *tx)
{
    struct path *way;

    if (b->p->method == SIP_INVITE || b->state == BRANCH_DONE || !b->p->r || !answer_waits(b) ||
        (way = arena_alloc(b->p->r->m->arena, sizeof *way)) == NULL)
        return false;
    *way = *sip_ctx_path(tx);
    b->way = way;
    return true;
}

static void on_gone(void *arg, struct sip_ctx *tx)
{
    struct branch *b = arg;
    struct proxy *p = b->p;

    proxy_enter(p);
    if (!keep_waiting(b, tx)) { /* of those let go nothing is heard */
        if (b->state != BRANCH_DONE) { /* a 2xx that could not be passed on */
            branch_fail(b, 502, "bad-response", "RFC 3261 16.7");
            proxy_conclude(p);
        }
        answer_forget(b);
    }
    b->ctx = NULL;
    proxy_leave(p);
}

/* RFC 3261 18.1.1: what does not fit a datagram goes by a stream. A registered datagram contact has no other address, so it
 * keeps UDP; a located next hop is tried by TCP at the same address. */
static bool is_oversize(const struct branch *b, const struct path *path, const struct buf *msg)
{
    return path->transport == TRANSPORT_UDP && msg->n > EDGE_UDP_MAX && !b->t->has_path && !addr_is_loopback(&path->remote);
}

/* What is changed in the copy that leaves along `path`; the same again when it is asked again. */
static int branch_changes(struct branch *b, const struct path *path, struct forward_changes *ret, struct reason *why)
{
    struct proxy *p = b->p;

    if (p->anchor) {
        if (anchor_request(p, b, path, ret, why) != ANCHOR_PASS)
            return ERR_REFUSED;
        b->is_challenged = false; /* the next number is taken */
        return 0;
    }
    if (anchor_direct_request(p->r, b->t, path, ret, why) != 0)
        return ERR_REFUSED;
    if (spaced_is(p) && token_cseq(&p->r->token, p->cseq, b->n_challenged, &ret->cseq) != 0) {
        reason_set(why, "cseq-exhausted", "RFC 3261 8.1.1.5", 500, NULL);
        return ERR_REFUSED;
    }
    if (!spaced_is(p))
        ret->cseq = p->cseq + b->n_challenged;
    if (spaced_event(p, ret) != 0) {
        reason_set(why, "no-memory", NULL, 500, NULL);
        return ERR_REFUSED;
    }
    ret->has_cseq = b->has_other_cseq = ret->cseq != p->cseq;
    return 0;
}

/* Of what RFC 4474 signs that may leave otherwise than it came. */
static uint64_t sum_of(const struct branch *b, const struct forward_changes *c)
{
    uint32_t cseq = c->has_cseq ? c->cseq : b->p->r->m->cseq;

    return str_hash(c->has_body ? c->body : b->p->r->m->body) + cseq;
}

/* Another server may be sent another description than the one that was signed: a signature that does
 * not hold is worse than none. */
static void branch_signatures(struct branch *b, const struct forward_changes *c, struct forward_args *f)
{
    struct str rest, line;

    if (!b->signed_)
        return;
    f->identity = b->signed_->identity;
    f->date = b->signed_->date;
    f->identity_info = b->signed_->info;
    if (!f->identity_info.n || b->signed_as == sum_of(b, c))
        return;
    LOG(LOG_NOTICE, "identity-outdated", LZ("clause", "RFC 4474 9"), LS("call", b->p->r->m->call_id));
    f->identity_info = STR_NULL;
    for (rest = f->identity, f->identity = STR_NULL; rest.n;) { /* that of RFC 4474 comes last */
        struct str all = b->signed_->identity;

        rest = str_cut(rest, '\n', &line);
        if (rest.p)
            f->identity = str_make(all.p, (size_t)(line.p + line.n - all.p));
    }
}

static int branch_send(struct branch *b, const struct path *path)
{
    static const struct sip_ctx_user callbacks = {.on_response = on_response, .on_end = on_end, .on_gone = on_gone};
    struct proxy *p = b->p;
    struct sip_ctx_user u = callbacks;
    struct forward_args f = {.t = b->t, .out = path, .breadth = p->breadth, .call_slot = p->call_slot,
                             .call_gen = p->call_gen};
    struct digest_client_cred creds[DIGEST_CLIENT_CREDS_MAX];
    struct forward_changes changes = {0};
    struct reason why = {0};
    struct buf *msg;
    int err = 0;

    if (branch_changes(b, path, &changes, &why) != 0) {
        branch_fail(b, why.sip_status ? why.sip_status : 500, why.code, why.clause);
        return ERR_REFUSED;
    }
    if (p->anchor)
        anchor_name(p->anchor, &f.anchor_slot, &f.anchor_gen);
    b->is_emergency = p->r->emergency || b->t->emergency;
    b->may_be_clear = p->anchor || anchor_direct_may_be_clear(p->r, b->t);
    if (proxy_begins_call(p) && status_check_request(b, path, &changes, &why) != 0) {
        branch_fail(b, why.sip_status, why.code, why.clause);
        return ERR_REFUSED;
    }
    b->has_level = changes.from.n > 0 || status_phone_changes_from(p->r, b->t);
    branch_signatures(b, &changes, &f);
    f.changes = &changes;
    u.arg = b;
    sip_txl_use_reserve(p->w->txl, b->is_emergency || p->method == SIP_BYE || p->method == SIP_PRACK);
    b->ctx = sip_ctx_new(p->w->txl, p->method, &u);
    sip_txl_use_reserve(p->w->txl, false);
    if (!b->ctx)
        return ERR_LIMIT;
    sip_ctx_set_loop_hash(b->ctx, request_loop_hash(p->r));
    f.branch = sip_ctx_via_branch(b->ctx);
    if (trunk_is(b->t->peer) && trunk_is_at(p->w, b->t->peer, b->t, path)) {
        f.creds = creds;
        err = trunk_answer(p->w, b->t->peer, p->r->m->arena, p->method, b->t->uri, changes.has_body ? changes.body : p->r->m->body, creds,
                           &f.n_creds);
    }
    err = err ? err : forward_build(p->r, &f, &msg);
    if (err == 0 && p->anchor && p->method == SIP_INVITE && trunk_is(b->t->peer)) {
        anchor_keep_creds(b, p->dialog, creds, f.n_creds);
        if (p->r->from_changed)
            anchor_set_renamed(p->anchor);
    }
    if (err != 0) {
        branch_let_go(b);
        return err;
    }
    if (is_oversize(b, path, msg) && !b->oversize) {
        branch_let_go(b);
        buf_unref(msg);
        return ERR_AGAIN;
    }
    b->state = BRANCH_CALLING;
    b->called_us = net_now_us(p->w->net);
    err = sip_ctx_start(b->ctx, msg, path);
    buf_unref(msg);
    if (err != 0) {
        b->ctx = NULL;
        return err;
    }
    if (p->anchor)
        anchor_request_left(p, b, changes.cseq);
    proxy_note_called(b, path);
    edge_count(p->w, EC_FORWARDED);
    start_timer_c(b);
    return 0;
}

/* Too large for a datagram: by TCP at the same address; if that cannot be had, as a datagram after all (18.1.1). */
static int branch_send_oversize(struct branch *b, const struct path *udp)
{
    struct path tcp, *copy = arena_alloc(b->p->r->m->arena, sizeof *copy);

    if (!copy)
        return ERR_NOMEM;
    *copy = *udp;
    b->oversize = copy;
    if (hop_stream_instead(b->hop, udp, &tcp) == 0 && branch_send(b, &tcp) == 0)
        return 0;
    return branch_send(b, udp);
}

static void on_signed(void *arg, const struct identity_signed *s)
{
    struct branch *b = arg;
    struct proxy *p = b->p;

    proxy_enter(p);
    b->signing = NULL;
    b->signed_ = s;
    branch_path(b, b->signed_path, NULL);
    proxy_leave(p);
}

/* What leaves for another domain is signed as it leaves, so only now (RFC 8224 6.1). True: it goes on in on_signed. */
static bool branch_sign(struct branch *b, const struct path *path)
{
    struct forward_changes changes = {0};
    struct reason why = {0};
    struct path *copy;
    bool is_whole;

    if (b->is_signed)
        return false;
    b->is_signed = true;
    if (!identity_signs(b->p->r, b->t, &is_whole) || ((b->p->anchor || is_whole) && branch_changes(b, path, &changes, &why) != 0))
        return false; /* branch_send finds it, too */
    b->signed_as = sum_of(b, &changes);
    if (!identity_sign(b->p->r, b->t, &changes, on_signed, b, &b->signing))
        return false;
    if ((copy = arena_alloc(b->p->r->m->arena, sizeof *copy)) == NULL) {
        identity_signing_cancel(b->signing);
        b->signing = NULL;
        return false;
    }
    *copy = *path;
    b->signed_path = copy;
    return true;
}

static void branch_path(struct branch *b, const struct path *path, const struct reason *why)
{
    struct proxy *p = b->p;
    int err;

    if (p->final_sent || !p->r)
        return;
    if (!path) {
        LOG(LOG_INFO, "no-next-hop", LZ("reason", why ? why->code : NULL), LZ("detail", why ? why->detail : NULL),
            LS("uri", b->t->uri));
        if (b->no_more)
            b->no_more(b);
        else
            branch_fail(b, why && why->sip_status ? why->sip_status : 503, why ? why->code : NULL, why ? why->clause : NULL);
        proxy_conclude(p);
        return;
    }
    if (b->canceled) {
        branch_done(b, 487);
        proxy_conclude(p);
        return;
    }
    if (branch_sign(b, path))
        return;
    err = branch_send(b, path);
    if (err == ERR_AGAIN)
        err = branch_send_oversize(b, path);
    if (err == 0)
        return;
    if (err == ERR_REFUSED) {
        proxy_conclude(p);
        return;
    }
    if (err == ERR_NOMEM || err == ERR_LIMIT) {
        branch_fail(b, 500, "no-memory", NULL);
        proxy_conclude(p);
        return;
    }
    b->state = BRANCH_LOCATING;
    if (b->t->has_path) {
        branch_fail_transport(b);
        proxy_conclude(p);
        return;
    }
    b->no_more = branch_fail_transport;
    hop_next(b->hop); /* bounded: each call takes one off the list */
}

static void on_path(void *arg, const struct path *path, const struct reason *why)
{
    struct branch *b = arg;
    struct proxy *p = b->p;

    proxy_enter(p);
    branch_path(b, path, why);
    proxy_leave(p);
}

/* Limits of the peer that it leads to, whatever has led there: the first way, a redirection, or that others have failed. */
static bool branch_count(struct branch *b)
{
    struct proxy *p = b->p;
    int err;

    if (!proxy_begins_call(p))
        return true;
    err = calls_peer_begin(p->w, p->call_slot, p->call_gen, b->t->peer, p->r->emergency || b->t->emergency, &b->counted);
    if (err == ERR_LIMIT) /* as a flow that does not lead there any more: others may, and the caller hears 480 */
        branch_fail(b, 430, "peer-too-many-calls", "TR/100 6.2");
    else if (err != 0)
        branch_fail(b, 500, "no-memory", NULL);
    return err == 0;
}

void branch_start(struct branch *b)
{
    struct proxy *p = b->p;
    bool sips = p->r->ruri.scheme == SIP_SCHEME_SIPS && !b->t->emergency;
    int err;

    b->started = true;
    b->state = BRANCH_LOCATING;
    answer_branch(b);
    if (!branch_count(b)) {
        proxy_conclude(p);
        return;
    }
    err = hop_start(p->r, p->r->m->arena, b->t, sips, on_path, b, &b->hop);
    if (err != 0) {
        branch_fail(b, 500, "no-memory", NULL);
        proxy_conclude(p);
    }
}

void branch_init(struct branch *b, struct proxy *p, const struct edge_target *t)
{
    *b = (struct branch){.p = p, .t = t};
    wheel_timer_init(&b->timer_c, on_timer_c);
}

/* The stateful proxy: one response context per server transaction, one branch per target (RFC 3261 16.6 to 16.10, RFC 6026 8,
 * RFC 4320 4, RFC 5393 5.3.3).
 *
 * Life: proxy_forward makes the context and starts the branches of the highest q; each branch asks hop.c for a path, makes its
 * client transaction, and comes back with responses. Groups of lower q follow when all of a group have failed. The first 2xx (or a
 * 6xx) cancels the others; when none is under way any more the best response goes back. After the final response the request and
 * its arena are gone (r is NULL); the context of an INVITE stays for late 2xx until its transactions end, that of any other request
 * goes too.
 *
 * Owner: the worker. What comes from other rooms runs between proxy_enter and proxy_leave; only the outermost leave frees, so that
 * whoever is further up the stack still finds the context. */
#include "base/log.h"
#include "base/mem.h"
#include "edge/calls.h"
#include "edge/facts.h"
#include "edge/identity_service.h"
#include "edge/proxy_priv.h"
#include "edge/request_priv.h"
#include "edge/status_phone.h"
#include "edge/trunk.h"

static void branch_start(struct branch *b);
static void proxy_conclude(struct proxy *p);

static void proxy_free(struct proxy *p)
{
    unsigned i;

    for (i = 0; i < p->n; i++) {
        wheel_cancel(p->w->net->wheel, &branch_at(p, i)->timer_c);
        if (p->r) {
            hop_cancel(branch_at(p, i)->hop);
            identity_signing_cancel(branch_at(p, i)->signing);
        }
    }
    if (p->r)
        identity_verify_cancel(p->r);
    list_remove(&p->node);
    anchor_unref(p->anchor);
    buf_unref(p->best);
    snapshot_unref(p->snap);
    mem_free(p->more);
    mem_free(p);
}

/* Only an INVITE can have a second final response (16.7 step 5); of another request nothing more is to be heard. */
static void proxy_detach(struct proxy *p)
{
    unsigned i;

    for (i = 0; i < p->n; i++) {
        struct sip_ctx *tx = branch_at(p, i)->ctx;

        branch_at(p, i)->ctx = NULL;
        if (tx)
            sip_ctx_detach(tx);
    }
    if (p->stx)
        sip_stx_drop(p->stx); /* answered: it goes on without us */
    p->stx = NULL;
}

static void proxy_enter(struct proxy *p)
{
    p->depth++;
}

static void proxy_leave(struct proxy *p)
{
    unsigned i;

    if (--p->depth)
        return;
    if (p->final_sent && p->method != SIP_INVITE)
        proxy_detach(p);
    if (p->stx)
        return;
    for (i = 0; i < p->n; i++)
        if (branch_at(p, i)->ctx)
            return;
    proxy_free(p);
}

/* The worker's end: what is left of each context, while the requests in the transactions are still there. */
void proxy_worker_stop(struct edge_worker *w)
{
    LIST_EACH(p, &w->proxies, struct proxy, node)
    {
        proxy_free(p);
    }
}

/* The request and everything in its arena are about to go: nothing may look at them afterwards. */
static void proxy_forget_request(struct proxy *p)
{
    unsigned i;

    p->final_sent = true;
    p->is_verifying = false;
    identity_verify_cancel(p->r);
    for (i = 0; i < p->n; i++) {
        hop_cancel(branch_at(p, i)->hop);
        identity_signing_cancel(branch_at(p, i)->signing);
        branch_at(p, i)->signing = NULL;
        branch_at(p, i)->hop = NULL;
        branch_at(p, i)->t = NULL;
        if (branch_at(p, i)->state == BRANCH_LOCATING)
            branch_at(p, i)->state = BRANCH_DONE;
    }
    p->r = NULL;
}

#define NO_ANSWER_US 31000000u /* 64*T1, less what the request spent here before it went on */

/* The server transaction of a request other than INVITE ends with its client's patience, a moment before the timers of those that were
 * called: they have failed as well (RFC 3263 4.3). */
static void note_silent_servers(struct proxy *p)
{
    unsigned i;

    for (i = 0; i < p->n; i++) {
        const struct branch *b = branch_at(p, i);

        if (b->state == BRANCH_CALLING && b->hop && b->t && !b->t->has_path &&
            net_now_us(p->w->net) - b->called_us >= NO_ANSWER_US)
            hop_failed(b->hop);
    }
}

/* After its last response, or because nobody waited for one any more (RFC 4320 4.2). */
void proxy_stx_gone(void *upper)
{
    struct proxy *p = upper;

    proxy_enter(p);
    p->stx = NULL;
    if (!p->final_sent) {
        note_silent_servers(p);
        proxy_forget_request(p);
    }
    proxy_leave(p);
}

/* The request has its final answer, or gets none. */
static void proxy_over(struct proxy *p, unsigned status, uint32_t session_s)
{
    if (p->method != SIP_BYE || anchor_is_call(p))
        calls_event(p->w, p->call_slot, p->call_gen, status, p->method, session_s);
    anchor_request_over(p, status);
}

/* Nobody is answered any more: the transaction calls nothing back for a dropped one. */
static void proxy_drop(struct proxy *p)
{
    struct sip_stx *tx = p->stx;

    if (!tx)
        return;
    if (!p->final_sent) {
        proxy_over(p, 408, 0);
        proxy_forget_request(p);
    }
    p->stx = NULL;
    sip_stx_drop(tx);
}

static void proxy_send(struct proxy *p, unsigned status, struct buf *msg, uint32_t session_s)
{
    if (!p->stx)
        return;
    if (status >= 200) {
        proxy_over(p, status, session_s);
        if (!p->final_sent) {
            identity_verify_answered(p->r, status);
            proxy_forget_request(p);
        }
    }
    p->w->responses_by_class[status / 100]++;
    if (sip_stx_respond(p->stx, status, msg) != 0 && status >= 200 && !sip_stx_is_final(p->stx))
        proxy_drop(p);
}

/* A final answer of our own making, with the reason. */
static void proxy_reply_with(struct proxy *p, unsigned status, const char *code, const char *clause, struct str reason_value)
{
    struct sip_response resp = {.status = status};
    struct sip_stx *tx = p->stx;
    char warning[160];
    struct sbuf b = sbuf_make(warning, sizeof warning);

    if (!tx || p->final_sent)
        return;
    LOG(LOG_INFO, "forward-failed", LU("status", status), LZ("reason", code), LZ("clause", clause),
        LS("method", p->r->m->method_text), LS("call", p->r->m->call_id));
    if (code) {
        edge_warning(&b, 399, code, clause);
        resp.extra[0].name = STR("Warning");
        resp.extra[0].value = sbuf_get(&b);
        resp.n_extra = 1;
    }
    if (reason_value.n) {
        resp.extra[resp.n_extra].name = STR("Reason");
        resp.extra[resp.n_extra++].value = reason_value;
    }
    if (status == 500 && p->anchor && code && strcmp(code, "offer-pending") == 0) { /* RFC 3311 5.2: up to 10 s */
        resp.extra[resp.n_extra].name = STR("Retry-After");
        resp.extra[resp.n_extra++].value = STR("3");
    }
    proxy_over(p, status, 0);
    identity_verify_answered(p->r, status);
    proxy_forget_request(p);
    p->w->responses_by_class[status / 100]++;
    if (sip_stx_reply(tx, &resp) != 0 && !sip_stx_is_final(tx))
        proxy_drop(p);
}

static void proxy_reply(struct proxy *p, unsigned status, const char *code, const char *clause)
{
    proxy_reply_with(p, status, code, clause, STR_NULL);
}

/* ---- facts (facts.h) ---- */

static bool begins_call(const struct proxy *p)
{
    return p->method == SIP_INVITE && !sip_msg_in_dialog(p->r->m);
}

/* What a transaction within a dialog has agreed on: of its request's offer and the answer to it, of an answer in PRACK (RFC 3262 5),
 * or an offer that the ACK will answer. */
static void note_descriptions(const struct proxy *p, const struct sip_msg *m)
{
    struct facts_media said, answer;
    bool asked = facts_describe(p->r->m, &said), answered = facts_describe(m, &answer);

    if (asked && answered) {
        facts_agree(&said, &answer, &said);
        calls_said(p->w, p->call_slot, p->call_gen, FACTS_AGREED, &said);
    } else if (asked && p->method == SIP_PRACK) {
        calls_said(p->w, p->call_slot, p->call_gen, FACTS_ANSWER, &said);
    } else if (answered && p->method == SIP_INVITE) {
        calls_said(p->w, p->call_slot, p->call_gen, FACTS_OFFER, &answer);
    }
}

static void note_callee(const struct branch *b, struct facts_call *f, const struct path *path, const struct hop_facts *hop)
{
    struct facts_party party;

    facts_callee(&party, b->p->r, b->t, path, hop, branch_is_redirected(b));
    facts_set_callee(f, &party);
    f->callee_of = hop || !path->flow ? b : NULL;
}

/* Somebody is called: who answers may be another. A connection that is only being made is looked at again when the answer comes. */
static void note_called(const struct branch *b, const struct path *path)
{
    struct facts_call *f = begins_call(b->p) ? calls_facts(b->p->w, b->p->call_slot, b->p->call_gen) : NULL;

    if (f && !f->has_callee)
        note_callee(b, f, path, path->flow ? net_facts(b->p->w->net, path->flow) : NULL);
}

static void note_answer(struct branch *b, const struct sip_msg *m, const struct rx *rx)
{
    const struct proxy *p = b->p;
    struct facts_call *f;
    struct facts_media media;

    if (!p->r || !b->t || !p->call_gen || m->status <= 100 || m->status >= 300)
        return;
    if (!begins_call(p)) {
        if (!p->anchor && m->status >= 200 && (p->method == SIP_INVITE || p->method == SIP_UPDATE || p->method == SIP_PRACK))
            note_descriptions(p, m);
        return;
    }
    f = calls_facts(p->w, p->call_slot, p->call_gen);
    if (!f)
        return;
    if (f->callee_of != b)
        note_callee(b, f, sip_ctx_path(b->ctx), rx->hop);
    if (!p->anchor && facts_describe(m, &media))
        facts_said(f, p->r->m->body.n ? FACTS_ANSWER : FACTS_OFFER, &media);
}

static void note_vouch(const struct proxy *p)
{
    const struct call_info *c = p->r->vouch && begins_call(p) ? calls_find(p->w, p->call_slot, p->call_gen) : NULL;

    if (c)
        facts_vouched(calls_facts(p->w, p->call_slot, p->call_gen), p->r, c->from);
}

/* ---- answers ---- */

static void branch_done(struct branch *b, unsigned status)
{
    b->state = BRANCH_DONE;
    b->status = status;
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

/* 16.9: as if 503 had come; on the flow of a registration, 430 (RFC 5626 5.3.1). */
static void branch_fail_transport(struct branch *b)
{
    if (b->t && b->t->to_user && b->t->has_path)
        branch_fail(b, 430, "flow-failed", "RFC 5626 5.3");
    else
        branch_fail(b, 503, "transport-error", "RFC 3261 16.9");
}

/* ---- branches ---- */

static void cancel_branches(struct proxy *p, const struct branch *except, struct str reason_value)
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

/* Is there somebody else to be asked the same? */
static bool has_another(const struct branch *b)
{
    unsigned i;

    for (i = 0; b->t->is_one_of && i < b->p->n; i++)
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
        cancel_branches(p, b, STR("SIP;cause=200;text=\"Call completed elsewhere\""));
    proxy_send(p, m->status, out, session_s); /* every 2xx to an INVITE passes (16.7 step 5) */
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
        b->identity = b->date = STR_NULL;
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
    b->identity = b->date = STR_NULL;
    branch_path(b, &path, NULL);
}

/* A carrier that we have an account with challenges us: the caller, who has none there, hears nothing of it (RFC 3261 22.3; it is
 * the anchored call's own numbers that allow to send again). */
static bool branch_challenged(struct branch *b, const struct sip_msg *m)
{
    struct reason why = {0};
    struct path path;

    if ((m->status != 401 && m->status != 407) || !b->t || !trunk_is(b->t->peer) || !b->p->r || b->canceled || b->p->final_sent || !b->ctx)
        return false;
    if (trunk_challenged(b->p->w, b->t->peer, m, b->was_challenged, &why) != 0) {
        LOG(LOG_WARN, "trunk-challenge", LS("peer", b->t->peer->name), LZ("reason", why.code), LZ("detail", why.detail));
        return false;
    }
    path = *sip_ctx_path(b->ctx);
    branch_let_go(b);
    b->was_challenged = b->is_challenged = true;
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
        if (m->status >= 200)
            branch_done(b, m->status);
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
                calls_event(p->w, p->call_slot, p->call_gen, m->status, p->method, 0);
                proxy_send(p, m->status, out, 0);
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
        cancel_branches(p, b, STR_NULL);
    proxy_conclude(p);
}

static void branch_response(struct branch *b, const struct sip_msg *m, const struct rx *rx)
{
    struct forward_changes changes = {0};
    struct proxy *p = b->p;

    if (b->p->anchor && !branch_anchored(b, m, &changes))
        return;
    if (!b->p->anchor && m->body.n && b->p->stx &&
        anchor_direct_response(m, &rx->path, &sip_stx_rx(b->p->stx)->path, b->may_be_clear, &changes) != 0)
        return; /* no memory: its sender repeats what counts */
    note_answer(b, m, rx);
    if (p->r && begins_call(p))
        status_tell_caller(b, m, &changes);
    b->changes = &changes;
    branch_pass(b, m);
    b->changes = NULL;
}

static void on_response(void *arg, struct sip_ctx *tx, struct sip_msg *m, const struct rx *rx)
{
    struct branch *b = arg;
    struct proxy *p = b->p;

    (void)tx;
    proxy_enter(p);
    branch_response(b, m, rx);
    proxy_leave(p);
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
    if (why == SIP_TX_TRANSPORT && branch_again_by_datagram(b))
        return;
    /* A timeout counts where nothing at all came back (RFC 3263 4.3). */
    if (why == SIP_TX_TIMEOUT && b->state == BRANCH_CALLING && b->hop && b->t && !b->t->has_path)
        hop_failed(b->hop);
    if ((why == SIP_TX_TRANSPORT || b->state == BRANCH_CALLING) && branch_next_server(b))
        return;
    if (why == SIP_TX_TIMEOUT)
        branch_fail(b, 408, "no-response", "RFC 3261 17.1");
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

static void on_gone(void *arg, struct sip_ctx *tx)
{
    struct branch *b = arg;
    struct proxy *p = b->p;

    (void)tx; /* of those let go nothing is heard */
    proxy_enter(p);
    if (b->state != BRANCH_DONE) { /* a 2xx that could not be passed on */
        branch_fail(b, 502, "bad-response", "RFC 3261 16.7");
        proxy_conclude(p);
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

static int branch_send(struct branch *b, const struct path *path)
{
    static const struct sip_ctx_user callbacks = {.on_response = on_response, .on_end = on_end, .on_gone = on_gone};
    struct proxy *p = b->p;
    struct sip_ctx_user u = callbacks;
    struct forward_args f = {.t = b->t, .out = path, .breadth = p->breadth, .call_slot = p->call_slot,
                             .call_gen = p->call_gen, .identity = b->identity, .date = b->date};
    struct digest_client_cred creds[DIGEST_CLIENT_CREDS_MAX];
    struct forward_changes changes = {0};
    struct reason why = {0};
    struct buf *msg;
    int err = 0;

    if (p->anchor) {
        if (anchor_request(p, b, path, &changes, &why) != ANCHOR_PASS) {
            branch_fail(b, why.sip_status ? why.sip_status : 500, why.code, why.clause);
            return ERR_REFUSED;
        }
        anchor_name(p->anchor, &f.anchor_slot, &f.anchor_gen);
        b->is_challenged = false;
    } else if (anchor_direct_request(p->r, b->t, path, &changes, &why) != 0) {
        branch_fail(b, why.sip_status, why.code, why.clause);
        return ERR_REFUSED;
    }
    b->may_be_clear = p->anchor || anchor_direct_may_be_clear(p->r, b->t);
    if (begins_call(p) && status_check_request(b, path, &changes, &why) != 0) {
        branch_fail(b, why.sip_status, why.code, why.clause);
        return ERR_REFUSED;
    }
    f.changes = &changes;
    u.arg = b;
    b->ctx = sip_ctx_new(p->w->txl, p->method, &u);
    if (!b->ctx)
        return ERR_LIMIT;
    sip_ctx_set_loop_hash(b->ctx, p->r->loop_hash);
    f.branch = sip_ctx_via_branch(b->ctx);
    if (p->anchor && trunk_is(b->t->peer)) {
        f.creds = creds;
        err = trunk_answer(p->w, b->t->peer, p->r->m->arena, p->method, b->t->uri, changes.has_body ? changes.body : p->r->m->body, creds,
                           &f.n_creds);
    }
    err = err ? err : forward_build(p->r, &f, &msg);
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
    note_called(b, path);
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

static void on_signed(void *arg, struct str value, struct str date, const struct reason *why)
{
    struct branch *b = arg;
    struct proxy *p = b->p;

    (void)why; /* said and counted where it was found */
    proxy_enter(p);
    b->signing = NULL;
    b->identity = value;
    b->date = date;
    branch_path(b, b->signed_path, NULL);
    proxy_leave(p);
}

/* What leaves for another domain is signed as it leaves, so only now (RFC 8224 6.1). True: it goes on in on_signed. */
static bool branch_sign(struct branch *b, const struct path *path)
{
    struct forward_changes changes = {0};
    struct reason why = {0};
    struct path *copy;

    if (b->is_signed)
        return false;
    b->is_signed = true;
    if (b->p->anchor && anchor_request(b->p, b, path, &changes, &why) != ANCHOR_PASS)
        return false; /* branch_send finds it, too */
    if (!identity_sign(b->p->r, b->t, changes.content_type, changes.body, on_signed, b, &b->signing))
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

static void branch_start(struct branch *b)
{
    struct proxy *p = b->p;
    bool sips = p->r->ruri.scheme == SIP_SCHEME_SIPS && !b->t->emergency;
    int err;

    b->started = true;
    b->state = BRANCH_LOCATING;
    err = hop_start(p->r, p->r->m->arena, b->t, sips, on_path, b, &b->hop);
    if (err != 0) {
        branch_fail(b, 500, "no-memory", NULL);
        proxy_conclude(p);
    }
}

/* ---- groups ---- */

static bool group_is_busy(struct proxy *p, struct str group)
{
    unsigned i;

    if (!group.n)
        return false;
    for (i = 0; i < p->n; i++)
        if (branch_at(p, i)->started && branch_at(p, i)->state != BRANCH_DONE && branch_at(p, i)->t && str_eq(branch_at(p, i)->t->group, group))
            return true;
    return false;
}

/* RFC 5626 6: another flow of an instance is tried only when the first one did not reach it. */
static bool group_is_answered(struct proxy *p, struct str group)
{
    unsigned i;

    if (!group.n)
        return false;
    for (i = 0; i < p->n; i++)
        if (branch_at(p, i)->started && branch_at(p, i)->state == BRANCH_DONE && branch_at(p, i)->t && str_eq(branch_at(p, i)->t->group, group) &&
            branch_at(p, i)->status != 430 && branch_at(p, i)->status != 408 && branch_at(p, i)->status != 503)
            return true;
    return false;
}

/* Starts what is next: all unstarted branches of the highest q, one flow of an instance at a time, within Max-Breadth.
 * False: nothing left. */
static bool start_group(struct proxy *p)
{
    unsigned i, q = 0, n = 0, allowed;
    bool any = false;

    for (i = 0; i < p->n; i++)
        if (!branch_at(p, i)->started && !group_is_answered(p, branch_at(p, i)->t->group) && (!any || branch_at(p, i)->t->q_milli > q)) {
            q = branch_at(p, i)->t->q_milli;
            any = true;
        }
    if (!any)
        return false;
    allowed = p->r->max_breadth;
    for (i = 0; i < p->n; i++)
        n += !branch_at(p, i)->started && branch_at(p, i)->t->q_milli == q;
    if (n > allowed)
        n = allowed; /* the rest follows one after the other (RFC 5393 5.3.3.2) */
    p->breadth = allowed / n; /* at least 1 */
    p->running = true;
    for (i = 0; i < p->n && n && !p->final_sent; i++) {
        struct branch *b = branch_at(p, i);

        if (b->started || b->t->q_milli != q || group_is_busy(p, b->t->group) || group_is_answered(p, b->t->group))
            continue;
        n--;
        branch_start(b);
    }
    p->running = false;
    return true;
}

static bool is_under_way(struct proxy *p)
{
    unsigned i;

    for (i = 0; i < p->n; i++)
        if (branch_at(p, i)->started && branch_at(p, i)->state != BRANCH_DONE)
            return true;
    return false;
}

/* The branch whose end says best why there is no answer; NULL: none was tried. */
static const struct branch *own_best(struct proxy *p)
{
    const struct branch *best = NULL;
    unsigned i;

    for (i = 0; i < p->n; i++)
        if (branch_at(p, i)->status >= 300 && (!best || best_rank(branch_at(p, i)->status) < best_rank(best->status)))
            best = branch_at(p, i);
    return best;
}

/* What others met is not always what we should say (16.7 step 6: a 503 would mean that all of us is out of service; RFC 5626 11.5:
 * 430 is for the proxy that looked up the flow, never for a phone). */
static unsigned status_upstream(const struct proxy *p, unsigned status)
{
    if (status == 503)
        return 500;
    if (status == 430 && !p->r->has_flow_path)
        return 480;
    return status;
}

static void proxy_answer(struct proxy *p)
{
    const struct branch *own = own_best(p);
    unsigned status = own ? own->status : 480;
    struct buf *out = p->best;

    if (out && best_rank(p->best_status) <= best_rank(status)) {
        status = status_upstream(p, p->best_status);
        p->best = NULL;
        if (status == p->best_status)
            proxy_send(p, status, out, 0);
        else
            proxy_reply(p, status, status == 500 ? "server-unavailable" : "flow-failed",
                        status == 500 ? "RFC 3261 16.7" : "RFC 5626 11.5");
        buf_unref(out);
    } else if (p->canceled) {
        proxy_reply(p, 487, NULL, NULL);
    } else if (status == 408 && p->method != SIP_INVITE) {
        proxy_drop(p); /* RFC 4320 4.2: nobody waits for this any more */
    } else {
        proxy_reply(p, status_upstream(p, status), own ? own->code : NULL, own ? own->clause : NULL);
    }
}

/* When nothing is under way any more: the next group, or the best response (16.7 steps 5 to 9). */
static void proxy_conclude(struct proxy *p)
{
    if (p->running || p->final_sent || !p->stx || (p->is_verifying && !p->canceled))
        return;
    while (!is_under_way(p) && !p->canceled && (!p->best || p->best_status < 600) && start_group(p))
        ;
    if (!is_under_way(p))
        proxy_answer(p);
}

/* ---- entry ---- */

static unsigned max_breadth(const struct sip_msg *m)
{
    const struct sip_hdr *h = sip_msg_hdr(m, SIP_H_MAX_BREADTH, 0);
    uint32_t v;

    if (!h || str_to_u32(h->value, LIMIT_MAX_BREADTH, &v) != 0)
        return LIMIT_MAX_BREADTH;
    return v;
}

static void branch_init(struct branch *b, struct proxy *p, const struct edge_target *t)
{
    *b = (struct branch){.p = p, .t = t, .believed = t->peer && t->peer->allow_asserted_identity};
    wheel_timer_init(&b->timer_c, on_timer_c);
}

struct branch *proxy_branch_add(struct proxy *p, const struct edge_target *t)
{
    struct branch *b;

    if (p->n == p->n_first && !p->more)
        p->more = mem_alloc(LIMIT_REDIRECTS * sizeof *p->more);
    if (!p->more || p->n == p->n_first + LIMIT_REDIRECTS)
        return NULL;
    b = branch_at(p, p->n++);
    branch_init(b, p, t);
    return b;
}

/* RFC 8224 6.2.2: the status says which step failed; Reason says so to those that look there (RFC 9410). */
static void proxy_refuse(struct proxy *p, const struct reason *why)
{
    struct str value = identity_reason_value(p->r->m->arena, why->sip_status);

    LOG(LOG_NOTICE, "refused", LU("status", why->sip_status), LZ("reason", why->code), LZ("clause", why->clause),
        LZ("detail", why->detail), LS("method", p->r->m->method_text), LS("call", p->r->m->call_id));
    proxy_reply_with(p, why->sip_status ? why->sip_status : 500, why->code, why->clause, value);
}

static void on_verified(void *arg, const struct reason *refuse)
{
    struct proxy *p = arg;

    proxy_enter(p);
    p->is_verifying = false;
    note_vouch(p);
    if (refuse)
        proxy_refuse(p, refuse);
    else
        proxy_conclude(p);
    proxy_leave(p);
}

/* Who calls is settled before anybody is called. */
static void proxy_start(struct proxy *p)
{
    struct reason why = {0};
    int err = identity_verify(p->r, on_verified, p, &why);

    if (err == ERR_AGAIN) {
        p->is_verifying = true;
        return;
    }
    note_vouch(p);
    if (err != 0)
        proxy_refuse(p, &why);
    else
        proxy_conclude(p); /* starts the first group */
}

/* Media of the call pass through us, or will: the call that this begins or belongs to. ERR_REFUSED, ERR_NOMEM: `why`. */
static int find_anchor(struct edge_req *r, const struct edge_targets *targets, struct anchor **ret, struct anchor_dialog **ret_dialog,
                       struct reason *why)
{
    *ret = NULL;
    *ret_dialog = NULL;
    if (!sip_msg_in_dialog(r->m))
        return r->m->method == SIP_INVITE ? anchor_begin(r, targets, ret, why) : 0;
    if (!r->has_token || !r->token.anchor_gen)
        return 0;
    *ret = anchor_of(r, ret_dialog);
    if (*ret || (r->m->method != SIP_INVITE && r->m->method != SIP_UPDATE))
        return 0; /* what ends it may still pass */
    reason_set(why, "call-ended", "RFC 3261 12.2.2", 481, "media of this call do not pass through us any more");
    return ERR_REFUSED;
}

void proxy_forward(struct edge_req *r, const struct edge_targets *targets)
{
    struct anchor_dialog *dialog;
    struct anchor *anchor;
    struct proxy *p;
    struct reason why = {0};

    r->max_breadth = max_breadth(r->m);
    if (!r->max_breadth) {
        reason_set(&why, "max-breadth", "RFC 5393 5.3.3", 440, NULL);
        edge_refuse(r, &why);
        return;
    }
    if (find_anchor(r, targets, &anchor, &dialog, &why) != 0) {
        edge_refuse(r, &why);
        return;
    }
    p = mem_zalloc(sizeof *p + targets->n * sizeof p->first[0]);
    if (!p) {
        anchor_discard(anchor, dialog);
        edge_reply(r, 500);
        return;
    }
    p->anchor = anchor;
    p->dialog = dialog;
    p->from_caller = r->from_caller;
    p->cseq = r->m->cseq;
    list_append(&r->w->proxies, &p->node);
    p->w = r->w;
    p->snap = snapshot_ref(r->snap);
    p->r = r;
    p->stx = r->tx;
    p->method = r->m->method;
    p->tells_sender = r->who.peer && r->who.peer->assert_identity;
    p->sender_is_phone = r->who.kind == PRINCIPAL_USER;
    for (; p->n < targets->n; p->n++)
        branch_init(&p->first[p->n], p, targets->v[p->n]);
    p->n_first = p->n;
    sip_stx_set_upper(r->tx, p);
    if (p->method == SIP_INVITE && !sip_msg_in_dialog(r->m)) {
        (void)calls_begin(r, targets->v[0]->peer, &p->call_slot, &p->call_gen); /* 100 comes from the transaction after 200 ms (17.2.1) */
        if (anchor)
            anchor_set_call(anchor, p->call_slot, p->call_gen);
    } else if (r->has_token) {
        p->call_slot = r->token.call_slot;
        p->call_gen = r->token.call_gen;
    }
    proxy_enter(p);
    proxy_start(p);
    proxy_leave(p);
}

/* RFC 3261 16.10: the transaction layer has answered the CANCEL; now the branches. */
void proxy_cancel(struct edge_worker *w, struct sip_stx *invite, struct sip_msg *cancel)
{
    struct proxy *p = sip_stx_upper(invite);
    const struct sip_hdr *h = sip_msg_hdr(cancel, SIP_H_REASON, 0);

    (void)w;
    if (!p || p->final_sent)
        return;
    proxy_enter(p);
    p->canceled = true;
    cancel_branches(p, NULL, h ? h->value : STR_NULL);
    proxy_conclude(p);
    proxy_leave(p);
}

/* The edge's end of one signalling worker: what net hands up is parsed, counted, mirrored and given to the transaction layer;
 * what the transaction layer sends goes down to net. (RFC 3261 18, 16.7 step 1; RFC 5626 5.3)
 * Owner: struct edge_worker, made and freed on its own thread, which alone touches it. */
#include "base/log.h"
#include "base/mem.h"
#include "edge/anchor/anchor.h"
#include "edge/edge_worker.h"
#include "edge/identity/answer.h"
#include "edge/peers/health.h"
#include "edge/peers/own_request.h"
#include "edge/status/security.h"
#include "identity/replay.h"
#include "edge/status/events.h"
#include "edge/request_priv.h"
#include "edge/peers/trunk.h"

/* A response, or a request in the dialog of an anchored call, that another worker read: moved over there whole, once. */
#define HANDOVER_NAMES 16u /* of a certificate */
struct handover {
    struct rx rx;
    struct hop_facts hop;
    struct gate_vouch vouch;
    struct buf *buf;
    struct str names[HANDOVER_NAMES];
    char text[]; /* of the names */
};

static void worker_input(struct edge_worker *w, const struct rx *rx, bool may_hand_over);

static void handover_run(void *edge_worker, void *arg)
{
    struct edge_worker *w = edge_worker;
    struct handover *h = arg;

    h->rx.hop = &h->hop;
    h->rx.buf = h->buf;
    w->vouch = h->vouch;
    worker_input(w, &h->rx, false);
    w->vouch = (struct gate_vouch){0};
    buf_unref(h->buf);
    mem_free(h);
}

/* The names in the certificate, which say who the sender is, live with the connection: they are copied. Its version and suite are
 * constants of the library. */
static struct handover *handover_new(const struct rx *rx)
{
    const struct hop_facts *hop = rx->hop;
    size_t n = hop->n_peer_names < HANDOVER_NAMES ? hop->n_peer_names : HANDOVER_NAMES, bytes = 0, i;
    struct handover *h;
    char *at;

    for (i = 0; i < n; i++)
        bytes += hop->peer_names[i].n;
    h = mem_zalloc(sizeof *h + bytes);
    if (!h)
        return NULL;
    h->rx = *rx;
    h->hop = *hop;
    h->hop.server_name = NULL;
    for (i = 0, at = h->text; i < n; at += h->names[i++].n) {
        memcpy(at, hop->peer_names[i].p, hop->peer_names[i].n);
        h->names[i] = str_make(at, hop->peer_names[i].n);
    }
    h->hop.peer_names = h->names;
    h->hop.n_peer_names = n;
    return h;
}

/* 503 without a transaction, so that overload costs as little as it can (RFC 3261 21.5.4). */
static void worker_refuse_stateless(struct edge_worker *w, const struct sip_msg *m, const struct rx *rx, unsigned status)
{
    char retry[16];
    struct sbuf b = sbuf_make(retry, sizeof retry);
    struct sip_response resp = {.status = status, .to_tag = STR("sallyport-overload"),
                                .via_received = &rx->path.remote};
    struct buf *out;

    if (m->method == SIP_ACK)
        return;
    if (status == 503) {
        sbuf_u64(&b, w->cfg->overload_retry_s ? w->cfg->overload_retry_s : 5);
        resp.extra[resp.n_extra].name = STR("Retry-After");
        resp.extra[resp.n_extra++].value = sbuf_get(&b);
    }
    if (sip_response_build(m, &resp, &out) != 0)
        return;
    edge_count(w, EC_OVERLOAD_503);
    tap_message(w, true, &rx->path, buf_str(out));
    if (net_send(w->net, &rx->path, out) == 0)
        w->responses_by_class[status / 100]++;
    buf_unref(out);
}

/* Where there is no room for it, a request is refused at once; a response comes again, or is missed by a timer. */
static void worker_handover(struct edge_worker *w, const struct sip_msg *m, const struct rx *rx, unsigned to)
{
    struct handover *h = handover_new(rx);

    if (h && m->is_request)
        gate_vouch(w, rx, &h->vouch);
    if (h)
        h->buf = buf_copy(buf_str(rx->buf)); /* the reader may still hold references of its own */
    if (h && h->buf && net_post(w->net, to, handover_run, h) == 0) {
        edge_count(w, EC_HANDOVERS);
        return;
    }
    if (h)
        buf_unref(h->buf);
    mem_free(h);
    edge_count(w, EC_HANDOVERS_LOST);
    LOG(LOG_INFO, "handover-lost", LU("to", to), LS("call", m->call_id), LS("method", sip_method_text(m->cseq_method)));
    if (m->is_request)
        worker_refuse_stateless(w, m, rx, 503);
}

static bool worker_is_full(struct edge_worker *w, const struct sip_msg *m)
{
    struct sip_txl_stats st;

    if (UNLIKELY(__atomic_load_n(&w->edge->draining, __ATOMIC_RELAXED)))
        return !sip_msg_in_dialog(m);
    if (!w->cfg->max_transactions)
        return false;
    sip_txl_stats(w->txl, &st);
    return st.stx_open >= w->cfg->max_transactions / 2;
}

/* What ends or completes a call relieves us; calls for help are stopped by nothing. */
static bool is_spared(const struct edge_worker *w, const struct sip_msg *m)
{
    if (m->method == SIP_ACK || m->method == SIP_CANCEL || m->method == SIP_BYE || m->method == SIP_PRACK)
        return true;
    return (m->method == SIP_INVITE || m->method == SIP_MESSAGE) && m->defect.sip_status == 0 &&
           request_is_for_psap(w->cfg, &m->uri, request_domain(w->cfg, &m->uri, NULL) != NULL);
}

static bool worker_is_overloaded(struct edge_worker *w, const struct sip_msg *m)
{
    return UNLIKELY(worker_is_full(w, m)) && !is_spared(w, m);
}

static int worker_receive(struct edge_worker *w, struct sip_msg *m, const struct rx *rx)
{
    int err = sip_txl_receive(w->txl, m, rx);

    if (LIKELY(err != ERR_LIMIT) || !m->is_request || !is_spared(w, m))
        return err;
    sip_txl_use_reserve(w->txl, true);
    err = sip_txl_receive(w->txl, m, rx);
    sip_txl_use_reserve(w->txl, false);
    return err;
}

/* The worker whose message this is: of responses by our branch, of requests in an anchored call by the dialog's token. */
static int owner_of(const struct edge_worker *w, const struct sip_msg *m)
{
    int owner = m->is_request ? (w->edge->n_workers > 1 ? anchor_owner(w, m) : -1) : sip_branch_worker(m->via.branch);

    return owner >= 0 && (unsigned)owner != w->id && (unsigned)owner < w->edge->n_workers ? owner : -1;
}

static void worker_input(struct edge_worker *w, const struct rx *rx, bool may_hand_over)
{
    struct arena *a = sip_txl_arena(w->txl);
    struct sip_msg *m;
    struct reason why = {0};
    int err, owner;

    err = a ? sip_msg_scan(a, buf_str(rx->buf), &m, &why) : ERR_NOMEM;
    if (err == 0) {
        sip_txl_warm(w->txl, m);
        err = sip_msg_fields(m, &why);
    }
    if (err != 0) {
        edge_count(w, EC_PARSE_DROPPED);
        LOG(LOG_DEBUG, "message-dropped", LZ("reason", why.code), LZ("detail", why.detail));
        sip_txl_arena_done(w->txl, a);
        return;
    }
    if (UNLIKELY(m->defect.sip_status == 513))
        edge_count(w, EC_TOO_LARGE);
    owner = may_hand_over ? owner_of(w, m) : -1;
    if (owner >= 0) {
        worker_handover(w, m, rx, (unsigned)owner);
        sip_txl_arena_done(w->txl, a);
        return;
    }
    if (!m->is_request) {
        edge_count(w, EC_RESPONSES);
    } else {
        edge_count(w, EC_REQUESTS);
        if (UNLIKELY(worker_is_overloaded(w, m)) && !sip_txl_has(w->txl, m)) {
            worker_refuse_stateless(w, m, rx, 503);
            sip_txl_arena_done(w->txl, a);
            return;
        }
    }
    if (worker_receive(w, m, rx) != 0) {
        if (m->is_request)
            worker_refuse_stateless(w, m, rx, 503);
        sip_txl_arena_done(w->txl, a);
    }
}

static void on_message(void *arg, const struct rx *rx)
{
    struct edge_worker *w = arg;

    tap_message(w, false, &rx->path, buf_str(rx->buf));
    worker_input(w, rx, true);
}

static void on_flow_closed(void *arg, flow_id flow, const struct path *path, enum net_close_why why,
                           const struct reason *reason, void *flow_user)
{
    struct edge_worker *w = arg;
    struct edge_flow *f = flow_user;
    char text[ADDR_TEXT_MAX];

    LOG(LOG_DEBUG, "flow-closed", LS("remote", addr_text(&path->remote, text)),
        LS("transport", transport_text(path->transport)), LI("why", why),
        LZ("reason", reason ? reason->code : NULL), LS("user", f ? f->user : STR_NULL));
    if (f && f->registered)
        location_flow_closed(w->edge->loc, flow);
    if (f && f->user.n)
        status_events_flow_closed(w, flow, principal_id(&(struct principal){.kind = PRINCIPAL_USER, .name = f->user}));
    mem_free(f);
    sip_txl_flow_failed(w->txl, flow);
    trunks_flow_closed(w, flow);
}

static void on_unreachable(void *arg, const struct path *path)
{
    struct edge_worker *w = arg;

    sip_txl_path_failed(w->txl, path);
}

/* RFC 3261 18.3, 21.4.11, 21.5.7: a stream that cannot be framed, or brings more than is taken, gets one answer, if its head (or what
 * is there of it) can be read, and is closed by net. */
static void on_garbage(void *arg, const struct rx *rx, const struct reason *reason)
{
    struct edge_worker *w = arg;
    struct arena *a;
    struct sip_msg *m;
    struct reason why = {0};
    struct sip_response resp = {.status = reason->sip_status ? reason->sip_status : 400, .to_tag = STR("sallyport-framing"),
                                .via_received = &rx->path.remote};
    struct buf *out;
    char text[ADDR_TEXT_MAX], warning[96];
    struct sbuf b = sbuf_make(warning, sizeof warning);

    edge_count(w, resp.status == 413 || resp.status == 513 ? EC_TOO_LARGE : EC_GARBAGE);
    edge_warning(&b, 399, reason->code, reason->clause);
    resp.extra[resp.n_extra].name = STR("Warning");
    resp.extra[resp.n_extra++].value = sbuf_get(&b);
    LOG(LOG_INFO, "garbage", LS("remote", addr_text(&rx->path.remote, text)),
        LS("transport", transport_text(rx->path.transport)), LZ("reason", reason->code),
        LZ("detail", reason->detail));
    a = arena_new(4096, LIMIT_MSG_ARENA_BYTES);
    if (!a)
        return;
    if (sip_msg_parse(a, buf_str(rx->buf), &m, &why) == 0 && m->is_request && m->method != SIP_ACK &&
        sip_response_build(m, &resp, &out) == 0) {
        tap_message(w, true, &rx->path, buf_str(out));
        if (net_send(w->net, &rx->path, out) == 0)
            w->responses_by_class[resp.status / 100]++;
        buf_unref(out);
    }
    arena_free(a);
}

/* ---- downwards ---- */

static int txl_send(void *arg, const struct path *to, struct buf *msg)
{
    struct edge_worker *w = arg;

    tap_message(w, true, to, buf_str(msg));
    return net_send(w->net, to, msg);
}

static void txl_request(void *arg, struct sip_stx *tx, struct sip_stx *invite, struct sip_msg *m, const struct rx *rx)
{
    request_receive(arg, tx, invite, m, rx);
}

static void txl_ack(void *arg, struct sip_msg *m, const struct rx *rx)
{
    request_ack(arg, m, rx);
}

static void txl_stray(void *arg, struct sip_msg *m, const struct rx *rx)
{
    (void)m;
    (void)rx;
    edge_count(arg, EC_STRAYS);
}

static void txl_stx_end(void *arg, struct sip_stx *tx, void *upper)
{
    (void)arg;
    (void)tx;
    if (upper)
        proxy_stx_gone(upper);
}

static void txl_stx_failed(void *arg, struct sip_stx *tx, void *upper, enum sip_tx_end why)
{
    struct edge_worker *w = arg;

    (void)tx;
    (void)upper;
    LOG(LOG_DEBUG, "no-ack", LU("worker", w->id), LZ("why", why == SIP_TX_TIMEOUT ? "timeout" : "transport"));
}

#define LOCATION_SWEEP_MS 1000u

/* Somebody has set the wall's clock. What lasts does not notice; what others have signed or dated does, and so do rows of the store. */
static void clock_look(struct edge_worker *w)
{
    struct edge *e = w->edge;
    int64_t ahead_s = (int64_t)(net_wall_s(w->net) - net_steady_s(w->net)), by_s = ahead_s - e->clock_ahead_s;

    if (by_s <= LIMIT_CLOCK_STEP_S && by_s >= -LIMIT_CLOCK_STEP_S)
        return;
    e->clock_ahead_s = ahead_s;
    LOG(LOG_WARN, "clock-set", LI("seconds", by_s),
        LZ("detail", "certificates and signatures are judged by the new time; registrations and calls last as long as before"));
    identity_replay_clock_set(e->identity_seen, by_s);
    identity_replay_clock_set(e->smime_seen, by_s);
    if (e->store)
        store_clock_set(e->store, ahead_s);
    (void)__atomic_add_fetch(&e->clock_sets, 1, __ATOMIC_RELEASE);
}

/* Users of whom the store has said that they are others now, or no more: on whatever worker their flows are. */
static void users_look(struct edge_worker *w)
{
    unsigned n = account_changes(w->edge->loc), i;

    if (n == w->edge->users_changed)
        return;
    for (i = 0; i < w->edge->n_workers; i++)
        if (net_post(w->net, i, flows_of_changed, NULL) != 0)
            return; /* all again, a second later */
    w->edge->users_changed = n;
}

static void on_sweep(struct wheel_timer *t)
{
    struct edge_worker *w = CONTAINER_OF(t, struct edge_worker, sweep);

    clock_look(w);
    users_look(w);
    location_sweep(w->edge->loc, net_steady_s(w->net));
    wheel_start(w->net->wheel, &w->sweep, LOCATION_SWEEP_MS);
}

static const struct net_user worker_callbacks = {
    .on_message = on_message,
    .on_flow_closed = on_flow_closed,
    .on_unreachable = on_unreachable,
    .on_garbage = on_garbage,
};

int edge_worker_start(struct edge *e, struct net *net, struct net_user *ret_user)
{
    struct edge_worker *w = mem_zalloc(sizeof *w);
    struct sip_txl_user tu = {
        .arg = w,
        .send = txl_send,
        .on_request = txl_request,
        .on_ack = txl_ack,
        .on_stray = txl_stray,
        .on_stx_end = txl_stx_end,
        .on_stx_failed = txl_stx_failed,
    };
    struct reason why = {0};
    int err;

    if (!w)
        return ERR_NOMEM;
    list_init(&w->proxies);
    list_init(&w->acks);
    list_init(&w->hang_ups);
    list_init(&w->own_requests);
    list_init(&w->trunks_left);
    wheel_timer_init(&w->sweep, on_sweep);
    w->edge = e;
    w->net = net;
    w->id = net->worker;
    if ((err = snapshot_new(e->cfg, edge_certs_statuses(e->certificates), &w->snap, &why)) != 0) {
        log_reason(LOG_ERROR, "tls-client", &why, NULL, 0);
        goto fail;
    }
    w->cfg = w->snap->cfg;
    w->txl = sip_txl_new(&tu, net->wheel, &net->rand, net->worker,
                         w->cfg->max_transactions ? w->cfg->max_transactions : LIMIT_TRANSACTIONS_WORKER);
    w->replay = digest_replay_new(EDGE_REPLAY_NONCES);
    err = ERR_NOMEM;
    if (!w->txl || !w->replay || credentials_worker_start(w) != 0)
        goto fail;
    listeners_set(w, NULL);
    if ((err = gate_start(w)) != 0 || (err = security_start(w)) != 0 || (err = status_events_start(w)) != 0 || (err = calls_start(w)) != 0 || (err = anchors_start(w)) != 0)
        goto fail;
    *ret_user = worker_callbacks;
    ret_user->arg = w;
    e->workers[w->id] = w;
    if ((err = trunks_start(w)) != 0 || (w->id == 0 && (err = health_start(w)) != 0))
        goto fail;
    if (w->id == 0)
        wheel_start(net->wheel, &w->sweep, LOCATION_SWEEP_MS);
    return 0;
fail:
    edge_worker_stop(w);
    return err;
}

/* What the flows are known for goes with us: on_flow_closed is not called for us any more. */
static bool forget_flow(void *arg, const struct net_flow_info *f)
{
    struct edge_worker *w = arg;
    void *own = f->user;

    net_set_user(w->net, f->path.flow, NULL);
    mem_free(own);
    return true;
}

void edge_worker_stop(struct edge_worker *w)
{
    if (!w)
        return;
    net_each_flow(w->net, forget_flow, w);
    wheel_cancel(w->net->wheel, &w->sweep);
    health_stop(w);
    trunks_stop(w);
    own_requests_stop(w);
    status_events_stop(w);
    proxy_worker_stop(w);
    ack_worker_stop(w);
    hang_ups_stop(w);
    keeper_worker_stop(w);
    anchors_stop(w);
    sip_txl_free(w->txl);
    calls_stop(w);
    security_stop(w);
    gate_stop(w);
    credentials_worker_stop(w);
    digest_replay_free(w->replay);
    snapshot_unref(w->snap);
    if (w->edge->workers[w->id] == w)
        w->edge->workers[w->id] = NULL;
    mem_free(w);
}

/* A new configuration: from here on new requests of this worker are judged by it. Its snapshot is ready, so nothing of it can fail. */
void edge_worker_reload(void *edge_worker, void *snapshot)
{
    struct edge_worker *w = edge_worker;
    struct edge_snapshot *before = w->snap;

    w->snap = snapshot;
    w->cfg = w->snap->cfg;
    listeners_set(w, before->cfg);
    snapshot_unref(before);
    if (trunks_start(w) != 0 || (w->id == 0 && health_start(w) != 0))
        LOG(LOG_ERROR, "reload-worker", LZ("error", err_text(ERR_NOMEM)));
}

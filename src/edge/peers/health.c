/* Checks of peers by OPTIONS (edge/peers/health.h). */
#include "edge/peers/health.h"
#include "base/log.h"
#include "base/mem.h"
#include "edge/peers/own_request.h"
#include "edge/peers/peers.h"
#include "edge/peers/trunk.h"

#define START_MS 100u
#define CHECK_LIMIT_MS 8000u /* less than any transaction's patience: four repetitions */

struct check {
    struct edge_health *h;
    const struct config_peer *peer;
    struct own_request *request;
    struct wheel_timer timer;
};
struct edge_health {
    struct edge_worker *w;
    struct edge_snapshot *snap; /* the peers are of it */
    size_t n;
    struct check v[];
};

struct str health_next_hop(const struct config_peer *p, struct arena *a)
{
    if (p->next_hop_secure.n)
        return p->next_hop_secure;
    if (p->next_hop.n)
        return p->next_hop;
    if (!p->domains.n || str_eq(p->domains.v[0], STR("*")))
        return STR_NULL;
    return arena_fmt(a, "sip:%.*s", STR_FMT(p->domains.v[0]));
}

static void check_again(struct check *c)
{
    wheel_start(c->h->w->net->wheel, &c->timer, (uint64_t)c->peer->check_interval_s * 1000);
}

static void on_checked(void *arg, const struct own_request_result *r)
{
    struct check *c = arg;
    bool is_up = r->m && r->status != 408 && r->status != 503;

    (void)peer_state_set(c->h->w->edge, c->peer, is_up,
                         r->why.code        ? r->why.code
                         : r->status == 503 ? "unavailable"
                                            : "no-response",
                         net_wall_s(c->h->w->net));
    if (!is_up && trunk_flow(c->h->w, c->peer))
        net_close(c->h->w->net, trunk_flow(c->h->w, c->peer), NET_CLOSE_LOCAL); /* a dead one is registered anew */
    check_again(c);
}

/* Who asks is the edge itself, by the name of its first domain. */
static int check_begin(struct check *c, struct arena *a)
{
    struct edge_worker *w = c->h->w;
    struct own_request_args args = {.method = SIP_OPTIONS,
                                    .peer = c->peer,
                                    .limit_ms = CHECK_LIMIT_MS,
                                    .fn = on_checked,
                                    .arg = c};
    struct str hop = health_next_hop(c->peer, a), host = STR_NULL;
    struct sip_uri u;

    if (!hop.n || sip_uri_parse(hop, &u) != 0 || !w->cfg->n_domains)
        return ERR_NOTFOUND;
    host = c->peer->domains.n && !str_eq(c->peer->domains.v[0], STR("*")) ? c->peer->domains.v[0]
                                                                          : u.host;
    args.next_hop = hop;
    args.flow = trunk_flow(w, c->peer); /* keeps it open, too */
    args.uri = args.to = u.host_is_v6 && str_eq(host, u.host)
                             ? arena_fmt(a, "sip:[%.*s]", STR_FMT(host))
                             : arena_fmt(a, "sip:%.*s", STR_FMT(host));
    args.from = arena_fmt(a, "sip:%.*s", STR_FMT(w->cfg->domains[0].name));
    args.extra[args.n_extra].name = STR("Accept");
    args.extra[args.n_extra++].value = STR("application/sdp");
    if (!args.uri.p || !args.from.p)
        return ERR_NOMEM;
    return own_request_start(w, &args, &c->request);
}

static void on_timer(struct wheel_timer *t)
{
    struct check *c = CONTAINER_OF(t, struct check, timer);
    struct arena *a;

    if (__atomic_load_n(&c->h->w->edge->is_starting, __ATOMIC_RELAXED)) {
        wheel_start(c->h->w->net->wheel, &c->timer, START_MS);
        return;
    }
    a = arena_new(1024, 16384);
    if (!a || check_begin(c, a) != 0)
        check_again(c); /* nothing is learnt this time */
    arena_free(a);
}

int health_start(struct edge_worker *w)
{
    const struct config *cfg = w->cfg;
    struct edge_health *h = mem_zalloc(sizeof *h + cfg->n_peers * sizeof h->v[0]);
    size_t i;

    health_stop(w);
    if (!h)
        return ERR_NOMEM;
    h->w = w;
    h->snap = snapshot_ref(w->snap);
    for (i = 0; i < cfg->n_peers; i++) {
        struct check *c = &h->v[h->n];

        if (!cfg->peers[i].check_interval_s)
            continue;
        c->h = h;
        c->peer = &cfg->peers[i];
        wheel_timer_init(&c->timer, on_timer);
        wheel_start(w->net->wheel, &c->timer, START_MS + 20 * h->n++); /* not all at the same moment */
    }
    w->health = h;
    return 0;
}

void health_stop(struct edge_worker *w)
{
    struct edge_health *h = w->health;
    size_t i;

    if (!h)
        return;
    for (i = 0; i < h->n; i++) {
        wheel_cancel(w->net->wheel, &h->v[i].timer);
        own_request_cancel(h->v[i].request);
    }
    snapshot_unref(h->snap);
    mem_free(h);
    w->health = NULL;
}

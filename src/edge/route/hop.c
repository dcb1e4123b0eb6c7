/* From a target to the paths to try in turn: RFC 3263 (by net_locate, never waiting), RFC 5626 flows, connection reuse, and the TLS
 * client context and name that the next hop must satisfy (RFC 5922 7.3, 7.4).
 * A hop lives in the arena of its request and is cancelled before that goes. Worker thread. */
#include "edge/edge_priv.h"

struct hop {
    struct edge_worker *w;
    const struct edge_snapshot *snap; /* the one that the target's peer is of */
    struct arena *arena;
    const struct edge_target *t;
    hop_fn fn;
    void *arg;
    bool sips, waiting, is_now; /* is_now: nothing may be waited for */
    uint64_t locate_id;
    struct str host;        /* of the URI */
    struct str server_name; /* what the certificate must name */
    struct net_target *list;
    size_t n, next;
    struct reason why;
};

/* ---- from address to path ---- */

static int path_datagram(struct hop *h, const struct addr *remote, struct path *ret)
{
    int l = listener_for(h->w, TRANSPORT_UDP, remote);

    if (l < 0)
        return ERR_NOTFOUND;
    *ret = (struct path){.transport = TRANSPORT_UDP, .listener = (uint16_t)l, .local = h->w->cfg->listens[l].addr,
                         .remote = *remote};
    return 0;
}

static int path_stream(struct hop *h, enum transport t, const struct addr *remote, struct path *ret)
{
    struct net_connect_args ca = {.transport = t, .remote = *remote};
    struct pki_tls_client *tls = t == TRANSPORT_TLS ? snapshot_tls(h->snap, h->t->peer) : NULL;
    flow_id flow;
    bool is_any_fine = !tls || (h->t->peer && h->t->peer->allow_unverified);
    int l;

    if (tls && !h->server_name.n)
        h->server_name = hop_expected_name(h->t->peer, h->host);
    flow = net_find(h->w->net, t, remote, tls ? h->server_name : STR_NULL);
    /* One that was accepted, made for another peer or before a reload must be as good as a new one would be (RFC 5923 8.2). */
    if (flow && (is_any_fine || net_vouched(h->w->net, flow, tls, h->server_name)) &&
        net_flow_path(h->w->net, flow, ret) == 0)
        return 0;
    l = listener_for_stream(h->w, t, remote);
    if (l < 0)
        return ERR_NOTFOUND;
    ca.listener = (uint16_t)l;
    if (t == TRANSPORT_TLS) {
        ca.tls = tls;
        ca.server_name = h->server_name;
    }
    return net_connect(h->w->net, &ca, &flow, ret);
}

static void hop_give(struct hop *h)
{
    struct path p;

    while (h->next < h->n) {
        const struct net_target *nt = &h->list[h->next++];
        int err = nt->transport == TRANSPORT_UDP ? path_datagram(h, &nt->addr, &p)
                                                 : path_stream(h, nt->transport, &nt->addr, &p);

        if (err == 0) {
            h->fn(h->arg, &p, NULL);
            return;
        }
        reason_set(&h->why, "no-listener", "RFC 3261 18.1.1", 503, "no listener for %s of this address family",
                   transport_text(nt->transport).p);
    }
    if (!h->why.code)
        reason_set(&h->why, "no-next-hop", "RFC 3263 4.3", 503, NULL);
    h->fn(h->arg, NULL, &h->why);
}

/* ---- location ---- */

static void hop_located(void *arg, const struct net_target *targets, size_t n, const struct reason *why)
{
    struct hop *h = arg;

    h->waiting = false;
    if (n)
        h->list = arena_alloc(h->arena, n * sizeof *h->list);
    if (h->list && n) {
        memcpy(h->list, targets, n * sizeof *h->list);
        h->n = n;
    } else if (why) {
        h->why = *why;
        h->why.sip_status = 503;
    }
    hop_give(h);
}

/* The name a certificate must carry: what was asked for before any DNS step (RFC 3263, RFC 5922 7.3), or what the peer's stanza says. */
struct str hop_expected_name(const struct config_peer *p, struct str host)
{
    struct addr a;

    if (p && p->certificate_names.n)
        return p->certificate_names.v[0];
    if (p && p->domains.n && !str_eq(p->domains.v[0], STR("*")) && addr_parse(&a, host, 0) == 0)
        return p->domains.v[0];
    return host;
}

/* A bare URI, whose parameters are its own, or the first of a list of Route values, whose URI stands in <>. */
int hop_uri(struct str s, struct sip_uri *ret)
{
    struct str head, rest = str_cut(s, '<', &head);

    if (!rest.p)
        return sip_uri_parse(s, ret);
    (void)str_cut(rest, '>', &head);
    return sip_uri_parse(head, ret);
}

/* What may be asked of DNS, or done without it: TLS for sips and where nothing allows clear (TR/100 7.2), the last hop of a peer of
 * RFC 3261's time excepted (RFC 5630 3.1.3). */
static int locate_args(struct hop *h, const struct sip_uri *u, struct net_locate_args *ret)
{
    const struct config_peer *p = h->t->peer;
    bool is_excepted = h->sips && p && p->allow_last_hop_exception && u->scheme != SIP_SCHEME_SIPS;

    *ret = (struct net_locate_args){.host = u->maddr.n ? u->maddr : u->host, .port = u->port, .prefer_tls = true};
    ret->sips = (h->sips && !is_excepted) || u->scheme == SIP_SCHEME_SIPS;
    ret->allow_clear = !ret->sips && (h->t->allow_clear || h->t->emergency || is_excepted || (p && config_peer_may_clear(p, net_wall_s(h->w->net))));
    if (!u->transport.n)
        return 0;
    if (transport_parse(&ret->transport, u->transport) != 0 || ret->transport == TRANSPORT_WS ||
        ret->transport == TRANSPORT_WSS) {
        reason_set(&h->why, "transport-unsupported", "RFC 3263 4.1", 501, "%.*s", STR_FMT(u->transport));
        return ERR_UNSUPPORTED;
    }
    ret->has_transport = true;
    if (ret->sips && ret->transport == TRANSPORT_TCP)
        ret->transport = TRANSPORT_TLS; /* sips with transport=tcp means TLS over TCP (RFC 3261 26.2.2) */
    return 0;
}

/* A literal needs no lookup (RFC 3263 4.1, 4.2): sips is TLS, else the transport asked for, else UDP where clear is allowed, and TLS
 * where it is not. */
static int locate_literal(struct hop *h, const struct net_locate_args *la, const struct addr *a)
{
    enum transport t = la->sips            ? TRANSPORT_TLS
                       : la->has_transport ? la->transport
                       : la->allow_clear   ? TRANSPORT_UDP
                                           : TRANSPORT_TLS;

    if (!transport_is_secure(t) && !la->allow_clear) {
        reason_set(&h->why, "clear-refused", "TR/100 7.2", 403, "this destination has no allow-clear line, nor one that its hop is protected now");
        return ERR_REFUSED;
    }
    h->list = arena_alloc(h->arena, sizeof *h->list);
    if (!h->list)
        return ERR_NOMEM;
    h->list[0] = (struct net_target){.transport = t, .addr = *a};
    addr_set_port(&h->list[0].addr, la->port ? la->port : transport_default_port(t));
    h->n = 1;
    hop_give(h);
    return 0;
}

static int hop_locate(struct hop *h)
{
    struct net_locate_args la;
    struct sip_uri u;
    struct addr a;
    int err;

    if (hop_uri(h->t->next_hop, &u) != 0 || (u.scheme != SIP_SCHEME_SIP && u.scheme != SIP_SCHEME_SIPS)) {
        reason_set(&h->why, "next-hop-uri", "RFC 3261 16.6", 416, NULL);
        return ERR_SYNTAX;
    }
    h->host = u.host;
    if ((err = locate_args(h, &u, &la)) != 0)
        return err;
    if (addr_parse(&a, la.host, 0) == 0)
        return locate_literal(h, &la, &a);
    if (h->is_now)
        return ERR_AGAIN;
    h->waiting = true;
    return net_locate(h->w->net, &la, hop_located, h, &h->locate_id);
}

static struct hop *hop_make(const struct edge_req *r, struct arena *a, const struct edge_target *t, bool sips, hop_fn fn, void *arg)
{
    struct hop *h = arena_zalloc(a, sizeof *h);

    if (!h)
        return NULL;
    h->w = r->w;
    h->snap = r->snap;
    h->arena = a;
    h->t = t;
    h->sips = sips;
    h->fn = fn;
    h->arg = arg;
    return h;
}

int hop_try(const struct edge_req *r, struct arena *a, const struct edge_target *t, bool sips, hop_fn fn, void *arg)
{
    struct hop *h = hop_make(r, a, t, sips, fn, arg);

    if (!h)
        return ERR_NOMEM;
    h->is_now = true;
    return hop_locate(h);
}

int hop_start(const struct edge_req *r, struct arena *a, const struct edge_target *t, bool sips, hop_fn fn, void *arg,
              struct hop **ret_hop)
{
    struct hop *h = hop_make(r, a, t, sips, fn, arg);
    int err;

    if (!h)
        return ERR_NOMEM;
    *ret_hop = h;
    if (t->has_path && sips && !transport_is_secure(t->path.transport)) {
        reason_set(&h->why, "sips-not-allowed", "RFC 5630 5.3", 480, NULL);
        fn(arg, NULL, &h->why);
        return 0;
    }
    if (t->has_path) {
        fn(arg, &t->path, NULL);
        return 0;
    }
    err = hop_locate(h);
    if (err != 0) {
        h->waiting = false;
        if (!h->why.code)
            reason_set(&h->why, "lookup", "RFC 3263 4", 503, "%s", err_text(err));
        fn(arg, NULL, &h->why);
    }
    return 0;
}

void hop_failed(const struct hop *h)
{
    if (h->next && h->next <= h->n)
        net_target_failed(h->w->net, &h->list[h->next - 1]);
}

void hop_next(struct hop *h)
{
    hop_give(h);
}

int hop_stream_instead(struct hop *h, const struct path *udp, struct path *ret)
{
    return path_stream(h, TRANSPORT_TCP, &udp->remote, ret);
}

void hop_cancel(struct hop *h)
{
    if (h && h->waiting) {
        h->waiting = false;
        net_locate_cancel(h->w->net, h->locate_id);
    }
}

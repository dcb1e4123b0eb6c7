/* What the edge knows of a connection (struct edge_flow, kept by net with it): whose registrations it carries (RFC 5626 6), which peer
 * it is of, and whether requests to that peer may go back along it (RFC 5923). Worker thread of the flow. */
#include "base/log.h"
#include "base/mem.h"
#include "edge/edge_priv.h"

struct edge_flow *flow_find(const struct edge_req *r)
{
    if (!r->rx.path.flow || flow_worker(r->rx.path.flow) != r->w->id)
        return NULL;
    return net_get_user(r->w->net, r->rx.path.flow);
}

struct edge_flow *flow_get_by_id(struct edge_worker *w, flow_id flow)
{
    struct edge_flow *f = net_get_user(w->net, flow);

    if (f || !net_facts(w->net, flow))
        return f;
    f = mem_zalloc(sizeof *f);
    if (f)
        net_set_user(w->net, flow, f);
    return f;
}

struct edge_flow *flow_get(const struct edge_req *r)
{
    if (!r->rx.path.flow || flow_worker(r->rx.path.flow) != r->w->id)
        return NULL;
    return flow_get_by_id(r->w, r->rx.path.flow);
}

void flow_bind(struct edge_flow *f, struct str aor, struct str instance)
{
    if (aor.n > sizeof f->text)
        return;
    if (aor.n)
        memcpy(f->text, aor.p, aor.n);
    f->user = str_make(f->text, aor.n);
    f->instance = instance.n ? (uint32_t)str_hash(instance) : 0;
}

/* RFC 5923 8.2: the address where the connection's owner can be found is the source address and the port of its sent-by. The owner
 * is whom its certificate names, and that must be the host of the sent-by; net.h's find compares the name again for each use. */
static void flow_alias(const struct edge_req *r)
{
    const struct hop_facts *hop = r->rx.hop;
    const struct sip_via *via = &r->m->via;
    struct addr a = r->rx.path.remote, literal;
    bool is_named = addr_parse(&literal, via->host, 0) == 0 && addr_eq_host(&literal, &a);
    size_t i;

    for (i = 0; i < hop->n_peer_names && !is_named; i++)
        is_named = str_eq_nocase(hop->peer_names[i], via->host);
    if (!is_named)
        return;
    addr_set_port(&a, via->port ? via->port : transport_default_port(TRANSPORT_TLS));
    if (net_alias(r->w->net, r->rx.path.flow, &a) != 0)
        LOG(LOG_DEBUG, "no-alias", LS("peer", r->who.name)); /* a connection of our own will be made instead */
}

/* RFC 3261 10.3 knows nothing of it: whoever registered along a flow by a password that is no longer good, or for a user who is no more, has
 * no claim to it. A phone that knows the new one connects again. */
struct outdated {
    struct edge_worker *w;
    flow_id v[64];
    size_t n;
};

static bool flow_look(void *arg, const struct net_flow_info *i)
{
    struct outdated *o = arg;
    struct edge_flow *f = i->user;
    char text[ADDR_TEXT_MAX];

    if (!f || !f->user.n || !f->version || account_version(o->w->edge->loc, f->user) == f->version)
        return true;
    LOG(LOG_NOTICE, "user-flow-closed", LS("user", f->user), LS("remote", addr_text(&i->path.remote, text)));
    f->version = 0; /* once */
    o->v[o->n++] = i->path.flow;
    return o->n < ARRAY_LEN(o->v);
}

void flows_of_changed(void *edge_worker, void *arg)
{
    struct outdated o = {.w = edge_worker};
    size_t i;

    (void)arg;
    do {
        o.n = 0;
        net_each_flow(o.w->net, flow_look, &o);
        for (i = 0; i < o.n; i++)
            net_close(o.w->net, o.v[i], NET_CLOSE_LOCAL);
    } while (o.n == ARRAY_LEN(o.v));
}

void flow_note_peer(const struct edge_req *r)
{
    bool is_accepted_tls = r->rx.path.transport == TRANSPORT_TLS && !r->rx.hop->outgoing;
    struct edge_flow *f = flow_find(r);

    if ((f && f->peer) || (f = flow_get(r)) == NULL)
        return; /* the first request has settled it */
    if (str_copy_z(f->peer_text, sizeof f->peer_text, r->who.name) != 0)
        memcpy(f->peer_text, r->who.name.p, sizeof f->peer_text - 1); /* a long name, for display */
    f->peer = f->peer_text;
    if (is_accepted_tls && r->m->via.has_alias && r->who.how == AUTH_CERTIFICATE)
        flow_alias(r);
}

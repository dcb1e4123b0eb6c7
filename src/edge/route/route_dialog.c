/* Inside a dialog of ours: to the other side, along the flow that the token names (RFC 5626 5.3), by Route or Contact where it has none
 * (RFC 3261 12.2.1.1), or to where its phone has registered since then. Worker thread. */
#include "edge/request_priv.h"
#include "edge/route/route_priv.h"
#include "edge/peers/subscriber.h"
#include "edge/status/calls.h"
#include "edge/status/facts.h"

const struct config_peer *route_peer_of_side(const struct config *cfg, const struct token_side *side)
{
    size_t i;

    for (i = 0; i < cfg->n_peers; i++) {
        struct principal p = {.kind = PRINCIPAL_PEER, .name = cfg->peers[i].name};

        if (principal_id(&p) == side->who)
            return &cfg->peers[i];
    }
    return NULL;
}

/* ---- a phone that has moved ---- */

/* The bindings of the user on the other side, whose address of record is in To: it may not be there, after a diversion. Those of a
 * subscriber its account has. */
static bool find_bindings(struct edge_req *r, const struct token_side *side, const struct config_peer *subscriber, struct location_targets *ret)
{
    struct location_query q = {.now_s = net_steady_s(r->w->net)};
    struct principal p = {.kind = PRINCIPAL_USER};
    const struct config_domain *d;
    struct sip_uri u;

    if (subscriber)
        return (q.aor = subscriber_aor(r->m->arena, subscriber)).p && location_lookup(r->w->edge->loc, &q, r->m->arena, ret) == 0;
    if (side->kind != PRINCIPAL_USER || sip_uri_parse(r->m->to.uri, &u) != 0 ||
        (d = request_domain(r->cfg, &u, &r->rx.path.local)) == NULL)
        return false;
    u.host = d->name;
    u.host_is_v6 = false;
    if (sip_uri_aor(r->m->arena, &u, &p.name) != 0 || principal_id(&p) != side->who)
        return false;
    q.aor = p.name;
    return location_lookup(r->w->edge->loc, &q, r->m->arena, ret) == 0;
}

static bool is_path(const struct path *a, const struct path *b)
{
    if (a->flow || b->flow)
        return a->flow == b->flow;
    return a->transport == b->transport && addr_eq(&a->remote, &b->remote);
}

/* Is this binding the phone of the dialog? Its instance says so; without one, its Contact. */
static bool is_phone(const struct edge_req *r, const struct token_side *side, const struct location_target *b)
{
    struct sip_uri u;

    if (side->instance)
        return b->instance.n && (uint32_t)str_hash(b->instance) == side->instance;
    return sip_uri_parse(b->uri, &u) == 0 && sip_uri_eq(&u, &r->ruri);
}

/* Connections of this worker can be looked at; those of others are known to be there only while they carry a registration. Datagrams
 * always go, though perhaps to nobody. */
static bool is_own_flow(const struct edge_req *r, const struct path *p)
{
    return p->flow && flow_worker(p->flow) == r->w->id;
}

static bool is_open(const struct edge_req *r, const struct path *p)
{
    struct path now;

    return net_flow_path(r->w->net, p->flow, &now) == 0;
}

/* The binding to use instead of the path in the token, which is not known to be open; NULL: the path is the best there is. */
static const struct location_target *moved_to(struct edge_req *r, const struct token_side *side,
                                              const struct location_targets *lt)
{
    const struct location_target *found = NULL;
    size_t i;

    for (i = 0; i < lt->n; i++) {
        if (lt->v[i].has_path && is_path(&lt->v[i].path, &side->path))
            return NULL;
        if (!found && is_phone(r, side, &lt->v[i]))
            found = &lt->v[i];
    }
    if (!found && lt->n == 1 && is_own_flow(r, &side->path))
        found = &lt->v[0]; /* the only phone there is: a stranger to the dialog would say so (481) */
    return found;
}

/* A phone that was given its GRUU as Contact has it resolved (RFC 5627 6.1), to the binding of this dialog's flow if there is one. It is
 * the other side's: whoever has a dialog with one of our users has none with the next. */
static bool resolve_gruu(struct edge_req *r, const struct token_side *side, struct edge_target *t)
{
    struct location_query q = {.now_s = net_steady_s(r->w->net), .has_gr = true};
    struct location_targets lt = {0};
    struct principal who = {.kind = PRINCIPAL_USER};
    struct sip_uri u = r->ruri;
    size_t i, use = 0;

    if (!r->domain || !u.has_gr || side->kind != PRINCIPAL_USER)
        return false;
    u.host = r->domain->name;
    if (sip_uri_aor(r->m->arena, &u, &q.aor) != 0 ||
        (u.gr_value.n && sip_unescape(r->m->arena, u.gr_value, &q.gr) != 0) ||
        location_lookup(r->w->edge->loc, &q, r->m->arena, &lt) != 0)
        return false;
    who.name = lt.aor;
    if (principal_id(&who) != side->who)
        return false;
    for (i = 0; i < lt.n; i++)
        if (side->has_path && lt.v[i].has_path && is_path(&lt.v[i].path, &side->path))
            use = i;
    return lt.n && route_use_binding(r, lt.aor, &lt.v[use], t);
}

/* ---- choosing ---- */

static int to_hop(struct edge_req *r, struct edge_target *t, const struct token_side *other, struct reason *why)
{
    const struct config_peer *peer = route_peer_of_side(r->cfg, other);
    struct sip_addr a;
    struct sip_uri u = r->ruri;

    t->next_hop = r->uri;
    if (r->next_route.n) {
        if (sip_addr_parse(r->next_route, &a) != 0 || sip_uri_parse(a.uri, &u) != 0) {
            reason_set(why, "bad-route", "RFC 3261 16.6", 400, NULL);
            return ERR_SYNTAX;
        }
        t->next_hop = a.uri;
    }
    t->peer = peer ? peer : route_peer_of_contact(r, u.host);
    return 0;
}

static int to_other_side(struct edge_req *r, struct edge_targets *ts, struct reason *why)
{
    const struct token_side *other = r->from_caller ? &r->token.callee : &r->token.caller;
    struct edge_target *t = route_target_add(r, ts);
    const struct location_target *b;
    struct location_targets lt;

    if (!t)
        return route_no_memory(why);
    t->uri = r->uri;
    if (resolve_gruu(r, other, t))
        return 0;
    if (!other->has_path)
        return to_hop(r, t, other, why);
    t->has_path = t->to_user = true;
    t->path = other->path;
    t->peer = other->kind == PRINCIPAL_USER ? subscriber_of_id(r->cfg, other->who) : NULL;
    if (t->peer && subscriber_gruu_target(r, t->peer, &other->path, t))
        return 0;
    if (is_own_flow(r, &other->path) && is_open(r, &other->path))
        return 0;
    if (find_bindings(r, other, t->peer, &lt) && (b = moved_to(r, other, &lt)) != NULL) {
        t->route = b->route;
        t->has_path = b->has_path;
        t->path = b->path;
        t->next_hop = b->route.n ? b->route : t->uri;
    }
    return 0;
}

/* The INVITE went to the service by TLS: so does what follows it, whatever its Contact says of transports (RFC 6881 SP-31), while the
 * call's record is here to tell. */
static void keep_secure(const struct edge_req *r, struct edge_target *t)
{
    const struct facts_call *f = calls_facts(r->w, r->token.call_slot, r->token.call_gen);

    if (f && r->from_caller && f->party[POLICY_CALLEE].hop.secure && t->peer && !r->next_route.n &&
        (t->peer->next_hop_secure.n || t->peer->next_hop.n))
        t->next_hop = t->peer->next_hop_secure.n ? t->peer->next_hop_secure : t->peer->next_hop;
}

/* Who called for help need not have said who they are: they reach the emergency service and nobody else (TR/100 6.2). */
static int in_emergency(struct edge_req *r, struct edge_targets *ts, struct reason *why)
{
    int err = to_other_side(r, ts, why);
    struct edge_target *t = err == 0 ? ts->v[0] : NULL;
    struct sip_uri u;

    if (!t || t->has_path)
        return err;
    t->emergency = true;
    if (r->who.kind != PRINCIPAL_NONE || (t->peer && hop_uri(t->next_hop, &u) == 0 && route_peer_of_contact(r, u.host) == t->peer)) {
        keep_secure(r, t);
        return 0;
    }
    ts->n = 0;
    return route_emergency(r, ts, why);
}

int route_in_dialog(struct edge_req *r, struct edge_targets *ts, struct reason *why)
{
    return r->emergency ? in_emergency(r, ts, why) : to_other_side(r, ts, why);
}

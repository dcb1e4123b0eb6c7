/* Where a request may go (RFC 3261 16.5): the other side of its dialog, the flow its token names, a Route it brings, the contacts of
 * a user of ours (RFC 5627 GRUUs included), a peer, or another domain by DNS. Every way is checked against what its sender may use
 * and against the scheme (RFC 5630 5.3). All results live in the request's arena. Worker thread. */
#include "edge/request_priv.h"
#include "edge/admit/asserted.h"
#include "edge/admit/callers.h"
#include "edge/admit/private_network.h"
#include "edge/route/route_priv.h"
#include "edge/peers/subscriber.h"

struct edge_target *route_target_add(struct edge_req *r, struct edge_targets *ts)
{
    struct edge_target *t;

    if (ts->n >= LIMIT_TARGETS)
        return NULL;
    t = arena_zalloc(r->m->arena, sizeof *t);
    if (!t)
        return NULL;
    t->q_milli = 1000;
    ts->v[ts->n++] = t;
    return t;
}

int route_no_memory(struct reason *why)
{
    reason_set(why, "no-memory", NULL, 500, NULL);
    return ERR_NOMEM;
}

static const struct config_peer *peer_of_host(const struct config *cfg, struct str host)
{
    const struct config_peer *all = NULL;
    size_t i, k;

    for (i = 0; i < cfg->n_peers; i++)
        for (k = 0; k < cfg->peers[i].domains.n; k++) {
            if (str_eq_nocase(cfg->peers[i].domains.v[k], host))
                return &cfg->peers[i];
            if (str_eq(cfg->peers[i].domains.v[k], STR("*")))
                all = &cfg->peers[i];
        }
    return all;
}

const struct config_peer *route_peer_of_contact(const struct edge_req *r, struct str host)
{
    const struct config_peer *p = peer_of_host(r->cfg, host);
    struct sip_uri u;
    struct addr a;
    size_t i, k;

    if (p && !(p->domains.n == 1 && str_eq(p->domains.v[0], STR("*"))))
        return p;
    for (i = 0; i < r->cfg->n_peers; i++) {
        const struct config_peer *c = &r->cfg->peers[i];

        if (c->next_hop.n && sip_uri_parse(c->next_hop, &u) == 0 && str_eq_nocase(u.host, host))
            return c;
        if (addr_parse(&a, host, 0) != 0)
            continue;
        for (k = 0; k < c->n_sources; k++)
            if (addr_net_has(&c->sources[k], &a))
                return c;
    }
    return p;
}

void route_target_peer(struct edge_req *r, struct edge_target *t, const struct config_peer *p)
{
    bool secure = r->hop_secure || r->ruri.scheme == SIP_SCHEME_SIPS;

    t->peer = p;
    t->next_hop = secure && p->next_hop_secure.n ? p->next_hop_secure : p->next_hop.n ? p->next_hop : t->uri;
}

/* ---- users of ours ---- */

/* What a Contact may have and a request-URI may not (RFC 3261 19.1.1): a method, headers. */
static bool is_for_contact_only(struct str uri)
{
    size_t i;

    for (i = 0; i < uri.n; i++)
        if (uri.p[i] == '?' || (uri.p[i] == ';' && str_starts_nocase(str_make(uri.p + i, uri.n - i), STR(";method="))))
            return true;
    return false;
}

struct str route_contact_uri(struct arena *a, struct str uri)
{
    struct str rest, name, value;
    struct sip_uri u;
    struct sbuf b;
    char *text;

    if (LIKELY(!is_for_contact_only(uri)) || sip_uri_parse(uri, &u) != 0)
        return uri;
    if ((text = arena_alloc(a, uri.n + 1)) == NULL)
        return STR_NULL;
    b = sbuf_make(text, uri.n + 1);
    rest = u.params;
    sbuf_add(&b, uri.p, u.params.n ? (size_t)(u.params.p - uri.p) : uri.n - (u.headers.n ? u.headers.n + 1 : 0));
    if (u.params.n && b.n && text[b.n - 1] == ';')
        b.n--;
    while (rest.n && sip_param_next(&rest, &name, &value))
        if (!str_eq_nocase(name, STR("method")))
            sbuf_fmt(&b, value.p ? ";%.*s=%.*s" : ";%.*s", STR_FMT(name), STR_FMT(value));
    return b.overflow ? STR_NULL : sbuf_get(&b);
}

/* RFC 5630 5.3: sips only to sips contacts; sip to a sips contact with the scheme replaced, over TLS. A domain may want all its users
 * to be reached so (sips-only). False: not to be used. */
static bool contact_scheme(struct edge_req *r, const struct location_target *lt, struct edge_target *t)
{
    bool want = r->ruri.scheme == SIP_SCHEME_SIPS, is = str_starts_nocase(lt->uri, STR("sips:"));

    t->uri = route_contact_uri(r->m->arena, lt->uri);
    if (!t->uri.p)
        return false;
    if (r->domain->sips_only && !lt->secure && !r->emergency)
        return false;
    if (want)
        return is && (!lt->has_path || transport_is_secure(lt->path.transport));
    if (!is)
        return true;
    t->uri = arena_fmt(r->m->arena, "sip:%.*s", (int)(t->uri.n - 5), t->uri.p + 5);
    return t->uri.p && (!lt->has_path || transport_is_secure(lt->path.transport));
}

/* Once its connection is gone the proxy in front of a user is dialled by what the user has said of it (Path, RFC 3327 5.4), which anybody
 * may say of a gateway's address, and have others call there at our cost. So it is not where a foreign peer or gateway is, and has to
 * prove its name unless it is where the registration came from. */
static bool path_may_be_dialled(const struct edge_req *r, const struct location_target *b, bool *ret_clear)
{
    const struct config_peer *p;
    struct sip_uri u;
    struct addr a;

    *ret_clear = false;
    if (hop_uri(b->route, &u) != 0)
        return false;
    p = route_peer_of_contact(r, u.maddr.n ? u.maddr : u.host);
    if (p && p->kind != CONFIG_SITE && p->kind != CONFIG_SERVER && !(p->domains.n == 1 && str_eq(p->domains.v[0], STR("*"))))
        return false;
    *ret_clear = !u.maddr.n && addr_is_set(&b->path.remote) && addr_parse(&a, u.host, 0) == 0 && addr_eq_host(&a, &b->path.remote);
    return true;
}

bool route_use_binding(struct edge_req *r, struct str aor, const struct location_target *b, struct edge_target *t)
{
    bool may_clear = true;

    if (!contact_scheme(r, b, t) || (!b->has_path && b->route.n && !path_may_be_dialled(r, b, &may_clear)))
        return false;
    t->route = b->route;
    t->has_path = b->has_path;
    t->path = b->path;
    t->next_hop = b->route.n ? b->route : t->uri;
    t->q_milli = b->q_milli;
    t->group = b->instance;
    t->aor = aor;
    t->to_user = true;
    t->allow_clear = may_clear && !b->secure && !str_starts_nocase(b->uri, STR("sips:"));
    return true;
}

static int add_bindings(struct edge_req *r, const struct location_targets *lt, struct edge_targets *ts,
                        struct reason *why)
{
    bool left_out = false;
    size_t i;

    for (i = 0; i < lt->n && ts->n < LIMIT_FORK_BRANCHES; i++) {
        struct edge_target *t = route_target_add(r, ts);

        if (!t)
            return route_no_memory(why);
        if (subscriber_is_bulk(lt->v[i].uri) || !route_use_binding(r, lt->aor, &lt->v[i], t)) {
            ts->n--;
            left_out = true;
        }
    }
    if (ts->n)
        return 0;
    if (left_out && r->ruri.scheme == SIP_SCHEME_SIPS)
        reason_set(why, "sips-not-allowed", "RFC 5630 5.3", 480, "registered without sips");
    else if (left_out)
        reason_set(why, "sips-required", "RFC 5630 5.3", 480, "registered for TLS, which is not to be had now");
    else if (lt->n_lost)
        reason_set(why, "connection-lost", "RFC 5626 5.3", 480, "registered, but its connection is gone");
    else
        reason_set(why, "not-registered", "RFC 3261 16.5", 480, NULL);
    return ERR_NOTFOUND;
}

/* The address of record under the domain's own name, whichever alias or address the request-URI used. */
static int canonical_aor(struct edge_req *r, struct str *ret)
{
    struct sip_uri u = r->ruri;

    u.host = r->domain->name;
    return sip_uri_aor(r->m->arena, &u, ret);
}

/* Who is no user of ours: a number that a peer takes, or whoever the domain says. */
static int route_to_unknown(struct edge_req *r, struct edge_targets *ts, struct reason *why)
{
    const struct config_peer *p = r->domain->unknown_users.n ? config_peer_find(r->cfg, r->domain->unknown_users) : NULL;
    struct str e164 = STR_NULL;
    struct route_choice c;

    if (route_choice_of_number(r, &c, &e164) != 0)
        return route_no_memory(why);
    if (r->ruri.has_gr && (!c.n || !c.v[0]->account.n))
        c.n = 0; /* a user's, and there is none */
    else if (!c.n && p) {
        c = (struct route_choice){{p}, 1};
        e164 = STR_NULL;
    }
    if (c.n)
        return route_choice_add(r, ts, &c, e164, why);
    reason_set(why, "no-such-user", "RFC 3261 16.5", 404, NULL);
    return ERR_NOTFOUND;
}

static int route_to_user(struct edge_req *r, struct edge_targets *ts, struct reason *why)
{
    struct location_query q = {.now_s = net_steady_s(r->w->net)};
    struct location_targets lt = {0};
    int err = ERR_NOTFOUND;

    if (r->ruri.scheme != SIP_SCHEME_TEL) {
        if (canonical_aor(r, &q.aor) != 0)
            return route_no_memory(why);
        q.has_gr = r->ruri.has_gr;
        if (q.has_gr && r->ruri.gr_value.n && sip_unescape(r->m->arena, r->ruri.gr_value, &q.gr) != 0) {
            reason_set(why, "bad-gruu", "RFC 5627 3.1", 404, NULL);
            return ERR_NOTFOUND;
        }
        err = location_lookup(r->w->edge->loc, &q, r->m->arena, &lt);
    }
    if (err == 0)
        return add_bindings(r, &lt, ts, why);
    if (err != ERR_NOTFOUND)
        return route_no_memory(why);
    if (!q.has_gr || q.gr.n) /* RFC 6140 7.1.1: of a subscriber's phone */
        return route_to_unknown(r, ts, why);
    reason_set(why, "no-such-user", "RFC 3261 16.5", 404, NULL);
    return ERR_NOTFOUND;
}

/* ---- elsewhere ---- */

static int route_outside(struct edge_req *r, struct edge_targets *ts, struct reason *why)
{
    const struct config_peer *p;
    struct edge_target *t;
    struct sip_addr a;
    struct sip_uri u = r->ruri;
    struct str hop = STR_NULL;
    struct route_choice c;

    /* Who may use us as a way to others: our users, and peers that have an allow-relay line (TR/100 6.2, 6.3). */
    if (r->who.kind != PRINCIPAL_USER && !(r->who.peer && r->who.peer->allow_relay) && !r->is_forwarded) {
        reason_set(why, "relay-denied", "RFC 3261 16.3", 403, "not a domain of ours");
        return ERR_REFUSED;
    }
    if (r->next_route.n) {
        if (sip_addr_parse(r->next_route, &a) != 0 || sip_uri_parse(a.uri, &u) != 0) {
            reason_set(why, "bad-route", "RFC 3261 16.6", 400, NULL);
            return ERR_SYNTAX;
        }
        hop = a.uri;
    }
    if (u.scheme != SIP_SCHEME_SIP && u.scheme != SIP_SCHEME_SIPS) {
        reason_set(why, "uri-scheme", "RFC 3261 16.5", 416, "%.*s cannot be routed", STR_FMT(u.scheme_text));
        return ERR_UNSUPPORTED;
    }
    route_choice_of_host(r, u.host, &c);
    if (!hop.n && c.n)
        return route_choice_add(r, ts, &c, STR_NULL, why);
    t = route_target_add(r, ts);
    if (!t)
        return route_no_memory(why);
    t->uri = r->uri;
    p = hop.n ? route_peer_of_contact(r, u.host) : NULL;
    if (p && !private_network_may_carry(r, p)) { /* a Route leads around no rule */
        ts->n = 0;
        reason_set(why, "private-traffic", "TR/100 recommendation 1", 403, "%.*s carries no traffic of this kind (carries)", STR_FMT(p->name));
        return ERR_REFUSED;
    }
    if (p)
        route_target_peer(r, t, p);
    else
        t->next_hop = t->uri;
    if (hop.n)
        t->next_hop = hop;
    return 0;
}

static int add_psap(struct edge_req *r, struct edge_targets *ts, const struct config_peer *p, struct str next_hop,
                    unsigned q_milli, struct reason *why)
{
    struct edge_target *t = route_target_add(r, ts);

    if (!t || !next_hop.p)
        return route_no_memory(why);
    t->uri = r->uri;
    t->peer = p;
    t->next_hop = next_hop;
    t->q_milli = q_milli;
    t->emergency = r->emergency;
    return 0;
}

/* Emergency calls go where the configuration says, whoever calls (RFC 6881 SP-31, TR/100 6.2): by TLS if they can, else without. */
int route_emergency(struct edge_req *r, struct edge_targets *ts, struct reason *why)
{
    const struct config_peer *p = config_peer_find(r->cfg, r->cfg->emergency.peer);
    struct str secure, clear;
    struct sip_uri u;
    int err;

    if (!p) {
        reason_set(why, "no-emergency-peer", "RFC 6881 SP-31", 503, "emergency { peer } is not configured");
        return ERR_NOTFOUND;
    }
    clear = p->next_hop.n ? p->next_hop : arena_fmt(r->m->arena, "sip:%.*s", STR_FMT(p->domains.n ? p->domains.v[0] : p->name));
    secure = p->next_hop_secure.n ? p->next_hop_secure : clear;
    if ((err = add_psap(r, ts, p, secure, 1000, why)) != 0 || !r->emergency)
        return err;
    if (sip_uri_parse(clear, &u) == 0 && u.scheme == SIP_SCHEME_SIPS)
        clear = arena_fmt(r->m->arena, u.host_is_v6 ? "sip:[%.*s]" : "sip:%.*s", STR_FMT(u.host));
    return str_eq(secure, clear) ? 0 : add_psap(r, ts, p, clear, 500, why);
}

int route_targets(struct edge_req *r, struct edge_targets *ts, struct reason *why)
{
    struct edge_target *t;

    if (r->has_token && sip_msg_in_dialog(r->m))
        return route_in_dialog(r, ts, why);
    if (r->to_psap)
        return route_emergency(r, ts, why);
    if (r->has_flow_path) { /* RFC 5626 5.3: a proxy behind us found our token in a Path */
        t = route_target_add(r, ts);
        if (!t)
            return route_no_memory(why);
        t->uri = r->uri;
        t->has_path = t->to_user = t->is_flow_side = true;
        t->path = r->flow_side.path;
        return 0;
    }
    if (r->domain && !r->next_route.n)
        return route_to_user(r, ts, why);
    return route_outside(r, ts, why);
}

/* TR/100 6.3: whoever forwards a call pays for where it goes. */
static bool may_forward(const struct edge_req *r, const struct edge_target *by)
{
    const struct config_domain *d;
    struct str user;

    if (!by || !by->aor.n || by->peer)
        return false;
    d = config_domain_find(r->cfg, str_cut(by->aor, '@', &user));
    return d && d->allow_forwarding;
}

struct edge_target *route_redirect(struct edge_req *r, const struct edge_target *by, struct str contact)
{
    struct edge_targets ts = {0};
    struct reason why = {0};
    struct edge_req *copy;
    struct sip_addr a;
    struct sip_uri u;
    int err;

    if (sip_addr_parse(contact, &a) != 0 || a.star || sip_uri_parse(a.uri, &u) != 0 || u.headers.n)
        return NULL;
    if ((u.scheme == SIP_SCHEME_SIPS) != (r->ruri.scheme == SIP_SCHEME_SIPS))
        return NULL;
    copy = arena_alloc(r->m->arena, sizeof *copy);
    if (!copy)
        return NULL;
    *copy = *r;
    /* The response's bytes go, the request's arena stays. */
    u.whole = arena_str(r->m->arena, a.uri);
    if (u.whole.p)
        u.whole = route_contact_uri(r->m->arena, u.whole);
    if (!u.whole.p || sip_uri_parse(u.whole, &copy->ruri) != 0)
        return NULL;
    copy->domain = request_domain(r->cfg, &copy->ruri, NULL);
    copy->next_route = STR_NULL;
    copy->has_flow_path = false;
    copy->uri = u.whole;
    copy->is_forwarded = may_forward(r, by);
    if (copy->domain && copy->ruri.has_user)
        err = route_to_user(copy, &ts, &why);
    else
        err = copy->domain ? ERR_NOTFOUND : route_outside(copy, &ts, &why);
    /* What stood before the targets that the request came with stands before this one: lists of callers of another domain of ours
     * than the one that was called, privacy that must be given where it leaves. Limits of a peer: branch_start. */
    if (err != 0 || !ts.n || (copy->domain != r->domain && callers_check(copy, &why) != 0) || asserted_check_privacy(copy, &ts, &why) != 0)
        return NULL;
    return ts.v[0];
}

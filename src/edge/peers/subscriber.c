/* Subscribers of ours (edge/peers/subscriber.h): RFC 6140 5.2, 6, 7.1.1; RFC 3325 5; TR/100 7.5.3.
 */
#include "edge/peers/subscriber.h"
#include "edge/identity/show.h"
#include "edge/request_priv.h"
#include "edge/route/route_priv.h"

/* ---- whose ---- */

const struct config_peer *subscriber_of(const struct config *cfg, struct str aor)
{
    size_t i;

    for (i = 0; aor.n > 4 && i < cfg->n_peers; i++) {
        const struct config_peer *p = &cfg->peers[i];

        if (p->account.n && str_eq(p->account, str_make(aor.p + 4, aor.n - 4))) /* "sip:" */
            return p;
    }
    return NULL;
}

const struct config_peer *subscriber_of_id(const struct config *cfg, uint64_t id)
{
    char text[LOCATION_AOR_MAX + 1];
    size_t i;

    for (i = 0; i < cfg->n_peers; i++) {
        struct principal who = {.kind = PRINCIPAL_USER};
        struct sbuf b = sbuf_make(text, sizeof text);

        if (!cfg->peers[i].account.n)
            continue;
        sbuf_fmt(&b, "sip:%.*s", STR_FMT(cfg->peers[i].account));
        who.name = sbuf_get(&b);
        if (!b.overflow && principal_id(&who) == id)
            return &cfg->peers[i];
    }
    return NULL;
}

struct str subscriber_aor(struct arena *a, const struct config_peer *p)
{
    return arena_fmt(a, "sip:%.*s", STR_FMT(p->account));
}

/* ---- its callers ---- */

/* Of several that have the beginning of a number, the one that has more of it. */
static const struct config_peer *holder_of(const struct config *cfg, struct str digits)
{
    const struct config_peer *best = NULL;
    size_t i, k, n = 0;

    for (i = 0; i < cfg->n_peers; i++)
        for (k = 0; cfg->peers[i].account.n && k < cfg->peers[i].numbers.n; k++) {
            struct str p = cfg->peers[i].numbers.v[k];

            if (p.n > n && str_starts_nocase(digits, str_make(p.p + 1, p.n - 1))) {
                n = p.n;
                best = &cfg->peers[i];
            }
        }
    return best;
}

/* An address that we may assert: one of its numbers, at a domain of ours or as a tel URI; its
 * account itself. In the form that it has between domains. Empty: it is none. ERR_NOMEM. */
static int own_address(struct edge_req *r, struct str uri, struct str *ret)
{
    const struct config_peer *p = r->who.peer;
    const struct config_domain *d = NULL;
    struct passport_id id;
    struct str aor, user, host = str_cut(p->account, '@', &user);
    struct sip_uri u;
    int err;

    *ret = STR_NULL;
    if (sip_uri_parse(uri, &u) != 0)
        return 0;
    if (u.scheme != SIP_SCHEME_TEL && (d = request_domain(r->cfg, &u, &r->rx.path.local)) == NULL)
        return 0;
    if (!d)
        d = config_domain_find(r->cfg, host);
    if (u.scheme != SIP_SCHEME_TEL) {
        u.host = d->name;
        u.host_is_v6 = false;
        if ((err = sip_uri_aor(r->m->arena, &u, &aor)) == ERR_NOMEM)
            return err;
        if (err == 0 && str_eq(aor, r->who.name)) {
            *ret = aor;
            return 0;
        }
    }
    err = identity_show_uri(r->m->arena, uri, d ? &d->dial : NULL, true, &id);
    if (err != 0 || !id.is_tn || holder_of(r->cfg, id.text) != p)
        return err == ERR_NOMEM ? err : 0;
    *ret = arena_fmt(r->m->arena, "sip:+%.*s@%.*s;user=phone", STR_FMT(id.text), STR_FMT(host));
    return ret->p ? 0 : ERR_NOMEM;
}

bool subscriber_is_caller(struct edge_req *r)
{
    struct str from;

    return own_address(r, r->m->from.uri, &from) == 0 && from.n > 0;
}

/* Does From speak for a user of ours that is none of its own? That nobody may (TR/100 7.5.3),
 * forwarded calls of numbers excepted. */
static bool is_of_ours(struct edge_req *r)
{
    const struct config_domain *d;
    struct passport_id id;
    struct sip_uri u;

    if (sip_uri_parse(r->m->from.uri, &u) != 0 || u.scheme == SIP_SCHEME_TEL ||
        (d = request_domain(r->cfg, &u, &r->rx.path.local)) == NULL)
        return false;
    return identity_show_uri(r->m->arena, r->m->from.uri, &d->dial, true, &id) != 0 || !id.is_tn;
}

static int refuse(struct reason *why, const char *detail)
{
    reason_set(why, "caller-not-its-number", "TR/100 7.5.3", 403, "%s", detail);
    return ERR_REFUSED;
}

int subscriber_screen(struct edge_req *r, struct reason *why)
{
    const struct config_peer *p = r->who.peer;
    struct sip_values it = sip_values_start(r->m, SIP_H_P_ASSERTED_IDENTITY);
    struct str from, host, user;
    struct sip_addr a;
    struct sip_uri u;

    if (sip_uri_parse(r->m->from.uri, &u) != 0) {
        reason_set(why, "bad-from", "RFC 3261 20.20", 400, NULL);
        return ERR_REFUSED;
    }
    if (own_address(r, r->m->from.uri, &from) != 0)
        return route_no_memory(why);
    while (!r->asserts.n && sip_values_next(&it))
        if (sip_addr_parse(it.value, &a) == 0 && own_address(r, a.uri, &r->asserts) != 0)
            return route_no_memory(why);
    if (!r->asserts.n && !sip_msg_has(r->m, SIP_H_P_ASSERTED_IDENTITY))
        r->asserts = from;
    if (r->asserts.n && (from.n || str_eq_nocase(u.host, STR("anonymous.invalid"))))
        return 0;
    if (!from.n && is_of_ours(r))
        return refuse(why, "From is a user of ours and not of this account");
    if (p->foreign_callers == CONFIG_FOREIGN_REFUSE)
        return refuse(why, "neither From nor an asserted identity is a number of this account; "
                           "foreign-callers says refuse");
    r->is_screened = !from.n;
    if (r->asserts.n)
        return 0;
    host = str_cut(p->account, '@', &user);
    r->asserts =
        arena_fmt(r->m->arena, "sip:%.*s@%.*s;user=phone", STR_FMT(p->main_number), STR_FMT(host));
    return r->asserts.p ? 0 : route_no_memory(why);
}

/* ---- its contacts ---- */

bool subscriber_is_bulk(struct str contact)
{
    struct sip_uri u;

    return str_find_char(contact, ';') < contact.n && sip_uri_parse(contact, &u) == 0 &&
           sip_param_find(u.params, STR("bnc"), NULL);
}

struct str subscriber_gruu(struct arena *a, struct str pub_gruu)
{
    struct str head, rest = str_cut(pub_gruu, '@', &head), host, gr = str_cut(rest, ';', &host);
    size_t scheme = str_find_char(pub_gruu, ':');

    if (!rest.p || !gr.n || scheme == pub_gruu.n)
        return STR_NULL;
    return arena_fmt(a, "%.*s:%.*s;bnc;%.*s", (int)scheme, pub_gruu.p, STR_FMT(host), STR_FMT(gr));
}

/* RFC 6140 5.2: the number goes before the address, `bnc` goes, all other parameters stay; of a
 * GRUU "sg" comes along (7.1.1). */
static struct str number_contact(struct edge_req *r, struct str contact, struct str e164)
{
    struct str rest, name, value, sg;
    struct sip_uri u;
    size_t cap = contact.n + e164.n + r->uri.n + 16;
    char *text;
    struct sbuf b;

    if (sip_uri_parse(contact, &u) != 0 || (text = arena_alloc(r->m->arena, cap)) == NULL)
        return STR_NULL;
    b = sbuf_make(text, cap);
    sbuf_str(&b, u.scheme_text);
    sbuf_lit(&b, ":+");
    sbuf_str(&b, e164);
    sbuf_fmt(&b, u.host_is_v6 ? "@[%.*s]" : "@%.*s", STR_FMT(u.host));
    if (u.port)
        sbuf_fmt(&b, ":%u", u.port);
    for (rest = u.params; sip_param_next(&rest, &name, &value);)
        if (!str_eq_nocase(name, STR("bnc")))
            sbuf_fmt(&b, value.n ? ";%.*s=%.*s" : ";%.*s", STR_FMT(name), STR_FMT(value));
    if (r->ruri.has_gr && sip_param_find(r->ruri.params, STR("sg"), &sg) && sg.n)
        sbuf_fmt(&b, ";sg=%.*s", STR_FMT(sg));
    return b.overflow ? STR_NULL : sbuf_get(&b);
}

/* Is a binding meant by the GRUU of the request, if it is one? */
static bool is_meant(struct edge_req *r, const struct location_target *b)
{
    struct str gr;

    return !r->ruri.has_gr || (sip_unescape(r->m->arena, r->ruri.gr_value, &gr) == 0 &&
                               str_eq_nocase(gr, b->instance));
}

int subscriber_targets(struct edge_req *r, struct edge_targets *ts, const struct config_peer *p,
                       struct str e164, struct reason *why)
{
    struct location_query q = {.aor = subscriber_aor(r->m->arena, p),
                               .now_s = net_steady_s(r->w->net)};
    struct location_targets lt = {0};
    size_t i;
    int err;

    if (!q.aor.p)
        return route_no_memory(why);
    if ((err = location_lookup(r->w->edge->loc, &q, r->m->arena, &lt)) == ERR_NOMEM)
        return route_no_memory(why);
    for (i = 0; err == 0 && i < lt.n && ts->n < LIMIT_FORK_BRANCHES; i++) {
        bool is_bulk = subscriber_is_bulk(lt.v[i].uri);
        struct edge_target *t;

        if (!is_meant(r, &lt.v[i]) || (is_bulk && !e164.n))
            continue;
        if ((t = route_target_add(r, ts)) == NULL)
            return route_no_memory(why);
        if (!route_use_binding(r, lt.aor, &lt.v[i], t)) {
            ts->n--;
            continue;
        }
        t->peer = p;
        if (is_bulk && !(t->uri = number_contact(r, t->uri, e164)).p)
            return route_no_memory(why);
        t->next_hop = t->route.n ? t->route : t->uri;
    }
    return 0;
}

bool subscriber_gruu_target(struct edge_req *r, const struct config_peer *p,
                            const struct path *path, struct edge_target *t)
{
    struct location_query q = {.aor = subscriber_aor(r->m->arena, p),
                               .now_s = net_steady_s(r->w->net)};
    struct location_targets lt = {0};
    const struct location_target *b = NULL;
    struct edge_target got = *t;
    struct passport_id id;
    size_t i;

    if (!r->domain || !r->ruri.has_gr || !q.aor.p ||
        identity_show_uri(r->m->arena, r->uri, &r->domain->dial, true, &id) != 0 || !id.is_tn ||
        holder_of(r->cfg, id.text) != p ||
        location_lookup(r->w->edge->loc, &q, r->m->arena, &lt) != 0)
        return false;
    for (i = 0; i < lt.n; i++) {
        const struct path *at = lt.v[i].has_path ? &lt.v[i].path : NULL;

        if (!subscriber_is_bulk(lt.v[i].uri) || !is_meant(r, &lt.v[i]))
            continue;
        if (!b || (at && path &&
                   (path->flow ? at->flow == path->flow : addr_eq(&at->remote, &path->remote))))
            b = &lt.v[i];
    }
    if (!b || !route_use_binding(r, lt.aor, b, &got) ||
        !(got.uri = number_contact(r, got.uri, id.text)).p)
        return false;
    got.peer = p;
    got.next_hop = got.route.n ? got.route : got.uri;
    *t = got;
    return true;
}

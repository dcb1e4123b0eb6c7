/* Which peers a request may go to: by domain, or by the beginning of a telephone number
 * (TR/100 7.6, RFC 8224 8.3 for what a number is), and in which order: those that are known to be
 * down last, then by priority and weight (RFC 2782). They are tried one after the other; the next
 * one only where the one before did not answer, or with 408, 430 or 503. Worker thread; memory of
 * the request. */
#include "edge/identity/show.h"
#include "edge/peers/peers.h"
#include "edge/admit/private_network.h"
#include "edge/route/route_priv.h"
#include "edge/peers/subscriber.h"

static bool is_all(struct str domain)
{
    return str_eq(domain, STR("*"));
}

static void choice_add(struct route_choice *c, const struct config_peer *p)
{
    if (c->n < ARRAY_LEN(c->v))
        c->v[c->n++] = p;
}

static void of_host(const struct config *cfg, struct str host, bool all, struct route_choice *ret)
{
    for (size_t i = 0; i < cfg->n_peers; i++) {
        const struct config_strs *d = &cfg->peers[i].domains;
        for (size_t k = 0; k < d->n; k++)
            if (all ? is_all(d->v[k]) : str_eq_nocase(d->v[k], host)) {
                choice_add(ret, &cfg->peers[i]);
                break;
            }
    }
}

void route_choice_of_host(const struct edge_req *r, struct str host, struct route_choice *ret)
{
    ret->n = 0;
    of_host(r->cfg, host, false, ret);
    if (!ret->n)
        of_host(r->cfg, host, true, ret);
}

/* ---- numbers ---- */

/* How much of the number a list has; 0: nothing. `e164`: with country code, empty: it has none. */
static size_t prefix_fits(const struct config_strs *l, struct str e164, struct str dialled)
{
    size_t best = 0;
    for (size_t i = 0; i < l->n; i++) {
        struct str p = l->v[i];
        if (p.n && p.p[0] == '+') {
            if (e164.n && str_starts_nocase(e164, str_make(p.p + 1, p.n - 1)) && p.n > best)
                best = p.n;
        } else if (p.n && str_starts_nocase(dialled, p) && p.n > best) {
            best = p.n;
        }
    }
    return best;
}

/* Who may have numbers of ours routed: calling them costs money (TR/100 6.2). */
static bool may_dial(const struct edge_req *r)
{
    return r->who.kind == PRINCIPAL_USER || (r->who.peer && r->who.peer->allow_relay) ||
           r->is_forwarded;
}

/* With country code, and as it was dialled; empty: it is none of that kind. ERR_NOTFOUND: it is no
 * telephone number at all. */
static int number_of(struct edge_req *r, struct str *ret_e164, struct str *ret_dialled)
{
    const struct canon_dial *dial = r->domain ? &r->domain->dial : NULL;
    bool is_e164 = false, unused;
    struct passport_id id;
    int err = identity_show_uri(r->m->arena, r->uri, dial, false, &id);

    if (err == 0 && !id.is_tn)
        return ERR_NOTFOUND;
    if (err == 0)
        err = canon_number(r->m->arena, r->ruri.user, dial, ret_e164, &is_e164);
    if (err == 0)
        err = canon_number(r->m->arena, r->ruri.user, NULL, ret_dialled, &unused);
    if (err != 0)
        return err == ERR_NOMEM ? err : ERR_NOTFOUND;
    if (!is_e164)
        *ret_e164 = STR_NULL;
    if (r->ruri.user.p[0] == '+')
        *ret_dialled = STR_NULL;
    return 0;
}

static bool has_numbers(const struct config *cfg)
{
    for (size_t i = 0; i < cfg->n_peers; i++)
        if (cfg->peers[i].numbers.n)
            return true;
    return false;
}

int route_choice_of_number(struct edge_req *r, struct route_choice *ret, struct str *ret_e164)
{
    struct str dialled;
    size_t best = 1, fits;
    int err;

    ret->n = 0;
    if (!has_numbers(r->cfg))
        return 0;
    if ((err = number_of(r, ret_e164, &dialled)) != 0)
        return err == ERR_NOTFOUND ? 0 : err;
    for (size_t i = 0; i < r->cfg->n_peers; i++) {
        const struct config_peer *p = &r->cfg->peers[i];
        if (!p->account.n && !may_dial(r)) /* a subscriber's numbers are ours to serve, whoever calls */
            continue;
        if ((fits = prefix_fits(&p->numbers, *ret_e164, dialled)) < best)
            continue;
        if (fits > best)
            ret->n = 0;
        best = fits;
        choice_add(ret, p);
    }
    return 0;
}

/* ---- in which order ---- */

/* RFC 2782: by chance, each as often as its weight says; those without weight last. */
static size_t pick(struct edge_req *r, const struct route_choice *c, size_t from, size_t to)
{
    uint64_t sum = 0, at;
    for (size_t i = from; i < to; i++)
        sum += c->v[i]->weight;
    if (sum == 0)
        return from;
    at = rand_u64(&r->w->net->rand) % sum;
    for (size_t i = from; i < to; i++) {
        if (at < c->v[i]->weight)
            return i;
        at -= c->v[i]->weight;
    }
    return from;
}

static uint32_t rank(struct edge_req *r, const struct config_peer *p)
{
    return p->priority | (peer_is_down(r->w->edge, p) ? 1u << 16 : 0);
}

static void swap(struct route_choice *c, size_t i, size_t k)
{
    const struct config_peer *p = c->v[i];
    c->v[i] = c->v[k];
    c->v[k] = p;
}

void route_choice_order(struct edge_req *r, struct route_choice *c)
{
    for (size_t i = 1; i < c->n; i++)
        for (size_t k = i; k > 0 && rank(r, c->v[k]) < rank(r, c->v[k - 1]); k--)
            swap(c, k, k - 1);
    for (size_t i = 0, end; i + 1 < c->n; i++) {
        for (end = i + 1; end < c->n && rank(r, c->v[end]) == rank(r, c->v[i]); end++)
            ;
        swap(c, i, pick(r, c, i, end));
    }
}

/* ---- as targets ---- */

/* A number leaves in the form that it has between domains (RFC 8224 8.3, RFC 3966 5.1.4), addressed
 * to the domain that takes it; one that only our own dialling rules know stays as it was dialled.
 */
static struct str number_uri(struct edge_req *r, const struct config_peer *p, struct str e164)
{
    if (!e164.n || !p->domains.n || is_all(p->domains.v[0]))
        return r->uri;
    return arena_fmt(r->m->arena, "%s:+%.*s@%.*s;user=phone",
                     r->ruri.scheme == SIP_SCHEME_SIPS ? "sips" : "sip", STR_FMT(e164),
                     STR_FMT(p->domains.v[0]));
}

/* Traffic of a private network, and other traffic, have ways of their own (RFC 7316). */
static bool keep_carriers(const struct edge_req *r, struct route_choice *c)
{
    size_t n = 0;
    for (size_t i = 0; i < c->n; i++)
        if (private_network_may_carry(r, c->v[i]))
            c->v[n++] = c->v[i];
    c->n = n;
    return n > 0;
}

/* What a gateway or a foreign peer sends is not for itself: a number that it has given us and nobody here has would go back and forth,
 * at somebody's cost, as a new call each time, which no hash and no count of hops tells (RFC 3261 16.3). A server or site of our own may
 * well ask twice (a spiral); what a user forwards goes where the user says. */
static bool is_back(const struct edge_req *r, const struct config_peer *p)
{
    return p == r->who.peer && r->who.kind == PRINCIPAL_PEER && !r->is_forwarded && p->kind != CONFIG_SITE &&
           p->kind != CONFIG_SERVER;
}

static bool drop_sender(const struct edge_req *r, struct route_choice *c)
{
    size_t n = 0;
    for (size_t i = 0; i < c->n; i++)
        if (!is_back(r, c->v[i]))
            c->v[n++] = c->v[i];
    c->n = n;
    return n > 0;
}

int route_choice_add(struct edge_req *r, struct edge_targets *ts, struct route_choice *c,
                     struct str e164, struct reason *why)
{
    if (!drop_sender(r, c)) {
        reason_set(why, "back-to-sender", "RFC 3261 16.3", r->domain ? 404 : 482, "nobody takes it but the peer that it comes from");
        return ERR_REFUSED;
    }
    if (!keep_carriers(r, c)) {
        reason_set(why, "private-traffic", "TR/100 recommendation 1", 403,
                   "no peer for this destination carries traffic of this kind (carries)");
        return ERR_REFUSED;
    }
    route_choice_order(r, c);
    for (size_t i = 0; i < c->n; i++) {
        struct edge_target *t;
        int err;
        if (c->v[i]->account.n) {
            if ((err = subscriber_targets(r, ts, c->v[i], e164, why)) != 0)
                return err;
            continue;
        }
        t = route_target_add(r, ts);
        if (!t)
            return route_no_memory(why);
        t->uri = number_uri(r, c->v[i], e164);
        if (!t->uri.p)
            return route_no_memory(why);
        route_target_peer(r, t, c->v[i]);
        if (c->n == 1)
            continue;
        t->is_one_of = true;
        t->group = STR("peers");
        t->q_milli = 1000 - (unsigned)i;
    }
    if (ts->n)
        return 0;
    reason_set(why, "not-registered", "RFC 6140 6", 480, NULL);
    return ERR_NOTFOUND;
}

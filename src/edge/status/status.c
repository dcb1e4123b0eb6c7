/* What `sallyport status` shows, as JSON (edge.h): what the process is, who is registered, which connections and calls there are,
 * all counters, the configuration in force. Lists have at most STATUS_ROWS_MAX rows and say how many there would be.
 * Main thread; what workers own they put into rows themselves (ask.h). */
#include "base/log.h"
#include "base/mem.h"
#include "base/clock.h"
#include "edge/ask.h"
#include "edge/status/calls.h"
#include "edge/status/security.h"
#include "edge/status/status_priv.h"
#include "keeper/link.h"
#include <jansson.h>
#include <stdlib.h>
#include <time.h>

#define STATUS_ROWS_MAX 10000u
#define TEXT_MAX 4096u /* bytes of one text from the network */

/* ---- JSON ---- */

/* A text from outside; bytes that are no UTF-8 become "?" (RFC 8259 8.1). NULL on no memory, which makes json_pack fail. */
static json_t *text(struct str s)
{
    char copy[TEXT_MAX];
    size_t n = 0, at = 0, ok;

    if (str_is_utf8(s))
        return json_stringn_nocheck(s.n ? s.p : "", s.n);
    while (at < s.n && n < sizeof copy) {
        ok = str_utf8_prefix(str_make(s.p + at, s.n - at));
        if (ok > sizeof copy - n)
            ok = sizeof copy - n;
        memcpy(copy + n, s.p + at, ok);
        n += ok;
        at += ok;
        if (at < s.n && n < sizeof copy) {
            copy[n++] = '?';
            at++;
        }
    }
    n = str_utf8_prefix(str_make(copy, n));
    return json_stringn_nocheck(copy, n);
}

json_t *status_json_text(struct str s)
{
    return text(s);
}

static json_t *text_z(const char *z)
{
    return text(str_z(z));
}

static json_t *number(uint64_t v)
{
    return json_integer(v > INT64_MAX ? INT64_MAX : (json_int_t)v);
}

static json_t *addr_json(const struct addr *a)
{
    char t[ADDR_TEXT_MAX];

    return addr_is_set(a) ? text(addr_text(a, t)) : text(STR_NULL);
}

/* "2026-01-31T12:00:00Z" */
static json_t *when(int64_t s)
{
    char t[32] = "";
    time_t at = (time_t)s;
    struct tm tm;

    if (gmtime_r(&at, &tm))
        strftime(t, sizeof t, "%Y-%m-%dT%H:%M:%SZ", &tm);
    return json_string(t);
}

/* The text for the caller, and the end of the tree. */
static char *finish(json_t *root)
{
    char *s = root ? json_dumps(root, JSON_COMPACT) : NULL;

    json_decref(root);
    return s;
}

/* ---- lists ---- */

struct rows {
    json_t *list;
    uint64_t total; /* that match, shown or not */
    bool failed;
};

static void rows_add(struct rows *r, json_t *row)
{
    r->total++;
    if (r->failed || (row && json_array_size(r->list) >= STATUS_ROWS_MAX)) {
        json_decref(row);
        return;
    }
    if (!r->list && (r->list = json_array()) == NULL)
        r->failed = true;
    if (!row || json_array_append_new(r->list, row) != 0)
        r->failed = true;
}

static bool rows_full(const struct rows *r)
{
    return r->failed || json_array_size(r->list) >= STATUS_ROWS_MAX;
}

static void rows_done(void *rows)
{
    json_decref(((struct rows *)rows)->list);
}

static json_t *rows_json(struct rows *r, unsigned silent)
{
    json_t *list = r->list ? r->list : json_array();

    r->list = NULL;
    if (r->failed) {
        json_decref(list);
        return NULL;
    }
    return json_pack("{s:o, s:I, s:i, s:o}", "total", number(r->total), "shown", (json_int_t)json_array_size(list),
                     "workers_silent", (int)silent, "rows", list);
}

static bool has_text(struct str s, struct str part)
{
    size_t i;

    for (i = 0; i + part.n <= s.n; i++)
        if (str_starts_nocase(str_make(s.p + i, s.n - i), part))
            return true;
    return false;
}

/* Rows of all workers together. */
static char *ask_rows(struct edge *e, void (*fn)(struct edge_worker *, void *, struct str), struct str filter)
{
    struct ask_args args = {.fn = fn, .done = rows_done, .answer_size = sizeof(struct rows), .text = filter};
    struct rows all = {0}, *one;
    struct ask *a;
    unsigned i;
    size_t k;
    char *s;

    if (ask_workers(e, &args, &a) != 0)
        return NULL;
    for (i = 0; i < e->n_workers; i++) {
        if ((one = ask_answer(a, i)) == NULL)
            continue;
        all.failed |= one->failed;
        for (k = 0; k < json_array_size(one->list) && !rows_full(&all); k++)
            rows_add(&all, json_incref(json_array_get(one->list, k)));
        all.total += one->total - k;
    }
    s = finish(rows_json(&all, ask_silent(a)));
    ask_free(a);
    return s;
}

/* ---- registrations ---- */

struct view {
    struct rows *rows;
    struct str filter;
    const struct edge_worker *w;
};

static json_t *binding_json(const struct location_binding *b)
{
    const struct path *p = &b->path;

    return json_pack("{s:o, s:o, s:o, s:o, s:b, s:b, s:I, s:o, s:o, s:I, s:I, s:o, s:o}", "aor", text(b->aor), "contact",
                     text(b->uri), "transport", text(b->has_path ? transport_text(p->transport) : STR("")), "remote",
                     b->has_path ? addr_json(&p->remote) : text(STR_NULL), "secure", b->secure, "reachable",
                     b->has_path || b->can_dial || b->route.n > 0, "expires_s", (json_int_t)b->expires_s, "registered",
                     when((int64_t)clock_wall_of(b->registered_s)), "instance", text(b->instance), "reg_id", (json_int_t)b->reg_id,
                     "q_milli", (json_int_t)b->q_milli, "path", text(b->route), "user_agent", text(b->user_agent));
}

static bool on_binding(void *arg, const struct location_binding *b)
{
    struct view *l = arg;

    if (!has_text(b->aor, l->filter) && !has_text(b->uri, l->filter) && !has_text(b->user_agent, l->filter))
        return true;
    if (rows_full(l->rows))
        l->rows->total++;
    else
        rows_add(l->rows, binding_json(b));
    return !l->rows->failed;
}

static char *registrations(struct edge *e, struct str filter)
{
    struct rows rows = {0};
    struct view l = {&rows, filter, NULL};

    if (location_each(e->loc, clock_steady_s(), on_binding, &l) != 0)
        rows.failed = true;
    return finish(rows_json(&rows, 0));
}

/* ---- flows ---- */

static json_t *names_json(const struct hop_facts *hop)
{
    json_t *a = json_array();
    size_t i;

    for (i = 0; hop && i < hop->n_peer_names && a; i++)
        if (json_array_append_new(a, text(hop->peer_names[i])) != 0) {
            json_decref(a);
            a = NULL;
        }
    return a;
}

static json_t *flow_json(const struct edge_worker *w, const struct net_flow_info *f)
{
    const struct edge_flow *own = f->user;
    const struct hop_facts *h = f->hop;
    static const char *const standings[] = {[CERT_UNCHECKED] = "unchecked", [CERT_GOOD] = "good", [CERT_UNKNOWN] = "unknown"};
    char id[20];

    snprintf(id, sizeof id, "%016llx", (unsigned long long)f->path.flow);
    return json_pack("{s:s, s:i, s:o, s:o, s:o, s:s, s:b, s:o, s:o, s:o, s:b, s:s, s:o, s:o, s:o, s:b, s:I, s:I}", "flow", id, "worker",
                     (int)w->id, "transport", text(transport_text(f->path.transport)), "local", addr_json(&f->path.local),
                     "remote", addr_json(&f->path.remote), "direction", h && h->outgoing ? "out" : "in", "open", f->is_open,
                     "tls", text_z(h ? h->tls_version : NULL), "cipher", text_z(h ? h->cipher : NULL), "peer_names",
                     names_json(h), "peer_verified", h && h->peer_verified, "revocation", standings[h ? h->standing : CERT_UNCHECKED],
                     "server_name", text_z(h ? h->server_name : NULL),
                     "user", text(own ? own->user : STR_NULL), "peer", text_z(own ? own->peer : NULL), "registered",
                     own && own->registered, "age_s", (json_int_t)(f->age_ms / 1000), "idle_s",
                     (json_int_t)(f->idle_ms / 1000));
}

static bool flow_matches(const struct net_flow_info *f, struct str filter)
{
    const struct edge_flow *own = f->user;
    char t[ADDR_TEXT_MAX];

    return has_text(addr_text(&f->path.remote, t), filter) || has_text(transport_text(f->path.transport), filter) ||
           (own && (has_text(own->user, filter) || has_text(str_z(own->peer), filter)));
}

static bool on_flow(void *arg, const struct net_flow_info *f)
{
    struct view *l = arg;

    if (!flow_matches(f, l->filter))
        return true;
    if (rows_full(l->rows))
        l->rows->total++;
    else
        rows_add(l->rows, flow_json(l->w, f));
    return !l->rows->failed;
}

static void flows_of(struct edge_worker *w, void *answer, struct str filter)
{
    struct view l = {answer, filter, w};

    net_each_flow(w->net, on_flow, &l);
}

/* ---- calls ---- */

static json_t *call_json(const struct edge_worker *w, const struct call_info *c)
{
    static const char *const states[] = {
        [CALL_TRYING] = "trying", [CALL_RINGING] = "ringing", [CALL_ANSWERED] = "answered"};

    return json_pack("{s:o, s:i, s:s, s:o, s:o, s:o, s:o, s:s, s:o, s:b, s:b, s:o, s:I}", "call_id", text(c->call_id), "worker",
                     (int)w->id, "state", states[c->state], "from", text(c->from), "to", text(c->to), "target",
                     text(c->target), "caller", text(c->caller), "authenticated", edge_how_text(c->how), "transport",
                     text(transport_text(c->in_transport)), "secure", transport_is_secure(c->in_transport), "emergency",
                     c->emergency, "begun", when((int64_t)net_wall_of(w->net, c->begun_s)), "seconds", (json_int_t)c->seconds);
}

static bool on_call(void *arg, const struct call_info *c)
{
    struct view *l = arg;
    json_t *row;

    if (!has_text(c->call_id, l->filter) && !has_text(c->from, l->filter) && !has_text(c->to, l->filter) &&
        !has_text(c->caller, l->filter))
        return true;
    if (rows_full(l->rows))
        l->rows->total++;
    else {
        row = call_json(l->w, c);
        if (row && !security_add_level(l->w, c, row)) {
            json_decref(row);
            row = NULL;
        }
        rows_add(l->rows, row);
    }
    return !l->rows->failed;
}

static void calls_of(struct edge_worker *w, void *answer, struct str filter)
{
    struct view l = {answer, filter, w};

    calls_each(w, on_call, &l);
}

static bool on_call_id(void *arg, const struct call_info *c)
{
    struct view *l = arg;
    json_t *row;

    if (str_eq(c->call_id, l->filter) && !rows_full(l->rows)) {
        row = call_json(l->w, c);
        if (row && !security_add(l->w, c, row)) {
            json_decref(row);
            row = NULL;
        }
        rows_add(l->rows, row);
    }
    return !l->rows->failed;
}

static void call_of(struct edge_worker *w, void *answer, struct str id)
{
    struct view l = {answer, id, w};

    calls_each(w, on_call_id, &l);
}

static bool on_story(void *arg, json_t *row)
{
    struct rows *rows = arg;

    rows_add(rows, row);
    return !rows_full(rows);
}

static void story_of(struct edge_worker *w, void *answer, struct str id)
{
    security_explain(w, id, on_story, answer);
}

/* ---- summary ---- */

static json_t *listeners_json(const struct edge *e)
{
    json_t *a = json_array();
    time_t now = time(NULL);
    size_t i;

    for (i = 0; i < e->cfg->n_listens && a; i++) {
        const struct config_listen *l = &e->cfg->listens[i];
        const struct edge_cert *c = i < ARRAY_LEN(e->certs) ? &e->certs[i] : NULL;
        json_t *row = json_pack("{s:o, s:b}", "listen", text(l->title), "secure", transport_is_secure(l->transport));

        if (row && c && c->file[0]) {
            json_object_set_new(row, "certificate", text_z(c->file));
            json_object_set_new(row, "until", when(c->not_after));
            json_object_set_new(row, "days_left", json_integer((c->not_after - now) / 86400));
        }
        if (!row || json_array_append_new(a, row) != 0) {
            json_decref(a);
            a = NULL;
        }
    }
    return a;
}

static json_t *domains_json(const struct config *c)
{
    json_t *a = json_array();
    size_t i;

    for (i = 0; i < c->n_domains && a; i++)
        json_array_append_new(a, text(c->domains[i].name));
    return a;
}

static json_t *weakenings_json(const struct config *c)
{
    json_t *a = json_array();
    size_t i;

    for (i = 0; i < c->n_allow && a; i++)
        json_array_append_new(a, json_pack("{s:o, s:o, s:I}", "where", text(c->allow[i].where), "option",
                                           text(c->allow[i].option), "line", (json_int_t)c->allow[i].line));
    return a;
}

static json_t *store_json(const struct store_health *h)
{
    return json_pack("{s:b, s:o, s:o, s:o, s:o, s:o}", "writable", h->writable, "queued", number(h->queued), "written",
                     number(h->written), "failed", number(h->failed), "dropped", number(h->dropped), "last_error",
                     text_z(h->last_error));
}

/* NULL: no identities, no keeper. */
static json_t *keeper_json(const struct edge *e)
{
    struct keeper_link_stats k;

    if (!e->keeper)
        return NULL;
    keeper_link_stats(e->keeper, &k);
    return json_pack("{s:s, s:b, s:b, s:o, s:o}", "state", k.is_up ? "up" : k.is_lost ? "lost" : "down", "alone", k.is_up && k.is_lost,
                     "tls", e->cfg->tls_keys == CONFIG_TLS_KEYS_KEEPER, "keys", number(k.keys), "ended", number(k.ended));
}

static uint64_t sum(const uint64_t *v, size_t n)
{
    uint64_t s = 0;

    while (n-- > 0)
        s += v[n];
    return s;
}

static char *summary(struct edge *e)
{
    struct edge_numbers n;
    uint64_t now = clock_steady_s();

    if (edge_numbers_get(e, &n) != 0)
        return NULL;
    return finish(json_pack(
        "{s:s, s:o, s:I, s:o, s:i, s:i, s:b, s:o*, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "version", SALLYPORT_VERSION,
        "started", when((int64_t)clock_wall_of(e->started_s)), "uptime_s", (json_int_t)(now - e->started_s), "configuration",
        text(e->cfg->file), "workers", (int)e->n_workers, "workers_silent", (int)n.silent, "stopping",
        __atomic_load_n(&e->draining, __ATOMIC_RELAXED), "keeper", keeper_json(e), "domains", domains_json(e->cfg), "listeners", listeners_json(e),
        "weakenings", weakenings_json(e->cfg), "store", store_json(&n.store), "users", number(n.location.users),
        "users_registered", number(n.location.aors_bound), "registrations", number(n.location.bindings), "flows",
        number(sum(n.net.conns_open, TRANSPORT_N)), "calls", number(n.calls), "transactions",
        number(n.tx.stx_open + n.tx.ctx_open), "log_dropped", number(log_dropped())));
}

/* ---- counters ---- */

/* {"UDP": ..., "TLS": ...} */
static json_t *by_transport(const uint64_t v[TRANSPORT_N])
{
    return json_pack("{s:o, s:o, s:o, s:o, s:o}", "UDP", number(v[TRANSPORT_UDP]), "TCP", number(v[TRANSPORT_TCP]), "TLS",
                     number(v[TRANSPORT_TLS]), "WS", number(v[TRANSPORT_WS]), "WSS", number(v[TRANSPORT_WSS]));
}

static json_t *net_json(const struct net_stats *n)
{
    return json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}",
                     "messages_in", by_transport(n->msgs_in), "messages_out", by_transport(n->msgs_out), "bytes_in",
                     by_transport(n->bytes_in), "bytes_out", by_transport(n->bytes_out), "connections",
                     by_transport(n->conns_open), "connections_accepted", by_transport(n->conns_accepted),
                     "connections_made", by_transport(n->conns_dialled), "refused_source",
                     number(n->conns_refused_source), "refused_full", number(n->conns_refused_full), "closed_slow",
                     number(n->conns_closed_slow), "closed_idle", number(n->conns_closed_idle), "handshakes_failed",
                     number(n->handshakes_failed), "handshakes_now", number(n->handshakes_now), "garbage",
                     number(n->garbage), "datagrams_dropped", number(n->datagrams_dropped), "send_queue_overflows",
                     number(n->send_queue_overflows), "keepalives", number(n->keepalives), "posts_dropped",
                     number(n->posts_dropped), "dns_queries", number(n->dns_queries), "dns_failures",
                     number(n->dns_failures));
}

static json_t *tx_json(const struct sip_txl_stats *t)
{
    return json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "server_open", number(t->stx_open), "client_open",
                     number(t->ctx_open), "server_kept", number(t->stx_now), "client_kept", number(t->ctx_now),
                     "server_made", number(t->stx_made), "client_made", number(t->ctx_made), "retransmissions_in",
                     number(t->retransmits_in), "retransmissions_out", number(t->retransmits_out), "timeouts",
                     number(t->timeouts), "transport_errors", number(t->transport_errors));
}

static json_t *location_json(const struct location_stats *l)
{
    return json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "users", number(l->users),
                     "users_registered", number(l->aors_bound), "registrations", number(l->bindings), "secure",
                     number(l->secure), "by_transport", by_transport(l->by_transport), "added", number(l->added),
                     "refreshed", number(l->refreshed), "removed", number(l->removed), "expired", number(l->expired),
                     "flows_lost", number(l->flows_lost), "out_of_order", number(l->conflicts), "over_limit",
                     number(l->limits), "gruus", number(l->gruus), "store_refused", number(l->store_refused));
}

static char *counters(struct edge *e)
{
    struct edge_numbers n;
    json_t *edge, *responses;
    char name[8];
    unsigned i;

    if (edge_numbers_get(e, &n) != 0)
        return NULL;
    edge = json_object();
    for (i = 0; i < EC_N; i++)
        json_object_set_new(edge, edge_counter_names[i] ? edge_counter_names[i] : "other", number(n.counters[i]));
    responses = json_object();
    for (i = 1; i < ARRAY_LEN(n.responses); i++) {
        snprintf(name, sizeof name, "%uxx", i);
        json_object_set_new(responses, name, number(n.responses[i]));
    }
    return finish(json_pack("{s:i, s:o, s:o, s:o, s:o, s:o, s:o}", "workers_silent", (int)n.silent, "edge", edge,
                            "responses_sent", responses, "network", net_json(&n.net), "transactions", tx_json(&n.tx),
                            "location", location_json(&n.location), "store", store_json(&n.store)));
}

/* ---- configuration ---- */

static void on_value(void *arg, const struct config_value *v)
{
    rows_add(arg, json_pack("{s:s, s:o, s:s, s:o, s:b}", "section", v->row->section, "title", text(v->title), "option",
                            v->row->name, "value", text(v->value), "reloadable", v->row->reloadable));
}

static char *configuration(struct edge *e)
{
    struct rows rows = {0};

    config_each_value(e->cfg, on_value, &rows);
    return finish(rows_json(&rows, 0));
}

/* ---- certificates ---- */

static char *certificates(const struct edge *e)
{
    json_t *list = edge_certs_json(e->certificates);

    return finish(json_pack("{s:I, s:I, s:i, s:o}", "total", (json_int_t)json_array_size(list), "shown", (json_int_t)json_array_size(list),
                            "workers_silent", 0, "rows", list));
}

static char *peers(struct edge *e)
{
    json_t *list = status_peers_json(e);
    json_int_t n = (json_int_t)json_array_size(list);

    return finish(json_pack("{s:I, s:I, s:i, s:o}", "total", n, "shown", n, "workers_silent", 0, "rows", list));
}

/* ---- entry ---- */

char *edge_status_json(struct edge *e, struct str what)
{
    struct str word, rest = str_cut(str_trim(what), ' ', &word);

    rest = str_trim(rest);
    if (rest.n > ASK_TEXT_MAX)
        return finish(json_pack("{s:s}", "error", "the filter is too long"));
    if (str_eq(word, STR("registrations")))
        return registrations(e, rest);
    if (str_eq(word, STR("flows")))
        return ask_rows(e, flows_of, rest);
    if (str_eq(word, STR("calls")))
        return ask_rows(e, calls_of, rest);
    if (str_eq(word, STR("call")) && rest.n)
        return ask_rows(e, call_of, rest);
    if (str_eq(word, STR("explain")) && rest.n)
        return ask_rows(e, story_of, rest);
    if (str_eq(word, STR("summary")) && !rest.n)
        return summary(e);
    if (str_eq(word, STR("counters")) && !rest.n)
        return counters(e);
    if (str_eq(word, STR("config")) && !rest.n)
        return configuration(e);
    if (str_eq(word, STR("peers")) && !rest.n)
        return peers(e);
    if (str_eq(word, STR("certificates")) && !rest.n)
        return certificates(e);
    return finish(json_pack("{s:s}", "error", "there is no such view"));
}

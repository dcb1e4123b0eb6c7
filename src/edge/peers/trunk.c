/* Registration of trunks and their credentials (edge/peers/trunk.h).
 *
 *     NONE -> TRYING -> REGISTERED -> (3/4 of its time) -> REGISTERED ...
 *                  \-> FAILED -> (30 s, 60 s, ... 30 min) -> TRYING
 * A connection that is lost is registered anew after a moment. */
#include "edge/peers/trunk.h"
#include "base/log.h"
#include "base/mem.h"
#include "edge/peers/health.h"
#include "edge/peers/own_request.h"
#include "edge/peers/peers.h"
#include "sip/fields.h"
#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>

#define REGISTER_LIMIT_MS 64000u
#define RETRY_BASE_MS 30000u /* RFC 5626 4.5 */
#define RETRY_MAX_MS 1800000u
#define SOON_MS 1000u
#define START_MS 50u
#define LEAVE_LIMIT_MS 2000u
#define FLOW_GRACE_MS 60000u

struct trunk {
    struct edge_trunks *ts;
    const struct config_peer *peer;
    struct digest_client auth;
    struct own_request *request;
    struct wheel_timer timer;
    uint32_t cseq, expires_s;
    unsigned failures;
    flow_id flow; /* registered along; 0: none */
    bool is_registered;
    char call_id[24];
};
struct edge_trunks {
    struct list node; /* once taken out by a reload, while some of them leave: w->trunks_left */
    struct edge_worker *w;
    struct edge_snapshot *snap;
    bool is_leaving;
    size_t n, n_leaving;
    struct trunk v[];
};

const char *trunk_state_text(unsigned state)
{
    static const char *const texts[] = {[TRUNK_NONE] = "not registered",
                                        [TRUNK_TRYING] = "registering",
                                        [TRUNK_REGISTERED] = "registered",
                                        [TRUNK_FAILED] = "failed"};

    return state < ARRAY_LEN(texts) ? texts[state] : "?";
}

static struct str registrar_of(const struct config_peer *p)
{
    return p->registrar.n ? p->registrar : p->domains.n ? p->domains.v[0] : STR_NULL;
}

/* ---- passwords ---- */

static int password_read(const char *file, struct secret *ret, struct reason *why)
{
    char line[SECRET_MAX + 2];
    FILE *f = fopen(file, "re");
    struct stat st;
    size_t n = 0;
    bool ok;

    if (!f) {
        reason_set(why, "password-file", NULL, 0, "%s: %s", file, strerror(errno));
        return ERR_IO;
    }
    if (fstat(fileno(f), &st) != 0 || (st.st_mode & S_IRWXO) != 0) {
        fclose(f);
        reason_set(why, "password-file", "TR/100 7.1", 0, "%s can be read by others; chmod o= it", file);
        return ERR_REFUSED;
    }
    setvbuf(f, NULL, _IONBF, 0); /* no copy in a buffer that nobody wipes */
    ok = fgets(line, sizeof line, f) != NULL;
    fclose(f);
    n = ok ? strcspn(line, "\r\n") : 0;
    ok = ok && n > 0 && secret_set(ret, line, n) == 0;
    secret_wipe(line, sizeof line);
    if (ok)
        return 0;
    reason_set(why, "password-file", NULL, 0,
               "%s: there is no password of 1 to %d bytes in its first line", file, SECRET_MAX);
    return ERR_INVALID;
}

int trunk_logins_load(const struct config *cfg, struct digest_login **ret, struct reason *why)
{
    struct digest_login *v = mem_zalloc_array(cfg->n_peers ? cfg->n_peers : 1, sizeof *v);
    int err = v ? 0 : ERR_NOMEM;
    size_t i;

    for (i = 0; i < cfg->n_peers && err == 0; i++) {
        if (!trunk_is(&cfg->peers[i]))
            continue;
        v[i].user = cfg->peers[i].trunk_user;
        v[i].realm = cfg->peers[i].auth_realm.n ? cfg->peers[i].auth_realm
                                                : registrar_of(&cfg->peers[i]);
        err = password_read(cfg->peers[i].password_file.p, &v[i].password, why);
    }
    if (err != 0) {
        trunk_logins_free(cfg, v);
        return err;
    }
    *ret = v;
    return 0;
}

void trunk_logins_free(const struct config *cfg, struct digest_login *v)
{
    size_t i;

    for (i = 0; v && i < cfg->n_peers; i++)
        secret_done(&v[i].password);
    mem_free(v);
}

/* ---- the registration ---- */

static void retry_in(struct trunk *t, uint64_t ms)
{
    wheel_start(t->ts->w->net->wheel, &t->timer, ms);
}

/* RFC 5626 4.5: half of it to all of it, so that not everybody comes back at once. */
static void retry_later(struct trunk *t, uint64_t at_least_ms)
{
    uint64_t ms = RETRY_BASE_MS;
    unsigned i;

    for (i = 1; i < t->failures && ms < RETRY_MAX_MS; i++)
        ms *= 2;
    ms = ms > RETRY_MAX_MS ? RETRY_MAX_MS : ms;
    ms = ms / 2 + rand_u64(&t->ts->w->net->rand) % (ms / 2);
    retry_in(t, ms < at_least_ms ? at_least_ms : ms);
}

/* How long the contact that we have just registered is good for; 0: it is not there. */
static uint32_t granted(const struct own_request_result *r)
{
    struct sip_values it = sip_values_start(r->m, SIP_H_CONTACT);
    struct sip_uri own, u;
    struct sip_addr a;
    struct str text;
    uint32_t s;

    if (sip_uri_parse(r->contact, &own) != 0)
        return 0;
    while (sip_values_next(&it)) {
        if (sip_addr_parse(it.value, &a) != 0 || a.star || sip_uri_parse(a.uri, &u) != 0 ||
            !sip_uri_eq(&u, &own))
            continue;
        if (sip_param_find(a.params, STR("expires"), &text) &&
            str_to_u32(text, UINT32_MAX, &s) == 0)
            return s;
        return sip_msg_seconds(r->m, SIP_H_EXPIRES, &s) == 0 ? s : 3600;
    }
    return 0;
}

static void bind_flow_to(struct trunk *t, flow_id flow, uint32_t expires_s)
{
    struct edge_worker *w = t->ts->w;
    struct edge_flow *f;

    t->flow = 0;
    if (!flow || flow_worker(flow) != w->id || (f = flow_get_by_id(w, flow)) == NULL ||
        str_copy_z(f->trunk, sizeof f->trunk, t->peer->name) != 0)
        return;
    t->flow = flow;
    if (!f->peer) {
        memcpy(f->peer_text, f->trunk, sizeof f->peer_text);
        f->peer = f->peer_text;
    }
    net_set_idle(w->net, flow, (uint64_t)expires_s * 1000 + FLOW_GRACE_MS);
}

static void registered(struct trunk *t, const struct own_request_result *r, uint32_t expires_s)
{
    struct edge_worker *w = t->ts->w;

    t->failures = 0;
    t->is_registered = true;
    bind_flow_to(t, r->path.flow, expires_s);
    if (peer_trunk_set(w->edge, t->peer, TRUNK_REGISTERED, NULL, net_steady_s(w->net) + expires_s))
        LOG(LOG_NOTICE, "trunk-registered", LS("peer", t->peer->name), LU("expires", expires_s));
    retry_in(t, (uint64_t)expires_s * 750);
}

static void failed(struct trunk *t, const struct own_request_result *r, const char *code)
{
    struct edge_worker *w = t->ts->w;
    uint32_t after_s = 0;

    if (t->flow) { /* the registration may still hold; its other servers are asked before that is given up */
        t->flow = 0;
        digest_client_forget(&t->auth);
        LOG(LOG_NOTICE, "trunk-lost", LS("peer", t->peer->name), LZ("reason", code));
        retry_in(t, SOON_MS);
        return;
    }
    t->failures++;
    t->is_registered = false;
    if (r->m && sip_msg_seconds(r->m, SIP_H_RETRY_AFTER, &after_s) != 0)
        after_s = 0;
    (void)peer_trunk_set(w->edge, t->peer, TRUNK_FAILED, code, 0);
    LOG(LOG_WARN, "trunk-failed", LS("peer", t->peer->name), LU("status", r->status),
        LZ("reason", code), LZ("clause", r->why.clause), LZ("detail", r->why.detail));
    retry_later(t, (uint64_t)(after_s > 3600 ? 3600 : after_s) * 1000);
}

static void on_registered(void *arg, const struct own_request_result *r)
{
    struct trunk *t = arg;
    uint32_t s;

    if (r->status == 423 && r->m && sip_msg_seconds(r->m, SIP_H_MIN_EXPIRES, &s) == 0 &&
        s > t->expires_s && s <= 604800) {
        t->expires_s = s; /* RFC 3261 10.2.8 */
        retry_in(t, 0);
    } else if (r->status / 100 != 2 || !r->m) {
        failed(t, r, r->why.code ? r->why.code : "refused");
    } else if ((s = granted(r)) == 0) {
        failed(t, r, "contact-missing");
    } else {
        registered(t, r, s);
    }
}

static void trunks_free(struct edge_trunks *ts);

static void on_left(void *arg, const struct own_request_result *r)
{
    struct trunk *t = arg;
    struct edge_trunks *ts = t->ts;

    LOG(LOG_NOTICE, "trunk-left", LS("peer", t->peer->name), LU("status", r->status));
    if (ts->n_leaving > 0 && --ts->n_leaving == 0 && ts != ts->w->trunks)
        trunks_free(ts);
}

static int register_send(struct trunk *t, struct arena *a)
{
    bool leaves = t->ts->is_leaving;
    const struct config_peer *p = t->peer;
    struct own_request_args args = {.method = SIP_REGISTER,
                                    .peer = p,
                                    .call_id = str_make(t->call_id, sizeof t->call_id),
                                    .cseq = &t->cseq,
                                    .flow = t->flow,
                                    .has_contact = true,
                                    .auth = &t->auth,
                                    .snap = t->ts->snap,
                                    .limit_ms = leaves ? LEAVE_LIMIT_MS : REGISTER_LIMIT_MS,
                                    .fn = leaves ? on_left : on_registered,
                                    .arg = t};
    struct str registrar = registrar_of(p);

    args.next_hop = p->next_hop.n ? p->next_hop : arena_fmt(a, "sip:%.*s", STR_FMT(registrar));
    args.uri = arena_fmt(a, "sip:%.*s", STR_FMT(registrar));
    args.from = args.to = arena_fmt(a, "sip:%.*s@%.*s", STR_FMT(p->trunk_user), STR_FMT(registrar));
    if (p->bulk_numbers)
        args.contact_params = STR(";bnc"); /* RFC 6140 5.1: no user part */
    else
        args.contact_user = p->trunk_user;
#define ADD(n, v) (args.extra[args.n_extra].name = (n), args.extra[args.n_extra++].value = (v))
    ADD(STR("Expires"), arena_fmt(a, "%u", leaves ? 0 : t->expires_s));
    ADD(STR("Supported"), p->bulk_numbers ? STR("path, gin") : STR("path"));
    if (p->bulk_numbers) {
        ADD(STR("Require"), STR("gin"));
        ADD(STR("Proxy-Require"), STR("gin"));
    }
#undef ADD
    if (!args.uri.p || !args.from.p || !args.next_hop.p || !args.extra[0].value.p)
        return ERR_NOMEM;
    return own_request_start(t->ts->w, &args, &t->request);
}

static void on_timer(struct wheel_timer *timer)
{
    struct trunk *t = CONTAINER_OF(timer, struct trunk, timer);
    struct arena *a = arena_new(1024, 16384);
    struct own_request_result none = {.status = 500};
    struct peer_state now = {0};
    const struct peer_state *at = peer_state_get(t->ts->w->edge, t->peer);

    if (__atomic_load_n(&t->ts->w->edge->is_starting, __ATOMIC_RELAXED)) {
        arena_free(a);
        retry_in(t, START_MS);
        return;
    }
    if (at)
        peer_state_read(at, &now);
    if (now.trunk != TRUNK_REGISTERED)
        (void)peer_trunk_set(t->ts->w->edge, t->peer, TRUNK_TRYING, now.trunk_reason, 0);
    if (!a || register_send(t, a) != 0)
        failed(t, &none, "no-memory");
    arena_free(a);
}

/* ---- life ---- */

static void trunks_free(struct edge_trunks *ts)
{
    size_t i;

    for (i = 0; i < ts->n; i++) {
        wheel_cancel(ts->w->net->wheel, &ts->v[i].timer);
        own_request_cancel(ts->v[i].request);
        digest_client_done(&ts->v[i].auth);
    }
    list_remove(&ts->node);
    snapshot_unref(ts->snap);
    mem_free(ts);
}

/* Is it the account that the carrier knows still? */
static bool is_kept(const struct config *cfg, const struct config_peer *was)
{
    const struct config_peer *is = config_peer_find(cfg, was->name);

    return trunk_is(is) && str_eq(is->trunk_user, was->trunk_user) &&
           str_eq_nocase(registrar_of(is), registrar_of(was));
}

/* RFC 3261 10.2.2. Once, and nobody waits for it longer than LEAVE_LIMIT_MS. */
static void trunk_leave(struct trunk *t)
{
    struct arena *a = arena_new(1024, 16384);

    if (a && register_send(t, a) == 0)
        t->ts->n_leaving++;
    else
        LOG(LOG_WARN, "trunk-not-left", LS("peer", t->peer->name)); /* it ends by itself */
    arena_free(a);
}

/* What a reload has put others in the place of: an account that is there no more is taken back at
 * its carrier, by the configuration that it was made with. */
static void take_out(struct edge_trunks *ts)
{
    struct edge_worker *w = ts->w;
    bool was_leaving = ts->is_leaving;
    size_t i;

    ts->is_leaving = true;
    for (i = 0; i < ts->n; i++) {
        struct trunk *t = &ts->v[i];

        wheel_cancel(w->net->wheel, &t->timer);
        own_request_cancel(t->request);
        if (t->is_registered && !was_leaving && !is_kept(w->cfg, t->peer))
            trunk_leave(t);
    }
    if (ts->n_leaving)
        list_append(&w->trunks_left, &ts->node);
    else
        trunks_free(ts);
}

int trunks_start(struct edge_worker *w)
{
    const struct config *cfg = w->cfg;
    struct edge_trunks *ts = mem_zalloc(sizeof *ts + cfg->n_peers * sizeof ts->v[0]);
    struct edge_trunks *old = w->trunks;
    size_t i;

    w->trunks = NULL;
    if (old)
        take_out(old);
    if (!ts)
        return ERR_NOMEM;
    list_init(&ts->node);
    ts->w = w;
    ts->snap = snapshot_ref(w->snap);
    for (i = 0; i < cfg->n_peers; i++) {
        struct trunk *t = &ts->v[ts->n];

        if (!trunk_is(&cfg->peers[i]))
            continue;
        t->ts = ts;
        t->peer = &cfg->peers[i];
        t->expires_s = t->peer->register_expires_s;
        digest_client_init(&t->auth, &w->snap->logins[i], 1, t->peer->allow_md5);
        rand_token(&w->net->rand, t->call_id, sizeof t->call_id);
        wheel_timer_init(&t->timer, on_timer);
        if (w->id == 0)
            retry_in(t, START_MS + 20 * ts->n);
        ts->n++;
    }
    w->trunks = ts;
    return 0;
}

void trunks_stop(struct edge_worker *w)
{
    struct edge_trunks *ts;

    while ((ts = LIST_FIRST(&w->trunks_left, struct edge_trunks, node)) != NULL)
        trunks_free(ts);
    if (w->trunks)
        trunks_free(w->trunks);
    w->trunks = NULL;
}

void trunks_leave(struct edge_worker *w)
{
    struct edge_trunks *ts = w->trunks;
    size_t i;

    if (!ts || ts->is_leaving)
        return;
    ts->is_leaving = true;
    for (i = 0; i < ts->n; i++) {
        wheel_cancel(w->net->wheel, &ts->v[i].timer);
        if (ts->v[i].is_registered)
            trunk_leave(&ts->v[i]);
    }
}

void trunks_flow_closed(struct edge_worker *w, flow_id flow)
{
    size_t i;

    for (i = 0; w->trunks && !w->trunks->is_leaving && i < w->trunks->n; i++) {
        struct trunk *t = &w->trunks->v[i];

        if (t->flow != flow)
            continue;
        t->flow = 0;
        digest_client_forget(&t->auth);
        if (peer_trunk_set(w->edge, t->peer, TRUNK_TRYING, "flow-lost", 0))
            LOG(LOG_NOTICE, "trunk-lost", LS("peer", t->peer->name));
        retry_in(t, SOON_MS);
    }
}

/* ---- who, and with what ---- */

static struct trunk *trunk_find(const struct edge_worker *w, const struct config_peer *p)
{
    size_t i;

    for (i = 0; w->trunks && trunk_is(p) && i < w->trunks->n; i++)
        if (str_eq(w->trunks->v[i].peer->name, p->name)) /* p may be of an earlier configuration */
            return &w->trunks->v[i];
    return NULL;
}

const struct config_peer *trunk_of_flow(const struct edge_req *r)
{
    const struct edge_flow *f = flow_find(r);
    const struct config_peer *p =
        f && f->trunk[0] ? config_peer_find(r->cfg, str_z(f->trunk)) : NULL;

    return trunk_is(p) ? p : NULL;
}

flow_id trunk_flow(const struct edge_worker *w, const struct config_peer *p)
{
    const struct trunk *t = trunk_find(w, p);

    return t ? t->flow : 0;
}

static bool is_in(struct str host, struct str domain)
{
    return domain.n && host.n > domain.n && host.p[host.n - domain.n - 1] == '.' &&
           str_eq_nocase(str_make(host.p + host.n - domain.n, domain.n), domain);
}

/* A name that its stanza has, or one below a domain of it. */
static bool is_its_name(const struct config_peer *p, struct str host)
{
    const struct str hops[] = {p->next_hop, p->next_hop_secure};
    struct sip_uri u;
    size_t i;

    for (i = 0; i < ARRAY_LEN(hops); i++)
        if (hops[i].n && sip_uri_parse(hops[i], &u) == 0 &&
            (str_eq_nocase(u.host, host) || (u.maddr.n && str_eq_nocase(u.maddr, host))))
            return true;
    for (i = 0; i < p->certificate_names.n; i++)
        if (str_eq_nocase(p->certificate_names.v[i], host))
            return true;
    for (i = 0; i < p->domains.n; i++)
        if (str_eq_nocase(p->domains.v[i], host) || is_in(host, p->domains.v[i]))
            return true;
    return str_eq_nocase(p->registrar, host) || is_in(host, p->registrar);
}

static uint64_t place_of(const struct path *path)
{
    char text[ADDR_TEXT_MAX];

    return str_hash(addr_text_host(&path->remote, text)) | 1;
}

static bool is_known_place(struct peer_state *s, uint64_t place)
{
    for (size_t i = 0; i < PEER_TRUNK_PLACES; i++)
        if (__atomic_load_n(&s->trunk_at[i], __ATOMIC_RELAXED) == place)
            return true;
    return false;
}

/* A name of its own has led there, for as many addresses as are kept; a name that is not proven
 * leads nowhere else. */
static void place_keep(struct peer_state *s, uint64_t place)
{
    if (!is_known_place(s, place))
        __atomic_store_n(&s->trunk_at[__atomic_fetch_add(&s->trunk_at_next, 1, __ATOMIC_RELAXED) %
                                      PEER_TRUNK_PLACES],
                         place, __ATOMIC_RELAXED);
}

bool trunk_is_at(const struct edge_worker *w, const struct config_peer *p,
                 const struct edge_target *t, const struct path *path)
{
    bool is_proven = transport_is_secure(path->transport) && !p->allow_unverified;
    struct peer_state *s;
    struct sip_uri u;
    size_t i;

    if (t->has_path)
        return true; /* sealed by us, or a registration */
    for (i = 0; i < p->n_sources; i++)
        if (addr_net_has(&p->sources[i], &path->remote))
            return true;
    s = peer_state_get(w->edge, p);
    if (hop_uri(t->next_hop, &u) == 0 && is_its_name(p, is_proven   ? hop_expected_name(p, u.host)
                                                        : u.maddr.n ? u.maddr
                                                                    : u.host)) {
        if (s)
            place_keep(s, place_of(path));
        return true;
    }
    /* In dialogs many say their address instead of a name (Record-Route, Contact). */
    if (s && is_known_place(s, place_of(path)))
        return true;
    LOG(LOG_WARN, "trunk-elsewhere", LS("peer", p->name), LS("next_hop", t->next_hop));
    return false;
}

int trunk_challenged(struct edge_worker *w, const struct config_peer *p, const struct sip_msg *m,
                     bool was_answered, struct reason *why)
{
    struct trunk *t = trunk_find(w, p);
    struct digest_client_values v;

    if (!t)
        return ERR_NOTFOUND;
    v.n_own = sip_msg_lines(m, SIP_H_WWW_AUTHENTICATE, v.own, ARRAY_LEN(v.own));
    v.n_proxy = sip_msg_lines(m, SIP_H_PROXY_AUTHENTICATE, v.proxy, ARRAY_LEN(v.proxy));
    return digest_client_challenged(&t->auth, m->arena, &v, false, was_answered, why);
}

int trunk_answer(struct edge_worker *w, const struct config_peer *p, struct arena *a,
                 enum sip_method method, struct str ruri, struct str body,
                 struct digest_client_cred ret[DIGEST_CLIENT_CREDS_MAX], unsigned *ret_n)
{
    struct trunk *t = trunk_find(w, p);

    *ret_n = 0;
    return t ? digest_client_answer(&t->auth, a, &w->net->rand, false, sip_method_text(method),
                                    ruri, body, ret, ret_n)
             : 0;
}

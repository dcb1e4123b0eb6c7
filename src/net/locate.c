/* RFC 3263 4 as a state machine; locate.h has the diagram and the rules. RFC 2782 (order of SRV
 * records), RFC 3403 4.1 (NAPTR), RFC 5630 (sips is TLS alone). One locator and all its lookups
 * belong to one worker. */
#include "net/locate.h"
#include "base/arena.h"
#include "base/err.h"
#include "base/mem.h"
#include "net/locate_priv.h"

#define LOCATE_ARENA_FIRST 4096u
#define LOCATE_ARENA_MAX 65536u

/* When the steps end that have not ended by themselves. */
#define NAPTR_MS (LIMIT_DNS_MS / 2)
#define SRV_MS (LIMIT_DNS_MS * 3 / 4)
#define GRACE_MS 300u /* for slower answers, once the first choice is known */

static void locate_on_timer(struct wheel_timer *t);

/* --- ids: slot + 1 and a generation, so that a stale id is never somebody else's --- */

static struct locate *slot_find(const struct locator *l, uint64_t id)
{
    uint64_t slot = id & UINT32_MAX;
    if (slot == 0 || slot > l->n_slots)
        return NULL;
    struct locate *lo = l->slots[slot - 1];
    return lo && lo->id == id ? lo : NULL;
}

static int slot_take(struct locator *l, struct locate *lo)
{
    size_t i = l->n_free_hint;
    while (i < l->n_slots && l->slots[i])
        i++;
    if (i == l->n_slots) {
        if (l->n_slots >= LIMIT_DNS_WAITING)
            return ERR_LIMIT;
        size_t n = l->n_slots ? l->n_slots * 2 : 16;
        n = n > LIMIT_DNS_WAITING ? LIMIT_DNS_WAITING : n;
        struct locate **p = mem_realloc(l->slots, n * sizeof(struct locate *));
        if (!p)
            return ERR_NOMEM;
        memset(p + l->n_slots, 0, (n - l->n_slots) * sizeof(struct locate *));
        l->slots = p;
        l->n_slots = n;
    }
    l->slots[i] = lo;
    l->n_free_hint = i + 1;
    l->n_waiting++;
    l->generation = l->generation == UINT32_MAX ? 1 : l->generation + 1;
    lo->id = (uint64_t)l->generation << 32 | (i + 1);
    return 0;
}

static void locate_free(struct locate *lo)
{
    struct locator *l = lo->locator;
    size_t i = (size_t)(lo->id & UINT32_MAX) - 1;
    l->slots[i] = NULL;
    if (i < l->n_free_hint)
        l->n_free_hint = i;
    l->n_waiting--;
    wheel_cancel(l->wheel, &lo->timer);
    dns_cancel(&lo->naptr);
    for (size_t k = 0; k < lo->n_services; k++)
        dns_cancel(&lo->services[k]->query);
    for (size_t k = 0; k < lo->n_hosts; k++) {
        dns_cancel(&lo->hosts[k]->v4.query);
        dns_cancel(&lo->hosts[k]->v6.query);
    }
    arena_free(lo->arena);
}

/* --- the end --- */

static void locate_deliver(struct locate *lo)
{
    /* The callback may cancel this id, or start another lookup: so it is gone before. */
    net_locate_fn fn = lo->fn;
    void *arg = lo->arg;
    struct net_target targets[LIMIT_TARGETS];
    struct reason why = lo->why;
    size_t n = lo->n_targets;
    memcpy(targets, lo->targets, n * sizeof(targets[0]));
    locate_free(lo);
    fn(arg, targets, n, n ? NULL : &why);
}

/* In the turn in which it was started a result waits for the next one. */
static void locate_finish(struct locate *lo)
{
    lo->state = LOCATE_DONE;
    if (lo->is_starting)
        wheel_start(lo->locator->wheel, &lo->timer, 0);
    else
        locate_deliver(lo);
}

void locate_fail(struct locate *lo, const char *code, const char *clause, const char *text)
{
    reason_set(&lo->why, code, clause, 0, "%.*s%s%s", STR_FMT(lo->host), *text ? ": " : "", text);
    lo->n_targets = 0;
    lo->state = LOCATE_DONE;
}

static void locate_fail_status(struct locate *lo, int status, const char *what)
{
    switch (status) {
    case DNS_BOGUS:
        locate_fail(lo, "dns-bogus", "RFC 4035 4.3", what);
        break;
    case DNS_SERVFAIL:
        locate_fail(lo, "dns-servfail", "RFC 3263 4", what);
        break;
    case DNS_NXDOMAIN:
        locate_fail(lo, "dns-nxdomain", "RFC 3263 4.2", what);
        break;
    case STATUS_TIMEOUT:
        locate_fail(lo, "dns-timeout", "RFC 3263 4", what);
        break;
    default:
        locate_fail(lo, "dns-nodata", "RFC 3263 4.2", what);
        break;
    }
}

/* Which of two failures says more? */
static int worse_status(int a, int b)
{
    static const int rank[] = {[DNS_OK] = 0,       [DNS_NXDOMAIN] = 1,   [DNS_NODATA] = 2,
                               [DNS_SERVFAIL] = 3, [STATUS_TIMEOUT] = 4, [DNS_BOGUS] = 5};
    return rank[a] >= rank[b] ? a : b;
}

/* --- addresses --- */

static void take_addresses(struct family *f, const struct dns_answer *a)
{
    f->is_done = true;
    f->status = a->status;
    for (size_t i = 0; a->status == DNS_OK && i < a->n && f->n < ADDRS_MAX; i++) {
        struct addr addr;
        if (dns_addr_parse(a->rdata[i], f->type, 0, &addr) == 0 && locate_addr_is_usable(&addr))
            f->v[f->n++] = addr;
    }
    if (f->status == DNS_OK && f->n == 0)
        f->status = DNS_NODATA;
}

static void locate_run(struct locate *lo);

static void on_address(void *arg, const struct dns_answer *a)
{
    struct family *f = arg;
    take_addresses(f, a);
    locate_run(f->locate);
}

/* Asking failed: an answer that says so. */
static struct dns_answer refusal(int err)
{
    return (struct dns_answer){.status = err == ERR_SYNTAX ? DNS_NXDOMAIN : DNS_SERVFAIL};
}

static void ask_family(struct locate *lo, struct host *h, struct family *f)
{
    const struct dns_answer *now;
    f->is_asked = true;
    dns_query_init(&f->query, on_address, f);
    int err = dns_ask(lo->locator->dns, h->name, f->type, &f->query, &now);
    struct dns_answer r = refusal(err);
    if (err)
        now = &r;
    if (now)
        take_addresses(f, now);
}

static struct host *host_get(struct locate *lo, struct str name)
{
    for (size_t i = 0; i < lo->n_hosts; i++)
        if (str_eq_nocase(lo->hosts[i]->name, name))
            return lo->hosts[i];
    struct host *h = lo->n_hosts < HOSTS_MAX ? arena_zalloc(lo->arena, sizeof(*h)) : NULL;
    if (!h)
        return NULL;
    h->name = arena_str(lo->arena, name);
    if (!h->name.p)
        return NULL;
    h->v4 = (struct family){.locate = lo, .type = DNS_A};
    h->v6 = (struct family){.locate = lo, .type = DNS_AAAA};
    dns_query_init(&h->v4.query, on_address, &h->v4);
    dns_query_init(&h->v6.query, on_address, &h->v6);
    lo->hosts[lo->n_hosts++] = h;
    return h;
}

/* What is too much is left out: the best come first. */
static void route_add(struct locate *lo, enum transport t, struct str host, uint16_t port)
{
    if (lo->n_routes == LIMIT_TARGETS)
        return;
    struct host *h = host_get(lo, host);
    if (h)
        lo->routes[lo->n_routes++] = (struct route){t, port ? port : transport_default_port(t), h};
}

static void ask_addresses(struct locate *lo)
{
    lo->state = LOCATE_ADDR;
    for (size_t i = 0; i < lo->n_routes; i++) {
        const struct route *r = &lo->routes[i];
        if (lo->reach.v4[r->transport] && !r->host->v4.is_asked)
            ask_family(lo, r->host, &r->host->v4);
        if (lo->reach.v6[r->transport] && !r->host->v6.is_asked)
            ask_family(lo, r->host, &r->host->v6);
    }
    if (lo->n_routes == 0)
        locate_fail(lo, "no-memory", NULL, "");
}

static bool is_open(const struct family *f)
{
    return f->is_asked && !f->is_done;
}

/* Is the best target known, though others are still asked for? */
static bool has_first_choice(const struct locate *lo)
{
    for (size_t i = 0; i < lo->n_routes; i++) {
        const struct host *h = lo->routes[i].host;
        if (h->v4.n || h->v6.n)
            return true;
        if (is_open(&h->v4) || is_open(&h->v6))
            return false;
    }
    return false;
}

static void target_add(struct locate *lo, const struct route *r, const struct family *f)
{
    for (size_t i = 0; i < f->n && lo->n_targets < LIMIT_TARGETS; i++) {
        struct net_target t = {r->transport, f->v[i]};
        addr_set_port(&t.addr, r->port);
        size_t k = 0;
        while (k < lo->n_targets &&
               (lo->targets[k].transport != t.transport || !addr_eq(&lo->targets[k].addr, &t.addr)))
            k++;
        if (k == lo->n_targets)
            lo->targets[lo->n_targets++] = t;
    }
}

static void collect(struct locate *lo)
{
    int status = DNS_OK;
    for (size_t i = 0; i < lo->n_routes; i++) {
        const struct route *r = &lo->routes[i];
        const struct family *f[] = {&r->host->v4, &r->host->v6};
        const bool can[] = {lo->reach.v4[r->transport], lo->reach.v6[r->transport]};
        for (size_t k = 0; k < 2; k++) {
            size_t which = lo->reach.v6_first[r->transport] ? 1 - k : k;
            if (!can[which])
                continue;
            target_add(lo, r, f[which]);
            status =
                worse_status(f[which]->is_done ? (int)f[which]->status : STATUS_TIMEOUT, status);
        }
    }
    if (status == DNS_BOGUS)
        locate_fail_status(lo, DNS_BOGUS, "address");
    else if (lo->n_targets == 0)
        locate_fail_status(lo, status, "address");
    else
        locator_sort_failed(lo->locator, lo->targets, lo->n_targets);
    lo->state = LOCATE_DONE;
}

/* --- SRV --- */

static void on_srv(void *arg, const struct dns_answer *a)
{
    struct service *s = arg;
    locate_service_take(s, a);
    locate_run(s->locate);
}

struct service *locate_service_add(struct locate *lo, enum transport t, struct str name)
{
    for (size_t i = 0; i < lo->n_services; i++)
        if (lo->services[i]->transport == t && str_eq_nocase(lo->services[i]->name, name))
            return lo->services[i];
    struct service *s = lo->n_services < SERVICES_MAX ? arena_zalloc(lo->arena, sizeof(*s)) : NULL;
    if (!s)
        return NULL;
    s->locate = lo;
    s->transport = t;
    s->name = arena_str(lo->arena, name);
    dns_query_init(&s->query, on_srv, s);
    if (!s->name.p)
        return NULL;
    lo->services[lo->n_services++] = s;
    return s;
}

static void ask_services(struct locate *lo)
{
    lo->state = LOCATE_SRV;
    for (size_t i = 0; i < lo->n_services; i++) {
        struct service *s = lo->services[i];
        const struct dns_answer *now;
        int err = dns_ask(lo->locator->dns, s->name, DNS_SRV, &s->query, &now);
        struct dns_answer r = refusal(err);
        if (err)
            now = &r;
        if (now)
            locate_service_take(s, now);
    }
    if (lo->n_services == 0)
        locate_fail(lo, "no-memory", NULL, "");
}

/* RFC 3263 4.1: SRV queries for those transports it supports, under the domain's own name. */
static void ask_own_services(struct locate *lo)
{
    static const struct {
        enum transport transport;
        struct str prefix;
    } all[] = {{TRANSPORT_TLS, {"_sips._tcp.", 11}},
               {TRANSPORT_TCP, {"_sip._tcp.", 10}},
               {TRANSPORT_UDP, {"_sip._udp.", 10}}};
    for (size_t i = 0; i < ARRAY_LEN(all); i++) {
        size_t k = lo->prefer_tls ? i : ARRAY_LEN(all) - 1 - i;
        if (!lo->may_use[all[k].transport])
            continue;
        struct str name =
            arena_fmt(lo->arena, "%.*s%.*s", STR_FMT(all[k].prefix), STR_FMT(lo->host));
        if (name.p)
            (void)locate_service_add(lo, all[k].transport, name);
    }
    ask_services(lo);
}

/* RFC 3263 4.2: no SRV records, so the domain's own addresses, with the transports that were
 * settled on before. */
static void ask_own_addresses(struct locate *lo)
{
    if (lo->has_naptr || lo->has_transport) {
        for (size_t i = 0; i < lo->n_services; i++)
            route_add(lo, lo->services[i]->transport, lo->host, 0);
    } else {
        static const enum transport order[] = {TRANSPORT_TLS, TRANSPORT_TCP, TRANSPORT_UDP};
        bool has_udp = lo->may_use[TRANSPORT_UDP];
        for (size_t i = 0; i < ARRAY_LEN(order); i++)
            if (lo->may_use[order[i]] && (lo->prefer_tls || !has_udp || order[i] == TRANSPORT_UDP))
                route_add(lo, order[i], lo->host, 0);
    }
    ask_addresses(lo);
}

static void after_services(struct locate *lo)
{
    int status = DNS_OK;
    bool is_refused = false;
    for (size_t i = 0; i < lo->n_services; i++) {
        struct service *s = lo->services[i];
        dns_cancel(&s->query);
        status = worse_status(s->is_done ? (int)s->status : STATUS_TIMEOUT, status);
        is_refused = is_refused || s->is_refused;
        for (size_t k = 0; k < s->n; k++)
            route_add(lo, s->transport, s->records[k].target, s->records[k].port);
    }
    if (status == DNS_BOGUS)
        locate_fail_status(lo, DNS_BOGUS, "SRV");
    else if (lo->n_routes)
        ask_addresses(lo);
    else if (status == DNS_SERVFAIL || status == STATUS_TIMEOUT)
        locate_fail_status(lo, status, "SRV");
    else if (is_refused)
        locate_fail(lo, "dns-no-service", "RFC 2782", "SRV says that the service is not offered");
    else
        ask_own_addresses(lo);
}

/* --- NAPTR --- */

static void on_naptr(void *arg, const struct dns_answer *a)
{
    struct locate *lo = arg;
    lo->naptr_status = a->status;
    lo->naptr_is_done = true;
    locate_naptr_take(lo, a);
    locate_run(lo);
}

static void ask_naptr(struct locate *lo)
{
    const struct dns_answer *now;
    lo->state = LOCATE_NAPTR;
    int err = dns_ask(lo->locator->dns, lo->host, DNS_NAPTR, &lo->naptr, &now);
    struct dns_answer r = refusal(err);
    if (err)
        now = &r;
    if (now) {
        lo->naptr_status = now->status;
        lo->naptr_is_done = true;
        locate_naptr_take(lo, now);
    }
}

static void after_naptr(struct locate *lo)
{
    dns_cancel(&lo->naptr);
    if (lo->naptr_is_done && lo->naptr_status == DNS_BOGUS) {
        locate_fail_status(lo, DNS_BOGUS, "NAPTR");
    } else if (lo->n_services) {
        lo->has_naptr = true;
        ask_services(lo);
    } else {
        ask_own_services(lo);
    }
}

/* --- the machine --- */

/* Is the present step over? */
static bool is_over(const struct locate *lo)
{
    if (lo->is_time_up)
        return true;
    switch (lo->state) {
    case LOCATE_NAPTR:
        return lo->naptr_is_done;
    case LOCATE_SRV:
        for (size_t i = 0; i < lo->n_services; i++)
            if (!lo->services[i]->is_done)
                return false;
        return true;
    case LOCATE_ADDR:
        for (size_t i = 0; i < lo->n_hosts; i++)
            if (is_open(&lo->hosts[i]->v4) || is_open(&lo->hosts[i]->v6))
                return false;
        return true;
    default:
        return true;
    }
}

/* The timer stands at the end of the present step. */
static void set_timer(struct locate *lo)
{
    struct wheel *w = lo->locator->wheel;
    uint64_t end = lo->start_ms + (lo->state == LOCATE_NAPTR ? NAPTR_MS
                                   : lo->state == LOCATE_SRV ? SRV_MS
                                                             : LIMIT_DNS_MS);
    uint64_t now = wheel_now_ms(w);
    uint64_t left = end > now ? end - now : 0;
    if (lo->state == LOCATE_ADDR && left > GRACE_MS && has_first_choice(lo)) {
        if (lo->has_grace)
            return;
        lo->has_grace = true;
        left = GRACE_MS;
    }
    wheel_start(w, &lo->timer, left);
}

/* Goes on as far as answers are there. Steps are at most NAPTR, SRV, ADDR, DONE: no loop without
 * end. */
static void locate_run(struct locate *lo)
{
    while (lo->state != LOCATE_DONE && is_over(lo)) {
        lo->is_time_up = false;
        switch (lo->state) {
        case LOCATE_NAPTR:
            after_naptr(lo);
            break;
        case LOCATE_SRV:
            after_services(lo);
            break;
        default:
            collect(lo);
            break;
        }
    }
    if (lo->state == LOCATE_DONE)
        locate_finish(lo);
    else
        set_timer(lo);
}

static void locate_on_timer(struct wheel_timer *t)
{
    struct locate *lo = CONTAINER_OF(t, struct locate, timer);
    if (lo->state == LOCATE_DONE) {
        locate_deliver(lo);
        return;
    }
    lo->is_time_up = true;
    locate_run(lo);
}

/* --- the beginning --- */

static void literal(struct locate *lo, enum transport t, const struct addr *host, uint16_t port)
{
    const struct locate_reach *r = &lo->reach;
    lo->targets[0] = (struct net_target){t, *host};
    addr_set_port(&lo->targets[0].addr, port ? port : transport_default_port(t));
    if (!locate_addr_is_usable(host))
        locate_fail(lo, "locate-host", "RFC 3263 4.2", "no address of a host");
    else if (!(addr_is_v6(host) ? r->v6[t] : r->v4[t]))
        locate_fail(lo, "locate-transport", "RFC 3261 18.1.1",
                    "no listener of this transport and address family");
    else
        lo->n_targets = 1;
    lo->state = LOCATE_DONE;
}

/* The transport when no record can tell it: the one asked for, TLS where nothing else is allowed,
 * else UDP. */
static enum transport plain_transport(const struct locate *lo)
{
    if (lo->has_transport)
        return lo->transport;
    return lo->sips || !lo->allow_clear ? TRANSPORT_TLS : TRANSPORT_UDP;
}

/* Fills may_use; false (and failed) if nothing is left. */
static bool settle_transports(struct locate *lo)
{
    bool any = false, any_reach = false;
    for (int t = 0; t < TRANSPORT_N; t++) {
        bool wanted = lo->has_transport ? (int)lo->transport == t : t <= TRANSPORT_TLS;
        bool reach = wanted && t <= TRANSPORT_TLS && (lo->reach.v4[t] || lo->reach.v6[t]);
        any_reach = any_reach || reach;
        lo->may_use[t] = reach && (t == TRANSPORT_TLS || (lo->allow_clear && !lo->sips));
        any = any || lo->may_use[t];
    }
    if (lo->sips && lo->has_transport && lo->transport != TRANSPORT_TLS)
        locate_fail(lo, "locate-transport", "RFC 3261 26.2.2", "sips goes by TLS only");
    else if (any)
        return true;
    else if (any_reach && !lo->allow_clear)
        locate_fail(lo, "locate-clear", "TR/100 7.2", "only TLS is allowed to this destination");
    else
        locate_fail(lo, "locate-transport", "RFC 3263 4.1", "no listener of this transport");
    return false;
}

static void locate_begin(struct locate *lo, uint16_t port)
{
    struct addr a;
    enum transport t = plain_transport(lo);
    if (!settle_transports(lo))
        return;
    if (addr_parse(&a, lo->host, 0) == 0) {
        literal(lo, t, &a, port);
    } else if (!dns_name_is_valid(lo->host)) {
        locate_fail(lo, "locate-host", "RFC 3261 25.1", "not a host name");
    } else if (port) {
        if (!lo->may_use[t]) {
            locate_fail(lo, "locate-transport", "RFC 3263 4.1", "no listener of this transport");
            return;
        }
        route_add(lo, t, lo->host, port);
        ask_addresses(lo);
    } else if (lo->has_transport) {
        ask_own_services(lo);
    } else {
        ask_naptr(lo);
    }
}

static struct locate *locate_new(struct locator *l, const struct net_locate_args *args)
{
    struct arena *arena = arena_new(LOCATE_ARENA_FIRST, LOCATE_ARENA_MAX);
    struct locate *lo = arena ? arena_zalloc(arena, sizeof(*lo)) : NULL;
    if (!lo) {
        arena_free(arena);
        return NULL;
    }
    lo->arena = arena;
    lo->locator = l;
    lo->host = arena_str(arena, args->host.n ? args->host : STR(""));
    if (!lo->host.p) {
        arena_free(arena);
        return NULL;
    }
    if (lo->host.n > 1 && lo->host.p[lo->host.n - 1] == '.')
        lo->host.n--;
    lo->reach = l->reach;
    lo->sips = args->sips;
    lo->has_transport = args->has_transport;
    lo->transport = args->transport;
    if (lo->sips && lo->has_transport && lo->transport == TRANSPORT_TCP)
        lo->transport = TRANSPORT_TLS; /* RFC 3261 26.2.2 */
    lo->prefer_tls = args->prefer_tls;
    lo->allow_clear = args->allow_clear;
    lo->start_ms = wheel_now_ms(l->wheel);
    dns_query_init(&lo->naptr, on_naptr, lo);
    wheel_timer_init(&lo->timer, locate_on_timer);
    return lo;
}

int locator_start(struct locator *l, const struct net_locate_args *args, net_locate_fn fn,
                  void *arg, uint64_t *ret_id)
{
    if (args->host.n > LIMIT_URI_BYTES)
        return ERR_LIMIT;
    struct locate *lo = locate_new(l, args);
    if (!lo)
        return ERR_NOMEM;
    int err = slot_take(l, lo);
    if (err) {
        arena_free(lo->arena);
        return err;
    }
    lo->fn = fn;
    lo->arg = arg;
    *ret_id = lo->id;
    lo->is_starting = true;
    locate_begin(lo, args->port);
    locate_run(lo);
    lo->is_starting = false;
    return 0;
}

void locator_cancel(struct locator *l, uint64_t id)
{
    struct locate *lo = slot_find(l, id);
    if (lo)
        locate_free(lo);
}

size_t locator_waiting(const struct locator *l)
{
    return l->n_waiting;
}

int locator_new(const struct locator_args *args, struct locator **ret)
{
    struct locator *l = mem_zalloc(sizeof(*l));
    if (!l)
        return ERR_NOMEM;
    l->dns = args->dns;
    l->wheel = args->wheel;
    l->rand = args->rand;
    l->reach = args->reach;
    *ret = l;
    return 0;
}

void locator_free(struct locator *l)
{
    if (!l)
        return;
    for (size_t i = 0; i < l->n_slots; i++)
        if (l->slots[i])
            locate_free(l->slots[i]);
    mem_free(l->slots);
    mem_free(l);
}

void locator_set_reach(struct locator *l, const struct locate_reach *reach)
{
    l->reach = *reach;
}

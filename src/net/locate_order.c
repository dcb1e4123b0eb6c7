/* What records mean and which comes first: NAPTR services (RFC 3263 4.1, RFC 3403 4.1), SRV
 * priorities and weights (RFC 2782), targets that failed lately (RFC 3263 4.3). Part of locate.c;
 * opens nothing, waits for nothing. */
#include "base/arena.h"
#include "base/err.h"
#include "net/locate_priv.h"

struct locate_reach locate_reach_of(const struct net_listener *listeners, size_t n)
{
    struct locate_reach r = {0};
    for (unsigned t = TRANSPORT_TCP; n == 0 && t <= TRANSPORT_TLS; t++)
        r.v4[t] = r.v6[t] = true; /* a client, which only dials */
    for (size_t i = 0; i < n; i++) {
        enum transport t = listeners[i].transport;
        bool is_v6 = addr_is_v6(&listeners[i].addr);
        /* We call by UDP, TCP and TLS; replies to a dialled stream come back on it, so that TCP and
         * TLS help each other. */
        enum transport to[2] = {t, t == TRANSPORT_TCP ? TRANSPORT_TLS : TRANSPORT_TCP};
        size_t n_to = t == TRANSPORT_UDP ? 1 : t <= TRANSPORT_TLS ? 2 : 0;
        for (size_t k = 0; k < n_to; k++) {
            if (!r.v4[to[k]] && !r.v6[to[k]])
                r.v6_first[to[k]] = is_v6;
            *(is_v6 ? &r.v6[to[k]] : &r.v4[to[k]]) = true;
        }
    }
    return r;
}

bool locate_addr_is_usable(const struct addr *a)
{
    if (addr_is_any(a))
        return false;
    if (addr_is_v6(a)) {
        if (!IN6_IS_ADDR_V4MAPPED(&a->v6.sin6_addr))
            return !IN6_IS_ADDR_MULTICAST(&a->v6.sin6_addr);
        uint32_t v4;
        memcpy(&v4, &a->v6.sin6_addr.s6_addr[12], sizeof(v4));
        return v4 != 0 && ntohl(v4) < 0xe0000000u;
    }
    return ntohl(a->v4.sin_addr.s_addr) < 0xe0000000u; /* no multicast, no broadcast */
}

/* --- NAPTR --- */

/* RFC 3263 4.1, IANA's registry of its services; WS and SCTP are not dialled. */
static bool service_transport(struct str s, enum transport *ret)
{
    static const struct {
        struct str name;
        enum transport transport;
    } all[] = {{{"SIPS+D2T", 8}, TRANSPORT_TLS},
               {{"SIP+D2T", 7}, TRANSPORT_TCP},
               {{"SIP+D2U", 7}, TRANSPORT_UDP}};
    for (size_t i = 0; i < ARRAY_LEN(all); i++) {
        if (str_eq_nocase(s, all[i].name)) {
            *ret = all[i].transport;
            return true;
        }
    }
    return false;
}

static bool comes_before(const struct locate *lo, const struct service *a, const struct service *b)
{
    if (lo->prefer_tls && a->transport != b->transport)
        return a->transport > b->transport; /* TLS, TCP, UDP */
    if (a->order != b->order)
        return a->order < b->order;
    return a->preference < b->preference;
}

static void service_place(struct locate *lo, struct service *s)
{
    size_t i = lo->n_services - 1;
    for (; i > 0 && comes_before(lo, s, lo->services[i - 1]); i--)
        lo->services[i] = lo->services[i - 1];
    lo->services[i] = s;
}

void locate_naptr_take(struct locate *lo, const struct dns_answer *a)
{
    for (size_t i = 0; a->status == DNS_OK && i < a->n && i < LIMIT_DNS_RECORDS; i++) {
        struct dns_naptr r;
        enum transport t;
        /* 4.1: flag "s", empty regular expression, the replacement names the SRV record */
        if (dns_naptr_parse(a->rdata[i], &r) != 0 || !str_eq_nocase(r.flags, STR("s")) ||
            r.regexp.n || !r.replacement[0] || !service_transport(r.services, &t) ||
            !lo->may_use[t])
            continue;
        size_t before = lo->n_services;
        struct service *s = locate_service_add(lo, t, str_z(r.replacement));
        if (!s || lo->n_services == before)
            continue; /* full, or there already */
        s->order = r.order;
        s->preference = r.preference;
        service_place(lo, s);
    }
}

/* --- SRV --- */

/* Resolvers rotate records, a cache does not: without this equal records would always come in one
 * order. */
static void shuffle(struct srv_record *r, size_t n, struct rand_source *rand)
{
    for (size_t i = n; i > 1; i--) {
        size_t k = (size_t)(rand_u64(rand) % i);
        struct srv_record x = r[i - 1];
        r[i - 1] = r[k];
        r[k] = x;
    }
}

/* RFC 2782 "Weight": among those of one priority each place goes to one drawn by weight. n is
 * small. */
static void draw(struct srv_record *r, size_t n, struct rand_source *rand)
{
    shuffle(r, n, rand);
    for (size_t place = 0; place + 1 < n; place++) {
        uint32_t sum = 0;
        for (size_t i = place; i < n; i++)
            sum += r[i].weight;
        uint32_t drawn = (uint32_t)(rand_u64(rand) % ((uint64_t)sum + 1)), running = 0;
        size_t pick = place;
        /* "those with weight 0 are placed at the beginning": a drawn 0 picks the first of them */
        for (size_t pass = 0; pass < 2; pass++) {
            bool found = false;
            for (size_t i = place; i < n && !found; i++) {
                if ((r[i].weight == 0) != (pass == 0))
                    continue;
                running += r[i].weight;
                if (running >= drawn) {
                    pick = i;
                    found = true;
                }
            }
            if (found)
                break;
        }
        struct srv_record chosen = r[pick];
        memmove(&r[place + 1], &r[place], (pick - place) * sizeof(*r));
        r[place] = chosen;
    }
}

void locate_srv_sort(struct srv_record *r, size_t n, struct rand_source *rand)
{
    for (size_t i = 1; i < n; i++) {
        struct srv_record x = r[i];
        size_t k = i;
        for (; k > 0 && r[k - 1].priority > x.priority; k--)
            r[k] = r[k - 1];
        r[k] = x;
    }
    for (size_t from = 0; from < n;) {
        size_t to = from;
        while (to < n && r[to].priority == r[from].priority)
            to++;
        draw(r + from, to - from, rand);
        from = to;
    }
}

void locate_service_take(struct service *s, const struct dns_answer *a)
{
    s->is_done = true;
    s->status = a->status;
    if (a->status != DNS_OK)
        return;
    struct arena *arena = s->locate->arena;
    size_t max = a->n < LIMIT_DNS_RECORDS ? a->n : LIMIT_DNS_RECORDS;
    s->records = arena_alloc(arena, max * sizeof(*s->records));
    for (size_t i = 0; s->records && i < max; i++) {
        struct dns_srv r;
        if (dns_srv_parse(a->rdata[i], &r) != 0)
            continue;
        if (!r.target[0]) {
            s->is_refused = true;
            continue;
        }
        struct str target = arena_str(arena, str_z(r.target));
        if (target.p)
            s->records[s->n++] = (struct srv_record){r.priority, r.weight, r.port, target};
    }
    locate_srv_sort(s->records, s->n, s->locate->locator->rand);
    if (s->n == 0 && !s->is_refused)
        s->status = DNS_SERVFAIL; /* records there are, but none can be read */
}

/* --- targets that failed lately --- */

static bool target_eq(const struct net_target *a, const struct net_target *b)
{
    return a->transport == b->transport && addr_eq(&a->addr, &b->addr);
}

static void forget_old(struct locator *l)
{
    uint64_t now = wheel_now_ms(l->wheel);
    size_t n = 0;
    for (size_t i = 0; i < l->n_failed; i++)
        if (l->failed[i].until_ms > now)
            l->failed[n++] = l->failed[i];
    l->n_failed = n;
}

static bool has_failed(const struct locator *l, const struct net_target *t)
{
    for (size_t i = 0; i < l->n_failed; i++)
        if (target_eq(&l->failed[i].target, t))
            return true;
    return false;
}

void locator_worked(struct locator *l, const struct net_target *t)
{
    for (size_t i = 0; i < l->n_failed; i++) {
        if (target_eq(&l->failed[i].target, t)) {
            memmove(&l->failed[i], &l->failed[i + 1], (l->n_failed - i - 1) * sizeof(l->failed[0]));
            l->n_failed--;
            return;
        }
    }
}

void locator_failed(struct locator *l, const struct net_target *t)
{
    forget_old(l);
    locator_worked(l, t); /* so that it stands once, and last */
    if (l->n_failed == FAILED_MAX) {
        l->n_failed--;
        memmove(&l->failed[0], &l->failed[1], l->n_failed * sizeof(l->failed[0]));
    }
    l->failed[l->n_failed++] = (struct failed){*t, wheel_now_ms(l->wheel) + LOCATE_FAILED_MS};
}

void locator_sort_failed(struct locator *l, struct net_target *t, size_t n)
{
    forget_old(l);
    if (l->n_failed == 0)
        return;
    struct net_target last[LIMIT_TARGETS];
    size_t n_good = 0, n_last = 0;
    for (size_t i = 0; i < n; i++) {
        if (has_failed(l, &t[i]))
            last[n_last++] = t[i];
        else
            t[n_good++] = t[i];
    }
    memcpy(t + n_good, last, n_last * sizeof(t[0]));
}

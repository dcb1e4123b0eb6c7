/* Fuzz: locating servers with a hostile DNS. The input says what is asked for and what every
 * question is answered: status, delay and RDATA of any form; also the RDATA parsers alone. Each
 * lookup must end exactly once, in time, with targets that were allowed. */
#include "base/err.h"
#include "net/locate.h"
#include <stdint.h>
#include <stdlib.h>

struct input {
    const uint8_t *p;
    size_t n;
};

static unsigned take(struct input *in)
{
    if (in->n == 0)
        return 0;
    in->n--;
    return *in->p++;
}

static struct str take_bytes(struct input *in, size_t n)
{
    n = n < in->n ? n : in->n;
    struct str s = str_make((const char *)in->p, n);
    in->p += n;
    in->n -= n;
    return s;
}

struct fake {
    struct dns base;
    struct input *in;
    struct wheel *wheel;
    struct str rdata[LIMIT_DNS_RECORDS];
    struct dns_answer answer;
    struct list waiting; /* queries, each answered at the next step */
    unsigned asked;
};

static void make_answer(struct fake *f, enum dns_type type)
{
    unsigned head = take(f->in);
    f->answer = (struct dns_answer){.status = (enum dns_status)(head % 8), .rdata = f->rdata};
    if (f->answer.status > DNS_BOGUS)
        f->answer.status = DNS_OK;
    if (f->answer.status != DNS_OK)
        return;
    f->answer.n = 1 + take(f->in) % 4;
    for (size_t i = 0; i < f->answer.n; i++) {
        size_t len = type == DNS_A ? 4 : type == DNS_AAAA ? 16 : take(f->in);
        f->rdata[i] = take_bytes(f->in, len);
    }
}

static int ask(struct dns *d, struct str name, enum dns_type type, struct dns_query *q,
               const struct dns_answer **ret_now)
{
    struct fake *f = CONTAINER_OF(d, struct fake, base);
    *ret_now = NULL;
    if (!dns_name_is_valid(name))
        return ERR_SYNTAX;
    if (++f->asked > 100)
        abort(); /* far more than a lookup may cost */
    unsigned how = take(f->in) % 8;
    if (how == 7)
        return ERR_LIMIT;
    if (how >= 4) {
        list_append(&f->waiting, &q->node);
        return 0;
    }
    make_answer(f, type);
    *ret_now = &f->answer;
    return 0;
}

static struct {
    unsigned calls;
    bool clear_ok;
} seen;

static void on_located(void *arg, const struct net_target *targets, size_t n,
                       const struct reason *why)
{
    (void)arg;
    seen.calls++;
    if (n > LIMIT_TARGETS || (n == 0) != (why != NULL) || (why && !why->code))
        abort();
    for (size_t i = 0; i < n; i++) {
        if (targets[i].transport > TRANSPORT_TLS || addr_is_any(&targets[i].addr) ||
            addr_port(&targets[i].addr) == 0)
            abort();
        if (!seen.clear_ok && targets[i].transport != TRANSPORT_TLS)
            abort();
    }
}

static void parse_alone(struct str s)
{
    struct dns_srv srv;
    struct dns_naptr naptr;
    if (dns_srv_parse(s, &srv) == 0 && srv.target[0] && !dns_name_is_valid(str_z(srv.target)))
        abort();
    if (dns_naptr_parse(s, &naptr) == 0 && naptr.replacement[0] &&
        !dns_name_is_valid(str_z(naptr.replacement)))
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static const struct dns_ops ops = {ask, NULL};
    struct input in = {data, n};
    parse_alone(str_make((const char *)data, n));
    struct wheel *wheel = wheel_new(0);
    struct rand_source rand;
    rand_fixed_init(&rand, 1);
    struct fake fake = {.base.ops = &ops, .in = &in, .wheel = wheel};
    list_init(&fake.waiting);
    unsigned flags = take(&in), reach = take(&in);
    struct locator_args args = {.dns = &fake.base, .wheel = wheel, .rand = &rand};
    for (int t = 0; t <= TRANSPORT_TLS; t++) {
        args.reach.v4[t] = reach >> (2 * t) & 1;
        args.reach.v6[t] = reach >> (2 * t + 1) & 1;
        args.reach.v6_first[t] = reach >> 6 & 1;
    }
    struct net_locate_args la = {.sips = flags & 1,
                                 .prefer_tls = flags >> 1 & 1,
                                 .allow_clear = flags >> 2 & 1,
                                 .has_transport = flags >> 3 & 1,
                                 .transport = (enum transport)((flags >> 4) % TRANSPORT_N),
                                 .port = flags & 0x80 ? 5070 : 0};
    la.host = reach & 0x80 ? take_bytes(&in, take(&in)) : STR("a.example");
    seen.calls = 0;
    seen.clear_ok = la.allow_clear && !la.sips;
    struct locator *l;
    uint64_t id;
    if (!wheel || locator_new(&args, &l) != 0)
        abort();
    if (locator_start(l, &la, on_located, NULL, &id) != 0 || seen.calls)
        abort();
    for (uint64_t ms = 0; ms <= LIMIT_DNS_MS; ms += 50) {
        if (!list_is_empty(&fake.waiting) && take(&in) % 2 == 0) {
            struct dns_query *q = CONTAINER_OF(fake.waiting.next, struct dns_query, node);
            list_remove(&q->node);
            make_answer(&fake,
                        (enum dns_type[]){DNS_A, DNS_AAAA, DNS_SRV, DNS_NAPTR}[take(&in) % 4]);
            q->fn(q->arg, &fake.answer);
        }
        wheel_advance(wheel, ms);
    }
    if (seen.calls != 1 || locator_waiting(l) || !list_is_empty(&fake.waiting))
        abort();
    locator_free(l);
    wheel_free(wheel);
    return 0;
}

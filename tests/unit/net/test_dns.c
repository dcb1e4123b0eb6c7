/* net/dns.c against a small DNS server on loopback: what comes back, that equal questions are one,
 * that answers are kept for their time and no longer, and that a dead server stops neither the loop
 * nor a lookup for longer than LIMIT_DNS_MS. */
#include "base/err.h"
#include "check.h"
#include "net/dns.h"
#include "net/locate.h"
#include <arpa/inet.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>
#include <uv.h>

/* --- the server --- */

#define TYPE_CNAME 5
#define TYPE_SOA 6
#define RDATA(lit) (lit), sizeof(lit) - 1

static const struct record {
    const char *name;
    int type;
    unsigned ttl;
    const char *rdata;
    size_t n;
} zone[] = {
    {"one.test", DNS_A, 300, RDATA("\300\0\2\1")},
    {"one.test", DNS_A, 300, RDATA("\300\0\2\2")},
    {"one.test", DNS_AAAA, 300, RDATA("\40\1\15\270\0\0\0\0\0\0\0\0\0\0\0\1")},
    {"alias.test", TYPE_CNAME, 300, RDATA("\3one\4test\0")},
    {"short.test", DNS_A, 1, RDATA("\300\0\2\3")},
    {"zero.test", DNS_A, 0, RDATA("\300\0\2\4")},
    {"signed.test", DNS_A, 300, RDATA("\300\0\2\5")},
    {"biloxi.test", DNS_NAPTR, 300, RDATA("\0\1\0\1\1s\10SIPS+D2T\0\5_sips\4_tcp\6biloxi\4test\0")},
    {"_sips._tcp.biloxi.test", DNS_SRV, 300, RDATA("\0\0\0\1\23\305\3one\4test\0")},
};

struct server {
    int fd, stop[2];
    pthread_t thread;
    char forward[32]; /* "127.0.0.1@port" */
    atomic_uint n_asked;
    bool is_dead; /* bound, but nobody reads */
};

static void put_u16(unsigned char **p, unsigned v)
{
    *(*p)++ = (unsigned char)(v >> 8);
    *(*p)++ = (unsigned char)v;
}

static void put_record(unsigned char **p, int type, unsigned ttl, const void *rdata, size_t n)
{
    put_u16(p, 0xc00c); /* the name in question */
    put_u16(p, (unsigned)type);
    put_u16(p, 1);
    put_u16(p, ttl >> 16);
    put_u16(p, ttl & 0xffff);
    put_u16(p, (unsigned)n);
    memcpy(*p, rdata, n);
    *p += n;
}

/* Returns the length of the answer, 0 for none. */
static size_t answer(const unsigned char *q, size_t n, unsigned char *out)
{
    static const char soa[] =
        "\2ns\4test\0\1x\4test\0\0\0\0\1\0\0\0\1\0\0\0\1\0\0\0\1\0\0\0\2"; /* negative TTL 2 s */
    char name[256];
    size_t at = 12, len = 0;
    while (at < n && q[at]) {
        memcpy(name + len, q + at + 1, q[at]);
        len += q[at];
        name[len++] = '.';
        at += q[at] + 1u;
    }
    name[len ? len - 1 : 0] = '\0';
    int type = q[at + 1] << 8 | q[at + 2];
    size_t end = at + 5;
    if (strcmp(name, "silent.test") == 0)
        return 0;
    unsigned char *p = out + end;
    memcpy(out, q, end);
    unsigned rcode = 3, n_answers = 0;
    if (strcmp(name, "broken.test") == 0)
        rcode = 2;
    for (size_t i = 0; i < ARRAY_LEN(zone); i++) {
        if (strcasecmp(zone[i].name, name) != 0)
            continue;
        rcode = 0;
        if (zone[i].type == type || zone[i].type == TYPE_CNAME) {
            put_record(&p, zone[i].type, zone[i].ttl, zone[i].rdata, zone[i].n);
            n_answers++;
        }
    }
    if (n_answers == 0 && rcode != 2)
        put_record(&p, TYPE_SOA, 2, soa, sizeof(soa) - 1);
    out[2] = 0x81;
    out[3] = (unsigned char)(0x80 | rcode);
    memset(out + 6, 0, 6);
    out[7] = (unsigned char)n_answers;
    out[9] = n_answers == 0 && rcode != 2;
    return (size_t)(p - out);
}

static void *serve(void *arg)
{
    struct server *s = arg;
    struct pollfd fds[2] = {{.fd = s->fd, .events = POLLIN}, {.fd = s->stop[0], .events = POLLIN}};
    unsigned char q[1500], out[4096];
    while (poll(fds, 2, -1) > 0 && !fds[1].revents) {
        struct sockaddr_in from;
        socklen_t from_len = sizeof(from);
        ssize_t n = recvfrom(s->fd, q, sizeof(q), 0, (struct sockaddr *)&from, &from_len);
        if (n < 17)
            continue;
        atomic_fetch_add(&s->n_asked, 1);
        size_t len = answer(q, (size_t)n, out);
        if (len && sendto(s->fd, out, len, 0, (struct sockaddr *)&from, from_len) < 0)
            continue;
    }
    return NULL;
}

static void server_start(struct server *s, bool is_dead)
{
    *s = (struct server){.is_dead = is_dead};
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(a);
    s->fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(s->fd, (struct sockaddr *)&a, sizeof(a)), 0);
    assert_int_equal(getsockname(s->fd, (struct sockaddr *)&a, &len), 0);
    snprintf(s->forward, sizeof(s->forward), "127.0.0.1@%u", ntohs(a.sin_port));
    if (!is_dead) {
        assert_int_equal(pipe(s->stop), 0);
        assert_int_equal(pthread_create(&s->thread, NULL, serve, s), 0);
    }
}

static void server_stop(struct server *s)
{
    if (!s->is_dead) {
        close(s->stop[1]);
        pthread_join(s->thread, NULL);
        close(s->stop[0]);
    }
    close(s->fd);
}

/* --- the client's side: a loop whose timer drives the wheel --- */

struct lab {
    struct server server;
    uv_loop_t loop;
    uv_timer_t timer;
    struct wheel *wheel;
    struct dns *dns;
    uint64_t start_ms, skew_ms;   /* skew: time that passes for the wheel only */
    uint64_t last_ms, longest_ms; /* between two turns of the timer */
};

static void on_tick(uv_timer_t *t)
{
    struct lab *lab = t->data;
    uint64_t now = uv_hrtime() / 1000000;
    if (now - lab->last_ms > lab->longest_ms)
        lab->longest_ms = now - lab->last_ms;
    lab->last_ms = now;
    wheel_advance(lab->wheel, now - lab->start_ms + lab->skew_ms);
}

static int lab_try(struct lab *lab, struct dns_args args, struct reason *why)
{
    assert_int_equal(uv_loop_init(&lab->loop), 0);
    lab->wheel = wheel_new(0);
    lab->start_ms = lab->last_ms = uv_hrtime() / 1000000;
    uv_timer_init(&lab->loop, &lab->timer);
    lab->timer.data = lab;
    uv_timer_start(&lab->timer, on_tick, 1, 1);
    args.loop = &lab->loop;
    args.wheel = lab->wheel;
    return dns_new(&args, &lab->dns, why);
}

static void lab_init(struct lab *lab, bool is_dead, struct dns_args args)
{
    struct reason why;
    *lab = (struct lab){0};
    server_start(&lab->server, is_dead);
    if (!args.forward)
        args.forward = lab->server.forward;
    if (lab_try(lab, args, &why) != 0)
        fail_msg("%s", why.detail);
}

static void lab_done(struct lab *lab)
{
    dns_free(lab->dns);
    uv_close((uv_handle_t *)&lab->timer, NULL);
    uv_run(&lab->loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&lab->loop), 0);
    wheel_free(lab->wheel);
    if (lab->server.forward[0])
        server_stop(&lab->server);
}

struct got {
    struct dns_query query;
    unsigned calls;
    enum dns_status status;
    size_t n;
    char first[64];
    size_t first_n;
};

static void on_answer(void *arg, const struct dns_answer *a)
{
    struct got *g = arg;
    g->calls++;
    g->status = a->status;
    g->n = a->n;
    if (a->n) {
        g->first_n = a->rdata[0].n;
        memcpy(g->first, a->rdata[0].p,
               a->rdata[0].n < sizeof(g->first) ? a->rdata[0].n : sizeof(g->first));
    }
}

/* True if the answer was known at once. */
static bool ask(struct lab *lab, const char *name, enum dns_type type, struct got *g)
{
    const struct dns_answer *now;
    *g = (struct got){0};
    dns_query_init(&g->query, on_answer, g);
    check_err(dns_ask(lab->dns, str_z(name), type, &g->query, &now), 0);
    if (now)
        on_answer(g, now);
    return now != NULL;
}

static void wait_for(struct lab *lab, const struct got *g)
{
    for (int i = 0; i < 5000 && !g->calls; i++)
        uv_run(&lab->loop, UV_RUN_ONCE);
    assert_int_equal(g->calls, 1);
}

static enum dns_status status_of(struct lab *lab, const char *name, enum dns_type type)
{
    struct got g;
    ask(lab, name, type, &g);
    wait_for(lab, &g);
    return g.status;
}

static void test_answers(void **state)
{
    (void)state;
    struct lab lab;
    struct got g;
    lab_init(&lab, false, (struct dns_args){0});
    assert_false(ask(&lab, "one.test", DNS_A, &g));
    assert_int_equal(g.calls, 0);
    wait_for(&lab, &g);
    assert_int_equal(g.status, DNS_OK);
    assert_int_equal(g.n, 2);
    assert_int_equal(g.first_n, 4);
    assert_memory_equal(g.first, "\300\0\2", 3);
    /* a known answer comes at once, whatever the case and the final dot */
    assert_true(ask(&lab, "ONE.test.", DNS_A, &g));
    assert_int_equal(g.n, 2);
    assert_int_equal(atomic_load(&lab.server.n_asked), 1);
    assert_int_equal(status_of(&lab, "alias.test", DNS_A), DNS_OK); /* through a CNAME */
    assert_int_equal(status_of(&lab, "one.test", DNS_SRV), DNS_NODATA);
    assert_int_equal(status_of(&lab, "none.test", DNS_A), DNS_NXDOMAIN);
    assert_int_equal(status_of(&lab, "broken.test", DNS_A), DNS_SERVFAIL);
    ask(&lab, "biloxi.test", DNS_NAPTR, &g);
    wait_for(&lab, &g);
    struct dns_naptr naptr;
    check_err(dns_naptr_parse(str_make(g.first, g.first_n), &naptr), 0);
    assert_string_equal(naptr.replacement, "_sips._tcp.biloxi.test");
    uint64_t asked, failed;
    dns_counts(lab.dns, &asked, &failed);
    assert_int_equal(asked, 6);
    assert_int_equal(failed, 1);
    const struct dns_answer *now;
    check_err(dns_ask(lab.dns, STR("a b"), DNS_A, &g.query, &now), ERR_SYNTAX);
    check_err(dns_ask(lab.dns, STR(""), DNS_A, &g.query, &now), ERR_SYNTAX);
    check_err(dns_ask(lab.dns, STR("a.test\0b"), DNS_A, &g.query, &now), ERR_SYNTAX);
    lab_done(&lab);
}

static void test_joined(void **state)
{
    (void)state;
    struct lab lab;
    static struct got g[100];
    lab_init(&lab, false, (struct dns_args){0});
    for (size_t i = 0; i < ARRAY_LEN(g); i++)
        assert_false(ask(&lab, "one.test", DNS_A, &g[i]));
    dns_cancel(&g[0].query);
    dns_cancel(&g[0].query);
    dns_cancel(&g[99].query);
    for (size_t i = 1; i < 99; i++)
        wait_for(&lab, &g[i]);
    assert_int_equal(g[0].calls, 0);
    assert_int_equal(g[99].calls, 0);
    assert_int_equal(atomic_load(&lab.server.n_asked), 1);
    lab_done(&lab);
}

static void test_kept_for_their_time(void **state)
{
    (void)state;
    struct lab lab;
    struct got g;
    lab_init(&lab, false, (struct dns_args){0});
    static const struct {
        const char *name;
        uint64_t ms;
    } cases[] = {
        {"short.test", 1000}, {"none.test", 2000}, {"broken.test", 2000}, {"one.test", 300000}};
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        assert_false(ask(&lab, cases[i].name, DNS_A, &g));
        wait_for(&lab, &g);
        uint64_t before = lab.skew_ms;
        lab.skew_ms += cases[i].ms / 2;
        uv_run(&lab.loop, UV_RUN_ONCE);
        assert_true(ask(&lab, cases[i].name, DNS_A, &g));
        lab.skew_ms = before + cases[i].ms + 10;
        uv_run(&lab.loop, UV_RUN_ONCE);
        assert_false(ask(&lab, cases[i].name, DNS_A, &g));
        wait_for(&lab, &g);
    }
    /* TTL 0: for those who waited, nobody else */
    assert_int_equal(status_of(&lab, "zero.test", DNS_A), DNS_OK);
    assert_false(ask(&lab, "zero.test", DNS_A, &g));
    wait_for(&lab, &g);
    lab_done(&lab);
}

/* In a callback: the same question again, and another one's cancellation. */
static struct {
    struct lab *lab;
    struct got again, victim;
    bool was_known;
} inside;

static void on_inside(void *arg, const struct dns_answer *a)
{
    on_answer(arg, a);
    inside.was_known = ask(inside.lab, "zero.test", DNS_A, &inside.again);
    dns_cancel(&inside.victim.query);
}

static void test_inside_callback(void **state)
{
    (void)state;
    struct lab lab;
    struct got g = {0};
    const struct dns_answer *now;
    lab_init(&lab, false, (struct dns_args){0});
    inside.lab = &lab;
    dns_query_init(&g.query, on_inside, &g);
    check_err(dns_ask(lab.dns, STR("zero.test"), DNS_A, &g.query, &now), 0);
    ask(&lab, "zero.test", DNS_A, &inside.victim);
    wait_for(&lab, &g);
    assert_true(inside.was_known);
    assert_int_equal(inside.victim.calls, 0);
    lab_done(&lab);
}

static void test_hosts(void **state)
{
    (void)state;
    char file[] = "/tmp/sallyport-hosts-XXXXXX";
    int fd = mkstemp(file);
    assert_true(dprintf(fd, "192.0.2.77 pbx.example pbx\n2001:db8::77 pbx.example\n") > 0);
    close(fd);
    struct lab lab;
    struct got g;
    lab_init(&lab, false, (struct dns_args){.hosts = file});
    ask(&lab, "pbx.example", DNS_A, &g);
    wait_for(&lab, &g);
    assert_int_equal(g.status, DNS_OK);
    assert_memory_equal(g.first, "\300\0\2\115", 4);
    assert_int_equal(status_of(&lab, "pbx.example", DNS_AAAA), DNS_OK);
    assert_int_equal(status_of(&lab, "one.test", DNS_A), DNS_OK);
    lab_done(&lab);
    unlink(file);
}

/* A zone that must be signed, from a server that has no signatures. */
static void test_bogus(void **state)
{
    (void)state;
    char file[] = "/tmp/sallyport-anchor-XXXXXX";
    int fd = mkstemp(file);
    assert_true(dprintf(fd,
                        "signed.test. IN DS 12345 13 2 "
                        "0123456789ABCDEF0123456789ABCDEF0123456789ABCDEF0123456789ABCDEF\n") > 0);
    close(fd);
    struct lab lab;
    lab_init(&lab, false, (struct dns_args){.trust_anchor = file});
    assert_int_equal(status_of(&lab, "signed.test", DNS_A), DNS_BOGUS);
    assert_int_equal(status_of(&lab, "one.test", DNS_A), DNS_OK);
    lab_done(&lab);
    unlink(file);
}

static void test_bad_setup(void **state)
{
    (void)state;
    static const struct dns_args cases[] = {
        {.forward = "not an address"},
        {.resolv_conf = "/nonexistent/resolv.conf"},
        {.forward = "127.0.0.1", .hosts = "/nonexistent/hosts"},
        {.forward = "127.0.0.1", .trust_anchor = "/nonexistent/root.key"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct lab lab = {0};
        struct reason why = {0};
        check_err(lab_try(&lab, cases[i], &why), ERR_INVALID);
        assert_string_equal(why.code, "dns-setup");
        assert_non_null(strstr(why.detail, i == 0 ? "not an address" : "/nonexistent/"));
        lab_done(&lab);
    }
}

/* Questions nobody answers: the table ends, the loop goes on, and freeing them all is quick. */
static void test_flood(void **state)
{
    (void)state;
    struct lab lab;
    static struct got g[5000];
    char name[32];
    lab_init(&lab, true, (struct dns_args){0});
    size_t n = 0;
    int err = 0;
    for (; n < ARRAY_LEN(g) && !err; n++) {
        const struct dns_answer *now;
        snprintf(name, sizeof(name), "n%zu.test", n);
        dns_query_init(&g[n].query, on_answer, &g[n]);
        err = dns_ask(lab.dns, str_z(name), DNS_A, &g[n].query, &now);
    }
    check_err(err, ERR_LIMIT);
    assert_in_range(n, 1000, 4097);
    for (int i = 0; i < 50; i++)
        uv_run(&lab.loop, UV_RUN_ONCE);
    assert_in_range(lab.longest_ms, 0, LIMIT_DNS_MS / 2); /* a loop that waited would for the whole of it */
    lab_done(&lab);
}

/* A full table of answers: the one used longest ago makes room. */
static void test_room(void **state)
{
    (void)state;
    struct lab lab;
    static struct got g[256];
    struct got keep;
    char name[32];
    lab_init(&lab, false, (struct dns_args){0});
    lab.skew_ms = 0;
    ask(&lab, "one.test", DNS_A, &keep);
    wait_for(&lab, &keep);
    for (size_t from = 0; from < 5120; from += ARRAY_LEN(g)) {
        for (size_t i = 0; i < ARRAY_LEN(g); i++) {
            snprintf(name, sizeof(name), "n%zu.test", from + i);
            ask(&lab, name, DNS_A, &g[i]);
        }
        for (size_t i = 0; i < ARRAY_LEN(g); i++)
            wait_for(&lab, &g[i]);
        assert_true(ask(&lab, "one.test", DNS_A, &keep)); /* used often: it stays */
    }
    assert_false(ask(&lab, "n0.test", DNS_A, &keep));
    wait_for(&lab, &keep);
    lab_done(&lab);
}

/* --- the whole way: locate over the real DNS --- */

static struct {
    unsigned calls;
    size_t n;
    struct net_target first;
    struct reason why;
} located;

static void on_located(void *arg, const struct net_target *targets, size_t n,
                       const struct reason *why)
{
    (void)arg;
    located.calls++;
    located.n = n;
    if (n)
        located.first = targets[0];
    if (why)
        located.why = *why;
}

static uint64_t run_locate(struct lab *lab, const char *host)
{
    struct locator *l;
    struct rand_source rand;
    uint64_t id;
    rand_fixed_init(&rand, 7);
    struct locator_args args = {.dns = lab->dns, .wheel = lab->wheel, .rand = &rand};
    for (int t = TRANSPORT_UDP; t <= TRANSPORT_TLS; t++)
        args.reach.v4[t] = true;
    check_err(locator_new(&args, &l), 0);
    memset(&located, 0, sizeof(located));
    uint64_t before = uv_hrtime() / 1000000;
    check_err(locator_start(l, &(struct net_locate_args){.host = str_z(host), .allow_clear = true},
                            on_located, NULL, &id),
              0);
    while (!located.calls && uv_hrtime() / 1000000 - before < 2 * LIMIT_DNS_MS)
        uv_run(&lab->loop, UV_RUN_ONCE);
    assert_int_equal(located.calls, 1);
    locator_free(l);
    return uv_hrtime() / 1000000 - before;
}

static void test_locate(void **state)
{
    (void)state;
    struct lab lab;
    char text[ADDR_TEXT_MAX];
    lab_init(&lab, false, (struct dns_args){0});
    run_locate(&lab, "biloxi.test");
    assert_int_equal(located.n, 2);
    assert_int_equal(located.first.transport, TRANSPORT_TLS);
    check_str(str_make(addr_text(&located.first.addr, text).p, 8), "192.0.2.");
    assert_int_equal(addr_port(&located.first.addr), 5061);
    run_locate(&lab, "one.test"); /* neither NAPTR nor SRV */
    assert_int_equal(located.first.transport, TRANSPORT_UDP);
    run_locate(&lab, "none.test");
    assert_string_equal(located.why.code, "dns-nxdomain");
    lab_done(&lab);
}

static void test_dead_server(void **state)
{
    (void)state;
    struct lab lab;
    lab_init(&lab, true, (struct dns_args){0});
    uint64_t ms = run_locate(&lab, "biloxi.test");
    assert_string_equal(located.why.code, "dns-timeout");
    assert_in_range(ms, LIMIT_DNS_MS / 2, 3 * LIMIT_DNS_MS);
    assert_in_range(lab.longest_ms, 0, LIMIT_DNS_MS / 2); /* the loop never waited */
    lab_done(&lab);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_answers),
        cmocka_unit_test(test_joined),
        cmocka_unit_test(test_kept_for_their_time),
        cmocka_unit_test(test_hosts),
        cmocka_unit_test(test_inside_callback),
        cmocka_unit_test(test_bogus),
        cmocka_unit_test(test_bad_setup),
        cmocka_unit_test(test_flood),
        cmocka_unit_test(test_room),
        cmocka_unit_test(test_locate),
        cmocka_unit_test(test_dead_server),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Datagrams through a worker: echo, batches, large ones, keep-alives, STUN, ICMP errors, wildcard
 * sockets, hand-over of received buffers. RFC 3261 18.1.1, 18.2.1, 18.4; RFC 5626 4.4.2, 8. */
#include "fixture.h"
#include "net/stun.h"
#include <linux/filter.h>
#include <stdio.h>
#include <unistd.h>

static void send_to(int fd, const struct addr *to, const char *p, size_t n)
{
    assert_int_equal(sendto(fd, p, n, 0, &to->sa, addr_len(to)), n);
}

static size_t receive(int fd, char *dst, size_t cap, struct addr *ret_from)
{
    struct addr from;
    socklen_t len = sizeof(from);
    ssize_t n = recvfrom(fd, dst, cap - 1, 0, &from.sa, &len);
    assert_true(n >= 0);
    dst[n] = '\0';
    if (ret_from)
        *ret_from = from;
    return (size_t)n;
}

static void echo_at(const char *listen, const char *client)
{
    struct fix f = {.is_echo = true};
    struct net_listener l;
    struct addr from;
    char got[256];
    fix_listen(&l, TRANSPORT_UDP, listen);
    fix_start(&f, 1, &l, 1);
    struct addr to = fix_addr(&f, 0);
    int fd = fix_udp(client);
    send_to(fd, &to, "OPTIONS one", 11);
    assert_int_equal(receive(fd, got, sizeof(got), &from), 11);
    assert_string_equal(got, "OPTIONS one");
    assert_true(addr_eq(&from, &to));
    struct fix_event *e = fix_wait(&f, FIX_MESSAGE);
    assert_string_equal(e->text, "OPTIONS one");
    assert_int_equal(e->path.transport, TRANSPORT_UDP);
    assert_int_equal(e->path.flow, 0);
    assert_int_equal(e->path.listener, 0);
    assert_true(addr_eq(&e->path.local, &to));
    assert_false(e->hop.secure);
    fix_free(e);
    fix_wait_stat(&f, msgs_out[TRANSPORT_UDP], 1);
    fix_wait_stat(&f, msgs_in[TRANSPORT_UDP], 1);
    fix_wait_stat(&f, bytes_in[TRANSPORT_UDP], 11);
    close(fd);
    fix_stop(&f);
}

static void test_echo_v4(void **state)
{
    (void)state;
    echo_at("127.0.0.1:0", "127.0.0.1:0");
}

static void test_echo_v6(void **state)
{
    (void)state;
    echo_at("[::1]:0", "[::1]:0");
}

/* A socket bound to all addresses answers from the one that was asked, and says which. */
static void test_wildcard(void **state)
{
    (void)state;
    static const char *const listens[] = {"0.0.0.0:0", "[::]:0"};
    static const char *const asked[] = {"127.0.0.7", "::1"};
    static const char *const clients[] = {"127.0.0.9:0", "[::1]:0"};
    for (int i = 0; i < 2; i++) {
        struct fix f = {.is_echo = true};
        struct net_listener l;
        struct addr to, from;
        char got[64];
        fix_listen(&l, TRANSPORT_UDP, listens[i]);
        fix_start(&f, 1, &l, 1);
        struct addr bound = fix_addr(&f, 0);
        assert_int_equal(addr_parse(&to, str_z(asked[i]), addr_port(&bound)), 0);
        int fd = fix_udp(clients[i]);
        send_to(fd, &to, "OPTIONS", 7);
        assert_int_equal(receive(fd, got, sizeof(got), &from), 7);
        assert_true(addr_eq(&from, &to));
        struct fix_event *e = fix_wait(&f, FIX_MESSAGE);
        assert_true(addr_eq(&e->path.local, &to));
        fix_free(e);
        close(fd);
        fix_stop(&f);
    }
}

static void test_sizes(void **state)
{
    (void)state;
    static const size_t sizes[] = {1, 1499, 2047, 2048, 2049, 2176, 2177, 4096, 40000, 65507};
    struct fix f = {.is_echo = true, .is_silent = true};
    struct net_listener l;
    static char out[65536], got[65537];
    fix_listen(&l, TRANSPORT_UDP, "127.0.0.1:0");
    fix_start(&f, 1, &l, 1);
    struct addr to = fix_addr(&f, 0);
    int fd = fix_udp("127.0.0.1:0");
    for (size_t i = 0; i < sizeof(out); i++)
        out[i] = (char)('A' + i % 23);
    for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
        send_to(fd, &to, out, sizes[i]);
        assert_int_equal(receive(fd, got, sizeof(got), NULL), sizes[i]);
        assert_memory_equal(got, out, sizes[i]);
    }
    close(fd);
    fix_stop(&f);
}

/* Large ones in one batch with small ones: none may see another's rest. */
static void test_mixed_batch(void **state)
{
    (void)state;
    struct fix f = {.is_silent = true, .is_echo = true};
    struct net_listener l;
    static char out[30000], got[30001];
    fix_listen(&l, TRANSPORT_UDP, "127.0.0.1:0");
    fix_start(&f, 1, &l, 1);
    struct addr to = fix_addr(&f, 0);
    int fd = fix_udp("127.0.0.1:0");
    for (int round = 0; round < 20; round++) {
        for (int i = 0; i < 40; i++) {
            size_t n = i % 3 == 0 ? 3000 + (size_t)i : 300 + (size_t)i;
            memset(out, 'A' + i % 26, n);
            send_to(fd, &to, out, n);
        }
        for (int i = 0; i < 40; i++) {
            size_t want = i % 3 == 0 ? 3000 + (size_t)i : 300 + (size_t)i;
            assert_int_equal(receive(fd, got, sizeof(got), NULL), want);
            for (size_t k = 0; k < want; k++)
                assert_int_equal(got[k], 'A' + i % 26);
        }
    }
    close(fd);
    fix_stop(&f);
}

static struct buf *kept[100];
static unsigned n_kept;

static void keep(struct fix_worker *w, const struct rx *rx)
{
    (void)w;
    pthread_mutex_lock(&w->f->lock);
    kept[n_kept++] = buf_ref(rx->buf);
    pthread_cond_broadcast(&w->f->changed);
    w->f->counts[FIX_MESSAGE]++;
    pthread_mutex_unlock(&w->f->lock);
}

static void let_go(struct fix_worker *w, void *arg)
{
    (void)w;
    (void)arg;
    for (unsigned i = 0; i < n_kept; i++) {
        char want[32];
        snprintf(want, sizeof(want), "message %u", i);
        check_str(buf_str(kept[i]), want);
        buf_unref(kept[i]);
    }
}

/* What the user keeps is not received into again. */
static void test_kept(void **state)
{
    (void)state;
    struct fix f = {.on_message = keep};
    struct net_listener l;
    char text[32];
    fix_listen(&l, TRANSPORT_UDP, "127.0.0.1:0");
    fix_start(&f, 1, &l, 1);
    struct addr to = fix_addr(&f, 0);
    int fd = fix_udp("127.0.0.1:0");
    for (unsigned i = 0; i < ARRAY_LEN(kept); i++) {
        snprintf(text, sizeof(text), "message %u", i);
        send_to(fd, &to, text, strlen(text));
    }
    fix_wait_count(&f, FIX_MESSAGE, ARRAY_LEN(kept));
    fix_call(&f, 0, let_go, NULL);
    close(fd);
    fix_stop(&f);
}

static void test_keepalives(void **state)
{
    (void)state;
    struct fix f = {0};
    struct net_listener l;
    fix_listen(&l, TRANSPORT_UDP, "127.0.0.1:0");
    fix_start(&f, 1, &l, 1);
    struct addr to = fix_addr(&f, 0);
    int fd = fix_udp("127.0.0.1:0");
    send_to(fd, &to, "\r\n\r\n", 4);
    send_to(fd, &to, "\0\0\0\0", 4);
    send_to(fd, &to, "", 0);
    send_to(fd, &to, " ", 1);
    fix_wait_stat(&f, keepalives, 4);
    send_to(fd, &to, "\r\n\r\nOPTIONS", 11); /* RFC 3261 7.5 */
    struct fix_event *e = fix_wait(&f, FIX_MESSAGE);
    assert_string_equal(e->text, "OPTIONS");
    fix_free(e);
    send_to(fd, &to, "\x16\x03\x01\x00", 4);
    send_to(fd, &to, "\xff\xfe", 2);
    fix_wait_stat(&f, datagrams_dropped, 2);
    fix_expect_nothing(fd, 20);
    fix_quiet(&f, FIX_MESSAGE, 0);
    close(fd);
    fix_stop(&f);
}

static void test_stun(void **state)
{
    (void)state;
    static const char request[] = "\0\1\0\0\x21\x12\xa4\x42idididididid";
    struct fix f = {0};
    struct net_listener l;
    struct addr me;
    socklen_t len = sizeof(me);
    char got[128];
    fix_listen(&l, TRANSPORT_UDP, "127.0.0.1:0");
    fix_start(&f, 1, &l, 1);
    struct addr to = fix_addr(&f, 0);
    int fd = fix_udp("127.0.0.1:0");
    send_to(fd, &to, request, 20);
    assert_int_equal(receive(fd, got, sizeof(got), NULL), 32);
    assert_int_equal(got[1], 1); /* 0x0101: success */
    assert_int_equal(got[0], 1);
    assert_int_equal(getsockname(fd, &me.sa, &len), 0);
    assert_int_equal((((unsigned char)got[26] << 8) | (unsigned char)got[27]) ^ 0x2112,
                     addr_port(&me));
    fix_wait_stat(&f, keepalives, 1);
    fix_quiet(&f, FIX_MESSAGE, 0);
    close(fd);
    fix_stop(&f);
}

struct send_args {
    struct path path;
    size_t n;
    int err;
};

static void send_one(struct fix_worker *w, void *arg)
{
    struct send_args *a = arg;
    struct buf *b = buf_new(a->n ? a->n : 1);
    assert_non_null(b);
    memset(b->p, 'x', a->n);
    b->n = (uint32_t)a->n;
    a->err = net_send(w->net, &a->path, b);
    buf_unref(b);
}

/* RFC 3261 18.4: nobody is there. */
static void test_unreachable(void **state)
{
    (void)state;
    static const char *const hosts[] = {"127.0.0.1:0", "[::1]:0"};
    for (int i = 0; i < 2; i++) {
        struct fix f = {0};
        struct net_listener l;
        fix_listen(&l, TRANSPORT_UDP, hosts[i]);
        fix_start(&f, 1, &l, 1);
        struct send_args a = {.path = {.transport = TRANSPORT_UDP}, .n = 10};
        int fd = fix_udp(hosts[i]);
        socklen_t len = sizeof(a.path.remote);
        assert_int_equal(getsockname(fd, &a.path.remote.sa, &len), 0);
        close(fd); /* a port that is free now */
        fix_call(&f, 0, send_one, &a);
        check_err(a.err, 0);
        struct fix_event *e = fix_wait(&f, FIX_UNREACHABLE);
        assert_true(addr_eq(&e->path.remote, &a.path.remote));
        assert_int_equal(e->path.transport, TRANSPORT_UDP);
        fix_free(e);
        /* The socket still works, and the next message is not the one that fails. */
        fd = fix_udp(hosts[i]);
        assert_int_equal(getsockname(fd, &a.path.remote.sa, &len), 0);
        for (int k = 0; k < 3; k++) {
            char got[64];
            fix_call(&f, 0, send_one, &a);
            check_err(a.err, 0);
            assert_int_equal(receive(fd, got, sizeof(got), NULL), 10);
            struct addr to = fix_addr(&f, 0);
            send_to(fd, &to, "OPTIONS", 7);
            fix_free(fix_wait(&f, FIX_MESSAGE));
        }
        close(fd);
        fix_stop(&f);
    }
}

static void test_send_refused(void **state)
{
    (void)state;
    struct fix f = {0};
    struct net_listener l[2];
    fix_listen(&l[0], TRANSPORT_TCP, "127.0.0.1:0");
    fix_listen(&l[1], TRANSPORT_UDP, "127.0.0.1:0");
    fix_start(&f, 1, l, 2);
    struct send_args a = {.path = {.transport = TRANSPORT_UDP, .listener = 1}, .n = 65508};
    assert_int_equal(addr_parse_hostport(&a.path.remote, STR("127.0.0.1:9")), 0);
    fix_call(&f, 0, send_one, &a);
    check_err(a.err, ERR_UNSUPPORTED);
    a.n = 10;
    a.path.listener = 0; /* no UDP */
    fix_call(&f, 0, send_one, &a);
    check_err(a.err, ERR_CLOSED);
    a.path.listener = 77;
    fix_call(&f, 0, send_one, &a);
    check_err(a.err, ERR_CLOSED);
    a.path.local = fix_addr(&f, 1); /* a path from before a reload: found by its address */
    fix_call(&f, 0, send_one, &a);
    check_err(a.err, 0);
    assert_int_equal(addr_parse_hostport(&a.path.remote, STR("[::1]:9")), 0); /* no IPv6 socket */
    fix_call(&f, 0, send_one, &a);
    check_err(a.err, ERR_CLOSED);
    fix_stop(&f);
}

/* More than the socket's buffer holds, in one turn: nothing is lost as long as the queue has room.
 */
static void burst(struct fix_worker *w, void *arg)
{
    struct send_args *a = arg;
    for (int i = 0; i < 1000; i++) {
        struct buf *b = buf_new(1000);
        assert_non_null(b);
        memset(b->p, 'x', 1000);
        b->n = 1000;
        a->err |= net_send(w->net, &a->path, b);
        buf_unref(b);
    }
}

static void test_burst(void **state)
{
    (void)state;
    struct fix f = {0};
    struct net_listener l;
    char got[2000];
    fix_listen(&l, TRANSPORT_UDP, "127.0.0.1:0");
    fix_start(&f, 1, &l, 1);
    int fd = fix_udp("127.0.0.1:0");
    struct send_args a = {.path = {.transport = TRANSPORT_UDP}};
    socklen_t len = sizeof(a.path.remote);
    assert_int_equal(getsockname(fd, &a.path.remote.sa, &len), 0);
    fix_call(&f, 0, burst, &a);
    check_err(a.err, 0);
    fix_wait_stat(&f, msgs_out[TRANSPORT_UDP], 1000);
    assert_int_equal(receive(fd, got, sizeof(got), NULL), 1000);
    close(fd);
    fix_stop(&f);
}

/* What one turn sends to several places, in sizes that come in runs: all of it arrives whole, and
 * in order at each place, also where the kernel will not cut up large datagrams. */
#define PLACES 3
#define SENT 400

struct runs {
    struct path path[PLACES];
    uint32_t seed;
};

static uint32_t runs_next(uint32_t *seed)
{
    *seed = *seed * 1664525u + 1013904223u;
    return *seed >> 8;
}

/* The i-th of a series: where it goes, and how long it is. Few sizes, so that many neighbours are
 * alike. */
static void runs_pick(uint32_t *seed, unsigned *ret_place, size_t *ret_n)
{
    static const size_t sizes[] = {400, 400, 400, 401, 399, 20, 1200, 1201, 3000};
    *ret_place = runs_next(seed) % PLACES;
    *ret_n = sizes[runs_next(seed) % ARRAY_LEN(sizes)];
}

static void send_runs(struct fix_worker *w, void *arg)
{
    const struct runs *r = arg;
    uint32_t seed = r->seed;
    for (unsigned i = 0; i < SENT; i++) {
        unsigned place;
        size_t n;
        runs_pick(&seed, &place, &n);
        struct buf *b = buf_new(n);
        assert_non_null(b);
        memset(b->p, 'A' + (int)(i % 26), n);
        b->n = (uint32_t)n;
        check_err(net_send(w->net, &r->path[place], b), 0);
        buf_unref(b);
    }
}

/* The worker's socket, and checksums off: then the kernel refuses to cut (udp_send_skb). */
static void refuse_segments(const struct addr *bound)
{
    unsigned found = 0;
    for (int fd = 3; fd < 1024; fd++) {
        struct addr a = {.v4.sin_family = 0};
        socklen_t len = sizeof(a);
        int on = 1;
        if (getsockname(fd, &a.sa, &len) != 0 || !addr_eq(&a, bound))
            continue;
        assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_NO_CHECK, &on, sizeof(on)), 0);
        found++;
    }
    assert_int_equal(found, 1);
}

static void runs_at(const char *listen, const char *host, bool is_refused)
{
    struct fix f = {0};
    struct net_listener l;
    struct runs r = {.seed = 7};
    int fds[PLACES];
    static char got[4000];
    fix_listen(&l, TRANSPORT_UDP, listen);
    fix_start(&f, 1, &l, 1);
    struct addr bound = fix_addr(&f, 0), local;
    assert_int_equal(addr_parse(&local, str_z(host), addr_port(&bound)), 0);
    if (is_refused)
        refuse_segments(&bound);
    for (unsigned i = 0; i < PLACES; i++) {
        char at[64];
        socklen_t len = sizeof(r.path[i].remote);
        snprintf(at, sizeof(at), "%s:0", host);
        fds[i] = fix_udp(at);
        r.path[i] = (struct path){.transport = TRANSPORT_UDP, .local = local};
        assert_int_equal(getsockname(fds[i], &r.path[i].remote.sa, &len), 0);
    }
    for (unsigned round = 0; round < 10; round++) {
        uint32_t seed = ++r.seed;
        fix_call(&f, 0, send_runs, &r);
        for (unsigned i = 0; i < SENT; i++) {
            unsigned place;
            size_t n;
            struct addr from;
            runs_pick(&seed, &place, &n);
            assert_int_equal(receive(fds[place], got, sizeof(got), &from), n);
            assert_int_equal(got[0], 'A' + (int)(i % 26));
            assert_int_equal(got[n - 1], 'A' + (int)(i % 26));
            assert_true(addr_eq(&from, &local));
        }
    }
    fix_wait_stat(&f, msgs_out[TRANSPORT_UDP], 10 * SENT);
    for (unsigned i = 0; i < PLACES; i++)
        close(fds[i]);
    fix_stop(&f);
}

static void test_runs(void **state)
{
    (void)state;
    runs_at("127.0.0.1:0", "127.0.0.1", false);
    runs_at("[::1]:0", "[::1]", false);
    runs_at("0.0.0.0:0", "127.0.0.1", false);
    runs_at("[::]:0", "[::1]", false);
    runs_at("127.0.0.1:0", "127.0.0.1", true);
}

/* Runs to a port where nobody is: each is reported or dropped, and those to others arrive. */
static void test_runs_unreachable(void **state)
{
    (void)state;
    struct fix f = {0};
    struct net_listener l;
    struct runs r = {.seed = 3};
    char got[4000];
    unsigned want = 0, place;
    uint32_t seed = r.seed;
    size_t n;
    fix_listen(&l, TRANSPORT_UDP, "127.0.0.1:0");
    fix_start(&f, 1, &l, 1);
    int fd = fix_udp("127.0.0.1:0"), gone = fix_udp("127.0.0.1:0");
    for (unsigned i = 0; i < PLACES; i++) {
        socklen_t len = sizeof(r.path[i].remote);
        r.path[i].transport = TRANSPORT_UDP;
        assert_int_equal(getsockname(i ? gone : fd, &r.path[i].remote.sa, &len), 0);
    }
    close(gone);
    fix_call(&f, 0, send_runs, &r);
    for (unsigned i = 0; i < SENT; i++) {
        runs_pick(&seed, &place, &n);
        if (place)
            continue;
        assert_int_equal(receive(fd, got, sizeof(got), NULL), n);
        assert_int_equal(got[0], 'A' + (int)(i % 26));
        want++;
    }
    assert_true(want > 50);
    struct fix_event *e = fix_wait(&f, FIX_UNREACHABLE);
    assert_true(addr_eq(&e->path.remote, &r.path[1].remote));
    fix_free(e);
    close(fd);
    fix_stop(&f);
}

/* Several workers share one address; each datagram reaches exactly one. */
static void test_workers(void **state)
{
    (void)state;
    struct fix f = {.is_echo = true};
    struct net_listener l;
    bool seen[4] = {false};
    char got[64];
    fix_listen(&l, TRANSPORT_UDP, "127.0.0.1:0");
    fix_start(&f, 4, &l, 1);
    struct addr to = fix_addr(&f, 0);
    for (int i = 0; i < 64; i++) {
        int fd = fix_udp("127.0.0.1:0");
        send_to(fd, &to, "OPTIONS", 7);
        assert_int_equal(receive(fd, got, sizeof(got), NULL), 7);
        struct fix_event *e = fix_wait(&f, FIX_MESSAGE);
        seen[e->worker] = true;
        fix_free(e);
        close(fd);
    }
    for (int i = 0; i < 4; i++)
        assert_true(seen[i]);
    fix_quiet(&f, FIX_MESSAGE, 0);
    fix_stop(&f);
    assert_int_equal(f.n_stopped, 4);
}

/* Can the kernel be told which socket takes what? */
static bool can_steer(void)
{
    struct sock_filter f = BPF_STMT(BPF_RET | BPF_K, 0xffffffffu);
    struct sock_fprog p = {1, &f};
    int fd = socket(AF_INET, SOCK_DGRAM, 0), one = 1;
    bool can = setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof(one)) == 0 &&
               setsockopt(fd, SOL_SOCKET, SO_ATTACH_REUSEPORT_CBPF, &p, sizeof(p)) == 0;
    close(fd);
    return can;
}

/* Responses from one place come to the workers that they name; what names none, and everything that
 * is no response, comes to one of them. */
static void test_steered(void **state)
{
    (void)state;
    static const char *const starts[] = {"SIP/2.0 200 \r\nv:SIP/2.0/UDP h;branch=",
                                         "SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP 127.0.0.1:5060;branch=",
                                         "SIP/2.0 480 Temporarily unavailable\r\nVia: SIP/2.0/UDP [2001:db8::1234:5678]:5060;branch="};
    struct fix f = {.is_echo = true};
    struct net_listener l;
    char text[600], got[600];
    if (!can_steer())
        skip();
    fix_listen(&l, TRANSPORT_UDP, "127.0.0.1:0");
    fix_start(&f, 8, &l, 1);
    struct addr to = fix_addr(&f, 0);
    int fd = fix_udp("127.0.0.1:0");
    for (unsigned i = 0; i < 8 * 3; i++) {
        int n = snprintf(text, sizeof(text), "%smark0%u0000\r\n%0200u\r\n\r\n", starts[i % 3], i / 3, i);
        send_to(fd, &to, text, (size_t)n);
        assert_int_equal(receive(fd, got, sizeof(got), NULL), n);
        struct fix_event *e = fix_wait(&f, FIX_MESSAGE);
        assert_int_equal(e->worker, i / 3);
        fix_free(e);
    }
    static const char *const others[] = {"mark08", "mark2a", "markff", "mark0g", "markx", "", "marl01"};
    unsigned place = 8;
    for (unsigned i = 0; i < 2 * ARRAY_LEN(others); i++) {
        int n = snprintf(text, sizeof(text), "%s%s%0200u", i % 2 ? starts[1] : "OPTIONS sip:a SIP/2.0\r\n",
                         others[i / 2], i);
        send_to(fd, &to, text, (size_t)n);
        assert_int_equal(receive(fd, got, sizeof(got), NULL), n);
        struct fix_event *e = fix_wait(&f, FIX_MESSAGE);
        if (place == 8)
            place = e->worker;
        assert_int_equal(e->worker, place); /* the kernel's choice for these two ends */
        fix_free(e);
    }
    close(fd);
    fix_stop(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_echo_v4),     cmocka_unit_test(test_echo_v6),
        cmocka_unit_test(test_wildcard),    cmocka_unit_test(test_sizes),
        cmocka_unit_test(test_mixed_batch), cmocka_unit_test(test_kept),
        cmocka_unit_test(test_keepalives),  cmocka_unit_test(test_stun),
        cmocka_unit_test(test_unreachable), cmocka_unit_test(test_send_refused),
        cmocka_unit_test(test_burst),       cmocka_unit_test(test_workers),
        cmocka_unit_test(test_steered),
        cmocka_unit_test(test_runs),        cmocka_unit_test(test_runs_unreachable),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

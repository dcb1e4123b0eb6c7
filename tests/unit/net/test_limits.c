/* Limits in time and number: peers that are slow or silent, connections by source, handshakes under
 * way. */
#include "base/limits.h"
#include "net/net_priv.h"
#include "tls_fixture.h"
#include <poll.h>
#include <stdio.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

static struct tls_fix t;

static int setup(void **state)
{
    struct rlimit r;
    (void)state;
    tls_fix_init(&t);
    tls_fix_cert(&t, "a", "a.example");
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &r), 0);
    r.rlim_cur = r.rlim_max;
    return setrlimit(RLIMIT_NOFILE, &r);
}

static int teardown(void **state)
{
    (void)state;
    tls_fix_done(&t);
    return 0;
}

static uint64_t now_ms(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

/* Slow message, half-open TLS, half an upgrade: all end after their ten seconds, in parallel; one
 * that sends nothing but pings after thirty. */
static void test_slow_peers(void **state)
{
    (void)state;
    enum { N = 4 };
    struct fix f = {.is_echo = true};
    struct net_listener l[3];
    int fds[N + 1];
    fix_listen(&l[0], TRANSPORT_TCP, "127.0.0.1:0");
    fix_listen(&l[1], TRANSPORT_TLS, "127.0.0.1:0");
    fix_listen(&l[2], TRANSPORT_WS, "127.0.0.1:0");
    l[1].tls = tls_fix_server(&t, "a", "a.example", PKI_CLIENT_CERT_NONE, 0);
    fix_start(&f, 1, l, 3);
    pki_tls_server_unref(l[1].tls);
    struct addr tcp = fix_addr(&f, 0), tls = fix_addr(&f, 1), ws = fix_addr(&f, 2);
    log_catch();
    uint64_t begin = now_ms();
    fds[0] = fix_tcp(&tcp); /* a message that trickles in */
    fds[1] = fix_tcp(&tls); /* nothing */
    fds[2] = fix_tcp(&tls); /* a record that does not end */
    fds[3] = fix_tcp(&ws);
    fds[4] = fix_tcp(&tcp); /* only pings */
    fix_write_z(fds[0], "OPTIONS sip:a SIP/2.0\r\n");
    fix_write(fds[2], "\x16\x03\x01\x02\x00\x01", 6);
    fix_write_z(fds[3], "GET / HTTP/1.1\r\n");
    for (int i = 0; i < 18; i++) {
        fix_sleep(500);
        fix_write_z(fds[0], "a");
        fix_write_z(fds[4], "\r\n\r\n");
        fix_expect(fds[4], "\r\n");
        struct pollfd p = {.fd = fds[0], .events = POLLIN};
        assert_int_equal(poll(&p, 1, 0), 0); /* none has ended yet */
    }
    for (int i = 0; i < N; i++)
        fix_expect_eof(fds[i]);
    assert_in_range(now_ms() - begin, 9900, 12500);
    struct fix_event *e = fix_wait(&f, FIX_CLOSED); /* only the one that was open */
    assert_int_equal(e->why, NET_CLOSE_PROTOCOL);
    assert_string_equal(e->code, "conn-slow");
    fix_free(e);
    log_expect("tls-refused", "tls-timeout");
    log_release();
    fix_wait_stat(&f, conns_closed_slow, 1);
    fix_wait_stat(&f, handshakes_now, 0);
    while (now_ms() - begin < 29000) {
        fix_write_z(fds[4], "\r\n\r\n");
        fix_expect(fds[4], "\r\n");
        fix_sleep(500);
    }
    fix_expect_eof(fds[4]);
    assert_in_range(now_ms() - begin, 29900, 32000);
    e = fix_wait(&f, FIX_CLOSED);
    assert_int_equal(e->why, NET_CLOSE_IDLE);
    assert_string_equal(e->code, "conn-no-message");
    fix_free(e);
    for (int i = 0; i <= N; i++)
        close(fds[i]);
    fix_stop(&f);
}

/* --- numbers --- */

static struct source *take(struct sources *s, const char *from, unsigned max)
{
    struct addr a;
    assert_int_equal(addr_parse(&a, str_z(from), 1), 0);
    return sources_take(s, &a, max);
}

/* An IPv4 address counts for itself, also when it is written as IPv6; of IPv6 the first 64 bits. */
static void test_sources(void **state)
{
    (void)state;
    struct sources s;
    struct source *a[8];
    assert_int_equal(sources_init(&s, 3), 0);
    a[0] = take(&s, "192.0.2.1", 2);
    a[1] = take(&s, "::ffff:192.0.2.1", 2);
    assert_non_null(a[0]);
    assert_ptr_equal(a[0], a[1]);
    assert_null(take(&s, "192.0.2.1", 2));
    a[2] = take(&s, "192.0.2.2", 2);
    assert_non_null(a[2]);
    a[3] = take(&s, "2001:db8:0:1::1", 2);
    a[4] = take(&s, "2001:db8:0:1:ffff::2", 2);
    assert_non_null(a[3]);
    assert_ptr_equal(a[3], a[4]);
    assert_null(take(&s, "2001:db8:0:1::3", 2));
    assert_null(take(&s, "2001:db8:0:2::1", 2)); /* the table is full */
    sources_give(&s, a[2]);
    a[2] = take(&s, "2001:db8:0:2::1", 2);
    assert_non_null(a[2]);
    sources_give(&s, a[0]);
    a[1] = take(&s, "192.0.2.1", 2);
    assert_non_null(a[1]);
    sources_done(&s);
}

/* So many half-open handshakes that no more are begun; what is open goes on, and room is used as
 * soon as there is some. */
static void test_handshakes(void **state)
{
    (void)state;
    enum { N = LIMIT_HANDSHAKES_WORKER };
    struct fix f = {.is_echo = true, .is_silent = true};
    struct net_listener l;
    struct tls_peer p;
    static int fds[N];
    struct rlimit r;
    char msg[600], from[32];
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &r), 0);
    if (r.rlim_cur < 2 * N + 200)
        skip();
    fix_listen(&l, TRANSPORT_TLS, "127.0.0.1:0");
    l.tls = tls_fix_server(&t, "a", "a.example", PKI_CLIENT_CERT_NONE, 0);
    fix_start(&f, 1, &l, 1);
    pki_tls_server_unref(l.tls);
    struct addr to = fix_addr(&f, 0);
    size_t n = fix_options(msg, sizeof(msg), "c1", 10);
    log_catch();
    tls_peer_open(&p, &t, &to, "a.example", NULL, 0);
    for (int i = 0; i < N; i++) {
        snprintf(from, sizeof(from), "127.0.%d.1", 1 + i / 500);
        fds[i] = fix_tcp_from(&to, from);
    }
    fix_wait_stat(&f, handshakes_now, N);
    int fd = fix_tcp(&to);
    fix_expect_eof(fd);
    close(fd);
    fix_wait_stat(&f, conns_refused_full, 1);
    log_expect("conn-refused", "why=full");
    tls_peer_write(&p, msg, n);
    tls_peer_expect(&p, msg);
    tls_peer_done(&p);
    close(fds[0]);
    fix_wait_stat(&f, handshakes_now, N - 1);
    tls_peer_open(&p, &t, &to, "a.example", NULL, 0);
    tls_peer_write(&p, msg, n);
    tls_peer_expect(&p, msg);
    tls_peer_done(&p);
    for (int i = 1; i < N; i++)
        close(fds[i]);
    fix_wait_stat(&f, handshakes_now, 0);
    log_release();
    fix_stop(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sources),
        cmocka_unit_test(test_handshakes),
        cmocka_unit_test(test_slow_peers),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}

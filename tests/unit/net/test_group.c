/* Workers as a group: start and stop, all or nothing; reload of listeners and certificates under
 * open flows; messages between threads; no descriptors; no memory. */
#include "base/limits.h"
#include "base/mem.h"
#include "oom.h"
#include "tls_fixture.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

static struct tls_fix t;

static int setup(void **state)
{
    (void)state;
    tls_fix_init(&t);
    tls_fix_cert(&t, "a", "a.example");
    tls_fix_cert(&t, "b", "b.example");
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    tls_fix_done(&t);
    return 0;
}

/* --- start --- */

static void try_start(struct net_group_args *args, int want, const char *detail)
{
    struct net_group *g = NULL;
    struct reason reason = {0};
    check_err(net_group_start(args, &g, &reason), want);
    assert_null(g);
    if (!strstr(reason.detail, detail))
        fail_msg("'%s' is not in '%s'", detail, reason.detail);
}

static int failing_start(void *arg, struct net *net, struct net_user *ret_user)
{
    unsigned *n = arg;
    *ret_user = (struct net_user){0};
    __atomic_add_fetch(n, 1, __ATOMIC_RELAXED);
    return net->worker == 2 ? ERR_NOMEM : 0;
}

static void counting_stop(void *arg, struct net *net, void *user_arg)
{
    unsigned *n = arg;
    (void)net;
    (void)user_arg;
    __atomic_sub_fetch(n, 1, __ATOMIC_RELAXED);
}

static void test_start_fails(void **state)
{
    (void)state;
    struct net_listener l[3];
    unsigned running = 0;
    struct net_group_args args = {.n_workers = 4,
                                  .listeners = l,
                                  .n_listeners = 3,
                                  .worker_start = failing_start,
                                  .worker_stop = counting_stop,
                                  .arg = &running};
    fix_listen(&l[0], TRANSPORT_UDP, "127.0.0.1:0");
    fix_listen(&l[1], TRANSPORT_TCP, "127.0.0.1:0");
    fix_listen(&l[2], TRANSPORT_TCP, "192.0.2.1:0"); /* not ours */
    try_start(&args, ERR_NOMEM, "no-memory");
    assert_int_equal(running,
                     1); /* the three that came up were stopped, the failed one was not asked */
    running = 0;
    args.n_workers = 2;
    try_start(&args, ERR_IO, "TCP 192.0.2.1:0: Cannot assign");
    assert_int_equal(running, 0);
    /* An address in use, also by a socket that would share it */
    int one = 1, fd = socket(AF_INET, SOCK_DGRAM, 0);
    setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof(one));
    assert_int_equal(bind(fd, &l[0].addr.sa, addr_len(&l[0].addr)), 0);
    socklen_t len = sizeof(l[0].addr);
    assert_int_equal(getsockname(fd, &l[0].addr.sa, &len), 0);
    try_start(&args, ERR_IO, "UDP 127.0.0.1:");
    close(fd);
    args.n_workers = 0;
    try_start(&args, ERR_INVALID, "workers");
    args.n_workers = 1;
    fix_listen(&l[0], TRANSPORT_TLS, "127.0.0.1:0"); /* without a certificate */
    try_start(&args, ERR_INVALID, "certificate");
    assert_int_equal(running, 0);
}

/* --- stop --- */

struct farewell {
    struct path udp, tcp;
};

static void late_post(void *edge_worker, void *arg)
{
    (void)edge_worker;
    (void)arg;
    fail_msg("run after the edge has gone");
}

/* Each worker says something to everybody, by datagram and along the flow of one of them, and
 * posts. */
static void say_goodbye(struct fix_worker *w)
{
    struct farewell *a = w->f->arg;
    struct buf *b = buf_copy(STR("BYE"));
    assert_non_null(b);
    check_err(net_send(w->net, &a->udp, b), 0);
    check_err(net_send(w->net, &a->tcp, b), 0);
    buf_unref(b);
    for (unsigned i = 0; i < w->net->n_workers; i++)
        check_err(net_post(w->net, i, late_post, NULL), 0);
}

/* What the edge says in worker_stop still goes out, also along connections of other workers, which
 * are closed after it. */
static void test_last_words(void **state)
{
    (void)state;
    enum { N = 3 };
    struct farewell a = {0};
    struct fix f = {.on_stop = say_goodbye, .arg = &a};
    struct net_listener l[2];
    char msg[600], got[16];
    fix_listen(&l[0], TRANSPORT_UDP, "127.0.0.1:0");
    fix_listen(&l[1], TRANSPORT_TCP, "127.0.0.1:0");
    fix_start(&f, N, l, 2);
    struct addr tcp = fix_addr(&f, 1);
    int fd = fix_tcp(&tcp), udp = fix_udp("127.0.0.1:0");
    socklen_t len = sizeof(a.udp.remote);
    a.udp.transport = TRANSPORT_UDP;
    assert_int_equal(getsockname(udp, &a.udp.remote.sa, &len), 0);
    fix_options(msg, sizeof(msg), "c1", 3);
    fix_write_z(fd, msg);
    struct fix_event *e = fix_wait(&f, FIX_MESSAGE);
    a.tcp = e->path;
    fix_free(e);
    fix_stop(&f);
    assert_int_equal(f.n_stopped, N);
    for (int i = 0; i < N; i++) {
        fix_expect(fd, "BYE");
        assert_int_equal(recv(udp, got, sizeof(got), 0), 3);
    }
    fix_expect_eof(fd);
    close(fd);
    close(udp);
}

/* --- reload --- */

static int reload(struct fix *f, struct net_listener *l, size_t n, struct reason *reason)
{
    struct net_change *change;
    int err = net_group_prepare(f->g, l, n, &change, reason);
    if (err == 0)
        net_group_commit(change, NULL, NULL);
    return err;
}

static void exchange(int fd, struct fix *f, unsigned want_listener, flow_id *flow)
{
    char msg[600];
    fix_options(msg, sizeof(msg), "c1", 3);
    fix_write_z(fd, msg);
    fix_expect(fd, msg);
    struct fix_event *e = fix_wait(f, FIX_MESSAGE);
    assert_int_equal(e->path.listener, want_listener);
    if (flow && *flow)
        assert_int_equal(e->path.flow, *flow);
    if (flow)
        *flow = e->path.flow;
    fix_free(e);
}

static void test_reload(void **state)
{
    (void)state;
    struct fix f = {.is_echo = true};
    struct net_listener l[3], next[3];
    struct reason reason = {0};
    struct addr at[3];
    flow_id flow[2] = {0};
    char got[16];
    fix_listen(&l[0], TRANSPORT_UDP, "127.0.0.1:0");
    fix_listen(&l[1], TRANSPORT_TCP, "127.0.0.1:0");
    fix_listen(&l[2], TRANSPORT_TCP, "127.0.0.3:0");
    fix_start(&f, 3, l, 3);
    for (size_t i = 0; i < 3; i++)
        at[i] = fix_addr(&f, i);
    int one = fix_tcp(&at[1]), two = fix_tcp(&at[2]), udp = fix_udp("127.0.0.1:0");
    exchange(one, &f, 1, &flow[0]);
    exchange(two, &f, 2, &flow[1]);
    /* One listener goes, one comes, two change places. */
    next[0] = l[1];
    fix_listen(&next[1], TRANSPORT_TCP, "127.0.0.4:0");
    next[2] = l[0];
    check_err(reload(&f, next, 3, &reason), 0);
    struct addr now = fix_addr(&f, 0);
    assert_true(addr_eq(&now, &at[1]));
    exchange(one, &f, 0, &flow[0]); /* the same flows */
    exchange(two, &f, NET_LISTENER_GONE, &flow[1]);
    struct addr fresh = fix_addr(&f, 1);
    int three = fix_tcp(&fresh);
    exchange(three, &f, 1, NULL);
    assert_int_equal(sendto(udp, "OPTIONS", 7, 0, &at[0].sa, addr_len(&at[0])), 7);
    assert_int_equal(recv(udp, got, sizeof(got), 0), 7);
    struct fix_event *e = fix_wait(&f, FIX_MESSAGE);
    assert_int_equal(e->path.listener, 2);
    fix_free(e);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(connect(fd, &at[2].sa, addr_len(&at[2])), -1); /* closed */
    close(fd);
    /* What cannot be bound changes nothing. */
    fix_listen(&next[0], TRANSPORT_UDP, "192.0.2.1:5060");
    check_err(reload(&f, next, 3, &reason), ERR_IO);
    assert_non_null(strstr(reason.detail, "192.0.2.1:5060"));
    exchange(one, &f, 0, &flow[0]);
    fd = fix_tcp(&at[1]);
    exchange(fd, &f, 0, NULL);
    close(fd);
    /* Nor what is not wanted in the end: its address is free again. */
    struct net_change *change;
    fix_listen(&next[0], TRANSPORT_TCP, "127.0.0.5:5099");
    for (int i = 0; i < 2; i++) {
        check_err(net_group_prepare(f.g, next, 1, &change, &reason), 0);
        net_group_discard(change);
    }
    struct addr unused;
    check_err(addr_parse(&unused, STR("127.0.0.5"), 5099), 0);
    fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(connect(fd, &unused.sa, addr_len(&unused)), -1);
    close(fd);
    exchange(one, &f, 0, &flow[0]);
    /* Nothing at all is a configuration too. */
    check_err(reload(&f, NULL, 0, &reason), 0);
    exchange(one, &f, NET_LISTENER_GONE, &flow[0]);
    close(one);
    close(two);
    close(three);
    close(udp);
    fix_stop(&f);
}

static void test_reload_certificate(void **state)
{
    (void)state;
    struct fix f = {.is_echo = true};
    struct net_listener l;
    struct tls_peer p, q;
    struct reason reason = {0};
    char msg[600], cn[64];
    fix_listen(&l, TRANSPORT_TLS, "127.0.0.1:0");
    l.tls = tls_fix_server(&t, "a", "a.example", PKI_CLIENT_CERT_NONE, 0);
    fix_start(&f, 1, &l, 1);
    pki_tls_server_unref(l.tls);
    struct addr to = fix_addr(&f, 0);
    size_t n = fix_options(msg, sizeof(msg), "c1", 3);
    tls_peer_open(&p, &t, &to, NULL, NULL, 0);
    struct tls_peer half; /* a handshake that began before the reload and ends after it */
    tls_peer_init(&half, &t, &to, NULL, NULL, 0);
    fix_wait_stat(&f, handshakes_now, 1);
    l.tls = tls_fix_server(&t, "b", "b.example", PKI_CLIENT_CERT_NONE, 0);
    check_err(reload(&f, &l, 1, &reason), 0);
    pki_tls_server_unref(l.tls);
    tls_peer_open(&q, &t, &to, NULL, NULL, 0);
    X509 *cert = SSL_get1_peer_certificate(q.ssl);
    X509_NAME_get_text_by_NID(X509_get_subject_name(cert), NID_commonName, cn, sizeof(cn));
    assert_string_equal(cn, "b.example");
    X509_free(cert);
    assert_int_equal(SSL_connect(half.ssl), 1);
    struct tls_peer *all[] = {&p, &q, &half};
    for (int i = 0; i < 3; i++) { /* the old connection goes on */
        tls_peer_write(all[i], msg, n);
        tls_peer_expect(all[i], msg);
        tls_peer_done(all[i]);
    }
    fix_stop(&f);
}

/* Reloads under traffic lose nothing on open flows. */
static void test_reload_storm(void **state)
{
    (void)state;
    struct fix f = {.is_echo = true, .is_silent = true};
    struct net_listener l[2];
    struct reason reason;
    char msg[600];
    int fds[8];
    fix_listen(&l[0], TRANSPORT_TCP, "127.0.0.1:0");
    fix_listen(&l[1], TRANSPORT_UDP, "127.0.0.1:0");
    fix_start(&f, 2, l, 2);
    struct addr to = fix_addr(&f, 0);
    fix_options(msg, sizeof(msg), "c1", 3);
    for (int i = 0; i < 8; i++)
        fds[i] = fix_tcp(&to);
    for (int round = 0; round < 50; round++) {
        for (int i = 0; i < 8; i++)
            fix_write_z(fds[i], msg);
        check_err(reload(&f, l, round % 3 == 0 ? 1 : 2, &reason), 0);
        for (int i = 0; i < 8; i++)
            fix_expect(fds[i], msg);
    }
    for (int i = 0; i < 8; i++)
        close(fds[i]);
    fix_stop(&f);
}

/* --- messages between threads --- */

struct ring {
    struct fix *f;
    unsigned hops;
    unsigned left;
};

static void hop(void *edge_worker, void *arg)
{
    struct fix_worker *w = edge_worker;
    struct ring *r = arg;
    r->hops++;
    if (r->hops < 20000) {
        check_err(net_post(w->net, r->hops % w->net->n_workers, hop, r), 0); /* itself too */
        return;
    }
    pthread_mutex_lock(&r->f->lock);
    r->left = 0;
    pthread_cond_broadcast(&r->f->changed);
    pthread_mutex_unlock(&r->f->lock);
}

static void test_posts(void **state)
{
    (void)state;
    struct fix f = {0};
    struct ring r = {.f = &f, .left = 1};
    fix_start(&f, 3, NULL, 0);
    assert_int_equal(net_group_post(f.g, 7, hop, &r), ERR_NOTFOUND);
    assert_int_equal(net_group_post(f.g, 0, hop, &r), 0);
    pthread_mutex_lock(&f.lock);
    while (r.left)
        pthread_cond_wait(&f.changed, &f.lock);
    pthread_mutex_unlock(&f.lock);
    assert_int_equal(r.hops, 20000);
    fix_stop(&f);
}

/* --- clocks and timers --- */

struct timing {
    struct wheel_timer timer;
    struct fix_worker *w;
    struct fix *f;
    uint64_t started_us, fired_us, wall_s;
    bool is_done;
};

static void timer_fired(struct wheel_timer *timer)
{
    struct timing *tm = CONTAINER_OF(timer, struct timing, timer);
    tm->fired_us = net_now_us(tm->w->net);
    pthread_mutex_lock(&tm->f->lock);
    tm->is_done = true;
    pthread_cond_broadcast(&tm->f->changed);
    pthread_mutex_unlock(&tm->f->lock);
}

static void timer_begin(struct fix_worker *w, void *arg)
{
    struct timing *tm = arg;
    tm->w = w;
    tm->started_us = net_now_us(w->net);
    tm->wall_s = net_wall_s(w->net);
    wheel_timer_init(&tm->timer, timer_fired);
    wheel_start(w->net->wheel, &tm->timer, 50);
}

static void test_timer(void **state)
{
    (void)state;
    struct fix f = {0};
    fix_start(&f, 1, NULL, 0);
    for (int i = 0; i < 5; i++) {
        struct timing tm = {.f = &f};
        fix_sleep(
            (unsigned)i *
            30); /* an idle loop's clock stands still: the delay counts from now all the same */
        fix_call(&f, 0, timer_begin, &tm);
        pthread_mutex_lock(&f.lock);
        while (!tm.is_done)
            pthread_cond_wait(&f.changed, &f.lock);
        pthread_mutex_unlock(&f.lock);
        assert_in_range(tm.fired_us - tm.started_us, 49000, 500000);
        assert_in_range((uint64_t)time(NULL) - tm.wall_s, 0, 2);
    }
    fix_stop(&f);
}

/* --- out of descriptors --- */

static void test_no_descriptors(void **state)
{
    (void)state;
    struct fix f = {.is_echo = true};
    struct net_listener l;
    struct rlimit old, low;
    char msg[600];
    fix_listen(&l, TRANSPORT_TCP, "127.0.0.1:0");
    fix_start(&f, 1, &l, 1);
    struct addr to = fix_addr(&f, 0);
    int early = fix_tcp(&to);
    exchange(early, &f, 0, NULL);
    int late = socket(AF_INET, SOCK_STREAM, 0), used = dup(late);
    close(used);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
    low = old;
    low.rlim_cur = (rlim_t)used;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
    log_catch();
    assert_int_equal(connect(late, &to.sa, addr_len(&to)), 0); /* the kernel's backlog takes it */
    log_expect("accept-paused", "Too many open files");
    exchange(early, &f, 0, NULL); /* the rest works */
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
    fix_options(msg, sizeof(msg), "late", 3);
    fix_write_z(late, msg); /* accepted as soon as there is room */
    fix_expect(late, msg);
    log_release();
    close(early);
    close(late);
    fix_stop(&f);
}

/* --- out of memory --- */

struct scarce {
    size_t at;
    bool fired, rest;
};

static void make_scarce(struct fix_worker *w, void *arg)
{
    struct scarce *s = arg;
    (void)w;
    if (s->rest)
        fault_arm_rest(s->at);
    else
        fault_arm(s->at);
}

static void make_plenty(struct fix_worker *w, void *arg)
{
    struct scarce *s = arg;
    (void)w;
    s->fired = fault_disarm();
}

/* Every allocation of a worker fails in turn while each kind of connection is tried; afterwards it
 * serves as before. */
static void test_oom(void **state)
{
    (void)state;
    if (!fault_is_built())
        skip();
    struct fix f = {.is_echo = true, .is_silent = true};
    struct net_listener l[3];
    char msg[3000], got[64];
    fix_listen(&l[0], TRANSPORT_TCP, "127.0.0.1:0");
    fix_listen(&l[1], TRANSPORT_UDP, "127.0.0.1:0");
    fix_listen(&l[2], TRANSPORT_TLS, "127.0.0.1:0");
    l[2].tls = tls_fix_server(&t, "a", "a.example", PKI_CLIENT_CERT_NONE, 0);
    fix_start(&f, 1, l, 3);
    pki_tls_server_unref(l[2].tls);
    struct addr tcp = fix_addr(&f, 0), udp = fix_addr(&f, 1), tls = fix_addr(&f, 2);
    size_t n = fix_options(msg, sizeof(msg), "c1", 2300);
    log_catch();
    for (int rest = 0; rest < 2; rest++) {
        struct scarce s = {.fired = true, .rest = rest};
        for (s.at = 1; s.fired && s.at < 60; s.at++) {
            fix_call(&f, 0, make_scarce, &s);
            int fd = fix_tcp(&tcp);
            (void)send(fd, msg, 100, MSG_NOSIGNAL);
            fix_sleep(2);
            (void)send(fd, msg + 100, n - 100, MSG_NOSIGNAL);
            (void)send(fd, "\r\n\r\n", 4, MSG_NOSIGNAL);
            int d = fix_udp("127.0.0.1:0");
            for (int i = 0; i < 3; i++)
                (void)sendto(d, msg, n, 0, &udp.sa, addr_len(&udp));
            struct tls_peer p;
            tls_peer_init(&p, &t, &tls, "a.example", NULL, 0);
            size_t sent;
            if (SSL_connect(p.ssl) == 1)
                (void)SSL_write_ex(p.ssl, msg, n, &sent);
            fix_sleep(5);
            close(fd);
            close(d);
            tls_peer_done(&p);
            fix_sleep(2);
            fix_call(&f, 0, make_plenty, &s);
        }
        assert_false(s.fired);
    }
    log_release();
    int fd = fix_tcp(&tcp);
    fix_write(fd, msg, n);
    fix_expect(fd, msg);
    close(fd);
    int d = fix_udp("127.0.0.1:0");
    assert_int_equal(sendto(d, "OPTIONS", 7, 0, &udp.sa, addr_len(&udp)), 7);
    assert_int_equal(recv(d, got, sizeof(got), 0), 7);
    close(d);
    fix_wait_stat(&f, conns_open[TRANSPORT_TCP], 0);
    fix_wait_stat(&f, conns_open[TRANSPORT_TLS], 0);
    fix_stop(&f);
}

/* A group that cannot be made for want of memory leaves nothing behind. */
static void test_start_oom(void **state)
{
    (void)state;
    struct net_listener l[2];
    unsigned running = 0;
    struct net_group_args args = {.n_workers = 1,
                                  .listeners = l,
                                  .n_listeners = 2,
                                  .worker_start = failing_start,
                                  .worker_stop = counting_stop,
                                  .arg = &running};
    fix_listen(&l[0], TRANSPORT_UDP, "127.0.0.1:0");
    fix_listen(&l[1], TRANSPORT_TCP, "127.0.0.1:0");
    log_catch();
    OOM_SWEEP(200, {
        struct net_group *g;
        struct reason reason;
        if (net_group_start(&args, &g, &reason) == 0)
            net_group_stop(g);
    });
    log_release();
    assert_int_equal(running, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_start_fails),  cmocka_unit_test(test_last_words),
        cmocka_unit_test(test_reload),       cmocka_unit_test(test_reload_certificate),
        cmocka_unit_test(test_reload_storm), cmocka_unit_test(test_posts),
        cmocka_unit_test(test_timer),        cmocka_unit_test(test_no_descriptors),
        cmocka_unit_test(test_oom),          cmocka_unit_test(test_start_oom),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}

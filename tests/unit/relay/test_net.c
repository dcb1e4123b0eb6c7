/* Over real sockets of the loopback: ports, threads, commands from several of them, ICMP errors. */
#include "fixture.h"

#include "relay/relay_priv.h"
#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#define PATIENCE_MS 10000

struct peer {
    int fd;
    struct addr addr;
};
struct net {
    struct relay *relay;
    atomic_uint events[RELAY_EVENT_KINDS];
};
static struct net net;

static struct addr loopback(bool is_v6, uint16_t port)
{
    struct addr a;
    check_err(addr_parse(&a, str_z(is_v6 ? "::1" : "127.0.0.1"), port), 0);
    return a;
}

static struct peer peer_open(bool is_v6)
{
    struct peer p = {.addr = loopback(is_v6, 0)};
    socklen_t len = sizeof(p.addr);
    p.fd = socket(p.addr.sa.sa_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    assert_true(p.fd >= 0);
    assert_int_equal(bind(p.fd, &p.addr.sa, addr_len(&p.addr)), 0);
    assert_int_equal(getsockname(p.fd, &p.addr.sa, &len), 0);
    return p;
}

static void peer_send(const struct peer *p, const struct addr *to, uint16_t seq)
{
    uint8_t rtp[172] = {0x80, 0};
    rtp_put16(rtp + 2, seq);
    rtp_put32(rtp + 8, 77);
    assert_int_equal(sendto(p->fd, rtp, sizeof(rtp), 0, &to->sa, addr_len(to)), sizeof(rtp));
}

/* The sequence number of what comes; -1: nothing in this time. */
static int peer_take(const struct peer *p, int ms)
{
    uint8_t rtp[2048];
    struct pollfd pfd = {.fd = p->fd, .events = POLLIN};
    if (poll(&pfd, 1, ms) != 1)
        return -1;
    ssize_t n = recv(p->fd, rtp, sizeof(rtp), 0);
    assert_int_equal(n, 172);
    return rtp_get16(rtp + 2);
}

static void on_event(void *arg, uint64_t cookie, const struct relay_event *event)
{
    struct net *n = arg;
    (void)cookie;
    (void)atomic_fetch_add(&n->events[event->kind], 1);
}

static void net_start(bool is_v6, unsigned n_workers, unsigned silent_ms)
{
    struct relay_config config = {.n_workers = n_workers,
                                  .n_at = 1,
                                  .port_min = 30000,
                                  .port_max = 39999,
                                  .wait_us = 300,
                                  .silent_ms = silent_ms,
                                  .user = {&net, on_event}};
    struct reason why = {0};
    memset(&net, 0, sizeof(net));
    config.at[0].local = loopback(is_v6, 0);
    check_err(relay_new(&config, &net.relay, &why), 0);
}

static void wait_until(bool (*is_so)(const void *arg), const void *arg)
{
    for (unsigned ms = 0; !is_so(arg); ms++) {
        if (ms > PATIENCE_MS)
            fail_msg("it does not come");
        (void)nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    }
}

struct leg {
    struct relay_end *end;
    struct peer peer;
    struct addr rtp, rtcp;
};
static struct leg leg_open(struct relay_call *call, bool is_v6)
{
    struct leg l = {.peer = peer_open(is_v6)};
    struct relay_end_args args = {.needs_rtcp = true};
    struct relay_end_setting s = {.rtp = l.peer.addr, .sends = true, .receives = true};
    check_err(relay_end_new(call, &args, &l.end, NULL), 0);
    relay_end_local(l.end, &l.rtp, &l.rtcp);
    relay_end_set(l.end, &s);
    return l;
}

static bool has_passed(const void *arg)
{
    struct relay_end_stats s;
    relay_end_stats(arg, &s);
    return s.in.packets == 199 && s.out.packets == 199;
}

static void passes(bool is_v6)
{
    struct relay_call *call;
    net_start(is_v6, 2, 0);
    check_err(relay_call_new(net.relay, &call), 0);
    struct leg a = leg_open(call, is_v6), b = leg_open(call, is_v6);
    relay_join(a.end, b.end);
    for (uint16_t i = 1; i < 200; i++) {
        peer_send(&a.peer, &a.rtp, i);
        peer_send(&b.peer, &b.rtp, (uint16_t)(1000 + i));
        assert_int_equal(peer_take(&b.peer, PATIENCE_MS), i);
        assert_int_equal(peer_take(&a.peer, PATIENCE_MS), 1000 + i);
    }
    wait_until(has_passed, a.end);
    relay_call_free(call);
    relay_free(net.relay);
    (void)close(a.peer.fd);
    (void)close(b.peer.fd);
}

static void passes_v4(void **state)
{
    (void)state;
    passes(false);
}
static void passes_v6(void **state)
{
    (void)state;
    passes(true);
}

static bool has_taken_19(const void *arg)
{
    struct relay_end_stats s;
    relay_end_stats(arg, &s);
    return s.in.packets == 19;
}
static bool has_silence(const void *arg)
{
    (void)arg;
    return atomic_load(&net.events[RELAY_EVENT_SILENT]) == 2; /* both ends */
}

/* The peer's port closes: ICMP errors come back. It opens again: all is as before. */
static void icmp_ends_nothing(void **state)
{
    (void)state;
    struct relay_call *call;
    net_start(false, 1, 300);
    check_err(relay_call_new(net.relay, &call), 0);
    struct leg a = leg_open(call, false), b = leg_open(call, false);
    relay_join(a.end, b.end);
    peer_send(&a.peer, &a.rtp, 1);
    assert_int_equal(peer_take(&b.peer, PATIENCE_MS), 1);
    (void)close(b.peer.fd);
    for (uint16_t i = 2; i < 20; i++)
        peer_send(&a.peer, &a.rtp, i);
    wait_until(has_taken_19, a.end);
    b.peer.fd = socket(AF_INET, SOCK_DGRAM, 0);
    assert_int_equal(bind(b.peer.fd, &b.peer.addr.sa, addr_len(&b.peer.addr)), 0);
    peer_send(&a.peer, &a.rtp, 21);
    assert_int_equal(peer_take(&b.peer, PATIENCE_MS), 21);
    peer_send(&b.peer, &b.rtp, 22);
    assert_int_equal(peer_take(&a.peer, PATIENCE_MS), 22);
    wait_until(has_silence, NULL);
    relay_end_free(b.end);
    relay_call_free(call);
    relay_free(net.relay);
    (void)close(a.peer.fd);
    (void)close(b.peer.fd);
}

static void sealed_send(struct media_srtp *tx, const struct peer *p, const struct addr *to,
                        uint16_t seq)
{
    uint8_t rtp[RTP_BYTES + MEDIA_SRTP_GROWTH];
    size_t n = RTP_BYTES;
    fixture_rtp(rtp, 1, seq);
    check_err(media_srtp_protect(tx, rtp, &n, sizeof(rtp)), 0);
    assert_int_equal(sendto(p->fd, rtp, n, 0, &to->sa, addr_len(to)), n);
}

static bool is_alone(const struct relay_end *e)
{
    return __atomic_load_n(&e->port[KEYING_RTP].is_alone, __ATOMIC_RELAXED);
}

/* Once it is settled where a peer is, others are not heard, not even by the kernel; when it has
 * been silent, it may have moved: what is authentic is heard from anywhere again. */
static void peer_moves(void **state)
{
    (void)state;
    struct relay_call *call;
    struct media_srtp *tx = fixture_srtp(MEDIA_SRTP_SEND, KEYING_AES_128_GCM, 1);
    uint16_t seq = 1;
    net_start(false, 1, 0);
    check_err(relay_call_new(net.relay, &call), 0);
    struct leg a = leg_open(call, false), b = leg_open(call, false);
    struct peer moved = peer_open(false), stranger = peer_open(false);
    struct relay_end_setting s = {
        .protection = RELAY_PROTECT, .rtp = a.peer.addr, .sends = true, .receives = true};
    relay_join(a.end, b.end);
    relay_end_set(a.end, &s);
    fixture_install(a.end, 1u << KEYING_RTP, false, false, KEYING_AES_128_GCM, 1);
    for (; seq < 5; seq++) {
        sealed_send(tx, &a.peer, &a.rtp, seq);
        assert_int_equal(peer_take(&b.peer, PATIENCE_MS), seq);
    }
    /* Soon the port is not asked any more where its packets come from. */
    for (unsigned ms = 0; !is_alone(a.end); ms++, seq++) {
        assert_true(ms < PATIENCE_MS);
        sealed_send(tx, &a.peer, &a.rtp, seq);
        assert_int_equal(peer_take(&b.peer, PATIENCE_MS), seq);
        (void)nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    }
    peer_send(&stranger, &a.rtp, 1000); /* before the next, and without effect */
    sealed_send(tx, &a.peer, &a.rtp, seq);
    assert_int_equal(peer_take(&b.peer, PATIENCE_MS), seq);
    seq++;
    int got = -1;
    for (unsigned tries = 0; got < 0 && tries < 200; tries++, seq++) {
        sealed_send(tx, &moved, &a.rtp, seq);
        got = peer_take(&b.peer, 50);
    }
    assert_true(got > 0);
    struct relay_end_stats st;
    relay_end_stats(a.end, &st);
    assert_true(addr_eq(&st.remote, &moved.addr));
    assert_true(st.is_latched);
    assert_false(is_alone(a.end));
    relay_call_free(call);
    relay_free(net.relay);
    media_srtp_free(tx);
    (void)close(a.peer.fd);
    (void)close(b.peer.fd);
    (void)close(moved.fd);
    (void)close(stranger.fd);
}

/* Calls come and go on two threads while packets flow. */
static void *coming_and_going(void *arg)
{
    unsigned *n_done = arg;
    for (unsigned i = 0; i < 200; i++) {
        struct relay_call *call;
        if (relay_call_new(net.relay, &call) != 0)
            return NULL;
        struct leg a = leg_open(call, false), b = leg_open(call, false);
        relay_join(a.end, b.end);
        peer_send(&a.peer, &a.rtp, 1);
        bool passed = peer_take(&b.peer, PATIENCE_MS) == 1;
        peer_send(&a.peer, &a.rtp, 2); /* on its way while all goes */
        if (i % 3 == 0)
            relay_end_free(a.end);
        if (i % 5 == 0)
            relay_join(b.end, NULL);
        if (i % 2 == 0)
            relay_call_free(call);
        (void)close(a.peer.fd);
        (void)close(b.peer.fd);
        if (!passed)
            return NULL;
        *n_done += 1;
    }
    return NULL;
}

static bool is_half_gone(const void *arg)
{
    struct relay_stats s;
    (void)arg;
    relay_stats(net.relay, &s);
    return s.calls == 200;
}

static void many_threads(void **state)
{
    (void)state;
    pthread_t thread[2];
    unsigned n_done[2] = {0};
    net_start(false, 2, 0);
    for (unsigned i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&thread[i], NULL, coming_and_going, &n_done[i]), 0);
    for (unsigned i = 0; i < 2; i++)
        assert_int_equal(pthread_join(thread[i], NULL), 0);
    assert_int_equal(n_done[0] + n_done[1], 400);
    wait_until(is_half_gone, NULL);
    relay_free(net.relay); /* ends the others */
}

static void refuses(void **state)
{
    (void)state;
    struct relay_config config = {.n_workers = 1, .n_at = 1, .port_min = 30000, .port_max = 30001};
    struct relay *relay;
    struct relay_call *call;
    struct relay_end *a, *b;
    struct relay_end_args args = {0};
    struct reason why = {0};
    check_err(relay_new(&config, &relay, &why), ERR_INVALID);
    check_err(addr_parse(&config.at[0].local, STR("192.0.2.1"), 0), 0);
    check_err(relay_new(&config, &relay, &why), ERR_IO);
    assert_string_equal(why.code, "media-bind");
    assert_non_null(strstr(why.detail, "192.0.2.1"));
    config.at[0].local = loopback(false, 0);
    config.port_min = 30001;
    check_err(relay_new(&config, &relay, &why), ERR_INVALID);
    config.port_min = 30000;
    check_err(relay_new(&config, &relay, &why), 0);
    check_err(relay_call_new(relay, &call), 0);
    /* Another program has the port. */
    struct addr taken = loopback(false, 30000);
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    assert_int_equal(bind(fd, &taken.sa, addr_len(&taken)), 0);
    check_err(relay_end_new(call, &args, &a, &why), ERR_LIMIT);
    (void)close(fd);
    check_err(relay_end_new(call, &args, &a, &why), 0);
    check_err(relay_end_new(call, &args, &b, &why), ERR_LIMIT);
    relay_free(relay);
}

/* The system has no descriptor left: said as such, and counted; nothing is left behind. */
static void without_descriptors(void **state)
{
    (void)state;
    struct relay_end_args args = {.needs_rtcp = true};
    struct relay_call *call;
    struct relay_end *end;
    struct relay_stats st;
    struct rlimit before, few;
    struct reason why = {0};
    int fd;

    net_start(false, 1, 0);
    check_err(relay_call_new(net.relay, &call), 0);
    fd = dup(0); /* the lowest that is free */
    assert_true(fd >= 0);
    (void)close(fd);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    few = before;
    few.rlim_cur = (rlim_t)fd + 1; /* RTP's, not RTCP's */
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
    check_err(relay_end_new(call, &args, &end, &why), ERR_LIMIT);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    assert_string_equal(why.code, "media-descriptors");
    assert_int_equal(why.sip_status, 503);
    relay_stats(net.relay, &st);
    assert_int_equal(st.refused[RELAY_REFUSED_DESCRIPTORS], 1);
    assert_int_equal(st.sockets + st.ports_used, 0);
    check_err(relay_end_new(call, &args, &end, &why), 0);
    relay_free(net.relay);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(passes_v4),           cmocka_unit_test(passes_v6),
        cmocka_unit_test(icmp_ends_nothing),   cmocka_unit_test(peer_moves),
        cmocka_unit_test(many_threads),        cmocka_unit_test(refuses),
        cmocka_unit_test(without_descriptors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

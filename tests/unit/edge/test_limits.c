/* Limits of peers hold for all workers together: threads that take and give at once never have more
 * than max-calls, and none is left over; of requests they have a second's worth together; a reload
 * frees the places of peers that are no more, and of nobody who has calls; real workers that read
 * one peer's INVITEs from many addresses let as many pass as one would. TR/100 6.2. */
#include "check.h"
#include "edge/edge.h"
#include "edge/edge_worker.h"
#include "edge/peers/limits.h"
#include "edge/peers/peers.h"
#include "folder.h"
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define THREADS 4
#define ROUNDS 20000
#define MAX_CALLS 3u

static struct config_peer peer_named(const char *name, unsigned max_calls)
{
    return (struct config_peer){.name = str_z(name), .max_calls = max_calls};
}

static void table_new(struct edge *e)
{
    *e = (struct edge){.peers = peer_states_new()};
    assert_non_null(e->peers);
}

/* ---- counting ---- */

static void test_take_and_give(void **state)
{
    struct config_peer one = peer_named("one", 2), free_one = peer_named("free", 0);
    struct peer_state *a, *b, *c;
    struct edge e;

    (void)state;
    table_new(&e);
    assert_true(peer_calls_take(&e, &one, false, &a));
    assert_true(peer_calls_take(&e, &one, false, &b));
    assert_ptr_equal(a, b);
    assert_false(peer_calls_take(&e, &one, false, &c));
    assert_null(c);
    assert_true(peer_calls_take(&e, &one, true, &c)); /* for help */
    assert_int_equal(peer_calls(&e, &one), 3);
    peer_calls_give(c);
    assert_false(peer_calls_take(&e, &one, false, &c));
    peer_calls_give(a);
    assert_true(peer_calls_take(&e, &one, false, &a));
    for (unsigned i = 0; i < 10; i++)
        assert_true(peer_calls_take(&e, &free_one, false, &c)); /* no limit: counted all the same */
    assert_int_equal(peer_calls(&e, &free_one), 10);
    peer_calls_give(NULL);
    peer_states_free(e.peers);
}

static struct edge shared;
static unsigned now_taken, most_taken, refused;

static void *hammer(void *arg)
{
    struct config_peer p = peer_named("busy", MAX_CALLS);
    struct peer_state *at[2];

    (void)arg;
    for (unsigned i = 0; i < ROUNDS; i++)
        for (unsigned k = 0; k < 2; k++) { /* one is held while the other is asked for */
            unsigned n, most;

            if (!peer_calls_take(&shared, &p, false, &at[k])) {
                (void)__atomic_fetch_add(&refused, 1, __ATOMIC_RELAXED);
            } else {
                n = __atomic_add_fetch(&now_taken, 1, __ATOMIC_SEQ_CST);
                most = __atomic_load_n(&most_taken, __ATOMIC_RELAXED);
                while (n > most && !__atomic_compare_exchange_n(&most_taken, &most, n, true,
                                                                __ATOMIC_RELAXED, __ATOMIC_RELAXED))
                    ;
            }
            if (k == 1)
                for (unsigned j = 0; j < 2; j++)
                    if (at[j]) {
                        (void)__atomic_fetch_sub(&now_taken, 1, __ATOMIC_SEQ_CST);
                        peer_calls_give(at[j]);
                    }
        }
    return NULL;
}

static void test_threads(void **state)
{
    struct config_peer p = peer_named("busy", MAX_CALLS);
    struct config other = {0};
    pthread_t t[THREADS];

    (void)state;
    table_new(&shared);
    for (unsigned i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&t[i], NULL, hammer, NULL), 0);
    for (unsigned i = 0; i < 100; i++)
        peer_states_sweep(shared.peers, &other); /* reloads that take the peer out meanwhile */
    for (unsigned i = 0; i < THREADS; i++)
        assert_int_equal(pthread_join(t[i], NULL), 0);
    assert_true(most_taken > 0 && most_taken <= MAX_CALLS);
    assert_int_equal(peer_calls(&shared, &p), 0);
    peer_states_free(shared.peers);
}

/* ---- requests ---- */

static void test_requests(void **state)
{
    struct config_peer p = peer_named("p", 0), none = peer_named("none", 0);
    struct peer_state s;
    uint64_t now = 5000000;
    struct edge e;

    (void)state;
    log_threshold = LOG_ERROR;
    table_new(&e);
    p.max_requests = 10;
    for (unsigned i = 0; i < 10; i++)
        assert_true(peer_requests_take(&e, &p, now)); /* a second's worth at once */
    assert_false(peer_requests_take(&e, &p, now));
    assert_false(peer_requests_take(&e, &p, now + 99999));
    assert_true(peer_requests_take(&e, &p, now + 100000)); /* and one each tenth of a second */
    assert_false(peer_requests_take(&e, &p, now + 100000));
    assert_false(peer_requests_take(&e, &p, now)); /* a worker whose clock is a moment behind */
    peer_state_read(peer_state_get(&e, &p), &s);
    assert_int_equal(s.refused, 4);
    assert_int_equal(s.bursts, 1); /* that many lines in the log */
    now += 3000000;
    for (unsigned i = 0; i < 10; i++)
        assert_true(peer_requests_take(&e, &p, now));
    assert_false(peer_requests_take(&e, &p, now));
    assert_false(peer_requests_take(&e, &p, now));
    peer_state_read(peer_state_get(&e, &p), &s);
    assert_int_equal(s.bursts, 2);
    p.max_requests = 1; /* a reload: what was taken counts */
    assert_false(peer_requests_take(&e, &p, now + 500000));
    assert_true(peer_requests_take(&e, &p, now + 1000000));
    assert_false(peer_requests_take(&e, &p, now + 1999999));
    for (unsigned i = 0; i < 1000; i++)
        assert_true(peer_requests_take(&e, &none, now));
    peer_states_free(e.peers);
}

static unsigned n_passed;

static void *flood(void *arg)
{
    struct config_peer p = peer_named("flood", 0);

    (void)arg;
    p.max_requests = 1000;
    for (unsigned i = 0; i < ROUNDS; i++)
        if (peer_requests_take(&shared, &p, 7000000 + i)) /* 20 ms, as each worker has them */
            (void)__atomic_fetch_add(&n_passed, 1, __ATOMIC_RELAXED);
    return NULL;
}

static void test_flood(void **state)
{
    pthread_t t[THREADS];

    (void)state;
    table_new(&shared);
    for (unsigned i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&t[i], NULL, flood, NULL), 0);
    for (unsigned i = 0; i < THREADS; i++)
        assert_int_equal(pthread_join(t[i], NULL), 0);
    assert_in_range(n_passed, 1000,
                    1000 + ROUNDS / 1000); /* a second's worth, and 1 a millisecond */
    peer_states_free(shared.peers);
}

/* ---- places ---- */

static void test_places(void **state)
{
    struct config_peer kept = peer_named("kept", 1), gone = peer_named("gone", 1),
                       busy = peer_named("busy", 1);
    struct config cfg = {.peers = &kept, .n_peers = 1};
    struct peer_state *at, *held;
    char name[32];
    struct edge e;

    (void)state;
    table_new(&e);
    assert_true(peer_calls_take(&e, &busy, false, &held));
    assert_true(peer_state_set(&e, &kept, true, NULL, 7));
    assert_true(peer_state_set(&e, &gone, false, "silent", 7));
    for (unsigned round = 0; round < 4; round++) { /* more names than there are places, by and by */
        for (unsigned i = 0; i < LIMIT_PEER_STATES - 3; i++) {
            struct config_peer p;

            snprintf(name, sizeof name, "p%u-%u", round, i);
            p = peer_named(name, 1);
            assert_non_null(peer_state_get(&e, &p));
        }
        assert_non_null(peer_state_get(&e, &gone));
        {
            struct config_peer late = peer_named("late", 1), unlimited = peer_named("later", 0);

            assert_false(peer_calls_take(&e, &late, false, &at)); /* no place, and a limit */
            assert_true(peer_calls_take(&e, &unlimited, false, &at));
            assert_null(at);
        }
        peer_states_sweep(e.peers, &cfg);
        assert_int_equal(peer_calls(&e, &busy), 1); /* in no configuration, but it has a call */
    }
    assert_false(peer_calls_take(&e, &busy, false, &at));
    assert_int_equal(peer_state_get(&e, &kept)->health, PEER_UP);
    assert_int_equal(peer_state_get(&e, &gone)->health, PEER_UNKNOWN);
    peer_calls_give(held);
    peer_states_sweep(e.peers, &cfg);
    assert_true(peer_calls_take(&e, &busy, false, &held));
    peer_states_free(e.peers);
}

/* ---- workers ---- */

#define SENDERS 24u

static char folder[] = "/tmp/limits.XXXXXX";
static struct edge *edge;
static struct addr at, gateway_at;
static int gateway = -1, senders[SENDERS];

static int socket_new(struct addr *ret)
{
    socklen_t len = sizeof *ret;
    int fd = socket(AF_INET, SOCK_DGRAM, 0);

    assert_int_equal(addr_parse(ret, STR("127.0.0.1"), 0), 0);
    assert_int_equal(bind(fd, &ret->sa, addr_len(ret)), 0);
    assert_int_equal(getsockname(fd, &ret->sa, &len), 0);
    return fd;
}

static int set_up(void **state)
{
    struct reason why = {0};
    struct config *cfg;
    struct addr own;
    char text[1024];
    int n, fd;

    (void)state;
    log_threshold = LOG_ERROR;
    assert_non_null(mkdtemp(folder));
    gateway = socket_new(&gateway_at);
    fd = socket_new(&at);
    close(fd);
    n = snprintf(text, sizeof text,
                 "state-dir = \"%s\"\nworkers = 3\n"
                 "domain \"example.com\" { unknown-users = \"gateway\" }\n"
                 "listen \"udp:127.0.0.1:%u\" { allow-clear = yes }\n"
                 "peer \"caller\" { kind = site allow-sources = {\"127.0.0.1\"} allow-clear = yes "
                 "max-calls = %u }\n"
                 "peer \"gateway\" { kind = gateway next-hop = \"sip:127.0.0.1:%u\" "
                 "allow-clear = yes max-calls = 100 }\n",
                 folder, addr_port(&at), MAX_CALLS, addr_port(&gateway_at));
    assert_int_equal(config_parse(str_make(text, (size_t)n), NULL, NULL, &cfg), 0);
    if (edge_start(cfg, &edge, &why) != 0) {
        print_error("%s: %s\n", why.code ? why.code : "", why.detail);
        return -1;
    }
    config_unref(cfg);
    for (unsigned i = 0; i < SENDERS; i++) {
        senders[i] = socket_new(&own);
        assert_int_equal(connect(senders[i], &at.sa, addr_len(&at)), 0);
    }
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    edge_stop(edge, 0);
    close(gateway);
    for (unsigned i = 0; i < SENDERS; i++)
        close(senders[i]);
    return folder_remove(folder);
}

static void send_invite(unsigned i)
{
    struct addr own;
    socklen_t len = sizeof own;
    char text[1024];
    int n;

    assert_int_equal(getsockname(senders[i], &own.sa, &len), 0);
    n = snprintf(text, sizeof text,
                 "INVITE sip:%u@example.com SIP/2.0\r\n"
                 "Via: SIP/2.0/UDP 127.0.0.1:%u;branch=z9hG4bK%u\r\nMax-Forwards: 70\r\n"
                 "From: <sip:1@site.example>;tag=a%u\r\nTo: <sip:%u@example.com>\r\n"
                 "Call-ID: call-%u\r\nCSeq: 1 INVITE\r\n"
                 "Contact: <sip:1@127.0.0.1:%u>\r\nContent-Length: 0\r\n\r\n",
                 i, addr_port(&own), i, i, i, i, addr_port(&own));
    assert_int_equal(send(senders[i], text, (size_t)n, 0), n);
}

/* The first response that says something; 0: none within the time. */
static unsigned response(unsigned i, int wait_ms)
{
    struct pollfd p = {.fd = senders[i], .events = POLLIN};
    char text[4096];
    unsigned status = 0;

    while (poll(&p, 1, wait_ms) == 1) {
        ssize_t n = recv(senders[i], text, sizeof text - 1, 0);

        assert_true(n > 12);
        text[n] = 0;
        if ((status = (unsigned)atoi(text + 8)) > 100)
            break;
    }
    return status;
}

/* What the gateway is sent, each call once; each is refused when `status` says so. */
static unsigned gateway_answers(unsigned n_expected, unsigned status)
{
    struct pollfd p = {.fd = gateway, .events = POLLIN};
    char text[4096], out[8192], seen[SENDERS] = {0};
    unsigned n = 0, call;

    while (n < n_expected && poll(&p, 1, 20000) == 1) {
        ssize_t len = recv(gateway, text, sizeof text - 1, 0);
        char *id, *rest;

        assert_true(len > 0);
        text[len] = 0;
        if (strncmp(text, "INVITE", 6) != 0 || (id = strstr(text, "Call-ID: call-")) == NULL)
            continue;
        call = (unsigned)atoi(id + 14);
        assert_true(call < SENDERS);
        if (seen[call])
            continue;
        seen[call] = 1;
        n++;
        rest = strstr(text, "\r\n");
        snprintf(out, sizeof out, "SIP/2.0 %u Said%s", status, rest);
        assert_true(sendto(gateway, out, strlen(out), 0, &at.sa, addr_len(&at)) > 0);
    }
    return n;
}

static unsigned workers_that_read(void)
{
    unsigned n = 0;

    for (unsigned i = 0; i < edge->n_workers; i++)
        n += __atomic_load_n(&edge->workers[i]->counters[EC_REQUESTS], __ATOMIC_RELAXED) > 0;
    return n;
}

static void test_workers(void **state)
{
    const struct config_peer *caller = config_peer_find(edge->cfg, STR("caller"));
    unsigned passed = 0, said_no = 0, status;

    (void)state;
    for (unsigned i = 0; i < SENDERS; i++)
        send_invite(i);
    assert_int_equal(gateway_answers(MAX_CALLS, 180), MAX_CALLS);
    for (unsigned i = 0; i < SENDERS; i++) {
        status = response(i, 20000);
        passed += status == 180;
        said_no += status == 503;
    }
    assert_true(workers_that_read() > 1);
    assert_int_equal(passed, MAX_CALLS);
    assert_int_equal(said_no, SENDERS - MAX_CALLS);
    assert_int_equal(peer_calls(edge, caller), MAX_CALLS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_take_and_give),
        cmocka_unit_test(test_threads),
        cmocka_unit_test(test_requests),
        cmocka_unit_test(test_flood),
        cmocka_unit_test(test_places),
        cmocka_unit_test_setup_teardown(test_workers, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Two ends of DTLS-SRTP and a network between them that loses, doubles, reorders and cuts.
 * OpenSSL's timers run on the system's clock, so the tests wait in real time, with short timers. */
#ifndef TESTS_UNIT_KEYING_DTLS_NET_H
#define TESTS_UNIT_KEYING_DTLS_NET_H

#include "keying/dtls.h"
#include "keying_fixture.h"
#include <stdlib.h>
#include <time.h>

#define NET_MAX 512

struct end {
    struct keying_medium *m;
    struct keying_policy policy;
    struct keying_wish wish;
    struct rand_source rand;
    struct addr addr; /* where its packets come from */
    uint64_t skew_ms; /* so far its clock is ahead */
    struct keying_keys send[KEYING_PATHS], receive[KEYING_PATHS];
    uint8_t send_paths, receive_paths; /* of all installs together */
    unsigned n_send, n_receive, n_facts, n_rekey, n_failed, n_datagrams;
    unsigned n_before_keys; /* datagrams that have left before it had keys */
    struct reason failure;
};

struct packet {
    int to;
    enum keying_path path;
    struct addr from;
    size_t n;
    uint8_t p[2048];
};

struct net {
    struct end end[2];
    struct packet *queue[NET_MAX];
    unsigned n;
    unsigned lose, twice, shuffle; /* per cent */
    bool says_from;                /* or the source is validated by other means */
    uint64_t dice;
    uint64_t lost_bits; /* which datagrams are lost, by number; 0: by chance */
    unsigned n_sent;
    struct keying_at at;
    void (*tap)(struct net *net, struct packet *packet); /* may change it; n = 0 drops it */
};

static inline uint64_t net_clock(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static inline unsigned net_roll(struct net *net)
{
    net->dice = net->dice * 6364136223846793005u + 1442695040888963407u;
    return (unsigned)(net->dice >> 33) % 100;
}

static inline void end_init(struct end *e, uint64_t seed, struct keying_dtls_identity *identity)
{
    char host[32];

    memset(e, 0, sizeof(*e));
    keying_policy_init(&e->policy);
    e->policy.identity = identity;
    e->policy.dtls_first_ms = 30;
    e->policy.handshake_ms = 20000; /* machines are slow when others work as well */
    rand_fixed_init(&e->rand, seed);
    (void)snprintf(host, sizeof(host), "192.0.2.%u", (unsigned)seed);
    check_err(addr_parse(&e->addr, str_z(host), 5000), 0);
    e->wish = (struct keying_wish){.policy = &e->policy, .is_hop_private = true, .paths = 1};
    check_err(keying_dtls.new(&e->m, NULL, 0), 0);
}

static inline struct keying_at end_at(struct end *e)
{
    return (struct keying_at){.now_ms = net_clock() + e->skew_ms, .wall_ms = 1700000000000u, .rand = &e->rand};
}

static inline void net_init(struct net *net, struct keying_dtls_identity *a,
                            struct keying_dtls_identity *b)
{
    memset(net, 0, sizeof(*net));
    net->says_from = true;
    net->dice = 1;
    end_init(&net->end[0], 1, a);
    end_init(&net->end[1], 2, b);
}

static inline void net_done(struct net *net)
{
    for (unsigned i = 0; i < net->n; i++)
        free(net->queue[i]);
    for (int i = 0; i < 2; i++)
        keying_dtls.free(net->end[i].m);
}

static inline void net_put(struct net *net, int to, enum keying_path path, const struct addr *from,
                           const uint8_t *p, size_t n)
{
    struct packet *packet = malloc(sizeof(*packet));

    assert_non_null(packet);
    assert_true(n <= sizeof(packet->p) && net->n < NET_MAX);
    *packet = (struct packet){.to = to, .path = path, .from = *from, .n = n};
    memcpy(packet->p, p, n);
    if (net->tap != NULL)
        net->tap(net, packet);
    if (packet->n == 0) {
        free(packet);
        return;
    }
    net->queue[net->n++] = packet;
}

static inline void end_install(struct end *e, const struct keying_install *in)
{
    check_err(keying_keys_check(in->keys), 0);
    for (int path = 0; path < KEYING_PATHS; path++) {
        if (in->paths & (1u << path))
            *(in->is_send ? &e->send[path] : &e->receive[path]) = *in->keys;
    }
    e->n_send += in->is_send;
    e->n_receive += !in->is_send;
    if (in->is_send)
        e->send_paths |= in->paths;
    else
        e->receive_paths |= in->paths;
}

static inline void net_collect(struct net *net, int i)
{
    struct end *e = &net->end[i];
    struct keying_event ev;

    while (keying_dtls.next(e->m, &ev)) {
        switch (ev.kind) {
        case KEYING_EVENT_SEND: {
            bool lost = net->lost_bits ? (net->lost_bits >> (net->n_sent & 63)) & 1
                                       : net_roll(net) < net->lose;
            unsigned copies = lost ? 0 : net_roll(net) < net->twice ? 2 : 1;

            net->n_sent++;
            e->n_datagrams++;
            e->n_before_keys += e->n_send == 0 || e->n_receive == 0;
            assert_true(ev.n <= 1200);
            while (copies-- > 0) {
                struct addr from = e->addr;

                if (ev.path == KEYING_RTCP || ev.path == KEYING_RTCP_BACK)
                    addr_set_port(&from, (uint16_t)(addr_port(&from) + 1));
                net_put(net, 1 - i, ev.path, &from, ev.bytes, ev.n);
            }
            break;
        }
        case KEYING_EVENT_INSTALL:
            end_install(e, &ev.install);
            break;
        case KEYING_EVENT_FACTS:
            e->n_facts++;
            break;
        case KEYING_EVENT_REKEY:
            e->n_rekey++;
            break;
        case KEYING_EVENT_FAILED:
            e->n_failed++;
            e->failure = ev.reason;
            break;
        default:
            fail_msg("an event of kind %d", (int)ev.kind);
        }
    }
}

static inline void net_deliver(struct net *net, unsigned i)
{
    struct packet *packet = net->queue[i];
    struct end *e = &net->end[packet->to];
    struct keying_at at = end_at(e);

    memmove(&net->queue[i], &net->queue[i + 1], (net->n - i - 1) * sizeof(net->queue[0]));
    net->n--;
    keying_dtls.packet(e->m, &at, packet->path, net->says_from ? &packet->from : NULL, false,
                       packet->p, packet->n);
    free(packet);
    net_collect(net, 0);
    net_collect(net, 1);
}

static inline void net_flush(struct net *net)
{
    for (int i = 0; i < 2; i++) {
        struct keying_at at = end_at(&net->end[i]);

        keying_dtls.tick(net->end[i].m, &at);
        net_collect(net, i);
    }
    while (net->n > 0)
        net_deliver(net, net->n > 1 && net_roll(net) < net->shuffle ? net_roll(net) % net->n : 0);
}

/* Lets time pass, whatever comes of it. */
static inline void net_spend(struct net *net, unsigned ms)
{
    struct timespec t = {.tv_nsec = 1000000};

    for (; ms > 0; ms--) {
        net_flush(net);
        nanosleep(&t, NULL);
    }
}

/* Lets time pass until the answerer has keys, if it gets any. */
static inline void net_until_keys(struct net *net)
{
    for (uint64_t end = net_clock() + 20000; net_clock() < end && net->end[1].n_send == 0;) {
        struct timespec t = {.tv_nsec = 1000000};

        net_flush(net);
        nanosleep(&t, NULL);
    }
}

/* Lets time pass until both have keys on all their paths, or one has failed, or it is over. */
static inline bool net_run(struct net *net, uint64_t ms)
{
    uint64_t end = net_clock() + ms;

    for (;;) {
        uint64_t now, next = UINT64_MAX;

        net_flush(net);
        if ((net->end[0].n_send > 0 && net->end[1].n_send > 0 &&
             keying_dtls.facts(net->end[0].m)->proof >= KEYING_PROOF_HANDSHAKE &&
             keying_dtls.facts(net->end[1].m)->proof >= KEYING_PROOF_HANDSHAKE))
            return true;
        if (net->end[0].n_failed + net->end[1].n_failed > 0)
            return false;
        now = net_clock();
        if (now >= end)
            return false;
        for (int i = 0; i < 2; i++) {
            uint64_t one = keying_dtls.timer(net->end[i].m);

            next = one < next ? one : next;
        }
        if (next > end)
            next = end;
        if (next > now) {
            struct timespec t = {.tv_nsec = (long)((next - now > 20 ? 20 : next - now) * 1000000)};

            nanosleep(&t, NULL);
        }
    }
}

/* The signalling: 0 offers, 1 answers. */
static inline int net_offer(struct net *net, struct said *offer)
{
    struct end *e = &net->end[0];
    struct keying_at at = end_at(e);
    struct reason why = {0};

    said_init(offer);
    return keying_dtls.offer(e->m, &at, &e->wish, &offer->s, &why);
}

static inline int net_answer(struct net *net, const char *lines, struct said *answer,
                             struct reason *why)
{
    struct end *e = &net->end[1];
    struct keying_at at = end_at(e);
    struct heard h = heard_make("UDP/TLS/RTP/SAVP", lines);
    int err;

    said_init(answer);
    err = keying_dtls.answer(e->m, &at, &e->wish, &h.h, &answer->s, why);
    heard_free(&h);
    return err;
}

static inline int net_accept(struct net *net, const char *lines, struct reason *why)
{
    struct end *e = &net->end[0];
    struct keying_at at = end_at(e);
    char host[ADDR_TEXT_MAX];
    struct heard h =
        heard_make_at(addr_text_host(&net->end[1].addr, host).p, "UDP/TLS/RTP/SAVP", lines);
    int err = keying_dtls.accept(e->m, &at, &e->wish, &h.h, why);

    heard_free(&h);
    return err;
}

static inline void net_signal(struct net *net)
{
    struct said offer, answer;
    struct reason why = {0};

    check_err(net_offer(net, &offer), 0);
    check_err(net_answer(net, said_lines(&offer), &answer, &why), 0);
    check_err(net_accept(net, said_lines(&answer), &why), 0);
}

static inline void check_keys_fit(const struct net *net, enum keying_path path)
{
    const struct end *a = &net->end[0], *b = &net->end[1];
    const struct keying_suite *suite = a->send[path].suite;

    assert_non_null(suite);
    assert_ptr_equal(suite, b->send[path].suite);
    assert_memory_equal(a->send[path].key[0].key, b->receive[path].key[0].key, suite->key_len);
    assert_memory_equal(a->send[path].key[0].salt, b->receive[path].key[0].salt, suite->salt_len);
    assert_memory_equal(b->send[path].key[0].key, a->receive[path].key[0].key, suite->key_len);
    assert_memory_equal(b->send[path].key[0].salt, a->receive[path].key[0].salt, suite->salt_len);
    assert_memory_not_equal(a->send[path].key[0].key, a->receive[path].key[0].key, suite->key_len);
}

/* ---- the two ---- */

static inline struct rand_source *test_rand(void)
{
    static struct rand_source rand;

    if (!rand.fill)
        rand_system_init(&rand);
    return &rand;
}

static struct keying_dtls_identity *alice, *bob;

static inline int setup(void **state)
{
    (void)state;
    return keying_dtls_identity_new(&alice, 1700000000, test_rand()) == 0 &&
                   keying_dtls_identity_new(&bob, 1700000000, test_rand()) == 0
               ? 0
               : -1;
}

static inline int teardown(void **state)
{
    (void)state;
    keying_dtls_identity_unref(alice);
    keying_dtls_identity_unref(bob);
    return 0;
}

static inline void check_plain(struct net *net)
{
    for (int i = 0; i < 2; i++) {
        const struct keying_facts *f = keying_dtls.facts(net->end[i].m);

        assert_int_equal(net->end[i].n_send, 1);
        assert_int_equal(net->end[i].n_receive, 1);
        assert_int_equal(net->end[i].send_paths, 3); /* one association for RTP and RTCP */
        assert_int_equal(f->method, KEYING_DTLS);
        assert_int_equal(f->known_to, KEYING_KNOWN_ENDS);
        assert_int_equal(f->middle, KEYING_MIDDLE_IF_SDP_OK);
        assert_int_equal(f->proof, KEYING_PROOF_HANDSHAKE);
        assert_true(f->forward_secret && f->excludes_passive && f->peer_had_certificate);
        assert_string_equal(f->fingerprint_hash, "sha-256");
        assert_int_equal(f->attacks, 0);
        assert_int_equal(f->handshake_failures, 0);
    }
    check_keys_fit(net, KEYING_RTP);
}

#endif

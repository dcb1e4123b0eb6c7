/* DTLS-SRTP with others about: who is not the peer, and sends, forges, comes first, or comes in
 * crowds. RFC 5763 5, RFC 6347 4.2.1, RFC 8122 5; TR/100 8.2. */
#include "dtls_net.h"

/* Somebody who is not the peer gets in first, with a certificate of his own: the peer still gets
 * through. */
static void test_race(void **state)
{
    struct net net, evil;
    struct said offer, answer, unused;
    struct reason why = {0};
    struct keying_dtls_identity *mallory;

    (void)state;
    check_err(keying_dtls_identity_new(&mallory, 1700000000, test_rand()), 0);
    net_init(&net, alice, bob);
    check_err(net_offer(&net, &offer), 0);
    /* mallory's end 1 talks to alice's medium */
    net_init(&evil, alice, mallory);
    keying_dtls.free(evil.end[0].m);
    evil.end[0].m = net.end[0].m;
    check_err(addr_parse(&evil.end[1].addr, STR("198.51.100.66"), 666), 0);
    check_err(net_answer(&evil, said_lines(&offer), &unused, &why), 0);
    net_until_keys(&evil);
    assert_int_equal(evil.end[1].n_send, 1); /* he has shaken hands */
    assert_int_equal(evil.end[0].n_send, 0);
    check_err(net_answer(&net, said_lines(&offer), &answer, &why), 0);
    check_err(net_accept(&net, said_lines(&answer), &why), 0);
    assert_true(net_run(&net, 20000));
    check_keys_fit(&net, KEYING_RTP);
    assert_int_equal(net.end[0].n_send, 1);
    keying_dtls.tell(net.end[0].m, &(struct keying_at){.now_ms = net_clock()},
                     &(struct keying_tell){.kind = KEYING_TELL_NO_BRANCHES});
    net_collect(&net, 0);
    assert_true(keying_dtls.facts(net.end[0].m)->handshake_failures > 0);
    /* He is counted, and no more: anybody can make a call look attacked otherwise */
    assert_int_equal(keying_dtls.facts(net.end[0].m)->attacks, 0);
    assert_int_equal(keying_dtls.facts(net.end[0].m)->proof, KEYING_PROOF_HANDSHAKE);
    evil.end[0].m = NULL;
    for (unsigned i = 0; i < evil.n; i++)
        free(evil.queue[i]);
    keying_dtls.free(evil.end[1].m);
    net_done(&net);
    keying_dtls_identity_unref(mallory);
}

/* Alerts and nonsense that anybody can send, at any time, to both. */
static void spoil(struct net *net, int to)
{
    static const uint8_t alert[] = {21, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 99, 0, 2, 2, 40};
    static const uint8_t short_hello[] = {22, 0xfe, 0xff, 0, 0, 0, 0, 0, 0, 0, 1, 0, 14, 1,
                                          0,  0,    2,    0, 0, 0, 0, 0, 0, 0, 2, 1, 1};
    struct end *e = &net->end[to];
    struct keying_at at = end_at(e);
    const struct addr *from = &net->end[1 - to].addr; /* with the peer's address */

    keying_dtls.packet(e->m, &at, KEYING_RTP, from, false, alert, sizeof(alert));
    keying_dtls.packet(e->m, &at, KEYING_RTP, from, false, short_hello, sizeof(short_hello));
    keying_dtls.packet(e->m, &at, KEYING_RTP, from, false, (const uint8_t *)"\x17\xfe\xfd", 3);
}

static void spoil_tap(struct net *net, struct packet *packet)
{
    spoil(net, packet->to);
}

/* A forged ServerHello ends the client's attempt, for nobody can tell; the next one comes through.
 */
static void forge_tap(struct net *net, struct packet *packet)
{
    static const uint8_t forged[] = {22, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 98, 0, 13,
                                     2,  0,    0,    1, 0, 0, 0, 0, 0, 0, 0,  1, 7};
    struct end *e = &net->end[packet->to];
    struct keying_at at = end_at(e);

    if (net->n_sent > 4)
        return;
    for (size_t n = 0; n <= sizeof(forged); n++)
        keying_dtls.packet(e->m, &at, KEYING_RTP, &net->end[1 - packet->to].addr, false, forged, n);
}

static void test_forged_hello(void **state)
{
    struct net net;

    (void)state;
    net_init(&net, alice, bob);
    net.tap = forge_tap;
    net_signal(&net);
    assert_true(net_run(&net, 4000));
    check_keys_fit(&net, KEYING_RTP);
    assert_true(keying_dtls.facts(net.end[1].m)->handshake_failures > 0);
    net_done(&net);
}

/* ... by somebody who is not where the peer is: a server answers from where it was called. */
static void elsewhere_tap(struct net *net, struct packet *packet)
{
    static const uint8_t forged[] = {22, 254, 253, 0, 0, 0, 0, 0, 0, 0, 9, 0, 1, 2};
    struct end *e = &net->end[1];
    struct keying_at at = end_at(e);
    struct addr stranger;

    (void)packet;
    check_err(addr_parse(&stranger, STR("198.51.100.7"), 5000), 0);
    for (size_t n = 0; n <= sizeof(forged); n++)
        keying_dtls.packet(e->m, &at, KEYING_RTP, &stranger, false, forged, n);
}

static void test_forged_elsewhere(void **state)
{
    struct net net;

    (void)state;
    net_init(&net, alice, bob);
    for (int i = 0; i < 2; i++) /* nothing is repeated because we are slow */
        net.end[i].policy.dtls_first_ms = 60000;
    net.tap = elsewhere_tap;
    net_signal(&net);
    assert_true(net_run(&net, 20000));
    check_plain(&net); /* nothing has failed */
    net_done(&net);
}

/* A stranger shakes hands by a certificate of his own before the peer does, who takes its time: the
 * call is not taken for attacked, unless the peer does not come at all. */
static void test_stranger_first(void **state)
{
    (void)state;
    for (int comes = 0; comes < 2; comes++) {
        struct net net, evil;
        struct said offer, answer, other;
        struct reason why = {0};
        struct keying_at at;
        char first[4096];

        net_init(&net, alice, bob);
        net_init(&evil, alice, alice);
        check_err(addr_parse(&evil.end[1].addr, STR("10.0.0.9"), 2000), 0);
        keying_dtls.free(evil.end[0].m);
        check_err(net_offer(&net, &offer), 0);
        check_err(net_answer(&net, said_lines(&offer), &answer, &why), 0);
        (void)snprintf(first, sizeof(first), "%s", said_lines(&answer));
        check_err(net_answer(&evil, said_lines(&offer), &other, &why), 0);
        check_err(net_accept(&net, first, &why), 0);
        at = end_at(&net.end[0]);
        keying_dtls.tell(net.end[0].m, &at, &(struct keying_tell){.kind = KEYING_TELL_NO_BRANCHES});
        evil.end[0].m = net.end[0].m;
        net_until_keys(&evil); /* he thinks that he has got through */
        net_spend(&evil, 5);
        evil.end[0].m = NULL;
        assert_int_equal(net.end[0].n_send + evil.end[0].n_send, 0);
        assert_int_equal(keying_dtls.facts(net.end[0].m)->attacks, 0);
        assert_true(keying_dtls.facts(net.end[0].m)->handshake_failures > 0);
        if (comes) {
            assert_true(net_run(&net, 20000));
            check_keys_fit(&net, KEYING_RTP);
        } else {
            at.now_ms += net.end[0].policy.handshake_ms;
            keying_dtls.tick(net.end[0].m, &at);
            net_collect(&net, 0);
            assert_int_equal(net.end[0].n_failed, 1);
            check_reason(net.end[0].failure, "dtls-fingerprint");
        }
        for (unsigned i = 0; i < evil.n; i++)
            free(evil.queue[i]);
        keying_dtls.free(evil.end[1].m);
        net_done(&net);
    }
}

static void test_forged_alerts(void **state)
{
    (void)state;
    for (int passive = 0; passive < 2; passive++) {
        struct net net;

        net_init(&net, alice, bob);
        net.tap = spoil_tap;
        net.end[1].policy.dtls_passive = passive;
        net_signal(&net);
        assert_true(net_run(&net, 20000));
        check_keys_fit(&net, KEYING_RTP);
        spoil(&net, 0);
        spoil(&net, 1);
        net_flush(&net);
        assert_int_equal(net.end[0].n_failed + net.end[1].n_failed, 0);
        net_done(&net);
    }
}

/* A ClientHello with a source that is not reached (spoofed): an answer smaller than a hello, and no
 * state. */
static void test_spoofed(void **state)
{
    struct net net;
    struct said offer, answer;
    struct reason why = {0};
    struct keying_event ev;
    uint8_t hello[2048];
    size_t n = 0;

    (void)state;
    net_init(&net, alice, bob);
    check_err(net_offer(&net, &offer), 0);
    check_err(net_answer(&net, said_lines(&offer), &answer, &why), 0);
    {
        struct keying_at at = end_at(&net.end[1]);

        at.now_ms += 5;
        keying_dtls.tick(net.end[1].m, &at);
    }
    while (keying_dtls.next(net.end[1].m, &ev)) {
        if (ev.kind == KEYING_EVENT_SEND)
            memcpy(hello, ev.bytes, n = ev.n);
    }
    assert_true(n > 100);
    for (unsigned i = 0; i < 500; i++) {
        struct keying_at at = end_at(&net.end[0]);
        struct addr from;
        char host[32];

        (void)snprintf(host, sizeof(host), "10.0.%u.%u", i / 250, i % 250);
        check_err(addr_parse(&from, str_z(host), (uint16_t)(1000 + i)), 0);
        hello[30] ^= (uint8_t)i;
        keying_dtls.packet(net.end[0].m, &at, KEYING_RTP, &from, false, hello, n);
        assert_true(keying_dtls.next(net.end[0].m, &ev));
        assert_int_equal(ev.kind, KEYING_EVENT_SEND);
        assert_true(addr_eq(&ev.to, &from));
        assert_true(ev.n < n);
        assert_false(keying_dtls.next(net.end[0].m, &ev));
        assert_int_equal(keying_dtls.timer(net.end[0].m), UINT64_MAX); /* nothing waits */
    }
    net_done(&net);
}

/* Strangers who get what is sent to them have valid cookies, and can begin as many handshakes as
 * there are places and attempts, and finish none. Whoever comes from where the answer says has a
 * place all the same. */
static void test_crowd(void **state)
{
    (void)state;
    for (unsigned n_crowd = LIMIT_DTLS_CANDIDATES; n_crowd <= LIMIT_DTLS_ATTEMPTS + 8;
         n_crowd += 36) {
        struct net net, crowd;
        struct said offer, answer, other;
        struct reason why = {0};
        struct keying_medium *port;

        net_init(&net, alice, bob);
        net.end[0].policy.dtls_first_ms =
            60000; /* nothing is repeated to whom this net does not know */
        check_err(net_offer(&net, &offer), 0);
        check_err(net_answer(&net, said_lines(&offer), &answer, &why), 0);
        check_err(net_accept(&net, said_lines(&answer), &why), 0);
        port = net.end[0].m;
        for (unsigned i = 0; i < n_crowd; i++) {
            struct keying_event ev;
            struct keying_at at;

            net_init(&crowd, bob, bob);
            check_err(addr_parse(&crowd.end[1].addr, STR("10.0.0.9"), (uint16_t)(2000 + i)), 0);
            check_err(net_answer(&crowd, said_lines(&offer), &other, &why), 0);
            at = end_at(&crowd.end[1]);
            at.now_ms += 5;
            keying_dtls.tick(crowd.end[1].m, &at);
            for (int turn = 0; turn < 2; turn++) { /* a hello, what is asked of it, another hello */
                while (keying_dtls.next(crowd.end[1].m, &ev)) {
                    if (ev.kind == KEYING_EVENT_SEND)
                        keying_dtls.packet(port, &at, KEYING_RTP, &crowd.end[1].addr, false,
                                           ev.bytes, ev.n);
                }
                while (keying_dtls.next(port, &ev)) {
                    if (ev.kind == KEYING_EVENT_SEND && turn == 0)
                        keying_dtls.packet(crowd.end[1].m, &at, KEYING_RTP, NULL, false, ev.bytes,
                                           ev.n);
                }
            }
            net_done(&crowd);
        }
        assert_true(net_run(&net, 20000));
        check_keys_fit(&net, KEYING_RTP);
        assert_int_equal(keying_dtls.facts(port)->attacks, 0);
        assert_int_equal(keying_dtls.facts(port)->handshake_failures, 1); /* whose place it was */
        net_done(&net);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_race),
        cmocka_unit_test(test_forged_hello),
        cmocka_unit_test(test_forged_elsewhere),
        cmocka_unit_test(test_stranger_first),
        cmocka_unit_test(test_forged_alerts),
        cmocka_unit_test(test_spoofed),
        cmocka_unit_test(test_crowd),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}

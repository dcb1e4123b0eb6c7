/* DTLS-SRTP between two of ours: descriptions, roles, fingerprints, paths, resumption,
 * re-association; over networks good and bad. RFC 5763, RFC 5764, RFC 8122, RFC 8842,
 * TR/100 8.2.2.1. */
#include "dtls_net.h"

static void test_identity(void **state)
{
    struct str print = keying_dtls_identity_fingerprint(alice);
    struct keying_dtls_identity *again;

    (void)state;
    assert_true(str_starts_nocase(print, STR("sha-256 ")));
    assert_int_equal(print.n, 8 + 32 * 3 - 1);
    assert_false(str_eq(print, keying_dtls_identity_fingerprint(bob)));
    assert_false(keying_dtls_identity_is_due(alice, 1700000000 + KEYING_DTLS_ROTATE_S - 1));
    assert_true(keying_dtls_identity_is_due(alice, 1700000000 + KEYING_DTLS_ROTATE_S));
    again = keying_dtls_identity_ref(alice);
    keying_dtls_identity_unref(again);
}

static void test_simple(void **state)
{
    struct net net;
    struct said offer, answer;
    struct reason why = {0};

    (void)state;
    net_init(&net, alice, bob);
    for (int i = 0; i < 2; i++) /* nothing is repeated because we are slow */
        net.end[i].policy.dtls_first_ms = 60000;
    check_err(net_offer(&net, &offer), 0);
    assert_non_null(strstr(said_lines(&offer), "a=setup:actpass\r\n"));
    assert_non_null(strstr(said_lines(&offer), "a=fingerprint:sha-256 "));
    assert_non_null(strstr(said_lines(&offer), "a=tls-id:"));
    check_err(net_answer(&net, said_lines(&offer), &answer, &why), 0);
    assert_non_null(
        strstr(said_lines(&answer), "a=setup:active\r\n")); /* RFC 5763 5: recommended */
    assert_non_null(strstr(said_lines(&answer), "a=tls-id:"));
    check_err(net_accept(&net, said_lines(&answer), &why), 0);
    for (int i = 0; i < 2; i++) { /* what it will be, and that nobody has shown it yet */
        const struct keying_facts *f = keying_dtls.facts(net.end[i].m);

        assert_int_equal(f->proof, KEYING_PROOF_NEGOTIATED);
        assert_int_equal(f->known_to, KEYING_KNOWN_ENDS);
        assert_int_equal(f->middle, KEYING_MIDDLE_IF_SDP_OK);
        assert_true(f->forward_secret && f->excludes_passive && !f->peer_had_certificate);
        assert_null(f->suite);
    }
    assert_true(net_run(&net, 20000));
    check_plain(&net);
    assert_int_equal(net.end[0].send[0].suite->id, KEYING_AES_256_GCM);
    /* the hellos, the cookie, two flights: no packet too many */
    assert_int_equal(net.end[0].n_datagrams + net.end[1].n_datagrams, 6);
    /* The server's last flight is what lets the client send: the keys are there before. */
    assert_int_equal(net.end[0].n_datagrams, 3);
    assert_int_equal(net.end[0].n_before_keys, 2);
    net_done(&net);
}

/* The answerer waits for the offerer. */
static void test_passive(void **state)
{
    struct net net;

    (void)state;
    net_init(&net, alice, bob);
    net.end[1].policy.dtls_passive = true;
    net_signal(&net);
    assert_true(net_run(&net, 20000));
    check_plain(&net);
    net_done(&net);
}

/* ICE has shown that the source is where it is: no cookie, one round trip less. */
static void test_validated(void **state)
{
    struct net net;

    (void)state;
    net_init(&net, alice, bob);
    net.says_from = false;
    for (int i = 0; i < 2; i++) /* nothing is repeated because we are slow */
        net.end[i].policy.dtls_first_ms = 60000;
    net_signal(&net);
    assert_true(net_run(&net, 20000));
    check_plain(&net);
    assert_int_equal(net.end[0].n_datagrams + net.end[1].n_datagrams, 4);
    net_done(&net);
}

/* The client's packets come before the answer: it may shake hands, but no key is installed before
 * the fingerprint is known. */
static void test_before_answer(void **state)
{
    struct net net;
    struct said offer, answer;
    struct reason why = {0};

    (void)state;
    net_init(&net, alice, bob);
    check_err(net_offer(&net, &offer), 0);
    check_err(net_answer(&net, said_lines(&offer), &answer, &why), 0);
    net_until_keys(&net);
    assert_int_equal(net.end[1].n_send, 1); /* it knows the offerer's fingerprint */
    assert_int_equal(net.end[0].n_send + net.end[0].n_receive, 0);
    assert_int_equal(keying_dtls.facts(net.end[0].m)->proof, KEYING_PROOF_NONE);
    check_err(net_accept(&net, said_lines(&answer), &why), 0);
    assert_true(net_run(&net, 20000));
    check_plain(&net);
    net_done(&net);
}

/* Each profile, and the preference of who is asked. */
static void test_profiles(void **state)
{
    static const enum keying_suite_id suites[] = {KEYING_AES_128_GCM, KEYING_AES_256_GCM,
                                                  KEYING_AES_128_CM_80, KEYING_AES_128_CM_32};
    struct net net;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(suites); i++) {
        net_init(&net, alice, bob);
        net.end[i % 2].policy.n_suites = 1;
        net.end[i % 2].policy.suites[0] = (uint8_t)suites[i];
        net.end[1 - i % 2].policy.suites[net.end[1 - i % 2].policy.n_suites++] =
            KEYING_AES_128_CM_32;
        net_signal(&net);
        assert_true(net_run(&net, 20000));
        check_plain(&net);
        assert_int_equal(net.end[0].send[0].suite->id, suites[i]);
        net_done(&net);
    }
    /* nothing in common: no keys, and a reason */
    net_init(&net, alice, bob);
    net.end[0].policy.n_suites = net.end[1].policy.n_suites = 1;
    net.end[0].policy.suites[0] = KEYING_AES_128_CM_80;
    net.end[1].policy.suites[0] = KEYING_AES_128_GCM;
    net.end[0].policy.handshake_ms = net.end[1].policy.handshake_ms = 400;
    net_signal(&net);
    assert_false(net_run(&net, 3000));
    assert_int_equal(net.end[0].n_send + net.end[1].n_send, 0);
    assert_true(net.end[0].n_failed + net.end[1].n_failed > 0);
    net_done(&net);
}

/* Losses, doubles, reordering: forty networks of each kind. */
static void test_bad_networks(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 40; i++) {
        struct net net;

        net_init(&net, alice, bob);
        net.dice = i + 1;
        net.lose = i % 4 == 0 ? 0 : 10 * (i % 4);
        net.twice = i % 3 == 0 ? 30 : 0;
        net.shuffle = i % 2 ? 50 : 0;
        net.says_from = i % 5 != 0;
        net.end[1].policy.dtls_passive = i & 1;
        net.end[0].policy.handshake_ms = net.end[1].policy.handshake_ms = 20000;
        net_signal(&net);
        if (!net_run(&net, 15000))
            fail_msg("network %u: no keys (%s, %s)", i, net.end[0].failure.detail,
                     net.end[1].failure.detail);
        check_keys_fit(&net, KEYING_RTP);
        net_done(&net);
    }
}

/* Each datagram of the handshake lost once, the last flight as well. */
static void test_each_loss(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 6; i++) {
        for (int passive = 0; passive < 2; passive++) {
            struct net net;

            net_init(&net, alice, bob);
            net.lost_bits = 1ull << i;
            net.end[1].policy.dtls_passive = passive;
            net_signal(&net);
            if (!net_run(&net, 4000))
                fail_msg("without datagram %u: no keys", i);
            check_plain(&net);
            net_done(&net);
        }
    }
}

/* ---- certificates that are not the announced one, or missing ---- */

static char other_print[160];

/* The lines with another fingerprint. */
static const char *with_fingerprint(const struct said *said, const char *print)
{
    static char lines[4096];
    size_t n = 0;

    for (size_t i = 0; i < said->s.n; i++) {
        bool is_print = str_eq(said->s.attr[i].name, STR("fingerprint"));

        n += (size_t)snprintf(lines + n, sizeof(lines) - n, "a=%.*s:%.*s\r\n",
                              STR_FMT(said->s.attr[i].name),
                              is_print ? (int)strlen(print) : (int)said->s.attr[i].value.n,
                              is_print ? print : said->s.attr[i].value.p);
    }
    return lines;
}

static void make_other_print(void)
{
    struct str print = keying_dtls_identity_fingerprint(alice);

    (void)snprintf(other_print, sizeof(other_print), "%.*s", STR_FMT(print));
    other_print[8] = other_print[8] == '0' ? '1' : '0';
}

/* Somebody has changed the fingerprint in the offer, or in the answer: who sees the wrong one gets
 * no keys. */
static void test_wrong_fingerprint(void **state)
{
    (void)state;
    make_other_print();
    for (int in_answer = 0; in_answer < 2; in_answer++) {
        for (int passive = 0; passive < 2; passive++) {
            struct net net;
            struct said offer, answer;
            struct reason why = {0};
            struct end *fooled;
            const char *lines;
            char kept[4096];

            net_init(&net, alice, bob);
            fooled = &net.end[in_answer ? 0 : 1];
            net.end[1].policy.dtls_passive = passive;
            check_err(net_offer(&net, &offer), 0);
            lines = in_answer ? said_lines(&offer) : with_fingerprint(&offer, other_print);
            check_err(net_answer(&net, lines, &answer, &why), 0);
            lines = in_answer ? with_fingerprint(&answer, other_print) : said_lines(&answer);
            (void)snprintf(kept, sizeof(kept), "%s", lines);
            check_err(net_accept(&net, kept, &why), 0);
            keying_dtls.tell(net.end[0].m, &(struct keying_at){.now_ms = net_clock()},
                             &(struct keying_tell){.kind = KEYING_TELL_NO_BRANCHES});
            for (unsigned i = 0; i < 20000 && keying_dtls.facts(fooled->m)->attacks == 0; i++)
                net_spend(&net, 1);
            fooled->skew_ms = 2 * fooled->policy.handshake_ms; /* no other comes */
            assert_false(net_run(&net, 20000));
            assert_int_equal(fooled->n_send + fooled->n_receive, 0);
            assert_int_equal(fooled->n_failed, 1);
            check_reason(fooled->failure, "dtls-fingerprint");
            assert_true(keying_dtls.facts(fooled->m)->attacks & KEYING_ATTACK_FINGERPRINT);
            assert_true(keying_dtls.facts(fooled->m)->handshake_failures > 0);
            assert_int_equal(keying_dtls.facts(fooled->m)->proof, KEYING_PROOF_NEGOTIATED);
            net_done(&net);
        }
    }
}

static void test_fingerprints_heard(void **state)
{
    static const struct {
        const char *lines, *code;
    } refused[] = {
        {"a=setup:actpass\r\n", "dtls-no-fingerprint"},
        {"a=setup:actpass\r\na=fingerprint:md5 00:01:02:03:04:05:06:07:08:09:0A:0B:0C:0D:0E:0F\r\n",
         "dtls-fingerprint-hash"},
        {"a=setup:actpass\r\na=fingerprint:sha-1 "
         "00:01:02:03:04:05:06:07:08:09:0A:0B:0C:0D:0E:0F:10:11:12:13\r\n",
         "dtls-fingerprint-hash"},
        {"a=setup:actpass\r\na=fingerprint:sha-256 00:01:02\r\n", "dtls-fingerprint-length"},
        {"a=setup:actpass\r\na=fingerprint:sha-256 zz\r\n", "dtls-fingerprint-hash"},
        {"a=setup:holdconn\r\na=fingerprint:sha-256 "
         "00:01:02:03:04:05:06:07:08:09:0A:0B:0C:0D:0E:0F:10:11:12:13:14:15:16:17:18:19:1A:1B:1C:"
         "1D:1E:1F\r\n",
         "dtls-setup"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(refused); i++) {
        struct net net;
        struct said answer;
        struct reason why = {0};

        net_init(&net, alice, bob);
        check_err(net_answer(&net, refused[i].lines, &answer, &why), ERR_REFUSED);
        check_reason(why, refused[i].code);
        net_collect(&net, 1);
        assert_int_equal(net.end[1].n_datagrams, 0);
        net_done(&net);
    }
}

/* Several fingerprints: one of the best hash must fit (RFC 8122 5). SHA-1 only where policy says
 * so. */
static void test_many_fingerprints(void **state)
{
    struct net net;
    struct said offer, answer;
    struct reason why = {0};
    char lines[4096];
    struct str print = keying_dtls_identity_fingerprint(alice);

    (void)state;
    make_other_print();
    net_init(&net, alice, bob);
    check_err(net_offer(&net, &offer), 0);
    (void)snprintf(
        lines, sizeof(lines),
        "a=setup:actpass\r\na=fingerprint:%s\r\na=fingerprint:SHA-1 "
        "00:01:02:03:04:05:06:07:08:09:0A:0B:0C:0D:0E:0F:10:11:12:13\r\na=fingerprint:%.*s\r\n",
        other_print, STR_FMT(print));
    check_err(net_answer(&net, lines, &answer, &why), 0);
    assert_null(
        strstr(said_lines(&answer), "tls-id")); /* none offered, none answered: RFC 8842 5.3 */
    check_err(net_accept(&net, said_lines(&answer), &why), 0);
    assert_true(net_run(&net, 20000));
    check_plain(&net);
    net_done(&net);
}

/* An answer without what it needs. */
static void test_bad_answers(void **state)
{
    struct net net;
    struct said offer;
    struct reason why = {0};

    (void)state;
    net_init(&net, alice, bob);
    check_err(net_accept(&net, "", &why), ERR_INVALID);
    check_err(net_offer(&net, &offer), 0);
    check_err(net_accept(&net, "a=setup:active\r\n", &why), ERR_REFUSED);
    check_reason(why, "dtls-no-fingerprint");
    assert_int_equal(keying_dtls.facts(net.end[0].m)->attacks, KEYING_ATTACK_STRIPPED);
    check_err(net_accept(&net, said_lines(&offer), &why), ERR_REFUSED); /* actpass in an answer */
    check_reason(why, "dtls-setup");
    net_done(&net);
    net_init(&net, NULL, bob);
    check_err(net_offer(&net, &offer), ERR_REFUSED);
    net_done(&net);
}

/* ---- paths ---- */

/* RTP and RTCP apart: two associations, the second resumes the first (TR/100 8.2.2.1). */
static void test_two_paths(void **state)
{
    (void)state;
    for (int passive = 0; passive < 2; passive++) {
        struct net net;

        net_init(&net, alice, bob);
        net.end[0].wish.paths = net.end[1].wish.paths = 3;
        net.end[1].policy.dtls_passive = passive;
        net_signal(&net);
        assert_true(net_run(&net, 20000));
        for (int i = 0; i < 2; i++) {
            assert_int_equal(net.end[i].n_send, 2);
            assert_int_equal(net.end[i].n_receive, 2);
            assert_true(keying_dtls.facts(net.end[i].m)->is_resumed);
        }
        check_keys_fit(&net, KEYING_RTP);
        check_keys_fit(&net, KEYING_RTCP);
        assert_memory_not_equal(net.end[0].send[0].key[0].key, net.end[0].send[1].key[0].key, 32);
        net_done(&net);
    }
}

/* RTP that is not symmetric has up to four. */
static void test_four_paths(void **state)
{
    struct net net;

    (void)state;
    net_init(&net, alice, bob);
    net.end[0].wish.paths = net.end[1].wish.paths = 15;
    net.lose = 10;
    net_signal(&net);
    assert_true(net_run(&net, 5000));
    for (enum keying_path path = 0; path < KEYING_PATHS; path++)
        check_keys_fit(&net, path);
    net_done(&net);
}

/* ---- sessions that are changed ---- */

/* is_new: it comes to another association. */
static void rerun(struct net *net, bool is_new)
{
    for (int i = 0; i < 2; i++)
        net->end[i].n_send = net->end[i].n_receive = net->end[i].n_datagrams = 0;
    net_signal(net);
    (void)net_run(net, is_new ? 20000 : 300);
}

/* RFC 8842 3.1: the same tls-id, roles and fingerprints: the association goes on; a re-key or a
 * move makes a new one. */
static void test_reoffer(void **state)
{
    struct net net;
    struct keying_keys before;

    (void)state;
    net_init(&net, alice, bob);
    net_signal(&net);
    assert_true(net_run(&net, 20000));
    before = net.end[0].send[0];
    rerun(&net, false);
    assert_int_equal(net.end[0].n_datagrams + net.end[1].n_datagrams, 0);
    assert_int_equal(net.end[0].n_send + net.end[1].n_send, 0);
    net.end[0].wish.rekey = true;
    rerun(&net, true);
    assert_int_equal(net.end[0].n_send, 1);
    assert_int_equal(net.end[1].n_send, 1);
    check_keys_fit(&net, KEYING_RTP);
    assert_memory_not_equal(before.key[0].key, net.end[0].send[0].key[0].key, 32);
    net.end[0].wish.rekey = false;
    net.end[1].wish.is_moved = true; /* the answerer wants another one: 8842 5.3 */
    rerun(&net, true);
    assert_int_equal(net.end[0].n_send, 1);
    check_keys_fit(&net, KEYING_RTP);
    net_done(&net);
}

static void test_rollback(void **state)
{
    struct net net;
    struct said offer, answer;
    struct reason why = {0};

    (void)state;
    net_init(&net, alice, bob);
    net_signal(&net);
    assert_true(net_run(&net, 20000));
    net.end[0].wish.rekey = true;
    check_err(net_offer(&net, &offer), 0);
    keying_dtls.rollback(net.end[0].m); /* refused */
    check_err(net_offer(&net, &offer), 0);
    check_err(net_answer(&net, said_lines(&offer), &answer, &why), 0);
    keying_dtls.rollback(net.end[1].m); /* never sent */
    keying_dtls.rollback(net.end[0].m);
    net_flush(&net);
    net.end[0].wish.rekey = false;
    rerun(&net, false);
    assert_int_equal(net.end[0].n_send + net.end[1].n_send,
                     0); /* the first association is still the one */
    net_done(&net);
}

/* The peer's last word is lost, and it asks again after we have the keys; then media, and the
 * object goes. */
static void test_last_flight(void **state)
{
    static const uint8_t forged[14] = {22, 254, 253, 0, 1, 0, 0, 0, 0, 0, 9, 0, 1, 0};
    struct net net;
    struct keying_event ev;
    struct addr stranger;
    unsigned n_sent = 0;
    uint64_t timer;

    (void)state;
    net_init(&net, alice, bob);
    net.lost_bits = 1ull << 5; /* the server's last flight */
    net_signal(&net);
    assert_true(net_run(&net, 20000));
    check_plain(&net);
    keying_dtls.tell(net.end[0].m, &(struct keying_at){.now_ms = net_clock()},
                     &(struct keying_tell){.kind = KEYING_TELL_NO_BRANCHES});
    /* 0 is the server: it waits for the peer's timers to run out, or for media */
    timer = keying_dtls.timer(net.end[0].m);
    assert_true(timer != UINT64_MAX && timer > net_clock() + 5000);
    /* Who looks as if he had missed it, has it sent to the peer, and not as often as he likes. */
    check_err(addr_parse(&stranger, STR("198.51.100.7"), 9), 0);
    for (unsigned i = 0; i < 50; i++) {
        struct keying_at at = end_at(&net.end[0]);

        at.now_ms += 1000;
        keying_dtls.packet(net.end[0].m, &at, KEYING_RTP, &stranger, false, forged, sizeof(forged));
        while (keying_dtls.next(net.end[0].m, &ev)) {
            assert_int_equal(ev.kind, KEYING_EVENT_SEND);
            assert_false(addr_eq(&ev.to, &stranger));
            n_sent++;
        }
    }
    assert_int_equal(n_sent, 1);
    keying_dtls.tell(net.end[0].m, &(struct keying_at){.now_ms = net_clock()},
                     &(struct keying_tell){.kind = KEYING_TELL_MEDIA, .path = KEYING_RTP});
    assert_int_equal(keying_dtls.timer(net.end[0].m), UINT64_MAX);
    assert_int_equal(keying_dtls.timer(net.end[1].m), UINT64_MAX);
    assert_int_equal(keying_dtls.facts(net.end[0].m)->proof, KEYING_PROOF_MEDIA);
    net_done(&net);
}

/* Nobody comes. */
static void test_timeout(void **state)
{
    struct net net;

    (void)state;
    for (int passive = 0; passive < 2; passive++) {
        net_init(&net, alice, bob);
        net.lose = 100;
        net.end[0].policy.handshake_ms = net.end[1].policy.handshake_ms = 300;
        net.end[1].policy.dtls_passive = passive;
        net_signal(&net);
        assert_false(net_run(&net, 2000));
        assert_true(net.end[0].n_failed + net.end[1].n_failed > 0);
        check_reason(net.end[net.end[0].n_failed ? 0 : 1].failure, "dtls-timeout");
        net_done(&net);
    }
}

/* Two answers to one offer: each finds its own association in the hall (RFC 8842 8). */
static void test_fork(void **state)
{
    struct net net, other;
    struct said offer, answer, second;
    struct reason why = {0};
    struct keying_dtls_identity *carol;
    char first_answer[4096];

    (void)state;
    check_err(keying_dtls_identity_new(&carol, 1700000000, test_rand()), 0);
    net_init(&net, alice, bob);
    net_init(&other, alice, carol);
    check_err(addr_parse(&other.end[1].addr, STR("192.0.2.3"), 5000), 0);
    keying_dtls.free(other.end[0].m);
    check_err(net_offer(&net, &offer), 0);
    check_err(net_answer(&net, said_lines(&offer), &answer, &why), 0);
    (void)snprintf(first_answer, sizeof(first_answer), "%s", said_lines(&answer));
    check_err(net_answer(&other, said_lines(&offer), &second, &why), 0);
    /* both begin before any answer is there; all packets come to the one port */
    other.end[0].m = net.end[0].m;
    net_until_keys(&net);
    net_until_keys(&other);
    assert_int_equal(net.end[1].n_send + other.end[1].n_send, 2);
    check_err(keying_dtls.fork(net.end[0].m, NULL, &other.end[0].m), 0);
    check_err(net_accept(&other, said_lines(&second), &why), 0);
    check_err(net_accept(&net, first_answer, &why), 0);
    assert_true(net_run(&net, 20000));
    assert_true(net_run(&other, 20000));
    check_keys_fit(&net, KEYING_RTP);
    check_keys_fit(&other, KEYING_RTP);
    assert_memory_not_equal(net.end[0].send[0].key[0].key, other.end[0].send[0].key[0].key, 32);
    assert_int_equal(keying_dtls.facts(net.end[0].m)->attacks, 0);
    assert_int_equal(keying_dtls.facts(other.end[0].m)->attacks, 0);
    net_done(&net);
    net_done(&other);
    keying_dtls_identity_unref(carol);
}

/* One system answers twice, by one certificate (a relay behind a fork): whose association is whose
 * is told by where it comes from, in whichever order answers and handshakes come. */
static void test_fork_same_certificate(void **state)
{
    (void)state;
    for (int first = 0; first < 2; first++) {
        struct net net[2];
        struct said offer, answer;
        struct reason why = {0};
        char answers[2][4096];

        for (int i = 0; i < 2; i++) {
            net_init(&net[i], alice, bob);
            check_err(
                addr_parse(&net[i].end[1].addr, i ? STR("192.0.2.3") : STR("192.0.2.2"), 5000), 0);
        }
        keying_dtls.free(net[1].end[0].m);
        check_err(net_offer(&net[0], &offer), 0);
        net[1].end[0].m = net[0].end[0].m;
        for (int i = 0; i < 2; i++) {
            check_err(net_answer(&net[i], said_lines(&offer), &answer, &why), 0);
            (void)snprintf(answers[i], sizeof(answers[i]), "%s", said_lines(&answer));
        }
        /* both are in the hall before any answer is there */
        for (int i = 0; i < 2; i++)
            net_until_keys(&net[i == 0 ? 1 - first : first]);
        assert_int_equal(net[0].end[1].n_send + net[1].end[1].n_send, 2);
        check_err(keying_dtls.fork(net[0].end[0].m, NULL, &net[1].end[0].m), 0);
        for (int i = 0; i < 2; i++) {
            int which = i == 0 ? first : 1 - first;

            check_err(net_accept(&net[which], answers[which], &why), 0);
            assert_true(net_run(&net[which], 20000));
        }
        for (int i = 0; i < 2; i++) {
            check_keys_fit(&net[i], KEYING_RTP);
            assert_int_equal(keying_dtls.facts(net[i].end[0].m)->attacks, 0);
        }
        net_done(&net[0]);
        net_done(&net[1]);
    }
}

/* The answer names another address than the client has: it is let in a little later, since nobody
 * else claims the certificate. */
static void test_nat(void **state)
{
    struct net net;
    struct said offer, answer;
    struct reason why = {0};
    struct addr real;
    uint64_t begin;

    (void)state;
    net_init(&net, alice, bob);
    check_err(net_offer(&net, &offer), 0);
    check_err(net_answer(&net, said_lines(&offer), &answer, &why), 0);
    real = net.end[1].addr;
    check_err(addr_parse(&net.end[1].addr, STR("10.0.0.1"), 5000), 0);
    begin = net_clock();
    check_err(net_accept(&net, said_lines(&answer), &why), 0);
    net.end[1].addr = real;
    assert_true(net_run(&net, 20000));
    assert_true(net_clock() - begin >= 250);
    check_keys_fit(&net, KEYING_RTP);
    net_done(&net);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_identity),
        cmocka_unit_test(test_simple),
        cmocka_unit_test(test_passive),
        cmocka_unit_test(test_validated),
        cmocka_unit_test(test_before_answer),
        cmocka_unit_test(test_profiles),
        cmocka_unit_test(test_bad_networks),
        cmocka_unit_test(test_each_loss),
        cmocka_unit_test(test_wrong_fingerprint),
        cmocka_unit_test(test_fingerprints_heard),
        cmocka_unit_test(test_many_fingerprints),
        cmocka_unit_test(test_bad_answers),
        cmocka_unit_test(test_two_paths),
        cmocka_unit_test(test_four_paths),
        cmocka_unit_test(test_reoffer),
        cmocka_unit_test(test_rollback),
        cmocka_unit_test(test_last_flight),
        cmocka_unit_test(test_timeout),
        cmocka_unit_test(test_fork),
        cmocka_unit_test(test_fork_same_certificate),
        cmocka_unit_test(test_nat),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}

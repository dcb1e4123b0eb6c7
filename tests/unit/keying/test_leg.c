/* The negotiator: which method is offered, answered and accepted, what is refused and what looks
 * like an attack, forks that take different ways, a medium that comes later. RFC 3264, RFC 4568 5,
 * 8.3, RFC 5763, RFC 8643, TR/100 8.2. */
#include "keying/dtls.h"
#include "keying/leg.h"
#include "keying_fixture.h"
#include <time.h>

static struct keying_dtls_identity *alice, *bob;
static struct rand_source rnd;

static struct keying_at now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (struct keying_at){.now_ms = (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000,
                              .wall_ms = 1700000000000,
                              .rand = &rnd};
}

struct side {
    struct keying_policy policy;
    struct keying_wish wish;
    struct keying_leg *leg;
    enum sdp_proto proto; /* of the last offer */
    struct reason why;
    char lines[4096];
};

static void side_init(struct side *s, struct keying_dtls_identity *identity)
{
    *s = (struct side){.wish = {.is_hop_private = true, .paths = 1}};
    keying_policy_init(&s->policy);
    s->policy.identity = identity;
    check_err(keying_leg_new(&s->leg, &s->policy), 0);
}

static int offer(struct side *s, int section)
{
    struct keying_at at = now();
    struct said said;
    int err;

    said_init(&said);
    s->why = (struct reason){0};
    err = keying_leg_offer(s->leg, section, &at, &s->wish, false, &said.s, &s->proto, &s->why);
    (void)snprintf(s->lines, sizeof(s->lines), "%s", said_lines(&said));
    return err;
}

static int answer(struct side *s, int section, enum sdp_proto proto, const char *lines)
{
    struct keying_at at = now();
    struct heard h = heard_make(sdp_proto_text(proto).p, lines);
    struct said said;
    int err;

    said_init(&said);
    s->why = (struct reason){0};
    err = keying_leg_answer(s->leg, section, &at, &s->wish, &h.h, &said.s, &s->why);
    (void)snprintf(s->lines, sizeof(s->lines), "%s", said_lines(&said));
    heard_free(&h);
    return err;
}

static int accept_(struct side *s, int section, enum sdp_proto proto, const char *lines)
{
    struct keying_at at = now();
    struct heard h = heard_make(sdp_proto_text(proto).p, lines);
    int err;

    s->why = (struct reason){0};
    err = keying_leg_accept(s->leg, section, &at, &s->wish, &h.h, &s->why);
    heard_free(&h);
    return err;
}

static void tell(struct side *s, enum keying_tell_kind kind)
{
    struct keying_at at = now();
    const struct keying_tell t = {.kind = kind};

    keying_leg_tell(s->leg, -1, &at, &t);
}

static bool has(const struct side *s, const char *text)
{
    return strstr(s->lines, text) != NULL;
}

static void test_preference(void **state)
{
    struct side a;

    (void)state;
    side_init(&a, alice);
    check_err(offer(&a, 0), 0);
    assert_int_equal(a.proto, SDP_UDP_TLS_RTP_SAVP);
    assert_true(has(&a, "a=fingerprint:") && !has(&a, "a=crypto:"));
    keying_leg_rollback(a.leg);
    a.wish.without = 1u << KEYING_DTLS; /* it was refused */
    check_err(offer(&a, 0), 0);
    assert_int_equal(a.proto, SDP_RTP_SAVP);
    assert_true(!has(&a, "a=fingerprint:") && has(&a, "a=crypto:"));
    keying_leg_rollback(a.leg);
    a.wish.is_hop_private = false; /* RFC 4568 8.3 */
    check_err(offer(&a, 0), ERR_REFUSED);
    check_reason(a.why, "keying-clear-hop");
    assert_string_equal(a.lines, "");
    a.wish.is_hop_private = true;
    a.wish.without |= 1u << KEYING_SDES;
    check_err(offer(&a, 0), ERR_REFUSED);
    check_reason(a.why, "keying-none");
    a.policy.methods[a.policy.n_methods++] = KEYING_CLEAR;
    check_err(offer(&a, 0), 0);
    assert_int_equal(a.proto, SDP_RTP_AVP);
    assert_string_equal(a.lines, "");
    keying_leg_free(a.leg);
}

/* Keys in a clear profile are answered with keys, whether or not we would have put them there;
 * without keys it is clear media, and needs leave. */
static void test_osrtp_answer(void **state)
{
    struct side a, b;

    (void)state;
    for (int sdes = 0; sdes < 2; sdes++) {
        side_init(&a, sdes ? NULL : alice);
        side_init(&b, bob);
        a.policy.best_effort = true;
        check_err(offer(&a, 0), 0);
        assert_int_equal(a.proto, SDP_RTP_AVP);
        check_err(answer(&b, 0, SDP_RTP_AVP, a.lines), 0);
        assert_int_equal(keying_leg_facts(b.leg, 0)->method, sdes ? KEYING_SDES : KEYING_DTLS);
        check_err(accept_(&a, 0, SDP_RTP_AVP, b.lines), 0);
        assert_int_equal(keying_leg_facts(a.leg, 0)->method, sdes ? KEYING_SDES : KEYING_DTLS);
        keying_leg_free(a.leg);
        keying_leg_free(b.leg);
    }
    side_init(&b, bob);
    check_err(answer(&b, 0, SDP_RTP_AVP, ""), ERR_REFUSED);
    check_reason(b.why, "keying-clear");
    b.policy.best_effort = true;
    check_err(answer(&b, 0, SDP_RTP_AVP, ""), 0);
    assert_int_equal(keying_leg_facts(b.leg, 0)->method, KEYING_CLEAR);
    check_err(answer(&b, 0, SDP_RTP_SAVP, ""), ERR_REFUSED);
    keying_leg_free(b.leg);
}

static void test_bid_down(void **state)
{
    struct side a, b;

    (void)state;
    side_init(&a, alice);
    side_init(&b, NULL);
    check_err(accept_(&a, 0, SDP_UDP_TLS_RTP_SAVP, ""), ERR_INVALID); /* nothing is out */
    check_err(offer(&a, 0), 0);
    check_err(accept_(&a, 0, SDP_UDP_TLS_RTP_SAVP, ""), ERR_REFUSED);
    check_reason(a.why, "keying-stripped");
    check_err(accept_(&a, 0, SDP_RTP_AVP, ""), ERR_REFUSED);
    check_reason(a.why, "keying-stripped");
    assert_int_equal(keying_leg_facts(a.leg, 0)->attacks, KEYING_ATTACK_STRIPPED);
    check_err(offer(&b, 0), 0);
    assert_true(has(&b, "a=crypto:"));
    check_err(accept_(&a, 0, SDP_RTP_SAVP, b.lines), ERR_REFUSED);
    check_reason(a.why, "keying-not-offered");
    keying_leg_free(a.leg);
    keying_leg_free(b.leg);
}

/* Best effort, and four answer: by DTLS-SRTP, by SDES, in clear, and one too late. */
static void test_forks_differ(void **state)
{
    static const enum keying_method_id methods[] = {KEYING_DTLS, KEYING_SDES, KEYING_CLEAR};

    (void)state;
    for (size_t first = 0; first < ARRAY_LEN(methods); first++) {
        struct side a, twin[3], b[3];

        side_init(&a, alice);
        a.policy.best_effort = true;
        check_err(offer(&a, 0), 0);
        for (size_t i = 0; i < ARRAY_LEN(methods); i++) {
            side_init(&b[i], bob);
            b[i].policy.methods[0] = (uint8_t)methods[i];
            b[i].policy.n_methods = 1;
            check_err(answer(&b[i], 0, SDP_RTP_AVP, a.lines), 0);
        }
        check_err(accept_(&a, 0, SDP_RTP_AVP, b[first].lines), 0);
        for (size_t i = 0; i < ARRAY_LEN(methods); i++) {
            twin[i] = a;
            check_err(keying_leg_fork(a.leg, &twin[i].leg), 0);
            check_err(accept_(&twin[i], 0, SDP_RTP_AVP, b[i].lines), 0);
            assert_int_equal(keying_leg_facts(twin[i].leg, 0)->method, methods[i]);
            assert_int_equal(keying_leg_facts(twin[i].leg, 0)->attacks, 0);
        }
        assert_int_equal(keying_leg_facts(a.leg, 0)->method, methods[first]);
        tell(&a, KEYING_TELL_NO_BRANCHES);
        assert_int_equal(keying_leg_facts(a.leg, 0)->method, methods[first]);
        for (size_t i = 0; i < ARRAY_LEN(methods); i++) {
            struct side late = a;

            check_err(keying_leg_fork(a.leg, &late.leg), 0);
            if (i != first)
                assert_int_not_equal(accept_(&late, 0, SDP_RTP_AVP, b[i].lines), 0);
            keying_leg_free(late.leg);
            keying_leg_free(twin[i].leg);
            keying_leg_free(b[i].leg);
        }
        /* the next offer stays with what was settled */
        if (methods[first] != KEYING_CLEAR) {
            check_err(offer(&a, 0), 0);
            assert_int_equal(has(&a, "a=crypto:"), methods[first] == KEYING_SDES);
            assert_int_equal(has(&a, "a=fingerprint:"), methods[first] == KEYING_DTLS);
        }
        keying_leg_free(a.leg);
    }
}

/* ---- two media of one leg ---- */

static unsigned pass(struct side *from, struct side *to)
{
    struct keying_event ev;
    unsigned n = 0;

    while (keying_leg_next(from->leg, &ev)) {
        struct keying_at at = now();

        if (ev.kind == KEYING_EVENT_SEND)
            keying_leg_packet(to->leg, ev.section, &at, ev.path, NULL, false, ev.bytes, ev.n);
        n += ev.kind == KEYING_EVENT_INSTALL;
    }
    return n;
}

static void shake(struct side *a, struct side *b, int section)
{
    for (int i = 0;
         i < 2000 && (keying_leg_facts(a->leg, section)->proof < KEYING_PROOF_HANDSHAKE ||
                      keying_leg_facts(b->leg, section)->proof < KEYING_PROOF_HANDSHAKE);
         i++) {
        struct keying_at at = now();
        struct timespec t = {.tv_nsec = 1000000};

        keying_leg_tick(a->leg, &at);
        keying_leg_tick(b->leg, &at);
        (void)pass(a, b);
        (void)pass(b, a);
        nanosleep(&t, NULL);
    }
    assert_int_equal(keying_leg_facts(a->leg, section)->proof, KEYING_PROOF_HANDSHAKE);
    assert_int_equal(keying_leg_facts(b->leg, section)->proof, KEYING_PROOF_HANDSHAKE);
}

/* A medium that is added later resumes the session of the first (TR/100 8.2.2.1), whichever side is
 * the client; all together are known as resumed. */
static void test_second_medium(void **state)
{
    (void)state;
    for (int passive = 0; passive < 2; passive++) {
        struct side a, b;
        struct keying_facts all;

        side_init(&a, alice);
        side_init(&b, bob);
        b.policy.dtls_passive = passive;
        for (int section = 0; section < 2; section++) {
            check_err(offer(&a, section), 0);
            check_err(answer(&b, section, a.proto, a.lines), 0);
            check_err(accept_(&a, section, a.proto, b.lines), 0);
            shake(&a, &b, section);
            assert_int_equal(keying_leg_facts(a.leg, section)->is_resumed, section == 1);
            assert_int_equal(keying_leg_facts(b.leg, section)->is_resumed, section == 1);
        }
        assert_true(keying_leg_facts_all(a.leg, &all));
        assert_true(all.is_resumed);
        assert_int_equal(all.proof, KEYING_PROOF_HANDSHAKE);
        keying_leg_close(a.leg, 1); /* its port became 0 */
        assert_int_equal(keying_leg_facts(a.leg, 1)->method, KEYING_CLEAR);
        assert_int_equal(keying_leg_facts(a.leg, 0)->method, KEYING_DTLS);
        keying_leg_free(a.leg);
        keying_leg_free(b.leg);
    }
}

static int setup(void **state)
{
    (void)state;
    rand_system_init(&rnd);
    return keying_dtls_identity_new(&alice, 1700000000, &rnd) == 0 &&
                   keying_dtls_identity_new(&bob, 1700000000, &rnd) == 0
               ? 0
               : -1;
}

static int teardown(void **state)
{
    (void)state;
    keying_dtls_identity_unref(alice);
    keying_dtls_identity_unref(bob);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_preference),    cmocka_unit_test(test_osrtp_answer),
        cmocka_unit_test(test_bid_down),      cmocka_unit_test(test_forks_differ),
        cmocka_unit_test(test_second_medium),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}

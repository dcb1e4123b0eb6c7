/* Random storms over a transaction layer (under ASan: nothing leaks, nothing is used after it is gone), and all of it again
 * with each allocation failing in turn. */
#include "tx_play.h"

#include "oom.h"
#include "tx_storm.h"

static uint8_t random_byte(void *arg)
{
    struct rand_source *r = arg;
    uint8_t b;

    rand_fill(r, &b, 1);
    return b;
}

static void test_storms(void **state)
{
    uint64_t seed;

    (void)state;
    for (seed = 1; seed <= 300; seed++) {
        struct rand_source r;

        rand_fixed_init(&r, seed);
        storm_run(random_byte, &r, seed % 10 ? 300 : 5000);
    }
}

/* One storm, each allocation failing in turn. */
static void test_storm_oom(void **state)
{
    uint64_t seed;

    (void)state;
    for (seed = 1; seed <= 3; seed++) {
        struct rand_source r;

        OOM_SWEEP(2000, {
            rand_fixed_init(&r, seed);
            storm_run(random_byte, &r, 150);
        });
    }
}

/* A call through a proxy, with all it may need: nothing is lost but what could not be allocated. */
static void call(void)
{
    struct play *p = calloc(1, sizeof *p);
    struct sip_response r = {.status = 487};
    struct path tcp = play_path(TRANSPORT_TCP, "192.0.2.1:33000", 0x100000001);
    struct sip_stx *invite;

    assert_non_null(p);
    rand_fixed_init(&p->rand, 1);
    p->user = (struct sip_txl_user){p, play_send, play_on_request, play_on_ack, play_on_stray, play_on_stx_end,
                                    play_on_stx_failed};
    p->w = wheel_new(0);
    p->l = p->w ? sip_txl_new(&p->user, p->w, &p->rand, 3, 300) : NULL; /* more than one slab */
    if (!p->l)
        goto out;
    if (play_request(p, (struct play_req){.via = "UDP 10.0.0.1:5099"}) == 0 && p->stx) {
        invite = p->stx;
        play_until(p, 200);
        if (play_start(p, SIP_INVITE) == 0) {
            sip_ctx_cancel(p->ctx, STR("SIP;cause=200"));
            if (play_response(p, 180, "INVITE") == 0)
                (void)play_respond(invite, 180);
            (void)play_request(p, (struct play_req){.method = "CANCEL", .via = "UDP 10.0.0.1:5099"});
            (void)play_response(p, 487, "INVITE");
            (void)play_response(p, 487, "INVITE");
        }
        if (sip_stx_reply(invite, &r) != 0)
            sip_stx_drop(invite);
        assert_true(sip_stx_is_final(invite));
    }
    (void)play_request(p, (struct play_req){.branch = ""});
    if (p->stx && play_respond(p->stx, 404) != 0)
        sip_stx_drop(p->stx);
    (void)play_request(p, (struct play_req){.method = "OPTIONS", .from = &tcp, .branch = "z9hG4bKb"});
    play_until(p, 500000);
    if (p->stx && !sip_stx_is_final(p->stx))
        sip_stx_drop(p->stx);
    play_until(p, 1000000);
    assert_int_equal(play_stats(p).stx_now + play_stats(p).ctx_now, 0);
out:
    sip_txl_free(p->l);
    wheel_free(p->w);
    buf_unref(p->sent);
    free(p);
}

static void test_call_oom(void **state)
{
    (void)state;
    OOM_SWEEP(500, { call(); });
}

/* Slabs grow, are reused and never shrink: the second thousand needs nothing new. */
static void test_reuse(void **state)
{
    struct play *p = play_new_n(2000);
    unsigned round, i;
    char branch[32];

    (void)state;
    for (round = 0; round < 3; round++) {
        for (i = 0; i < 900; i++) {
            snprintf(branch, sizeof branch, "z9hG4bK%u", i);
            assert_int_equal(play_request(p, (struct play_req){.method = "OPTIONS", .branch = branch}), 0);
            assert_int_equal(play_respond(p->stx, 200), 0);
            assert_int_equal(play_start(p, SIP_OPTIONS), 0);
            assert_int_equal(play_response(p, 200, "OPTIONS"), 0);
        }
        assert_int_equal(play_stats(p).stx_now + play_stats(p).ctx_now, 1800);
        play_for(p, 32000);
        assert_int_equal(play_stats(p).stx_now + play_stats(p).ctx_now, 0);
    }
    assert_int_equal(play_stats(p).stx_made, 2700);
    play_free(p);
}

/* Near the limit the oldest remnants go, but none younger than 8*T1, and nothing that is still waited for. */
static void test_evict(void **state)
{
    struct play *p = play_new_n(320);
    unsigned i;
    char branch[32];

    (void)state;
    assert_int_equal(play_start(p, SIP_INVITE), 0); /* canceled, and waited for 64*T1 */
    assert_int_equal(play_response(p, 180, "INVITE"), 0);
    sip_ctx_cancel(p->ctx, STR_NULL);
    for (i = 0; i < 307; i++) {
        snprintf(branch, sizeof branch, "z9hG4bK%u", i);
        assert_int_equal(play_request(p, (struct play_req){.method = "OPTIONS", .branch = branch}), 0);
        if (i >= 4)
            assert_int_equal(play_respond(p->stx, 200), 0);
    }
    play_until(p, 3999);
    assert_int_equal(play_request(p, (struct play_req){.method = "OPTIONS", .branch = "z9hG4bKx"}), 0);
    assert_int_equal(play_stats(p).evicted, 0);
    play_until(p, 4000);
    play_clear(p);
    assert_int_equal(play_request(p, (struct play_req){.method = "OPTIONS", .branch = "z9hG4bKy"}), 0);
    check_log(p, "4000 over\n4000 request OPTIONS\n"); /* 310 of 320 were in use: the reserve is 10 */
    assert_int_equal(play_request(p, (struct play_req){.method = "OPTIONS", .branch = "z9hG4bK4"}), 0);
    check_log(p, "4000 over\n4000 request OPTIONS\n"); /* that one had gone */
    assert_int_equal(play_request(p, (struct play_req){.method = "OPTIONS", .branch = "z9hG4bK1"}), 0);
    check_log(p, "4000 send 100 OPTIONS\n"); /* unanswered, and so still there */
    assert_int_equal(play_stats(p).evicted, 2);
    for (i = 1000; i < 2000; i++) {
        snprintf(branch, sizeof branch, "z9hG4bK%u", i);
        if (play_request(p, (struct play_req){.method = "OPTIONS", .branch = branch}) != 0)
            break;
        assert_int_equal(play_respond(p->stx, 200), 0);
    }
    assert_in_range(i, 1300, 1320); /* all old ones have made room once; the new ones are too young */
    assert_null(strstr(p->log, "end timeout"));
    assert_true(play_stats(p).stx_now + play_stats(p).ctx_now <= 320);
    play_for(p, 100000);
    assert_non_null(strstr(p->log, "32000 end timeout\n32000 gone\n"));
    assert_int_equal(play_stats(p).stx_now + play_stats(p).ctx_now, 0);
    play_free(p);
}

/* Timers changed under those that linger: each still ends at its own time. */
static void test_new_timers(void **state)
{
    struct play *p = play_new();
    struct sip_timers slow = {1000, 4000, 64000, 32000}, fast = {500, 4000, 5000, 64000};

    (void)state;
    sip_txl_set_timers(p->l, &slow); /* 64*T1 and T4 are 64 s */
    assert_int_equal(play_request(p, (struct play_req){.method = "OPTIONS"}), 0);
    assert_int_equal(play_respond(p->stx, 200), 0);
    play_clear(p);
    sip_txl_set_timers(p->l, &fast); /* the queue of 64*T1 is for 32 s now */
    assert_int_equal(play_request(p, (struct play_req){.method = "INFO"}), 0);
    assert_int_equal(play_respond(p->stx, 200), 0);
    play_until(p, 31999);
    play_clear(p);
    play_until(p, 100000);
    check_log(p, "32000 over\n64000 over\n");
    play_free(p);
}

/* What the storms have found: a drop inside on_stx_failed, and an end of the CANCEL inside the end of its INVITE. */
static void drop_in_failed(void *arg, struct sip_stx *tx, void *upper, enum sip_tx_end why)
{
    play_on_stx_failed(arg, tx, upper, why);
    sip_stx_drop(tx);
}

static void fail_in_gone(void *arg, struct sip_ctx *tx)
{
    struct play *p = arg;
    struct path to = *sip_ctx_path(tx);

    play_on_gone(arg, tx);
    sip_txl_flow_failed(p->l, to.flow);
}

static void test_found(void **state)
{
    struct play *p = play_new();
    struct sip_txl *l;
    struct sip_ctx_user u = {p, play_on_response, play_on_end, fail_in_gone};
    struct path to = play_path(TRANSPORT_TCP, "192.0.2.2:5060", 0x100000001);
    struct sip_ctx *tx;
    struct buf *b;

    (void)state;
    p->user.on_stx_failed = drop_in_failed;
    l = sip_txl_new(&p->user, p->w, &p->rand, 3, 10);
    assert_non_null(l);
    sip_txl_free(p->l);
    p->l = l;
    assert_int_equal(play_request(p, (struct play_req){.method = "INVITE"}), 0);
    assert_int_equal(play_respond(p->stx, 486), 0);
    play_until(p, 31999);
    play_clear(p);
    play_until(p, 32000);
    check_log(p, "32000 failed timeout\n");
    assert_int_equal(play_stats(p).stx_now, 0);
    assert_int_equal(play_start(p, SIP_INVITE), 0);
    tx = sip_ctx_new(p->l, SIP_INVITE, &u);
    assert_non_null(tx);
    b = buf_copy(buf_str(p->sent));
    assert_non_null(b);
    sip_ctx_detach(p->ctx);
    assert_int_equal(sip_ctx_start(tx, b, &to), 0);
    buf_unref(b);
    p->ctx = tx;
    assert_int_equal(play_response(p, 180, "INVITE"), 0);
    sip_ctx_cancel(tx, STR_NULL);
    assert_int_equal(play_response(p, 487, "INVITE"), 0);
    assert_int_equal(play_stats(p).ctx_now, 3);
    play_for(p, 1); /* timer D is 0; in its end the CANCEL, unanswered, loses its connection */
    assert_int_equal(play_stats(p).ctx_now, 1);
    play_for(p, 32000);
    assert_int_equal(play_stats(p).ctx_now, 0);
    play_free(p);
}

/* What only waits for repetitions of a response (timer K) goes before anything else, at any age. */
static void test_evict_k(void **state)
{
    struct play *p = play_new_n(320);
    unsigned i;
    char branch[32];

    (void)state;
    for (i = 0; i < 150; i++) {
        snprintf(branch, sizeof branch, "z9hG4bK%u", i);
        assert_int_equal(play_request(p, (struct play_req){.method = "OPTIONS", .branch = branch}), 0);
        assert_int_equal(play_respond(p->stx, 200), 0);
        assert_int_equal(play_start(p, SIP_OPTIONS), 0);
        assert_int_equal(play_response(p, 200, "OPTIONS"), 0);
    }
    assert_int_equal(play_stats(p).evicted, 0);
    for (; i < 310; i++) {
        snprintf(branch, sizeof branch, "z9hG4bK%u", i);
        assert_int_equal(play_request(p, (struct play_req){.method = "OPTIONS", .branch = branch}), 0);
        assert_int_equal(play_respond(p->stx, 200), 0);
    }
    assert_int_equal(play_stats(p).evicted, 150);
    assert_int_equal(play_stats(p).ctx_now, 0);
    assert_int_equal(play_stats(p).stx_now, 310);
    play_clear(p);
    for (i = 0; i < 310; i++) { /* none of those that were answered is done twice */
        snprintf(branch, sizeof branch, "z9hG4bK%u", i);
        assert_int_equal(play_request(p, (struct play_req){.method = "OPTIONS", .branch = branch}), 0);
    }
    assert_null(strstr(p->log, "request"));
    play_free(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_storms),
        cmocka_unit_test(test_storm_oom),
        cmocka_unit_test(test_call_oom),
        cmocka_unit_test(test_reuse),
        cmocka_unit_test(test_evict),
        cmocka_unit_test(test_evict_k),
        cmocka_unit_test(test_new_timers),
        cmocka_unit_test(test_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

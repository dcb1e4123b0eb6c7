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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_storms),
        cmocka_unit_test(test_storm_oom),
        cmocka_unit_test(test_call_oom),
        cmocka_unit_test(test_reuse),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

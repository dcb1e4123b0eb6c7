/* base/wheel: against a sorted model with random starts, restarts, cancels and jumps; and each
 * promise of the header. */
#include "check.h"

#include "base/rand.h"
#include "base/wheel.h"
#include "oom.h"
#include <stdlib.h>

#define N_TIMERS 3000

struct probe {
    struct wheel_timer timer;
    uint64_t want_ms; /* UINT64_MAX: not running */
    uint64_t order;   /* of its last start */
};

static struct {
    struct wheel *w;
    struct rand_source r;
    struct probe probes[N_TIMERS];
    uint64_t n_started, n_fired;
    uint64_t last_ms, last_order, target_ms;
    bool does_chain;
} world;

static void begin(uint64_t now_ms, wheel_fn fn)
{
    memset(&world, 0, sizeof(world));
    rand_fixed_init(&world.r, now_ms + 1);
    world.w = wheel_new(now_ms);
    assert_non_null(world.w);
    for (size_t i = 0; i < N_TIMERS; i++) {
        wheel_timer_init(&world.probes[i].timer, fn);
        world.probes[i].want_ms = UINT64_MAX;
    }
}

static void start(struct probe *p, uint64_t delay_ms)
{
    wheel_start(world.w, &p->timer, delay_ms);
    p->want_ms = wheel_now_ms(world.w) + delay_ms;
    p->order = ++world.n_started;
    assert_true(wheel_is_running(&p->timer));
    assert_true(p->timer.due_ms == p->want_ms);
}

static uint64_t random_delay(void)
{
    uint64_t bits = rand_u64(&world.r) % 34;
    return rand_u64(&world.r) & (((uint64_t)1 << bits) - 1);
}

static void on_fire(struct wheel_timer *t)
{
    struct probe *p = CONTAINER_OF(t, struct probe, timer);
    assert_false(wheel_is_running(t));
    assert_true(p->want_ms <= world.target_ms);
    /* In order of due time, ties in order of starting. */
    assert_true(p->want_ms > world.last_ms ||
                (p->want_ms == world.last_ms && p->order > world.last_order));
    assert_true(wheel_now_ms(world.w) >= p->want_ms && wheel_now_ms(world.w) <= p->want_ms + 1);
    world.last_ms = p->want_ms;
    world.last_order = p->order;
    world.n_fired++;
    p->want_ms = UINT64_MAX;
    if (world.does_chain && rand_u64(&world.r) % 2)
        start(p, random_delay());
    if (world.does_chain && rand_u64(&world.r) % 4 == 0) {
        struct probe *other = &world.probes[rand_u64(&world.r) % N_TIMERS];
        wheel_cancel(world.w, &other->timer);
        other->want_ms = UINT64_MAX;
    }
}

static void check_none_late(void)
{
    uint64_t first = UINT64_MAX;
    for (size_t i = 0; i < N_TIMERS; i++) {
        struct probe *p = &world.probes[i];
        assert_int_equal(wheel_is_running(&p->timer), p->want_ms != UINT64_MAX);
        /* A chain with no delay may wait for the next call. */
        assert_true(p->want_ms >= world.target_ms);
        if (p->want_ms < first)
            first = p->want_ms;
    }
    uint64_t next = wheel_next_ms(world.w);
    if (first == UINT64_MAX)
        assert_true(next == UINT64_MAX);
    else
        assert_true(next <= first - wheel_now_ms(world.w)); /* never late */
}

static void run_model(uint64_t now_ms, bool does_chain)
{
    begin(now_ms, on_fire);
    world.does_chain = does_chain;
    world.target_ms = now_ms;
    for (int step = 0; step < 1500; step++) {
        for (int k = 0; k < 20; k++) {
            struct probe *p = &world.probes[rand_u64(&world.r) % N_TIMERS];
            if (rand_u64(&world.r) % 4) {
                start(p, random_delay());
            } else {
                wheel_cancel(world.w, &p->timer);
                p->want_ms = UINT64_MAX;
            }
        }
        uint64_t jump = rand_u64(&world.r) % 3 ? random_delay() >> 8 : wheel_next_ms(world.w);
        if (jump != UINT64_MAX)
            world.target_ms += jump;
        wheel_advance(world.w, world.target_ms);
        assert_true(wheel_now_ms(world.w) == world.target_ms);
        check_none_late();
    }
    assert_true(world.n_fired > 1000);
    wheel_free(world.w);
}

static void test_model(void **state)
{
    (void)state;
    run_model(0, false);
    run_model(0, true);
    run_model(1700000000123, true);
    run_model(((uint64_t)1 << 36) - 77, true); /* carries into a higher level */
    run_model(((uint64_t)1 << 63) - 5, false);
}

static void test_steps(void **state)
{
    (void)state;
    begin(1000, on_fire);
    world.target_ms = 1000;
    start(&world.probes[0], 0);
    assert_int_equal(world.n_fired, 0); /* not inside wheel_start */
    assert_int_equal(wheel_next_ms(world.w), 0);
    wheel_advance(world.w, 1000);
    assert_int_equal(world.n_fired, 1);
    start(&world.probes[0], 500);
    start(&world.probes[1], 501);
    world.target_ms = 1499;
    wheel_advance(world.w, 1499);
    assert_int_equal(world.n_fired, 1);
    wheel_advance(world.w, 700); /* never back */
    assert_int_equal(wheel_now_ms(world.w), 1499);
    start(&world.probes[0], 10); /* restart */
    world.target_ms = 1501;
    wheel_advance(world.w, 1501);
    assert_int_equal(world.n_fired, 2);
    wheel_cancel(world.w, &world.probes[0].timer);
    world.probes[0].want_ms = UINT64_MAX;
    assert_true(wheel_next_ms(world.w) == UINT64_MAX);
    wheel_cancel(world.w, &world.probes[0].timer);
    wheel_start(world.w, &world.probes[0].timer, UINT64_MAX); /* saturates */
    assert_true(world.probes[0].timer.due_ms == UINT64_MAX &&
                wheel_is_running(&world.probes[0].timer));
    wheel_free(world.w);
    assert_false(wheel_is_running(&world.probes[0].timer)); /* unlinked */
    wheel_free(NULL);
}

static struct {
    struct wheel *w;
    struct wheel_timer *t;
    unsigned n;
} loop_;

static void again_at_once(struct wheel_timer *t)
{
    loop_.n++;
    wheel_start(loop_.w, t, 0);
    wheel_advance(loop_.w, UINT64_MAX); /* refused */
}

static void free_self(struct wheel_timer *t)
{
    loop_.n++;
    free(t);
}

static void cancel_other(struct wheel_timer *t)
{
    (void)t;
    loop_.n++;
    wheel_cancel(loop_.w, loop_.t);
}

static void test_callbacks(void **state)
{
    (void)state;
    struct wheel_timer a, b;
    loop_.w = wheel_new(0);
    loop_.n = 0;
    wheel_timer_init(&a, again_at_once);
    wheel_start(loop_.w, &a, 0);
    wheel_advance(loop_.w, 0);
    assert_int_equal(loop_.n, 1); /* a timer that restarts itself does not hold us up */
    wheel_advance(loop_.w, 100);
    assert_in_range(loop_.n, 2, 102);
    wheel_cancel(loop_.w, &a);
    struct wheel_timer *heap = malloc(sizeof(*heap));
    wheel_timer_init(heap, free_self);
    wheel_start(loop_.w, heap, 5);
    loop_.n = 0;
    wheel_advance(loop_.w, 105);
    assert_int_equal(loop_.n, 1);
    /* Due in the same millisecond, cancelled by the one before it. */
    wheel_timer_init(&a, cancel_other);
    wheel_timer_init(&b, cancel_other);
    loop_.t = &b;
    wheel_start(loop_.w, &a, 5);
    wheel_start(loop_.w, &b, 5);
    wheel_advance(loop_.w, 200);
    assert_int_equal(loop_.n, 2);
    assert_false(wheel_is_running(&b));
    wheel_free(loop_.w);
}

static void test_oom(void **state)
{
    (void)state;
    OOM_SWEEP(5, { wheel_free(wheel_new(0)); });
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_model),
        cmocka_unit_test(test_steps),
        cmocka_unit_test(test_callbacks),
        cmocka_unit_test(test_oom),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

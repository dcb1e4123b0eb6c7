/* When a worker lets messages gather, and how long: nothing for light load, up to the maximum under
 * some load, nothing when it has no time to lose. */
#include "check.h"
#include "net/pace.h"

struct sim {
    struct pace p;
    uint64_t now_us, waits, waited_us;
};

/* Messages come `gap_us` apart; each turn takes turn_us and fix_us a message. Returns messages a
 * turn. */
static double play(struct sim *s, uint32_t max_us, uint64_t gap_us, uint64_t turn_us,
                   uint64_t each_us, uint64_t until_us)
{
    uint64_t next_us = s->now_us, n_all = 0, turns = 0;

    s->waits = s->waited_us = 0;
    while (s->now_us < until_us) {
        uint32_t n = 0, wait;

        if (s->now_us < next_us)
            s->now_us = next_us; /* the loop slept until something came */
        uint64_t began_us = s->now_us;
        for (; next_us <= s->now_us; next_us += gap_us)
            n++;
        s->now_us += turn_us + n * each_us;
        wait = pace_next(&s->p, max_us, began_us, s->now_us, n);
        assert_true(wait <= max_us);
        s->now_us += wait;
        s->waits += wait != 0;
        s->waited_us += wait;
        n_all += n;
        turns++;
    }
    return (double)n_all / (double)turns;
}

static void test_light(void **state)
{
    struct sim s = {.now_us = 1000000};

    (void)state;
    assert_true(play(&s, 1000, 1000, 20, 5, 3000000) < 1.01); /* 1,000 a second */
    assert_int_equal(s.waits, 0);
    assert_true(play(&s, 1000, 500, 20, 5, 5000000) < 1.01); /* 2,000 */
    assert_int_equal(s.waits, 0);
}

static void test_busy(void **state)
{
    struct sim s = {.now_us = 1000000};

    (void)state;
    assert_true(play(&s, 1000, 160, 20, 5, 3000000) > 5.5); /* 6,000 */
    assert_true(play(&s, 1000, 100, 20, 5, 5000000) > 9);   /* 10,000 */
    assert_true(play(&s, 3000, 80, 20, 5, 7000000) > 30);    /* 12,500: it sleeps most of the time */
    /* 40,000: less than the longest wait will do, and fewer in a turn */
    assert_true(play(&s, 3000, 25, 20, 5, 9000000) > 14);
    assert_true(s.waited_us / s.waits < 500);
}

/* The worker can hardly follow: what comes while it works is enough. */
static void test_saturated(void **state)
{
    struct sim s = {.now_us = 1000000};

    (void)state;
    play(&s, 1000, 5, 20, 5, 3000000);
    assert_true(s.waits < 20); /* at the beginning */
    play(&s, 1000, 5, 20, 5, 5000000);
    assert_true(s.waits <= 1); /* the first one comes alone */
}

/* After a burst the first message that comes alone waits for nothing for long. */
static void test_over(void **state)
{
    struct sim s = {.now_us = 1000000};

    (void)state;
    play(&s, 1000, 100, 20, 5, 2000000);
    play(&s, 1000, 50000, 20, 5, 3000000);
    assert_true(s.waits <= 1);
}

static void test_off(void **state)
{
    struct sim s = {.now_us = 1000000};

    (void)state;
    play(&s, 0, 100, 20, 5, 2000000);
    assert_int_equal(s.waits, 0);
}

/* Two workers that share a load are to wake up as often together as one that has it alone. */
static void test_shared(void **state)
{
    struct sim one = {.now_us = 1000000}, two = one;
    double alone, half;

    (void)state;
    alone = play(&one, pace_longest(1000, 1), 100, 20, 5, 5000000);
    half = play(&two, pace_longest(1000, 2), 200, 20, 5, 5000000);
    assert_true(half > 0.95 * alone);
    assert_int_equal(pace_longest(1500, 2), 3000);
    assert_int_equal(pace_longest(1500, 64), PACE_LONGEST_US);
    assert_int_equal(pace_longest(5000, 2), 5000);
    assert_int_equal(pace_longest(0, 8), 0);
    assert_int_equal(pace_longest(1000, 0), 1000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_light), cmocka_unit_test(test_busy), cmocka_unit_test(test_saturated),
        cmocka_unit_test(test_over),  cmocka_unit_test(test_off),
        cmocka_unit_test(test_shared),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

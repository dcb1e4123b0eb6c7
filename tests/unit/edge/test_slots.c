/* Records by slot and generation: names of what is gone name nobody, room grows to its limit and is
 * used again, and without memory everything stays as it was. */
#include "check.h"
#include "edge/slots.h"
#include "oom.h"

static struct rand_source rand;

static void test_names(void **state)
{
    int a, b;
    uint32_t slot_a, gen_a, slot_b, gen_b;
    struct slots s;

    (void)state;
    slots_init(&s, 2, 4, 0xffffff);
    assert_null(slots_get(&s, 0));
    assert_int_equal(slots_room(&s, &rand), 0);
    slots_put(&s, &a, &slot_a, &gen_a);
    assert_ptr_equal(slots_get(&s, slot_a), &a);
    slots_remove(&s, slot_a);
    assert_null(slots_get(&s, slot_a));
    assert_int_equal(slots_room(&s, &rand), 0);
    slots_put(&s, &b, &slot_b, &gen_b);
    assert_int_equal(slot_b, slot_a); /* what was freed last is warm */
    assert_int_not_equal(gen_b, gen_a);
    assert_in_range(gen_b, 1, 0xffffff);
    assert_null(slots_get(&s, 4));
    slots_done(&s);
}

/* A generation that has come round is never 0. */
static void test_wrap(void **state)
{
    uint32_t slot, gen, before = 0;
    struct slots s;
    int a;

    (void)state;
    slots_init(&s, 1, 1, 3);
    for (unsigned i = 0; i < 20; i++, before = gen) {
        assert_int_equal(slots_room(&s, &rand), 0);
        slots_put(&s, &a, &slot, &gen);
        assert_in_range(gen, 1, 3);
        assert_int_not_equal(gen, before);
        slots_remove(&s, slot);
    }
    slots_done(&s);
}

static void test_limit(void **state)
{
    uint32_t slot[4], gen;
    struct slots s;
    int a;

    (void)state;
    slots_init(&s, 2, 4, UINT32_MAX);
    for (unsigned i = 0; i < 4; i++) {
        assert_int_equal(slots_room(&s, &rand), 0);
        slots_put(&s, &a, &slot[i], &gen);
        for (unsigned k = 0; k < i; k++)
            assert_int_not_equal(slot[k], slot[i]);
    }
    assert_int_equal(s.n, 4);
    assert_int_equal(slots_room(&s, &rand), ERR_LIMIT);
    slots_remove(&s, slot[1]);
    assert_int_equal(slots_room(&s, &rand), 0);
    slots_done(&s);
}

static void test_no_memory(void **state)
{
    (void)state;
    OOM_SWEEP(10, {
        uint32_t slot, gen;
        struct slots s;
        int a;

        slots_init(&s, 1, 4, UINT32_MAX);
        for (unsigned i = 0; i < 3; i++)
            if (slots_room(&s, &rand) == 0) {
                slots_put(&s, &a, &slot, &gen);
                assert_ptr_equal(slots_get(&s, slot), &a);
            }
        slots_done(&s);
    });
}

static int set_up(void **state)
{
    (void)state;
    rand_system_init(&rand);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_wrap),
        cmocka_unit_test(test_limit),
        cmocka_unit_test(test_no_memory),
    };

    return cmocka_run_group_tests(tests, set_up, NULL);
}

/* Guessers wait longer and longer; others at the same address, and the user elsewhere, do not (TR/100 6.2). */
#include "check.h"
#include "edge/admit/guard.h"

static struct addr at(const char *t)
{
    struct addr a;

    assert_int_equal(addr_parse(&a, str_z(t), 5060), 0);
    return a;
}

static void slows_the_pair_only(void **state)
{
    struct edge_guard *g = guard_new(3);
    struct addr eve = at("192.0.2.66"), alice = at("192.0.2.10");
    unsigned first, i;

    (void)state;
    assert_non_null(g);
    for (i = 0; i < 2; i++)
        guard_failed(g, &eve, STR("alice"), 100);
    assert_int_equal(guard_wait_s(g, &eve, STR("alice"), 100), 0);
    guard_failed(g, &eve, STR("alice"), 100);
    first = guard_wait_s(g, &eve, STR("alice"), 100);
    assert_true(first > 0);
    assert_int_equal(guard_wait_s(g, &eve, STR("bob"), 100), 0);
    assert_int_equal(guard_wait_s(g, &alice, STR("alice"), 100), 0);
    assert_int_equal(guard_wait_s(g, &eve, STR("alice"), 100 + first), 0);
    guard_failed(g, &eve, STR("ALICE"), 110);
    assert_true(guard_wait_s(g, &eve, STR("alice"), 110) > first);
    guard_succeeded(g, &eve, STR("alice"));
    assert_int_equal(guard_wait_s(g, &eve, STR("alice"), 111), 0);
    guard_free(g);
}

static void slows_a_source_with_many_names(void **state)
{
    struct edge_guard *g = guard_new(3);
    struct addr eve = at("2001:db8::1"), neighbour = at("2001:db8::2"), other = at("2001:db8:0:1::1");
    char name[16];
    unsigned i;

    (void)state;
    for (i = 0; i < 30; i++) {
        name[0] = (char)('a' + (int)i % 26);
        name[1] = (char)('a' + (int)i / 26);
        guard_failed(g, &eve, str_make(name, 2), 100);
    }
    assert_true(guard_wait_s(g, &eve, STR("fresh"), 100) > 0);
    assert_true(guard_wait_s(g, &neighbour, STR("fresh"), 100) > 0); /* the same /64 */
    assert_int_equal(guard_wait_s(g, &other, STR("fresh"), 100), 0);
    guard_free(g);
}

static void forgets(void **state)
{
    struct edge_guard *g = guard_new(2);
    struct addr eve = at("192.0.2.66");

    (void)state;
    guard_failed(g, &eve, STR("alice"), 100);
    guard_failed(g, &eve, STR("alice"), 2000);
    assert_int_equal(guard_wait_s(g, &eve, STR("alice"), 2000), 0);
    guard_free(g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(slows_the_pair_only),
        cmocka_unit_test(slows_a_source_with_many_names),
        cmocka_unit_test(forgets),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

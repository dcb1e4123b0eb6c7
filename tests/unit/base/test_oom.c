/* base/mem and base/fault: the hook that other rooms' tests rely on. */
#include "check.h"

#include "base/mem.h"
#include "oom.h"
#include <pthread.h>

static void test_plain(void **state)
{
    (void)state;
    void *p = mem_alloc(0), *q = mem_zalloc(0);
    assert_non_null(p);
    assert_non_null(q);
    mem_free(p);
    mem_free(q);
    mem_free(NULL);
    assert_null(mem_zalloc_array(SIZE_MAX / 2, 16));
    p = mem_zalloc_array(0, 0);
    assert_non_null(p);
    mem_free(p);
    char *s = mem_realloc(NULL, 4);
    assert_non_null(s);
    memcpy(s, "abc", 4);
    char *t = mem_realloc(s, 4000);
    assert_string_equal(t, "abc");
    mem_free(t);
}

static void *other_thread(void *arg)
{
    void *p = mem_alloc(1);
    *(bool *)arg = p != NULL;
    mem_free(p);
    return NULL;
}

static void test_arm(void **state)
{
    (void)state;
    if (!fault_is_built())
        return;
    pthread_t thread;
    bool was_given = false;
    fault_arm(2);
    assert_int_equal(pthread_create(&thread, NULL, other_thread, &was_given), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_true(was_given);
    void *a = mem_alloc(1), *b = mem_zalloc(1), *c = mem_realloc(NULL, 1);
    assert_non_null(a);
    assert_null(b);
    assert_non_null(c);
    assert_true(fault_disarm());
    assert_false(fault_disarm());
    mem_free(c);
    fault_arm_rest(1);
    b = mem_alloc(1);
    c = mem_realloc(a, 100);
    assert_null(b);
    assert_null(c);
    assert_true(fault_disarm());
    mem_free(a);
}

static void test_sweep(void **state)
{
    (void)state;
    unsigned n_runs = 0, n_failed = 0;
    OOM_SWEEP(10, {
        void *p[3];
        bool failed = false;
        for (size_t i = 0; i < 3; i++)
            failed |= !(p[i] = mem_alloc(1));
        for (size_t i = 0; i < 3; i++)
            mem_free(p[i]);
        n_runs++;
        n_failed += failed;
    });
    assert_int_equal(n_runs, fault_is_built() ? 8 : 2);
    assert_int_equal(n_failed, fault_is_built() ? 6 : 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_plain),
        cmocka_unit_test(test_arm),
        cmocka_unit_test(test_sweep),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

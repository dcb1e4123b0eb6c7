/* base/buf: sizes, references, and the per-thread pool. */
#include "check.h"

#include "base/base_priv.h"
#include "base/buf.h"
#include "base/limits.h"
#include "oom.h"

static void test_refs(void **state)
{
    (void)state;
    struct buf *b = buf_copy(STR("INVITE"));
    assert_non_null(b);
    check_str(buf_str(b), "INVITE");
    assert_true(buf_is_sole(b));
    struct buf *again = buf_ref(b);
    assert_ptr_equal(again, b);
    assert_false(buf_is_sole(b));
    buf_unref(b);
    assert_true(buf_is_sole(again));
    check_str(buf_str(again), "INVITE");
    buf_unref(again);
    buf_unref(NULL);
    b = buf_copy(STR_NULL);
    assert_int_equal(b->n, 0);
    buf_unref(b);
}

static void test_sizes(void **state)
{
    (void)state;
    for (int pooled = 0; pooled < 2; pooled++) {
        pool_set_enabled(pooled);
        for (size_t n = 0; n <= LIMIT_BUF_BYTES; n = n * 2 + 1) {
            struct buf *b = buf_new(n);
            assert_non_null(b);
            assert_true(b->cap >= n);
            memset(b->p, 0x55, b->cap);
            buf_unref(b);
        }
        assert_null(buf_new(LIMIT_BUF_BYTES + 1u));
        assert_null(buf_new(SIZE_MAX));
    }
    buf_pool_done();
}

static void test_pool(void **state)
{
    (void)state;
    pool_set_enabled(true);
    struct buf *b = buf_new(100);
    buf_unref(b);
    assert_ptr_equal(buf_new(256), b); /* reused, the class is 256 */
    struct buf *other = buf_new(256);
    assert_ptr_not_equal(other, b);
    buf_unref(b);
    buf_unref(other);
    /* More than a list keeps goes back to malloc. ASan does not give a freed block out again soon,
     * so there what comes back is what the list kept. */
    static struct buf *many[100], *later[100];
    size_t n_kept = 0;
    for (size_t i = 0; i < ARRAY_LEN(many); i++)
        assert_non_null(many[i] = buf_new(60000));
    for (size_t i = 0; i < ARRAY_LEN(many); i++)
        buf_unref(many[i]);
    for (size_t i = 0; i < ARRAY_LEN(many); i++) {
        assert_non_null(later[i] = buf_new(60000));
        for (size_t k = 0; k < ARRAY_LEN(many); k++)
            n_kept += later[i] == many[k];
    }
    assert_true(n_kept > 0);
#ifdef ASAN_ENABLED
    assert_true(n_kept < ARRAY_LEN(many));
#endif
    for (size_t i = 0; i < ARRAY_LEN(many); i++)
        buf_unref(later[i]);
    buf_pool_done();
    buf_pool_done();
}

static void test_oom(void **state)
{
    (void)state;
    pool_set_enabled(true);
    buf_unref(buf_new(10)); /* a block in the list must not hide the failure */
    if (fault_is_built()) {
        fault_arm(1);
        assert_null(buf_new(10));
        assert_true(fault_disarm());
    }
    OOM_SWEEP(10, {
        struct buf *b = buf_copy(STR("abc"));
        if (b)
            check_str(buf_str(b), "abc");
        buf_unref(b);
    });
    buf_pool_done();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_refs),
        cmocka_unit_test(test_sizes),
        cmocka_unit_test(test_pool),
        cmocka_unit_test(test_oom),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

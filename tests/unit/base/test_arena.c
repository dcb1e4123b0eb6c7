/* base/arena: alignment, growth, the cap, reset, and the use of the block pool. */
#include "check.h"

#include "base/arena.h"
#include "base/base_priv.h"
#include "base/buf.h"
#include "oom.h"

static void test_alloc(void **state)
{
    (void)state;
    struct arena *a = arena_new(64, 1u << 20);
    assert_non_null(a);
    char *last = NULL;
    for (size_t i = 0; i < 2000; i++) {
        size_t n = i % 97;
        char *p = arena_alloc(a, n);
        assert_non_null(p);
        assert_int_equal((uintptr_t)p % 16, 0);
        assert_ptr_not_equal(p, last);
        memset(p, (int)i, n);
        last = p;
    }
    char *z = arena_zalloc(a, 5000);
    for (size_t i = 0; i < 5000; i++)
        assert_int_equal(z[i], 0);
    assert_true(arena_used(a) >= 2000 * 48 + 5000);
    arena_reset(a);
    assert_int_equal(arena_used(a), 0);
    assert_non_null(arena_alloc(a, 10));
    arena_free(a);
    arena_free(NULL);
}

static void test_text(void **state)
{
    (void)state;
    struct arena *a = arena_new(32, 4096);
    struct str s = arena_str(a, STR("hello"));
    check_str(s, "hello");
    assert_int_equal(s.p[5], 0);
    struct str e = arena_str(a, STR_NULL);
    assert_non_null(e.p);
    assert_int_equal(e.p[0], 0);
    check_str(arena_fmt(a, "%d-%s", 42, "a text that is longer than the first chunk has room for"),
              "42-a text that is longer than the first chunk has room for");
    check_str(s, "hello");
    arena_free(a);
}

static void test_cap(void **state)
{
    (void)state;
    for (size_t first = 0; first <= 4096; first += 512) {
        struct arena *a = arena_new(first, 4096);
        size_t sum = 0;
        while (arena_alloc(a, 16))
            sum += 16;
        assert_true(sum <= 4096 && sum >= 1024);
        while (arena_str(a, STR("")).p) /* to the last byte */
            sum++;
        assert_true(sum <= 4096);
        assert_null(arena_fmt(a, "%d", 1234567).p);
        arena_reset(a);
        assert_non_null(arena_alloc(a, 16));
        assert_null(arena_alloc(a, 4097));
        assert_null(arena_alloc(a, SIZE_MAX));
        assert_null(arena_alloc(a, SIZE_MAX - 64));
        assert_null(arena_zalloc(a, SIZE_MAX));
        arena_free(a);
    }
    struct arena *a = arena_new(1u << 20, 100);
    assert_null(arena_alloc(a, 101));
    assert_non_null(arena_alloc(a, 100));
    arena_free(a);
}

static void test_pooled(void **state)
{
    (void)state;
    pool_set_enabled(true);
    struct arena *a = arena_new(4096, 1u << 19);
    for (size_t i = 0; i < 100; i++)
        memset(arena_alloc(a, 1000), 1, 1000);
    arena_free(a);
    struct arena *b = arena_new(4000, 1u << 19); /* the same class, so the same block */
    assert_ptr_equal(a, b);
    memset(arena_alloc(b, 4000), 2, 4000);
    arena_free(b);
    buf_pool_done();
}

static void test_oom(void **state)
{
    (void)state;
    OOM_SWEEP(20, {
        struct arena *a = arena_new(64, 1u << 20);
        if (a) {
            for (size_t i = 1; i < 5; i++) {
                char *p = arena_alloc(a, i * 1000);
                if (p)
                    memset(p, 0, i * 1000);
            }
            arena_free(a);
        }
    });
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_alloc),  cmocka_unit_test(test_text), cmocka_unit_test(test_cap),
        cmocka_unit_test(test_pooled), cmocka_unit_test(test_oom),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

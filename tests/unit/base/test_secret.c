/* base/secret. */
#include "check.h"

#include "base/err.h"
#include "base/secret.h"

static void test_secret(void **state)
{
    (void)state;
    struct secret a, b;
    unsigned char big[SECRET_MAX + 1], zero[SECRET_MAX] = {0};
    memset(big, 7, sizeof(big));
    check_err(secret_set(&a, "key", 3), 0);
    check_err(secret_set(&b, "key", 3), 0);
    assert_true(secret_eq(&a, &b));
    check_err(secret_set(&b, "kez", 3), 0);
    assert_false(secret_eq(&a, &b));
    check_err(secret_set(&b, "ke", 2), 0);
    assert_false(secret_eq(&a, &b));
    check_err(secret_set(&a, a.p + 1, 2), 0); /* from itself */
    assert_memory_equal(a.p, "ey", 2);
    check_err(secret_set(&a, big, SECRET_MAX), 0);
    check_err(secret_set(&a, big, SECRET_MAX + 1), ERR_LIMIT);
    assert_int_equal(a.n, SECRET_MAX); /* refused, so unchanged */
    secret_done(&a);
    secret_done(&a);
    assert_int_equal(a.n, 0);
    assert_memory_equal(a.p, zero, SECRET_MAX);
    check_err(secret_set(&a, NULL, 0), 0);
    check_err(secret_set(&b, NULL, 0), 0);
    assert_true(secret_eq(&a, &b));
}

static void test_bytes(void **state)
{
    (void)state;
    char p[4] = "abc";
    assert_true(secret_bytes_eq("abc", p, 3));
    assert_false(secret_bytes_eq("abd", p, 3));
    assert_true(secret_bytes_eq("x", p, 0));
    secret_wipe(p, 3);
    assert_memory_equal(p, "\0\0\0", 3);
    secret_wipe(NULL, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_secret), cmocka_unit_test(test_bytes)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

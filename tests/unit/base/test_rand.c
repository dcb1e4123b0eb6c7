/* base/rand: repeatable where it should be, and not where it must not be (a child process, two
 * sources). */
#include "check.h"

#include "base/rand.h"
#include <sys/wait.h>
#include <unistd.h>

static void test_fixed(void **state)
{
    (void)state;
    struct rand_source a, b;
    char x[40], y[40];
    rand_fixed_init(&a, 0);
    assert_true(rand_u64(&a) ==
                0xe220a8397b1dcdafu); /* SplitMix64's published first outputs for seed 0 */
    assert_true(rand_u64(&a) == 0x6e789e6aa1b965f4u);
    rand_fixed_init(&a, 9);
    rand_fixed_init(&b, 9);
    rand_token(&a, x, sizeof(x));
    rand_token(&b, y, sizeof(y));
    assert_memory_equal(x, y, sizeof(x));
    rand_fixed_init(&b, 10);
    rand_token(&b, y, sizeof(y));
    assert_memory_not_equal(x, y, sizeof(x));
}

static void test_token(void **state)
{
    (void)state;
    struct rand_source r;
    static char text[360000];
    unsigned count[256] = {0};
    rand_system_init(&r);
    rand_token(&r, text, sizeof(text));
    for (size_t i = 0; i < sizeof(text); i++)
        count[(unsigned char)text[i]]++;
    for (const char *c = "abcdefghijklmnopqrstuvwxyz0123456789"; *c; c++) {
        /* 10000 expected, standard deviation 99; a plain remainder of a byte would give some
         * letters 11250 */
        assert_in_range(count[(unsigned char)*c], 9200, 10800);
        count[(unsigned char)*c] = 0;
    }
    for (size_t i = 0; i < 256; i++)
        assert_int_equal(count[i], 0);
}

static void test_system(void **state)
{
    (void)state;
    struct rand_source a, b;
    unsigned char x[600], y[600];
    rand_system_init(&a);
    rand_system_init(&b);
    for (size_t n = 16; n <= sizeof(x); n += 73) { /* buffered and direct */
        rand_fill(&a, x, n);
        rand_fill(&b, y, n);
        assert_memory_not_equal(x, y, n);
        rand_fill(&a, y, n);
        assert_memory_not_equal(x, y, n);
    }
    rand_fill(&a, x, 0);
}

static void test_wiped(void **state)
{
    (void)state;
    struct rand_source a;
    unsigned char x[32], zero[32] = {0};
    rand_system_init(&a);
    rand_fill(&a, x, sizeof(x));
    assert_memory_not_equal(x, zero, sizeof(x));
    assert_memory_equal(a.buf, zero, sizeof(zero)); /* what was handed out is no longer there */
}

static void test_fork(void **state)
{
    (void)state;
    struct rand_source a;
    uint64_t mine, theirs = 0;
    int fds[2];
    rand_system_init(&a);
    (void)rand_u64(&a); /* something is buffered */
    assert_int_equal(pipe(fds), 0);
    pid_t child = fork();
    if (child == 0) {
        uint64_t v = rand_u64(&a);
        _exit(write(fds[1], &v, sizeof(v)) == (ssize_t)sizeof(v) ? 0 : 1);
    }
    assert_true(child > 0);
    mine = rand_u64(&a);
    assert_int_equal(read(fds[0], &theirs, sizeof(theirs)), sizeof(theirs));
    assert_int_equal(waitpid(child, NULL, 0), child);
    close(fds[0]);
    close(fds[1]);
    assert_true(mine != theirs);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fixed), cmocka_unit_test(test_token), cmocka_unit_test(test_system),
        cmocka_unit_test(test_wiped), cmocka_unit_test(test_fork),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

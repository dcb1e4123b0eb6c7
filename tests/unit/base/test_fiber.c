/* Stacks that can be left and come back to: order, many at once, deep ones, and the page below. */
#include "check.h"

#include "base/fiber.h"
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define N 50

struct job {
    struct fiber *f;
    unsigned step;
    unsigned depth;
};

static unsigned deep(struct job *j, unsigned depth)
{
    volatile char room[1000];

    for (size_t i = 0; i < sizeof(room); i++)
        room[i] = (char)(depth + i);
    if (depth == 0)
        fiber_pause(j->f);
    else
        j->step += deep(j, depth - 1);
    for (size_t i = 0; i < sizeof(room); i++)
        assert_true(room[i] == (char)(depth + i));
    return 1;
}

static void run(void *arg)
{
    struct job *j = arg;

    j->step = 1;
    fiber_pause(j->f);
    (void)deep(j, j->depth);
    j->step = 1000;
}

static void many(void **state)
{
    struct job j[N];

    (void)state;
    for (unsigned i = 0; i < N; i++) {
        j[i] = (struct job){.depth = i};
        check_err(fiber_new(128 << 10, &j[i].f), 0);
    }
    for (unsigned again = 0; again < 3; again++) { /* each can be used again */
        for (unsigned i = 0; i < N; i++) {
            assert_false(fiber_start(j[i].f, run, &j[i]));
            assert_int_equal(j[i].step, 1);
        }
        for (unsigned i = 0; i < N; i++)
            assert_false(fiber_resume(j[N - 1 - i].f));
        for (unsigned i = 0; i < N; i++) {
            assert_true(fiber_resume(j[i].f));
            assert_int_equal(j[i].step, 1000);
        }
    }
    for (unsigned i = 0; i < N; i++)
        fiber_free(j[i].f);
    fiber_free(NULL);
}

static void at_once(void *arg)
{
    ++*(unsigned *)arg;
}

static void not_paused(void **state)
{
    struct fiber *f;
    unsigned n = 0;

    (void)state;
    check_err(fiber_new(1, &f), 0); /* a page at least */
    fiber_free(f);                  /* never used */
    check_err(fiber_new(65536, &f), 0);
    for (unsigned i = 0; i < 10; i++)
        assert_true(fiber_start(f, at_once, &n));
    assert_int_equal(n, 10);
    fiber_free(f);
}

static unsigned endless(unsigned n)
{
    volatile char room[512];

    room[n % sizeof(room)] = (char)n;
    return n == UINT32_MAX ? n : endless(n + 1) + (unsigned)room[n % sizeof(room)];
}

static void overflow(void *arg)
{
    *(unsigned *)arg = endless(0);
}

/* What is too deep ends the process, and touches nobody's memory. */
static void guarded(void **state)
{
    int status = 0;
    pid_t pid = fork();

    (void)state;
    if (pid == 0) {
        struct fiber *f;

        unsigned n;

        (void)signal(SIGSEGV, SIG_DFL); /* not cmocka's, which would go on with the next test */
        (void)close(STDERR_FILENO);
        if (fiber_new(65536, &f) == 0)
            (void)fiber_start(f, overflow, &n);
        _exit(0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status) || (WIFEXITED(status) && WEXITSTATUS(status) != 0));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(many),
        cmocka_unit_test(not_paused),
        cmocka_unit_test(guarded),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

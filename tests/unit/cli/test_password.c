/* Asking for a password, from a pipe and from a terminal: nothing is echoed, and the terminal is
 * left as it was. */
#include "check.h"
#include "cli/password.h"
#include <pty.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

/* What password_read makes of standard input; printed by the child as "<err> <text>". */
static void child(void)
{
    char buf[PASSWORD_MAX + 1];
    struct str got = STR_NULL;
    struct reason why = {0};
    struct termios t;
    int err = password_read(STR("alice"), buf, sizeof(buf), &got, &why);

    printf("=%d %.*s=", err, err ? 0 : (int)got.n, got.p);
    if (tcgetattr(STDIN_FILENO, &t) == 0)
        printf("%s", t.c_lflag & ECHO ? "echo" : "silent");
    printf(".\n");
    fflush(stdout);
    _exit(0);
}

static void read_all(int fd, char *out, size_t cap)
{
    size_t n = 0;
    ssize_t got;

    while (n + 1 < cap && (got = read(fd, out + n, cap - 1 - n)) > 0)
        n += (size_t)got;
    out[n] = 0;
}

static void by_pipe(const char *in, const char *expected)
{
    int to[2], from[2];
    char out[1024];
    pid_t pid;

    assert_int_equal(pipe(to), 0);
    assert_int_equal(pipe(from), 0);
    pid = fork();
    if (pid == 0) {
        dup2(to[0], STDIN_FILENO);
        dup2(from[1], STDOUT_FILENO);
        close(to[1]);
        child();
    }
    close(to[0]);
    close(from[1]);
    assert_int_equal(write(to[1], in, strlen(in)), (ssize_t)strlen(in));
    close(to[1]);
    read_all(from[0], out, sizeof(out));
    close(from[0]);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    assert_string_equal(out, expected);
}

static void test_pipe(void **state)
{
    char long_one[PASSWORD_MAX + 3], text[400];

    (void)state;
    by_pipe("secret one\nsecond line\n", "=0 secret one=.\n");
    by_pipe("secret\r\n", "=0 secret=.\n");
    by_pipe("secret", "=0 secret=.\n");
    by_pipe("\n", "=0 =.\n"); /* empty: refused by those who ask */
    snprintf(text, sizeof(text), "=%d =.\n", ERR_CLOSED);
    by_pipe("", text);
    memset(long_one, 'x', sizeof(long_one));
    long_one[PASSWORD_MAX + 1] = 0;
    snprintf(text, sizeof(text), "=%d =.\n", ERR_LIMIT);
    by_pipe(long_one, text);
    long_one[PASSWORD_MAX] = 0;
    snprintf(text, sizeof(text), "=0 %s=.\n", long_one);
    by_pipe(long_one, text);
}

/* Reads the terminal until `text` has come. */
static void await(int fd, char *out, size_t cap, const char *text)
{
    size_t n = strlen(out);
    ssize_t got;

    while (!strstr(out, text) && n + 1 < cap && (got = read(fd, out + n, cap - 1 - n)) > 0) {
        n += (size_t)got;
        out[n] = 0;
    }
    if (!strstr(out, text))
        fail_msg("\"%s\" never came: \"%s\"", text, out);
}

static void say(int fd, const char *text)
{
    assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
}

static void test_terminal(void **state)
{
    char out[1024] = "", expected[64];
    int fd;
    pid_t pid = forkpty(&fd, NULL, NULL, NULL);

    (void)state;
    if (pid == 0)
        child();
    assert_true(pid > 0);
    await(fd, out, sizeof(out), "Password for alice: ");
    say(fd, "pass word\n");
    await(fd, out, sizeof(out), "again: ");
    say(fd, "pass word\n");
    await(fd, out, sizeof(out), "=0 pass word=echo.");
    *strstr(out, "=0 ") = 0;
    assert_null(strstr(out, "pass w")); /* not echoed */
    close(fd);
    assert_int_equal(waitpid(pid, NULL, 0), pid);

    out[0] = 0;
    pid = forkpty(&fd, NULL, NULL, NULL);
    if (pid == 0)
        child();
    await(fd, out, sizeof(out), "Password for alice: ");
    say(fd, "one\n");
    await(fd, out, sizeof(out), "again: ");
    say(fd, "two\n");
    snprintf(expected, sizeof(expected), "=%d =echo.", ERR_CONFLICT);
    await(fd, out, sizeof(out), expected);
    close(fd);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
}

/* Ctrl-C ends the program as it would have, but not before the terminal is as it was. */
static void test_interrupted(void **state)
{
    char out[1024] = "";
    struct termios t;
    int fd, status;
    pid_t pid = forkpty(&fd, NULL, NULL, NULL);

    (void)state;
    if (pid == 0) {
        signal(SIGINT, SIG_DFL);
        child();
    }
    await(fd, out, sizeof(out), "Password for alice: ");
    assert_int_equal(tcgetattr(fd, &t), 0);
    assert_int_equal(t.c_lflag & ECHO, 0);
    say(fd, "half\x03");
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGINT);
    if (tcgetattr(fd, &t) == 0)
        assert_true(t.c_lflag & ECHO);
    close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_pipe), cmocka_unit_test(test_terminal),
                                       cmocka_unit_test(test_interrupted)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}

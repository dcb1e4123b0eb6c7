/* base/log: the line, what escapes and caps do to hostile values, the sink, the writer thread, and
 * drops. */
#include "check.h"

#include "base/base_priv.h"
#include "base/err.h"
#include "base/log.h"
#include "oom.h"
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

static char text[LOG_LINE_MAX + 64];

static struct str build(const struct log_field *fields, size_t n, size_t cap)
{
    struct sbuf out = sbuf_make(text, cap);
    log_line_build(&out, STR("T"), LOG_INFO, "test-event", fields, n);
    return sbuf_get(&out);
}
#define BUILD(...)                                                                                 \
    build((const struct log_field[]){__VA_ARGS__}, ARRAY_LEN(((struct log_field[]){__VA_ARGS__})), \
          LOG_LINE_MAX)

static void test_line(void **state)
{
    (void)state;
    check_str(BUILD(LZ("a", "x-y._:@/+Z9"), LI("i", -5), LU("u", UINT64_MAX), LI("m", INT64_MIN)),
              "T info test-event a=x-y._:@/+Z9 i=-5 u=18446744073709551615 m=-9223372036854775808");
    check_str(BUILD(LZ("e", ""), LZ("z", NULL), LZ("s", "a b"), LZ("q", "\"\\")),
              "T info test-event e=\"\" z=\"\" s=\"a b\" q=\"\\\"\\\\\"");
    check_str(BUILD(LS("c", STR("a\nb\0\x1b\xc3\xbc\x7f")), LZ("k", "k=v")),
              "T info test-event c=\"a\\x0ab\\x00\\x1b\\xc3\\xbc\\x7f\" k=\"k=v\"");
    check_str(build(NULL, 0, LOG_LINE_MAX), "T info test-event");
}

static void test_caps(void **state)
{
    (void)state;
    static char big[LOG_VALUE_MAX + 1];
    memset(big, 'x', sizeof(big));
    struct str exact = BUILD(LS("k", str_make(big, LOG_VALUE_MAX)));
    assert_int_equal(exact.n, strlen("T info test-event k=") + LOG_VALUE_MAX);
    struct str cut = BUILD(LS("k", str_make(big, LOG_VALUE_MAX + 1)));
    assert_int_equal(cut.n, exact.n + 5);
    assert_memory_equal(cut.p + cut.n - 4, "\"...", 4);
    /* Fields that do not fit are left out whole, and one sees that. */
    const struct log_field fields[] = {LZ("one", "1"), LZ("two", "2"), LZ("three", "3")};
    size_t whole = build(fields, 3, LOG_LINE_MAX).n;
    for (size_t cap = 24; cap < whole + 4; cap++) {
        struct str line = build(fields, 3, cap);
        assert_true(line.n <= cap);
        assert_memory_equal(line.p + line.n - 4, " ...", 4);
    }
    check_str(build(fields, 3, 32), "T info test-event one=1 ...");
    check_str(build(fields, 3, whole + 4), "T info test-event one=1 two=2 three=3");
    memset(big, '\xff', sizeof(big));
    const struct log_field worst[] = {LS("a", str_make(big, sizeof(big))),
                                      LS("b", str_make(big, sizeof(big))),
                                      LS("c", str_make(big, sizeof(big)))};
    assert_true(build(worst, 3, LOG_LINE_MAX).n <= LOG_LINE_MAX);
}

static void test_time(void **state)
{
    (void)state;
    char dst[LOG_TIME_MAX];
    check_str(log_time_text(dst, 0, 0), "1970-01-01T00:00:00.000Z");
    check_str(log_time_text(dst, 951782399, 999999999), "2000-02-28T23:59:59.999Z");
    check_str(log_time_text(dst, 951782400, 1000000), "2000-02-29T00:00:00.001Z");
    check_str(log_time_text(dst, -1, 0), "1969-12-31T23:59:59.000Z");
    for (int64_t sec = -86400 * 3; sec < 8000000000; sec += 86400 * 17 + 4711) {
        struct tm tm;
        char want[64];
        time_t t = (time_t)sec;
        strftime(want, sizeof(want), "%Y-%m-%dT%H:%M:%S.000Z", gmtime_r(&t, &tm));
        check_str(log_time_text(dst, sec, 0), want);
    }
}

static struct {
    char last[LOG_LINE_MAX];
    unsigned n;
    enum log_level level;
} seen;

static void sink(void *arg, enum log_level level, struct str line)
{
    assert_ptr_equal(arg, &seen);
    check_err(str_copy_z(seen.last, sizeof(seen.last), line), 0);
    seen.level = level;
    seen.n++;
    LOG(LOG_ERROR, "from-the-sink", LI("n", seen.n)); /* dropped, not for ever */
}

static void test_sink(void **state)
{
    (void)state;
    struct reason r;
    uint64_t before = log_dropped();
    log_set_sink(sink, &seen);
    LOG(LOG_DEBUG, "unseen", LI("n", 1));
    assert_int_equal(seen.n, 0);
    LOG(LOG_WARN, "seen", LI("n", 1));
    assert_int_equal(seen.n, 1);
    assert_int_equal(seen.level, LOG_WARN);
    assert_int_equal(log_dropped(), before + 1);
    assert_non_null(strstr(seen.last, "Z warn seen n=1"));
    assert_null(strchr(seen.last, '\n'));
    reason_set(&r, "digest-bad", "RFC 7616 3.4", 401, "realm %s", "x y");
    const struct log_field fields[] = {LI("n", 1)};
    log_reason(LOG_ERROR, "refused", &r, fields, 1);
    assert_non_null(
        strstr(seen.last,
               "error refused reason=digest-bad clause=\"RFC 7616 3.4\" detail=\"realm x y\" n=1"));
    reason_set(&r, "plain", NULL, 0, NULL);
    log_reason(LOG_ERROR, "refused", &r, NULL, 0);
    assert_non_null(strstr(seen.last, "error refused reason=plain"));
    assert_null(strstr(seen.last, "clause"));
    log_threshold = LOG_ERROR;
    LOG(LOG_WARN, "unseen", LI("n", 1));
    log_reason(LOG_WARN, "unseen", &r, NULL, 0);
    log_threshold = LOG_INFO;
    assert_int_equal(seen.n, 3);
    log_set_sink(NULL, NULL);
}

/* Standard error for the duration of a test: a pipe or a file. */
static int saved_stderr = -1;

static void stderr_to(int fd)
{
    saved_stderr = dup(STDERR_FILENO);
    assert_true(saved_stderr >= 0 && dup2(fd, STDERR_FILENO) >= 0);
}

static void stderr_back(void)
{
    assert_true(dup2(saved_stderr, STDERR_FILENO) >= 0);
    close(saved_stderr);
}

static size_t count_lines(FILE *f, const char *word)
{
    static char line[LOG_LINE_MAX + 2];
    size_t n = 0;
    rewind(f);
    while (fgets(line, sizeof(line), f)) {
        assert_non_null(strchr(line, '\n')); /* whole */
        n += strstr(line, word) != NULL;
    }
    return n;
}

static void *log_many(void *arg)
{
    for (int i = 0; i < 2000; i++)
        LOG(LOG_INFO, "from-thread", LI("i", i));
    return arg;
}

static void test_thread(void **state)
{
    (void)state;
    FILE *f = tmpfile();
    pthread_t threads[3];
    uint64_t before = log_dropped();
    assert_non_null(f);
    stderr_to(fileno(f));
    LOG(LOG_INFO, "at-once", LI("n", 1));
    size_t n_before = count_lines(f, "at-once");
    int err = log_start(), again = log_start();
    for (int i = 0; i < 3; i++)
        pthread_create(&threads[i], NULL, log_many, NULL);
    for (int i = 0; i < 3; i++)
        pthread_join(threads[i], NULL);
    log_stop();
    log_stop();
    LOG(LOG_INFO, "at-once", LI("n", 2));
    stderr_back();
    check_err(err, 0);
    check_err(again, ERR_EXISTS);
    assert_int_equal(n_before, 1);
    assert_int_equal(count_lines(f, "at-once"), 2);
    assert_int_equal(count_lines(f, "from-thread") + (log_dropped() - before), 6000);
    assert_int_equal(count_lines(f, "log-dropped") > 0, log_dropped() != before);
    fclose(f);
}

static void *stop_log(void *arg)
{
    log_stop();
    return arg;
}

/* A reader that does not read: the callers go on, and what is lost is counted and said. */
static void test_stuck(void **state)
{
    (void)state;
    static char value[LOG_VALUE_MAX], line[LOG_LINE_MAX * 16];
    int fds[2];
    uint64_t before = log_dropped();
    memset(value, 'v', sizeof(value));
    assert_int_equal(pipe(fds), 0);
    stderr_to(fds[1]);
    int err = log_start();
    for (int i = 0; i < 10000; i++) /* ten times what the queue and the pipe hold */
        LOG(LOG_INFO, "stuck", LS("v", str_make(value, sizeof(value))));
    uint64_t lost = log_dropped() - before;
    assert_int_equal(fcntl(fds[0], F_SETFL, O_NONBLOCK), 0);
    pthread_t stopper;
    assert_int_equal(pthread_create(&stopper, NULL, stop_log, NULL), 0);
    size_t n_lines = 0;
    bool has_said = false, has_ended = false;
    while (true) {
        ssize_t n = read(fds[0], line, sizeof(line) - 1);
        for (ssize_t i = 0; i < n; i++)
            n_lines += line[i] == '\n';
        if (n > 0) {
            line[n] = '\0';
            has_said = has_said || strstr(line, "log-dropped lines=");
        } else if (has_ended) {
            break;
        } else {
            has_ended = pthread_tryjoin_np(stopper, NULL) == 0;
            usleep(1000);
        }
    }
    stderr_back();
    close(fds[0]);
    close(fds[1]);
    check_err(err, 0);
    assert_true(lost > 5000);
    assert_true(has_said);
    assert_in_range(n_lines, 10000 - lost + 1, 10000 - lost + 3);
}

static void test_oom(void **state)
{
    (void)state;
    OOM_SWEEP(5, {
        if (log_start() == 0)
            log_stop();
    });
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_line), cmocka_unit_test(test_caps),   cmocka_unit_test(test_time),
        cmocka_unit_test(test_sink), cmocka_unit_test(test_thread), cmocka_unit_test(test_stuck),
        cmocka_unit_test(test_oom),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

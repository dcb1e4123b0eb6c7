/* The control socket and /metrics, asked over real sockets by a second thread while this one runs the loop. */
#include "check.h"
#include "base/err.h"
#include "console/console.h"
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
#include <uv.h>

struct world {
    uv_loop_t loop;
    uv_async_t over;
    struct console *console;
    char folder[32], socket[64], other[64];
    struct addr metrics;
    unsigned n_metrics, n_reloads;
    size_t big;
    void (*client)(struct world *w);
};

static char *copy(const char *text)
{
    char *c = malloc(strlen(text) + 1);

    assert_non_null(c);
    memcpy(c, text, strlen(text) + 1);
    return c;
}

static char *status(void *arg, struct str what)
{
    struct world *w = arg;
    char text[200];

    if (w->big) {
        char *t = malloc(w->big + 1);

        assert_non_null(t);
        memset(t, 'x', w->big);
        t[w->big] = 0;
        return t;
    }
    if (str_eq(what, STR("nothing")))
        return NULL;
    snprintf(text, sizeof text, "{\"what\":\"%.*s\"}", STR_FMT(what));
    return copy(text);
}

static char *reload(void *arg)
{
    ((struct world *)arg)->n_reloads++;
    return copy("{\"reloaded\":true}");
}

static char *metrics(void *arg)
{
    ((struct world *)arg)->n_metrics++;
    return copy("sallyport_up 1\n");
}

static void on_over(uv_async_t *a)
{
    struct world *w = a->data;

    console_stop(w->console);
    uv_close((uv_handle_t *)a, NULL);
}

static void *client_main(void *arg)
{
    struct world *w = arg;

    w->client(w);
    uv_async_send(&w->over);
    return NULL;
}

/* A free port of 127.0.0.1, as far as one can tell. */
static void pick_port(struct addr *a)
{
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    socklen_t n = sizeof *a;

    assert_int_equal(addr_parse(a, STR("127.0.0.1"), 0), 0);
    assert_int_equal(bind(fd, &a->sa, addr_len(a)), 0);
    assert_int_equal(getsockname(fd, &a->sa, &n), 0);
    close(fd);
}

static void run(void (*client)(struct world *), size_t big)
{
    struct world w = {.client = client, .big = big};
    struct console_args args;
    struct reason why = {0};
    pthread_t thread;
    struct stat st;

    memcpy(w.folder, "/tmp/console.XXXXXX", 20);
    assert_non_null(mkdtemp(w.folder));
    snprintf(w.socket, sizeof w.socket, "%s/control", w.folder);
    pick_port(&w.metrics);
    assert_int_equal(uv_loop_init(&w.loop), 0);
    args = (struct console_args){&w.loop, w.socket, &w.metrics, status, metrics, reload, &w};
    if (console_start(&args, &w.console, &why) != 0)
        fail_msg("%s", why.detail);
    assert_int_equal(stat(w.socket, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_int_equal(uv_async_init(&w.loop, &w.over, on_over), 0);
    w.over.data = &w;
    assert_int_equal(pthread_create(&thread, NULL, client_main, &w), 0);
    uv_run(&w.loop, UV_RUN_DEFAULT);
    pthread_join(thread, NULL);
    assert_int_equal(uv_loop_close(&w.loop), 0); /* nothing is left open */
    assert_int_equal(access(w.socket, F_OK), -1);
    rmdir(w.folder);
}

static void expect_answer(struct world *w, const char *line, const char *answer)
{
    struct reason why = {0};
    char *text;

    if (console_ask(w->socket, str_z(line), &text, &why) != 0)
        fail_msg("%s: %s", line, why.detail);
    assert_string_equal(text, answer);
    free(text);
}

static void ask(struct world *w)
{
    char line[CONSOLE_LINE_MAX];
    struct reason why;
    char *text;

    expect_answer(w, "status summary", "{\"what\":\"summary\"}");
    expect_answer(w, " status  calls  bob ", "{\"what\":\"calls  bob\"}");
    expect_answer(w, "reload", "{\"reloaded\":true}");
    assert_int_equal(w->n_reloads, 1);
    expect_answer(w, "reload now", "{\"error\":\"there is no such command\"}");
    expect_answer(w, "", "{\"error\":\"there is no such command\"}");
    expect_answer(w, "status nothing", "{\"error\":\"out of memory\"}");
    memset(line, 'a', sizeof line);
    check_err(console_ask(w->socket, str_make(line, sizeof line), &text, &why), ERR_LIMIT);
    check_err(console_ask(w->socket, STR("a\nb"), &text, &why), ERR_LIMIT);
    check_err(console_ask("/nonexistent/socket", STR("a"), &text, &why), ERR_CLOSED);
}

static int dial(const char *path)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    struct timeval tv = {.tv_sec = 5};

    memcpy(a.sun_path, path, strlen(path) + 1);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof tv);
    if (connect(fd, (struct sockaddr *)&a, sizeof a) != 0) {
        close(fd);
        return -1;
    }
    return fd;
}

static void expect_text(int fd, const char *text)
{
    char got[256];
    size_t n = 0;

    while (n < strlen(text)) {
        ssize_t k = read(fd, got + n, sizeof got - n);

        assert_true(k > 0);
        n += (size_t)k;
    }
    assert_int_equal(n, strlen(text));
    assert_memory_equal(got, text, n);
}

/* Several lines in one go, and one in pieces. */
static void lines(struct world *w)
{
    int fd = dial(w->socket);

    assert_int_equal(write(fd, "status a\nstatus b\nsta", 21), 21);
    expect_text(fd, "{\"what\":\"a\"}\n{\"what\":\"b\"}\n");
    assert_int_equal(write(fd, "tus c\n", 6), 6);
    expect_text(fd, "{\"what\":\"c\"}\n");
    close(fd);
    expect_answer(w, "status d", "{\"what\":\"d\"}");
}

/* A line without end, and more clients than there is room for, are cut off; the others are served on. */
static void floods(struct world *w)
{
    char line[2 * CONSOLE_LINE_MAX], byte;
    int fds[CONSOLE_CLIENTS + 4];
    unsigned i, n_cut = 0;
    int fd = dial(w->socket);

    memset(line, 'a', sizeof line);
    assert_true(send(fd, line, sizeof line, MSG_NOSIGNAL) > 0);
    assert_true(read(fd, &byte, 1) <= 0);
    close(fd);
    for (i = 0; i < ARRAY_LEN(fds); i++) {
        fds[i] = dial(w->socket);
        assert_true(fds[i] >= 0);
        (void)!send(fds[i], "status e\n", 9, MSG_NOSIGNAL);
    }
    for (i = 0; i < ARRAY_LEN(fds); i++)
        n_cut += read(fds[i], &byte, 1) != 1;
    assert_int_equal(n_cut, 4);
    for (i = 0; i < ARRAY_LEN(fds); i++)
        close(fds[i]);
    usleep(100000);
    expect_answer(w, "status f", "{\"what\":\"f\"}");
}

static void big(struct world *w)
{
    struct reason why;
    char *text;

    check_err(console_ask(w->socket, STR("status big"), &text, &why), 0);
    assert_int_equal(strlen(text), 3000000);
    free(text);
}

/* One HTTP request; the whole answer, terminated. */
static const char *http(struct world *w, const char *request)
{
    static char got[4096];
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    struct timeval tv = {.tv_sec = 5};
    size_t n = 0;
    ssize_t k;

    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof tv);
    assert_int_equal(connect(fd, &w->metrics.sa, addr_len(&w->metrics)), 0);
    assert_int_equal(send(fd, request, strlen(request), MSG_NOSIGNAL), strlen(request));
    while ((k = read(fd, got + n, sizeof got - 1 - n)) > 0)
        n += (size_t)k;
    got[n] = 0;
    close(fd);
    return got;
}

#define END " HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"

static void scrape(struct world *w)
{
    const char *got = http(w, "GET /metrics" END);

    assert_true(strncmp(got, "HTTP/1.1 200 ", 13) == 0);
    assert_non_null(strstr(got, "Content-Type: text/plain; version=0.0.4"));
    assert_non_null(strstr(got, "\r\n\r\nsallyport_up 1\n"));
    got = http(w, "HEAD /metrics" END);
    assert_true(strncmp(got, "HTTP/1.1 200 ", 13) == 0);
    assert_null(strstr(got, "sallyport_up"));
    assert_int_equal(w->n_metrics, 1); /* made once for both */
    assert_true(strncmp(http(w, "GET /" END), "HTTP/1.1 404 ", 13) == 0);
    assert_true(strncmp(http(w, "GET /metrics/../etc" END), "HTTP/1.1 404 ", 13) == 0);
    got = http(w, "POST /metrics HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhello");
    assert_true(strncmp(got, "HTTP/1.1 405 ", 13) == 0);
    assert_non_null(strstr(got, "Allow: GET, HEAD"));
    got = http(w, "\1\2\3\r\n\r\n");
    assert_true(*got == 0 || strncmp(got, "HTTP/1.1 4", 10) == 0);
    usleep(1100000);
    (void)http(w, "GET /metrics" END);
    assert_int_equal(w->n_metrics, 2);
}

static void test_ask(void **state)
{
    (void)state;
    run(ask, 0);
}
static void test_lines(void **state)
{
    (void)state;
    run(lines, 0);
}
static void test_floods(void **state)
{
    (void)state;
    run(floods, 0);
}
static void test_big(void **state)
{
    (void)state;
    run(big, 3000000);
}
static void test_scrape(void **state)
{
    (void)state;
    run(scrape, 0);
}

/* What cannot be started leaves nothing behind. */
static void test_start_fails(void **state)
{
    struct world w = {0};
    struct console_args args = {&w.loop, "/nonexistent/folder/control", NULL, status, metrics, reload, &w};
    struct reason why = {0};
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    (void)state;
    assert_int_equal(uv_loop_init(&w.loop), 0);
    check_err(console_start(&args, &w.console, &why), ERR_IO);
    assert_non_null(strstr(why.detail, "No such file"));
    args.socket = "/tmp/0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789012345";
    check_err(console_start(&args, &w.console, &why), ERR_LIMIT);
    snprintf(w.socket, sizeof w.socket, "/tmp/console.%d", (int)getpid());
    pick_port(&w.metrics);
    assert_int_equal(bind(fd, &w.metrics.sa, addr_len(&w.metrics)), 0);
    assert_int_equal(listen(fd, 1), 0);
    args.socket = w.socket;
    args.metrics = &w.metrics;
    check_err(console_start(&args, &w.console, &why), ERR_IO);
    assert_string_equal(why.code, "metrics-listen");
    uv_run(&w.loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&w.loop), 0);
    assert_int_equal(access(w.socket, F_OK), -1);
    close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ask), cmocka_unit_test(test_lines),  cmocka_unit_test(test_floods),
        cmocka_unit_test(test_big), cmocka_unit_test(test_scrape), cmocka_unit_test(test_start_fails),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

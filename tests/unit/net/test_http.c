/* The asker of responders: what comes back, and every bound (net/http.h). A server of a few lines
 * answers by the path that is asked for. */
#include "base/limits.h"
#include "check.h"
#include "net/http.h"
#include <arpa/inet.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define ANSWER_MAX 1000u

struct server {
    int fd;
    unsigned port;
    pthread_t thread;
    unsigned n_asked;
    char body[64];
};

static void say(int fd, const char *text)
{
    (void)!send(fd, text, strlen(text), MSG_NOSIGNAL);
}

static void answer(struct server *s, int fd)
{
    char in[4096];
    size_t n = 0;
    ssize_t got;
    const char *body = NULL;
    while (n < sizeof in - 1 && (got = recv(fd, in + n, sizeof in - 1 - n, 0)) > 0) {
        n += (size_t)got;
        in[n] = '\0';
        body = strstr(in, "\r\n\r\n");
        if (body && strlen(body + 4) >= 8)
            break;
    }
    if (!body)
        return;
    snprintf(s->body, sizeof s->body, "%s", body + 4);
    if (strncmp(in, "POST /good ", 11) == 0) {
        if (strstr(in, "Content-Type: application/x-question\r\n") &&
            strstr(in, "Accept: application/x-answer\r\n"))
            say(fd, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello");
    } else if (strncmp(in, "POST /missing ", 14) == 0) {
        say(fd, "HTTP/1.1 404 Not Found\r\nContent-Length: 5\r\n\r\nhello");
    } else if (strncmp(in, "POST /moved ", 12) == 0) {
        say(fd, "HTTP/1.1 302 Found\r\nLocation: /good\r\nContent-Length: 0\r\n\r\n");
    } else if (strncmp(in, "POST /endless ", 14) == 0) {
        say(fd, "HTTP/1.1 200 OK\r\n\r\n");
        for (int i = 0; i < 100000 && send(fd, in, 1000, MSG_NOSIGNAL) > 0; i++)
            ;
    } else if (strncmp(in, "POST /never ", 12) == 0) {
        while (recv(fd, in, sizeof in, 0) > 0) /* until the other side gives up */
            ;
    }
}

static void *serve(void *arg)
{
    struct server *s = arg;
    int fd;
    while ((fd = accept(s->fd, NULL, NULL)) >= 0) {
        s->n_asked++;
        answer(s, fd);
        close(fd);
    }
    return NULL;
}

static void server_start(struct server *s)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof a;
    *s = (struct server){.fd = socket(AF_INET, SOCK_STREAM, 0)};
    assert_int_equal(bind(s->fd, (struct sockaddr *)&a, sizeof a), 0);
    assert_int_equal(listen(s->fd, 8), 0);
    assert_int_equal(getsockname(s->fd, (struct sockaddr *)&a, &n), 0);
    s->port = ntohs(a.sin_port);
    assert_int_equal(pthread_create(&s->thread, NULL, serve, s), 0);
}

static void server_stop(struct server *s)
{
    (void)shutdown(s->fd, SHUT_RDWR);
    (void)pthread_join(s->thread, NULL);
    close(s->fd);
}

struct got {
    sem_t done;
    unsigned n_calls;
    char body[64], code[32], detail[REASON_DETAIL_MAX];
};

static void on_answer(void *arg, const void *body, size_t n, const struct reason *why)
{
    struct got *g = arg;
    g->n_calls++;
    if (why) {
        snprintf(g->code, sizeof g->code, "%s", why->code);
        snprintf(g->detail, sizeof g->detail, "%s", why->detail);
    } else {
        snprintf(g->body, sizeof g->body, "%.*s", (int)n, (const char *)body);
    }
    sem_post(&g->done);
}

static struct got ask(struct net_http *h, const char *scheme_host, unsigned port, const char *path)
{
    char url[128];
    struct got g = {0};
    sem_init(&g.done, 0, 0);
    snprintf(url, sizeof url, "%s:%u%s", scheme_host, port, path);
    const struct net_http_question q = {.url = url,
                                        .type = "application/x-question",
                                        .accept = "application/x-answer",
                                        .body = "question",
                                        .n = 8,
                                        .answer_max = ANSWER_MAX,
                                        .fn = on_answer,
                                        .arg = &g};
    check_err(net_http_post(h, &q), 0);
    sem_wait(&g.done);
    sem_destroy(&g.done);
    return g;
}

static void test_answers(void **state)
{
    (void)state;
    struct server s;
    struct net_http *h;
    struct reason why;
    struct addr_net loopback;
    struct got g;
    server_start(&s);
    check_err(net_http_new(&h, &why), 0);
    check_err(addr_net_parse(&loopback, STR("127.0.0.0/8")), 0);

    static const char *const hosts[] = {"http://127.0.0.1", "http://localhost",
                                        "http://[::ffff:127.0.0.1]"};
    for (size_t i = 0; i < ARRAY_LEN(hosts); i++) {
        g = ask(h, hosts[i], s.port, "/good");
        assert_string_equal(g.code, "http-address");
        assert_non_null(strstr(g.detail, "loopback"));
    }
    assert_int_equal(s.n_asked, 0);
    check_err(net_http_allow(h, &loopback, 1), 0);
    g = ask(h, "http://127.0.0.1", s.port, "/good");
    assert_string_equal(g.body, "hello");
    assert_string_equal(s.body, "question");
    g = ask(h, "http://127.0.0.1", s.port, "/missing");
    assert_string_equal(g.detail, "status 404");
    g = ask(h, "http://127.0.0.1", s.port, "/moved");
    assert_string_equal(g.detail, "status 302");
    g = ask(h, "http://127.0.0.1", s.port, "/endless");
    assert_string_equal(g.code, "http-too-long");
    g = ask(h, "http://127.0.0.1", s.port, "/other"); /* closes without a word */
    assert_string_equal(g.code, "http-failed");
    unsigned before = s.n_asked;
    g = ask(h, "https://127.0.0.1", s.port, "/good");
    assert_string_equal(g.code, "http-failed");
    g = ask(h, "ftp://127.0.0.1", s.port, "/good");
    assert_string_equal(g.code, "http-failed");
    g = ask(h, "not a url", s.port, "");
    assert_string_equal(g.code, "http-failed");
    assert_int_equal(s.n_asked, before);
    check_err(net_http_allow(h, NULL, 0), 0);
    g = ask(h, "http://127.0.0.1", s.port, "/good");
    assert_string_equal(g.code, "http-address");
    net_http_free(h);
    server_stop(&s);
}

static void test_bounds(void **state)
{
    (void)state;
    struct server s;
    struct net_http *h;
    struct reason why;
    struct addr_net loopback;
    struct got g = {0};
    char url[128];
    unsigned n = 0;
    int err;
    server_start(&s);
    sem_init(&g.done, 0, 0);
    check_err(net_http_new(&h, &why), 0);
    check_err(addr_net_parse(&loopback, STR("127.0.0.0/8")), 0);
    check_err(net_http_allow(h, &loopback, 1), 0);
    snprintf(url, sizeof url, "http://127.0.0.1:%u/never", s.port);
    const struct net_http_question q = {
        .url = url, .body = "question", .n = 8, .answer_max = 1, .fn = on_answer, .arg = &g};
    while ((err = net_http_post(h, &q)) == 0)
        n++;
    check_err(err, ERR_LIMIT);
    assert_in_range(n, LIMIT_OCSP_WAITING, LIMIT_OCSP_WAITING + LIMIT_OCSP_AT_ONCE);
    net_http_free(h); /* does not wait for the server, and tells everybody */
    assert_int_equal(g.n_calls, n);
    assert_string_equal(g.detail, "ended");
    sem_destroy(&g.done);
    server_stop(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_answers),
                                       cmocka_unit_test(test_bounds)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

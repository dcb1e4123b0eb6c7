/* SIP over WebSocket through a worker, clear and over TLS: upgrade, messages both ways, fragments,
 * pings, the CRLF keep-alive, close handshakes, refusals. RFC 6455; RFC 7118 4 to 6. */
#include "base/limits.h"
#include "net/pages.h"
#include "tls_fixture.h"
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static struct tls_fix t;

static int setup(void **state)
{
    (void)state;
    tls_fix_init(&t);
    tls_fix_cert(&t, "a", "a.example");
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    tls_fix_done(&t);
    return 0;
}

/* A little client over either. */
struct client {
    struct tls_peer tls;
    int fd;
    bool is_tls;
};

static void put(struct client *c, const char *p, size_t n)
{
    if (c->is_tls)
        tls_peer_write(&c->tls, p, n);
    else
        fix_write(c->fd, p, n);
}

static void get(struct client *c, char *dst, size_t n)
{
    if (c->is_tls)
        tls_peer_read(&c->tls, dst, n);
    else
        fix_read(c->fd, dst, n);
}

#define REQUEST                                                                                    \
    "GET / HTTP/1.1\r\nHost: a.example\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"           \
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"                 \
    "Sec-WebSocket-Protocol: sip\r\nOrigin: https://a.example\r\n\r\n"
#define ANSWER                                                                                     \
    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"            \
    "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nSec-WebSocket-Protocol: sip\r\n\r\n"

static void connect_ws(struct client *c, const struct addr *to, bool is_tls)
{
    char got[sizeof(ANSWER)];
    *c = (struct client){.is_tls = is_tls};
    if (is_tls)
        tls_peer_open(&c->tls, &t, to, "a.example", NULL, 0);
    else
        c->fd = fix_tcp(to);
    put(c, REQUEST, sizeof(REQUEST) - 1);
    get(c, got, sizeof(ANSWER) - 1);
    assert_string_equal(got, ANSWER);
}

static void done(struct client *c)
{
    if (c->is_tls)
        tls_peer_done(&c->tls);
    else
        close(c->fd);
}

static size_t frame(char *dst, unsigned first, const char *p, size_t n)
{
    static const unsigned char mask[4] = {0x12, 0x34, 0x56, 0x78};
    size_t at = 0;
    dst[at++] = (char)first;
    if (n < 126) {
        dst[at++] = (char)(0x80 | n);
    } else {
        dst[at++] = (char)0xfe;
        dst[at++] = (char)(n >> 8);
        dst[at++] = (char)n;
    }
    memcpy(dst + at, mask, 4);
    at += 4;
    for (size_t i = 0; i < n; i++)
        dst[at++] = (char)((unsigned char)p[i] ^ mask[i & 3]);
    return at;
}

static void put_frame(struct client *c, unsigned first, const char *p, size_t n)
{
    char *buf = malloc(n + 14);
    assert_non_null(buf);
    put(c, buf, frame(buf, first, p, n));
    free(buf);
}

/* The next frame is this one, unmasked and whole. */
static void expect_frame(struct client *c, unsigned first, const char *p, size_t n)
{
    char head[9];
    char *got = malloc(n + 1);
    assert_non_null(got);
    get(c, head, 2);
    assert_int_equal((unsigned char)head[0], first);
    if (n < 126) {
        assert_int_equal((unsigned char)head[1], n);
    } else {
        assert_int_equal((unsigned char)head[1], 126);
        get(c, head, 2);
        assert_int_equal((unsigned char)head[0] << 8 | (unsigned char)head[1], n);
    }
    get(c, got, n);
    assert_memory_equal(got, p, n);
    free(got);
}

static void expect_end(struct client *c)
{
    char ch;
    if (c->is_tls)
        assert_true(SSL_read(c->tls.ssl, &ch, 1) <= 0);
    else
        fix_expect_eof(c->fd);
}

static struct net_pages *pages; /* of what start_ws starts; NULL: none */

static void start_ws(struct fix *f, bool is_tls)
{
    struct net_listener l;
    fix_listen(&l, is_tls ? TRANSPORT_WSS : TRANSPORT_WS, "127.0.0.1:0");
    l.ws_origins = STR("https://a.example");
    l.pages = pages;
    if (is_tls)
        l.tls = tls_fix_server(&t, "a", "a.example", PKI_CLIENT_CERT_NONE, 0);
    fix_start(f, 1, &l, 1);
    pki_tls_server_unref(l.tls);
}

static void session(bool is_tls)
{
    struct fix f = {.is_echo = true};
    struct client c;
    char msg[3000];
    start_ws(&f, is_tls);
    struct addr to = fix_addr(&f, 0);
    connect_ws(&c, &to, is_tls);
    size_t n = fix_options(msg, sizeof(msg), "c1", 2000);
    for (int i = 0; i < 3; i++) {
        put_frame(&c, 0x81, msg, n);
        expect_frame(&c, 0x81, msg, n);
        struct fix_event *e = fix_wait(&f, FIX_MESSAGE);
        assert_string_equal(e->text, msg);
        assert_int_equal(e->path.transport, is_tls ? TRANSPORT_WSS : TRANSPORT_WS);
        assert_int_equal(e->hop.secure, is_tls);
        fix_free(e);
    }
    msg[n - 1] = '\xff'; /* not UTF-8: goes, and comes back, as binary */
    put_frame(&c, 0x82, msg, n);
    expect_frame(&c, 0x82, msg, n);
    fix_free(fix_wait(&f, FIX_MESSAGE));
    put_frame(&c, 0x81, "OPTIONS no length", 17); /* RFC 7118 5 */
    expect_frame(&c, 0x81, "OPTIONS no length", 17);
    fix_free(fix_wait(&f, FIX_MESSAGE));
    put_frame(&c, 0x01, "OPT", 3);
    put_frame(&c, 0x89, "are you there", 13);
    put_frame(&c, 0x80, "IONS", 4);
    expect_frame(&c, 0x8a, "are you there", 13);
    expect_frame(&c, 0x81, "OPTIONS", 7);
    put_frame(&c, 0x81, "\r\n\r\n", 4); /* RFC 7118 6 */
    expect_frame(&c, 0x81, "\r\n", 2);
    put_frame(&c, 0x81, "\r\n", 2);
    put_frame(&c, 0x8a, "", 0);
    fix_wait_stat(&f, keepalives, 4);
    put_frame(&c, 0x88, "\x03\xe8", 2);
    expect_frame(&c, 0x88, "\x03\xe8", 2);
    expect_end(&c);
    struct fix_event *end = fix_wait(&f, FIX_CLOSED);
    assert_int_equal(end->why, NET_CLOSE_PEER);
    assert_string_equal(end->code, "ws-closed");
    fix_free(end);
    done(&c);
    fix_wait_stat(&f, conns_open[is_tls ? TRANSPORT_WSS : TRANSPORT_WS], 0);
    assert_int_equal(fix_stats(&f).handshakes_now, 0);
    fix_stop(&f);
}

static void test_ws(void **state)
{
    (void)state;
    session(false);
}

static void test_wss(void **state)
{
    (void)state;
    session(true);
}

/* The upgrade in pieces, the first frame right behind it. */
static void test_split_upgrade(void **state)
{
    (void)state;
    static char all[2000], answer[2000];
    size_t n = sizeof(REQUEST) - 1;
    memcpy(all, REQUEST, n);
    n += frame(all + n, 0x81, "OPTIONS", 7);
    struct fix f = {.is_echo = true};
    start_ws(&f, false);
    struct addr to = fix_addr(&f, 0);
    for (size_t cut = 1; cut < n; cut += 3) {
        int fd = fix_tcp(&to);
        fix_write(fd, all, cut);
        fix_sleep(1);
        fix_write(fd, all + cut, n - cut);
        fix_read(fd, answer, sizeof(ANSWER) - 1 + 9);
        assert_memory_equal(answer, ANSWER, sizeof(ANSWER) - 1);
        assert_memory_equal(answer + sizeof(ANSWER) - 1, "\x81\x07OPTIONS", 9);
        close(fd);
    }
    fix_stop(&f);
}

static void refused_upgrade(const char *request, const char *status)
{
    struct fix f = {.is_echo = true};
    char got[14];
    start_ws(&f, false);
    struct addr to = fix_addr(&f, 0);
    int fd = fix_tcp(&to);
    log_catch();
    fix_write_z(fd, request);
    fix_read(fd, got, 12);
    assert_string_equal(got, status);
    char rest[1000];
    while (recv(fd, rest, sizeof(rest), 0) > 0) /* to the end */
        continue;
    close(fd);
    log_expect("ws-refused", "peer=127.0.0.1:");
    log_release();
    fix_wait_stat(&f, handshakes_failed, 1);
    fix_wait_stat(&f, conns_open[TRANSPORT_WS], 0);
    fix_quiet(&f, FIX_CLOSED, 0);
    fix_stop(&f);
}

static void test_refused(void **state)
{
    (void)state;
    refused_upgrade("GET / HTTP/1.1\r\nHost: a\r\n\r\n", "HTTP/1.1 426");
    refused_upgrade("OPTIONS sip:a SIP/2.0\r\n\r\n", "HTTP/1.1 400");
    refused_upgrade(
        "GET / HTTP/1.1\r\nHost: a.example\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
        "Sec-WebSocket-Protocol: sip\r\nOrigin: https://evil.example\r\n\r\n",
        "HTTP/1.1 403");
    static char big[20000];
    memset(big, 'x', sizeof(big) - 1);
    memcpy(big, "GET / HTTP/1.1\r\nX: ", 19);
    refused_upgrade(big, "HTTP/1.1 431");
}

static void expect_violation(const char *p, size_t n, unsigned code, const char *reason)
{
    struct fix f = {.is_echo = true};
    struct client c;
    start_ws(&f, true);
    struct addr to = fix_addr(&f, 0);
    connect_ws(&c, &to, true);
    put(&c, p, n);
    expect_frame(&c, 0x88, (const char[]){(char)(code >> 8), (char)code}, 2);
    expect_end(&c);
    struct fix_event *e = fix_wait(&f, FIX_CLOSED);
    assert_int_equal(e->why, NET_CLOSE_PROTOCOL);
    assert_string_equal(e->code, reason);
    fix_free(e);
    fix_quiet(&f, FIX_MESSAGE, 0);
    done(&c);
    fix_stop(&f);
}

static void test_violations(void **state)
{
    (void)state;
    char in[16];
    expect_violation("\x81\x02hi", 4, 1002, "ws-not-masked");
    expect_violation("\x82\xff\x7f\xff\xff\xff\xff\xff\xff\xffmaskx", 15, 1009, "ws-too-large");
    expect_violation(in, frame(in, 0x81, "\xff", 1), 1007, "ws-not-utf8");
}

struct shut {
    flow_id flow;
};

static void shut(struct fix_worker *w, void *arg)
{
    struct shut *s = arg;
    net_close(w->net, s->flow, NET_CLOSE_LOCAL);
}

static void test_local_close(void **state)
{
    (void)state;
    for (int is_tls = 0; is_tls < 2; is_tls++) {
        struct fix f = {0};
        struct client c;
        start_ws(&f, is_tls);
        struct addr to = fix_addr(&f, 0);
        connect_ws(&c, &to, is_tls);
        put_frame(&c, 0x81, "OPTIONS", 7);
        struct fix_event *e = fix_wait(&f, FIX_MESSAGE);
        struct shut s = {e->path.flow};
        fix_call(&f, 0, shut, &s);
        expect_frame(&c, 0x88, "\x03\xe9", 2);
        expect_end(&c);
        fix_free(e);
        done(&c);
        fix_wait_stat(&f, conns_open[is_tls ? TRANSPORT_WSS : TRANSPORT_WS], 0);
        fix_stop(&f);
    }
}

/* A plain GET: one page, whole, then the end; others are told to upgrade. */
static void test_page(void **state)
{
    static char body[100000], got[101000];
    static const char get_page[] = "GET /stir/a.pem HTTP/1.1\r\nHost: a.example\r\n\r\n",
                      get_other[] = "GET /stir/b.pem HTTP/1.1\r\nHost: a.example\r\n\r\n";
    struct net_page page = {.path = STR("/stir/a.pem"), .type = STR("text/plain"), .max_age_s = 60};
    (void)state;
    for (size_t i = 0; i < sizeof(body); i++)
        body[i] = (char)('a' + i % 26);
    page.body = str_make(body, sizeof(body));
    assert_int_equal(net_pages_new(&page, 1, &pages), 0);
    for (int is_tls = 0; is_tls < 2; is_tls++) {
        static const char head[] =
            "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 100000\r\n"
            "Cache-Control: max-age=60\r\nX-Content-Type-Options: nosniff\r\n"
            "Connection: close\r\n\r\n";
        struct fix f = {0};
        struct client c = {.is_tls = is_tls};
        start_ws(&f, is_tls);
        struct addr to = fix_addr(&f, 0);
        for (int i = 0; i < 2; i++) {
            if (is_tls)
                tls_peer_open(&c.tls, &t, &to, "a.example", NULL, 0);
            else
                c.fd = fix_tcp(&to);
            if (i == 0) {
                put(&c, get_page, sizeof(get_page) - 1);
                get(&c, got, sizeof(head) - 1 + sizeof(body));
                assert_memory_equal(got, head, sizeof(head) - 1);
                assert_memory_equal(got + sizeof(head) - 1, body, sizeof(body));
            } else {
                put(&c, get_other, sizeof(get_other) - 1);
                get(&c, got, 12);
                assert_memory_equal(got, "HTTP/1.1 426", 12);
                while (is_tls ? SSL_read(c.tls.ssl, got, 1) > 0 : read(c.fd, got, 1) > 0)
                    ;
            }
            expect_end(&c);
            done(&c);
        }
        fix_stop(&f);
    }
    net_pages_unref(pages);
    pages = NULL;
}

static void test_many(void **state)
{
    (void)state;
    enum { N = 200 };
    struct fix f = {.is_echo = true, .is_silent = true};
    static struct client c[N];
    char msg[600];
    start_ws(&f, true);
    struct addr to = fix_addr(&f, 0);
    size_t n = fix_options(msg, sizeof(msg), "c1", 50);
    for (int i = 0; i < N; i++)
        connect_ws(&c[i], &to, true);
    for (int round = 0; round < 5; round++) {
        for (int i = 0; i < N; i++)
            put_frame(&c[i], 0x81, msg, n);
        for (int i = 0; i < N; i++)
            expect_frame(&c[i], 0x81, msg, n);
    }
    for (int i = 0; i < N; i++)
        done(&c[i]);
    fix_wait_count(&f, FIX_CLOSED, N);
    fix_stop(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ws),
        cmocka_unit_test(test_wss),
        cmocka_unit_test(test_split_upgrade),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_violations),
        cmocka_unit_test(test_local_close),
        cmocka_unit_test(test_page),
        cmocka_unit_test(test_many),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}

/* WebSocket: the upgrade (RFC 6455 1.3's example among others), frames in all splits, fragments,
 * control frames, what is refused with which close code. RFC 6455 4.2, 5, 7.4, 8.1; RFC 7118 4, 5.
 */
#include "base/err.h"
#include "base/limits.h"
#include "check.h"
#include "net/ws.h"
#include "oom.h"
#include <stdio.h>
#include <stdlib.h>

/* --- upgrade --- */

#define HOST "Host: server.example.com\r\n"
#define UPG "Upgrade: websocket\r\nConnection: Upgrade\r\n"
#define KEY "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
#define VER "Sec-WebSocket-Version: 13\r\n"
#define SIP "Sec-WebSocket-Protocol: sip\r\n"
#define GET "GET /chat HTTP/1.1\r\n"
#define GOOD GET HOST UPG KEY VER SIP

static void upgrade(const char *in, const char *origins, int want, const char *status,
                    const char *code)
{
    char out[WS_ANSWER_MAX + 1];
    struct reason reason = {0};
    const struct net_page *page;
    size_t n, used;
    for (size_t i = 0; want != ERR_REFUSED && i < strlen(in);
         i++) { /* no part of it is judged otherwise */
        assert_int_equal(
            ws_upgrade(str_make(in, i), str_z(origins), NULL, out, &n, &used, &page, &reason),
            ERR_AGAIN);
        assert_int_equal(n, 0);
    }
    int err = ws_upgrade(str_z(in), str_z(origins), NULL, out, &n, &used, &page, &reason);
    check_err(err, want);
    out[n] = '\0';
    if (status && strncmp(out, status, strlen(status)) != 0)
        fail_msg("%s instead of %s", out, status);
    if (code)
        assert_string_equal(reason.code, code);
    if (n)
        assert_string_equal(out + n - 4, "\r\n\r\n");
}

/* A plain GET gets a page that is there, and nothing else does. */
static void test_pages(void **state)
{
    static const struct net_page two[] = {
        {.path = {"/stir/a.pem", 11},
         .type = {"application/pem-certificate-chain", 33},
         .body = {"abc", 3},
         .max_age_s = 60},
        {.path = {"/", 1}, .type = {"text/plain", 10}, .body = {"", 0}}};
    static const struct net_page bad[] = {{.path = {"stir", 4}, .type = {"a", 1}},
                                          {.path = {"/a b", 4}, .type = {"a", 1}},
                                          {.path = {"/a\r\n", 4}, .type = {"a", 1}},
                                          {.path = {"/a", 2}, .type = {"a\nb", 3}}};
    struct net_pages *pages, *none;
    char out[WS_ANSWER_MAX + 1];
    const struct net_page *page;
    struct reason reason = {0};
    size_t n, used;
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        assert_int_equal(net_pages_new(&bad[i], 1, &none), ERR_INVALID);
    assert_int_equal(net_pages_new(two, 2, &pages), 0);
    assert_int_equal(ws_upgrade(STR("GET /stir/a.pem?x=1 HTTP/1.1\r\nHost: a\r\n\r\n"), STR_NULL,
                                pages, out, &n, &used, &page, &reason),
                     0);
    assert_non_null(page);
    assert_true(str_eq(page->body, STR("abc")));
    out[n] = '\0';
    assert_non_null(strstr(out, "HTTP/1.1 200 OK\r\n"));
    assert_non_null(strstr(out, "Content-Length: 3\r\n"));
    assert_non_null(strstr(out, "Cache-Control: max-age=60\r\n"));
    assert_int_equal(ws_upgrade(STR("GET /stir/b.pem HTTP/1.1\r\nHost: a\r\n\r\n"), STR_NULL, pages,
                                out, &n, &used, &page, &reason),
                     ERR_REFUSED);
    assert_null(page);
    assert_int_equal(ws_upgrade(STR("GET /stir/a.pem HTTP/1.1\r\n\r\n"), STR_NULL, pages, out, &n,
                                &used, &page, &reason),
                     ERR_REFUSED);
    assert_int_equal(ws_upgrade(STR("GET / HTTP/1.1\r\nHost: a\r\n\r\n"), STR_NULL, NULL, out, &n,
                                &used, &page, &reason),
                     ERR_REFUSED);
    /* who asks to be upgraded is */
    assert_int_equal(ws_upgrade(STR("GET / HTTP/1.1\r\n" HOST UPG KEY VER SIP "\r\n"), STR_NULL,
                                pages, out, &n, &used, &page, &reason),
                     0);
    assert_null(page);
    net_pages_unref(pages);
}

static void test_upgrade(void **state)
{
    (void)state;
    static const char in[] =
        GOOD "Origin: https://example.com\r\nSec-WebSocket-Extensions: permessage-deflate\r\n\r\n";
    char out[WS_ANSWER_MAX + 1];
    const struct net_page *page;
    size_t n, used;
    assert_int_equal(ws_upgrade(STR(in), STR_NULL, NULL, out, &n, &used, &page, NULL), 0);
    out[n] = '\0';
    assert_string_equal(
        out, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
             "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nSec-WebSocket-Protocol: "
             "sip\r\n\r\n");
    assert_int_equal(used, sizeof(in) - 1);
    assert_int_equal(
        ws_upgrade(STR(GOOD "\r\n\x81\x80"), STR_NULL, NULL, out, &n, &used, &page, NULL), 0);
    assert_int_equal(used, sizeof(GOOD) + 1); /* frames may follow at once */
    upgrade(GOOD "\r\n", NULL, 0, "HTTP/1.1 101 ", NULL);
    upgrade(
        "GET / HTTP/1.1\r\nhost:a\r\nupgrade: h2c, WebSocket\r\nCONNECTION: keep-alive, upgrade\r\n"
        "sec-websocket-key:\tdGhlIHNhbXBsZSBub25jZQ== \r\nSec-WebSocket-Version:13\r\n"
        "Sec-WebSocket-Protocol: chat, SIP\r\nContent-Length: 0\r\n\r\n",
        NULL, 0, "HTTP/1.1 101 ", NULL);
}

static void test_upgrade_refused(void **state)
{
    (void)state;
    upgrade(GET HOST KEY VER SIP "\r\n", NULL, ERR_REFUSED, "HTTP/1.1 426 ", "ws-no-upgrade");
    upgrade(GET HOST "Upgrade: websocket\r\nConnection: close\r\n" KEY VER SIP "\r\n", NULL,
            ERR_REFUSED, "HTTP/1.1 426 ", "ws-no-upgrade");
    upgrade(GET HOST UPG KEY "Sec-WebSocket-Version: 8\r\n" SIP "\r\n", NULL, ERR_REFUSED,
            "HTTP/1.1 426 ", "ws-version");
    upgrade(GET HOST UPG VER SIP "\r\n", NULL, ERR_REFUSED, "HTTP/1.1 400 ", "ws-key");
    upgrade(GET HOST UPG "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=\r\n" VER SIP "\r\n", NULL,
            ERR_REFUSED, "HTTP/1.1 400 ", "ws-key");
    upgrade(GET HOST UPG "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ!!\r\n" VER SIP "\r\n", NULL,
            ERR_REFUSED, "HTTP/1.1 400 ", "ws-key");
    upgrade(GET UPG KEY VER SIP "\r\n", NULL, ERR_REFUSED, "HTTP/1.1 400 ", "ws-key");
    upgrade(GET HOST UPG KEY VER "\r\n", NULL, ERR_REFUSED, "HTTP/1.1 400 ", "ws-subprotocol");
    upgrade(GET HOST UPG KEY VER "Sec-WebSocket-Protocol: sips, xsip\r\n\r\n", NULL, ERR_REFUSED,
            "HTTP/1.1 400 ", "ws-subprotocol");
    upgrade(GOOD KEY "\r\n", NULL, ERR_REFUSED, "HTTP/1.1 400 ", "ws-request");
    upgrade(GOOD HOST "\r\n", NULL, ERR_REFUSED, "HTTP/1.1 400 ", "ws-request");
    upgrade(GOOD "Content-Length: 5\r\n\r\nhello", NULL, ERR_REFUSED, "HTTP/1.1 400 ",
            "ws-request");
    upgrade(GOOD "Transfer-Encoding: chunked\r\n\r\n", NULL, ERR_REFUSED, "HTTP/1.1 400 ",
            "ws-request");
    upgrade("POST / HTTP/1.1\r\n", NULL, ERR_REFUSED, "HTTP/1.1 400 ", "ws-not-http");
    upgrade("GET / HTTP/1.0\r\n" HOST UPG KEY VER SIP "\r\n", NULL, ERR_REFUSED, "HTTP/1.1 400 ",
            "ws-request");
    upgrade("GET  HTTP/1.1\r\n" HOST UPG KEY VER SIP "\r\n", NULL, ERR_REFUSED, "HTTP/1.1 400 ",
            "ws-request");
    upgrade(GOOD " folded: x\r\n\r\n", NULL, ERR_REFUSED, "HTTP/1.1 400 ", "ws-request");
    upgrade(GOOD "X: a\nY: b\r\n\r\n", NULL, ERR_REFUSED, "HTTP/1.1 400 ", "ws-request");
    upgrade(GOOD "X y: a\r\n\r\n", NULL, ERR_REFUSED, "HTTP/1.1 400 ", "ws-request");
    upgrade(GOOD "X: a\x01\r\n\r\n", NULL, ERR_REFUSED, "HTTP/1.1 400 ", "ws-request");
    upgrade("OPTIONS sip:a SIP/2.0\r\n", NULL, ERR_REFUSED, "HTTP/1.1 400 ", "ws-not-http");
    char *big = malloc(WS_UPGRADE_MAX + 100);
    memset(big, 'x', WS_UPGRADE_MAX + 99);
    memcpy(big, GET "X: ", sizeof(GET "X: ") - 1);
    big[WS_UPGRADE_MAX + 99] = '\0';
    upgrade(big, NULL, ERR_REFUSED, "HTTP/1.1 431 ", "ws-too-large");
    free(big);
}

static void test_origin(void **state)
{
    (void)state;
    static const char list[] = "https://a.example, https://phone.example:8443";
    upgrade(GOOD "Origin: https://a.example\r\n\r\n", list, 0, "HTTP/1.1 101 ", NULL);
    upgrade(GOOD "Origin: HTTPS://Phone.example:8443\r\n\r\n", list, 0, "HTTP/1.1 101 ", NULL);
    upgrade(GOOD "\r\n", list, 0, "HTTP/1.1 101 ", NULL); /* no browser */
    upgrade(GOOD "Origin: https://evil.example\r\n\r\n", list, ERR_REFUSED, "HTTP/1.1 403 ",
            "ws-origin");
    upgrade(GOOD "Origin: null\r\n\r\n", list, ERR_REFUSED, "HTTP/1.1 403 ", "ws-origin");
    upgrade(GOOD "Origin: https://a.example.evil.example\r\n\r\n", list, ERR_REFUSED,
            "HTTP/1.1 403 ", "ws-origin");
    upgrade(GOOD "Origin: https://a.example\r\nOrigin: https://evil.example\r\n\r\n", list,
            ERR_REFUSED, "HTTP/1.1 400 ", "ws-request");
}

/* --- frames --- */

/* A client's frame; mask 0 leaves it unmasked. */
static size_t frame(char *dst, unsigned first, const char *p, size_t n, uint32_t mask)
{
    unsigned char *d = (unsigned char *)dst;
    size_t at = 2;
    d[0] = (unsigned char)first;
    if (n < 126) {
        d[1] = (unsigned char)n;
    } else {
        size_t bytes = n < 65536 ? 2 : 8;
        d[1] = bytes == 2 ? 126 : 127;
        for (size_t i = 0; i < bytes; i++)
            d[at++] = (unsigned char)((uint64_t)n >> 8 * (bytes - 1 - i));
    }
    if (mask) {
        d[1] |= 0x80;
        for (int i = 0; i < 4; i++)
            d[at++] = (unsigned char)(mask >> (24 - 8 * i));
    }
    for (size_t i = 0; i < n; i++)
        d[at++] = (unsigned char)((unsigned char)p[i] ^ (mask ? mask >> (24 - 8 * (i & 3)) : 0));
    return at;
}

/* Feeds in steps; writes what happens as text: "M:hello G:ping C1000 B1002:ws-frame". */
static void feed(const char *in, size_t n, size_t step, size_t cut, char *out, size_t cap)
{
    struct ws ws = {0};
    struct ws_pool pool = {0};
    size_t at = 0, o = 0;
    bool is_over = false;
    out[0] = '\0';
    while (at < n && !is_over) {
        size_t len = step < n - at ? step : n - at;
        if (at < cut && cut < at + len)
            len = cut - at;
        char *copy = malloc(len);
        memcpy(copy, in + at, len);
        struct str rest = {copy, len};
        at += len;
        for (;;) {
            struct ws_event e;
            struct reason reason = {0};
            enum ws_kind kind = ws_next(&ws, &pool, &rest, &e, &reason);
            if (kind == WS_MORE)
                break;
            const char *sep = o ? " " : "";
            if (kind == WS_MESSAGE) {
                if (e.msg->n < 100)
                    o += (size_t)snprintf(out + o, cap - o, "%sM:%.*s", sep,
                                          STR_FMT(buf_str(e.msg)));
                else
                    o += (size_t)snprintf(out + o, cap - o, "%sM%u", sep, e.msg->n);
                buf_unref(e.msg);
            } else if (kind == WS_PING || kind == WS_PONG) {
                o += (size_t)snprintf(out + o, cap - o, "%s%c:%.*s", sep,
                                      kind == WS_PING ? 'G' : 'O', STR_FMT(e.data));
            } else {
                o += (size_t)snprintf(out + o, cap - o, "%s%c%u%s%s", sep,
                                      kind == WS_CLOSE ? 'C' : 'B', e.code,
                                      kind == WS_BAD ? ":" : "", kind == WS_BAD ? reason.code : "");
                is_over = true;
                break;
            }
        }
        free(copy);
    }
    if (!is_over && (ws.reader || ws.msg || ws.is_fragmented))
        snprintf(out + o, cap - o, "%s+", o ? " " : "");
    ws_done(&ws, &pool);
    ws_pool_done(&pool);
}

static void expect(const char *in, size_t n, const char *want)
{
    char got[4096];
    feed(in, n, n, 0, got, sizeof(got));
    assert_string_equal(got, want);
    if (n > 5000)
        return;
    feed(in, n, 1, 0, got, sizeof(got));
    assert_string_equal(got, want);
    for (size_t cut = 1; cut < n; cut++) {
        feed(in, n, n, cut, got, sizeof(got));
        assert_string_equal(got, want);
    }
}

static void test_frames(void **state)
{
    (void)state;
    static char in[70000], body[70000];
    memset(body, 'x', sizeof(body));
    size_t n = frame(in, 0x81, "Hello", 5, 0x37fa213d); /* RFC 6455 5.7 */
    assert_memory_equal(in, "\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58", 11);
    expect(in, n, "M:Hello");
    n += frame(in + n, 0x82, "\xff\xfe", 2, 0x01020304); /* binary may be anything */
    n += frame(in + n, 0x81, "", 0, 0x01020304);
    n += frame(in + n, 0x89, "p1", 2, 1);
    n += frame(in + n, 0x8a, "", 0, 1);
    n += frame(in + n, 0x81, body, 200, 0xa0b0c0d0);
    n += frame(in + n, 0x88,
               "\x03\xe8"
               "bye",
               5, 0xffffffff);
    expect(in, n, "M:Hello M:\xff\xfe M: G:p1 O: M200 C1000");
    static const size_t sizes[] = {124, 125, 126, 127, 2047, 2048, 4090, 4096, 9000, 65535};
    for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
        char want[32];
        n = frame(in, 0x81, body, sizes[i], 0xdeadbeef);
        snprintf(want, sizeof(want), "M%zu", sizes[i]);
        expect(in, n, want);
    }
    n = frame(in, 0x81, body, 300, 5);
    expect(in, n - 1, "+");
    expect(in, 1, "+");
}

static void test_fragments(void **state)
{
    (void)state;
    char in[2000];
    size_t n = frame(in, 0x01, "one ", 4, 7);
    n += frame(in + n, 0x00, "", 0, 7);
    n += frame(in + n, 0x89, "ping", 4, 9); /* control frames in between, 5.4 */
    n += frame(in + n, 0x00, "two ", 4, 11);
    n += frame(in + n, 0x8a, "pong", 4, 9);
    n += frame(in + n, 0x80, "three", 5, 13);
    n += frame(in + n, 0x81, "next", 4, 13);
    expect(in, n, "G:ping O:pong M:one two three M:next");
    n = frame(in, 0x01, "caf\xc3", 4, 7); /* a character cut in two */
    n += frame(in + n, 0x80, "\xa9", 1, 7);
    expect(in, n, "M:caf\xc3\xa9");
    n = frame(in, 0x01, "one", 3, 7);
    expect(in, n, "+");
    n += frame(in + n, 0x81, "two", 3, 7);
    expect(in, n, "B1002:ws-fragment");
    n = frame(in, 0x80, "one", 3, 7);
    expect(in, n, "B1002:ws-fragment");
}

static void test_bad_frames(void **state)
{
    (void)state;
    static char in[70000], body[66000];
    size_t n;
    memset(body, 'x', sizeof(body));
    n = frame(in, 0x81, "hello", 5, 0);
    expect(in, n, "B1002:ws-not-masked");
    n = frame(in, 0xc1, "hello", 5, 1);
    expect(in, n, "B1002:ws-reserved-bits");
    n = frame(in, 0x83, "hello", 5, 1);
    expect(in, n, "B1002:ws-opcode");
    n = frame(in, 0x8b, "hello", 5, 1);
    expect(in, n, "B1002:ws-opcode");
    n = frame(in, 0x09, "hello", 5, 1); /* a ping in fragments */
    feed(in, n, n, 0, in + 1000, 1000);
    assert_memory_equal(in + 1000, "B1002:ws-", 9);
    n = frame(in, 0x89, body, 126, 1); /* a ping too long */
    feed(in, n, n, 0, in + 1000, 1000);
    assert_memory_equal(in + 1000, "B1002:ws-", 9);
    expect("\x81\xfe\x00\x05"
           "mask"
           "hello",
           13, "B1002:ws-frame"); /* length not in its shortest form */
    expect("\x81\xff\x00\x00\x00\x00\x00\x00\x01\x00"
           "mask",
           14, "B1002:ws-frame");
    expect("\x81\xff\x80\x00\x00\x00\x00\x00\x00\x00"
           "mask",
           14, "B1002:ws-frame");
    expect("\x81\xff\x00\x00\x00\x00\x00\x01\x00\x00"
           "maskx",
           15, "B1009:ws-too-large"); /* before it has come */
    expect("\x82\xff\x7f\xff\xff\xff\xff\xff\xff\xff"
           "maskx",
           15, "B1009:ws-too-large");
    n = frame(in, 0x01, body, 65000, 1);
    n += frame(in + n, 0x80, body, 600, 1);
    expect(in, n, "B1009:ws-too-large"); /* in sum */
    n = frame(in, 0x81, "\xff", 1, 1);
    expect(in, n, "B1007:ws-not-utf8");
    n = frame(in, 0x81, "\xed\xa0\x80", 3, 1); /* a surrogate */
    expect(in, n, "B1007:ws-not-utf8");
}

static void test_close(void **state)
{
    (void)state;
    static const struct {
        const char *p;
        size_t n;
        const char *want;
    } rows[] = {
        {"", 0, "C1005"},
        {"\x03\xe9going", 7, "C1001"},
        {"\x0f\xa0", 2, "C4000"},
        {"\x03", 1, "B1002:ws-close-code"},
        {"\x00\x00", 2, "B1002:ws-close-code"},
        {"\x03\xed", 2, "B1002:ws-close-code"}, /* 1005 must not be sent */
        {"\x03\xee", 2, "B1002:ws-close-code"},
        {"\x03\xf7", 2, "B1002:ws-close-code"}, /* 1015 */
        {"\x13\x88", 2, "B1002:ws-close-code"}, /* 5000 */
        {"\x03\xe8\xff", 3, "B1007:ws-not-utf8"},
    };
    char in[200];
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        size_t n = frame(in, 0x88, rows[i].p, rows[i].n, 0x11223344);
        n += frame(in + n, 0x81, "after", 5, 1); /* not looked at */
        expect(in, n, rows[i].want);
    }
}

static void test_header(void **state)
{
    (void)state;
    char h[WS_HEADER_MAX];
    assert_int_equal(ws_header_build(h, WS_TEXT, 5), 2);
    assert_memory_equal(h, "\x81\x05", 2);
    assert_int_equal(ws_header_build(h, WS_BINARY, 126), 4);
    assert_memory_equal(h, "\x82\x7e\x00\x7e", 4);
    assert_int_equal(ws_header_build(h, WS_BINARY, 65535), 4);
    assert_int_equal(ws_header_build(h, WS_TEXT, 65536), 10);
    assert_memory_equal(h, "\x81\x7f\0\0\0\0\0\1\0\0", 10);
}

/* Readers are lent, not owned: many connections that take turns need one. */
static void test_pool(void **state)
{
    (void)state;
    struct ws ws[100] = {0};
    struct ws_pool pool = {0};
    char in[64];
    size_t n = frame(in, 0x81, "hello", 5, 3);
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < 100; i++) {
            struct str rest = {in, n};
            struct ws_event e;
            assert_int_equal(ws_next(&ws[i], &pool, &rest, &e, NULL), WS_MESSAGE);
            buf_unref(e.msg);
            assert_int_equal(ws_next(&ws[i], &pool, &rest, &e, NULL), WS_MORE);
            assert_null(ws[i].reader);
        }
    }
    assert_int_equal(pool.n, 1);
    for (int i = 0; i < 100; i++) { /* in the middle of a frame each needs its own */
        struct str rest = {in, 7};
        struct ws_event e;
        assert_int_equal(ws_next(&ws[i], &pool, &rest, &e, NULL), WS_MORE);
        assert_non_null(ws[i].reader);
    }
    for (int i = 0; i < 100; i++)
        ws_done(&ws[i], &pool);
    ws_pool_done(&pool);
}

static void test_oom(void **state)
{
    (void)state;
    static char in[20000], got[4000];
    char body[6000];
    memset(body, 'x', sizeof(body));
    size_t n = frame(in, 0x01, body, 6000, 3);
    n += frame(in + n, 0x80, body, 6000, 3);
    OOM_SWEEP(50, { feed(in, n, 1000, 0, got, sizeof(got)); });
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pages),
        cmocka_unit_test(test_upgrade),
        cmocka_unit_test(test_upgrade_refused),
        cmocka_unit_test(test_origin),
        cmocka_unit_test(test_frames),
        cmocka_unit_test(test_fragments),
        cmocka_unit_test(test_bad_frames),
        cmocka_unit_test(test_close),
        cmocka_unit_test(test_header),
        cmocka_unit_test(test_pool),
        cmocka_unit_test(test_oom),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

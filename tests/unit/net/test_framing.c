/* Framing of streams: every split of every input gives the same pieces; what would be read
 * differently by different readers is refused. RFC 3261 7.3.1, 7.3.3, 7.5, 18.3, 20.14; RFC
 * 4475 3.1.2.2 and 3.1.1.1 (odd white space); RFC 5626 3.5.1. */
#include "check.h"
#include "net/framing.h"
#include <stdio.h>
#include <stdlib.h>

/* What came out of a stream: "M25 P K2 ..." */
struct pieces {
    char text[4096];
    size_t n;
};

static void add(struct pieces *p, const char *what, size_t n)
{
    p->n += (size_t)snprintf(p->text + p->n, sizeof(p->text) - p->n, "%s%s%zu", p->n ? " " : "",
                             what, n);
}

/* Feeds `in` as if it came in parts that end at the multiples of `step` and at `cut`. */
static void run(struct pieces *out, const char *in, size_t n, size_t cut, size_t step)
{
    static const char *const names[] = {"", "M", "P", "S", "U", "B:"};
    struct framing f = {0};
    size_t start = 0, have = 0;
    out->n = 0;
    out->text[0] = '\0';
    while (have < n) {
        size_t next = have + step < n ? have + step : n;
        if (have < cut && cut < next)
            next = cut;
        have = next;
        for (;;) {
            struct reason reason = {0};
            size_t len;
            char *copy =
                malloc(have - start ? have - start
                                    : 1); /* exactly as long: reading beyond is seen by ASan */
            assert_non_null(copy);
            memcpy(copy, in + start, have - start);
            enum framing_kind kind = framing_next(&f, copy, have - start, &len, &reason);
            free(copy);
            if (kind == FRAMING_MORE) {
                assert_true(len == 0 || len > have - start);
                break;
            }
            if (kind == FRAMING_BAD) {
                out->n += (size_t)snprintf(out->text + out->n, sizeof(out->text) - out->n, "%sB:%s",
                                           out->n ? " " : "", reason.code);
                assert_true(len <= have - start);
                return;
            }
            assert_in_range(len, 1, have - start);
            add(out, names[kind], len);
            start += len;
        }
    }
    if (start < n)
        add(out, "+", n - start);
}

/* Whole, byte by byte, and cut in two at every place: always the same. */
static void expect(const char *in, size_t n, const char *want)
{
    struct pieces p;
    run(&p, in, n, 0, n);
    assert_string_equal(p.text, want);
    if (n > 4000)
        return;
    run(&p, in, n, 0, 1);
    assert_string_equal(p.text, want);
    for (size_t cut = 1; cut < n; cut++) {
        run(&p, in, n, cut, n);
        assert_string_equal(p.text, want);
    }
}
#define EXPECT(in, want) expect(in, sizeof(in) - 1, want)
/* One message, all of it. */
#define EXPECT_WHOLE(in)                                                                           \
    do {                                                                                           \
        char whole_[32];                                                                           \
        snprintf(whole_, sizeof(whole_), "M%zu", sizeof(in) - 1);                                  \
        EXPECT(in, whole_);                                                                        \
    } while (0)
#define L "OPTIONS sip:a@b SIP/2.0\r\n" /* 25 bytes */

static void test_messages(void **state)
{
    (void)state;
    EXPECT_WHOLE(L "Content-Length: 0\r\n\r\n");
    EXPECT_WHOLE(L "l:0\r\n\r\n");
    EXPECT_WHOLE(L "L :\t5\r\n\r\nhello");
    EXPECT_WHOLE(L "CONTENT-LENGTH  :  5  \r\n\r\nhello");
    EXPECT_WHOLE(L "Content-Length:\r\n 5\r\n\r\nhello");
    EXPECT_WHOLE(L "Content-Length: 5\r\n\t\r\n\r\nhello"); /* a fold of white space alone */
    EXPECT_WHOLE(L "Via: a\r\n ;b\r\n\t;c\r\nl: 2\r\n\r\nxy");
    EXPECT_WHOLE(L "l: 00000000000000000000000000000003\r\n\r\nabc");
    EXPECT_WHOLE("SIP/2.0 200 OK\r\nl: 1\r\n\r\nx");
    EXPECT_WHOLE("sip/3.0 200 OK\r\nl: 1\r\n\r\nx"); /* the version is the parser's question */
    EXPECT_WHOLE("INVITE sip:a  SIP/2.0 \r\nl: 0\r\n\r\n"); /* and so is this */
    EXPECT(L "l: 1\r\n\r\nx" L "l: 2\r\n\r\nxy\r\n\r\n\r\nSIP/2.0 200 OK\r\nl: 0\r\n\r\n",
           "M34 M35 S2 P2 S2 M24");
    /* What looks like a header in a body, and bodies with anything */
    EXPECT(L "l: 27\r\n\r\nOPTIONS x SIP/2.0\r\nl: 9\r\n\r\n" L "l: 0\r\n\r\n", "M61 M33");
    EXPECT(L "l: 4\r\n\r\n\r\0\n\xff" L "l: 0\r\n\r\n", "M37 M33");
    /* Headers that only look like it */
    EXPECT_WHOLE(L "Content-Lengthy: 7\r\nX-Content-Length: 8\r\nlx: 9\r\nl: 0\r\n\r\n");
    EXPECT_WHOLE(L "Subject: Content-Length: 7\r\n Content-Length: 8\r\nl: 0\r\n\r\n");
    EXPECT_WHOLE(L "c: text/plain\r\nl: 0\r\n\r\n");
    EXPECT_WHOLE(L "no colon here\r\nl\r\nl: 0\r\n\r\n");
}

static void test_incomplete(void **state)
{
    (void)state;
    EXPECT("O", "+1");
    EXPECT(L, "+25");
    EXPECT(L "l: 0\r\n\r", "+32");
    EXPECT(L "l: 5\r\n\r\nhell", "+37");
    EXPECT("\r", "+1");
    EXPECT("\r\n\r", "S2 +1");
}

static void test_keepalives(void **state)
{
    (void)state;
    EXPECT("\r\n", "S2");
    EXPECT("\r\n\r\n", "S2 P2");
    EXPECT("\r\n\r\n\r\n\r\n", "S2 P2 S2 P2");
    EXPECT("\r\n" L "l: 0\r\n\r\n\r\n\r\n", "S2 M33 S2 P2"); /* a message in between begins anew */
}

static void test_stun(void **state)
{
    (void)state;
    EXPECT("\0\1\0\0\x21\x12\xa4\x42"
           "abcdefghijkl"
           "\r\n",
           "U20 S2");
    EXPECT("\0\1\0\4\x21\x12\xa4\x42"
           "abcdefghijkl"
           "1234" L "l: 0\r\n\r\n",
           "U24 M33");
    EXPECT("\0\1\0\0\x21\x12\xa4\x43"
           "abcdefghijkl",
           "B:framing-not-sip");
    EXPECT("\0\1\0\1\x21\x12\xa4\x42"
           "abcdefghijklx",
           "B:framing-not-sip");
    EXPECT("\0\1\x7f\0", "B:framing-not-sip");
}

static void test_length(void **state)
{
    (void)state;
    EXPECT(L "\r\n", "B:framing-no-length");
    EXPECT(L "Via: x\r\n\r\n", "B:framing-no-length");
    EXPECT(L "l: 1\r\nl: 1\r\n\r\nx", "B:framing-length-repeated");
    EXPECT(L "l: 1\r\nContent-Length: 2\r\n\r\nxx", "B:framing-length-repeated");
    EXPECT(L "Content-Length: 2\r\nVia: x\r\nContent-length : 2\r\n\r\nxx",
           "B:framing-length-repeated");
    EXPECT(L "l: 1, 1\r\n\r\nx", "B:framing-length-syntax");
    EXPECT(L "l: -1\r\n\r\nx", "B:framing-length-syntax");
    EXPECT(L "l: +1\r\n\r\nx", "B:framing-length-syntax");
    EXPECT(L "l: 0x1\r\n\r\nx", "B:framing-length-syntax");
    EXPECT(L "l: 1 2\r\n\r\nx", "B:framing-length-syntax");
    EXPECT(L "l: 1\r\n 2\r\n\r\nx", "B:framing-length-syntax");
    EXPECT(L "l:\r\n\r\nx", "B:framing-length-syntax");
    EXPECT(L "l: \"1\"\r\n\r\nx", "B:framing-length-syntax");
    EXPECT(L "l: 1;x\r\n\r\nx", "B:framing-length-syntax");
    EXPECT(L "l: 65536\r\n\r\nx", "B:framing-too-large");
    EXPECT(L "l: 65520\r\n\r\nx", "B:framing-too-large"); /* with the header */
    EXPECT(L "l: 4294967297\r\n\r\nx", "B:framing-too-large");
    EXPECT(L "l: 18446744073709551617\r\n\r\nx", "B:framing-too-large");
    EXPECT(L "l: 99999999999999999999999999999999999999\r\n\r\nx", "B:framing-too-large");
}

static void test_lines(void **state)
{
    (void)state;
    EXPECT("OPTIONS sip:a SIP/2.0\nl: 0\n\n", "B:framing-line-end");
    EXPECT(L "Via: x\nl: 0\r\n\r\n", "B:framing-line-end");
    EXPECT(L "Via: x\rl: 0\r\n\r\n", "B:framing-line-end");
    EXPECT(L "l: 0\r\n\n", "B:framing-line-end");
    EXPECT(L "l: 0\r\n\r\r\n", "B:framing-line-end");
    EXPECT(L "l: 0\r\r\n\r\n", "B:framing-line-end");
    EXPECT("\rO", "B:framing-line-end");
    EXPECT("\n", "B:framing-not-sip");
    EXPECT("OPTIONS sip:a SIP/2.0\r\n l: 0\r\n\r\n",
           "B:framing-not-sip"); /* nothing continues a start line */
    EXPECT("GET / HTTP/1.1\r\n", "B:framing-not-sip");
    EXPECT("\x16\x03\x01\x02", "B:framing-not-sip");
    EXPECT(" OPTIONS", "B:framing-not-sip");
    EXPECT("\xef\xbb\xbfOPTIONS", "B:framing-not-sip");
    EXPECT("EHLO x\r\n", "B:framing-not-sip");
}

static void test_sizes(void **state)
{
    (void)state;
    static char in[70000];
    int n = snprintf(in, sizeof(in), L "Content-Length: ");
    size_t body = 65535 - (size_t)n - 9;
    n += snprintf(in + n, sizeof(in) - (size_t)n, "%zu\r\n\r\n", body);
    assert_int_equal((size_t)n + body, 65535);
    memset(in + n, 'x', body);
    expect(in, 65535, "M65535");
    n = snprintf(in, sizeof(in), L "X: ");
    memset(in + n, 'x', 65000);
    expect(in, 49152, "+49152");
    expect(in, 49153, "B:framing-header-too-large");
    /* Many short lines */
    n = snprintf(in, sizeof(in), L);
    while (n < 49170)
        n += snprintf(in + n, sizeof(in) - (size_t)n, "a:b\r\n");
    expect(in, (size_t)n, "B:framing-header-too-large");
}

/* 48 KiB that come one byte at a time are looked at once, not again and again. */
static void test_linear(void **state)
{
    (void)state;
    static char in[49000];
    struct framing f = {0};
    size_t len;
    int n = snprintf(in, sizeof(in), L "X: ");
    memset(in + n, 'x', sizeof(in) - (size_t)n);
    for (size_t i = 1; i <= sizeof(in); i++) {
        assert_int_equal(framing_next(&f, in, i, &len, NULL), FRAMING_MORE);
        assert_int_equal(f.scanned,
                         i); /* nothing before is looked at again but the line when it ends */
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_messages),   cmocka_unit_test(test_incomplete),
        cmocka_unit_test(test_keepalives), cmocka_unit_test(test_stun),
        cmocka_unit_test(test_length),     cmocka_unit_test(test_lines),
        cmocka_unit_test(test_sizes),      cmocka_unit_test(test_linear),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

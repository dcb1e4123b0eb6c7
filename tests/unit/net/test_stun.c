/* STUN Binding requests, built from the text of RFC 8489 (5, 14) with an independent CRC, and their
 * answers; RFC 5626 8. */
#include "base/err.h"
#include "check.h"
#include "net/stun.h"

#define COOKIE "\x21\x12\xa4\x42"
#define ID "\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c"

/* Bit by bit, as ISO 3309 describes it; not the code under test. */
static uint32_t slow_crc(const char *p, size_t n)
{
    uint32_t c = 0xffffffff;
    for (size_t i = 0; i < n; i++) {
        c ^= (unsigned char)p[i];
        for (int k = 0; k < 8; k++)
            c = c & 1 ? c >> 1 ^ 0xedb88320 : c >> 1;
    }
    return ~c;
}

static size_t with_fingerprint(char *p, size_t n)
{
    unsigned len = (unsigned)n - 20 + 8;
    p[2] = (char)(len >> 8);
    p[3] = (char)len;
    uint32_t f = slow_crc(p, n) ^ 0x5354554e;
    const char attr[8] = {(char)0x80,      0x28,           0,      4, (char)(f >> 24),
                          (char)(f >> 16), (char)(f >> 8), (char)f};
    memcpy(p + n, attr, 8);
    return n + 8;
}

static enum stun_kind ask(const char *p, size_t n, const char *from, char out[STUN_ANSWER_MAX],
                          size_t *ret_n)
{
    struct addr a;
    assert_int_equal(addr_parse_hostport(&a, str_z(from)), 0);
    memset(out, 0x55, STUN_ANSWER_MAX);
    return stun_answer(p, n, &a, out, ret_n);
}

static void test_v4(void **state)
{
    (void)state;
    static const char want[] =
        "\x01\x01\x00\x0c" COOKIE ID "\x00\x20\x00\x08\x00\x01\x32\xd6\xe1\xba\xa5\x61";
    char out[STUN_ANSWER_MAX];
    size_t n;
    /* port 5060 = 0x13c4 ^ 0x2112 = 0x32d6; 192.168.1.35 = c0a80123 ^ 2112a442 = e1baa561 */
    assert_int_equal(ask("\0\1\0\0" COOKIE ID, 20, "192.168.1.35:5060", out, &n), STUN_REQUEST);
    assert_int_equal(n, sizeof(want) - 1);
    assert_memory_equal(out, want, n);
}

static void test_v6(void **state)
{
    (void)state;
    /* 2001:db8::1 xored with cookie and transaction id */
    static const char want[] = "\x01\x01\x00\x18" COOKIE ID "\x00\x20\x00\x14\x00\x02\x32\xd6"
                               "\x01\x13\xa9\xfa\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0d";
    char out[STUN_ANSWER_MAX];
    size_t n;
    assert_int_equal(ask("\0\1\0\0" COOKIE ID, 20, "[2001:db8::1]:5060", out, &n), STUN_REQUEST);
    assert_int_equal(n, sizeof(want) - 1);
    assert_memory_equal(out, want, n);
}

static void test_fingerprint(void **state)
{
    (void)state;
    char in[64], out[STUN_ANSWER_MAX];
    size_t n;
    memcpy(in, "\0\1\0\0" COOKIE ID, 20);
    size_t len = with_fingerprint(in, 20);
    assert_int_equal(ask(in, len, "192.168.1.35:5060", out, &n), STUN_REQUEST);
    assert_int_equal(n, 40); /* answered with one */
    char copy[64];
    memcpy(copy, out, 32);
    assert_int_equal(with_fingerprint(copy, 32), 40);
    assert_memory_equal(out, copy, 40);
    for (size_t i = 20; i < len; i++) { /* any damage is noticed */
        for (int bit = 0; bit < 8; bit++) {
            in[i] = (char)(in[i] ^ 1 << bit);
            enum stun_kind kind = ask(in, len, "192.168.1.35:5060", out, &n);
            if (i >= 24 || i == 22 || i == 23)
                assert_int_equal(kind, STUN_NOT);
            in[i] = (char)(in[i] ^ 1 << bit);
        }
    }
    /* nothing may follow it, 14.7 */
    memcpy(in + len, "\x80\x22\0\0", 4);
    in[3] = 12;
    assert_int_equal(ask(in, len + 4, "192.168.1.35:5060", out, &n), STUN_NOT);
}

static void test_attributes(void **state)
{
    (void)state;
    char out[STUN_ANSWER_MAX];
    size_t n;
    /* comprehension-optional ones and known ones are ignored, with padding */
    assert_int_equal(ask("\0\1\0\x14" COOKIE ID "\x80\x22\0\5hello\0\0\0"
                         "\0\6\0\3bob\0",
                         40, "1.2.3.4:5", out, &n),
                     STUN_REQUEST);
    assert_int_equal(n, 32);
    /* unknown comprehension-required ones: 420 with the list, 6.3.1 */
    static const char want[] =
        "\x01\x11\x00\x24" COOKIE ID "\x00\x09\x00\x15\x00\x00\x04\x14Unknown Attribute\0\0\0"
        "\x00\x0a\x00\x04\x00\x24\x7f\xff";
    assert_int_equal(ask("\0\1\0\x0c" COOKIE ID "\0\x24\0\4abcd"
                         "\x7f\xff\0\0",
                         32, "1.2.3.4:5", out, &n),
                     STUN_REQUEST);
    assert_int_equal(n, sizeof(want) - 1);
    assert_memory_equal(out, want, n);
    /* so many that not all can be named: still bounded */
    char in[20 + 300 * 4] = "\0\1\4\xb0" COOKIE ID;
    for (int i = 0; i < 300; i++)
        memcpy(in + 20 + 4 * i, "\x10\0\0\0", 4);
    assert_int_equal(ask(in, sizeof(in), "1.2.3.4:5", out, &n), STUN_REQUEST);
    assert_in_range(n, 40, STUN_ANSWER_MAX);
}

static void test_not(void **state)
{
    (void)state;
    static const struct {
        const char *p;
        size_t n;
    } bad[] = {
        {"", 0},
        {"\0\1\0\0" COOKIE "short", 13},
        {"\0\1\0\0"
         "\x21\x12\xa4\x43" ID,
         20},                                  /* cookie: RFC 3489 */
        {"\0\1\0\4" COOKIE ID, 20},            /* longer than it is */
        {"\0\1\0\0" COOKIE ID "\0\0\0\0", 24}, /* shorter than it is */
        {"\0\1\0\3" COOKIE ID "abc", 23},      /* not a multiple of 4 */
        {"\0\1\0\4" COOKIE ID "\0\6\0\1", 24}, /* attribute beyond the end */
        {"\0\1\0\4" COOKIE ID "\0\6\xff\xff", 24},
        {"\x80\1\0\0" COOKIE ID, 20}, /* first bits not 0 */
        {"\0\1\0\x0c" COOKIE ID "\x80\x28\0\x08"
         "12345678",
         32}, /* FINGERPRINT of another length */
    };
    char out[STUN_ANSWER_MAX];
    size_t n;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        assert_int_equal(ask(bad[i].p, bad[i].n, "1.2.3.4:5", out, &n), STUN_NOT);
        assert_int_equal(n, 0);
    }
    assert_int_equal(ask("\0\x11\0\0" COOKIE ID, 20, "1.2.3.4:5", out, &n), STUN_INDICATION);
    assert_int_equal(n, 0);
    assert_int_equal(ask("\1\1\0\0" COOKIE ID, 20, "1.2.3.4:5", out, &n),
                     STUN_OTHER); /* an answer: not reflected */
    assert_int_equal(n, 0);
    assert_int_equal(ask("\0\3\0\0" COOKIE ID, 20, "1.2.3.4:5", out, &n),
                     STUN_OTHER); /* TURN Allocate */
    assert_int_equal(n, 0);
}

static void test_frame(void **state)
{
    (void)state;
    size_t total;
    for (size_t i = 0; i < 20; i++) {
        assert_int_equal(stun_frame("\0\1\0\4" COOKIE ID "abcd", i, &total), ERR_AGAIN);
        assert_int_equal(total, 20);
    }
    for (size_t i = 20; i < 24; i++) {
        assert_int_equal(stun_frame("\0\1\0\4" COOKIE ID "abcd", i, &total), ERR_AGAIN);
        assert_int_equal(total, 24);
    }
    assert_int_equal(stun_frame("\0\1\0\4" COOKIE ID "abcd", 24, &total), 0);
    assert_int_equal(stun_frame("\0\1\0\4" COOKIE ID "abcdef", 26, &total), 0);
    assert_int_equal(total, 24);
    assert_int_equal(stun_frame("\0\1\xff\xfc", 4, &total), ERR_SYNTAX);
    assert_int_equal(stun_frame("\0\1\0\0\x22", 5, &total), ERR_SYNTAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_v4),          cmocka_unit_test(test_v6),
        cmocka_unit_test(test_fingerprint), cmocka_unit_test(test_attributes),
        cmocka_unit_test(test_not),         cmocka_unit_test(test_frame),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* RDATA of SRV (RFC 2782) and NAPTR (RFC 3403 4.1): what is read, and that every cut is refused. */
#include "base/err.h"
#include "check.h"
#include "net/dns.h"
#include <stdio.h>

#define BYTES(lit) str_make((lit), sizeof(lit) - 1)

static void test_srv(void **state)
{
    (void)state;
    static const char good[] = "\0\1\0\2\23\304\7Server1\7example\3com\0";
    struct str whole = BYTES(good);
    struct dns_srv r;
    check_err(dns_srv_parse(whole, &r), 0);
    assert_int_equal(r.priority, 1);
    assert_int_equal(r.weight, 2);
    assert_int_equal(r.port, 5060);
    assert_string_equal(r.target, "server1.example.com");
    for (size_t n = 0; n < whole.n; n++)
        check_err(dns_srv_parse(str_make(whole.p, n), &r), ERR_SYNTAX);
    check_err(dns_srv_parse(BYTES("\0\1\0\2\23\304\0"), &r), 0);
    assert_string_equal(r.target, "");
    static const struct str bad[] = {
        {"\0\1\0\2\23\304\1a\0x", 10},   /* something behind it */
        {"\0\1\0\2\23\304\300\14", 8},   /* a compression pointer */
        {"\0\1\0\2\23\304\100a\0", 9},   /* a label type of another age */
        {"\0\1\0\2\23\304\3a.b\0", 11},  /* a dot inside of a label */
        {"\0\1\0\2\23\304\3a\0b\0", 11}, /* NUL inside of a label */
        {"\0\1\0\2\23\304\1*\0", 9},
    };
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        check_err(dns_srv_parse(bad[i], &r), ERR_SYNTAX);
}

static void test_naptr(void **state)
{
    (void)state;
    static const char good[] = "\0\62\0\5\1s\10SIPS+D2T\3!x!\5_sips\4_tcp\1A\0";
    struct str whole = BYTES(good);
    struct dns_naptr r;
    check_err(dns_naptr_parse(whole, &r), 0);
    assert_int_equal(r.order, 50);
    assert_int_equal(r.preference, 5);
    check_str(r.flags, "s");
    check_str(r.services, "SIPS+D2T");
    check_str(r.regexp, "!x!");
    assert_string_equal(r.replacement, "_sips._tcp.a");
    for (size_t n = 0; n < whole.n; n++)
        check_err(dns_naptr_parse(str_make(whole.p, n), &r), ERR_SYNTAX);
    check_err(dns_naptr_parse(BYTES("\0\62\0\5\0\0\0\0"), &r), 0);
    check_err(dns_naptr_parse(BYTES("\0\62\0\5\377s\0\0\0"), &r), ERR_SYNTAX);
}

/* The longest name there is, and one more (RFC 1035 2.3.4). */
static void test_long_names(void **state)
{
    (void)state;
    char rdata[300] = {0}, text[300];
    struct dns_srv r;
    for (size_t last = 61; last <= 62; last++) {
        size_t n = 6, t = 0;
        for (int label = 0; label < 4; label++) {
            size_t len = label < 3 ? 63 : last;
            rdata[n++] = (char)len;
            memset(rdata + n, 'a', len);
            n += len;
            if (t)
                text[t++] = '.';
            memset(text + t, 'a', len);
            t += len;
        }
        rdata[n++] = 0;
        assert_int_equal(dns_srv_parse(str_make(rdata, n), &r), last == 61 ? 0 : ERR_SYNTAX);
        assert_int_equal(dns_name_is_valid(str_make(text, t)), last == 61);
        if (last == 61)
            assert_int_equal(strlen(r.target), 253);
    }
    memset(text, 'a', 64);
    assert_false(dns_name_is_valid(str_make(text, 64)));
    assert_true(dns_name_is_valid(str_make(text, 63)));
}

static void test_names(void **state)
{
    (void)state;
    static const struct str good[] = {
        {"a", 1}, {"a.", 2}, {"_sip._udp.A-1.example", 21}, {"1.2.3.4", 7}};
    static const struct str bad[] = {{"", 0},    {".", 1},        {".a", 2},   {"a..b", 4},
                                     {"a..", 3}, {"a b", 3},      {"a\0b", 3}, {"a/b", 3},
                                     {"*.a", 3}, {"\303\244", 2}, {"[::1]", 5}};
    for (size_t i = 0; i < ARRAY_LEN(good); i++)
        assert_true(dns_name_is_valid(good[i]));
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        assert_false(dns_name_is_valid(bad[i]));
}

static void test_addresses(void **state)
{
    (void)state;
    struct addr a;
    char text[ADDR_TEXT_MAX];
    check_err(dns_addr_parse(BYTES("\300\0\2\1"), DNS_A, 5060, &a), 0);
    check_str(addr_text(&a, text), "192.0.2.1:5060");
    check_err(dns_addr_parse(BYTES("\40\1\15\270\0\0\0\0\0\0\0\0\0\0\0\1"), DNS_AAAA, 1, &a), 0);
    check_str(addr_text(&a, text), "[2001:db8::1]:1");
    check_err(dns_addr_parse(BYTES("\300\0\2"), DNS_A, 0, &a), ERR_SYNTAX);
    check_err(dns_addr_parse(BYTES("\300\0\2\1"), DNS_AAAA, 0, &a), ERR_SYNTAX);
    check_err(dns_addr_parse(BYTES("\300\0\2\1"), DNS_SRV, 0, &a), ERR_SYNTAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_srv),        cmocka_unit_test(test_naptr),
        cmocka_unit_test(test_long_names), cmocka_unit_test(test_names),
        cmocka_unit_test(test_addresses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

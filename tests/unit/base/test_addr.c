/* base/addr: RFC 3261 25.1 hosts, RFC 5952 text, v4-mapped IPv6, networks. */
#include "check.h"

#include "base/addr.h"
#include "base/err.h"

static struct addr make(const char *text)
{
    struct addr a;
    check_err(addr_parse_hostport(&a, str_z(text)), 0);
    return a;
}

static void test_text(void **state)
{
    (void)state;
    static const struct {
        const char *in, *host, *both;
    } rows[] = {
        {"192.0.2.1", "192.0.2.1", "192.0.2.1:5060"},
        {"0.0.0.0", "0.0.0.0", "0.0.0.0:5060"},
        {"255.255.255.255", "255.255.255.255", "255.255.255.255:5060"},
        {"::1", "[::1]", "[::1]:5060"},
        {"[::]", "[::]", "[::]:5060"},
        {"2001:DB8:0:0:0:0:0:1", "[2001:db8::1]", "[2001:db8::1]:5060"},
        {"2001:db8:0:1:1:1:1:1", "[2001:db8:0:1:1:1:1:1]",
         "[2001:db8:0:1:1:1:1:1]:5060"},                                   /* RFC 5952 4.2.2 */
        {"2001:0:0:1:0:0:0:1", "[2001:0:0:1::1]", "[2001:0:0:1::1]:5060"}, /* 4.2.3 longest */
        {"2001:db8:0:0:1:0:0:1", "[2001:db8::1:0:0:1]",
         "[2001:db8::1:0:0:1]:5060"}, /* 4.2.3 first */
        {"1:0:0:2::", "[1:0:0:2::]", "[1:0:0:2::]:5060"},
        {"0:0:1::", "[0:0:1::]", "[0:0:1::]:5060"},
        {"::1:2", "[::1:2]", "[::1:2]:5060"},
        {"::ffff:192.0.2.1", "[::ffff:192.0.2.1]", "[::ffff:192.0.2.1]:5060"},
        {"fe80::1%7", "[fe80::1%7]", "[fe80::1%7]:5060"},
        {"[fe80::1%7]", "[fe80::1%7]", "[fe80::1%7]:5060"},
        {"ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]",
         "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:5060"},
    };
    char text[ADDR_TEXT_MAX];
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct addr a, b;
        check_err(addr_parse(&a, str_z(rows[i].in), 5060), 0);
        check_str(addr_text_host(&a, text), rows[i].host);
        check_str(addr_text(&a, text), rows[i].both);
        assert_string_equal(text, rows[i].both); /* terminated */
        check_err(addr_parse_hostport(&b, str_z(text)), 0);
        assert_true(addr_eq(&a, &b));
    }
    struct addr none;
    memset(&none, 0, sizeof(none));
    assert_false(addr_is_set(&none));
    check_str(addr_text(&none, text), "unset");
    assert_int_equal(addr_port(&none), 0);
}

static void test_bad(void **state)
{
    (void)state;
    static const char *const host[] = {
        "",
        "1.2.3",
        "1.2.3.4.5",
        "1.2.3.256",
        "01.2.3.4",
        "1.2.3.4 ",
        " 1.2.3.4",
        "a.example",
        "[1.2.3.4]",
        "[::1",
        "::1]",
        "[]",
        ":",
        ":::",
        "1::2::3",
        "::1%1",
        "fe80::1%",
        "fe80::1%eth0",
        "fe80::1%4294967296",
        "1.2.3.4%1",
        "1:2:3:4:5:6:7",
        "1:2:3:4:5:6:7:8:9",
        "12345::",
        "::g",
        "[::1]x",
        "0x7f.1",
        "2001:db8:aaaa:bbbb:cccc:dddd:eeee:ffff:0000:1111:2222:3333:4444:5555"};
    static const char *const both[] = {
        "1.2.3.4", "1.2.3.4:", "1.2.3.4:65536",    "1.2.3.4:-1",    "::1:5060",
        "[::1]",   "[::1]:",   "[::1]5060",        "1.2.3.4:5060x", ":5060",
        "",        "[]:1",     "1.2.3.4:000005060"};
    struct addr a;
    for (size_t i = 0; i < ARRAY_LEN(host); i++)
        check_err(addr_parse(&a, str_z(host[i]), 1), ERR_SYNTAX);
    for (size_t i = 0; i < ARRAY_LEN(both); i++)
        check_err(addr_parse_hostport(&a, str_z(both[i])), ERR_SYNTAX);
    check_err(addr_parse(&a, STR("1.2.3.4\0.5"), 1), ERR_SYNTAX);
    check_err(addr_parse(&a, STR_NULL, 1), ERR_SYNTAX);
}

static void test_compare(void **state)
{
    (void)state;
    struct addr v4 = make("192.0.2.1:5060"), mapped = make("[::ffff:192.0.2.1]:5060"),
                other = make("192.0.2.2:5060");
    struct addr port = v4, v6 = make("[2001:db8::1]:5060"), any4 = make("0.0.0.0:0"),
                any6 = make("[::]:0");
    struct addr none;
    memset(&none, 0, sizeof(none));
    assert_true(addr_eq(&v4, &mapped) && addr_eq_host(&v4, &mapped));
    assert_true(addr_hash(&v4) == addr_hash(&mapped));
    assert_false(addr_eq(&v4, &other));
    addr_set_port(&port, 5061);
    assert_int_equal(addr_port(&port), 5061);
    assert_false(addr_eq(&v4, &port));
    assert_true(addr_eq_host(&v4, &port));
    assert_true(addr_hash(&v4) != addr_hash(&port));
    assert_false(addr_eq_host(&v4, &v6));
    assert_false(addr_eq_host(&any4, &any6));
    assert_false(addr_eq_host(&any6, &none)); /* all bytes zero, but one of them is an address */
    addr_set_port(&v6, 1);
    assert_int_equal(addr_port(&v6), 1);
    struct addr eth = make("[fe80::1%2]:1"), wlan = make("[fe80::1%3]:1"), flow = v6;
    assert_false(addr_eq(&eth, &wlan));
    flow.v6.sin6_scope_id = 4; /* means nothing on a global address */
    flow.v6.sin6_flowinfo = 9;
    assert_true(addr_eq(&v6, &flow) && addr_hash(&v6) == addr_hash(&flow));
    assert_int_equal(addr_len(&v4), sizeof(struct sockaddr_in));
    assert_int_equal(addr_len(&v6), sizeof(struct sockaddr_in6));
}

static void test_kinds(void **state)
{
    (void)state;
    struct addr a = make("127.255.0.1:1");
    assert_true(addr_is_loopback(&a) && !addr_is_any(&a) && !addr_is_v6(&a));
    a = make("[::1]:1");
    assert_true(addr_is_loopback(&a) && !addr_is_any(&a) && addr_is_v6(&a));
    a = make("[::ffff:127.0.0.1]:1");
    assert_true(addr_is_loopback(&a));
    a = make("128.0.0.1:1");
    assert_false(addr_is_loopback(&a));
    a = make("[::]:1");
    assert_true(addr_is_any(&a) && !addr_is_loopback(&a));
    a = make("0.0.0.0:1");
    assert_true(addr_is_any(&a));
    memset(&a, 0, sizeof(a));
    assert_false(addr_is_any(&a) || addr_is_loopback(&a) || addr_is_v6(&a));
}

static void test_net(void **state)
{
    (void)state;
    static const struct {
        const char *net, *addr;
        bool has;
    } rows[] = {
        {"10.0.0.0/8", "10.255.1.2", true},
        {"10.0.0.0/8", "11.0.0.0", false},
        {"0.0.0.0/0", "8.8.8.8", true},
        {"0.0.0.0/0", "::1", false},
        {"::/0", "::1", true},
        {"::/0", "8.8.8.8", false},
        {"::/0", "::ffff:8.8.8.8", false},
        {"127.0.0.1", "127.0.0.1", true},
        {"127.0.0.1", "127.0.0.2", false},
        {"192.0.2.128/25", "192.0.2.200", true},
        {"192.0.2.128/25", "192.0.2.100", false},
        {"192.0.2.0/24", "::ffff:192.0.2.9", true},
        {"::ffff:192.0.2.0/120", "192.0.2.9", true},
        {"2001:db8::/33", "2001:db8:7fff::", true},
        {"2001:db8::/33", "2001:db8:8000::", false},
        {"[::1]", "::1", true},
        {"fe80::/10", "febf::1%3", true},
        {"192.0.2.1/32", "192.0.2.1", true},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct addr_net net;
        struct addr a;
        check_err(addr_net_parse(&net, str_z(rows[i].net)), 0);
        check_err(addr_parse(&a, str_z(rows[i].addr), 0), 0);
        if (addr_net_has(&net, &a) != rows[i].has)
            fail_msg("%s and %s", rows[i].net, rows[i].addr);
    }
    static const char *const bad[] = {"",
                                      "/8",
                                      "10.0.0.0/",
                                      "10.0.0.0/33",
                                      "::/129",
                                      "10.0.0.1/8",
                                      "2001:db8::1/64",
                                      "10.0.0.0/8/8",
                                      "10.0.0.0/08x",
                                      "10.0.0.0/-1",
                                      "10/8",
                                      "0.0.0.1/0"};
    struct addr_net net;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        check_err(addr_net_parse(&net, str_z(bad[i])), ERR_SYNTAX);
}

/* RFC 6890: the first and last of blocks, their neighbours, and IPv4 in the clothes of IPv6. */
static void test_special(void **state)
{
    (void)state;
    static const char *const special[] = {
        "0.0.0.0", "10.0.0.1", "100.64.0.1", "100.127.255.255", "127.0.0.1", "127.255.255.255", "169.254.169.254", "172.16.0.0",
        "172.31.255.255", "192.0.0.8", "192.0.2.1", "192.88.99.1", "192.168.1.1", "198.18.0.1", "198.19.255.255", "198.51.100.7",
        "203.0.113.9", "224.0.0.1", "239.255.255.255", "240.0.0.1", "255.255.255.255", "::", "::1", "::7f00:1", "::ffff:127.0.0.1",
        "::ffff:10.1.2.3", "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "64:ff9b:1::1", "100::1", "2001::1", "2001:db8::1", "2002:7f00:1::",
        "2002:a00:1::1", "3fff::1", "5f00::1", "fc00::1", "fdff::1", "fe80::1", "febf::1%3", "fec0::1", "ff02::1"};
    static const char *const places[] = {"1.1.1.1", "9.255.255.255", "11.0.0.0", "100.63.255.255", "100.128.0.0", "126.255.255.255",
                                         "128.0.0.1", "172.15.255.255", "172.32.0.0", "192.0.1.1", "192.167.255.255", "198.17.255.255",
                                         "198.20.0.0", "223.255.255.255", "::ffff:8.8.8.8", "64:ff9b::808:808", "2001:200::1",
                                         "2002:808:808::1", "2606:4700::1111", "2a00::1"};
    struct addr_net net;
    struct addr a = {0};
    assert_non_null(addr_special(&a));
    assert_false(addr_may_fetch(&a, NULL, 0));
    for (size_t i = 0; i < ARRAY_LEN(special); i++) {
        check_err(addr_parse(&a, str_z(special[i]), 80), 0);
        if (!addr_special(&a) || addr_may_fetch(&a, NULL, 0))
            fail_msg("%s is taken for a place", special[i]);
    }
    for (size_t i = 0; i < ARRAY_LEN(places); i++) {
        check_err(addr_parse(&a, str_z(places[i]), 80), 0);
        if (addr_special(&a) || !addr_may_fetch(&a, NULL, 0))
            fail_msg("%s: %s", places[i], addr_special(&a));
    }
    check_err(addr_net_parse(&net, STR("10.1.0.0/16")), 0);
    check_err(addr_parse(&a, STR("10.1.9.9"), 80), 0);
    assert_true(addr_may_fetch(&a, &net, 1));
    check_err(addr_parse(&a, STR("10.2.9.9"), 80), 0);
    assert_false(addr_may_fetch(&a, &net, 1));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_text),  cmocka_unit_test(test_bad), cmocka_unit_test(test_compare),
        cmocka_unit_test(test_kinds), cmocka_unit_test(test_net),
        cmocka_unit_test(test_special),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* HEP version 3: the bytes of one packet, written out by hand from the specification, and what a collector makes of ours. */
#include "check.h"
#include "base/err.h"
#include "evidence/hep.h"
#include <netinet/in.h>

static struct addr addr_of(const char *text)
{
    struct addr a;

    assert_int_equal(addr_parse_hostport(&a, str_z(text)), 0);
    return a;
}

static struct str build(char *text, size_t cap, struct hep_packet p, struct str payload)
{
    struct sbuf b = sbuf_make(text, cap);

    p.payload_n = payload.n;
    assert_int_equal(hep_head_build(&b, &p), 0);
    sbuf_str(&b, payload);
    assert_false(b.overflow);
    return sbuf_get(&b);
}

static void test_bytes(void **state)
{
    static const uint8_t expected[] = {
        'H', 'E', 'P', '3', 0, 0x75,                              /* 117 bytes */
        0, 0, 0, 1, 0, 7, 2,                                      /* IPv4 */
        0, 0, 0, 2, 0, 7, 17,                                     /* UDP */
        0, 0, 0, 3, 0, 10, 192, 0, 2, 1,                          /* from */
        0, 0, 0, 4, 0, 10, 192, 0, 2, 2,                          /* to */
        0, 0, 0, 7, 0, 8, 0x13, 0xc4,                             /* 5060 */
        0, 0, 0, 8, 0, 8, 0x13, 0xc5,                             /* 5061 */
        0, 0, 0, 9, 0, 10, 0x4e, 0x49, 0x82, 0xcb,                /* seconds */
        0, 0, 0, 10, 0, 10, 0, 1, 0xd4, 0xc0,                     /* microseconds */
        0, 0, 0, 11, 0, 7, 1,                                     /* SIP */
        0, 0, 0, 12, 0, 10, 0, 0, 0, 0xe4,                        /* capture id 228 */
        0, 0, 0, 14, 0, 14, 'm', 'y', 'H', 'e', 'p', 'k', 'e', 'y', /* key */
        0, 0, 0, 15, 0, 10, 'I', 'N', 'V', 'I',
    };
    char text[300];
    struct hep_packet p = {.ip_protocol = IPPROTO_UDP,
                           .from = addr_of("192.0.2.1:5060"),
                           .to = addr_of("192.0.2.2:5061"),
                           .wall_us = 1313440459ull * 1000000 + 120000,
                           .capture_id = 228,
                           .auth_key = STR("myHepkey")};
    struct str got = build(text, sizeof text, p, STR("INVI"));

    (void)state;
    assert_int_equal(got.n, sizeof expected);
    assert_memory_equal(got.p, expected, sizeof expected);
}

static void round_trip(const char *from, const char *to, const char *want_from, const char *want_to)
{
    char text[300];
    struct hep_packet p = {.ip_protocol = IPPROTO_TCP, .from = addr_of(from), .to = addr_of(to), .wall_us = 12345678,
                           .capture_id = 0xfffffffe};
    struct addr a = addr_of(want_from), b = addr_of(want_to);
    struct hep_parsed got;

    assert_int_equal(hep_parse(build(text, sizeof text, p, STR("BYE")), &got), 0);
    assert_true(addr_eq(&got.from, &a));
    assert_true(addr_eq(&got.to, &b));
    assert_int_equal(addr_is_v6(&got.from), addr_is_v6(&a));
    assert_int_equal(got.wall_us, 12345678);
    assert_int_equal(got.capture_id, 0xfffffffe);
    assert_int_equal(got.ip_protocol, IPPROTO_TCP);
    assert_int_equal(got.protocol_type, 1);
    check_str(got.auth_key, "");
    check_str(got.payload, "BYE");
}

static void test_families(void **state)
{
    (void)state;
    round_trip("192.0.2.1:1", "192.0.2.2:65535", "192.0.2.1:1", "192.0.2.2:65535");
    round_trip("[2001:db8::1]:5061", "[2001:db8::2]:40000", "[2001:db8::1]:5061", "[2001:db8::2]:40000");
    /* v4-mapped addresses are IPv4; of two families both are written as IPv6 */
    round_trip("[::ffff:192.0.2.1]:5061", "192.0.2.2:7", "192.0.2.1:5061", "192.0.2.2:7");
    round_trip("192.0.2.1:5061", "[2001:db8::2]:7", "[::ffff:192.0.2.1]:5061", "[2001:db8::2]:7");
}

static void test_unset(void **state)
{
    char text[300];
    struct hep_packet p = {.to = addr_of("192.0.2.2:9")};
    struct addr none = addr_of("0.0.0.0:0");
    struct hep_parsed got;

    (void)state;
    assert_int_equal(hep_parse(build(text, sizeof text, p, STR("x")), &got), 0);
    assert_true(addr_eq(&got.from, &none));
}

static void test_limits(void **state)
{
    static char big[70000];
    struct sbuf b = sbuf_make(big, sizeof big);
    struct hep_packet p = {.from = addr_of("192.0.2.1:1"), .to = addr_of("192.0.2.2:2"), .payload_n = 65400};
    char key[HEP_KEY_MAX + 1];

    (void)state;
    memset(key, 'k', sizeof key);
    assert_int_equal(hep_head_build(&b, &p), 0);
    p.payload_n = HEP_PACKET_MAX - 10;
    check_err(hep_head_build(&b, &p), ERR_LIMIT);
    p.payload_n = 1;
    p.auth_key = str_make(key, sizeof key);
    check_err(hep_head_build(&b, &p), ERR_LIMIT);
    p.auth_key.n = HEP_KEY_MAX;
    b = sbuf_make(big, HEP_HEAD_MAX);
    assert_int_equal(hep_head_build(&b, &p), 0);
    b = sbuf_make(big, 50);
    check_err(hep_head_build(&b, &p), ERR_LIMIT);
}

static void test_broken(void **state)
{
    char text[300];
    struct hep_packet p = {.from = addr_of("192.0.2.1:1"), .to = addr_of("192.0.2.2:2")};
    struct str good = build(text, sizeof text, p, STR("ACK")), s;
    struct hep_parsed got;
    size_t n;

    (void)state;
    for (n = 0; n < good.n; n++)
        check_err(hep_parse(str_make(good.p, n), &got), ERR_SYNTAX);
    s = good;
    text[11] = 5; /* a chunk that is shorter than its head */
    check_err(hep_parse(s, &got), ERR_SYNTAX);
    text[11] = 8; /* an address family of two bytes */
    check_err(hep_parse(s, &got), ERR_SYNTAX);
    text[11] = 7;
    assert_int_equal(hep_parse(s, &got), 0);
    text[6] = 1; /* another vendor's chunk is passed over */
    assert_int_equal(hep_parse(s, &got), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bytes),  cmocka_unit_test(test_families), cmocka_unit_test(test_unset),
        cmocka_unit_test(test_limits), cmocka_unit_test(test_broken),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* RFC 4568 6.1, 9; 8122 5; 4145 4; 4567 3.1; 6189 8; 8839 5.1; 5888 5: attribute values. */
#include "check.h"

#include "sdp/values.h"
#include "texts.h"

static void crypto(void **state)
{
    (void)state;
    struct sdp_crypto c;
    struct str method, info, name, value;
    /* RFC 4568 9.2's shape: two keys, session parameters */
    assert_int_equal(
        sdp_crypto_parse(STR("1 AES_CM_128_HMAC_SHA1_80  inline:QUFB|2^20|1:4;inline:QkJC|2^20|2:4 "
                             "FEC_ORDER=FEC_SRTP KDR=3"),
                         &c),
        0);
    assert_int_equal(c.tag, 1);
    check_str(c.suite, "AES_CM_128_HMAC_SHA1_80");
    assert_true(sdp_crypto_key_next(&c.keys, &method, &info));
    check_str(method, "inline");
    check_str(info, "QUFB|2^20|1:4");
    assert_true(sdp_crypto_key_next(&c.keys, &method, &info));
    check_str(info, "QkJC|2^20|2:4");
    assert_false(sdp_crypto_key_next(&c.keys, &method, &info));
    assert_int_equal(c.keys.n, 0);
    assert_true(sdp_crypto_param_next(&c.params, &name, &value));
    check_str(name, "FEC_ORDER");
    check_str(value, "FEC_SRTP");
    assert_true(sdp_crypto_param_next(&c.params, &name, &value));
    check_str(value, "3");
    assert_false(sdp_crypto_param_next(&c.params, &name, &value));
    static const char *const bad[] = {"",
                                      "1",
                                      "1 A",
                                      "1234567890 A inline:x",
                                      "x A inline:x",
                                      "1 A-B inline:x",
                                      "1 A inline",
                                      "1 A inline:",
                                      "1 A inline:x;",
                                      "1 A :x",
                                      "1 A ;inline:x"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        check_err(sdp_crypto_parse(str_z(bad[i]), &c), ERR_SYNTAX);
}

static void inline_key(void **state)
{
    (void)state;
    struct sdp_inline_key k;
    assert_int_equal(sdp_inline_key_parse(STR("QUFB|2^20|1066:4"), &k), 0);
    check_str(k.key_salt, "QUFB");
    assert_int_equal(k.lifetime, 1 << 20);
    check_str(k.mki, "1066");
    assert_int_equal(k.mki_len, 4);
    assert_int_equal(sdp_inline_key_parse(STR("QUFB"), &k), 0);
    assert_int_equal(k.lifetime, 0);
    assert_int_equal(k.mki.n, 0);
    assert_int_equal(sdp_inline_key_parse(STR("QUFB|1:128"), &k), 0);
    assert_int_equal(k.mki_len, 128);
    assert_int_equal(sdp_inline_key_parse(STR("QUFB|12345"), &k), 0);
    assert_int_equal(k.lifetime, 12345);
    static const char *const bad[] = {"",
                                      "|2^20",
                                      "QUFB|",
                                      "QUFB|2^64",
                                      "QUFB|0",
                                      "QUFB|1:0",
                                      "QUFB|1:129",
                                      "QUFB|x:1",
                                      "QUFB|:4",
                                      "QUFB|1:4|2^20",
                                      "QUFB|2^3|2^3",
                                      "QUFB|1:4|1:4",
                                      "QUFB|2^20|1:4|5"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        check_err(sdp_inline_key_parse(str_z(bad[i]), &k), ERR_SYNTAX);
}

static void fingerprint(void **state)
{
    (void)state;
    struct sdp_fingerprint f;
    char text[256];
    struct sbuf b = sbuf_make(text, sizeof(text));
    const char *v =
        "sha-1 4A:AD:B9:B1:3F:82:18:3B:54:02:12:DF:3E:5D:49:6B:19:E5:7C:AB"; /* RFC 8122 5 */
    assert_int_equal(sdp_fingerprint_parse(str_z(v), &f), 0);
    check_str(f.hash, "sha-1");
    assert_int_equal(f.n, 20);
    assert_int_equal(f.bytes[19], 0xab);
    sdp_fingerprint_build(&b, &f);
    check_str(sbuf_get(&b), v);
    assert_int_equal(sdp_fingerprint_parse(STR("SHA-256 ab:cd"), &f), 0); /* lower case is met */
    static const char *const bad[] = {
        "", "sha-1", "sha-1 4", "sha-1 4A:", "sha-1 :4A", "sha-1 4A4A", "sha-1 GG", "sha-1 4A 4A"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        check_err(sdp_fingerprint_parse(str_z(bad[i]), &f), ERR_SYNTAX);
}

static void small_ones(void **state)
{
    (void)state;
    struct sdp_key_mgmt k;
    struct sdp_zrtp_hash z;
    struct str semantics, mids, mid;
    assert_int_equal(sdp_key_mgmt_parse(STR("mikey AQAFgM0X=="), &k), 0);
    check_str(k.protocol, "mikey");
    check_str(k.data, "AQAFgM0X==");
    check_err(sdp_key_mgmt_parse(STR("mikey"), &k), ERR_SYNTAX);
    assert_int_equal(sdp_zrtp_hash_parse(STR("1.10 fe30EF"), &z), 0);
    check_str(z.version, "1.10");
    check_err(sdp_zrtp_hash_parse(STR("1.10 fe30e"), &z), ERR_SYNTAX);
    check_err(sdp_zrtp_hash_parse(STR("1.10 xe30"), &z), ERR_SYNTAX);
    assert_int_equal(sdp_group_parse(STR("BUNDLE a b"), &semantics, &mids), 0);
    check_str(semantics, "BUNDLE");
    assert_true(sdp_word_next(&mids, &mid));
    check_str(mid, "a");
    check_err(sdp_group_parse(STR(" "), &semantics, &mids), ERR_SYNTAX);
}

static void setups(void **state)
{
    (void)state;
    struct arena *a = arena_new(8192, 1 << 20);
    struct sdp *s;
    assert_int_equal(
        sdp_parse(a,
                  STR(PLAIN
                      "a=setup:actpass\nm=audio 1 RTP/AVP 0\na=setup:Active\nm=audio 1 RTP/AVP 0\n"
                      "m=audio 1 RTP/AVP 0\na=setup:what\n"),
                  &s, NULL),
        0);
    assert_int_equal(sdp_setup(s, 0), SDP_SETUP_ACTIVE);
    assert_int_equal(sdp_setup(s, 1), SDP_SETUP_ACTPASS);
    assert_int_equal(sdp_setup(s, 2), SDP_SETUP_NONE);
    check_str(sdp_setup_text(SDP_SETUP_PASSIVE), "passive");
    arena_free(a);
}

static void candidates(void **state)
{
    (void)state;
    static const char *const good[] = {
        "1467250027 1 udp 2122260223 192.168.0.196 46243 typ host generation 0 network-id 1",
        "2 1 UDP 1694498815 192.0.2.3 45664 typ srflx raddr 203.0.113.141 rport 8998",
        "1 2 udp 99 5b3c3b4e.local 50000 typ host",
        "3 1 UDP 2130706431 2001:db8::7 9 typ host",
        "4 1 tcp 1 10.0.0.1 9 typ host tcptype active",
    };
    struct sdp_candidate c;
    for (size_t i = 0; i < ARRAY_LEN(good); i++) {
        char text[256];
        struct sbuf b = sbuf_make(text, sizeof(text));
        check_err(sdp_candidate_parse(str_z(good[i]), &c), 0);
        sdp_candidate_build(&b, &c);
        check_str(sbuf_get(&b), good[i]);
    }
    assert_int_equal(sdp_candidate_parse(str_z(good[1]), &c), 0);
    check_str(c.type, "srflx");
    check_str(c.rel_host, "203.0.113.141");
    assert_int_equal(c.rel_port, 8998);
    assert_int_equal(addr_port(&c.addr), 45664);
    assert_int_equal(sdp_candidate_parse(str_z(good[2]), &c), 0);
    assert_false(addr_is_set(&c.addr));
    static const char *const bad[] = {
        "",
        "1 0 udp 1 10.0.0.1 9 typ host",
        "1 257 udp 1 10.0.0.1 9 typ host",
        "1 1 udp 1 10.0.0.1 9 host",
        "1 1 udp 4294967296 10.0.0.1 9 typ host",
        "1 1 udp 1 10.0.0.1 65536 typ host",
        "- 1 udp 1 10.0.0.1 9 typ host",
        "1 1 udp 1 10.0.0.1 9 typ host x",
        "1 1 udp 1 10.0.0.1 9 typ host raddr 1.2.3.4 rport x",
        "123456789012345678901234567890123 1 udp 1 10.0.0.1 9 typ host"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        check_err(sdp_candidate_parse(str_z(bad[i]), &c), ERR_SYNTAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(crypto),     cmocka_unit_test(inline_key), cmocka_unit_test(fingerprint),
        cmocka_unit_test(small_ones), cmocka_unit_test(setups),     cmocka_unit_test(candidates),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

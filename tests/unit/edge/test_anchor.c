/* Anchored calls: the numbers of one direction (RFC 3261 12.2.1.1), and descriptions (RFC 3264,
 * 8866). */
#include "check.h"
#include "edge/anchor/anchor_priv.h"

static void numbers_pass_until_one_of_ours_comes_between(void **state)
{
    struct anchor_count c = {0};

    (void)state;
    assert_int_equal(anchor_count_map(&c, 7, SIP_INVITE), 7);
    assert_int_equal(anchor_count_map(&c, 8, SIP_UPDATE), 8);
    assert_int_equal(anchor_count_map(&c, 8, SIP_UPDATE), 8);
    assert_int_equal(anchor_count_own(&c), 9);
    assert_int_equal(anchor_count_own(&c), 10);
    assert_int_equal(anchor_count_map(&c, 9, SIP_BYE), 11);
    assert_int_equal(anchor_count_map(&c, 9, SIP_BYE), 11);
    assert_int_equal(anchor_count_map(&c, 20, SIP_BYE), 22);
    /* what is late stays late */
    assert_true(anchor_count_map(&c, 12, SIP_INFO) < 22);
    assert_int_equal(c.invite_in, 7);
    assert_int_equal(c.invite_out, 7);
    assert_int_equal(anchor_count_map(&c, 21, SIP_INVITE), 23);
    assert_int_equal(c.invite_out, 23);
}

static void our_first_one_may_be_the_first_of_all(void **state)
{
    struct anchor_count c = {0};

    (void)state;
    assert_int_equal(anchor_count_own(&c), 1);
    assert_int_equal(anchor_count_map(&c, 1, SIP_INVITE), 2);
    assert_int_equal(anchor_count_map(&c, 2, SIP_BYE), 3);
    c = (struct anchor_count){0};
    assert_int_equal(anchor_count_own(&c), 1);
    assert_int_equal(anchor_count_map(&c, 5000, SIP_BYE), 5000);
    /* the largest number there is (RFC 3261 8.1.1.5) */
    c = (struct anchor_count){0};
    assert_int_equal(anchor_count_map(&c, 0x7fffffff, SIP_INVITE), 0x7fffffff);
}

static const char offer[] =
    "v=0\r\no=alice 1 2 IN IP4 10.1.1.1\r\ns=talk\r\nc=IN IP4 10.1.1.1\r\nt=0 0\r\na=group:BUNDLE "
    "a v\r\n"
    "a=group:LS a v\r\na=ice-ufrag:abcd\r\na=ice-pwd:0123456789012345678901\r\na=x-session:kept\r\n"
    "m=audio 20000 RTP/SAVPF 0 101\r\na=mid:a\r\na=crypto:1 AES_CM_128_HMAC_SHA1_80 "
    "inline:x\r\na=rtcp:20009\r\n"
    "a=rtcp-fb:* nack\r\na=x-own:kept\r\na=rtcp-mux\r\n"
    "m=video 0 RTP/SAVPF 96\r\na=mid:v\r\na=bundle-only\r\n"
    "m=image 20020 udptl t38\r\nc=IN IP4 10.1.1.2\r\n";

static struct sdp *parse(struct arena *a, struct str text)
{
    struct reason why = {0};
    struct sdp *s;

    check_err(sdp_parse(a, text, &s, &why), 0);
    return s;
}

static struct anchor_sdp_section ours(const char *host, uint16_t port)
{
    struct anchor_sdp_section m = {0};

    check_err(addr_parse(&m.rtp, str_z(host), port), 0);
    m.rtcp = m.rtp;
    addr_set_port(&m.rtcp, (uint16_t)(port + 1));
    return m;
}

static void sections_are_taken_or_not(void **state)
{
    struct arena *a = arena_new(4096, 1 << 20);
    struct sdp *s = parse(a, str_z(offer));
    struct reason why = {0};

    (void)state;
    assert_int_equal(anchor_sdp_kind(s, 0, false, &why), ANCHOR_SDP_TAKE);
    assert_int_equal(anchor_sdp_kind(s, 1, false, &why), ANCHOR_SDP_REFUSE);
    assert_string_equal(why.code, "bundle-only");
    assert_int_equal(anchor_sdp_kind(s, 2, false, &why), ANCHOR_SDP_REFUSE);
    assert_string_equal(why.code, "media-not-rtp");
    assert_int_equal(anchor_sdp_kind(s, 2, true, &why), ANCHOR_SDP_TAKE);
    arena_free(a);
}

static bool has(struct str text, const char *part)
{
    return memmem(text.p, text.n, part, strlen(part)) != NULL;
}

static void a_keyed_description_is_ours(void **state)
{
    static const struct sdp_new_attr attrs[] = {
        {{"crypto", 6}, {"1 AEAD_AES_128_GCM inline:y", 27}}};
    struct arena *a = arena_new(4096, 1 << 20);
    struct sdp *s = parse(a, str_z(offer));
    struct anchor_sdp_section v[3] = {ours("192.0.2.1", 30000)};
    struct anchor_sdp_new n = {.sess_id = 99, .version = 3, .sections = v};
    struct str text;

    (void)state;
    v[0].attrs = attrs;
    v[0].n_attrs = 1;
    v[0].proto = SDP_RTP_SAVP;
    v[0].ice_ufrag = STR("wxyz");
    v[0].ice_pwd = STR("9876543210987654321098");
    v[1].is_refused = v[2].is_refused = true;
    check_err(anchor_sdp_build(a, s, &n, &text), 0);
    assert_true(has(text, "o=- 99 3 IN IP4 192.0.2.1\r\n"));
    assert_true(has(text, "s=talk\r\nc=IN IP4 192.0.2.1\r\n"));
    assert_true(has(text, "a=group:LS a v\r\n"));
    assert_true(has(text, "a=x-session:kept\r\n"));
    assert_true(has(text, "a=x-own:kept\r\n"));
    assert_true(has(text, "m=audio 30000 RTP/SAVP 0 101\r\na=mid:a\r\n"));
    assert_true(has(text, "a=crypto:1 AEAD_AES_128_GCM inline:y\r\n"));
    assert_true(has(text, "a=ice-lite\r\n"));
    assert_true(
        has(text,
            "a=ice-ufrag:wxyz\r\na=ice-pwd:9876543210987654321098\r\na=candidate:1 1 UDP "
            "2130706431 192.0.2.1 30000 typ host\r\n"
            "a=candidate:1 2 UDP 2130706430 192.0.2.1 30001 typ host\r\na=end-of-candidates\r\n"));
    assert_true(has(text, "m=video 0 RTP/SAVPF 96\r\n"));
    assert_true(has(text, "m=image 0 udptl t38\r\nc=IN IP4 192.0.2.1\r\n"));
    assert_false(has(text, "BUNDLE") || has(text, "10.1.1") || has(text, "abcd") ||
                 has(text, "inline:x") || has(text, "rtcp-fb") || has(text, "a=rtcp:") ||
                 has(text, "rtcp-mux") || has(text, "bundle-only"));
    arena_free(a);
}

static void an_answer_has_the_mids_of_the_offer(void **state)
{
    struct arena *a = arena_new(4096, 1 << 20);
    struct sdp *s = parse(a, STR("v=0\no=b 1 1 IN IP4 10.1.1.1\ns=-\nc=IN IP4 10.1.1.1\nt=0 "
                                 "0\nm=audio 2 RTP/AVP 0\na=mid:other\nm=audio 4 RTP/AVP 0\n"));
    struct anchor_sdp_section v[2] = {ours("2001:db8::1", 30000), ours("192.0.2.1", 30010)};
    struct anchor_sdp_new n = {.sess_id = 1, .version = 1, .sections = v};
    struct str text;

    (void)state;
    v[0].is_answer = v[1].is_answer = true;
    v[1].mid = STR("second");
    v[1].mux = true;
    addr_set_port(&v[0].rtcp, 30007);
    check_err(anchor_sdp_build(a, s, &n, &text), 0);
    assert_true(has(text, "c=IN IP6 2001:db8::1\nt=0 0\nm=audio 30000 RTP/AVP "
                          "0\na=rtcp:30007\nm=audio 30010 RTP/AVP 0\nc=IN IP4 192.0.2.1\n"
                          "a=mid:second\na=rtcp-mux\n"));
    assert_false(has(text, "other"));
    arena_free(a);
}

static void keys_are_stripped_where_there_is_another_way(void **state)
{
    struct arena *a = arena_new(4096, 1 << 20);
    struct reason why = {0};
    struct str text;

    (void)state;
    assert_int_equal(anchor_sdp_strip(a, parse(a, str_z(offer)), false, &text, &why), ERR_REFUSED);
    assert_string_equal(why.code, "keys-over-clear");
    check_err(anchor_sdp_strip(a, parse(a, str_z(offer)), true, &text, &why), 0);
    assert_true(has(text, "a=x-own:kept") && !has(text, "crypto"));
    check_err(anchor_sdp_strip(a,
                               parse(a, STR("v=0\no=b 1 1 IN IP4 10.1.1.1\ns=-\nt=0 0\nm=audio 2 "
                                            "RTP/AVP 0\na=crypto:1 A inline:b\n")),
                               false, &text, &why),
              0);
    assert_true(text.n && !has(text, "crypto"));
    check_err(anchor_sdp_strip(
                  a,
                  parse(a, STR("v=0\no=b 1 1 IN IP4 10.1.1.1\ns=-\nt=0 0\nm=audio 2 RTP/AVP 0\n")),
                  false, &text, &why),
              0);
    assert_true(!text.n);
    assert_true(anchor_sdp_has_clear(
        parse(a, STR("v=0\no=b 1 1 IN IP4 10.1.1.1\ns=-\nt=0 0\nm=audio 2 RTP/AVP 0\n"))));
    assert_false(anchor_sdp_has_clear(
        parse(a, STR("v=0\no=b 1 1 IN IP4 10.1.1.1\ns=-\nt=0 0\nm=image 2 udptl t38\n"))));
    arena_free(a);
}

/* RFC 3261 14.1: the ranges do not meet, in units of 10 ms, and no two of us wait the same each time */
static void who_made_the_call_id_waits_longer(void **state)
{
    uint64_t least[2] = {UINT64_MAX, UINT64_MAX}, most[2] = {0};

    (void)state;
    for (unsigned owner = 0; owner < 2; owner++)
        for (uint64_t i = 0; i < 1000; i++) {
            uint64_t ms = anchor_glare_ms(owner, i * 0x9e3779b97f4a7c15u);

            assert_int_equal(ms % 10, 0);
            least[owner] = ms < least[owner] ? ms : least[owner];
            most[owner] = ms > most[owner] ? ms : most[owner];
        }
    assert_true(least[0] < 100 && most[0] <= 2000 && most[0] > 1900);
    assert_true(least[1] >= 2100 && least[1] < 2200 && most[1] <= 4000 && most[1] > 3900);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_pass_until_one_of_ours_comes_between),
        cmocka_unit_test(our_first_one_may_be_the_first_of_all),
        cmocka_unit_test(sections_are_taken_or_not),
        cmocka_unit_test(a_keyed_description_is_ours),
        cmocka_unit_test(an_answer_has_the_mids_of_the_offer),
        cmocka_unit_test(who_made_the_call_id_waits_longer),
        cmocka_unit_test(keys_are_stripped_where_there_is_another_way),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

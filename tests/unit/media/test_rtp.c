/* RFC 3550 5.1, 6, A.1 to A.3, A.8; RFC 7983 7: packets, reports, sources. */
#include "check.h"

#include "media/rtcp.h"
#include "media/source.h"

static void rtp_read(void **state)
{
    (void)state;
    static const uint8_t whole[] = {0xb2, 0x88, 0x12, 0x34, 0, 0, 0, 1,
                                    0xde, 0xad, 0xbe, 0xef, /* P, X, 2 CSRCs, marker, PCMA */
                                    0,    0,    0,    5,    0, 0, 0, 6, /* CSRCs */
                                    0xbe, 0xde, 0,    1,    1, 2, 3, 4, /* extension */
                                    'a',  'b',  'c',  0,    0, 3};
    struct rtp_packet p;
    assert_int_equal(rtp_parse(whole, sizeof(whole), &p), 0);
    assert_true(p.marker);
    assert_int_equal(p.pt, 8);
    assert_int_equal(p.seq, 0x1234);
    assert_int_equal(p.ts, 1);
    assert_int_equal(p.ssrc, 0xdeadbeef);
    assert_int_equal(p.n_csrc, 2);
    assert_int_equal(rtp_get32(p.csrc + 4), 6);
    assert_int_equal(p.ext_profile, 0xbede);
    assert_int_equal(p.n_ext, 4);
    assert_int_equal(p.n_payload, 3);
    assert_int_equal(p.n_padding, 3);
    assert_memory_equal(p.payload, "abc", 3);
    assert_int_equal(p.n_header, 28);
    for (size_t n = 0; n < 29;
         n++) /* cut anywhere in the header, and with padding that covers more than the payload */
        check_err(rtp_parse(whole, n, &p), ERR_SYNTAX);
    assert_int_equal(rtp_parse_header(whole, 28, &p), 0); /* SRTP looks no further */
    uint8_t copy[sizeof(whole)];
    memcpy(copy, whole, sizeof(copy));
    copy[sizeof(copy) - 1] = 0;
    check_err(rtp_parse(copy, sizeof(copy), &p), ERR_SYNTAX);
    copy[sizeof(copy) - 1] = 7;
    check_err(rtp_parse(copy, sizeof(copy), &p), ERR_SYNTAX);
    copy[0] = 0x72;
    check_err(rtp_parse(copy, sizeof(copy), &p), ERR_SYNTAX);
}

static void rtp_write(void **state)
{
    (void)state;
    uint8_t out[64];
    static const uint8_t csrc[4] = {0, 0, 0, 9}, ext[4] = {1, 2, 3, 4};
    struct rtp_packet p = {.marker = true,
                           .pt = 101,
                           .seq = 65535,
                           .ts = 0x80000000,
                           .ssrc = 7,
                           .n_csrc = 1,
                           .csrc = csrc,
                           .has_extension = true,
                           .ext_profile = 0x1000,
                           .ext = ext,
                           .n_ext = 4,
                           .payload = (const uint8_t *)"xyz",
                           .n_payload = 3};
    struct rtp_packet back;
    size_t n;
    assert_int_equal(rtp_build(out, sizeof(out), &p, &n), 0);
    assert_int_equal(n, 12 + 4 + 8 + 3);
    assert_int_equal(rtp_parse(out, n, &back), 0);
    assert_int_equal(back.seq, 65535);
    assert_int_equal(back.ts, 0x80000000);
    assert_int_equal(back.n_csrc, 1);
    assert_memory_equal(back.ext, ext, 4);
    assert_memory_equal(back.payload, "xyz", 3);
    check_err(rtp_build(out, n - 1, &p, &n), ERR_LIMIT);
    p.pt = 128;
    check_err(rtp_build(out, sizeof(out), &p, &n), ERR_INVALID);
    assert_int_equal(rtp_seq_diff(1, 65535), 2);
    assert_int_equal(rtp_seq_diff(65535, 1), -2);
}

static void demux(void **state)
{
    (void)state;
    static const struct {
        uint8_t bytes[2];
        enum rtp_demux kind;
    } cases[] = {
        {{0, 1}, RTP_DEMUX_STUN},      {{3, 0}, RTP_DEMUX_STUN},
        {{4, 0}, RTP_DEMUX_OTHER},     {{16, 0}, RTP_DEMUX_ZRTP},
        {{20, 0}, RTP_DEMUX_DTLS},     {{22, 254}, RTP_DEMUX_DTLS},
        {{63, 0}, RTP_DEMUX_DTLS},     {{64, 0}, RTP_DEMUX_TURN},
        {{80, 0}, RTP_DEMUX_OTHER},    {{128, 0}, RTP_DEMUX_RTP},
        {{0x80, 200}, RTP_DEMUX_RTCP}, {{0x80, 0x80 | 8}, RTP_DEMUX_RTP},
        {{0x80, 223}, RTP_DEMUX_RTCP}, {{0x80, 224}, RTP_DEMUX_RTP},
        {{192, 0}, RTP_DEMUX_OTHER},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        assert_int_equal(rtp_demux(cases[i].bytes, 2), cases[i].kind);
    assert_int_equal(rtp_demux(cases[0].bytes, 1), RTP_DEMUX_OTHER);
}

static void rtcp_both_ways(void **state)
{
    (void)state;
    uint8_t out[256];
    struct rtcp_builder b = {.p = out, .cap = sizeof(out)};
    struct rtcp_sender sr = {.ssrc = 1,
                             .ntp = 0x0102030405060708,
                             .rtp_ts = 9,
                             .packets = 10,
                             .octets = 11},
                       sr2;
    struct rtcp_report rep[2] = {{.ssrc = 2,
                                  .fraction = 128,
                                  .lost = -5,
                                  .highest = 0x10001,
                                  .jitter = 7,
                                  .lsr = 8,
                                  .dlsr = 9},
                                 {.ssrc = 3, .lost = 0x7fffffff}};
    rtcp_put_report(&b, 1, &sr, rep, 2);
    rtcp_put_cname(&b, 1, STR("abc"));
    rtcp_put_bye(&b, 1);
    assert_false(b.overflow);
    assert_int_equal(b.n, 28 + 48 + 16 + 8);
    struct rtcp_reader r;
    struct rtcp_packet p;
    struct rtcp_report back;
    uint32_t from;
    assert_int_equal(rtcp_start(&r, out, b.n, false), 0);
    assert_true(rtcp_next(&r, &p));
    assert_int_equal(p.type, RTCP_SR);
    assert_int_equal(rtcp_sender_parse(&p, &sr2), 0);
    assert_true(sr2.ntp == sr.ntp && sr2.octets == 11 && sr2.ssrc == 1);
    assert_true(rtcp_report_get(&p, 0, &from, &back));
    assert_int_equal(from, 1);
    assert_int_equal(back.lost, -5);
    assert_int_equal(back.fraction, 128);
    assert_true(rtcp_report_get(&p, 1, &from, &back));
    assert_int_equal(back.lost, 0x7fffff); /* clamped, A.3 */
    assert_false(rtcp_report_get(&p, 2, &from, &back));
    assert_true(rtcp_next(&r, &p));
    assert_int_equal(p.type, RTCP_SDES);
    assert_memory_equal(p.body + 4, "\1\3abc\0", 6);
    assert_true(rtcp_next(&r, &p));
    assert_true(rtcp_bye_get(&p, 0, &from));
    assert_int_equal(from, 1);
    assert_false(rtcp_bye_get(&p, 1, &from));
    assert_false(rtcp_next(&r, &p));
    for (size_t n = 0; n < b.n; n++) { /* cut inside of a packet */
        if (n != 76 && n != 92)
            check_err(rtcp_start(&r, out, n, false), ERR_SYNTAX);
    }
    b = (struct rtcp_builder){.p = out, .cap = 27};
    rtcp_put_report(&b, 1, &sr, NULL, 0);
    assert_true(b.overflow);
}

static void rtcp_odd(void **state)
{
    (void)state;
    struct rtcp_reader r;
    struct rtcp_packet p;
    struct rtcp_report rep;
    uint32_t from;
    static const uint8_t bye_first[] = {0x81, 203, 0, 1, 0, 0, 0, 1};
    check_err(rtcp_start(&r, bye_first, 8, false), ERR_SYNTAX);
    assert_int_equal(rtcp_start(&r, bye_first, 8, true), 0); /* RFC 5506 */
    static const uint8_t padded[] = {0xa0, 201, 0, 2, 0, 0, 0, 1, 0, 0, 0, 4};
    assert_int_equal(rtcp_start(&r, padded, 12, false), 0);
    assert_true(rtcp_next(&r, &p));
    assert_int_equal(p.n, 4);
    static const uint8_t overpadded[] = {0xa0, 201, 0, 1, 0, 0, 0, 8};
    check_err(rtcp_start(&r, overpadded, 8, false), ERR_SYNTAX);
    static const uint8_t padded_first[] = {0xa0, 201, 0,    2,   0, 0, 0, 1, 0, 0,
                                           0,    4,   0x80, 201, 0, 1, 0, 0, 0, 1};
    check_err(rtcp_start(&r, padded_first, 20, false), ERR_SYNTAX);
    static const uint8_t liar[] = {0x9f, 201, 0, 1, 0, 0, 0, 1}; /* 31 reports in 8 bytes */
    assert_int_equal(rtcp_start(&r, liar, 8, false), 0);
    assert_true(rtcp_next(&r, &p));
    assert_false(rtcp_report_get(&p, 0, &from, &rep));
}

static void source_counts(void **state)
{
    (void)state;
    struct rtp_source s;
    struct rtcp_report r;
    rtp_source_init(&s, 5, 65533);
    assert_false(rtp_source_update(&s, 65533, 0, 0)); /* probation: two in sequence */
    assert_true(rtp_source_update(&s, 65534, 160, 160));
    assert_true(rtp_source_update(&s, 65535, 320, 320));
    assert_true(rtp_source_update(&s, 2, 800, 800)); /* wraps; 0 and 1 are missing */
    assert_int_equal(rtp_source_lost(&s), 2);
    rtp_source_report(&s, 0, &r);
    assert_int_equal(r.highest, 65536 + 2);
    assert_int_equal(r.lost, 2);
    assert_int_equal(r.fraction, 2 * 256 / 5);
    assert_true(rtp_source_update(&s, 1, 640, 850)); /* late, but there */
    assert_int_equal(rtp_source_lost(&s), 1);
    rtp_source_report(&s, 0, &r);
    assert_int_equal(r.fraction, 0);
    assert_true(r.jitter > 0);
    assert_false(
        rtp_source_update(&s, 40000, 0, 0)); /* a jump is believed only when the next one follows */
    assert_true(rtp_source_update(&s, 40001, 0, 0));
    assert_int_equal(rtp_source_lost(&s), 0);
}

/* A.8 by hand: transit differs by 16 units once, then stays. */
static void source_jitter(void **state)
{
    (void)state;
    struct rtp_source s;
    struct rtcp_report r;
    rtp_source_init(&s, 5, 0);
    (void)rtp_source_update(&s, 0, 0, 0);
    (void)rtp_source_update(&s, 1, 160, 160);
    (void)rtp_source_update(&s, 2, 320, 336);
    rtp_source_report(&s, 0, &r);
    assert_int_equal(r.jitter, 1);
    struct rtcp_sender sr = {.ntp = 0xaaaa111122223333};
    rtp_source_sender_report(&s, &sr, 1000000);
    rtp_source_report(&s, 3500000, &r);
    assert_int_equal(r.lsr, 0x11112222);
    assert_int_equal(r.dlsr, 65536 * 5 / 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rtp_read),      cmocka_unit_test(rtp_write),
        cmocka_unit_test(demux),         cmocka_unit_test(rtcp_both_ways),
        cmocka_unit_test(rtcp_odd),      cmocka_unit_test(source_counts),
        cmocka_unit_test(source_jitter),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

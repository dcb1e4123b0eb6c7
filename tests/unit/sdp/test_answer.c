/* RFC 3264 6, 8; RFC 8843 7.3; RFC 5761 5.1.1: offers, answers, and what is no answer. */
#include "check.h"

#include "sdp/answer.h"
#include "texts.h"

static struct arena *arena;

static int setup(void **state)
{
    (void)state;
    arena = arena_new(4096, 1 << 20);
    return arena ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    arena_free(arena);
    return 0;
}

static struct sdp *parse(struct str text)
{
    struct sdp *s = NULL;
    struct reason why = {0};
    if (sdp_parse(arena, text, &s, &why) != 0)
        fail_msg("%s: %.*s", why.detail, STR_FMT(text));
    return s;
}

static const struct sdp_codec codecs[] = {
    {{"PCMA", 4}, 8000, 1, 8, {NULL, 0}},
    {{"opus", 4}, 48000, 2, 96, {"useinbandfec=1", 14}},
    {{"telephone-event", 15}, 8000, 1, 101, {"0-15", 4}},
};

static void offer(void **state)
{
    (void)state;
    char text[2048];
    struct sbuf b = sbuf_make(text, sizeof(text));
    struct addr a, v6;
    assert_int_equal(addr_parse(&a, STR("192.0.2.1"), 0), 0);
    assert_int_equal(addr_parse(&v6, STR("2001:db8::1"), 0), 0);
    struct sdp_new_attr key = {STR("crypto"), STR("1 AES_CM_128_HMAC_SHA1_80 inline:x")};
    struct sdp_new_media m[] = {
        {.kind = STR("audio"),
         .proto = STR("RTP/SAVP"),
         .port = 4000,
         .codecs = codecs,
         .n_codecs = 3,
         .has_dir = true,
         .dir = SDP_SENDRECV,
         .ptime_ms = 20,
         .rtcp_mux = true,
         .mid = STR("a"),
         .attrs = &key,
         .n_attrs = 1},
        {.kind = STR("image"),
         .proto = STR("udptl"),
         .fmts = STR("t38"),
         .host = &v6,
         .rtcp_port = 7},
    };
    struct sdp_new n = {
        .sess_id = 5, .sess_version = 6, .host = &a, .bundle = STR("a"), .media = m, .n_media = 2};
    check_err(sdp_build(&b, &n), 0);
    check_str(
        sbuf_get(&b),
        "v=0\r\no=- 5 6 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\na=group:BUNDLE "
        "a\r\n"
        "m=audio 4000 RTP/SAVP 8 96 101\r\na=mid:a\r\na=rtpmap:8 PCMA/8000\r\na=rtpmap:96 "
        "opus/48000/2\r\n"
        "a=fmtp:96 useinbandfec=1\r\na=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15\r\n"
        "a=ptime:20\r\na=sendrecv\r\na=rtcp-mux\r\na=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:x\r\n"
        "m=image 0 udptl t38\r\nc=IN IP6 2001:db8::1\r\na=rtcp:7\r\n");
    struct sdp *s = parse(sbuf_get(&b));
    assert_int_equal(s->n_media, 2);
    key.value = STR("1\r\nm=audio");
    b = sbuf_make(text, sizeof(text));
    check_err(sdp_build(&b, &n), ERR_INVALID);
    key.value = STR("1");
    b = sbuf_make(text, 100);
    check_err(sdp_build(&b, &n), ERR_LIMIT);
}

static void match(void **state)
{
    (void)state;
    struct sdp_agreed got[8];
    struct sdp *s = parse(
        STR(PLAIN
            "m=audio 1 RTP/AVP 0 100 8 97 98 99\na=rtpmap:97 OPUS/48000/2\na=rtpmap:98 opus/48000\n"
            "a=rtpmap:99 telephone-event/8000\na=fmtp:99 0-11\n"));
    assert_int_equal(sdp_codecs_match(s, 0, codecs, 3, got, 8), 3);
    check_str(got[0].codec->name, "PCMA");
    assert_int_equal(got[0].pt, 8);
    check_str(got[1].codec->name, "opus");
    assert_int_equal(got[1].pt, 97);
    assert_int_equal(got[2].pt, 99);
    check_str(got[2].fmtp, "0-11");
    assert_int_equal(sdp_codecs_match(s, 0, codecs, 3, got, 1), 1);
}

static void answer(void **state)
{
    (void)state;
    char text[2048];
    struct sbuf b = sbuf_make(text, sizeof(text));
    struct sdp *o = parse(STR(BROWSER));
    struct sdp_new_media m[3];
    struct addr a;
    assert_int_equal(addr_parse(&a, STR("192.0.2.1"), 0), 0);
    for (int i = 0; i < 3; i++)
        sdp_answer_media(o, i, &m[i]);
    m[0].port = 4000;
    m[0].codecs = codecs;
    m[0].n_codecs = 1;
    m[0].fmts = STR_NULL;
    m[0].rtcp_mux = true;
    struct sdp_new n = {.host = &a, .bundle = STR("0"), .media = m, .n_media = 3};
    check_err(sdp_build(&b, &n), 0);
    struct sdp *s = parse(sbuf_get(&b));
    struct reason why = {0};
    check_err(sdp_answer_check(o, s, &why), 0);
    assert_true(sdp_media_is_rejected(s, 1));
    check_str(s->media[2].fmts, "webrtc-datachannel");
    check_str(sdp_attr(s, 2, SDP_A_MID, 0)->arg, "d");
    assert_int_equal(sdp_answer_direction(SDP_SENDONLY, SDP_SENDRECV), SDP_RECVONLY);
    assert_int_equal(sdp_answer_direction(SDP_SENDRECV, SDP_SENDONLY), SDP_SENDONLY);
    assert_int_equal(sdp_answer_direction(SDP_INACTIVE, SDP_SENDRECV), SDP_INACTIVE);
}

#define OFFER                                                                                      \
    PLAIN "a=group:BUNDLE a b\nm=audio 1 RTP/SAVP 0 8\na=mid:a\nm=image 2 udptl t38\nm=audio 3 "   \
          "RTP/AVP 0\na=mid:b\na=sendonly\na=rtcp-mux\n"
#define REST "m=image 2 udptl t38\nm=audio 3 RTP/AVP 0\na=mid:b\na=recvonly\n"

static void checked(void **state)
{
    (void)state;
    static const struct {
        const char *answer;
        int result;
    } cases[] = {
        {PLAIN "a=group:BUNDLE a b\nm=audio 1 RTP/SAVP 8\na=mid:a\n" REST "a=rtcp-mux\n", 0},
        {PLAIN "m=audio 1 rtp/savp 8\n" REST, 0},
        {PLAIN "m=audio 0 RTP/AVP 8\nm=image 0 x y\nm=audio 0 RTP/AVP 0\n", 0}, /* all refused */
        {PLAIN "m=audio 1 RTP/SAVP 8\n", ERR_REFUSED},                          /* too few */
        {PLAIN "m=video 1 RTP/SAVP 8\n" REST, ERR_REFUSED},                     /* another medium */
        {PLAIN "m=audio 1 RTP/AVP 8\n" REST, ERR_REFUSED},                      /* bid down */
        {PLAIN "m=audio 1 UDP/TLS/RTP/SAVP 8\n" REST, ERR_REFUSED},
        {PLAIN "m=audio 1 RTP/SAVP 8\na=rtcp-mux\n" REST,
         ERR_REFUSED}, /* mux was not offered there */
        {PLAIN "m=audio 1 RTP/SAVP 8\nm=image 2 udptl t39\nm=audio 0 RTP/AVP 0\n", ERR_REFUSED},
        {PLAIN "m=audio 1 RTP/SAVP 8\nm=image 2 udptl t38\nm=audio 3 RTP/AVP 0\na=sendrecv\n",
         0}, /* to a hold, as if it were none */
        {PLAIN "a=group:BUNDLE a i\nm=audio 1 RTP/SAVP 8\na=mid:a\nm=image 2 udptl "
               "t38\na=mid:i\nm=audio 0 RTP/AVP 0\n",
         ERR_REFUSED},
    };
    struct sdp *o = parse(STR(OFFER));
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct reason why = {0};
        int err = sdp_answer_check(o, parse(str_z(cases[i].answer)), &why);
        if (err != cases[i].result)
            fail_msg("case %zu: %d (%s)", i, err, why.detail);
        assert_true(!err || (why.clause != NULL && why.sip_status == 488));
    }
    struct sdp *refused = parse(STR(PLAIN "m=audio 0 RTP/AVP 0\n"));
    check_err(sdp_answer_check(refused, parse(STR(PLAIN "m=audio 9 RTP/AVP 0\n")), NULL),
              ERR_REFUSED);
}

static void next(void **state)
{
    (void)state;
#define O(v) "v=0\no=- 77 " v " IN IP4 192.0.2.1\ns=-\nc=IN IP4 192.0.2.1\nt=0 0\n"
    struct sdp *was = parse(STR(O("4") "m=audio 1 RTP/AVP 0\n"));
    bool same;
    check_err(sdp_next_check(was, parse(STR(O("4") "m=audio 1 RTP/AVP 0\n")), &same, NULL), 0);
    assert_true(same);
    check_err(sdp_next_check(was, parse(STR(O("5") "m=audio 1 RTP/AVP 8\nm=video 1 RTP/AVP 31\n")),
                             &same, NULL),
              0);
    assert_false(same);
    check_err(sdp_next_check(was, parse(STR(O("3") "m=audio 1 RTP/AVP 0\n")), &same, NULL), 0);
    check_err(sdp_next_check(was, parse(STR(PLAIN "m=audio 1 RTP/AVP 0\n")), &same, NULL), 0);
    assert_false(same);
    check_err(sdp_next_check(was, parse(STR(O("5") "m=image 1 udptl t38\n")), &same, NULL), 0);
    check_err(sdp_next_check(was, parse(STR(O("5"))), &same, NULL), ERR_REFUSED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(offer, setup, teardown),
        cmocka_unit_test_setup_teardown(match, setup, teardown),
        cmocka_unit_test_setup_teardown(answer, setup, teardown),
        cmocka_unit_test_setup_teardown(checked, setup, teardown),
        cmocka_unit_test_setup_teardown(next, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

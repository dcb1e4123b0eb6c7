/* RFC 8866 5, 9; RFC 3264 6.1, 8.4; RFC 3605; RFC 8843: what a description says, and what is none.
 */
#include "check.h"

#include "base/limits.h"
#include "oom.h"
#include "sdp/sdp.h"
#include "texts.h"
#include <stdio.h>
#include <stdlib.h>

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

static struct sdp *parse(const char *text)
{
    struct sdp *s = NULL;
    struct reason why = {0};
    int err = sdp_parse(arena, str_z(text), &s, &why);
    if (err)
        fail_msg("%d %s at %u: %s", err, why.detail, why.offset, text);
    return s;
}

static void refused(const char *text, int expected)
{
    struct sdp *s;
    struct reason why = {0};
    int err = sdp_parse(arena, str_z(text), &s, &why);
    if (err != expected)
        fail_msg("%d, not %d: %s", err, expected, text);
    assert_null(s);
    assert_non_null(why.code);
    assert_int_equal(why.sip_status, expected == ERR_LIMIT ? 413 : 400);
}

static void keyed(void **state)
{
    (void)state;
    struct sdp *s = parse(KEYED);
    check_str(s->origin.username, "alice");
    check_str(s->origin.sess_version, "2890842807");
    check_str(s->origin.conn.host, "192.0.2.10");
    check_str(s->name, "a call");
    assert_true(s->has_crlf);
    assert_false(s->has_unknown);
    assert_int_equal(s->n_media, 2);
    const struct sdp_media *m = &s->media[0];
    assert_int_equal(m->kind, SDP_AUDIO);
    assert_int_equal(m->proto, SDP_RTP_SAVP);
    assert_int_equal(m->port, 49170);
    assert_int_equal(m->n_fmts, 4);
    check_str(m->fmt[2], "96");
    check_str(m->fmts, "0 8 96 101");
    check_str(sdp_media_conn(s, 0)->host, "192.0.2.11");
    check_str(sdp_media_conn(s, 1)->host, "192.0.2.10");
    assert_int_equal(sdp_direction(s, 0), SDP_SENDONLY);
    assert_int_equal(sdp_direction(s, 1), SDP_SENDRECV);
    assert_int_equal(sdp_ptime(s, 0), 20);
    assert_false(sdp_media_is_rejected(s, 0));
    assert_true(sdp_media_is_rejected(s, 1));
}

static void levels(void **state)
{
    (void)state;
    struct sdp *s = parse(KEYED);
    assert_null(sdp_attr(s, 0, SDP_A_FINGERPRINT, 0));
    assert_non_null(sdp_attr_inherited(s, 0, SDP_A_FINGERPRINT, 0));
    assert_null(sdp_attr_inherited(s, 0, SDP_A_FINGERPRINT, 1));
    check_str(sdp_attr_inherited(s, 0, SDP_A_SETUP, 0)->arg, "actpass");
    assert_non_null(sdp_attr(s, 0, SDP_A_CRYPTO, 0));
    check_str(str_make(sdp_attr(s, 0, SDP_A_CRYPTO, 1)->arg.p, 1), "2"); /* in their order */
    assert_null(sdp_attr(s, 0, SDP_A_CRYPTO, 2));
    assert_null(sdp_attr(s, 1, SDP_A_CRYPTO, 0));
    check_str(sdp_attr_named(s, SDP_SESSION, STR("x-unknown"), 0)->arg, "some thing");
    assert_null(sdp_attr_named(s, 0, STR("x-unknown"), 0));
    assert_null(sdp_attr(s, SDP_SESSION, SDP_A_OTHER, 0));
}

static void bandwidth(void **state)
{
    (void)state;
    struct sdp *s = parse(PLAIN "b=AS:512\nm=audio 5 RTP/AVP 0\nb=AS:64\nb=TIAS:50000\nm=video 7 RTP/AVP 31\nb=X:9\n"
                                "m=text 9 RTP/AVP 96\nb=AS:0\nb=TIAS:99999999999999\nm=image 3 udptl t38\nb=TIAS:\nb=AS\n");
    uint64_t v = 0;

    assert_true(sdp_bandwidth(s, 0, &v)); /* TIAS before AS */
    assert_int_equal(v, 50000);
    assert_true(sdp_bandwidth(s, 1, &v)); /* the session's */
    assert_int_equal(v, 512000);
    assert_true(sdp_bandwidth(s, 2, &v)); /* beyond all reason */
    assert_int_equal(v, 0);
    assert_true(sdp_bandwidth(s, 3, &v));
    assert_int_equal(v, 512000);
    s = parse(PLAIN "m=audio 5 RTP/AVP 0\nb=RR:800\n");
    assert_false(sdp_bandwidth(s, 0, &v));
}

static void formats(void **state)
{
    (void)state;
    struct sdp *s = parse(KEYED);
    struct sdp_rtpmap r;
    assert_int_equal(sdp_rtpmap(s, 0, 96, &r), 0);
    check_str(r.name, "opus");
    assert_int_equal(r.rate, 48000);
    assert_int_equal(r.channels, 2);
    assert_int_equal(sdp_rtpmap(s, 0, 8, &r), 0); /* static, RFC 3551 6 */
    check_str(r.name, "PCMA");
    assert_int_equal(r.channels, 1);
    check_err(sdp_rtpmap(s, 0, 97, &r), ERR_NOTFOUND);
    check_str(sdp_fmtp(s, 0, 101), "0-15");
    check_str(sdp_fmtp(s, 0, 96), "useinbandfec=1; stereo=0");
    assert_int_equal(sdp_fmtp(s, 0, 0).n, 0);
    s = parse(PLAIN "m=audio 5 RTP/AVP 96 97\na=rtpmap:96 x\na=rtpmap:97 x/0\n");
    check_err(sdp_rtpmap(s, 0, 96, &r), ERR_SYNTAX);
    check_err(sdp_rtpmap(s, 0, 97, &r), ERR_SYNTAX);
    assert_int_equal(s->media[0].port, 5);
}

static void targets(void **state)
{
    (void)state;
    struct sdp_target t;
    char text[ADDR_TEXT_MAX];
    struct sdp *s = parse(KEYED);
    assert_int_equal(sdp_media_target(s, 0, false, &t), 0);
    check_str(addr_text(&t.rtp, text), "192.0.2.11:49170");
    check_str(addr_text(&t.rtcp, text), "126.16.64.4:53020"); /* RFC 3605 2.1 */
    assert_int_equal(sdp_media_target(s, 0, true, &t), 0);
    check_str(addr_text(&t.rtcp, text), "192.0.2.11:49170");
    check_err(sdp_media_target(s, 1, false, &t), ERR_NOTFOUND);
    s = parse(PLAIN "m=audio 4000 RTP/AVP 0\nc=IN IP6 2001:db8::1\n");
    assert_int_equal(sdp_media_target(s, 0, false, &t), 0);
    check_str(addr_text(&t.rtcp, text), "[2001:db8::1]:4001");
    s = parse(PLAIN "m=audio 4000 RTP/AVP 0\nc=IN IP4 0.0.0.0\n"); /* RFC 3264 8.4 */
    assert_int_equal(sdp_media_target(s, 0, false, &t), 0);
    assert_true(t.is_null);
    s = parse(PLAIN "m=audio 4000 RTP/AVP 0\nc=IN IP4 224.2.1.1/127/3\n");
    assert_int_equal(s->media[0].s.conn.ttl, 127);
    assert_int_equal(s->media[0].s.conn.count, 3);
    check_err(sdp_media_target(s, 0, false, &t), ERR_UNSUPPORTED);
    s = parse(PLAIN "m=audio 4000 RTP/AVP 0\nc=IN IP4 phone.example.com\n");
    check_err(sdp_media_target(s, 0, false, &t), ERR_UNSUPPORTED);
    s = parse("v=0\no=- 1 1 IN IP4 a\ns=-\nt=0 0\nm=audio 65535 RTP/AVP 0\n");
    check_err(sdp_media_target(s, 0, false, &t), ERR_NOTFOUND);
}

static void browser(void **state)
{
    (void)state;
    struct sdp *s = parse(BROWSER);
    assert_int_equal(s->n_media, 3);
    assert_int_equal(s->media[0].proto, SDP_UDP_TLS_RTP_SAVPF);
    assert_true(sdp_proto_is_dtls(s->media[0].proto));
    assert_true(sdp_proto_is_secure(s->media[0].proto));
    assert_true(sdp_proto_has_feedback(s->media[0].proto));
    assert_int_equal(s->media[2].proto, SDP_PROTO_OTHER);
    check_str(s->media[2].proto_text, "UDP/DTLS/SCTP");
    check_str(s->media[2].fmts, "webrtc-datachannel");
    assert_false(sdp_media_is_rejected(s, 1)); /* RFC 8843 6: port 0 with bundle-only */
    assert_int_equal(sdp_bundle_of(s, 0), 0);
    assert_int_equal(sdp_bundle_of(s, 1), 0);
    assert_int_equal(sdp_bundle_of(s, 2), 0);
    assert_int_equal(sdp_media_of_mid(s, STR("d")), 2);
    assert_int_equal(sdp_media_of_mid(s, STR("x")), -1);
    assert_non_null(sdp_attr(s, 0, SDP_A_CANDIDATE, 2));
    assert_null(sdp_attr(s, 0, SDP_A_CANDIDATE, 3));
}

/* The session's direction counts where a section has none; of two in a section the first. */
static void directions(void **state)
{
    (void)state;
    struct sdp *s = parse(
        PLAIN "a=inactive\nm=audio 1 RTP/AVP 0\nm=audio 2 RTP/AVP 0\na=recvonly\na=sendonly\n");
    assert_int_equal(sdp_direction(s, 0), SDP_INACTIVE);
    assert_int_equal(sdp_direction(s, 1), SDP_RECVONLY);
    assert_int_equal(sdp_dir_reverse(SDP_RECVONLY), SDP_SENDONLY);
    check_str(sdp_dir_text(SDP_SENDRECV), "sendrecv");
}

static void lenient(void **state)
{
    (void)state;
    struct sdp *s =
        parse("v=0\no=- 1 1 IN IP4 1.2.3.4\nm=audio 1 RTP/AVP 0"); /* LF, no s=, no t=, no end */
    assert_false(s->has_crlf);
    assert_int_equal(s->n_media, 1);
    s = parse(PLAIN "\r\n\r\n");
    assert_int_equal(s->n_lines, 5);
    s = parse(PLAIN "y=what\r\nm=audio 1 RTP/AVP 0\r\nq=5\r\n");
    assert_true(s->has_unknown);
    s = parse(PLAIN "m=audio 1 rtp/savp 0\n");
    assert_int_equal(s->media[0].proto, SDP_RTP_SAVP);
    check_str(s->media[0].proto_text, "rtp/savp");
    s = parse("v=0\no=- 1 1 IN IP6 ::1\ns=\nc=ATM NSAP 47.0091\n");
    assert_false(addr_is_set(&s->session.conn.addr));
    s = parse(PLAIN "m=audio 40000/2 RTP/AVP 0\n");
    assert_int_equal(s->media[0].n_ports, 2);
}

static void wrong(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "",
        "\r\n",
        "v=1\no=- 1 1 IN IP4 1.2.3.4\n",
        "o=- 1 1 IN IP4 1.2.3.4\nv=0\n",
        "v=0\ns=-\n",
        "v=0\no=- 1 1 IN IP4 1.2.3.4\nv=0\n",
        "v=0\no=- 1 1 IN IP4 1.2.3.4\no=- 1 1 IN IP4 1.2.3.4\n",
        "v=0\no=- 1 1 IN IP4\n",
        "v=0\no=- 1 1 IN IP4 1.2.3.4 5\n",
        "v=0\no=- 1 1 IN IP4 1.2.3.4/5\n",
        "v=0\no=- 1 1 IN IP6 1.2.3.4\n",
        "v=0\no=- 1 1 IN IP6 [::1]\n",
        PLAIN "c=IN IP4 1.2.3.4/256\n",
        PLAIN "c=IN IP6 ff02::1/2/3\n",
        PLAIN "c=IN\n",
        PLAIN "xx\n",
        PLAIN "\n=x\n",
        PLAIN "a\n",
        PLAIN "a=\n",
        PLAIN "a=:x\n",
        PLAIN "a=b c\n",
        PLAIN "m=audio\n",
        PLAIN "m=audio x RTP/AVP 0\n",
        PLAIN "m=audio 65536 RTP/AVP 0\n",
        PLAIN "m=audio 1 RTP/AVP\n",
        PLAIN "m=audio 1 RTP/AVP 128\n",
        PLAIN "m=audio 1 RTP/AVP x\n",
        PLAIN "m=audio 1/0 RTP/AVP 0\n",
        PLAIN "m=audio 1 RTP//AVP 0\n",
        PLAIN "m=audio 1 RTP/ 0\n",
        PLAIN "m=audio 1 RTP/AVP 0\ns=late\n",
        PLAIN "m=audio 1 RTP/AVP 0\nt=0 0\n",
        PLAIN "a=x\ry\n",
        PLAIN "a=x\r",
        "v=0 \no=- 1 1 IN IP4 1.2.3.4\n",
        PLAIN "\n\nm=audio 1 RTP/AVP 0\n",
    };
    for (size_t i = 0; i < ARRAY_LEN(texts); i++)
        refused(texts[i], ERR_SYNTAX);
    struct sdp *s;
    static const char nul[] = PLAIN "a=x\0y\n";
    check_err(sdp_parse(arena, STR(nul), &s, NULL), ERR_SYNTAX);
}

static void repeat(char *dst, size_t cap, const char *head, const char *line, unsigned n,
                   const char *tail)
{
    size_t at = (size_t)snprintf(dst, cap, "%s", head);
    for (unsigned i = 0; i < n; i++)
        at += (size_t)snprintf(dst + at, cap - at, "%s", line);
    snprintf(dst + at, cap - at, "%s", tail);
}

static void limits(void **state)
{
    (void)state;
    static char text[2 * LIMIT_SDP_BYTES];
    repeat(text, sizeof(text), PLAIN, "a=b\n", LIMIT_SDP_LINES - 5, "");
    parse(text);
    repeat(text, sizeof(text), PLAIN, "a=b\n", LIMIT_SDP_LINES - 4, "");
    refused(text, ERR_LIMIT);
    repeat(text, sizeof(text), PLAIN, "m=audio 1 RTP/AVP 0\n", LIMIT_SDP_MEDIA, "");
    assert_int_equal(parse(text)->n_media, LIMIT_SDP_MEDIA);
    repeat(text, sizeof(text), PLAIN, "m=audio 1 RTP/AVP 0\n", LIMIT_SDP_MEDIA + 1, "");
    refused(text, ERR_LIMIT);
    repeat(text, sizeof(text), PLAIN "m=audio 1 RTP/AVP", " 0", LIMIT_SDP_FORMATS, "\n");
    assert_int_equal(parse(text)->media[0].n_fmts, LIMIT_SDP_FORMATS);
    repeat(text, sizeof(text), PLAIN "m=audio 1 RTP/AVP", " 0", LIMIT_SDP_FORMATS + 1, "\n");
    refused(text, ERR_LIMIT);
    repeat(text, sizeof(text), PLAIN "a=", "x", LIMIT_SDP_BYTES, "\n");
    refused(text, ERR_LIMIT);
}

static void names(void **state)
{
    (void)state;
    for (unsigned i = 1; i < SDP_A_N; i++)
        assert_int_equal(sdp_attr_parse(sdp_attr_text((enum sdp_attr_id)i)), i);
    assert_int_equal(sdp_attr_parse(STR("Crypto")), SDP_A_OTHER);
    for (unsigned i = 1; i < SDP_PROTO_N; i++)
        assert_int_equal(sdp_proto_parse(sdp_proto_text((enum sdp_proto)i)), i);
    assert_false(sdp_proto_is_secure(SDP_RTP_AVPF));
    assert_true(sdp_proto_is_rtp(SDP_RTP_SAVPF));
    assert_false(sdp_proto_is_rtp(SDP_UDPTL));
}

static void oom(void **state)
{
    (void)state;
    OOM_SWEEP(50, {
        struct arena *a = arena_new(64, 1 << 20);
        struct sdp *s;
        if (a != NULL && sdp_parse(a, STR(BROWSER), &s, NULL) == 0)
            (void)sdp_bundle_of(s, 1);
        arena_free(a);
    });
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(keyed, setup, teardown),
        cmocka_unit_test_setup_teardown(levels, setup, teardown),
        cmocka_unit_test_setup_teardown(bandwidth, setup, teardown),
        cmocka_unit_test_setup_teardown(formats, setup, teardown),
        cmocka_unit_test_setup_teardown(targets, setup, teardown),
        cmocka_unit_test_setup_teardown(browser, setup, teardown),
        cmocka_unit_test_setup_teardown(directions, setup, teardown),
        cmocka_unit_test_setup_teardown(lenient, setup, teardown),
        cmocka_unit_test_setup_teardown(wrong, setup, teardown),
        cmocka_unit_test_setup_teardown(limits, setup, teardown),
        cmocka_unit_test(names),
        cmocka_unit_test(oom),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

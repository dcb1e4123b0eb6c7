/* What the phone tells, what it plays and records, strict routes, and clear RTP between two media
 * on loopback. */
#include "bed.h"

#include "media/tone.h"
#include "media/wav.h"
#include "phone/sound.h"
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static void events(void **state)
{
    (void)state;
    char *text = NULL;
    size_t n = 0;
    struct phone_out o = {.file = open_memstream(&text, &n), .json = true};
    const struct log_field f[] = {LS("from", STR("a\"\n\x01\xff")),
                                  LI("x", -5),
                                  LU("y", 7),
                                  LB("yes", true),
                                  LB("no", false),
                                  LZ("none", NULL)};
    PHONE_SAY(&o, "test", f, "words %s", "x");
    assert_string_equal(text, "{\"event\":\"test\",\"ms\":0,\"from\":"
                              "\"a\\\"\\n\\u0001\xef\xbf\xbd\",\"x\":-5,\"y\":7,\"yes\":true,"
                              "\"no\":false,\"none\":null}\n");
    rewind(o.file);
    o.json = false;
    PHONE_SAY(&o, "test", f, "words %s",
              "\x1b[2Jx\n"); /* nothing of the network controls a terminal */
    text[n] = '\0';
    assert_non_null(strstr(text, "words \\x1b[2Jx\\x0a\n"));
    fclose(o.file);
    free(text);
}

static void trace(void **state)
{
    (void)state;
    char *text = NULL;
    size_t n = 0;
    struct phone_out o = {.trace = open_memstream(&text, &n)};
    phone_out_message(
        &o, true,
        STR("REGISTER sip:x SIP/2.0\r\nauthorization: Digest response=\"secret1\"\r\n"
            "Proxy-Authorization: secret2\r\nX: y\r\n\r\na=crypto:1 A inline:secret3\r\n"));
    fclose(o.trace);
    assert_null(strstr(text, "secret"));
    assert_non_null(strstr(text, "X: y\n"));
    free(text);
}

/* RFC 3261 12.2.1.1: a first route without lr takes the Request-URI. */
static void strict_route(void **state)
{
    (void)state;
    struct sip_msg *m;
    struct dialog d;
    struct str ruri, route;
    const char *text =
        "SIP/2.0 200 OK\r\nVia: SIP/2.0/TCP a;branch=z9hG4bK1\r\nFrom: \"A\" "
        "<sip:a@b>;tag=1;x=y\r\n"
        "To: sip:b@c;tag=2;z\r\nCall-ID: i\r\nCSeq: 7 INVITE\r\nContact: <sip:t@h>\r\n"
        "Record-Route: <sip:p1;lr>, <sip:p2>\r\nContent-Length: 0\r\n\r\n";
    struct arena *a = arena_new(8192, 1 << 20);
    assert_int_equal(sip_msg_parse(a, str_z(text), &m, NULL), 0);
    assert_int_equal(dialog_from_response(&d, m, 7), 0);
    check_str(d.local, "\"A\" <sip:a@b>;x=y");
    check_str(d.remote, "<sip:b@c>;z");
    assert_int_equal(dialog_route(&d, a, &ruri, &route), 0);
    check_str(ruri, "sip:p2");
    check_str(route, "<sip:p1;lr>, <sip:t@h>");
    dialog_done(&d);
    arena_free(a);
}

static void sounds(void **state)
{
    (void)state;
    char file[] = "/tmp/sound.XXXXXX", bytes[4096];
    int fd = mkstemp(file);
    struct sound_config cfg = {.record = file, .tone_hz = 440, .expect_hz = 440};
    struct sound *s;
    struct wav w;
    struct reason why = {0};
    int16_t pcm[160];
    unsigned tonal, loud;
    assert_true(fd >= 0);
    assert_int_equal(sound_new(&cfg, 8000, &s, &why), 0);
    for (int i = 0; i < 10; i++) {
        sound_fill(s, pcm, 160);
        sound_hear(s, pcm, 160);
    }
    assert_false(sound_is_heard(s, &tonal, &loud)); /* a fifth of a second is too little */
    assert_int_equal(tonal, 200);
    sound_free(s);
    ssize_t n = read(fd, bytes, sizeof(bytes));
    assert_int_equal(wav_parse(str_make(bytes, (size_t)n), &w, &why), 0);
    assert_int_equal(w.n, 1600);

    cfg = (struct sound_config){.wav = str_make(bytes, (size_t)n)};
    assert_int_equal(sound_new(&cfg, 16000, &s, &why),
                     0); /* 8 kHz in a stream of 16: each twice, then silence */
    sound_fill(s, pcm, 160);
    assert_int_equal(pcm[20], wav_sample(&w, 10));
    assert_int_equal(pcm[21], wav_sample(&w, 10));
    for (int i = 0; i < 20; i++)
        sound_fill(s, pcm, 160);
    assert_int_equal(pcm[0], 0);
    sound_free(s);
    cfg.wav = STR("no wav");
    check_err(sound_new(&cfg, 8000, &s, &why), ERR_SYNTAX);
    cfg = (struct sound_config){.record = "/nonexistent/x"};
    check_err(sound_new(&cfg, 8000, &s, &why), ERR_IO);
    close(fd);
    unlink(file);
}

/* ---- two media ---- */

struct side {
    struct phone_media *m;
    struct phone_media_rtp cfg;
    struct sound_config sound;
    struct sdp_new_media section;
    char text[2048];
    struct sdp *sdp;
    _Atomic unsigned n_first, n_digits;
};

static const struct phone_media_ops *const ops = &phone_media_rtp_ops;

static void on_first(void *arg, uint32_t call)
{
    struct side *s = arg;
    (void)call;
    s->n_first++;
}

static void on_digit(void *arg, uint32_t call, char digit)
{
    struct side *s = arg;
    (void)call;
    assert_int_equal(digit, '7');
    s->n_digits++;
}

static void side_open(struct side *s, const char *host, const char *codecs)
{
    struct addr a;
    struct rand_source rnd;
    struct reason why = {0};
    const struct phone_media_user u = {
        .arg = s, .call = 1, .on_first = on_first, .on_digit = on_digit};
    s->cfg = (struct phone_media_rtp){.sound = &s->sound, .codecs = str_z(codecs)};
    rand_fixed_init(&rnd, 1);
    assert_int_equal(addr_parse(&a, str_z(host), 0), 0);
    if (ops->open(&s->cfg, &a, &rnd, &u, &s->m, &why) != 0)
        fail_msg("%s", why.detail);
}

static void side_describe(struct side *s, const char *host, enum sdp_dir dir)
{
    struct addr a;
    struct sbuf b = sbuf_make(s->text, sizeof(s->text));
    assert_int_equal(addr_parse(&a, str_z(host), 0), 0);
    s->section.has_dir = true;
    s->section.dir = dir;
    struct sdp_new n = {.host = &a, .media = &s->section, .n_media = 1};
    assert_int_equal(sdp_build(&b, &n), 0);
    assert_int_equal(sdp_parse(bed.arena, sbuf_get(&b), &s->sdp, NULL), 0);
}

/* Offer and answer between the two. */
static void exchange(struct side *a, struct side *b, const char *host_a, const char *host_b,
                     enum sdp_dir dir)
{
    struct reason why = {0};
    assert_int_equal(ops->offer(a->m, bed.arena, &a->section), 0);
    side_describe(a, host_a, dir);
    sdp_answer_media(a->sdp, 0, &b->section);
    assert_int_equal(ops->answer(b->m, bed.arena, a->sdp, 0, &b->section, &why), 0);
    side_describe(b, host_b, sdp_answer_direction(dir, SDP_SENDRECV));
    assert_int_equal(sdp_answer_check(a->sdp, b->sdp, &why), 0);
    assert_int_equal(
        ops->agreed(b->m, a->sdp, 0, false, sdp_answer_direction(dir, SDP_SENDRECV), &why), 0);
    assert_int_equal(ops->agreed(a->m, b->sdp, 0, true, dir, &why), 0);
}

static void audio(void **state)
{
    (void)state;
    struct side a = {.sound = {.tone_hz = 440, .expect_hz = 880}},
                b = {.sound = {.tone_hz = 880, .expect_hz = 440}};
    struct phone_media_figures fa, fb;
    struct phone_media_security sec;
    side_open(&a, "127.0.0.1", "");
    side_open(&b, "127.0.0.2", "PCMU");
    exchange(&a, &b, "127.0.0.1", "127.0.0.2", SDP_SENDRECV);
    assert_int_equal(ops->dial(a.m, STR("7")), 0);
    for (unsigned i = 0; i < 400; i++) { /* until both have heard enough, 4 s at most */
        usleep(10000);
        ops->figures(a.m, &fa);
        ops->figures(b.m, &fb);
        if (fa.is_heard && fb.is_heard && b.n_digits)
            break;
    }
    assert_true(fa.is_heard && fb.is_heard);
    assert_string_equal(fa.codec, "PCMU");
    assert_int_equal(a.n_first, 1);
    assert_int_equal(b.n_digits, 1);
    assert_int_equal(addr_port(&fa.remote), b.section.port);
    /* a stranger is not listened to */
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    struct addr from, to;
    uint8_t p[172] = {0x80, 0};
    assert_int_equal(addr_parse(&from, STR("127.0.0.3"), 0), 0);
    assert_int_equal(addr_parse(&to, STR("127.0.0.1"), a.section.port), 0);
    assert_int_equal(bind(fd, &from.sa, addr_len(&from)), 0);
    for (int i = 0; i < 5; i++)
        assert_int_equal(sendto(fd, p, sizeof(p), 0, &to.sa, addr_len(&to)), sizeof(p));
    close(fd);
    usleep(100000);
    ops->figures(a.m, &fa);
    assert_int_equal(fa.foreign, 5);
    /* hold: b sends no more */
    exchange(&a, &b, "127.0.0.1", "127.0.0.2", SDP_SENDONLY);
    usleep(50000);
    ops->figures(b.m, &fb);
    uint64_t sent = fb.q.sent, received = fb.q.received;
    usleep(300000);
    ops->figures(b.m, &fb);
    assert_int_equal(fb.q.sent, sent);
    assert_true(fb.q.received > received);
    ops->security(a.m, &sec);
    assert_string_equal(sec.method, "none");
    assert_false(sec.is_encrypted);
    ops->close(a.m);
    ops->close(b.m);
}

static void refusals(void **state)
{
    (void)state;
    static const char *const offers[] = {
        "m=video 5 RTP/AVP 31\n", "m=audio 5 RTP/SAVP 0\n", "m=audio 5 UDP/TLS/RTP/SAVPF 0\n",
        "m=audio 5 RTP/AVP 18\n", "m=audio 5 RTP/AVP 96\na=rtpmap:96 PCMU/16000\n"};
    struct side a = {0};
    struct reason why = {0};
    struct sdp *s;
    char text[512];
    side_open(&a, "127.0.0.1", "PCMU,PCMA");
    for (size_t i = 0; i < ARRAY_LEN(offers); i++) {
        snprintf(text, sizeof(text), "v=0\no=- 1 1 IN IP4 1.2.3.4\nc=IN IP4 1.2.3.4\n%s",
                 offers[i]);
        assert_int_equal(sdp_parse(bed.arena, arena_str(bed.arena, str_z(text)), &s, NULL), 0);
        sdp_answer_media(s, 0, &a.section);
        check_err(ops->answer(a.m, bed.arena, s, 0, &a.section, &why), ERR_UNSUPPORTED);
    }
    /* an answer whose address cannot be used */
    assert_int_equal(
        sdp_parse(bed.arena,
                  STR("v=0\no=- 1 1 IN IP4 1.2.3.4\nc=IN IP4 host.example\nm=audio 5 RTP/AVP 0\n"),
                  &s, NULL),
        0);
    check_err(ops->agreed(a.m, s, 0, true, SDP_SENDRECV, &why), ERR_UNSUPPORTED);
    assert_int_equal(sdp_parse(bed.arena,
                               STR("v=0\no=- 1 1 IN IP6 ::1\nc=IN IP6 ::1\nm=audio 5 RTP/AVP 0\n"),
                               &s, NULL),
                     0);
    check_err(ops->agreed(a.m, s, 0, true, SDP_SENDRECV, &why), ERR_UNSUPPORTED);
    check_err(ops->dial(a.m, STR("1")), ERR_UNSUPPORTED);
    ops->close(a.m);
    struct side b = {.sound = {0}};
    struct addr host;
    const struct phone_media_user u = {.arg = &b};
    b.cfg = (struct phone_media_rtp){.sound = &b.sound, .codecs = STR("PCMA,what")};
    assert_int_equal(addr_parse(&host, STR("127.0.0.1"), 0), 0);
    check_err(ops->open(&b.cfg, &host, NULL, &u, &b.m, &why), ERR_UNSUPPORTED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(events),
        cmocka_unit_test(trace),
        cmocka_unit_test(strict_route),
        cmocka_unit_test(sounds),
        cmocka_unit_test_setup_teardown(audio, bed_setup, bed_teardown),
        cmocka_unit_test_setup_teardown(refusals, bed_setup, bed_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* What the phone tells, what it plays and records, strict routes. */
#include "bed.h"

#include "media/tone.h"
#include "media/wav.h"
#include "phone/sound.h"
#include "phone/status.h"
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

/* X-Sallyport-Status, as an edge writes it, and as somebody else might. */
static void statuses(void **state)
{
    (void)state;
    static const char *const bad[] = {"",
                                      "safe",
                                      "secure;expected=more",
                                      "secure;reasons=none",
                                      "secure;reasons=\"A\x1b[2J\"",
                                      "Secure;proven=yes"};
    struct phone_status s;
    char text[1024];
    struct sbuf b = sbuf_make(text, sizeof(text));
    assert_int_equal(phone_status_parse(STR("protected;expected=secure;proven=no;reasons=\"media-not-"
                                            "agreed,not-known-yet\";later=1"),
                                        &s),
                     0);
    assert_int_equal(s.level, POLICY_PROTECTED);
    assert_int_equal(s.expected, POLICY_SECURE);
    assert_false(s.is_proven);
    phone_status_words(&b, &s);
    assert_true(str_eq(sbuf_get(&b),
                       STR("Protected (expected: Secure), as agreed, not proven. No media keys are "
                           "agreed yet. not-known-yet")));
    assert_int_equal(phone_status_parse(STR("attacked;proven=yes"), &s), 0);
    assert_int_equal(s.expected, POLICY_ATTACKED);
    assert_true(s.is_proven);
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        check_err(phone_status_parse(str_z(bad[i]), &s), ERR_SYNTAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(events),
        cmocka_unit_test(trace),
        cmocka_unit_test(strict_route),
        cmocka_unit_test(sounds),
        cmocka_unit_test(statuses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

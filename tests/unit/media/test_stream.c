/* Two streams talk to each other over a line that loses, doubles and swaps packets; strangers do
 * not get in between. */
#include "check.h"

#include "media/rtcp.h"
#include "media/stream.h"
#include "media/tone.h"
#include "oom.h"

static struct rand_source rnd;

static struct media_stream_args args_of(const char *codec, int pt)
{
    const struct codec_info *info = codec_find(str_z(codec));
    assert_non_null(info);
    return (struct media_stream_args){.codec = info,
                                      .pt = (uint8_t)pt,
                                      .recv = {{info, (uint8_t)pt}},
                                      .n_recv = 1,
                                      .event_pt_send = 101,
                                      .event_pt_recv = 101};
}

static int setup(void **state)
{
    (void)state;
    rand_fixed_init(&rnd, 42);
    return 0;
}

struct line {
    struct media_stream *a, *b;
    struct tone tone;
    struct tone_meter meter;
    unsigned rate, lose_every, double_every, swap_every;
    uint8_t held[RTP_PACKET_MAX];
    size_t n_held;
    unsigned n;
    uint64_t now_us;
};

/* One frame from a to b. */
static void step(struct line *l)
{
    int16_t pcm[CODEC_FRAME_MAX];
    uint8_t p[RTP_PACKET_MAX];
    size_t len;
    l->now_us += 20000;
    l->n++;
    tone_fill(&l->tone, pcm, l->rate / 50);
    check_err(media_stream_frame(l->a, pcm, p, sizeof(p), &len), 0);
    if (l->lose_every && l->n % l->lose_every == 0)
        len = 0;
    if (len && l->swap_every && l->n % l->swap_every == 0 && !l->n_held) {
        memcpy(l->held, p, len);
        l->n_held = len;
    } else if (len) {
        (void)media_stream_receive(l->b, p, len, l->now_us);
        if (l->double_every && l->n % l->double_every == 0)
            (void)media_stream_receive(l->b, p, len, l->now_us);
        if (l->n_held)
            (void)media_stream_receive(l->b, l->held, l->n_held, l->now_us);
        l->n_held = 0;
    }
    (void)media_stream_play(l->b, pcm);
    tone_meter_feed(&l->meter, pcm, l->rate / 50);
}

static struct line line_of(const char *codec, int pt, unsigned rate)
{
    struct line l = {.rate = rate, .now_us = 1000000};
    struct media_stream_args args = args_of(codec, pt);
    l.a = media_stream_new(&args, rate, &rnd, 0);
    l.b = media_stream_new(&args, rate, &rnd, 0);
    assert_true(l.a && l.b);
    tone_init(&l.tone, 440, rate, 8000);
    tone_meter_init(&l.meter, 440, rate);
    return l;
}

static void line_done(struct line *l)
{
    media_stream_free(l->a);
    media_stream_free(l->b);
}

static void clean(void **state)
{
    (void)state;
    static const unsigned rates[] = {8000, 16000};
    const struct codec_info *info;
    for (size_t i = 0; (info = codec_at(i)) != NULL; i++) {
        for (size_t k = 0; k < 2; k++) {
            struct line l = line_of(info->name, info->pt < 0 ? 96 : info->pt, rates[k]);
            struct media_quality q;
            for (int n = 0; n < 200; n++)
                step(&l);
            assert_true(tone_meter_is_heard(&l.meter));
            media_stream_quality(l.b, &q);
            assert_int_equal(q.received, 199); /* the first proves the source */
            assert_int_equal(q.lost, 0);
            assert_int_equal(q.concealed, 0);
            assert_true(q.remote_ssrc != 0 && q.first_us != 0);
            line_done(&l);
        }
    }
}

static void lossy(void **state)
{
    (void)state;
    struct line l = line_of("PCMU", 0, 8000);
    struct media_quality q;
    l.lose_every = 20;
    l.double_every = 7;
    l.swap_every = 11;
    for (int n = 0; n < 500; n++)
        step(&l);
    assert_true(tone_meter_is_heard(&l.meter));
    media_stream_quality(l.b, &q);
    assert_true(q.concealed >= 20 && q.concealed <= 30);
    assert_true(q.duplicate + q.late >= 60);
    line_done(&l);
}

/* RTCP both ways: each knows of the other's losses and of the time a round takes. */
static void reports(void **state)
{
    (void)state;
    struct line l = line_of("PCMA", 8, 8000);
    struct media_quality q;
    uint8_t p[256];
    size_t len;
    l.lose_every = 10;
    for (int n = 0; n < 101; n++)
        step(&l);
    uint64_t ntp = 1700000000000000ull;
    assert_true(media_stream_rtcp_due_us(l.a) > 0 && media_stream_rtcp_due_us(l.a) < 4000000);
    assert_int_equal(media_stream_rtcp_build(l.a, l.now_us, ntp, false, p, sizeof(p), &len), 0);
    assert_int_equal(media_stream_rtcp_receive(l.b, p, len, l.now_us + 30000, ntp + 30000), 0);
    /* b says it 100 ms later, and a hears it after 50 more */
    assert_int_equal(
        media_stream_rtcp_build(l.b, l.now_us + 130000, ntp + 130000, true, p, sizeof(p), &len), 0);
    assert_int_equal(media_stream_rtcp_receive(l.a, p, len, l.now_us + 180000, ntp + 180000), 0);
    media_stream_quality(l.a, &q);
    assert_true(q.has_remote);
    assert_int_equal(q.remote_lost, 10);
    assert_in_range(q.rtt_us, 79000, 81000);
    assert_false(q.remote_bye); /* b never sent audio, so its BYE is of nobody we listen to */
    assert_int_equal(media_stream_rtcp_build(l.a, l.now_us, ntp, true, p, sizeof(p), &len), 0);
    assert_int_equal(media_stream_rtcp_receive(l.b, p, len, l.now_us, ntp), 0);
    media_stream_quality(l.b, &q);
    assert_true(q.remote_bye);
    assert_int_equal(q.lost, 10);
    check_err(media_stream_rtcp_receive(l.b, p, len - 1, l.now_us, ntp), ERR_SYNTAX);
    check_err(media_stream_rtcp_build(l.a, l.now_us, ntp, true, p, 20, &len), ERR_LIMIT);
    line_done(&l);
}

static void digits(void **state)
{
    (void)state;
    struct line l = line_of("PCMA", 8, 8000);
    char got[8] = "", c;
    unsigned n = 0;
    for (int k = 0; k < 5; k++)
        step(&l);
    assert_int_equal(media_stream_dial(l.a, STR("12#")), 0);
    while (media_stream_is_dialling(l.a)) {
        step(&l);
        while (media_stream_digit(l.b, &c))
            got[n++] = c;
    }
    assert_string_equal(got, "12#");
    struct media_stream_args args = args_of("PCMA", 8);
    args.event_pt_send = -1;
    assert_int_equal(media_stream_change(l.a, &args), 0);
    check_err(media_stream_dial(l.a, STR("1")), ERR_UNSUPPORTED);
    line_done(&l);
}

static enum media_stream_rx inject(struct line *l, uint8_t pt, uint16_t seq, uint32_t ssrc)
{
    uint8_t p[200];
    size_t len;
    struct rtp_packet packet = {
        .pt = pt, .seq = seq, .ts = seq * 160u, .ssrc = ssrc, .payload = p + 12, .n_payload = 160};
    assert_int_equal(rtp_build(p, sizeof(p), &packet, &len), 0);
    return media_stream_receive(l->b, p, len, l->now_us);
}

/* A stranger with another SSRC is not heard while the first speaks; a source that changes its SSRC
 * is, a little later. */
static void strangers(void **state)
{
    (void)state;
    struct line l = line_of("PCMA", 8, 8000);
    struct media_quality q;
    for (int n = 0; n < 100; n++) {
        step(&l);
        assert_int_equal(inject(&l, 8, (uint16_t)n, 0x666), MEDIA_RX_UNSURE);
        assert_int_equal(inject(&l, 18, (uint16_t)n, 0x666), MEDIA_RX_BAD);
    }
    assert_true(tone_meter_is_heard(&l.meter));
    media_stream_quality(l.b, &q);
    assert_int_equal(q.received, 99);
    assert_int_equal(q.bad, 100);
    l.now_us += 600000;
    assert_int_equal(inject(&l, 8, 100, 0x666), MEDIA_RX_AUDIO);
    media_stream_quality(l.b, &q);
    assert_int_equal(q.remote_ssrc, 0x666);
    assert_int_equal(media_stream_receive(l.b, (const uint8_t *)"\x80", 1, l.now_us), MEDIA_RX_BAD);
    line_done(&l);
}

static void silence(void **state)
{
    (void)state;
    struct line l = line_of("PCMA", 8, 8000);
    uint8_t p[RTP_PACKET_MAX];
    int16_t pcm[CODEC_FRAME_MAX];
    struct rtp_packet packet;
    size_t len;
    uint16_t seq;
    uint32_t ts;
    memset(pcm, 0, sizeof(pcm));
    check_err(media_stream_frame(l.a, NULL, p, sizeof(p), &len), ERR_AGAIN);
    check_err(media_stream_frame(l.a, pcm, p, sizeof(p), &len), 0);
    assert_int_equal(rtp_parse(p, len, &packet), 0);
    assert_true(packet.marker);
    seq = packet.seq;
    ts = packet.ts;
    check_err(media_stream_frame(l.a, NULL, p, sizeof(p), &len),
              ERR_AGAIN); /* hold: time goes on, numbers do not */
    check_err(media_stream_frame(l.a, pcm, p, sizeof(p), &len), 0);
    assert_int_equal(rtp_parse(p, len, &packet), 0);
    assert_true(packet.marker);
    assert_int_equal(packet.seq, (uint16_t)(seq + 1));
    assert_int_equal(packet.ts, ts + 320);
    assert_false(media_stream_play(l.b, pcm));
    check_err(media_stream_frame(l.a, pcm, p, 100, &len), ERR_LIMIT);
    line_done(&l);
}

static void oom(void **state)
{
    (void)state;
    struct media_stream_args args = args_of("PCMA", 8);
    OOM_SWEEP(20, {
        struct media_stream *m = media_stream_new(&args, 8000, &rnd, 0);
        if (m != NULL)
            (void)!media_stream_change(m, &args);
        media_stream_free(m);
    });
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(clean, setup),     cmocka_unit_test_setup(lossy, setup),
        cmocka_unit_test_setup(reports, setup),   cmocka_unit_test_setup(digits, setup),
        cmocka_unit_test_setup(strangers, setup), cmocka_unit_test_setup(silence, setup),
        cmocka_unit_test_setup(oom, setup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* G.711, WAV, tones, codecs. */
#include "check.h"

#include "media/codec.h"
#include "media/g711.h"
#include "media/tone.h"
#include "media/wav.h"
#include "oom.h"
#include <stdlib.h>

static void g711(void **state)
{
    (void)state;
    /* ITU-T G.711 tables 1a, 2a: ends and middle of the scale, in 16 bits */
    assert_int_equal(g711_alaw_decode(0xaa), 32256);
    assert_int_equal(g711_alaw_decode(0x2a), -32256);
    assert_int_equal(g711_alaw_decode(0xd5), 8);
    assert_int_equal(g711_alaw_decode(0x55), -8);
    assert_int_equal(g711_ulaw_decode(0x80), 32124);
    assert_int_equal(g711_ulaw_decode(0x00), -32124);
    assert_int_equal(g711_ulaw_decode(0xff), 0);
    assert_int_equal(g711_ulaw_encode(0), 0xff);
    assert_int_equal(g711_alaw_encode(0), 0xd5);
    for (unsigned c = 0; c < 256;
         c++) { /* every code is the nearest to itself; mu-law has two zeros */
        assert_int_equal(g711_alaw_encode(g711_alaw_decode((uint8_t)c)), c);
        if (c != 0x7f)
            assert_int_equal(g711_ulaw_encode(g711_ulaw_decode((uint8_t)c)), c);
    }
    int worst_a = 0, worst_u = 0;
    for (int s = -32768; s < 32768; s++) {
        int a = abs(g711_alaw_decode(g711_alaw_encode((int16_t)s)) - s),
            u = abs(g711_ulaw_decode(g711_ulaw_encode((int16_t)s)) - s);
        worst_a = a > worst_a ? a : worst_a;
        worst_u = u > worst_u ? u : worst_u;
        assert_true(a <= 8 + abs(s) / 16 && u <= 4 + abs(s) / 16); /* half a step of 16 a segment */
    }
    assert_true(worst_a <= 512 && worst_u <= 644);
}

static void wav(void **state)
{
    (void)state;
    uint8_t file[WAV_HEADER_BYTES + 6];
    struct wav w;
    struct reason why = {0};
    wav_header_build(file, 8000, 3);
    memcpy(file + WAV_HEADER_BYTES, "\1\0\xff\x7f\0\x80", 6);
    struct str s = str_make((const char *)file, sizeof(file));
    assert_int_equal(wav_parse(s, &w, &why), 0);
    assert_int_equal(w.rate, 8000);
    assert_int_equal(w.n, 3);
    assert_int_equal(wav_sample(&w, 0), 1);
    assert_int_equal(wav_sample(&w, 1), 32767);
    assert_int_equal(wav_sample(&w, 2), -32768);
    s.n -= 2; /* shorter than it says: what there is */
    assert_int_equal(wav_parse(s, &w, &why), 0);
    assert_int_equal(w.n, 2);
    for (size_t n = 0; n < WAV_HEADER_BYTES; n++) {
        s.n = n;
        if (wav_parse(s, &w, &why) == 0)
            fail_msg("%zu bytes are a file", n);
    }
    s.n = sizeof(file);
    file[22] = 2; /* stereo */
    check_err(wav_parse(s, &w, &why), ERR_UNSUPPORTED);
    file[22] = 1;
    file[24] = 0x44; /* another rate */
    check_err(wav_parse(s, &w, &why), ERR_UNSUPPORTED);
    file[0] = 'r';
    check_err(wav_parse(s, &w, &why), ERR_SYNTAX);
    static const char with_list[] =
        "RIFF....WAVELIST\3\0\0\0abc\0fmt "
        "\20\0\0\0\1\0\1\0\x80\x3e\0\0\0\x7d\0\0\2\0\20\0data\2\0\0\0\7\0";
    assert_int_equal(wav_parse(str_make(with_list, sizeof(with_list) - 1), &w, &why), 0);
    assert_int_equal(w.rate, 16000);
    assert_int_equal(w.n, 1);
}

static bool heard(unsigned hz, unsigned meter_hz, unsigned rate, unsigned blocks, int16_t amplitude,
                  unsigned noise)
{
    struct tone t;
    struct tone_meter m;
    int16_t pcm[1600];
    unsigned x = 1;
    tone_init(&t, hz, rate, amplitude);
    tone_meter_init(&m, meter_hz, rate);
    for (unsigned i = 0; i < blocks; i++) {
        tone_fill(&t, pcm, rate / 10);
        for (unsigned k = 0; noise && k < rate / 10; k++) {
            x = x * 1103515245u + 12345u;
            pcm[k] = (int16_t)(pcm[k] + (int)(x >> 16) % (int)noise - (int)noise / 2);
        }
        for (unsigned k = 0; k < rate / 10; k++) /* through G.711, as it will come */
            pcm[k] = g711_ulaw_decode(g711_ulaw_encode(pcm[k]));
        tone_meter_feed(&m, pcm, rate / 10);
    }
    return tone_meter_is_heard(&m);
}

static void tones(void **state)
{
    (void)state;
    assert_true(heard(440, 440, 8000, 20, 8000, 0));
    assert_true(heard(440, 440, 16000, 20, 8000, 0));
    assert_true(heard(440, 440, 8000, 20, 8000, 4000));
    assert_true(heard(443, 440, 8000, 20, 8000, 0)); /* clocks differ */
    assert_false(heard(440, 880, 8000, 20, 8000, 0));
    assert_false(heard(480, 440, 8000, 20, 8000, 0));
    assert_false(heard(440, 440, 8000, 4, 8000, 0)); /* too short */
    assert_false(heard(440, 440, 8000, 20, 0, 0));   /* silence */
    assert_false(heard(440, 440, 8000, 20, 50, 0));  /* too quiet */
    assert_false(heard(440, 440, 8000, 20, 2000, 20000));
}

static void codecs(void **state)
{
    (void)state;
    const struct codec_info *info;
    for (size_t i = 0; (info = codec_at(i)) != NULL; i++) {
        struct codec *c = codec_new(info);
        struct tone t;
        struct tone_meter m;
        int16_t pcm[CODEC_FRAME_MAX], out[CODEC_DECODED_MAX];
        uint8_t bytes[CODEC_DECODED_MAX + 1];
        size_t n, len;
        assert_non_null(c);
        assert_ptr_equal(codec_find(str_z(info->name)), info);
        tone_init(&t, 440, info->rate, 8000);
        tone_meter_init(&m, 440, info->rate);
        for (int k = 0; k < 100; k++) {
            tone_fill(&t, pcm, info->rate / 50);
            check_err(codec_encode(c, pcm, bytes, sizeof(bytes), &len), 0);
            check_err(codec_decode(c, bytes, len, out, &n), 0);
            assert_int_equal(n, info->rate / 50);
            if (k > 10)
                tone_meter_feed(&m, out, n);
        }
        assert_true(tone_meter_is_heard(&m));
        codec_conceal(c, out, &n);
        assert_int_equal(n, info->rate / 50);
        for (int k = 0; k < 5; k++)
            codec_conceal(c, out, &n);
        check_err(codec_encode(c, pcm, bytes, 0, &len), ERR_LIMIT);
        check_err(codec_decode(c, bytes, 0, out, &n), ERR_SYNTAX);
        memset(bytes, 0xff, sizeof(bytes)); /* Opus: code 3 with an impossible count of frames */
        if (info->pt < 0)
            check_err(codec_decode(c, bytes, sizeof(bytes), out, &n), ERR_SYNTAX);
        else
            check_err(codec_decode(c, bytes, CODEC_DECODED_MAX + 1, out, &n), ERR_SYNTAX);
        codec_free(c);
    }
    assert_null(codec_find(STR("G729")));
    OOM_SWEEP(10, { codec_free(codec_new(codec_at(0))); });
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(g711), cmocka_unit_test(wav),
                                       cmocka_unit_test(tones), cmocka_unit_test(codecs)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

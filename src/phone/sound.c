/* Sources and sinks of sound (sound.h). One thread at a time. */
#include "phone/sound.h"
#include "base/mem.h"
#include "media/tone.h"
#include "media/wav.h"
#include <errno.h>
#include <stdio.h>

#define AMPLITUDE 10000
#define BLOCK_MS 100u /* of the tone meter */

struct sound {
    unsigned rate;
    bool has_tone, has_wav, has_meter;
    struct tone tone;
    struct wav wav;
    size_t at; /* next sample to be played, at our rate */
    FILE *record;
    size_t n_recorded;
    struct tone_meter meter;
};

int sound_new(const struct sound_config *cfg, unsigned rate, struct sound **ret, struct reason *why)
{
    struct sound *s = mem_zalloc(sizeof(*s));
    uint8_t header[WAV_HEADER_BYTES];
    *ret = NULL;
    if (s == NULL)
        return ERR_NOMEM;
    s->rate = rate;
    if (cfg->wav.n) {
        int err = wav_parse(cfg->wav, &s->wav, why);
        if (err) {
            mem_free(s);
            return err;
        }
        s->has_wav = true;
    } else if (cfg->tone_hz) {
        tone_init(&s->tone, cfg->tone_hz, rate, AMPLITUDE);
        s->has_tone = true;
    }
    if (cfg->expect_hz) {
        tone_meter_init(&s->meter, cfg->expect_hz, rate);
        s->has_meter = true;
    }
    if (cfg->record) {
        s->record = fopen(cfg->record, "wbe");
        wav_header_build(header, rate, 0);
        if (s->record == NULL || fwrite(header, 1, sizeof(header), s->record) != sizeof(header)) {
            reason_set(why, "record", NULL, 0, "%s: %s", cfg->record, strerror(errno));
            if (s->record)
                fclose(s->record);
            mem_free(s);
            return ERR_IO;
        }
    }
    *ret = s;
    return 0;
}

void sound_free(struct sound *s)
{
    uint8_t header[WAV_HEADER_BYTES];
    if (s == NULL)
        return;
    if (s->record) {
        wav_header_build(header, s->rate, s->n_recorded);
        rewind(s->record);
        (void)fwrite(header, 1, sizeof(header), s->record);
        fclose(s->record);
    }
    mem_free(s);
}

/* The sample for our i-th, whatever the file's rate: the same, every second one's mean, or each
 * twice. */
static int16_t wav_at(const struct sound *s, size_t i)
{
    const struct wav *w = &s->wav;
    if (w->rate == s->rate)
        return i < w->n ? wav_sample(w, i) : 0;
    if (w->rate < s->rate)
        return i / 2 < w->n ? wav_sample(w, i / 2) : 0;
    if (2 * i + 1 >= w->n)
        return 0;
    return (int16_t)((wav_sample(w, 2 * i) + wav_sample(w, 2 * i + 1)) / 2);
}

void sound_fill(struct sound *s, int16_t *pcm, size_t n)
{
    if (s->has_tone) {
        tone_fill(&s->tone, pcm, n);
        return;
    }
    for (size_t i = 0; i < n; i++)
        pcm[i] = s->has_wav ? wav_at(s, s->at++) : 0;
}

void sound_hear(struct sound *s, const int16_t *pcm, size_t n)
{
    if (s->has_meter)
        tone_meter_feed(&s->meter, pcm, n);
    for (size_t i = 0; s->record && i < n; i++) {
        uint8_t b[2] = {(uint8_t)pcm[i], (uint8_t)((uint16_t)pcm[i] >> 8)};
        if (fwrite(b, 1, 2, s->record) != 2)
            return; /* a full disk cuts the recording, not the call */
        s->n_recorded++;
    }
}

bool sound_is_heard(const struct sound *s, unsigned *ret_tonal_ms, unsigned *ret_loud_ms)
{
    *ret_tonal_ms = s->meter.tonal * BLOCK_MS;
    *ret_loud_ms = s->meter.loud * BLOCK_MS;
    return s->has_meter && tone_meter_is_heard(&s->meter);
}

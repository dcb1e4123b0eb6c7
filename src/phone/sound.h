/* What a phone plays and what becomes of what it hears: a tone or a WAV file out, a WAV file and a
 * tone meter in. Files are opened before the call, so that a missing one is noticed in time. Owned
 * by the media's thread. */
#ifndef PHONE_SOUND_H
#define PHONE_SOUND_H

#include "base/err.h"
#include "base/reason.h"
#include "base/str.h"

struct sound_config {
    unsigned tone_hz;   /* 0: none */
    struct str wav;     /* bytes of a file to be played once, then silence; empty: none */
    const char *record; /* file to be written; NULL: none */
    unsigned expect_hz; /* a tone that is to be heard; 0: none */
};

struct sound;
/* rate: 8000 or 16000. ERR_IO and the reason: the file cannot be written. */
MUST_USE int sound_new(const struct sound_config *cfg, unsigned rate, struct sound **ret,
                       struct reason *why);
void sound_free(struct sound *s);                         /* completes the file; NULL is fine */
void sound_fill(struct sound *s, int16_t *pcm, size_t n); /* what is to be sent next */
void sound_hear(struct sound *s, const int16_t *pcm, size_t n);
bool sound_is_heard(const struct sound *s, unsigned *ret_tonal_ms, unsigned *ret_loud_ms);

#endif

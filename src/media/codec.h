/* Audio codecs behind one interface: G.711 always, Opus (RFC 7587) where libopus was there when we
 * were built. A frame is 20 ms of one channel. An instance belongs to one thread. */
#ifndef MEDIA_CODEC_H
#define MEDIA_CODEC_H

#include "base/err.h"
#include "base/str.h"

#define CODEC_FRAME_MS 20u
#define CODEC_RATE_MAX 16000u
#define CODEC_FRAME_MAX (CODEC_RATE_MAX / 1000 * CODEC_FRAME_MS) /* samples */
#define CODEC_DECODED_MAX                                                                          \
    (CODEC_RATE_MAX / 1000 * 120) /* samples of the longest packet that is decoded */

struct codec_info {
    const char *name;  /* as in a=rtpmap */
    unsigned clock;    /* of RTP */
    unsigned channels; /* as a=rtpmap says them */
    unsigned rate;     /* samples a second on our side */
    int pt;            /* static payload type, -1: none */
    const char *fmtp;  /* NULL: none */
};
const struct codec_info *codec_at(size_t i); /* in the order we prefer; NULL behind the last */
const struct codec_info *codec_find(struct str name); /* any case; NULL */

struct codec;
MUST_USE struct codec *codec_new(const struct codec_info *info); /* NULL: no memory */
void codec_free(struct codec *c);                                /* NULL is fine */
const struct codec_info *codec_info_of(const struct codec *c);
/* One frame. ERR_LIMIT: cap. */
MUST_USE int codec_encode(struct codec *c, const int16_t *pcm, uint8_t *dst, size_t cap,
                          size_t *ret_len);
/* One packet, of any length up to 120 ms: at most CODEC_DECODED_MAX samples. ERR_SYNTAX: it cannot
 * be decoded. */
MUST_USE int codec_decode(struct codec *c, const uint8_t *payload, size_t n, int16_t *pcm,
                          size_t *ret_n);
/* A frame in place of a lost packet. */
void codec_conceal(struct codec *c, int16_t *pcm, size_t *ret_n);

#endif

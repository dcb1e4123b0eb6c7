/* Audio codecs (RFC 3551 4.5.14, RFC 7587). An instance belongs to one thread. */
#include "media/codec.h"
#include "base/mem.h"
#include "media/g711.h"
#ifdef SALLYPORT_OPUS
#include <opus/opus.h>
#endif

enum kind { PCMA, PCMU, OPUS };

static const struct codec_info infos[] = {
    [PCMA] = {"PCMA", 8000, 1, 8000, 8, NULL},
    [PCMU] = {"PCMU", 8000, 1, 8000, 0, NULL},
#ifdef SALLYPORT_OPUS
    [OPUS] = {"opus", 48000, 2, 16000, -1, "useinbandfec=1"},
#endif
};

/* G.711 concealment: the last frame again, quieter each time. */
#define FADES 3u

struct codec {
    const struct codec_info *info;
    int16_t last[CODEC_FRAME_MAX];
    size_t n_last;
    unsigned fades;
#ifdef SALLYPORT_OPUS
    OpusEncoder *encoder;
    OpusDecoder *decoder;
#endif
};

const struct codec_info *codec_at(size_t i)
{
    return i < ARRAY_LEN(infos) ? &infos[i] : NULL;
}

const struct codec_info *codec_find(struct str name)
{
    for (size_t i = 0; i < ARRAY_LEN(infos); i++) {
        if (str_eq_nocase(name, str_z(infos[i].name)))
            return &infos[i];
    }
    return NULL;
}

static enum kind kind_of(const struct codec *c)
{
    return (enum kind)(c->info - infos);
}

struct codec *codec_new(const struct codec_info *info)
{
    struct codec *c = mem_zalloc(sizeof(*c));
    if (c == NULL)
        return NULL;
    c->info = info;
#ifdef SALLYPORT_OPUS
    int err = OPUS_OK;
    if (kind_of(c) == OPUS) {
        c->encoder = opus_encoder_create((opus_int32)info->rate, 1, OPUS_APPLICATION_VOIP, &err);
        if (err == OPUS_OK)
            c->decoder = opus_decoder_create((opus_int32)info->rate, 1, &err);
        if (err != OPUS_OK) {
            codec_free(c);
            return NULL;
        }
    }
#endif
    return c;
}

void codec_free(struct codec *c)
{
    if (c == NULL)
        return;
#ifdef SALLYPORT_OPUS
    if (c->encoder)
        opus_encoder_destroy(c->encoder);
    if (c->decoder)
        opus_decoder_destroy(c->decoder);
#endif
    mem_free(c);
}

const struct codec_info *codec_info_of(const struct codec *c)
{
    return c->info;
}

static size_t frame_of(const struct codec *c)
{
    return c->info->rate / 1000 * CODEC_FRAME_MS;
}

int codec_encode(struct codec *c, const int16_t *pcm, uint8_t *dst, size_t cap, size_t *ret_len)
{
    size_t n = frame_of(c);
#ifdef SALLYPORT_OPUS
    if (kind_of(c) == OPUS) {
        opus_int32 len = opus_encode(c->encoder, pcm, (int)n, dst, (opus_int32)cap);
        if (len < 0)
            return ERR_LIMIT;
        *ret_len = (size_t)len;
        return 0;
    }
#endif
    if (cap < n)
        return ERR_LIMIT;
    for (size_t i = 0; i < n; i++)
        dst[i] = kind_of(c) == PCMA ? g711_alaw_encode(pcm[i]) : g711_ulaw_encode(pcm[i]);
    *ret_len = n;
    return 0;
}

int codec_decode(struct codec *c, const uint8_t *payload, size_t n, int16_t *pcm, size_t *ret_n)
{
    *ret_n = 0;
#ifdef SALLYPORT_OPUS
    if (kind_of(c) == OPUS) {
        int got = n > INT32_MAX ? -1
                                : opus_decode(c->decoder, payload, (opus_int32)n, pcm,
                                              (int)CODEC_DECODED_MAX, 0);
        if (n == 0 || got < 0)
            return ERR_SYNTAX;
        *ret_n = (size_t)got;
        return 0;
    }
#endif
    if (n == 0 || n > CODEC_DECODED_MAX)
        return ERR_SYNTAX;
    for (size_t i = 0; i < n; i++)
        pcm[i] = kind_of(c) == PCMA ? g711_alaw_decode(payload[i]) : g711_ulaw_decode(payload[i]);
    *ret_n = n;
    c->n_last = n < frame_of(c) ? n : frame_of(c);
    memcpy(c->last, pcm + n - c->n_last, c->n_last * sizeof(*pcm));
    c->fades = 0;
    return 0;
}

void codec_conceal(struct codec *c, int16_t *pcm, size_t *ret_n)
{
    size_t n = frame_of(c);
    *ret_n = n;
#ifdef SALLYPORT_OPUS
    if (kind_of(c) == OPUS) {
        int got = opus_decode(c->decoder, NULL, 0, pcm, (int)n, 0);
        if (got == (int)n)
            return;
    }
#endif
    memset(pcm, 0, n * sizeof(*pcm));
    if (++c->fades > FADES)
        return;
    for (size_t i = 0; i < n && i < c->n_last; i++)
        pcm[i] = (int16_t)(c->last[i] >> c->fades);
}

/* RIFF/WAVE with PCM. Pure; any thread. */
#include "media/wav.h"

static uint32_t get32(const uint8_t *p)
{
    return p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static unsigned get16(const uint8_t *p)
{
    return p[0] | (unsigned)p[1] << 8;
}

static void put32(uint8_t *p, uint32_t v)
{
    for (unsigned i = 0; i < 4; i++)
        p[i] = (uint8_t)(v >> (8 * i));
}

static void put16(uint8_t *p, unsigned v)
{
    p[0] = (uint8_t)v;
    p[1] = (uint8_t)(v >> 8);
}

static int no_wav(struct reason *why)
{
    reason_set(why, "wav-syntax", NULL, 0, "not a WAV file");
    return ERR_SYNTAX;
}

static int format(const uint8_t *p, size_t n, struct wav *ret, struct reason *why)
{
    unsigned code, channels, bits;
    if (n < 16)
        return no_wav(why);
    code = get16(p);
    channels = get16(p + 2);
    ret->rate = get32(p + 4);
    bits = get16(p + 14);
    if (code == 0xfffe && n >= 26) /* extensible: the code is in its sub-format */
        code = get16(p + 24);
    if (code != 1 || channels != 1 || bits != 16 || (ret->rate != 8000 && ret->rate != 16000)) {
        reason_set(why, "wav-format", NULL, 0,
                   "format %u, %u channels, %u bits, %u Hz; wanted is PCM (1), one channel, 16 "
                   "bits, 8000 or 16000 Hz",
                   code, channels, bits, ret->rate);
        return ERR_UNSUPPORTED;
    }
    return 0;
}

int wav_parse(struct str bytes, struct wav *ret, struct reason *why)
{
    const uint8_t *p = (const uint8_t *)bytes.p;
    size_t at = 12;
    *ret = (struct wav){0};
    if (bytes.n < 12 || memcmp(p, "RIFF", 4) != 0 || memcmp(p + 8, "WAVE", 4) != 0)
        return no_wav(why);
    while (bytes.n - at >= 8) {
        const uint8_t *chunk = p + at + 8;
        size_t left = bytes.n - at - 8, n = get32(p + at + 4);
        if (n > left)
            n = left;
        if (memcmp(p + at, "fmt ", 4) == 0) {
            int err = format(chunk, n, ret, why);
            if (err)
                return err;
        } else if (memcmp(p + at, "data", 4) == 0 && ret->rate) {
            ret->samples = chunk;
            ret->n = n / 2;
            return 0;
        }
        at += 8 + n + (n < left && n % 2); /* chunks are padded to even sizes */
    }
    return no_wav(why);
}

void wav_header_build(uint8_t dst[WAV_HEADER_BYTES], unsigned rate, size_t n_samples)
{
    size_t most = (UINT32_MAX - 36) / 2;
    uint32_t n = (uint32_t)(2 * (n_samples < most ? n_samples : most));
    memcpy(dst, "RIFF....WAVEfmt ", 16);
    put32(dst + 4, 36 + n);
    put32(dst + 16, 16);
    put16(dst + 20, 1);
    put16(dst + 22, 1);
    put32(dst + 24, rate);
    put32(dst + 28, rate * 2);
    put16(dst + 32, 2);
    put16(dst + 34, 16);
    memcpy(dst + 36, "data", 4);
    put32(dst + 40, n);
}

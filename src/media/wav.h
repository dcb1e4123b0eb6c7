/* WAV files with 16-bit linear samples, one channel, 8,000 or 16,000 a second: the header parsed
 * from a file's bytes and written in front of samples. Pure; files are the caller's. */
#ifndef MEDIA_WAV_H
#define MEDIA_WAV_H

#include "base/err.h"
#include "base/reason.h"
#include "base/str.h"

#define WAV_HEADER_BYTES 44u

struct wav {
    unsigned rate;
    const uint8_t *samples; /* little-endian, two bytes each */
    size_t n;               /* samples */
};
/* ERR_SYNTAX: no WAV file; ERR_UNSUPPORTED: another format, which `why` names. A data chunk that
 * says more than there is (a file that is still being written) is taken as far as it goes. */
MUST_USE int wav_parse(struct str bytes, struct wav *ret, struct reason *why);
static inline int16_t wav_sample(const struct wav *w, size_t i)
{
    return (int16_t)(uint16_t)(w->samples[2 * i] | w->samples[2 * i + 1] << 8);
}
void wav_header_build(uint8_t dst[WAV_HEADER_BYTES], unsigned rate, size_t n_samples);

#endif

/* G.711 by segment and mantissa; decoding by table. Both laws work on magnitudes: A-law on 13 bits
 * (12 and sign), mu-law on 14 (13 and sign) with a bias of 33. Pure; any thread. */
#include "media/g711.h"

/* Segment by segment: 16 values each, of one sign; the law's own bit inversions are applied below.
 */
static int16_t alaw_magnitude(unsigned code) /* 7 bits */
{
    unsigned segment = code >> 4, mantissa = code & 15;
    unsigned v = mantissa << 4 | 8;
    if (segment)
        v = (v + 0x100) << (segment - 1);
    return (int16_t)v;
}

int16_t g711_alaw_decode(uint8_t c)
{
    c ^= 0x55; /* even bits are inverted on the line */
    int16_t v = alaw_magnitude(c & 0x7f);
    return c & 0x80 ? v : (int16_t)-v;
}

int16_t g711_ulaw_decode(uint8_t c)
{
    c = (uint8_t)~c; /* all bits are inverted on the line */
    unsigned segment = (c >> 4) & 7, mantissa = c & 15;
    int v = (int)(((mantissa << 3) + 0x84) << segment) - 0x84;
    return (int16_t)(c & 0x80 ? -v : v);
}

/* Number of the highest bit of v above `low`, 0 if v has none there. */
static unsigned segment_of(unsigned v, unsigned low)
{
    unsigned segment = 0;
    while (segment < 7 && v >> (low + segment))
        segment++;
    return segment;
}

uint8_t g711_alaw_encode(int16_t s)
{
    unsigned sign = s >= 0 ? 0x80 : 0;
    /* one's complement for negative values, as the ITU's reference does: -1 is the smallest step
     * below zero */
    unsigned v = (unsigned)(s >= 0 ? s : ~s) >> 4; /* 11 bits of magnitude */
    unsigned segment = segment_of(v, 4);
    unsigned mantissa = segment > 1 ? (v >> (segment - 1)) & 15 : v & 15;
    return (uint8_t)((sign | segment << 4 | mantissa) ^ 0x55);
}

uint8_t g711_ulaw_encode(int16_t s)
{
    unsigned sign = s < 0 ? 0x80 : 0;
    unsigned v = (unsigned)(s < 0 ? ~s : s) >> 2; /* 13 bits of magnitude */
    v += 33;
    if (v > 0x1fff)
        v = 0x1fff;
    unsigned segment = segment_of(v, 6);
    unsigned mantissa = (v >> (segment + 1)) & 15;
    return (uint8_t) ~(sign | segment << 4 | mantissa);
}

/* Tones: a sine to play, and a detector that says how much of what was heard is one frequency
 * (Goertzel's algorithm), so that a test knows by content whether audio arrived. Owned by one
 * thread; integers and doubles, no state outside the structs. */
#ifndef MEDIA_TONE_H
#define MEDIA_TONE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct tone {
    double phase, step;
    int16_t amplitude;
};
void tone_init(struct tone *t, unsigned hz, unsigned rate, int16_t amplitude);
void tone_fill(struct tone *t, int16_t *dst, size_t n);

/* Looks at blocks of a tenth of a second. */
struct tone_meter {
    double coeff, s1, s2, energy;
    unsigned rate, block, n;
    unsigned blocks; /* complete ones */
    unsigned loud;   /* ... with any sound: above -50 dBov */
    unsigned tonal;  /* ... of which at least 60 % of the energy is the frequency */
};
void tone_meter_init(struct tone_meter *m, unsigned hz, unsigned rate);
void tone_meter_feed(struct tone_meter *m, const int16_t *src, size_t n);
/* At least half a second of it, and at least 80 % of everything that was not silence. */
bool tone_meter_is_heard(const struct tone_meter *m);

#endif

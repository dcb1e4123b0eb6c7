/* Sine and Goertzel. Any thread; state is the caller's. */
#include "media/tone.h"
#include <math.h>

#define BLOCKS_PER_SECOND 10u
#define SILENCE 103.0 /* rms of -50 dBov */
#define PURITY 0.6    /* lets the other side's clock be 3 Hz off in a block of 100 ms */

void tone_init(struct tone *t, unsigned hz, unsigned rate, int16_t amplitude)
{
    *t = (struct tone){.step = 2.0 * M_PI * hz / rate, .amplitude = amplitude};
}

void tone_fill(struct tone *t, int16_t *dst, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        dst[i] = (int16_t)lrint(t->amplitude * sin(t->phase));
        t->phase += t->step;
        if (t->phase > 2.0 * M_PI)
            t->phase -= 2.0 * M_PI;
    }
}

void tone_meter_init(struct tone_meter *m, unsigned hz, unsigned rate)
{
    *m = (struct tone_meter){.coeff = 2.0 * cos(2.0 * M_PI * hz / rate),
                             .rate = rate,
                             .block = rate / BLOCKS_PER_SECOND};
}

/* The power at the frequency, as if all of the block's energy could be there: for a pure tone it
 * equals the energy. */
static void block_end(struct tone_meter *m)
{
    double n = m->block, power = m->s1 * m->s1 + m->s2 * m->s2 - m->coeff * m->s1 * m->s2;
    m->blocks++;
    if (m->energy > SILENCE * SILENCE * n) {
        m->loud++;
        if (2.0 * power / n >= PURITY * m->energy)
            m->tonal++;
    }
    m->s1 = m->s2 = m->energy = 0;
    m->n = 0;
}

void tone_meter_feed(struct tone_meter *m, const int16_t *src, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        double x = src[i], s = x + m->coeff * m->s1 - m->s2;
        m->s2 = m->s1;
        m->s1 = s;
        m->energy += x * x;
        if (++m->n == m->block)
            block_end(m);
    }
}

bool tone_meter_is_heard(const struct tone_meter *m)
{
    return m->tonal >= BLOCKS_PER_SECOND / 2 && m->tonal * 5 >= m->loud * 4;
}

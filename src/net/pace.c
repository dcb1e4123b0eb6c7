/* The wait between the turns of a busy worker (pace.h). Pure. */
#include "net/pace.h"

#define WINDOW_US 5000u
#define ENOUGH 16u   /* messages a turn by which waking up costs little of the whole */
#define FEW 20000u   /* messages a second up to which a core sleeps between turns: twice as many a
                        turn. Where it hardly sleeps, larger turns push out of its cache what they use */
#define WORTH 3u     /* fewer than this in the longest wait are not worth one */
#define LEAST_US 30u /* shorter waits cost more than they save */

uint32_t pace_longest(uint32_t base_us, unsigned n)
{
    const uint64_t wait = (uint64_t)base_us * (n ? n : 1);

    if (wait <= PACE_LONGEST_US)
        return (uint32_t)wait;
    return base_us > PACE_LONGEST_US ? base_us : PACE_LONGEST_US;
}

/* How many messages a turn is to find. */
static uint32_t turn_size(uint32_t rate)
{
    if (rate <= FEW)
        return 2 * ENOUGH;
    return rate < 2 * FEW ? ENOUGH + (uint32_t)((uint64_t)ENOUGH * (2 * FEW - rate) / FEW) : ENOUGH;
}

uint32_t pace_next(struct pace *p, uint32_t max_us, uint64_t began_us, uint64_t now_us, uint32_t n)
{
    uint64_t wait, window = now_us - p->since_us;

    p->n += n;
    if (window >= WINDOW_US) {
        p->rate = (uint32_t)((uint64_t)p->n * 1000000 / window);
        p->n = 0;
        p->since_us = now_us;
    }
    if ((uint64_t)p->rate * max_us < (uint64_t)WORTH * 1000000)
        return 0;
    wait = (uint64_t)turn_size(p->rate) * 1000000 / p->rate;
    if (wait > max_us)
        wait = max_us;
    wait = began_us + wait > now_us ? began_us + wait - now_us : 0;
    return wait < LEAST_US ? 0 : (uint32_t)wait;
}

/* How long a worker that is busy, but not saturated, lets messages gather before it reads again.
 * Waking up costs more than working on what has come: at some thousand messages a second a thread
 * that wakes for each spends most of its time on that. So from a few thousand a second on, turns
 * begin a little apart, and each finds several messages. Whoever sends less waits for nothing, and
 * under full load there is nothing to wait for either. Pure: the caller has the clock. */
#ifndef NET_PACE_H
#define NET_PACE_H

#include <stdint.h>

#define PACE_LONGEST_US 4000u

/* The longest wait of each of n workers that share a load. What n of them find in a turn is to be
 * what one would have found: with the same wait each finds an n-th of it, and all of them together
 * wake up n times as often. At most PACE_LONGEST_US, or base_us if that is more. */
uint32_t pace_longest(uint32_t base_us, unsigned n);

struct pace {
    uint64_t since_us; /* the window under way */
    uint32_t n;        /* messages in it */
    uint32_t rate;     /* messages a second in the one before */
};

/* After a turn that began at began_us and read n messages: microseconds to wait before the next, at
 * most max_us. */
uint32_t pace_next(struct pace *p, uint32_t max_us, uint64_t began_us, uint64_t now_us, uint32_t n);

#endif

/* Two clocks in seconds. The wall's says what the world agrees on (certificates, signed times, rows
 * of the store) and may be set by hours at any moment. The steady one goes forward by a second each
 * second whatever is done to the wall's; it began at what that showed when this process first
 * asked, so that times of before a restart can be compared with it. Whatever lasts is measured by
 * the steady one. Any thread. */
#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H

#include <stdint.h>

uint64_t clock_wall_s(void);
uint64_t clock_steady_s(void);
uint64_t
clock_steady_us(uint64_t monotonic_us); /* the steady clock when CLOCK_MONOTONIC shows this */
uint64_t clock_wall_of(
    uint64_t steady_s); /* what the wall's clock, as it goes now, showed or will show then */

#endif

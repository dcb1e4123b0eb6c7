/* The clocks of clock.h. All workers have the same steady one: what lies between it and
 * CLOCK_MONOTONIC is settled once. */
#include "base/clock.h"
#include <pthread.h>
#include <time.h>

static pthread_once_t once = PTHREAD_ONCE_INIT;
static int64_t ahead_us; /* of CLOCK_MONOTONIC */

static uint64_t read_us(clockid_t clock)
{
    struct timespec t;

    (void)clock_gettime(clock, &t);
    return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

static void settle(void)
{
    ahead_us = (int64_t)(read_us(CLOCK_REALTIME) - read_us(CLOCK_MONOTONIC));
}

uint64_t clock_wall_s(void)
{
    return read_us(CLOCK_REALTIME) / 1000000;
}

uint64_t clock_steady_us(uint64_t monotonic_us)
{
    (void)pthread_once(&once, settle);
    return monotonic_us + (uint64_t)ahead_us;
}

uint64_t clock_steady_s(void)
{
    return clock_steady_us(read_us(CLOCK_MONOTONIC)) / 1000000;
}

uint64_t clock_wall_of(uint64_t steady_s)
{
    return steady_s + (clock_wall_s() - clock_steady_s());
}

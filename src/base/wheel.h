/* Timer wheel: O(1) start and cancel, one owner thread, millisecond ticks, driven by whoever owns the clock (the real
 * loop or the scenario player). Hierarchical; any delay will do. Timers never fire inside wheel_start: a delay of 0
 * fires with the next wheel_advance, or within the one under way at its next millisecond. */
#ifndef BASE_WHEEL_H
#define BASE_WHEEL_H

#include "base/list.h"
#include <stdint.h>

struct wheel;
struct wheel_timer;
typedef void (*wheel_fn)(struct wheel_timer *t);

/* Embedded in its owner (CONTAINER_OF finds it). May be freed or restarted inside its own callback. */
struct wheel_timer {
    struct list node;
    uint64_t due_ms; /* absolute, on the wheel's clock */
    wheel_fn fn;
};

MUST_USE struct wheel *wheel_new(uint64_t now_ms);
void wheel_free(struct wheel *w); /* NULL is fine; pending timers are unlinked, not called */
static inline void wheel_timer_init(struct wheel_timer *t, wheel_fn fn)
{
    list_init(&t->node);
    t->due_ms = 0;
    t->fn = fn;
}
void wheel_start(struct wheel *w, struct wheel_timer *t, uint64_t delay_ms); /* restarts if running */
void wheel_cancel(struct wheel *w, struct wheel_timer *t);                   /* harmless when not running */
static inline bool wheel_is_running(const struct wheel_timer *t)
{
    return !list_is_empty(&t->node);
}
/* Moves the clock to now_ms (never back) and calls every timer due by then, in order of due time (ties: start order).
 * Inside a callback the clock shows the millisecond that is being worked off, not yet now_ms. Does nothing when called
 * from a callback. */
void wheel_advance(struct wheel *w, uint64_t now_ms);
uint64_t wheel_now_ms(const struct wheel *w);
/* Milliseconds from the wheel's clock to the next timer due; UINT64_MAX if none. May be early, never late. */
uint64_t wheel_next_ms(const struct wheel *w);

#endif

/* Allocation failure on demand, for tests: "every allocation failing in turn". Compiled in only
 * with -DSALLYPORT_FAULTS (set by meson when tests are on and the build type is not release);
 * otherwise everything here is empty and costs nothing. The state belongs to the calling thread, so
 * other threads are not disturbed. tests/unit/oom.h has the loop that uses it. */
#ifndef BASE_FAULT_H
#define BASE_FAULT_H

#include <stdbool.h>
#include <stddef.h>

#ifdef SALLYPORT_FAULTS

struct fault {
    size_t n;     /* allocations counted since fault_arm */
    size_t at;    /* the one that fails; 0: none */
    bool is_last; /* not only that one, but also every later one */
    bool has_pieces; /* pieces of arenas count, too, not only the blocks that arenas are made of */
    bool has_fired;
};
extern _Thread_local struct fault fault_state;

/* The n-th allocation of this thread from now on fails (1: the next one). */
static inline void fault_arm(size_t n)
{
    fault_state = (struct fault){.at = n};
}
/* The n-th allocation and all after it fail, until disarmed. */
static inline void fault_arm_rest(size_t n)
{
    fault_state = (struct fault){.at = n, .is_last = true};
}
/* Back to normal. Was an allocation refused since fault_arm? */
static inline bool fault_disarm(void)
{
    bool has_fired = fault_state.has_fired;
    fault_state = (struct fault){.at = 0};
    return has_fired;
}
/* Called once for each allocation: must it fail? */
static inline bool fault_hit(void)
{
    if (fault_state.at == 0)
        return false;
    fault_state.n++;
    if (fault_state.n == fault_state.at ||
        (fault_state.is_last && fault_state.n > fault_state.at)) {
        fault_state.has_fired = true;
        return true;
    }
    return false;
}
static inline void fault_arm_pieces(size_t n)
{
    fault_state = (struct fault){.at = n, .has_pieces = true};
}
static inline bool fault_hit_piece(void)
{
    return fault_state.has_pieces && fault_hit();
}
static inline bool fault_is_built(void)
{
    return true;
}

#else

static inline void fault_arm(size_t n)
{
    (void)n;
}
static inline void fault_arm_rest(size_t n)
{
    (void)n;
}
static inline bool fault_disarm(void)
{
    return false;
}
static inline bool fault_hit(void)
{
    return false;
}
static inline void fault_arm_pieces(size_t n)
{
    (void)n;
}
static inline bool fault_hit_piece(void)
{
    return false;
}
static inline bool fault_is_built(void)
{
    return false;
}

#endif
#endif

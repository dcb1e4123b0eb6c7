/* Timer wheel (wheel.h). One thread.
 *
 * Eleven levels of 64 slots cover all of a 64-bit clock, 6 bits a level. A timer lies in the level
 * of the highest bit in which its due time differs from the clock, in the slot of its own 6 bits
 * there. So on every level only slots ahead of the clock's own are occupied; when the clock enters
 * a slot, its timers move to lower levels (each at most once a level, and most are cancelled
 * before), keeping their order, and those due go to `due`. A timer started later for the same
 * millisecond cannot overtake: as long as the earlier one lies in a higher slot, the later one is
 * put behind it there. A bit per slot finds the next occupied one without looking at the empty
 * ones. */
#include "base/wheel.h"
#include "base/mem.h"

#define WHEEL_BITS 6u
#define WHEEL_SLOTS 64u
#define WHEEL_LEVELS 11u

struct wheel {
    uint64_t now_ms;
    bool is_firing;
    struct list due;    /* due by now_ms, in order */
    struct list firing; /* being called */
    uint64_t occupied[WHEEL_LEVELS];
    struct list slots[WHEEL_LEVELS][WHEEL_SLOTS];
};

struct wheel *wheel_new(uint64_t now_ms)
{
    struct wheel *w = mem_alloc(sizeof(*w));
    if (!w)
        return NULL;
    w->now_ms = now_ms;
    w->is_firing = false;
    list_init(&w->due);
    list_init(&w->firing);
    for (unsigned level = 0; level < WHEEL_LEVELS; level++) {
        w->occupied[level] = 0;
        for (unsigned slot = 0; slot < WHEEL_SLOTS; slot++)
            list_init(&w->slots[level][slot]);
    }
    return w;
}

static void drop_all(struct list *head)
{
    while (!list_is_empty(head))
        list_remove(head->next);
}

void wheel_free(struct wheel *w)
{
    if (!w)
        return;
    drop_all(&w->due);
    drop_all(&w->firing);
    for (unsigned level = 0; level < WHEEL_LEVELS; level++) {
        for (unsigned slot = 0; slot < WHEEL_SLOTS; slot++)
            drop_all(&w->slots[level][slot]);
    }
    mem_free(w);
}

static unsigned slot_at(uint64_t ms, unsigned level)
{
    return (unsigned)(ms >> (level * WHEEL_BITS)) & (WHEEL_SLOTS - 1);
}

static void place(struct wheel *w, struct wheel_timer *t)
{
    if (t->due_ms <= w->now_ms) {
        list_append(&w->due, &t->node);
        return;
    }
    unsigned level = BIT_HIGHEST(t->due_ms ^ w->now_ms) / WHEEL_BITS,
             slot = slot_at(t->due_ms, level);
    list_append(&w->slots[level][slot], &t->node);
    w->occupied[level] |= (uint64_t)1 << slot;
}

/* The timer may have been the last of its slot: then both its neighbours are the slot's head, which
 * tells the slot. */
static void unplace(struct wheel *w, struct wheel_timer *t)
{
    struct list *head = t->node.next;
    bool was_last = head == t->node.prev;
    list_remove(&t->node);
    if (!was_last)
        return;
    uintptr_t at = (uintptr_t)head, from = (uintptr_t)&w->slots[0][0];
    if (at >= from && at < from + sizeof(w->slots)) {
        size_t i = (at - from) / sizeof(struct list);
        w->occupied[i / WHEEL_SLOTS] &= ~((uint64_t)1 << i % WHEEL_SLOTS);
    }
}

void wheel_start(struct wheel *w, struct wheel_timer *t, uint64_t delay_ms)
{
    if (wheel_is_running(t))
        unplace(w, t);
    t->due_ms = delay_ms > UINT64_MAX - w->now_ms ? UINT64_MAX : w->now_ms + delay_ms;
    place(w, t);
}

void wheel_cancel(struct wheel *w, struct wheel_timer *t)
{
    if (wheel_is_running(t))
        unplace(w, t);
}

/* Beginning of the first occupied slot ahead, UINT64_MAX if there is none. The lowest occupied
 * level has it: whatever lies higher is outside the stretch of time that level covers. */
static uint64_t next_slot_ms(const struct wheel *w)
{
    for (unsigned level = 0; level < WHEEL_LEVELS; level++) {
        if (!w->occupied[level])
            continue;
        unsigned shift = level * WHEEL_BITS;
        uint64_t slot = BIT_LOWEST(w->occupied[level]);
        uint64_t above =
            shift + WHEEL_BITS < 64 ? w->now_ms >> (shift + WHEEL_BITS) << (shift + WHEEL_BITS) : 0;
        return above | slot << shift;
    }
    return UINT64_MAX;
}

/* Moves the clock to a later time, at most the beginning of the next occupied slot, and empties the
 * slots entered. */
static void set_now(struct wheel *w, uint64_t now_ms)
{
    unsigned top = BIT_HIGHEST(w->now_ms ^ now_ms) / WHEEL_BITS;
    w->now_ms = now_ms;
    for (unsigned level = top + 1; level-- > 0;) {
        unsigned slot = slot_at(now_ms, level);
        uint64_t bit = (uint64_t)1 << slot;
        if (!(w->occupied[level] & bit))
            continue;
        w->occupied[level] &= ~bit;
        struct list *head = &w->slots[level][slot];
        while (!list_is_empty(head)) {
            struct wheel_timer *t = CONTAINER_OF(head->next, struct wheel_timer, node);
            list_remove(&t->node);
            place(w, t);
        }
    }
}

/* Calls what was due when we came here. What the callbacks start with no delay waits for the next
 * step, so that a timer which always restarts itself cannot hold up the loop. */
static void fire(struct wheel *w)
{
    if (list_is_empty(&w->due))
        return;
    w->firing = w->due;
    w->firing.next->prev = &w->firing;
    w->firing.prev->next = &w->firing;
    list_init(&w->due);
    while (!list_is_empty(&w->firing)) {
        struct wheel_timer *t = CONTAINER_OF(w->firing.next, struct wheel_timer, node);
        list_remove(&t->node);
        t->fn(t);
    }
}

void wheel_advance(struct wheel *w, uint64_t now_ms)
{
    if (w->is_firing) /* a callback may not move the clock under the timers behind it */
        return;
    w->is_firing = true;
    fire(w);
    while (w->now_ms < now_ms) {
        uint64_t next = list_is_empty(&w->due) ? next_slot_ms(w) : w->now_ms + 1;
        set_now(w, next < now_ms ? next : now_ms);
        fire(w);
    }
    w->is_firing = false;
}

uint64_t wheel_now_ms(const struct wheel *w)
{
    return w->now_ms;
}

uint64_t wheel_next_ms(const struct wheel *w)
{
    if (!list_is_empty(&w->due))
        return 0;
    uint64_t at = next_slot_ms(w);
    return at == UINT64_MAX ? UINT64_MAX : at - w->now_ms;
}

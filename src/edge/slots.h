/* A table of records that are named by number: a slot, which is used again, and a generation, by
 * which a name of a record that is gone names nobody. Both travel in tokens that others hold.
 * Owner: a worker; no locks. */
#ifndef EDGE_SLOTS_H
#define EDGE_SLOTS_H

#include "base/err.h"
#include "base/rand.h"

struct slots {
    void **v; /* NULL: free; cap of them */
    uint32_t *gens;
    uint32_t *free_list;
    uint32_t cap, n, n_free;
    uint32_t first, max; /* room at the beginning, and the most */
    uint32_t gen_mask;   /* bits of a generation that travel; 0 names nobody */
};
void slots_init(struct slots *s, uint32_t first, uint32_t max, uint32_t gen_mask);
void slots_done(struct slots *s); /* the records are their owners' */
/* Room for one more. ERR_LIMIT, ERR_NOMEM. */
MUST_USE int slots_room(struct slots *s, struct rand_source *rand);
/* There is room. */
void slots_put(struct slots *s, void *record, uint32_t *ret_slot, uint32_t *ret_gen);
void slots_remove(struct slots *s, uint32_t slot);
/* NULL: free, or no such slot. Whether it is of the right generation the record knows. */
static inline void *slots_get(const struct slots *s, uint32_t slot)
{
    return slot < s->cap ? s->v[slot] : NULL;
}

#endif

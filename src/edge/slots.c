/* Records by slot and generation (story in slots.h). Worker thread. */
#include "edge/slots.h"
#include "base/mem.h"

void slots_init(struct slots *s, uint32_t first, uint32_t max, uint32_t gen_mask)
{
    *s = (struct slots){.first = first, .max = max, .gen_mask = gen_mask};
}

void slots_done(struct slots *s)
{
    mem_free(s->v);
    mem_free(s->gens);
    mem_free(s->free_list);
    slots_init(s, s->first, s->max, s->gen_mask);
}

int slots_room(struct slots *s, struct rand_source *rand)
{
    uint32_t cap = s->cap ? s->cap * 2 : s->first, i;
    uint32_t *g, *f;
    void **v;

    if (s->n_free)
        return 0;
    if (cap > s->max)
        return ERR_LIMIT;
    if ((v = mem_realloc(s->v, cap * sizeof *v)) != NULL)
        s->v = v;
    if ((g = mem_realloc(s->gens, cap * sizeof *g)) != NULL)
        s->gens = g;
    if ((f = mem_realloc(s->free_list, cap * sizeof *f)) != NULL)
        s->free_list = f;
    if (!v || !g || !f)
        return ERR_NOMEM;
    for (i = cap; i > s->cap; i--) {
        s->v[i - 1] = NULL;
        s->gens[i - 1] = (uint32_t)rand_u64(rand); /* tokens of an earlier run name nobody */
        s->free_list[s->n_free++] = i - 1;
    }
    s->cap = cap;
    return 0;
}

void slots_put(struct slots *s, void *record, uint32_t *ret_slot, uint32_t *ret_gen)
{
    uint32_t slot = s->free_list[--s->n_free], gen = (s->gens[slot] + 1) & s->gen_mask;

    s->gens[slot] = gen ? gen : 1;
    s->v[slot] = record;
    s->n++;
    *ret_slot = slot;
    *ret_gen = s->gens[slot];
}

void slots_remove(struct slots *s, uint32_t slot)
{
    s->v[slot] = NULL;
    s->free_list[s->n_free++] = slot;
    s->n--;
}

/* Hash table (map.h), chained, growing a few slots at a time: moving a table of half a million
 * transactions at once would hold up a worker for tens of milliseconds. While it grows there are
 * two arrays; slots of the old one below `n_moved` are empty, the others still hold their nodes, so
 * a key has exactly one slot. One thread. */
#include "base/map.h"
#include "base/err.h"
#include "base/mem.h"

#define MAP_SLOTS_MIN 16u
#define MAP_MOVE_STEP                                                                              \
    4u /* slots moved for each node added; 1 would do to be ready before the next growth */

int map_init(struct map *m, size_t max)
{
    *m = (struct map){.max = max};
    m->slots = mem_zalloc_array(MAP_SLOTS_MIN, sizeof(struct map_node *));
    if (!m->slots)
        return ERR_NOMEM;
    m->n_slots = MAP_SLOTS_MIN;
    return 0;
}

void map_done(struct map *m)
{
    mem_free(m->slots);
    mem_free(m->old);
    *m = (struct map){.max = 0};
}

struct map_node **map_slot(const struct map *m, uint64_t hash)
{
    if (UNLIKELY(m->old != NULL)) {
        size_t i = (size_t)hash & (m->n_slots / 2 - 1);
        if (i >= m->n_moved)
            return &m->old[i];
    }
    return &m->slots[(size_t)hash & (m->n_slots - 1)];
}

static void move_some(struct map *m)
{
    size_t n_old = m->n_slots / 2;
    for (size_t i = 0; i < MAP_MOVE_STEP && m->n_moved < n_old; i++, m->n_moved++) {
        struct map_node *node = m->old[m->n_moved];
        while (node) {
            struct map_node *next = node->next,
                            **slot = &m->slots[(size_t)node->hash & (m->n_slots - 1)];
            node->next = *slot;
            *slot = node;
            node = next;
        }
    }
    if (m->n_moved == n_old) {
        mem_free(m->old);
        m->old = NULL;
    }
}

/* Without memory for more slots the chains get longer and the next node tries again: adding still
 * works. */
static void grow(struct map *m)
{
    struct map_node **wider = mem_zalloc_array(m->n_slots * 2, sizeof(*wider));
    if (!wider)
        return;
    m->old = m->slots;
    m->n_moved = 0;
    m->slots = wider;
    m->n_slots *= 2;
}

static struct map_node *chain_find(struct map_node *node, uint64_t hash, struct str key)
{
    while (node && !(node->hash == hash && str_eq(node->key, key)))
        node = node->next;
    return node;
}

int map_add(struct map *m, struct map_node *node, struct str key)
{
    uint64_t hash = str_hash(key);
    if (chain_find(*map_slot(m, hash), hash, key))
        return ERR_EXISTS;
    if (m->n >= m->max)
        return ERR_LIMIT;
    if (m->old)
        move_some(m);
    else if (m->n >= m->n_slots)
        grow(m);
    struct map_node **slot = map_slot(m, hash);
    node->hash = hash;
    node->key = key;
    node->next = *slot;
    *slot = node;
    m->n++;
    return 0;
}

struct map_node *map_find_hashed(const struct map *m, struct str key, uint64_t hash)
{
    return chain_find(*map_slot(m, hash), hash, key);
}

struct map_node *map_find(const struct map *m, struct str key)
{
    return map_find_hashed(m, key, str_hash(key));
}

void map_remove(struct map *m, struct map_node *node)
{
    struct map_node **at = map_slot(m, node->hash);
    while (*at && *at != node)
        at = &(*at)->next;
    if (*at) {
        *at = node->next;
        node->next = NULL;
        m->n--;
    }
}

static bool slots_each(struct map_node **slots, size_t n, bool (*fn)(struct map_node *, void *),
                       void *arg)
{
    for (size_t i = 0; i < n; i++) {
        for (struct map_node *node = slots[i], *next; node; node = next) {
            next = node->next;
            if (!fn(node, arg))
                return false;
        }
    }
    return true;
}

void map_each(struct map *m, bool (*fn)(struct map_node *node, void *arg), void *arg)
{
    if (m->old && !slots_each(m->old + m->n_moved, m->n_slots / 2 - m->n_moved, fn, arg))
        return;
    slots_each(m->slots, m->n_slots, fn, arg);
}

/* Intrusive hash table keyed by text, with a maximum that cannot be left out. Owned by one thread.
 * A struct that is to be found embeds a map_node; the key's bytes belong to that struct and must not change. */
#ifndef BASE_MAP_H
#define BASE_MAP_H

#include "base/str.h"

struct map_node {
    struct map_node *next;
    uint64_t hash;
    struct str key;
};

struct map {
    struct map_node **slots;
    size_t n_slots; /* power of two */
    size_t n;
    size_t max;
    struct map_node **old; /* while growing: the half-sized array, emptied from its beginning */
    size_t n_moved;        /* slots of it already emptied */
};

MUST_USE int map_init(struct map *m, size_t max); /* ERR_NOMEM */
void map_done(struct map *m);                     /* frees the slots, not the nodes */
/* Grows as needed, a few slots at a time; without memory to grow it gets slower, not full. ERR_LIMIT at the maximum,
 * ERR_EXISTS if the key is there. */
MUST_USE int map_add(struct map *m, struct map_node *node, struct str key);
struct map_node *map_find(const struct map *m, struct str key); /* NULL if absent */
/* The same where str_hash(key) is known already. */
struct map_node *map_find_hashed(const struct map *m, struct str key, uint64_t hash);
struct map_node **map_slot(const struct map *m, uint64_t hash); /* where such a key is, or would be: to ask memory ahead */
void map_remove(struct map *m, struct map_node *node);         /* the node must be in the map */
/* Visits each node once; the callback may remove the node it is given, but no other, and add none. Stops when it returns
 * false. */
void map_each(struct map *m, bool (*fn)(struct map_node *node, void *arg), void *arg);

#endif

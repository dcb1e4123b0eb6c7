/* The guessers' table (guard.h): set-associative, no allocation after the start, the oldest entry of a set makes room. */
#include "edge/admit/guard.h"
#include "base/mem.h"

#define GUARD_SETS 4096u
#define GUARD_WAYS 4u
#define GUARD_FORGET_S 900u  /* without a failure for so long: forgotten */
#define GUARD_WAIT_MAX_S 300u
#define GUARD_SOURCE_FACTOR 10u /* a source may fail so many times more than one of its pairs */

struct guess {
    uint64_t key; /* 0: free */
    uint32_t fails;
    uint64_t last_s, until_s;
};

struct edge_guard {
    unsigned limit;
    uint64_t used[GUARD_SETS / 64]; /* a bit for each set that something was put into: nearly all are empty, and need no look */
    struct guess v[GUARD_SETS][GUARD_WAYS];
};

struct edge_guard *guard_new(unsigned limit)
{
    struct edge_guard *g = mem_zalloc(sizeof *g);

    if (g)
        g->limit = limit ? limit : 5;
    return g;
}

void guard_free(struct edge_guard *g)
{
    mem_free(g);
}

/* A source is an IPv4 address or an IPv6 /64: that much one party has for itself. */
static uint64_t source_key(const struct addr *a)
{
    struct str bytes = addr_is_v6(a) ? str_make((const char *)&a->v6.sin6_addr, 8)
                                     : str_make((const char *)&a->v4.sin_addr, 4);

    return str_hash(bytes) | 1;
}

static uint64_t pair_key(const struct addr *a, struct str user)
{
    return (source_key(a) * 0x9e3779b97f4a7c15u ^ str_hash_nocase(user)) | 1;
}

static struct guess *find(struct edge_guard *g, uint64_t key, bool make, uint64_t now_s)
{
    size_t at = (key >> 8) % GUARD_SETS;
    struct guess *set = g->v[at], *old = &set[0];
    uint64_t bit = UINT64_C(1) << at % 64;
    unsigned i;

    if (!make && !(g->used[at / 64] & bit))
        return NULL;
    for (i = 0; i < GUARD_WAYS; i++) {
        if (set[i].key == key) {
            if (make && now_s > set[i].last_s + GUARD_FORGET_S)
                set[i] = (struct guess){.key = key};
            return &set[i];
        }
        if (set[i].key == 0 || (old->key != 0 && set[i].last_s < old->last_s))
            old = &set[i];
    }
    if (!make)
        return NULL;
    *old = (struct guess){.key = key};
    g->used[at / 64] |= bit;
    return old;
}

static unsigned wait_of(struct edge_guard *g, uint64_t key, uint64_t now_s)
{
    const struct guess *e = find(g, key, false, now_s);

    return e && e->until_s > now_s ? (unsigned)(e->until_s - now_s) : 0;
}

unsigned guard_wait_s(struct edge_guard *g, const struct addr *source, struct str user, uint64_t now_s)
{
    unsigned a = wait_of(g, pair_key(source, user), now_s), b = wait_of(g, source_key(source), now_s);

    return a > b ? a : b;
}

static void failed(struct edge_guard *g, uint64_t key, unsigned limit, uint64_t now_s)
{
    struct guess *e = find(g, key, true, now_s);
    unsigned over;

    e->last_s = now_s;
    e->fails++;
    if (e->fails < limit)
        return;
    over = e->fails - limit;
    e->until_s = now_s + (over >= 8 ? GUARD_WAIT_MAX_S : 2u << over);
}

void guard_failed(struct edge_guard *g, const struct addr *source, struct str user, uint64_t now_s)
{
    failed(g, pair_key(source, user), g->limit, now_s);
    failed(g, source_key(source), g->limit * GUARD_SOURCE_FACTOR, now_s);
}

void guard_succeeded(struct edge_guard *g, const struct addr *source, struct str user)
{
    struct guess *e = find(g, pair_key(source, user), false, 0);

    if (e)
        *e = (struct guess){0};
}

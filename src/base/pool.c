/* Memory blocks by size class in bounded free lists of the calling thread (base_priv.h), behind buf
 * and arena: the hot path reuses a block that is still in its cache instead of calling malloc. */
#include "base/base_priv.h"
#include "base/buf.h"
#include "base/limits.h"
#include "base/mem.h"

/* Payloads are round numbers; each block has room for its owner's header behind that. `keep` bounds
 * what an idle thread holds on to: below 5 MB when every list is full. */
#define POOL_HEADER 128
static const struct pool_class {
    uint32_t payload;
    uint32_t keep;
} pool_classes[] = {{256, 512},  {512, 512},  {768, 256},   {1024, 256},  {1536, 256},
                    {2048, 256}, {4096, 128}, {8192, 64},   {16384, 64}, {65536, 24}};

struct pool_free {
    struct pool_free *next;
};
static _Thread_local struct pool_list {
    struct pool_free *first;
    uint32_t n;
} pool_lists[ARRAY_LEN(pool_classes)];

static _Thread_local size_t pool_used; /* bytes of malloc's that are in blocks; without those that other threads freed */

#ifdef ASAN_ENABLED
static bool pool_is_enabled = false;
#else
static bool pool_is_enabled = true;
#endif

void pool_set_enabled(bool is_enabled)
{
    pool_is_enabled = is_enabled;
}

void *pool_get(size_t n, size_t *ret_cap, uint32_t *ret_class)
{
    uint32_t klass = 0;
    while (klass < ARRAY_LEN(pool_classes) && n > pool_classes[klass].payload + (size_t)POOL_HEADER)
        klass++;
    if (klass == ARRAY_LEN(pool_classes) || !pool_is_enabled) {
        *ret_cap = n;
        *ret_class = POOL_NONE;
        return mem_alloc(n);
    }
    *ret_cap = pool_classes[klass].payload + (size_t)POOL_HEADER;
    *ret_class = klass;
    struct pool_list *list = &pool_lists[klass];
    if (!list->first) {
        pool_used += *ret_cap;
        mem_thread_used(pool_used);
        return mem_alloc(*ret_cap);
    }
    if (UNLIKELY(fault_hit())) /* a block from the list counts as an allocation, so that tests see
                                  the same each time */
        return NULL;
    struct pool_free *block = list->first;
    list->first = block->next;
    list->n--;
    return block;
}

void pool_put(void *p, uint32_t klass)
{
    if (klass == POOL_NONE || pool_lists[klass].n >= pool_classes[klass].keep) {
        size_t n = klass == POOL_NONE ? 0 : pool_classes[klass].payload + (size_t)POOL_HEADER;

        pool_used -= n < pool_used ? n : pool_used;
        mem_free(p);
        return;
    }
    struct pool_free *block = p;
    block->next = pool_lists[klass].first;
    pool_lists[klass].first = block;
    pool_lists[klass].n++;
}

void buf_pool_done(void)
{
    for (size_t i = 0; i < ARRAY_LEN(pool_classes); i++) {
        struct pool_list *list = &pool_lists[i];
        while (list->first) {
            struct pool_free *block = list->first;
            list->first = block->next;
            mem_free(block);
        }
        list->n = 0;
    }
}

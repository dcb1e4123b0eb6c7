/* Arena (arena.h): a bump pointer through the embedded first chunk and then through doubled further
 * ones. The sum of all chunks, not just of what was handed out, stays within the cap. In ASan
 * builds what is not handed out is poisoned. One thread at a time. */
#include "base/arena.h"
#include "base/base_priv.h"
#include "base/fault.h"
#include <stdarg.h>
#include <stdio.h>

#define ARENA_ALIGN 16u /* malloc's own on our platforms: alignof(max_align_t) */
_Static_assert(_Alignof(max_align_t) <= ARENA_ALIGN, "arena blocks must suit any type");

struct arena_chunk {
    struct arena_chunk *next;
    size_t n;
    uint32_t klass;
    _Alignas(ARENA_ALIGN) char mem[];
};

struct arena {
    char *at, *end;           /* what is left of the current chunk */
    struct arena_chunk *more; /* newest first */
    size_t used;              /* bytes handed out of earlier chunks */
    char *from;               /* where the current chunk begins */
    size_t cap;               /* most bytes in all chunks together */
    size_t total;             /* bytes in all chunks */
    size_t first;             /* bytes in the first one */
    size_t last;              /* bytes in the newest one */
    uint32_t klass;
    _Alignas(ARENA_ALIGN) char mem[];
};

static void chunk_begin(struct arena *a, char *mem, size_t n)
{
    a->from = a->at = mem;
    a->end = mem + n;
    a->last = n;
    MEM_POISON(mem, n);
}

struct arena *arena_new(size_t first, size_t cap)
{
    size_t block = 0;
    uint32_t klass = POOL_NONE;
    if (first > cap)
        first = cap;
    if (first > SIZE_MAX - sizeof(struct arena))
        return NULL;
    struct arena *a = pool_get(sizeof(*a) + first, &block, &klass);
    if (!a)
        return NULL;
    *a = (struct arena){.cap = cap, .klass = klass};
    a->first = block - sizeof(*a) < cap ? block - sizeof(*a) : cap;
    a->total = a->first;
    chunk_begin(a, a->mem, a->first);
    return a;
}

static void chunks_free(struct arena *a)
{
    while (a->more) {
        struct arena_chunk *c = a->more;
        a->more = c->next;
        MEM_UNPOISON(c->mem, c->n);
        pool_put(c, c->klass);
    }
}

void arena_free(struct arena *a)
{
    if (!a)
        return;
    chunks_free(a);
    MEM_UNPOISON(a->mem, a->first);
    pool_put(a, a->klass);
}

void arena_reset(struct arena *a)
{
    chunks_free(a);
    a->used = 0;
    a->total = a->first;
    chunk_begin(a, a->mem, a->first);
}

/* A further chunk with room for n bytes: twice the last one, as far as the cap allows. */
static bool chunk_add(struct arena *a, size_t n)
{
    size_t left = a->cap - a->total, want = a->last * 2, block = 0;
    uint32_t klass = POOL_NONE;
    if (n > left)
        return false;
    if (want < n)
        want = n;
    if (want > left)
        want = left;
    if (want > SIZE_MAX - sizeof(struct arena_chunk))
        return false;
    struct arena_chunk *c = pool_get(sizeof(*c) + want, &block, &klass);
    if (!c)
        return false;
    a->used += (size_t)(a->at - a->from);
    c->next = a->more;
    c->klass = klass;
    a->more = c;
    size_t real = block - sizeof(*c) < left ? block - sizeof(*c) : left;
    a->total += real;
    c->n = real;
    chunk_begin(a, c->mem, real);
    return true;
}

static inline void *bump(struct arena *a, size_t n, size_t align)
{
    if (UNLIKELY(fault_hit_piece()))
        return NULL;
    size_t pad = (size_t)(-(uintptr_t)a->at & (align - 1));
#ifdef ASAN_ENABLED
    if (a->at != a->from && align > 1)
        pad += ARENA_ALIGN; /* a poisoned gap, so that running over the end of one object is seen */
#endif
    size_t room = (size_t)(a->end - a->at);
    if (UNLIKELY(room < pad || room - pad < n)) {
        if (!chunk_add(a, n))
            return NULL;
        pad = 0;
    }
    char *p = a->at + pad;
    a->at = p + n;
    MEM_UNPOISON(p, n);
    return p;
}

void *arena_alloc(struct arena *a, size_t n)
{
    return bump(a, n ? n : 1, ARENA_ALIGN);
}

void *arena_zalloc(struct arena *a, size_t n)
{
    void *p = arena_alloc(a, n);
    return p ? memset(p, 0, n) : NULL;
}

struct str arena_str(struct arena *a, struct str s)
{
    char *p = s.n == SIZE_MAX ? NULL : bump(a, s.n + 1, 1);
    if (!p)
        return STR_NULL;
    if (s.n)
        memcpy(p, s.p, s.n);
    p[s.n] = '\0';
    return (struct str){p, s.n};
}

struct str arena_fmt(struct arena *a, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    int len = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    char *p = len < 0 ? NULL : bump(a, (size_t)len + 1, 1);
    if (!p)
        return STR_NULL;
    va_start(ap, fmt);
    vsnprintf(p, (size_t)len + 1, fmt, ap);
    va_end(ap);
    return (struct str){p, (size_t)len};
}

size_t arena_used(const struct arena *a)
{
    return a->used + (size_t)(a->at - a->from);
}

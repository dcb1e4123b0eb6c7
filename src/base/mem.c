/* See mem.h. */
#include "base/mem.h"
#include <sys/mman.h>

#define PIECE 120000u /* below what malloc maps for itself (M_MMAP_THRESHOLD) */
#define AHEAD (1u << 20)
#define PAGE 4096u
#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23 /* Linux 5.14; others refuse it, and nothing is lost */
#endif

static _Thread_local bool has_reserved;
static _Thread_local size_t most; /* that was in use, and AHEAD of it */

/* Takes pieces until there are n bytes of them, and gives all back to malloc, which keeps them. */
static void take(size_t n, bool with_pages)
{
    void **last = NULL;

#ifdef SALLYPORT_SANITIZED
    n = 0; /* another malloc, which keeps what is freed for a while */
#endif
    for (size_t got = 0; got < n; got += PIECE) {
        char *p = mem_alloc(PIECE);
        void **link = (void **)(void *)p;

        if (!p)
            break;
        if (with_pages) {
            size_t skip = (PAGE - (uintptr_t)p % PAGE) % PAGE;

            (void)madvise(p + skip, (PIECE - skip) / PAGE * PAGE, MADV_POPULATE_WRITE);
        }
        *link = last;
        last = link;
    }
    while (last) {
        void **p = last;

        last = *p;
        mem_free(p);
    }
}

void mem_thread_reserve(size_t n)
{
    has_reserved = true;
    take(n, false);
}

void mem_thread_used(size_t n)
{
    if (LIKELY(n + AHEAD / 2 <= most) || !has_reserved)
        return;
    most = n + AHEAD;
    take(AHEAD, true);
}

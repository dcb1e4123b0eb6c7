/* See mem.h. */
#include "base/mem.h"

#define PIECE 120000u /* below what malloc maps for itself (M_MMAP_THRESHOLD) */

void mem_thread_reserve(size_t n)
{
    void **last = NULL;

#ifdef SALLYPORT_SANITIZED
    n = 0; /* another malloc, which keeps what is freed for a while */
#endif
    for (size_t got = 0; got < n; got += PIECE) {
        void **p = mem_alloc(PIECE);

        if (!p)
            break;
        *p = last;
        last = p;
    }
    while (last) {
        void **p = last;

        last = *p;
        mem_free(p);
    }
}

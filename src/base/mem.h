/* Where memory comes from: thin wrappers over malloc, so that tests can make any allocation fail
 * (base/fault.h). Every room allocates through these. All return NULL when there is no memory; 0
 * bytes give a valid pointer. */
#ifndef BASE_MEM_H
#define BASE_MEM_H

#include "base/attr.h"
#include "base/fault.h"
#include <stdint.h>
#include <stdlib.h>

MUST_USE static inline void *mem_alloc(size_t n)
{
    return UNLIKELY(fault_hit()) ? NULL : malloc(n ? n : 1);
}
MUST_USE static inline void *mem_zalloc(size_t n)
{
    return UNLIKELY(fault_hit()) ? NULL : calloc(1, n ? n : 1);
}
/* n zeroed objects of `size` bytes; NULL also if the product overflows. */
MUST_USE static inline void *mem_zalloc_array(size_t n, size_t size)
{
    if (UNLIKELY(fault_hit()) || (size != 0 && n > SIZE_MAX / size))
        return NULL;
    return calloc(n ? n : 1, size ? size : 1);
}
/* For what must not share a cache line; n is a multiple of `align`, a power of two. */
MUST_USE static inline void *mem_alloc_aligned(size_t align, size_t n)
{
    return UNLIKELY(fault_hit()) ? NULL : aligned_alloc(align, n);
}
/* p may be NULL. On failure p stays valid and unchanged. */
MUST_USE static inline void *mem_realloc(void *p, size_t n)
{
    return UNLIKELY(fault_hit()) ? NULL : realloc(p, n ? n : 1);
}
/* Takes so much from the system for the calling thread, without using it yet: the C library would grow its heap page by page, with a
 * system call for each. A hint; works once it has been told to keep what is free (M_TRIM_THRESHOLD). */
void mem_thread_reserve(size_t n);
/* The thread uses so much of it now. Each time that is a MiB more than ever before, the next MiB is taken from the system and given its
 * pages in a few calls, instead of a call and a fault a page while messages wait. Does nothing for threads that have not reserved. */
void mem_thread_used(size_t n);
static inline void mem_free(void *p) /* NULL is fine */
{
    free(p);
}

#endif

/* Counts work for test_cost.c: each basic block of the room's code that runs (the compiler calls
 * __sanitizer_cov_trace_pc), and each byte that the scanning functions it calls were given (the
 * linker sends them here by --wrap). Not instrumented itself. */
#include "cost_count.h"
#include "base/str.h"
#include <string.h>

uint64_t cost_blocks, cost_bytes;

void __sanitizer_cov_trace_pc(void)
{
    cost_blocks++;
}

void *__wrap_memchr(const void *p, int c, size_t n)
{
    const void *at = __real_memchr(p, c, n);
    cost_bytes += at ? (size_t)((const char *)at - (const char *)p) : n;
    return __real_memchr(p, c, n);
}

void *__wrap_memmem(const void *p, size_t n, const void *q, size_t k)
{
    void *at = __real_memmem(p, n, q, k);
    cost_bytes += at ? (size_t)((const char *)at - (const char *)p) : n;
    return at;
}

bool __wrap_str_eq_nocase(struct str a, struct str b)
{
    cost_bytes += a.n == b.n ? a.n : 0;
    return __real_str_eq_nocase(a, b);
}

struct str __wrap_str_trim(struct str s)
{
    struct str t = __real_str_trim(s);
    cost_bytes += s.n - t.n;
    return t;
}

size_t __wrap_str_find_char(struct str s, char c)
{
    size_t i = __real_str_find_char(s, c);
    cost_bytes += i;
    return i;
}

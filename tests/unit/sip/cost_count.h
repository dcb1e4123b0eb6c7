/* Counters of cost_count.c. */
#ifndef TESTS_UNIT_SIP_COST_COUNT_H
#define TESTS_UNIT_SIP_COST_COUNT_H

#include "base/str.h"

extern uint64_t cost_blocks, cost_bytes;

void __sanitizer_cov_trace_pc(void);
void *__real_memchr(const void *p, int c, size_t n);
void *__wrap_memchr(const void *p, int c, size_t n);
void *__real_memmem(const void *p, size_t n, const void *q, size_t k);
void *__wrap_memmem(const void *p, size_t n, const void *q, size_t k);
bool __real_str_eq_nocase(struct str a, struct str b);
bool __wrap_str_eq_nocase(struct str a, struct str b);
struct str __real_str_trim(struct str s);
struct str __wrap_str_trim(struct str s);
size_t __real_str_find_char(struct str s, char c);
size_t __wrap_str_find_char(struct str s, char c);

#endif

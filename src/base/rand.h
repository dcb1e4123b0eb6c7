/* Random source, replaceable so that scenarios and tests are repeatable. A source belongs to one thread. */
#ifndef BASE_RAND_H
#define BASE_RAND_H

#include "base/attr.h"
#include <stddef.h>
#include <stdint.h>

struct rand_source {
    /* Fills n bytes; never fails (the system source aborts the process if the kernel has none). */
    void (*fill)(struct rand_source *self, void *dst, size_t n);
    uint64_t state;            /* of the repeatable source */
    uint64_t generation;       /* changes in a child process: what was buffered before is dropped */
    size_t n_left;             /* unused bytes at the end of buf */
    unsigned char buf[256];    /* handed-out bytes are wiped at once */
};

void rand_system_init(struct rand_source *r);               /* OpenSSL's generator, buffered per source */
void rand_fixed_init(struct rand_source *r, uint64_t seed); /* repeatable; tests and scenarios only */
static inline void rand_fill(struct rand_source *r, void *dst, size_t n)
{
    r->fill(r, dst, n);
}
uint64_t rand_u64(struct rand_source *r);
/* Lower-case letters and digits, not terminated: ids, tags, branches. */
void rand_token(struct rand_source *r, char *dst, size_t n);

#endif

/* Reference-counted byte buffers for whole messages. A buffer belongs to one thread at a time: references are not
 * atomic. A buffer that is handed to another worker is handed over with its only reference (buf_is_sole) or copied.
 * Small buffers come from a per-thread free list, so that the hot path does not call malloc. */
#ifndef BASE_BUF_H
#define BASE_BUF_H

#include "base/str.h"

struct buf {
    uint32_t refs;
    uint32_t n;   /* bytes in use */
    uint32_t cap; /* bytes available */
    uint32_t klass;
    char p[];
};

/* A buffer with room for at least cap bytes and one reference; cap above LIMIT_BUF_BYTES or no memory: NULL. */
MUST_USE struct buf *buf_new(size_t cap);
MUST_USE struct buf *buf_copy(struct str s);
static inline struct buf *buf_ref(struct buf *b)
{
    b->refs++;
    return b;
}
void buf_unref(struct buf *b); /* NULL is fine */
static inline bool buf_is_sole(const struct buf *b)
{
    return b->refs == 1;
}
static inline struct str buf_str(const struct buf *b)
{
    return (struct str){b->p, b->n};
}
/* Gives the calling thread's free lists (arena.h's too) back to the system: at thread end, and in tests. */
void buf_pool_done(void);

#endif

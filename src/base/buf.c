/* Message buffers (buf.h) over the per-thread block pool. A buffer belongs to one thread at a time.
 */
#include "base/buf.h"
#include "base/base_priv.h"
#include "base/limits.h"

struct buf *buf_new(size_t cap)
{
    size_t block = 0;
    uint32_t klass = POOL_NONE;
    if (cap > LIMIT_BUF_BYTES)
        return NULL;
    struct buf *b = pool_get(sizeof(*b) + cap, &block, &klass);
    if (!b)
        return NULL;
    b->refs = 1;
    b->n = 0;
    b->cap = (uint32_t)(block - sizeof(*b));
    b->klass = klass;
    return b;
}

struct buf *buf_copy(struct str s)
{
    struct buf *b = buf_new(s.n);
    if (b && s.n) {
        memcpy(b->p, s.p, s.n);
        b->n = (uint32_t)s.n;
    }
    return b;
}

void buf_unref(struct buf *b)
{
    if (b && --b->refs == 0)
        pool_put(b, b->klass);
}

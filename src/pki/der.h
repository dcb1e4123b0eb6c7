/* A strict reader of DER (X.690 8, 10): definite lengths in the shortest form, one byte tags. Moves
 * over the caller's bytes, never recurses, and remembers failure, so that a caller reads a
 * structure as a list of fields and asks once. Inside the room only; header-only. */
#ifndef PKI_DER_H
#define PKI_DER_H

#include "base/str.h"

#define DER_INTEGER 0x02u
#define DER_OID 0x06u
#define DER_UTF8_STRING 0x0cu
#define DER_IA5_STRING 0x16u
#define DER_SEQUENCE 0x30u
#define DER_SET 0x31u
#define DER_CONTEXT(n) (0xa0u | (n)) /* [n] EXPLICIT */

struct der {
    const uint8_t *p;
    size_t n;
    bool bad;
};

static inline struct der der_make(const void *p, size_t n)
{
    return (struct der){p, n, false};
}

static inline bool der_at_end(const struct der *d)
{
    return d->n == 0;
}

/* Is the next element of this tag? */
static inline bool der_is(const struct der *d, unsigned tag)
{
    return !d->bad && d->n > 0 && d->p[0] == tag;
}

/* The contents of the next element, which must have this tag. Empty, with d->bad set, if it has
 * not. */
static inline struct der der_take(struct der *d, unsigned tag)
{
    struct der inner = {NULL, 0, false};
    size_t len, head = 2;

    if (!der_is(d, tag) || d->n < 2)
        goto bad;
    len = d->p[1];
    if (len >= 0x80) {
        size_t n_len = len & 0x7f;

        if (n_len == 0 || n_len > 3 || d->n < 2 + n_len || d->p[2] == 0)
            goto bad;
        len = 0;
        for (size_t i = 0; i < n_len; i++)
            len = len << 8 | d->p[2 + i];
        if (len < 0x80)
            goto bad;
        head = 2 + n_len;
    }
    if (len > d->n - head)
        goto bad;
    inner.p = d->p + head;
    inner.n = len;
    d->p += head + len;
    d->n -= head + len;
    return inner;
bad:
    d->bad = true;
    d->n = 0;
    return inner;
}

static inline struct str der_text(struct der d)
{
    return str_make((const char *)d.p, d.n);
}

/* A non-negative INTEGER up to UINT64_MAX; d->bad otherwise. */
static inline uint64_t der_u64(struct der *d)
{
    struct der v = der_take(d, DER_INTEGER);
    uint64_t n = 0;

    if (d->bad || v.n == 0 || (v.p[0] & 0x80) || (v.n > 1 && v.p[0] == 0 && !(v.p[1] & 0x80)) ||
        v.n > 9 || (v.n == 9 && v.p[0] != 0)) {
        d->bad = true;
        return 0;
    }
    for (size_t i = 0; i < v.n; i++)
        n = n << 8 | v.p[i];
    return n;
}

#endif

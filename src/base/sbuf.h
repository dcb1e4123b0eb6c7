/* A text builder over a fixed array with a sticky overflow flag: append freely, check once at the end.
 * Allocates nothing; the array belongs to the caller. */
#ifndef BASE_SBUF_H
#define BASE_SBUF_H

#include "base/str.h"
#include <stdarg.h>

struct sbuf {
    char *p;
    size_t n;   /* bytes written */
    size_t cap; /* bytes available */
    bool overflow;
};

static inline struct sbuf sbuf_make(char *p, size_t cap)
{
    return (struct sbuf){p, 0, cap, false};
}
static inline void sbuf_add(struct sbuf *b, const void *p, size_t n)
{
    if (UNLIKELY(n > b->cap - b->n)) {
        b->overflow = true;
        return;
    }
    if (n)
        memcpy(b->p + b->n, p, n);
    b->n += n;
}
static inline void sbuf_str(struct sbuf *b, struct str s)
{
    sbuf_add(b, s.p, s.n);
}
#define sbuf_lit(b, lit) sbuf_add((b), (lit), sizeof(lit) - 1)
static inline void sbuf_char(struct sbuf *b, char c)
{
    sbuf_add(b, &c, 1);
}
void sbuf_u64(struct sbuf *b, uint64_t v);                 /* decimal */
void sbuf_hex(struct sbuf *b, const void *src, size_t n); /* lower-case hex of n bytes */
/* Needs one byte more than the text (for the NUL that printf writes); all or nothing, like the others. */
void sbuf_fmt(struct sbuf *b, const char *fmt, ...) PRINTF_LIKE(2, 3);
/* JSON string with quotes; controls are escaped, each byte of invalid UTF-8 becomes U+FFFD (RFC 8259 7, 8.1). */
void sbuf_json(struct sbuf *b, struct str s);
static inline struct str sbuf_get(const struct sbuf *b)
{
    return (struct str){b->p, b->n};
}

#endif

/* What the files of base share and nobody else includes: ASan's marks, SipHash (inlined at its
 * callers), the pool of memory blocks behind buf and arena, and how a line of the log is made. */
#ifndef BASE_BASE_PRIV_H
#define BASE_BASE_PRIV_H

#include "base/attr.h"
#include "base/log.h"
#include "base/sbuf.h"
#include <endian.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#ifdef ASAN_ENABLED
#include <sanitizer/asan_interface.h>
#define MEM_POISON(p, n) __asan_poison_memory_region((p), (n))
#define MEM_UNPOISON(p, n) __asan_unpoison_memory_region((p), (n))
#else
#define MEM_POISON(p, n) ((void)(p), (void)(n))
#define MEM_UNPOISON(p, n) ((void)(p), (void)(n))
#endif

/* --- SipHash-c-d (Aumasson, Bernstein 2012). Rounds and case folding are constants at each call,
 * so that the compiler makes one straight function of each use. --- */

struct sip_state {
    uint64_t v0, v1, v2, v3;
};

ALWAYS_INLINE uint64_t sip_rotl(uint64_t x, unsigned n)
{
    return x << n | x >> (64 - n);
}
ALWAYS_INLINE void sip_rounds(struct sip_state *s, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        s->v0 += s->v1;
        s->v2 += s->v3;
        s->v1 = sip_rotl(s->v1, 13) ^ s->v0;
        s->v3 = sip_rotl(s->v3, 16) ^ s->v2;
        s->v0 = sip_rotl(s->v0, 32);
        s->v2 += s->v1;
        s->v0 += s->v3;
        s->v1 = sip_rotl(s->v1, 17) ^ s->v2;
        s->v3 = sip_rotl(s->v3, 21) ^ s->v0;
        s->v2 = sip_rotl(s->v2, 32);
    }
}
/* Eight bytes in lower case (ASCII), whatever their order in the word. */
ALWAYS_INLINE uint64_t word_lower(uint64_t v)
{
    const uint64_t high = 0x8080808080808080u, low = v & ~high;
    uint64_t from_a = low + 0x3f3f3f3f3f3f3f3fu;    /* high bit set: >= 'A' */
    uint64_t past_z = low + 0x2525252525252525u;    /* high bit set: > 'Z' */
    return v | (from_a & ~past_z & ~v & high) >> 2; /* 0x20 where both hold and the byte is ASCII */
}
ALWAYS_INLINE uint64_t word_load(const char *p)
{
    uint64_t v;
    memcpy(&v, p, sizeof(v));
    return v;
}
/* The last n < 8 bytes as a little-endian word, zero above. */
ALWAYS_INLINE uint64_t word_load_tail(const char *p, size_t n)
{
    uint64_t v = 0;
    uint32_t low, high;
    if (n >= 4) { /* two halves that overlap */
        memcpy(&low, p, sizeof(low));
        memcpy(&high, p + n - 4, sizeof(high));
        return le32toh(low) | (uint64_t)le32toh(high) << (8 * (n - 4));
    }
    for (size_t i = 0; i < n; i++)
        v |= (uint64_t)(unsigned char)p[i] << (8 * i);
    return v;
}
/* The state before the last rounds, whose words together are the result. */
ALWAYS_INLINE struct sip_state sip_absorb(const uint64_t key[2], const char *p, size_t n,
                                          unsigned c_rounds, bool fold_case, bool is_long)
{
    struct sip_state s = {key[0] ^ 0x736f6d6570736575u, key[1] ^ 0x646f72616e646f6du,
                          key[0] ^ 0x6c7967656e657261u, key[1] ^ 0x7465646279746573u};
    size_t left = n;
    if (is_long)
        s.v1 ^= 0xee;
    for (; left >= 8; left -= 8, p += 8) {
        uint64_t m = le64toh(word_load(p));
        if (fold_case)
            m = word_lower(m);
        s.v3 ^= m;
        sip_rounds(&s, c_rounds);
        s.v0 ^= m;
    }
    uint64_t m = word_load_tail(p, left);
    if (fold_case)
        m = word_lower(m);
    m |= (uint64_t)n << 56;
    s.v3 ^= m;
    sip_rounds(&s, c_rounds);
    s.v0 ^= m;
    return s;
}
ALWAYS_INLINE uint64_t sip_finish(struct sip_state *s, uint64_t mark, unsigned d_rounds)
{
    s->v2 ^= mark;
    sip_rounds(s, d_rounds);
    return s->v0 ^ s->v1 ^ s->v2 ^ s->v3;
}
ALWAYS_INLINE uint64_t sip_hash(const uint64_t key[2], const char *p, size_t n, unsigned c_rounds,
                                unsigned d_rounds, bool fold_case)
{
    struct sip_state s = sip_absorb(key, p, n, c_rounds, fold_case, false);

    return sip_finish(&s, 0xff, d_rounds);
}

/* --- Pool: memory blocks by size class, kept in bounded free lists of the calling thread. --- */

#define POOL_NONE UINT32_MAX /* class of a block that is not kept */

/* A block of at least n bytes; *ret_cap gets its real size, *ret_class what pool_put wants back.
 * NULL: no memory. */
MUST_USE void *pool_get(size_t n, size_t *ret_cap, uint32_t *ret_class);
void pool_put(void *block, uint32_t klass);
/* In ASan builds blocks go straight back to malloc, so that use after free is seen; tests of the
 * pool switch it on. */
void pool_set_enabled(bool is_enabled);

/* --- One line of the log --- */

#define LOG_TIME_MAX 32

/* Always gives a whole line of whole fields; " ..." at the end if some were left out. `out` has
 * room for 64 bytes. */
void log_line_build(struct sbuf *out, struct str time, enum log_level level, const char *event,
                    const struct log_field *fields, size_t n);
struct str log_time_text(char dst[LOG_TIME_MAX], int64_t sec, long nsec);

#endif

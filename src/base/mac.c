/* A keyed MAC for short inputs of our own making: see mac.h. */
#include "base/mac.h"
#include <endian.h>

/* ---- SipHash-2-4 with a 128-bit result (Aumasson, Bernstein 2012; the longer tag is in their
 * reference code) ---- */

ALWAYS_INLINE uint64_t rotl(uint64_t x, unsigned n)
{
    return x << n | x >> (64 - n);
}

struct state {
    uint64_t a, b, c, d;
};

ALWAYS_INLINE struct state state_load(const struct mac *m)
{
    return (struct state){m->v[0], m->v[1], m->v[2], m->v[3]};
}

ALWAYS_INLINE void state_save(struct mac *m, const struct state *s)
{
    m->v[0] = s->a;
    m->v[1] = s->b;
    m->v[2] = s->c;
    m->v[3] = s->d;
}

ALWAYS_INLINE void rounds(struct state *s, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        s->a += s->b;
        s->c += s->d;
        s->b = rotl(s->b, 13) ^ s->a;
        s->d = rotl(s->d, 16) ^ s->c;
        s->a = rotl(s->a, 32);
        s->c += s->b;
        s->a += s->d;
        s->b = rotl(s->b, 17) ^ s->c;
        s->d = rotl(s->d, 21) ^ s->a;
        s->c = rotl(s->c, 32);
    }
}

ALWAYS_INLINE void word(struct state *s, uint64_t w)
{
    s->d ^= w;
    rounds(s, 2);
    s->a ^= w;
}

static uint64_t load64(const void *p)
{
    uint64_t v;

    memcpy(&v, p, sizeof(v));
    return le64toh(v);
}

void mac_start(struct mac *m, const uint8_t key[16])
{
    uint64_t k0 = load64(key), k1 = load64(key + 8);

    *m = (struct mac){.v = {k0 ^ 0x736f6d6570736575u, k1 ^ 0x646f72616e646f6du ^ 0xee,
                            k0 ^ 0x6c7967656e657261u, k1 ^ 0x7465646279746573u}};
}

/* n < 8 bytes as a little-endian word, zero above. */
static uint64_t load_tail(const uint8_t *p, size_t n)
{
    uint64_t v = 0;
    uint32_t low, high;

    if (n >= 4) { /* two halves that overlap */
        memcpy(&low, p, sizeof(low));
        memcpy(&high, p + n - 4, sizeof(high));
        return le32toh(low) | (uint64_t)le32toh(high) << 8 * (n - 4);
    }
    for (size_t i = 0; i < n; i++)
        v |= (uint64_t)p[i] << 8 * i;
    return v;
}

void mac_add(struct mac *m, const void *bytes, size_t n)
{
    const uint8_t *p = bytes;
    unsigned have = 8 * (m->n % 8); /* bits in m->word */
    struct state s = state_load(m);
    uint64_t waiting = m->word, v;

    m->n += n;
    for (; n >= 8; n -= 8, p += 8) {
        v = load64(p);
        word(&s, waiting | v << have);
        waiting = have ? v >> (64 - have) : 0;
    }
    if (n) {
        v = load_tail(p, n);
        waiting |= v << have;
        if (have + 8 * n >= 64) {
            word(&s, waiting);
            waiting = v >> (64 - have); /* have is not 0: n < 8 */
        }
    }
    m->word = waiting;
    state_save(m, &s);
}

/* With the length in front, so that no two lists of texts are the same bytes. */
void mac_text(struct mac *m, struct str s)
{
    uint64_t n = htole64(s.n);

    mac_add(m, &n, sizeof(n));
    mac_add(m, s.p, s.n);
}

void mac_finish(struct mac *m, uint8_t ret[16])
{
    struct state s = state_load(m);
    uint64_t half;

    word(&s, m->word | (uint64_t)m->n << 56);
    s.c ^= 0xee;
    rounds(&s, 4);
    half = htole64(s.a ^ s.b ^ s.c ^ s.d);
    memcpy(ret, &half, 8);
    s.b ^= 0xdd;
    rounds(&s, 4);
    half = htole64(s.a ^ s.b ^ s.c ^ s.d);
    memcpy(ret + 8, &half, 8);
}

void mac_siphash128(const uint8_t key[16], const void *p, size_t n, uint8_t ret[16])
{
    struct mac m;

    mac_start(&m, key);
    mac_add(&m, p, n);
    mac_finish(&m, ret);
}

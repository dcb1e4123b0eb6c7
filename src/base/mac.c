/* A keyed MAC for short inputs of our own making: see mac.h. */
#include "base/mac.h"
#include <endian.h>

/* ---- SipHash-2-4 with a 128-bit result (Aumasson, Bernstein 2012; the longer tag is in their
 * reference code) ---- */

static uint64_t rotl(uint64_t x, unsigned n)
{
    return x << n | x >> (64 - n);
}

static void mac_rounds(struct mac *m, unsigned n)
{
    uint64_t *v = m->v;

    while (n--) {
        v[0] += v[1];
        v[2] += v[3];
        v[1] = rotl(v[1], 13) ^ v[0];
        v[3] = rotl(v[3], 16) ^ v[2];
        v[0] = rotl(v[0], 32);
        v[2] += v[1];
        v[0] += v[3];
        v[1] = rotl(v[1], 17) ^ v[2];
        v[3] = rotl(v[3], 21) ^ v[0];
        v[2] = rotl(v[2], 32);
    }
}

static void mac_word(struct mac *m, uint64_t w)
{
    m->v[3] ^= w;
    mac_rounds(m, 2);
    m->v[0] ^= w;
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

void mac_add(struct mac *m, const void *bytes, size_t n)
{
    const uint8_t *p = bytes;

    while (n && m->n % 8) {
        m->word |= (uint64_t)*p++ << 8 * (m->n++ % 8);
        n--;
        if (m->n % 8 == 0) {
            mac_word(m, m->word);
            m->word = 0;
        }
    }
    for (; n >= 8; n -= 8, p += 8, m->n += 8)
        mac_word(m, load64(p));
    for (; n; n--)
        m->word |= (uint64_t)*p++ << 8 * (m->n++ % 8);
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
    uint64_t half;

    mac_word(m, m->word | (uint64_t)m->n << 56);
    m->v[2] ^= 0xee;
    mac_rounds(m, 4);
    half = htole64(m->v[0] ^ m->v[1] ^ m->v[2] ^ m->v[3]);
    memcpy(ret, &half, 8);
    m->v[1] ^= 0xdd;
    mac_rounds(m, 4);
    half = htole64(m->v[0] ^ m->v[1] ^ m->v[2] ^ m->v[3]);
    memcpy(ret + 8, &half, 8);
}

void mac_siphash128(const uint8_t key[16], const void *p, size_t n, uint8_t ret[16])
{
    struct mac m;

    mac_start(&m, key);
    mac_add(&m, p, n);
    mac_finish(&m, ret);
}

/* Random sources (rand.h): OpenSSL's generator, buffered because a call costs more than the bytes;
 * and SplitMix64 for repeatable runs. A source belongs to one thread; a child process never hands
 * out what its parent buffered. */
#include "base/rand.h"
#include "base/secret.h"
#include <openssl/rand.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

static _Atomic uint64_t fork_generation;
static pthread_once_t fork_once = PTHREAD_ONCE_INIT;

static void fork_in_child(void)
{
    atomic_fetch_add_explicit(&fork_generation, 1, memory_order_relaxed);
}

static void fork_watch(void)
{
    if (pthread_atfork(NULL, NULL, fork_in_child) != 0)
        abort();
}

static void system_bytes(void *dst, size_t n)
{
    unsigned char *p = dst;
    while (n) {
        size_t part = n < 1u << 20 ? n : 1u << 20; /* RAND_bytes counts in int */
        if (RAND_bytes(p, (int)part) != 1)
            abort(); /* no randomness: nothing this program does would be secure */
        p += part;
        n -= part;
    }
}

static void system_fill(struct rand_source *r, void *dst, size_t n)
{
    uint64_t generation = atomic_load_explicit(&fork_generation, memory_order_relaxed);
    if (r->generation != generation) {
        r->generation = generation;
        r->n_left = 0;
    }
    if (n > sizeof(r->buf) / 2) {
        system_bytes(dst, n);
        return;
    }
    if (n > r->n_left) {
        system_bytes(r->buf, sizeof(r->buf));
        r->n_left = sizeof(r->buf);
    }
    if (n) {
        unsigned char *from = r->buf + sizeof(r->buf) - r->n_left;
        memcpy(dst, from, n);
        secret_wipe(from, n);
        r->n_left -= n;
    }
}

/* SplitMix64 (Steele, Lea, Flood 2014). */
static uint64_t fixed_next(uint64_t *state)
{
    uint64_t z = (*state += 0x9e3779b97f4a7c15u);
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

static void fixed_fill(struct rand_source *r, void *dst, size_t n)
{
    unsigned char *p = dst;
    while (n) {
        uint64_t v = fixed_next(&r->state);
        for (size_t i = 0; i < 8 && n; i++, n--, v >>= 8)
            *p++ = (unsigned char)v;
    }
}

void rand_system_init(struct rand_source *r)
{
    pthread_once(&fork_once, fork_watch);
    memset(r, 0, sizeof(*r));
    r->fill = system_fill;
    r->generation = atomic_load_explicit(&fork_generation, memory_order_relaxed);
}

void rand_fixed_init(struct rand_source *r, uint64_t seed)
{
    memset(r, 0, sizeof(*r));
    r->fill = fixed_fill;
    r->state = seed;
}

uint64_t rand_u64(struct rand_source *r)
{
    uint64_t v;
    rand_fill(r, &v, sizeof(v));
    return v;
}

void rand_token(struct rand_source *r, char *dst, size_t n)
{
    static const char set[36] = "abcdefghijklmnopqrstuvwxyz0123456789";
    unsigned char bytes[32];
    while (n) {
        size_t want = n < sizeof(bytes) ? n : sizeof(bytes);
        rand_fill(r, bytes, want);
        for (size_t i = 0; i < want; i++) {
            if (bytes[i] < 252) { /* 7 * 36: the rest would favour some letters */
                *dst++ = set[bytes[i] % 36];
                n--;
            }
        }
    }
}

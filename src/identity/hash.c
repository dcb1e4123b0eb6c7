/* Hash functions of digest authentication (RFC 7616 3.2), fast for short texts: by the functions
 * below EVP, which need no memory and whose state can be copied. Any thread; nothing is shared but
 * what the process knows of its algorithms.
 *
 * OpenSSL calls these functions deprecated in favour of EVP. A registration hashes two texts of
 * some 130 bytes: with EVP of OpenSSL 3.0 and contexts kept, each costs 1,300 instructions beside
 * its blocks (every start frees the old state and allocates a new one), here 200. Which algorithms
 * may be used at all EVP is asked once: MD5 is not to be had where it is not to be used (FIPS
 * mode). */
#define OPENSSL_SUPPRESS_DEPRECATED
#include "base/secret.h"
#include "identity/identity_priv.h"
#include <openssl/evp.h>
#include <pthread.h>

static const char *const openssl_names[DIGEST_ALGO_N] = {"MD5", "SHA2-256", "SHA2-512/256"};
static const uint8_t lens[DIGEST_ALGO_N] = {16, 32, 32};

static pthread_once_t ask_once = PTHREAD_ONCE_INIT;
static bool is_there[DIGEST_ALGO_N];

static void ask(void)
{
    for (size_t i = 0; i < DIGEST_ALGO_N; i++) {
        EVP_MD *md = EVP_MD_fetch(NULL, openssl_names[i], NULL);

        is_there[i] = md != NULL;
        EVP_MD_free(md);
    }
}

size_t hash_len(enum digest_algo a)
{
    return lens[a];
}

/* FIPS 180-4 5.3.6.2: SHA-512/256 is SHA-512 from another beginning, cut off. */
static void sha512_256_init(SHA512_CTX *c)
{
    static const SHA_LONG64 first[8] = {
        0x22312194fc2bf72cu, 0x9f555fa3c84c64c2u, 0x2393b86b6f53b151u, 0x963877195940eabdu,
        0x96283ee2a88effe3u, 0xbe5e1e2553863992u, 0x2b0199fc2c85b8aau, 0x0eb72ddc81c52ca2u};

    SHA512_Init(c);
    memcpy(c->h, first, sizeof(first));
}

void hash_start(struct hash *h, enum digest_algo a)
{
    (void)pthread_once(&ask_once, ask);
    h->algo = a;
    h->failed = !is_there[a];
    h->n = 0;
    switch (a) {
    case DIGEST_MD5:
        MD5_Init(&h->state.md5);
        break;
    case DIGEST_SHA256:
        SHA256_Init(&h->state.sha256);
        break;
    default:
        sha512_256_init(&h->state.sha512);
        break;
    }
}

static void update(struct hash *h, const void *p, size_t n)
{
    int ok = h->algo == DIGEST_MD5      ? MD5_Update(&h->state.md5, p, n)
             : h->algo == DIGEST_SHA256 ? SHA256_Update(&h->state.sha256, p, n)
                                        : SHA512_Update(&h->state.sha512, p, n);

    h->failed |= ok != 1;
}

void hash_flush(struct hash *h)
{
    update(h, h->buf, h->n);
    h->n = 0;
}

void hash_add_long(struct hash *h, struct str s)
{
    hash_flush(h);
    update(h, s.p, s.n);
}

void hash_copy(struct hash *dst, const struct hash *src)
{
    memcpy(dst, src, offsetof(struct hash, buf) + src->n);
}

int hash_finish(struct hash *h, uint8_t ret[DIGEST_BYTES_MAX])
{
    uint8_t all[SHA512_DIGEST_LENGTH];

    hash_flush(h);
    switch (h->algo) {
    case DIGEST_MD5:
        h->failed |= MD5_Final(ret, &h->state.md5) != 1;
        break;
    case DIGEST_SHA256:
        h->failed |= SHA256_Final(ret, &h->state.sha256) != 1;
        break;
    default:
        h->failed |= SHA512_Final(all, &h->state.sha512) != 1;
        memcpy(ret, all, lens[DIGEST_SHA512_256]);
        secret_wipe(all, sizeof(all));
        break;
    }
    return h->failed ? ERR_CRYPTO : 0;
}

void hash_wipe(struct hash *h)
{
    secret_wipe(h, sizeof(*h));
}

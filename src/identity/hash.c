/* Hash functions of digest authentication (RFC 7616 3.2), fast for short texts: the algorithms are
 * fetched from OpenSSL once per process, and each thread keeps one context for each of them, freed
 * when the thread ends. (SHA-256 of 64 bytes with OpenSSL 3.0.22: 390 ns by EVP_Digest, 150 ns with
 * a kept context.) Any thread; nothing is shared but the fetched algorithms, which are constant. */
#include "base/fault.h"
#include "base/secret.h"
#include "identity/identity_priv.h"
#include <openssl/evp.h>
#include <pthread.h>

static const char *const openssl_names[DIGEST_ALGO_N] = {"MD5", "SHA2-256", "SHA2-512/256"};
static const uint8_t lens[DIGEST_ALGO_N] = {16, 32, 32};

static pthread_once_t fetch_once = PTHREAD_ONCE_INIT;
static EVP_MD *fetched[DIGEST_ALGO_N]; /* NULL: this OpenSSL has not got it (MD5 in FIPS mode) */
static pthread_key_t thread_key;
static bool has_thread_key;

struct contexts {
    EVP_MD_CTX *ctx[DIGEST_ALGO_N];
};
static _Thread_local struct contexts thread_contexts;

static void thread_end(void *arg)
{
    struct contexts *c = arg;

    for (size_t i = 0; i < DIGEST_ALGO_N; i++) {
        EVP_MD_CTX_free(c->ctx[i]);
        c->ctx[i] = NULL;
    }
}

static void process_end(void)
{
    thread_end(&thread_contexts);
    for (size_t i = 0; i < DIGEST_ALGO_N; i++) {
        EVP_MD_free(fetched[i]);
        fetched[i] = NULL;
    }
}

static void fetch(void)
{
    for (size_t i = 0; i < DIGEST_ALGO_N; i++)
        fetched[i] = EVP_MD_fetch(NULL, openssl_names[i], NULL);
    has_thread_key = pthread_key_create(&thread_key, thread_end) == 0;
    (void)OPENSSL_atexit(process_end);
}

size_t hash_len(enum digest_algo a)
{
    return lens[a];
}

/* The thread's context for an algorithm; NULL if there is none to be had. */
static EVP_MD_CTX *context_get(enum digest_algo a)
{
    EVP_MD_CTX *ctx = thread_contexts.ctx[a];

    if (LIKELY(ctx != NULL))
        return ctx;
    (void)pthread_once(&fetch_once, fetch);
    if (!fetched[a] || !has_thread_key || fault_hit())
        return NULL;
    if (pthread_setspecific(thread_key, &thread_contexts) != 0)
        return NULL;
    ctx = EVP_MD_CTX_new();
    if (ctx && EVP_DigestInit_ex2(ctx, fetched[a], NULL) != 1) {
        EVP_MD_CTX_free(ctx);
        ctx = NULL;
    }
    thread_contexts.ctx[a] = ctx;
    return ctx;
}

void hash_start(struct hash *h, enum digest_algo a)
{
    h->algo = a;
    h->started = h->failed = false;
    h->n = 0;
}

/* Gives what was gathered to OpenSSL. The first time this also starts the context anew. */
static void hash_flush(struct hash *h)
{
    EVP_MD_CTX *ctx = context_get(h->algo);

    if (!ctx || (!h->started && EVP_DigestInit_ex2(ctx, NULL, NULL) != 1) ||
        EVP_DigestUpdate(ctx, h->buf, h->n) != 1)
        h->failed = true;
    h->started = true;
    h->n = 0;
}

void hash_add(struct hash *h, struct str s)
{
    if (s.n > sizeof(h->buf) - h->n) {
        hash_flush(h);
        if (s.n > sizeof(h->buf)) {
            EVP_MD_CTX *ctx = context_get(h->algo);

            if (!ctx || EVP_DigestUpdate(ctx, s.p, s.n) != 1)
                h->failed = true;
            return;
        }
    }
    if (s.n)
        memcpy(h->buf + h->n, s.p, s.n);
    h->n += s.n;
}

void hash_colon(struct hash *h)
{
    hash_add(h, STR(":"));
}

int hash_finish(struct hash *h, uint8_t ret[DIGEST_BYTES_MAX])
{
    unsigned n = 0;

    hash_flush(h);
    if (h->failed)
        return fetched[h->algo] ? ERR_NOMEM : ERR_CRYPTO;
    if (EVP_DigestFinal_ex(thread_contexts.ctx[h->algo], ret, &n) != 1 || n != lens[h->algo])
        return ERR_CRYPTO;
    return 0;
}

int hash_finish_secret(struct hash *h, uint8_t ret[DIGEST_BYTES_MAX])
{
    int err = hash_finish(h, ret);

    EVP_MD_CTX_free(thread_contexts.ctx[h->algo]); /* wipes its state */
    thread_contexts.ctx[h->algo] = NULL;
    secret_wipe(h->buf, sizeof(h->buf));
    return err;
}

/* Secrets (secret.h): wiping by libc and constant-time comparison by OpenSSL, which keep both from being
 * optimised away. (OPENSSL_cleanse goes byte by byte.) Pure. */
#include "base/secret.h"
#include "base/err.h"
#include <openssl/crypto.h>

int secret_set(struct secret *s, const void *p, size_t n)
{
    if (n > SECRET_MAX)
        return ERR_LIMIT;
    unsigned char copy[SECRET_MAX]; /* p may point into s */
    if (n)
        memcpy(copy, p, n);
    secret_done(s);
    if (n)
        memcpy(s->p, copy, n);
    s->n = n;
    secret_wipe(copy, sizeof(copy));
    return 0;
}

void secret_done(struct secret *s)
{
    secret_wipe(s, sizeof(*s));
}

bool secret_eq(const struct secret *a, const struct secret *b)
{
    return a->n == b->n && secret_bytes_eq(a->p, b->p, a->n);
}

bool secret_bytes_eq(const void *a, const void *b, size_t n)
{
    return CRYPTO_memcmp(a, b, n) == 0;
}

void secret_wipe(void *p, size_t n)
{
    if (n)
        explicit_bzero(p, n);
}

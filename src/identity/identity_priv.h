/* What the files of identity share: hashing of short texts. */
#ifndef IDENTITY_IDENTITY_PRIV_H
#define IDENTITY_IDENTITY_PRIV_H

#include "base/attr.h"
#include "identity/digest.h"
#include <openssl/md5.h>
#include <openssl/sha.h>

/* Text is gathered here and hashed in one call. Large, and needs no zeroing: declare it with
 * NO_AUTO_INIT. */
struct hash {
    enum digest_algo algo;
    bool failed;
    size_t n;
    union {
        MD5_CTX md5;
        SHA256_CTX sha256;
        SHA512_CTX sha512;
    } state;
    unsigned char buf[384];
};

void hash_start(struct hash *h, enum digest_algo a);
void hash_flush(struct hash *h); /* hashes what was gathered */
void hash_add_long(struct hash *h, struct str s);
ALWAYS_INLINE void hash_add(struct hash *h, struct str s)
{
    if (s.n > sizeof(h->buf) - h->n) {
        hash_add_long(h, s);
        return;
    }
    if (s.n)
        memcpy(h->buf + h->n, s.p, s.n);
    h->n += s.n;
}
ALWAYS_INLINE void hash_colon(struct hash *h)
{
    hash_add(h, STR(":"));
}
void hash_copy(struct hash *dst, const struct hash *src); /* two texts that begin alike */
/* ret gets hash_len bytes. ERR_CRYPTO: OpenSSL has not got this algorithm, or failed. */
MUST_USE int hash_finish(struct hash *h, uint8_t ret[DIGEST_BYTES_MAX]);
void hash_wipe(
    struct hash *h); /* of what it was given, and of its state, nothing is left in memory */
size_t hash_len(enum digest_algo a);

#endif

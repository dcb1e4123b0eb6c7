/* What the files of identity share: hashing with contexts that each thread keeps. */
#ifndef IDENTITY_IDENTITY_PRIV_H
#define IDENTITY_IDENTITY_PRIV_H

#include "identity/digest.h"

/* Text is gathered here and given to OpenSSL in one call: its calls cost more than hashing a short
 * line. */
struct hash {
    enum digest_algo algo;
    bool started, failed;
    size_t n;
    unsigned char buf[1024];
};

void hash_start(struct hash *h, enum digest_algo a);
void hash_add(struct hash *h, struct str s);
void hash_colon(struct hash *h);
/* ret gets hash_len bytes. ERR_CRYPTO: OpenSSL has not got this algorithm, or failed; ERR_NOMEM. */
MUST_USE int hash_finish(struct hash *h, uint8_t ret[DIGEST_BYTES_MAX]);
/* Like it, and leaves nothing of the input in memory. */
MUST_USE int hash_finish_secret(struct hash *h, uint8_t ret[DIGEST_BYTES_MAX]);
size_t hash_len(enum digest_algo a);

#endif

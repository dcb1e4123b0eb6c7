/* A keyed MAC for what we seal for ourselves (nonces, tokens): SipHash-2-4 with a 128-bit key and result, some 70 ns where a
 * one-shot HMAC-SHA-256 of OpenSSL 3.0 takes over 1,000. Not a hash: without a secret key it protects nothing. Pure. */
#ifndef BASE_MAC_H
#define BASE_MAC_H

#include "base/str.h"

struct mac {
    uint64_t v[4];
    uint64_t word; /* bytes not yet taken in */
    size_t n;      /* bytes in all */
};

void mac_start(struct mac *m, const uint8_t key[16]);
void mac_add(struct mac *m, const void *bytes, size_t n);
void mac_text(struct mac *m, struct str s); /* with its length in front, so that no two lists of texts are the same bytes */
void mac_finish(struct mac *m, uint8_t ret[16]);
void mac_siphash128(const uint8_t key[16], const void *p, size_t n, uint8_t ret[16]);

#endif

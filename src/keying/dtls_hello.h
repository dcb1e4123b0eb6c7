/* What comes before a DTLS server spends memory on a client: ClientHellos put together from their
 * pieces, and the cookie that shows that the client is where it says it is. RFC
 * 6347 4.2.1, 4.2.3, 4.2.4. Pure.
 *
 * OpenSSL's own listener takes a ClientHello only in one piece; browsers send theirs in two
 * datagrams, which may change places. And it wants a whole SSL object to look at one. Here a first
 * hello costs nothing: the piece with its beginning is answered, all others are ignored. Only what
 * follows with our cookie is collected. */
#ifndef KEYING_DTLS_HELLO_H
#define KEYING_DTLS_HELLO_H

#include "base/addr.h"
#include "base/limits.h"

#define DTLS_RECORD_HEADER 13
#define DTLS_HANDSHAKE_HEADER 12
#define DTLS_COOKIE_BYTES 17 /* a byte of time, and a MAC */
#define DTLS_VERIFY_BYTES (DTLS_RECORD_HEADER + DTLS_HANDSHAKE_HEADER + 3 + DTLS_COOKIE_BYTES)
#define DTLS_HELLO_DATAGRAM (DTLS_RECORD_HEADER + DTLS_HANDSHAKE_HEADER + LIMIT_DTLS_HELLO_BYTES)

enum dtls_hello_verdict {
    DTLS_HELLO_NONE,   /* no ClientHello, or a broken one */
    DTLS_HELLO_WAIT,   /* a piece of one */
    DTLS_HELLO_VERIFY, /* send `bytes` back: a HelloVerifyRequest */
    DTLS_HELLO_WHOLE   /* `bytes` is the hello as one record of one datagram */
};

struct dtls_hello {
    enum dtls_hello_verdict verdict;
    const uint8_t *bytes; /* in the pool; until the next call */
    size_t n;
    bool has_cookie; /* WHOLE: the second hello, after ours was answered */
    uint8_t random[32];
};

struct dtls_hello_pool;

MUST_USE int dtls_hello_pool_new(struct dtls_hello_pool **ret);
void dtls_hello_pool_free(struct dtls_hello_pool *pool); /* NULL is fine */
/* A datagram with nothing but (pieces of) ClientHellos in it, from a source that has shown nothing
 * yet. `from` NULL: by other means it is known that it can be reached where it is (ICE), no cookie
 * is needed. */
void dtls_hello_take(struct dtls_hello_pool *pool, uint64_t now_ms, const uint8_t cookie_key[16],
                     const struct addr *from, const uint8_t *p, size_t n, struct dtls_hello *ret);
/* Does the datagram begin with a (piece of a) ClientHello in the clear? */
bool dtls_hello_is(const uint8_t *p, size_t n);
/* Cuts alerts in the clear out of a datagram, in place, and returns its new length: nobody has
 * signed them, so they end no handshake (RFC 6347 4.1.2.7). *ret_alert: the description of the last
 * one that was fatal, or -1. */
size_t dtls_drop_alerts(uint8_t *p, size_t n, int *ret_alert);

#endif

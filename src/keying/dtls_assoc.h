/* One DTLS association on OpenSSL, without sockets: datagrams in, datagrams out, a timer. RFC 6347,
 * RFC 5764. An object belongs to one thread at a time.
 *
 * OpenSSL 3.0 keeps its retransmission timers on the system's clock; that, and its random numbers,
 * are the only things in here that do not come through parameters. */
#ifndef KEYING_DTLS_ASSOC_H
#define KEYING_DTLS_ASSOC_H

#include "keying/keying.h"
#include <openssl/ssl.h>

#define DTLS_MTU 1200 /* of the datagrams we send: fits every path that carries WebRTC */

/* A datagram that waits to be sent. */
struct dtls_datagram {
    struct dtls_datagram *next;
    enum keying_path path;
    struct addr to; /* not set: where the signalling says */
    size_t n;
    uint8_t p[];
};
struct dtls_queue {
    struct dtls_datagram *first, **last;
    size_t n;
};
void dtls_queue_init(struct dtls_queue *q);
void dtls_queue_done(struct dtls_queue *q);
/* Without memory or room it is as if the network had lost it. */
void dtls_queue_put(struct dtls_queue *q, enum keying_path path, const struct addr *to,
                    const uint8_t *p, size_t n);
struct dtls_datagram *
dtls_queue_take(struct dtls_queue *q); /* NULL: empty; the caller frees it with mem_free */

enum dtls_state { DTLS_SHAKING, DTLS_DONE, DTLS_FAILED };

struct dtls_assoc;

struct dtls_assoc_args {
    SSL_CTX *ctx;
    bool is_client;
    const char *profiles; /* OpenSSL's list of SRTP profiles, the preferred first */
    enum keying_path path;
    struct addr remote;   /* not set: where the signalling says */
    uint32_t first_ms;    /* of the retransmission timer */
    SSL_SESSION *session; /* client: to resume; NULL: none. Server: what may be resumed */
    struct dtls_queue *queue;
};
MUST_USE int dtls_assoc_new(struct dtls_assoc **ret, const struct dtls_assoc_args *args);
void dtls_assoc_free(struct dtls_assoc *a); /* NULL is fine */

/* Client: sends the first hello. */
void dtls_assoc_start(struct dtls_assoc *a);
/* Server: takes a whole ClientHello; has_cookie: it is the second, its cookie was ours. */
void dtls_assoc_hello(struct dtls_assoc *a, const uint8_t *p, size_t n, bool has_cookie);
void dtls_assoc_input(struct dtls_assoc *a, const uint8_t *p, size_t n);
/* Retransmits if it is time; milliseconds until it is time again, UINT64_MAX: no timer runs. */
void dtls_assoc_tick(struct dtls_assoc *a);
uint64_t dtls_assoc_wait_ms(const struct dtls_assoc *a);

void dtls_assoc_set_queue(struct dtls_assoc *a, struct dtls_queue *queue);
enum dtls_state dtls_assoc_state(const struct dtls_assoc *a);
const char *dtls_assoc_error(const struct dtls_assoc *a); /* FAILED: OpenSSL's words, constant */
const struct addr *dtls_assoc_remote(const struct dtls_assoc *a);

/* ---- once it is DONE ---- */

X509 *dtls_assoc_peer(const struct dtls_assoc *a); /* the caller frees it; NULL: there is none */
const struct keying_suite *
dtls_assoc_suite(const struct dtls_assoc *a); /* NULL: no profile was agreed */
/* RFC 5764 4.2: what we send with, and what the peer does. */
MUST_USE int dtls_assoc_export(const struct dtls_assoc *a, struct keying_keys *ret_send,
                               struct keying_keys *ret_receive);
bool dtls_assoc_is_resumed(const struct dtls_assoc *a);
/* Is the last flight ours? Then the peer may still need it again (RFC 6347 4.2.4). */
bool dtls_assoc_has_last_flight(const struct dtls_assoc *a);
/* Nothing more is wanted of it but that: lets go of the library's object (some 45 KiB) and keeps
 * the datagrams of the flight. No function but these two, _set_queue and _free may be called any
 * more. */
void dtls_assoc_strip(struct dtls_assoc *a);
/* A datagram that looks like the end of the peer's last flight: ours goes out again, byte for byte,
 * and to the peer whoever has asked. False: it does not look so. */
bool dtls_assoc_again(struct dtls_assoc *a, const uint8_t *p, size_t n);
SSL_SESSION *
dtls_assoc_session(const struct dtls_assoc *a); /* the caller frees it; NULL: not to be resumed */

/* For the contexts that associations are made from. */
MUST_USE int dtls_assoc_ctx_init(SSL_CTX *ctx);

#endif

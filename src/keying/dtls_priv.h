/* What the files of DTLS-SRTP share. */
#ifndef KEYING_DTLS_PRIV_H
#define KEYING_DTLS_PRIV_H

#include "keying/dtls.h"
#include "keying/dtls_assoc.h"
#include <stdatomic.h>

#define DTLS_NAMED_MAX 8 /* addresses of answers to one offer that a hall remembers */

#define DTLS_FINGERPRINT_TEXT                                                                      \
    112 /* "sha-256 " and 32 bytes in hexadecimal with colons, and the NUL */

struct keying_dtls_identity {
    _Atomic unsigned refs;
    X509 *cert;
    EVP_PKEY *key;
    SSL_CTX *client, *server;
    uint8_t cookie_key[16];
    uint64_t due_s;
    char fingerprint[DTLS_FINGERPRINT_TEXT];
};

/* ---- dtls_library.c ---- */

OSSL_LIB_CTX *dtls_library(void); /* NULL: the default one */

/* ---- dtls_peer.c: the fingerprints that the other side announces ---- */

#define DTLS_PRINTS_MAX                                                                            \
    4 /* by one hash: more than one only while somebody changes certificates                       \
       */

struct dtls_peer {
    const EVP_MD *md; /* NULL: nothing announced */
    const char *hash; /* its name, constant */
    unsigned n;
    uint8_t print[DTLS_PRINTS_MAX][64];
    uint64_t all; /* a digest of everything announced, usable or not: did it change? */
};

/* Takes the set by the most preferred hash function (RFC 8122 5). ERR_NOTFOUND: none announced;
 * ERR_UNSUPPORTED: none by a hash that we use. */
MUST_USE int dtls_peer_read(const struct keying_heard *heard, bool allow_sha1,
                            struct dtls_peer *ret, struct reason *why);
bool dtls_peer_matches(const struct dtls_peer *peer, const X509 *cert);

/* ---- dtls_hall.c: where clients arrive ---- */

/* By where somebody comes from: another host than any description names, that host, that address (or
 * it has been validated). Each may try so many times (LIMIT_DTLS_ATTEMPTS), and takes the place of
 * those below it. */
enum { DTLS_RANK_STRANGER, DTLS_RANK_HOST, DTLS_RANK_NAMED, DTLS_RANKS };

/* Handshakes of clients that nobody has recognised yet, on all paths of one medium. Whoever offers
 * actpass must let clients in before it knows whom it expects (RFC 8842 5.2), and several may come:
 * branches of a fork, or somebody who wants to be first. So all that can be reached where they say
 * they are may finish their handshake here, up to a limit; then the one whose certificate the
 * answer announces is taken out. Shared by the media that have sent the same offer; of one thread
 * like them. */
struct dtls_hall {
    unsigned refs;
    struct keying_dtls_identity *identity;
    const struct keying_policy *policy;
    struct dtls_queue queue;
    struct dtls_hello_pool *pool;
    struct dtls_guest {
        struct dtls_assoc *assoc; /* NULL: the place is free */
        uint8_t random[32];       /* of its hello */
        uint64_t until_ms;        /* when his time is over */
        unsigned rank;            /* by where he comes from, when he came */
        bool is_stranger; /* done, and somebody has found that it is not the one he waits for */
    } guest[KEYING_PATHS][LIMIT_DTLS_CANDIDATES];
    struct addr named[KEYING_PATHS][DTLS_NAMED_MAX]; /* where descriptions say that peers are */
    unsigned n_named[KEYING_PATHS];                  /* counts on: the latest are remembered */
    unsigned n_attempts[KEYING_PATHS][DTLS_RANKS];
    uint32_t failures;    /* handshakes that came to nothing */
    const char *error;    /* of the last of them */
    SSL_SESSION *session; /* what may be resumed; NULL: nothing */
    char profiles[160];
};

MUST_USE int dtls_hall_new(struct dtls_hall **ret, struct keying_dtls_identity *identity,
                           const struct keying_policy *policy);
struct dtls_hall *dtls_hall_ref(struct dtls_hall *hall);
void dtls_hall_unref(struct dtls_hall *hall); /* NULL is fine */
/* A description names this address: who comes from there has a place, whoever else is here. */
void dtls_hall_expect(struct dtls_hall *hall, enum keying_path path, const struct addr *at);
/* A datagram without alerts. is_named: from where the peer is known to be; is_open: new clients are let
 * in. */
void dtls_hall_input(struct dtls_hall *hall, uint64_t now_ms, enum keying_path path,
                     const struct addr *from, bool is_named, const uint8_t *p, size_t n, bool is_open);
/* An alert in the clear: whoever is shaking hands from there has little time left to show that it
 * was not his. */
void dtls_hall_alert(struct dtls_hall *hall, uint64_t now_ms, enum keying_path path,
                     const struct addr *from);
/* Is somebody from there being dealt with? */
bool dtls_hall_knows(struct dtls_hall *hall, enum keying_path path, const struct addr *from);
void dtls_hall_tick(struct dtls_hall *hall, uint64_t now_ms);
uint64_t dtls_hall_wait_ms(const struct dtls_hall *hall, uint64_t now_ms);
/* Takes out the one that `peer` announces: it is done and its certificate fits. Several may have
 * the same certificate, if one system answers an offer twice: so the one who comes from `at` is
 * preferred, and with `must` no other is taken (at not set: anywhere). NULL: not there (yet). */
struct dtls_assoc *dtls_hall_claim(struct dtls_hall *hall, enum keying_path path,
                                   const struct dtls_peer *peer, const struct addr *at, bool must);
/* How many have shown another certificate, and how likely (DTLS_RANK_...) the most likely of them is to
 * be the one who was described; they are sent away if `dismiss`. */
unsigned dtls_hall_strangers(struct dtls_hall *hall, bool dismiss, unsigned *ret_rank);

#define DTLS_ALERT_MS 1000 /* an alert may be forged: the real handshake still has this long */

/* OpenSSL's list of the SRTP profiles that policy allows; empty: none. */
void dtls_profiles(const struct keying_policy *policy, char *dst, size_t cap);
/* Is the certificate good enough to prove anything, and is it one of those announced? */
bool dtls_peer_is(const struct dtls_peer *peer, const struct dtls_assoc *assoc);

#endif

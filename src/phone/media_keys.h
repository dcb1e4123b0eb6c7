/* What protects one call's audio: the leg of key management and the SRTP contexts that its keys go
 * into. One for each answer to an offer, so that no two share a key (TR/100 8.2.1.3). Of one thread
 * at a time: media_rtp.c's lock. */
#ifndef PHONE_MEDIA_KEYS_H
#define PHONE_MEDIA_KEYS_H

#include "keying/leg.h"
#include "sdp/build.h"

struct media_keys;

/* The policy must outlive it. */
MUST_USE int media_keys_new(struct media_keys **ret, const struct keying_policy *policy);
/* Another answer to the same offer. */
MUST_USE int media_keys_fork(struct media_keys *k, struct media_keys **ret);
void media_keys_free(struct media_keys *k); /* NULL is fine */

/* Protocol and attributes of our section: keying_leg_offer and _answer. Slices live in the arena.
 */
MUST_USE int media_keys_offer(struct media_keys *k, const struct keying_at *at,
                              const struct keying_wish *wish, struct arena *a,
                              struct sdp_new_media *ret, struct reason *why);
MUST_USE int media_keys_answer(struct media_keys *k, const struct keying_at *at,
                               const struct keying_wish *wish, const struct keying_heard *offer,
                               struct arena *a, struct sdp_new_media *ret, struct reason *why);
MUST_USE int media_keys_accept(struct media_keys *k, const struct keying_at *at,
                               const struct keying_wish *wish, const struct keying_heard *answer,
                               struct reason *why);
void media_keys_rollback(struct media_keys *k);
/* No other answers will come. */
void media_keys_settled(struct media_keys *k, const struct keying_at *at);

/* Clear media was agreed: packets go as they are. */
bool media_keys_is_clear(const struct media_keys *k);
/* There is what to send with. */
bool media_keys_is_ready(const struct media_keys *k);
/* Protects in place. False: not to be sent. */
MUST_USE bool media_keys_protect(struct media_keys *k, bool is_rtcp, uint8_t *p, size_t *n,
                                 size_t cap);
/* Opens in place. False: not to be heard. `path`: the socket it came by. */
MUST_USE bool media_keys_open(struct media_keys *k, const struct keying_at *at, bool is_rtcp,
                              enum keying_path path, uint8_t *p, size_t *n);

void media_keys_packet(struct media_keys *k, const struct keying_at *at, enum keying_path path,
                       const struct addr *from, const uint8_t *p, size_t n);
void media_keys_tick(struct media_keys *k, const struct keying_at *at); /* if it is time */

/* Works off what has happened: packets are sent, keys installed. */
typedef void (*media_keys_send)(void *arg, enum keying_path path, const struct addr *to,
                                const uint8_t *p, size_t n);
enum { MEDIA_KEYS_CHANGED = 1, MEDIA_KEYS_REKEY = 2, MEDIA_KEYS_FAILED = 4 };
unsigned media_keys_drain(struct media_keys *k, media_keys_send send, void *arg);

void media_keys_facts(const struct media_keys *k, struct keying_facts *ret);
/* NULL: it has not failed. */
const struct reason *media_keys_failure(const struct media_keys *k);

#endif

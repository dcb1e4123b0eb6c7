/* Key management of the legs of relayed calls: a keying leg with everything around it that is not
 * pure. What the legs say is done: packets go out by their end, keys are installed there, timers
 * run, handshakes are worked off by a small pool of threads, so that a burst of new calls stalls
 * neither media (another thread) nor signalling. RFC 5764, RFC 7983, TR/100 8.2.
 *
 * One object for each leg (a dialog, or a branch of a fork). Inside is a lock, which a leg and its
 * forks have in common: signalling and pool take turns, each for the time of one step of the leg (a
 * millisecond at most). Functions for descriptions return at once and have the meaning of
 * keying_leg_*'s; what follows from them (keys to install) has been handed to the ends when they
 * return; handshakes begin in the pool.
 *
 * Ends. Bind them when they are made: packets need one. Keys of a section that has no end yet are
 * kept until it has one. A fork without an end hears the packets that come to the ends of its
 * family, for all have sent the same offer, and speaks through them: clients of DTLS that answer
 * the same offer come to the same port (RFC 8842 8).
 *
 * Events of ends go in by relay_keys_event, which may be called on the media worker's thread: it
 * queues. `on_change` is called on a thread of the pool, or inside a function of this file on the
 * caller's, with the lock held: whoever hears it copies and posts, and calls nothing here. None
 * comes after relay_keys_free has returned. */
#ifndef RELAY_KEYS_H
#define RELAY_KEYS_H

#include "keying/leg.h"
#include "relay/relay.h"

struct relay_keyring; /* the pool: one for the process */
struct relay_keys;

enum relay_keys_change_kind {
    RELAY_KEYS_FACTS,  /* relay_keys_facts says something new */
    RELAY_KEYS_REKEY,  /* a new offer with wish.rekey is due */
    RELAY_KEYS_FAILED, /* no keys will come, or the end did not take them: reason */
    RELAY_KEYS_ASK     /* KEYING_EVENT_ASK: answer by relay_keys_tell */
};
struct relay_keys_change {
    enum relay_keys_change_kind kind;
    int section;
    struct reason reason;
    enum keying_ask ask;
    uint32_t ask_id;
    const uint8_t *bytes; /* during the call */
    size_t n;
};

struct relay_keyring_args {
    unsigned n_threads; /* at most 16; 0: half as many as there are cores, 2 to 8 */
    bool dry; /* no threads: relay_keyring_run does their work. For tests in virtual time */
    void (*on_change)(void *arg, uint64_t keys_cookie, const struct relay_keys_change *change);
    void *arg;
};
/* ERR_INVALID, ERR_NOMEM, ERR_IO: no threads. */
MUST_USE int relay_keyring_new(struct relay_keyring **ret, const struct relay_keyring_args *args);
void relay_keyring_free(struct relay_keyring *k); /* after all its keys */
/* Dry: works off what waits, at this time; returns now_ms of the next timer, UINT64_MAX: none. */
uint64_t relay_keyring_run(struct relay_keyring *k, uint64_t now_ms);
/* The certificate behind our fingerprints, renewed in time; a reference for a policy. NULL: no
 * memory. */
struct keying_dtls_identity *relay_keyring_identity(struct relay_keyring *k);

/* The policies (this, and those of wishes) and their identities must outlive the keys and their
 * forks. ERR_NOMEM. */
MUST_USE int relay_keys_new(struct relay_keyring *k, const struct keying_policy *policy,
                            uint64_t cookie, struct relay_keys **ret);
void relay_keys_free(struct relay_keys *keys); /* no change is told afterwards; NULL is fine */
/* As keying_leg_fork: another answer to the offers that are out. Its sections have no ends yet. */
MUST_USE int relay_keys_fork(struct relay_keys *keys, uint64_t cookie, struct relay_keys **ret);
/* The end that carries a section; NULL: none any more. It must be unbound before it is freed, and
 * before another leg has it. */
void relay_keys_bind(struct relay_keys *keys, int section, struct relay_end *end);
/* By the bound end, on its worker's thread: KEYS, MEDIA and REKEY go to the leg, REFUSED comes out as
 * RELAY_KEYS_FAILED. Never waits; more than LIMIT_RELAY_KEYS_QUEUE packets of one leg are dropped,
 * of strangers half as many. */
void relay_keys_event(struct relay_keys *keys, int section, const struct relay_event *event);

/* keying_leg_offer, _answer, _accept, _rollback, _close, _tell with the time of now. */
MUST_USE int relay_keys_offer(struct relay_keys *keys, int section, const struct keying_wish *wish,
                              bool has_feedback, struct keying_said *said,
                              enum sdp_proto *ret_proto, struct reason *why);
MUST_USE int relay_keys_answer(struct relay_keys *keys, int section, const struct keying_wish *wish,
                               const struct keying_heard *offer, struct keying_said *said,
                               struct reason *why);
MUST_USE int relay_keys_accept(struct relay_keys *keys, int section, const struct keying_wish *wish,
                               const struct keying_heard *answer, struct reason *why);
void relay_keys_rollback(struct relay_keys *keys);
void relay_keys_close(struct relay_keys *keys, int section);
void relay_keys_tell(struct relay_keys *keys, int section, const struct keying_tell *tell);
/* A copy, with the media plane's counters (auth_failures) in it. */
void relay_keys_facts(struct relay_keys *keys, int section, struct keying_facts *ret);

#endif

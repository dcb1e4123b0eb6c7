/* The pool of key threads (keyring.c) as the legs (keys.c) see it: jobs that stand in line for a
 * turn. */
#ifndef RELAY_KEYS_PRIV_H
#define RELAY_KEYS_PRIV_H

#include "base/list.h"
#include "base/wheel.h"
#include "relay/keys.h"
#include <pthread.h>
#include <stdatomic.h>

#define KEYRING_THREADS_MAX 16u

struct relay_keyring {
    _Atomic unsigned refs; /* the owner's, and one of each leg */
    bool dry;
    void (*on_change)(void *arg, uint64_t keys_cookie, const struct relay_keys_change *change);
    void *arg;
    unsigned n_threads;
    pthread_t thread[KEYRING_THREADS_MAX];
    _Atomic uint64_t dry_ms; /* the time, if dry */
    uint64_t dry_wall_ms;    /* what the wall's clock showed when that was 0 */

    pthread_mutex_t lock; /* of all below */
    pthread_cond_t work;  /* threads wait here, but for one */
    pthread_cond_t clock; /* that one: until the next timer */
    unsigned n_idle;
    bool has_clock, is_stopping;
    uint64_t clock_ms; /* how long that one waits */
    struct list line;  /* jobs that wait for a turn */
    struct wheel *wheel;

    pthread_mutex_t identity_lock;
    struct keying_dtls_identity *identity;
};
void keyring_ref(struct relay_keyring *k);
void keyring_unref(struct relay_keyring *k);
struct keying_at keyring_at(const struct relay_keyring *k); /* the calling thread's */

/* What an end has told. */
struct keyring_item {
    struct keyring_item *next;
    int section;
    enum relay_event_kind kind;
    enum keying_path path;
    struct addr from;
    int err; /* REFUSED */
    bool is_send, is_named;
    size_t n;
    uint8_t bytes[];
};

/* Embedded in what is to have turns: one turn at a time, on any thread of the pool. */
struct keyring_job {
    struct relay_keyring *ring;
    /* One item, or NULL; is_tick: its timer has fired. */
    void (*turn)(struct keyring_job *job, const struct keyring_item *item, bool is_tick);
    void (*ref)(struct keyring_job *job); /* held while it waits or has its turn */
    void (*unref)(struct keyring_job *job);
    /* under the ring's lock */
    struct list node;
    bool is_in_line, is_at_work, is_tick_due, is_closed;
    struct wheel_timer timer;
    struct keyring_item *first, **last;
    size_t n_items;
};
void keyring_job_init(struct keyring_job *job, struct relay_keyring *k);
/* Takes the item over, unless more than `max` wait already, or the job is closed. */
bool keyring_put(struct keyring_job *job, struct keyring_item *item, size_t max);
/* UINT64_MAX: no timer. */
void keyring_timer(struct keyring_job *job, uint64_t at_ms);
/* Nothing waits any more, and nothing will. A turn may be under way. */
void keyring_close(struct keyring_job *job);

#endif

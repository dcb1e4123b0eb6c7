/* Key management of the legs of relayed calls: each leg, its lock, and its ends. The pool that
 * gives it turns is in keyring.c. RFC 5764, RFC 7983, TR/100 8.2.
 *
 * Locks, in the order in which they are taken:
 *
 *     a family's, for one step of one of its legs. A leg and its forks are a family, for they share
 *       the place where DTLS clients arrive
 *     the ring's (keyring.c), or those of relay.h
 *
 * A media thread that has something to tell takes the ring's alone. With the family's lock held the
 * ends are called (which call nobody here), and on_change, so that nothing is told after
 * relay_keys_free.
 *
 * Who holds references to a leg: who made it, each end that it is bound to (a media thread may be
 * about to hand an event over while signalling frees the leg), and the pool while the leg waits
 * there. The keying leg inside is gone when relay_keys_free returns; an event that comes later
 * finds the job closed. */
#include "relay/keys.h"
#include "base/err.h"
#include "base/mem.h"
#include "relay/keys_priv.h"
#include "relay/relay_priv.h"

#define KEPT_MAX 16u /* keys of a leg that wait for an end */

struct family {
    pthread_mutex_t lock;
    _Atomic unsigned refs;
    struct list members; /* under the lock */
};

/* Keys that came before the end. */
struct kept {
    struct kept *next;
    int section;
    struct keying_install install;
    struct keying_keys keys;
};

struct relay_keys {
    _Atomic unsigned refs;
    struct keyring_job job;
    struct family *family;
    uint64_t cookie;

    /* under the family's lock */
    struct list member;
    struct keying_leg *leg; /* NULL: freed */
    struct relay_end *end[LIMIT_KEYING_SECTIONS];
    struct kept *kept;
    unsigned n_kept;
};

static struct relay_keys *keys_of(struct keyring_job *job)
{
    return CONTAINER_OF(job, struct relay_keys, job);
}

static void lock(pthread_mutex_t *m)
{
    (void)!pthread_mutex_lock(m);
}

static void unlock(pthread_mutex_t *m)
{
    (void)!pthread_mutex_unlock(m);
}

/* ---- references ---- */

static void family_unref(struct family *f)
{
    if (f == NULL || atomic_fetch_sub_explicit(&f->refs, 1, memory_order_acq_rel) != 1)
        return;
    (void)!pthread_mutex_destroy(&f->lock);
    mem_free(f);
}

static struct family *family_new(void)
{
    struct family *f = mem_zalloc(sizeof(*f));

    if (f != NULL && pthread_mutex_init(&f->lock, NULL) != 0) {
        mem_free(f);
        return NULL;
    }
    if (f != NULL) {
        atomic_init(&f->refs, 1);
        list_init(&f->members);
    }
    return f;
}

static void keys_ref(struct relay_keys *keys)
{
    atomic_fetch_add_explicit(&keys->refs, 1, memory_order_relaxed);
}

static void keys_unref(struct relay_keys *keys)
{
    if (atomic_fetch_sub_explicit(&keys->refs, 1, memory_order_acq_rel) != 1)
        return;
    family_unref(keys->family);
    keyring_unref(keys->job.ring);
    mem_free(keys);
}

/* ---- what a leg says; with the family's lock held ---- */

static void tell(struct relay_keys *keys, const struct relay_keys_change *change)
{
    keys->job.ring->on_change(keys->job.ring->arg, keys->cookie, change);
}

static void kept_free(struct kept *kept)
{
    keying_keys_wipe(&kept->keys);
    mem_free(kept);
}

/* Media that cannot be protected do not flow, and nobody would know why. */
static void install_failed(struct relay_keys *keys, int section, bool is_send, int err)
{
    struct relay_keys_change change = {.kind = RELAY_KEYS_FAILED, .section = section};

    reason_set(&change.reason, "keys-not-installed",
               err == ERR_REFUSED ? "RFC 3711 9.2" : "RFC 3711 8.2", 500, "to %s with: %s",
               is_send ? "send" : "receive",
               err == ERR_REFUSED ? "they were in use before" : err_text(err));
    tell(keys, &change);
}

static void keep(struct relay_keys *keys, int section, const struct keying_install *install)
{
    struct kept *kept = keys->n_kept < KEPT_MAX ? mem_zalloc(sizeof(*kept)) : NULL;
    struct kept **end = &keys->kept;

    if (kept == NULL) {
        install_failed(keys, section, install->is_send,
                       keys->n_kept < KEPT_MAX ? ERR_NOMEM : ERR_LIMIT);
        return;
    }
    *kept = (struct kept){.section = section, .install = *install, .keys = *install->keys};
    kept->install.keys = &kept->keys;
    while (*end != NULL)
        end = &(*end)->next;
    *end = kept;
    keys->n_kept++;
}

static void install(struct relay_keys *keys, int section, const struct keying_install *install)
{
    int err;

    if (keys->end[section] == NULL) {
        keep(keys, section, install);
        return;
    }
    err = relay_end_install(keys->end[section], install);
    if (err != 0)
        install_failed(keys, section, install->is_send, err);
}

/* Those of one section (-1: all) that have waited: to the end, or away. */
static void kept_settle(struct relay_keys *keys, int section, struct relay_end *end)
{
    for (struct kept **at = &keys->kept, *kept; (kept = *at) != NULL;) {
        if (section >= 0 && kept->section != section) {
            at = &kept->next;
            continue;
        }
        *at = kept->next;
        keys->n_kept--;
        if (end != NULL)
            install(keys, kept->section, &kept->install);
        kept_free(kept);
    }
}

/* A fork that has no end yet speaks through that of its family: the offer that it answers named
 * that one's port. */
static struct relay_end *speaker(const struct relay_keys *keys, int section)
{
    if (keys->end[section] != NULL)
        return keys->end[section];
    LIST_EACH(other, &keys->family->members, const struct relay_keys, member)
    {
        if (other->end[section] != NULL)
            return other->end[section];
    }
    return NULL;
}

static void say(struct relay_keys *keys, const struct keying_event *event)
{
    struct relay_keys_change change = {.section = event->section};
    struct relay_end *end;

    switch (event->kind) {
    case KEYING_EVENT_SEND:
        end = speaker(keys, event->section);
        if (end != NULL)
            relay_end_send(end, event->path, addr_is_set(&event->to) ? &event->to : NULL,
                           event->bytes, event->n);
        return;
    case KEYING_EVENT_INSTALL:
        install(keys, event->section, &event->install);
        return;
    case KEYING_EVENT_FACTS:
        change.kind = RELAY_KEYS_FACTS;
        break;
    case KEYING_EVENT_REKEY:
        change.kind = RELAY_KEYS_REKEY;
        break;
    case KEYING_EVENT_FAILED:
        change.kind = RELAY_KEYS_FAILED;
        change.reason = event->reason;
        break;
    case KEYING_EVENT_ASK:
        change.kind = RELAY_KEYS_ASK;
        change.ask = event->ask;
        change.ask_id = event->ask_id;
        change.bytes = event->bytes;
        change.n = event->n;
        break;
    case KEYING_EVENT_NONE:
        return;
    }
    tell(keys, &change);
}

/* After each step: what the leg has to say, and when it wants to be called again. */
static void drain(struct relay_keys *keys)
{
    struct keying_event event;

    while (keying_leg_next(keys->leg, &event))
        say(keys, &event);
    keyring_timer(&keys->job, keying_leg_timer(keys->leg));
}

/* ---- turns ---- */

/* A packet for the whole family, for all of them have sent the same offer and named the same port:
 * those that have no end of their own get it as well, the others see whether somebody for them has
 * arrived with it (RFC 8842 8), and at once: what is sent to him afterwards tells him that we have
 * the keys. Who is served twice by the same packet takes it for a repetition. */
static void packet_in(struct relay_keys *keys, const struct keying_at *at,
                      const struct keyring_item *item)
{
    keying_leg_packet(keys->leg, item->section, at, item->path, &item->from, item->is_named,
                      item->bytes, item->n);
    LIST_EACH(other, &keys->family->members, struct relay_keys, member)
    {
        if (other == keys)
            continue;
        if (other->end[item->section] != NULL)
            keying_leg_tick(other->leg, at);
        else
            keying_leg_packet(other->leg, item->section, at, item->path, &item->from, item->is_named,
                              item->bytes, item->n);
        drain(other);
    }
}

static void take_item(struct relay_keys *keys, const struct keying_at *at,
                      const struct keyring_item *item)
{
    struct keying_tell what = {.path = item->path};

    switch (item->kind) {
    case RELAY_EVENT_KEYS:
        packet_in(keys, at, item);
        break;
    case RELAY_EVENT_MEDIA:
        what.kind = KEYING_TELL_MEDIA;
        keying_leg_tell(keys->leg, item->section, at, &what);
        break;
    case RELAY_EVENT_REKEY:
        what.kind = KEYING_TELL_REKEY_DUE;
        keying_leg_tell(keys->leg, item->section, at, &what);
        break;
    case RELAY_EVENT_REFUSED:
        install_failed(keys, item->section, item->is_send, item->err);
        break;
    default:
        break;
    }
}

static void turn(struct keyring_job *job, const struct keyring_item *item, bool is_tick)
{
    struct relay_keys *keys = keys_of(job);

    lock(&keys->family->lock);
    if (keys->leg != NULL) {
        struct keying_at at = keyring_at(keys->job.ring);

        if (item != NULL)
            take_item(keys, &at, item);
        if (is_tick)
            keying_leg_tick(keys->leg, &at);
        drain(keys);
    }
    unlock(&keys->family->lock);
}

/* ---- legs ---- */

static void job_ref(struct keyring_job *job)
{
    keys_ref(keys_of(job));
}

static void job_unref(struct keyring_job *job)
{
    keys_unref(keys_of(job));
}

/* Without family and leg yet. */
static struct relay_keys *keys_alloc(struct relay_keyring *k, uint64_t cookie)
{
    struct relay_keys *keys = mem_zalloc(sizeof(*keys));

    if (keys == NULL)
        return NULL;
    atomic_init(&keys->refs, 1);
    keyring_ref(k);
    keyring_job_init(&keys->job, k);
    keys->job.turn = turn;
    keys->job.ref = job_ref;
    keys->job.unref = job_unref;
    keys->cookie = cookie;
    list_init(&keys->member);
    return keys;
}

int relay_keys_new(struct relay_keyring *k, const struct keying_policy *policy, uint64_t cookie,
                   struct relay_keys **ret)
{
    struct relay_keys *keys = keys_alloc(k, cookie);
    int err = ERR_NOMEM;

    *ret = NULL;
    if (keys == NULL)
        return ERR_NOMEM;
    keys->family = family_new();
    if (keys->family != NULL)
        err = keying_leg_new(&keys->leg, policy);
    if (err != 0) {
        keys_unref(keys);
        return err;
    }
    list_append(&keys->family->members, &keys->member);
    *ret = keys;
    return 0;
}

int relay_keys_fork(struct relay_keys *keys, uint64_t cookie, struct relay_keys **ret)
{
    struct relay_keys *twin = keys_alloc(keys->job.ring, cookie);
    int err;

    *ret = NULL;
    if (twin == NULL)
        return ERR_NOMEM;
    lock(&keys->family->lock);
    err = keying_leg_fork(keys->leg, &twin->leg);
    if (err == 0) {
        twin->family = keys->family;
        atomic_fetch_add_explicit(&twin->family->refs, 1, memory_order_relaxed);
        list_append(&twin->family->members, &twin->member);
        drain(twin);
    }
    unlock(&keys->family->lock);
    if (err != 0) {
        keys_unref(twin);
        return err;
    }
    *ret = twin;
    return 0;
}

void relay_keys_free(struct relay_keys *keys)
{
    if (keys == NULL)
        return;
    for (int section = 0; section < (int)LIMIT_KEYING_SECTIONS; section++)
        relay_keys_bind(keys, section, NULL);
    lock(&keys->family->lock);
    keyring_close(&keys->job);
    kept_settle(keys, -1, NULL);
    keying_leg_free(keys->leg);
    keys->leg = NULL;
    list_remove(&keys->member);
    unlock(&keys->family->lock);
    keys_unref(keys);
}

/* ---- ends ---- */

static void sink_event(void *arg, int section, const struct relay_event *event)
{
    relay_keys_event(arg, section, event);
}

static void sink_ref(void *arg)
{
    keys_ref(arg);
}

static void sink_unref(void *arg)
{
    keys_unref(arg);
}

void relay_keys_bind(struct relay_keys *keys, int section, struct relay_end *end)
{
    struct relay_sink sink = {
        .arg = keys, .section = section, .event = sink_event, .ref = sink_ref, .unref = sink_unref};

    if (section < 0 || section >= (int)LIMIT_KEYING_SECTIONS)
        return;
    lock(&keys->family->lock);
    if (keys->end[section] != end) {
        if (keys->end[section] != NULL)
            relay_end_bind(keys->end[section], NULL);
        keys->end[section] = end;
        if (end != NULL) {
            relay_end_bind(end, &sink);
            kept_settle(keys, section, end);
        }
    }
    unlock(&keys->family->lock);
}

void relay_keys_event(struct relay_keys *keys, int section, const struct relay_event *event)
{
    size_t n = event->kind == RELAY_EVENT_KEYS ? event->n : 0, max = LIMIT_RELAY_KEYS_QUEUE / 2;
    struct keyring_item *item;

    if (section < 0 || section >= (int)LIMIT_KEYING_SECTIONS || n > LIMIT_RELAY_PACKET)
        return;
    item = mem_alloc(sizeof(*item) + n);
    if (item == NULL)
        return; /* as if the network had lost it */
    *item = (struct keyring_item){.section = section,
                                  .kind = event->kind,
                                  .path = event->path,
                                  .from = event->from,
                                  .err = event->err,
                                  .is_send = event->is_send,
                                  .is_named = event->is_named,
                                  .n = n};
    if (n > 0)
        memcpy(item->bytes, event->bytes, n);
    /* Strangers have half of the room, the peer all of it; what is no packet comes once for each
     * run of keys, and is not to be lost to a flood. */
    if (event->kind != RELAY_EVENT_KEYS)
        max = 2 * LIMIT_RELAY_KEYS_QUEUE;
    else if (event->is_named)
        max = LIMIT_RELAY_KEYS_QUEUE;
    if (!keyring_put(&keys->job, item, max))
        mem_free(item);
}

/* ---- descriptions ---- */

int relay_keys_offer(struct relay_keys *keys, int section, const struct keying_wish *wish,
                     bool has_feedback, struct keying_said *said, enum sdp_proto *ret_proto,
                     struct reason *why)
{
    struct keying_at at = keyring_at(keys->job.ring);
    int err;

    lock(&keys->family->lock);
    err = keying_leg_offer(keys->leg, section, &at, wish, has_feedback, said, ret_proto, why);
    drain(keys);
    unlock(&keys->family->lock);
    return err;
}

int relay_keys_answer(struct relay_keys *keys, int section, const struct keying_wish *wish,
                      const struct keying_heard *offer, struct keying_said *said,
                      struct reason *why)
{
    struct keying_at at = keyring_at(keys->job.ring);
    int err;

    lock(&keys->family->lock);
    err = keying_leg_answer(keys->leg, section, &at, wish, offer, said, why);
    drain(keys);
    unlock(&keys->family->lock);
    return err;
}

int relay_keys_accept(struct relay_keys *keys, int section, const struct keying_wish *wish,
                      const struct keying_heard *answer, struct reason *why)
{
    struct keying_at at = keyring_at(keys->job.ring);
    int err;

    lock(&keys->family->lock);
    err = keying_leg_accept(keys->leg, section, &at, wish, answer, why);
    drain(keys);
    unlock(&keys->family->lock);
    return err;
}

void relay_keys_rollback(struct relay_keys *keys)
{
    lock(&keys->family->lock);
    keying_leg_rollback(keys->leg);
    drain(keys);
    unlock(&keys->family->lock);
}

void relay_keys_close(struct relay_keys *keys, int section)
{
    lock(&keys->family->lock);
    keying_leg_close(keys->leg, section);
    if (section >= 0)
        kept_settle(keys, section, NULL);
    drain(keys);
    unlock(&keys->family->lock);
}

void relay_keys_tell(struct relay_keys *keys, int section, const struct keying_tell *what)
{
    struct keying_at at = keyring_at(keys->job.ring);

    lock(&keys->family->lock);
    keying_leg_tell(keys->leg, section, &at, what);
    drain(keys);
    unlock(&keys->family->lock);
}

void relay_keys_facts(struct relay_keys *keys, int section, struct keying_facts *ret)
{
    struct relay_end_stats stats;

    lock(&keys->family->lock);
    *ret = *keying_leg_facts(keys->leg, section);
    if (section >= 0 && section < (int)LIMIT_KEYING_SECTIONS && keys->end[section] != NULL) {
        relay_end_stats(keys->end[section], &stats);
        ret->auth_failures =
            stats.not_authentic < UINT32_MAX ? (uint32_t)stats.not_authentic : UINT32_MAX;
    }
    unlock(&keys->family->lock);
}

/* The pool of key threads: jobs stand in line for a turn, timers put them there, threads give
 * turns.
 *
 * The ring's lock is held for some instructions at a time, never during a turn; media threads take
 * it when they hand over a packet of key management. A turn is one packet of one job; who has more
 * goes to the end of the line, so that a flood at one port delays the others by one packet of its
 * own at a time.
 *
 * One idle thread has the clock: it waits until the next timer is due. The others wait for work. A
 * thread that comes back from a turn looks at the clock as well, so that nobody need have it while
 * one is at work. */
#include "base/err.h"
#include "base/mem.h"
#include "keying/dtls.h"
#include "relay/keys_priv.h"
#include <signal.h>
#include <time.h>
#include <unistd.h>

static void lock(pthread_mutex_t *m)
{
    (void)!pthread_mutex_lock(m);
}

static void unlock(pthread_mutex_t *m)
{
    (void)!pthread_mutex_unlock(m);
}

/* ---- time and chance ---- */

static uint64_t clock_ms(clockid_t id)
{
    struct timespec t;

    (void)clock_gettime(id, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static uint64_t now_of(const struct relay_keyring *k)
{
    return k->dry ? atomic_load_explicit(&k->dry_ms, memory_order_relaxed)
                  : clock_ms(CLOCK_MONOTONIC);
}

static uint64_t wall_of(const struct relay_keyring *k)
{
    return k->dry ? k->dry_wall_ms + now_of(k) : clock_ms(CLOCK_REALTIME);
}

struct keying_at keyring_at(const struct relay_keyring *k)
{
    static _Thread_local struct rand_source rand;

    if (rand.fill == NULL)
        rand_system_init(&rand);
    return (struct keying_at){.now_ms = now_of(k), .wall_ms = wall_of(k), .rand = &rand};
}

/* ---- references ---- */

void keyring_ref(struct relay_keyring *k)
{
    atomic_fetch_add_explicit(&k->refs, 1, memory_order_relaxed);
}

void keyring_unref(struct relay_keyring *k)
{
    if (atomic_fetch_sub_explicit(&k->refs, 1, memory_order_acq_rel) != 1)
        return;
    keying_dtls_identity_unref(k->identity);
    wheel_free(k->wheel);
    (void)!pthread_cond_destroy(&k->work);
    (void)!pthread_cond_destroy(&k->clock);
    (void)!pthread_mutex_destroy(&k->lock);
    (void)!pthread_mutex_destroy(&k->identity_lock);
    mem_free(k);
}

/* ---- the line ---- */

/* This and the next three with the lock held. */
static void wake(struct relay_keyring *k)
{
    if (k->n_idle > 0)
        (void)!pthread_cond_signal(&k->work);
    else if (k->has_clock)
        (void)!pthread_cond_signal(&k->clock);
}

static void stand_in_line(struct keyring_job *job)
{
    if (job->is_in_line || job->is_at_work)
        return;
    job->is_in_line = true;
    job->ref(job);
    list_append(&job->ring->line, &job->node);
    wake(job->ring);
}

static void timer_fired(struct wheel_timer *t)
{
    struct keyring_job *job = CONTAINER_OF(t, struct keyring_job, timer);

    job->is_tick_due = true;
    stand_in_line(job);
}

static struct keyring_item *item_take(struct keyring_job *job)
{
    struct keyring_item *item = job->first;

    if (item == NULL)
        return NULL;
    job->first = item->next;
    if (job->first == NULL)
        job->last = &job->first;
    job->n_items--;
    return item;
}

void keyring_job_init(struct keyring_job *job, struct relay_keyring *k)
{
    job->ring = k;
    job->last = &job->first;
    list_init(&job->node);
    wheel_timer_init(&job->timer, timer_fired);
}

bool keyring_put(struct keyring_job *job, struct keyring_item *item, size_t max)
{
    bool is_taken;

    lock(&job->ring->lock);
    is_taken = !job->is_closed && job->n_items < max;
    if (is_taken) {
        item->next = NULL;
        *job->last = item;
        job->last = &item->next;
        job->n_items++;
        stand_in_line(job);
    }
    unlock(&job->ring->lock);
    return is_taken;
}

void keyring_timer(struct keyring_job *job, uint64_t at_ms)
{
    struct relay_keyring *k = job->ring;

    lock(&k->lock);
    if (at_ms == UINT64_MAX || job->is_closed) {
        wheel_cancel(k->wheel, &job->timer);
    } else if (!wheel_is_running(&job->timer) || job->timer.due_ms != at_ms) {
        uint64_t now_ms = wheel_now_ms(k->wheel);

        wheel_start(k->wheel, &job->timer, at_ms > now_ms ? at_ms - now_ms : 0);
        if (!k->has_clock)
            wake(k);
        else if (at_ms < k->clock_ms)
            (void)!pthread_cond_signal(&k->clock);
    }
    unlock(&k->lock);
}

void keyring_close(struct keyring_job *job)
{
    struct relay_keyring *k = job->ring;
    struct keyring_item *item;
    bool was_in_line;

    lock(&k->lock);
    job->is_closed = true;
    wheel_cancel(k->wheel, &job->timer);
    while ((item = item_take(job)) != NULL)
        mem_free(item);
    job->is_tick_due = false;
    was_in_line = job->is_in_line;
    job->is_in_line = false;
    list_remove(&job->node);
    unlock(&k->lock);
    if (was_in_line)
        job->unref(job);
}

/* ---- turns ---- */

/* The first in line has its turn. The lock is held, but not meanwhile. */
static void serve(struct relay_keyring *k)
{
    struct keyring_job *job = LIST_FIRST(&k->line, struct keyring_job, node);
    struct keyring_item *item = item_take(job);
    bool is_tick = job->is_tick_due;

    list_remove(&job->node);
    job->is_in_line = false;
    job->is_at_work = true;
    job->is_tick_due = false;
    unlock(&k->lock);
    job->turn(job, item, is_tick);
    mem_free(item);
    lock(&k->lock);
    job->is_at_work = false;
    if (job->first != NULL || job->is_tick_due)
        stand_in_line(job);
    unlock(&k->lock);
    job->unref(job); /* maybe the job's last, never the ring's: its owner waits for this thread */
    lock(&k->lock);
}

static void *pool_thread(void *arg)
{
    struct relay_keyring *k = arg;

    lock(&k->lock);
    while (!k->is_stopping) {
        uint64_t next;

        wheel_advance(k->wheel, now_of(k));
        if (!list_is_empty(&k->line)) {
            serve(k);
            continue;
        }
        next = wheel_next_ms(k->wheel);
        if (k->has_clock || next == UINT64_MAX) {
            k->n_idle++;
            (void)!pthread_cond_wait(&k->work, &k->lock);
            k->n_idle--;
        } else {
            struct timespec until;

            k->has_clock = true;
            k->clock_ms = wheel_now_ms(k->wheel) + next;
            until.tv_sec = (time_t)(k->clock_ms / 1000);
            until.tv_nsec = (long)(k->clock_ms % 1000) * 1000000;
            (void)!pthread_cond_timedwait(&k->clock, &k->lock, &until);
            k->has_clock = false;
        }
    }
    unlock(&k->lock);
    return NULL;
}

uint64_t relay_keyring_run(struct relay_keyring *k, uint64_t now_ms)
{
    uint64_t next, now;

    if (now_ms > now_of(k))
        atomic_store_explicit(&k->dry_ms, now_ms, memory_order_relaxed);
    lock(&k->lock);
    wheel_advance(k->wheel, now_of(k));
    while (!list_is_empty(&k->line))
        serve(k);
    next = wheel_next_ms(k->wheel);
    now = wheel_now_ms(k->wheel);
    unlock(&k->lock);
    return next == UINT64_MAX ? next : now + next;
}

/* ---- the ring ---- */

static int sync_init(struct relay_keyring *k)
{
    pthread_condattr_t attr;
    int err;

    if (pthread_condattr_init(&attr) != 0)
        return ERR_NOMEM;
    err = pthread_condattr_setclock(&attr, CLOCK_MONOTONIC) != 0 ||
                  pthread_cond_init(&k->work, &attr) != 0 ||
                  pthread_cond_init(&k->clock, &attr) != 0 ||
                  pthread_mutex_init(&k->lock, NULL) != 0 ||
                  pthread_mutex_init(&k->identity_lock, NULL) != 0
              ? ERR_NOMEM
              : 0;
    (void)!pthread_condattr_destroy(&attr);
    return err;
}

static int threads_start(struct relay_keyring *k, unsigned n)
{
    sigset_t all, old;

    (void)sigfillset(&all); /* signals are the main thread's */
    (void)pthread_sigmask(SIG_SETMASK, &all, &old);
    while (k->n_threads < n && pthread_create(&k->thread[k->n_threads], NULL, pool_thread, k) == 0)
        k->n_threads++;
    (void)pthread_sigmask(SIG_SETMASK, &old, NULL);
    return k->n_threads == n ? 0 : ERR_IO;
}

/* A core does 1,000 handshakes a second. Two at least, so that one that hangs holds up nobody;
 * media and signalling have the other half. */
static unsigned threads_default(void)
{
    long n = sysconf(_SC_NPROCESSORS_ONLN) / 2;

    return n < 2 ? 2 : n > KEYRING_THREADS_MAX / 2 ? KEYRING_THREADS_MAX / 2 : (unsigned)n;
}

int relay_keyring_new(struct relay_keyring **ret, const struct relay_keyring_args *args)
{
    unsigned n = args->n_threads == 0 ? threads_default() : args->n_threads;
    struct relay_keyring *k;

    *ret = NULL;
    if (n > KEYRING_THREADS_MAX || args->on_change == NULL)
        return ERR_INVALID;
    k = mem_zalloc(sizeof(*k));
    if (k == NULL)
        return ERR_NOMEM;
    k->dry = args->dry;
    k->on_change = args->on_change;
    k->arg = args->arg;
    k->dry_wall_ms = clock_ms(CLOCK_REALTIME);
    atomic_init(&k->refs, 1);
    atomic_init(&k->dry_ms, 0);
    list_init(&k->line);
    k->wheel = wheel_new(now_of(k));
    if (k->wheel == NULL || sync_init(k) != 0) {
        wheel_free(k->wheel);
        mem_free(k);
        return ERR_NOMEM;
    }
    if (!k->dry && threads_start(k, n) != 0) {
        relay_keyring_free(k);
        return ERR_IO;
    }
    *ret = k;
    return 0;
}

void relay_keyring_free(struct relay_keyring *k)
{
    if (k == NULL)
        return;
    lock(&k->lock);
    k->is_stopping = true;
    (void)!pthread_cond_broadcast(&k->work);
    (void)!pthread_cond_broadcast(&k->clock);
    unlock(&k->lock);
    for (unsigned i = 0; i < k->n_threads; i++)
        (void)!pthread_join(k->thread[i], NULL);
    keyring_unref(k);
}

struct keying_dtls_identity *relay_keyring_identity(struct relay_keyring *k)
{
    struct keying_dtls_identity *fresh, *ret = NULL;
    struct keying_at at = keyring_at(k);

    lock(&k->identity_lock);
    if ((k->identity == NULL || keying_dtls_identity_is_due(k->identity, at.wall_ms / 1000)) &&
        keying_dtls_identity_new(&fresh, at.wall_ms / 1000, at.rand) == 0) {
        keying_dtls_identity_unref(k->identity);
        k->identity = fresh;
    }
    if (k->identity != NULL) /* one that is due is better than none */
        ret = keying_dtls_identity_ref(k->identity);
    unlock(&k->identity_lock);
    return ret;
}

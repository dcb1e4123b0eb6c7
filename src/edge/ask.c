/* Questions to workers (ask.h). The question is counted: one reference for who asks, one for each worker that has still to answer,
 * so that a late worker finds it alive. The only lock is held to mark an answer as given or as not waited for. */
#include "edge/ask.h"
#include "base/mem.h"
#include <pthread.h>
#include <stdatomic.h>
#include <time.h>

struct ask {
    atomic_uint refs;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    unsigned n_workers, n_waiting;
    bool is_over; /* nobody waits any more */
    struct ask_args args;
    char text[ASK_TEXT_MAX];
    bool given[EDGE_WORKERS_MAX]; /* before it was over */
    char *answers;
};

static void ask_unref(struct ask *a)
{
    unsigned i;

    if (atomic_fetch_sub(&a->refs, 1) != 1)
        return;
    for (i = 0; a->args.done && i < a->n_workers; i++)
        a->args.done(a->answers + i * a->args.answer_size);
    pthread_cond_destroy(&a->changed);
    pthread_mutex_destroy(&a->lock);
    mem_free(a->answers);
    mem_free(a);
}

static void ask_run(void *edge_worker, void *arg)
{
    struct edge_worker *w = edge_worker;
    struct ask *a = arg;
    bool is_over;

    pthread_mutex_lock(&a->lock);
    is_over = a->is_over;
    pthread_mutex_unlock(&a->lock);
    if (!is_over)
        a->args.fn(w, a->answers + w->id * a->args.answer_size, a->args.text);
    pthread_mutex_lock(&a->lock);
    if (!a->is_over) /* afterwards the asker reads without the lock */
        a->given[w->id] = true;
    a->n_waiting--;
    pthread_cond_signal(&a->changed);
    pthread_mutex_unlock(&a->lock);
    ask_unref(a);
}

static struct ask *ask_new(struct edge *e, const struct ask_args *args)
{
    struct ask *a = mem_zalloc(sizeof *a);
    pthread_condattr_t attr;

    if (!a)
        return NULL;
    a->answers = mem_zalloc_array(e->n_workers, args->answer_size);
    if (!a->answers) {
        mem_free(a);
        return NULL;
    }
    atomic_init(&a->refs, 1);
    a->n_workers = e->n_workers;
    a->args = *args;
    if (args->text.n)
        memcpy(a->text, args->text.p, args->text.n);
    a->args.text = str_make(a->text, args->text.n);
    pthread_mutex_init(&a->lock, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&a->changed, &attr);
    pthread_condattr_destroy(&attr);
    return a;
}

static void ask_wait(struct ask *a)
{
    struct timespec until;

    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += ASK_MS / 1000;
    pthread_mutex_lock(&a->lock);
    while (a->n_waiting > 0)
        if (pthread_cond_timedwait(&a->changed, &a->lock, &until) != 0)
            break;
    a->is_over = true;
    pthread_mutex_unlock(&a->lock);
}

int ask_workers(struct edge *e, const struct ask_args *args, struct ask **ret)
{
    struct ask *a;
    unsigned i;

    if (args->text.n > ASK_TEXT_MAX)
        return ERR_LIMIT;
    if ((a = ask_new(e, args)) == NULL)
        return ERR_NOMEM;
    for (i = 0; e->group && i < e->n_workers; i++) {
        pthread_mutex_lock(&a->lock);
        a->n_waiting++;
        pthread_mutex_unlock(&a->lock);
        atomic_fetch_add(&a->refs, 1);
        if (net_group_post(e->group, i, ask_run, a) != 0) { /* its queue is full: as good as silent */
            pthread_mutex_lock(&a->lock);
            a->n_waiting--;
            pthread_mutex_unlock(&a->lock);
            ask_unref(a);
        }
    }
    ask_wait(a);
    *ret = a;
    return 0;
}

void *ask_answer(struct ask *a, unsigned worker)
{
    return worker < a->n_workers && a->given[worker] ? a->answers + worker * a->args.answer_size : NULL;
}

unsigned ask_silent(const struct ask *a)
{
    unsigned i, n = 0;

    for (i = 0; i < a->n_workers; i++)
        n += !a->given[i];
    return n;
}

void ask_free(struct ask *a)
{
    if (a)
        ask_unref(a);
}

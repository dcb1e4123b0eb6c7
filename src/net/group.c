/* The workers together: made, started, reloaded, stopped. Everything that can fail is done before a
 * worker is told, so that a configuration is taken whole or not at all. Thread: the owner's (main),
 * but for group_answer and what runs as an mq item. */
#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/sbuf.h"
#include "net/locate.h"
#include "net/net_priv.h"
#include "pki/tls.h"
#include <signal.h>
#include <time.h>
#include <unistd.h>

/* --- asking all workers, and waiting until the last one has answered --- */

void group_answer(struct net_group *g, int error)
{
    pthread_mutex_lock(&g->lock);
    g->waiting--;
    if (error && !g->error)
        g->error = error;
    pthread_cond_signal(&g->changed);
    pthread_mutex_unlock(&g->lock);
}

static void group_expect(struct net_group *g, unsigned n)
{
    pthread_mutex_lock(&g->lock);
    g->waiting = n;
    g->error = 0;
    pthread_mutex_unlock(&g->lock);
}

static int group_wait(struct net_group *g)
{
    pthread_mutex_lock(&g->lock);
    while (g->waiting)
        pthread_cond_wait(&g->changed, &g->lock);
    int error = g->error;
    pthread_mutex_unlock(&g->lock);
    return error;
}

static void push(struct worker *w, struct mq_item *item)
{
    struct timespec pause = {.tv_nsec = 1000000};
    while (mq_push(w->mq, item) != 0) /* full: it is being emptied */
        nanosleep(&pause, NULL);
}

/* Not those whose thread was never there, or has left because its start failed. */
static void group_ask(struct net_group *g, void (*run)(struct mq_item *item, void *consumer))
{
    struct mq_item items[NET_WORKERS_MAX];
    unsigned n = 0;
    for (unsigned i = 0; i < g->n_workers; i++)
        n += g->workers[i]->has_thread && !g->workers[i]->has_failed;
    group_expect(g, n);
    for (unsigned i = 0; i < g->n_workers; i++) {
        if (!g->workers[i]->has_thread || g->workers[i]->has_failed)
            continue;
        items[i].run = run;
        push(g->workers[i], &items[i]);
    }
    (void)group_wait(g);
}

/* --- listeners --- */

/* One worker's part of a change. */
struct change {
    struct mq_item item;
    struct listener **table; /* new ones; NULL where `old` says which of the present ones stays */
    int *fds;
    char **origins;
};

struct net_change {
    struct net_group *g;
    size_t n;
    const struct net_listener *cfgs; /* the caller's */
    void (*on_worker)(void *edge_worker, void *arg);
    void **args; /* its, one for each worker */
    int *old; /* index of the listener that stays, -1: a new one */
    struct bound *bound;
    struct change *changes; /* one for each worker */
};

static void change_run(struct mq_item *item, void *consumer)
{
    struct worker *w = consumer;
    struct change *ch = CONTAINER_OF(item, struct change, item);
    const struct net_change *r = w->group->reload;
    for (size_t i = 0; i < r->n; i++) {
        if (r->old[i] < 0)
            continue;
        ch->table[i] = w->listeners[r->old[i]];
        w->listeners[r->old[i]] = NULL;
    }
    for (size_t i = 0; i < w->n_listeners; i++) {
        if (!w->listeners[i])
            continue;
        listener_close(w->listeners[i]);
        listener_unref(w->listeners[i]);
    }
    mem_free(w->listeners);
    w->listeners = ch->table;
    w->n_listeners = r->n;
    ch->table = NULL;
    for (size_t i = 0; i < r->n; i++) {
        listener_set(w->listeners[i], &r->cfgs[i], (uint16_t)i, ch->origins[i]);
        ch->origins[i] = NULL;
        if (r->old[i] < 0)
            listener_poll(w->listeners[i], ch->fds[i]);
    }
    struct locate_reach reach = locate_reach_of(r->cfgs, r->n);
    locator_set_reach(w->locator, &reach);
    if (r->on_worker)
        r->on_worker(w->net.user.arg, r->args[w->net.worker]);
    group_answer(w->group, 0);
}

static void change_free(struct net_change *r)
{
    for (unsigned k = 0; r->changes && k < r->g->n_workers; k++) {
        struct change *ch = &r->changes[k];
        for (size_t i = 0; i < r->n; i++) {
            if (ch->table && ch->table[i])
                listener_unref(ch->table[i]);
            if (ch->origins)
                mem_free(ch->origins[i]);
        }
        mem_free(ch->table);
        mem_free(ch->origins);
        mem_free(ch->fds);
    }
    mem_free(r->changes);
    mem_free(r->old);
    mem_free(r->bound);
    mem_free(r);
}

static void close_new(struct net_change *r, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        for (unsigned k = 0; r->old[i] < 0 && k < r->g->n_workers; k++)
            close(r->changes[k].fds[i]);
    }
}

static int no_memory(struct reason *reason)
{
    reason_set(reason, "no-memory", NULL, 0, "out of memory");
    return ERR_NOMEM;
}

static int reload_alloc(struct net_change *r, struct reason *reason)
{
    r->old = mem_zalloc_array(r->n, sizeof(*r->old));
    r->bound = mem_zalloc_array(r->n, sizeof(*r->bound));
    r->changes = mem_zalloc_array(r->g->n_workers, sizeof(*r->changes));
    if (!r->old || !r->bound || !r->changes)
        return no_memory(reason);
    for (unsigned k = 0; k < r->g->n_workers; k++) {
        struct change *ch = &r->changes[k];
        ch->item.run = change_run;
        ch->table = mem_zalloc_array(r->n, sizeof(*ch->table));
        ch->fds = mem_zalloc_array(r->n, sizeof(*ch->fds));
        ch->origins = mem_zalloc_array(r->n, sizeof(*ch->origins));
        if (!ch->table || !ch->fds || !ch->origins)
            return no_memory(reason);
    }
    return 0;
}

/* Which of the present listeners is this one? Each is matched once. */
static int find_old(const struct net_change *r, size_t upto)
{
    const struct net_group *g = r->g;
    const struct net_listener *cfg = &r->cfgs[upto];
    for (size_t j = 0; j < g->n_bound; j++) {
        bool is_taken = false;
        if (g->bound[j].cfg.transport != cfg->transport ||
            !addr_eq(&g->bound[j].cfg.addr, &cfg->addr))
            continue;
        for (size_t i = 0; i < upto; i++)
            is_taken |= r->old[i] == (int)j;
        if (!is_taken)
            return (int)j;
    }
    return -1;
}

static char *copy_text(struct str s)
{
    char *p = mem_alloc(s.n + 1);
    if (p) {
        if (s.n)
            memcpy(p, s.p, s.n);
        p[s.n] = '\0';
    }
    return p;
}

/* Everything for listener i in all workers. */
static int reload_prepare(struct net_change *r, size_t i, struct reason *reason)
{
    const struct net_listener *cfg = &r->cfgs[i];
    int fds[NET_WORKERS_MAX];
    r->bound[i].cfg = *cfg;
    r->old[i] = find_old(r, i);
    if (r->old[i] >= 0) {
        r->bound[i].addr = r->g->bound[r->old[i]].addr;
    } else {
        int err = listener_open(cfg, fds, r->g->n_workers, &r->bound[i].addr, reason);
        if (err)
            return err;
        if (cfg->transport == TRANSPORT_UDP)
            steer_responses(fds[0], r->g->args.steer_mark, r->g->n_workers);
    }
    bool ok = true;
    for (unsigned k = 0; k < r->g->n_workers; k++) {
        struct change *ch = &r->changes[k];
        ch->origins[i] = copy_text(cfg->ws_origins);
        ok = ok && ch->origins[i];
        if (r->old[i] >= 0)
            continue;
        ch->fds[i] = fds[k];
        ch->table[i] = listener_new(r->g->workers[k], cfg, &r->bound[i].addr);
        ok = ok && ch->table[i];
    }
    if (ok)
        return 0;
    for (unsigned k = 0; r->old[i] < 0 && k < r->g->n_workers; k++)
        close(fds[k]);
    return no_memory(reason);
}

static int check(const struct net_listener *listeners, size_t n, struct reason *reason)
{
    if (n > NET_LISTENERS_MAX) {
        reason_set(reason, "listen", NULL, 0, "more than %u listeners", NET_LISTENERS_MAX);
        return ERR_LIMIT;
    }
    for (size_t i = 0; i < n; i++) {
        if ((unsigned)listeners[i].transport >= TRANSPORT_N || !addr_is_set(&listeners[i].addr) ||
            (transport_is_secure(listeners[i].transport) && !listeners[i].tls)) {
            reason_set(reason, "listen", NULL, 0, "listener %zu has no address, or no certificate",
                       i + 1);
            return ERR_INVALID;
        }
    }
    return 0;
}

int net_group_prepare(struct net_group *g, const struct net_listener *listeners, size_t n,
                      struct net_change **ret, struct reason *reason)
{
    struct net_change *r = mem_zalloc(sizeof(*r));
    size_t done = 0;
    int err = r ? check(listeners, n, reason) : no_memory(reason);
    *ret = NULL;
    if (!r)
        return err;
    *r = (struct net_change){.g = g, .n = n, .cfgs = listeners};
    if (!err)
        err = reload_alloc(r, reason);
    while (!err && done < n) {
        err = reload_prepare(r, done, reason);
        done += !err;
    }
    if (err) {
        if (r->old)
            close_new(r, done);
        change_free(r);
        return err;
    }
    *ret = r;
    return 0;
}

void net_group_discard(struct net_change *r)
{
    if (!r)
        return;
    close_new(r, r->n);
    change_free(r);
}

void net_group_commit(struct net_change *r, void (*on_worker)(void *edge_worker, void *arg),
                      void **args)
{
    struct net_group *g = r->g;
    r->on_worker = on_worker;
    r->args = args;
    g->reload = r; /* read by the workers until they have answered */
    group_expect(g, g->n_workers);
    for (unsigned k = 0; k < g->n_workers; k++)
        push(g->workers[k], &r->changes[k].item);
    (void)group_wait(g);
    g->reload = NULL;
    mem_free(g->bound);
    g->bound = r->bound;
    g->n_bound = r->n;
    r->bound = NULL;
    for (size_t i = 0; i < r->n;
         i++) { /* borrowed from the caller, and kept by each listener itself */
        g->bound[i].cfg.tls = NULL;
        g->bound[i].cfg.pages = NULL;
        g->bound[i].cfg.ws_origins = STR_NULL;
    }
    change_free(r);
}

int net_group_addr(const struct net_group *g, size_t listener, struct addr *ret)
{
    if (listener >= g->n_bound)
        return ERR_NOTFOUND;
    *ret = g->bound[listener].addr;
    return 0;
}

/* --- start and stop --- */

static void quiet_message(void *arg, const struct rx *rx)
{
    (void)arg, (void)rx;
}

/* Nothing new reaches the edge from here on but what other workers have posted already. */
static void quiet_run(struct mq_item *item, void *consumer)
{
    struct worker *w = consumer;
    (void)item;
    w->is_stopping = true;
    w->net.user = (struct net_user){
        .arg = w->net.user.arg,
        .on_message = quiet_message,
        .on_flow_closed = w->net.user.on_flow_closed /* it frees what it knows of it */};
    for (size_t i = 0; i < w->n_listeners; i++) {
        if (w->listeners[i]->transport != TRANSPORT_UDP) /* UDP sockets still send */
            listener_close(w->listeners[i]);
    }
    group_answer(w->group, 0);
}

static void answer_run(struct mq_item *item, void *consumer)
{
    struct worker *w = consumer;
    (void)item;
    group_answer(w->group, 0);
}

/* The edge's last word; other workers, for which it may have messages, are all still there. */
static void stop_run(struct mq_item *item, void *consumer)
{
    struct worker *w = consumer;
    struct net_group *g = w->group;
    (void)item;
    if (g->args.worker_stop)
        g->args.worker_stop(g->args.arg, &w->net, w->net.user.arg);
    w->net.user.arg = NULL;
    w->is_edge_gone = true;
    w->is_done = true;
    group_answer(g, 0);
}

static void finish_run(struct mq_item *item, void *consumer)
{
    struct worker *w = consumer;
    (void)item;
    worker_finish(w);
    group_answer(w->group, 0);
}

static void group_free(struct net_group *g)
{
    for (unsigned i = 0; g->workers && i < g->n_workers; i++) {
        struct worker *w = g->workers[i];
        if (w && w->has_thread)
            pthread_join(w->thread, NULL);
    }
    for (unsigned i = 0; g->workers && i < g->n_workers; i++) {
        if (g->workers[i])
            worker_free(g->workers[i]);
    }
    sources_done(&g->sources);
    pthread_mutex_destroy(&g->lock);
    pthread_cond_destroy(&g->changed);
    mem_free(g->workers);
    mem_free(g->bound);
    mem_free(g);
}

void net_group_stop(struct net_group *g)
{
    if (!g)
        return;
    group_ask(g, quiet_run);
    /* Twice round: what was posted before all were quiet has been run, and what that posted in
     * turn. */
    group_ask(g, answer_run);
    group_ask(g, answer_run);
    group_ask(g, stop_run);
    group_ask(g, finish_run);
    group_free(g);
}

/* Threads begin with all signals blocked: they are the main thread's business. */
static unsigned start_threads(struct net_group *g)
{
    sigset_t all, old;
    unsigned n = 0;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    for (; n < g->n_workers; n++) {
        struct worker *w = g->workers[n];
        if (pthread_create(&w->thread, NULL, worker_main, w) != 0)
            break;
        w->has_thread = true;
        char name[16];
        struct sbuf b = sbuf_make(name, sizeof(name));
        sbuf_fmt(&b, "worker-%u", n);
        (void)pthread_setname_np(w->thread, name);
    }
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    return n;
}

static int group_new(const struct net_group_args *args, struct net_group **ret)
{
    struct net_group *g = mem_zalloc(sizeof(*g));
    if (!g)
        return ERR_NOMEM;
    g->args = *args;
    g->n_workers = args->n_workers;
    pthread_mutex_init(&g->lock, NULL);
    pthread_cond_init(&g->changed, NULL);
    int err = sources_init(&g->sources, (size_t)LIMIT_CONNS_WORKER * args->n_workers);
    if (!err)
        err = tls_global_init();
    g->workers = err ? NULL : mem_zalloc_array(g->n_workers, sizeof(struct worker *));
    if (!err && !g->workers)
        err = ERR_NOMEM;
    for (unsigned i = 0; !err && i < g->n_workers; i++)
        err = worker_new(g, i, &g->workers[i]);
    if (err)
        group_free(g);
    else
        *ret = g;
    return err;
}

int net_group_start(const struct net_group_args *args, struct net_group **ret,
                    struct reason *reason)
{
    struct net_change *change;
    struct net_group *g;
    if (args->n_workers == 0 || args->n_workers > NET_WORKERS_MAX) {
        reason_set(reason, "workers", NULL, 0, "there can be 1 to %u workers", NET_WORKERS_MAX);
        return ERR_INVALID;
    }
    int err = check(args->listeners, args->n_listeners, reason);
    if (err)
        return err;
    err = group_new(args, &g);
    if (err) {
        reason_set(reason, "workers", NULL, 0, "%s", err_text(err));
        return err;
    }
    group_expect(g, g->n_workers);
    unsigned started = start_threads(g);
    for (unsigned i = started; i < g->n_workers; i++)
        group_answer(g, ERR_LIMIT);
    err = group_wait(g);
    if (err) {
        reason_set(reason, "worker-start", NULL, 0, "%s", err_text(err));
        net_group_stop(g); /* those that were started */
        return err;
    }
    err = net_group_prepare(g, args->listeners, args->n_listeners, &change, reason);
    if (err) {
        net_group_stop(g);
        return err;
    }
    net_group_commit(change, NULL, NULL);
    *ret = g;
    return 0;
}

void net_group_stats(const struct net_group *g, unsigned worker, struct net_stats *ret)
{
    *ret = (struct net_stats){0};
    if (worker >= g->n_workers)
        return;
    const uint64_t *from = (const uint64_t *)&g->workers[worker]->stats;
    uint64_t *to = (uint64_t *)ret;
    for (size_t i = 0; i < sizeof(*ret) / sizeof(*to); i++)
        to[i] = __atomic_load_n(&from[i], __ATOMIC_RELAXED);
}

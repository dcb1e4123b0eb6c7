/* Descriptors of others in a worker's loop: net_watch_start. The worker's thread. */
#include "base/err.h"
#include "base/mem.h"
#include "net/net_priv.h"

struct net_watch {
    struct list node; /* of the worker's list of those to be called at the end of the turn; free */
    uv_poll_t poll;
    struct worker *w;
    void (*fn)(void *arg);
    void *arg;
};

static void on_ready(uv_poll_t *poll, int status, int events)
{
    struct net_watch *watch = poll->data;

    (void)status, (void)events; /* fn finds out by reading */
    worker_turn(watch->w);
    watch->fn(watch->arg);
}

static void on_closed(uv_handle_t *handle)
{
    mem_free(handle->data);
}

int watch_start(struct worker *w, int fd, void (*fn)(void *arg), void *arg, struct net_watch **ret)
{
    struct net_watch *watch = mem_zalloc(sizeof(*watch));

    if (!watch)
        return ERR_NOMEM;
    *watch = (struct net_watch){.w = w, .fn = fn, .arg = arg};
    list_init(&watch->node);
    if (uv_poll_init(&w->loop, &watch->poll, fd) != 0) {
        mem_free(watch);
        return ERR_NOMEM;
    }
    watch->poll.data = watch;
    if (uv_poll_start(&watch->poll, UV_READABLE, on_ready) != 0) {
        uv_close((uv_handle_t *)&watch->poll, on_closed);
        return ERR_NOMEM;
    }
    *ret = watch;
    return 0;
}

void watch_want_write(struct net_watch *watch, bool want)
{
    (void)uv_poll_start(&watch->poll, UV_READABLE | (want ? UV_WRITABLE : 0), on_ready);
}

void watch_at_end(struct net_watch *watch)
{
    if (list_is_empty(&watch->node))
        list_append(&watch->w->watch_at_end, &watch->node);
}

/* Who asks for it meanwhile is called at the end of the next turn. */
void watch_end_turn(struct worker *w)
{
    struct list now;
    struct net_watch *watch;

    list_init(&now);
    while ((watch = LIST_FIRST(&w->watch_at_end, struct net_watch, node)) != NULL) {
        list_remove(&watch->node);
        list_append(&now, &watch->node);
    }
    while ((watch = LIST_FIRST(&now, struct net_watch, node)) != NULL) {
        list_remove(&watch->node);
        watch->fn(watch->arg);
    }
}

void watch_stop(struct net_watch *watch)
{
    list_remove(&watch->node);
    uv_close((uv_handle_t *)&watch->poll,
             on_closed); /* stops at once; the memory goes a turn later */
}

/* One worker: the turn of its loop, its timers, what other threads send it, and the functions
 * behind net.h. See net_priv.h. Owner and thread: struct worker, its own thread, but for worker_new
 * and worker_free (before and after the thread lives). */
#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"
#include "net/dns.h"
#include "net/locate.h"
#include "net/net_priv.h"
#include <time.h>

const struct hop_facts hop_clear_in = {.secure = false}, hop_clear_out = {.outgoing = true};

/* --- the turn --- */

void worker_turn(struct worker *w)
{
    if (w->in_turn)
        return;
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    w->in_turn = true;
    w->is_wall_known = false;
    w->handshake_budget = HANDSHAKE_BUDGET;
    w->now_us = (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
    if (!w->is_stopping) /* the edge's timers would start new work */
        wheel_advance(w->net.wheel, worker_now_ms(w));
}

static void on_timer(uv_timer_t *timer)
{
    struct worker *w = timer->data;
    w->timer_due_ms = UINT64_MAX;
    w->in_turn =
        false; /* it may be left over from before the loop waited: look at the clock again */
    worker_turn(w);
}

/* libuv's clock and ours are the same, in whole milliseconds; a timer that is set too early only
 * costs a turn, so it is moved only when something is due before it. */
static void set_timer(struct worker *w)
{
    uint64_t next = wheel_next_ms(w->net.wheel);
    if (next == UINT64_MAX || w->is_stopping)
        return;
    uint64_t due = wheel_now_ms(w->net.wheel) + next, now = uv_now(&w->loop);
    if (due >= w->timer_due_ms)
        return;
    w->timer_due_ms = due;
    (void)uv_timer_start(&w->timer, on_timer, due > now ? due - now : 0, 0);
}

static void report_unreachable(struct worker *w)
{
    struct path paths[UNREACHABLE_MAX];
    unsigned n = w->n_unreachable;
    memcpy(paths, w->unreachable, n * sizeof(paths[0]));
    w->n_unreachable = 0;
    for (unsigned i = 0; i < n && !w->is_stopping; i++)
        w->net.user.on_unreachable(w->net.user.arg, &paths[i]);
}

void worker_unreachable(struct worker *w, const struct path *path)
{
    const struct net_target target = {TRANSPORT_UDP, path->remote};
    locator_failed(w->locator, &target);
    if (w->net.user.on_unreachable && w->n_unreachable < UNREACHABLE_MAX)
        w->unreachable[w->n_unreachable++] = *path;
}

static void end_connections(struct worker *w)
{
    struct list now; /* what ends because of these is for the next round */
    list_init(&now);
    while (!list_is_empty(&w->ending)) {
        struct list *node = w->ending.next;
        list_remove(node);
        list_append(&now, node);
    }
    while (!list_is_empty(&now)) {
        struct conn *c = CONTAINER_OF(now.next, struct conn, ending);
        list_remove(&c->ending);
        conn_end(c);
    }
}

static void copy_dns_counts(struct worker *w)
{
    uint64_t asked, failed;
    dns_counts(w->dns, &asked, &failed);
    if (asked != w->stats.dns_queries)
        STAT_ADD(w, dns_queries, asked - w->stats.dns_queries);
    if (failed != w->stats.dns_failures)
        STAT_ADD(w, dns_failures, failed - w->stats.dns_failures);
}

static void write_all(struct worker *w)
{
    while (!list_is_empty(&w->udp_dirty)) {
        struct listener *l = CONTAINER_OF(w->udp_dirty.next, struct listener, dirty);
        list_remove(&l->dirty);
        udp_flush(l);
    }
    while (!list_is_empty(&w->dirty)) {
        struct conn *c = CONTAINER_OF(w->dirty.next, struct conn, dirty);
        list_remove(&c->dirty);
        stream_flush(c);
    }
}

static void nothing(uv_idle_t *idle)
{
    (void)idle; /* an active idle handle keeps the loop from waiting */
}

/* Under load, and when nothing else is to be done. What wakes the loop meanwhile waits as long. */
static void pause_for_more(struct worker *w)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    uint64_t now_us = (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
    uint32_t wait_us = pace_next(&w->pace, w->group->args.batch_wait_us, w->now_us, now_us, w->n_read);
    w->n_read = 0;
    if (!wait_us || !list_is_empty(&w->ending) || w->n_unreachable || w->is_stopping || w->is_done)
        return;
    t = (struct timespec){.tv_nsec = (long)wait_us * 1000};
    (void)nanosleep(&t, NULL);
}

static void on_prepare(uv_prepare_t *prepare)
{
    struct worker *w = prepare->data;
    worker_turn(w);
    watch_end_turn(w);
    if (!list_is_empty(&w->signing_waiting))
        signing_wake(w);
    for (unsigned i = 0; i < 4 && (!list_is_empty(&w->ending) || w->n_unreachable || i == 0); i++) {
        if (w->n_unreachable)
            report_unreachable(w);
        end_connections(w);
        write_all(w);
    }
    if (!list_is_empty(&w->ending) || w->n_unreachable || !list_is_empty(&w->watch_at_end))
        (void)uv_idle_start(&w->idle, nothing);
    else
        (void)uv_idle_stop(&w->idle);
    copy_dns_counts(w);
    pause_for_more(w);
    set_timer(w);
    w->in_turn = false;
    if (w->is_leaving && w->n_conns == 0)
        uv_stop(&w->loop);
}

static void on_wake(uv_async_t *wake)
{
    struct worker *w = wake->data;
    worker_turn(w);
    (void)mq_drain(w->mq, w, 1024);
}

static void wake_up(void *arg)
{
    struct worker *w = arg;
    (void)uv_async_send(&w->wake);
}

bool worker_may_log(struct worker *w, enum worker_log kind)
{
    if (w->logged_ms[kind] && worker_now_ms(w) - w->logged_ms[kind] < 1000)
        return false;
    w->logged_ms[kind] = worker_now_ms(w);
    return true;
}

/* --- net.h --- */

static struct worker *worker_of(struct net *n)
{
    return CONTAINER_OF(n, struct worker, net);
}

struct post {
    struct mq_item item;
    void (*fn)(void *edge_worker, void *arg);
    void *arg;
};

static void post_run(struct mq_item *item, void *consumer)
{
    struct worker *w = consumer;
    struct post *p = CONTAINER_OF(item, struct post, item);
    if (!w->is_done)
        p->fn(w->net.user.arg, p->arg);
    mem_free(p);
}

int net_group_post(struct net_group *g, unsigned worker, void (*fn)(void *edge_worker, void *arg),
                   void *arg)
{
    struct post *p = worker < g->n_workers ? mem_alloc(sizeof(*p)) : NULL;
    if (!p)
        return worker < g->n_workers ? ERR_NOMEM : ERR_NOTFOUND;
    *p = (struct post){.item.run = post_run, .fn = fn, .arg = arg};
    int err = mq_push(g->workers[worker]->mq, &p->item);
    if (err)
        mem_free(p);
    return err;
}

static int op_post(struct net *n, unsigned worker, void (*fn)(void *edge_worker, void *arg),
                   void *arg)
{
    struct worker *w = worker_of(n);
    int err = net_group_post(w->group, worker, fn, arg);
    if (err)
        STAT_ADD(w, posts_dropped, 1);
    return err;
}

/* A message for a connection of another worker. */
struct handover {
    struct mq_item item;
    struct path to;
    struct buf *buf;
};

static void handover_run(struct mq_item *item, void *consumer)
{
    struct handover *h = CONTAINER_OF(item, struct handover, item);
    struct worker *w = consumer;
    struct conn *c = conn_find(w, h->to.flow);
    if (!c || stream_send(c, h->buf) != 0) /* its owner hears of a connection that has ended */
        STAT_ADD(w, posts_dropped, 1);
    buf_unref(h->buf);
    mem_free(h);
}

static int hand_over(struct worker *w, const struct path *to, struct buf *msg)
{
    unsigned owner = flow_worker(to->flow);
    if (owner >= w->group->n_workers)
        return ERR_CLOSED;
    struct handover *h = mem_alloc(sizeof(*h));
    if (!h)
        return ERR_NOMEM;
    /* The caller keeps its reference, so ours would be shared by two threads: a copy goes. */
    *h = (struct handover){.item.run = handover_run, .to = *to, .buf = buf_copy(buf_str(msg))};
    int err = h->buf ? mq_push(w->group->workers[owner]->mq, &h->item) : ERR_NOMEM;
    if (err) {
        STAT_ADD(w, posts_dropped, 1);
        buf_unref(h->buf);
        mem_free(h);
    }
    return err;
}

static int op_send(struct net *n, const struct path *to, struct buf *msg)
{
    struct worker *w = worker_of(n);
    if (to->transport == TRANSPORT_UDP)
        return udp_send(w, to, msg);
    if (to->flow && flow_worker(to->flow) != n->worker)
        return hand_over(w, to, msg);
    struct conn *c = conn_find(w, to->flow);
    return c ? stream_send(c, msg) : ERR_CLOSED;
}

static int op_connect(struct net *n, const struct net_connect_args *args, flow_id *ret_flow,
                      struct path *ret_path)
{
    struct conn *c;
    int err = conn_dial(worker_of(n), args, &c);
    if (err)
        return err;
    *ret_flow = c->id;
    conn_path(c, ret_path);
    return 0;
}

static void op_close(struct net *n, flow_id flow, enum net_close_why why)
{
    struct conn *c = conn_find(worker_of(n), flow);
    if (c)
        conn_close(c, why, NULL);
}

static const struct hop_facts *op_facts(struct net *n, flow_id flow)
{
    struct conn *c = conn_find(worker_of(n), flow);
    return c && c->state >= CONN_UPGRADE ? c->hop : NULL;
}

static int op_flow_path(struct net *n, flow_id flow, struct path *ret)
{
    struct conn *c = conn_find(worker_of(n), flow);
    if (!c)
        return ERR_NOTFOUND;
    conn_path(c, ret);
    return 0;
}

static void op_set_user(struct net *n, flow_id flow, void *flow_user)
{
    struct conn *c = conn_find(worker_of(n), flow);
    if (c)
        c->user = flow_user;
}

static void *op_get_user(struct net *n, flow_id flow)
{
    struct conn *c = conn_find(worker_of(n), flow);
    return c ? c->user : NULL;
}

static void op_set_idle(struct net *n, flow_id flow, uint64_t idle_ms)
{
    struct conn *c = conn_find(worker_of(n), flow);
    if (!c)
        return;
    c->idle_ms = idle_ms;
    conn_arm(c);
}

static flow_id op_find(struct net *n, enum transport t, const struct addr *remote,
                       struct str server_name)
{
    struct conn *c = conn_lookup(worker_of(n), t, remote, server_name);
    return c ? c->id : 0;
}

static int op_alias(struct net *n, flow_id flow, const struct addr *alias)
{
    struct conn *c = conn_find(worker_of(n), flow);
    return c ? conn_key_add(c, alias, STR(""), true) : ERR_NOTFOUND;
}

static bool op_vouched(struct net *n, flow_id flow, struct pki_tls_client *by, struct str name)
{
    struct conn *c = conn_find(worker_of(n), flow);
    return c && c->ssl && tls_vouched(c, by, name);
}

static int op_locate(struct net *n, const struct net_locate_args *args, net_locate_fn fn, void *arg,
                     uint64_t *ret_id)
{
    return locator_start(worker_of(n)->locator, args, fn, arg, ret_id);
}

static void op_locate_cancel(struct net *n, uint64_t id)
{
    locator_cancel(worker_of(n)->locator, id);
}

static void op_target_failed(struct net *n, const struct net_target *t)
{
    locator_failed(worker_of(n)->locator, t);
}

static uint64_t op_now_us(struct net *n)
{
    return worker_of(n)->now_us;
}

static uint64_t op_wall_s(struct net *n)
{
    struct worker *w = worker_of(n);
    if (!w->is_wall_known) {
        w->wall_s = clock_wall_s();
        w->is_wall_known = true;
    }
    return w->wall_s;
}

static uint64_t op_steady_s(struct net *n)
{
    return clock_steady_us(worker_of(n)->now_us) / 1000000;
}

static int op_watch(struct net *n, int fd, void (*fn)(void *arg), void *arg, struct net_watch **ret)
{
    return watch_start(worker_of(n), fd, fn, arg, ret);
}

static void op_watch_want_write(struct net *n, struct net_watch *w, bool want)
{
    (void)n;
    watch_want_write(w, want);
}

static void op_watch_at_end(struct net *n, struct net_watch *w)
{
    (void)n;
    watch_at_end(w);
}

static void op_watch_stop(struct net *n, struct net_watch *w)
{
    (void)n;
    watch_stop(w);
}

static const struct net_ops worker_ops = {
    .send = op_send,
    .connect = op_connect,
    .close = op_close,
    .facts = op_facts,
    .flow_path = op_flow_path,
    .set_user = op_set_user,
    .get_user = op_get_user,
    .set_idle = op_set_idle,
    .each_flow = conn_each,
    .find = op_find,
    .alias = op_alias,
    .vouched = op_vouched,
    .locate = op_locate,
    .locate_cancel = op_locate_cancel,
    .target_failed = op_target_failed,
    .post = op_post,
    .now_us = op_now_us,
    .wall_s = op_wall_s,
    .steady_s = op_steady_s,
    .watch = op_watch,
    .watch_want_write = op_watch_want_write,
    .watch_at_end = op_watch_at_end,
    .watch_stop = op_watch_stop,
};

/* --- its life --- */

static int handles_init(struct worker *w)
{
    if (uv_prepare_init(&w->loop, &w->prepare) != 0)
        return ERR_NOMEM;
    w->n_handles = 1;
    if (uv_idle_init(&w->loop, &w->idle) != 0)
        return ERR_NOMEM;
    w->n_handles = 2;
    if (uv_timer_init(&w->loop, &w->timer) != 0)
        return ERR_NOMEM;
    w->n_handles = 3;
    if (uv_async_init(&w->loop, &w->wake, on_wake) != 0)
        return ERR_IO;
    w->n_handles = 4;
    w->prepare.data = w->idle.data = w->timer.data = w->wake.data = w;
    return uv_prepare_start(&w->prepare, on_prepare) == 0 ? 0 : ERR_NOMEM;
}

static int dns_init(struct worker *w)
{
    struct dns_args d = {.loop = &w->loop,
                         .wheel = w->net.wheel,
                         .forward = w->group->args.dns_forward,
                         .resolv_conf = w->group->args.resolv_conf,
                         .hosts = "/etc/hosts"};
    struct reason reason = {0};
    int err = dns_new(&d, &w->dns, &reason);
    if (err) {
        log_reason(LOG_ERROR, "dns", &reason, NULL, 0);
        return err;
    }
    struct locator_args a = {.dns = w->dns, .wheel = w->net.wheel, .rand = &w->net.rand};
    return locator_new(&a, &w->locator);
}

int worker_new(struct net_group *g, unsigned index, struct worker **ret)
{
    struct worker *w = mem_zalloc(sizeof(*w));
    if (!w)
        return ERR_NOMEM;
    w->net = (struct net){.ops = &worker_ops, .worker = index, .n_workers = g->n_workers};
    w->group = g;
    w->timer_due_ms = UINT64_MAX;
    list_init(&w->udp_dirty);
    list_init(&w->watch_at_end);
    list_init(&w->dirty);
    list_init(&w->ending);
    list_init(&w->signing_spare);
    list_init(&w->signing_waiting);
    if (uv_loop_init(&w->loop) != 0) {
        mem_free(w);
        return ERR_NOMEM;
    }
    int err = ERR_NOMEM;
    rand_system_init(&w->net.rand);
    if (map_init(&w->keys, 2 * LIMIT_CONNS_WORKER) != 0)
        goto out;
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    w->now_us = (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
    w->net.wheel = wheel_new(worker_now_ms(w));
    w->mq = mq_new(LIMIT_POSTS_WORKER, wake_up, w);
    w->scratch = mem_alloc(SCRATCH_BYTES);
    w->plain = mem_alloc(PLAIN_BYTES);
    w->wire = mem_alloc(WIRE_BYTES);
    w->unreachable = mem_zalloc_array(UNREACHABLE_MAX, sizeof(*w->unreachable));
    if (!w->net.wheel || !w->mq || !w->scratch || !w->plain || !w->wire || !w->unreachable)
        goto out;
    err = handles_init(w);
    if (!err)
        err = udp_init(w);
    if (!err)
        err = dns_init(w);
out:
    if (err)
        worker_free(w);
    else
        *ret = w;
    return err;
}

static void on_deadline(uv_timer_t *timer)
{
    uv_stop(timer->loop);
}

/* The edge is gone: what is queued is written, then the connections are closed, within a second at
 * most. */
void worker_finish(struct worker *w)
{
    w->is_leaving = true;
    for (uint32_t i = 0; i < w->n_slots; i++) {
        struct conn *c = w->slots[i].conn;
        if (c && c->state < CONN_CLOSING)
            conn_close(c, NET_CLOSE_LOCAL, NULL);
        else if (c && c->state == CONN_LINGER)
            conn_drop(c);
    }
    (void)uv_timer_start(&w->timer, on_deadline, LINGER_MS, 0);
    if (w->n_conns == 0)
        uv_stop(&w->loop);
}

static void drop_connections(struct worker *w)
{
    for (uint32_t i = 0; i < w->n_slots; i++) {
        if (w->slots[i].conn)
            conn_drop(w->slots[i].conn);
    }
    end_connections(w);
}

/* On the worker's thread if it ever ran: buffers go back to where they came from. */
static void worker_empty(struct worker *w)
{
    w->is_stopping = w->is_edge_gone = w->is_done = true;
    for (size_t i = 0; i < w->n_listeners; i++) {
        listener_close(w->listeners[i]);
        listener_unref(w->listeners[i]);
    }
    mem_free(w->listeners);
    w->listeners = NULL;
    w->n_listeners = 0;
    if (w->net.wheel)
        drop_connections(w);
    signing_done(w);
    if (w->client)
        listener_unref(w->client);
    w->client = NULL;
    if (w->mq)
        (void)mq_drain(w->mq, w, SIZE_MAX); /* nothing is run any more, only freed */
    locator_free(w->locator);
    dns_free(w->dns);
    w->locator = NULL;
    w->dns = NULL;
    uv_handle_t *handles[] = {(uv_handle_t *)&w->prepare, (uv_handle_t *)&w->idle,
                              (uv_handle_t *)&w->timer, (uv_handle_t *)&w->wake};
    for (unsigned i = 0; i < w->n_handles; i++)
        uv_close(handles[i], NULL);
    w->n_handles = 0;
    (void)uv_run(&w->loop, UV_RUN_DEFAULT);
    udp_done(w);
    stream_pool_done(w);
    ws_pool_done(&w->ws_pool);
}

void worker_free(struct worker *w)
{
    worker_empty(w);
    (void)uv_loop_close(&w->loop);
    mq_free(w->mq);
    wheel_free(w->net.wheel);
    map_done(&w->keys);
    mem_free(w->slots);
    mem_free(w->scratch);
    mem_free(w->plain);
    mem_free(w->wire);
    mem_free(w->unreachable);
    mem_free(w);
}

void *worker_main(void *arg)
{
    struct worker *w = arg;
    struct net_group *g = w->group;
    worker_turn(w);
    int err = g->args.worker_start(g->args.arg, &w->net, &w->net.user);
    w->in_turn = false;
    w->has_failed = err != 0;
    group_answer(g, err);
    if (!err)
        (void)uv_run(&w->loop, UV_RUN_DEFAULT);
    worker_empty(w);
    buf_pool_done();
    return NULL;
}

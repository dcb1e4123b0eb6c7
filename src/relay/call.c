/* Calls and ends as other threads see them: what is wanted is noted under the call's lock, and the
 * call is queued for its worker once. The queue holds items that are parts of the objects, so that
 * nothing can fail there. */
#include "base/err.h"
#include "base/mem.h"
#include "relay/relay_priv.h"
#include <errno.h>
#include <unistd.h>

static void lock(pthread_mutex_t *m)
{
    (void)!pthread_mutex_lock(m);
}
static void unlock(pthread_mutex_t *m)
{
    (void)!pthread_mutex_unlock(m);
}

/* ---- to the worker ---- */

static void post(struct relay_worker *w, struct mq_item *item)
{
    if (w->relay->config.dry) {
        relay_worker_clock(w);
        item->run(item, w);
        relay_worker_bury(w);
    } else {
        (void)!mq_push(w->q, item); /* it has room for all there can be */
    }
}

/* The end is to be looked at; with the lock held. The call is then to be posted if this says so. */
MUST_USE static bool mark(struct relay_end *e)
{
    struct relay_call *c = e->call;
    bool is_first = !c->is_queued;

    if (!e->is_dirty) {
        e->is_dirty = true;
        e->next_dirty = c->dirty;
        c->dirty = e;
    }
    c->is_queued = true;
    return is_first;
}

static void unmark(struct relay_end *e)
{
    struct relay_end **at = &e->call->dirty;

    while (e->is_dirty && *at != e)
        at = &(*at)->next_dirty;
    if (e->is_dirty)
        *at = e->next_dirty;
    e->is_dirty = false;
}

/* Under the lock: what is wanted of the end becomes so; what is left to do without the lock is put
 * aside. */
static void change(struct relay_end *e)
{
    struct relay_wanted *w = &e->wanted;

    e->is_dirty = false;
    relay_end_change(e, w);
    e->work_steps = w->first;
    w->first = NULL;
    w->last = &w->first;
    for (const struct relay_step *s = e->work_steps; s != NULL; s = s->next)
        e->call->n_steps--;
    e->work_sink = (struct relay_sink){.arg = NULL};
    if (w->has_sink) {
        e->work_sink = e->sink;
        e->sink = w->sink;
        w->has_sink = false;
    }
}

void relay_call_run(struct mq_item *item, void *consumer)
{
    struct relay_call *c = CONTAINER_OF(item, struct relay_call, item);
    struct relay_end *work = NULL;

    (void)consumer;
    lock(&c->lock);
    c->is_queued = false;
    for (struct relay_end *e = c->dirty; e != NULL; e = e->next_dirty) {
        change(e);
        e->next_work = work;
        work = e;
    }
    c->dirty = NULL;
    unlock(&c->lock);
    for (; work != NULL; work = work->next_work) {
        if (work->work_sink.unref != NULL)
            work->work_sink.unref(work->work_sink.arg);
        relay_end_steps(work, work->work_steps);
    }
}

/* ---- calls ---- */

static void to_grave(struct relay_worker *w, struct relay_grave *g)
{
    g->next = NULL;
    *w->last_grave = g;
    w->last_grave = &g->next;
}

static void call_bury(struct relay_grave *g)
{
    struct relay_call *c = CONTAINER_OF(g, struct relay_call, grave);
    struct relay *r = c->relay;

    LIST_EACH(e, &c->ends, struct relay_end, node) {
        relay_end_gone(e);
    }
    lock(&r->lock);
    list_remove(&c->node);
    r->n_calls--;
    unlock(&r->lock);
    (void)atomic_fetch_sub(&c->worker->n_calls, 1);
    (void)!pthread_mutex_destroy(&c->lock);
    mem_free(c);
}

static void call_gone(struct mq_item *item, void *consumer)
{
    to_grave(consumer, &CONTAINER_OF(item, struct relay_call, free_item)->grave);
}

int relay_call_new(struct relay *r, struct relay_call **ret)
{
    struct relay_call *c;
    int err = 0;

    *ret = NULL;
    c = mem_zalloc(sizeof(*c));
    if (c == NULL)
        return ERR_NOMEM;
    c->relay = r;
    list_init(&c->ends);
    list_init(&c->node);
    c->item.run = relay_call_run;
    c->free_item.run = call_gone;
    c->grave.bury = call_bury;
    if (pthread_mutex_init(&c->lock, NULL) != 0) {
        mem_free(c);
        return ERR_NOMEM;
    }
    c->worker = &r->workers[0];
    for (unsigned i = 1; i < r->config.n_workers; i++) {
        if (atomic_load(&r->workers[i].n_calls) < atomic_load(&c->worker->n_calls))
            c->worker = &r->workers[i];
    }
    lock(&r->lock);
    if (r->n_calls >= LIMIT_RELAY_CALLS) {
        err = ERR_LIMIT;
    } else {
        r->n_calls++;
        list_append(&r->calls, &c->node);
    }
    unlock(&r->lock);
    if (err != 0) {
        (void)!pthread_mutex_destroy(&c->lock);
        mem_free(c);
        return err;
    }
    (void)atomic_fetch_add(&c->worker->n_calls, 1);
    *ret = c;
    return 0;
}

void relay_call_free(struct relay_call *c)
{
    if (c != NULL)
        post(c->worker, &c->free_item);
}

/* ---- ends ---- */

static void end_bury(struct relay_grave *g)
{
    struct relay_end *e = CONTAINER_OF(g, struct relay_end, grave);
    struct relay_call *c = e->call;

    lock(&c->lock);
    unmark(e); /* a call that is queued still is queued behind us, if at all */
    for (const struct relay_step *s = e->wanted.first; s != NULL; s = s->next)
        c->n_steps--;
    list_remove(&e->node);
    c->n_ends--;
    unlock(&c->lock);
    relay_end_gone(e);
}

static void end_gone(struct mq_item *item, void *consumer)
{
    to_grave(consumer, &CONTAINER_OF(item, struct relay_end, free_item)->grave);
}

/* Under the relay's lock. */
static int take_ports(struct relay_end *e, const struct relay_end_args *args, int ret_fd[2],
                      enum relay_refusal *ret_why)
{
    struct relay *r = e->call->relay;
    const struct relay_config *config = &r->config;
    size_t n_sockets = args->needs_rtcp ? 2 : 1;
    int err;

    *ret_why = RELAY_REFUSED_DESCRIPTORS;
    if (config->max_sockets != 0 && r->n_sockets + n_sockets > config->max_sockets)
        return ERR_LIMIT;
    err = relay_ports_take(&r->ports[args->at], &config->at[args->at].local, args->needs_rtcp,
                           config->dry, ret_fd, &e->local_port);
    if (err == 0) {
        r->n_ends++;
        r->n_sockets += n_sockets;
        return 0;
    }
    if (err == ERR_LIMIT)
        *ret_why = RELAY_REFUSED_PORTS;
    else if (errno != EMFILE && errno != ENFILE)
        *ret_why = RELAY_REFUSED_SYSTEM;
    return *ret_why == RELAY_REFUSED_SYSTEM ? ERR_IO : ERR_LIMIT;
}

static int bind_ports(struct relay_end *e, const struct relay_end_args *args, struct reason *why)
{
    static const char *const codes[RELAY_REFUSALS] = {[RELAY_REFUSED_PORTS] = "media-ports",
                                                      [RELAY_REFUSED_DESCRIPTORS] =
                                                          "media-descriptors",
                                                      [RELAY_REFUSED_SYSTEM] = "media-bind"};
    struct relay *r = e->call->relay;
    char text[ADDR_TEXT_MAX];
    enum relay_refusal refusal;
    int fd[2] = {-1, -1}, err;

    lock(&r->lock);
    err = take_ports(e, args, fd, &refusal);
    if (err != 0)
        r->refused[refusal]++;
    unlock(&r->lock);
    if (err != 0) {
        (void)addr_text_host(&r->config.at[args->at].local, text);
        reason_set(why, codes[refusal], "RFC 3261 21.5.4", 503, "%s: %s", text,
                   refusal == RELAY_REFUSED_PORTS         ? "no port is left"
                   : refusal == RELAY_REFUSED_DESCRIPTORS ? "no descriptor is left for media"
                                                          : strerror(errno));
        return err;
    }
    for (unsigned path = 0; path < RELAY_PATHS; path++)
        e->port[path] = (struct relay_port){.fd = fd[path], .path = (uint8_t)path, .end = e};
    for (unsigned path = 0; path < RELAY_PATHS && !r->config.dry && err == 0; path++) {
        if (fd[path] >= 0)
            err = relay_worker_watch(e->worker, &e->port[path]);
    }
    if (err != 0)
        reason_set(why, "media-bind", NULL, 503, "%s", strerror(errno));
    return err;
}

int relay_end_new(struct relay_call *c, const struct relay_end_args *args, struct relay_end **ret,
                  struct reason *why)
{
    struct relay *r = c->relay;
    struct relay_end *e;
    bool is_first;
    int err = ERR_NOMEM;

    *ret = NULL;
    if (args->at >= r->config.n_at)
        return ERR_INVALID;
    lock(&c->lock);
    if (c->n_ends >= LIMIT_RELAY_ENDS) {
        unlock(&c->lock);
        reason_set(why, "media-ends", NULL, 500, "more than %u media", LIMIT_RELAY_ENDS);
        return ERR_LIMIT;
    }
    c->n_ends++;
    unlock(&c->lock);
    e = mem_alloc(sizeof(*e));
    if (e == NULL)
        goto out;
    *e = (struct relay_end){.call = c,
                            .worker = c->worker,
                            .protection = RELAY_PROTECT, /* nothing passes until more is known */
                            .has_rtcp_port = args->needs_rtcp,
                            .cookie = args->cookie,
                            .at = args->at,
                            .port = {{.fd = -1}, {.fd = -1}},
                            .free_item.run = end_gone,
                            .grave.bury = end_bury};
    list_init(&e->node);
    list_init(&e->wnode);
    e->wanted.last = &e->wanted.first;
    e->wanted.is_new = true;
    relay_quality_clock(&e->quality, 8000);
    if (args->ice_ufrag.n > 0 && relay_agent_new(e, args->ice_ufrag, args->ice_pwd) != 0)
        goto out;
    err = bind_ports(e, args, why);
    if (err != 0)
        goto out;
    lock(&c->lock);
    list_append(&c->ends, &e->node);
    is_first = mark(e);
    unlock(&c->lock);
    if (is_first)
        post(c->worker, &c->item);
    *ret = e;
    return 0;

out:
    lock(&c->lock);
    c->n_ends--;
    unlock(&c->lock);
    if (e != NULL && e->local_port != 0 && err != ERR_NOMEM && e->port[0].fd >= 0) {
        relay_end_gone(e);
    } else if (e != NULL) {
        relay_agent_free(e->agent);
        mem_free(e);
    }
    if (err == ERR_NOMEM)
        reason_set(why, "media-memory", NULL, 503, NULL);
    return err;
}

void relay_end_free(struct relay_end *e)
{
    struct relay_end *partner;

    if (e == NULL)
        return;
    lock(&e->call->lock);
    partner = e->wanted.partner;
    if (partner != NULL)
        partner->wanted.partner = NULL;
    e->wanted.partner = NULL;
    unlock(&e->call->lock);
    post(e->worker, &e->free_item); /* it parts them there as well */
}

void relay_end_local(const struct relay_end *e, struct addr *ret_rtp, struct addr *ret_rtcp)
{
    const struct relay_address *at = &e->call->relay->config.at[e->at];

    *ret_rtp = addr_is_set(&at->advertised) ? at->advertised : at->local;
    addr_set_port(ret_rtp, e->local_port);
    *ret_rtcp = *ret_rtp;
    if (e->has_rtcp_port)
        addr_set_port(ret_rtcp, (uint16_t)(e->local_port + 1));
}

void relay_end_set(struct relay_end *e, const struct relay_end_setting *s)
{
    struct relay_end_setting *to = &e->wanted.setting;
    struct str ufrag;
    bool is_first;

    /* Without memory for them, no check of the peer's names the right fragment: nothing passes. */
    if (relay_str_dup(&ufrag, s->ice_ufrag) != 0)
        ufrag = STR_NULL;
    lock(&e->call->lock);
    relay_str_free(&to->ice_ufrag);
    *to = *s;
    to->ice_ufrag = ufrag;
    e->wanted.has_setting = true;
    is_first = mark(e);
    unlock(&e->call->lock);
    if (is_first)
        post(e->worker, &e->call->item);
}

int relay_end_restart(struct relay_end *e, struct str ice_ufrag, struct str ice_pwd,
                      struct str peer_ufrag)
{
    struct relay_restart *r = mem_zalloc(sizeof(*r)), *old;
    bool is_first;

    if (r == NULL || relay_str_dup(&r->ufrag, ice_ufrag) != 0 ||
        relay_str_dup(&r->pwd, ice_pwd) != 0 || relay_str_dup(&r->peer_ufrag, peer_ufrag) != 0) {
        relay_restart_free(r);
        return ERR_NOMEM;
    }
    lock(&e->call->lock);
    old = e->wanted.restart; /* it never got there */
    e->wanted.restart = r;
    is_first = mark(e);
    unlock(&e->call->lock);
    relay_restart_free(old);
    if (is_first)
        post(e->worker, &e->call->item);
    return 0;
}

static int step_add(struct relay_end *e, struct relay_step *step)
{
    bool is_first = false, is_full;

    lock(&e->call->lock);
    is_full = e->call->n_steps >= LIMIT_RELAY_WAITING;
    if (!is_full) {
        e->call->n_steps++;
        *e->wanted.last = step;
        e->wanted.last = &step->next;
        is_first = mark(e);
    }
    unlock(&e->call->lock);
    if (is_first)
        post(e->worker, &e->call->item);
    return is_full ? ERR_NOMEM : 0;
}

int relay_end_install(struct relay_end *e, const struct keying_install *install)
{
    const uint8_t paths = install->paths & (1u << KEYING_RTP | 1u << KEYING_RTCP);
    struct relay_step *step;
    int err = keying_keys_check(install->keys);

    if (err != 0 || paths == 0)
        return ERR_INVALID;
    step = mem_zalloc(sizeof(*step));
    if (step == NULL)
        return ERR_NOMEM;
    step->kind = RELAY_STEP_INSTALL;
    step->paths = paths;
    step->is_send = install->is_send;
    step->drop_old = install->drop_old;
    step->keys = *install->keys;
    err = step_add(e, step);
    if (err != 0) {
        keying_keys_wipe(&step->keys);
        mem_free(step);
    }
    return err;
}

int relay_end_withhold(struct relay_end *e, unsigned ms)
{
    struct relay_step *step = mem_zalloc(sizeof(*step));
    int err;

    if (step == NULL)
        return ERR_NOMEM;
    step->kind = RELAY_STEP_WITHHOLD;
    step->n = ms;
    err = step_add(e, step);
    if (err != 0)
        mem_free(step);
    return err;
}

void relay_end_send(struct relay_end *e, enum keying_path path, const struct addr *to,
                    const uint8_t *bytes, size_t n)
{
    const unsigned port = (path == KEYING_RTCP || path == KEYING_RTCP_BACK) && e->has_rtcp_port
                              ? KEYING_RTCP
                              : KEYING_RTP;
    struct relay_step *step;

    /* Where the packet is to go is known: it need not wait for the worker, which has the sockets
     * opened before anybody knows of the end, and closes them after everybody has let go of it.
     * Such packets are in nobody's counters. */
    if (to != NULL && addr_is_set(to) && n <= LIMIT_RELAY_PACKET && e->port[port].fd >= 0) {
        (void)!sendto(e->port[port].fd, bytes, n, MSG_DONTWAIT | MSG_NOSIGNAL, &to->sa,
                      addr_len(to));
        return;
    }
    step = n <= LIMIT_RELAY_PACKET ? mem_zalloc(sizeof(*step) + n) : NULL;
    if (step == NULL) /* as lost on the way: key management repeats what is not answered */
        return;
    step->paths = path == KEYING_RTCP || path == KEYING_RTCP_BACK ? KEYING_RTCP : KEYING_RTP;
    if (to != NULL)
        step->to = *to;
    step->n = n;
    memcpy(step->bytes, bytes, n);
    if (step_add(e, step) != 0)
        mem_free(step);
}

void relay_join(struct relay_end *e, struct relay_end *with)
{
    struct relay_end *ends[4] = {e, with};
    bool is_first = false;

    if (with != NULL && (with->call != e->call || with == e))
        return;
    lock(&e->call->lock);
    ends[2] = e->wanted.partner;
    ends[3] = with != NULL ? with->wanted.partner : NULL;
    for (unsigned i = 0; i < ARRAY_LEN(ends); i++) {
        if (ends[i] != NULL) {
            ends[i]->wanted.partner = NULL;
            is_first = mark(ends[i]) || is_first;
        }
    }
    e->wanted.partner = with;
    if (with != NULL)
        with->wanted.partner = e;
    unlock(&e->call->lock);
    if (is_first)
        post(e->worker, &e->call->item);
}

void relay_end_bind(struct relay_end *e, const struct relay_sink *sink)
{
    struct relay_sink old = {.arg = NULL};
    bool is_first;

    if (sink != NULL)
        sink->ref(sink->arg);
    lock(&e->call->lock);
    if (e->wanted.has_sink)
        old = e->wanted.sink; /* it never got there */
    e->wanted.sink = sink != NULL ? *sink : (struct relay_sink){.arg = NULL};
    e->wanted.has_sink = true;
    is_first = mark(e);
    unlock(&e->call->lock);
    if (old.unref != NULL)
        old.unref(old.arg);
    if (is_first)
        post(e->worker, &e->call->item);
}

void relay_end_police(struct relay_end *e, uint32_t bytes_s, uint16_t packets_s)
{
    bool is_first;

    lock(&e->call->lock);
    e->wanted.max_bytes_s = bytes_s;
    e->wanted.max_packets_s = packets_s;
    e->wanted.has_police = true;
    is_first = mark(e);
    unlock(&e->call->lock);
    if (is_first)
        post(e->worker, &e->call->item);
}

void relay_end_set_clock(struct relay_end *e, uint32_t hz)
{
    bool is_first;

    if (hz == 0)
        return;
    lock(&e->call->lock);
    e->wanted.clock_hz = hz;
    is_first = mark(e);
    unlock(&e->call->lock);
    if (is_first)
        post(e->worker, &e->call->item);
}

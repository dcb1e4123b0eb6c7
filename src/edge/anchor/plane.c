/* The media plane of the process (relay/relay.h, relay/keys.h) as the edge has it: made from the
 * section `media`, and its news brought to the worker that owns the call. Main thread, but for the
 * news, which come on threads of the plane. */
#include "base/log.h"
#include "base/mem.h"
#include "edge/anchor/anchor_priv.h"
#include "net/worker.h"
#include <sys/resource.h>
#include <unistd.h>

static void event_run(void *edge_worker, void *arg)
{
    anchor_event(edge_worker, arg);
    mem_free(arg);
}

/* Dropped when there is no memory, or the worker's queue is full: what it says is seen again when
 * it is looked for. */
static void event_post(struct edge *e, const struct anchor_event *ev)
{
    unsigned owner = (unsigned)(ev->cookie >> 56);
    struct anchor_event *copy = owner < e->n_workers ? mem_alloc(sizeof *copy) : NULL;
    int err = ERR_CLOSED;

    if (!copy)
        return;
    *copy = *ev;
    (void)!pthread_mutex_lock(&e->plane_lock);
    if (e->plane_is_mute)
        err = ERR_CLOSED;
    else if (e->group)
        err = net_group_post(e->group, owner, event_run, copy);
    else if (e->workers[0])
        err = net_post(e->workers[0]->net, owner, event_run, copy);
    (void)!pthread_mutex_unlock(&e->plane_lock);
    if (err != 0)
        mem_free(copy);
}

/* Of ICE descriptions name no address that counts. */
static bool is_elsewhere(const struct relay_event *event)
{
    return event->path == KEYING_RTP && addr_is_set(&event->described) &&
           !addr_eq(&event->from, &event->described);
}

static void on_event(void *arg, uint64_t cookie, const struct relay_event *event)
{
    struct anchor_event ev = {.cookie = cookie,
                              .event = event->kind,
                              .from = event->from,
                              .described = event->described};

    if (event->kind == RELAY_EVENT_SILENT || event->kind == RELAY_EVENT_CONSENT ||
        event->kind == RELAY_EVENT_ASTRAY || (event->kind == RELAY_EVENT_REMOTE && is_elsewhere(event)))
        event_post(arg, &ev);
}

static void on_change(void *arg, uint64_t cookie, const struct relay_keys_change *change)
{
    struct anchor_event ev = {.cookie = cookie,
                              .is_keys = true,
                              .change = change->kind,
                              .section = change->section,
                              .reason = change->reason};

    if (change->kind != RELAY_KEYS_ASK)
        event_post(arg, &ev);
}

static unsigned thread_count(unsigned wanted)
{
    long n = wanted ? (long)wanted : sysconf(_SC_NPROCESSORS_ONLN);

    return n < 1 ? 1 : n > 64 ? 64 : (unsigned)n;
}

/* Media have a quarter of the descriptors less than all, so that a flood of calls leaves signalling
 * its connections. */
static size_t sockets_max(void)
{
    struct rlimit r;

    if (getrlimit(RLIMIT_NOFILE, &r) != 0 || r.rlim_cur == RLIM_INFINITY)
        return 0;
    return (size_t)(r.rlim_cur - r.rlim_cur / 4);
}

int anchor_plane_start(struct edge *e, bool dry, struct reason *why)
{
    const struct config_media *m = &e->cfg->media;
    struct relay_keyring_args ka = {.dry = dry, .on_change = on_change, .arg = e};
    struct relay_config rc = {.n_workers = thread_count(m->workers),
                              .wait_us = m->wait_us,
                              .max_sockets = sockets_max(),
                              .silent_ms = m->silence_s * 1000,
                              .dry = dry,
                              .user = {.arg = e, .on_event = on_event}};
    size_t i;
    int err;

    if (!m->address.n)
        return 0;
    if (pthread_mutex_init(&e->plane_lock, NULL) != 0)
        return ERR_NOMEM;
    for (i = 0; i < m->address.n && i < ARRAY_LEN(rc.at); i++)
        if (config_media_address_parse(m->address.v[i], &rc.at[rc.n_at].local,
                                       &rc.at[rc.n_at].advertised))
            rc.n_at++;
    if (!config_ports_parse(m->ports, &rc.port_min, &rc.port_max))
        return ERR_INVALID; /* the check has said so */
    if ((err = relay_new(&rc, &e->relay, why)) != 0)
        return err;
    memcpy(e->relay_at, rc.at, sizeof e->relay_at);
    e->n_relay_at = rc.n_at;
    if ((err = relay_keyring_new(&e->keyring, &ka)) != 0) {
        reason_set(why, "media-keys", NULL, 0, "%s", err_text(err));
        relay_free(e->relay);
        e->relay = NULL;
    }
    return err;
}

void anchor_plane_mute(struct edge *e)
{
    if (!e->relay)
        return;
    (void)!pthread_mutex_lock(&e->plane_lock);
    e->plane_is_mute = true;
    (void)!pthread_mutex_unlock(&e->plane_lock);
}

void anchor_plane_stop(struct edge *e)
{
    relay_keyring_free(e->keyring);
    relay_free(e->relay);
    if (e->relay)
        (void)!pthread_mutex_destroy(&e->plane_lock);
    e->keyring = NULL;
    e->relay = NULL;
}

/* An end on its worker's thread: what others want of it is applied, what it has to say is told, and
 * it is looked after twice a second (silence, changed ports). RFC 3711 8, RFC 5761, RFC 8843 apart.
 * Who owns it: its call; the worker frees it. */
#include "base/err.h"
#include "base/mem.h"
#include "relay/relay_priv.h"
#include <unistd.h>

/* ---- telling ---- */

void relay_end_tell(struct relay_end *e, const struct relay_event *event)
{
    const struct relay_user *user = &e->call->relay->config.user;

    switch (event->kind) {
    case RELAY_EVENT_KEYS:
    case RELAY_EVENT_MEDIA:
    case RELAY_EVENT_REKEY:
    case RELAY_EVENT_REFUSED:
        if (e->sink.event != NULL) {
            e->sink.event(e->sink.arg, e->sink.section, event);
            return;
        }
        break;
    default:
        break;
    }
    if (event->kind != RELAY_EVENT_KEYS && user->on_event != NULL)
        user->on_event(user->arg, e->cookie, event);
}

/* ---- keys ---- */

/* The object of one direction of one path; one that is shared with the other path is left to it, if
 * only this one gets keys (DTLS-SRTP without rtcp-mux: an association each, RFC 5764 4.2). */
static int srtp_get(struct relay_end *e, enum media_srtp_dir dir, unsigned path, bool is_alone,
                    struct media_srtp **ret)
{
    struct media_srtp **at = &e->srtp[dir][path];
    int err;

    if (*at == NULL || (is_alone && *at == e->srtp[dir][1 - path])) {
        err = media_srtp_new(ret, dir);
        if (err != 0)
            return err;
        *at = *ret;
    }
    *ret = *at;
    return 0;
}

static void srtp_put(struct relay_end *e, enum media_srtp_dir dir, unsigned path,
                     struct media_srtp *s)
{
    if (e->srtp[dir][path] == s)
        return;
    if (e->srtp[dir][path] != e->srtp[dir][1 - path])
        media_srtp_free(e->srtp[dir][path]);
    e->srtp[dir][path] = s;
}

static int install_one(struct relay_end *e, const struct relay_step *step, unsigned path,
                       bool is_alone)
{
    enum media_srtp_dir dir = step->is_send ? MEDIA_SRTP_SEND : MEDIA_SRTP_RECEIVE;
    struct media_srtp *s, *before = e->srtp[dir][path];
    int err = srtp_get(e, dir, path, is_alone, &s);

    if (err == 0)
        err = media_srtp_install(s, &step->keys);
    if (err == 0)
        return 0;
    if (e->srtp[dir][path] != before) { /* as it was */
        media_srtp_free(e->srtp[dir][path]);
        e->srtp[dir][path] = before;
    }
    return err;
}

static void install(struct relay_end *e, const struct relay_step *step)
{
    const uint8_t both = 1u << KEYING_RTP | 1u << KEYING_RTCP;
    enum media_srtp_dir dir = step->is_send ? MEDIA_SRTP_SEND : MEDIA_SRTP_RECEIVE;
    int err = 0;

    if (step->paths == both && (e->srtp[dir][1] == NULL || e->srtp[dir][0] == e->srtp[dir][1])) {
        err = install_one(e, step, KEYING_RTP, false);
        if (err == 0)
            srtp_put(e, dir, KEYING_RTCP, e->srtp[dir][KEYING_RTP]);
    } else {
        for (unsigned path = 0; path < RELAY_PATHS && err == 0; path++) {
            if (step->paths & 1u << path)
                err = install_one(e, step, path, step->paths != both);
        }
    }
    if (err != 0) {
        e->is_send_refused = e->is_send_refused || step->is_send;
        relay_end_tell(e, &(struct relay_event){.kind = RELAY_EVENT_REFUSED,
                                                .err = err,
                                                .is_send = step->is_send});
        return;
    }
    if (step->is_send) {
        e->is_send_refused = false;
        relay_write(&e->withheld_ms, 0);
    } else {
        e->media_told &= (uint8_t)~step->paths;
        e->drop_old = (uint8_t)((e->drop_old & ~step->paths) | (step->drop_old ? step->paths : 0));
    }
    e->rekey_told = false;
}

void relay_end_steps(struct relay_end *e, struct relay_step *steps)
{
    while (steps != NULL) {
        struct relay_step *step = steps;

        steps = step->next;
        if (step->kind == RELAY_STEP_INSTALL) {
            install(e, step);
            keying_keys_wipe(&step->keys);
        } else if (step->kind == RELAY_STEP_WITHHOLD) {
            relay_write(&e->withheld_ms, step->n != 0 ? e->worker->now_ms + step->n : 0);
        } else {
            unsigned path =
                step->paths == KEYING_RTCP && e->has_rtcp_port ? KEYING_RTCP : KEYING_RTP;
            const struct addr *to = addr_is_set(&step->to) ? &step->to : &e->way[path].to;
            if (addr_is_set(to))
                relay_packet_out(e, path, to, step->bytes, step->n);
        }
        mem_free(step);
    }
}

/* ---- settings ---- */

static void set(struct relay_end *e, struct relay_end_setting *s)
{
    uint64_t now_ms = e->worker->now_ms;

    if (e->protection != s->protection || !e->sends)
        e->since_ms = now_ms;
    if (s->protection != RELAY_PROTECT)
        e->media_told = 0;
    e->protection = (uint8_t)s->protection;
    e->latch = (uint8_t)s->latch;
    e->mux = s->mux;
    e->is_foreign = s->is_foreign;
    e->sends = s->sends;
    e->receives = s->receives;
    relay_end_disconnect(
        e); /* it may come from elsewhere now; connected again by its next packet */
    for (unsigned path = 0; path < RELAY_PATHS; path++) {
        relay_way_set(&e->way[path], path == KEYING_RTP ? &s->rtp : &s->rtcp, now_ms);
        e->way[path].is_asymmetric = s->is_asymmetric;
    }
    e->told_remote = e->way[KEYING_RTP].to;
    e->told_source = e->way[KEYING_RTP].source;
    e->told_astray = (struct addr){0};
    e->told_latched = !addr_eq(&e->told_remote, &s->rtp) || addr_is_set(&e->told_source);
    if (e->agent != NULL) {
        relay_str_free(&e->agent->peer_ufrag);
        e->agent->peer_ufrag = s->ice_ufrag;
        s->ice_ufrag = STR_NULL;
    }
    relay_str_free(&s->ice_ufrag);
    e->peer_is_lite = s->ice_is_lite;
    relay_agent_set(e);
}

void relay_end_change(struct relay_end *e, struct relay_wanted *w)
{
    if (w->is_new) {
        list_append(&e->worker->ends, &e->wnode);
        w->is_new = false;
    }
    if (w->clock_hz != 0)
        relay_quality_clock(&e->quality, w->clock_hz);
    w->clock_hz = 0;
    if (w->has_police) {
        e->max_bytes_s = w->max_bytes_s;
        e->max_packets_s = w->max_packets_s;
    }
    w->has_police = false;
    if (w->restart != NULL)
        relay_agent_restart(e, w->restart);
    w->restart = NULL;
    if (w->has_setting)
        set(e, &w->setting);
    w->has_setting = false;
    e->partner = w->partner;
}

/* ---- looking after ---- */

void relay_end_tick(struct relay_end *e)
{
    unsigned silent_ms = e->call->relay->config.silent_ms;
    uint64_t last = relay_read(&e->last_in_ms), now = e->worker->now_ms;

    relay_agent_tick(e);
    if (now >= e->way[KEYING_RTP].heard_ms + LIMIT_RELAY_MOVE_MS)
        relay_end_disconnect(e); /* the peer may have moved */
    if (last < e->since_ms)
        last = e->since_ms;
    if (silent_ms == 0 || !e->sends || (!e->has_agent && !addr_is_set(&e->way[KEYING_RTP].signalled))) {
        e->silent_told = false;
        e->since_ms = now;
    } else if (now < last + silent_ms) {
        e->silent_told = false;
    } else if (!e->silent_told) {
        e->silent_told = true;
        relay_end_tell(e, &(struct relay_event){.kind = RELAY_EVENT_SILENT});
    }
}

/* ---- the end of it ---- */

static void steps_free(struct relay_step *s)
{
    while (s != NULL) {
        struct relay_step *next = s->next;

        if (s->kind == RELAY_STEP_INSTALL)
            keying_keys_wipe(&s->keys);
        mem_free(s);
        s = next;
    }
}

int relay_str_dup(struct str *to, struct str s)
{
    char *p = NULL;

    *to = STR_NULL;
    if (s.n == 0)
        return 0;
    p = mem_alloc(s.n);
    if (p == NULL)
        return ERR_NOMEM;
    memcpy(p, s.p, s.n);
    *to = str_make(p, s.n);
    return 0;
}

void relay_str_free(struct str *s)
{
    if (s->n > 0)
        secret_wipe((void *)(uintptr_t)s->p, s->n);
    mem_free((void *)(uintptr_t)s->p);
    *s = STR_NULL;
}

void relay_end_gone(struct relay_end *e)
{
    struct relay *r = e->call->relay;
    struct relay_end *partner = e->partner;

    if (partner != NULL && partner->partner == e)
        partner->partner = NULL;
    for (unsigned path = 0; path < RELAY_PATHS; path++) {
        if (e->port[path].fd >= 0)
            (void)close(e->port[path].fd);
    }
    for (unsigned dir = 0; dir < 2; dir++) {
        if (e->srtp[dir][0] != e->srtp[dir][1])
            media_srtp_free(e->srtp[dir][1]);
        media_srtp_free(e->srtp[dir][0]);
    }
    (void)!pthread_mutex_lock(&r->lock);
    relay_ports_give(&r->ports[e->at], e->local_port);
    r->n_ends--;
    r->n_sockets -= e->has_rtcp_port ? 2 : 1;
    (void)!pthread_mutex_unlock(&r->lock);
    list_remove(&e->wnode);
    if (e->sink.unref != NULL)
        e->sink.unref(e->sink.arg);
    if (e->wanted.has_sink && e->wanted.sink.unref != NULL)
        e->wanted.sink.unref(e->wanted.sink.arg);
    steps_free(e->wanted.first);
    relay_str_free(&e->wanted.setting.ice_ufrag);
    relay_restart_free(e->wanted.restart);
    relay_agent_free(e->agent);
    mem_free(e);
}

/* The media plane as a whole: configuration, workers, counters. What all calls have in common
 * (ports, the list of calls) is under one lock, taken when a call or an end begins or ends. */
#include "relay/relay.h"
#include "base/err.h"
#include "base/mem.h"
#include "relay/relay_priv.h"
#include <errno.h>
#include <unistd.h>

#define WORKERS_MAX 64u
#define WAIT_US_MAX 100000u

static int check(const struct relay_config *config, struct reason *why)
{
    const char *what = NULL;

    if (config->n_workers < 1 || config->n_workers > WORKERS_MAX)
        what = "workers";
    else if (config->n_at < 1 || config->n_at > RELAY_ADDRESSES_MAX)
        what = "addresses";
    else if (config->wait_us > WAIT_US_MAX)
        what = "time to gather";
    for (size_t i = 0; what == NULL && i < config->n_at; i++) {
        if (!addr_is_set(&config->at[i].local))
            what = "address";
    }
    if (what == NULL)
        return 0;
    reason_set(why, "media-config", NULL, 0, "%s", what);
    return ERR_INVALID;
}

static int ports_init(struct relay *r, struct reason *why)
{
    for (size_t i = 0; i < r->config.n_at; i++) {
        char text[ADDR_TEXT_MAX];
        int err = relay_ports_init(&r->ports[i], r->config.port_min, r->config.port_max);

        if (err == ERR_INVALID)
            reason_set(why, "media-config", NULL, 0, "ports %u to %u: there is no pair in them",
                       r->config.port_min, r->config.port_max);
        if (err != 0)
            return err;
        if (!r->config.dry && relay_ports_probe(&r->config.at[i].local) != 0) {
            (void)addr_text_host(&r->config.at[i].local, text);
            reason_set(why, "media-bind", NULL, 0, "%s: %s", text, strerror(errno));
            return ERR_IO;
        }
    }
    return 0;
}

int relay_new(const struct relay_config *config, struct relay **ret, struct reason *why)
{
    struct relay *r;
    int err = check(config, why);

    *ret = NULL;
    if (err != 0)
        return err;
    r = mem_zalloc(sizeof(*r));
    if (r == NULL)
        return ERR_NOMEM;
    r->config = *config;
    list_init(&r->calls);
    if (pthread_mutex_init(&r->lock, NULL) != 0) {
        mem_free(r);
        return ERR_NOMEM;
    }
    err = ports_init(r, why);
    r->workers = mem_zalloc_array(config->n_workers, sizeof(*r->workers));
    if (err == 0 && r->workers == NULL)
        err = ERR_NOMEM;
    while (err == 0 && r->n_running < config->n_workers) {
        err = relay_worker_start(&r->workers[r->n_running++], r);
        if (err == ERR_IO)
            reason_set(why, "media-worker", NULL, 0, "%s", strerror(errno));
    }
    if (err != 0) {
        relay_free(r);
        return err;
    }
    *ret = r;
    return 0;
}

void relay_free(struct relay *r)
{
    if (r == NULL)
        return;
    for (size_t i = 0; i < r->n_running; i++)
        relay_worker_stop(&r->workers[i]);
    LIST_EACH(c, &r->calls, struct relay_call, node) {
        c->grave.bury(&c->grave);
    }
    for (size_t i = 0; i < r->n_running; i++) {
        struct relay_worker *w = &r->workers[i];

        if (w->epoll_fd >= 0)
            (void)close(w->epoll_fd);
        if (w->wake_fd >= 0)
            (void)close(w->wake_fd);
        mq_free(w->q);
    }
    for (size_t i = 0; i < r->config.n_at; i++)
        relay_ports_done(&r->ports[i]);
    mem_free(r->workers);
    (void)!pthread_mutex_destroy(&r->lock);
    mem_free(r);
}

/* ---- counters ---- */

const char *relay_drop_text(enum relay_drop d)
{
    static const char *const texts[RELAY_DROP_N] = {
        [RELAY_DROP_FOREIGN] = "foreign", [RELAY_DROP_MALFORMED] = "malformed",
        [RELAY_DROP_FORGED] = "forged",   [RELAY_DROP_REPLAYED] = "replayed",
        [RELAY_DROP_NO_KEYS] = "no-keys", [RELAY_DROP_SSRCS] = "ssrc-limit",
        [RELAY_DROP_POLICED] = "rate",    [RELAY_DROP_NOT_JOINED] = "not-joined",
        [RELAY_DROP_HELD] = "held",       [RELAY_DROP_SEND] = "not-sent",
    };

    return d < RELAY_DROP_N ? texts[d] : "?";
}

const char *relay_refusal_text(enum relay_refusal r)
{
    static const char *const texts[RELAY_REFUSALS] = {[RELAY_REFUSED_PORTS] = "no-port",
                                                      [RELAY_REFUSED_DESCRIPTORS] = "no-descriptor",
                                                      [RELAY_REFUSED_SYSTEM] = "system"};

    return r < RELAY_REFUSALS ? texts[r] : "?";
}

void relay_stats(const struct relay *r, struct relay_stats *ret)
{
    pthread_mutex_t *lock = (pthread_mutex_t *)(uintptr_t)&r->lock;

    memset(ret, 0, sizeof(*ret));
    for (size_t i = 0; i < r->config.n_workers; i++) {
        const struct relay_worker *w = &r->workers[i];

        ret->in_packets += relay_read(&w->in_packets);
        ret->out_packets += relay_read(&w->out_packets);
        ret->in_bytes += relay_read(&w->in_bytes);
        ret->out_bytes += relay_read(&w->out_bytes);
        ret->wakeups += relay_read(&w->wakeups);
        ret->batches += relay_read(&w->batches);
        ret->followed += relay_read(&w->followed);
        ret->astray += relay_read(&w->astray);
        for (unsigned d = 0; d < RELAY_DROP_N; d++)
            ret->dropped[d] += relay_read(&w->dropped[d]);
    }
    (void)!pthread_mutex_lock(lock);
    ret->calls = r->n_calls;
    ret->ends = r->n_ends;
    ret->sockets = r->n_sockets;
    memcpy(ret->refused, r->refused, sizeof(ret->refused));
    for (size_t i = 0; i < r->config.n_at; i++) {
        ret->ports_used += 2ull * r->ports[i].n_taken;
        ret->ports_free += 2ull * (r->ports[i].n - r->ports[i].n_taken);
    }
    (void)!pthread_mutex_unlock(lock);
}

static void flow_read(const struct relay_flow *f, struct relay_flow_stats *ret)
{
    *ret = (struct relay_flow_stats){.packets = relay_read(&f->packets),
                                     .bytes = relay_read(&f->bytes),
                                     .dropped = relay_read(&f->dropped)};
}

void relay_end_stats(const struct relay_end *e, struct relay_end_stats *ret)
{
    const struct relay_quality *q = &e->quality;

    memset(ret, 0, sizeof(*ret));
    flow_read(&e->in, &ret->in);
    flow_read(&e->out, &ret->out);
    ret->in_rtcp = relay_read(&e->in_rtcp);
    ret->out_rtcp = relay_read(&e->out_rtcp);
    ret->is_withheld = relay_read(&e->withheld_ms) != 0;
    ret->foreign = relay_read(&e->dropped[RELAY_DROP_FOREIGN]);
    ret->malformed = relay_read(&e->dropped[RELAY_DROP_MALFORMED]);
    ret->not_authentic = relay_read(&e->dropped[RELAY_DROP_FORGED]);
    ret->replayed = relay_read(&e->dropped[RELAY_DROP_REPLAYED]);
    ret->no_keys = relay_read(&e->dropped[RELAY_DROP_NO_KEYS]);
    ret->too_many_ssrcs = relay_read(&e->dropped[RELAY_DROP_SSRCS]);
    ret->policed = relay_read(&e->dropped[RELAY_DROP_POLICED]);
    ret->not_joined = relay_read(&e->dropped[RELAY_DROP_NOT_JOINED]);
    ret->ice_checks = relay_read(&e->ice_checks);
    ret->ice_refused = relay_read(&e->ice_refused);
    ret->is_without_consent = relay_read(&e->no_consent) != 0;
    ret->last_in_ms = relay_read(&e->last_in_ms);
    (void)!pthread_mutex_lock(&e->call->lock);
    ret->described = e->wanted.setting.rtp;
    ret->remote = e->told_remote;
    ret->source = e->told_source;
    ret->astray = e->told_astray;
    ret->is_latched = e->told_latched;
    ret->max_bytes_s = e->wanted.max_bytes_s;
    ret->max_packets_s = e->wanted.max_packets_s;
    (void)!pthread_mutex_unlock(&e->call->lock);
    ret->lost = atomic_load_explicit(&q->lost, memory_order_relaxed);
    ret->has_report = atomic_load_explicit(&q->has_report, memory_order_relaxed);
    ret->report_fraction = atomic_load_explicit(&q->report_fraction, memory_order_relaxed);
    ret->report_lost = atomic_load_explicit(&q->report_lost, memory_order_relaxed);
    ret->report_jitter_us = atomic_load_explicit(&q->report_jitter_us, memory_order_relaxed);
    ret->rtt_us = atomic_load_explicit(&q->rtt_us, memory_order_relaxed);
    ret->rtp_clock = atomic_load_explicit(&q->hz, memory_order_relaxed);
    ret->jitter_us =
        (uint32_t)((uint64_t)atomic_load_explicit(&q->jitter_16, memory_order_relaxed) *
                   (1000000 / 16) / ret->rtp_clock);
}

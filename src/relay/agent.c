/* The ICE agent of an end: a lite one for each path (relay/ice.h), told of checks by packet.c and
 * of descriptions by end.c. It decides where packets go and from where they may come; keys still
 * decide whether they are good. RFC 8445 2.5, 7.3; RFC 7675. On the worker's thread, but for the
 * making of it. */
#include "base/err.h"
#include "base/mem.h"
#include "relay/relay_priv.h"

int relay_agent_new(struct relay_end *e, struct str ufrag, struct str pwd)
{
    struct relay_agent *a = mem_zalloc(sizeof(*a));

    if (a == NULL)
        return ERR_NOMEM;
    if (relay_str_dup(&a->ufrag, ufrag) != 0 || relay_str_dup(&a->pwd, pwd) != 0) {
        relay_agent_free(a);
        return ERR_NOMEM;
    }
    e->agent = a;
    e->has_agent = true;
    return 0;
}

void relay_agent_free(struct relay_agent *a)
{
    if (a == NULL)
        return;
    relay_str_free(&a->ufrag);
    relay_str_free(&a->pwd);
    relay_str_free(&a->peer_ufrag);
    mem_free(a);
}

/* Packets go where the selected pair says. */
static void way_follow(struct relay_end *e, unsigned path)
{
    struct relay_way *w = &e->way[path];

    const struct addr *to = &e->agent->flow[path].to;

    if (!addr_is_set(to) || addr_eq(&w->to, to))
        return;
    w->signalled = w->to = *to;
    w->is_heard = w->is_decided = true;
    w->heard_ms = e->worker->now_ms;
}

void relay_restart_free(struct relay_restart *r)
{
    if (r == NULL)
        return;
    relay_str_free(&r->ufrag);
    relay_str_free(&r->pwd);
    relay_str_free(&r->peer_ufrag);
    mem_free(r);
}

void relay_agent_restart(struct relay_end *e, struct relay_restart *r)
{
    struct relay_agent *a = e->agent;
    struct str old;

    for (unsigned path = 0; path < RELAY_PATHS && a != NULL; path++)
        relay_ice_flow_restart(&a->flow[path], r->peer_ufrag);
    if (a != NULL) {
        old = a->ufrag;
        a->ufrag = r->ufrag;
        r->ufrag = old;
        old = a->pwd;
        a->pwd = r->pwd;
        r->pwd = old;
    }
    relay_restart_free(r);
}

void relay_agent_set(struct relay_end *e)
{
    struct relay_agent *a = e->agent;

    if (a == NULL)
        return;
    /* A peer that has answered without ICE is where its description says (RFC 8839 3.2.5). */
    e->has_agent = a->peer_ufrag.n > 0 || !addr_is_set(&e->way[KEYING_RTP].signalled);
    for (unsigned path = 0; path < RELAY_PATHS && e->has_agent; path++) {
        if (a->peer_ufrag.n > 0)
            relay_ice_flow_settle(&a->flow[path], a->peer_ufrag);
        if (e->peer_is_lite && addr_is_set(&e->way[path].signalled))
            relay_ice_flow_select(&a->flow[path], &e->way[path].signalled);
        way_follow(e, path);
    }
}

void relay_agent_take(struct relay_end *e, unsigned path, const struct addr *from, const uint8_t *p,
                      size_t n)
{
    struct relay_agent *a = e->agent;
    struct relay_ice_names names = {.ufrag = a->ufrag, .pwd = a->pwd, .peer_ufrag = a->peer_ufrag};
    struct relay_ice_answer answer;
    enum relay_ice_verdict v = relay_ice_check(&names, from, p, n, &answer);

    if (answer.n > 0)
        relay_packet_out(e, path, from, answer.bytes, answer.n);
    if (v != RELAY_ICE_VALID && v != RELAY_ICE_NOMINATED) {
        if (v != RELAY_ICE_IGNORED && v != RELAY_ICE_ELSEWHERE)
            relay_tally(&e->ice_refused, 1);
        return;
    }
    relay_tally(&e->ice_checks, 1);
    if (!relay_ice_flow_check(&a->flow[path], v, answer.theirs, from, e->worker->now_ms))
        return;
    way_follow(e, path);
    if (path == KEYING_RTP) {
        (void)!pthread_mutex_lock(&e->call->lock);
        e->told_remote = e->way[path].to;
        (void)!pthread_mutex_unlock(&e->call->lock);
    }
    relay_end_tell(e, &(struct relay_event){.kind = RELAY_EVENT_REMOTE,
                                            .path = (enum keying_path)path,
                                            .from = e->way[path].to});
}

bool relay_agent_knows(const struct relay_end *e, unsigned path, const struct addr *from)
{
    return relay_ice_flow_knows(&e->agent->flow[path], from, e->worker->now_ms);
}

bool relay_agent_may_send(const struct relay_end *e, unsigned path)
{
    return relay_ice_flow_may_send(&e->agent->flow[path], e->worker->now_ms);
}

void relay_agent_tick(struct relay_end *e)
{
    bool may;

    if (!e->has_agent || !addr_is_set(&e->agent->flow[KEYING_RTP].to))
        return;
    may = relay_agent_may_send(e, KEYING_RTP);
    if (!may && relay_read(&e->no_consent) == 0) {
        relay_write(&e->no_consent, 1);
        relay_end_tell(e, &(struct relay_event){.kind = RELAY_EVENT_CONSENT});
    } else if (may) {
        relay_write(&e->no_consent, 0);
    }
}

/* The simulated net (sim.h). One thread; everything that net.h promises to happen later is put into one list and run by sim_settle. */
#include "sim.h"
#include "net/locate.h"
#include "base/err.h"
#include "base/limits.h"
#include "base/mem.h"
#include <stdlib.h>

struct later {
    struct list node;
    enum { LATER_CLOSED, LATER_LOCATED, LATER_POST, LATER_UNREACHABLE } what;
    struct sim_party *party;
    flow_id flow;
    void *flow_user;
    enum net_close_why why;
    net_locate_fn fn;
    void *arg;
    uint64_t id;
    struct sim_dns *dns;
    struct net_target literal;
    struct wheel_timer timer; /* dead DNS */
    struct sim *sim;
    void (*post)(void *, void *);
    struct path path;
};

static struct sim *sim_of(struct net *n)
{
    return CONTAINER_OF(n, struct sim, net);
}

void sim_faults_on(struct sim *s)
{
    if (!s->has_faults || s->fault_n >= s->fault_at)
        return;
    fault_arm_pieces(s->fault_at - s->fault_n);
}

void sim_faults_off(struct sim *s)
{
#ifdef SALLYPORT_FAULTS
    if (!s->has_faults || fault_state.at == 0)
        return;
    s->fault_n += fault_state.n;
    s->has_fired = fault_disarm() || s->has_fired;
#else
    (void)s;
#endif
}

static struct later *later_new(struct sim *s)
{
    struct later *l = calloc(1, sizeof *l);

    if (!l)
        abort();
    l->sim = s;
    list_append(&s->later, &l->node);
    return l;
}

static struct sim_party *party_of_flow(struct sim *s, flow_id flow)
{
    unsigned i;

    for (i = 0; i < s->n_parties; i++)
        if (flow && s->party[i].flow == flow)
            return &s->party[i];
    return NULL;
}

static struct sim_party *party_of_addr(struct sim *s, enum transport t, const struct addr *a)
{
    unsigned i;

    for (i = 0; i < s->n_parties; i++)
        if (s->party[i].transport == t && addr_eq(&s->party[i].addr, a))
            return &s->party[i];
    return NULL;
}

static struct path party_path(struct sim *s, const struct sim_party *p)
{
    return (struct path){.transport = p->transport, .listener = p->listener, .flow = p->flow,
                         .local = p->listener < s->n_listeners ? s->listener_addr[p->listener] : p->local, .remote = p->addr};
}

void sim_relisten(struct sim *s, const struct config_listen *v, size_t n)
{
    size_t i, k;

    for (i = 0; i < s->n_parties; i++) {
        struct sim_party *p = &s->party[i];
        struct addr local = p->listener < s->n_listeners ? s->listener_addr[p->listener] : p->local;
        enum transport t = p->listener < s->n_listeners ? s->listener_transport[p->listener] : p->transport;

        for (k = 0; k < n && (v[k].transport != t || !addr_eq(&v[k].addr, &local)); k++)
            ;
        p->listener = k < n ? (uint16_t)k : NET_LISTENER_GONE;
        p->local = local;
    }
    for (i = 0; i < n; i++) {
        s->listener_addr[i] = v[i].addr;
        s->listener_transport[i] = v[i].transport;
    }
    s->n_listeners = (unsigned)n;
}

/* ---- net_ops ---- */

static int op_send(struct net *n, const struct path *to, struct buf *msg)
{
    struct sim *s = sim_of(n);
    struct sim_party *p = to->flow ? party_of_flow(s, to->flow) : party_of_addr(s, to->transport, &to->remote);
    struct later *l;

    if (to->transport != TRANSPORT_UDP && !p)
        return ERR_CLOSED;
    if (!p)
        return 0; /* a datagram to nowhere */
    if (p->lose) {
        p->lose--;
        return 0;
    }
    if (p->silent) {
        locator_failed(s->locator, &(struct net_target){TRANSPORT_UDP, to->remote});
        l = later_new(s);
        l->what = LATER_UNREACHABLE;
        l->path = *to;
        return 0;
    }
    if (p->n == SIM_QUEUE)
        return ERR_LIMIT;
    sim_faults_off(s);
    p->queue[(p->head + p->n++) % SIM_QUEUE] = (struct sim_msg){buf_copy(buf_str(msg)), s->now_ms};
    sim_faults_on(s);
    return 0;
}

static void open_flow(struct sim *s, struct sim_party *p)
{
    p->flow = ((flow_id)s->net.worker << 56) | ((flow_id)(p - s->party + 1) << 32) | ++s->gen;
    p->hop.secure = transport_is_secure(p->transport);
    p->hop.tls_version = !p->hop.secure ? NULL : p->is_tls12 ? "TLSv1.2" : "TLSv1.3";
    p->hop.cipher = p->hop.secure ? "TLS_AES_256_GCM_SHA384" : NULL;
    p->hop.forward_secret = p->hop.secure;
    p->flow_user = NULL;
    memset(&p->alias, 0, sizeof p->alias);
}

static void close_later(struct sim *s, struct sim_party *p, enum net_close_why why)
{
    struct later *l = later_new(s);

    l->what = LATER_CLOSED;
    l->flow = p->flow;
    l->flow_user = p->flow_user;
    l->path = party_path(s, p);
    l->why = why;
    p->flow = 0;
    p->flow_user = NULL;
}

static int op_connect(struct net *n, const struct net_connect_args *a, flow_id *ret_flow, struct path *ret_path)
{
    struct sim *s = sim_of(n);
    struct sim_party *p = party_of_addr(s, a->transport, &a->remote);
    struct later *l;

    if (p && !p->refuses) {
        p->listener = a->listener;
        if (p->flow)
            close_later(s, p, NET_CLOSE_PEER); /* a party has one connection */
        open_flow(s, p);
        p->hop.outgoing = p->is_opening = true;
        *ret_flow = p->flow;
        *ret_path = party_path(s, p);
        locator_worked(s->locator, &(struct net_target){a->transport, a->remote});
        return 0;
    }
    *ret_flow = ((flow_id)s->net.worker << 56) | ((flow_id)0xffff << 32) | ++s->gen;
    *ret_path = (struct path){.transport = a->transport, .listener = a->listener, .flow = *ret_flow, .remote = a->remote};
    locator_failed(s->locator, &(struct net_target){a->transport, a->remote});
    l = later_new(s);
    l->what = LATER_CLOSED;
    l->flow = *ret_flow;
    l->path = *ret_path;
    l->why = NET_CLOSE_UNREACHABLE;
    return 0;
}

static void op_close(struct net *n, flow_id flow, enum net_close_why why)
{
    struct sim_party *p = party_of_flow(sim_of(n), flow);

    if (p)
        close_later(sim_of(n), p, why);
}

static const struct hop_facts *op_facts(struct net *n, flow_id flow)
{
    struct sim_party *p = party_of_flow(sim_of(n), flow);

    return p && !p->is_opening ? &p->hop : NULL;
}

static int op_flow_path(struct net *n, flow_id flow, struct path *ret)
{
    struct sim_party *p = party_of_flow(sim_of(n), flow);

    if (!p)
        return ERR_NOTFOUND;
    *ret = party_path(sim_of(n), p);
    return 0;
}

static void op_set_user(struct net *n, flow_id flow, void *user)
{
    struct sim_party *p = party_of_flow(sim_of(n), flow);

    if (p)
        p->flow_user = user;
}

static void *op_get_user(struct net *n, flow_id flow)
{
    struct sim_party *p = party_of_flow(sim_of(n), flow);

    return p ? p->flow_user : NULL;
}

static void op_set_idle(struct net *n, flow_id flow, uint64_t ms)
{
    (void)n;
    (void)flow;
    (void)ms;
}

static void op_each_flow(struct net *n, bool (*fn)(void *arg, const struct net_flow_info *info), void *arg)
{
    struct sim *s = sim_of(n);
    unsigned i;

    for (i = 0; i < s->n_parties; i++) {
        struct net_flow_info info = {.path = party_path(s, &s->party[i]), .hop = &s->party[i].hop,
                                     .user = s->party[i].flow_user, .is_open = true};

        if (s->party[i].flow && !fn(arg, &info))
            return;
    }
}

static bool is_named(const struct hop_facts *hop, struct str name)
{
    size_t i;

    for (i = 0; i < hop->n_peer_names; i++)
        if (str_eq_nocase(hop->peer_names[i], name))
            return true;
    return false;
}

static flow_id op_find(struct net *n, enum transport t, const struct addr *remote, struct str name)
{
    struct sim *s = sim_of(n);
    struct sim_party *p = party_of_addr(s, t, remote);
    unsigned i;

    if (p && p->flow && p->hop.outgoing)
        return p->flow;
    for (i = 0; i < s->n_parties; i++) {
        p = &s->party[i];
        if (p->flow && p->transport == t && addr_is_set(&p->alias) && addr_eq(&p->alias, remote) &&
            (t != TRANSPORT_TLS || is_named(&p->hop, name)))
            return p->flow;
    }
    return 0;
}

static int op_alias(struct net *n, flow_id flow, const struct addr *alias)
{
    struct sim_party *p = party_of_flow(sim_of(n), flow);

    if (!p)
        return ERR_NOTFOUND;
    p->alias = *alias;
    return 0;
}

/* There are no certificates here, only what the scenario says of them. */
static bool op_vouched(struct net *n, flow_id flow, struct pki_tls_client *by, struct str name)
{
    struct sim_party *p = party_of_flow(sim_of(n), flow);

    (void)by;
    return p && (p->hop.outgoing || (!p->is_foreign_ca && (!name.n || is_named(&p->hop, name))));
}

static void on_dns_timeout(struct wheel_timer *t)
{
    struct later *l = CONTAINER_OF(t, struct later, timer);
    struct reason why = {0};

    list_remove(&l->node);
    reason_set(&why, "dns-timeout", "RFC 3263 4", 503, NULL);
    l->fn(l->arg, NULL, 0, &why);
    free(l);
}

static int op_locate(struct net *n, const struct net_locate_args *a, net_locate_fn fn, void *arg, uint64_t *ret_id)
{
    struct sim *s = sim_of(n);
    struct later *l = later_new(s);
    unsigned i;

    l->what = LATER_LOCATED;
    l->fn = fn;
    l->arg = arg;
    l->id = *ret_id = ++s->next_id;
    wheel_timer_init(&l->timer, on_dns_timeout);
    for (i = 0; i < s->n_dns; i++)
        if (str_eq_nocase(str_z(s->dns[i].host), a->host))
            l->dns = &s->dns[i];
    if (l->dns && l->dns->dead) {
        list_remove(&l->node);
        list_append(&s->unanswered, &l->node);
        wheel_start(s->net.wheel, &l->timer, LIMIT_DNS_MS);
    }
    return 0;
}

static void op_locate_cancel(struct net *n, uint64_t id)
{
    struct sim *s = sim_of(n);

    LIST_EACH(l, &s->later, struct later, node)
    {
        if (l->what == LATER_LOCATED && l->id == id) {
            list_remove(&l->node);
            free(l);
        }
    }
    LIST_EACH(l, &s->unanswered, struct later, node)
    {
        if (l->id == id) {
            wheel_cancel(s->net.wheel, &l->timer);
            list_remove(&l->node);
            free(l);
        }
    }
}

static void op_target_failed(struct net *n, const struct net_target *t)
{
    locator_failed(sim_of(n)->locator, t);
}

static int op_post(struct net *n, unsigned worker, void (*fn)(void *, void *), void *arg)
{
    struct later *l = later_new(sim_of(n));

    (void)worker;
    l->what = LATER_POST;
    l->post = fn;
    l->arg = arg;
    return 0;
}

static uint64_t op_now_us(struct net *n)
{
    return sim_of(n)->now_ms * 1000;
}

static uint64_t op_wall_s(struct net *n)
{
    return sim_of(n)->wall0_s + sim_of(n)->now_ms / 1000 + (uint64_t)sim_of(n)->wall_jump_s;
}

static uint64_t op_steady_s(struct net *n)
{
    return sim_of(n)->wall0_s + sim_of(n)->now_ms / 1000;
}

static const struct net_ops ops = {
    .send = op_send, .connect = op_connect, .close = op_close, .facts = op_facts, .flow_path = op_flow_path,
    .set_user = op_set_user, .get_user = op_get_user, .set_idle = op_set_idle, .each_flow = op_each_flow, .find = op_find, .alias = op_alias, .vouched = op_vouched,
    .locate = op_locate, .locate_cancel = op_locate_cancel, .target_failed = op_target_failed,
    .post = op_post, .now_us = op_now_us, .wall_s = op_wall_s, .steady_s = op_steady_s,
};

/* ---- for the player ---- */

int sim_init(struct sim *s)
{
    struct locator_args la = {0};

    memset(s, 0, sizeof *s);
    list_init(&s->later);
    list_init(&s->unanswered);
    s->wall0_s = 1700000000;
    s->net.ops = &ops;
    s->net.n_workers = 1;
    s->net.wheel = wheel_new(0);
    rand_fixed_init(&s->net.rand, 42);
    la.wheel = s->net.wheel;
    return s->net.wheel && locator_new(&la, &s->locator) == 0 ? 0 : ERR_NOMEM;
}

void sim_done(struct sim *s)
{
    unsigned i;

    locator_free(s->locator);
    LIST_EACH(l, &s->later, struct later, node)
    {
        list_remove(&l->node);
        if (l->what == LATER_CLOSED)
            mem_free(l->flow_user);
        free(l);
    }
    for (i = 0; i < s->n_parties; i++) {
        mem_free(s->party[i].flow_user);
        while (s->party[i].n) {
            buf_unref(s->party[i].queue[s->party[i].head % SIM_QUEUE].buf);
            s->party[i].head++;
            s->party[i].n--;
        }
    }
    wheel_free(s->net.wheel);
}

struct sim_party *sim_find(struct sim *s, const char *name)
{
    unsigned i;

    for (i = 0; i < s->n_parties; i++)
        if (strcmp(s->party[i].name, name) == 0)
            return &s->party[i];
    return NULL;
}

void sim_settle(struct sim *s)
{
    struct later *l;
    unsigned turns = 0;

    while ((l = LIST_FIRST(&s->later, struct later, node)) != NULL && ++turns < 100000) {
        struct net_target targets[ARRAY_LEN(s->dns[0].v)];
        struct reason why = {0};

        list_remove(&l->node);
        sim_faults_on(s);
        switch (l->what) {
        case LATER_CLOSED:
            s->net.user.on_flow_closed(s->net.user.arg, l->flow, &l->path, l->why, NULL, l->flow_user);
            break;
        case LATER_UNREACHABLE:
            s->net.user.on_unreachable(s->net.user.arg, &l->path);
            break;
        case LATER_POST:
            l->post(s->net.user.arg, l->arg);
            break;
        case LATER_LOCATED:
            if (!l->dns)
                reason_set(&why, "dns-nxdomain", "RFC 3263 4", 503, NULL);
            if (l->dns)
                memcpy(targets, l->dns->v, sizeof targets);
            if (l->dns)
                locator_sort_failed(s->locator, targets, l->dns->n);
            l->fn(l->arg, l->dns ? targets : NULL, l->dns ? l->dns->n : 0, &why);
            break;
        }
        sim_faults_off(s);
        free(l);
    }
}

void sim_deliver(struct sim *s, struct sim_party *p, struct str bytes)
{
    struct rx rx = {.path = party_path(s, p), .buf = buf_copy(bytes), .hop = &p->hop, .when_us = s->now_ms * 1000};

    if (!rx.buf)
        abort();
    p->is_opening = false;
    sim_faults_on(s);
    s->net.user.on_message(s->net.user.arg, &rx);
    sim_faults_off(s);
    buf_unref(rx.buf);
    sim_settle(s);
}

void sim_open(struct sim *s, struct sim_party *p)
{
    open_flow(s, p);
    p->hop.outgoing = p->is_opening = false;
}

void sim_close(struct sim *s, struct sim_party *p)
{
    if (p->flow)
        close_later(s, p, NET_CLOSE_PEER);
    sim_settle(s);
}

void sim_advance(struct sim *s, uint64_t ms)
{
    uint64_t end = s->now_ms + ms;

    while (s->now_ms < end) { /* in steps, so that what a timer causes happens at its time */
        uint64_t next = wheel_next_ms(s->net.wheel), step = end - s->now_ms;

        if (next < step)
            step = next ? next : 1; /* what is due already fires with the next millisecond */
        s->now_ms += step;
        sim_faults_on(s);
        wheel_advance(s->net.wheel, s->now_ms);
        sim_faults_off(s);
        sim_settle(s);
    }
}

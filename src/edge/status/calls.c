/* The calls that pass this worker, from INVITE to BYE: what `sallyport status` shows and what evidence will be made of. Nothing
 * depends on a record to route. A record is named by worker, slot and generation, which travel in the dialog token, so that events
 * seen by another worker find it by message.
 * Owner: the worker; a record ends with a failed INVITE, a BYE, its session timer (RFC 4028 10) or call-max. */
#include "edge/status/calls.h"
#include "base/log.h"
#include "base/mem.h"
#include "edge/anchor/anchor.h"
#include "edge/status/facts.h"
#include "edge/status/security.h"
#include "edge/slots.h"
#include "edge/status/events.h"
#include "edge/peers/limits.h"
#include "edge/peers/peers.h"

#define CALLS_MAX 0x00ffffffu
#define CALLS_SWEEP_MS 10000u
#define CALL_ANSWERS_MAX 8u /* of one forked INVITE; more are not counted */

struct edge_call {
    uint32_t gen;
    uint32_t slot;
    enum call_state state;
    uint64_t begun_s, answered_s, deadline_s; /* steady */
    bool has_timer; /* the deadline is its session timer's */
    uint32_t answers[CALL_ANSWERS_MAX]; /* dialogs that have been accepted: it ends with the last of them */
    uint8_t n_answers;
    struct peer_state *from;     /* whose limit it counts against as the caller; NULL: nobody's */
    struct list to;              /* ... and of peers that are called, and of those that have answered: struct call_peer */
    struct list changed;         /* its facts have changed, and nobody was told yet; alone: not */
    struct call_user {
        struct list node; /* among the answered calls of a user of ours */
        unsigned side;
        uint64_t user, seq;
    } users[2]; /* by side */
    struct call_info info; /* strings behind the struct */
    struct facts_call facts;
};

/* One peer that a call is counted at (edge/peers/limits.h): once, however many of its branches lead there. */
struct call_peer {
    struct list node;
    struct peer_state *at;
    unsigned branches; /* under way */
    bool has_answered; /* it counts until the call ends */
};

#define CALL_USERS 1024u

struct edge_calls {
    struct edge_worker *w;
    struct list users[CALL_USERS]; /* of struct call_user, by user; who came later stands behind */
    uint64_t user_seq;
    struct slots slots; /* of struct edge_call */
    struct wheel_timer sweep;
    struct list changed;
    struct wheel_timer soon; /* what belongs to one exchange is told together */
};

#define CHANGED_MS 50u

/* ---- limits ---- */

/* A call that nobody could count would not end at any limit. */
static int no_record(struct reason *why)
{
    reason_set(why, "no-memory", NULL, 500, NULL);
    return ERR_NOMEM;
}

static bool peer_is_full(struct edge *e, const struct config_peer *p)
{
    return p && p->max_calls && peer_calls(e, p) >= p->max_calls;
}

static int caller_is_full(const struct edge_req *r, struct reason *why)
{
    reason_set(why, "peer-too-many-calls", "TR/100 6.2", 503, "max-calls of this peer is %u", r->who.peer->max_calls);
    return ERR_LIMIT;
}

/* A look ahead, so that who cannot be called is not tried; what counts is calls_begin and calls_peer_begin. */
int calls_admit(const struct edge_req *r, struct edge_targets *ts, struct reason *why)
{
    const struct edge_calls *c = r->w->calls;
    size_t i, n = 0;

    if (r->m->method != SIP_INVITE || sip_msg_in_dialog(r->m) || r->emergency)
        return 0;
    if (r->cfg->max_calls && c->slots.n >= r->cfg->max_calls) {
        reason_set(why, "too-many-calls", "RFC 3261 21.5.4", 503, "max-calls is %u", r->cfg->max_calls);
        return ERR_LIMIT;
    }
    if (peer_is_full(r->w->edge, r->who.peer))
        return caller_is_full(r, why);
    for (i = 0; i < ts->n; i++)
        if (!peer_is_full(r->w->edge, ts->v[i]->peer))
            ts->v[n++] = ts->v[i];
    if (!n) {
        reason_set(why, "peer-too-many-calls", "TR/100 6.2", 480, "max-calls of %.*s is %u", STR_FMT(ts->v[0]->peer->name),
                   ts->v[0]->peer->max_calls);
        return ERR_LIMIT;
    }
    ts->n = n;
    return 0;
}

/* ---- records ---- */

static void call_peer_free(struct call_peer *p)
{
    peer_calls_give(p->at);
    list_remove(&p->node);
    mem_free(p);
}

static void call_free(struct edge_call *call)
{
    if (call) {
        peer_calls_give(call->from);
        LIST_EACH(p, &call->to, struct call_peer, node)
        {
            call_peer_free(p);
        }
        facts_done(&call->facts);
        list_remove(&call->changed);
        for (unsigned side = 0; side < ARRAY_LEN(call->users); side++)
            list_remove(&call->users[side].node);
    }
    mem_free(call);
}

static const struct call_info *call_show(struct edge_call *call, uint64_t now)
{
    call->info.state = call->state;
    call->info.begun_s = call->begun_s;
    call->info.is_answered = call->answered_s != 0;
    call->info.seconds = now - (call->answered_s ? call->answered_s : call->begun_s);
    return &call->info;
}

static void call_remove(struct edge_calls *c, struct edge_call *call)
{
    security_ended(c->w, call_show(call, net_steady_s(c->w->net)));
    slots_remove(&c->slots, call->slot);
    call_free(call);
}

static void on_sweep(struct wheel_timer *t)
{
    struct edge_calls *c = CONTAINER_OF(t, struct edge_calls, sweep);
    uint64_t now = net_steady_s(c->w->net);
    uint32_t i;

    for (i = 0; i < c->slots.cap; i++) {
        struct edge_call *call = slots_get(&c->slots, i);

        if (!call || now < call->deadline_s)
            continue;
        /* One without a session timer goes on as long as media come (RFC 4028 10 speaks of those with one). */
        if (call->info.anchor_gen && !anchor_expire(c->w, call->info.anchor_slot, call->info.anchor_gen, call->has_timer)) {
            call->deadline_s = now + c->w->cfg->call_max_s;
            continue;
        }
        LOG(LOG_INFO, "call-timed-out", LS("call", call->info.call_id), LS("caller", call->info.caller));
        edge_count(c->w, EC_CALLS_ENDED);
        call_remove(c, call);
    }
    wheel_start(c->w->net->wheel, &c->sweep, CALLS_SWEEP_MS);
}

static void on_changed(struct wheel_timer *t)
{
    struct edge_calls *c = CONTAINER_OF(t, struct edge_calls, soon);
    struct edge_call *call;

    while ((call = LIST_FIRST(&c->changed, struct edge_call, changed)) != NULL) {
        list_remove(&call->changed);
        list_init(&call->changed);
        if (call->state == CALL_ANSWERED)
            status_events_tell(c->w, call_show(call, net_steady_s(c->w->net)), &call->facts);
    }
}

int calls_start(struct edge_worker *w)
{
    struct edge_calls *c = mem_zalloc(sizeof *c);

    if (!c)
        return ERR_NOMEM;
    c->w = w;
    slots_init(&c->slots, 256, CALLS_MAX, UINT32_MAX);
    list_init(&c->changed);
    for (unsigned i = 0; i < CALL_USERS; i++)
        list_init(&c->users[i]);
    wheel_timer_init(&c->soon, on_changed);
    wheel_timer_init(&c->sweep, on_sweep);
    wheel_start(w->net->wheel, &c->sweep, CALLS_SWEEP_MS);
    w->calls = c;
    return 0;
}

void calls_stop(struct edge_worker *w)
{
    struct edge_calls *c = w->calls;
    uint32_t i;

    if (!c)
        return;
    wheel_cancel(w->net->wheel, &c->sweep);
    wheel_cancel(w->net->wheel, &c->soon);
    for (i = 0; i < c->slots.cap; i++)
        call_free(slots_get(&c->slots, i));
    slots_done(&c->slots);
    mem_free(c);
    w->calls = NULL;
}

static struct str keep(char **at, struct str s)
{
    struct str r = {*at, s.n > 255 ? 255 : s.n};

    if (r.n)
        memcpy(*at, s.p, r.n);
    *at += r.n;
    return r;
}

/* Until somebody has answered it lasts as long as a branch of it may (timer C, RFC 3261 16.6 step 11), from the last one that
 * began, or rang (16.7 step 2). */
static void ring_on(struct edge_call *call, struct net *net, const struct config *cfg)
{
    call->deadline_s = net_steady_s(net) + cfg->timer_c_s + 60;
}

static struct edge_call *call_new(const struct edge_req *r)
{
    const struct sip_msg *m = r->m;
    size_t n = m->call_id.n + m->from.uri.n + m->to.uri.n + r->who.name.n + m->ruri.n;
    struct edge_call *call = mem_zalloc(sizeof *call + n);
    char *at;

    if (!call)
        return NULL;
    at = (char *)(call + 1);
    call->info.call_id = keep(&at, m->call_id);
    call->info.from = keep(&at, m->from.uri);
    call->info.to = keep(&at, m->to.uri);
    call->info.caller = keep(&at, r->who.name);
    call->info.target = keep(&at, m->ruri);
    call->info.how = (unsigned)r->who.how;
    call->info.in_transport = r->rx.path.transport;
    call->info.emergency = r->emergency;
    call->info.facts = &call->facts;
    list_init(&call->changed);
    list_init(&call->to);
    for (unsigned side = POLICY_CALLER; side <= POLICY_CALLEE; side++) {
        list_init(&call->users[side].node);
        call->users[side].side = side;
    }
    facts_caller(&call->facts, r, call->info.from, call->info.caller);
    call->begun_s = net_steady_s(r->w->net);
    ring_on(call, r->w->net, r->cfg);
    return call;
}

int calls_begin(struct edge_req *r, uint32_t *ret_slot, uint32_t *ret_gen, struct reason *why)
{
    struct edge_calls *c = r->w->calls;
    const struct config_peer *from = r->who.peer;
    struct peer_state *at = NULL;
    struct edge_call *call;

    if (from && !peer_calls_take(r->w->edge, from, r->emergency, &at))
        return caller_is_full(r, why);
    edge_count(r->w, EC_CALLS_STARTED);
    call = slots_room(&c->slots, &r->w->net->rand) == 0 ? call_new(r) : NULL;
    if (!call) {
        peer_calls_give(at);
        return from && from->max_calls && !r->emergency ? no_record(why) : 0;
    }
    slots_put(&c->slots, call, &call->slot, &call->gen);
    call->from = at;
    *ret_slot = (r->w->id << 24) | call->slot;
    *ret_gen = call->gen;
    return 0;
}

static struct edge_call *call_at(const struct edge_calls *c, uint32_t slot, uint32_t gen)
{
    struct edge_call *call = slots_get(&c->slots, slot & CALLS_MAX);

    return call && call->gen == gen ? call : NULL;
}

int calls_peer_begin(struct edge_worker *w, uint32_t slot, uint32_t gen, const struct config_peer *peer, bool emergency,
                     struct peer_state **ret)
{
    struct edge_call *call = gen && slot >> 24 == w->id ? call_at(w->calls, slot, gen) : NULL;
    struct call_peer *mine;
    struct peer_state *at;

    *ret = NULL;
    if (call && call->state != CALL_ANSWERED)
        ring_on(call, w->net, w->cfg);
    if (!peer)
        return 0;
    if (!call)
        return peer->max_calls && !emergency ? ERR_NOMEM : 0;
    at = peer_state_get(w->edge, peer);
    LIST_EACH(p, &call->to, struct call_peer, node)
    {
        if (p->at != at)
            continue;
        p->branches++;
        *ret = at;
        return 0;
    }
    if (!peer_calls_take(w->edge, peer, emergency, &at))
        return ERR_LIMIT;
    if (!at)
        return 0;
    if ((mine = mem_alloc(sizeof *mine)) == NULL) {
        peer_calls_give(at);
        return peer->max_calls && !emergency ? ERR_NOMEM : 0;
    }
    *mine = (struct call_peer){.at = at, .branches = 1};
    list_append(&call->to, &mine->node);
    *ret = at;
    return 0;
}

void calls_peer_over(struct edge_worker *w, uint32_t slot, uint32_t gen, const struct peer_state *at, bool has_answered)
{
    struct edge_call *call = w->calls && gen && slot >> 24 == w->id ? call_at(w->calls, slot, gen) : NULL;

    if (!call)
        return; /* it has ended, and counts no more */
    LIST_EACH(p, &call->to, struct call_peer, node)
    {
        if (p->at != at)
            continue;
        p->has_answered |= has_answered;
        if (p->branches > 0)
            p->branches--;
        if (!p->branches && !p->has_answered)
            call_peer_free(p);
        return;
    }
}

void calls_anchor(struct edge_worker *w, uint32_t slot, uint32_t gen, uint32_t anchor_slot, uint32_t anchor_gen)
{
    struct edge_call *call = gen ? call_at(w->calls, slot, gen) : NULL;

    if (!call)
        return;
    call->info.anchor_slot = anchor_slot;
    call->info.anchor_gen = anchor_gen;
}

const struct call_info *calls_find(const struct edge_worker *w, uint32_t slot, uint32_t gen)
{
    struct edge_call *call = gen && slot >> 24 == w->id ? call_at(w->calls, slot, gen) : NULL;

    return call ? call_show(call, net_steady_s(w->net)) : NULL;
}

struct facts_call *calls_facts(const struct edge_worker *w, uint32_t slot, uint32_t gen)
{
    struct edge_call *call = gen && slot >> 24 == w->id ? call_at(w->calls, slot, gen) : NULL;

    return call ? &call->facts : NULL;
}

/* Whose call it is may change until it is answered, and when the other phones of a fork answer. */
static void call_index(struct edge_calls *c, struct edge_call *call)
{
    for (unsigned side = POLICY_CALLER; side <= POLICY_CALLEE && call->state == CALL_ANSWERED; side++) {
        struct call_user *u = &call->users[side];
        uint64_t user = call->facts.user[side];

        if (u->user == user)
            continue;
        list_remove(&u->node);
        u->user = user;
        u->seq = ++c->user_seq;
        if (user)
            list_append(&c->users[user % CALL_USERS], &u->node);
    }
}

bool calls_of_user(const struct edge_worker *w, uint64_t user, uint64_t *after,
                   bool (*fn)(void *arg, const struct call_info *info, unsigned side), void *arg)
{
    uint64_t now = net_wall_s(w->net);

    LIST_EACH(u, &w->calls->users[user % CALL_USERS], struct call_user, node)
    {
        if (u->user != user || u->seq <= *after)
            continue;
        if (!fn(arg, call_show(CONTAINER_OF(u - u->side, struct edge_call, users[0]), now), u->side))
            return false;
        *after = u->seq;
    }
    return true;
}

void calls_changed(struct edge_worker *w, uint32_t slot, uint32_t gen)
{
    struct edge_call *call = gen && slot >> 24 == w->id ? call_at(w->calls, slot, gen) : NULL;

    if (call)
        call_index(w->calls, call);
    if (!call || !list_is_empty(&call->changed) ||
        (!status_events_wanted(w->edge, call->facts.user[POLICY_CALLER]) &&
         !status_events_wanted(w->edge, call->facts.user[POLICY_CALLEE])))
        return;
    list_append(&w->calls->changed, &call->changed);
    if (!wheel_is_running(&w->calls->soon))
        wheel_start(w->net->wheel, &w->calls->soon, CHANGED_MS);
}

void calls_told(struct edge_worker *w, uint32_t slot, uint32_t gen, unsigned side, struct str status)
{
    struct facts_call *f = calls_facts(w, slot, gen);

    if (f && status.n)
        f->told[side] = str_hash(status);
}

/* ---- events ---- */

struct call_said {
    uint32_t slot, gen;
    enum facts_said said;
    struct facts_media media;
};

static void said_posted(void *edge_worker, void *arg)
{
    const struct call_said *s = arg;
    struct facts_call *f = calls_facts(edge_worker, s->slot, s->gen);

    if (f) {
        facts_said(f, s->said, &s->media);
        calls_changed(edge_worker, s->slot, s->gen);
    }
    mem_free(arg);
}

void calls_said(struct edge_worker *w, uint32_t slot, uint32_t gen, enum facts_said said, const struct facts_media *media)
{
    struct facts_call *f = calls_facts(w, slot, gen);
    unsigned owner = slot >> 24;
    struct call_said *copy;

    if (f) {
        facts_said(f, said, media);
        calls_changed(w, slot, gen);
    }
    if (!gen || owner == w->id || owner >= w->edge->n_workers || (copy = mem_alloc(sizeof *copy)) == NULL)
        return;
    *copy = (struct call_said){slot, gen, said, *media};
    if (net_post(w->net, owner, said_posted, copy) != 0)
        mem_free(copy);
}

struct call_hop {
    uint32_t slot, gen;
    unsigned side;
    struct policy_hop hop;
};

static bool set_hop(struct edge_worker *w, const struct call_hop *h)
{
    struct facts_call *f = calls_facts(w, h->slot, h->gen);

    if (!f)
        return false;
    facts_hop(f, h->side, &h->hop);
    calls_changed(w, h->slot, h->gen);
    return true;
}

static void hop_posted(void *edge_worker, void *arg)
{
    (void)set_hop(edge_worker, arg);
    mem_free(arg);
}

void calls_hop(struct edge_worker *w, uint32_t slot, uint32_t gen, unsigned side, const struct hop_facts *hop,
               enum transport transport)
{
    const struct call_hop h = {slot, gen, side, policy_hop_from(hop, transport, STR_NULL)};
    unsigned owner = slot >> 24;
    struct call_hop *copy;

    if (set_hop(w, &h) || !gen || owner == w->id || owner >= w->edge->n_workers || (copy = mem_alloc(sizeof *copy)) == NULL)
        return;
    *copy = h;
    if (net_post(w->net, owner, hop_posted, copy) != 0)
        mem_free(copy);
}

struct call_event {
    uint32_t slot, gen;
    unsigned status;
    enum sip_method method;
    uint32_t dialog;
    uint32_t session_s;
};

static bool has_answer(const struct edge_call *call, uint32_t dialog, unsigned *ret)
{
    for (*ret = 0; *ret < call->n_answers; ++*ret)
        if (call->answers[*ret] == dialog)
            return true;
    return false;
}

static void add_answer(struct edge_call *call, uint32_t dialog)
{
    unsigned i;

    if (dialog && !has_answer(call, dialog, &i) && call->n_answers < CALL_ANSWERS_MAX)
        call->answers[call->n_answers++] = dialog;
}

/* Each phone that answered a forked INVITE has its dialog (RFC 3261 13.2.2.4), and an early one may be ended by itself (15). */
static bool is_last_bye(struct edge_call *call, uint32_t dialog)
{
    unsigned i;

    if (!dialog || (call->state == CALL_ANSWERED && !call->n_answers))
        return true;
    if (!has_answer(call, dialog, &i))
        return false;
    call->answers[i] = call->answers[--call->n_answers];
    return !call->n_answers;
}

static void call_apply(struct edge_worker *w, const struct call_event *e)
{
    struct edge_calls *c = w->calls;
    struct edge_call *call = call_at(c, e->slot, e->gen);
    uint64_t now;

    if (!call)
        return;
    now = net_steady_s(w->net);
    if (e->method == SIP_BYE) {
        if (e->status >= 200 && e->status != 401 && e->status != 407 && /* the other side may ask who hangs up */
            is_last_bye(call, e->dialog)) {
            edge_count(w, EC_CALLS_ENDED);
            call_remove(c, call);
        }
        return;
    }
    if (e->method != SIP_INVITE && e->method != SIP_UPDATE)
        return;
    if (e->status < 200) {
        if (call->state == CALL_TRYING)
            call->state = CALL_RINGING;
        if (call->state != CALL_ANSWERED)
            ring_on(call, w->net, w->cfg);
        return;
    }
    if (e->status < 300) {
        if (e->method == SIP_INVITE && call->state != CALL_ANSWERED) {
            call->state = CALL_ANSWERED;
            call->answered_s = now;
            edge_count(w, EC_CALLS_ANSWERED);
        }
        call_index(c, call);
        if (e->method == SIP_INVITE)
            add_answer(call, e->dialog);
        call->deadline_s = now + (e->session_s ? e->session_s : w->cfg->call_max_s);
        call->has_timer = e->session_s != 0;
        return;
    }
    if (call->state != CALL_ANSWERED && e->method == SIP_INVITE) {
        edge_count(w, EC_CALLS_FAILED);
        call_remove(c, call);
    }
}

static void call_posted(void *edge_worker, void *arg)
{
    call_apply(edge_worker, arg);
    mem_free(arg);
}

void calls_event(struct edge_worker *w, uint32_t slot, uint32_t gen, unsigned status, enum sip_method method,
                 uint32_t dialog, uint32_t session_s)
{
    struct call_event e = {slot, gen, status, method, dialog, session_s}, *copy;
    unsigned owner = slot >> 24;

    if (!gen)
        return;
    if (owner == w->id) {
        call_apply(w, &e);
        return;
    }
    if (owner >= w->edge->n_workers || (copy = mem_alloc(sizeof *copy)) == NULL)
        return;
    *copy = e;
    if (net_post(w->net, owner, call_posted, copy) != 0)
        mem_free(copy);
}

uint32_t calls_count(const struct edge_worker *w)
{
    return w->calls ? w->calls->slots.n : 0;
}

void calls_each(const struct edge_worker *w, bool (*fn)(void *arg, const struct call_info *info), void *arg)
{
    const struct edge_calls *c = w->calls;
    uint64_t now = net_steady_s(w->net);
    uint32_t i;

    for (i = 0; i < c->slots.cap; i++) {
        struct edge_call *call = slots_get(&c->slots, i);

        if (!call)
            continue;
        if (!fn(arg, call_show(call, now)))
            return;
    }
}

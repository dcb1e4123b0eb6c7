/* See status/events.h. RFC 6665 4.1.2, 4.2; RFC 3261 12 for the dialogs. Owner: the worker that the
 * SUBSCRIBE came to. */
#include "edge/status/events.h"
#include "base/log.h"
#include "base/mem.h"
#include "edge/status/calls.h"
#include "edge/status/facts.h"
#include "edge/request_priv.h"
#include "edge/status/security.h"
#include "policy/status_text.h"
#include <stdatomic.h>

#define EXPIRES_MAX_S 3600u
#define EXPIRES_MIN_S 60u
#define BUCKETS 1024u
#define WATCHED 4096u
#define PENDING_MAX 6144u /* bytes of changes that wait for the NOTIFY before */
#define PART_MAX 4096u    /* ... of all calls, that one worker tells at a time */
#define PART_CALLS 16u    /* what is looked at for it */
#define ENTRY_MAX 2048u   /* one call: its Call-ID has 255 at most, each of them six if it must be \
                           */

struct sub {
    struct list node; /* in its bucket */
    struct status_events *s;
    struct arena *arena; /* everything, this too */
    uint64_t user;       /* principal_id */
    struct str call_id, local_tag, remote_tag, local, remote, target, routes;
    struct path path;
    uint32_t cseq, their_cseq, version;
    uint64_t until_ms;
    struct wheel_timer timer; /* its end, or the next NOTIFY */
    struct sip_ctx *ctx;      /* of the NOTIFY under way */
    bool is_due;              /* a NOTIFY, whether there is anything to be told or not */
    const char *over;         /* reason of the end, to be told; NULL: it lasts */
    size_t n_pending;
    char *pending;
    /* All calls, told in parts, worker by worker; the next part is asked for when the one before has left. */
    uint64_t id;         /* of this telling; no other has it */
    unsigned all_worker; /* whose calls come next; as many as there are workers: all are told */
    uint64_t all_after;  /* calls_of_user */
    bool is_asked;
    bool is_again; /* something was left out: from the beginning once more */
};

struct status_events {
    struct edge_worker *w;
    size_t n;
    uint64_t last_id;
    struct list buckets[BUCKETS];
};

struct status_watched { /* of all workers */
    _Atomic uint32_t total;
    _Atomic uint16_t by_user[WATCHED];
};

struct status_watched *status_watched_new(void)
{
    return mem_zalloc(sizeof(struct status_watched));
}

void status_watched_free(struct status_watched *s)
{
    mem_free(s);
}

bool status_events_wanted(const struct edge *e, uint64_t user)
{
    const struct status_watched *s = e->watched;

    return user && s && s->total && s->by_user[user % WATCHED];
}

static void watch(struct status_watched *s, uint64_t user, int by)
{
    s->total += (uint32_t)by;
    (void)atomic_fetch_add(&s->by_user[user % WATCHED], (uint16_t)by); /* several workers at once */
}

/* ---- NOTIFY ---- */

static void sub_free(struct sub *s)
{
    struct edge_worker *w = s->s->w;

    s->s->n--;
    watch(w->edge->watched, s->user, -1);
    wheel_cancel(w->net->wheel, &s->timer);
    if (s->ctx)
        sip_ctx_detach(s->ctx);
    list_remove(&s->node);
    mem_free(s->pending);
    arena_free(s->arena);
}

static uint64_t now_ms(const struct sub *s)
{
    return net_now_us(s->s->w->net) / 1000;
}

static uint64_t left_ms(const struct sub *s)
{
    uint64_t now = now_ms(s);

    return s->until_ms > now ? s->until_ms - now : 0;
}

static void on_response(void *arg, struct sip_ctx *tx, struct sip_msg *m, const struct rx *rx);
static void on_end(void *arg, struct sip_ctx *tx, enum sip_tx_end why);
static void on_gone(void *arg, struct sip_ctx *tx);

/* Where the phone finds us: the domain's own address, as in its SUBSCRIBE. */
static struct str contact_of(const struct edge_worker *w, struct arena *a, const struct path *p)
{
    const char *t = p->transport == TRANSPORT_TLS   ? ";transport=tls"
                    : p->transport == TRANSPORT_TCP ? ";transport=tcp"
                    : p->transport == TRANSPORT_WS || p->transport == TRANSPORT_WSS
                        ? ";transport=ws"
                        : "";

    return arena_fmt(a, "<sip:%.*s%s>", STR_FMT(listener_sent_by(w, p)), t);
}

static int notify_build(struct sub *s, struct arena *a, struct str branch, struct buf **ret)
{
    const struct edge_worker *w = s->s->w;
    struct sip_request q = {.method = STR("NOTIFY"), .ruri = s->target};
    struct str state = s->over ? arena_fmt(a, "terminated;reason=%s", s->over)
                               : arena_fmt(a, "active;expires=%u", (unsigned)(left_ms(s) / 1000));

#define ADD(n, v) (q.hdr[q.n_hdr].name = (n), q.hdr[q.n_hdr++].value = (v))
    ADD(STR("Via"),
        arena_fmt(a, "SIP/2.0/%s %.*s;branch=%.*s;rport", transport_text(s->path.transport).p,
                  STR_FMT(listener_sent_by(w, &s->path)), STR_FMT(branch)));
    ADD(STR("Max-Forwards"), STR("70"));
    if (s->routes.n)
        ADD(STR("Route"), s->routes);
    ADD(STR("From"), arena_fmt(a, "%.*s;tag=%.*s", STR_FMT(s->local), STR_FMT(s->local_tag)));
    ADD(STR("To"), s->remote);
    ADD(STR("Call-ID"), s->call_id);
    ADD(STR("CSeq"), arena_fmt(a, "%u NOTIFY", ++s->cseq));
    ADD(STR("Contact"), contact_of(w, a, &s->path));
    ADD(STR("Event"), STATUS_EVENT);
    ADD(STR("Subscription-State"), state);
#undef ADD
    for (size_t i = 0; i < q.n_hdr; i++)
        if (!q.hdr[i].value.p)
            return ERR_NOMEM;
    q.content_type = STR("application/json");
    q.body = arena_fmt(a, "{\"version\":%u,\"calls\":[%.*s]}", s->version, (int)s->n_pending,
                       s->pending ? s->pending : "");
    return q.body.p ? sip_request_build(&q, ret) : ERR_NOMEM;
}

/* At once, or when the one before is answered. False: the subscription is gone. */
static bool notify(struct sub *s)
{
    const struct sip_ctx_user user = {
        .arg = s, .on_response = on_response, .on_end = on_end, .on_gone = on_gone};
    struct edge_worker *w = s->s->w;
    struct arena *a;
    struct buf *msg;
    int err;

    if (s->ctx || !s->is_due)
        return true;
    a = arena_new(4096, 65536);
    s->ctx = a ? sip_ctx_new(w->txl, SIP_NOTIFY, &user) : NULL;
    err = s->ctx ? notify_build(s, a, sip_ctx_via_branch(s->ctx), &msg) : ERR_NOMEM;
    if (err == 0) {
        err = sip_ctx_start(s->ctx, msg, &s->path);
        buf_unref(msg);
    } else if (s->ctx) {
        sip_ctx_detach(s->ctx);
    }
    arena_free(a);
    if (err != 0) {
        s->ctx = NULL;
        sub_free(s); /* what could not be said is not known to have been: it begins anew */
        return false;
    }
    s->is_due = false;
    s->version++;
    s->n_pending = 0;
    return true;
}

static void ask(struct sub *s);

static void on_response(void *arg, struct sip_ctx *tx, struct sip_msg *m, const struct rx *rx)
{
    struct sub *s = arg;

    (void)tx;
    (void)rx;
    if (m->status < 200)
        return;
    sip_ctx_detach(s->ctx);
    s->ctx = NULL;
    if (m->status >= 300 || (s->over && !s->is_due)) { /* RFC 6665 4.2.2 */
        sub_free(s);
        return;
    }
    if (notify(s))
        ask(s);
}

static void on_end(void *arg, struct sip_ctx *tx, enum sip_tx_end why)
{
    struct sub *s = arg;

    (void)tx;
    (void)why;
    sip_ctx_detach(s->ctx);
    s->ctx = NULL;
    sub_free(s);
}

static void on_gone(void *arg, struct sip_ctx *tx)
{
    (void)tx;
    ((struct sub *)arg)->ctx = NULL;
}

static void end(struct sub *s, const char *reason)
{
    s->over = reason;
    s->is_due = true;
    wheel_cancel(s->s->w->net->wheel, &s->timer);
    (void)notify(s);
}

/* RFC 6665 4.1.3: it may begin anew, and is told all then. */
static void give_up(struct sub *s)
{
    end(s, "giveup;retry-after=30");
}

static void on_timer(struct wheel_timer *t)
{
    struct sub *s = CONTAINER_OF(t, struct sub, timer);

    end(s, "timeout");
}

/* ---- what has changed ---- */

struct entry {
    uint64_t user;
    size_t n;
    char text[];
};

static struct list *bucket_of(struct status_events *s, uint64_t user)
{
    return &s->buckets[user % BUCKETS];
}

/* False: there is no room until the next NOTIFY has left. */
static bool pending_add(struct sub *s, const char *text, size_t n)
{
    if (s->n_pending + n + 1 > PENDING_MAX)
        return false;
    if (s->n_pending)
        s->pending[s->n_pending++] = ',';
    memcpy(s->pending + s->n_pending, text, n);
    s->n_pending += n;
    s->is_due = true;
    return true;
}

static bool has_room(struct sub *s)
{
    if (!s->pending)
        s->pending = mem_alloc(PENDING_MAX);
    return s->pending != NULL;
}

/* More changes than fit are not told one by one: all calls are, once there is room again. */
static void sub_add(struct sub *s, const char *text, size_t n)
{
    if (s->over)
        return;
    if (!has_room(s)) {
        give_up(s);
        return;
    }
    if (!pending_add(s, text, n))
        s->is_again = true;
    if (notify(s))
        ask(s);
}

static void take(void *edge_worker, void *arg)
{
    struct edge_worker *w = edge_worker;
    const struct entry *e = arg;
    struct list *bucket = bucket_of(w->status_events, e->user);

    LIST_EACH(s, bucket, struct sub, node)
    {
        if (s->user == e->user)
            sub_add(s, e->text, e->n);
    }
    mem_free(arg);
}

static void entry_post(struct edge_worker *w, unsigned to, uint64_t user, struct str text)
{
    struct entry *e = mem_alloc(sizeof *e + text.n);

    if (!e)
        return;
    *e = (struct entry){.user = user, .n = text.n};
    memcpy(e->text, text.p, text.n);
    if (net_post(w->net, to, take, e) != 0)
        mem_free(e);
}

static struct str entry_text(struct edge_worker *w, const struct call_info *c, unsigned side,
                             struct arena *a, struct str *ret_status)
{
    char *header = arena_alloc(a, POLICY_HEADER_MAX), *text = arena_alloc(a, ENTRY_MAX);
    struct policy_facts *pf;
    struct policy_status st;
    struct sbuf h, b;

    if (!header || !text || security_facts(w, c, a, &pf) != 0)
        return STR_NULL;
    policy_status(pf, side, &st);
    h = sbuf_make(header, POLICY_HEADER_MAX);
    policy_text_header(&h, &st);
    b = sbuf_make(text, ENTRY_MAX);
    sbuf_lit(&b, "{\"call_id\":");
    sbuf_json(&b, c->call_id);
    sbuf_fmt(&b, ",\"side\":\"%s\",\"status\":", side == POLICY_CALLER ? "caller" : "callee");
    sbuf_json(&b, sbuf_get(&h));
    sbuf_char(&b, '}');
    *ret_status = sbuf_get(&h);
    return b.overflow || h.overflow ? STR_NULL : sbuf_get(&b);
}

void status_events_tell(struct edge_worker *w, const struct call_info *c, struct facts_call *f)
{
    struct arena *a;

    for (unsigned side = POLICY_CALLER; side <= POLICY_CALLEE; side++) {
        struct str text, status = STR_NULL;

        if (!status_events_wanted(w->edge, f->user[side]) ||
            !(a = arena_new(8192, LIMIT_MSG_ARENA_BYTES)))
            continue;
        text = entry_text(w, c, side, a, &status);
        if (text.n && f->told[side] != str_hash(status)) {
            f->told[side] = str_hash(status);
            for (unsigned i = 0; i < w->edge->n_workers; i++)
                entry_post(w, i, f->user[side], text);
        }
        arena_free(a);
    }
}

/* ---- all that there is, in parts ---- */

/* Goes to the worker whose calls they are, and comes back with what it says. */
struct part {
    uint64_t user, id;
    unsigned from; /* the worker that has the subscription */
    uint64_t after;
    bool is_last; /* ... of this worker */
    unsigned n_calls;
    size_t n;
    char text[PART_MAX];
};
struct looking {
    struct edge_worker *w;
    struct part *part;
};

static bool look_at(void *arg, const struct call_info *c, unsigned side)
{
    const struct looking *l = arg;
    struct part *p = l->part;
    struct arena *a;
    struct str text, status;
    bool fits;

    if (p->n_calls == PART_CALLS || !(a = arena_new(8192, LIMIT_MSG_ARENA_BYTES)))
        return false;
    text = entry_text(l->w, c, side, a, &status);
    fits = p->n + text.n + 1 <= sizeof p->text;
    if (text.n && fits) {
        if (p->n)
            p->text[p->n++] = ',';
        memcpy(p->text + p->n, text.p, text.n);
        p->n += text.n;
    }
    p->n_calls += fits;
    arena_free(a);
    return fits;
}

static void take_part(void *edge_worker, void *arg)
{
    struct edge_worker *w = edge_worker;
    struct part *p = arg;

    LIST_EACH(s, bucket_of(w->status_events, p->user), struct sub, node)
    {
        if (s->user != p->user || s->id != p->id)
            continue;
        s->is_asked = false;
        if (s->over || (p->n && !has_room(s)) || (!p->n_calls && !p->is_last)) {
            if (!s->over)
                give_up(s);
            break;
        }
        if (p->n == 0 || pending_add(s, p->text, p->n)) { /* else it is asked for again */
            s->all_after = p->is_last ? 0 : p->after;
            s->all_worker += p->is_last;
        }
        if (notify(s))
            ask(s);
        break;
    }
    mem_free(arg);
}

static void look(void *edge_worker, void *arg)
{
    struct edge_worker *w = edge_worker;
    struct looking l = {.w = w, .part = arg};

    l.part->is_last = calls_of_user(w, l.part->user, &l.part->after, look_at, &l);
    if (net_post(w->net, l.part->from, take_part, arg) != 0)
        mem_free(arg);
}

/* For the next part, if the ones before have left. */
static void ask(struct sub *s)
{
    struct edge_worker *w = s->s->w;
    struct part *p;

    if (s->over || s->is_asked || s->n_pending)
        return;
    if (s->all_worker == w->edge->n_workers && s->is_again) {
        s->is_again = false;
        s->all_worker = 0;
    }
    if (s->all_worker == w->edge->n_workers)
        return;
    if (!(p = mem_alloc(sizeof *p))) {
        give_up(s);
        return;
    }
    *p = (struct part){.user = s->user, .id = s->id, .from = w->id, .after = s->all_after};
    s->is_asked = true;
    if (net_post(w->net, s->all_worker, look, p) != 0) {
        mem_free(p);
        give_up(s);
    }
}

static void tell_all(struct sub *s)
{
    s->id = ++s->s->last_id;
    s->all_worker = 0;
    s->all_after = 0;
    s->is_asked = s->is_again = false;
    ask(s);
}

/* ---- SUBSCRIBE ---- */

bool status_events_offered(const struct config *cfg, struct str aor)
{
    struct str user, host = str_cut(aor, '@', &user);
    const struct config_domain *d = aor.n ? config_domain_find(cfg, host) : NULL;

    return d && d->status_header;
}

static void reply_done(struct edge_req *r, struct sip_response *resp)
{
    if (r->auth_info.n) {
        resp->extra[resp->n_extra].name = STR("Authentication-Info");
        resp->extra[resp->n_extra++].value = r->auth_info;
    }
    r->w->responses_by_class[resp->status / 100]++;
    if (sip_stx_reply(r->tx, resp) != 0 && !sip_stx_is_final(r->tx))
        sip_stx_drop(r->tx);
}

static void reply_with(struct edge_req *r, unsigned status, struct str name, struct str value)
{
    struct sip_response resp = {.status = status};

    resp.extra[0].name = name;
    resp.extra[0].value = value;
    resp.n_extra = 1;
    reply_done(r, &resp);
}

static void reply_ok(struct edge_req *r, uint32_t expires_s)
{
    struct sip_response resp = {.status = 200};

    resp.extra[0].name = STR("Contact");
    resp.extra[0].value = contact_of(r->w, r->m->arena, &r->rx.path);
    resp.extra[1].name = STR("Expires");
    resp.extra[1].value = arena_fmt(r->m->arena, "%u", expires_s);
    resp.n_extra = resp.extra[0].value.p && resp.extra[1].value.p ? 2 : 0;
    if (resp.n_extra)
        reply_done(r, &resp);
    else
        edge_reply(r, 500);
}

static struct sub *sub_find(struct edge_worker *w, uint64_t user, const struct sip_msg *m)
{
    LIST_EACH(s, bucket_of(w->status_events, user), struct sub, node)
    {
        if (s->user == user && str_eq(s->call_id, m->call_id) && str_eq(s->local_tag, m->to_tag) &&
            str_eq(s->remote_tag, m->from_tag))
            return s;
    }
    return NULL;
}

static unsigned count_of(struct edge_worker *w, uint64_t user)
{
    unsigned n = 0;

    LIST_EACH(s, bucket_of(w->status_events, user), struct sub, node)
    {
        n += s->user == user;
    }
    return n;
}

static int take_routes(struct sub *s, const struct sip_msg *m)
{
    struct sip_values it = sip_values_start(m, SIP_H_RECORD_ROUTE);

    while (sip_values_next(&it)) {
        s->routes = s->routes.n
                        ? arena_fmt(s->arena, "%.*s, %.*s", STR_FMT(s->routes), STR_FMT(it.value))
                        : arena_str(s->arena, it.value);
        if (!s->routes.p)
            return ERR_NOMEM;
    }
    return 0;
}

/* 12.1.1; `to`: without a tag, which is ours. */
static int sub_fill(struct sub *s, struct edge_req *r, const struct sip_addr *contact)
{
    const struct sip_msg *m = r->m;
    const struct sip_hdr *from = sip_msg_hdr(m, SIP_H_FROM, 0), *to = sip_msg_hdr(m, SIP_H_TO, 0);

    if (!from || !to)
        return ERR_SYNTAX;
    s->call_id = arena_str(s->arena, m->call_id);
    s->local_tag = arena_str(s->arena, sip_stx_to_tag(r->tx));
    s->remote_tag = arena_str(s->arena, m->from_tag);
    s->local = arena_str(s->arena, to->value);
    s->remote = arena_str(s->arena, from->value);
    s->target = arena_str(s->arena, contact->uri);
    s->path = r->rx.path;
    s->their_cseq = m->cseq;
    if (!s->call_id.p || !s->local_tag.p || !s->remote_tag.p || !s->local.p || !s->remote.p ||
        !s->target.p)
        return ERR_NOMEM;
    return take_routes(s, m);
}

static struct sub *sub_new(struct edge_req *r, const struct sip_addr *contact, int *err)
{
    struct edge_worker *w = r->w;
    struct status_events *all = w->status_events;
    struct arena *a = arena_new(1024, 16384);
    struct sub *s = a ? arena_zalloc(a, sizeof *s) : NULL;

    *err = ERR_NOMEM;
    if (!s) {
        arena_free(a);
        return NULL;
    }
    s->s = all;
    s->arena = a;
    s->user = principal_id(&r->who);
    wheel_timer_init(&s->timer, on_timer);
    if ((*err = sub_fill(s, r, contact)) != 0) {
        arena_free(a);
        return NULL;
    }
    all->n++;
    watch(w->edge->watched, s->user, 1);
    list_append(bucket_of(all, s->user), &s->node);
    return s;
}

static void subscribed(struct edge_req *r, struct sub *s, uint32_t expires_s)
{
    reply_ok(r, expires_s);
    if (!expires_s) {
        end(s, "timeout"); /* RFC 6665 4.2.1.4 */
        return;
    }
    s->until_ms = now_ms(s) + (uint64_t)expires_s * 1000;
    wheel_start(r->w->net->wheel, &s->timer, (uint64_t)expires_s * 1000);
    s->is_due = true;
    if (notify(s))
        tell_all(s); /* for one that is refreshed, too: RFC 6665 4.2.1.2 */
}

static void refresh(struct edge_req *r, uint32_t expires_s)
{
    struct sub *s = sub_find(r->w, principal_id(&r->who), r->m);
    struct reason why = {0};

    if (!s || s->over) {
        reason_set(&why, "no-such-dialog", "RFC 6665 4.1.2.2", 481, NULL);
        edge_refuse(r, &why);
        return;
    }
    if (r->m->cseq <= s->their_cseq) {
        edge_reply(r, 500); /* RFC 3261 12.2.2 */
        return;
    }
    s->their_cseq = r->m->cseq;
    s->path = r->rx.path;
    subscribed(r, s, expires_s);
}

/* The first value of Event; its parameters, as "id", are not looked at: there is one for a dialog.
 */
static bool is_ours(const struct sip_msg *m)
{
    const struct sip_hdr *h = sip_msg_hdr(m, SIP_H_EVENT, 0);
    struct str package;

    if (!h)
        return false;
    (void)str_cut(h->value, ';', &package);
    return str_eq_nocase(str_trim(package), STATUS_EVENT);
}

static bool read_expires(const struct sip_msg *m, uint32_t *ret)
{
    *ret = EXPIRES_MAX_S;
    if (sip_msg_has(m, SIP_H_EXPIRES) && sip_msg_seconds(m, SIP_H_EXPIRES, ret) != 0)
        *ret = EXPIRES_MAX_S;
    if (*ret > EXPIRES_MAX_S)
        *ret = EXPIRES_MAX_S;
    return *ret == 0 || *ret >= EXPIRES_MIN_S;
}

void status_events_subscribe(struct edge_req *r)
{
    struct status_events *all = r->w->status_events;
    struct sip_values it = sip_values_start(r->m, SIP_H_CONTACT);
    struct reason why = {0};
    struct sip_addr contact;
    struct sub *s;
    uint32_t expires_s;
    int err;

    if (r->who.kind != PRINCIPAL_USER || r->who.peer || !is_ours(r->m) ||
        !status_events_offered(r->cfg, r->who.name)) {
        reply_with(r, 489, STR("Allow-Events"), STATUS_EVENT);
        return;
    }
    if (!read_expires(r->m, &expires_s)) {
        reply_with(r, 423, STR("Min-Expires"), STR("60"));
        return;
    }
    if (sip_msg_in_dialog(r->m)) {
        refresh(r, expires_s);
        return;
    }
    if (!sip_values_next(&it) || sip_addr_parse(it.value, &contact) != 0 || contact.star) {
        reason_set(&why, "no-contact", "RFC 3261 12.1.1", 400, NULL);
        edge_refuse(r, &why);
        return;
    }
    if (all->n >= LIMIT_STATUS_SUBS ||
        count_of(r->w, principal_id(&r->who)) >= LIMIT_STATUS_SUBS_USER) {
        reason_set(&why, "too-many-subscriptions", "RFC 6665 4.2.1.1", 503, NULL);
        edge_refuse(r, &why);
        return;
    }
    s = sub_new(r, &contact, &err);
    if (!s) {
        edge_reply(r, err == ERR_SYNTAX ? 400 : 500);
        return;
    }
    subscribed(r, s, expires_s);
}

/* ---- life ---- */

/* One that another user of the same connection has made ends with the first NOTIFY that fails. */
void status_events_flow_closed(struct edge_worker *w, flow_id flow, uint64_t user)
{
    LIST_EACH(s, bucket_of(w->status_events, user), struct sub, node)
    {
        if (s->path.flow == flow)
            sub_free(s);
    }
}

int status_events_start(struct edge_worker *w)
{
    struct status_events *s = mem_zalloc(sizeof *s);

    if (!s)
        return ERR_NOMEM;
    s->w = w;
    for (size_t i = 0; i < BUCKETS; i++)
        list_init(&s->buckets[i]);
    w->status_events = s;
    return 0;
}

void status_events_stop(struct edge_worker *w)
{
    struct status_events *all = w->status_events;

    if (!all)
        return;
    for (size_t i = 0; i < BUCKETS; i++)
        LIST_EACH(s, &all->buckets[i], struct sub, node)
        {
            sub_free(s);
        }
    mem_free(all);
    w->status_events = NULL;
}

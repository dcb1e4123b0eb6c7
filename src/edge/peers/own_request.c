/* Requests of our own outside any dialog (edge/peers/own_request.h). One life: located, sent, perhaps
 * challenged and sent again, perhaps sent to the next server, told, gone. What goes wrong at once
 * is told by the timer, so that nobody is called back from inside own_request_start. */
#include "edge/peers/own_request.h"
#include "base/mem.h"

#define TRIES_MAX 4u /* of one server: a challenge of each kind, a stale nonce, and one more */
#define ARENA_MAX (128u << 10)

struct own_request {
    struct list node;
    struct edge_worker *w;
    struct edge_snapshot *snap;
    struct arena *arena;
    struct own_request **slot;
    struct own_request_args a;
    struct edge_target target;
    struct edge_req req; /* for hop.c: worker and snapshot */
    struct hop *hop;
    struct sip_ctx *ctx;
    struct path path;
    struct str contact;
    struct str tag;
    struct digest_client_cred creds[DIGEST_CLIENT_CREDS_MAX];
    unsigned n_creds, tries;
    bool was_challenged, is_over, is_last; /* is_last: the one it goes along is the only way */
    uint32_t own_cseq;
    struct own_request_result last; /* of the last server that failed */
    struct wheel_timer limit;
};

static void request_free(struct own_request *o)
{
    wheel_cancel(o->w->net->wheel, &o->limit);
    hop_cancel(o->hop);
    if (o->ctx)
        sip_ctx_detach(o->ctx);
    list_remove(&o->node);
    if (o->slot)
        *o->slot = NULL;
    snapshot_unref(o->snap);
    secret_wipe(o->creds, sizeof o->creds);
    arena_free(o->arena); /* this too */
}

static void request_tell(struct own_request *o, struct own_request_result *r)
{
    own_request_fn fn = o->a.fn;
    void *arg = o->a.arg;

    if (o->is_over)
        return;
    o->is_over = true;
    if (o->slot)
        *o->slot = NULL; /* the owner may begin the next one */
    o->slot = NULL;
    r->path = o->path;
    r->contact = o->contact;
    fn(arg, r);
    request_free(o);
}

/* Later, from the wheel. */
static void request_fail_later(struct own_request *o)
{
    wheel_start(o->w->net->wheel, &o->limit, 0);
}

static void on_limit(struct wheel_timer *t)
{
    struct own_request *o = CONTAINER_OF(t, struct own_request, limit);

    if (!o->last.status) {
        o->last.status = 408;
        reason_set(&o->last.why, "no-response", "RFC 3261 17.1", 408, NULL);
    }
    request_tell(o, &o->last);
}

/* ---- the message ---- */

static void add(struct sip_request *q, struct str name, struct str value)
{
    if (q->n_hdr < ARRAY_LEN(q->hdr)) {
        q->hdr[q->n_hdr].name = name;
        q->hdr[q->n_hdr++].value = value;
    }
}

/* Where others reach us for what this path leads to. */
static struct str contact_uri(const struct own_request *o)
{
    const struct edge_worker *w = o->w;
    enum transport t = w->cfg->listens[listener_of(w, &o->path)].transport;
    const char *param = t == TRANSPORT_TLS   ? ";transport=tls"
                        : t == TRANSPORT_TCP ? ";transport=tcp"
                                             : "";

    return arena_fmt(o->arena, "sip:%.*s%s%.*s%s%.*s", STR_FMT(o->a.contact_user),
                     o->a.contact_user.n ? "@" : "", STR_FMT(listener_sent_by(w, &o->path)), param,
                     STR_FMT(o->a.contact_params));
}

static int request_build(struct own_request *o, struct str branch, struct buf **ret)
{
    const struct own_request_args *a = &o->a;
    struct str method = sip_method_text(a->method);
    struct sip_request q = {.method = method, .ruri = a->uri};
    struct str via =
        arena_fmt(o->arena, "SIP/2.0/%s %.*s;branch=%.*s;rport%s",
                  transport_text(o->path.transport).p, STR_FMT(listener_sent_by(o->w, &o->path)),
                  STR_FMT(branch), o->path.transport == TRANSPORT_TLS ? ";alias" : "");
    struct str from = arena_fmt(o->arena, "<%.*s>;tag=%.*s", STR_FMT(a->from), STR_FMT(o->tag));
    struct str to = arena_fmt(o->arena, "<%.*s>", STR_FMT(a->to));
    struct str cseq =
        arena_fmt(o->arena, "%u %.*s", a->cseq ? ++*a->cseq : ++o->own_cseq, STR_FMT(method));
    struct str contact = STR_NULL;
    unsigned i;
    int err;

    if (a->has_contact) {
        o->contact = contact_uri(o);
        contact = arena_fmt(o->arena, "<%.*s>", STR_FMT(o->contact));
        if (!o->contact.p || !contact.p)
            return ERR_NOMEM;
    }
    if (!via.p || !from.p || !to.p || !cseq.p)
        return ERR_NOMEM;
    o->n_creds = 0;
    if (a->auth &&
        (err = digest_client_answer(a->auth, o->arena, &o->w->net->rand, a->method == SIP_REGISTER,
                                    method, a->uri, STR_NULL, o->creds, &o->n_creds)) != 0)
        return err;
    add(&q, STR("Via"), via);
    add(&q, STR("Max-Forwards"), STR("70"));
    add(&q, STR("From"), from);
    add(&q, STR("To"), to);
    add(&q, STR("Call-ID"), a->call_id);
    add(&q, STR("CSeq"), cseq);
    if (contact.p)
        add(&q, STR("Contact"), contact);
    for (i = 0; i < a->n_extra; i++)
        add(&q, a->extra[i].name, a->extra[i].value);
    for (i = 0; i < o->n_creds; i++)
        add(&q, o->creds[i].name, o->creds[i].value);
    return sip_request_build(&q, ret);
}

/* ---- sending ---- */

static void on_response(void *arg, struct sip_ctx *tx, struct sip_msg *m, const struct rx *rx);
static void on_end(void *arg, struct sip_ctx *tx, enum sip_tx_end why);
static void on_gone(void *arg, struct sip_ctx *tx);

static int request_send(struct own_request *o)
{
    const struct sip_ctx_user user = {
        .arg = o, .on_response = on_response, .on_end = on_end, .on_gone = on_gone};
    struct buf *msg;
    int err;

    o->ctx = sip_ctx_new(o->w->txl, o->a.method, &user);
    if (!o->ctx)
        return ERR_LIMIT;
    if ((err = request_build(o, sip_ctx_via_branch(o->ctx), &msg)) != 0)
        return err;
    o->tries++;
    err = sip_ctx_start(o->ctx, msg, &o->path);
    buf_unref(msg);
    if (err != 0)
        o->ctx = NULL;
    return err;
}

static void request_let_go(struct own_request *o)
{
    struct sip_ctx *tx = o->ctx;

    o->ctx = NULL;
    if (tx)
        sip_ctx_detach(tx);
}

static void request_failed(struct own_request *o, unsigned status, const char *code,
                           const char *clause)
{
    o->last = (struct own_request_result){.status = status};
    reason_set(&o->last.why, code, clause, status, NULL);
}

static void on_path(void *arg, const struct path *path, const struct reason *why)
{
    struct own_request *o = arg;

    if (!path) {
        if (!o->last.status) {
            o->last.status = why && why->sip_status ? why->sip_status : 503;
            if (why)
                o->last.why = *why;
        }
        request_fail_later(o);
        return;
    }
    o->path = *path;
    o->tries = 0;
    o->was_challenged = false;
    if (request_send(o) == 0)
        return;
    request_let_go(o);
    request_failed(o, 503, "transport-error", "RFC 3261 8.1.3.1");
    if (o->is_last)
        request_fail_later(o);
    else
        hop_next(o->hop); /* bounded: each takes one off the list */
}

/* RFC 3263 4.3. */
static void request_next_server(struct own_request *o)
{
    request_let_go(o);
    if (o->is_last)
        request_fail_later(o);
    else
        hop_next(o->hop);
}

/* ---- what comes back ---- */

static bool request_again(struct own_request *o, const struct sip_msg *m, struct reason *why)
{
    struct digest_client_values v;

    if ((m->status != 401 && m->status != 407) || !o->a.auth || o->tries >= TRIES_MAX)
        return false;
    v.n_own = sip_msg_lines(m, SIP_H_WWW_AUTHENTICATE, v.own, ARRAY_LEN(v.own));
    v.n_proxy = sip_msg_lines(m, SIP_H_PROXY_AUTHENTICATE, v.proxy, ARRAY_LEN(v.proxy));
    if (digest_client_challenged(o->a.auth, m->arena, &v, o->a.method == SIP_REGISTER,
                                 o->was_challenged, why) != 0)
        return false;
    o->was_challenged = true;
    request_let_go(o);
    if (request_send(o) != 0) {
        request_let_go(o);
        request_failed(o, 503, "transport-error", "RFC 3261 8.1.3.1");
        request_fail_later(o);
    }
    return true;
}

static int check_info(struct own_request *o, const struct sip_msg *m, struct reason *why)
{
    struct digest_client_values v;

    v.n_own = sip_msg_lines(m, SIP_H_AUTHENTICATION_INFO, v.own, ARRAY_LEN(v.own));
    v.n_proxy = sip_msg_lines(m, SIP_H_PROXY_AUTHENTICATION_INFO, v.proxy, ARRAY_LEN(v.proxy));
    return digest_client_check_info(o->a.auth, m->arena, &v, o->a.method == SIP_REGISTER, o->creds,
                                    o->n_creds, m->body, why);
}

static void on_response(void *arg, struct sip_ctx *tx, struct sip_msg *m, const struct rx *rx)
{
    struct own_request *o = arg;
    struct own_request_result r = {.status = m->status, .m = m};

    (void)tx;
    (void)rx;
    if (m->status < 200 || o->is_over || request_again(o, m, &r.why))
        return;
    if (m->status == 503 && !o->is_last) {
        hop_failed(o->hop);
        request_failed(o, 503, "unavailable", "RFC 3261 21.5.4");
        request_next_server(o);
        return;
    }
    if (m->status < 300 && o->a.auth && check_info(o, m, &r.why) != 0)
        r.status =
            502; /* it claims to know the password and does not: who is that? (RFC 7616 3.5) */
    request_tell(o, &r);
}

static void on_end(void *arg, struct sip_ctx *tx, enum sip_tx_end why)
{
    struct own_request *o = arg;

    (void)tx;
    if (why == SIP_TX_TIMEOUT) {
        if (!o->is_last)
            hop_failed(o->hop);
        request_failed(o, 408, "no-response", "RFC 3261 17.1");
    } else {
        request_failed(o, 503, "transport-error", "RFC 3261 8.1.3.1");
    }
    request_next_server(o);
}

static void on_gone(void *arg, struct sip_ctx *tx)
{
    (void)tx;
    ((struct own_request *)arg)->ctx = NULL;
}

/* ---- making ---- */

static int copy(struct own_request *o, struct str *s)
{
    struct str c = s->n ? arena_str(o->arena, *s) : STR_NULL;

    if (s->n && !c.p)
        return ERR_NOMEM;
    *s = c;
    return 0;
}

static int copy_all(struct own_request *o)
{
    struct own_request_args *a = &o->a;
    struct str *const texts[] = {
        &a->uri, &a->from, &a->to, &a->call_id, &a->next_hop, &a->contact_user, &a->contact_params};
    char id[24], tag[12];
    size_t i;

    for (i = 0; i < ARRAY_LEN(texts); i++)
        if (copy(o, texts[i]) != 0)
            return ERR_NOMEM;
    for (i = 0; i < a->n_extra; i++)
        if (copy(o, &a->extra[i].name) != 0 || copy(o, &a->extra[i].value) != 0)
            return ERR_NOMEM;
    rand_token(&o->w->net->rand, tag, sizeof tag);
    o->tag = arena_str(o->arena, str_make(tag, sizeof tag));
    if (!a->call_id.n) {
        rand_token(&o->w->net->rand, id, sizeof id);
        a->call_id = arena_str(o->arena, str_make(id, sizeof id));
    }
    return o->tag.p && a->call_id.p ? 0 : ERR_NOMEM;
}

/* Along the flow, or by what RFC 3263 says of the next hop. */
static int request_go(struct own_request *o)
{
    bool sips = str_starts_nocase(o->a.next_hop, STR("sips:"));

    o->target = (struct edge_target){.uri = o->a.uri, .next_hop = o->a.next_hop, .peer = o->a.peer};
    o->req = (struct edge_req){.w = o->w, .snap = o->snap, .cfg = o->snap->cfg};
    if (o->a.flow && net_flow_path(o->w->net, o->a.flow, &o->path) == 0) {
        o->is_last = true;
        on_path(o, &o->path, NULL);
        return 0;
    }
    return hop_start(&o->req, o->arena, &o->target, sips, on_path, o, &o->hop);
}

int own_request_start(struct edge_worker *w, const struct own_request_args *args,
                      struct own_request **slot)
{
    struct arena *arena = arena_new(4096, ARENA_MAX);
    struct own_request *o = arena ? arena_zalloc(arena, sizeof *o) : NULL;
    int err = ERR_NOMEM;

    own_request_cancel(*slot);
    *slot = NULL;
    if (!o) {
        arena_free(arena);
        return err;
    }
    o->arena = arena;
    o->w = w;
    o->a = *args;
    o->snap = snapshot_ref(args->snap ? args->snap : w->snap);
    wheel_timer_init(&o->limit, on_limit);
    list_append(&w->own_requests, &o->node);
    wheel_start(w->net->wheel, &o->limit, args->limit_ms);
    if ((err = copy_all(o)) != 0 || (err = request_go(o)) != 0) {
        request_free(o);
        return err;
    }
    *slot = o;
    o->slot = slot;
    return 0;
}

void own_request_cancel(struct own_request *o)
{
    if (!o)
        return;
    o->is_over = true;
    request_free(o);
}

void own_requests_stop(struct edge_worker *w)
{
    LIST_EACH(o, &w->own_requests, struct own_request, node)
    {
        o->is_over = true;
        request_free(o);
    }
}

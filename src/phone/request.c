/* A request of ours from its first try to the end of its transaction (RFC 3261 8.1): built anew
 * with the next CSeq and credentials when it is challenged (22.2, 22.3), sent along the phone's
 * flow, its news given to one function. Owner: the phone's list, which clears the owner's slot when
 * the request goes. Thread: the phone's. */
#include "base/mem.h"
#include "phone/phone_priv.h"

#define REQUEST_BYTES (256u << 10)
#define TRIES_MAX 4u

static void request_free(struct request *r)
{
    if (r->slot && *r->slot == r)
        *r->slot = NULL;
    wheel_cancel(r->p->net->wheel, &r->later);
    list_remove(&r->node);
    arena_free(r->arena);
    mem_free(r);
}

static void tell(struct request *r, struct sip_msg *m, const struct rx *rx, enum sip_tx_end why)
{
    if (r->fn)
        r->fn(r->arg, r, m, rx, why);
}

static void on_later(struct wheel_timer *t)
{
    struct request *r = CONTAINER_OF(t, struct request, later);
    r->is_telling = true; /* phone_request_forget leaves it to us */
    tell(r, NULL, NULL, r->later_why);
    request_free(r);
}

/* ---- sending ---- */

static void add(struct sip_request *q, struct str name, struct str value)
{
    if (q->n_hdr < ARRAY_LEN(q->hdr)) {
        q->hdr[q->n_hdr].name = name;
        q->hdr[q->n_hdr++].value = value;
    }
}

static struct str via(const struct phone *p, struct arena *a, struct str branch)
{
    char host[ADDR_TEXT_MAX];
    struct str t = transport_text(p->path.transport);
    return arena_fmt(a, "SIP/2.0/%.*s %.*s;branch=%.*s;rport", STR_FMT(t),
                     STR_FMT(addr_text(&p->path.local, host)), STR_FMT(branch));
}

/* What begins a call or changes it is signed by its user, where there is a certificate
 * (signer.h). Without a signature it leaves as well: a call is worth more, and who is called has its
 * own policy. */
static bool is_to_be_signed(const struct request *r)
{
    return r->p->cfg->signer && r->base.body.n &&
           (r->method == SIP_INVITE || r->method == SIP_UPDATE);
}

static int message_sign(struct request *r, struct sip_request *q)
{
    struct str date = phone_date(r->p, r->arena), value;
    struct buf *draft;
    if (date.p == NULL)
        return ERR_NOMEM;
    add(q, STR("Date"), date);
    int err = sip_request_build(q, &draft);
    if (err)
        return err;
    err = phone_sign(r->p, r->arena, buf_str(draft), &value);
    buf_unref(draft);
    if (err == 0)
        add(q, STR("Identity"), value);
    return err == ERR_NOMEM ? err : 0;
}

static int message_build(struct request *r, struct str branch, struct buf **ret)
{
    struct phone *p = r->p;
    struct sip_request q = {.method = r->method_text,
                            .ruri = r->base.ruri,
                            .content_type = r->base.content_type,
                            .body = r->base.body};
    struct str via_text = via(p, r->arena, branch);
    struct str cseq = arena_fmt(r->arena, "%u %.*s", r->cseq, STR_FMT(r->method_text));
    if (via_text.p == NULL || cseq.p == NULL)
        return ERR_NOMEM;
    int err = digest_client_answer(&p->auth, r->arena, &p->net->rand, r->is_register, r->method_text,
                                   r->base.ruri, r->base.body, r->creds, &r->n_creds);
    if (err)
        return err;
    add(&q, STR("Via"), via_text);
    for (size_t i = 0; i < r->base.n_hdr; i++)
        add(&q, r->base.hdr[i].name, r->base.hdr[i].value);
    add(&q, STR("CSeq"), cseq);
    for (unsigned i = 0; i < r->n_creds; i++)
        add(&q, r->creds[i].name, r->creds[i].value);
    if (is_to_be_signed(r) && (err = message_sign(r, &q)) != 0)
        return err;
    return sip_request_build(&q, ret);
}

static void on_response(void *arg, struct sip_ctx *tx, struct sip_msg *m, const struct rx *rx);

static void on_end(void *arg, struct sip_ctx *tx, enum sip_tx_end why)
{
    struct request *r = arg;
    (void)tx;
    r->is_final = true;
    tell(r, NULL, NULL, why);
}

static void on_gone(void *arg, struct sip_ctx *tx)
{
    (void)tx;
    request_free(arg);
}

/* One try. A failure to send comes back later, as every other does. */
static int try_send(struct request *r)
{
    struct phone *p = r->p;
    const struct sip_ctx_user user = {
        .arg = r, .on_response = on_response, .on_end = on_end, .on_gone = on_gone};
    struct buf *buf;
    if (!p->has_path)
        return ERR_CLOSED;
    struct sip_ctx *tx = sip_ctx_new(p->txl, r->method, &user);
    if (tx == NULL)
        return ERR_NOMEM;
    if (r->cseq_counter)
        r->cseq = ++*r->cseq_counter;
    else
        r->cseq++;
    int err = message_build(r, sip_ctx_via_branch(tx), &buf);
    if (err) {
        sip_ctx_detach(tx);
        return err;
    }
    r->tries++;
    err = sip_ctx_start(tx, buf, &p->path);
    buf_unref(buf);
    r->tx = err ? NULL : tx;
    return err;
}

static void fail_later(struct request *r, enum sip_tx_end why)
{
    r->tx = NULL;
    r->is_final = true;
    r->later_why = why;
    wheel_start(r->p->net->wheel, &r->later, 0);
}

/* ---- answers ---- */

static int check_info(struct request *r, const struct sip_msg *m)
{
    struct digest_client_values v;
    v.n_own = sip_msg_lines(m, SIP_H_AUTHENTICATION_INFO, v.own, ARRAY_LEN(v.own));
    v.n_proxy = sip_msg_lines(m, SIP_H_PROXY_AUTHENTICATION_INFO, v.proxy, ARRAY_LEN(v.proxy));
    return digest_client_check_info(&r->p->auth, m->arena, &v, r->is_register, r->creds, r->n_creds,
                                    m->body, &r->why);
}

/* A challenge that can be answered: the request goes out again. */
static bool challenge(struct request *r, struct sip_msg *m)
{
    if ((m->status != 401 && m->status != 407) || r->is_cancelled || r->fn == NULL ||
        r->tries >= TRIES_MAX)
        return false;
    r->why = (struct reason){0};
    struct digest_client_values v;
    v.n_own = sip_msg_lines(m, SIP_H_WWW_AUTHENTICATE, v.own, ARRAY_LEN(v.own));
    v.n_proxy = sip_msg_lines(m, SIP_H_PROXY_AUTHENTICATE, v.proxy, ARRAY_LEN(v.proxy));
    if (digest_client_challenged(&r->p->auth, m->arena, &v, r->is_register, r->was_challenged,
                                 &r->why) != 0)
        return false;
    r->was_challenged = true;
    sip_ctx_detach(r->tx);
    r->tx = NULL;
    if (try_send(r) != 0)
        fail_later(r, SIP_TX_TRANSPORT);
    return true;
}

static void on_response(void *arg, struct sip_ctx *tx, struct sip_msg *m, const struct rx *rx)
{
    struct request *r = arg;
    (void)tx;
    if (!r->is_final && challenge(r, m))
        return;
    if (m->status >= 200)
        r->is_final = true;
    if (m->status >= 200 && m->status < 300 && check_info(r, m) == 0)
        r->why = (struct reason){0};
    tell(r, m, rx, SIP_TX_TIMEOUT);
}

/* ---- making ---- */

static struct str copy(struct request *r, struct str s, int *err)
{
    struct str c = s.n ? arena_str(r->arena, s) : STR_NULL;
    if (s.n && c.p == NULL)
        *err = ERR_NOMEM;
    return c;
}

/* From, To, Call-ID, target and routes by the dialog. */
static int base_in_dialog(struct request *r, const struct dialog *d)
{
    struct str route, to;
    int err = dialog_route(d, r->arena, &r->base.ruri, &route);
    if (err)
        return err;
    r->base.ruri = copy(r, r->base.ruri, &err);
    struct str from =
        arena_fmt(r->arena, "%.*s;tag=%.*s", STR_FMT(d->local), STR_FMT(d->local_tag));
    if (d->remote_tag.n)
        to = arena_fmt(r->arena, "%.*s;tag=%.*s", STR_FMT(d->remote), STR_FMT(d->remote_tag));
    else
        to = copy(r, d->remote, &err);
    if (route.n)
        add(&r->base, STR("Route"), route);
    add(&r->base, STR("From"), from);
    add(&r->base, STR("To"), to);
    add(&r->base, STR("Call-ID"), copy(r, d->call_id, &err));
    return err || from.p == NULL || to.p == NULL ? ERR_NOMEM : 0;
}

static int base_alone(struct request *r, const struct request_args *args)
{
    int err = 0;
    r->base.ruri = copy(r, args->ruri, &err);
    if (r->p->reg.service_route.n && !args->is_register)
        add(&r->base, STR("Route"), copy(r, r->p->reg.service_route, &err));
    add(&r->base, STR("From"), copy(r, args->from, &err));
    add(&r->base, STR("To"), copy(r, args->to, &err));
    add(&r->base, STR("Call-ID"), copy(r, args->call_id, &err));
    return err;
}

static int base_make(struct request *r, const struct request_args *args)
{
    struct phone *p = r->p;
    add(&r->base, STR("Max-Forwards"), STR("70"));
    int err = args->dialog ? base_in_dialog(r, args->dialog) : base_alone(r, args);
    if (args->has_contact)
        add(&r->base, STR("Contact"), copy(r, args->contact.n ? args->contact : p->contact, &err));
    for (unsigned i = 0; i < args->n_extra; i++)
        add(&r->base, copy(r, args->extra[i].name, &err), copy(r, args->extra[i].value, &err));
    if (p->cfg->user_agent.n)
        add(&r->base, STR("User-Agent"), p->cfg->user_agent);
    r->base.content_type = copy(r, args->content_type, &err);
    r->base.body = copy(r, args->body, &err);
    return err;
}

int phone_request_start(struct phone *p, const struct request_args *args, struct request **slot)
{
    struct request *r = mem_zalloc(sizeof(*r));
    phone_request_forget(*slot); /* two with one owner would be one too many when it goes */
    *slot = NULL;
    if (r == NULL)
        return ERR_NOMEM;
    r->p = p;
    r->method = args->method;
    r->method_text = sip_method_text(args->method);
    r->is_register = args->is_register;
    r->cseq_counter = args->dialog ? &args->dialog->local_cseq : args->cseq_counter;
    r->fn = args->fn;
    r->arg = args->arg;
    wheel_timer_init(&r->later, on_later);
    list_append(&p->requests, &r->node);
    r->arena = arena_new(4096, REQUEST_BYTES);
    int err = r->arena ? base_make(r, args) : ERR_NOMEM;
    if (!err)
        err = try_send(r);
    if (err == ERR_CLOSED || err == ERR_LIMIT) { /* the flow: as if it had gone a moment later */
        fail_later(r, SIP_TX_TRANSPORT);
        err = 0;
    }
    if (err) {
        request_free(r);
        return err;
    }
    *slot = r;
    r->slot = slot;
    return 0;
}

void phone_request_forget(struct request *r)
{
    if (r == NULL)
        return;
    if (r->slot && *r->slot == r)
        *r->slot = NULL;
    r->slot = NULL;
    r->fn = NULL;
    r->cseq_counter = NULL;
    if (r->tx == NULL && !r->is_telling)
        request_free(r);
}

void phone_request_cancel(struct request *r)
{
    r->is_cancelled = true;
    if (r->tx)
        sip_ctx_cancel(r->tx, STR_NULL);
}

void phone_requests_done(struct phone *p)
{
    LIST_EACH(r, &p->requests, struct request, node)
    {
        if (r->tx)
            sip_ctx_detach(r->tx);
        request_free(r);
    }
}

int phone_request_ack(struct phone *p, struct dialog *d, const struct request *invite,
                      struct buf **ret)
{
    struct arena *a = arena_new(4096, REQUEST_BYTES);
    struct sip_request q = {.method = STR("ACK")};
    struct str route;
    char branch[7 + 24] = "z9hG4bK";
    *ret = NULL;
    if (a == NULL)
        return ERR_NOMEM;
    rand_token(&p->net->rand, branch + 7, 24);
    struct str via_text = via(p, a, str_make(branch, sizeof(branch)));
    struct str from = arena_fmt(a, "%.*s;tag=%.*s", STR_FMT(d->local), STR_FMT(d->local_tag));
    struct str to = arena_fmt(a, "%.*s%s%.*s", STR_FMT(d->remote), d->remote_tag.n ? ";tag=" : "",
                              STR_FMT(d->remote_tag));
    struct str cseq = arena_fmt(a, "%u ACK", invite->cseq);
    int err = dialog_route(d, a, &q.ruri, &route);
    if (!err && (via_text.p == NULL || from.p == NULL || to.p == NULL || cseq.p == NULL))
        err = ERR_NOMEM;
    if (!err) {
        add(&q, STR("Via"), via_text);
        add(&q, STR("Max-Forwards"), STR("70"));
        if (route.n)
            add(&q, STR("Route"), route);
        add(&q, STR("From"), from);
        add(&q, STR("To"), to);
        add(&q, STR("Call-ID"), d->call_id);
        add(&q, STR("CSeq"), cseq);
        for (unsigned i = 0; i < invite->n_creds;
             i++) /* it cannot be challenged, so it carries what the INVITE had (22.1) */
            add(&q, invite->creds[i].name, invite->creds[i].value);
        if (p->cfg->user_agent.n)
            add(&q, STR("User-Agent"), p->cfg->user_agent);
        err = sip_request_build(&q, ret);
    }
    arena_free(a);
    return err;
}

/* What the edge tells of calls while they last: a subscription to `x-sallyport-status`
 * (docs/security-status.md; RFC 6665), made anew for each flow where the registrar offers it, and
 * refreshed in its dialog. What comes is told as the status in a message of the call is: believed
 * only along our own connection, and that is TLS (call.c). Owner: the phone; its thread. */
#include "identity/json.h"
#include "phone/phone_priv.h"

#define EVENT STR("x-sallyport-status")
#define EXPIRES_S 3600u
#define AGAIN_MS 2000u /* after the edge has ended it */

static void on_subscribed(void *arg, struct request *r, struct sip_msg *m, const struct rx *rx,
                          enum sip_tx_end why);

void phone_watch_stop(struct phone *p)
{
    struct watch *w = &p->watch;
    wheel_cancel(p->net->wheel, &w->timer);
    phone_request_forget(w->request);
    dialog_done(&w->dlg);
    w->is_on = false;
}

static void again_later(struct phone *p, uint64_t ms)
{
    wheel_start(p->net->wheel, &p->watch.timer, ms);
}

static int send_subscribe(struct phone *p)
{
    struct watch *w = &p->watch;
    struct arena *a = arena_new(1024, 16u << 10);
    struct request_args args = {
        .method = SIP_SUBSCRIBE, .has_contact = true, .fn = on_subscribed, .arg = p};
    if (a == NULL)
        return ERR_NOMEM;
    if (w->dlg.arena) {
        args.dialog = &w->dlg;
    } else {
        rand_token(&p->net->rand, w->call_id, sizeof(w->call_id));
        rand_token(&p->net->rand, w->tag, sizeof(w->tag));
        args.ruri = arena_fmt(a, "sip:%.*s", STR_FMT(p->cfg->domain));
        args.to = arena_fmt(a, "<sip:%.*s>", STR_FMT(p->cfg->domain));
        args.from = arena_fmt(a, "<%.*s>;tag=%.*s", STR_FMT(p->aor), (int)sizeof(w->tag), w->tag);
        args.call_id = str_make(w->call_id, sizeof(w->call_id));
        args.cseq_counter = &w->cseq;
    }
    args.extra[0].name = STR("Event");
    args.extra[0].value = EVENT;
    args.extra[1].name = STR("Accept");
    args.extra[1].value = STR("application/json");
    args.extra[2].name = STR("Expires");
    args.extra[2].value = arena_fmt(a, "%u", EXPIRES_S);
    args.n_extra = 3;
    int err = ERR_NOMEM;
    if (args.extra[2].value.p && (args.dialog || (args.ruri.p && args.to.p && args.from.p)))
        err = phone_request_start(p, &args, &w->request);
    arena_free(a);
    return err;
}

static void on_subscribed(void *arg, struct request *r, struct sip_msg *m, const struct rx *rx,
                          enum sip_tx_end why)
{
    struct phone *p = arg;
    struct watch *w = &p->watch;
    uint32_t expires_s;
    (void)rx;
    (void)why;
    if (m != NULL && m->status < 200)
        return;
    uint32_t cseq = r->cseq;
    phone_request_forget(r);
    if (m == NULL || m->status >= 300) { /* calls say themselves how they begin; no more is known */
        bool was_on = w->dlg.arena != NULL;
        phone_watch_stop(p);
        w->is_on = was_on;
        if (was_on && m != NULL && m->status == 481) /* the edge was restarted */
            again_later(p, AGAIN_MS);
        return;
    }
    if (w->dlg.arena == NULL && dialog_from_response(&w->dlg, m, cseq) != 0) {
        phone_watch_stop(p);
        return;
    }
    if (sip_msg_seconds(m, SIP_H_EXPIRES, &expires_s) != 0 || expires_s < 8)
        expires_s = EXPIRES_S;
    again_later(p, (uint64_t)expires_s * 750);
}

static void on_timer(struct wheel_timer *t)
{
    struct phone *p = CONTAINER_OF(t, struct phone, watch.timer);
    if (p->has_path && !p->is_leaving && send_subscribe(p) != 0)
        phone_watch_stop(p);
}

void phone_watch_init(struct phone *p)
{
    wheel_timer_init(&p->watch.timer, on_timer);
}

void phone_watch_start(struct phone *p, const struct sip_msg *registered)
{
    struct watch *w = &p->watch;
    if (p->cfg->no_watch || !sip_msg_has_token(registered, SIP_H_ALLOW_EVENTS, EVENT) || w->is_on)
        return;
    w->is_on = send_subscribe(p) == 0;
}

/* ---- NOTIFY ---- */

/* 4.1.2.4, 4.4.1: it may come before the 200, and then is what makes the dialog. */
static bool is_of(const struct watch *w, const struct sip_msg *m)
{
    if (!w->is_on)
        return false;
    if (w->dlg.arena)
        return dialog_is_of_request(&w->dlg, m);
    return w->request && str_eq(str_make(w->call_id, sizeof(w->call_id)), m->call_id) &&
           str_eq(str_make(w->tag, sizeof(w->tag)), m->to_tag);
}

static void take_call(struct phone *p, const struct sjson_node *one)
{
    const struct sjson_node *id = sjson_find_type(one, STR("call_id"), SJSON_STRING);
    const struct sjson_node *side = sjson_find_type(one, STR("side"), SJSON_STRING);
    const struct sjson_node *status = sjson_find_type(one, STR("status"), SJSON_STRING);
    if (id == NULL || side == NULL || status == NULL)
        return;
    LIST_EACH(c, &p->calls, struct call, node)
    {
        bool is_ours = str_eq(side->text, STR("caller")) == (c->call_id.p != NULL);
        struct str known = c->call_id.p ? c->call_id : c->dlg.call_id;
        if (is_ours && c->state != CALL_ENDED && known.n > 0 &&
            (known.n > 255 ? str_eq(str_make(known.p, 255), id->text) : str_eq(known, id->text)))
            call_status_value(c, status->text);
    }
}

static int take_body(struct phone *p, struct sip_msg *m)
{
    struct sjson_node *root;
    struct reason why;
    if (sip_msg_has(m, SIP_H_CONTENT_ENCODING) || sjson_parse(m->arena, m->body, &root, &why) != 0)
        return ERR_SYNTAX;
    const struct sjson_node *calls = sjson_find_type(root, STR("calls"), SJSON_ARRAY);
    const struct sjson_node *it = calls ? sjson_first(calls) : NULL;
    for (unsigned i = 0; calls && i < calls->n; i++, it = sjson_next(it))
        take_call(p, it);
    return calls ? 0 : ERR_SYNTAX;
}

bool phone_watch_notified(struct phone *p, struct sip_stx *tx, struct sip_msg *m)
{
    struct watch *w = &p->watch;
    const struct sip_hdr *state = sip_msg_hdr(m, SIP_H_SUBSCRIPTION_STATE, 0);
    if (m->method != SIP_NOTIFY || !is_of(w, m))
        return false;
    if (w->dlg.arena && dialog_take_cseq(&w->dlg, m) != 0) {
        phone_reply(p, tx, 500);
        return true;
    }
    if (m->body.n && take_body(p, m) != 0) {
        phone_reply(p, tx, 400);
        return true;
    }
    phone_reply(p, tx, 200);
    if (state && str_starts_nocase(state->value, STR("terminated"))) {
        phone_watch_stop(p);
        w->is_on = true;
        again_later(p, AGAIN_MS);
    }
    return true;
}

/* Transfer (RFC 3515): a REFER to us is declined unless the user wants to follow it; one of ours is
 * sent and its progress heard. Owner and thread: the phone's. */
#include "phone/phone_priv.h"

/* ---- to us ---- */

static void on_notified(void *arg, struct request *r, struct sip_msg *m, const struct rx *rx,
                        enum sip_tx_end why)
{
    (void)arg; /* whether the referrer cares is its own affair */
    (void)rx;
    (void)why;
    if (m == NULL || m->status >= 200)
        phone_request_forget(r);
}

/* How it goes, as a status line (2.4.5). */
static void notify(struct call *c, unsigned status, bool is_last)
{
    char line[64];
    struct sbuf b = sbuf_make(line, sizeof(line));
    struct request_args args = {.method = SIP_NOTIFY,
                                .dialog = &c->dlg,
                                .has_contact = true,
                                .fn = on_notified,
                                .arg = c->p,
                                .content_type = STR("message/sipfrag;version=2.0")};
    struct request *slot = NULL;
    if (c->state != CALL_UP)
        return;
    sbuf_fmt(&b, "SIP/2.0 %u %.*s\r\n", status, STR_FMT(sip_status_text(status)));
    args.body = sbuf_get(&b);
    args.extra[0].name = STR("Event");
    args.extra[0].value = STR("refer");
    args.extra[1].name = STR("Subscription-State");
    args.extra[1].value = is_last ? STR("terminated;reason=noresource") : STR("active;expires=120");
    args.n_extra = 2;
    if (phone_request_start(c->p, &args, &slot) == 0 && slot) {
        slot->slot = NULL;
        slot->cseq_counter = NULL;
    }
}

void call_refer_progress(struct call *c, unsigned status, bool is_last)
{
    struct call *old = call_find(c->p, c->referred_by);
    if (is_last)
        c->referred_by = 0;
    if (old != NULL)
        notify(old, status, is_last);
}

void call_refer_in(struct call *c, struct sip_stx *tx, struct sip_msg *m)
{
    struct phone *p = c->p;
    const struct sip_hdr *h = sip_msg_hdr(m, SIP_H_REFER_TO, 0),
                         *by = sip_msg_hdr(m, SIP_H_REFERRED_BY, 0);
    struct sip_addr to;
    struct call *next;
    if (!p->cfg->follow_refer || c->state != CALL_UP) {
        phone_reply(p, tx, 603);
        return;
    }
    if (h == NULL || sip_addr_parse(h->value, &to) != 0 ||
        sip_msg_hdr(m, SIP_H_REFER_TO, 1) != NULL) {
        phone_reply(p, tx, 400);
        return;
    }
    int err = call_out(p, to.uri, c->id, by ? by->value : STR_NULL, &next);
    if (err) {
        phone_reply(p, tx, err == ERR_SYNTAX || err == ERR_UNSUPPORTED ? 400 : 500);
        return;
    }
    struct sip_response r = {.status = 202};
    phone_add(&r, STR("Contact"), p->contact);
    phone_reply_with(p, tx, &r);
    notify(c, 100, false);
    if (p->user.on_referred)
        p->user.on_referred(p->user.arg, c->id, next->id);
}

/* ---- from us ---- */

static void refer_done(struct call *c, unsigned status)
{
    struct phone *p = c->p;
    c->refer_wanted = false;
    if (p->user.on_refer_done)
        p->user.on_refer_done(p->user.arg, c->id, status);
}

static void on_refer(void *arg, struct request *r, struct sip_msg *m, const struct rx *rx,
                     enum sip_tx_end why)
{
    struct call *c = arg;
    (void)rx;
    if (m != NULL && m->status < 200)
        return;
    phone_request_forget(r);
    if (m == NULL)
        refer_done(c, why == SIP_TX_TIMEOUT ? 408 : 503);
    else if (m->status >= 300)
        refer_done(c, m->status);
}

int call_refer(struct call *c, struct str uri)
{
    if (c->refer_wanted)
        return ERR_AGAIN;
    struct arena *a = arena_new(512, 8192);
    struct request_args args = {
        .method = SIP_REFER, .dialog = &c->dlg, .has_contact = true, .fn = on_refer, .arg = c};
    struct str target;
    int err = a ? phone_uri(c->p, a, uri, &target) : ERR_NOMEM;
    if (!err) {
        args.extra[0].name = STR("Refer-To");
        args.extra[0].value = arena_fmt(a, "<%.*s>", STR_FMT(target));
        args.extra[1].name = STR("Referred-By");
        args.extra[1].value = arena_fmt(a, "<%.*s>", STR_FMT(c->p->aor));
        args.n_extra = 2;
        err = args.extra[0].value.p && args.extra[1].value.p
                  ? phone_request_start(c->p, &args, &c->refer)
                  : ERR_NOMEM;
    }
    c->refer_wanted = !err;
    arena_free(a);
    return err;
}

void call_notify_in(struct call *c, struct sip_stx *tx, struct sip_msg *m)
{
    const struct sip_hdr *event = sip_msg_hdr(m, SIP_H_EVENT, 0),
                         *state = sip_msg_hdr(m, SIP_H_SUBSCRIPTION_STATE, 0);
    uint32_t status;
    if (!c->refer_wanted || event == NULL || !str_starts_nocase(event->value, STR("refer"))) {
        phone_reply(c->p, tx, 481);
        return;
    }
    phone_reply(c->p, tx, 200);
    bool is_last = state != NULL && str_starts_nocase(state->value, STR("terminated"));
    if (m->body.n < 11 || !str_starts_nocase(m->body, STR("SIP/2.0 ")) ||
        str_to_u32(str_make(m->body.p + 8, 3), 699, &status) != 0)
        status = 0;
    if (status >= 200 || is_last)
        refer_done(c, status);
}

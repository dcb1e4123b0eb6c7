/* Within a call: requests of theirs, and offers of ours: hold, resume, refresh (RFC 3261 14, RFC
 * 3311, RFC 3264 8.4). Owner and thread: the phone's. */
#include "phone/phone_priv.h"

#define REKEY_RETRY_MS 500u

/* ---- theirs ---- */

static void reply_ok(struct call *c, struct sip_stx *tx, struct sip_msg *m, struct str sdp)
{
    struct sip_response r = {.status = 200, .to_tag = c->dlg.local_tag, .body = sdp};
    if (sdp.n)
        r.content_type = STR("application/sdp");
    phone_add(&r, STR("Contact"), c->p->contact);
    phone_add(&r, STR("Supported"), PHONE_SUPPORTED);
    call_timer_answer(c, m, &r, m->arena);
    if (sdp.n && c->p->cfg->signer && call_sign_ok(c, m, &r) != 0) {
        phone_reply(c->p, tx, 500);
        return;
    }
    phone_reply_with(c->p, tx, &r);
}

static unsigned status_of(int err)
{
    return err == ERR_UNSUPPORTED || err == ERR_REFUSED ? 488
           : err == ERR_SYNTAX                          ? 400
           : err == ERR_LIMIT                           ? 413
                                                        : 500;
}

/* RFC 4916: somebody else than before, or than was called. What it is worth its domain's signature
 * says, and our edge tells. */
static void take_from(struct call *c, const struct sip_msg *m)
{
    struct phone *p = c->p;
    if (dialog_take_from(&c->dlg, m) && p->user.on_connected)
        p->user.on_connected(p->user.arg, c->id, m->from.uri);
    call_status(c, m);
}

/* A re-INVITE or UPDATE of theirs. Where both sides offer at once both are refused and try again
 * later (14.2, RFC 3311 5.2). */
static void take_offer(struct call *c, struct sip_stx *tx, struct sip_msg *m, const struct rx *rx)
{
    bool is_invite = m->method == SIP_INVITE;
    if (c->state != CALL_UP || (is_invite && c->ok.buf) || session_is_offering(&c->session) ||
        c->change_pending || call_is_judging(c)) {
        phone_reply(c->p, tx, 491);
        return;
    }
    if (!call_timer_refuses(c, tx, m) && call_judge_offer(c, tx, m, &rx->path) == 0)
        call_offer_judged(c, tx, m, &rx->path);
}

void call_offer_judged(struct call *c, struct sip_stx *tx, struct sip_msg *m, const struct path *path)
{
    bool is_invite = m->method == SIP_INVITE, was_held = c->session.is_held;
    struct reason why = {0};
    struct str text, sdp = STR_NULL;
    int err = session_text(m, &text);
    if (err == ERR_UNSUPPORTED) {
        phone_reply(c->p, tx, 415);
        return;
    }
    if (!err) {
        err = session_answer(&c->session, text, &sdp, &why);
    } else if (is_invite) {
        err = session_offer(&c->session, &sdp, &why);
        c->offer_in_ack = !err;
    } else {
        err = 0; /* an UPDATE without an offer refreshes */
    }
    if (err) {
        phone_reply_why(c->p, tx, status_of(err), &why); /* the session stays as it was */
        return;
    }
    dialog_refresh(&c->dlg, m);
    take_from(c, m);
    if (is_invite) {
        c->invite_cseq = m->cseq;
        if (call_ok(c, tx, m, path, sdp) != 0 && !sip_stx_is_final(tx))
            phone_reply(c->p, tx, 500);
    } else {
        reply_ok(c, tx, m, sdp);
    }
    call_held(c, was_held);
}

static void take_update(struct call *c, struct sip_stx *tx, struct sip_msg *m, const struct rx *rx)
{
    if (c->state == CALL_UP) {
        take_offer(c, tx, m, rx);
        return;
    }
    /* Before the answer an UPDATE can say who is there (RFC 4916); our offer is still out, so it
     * cannot bring one. */
    phone_reply(c->p, tx, m->body.n ? 491 : 200);
}

static void take_text(struct call *c, struct sip_stx *tx, struct sip_msg *m)
{
    struct phone *p = c->p;
    if (p->user.on_text)
        p->user.on_text(p->user.arg, m->from.uri, m->body);
    phone_reply(p, tx, 200);
}

void call_in_dialog(struct call *c, struct sip_stx *tx, struct sip_msg *m, const struct rx *rx)
{
    struct phone *p = c->p;
    struct dialog *d = &c->dlg;
    for (unsigned i = 0; i < c->n_early && !dialog_is_of_request(d, m); i++)
        d = &c->early[i];
    if (dialog_take_cseq(d, m) != 0) {
        phone_reply(p, tx, 500); /* 12.2.2 */
        return;
    }
    switch (m->method) {
    case SIP_BYE:
        phone_reply(p, tx, 200);
        call_event(c, CALL_E_THEIR_BYE, m);
        return;
    case SIP_INVITE:
        take_offer(c, tx, m, rx);
        return;
    case SIP_UPDATE:
        take_update(c, tx, m, rx);
        return;
    case SIP_PRACK:
        call_pracked(c, tx, m);
        return;
    case SIP_MESSAGE:
        take_text(c, tx, m);
        return;
    case SIP_REFER:
        call_refer_in(c, tx, m);
        return;
    case SIP_NOTIFY:
        call_notify_in(c, tx, m);
        return;
    case SIP_OPTIONS:
        phone_reply(p, tx, 200);
        return;
    default:
        phone_reply(p, tx, 405);
    }
}

/* ---- ours ---- */

static void tell(struct call *c, unsigned status)
{
    struct phone *p = c->p;
    if (p->user.on_changed)
        p->user.on_changed(p->user.arg, c->id, status);
}

/* 14.1: who owns the Call-ID waits longer, so that the two do not meet again. */
static void retry_later(struct call *c)
{
    bool is_owner = c->call_id.p != NULL;
    uint64_t ms = (is_owner ? 2100 : 0) + rand_u64(&c->p->net->rand) % (is_owner ? 1901 : 2001);
    wheel_start(c->p->net->wheel, &c->retry, ms);
}

void call_retry(struct wheel_timer *t)
{
    struct call *c = CONTAINER_OF(t, struct call, retry);
    if (c->state == CALL_UP && call_offer(c, c->change_hold) != 0)
        tell(c, 500);
}

static void lost(struct call *c, unsigned status, const char *text)
{
    struct reason why = {0};
    reason_set(&why, "dialog-lost", "RFC 5057 5.1", (unsigned)status, "%s", text);
    call_because(c, status, &why);
    call_event(c, CALL_E_HANG_UP, NULL);
}

static void changed(struct call *c, struct request *r, struct sip_msg *m)
{
    struct phone *p = c->p;
    struct reason why = {0};
    bool was_held = c->session.is_held;
    struct str text;
    dialog_refresh(&c->dlg, m);
    if (r->method == SIP_INVITE) {
        buf_unref(c->change_ack);
        c->change_ack = NULL;
        c->change_cseq = r->cseq;
        if (phone_request_ack(p, &c->dlg, r, &c->change_ack) == 0 && p->has_path) {
            phone_out_message(p->out, true, buf_str(c->change_ack));
            (void)!net_send(p->net, &p->path, c->change_ack);
        }
    }
    call_timer_agreed(c, m);
    if (!c->change_has_offer)
        return;
    int err = session_text(m, &text);
    if (!err)
        err = session_answered(&c->session, text, &why);
    if (err) {
        session_rollback(&c->session);
        call_because(c, 488, why.code ? &why : NULL);
        call_event(c, CALL_E_HANG_UP, NULL);
        return;
    }
    session_settled(&c->session);
    call_held(c, was_held);
    tell(c, m->status);
    call_judge_answer(c, m);
}

static void on_change(void *arg, struct request *r, struct sip_msg *m, const struct rx *rx,
                      enum sip_tx_end why)
{
    struct call *c = arg;
    (void)rx;
    if (m != NULL && m->status < 200)
        return;
    if (!c->change_pending) { /* a 2xx once more: its ACK was lost */
        if (m != NULL && m->status < 300 && c->change_ack && c->p->has_path)
            (void)!net_send(c->p->net, &c->p->path, c->change_ack);
        return;
    }
    c->change_pending = false;
    if (c->state != CALL_UP)
        return;
    if (m != NULL && m->status < 300) {
        c->was_local = STR_NULL;
        changed(c, r, m);
        return;
    }
    session_rollback(&c->session);
    bool said_who = c->was_local.n > 0;
    if (said_who)
        c->dlg.local = c->was_local; /* it was not taken: we stay who we were to it */
    c->was_local = STR_NULL;
    if (said_who && m != NULL && m->status != 481 && m->status != 408)
        return;
    if (m == NULL && why == SIP_TX_TIMEOUT) {
        lost(c, 408, "the other side does not answer any more");
    } else if (m == NULL) {
        tell(c, 503);
    } else if (m->status == 481 || m->status == 408) {
        lost(c, m->status, "the other side does not know the call any more");
    } else if (m->status == 491) {
        retry_later(c);
    } else {
        tell(c, m->status);
    }
}

static int send_change(struct call *c, enum sip_method method, struct str sdp)
{
    struct arena *a = arena_new(1024, 16u << 10);
    struct request_args args = {.method = method,
                                .dialog = &c->dlg,
                                .has_contact = true,
                                .body = sdp,
                                .fn = on_change,
                                .arg = c};
    if (a == NULL)
        return ERR_NOMEM;
    if (sdp.n)
        args.content_type = STR("application/sdp");
    args.extra[args.n_extra].name = STR("Allow");
    args.extra[args.n_extra++].value = PHONE_ALLOW;
    args.extra[args.n_extra].name = STR("Supported");
    args.extra[args.n_extra++].value = STR("timer, outbound, path, from-change");
    call_timer_ask(c, &args, a);
    phone_request_forget(c->change);
    int err = phone_request_start(c->p, &args, &c->change);
    c->change_pending = !err;
    c->change_has_offer = sdp.n > 0;
    arena_free(a);
    return err;
}

int call_offer(struct call *c, bool hold)
{
    struct str sdp;
    struct reason why = {0};
    enum sdp_dir before = c->session.want;
    if (c->change_pending || c->ok.buf || call_is_judging(c))
        return ERR_AGAIN;
    c->change_hold = hold;
    c->session.want = hold ? SDP_SENDONLY : SDP_SENDRECV;
    int err = session_offer(&c->session, &sdp, &why);
    if (!err) {
        err = send_change(c, SIP_INVITE, sdp);
        if (err)
            session_rollback(&c->session);
    }
    if (err)
        c->session.want = before;
    return err;
}

/* The same session is offered again: its fingerprint is then under the signature that our domain
 * puts on the request (RFC 4916 4.4, RFC 8224 4.1), and nothing is agreed anew (RFC 5763 6.6). So is
 * it done where the caller has signed itself, and may not know signed answers: then our user's
 * signature is under the request (RFC 8862 4.3). */
void call_say_who(struct call *c)
{
    struct dialog *d = &c->dlg;
    bool signs = c->is_user_signed && c->p->cfg->signer; /* RFC 8862 4.3, 4.4 */
    struct str sdp, known, who;
    struct reason why = {0};
    struct sip_addr a;
    struct sip_uri u;
    if (!d->peer_allows_update || c->change_pending || call_is_judging(c) || sip_addr_parse(d->local, &a) != 0 ||
        sip_uri_parse(a.uri, &u) != 0 || sip_uri_aor(d->arena, &u, &known) != 0 ||
        (str_eq(known, c->p->aor) ? !signs : !d->peer_takes_from_change) ||
        (who = arena_fmt(d->arena, "<%.*s>", STR_FMT(c->p->aor))).p == NULL)
        return;
    if (session_offer(&c->session, &sdp, &why) != 0)
        return;
    c->was_local = d->local;
    d->local = who;
    if (send_change(c, SIP_UPDATE, sdp) == 0)
        return;
    session_rollback(&c->session);
    d->local = c->was_local;
    c->was_local = STR_NULL;
}

void call_rekey(struct call *c)
{
    if (c->state != CALL_UP) {
        c->rekey_wanted = true;
        return;
    }
    bool hold = c->session.want == SDP_SENDONLY;
    c->rekey_wanted = call_offer(c, hold) == ERR_AGAIN;
    if (c->rekey_wanted && !wheel_is_running(&c->retry)) {
        c->change_hold = hold;
        wheel_start(c->p->net->wheel, &c->retry, REKEY_RETRY_MS);
    }
}

void call_refresh(struct call *c)
{
    if (c->change_pending || call_is_judging(c))
        return; /* that one refreshes as well */
    if (!c->dlg.peer_allows_update)
        (void)!call_offer(c, c->session.want == SDP_SENDONLY);
    else
        (void)!send_change(c, SIP_UPDATE, STR_NULL);
}

/* A call (RFC 3261 12 to 15): its machine, and what every way through it shares.
 *
 *   out:  CALLING --1xx--> EARLY --2xx--> UP          in:  RINGING --answer--> ANSWERED --ACK--> UP
 *           |                |             |                 |                    |
 *           `--- hang up --> STOPPING --2xx: ACK, BYE--.     | CANCEL, decline    | no ACK
 *                             | 487                    v     v                    v
 *                             `-------> ENDED <------ LEAVING <---- hang up ----- UP --their BYE-->
 * ENDED
 *
 * Owner: the phone's list; freed a moment after ENDED. Thread: the phone's. */
#include "base/mem.h"
#include "phone/phone_priv.h"

#define T1_MS 500u
#define T2_MS 4000u
#define CALL_BYTES (128u << 10)

static void on_gone(struct wheel_timer *t);
static void on_ok_timer(struct wheel_timer *t);
static void on_reliable_timer(struct wheel_timer *t);

/* ---- life ---- */

struct call *call_new(struct phone *p)
{
    struct call *c = mem_zalloc(sizeof(*c));
    if (c == NULL)
        return NULL;
    c->arena = arena_new(2048, CALL_BYTES);
    if (c->arena == NULL) {
        mem_free(c);
        return NULL;
    }
    c->p = p;
    c->id = ++p->next_call;
    c->session = (struct session){.p = p, .audio = -1};
    c->se_s = p->cfg->session_expires_s ? p->cfg->session_expires_s : 1800;
    wheel_timer_init(&c->gone, on_gone);
    wheel_timer_init(&c->ok.timer, on_ok_timer);
    wheel_timer_init(&c->reliable.timer, on_reliable_timer);
    wheel_timer_init(&c->retry, call_retry);
    wheel_timer_init(&c->timer, call_timer_fired);
    list_append(&p->calls, &c->node);
    p->n_calls++;
    return c;
}

/* Everything that could call back into it. */
static void call_quiet(struct call *c)
{
    struct phone *p = c->p;
    repeat_stop(p, &c->ok);
    repeat_stop(p, &c->reliable);
    wheel_cancel(p->net->wheel, &c->retry);
    call_timer_stop(c);
    phone_request_forget(c->invite);
    phone_request_forget(c->change);
    phone_request_forget(c->bye);
    phone_request_forget(c->refer);
    phone_check_free(c->check);
    c->check = NULL;
    call_judge_stop(c);
    if (c->stx)
        sip_stx_set_upper(c->stx, NULL);
    c->stx = NULL;
}

void call_free(struct call *c)
{
    struct phone *p = c->p;
    call_quiet(c);
    if (c->state != CALL_ENDED)
        p->n_calls--;
    wheel_cancel(p->net->wheel, &c->gone);
    session_done(&c->session);
    dialog_done(&c->dlg);
    for (unsigned i = 0; i < c->n_early; i++)
        dialog_done(&c->early[i]);
    buf_unref(c->ack);
    buf_unref(c->change_ack);
    list_remove(&c->node);
    arena_free(c->arena);
    mem_free(c);
}

static void on_gone(struct wheel_timer *t)
{
    call_free(CONTAINER_OF(t, struct call, gone));
}

struct call *call_find(struct phone *p, phone_call_id id)
{
    LIST_EACH(c, &p->calls, struct call, node)
    {
        if (c->id == id && c->state != CALL_ENDED)
            return c;
    }
    return NULL;
}

struct call *call_of_dialog(struct phone *p, const struct sip_msg *m)
{
    LIST_EACH(c, &p->calls, struct call, node)
    {
        if (c->state == CALL_ENDED)
            continue;
        if (dialog_is_of_request(&c->dlg, m))
            return c;
        for (unsigned i = 0; i < c->n_early; i++) {
            if (dialog_is_of_request(&c->early[i], m))
                return c;
        }
    }
    return NULL;
}

void call_status_value(struct call *c, struct str value)
{
    struct phone *p = c->p;
    if (!phone_hop_is_private(p) || c->status_hash == str_hash(value) || !p->user.on_status)
        return;
    c->status_hash = str_hash(value);
    p->user.on_status(p->user.arg, c->id, value);
}

void call_status(struct call *c, const struct sip_msg *m)
{
    const struct sip_hdr *h = sip_msg_hdr(m, SIP_H_X_SALLYPORT_STATUS, 0);
    if (h != NULL && sip_msg_hdr(m, SIP_H_X_SALLYPORT_STATUS, 1) == NULL)
        call_status_value(c, h->value);
}

void call_verified(struct call *c, const struct identity_result *r)
{
    struct phone *p = c->p;
    if (p->user.on_verified)
        p->user.on_verified(p->user.arg, c->id, phone_check_who(c->check), r);
}

void call_because(struct call *c, unsigned status, const struct reason *why)
{
    if (c->has_end)
        return;
    c->has_end = true;
    c->end_status = status;
    if (why)
        c->end_why = *why;
}

static void ended(struct call *c)
{
    struct phone *p = c->p;
    call_quiet(c);
    p->n_calls--;
    if (c->referred_by)
        call_refer_progress(c, c->end_status ? c->end_status : 200, true);
    if (p->user.on_call_end)
        p->user.on_call_end(p->user.arg, c->id, c->end_status,
                            c->end_why.code ? &c->end_why : NULL);
    session_done(&c->session); /* after its figures could be asked for */
    wheel_start(p->net->wheel, &c->gone, 0);
}

/* Without keys there is no call: it ends, and says why. */
static bool media_has_failed(struct call *c)
{
    struct reason why;
    if (!c->p->cfg->media->failure(c->session.media, &why))
        return false;
    call_because(c, why.sip_status ? why.sip_status : 488, &why);
    return true;
}

void call_up(struct call *c)
{
    struct phone *p = c->p;
    if (c->is_told_up)
        return; /* the ACK of a re-INVITE */
    c->is_told_up = true;
    if (c->referred_by)
        call_refer_progress(c, 200, true);
    if (p->user.on_call_up)
        p->user.on_call_up(p->user.arg, c->id);
    if (c->hang_up_wanted || media_has_failed(c)) {
        call_event(c, CALL_E_HANG_UP, NULL);
        return;
    }
    if (c->rekey_wanted)
        call_rekey(c);
    else if (c->call_id.p == NULL)
        call_say_who(c);
}

void call_media_news(struct call *c, enum phone_media_news what)
{
    struct phone *p = c->p;
    switch (what) {
    case PHONE_MEDIA_SECURITY:
        if (p->user.on_security)
            p->user.on_security(p->user.arg, c->id);
        break;
    case PHONE_MEDIA_REKEY:
        call_rekey(c);
        break;
    case PHONE_MEDIA_FAILED:
        /* Before the answer it may be that of an early dialog, and the call's own still comes. */
        if ((c->state == CALL_UP || c->state == CALL_ANSWERED) && media_has_failed(c))
            call_event(c, CALL_E_HANG_UP, NULL);
        break;
    }
}

void call_held(struct call *c, bool was_held)
{
    struct phone *p = c->p;
    if (c->session.is_held != was_held && p->user.on_held)
        p->user.on_held(p->user.arg, c->id, true, c->session.is_held);
}

/* ---- repeated responses ---- */

void repeat_start(struct phone *p, struct repeat *r, struct buf *buf)
{
    repeat_stop(p, r);
    r->buf = buf_ref(buf);
    r->interval_ms = T1_MS;
    r->left_ms = 64 * T1_MS;
    wheel_start(p->net->wheel, &r->timer, r->interval_ms);
}

void repeat_stop(struct phone *p, struct repeat *r)
{
    wheel_cancel(p->net->wheel, &r->timer);
    buf_unref(r->buf);
    r->buf = NULL;
}

bool repeat_again(struct phone *p, struct repeat *r)
{
    if (r->left_ms <= r->interval_ms)
        return false;
    r->left_ms -= r->interval_ms;
    r->interval_ms = 2 * r->interval_ms < T2_MS ? 2 * r->interval_ms : T2_MS;
    wheel_start(p->net->wheel, &r->timer,
                r->interval_ms < r->left_ms ? r->interval_ms : r->left_ms);
    return true;
}

static void on_ok_timer(struct wheel_timer *t)
{
    struct call *c = CONTAINER_OF(t, struct call, ok.timer);
    struct phone *p = c->p;
    if (!repeat_again(p, &c->ok)) {
        repeat_stop(p, &c->ok);
        call_event(c, CALL_E_NO_ACK, NULL);
        return;
    }
    phone_out_message(p->out, true, buf_str(c->ok.buf));
    (void)!net_send(p->net, &c->ok_path, c->ok.buf);
}

/* RFC 3262 3: without a PRACK for so long the INVITE is refused. */
static void on_reliable_timer(struct wheel_timer *t)
{
    struct call *c = CONTAINER_OF(t, struct call, reliable.timer);
    if (c->stx == NULL)
        return;
    if (repeat_again(c->p, &c->reliable)) {
        (void)!sip_stx_respond(c->stx, 180, c->reliable.buf);
        return;
    }
    call_because(c, 504, NULL);
    call_event(c, CALL_E_HANG_UP, NULL);
}

/* ---- ends ---- */

static void on_bye(void *arg, struct request *r, struct sip_msg *m, const struct rx *rx,
                   enum sip_tx_end why)
{
    struct call *c = arg;
    (void)rx;
    (void)why;
    if (m != NULL && m->status < 200)
        return;
    phone_request_forget(r);
    call_event(c, CALL_E_BYE_DONE, NULL); /* whatever the answer: the call is over (15.1.1) */
}

void call_bye(struct call *c)
{
    struct request_args args = {.method = SIP_BYE, .dialog = &c->dlg, .fn = on_bye, .arg = c};
    char text[REASON_DETAIL_MAX + 96];
    struct sbuf b = sbuf_make(text, sizeof(text));
    if (c->end_status >= 300 && c->end_why.code) { /* RFC 3326 2 */
        sbuf_fmt(&b, "SIP;cause=%u;text=\"", c->end_status);
        phone_put_why(&b, &c->end_why);
        sbuf_char(&b, '"');
        args.extra[args.n_extra].name = STR("Reason");
        args.extra[args.n_extra++].value = sbuf_get(&b);
    }
    call_timer_stop(c);
    if (c->dlg.arena == NULL || phone_request_start(c->p, &args, &c->bye) != 0)
        call_event(c, CALL_E_BYE_DONE, NULL);
}

static void act_bye(struct call *c, struct sip_msg *m)
{
    (void)m;
    call_bye(c);
}

static void act_over(struct call *c, struct sip_msg *m)
{
    (void)m;
    ended(c);
}

static void act_hang_up_later(struct call *c, struct sip_msg *m)
{
    (void)m;
    c->hang_up_wanted = true; /* 15: no BYE before the ACK */
}

static void act_refused(struct call *c, struct sip_msg *m)
{
    (void)m;
    ended(c);
}

static void act_decline(struct call *c, struct sip_msg *m)
{
    call_act_decline(c, m);
    ended(c);
}

static void act_their_cancel(struct call *c, struct sip_msg *m)
{
    call_act_their_cancel(c, m);
    ended(c);
}

static void act_nothing(struct call *c, struct sip_msg *m)
{
    (void)c;
    (void)m;
}

const struct call_cell call_table[CALL_STATES][CALL_EVENTS] = {
    [CALL_CALLING] = {[CALL_E_1XX] = {call_act_early, CALL_EARLY},
                      [CALL_E_2XX] = {call_act_confirm, CALL_UP},
                      [CALL_E_REFUSED] = {act_refused, CALL_ENDED},
                      [CALL_E_HANG_UP] = {call_act_cancel, CALL_STOPPING}},
    [CALL_EARLY] = {[CALL_E_1XX] = {call_act_early, CALL_EARLY},
                    [CALL_E_2XX] = {call_act_confirm, CALL_UP},
                    [CALL_E_REFUSED] = {act_refused, CALL_ENDED},
                    [CALL_E_HANG_UP] = {call_act_cancel, CALL_STOPPING}},
    [CALL_STOPPING] = {[CALL_E_1XX] = {act_nothing, CALL_STOPPING},
                       [CALL_E_2XX] = {call_act_confirm_late, CALL_LEAVING},
                       [CALL_E_REFUSED] = {act_refused, CALL_ENDED}},
    [CALL_RINGING] = {[CALL_E_ANSWER] = {call_act_answer, CALL_ANSWERED},
                      [CALL_E_THEIR_CANCEL] = {act_their_cancel, CALL_ENDED},
                      [CALL_E_THEIR_BYE] = {act_their_cancel, CALL_ENDED},
                      [CALL_E_HANG_UP] = {act_decline, CALL_ENDED}},
    [CALL_ANSWERED] = {[CALL_E_FAILED] = {act_over, CALL_ENDED},
                       [CALL_E_ACK] = {call_act_ack, CALL_UP},
                       [CALL_E_NO_ACK] = {call_act_no_ack, CALL_LEAVING},
                       [CALL_E_THEIR_BYE] = {act_over, CALL_ENDED},
                       [CALL_E_HANG_UP] = {act_hang_up_later, CALL_ANSWERED}},
    [CALL_UP] = {[CALL_E_ACK] = {call_act_ack, CALL_UP}, /* of a re-INVITE */
                 [CALL_E_NO_ACK] = {call_act_no_ack, CALL_LEAVING},
                 [CALL_E_THEIR_BYE] = {act_over, CALL_ENDED},
                 [CALL_E_HANG_UP] = {act_bye, CALL_LEAVING}},
    [CALL_LEAVING] =
        {[CALL_E_THEIR_BYE] = {act_over, CALL_ENDED}, [CALL_E_BYE_DONE] = {act_over, CALL_ENDED}},
};

void call_event(struct call *c, enum call_event e, struct sip_msg *m)
{
    const struct call_cell *cell = &call_table[c->state][e];
    if (cell->act == NULL)
        return;
    c->state = cell->next;
    cell->act(c, m);
}

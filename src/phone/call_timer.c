/* Session timers (RFC 4028): who refreshes, when, and the end of a call that nobody refreshed.
 * Owner: the call. */
#include "phone/phone_priv.h"

/* "seconds;refresher=uac" */
static bool parse(const struct sip_msg *m, uint32_t *ret_s, struct str *ret_refresher)
{
    const struct sip_hdr *h = sip_msg_hdr(m, SIP_H_SESSION_EXPIRES, 0);
    if (h == NULL || sip_msg_seconds(m, SIP_H_SESSION_EXPIRES, ret_s) != 0)
        return false;
    size_t at = str_find_char(h->value, ';');
    *ret_refresher = STR_NULL;
    (void)sip_param_find(str_make(h->value.p + at, h->value.n - at), STR("refresher"),
                         ret_refresher);
    return true;
}

void call_timer_stop(struct call *c)
{
    wheel_cancel(c->p->net->wheel, &c->timer);
    c->timer_s = 0;
}

/* Half of the interval for who refreshes; who waits ends the call a third (32 s at most) before it
 * is over (10). */
static void set(struct call *c, uint32_t seconds, bool we_refresh)
{
    uint64_t margin = seconds / 3 < 32 ? seconds / 3 : 32;
    c->timer_s = seconds;
    c->we_refresh = we_refresh;
    wheel_start(c->p->net->wheel, &c->timer,
                we_refresh ? (uint64_t)seconds * 500 : (seconds - margin) * 1000);
}

void call_timer_fired(struct wheel_timer *t)
{
    struct call *c = CONTAINER_OF(t, struct call, timer);
    struct reason why = {0};
    if (c->state != CALL_UP)
        return;
    if (c->we_refresh) {
        set(c, c->timer_s, true); /* again, should this one fail for a while */
        call_refresh(c);
        return;
    }
    reason_set(&why, "session-expired", "RFC 4028 10", 408,
               "the other side did not refresh the session");
    call_because(c, 408, &why);
    call_event(c, CALL_E_HANG_UP, NULL);
}

void call_timer_ask(struct call *c, struct request_args *args, struct arena *a)
{
    uint32_t s = c->timer_s ? c->timer_s : c->se_s;
    const char *refresher = c->timer_s == 0 ? ""
                            : c->we_refresh ? ";refresher=uac"
                                            : ";refresher=uas";
    if (c->p->cfg->no_timer)
        return;
    struct str v = arena_fmt(a, "%u%s", s, refresher);
    if (v.p == NULL)
        return; /* a call without the timer */
    args->extra[args->n_extra].name = STR("Session-Expires");
    args->extra[args->n_extra++].value = v;
    args->extra[args->n_extra].name = STR("Min-SE");
    args->extra[args->n_extra++].value = STR("90");
}

void call_timer_agreed(struct call *c, const struct sip_msg *m)
{
    struct str refresher;
    uint32_t s;
    if (!parse(m, &s, &refresher) || s < CALL_SE_MIN)
        call_timer_stop(c); /* 7.2: no session timer */
    else
        set(c, s, !str_eq_nocase(refresher, STR("uas")));
}

bool call_timer_refuses(struct call *c, struct sip_stx *tx, const struct sip_msg *m)
{
    struct sip_response r = {.status = 422};
    struct str refresher;
    uint32_t s;
    if (!parse(m, &s, &refresher) || s >= CALL_SE_MIN ||
        !sip_msg_has_token(m, SIP_H_SUPPORTED, STR("timer")))
        return false; /* one that does not know 422 is not refused (9) */
    phone_add(&r, STR("Min-SE"), STR("90"));
    phone_reply_with(c->p, tx, &r);
    return true;
}

void call_timer_answer(struct call *c, const struct sip_msg *m, struct sip_response *r,
                       struct arena *a)
{
    bool peer_can = sip_msg_has_token(m, SIP_H_SUPPORTED, STR("timer"));
    struct str refresher;
    uint32_t s;
    if (c->p->cfg->no_timer || !parse(m, &s, &refresher)) {
        call_timer_stop(c);
        return;
    }
    if (s < CALL_SE_MIN)
        s = CALL_SE_MIN;
    /* 9, Table 2: theirs if they said so, or can; else ours */
    bool we = !peer_can || str_eq_nocase(refresher, STR("uas"));
    struct str v = arena_fmt(a, "%u;refresher=%s", s, we ? "uas" : "uac");
    if (v.p == NULL)
        return;
    phone_add(r, STR("Session-Expires"), v);
    if (!we)
        phone_add(r, STR("Require"), STR("timer"));
    set(c, s, we);
}

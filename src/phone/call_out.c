/* Calls that we make: INVITE, provisional responses (reliable ones too, RFC 3262), forks, ACK,
 * CANCEL (RFC 3261 9.1, 13.2). Owner and thread: the phone's. */
#include "phone/phone_priv.h"

static void on_invite(void *arg, struct request *r, struct sip_msg *m, const struct rx *rx,
                      enum sip_tx_end why);

static int send_invite(struct call *c)
{
    struct phone *p = c->p;
    struct arena *a = arena_new(1024, 16u << 10);
    struct request_args args = {.method = SIP_INVITE,
                                .ruri = c->peer,
                                .from = c->from,
                                .to = c->to,
                                .call_id = c->call_id,
                                .cseq_counter = &c->cseq,
                                .has_contact = true,
                                .content_type = STR("application/sdp"),
                                .fn = on_invite,
                                .arg = c};
    if (a == NULL)
        return ERR_NOMEM;
    args.body = c->session.offered->text;
    args.extra[args.n_extra].name = STR("Allow");
    args.extra[args.n_extra++].value = PHONE_ALLOW;
    args.extra[args.n_extra].name = STR("Supported");
    args.extra[args.n_extra++].value =
        p->cfg->no_100rel ? STR("timer, outbound, path, from-change") : PHONE_SUPPORTED;
    if (c->referrer.n) {
        args.extra[args.n_extra].name = STR("Referred-By");
        args.extra[args.n_extra++].value = c->referrer;
    }
    call_timer_ask(c, &args, a);
    phone_request_forget(c->invite);
    int err = phone_request_start(p, &args, &c->invite);
    arena_free(a);
    return err;
}

/* URI headers would become part of our request (19.1.5): not from a command line or a REFER. */
static int check_target(struct str uri)
{
    struct sip_uri u;
    if (sip_uri_parse(uri, &u) != 0 || u.headers.n || u.method_param.n)
        return ERR_SYNTAX;
    return u.scheme == SIP_SCHEME_OTHER ? ERR_UNSUPPORTED : 0;
}

static int names_make(struct call *c, struct str uri)
{
    struct phone *p = c->p;
    const struct phone_config *cfg = p->cfg;
    char id[PHONE_CALL_ID_BYTES], tag[PHONE_TAG_BYTES];
    rand_token(&p->net->rand, id, sizeof(id));
    rand_token(&p->net->rand, tag, sizeof(tag));
    int err = phone_uri(p, c->arena, uri, &c->peer);
    if (!err)
        err = check_target(c->peer);
    if (err)
        return err;
    c->call_id = arena_str(c->arena, str_make(id, sizeof(id)));
    c->to = arena_fmt(c->arena, "<%.*s>", STR_FMT(c->peer));
    /* sips: everything of ours is sips as well (RFC 5630 5.1.1) */
    bool is_sips = str_starts_nocase(c->peer, STR("sips:"));
    c->from =
        arena_fmt(c->arena, "%s%.*s%s<%s:%.*s@%.*s>;tag=%.*s", cfg->display.n ? "\"" : "",
                  STR_FMT(cfg->display), cfg->display.n ? "\" " : "", is_sips ? "sips" : "sip",
                  STR_FMT(cfg->user), STR_FMT(cfg->domain), (int)sizeof(tag), tag);
    return c->call_id.p && c->to.p && c->from.p ? 0 : ERR_NOMEM;
}

int call_out(struct phone *p, struct str uri, phone_call_id referred_by, struct str referrer,
             struct call **ret)
{
    struct str text;
    if (p->n_calls >= PHONE_CALLS_LIMIT)
        return ERR_LIMIT;
    struct call *c = call_new(p);
    struct reason why = {0};
    *ret = NULL;
    if (c == NULL)
        return ERR_NOMEM;
    c->referred_by = referred_by;
    int err = names_make(c, uri);
    if (!err && referrer.n && (c->referrer = arena_str(c->arena, referrer)).p == NULL)
        err = ERR_NOMEM;
    if (!err)
        err = session_init(&c->session, p, c->id, &why);
    if (!err)
        err = session_offer(&c->session, &text, &why);
    if (!err)
        err = send_invite(c);
    if (err) {
        p->call_why = why;
        call_free(c);
        return err;
    }
    *ret = c;
    return 0;
}

/* ---- responses ---- */

/* A response without a description: the one of its dialog has come before (RFC 6337 3.1.1), but
 * another dialog's may have come since. */
static int answered_before(struct call *c, const struct sip_msg *m, struct reason *why)
{
    if (session_is_offering(&c->session))
        return ERR_NOTFOUND;
    if (m->status < 200 || str_eq(str_z(c->answer_tag), m->to_tag))
        return 0;
    int err = session_branch(&c->session, m->to_tag, why);
    if (!err && c->answers[c->session.branch].p == NULL)
        err = ERR_NOTFOUND;
    return err ? err : session_answered(&c->session, c->answers[c->session.branch], why);
}

static int answer_take(struct call *c, const struct sip_msg *m, struct reason *why)
{
    struct str text;
    int err = session_text(m, &text);
    if (err == ERR_NOTFOUND)
        return answered_before(c, m, why);
    if (err)
        return err;
    /* The same answer is repeated in later responses of a dialog; another dialog has its own. */
    if (!session_is_offering(&c->session) && str_eq(str_z(c->answer_tag), m->to_tag))
        return 0;
    err = session_branch(&c->session, m->to_tag, why);
    if (!err)
        err = session_answered(&c->session, text, why);
    if (!err) /* without memory for it, it is as if it had to be repeated */
        c->answers[c->session.branch] = arena_str(c->arena, text);
    if (!err)
        err = str_copy_z(c->answer_tag, sizeof(c->answer_tag), m->to_tag);
    return err;
}

static struct dialog *early_get(struct call *c, const struct sip_msg *m)
{
    for (unsigned i = 0; i < c->n_early; i++) {
        if (str_eq(c->early[i].remote_tag, m->to_tag))
            return &c->early[i];
    }
    if (c->n_early == PHONE_EARLY_MAX || m->to_tag.n == 0 ||
        dialog_from_response(&c->early[c->n_early], m, c->invite->cseq) != 0)
        return NULL;
    return &c->early[c->n_early++];
}

static void on_prack(void *arg, struct request *r, struct sip_msg *m, const struct rx *rx,
                     enum sip_tx_end why)
{
    (void)arg; /* a refused PRACK changes nothing: the INVITE's own answer counts */
    (void)rx;
    (void)why;
    if (m == NULL || m->status >= 200)
        phone_request_forget(r);
}

/* RFC 3262 4: acknowledged once each, in their order. False: not to be used (yet). */
static bool reliable(struct call *c, struct dialog *d, const struct sip_msg *m)
{
    char rack[64];
    struct sbuf b = sbuf_make(rack, sizeof(rack));
    struct request *slot = NULL;
    uint32_t rseq;
    if (!sip_msg_has_token(m, SIP_H_REQUIRE, STR("100rel")))
        return true;
    if (d == NULL || sip_msg_seconds(m, SIP_H_RSEQ, &rseq) != 0 || rseq == 0)
        return false;
    bool is_same = str_eq(str_z(c->rseq_tag), m->to_tag);
    if (c->rseq && is_same && rseq != c->rseq + 1)
        return false; /* a repetition, or one that came too early */
    if (str_copy_z(c->rseq_tag, sizeof(c->rseq_tag), m->to_tag) != 0)
        return false;
    c->rseq = rseq;
    sbuf_u64(&b, rseq);
    sbuf_char(&b, ' ');
    sbuf_u64(&b, m->cseq);
    sbuf_lit(&b, " INVITE");
    struct request_args args = {.method = SIP_PRACK, .dialog = d, .fn = on_prack, .arg = c};
    args.extra[0].name = STR("RAck");
    args.extra[0].value = sbuf_get(&b);
    args.n_extra = 1;
    if (phone_request_start(c->p, &args, &slot) == 0 && slot) {
        slot->slot = NULL;
        slot->cseq_counter = NULL; /* the dialog may go before it */
    }
    return true;
}

void call_act_early(struct call *c, struct sip_msg *m)
{
    struct phone *p = c->p;
    struct reason why = {0};
    struct dialog *d = early_get(c, m);
    if (!reliable(c, d, m))
        return;
    call_status(c, m);
    if (m->body.n && answer_take(c, m, &why) != 0)
        why.code =
            NULL; /* the final answer may be a good one; until then there is no early media */
    if (p->user.on_ringing)
        p->user.on_ringing(p->user.arg, c->id, m->status);
    if (c->referred_by)
        call_refer_progress(c, m->status, false);
}

/* The dialog of a 2xx, and its ACK. */
static int confirm(struct call *c, struct sip_msg *m, struct dialog *d, struct buf **ret_ack)
{
    struct phone *p = c->p;
    uint32_t cseq = c->invite->cseq;
    for (unsigned i = 0; i < c->n_early; i++) {
        if (str_eq(c->early[i].remote_tag, m->to_tag) && c->early[i].local_cseq > cseq)
            cseq = c->early[i].local_cseq; /* PRACKs have counted on */
    }
    int err = dialog_from_response(d, m, cseq);
    if (!err)
        err = phone_request_ack(p, d, c->invite, ret_ack);
    if (err)
        return err;
    phone_out_message(p->out, true, buf_str(*ret_ack));
    return p->has_path ? net_send(p->net, &p->path, *ret_ack) : ERR_CLOSED;
}

/* Keys that are not those which who has answered has signed: nobody speaks on (RFC 8224 6.2.2). */
static void answer_verified(struct call *c)
{
    const struct identity_result *r = phone_check_result(c->check);
    call_verified(c, r);
    if (r->verdict != IDENTITY_CONTRADICTED)
        return;
    call_because(c, 438, &r->why);
    call_event(c, CALL_E_HANG_UP, NULL);
}

static void on_answer_verified(void *arg, const struct identity_result *r)
{
    (void)r;
    answer_verified(arg);
}

/* Sound may come and go while the certificate is fetched, to whoever has the answer's keys; our edge
 * has judged them before. */
static void answer_verify(struct call *c, const struct sip_msg *m)
{
    struct phone *p = c->p;
    if (p->cfg->verifier != NULL && c->check == NULL &&
        phone_check_new(p->cfg->verifier, m, net_wall_s(p->net), on_answer_verified, c,
                        &c->check) == 0)
        answer_verified(c);
}

void call_act_confirm(struct call *c, struct sip_msg *m)
{
    struct reason why = {0};
    int err = confirm(c, m, &c->dlg, &c->ack);
    if (!err)
        err = answer_take(c, m, &why);
    if (err) {
        if (why.code == NULL)
            reason_set(&why, "bad-answer", "RFC 3261 13.2.2.4", 488,
                       "the answer to the call cannot be used: %s", err_text(err));
        call_because(c, 488, &why);
        call_event(c, CALL_E_HANG_UP, NULL);
        return;
    }
    session_settled(&c->session);
    call_timer_agreed(c, m);
    call_status(c, m);
    call_up(c);
    if (c->state == CALL_UP)
        answer_verify(c, m);
}

void call_act_confirm_late(struct call *c, struct sip_msg *m)
{
    call_because(c, 487, NULL);
    if (confirm(c, m, &c->dlg, &c->ack) != 0) {
        call_event(c, CALL_E_BYE_DONE, NULL);
        return;
    }
    call_bye(c);
}

void call_act_cancel(struct call *c, struct sip_msg *m)
{
    (void)m;
    call_because(c, 487, NULL);
    if (c->invite)
        phone_request_cancel(c->invite);
    else
        call_event(c, CALL_E_REFUSED, NULL);
}

static void on_stray_bye(void *arg, struct request *r, struct sip_msg *m, const struct rx *rx,
                         enum sip_tx_end why)
{
    (void)arg; /* listening is what lets it answer a challenge */
    (void)rx;
    (void)why;
    if (m == NULL || m->status >= 200)
        phone_request_forget(r);
}

/* A further 2xx: the one we have, again, or another fork that answered too late (13.2.2.4). */
static void further_ok(struct call *c, struct sip_msg *m)
{
    struct phone *p = c->p;
    struct dialog d = {0};
    struct buf *ack = NULL;
    struct request *slot = NULL;
    if (c->dlg.arena && str_eq(c->dlg.remote_tag, m->to_tag)) {
        if (c->ack && p->has_path) {
            phone_out_message(p->out, true, buf_str(c->ack));
            (void)!net_send(p->net, &p->path, c->ack);
        }
        return;
    }
    if (confirm(c, m, &d, &ack) == 0) {
        struct request_args args = {.method = SIP_BYE, .dialog = &d, .fn = on_stray_bye, .arg = p};
        if (phone_request_start(p, &args, &slot) == 0 && slot) {
            slot->slot = NULL;
            slot->cseq_counter = NULL;
        }
    }
    buf_unref(ack);
    dialog_done(&d);
}

/* What was offered is not for them: another method of key management may be (RFC 3264 6, RFC 4568
 * 7.1). The INVITE goes again with the next offer; the first one's dialogs are over. */
static bool offer_again(struct call *c, const struct sip_msg *m)
{
    struct phone *p = c->p;
    struct reason why = {0};
    struct str text;
    if ((m->status != 488 && m->status != 606 && m->status != 415) || c->state == CALL_STOPPING ||
        !session_is_offering(&c->session) || !p->cfg->media->next_way(c->session.media))
        return false;
    session_rollback(&c->session);
    if (session_offer(&c->session, &text, &why) != 0)
        return false;
    for (unsigned i = 0; i < c->n_early; i++)
        dialog_done(&c->early[i]);
    c->n_early = 0;
    c->rseq = 0;
    c->session.n_tags = 0;
    if (p->user.on_offered_less)
        p->user.on_offered_less(p->user.arg, c->id, m->status);
    memset(c->answers, 0, sizeof(c->answers));
    return send_invite(c) == 0;
}

static void refused(struct call *c, struct request *r, struct sip_msg *m)
{
    struct reason why = r->why;
    uint32_t least;
    if (m->status == 422 && sip_msg_seconds(m, SIP_H_MIN_SE, &least) == 0 && least > c->se_s &&
        least <= 86400 && c->state != CALL_STOPPING) {
        c->se_s = least; /* RFC 4028 7.3 */
        if (send_invite(c) == 0)
            return;
    }
    if (why.code == NULL && offer_again(c, m))
        return;
    if (why.code == NULL) {
        const struct sip_hdr *warning = sip_msg_hdr(m, SIP_H_WARNING, 0);
        reason_set(&why, "refused", NULL, (unsigned)m->status, "%u %.*s%s%.*s", m->status,
                   STR_FMT(m->phrase), warning ? ": " : "",
                   STR_FMT(warning ? warning->value : STR("")));
    }
    call_because(c, m->status, &why);
    call_event(c, CALL_E_REFUSED, m);
}

static void on_invite(void *arg, struct request *r, struct sip_msg *m, const struct rx *rx,
                      enum sip_tx_end why)
{
    struct call *c = arg;
    struct reason cause = {0};
    (void)rx;
    if (m == NULL) {
        reason_set(&cause, why == SIP_TX_TIMEOUT ? "no-answer" : "flow-closed", "RFC 3261 8.1.3.1",
                   0, "%s", why == SIP_TX_TIMEOUT ? "no answer in time" : "the connection is gone");
        call_because(c, why == SIP_TX_TIMEOUT ? 408 : 503, &cause);
        call_event(c, CALL_E_REFUSED, NULL);
    } else if (m->status == 100) {
        return;
    } else if (m->status < 200) {
        call_event(c, CALL_E_1XX, m);
    } else if (m->status < 300 &&
               (c->state == CALL_CALLING || c->state == CALL_EARLY || c->state == CALL_STOPPING)) {
        call_event(c, CALL_E_2XX, m);
    } else if (m->status < 300) {
        further_ok(c, m);
    } else {
        refused(c, r, m);
    }
}

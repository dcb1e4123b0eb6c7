/* Calls to us: ringing (reliably where it is asked for, RFC 3262 3), the answer and its repetition
 * until the ACK, CANCEL (RFC 3261 9.2, 13.3). Owner and thread: the phone's. */
#include "base/mem.h"
#include "phone/phone_priv.h"

/* 8.2.2.2: the same request by another way. */
static bool is_merged(struct phone *p, const struct sip_msg *m)
{
    LIST_EACH(c, &p->calls, struct call, node)
    {
        if (c->dlg.arena && c->state != CALL_ENDED && str_eq(c->dlg.call_id, m->call_id) &&
            str_eq(c->dlg.remote_tag, m->from_tag) && c->dlg.remote_cseq == m->cseq)
            return true;
    }
    return false;
}

static int ring(struct call *c, struct sip_stx *tx, struct sip_msg *m)
{
    struct phone *p = c->p;
    struct sip_response r = {.status = 180, .to_tag = sip_stx_to_tag(tx)};
    char rseq[16];
    struct sbuf b = sbuf_make(rseq, sizeof(rseq));
    struct buf *buf;
    bool is_required = sip_msg_has_token(m, SIP_H_REQUIRE, STR("100rel"));
    bool is_reliable =
        is_required || (!p->cfg->no_100rel && sip_msg_has_token(m, SIP_H_SUPPORTED, STR("100rel")));
    phone_add(&r, STR("Contact"), p->contact);
    phone_add(&r, STR("Allow"), PHONE_ALLOW);
    if (is_reliable) {
        c->our_rseq = 1 + (uint32_t)(rand_u64(&p->net->rand) % 0x7ffffff0u);
        sbuf_u64(&b, c->our_rseq);
        phone_add(&r, STR("Require"), STR("100rel"));
        phone_add(&r, STR("RSeq"), sbuf_get(&b));
    }
    int err = sip_response_build(m, &r, &buf);
    if (err)
        return err;
    err = sip_stx_respond(tx, 180, buf);
    if (!err && is_reliable)
        repeat_start(p, &c->reliable, buf);
    buf_unref(buf);
    return err;
}

/* The parts of the INVITE that are needed when it is answered. */
static int keep(struct call *c, struct sip_stx *tx, struct sip_msg *m, const struct rx *rx)
{
    struct str offer;
    int err = session_text(m, &offer);
    if (err && err != ERR_NOTFOUND)
        return 415;
    if (offer.p != NULL && (c->offer = arena_str(c->arena, offer)).p == NULL)
        return 500;
    c->peer = arena_str(c->arena, m->from.uri);
    c->is_user_signed = phone_claims_user(m);
    c->invite_cseq = m->cseq;
    c->ok_path = rx->path;
    err = c->peer.p ? dialog_from_request(&c->dlg, m, sip_stx_to_tag(tx)) : ERR_NOMEM;
    if (err)
        return err == ERR_SYNTAX ? 400 : 500;
    return session_init(&c->session, c->p, c->id, &c->end_why) == 0 ? 0 : 500;
}

/* Of a description that cannot be answered. */
static unsigned status_of(int err)
{
    return err == ERR_UNSUPPORTED || err == ERR_REFUSED ? 488 : err == ERR_SYNTAX ? 400 : 500;
}

/* It is settled who calls: `check`, if anything was signed, is the call's from here on. */
static void call_in_judged(struct phone *p, struct sip_stx *tx, struct sip_msg *m,
                           const struct rx *rx, struct phone_check *check)
{
    if (p->n_calls >= (p->cfg->max_calls ? p->cfg->max_calls : 1) ||
        p->n_calls >= PHONE_CALLS_LIMIT || p->is_leaving) {
        phone_check_free(check);
        phone_reply(p, tx, 486);
        return;
    }
    struct call *c = call_new(p);
    if (c == NULL) {
        phone_check_free(check);
        phone_reply(p, tx, 500);
        return;
    }
    c->check = check;
    c->state = CALL_RINGING;
    int status = call_timer_refuses(c, tx, m) ? -1 : keep(c, tx, m, rx);
    /* What could not be answered does not ring. */
    struct reason why = {0};
    int err = status == 0 && c->offer.p != NULL ? session_check(&c->session, c->offer, &why) : 0;
    if (status == 0 && err == 0 && ring(c, tx, m) != 0)
        status = 500;
    if (status) {
        if (status > 0)
            phone_reply(p, tx, (unsigned)status);
        call_free(c);
        return;
    }
    c->stx = tx;
    sip_stx_set_upper(tx, c);
    if (p->user.on_incoming)
        p->user.on_incoming(p->user.arg, c->id, m->from.uri, m->ruri);
    if (check != NULL)
        call_verified(c, phone_check_result(check));
    call_status(c, m);
    if (err) {
        call_because(c, status_of(err), &why);
        call_event(c, CALL_E_HANG_UP, NULL);
    }
}

/* ---- who calls ---- */

struct judging {
    struct list node;
    struct phone *p;
    struct sip_stx *tx;
    struct path path;
    struct phone_check *check;
};

static void judging_free(struct judging *j)
{
    list_remove(&j->node);
    j->p->n_judging--;
    phone_check_free(j->check);
    mem_free(j);
}

/* RFC 8862 4.4: whoever says that its user has signed must be able to prove it. Of other signatures
 * only what is contradicted is refused: what else there is to be said of them our edge says. */
static bool judge(struct phone *p, struct sip_stx *tx, const struct sip_msg *m,
                  const struct phone_check *check)
{
    const struct identity_result *r = phone_check_result(check);
    if (r->verdict == IDENTITY_VALID ||
        (r->verdict != IDENTITY_CONTRADICTED && !phone_claims_user(m)))
        return true;
    if (p->user.on_verified)
        p->user.on_verified(p->user.arg, 0, STR_NULL, r);
    phone_reply_why(p, tx, r->why.sip_status ? r->why.sip_status : 438, &r->why);
    return false;
}

static void on_judged(void *arg, const struct identity_result *r)
{
    struct judging *j = arg;
    struct phone *p = j->p;
    struct sip_stx *tx = j->tx;
    struct phone_check *check = j->check;
    const struct rx rx = {.path = j->path};
    (void)r;
    j->check = NULL;
    judging_free(j);
    struct sip_msg *m = sip_stx_msg(tx);
    if (judge(p, tx, m, check))
        call_in_judged(p, tx, m, &rx, check);
    else
        phone_check_free(check);
}

bool call_in_cancelled(struct phone *p, struct sip_stx *tx)
{
    LIST_EACH(j, &p->judging, struct judging, node)
    {
        if (j->tx != tx)
            continue;
        judging_free(j);
        phone_reply(p, tx, 487);
        return true;
    }
    LIST_EACH(c, &p->calls, struct call, node)
    {
        if (c->judged.tx != tx)
            continue;
        call_judge_stop(c);
        return true;
    }
    return false;
}

void call_in_gone(struct phone *p, const struct sip_stx *tx)
{
    LIST_EACH(j, &p->judging, struct judging, node)
    {
        if (tx == NULL || j->tx == tx)
            judging_free(j);
    }
    LIST_EACH(c, &p->calls, struct call, node)
    {
        call_judge_gone(c, tx);
    }
}

static void judge_later(struct phone *p, struct judging *j, struct sip_stx *tx, const struct rx *rx)
{
    j->p = p;
    j->tx = tx;
    j->path = rx->path;
    list_append(&p->judging, &j->node);
    p->n_judging++;
}

void call_in(struct phone *p, struct sip_stx *tx, struct sip_msg *m, const struct rx *rx)
{
    struct phone_check *check = NULL;
    struct judging *j;
    if (is_merged(p, m)) {
        phone_reply(p, tx, 482);
        return;
    }
    if (p->cfg->verifier == NULL || !sip_msg_has(m, SIP_H_IDENTITY)) {
        call_in_judged(p, tx, m, rx, NULL);
        return;
    }
    if (p->n_judging >= PHONE_CALLS_LIMIT) {
        phone_reply(p, tx, 486);
        return;
    }
    if ((j = mem_zalloc(sizeof(*j))) == NULL) {
        phone_reply(p, tx, 500);
        return;
    }
    int err = phone_check_new(p->cfg->verifier, m, net_wall_s(p->net), on_judged, j, &check);
    if (err == ERR_AGAIN) {
        j->check = check;
        judge_later(p, j, tx, rx);
        return;
    }
    mem_free(j);
    if (err != 0)
        phone_reply(p, tx, err == ERR_NOMEM ? 500 : 438);
    else if (judge(p, tx, m, check))
        call_in_judged(p, tx, m, rx, check);
    else
        phone_check_free(check);
}

/* By the user itself, as it leaves (signer.h). */
int call_sign_ok(struct call *c, struct sip_msg *m, struct sip_response *r)
{
    struct str date = phone_date(c->p, m->arena), value;
    struct buf *draft;
    if (date.p == NULL)
        return ERR_NOMEM;
    phone_add(r, STR("Date"), date);
    int err = sip_response_build(m, r, &draft);
    if (err)
        return err;
    err = phone_sign(c->p, m->arena, buf_str(draft), &value);
    buf_unref(draft);
    if (err == 0)
        phone_add(r, STR("Identity"), value);
    return err == ERR_NOMEM ? err : 0;
}

int call_ok(struct call *c, struct sip_stx *tx, struct sip_msg *m, const struct path *path,
            struct str sdp)
{
    struct phone *p = c->p;
    struct sip_response r = {.status = 200,
                             .to_tag = c->dlg.local_tag,
                             .content_type = STR("application/sdp"),
                             .body = sdp};
    struct buf *buf;
    phone_add(&r, STR("Contact"), p->contact);
    phone_add(&r, STR("Allow"), PHONE_ALLOW);
    phone_add(&r, STR("Supported"), PHONE_SUPPORTED);
    call_timer_answer(c, m, &r, m->arena);
    int err = p->cfg->signer ? call_sign_ok(c, m, &r) : 0;
    if (!err)
        err = sip_response_build(m, &r, &buf);
    if (err)
        return err;
    c->ok_path = *path;
    err = sip_stx_respond(tx, 200, buf);
    if (!err)
        repeat_start(p, &c->ok, buf);
    buf_unref(buf);
    return err;
}

void call_act_answer(struct call *c, struct sip_msg *unused)
{
    struct sip_stx *tx = c->stx;
    struct sip_msg *m = tx ? sip_stx_msg(tx) : NULL;
    struct reason why = {0};
    struct str sdp;
    (void)unused;
    repeat_stop(c->p, &c->reliable);
    int err = ERR_CLOSED;
    if (m != NULL) {
        c->offer_in_ack = c->offer.p == NULL;
        err = c->offer_in_ack ? session_offer(&c->session, &sdp, &why)
                              : session_answer(&c->session, c->offer, &sdp, &why);
    }
    if (!err) {
        c->stx = NULL;
        sip_stx_set_upper(tx, NULL);
        err = call_ok(c, tx, m, &c->ok_path, sdp);
        if (!err)
            return;
    }
    unsigned status = status_of(err);
    if (tx && !sip_stx_is_final(tx))
        phone_reply_why(c->p, tx, status, &why);
    call_because(c, status, &why);
    call_event(c, CALL_E_FAILED, NULL);
}

static void reject(struct call *c, unsigned status)
{
    if (c->stx == NULL)
        return;
    sip_stx_set_upper(c->stx, NULL);
    phone_reply_why(c->p, c->stx, status, &c->end_why);
    c->stx = NULL;
}

void call_act_decline(struct call *c, struct sip_msg *m)
{
    (void)m;
    call_because(c, 603, NULL);
    reject(c, c->end_status ? c->end_status : 603);
}

void call_act_their_cancel(struct call *c, struct sip_msg *m)
{
    (void)m;
    call_because(c, 487, NULL);
    reject(c, 487);
}

void call_act_ack(struct call *c, struct sip_msg *m)
{
    struct reason why = {0};
    struct str text;
    bool was_up = c->ok.buf == NULL;
    repeat_stop(c->p, &c->ok);
    if (was_up)
        return; /* a repeated ACK */
    if (c->offer_in_ack) {
        bool was_held = c->session.is_held;
        c->offer_in_ack = false;
        int err = session_text(m, &text);
        if (!err)
            err = session_answered(&c->session, text, &why);
        if (err) {
            if (why.code == NULL)
                reason_set(&why, "no-answer-in-ack", "RFC 3261 13.2.1", 488,
                           "the ACK has no answer to our offer");
            call_because(c, 488, &why);
            call_event(c, CALL_E_HANG_UP, NULL);
            return;
        }
        session_settled(&c->session);
        call_held(c, was_held);
        if (c->is_told_up) { /* else it is what begins the call */
            call_judge_answer(c, m);
            return;
        }
    }
    call_up(c);
}

void call_act_no_ack(struct call *c, struct sip_msg *m)
{
    struct reason why = {0};
    (void)m;
    reason_set(&why, "no-ack", "RFC 3261 13.3.1.4", 408, "the answer was not acknowledged");
    call_because(c, 408, &why);
    call_bye(c);
}

/* RFC 3262 3: RAck names the response and the INVITE. */
void call_pracked(struct call *c, struct sip_stx *tx, struct sip_msg *m)
{
    const struct sip_hdr *h = sip_msg_hdr(m, SIP_H_RACK, 0);
    struct str rest = h ? str_trim(h->value) : STR(""), rseq, cseq;
    uint32_t r, n;
    rest = str_trim(str_cut(rest, ' ', &rseq));
    rest = str_trim(str_cut(rest, ' ', &cseq));
    if (c->reliable.buf == NULL || str_to_u32(rseq, UINT32_MAX, &r) != 0 ||
        str_to_u32(cseq, UINT32_MAX, &n) != 0 || r != c->our_rseq || n != c->invite_cseq ||
        !str_eq(rest, STR("INVITE"))) {
        phone_reply(c->p, tx, 481);
        return;
    }
    repeat_stop(c->p, &c->reliable);
    phone_reply(c->p, tx, m->body.n ? 488 : 200); /* offers in a PRACK we do not take */
}

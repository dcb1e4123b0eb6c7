/* Messages of anchored calls on their way: which description in them is an offer and which an
 * answer, and what leaves instead. RFC 3261 13.2.1, 14; RFC 3262 5; RFC 3311 5; RFC 3264 4, 8; RFC
 * 6337 2. Worker thread. */
#include "base/log.h"
#include "base/mem.h"
#include "edge/anchor/anchor_priv.h"

#define REKEY_AFTER_ACK_MS 100u /* the ACK is to be there first */

static int no_memory(struct reason *why)
{
    reason_set(why, "no-memory", NULL, 500, NULL);
    return ERR_NOMEM;
}

/* ---- the INVITE that begins it ---- */

static struct anchor_branch *branch_new(struct anchor *a, const struct edge_req *r,
                                        const struct branch *b)
{
    struct anchor_branch *ab = mem_zalloc(sizeof *ab);
    bool crosses;

    if (!ab)
        return NULL;
    ab->a = a;
    anchor_side_target(r, b->t, &ab->side);
    crosses = anchor_sides_cross(&a->side, &ab->side);
    anchor_side_settle(&ab->side, a->snap, crosses, a->emergency, net_wall_s(a->w->net));
    list_append(&a->branches, &ab->node);
    return ab;
}

static int branch_legs(struct anchor_branch *ab, const struct sip_msg *m, struct reason *why)
{
    struct anchor *a = ab->a;
    struct sdp *s;
    int err;

    if (!ab->far && (ab->far = anchor_leg_new(a, &ab->side)) == NULL)
        return no_memory(why);
    if (ab->near || (ab->near = a->caller) != NULL || !a->offer.p)
        return 0;
    if ((ab->near = anchor_leg_new(a, &a->side)) == NULL)
        return no_memory(why);
    if ((err = sdp_parse(m->arena, anchor_text_get(&a->offer), &s, why)) != 0 ||
        (err = anchor_offer_take(ab->near, s, why)) != 0) {
        anchor_leg_free(ab->near); /* one that has no offer is no leg, when the branch is looked at again */
        ab->near = NULL;
    }
    return err;
}

/* What leaves by a branch: an offer of its own, with keys of its own (TR/100 8.2.1.3, RFC 7879 6).
 */
static int branch_offer(struct anchor_branch *ab, const struct sip_msg *m, struct reason *why)
{
    struct str out;
    struct sdp *s;
    int err;

    if (ab->offer_out.p && !ab->is_again && ab->is_private == ab->side.is_private)
        return 0;
    ab->far->side.is_private = ab->is_private = ab->side.is_private;
    if (ab->offer_out.p && ab->far->keys)
        relay_keys_rollback(ab->far->keys);
    if ((err = sdp_parse(m->arena, anchor_text_get(&ab->a->offer), &s, why)) != 0 ||
        (err = anchor_offer_make(ab->far, ab->near, s, false, m->arena, &out, why)) != 0)
        return err;
    return anchor_text_set(&ab->offer_out, out) != 0 ? no_memory(why) : 0;
}

static enum anchor_verdict first_request(struct proxy *p, struct branch *b, const struct path *out,
                                         struct forward_changes *ret, struct reason *why)
{
    struct anchor *a = p->anchor;
    struct anchor_branch *ab = b->anchored;
    const struct sip_msg *m = p->r->m;
    struct str text, body;

    if (!ab && (ab = b->anchored = branch_new(a, p->r, b)) == NULL) {
        (void)no_memory(why);
        return ANCHOR_REFUSED;
    }
    anchor_side_path(&ab->side, out);
    if (ab->far)
        ab->far->side.is_v6 = ab->side.is_v6;
    ret->cseq = b->is_challenged ? anchor_count_again(&ab->count, m->cseq, SIP_INVITE)
                : ab->is_again   ? anchor_count_own(&ab->count)
                                 : anchor_count_map(&ab->count, m->cseq, SIP_INVITE);
    if (ab->count.last_out > ret->cseq)
        ret->cseq = ab->count.last_out; /* again, to the next server */
    ab->count.invite_out = ret->cseq;
    ret->has_cseq = ret->cseq != m->cseq;
    if (branch_legs(ab, m, why) != 0)
        return ANCHOR_REFUSED;
    if (!a->offer.p)
        return ANCHOR_PASS;
    if (branch_offer(ab, m, why) != 0 || anchor_body_find(m, &text, why) != 0)
        return ANCHOR_REFUSED;
    ab->is_again = false;
    body = arena_str(m->arena, anchor_text_get(&ab->offer_out));
    if (!body.p || anchor_body_replace(m, text, body, ret) != 0) {
        (void)no_memory(why);
        return ANCHOR_REFUSED;
    }
    return ANCHOR_PASS;
}

/* ---- dialogs that its responses make ---- */

static struct anchor_dialog *dialog_new(struct anchor_branch *ab, struct str tag)
{
    struct anchor *a = ab->a;
    struct anchor_dialog *d = mem_zalloc(sizeof *d);

    if (!d)
        return NULL;
    list_init(&d->node);
    wheel_timer_init(&d->timer, anchor_rekey_timer);
    d->a = a;
    d->b = ab;
    d->to_callee = ab->count;
    d->allows_update[0] = a->allows_update;
    d->far = ab->far_taken ? anchor_leg_fork(ab->far) : ab->far;
    d->near =
        ab->near ? ab->near : anchor_leg_new(a, &a->side); /* without an offer in the INVITE the
                                                              caller has a leg in each dialog */
    if (!d->far || !d->near || anchor_text_set(&d->tag, tag) != 0 ||
        anchor_text_set(&d->contact[0], anchor_text_get(&a->contact)) != 0)
        goto fail;
    if (a->offer.p) {
        if (anchor_text_set(&d->ex.offer_in, anchor_text_get(&a->offer)) != 0 ||
            anchor_text_set(&d->ex.offer_out, anchor_text_get(&ab->offer_out)) != 0)
            goto fail;
        d->ex.state = ANCHOR_EX_OFFERED;
        d->ex.from_caller = d->ex.is_first = true;
        d->ex.method = SIP_INVITE;
        d->ex.cseq = a->invite_cseq;
    }
    ab->far_taken = true;
    list_append(&a->dialogs, &d->node);
    return d;
fail:
    if (d->far != ab->far)
        anchor_leg_free(d->far);
    if (!ab->near)
        anchor_leg_free(d->near);
    anchor_exchange_done(&d->ex);
    anchor_text_done(&d->tag);
    anchor_text_done(&d->contact[0]);
    mem_free(d);
    return NULL;
}

/* The description in a response to the INVITE that began the dialog. Once it has come reliably, or others
 * have followed (RFC 3311), what is said of it again is a repetition: it gets what it got then, not what
 * has been agreed on since, which may be the other side's (RFC 6337 2.1). */
static int first_description(struct anchor_dialog *d, const struct sip_msg *m, struct str text,
                             struct str *ret, struct reason *why)
{
    bool is_answer = d->a->offer.p != NULL;
    int err;

    *ret = STR_NULL;
    if (d->first_out.p && (d->first_final || !d->ex.is_first))
        return is_answer || anchor_is_repeated(&d->first_in, text)
                   ? anchor_keep_repeated(m, &d->first_out, ret, why)
                   : 0;
    err = is_answer ? anchor_ex_response_answer(d, m, text, ret, why)
                    : anchor_ex_response_offer(d, false, m, text, ret, why);
    if (err != 0 || !ret->n)
        return err;
    d->ex.is_first = true;
    d->first_final = anchor_is_reliable(m);
    return anchor_text_set(&d->first_in, text) != 0 || anchor_text_set(&d->first_out, *ret) != 0
               ? no_memory(why)
               : 0;
}

static int pass_body(const struct sip_msg *m, struct str was, struct str is,
                     struct forward_changes *ret, struct reason *why)
{
    return anchor_body_replace(m, was, is, ret) != 0 ? no_memory(why) : 0;
}

/* A dialog that is only to be ended. NULL: too many, or no memory. */
static struct anchor_dialog *late_dialog(struct anchor_branch *ab, struct str tag)
{
    struct anchor_dialog *d = ab->a->n_late < LIMIT_CALL_LATE ? mem_zalloc(sizeof *d) : NULL;

    if (!d)
        return NULL;
    wheel_timer_init(&d->timer, anchor_rekey_timer);
    d->a = ab->a;
    d->b = ab;
    d->state = ANCHOR_OVER;
    d->to_callee = ab->count;
    if (anchor_text_set(&d->tag, tag) != 0 ||
        anchor_text_set(&d->contact[0], anchor_text_get(&ab->a->contact)) != 0) {
        anchor_text_done(&d->tag);
        mem_free(d);
        return NULL;
    }
    list_append(&ab->a->dialogs, &d->node);
    ab->a->n_late++;
    return d;
}

/* A 2xx that is not passed: acknowledged, and ended (RFC 3261 13.2.2.4). */
static enum anchor_verdict hang_up_on(struct anchor_branch *ab, struct anchor_dialog *d,
                                      const struct sip_msg *m, const struct reason *why)
{
    if (!d && (d = late_dialog(ab, m->to_tag)) == NULL)
        return ANCHOR_DROP;
    anchor_learn_target(d, true, m);
    anchor_learn_routes(d, m);
    anchor_own_ack(d, true, m->cseq, STR_NULL);
    if (!d->is_hung_up)
        anchor_own_bye(d, true, why);
    d->is_hung_up = true;
    d->state = ANCHOR_OVER;
    return ANCHOR_DROP;
}

/* May the branch be tried once more, with another method of key management (RFC
 * 3261 21.4.26, 21.4.13, 21.6.4)? */
static bool may_try_again(struct anchor_branch *ab, const struct sip_msg *m)
{
    struct anchor_leg *far = ab->far;
    unsigned used, i;

    if ((m->status != 488 && m->status != 415 && m->status != 606) || !far || !far->keys ||
        !ab->offer_out.p || ab->far_taken)
        return false;
    used = far->without | far->offered | far->side.without;
    for (i = 0; i < far->place->policy.n_methods; i++) {
        unsigned id = far->place->policy.methods[i];

        if (!(used & (1u << id)) && (id != KEYING_SDES || ab->side.is_private))
            return true;
    }
    return false;
}

static enum anchor_verdict first_failure(struct anchor_branch *ab, const struct sip_msg *m)
{
    if (!may_try_again(ab, m))
        return ANCHOR_PASS;
    LOG(LOG_INFO, "offer-again", LS("call", anchor_text_get(&ab->a->call_id)),
        LU("status", m->status));
    ab->far->without |= ab->far->offered;
    ab->is_again = true;
    return ANCHOR_AGAIN;
}

/* Tags are for those who answer to choose: what another branch says by the same one is another
 * dialog. */
static struct anchor_dialog *branch_dialog(const struct anchor_branch *ab, struct str tag)
{
    LIST_EACH(d, &ab->a->dialogs, struct anchor_dialog, node)
    {
        if (d->b == ab && str_eq(anchor_text_get(&d->tag), tag))
            return d;
    }
    return NULL;
}

static enum anchor_verdict first_response(struct proxy *p, struct branch *b,
                                          const struct sip_msg *m, struct forward_changes *ret,
                                          struct reason *why)
{
    struct anchor *a = p->anchor;
    struct anchor_branch *ab = b->anchored;
    struct anchor_dialog *d;
    struct str text, out;
    int err;

    if (!ab || m->status <= 100 || !m->to_tag.n)
        return ANCHOR_PASS;
    if (m->status >= 300)
        return a->is_ended || p->canceled || p->final_sent ? ANCHOR_PASS : first_failure(ab, m);
    d = branch_dialog(ab, m->to_tag);
    if (m->status >= 200 && (a->is_ended || ab->is_refused || (a->answered && a->answered != d))) {
        struct reason late = {0};

        reason_set(&late, a->is_ended || ab->is_refused ? "call-ended" : "answered-elsewhere",
                   "RFC 3261 13.2.2.4", 487, NULL);
        if (a->answered && a->answered->b == ab)
            anchor_tell_branched(a->answered);
        return hang_up_on(ab, d, m, &late);
    }
    if (a->is_ended || ab->is_refused || a->answered != NULL) {
        if (m->status < 200 || a->answered != d)
            return ANCHOR_DROP;
    }
    if (!d && anchor_dialog_find(a, m->to_tag)) { /* the caller could not tell them apart */
        reason_set(why, "tag-taken", "RFC 3261 19.3", 502, "another branch has this To tag");
        goto refused;
    }
    if (!d && (d = dialog_new(ab, m->to_tag)) == NULL) {
        (void)no_memory(why);
        return ANCHOR_REFUSED;
    }
    anchor_learn_target(d, true, m);
    anchor_learn_routes(d, m);
    if ((err = anchor_body_find(m, &text, why)) != 0)
        goto refused;
    if (text.n) {
        err = first_description(d, m, text, &out, why);
        if (err != 0 || (err = pass_body(m, text, out, ret, why)) != 0)
            goto refused;
    } else if (m->status >= 200 && d->state != ANCHOR_CONFIRMED && !d->first_out.p &&
               d->ex.state == (a->offer.p ? ANCHOR_EX_OFFERED : ANCHOR_EX_NONE)) {
        reason_set(why, "no-description", "RFC 3261 13.2.1", 488,
                   "a 2xx without the description that it needs");
        goto refused;
    }
    if (m->status >= 200 && d->near && d->far && (d->near->failure.code || d->far->failure.code)) {
        *why = d->near->failure.code ? d->near->failure : d->far->failure;
        why->sip_status = 488;
        goto refused;
    }
    if (m->status >= 200 && d->state != ANCHOR_CONFIRMED)
        anchor_settle_on(d);
    return ANCHOR_PASS;
refused:
    LOG(LOG_NOTICE, "answer-refused", LS("call", anchor_text_get(&a->call_id)),
        LZ("reason", why->code), LZ("clause", why->clause), LZ("detail", why->detail));
    ab->is_refused = true;
    if (m->status >= 200)
        (void)hang_up_on(ab, d, m, why);
    return ANCHOR_REFUSED;
}

/* ---- inside a dialog ---- */

/* RAck names the INVITE by its number (RFC 3262 7.2). */
static int map_rack(const struct anchor_count *c, const struct sip_msg *m,
                    struct forward_changes *ret)
{
    const struct sip_hdr *h = sip_msg_hdr(m, SIP_H_RACK, 0);
    struct str rseq, cseq, method;
    uint32_t n;

    if (!h || c->invite_in == c->invite_out)
        return 0;
    method = str_cut(str_trim(str_cut(str_trim(h->value), ' ', &rseq)), ' ', &cseq);
    if (str_to_u32(cseq, UINT32_MAX, &n) != 0 || n != c->invite_in ||
        !str_eq(str_trim(method), STR("INVITE")))
        return 0;
    ret->rack = arena_fmt(m->arena, "%.*s %u INVITE", STR_FMT(rseq), c->invite_out);
    return ret->rack.p ? 0 : ERR_NOMEM;
}

static bool says_keys(struct str text)
{
    return text.n && memmem(text.p, text.n, "a=crypto:", 9) != NULL;
}

static int refuse_clear(struct reason *why)
{
    reason_set(why, "keys-over-clear", "RFC 4568 8", 488, "its keys would pass a hop in clear");
    return ERR_REFUSED;
}

/* The hops of now: a Contact may lead elsewhere than the INVITE went, a phone may have come by another
 * transport (RFC 4568 8). */
static void hops_set(struct anchor_dialog *d, bool from_caller, const struct path *in, const struct path *out)
{
    anchor_ex_leg(d, from_caller)->side.is_private = transport_is_secure(in->transport);
    if (out)
        anchor_ex_leg(d, !from_caller)->side.is_private = transport_is_secure(out->transport);
}

static int refuse_pending(const struct anchor_dialog *d, bool from_caller, struct reason *why)
{
    bool own_side = !d->ex.is_own && d->ex.from_caller == from_caller;

    /* RFC 3261 14.2, RFC 3311 5.2: glare, or the same side once more before it had its answer */
    reason_set(why, "offer-pending", own_side ? "RFC 3311 5.2" : "RFC 3261 14.2",
               own_side ? 500 : 491, "an offer is under way in this dialog");
    return ERR_REFUSED;
}

static int request_body(struct proxy *p, struct anchor_dialog *d, const struct sip_msg *m,
                        struct str text, const struct path *out, struct str *ret, struct reason *why)
{
    bool from_caller = p->from_caller, was_private = anchor_ex_leg(d, !from_caller)->side.is_private;

    hops_set(d, from_caller, &p->r->rx.path, out);

    if (m->method == SIP_PRACK && d->ex.state != ANCHOR_EX_NONE && d->ex.in_response &&
        d->ex.from_caller != from_caller) {
        if (d->ex.state ==
            ANCHOR_EX_OFFERED) /* the answer to an offer in a reliable 18x (RFC 3262 5) */
            return anchor_ex_answer(d, m, text, ret, why);
        if (anchor_is_repeated(&d->ex.answer_in, text))
            return anchor_keep_repeated(m, &d->ex.answer_out, ret, why);
    }
    if (d->ex.state == ANCHOR_EX_OFFERED) {
        if (!d->ex.is_own && !d->ex.in_response && d->ex.method == m->method &&
            d->ex.cseq == m->cseq && d->ex.from_caller == from_caller &&
            anchor_is_repeated(&d->ex.offer_in, text)) {
            p->had_offer = true;
            if (was_private && !anchor_ex_leg(d, !from_caller)->side.is_private)
                return refuse_clear(why);
            return anchor_keep_repeated(m, &d->ex.offer_out, ret, why); /* to the next server */
        }
        return refuse_pending(d, from_caller, why);
    }
    p->had_offer = true;
    d->answer_final = false;
    return anchor_ex_offer(d, from_caller, m, text, false, ret, why);
}

/* The same whenever it is asked, if no other has left meanwhile. */
static uint32_t number_of(struct branch *b, struct anchor_count *c, const struct sip_msg *m)
{
    struct anchor_number *n = &b->number;

    if (b->is_challenged || (n->out && anchor_count_is_overtaken(c, n)))
        *n = (struct anchor_number){anchor_count_again(c, m->cseq, m->method), c->left};
    else if (!n->out)
        *n = (struct anchor_number){anchor_count_map(c, m->cseq, m->method), c->left};
    return n->out;
}

static enum anchor_verdict later_request(struct proxy *p, struct branch *b, const struct path *hop,
                                         struct forward_changes *ret, struct reason *why)
{
    struct anchor_dialog *d = p->dialog;
    const struct sip_msg *m = p->r->m;
    struct anchor_count *c = p->from_caller ? &d->to_callee : &d->to_caller;
    struct str text, out;

    ret->cseq = number_of(b, c, m);
    ret->has_cseq = ret->cseq != m->cseq;
    if (m->method == SIP_PRACK && map_rack(c, m, ret) != 0) {
        (void)no_memory(why);
        return ANCHOR_REFUSED;
    }
    if (m->method == SIP_REFER)
        anchor_refer_note(d, p->from_caller, m->cseq, ret->cseq);
    else if (anchor_refer_map(d, p->from_caller, m, ret) != 0) {
        (void)no_memory(why);
        return ANCHOR_REFUSED;
    }
    if (m->method != SIP_INVITE && m->method != SIP_UPDATE && m->method != SIP_PRACK)
        return ANCHOR_PASS;
    if (anchor_body_find(m, &text, why) != 0)
        return ANCHOR_REFUSED;
    if (p->anchor->is_ended || !d->near || !d->far) {
        /* Nothing of it passes us any more, and nothing may pass by us. */
        if (m->method == SIP_PRACK && (!text.n || pass_body(m, text, STR_NULL, ret, why) == 0))
            return ANCHOR_PASS;
        reason_set(why, "call-ended", "RFC 3261 12.2.2", 481, NULL);
        return ANCHOR_REFUSED;
    }
    if (!text.n) {
        if (m->method == SIP_INVITE && d->ex.state == ANCHOR_EX_OFFERED) {
            (void)refuse_pending(d, p->from_caller, why);
            return ANCHOR_REFUSED;
        }
        if (m->method == SIP_INVITE)
            hops_set(d, p->from_caller, &p->r->rx.path, hop); /* the response has an offer */
        return ANCHOR_PASS;
    }
    if (request_body(p, d, m, text, hop, &out, why) != 0 ||
        (says_keys(out) && !transport_is_secure(hop->transport) && refuse_clear(why) != 0) ||
        pass_body(m, text, out, ret, why) != 0) {
        if (!why->code)
            (void)no_memory(why);
        return ANCHOR_REFUSED;
    }
    return ANCHOR_PASS;
}

/* A 2xx that comes again (its ACK was lost) when the dialog has gone on: what it describes has been
 * passed, and is no answer to what is under way now. */
static bool is_over(const struct proxy *p, const struct anchor_dialog *d, const struct sip_msg *m)
{
    if (p->had_offer)
        return d->ex.is_own || d->ex.in_response || d->ex.method != p->method ||
               d->ex.cseq != p->cseq || d->ex.from_caller != p->from_caller;
    return p->has_answer && !(d->ex.in_response && d->ex.cseq == m->cseq);
}

static enum anchor_verdict later_response(struct proxy *p, const struct sip_msg *m,
                                          struct forward_changes *ret, struct reason *why)
{
    struct anchor_dialog *d = p->dialog;
    struct str text, out = STR_NULL;
    int err;

    if (m->status <= 100 || m->status >= 300 || p->anchor->is_ended || !d->near || !d->far)
        return ANCHOR_PASS; /* failures: anchor_request_over */
    if ((p->method == SIP_INVITE || p->method == SIP_UPDATE) && anchor_is_reliable(m)) { /* RFC 6141 4.6 */
        if (p->r)
            anchor_learn_target(d, !p->from_caller, p->r->m);
        if (p->r && m->status >= 200)
            anchor_learn_name(d, !p->from_caller, p->r->m);
        anchor_learn_target(d, p->from_caller, m);
    }
    if (p->method == SIP_INVITE && m->status >= 200)
        d->is_acked = false; /* nothing of ours goes out before (RFC 3261 14.1) */
    if ((err = anchor_body_find(m, &text, why)) != 0)
        goto refused;
    if (!text.n) {
        if (m->status < 200 || !p->had_offer || d->ex.state != ANCHOR_EX_OFFERED || is_over(p, d, m))
            return ANCHOR_PASS;
        reason_set(why, "no-description", "RFC 3264 4", 488, "a 2xx without the answer");
        goto refused;
    }
    if (anchor_is_reliable(m) && !is_over(p, d, m)) { /* else no more than a hint (RFC 3261 13.2.1) */
        if (p->had_offer)
            err = anchor_ex_response_answer(d, m, text, &out, why);
        else if (p->method == SIP_INVITE)
            err = anchor_ex_response_offer(d, !p->from_caller, m, text, &out, why);
        p->has_answer = true;
    }
    if (err == 0)
        err = pass_body(m, text, out, ret, why);
    if (err == 0)
        return ANCHOR_PASS;
refused:
    /* The two sides do not agree any more on what they have: that cannot go on. */
    LOG(LOG_NOTICE, "answer-refused", LS("call", m->call_id), LZ("reason", why->code),
        LZ("detail", why->detail));
    if (m->status < 200)
        return ANCHOR_DROP;
    if (p->method == SIP_INVITE)
        anchor_own_ack(d, p->from_caller, m->cseq, STR_NULL);
    anchor_hang_up(p->anchor, why);
    return ANCHOR_REFUSED;
}

/* ---- entries ---- */

enum anchor_verdict anchor_request(struct proxy *p, struct branch *b, const struct path *out,
                                   struct forward_changes *ret, struct reason *why)
{
    if (p->dialog)
        return later_request(p, b, out, ret, why);
    if (sip_msg_in_dialog(p->r->m)) {
        reason_set(why, "no-such-dialog", "RFC 3261 12.2.2", 481, NULL);
        return ANCHOR_REFUSED;
    }
    if (p->anchor->is_ended) {
        reason_set(why, "call-ended", "RFC 3261 16.7", 487, NULL);
        return ANCHOR_REFUSED;
    }
    return first_request(p, b, out, ret, why);
}

void anchor_request_left(struct proxy *p, const struct branch *b, uint32_t cseq)
{
    if (p->dialog)
        anchor_count_left(p->from_caller ? &p->dialog->to_callee : &p->dialog->to_caller, cseq);
    else if (b->anchored)
        anchor_count_left(&b->anchored->count, cseq);
}

enum anchor_verdict anchor_response(struct proxy *p, struct branch *b, const struct sip_msg *m,
                                    struct forward_changes *ret, struct reason *why)
{
    ret->cseq = p->cseq;
    ret->has_cseq = m->cseq != p->cseq;
    return p->dialog ? later_response(p, m, ret, why) : first_response(p, b, m, ret, why);
}

void anchor_refuse_answer(struct proxy *p, struct branch *b, const struct sip_msg *m,
                          const struct reason *why)
{
    struct anchor_branch *ab = b->anchored;
    struct anchor_dialog *d = p->dialog;

    if (!d) {
        if (!ab)
            return;
        ab->is_refused = true;
        (void)hang_up_on(ab, branch_dialog(ab, m->to_tag), m, why);
        return;
    }
    if (p->method == SIP_INVITE)
        anchor_own_ack(d, p->from_caller, m->cseq, STR_NULL);
    if (p->anchor->is_ended)
        return;
    if (d->state == ANCHOR_EARLY) { /* UPDATE, PRACK: what it is early for ends with it (RFC 3261 15) */
        d->state = ANCHOR_OVER;
        anchor_own_bye(d, true, why);
    } else {
        anchor_hang_up(p->anchor, why);
    }
}

void anchor_branch_over(struct proxy *p, struct branch *b)
{
    struct anchor *a = p->anchor;
    struct anchor_branch *ab = b->anchored;

    if (!ab || a->is_ended || (a->answered && a->answered->b == ab) || p->dialog)
        return;
    LIST_EACH(d, &a->dialogs, struct anchor_dialog, node)
    {
        if (d->b != ab)
            continue;
        if (d->far != ab->far)
            anchor_leg_free(d->far);
        if (d->near != ab->near)
            anchor_leg_free(d->near);
        d->far = d->near = NULL;
        d->state = ANCHOR_OVER;
        if (!d->is_hung_up)
            anchor_text_done(&d->tag); /* nobody is found by it any more: who says it now is another */
    }
    anchor_leg_free(ab->far);
    if (ab->near != a->caller)
        anchor_leg_free(ab->near);
    ab->far = ab->near = NULL;
    ab->far_taken = false;
    anchor_text_done(&ab->offer_out); /* should it be sent to another server: with another offer */
}

bool anchor_is_call(const struct proxy *p)
{
    return !p->anchor || (p->dialog && p->dialog == p->anchor->answered);
}

void anchor_request_over(struct proxy *p, unsigned status)
{
    struct anchor *a = p->anchor;
    struct anchor_dialog *d = p->dialog;

    if (!a || status < 200)
        return;
    if (!d) {
        if (p->method == SIP_INVITE && status >= 300 && !a->answered)
            anchor_end(a);
        return;
    }
    if (status >= 300 && p->had_offer && d->ex.method == p->method && d->ex.cseq == p->cseq &&
        !d->ex.is_own && d->ex.from_caller == p->from_caller)
        anchor_ex_rollback(d);
    if (p->method != SIP_BYE || status == 401 || status == 407)
        return;
    d->state = ANCHOR_OVER;
    if (d == a->answered) /* of an early dialog: the INVITE's own end follows */
        anchor_end(a);
}

enum anchor_verdict anchor_ack(struct edge_req *r, struct forward_changes *ret)
{
    struct anchor_dialog *d;
    struct anchor *a = anchor_of(r, &d);
    const struct sip_msg *m = r->m;
    struct reason why = {0};
    struct anchor_count *c;
    struct str text, out = STR_NULL;
    int err;

    if (!a)
        return ANCHOR_PASS;
    if (!d || a->is_ended || !d->near || !d->far) {
        anchor_unref(a);
        return ANCHOR_PASS;
    }
    c = r->from_caller ? &d->to_callee : &d->to_caller;
    ret->cseq = m->cseq == c->invite_in ? c->invite_out : (uint32_t)((int64_t)m->cseq + c->offset);
    ret->has_cseq = ret->cseq != m->cseq;
    hops_set(d, r->from_caller, &r->rx.path, NULL);
    err = anchor_body_find(m, &text, &why);
    if (err == 0 && d->ex.state == ANCHOR_EX_OFFERED && d->ex.in_response &&
        d->ex.from_caller != r->from_caller) {
        if (text.n)
            err = anchor_ex_answer(d, m, text, &out, &why);
        else {
            reason_set(&why, "no-description", "RFC 3261 13.2.1", 488, "an ACK without the answer");
            err = ERR_REFUSED;
        }
    } else if (err == 0 && text.n && d->ex.in_response && anchor_is_repeated(&d->ex.answer_in, text)) {
        err = anchor_keep_repeated(m, &d->ex.answer_out, &out, &why);
    }
    if (err == 0 && text.n)
        err = pass_body(m, text, out, ret, &why);
    if (err == 0 && !d->is_acked) {
        d->is_acked = true;
        if (d->wants_rekey[0] || d->wants_rekey[1])
            wheel_start(a->w->net->wheel, &d->timer, REKEY_AFTER_ACK_MS);
    }
    if (err != 0 && !a->is_ended) {
        anchor_own_ack(d, r->from_caller, ret->cseq, STR_NULL);
        anchor_hang_up(a, &why);
    }
    anchor_unref(a);
    return err == 0 ? ANCHOR_PASS : ANCHOR_DROP;
}

bool anchor_ack_may_leave(struct edge_req *r, const struct path *out, const struct forward_changes *changes)
{
    struct anchor_dialog *d;
    struct reason why = {0};
    struct anchor *a;

    if (transport_is_secure(out->transport) || !says_keys(changes->body))
        return true;
    (void)refuse_clear(&why);
    a = anchor_of(r, &d);
    if (a && d && !a->is_ended) { /* an answer that nobody can refuse, and that must not be heard */
        anchor_own_ack(d, r->from_caller, changes->has_cseq ? changes->cseq : r->m->cseq, STR_NULL);
        anchor_hang_up(a, &why);
    }
    anchor_unref(a);
    return false;
}

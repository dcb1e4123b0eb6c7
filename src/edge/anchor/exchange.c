/* Offers and answers within a dialog of an anchored call: one at a time, from one side to the
 * other, and what is said again. RFC 3264 4, 8; RFC 3261 13.2.1, 14; RFC 3262 5; RFC 6337 2. Worker
 * thread. */
#include "base/mem.h"
#include "edge/anchor/anchor_priv.h"
#include "sdp/answer.h"

static int no_memory(struct reason *why)
{
    reason_set(why, "no-memory", NULL, 500, NULL);
    return ERR_NOMEM;
}

struct anchor_leg *anchor_ex_leg(struct anchor_dialog *d, bool caller)
{
    return caller ? d->near : d->far;
}

static int check_next(const struct anchor_leg *x, struct sdp *s, struct reason *why)
{
    struct sdp *before;
    bool is_same;
    int err;

    if (!x->in.p)
        return 0;
    err = sdp_parse(s->arena, anchor_text_get(&x->in), &before, why);
    return err != 0 ? err : sdp_next_check(before, s, &is_same, why);
}

/* An offer by one side, on its way to the other. */
int anchor_ex_offer(struct anchor_dialog *d, bool from_caller, const struct sip_msg *m,
                    struct str text, bool in_response, struct str *ret, struct reason *why)
{
    struct anchor_leg *x = anchor_ex_leg(d, from_caller), *y = anchor_ex_leg(d, !from_caller);
    bool rekey = d->wants_rekey[from_caller]; /* then it need not wait for an offer of our own */
    struct sdp *s;
    int err;

    if ((err = sdp_parse(m->arena, text, &s, why)) != 0 || (err = check_next(x, s, why)) != 0)
        return err;
    if ((err = anchor_offer_take(x, s, why)) == 0)
        err = anchor_offer_make(y, x, s, rekey, m->arena, ret, why);
    anchor_exchange_done(&d->ex);
    if (err == 0 && (anchor_text_set(&d->ex.offer_in, text) != 0 ||
                     anchor_text_set(&d->ex.offer_out, *ret) != 0))
        err = no_memory(why);
    if (err != 0) {
        anchor_rollback(x, y);
        return err;
    }
    d->ex.state = ANCHOR_EX_OFFERED;
    d->ex.from_caller = from_caller;
    d->ex.in_response = in_response;
    d->ex.has_rekey = rekey;
    d->ex.method = m->method;
    d->ex.cseq = m->cseq;
    return 0;
}

/* Sections that the answer does not have, in a dialog that is settled: their ports and keys go. */
void anchor_ex_trim(struct anchor_leg *x, struct anchor_leg *y)
{
    unsigned i;

    for (i = 0; i < y->n; i++)
        if (!y->sec[i].is_taken) {
            anchor_leg_close(x, i);
            anchor_leg_close(y, i);
        }
}

int anchor_ex_answer(struct anchor_dialog *d, const struct sip_msg *m, struct str text,
                     struct str *ret, struct reason *why)
{
    const struct keying_tell answered = {.kind = KEYING_TELL_ANSWERED};
    struct anchor_leg *x = anchor_ex_leg(d, d->ex.from_caller),
                      *y = anchor_ex_leg(d, !d->ex.from_caller);
    struct sdp *s;
    int err = sdp_parse(m->arena, text, &s, why);

    if (err == 0)
        err = anchor_answer_take(y, x, s, why);
    if (err == 0)
        err = anchor_answer_make(x, y, s, m->arena, ret, why);
    if (err == 0 && (anchor_text_set(&x->in, anchor_text_get(&d->ex.offer_in)) != 0 ||
                     anchor_text_set(&d->ex.answer_in, text) != 0 ||
                     anchor_text_set(&d->ex.answer_out, *ret) != 0))
        err = no_memory(why);
    if (err != 0)
        return err;
    if (x->keys)
        relay_keys_tell(x->keys, -1, &answered);
    d->ex.state = ANCHOR_EX_ANSWERED;
    if (d->ex.has_rekey)
        d->wants_rekey[d->ex.from_caller] = false;
    anchor_legs_join(x, y);
    if (d->state == ANCHOR_CONFIRMED)
        anchor_ex_trim(x, y);
    return 0;
}

void anchor_ex_rollback(struct anchor_dialog *d)
{
    if (d->ex.state != ANCHOR_EX_OFFERED)
        return;
    if (!d->a->is_ended && d->near && d->far)
        anchor_rollback(anchor_ex_leg(d, d->ex.from_caller), anchor_ex_leg(d, !d->ex.from_caller));
    anchor_exchange_done(&d->ex);
}

bool anchor_is_repeated(const struct anchor_text *t, struct str s)
{
    return t->p && str_eq(anchor_text_get(t), s);
}

/* In the message's arena, as everything that is changed in it. */
int anchor_keep_repeated(const struct sip_msg *m, const struct anchor_text *t, struct str *ret,
                         struct reason *why)
{
    *ret = arena_str(m->arena, anchor_text_get(t));
    return ret->p ? 0 : no_memory(why);
}

/* Another answer than the one before, in the same dialog: early media came from a server (RFC
 * 3261 13.2.1 wants them equal; many are not). It counts as the answer of another fork does. */
static int answer_anew(struct anchor_dialog *d, struct reason *why)
{
    struct anchor_leg *twin = anchor_leg_fork(d->far);

    if (!twin)
        return no_memory(why);
    if (d->b->far == d->far)
        d->b->far = twin;
    anchor_leg_free(d->far);
    d->far = twin;
    d->ex.state = ANCHOR_EX_OFFERED;
    return 0;
}

bool anchor_is_reliable(const struct sip_msg *m)
{
    return m->status >= 200 ||
           (sip_msg_has(m, SIP_H_RSEQ) && sip_msg_has_token(m, SIP_H_REQUIRE, STR("100rel")));
}

/* The answer to the offer in the request, for the first time or again. */
int anchor_ex_response_answer(struct anchor_dialog *d, const struct sip_msg *m, struct str text,
                              struct str *ret, struct reason *why)
{
    int err;

    if (d->ex.state == ANCHOR_EX_ANSWERED) {
        if (d->answer_final || anchor_is_repeated(&d->ex.answer_in, text)) {
            d->answer_final |= anchor_is_reliable(m);
            return anchor_keep_repeated(m, &d->ex.answer_out, ret, why);
        }
        if ((err = answer_anew(d, why)) != 0)
            return err;
    }
    if ((err = anchor_ex_answer(d, m, text, ret, why)) != 0)
        return err;
    d->answer_final = anchor_is_reliable(m);
    return 0;
}

/* An offer in a response: the request had none. Before it is reliable it says nothing that counts
 * (RFC 3262 5). */
int anchor_ex_response_offer(struct anchor_dialog *d, bool by_caller, const struct sip_msg *m,
                             struct str text, struct str *ret, struct reason *why)
{
    *ret = STR_NULL;
    if (!anchor_is_reliable(m))
        return 0;
    if (d->ex.state != ANCHOR_EX_NONE && d->ex.in_response && d->ex.cseq == m->cseq) {
        if (anchor_is_repeated(&d->ex.offer_in, text))
            return anchor_keep_repeated(m, &d->ex.offer_out, ret, why);
        return 0; /* after a reliable 18x with the offer the 2xx repeats nothing that counts */
    }
    if (d->ex.state == ANCHOR_EX_OFFERED) {
        reason_set(why, "offer-pending", "RFC 3264 4", 488,
                   "an offer before the last one was answered");
        return ERR_REFUSED;
    }
    return anchor_ex_offer(d, by_caller, m, text, true, ret, why);
}

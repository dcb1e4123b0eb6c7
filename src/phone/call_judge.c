/* Within a call: whose keys they are (RFC 8862 4.3, 4.4; RFC 8224 6.2; RFC 4916 4.4.1; RFC 9970).
 * What begins a call is judged in call_in.c and call_out.c; here is what may change its keys later:
 * their offers, in re-INVITE and UPDATE, and their answers to ours. In a call whose keys the other
 * user has signed itself, other keys are taken only where they are signed likewise: who could put
 * its own in between without that would have been kept out at the beginning for nothing. The same
 * keys need no signature again. An offer is refused then, and the session stays as it was (RFC
 * 3261 14.2); an answer cannot be, and the call ends.
 *
 * One judgement a call: what comes meanwhile is told to wait (491). Owner and thread: the phone's.
 */
#include "phone/phone_priv.h"
#include "phone/verify.h"

static bool is_signed_by_user(const struct identity_result *r)
{
    return r && r->verdict == IDENTITY_VALID && r->by_user && r->keys_bound;
}

/* The check whose keys count. */
static const struct identity_result *signed_keys(const struct call *c)
{
    const struct identity_result *r = c->check ? phone_check_result(c->check) : NULL;
    return is_signed_by_user(r) ? r : NULL;
}

/* Does it tell no keys, or those that were signed? What cannot be read has others. */
static bool has_no_others(const struct call *c, const struct sip_msg *m)
{
    const struct identity_result *r = signed_keys(c);
    const struct passport_key *v;
    size_t n;
    if (r == NULL || !m->body.n)
        return true;
    const struct passport *t = &r->token->p;
    if (phone_check_keys(m, &v, &n) != 0 || n != t->n_mky)
        return false;
    for (size_t i = 0; i < n; i++)
        if (!str_eq(v[i].alg, t->mky[i].alg) || !str_eq(v[i].dig, t->mky[i].dig))
            return false;
    return true;
}

/* `r`: of its signatures; NULL: it has none. */
static bool is_refused(const struct identity_result *r, bool claims_user, bool has_others,
                       struct reason *why)
{
    if (r &&
        (r->verdict == IDENTITY_CONTRADICTED || (r->verdict != IDENTITY_VALID && claims_user))) {
        *why = r->why;
        return true;
    }
    if (!has_others || is_signed_by_user(r))
        return false;
    if (r && r->verdict != IDENTITY_VALID)
        *why = r->why;
    else
        reason_set(why, "keys-not-signed", "RFC 8862 4.4", 428,
                   "other media keys, and the user who signed the ones before has not signed them");
    return true;
}

static void say(struct call *c, const struct identity_result *r, const struct reason *why)
{
    struct identity_result none = {.verdict = IDENTITY_ABSENT, .why = *why};
    struct phone *p = c->p;
    if (p->user.on_verified)
        p->user.on_verified(p->user.arg, c->id, STR_NULL,
                            r && r->verdict != IDENTITY_VALID ? r : &none);
}

/* It is taken: what proves the keys in use stays, and the rest of what was signed is told. */
static void adopt(struct call *c, struct phone_check *check)
{
    const struct identity_result *r = check ? phone_check_result(check) : NULL;
    if (r == NULL)
        return;
    struct phone *p = c->p;
    if (r->verdict == IDENTITY_VALID && p->user.on_verified)
        p->user.on_verified(p->user.arg, c->id, phone_check_who(check), r);
    if (r->verdict != IDENTITY_VALID || (signed_keys(c) && !is_signed_by_user(r))) {
        phone_check_free(check);
        return;
    }
    phone_check_free(c->check);
    c->check = check;
}

static struct phone_check *take_check(struct call *c)
{
    struct phone_check *check = c->judged.check;
    c->judged.check = NULL;
    return check;
}

/* ---- their offers ---- */

static bool offer_passes(struct call *c, struct sip_stx *tx, const struct sip_msg *m,
                         struct phone_check *check)
{
    const struct identity_result *r = check ? phone_check_result(check) : NULL;
    struct reason why = {0};
    if (!is_refused(r, check && phone_claims_user(m), !has_no_others(c, m), &why)) {
        adopt(c, check);
        return true;
    }
    say(c, r, &why);
    phone_check_free(check);
    phone_reply_why(c->p, tx, why.sip_status ? why.sip_status : 438, &why);
    return false;
}

static void on_offer_judged(void *arg, const struct identity_result *unused)
{
    struct call *c = arg;
    struct sip_stx *tx = c->judged.tx;
    struct sip_msg *m = sip_stx_msg(tx);
    (void)unused;
    c->judged.tx = NULL;
    if (offer_passes(c, tx, m, take_check(c)))
        call_offer_judged(c, tx, m, &c->judged.path);
}

int call_judge_offer(struct call *c, struct sip_stx *tx, const struct sip_msg *m,
                     const struct path *path)
{
    struct phone *p = c->p;
    struct phone_check *check = NULL;
    if (p->cfg->verifier != NULL && sip_msg_has(m, SIP_H_IDENTITY)) {
        int err =
            phone_check_new(p->cfg->verifier, m, net_wall_s(p->net), on_offer_judged, c, &check);
        if (err == ERR_AGAIN) {
            c->judged.check = check;
            c->judged.tx = tx;
            c->judged.path = *path;
            return err;
        }
        if (err != 0) {
            phone_reply(p, tx, err == ERR_NOMEM ? 500 : 438);
            return ERR_REFUSED;
        }
    }
    return offer_passes(c, tx, m, check) ? 0 : ERR_REFUSED;
}

/* ---- their answers ---- */

static void answer_done(struct call *c, struct phone_check *check)
{
    const struct identity_result *r = check ? phone_check_result(check) : NULL;
    struct reason why = {0};
    if (!is_refused(r, false, c->judged.has_others, &why)) {
        adopt(c, check);
        return;
    }
    say(c, r, &why);
    phone_check_free(check);
    call_because(c, why.sip_status ? why.sip_status : 438, &why);
    call_event(c, CALL_E_HANG_UP, NULL);
}

static void on_answer_judged(void *arg, const struct identity_result *unused)
{
    struct call *c = arg;
    (void)unused;
    answer_done(c, take_check(c));
}

void call_judge_answer(struct call *c, const struct sip_msg *m)
{
    struct phone *p = c->p;
    struct phone_check *check = NULL;
    call_judge_stop(c);
    c->judged.has_others = !has_no_others(c, m);
    if (p->cfg->verifier != NULL && !m->is_request && sip_msg_has(m, SIP_H_IDENTITY) &&
        phone_check_new(p->cfg->verifier, m, net_wall_s(p->net), on_answer_judged, c, &check) ==
            ERR_AGAIN) {
        c->judged.check = check;
        return;
    }
    answer_done(c, check);
}

/* ---- its end ---- */

bool call_is_judging(const struct call *c)
{
    return c->judged.check != NULL;
}

void call_judge_stop(struct call *c)
{
    struct sip_stx *tx = c->judged.tx;
    c->judged.tx = NULL;
    phone_check_free(take_check(c));
    if (tx != NULL && !sip_stx_is_final(tx))
        phone_reply(c->p, tx, 487); /* RFC 3261 15.1.2 */
}

void call_judge_gone(struct call *c, const struct sip_stx *tx)
{
    if (c->judged.tx == NULL || (tx != NULL && c->judged.tx != tx))
        return;
    c->judged.tx = NULL;
    phone_check_free(take_check(c));
}

/* What a response context learns of its call's security (facts.h), noted where it is learnt. Worker thread. */
#include "edge/status/calls.h"
#include "edge/status/facts.h"
#include "edge/admit/asserted.h"
#include "edge/admit/gateway_mark.h"
#include "edge/identity/service.h"
#include "edge/proxy/proxy_priv.h"
#include "edge/identity/smime.h"

bool proxy_begins_call(const struct proxy *p)
{
    return p->method == SIP_INVITE && !sip_msg_in_dialog(p->r->m);
}

/* What a transaction within a dialog has agreed on: of its request's offer and the answer to it, of an answer in PRACK (RFC 3262 5),
 * or an offer that the ACK will answer. */
static void note_descriptions(const struct proxy *p, const struct sip_msg *m)
{
    struct facts_media said, answer;
    bool asked = facts_describe(p->r->m, &said), answered = facts_describe(m, &answer);

    if (asked && answered) {
        facts_agree(&said, &answer, &said);
        calls_said(p->w, p->call_slot, p->call_gen, FACTS_AGREED, &said);
    } else if (asked && p->method == SIP_PRACK) {
        calls_said(p->w, p->call_slot, p->call_gen, FACTS_ANSWER, &said);
    } else if (answered && p->method == SIP_INVITE) {
        calls_said(p->w, p->call_slot, p->call_gen, FACTS_OFFER, &answer);
    }
}

/* The caller has a description of this dialog that nobody has signed, and goes by the first that it gets, whatever a signed one says
 * later (RFC 3261 13.2.1). A second one, of another phone or not, is remembered no better than that there was one. */
static bool is_told_otherwise(const struct facts_call *f, const struct sip_msg *m)
{
    return f->has_unsigned || (f->unsigned_tag == str_hash(m->to_tag) && f->unsigned_said != str_hash(m->body));
}

/* An anchored call takes what is signed instead of what came before and was not reliable (anchor/pass.c). */
static void note_unsigned(const struct branch *b, struct facts_call *f, const struct sip_msg *m)
{
    bool is_bound = b->vouch ? policy_bound_from(&b->vouch->result) != POLICY_BOUND_NONE
                             : sip_msg_has(m, SIP_H_IDENTITY); /* judged before */

    is_bound |= b->smime ? b->smime->bound != POLICY_BOUND_NONE
                         : f->answer_tag == str_hash(m->to_tag) && f->answer_said == str_hash(m->body);
    uint64_t tag, said;

    if (!b->is_judged || !m->body.n || is_bound || (b->p->anchor && m->status < 200 && !sip_msg_has(m, SIP_H_RSEQ)))
        return;
    tag = str_hash(m->to_tag);
    said = str_hash(m->body);
    f->has_unsigned |= f->unsigned_tag && (f->unsigned_tag != tag || f->unsigned_said != said);
    f->unsigned_tag = tag;
    f->unsigned_said = said;
}

/* `m`: the answer; NULL: there is none yet. */
static void note_callee(const struct branch *b, struct facts_call *f, const struct path *path, const struct hop_facts *hop,
                        const struct sip_msg *m)
{
    struct facts_party party;

    facts_callee(&party, b->p->r, b->t, path, hop, branch_is_redirected(b));
    f->answer_tag = f->answer_said = 0;
    if (m && b->vouch) {
        facts_answered(&party, b->vouch, m->to.uri, m->arena);
        party.signed_keys = facts_fingerprints_of(m);
        party.signed_other = facts_other_keys_of(m);
    }
    if (m && b->smime)
        facts_smime_answered(&party, b->smime, m->to.uri, m->arena);
    if (m && (b->vouch || b->smime)) {
        if (is_told_otherwise(f, m))
            party.signed_bound = party.body_bound = POLICY_BOUND_NONE;
        f->answer_tag = str_hash(m->to_tag);
        f->answer_said = str_hash(m->body);
    }
    if (m && (!b->t->to_user || b->t->peer) && gateway_is_marked(m))
        party.ends_at = POLICY_ENDS_GATEWAY;
    facts_set_callee(f, &party);
    f->user[POLICY_CALLEE] =
        b->t->aor.n && !b->t->peer ? principal_id(&(struct principal){.kind = PRINCIPAL_USER, .name = b->t->aor}) : 0;
    f->callee_of = hop || !path->flow ? b : NULL;
}

/* Somebody is called: who answers may be another. A connection that is only being made is looked at again when the answer comes. */
void proxy_note_called(const struct branch *b, const struct path *path)
{
    struct facts_call *f = proxy_begins_call(b->p) ? calls_facts(b->p->w, b->p->call_slot, b->p->call_gen) : NULL;

    if (f && !f->has_callee)
        note_callee(b, f, path, path->flow ? net_facts(b->p->w->net, path->flow) : NULL, NULL);
}

/* A signature vouches for the phone that it was made for, and the description that came with it: for no other phone behind the same
 * peer, and for no description that came later without one. */
static bool is_of_another(const struct facts_call *f, const struct sip_msg *m)
{
    return f->answer_tag && (f->answer_tag != str_hash(m->to_tag) || (m->body.n && f->answer_said != str_hash(m->body)));
}

/* What request and answer of a dialog's transaction show of who sent them (RFC 4916 4; TR/100 7.5.4). Of calls that another worker has
 * nothing is noted but that their keys are others (facts_later): what they lose by that is the proof. */
static void note_sides(const struct branch *b, const struct sip_msg *m)
{
    const struct proxy *p = b->p;
    const struct call_info *c = calls_find(p->w, p->call_slot, p->call_gen);
    struct facts_call *f = calls_facts(p->w, p->call_slot, p->call_gen);

    if (!c || !f || !f->has_callee || !p->r->has_token)
        return;
    facts_focus(f, p->r->from_caller ? POLICY_CALLER : POLICY_CALLEE, p->r->m);
    facts_focus(f, p->r->from_caller ? POLICY_CALLEE : POLICY_CALLER, m);
    facts_in_dialog(f, p->r->from_caller ? POLICY_CALLER : POLICY_CALLEE, p->r->m, p->r->vouch, p->r->from_caller ? c->from : c->to, c->to);
    facts_smime_later(f, p->r->from_caller ? POLICY_CALLER : POLICY_CALLEE, p->r->smime, m->arena);
    facts_in_dialog(f, p->r->from_caller ? POLICY_CALLEE : POLICY_CALLER, m, b->vouch, p->r->from_caller ? c->to : c->from, c->to);
    facts_smime_later(f, p->r->from_caller ? POLICY_CALLEE : POLICY_CALLER, b->smime, m->arena);
}

/* NULL where it has ended since, or is another worker's. */
static const struct hop_facts *hop_now(const struct proxy *p, const struct path *path, const struct hop_facts *seen)
{
    static const struct hop_facts clear = {.secure = false};

    if (seen)
        return seen;
    return transport_is_secure(path->transport) ? net_facts(p->w->net, path->flow) : &clear;
}

/* A phone that has moved is on another hop from then on, and what it says of its keys came along that one. A hop that cannot be seen is
 * not better than what is known. An answer that was held until it was judged may have come by such a one, too. */
static void note_hops(const struct branch *b, const struct rx *rx)
{
    const struct proxy *p = b->p;
    const struct path *from = &p->r->rx.path;
    const struct hop_facts *hop;

    if (!p->r->has_token)
        return;
    if ((hop = hop_now(p, from, NULL)) != NULL)
        calls_hop(p->w, p->call_slot, p->call_gen, p->from_caller ? POLICY_CALLER : POLICY_CALLEE, hop, from->transport);
    if ((hop = hop_now(p, &rx->path, rx->hop)) != NULL)
        calls_hop(p->w, p->call_slot, p->call_gen, p->from_caller ? POLICY_CALLEE : POLICY_CALLER, hop, rx->path.transport);
}

/* PRACK belongs to one early dialog of several: what is known of the callee may be of another one (RFC 3262 4). */
static bool is_of_noted(const struct branch *b, const struct sip_msg *m)
{
    const struct facts_call *f = calls_facts(b->p->w, b->p->call_slot, b->p->call_gen);

    return b->p->method == SIP_PRACK && f && f->answer_tag && f->answer_tag == str_hash(b->p->from_caller ? m->to_tag : m->from_tag);
}

/* TR/100 7.5.4, 7.2.3: an answer proves nothing of who sent it but by a signature. Of a gateway nobody would expect one (7.7). */
static void note_unproven(const struct branch *b, struct facts_call *f, const struct sip_msg *m)
{
    bool is_signed = b->vouch ? b->vouch->result.verdict != IDENTITY_ABSENT : f->answer_tag == str_hash(m->to_tag);

    f->party[POLICY_CALLEE].identity.is_unsigned_answer =
        m->status >= 200 && b->is_judged && !is_signed && !(b->peer && b->peer->kind == CONFIG_GATEWAY);
}

/* Who answers by the word of a peer that is believed (RFC 3325 9.1 has it in responses, too). */
static void note_asserted(const struct branch *b, struct facts_call *f, const struct sip_msg *m)
{
    struct str who = asserted_who_answers(m, b->p->snap->cfg, b->peer, branch_way(b) ? &branch_way(b)->local : NULL);

    if (who.n && !str_eq(who, f->party[POLICY_CALLEE].identity.asserted))
        facts_asserted(f, POLICY_CALLEE, who, asserted_is_shown(m), asserted_is_of_peer(b->peer, who));
}

static void note_answer(struct branch *b, const struct sip_msg *m, const struct rx *rx)
{
    const struct proxy *p = b->p;
    struct facts_call *f;
    struct facts_media media;

    if (!p->r || !b->t || !p->call_gen || m->status <= 100)
        return;
    if (m->status >= 300) { /* nobody is reached, but which hop was used is known now */
        f = proxy_begins_call(p) ? calls_facts(p->w, p->call_slot, p->call_gen) : NULL;
        if (f && !f->callee_of)
            note_callee(b, f, sip_ctx_path(b->ctx), rx->hop, NULL);
        return;
    }
    if (!proxy_begins_call(p)) {
        if (m->status >= 200 && (p->method == SIP_INVITE || p->method == SIP_UPDATE || is_of_noted(b, m)))
            note_sides(b, m);
        if (m->status >= 200 && (p->method == SIP_INVITE || p->method == SIP_UPDATE))
            note_hops(b, rx);
        if (p->method == SIP_INVITE || p->method == SIP_UPDATE || p->method == SIP_PRACK) {
            facts_later(p->w, p->call_slot, p->call_gen, p->r->m, p->from_caller);
            facts_later(p->w, p->call_slot, p->call_gen, m, !p->from_caller);
        }
        if (!p->anchor && m->status >= 200 && (p->method == SIP_INVITE || p->method == SIP_UPDATE || p->method == SIP_PRACK))
            note_descriptions(p, m);
        return;
    }
    f = calls_facts(p->w, p->call_slot, p->call_gen);
    if (!f)
        return;
    note_unsigned(b, f, m);
    if (f->callee_of != b || b->vouch || b->smime || is_of_another(f, m) || gateway_is_marked(m))
        note_callee(b, f, sip_ctx_path(b->ctx), rx->hop, m);
    facts_focus(f, POLICY_CALLEE, m);
    note_asserted(b, f, m);
    note_unproven(b, f, m);
    if (!p->anchor && facts_describe(m, &media))
        facts_said(f, p->r->m->body.n ? FACTS_ANSWER : FACTS_OFFER, &media);
}

void proxy_note_answer(struct branch *b, const struct sip_msg *m, const struct rx *rx)
{
    note_answer(b, m, rx);
    if (m->status >= 200 && m->status < 300 && b->p->call_gen)
        calls_changed(b->p->w, b->p->call_slot, b->p->call_gen);
}

void proxy_note_vouch(const struct proxy *p)
{
    bool is_signed = p->r->vouch || p->r->smime;
    const struct call_info *c = is_signed && proxy_begins_call(p) ? calls_find(p->w, p->call_slot, p->call_gen) : NULL;

    if (!c)
        return;
    facts_vouched(calls_facts(p->w, p->call_slot, p->call_gen), p->r, c->from);
    facts_smime(calls_facts(p->w, p->call_slot, p->call_gen), p->r, c->from);
}

/* What signed bodies add to the facts of a call (facts.h): who it is, and what keys are bound by.
 * RFC 3893 6, 7; RFC 3261 23.3; TR/100 7.5.2, 8.3. Worker thread. */
#include "edge/status/facts.h"
#include "edge/identity/show.h"
#include "edge/identity/smime.h"

/* Is it signed for the one whom the status names? Others may sign as well, for a name of their own,
 * and vouch for nobody's keys by that (RFC 8862 4.4). */
static bool is_of_party(const struct facts_party *p, const struct smime_vouch *v, struct arena *a)
{
    struct str address = p->identity.address;
    struct passport_id named, signed_for;

    if (address.n && address.p[0] == '+') /* as a token has a number */
        address = arena_fmt(a, "tel:%.*s", STR_FMT(address));
    return v->who.n && identity_show_uri(a, address, NULL, true, &named) == 0 &&
           identity_show_uri(a, v->who, NULL, true, &signed_for) == 0 &&
           passport_id_eq(named, signed_for);
}

/* RFC 3893: what is signed of who calls. Of two signatures that hold the one of RFC 8224 is told.
 */
static void name_by_smime(struct facts_party *p, const struct smime_vouch *v, struct str from)
{
    struct policy_identity *id = &p->identity;
    bool is_user = v->authority == IDENTITY_BY_USER;

    id->by_user |= is_user;
    if (id->known == POLICY_ID_VERIFIED && id->verdict == IDENTITY_VALID)
        return;
    id->known = POLICY_ID_VERIFIED;
    id->authority = v->authority;
    id->reached = v->reached;
    id->by_user = is_user;
    id->by = facts_signer(v->authority, from);
    if (p->ends_at == POLICY_ENDS_UNKNOWN)
        p->ends_at = p->hints ? POLICY_ENDS_MAYBE_GATEWAY : POLICY_ENDS_USER;
}

static void bind_by_smime(struct facts_party *p, const struct smime_vouch *v)
{
    if (v->bound >= p->signed_bound) {
        p->signed_bound = v->bound;
        p->signed_keys = facts_fingerprints(v->description);
    }
    if (v->body_bound >= p->body_bound) {
        p->body_bound = v->body_bound;
        p->signed_other = facts_other_keys(v->description);
    }
}

static void note_smime(struct facts_party *p, const struct smime_vouch *v)
{
    p->identity.smime = v->state;
    p->identity.smime_why = v->why.code;
}

void facts_smime(struct facts_call *f, const struct edge_req *r, struct str from)
{
    struct facts_party *p = &f->party[POLICY_CALLER];

    if (!r->smime)
        return;
    note_smime(p, r->smime);
    if (!is_of_party(p, r->smime, r->m->arena))
        return;
    if (r->smime->state == POLICY_SMIME_NAMES)
        name_by_smime(p, r->smime, from);
    bind_by_smime(p, r->smime);
}

void facts_smime_later(struct facts_call *f, unsigned side, const struct smime_vouch *v,
                       struct arena *a)
{
    struct facts_party *p = &f->party[side];

    if (v && v->state == POLICY_SMIME_CONTRADICTED) {
        note_smime(p, v);
        p->signed_bound = p->body_bound = POLICY_BOUND_NONE;
    } else if (v && is_of_party(p, v, a)) {
        bind_by_smime(p, v);
    }
}

void facts_smime_answered(struct facts_party *p, const struct smime_vouch *v, struct str called,
                          struct arena *a)
{
    struct policy_identity *id = &p->identity;
    bool is_first = id->known != POLICY_ID_VERIFIED || id->verdict != IDENTITY_VALID;

    note_smime(p, v);
    if (is_first && v->state == POLICY_SMIME_NAMES) {
        id->address = v->who;
        if (v->reached != IDENTITY_REACHED_SAME)
            id->called = called;
    } else if (!is_of_party(p, v, a)) {
        return;
    }
    if (v->state == POLICY_SMIME_NAMES)
        name_by_smime(p, v, v->who);
    bind_by_smime(p, v);
}

/* What signed bodies add to the facts of a call (facts.h): who it is, and what keys are bound by.
 * RFC 3893 6, 7; RFC 3261 23.3; TR/100 7.5.2, 8.3. Worker thread. */
#include "edge/facts.h"
#include "edge/smime.h"

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
    bind_by_smime(p, v);
}

void facts_smime(struct facts_call *f, const struct edge_req *r, struct str from)
{
    struct facts_party *p = &f->party[POLICY_CALLER];

    if (!r->smime)
        return;
    note_smime(p, r->smime);
    if (r->smime->state == POLICY_SMIME_NAMES)
        name_by_smime(p, r->smime, from);
}

void facts_smime_later(struct facts_call *f, unsigned side, const struct smime_vouch *v)
{
    if (v && v->state == POLICY_SMIME_CONTRADICTED)
        note_smime(&f->party[side], v);
    else if (v)
        bind_by_smime(&f->party[side], v);
}

void facts_smime_answered(struct facts_party *p, const struct smime_vouch *v, struct str called)
{
    struct policy_identity *id = &p->identity;
    bool is_first = id->known != POLICY_ID_VERIFIED || id->verdict != IDENTITY_VALID;

    note_smime(p, v);
    if (v->state != POLICY_SMIME_NAMES)
        return;
    if (is_first)
        id->address = v->who;
    if (is_first && v->reached != IDENTITY_REACHED_SAME)
        id->called = called;
    name_by_smime(p, v, v->who);
}

/* The security status (status.h): one function for each group of facts notes the reasons it gives;
 * level and answers follow from the table. Pure. */
#include "policy/status.h"
#include "base/attr.h"

/* One bit a reason. */
struct noted {
    uint64_t v[(POLICY_WHYS + 63) / 64];
};

static bool noted_has(const struct noted *n, unsigned why)
{
    return n->v[why / 64] >> why % 64 & 1;
}

static void noted_set(struct noted *n, unsigned why, bool is)
{
    uint64_t bit = (uint64_t)1 << why % 64;

    n->v[why / 64] = is ? n->v[why / 64] | bit : n->v[why / 64] & ~bit;
}

struct judge {
    const struct policy_facts *f;
    unsigned towards;
    bool has_no_offer;                       /* nothing can be expected of some party's media */
    struct noted noted;
    struct policy_reason found[POLICY_WHYS]; /* of those that are noted */
};

static void note(struct judge *j, enum policy_why why, unsigned party, unsigned hop,
                 unsigned medium)
{
    struct policy_reason *r = &j->found[why];

    if (!noted_has(&j->noted, why))
        *r = (struct policy_reason){(uint8_t)why, (uint8_t)party, (uint8_t)hop, (uint8_t)medium, 0};
    noted_set(&j->noted, why, true);
    if (r->n < UINT16_MAX)
        r->n++;
}

static void note_party(struct judge *j, enum policy_why why, unsigned party)
{
    note(j, why, party, POLICY_NO_INDEX, POLICY_NO_INDEX);
}

static bool is_below(const struct policy_below *b)
{
    return b->kind != POLICY_BELOW_NONE && b->check != POLICY_BELOW_GONE;
}

/* --- Who is there: TR/100 7.5 --- */

/* One signature that holds is enough (RFC 8224 6.2): of the headers, or of a body that has them in
 * it (RFC 3893). */
static bool is_verified(const struct policy_identity *id)
{
    return id->known == POLICY_ID_VERIFIED &&
           (id->verdict == IDENTITY_VALID || id->smime == POLICY_SMIME_NAMES);
}

/* Nobody has to sign a body, and what does not hold is worth as much as nothing. */
static void judge_smime(struct judge *j, const struct policy_identity *id, unsigned party)
{
    switch (id->smime) {
    case POLICY_SMIME_NONE:
    case POLICY_SMIME_CONTRADICTED: /* noted for every party */
    case POLICY_SMIME_SIGNED:
    case POLICY_SMIME_NAMES:
        break;
    case POLICY_SMIME_BROKEN:
    case POLICY_SMIME_STALE:
    case POLICY_SMIME_UNVERIFIABLE:
        note_party(j, POLICY_SMIME_NOT_VALID, party);
        break;
    case POLICY_SMIME_ENCRYPTED:
        note_party(j, POLICY_BODY_ENCRYPTED, party);
        break;
    }
}

static void judge_signature(struct judge *j, const struct policy_identity *id, unsigned party)
{
    switch (id->verdict) {
    case IDENTITY_VALID:
    case IDENTITY_ABSENT:
    case IDENTITY_CONTRADICTED: /* noted for every party */
        break;
    case IDENTITY_UNVERIFIABLE:
        note_party(j, POLICY_IDENTITY_UNVERIFIABLE, party);
        break;
    case IDENTITY_STALE:
        note_party(j, POLICY_IDENTITY_STALE, party);
        break;
    case IDENTITY_BROKEN:
        note_party(j, POLICY_IDENTITY_BROKEN, party);
        break;
    }
}

static void judge_known(struct judge *j, const struct policy_identity *id, unsigned party)
{
    switch (id->known) {
    case POLICY_ID_VERIFIED:
        if (!is_verified(id)) /* a signature that does not hold is no more than a claim */
            note_party(j, POLICY_IDENTITY_CLAIMED, party);
        else if (!id->by_user)
            note_party(j, POLICY_IDENTITY_BY_DOMAIN, party);
        if (is_verified(id) && id->by_sha1)
            note_party(j, POLICY_IDENTITY_WEAK_HASH, party);
        if (is_verified(id) && id->is_asserted_other)
            note_party(j, POLICY_IDENTITY_ASSERTED_OTHER, party);
        break;
    case POLICY_ID_AUTHENTICATED:
        note_party(j, POLICY_IDENTITY_BY_US, party);
        if (id->how <= POLICY_BY_SOURCE)
            note_party(j, POLICY_IDENTITY_BY_ADDRESS, party);
        else if (id->how == POLICY_BY_FLOW)
            note_party(j, POLICY_IDENTITY_BY_FLOW, party);
        break;
    case POLICY_ID_SITE:
        note_party(j, POLICY_IDENTITY_SITE_ONLY, party);
        break;
    case POLICY_ID_ASSERTED:
        note_party(j, POLICY_IDENTITY_ASSERTED, party);
        break;
    case POLICY_ID_CLAIMED:
        note_party(j, POLICY_IDENTITY_CLAIMED, party);
        break;
    case POLICY_ID_NONE:
        note_party(j, POLICY_IDENTITY_NONE, party);
        break;
    }
}

static void judge_reached(struct judge *j, const struct policy_identity *id, unsigned party)
{
    switch (id->reached) {
    case IDENTITY_REACHED_SAME:
        break;
    case IDENTITY_REACHED_PROVEN:
        note_party(j, POLICY_REACHED_DIVERTED, party);
        break;
    case IDENTITY_REACHED_UNPROVEN:
        note_party(j, POLICY_REACHED_UNPROVEN, party);
        break;
    case IDENTITY_REACHED_CONTRADICTORY:
        note_party(j, POLICY_REACHED_CONTRADICTORY, party);
        break;
    }
}

static void judge_identity(struct judge *j, const struct policy_identity *id, unsigned party)
{
    judge_known(j, id, party);
    judge_signature(j, id, party);
    judge_smime(j, id, party);
    judge_reached(j, id, party);
    if (id->is_unsigned_answer && !is_verified(id))
        note_party(j, POLICY_ANSWER_UNSIGNED, party);
    if (id->attest != 0 && id->attest != 'A')
        note_party(j, POLICY_IDENTITY_ATTEST, party);
    if (!str_is_empty(id->via))
        note_party(j, POLICY_IDENTITY_REWRITTEN, party);
    if (id->worst > IDENTITY_ABSENT)
        note_party(j, POLICY_IDENTITY_OTHER_WRONG, party);
}

/* --- Where it ends: TR/100 7.7, 8.4, 10 --- */

static void judge_end(struct judge *j, const struct policy_party *p, unsigned party)
{
    switch (p->ends_at) {
    case POLICY_ENDS_UNKNOWN:
        note_party(j, POLICY_END_UNKNOWN, party);
        break;
    case POLICY_ENDS_GATEWAY:
        note_party(j, POLICY_ENDS_AT_GATEWAY, party);
        return; /* hints of what is known say nothing */
    case POLICY_ENDS_MAYBE_GATEWAY:
        note_party(j, POLICY_MAY_END_AT_GATEWAY, party);
        return;
    case POLICY_ENDS_CONFERENCE:
        note_party(j, POLICY_ENDS_AT_CONFERENCE, party);
        break;
    case POLICY_ENDS_RECORDER:
        note_party(j, POLICY_RECORDED, party);
        break;
    case POLICY_ENDS_USER:
        break;
    }
    if (p->hints != 0)
        note_party(j, POLICY_MAY_END_AT_GATEWAY, party);
}

/* --- Signalling: TR/100 7.2, 7.3 --- */

static bool is_old_tls(const char *version)
{
    return version == NULL || (strcmp(version, "TLSv1.2") != 0 && strcmp(version, "TLSv1.3") != 0);
}

static bool is_good_tls(const struct policy_hop *h)
{
    return h->secure && h->authenticated && !is_old_tls(h->version);
}

/* What protects a hop from below makes good for what TLS lacks there. */
static void judge_hop(struct judge *j, const struct policy_hop *h, unsigned party, unsigned hop)
{
    if (h->secure && !h->forward_secret)
        note(j, POLICY_HOP_NO_FORWARD_SECRECY, party, hop, POLICY_NO_INDEX);
    if (is_good_tls(h))
        return;
    if (is_below(&h->below)) {
        note(j, h->below.check == POLICY_BELOW_CHECKED ? POLICY_HOP_CHECKED : POLICY_HOP_DECLARED,
             party, hop, POLICY_NO_INDEX);
    } else if (!h->secure) {
        note(j, h->below.kind == POLICY_BELOW_NONE ? POLICY_HOP_CLEAR : POLICY_HOP_PROTECTION_GONE,
             party, hop, POLICY_NO_INDEX);
    } else {
        if (!h->authenticated)
            note(j, POLICY_HOP_NOT_AUTHENTICATED, party, hop, POLICY_NO_INDEX);
        if (is_old_tls(h->version))
            note(j, POLICY_HOP_OLD_TLS, party, hop, POLICY_NO_INDEX);
    }
}

static void judge_signalling(struct judge *j, const struct policy_party *p, unsigned party)
{
    if (p->n_hops == 0)
        note_party(j, POLICY_HOP_UNSEEN, party);
    for (unsigned i = 0; i < p->n_hops; i++)
        judge_hop(j, &p->hops[i], party, i);
    switch (p->beyond) {
    case POLICY_BEYOND_CLEAR:
        note_party(j, POLICY_BEYOND_IS_CLEAR, party);
        break;
    case POLICY_BEYOND_UNKNOWN:
        note_party(j, POLICY_BEYOND_IS_UNKNOWN, party);
        break;
    case POLICY_BEYOND_CLAIMED:
        note_party(j, POLICY_BEYOND_IS_CLAIMED, party);
        break;
    case POLICY_BEYOND_PROVISIONED:
        note_party(j, POLICY_BEYOND_IS_PROVISIONED, party);
        break;
    case POLICY_BEYOND_NONE:
        break;
    }
}

/* --- Media: TR/100 8 --- */

/* Came its description along hops on which nobody can have changed it, as far as we have seen and
 * checked? */
static bool is_leg_sound(const struct policy_party *p)
{
    for (unsigned i = 0; i < p->n_hops; i++) {
        const struct policy_below *b = &p->hops[i].below;

        if (!is_good_tls(&p->hops[i]) && !(is_below(b) && b->check == POLICY_BELOW_CHECKED))
            return false;
    }
    return p->n_hops > 0 && p->beyond == POLICY_BEYOND_NONE;
}

/* Do the facts hold together that `bound` rests on: nobody in the middle if the description is
 * unchanged (fingerprints, zrtp-hash), or signed by the ends themselves? */
static bool can_be_bound(const struct keying_facts *k)
{
    return k->middle == KEYING_MIDDLE_IF_SDP_OK || k->middle == KEYING_MIDDLE_EXCLUDED;
}

/* Keys in a description that is signed are whose it says; that every hop has read them is said
 * besides. */
static bool is_bound_and_read(const struct keying_facts *k, enum policy_bound bound)
{
    return k->known_to == KEYING_KNOWN_HOPS && bound > POLICY_BOUND_US;
}

static void judge_bound(struct judge *j, const struct policy_party *p, const struct keying_facts *k,
                        unsigned party, unsigned medium)
{
    enum policy_bound bound = p->media[medium].bound;

    if (k->sas_compared) /* by the users themselves: stronger than any signature */
        return;
    if ((!can_be_bound(k) && !is_bound_and_read(k, bound)) || bound == POLICY_BOUND_NONE) {
        note(j, POLICY_MEDIA_NOT_BOUND, party, POLICY_NO_INDEX, medium);
        return;
    }
    if (bound == POLICY_BOUND_US && !is_leg_sound(p)) {
        note(j, POLICY_MEDIA_BOUND_BY_HOPS, party, POLICY_NO_INDEX, medium);
        return;
    }
    if (bound != POLICY_BOUND_USER || !(is_verified(&p->identity) && p->identity.by_user))
        note(j, POLICY_MEDIA_BOUND_BY_DOMAIN, party, POLICY_NO_INDEX, medium);
}

/* No keys at all: what else protects the path? */
static void judge_clear(struct judge *j, const struct policy_medium *m, unsigned party,
                        unsigned medium)
{
    enum policy_why why = POLICY_MEDIA_CLEAR_BELOW;

    if (m->below.kind != POLICY_BELOW_NONE && m->below.check == POLICY_BELOW_GONE)
        why = POLICY_MEDIA_PROTECTION_GONE;
    else if (!is_below(&m->below))
        why = m->relay == POLICY_RELAY_CLEAR ? POLICY_MEDIA_CLEAR_INSIDE : POLICY_MEDIA_CLEAR;
    note(j, why, party, POLICY_NO_INDEX, medium);
}

static void judge_suite(struct judge *j, const struct policy_medium *m, unsigned party,
                        unsigned medium)
{
    const struct keying_facts *k = &m->keys;
    bool is_null = k->suite != NULL && k->suite->cipher == KEYING_NULL;
    bool is_short =
        k->suite != NULL && k->suite->cipher != KEYING_AES_GCM && k->suite->rtp_tag_len < 10;
    bool is_weak = is_null || k->unencrypted_rtp || k->unencrypted_rtcp || k->unauthenticated_rtp;

    if (is_weak && is_below(&m->below)) {
        note(j, POLICY_MEDIA_CLEAR_BELOW, party, POLICY_NO_INDEX, medium);
    } else {
        if (k->unencrypted_rtp || is_null)
            note(j, POLICY_MEDIA_UNENCRYPTED, party, POLICY_NO_INDEX, medium);
        if (k->unencrypted_rtcp || is_null)
            note(j, POLICY_MEDIA_CONTROL_UNENCRYPTED, party, POLICY_NO_INDEX, medium);
        if (k->unauthenticated_rtp)
            note(j, POLICY_MEDIA_UNAUTHENTICATED, party, POLICY_NO_INDEX, medium);
    }
    if (is_short || k->rtcp_tag_32)
        note(j, POLICY_MEDIA_TAG_SHORT, party, POLICY_NO_INDEX, medium);
}

/* Who else can have agreed keys, TR/100 8.2. */
static void judge_secrecy(struct judge *j, const struct keying_facts *k, unsigned party,
                          unsigned medium)
{
    if (k->known_to < KEYING_KNOWN_SHARED || !k->excludes_passive)
        note(j, POLICY_MEDIA_KNOWN_TO_HOPS, party, POLICY_NO_INDEX, medium);
    else if (k->known_to == KEYING_KNOWN_SHARED)
        note(j, POLICY_MEDIA_SHARED_SECRET, party, POLICY_NO_INDEX, medium);
    if (!k->forward_secret)
        note(j, POLICY_MEDIA_NO_FORWARD_SECRECY, party, POLICY_NO_INDEX, medium);
}

/* What a method that is offered will be once it is agreed, if nobody interferes. */
static struct keying_facts as_offered(const struct keying_facts *k)
{
    struct keying_facts ret = *k;

    if (k->method == KEYING_DTLS || k->method == KEYING_ZRTP) {
        ret.known_to = KEYING_KNOWN_ENDS;
        ret.excludes_passive = ret.forward_secret = true;
        if (ret.middle == KEYING_MIDDLE_CAN)
            ret.middle =
                k->method == KEYING_DTLS ? KEYING_MIDDLE_IF_SDP_OK : KEYING_MIDDLE_IF_SAS_OK;
    }
    return ret;
}

static void judge_keys(struct judge *j, const struct policy_party *p, unsigned party,
                       unsigned medium)
{
    const struct policy_medium *m = &p->media[medium];
    const struct keying_facts k =
        m->keys.proof == KEYING_PROOF_NONE ? as_offered(&m->keys) : m->keys;

    judge_suite(j, m, party, medium);
    if (k.seen_by_branches)
        note(j, POLICY_MEDIA_SEEN_BY_BRANCHES, party, POLICY_NO_INDEX, medium);
    if (k.is_interim)
        note(j, POLICY_MEDIA_INTERIM, party, POLICY_NO_INDEX, medium);
    if (m->relay != POLICY_RELAY_PASSED)
        note(j, POLICY_MEDIA_REENCRYPTED, party, POLICY_NO_INDEX, medium);
    if (m->keys.proof == KEYING_PROOF_NONE)
        note(j, POLICY_MEDIA_NOT_AGREED, party, POLICY_NO_INDEX, medium);
    else if (m->keys.proof < KEYING_PROOF_HANDSHAKE)
        note(j, POLICY_MEDIA_NOT_PROVEN, party, POLICY_NO_INDEX, medium);
    judge_secrecy(j, &k, party, medium);
    /* Of media that is passed through it is the other's keys that a party must be sure of. */
    if (party != j->towards || m->relay != POLICY_RELAY_PASSED)
        judge_bound(j, p, &k, party, medium);
}

static void judge_medium(struct judge *j, const struct policy_party *p, unsigned party,
                         unsigned medium)
{
    const struct policy_medium *m = &p->media[medium];
    const struct keying_facts *k = &m->keys;

    if (k->attacks & KEYING_ATTACK_FINGERPRINT)
        note(j, POLICY_MEDIA_FINGERPRINT_WRONG, party, POLICY_NO_INDEX, medium);
    if (k->attacks & KEYING_ATTACK_SAS)
        note(j, POLICY_MEDIA_SAS_DIFFERS, party, POLICY_NO_INDEX, medium);
    if (k->attacks & (KEYING_ATTACK_NOT_OFFERED | KEYING_ATTACK_STRIPPED))
        note(j, POLICY_MEDIA_BID_DOWN, party, POLICY_NO_INDEX, medium);
    if (k->auth_failures > 0)
        note(j, POLICY_MEDIA_FORGED_PACKETS, party, POLICY_NO_INDEX, medium);
    if (k->handshake_failures > 0)
        note(j, POLICY_MEDIA_FAILED_HANDSHAKES, party, POLICY_NO_INDEX, medium);
    if (k->method == KEYING_CLEAR || m->relay == POLICY_RELAY_CLEAR)
        judge_clear(j, m, party, medium);
    else
        judge_keys(j, p, party, medium);
}

/* --- What anybody on the network could have changed --- */

static bool is_leg_open(const struct policy_party *p)
{
    for (unsigned i = 0; i < p->n_hops; i++)
        if (!is_good_tls(&p->hops[i]) && !is_below(&p->hops[i].below))
            return true;
    return p->n_hops == 0 || p->beyond == POLICY_BEYOND_CLEAR;
}

/* Do its keys rest on the hops that they came along, since nothing like `needed` vouches for them? */
static bool rests_on_hops(const struct policy_medium *m, enum policy_bound needed)
{
    const struct keying_facts k =
        m->keys.proof == KEYING_PROOF_NONE ? as_offered(&m->keys) : m->keys;

    return k.method != KEYING_CLEAR && !k.sas_compared &&
           (k.known_to < KEYING_KNOWN_SHARED || !can_be_bound(&k) || m->bound < needed);
}

static void judge_open_media(struct judge *j, const struct policy_party *p, enum policy_bound needed,
                             unsigned where)
{
    for (unsigned i = 0; i < p->n_media; i++)
        if (rests_on_hops(&p->media[i], needed)) {
            note_party(j, POLICY_MEDIA_OPEN_HOP, where);
            return;
        }
}

/* What rests on hops is worth nothing where one of them is open. A signature that we have verified
 * holds whatever the way to us; behind us its user's own alone, which the other phone can verify. */
static void judge_open_leg(struct judge *j, unsigned open)
{
    bool is_own = open == j->towards;

    for (unsigned i = 0; i < j->f->n_parties; i++) {
        const struct policy_party *p = &j->f->parties[i];

        if (i == j->towards || (!is_own && i != open))
            continue;
        if (!is_verified(&p->identity) || (is_own && !p->identity.by_user))
            note_party(j, POLICY_IDENTITY_OPEN_HOP, open);
        judge_open_media(j, p, is_own ? POLICY_BOUND_USER : POLICY_BOUND_DOMAIN, open);
    }
    if (is_own && j->f->parties[open].n_media && j->f->parties[open].media[0].relay != POLICY_RELAY_PASSED)
        judge_open_media(j, &j->f->parties[open], POLICY_BOUND_USER, open);
}

/* What is said in a message is in its body: TR/100 7.4. */
static void judge_message(struct judge *j, const struct policy_party *p, unsigned party)
{
    if (party != POLICY_CALLER)
        return;
    note_party(j, POLICY_MESSAGE_IN_SIGNALLING, party);
    if (!(is_verified(&p->identity) && p->identity.body_bound))
        note_party(j, POLICY_MESSAGE_NOT_SIGNED, party);
}

static void judge_content(struct judge *j, const struct policy_party *p, unsigned party)
{
    if (j->f->subject == POLICY_MESSAGE) {
        judge_message(j, p, party);
        return;
    }
    if (p->n_media == 0) {
        note_party(j, POLICY_MEDIA_NOT_AGREED, party);
        j->has_no_offer = true;
    }
    for (unsigned i = 0; i < p->n_media; i++)
        judge_medium(j, p, party, i);
}

/* --- The whole --- */

static void judge_party(struct judge *j, unsigned party)
{
    const struct policy_party *p = &j->f->parties[party];

    if (p->identity.verdict == IDENTITY_CONTRADICTED ||
        p->identity.smime == POLICY_SMIME_CONTRADICTED)
        note_party(j, POLICY_IDENTITY_CONTRADICTED, party);
    judge_signalling(j, p, party);
    judge_content(j, p, party);
    if (party != j->towards) {
        judge_identity(j, &p->identity, party);
        judge_end(j, p, party);
    }
}

static void answer(struct policy_status *s, enum policy_why why)
{
    const struct policy_why_info *info = policy_why_info(why);

    for (unsigned q = 0; q < POLICY_QUESTIONS; q++) {
        if (info->leaves[q] < s->answers[q]) {
            s->answers[q] = (uint8_t)info->leaves[q];
            s->because[q] = (uint8_t)why;
        }
    }
}

/* What none of these reasons keeps the call from. */
static enum policy_level level_of(const struct noted *noted)
{
    enum policy_level level = POLICY_END_TO_END;

    for (size_t i = 0; i < ARRAY_LEN(noted->v); i++)
        for (uint64_t v = noted->v[i]; v; v &= v - 1) {
            unsigned why = (unsigned)(64 * i) + (unsigned)__builtin_ctzll(v);
            enum policy_level keeps_from = policy_why_info((enum policy_why)why)->keeps_from;

            if (keeps_from <= level)
                level = (enum policy_level)(keeps_from - 1);
        }
    return level;
}

static bool is_proven(const struct policy_facts *f)
{
    if (f->subject != POLICY_CALL)
        return false;
    for (unsigned i = 0; i < f->n_parties; i++) {
        if (f->parties[i].n_media == 0)
            return false;
        for (unsigned k = 0; k < f->parties[i].n_media; k++) {
            if (f->parties[i].media[k].keys.proof < KEYING_PROOF_HANDSHAKE)
                return false;
        }
    }
    return f->n_parties > 0;
}

static void judge_call(struct judge *j, const struct policy_facts *f, unsigned towards)
{
    j->f = f;
    j->towards = towards;
    j->has_no_offer = false;
    j->noted = (struct noted){0};
    for (unsigned i = 0; i < f->n_parties; i++)
        judge_party(j, i);
    for (unsigned i = 0; i < f->n_parties; i++)
        if (is_leg_open(&f->parties[i]))
            judge_open_leg(j, i);
    if (f->n_parties < 2) { /* half a call: nothing is known of the rest */
        note_party(j, POLICY_HOP_UNSEEN, f->n_parties);
        if (towards != f->n_parties)
            note_party(j, POLICY_IDENTITY_NONE, f->n_parties);
    }
}

enum policy_level policy_level(const struct policy_facts *f, unsigned towards)
{
    struct judge j;

    judge_call(&j, f, towards);
    return level_of(&j.noted);
}

void policy_status(const struct policy_facts *f, unsigned towards, struct policy_status *ret)
{
    struct judge j;

    judge_call(&j, f, towards);
    *ret = (struct policy_status){.towards = (uint8_t)towards};
    memset(ret->because, POLICY_WHYS, sizeof(ret->because));
    memset(ret->answers, POLICY_BY_USERS, sizeof(ret->answers));
    /* Each system on the way reads what it forwards, and keeps records of it: TR/100 7.4, 10. */
    ret->answers[POLICY_Q_SIGNALLED] = POLICY_BY_HOPS;
    ret->answers[POLICY_Q_SECRET] = POLICY_NO;
    for (unsigned w = 0; w < POLICY_WHYS; w++)
        if (noted_has(&j.noted, w)) {
            ret->reasons[ret->n_reasons++] = j.found[w];
            answer(ret, (enum policy_why)w);
        }
    ret->level = level_of(&j.noted);
    noted_set(&j.noted, POLICY_MEDIA_NOT_AGREED, false);
    ret->expected = j.has_no_offer ? ret->level : level_of(&j.noted);
    ret->is_proven = is_proven(f);
}

bool policy_status_has(const struct policy_status *s, enum policy_why why)
{
    for (unsigned i = 0; i < s->n_reasons; i++) {
        if (s->reasons[i].why == why)
            return true;
    }
    return false;
}

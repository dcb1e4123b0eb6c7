/* Every combination of the enumerated facts that decide a level, against a statement of the levels
 * that knows nothing of reasons: it asks of the whole call what each level promises. Then what must
 * hold of every status, and that no fact that gets worse raises a level. */
#include "call.h"
#include <stdio.h>

/* --- The levels, said once more --- */

static bool is_good_hop(const struct policy_hop *h, bool declared_will_do)
{
    bool is_tls = h->secure && h->authenticated && h->version &&
                  (!strcmp(h->version, "TLSv1.2") || !strcmp(h->version, "TLSv1.3"));

    if (h->below.kind != POLICY_BELOW_NONE && h->below.check == POLICY_BELOW_CHECKED)
        return true;
    if (h->below.kind != POLICY_BELOW_NONE && h->below.check == POLICY_BELOW_DECLARED)
        return declared_will_do || is_tls;
    return is_tls;
}

static bool is_srtp(const struct policy_medium *m)
{
    return m->keys.method != KEYING_CLEAR && m->relay != POLICY_RELAY_CLEAR;
}

static bool is_full_srtp(const struct policy_medium *m)
{
    return is_srtp(m) && !m->keys.unencrypted_rtp && !m->keys.unencrypted_rtcp &&
           !m->keys.unauthenticated_rtp &&
           (m->keys.suite == NULL || m->keys.suite->cipher != KEYING_NULL);
}

static bool is_good_medium(const struct policy_medium *m)
{
    return is_full_srtp(m) ||
           (m->below.kind != POLICY_BELOW_NONE && m->below.check >= POLICY_BELOW_DECLARED);
}

/* Something signed or fingerprinted is contradicted. */
static bool says_attacked(const struct policy_facts *f)
{
    for (unsigned i = 0; i < f->n_parties; i++) {
        if (f->parties[i].identity.verdict == IDENTITY_CONTRADICTED ||
            f->parties[i].identity.smime == POLICY_SMIME_CONTRADICTED)
            return true;
        for (unsigned k = 0; k < f->parties[i].n_media; k++) {
            if (f->parties[i].media[k].keys.attacks &
                (KEYING_ATTACK_FINGERPRINT | KEYING_ATTACK_SAS))
                return true;
        }
    }
    return false;
}

/* Everything that we can see is encrypted and authenticated hop by hop. */
static bool says_protected(const struct policy_facts *f)
{
    for (unsigned i = 0; i < f->n_parties; i++) {
        const struct policy_party *p = &f->parties[i];

        if (p->n_hops == 0 || p->beyond == POLICY_BEYOND_CLEAR)
            return false;
        for (unsigned k = 0; k < p->n_hops; k++) {
            if (!is_good_hop(&p->hops[k], true))
                return false;
        }
        for (unsigned k = 0; k < p->n_media; k++) {
            if (!is_good_medium(&p->media[k]))
                return false;
        }
    }
    return true;
}

static bool is_someone(const struct policy_identity *id)
{
    bool is_signed = id->known == POLICY_ID_VERIFIED &&
                     (id->verdict == IDENTITY_VALID || id->verdict == IDENTITY_ABSENT) &&
                     (id->verdict == IDENTITY_VALID || id->smime == POLICY_SMIME_NAMES);
    bool is_ours = id->known == POLICY_ID_AUTHENTICATED && id->how >= POLICY_BY_FLOW &&
                   !id->is_unsigned_answer &&
                   (id->verdict == IDENTITY_VALID || id->verdict == IDENTITY_ABSENT);

    return ((is_signed && !id->is_asserted_other) || is_ours) && id->via.n == 0 && (id->attest == 0 || id->attest == 'A') &&
           (id->reached == IDENTITY_REACHED_SAME || id->reached == IDENTITY_REACHED_PROVEN);
}

static bool is_vouched_for(const struct policy_party *p, const struct policy_medium *m)
{
    bool ours = p->n_hops > 0 && p->beyond == POLICY_BEYOND_NONE;

    for (unsigned i = 0; i < p->n_hops; i++)
        ours = ours && is_good_hop(&p->hops[i], false);
    if (m->keys.sas_compared)
        return true;
    return (m->keys.middle == KEYING_MIDDLE_IF_SDP_OK ||
            m->keys.middle == KEYING_MIDDLE_EXCLUDED) &&
           (m->bound == POLICY_BOUND_USER || m->bound == POLICY_BOUND_DOMAIN ||
            (m->bound == POLICY_BOUND_US && ours));
}

/* Whoever is at the other end is verified, or authenticated by us; the end domains vouch for the
 * keys; no intermediary has them; the call does not end at a gateway. */
static bool says_secure(const struct policy_facts *f, unsigned towards)
{
    for (unsigned i = 0; i < f->n_parties; i++) {
        const struct policy_party *p = &f->parties[i];

        if (i != towards &&
            (!is_someone(&p->identity) || p->hints != 0 ||
             !(p->ends_at == POLICY_ENDS_USER || p->ends_at == POLICY_ENDS_RECORDER)))
            return false;
        if (p->n_media == 0)
            return false;
        for (unsigned k = 0; k < p->n_media; k++) {
            const struct policy_medium *m = &p->media[k];

            if (!is_full_srtp(m) || m->keys.proof == KEYING_PROOF_NONE ||
                m->keys.known_to < KEYING_KNOWN_SHARED || !m->keys.excludes_passive ||
                m->keys.seen_by_branches ||
                (m->keys.attacks & (KEYING_ATTACK_NOT_OFFERED | KEYING_ATTACK_STRIPPED)))
                return false;
            if ((i != towards || m->relay != POLICY_RELAY_PASSED) && !is_vouched_for(p, m))
                return false;
        }
    }
    return true;
}

/* The other side is verified, keys are known to nobody else, and its user's own signature or a
 * compared string vouches for them. */
static bool says_end_to_end(const struct policy_facts *f, unsigned towards)
{
    for (unsigned i = 0; i < f->n_parties; i++) {
        const struct policy_party *p = &f->parties[i];

        if (i != towards && (p->identity.known != POLICY_ID_VERIFIED || p->identity.by_sha1 ||
                             p->ends_at != POLICY_ENDS_USER))
            return false;
        for (unsigned k = 0; k < p->n_media; k++) {
            const struct policy_medium *m = &p->media[k];

            if (m->keys.known_to != KEYING_KNOWN_ENDS || m->relay != POLICY_RELAY_PASSED)
                return false;
            if (i != towards && !m->keys.sas_compared &&
                !(p->identity.by_user && m->bound == POLICY_BOUND_USER))
                return false;
        }
    }
    return true;
}

static enum policy_level said(const struct policy_facts *f, unsigned towards)
{
    if (says_attacked(f))
        return POLICY_ATTACKED;
    if (!says_protected(f))
        return POLICY_OPEN;
    if (!says_secure(f, towards))
        return POLICY_PROTECTED;
    return says_end_to_end(f, towards) ? POLICY_END_TO_END : POLICY_SECURE;
}

/* --- What holds of every status --- */

static unsigned seen_level[POLICY_LEVELS], seen_why[POLICY_WHYS];

static bool reasons_are_sound(const struct policy_status *s)
{
    enum policy_level least = POLICY_END_TO_END;

    for (unsigned i = 0; i < s->n_reasons; i++) {
        enum policy_level from = policy_why_info((enum policy_why)s->reasons[i].why)->keeps_from;

        if (s->reasons[i].n == 0 || (i > 0 && s->reasons[i].why <= s->reasons[i - 1].why))
            return false;
        if (from < POLICY_LEVELS && from <= least)
            least = (enum policy_level)(from - 1);
        seen_why[s->reasons[i].why]++;
    }
    return least == s->level && s->expected >= s->level;
}

/* An answer never says more than the level, and a level never more than the answers. */
static bool answers_are_sound(const struct policy_status *s)
{
    if (s->answers[POLICY_Q_SECRET] != POLICY_NO || s->answers[POLICY_Q_SIGNALLED] > POLICY_BY_HOPS)
        return false;
    for (unsigned q = POLICY_Q_WHO; q <= POLICY_Q_HEARD; q++) {
        if (s->level == POLICY_SECURE && s->answers[q] < POLICY_BY_DOMAINS)
            return false;
        if (s->level == POLICY_END_TO_END && q != POLICY_Q_WHO && s->answers[q] != POLICY_BY_USERS)
            return false;
    }
    if (s->level == POLICY_ATTACKED && s->answers[POLICY_Q_DEVICE] != POLICY_NO)
        return false;
    for (unsigned q = 0; q < POLICY_QUESTIONS; q++) {
        if (s->because[q] != POLICY_WHYS &&
            (!policy_status_has(s, (enum policy_why)s->because[q]) ||
             policy_why_info((enum policy_why)s->because[q])->leaves[q] != s->answers[q]))
            return false;
    }
    return true;
}

/* "By hops" is no answer where anybody on the network could have changed what came along one: nor
 * is "by domains" for who it is, unless that was signed. */
static bool answers_fit_hops(const struct policy_facts *f, const struct policy_status *s)
{
    for (unsigned i = 0; i < f->n_parties; i++) {
        const struct policy_party *p = &f->parties[i], *other = &f->parties[s->towards == 0];
        bool is_open = p->n_hops == 0 || p->beyond == POLICY_BEYOND_CLEAR;

        for (unsigned k = 0; k < p->n_hops; k++)
            is_open |= !is_good_hop(&p->hops[k], true);
        if (!is_open || f->n_parties != 2)
            continue;
        if (s->answers[POLICY_Q_WHO] >= POLICY_BY_DOMAINS &&
            (other->identity.known != POLICY_ID_VERIFIED ||
             (i == s->towards && !other->identity.by_user)))
            return false;
        for (unsigned k = 0; k < other->n_media; k++) {
            const struct policy_medium *m = &other->media[k];
            bool is_signed =
                m->keys.sas_compared ||
                (m->keys.known_to >= KEYING_KNOWN_SHARED &&
                 m->bound >= (i == s->towards ? POLICY_BOUND_USER : POLICY_BOUND_DOMAIN));

            for (unsigned q = POLICY_Q_DEVICE; q <= POLICY_Q_HEARD; q++)
                if (s->answers[q] > POLICY_NOT_KNOWN && !is_signed)
                    return false;
        }
    }
    return true;
}

static void check_one(const struct policy_facts *f, unsigned towards, const char *what,
                      uint64_t number)
{
    struct policy_status s;
    enum policy_level want = said(f, towards);

    policy_status(f, towards, &s);
    assert_int_equal(policy_level(f, towards), s.level);
    if (s.level != want)
        fail_msg("%s %llu: %s, and it should be %s", what, (unsigned long long)number,
                 policy_level_code(s.level), policy_level_code(want));
    if (!reasons_are_sound(&s) || !answers_are_sound(&s) || !answers_fit_hops(f, &s))
        fail_msg("%s %llu: %s with unsound reasons or answers", what, (unsigned long long)number,
                 policy_level_code(s.level));
    seen_level[s.level]++;
}

/* --- All combinations: a number in mixed base, one digit for each fact --- */

static unsigned digit(uint64_t *number, unsigned base)
{
    unsigned d = (unsigned)(*number % base);

    *number /= base;
    return d;
}

static void who_and_where(void **state)
{
    static const char attests[] = {0, 'A', 'B'};
    const uint64_t n = 6 * 7 * 6 * 2 * 4 * 3 * 2 * 6 * 2 * 3;
    struct call c;

    (void)state;
    call_init(&c);
    for (uint64_t i = 0; i < n; i++) {
        struct policy_party *p = &c.party[POLICY_CALLEE];
        struct policy_medium *m = &c.medium[POLICY_CALLEE][0];
        uint64_t x = i;

        p->identity.known = (enum policy_known)digit(&x, 6);
        p->identity.how = (enum policy_how)digit(&x, 7);
        p->identity.verdict = (enum identity_verdict)digit(&x, 6);
        p->identity.by_user = digit(&x, 2);
        p->identity.reached = (enum identity_reached)digit(&x, 4);
        p->identity.attest = attests[digit(&x, 3)];
        p->identity.via = digit(&x, 2) ? STR("provider.net") : STR_NULL;
        p->ends_at = (enum policy_ends_at)digit(&x, 6);
        p->hints = digit(&x, 2) ? POLICY_HINT_CARRIER : 0;
        m->bound = POLICY_BOUND_DOMAIN;
        m->keys = call_dtls();
        switch (digit(&x, 3)) {
        case 0:
            m->bound = POLICY_BOUND_USER;
            break;
        case 1:
            m->keys = call_zrtp(true);
            break;
        default:
            break;
        }
        p->identity.by_sha1 = false;
        p->identity.smime = POLICY_SMIME_NONE;
        check_one(&c.f, POLICY_CALLER, "who and where", i);
        if (p->hints == 0 && !p->identity.via.n) {
            p->identity.smime = (enum policy_smime)(i % (POLICY_SMIME_NAMES + 1));
            check_one(&c.f, POLICY_CALLER, "who and where, with a signed body", i);
            p->identity.smime = POLICY_SMIME_NONE;
            p->identity.is_unsigned_answer = true;
            check_one(&c.f, POLICY_CALLER, "who and where, with an answer that nobody has signed",
                      i);
            p->identity.is_unsigned_answer = false;
        }
        if (p->identity.known != POLICY_ID_VERIFIED)
            continue;
        p->identity.by_sha1 = true;
        check_one(&c.f, POLICY_CALLER, "who and where, with SHA-1", i);
    }
}

/* Facts of one medium; the number's digits in the order of the calls. */
#define MEDIA_N ((uint64_t)5 * 3 * 4 * 4 * 5 * 4 * 2 * 3 * 5 * 2 * 3)
static void make_medium(struct policy_medium *m, uint64_t x)
{
    m->keys = (struct keying_facts){.method = (enum keying_method_id)digit(&x, 5),
                                    .suite = keying_suite_get(KEYING_AES_128_GCM),
                                    .excludes_passive = true};
    m->relay = (enum policy_relay)digit(&x, 3);
    m->bound = (enum policy_bound)digit(&x, 4);
    m->below = (struct policy_below){.kind = POLICY_BELOW_VPN};
    switch (digit(&x, 4)) {
    case 0:
        m->below.kind = POLICY_BELOW_NONE;
        break;
    case 1:
        m->below.check = POLICY_BELOW_GONE;
        break;
    case 2:
        m->below.check = POLICY_BELOW_DECLARED;
        break;
    default:
        m->below.check = POLICY_BELOW_CHECKED;
        break;
    }
    switch (digit(&x, 5)) {
    case 0:
        m->keys.known_to = KEYING_KNOWN_ANYBODY;
        break;
    case 1:
        m->keys.known_to = KEYING_KNOWN_HOPS;
        break;
    case 2:
        m->keys.known_to = KEYING_KNOWN_SHARED;
        break;
    case 3:
        m->keys.known_to = KEYING_KNOWN_ENDS;
        break;
    default:
        m->keys.known_to = KEYING_KNOWN_ENDS;
        m->keys.excludes_passive = false;
        break;
    }
    m->keys.middle = (enum keying_middle)digit(&x, 4);
    m->keys.sas_compared = digit(&x, 2);
    m->keys.proof = (enum keying_proof)digit(&x, 3);
    switch (digit(&x, 5)) {
    case 0:
        m->keys.unencrypted_rtp = true;
        break;
    case 1:
        m->keys.unencrypted_rtcp = true;
        break;
    case 2:
        m->keys.unauthenticated_rtp = true;
        break;
    case 3:
        m->keys.suite = keying_suite_get(KEYING_NULL_80);
        break;
    default:
        break;
    }
    m->keys.seen_by_branches = digit(&x, 2);
    switch (digit(&x, 3)) {
    case 0:
        m->keys.attacks = KEYING_ATTACK_STRIPPED;
        break;
    case 1:
        m->keys.attacks = KEYING_ATTACK_FINGERPRINT;
        break;
    default:
        break;
    }
}

static void media_of(unsigned party)
{
    struct call c;

    call_init(&c);
    for (uint64_t i = 0; i < MEDIA_N; i++) {
        make_medium(&c.medium[party][0], i);
        check_one(&c.f, POLICY_CALLER, party == POLICY_CALLER ? "own media" : "media", i);
    }
}

static void media_of_the_other(void **state)
{
    (void)state;
    media_of(POLICY_CALLEE);
}

static void media_of_ones_own(void **state)
{
    (void)state;
    media_of(POLICY_CALLER);
}

static void signalling(void **state)
{
    static const char *const versions[] = {NULL, "TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3"};
    const uint64_t n = 2 * 2 * 2 * 5 * 5 * 3 * 5 * 3 * 4 * 3 * 2;
    struct call c;

    (void)state;
    for (uint64_t i = 0; i < n; i++) {
        struct policy_party *p;
        struct policy_hop *h;
        uint64_t x = i;
        unsigned side = digit(&x, 2);

        call_init(&c);
        p = &c.party[side];
        h = &c.hop[side][0];
        h->secure = digit(&x, 2);
        h->authenticated = digit(&x, 2);
        h->version = versions[digit(&x, 5)];
        h->below.kind = (enum policy_below_kind)digit(&x, 5);
        h->below.check = (enum policy_below_check)digit(&x, 3);
        p->beyond = (enum policy_beyond)digit(&x, 5);
        p->n_hops = (uint8_t)digit(&x, 3);
        c.hop[side][1] = call_tls("another");
        c.medium[side][0].bound = (enum policy_bound)digit(&x, 4);
        c.medium[side][0].relay = (enum policy_relay)digit(&x, 3);
        h->forward_secret = digit(&x, 2);
        check_one(&c.f, POLICY_CALLER, "signalling", i);
    }
}

/* Every level and every reason has been seen above, but those that have calls of their own. */
static void nothing_is_out_of_reach(void **state)
{
    struct policy_status s;
    struct call c;

    (void)state;
    call_init(&c);
    c.f.subject = POLICY_MESSAGE;
    policy_status(&c.f, POLICY_CALLEE, &s);
    assert_true(reasons_are_sound(&s));
    call_init(&c);
    c.party[POLICY_CALLEE].identity.worst = IDENTITY_BROKEN;
    c.party[POLICY_CALLEE].identity.is_asserted_other = true;
    c.medium[0][0].keys = call_sdes();
    c.medium[0][0].keys.suite = keying_suite_get(KEYING_AES_128_CM_32);
    c.medium[0][0].keys.auth_failures = 1;
    c.medium[0][0].keys.handshake_failures = 1;
    c.medium[0][0].keys.attacks = KEYING_ATTACK_SAS;
    policy_status(&c.f, POLICY_CALLER, &s);
    assert_true(reasons_are_sound(&s));
    for (unsigned i = 0; i < POLICY_LEVELS; i++) {
        if (seen_level[i] == 0)
            fail_msg("no call is %s", policy_level_code((enum policy_level)i));
    }
    for (unsigned i = 0; i < POLICY_WHYS; i++) {
        if (seen_why[i] == 0)
            fail_msg("no call is %s", policy_why_info((enum policy_why)i)->code);
    }
}

/* --- Nothing that gets worse makes anything better --- */

static uint64_t random_state = 0x9e3779b97f4a7c15u;

static unsigned any(unsigned n) /* xorshift64*: the same calls in every run */
{
    random_state ^= random_state >> 12;
    random_state ^= random_state << 25;
    random_state ^= random_state >> 27;
    return (unsigned)((random_state * 0x2545f4914f6cdd1du) >> 33) % n;
}

/* Mostly good, so that each level is hit and one fact can still take it away. */
static void make_any(struct call *c)
{
    call_init(c);
    c->f.n_parties = (uint8_t)(2 + any(3));
    for (unsigned i = 0; i < c->f.n_parties; i++) {
        struct policy_party *p = &c->party[i];

        *p = c->party[any(2)];
        c->hop[i][0] = call_tls("x");
        c->hop[i][1] = call_tls("y");
        p->n_hops = (uint8_t)(1 + any(2));
        p->n_media = (uint8_t)(1 + any(2));
        if (any(3) == 0) {
            p->identity.known = POLICY_ID_AUTHENTICATED;
            p->identity.how = (enum policy_how)(POLICY_BY_FLOW + any(5));
            p->identity.verdict = IDENTITY_ABSENT;
        }
        p->identity.by_user = any(3) > 0;
        p->identity.by_sha1 = any(4) == 0;
        p->identity.is_unsigned_answer = any(4) == 0;
        p->identity.smime = any(4) ? POLICY_SMIME_NONE : (enum policy_smime)any(8);
        if (p->identity.smime == POLICY_SMIME_NAMES && any(2))
            p->identity.verdict = IDENTITY_ABSENT;
        for (unsigned k = 0; k < 2; k++) {
            struct policy_medium *m = &c->medium[i][k];

            *m = c->medium[0][0];
            m->bound = (enum policy_bound)(1 + any(3));
            m->relay = any(4) ? POLICY_RELAY_PASSED : POLICY_RELAY_REENCRYPTED;
            m->keys = any(4) ? call_dtls() : call_zrtp(any(2));
            m->keys.proof = (enum keying_proof)any(4);
            m->below.kind = any(3) ? POLICY_BELOW_NONE : POLICY_BELOW_IPSEC;
            m->below.check = (enum policy_below_check)any(3);
        }
        if (any(6) == 0)
            c->hop[i][0].below =
                (struct policy_below){POLICY_BELOW_LOCK, POLICY_BELOW_CHECKED, STR_NULL, 0};
    }
    call_link(c);
}

static void worse_identity(struct policy_identity *id, unsigned which)
{
    switch (which) {
    case 0:
        if (id->known > POLICY_ID_NONE)
            id->known--;
        break;
    case 1:
        id->how = (enum policy_how)any(id->how + 1u);
        break;
    case 2: /* without a signature VERIFIED is no fact at all */
        id->verdict += id->verdict < IDENTITY_CONTRADICTED;
        if (id->verdict == IDENTITY_ABSENT && id->known == POLICY_ID_VERIFIED &&
            id->smime != POLICY_SMIME_NAMES)
            id->verdict = IDENTITY_UNVERIFIABLE;
        break;
    case 3:
        id->by_user = false;
        break;
    case 4:
        id->reached += id->reached < IDENTITY_REACHED_CONTRADICTORY;
        break;
    case 5:
        id->attest = (char)(id->attest ? id->attest + (id->attest < 'C') : 'A' + (int)any(3));
        break;
    case 6:
        id->via = STR("provider.net");
        break;
    case 7:
        id->by_sha1 = true;
        break;
    case 9:
        id->is_unsigned_answer = true;
        break;
    case 10:
        id->is_asserted_other = true;
        break;
    case 8:
        if (id->smime > POLICY_SMIME_CONTRADICTED)
            id->smime = (enum policy_smime)(POLICY_SMIME_CONTRADICTED + any(id->smime));
        break;
    default:
        id->worst += id->worst < IDENTITY_CONTRADICTED;
        break;
    }
}

static void worse_below(struct policy_below *b)
{
    if (b->check > POLICY_BELOW_GONE)
        b->check--;
    else
        b->kind = POLICY_BELOW_NONE;
}

static void worse_hop(struct policy_hop *h, unsigned which)
{
    switch (which) {
    case 0:
        h->secure = false;
        break;
    case 1:
        h->authenticated = false;
        break;
    case 2:
        h->version = h->version && !strcmp(h->version, "TLSv1.3") ? "TLSv1.2" : "TLSv1.1";
        break;
    case 3:
        h->forward_secret = false;
        break;
    default:
        worse_below(&h->below);
        break;
    }
}

static void worse_middle(struct keying_facts *k)
{
    if (k->middle == KEYING_MIDDLE_EXCLUDED)
        k->middle = any(2) ? KEYING_MIDDLE_IF_SDP_OK : KEYING_MIDDLE_IF_SAS_OK;
    else
        k->middle = KEYING_MIDDLE_CAN;
}

static void worse_medium(struct policy_medium *m, unsigned which)
{
    static const struct keying_suite *null;

    null = keying_suite_get(KEYING_NULL_32);
    switch (which) {
    case 0:
        m->bound -= m->bound > POLICY_BOUND_NONE;
        break;
    case 1:
        m->relay -= m->relay > POLICY_RELAY_CLEAR;
        break;
    case 2:
        worse_below(&m->below);
        break;
    case 3:
        m->keys.method = KEYING_CLEAR;
        break;
    case 4:
        m->keys.suite = null;
        break;
    case 5:
        m->keys.unencrypted_rtp = true;
        break;
    case 6:
        m->keys.unencrypted_rtcp = true;
        break;
    case 7:
        m->keys.unauthenticated_rtp = true;
        break;
    case 8:
        m->keys.known_to -= m->keys.known_to > KEYING_KNOWN_ANYBODY;
        break;
    case 9:
        m->keys.seen_by_branches = true;
        break;
    case 10:
        m->keys.forward_secret = false;
        break;
    case 11:
        m->keys.excludes_passive = false;
        break;
    case 12:
        worse_middle(&m->keys);
        break;
    case 13:
        m->keys.sas_compared = false;
        break;
    case 14:
        m->keys.proof -= m->keys.proof > KEYING_PROOF_NONE;
        break;
    case 15:
        m->keys.attacks |= 1u << any(4);
        break;
    case 16:
        m->keys.auth_failures++;
        break;
    case 17:
        m->keys.handshake_failures++;
        break;
    default:
        m->keys.is_interim = true;
        break;
    }
}

static void worse_call(struct call *c)
{
    unsigned i = any(c->f.n_parties), which = any(40);
    struct policy_party *p = &c->party[i];

    if (which < 8) {
        worse_identity(&p->identity, which == 7 ? 7 + any(5) : which);
    } else if (which < 13) {
        worse_hop(&c->hop[i][any(p->n_hops)], which - 8);
    } else if (which < 32) {
        worse_medium(&c->medium[i][any(p->n_media)], which - 13);
    } else if (which < 34) {
        if (p->beyond > POLICY_BEYOND_CLEAR)
            p->beyond--;
    } else if (which < 36) {
        p->ends_at = p->ends_at == POLICY_ENDS_USER
                         ? (enum policy_ends_at)any(POLICY_ENDS_USER)
                         : (enum policy_ends_at)any(POLICY_ENDS_RECORDER);
    } else if (which < 37) {
        p->hints |= POLICY_HINT_CARRIER;
    } else if (which < 38 && p->n_hops < 2) {
        p->n_hops++;
    } else if (which < 39 && p->n_media < 2) {
        p->n_media++;
    } else if (c->f.n_parties < 4) {
        c->party[c->f.n_parties++] = c->party[POLICY_CALLEE];
        call_link(c);
    }
}

static void worse_is_never_better(void **state)
{
    unsigned fell = 0;
    struct call c;

    (void)state;
    for (unsigned round = 0; round < 20000; round++) {
        enum policy_level before[2], after[2];
        struct policy_status s;

        make_any(&c);
        for (unsigned v = 0; v < 2; v++) {
            policy_status(&c.f, v, &s);
            before[v] = s.level;
        }
        for (unsigned step = 0; step < 12; step++) {
            worse_call(&c);
            for (unsigned v = 0; v < 2; v++) {
                policy_status(&c.f, v, &s);
                after[v] = s.level;
                if (after[v] > before[v])
                    fail_msg("round %u, step %u, towards %u: from %s to %s", round, step, v,
                             policy_level_code(before[v]), policy_level_code(after[v]));
                if (after[v] != said(&c.f, v) || !reasons_are_sound(&s) || !answers_are_sound(&s))
                    fail_msg("round %u, step %u, towards %u: %s", round, step, v,
                             policy_level_code(after[v]));
                fell += after[v] < before[v];
                before[v] = after[v];
            }
        }
    }
    assert_true(fell > 20000); /* it was tried on calls that had something to lose */
}

/* --- The table of reasons --- */

static void every_row_is_whole(void **state)
{
    enum policy_level from = POLICY_OPEN;
    enum policy_level parsed;

    (void)state;
    for (unsigned i = 0; i < POLICY_WHYS; i++) {
        const struct policy_why_info *w = policy_why_info((enum policy_why)i);

        assert_non_null(w->code);
        assert_non_null(w->clause);
        assert_true(strlen(w->text) > 10 && w->text[strlen(w->text) - 1] == '.');
        if (w->remedy != NULL)
            assert_true(w->remedy[strlen(w->remedy) - 1] == '.');
        assert_int_equal(w->code[strspn(w->code, "abcdefghijklmnopqrstuvwxyz-")], '\0');
        assert_true(w->keeps_from >= from); /* the gravest first */
        from = w->keeps_from;
        for (unsigned k = 0; k < i; k++)
            assert_string_not_equal(w->code, policy_why_info((enum policy_why)k)->code);
    }
    assert_null(policy_why_info(POLICY_WHYS));
    for (unsigned i = 0; i < POLICY_LEVELS; i++) {
        const char *code = policy_level_code((enum policy_level)i);

        assert_int_equal(policy_level_parse(str_z(code), &parsed), 0);
        assert_int_equal(parsed, i);
    }
    assert_int_not_equal(policy_level_parse(STR("very secure"), &parsed), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(who_and_where),         cmocka_unit_test(media_of_the_other),
        cmocka_unit_test(media_of_ones_own),     cmocka_unit_test(signalling),
        cmocka_unit_test(worse_is_never_better), cmocka_unit_test(nothing_is_out_of_reach),
        cmocka_unit_test(every_row_is_whole),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Named calls and the status that TR/100 and the design give them: each level, each sentence of
 * clause 10, each way in which one fact alone takes a level away. The complete table is
 * test_table.c. */
#include "base/err.h"
#include "base/fault.h"
#include "call.h"
#include "policy/rules.h"

enum { AT_CALLER = POLICY_CALLER, AT_CALLEE = POLICY_CALLEE };

static struct policy_status status_of(const struct call *c, unsigned towards)
{
    struct policy_status s;

    policy_status(&c->f, towards, &s);
    assert_int_equal(policy_level(&c->f, towards), s.level);
    return s;
}

/* --- The levels, and the demonstration --- */

static void end_to_end_by_users_signatures(void **state)
{
    struct call c;
    struct policy_status s;

    (void)state;
    call_init(&c);
    s = status_of(&c, AT_CALLEE);
    assert_int_equal(s.level, POLICY_END_TO_END);
    assert_int_equal(s.expected, POLICY_END_TO_END);
    assert_true(s.is_proven);
    assert_int_equal(s.n_reasons, 0);
    for (unsigned q = POLICY_Q_WHO; q <= POLICY_Q_HEARD; q++)
        assert_int_equal(s.answers[q], POLICY_BY_USERS);
    check_level(&c, AT_CALLER, POLICY_END_TO_END);
}

/* Alice at example1.com calls Bob at example2.com by a carrier: secure at both ends. */
static void secure_from_domain_to_domain(void **state)
{
    struct call c;
    struct policy_status s;

    (void)state;
    call_init_domains(&c);
    s = status_of(&c, AT_CALLER);
    assert_int_equal(s.level, POLICY_SECURE);
    assert_true(policy_status_has(&s, POLICY_MEDIA_BOUND_BY_DOMAIN));
    assert_false(policy_status_has(&s, POLICY_IDENTITY_BY_US)); /* that is Alice herself */
    for (unsigned q = POLICY_Q_WHO; q <= POLICY_Q_HEARD; q++)
        assert_int_equal(s.answers[q], POLICY_BY_DOMAINS);
    /* What the carrier does with the signalling nobody knows. */
    assert_int_equal(s.answers[POLICY_Q_SIGNALLED], POLICY_NOT_KNOWN);
    assert_int_equal(s.because[POLICY_Q_SIGNALLED], POLICY_BEYOND_IS_UNKNOWN);
    check_level(&c, AT_CALLEE, POLICY_SECURE);
    check_has(&c, AT_CALLEE, POLICY_IDENTITY_BY_US);
}

/* The carrier changes the fingerprint: its signature holds over another. */
static void attacked_when_the_fingerprint_is_changed(void **state)
{
    struct call c;

    (void)state;
    call_init_domains(&c);
    c.party[POLICY_CALLEE].identity.verdict = IDENTITY_CONTRADICTED;
    check_level(&c, AT_CALLER, POLICY_ATTACKED);
    check_level(&c, AT_CALLEE, POLICY_ATTACKED); /* for everybody */
    call_init_domains(&c);
    c.medium[POLICY_CALLER][0].keys.attacks = KEYING_ATTACK_FINGERPRINT;
    check_level(&c, AT_CALLER, POLICY_ATTACKED);
    check_level(&c, AT_CALLEE, POLICY_ATTACKED);
    call_init(&c);
    c.medium[POLICY_CALLER][0].keys = call_zrtp(false);
    c.medium[POLICY_CALLER][0].keys.attacks = KEYING_ATTACK_SAS;
    check_level(&c, AT_CALLEE, POLICY_ATTACKED);
}

/* Out to a gateway: protected, whoever signed (TR/100 7.7). */
static void protected_at_most_at_a_gateway(void **state)
{
    struct call c;

    (void)state;
    call_init(&c);
    c.party[POLICY_CALLEE].ends_at = POLICY_ENDS_GATEWAY;
    check_level(&c, AT_CALLER, POLICY_PROTECTED);
    check_has(&c, AT_CALLER, POLICY_ENDS_AT_GATEWAY);
    check_level(&c, AT_CALLEE, POLICY_END_TO_END); /* the gateway's side of it */
    c.party[POLICY_CALLEE].ends_at = POLICY_ENDS_USER;
    for (unsigned bit = 1; bit <= POLICY_HINT_CARRIER; bit <<= 1) {
        c.party[POLICY_CALLEE].hints = bit;
        check_level(&c, AT_CALLER, POLICY_PROTECTED);
        check_has(&c, AT_CALLER, POLICY_MAY_END_AT_GATEWAY);
    }
}

/* --- What is never an attack --- */

static void bad_luck_is_no_attack(void **state)
{
    static const enum identity_verdict verdicts[] = {IDENTITY_ABSENT, IDENTITY_UNVERIFIABLE,
                                                     IDENTITY_STALE, IDENTITY_BROKEN};
    struct call c;

    (void)state;
    for (unsigned i = 0; i < ARRAY_LEN(verdicts); i++) {
        call_init_domains(&c);
        c.party[POLICY_CALLEE].identity.verdict = verdicts[i];
        check_level(&c, AT_CALLER, POLICY_PROTECTED);
    }
    call_init_domains(&c);
    c.medium[POLICY_CALLEE][0].keys.auth_failures = UINT32_MAX;
    c.medium[POLICY_CALLEE][0].keys.handshake_failures = UINT32_MAX;
    check_level(&c, AT_CALLER, POLICY_SECURE);
    check_has(&c, AT_CALLER, POLICY_MEDIA_FORGED_PACKETS);
    check_has(&c, AT_CALLER, POLICY_MEDIA_FAILED_HANDSHAKES);
    c.medium[POLICY_CALLEE][0].keys.attacks = KEYING_ATTACK_NOT_OFFERED | KEYING_ATTACK_STRIPPED;
    check_level(&c, AT_CALLER, POLICY_PROTECTED);
    check_has(&c, AT_CALLER, POLICY_MEDIA_BID_DOWN);
    call_init_domains(&c);
    c.party[POLICY_CALLEE].identity.reached = IDENTITY_REACHED_CONTRADICTORY;
    check_level(&c, AT_CALLER, POLICY_PROTECTED);
    call_init_domains(&c); /* one valid signature is enough (RFC 8224 6.2) */
    c.party[POLICY_CALLEE].identity.worst = IDENTITY_CONTRADICTED;
    check_level(&c, AT_CALLER, POLICY_SECURE);
    check_has(&c, AT_CALLER, POLICY_IDENTITY_OTHER_WRONG);
}

/* --- Who: TR/100 7.5 --- */

static void who_decides(void **state)
{
    static const struct {
        enum policy_known known;
        enum policy_how how;
        enum policy_level level;
        enum policy_answer who;
    } rows[] = {
        {POLICY_ID_NONE, POLICY_BY_NOTHING, POLICY_PROTECTED, POLICY_NOT_KNOWN},
        {POLICY_ID_CLAIMED, POLICY_BY_NOTHING, POLICY_PROTECTED, POLICY_NOT_KNOWN},
        {POLICY_ID_ASSERTED, POLICY_BY_NOTHING, POLICY_PROTECTED, POLICY_BY_HOPS},
        {POLICY_ID_SITE, POLICY_BY_CERTIFICATE, POLICY_PROTECTED, POLICY_BY_HOPS},
        {POLICY_ID_AUTHENTICATED, POLICY_BY_NOTHING, POLICY_PROTECTED, POLICY_NOT_KNOWN},
        {POLICY_ID_AUTHENTICATED, POLICY_BY_SOURCE, POLICY_PROTECTED, POLICY_NOT_KNOWN},
        {POLICY_ID_AUTHENTICATED, POLICY_BY_FLOW, POLICY_SECURE, POLICY_BY_DOMAINS},
        {POLICY_ID_AUTHENTICATED, POLICY_BY_DIGEST, POLICY_SECURE, POLICY_BY_DOMAINS},
        {POLICY_ID_AUTHENTICATED, POLICY_BY_BEARER, POLICY_SECURE, POLICY_BY_DOMAINS},
        {POLICY_ID_AUTHENTICATED, POLICY_BY_AKA, POLICY_SECURE, POLICY_BY_DOMAINS},
        {POLICY_ID_AUTHENTICATED, POLICY_BY_CERTIFICATE, POLICY_SECURE, POLICY_BY_DOMAINS},
        {POLICY_ID_VERIFIED, POLICY_BY_NOTHING, POLICY_SECURE, POLICY_BY_DOMAINS},
    };
    struct call c;

    (void)state;
    for (unsigned i = 0; i < ARRAY_LEN(rows); i++) {
        call_init(&c);
        c.party[POLICY_CALLEE].identity.by_user = false;
        c.party[POLICY_CALLEE].identity.known = rows[i].known;
        c.party[POLICY_CALLEE].identity.how = rows[i].how;
        check_level(&c, AT_CALLER, rows[i].level);
        assert_int_equal(status_of(&c, AT_CALLER).answers[POLICY_Q_WHO], rows[i].who);
        check_level(&c, AT_CALLEE, POLICY_END_TO_END); /* Bob is sure of Alice as before */
    }
}

static void numbers_diversions_and_rewriting(void **state)
{
    struct call c;

    (void)state;
    call_init_domains(&c);
    c.party[POLICY_CALLEE].identity.attest = 'A';
    check_level(&c, AT_CALLER, POLICY_SECURE);
    c.party[POLICY_CALLEE].identity.attest = 'B';
    check_level(&c, AT_CALLER, POLICY_PROTECTED);
    c.party[POLICY_CALLEE].identity.attest = 'C';
    check_level(&c, AT_CALLER, POLICY_PROTECTED);
    check_has(&c, AT_CALLER, POLICY_IDENTITY_ATTEST);
    call_init_domains(&c);
    c.party[POLICY_CALLEE].identity.via = STR("provider.net");
    check_level(&c, AT_CALLER, POLICY_PROTECTED);
    check_has(&c, AT_CALLER, POLICY_IDENTITY_REWRITTEN);
    call_init_domains(&c);
    c.party[POLICY_CALLEE].identity.reached = IDENTITY_REACHED_PROVEN;
    check_level(&c, AT_CALLER, POLICY_SECURE);
    check_has(&c, AT_CALLER, POLICY_REACHED_DIVERTED);
    c.party[POLICY_CALLEE].identity.reached = IDENTITY_REACHED_UNPROVEN;
    check_level(&c, AT_CALLER, POLICY_PROTECTED);
    check_has(&c, AT_CALLER, POLICY_REACHED_UNPROVEN);
}

/* --- Signalling: TR/100 7.2, 7.3 --- */

static void hops_decide(void **state)
{
    struct call c;

    (void)state;
    call_init(&c);
    c.hop[POLICY_CALLER][0] = (struct policy_hop){.transport = TRANSPORT_UDP};
    check_level(&c, AT_CALLEE, POLICY_OPEN); /* whose hop it is does not matter */
    check_level(&c, AT_CALLER, POLICY_OPEN);
    assert_int_equal(status_of(&c, AT_CALLER).answers[POLICY_Q_SIGNALLED], POLICY_NO);
    c.hop[POLICY_CALLER][0].below =
        (struct policy_below){POLICY_BELOW_LOCK, POLICY_BELOW_DECLARED, STR("ops"), 0};
    check_level(&c, AT_CALLER, POLICY_END_TO_END); /* the media does not need it */
    check_has(&c, AT_CALLER, POLICY_HOP_DECLARED);
    c.hop[POLICY_CALLER][0].below.check = POLICY_BELOW_CHECKED;
    check_has(&c, AT_CALLER, POLICY_HOP_CHECKED);
    c.hop[POLICY_CALLER][0].below.check = POLICY_BELOW_GONE;
    check_level(&c, AT_CALLER, POLICY_OPEN);
    check_has(&c, AT_CALLER, POLICY_HOP_PROTECTION_GONE);
    call_init(&c);
    c.hop[POLICY_CALLER][0].authenticated = false;
    check_level(&c, AT_CALLEE, POLICY_OPEN);
    check_has(&c, AT_CALLEE, POLICY_HOP_NOT_AUTHENTICATED);
    call_init(&c);
    c.hop[POLICY_CALLER][0].version = "TLSv1.1";
    check_level(&c, AT_CALLEE, POLICY_OPEN);
    check_has(&c, AT_CALLEE, POLICY_HOP_OLD_TLS);
    call_init(&c);
    c.hop[POLICY_CALLER][0].forward_secret = false;
    check_level(&c, AT_CALLEE, POLICY_END_TO_END);
    check_has(&c, AT_CALLEE, POLICY_HOP_NO_FORWARD_SECRECY);
    c.party[POLICY_CALLER].n_hops = 0;
    check_level(&c, AT_CALLEE, POLICY_OPEN);
    check_has(&c, AT_CALLEE, POLICY_HOP_UNSEEN);
}

static void the_weakest_of_several_hops_counts(void **state)
{
    struct call c;
    struct policy_status s;

    (void)state;
    call_init(&c);
    c.party[POLICY_CALLEE].n_hops = 2;
    c.hop[POLICY_CALLEE][1] = (struct policy_hop){.transport = TRANSPORT_TCP};
    s = status_of(&c, AT_CALLER);
    assert_int_equal(s.level, POLICY_OPEN);
    assert_int_equal(s.reasons[0].why, POLICY_HOP_CLEAR);
    assert_int_equal(s.reasons[0].party, POLICY_CALLEE);
    assert_int_equal(s.reasons[0].hop, 1);
    assert_int_equal(s.reasons[0].medium, POLICY_NO_INDEX);
    assert_int_equal(s.reasons[0].n, 1);
}

static void what_lies_behind_our_hops(void **state)
{
    static const struct {
        enum policy_beyond beyond;
        enum policy_level level;
        enum policy_answer private;
    } rows[] = {
        {POLICY_BEYOND_CLEAR, POLICY_OPEN, POLICY_NO},
        {POLICY_BEYOND_UNKNOWN, POLICY_END_TO_END, POLICY_NOT_KNOWN},
        {POLICY_BEYOND_CLAIMED, POLICY_END_TO_END, POLICY_NOT_KNOWN},
        {POLICY_BEYOND_PROVISIONED, POLICY_END_TO_END, POLICY_BY_HOPS},
        {POLICY_BEYOND_NONE, POLICY_END_TO_END, POLICY_BY_HOPS},
    };
    struct call c;

    (void)state;
    for (unsigned i = 0; i < ARRAY_LEN(rows); i++) {
        call_init(&c);
        c.party[POLICY_CALLEE].beyond = rows[i].beyond;
        check_level(&c, AT_CALLER, rows[i].level);
        assert_int_equal(status_of(&c, AT_CALLER).answers[POLICY_Q_SIGNALLED], rows[i].private);
    }
}

/* --- Media: TR/100 8 --- */

/* SDES and MIKEY-null: every hop has the key, whatever is signed. */
static void keys_in_the_signalling_are_never_secure(void **state)
{
    struct call c;

    (void)state;
    call_init(&c);
    for (unsigned i = 0; i < 2; i++)
        c.medium[i][0].keys = call_sdes();
    check_level(&c, AT_CALLER, POLICY_PROTECTED);
    check_has(&c, AT_CALLER, POLICY_MEDIA_KNOWN_TO_HOPS);
    check_has(&c, AT_CALLER, POLICY_MEDIA_INTERIM);
    for (unsigned i = 0; i < 2; i++) {
        c.medium[i][0].keys.method = KEYING_MIKEY;
        c.medium[i][0].keys.mode = "mikey-null";
        c.medium[i][0].keys.middle = KEYING_MIDDLE_EXCLUDED; /* say, under RFC 4474 */
    }
    check_level(&c, AT_CALLER, POLICY_PROTECTED);
}

/* Under RFC 4474 the whole description is signed: whose keys in it are is no question then (8.3), and
 * every hop has read them all the same. With SHA-1 nothing is end to end. */
static void a_signed_body_binds_keys_of_all_kinds(void **state)
{
    struct call c;
    struct policy_status s;

    (void)state;
    call_init_domains(&c);
    c.party[POLICY_CALLER].identity.known = POLICY_ID_VERIFIED;
    c.party[POLICY_CALLER].identity.verdict = IDENTITY_VALID;
    c.party[POLICY_CALLER].identity.by_sha1 = true;
    for (unsigned i = 0; i < 2; i++) {
        c.medium[i][0].keys = call_sdes();
        c.medium[i][0].bound = POLICY_BOUND_NONE;
    }
    check_has(&c, AT_CALLEE, POLICY_MEDIA_NOT_BOUND);
    c.medium[POLICY_CALLER][0].bound = POLICY_BOUND_DOMAIN;
    s = status_of(&c, AT_CALLEE);
    assert_int_equal(s.level, POLICY_PROTECTED);
    assert_false(policy_status_has(&s, POLICY_MEDIA_NOT_BOUND));
    assert_true(policy_status_has(&s, POLICY_MEDIA_BOUND_BY_DOMAIN));
    assert_true(policy_status_has(&s, POLICY_MEDIA_KNOWN_TO_HOPS));
    assert_true(policy_status_has(&s, POLICY_IDENTITY_WEAK_HASH));
    assert_int_equal(s.answers[POLICY_Q_HEARD], POLICY_BY_HOPS);
    /* fingerprints, and the hash that ZRTP begins with */
    for (unsigned i = 0; i < 2; i++)
        c.medium[i][0].keys = call_dtls();
    s = status_of(&c, AT_CALLEE);
    assert_int_equal(s.level, POLICY_SECURE);
    assert_true(policy_status_has(&s, POLICY_IDENTITY_WEAK_HASH));
    assert_int_equal(s.answers[POLICY_Q_WHO], POLICY_BY_DOMAINS);
    /* never more, also where all else is the users' own */
    call_init(&c);
    check_level(&c, AT_CALLER, POLICY_END_TO_END);
    c.party[POLICY_CALLEE].identity.by_sha1 = true;
    check_level(&c, AT_CALLER, POLICY_SECURE);
    check_level(&c, AT_CALLEE, POLICY_END_TO_END);
    c.party[POLICY_CALLEE].identity.verdict = IDENTITY_BROKEN; /* of one that does not hold it says nothing */
    s = status_of(&c, AT_CALLER);
    assert_false(policy_status_has(&s, POLICY_IDENTITY_WEAK_HASH));
}

/* RFC 3893: what a signed body says is as good as what a header says, and nobody has to have one. */
static void a_signed_body_says_who_it_is(void **state)
{
    static const enum policy_smime worthless[] = {POLICY_SMIME_BROKEN, POLICY_SMIME_STALE,
                                                  POLICY_SMIME_UNVERIFIABLE};
    struct call c;
    struct policy_identity *id = &c.party[POLICY_CALLEE].identity;

    (void)state;
    call_init(&c);
    id->verdict = IDENTITY_ABSENT; /* nothing but the body */
    check_level(&c, AT_CALLER, POLICY_PROTECTED);
    id->smime = POLICY_SMIME_NAMES;
    check_level(&c, AT_CALLER, POLICY_END_TO_END);
    for (unsigned i = 0; i < ARRAY_LEN(worthless); i++) {
        call_init(&c);
        id->smime = worthless[i]; /* beside a header that holds */
        check_level(&c, AT_CALLER, POLICY_END_TO_END);
        check_has(&c, AT_CALLER, POLICY_SMIME_NOT_VALID);
        id->verdict = IDENTITY_ABSENT;
        check_level(&c, AT_CALLER, POLICY_PROTECTED);
    }
    call_init(&c);
    id->smime = POLICY_SMIME_ENCRYPTED;
    check_level(&c, AT_CALLER, POLICY_END_TO_END);
    check_has(&c, AT_CALLER, POLICY_BODY_ENCRYPTED);
    id->smime = POLICY_SMIME_SIGNED; /* of any call: it says nothing of who is there */
    id->verdict = IDENTITY_ABSENT;
    check_level(&c, AT_CALLER, POLICY_PROTECTED);
    call_init(&c);
    id->smime = POLICY_SMIME_CONTRADICTED;
    check_level(&c, AT_CALLER, POLICY_ATTACKED);
    check_level(&c, AT_CALLEE, POLICY_ATTACKED);
}

/* 8.3.2: without a signature nobody can listen passively, and somebody can sit in the middle. */
static void fingerprints_must_be_signed(void **state)
{
    struct call c;
    struct policy_status s;

    (void)state;
    call_init(&c);
    c.medium[POLICY_CALLEE][0].bound = POLICY_BOUND_NONE;
    s = status_of(&c, AT_CALLER);
    assert_int_equal(s.level, POLICY_PROTECTED);
    assert_int_equal(s.answers[POLICY_Q_HEARD], POLICY_BY_HOPS);
    assert_int_equal(s.because[POLICY_Q_HEARD], POLICY_MEDIA_NOT_BOUND);
    check_level(&c, AT_CALLEE, POLICY_END_TO_END); /* Bob has Alice's, signed */
    /* A user's signature over keys without the user's certificate is the domain's. */
    call_init(&c);
    c.party[POLICY_CALLEE].identity.by_user = false;
    check_level(&c, AT_CALLER, POLICY_SECURE);
    call_init(&c);
    c.medium[POLICY_CALLEE][0].keys.middle = KEYING_MIDDLE_CAN; /* signed, but no fingerprint */
    check_level(&c, AT_CALLER, POLICY_PROTECTED);
}

/* Keys that we saw come from a phone along a hop that we authenticated, alone. */
static void our_own_hop_vouches(void **state)
{
    struct call c;

    (void)state;
    call_init_domains(&c);
    check_level(&c, AT_CALLEE, POLICY_SECURE);
    c.party[POLICY_CALLER].beyond = POLICY_BEYOND_UNKNOWN;
    check_level(&c, AT_CALLEE, POLICY_PROTECTED);
    c.party[POLICY_CALLER].beyond = POLICY_BEYOND_NONE;
    c.hop[POLICY_CALLER][0] =
        (struct policy_hop){.transport = TRANSPORT_UDP,
                            .below = {POLICY_BELOW_8021X, POLICY_BELOW_DECLARED, STR("ops"), 0}};
    check_level(&c, AT_CALLEE, POLICY_PROTECTED);
    check_has(&c, AT_CALLEE, POLICY_MEDIA_BOUND_BY_HOPS);
    c.hop[POLICY_CALLER][0].below.check = POLICY_BELOW_CHECKED;
    check_level(&c, AT_CALLEE, POLICY_SECURE);
}

static void a_compared_string_is_end_to_end(void **state)
{
    struct call c;

    (void)state;
    call_init_domains(&c);
    for (unsigned i = 0; i < 2; i++) {
        c.medium[i][0].keys = call_zrtp(false);
        c.medium[i][0].bound = POLICY_BOUND_NONE;
    }
    check_level(&c, AT_CALLER, POLICY_PROTECTED);
    for (unsigned i = 0; i < 2; i++)
        c.medium[i][0].keys = call_zrtp(true);
    check_level(&c, AT_CALLER, POLICY_END_TO_END); /* Bob's identity is verified */
    check_level(&c, AT_CALLEE, POLICY_SECURE);     /* Alice has signed nothing */
    c.party[POLICY_CALLEE].identity.known = POLICY_ID_CLAIMED;
    check_level(&c, AT_CALLER, POLICY_PROTECTED);
}

/* TR/100 8.4: what our edge does with media. */
static void relay_decides(void **state)
{
    struct call c;

    (void)state;
    call_init(&c); /* approach 2 */
    c.medium[POLICY_CALLER][0].relay = c.medium[POLICY_CALLEE][0].relay = POLICY_RELAY_REENCRYPTED;
    check_level(&c, AT_CALLER, POLICY_SECURE);
    check_has(&c, AT_CALLER, POLICY_MEDIA_REENCRYPTED);
    /* Alice's own leg must be hers now, or we may be talking with somebody else. */
    c.medium[POLICY_CALLER][0].bound = POLICY_BOUND_NONE;
    check_level(&c, AT_CALLER, POLICY_PROTECTED);
    call_init(&c); /* approach 1 */
    c.medium[POLICY_CALLER][0].relay = POLICY_RELAY_CLEAR;
    c.medium[POLICY_CALLER][0].keys = keying_facts_clear();
    c.medium[POLICY_CALLEE][0].relay = POLICY_RELAY_REENCRYPTED;
    check_level(&c, AT_CALLER, POLICY_OPEN);
    check_level(&c, AT_CALLEE, POLICY_OPEN);
    check_has(&c, AT_CALLER, POLICY_MEDIA_CLEAR_INSIDE);
    c.medium[POLICY_CALLER][0].below =
        (struct policy_below){POLICY_BELOW_VPN, POLICY_BELOW_CHECKED, STR("ops"), 0};
    check_level(&c, AT_CALLER, POLICY_PROTECTED);
    check_has(&c, AT_CALLER, POLICY_MEDIA_CLEAR_BELOW);
    c.medium[POLICY_CALLER][0].below.check = POLICY_BELOW_GONE;
    check_level(&c, AT_CALLER, POLICY_OPEN);
    check_has(&c, AT_CALLER, POLICY_MEDIA_PROTECTION_GONE);
    call_init(&c); /* a recorder is a party more */
    c.f.n_parties = 3;
    c.party[2] = c.party[POLICY_CALLER];
    c.hop[2][0] = c.hop[POLICY_CALLER][0];
    c.medium[2][0] = c.medium[POLICY_CALLER][0];
    call_link(&c);
    c.party[2].ends_at = POLICY_ENDS_RECORDER;
    check_level(&c, AT_CALLER, POLICY_SECURE);
    check_has(&c, AT_CALLEE, POLICY_RECORDED);
}

static void weak_suites_and_other_media(void **state)
{
    struct call c;

    (void)state;
    call_init(&c);
    c.party[POLICY_CALLEE].n_media = 2; /* video beside the audio */
    c.medium[POLICY_CALLEE][1] = c.medium[POLICY_CALLEE][0];
    c.medium[POLICY_CALLEE][1].kind = POLICY_MEDIA_VIDEO;
    check_level(&c, AT_CALLER, POLICY_END_TO_END);
    c.medium[POLICY_CALLEE][1].keys.unencrypted_rtp = true;
    check_level(&c, AT_CALLER, POLICY_OPEN);
    assert_int_equal(status_of(&c, AT_CALLER).reasons[0].medium, 1);
    c.medium[POLICY_CALLEE][1].keys = call_dtls();
    c.medium[POLICY_CALLEE][1].keys.unauthenticated_rtp = true;
    check_level(&c, AT_CALLER, POLICY_OPEN);
    c.medium[POLICY_CALLEE][1].keys = call_dtls();
    c.medium[POLICY_CALLEE][1].keys.unencrypted_rtcp = true;
    check_level(&c, AT_CALLER, POLICY_OPEN);
    c.medium[POLICY_CALLEE][1].keys = call_dtls();
    c.medium[POLICY_CALLEE][1].keys.suite = keying_suite_get(KEYING_NULL_80);
    check_level(&c, AT_CALLER, POLICY_OPEN);
    c.medium[POLICY_CALLEE][1].keys.suite = keying_suite_get(KEYING_AES_128_CM_32);
    check_level(&c, AT_CALLER, POLICY_END_TO_END);
    check_has(&c, AT_CALLER, POLICY_MEDIA_TAG_SHORT);
    c.medium[POLICY_CALLEE][1].keys = call_dtls();
    c.medium[POLICY_CALLEE][1].keys.seen_by_branches = true; /* 8.2.1.3 */
    check_level(&c, AT_CALLER, POLICY_PROTECTED);
    c.medium[POLICY_CALLEE][1].keys = call_dtls();
    c.medium[POLICY_CALLEE][1].keys.known_to = KEYING_KNOWN_SHARED;
    check_level(&c, AT_CALLER, POLICY_SECURE);
    c.medium[POLICY_CALLEE][1].keys = keying_facts_clear();
    check_level(&c, AT_CALLER, POLICY_OPEN);
    check_has(&c, AT_CALLER, POLICY_MEDIA_CLEAR);
}

/* Negotiated is said, proven is said apart; before the answer it is said what is expected. */
static void from_the_offer_to_the_proof(void **state)
{
    struct call c;
    struct policy_status s;

    (void)state;
    call_init_domains(&c);
    c.medium[POLICY_CALLER][0].keys = keying_facts_clear();
    c.medium[POLICY_CALLER][0].keys.method = KEYING_DTLS;
    c.medium[POLICY_CALLEE][0].keys = c.medium[POLICY_CALLER][0].keys;
    s = status_of(&c, AT_CALLEE);
    assert_int_equal(s.level, POLICY_PROTECTED);
    assert_int_equal(s.expected, POLICY_SECURE);
    assert_false(s.is_proven);
    assert_true(policy_status_has(&s, POLICY_MEDIA_NOT_AGREED));
    c.medium[POLICY_CALLER][0].keys.method = KEYING_SDES;
    assert_int_equal(status_of(&c, AT_CALLEE).expected, POLICY_PROTECTED);
    c.party[POLICY_CALLEE].n_media = 0; /* nothing is offered: nothing can be expected */
    assert_int_equal(status_of(&c, AT_CALLEE).expected, POLICY_PROTECTED);
    call_init_domains(&c);
    c.medium[POLICY_CALLER][0].keys.proof = KEYING_PROOF_NEGOTIATED;
    s = status_of(&c, AT_CALLEE);
    assert_int_equal(s.level, POLICY_SECURE);
    assert_int_equal(s.expected, POLICY_SECURE);
    assert_false(s.is_proven);
    assert_true(policy_status_has(&s, POLICY_MEDIA_NOT_PROVEN));
}

/* --- Conferences, messages, nothing at all --- */

static void every_member_counts(void **state)
{
    struct call c;
    struct policy_status s;

    (void)state;
    call_init(&c);
    c.party[POLICY_CALLEE].ends_at = POLICY_ENDS_CONFERENCE;
    check_level(&c, AT_CALLER, POLICY_PROTECTED);
    c.party[POLICY_CALLEE].ends_at = POLICY_ENDS_USER;
    c.f.n_parties = 4;
    for (unsigned i = 2; i < 4; i++) {
        c.party[i] = c.party[POLICY_CALLEE];
        c.hop[i][0] = c.hop[POLICY_CALLEE][0];
        c.medium[i][0] = c.medium[POLICY_CALLEE][0];
    }
    call_link(&c);
    check_level(&c, AT_CALLER, POLICY_END_TO_END);
    c.party[3].identity.known = POLICY_ID_CLAIMED;
    s = status_of(&c, AT_CALLER);
    assert_int_equal(s.level, POLICY_PROTECTED);
    assert_int_equal(s.reasons[0].party, 3);
    check_level(&c, 3, POLICY_END_TO_END); /* the one who is not sure is not sure of himself */
}

static void a_message_is_read_by_every_hop(void **state)
{
    struct call c;

    (void)state;
    call_init(&c);
    c.f.subject = POLICY_MESSAGE;
    c.party[0].n_media = c.party[1].n_media = 0;
    c.party[POLICY_CALLER].identity.body_bound = true;
    check_level(&c, AT_CALLEE, POLICY_PROTECTED);
    check_has(&c, AT_CALLEE, POLICY_MESSAGE_IN_SIGNALLING);
    assert_int_equal(status_of(&c, AT_CALLEE).answers[POLICY_Q_CHANGED], POLICY_BY_USERS);
    c.party[POLICY_CALLER].identity.body_bound = false;
    check_has(&c, AT_CALLEE, POLICY_MESSAGE_NOT_SIGNED);
    assert_int_equal(status_of(&c, AT_CALLEE).answers[POLICY_Q_CHANGED], POLICY_BY_HOPS);
}

static void nothing_filled_in_is_never_security(void **state)
{
    static struct policy_party parties[2];
    static struct policy_medium medium;
    struct policy_facts f = {0};
    struct policy_status s;

    (void)state;
    policy_status(&f, AT_CALLEE, &s);
    assert_int_equal(s.level, POLICY_OPEN);
    f = (struct policy_facts){.n_parties = 2, .parties = parties};
    policy_status(&f, AT_CALLEE, &s);
    assert_int_equal(s.level, POLICY_OPEN);
    for (unsigned i = 0; i < 2; i++) {
        parties[i].n_media = 1;
        parties[i].media = &medium;
    }
    policy_status(&f, AT_CALLEE, &s);
    assert_int_equal(s.level, POLICY_OPEN);
    assert_false(s.is_proven);
    policy_status(&f, 77, &s); /* nobody: then all are others */
    assert_int_equal(s.level, POLICY_OPEN);
}

/* That a call took place is never assured (TR/100 10). */
static void the_call_itself_is_no_secret(void **state)
{
    struct call c;

    (void)state;
    call_init(&c);
    assert_int_equal(status_of(&c, AT_CALLER).answers[POLICY_Q_SECRET], POLICY_NO);
    assert_string_equal(policy_answer_code(POLICY_NO), "no");
    assert_non_null(strstr(policy_answer_text(POLICY_Q_SECRET, POLICY_NO), "every system"));
}

/* --- Rules --- */

static void rules_decide(void **state)
{
    struct policy_rule strict = {.require = POLICY_SECURE}, none = {0}, both;
    struct policy_rule alarm = {.on_attack = POLICY_ATTACK_ALARM};
    struct policy_status s;
    struct reason why = {0};
    struct call c;
    bool is_alarm;

    (void)state;
    call_init_domains(&c);
    s = status_of(&c, AT_CALLER);
    assert_int_equal(policy_rule_check(&strict, &c.f, &s, &is_alarm, &why), 0);
    assert_false(is_alarm);
    strict.require = POLICY_END_TO_END;
    check_err(policy_rule_check(&strict, &c.f, &s, &is_alarm, &why), ERR_REFUSED);
    assert_string_equal(why.code, "media-bound-by-domain");
    assert_string_equal(why.clause, "TR/100 7.4.2");
    assert_int_equal(why.sip_status, 488);
    /* Before the answer what is expected counts. */
    strict.require = POLICY_SECURE;
    for (unsigned i = 0; i < 2; i++) {
        c.medium[i][0].keys = keying_facts_clear();
        c.medium[i][0].keys.method = KEYING_DTLS;
    }
    s = status_of(&c, AT_CALLEE);
    assert_int_equal(policy_rule_check(&strict, &c.f, &s, &is_alarm, &why), 0);
    c.medium[0][0].keys.method = c.medium[1][0].keys.method = KEYING_CLEAR;
    s = status_of(&c, AT_CALLEE);
    check_err(policy_rule_check(&strict, &c.f, &s, &is_alarm, &why), ERR_REFUSED);
    assert_string_equal(why.code, "media-clear");
    assert_int_equal(why.sip_status, 488);
    assert_int_equal(policy_rule_check(&none, &c.f, &s, &is_alarm, &why), 0);
    c.f.is_emergency = true; /* RFC 6881: nothing stops it */
    assert_int_equal(policy_rule_check(&strict, &c.f, &s, &is_alarm, &why), 0);
    c.f.is_emergency = false;
    c.party[POLICY_CALLER].identity.verdict = IDENTITY_CONTRADICTED;
    s = status_of(&c, AT_CALLEE);
    check_err(policy_rule_check(&none, &c.f, &s, &is_alarm, &why), ERR_REFUSED);
    assert_true(is_alarm);
    assert_string_equal(why.code, "identity-contradicted");
    assert_int_equal(why.sip_status, 438);
    is_alarm = false;
    assert_int_equal(policy_rule_check(&alarm, &c.f, &s, &is_alarm, &why), 0);
    assert_true(is_alarm);
    both = policy_rule_stricter(alarm, strict);
    assert_int_equal(both.require, POLICY_SECURE);
    assert_int_equal(both.on_attack, POLICY_ATTACK_REJECT);
}

/* --- Facts as a block --- */

static void a_copy_stands_alone(void **state)
{
    char address[] = "sip:bob@example2.com", peer[300];
    struct policy_facts *copy;
    struct policy_status a, b;
    struct call c;

    (void)state;
    memset(peer, 'x', sizeof(peer));
    call_init_domains(&c);
    c.party[POLICY_CALLEE].identity.address = str_make(address, sizeof(address) - 1);
    c.hop[POLICY_CALLEE][0].peer = str_make(peer, sizeof(peer));
    a = status_of(&c, AT_CALLER);
    assert_int_equal(policy_facts_copy(&c.f, &copy), 0);
    memset(address, '?', sizeof(address));
    memset(&c.party, 0, sizeof(c.party));
    memset(&c.hop, 0, sizeof(c.hop));
    memset(&c.medium, 0, sizeof(c.medium));
    policy_status(copy, AT_CALLER, &b);
    assert_memory_equal(&a, &b, sizeof(a));
    check_str(copy->parties[POLICY_CALLEE].identity.address, "sip:bob@example2.com");
    assert_int_equal(copy->parties[POLICY_CALLEE].hops[0].peer.n, LIMIT_POLICY_TEXT);
    check_str(copy->parties[POLICY_CALLER].media[0].bound_by, "example1.com");
    /* In mid-call a fact is written where it is. */
    copy->parties[POLICY_CALLEE].media[0].keys.attacks = KEYING_ATTACK_FINGERPRINT;
    policy_status(copy, AT_CALLER, &b);
    assert_int_equal(b.level, POLICY_ATTACKED);
    policy_facts_free(copy);
    policy_facts_free(NULL);
}

static void too_much_is_refused(void **state)
{
    struct policy_facts *copy;
    struct call c;

    (void)state;
    call_init(&c);
    c.party[0].n_hops = LIMIT_POLICY_HOPS + 1;
    check_err(policy_facts_copy(&c.f, &copy), ERR_LIMIT);
    c.party[0].n_hops = 1;
    c.party[0].n_media = LIMIT_POLICY_MEDIA + 1;
    check_err(policy_facts_copy(&c.f, &copy), ERR_LIMIT);
    c.f.n_parties = LIMIT_POLICY_PARTIES + 1;
    check_err(policy_facts_copy(&c.f, &copy), ERR_LIMIT);
    assert_null(copy);
#ifdef SALLYPORT_FAULTS
    call_init(&c);
    fault_arm(1);
    check_err(policy_facts_copy(&c.f, &copy), ERR_NOMEM);
    fault_disarm();
    assert_null(copy);
#endif
}

/* What the identity room found, as facts. */
static void facts_from_a_verified_signature(void **state)
{
    struct identity_result r = {.verdict = IDENTITY_VALID,
                                .authority = IDENTITY_BY_NUMBER,
                                .reached = IDENTITY_REACHED_PROVEN,
                                .keys_bound = true,
                                .attest = 'A'};
    const struct passport_id bob = {false, STR("sip:bob@b.example")},
                             carol = {false, STR("sip:carol@c.example")},
                             dave = {false, STR("sip:dave@d.example")};
    const struct identity_token chain[] = {
        {.p = {.type = PASSPORT_DIV, .div = carol, .dest = &dave, .n_dest = 1}, .in_chain = true},
        {.p = {.dest = &bob, .n_dest = 1}, .in_chain = true},
        {.p = {.type = PASSPORT_DIV, .div = bob, .dest = &carol, .n_dest = 1}, .in_chain = true},
        {.p = {.type = PASSPORT_DIV, .div = dave, .dest = &bob, .n_dest = 1}}, /* of no chain */
    };
    struct policy_identity id;

    (void)state;
    assert_int_equal(policy_identity_from(&r, STR("+4930123"), STR("provider.net"), true, &id), 0);
    assert_int_equal(id.known, POLICY_ID_VERIFIED);
    assert_int_equal(id.reached, IDENTITY_REACHED_PROVEN);
    assert_int_equal(policy_bound_from(&r), POLICY_BOUND_DOMAIN);
    assert_int_equal(id.diverted_by.n, 0);
    r.tokens = chain; /* ann called bob, who forwards to carol, who forwards to dave; in any order */
    r.n_tokens = ARRAY_LEN(chain);
    (void)policy_identity_from(&r, STR("+4930123"), STR("provider.net"), true, &id);
    assert_true(str_eq(id.diverted_by, STR("sip:carol@c.example")));
    r.reached = IDENTITY_REACHED_UNPROVEN;
    (void)policy_identity_from(&r, STR("+4930123"), STR("provider.net"), true, &id);
    assert_int_equal(id.diverted_by.n, 0);
    r.by_user = true;
    assert_int_equal(policy_bound_from(&r), POLICY_BOUND_USER);
    r.keys_bound = false;
    r.attest = 'C';
    assert_int_equal(policy_bound_from(&r), POLICY_BOUND_NONE);
    assert_int_equal(policy_identity_from(&r, STR("+4930123"), STR("provider.net"), true, &id),
                     POLICY_HINT_ATTEST_C | POLICY_HINT_NO_KEYS);
    assert_int_equal(policy_body_bound_from(&r), POLICY_BOUND_NONE);
    r.by_rfc4474 = r.body_bound = true;
    r.by_user = false;
    assert_int_equal(policy_body_bound_from(&r), POLICY_BOUND_DOMAIN);
    (void)policy_identity_from(&r, STR("sip:a@b"), STR("b"), true, &id);
    assert_true(id.by_sha1 && id.body_bound);
    r.by_user = r.keys_bound = true;
    r.verdict = r.worst = IDENTITY_BROKEN; /* as the check has it: there is no other */
    r.why.code = "identity-broken-signature";
    assert_int_equal(policy_bound_from(&r), POLICY_BOUND_NONE);
    assert_int_equal(policy_identity_from(&r, STR("+4930123"), STR_NULL, true, &id), 0);
    assert_int_equal(id.known, POLICY_ID_CLAIMED);
    assert_int_equal(policy_body_bound_from(&r), POLICY_BOUND_NONE);
    assert_false(id.by_user || id.by_sha1);
    assert_string_equal(id.why, "identity-broken-signature");
    assert_int_equal(id.worst, IDENTITY_ABSENT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(end_to_end_by_users_signatures),
        cmocka_unit_test(secure_from_domain_to_domain),
        cmocka_unit_test(attacked_when_the_fingerprint_is_changed),
        cmocka_unit_test(protected_at_most_at_a_gateway),
        cmocka_unit_test(bad_luck_is_no_attack),
        cmocka_unit_test(who_decides),
        cmocka_unit_test(numbers_diversions_and_rewriting),
        cmocka_unit_test(hops_decide),
        cmocka_unit_test(the_weakest_of_several_hops_counts),
        cmocka_unit_test(what_lies_behind_our_hops),
        cmocka_unit_test(keys_in_the_signalling_are_never_secure),
        cmocka_unit_test(a_signed_body_binds_keys_of_all_kinds),
        cmocka_unit_test(a_signed_body_says_who_it_is),
        cmocka_unit_test(fingerprints_must_be_signed),
        cmocka_unit_test(our_own_hop_vouches),
        cmocka_unit_test(a_compared_string_is_end_to_end),
        cmocka_unit_test(relay_decides),
        cmocka_unit_test(weak_suites_and_other_media),
        cmocka_unit_test(from_the_offer_to_the_proof),
        cmocka_unit_test(every_member_counts),
        cmocka_unit_test(a_message_is_read_by_every_hop),
        cmocka_unit_test(nothing_filled_in_is_never_security),
        cmocka_unit_test(the_call_itself_is_no_secret),
        cmocka_unit_test(rules_decide),
        cmocka_unit_test(a_copy_stands_alone),
        cmocka_unit_test(too_much_is_refused),
        cmocka_unit_test(facts_from_a_verified_signature),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

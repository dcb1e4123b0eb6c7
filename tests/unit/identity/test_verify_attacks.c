/* Attacks on the verification service that TR/100 6.2 and RFC 8224 12 name, each with the verdict
 * it gets: other media keys, signers without authority, replays, other algorithms. */
#include "verify_fixture.h"
#include <stdio.h>

static void changed_fingerprint(void **state)
{
    struct str value = world_sign(w, A, BASE, NULL);
    struct passport p = claims();

    (void)state;
    w->m.mky = w->other_mky; /* a man in the middle puts in his own */
    w->m.n_mky = 1;
    expect_one(value, IDENTITY_CONTRADICTED, "identity-mky-contradicted");
    w->m.n_mky = 0; /* or makes it a call without encryption */
    expect_one(value, IDENTITY_CONTRADICTED, "identity-mky-contradicted");
    w->m.mky = w->mky;
    w->m.n_mky = 1; /* or takes one of two away */
    expect_one(value, IDENTITY_CONTRADICTED, "identity-mky-contradicted");
    w->m.n_mky = 2;
    expect_one(value, IDENTITY_VALID, NULL);
    p.n_mky = 0; /* keys that nobody vouches for */
    value = world_forge(w, A, p, NULL);
    expect_one(value, IDENTITY_BROKEN, "identity-mky-missing");
    w->policy.allow_unsigned_keys = true;
    {
        struct identity_result r = world_verify(w, &value, 1);

        world_expect(&r, IDENTITY_VALID, NULL);
        assert_false(r.keys_bound);
    }
    w->m.n_mky = 0; /* no keys on either side: nothing to bind */
    expect_one(value, IDENTITY_VALID, NULL);
    /* the compact form cannot tell */
    w->m.n_mky = 2;
    value = world_sign(w, A, (struct identity_sign_args){.compact = true}, NULL);
    w->m.mky = w->other_mky;
    w->m.n_mky = 1;
    expect_one(value, IDENTITY_BROKEN, "identity-signature");
}

/* A certificate that is valid, but not for this caller. */
static void wrong_signer(void **state)
{
    static const struct {
        enum who by;
        const char *orig;
        bool is_tn;
        enum identity_verdict verdict;
        enum identity_authority authority;
    } cases[] = {
        {A, "sip:alice@a.example", false, IDENTITY_VALID, IDENTITY_BY_DOMAIN},
        {A, "sips:alice@a.example", false, IDENTITY_VALID, IDENTITY_BY_DOMAIN},
        {A, "sip:a.example", false, IDENTITY_VALID, IDENTITY_BY_DOMAIN},
        {B, "sip:alice@a.example", false, IDENTITY_CONTRADICTED, IDENTITY_NO_AUTHORITY},
        {C, "sip:alice@a.example", false, IDENTITY_CONTRADICTED, IDENTITY_NO_AUTHORITY},
        {A, "sip:alice@sub.a.example", false, IDENTITY_CONTRADICTED, IDENTITY_NO_AUTHORITY},
        {A, "sip:alice@a.example.evil.example", false, IDENTITY_CONTRADICTED,
         IDENTITY_NO_AUTHORITY},
        {A, "sip:a.example@evil.example", false, IDENTITY_CONTRADICTED, IDENTITY_NO_AUTHORITY},
        {A, "mailto:alice@a.example", false, IDENTITY_CONTRADICTED, IDENTITY_NO_AUTHORITY},
        {USER, "sip:alice@a.example", false, IDENTITY_VALID, IDENTITY_BY_USER},
        {USER, "sips:alice@a.example", false, IDENTITY_VALID, IDENTITY_BY_USER},
        {USER, "sip:bob@a.example", false, IDENTITY_CONTRADICTED, IDENTITY_NO_AUTHORITY},
        {C, "12155551212", true, IDENTITY_VALID, IDENTITY_BY_NUMBER},
        {C, "12155561212", true, IDENTITY_CONTRADICTED, IDENTITY_NO_AUTHORITY},
        {A, "12155551212", true, IDENTITY_CONTRADICTED, IDENTITY_NO_AUTHORITY},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct passport p = claims();
        struct str value;
        struct identity_result r;

        p.orig = w->m.orig = cases[i].is_tn ? tn(cases[i].orig) : uri(cases[i].orig);
        value = world_forge(w, cases[i].by, p, NULL);
        r = world_verify(w, &value, 1);
        world_expect(&r, cases[i].verdict,
                     cases[i].verdict == IDENTITY_VALID ? NULL : "identity-authority");
        assert_int_equal(r.token->authority, cases[i].authority);
    }
}

/* What policy adds: number prefixes of a peer, and a provider's word. */
static void authority_by_policy(void **state)
{
    static const struct str prefixes[] = {{"4930", 4}, {"", 0}}, spc = {"1234", 4};
    static const struct pki_tnauth by_spc = {.spcs = &spc, .n_spcs = 1};
    static const struct pki_tnauth *const chain[] = {NULL, &by_spc};
    struct passport p = claims();
    struct str value;
    struct identity_result r;

    (void)state;
    p.orig = w->m.orig = tn("4930123456");
    value = world_forge(w, A, p, NULL);
    expect_one(value, IDENTITY_CONTRADICTED, "identity-authority");
    w->cred[A].tn = chain;
    w->cred[A].n_tn = 2;
    r = world_verify(w, &value, 1);
    world_expect(&r, IDENTITY_VALID, NULL);
    assert_int_equal(r.authority, IDENTITY_BY_PROVIDER);
    w->policy.allow_provider = false;
    expect_one(value, IDENTITY_CONTRADICTED, "identity-authority");
    w->cred[A].prefixes = prefixes;
    w->cred[A].n_prefixes = 2;
    r = world_verify(w, &value, 1);
    world_expect(&r, IDENTITY_VALID, NULL);
    assert_int_equal(r.authority, IDENTITY_BY_POLICY);
    check_str(identity_authority_text(r.authority), "policy");
    p.orig = w->m.orig = tn("4940123456");
    expect_one(world_forge(w, A, p, NULL), IDENTITY_CONTRADICTED, "identity-authority");
}

/* A provider in the middle that puts keys of its own in their place, and signs them, beside what
 * the number's holder has signed. */
static void provider_in_the_middle(void **state)
{
    static const struct str spc = {"1234", 4};
    static const struct pki_tn_range all = {4930123456, 4930123456, 10};
    static const struct pki_tnauth by_spc = {.spcs = &spc, .n_spcs = 1},
                                   by_number = {.ranges = &all, .n_ranges = 1};
    static const struct pki_tnauth *const provider[] = {&by_spc}, *const holder[] = {&by_number};
    const struct passport_key other = {STR("sha-256"), STR("66")};
    struct str both[2];
    struct identity_result r;

    (void)state;
    w->m.orig = tn("4930123456");
    w->cred[A].tn = holder;
    w->cred[C].tn = provider;
    w->cred[A].n_tn = w->cred[C].n_tn = 1;
    both[0] = world_sign(w, A, BASE, NULL);
    w->m.mky = &other;
    w->m.n_mky = 1;
    both[1] = world_sign(w, C, BASE, NULL);
    r = world_verify(w, &both[1], 1);
    world_expect(&r, IDENTITY_VALID, NULL);
    assert_int_equal(r.authority, IDENTITY_BY_PROVIDER);
    r = world_verify(w, both, 2);
    world_expect(&r, IDENTITY_CONTRADICTED, "identity-mky-contradicted");
    assert_int_equal(r.token->header, 0);
    w->cred[C].tn = holder; /* who has the number as well may say that its keys are others */
    r = world_verify(w, both, 2);
    world_expect(&r, IDENTITY_VALID, NULL);
    assert_int_equal(r.worst, IDENTITY_CONTRADICTED);
}

/* RFC 8226 8, RFC 9118: a certificate that may only claim this much. */
static void constrained(void **state)
{
    static const struct str names[] = {{"attest", 6}, {"mky", 3}}, values[] = {{"B", 1}, {"C", 1}};
    static const struct pki_claim_values permitted = {{"attest", 6}, values, 2};
    struct pki_claim_rules rules = {.permitted = &permitted, .n_permitted = 1};
    struct identity_sign_args args = {.type = PASSPORT_SHAKEN, .attest = 'A', .origid = STR("x")};
    struct str value = world_sign(w, A, args, NULL), compact;

    (void)state;
    compact = world_sign(w, A, (struct identity_sign_args){.compact = true}, NULL);
    expect_one(value, IDENTITY_VALID, NULL);
    w->cred[A].rules = &rules;
    expect_one(value, IDENTITY_CONTRADICTED, "cert-claim-violated");
    expect_one(compact, IDENTITY_VALID, NULL); /* has no such claim */
    rules = (struct pki_claim_rules){.must_include = names, .n_include = 2};
    expect_one(value, IDENTITY_VALID, NULL);
    expect_one(compact, IDENTITY_CONTRADICTED, "cert-claim-violated");
    rules = (struct pki_claim_rules){.must_exclude = names, .n_exclude = 1};
    expect_one(value, IDENTITY_CONTRADICTED, "cert-claim-violated");
    expect_one(compact, IDENTITY_VALID, NULL);
    rules = (struct pki_claim_rules){.must_include = names + 1, .n_include = 1};
    expect_one(compact, IDENTITY_VALID, NULL);
}

static void replayed(void **state)
{
    static const uint8_t key[16] = {7};
    struct identity_replay *replay = identity_replay_new(100, key);
    struct identity_use invite = {STR("call-1"), STR("tag-1"), 1, false, false},
                        other = {STR("call-2"), STR("tag-1"), 1, false, false};
    struct str value = world_sign(w, A, BASE, NULL), again;
    struct identity_result r = world_verify_use(w, &value, 1, replay, &invite);

    (void)state;
    world_expect(&r, IDENTITY_VALID, NULL);
    r = world_verify_use(w, &value, 1, replay, &invite); /* a fork */
    world_expect(&r, IDENTITY_VALID, NULL);
    r = world_verify_use(w, &value, 1, replay, &other);
    world_expect(&r, IDENTITY_CONTRADICTED, "identity-replay");
    assert_int_equal(r.why.sip_status, 438);
    /* Signed anew, the same claims are another call. */
    again = world_sign(w, A, BASE, NULL);
    r = world_verify_use(w, &again, 1, replay, &other);
    world_expect(&r, IDENTITY_VALID, NULL);
    /* After the answer the very same request is a replay; after a 438 once more is not. */
    identity_replay_answered(replay, &r.token->tag, &other, 438);
    r = world_verify_use(w, &again, 1, replay, &other);
    world_expect(&r, IDENTITY_VALID, NULL);
    identity_replay_answered(replay, &r.token->tag, &other, 200);
    r = world_verify_use(w, &again, 1, replay, &other);
    world_expect(&r, IDENTITY_CONTRADICTED, "identity-replay");
    /* What does not hold is not remembered. */
    assert_int_equal(identity_replay_count(replay), 2);
    w->cred[A].key = w->verifier[B];
    again = world_sign(w, A, BASE, NULL);
    r = world_verify_use(w, &again, 1, replay, &other);
    world_expect(&r, IDENTITY_BROKEN, "identity-signature");
    assert_int_equal(identity_replay_count(replay), 2);
    identity_replay_free(replay);
}

/* From (R, S) anybody can make (R, n - S), which verifies, too: it must not pass for a new
 * signature.
 */
static void replayed_malleated(void **state)
{
    static const uint8_t order[32] = {0xff, 0xff, 0xff, 0xff, 0x00, 0x00, 0x00, 0x00,
                                      0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
                                      0xbc, 0xe6, 0xfa, 0xad, 0xa7, 0x17, 0x9e, 0x84,
                                      0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x51},
                         key[16] = {7};
    struct identity_replay *replay = identity_replay_new(100, key);
    struct identity_use invite = {STR("call-1"), STR("tag-1"), 1, false, false},
                        other = {STR("call-2"), STR("tag-1"), 1, false, false};
    struct passport p;
    struct str value = world_forge(w, A, claims(), &p);
    uint8_t raw[64];
    char text[JWS_SIGNATURE_TEXT_MAX];
    size_t n;
    int borrow = 0;
    struct identity_result r = world_verify_use(w, &value, 1, replay, &invite);

    (void)state;
    world_expect(&r, IDENTITY_VALID, NULL);
    check_err(str_base64_decode(raw, 64, p.signature, true, &n), 0);
    for (int i = 31; i >= 0; i--) {
        int v = order[i] - raw[32 + i] - borrow;

        borrow = v < 0;
        raw[32 + i] = (uint8_t)v;
    }
    check_err(str_base64_encode(text, sizeof(text), raw, 64, true), 0);
    value = identity_hdr_of(w->arena, &p, str_z(text), false);
    assert_false(str_eq(p.signature, str_z(text)));
    expect_one(value, IDENTITY_VALID, NULL); /* without the cache */
    r = world_verify_use(w, &value, 1, replay, &other);
    world_expect(&r, IDENTITY_CONTRADICTED, "identity-replay");
    identity_replay_free(replay);
}

static void algorithm_confusion(void **state)
{
#define PAYLOAD                                                                                    \
    "{\"dest\":{\"uri\":[\"sip:bob@b.example\"]},\"iat\":1700000000,\"mky\":[{\"alg\":\"sha-"      \
    "256\","                                                                                       \
    "\"dig\":\"0011AA\"},{\"alg\":\"sha-256\",\"dig\":\"4455BB\"}],\"orig\":{\"uri\":\"sip:alice@" \
    "a."                                                                                           \
    "example\"}}"
#define HEAD(alg) "{\"alg\":\"" alg "\",\"typ\":\"passport\",\"x5u\":\"" URL_A "\"}"
    (void)state;
    expect_one(world_forge_text(w, A, HEAD("ES256"), PAYLOAD), IDENTITY_VALID, NULL);
    expect_one(world_forge_text(w, A, HEAD("none"), PAYLOAD), IDENTITY_BROKEN,
               "passport-alg-confusion");
    expect_one(world_forge_text(w, A, HEAD("HS256"), PAYLOAD), IDENTITY_BROKEN,
               "passport-alg-confusion");
    expect_one(world_forge_text(w, A, HEAD("RS256"), PAYLOAD), IDENTITY_UNVERIFIABLE,
               "passport-alg-unsupported");
    expect_one(world_forge_text(w, A, HEAD("ES384"), PAYLOAD), IDENTITY_UNVERIFIABLE,
               "passport-alg-unsupported");
    w->policy.algs |= JWS_BIT(JWS_ES384); /* allowed, but the key is not for it */
    {
        struct str value = world_forge_text(w, A, HEAD("ES384"), PAYLOAD);
        char text[4096];
        int n = snprintf(text, sizeof(text), "%.*s;alg=ES384", STR_FMT(value));

        expect_one(value, IDENTITY_BROKEN, "identity-alg-mismatch");
        expect_one(str_make(text, (size_t)n), IDENTITY_BROKEN, "passport-alg-confusion");
    }
    /* twice the same name, two readings */
    expect_one(
        world_forge_text(w, A, HEAD("ES256"),
                         "{\"dest\":{\"uri\":[\"sip:bob@b.example\"]},\"iat\":1700000000,"
                         "\"orig\":{\"uri\":\"sip:alice@a.example\"},\"orig\":{\"uri\":\"sip:"
                         "eve@a.example\"}}"),
        IDENTITY_BROKEN, "json-syntax");
    expect_one(world_forge_text(w, A, HEAD("ES256"), "[[[[[[[[[[[[[[[["), IDENTITY_BROKEN,
               "json-limit");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(changed_fingerprint),    TEST(wrong_signer),        TEST(authority_by_policy),
        TEST(provider_in_the_middle), TEST(constrained),         TEST(replayed),
        TEST(replayed_malleated),     TEST(algorithm_confusion),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

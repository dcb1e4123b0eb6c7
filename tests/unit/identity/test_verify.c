/* The verification service: RFC 8224 6.2, RFC 8588, RFC 8862, RFC 9475, RFC 9970: what each value comes
 * to. Attacks on it are in test_verify_attacks.c. */
#include "base/limits.h"
#include "oom.h"
#include "vectors.h"
#include "verify_fixture.h"
#include <stdio.h>

static void valid(void **state)
{
    for (int compact = 0; compact < 2; compact++) {
        struct identity_sign_args args = {.type = PASSPORT_BASE, .compact = compact};
        struct str value = world_sign(w, A, args, NULL);
        struct identity_result r = world_verify(w, &value, 1);

        (void)state;
        assert_int_equal(value.p[0] == '.', compact);
        world_expect(&r, IDENTITY_VALID, NULL);
        assert_int_equal(r.authority, IDENTITY_BY_DOMAIN);
        assert_int_equal(r.reached, IDENTITY_REACHED_SAME);
        assert_true(r.keys_bound);
        assert_false(r.body_bound);
        assert_false(r.by_user);
        assert_false(r.date_differs);
        assert_int_equal(r.worst, IDENTITY_VALID);
        assert_int_equal(r.n_tokens, 1);
        assert_int_equal(r.token->is_compact, compact);
    }
}

static void absent(void **state)
{
    struct identity_result r = world_verify(w, NULL, 0);
    struct str value;

    (void)state;
    world_expect(&r, IDENTITY_ABSENT, "identity-absent");
    assert_int_equal(r.why.sip_status, 428);
    assert_null(r.token);
    /* 8224 6.2 step 1: a ppt that is not supported is ignored, in the header or in the token */
    expect_one(STR("a.b.c;info=<https://a.example/cert>;ppt=rcd"), IDENTITY_ABSENT,
               "identity-ppt-unsupported");
    value = world_forge_text(
        w, A, "{\"alg\":\"ES256\",\"ppt\":\"x\",\"typ\":\"passport\",\"x5u\":\"" URL_A "\"}",
        "{\"dest\":{\"uri\":[\"sip:bob@b.example\"]},\"iat\":1700000000,\"orig\":{"
        "\"uri\":\"sip:alice@a.example\"}}");
    expect_one(value, IDENTITY_ABSENT, "identity-ppt-unsupported");
    w->policy.types &= ~PASSPORT_BIT(PASSPORT_BASE);
    expect_one(world_sign(w, A, BASE, NULL), IDENTITY_ABSENT, NULL);
    expect_one(STR("\"c2ln\""), IDENTITY_ABSENT, "identity-rfc4474");
    /* RFC 8443: who may grant priority says nothing about who calls */
    w->policy.types |= PASSPORT_BIT(PASSPORT_RPH);
    expect_one(STR("a.b.c;info=<https://a.example/cert>;ppt=rph"), IDENTITY_ABSENT,
               "identity-ppt-unsupported");
}

static void unverifiable(void **state)
{
    struct str value = world_sign(w, A, BASE, NULL);

    (void)state;
    w->cred[A].state = IDENTITY_CRED_MISSING;
    reason_set(&w->cred[A].why, "fetch-timeout", "RFC 8224 7.2", 0, "no answer");
    expect_one(value, IDENTITY_UNVERIFIABLE, "fetch-timeout");
    {
        struct identity_result r = world_verify(w, &value, 1);

        assert_int_equal(r.why.sip_status, 436);
        w->cred[A].state = IDENTITY_CRED_REFUSED;
        reason_set(&w->cred[A].why, "chain-untrusted", "RFC 5280 6", 0, "no anchor");
        r = world_verify(w, &value, 1);
        world_expect(&r, IDENTITY_UNVERIFIABLE, "chain-untrusted");
        assert_int_equal(r.why.sip_status, 437);
    }
    w->cred[A].state = IDENTITY_CRED_GOOD;
    expect_one(value, IDENTITY_VALID, NULL);
    w->cred[A].not_after_s = NOW - 10; /* was good for the chain, not for the signed time */
    expect_one(value, IDENTITY_UNVERIFIABLE, "identity-credential-validity");
    w->cred[A].not_after_s = NOW + 10;
    w->cred[A].not_before_s = NOW;
    expect_one(value, IDENTITY_UNVERIFIABLE, "identity-credential-validity");
    w->cred[A].not_before_s = 0;
    w->cred[A].key = NULL;
    expect_one(value, IDENTITY_UNVERIFIABLE, "identity-key-unsupported");
    expect_one(STR("..c2ln;info=<https://nobody.example/cert>"), IDENTITY_UNVERIFIABLE,
               "identity-credential-missing");
    expect_one(STR("..c2ln;info=<https://a.example/cert>;alg=RS256"), IDENTITY_UNVERIFIABLE,
               "passport-alg-unsupported");
    expect_one(STR("..c2ln;info=<https://a.example/cert>;alg=ES384"), IDENTITY_UNVERIFIABLE,
               "passport-alg-unsupported");
}

/* What is never fetched (TR/100 6.2; no plain http, nothing with two readings). */
static void addresses(void **state)
{
    static const char *const bad[] = {
        "http://a.example/cert",
        "ftp://a.example/cert",
        "cid:1234",
        "sip:a@a.example",
        "https://",
        "https:///x",
        "https://user@a.example/x",
        "https://a.example\x7f/",
        "file:///etc/passwd",
        "https:a.example/x",
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct identity_check *c;
        const struct str *urls;
        char text[200];
        struct str value =
            str_make(text, (size_t)snprintf(text, sizeof(text), "..c2ln;info=<%s>", bad[i]));
        struct identity_result r;

        check_err(identity_check_new(w->arena, &value, 1, &w->m, &w->policy, &c), 0);
        assert_int_equal(identity_check_urls(c, &urls), 0);
        check_err(identity_check_finish(c, NULL, NULL, &r), 0);
        assert_int_not_equal(r.verdict, IDENTITY_VALID);
        assert_true(r.verdict == IDENTITY_UNVERIFIABLE || r.verdict == IDENTITY_BROKEN);
    }
}

static void stale(void **state)
{
    static const struct {
        uint64_t iat;
        enum identity_verdict verdict;
    } cases[] = {
        {NOW - 60, IDENTITY_VALID}, {NOW - 61, IDENTITY_STALE}, {NOW + 60, IDENTITY_VALID},
        {NOW + 61, IDENTITY_STALE}, {0, IDENTITY_STALE},        {NOW * 2, IDENTITY_STALE},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct passport p = claims();
        struct str value;
        struct identity_result r;

        p.iat = cases[i].iat;
        value = world_forge(w, A, p, NULL);
        r = world_verify(w, &value, 1);
        world_expect(&r, cases[i].verdict,
                     cases[i].verdict == IDENTITY_STALE ? "identity-stale" : NULL);
        if (cases[i].verdict == IDENTITY_STALE) {
            assert_int_equal(r.why.sip_status, 403);
            assert_int_equal(r.token->url, -1); /* and nothing was to be fetched for it */
        } else {
            assert_true(r.date_differs);
        }
    }
    /* the compact form has no time but Date's */
    {
        struct str value = world_sign(w, A, (struct identity_sign_args){.compact = true}, NULL);

        w->m.date_s = NOW - 61;
        expect_one(value, IDENTITY_STALE, "identity-stale");
        w->m.date_s = NOW - 1;
        expect_one(value, IDENTITY_BROKEN, "identity-signature");
        w->m.has_date = false;
        expect_one(value, IDENTITY_BROKEN, "identity-date-missing");
    }
}

/* The signature holds, over other addresses than the message shows: SBCs do that. */
static void broken(void **state)
{
    struct str value = world_sign(w, A, BASE, NULL), compact;
    char text[4096];

    (void)state;
    compact = world_sign(w, A, (struct identity_sign_args){.compact = true}, NULL);
    w->m.orig = uri("sip:mallory@a.example");
    expect_one(value, IDENTITY_BROKEN, "identity-orig-mismatch");
    expect_one(compact, IDENTITY_BROKEN, "identity-signature");
    w->m.orig = uri("sip:alice@a.example");
    w->m.to = w->m.target = uri("sip:carol@b.example"); /* cut and pasted to another call */
    expect_one(value, IDENTITY_BROKEN, "identity-dest-mismatch");
    expect_one(compact, IDENTITY_BROKEN, "identity-signature");
    w->m.to = w->m.target = uri("sip:bob@b.example");
    /* one letter of the signature */
    memcpy(text, value.p, value.n);
    {
        struct str all = str_make(text, value.n), token;

        (void)str_cut(all, ';', &token);
        text[token.n - 20] = text[token.n - 20] == 'A' ? 'B' : 'A';
        expect_one(all, IDENTITY_BROKEN, "identity-signature");
    }
    /* another's key */
    w->cred[A].key = w->verifier[B];
    expect_one(value, IDENTITY_BROKEN, "identity-signature");
    w->cred[A].key = w->verifier[A];
    expect_one(STR("nonsense"), IDENTITY_BROKEN, "identity-header-syntax");
    expect_one(STR("a.b.c;info=<https://a.example/cert>"), IDENTITY_BROKEN, "passport-syntax");
    expect_one(STR("..c2ln;info=<https://a.example/cert>"), IDENTITY_BROKEN,
               "passport-signature-form");
    expect_one(STR("..c2ln;info=<https://a.example/cert>;ppt=shaken"), IDENTITY_BROKEN,
               "identity-compact");
    expect_one(STR("..c2ln;info=<https://a.example/cert>;alg=none"), IDENTITY_BROKEN,
               "passport-alg-confusion");
}

/* RFC 8224 4.1: what stands in both places must be the same. */
static void header_and_token(void **state)
{
    struct passport p;
    struct str value = world_forge(w, A, claims(), &p);
    char text[4096];
    static const struct {
        const char *params, *code;
    } cases[] = {
        {";info=<" URL_B ">", "identity-info-mismatch"},
        {";info=<" URL_A ">;alg=ES384", "identity-alg-mismatch"},
        {";info=<" URL_A ">;ppt=shaken", "identity-ppt-mismatch"},
        {";info=<" URL_A ">;alg=\"ES256\"", NULL},
        {";info=<" URL_A ">", NULL},
    };

    (void)state;
    (void)value;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        int n = snprintf(text, sizeof(text), "%.*s.%.*s%s", STR_FMT(p.input), STR_FMT(p.signature),
                         cases[i].params);

        expect_one(str_make(text, (size_t)n), cases[i].code ? IDENTITY_BROKEN : IDENTITY_VALID,
                   cases[i].code);
    }
    /* The header of RFC 8224 4.1.1's own example names another certificate than its token. */
    w->m = (struct identity_message){.orig = tn("12155551212"),
                                     .to = uri("sip:alice@example.com"),
                                     .target = uri("sip:alice@example.com"),
                                     .has_date = true,
                                     .date_s = 1443208345};
    w->policy.now_s = 1443208350;
    expect_one(STR(RFC8224_FULL ";info=<https://biloxi.example.org/biloxi.cert>"), IDENTITY_BROKEN,
               "identity-info-mismatch");
}

/* RFC 8224 5.1 with the header that belongs to it. */
static void rfc8224_example(void **state)
{
    static const struct str values[] = {
        {RFC8224_FULL ";info=<https://cert.example.org/passport.cer>",
         sizeof(RFC8224_FULL ";info=<https://cert.example.org/passport.cer>") - 1},
        {RFC8224_COMPACT ";info=<https://cert.example.org/passport.cer>",
         sizeof(RFC8224_COMPACT ";info=<https://cert.example.org/passport.cer>") - 1},
        {RFC8225_TOKEN ";info=<https://cert.example.org/passport.cer>",
         sizeof(RFC8225_TOKEN ";info=<https://cert.example.org/passport.cer>") - 1}};
    static const enum identity_verdict verdicts[] = {
        IDENTITY_VALID, IDENTITY_BROKEN /* its iat was signed as a text */, IDENTITY_BROKEN};
    static const struct pki_tn_range range = {12155550000, 12155559999, 11};
    static const struct pki_tnauth list = {.ranges = &range, .n_ranges = 1};
    static const struct pki_tnauth *const chain[] = {&list};
    EVP_PKEY *pkey = key_public(RFC8225_PUBLIC);
    struct identity_credential cred = {
        .key = key_verifier(pkey), .not_after_s = NOW, .tn = chain, .n_tn = 1};

    (void)state;
    w->m = (struct identity_message){.orig = tn("12155551212"),
                                     .to = uri("sip:alice@example.com"),
                                     .target = uri("sip:alice@example.com"),
                                     .has_date = true,
                                     .date_s = 1443208345};
    for (size_t i = 0; i < ARRAY_LEN(values); i++) {
        struct identity_check *c;
        struct identity_result r;
        const struct str *urls;

        w->policy = identity_policy_default(i == 2 ? 1471375420 : 1443208350);
        check_err(identity_check_new(w->arena, &values[i], 1, &w->m, &w->policy, &c), 0);
        assert_int_equal(identity_check_urls(c, &urls), 1);
        check_str(urls[0], "https://cert.example.org/passport.cer");
        identity_check_set_credential(c, 0, &cred);
        identity_check_set_credential(c, 1, &cred); /* there is none: nothing happens */
        check_err(identity_check_finish(c, NULL, NULL, &r), 0);
        world_expect(&r, verdicts[i], verdicts[i] == IDENTITY_VALID ? NULL : "identity-signature");
        if (i == 0)
            assert_int_equal(r.authority, IDENTITY_BY_NUMBER);
    }
    jws_key_free(cred.key);
    EVP_PKEY_free(pkey);
}

/* --- types --- */

static void types(void **state)
{
    struct identity_sign_args shaken = {.type = PASSPORT_SHAKEN, .attest = 'B', .origid = STR("x")};
    struct str value = world_sign(w, A, shaken, NULL);
    struct identity_result r = world_verify(w, &value, 1);

    (void)state;
    world_expect(&r, IDENTITY_VALID, NULL);
    assert_int_equal(r.attest, 'B');
    /* msec: the user's own */
    value = world_sign(w, USER, (struct identity_sign_args){.type = PASSPORT_MSEC}, NULL);
    r = world_verify(w, &value, 1);
    world_expect(&r, IDENTITY_VALID, NULL);
    assert_true(r.by_user);
    assert_int_equal(r.authority, IDENTITY_BY_USER);
    { /* its domain signs other keys: one valid value is enough, but not against the user's word */
        const struct passport_key *own = w->m.mky;
        const struct passport_key other = {STR("sha-256"), STR("66")};
        size_t n_own = w->m.n_mky;
        struct str both[2] = {value};

        w->m.mky = &other;
        w->m.n_mky = 1;
        both[1] = world_sign(w, A, (struct identity_sign_args){.type = PASSPORT_BASE}, NULL);
        r = world_verify(w, &both[1], 1);
        world_expect(&r, IDENTITY_VALID, NULL);
        r = world_verify(w, both, 2);
        world_expect(&r, IDENTITY_CONTRADICTED, "identity-mky-contradicted");
        w->m.mky = own;
        w->m.n_mky = n_own;
        r = world_verify(w, both, 2);
        world_expect(&r, IDENTITY_VALID, NULL);
        assert_true(r.by_user);
    }
    {
        struct passport p = claims(); /* by its domain it is no end-to-end proof */

        p.type = PASSPORT_MSEC;
        value = world_forge(w, A, p, NULL);
        r = world_verify(w, &value, 1);
        world_expect(&r, IDENTITY_VALID, NULL);
        assert_false(r.by_user);
        p.n_mky = 0;
        w->m.n_mky = 0;
        expect_one(world_forge(w, USER, p, NULL), IDENTITY_BROKEN, "identity-msec-without-mky");
    }
    /* msg: the body */
    w->m.body = STR("Hello");
    value = world_sign(w, A, (struct identity_sign_args){.type = PASSPORT_MSG}, NULL);
    r = world_verify(w, &value, 1);
    world_expect(&r, IDENTITY_VALID, NULL);
    assert_true(r.body_bound);
    w->m.body = STR("Hullo");
    expect_one(value, IDENTITY_CONTRADICTED, "identity-msgi-contradicted");
    {
        struct passport p = claims();

        p.type = PASSPORT_MSG;
        p.n_mky = 0;
        p.msgi = STR("crc32-AAAA");
        expect_one(world_forge(w, A, p, NULL), IDENTITY_BROKEN, "identity-msgi-unsupported");
    }
}

/* In a response who answers is the originator, and there is no target (RFC 9970, TR/100 7.5.4). */
static void responses(void **state)
{
    const struct passport_key *mky = w->m.mky;
    size_t n_mky = w->m.n_mky;
    struct str value, base;
    struct identity_result r;

    (void)state;
    w->m = (struct identity_message){.orig = uri("sip:bob@b.example"),
                                     .to = uri("sip:alice@a.example"),
                                     .has_date = true,
                                     .date_s = NOW,
                                     .mky = mky,
                                     .n_mky = n_mky};
    value = world_sign(w, B, (struct identity_sign_args){.type = PASSPORT_RSP}, NULL);
    base = world_sign(w, B, BASE, NULL);
    /* in a request by bob to alice it is worth nothing */
    expect_one(value, IDENTITY_ABSENT, "identity-ppt-unsupported");
    w->m.is_response = true;
    r = world_verify(w, &value, 1);
    world_expect(&r, IDENTITY_VALID, NULL);
    assert_int_equal(r.reached, IDENTITY_REACHED_SAME);
    assert_int_equal(r.keys_bound, n_mky > 0);
    /* ... and what he signed in a request is worth nothing in a response */
    expect_one(base, IDENTITY_ABSENT, "identity-ppt-unsupported");
    /* to another caller */
    w->m.to = uri("sip:carol@a.example");
    expect_one(value, IDENTITY_BROKEN, "identity-dest-mismatch");
    w->m.to = uri("sip:alice@a.example");
    /* another user of the domain that was called; somebody of another domain */
    w->m.orig = uri("sip:dora@b.example");
    r = world_verify(w, &value, 1);
    world_expect(&r, IDENTITY_VALID, NULL);
    assert_int_equal(r.reached, IDENTITY_REACHED_PROVEN);
    w->m.orig = uri("sip:bob@c.example");
    r = world_verify(w, &value, 1);
    world_expect(&r, IDENTITY_VALID, NULL);
    assert_int_equal(r.reached, IDENTITY_REACHED_UNPROVEN);
    w->m.orig = uri("sip:bob@b.example");
    /* signed by a domain that may not speak for who it says has answered */
    {
        struct passport p = claims();
        struct passport_id dest = uri("sip:alice@a.example");

        p.type = PASSPORT_RSP;
        p.orig = uri("sip:bob@b.example");
        p.dest = &dest;
        p.n_dest = 1;
        expect_one(world_forge(w, A, p, NULL), IDENTITY_CONTRADICTED, "identity-authority");
    }
    /* by who answers itself: as good as "msec" */
    assert_false(r.by_user);
    {
        struct str own;

        w->m.is_response = false;
        w->m.orig = uri("sip:alice@a.example");
        w->m.to = uri("sip:bob@b.example");
        own = world_sign(w, USER, (struct identity_sign_args){.type = PASSPORT_RSP}, NULL);
        w->m.is_response = true;
        r = world_verify(w, &own, 1);
        world_expect(&r, IDENTITY_VALID, NULL);
        assert_true(r.by_user);
        w->m.orig = uri("sip:bob@b.example");
        w->m.to = uri("sip:alice@a.example");
    }
    /* other media keys; too late, also where diversions would have more time */
    w->m.n_mky = 0;
    expect_one(value, IDENTITY_CONTRADICTED, "identity-mky-contradicted");
    w->m.n_mky = n_mky;
    w->policy.now_s = NOW + 61;
    expect_one(value, IDENTITY_STALE, "identity-stale");
    w->policy.inner_max_age_s = 3600;
    expect_one(value, IDENTITY_STALE, "identity-stale");
}

/* --- several headers (8224 6.2.1) --- */

static void several(void **state)
{
    struct passport p = claims();
    struct str good = world_sign(w, A, BASE, NULL), bad, values[4];
    struct identity_result r;

    (void)state;
    bad = world_forge(w, B, p, NULL); /* b.example says it is alice@a.example */
    values[0] = bad;
    values[1] = STR("x.y.z;info=<https://a>;ppt=unknown");
    values[2] = good;
    values[3] = STR("junk");
    r = world_verify(w, values, 4);
    world_expect(&r, IDENTITY_VALID, NULL);
    assert_int_equal(r.token->header, 2);
    assert_int_equal(r.worst, IDENTITY_CONTRADICTED);
    check_str(str_z(r.worst_why.code), "identity-authority");
    r = world_verify(w, values + 1, 1);
    world_expect(&r, IDENTITY_ABSENT, NULL);
    values[2] = values[3];
    r = world_verify(w, values, 3);
    world_expect(&r, IDENTITY_CONTRADICTED, "identity-authority");
    /* The one with more authority is what it rests on. */
    values[0] = good;
    values[1] = world_sign(w, USER, (struct identity_sign_args){.type = PASSPORT_MSEC}, NULL);
    r = world_verify(w, values, 2);
    world_expect(&r, IDENTITY_VALID, NULL);
    assert_int_equal(r.token->header, 1);
    assert_int_equal(r.worst, IDENTITY_VALID);
    /* Each certificate is asked for once. */
    {
        struct identity_check *c;
        const struct str *urls;

        values[1] = world_sign(w, A, BASE, NULL);
        check_err(identity_check_new(w->arena, values, 2, &w->m, &w->policy, &c), 0);
        assert_int_equal(identity_check_urls(c, &urls), 1);
        check_str(urls[0], URL_A);
    }
}

static void too_many(void **state)
{
    struct str values[40];
    struct identity_result r;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(values); i++)
        values[i] = STR("x.y.z;info=<https://a>;ppt=unknown");
    values[39] = world_sign(w, A, BASE, NULL);
    r = world_verify(w, values, 40);
    world_expect(&r, IDENTITY_ABSENT, NULL);
    assert_true(r.has_too_many);
    assert_int_equal(r.n_tokens, LIMIT_IDENTITY_HEADERS);
    values[0] = values[39];
    r = world_verify(w, values, LIMIT_IDENTITY_HEADERS);
    world_expect(&r, IDENTITY_VALID, NULL);
    assert_false(r.has_too_many);
}

/* --- who is reached --- */

static void reached(void **state)
{
    struct str value = world_sign(w, A, BASE, NULL);
    struct passport_id also[] = {uri("sip:4711@b.example"), uri("sip:bob@b.example")};
    struct identity_result r;

    (void)state;
    w->m.target = uri("sip:carol@b.example"); /* retargeted, and nobody says so */
    r = world_verify(w, &value, 1);
    world_expect(&r, IDENTITY_VALID, NULL);
    assert_int_equal(r.reached, IDENTITY_REACHED_UNPROVEN);
    check_str(identity_reached_text(r.reached), "diverted-unproven");
    w->m.also = also; /* it is another name of bob */
    w->m.n_also = 2;
    r = world_verify(w, &value, 1);
    assert_int_equal(r.reached, IDENTITY_REACHED_SAME);
    w->m.n_also = 0;
    w->m.target = uri("sip:bob@b.example"); /* To was rewritten on the way */
    w->m.to = uri("sip:+49301234@b.example");
    r = world_verify(w, &value, 1);
    world_expect(&r, IDENTITY_VALID, NULL);
    assert_int_equal(r.reached, IDENTITY_REACHED_SAME);
}

static void no_memory(void **state)
{
    struct str values[3];

    (void)state;
    values[0] = world_sign(w, A, BASE, NULL);
    values[1] = world_sign(w, USER, (struct identity_sign_args){.compact = true}, NULL);
    w->m.body = STR("x");
    values[2] = world_sign(w, A, (struct identity_sign_args){.type = PASSPORT_MSG}, NULL);
    OOM_SWEEP(200, {
        struct arena *a = arena_new(64, 1 << 18);
        struct identity_check *c = NULL;
        struct identity_result r;
        const struct str *urls;
        int err = a ? identity_check_new(a, values, 3, &w->m, &w->policy, &c) : ERR_NOMEM;

        if (err == 0) {
            for (size_t i = 0; i < identity_check_urls(c, &urls); i++)
                identity_check_set_credential(
                    c, i, str_eq(urls[i], STR(URL_A)) ? &w->cred[A] : &w->cred[USER]);
            err = identity_check_finish(c, NULL, NULL, &r);
        }
        assert_true(err == 0 || err == ERR_NOMEM);
        if (err == 0)
            assert_int_equal(r.verdict, IDENTITY_VALID);
        arena_free(a);
    });
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(valid),
        TEST(absent),
        TEST(unverifiable),
        TEST(addresses),
        TEST(stale),
        TEST(broken),
        TEST(header_and_token),
        TEST(rfc8224_example),
        TEST(types),
        TEST(responses),
        TEST(several),
        TEST(too_many),
        TEST(reached),
        TEST(no_memory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

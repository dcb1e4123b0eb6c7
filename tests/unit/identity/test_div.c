/* Diversions: RFC 8946 3 to 6. */
#include "check.h"

#include "base/limits.h"
#include "vectors.h"
#include "world.h"

static struct world world, *w = &world;
static struct str base;
static struct passport base_p;

/* alice@a.example calls bob@b.example; b.example diverts to carol, and to a number of its own. */
static int setup(void **state)
{
    (void)state;
    world_init(w);
    base = world_sign(w, A, (struct identity_sign_args){.type = PASSPORT_BASE}, &base_p);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    world_done(w);
    return 0;
}

static struct str divert(enum who by, const struct passport *from, struct passport_id who,
                         struct passport_id to, struct passport *ret_p)
{
    struct identity_message m = w->m;
    struct identity_sign_args args = {.type = PASSPORT_DIV, .m = &m, .original = from, .div = who};

    m.target = to;
    return world_sign(w, by, args, ret_p);
}

static void expect(const struct str *values, size_t n, enum identity_verdict v, const char *code,
                   enum identity_reached reached, size_t steps)
{
    struct identity_result r = world_verify(w, values, n);

    world_expect(&r, v, code);
    if (v != IDENTITY_VALID)
        return;
    if (r.reached != reached)
        fail_msg("reached: %s", identity_reached_text(r.reached).p);
    assert_int_equal(r.n_diversions, steps);
    assert_int_equal(r.token->p.type, PASSPORT_BASE);
}

static void one_step(void **state)
{
    struct passport p;
    struct str values[2] = {
        base, divert(B, &base_p, uri("sip:bob@b.example"), uri("sip:carol@b.example"), &p)};
    struct identity_result r;

    (void)state;
    assert_int_equal(p.type, PASSPORT_DIV);
    assert_int_equal(p.n_mky, 0);
    assert_int_equal(p.iat, base_p.iat);
    w->m.target = uri("sip:carol@b.example");
    expect(values, 2, IDENTITY_VALID, NULL, IDENTITY_REACHED_PROVEN, 1);
    r = world_verify(w, values, 2);
    assert_int_equal(r.worst, IDENTITY_VALID);
    assert_true(r.keys_bound);
    /* in any order */
    values[1] = base;
    values[0] = divert(B, &base_p, uri("sip:bob@b.example"), uri("sip:carol@b.example"), NULL);
    expect(values, 2, IDENTITY_VALID, NULL, IDENTITY_REACHED_PROVEN, 1);
    /* To may have been rewritten: it is not looked at (4.2) */
    w->m.to = uri("sip:nobody@b.example");
    expect(values, 2, IDENTITY_VALID, NULL, IDENTITY_REACHED_PROVEN, 1);
    /* a diversion alone proves nothing */
    expect(values, 1, IDENTITY_BROKEN, "identity-div-chain", 0, 0);
}

static void many_steps(void **state)
{
    struct passport p[3];
    struct str values[5];
    struct identity_result r;

    (void)state;
    values[2] = base;
    values[1] = divert(B, &base_p, uri("sip:bob@b.example"), tn("4930150"), &p[0]);
    values[3] = divert(B, &p[0], tn("4930150"), tn("4930160"), &p[1]);
    values[0] = divert(B, &p[1], tn("4930160"), uri("sip:dave@b.example"), &p[2]);
    w->m.target = uri("sip:dave@b.example");
    expect(values, 4, IDENTITY_VALID, NULL, IDENTITY_REACHED_PROVEN, 3);
    /* The request stands at a step before the last one that is signed: somebody turned it back. */
    w->m.target = tn("4930160");
    w->m.to = uri("sip:other@b.example");
    expect(values, 4, IDENTITY_BROKEN, "identity-dest-mismatch", 0, 0);
    w->m.to = uri("sip:bob@b.example");
    expect(values, 4, IDENTITY_VALID, NULL, IDENTITY_REACHED_CONTRADICTORY, 0);
    /* a step is missing */
    w->m.target = uri("sip:dave@b.example");
    values[3] = STR("x.y.z;info=<https://a>;ppt=unknown");
    expect(values, 4, IDENTITY_VALID, NULL, IDENTITY_REACHED_CONTRADICTORY, 0);
    r = world_verify(w, values, 4);
    assert_int_equal(r.worst, IDENTITY_BROKEN);
    check_str(str_z(r.worst_why.code), "identity-div-chain");
}

static void circles(void **state)
{
    struct passport p[4];
    struct str values[5] = {base};

    (void)state;
    values[1] = divert(B, &base_p, uri("sip:bob@b.example"), tn("4930150"), &p[0]);
    values[2] = divert(B, &p[0], tn("4930150"), uri("sip:bob@b.example"), &p[1]);
    expect(values, 3, IDENTITY_VALID, NULL, IDENTITY_REACHED_PROVEN, 2); /* there and back */
    values[3] = divert(B, &p[1], uri("sip:bob@b.example"), tn("4930170"), &p[2]);
    w->m.target = tn("4930170");
    expect(values, 4, IDENTITY_VALID, NULL, IDENTITY_REACHED_PROVEN, 3);
    w->m.target = tn("4930199");
    expect(values, 4, IDENTITY_VALID, NULL, IDENTITY_REACHED_CONTRADICTORY, 0);
}

/* The worst case: everything follows on everything. It ends, and finds nothing. */
static void dense(void **state)
{
    struct passport_id all[] = {uri("sip:bob@b.example"), tn("4930150"), tn("4930160"),
                                tn("4930170")};
    struct str values[LIMIT_IDENTITY_HEADERS] = {base};
    struct identity_result r;

    (void)state;
    for (size_t i = 1; i < LIMIT_IDENTITY_HEADERS; i++) {
        struct passport p = {.type = PASSPORT_DIV,
                             .orig = w->m.orig,
                             .dest = all,
                             .n_dest = 4,
                             .iat = NOW,
                             .div = all[i % 4]};

        values[i] = world_forge(w, B, p, NULL);
    }
    w->m.target = uri("sip:eve@b.example");
    r = world_verify(w, values, LIMIT_IDENTITY_HEADERS);
    world_expect(&r, IDENTITY_VALID, NULL);
    assert_int_equal(r.reached, IDENTITY_REACHED_CONTRADICTORY);
    w->m.target = tn("4930170");
    r = world_verify(w, values, LIMIT_IDENTITY_HEADERS);
    world_expect(&r, IDENTITY_VALID, NULL);
}

static void wrong_diverter(void **state)
{
    struct passport p = {.type = PASSPORT_DIV,
                         .orig = w->m.orig,
                         .dest = (struct passport_id[]){uri("sip:eve@a.example")},
                         .n_dest = 1,
                         .iat = NOW,
                         .div = uri("sip:bob@b.example")};
    struct str values[2] = {base, world_forge(w, A, p, NULL)}; /* a.example is not bob's domain */
    struct identity_result r;

    (void)state;
    w->m.target = uri("sip:eve@a.example");
    expect(values, 2, IDENTITY_VALID, NULL, IDENTITY_REACHED_CONTRADICTORY, 0);
    r = world_verify(w, values, 2);
    assert_int_equal(r.worst, IDENTITY_CONTRADICTED);
    check_str(str_z(r.worst_why.code), "identity-authority");
    /* Another originator than the original's (4.2 item 3). */
    p.orig = uri("sip:mallory@a.example");
    values[1] = world_forge(w, B, p, NULL);
    r = world_verify(w, values, 2);
    world_expect(&r, IDENTITY_VALID, NULL);
    assert_int_equal(r.reached, IDENTITY_REACHED_UNPROVEN);
    check_str(str_z(r.worst_why.code), "identity-orig-mismatch");
    /* The original is what gives the caller: if it does not hold, the chain is worth nothing. */
    p.orig = w->m.orig;
    values[1] = world_forge(w, B, p, NULL);
    w->cred[A].key = w->verifier[C];
    expect(values, 2, IDENTITY_BROKEN, NULL, 0, 0);
}

/* 4.2 item 4: a fresh diversion of an older call. */
static void ages(void **state)
{
    struct passport old = {.orig = w->m.orig,
                           .dest = (struct passport_id[]){uri("sip:bob@b.example")},
                           .n_dest = 1,
                           .iat = NOW - 3000,
                           .mky = w->mky,
                           .n_mky = 2},
                    div = {.type = PASSPORT_DIV,
                           .orig = w->m.orig,
                           .dest = (struct passport_id[]){uri("sip:carol@b.example")},
                           .n_dest = 1,
                           .iat = NOW,
                           .div = uri("sip:bob@b.example")};
    struct str values[2] = {world_forge(w, A, old, NULL), world_forge(w, B, div, NULL)};

    (void)state;
    w->m.target = uri("sip:carol@b.example");
    expect(values, 2, IDENTITY_STALE, "identity-stale", 0, 0); /* the original is */
    w->policy.inner_max_age_s = 3600;
    expect(values, 2, IDENTITY_VALID, NULL, IDENTITY_REACHED_PROVEN, 1);
    expect(values, 1, IDENTITY_STALE, "identity-stale", 0, 0); /* by itself it stays too old */
    w->m.target = uri("sip:bob@b.example");
    expect(values, 1, IDENTITY_STALE, "identity-stale", 0, 0);
    w->m.target = uri("sip:carol@b.example");
    div.iat = NOW - 3000; /* the outermost must be fresh */
    values[1] = world_forge(w, B, div, NULL);
    expect(values, 2, IDENTITY_STALE, "identity-stale", 0, 0);
    old.iat = NOW - 3601;
    values[0] = world_forge(w, A, old, NULL);
    div.iat = NOW;
    values[1] = world_forge(w, B, div, NULL);
    expect(values, 2, IDENTITY_STALE, "identity-stale", 0, 0);
    /* 4.2 item 5: an original of an unknown kind makes its chain ignored, not wrong */
    values[0] = STR("x.y.z;info=<https://a>;ppt=unknown");
    expect(values, 2, IDENTITY_ABSENT, "identity-ppt-unsupported", 0, 0);
}

/* --- div-o --- */

static struct str full_token(const struct passport *p, struct str value)
{
    struct str token;

    (void)p;
    (void)str_cut(value, ';', &token);
    return token;
}

static struct str divert_o(enum who by, const struct passport *from, struct str token,
                           struct passport_id who, struct passport_id to, struct passport *ret_p)
{
    struct identity_message m = w->m;
    struct identity_sign_args args = {
        .type = PASSPORT_DIV_O, .m = &m, .original = from, .original_token = token, .div = who};

    m.target = to;
    return world_sign(w, by, args, ret_p);
}

static void nested(void **state)
{
    struct passport p[2];
    struct str values[2];
    struct identity_result r;

    (void)state;
    values[0] = divert_o(B, &base_p, full_token(&base_p, base), uri("sip:bob@b.example"),
                         tn("4930150"), &p[0]);
    w->m.target = tn("4930150");
    expect(values, 1, IDENTITY_VALID, NULL, IDENTITY_REACHED_PROVEN, 1);
    r = world_verify(w, values, 1);
    assert_int_equal(r.n_tokens, 2);
    assert_int_equal(r.token->outer, 0);
    assert_true(r.keys_bound);
    values[0] = divert_o(B, &p[0], full_token(&p[0], values[0]), tn("4930150"),
                         uri("sip:carol@b.example"), &p[1]);
    w->m.target = uri("sip:carol@b.example");
    expect(values, 1, IDENTITY_VALID, NULL, IDENTITY_REACHED_PROVEN, 2);
    /* What is enclosed is diverted by what encloses it and by nothing else. */
    values[1] = divert(B, &p[1], uri("sip:carol@b.example"), tn("4930155"), NULL);
    w->m.target = tn("4930155");
    expect(values, 2, IDENTITY_VALID, NULL, IDENTITY_REACHED_PROVEN, 3);
    values[1] = divert(B, &base_p, uri("sip:bob@b.example"), tn("4930155"), NULL);
    expect(values, 2, IDENTITY_VALID, NULL, IDENTITY_REACHED_CONTRADICTORY, 0);
    /* a fingerprint that the enclosed original did not sign */
    w->m.target = uri("sip:carol@b.example");
    w->m.mky = w->other_mky;
    w->m.n_mky = 1;
    expect(values, 1, IDENTITY_CONTRADICTED, "identity-mky-contradicted", 0, 0);
}

static void nested_too_deep(void **state)
{
    struct passport p = base_p;
    struct str token = full_token(&base_p, base), value = base;
    const char *numbers[] = {"4930101", "4930102", "4930103", "4930104", "4930105"};
    struct passport_id who = uri("sip:bob@b.example");

    (void)state;
    for (unsigned i = 0; i <= LIMIT_IDENTITY_NESTING; i++) {
        struct passport next;

        value = divert_o(B, &p, token, who, tn(numbers[i]), &next);
        w->m.target = tn(numbers[i]);
        if (i < LIMIT_IDENTITY_NESTING)
            expect(&value, 1, IDENTITY_VALID, NULL, IDENTITY_REACHED_PROVEN, i + 1);
        p = next;
        token = full_token(&p, value);
        who = tn(numbers[i]);
    }
    expect(&value, 1, IDENTITY_BROKEN, "identity-nesting", 0, 0);
}

static void nested_junk(void **state)
{
    struct passport p = {.type = PASSPORT_DIV_O,
                         .orig = w->m.orig,
                         .dest = (struct passport_id[]){tn("4930150")},
                         .n_dest = 1,
                         .iat = NOW,
                         .div = uri("sip:bob@b.example"),
                         .opt = STR("a.b.c")};
    struct str value = world_forge(w, B, p, NULL);

    (void)state;
    w->m.target = tn("4930150");
    expect(&value, 1, IDENTITY_BROKEN, NULL, 0, 0);
    p.opt = full_token(&base_p, base); /* it holds, but this is not what it was diverted from */
    p.div = tn("4930199");
    value = world_forge(w, B, p, NULL);
    w->m.to = uri("sip:x@b.example");
    expect(&value, 1, IDENTITY_BROKEN, "identity-dest-mismatch", 0, 0);
}

/* The RFC's own examples: signatures that hold, with a "div" one digit too long. */
static void rfc8946(void **state)
{
    static const struct str values[] = {
        {RFC8946_DIV ";info=<https://www.example.com/cert.cer>;ppt=\"div\"",
         sizeof(RFC8946_DIV ";info=<https://www.example.com/cert.cer>;ppt=\"div\"") - 1},
        {RFC8946_DIV_O ";info=<https://www.example.com/cert.cer>;ppt=\"div-o\"",
         sizeof(RFC8946_DIV_O ";info=<https://www.example.com/cert.cer>;ppt=\"div-o\"") - 1}};
    static const struct str prefixes[] = {{"1215", 4}};
    EVP_PKEY *pkey = key_public(RFC8946_PUBLIC);
    struct identity_credential cred = {
        .key = key_verifier(pkey), .not_after_s = NOW, .prefixes = prefixes, .n_prefixes = 1};
    struct identity_policy policy = identity_policy_default(1443208350);
    struct identity_message m = {.orig = tn("12155551212"),
                                 .to = tn("12155551213"),
                                 .target = tn("12155551214"),
                                 .has_date = true,
                                 .date_s = 1443208345};
    struct identity_check *c;
    struct identity_result r;
    const struct str *urls;

    (void)state;
    check_err(identity_check_new(w->arena, values, 2, &m, &policy, &c), 0);
    assert_int_equal(identity_check_urls(c, &urls), 1);
    identity_check_set_credential(c, 0, &cred);
    check_err(identity_check_finish(c, NULL, NULL, &r), 0);
    assert_int_equal(r.n_tokens, 3);
    assert_true(r.tokens[0].signature_holds);
    assert_true(r.tokens[1].signature_holds);
    assert_int_equal(r.tokens[0].authority, IDENTITY_BY_POLICY);
    check_str(r.tokens[2].p.dest[0].text, "12155551213");
    check_str(r.tokens[1].p.div.text, "121555551213");
    assert_int_not_equal(r.reached, IDENTITY_REACHED_PROVEN);
    assert_int_equal(r.worst, IDENTITY_BROKEN);
    jws_key_free(cred.key);
    EVP_PKEY_free(pkey);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(one_step),       TEST(many_steps), TEST(circles), TEST(dense),
        TEST(wrong_diverter), TEST(ages),       TEST(nested),  TEST(nested_too_deep),
        TEST(nested_junk),    TEST(rfc8946),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

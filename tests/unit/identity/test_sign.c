/* The authentication service: RFC 8224 6.1, RFC 8862 4.1, RFC 8946 3. */
#include "check.h"

#include "oom.h"
#include "world_fixture.h"

static void expect(enum who by, struct identity_sign_args args, int err, const char *code)
{
    struct passport p;
    struct reason why = {.code = NULL};
    int got;

    if (!args.m)
        args.m = &w->m;
    args.x5u = str_z(world_urls[by]);
    got = identity_sign_prepare(w->arena, &args, &w->cred[by], &w->policy, &p, &why);
    if (got != err || (code && (!why.code || strcmp(code, why.code) != 0)))
        fail_msg("%d %s %s, expected %d %s", got, why.code ? why.code : "-", why.detail, err, code);
    if (err != 0)
        assert_int_equal(p.input.n, 0);
}

static void authority(void **state)
{
    struct identity_sign_args base = {.type = PASSPORT_BASE}, msec = {.type = PASSPORT_MSEC},
                              shaken = {.type = PASSPORT_SHAKEN, .attest = 'C', .origid = STR("x")};

    (void)state;
    expect(A, base, 0, NULL);
    expect(B, base, ERR_REFUSED, "sign-authority");
    expect(C, base, ERR_REFUSED, "sign-authority");
    expect(USER, base, 0, NULL);
    expect(USER, msec, 0, NULL);
    expect(A, msec, ERR_REFUSED, "sign-msec"); /* never on behalf of a phone */
    expect(A, shaken, 0, NULL);
    w->m.orig = tn("12155551212");
    expect(C, shaken, 0, NULL);
    expect(A, shaken, ERR_REFUSED, "sign-authority");
    w->m.orig = (struct passport_id){false, STR_NULL};
    expect(A, base, ERR_REFUSED, "sign-authority");
    w->m.orig = uri("sip:alice@a.example");
    w->cred[A].state = IDENTITY_CRED_REFUSED;
    expect(A, base, ERR_REFUSED, "sign-credential");
}

static void times(void **state)
{
    struct identity_sign_args base = {.type = PASSPORT_BASE};

    (void)state;
    w->m.date_s = NOW - 60;
    expect(A, base, 0, NULL);
    w->m.date_s = NOW - 61;
    expect(A, base, ERR_REFUSED, "sign-date-stale");
    w->m.date_s = NOW + 60;
    expect(A, base, 0, NULL);
    w->m.date_s = NOW + 61;
    expect(A, base, ERR_REFUSED, "sign-date-stale");
    w->m.has_date = false;
    expect(A, base, ERR_INVALID, "sign-date-missing");
    w->m.has_date = true;
    w->m.date_s = NOW;
    w->cred[A].not_after_s = NOW - 1;
    expect(A, base, ERR_REFUSED, "sign-credential-validity");
    w->cred[A].not_after_s = NOW;
    w->cred[A].not_before_s = NOW;
    expect(A, base, 0, NULL);
    w->m.date_s = NOW - 1;
    expect(A, base, ERR_REFUSED, "sign-credential-validity");
}

static void content(void **state)
{
    static const struct str names[] = {{"attest", 6}};
    struct pki_claim_rules rules = {.must_exclude = names, .n_exclude = 1};
    struct identity_sign_args shaken = {.type = PASSPORT_SHAKEN, .attest = 'A', .origid = STR("x")};

    (void)state;
    expect(A, shaken, 0, NULL);
    shaken.compact = true;
    expect(A, shaken, ERR_INVALID, "sign-compact");
    shaken.compact = false;
    shaken.attest = 'D';
    expect(A, shaken, ERR_INVALID, "passport-unbuildable");
    shaken.attest = 'A';
    shaken.origid = STR_NULL;
    expect(A, shaken, ERR_INVALID, "passport-unbuildable");
    shaken.origid = STR("x");
    w->cred[A].rules = &rules; /* a certificate of ours that must not claim this */
    expect(A, shaken, ERR_REFUSED, "cert-claim-violated");
    w->m.to = (struct passport_id){false, STR_NULL};
    expect(A, (struct identity_sign_args){.type = PASSPORT_BASE}, ERR_INVALID,
           "passport-unbuildable");
    expect(A, (struct identity_sign_args){.type = PASSPORT_RPH}, ERR_INVALID,
           "passport-unbuildable");
}

static void diversion(void **state)
{
    struct passport original;
    struct identity_message m = w->m;
    struct identity_sign_args args = {
        .type = PASSPORT_DIV, .m = &m, .original = &original, .div = uri("sip:bob@b.example")};

    (void)state;
    (void)world_sign(w, A, (struct identity_sign_args){.type = PASSPORT_BASE}, &original);
    m.target = uri("sip:carol@b.example");
    expect(B, args, 0, NULL);
    expect(A, args, ERR_REFUSED, "sign-authority"); /* bob is not a.example's to divert */
    m.target = uri("sip:bob@b.example");
    expect(B, args, ERR_EXISTS, "sign-div-same");
    m.target = uri("sip:carol@b.example");
    args.div = uri("sip:dave@b.example"); /* was never called */
    expect(B, args, ERR_INVALID, "sign-div");
    args.div = uri("sip:bob@b.example");
    args.original = NULL;
    expect(B, args, ERR_INVALID, "sign-div");
    args.original = &original;
    args.type = PASSPORT_DIV_O; /* without the original's token */
    expect(B, args, ERR_INVALID, "passport-unbuildable");
    args.compact = true;
    expect(B, args, ERR_INVALID, "sign-compact");
}

/* --- jobs --- */

static int n_done, last_err;
static struct str last_value;

static void done(struct identity_sign_job *job, int err, struct str value)
{
    (void)job;
    n_done++;
    last_err = err;
    last_value = value;
}

static struct identity_sign_job job_of(void)
{
    struct identity_sign_job job = {.arena = w->arena, .done = done};
    struct identity_sign_args args = {.type = PASSPORT_BASE, .m = &w->m, .x5u = STR(URL_A)};
    struct reason why;

    check_err(identity_sign_prepare(w->arena, &args, &w->cred[A], &w->policy, &job.passport, &why),
              0);
    return job;
}

static void jobs(void **state)
{
    struct identity_local_signer s;
    struct identity_sign_job a = job_of(), b = job_of(), c = job_of(), empty = {.done = done};
    struct identity_result r;

    (void)state;
    n_done = 0;
    identity_local_signer_init(&s, w->signer[A], 2);
    check_err(identity_sign_start(&empty, &s.base), ERR_INVALID);
    check_err(identity_sign_start(&a, &s.base), 0);
    check_err(identity_sign_start(&a, &s.base), ERR_INVALID);
    check_err(identity_sign_start(&b, &s.base), 0);
    check_err(identity_sign_start(&c, &s.base), ERR_LIMIT);
    assert_int_equal(n_done, 0);
    identity_sign_cancel(&b);
    identity_sign_cancel(&b);
    check_err(identity_sign_start(&c, &s.base), 0);
    identity_local_signer_run(&s);
    assert_int_equal(n_done, 2);
    assert_int_equal(last_err, 0);
    r = world_verify(w, &last_value, 1);
    world_expect(&r, IDENTITY_VALID, NULL);
    identity_local_signer_run(&s);
    assert_int_equal(n_done, 2);
    check_err(identity_sign_start(&a, &s.base), 0); /* a job may be used again */
    a.passport.alg = JWS_ES384;
    identity_local_signer_run(&s);
    assert_int_equal(last_err, ERR_CONFLICT);
    check_err(identity_sign_start(&b, &s.base), 0);
    identity_local_signer_done(&s);
    assert_int_equal(n_done, 4);
    assert_int_equal(last_err, ERR_CLOSED);
    check_err(identity_sign_start(&b, &s.base), ERR_LIMIT);
}

/* What another process would do with the text it is asked to sign. */
static void by_the_key_holder(void **state)
{
    struct identity_sign_job job = job_of();
    struct passport p;
    struct reason why;

    (void)state;
    check_err(passport_parse_input(w->arena, job.passport.input, &p, &why), 0);
    check_err(passport_check_deterministic(w->arena, &p, &why), 0);
    assert_int_equal(identity_authority_of(&w->cred[A], p.orig), IDENTITY_BY_DOMAIN);
    assert_int_equal(identity_authority_of(&w->cred[B], p.orig), IDENTITY_NO_AUTHORITY);
}

static void no_memory(void **state)
{
    (void)state;
    OOM_SWEEP(60, {
        struct arena *a = arena_new(64, 1 << 16);
        struct identity_local_signer s;
        struct identity_sign_job job = {.arena = a, .done = done};
        struct identity_sign_args args = {.type = PASSPORT_MSG, .m = &w->m, .x5u = STR(URL_A)};
        struct reason why;
        int err = a ? identity_sign_prepare(a, &args, &w->cred[A], &w->policy, &job.passport, &why)
                    : ERR_NOMEM;

        if (err == 0) {
            identity_local_signer_init(&s, w->signer[A], 1);
            check_err(identity_sign_start(&job, &s.base), 0);
            identity_local_signer_run(&s);
            err = last_err;
        }
        assert_true(err == 0 || err == ERR_NOMEM);
        arena_free(a);
    });
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(authority), TEST(times),     TEST(content),           TEST(diversion),
        TEST(jobs),      TEST(no_memory), TEST(by_the_key_holder),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

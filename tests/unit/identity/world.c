/* Two domains, a carrier and their certificates, for tests of signing and verifying. */
#include "world.h"
#include "check.h"

const char *const world_urls[WHO_N] = {URL_A, URL_B, URL_C, URL_USER};

static const struct str domains_a[] = {{"a.example", 9}}, domains_b[] = {{"b.example", 9}};
static const struct str uris_user[] = {{"sip:alice@a.example", 19}};
static const struct pki_tn_range range_c[] = {{12155550000, 12155559999, 11}},
                                 range_b[] = {{4930100, 4930199, 7}};
static const struct pki_tnauth list_c = {.ranges = range_c, .n_ranges = 1},
                               list_b = {.ranges = range_b, .n_ranges = 1};
static const struct pki_tnauth *const chain_c[] = {&list_c}, *const chain_b[] = {&list_b};

struct passport_id uri(const char *text)
{
    return (struct passport_id){false, str_z(text)};
}

struct passport_id tn(const char *digits)
{
    return (struct passport_id){true, str_z(digits)};
}

void world_init(struct world *w)
{
    *w = (struct world){.policy = identity_policy_default(NOW)};
    w->arena = arena_new(16384, 1 << 20);
    assert_non_null(w->arena);
    for (size_t i = 0; i < WHO_N; i++) {
        w->pkey[i] = key_make("P-256");
        w->signer[i] = key_signer(w->pkey[i]);
        w->verifier[i] = key_verifier(w->pkey[i]);
        w->cred[i] = (struct identity_credential){
            .key = w->verifier[i], .not_before_s = NOW - 86400, .not_after_s = NOW + 86400};
    }
    w->cred[A].domains = domains_a;
    w->cred[A].n_domains = 1;
    w->cred[B].domains = domains_b;
    w->cred[B].n_domains = 1;
    w->cred[B].tn = chain_b;
    w->cred[B].n_tn = 1;
    w->cred[C].tn = chain_c;
    w->cred[C].n_tn = 1;
    w->cred[USER].uris = uris_user;
    w->cred[USER].n_uris = 1;
    w->mky[0] = (struct passport_key){STR("sha-256"), STR("0011AA")};
    w->mky[1] = (struct passport_key){STR("sha-256"), STR("4455BB")};
    w->other_mky[0] = (struct passport_key){STR("sha-256"), STR("BAD0")};
    w->m = (struct identity_message){.orig = uri("sip:alice@a.example"),
                                     .to = uri("sip:bob@b.example"),
                                     .target = uri("sip:bob@b.example"),
                                     .has_date = true,
                                     .date_s = NOW - 2,
                                     .mky = w->mky,
                                     .n_mky = 2,
                                     .body = STR("v=0")};
}

void world_done(struct world *w)
{
    for (size_t i = 0; i < WHO_N; i++) {
        jws_key_free(w->signer[i]);
        jws_key_free(w->verifier[i]);
        EVP_PKEY_free(w->pkey[i]);
    }
    arena_free(w->arena);
}

struct str world_forge(struct world *w, enum who by, struct passport p, struct passport *ret_p)
{
    char signature[JWS_SIGNATURE_TEXT_MAX];
    struct reason why;
    struct str value, text;

    if (!p.x5u.p)
        p.x5u = str_z(world_urls[by]);
    if (passport_build(w->arena, &p, &why) != 0)
        fail_msg("cannot build: %s", why.detail);
    check_err(jws_sign(w->signer[by], p.input, signature), 0);
    text = arena_str(w->arena, str_z(signature));
    value = identity_hdr_of(w->arena, &p, text, false);
    assert_non_null(value.p);
    p.signature = text;
    if (ret_p)
        *ret_p = p;
    return value;
}

struct str world_forge_text(struct world *w, enum who by, const char *header, const char *payload)
{
    size_t cap = 2 * (strlen(header) + strlen(payload)) + 512;
    char *p = arena_alloc(w->arena, cap), signature[JWS_SIGNATURE_TEXT_MAX];
    struct sbuf b = sbuf_make(p, cap);
    size_t n;

    assert_non_null(p);
    check_err(str_base64_encode(p, cap, header, strlen(header), true), 0);
    n = strlen(p);
    p[n++] = '.';
    check_err(str_base64_encode(p + n, cap - n, payload, strlen(payload), true), 0);
    b.n = strlen(p);
    check_err(jws_sign(w->signer[by], sbuf_get(&b), signature), 0);
    sbuf_char(&b, '.');
    sbuf_str(&b, str_z(signature));
    sbuf_fmt(&b, ";info=<%s>", world_urls[by]);
    assert_false(b.overflow);
    return sbuf_get(&b);
}

static void keep_value(struct identity_sign_job *job, int err, struct str value)
{
    check_err(err, 0);
    *(struct str *)job->arg = value;
}

struct str world_sign(struct world *w, enum who by, struct identity_sign_args args,
                      struct passport *ret_p)
{
    struct identity_local_signer signer;
    struct str value = STR_NULL;
    struct identity_sign_job job = {
        .arena = w->arena, .compact = args.compact, .done = keep_value, .arg = &value};
    struct reason why = {.detail = ""};

    if (!args.m)
        args.m = &w->m;
    if (!args.x5u.p)
        args.x5u = str_z(world_urls[by]);
    if (identity_sign_prepare(w->arena, &args, &w->cred[by], &w->policy, &job.passport, &why) != 0)
        fail_msg("not signed: %s %s", why.code, why.detail);
    identity_local_signer_init(&signer, w->signer[by], 1);
    check_err(identity_sign_start(&job, &signer.base), 0);
    assert_null(value.p); /* never from inside */
    identity_local_signer_run(&signer);
    assert_non_null(value.p);
    if (ret_p)
        *ret_p = job.passport;
    return value;
}

struct identity_result world_verify_use(struct world *w, const struct str *values, size_t n,
                                        struct identity_replay *replay,
                                        const struct identity_use *use)
{
    struct identity_check *c;
    struct identity_result r;
    const struct str *urls;
    size_t n_urls;

    check_err(identity_check_new(w->arena, values, n, &w->m, &w->policy, &c), 0);
    n_urls = identity_check_urls(c, &urls);
    for (size_t i = 0; i < n_urls; i++) {
        for (size_t k = 0; k < WHO_N; k++) {
            if (str_eq(urls[i], str_z(world_urls[k])))
                identity_check_set_credential(c, i, &w->cred[k]);
        }
    }
    check_err(identity_check_finish(c, replay, use, &r), 0);
    return r;
}

struct identity_result world_verify(struct world *w, const struct str *values, size_t n)
{
    return world_verify_use(w, values, n, NULL, NULL);
}

void world_expect(const struct identity_result *r, enum identity_verdict v, const char *code)
{
    if (r->verdict != v || (code && (!r->why.code || strcmp(r->why.code, code) != 0)))
        fail_msg("%s (%s: %s), expected %s (%s)", identity_verdict_text(r->verdict).p,
                 r->why.code ? r->why.code : "-", r->why.detail, identity_verdict_text(v).p,
                 code ? code : "-");
    if (v != IDENTITY_VALID) {
        assert_non_null(r->why.clause);
        assert_true(r->why.sip_status >= 400);
    }
}

/* RFC 4474: its examples, the digest-string (9), whom it is for (11), keys and signatures, and the
 * verdicts of the verification service (6, 13). */
#include "check.h"

#include "base/limits.h"
#include "odd_rsa.h"
#include "oom.h"
#include "vectors_rfc4474.h"
#include "world.h"
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <stdio.h>

static struct world world, *w = &world;
static struct rfc4474_key *signer, *verifier; /* a.example's */
static struct rfc4474_message shown;

static const struct rfc4474_parts invite = {
    .from = {"sip:alice@atlanta.example.com", 29},
    .to = {"sip:bob@biloxi.example.org", 26},
    .call_id = {"a84b4c76e66710", 14},
    .cseq = 314159,
    .method = {"INVITE", 6},
    .date = {"Thu, 21 Feb 2002 13:02:03 GMT", 29},
    .contact = {"sip:alice@pc33.atlanta.example.com", 34},
    .body = {INVITE_BODY, sizeof(INVITE_BODY) - 1},
};

static int keys_make(void **state)
{
    EVP_PKEY *pkey = EVP_RSA_gen(2048);

    (void)state;
    assert_non_null(pkey);
    check_err(rfc4474_key_new(pkey, true, &signer, NULL), 0);
    check_err(rfc4474_key_new(pkey, false, &verifier, NULL), 0);
    EVP_PKEY_free(pkey);
    return 0;
}

static int keys_free(void **state)
{
    (void)state;
    rfc4474_key_free(signer);
    rfc4474_key_free(verifier);
    return 0;
}

/* Alice's domain has an RSA certificate, her message a Contact and everything else. */
static int setup(void **state)
{
    (void)state;
    world_init(w);
    w->cred[A].key = NULL;
    w->cred[A].rsa = verifier;
    shown = (struct rfc4474_message){
        .parts = {.from = STR("sip:alice@a.example"),
                  .to = STR("sip:bob@b.example"),
                  .call_id = STR("call-1"),
                  .cseq = 1,
                  .method = STR("INVITE"),
                  .date = STR("Tue, 14 Nov 2023 22:13:18 GMT"), /* NOW - 2 */
                  .contact = STR("sip:alice@192.0.2.1"),
                  .body = STR("v=0\r\n")},
        .info = STR("<" URL_A ">;alg=rsa-sha1")};
    w->m.rfc4474 = &shown;
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    world_done(w);
    return 0;
}

static struct str sign_text(struct str text)
{
    char signature[RFC4474_SIGNATURE_TEXT_MAX];

    check_err(rfc4474_sign(signer, text, signature), 0);
    return rfc4474_identity_value(w->arena, str_z(signature));
}

static struct str sign_parts(const struct rfc4474_parts *p)
{
    struct str text;

    check_err(rfc4474_build(w->arena, p, &text, NULL), 0);
    return sign_text(text);
}

static void expect(struct str value, enum identity_verdict v, const char *code)
{
    struct identity_result r = world_verify(w, &value, 1);

    world_expect(&r, v, code);
}

/* --- the examples of the RFC --- */

static struct rfc4474_key *public_of(const char *pem)
{
    BIO *b = BIO_new_mem_buf(pem, -1);
    X509 *cert = PEM_read_bio_X509(b, NULL, NULL, NULL);
    struct rfc4474_key *k;

    assert_non_null(cert);
    check_err(rfc4474_key_new(X509_get0_pubkey(cert), false, &k, NULL), 0);
    X509_free(cert);
    BIO_free(b);
    return k;
}

static struct rfc4474_key *private_of(const char *pem)
{
    EVP_PKEY *pkey = key_private(pem);
    struct rfc4474_key *k;

    check_err(rfc4474_key_new(pkey, true, &k, NULL), 0);
    EVP_PKEY_free(pkey);
    return k;
}

static void one_example(const struct rfc4474_parts *p, const char *string, const char *signature,
                        const char *key_pem, const char *cert_pem)
{
    struct rfc4474_key *sign = private_of(key_pem), *verify = public_of(cert_pem);
    char made[RFC4474_SIGNATURE_TEXT_MAX];
    struct reason why = {.code = NULL};
    struct str text;

    check_err(rfc4474_build(w->arena, p, &text, &why), 0);
    check_str(text, string);
    assert_int_equal(rfc4474_key_bits(verify), 1024);
    check_err(rfc4474_sign(sign, text, made), 0);
    assert_string_equal(made, signature);
    check_err(rfc4474_verify(verify, text, str_z(signature), &why), 0);
    text.n--;
    check_err(rfc4474_verify(verify, text, str_z(signature), &why), ERR_REFUSED);
    assert_int_equal(why.sip_status, 438);
    check_err(rfc4474_verify(sign, text, str_z(signature), &why), ERR_INVALID);
    check_err(rfc4474_sign(verify, text, made), ERR_INVALID);
    rfc4474_key_free(sign);
    rfc4474_key_free(verify);
}

static void examples(void **state)
{
    struct rfc4474_parts bye = invite;

    (void)state;
    one_example(&invite, INVITE_STRING, INVITE_SIGNATURE, ATLANTA_KEY, ATLANTA_CERT);
    bye.from = invite.to;
    bye.to = invite.from;
    bye.cseq = 231;
    bye.method = STR("BYE");
    bye.date = STR("Thu, 21 Feb 2002 14:19:51 GMT");
    bye.contact = bye.body = STR_NULL;
    one_example(&bye, BYE_STRING, BYE_SIGNATURE, BILOXI_KEY, BILOXI_CERT);
}

/* The same INVITE through the verification service: no key of 1024 bits is long enough, unless the
 * caller says so; then it is his certificate's name that counts. */
static void example_verified(void **state)
{
    static const struct str domain = {"atlanta.example.com", 19};
    struct rfc4474_message m = {.parts = invite,
                                .info = STR("<https://a.example/cert>;alg=rsa-sha1")};
    struct str value = STR("\"" INVITE_SIGNATURE "\"");
    struct rfc4474_key *k = public_of(ATLANTA_CERT);

    (void)state;
    w->m.rfc4474 = &m;
    w->m.date_s = w->policy.now_s = 1014296523;
    w->cred[A].rsa = k;
    w->cred[A].not_before_s = 1;
    w->cred[A].domains = &domain;
    expect(value, IDENTITY_UNVERIFIABLE, "rfc4474-key-unsupported");
    w->policy.rsa_min_bits = 1024;
    expect(value, IDENTITY_VALID, NULL);
    w->cred[A].not_before_s = 1130135766; /* as in the RFC, whose messages are older */
    expect(value, IDENTITY_UNVERIFIABLE, "identity-credential-validity");
    rfc4474_key_free(k);
}

/* --- the digest-string --- */

static void canonical(void **state)
{
    struct rfc4474_parts p = invite, back;
    struct str text;

    (void)state;
    p.date = STR(" thu,  21 FEB 2002 13:02:03\r\n gmt "); /* 9: one space, case as in the grammar */
    p.contact = STR_NULL;
    p.body = STR_NULL;
    check_err(rfc4474_build(w->arena, &p, &text, NULL), 0);
    check_str(text, "sip:alice@atlanta.example.com|sip:bob@biloxi.example.org|a84b4c76e66710|"
                    "314159 INVITE|Thu, 21 Feb 2002 13:02:03 GMT||");
    check_err(rfc4474_parse(text, &back, NULL), 0);
    assert_int_equal(back.cseq, 314159);
    assert_int_equal(back.body.n + back.contact.n, 0);
    /* addresses as they stand, parameters too; a body may have borders in it */
    p.from = STR("sips:%61lice@Atlanta.example.com:5061;transport=tcp?a=b");
    p.contact = STR("<x>|"); /* no */
    check_err(rfc4474_build(w->arena, &p, &text, NULL), ERR_SYNTAX);
    p.contact = STR("sip:alice@192.0.2.1");
    p.body = STR("a|b|\r\n\xc3\xa4\t");
    check_err(rfc4474_build(w->arena, &p, &text, NULL), 0);
    check_err(rfc4474_parse(text, &back, NULL), 0);
    check_str(back.from, "sips:%61lice@Atlanta.example.com:5061;transport=tcp?a=b");
    check_str(back.contact, "sip:alice@192.0.2.1");
    check_str(back.body, "a|b|\r\n\xc3\xa4\t");
    check_str(back.method, "INVITE");
    check_str(back.call_id, "a84b4c76e66710");
}

static void not_built(void **state)
{
    static const struct {
        const char *from, *to, *call_id, *method, *date, *contact, *body;
        int err;
    } bad[] = {
        {.from = "", .err = ERR_SYNTAX},
        {.from = "sip:a|b@x", .err = ERR_SYNTAX},
        {.from = "sip:a b@x", .err = ERR_SYNTAX},
        {.from = "sip:\xc3\xa4@x", .err = ERR_SYNTAX},
        {.to = "", .err = ERR_SYNTAX},
        {.to = "sip:a\r\n@x", .err = ERR_SYNTAX},
        {.call_id = "", .err = ERR_SYNTAX},
        {.call_id = "a|b", .err = ERR_SYNTAX},
        {.method = "", .err = ERR_SYNTAX},
        {.method = "INVITE|", .err = ERR_SYNTAX},
        {.method = "AVERYLONGMETHODTHATNOBODYHASEVERHEARDOF", .err = ERR_SYNTAX},
        {.date = "", .err = ERR_SYNTAX},
        {.date = "yesterday", .err = ERR_SYNTAX},
        {.contact = "*|", .err = ERR_SYNTAX},
        {.body = "a\x01", .err = ERR_UNSUPPORTED},
        {.body = "a\x7f", .err = ERR_UNSUPPORTED},
        {.body = "\xff\xfe", .err = ERR_UNSUPPORTED},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct rfc4474_parts p = invite;
        struct reason why = {.code = NULL};
        struct str text;

        p.from = bad[i].from ? str_z(bad[i].from) : p.from;
        p.to = bad[i].to ? str_z(bad[i].to) : p.to;
        p.call_id = bad[i].call_id ? str_z(bad[i].call_id) : p.call_id;
        p.method = bad[i].method ? str_z(bad[i].method) : p.method;
        p.date = bad[i].date ? str_z(bad[i].date) : p.date;
        p.contact = bad[i].contact ? str_z(bad[i].contact) : p.contact;
        p.body = bad[i].body ? str_z(bad[i].body) : p.body;
        check_err(rfc4474_build(w->arena, &p, &text, &why), bad[i].err);
        assert_non_null(why.code);
        assert_null(text.p);
    }
}

/* Who has the key understands all that it signs, or does not sign. */
static void not_parsed(void **state)
{
    static const char *const bad[] = {
        "",
        "|",
        "|||||||",
        "sip:a@x|sip:b@x|c|1 INVITE|Thu, 21 Feb 2002 13:02:03 GMT|",   /* a border short */
        "sip:a@x|sip:b@x|c|01 INVITE|Thu, 21 Feb 2002 13:02:03 GMT||", /* 9: no leading zeros */
        "sip:a@x|sip:b@x|c|1  INVITE|Thu, 21 Feb 2002 13:02:03 GMT||", /* one space */
        "sip:a@x|sip:b@x|c|1|Thu, 21 Feb 2002 13:02:03 GMT||",         /* no method */
        "sip:a@x|sip:b@x|c| INVITE|Thu, 21 Feb 2002 13:02:03 GMT||",   /* no number */
        "sip:a@x|sip:b@x|c|4294967296 INVITE|Thu, 21 Feb 2002 13:02:03 GMT||",
        "sip:a@x|sip:b@x|c|1 INVITE|thu, 21 Feb 2002 13:02:03 GMT||",
        "sip:a@x|sip:b@x|c|1 INVITE|Thu,  21 Feb 2002 13:02:03 GMT||",
        "sip:a@x|sip:b@x|c|1 INVITE|||",
        "sip:a@x||c|1 INVITE|Thu, 21 Feb 2002 13:02:03 GMT||",
        "sip:a@x|sip:b@x|c|1 INVITE|Thu, 21 Feb 2002 13:02:03 GMT||\x02",
    };
    struct rfc4474_parts p;

    (void)state;
    check_err(
        rfc4474_parse(STR("sip:a@x|sip:b@x|c|0 INVITE|Thu, 21 Feb 2002 13:02:03 GMT||"), &p, NULL),
        0);
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct reason why = {.code = NULL};

        if (rfc4474_parse(str_z(bad[i]), &p, &why) == 0)
            fail_msg("parsed: %s", bad[i]);
        assert_non_null(why.code);
    }
}

static void methods(void **state)
{
    (void)state;
    assert_true(rfc4474_method_may(STR("INVITE")));
    assert_true(rfc4474_method_may(STR("MESSAGE")));
    assert_false(rfc4474_method_may(STR("CANCEL")));
    assert_false(rfc4474_method_may(STR("REGISTER")));
    assert_false(rfc4474_method_may(STR("ACK")));
}

static void whom(void **state)
{
    static const struct {
        const char *from, *is;
        int err;
    } v[] = {
        {"sip:Alice@A.Example", "sip:Alice@a.example", 0},
        {"sips:alice:secret@a.example:5061;user=phone?x=y", "sips:alice@a.example", 0},
        {"sip:+4930123@a.example;user=phone", "sip:+4930123@a.example", 0}, /* 11: no number */
        {"sip:a.example", "sip:a.example", 0},
        {"sip:x;y@a.example", "sip:x;y@a.example", 0},
        {"tel:+4930123", NULL, ERR_UNSUPPORTED},
        {"http://a.example", NULL, ERR_SYNTAX},
        {"a.example", NULL, ERR_SYNTAX},
        {"sip:", NULL, ERR_SYNTAX},
        {"sip:alice@", NULL, ERR_SYNTAX},
        {"sip:alice@[::1]", NULL, ERR_SYNTAX},
        {"sip:alice@a.example@b.example", NULL, ERR_SYNTAX},
        {"sip:alice@a.example;x=@b.example", NULL, ERR_SYNTAX},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(v); i++) {
        struct passport_id id;
        struct reason why = {.code = NULL};
        int err = rfc4474_identity(w->arena, str_z(v[i].from), &id, &why);

        if (err != v[i].err)
            fail_msg("%s: %d", v[i].from, err);
        assert_false(id.is_tn);
        if (v[i].is && !str_eq_nocase(id.text, str_z(v[i].is)))
            fail_msg("%s is %.*s", v[i].from, STR_FMT(id.text));
        assert_true((err != 0) == (why.code != NULL));
    }
}

static void keys(void **state)
{
    EVP_PKEY *ec = key_make("P-256"), *huge = odd_rsa(RFC4474_RSA_BITS_MAX + 1, 17);
    EVP_PKEY *slow = odd_rsa(2048, 65), *fair = odd_rsa(2048, 64);
    struct rfc4474_key *k;
    struct reason why;

    (void)state;
    check_err(rfc4474_key_new(ec, false, &k, &why), ERR_UNSUPPORTED);
    assert_int_equal(why.sip_status, 437);
    check_err(rfc4474_key_new(huge, false, &k, &why), ERR_UNSUPPORTED);
    assert_null(k);
    check_err(rfc4474_key_new(slow, false, &k, &why), ERR_UNSUPPORTED);
    assert_null(k);
    check_err(rfc4474_key_new(fair, false, &k, &why), 0);
    rfc4474_key_free(k);
    EVP_PKEY_free(ec);
    EVP_PKEY_free(huge);
    EVP_PKEY_free(slow);
    EVP_PKEY_free(fair);
    check_err(rfc4474_verify(verifier, STR("x"), STR("c2ln"), &why), ERR_SYNTAX);
    check_err(rfc4474_verify(verifier, STR("x"), STR("not base64"), &why), ERR_SYNTAX);
    check_err(rfc4474_verify(verifier, STR("x"), STR(INVITE_SIGNATURE), &why), ERR_SYNTAX);
    assert_int_equal(why.sip_status, 438);
}

static void values(void **state)
{
    (void)state;
    check_str(rfc4474_identity_value(w->arena, STR("c2ln")), "\"c2ln\"");
    check_str(rfc4474_info_value(w->arena, STR("https://a.example/x.cer")),
              "<https://a.example/x.cer>;alg=rsa-sha1");
}

/* --- the verification service --- */

static void valid(void **state)
{
    struct str value = sign_parts(&shown.parts);
    struct identity_result r = world_verify(w, &value, 1);

    (void)state;
    world_expect(&r, IDENTITY_VALID, NULL);
    assert_int_equal(r.authority, IDENTITY_BY_DOMAIN);
    assert_int_equal(r.reached, IDENTITY_REACHED_SAME);
    assert_true(r.by_rfc4474);
    assert_true(r.body_bound);
    assert_true(r.keys_bound); /* the fingerprints are in the body */
    assert_false(r.by_user);
    assert_int_equal(r.attest, 0);
    check_str(r.token->p.orig.text, "sip:alice@a.example");
    w->m.n_mky = 0;
    r = world_verify(w, &value, 1);
    assert_false(r.keys_bound);
    /* a certificate of the user alone is good for the user, and is not RFC 8862's */
    w->cred[A].domains = NULL;
    w->cred[A].n_domains = 0;
    w->cred[A].uris = w->cred[USER].uris;
    w->cred[A].n_uris = 1;
    r = world_verify(w, &value, 1);
    world_expect(&r, IDENTITY_VALID, NULL);
    assert_int_equal(r.authority, IDENTITY_BY_USER);
    assert_false(r.by_user);
    /* retargeted since: a fact */
    w->m.target = uri("sip:carol@b.example");
    r = world_verify(w, &value, 1);
    assert_int_equal(r.reached, IDENTITY_REACHED_UNPROVEN);
}

/* A number in From is the domain's to sign, and nobody's number for that. */
static void number(void **state)
{
    struct str value;
    struct identity_result r;

    (void)state;
    shown.parts.from = STR("sip:+4930101@a.example;user=phone");
    w->m.orig = tn("4930101");
    value = sign_parts(&shown.parts);
    r = world_verify(w, &value, 1);
    world_expect(&r, IDENTITY_VALID, NULL);
    assert_int_equal(r.authority, IDENTITY_BY_DOMAIN);
    assert_false(r.token->p.orig.is_tn);
    shown.parts.from = STR("tel:+4930101");
    expect(sign_parts(&shown.parts), IDENTITY_UNVERIFIABLE, "rfc4474-tel");
}

static void not_wanted(void **state)
{
    struct str v[3] = {sign_parts(&shown.parts)};
    struct identity_sign_args args = {.type = PASSPORT_BASE};
    struct identity_result r;

    (void)state;
    w->m.rfc4474 = NULL;
    expect(v[0], IDENTITY_ABSENT, "identity-rfc4474");
    w->m.rfc4474 = &shown;
    w->m.is_response = true;
    expect(v[0], IDENTITY_ABSENT, "identity-rfc4474");
    w->m.is_response = false;
    /* beside one of RFC 8224 it does not count, whatever becomes of that */
    w->cred[A].key = w->verifier[A];
    v[1] = world_sign(w, A, args, NULL);
    r = world_verify(w, v, 2);
    world_expect(&r, IDENTITY_VALID, NULL);
    assert_false(r.by_rfc4474);
    w->m.mky = w->other_mky;
    w->m.n_mky = 1;
    r = world_verify(w, v, 2);
    world_expect(&r, IDENTITY_CONTRADICTED, "identity-mky-contradicted");
    /* ... but beside one of a kind that nobody here knows it does */
    v[1] = STR("a.b.c;info=<https://a.example/cert>;ppt=rcd");
    r = world_verify(w, v, 2);
    world_expect(&r, IDENTITY_VALID, NULL);
    assert_true(r.by_rfc4474);
    /* and it is there once (9) */
    v[1] = v[0];
    r = world_verify(w, v, 2);
    world_expect(&r, IDENTITY_VALID, NULL);
    assert_int_equal(r.worst, IDENTITY_BROKEN);
}

static void info(void **state)
{
    struct str value = sign_parts(&shown.parts);

    (void)state;
    shown.info = STR_NULL;
    expect(value, IDENTITY_UNVERIFIABLE, "rfc4474-info");
    shown.info = STR("nonsense");
    expect(value, IDENTITY_UNVERIFIABLE, "identity-header-syntax");
    shown.info = STR("<" URL_A ">");
    expect(value, IDENTITY_UNVERIFIABLE, "rfc4474-alg");
    shown.info = STR("<" URL_A ">;alg=rsa-sha256");
    expect(value, IDENTITY_UNVERIFIABLE, "rfc4474-alg");
    shown.info = STR("<" URL_A ">;alg=RSA-SHA1;x");
    expect(value, IDENTITY_VALID, NULL);
    shown.info = STR("<http://a.example/cert>;alg=rsa-sha1");
    expect(value, IDENTITY_UNVERIFIABLE, "identity-info-scheme");
    shown.info = STR("<cid:cert@a.example>;alg=rsa-sha1");
    expect(value, IDENTITY_UNVERIFIABLE, "identity-info-scheme");
    shown.info = STR("<https://nobody.example/cert>;alg=rsa-sha1");
    expect(value, IDENTITY_UNVERIFIABLE, "identity-credential-missing");
    shown.info = STR("<" URL_B ">;alg=rsa-sha1"); /* a key for something else */
    expect(value, IDENTITY_UNVERIFIABLE, "rfc4474-key-unsupported");
}

static void stale(void **state)
{
    struct str value = sign_parts(&shown.parts);

    (void)state;
    w->policy.now_s = NOW + 100;
    expect(value, IDENTITY_STALE, "identity-stale");
    w->policy.inner_max_age_s = 10800; /* only what is below a diversion may be older */
    expect(value, IDENTITY_STALE, "identity-stale");
    w->policy.now_s = NOW - 100;
    expect(value, IDENTITY_STALE, "identity-stale");
}

/* What B2BUAs change on the way, each by itself: broken, and no attack. */
static void changed(void **state)
{
    const struct rfc4474_parts good = shown.parts;
    struct str value = sign_parts(&shown.parts);

    (void)state;
    shown.parts.from = STR("sip:alice_a.example@transit.example");
    expect(value, IDENTITY_BROKEN, "rfc4474-signature");
    shown.parts = good;
    shown.parts.to = STR("sip:carol@b.example");
    expect(value, IDENTITY_BROKEN, "rfc4474-signature");
    shown.parts = good;
    shown.parts.call_id = STR("call-2");
    expect(value, IDENTITY_BROKEN, "rfc4474-signature");
    shown.parts = good;
    shown.parts.cseq = 2;
    expect(value, IDENTITY_BROKEN, "rfc4474-signature");
    shown.parts = good;
    shown.parts.method = STR("BYE");
    expect(value, IDENTITY_BROKEN, "rfc4474-signature");
    shown.parts = good;
    shown.parts.contact = STR("sip:alice@sbc.example");
    expect(value, IDENTITY_BROKEN, "rfc4474-signature");
    shown.parts = good;
    shown.parts.body = STR("v=0\r\ns=x\r\n");
    expect(value, IDENTITY_BROKEN, "rfc4474-signature");
    shown.parts = good;
    shown.parts.date = STR("Tue, 14 Nov 2023 22:13:19 GMT");
    expect(value, IDENTITY_BROKEN, "rfc4474-signature");
    shown.parts = good;
    shown.parts.date = STR_NULL;
    expect(value, IDENTITY_BROKEN, "rfc4474-digest-string");
    shown.parts = good;
    shown.parts.method = STR("REGISTER");
    expect(sign_parts(&shown.parts), IDENTITY_BROKEN, "rfc4474-request");
    shown.parts = good;
    shown.has_other_contacts = true;
    expect(value, IDENTITY_BROKEN, "rfc4474-request");
    shown.has_other_contacts = false;
    expect(STR("\"c2ln\""), IDENTITY_BROKEN, "rfc4474-signature-form");
    expect(STR("\"c2ln"), IDENTITY_BROKEN, "identity-header-syntax");
    expect(STR("\"c2-n\""), IDENTITY_BROKEN, "identity-header-syntax");
}

/* Two texts with one SHA-1 need room for what their maker cannot choose. */
static void binary_body(void **state)
{
    struct str value = sign_parts(&shown.parts);

    (void)state;
    shown.parts.body = STR("v=0\r\n\x01");
    expect(value, IDENTITY_UNVERIFIABLE, "rfc4474-body-binary");
}

/* The signature holds, and who made it does not speak for From: an attack. */
static void not_its_domain(void **state)
{
    struct str value = sign_parts(&shown.parts);

    (void)state;
    w->cred[A].domains = w->cred[B].domains;
    expect(value, IDENTITY_CONTRADICTED, "identity-authority");
    w->cred[A].domains = NULL;
    w->cred[A].n_domains = 0;
    expect(value, IDENTITY_CONTRADICTED, "identity-authority");
    w->cred[A].tn = w->cred[C].tn; /* authority over numbers is none over addresses */
    w->cred[A].n_tn = 1;
    expect(value, IDENTITY_CONTRADICTED, "identity-authority");
}

/* 13.1: the Call-ID serves as a nonce; a From tag is not under the signature. */
static void replay(void **state)
{
    const uint8_t key[16] = {1};
    struct identity_replay *seen = identity_replay_new(16, key);
    struct identity_use use = {STR("call-1"), STR("tag-1"), 1, false, false};
    struct str value = sign_parts(&shown.parts);
    struct identity_result r;

    (void)state;
    assert_non_null(seen);
    r = world_verify_use(w, &value, 1, seen, &use);
    world_expect(&r, IDENTITY_VALID, NULL);
    r = world_verify_use(w, &value, 1, seen, &use); /* a fork, or a spiral */
    world_expect(&r, IDENTITY_VALID, NULL);
    use.from_tag = STR("tag-2");
    r = world_verify_use(w, &value, 1, seen, &use);
    world_expect(&r, IDENTITY_CONTRADICTED, "identity-replay");
    use.from_tag = STR("tag-1");
    identity_replay_answered(seen, &r.token->tag, &use, 200);
    r = world_verify_use(w, &value, 1, seen, &use);
    world_expect(&r, IDENTITY_CONTRADICTED, "identity-replay");
    identity_replay_free(seen);
}

/* --- the authentication service (5) --- */

static void not_prepared(int err, const char *code)
{
    struct reason why = {.code = NULL};
    struct str text;
    int got =
        identity_sign_prepare_rfc4474(w->arena, &shown.parts, &w->cred[A], &w->policy, &text, &why);

    if (got != err || !why.code || strcmp(why.code, code) != 0)
        fail_msg("%d %s, expected %d %s", got, why.code ? why.code : "-", err, code);
    assert_null(text.p);
}

static void prepared(void **state)
{
    const struct rfc4474_parts good = shown.parts;
    struct str text;

    (void)state;
    check_err(
        identity_sign_prepare_rfc4474(w->arena, &shown.parts, &w->cred[A], &w->policy, &text, NULL),
        0);
    check_str(text,
              "sip:alice@a.example|sip:bob@b.example|call-1|1 INVITE|Tue, 14 Nov 2023 22:13:18 "
              "GMT|sip:alice@192.0.2.1|v=0\r\n");
    shown.parts.from = STR("sip:alice@b.example");
    not_prepared(ERR_REFUSED, "sign-authority");
    shown.parts.from = STR("tel:+4930123");
    not_prepared(ERR_UNSUPPORTED, "rfc4474-tel");
    shown.parts = good;
    shown.parts.method = STR("REGISTER");
    not_prepared(ERR_REFUSED, "sign-method");
    shown.parts = good;
    shown.parts.date = STR_NULL;
    not_prepared(ERR_INVALID, "sign-date-missing");
    shown.parts.date = STR("Tue, 14 Nov 2023 22:11:00 GMT");
    not_prepared(ERR_REFUSED, "sign-date-stale");
    shown.parts = good;
    shown.parts.body = STR("\x02");
    not_prepared(ERR_UNSUPPORTED, "rfc4474-body-binary");
    shown.parts = good;
    w->cred[A].not_before_s = NOW - 1;
    not_prepared(ERR_REFUSED, "sign-credential-validity");
    w->cred[A].not_before_s = 0;
    w->policy.rsa_min_bits = 3072;
    not_prepared(ERR_REFUSED, "sign-alg");
    w->cred[A].rsa = NULL;
    not_prepared(ERR_REFUSED, "sign-alg");
}

static void keep_value(struct identity_sign_job *job, int err, struct str value)
{
    *(struct str *)job->arg = err == 0 ? value : STR("failed");
}

static void signed_here(void **state)
{
    struct identity_local_signer local;
    struct str value = STR_NULL;
    struct identity_sign_job job = {.arena = w->arena, .done = keep_value, .arg = &value};

    (void)state;
    check_err(identity_sign_prepare_rfc4474(w->arena, &shown.parts, &w->cred[A], &w->policy,
                                            &job.digest_string, NULL),
              0);
    identity_local_signer_init(&local, w->signer[A], 1);
    check_err(identity_sign_start(&job, &local.base), 0);
    identity_local_signer_run(&local);
    check_str(value, "failed"); /* it has no such key */
    local.rsa = signer;
    check_err(identity_sign_start(&job, &local.base), 0);
    identity_local_signer_run(&local);
    expect(value, IDENTITY_VALID, NULL);
}

static void no_memory(void **state)
{
    struct str value = sign_parts(&shown.parts);
    EVP_PKEY *pkey = EVP_RSA_gen(1024);

    (void)state;
    OOM_SWEEP(60, {
        struct arena *a = arena_new(64, 65536);
        struct identity_check *c;
        struct identity_result r;
        int err = a ? identity_check_new(a, &value, 1, &w->m, &w->policy, &c) : ERR_NOMEM;

        assert_true(err == 0 || err == ERR_NOMEM);
        if (err == 0) {
            identity_check_set_credential(c, 0, &w->cred[A]);
            err = identity_check_finish(c, NULL, NULL, &r);
            assert_true(err == ERR_NOMEM || (err == 0 && r.verdict == IDENTITY_VALID));
        }
        arena_free(a);
    });
    OOM_SWEEP(20, {
        char text[RFC4474_SIGNATURE_TEXT_MAX];
        struct rfc4474_key *k;
        struct reason why;
        int err = rfc4474_key_new(pkey, true, &k, &why);

        assert_true((err == 0) == (k != NULL));
        if (err == 0)
            err = rfc4474_sign(k, STR("x"), text);
        assert_true(err == 0 || err == ERR_NOMEM);
        rfc4474_key_free(k);
    });
    EVP_PKEY_free(pkey);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(examples),       TEST(example_verified),
        TEST(canonical),      TEST(not_built),
        TEST(not_parsed),     TEST(methods),
        TEST(whom),           TEST(keys),
        TEST(values),         TEST(valid),
        TEST(number),         TEST(not_wanted),
        TEST(info),           TEST(stale),
        TEST(changed),        TEST(binary_body),
        TEST(not_its_domain), TEST(replay),
        TEST(prepared),       TEST(signed_here),
        TEST(no_memory),
    };

    return cmocka_run_group_tests(tests, keys_make, keys_free);
}

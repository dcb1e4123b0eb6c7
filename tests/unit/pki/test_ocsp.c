/* OCSP answers (RFC 6960, 5019), what is remembered of them, who is asked when. */
#include "base/limits.h"
#include "base/mem.h"
#include "check.h"
#include "fixture.h"
#include "oom.h"
#include "pki/statuses.h"
#include "responder.h"
#include <time.h>

#define URL "http://ocsp.example/x"

static struct fix fix;
static X509 *root, *leaf, *other, *delegate, *no_delegate, *silent, *stranger;
static EVP_PKEY *root_key, *delegate_key, *no_delegate_key, *stranger_key;

static int setup(void **state)
{
    (void)state;
    struct str d = STR("a.example");
    struct reason why;
    fix_init(&fix);
    fix_cert_full(&fix, fix.root, "leaf",
                  (struct pki_mint_args){.domains = &d, .n_domains = 1, .responder = STR(URL)});
    fix_cert_full(&fix, fix.root, "other",
                  (struct pki_mint_args){
                      .domains = &d, .n_domains = 1, .responder = STR(URL), .must_staple = true});
    fix_cert(&fix, fix.root, "silent", "a.example", 0);
    fix_cert(&fix, fix.root, "delegate", "ocsp.example", PKI_MINT_OCSP);
    fix_cert(&fix, fix.root, "no-delegate", "ocsp.example", PKI_MINT_SERVER);
    fix_cert(&fix, fix.other, "stranger", "ocsp.example", PKI_MINT_OCSP);
    check_err(pki_mint_ca_save(fix.root, NULL, fix_path(&fix, "root.key"), &why), 0);
    root = read_cert(fix.root_pem);
    root_key = read_key(fix_path(&fix, "root.key"));
    leaf = read_cert(fix_path(&fix, "leaf.crt"));
    other = read_cert(fix_path(&fix, "other.crt"));
    silent = read_cert(fix_path(&fix, "silent.crt"));
    delegate = read_cert(fix_path(&fix, "delegate.crt"));
    delegate_key = read_key(fix_path(&fix, "delegate.key"));
    no_delegate = read_cert(fix_path(&fix, "no-delegate.crt"));
    no_delegate_key = read_key(fix_path(&fix, "no-delegate.key"));
    stranger = read_cert(fix_path(&fix, "stranger.crt"));
    stranger_key = read_key(fix_path(&fix, "stranger.key"));
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    X509 *certs[] = {root, leaf, other, silent, delegate, no_delegate, stranger};
    EVP_PKEY *keys[] = {root_key, delegate_key, no_delegate_key, stranger_key};
    for (size_t i = 0; i < ARRAY_LEN(certs); i++)
        X509_free(certs[i]);
    for (size_t i = 0; i < ARRAY_LEN(keys); i++)
        EVP_PKEY_free(keys[i]);
    fix_done(&fix);
    return 0;
}

static struct answer_args good(void)
{
    return (struct answer_args){.cert = leaf,
                                .issuer = root,
                                .signer = root,
                                .key = root_key,
                                .status = V_OCSP_CERTSTATUS_GOOD,
                                .from_s = -60,
                                .until_s = 3600};
}

static void check_answer(struct answer_args a, int err, enum pki_status status,
                         const char *in_detail)
{
    struct pki_ocsp_answer got;
    struct reason why = {0};
    size_t n;
    unsigned char *der = answer_make(&a, &n);
    check_err(pki_ocsp_check(der, n, leaf, root, (int64_t)time(NULL), &got, &why), err);
    assert_int_equal(got.status, status);
    if (err != 0 && !strstr(why.detail, in_detail))
        fail_msg("%s", why.detail);
    OPENSSL_free(der);
}

static void test_answers(void **state)
{
    (void)state;
    struct answer_args a = good();
    check_answer(a, 0, PKI_STATUS_GOOD, NULL);
    a.id_hash = EVP_sha256();
    check_answer(a, 0, PKI_STATUS_GOOD, NULL);
    a.id_hash = EVP_sha224(); /* of no use in identifiers: not found */
    check_answer(a, ERR_REFUSED, PKI_STATUS_UNKNOWN, "another certificate");
    a = good();
    a.status = V_OCSP_CERTSTATUS_UNKNOWN;
    check_answer(a, 0, PKI_STATUS_UNKNOWN, NULL);
    a.status = V_OCSP_CERTSTATUS_REVOKED;
    a.cause = OCSP_REVOKED_STATUS_KEYCOMPROMISE;
    check_answer(a, 0, PKI_STATUS_REVOKED, NULL);
    a = good();
    a.until_s = 0;
    check_answer(a, 0, PKI_STATUS_GOOD, NULL);
    a.from_s = -7200;
    check_answer(a, ERR_TIMEOUT, PKI_STATUS_UNKNOWN, "out of date");
    a = good();
    a.from_s = -7200;
    a.until_s = -3600;
    check_answer(a, ERR_TIMEOUT, PKI_STATUS_UNKNOWN, "out of date");
    a = good();
    a.from_s = 3600;
    a.until_s = 7200;
    check_answer(a, ERR_TIMEOUT, PKI_STATUS_UNKNOWN, "of the future");
    a = good();
    a.cert = other;
    check_answer(a, ERR_REFUSED, PKI_STATUS_UNKNOWN, "another certificate");
}

static void test_signers(void **state)
{
    (void)state;
    struct answer_args a = good();
    a.with_signer = true;
    check_answer(a, 0, PKI_STATUS_GOOD, NULL);
    a.hash = EVP_sha1();
    check_answer(a, ERR_REFUSED, PKI_STATUS_UNKNOWN, "not signed by one who may");
    a.hash = NULL;
    a.signer = delegate;
    a.key = delegate_key;
    check_answer(a, 0, PKI_STATUS_GOOD, NULL);
    a.with_signer = false; /* then nobody can tell who that was */
    check_answer(a, ERR_REFUSED, PKI_STATUS_UNKNOWN, "not signed by one who may");
    a.with_signer = true;
    a.signer = no_delegate; /* of the same CA, but not for this */
    a.key = no_delegate_key;
    check_answer(a, ERR_REFUSED, PKI_STATUS_UNKNOWN, "not signed by one who may");
    a.signer = stranger; /* for this, but of another CA */
    a.key = stranger_key;
    check_answer(a, ERR_REFUSED, PKI_STATUS_UNKNOWN, "not signed by one who may");
}

static void test_broken(void **state)
{
    (void)state;
    struct answer_args a = good();
    struct pki_ocsp_answer got;
    struct reason why;
    int64_t now = (int64_t)time(NULL);
    size_t n;
    unsigned char *der = answer_make(&a, &n);
    for (size_t i = 0; i < n; i++)
        if (pki_ocsp_check(der, i, leaf, root, now, &got, &why) == 0)
            fail_msg("taken when cut at %zu", i);
    der[n - 5] ^= 1; /* in the signature */
    assert_true(pki_ocsp_check(der, n, leaf, root, now, &got, &why) < 0);
    assert_int_equal(got.status, PKI_STATUS_UNKNOWN);
    OPENSSL_free(der);
    static const unsigned char try_later[] = {0x30, 3, 0x0a, 1, 3};
    check_err(pki_ocsp_check(try_later, sizeof try_later, leaf, root, now, &got, &why), ERR_AGAIN);
    assert_non_null(strstr(why.detail, "trylater"));
    check_err(pki_ocsp_check(try_later, LIMIT_OCSP_BYTES + 1, leaf, root, now, &got, &why),
              ERR_LIMIT);
}

static void test_certificates(void **state)
{
    (void)state;
    char url[PKI_URL_MAX];
    struct pki_cert_id a, b, c;
    check_err(pki_ocsp_responder(leaf, url), 0);
    assert_string_equal(url, URL);
    check_err(pki_ocsp_responder(silent, url), ERR_NOTFOUND);
    assert_false(pki_must_staple(leaf));
    assert_true(pki_must_staple(other));
    check_err(pki_cert_id_make(leaf, root, &a), 0);
    check_err(pki_cert_id_make(other, root, &b), 0);
    check_err(pki_cert_id_make(leaf, stranger, &c), 0);
    assert_memory_not_equal(a.b, b.b, sizeof a.b);
    assert_memory_not_equal(a.b, c.b, sizeof a.b);
    struct str d = STR("a.example");
    const struct str bad[] = {STR("https://ocsp.example/"), STR("ldap://ocsp.example/"),
                              STR("file:///etc/passwd")};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        fix_cert_full(&fix, fix.root, "bad-url",
                      (struct pki_mint_args){.domains = &d, .n_domains = 1, .responder = bad[i]});
        X509 *x = read_cert(fix_path(&fix, "bad-url.crt"));
        check_err(pki_ocsp_responder(x, url), ERR_NOTFOUND);
        X509_free(x);
    }
}

/* --- the store --- */

static struct pki_question *asked[8];
static unsigned n_asked;

static void on_ask(void *arg, struct pki_question *q)
{
    (void)arg;
    assert_true(n_asked < ARRAY_LEN(asked));
    asked[n_asked++] = q;
}

static struct pki_question *take_question(void)
{
    assert_int_equal(n_asked, 1);
    n_asked = 0;
    return asked[0];
}

static void give_answer(struct answer_args a, int64_t now)
{
    size_t n;
    unsigned char *der = answer_make(&a, &n);
    pki_question_answer(take_question(), der, n, now);
    OPENSSL_free(der);
}

static void test_store(void **state)
{
    (void)state;
    struct pki_statuses *s;
    struct pki_ocsp_answer got;
    struct pki_cert_id id;
    int64_t now = (int64_t)time(NULL);
    struct reason why;
    size_t n;
    check_err(pki_statuses_new(on_ask, NULL, &s), 0);
    check_err(pki_cert_id_make(leaf, root, &id), 0);
    assert_int_equal(pki_statuses_find(s, &id, now, &got), PKI_STATUS_UNKNOWN);
    pki_statuses_want(s, silent, root, now); /* names nobody */
    assert_int_equal(n_asked, 0);
    pki_statuses_want(s, leaf, root, now);
    pki_statuses_want(s, leaf, root, now); /* under way already */
    struct pki_question *q = take_question();
    assert_string_equal(pki_question_url(q), URL);
    const unsigned char *p = pki_question_body(q, &n);
    OCSP_REQUEST *r = d2i_OCSP_REQUEST(NULL, &p, (long)n);
    assert_non_null(r);
    assert_int_equal(OCSP_request_onereq_count(r), 1);
    OCSP_REQUEST_free(r);
    /* no answer: asked again after a minute, then after two */
    reason_set(&why, "test", NULL, 0, "nobody there");
    now = (int64_t)time(NULL);
    pki_question_fail(q, &why);
    pki_statuses_want(s, leaf, root, now + 50);
    assert_int_equal(n_asked, 0);
    pki_statuses_want(s, leaf, root, now + 70);
    q = take_question();
    pki_question_answer(q, "x", 1, now + 70);
    pki_statuses_want(s, leaf, root, now + 70 + 110);
    assert_int_equal(n_asked, 0);
    pki_statuses_want(s, leaf, root, now + 70 + 130);
    give_answer(good(), now);
    assert_int_equal(pki_statuses_find(s, &id, now, &got), PKI_STATUS_GOOD);
    assert_int_equal(pki_statuses_find(s, &id, now + 3500, &got), PKI_STATUS_GOOD);
    assert_int_equal(pki_statuses_find(s, &id, now + 3700, &got), PKI_STATUS_UNKNOWN);
    pki_statuses_want(s, leaf, root, now + 1700); /* before half of its time: nothing to ask */
    assert_int_equal(n_asked, 0);
    pki_statuses_want(s, leaf, root, now + 1900);
    struct answer_args a = good();
    a.status = V_OCSP_CERTSTATUS_REVOKED;
    give_answer(a, now);
    assert_int_equal(pki_statuses_find(s, &id, now + 90 * 86400, &got),
                     PKI_STATUS_REVOKED); /* for good */
    pki_statuses_want(s, leaf, root, now + 90 * 86400);
    a = good();
    a.from_s = -7000; /* an older answer, replayed, changes nothing */
    give_answer(a, now);
    assert_int_equal(pki_statuses_find(s, &id, now, &got), PKI_STATUS_REVOKED);
    pki_statuses_unref(s);
}

static void count_one(void *arg, const struct pki_status_info *i)
{
    unsigned *n = arg;
    n[0]++;
    n[1] += i->file != NULL;
    assert_string_equal(i->url, URL);
    assert_non_null(strstr(i->names, "URI:sip:a.example"));
}

static void test_own(void **state)
{
    (void)state;
    struct pki_statuses *s;
    struct pki_cert_id id;
    int64_t now = (int64_t)time(NULL);
    size_t n;
    unsigned char *der;
    check_err(pki_statuses_new(on_ask, NULL, &s), 0);
    check_err(pki_cert_id_make(leaf, root, &id), 0);
    pki_statuses_own_begin(s);
    check_err(pki_statuses_own(s, silent, root, STR("silent.crt"), now), ERR_NOTFOUND);
    check_err(pki_statuses_own(s, leaf, root, STR("leaf.crt"), now), 0);
    check_err(pki_statuses_own(s, leaf, root, STR("leaf.crt"), now), 0);
    pki_statuses_own_end(s);
    assert_null(pki_statuses_staple(s, &id, now, &n));
    give_answer(good(), now);
    der = pki_statuses_staple(s, &id, now, &n);
    assert_non_null(der);
    struct pki_ocsp_answer got;
    struct reason why;
    check_err(pki_ocsp_check(der, n, leaf, root, now, &got, &why), 0);
    OPENSSL_free(der);
    assert_null(pki_statuses_staple(s, &id, now + 3700, &n));
    pki_statuses_tick(s, now + 1000);
    assert_int_equal(n_asked, 0);
    pki_statuses_tick(s, now + 2000);
    give_answer(good(), now);
    unsigned seen[2] = {0};
    pki_statuses_each(s, count_one, seen);
    assert_int_equal(seen[0], 1);
    assert_int_equal(seen[1], 1);
    pki_statuses_own_begin(s); /* a reload without it */
    pki_statuses_own_end(s);
    pki_statuses_tick(s, now + 90000);
    assert_int_equal(n_asked, 0);
    pki_statuses_stop(s);
    pki_statuses_want(s, other, root, now);
    assert_int_equal(n_asked, 0);
    pki_statuses_unref(s);
}

static void test_store_no_memory(void **state)
{
    (void)state;
    int64_t now = (int64_t)time(NULL);
    OOM_SWEEP(100, {
        struct pki_statuses *s = NULL;
        if (pki_statuses_new(on_ask, NULL, &s) == 0) {
            pki_statuses_want(s, leaf, root, now);
            (void)!pki_statuses_own(s, other, root, STR("f"), now);
            while (n_asked)
                pki_question_answer(asked[--n_asked], "x", 1, now);
            pki_statuses_unref(s);
        }
    });
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_answers),         cmocka_unit_test(test_signers),
        cmocka_unit_test(test_broken),          cmocka_unit_test(test_certificates),
        cmocka_unit_test(test_store),           cmocka_unit_test(test_own),
        cmocka_unit_test(test_store_no_memory),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}

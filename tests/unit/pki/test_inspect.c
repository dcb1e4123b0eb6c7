/* Requests (RFC 2986, 8226 9) and certificates in words. */
#include "base/err.h"
#include "check.h"
#include "fixture.h"
#include "oom.h"
#include "pki/csr.h"
#include "pki/inspect.h"
#include "pki/tnauth.h"
#include "responder.h"
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>

static struct fix fix;

static int setup(void **state)
{
    (void)state;
    fix_init(&fix);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    fix_done(&fix);
    return 0;
}

/* --- requests --- */

static X509_REQ *read_request(const char *file)
{
    BIO *b = BIO_new_file(file, "r");
    X509_REQ *q = PEM_read_bio_X509_REQ(b, NULL, NULL, NULL);
    BIO_free(b);
    assert_non_null(q);
    EVP_PKEY *key = X509_REQ_get0_pubkey(q);
    assert_int_equal(X509_REQ_verify(q, key), 1);
    return q;
}

static void test_request(void **state)
{
    (void)state;
    const struct str domains[] = {STR("a.example"), STR("b.example")},
                     tns[] = {STR("15551230000-15551239999"), STR("0123"), STR("15557654321")},
                     spcs[] = {STR("1234")};
    struct pki_csr_args args = {.domains = domains,
                                .n_domains = 2,
                                .must_staple = true,
                                .key_file = fix_path(&fix, "r.key"),
                                .csr_file = fix_path(&fix, "r.csr")};
    struct reason why = {0};
    struct stat st;
    bool is_new;
    check_err(pki_csr_make(&args, &is_new, &why), 0);
    assert_true(is_new);
    assert_int_equal(stat(args.key_file, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    X509_REQ *q = read_request(args.csr_file);
    STACK_OF(X509_EXTENSION) *ext = X509_REQ_get_extensions(q);
    GENERAL_NAMES *names = X509V3_get_d2i(ext, NID_subject_alt_name, NULL, NULL);
    assert_int_equal(sk_GENERAL_NAME_num(names), 4);
    assert_true(X509v3_get_ext_by_NID(ext, NID_tlsfeature, -1) >= 0);
    assert_true(X509v3_get_ext_by_NID(ext, NID_ext_key_usage, -1) >= 0);
    GENERAL_NAMES_free(names);
    sk_X509_EXTENSION_pop_free(ext, X509_EXTENSION_free);
    X509_REQ_free(q);

    args = (struct pki_csr_args){.tns = tns,
                                 .n_tns = 3,
                                 .spcs = spcs,
                                 .n_spcs = 1,
                                 .key_file = args.key_file,
                                 .csr_file = args.csr_file};
    check_err(pki_csr_make(&args, &is_new, &why), 0);
    assert_false(is_new);
    q = read_request(args.csr_file);
    ext = X509_REQ_get_extensions(q);
    ASN1_OBJECT *oid = OBJ_txt2obj("1.3.6.1.5.5.7.1.26", 1);
    int at = X509v3_get_ext_by_OBJ(ext, oid, -1);
    assert_true(at >= 0);
    const ASN1_OCTET_STRING *value = X509_EXTENSION_get_data(sk_X509_EXTENSION_value(ext, at));
    struct arena *a = arena_new(4096, 65536);
    struct pki_tnauth tn;
    check_err(pki_tnauth_parse(a, ASN1_STRING_get0_data(value), (size_t)ASN1_STRING_length(value),
                               &tn, &why),
              0);
    assert_int_equal(pki_tnauth_covers(&tn, STR("15551234567")), PKI_TN_COVERED);
    assert_int_equal(pki_tnauth_covers(&tn, STR("0123")), PKI_TN_COVERED);
    assert_int_equal(pki_tnauth_covers(&tn, STR("15557654321")), PKI_TN_COVERED);
    assert_int_equal(pki_tnauth_covers(&tn, STR("15551240000")), PKI_TN_BY_PROVIDER);
    assert_int_equal(tn.n_spcs, 1);
    assert_true(X509v3_get_ext_by_NID(ext, NID_ext_key_usage, -1) < 0);
    arena_free(a);
    ASN1_OBJECT_free(oid);
    sk_X509_EXTENSION_pop_free(ext, X509_EXTENSION_free);
    X509_REQ_free(q);
}

static void test_request_errors(void **state)
{
    (void)state;
    const struct str bad_domains[] = {STR("*.example"),
                                      STR(""),
                                      STR("a b.example"),
                                      STR("a.example\0x"),
                                      STR("-a.example"),
                                      STR("192.0.2.1"),
                                      STR("a.example,DNS:evil.test")};
    const struct str bad_tns[] = {STR(""),       STR("12a"),     STR("1234567890123456"),
                                  STR("100-99"), STR("100-100"), STR("99-100"),
                                  STR("1-2-3"),  STR("+155")};
    const struct str bad_spc = STR("a b");
    struct pki_csr_args args = {
        .n_domains = 1, .key_file = fix_path(&fix, "e.key"), .csr_file = fix_path(&fix, "e.csr")};
    struct reason why;
    struct stat st;
    bool is_new;
    for (size_t i = 0; i < ARRAY_LEN(bad_domains); i++) {
        args.domains = &bad_domains[i];
        check_err(pki_csr_make(&args, &is_new, &why), ERR_INVALID);
    }
    args.n_domains = 0;
    args.n_tns = 1;
    for (size_t i = 0; i < ARRAY_LEN(bad_tns); i++) {
        args.tns = &bad_tns[i];
        check_err(pki_csr_make(&args, &is_new, &why), ERR_INVALID);
    }
    args.n_tns = 0;
    args.spcs = &bad_spc;
    args.n_spcs = 1;
    check_err(pki_csr_make(&args, &is_new, &why), ERR_INVALID);
    assert_true(stat(args.key_file, &st) != 0); /* no key was made for nothing */
    const struct str d = STR("a.example");
    args = (struct pki_csr_args){
        .domains = &d, .n_domains = 1, .key_file = fix.root_pem, .csr_file = args.csr_file};
    check_err(pki_csr_make(&args, &is_new, &why),
              ERR_SYNTAX); /* there is a file, but no key in it */
    assert_non_null(strstr(why.detail, "no private key"));
}

/* --- in words --- */

static char said[16384];
static size_t n_said;

static void on_say(void *arg, const char *label, struct str text)
{
    (void)arg;
    n_said +=
        (size_t)snprintf(said + n_said, sizeof said - n_said, "%s: %.*s\n", label, STR_FMT(text));
}

static void check_words(const char *name, unsigned n_problems, const char *const *words)
{
    struct reason why = {0};
    unsigned n;
    n_said = 0;
    check_err(pki_inspect_file(fix_path(&fix, name), (int64_t)time(NULL), on_say, NULL, &n, &why),
              0);
    if (n != n_problems)
        fail_msg("%s: %u problems\n%s", name, n, said);
    for (; *words; words++)
        if (!strstr(said, *words))
            fail_msg("%s: no \"%s\"\n%s", name, *words, said);
}

#define WORDS(...) ((const char *const[]){__VA_ARGS__, NULL})

static void test_words(void **state)
{
    (void)state;
    struct str d = STR("a.example");
    const struct pki_mint_san odd[] = {{PKI_MINT_DNS, STR("*.a.example")},
                                       {PKI_MINT_DNS, STR("a.example\0.evil.test")},
                                       {PKI_MINT_URI, STR("sips:a.example")},
                                       {PKI_MINT_DNS, STR("xn--80a.example")},
                                       {PKI_MINT_URI, STR("sip:bob@a.example")}};
    fix_cert_full(&fix, fix.inter, "fine",
                  (struct pki_mint_args){.domains = &d,
                                         .n_domains = 1,
                                         .uses = PKI_MINT_SERVER | PKI_MINT_CLIENT | PKI_MINT_SIP,
                                         .responder = STR("http://ocsp.example/"),
                                         .must_staple = true,
                                         .days = 90});
    check_words("fine.crt", 0,
                WORDS("certificate: 1 of 2", "certificate: 2 of 2", "speaks for: a.example\n",
                      "key: EC", "sipDomain (RFC 5924)",
                      "revocation: OCSP responder http://ocsp.example/", "must be stapled",
                      "good for: TLS towards those who connect to us",
                      "good for: an anchor or an intermediate"));
    fix_cert_full(&fix, fix.root, "odd",
                  (struct pki_mint_args){.sans = odd,
                                         .n_sans = ARRAY_LEN(odd),
                                         .uses = PKI_MINT_OTHER,
                                         .must_staple = true,
                                         .not_before = time(NULL) - 9 * 86400,
                                         .days = 3});
    check_words("odd.crt", 6,
                WORDS("problem: wildcard *.a.example",
                      "problem: a name has a NUL inside: \"a.example?.evil.test\"",
                      "problem: sips:a.example does not count",
                      "note: xn--80a.example has letters beyond ASCII",
                      "note: sip:bob@a.example is a user's", "problem: it has expired",
                      "problem: its extended key usage allows neither",
                      "problem: it must be stapled but names no responder"));
    fix_cert_full(
        &fix, fix.root, "server",
        (struct pki_mint_args){.domains = &d, .n_domains = 1, .uses = PKI_MINT_SERVER, .days = 3});
    check_words("server.crt", 0,
                WORDS("note: it is made for servers alone", "note: it ends in 2 days",
                      "note: it says nowhere how to learn"));
    fix_cert_full(&fix, fix.root, "mute",
                  (struct pki_mint_args){.domains = &d,
                                         .n_domains = 1,
                                         .key_usage = "critical,keyAgreement",
                                         .not_before = time(NULL) + 86400});
    check_words("mute.crt", 2,
                WORDS("problem: its key must not sign", "problem: it is not in force yet",
                      "good for: nothing here"));
    fix_cert_full(&fix, fix.root, "nobody", (struct pki_mint_args){.n_domains = 0});
    check_words("nobody.crt", 1, WORDS("problem: it names no SIP domain", "subject: (empty)"));
    struct reason why;
    unsigned n;
    check_err(pki_inspect_file("/nonexistent", 0, on_say, NULL, &n, &why), ERR_IO);
    check_err(pki_inspect_file(fix_path(&fix, "fine.key"), 0, on_say, NULL, &n, &why), ERR_SYNTAX);
}

static void test_no_memory(void **state)
{
    (void)state;
    struct str d = STR("a.example"), tn = STR("15551230000-15551239999");
    const struct pki_csr_args args = {.domains = &d,
                                      .n_domains = 1,
                                      .tns = &tn,
                                      .n_tns = 1,
                                      .key_file = fix_path(&fix, "m.key"),
                                      .csr_file = fix_path(&fix, "m.csr")};
    fix_cert_full(&fix, fix.root, "m", (struct pki_mint_args){.domains = &d, .n_domains = 1});
    OOM_SWEEP(200, {
        struct reason why;
        unsigned n;
        bool is_new;
        n_said = 0;
        (void)!pki_csr_make(&args, &is_new, &why);
        (void)!pki_inspect_file(fix_path(&fix, "m.crt"), 0, on_say, NULL, &n, &why);
    });
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_request), cmocka_unit_test(test_request_errors),
        cmocka_unit_test(test_words), cmocka_unit_test(test_no_memory)};
    return cmocka_run_group_tests(tests, setup, teardown);
}

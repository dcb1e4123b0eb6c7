/* RFC 5922 7.1 and 7.2 on certificates read back from what mint wrote. */
#include "base/err.h"
#include "check.h"
#include "fixture.h"
#include "oom.h"
#include <openssl/pem.h>
#include <stdio.h>

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

static X509 *read_back(const char *name)
{
    char crt[64];
    snprintf(crt, sizeof(crt), "%s.crt", name);
    BIO *bio = BIO_new_file(fix_path(&fix, crt), "r");
    X509 *c = PEM_read_bio_X509(bio, NULL, NULL, NULL);
    BIO_free(bio);
    assert_non_null(c);
    return c;
}

/* "a.example b.example" */
static const char *names_of(struct pki_mint_args args)
{
    static char text[8192];
    fix_cert_full(&fix, fix.root, "names", args);
    X509 *c = read_back("names");
    struct arena *a = arena_new(1024, 65536);
    struct str names[PKI_NAMES_MAX];
    int n = pki_cert_names(c, a, names);
    assert_true(n >= 0);
    struct sbuf b = sbuf_make(text, sizeof(text));
    for (int i = 0; i < n; i++)
        sbuf_fmt(&b, "%s%.*s", i ? " " : "", STR_FMT(names[i]));
    sbuf_char(&b, '\0');
    arena_free(a);
    X509_free(c);
    return text;
}

#define SANS(...)                                                                                  \
    ((struct pki_mint_args){.sans = (const struct pki_mint_san[]){__VA_ARGS__},                    \
                            .n_sans = sizeof((const struct pki_mint_san[]){__VA_ARGS__}) /         \
                                      sizeof(struct pki_mint_san)})
#define URI(text)                                                                                  \
    {                                                                                              \
        PKI_MINT_URI, STR(text)                                                                    \
    }
#define DNS(text)                                                                                  \
    {                                                                                              \
        PKI_MINT_DNS, STR(text)                                                                    \
    }

static void test_uri_forms(void **state)
{
    (void)state;
    const struct {
        struct pki_mint_san san;
        const char *expected;
    } cases[] = {
        {URI("sip:a.example"), "a.example"},
        {URI("SiP:A.Example"), "a.example"},
        {URI("sip:a.example."), "a.example"},
        {URI("sip:a.example:5061"), "a.example"},
        {URI("sip:a.example;transport=tls"), "a.example"},
        {URI("sip:a.example:5061;lr?x=y"), "a.example"},
        {URI("sip:xn--bcher-kva.example"), "xn--bcher-kva.example"},
        {URI("sip:192.0.2.1"), "192.0.2.1"},
        {URI("sip:[2001:DB8:0::1]:5061"), "[2001:db8::1]"},
        {URI("sip:localhost"), "localhost"},
        /* no identities of a domain */
        {URI("sip:"), ""},
        {URI("sip"), ""},
        {URI("sip:bob@a.example"), ""},
        {URI("sip:bob:pw@a.example"), ""},
        {URI("sip:@a.example"), ""},
        {URI("sip:a.example;x=@b"), ""},
        {URI("sips:a.example"), ""},
        {URI("https://a.example"), ""},
        {URI("sip://a.example"), ""},
        {URI("sip:a.example/"), ""},
        {URI("sip:a.example:"), ""},
        {URI("sip:a.example:99999"), ""},
        {URI("sip:a.example:5061x"), ""},
        {URI("sip:*.a.example"), ""},
        {URI("sip:.a.example"), ""},
        {URI("sip:a..example"), ""},
        {URI("sip:a_b.example"), ""},
        {URI("sip:-a.example"), ""},
        {URI("sip:a.example-"), ""},
        {URI("sip:a.123"), ""},
        {URI("sip:a.exam%70le"), ""},
        {URI("sip:a.example "), ""},
        {URI(" sip:a.example"), ""},
        {URI("sip:a.example\0"), ""},
        {URI("sip:a.example\0.evil.test"), ""},
        {URI("sip:[2001:db8::1"), ""},
        {URI("sip:[2001:db8::1]x"), ""},
        {URI("sip:[a.example]"), ""},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        const char *got = names_of(SANS(cases[i].san));
        if (strcmp(got, cases[i].expected) != 0)
            fail_msg("%.*s: \"%s\" instead of \"%s\"", STR_FMT(cases[i].san.value), got,
                     cases[i].expected);
    }
}

static void test_which_kind_counts(void **state)
{
    (void)state;
    assert_string_equal(names_of(SANS(DNS("B.example"), DNS("a.example"), DNS("b.EXAMPLE"))),
                        "b.example a.example");
    assert_string_equal(
        names_of(SANS(DNS("c.example"), URI("sip:a.example"), URI("sip:b.example"))),
        "a.example b.example");
    /* a URI that is no domain identity does not keep DNS names out */
    assert_string_equal(names_of(SANS(URI("sip:bob@a.example"), DNS("a.example"))), "a.example");
    assert_string_equal(names_of(SANS(DNS("*.a.example"), DNS("192.0.2.1"), DNS("a.example\0.b"))),
                        "");
    struct pki_mint_args cn = {.cn = STR("CN.example")};
    assert_string_equal(names_of(cn), "cn.example");
    cn.cn = STR("Alice Example");
    assert_string_equal(names_of(cn), "");
    cn.cn = STR("*.example");
    assert_string_equal(names_of(cn), "");
    cn.cn = STR("192.0.2.1");
    assert_string_equal(names_of(cn), "");
    struct pki_mint_args both = SANS(URI("sip:bob@b.example"));
    both.cn = STR("cn.example");
    assert_string_equal(names_of(both), "");
    const struct str domains[] = {STR("a.example"), STR("b.example")};
    assert_string_equal(names_of((struct pki_mint_args){.domains = domains, .n_domains = 2}),
                        "a.example b.example");
}

/* A subjectAltName that cannot be read, or is there twice, names nobody: the CN does not step in.
 */
static void test_broken_san(void **state)
{
    (void)state;
    static const char *const values[][2] = {{"\x30\x03\x82\x7f\x61", NULL},
                                            {"\x30\x03\x82\x01\x61", "\x30\x03\x82\x01\x61"},
                                            {"", NULL}};
    for (size_t i = 0; i < ARRAY_LEN(values); i++) {
        X509 *c = X509_new();
        X509_NAME_add_entry_by_txt(X509_get_subject_name(c), "CN", MBSTRING_ASC,
                                   (const unsigned char *)"a.example", -1, -1, 0);
        for (size_t k = 0; k < 2 && values[i][k]; k++) {
            ASN1_OCTET_STRING *s = ASN1_OCTET_STRING_new();
            ASN1_OCTET_STRING_set(s, (const unsigned char *)values[i][k],
                                  (int)strlen(values[i][k]));
            X509_EXTENSION *e = X509_EXTENSION_create_by_NID(NULL, NID_subject_alt_name, 0, s);
            X509_add_ext(c, e, -1);
            X509_EXTENSION_free(e);
            ASN1_OCTET_STRING_free(s);
        }
        struct arena *a = arena_new(1024, 4096);
        struct str names[PKI_NAMES_MAX];
        assert_int_equal(pki_cert_names(c, a, names), 0);
        arena_free(a);
        X509_free(c);
    }
    /* two common names: which one? */
    X509 *c = X509_new();
    for (const char *cn = "a.example"; cn; cn = *cn == 'a' ? "b.example" : NULL)
        X509_NAME_add_entry_by_txt(X509_get_subject_name(c), "CN", MBSTRING_ASC,
                                   (const unsigned char *)cn, -1, -1, 0);
    struct arena *a = arena_new(1024, 4096);
    struct str names[PKI_NAMES_MAX];
    assert_int_equal(pki_cert_names(c, a, names), 0);
    arena_free(a);
    X509_free(c);
}

static void test_many(void **state)
{
    (void)state;
    static char texts[200][32];
    static struct pki_mint_san sans[200];
    for (size_t i = 0; i < ARRAY_LEN(sans); i++) {
        snprintf(texts[i], sizeof(texts[i]), "sip:n%zu.example", i);
        sans[i] = (struct pki_mint_san){PKI_MINT_URI, str_z(texts[i])};
    }
    const char *got = names_of((struct pki_mint_args){.sans = sans, .n_sans = ARRAY_LEN(sans)});
    size_t n = 1;
    for (const char *p = got; *p; p++)
        n += *p == ' ';
    assert_int_equal(n, PKI_NAMES_MAX);
    assert_non_null(strstr(got, "n0.example n1.example"));
    assert_null(strstr(got, "n64.example"));
}

static void test_check(void **state)
{
    (void)state;
    const struct str names[] = {STR("a.example"), STR("[2001:db8::1]"), STR("192.0.2.1")};
    struct reason why = {0};
    static const struct {
        struct str domain;
        int expected;
    } cases[] = {
        {{"a.example", 9}, 0},
        {{"A.EXAMPLE", 9}, 0},
        {{"a.example.", 10}, 0},
        {{"192.0.2.1", 9}, 0},
        {{"2001:db8:0:0::1", 15}, 0},
        {{"[2001:db8::1]", 13}, 0},
        {{"x.a.example", 11}, ERR_REFUSED},
        {{"example", 7}, ERR_REFUSED},
        {{"a.example..", 11}, ERR_REFUSED},
        {{"a.exampl", 8}, ERR_REFUSED},
        {{"*.example", 9}, ERR_REFUSED},
        {{"", 0}, ERR_REFUSED},
        {{NULL, 0}, ERR_REFUSED},
        {{"a.example\0x", 11}, ERR_REFUSED},
        {{"192.0.2.11", 10}, ERR_REFUSED},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        if (pki_names_check(names, 3, cases[i].domain, &why) != cases[i].expected)
            fail_msg("case %zu", i);
    check_err(pki_names_check(names, 3, STR("b.example"), &why), ERR_REFUSED);
    assert_string_equal(why.code, "tls-cert-name");
    assert_string_equal(why.clause, "RFC 5922 7.3");
    assert_string_equal(why.detail,
                        "expected b.example, presented a.example, [2001:db8::1], 192.0.2.1");
    check_err(pki_names_check(NULL, 0, STR("b.example"), &why), ERR_REFUSED);
    assert_string_equal(why.detail, "expected b.example, presented no SIP domain");
    check_err(pki_names_check(names, 3, STR("b.example"), NULL), ERR_REFUSED);
}

static void test_describe(void **state)
{
    (void)state;
    struct pki_mint_args args =
        SANS(URI("sip:a.example"), DNS("*.b\0.example"), {PKI_MINT_EMAIL, STR("x@c.example")});
    args.cn = STR("Some One");
    fix_cert_full(&fix, fix.root, "describe", args);
    X509 *c = read_back("describe");
    char text[200];
    struct sbuf b = sbuf_make(text, sizeof(text));
    pki_cert_describe(c, &b);
    check_str(sbuf_get(&b), "URI:sip:a.example, DNS:*.b?.example, email:x@c.example, CN=Some?One");
    b = sbuf_make(text, 40);
    pki_cert_describe(c, &b);
    check_str(sbuf_get(&b), "URI:sip:a.example...");
    b = sbuf_make(text, 0);
    pki_cert_describe(c, &b);
    assert_int_equal(b.n, 0);
    X509_free(c);
}

static void test_no_memory(void **state)
{
    (void)state;
    const struct str domains[] = {STR("a.example"), STR("b.example"), STR("c.example")};
    fix_cert_full(&fix, fix.root, "oom",
                  (struct pki_mint_args){.domains = domains, .n_domains = 3});
    X509 *c = read_back("oom");
    OOM_SWEEP(20, {
        struct arena *a = arena_new(16, 4096);
        struct str names[PKI_NAMES_MAX];
        int n = a ? pki_cert_names(c, a, names) : ERR_NOMEM;
        assert_true(n == 3 || n == ERR_NOMEM);
        arena_free(a);
    });
    struct arena *small = arena_new(16, 16);
    struct str names[PKI_NAMES_MAX];
    check_err(pki_cert_names(c, small, names), ERR_NOMEM);
    arena_free(small);
    X509_free(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_uri_forms),  cmocka_unit_test(test_which_kind_counts),
        cmocka_unit_test(test_broken_san), cmocka_unit_test(test_many),
        cmocka_unit_test(test_check),      cmocka_unit_test(test_describe),
        cmocka_unit_test(test_no_memory),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}

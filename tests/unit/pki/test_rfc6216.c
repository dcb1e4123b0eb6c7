/* The 17 scenarios of RFC 6216 section 6, with certificates of our own (those of the RFC are signed
 * with SHA-1), and names that only look like the one that is wanted. 1 to 7 speak of S/MIME: here
 * of what checks signatures of SIP identities (pki/chain.h), by the same rules for the chain; 8 to
 * 17 of TLS, in handshakes. Where RFC 5922 and 5924, which are normative, decide otherwise, they
 * are followed, and it is said. */
#include "base/err.h"
#include "check.h"
#include "fixture.h"
#include "pki/chain.h"
#include "responder.h"
#include <openssl/pem.h>
#include <stdio.h>
#include <time.h>

#define SANS(...)                                                                                  \
    .sans = (const struct pki_mint_san[]){__VA_ARGS__},                                            \
    .n_sans = sizeof((const struct pki_mint_san[]){__VA_ARGS__}) / sizeof(struct pki_mint_san)
#define URI(text)                                                                                  \
    {                                                                                              \
        PKI_MINT_URI, STR(text)                                                                    \
    }
#define DNS(text)                                                                                  \
    {                                                                                              \
        PKI_MINT_DNS, STR(text)                                                                    \
    }
#define IP(text)                                                                                   \
    {                                                                                              \
        PKI_MINT_IP, STR(text)                                                                     \
    }

static struct fix fix;
static const char *crl; /* of both CAs */

static int setup(void **state)
{
    (void)state;
    struct str d = STR("a.example");
    struct reason why;
    fix_init(&fix);
    fix_cert_full(
        &fix, fix.inter, "revoked",
        (struct pki_mint_args){.domains = &d, .n_domains = 1, SANS(URI("sip:kumiko@a.example"))});
    const char *revoked = fix_path(&fix, "revoked.crt");
    crl = fix_path(&fix, "all.crl");
    check_err(pki_mint_crl(fix.root, NULL, 0, 7, crl, &why), 0);
    check_err(pki_mint_crl(fix.inter, &revoked, 1, 7, crl, &why), 0);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    fix_done(&fix);
    return 0;
}

static void cert(const struct pki_mint_ca *ca, const char *name, struct pki_mint_args args)
{
    fix_cert_full(&fix, ca, name, args);
}

static const char *file_of(const char *name)
{
    char file[64];
    snprintf(file, sizeof file, "%s.crt", name);
    return fix_path(&fix, file);
}

/* Only the first certificate of the file: the intermediate is left out. */
static void cut_chain(const char *name)
{
    X509 *c = read_cert(file_of(name));
    FILE *f = fopen(file_of(name), "w");
    assert_int_equal(PEM_write_X509(f, c), 1);
    fclose(f);
    X509_free(c);
}

/* --- 1 to 7 --- */

static int judge(const char *name, const char *uri, bool with_crl, struct reason *why)
{
    char text[16384];
    struct pki_anchors *anchors;
    struct pki_chain *chain;
    FILE *f = fopen(file_of(name), "r");
    size_t n = fread(text, 1, sizeof text, f);
    fclose(f);
    check_err(pki_anchors_new(fix.root_pem, with_crl ? crl : NULL, &anchors, why), 0);
    int err = pki_chain_new(str_make(text, n), anchors, (uint64_t)time(NULL), &chain, why);
    pki_anchors_unref(anchors);
    if (err != 0)
        return err;
    const struct pki_chain_facts *facts = pki_chain_facts(chain);
    err = ERR_NOTFOUND;
    for (size_t i = 0; i < facts->n_uris; i++)
        if (str_eq(facts->uris[i], str_z(uri)))
            err = 0;
    pki_chain_unref(chain);
    return err;
}

static void test_signatures(void **state)
{
    (void)state;
    static const char uri[] = "sip:kumiko@a.example";
    struct reason why = {0};
    cert(fix.inter, "s1",
         (struct pki_mint_args){SANS(URI("sip:kumiko@a.example"), URI("im:kumiko@a.example"))});
    check_err(judge("s1", uri, true, &why), 0); /* 1 */
    cert(fix.inter, "s2", (struct pki_mint_args){SANS(URI("sip:fluffy@a.example"))});
    check_err(judge("s2", uri, true, &why), ERR_NOTFOUND); /* 2 */
    cert(fix.other, "s3", (struct pki_mint_args){SANS(URI("sip:kumiko@a.example"))});
    check_err(judge("s3", uri, false, &why), ERR_REFUSED); /* 3 */
    cut_chain("s1");
    check_err(judge("s1", uri, true, &why), ERR_REFUSED); /* 4 */
    cert(fix.inter, "s5",
         (struct pki_mint_args){SANS(URI("sip:kumiko@a.example")),
                                .not_before = time(NULL) - 9 * 86400, .days = 5});
    check_err(judge("s5", uri, true, &why), ERR_REFUSED); /* 5 */
    cert(fix.inter, "s5",
         (struct pki_mint_args){SANS(URI("sip:kumiko@a.example")), .not_before = time(NULL) + 86400,
                                .days = 5});
    check_err(judge("s5", uri, true, &why), ERR_REFUSED);
    check_err(judge("revoked", uri, true, &why), ERR_REFUSED); /* 6 */
    check_err(judge("revoked", uri, false, &why), 0);          /* it is that alone */
    cert(fix.inter, "s7",
         (struct pki_mint_args){SANS(URI("sip:kumiko@a.example")),
                                .key_usage = "critical,keyAgreement"});
    check_err(judge("s7", uri, true, &why), ERR_REFUSED); /* 7 */
}

/* --- 8 to 17 --- */

static void check_tls(const char *name, const char *expected, bool with_crl, const char *code)
{
    const struct pki_tls_options o = {.ca_pem = fix.root_pem,
                                      .crl_pem = with_crl ? crl : NULL,
                                      .revocation =
                                          with_crl ? PKI_REVOCATION_HARD : PKI_REVOCATION_OFF};
    struct pki_tls_identity id = fix_identity(&fix, name, "");
    struct pki_tls_client *c;
    struct reason why;
    SSL_CTX *ctx = SSL_CTX_new(TLS_server_method()); /* ours would load few of these */
    SSL_CTX_set_security_level(ctx, 0);
    assert_int_equal(SSL_CTX_use_certificate_chain_file(ctx, id.cert_pem), 1);
    assert_int_equal(SSL_CTX_use_PrivateKey_file(ctx, id.key_pem, SSL_FILETYPE_PEM), 1);
    check_err(pki_tls_client_new(&o, &c, &why), 0);
    for (int version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
        SSL *server = SSL_new(ctx), *client = pki_tls_client_ssl(c, str_z(expected));
        SSL_set_accept_state(server);
        SSL_set_max_proto_version(server, version);
        struct outcome out = shake(client, server);
        if (out.client_ok != (code == NULL))
            fail_msg("%s for %s: %s %s", name, expected, code ? "accepted" : out.client_reason.code,
                     out.client_reason.detail);
        if (code)
            assert_string_equal(out.client_reason.code, code);
        SSL_free(client);
        SSL_free(server);
    }
    SSL_CTX_free(ctx);
    pki_tls_client_unref(c);
}

static void test_tls(void **state)
{
    (void)state;
    static const char host[] = "a.example";
    cert(fix.inter, "t8", (struct pki_mint_args){SANS(DNS("b.example"), DNS("a.example"))});
    check_tls("t8", host, true, NULL); /* 8 */
    cert(fix.root, "t9", (struct pki_mint_args){.cn = STR("a.example")});
    check_tls("t9", host, false, NULL); /* 9, and no subjectAltName at all (RFC 5922 7.1 step 2) */
    cert(
        fix.root, "t9s",
        (struct pki_mint_args){.cn = STR("a.example"), SANS({PKI_MINT_EMAIL, STR("a@a.example")})});
    check_tls("t9s", host, false, "tls-cert-name");
    cert(fix.root, "t10", (struct pki_mint_args){SANS(IP("192.0.2.7"), IP("2001:db8::7"))});
    check_tls("t10", "192.0.2.7", false, NULL); /* 10 */
    check_tls("t10", "2001:db8::7", false, NULL);
    check_tls("t10", "192.0.2.8", false, "tls-cert-name");
    check_tls("t10", host, false, "tls-cert-name");
    cert(fix.root, "t11",
         (struct pki_mint_args){.cn = STR("b.example"), SANS(DNS("c.example"), DNS("d.example"))});
    check_tls("t11", host, false, "tls-cert-name"); /* 11 */
    cert(fix.other, "t12", (struct pki_mint_args){SANS(DNS("a.example"))});
    check_tls("t12", host, false, "tls-cert-unknown-issuer"); /* 12 */
    cut_chain("t8");
    check_tls("t8", host, false, "tls-cert-unknown-issuer"); /* 13 */
    cert(fix.root, "t14",
         (struct pki_mint_args){SANS(DNS("a.example")), .not_before = time(NULL) - 9 * 86400,
                                .days = 5});
    check_tls("t14", host, false, "tls-cert-expired"); /* 14 */
    cert(fix.root, "t14",
         (struct pki_mint_args){SANS(DNS("a.example")), .not_before = time(NULL) + 86400,
                                .days = 5});
    check_tls("t14", host, false, "tls-cert-not-yet-valid");
    check_tls("revoked", host, true, "tls-cert-revoked"); /* 15 */
    check_tls("revoked", host, false, NULL);
    cert(fix.root, "t16", (struct pki_mint_args){SANS(DNS("a.example")), .uses = PKI_MINT_CLIENT});
    check_tls("t16", host, false, "tls-cert-use"); /* 16 */
    cert(fix.root, "t17", (struct pki_mint_args){SANS(DNS("a.example")), .uses = PKI_MINT_OTHER});
    check_tls("t17", host, false,
              "tls-cert-use"); /* 17; but serverAuth alone is taken (pki/tls.h says why) */
    cert(fix.root, "t17", (struct pki_mint_args){SANS(DNS("a.example")), .uses = PKI_MINT_SIP});
    check_tls("t17", host, false, NULL);
    cert(fix.root, "t17", (struct pki_mint_args){SANS(DNS("a.example")), .uses = PKI_MINT_ANY});
    check_tls("t17", host, false, NULL);
}

/* --- look-alikes --- */

static void test_look_alikes(void **state)
{
    (void)state;
    const struct {
        struct pki_mint_san san;
        bool same;
    } rows[] = {
        {DNS("a.example."), true}, /* the root's dot says the same name (RFC 1034 3.1) */
        {DNS("A.EXAMPLE"), true},
        {URI("sip:A.example;transport=tls"), true},
        {DNS("a.example.."), false},
        {DNS(".a.example"), false},
        {DNS(" a.example"), false},
        {DNS("a.example\0"), false},
        {DNS("a.example\0.evil.test"), false},
        {DNS("a\0.example"), false},
        {DNS("a.example\n"), false},
        {DNS("*.example"), false},
        {DNS("*"), false},
        {DNS("a.*"), false},
        {DNS("\xd0\xb0.example"), false}, /* Cyrillic a */
        {DNS("xn--80a.example"), false},  /* the same, as DNS has it */
        {DNS("a.\xc3\xa9xample"), false},
        {DNS("a\xef\xbc\x8e"
             "example"),
         false},                    /* full width dot */
        {DNS("a.exarnple"), false}, /* r n */
        {DNS("a.examp1e"), false},
        {DNS("a-example"), false},
        {DNS("a.example.evil.test"), false},
        {DNS("evil.test/a.example"), false},
        {DNS("a.example:5061"), false},
        {URI("sip:a.example@evil.test"), false},
        {URI("sip:evil.test@a.example"), false},
        {URI("sip:a.example%00.evil.test"), false},
        {URI("sip:a.example\0.evil.test"), false},
        {URI("sip:*.example"), false},
        {URI("sip:evil.test?a.example"), false},
        {URI("sip:evil.test;maddr=a.example"), false},
        {URI("sip://a.example"), false},
        {URI("sips:a.example"), false},
        {URI("https://a.example"), false},
        {URI("tel:a.example"), false},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        cert(fix.root, "like", (struct pki_mint_args){.sans = &rows[i].san, .n_sans = 1});
        check_tls("like", "a.example", false, rows[i].same ? NULL : "tls-cert-name");
    }
    /* In the common name, and with two of them */
    cert(fix.root, "like", (struct pki_mint_args){.cn = STR("*.example")});
    check_tls("like", "a.example", false, "tls-cert-name");
    cert(fix.root, "like", (struct pki_mint_args){.cn = STR("\xd0\xb0.example")});
    check_tls("like", "a.example", false, "tls-cert-name");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_signatures),
                                       cmocka_unit_test(test_tls),
                                       cmocka_unit_test(test_look_alikes)};
    return cmocka_run_group_tests(tests, setup, teardown);
}

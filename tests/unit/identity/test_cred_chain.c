/* What identity makes of a chain: whom it may speak for (RFC 8224 8.5, RFC 8862 4.1). */
#include "check.h"

#include "identity/cred_chain.h"
#include "oom.h"
#include "pki/mint.h"
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

static struct pki_chain *mint(struct pki_mint_args m)
{
    char dir[] = "/tmp/cred.XXXXXX", cert[64], key[64];
    struct pki_chain *c = NULL;
    struct reason why = {.code = NULL};

    assert_non_null(mkdtemp(dir));
    (void)snprintf(cert, sizeof(cert), "%s/cert", dir);
    (void)snprintf(key, sizeof(key), "%s/key", dir);
    m.cert_file = cert;
    m.key_file = key;
    m.days = 30;
    check_err(pki_mint_cert(NULL, &m, &why), 0);
    check_err(pki_chain_load(cert, &c, &why), 0);
    (void)unlink(cert);
    (void)unlink(key);
    (void)rmdir(dir);
    return c;
}

static enum identity_authority by(const struct identity_credential *c, const char *uri)
{
    return identity_authority_of(c, (struct passport_id){false, str_z(uri)});
}

static void speaks(void **state)
{
    static const struct pki_mint_san sans[] = {
        {PKI_MINT_URI, {"sip:Alice@A.example;transport=tls", 33}},
        {PKI_MINT_URI, {"sips:bob@a.example", 18}},
        {PKI_MINT_URI, {"sip:carol@[2001:db8::1]", 23}},
        {PKI_MINT_URI, {"sip:dave@a.example:5060", 23}},
        {PKI_MINT_URI, {"sip:@a.example", 14}},
        {PKI_MINT_URI, {"sip:a.example@", 14}},
        {PKI_MINT_URI, {"sip:eve@b.example?to=sip:x@a.example", 36}},
    };
    static const struct str domain = {"c.example", 9};
    struct arena *a = arena_new(4096, 65536);
    struct pki_chain *user = mint((struct pki_mint_args){.sans = sans, .n_sans = ARRAY_LEN(sans)}),
                     *whole = mint((struct pki_mint_args){.domains = &domain, .n_domains = 1});
    struct identity_credential c;
    struct reason why;

    (void)state;
    check_err(identity_credential_make(a, user, &c, &why), 0);
    assert_int_equal(c.state, IDENTITY_CRED_GOOD);
    assert_int_equal(c.n_domains, 0);
    assert_int_equal(by(&c, "sip:alice@a.example"), IDENTITY_BY_USER);
    assert_int_equal(by(&c, "sips:bob@a.example"), IDENTITY_BY_USER);
    assert_int_equal(by(&c, "sip:bob@a.example"), IDENTITY_BY_USER);
    assert_int_equal(by(&c, "sip:eve@b.example"), IDENTITY_BY_USER);
    assert_int_equal(by(&c, "sip:x@a.example"), IDENTITY_NO_AUTHORITY);
    assert_int_equal(by(&c, "sip:a.example"), IDENTITY_NO_AUTHORITY);
    assert_int_equal(c.n_uris, 3);
    assert_int_equal(by(&c, "sip:carol@a.example"), IDENTITY_NO_AUTHORITY);
    assert_int_equal(by(&c, "sip:dave@a.example"), IDENTITY_NO_AUTHORITY);
    identity_credential_done(&c);
    identity_credential_done(&c); /* harmless */
    check_err(identity_credential_make(a, whole, &c, &why), 0);
    assert_int_equal(by(&c, "sip:anybody@c.example"), IDENTITY_BY_DOMAIN);
    assert_int_equal(by(&c, "sip:anybody@sub.c.example"), IDENTITY_NO_AUTHORITY);
    assert_int_equal(jws_key_alg(c.key), JWS_ES256);
    identity_credential_done(&c);
    pki_chain_unref(user);
    pki_chain_unref(whole);
    arena_free(a);
}

/* --- a common name (RFC 5922 7.1 step 2, RFC 8226 4) --- */

static void add(X509 *x, int nid, const char *value)
{
    X509_EXTENSION *e = X509V3_EXT_nconf_nid(NULL, NULL, nid, value);

    assert_non_null(e);
    assert_int_equal(X509_add_ext(x, e, -1), 1);
    X509_EXTENSION_free(e);
}

/* A TN Authorization List with one entry: kind 0 is a service provider's code, 2 a number. */
static void add_tnauth(X509 *x, int kind, const char *text)
{
    unsigned char der[64] = {0x30, 0, (unsigned char)(0xa0 + kind), 0, 0x16};
    size_t n = strlen(text);
    ASN1_OBJECT *id = OBJ_txt2obj("1.3.6.1.5.5.7.1.26", 1);
    ASN1_OCTET_STRING *value = ASN1_OCTET_STRING_new();
    X509_EXTENSION *e;

    der[1] = (unsigned char)(n + 4);
    der[3] = (unsigned char)(n + 2);
    der[5] = (unsigned char)n;
    memcpy(der + 6, text, n);
    assert_int_equal(ASN1_OCTET_STRING_set(value, der, (int)n + 6), 1);
    e = X509_EXTENSION_create_by_OBJ(NULL, id, 0, value);
    assert_int_equal(X509_add_ext(x, e, -1), 1);
    X509_EXTENSION_free(e);
    ASN1_OCTET_STRING_free(value);
    ASN1_OBJECT_free(id);
}

/* A certificate with this common name. `san` NULL: without alternative names; `list` NULL: without
 * numbers. */
static struct pki_chain *named(EVP_PKEY *key, const char *cn, const char *san, int kind,
                               const char *list)
{
    X509 *x = X509_new();
    BIO *b = BIO_new(BIO_s_mem());
    struct pki_chain *c = NULL;
    struct reason why = {.code = NULL};
    char *text;

    assert_int_equal(X509_set_version(x, X509_VERSION_3), 1);
    assert_int_equal(ASN1_INTEGER_set(X509_get_serialNumber(x), 7), 1);
    assert_non_null(X509_gmtime_adj(X509_getm_notBefore(x), -3600));
    assert_non_null(X509_gmtime_adj(X509_getm_notAfter(x), 86400));
    assert_int_equal(X509_set_pubkey(x, key), 1);
    assert_int_equal(X509_NAME_add_entry_by_txt(X509_get_subject_name(x), "CN", MBSTRING_ASC,
                                                (const unsigned char *)cn, -1, -1, 0),
                     1);
    assert_int_equal(X509_set_issuer_name(x, X509_get_subject_name(x)), 1);
    add(x, NID_key_usage, "critical,digitalSignature");
    if (san)
        add(x, NID_subject_alt_name, san);
    if (list)
        add_tnauth(x, kind, list);
    assert_true(X509_sign(x, key, EVP_sha256()) > 0);
    assert_int_equal(PEM_write_bio_X509(b, x), 1);
    long n = BIO_get_mem_data(b, &text);
    if (pki_chain_new(str_make(text, (size_t)n), NULL, (uint64_t)time(NULL), &c, &why) != 0)
        fail_msg("%s: %s", why.code, why.detail);
    BIO_free(b);
    X509_free(x);
    return c;
}

/* Whom the certificate speaks for at cn.example, and for what number. */
static void check_named(EVP_PKEY *key, const char *san, int kind, const char *list,
                        enum identity_authority domain, enum identity_authority number)
{
    struct arena *a = arena_new(4096, 65536);
    struct pki_chain *chain = named(key, "cn.example", san, kind, list);
    struct identity_credential c;
    struct reason why;

    check_err(identity_credential_make(a, chain, &c, &why), 0);
    assert_int_equal(by(&c, "sip:anybody@cn.example"), domain);
    assert_int_equal(identity_authority_of(&c, (struct passport_id){true, STR("4930123")}), number);
    identity_credential_done(&c);
    pki_chain_unref(chain);
    arena_free(a);
}

static void common_name(void **state)
{
    EVP_PKEY *ec = EVP_EC_gen("P-256"), *rsa = EVP_RSA_gen(2048);

    (void)state;
    /* Of who signs PASSporTs the alternative names say who it is, and its list of numbers. */
    check_named(ec, NULL, 0, NULL, IDENTITY_NO_AUTHORITY, IDENTITY_NO_AUTHORITY);
    check_named(ec, NULL, 2, "4930123", IDENTITY_NO_AUTHORITY, IDENTITY_BY_NUMBER);
    check_named(ec, NULL, 0, "cn", IDENTITY_NO_AUTHORITY, IDENTITY_BY_PROVIDER);
    check_named(ec, "DNS:cn.example", 2, "4930123", IDENTITY_BY_DOMAIN, IDENTITY_BY_NUMBER);
    check_named(ec, "DNS:other.example", 0, NULL, IDENTITY_NO_AUTHORITY, IDENTITY_NO_AUTHORITY);
    /* RFC 4474 13.4 has the common name, where there is nothing else; its keys are RSA. */
    check_named(rsa, NULL, 0, NULL, IDENTITY_BY_DOMAIN, IDENTITY_NO_AUTHORITY);
    check_named(rsa, NULL, 2, "4930123", IDENTITY_NO_AUTHORITY, IDENTITY_BY_NUMBER);
    check_named(rsa, "DNS:other.example", 0, NULL, IDENTITY_NO_AUTHORITY, IDENTITY_NO_AUTHORITY);
    EVP_PKEY_free(ec);
    EVP_PKEY_free(rsa);
}

static void no_memory(void **state)
{
    static const struct pki_mint_san san = {PKI_MINT_URI, {"sip:alice@a.example", 19}};
    struct pki_chain *chain = mint((struct pki_mint_args){.sans = &san, .n_sans = 1});

    (void)state;
    OOM_SWEEP(50, {
        struct arena *a = arena_new(64, 65536);
        struct identity_credential c = {.key = NULL};
        struct reason why = {.code = NULL};

        if (a && identity_credential_make(a, chain, &c, &why) != 0)
            assert_non_null(why.code);
        identity_credential_done(&c);
        arena_free(a);
    });
    pki_chain_unref(chain);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(speaks), cmocka_unit_test(common_name),
                                       cmocka_unit_test(no_memory)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* TN Authorization Lists and JWT Claim Constraints: RFC 8226 8 and 9, RFC 9118. What is read here
 * is encoded by OpenSSL's own generator from descriptions, or printed in RFC 9118. */
#include "check.h"

#include "base/limits.h"
#include "oom.h"
#include "pki/claims.h"
#include "pki/tnauth.h"
#include <openssl/asn1t.h>
#include <openssl/conf.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>

/* RFC 9118 5, figure 1. */
static const char rfc9118_cert[] =
    "-----BEGIN CERTIFICATE-----\n"
    "MIICpzCCAk2gAwIBAgIUH7Zd3rQ5AsvOlzLnzUHhrVhDSlswCgYIKoZIzj0EAwIw\n"
    "KTELMAkGA1UEBhMCVVMxGjAYBgNVBAMMEUJPR1VTIFNIQUtFTiBST09UMB4XDTIx\n"
    "MDcxNTIxNTIxNVoXDTIyMDcxNTIxNTIxNVowbDELMAkGA1UEBhMCVVMxCzAJBgNV\n"
    "BAgMAlZBMRAwDgYDVQQHDAdIZXJuZG9uMR4wHAYDVQQKDBVCb2d1cyBFeGFtcGxl\n"
    "IFRlbGVjb20xDTALBgNVBAsMBFZvSVAxDzANBgNVBAMMBlNIQUtFTjBZMBMGByqG\n"
    "SM49AgEGCCqGSM49AwEHA0IABNR6C6nBWRA/fXTglV03aXkXy8hx9oBttVLhsTZ1\n"
    "IYVRBao4OZhVf/Xv1a3xLsZ6KfdhuylSeAKuCoSbVGojYDGjggEOMIIBCjAMBgNV\n"
    "HRMBAf8EAjAAMA4GA1UdDwEB/wQEAwIHgDAdBgNVHQ4EFgQUDlG3dxHyzKL/FZfS\n"
    "PI7rpuueRbswHwYDVR0jBBgwFoAUlToKtrQeFrwwyXpMj1qu3TQEeoEwQgYJYIZI\n"
    "AYb4QgENBDUWM1RoaXMgY2VydGlmaWNhdGUgY2Fubm90IGJlIHRydXN0ZWQgZm9y\n"
    "IGFueSBwdXJwb3NlLjAWBggrBgEFBQcBGgQKMAigBhYEMTIzNDBOBggrBgEFBQcB\n"
    "IQRCMECgDjAMFgpjb25maWRlbmNloSAwHjAcFgpjb25maWRlbmNlMA4MBGhpZ2gM\n"
    "Bm1lZGl1baIMMAoWCHByaW9yaXR5MAoGCCqGSM49BAMCA0gAMEUCIQCbNR4QK1um\n"
    "+0vq2CE1B1/W3avYeREsPi/7RKHffL+5eQIgarHot+X9Rl7SOyNBq5X5JyEMx0SQ\n"
    "hRLkCY3Zoz2OCNQ=\n"
    "-----END CERTIFICATE-----\n";

static struct arena *arena;

static int setup(void **state)
{
    (void)state;
    arena = arena_new(8192, 4 << 20);
    return arena ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    arena_free(arena);
    return 0;
}

/* DER of "SEQUENCE:list" with the sections given. */
static uint8_t *encode(const char *sections, int *ret_n)
{
    CONF *conf = NCONF_new(NULL);
    BIO *b = BIO_new_mem_buf(sections, -1);
    long line = 0;
    ASN1_TYPE *t;
    uint8_t *der = NULL;

    assert_non_null(conf);
    assert_int_equal(NCONF_load_bio(conf, b, &line), 1);
    t = ASN1_generate_nconf("SEQUENCE:list", conf);
    if (!t)
        fail_msg("OpenSSL does not understand: %s", sections);
    *ret_n = i2d_ASN1_TYPE(t, &der);
    assert_true(*ret_n > 0);
    ASN1_TYPE_free(t);
    BIO_free(b);
    NCONF_free(conf);
    return der;
}

static int parse(const char *sections, struct pki_tnauth *t)
{
    struct reason why = {0};
    int n, err;
    uint8_t *der = encode(sections, &n), *copy = arena_alloc(arena, (size_t)n);

    assert_non_null(copy);
    memcpy(copy, der, (size_t)n);
    OPENSSL_free(der);
    err = pki_tnauth_parse(arena, copy, (size_t)n, t, &why);
    assert_true(err == 0 || why.code);
    return err;
}

static void lists(void **state)
{
    static const struct {
        const char *number;
        enum pki_tn_scope scope;
    } cases[] = {
        {"12155550000", PKI_TN_COVERED},
        {"12155559999", PKI_TN_COVERED},
        {"12155554711", PKI_TN_COVERED},
        {"12155560000", PKI_TN_BY_PROVIDER},
        {"12155549999", PKI_TN_BY_PROVIDER},
        {"4930123456", PKI_TN_COVERED},
        {"4930123457", PKI_TN_BY_PROVIDER},
        {"04930123456", PKI_TN_BY_PROVIDER},
        {"*67", PKI_TN_COVERED},
        {"*68", PKI_TN_BY_PROVIDER},
        {"007", PKI_TN_COVERED},
        {"7", PKI_TN_BY_PROVIDER},
        {"+12155550000", PKI_TN_NOT_COVERED},
        {"", PKI_TN_NOT_COVERED},
        {"1234567890123456", PKI_TN_NOT_COVERED},
        {"1215555000a", PKI_TN_NOT_COVERED},
    };
    struct pki_tnauth t;

    (void)state;
    arena_reset(arena);
    check_err(parse("[list]\n"
                    "a=EXP:0,IA5STRING:1234\n"
                    "b=EXP:1,SEQUENCE:range\n"
                    "c=EXP:2,IA5STRING:4930123456\n"
                    "d=EXP:2,IA5STRING:*67\n"
                    "e=EXP:1,SEQUENCE:zeros\n"
                    "[range]\ns=IA5STRING:12155550000\nn=INTEGER:10000\n"
                    "[zeros]\ns=IA5STRING:005\nn=INTEGER:3\n",
                    &t),
              0);
    assert_int_equal(t.n_spcs, 1);
    check_str(t.spcs[0], "1234");
    assert_int_equal(t.n_ranges, 3);
    assert_int_equal(t.n_codes, 1);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        if (pki_tnauth_covers(&t, str_z(cases[i].number)) != cases[i].scope)
            fail_msg("%s", cases[i].number);
    }
}

static void merged(void **state)
{
    struct pki_tnauth t;

    (void)state;
    arena_reset(arena);
    check_err(parse("[list]\n"
                    "a=EXP:1,SEQUENCE:r1\nb=EXP:1,SEQUENCE:r2\nc=EXP:1,SEQUENCE:r3\n"
                    "d=EXP:2,IA5STRING:130\n"
                    "[r1]\ns=IA5STRING:120\nn=INTEGER:10\n"
                    "[r2]\ns=IA5STRING:100\nn=INTEGER:25\n"
                    "[r3]\ns=IA5STRING:105\nn=INTEGER:2\n",
                    &t),
              0);
    assert_int_equal(t.n_ranges, 1);
    assert_int_equal(t.ranges[0].start, 100);
    assert_int_equal(t.ranges[0].last, 130);
    assert_int_equal(pki_tnauth_covers(&t, STR("131")), PKI_TN_NOT_COVERED);
}

static void refused_lists(void **state)
{
    static const char *const bad[] = {
        "[list]\na=EXP:3,IA5STRING:1234\n",
        "[list]\na=EXP:0,UTF8String:1234\n",
        "[list]\na=IMP:0,IA5STRING:1234\n",
        "[list]\na=EXP:0,IA5STRING:12 34\n",
        "[list]\na=EXP:2,IA5STRING:+123\n",
        "[list]\na=EXP:2,IA5STRING:1234567890123456\n",
        "[list]\na=EXP:2,IA5STRING:12a\n",
        "[list]\na=EXP:1,SEQUENCE:r\n[r]\ns=IA5STRING:10\n",
        "[list]\na=EXP:1,SEQUENCE:r\n[r]\ns=IA5STRING:10\nn=INTEGER:1\n",
        "[list]\na=EXP:1,SEQUENCE:r\n[r]\ns=IA5STRING:10\nn=INTEGER:0\n",
        "[list]\na=EXP:1,SEQUENCE:r\n[r]\ns=IA5STRING:10\nn=INTEGER:-5\n",
        "[list]\na=EXP:1,SEQUENCE:r\n[r]\ns=IA5STRING:10\nn=INTEGER:91\n", /* RFC 8226 9's example
                                                                            */
        "[list]\na=EXP:1,SEQUENCE:r\n[r]\ns=IA5STRING:1*\nn=INTEGER:2\n",
        "[list]\na=EXP:1,SEQUENCE:r\n[r]\ns=IA5STRING:10\nn=INTEGER:18446744073709551615\n",
        "[list]\na=EXP:1,SEQUENCE:r\n[r]\ns=IA5STRING:10\nn=INTEGER:18446744073709551616\n",
        "[list]\na=EXP:1,SEQUENCE:r\n[r]\nn=INTEGER:2\ns=IA5STRING:10\n",
        "[list]\na=IA5STRING:1234\n",
    };
    static const struct {
        const char *hex;
    } raw[] = {
        {""},
        {"30"},
        {"3000"},
        {"3080a00616043132330000"},
        {"3008a0061604313233"},
        {"3008a00616043132333400"},
        {"308108a0061604313233 34"},
        {"300aa00816043132333400 00"},
        {"3008a0071604313233"},
        {"0408a006160431323334"},
        {"3009a0810616043132333 4"},
    };
    struct pki_tnauth t;
    uint8_t der[64];

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        arena_reset(arena);
        if (parse(bad[i], &t) != ERR_SYNTAX)
            fail_msg("%s is taken", bad[i]);
        assert_int_equal(t.n_ranges + t.n_codes + t.n_spcs, 0);
    }
    for (size_t i = 0; i < ARRAY_LEN(raw); i++) {
        char hex[80];
        size_t n = 0;

        for (const char *p = raw[i].hex; *p; p++) {
            if (*p != ' ')
                hex[n++] = *p;
        }
        check_err(str_unhex(der, n / 2, str_make(hex, n)), 0);
        arena_reset(arena);
        if (pki_tnauth_parse(arena, der, n / 2, &t, NULL) != ERR_SYNTAX)
            fail_msg("%s is taken", raw[i].hex);
    }
    /* the same, right */
    check_err(str_unhex(der, 10, STR("3008a006160431323334")), 0);
    check_err(pki_tnauth_parse(arena, der, 10, &t, NULL), 0);
    /* RFC 8226 9: the sum must stay below 10^D */
    arena_reset(arena);
    check_err(parse("[list]\na=EXP:1,SEQUENCE:r\n[r]\ns=IA5STRING:10\nn=INTEGER:89\n", &t), 0);
    check_err(parse("[list]\na=EXP:1,SEQUENCE:r\n[r]\ns=IA5STRING:10\nn=INTEGER:2\nx=NULL\n", &t),
              0); /* "..." */
}

static void limits(void **state)
{
    static uint8_t der[LIMIT_TNAUTH_BYTES + 64];
    struct pki_tnauth t;
    size_t n = 4;

    (void)state;
    arena_reset(arena);
    for (unsigned i = 0; i <= LIMIT_TNAUTH_ENTRIES; i++) {
        char number[8];

        snprintf(number, sizeof(number), "%05u", 2 * i);
        memcpy(der + n, "\xa2\x07\x16\x05", 4);
        memcpy(der + n + 4, number, 5);
        n += 9;
    }
    der[0] = 0x30;
    der[1] = 0x82;
    der[2] = (uint8_t)((n - 4) >> 8);
    der[3] = (uint8_t)(n - 4);
    check_err(pki_tnauth_parse(arena, der, n, &t, NULL), ERR_LIMIT);
    n -= 9;
    der[2] = (uint8_t)((n - 4) >> 8);
    der[3] = (uint8_t)(n - 4);
    check_err(pki_tnauth_parse(arena, der, n, &t, NULL), 0);
    assert_int_equal(t.n_ranges, LIMIT_TNAUTH_ENTRIES);
    for (unsigned i = 0; i < 2 * LIMIT_TNAUTH_ENTRIES + 10; i++) {
        char number[8];

        snprintf(number, sizeof(number), "%05u", i);
        assert_int_equal(pki_tnauth_covers(&t, str_z(number)),
                         i % 2 == 0 && i < 2 * LIMIT_TNAUTH_ENTRIES ? PKI_TN_COVERED
                                                                    : PKI_TN_NOT_COVERED);
    }
    check_err(pki_tnauth_parse(arena, der, sizeof(der), &t, NULL), ERR_LIMIT);
}

static void chains(void **state)
{
    struct pki_tnauth leaf, ca, spc;
    const struct pki_tnauth *chain[3] = {&leaf, NULL, NULL};

    (void)state;
    arena_reset(arena);
    check_err(parse("[list]\na=EXP:1,SEQUENCE:r\n[r]\ns=IA5STRING:100\nn=INTEGER:10\n", &leaf), 0);
    check_err(parse("[list]\na=EXP:1,SEQUENCE:r\n[r]\ns=IA5STRING:105\nn=INTEGER:10\n", &ca), 0);
    check_err(parse("[list]\na=EXP:0,IA5STRING:1234\n", &spc), 0);
    assert_int_equal(pki_tnauth_chain_covers(chain, 3, STR("101")), PKI_TN_COVERED);
    chain[2] = &ca; /* the CA may only speak for part of what the leaf claims */
    assert_int_equal(pki_tnauth_chain_covers(chain, 3, STR("101")), PKI_TN_NOT_COVERED);
    assert_int_equal(pki_tnauth_chain_covers(chain, 3, STR("106")), PKI_TN_COVERED);
    assert_int_equal(pki_tnauth_chain_covers(chain, 3, STR("112")), PKI_TN_NOT_COVERED);
    chain[1] = &spc;
    assert_int_equal(pki_tnauth_chain_covers(chain, 3, STR("106")), PKI_TN_BY_PROVIDER);
    assert_int_equal(pki_tnauth_chain_covers(chain, 3, STR("101")), PKI_TN_NOT_COVERED);
    chain[0] = chain[1] = chain[2] = NULL;
    assert_int_equal(pki_tnauth_chain_covers(chain, 3, STR("106")), PKI_TN_NOT_COVERED);
}

/* --- claims --- */

struct claim {
    const char *name, *value;
};

static bool find_claim(void *arg, struct str name, struct str *ret_value)
{
    for (const struct claim *c = arg; c->name; c++) {
        if (str_eq(name, str_z(c->name))) {
            *ret_value = str_z(c->value);
            return true;
        }
    }
    return false;
}

static X509 *read_cert(void)
{
    BIO *b = BIO_new_mem_buf(rfc9118_cert, -1);
    X509 *cert = PEM_read_bio_X509(b, NULL, NULL, NULL);

    BIO_free(b);
    assert_non_null(cert);
    return cert;
}

static void rfc9118(void **state)
{
    static const struct {
        struct claim claims[3];
        bool good;
    } cases[] = {
        {{{"confidence", "high"}}, true}, {{{"confidence", "medium"}}, true},
        {{{"confidence", "low"}}, false}, {{{"confidence", ""}}, false},
        {{{NULL, NULL}}, false},          {{{"confidence", "high"}, {"priority", "x"}}, false},
    };
    X509 *cert = read_cert();
    struct pki_claim_rules r;
    struct pki_tnauth t;
    struct reason why;

    (void)state;
    arena_reset(arena);
    check_err(pki_tnauth_of(cert, arena, &t, &why), 0);
    assert_int_equal(t.n_spcs, 1);
    check_str(t.spcs[0], "1234");
    check_err(pki_claim_rules_of(cert, arena, &r, &why), 0);
    assert_int_equal(r.n_include, 1);
    check_str(r.must_include[0], "confidence");
    assert_int_equal(r.n_permitted, 1);
    assert_int_equal(r.permitted[0].n, 2);
    check_str(r.permitted[0].values[1], "medium");
    assert_int_equal(r.n_exclude, 1);
    check_str(r.must_exclude[0], "priority");
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct claim claims[4] = {{NULL, NULL}};

        memcpy(claims, cases[i].claims, sizeof(cases[i].claims));
        check_err(pki_claim_rules_check(&r, find_claim, claims, &why),
                  cases[i].good ? 0 : ERR_REFUSED);
    }
    X509_free(cert);
}

/* Adds an extension; the value is DER of the sections. */
static void add_extension(X509 *cert, const char *oid, const char *sections)
{
    int n;
    uint8_t *der = encode(sections, &n);
    ASN1_OCTET_STRING *value = ASN1_OCTET_STRING_new();
    ASN1_OBJECT *o = OBJ_txt2obj(oid, 1);
    X509_EXTENSION *e;

    ASN1_OCTET_STRING_set(value, der, n);
    e = X509_EXTENSION_create_by_OBJ(NULL, o, 0, value);
    assert_int_equal(X509_add_ext(cert, e, -1), 1);
    X509_EXTENSION_free(e);
    ASN1_OBJECT_free(o);
    ASN1_OCTET_STRING_free(value);
    OPENSSL_free(der);
}

#define OID_TN "1.3.6.1.5.5.7.1.26"
#define OID_CLAIMS "1.3.6.1.5.5.7.1.27"
#define OID_ENHANCED "1.3.6.1.5.5.7.1.33"
#define INCLUDE_X "[list]\na=EXP:0,SEQUENCE:names\n[names]\na=IA5STRING:x\n"

static void certificates(void **state)
{
    X509 *cert = X509_new();
    struct pki_claim_rules r;
    struct pki_tnauth t;
    struct reason why;

    (void)state;
    arena_reset(arena);
    check_err(pki_tnauth_of(cert, arena, &t, &why), ERR_NOTFOUND);
    check_err(pki_claim_rules_of(cert, arena, &r, &why), ERR_NOTFOUND);
    add_extension(cert, OID_TN, "[list]\na=EXP:2,IA5STRING:123\n");
    check_err(pki_tnauth_of(cert, arena, &t, &why), 0);
    add_extension(cert, OID_TN, "[list]\na=EXP:2,IA5STRING:124\n");
    check_err(pki_tnauth_of(cert, arena, &t, &why), ERR_SYNTAX);
    assert_int_equal(why.sip_status, 437);
    add_extension(cert, OID_CLAIMS, INCLUDE_X);
    check_err(pki_claim_rules_of(cert, arena, &r, &why), 0);
    assert_int_equal(r.n_include, 1);
    add_extension(cert, OID_ENHANCED, INCLUDE_X); /* RFC 9118 6: never both */
    check_err(pki_claim_rules_of(cert, arena, &r, &why), ERR_SYNTAX);
    X509_free(cert);
    /* RFC 9118 3 item 3: forbidding what every token has makes the extension void */
    cert = X509_new();
    add_extension(cert, OID_ENHANCED,
                  "[list]\na=EXP:0,SEQUENCE:names\nb=EXP:2,SEQUENCE:base\n[names]\na=IA5STRING:x\n"
                  "[base]\na=IA5STRING:y\nb=IA5STRING:orig\n");
    check_err(pki_claim_rules_of(cert, arena, &r, &why), ERR_NOTFOUND);
    X509_free(cert);
    cert = X509_new();
    add_extension(cert, OID_ENHANCED, INCLUDE_X);
    add_extension(cert, OID_ENHANCED, INCLUDE_X);
    check_err(pki_claim_rules_of(cert, arena, &r, &why), ERR_SYNTAX);
    X509_free(cert);
}

static int parse_rules(const char *sections, bool enhanced, struct pki_claim_rules *r)
{
    int n, err;
    uint8_t *der = encode(sections, &n), *copy = arena_alloc(arena, (size_t)n);

    assert_non_null(copy);
    memcpy(copy, der, (size_t)n);
    OPENSSL_free(der);
    err = pki_claim_rules_parse(arena, copy, (size_t)n, enhanced, r, NULL);
    return err;
}

static void refused_rules(void **state)
{
    static const char *const bad[] = {
        "[list]\na=EXP:3,SEQUENCE:names\n[names]\na=IA5STRING:x\n",
        "[list]\na=EXP:0,SEQUENCE:names\n[names]\na=UTF8String:x\n",
        "[list]\na=EXP:0,IA5STRING:x\n",
        "[list]\na=EXP:1,SEQUENCE:v\nb=EXP:0,SEQUENCE:n\n[v]\na=SEQUENCE:p\n[p]\na=IA5STRING:x\nb="
        "SEQUENCE:u\n[u]\na=UTF8String:y\n[n]\na=IA5STRING:x\n",
        "[list]\na=EXP:1,SEQUENCE:v\n[v]\na=SEQUENCE:p\n[p]\na=IA5STRING:x\n",
        "[list]\na=EXP:1,SEQUENCE:v\n[v]\na=SEQUENCE:p\n[p]\na=IA5STRING:x\nb=SEQUENCE:u\n[u]\na="
        "IA5STRING:y\n",
        "[list]\na=INTEGER:1\n",
    };
    struct pki_claim_rules r;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        arena_reset(arena);
        if (parse_rules(bad[i], true, &r) != ERR_SYNTAX)
            fail_msg("%s is taken", bad[i]);
    }
    /* mustExclude is not part of the old form */
    check_err(parse_rules("[list]\na=EXP:2,SEQUENCE:names\n[names]\na=IA5STRING:x\n", false, &r),
              ERR_SYNTAX);
    check_err(parse_rules("[list]\na=EXP:2,SEQUENCE:names\n[names]\na=IA5STRING:x\n", true, &r), 0);
    check_err(pki_claim_rules_parse(arena, "\x30\x00", 2, true, &r, NULL), ERR_SYNTAX);
    {
        uint8_t der[256] = {0x30, 0x81, 202, 0xa0, 0x81, 199, 0x30, 0x81, 195};
        struct reason why;

        for (size_t i = 0; i < 65; i++)
            memcpy(der + 9 + 3 * i, "\x16\x01x", 3);
        check_err(pki_claim_rules_parse(arena, der, 204, true, &r, &why), ERR_SYNTAX);
        der[2] = 201;
        der[5] = 198;
        check_err(pki_claim_rules_parse(arena, der, 204, true, &r, &why), ERR_LIMIT);
    }
}

static void no_memory(void **state)
{
    X509 *cert = read_cert();

    (void)state;
    OOM_SWEEP(30, {
        struct arena *a = arena_new(16, 4096);
        struct pki_tnauth t;
        struct pki_claim_rules r;
        struct reason why = {0};
        int err = a ? pki_tnauth_of(cert, a, &t, &why) : ERR_NOMEM;

        if (err == 0)
            err = pki_claim_rules_of(cert, a, &r, &why);
        assert_true(err == 0 || err == ERR_NOMEM);
        arena_free(a);
    });
    X509_free(cert);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lists),         cmocka_unit_test(merged),
        cmocka_unit_test(refused_lists), cmocka_unit_test(limits),
        cmocka_unit_test(chains),        cmocka_unit_test(rfc9118),
        cmocka_unit_test(certificates),  cmocka_unit_test(refused_rules),
        cmocka_unit_test(no_memory),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}

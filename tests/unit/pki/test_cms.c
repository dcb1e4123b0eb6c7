/* CMS SignedData (RFC 5652, RFC 8551): what holds and what does not, made with OpenSSL's signer and
 * certificates of our own; the shape that is asked for before OpenSSL sees it. */
#include "check.h"

#include "base/limits.h"
#include "oom.h"
#include "pki/cms.h"
#include "pki/mint.h"
#include <openssl/cms.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define TEXT                                                                                       \
    "Content-Type: message/sipfrag\r\nContent-Disposition: aib; handling=optional\r\n\r\n"         \
    "From: Alice <sip:alice@a.example>\r\nCall-ID: a84b4c76e66710\r\n"

static struct {
    char dir[64], ca[96], other_ca[96], crl[96], cert[96], key[96];
    struct pki_mint_ca *root, *narrow, *stranger;
    struct pki_anchors *anchors;
    struct arena *arena;
    uint64_t now_s;
} t;

static struct pki_mint_ca *make_ca(const char *cn, const struct pki_mint_ca *parent,
                                   const char *only)
{
    struct pki_mint_ca_args a = {
        .cn = str_z(cn), .days = 100, .parent = parent, .permitted_dns = str_z(only)};
    struct pki_mint_ca *ca;
    struct reason why = {.code = NULL};

    check_err(pki_mint_ca_new(&a, &ca, &why), 0);
    return ca;
}

static int setup(void **state)
{
    static const char *const names[] = {"ca", "other", "crl", "cert", "key"};
    char *const files[] = {t.ca, t.other_ca, t.crl, t.cert, t.key};
    struct reason why = {.code = NULL};

    (void)state;
    (void)snprintf(t.dir, sizeof(t.dir), "/tmp/cms.XXXXXX");
    assert_non_null(mkdtemp(t.dir));
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        (void)snprintf(files[i], 96, "%s/%s", t.dir, names[i]);
    t.root = make_ca("Root", NULL, NULL);
    t.narrow = make_ca("Narrow", t.root, "a.example");
    t.stranger = make_ca("Stranger", NULL, NULL);
    check_err(pki_mint_ca_save(t.root, t.ca, NULL, &why), 0);
    check_err(pki_anchors_new(t.ca, NULL, &t.anchors, &why), 0);
    t.now_s = (uint64_t)time(NULL);
    return 0;
}

static int teardown(void **state)
{
    char *const files[] = {t.ca, t.other_ca, t.crl, t.cert, t.key};

    (void)state;
    pki_anchors_unref(t.anchors);
    pki_mint_ca_free(t.narrow);
    pki_mint_ca_free(t.root);
    pki_mint_ca_free(t.stranger);
    for (size_t i = 0; i < ARRAY_LEN(files); i++)
        (void)unlink(files[i]);
    return rmdir(t.dir);
}

static int start(void **state)
{
    (void)state;
    t.arena = arena_new(4096, 1u << 20);
    assert_non_null(t.arena);
    return 0;
}

static int end(void **state)
{
    (void)state;
    arena_free(t.arena);
    return 0;
}

/* --- making them --- */

struct made { /* how a test wants it */
    const struct pki_mint_ca *ca;
    struct pki_mint_san san;
    unsigned uses;
    const char *key_usage;
    const char *digest; /* NULL: SHA-256 */
    unsigned flags;     /* CMS_... beside CMS_BINARY */
    bool is_inside, is_twice, is_streamed;
    const char *key_type; /* a self-signed certificate with such a key */
    unsigned bits;
    struct str cn; /* empty: "x" */
};

static X509 *cert_read(void)
{
    FILE *f = fopen(t.cert, "r");
    X509 *c = f ? PEM_read_X509(f, NULL, NULL, NULL) : NULL;

    assert_non_null(c);
    fclose(f);
    return c;
}

/* The certificates behind the first. */
static STACK_OF(X509) * chain_read(void)
{
    STACK_OF(X509) *s = sk_X509_new_null();
    FILE *f = fopen(t.cert, "r");
    X509 *c;

    assert_true(s && f);
    X509_free(PEM_read_X509(f, NULL, NULL, NULL));
    while ((c = PEM_read_X509(f, NULL, NULL, NULL)) != NULL)
        assert_true(sk_X509_push(s, c) > 0);
    fclose(f);
    return s;
}

static EVP_PKEY *key_read(void)
{
    FILE *f = fopen(t.key, "r");
    EVP_PKEY *k = f ? PEM_read_PrivateKey(f, NULL, NULL, NULL) : NULL;

    assert_non_null(k);
    fclose(f);
    return k;
}

static void cert_mint(const struct made *m)
{
    struct reason why = {.code = NULL};
    struct pki_mint_args a = {.sans = &m->san,
                              .n_sans = m->san.value.n > 0,
                              .cn = m->cn.n ? m->cn : STR("x"),
                              .uses = m->uses,
                              .key_usage = m->key_usage,
                              .days = 30,
                              .cert_file = t.cert,
                              .key_file = t.key};

    check_err(pki_mint_cert(m->ca, &a, &why), 0);
}

/* With a key of another kind: signed by itself. */
static X509 *cert_of_kind(EVP_PKEY *key)
{
    X509 *c = X509_new();

    assert_non_null(c);
    assert_true(ASN1_INTEGER_set(X509_get_serialNumber(c), 7) == 1);
    assert_non_null(X509_gmtime_adj(X509_getm_notBefore(c), -3600));
    assert_non_null(X509_gmtime_adj(X509_getm_notAfter(c), 86400));
    assert_true(X509_NAME_add_entry_by_txt(X509_get_subject_name(c), "CN", MBSTRING_ASC,
                                           (const unsigned char *)"x", -1, -1, 0) == 1);
    assert_true(X509_set_issuer_name(c, X509_get_subject_name(c)) == 1);
    assert_true(X509_set_pubkey(c, key) == 1);
    assert_true(X509_sign(c, key, EVP_sha256()) > 0);
    return c;
}

static struct str der_of(CMS_ContentInfo *cms, bool is_streamed, BIO *in)
{
    BIO *out = BIO_new(BIO_s_mem());
    char *p = NULL;
    long n;
    struct str ret;

    assert_non_null(out);
    assert_true(i2d_CMS_bio_stream(out, cms, in, is_streamed ? CMS_STREAM : 0) == 1);
    n = BIO_get_mem_data(out, &p);
    ret = arena_str(t.arena, str_make(p, (size_t)n));
    assert_non_null(ret.p);
    BIO_free(out);
    return ret;
}

/* `m` of this text. */
static struct str sign(const struct made *m, const char *text)
{
    BIO *in = BIO_new_mem_buf(text, -1);
    EVP_PKEY *key;
    X509 *cert;
    STACK_OF(X509) *above = NULL;
    const EVP_MD *md = EVP_get_digestbyname(m->digest ? m->digest : "SHA256");
    unsigned flags = CMS_BINARY | CMS_PARTIAL | m->flags | (m->is_inside ? 0 : CMS_DETACHED) |
                     (m->is_streamed ? CMS_STREAM : 0);
    CMS_ContentInfo *cms;
    struct str ret;

    if (m->key_type) {
        key = m->bits ? EVP_PKEY_Q_keygen(NULL, NULL, m->key_type, (size_t)m->bits)
              : strcmp(m->key_type, "EC") == 0 ? EVP_EC_gen("secp256k1")
                                               : EVP_PKEY_Q_keygen(NULL, NULL, m->key_type);
        assert_non_null(key);
        cert = cert_of_kind(key);
    } else {
        cert_mint(m);
        key = key_read();
        cert = cert_read();
        above = chain_read();
    }
    cms = CMS_sign(NULL, NULL, above, NULL, flags);
    assert_non_null(cms);
    assert_non_null(CMS_add1_signer(cms, cert, key, md, flags));
    if (m->is_twice)
        assert_non_null(CMS_add1_signer(cms, cert, key, md, flags | CMS_NOCERTS));
    if (!m->is_streamed)
        assert_true(CMS_final(cms, in, NULL, flags) == 1);
    ret = der_of(cms, m->is_streamed, in);
    CMS_ContentInfo_free(cms);
    sk_X509_pop_free(above, X509_free);
    X509_free(cert);
    EVP_PKEY_free(key);
    BIO_free(in);
    return ret;
}

static struct pki_cms verify(struct str cms, const char *text, int err, const char *code)
{
    struct pki_cms_args args = {.cms = cms,
                                .content = text ? str_z(text) : STR_NULL,
                                .anchors = t.anchors,
                                .now_s = t.now_s};
    struct pki_cms got;
    struct reason why = {.code = NULL};
    int e = pki_cms_verify(&args, t.arena, &got, &why);

    if (e != err || (code && (!why.code || strcmp(why.code, code) != 0)))
        fail_msg("%d %s: %s; not %d %s", e, why.code ? why.code : "-", why.detail, err,
                 code ? code : "-");
    assert_true((e == 0) == (got.chain != NULL));
    if (e != 0)
        assert_true(why.clause || e == ERR_NOMEM);
    return got;
}

static const struct made alice = {
    .san = {PKI_MINT_URI, {"sip:alice@a.example", 19}},
};
static struct made by(const struct pki_mint_ca *ca)
{
    struct made m = alice;

    m.ca = ca;
    return m;
}

/* --- tests --- */

static void detached_holds(void **state)
{
    struct made m = by(t.root);
    struct pki_cms got;
    const struct pki_chain_facts *f;

    (void)state;
    got = verify(sign(&m, TEXT), TEXT, 0, NULL);
    f = pki_chain_facts(got.chain);
    assert_int_equal(f->n_uris, 1);
    check_str(f->uris[0], "sip:alice@a.example");
    check_str(got.content, TEXT);
    assert_true(got.signed_s + 5 >= t.now_s && got.signed_s <= t.now_s + 60);
    assert_true(got.fixed.n > 0);
    pki_chain_unref(got.chain);
    /* without attributes there is no time */
    m.flags = CMS_NOATTR;
    got = verify(sign(&m, TEXT), TEXT, 0, NULL);
    assert_int_equal(got.signed_s, 0);
    pki_chain_unref(got.chain);
    m.flags = CMS_USE_KEYID; /* named by key identifier */
    got = verify(sign(&m, TEXT), TEXT, 0, NULL);
    pki_chain_unref(got.chain);
    for (size_t i = 0; i < 2; i++) {
        m = by(t.root);
        m.digest = i ? "SHA512" : "SHA384";
        got = verify(sign(&m, TEXT), TEXT, 0, NULL);
        pki_chain_unref(got.chain);
    }
}

static void inside_holds(void **state)
{
    struct made m = by(t.root);
    struct pki_cms got;
    struct str inside, cms;
    struct reason why = {.code = NULL};

    (void)state;
    m.is_inside = true;
    for (int i = 0; i < 2; i++) {
        m.is_streamed = i == 1; /* indefinite lengths, strings in pieces */
        cms = sign(&m, TEXT);
        got = verify(cms, NULL, 0, NULL);
        check_str(got.content, TEXT);
        pki_chain_unref(got.chain);
        check_err(pki_cms_content(cms, t.arena, &inside, &why), 0);
        check_str(inside, TEXT);
        (void)verify(cms, TEXT, ERR_SYNTAX, "cms-syntax"); /* once is enough */
    }
    m.is_inside = m.is_streamed = false;
    cms = sign(&m, TEXT);
    (void)verify(cms, NULL, ERR_SYNTAX, "cms-syntax");
    check_err(pki_cms_content(cms, t.arena, &inside, &why), ERR_SYNTAX);
}

static void what_is_signed_must_be_the_same(void **state)
{
    struct made m = by(t.root);
    struct str cms = sign(&m, TEXT);
    char *p;

    (void)state;
    (void)verify(cms, TEXT "x", ERR_CRYPTO, "cms-signature");
    (void)verify(cms, "", ERR_CRYPTO, "cms-signature");
    (void)verify(cms, "Content-Type: message/sipfrag\n", ERR_CRYPTO, "cms-signature");
    p = arena_alloc(t.arena, cms.n);
    assert_non_null(p);
    memcpy(p, cms.p, cms.n);
    p[cms.n - 1] ^= 1; /* the signature's last byte */
    (void)verify(str_make(p, cms.n), TEXT, ERR_CRYPTO, "cms-signature");
}

static void the_signer_must_be_trusted(void **state)
{
    struct made m = by(t.stranger);
    struct pki_cms got;
    struct pki_anchors *with_crl, *right = t.anchors;
    struct reason why = {.code = NULL};
    const char *revoked = t.cert;
    struct str cms;

    (void)state;
    (void)verify(sign(&m, TEXT), TEXT, ERR_REFUSED, "identity-cert-untrusted");
    m.ca = NULL; /* its own (RFC 3261 23.1 lets users do that; nobody knows them) */
    (void)verify(sign(&m, TEXT), TEXT, ERR_REFUSED, "identity-cert-untrusted");
    m = by(t.root);
    m.flags = CMS_NOCERTS;
    (void)verify(sign(&m, TEXT), TEXT, ERR_NOTFOUND, "cms-no-certificate");
    m.flags = 0;
    cms = sign(&m, TEXT);
    t.now_s += 40u * 86400;
    (void)verify(cms, TEXT, ERR_REFUSED, "identity-cert-expired");
    t.now_s -= 40u * 86400;
    (void)unlink(t.crl);
    check_err(pki_mint_crl(t.root, &revoked, 1, 5, t.crl, &why), 0);
    check_err(pki_anchors_new(t.ca, t.crl, &with_crl, &why), 0);
    t.anchors = with_crl;
    (void)verify(cms, TEXT, ERR_REFUSED, "identity-cert-revoked");
    t.anchors = right;
    pki_anchors_unref(with_crl);
    got = verify(cms, TEXT, 0, NULL);
    pki_chain_unref(got.chain);
}

static void what_a_certificate_is_for(void **state)
{
    static const struct {
        unsigned uses;
        const char *key_usage;
        int err;
    } rows[] = {
        {0, NULL, 0},
        {PKI_MINT_SMIME, NULL, 0},
        {PKI_MINT_SMIME, "critical,nonRepudiation", 0},
        {PKI_MINT_ANY, NULL, 0},
        {PKI_MINT_SIP, NULL, 0},
        {PKI_MINT_OTHER, NULL, ERR_REFUSED},
        {PKI_MINT_SMIME, "critical,keyAgreement", ERR_REFUSED},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct made m = by(t.root);
        struct pki_cms got;

        m.uses = rows[i].uses;
        m.key_usage = rows[i].key_usage;
        got = verify(sign(&m, TEXT), TEXT, rows[i].err, rows[i].err ? "identity-cert-use" : NULL);
        pki_chain_unref(got.chain);
    }
}

/* RFC 3261 23.1: "an email address of the form bob@biloxi.com". An issuer that may certify one
 * domain alone may not do it for users of another either, however they are written. */
static void names_of_users(void **state)
{
    struct made m = by(t.narrow);
    struct pki_cms got = verify(sign(&m, TEXT), TEXT, 0, NULL);

    (void)state;
    pki_chain_unref(got.chain);
    m.san = (struct pki_mint_san){PKI_MINT_EMAIL, STR("alice@a.example")};
    got = verify(sign(&m, TEXT), TEXT, 0, NULL);
    assert_int_equal(pki_chain_facts(got.chain)->n_emails, 1);
    check_str(pki_chain_facts(got.chain)->emails[0], "alice@a.example");
    assert_int_equal(pki_chain_facts(got.chain)->n_uris, 0);
    pki_chain_unref(got.chain);
    m.san = (struct pki_mint_san){PKI_MINT_EMAIL, STR("alice@b.example")};
    (void)verify(sign(&m, TEXT), TEXT, ERR_REFUSED, "identity-cert-constraints");
    m.san = (struct pki_mint_san){PKI_MINT_URI, STR("sip:alice@b.example")};
    (void)verify(sign(&m, TEXT), TEXT, ERR_REFUSED, NULL);
}

/* RFC 8550 3: who signed is in the subjectAltName; a CN is what somebody wanted to be called. */
static void a_cn_names_nobody(void **state)
{
    struct made m = by(t.root);
    struct pki_cms got;

    (void)state;
    m.san = (struct pki_mint_san){.value = STR_NULL};
    m.cn = STR("a.example");
    got = verify(sign(&m, TEXT), TEXT, 0, NULL);
    assert_int_equal(pki_chain_facts(got.chain)->n_domains, 0);
    pki_chain_unref(got.chain);
    m.san = (struct pki_mint_san){PKI_MINT_URI, STR("sip:a.example")};
    got = verify(sign(&m, TEXT), TEXT, 0, NULL);
    assert_int_equal(pki_chain_facts(got.chain)->n_domains, 1);
    pki_chain_unref(got.chain);
}

static void algorithms_are_listed(void **state)
{
    static const struct {
        const char *type;
        unsigned bits;
        const char *digest, *code;
        int err;
    } rows[] = {
        {"RSA", 2048, "SHA256", "identity-cert-untrusted", ERR_REFUSED}, /* taken, and of nobody */
        {"RSA", 1024, "SHA256", "cms-key", ERR_UNSUPPORTED},
        {"EC", 0, "SHA256", "cms-key", ERR_UNSUPPORTED}, /* secp256k1 */
        {"RSA", 2048, "SHA1", "cms-digest", ERR_UNSUPPORTED},
        {"RSA", 2048, "MD5", "cms-digest", ERR_UNSUPPORTED},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct made m = {.key_type = rows[i].type, .bits = rows[i].bits, .digest = rows[i].digest};

        (void)verify(sign(&m, TEXT), TEXT, rows[i].err, rows[i].code);
    }
}

static void one_signer_alone(void **state)
{
    struct made m = by(t.root);

    (void)state;
    m.is_twice = true;
    (void)verify(sign(&m, TEXT), TEXT, ERR_LIMIT, "cms-limit");
}

static void shapes(void **state)
{
    static char big[LIMIT_CMS_BYTES + 1], deep[4 * LIMIT_CMS_DEPTH],
        many[8 + 2 * LIMIT_CMS_ELEMENTS];
    static const struct {
        struct str bytes;
        int err;
    } rows[] = {
        {{"", 0}, ERR_SYNTAX},
        {{"\x30", 1}, ERR_SYNTAX},
        {{"\x30\x00", 2}, ERR_UNSUPPORTED},
        {{"\x31\x00", 2}, ERR_SYNTAX},
        {{"\x30\x80", 2}, ERR_SYNTAX},
        {{"\x30\x80\x00\x00", 4}, ERR_UNSUPPORTED},
        {{"\x30\x80\x00\x00\x00", 5}, ERR_SYNTAX},
        {{"\x30\x84\xff\xff\xff\xff", 6}, ERR_SYNTAX},
        {{"\x30\x85\x00\x00\x00\x00\x00", 7}, ERR_SYNTAX},
        {{"\x30\x02\x04\x01", 4}, ERR_SYNTAX},
        {{"\x30\x02\x04\x80", 4}, ERR_SYNTAX},
        {{"\x30\x02\x1f\x01", 4}, ERR_SYNTAX},
        {{"\x30\x03\x30\x02\x04\x00", 6}, ERR_SYNTAX},
        /* data, and enveloped-data */
        {{"\x30\x0b\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07\x01", 13}, ERR_UNSUPPORTED},
        {{"\x30\x0b\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07\x03", 13}, ERR_UNSUPPORTED},
        {{"\x30\x0b\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07\x02", 13}, ERR_SYNTAX},
        {{big, sizeof(big)}, ERR_LIMIT},
        {{deep, sizeof(deep)}, ERR_LIMIT},
        {{many, sizeof(many)}, ERR_LIMIT},
    };

    (void)state;
    for (size_t i = 0; i + 1 < sizeof(deep); i += 2)
        memcpy(deep + i, "\x30\x80", 2);
    memcpy(many, "\x30\x80", 2);
    for (size_t i = 2; i + 1 < sizeof(many); i += 2)
        memcpy(many + i, "\x05\x00", 2);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct reason why = {.code = NULL};
        struct str inside;

        int err = pki_cms_content(rows[i].bytes, t.arena, &inside, &why);
        if (err != rows[i].err)
            fail_msg("%zu: %d (%s), not %d", i, err, why.detail, rows[i].err);
        (void)verify(rows[i].bytes, TEXT, rows[i].err, NULL);
    }
}

/* Cut off anywhere, or with any byte another, it is refused or still what was signed. */
static void no_byte_is_safe_to_change(void **state)
{
    struct made m = by(t.root);
    struct str cms = sign(&m, TEXT);
    struct pki_cms_args args = {.content = str_z(TEXT), .anchors = t.anchors, .now_s = t.now_s};
    char *p = malloc(cms.n);

    (void)state;
    assert_non_null(p);
    for (size_t i = 0; i < cms.n; i += 3) {
        struct reason why = {.code = NULL};
        struct pki_cms got;

        memcpy(p, cms.p, cms.n);
        args.cms = str_make(p, i);
        assert_true(pki_cms_verify(&args, t.arena, &got, &why) != 0);
        p[i] = (char)~p[i];
        args.cms = str_make(p, cms.n);
        if (pki_cms_verify(&args, t.arena, &got, &why) == 0)
            pki_chain_unref(got.chain);
    }
    free(p);
}

static void memory_runs_out(void **state)
{
    struct made m = by(t.root);
    struct pki_cms_args args = {.anchors = t.anchors, .now_s = t.now_s};

    (void)state;
    m.is_inside = true;
    args.cms = sign(&m, TEXT);
    OOM_SWEEP(100, {
        struct arena *a = arena_new(4096, 1u << 20);
        struct pki_cms got = {.chain = NULL};
        struct reason why = {.code = NULL};
        int err = a ? pki_cms_verify(&args, a, &got, &why) : ERR_NOMEM;

        assert_true(err == 0 || err == ERR_NOMEM);
        pki_chain_unref(got.chain);
        arena_free(a);
    });
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(detached_holds, start, end),
        cmocka_unit_test_setup_teardown(inside_holds, start, end),
        cmocka_unit_test_setup_teardown(what_is_signed_must_be_the_same, start, end),
        cmocka_unit_test_setup_teardown(the_signer_must_be_trusted, start, end),
        cmocka_unit_test_setup_teardown(what_a_certificate_is_for, start, end),
        cmocka_unit_test_setup_teardown(names_of_users, start, end),
        cmocka_unit_test_setup_teardown(a_cn_names_nobody, start, end),
        cmocka_unit_test_setup_teardown(algorithms_are_listed, start, end),
        cmocka_unit_test_setup_teardown(one_signer_alone, start, end),
        cmocka_unit_test_setup_teardown(shapes, start, end),
        cmocka_unit_test_setup_teardown(no_byte_is_safe_to_change, start, end),
        cmocka_unit_test_setup_teardown(memory_runs_out, start, end),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}

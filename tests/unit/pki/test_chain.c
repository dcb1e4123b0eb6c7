/* Chains for identities: RFC 5280 6, RFC 7515 4.1.5, RFC 8226; what is read, what is believed, what
 * it says. */
#include "check.h"

#include "base/limits.h"
#include "base/mem.h"
#include "oom.h"
#include "pki/chain.h"
#include "pki/mint.h"
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define DAY 86400

static struct {
    char dir[64];
    char ca[96], other_ca[96], crl[96], cert[96], key[96], spare[96];
    struct pki_mint_ca *root, *middle, *narrow, *stranger;
    struct pki_anchors *anchors;
    uint64_t now_s;
    char text[LIMIT_CERT_CHAIN_BYTES + 2];
} t;

static struct pki_mint_ca *make_ca(const char *cn, const struct pki_mint_ca *parent,
                                   const char *only)
{
    struct pki_mint_ca_args a = {
        .cn = str_z(cn), .days = 100, .parent = parent, .permitted_dns = str_z(only)};
    struct pki_mint_ca *ca;
    struct reason why = {.code = NULL};

    if (pki_mint_ca_new(&a, &ca, &why) != 0)
        fail_msg("%s", why.detail);
    return ca;
}

static int setup(void **state)
{
    static const char *const names[] = {"ca", "other", "crl", "cert", "key", "spare"};
    char *const files[] = {t.ca, t.other_ca, t.crl, t.cert, t.key, t.spare};
    struct reason why = {.code = NULL};

    (void)state;
    (void)snprintf(t.dir, sizeof(t.dir), "/tmp/chain.XXXXXX");
    assert_non_null(mkdtemp(t.dir));
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        (void)snprintf(files[i], 96, "%s/%s", t.dir, names[i]);
    t.root = make_ca("Root", NULL, NULL);
    t.middle = make_ca("Middle", t.root, NULL);
    t.narrow = make_ca("Narrow", t.root, "a.example");
    t.stranger = make_ca("Stranger", NULL, NULL);
    check_err(pki_mint_ca_save(t.root, t.ca, NULL, &why), 0);
    check_err(pki_mint_ca_save(t.stranger, t.other_ca, NULL, &why), 0);
    check_err(pki_anchors_new(t.ca, NULL, &t.anchors, &why), 0);
    t.now_s = (uint64_t)time(NULL);
    return 0;
}

static int teardown(void **state)
{
    char *const files[] = {t.ca, t.other_ca, t.crl, t.cert, t.key, t.spare};

    (void)state;
    pki_anchors_unref(t.anchors);
    pki_mint_ca_free(t.narrow);
    pki_mint_ca_free(t.middle);
    pki_mint_ca_free(t.root);
    pki_mint_ca_free(t.stranger);
    for (size_t i = 0; i < ARRAY_LEN(files); i++)
        (void)unlink(files[i]);
    return rmdir(t.dir);
}

/* Appends the file to t.text. */
static struct str text_of(const char *file, size_t at)
{
    FILE *f = fopen(file, "r");
    size_t n;

    assert_non_null(f);
    n = fread(t.text + at, 1, sizeof(t.text) - at, f);
    fclose(f);
    return str_make(t.text, at + n);
}

static struct str mint(const struct pki_mint_ca *ca, struct pki_mint_args m)
{
    struct reason why = {.code = NULL};

    m.cert_file = t.cert;
    m.key_file = t.key;
    if (m.days == 0)
        m.days = 30;
    if (pki_mint_cert(ca, &m, &why) != 0)
        fail_msg("%s", why.detail);
    return text_of(t.cert, 0);
}

static const struct str domain_a[] = {{"a.example", 9}};
static const struct pki_mint_args plain = {.domains = domain_a, .n_domains = 1};

static struct pki_chain *expect(struct str bytes, const struct pki_anchors *anchors, int err,
                                const char *code)
{
    struct pki_chain *c = NULL;
    struct reason why = {.code = NULL};
    int got = pki_chain_new(bytes, anchors, t.now_s, &c, &why);

    if (got != err || (code && (!why.code || strcmp(why.code, code) != 0)))
        fail_msg("%d %s: %s; not %d %s", got, why.code ? why.code : "-", why.detail, err,
                 code ? code : "-");
    if (err != 0) {
        assert_null(c);
        assert_int_equal(why.sip_status, 437);
    }
    return c;
}

static void good(void **state)
{
    struct pki_chain *c = expect(mint(t.root, plain), t.anchors, 0, NULL);
    const struct pki_chain_facts *f = pki_chain_facts(c);

    (void)state;
    assert_int_equal(f->n_domains, 1);
    check_str(f->domains[0], "a.example");
    assert_int_equal(f->n_uris, 0);
    assert_int_equal(f->n_tn, 2); /* the anchor's list would count, too */
    assert_null(f->tn[0]);
    assert_null(f->rules);
    assert_true(f->not_before_s <= t.now_s && f->not_after_s > t.now_s);
    assert_true(EVP_PKEY_is_a(f->key, "EC"));
    pki_chain_unref(pki_chain_ref(c));
    pki_chain_unref(c);
    /* By an intermediate that is sent along, and without it. */
    c = expect(mint(t.middle, plain), t.anchors, 0, NULL);
    assert_int_equal(pki_chain_facts(c)->n_tn, 3);
    pki_chain_unref(c);
}

static void users(void **state)
{
    const struct pki_mint_san sans[] = {
        {PKI_MINT_URI, {"sip:alice@a.example", 19}},
        {PKI_MINT_URI, {"http://a.example/@", 18}},
        {PKI_MINT_URI, {"sips:bob@a.example", 18}},
    };
    struct pki_mint_args m = {.sans = sans, .n_sans = 3};
    struct pki_chain *c = expect(mint(t.root, m), t.anchors, 0, NULL);

    (void)state;
    assert_int_equal(pki_chain_facts(c)->n_domains,
                     0); /* a user's certificate is not its domain's */
    assert_int_equal(pki_chain_facts(c)->n_uris, 2);
    check_str(pki_chain_facts(c)->uris[0], "sip:alice@a.example");
    check_str(pki_chain_facts(c)->uris[1], "sips:bob@a.example");
    pki_chain_unref(c);
}

static void not_believed(void **state)
{
    struct pki_mint_args old = plain, early = plain, other = plain;
    struct pki_anchors *nobody;

    (void)state;
    (void)expect(mint(t.stranger, plain), t.anchors, ERR_REFUSED, "identity-cert-untrusted");
    (void)expect(mint(NULL, plain), t.anchors, ERR_REFUSED, "identity-cert-untrusted");
    old.not_before = (int64_t)t.now_s - 40 * DAY;
    (void)expect(mint(t.root, old), t.anchors, ERR_REFUSED, "identity-cert-expired");
    early.not_before = (int64_t)t.now_s + DAY;
    (void)expect(mint(t.root, early), t.anchors, ERR_REFUSED, "identity-cert-expired");
    other.uses = PKI_MINT_OTHER;
    (void)expect(mint(t.root, other), t.anchors, ERR_REFUSED, "identity-cert-use");
    check_err(pki_anchors_new(NULL, NULL, &nobody, NULL), 0);
    (void)expect(mint(t.root, plain), nobody, ERR_REFUSED, "identity-cert-untrusted");
    pki_anchors_unref(nobody);
}

/* What an issuer may not issue for, as a domain's or as a user's. */
static void constraints(void **state)
{
    static const struct str domain_b[] = {{"b.example", 9}};
    const struct pki_mint_san good = {PKI_MINT_URI, {"sip:alice@sub.a.example", 23}},
                              bad = {PKI_MINT_URI, {"sip:alice@b.example", 19}},
                              bad_uri = {PKI_MINT_URI, {"sip:b.example", 13}},
                              tricky = {PKI_MINT_URI, {"sip:a@b.example;x=a.example", 27}};
    struct pki_mint_args m = {.domains = domain_b, .n_domains = 1};

    (void)state;
    pki_chain_unref(expect(mint(t.narrow, plain), t.anchors, 0, NULL));
    (void)expect(mint(t.narrow, m), t.anchors, ERR_REFUSED, NULL);
    m = (struct pki_mint_args){.sans = &good, .n_sans = 1};
    pki_chain_unref(expect(mint(t.narrow, m), t.anchors, 0, NULL));
    m.sans = &bad;
    (void)expect(mint(t.narrow, m), t.anchors, ERR_REFUSED, "identity-cert-constraints");
    m.sans = &bad_uri;
    (void)expect(mint(t.narrow, m), t.anchors, ERR_REFUSED, "identity-cert-constraints");
    m.sans = &tricky;
    (void)expect(mint(t.narrow, m), t.anchors, ERR_REFUSED, "identity-cert-constraints");
}

/* The same of an issuer that may issue for all but some: nothing that is written behind the host
 * makes another one of it (identity/cred_chain.c reads it without). */
static void exclusions(void **state)
{
    static const struct {
        struct pki_mint_san san;
        int err;
    } rows[] = {
        {{PKI_MINT_URI, {"sip:alice@a.example", 19}}, 0},
        {{PKI_MINT_URI, {"sip:alice@b.example", 19}}, ERR_REFUSED},
        {{PKI_MINT_URI, {"sip:alice@B.example?Subject=x", 29}}, ERR_REFUSED},
        {{PKI_MINT_URI, {"sip:alice@b.example.", 20}}, ERR_REFUSED},
        {{PKI_MINT_URI, {"sip:alice@b.example.;x=@a.example", 33}}, ERR_REFUSED},
        {{PKI_MINT_URI, {"sips:alice@sub.b.example:5061", 29}}, ERR_REFUSED},
        {{PKI_MINT_URI, {"sip:b.example.", 14}}, ERR_REFUSED},
    };
    struct pki_mint_ca_args a = {
        .cn = STR("Not B"), .days = 100, .parent = t.root, .excluded_dns = STR("b.example")};
    struct reason why = {.code = NULL};
    struct pki_mint_ca *ca;

    (void)state;
    check_err(pki_mint_ca_new(&a, &ca, &why), 0);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        pki_chain_unref(expect(mint(ca, (struct pki_mint_args){.sans = &rows[i].san, .n_sans = 1}),
                               t.anchors, rows[i].err,
                               rows[i].err ? "identity-cert-constraints" : NULL));
    pki_mint_ca_free(ca);
}

static void revoked(void **state)
{
    struct pki_anchors *with;
    const char *list[] = {t.cert};
    struct str bytes = mint(t.root, plain);
    struct reason why = {.code = NULL};

    (void)state;
    (void)unlink(t.crl);
    check_err(pki_mint_crl(t.root, list, 1, 10, t.crl, &why), 0);
    check_err(pki_anchors_new(t.ca, t.crl, &with, &why), 0);
    (void)expect(bytes, with, ERR_REFUSED, "identity-cert-revoked");
    pki_chain_unref(expect(mint(t.root, plain), with, 0, NULL));
    (void)expect(mint(t.middle, plain), with, ERR_REFUSED, "identity-cert-no-crl");
    pki_anchors_unref(with);
}

static void forms(void **state)
{
    struct pki_chain *c;
    struct str pem = mint(t.root, plain), twice;
    char der[4096];
    size_t n_der = 0, n;
    struct str line, rest;
    char base64[8192];

    (void)state;
    /* The leaf alone, in DER: exactly. */
    n = 0;
    for (rest = pem; rest.p;) {
        rest = str_cut(rest, '\n', &line);
        if (line.n && line.p[0] != '-') {
            memcpy(base64 + n, line.p, line.n);
            n += line.n;
        }
    }
    check_err(str_base64_decode(der, sizeof(der) - 1, str_make(base64, n), false, &n_der), 0);
    pki_chain_unref(expect(str_make(der, n_der), t.anchors, 0, NULL));
    der[n_der] = 'x';
    (void)expect(str_make(der, n_der + 1), t.anchors, ERR_SYNTAX, "identity-cert-syntax");
    (void)expect(str_make(der, n_der - 1), t.anchors, ERR_SYNTAX, "identity-cert-syntax");
    (void)expect(STR(""), t.anchors, ERR_SYNTAX, "identity-cert-syntax");
    (void)expect(STR("nothing"), t.anchors, ERR_SYNTAX, "identity-cert-syntax");
    (void)expect(str_make(pem.p, pem.n / 2), t.anchors, ERR_SYNTAX, "identity-cert-syntax");
    (void)expect(text_of(t.key, 0), t.anchors, ERR_SYNTAX, "identity-cert-syntax");
    /* Our own: in order. Others': any order behind the leaf. */
    pem = mint(t.root, plain);
    twice = text_of(t.other_ca, pem.n);
    (void)expect(twice, NULL, ERR_REFUSED, "identity-cert-order");
    pki_chain_unref(expect(twice, t.anchors, 0, NULL));
    pem = mint(t.root, plain);
    c = expect(text_of(t.ca, pem.n), NULL, 0, NULL);
    assert_int_equal(pki_chain_facts(c)->n_tn, 2);
    pki_chain_unref(c);
    /* Too long, in number and in bytes. */
    pem = mint(t.root, plain);
    for (unsigned i = 0; i < PKI_CHAIN_CERTS; i++)
        pem = text_of(t.ca, pem.n);
    (void)expect(pem, t.anchors, ERR_LIMIT, "identity-cert-long");
    memset(t.text, '\n', sizeof(t.text));
    (void)expect(str_make(t.text, LIMIT_CERT_CHAIN_BYTES + 1), t.anchors, ERR_LIMIT,
                 "identity-cert-long");
}

static void files(void **state)
{
    struct pki_chain *c;
    EVP_PKEY *key;
    struct reason why = {.code = NULL};

    (void)state;
    (void)mint(t.middle, plain);
    check_err(pki_chain_load(t.cert, &c, &why), 0);
    check_err(pki_chain_key_load(c, t.key, &key, &why), 0);
    EVP_PKEY_free(key);
    check_err(pki_chain_key_load(c, t.spare, &key, &why), ERR_IO);
    check_err(pki_chain_key_load(c, t.cert, &key, &why),
              ERR_REFUSED); /* certificates are not secret */
    assert_int_equal(chmod(t.cert, 0600), 0);
    check_err(pki_chain_key_load(c, t.cert, &key, &why), ERR_SYNTAX);
    assert_int_equal(rename(t.key, t.spare), 0);
    (void)mint(t.root, plain);
    check_err(pki_chain_key_load(c, t.key, &key, &why), ERR_REFUSED);
    check_err(pki_chain_key_load(c, t.spare, &key, &why), 0);
    EVP_PKEY_free(key);
    pki_chain_unref(c);
    check_err(pki_chain_load("/nonexistent", &c, &why), ERR_IO);
    check_err(pki_chain_load(t.key, &c, &why), ERR_SYNTAX);
    assert_non_null(strstr(why.detail, t.key));
}

/* What is given to others: certificates and nothing else, all of them or the leaf alone. */
static void given_away(void **state)
{
    struct arena *a = arena_new(4096, 1 << 20);
    struct pki_chain *c, *again;
    struct str der, pem;

    (void)state;
    assert_non_null(a);
    (void)mint(t.middle, plain);
    check_err(pki_chain_load(t.cert, &c, NULL), 0);
    check_err(pki_chain_der(c, a, &der), 0);
    check_err(pki_chain_pem(c, a, &pem), 0);
    assert_int_equal((uint8_t)der.p[0], 0x30);
    check_err(pki_chain_new(pem, t.anchors, t.now_s, &again, NULL), 0);
    pki_chain_unref(again);
    check_err(pki_chain_new(der, t.anchors, t.now_s, &again, NULL),
              ERR_REFUSED); /* its issuer is no anchor */
    OOM_SWEEP(10, {
        struct str text = STR_NULL;

        assert_true((pki_chain_der(c, a, &text) == 0) == (text.p != NULL));
    });
    pki_chain_unref(c);
    (void)mint(t.root, plain);
    check_err(pki_chain_load(t.cert, &c, NULL), 0);
    check_err(pki_chain_der(c, a, &der), 0);
    check_err(pki_chain_new(der, t.anchors, t.now_s, &again, NULL), 0);
    assert_int_equal(pki_chain_facts(again)->n_domains, pki_chain_facts(c)->n_domains);
    pki_chain_unref(again);
    pki_chain_unref(c);
    arena_free(a);
}

static void no_memory(void **state)
{
    struct str bytes = mint(t.middle, plain);

    (void)state;
    OOM_SWEEP(300, {
        struct pki_chain *c = NULL;
        struct reason why = {.code = NULL};

        if (pki_chain_new(bytes, t.anchors, t.now_s, &c, &why) != 0)
            assert_non_null(why.code);
        pki_chain_unref(c);
    });
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(good),      cmocka_unit_test(users),       cmocka_unit_test(not_believed),
        cmocka_unit_test(forms),     cmocka_unit_test(constraints), cmocka_unit_test(exclusions),
        cmocka_unit_test(revoked),   cmocka_unit_test(files),       cmocka_unit_test(given_away),
        cmocka_unit_test(no_memory),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}

/* What making a context says about its files: each failure names the file and the cause, and keeps
 * nothing. And what mint writes. */
#include "base/err.h"
#include "check.h"
#include "fixture.h"
#include "oom.h"
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>

static struct fix fix;

static int setup(void **state)
{
    (void)state;
    fix_init(&fix);
    fix_cert(&fix, fix.root, "a", "a.example", 0);
    fix_cert(&fix, fix.root, "b", "b.example", 0);
    fix_cert(&fix, fix.inter, "deep", "a.example", 0);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    fix_done(&fix);
    return 0;
}

static const char *write_file(const char *name, const char *text)
{
    const char *path = fix_path(&fix, name);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
    return path;
}

/* The files of a glued together into b. */
static const char *glue(const char *name, const char *const *parts, size_t n)
{
    const char *path = fix_path(&fix, name);
    FILE *out = fopen(path, "w");
    assert_non_null(out);
    for (size_t i = 0; i < n; i++) {
        char text[8192];
        FILE *in = fopen(parts[i], "r");
        assert_non_null(in);
        fwrite(text, 1, fread(text, 1, sizeof(text), in), out);
        fclose(in);
    }
    fclose(out);
    return path;
}

static void check_server(struct pki_tls_options o, const char *code, const char *file,
                         const char *cause)
{
    struct pki_tls_server *s = NULL;
    struct reason why = {0};
    assert_true(pki_tls_server_new(&o, &s, &why) < 0);
    assert_null(s);
    if (strcmp(why.code, code) != 0 || !strstr(why.detail, file) || !strstr(why.detail, cause))
        fail_msg("%s: %s", why.code, why.detail);
}

static void check_identity(struct pki_tls_identity id, const char *code, const char *file,
                           const char *cause)
{
    check_server((struct pki_tls_options){.identities = &id, .n_identities = 1}, code, file, cause);
}

static struct pki_tls_identity identity(const char *domain, const char *crt, const char *key)
{
    return (struct pki_tls_identity){str_z(domain), crt ? fix_path(&fix, crt) : NULL,
                                     key ? fix_path(&fix, key) : NULL};
}

static void test_identity_errors(void **state)
{
    (void)state;
    check_identity(identity("a.example", "no.crt", "a.key"), "cert-file", "/no.crt",
                   "No such file");
    check_identity(identity("a.example", "a.crt", "no.key"), "cert-file", "/no.key",
                   "No such file");
    check_identity(identity("a.example", NULL, "a.key"), "cert-file", "", "no certificate file");
    check_identity(identity("a.example", "a.crt", NULL), "cert-file", "", "no private key file");
    check_identity(identity("a.example", "a.crt", "b.key"), "cert-key-mismatch", "/b.key",
                   "/a.crt");
    check_identity(identity("a.example", "a.key", "a.key"), "cert-syntax", "/a.key",
                   "no certificate");
    check_identity(identity("a.example", "a.crt", "a.crt"), "cert-key", "/a.crt", "no private key");
    check_identity(identity("c.example", "a.crt", "a.key"), "cert-name", "/a.crt",
                   "does not name c.example but URI:sip:a.example");
    check_identity(identity("", "a.crt", "a.key"), "tls-option", "", "no domain");
    fix_cert(&fix, fix.root, "use", "a.example", PKI_MINT_CLIENT);
    check_identity(identity("a.example", "use.crt", "use.key"), "cert-use", "/use.crt",
                   "TLS server");
    fix_cert(&fix, fix.root, "use", "a.example", PKI_MINT_OTHER);
    struct pki_tls_identity other = identity("", "use.crt", "use.key");
    struct pki_tls_client *c;
    struct reason why;
    check_err(pki_tls_client_new(&(struct pki_tls_options){.identities = &other, .n_identities = 1},
                                 &c, &why),
              ERR_REFUSED);
    assert_string_equal(why.code, "cert-use");
    write_file("empty.crt", "");
    check_identity(identity("a.example", "empty.crt", "a.key"), "cert-syntax", "/empty.crt",
                   "no certificate");
    write_file("junk.crt", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
    check_identity(identity("a.example", "junk.crt", "a.key"), "cert-syntax", "/junk.crt",
                   "certificate 1 cannot be decoded");
    const char *and_junk[] = {fix_path(&fix, "a.crt"), fix_path(&fix, "junk.crt")};
    glue("half.crt", and_junk, 2);
    check_identity(identity("a.example", "half.crt", "a.key"), "cert-syntax", "/half.crt",
                   "certificate 2 cannot be decoded");
    const char *wrong_order[] = {fix.root_pem, fix_path(&fix, "a.crt")};
    glue("order.crt", wrong_order, 2);
    check_identity(identity("a.example", "order.crt", "a.key"), "cert-key-mismatch", "/a.key",
                   "/order.crt");
    const char *no_issuer[] = {fix_path(&fix, "a.crt"), fix_path(&fix, "b.crt")};
    glue("stray.crt", no_issuer, 2);
    check_identity(identity("a.example", "stray.crt", "a.key"), "cert-chain", "/stray.crt",
                   "certificate 2 did not issue certificate 1");
    const char *many[10];
    for (size_t i = 0; i < ARRAY_LEN(many); i++)
        many[i] = fix.root_pem;
    glue("many.crt", many, ARRAY_LEN(many));
    check_identity(identity("a.example", "many.crt", "a.key"), "cert-syntax", "/many.crt",
                   "more than 8");
}

static void test_dates(void **state)
{
    (void)state;
    const struct str a = STR("a.example");
    int64_t now = (int64_t)time(NULL);
    fix_cert_full(&fix, fix.root, "old",
                  (struct pki_mint_args){
                      .domains = &a, .n_domains = 1, .not_before = now - 10 * 86400, .days = 9});
    check_identity(identity("a.example", "old.crt", "old.key"), "cert-expired", "/old.crt",
                   "expired on 20");
    fix_cert_full(&fix, fix.root, "new",
                  (struct pki_mint_args){
                      .domains = &a, .n_domains = 1, .not_before = now + 86400, .days = 9});
    check_identity(identity("a.example", "new.crt", "new.key"), "cert-not-yet-valid", "/new.crt",
                   "not valid before 20");
    /* the soonest end of all that is sent, whichever file it is in */
    fix_cert_full(
        &fix, fix.root, "week",
        (struct pki_mint_args){.domains = &a, .n_domains = 1, .not_before = now - 60, .days = 7});
    struct pki_tls_identity ids[] = {identity("b.example", "b.crt", "b.key"),
                                     identity("a.example", "week.crt", "week.key")};
    struct pki_tls_server *s;
    struct reason why;
    check_err(pki_tls_server_new(&(struct pki_tls_options){.identities = ids, .n_identities = 2},
                                 &s, &why),
              0);
    int64_t until;
    struct str file;
    pki_tls_server_expiry(s, &until, &file);
    assert_in_range(until, now - 60 + 7 * 86400, now - 59 + 7 * 86400);
    assert_non_null(strstr(file.p, "/week.crt"));
    pki_tls_server_unref(s);
    /* an intermediate that ends before its leaf counts */
    struct pki_mint_ca *brief;
    const struct pki_mint_ca_args brief_args = {.cn = STR("Brief"), .days = 3, .parent = fix.root};
    check_err(pki_mint_ca_new(&brief_args, &brief, &why), 0);
    fix_cert(&fix, brief, "under", "a.example", 0);
    ids[1] = identity("a.example", "under.crt", "under.key");
    check_err(pki_tls_server_new(&(struct pki_tls_options){.identities = ids, .n_identities = 2},
                                 &s, &why),
              0);
    pki_tls_server_expiry(s, &until, &file);
    assert_true(until < now + 4 * 86400);
    pki_tls_server_unref(s);
    pki_mint_ca_free(brief);
    struct pki_tls_client *c;
    check_err(pki_tls_client_new(&(struct pki_tls_options){.ca_pem = fix.root_pem}, &c, &why), 0);
    pki_tls_client_expiry(c, &until, &file);
    assert_true(until == INT64_MAX && file.n == 0);
    pki_tls_client_unref(c);
}

static void test_key_with_passphrase(void **state)
{
    (void)state;
    BIO *in = BIO_new_file(fix_path(&fix, "a.key"), "r");
    EVP_PKEY *key = PEM_read_bio_PrivateKey(in, NULL, NULL, NULL);
    BIO_free(in);
    BIO *out = BIO_new_file(fix_path(&fix, "locked.key"), "w");
    char pass[] = "secret";
    assert_int_equal(
        PEM_write_bio_PKCS8PrivateKey(out, key, EVP_aes_128_cbc(), pass, 6, NULL, NULL), 1);
    BIO_free(out);
    EVP_PKEY_free(key);
    check_identity(identity("a.example", "a.crt", "locked.key"), "cert-key", "/locked.key",
                   "passphrase");
}

static void test_option_errors(void **state)
{
    (void)state;
    struct pki_tls_identity id = fix_identity(&fix, "a", "a.example");
    struct pki_tls_options o = {.identities = &id, .n_identities = 1};
    check_server((struct pki_tls_options){0}, "tls-option", "", "needs a certificate");
    o.min_version = 11;
    check_server(o, "tls-option", "", "1.2 or 1.3");
    o.min_version = 0;
    o.ciphers12 = STR("NO-SUCH-CIPHER");
    check_server(o, "tls-option", "", "cipher list");
    o.ciphers12 = STR("aNULL@SECLEVEL=0");
    check_server(o, "tls-option", "", "protects nothing");
    o.ciphers12 = STR("eNULL:ECDHE@SECLEVEL=0");
    check_server(o, "tls-option", "", "protects nothing");
    o.ciphers12 = STR_NULL;
    o.client_cert = PKI_CLIENT_CERT_ASK;
    check_server(o, "tls-option", "", "need a file of anchors");
    o.ca_pem = fix_path(&fix, "no-ca.crt");
    check_server(o, "cert-file", "/no-ca.crt", "No such file");
    o.ca_pem = write_file("empty-ca.crt", "# nothing\n");
    check_server(o, "cert-syntax", "/empty-ca.crt", "no certificate");
    int64_t now = (int64_t)time(NULL);
    struct pki_mint_ca *old;
    struct reason why;
    const struct pki_mint_ca_args old_args = {
        .cn = STR("Old"), .not_before = now - 9 * 86400, .days = 3};
    check_err(pki_mint_ca_new(&old_args, &old, &why), 0);
    check_err(pki_mint_ca_save(old, fix_path(&fix, "old-ca.crt"), NULL, &why), 0);
    pki_mint_ca_free(old);
    o.ca_pem = fix_path(&fix, "old-ca.crt");
    check_server(o, "cert-expired", "/old-ca.crt", "expired");
    o.ca_pem = fix.root_pem;
    o.revocation = PKI_REVOCATION_SOFT;
    o.crl_pem = fix_path(&fix, "no.crl");
    check_server(o, "cert-file", "/no.crl", "cannot read the CRL");
    o.crl_pem = fix.root_pem;
    check_server(o, "crl-syntax", "/root.crt", "no CRL");
    struct pki_tls_client *c = NULL;
    check_err(pki_tls_client_new(&(struct pki_tls_options){.ca_pem = "/nonexistent"}, &c, &why),
              ERR_IO);
    assert_null(c);
}

/* A key of RSA 1024 is no protection any more (security level 2). */
static void test_weak_key(void **state)
{
    (void)state;
    EVP_PKEY *key = EVP_RSA_gen(1024);
    X509 *c = X509_new();
    X509_set_version(c, X509_VERSION_3);
    X509_gmtime_adj(X509_getm_notBefore(c), -60);
    X509_gmtime_adj(X509_getm_notAfter(c), 86400);
    X509_NAME_add_entry_by_txt(X509_get_subject_name(c), "CN", MBSTRING_ASC,
                               (const unsigned char *)"a.example", -1, -1, 0);
    X509_set_issuer_name(c, X509_get_subject_name(c));
    X509_set_pubkey(c, key);
    assert_true(X509_sign(c, key, EVP_sha256()) > 0);
    BIO *bio = BIO_new_file(fix_path(&fix, "weak.crt"), "w");
    PEM_write_bio_X509(bio, c);
    BIO_free(bio);
    bio = BIO_new_file(fix_path(&fix, "weak.key"), "w");
    PEM_write_bio_PKCS8PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL);
    BIO_free(bio);
    X509_free(c);
    EVP_PKEY_free(key);
    struct pki_tls_identity id = identity("a.example", "weak.crt", "weak.key");
    check_identity(id, "cert-key", "/weak.crt", "key too small");
    /* nor does a cipher list bring it back */
    check_server((struct pki_tls_options){.identities = &id,
                                          .n_identities = 1,
                                          .ciphers12 = STR("ECDHE+AESGCM@SECLEVEL=0")},
                 "cert-key", "/weak.crt", "key too small");
}

static void test_mint_files(void **state)
{
    (void)state;
    struct stat st;
    struct reason why;
    assert_int_equal(stat(fix_path(&fix, "a.key"), &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    /* over an old file that others may read: the new one is the owner's alone */
    const char *key = write_file("loose.key", "x");
    assert_int_equal(chmod(key, 0666), 0);
    fix_cert(&fix, fix.root, "loose", "a.example", 0);
    assert_int_equal(stat(key, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    /* a saved CA goes on */
    struct pki_mint_ca *again;
    check_err(pki_mint_ca_load(fix.root_pem, fix_path(&fix, "root.key"), &again, &why), 0);
    fix_cert(&fix, again, "later", "a.example", 0);
    pki_mint_ca_free(again);
    struct pki_tls_identity id = fix_identity(&fix, "later", "a.example");
    struct pki_tls_server *s;
    struct pki_tls_client *c;
    check_err(pki_tls_server_new(&(struct pki_tls_options){.identities = &id, .n_identities = 1},
                                 &s, &why),
              0);
    check_err(pki_tls_client_new(&(struct pki_tls_options){.ca_pem = fix.root_pem}, &c, &why), 0);
    assert_true(shake_contexts(c, "a.example", s).client_ok);
    pki_tls_client_unref(c);
    pki_tls_server_unref(s);
    /* errors */
    assert_true(pki_mint_ca_load("/nonexistent", "/nonexistent", &again, &why) < 0);
    assert_true(pki_mint_ca_load(fix.root_pem, fix_path(&fix, "a.key"), &again, &why) < 0);
    assert_non_null(strstr(why.detail, "/a.key"));
    const struct pki_mint_args nowhere = {
        .days = 1, .cert_file = "/nonexistent/x.crt", .key_file = "/nonexistent/x.key"};
    check_err(pki_mint_cert(fix.root, &nowhere, &why), ERR_IO);
    assert_non_null(strstr(why.detail, "/nonexistent/x.key"));
}

/* Two kinds of key for one domain: each client gets the one it can use. */
static void test_two_key_types(void **state)
{
    (void)state;
    EVP_PKEY *key = EVP_RSA_gen(2048);
    X509 *c = X509_new();
    X509_set_version(c, X509_VERSION_3);
    X509_gmtime_adj(X509_getm_notBefore(c), -60);
    X509_gmtime_adj(X509_getm_notAfter(c), 86400);
    X509_NAME_add_entry_by_txt(X509_get_subject_name(c), "CN", MBSTRING_ASC,
                               (const unsigned char *)"b.example", -1, -1, 0);
    X509_set_issuer_name(c, X509_get_subject_name(c));
    X509_set_pubkey(c, key);
    assert_true(X509_sign(c, key, EVP_sha256()) > 0);
    BIO *bio = BIO_new_file(fix_path(&fix, "rsa.crt"), "w");
    PEM_write_bio_X509(bio, c);
    BIO_free(bio);
    bio = BIO_new_file(fix_path(&fix, "rsa.key"), "w");
    PEM_write_bio_PKCS8PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL);
    BIO_free(bio);
    X509_free(c);
    EVP_PKEY_free(key);
    struct pki_tls_identity ids[] = {fix_identity(&fix, "a", "a.example"),
                                     fix_identity(&fix, "b", "b.example"),
                                     fix_identity(&fix, "rsa", "b.example")};
    struct reason why;
    struct pki_tls_server *s;
    check_err(pki_tls_server_new(&(struct pki_tls_options){.identities = ids, .n_identities = 3},
                                 &s, &why),
              0);
    static const struct {
        const char *suite;
        int key;
    } cases[] = {{"ECDHE-ECDSA-AES128-GCM-SHA256", EVP_PKEY_EC},
                 {"ECDHE-RSA-AES128-GCM-SHA256", EVP_PKEY_RSA}};
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
        SSL_CTX_set_max_proto_version(ctx, TLS1_2_VERSION);
        assert_int_equal(SSL_CTX_set_cipher_list(ctx, cases[i].suite), 1);
        SSL *client = SSL_new(ctx), *server = pki_tls_server_ssl(s);
        char sni[] = "b.example";
        SSL_set_connect_state(client);
        SSL_set_tlsext_host_name(client, sni);
        assert_true(shake(client, server).client_ok);
        assert_int_equal(EVP_PKEY_get_base_id(X509_get0_pubkey(SSL_get0_peer_certificate(client))),
                         cases[i].key);
        SSL_free(client);
        SSL_free(server);
        SSL_CTX_free(ctx);
    }
    pki_tls_server_unref(s);
}

static void test_no_memory(void **state)
{
    (void)state;
    struct pki_tls_identity id = fix_identity(&fix, "deep", "a.example");
    OOM_SWEEP(100, {
        struct pki_tls_server *s = NULL;
        struct pki_tls_client *c = NULL;
        struct reason why;
        struct pki_tls_options o = {.identities = &id, .n_identities = 1, .ca_pem = fix.root_pem};
        int err = pki_tls_server_new(&o, &s, &why);
        assert_true((err == 0) == (s != NULL));
        err = pki_tls_client_new(&o, &c, &why);
        assert_true((err == 0) == (c != NULL));
        SSL *ssl = c ? pki_tls_client_ssl(c, STR("a.example")) : NULL;
        SSL_free(ssl);
        pki_tls_server_unref(s);
        pki_tls_client_unref(c);
    });
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_identity_errors),
        cmocka_unit_test(test_dates),
        cmocka_unit_test(test_key_with_passphrase),
        cmocka_unit_test(test_option_errors),
        cmocka_unit_test(test_weak_key),
        cmocka_unit_test(test_mint_files),
        cmocka_unit_test(test_two_key_types),
        cmocka_unit_test(test_no_memory),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}

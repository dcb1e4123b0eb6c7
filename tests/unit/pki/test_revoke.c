/* Revocation in handshakes: CRLs, stapled and remembered OCSP answers, must-staple, under each
 * policy (RFC 5280 6.3, RFC 6960, RFC 6066 8, RFC 7633); the usages that a client's certificate
 * needs (RFC 5924 5); cross-certificates (TR/100 9). */
#include "base/err.h"
#include "check.h"
#include "fixture.h"
#include "pki/chain.h"
#include "pki/statuses.h"
#include "responder.h"
#include <openssl/pem.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#define URL "http://ocsp.example/x"

static struct fix fix;
static X509 *inter;
static EVP_PKEY *inter_key;
static const char *root_crl; /* says that the intermediate is good */
static struct pki_question *asked[8];
static unsigned n_asked;

static void on_ask(void *arg, struct pki_question *q)
{
    (void)arg;
    assert_true(n_asked < ARRAY_LEN(asked));
    asked[n_asked++] = q;
}

static int setup(void **state)
{
    (void)state;
    struct str d = STR("a.example"), c = STR("client.example");
    struct reason why;
    fix_init(&fix);
    check_err(
        pki_mint_ca_save(fix.inter, fix_path(&fix, "inter.crt"), fix_path(&fix, "inter.key"), &why),
        0);
    inter = read_cert(fix_path(&fix, "inter.crt"));
    inter_key = read_key(fix_path(&fix, "inter.key"));
    fix_cert_full(&fix, fix.inter, "leaf",
                  (struct pki_mint_args){.domains = &d, .n_domains = 1, .responder = STR(URL)});
    fix_cert_full(&fix, fix.inter, "must",
                  (struct pki_mint_args){
                      .domains = &d, .n_domains = 1, .responder = STR(URL), .must_staple = true});
    fix_cert_full(&fix, fix.inter, "silent", (struct pki_mint_args){.domains = &d, .n_domains = 1});
    fix_cert_full(&fix, fix.inter, "client",
                  (struct pki_mint_args){.domains = &c, .n_domains = 1, .responder = STR(URL)});
    root_crl = fix_path(&fix, "root.crl");
    check_err(pki_mint_crl(fix.root, NULL, 0, 7, root_crl, &why), 0);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    X509_free(inter);
    EVP_PKEY_free(inter_key);
    fix_done(&fix);
    return 0;
}

static struct pki_statuses *new_statuses(void)
{
    struct pki_statuses *s;
    check_err(pki_statuses_new(on_ask, NULL, &s), 0);
    return s;
}

static unsigned char *make_answer(const char *name, int status, long from_s, long until_s,
                                  size_t *ret_n)
{
    char file[64];
    snprintf(file, sizeof file, "%s.crt", name);
    X509 *cert = read_cert(fix_path(&fix, file));
    const struct answer_args a = {.cert = cert,
                                  .issuer = inter,
                                  .signer = inter,
                                  .key = inter_key,
                                  .status = status,
                                  .cause = OCSP_REVOKED_STATUS_KEYCOMPROMISE,
                                  .from_s = from_s,
                                  .until_s = until_s};
    unsigned char *der = answer_make(&a, ret_n);
    X509_free(cert);
    return der;
}

/* Answers the one question that was asked. */
static void give_answer(const char *name, int status)
{
    size_t n;
    unsigned char *der = make_answer(name, status, -60, 3600, &n);
    assert_int_equal(n_asked, 1);
    n_asked = 0;
    pki_question_answer(asked[0], der, n, (int64_t)time(NULL));
    OPENSSL_free(der);
}

static struct pki_tls_server *new_server(struct pki_tls_options o, const char *name)
{
    struct pki_tls_identity id = fix_identity(&fix, name, "a.example");
    struct pki_tls_server *s;
    struct reason why;
    o.identities = &id;
    o.n_identities = 1;
    if (pki_tls_server_new(&o, &s, &why) != 0)
        fail_msg("server: %s", why.detail);
    return s;
}

static struct pki_tls_client *new_client(struct pki_tls_options o)
{
    struct pki_tls_client *c;
    struct reason why;
    if (!o.ca_pem)
        o.ca_pem = fix.root_pem;
    if (pki_tls_client_new(&o, &c, &why) != 0)
        fail_msg("client: %s", why.detail);
    return c;
}

static struct pki_tls_client *client_of(enum pki_revocation r, struct pki_statuses *s)
{
    return new_client(
        (struct pki_tls_options){.revocation = r, .crl_pem = root_crl, .statuses = s});
}

struct result {
    struct outcome o;
    enum cert_standing client_sees, server_sees;
    struct reason client_doubt;
};

static struct result run(struct pki_tls_client *c, struct pki_tls_server *s, int max_version)
{
    SSL *client = pki_tls_client_ssl(c, STR("a.example")), *server = pki_tls_server_ssl(s);
    SSL_set_max_proto_version(client, max_version);
    struct result r = {.o = shake(client, server)};
    r.client_sees = pki_peer_standing(client, &r.client_doubt);
    r.server_sees = pki_peer_standing(server, NULL);
    SSL_free(client);
    SSL_free(server);
    return r;
}

static const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};

/* code NULL: the client is content and sees `standing`. */
static void check_client(struct pki_tls_client *c, struct pki_tls_server *s, const char *code,
                         enum cert_standing standing)
{
    for (size_t i = 0; i < ARRAY_LEN(versions); i++) {
        struct result r = run(c, s, versions[i]);
        if (!code) {
            if (!r.o.client_ok || !r.o.server_ok)
                fail_msg("%s %s", r.o.client_reason.code, r.o.client_reason.detail);
            assert_int_equal(r.client_sees, standing);
        } else {
            if (r.o.client_ok || r.o.server_ok)
                fail_msg("not refused: %s", code);
            assert_string_equal(r.o.client_reason.code, code);
            assert_non_null(strstr(r.o.client_reason.detail,
                                   "expected a.example, presented URI:sip:a.example"));
        }
    }
}

/* A server of ours that has fetched the answer to staple. */
static struct pki_tls_server *stapling_server(struct pki_statuses *s, const char *name, int status)
{
    struct pki_tls_server *server = new_server((struct pki_tls_options){.statuses = s}, name);
    pki_statuses_own_begin(s);
    pki_tls_server_staples(server, (int64_t)time(NULL));
    pki_statuses_own_end(s);
    give_answer(name, status);
    return server;
}

static void test_stapled(void **state)
{
    (void)state;
    struct pki_statuses *at_server = new_statuses(), *at_client = new_statuses();
    struct pki_tls_server *s = stapling_server(at_server, "leaf", V_OCSP_CERTSTATUS_GOOD);
    struct pki_tls_client *hard = client_of(PKI_REVOCATION_HARD, at_client),
                          *soft = client_of(PKI_REVOCATION_SOFT, NULL);
    check_client(hard, s, NULL, CERT_GOOD);
    check_client(soft, s, NULL, CERT_GOOD);
    assert_int_equal(n_asked, 0); /* it was stapled */
    pki_tls_server_unref(s);
    pki_statuses_unref(at_server);

    at_server = new_statuses();
    s = stapling_server(at_server, "leaf", V_OCSP_CERTSTATUS_REVOKED);
    check_client(hard, s, "tls-cert-revoked", 0);
    check_client(soft, s, "tls-cert-revoked", 0);
    struct pki_tls_client *off = client_of(PKI_REVOCATION_OFF, NULL);
    check_client(off, s, NULL, CERT_UNCHECKED);
    pki_tls_client_unref(off);
    pki_tls_server_unref(s);
    pki_statuses_unref(at_server);

    at_server = new_statuses();
    s = stapling_server(at_server, "leaf", V_OCSP_CERTSTATUS_UNKNOWN);
    check_client(soft, s, NULL, CERT_UNKNOWN);
    pki_tls_client_unref(hard);
    pki_tls_client_unref(soft);
    pki_tls_server_unref(s);
    pki_statuses_unref(at_server);
    pki_statuses_unref(at_client);
}

static void test_asked(void **state)
{
    (void)state;
    struct pki_tls_server *s = new_server((struct pki_tls_options){0}, "leaf");
    struct pki_statuses *st = new_statuses();
    struct pki_tls_client *hard = client_of(PKI_REVOCATION_HARD, st),
                          *soft = client_of(PKI_REVOCATION_SOFT, st);
    struct result r;
    check_client(soft, s, NULL, CERT_UNKNOWN); /* first contact: policy decides, nobody waits */
    assert_int_equal(n_asked, 1);
    check_client(hard, s, "tls-cert-status-unknown", 0);
    r = run(soft, s, TLS1_3_VERSION);
    assert_string_equal(r.client_doubt.detail, "its responder has not answered yet");
    give_answer("leaf", V_OCSP_CERTSTATUS_GOOD);
    check_client(hard, s, NULL, CERT_GOOD);
    check_client(soft, s, NULL, CERT_GOOD);
    assert_int_equal(n_asked, 0);
    pki_tls_client_unref(hard);
    pki_tls_client_unref(soft);
    pki_statuses_unref(st);

    st = new_statuses();
    soft = client_of(PKI_REVOCATION_SOFT, st);
    check_client(soft, s, NULL, CERT_UNKNOWN);
    give_answer("leaf", V_OCSP_CERTSTATUS_REVOKED);
    check_client(soft, s, "tls-cert-revoked", 0);
    pki_tls_client_unref(soft);
    pki_statuses_unref(st);
    pki_tls_server_unref(s);

    /* nobody to be asked, and no CRL of its issuer */
    s = new_server((struct pki_tls_options){0}, "silent");
    soft = client_of(PKI_REVOCATION_SOFT, NULL);
    hard = client_of(PKI_REVOCATION_HARD, NULL);
    check_client(soft, s, NULL, CERT_UNKNOWN);
    check_client(hard, s, "tls-cert-no-crl", 0);
    pki_tls_client_unref(hard);
    hard = new_client((struct pki_tls_options){.revocation = PKI_REVOCATION_HARD});
    check_client(hard, s, "tls-cert-status-unknown", 0);
    pki_tls_client_unref(hard);
    pki_tls_client_unref(soft);
    pki_tls_server_unref(s);
}

static void test_must_staple(void **state)
{
    (void)state;
    struct pki_statuses *st = new_statuses();
    struct pki_tls_server *plain = new_server((struct pki_tls_options){0}, "must");
    struct pki_tls_client *hard = client_of(PKI_REVOCATION_HARD, NULL),
                          *soft = client_of(PKI_REVOCATION_SOFT, NULL),
                          *off = client_of(PKI_REVOCATION_OFF, NULL);
    check_client(hard, plain, "tls-cert-must-staple", 0);
    check_client(soft, plain, "tls-cert-must-staple", 0);
    check_client(off, plain, NULL, CERT_UNCHECKED);
    pki_tls_server_unref(plain);
    struct pki_tls_server *s = stapling_server(st, "must", V_OCSP_CERTSTATUS_GOOD);
    check_client(hard, s, NULL, CERT_GOOD);
    check_client(soft, s, NULL, CERT_GOOD);
    pki_tls_server_unref(s);
    pki_tls_client_unref(hard);
    pki_tls_client_unref(soft);
    pki_tls_client_unref(off);
    pki_statuses_unref(st);
}

/* --- a server that staples whatever it likes --- */

struct bytes {
    unsigned char *p;
    size_t n;
};

static int staple_bytes(SSL *ssl, void *arg)
{
    const struct bytes *b = arg;
    unsigned char *copy = OPENSSL_malloc(b->n);
    memcpy(copy, b->p, b->n);
    SSL_set_tlsext_status_ocsp_resp(ssl, copy, (long)b->n);
    return SSL_TLSEXT_ERR_OK;
}

static void check_bytes(struct bytes b, enum pki_revocation policy, const char *code,
                        enum cert_standing standing)
{
    struct pki_tls_identity id = fix_identity(&fix, "leaf", "");
    struct pki_tls_client *c = client_of(policy, NULL);
    SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
    assert_int_equal(SSL_CTX_use_certificate_chain_file(ctx, id.cert_pem), 1);
    assert_int_equal(SSL_CTX_use_PrivateKey_file(ctx, id.key_pem, SSL_FILETYPE_PEM), 1);
    SSL_CTX_set_tlsext_status_cb(ctx, staple_bytes);
    SSL_CTX_set_tlsext_status_arg(ctx, &b);
    for (size_t i = 0; i < ARRAY_LEN(versions); i++) {
        SSL *server = SSL_new(ctx), *client = pki_tls_client_ssl(c, STR("a.example"));
        SSL_set_accept_state(server);
        SSL_set_max_proto_version(server, versions[i]);
        struct outcome o = shake(client, server);
        assert_int_equal(o.client_ok, code == NULL);
        if (code)
            assert_string_equal(o.client_reason.code, code);
        else
            assert_int_equal(pki_peer_standing(client, NULL), standing);
        SSL_free(client);
        SSL_free(server);
    }
    SSL_CTX_free(ctx);
    pki_tls_client_unref(c);
}

static void test_bad_staples(void **state)
{
    (void)state;
    struct bytes b = {(unsigned char *)strdup("no answer"), 9};
    check_bytes(b, PKI_REVOCATION_SOFT, "tls-staple-invalid", 0); /* RFC 6066 8: "MUST ... abort" */
    check_bytes(b, PKI_REVOCATION_HARD, "tls-staple-invalid", 0);
    check_bytes(b, PKI_REVOCATION_OFF, NULL, CERT_UNCHECKED);
    free(b.p);
    b.p =
        make_answer("silent", V_OCSP_CERTSTATUS_GOOD, -60, 3600, &b.n); /* of another certificate */
    check_bytes(b, PKI_REVOCATION_SOFT, "tls-staple-invalid", 0);
    OPENSSL_free(b.p);
    b.p = make_answer("leaf", V_OCSP_CERTSTATUS_GOOD, -7200, -3600, &b.n); /* out of date */
    check_bytes(b, PKI_REVOCATION_SOFT, NULL, CERT_UNKNOWN);
    check_bytes(b, PKI_REVOCATION_HARD, "tls-cert-status-unknown", 0);
    OPENSSL_free(b.p);
    b.p = make_answer("leaf", V_OCSP_CERTSTATUS_GOOD, -60, 3600, &b.n);
    check_bytes(b, PKI_REVOCATION_HARD, NULL, CERT_GOOD);
    b.p[b.n - 3] ^= 4; /* its signature */
    check_bytes(b, PKI_REVOCATION_SOFT, "tls-staple-invalid", 0);
    OPENSSL_free(b.p);
}

/* A connection that was let in before anything was known, and what the responder said later. */
static void test_seen_later(void **state)
{
    (void)state;
    struct pki_statuses *st = new_statuses();
    struct pki_tls_server *s = new_server((struct pki_tls_options){0}, "leaf");
    struct pki_tls_client *soft = client_of(PKI_REVOCATION_SOFT, st),
                          *off = client_of(PKI_REVOCATION_OFF, st);
    struct reason why = {0};
    SSL *client = pki_tls_client_ssl(soft, STR("a.example")), *server = pki_tls_server_ssl(s);
    struct outcome o = shake(client, server);
    assert_true(o.client_ok);
    assert_false(pki_tls_client_sees_revoked(soft, client, &why));
    give_answer("leaf", V_OCSP_CERTSTATUS_REVOKED);
    assert_true(pki_tls_client_sees_revoked(soft, client, &why));
    assert_string_equal(why.code, "tls-cert-revoked");
    assert_false(pki_tls_client_sees_revoked(off, client, &why));
    assert_false(pki_tls_client_sees_revoked(soft, server, &why)); /* it was shown nothing */
    SSL_free(client);
    SSL_free(server);
    pki_tls_client_unref(soft);
    pki_tls_client_unref(off);
    pki_tls_server_unref(s);
    pki_statuses_unref(st);
}

/* --- certificates of clients: nothing can be stapled --- */

static void check_server(enum pki_revocation policy, struct pki_statuses *st, const char *crl,
                         const char *code, enum cert_standing standing)
{
    struct pki_tls_server *s =
        new_server((struct pki_tls_options){.ca_pem = fix.root_pem,
                                            .client_cert = PKI_CLIENT_CERT_REQUIRE,
                                            .revocation = policy,
                                            .crl_pem = crl,
                                            .statuses = st},
                   "leaf");
    struct pki_tls_identity id = fix_identity(&fix, "client", "");
    struct pki_tls_client *c =
        new_client((struct pki_tls_options){.identities = &id, .n_identities = 1});
    for (size_t i = 0; i < ARRAY_LEN(versions); i++) {
        struct result r = run(c, s, versions[i]);
        if (r.o.server_ok != (code == NULL))
            fail_msg("%s %s", r.o.server_reason.code, r.o.server_reason.detail);
        if (code) {
            assert_string_equal(r.o.server_reason.code, code);
            assert_non_null(strstr(r.o.server_reason.detail, "presented URI:sip:client.example"));
        } else {
            assert_int_equal(r.server_sees, standing);
        }
    }
    pki_tls_client_unref(c);
    pki_tls_server_unref(s);
}

static void test_clients(void **state)
{
    (void)state;
    struct pki_statuses *st = new_statuses();
    check_server(PKI_REVOCATION_OFF, st, root_crl, NULL, CERT_UNCHECKED);
    assert_int_equal(n_asked, 0);
    check_server(PKI_REVOCATION_SOFT, st, root_crl, NULL, CERT_UNKNOWN);
    check_server(PKI_REVOCATION_HARD, st, root_crl, "tls-cert-status-unknown", 0);
    give_answer("client", V_OCSP_CERTSTATUS_GOOD);
    check_server(PKI_REVOCATION_HARD, st, root_crl, NULL, CERT_GOOD);
    check_server(PKI_REVOCATION_HARD, st, NULL, "tls-cert-status-unknown",
                 0); /* nothing is known of the issuer */
    check_server(PKI_REVOCATION_SOFT, st, NULL, NULL, CERT_UNKNOWN);
    pki_statuses_unref(st);
    st = new_statuses();
    check_server(PKI_REVOCATION_SOFT, st, root_crl, NULL, CERT_UNKNOWN);
    give_answer("client", V_OCSP_CERTSTATUS_REVOKED);
    unsigned before = n_asked;
    check_server(PKI_REVOCATION_SOFT, st, root_crl, "tls-cert-revoked", 0);
    assert_int_equal(n_asked, before); /* that is known, and not for long */
    pki_statuses_clock_set(st);
    check_server(PKI_REVOCATION_SOFT, st, root_crl, "tls-cert-revoked", 0);
    assert_int_equal(n_asked, before + 1);
    give_answer("client", V_OCSP_CERTSTATUS_GOOD); /* it was on hold */
    check_server(PKI_REVOCATION_SOFT, st, root_crl, NULL, CERT_GOOD);
    pki_statuses_unref(st);
}

/* --- CRLs --- */

static const char *crls(const char *name, const char *revoked_by_root, const char *revoked_by_inter,
                        int days_inter)
{
    const char *file = fix_path(&fix, name);
    struct reason why;
    unlink(file);
    check_err(pki_mint_crl(fix.root, &revoked_by_root, revoked_by_root ? 1 : 0, 7, file, &why), 0);
    check_err(pki_mint_crl(fix.inter, &revoked_by_inter, revoked_by_inter ? 1 : 0, days_inter, file,
                           &why),
              0);
    return file;
}

static void test_crl_policy(void **state)
{
    (void)state;
    const char *client = fix_path(&fix, "client.crt");
    const char *file = crls("all.crl", NULL, NULL, 7);
    check_server(PKI_REVOCATION_HARD, NULL, file, NULL, CERT_GOOD);
    file = crls("old.crl", NULL, NULL, -1);
    check_server(PKI_REVOCATION_HARD, NULL, file, "tls-crl-expired", 0);
    check_server(PKI_REVOCATION_SOFT, NULL, file, NULL, CERT_UNKNOWN);
    file = crls("listed.crl", NULL, client, 7);
    check_server(PKI_REVOCATION_SOFT, NULL, file, "tls-cert-revoked", 0);
    check_server(PKI_REVOCATION_OFF, NULL, file, NULL, CERT_UNCHECKED);
    file = crls("old-listed.crl", NULL, client,
                -1); /* what an old CRL lists is revoked all the same */
    check_server(PKI_REVOCATION_SOFT, NULL, file, "tls-cert-revoked", 0);
    file = crls("issuer.crl", fix_path(&fix, "inter.crt"), NULL, 7);
    check_server(PKI_REVOCATION_SOFT, NULL, file, "tls-cert-revoked", 0);
    /* the answer of a responder makes up for a CRL that has expired, not for one that lists it */
    struct pki_statuses *st = new_statuses();
    file = crls("old.crl", NULL, NULL, -1);
    check_server(PKI_REVOCATION_HARD, st, file, "tls-crl-expired", 0);
    give_answer("client", V_OCSP_CERTSTATUS_GOOD);
    check_server(PKI_REVOCATION_HARD, st, file, NULL, CERT_GOOD);
    check_server(PKI_REVOCATION_HARD, st, crls("listed.crl", NULL, client, 7), "tls-cert-revoked",
                 0);
    pki_statuses_unref(st);
}

static void forge_crl(const char *file)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    FILE *f = fopen(file, "r+");
    X509_CRL *crl = f ? PEM_read_X509_CRL(f, NULL, NULL, NULL) : NULL;

    assert_non_null(key);
    assert_non_null(crl);
    assert_true(X509_CRL_sign(crl, key, EVP_sha256()) > 0);
    rewind(f);
    assert_int_equal(PEM_write_X509_CRL(f, crl), 1);
    assert_int_equal(ftruncate(fileno(f), ftell(f)), 0);
    fclose(f);
    X509_CRL_free(crl);
    EVP_PKEY_free(key);
}

/* Lists come over http and may be anybody's: one that is not signed by the issuer says nothing,
 * whatever name it has, neither that a certificate is revoked nor that it is not. */
static void test_crl_forged(void **state)
{
    (void)state;
    const char *client = fix_path(&fix, "client.crt"), *file = fix_path(&fix, "forged.crl");
    struct reason why;

    for (int days = 7; days >= -1; days -= 8) /* an old one says no more */
        for (size_t n = 0; n < 2; n++) {
            unlink(file);
            check_err(pki_mint_crl(fix.inter, &client, n, days, file, &why), 0);
            forge_crl(file);
            check_err(pki_mint_crl(fix.root, NULL, 0, 7, file, &why), 0);
            check_server(PKI_REVOCATION_SOFT, NULL, file, NULL, CERT_UNKNOWN);
            check_server(PKI_REVOCATION_HARD, NULL, file,
                         days > 0 ? "tls-cert-no-crl" : "tls-crl-expired", 0);
        }
}

/* CAs publish CRLs in DER. */
static void test_crl_der(void **state)
{
    (void)state;
    const char *pem = fix_path(&fix, "one.crl"), *der = fix_path(&fix, "one.der"),
               *cut = fix_path(&fix, "cut.der");
    const char *client = fix_path(&fix, "client.crt");
    struct reason why;
    check_err(pki_mint_crl(fix.inter, &client, 1, 7, pem, &why), 0);
    BIO *in = BIO_new_file(pem, "r"), *out = BIO_new_file(der, "w"),
        *short_out = BIO_new_file(cut, "w");
    X509_CRL *crl = PEM_read_bio_X509_CRL(in, NULL, NULL, NULL);
    unsigned char *p = NULL;
    int n = i2d_X509_CRL(crl, &p);
    assert_int_equal(BIO_write(out, p, n), n);
    assert_int_equal(BIO_write(short_out, p, n - 1), n - 1);
    BIO_free(in);
    BIO_free(out);
    BIO_free(short_out);
    OPENSSL_free(p);
    X509_CRL_free(crl);
    check_server(PKI_REVOCATION_SOFT, NULL, der, "tls-cert-revoked", 0);
    struct pki_tls_client *c = NULL;
    check_err(pki_tls_client_new(&(struct pki_tls_options){.ca_pem = fix.root_pem,
                                                           .crl_pem = cut,
                                                           .revocation = PKI_REVOCATION_SOFT},
                                 &c, &why),
              ERR_SYNTAX);
    assert_string_equal(why.code, "crl-syntax");
}

/* --- what ends when --- */

struct ends {
    unsigned n_certificate, n_anchors, n_crl;
};

static void on_end(void *arg, const char *kind, struct str file, int64_t not_after)
{
    struct ends *e = arg;
    int64_t days = (not_after - (int64_t)time(NULL)) / 86400;
    if (strcmp(kind, "certificate") == 0) {
        e->n_certificate++;
        assert_in_range(days, 28, 30);
    } else if (strcmp(kind, "anchors") == 0) {
        e->n_anchors++;
        check_str(file, fix.root_pem);
        assert_in_range(days, 28, 30);
    } else {
        e->n_crl++;
        assert_in_range(days, 6, 7);
    }
}

static void test_ends(void **state)
{
    (void)state;
    struct ends e = {0};
    struct pki_tls_server *s =
        new_server((struct pki_tls_options){.ca_pem = fix.root_pem,
                                            .client_cert = PKI_CLIENT_CERT_ASK,
                                            .revocation = PKI_REVOCATION_SOFT,
                                            .crl_pem = root_crl},
                   "leaf");
    struct pki_tls_client *c = client_of(PKI_REVOCATION_HARD, NULL);
    pki_tls_server_ends(s, on_end, &e);
    pki_tls_client_ends(c, on_end, &e);
    assert_int_equal(e.n_certificate, 1);
    assert_int_equal(e.n_anchors, 2);
    assert_int_equal(e.n_crl, 2);
    pki_tls_server_unref(s);
    pki_tls_client_unref(c);
    struct reason why;
    int64_t until = 0;
    check_err(pki_crl_file_end(root_crl, &until, &why), 0);
    assert_in_range(until, (int64_t)time(NULL) + 6 * 86400, (int64_t)time(NULL) + 8 * 86400);
    assert_int_not_equal(pki_crl_file_end(fix.root_pem, &until, &why), 0);
    assert_string_equal(why.code, "crl-syntax");
}

/* --- usages --- */

static void test_client_usage(void **state)
{
    (void)state;
    static const struct {
        unsigned uses;
        enum cert_client_use use;
        bool any_tls, required, ignore;
    } rows[] = {
        {0, CERT_USE_CLIENT, true, true, true},
        {PKI_MINT_CLIENT, CERT_USE_CLIENT, true, true, true},
        {PKI_MINT_SIP, CERT_USE_CLIENT, true, true, true},
        {PKI_MINT_ANY, CERT_USE_CLIENT, true, true, true},
        {PKI_MINT_SERVER | PKI_MINT_CLIENT, CERT_USE_CLIENT, true, true, true},
        {PKI_MINT_SERVER, CERT_USE_SERVER_ONLY, true, false, true},
        {PKI_MINT_OTHER, CERT_USE_OTHER, false, false, true},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        fix_cert(&fix, fix.root, "user", "client.example", rows[i].uses);
        SSL_CTX *ctx =
            SSL_CTX_new(TLS_client_method()); /* a client of ours would not load some of them */
        assert_int_equal(SSL_CTX_use_certificate_chain_file(ctx, fix_path(&fix, "user.crt")), 1);
        assert_int_equal(
            SSL_CTX_use_PrivateKey_file(ctx, fix_path(&fix, "user.key"), SSL_FILETYPE_PEM), 1);
        for (enum pki_client_usage u = PKI_USAGE_ANY_TLS; u <= PKI_USAGE_IGNORE; u++) {
            bool ok = u == PKI_USAGE_ANY_TLS    ? rows[i].any_tls
                      : u == PKI_USAGE_REQUIRED ? rows[i].required
                                                : rows[i].ignore;
            struct pki_tls_server *s =
                new_server((struct pki_tls_options){.ca_pem = fix.root_pem,
                                                    .client_usage = u,
                                                    .client_cert = PKI_CLIENT_CERT_REQUIRE},
                           "leaf");
            SSL *client = SSL_new(ctx), *server = pki_tls_server_ssl(s);
            SSL_set_connect_state(client);
            struct outcome o = shake(client, server);
            if (o.server_ok != ok)
                fail_msg("row %zu usage %d: %s", i, (int)u, o.server_reason.detail);
            if (ok)
                assert_int_equal(pki_peer_client_use(server), rows[i].use);
            else
                assert_string_equal(o.server_reason.code, "tls-cert-use");
            SSL_free(client);
            SSL_free(server);
            pki_tls_server_unref(s);
        }
        SSL_CTX_free(ctx);
    }
}

/* --- cross-certification: our CA (root) certifies theirs (other), whose own root we do not trust
 * --- */

static const char *join(const char *name, const char *a, const char *b)
{
    const char *file = fix_path(&fix, name);
    char text[8192];
    FILE *out = fopen(file, "w");
    const char *in[] = {a, b};
    for (size_t i = 0; i < 2; i++) {
        FILE *f = fopen(in[i], "r");
        size_t n = fread(text, 1, sizeof text, f);
        assert_int_equal(fwrite(text, 1, n, out), n);
        fclose(f);
    }
    fclose(out);
    return file;
}

static void check_cross(struct str permitted, unsigned uses, const char *code)
{
    const char *cross = fix_path(&fix, "cross.crt");
    struct pki_tls_server *s = new_server((struct pki_tls_options){0}, "theirs");
    struct reason why;
    check_err(pki_mint_cross(fix.root, fix.other, permitted, uses, 30, cross, &why), 0);
    struct pki_tls_client *c =
        new_client((struct pki_tls_options){.ca_pem = join("both.pem", fix.root_pem, cross)});
    check_client(c, s, code, CERT_UNCHECKED);
    pki_tls_client_unref(c);
    if (!code) { /* their root is not trusted for itself, and our CA can take its word back */
        c = new_client((struct pki_tls_options){0});
        check_client(c, s, "tls-cert-unknown-issuer", 0);
        pki_tls_client_unref(c);
        const char *crl = fix_path(&fix, "cross.crl");
        unlink(crl);
        check_err(pki_mint_crl(fix.root, &cross, 1, 7, crl, &why), 0);
        c = new_client((struct pki_tls_options){.ca_pem = fix_path(&fix, "both.pem"),
                                                .revocation = PKI_REVOCATION_SOFT,
                                                .crl_pem = crl});
        check_client(c, s, "tls-cert-revoked", 0);
        pki_tls_client_unref(c);
    }
    pki_tls_server_unref(s);
}

static void test_cross(void **state)
{
    (void)state;
    fix_cert(&fix, fix.other, "theirs", "a.example", 0);
    check_cross(STR_NULL, 0, NULL);
    check_cross(STR("a.example"), PKI_MINT_SERVER, NULL);
    check_cross(STR("b.example"), 0, "tls-cert-invalid"); /* not certified for this domain */
    check_cross(STR_NULL, PKI_MINT_OTHER, "tls-cert-use");
}

/* --- certificates of signed identities (chain.h): RFC 8224 6.2.2 --- */

static unsigned n_told;

static void on_told(void *arg)
{
    (void)arg;
    n_told++;
}

static struct pki_chain *judge(enum pki_revocation r, struct pki_statuses *s, int err,
                               const char *code)
{
    static char text[16384];
    struct pki_anchors *anchors;
    struct pki_chain *c = NULL;
    struct reason why = {.code = NULL};
    FILE *f = fopen(fix_path(&fix, "leaf.crt"), "r");
    size_t n;

    assert_non_null(f);
    n = fread(text, 1, sizeof(text), f);
    fclose(f);
    check_err(
        pki_anchors_new(fix.root_pem, r == PKI_REVOCATION_OFF ? NULL : root_crl, &anchors, &why),
        0);
    pki_anchors_set_revocation(anchors, r, s);
    assert_int_equal(pki_anchors_look(anchors), r != PKI_REVOCATION_OFF);
    check_err(pki_chain_new(str_make(text, n), anchors, (uint64_t)time(NULL), &c, &why), err);
    if (code) {
        assert_string_equal(why.code, code);
        assert_int_equal(why.sip_status, 437);
    }
    pki_anchors_unref(anchors);
    return c;
}

static void test_identities(void **state)
{
    struct pki_statuses *s = new_statuses();
    struct reason why;
    struct pki_chain *c;

    (void)state;
    n_told = 0;
    pki_statuses_on_answer(s, on_told, NULL);
    /* Off: nobody looks, nobody is asked. */
    c = judge(PKI_REVOCATION_OFF, s, 0, NULL);
    assert_int_equal(pki_chain_facts(c)->standing, CERT_UNCHECKED);
    pki_chain_unref(c);
    assert_int_equal(n_asked, 0);
    /* Nobody has said anything yet. */
    assert_null(judge(PKI_REVOCATION_HARD, s, ERR_AGAIN, "identity-cert-status-unknown"));
    c = judge(PKI_REVOCATION_SOFT, s, 0, NULL);
    assert_int_equal(pki_chain_facts(c)->standing, CERT_UNKNOWN);
    assert_true(pki_chain_facts(c)->is_asked && pki_chain_facts(c)->doubt);
    pki_chain_unref(c);
    give_answer("leaf", V_OCSP_CERTSTATUS_GOOD); /* one question for both */
    assert_int_equal(n_told, 1);
    c = judge(PKI_REVOCATION_HARD, s, 0, NULL);
    assert_int_equal(pki_chain_facts(c)->standing, CERT_GOOD);
    assert_false(pki_chain_facts(c)->is_asked);
    pki_chain_unref(c);
    pki_statuses_unref(s);
    /* A responder that does not answer. */
    s = new_statuses();
    pki_statuses_on_answer(s, on_told, NULL);
    assert_null(judge(PKI_REVOCATION_HARD, s, ERR_AGAIN, NULL));
    assert_int_equal(n_asked, 1);
    n_asked = 0;
    reason_set(&why, "http-failed", NULL, 0, "nobody there");
    pki_question_fail(asked[0], &why);
    assert_int_equal(n_told, 2);
    assert_null(judge(PKI_REVOCATION_HARD, s, ERR_REFUSED, "identity-cert-status-unknown"));
    c = judge(PKI_REVOCATION_SOFT, s, 0, NULL);
    assert_false(pki_chain_facts(c)->is_asked);
    pki_chain_unref(c);
    assert_int_equal(n_asked, 0); /* for a while */
    pki_statuses_unref(s);
    /* Revoked is revoked. */
    s = new_statuses();
    pki_statuses_on_answer(s, on_told, NULL);
    pki_statuses_on_answer(s, NULL, NULL);
    pki_chain_unref(judge(PKI_REVOCATION_SOFT, s, 0, NULL));
    give_answer("leaf", V_OCSP_CERTSTATUS_REVOKED);
    assert_int_equal(n_told, 2);
    assert_null(judge(PKI_REVOCATION_SOFT, s, ERR_REFUSED, "identity-cert-revoked"));
    assert_null(judge(PKI_REVOCATION_HARD, s, ERR_REFUSED, "identity-cert-revoked"));
    pki_chain_unref(judge(PKI_REVOCATION_OFF, s, 0, NULL));
    pki_statuses_unref(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_identities),  cmocka_unit_test(test_stapled),
        cmocka_unit_test(test_asked),       cmocka_unit_test(test_must_staple),
        cmocka_unit_test(test_bad_staples), cmocka_unit_test(test_seen_later),
        cmocka_unit_test(test_clients),     cmocka_unit_test(test_crl_policy),
        cmocka_unit_test(test_crl_forged),  cmocka_unit_test(test_crl_der),
        cmocka_unit_test(test_ends),        cmocka_unit_test(test_client_usage),
        cmocka_unit_test(test_cross),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}

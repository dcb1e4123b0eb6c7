/* Handshakes between our own contexts: RFC 5922 7.3, 7.4, 7.8, RFC 5924 5, RFC 9325, and what a
 * refusal says. */
#include "base/err.h"
#include "check.h"
#include "fixture.h"
#include <openssl/err.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

static struct fix fix;

static int setup(void **state)
{
    (void)state;
    fix_init(&fix);
    fix_cert(&fix, fix.root, "a", "a.example", PKI_MINT_SERVER);
    fix_cert(&fix, fix.root, "b", "b.example", PKI_MINT_SERVER);
    fix_cert(&fix, fix.root, "client", "client.example", PKI_MINT_CLIENT);
    fix_cert(&fix, fix.other, "stranger", "client.example", PKI_MINT_CLIENT);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    fix_done(&fix);
    return 0;
}

static struct pki_tls_server *new_server(struct pki_tls_options o, const char *name,
                                         const char *domain)
{
    struct pki_tls_identity id = fix_identity(&fix, name, domain);
    struct pki_tls_server *s;
    struct reason why;
    if (!o.identities) {
        o.identities = &id;
        o.n_identities = 1;
    }
    if (pki_tls_server_new(&o, &s, &why) != 0)
        fail_msg("server %s: %s %s", name, why.code, why.detail);
    return s;
}

static struct pki_tls_client *new_client(struct pki_tls_options o, const char *name)
{
    struct pki_tls_identity id = {0};
    struct pki_tls_client *c;
    struct reason why;
    if (name) {
        id = fix_identity(&fix, name, NULL);
        o.identities = &id;
        o.n_identities = 1;
    }
    if (!o.ca_pem)
        o.ca_pem = fix.root_pem;
    if (pki_tls_client_new(&o, &c, &why) != 0)
        fail_msg("client: %s %s", why.code, why.detail);
    return c;
}

static void check_ok(struct outcome o)
{
    if (!o.client_ok)
        fail_msg("client: %s %s", o.client_reason.code, o.client_reason.detail);
    if (!o.server_ok)
        fail_msg("server: %s %s", o.server_reason.code, o.server_reason.detail);
}

static int first_version = TLS1_2_VERSION;

/* The server shows the certificate `name`; what does a client that asks for `domain` say? NULL: it
 * is content. */
static void check_server_cert(const char *name, const char *domain, const char *code,
                              const char *in_detail)
{
    SSL *server = NULL;
    struct pki_tls_identity id = fix_identity(&fix, name, "");
    struct pki_tls_client *c = new_client((struct pki_tls_options){0}, NULL);
    /* A server of ours would not load most of these, so a bare one shows them. */
    SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
    SSL_CTX_set_security_level(ctx, 0);
    assert_int_equal(SSL_CTX_use_certificate_chain_file(ctx, id.cert_pem), 1);
    assert_int_equal(SSL_CTX_use_PrivateKey_file(ctx, id.key_pem, SSL_FILETYPE_PEM), 1);
    for (int version = first_version; version <= TLS1_3_VERSION; version++) {
        server = SSL_new(ctx);
        SSL_set_accept_state(server);
        SSL_set_max_proto_version(server, version);
        SSL *client = pki_tls_client_ssl(c, str_z(domain));
        struct outcome o = shake(client, server);
        if (!code) {
            if (!o.client_ok)
                fail_msg("%s: %s %s", name, o.client_reason.code, o.client_reason.detail);
            assert_true(pki_peer_is_verified(client));
        } else {
            if (o.client_ok)
                fail_msg("%s: accepted", name);
            if (strcmp(o.client_reason.code, code) != 0 ||
                !strstr(o.client_reason.detail, in_detail))
                fail_msg("%s: %s %s", name, o.client_reason.code, o.client_reason.detail);
            assert_false(o.server_ok);
        }
        SSL_free(client);
        SSL_free(server);
    }
    SSL_CTX_free(ctx);
    pki_tls_client_unref(c);
}

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

static void test_server_names(void **state)
{
    (void)state;
    const struct {
        const char *name, *code, *in_detail;
        struct pki_mint_args args;
    } cases[] = {
        {"uri", NULL, NULL, {SANS(URI("sip:a.example"))}},
        {"uri-case", NULL, NULL, {SANS(URI("SIP:A.eXample:5061;transport=tls"))}},
        {"dns", NULL, NULL, {SANS(DNS("x.example"), DNS("A.example"))}},
        {"cn", NULL, NULL, {.cn = STR("a.example")}},
        {"wrong",
         "tls-cert-name",
         "expected a.example, presented URI:sip:b.example: another name",
         {SANS(URI("sip:b.example"))}},
        {"suffix", "tls-cert-name", "DNS:example", {SANS(DNS("example"))}},
        {"below", "tls-cert-name", "DNS:x.a.example", {SANS(DNS("x.a.example"))}},
        {"wildcard", "tls-cert-name", "DNS:*.example", {SANS(DNS("*.example"))}},
        {"nul-dns",
         "tls-cert-name",
         "DNS:a.example?.evil.test",
         {SANS(DNS("a.example\0.evil.test"))}},
        {"nul-uri",
         "tls-cert-name",
         "URI:sip:a.example?.evil",
         {SANS(URI("sip:a.example\0.evil.test"))}},
        {"user", "tls-cert-name", "URI:sip:bob@a.example", {SANS(URI("sip:bob@a.example"))}},
        {"sips", "tls-cert-name", "URI:sips:a.example", {SANS(URI("sips:a.example"))}},
        /* 7.1: DNS only without URI, CN only without any subjectAltName */
        {"uri-beats-dns",
         "tls-cert-name",
         "URI:sip:b.example, DNS:a.example",
         {SANS(URI("sip:b.example"), DNS("a.example"))}},
        {"san-beats-cn",
         "tls-cert-name",
         "DNS:b.example, CN=a.example",
         {SANS(DNS("b.example")), .cn = STR("a.example")}},
        {"email-beats-cn",
         "tls-cert-name",
         "CN=a.example",
         {SANS({PKI_MINT_EMAIL, STR("a@a.example")}), .cn = STR("a.example")}},
        {"nothing", "tls-cert-name", "presented no name", {.n_sans = 0}},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        fix_cert_full(&fix, fix.root, cases[i].name, cases[i].args);
        check_server_cert(cases[i].name, "a.example", cases[i].code, cases[i].in_detail);
    }
    check_server_cert("uri", "A.EXAMPLE", NULL, NULL);
    check_server_cert("uri", "a.example.", NULL, NULL);
    check_server_cert("uri", "", "tls-cert-name", "expected , presented");
    fix_cert_full(&fix, fix.root, "address",
                  (struct pki_mint_args){SANS(URI("sip:192.0.2.1"), URI("sip:[2001:DB8::1]"))});
    check_server_cert("address", "192.0.2.1", NULL, NULL);
    check_server_cert("address", "2001:db8:0::1", NULL, NULL);
    check_server_cert("address", "192.0.2.10", "tls-cert-name", "expected 192.0.2.10");
}

static void test_server_uses(void **state)
{
    (void)state;
    const struct {
        const char *name, *code;
        unsigned uses;
    } cases[] = {
        {"use-none", NULL, 0},
        {"use-server", NULL, PKI_MINT_SERVER},
        {"use-sip", NULL, PKI_MINT_SIP},
        {"use-any", NULL, PKI_MINT_ANY},
        {"use-other-sip", NULL, PKI_MINT_OTHER | PKI_MINT_SIP},
        {"use-client", "tls-cert-use", PKI_MINT_CLIENT},
        {"use-other", "tls-cert-use", PKI_MINT_OTHER},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        fix_cert(&fix, fix.root, cases[i].name, "a.example", cases[i].uses);
        check_server_cert(cases[i].name, "a.example", cases[i].code, "");
    }
}

/* An intermediate that may issue for other uses only, and a certificate whose key may not sign a
 * handshake. */
static void test_issuer_uses(void **state)
{
    (void)state;
    static const struct {
        unsigned uses;
        const char *code;
    } cases[] = {{PKI_MINT_OTHER, "tls-cert-use"},
                 {PKI_MINT_SERVER | PKI_MINT_OTHER, NULL},
                 {PKI_MINT_SIP, NULL}};
    struct pki_mint_ca *ca;
    struct reason why;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        const struct pki_mint_ca_args args = {
            .cn = STR("Narrow"), .days = 9, .parent = fix.root, .uses = cases[i].uses};
        assert_int_equal(pki_mint_ca_new(&args, &ca, &why), 0);
        fix_cert(&fix, ca, "narrow", "a.example", 0);
        check_server_cert("narrow", "a.example", cases[i].code, "(an issuer)");
        pki_mint_ca_free(ca);
    }
    const struct pki_mint_ca_args args = {.cn = STR("a.example"), .days = 9, .parent = fix.root};
    assert_int_equal(pki_mint_ca_new(&args, &ca, &why), 0);
    assert_int_equal(
        pki_mint_ca_save(ca, fix_path(&fix, "ca-leaf.crt"), fix_path(&fix, "ca-leaf.key"), &why),
        0);
    pki_mint_ca_free(ca);
    first_version = TLS1_3_VERSION; /* OpenSSL does not even show it in TLS 1.2 */
    check_server_cert("ca-leaf", "a.example", "tls-cert-use", "expected a.example");
    first_version = TLS1_2_VERSION;
}

static void test_server_chains(void **state)
{
    (void)state;
    const struct str a = STR("a.example");
    int64_t now = (int64_t)time(NULL);
    fix_cert_full(&fix, fix.root, "expired",
                  (struct pki_mint_args){
                      .domains = &a, .n_domains = 1, .not_before = now - 3 * 86400, .days = 2});
    check_server_cert("expired", "a.example", "tls-cert-expired", "certificate has expired");
    fix_cert_full(
        &fix, fix.root, "early",
        (struct pki_mint_args){.domains = &a, .n_domains = 1, .not_before = now + 3600, .days = 2});
    check_server_cert("early", "a.example", "tls-cert-not-yet-valid", "not yet valid");
    fix_cert(&fix, fix.other, "other", "a.example", 0);
    check_server_cert("other", "a.example", "tls-cert-unknown-issuer",
                      "expected a.example, presented URI:sip:a.example");
    fix_cert(&fix, NULL, "self", "a.example", 0);
    check_server_cert("self", "a.example", "tls-cert-self-signed", "self");
    fix_cert(&fix, fix.inter, "deep", "a.example", 0);
    check_server_cert("deep", "a.example", NULL, NULL);
    /* the intermediate is left out: nothing but the leaf is written */
    struct pki_mint_args leaf_only = {.domains = &a, .n_domains = 1};
    fix_cert_full(&fix, fix.inter, "gap", leaf_only);
    FILE *f = fopen(fix_path(&fix, "gap.crt"), "r+");
    char text[4096] = "";
    text[fread(text, 1, sizeof(text) - 1, f)] = '\0';
    long end = strstr(text, "-----END CERTIFICATE-----") - text + 26;
    assert_int_equal(ftruncate(fileno(f), end), 0);
    fclose(f);
    check_server_cert("gap", "a.example", "tls-cert-unknown-issuer", "local issuer");
    /* a CA fenced to a.example may not speak for b.example, as a DNS name or as a URI (which RFC
     * 5280 would let pass) */
    fix_cert(&fix, fix.fenced, "fenced-good", "a.example", 0);
    check_server_cert("fenced-good", "a.example", NULL, NULL);
    fix_cert_full(&fix, fix.fenced, "fenced-uri",
                  (struct pki_mint_args){SANS(URI("sip:b.example"))});
    check_server_cert("fenced-uri", "b.example", "tls-cert-invalid", "permitted subtree violation");
    fix_cert_full(&fix, fix.fenced, "fenced-dns", (struct pki_mint_args){SANS(DNS("b.example"))});
    check_server_cert("fenced-dns", "b.example", "tls-cert-invalid", "permitted subtree violation");
    fix_cert_full(&fix, fix.fenced, "fenced-sub",
                  (struct pki_mint_args){SANS(URI("sip:x.a.example"))});
    check_server_cert("fenced-sub", "x.a.example", NULL, NULL);
    fix_cert_full(&fix, fix.fenced, "fenced-like",
                  (struct pki_mint_args){SANS(URI("sip:xa.example"))});
    check_server_cert("fenced-like", "xa.example", "tls-cert-invalid",
                      "permitted subtree violation");
}

static void test_pinned(void **state)
{
    (void)state;
    /* a peer's own self-signed certificate as the anchor for that peer */
    fix_cert(&fix, NULL, "pinned", "a.example", 0);
    struct pki_tls_server *s = new_server((struct pki_tls_options){0}, "pinned", "a.example");
    char pem[FIX_PATH];
    strcpy(pem, fix_path(&fix, "pinned.crt"));
    struct pki_tls_client *c = new_client((struct pki_tls_options){.ca_pem = pem}, NULL);
    check_ok(shake_contexts(c, "a.example", s));
    struct outcome o = shake_contexts(c, "b.example", s);
    assert_false(o.client_ok);
    assert_string_equal(o.client_reason.code, "tls-cert-name");
    pki_tls_client_unref(c);
    pki_tls_server_unref(s);
}

static void test_insecure_says_so(void **state)
{
    (void)state;
    fix_cert(&fix, NULL, "selfsigned", "a.example", 0);
    struct pki_tls_server *bad = new_server((struct pki_tls_options){0}, "selfsigned", "a.example");
    struct pki_tls_server *good = new_server((struct pki_tls_options){0}, "a", "a.example");
    struct pki_tls_client *c =
        new_client((struct pki_tls_options){.insecure_no_verify = true}, NULL);
    struct {
        struct pki_tls_server *server;
        const char *name;
        bool is_verified;
    } cases[] = {{bad, "a.example", false}, {good, "a.example", true}, {good, "b.example", false}};
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        SSL *client = pki_tls_client_ssl(c, str_z(cases[i].name)),
            *server = pki_tls_server_ssl(cases[i].server);
        check_ok(shake(client, server));
        assert_int_equal(pki_peer_is_verified(client), cases[i].is_verified);
        assert_false(pki_peer_is_verified(server));
        SSL_free(client);
        SSL_free(server);
    }
    pki_tls_client_unref(c);
    pki_tls_server_unref(bad);
    pki_tls_server_unref(good);
}

/* --- every SNI domain with every policy, every kind of client, both versions --- */

static const struct {
    const char *sni, *shown;
} sni_cases[] = {
    {"a.example", "a.example"},     {"b.example", "b.example"},       {"B.EXAMPLE", "b.example"},
    {"sip.b.example", "b.example"}, {"unknown.example", "a.example"}, {"", "a.example"},
};

static void check_cell(struct pki_tls_server *s, struct pki_tls_client *c, const char *sni,
                       const char *shown, int version, const char *server_code, bool is_verified)
{
    SSL *client = pki_tls_client_ssl(c, str_z(sni)), *server = pki_tls_server_ssl(s);
    SSL_set_max_proto_version(client, version);
    struct outcome o = shake(client, server);
    if (server_code) {
        if (o.server_ok || o.client_ok)
            fail_msg("SNI '%s': accepted instead of %s", sni, server_code);
        if (strcmp(o.server_reason.code, server_code) != 0)
            fail_msg("SNI '%s': %s %s", sni, o.server_reason.code, o.server_reason.detail);
        assert_string_equal(o.client_reason.code, "tls-alert");
    } else {
        check_ok(o);
        struct arena *arena = arena_new(4096, 4096);
        struct str names[PKI_NAMES_MAX];
        assert_true(pki_peer_names(client, arena, names) >= 1);
        assert_string_equal(names[0].p, shown);
        assert_int_equal(pki_peer_is_verified(server), is_verified);
        assert_int_equal(pki_peer_names(server, arena, names), is_verified ? 1 : 0);
        if (is_verified)
            assert_string_equal(names[0].p, "client.example");
        arena_free(arena);
    }
    SSL_free(client);
    SSL_free(server);
}

static void test_sni_and_client_certs(void **state)
{
    (void)state;
    fix_cert_full(&fix, fix.root, "b2",
                  (struct pki_mint_args){SANS(URI("sip:b.example"), URI("sip:sip.b.example"))});
    struct pki_tls_identity ids[] = {fix_identity(&fix, "a", "a.example"),
                                     fix_identity(&fix, "b2", "b.example")};
    static const char *const codes[3][3] = {
        /* no certificate, a good one, one of a stranger */
        [PKI_CLIENT_CERT_NONE] = {NULL, NULL, NULL},
        [PKI_CLIENT_CERT_ASK] = {NULL, NULL, "tls-cert-unknown-issuer"},
        [PKI_CLIENT_CERT_REQUIRE] = {"tls-cert-missing", NULL, "tls-cert-unknown-issuer"},
    };
    static const char *const clients[] = {NULL, "client", "stranger"};
    for (int policy = PKI_CLIENT_CERT_NONE; policy <= PKI_CLIENT_CERT_REQUIRE; policy++) {
        struct pki_tls_server *s =
            new_server((struct pki_tls_options){.identities = ids,
                                                .n_identities = 2,
                                                .ca_pem = fix.root_pem,
                                                .client_cert = (enum pki_client_cert)policy},
                       NULL, NULL);
        for (size_t k = 0; k < 3; k++) {
            /* unverified, so that the client also goes on where the name it asked for is not the
             * one shown */
            struct pki_tls_client *c =
                new_client((struct pki_tls_options){.insecure_no_verify = true}, clients[k]);
            for (size_t i = 0; i < ARRAY_LEN(sni_cases); i++)
                for (int version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++)
                    check_cell(s, c, sni_cases[i].sni, sni_cases[i].shown, version,
                               codes[policy][k], policy != PKI_CLIENT_CERT_NONE && k == 1);
            pki_tls_client_unref(c);
        }
        pki_tls_server_unref(s);
    }
}

static void test_client_uses(void **state)
{
    (void)state;
    const struct {
        unsigned uses;
        bool ok;
    } cases[] = {{0, true},
                 {PKI_MINT_CLIENT, true},
                 {PKI_MINT_SERVER, true},
                 {PKI_MINT_SIP, true},
                 {PKI_MINT_ANY, true},
                 {PKI_MINT_OTHER, false}};
    struct pki_tls_server *s = new_server(
        (struct pki_tls_options){.ca_pem = fix.root_pem, .client_cert = PKI_CLIENT_CERT_REQUIRE},
        "a", "a.example");
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        fix_cert(&fix, fix.root, "cuse", "client.example", cases[i].uses);
        struct pki_tls_identity id = fix_identity(&fix, "cuse", "");
        SSL_CTX *ctx =
            SSL_CTX_new(TLS_client_method()); /* ours would not load what is not for clients */
        assert_int_equal(SSL_CTX_use_certificate_chain_file(ctx, id.cert_pem), 1);
        assert_int_equal(SSL_CTX_use_PrivateKey_file(ctx, id.key_pem, SSL_FILETYPE_PEM), 1);
        SSL *client = SSL_new(ctx), *server = pki_tls_server_ssl(s);
        SSL_set_connect_state(client);
        struct outcome o = shake(client, server);
        assert_int_equal(o.server_ok, cases[i].ok);
        if (!cases[i].ok)
            assert_string_equal(o.server_reason.code, "tls-cert-use");
        SSL_free(client);
        SSL_free(server);
        SSL_CTX_free(ctx);
    }
    pki_tls_server_unref(s);
}

/* --- versions, suites, resumption --- */

static struct outcome shake_bare(struct pki_tls_server *s, int version, const char *ciphers)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    SSL_CTX_set_security_level(ctx, 0);
    SSL_CTX_set_min_proto_version(ctx, TLS1_VERSION);
    SSL_CTX_set_max_proto_version(ctx, version);
    if (ciphers)
        assert_int_equal(SSL_CTX_set_cipher_list(ctx, ciphers), 1);
    SSL *client = SSL_new(ctx), *server = pki_tls_server_ssl(s);
    SSL_set_connect_state(client);
    struct outcome o = shake(client, server);
    SSL_free(client);
    SSL_free(server);
    SSL_CTX_free(ctx);
    return o;
}

static void test_floor(void **state)
{
    (void)state;
    struct pki_tls_server *s = new_server((struct pki_tls_options){0}, "a", "a.example");
    struct outcome o = shake_bare(s, TLS1_1_VERSION, NULL);
    assert_false(o.server_ok);
    assert_string_equal(o.server_reason.code, "tls-version");
    check_ok(shake_bare(s, TLS1_2_VERSION, NULL));
    check_ok(shake_bare(s, TLS1_2_VERSION, "ECDHE-ECDSA-AES128-GCM-SHA256"));
    static const char *const weak[] = {"ECDHE-ECDSA-AES128-SHA", "ECDHE-ECDSA-AES256-SHA384",
                                       "aNULL", "AES128-GCM-SHA256"};
    for (size_t i = 0; i < ARRAY_LEN(weak); i++) {
        o = shake_bare(s, TLS1_2_VERSION, weak[i]);
        assert_false(o.server_ok);
        assert_string_equal(o.server_reason.code, "tls-no-common-suite");
    }
    pki_tls_server_unref(s);
    s = new_server((struct pki_tls_options){.min_version = 13}, "a", "a.example");
    o = shake_bare(s, TLS1_2_VERSION, NULL);
    assert_false(o.server_ok);
    assert_string_equal(o.server_reason.code, "tls-version");
    assert_string_equal(o.client_reason.code, "tls-version");
    check_ok(shake_bare(s, TLS1_3_VERSION, NULL));
    pki_tls_server_unref(s);
}

static void test_not_tls(void **state)
{
    (void)state;
    struct pki_tls_server *s = new_server((struct pki_tls_options){0}, "a", "a.example");
    static const char *const junk[] = {"OPTIONS sip:a.example SIP/2.0\r\n\r\n",
                                       "GET / HTTP/1.1\r\n\r\n"};
    for (size_t i = 0; i < ARRAY_LEN(junk); i++) {
        SSL *server = pki_tls_server_ssl(s);
        BIO *in = BIO_new_mem_buf(junk[i], -1);
        SSL_set_bio(server, in, BIO_new(BIO_s_mem()));
        ERR_clear_error();
        assert_int_equal(SSL_do_handshake(server), -1);
        struct reason why;
        pki_tls_ssl_reason(server, &why);
        assert_string_equal(why.code, "tls-not-tls");
        SSL_free(server);
    }
    SSL *server = pki_tls_server_ssl(s);
    ERR_clear_error();
    struct reason why;
    pki_tls_ssl_reason(server, &why);
    assert_string_equal(why.code, "tls-closed");
    SSL_free(server);
    pki_tls_server_unref(s);
}

static SSL_SESSION *kept;
static unsigned n_tickets;

static int keep_session(SSL *ssl, SSL_SESSION *session)
{
    (void)ssl;
    n_tickets += SSL_SESSION_has_ticket(session) != 0;
    SSL_SESSION_free(kept);
    kept = session;
    return 1;
}

/* A bare client that would resume if it was let; returns whether the second handshake was a
 * resumption. */
static bool resumes(struct pki_tls_server *s, int version, const char *cert)
{
    struct pki_tls_identity id = fix_identity(&fix, cert, "");
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    SSL_CTX_set_max_proto_version(ctx, version);
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_sess_set_new_cb(ctx, keep_session);
    assert_int_equal(SSL_CTX_use_certificate_chain_file(ctx, id.cert_pem), 1);
    assert_int_equal(SSL_CTX_use_PrivateKey_file(ctx, id.key_pem, SSL_FILETYPE_PEM), 1);
    bool reused = false;
    n_tickets = 0;
    char sni[] = "a.example";
    for (int i = 0; i < 2; i++) {
        SSL *client = SSL_new(ctx), *server = pki_tls_server_ssl(s);
        SSL_set_connect_state(client);
        SSL_set_tlsext_host_name(client, sni);
        if (kept)
            SSL_set_session(client, kept);
        check_ok(shake(client, server));
        reused = SSL_session_reused(server);
        /* resumed or not: the client is who it was */
        assert_true(pki_peer_is_verified(server));
        struct arena *arena = arena_new(4096, 4096);
        struct str names[PKI_NAMES_MAX];
        assert_int_equal(pki_peer_names(server, arena, names), 1);
        assert_string_equal(names[0].p, "client.example");
        arena_free(arena);
        SSL_shutdown(client);
        SSL_free(client);
        SSL_free(server);
    }
    SSL_SESSION_free(kept);
    kept = NULL;
    SSL_CTX_free(ctx);
    return reused;
}

static void test_resumption(void **state)
{
    (void)state;
    struct pki_tls_options o = {.ca_pem = fix.root_pem, .client_cert = PKI_CLIENT_CERT_REQUIRE};
    struct pki_tls_server *s = new_server(o, "a", "a.example");
    assert_false(resumes(s, TLS1_2_VERSION, "client"));
    assert_int_equal(n_tickets, 0);
    assert_false(resumes(s, TLS1_3_VERSION, "client"));
    assert_int_equal(n_tickets, 0);
    pki_tls_server_unref(s);
    o.session_tickets = 1;
    s = new_server(o, "a", "a.example");
    assert_false(resumes(s, TLS1_2_VERSION, "client"));
    assert_int_equal(n_tickets, 0);
    assert_true(resumes(s, TLS1_3_VERSION, "client"));
    assert_int_equal(n_tickets, 2); /* one of each handshake */
    pki_tls_server_unref(s);
}

/* --- revocation --- */

static void test_crl(void **state)
{
    (void)state;
    fix_cert(&fix, fix.inter, "good", "client.example", 0);
    fix_cert(&fix, fix.inter, "revoked", "client.example", 0);
    const char *revoked[] = {fix_path(&fix, "revoked.crt")};
    char both[FIX_PATH], half[FIX_PATH], lower[FIX_PATH];
    struct reason why;
    strcpy(both, fix_path(&fix, "both.crl"));
    strcpy(half, fix_path(&fix, "half.crl"));
    strcpy(lower, fix_path(&fix, "lower.crl"));
    assert_int_equal(pki_mint_crl(fix.root, NULL, 0, 7, both, &why), 0);
    assert_int_equal(pki_mint_crl(fix.inter, revoked, 1, 7, both, &why), 0);
    assert_int_equal(pki_mint_crl(fix.root, NULL, 0, 7, half, &why), 0);
    assert_int_equal(pki_mint_crl(fix.inter, revoked, 1, 7, lower, &why), 0);
    const struct {
        const char *crl, *client, *code;
    } cases[] = {
        {both, "good", NULL},
        {both, "revoked", "tls-cert-revoked"},
        {half, "good", "tls-cert-no-crl"},  /* hard fail: nothing current is known of the
                                               intermediate's certificates */
        {lower, "good", "tls-cert-no-crl"}, /* nor of the intermediate itself */
        {NULL, "good", "tls-cert-status-unknown"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct pki_tls_server *s =
            new_server((struct pki_tls_options){.ca_pem = fix.root_pem,
                                                .revocation = PKI_REVOCATION_HARD,
                                                .crl_pem = cases[i].crl,
                                                .client_cert = PKI_CLIENT_CERT_REQUIRE},
                       "a", "a.example");
        struct pki_tls_client *c = new_client((struct pki_tls_options){0}, cases[i].client);
        struct outcome o = shake_contexts(c, "a.example", s);
        assert_int_equal(o.server_ok, cases[i].code == NULL);
        if (cases[i].code)
            assert_string_equal(o.server_reason.code, cases[i].code);
        pki_tls_client_unref(c);
        pki_tls_server_unref(s);
    }
}

/* A refusal by the other side is told with the name we wanted. */
static void test_refused_by_peer(void **state)
{
    (void)state;
    struct pki_tls_server *s = new_server(
        (struct pki_tls_options){.ca_pem = fix.root_pem, .client_cert = PKI_CLIENT_CERT_REQUIRE},
        "a", "a.example");
    struct pki_tls_client *c = new_client((struct pki_tls_options){0}, "stranger");
    struct outcome o = shake_contexts(c, "a.example", s);
    assert_false(o.client_ok);
    assert_string_equal(o.client_reason.code, "tls-alert");
    assert_non_null(strstr(o.client_reason.detail, "expected a.example: the other side refused: "));
    assert_non_null(strstr(o.server_reason.detail, "presented URI:sip:client.example"));
    pki_tls_client_unref(c);
    pki_tls_server_unref(s);
}

/* TR/100 9: the anchors of a listener may be those of many; whose name counts by whose CA is asked apart. */
static void test_vouches(void **state)
{
    (void)state;
    fix_cert(&fix, fix.inter, "below", "client.example", PKI_MINT_CLIENT);
    fix_cert(&fix, fix.fenced, "fenced", "client.example", PKI_MINT_CLIENT);
    const char *anchors[] = {fix.root_pem, fix_path(&fix, "other-ca.crt")};
    struct reason saved;
    check_err(pki_mint_ca_save(fix.other, anchors[1], NULL, &saved), 0);
    struct pki_tls_server *s =
        new_server((struct pki_tls_options){.more_ca_pem = anchors,
                                            .n_more_ca_pem = 2,
                                            .client_cert = PKI_CLIENT_CERT_ASK},
                   "a", "a.example");
    struct pki_tls_client *root = new_client((struct pki_tls_options){0}, NULL);
    struct pki_tls_client *other =
        new_client((struct pki_tls_options){.ca_pem = anchors[1]}, NULL);
    assert_int_not_equal(pki_tls_client_serial(root), pki_tls_client_serial(other));
    static const struct {
        const char *cert;
        bool accepted;
        const char *by_root, *by_other; /* code; NULL: vouched for */
    } cases[] = {
        {"client", true, NULL, "tls-cert-unknown-issuer"},
        {"below", true, NULL, "tls-cert-unknown-issuer"}, /* by the chain that was shown */
        {"stranger", true, "tls-cert-unknown-issuer", NULL},
        {"fenced", false, "tls-cert-invalid", "tls-cert-unknown-issuer"},
        {NULL, true, "tls-cert-missing", "tls-cert-missing"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        for (int version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
            struct pki_tls_client *c = new_client((struct pki_tls_options){0}, cases[i].cert);
            SSL *client = pki_tls_client_ssl(c, STR("a.example")), *server = pki_tls_server_ssl(s);
            SSL_set_max_proto_version(client, version);
            struct outcome o = shake(client, server);
            if (o.server_ok != cases[i].accepted)
                fail_msg("%s: %s %s", cases[i].cert, o.server_reason.code, o.server_reason.detail);
            for (int k = 0; o.server_ok && k < 2; k++) {
                const char *code = k ? cases[i].by_other : cases[i].by_root;
                struct reason why = {0};
                int err = pki_tls_client_vouches(k ? other : root, server, &why);
                check_err(err, code ? ERR_REFUSED : 0);
                if (code)
                    assert_string_equal(why.code, code);
                assert_int_equal(ERR_peek_error(), 0);
            }
            SSL_free(client);
            SSL_free(server);
            pki_tls_client_unref(c);
        }
    }
    pki_tls_client_unref(root);
    pki_tls_client_unref(other);
    pki_tls_server_unref(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_server_names),
        cmocka_unit_test(test_server_uses),
        cmocka_unit_test(test_server_chains),
        cmocka_unit_test(test_issuer_uses),
        cmocka_unit_test(test_pinned),
        cmocka_unit_test(test_insecure_says_so),
        cmocka_unit_test(test_sni_and_client_certs),
        cmocka_unit_test(test_client_uses),
        cmocka_unit_test(test_floor),
        cmocka_unit_test(test_not_tls),
        cmocka_unit_test(test_resumption),
        cmocka_unit_test(test_crl),
        cmocka_unit_test(test_refused_by_peer),
        cmocka_unit_test(test_vouches),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}

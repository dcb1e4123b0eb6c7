/* TLS by keys that the keeper has (pki/signing.h, keeper/tls_keys.h): handshakes of both sides with
 * each kind of key, and everything that such a key does not sign. RFC 8446 4.4.3, RFC 5246 7.4.8,
 * RFC 8422 5.4. */
#include "check.h"

#include "base/mem.h"
#include "keeper/serve.h"
#include "oom.h"
#include "pki/mint.h"
#include "pki/tls.h"
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { P256, P384, RSA2048, ED, OTHER, N_KEYS };
static const char *const names[N_KEYS] = {"p256", "p384", "rsa", "ed", "other"};

static struct {
    char dir[64], cert[N_KEYS][128], key[N_KEYS][128], anchors[128];
    struct keeper_tls_keys *keys;
    uint64_t now_ms;
    unsigned n_asked;
    struct pki_sign_request last; /* what was asked last, in: */
    char last_key[PKI_KEY_NAME + 1], last_input[LIMIT_KEEPER_FRAME];
} t;

static EVP_PKEY *key_make(size_t i)
{
    switch (i) {
    case P384:
        return EVP_EC_gen("P-384");
    case RSA2048:
        return EVP_RSA_gen(2048);
    case ED:
        return EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
    default:
        return EVP_EC_gen("P-256");
    }
}

static void write_pair(size_t i)
{
    EVP_PKEY *key = key_make(i);
    X509 *x = X509_new();
    X509_NAME *name = X509_NAME_new();
    X509_EXTENSION *san = X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name, "DNS:a.example");
    FILE *f;

    assert_true(key && x && name && san);
    X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const uint8_t *)names[i], -1, -1, 0);
    X509_set_version(x, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(x), (long)i + 1);
    X509_gmtime_adj(X509_getm_notBefore(x), -3600);
    X509_gmtime_adj(X509_getm_notAfter(x), 86400);
    X509_set_subject_name(x, name);
    X509_set_issuer_name(x, name);
    X509_set_pubkey(x, key);
    X509_add_ext(x, san, -1);
    assert_true(X509_sign(x, key, i == ED ? NULL : EVP_sha256()) > 0);
    (void)snprintf(t.cert[i], sizeof(t.cert[i]), "%s/%s.crt", t.dir, names[i]);
    (void)snprintf(t.key[i], sizeof(t.key[i]), "%s/%s.key", t.dir, names[i]);
    f = fopen(t.cert[i], "w");
    assert_true(f && PEM_write_X509(f, x) == 1);
    fclose(f);
    f = fopen(t.anchors, "a");
    assert_true(f && PEM_write_X509(f, x) == 1);
    fclose(f);
    f = fopen(t.key[i], "w");
    assert_true(f && PEM_write_PrivateKey(f, key, NULL, NULL, 0, NULL, NULL) == 1);
    fclose(f);
    assert_int_equal(chmod(t.key[i], 0600), 0);
    X509_EXTENSION_free(san);
    X509_NAME_free(name);
    X509_free(x);
    EVP_PKEY_free(key);
}

static struct keeper_tls_args args_of(size_t i)
{
    return (struct keeper_tls_args){
        .name = str_z(names[i]), .cert_file = t.cert[i], .key = t.key[i], .as_server = true};
}

static int setup(void **state)
{
    struct keeper_tls_args args[N_KEYS];
    struct reason why = {.code = NULL};

    (void)state;
    (void)snprintf(t.dir, sizeof(t.dir), "/tmp/tlskeys.XXXXXX");
    assert_non_null(mkdtemp(t.dir));
    (void)snprintf(t.anchors, sizeof(t.anchors), "%s/anchors.pem", t.dir);
    for (size_t i = 0; i < N_KEYS; i++) {
        write_pair(i);
        args[i] = args_of(i);
    }
    if (keeper_tls_keys_new(args, OTHER, 0, NULL, &t.keys, &why) != 0)
        fail_msg("%s", why.detail);
    t.now_ms = 1000;
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    keeper_tls_keys_free(t.keys);
    for (size_t i = 0; i < N_KEYS; i++) {
        (void)unlink(t.cert[i]);
        (void)unlink(t.key[i]);
    }
    (void)unlink(t.anchors);
    (void)rmdir(t.dir);
    return 0;
}

/* --- handshakes --- */

static int wait_here(struct pki_signing *s, const struct pki_sign_request *r,
                     uint8_t ret[PKI_SIGNATURE_MAX], size_t *ret_n)
{
    struct reason why = {.code = NULL};
    struct str name;

    (void)s;
    t.n_asked++;
    assert_true(r->input.n <= sizeof(t.last_input));
    memcpy(t.last_input, r->input.p, r->input.n);
    check_err(str_copy_z(t.last_key, sizeof(t.last_key), r->key), 0);
    t.last = *r;
    t.last.key = str_z(t.last_key);
    t.last.input.p = t.last_input;
    if (keeper_tls_sign(t.keys, r, t.now_ms, ret, ret_n, &name, &why) == KEEPER_DONE)
        return 0;
    return ERR_REFUSED;
}

static bool step(SSL *ssl, bool *done)
{
    struct pki_signing signing = {.is_client = !SSL_is_server(ssl), .wait = wait_here, .ssl = ssl};
    int err;

    pki_signing_set(&signing);
    ERR_clear_error();
    err = SSL_do_handshake(ssl);
    pki_signing_set(NULL);
    *done = err == 1;
    return err == 1 || SSL_get_error(ssl, err) == SSL_ERROR_WANT_READ;
}

static bool shake(SSL *client, SSL *server)
{
    BIO *a, *b;
    bool c = false, s = false, ok = BIO_new_bio_pair(&a, 0, &b, 0) == 1;

    assert_true(ok && client && server);
    SSL_set_bio(client, a, a);
    SSL_set_bio(server, b, b);
    for (unsigned i = 0; ok && i < 20 && !(c && s); i++)
        ok = (c || step(client, &c)) && (s || step(server, &s));
    if (!ok)
        ERR_print_errors_fp(stderr);
    return ok && c && s;
}

static void shake_with(size_t i, int version, enum pki_sign_kind client_kind)
{
    struct pki_tls_identity id = {STR("a.example"), t.cert[i], NULL};
    struct pki_tls_options o = {.identities = &id,
                                .n_identities = 1,
                                .ca_pem = t.anchors,
                                .client_cert = PKI_CLIENT_CERT_REQUIRE,
                                .min_version = 12,
                                .remote_keys = true};
    struct reason why = {.code = NULL};
    struct pki_tls_server *s = NULL;
    struct pki_tls_client *c = NULL;
    SSL *server, *client;
    EVP_PKEY *key;
    char name[PKI_KEY_NAME + 1];

    if (pki_tls_server_new(&o, &s, &why) != 0 || pki_tls_client_new(&o, &c, &why) != 0)
        fail_msg("%s: %s", names[i], why.detail);
    server = pki_tls_server_ssl(s);
    client = pki_tls_client_ssl(c, STR("a.example"));
    assert_true(server && client && pki_ssl_asks(server) && pki_ssl_asks(client));
    SSL_set_max_proto_version(client, version);
    t.n_asked = 0;
    if (!shake(client, server))
        fail_msg("%s, TLS %x: no handshake", names[i], version);
    assert_int_equal(SSL_version(client), version);
    assert_int_equal(t.n_asked, 2);
    assert_int_equal(t.last.kind, client_kind);
    check_err(pki_cert_key_load(t.cert[i], &key, &why), 0);
    check_err(pki_key_name(key, name), 0);
    EVP_PKEY_free(key);
    assert_string_equal(t.last_key, name);
    SSL_free(client);
    SSL_free(server);
    pki_tls_server_unref(s);
    pki_tls_client_unref(c);
}

static void handshakes(void **state)
{
    (void)state;
    for (size_t i = 0; i < OTHER; i++) {
        shake_with(i, TLS1_3_VERSION, PKI_SIGN_TLS13_CLIENT);
        shake_with(i, TLS1_2_VERSION, PKI_SIGN_TLS12_CLIENT);
    }
}

/* Nobody to ask, or who says no: it fails as any handshake. */
static void refused_in_handshake(void **state)
{
    struct pki_tls_identity id = {STR("a.example"), t.cert[OTHER], NULL};
    struct pki_tls_options o = {
        .identities = &id, .n_identities = 1, .ca_pem = t.anchors, .remote_keys = true};
    struct reason why = {.code = NULL};
    struct pki_tls_server *s;
    struct pki_tls_client *c;
    SSL *server, *client;

    (void)state;
    check_err(pki_tls_server_new(&o, &s, &why), 0);
    check_err(pki_tls_client_new(&o, &c, &why), 0);
    server = pki_tls_server_ssl(s);
    client = pki_tls_client_ssl(c, STR("a.example"));
    assert_false(shake(client, server)); /* the keeper of this test does not have it */
    SSL_free(client);
    SSL_free(server);
    pki_tls_server_unref(s);
    pki_tls_client_unref(c);
    id.cert_pem = t.cert[RSA2048];
    o.ciphers12 = STR("AES128-GCM-SHA256"); /* RSA's key exchange decrypts */
    check_err(pki_tls_server_new(&o, &s, &why), ERR_REFUSED);
    assert_non_null(strstr(why.detail, "only signs"));
    ERR_clear_error();
}

/* --- what is not signed --- */

static enum keeper_status ask(size_t key, enum pki_sign_kind kind, uint16_t scheme,
                              const char *input, size_t n)
{
    struct pki_sign_request r = {.kind = kind, .scheme = scheme, .input = str_make(input, n)};
    uint8_t signature[PKI_SIGNATURE_MAX];
    char name[PKI_KEY_NAME + 1];
    struct reason why = {.code = NULL};
    struct str people;
    EVP_PKEY *public;
    size_t n_signature;

    check_err(pki_cert_key_load(t.cert[key], &public, &why), 0);
    check_err(pki_key_name(public, name), 0);
    EVP_PKEY_free(public);
    r.key = str_z(name);
    return keeper_tls_sign(t.keys, &r, t.now_ms, signature, &n_signature, &people, &why);
}

static size_t tls13_input(char *p, const char *context, size_t n_hash)
{
    size_t n = strlen(context);

    memset(p, ' ', 64);
    memcpy(p + 64, context, n + 1);
    memset(p + 64 + n + 1, 'h', n_hash);
    return 64 + n + 1 + n_hash;
}

#define SERVER "TLS 1.3, server CertificateVerify"
#define CLIENT "TLS 1.3, client CertificateVerify"

static void judged13(void **state)
{
    char in[256];
    size_t n = tls13_input(in, SERVER, 32);

    (void)state;
    assert_int_equal(ask(P256, PKI_SIGN_TLS13_SERVER, 0x0403, in, n), KEEPER_DONE);
    assert_int_equal(ask(P256, PKI_SIGN_TLS13_SERVER, 0x0503, in, n), KEEPER_REFUSED); /* curve */
    assert_int_equal(ask(P256, PKI_SIGN_TLS13_SERVER, 0x0804, in, n), KEEPER_REFUSED); /* RSA */
    assert_int_equal(ask(P256, PKI_SIGN_TLS13_SERVER, 0x0203, in, n), KEEPER_REFUSED); /* SHA-1 */
    assert_int_equal(ask(RSA2048, PKI_SIGN_TLS13_SERVER, 0x0804, in, n), KEEPER_DONE);
    assert_int_equal(ask(RSA2048, PKI_SIGN_TLS13_SERVER, 0x0401, in, n), KEEPER_REFUSED);
    assert_int_equal(ask(P256, PKI_SIGN_TLS13_CLIENT, 0x0403, in, n), KEEPER_MALFORMED);
    assert_int_equal(ask(P256, PKI_SIGN_TLS12_SERVER, 0x0403, in, n), KEEPER_MALFORMED);
    assert_int_equal(ask(P256, PKI_SIGN_TLS13_SERVER, 0x0403, in, n - 1), KEEPER_MALFORMED);
    assert_int_equal(ask(OTHER, PKI_SIGN_TLS13_SERVER, 0x0403, in, n), KEEPER_NO_KEY);
    assert_int_equal(ask(P256, (enum pki_sign_kind)0, 0x0403, in, n), KEEPER_MALFORMED);
    assert_int_equal(ask(P256, (enum pki_sign_kind)9, 0x0403, in, n), KEEPER_MALFORMED);
    in[63] = '!';
    assert_int_equal(ask(P256, PKI_SIGN_TLS13_SERVER, 0x0403, in, n), KEEPER_MALFORMED);
    n = tls13_input(in, SERVER, 48);
    assert_int_equal(ask(P256, PKI_SIGN_TLS13_SERVER, 0x0403, in, n), KEEPER_DONE);
    in[64 + sizeof(SERVER) - 1] = 1;
    assert_int_equal(ask(P256, PKI_SIGN_TLS13_SERVER, 0x0403, in, n), KEEPER_MALFORMED);
    n = tls13_input(in, CLIENT, 32);
    assert_int_equal(ask(P256, PKI_SIGN_TLS13_CLIENT, 0x0403, in, n), KEEPER_DONE);
    /* Never what an identity's key signs, nor anything at all. */
    assert_int_equal(ask(P256, PKI_SIGN_TLS13_SERVER, 0x0403, "eyJh.eyJh", 9), KEEPER_MALFORMED);
    for (enum pki_sign_kind k = PKI_SIGN_TLS13_SERVER; k <= PKI_SIGN_TLS12_CLIENT; k++)
        assert_int_equal(ask(P256, k, 0x0403, "", 0), KEEPER_MALFORMED);
}

static void judged12(void **state)
{
    char in[512];
    size_t n = 64;

    (void)state;
    memset(in, 'r', 64);
    memcpy(in + n, "\x03\x00\x1d\x20", 4); /* X25519 */
    memset(in + n + 4, 'p', 32);
    n += 36;
    assert_int_equal(ask(P384, PKI_SIGN_TLS12_SERVER, 0x0403, in, n), KEEPER_DONE);
    assert_int_equal(ask(P384, PKI_SIGN_TLS12_CLIENT, 0x0403, in, n), KEEPER_MALFORMED);
    assert_int_equal(ask(P384, PKI_SIGN_TLS12_SERVER, 0x0403, in, n + 1), KEEPER_MALFORMED);
    assert_int_equal(ask(P384, PKI_SIGN_TLS12_SERVER, 0x0403, in, n - 1), KEEPER_MALFORMED);
    assert_int_equal(ask(RSA2048, PKI_SIGN_TLS12_SERVER, 0x0401, in, n), KEEPER_DONE);
    in[64] = 2; /* an explicit curve */
    assert_int_equal(ask(P384, PKI_SIGN_TLS12_SERVER, 0x0403, in, n), KEEPER_MALFORMED);
    in[64] = 3;
    in[66] = 0x1e; /* X448 has another length */
    assert_int_equal(ask(P384, PKI_SIGN_TLS12_SERVER, 0x0403, in, n), KEEPER_MALFORMED);
    /* A client's transcript: all messages, in their order, each whole. */
    {
        static const uint8_t order[] = {1, 2, 11, 12, 13, 14, 11, 16};

        n = 0;
        for (size_t i = 0; i < sizeof(order); i++) {
            const char head[] = {(char)order[i], 0, 0, 2, 'x', 'y'};

            memcpy(in + n, head, sizeof(head));
            n += sizeof(head);
        }
    }
    assert_int_equal(ask(P256, PKI_SIGN_TLS12_CLIENT, 0x0403, in, n), KEEPER_DONE);
    assert_int_equal(ask(P256, PKI_SIGN_TLS12_CLIENT, 0x0403, in, n - 1), KEEPER_MALFORMED);
    assert_int_equal(ask(P256, PKI_SIGN_TLS12_CLIENT, 0x0403, in, n - 6), KEEPER_MALFORMED);
    in[6] = 3;
    assert_int_equal(ask(P256, PKI_SIGN_TLS12_CLIENT, 0x0403, in, n), KEEPER_MALFORMED);
    in[6] = 2;
    in[7] = 1; /* longer than there is */
    assert_int_equal(ask(P256, PKI_SIGN_TLS12_CLIENT, 0x0403, in, n), KEEPER_MALFORMED);
}

/* --- keys --- */

static void keys_refused(void **state)
{
    struct keeper_tls_args args[2] = {args_of(P256), args_of(OTHER)};
    struct keeper_tls_keys *k;
    struct keeper_keys *identities;
    struct keeper_key_args id = {.name = STR("a"), .url = STR("https://a.example/")};
    struct reason why = {.code = NULL};

    (void)state;
    args[1].key = t.key[P256];
    check_err(keeper_tls_keys_new(args, 2, 0, NULL, &k, &why), ERR_REFUSED);
    assert_non_null(strstr(why.detail, "other: "));
    assert_non_null(strstr(why.detail, "not the key of the certificate"));
    assert_null(k);
    args[1].key = "/nonexistent";
    check_err(keeper_tls_keys_new(args, 2, 0, NULL, &k, &why), ERR_IO);
    args[1].key = "pkcs11:object=x";
    check_err(keeper_tls_keys_new(args, 2, 0, NULL, &k, &why), ERR_SYNTAX);
    args[1].key = t.key[OTHER];
    assert_int_equal(chmod(t.key[OTHER], 0644), 0);
    check_err(keeper_tls_keys_new(args, 2, 0, NULL, &k, &why), ERR_REFUSED);
    assert_non_null(strstr(why.detail, "anybody can read it"));
    assert_int_equal(chmod(t.key[OTHER], 0600), 0);
    /* One key for TLS and for an identity. */
    id.cert_file = t.cert[OTHER];
    id.key = t.key[OTHER];
    check_err(keeper_keys_new(&id, 1, &identities, &why), 0);
    check_err(keeper_tls_keys_new(args, 2, 0, identities, &k, &why), ERR_CONFLICT);
    assert_non_null(strstr(why.detail, "identity \"a\""));
    check_err(keeper_tls_keys_new(args, 1, 0, identities, &k, &why), 0);
    keeper_tls_keys_free(k);
    keeper_keys_free(identities);
}

static struct {
    char name[16];
    uint64_t n_signed, n_refused;
    unsigned n;
} counted;

static void on_count(void *arg, struct str name, uint64_t n_signed, uint64_t n_refused)
{
    (void)arg;
    check_err(str_copy_z(counted.name, sizeof(counted.name), name), 0);
    counted.n_signed = n_signed;
    counted.n_refused = n_refused;
    counted.n++;
}

/* Rates, uses, counts, and what a reload does with them. */
static void reloaded(void **state)
{
    struct keeper_tls_args args = args_of(P256), other = args_of(OTHER);
    struct keeper_tls_keys *mine = t.keys, *next;
    struct reason why = {.code = NULL};
    char in[256];
    size_t n = tls13_input(in, SERVER, 32);

    (void)state;
    check_err(keeper_tls_keys_new(&args, 1, 2, NULL, &t.keys, &why), 0);
    assert_false(keeper_tls_counts(t.keys, NULL, NULL));
    assert_int_equal(ask(P256, PKI_SIGN_TLS13_SERVER, 0x0403, in, n), KEEPER_DONE);
    assert_int_equal(ask(P256, PKI_SIGN_TLS13_SERVER, 0x0403, in, n), KEEPER_DONE);
    assert_int_equal(ask(P256, PKI_SIGN_TLS13_SERVER, 0x0403, in, n), KEEPER_LIMITED);
    /* The same key: rate and counts go on. */
    check_err(keeper_tls_keys_new(&args, 1, 2, NULL, &next, &why), 0);
    keeper_tls_keys_follow(next, t.keys, t.now_ms);
    t.keys = next;
    assert_int_equal(ask(P256, PKI_SIGN_TLS13_SERVER, 0x0403, in, n), KEEPER_LIMITED);
    assert_true(keeper_tls_counts(t.keys, NULL, NULL));
    assert_true(keeper_tls_counts(t.keys, on_count, NULL));
    assert_int_equal(counted.n, 1);
    assert_string_equal(counted.name, "p256");
    assert_true(counted.n_signed == 2 && counted.n_refused == 2);
    assert_false(keeper_tls_counts(t.keys, on_count, NULL));
    /* Another key: that before it still signs, for a while. */
    t.now_ms += 5000;
    check_err(keeper_tls_keys_new(&other, 1, 0, NULL, &next, &why), 0);
    keeper_tls_keys_follow(next, t.keys, t.now_ms);
    t.keys = next;
    assert_int_equal(ask(OTHER, PKI_SIGN_TLS13_SERVER, 0x0403, in, n), KEEPER_DONE);
    assert_int_equal(ask(P256, PKI_SIGN_TLS13_SERVER, 0x0403, in, n), KEEPER_DONE);
    assert_true(keeper_tls_keys_tick(t.keys, t.now_ms + 1) == LIMIT_HANDSHAKE_MS - 1);
    assert_true(keeper_tls_keys_tick(t.keys, t.now_ms + LIMIT_HANDSHAKE_MS) == UINT64_MAX);
    assert_int_equal(ask(P256, PKI_SIGN_TLS13_SERVER, 0x0403, in, n), KEEPER_NO_KEY);
    keeper_tls_keys_free(t.keys);
    /* A key for connections to a peer is no server's, unless it is named as one elsewhere. */
    {
        struct keeper_tls_args two[2] = {args, args};

        two[0].as_server = two[1].as_server = false;
        check_err(keeper_tls_keys_new(two, 2, 0, NULL, &t.keys, &why), 0);
        assert_int_equal(keeper_tls_keys_count(t.keys), 1);
        assert_int_equal(ask(P256, PKI_SIGN_TLS13_SERVER, 0x0403, in, n), KEEPER_REFUSED);
        keeper_tls_keys_free(t.keys);
        two[1].as_server = true;
        check_err(keeper_tls_keys_new(two, 2, 0, NULL, &t.keys, &why), 0);
        assert_int_equal(ask(P256, PKI_SIGN_TLS13_SERVER, 0x0403, in, n), KEEPER_DONE);
        keeper_tls_keys_free(t.keys);
    }
    t.keys = mine;
}

static void no_memory(void **state)
{
    struct keeper_tls_args args[2] = {args_of(P256), args_of(RSA2048)};

    (void)state;
    OOM_SWEEP(200, {
        struct keeper_tls_keys *k;

        if (keeper_tls_keys_new(args, 2, 0, NULL, &k, NULL) == 0)
            keeper_tls_keys_free(k);
        else
            assert_null(k);
    });
    OOM_SWEEP(200, {
        struct pki_tls_identity id = {.domain = STR("a.example"), .cert_pem = t.cert[P256]};
        struct pki_tls_options o = {.identities = &id, .n_identities = 1, .remote_keys = true};
        struct pki_tls_server *s;

        if (pki_tls_server_new(&o, &s, NULL) == 0)
            pki_tls_server_unref(s);
    });
    ERR_clear_error();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(handshakes),   cmocka_unit_test(refused_in_handshake),
        cmocka_unit_test(judged13),     cmocka_unit_test(judged12),
        cmocka_unit_test(keys_refused), cmocka_unit_test(reloaded),
        cmocka_unit_test(no_memory),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}

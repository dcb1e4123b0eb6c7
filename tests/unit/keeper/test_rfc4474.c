/* Keys for RFC 4474 in the keeper: which are taken, what they sign (RFC 4474 5, 9) and what they do
 * not, on a connection and beside PASSporTs. */
#include "check.h"

#include "base/mem.h"
#include "identity/canon.h"
#include "keeper/serve.h"
#include "keeper/signer.h"
#include "oom.h"
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { EC, RSA2048, RSA2048_B, RSA1024, N_PAIRS };

static struct {
    char dir[64], cert[N_PAIRS][128], key[N_PAIRS][128];
    struct keeper_keys *keys;
    struct arena *arena;
    uint64_t now_s;
    struct keeper_log log;
    char lines[8192];
} t;

static void write_pair(size_t i)
{
    EVP_PKEY *key = i == EC ? EVP_EC_gen("P-256") : EVP_RSA_gen(i == RSA1024 ? 1024u : 2048u);
    X509 *x = X509_new();
    X509_NAME *name = X509_NAME_new();
    X509_EXTENSION *san = X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name, "DNS:a.example");
    FILE *f;

    assert_true(key && x && name && san);
    X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const uint8_t *)"a", -1, -1, 0);
    X509_set_version(x, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(x), (long)i + 1);
    X509_gmtime_adj(X509_getm_notBefore(x), -3600);
    X509_gmtime_adj(X509_getm_notAfter(x), 86400);
    X509_set_subject_name(x, name);
    X509_set_issuer_name(x, name);
    X509_set_pubkey(x, key);
    X509_add_ext(x, san, -1);
    assert_true(X509_sign(x, key, EVP_sha256()) > 0);
    (void)snprintf(t.cert[i], sizeof(t.cert[i]), "%s/%zu.crt", t.dir, i);
    (void)snprintf(t.key[i], sizeof(t.key[i]), "%s/%zu.key", t.dir, i);
    f = fopen(t.cert[i], "w");
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

static struct keeper_key_args key_args(size_t rsa)
{
    return (struct keeper_key_args){.name = STR("a"),
                                    .cert_file = t.cert[EC],
                                    .key = t.key[EC],
                                    .url = STR("https://a.example/cert"),
                                    .rfc4474_cert_file = t.cert[rsa],
                                    .rfc4474_key = t.key[rsa]};
}

static int setup(void **state)
{
    struct keeper_key_args args;
    struct reason why = {.code = NULL};

    (void)state;
    (void)snprintf(t.dir, sizeof(t.dir), "/tmp/rfc4474.XXXXXX");
    assert_non_null(mkdtemp(t.dir));
    for (size_t i = 0; i < N_PAIRS; i++)
        write_pair(i);
    args = key_args(RSA2048);
    if (keeper_keys_new(&args, 1, &t.keys, &why) != 0)
        fail_msg("%s", why.detail);
    t.arena = arena_new(65536, 1 << 20);
    assert_non_null(t.arena);
    t.now_s = (uint64_t)time(NULL);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    keeper_keys_free(t.keys);
    arena_free(t.arena);
    for (size_t i = 0; i < N_PAIRS; i++) {
        (void)unlink(t.cert[i]);
        (void)unlink(t.key[i]);
    }
    (void)rmdir(t.dir);
    return 0;
}

static struct str digest_string(const char *from, const char *method, int age_s, const char *body)
{
    char date[CANON_DATE_MAX];
    struct rfc4474_parts p = {.from = str_z(from),
                              .to = STR("sip:bob@b.example"),
                              .call_id = STR("call-1"),
                              .cseq = 1,
                              .method = str_z(method),
                              .body = str_z(body)};
    struct str text;

    canon_date_build(t.now_s - (uint64_t)(int64_t)age_s, date);
    p.date = str_z(date);
    check_err(rfc4474_build(t.arena, &p, &text, NULL), 0);
    return text;
}

static enum keeper_status ask(struct str input, const char *code)
{
    char signature[RFC4474_SIGNATURE_TEXT_MAX];
    struct rfc4474_parts p;
    struct reason why = {.code = NULL};
    enum keeper_status s = keeper_key_sign_rfc4474(keeper_keys_find(t.keys, STR("a")), t.arena,
                                                   input, t.now_s, 1000, &p, signature, &why);

    if (code && (!why.code || strcmp(why.code, code) != 0))
        fail_msg("%s (%s), not %s", why.code ? why.code : "-", why.detail, code);
    return s;
}

static void keys_refused(void **state)
{
    struct keeper_key_args args = key_args(EC);
    struct keeper_keys *k;
    struct reason why = {.code = NULL};

    (void)state;
    check_err(keeper_keys_new(&args, 1, &k, &why), ERR_UNSUPPORTED);
    assert_non_null(
        strstr(why.detail, "identity \"a\": rfc4474-certificate is not one of an RSA key"));
    args = key_args(RSA1024);
    check_err(keeper_keys_new(&args, 1, &k, &why), ERR_UNSUPPORTED);
    args = key_args(RSA2048);
    args.rfc4474_min_bits = 3072;
    check_err(keeper_keys_new(&args, 1, &k, &why), ERR_UNSUPPORTED);
    args = key_args(RSA2048);
    args.rfc4474_key = t.key[RSA2048_B]; /* of another certificate */
    check_err(keeper_keys_new(&args, 1, &k, &why), ERR_REFUSED);
    args.rfc4474_key = NULL;
    check_err(keeper_keys_new(&args, 1, &k, &why), ERR_IO);
    args.rfc4474_key = "pkcs11:object=x?module-path=/nonexistent.so";
    check_err(keeper_keys_new(&args, 1, &k, &why), ERR_IO);
    args = key_args(RSA2048);
    args.rfc4474_cert_file = "/nonexistent";
    check_err(keeper_keys_new(&args, 1, &k, &why), ERR_IO);
    assert_null(k);
}

/* TLS's own keys must be others than these, of either kind. */
static void known(void **state)
{
    struct str whose;
    char name[PKI_KEY_NAME + 1];

    (void)state;
    for (size_t i = 0; i < N_PAIRS; i++) {
        struct evp_pkey_st *key;

        check_err(pki_cert_key_load(t.cert[i], &key, NULL), 0);
        check_err(pki_key_name(key, name), 0);
        assert_int_equal(keeper_keys_have(t.keys, name, &whose), i == EC || i == RSA2048);
        EVP_PKEY_free(key);
    }
}

static void judged(void **state)
{
    (void)state;
    assert_int_equal(ask(digest_string("sip:alice@a.example", "INVITE", 0, "v=0\r\n"), NULL),
                     KEEPER_DONE);
    assert_int_equal(ask(digest_string("sip:+4930123@a.example;user=phone", "BYE", 50, ""), NULL),
                     KEEPER_DONE);
    assert_int_equal(ask(digest_string("sip:alice@b.example", "INVITE", 0, ""), "sign-authority"),
                     KEEPER_REFUSED);
    assert_int_equal(ask(digest_string("tel:+4930123", "INVITE", 0, ""), "rfc4474-tel"),
                     KEEPER_MALFORMED);
    assert_int_equal(ask(digest_string("sip:alice@a.example", "INVITE", 61, ""), "sign-date-stale"),
                     KEEPER_REFUSED);
    assert_int_equal(
        ask(digest_string("sip:alice@a.example", "INVITE", -61, ""), "sign-date-stale"),
        KEEPER_REFUSED);
    assert_int_equal(ask(digest_string("sip:alice@a.example", "REGISTER", 0, ""), "sign-method"),
                     KEEPER_REFUSED);
    assert_int_equal(ask(digest_string("sip:alice@a.example", "CANCEL", 0, ""), "sign-method"),
                     KEEPER_REFUSED);
    assert_int_equal(ask(STR("anything"), "rfc4474-digest-string"), KEEPER_MALFORMED);
    assert_int_equal(ask(STR("."), "rfc4474-digest-string"), KEEPER_MALFORMED);
    assert_int_equal(
        ask(STR("sip:alice@a.example|sip:bob@b.example|c|1 INVITE|Thu, 21 Feb 2002 13:02:03 "
                "GMT||\x01"),
            "rfc4474-body-binary"),
        KEEPER_MALFORMED);
}

static void limited(void **state)
{
    struct keeper_key_args args = key_args(RSA2048), none = key_args(RSA2048);
    struct str input = digest_string("sip:alice@a.example", "INVITE", 0, "");
    char signature[RFC4474_SIGNATURE_TEXT_MAX], other[JWS_SIGNATURE_TEXT_MAX];
    struct rfc4474_parts p;
    struct passport token;
    struct keeper_keys *set;
    struct reason why;

    (void)state;
    args.rate = 2; /* of both kinds together */
    check_err(keeper_keys_new(&args, 1, &set, &why), 0);
#define SIGN(ms)                                                                                   \
    keeper_key_sign_rfc4474(keeper_keys_find(set, STR("a")), t.arena, input, t.now_s, ms, &p,      \
                            signature, &why)
    assert_int_equal(SIGN(5000), KEEPER_DONE);
    assert_int_equal(keeper_key_sign(keeper_keys_find(set, STR("a")), t.arena, STR("x"), t.now_s,
                                     5001, &token, other, &why),
                     KEEPER_MALFORMED);
    assert_int_equal(SIGN(5002), KEEPER_LIMITED);
    assert_string_equal(why.code, "sign-rate");
    keeper_keys_free(set);
    none.rfc4474_cert_file = NULL;
    check_err(keeper_keys_new(&none, 1, &set, &why), 0);
    assert_int_equal(SIGN(5000), KEEPER_NO_KEY);
    keeper_keys_free(set);
}

/* --- frames, and both ends of a connection --- */

static void frames(void **state)
{
    static const struct {
        const char *bytes;
        size_t n;
    } bad[] = {
        {"\x00\x00\x00\x09\x01\x07\x00\x00\0\0\0\0\0\0\0\0\x00", 17},   /* no name */
        {"\x00\x00\x00\x0a\x01\x07\x00\x00\0\0\0\0\0\0\0\0\x01x", 18},  /* no input */
        {"\x00\x00\x00\x09\x01\x08\x00\x00\0\0\0\0\0\0\0\0\x00", 17},   /* signed with nothing */
        {"\x00\x00\x00\x0a\x01\x08\x00\x00\0\0\0\0\0\0\0\0\x01x", 18},  /* refused with something */
        {"\x00\x00\x00\x0a\x01\x08\x00\x00\0\0\0\0\0\0\0\0\x00\"", 18}, /* a header? */
        {"\x00\x00\x00\x0a\x01\x08\x00\x00\0\0\0\0\0\0\0\0\x00\r", 18},
        {"\x00\x00\x00\x0a\x01\x08\x00\x00\0\0\0\0\0\0\0\0\x00\0", 18},
    };
    const struct keeper_frame good[] = {
        {.type = KEEPER_RFC4474, .id = 9, .name = STR("a"), .body = STR("x|y")},
        {.type = KEEPER_RFC4474_SIGNED, .id = 9, .status = KEEPER_DONE, .body = STR("AZaz09+/=")},
        {.type = KEEPER_RFC4474_SIGNED, .id = 9, .status = KEEPER_REFUSED, .body = STR("")},
    };
    struct keeper_frame f;
    char room[64];
    size_t n;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(good); i++) {
        struct sbuf b = sbuf_make(room, sizeof(room));

        keeper_frame_build(&b, &good[i]);
        assert_int_equal(b.n, keeper_frame_size(&good[i]));
        check_err(keeper_frame_parse(sbuf_get(&b), &f, &n), 0);
        assert_int_equal(f.type, good[i].type);
        assert_true(f.id == 9 && str_eq(f.name, good[i].name) && str_eq(f.body, good[i].body));
    }
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        if (keeper_frame_parse(str_make(bad[i].bytes, bad[i].n), &f, &n) != ERR_SYNTAX)
            fail_msg("frame %zu", i);
}

struct asked {
    struct identity_sign_job job;
    int err, n_done;
    struct str value;
};

static void done(struct identity_sign_job *job, int err, struct str value)
{
    struct asked *a = job->arg;

    a->err = err;
    a->value = value;
    a->n_done++;
}

static void verify(struct str input, struct str value)
{
    struct pki_chain *chain;
    struct identity_credential cred;

    check_err(pki_chain_load(t.cert[RSA2048], &chain, NULL), 0);
    check_err(identity_credential_make(t.arena, chain, &cred, NULL), 0);
    check_err(rfc4474_verify(cred.rsa, input, str_make(value.p + 1, value.n - 2), NULL), 0);
    identity_credential_done(&cred);
    pki_chain_unref(chain);
}

static void signed_far_away(void **state)
{
    struct wheel *wheel = wheel_new(1000);
    struct keeper_signer_args args = {.wheel = wheel};
    struct keeper_serving serving = {.keys = t.keys,
                                     .arena = arena_new(65536, 1 << 20),
                                     .log = &t.log,
                                     .now_s = t.now_s,
                                     .now_ms = 1000};
    struct keeper_conn *conn = mem_zalloc(sizeof(*conn));
    struct asked a[4];
    struct keeper_signer *s;
    ssize_t n;
    int pair[2];

    (void)state;
    assert_true(wheel && conn && serving.arena);
    t.log = (struct keeper_log){.lines = sbuf_make(t.lines, sizeof(t.lines) - 1)};
    keeper_log_time(&t.log, t.now_s);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    check_err(keeper_signer_new(&args, &s), 0);
    keeper_signer_attach(s, pair[0]);
    for (size_t i = 0; i < ARRAY_LEN(a); i++) {
        a[i] =
            (struct asked){.job = {.arena = t.arena, .key = STR("a"), .done = done, .arg = &a[i]}};
        a[i].job.digest_string = digest_string(i == 1 ? "sip:eve@e.example" : "sip:alice@a.example",
                                               "INVITE", 0, "v=0\r\n");
    }
    a[2].job.digest_string = STR_NULL;
    check_err(identity_sign_start(&a[2].job, keeper_signer_base(s)), ERR_INVALID);
    a[2].job.passport.input = STR("x.y"); /* the other kind, between them */
    for (size_t i = 0; i < ARRAY_LEN(a); i++)
        check_err(identity_sign_start(&a[i].job, keeper_signer_base(s)), 0);
    identity_sign_cancel(&a[3].job);
    for (unsigned turn = 0; turn < 2;
         turn++) { /* what was asked meanwhile goes out with the first answer */
        n = recv(pair[1], conn->in, sizeof(conn->in), MSG_DONTWAIT);
        assert_true(n > 0);
        conn->n_in = (size_t)n;
        check_err(keeper_serve(&serving, conn), 0);
        assert_int_equal(send(pair[1], conn->out, conn->n_out, MSG_NOSIGNAL), conn->n_out);
        conn->n_out = 0;
        keeper_signer_ready(s);
    }
    assert_true(a[0].n_done == 1 && a[1].n_done == 1 && a[2].n_done == 1 && a[3].n_done == 0);
    check_err(a[0].err, 0);
    verify(a[0].job.digest_string, a[0].value);
    check_err(a[1].err, ERR_REFUSED);
    check_err(a[2].err, ERR_SYNTAX);
    t.lines[t.log.lines.n] = '\0';
    assert_non_null(strstr(
        t.lines, "\"event\":\"sign-rfc4474\",\"worker\":0,\"key\":\"a\",\"from\":\"sip:alice@"
                 "a.example\",\"to\":\"sip:bob@b.example\",\"call\":\"call-1\",\"method\":"
                 "\"INVITE\",\"date\":\""));
    assert_non_null(strstr(t.lines, "\"result\":\"refused\",\"reason\":\"sign-authority\""));
    assert_null(strstr(t.lines, "v=0"));
    /* An answer of the other kind is not our keeper's. */
    a[0].n_done = 0;
    check_err(identity_sign_start(&a[0].job, keeper_signer_base(s)), 0);
    {
        char room[64];
        struct sbuf b = sbuf_make(room, sizeof(room));

        keeper_frame_build(
            &b, &(struct keeper_frame){
                    .type = KEEPER_SIGNED, .id = 4, .status = KEEPER_DONE, .body = STR("x")});
        assert_int_equal(send(pair[1], room, b.n, MSG_NOSIGNAL), b.n);
    }
    keeper_signer_ready(s);
    assert_int_equal(keeper_signer_fd(s), -1);
    assert_int_equal(a[0].n_done, 1);
    check_err(a[0].err, ERR_CLOSED);
    keeper_signer_free(s);
    (void)close(pair[1]);
    arena_free(serving.arena);
    mem_free(conn);
    wheel_free(wheel);
}

static void no_memory(void **state)
{
    struct keeper_key_args args = key_args(RSA2048);
    struct str input = digest_string("sip:alice@a.example", "INVITE", 0, "");

    (void)state;
    OOM_SWEEP(200, {
        struct keeper_keys *k = NULL;
        struct reason why = {.code = NULL};
        char signature[RFC4474_SIGNATURE_TEXT_MAX];
        struct rfc4474_parts p;
        int err = keeper_keys_new(&args, 1, &k, &why);

        assert_true((err == 0) == (k != NULL));
        if (k && keeper_key_sign_rfc4474(keeper_keys_find(k, STR("a")), t.arena, input, t.now_s,
                                         1000, &p, signature, &why) != KEEPER_DONE)
            assert_non_null(why.code);
        keeper_keys_free(k);
    });
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keys_refused), cmocka_unit_test(known),  cmocka_unit_test(judged),
        cmocka_unit_test(limited),      cmocka_unit_test(frames), cmocka_unit_test(signed_far_away),
        cmocka_unit_test(no_memory),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}

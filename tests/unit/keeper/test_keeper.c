/* The keeper without its processes: frames, keys and what they may sign (RFC 8224 6.1, RFC 8225 9),
 * connections from both ends, and what happens to jobs when the other end is late, mad or gone. */
#include "check.h"

#include "base/mem.h"
#include "keeper/serve.h"
#include "keeper/signer.h"
#include "oom.h"
#include "pki/mint.h"
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define URL "https://a.example/cert"

static struct {
    char dir[64], cert[128], key[128], other_key[128], rsa[128];
    struct keeper_keys *keys;
    struct keeper_serving serving;
    struct keeper_log log;
    struct keeper_conn *conn;
    struct arena *arena; /* of the askers */
    struct wheel *wheel;
    uint64_t now_s; /* certificates are good now, not in 2023 */
    char lines[65536];
} t;

static struct keeper_key_args key_args(void)
{
    return (struct keeper_key_args){
        .name = STR("a"), .cert_file = t.cert, .key = t.key, .url = STR(URL)};
}

static int setup(void **state)
{
    struct str domains[] = {{"a.example", 9}};
    struct pki_mint_args m = {.domains = domains, .n_domains = 1, .days = 30};
    struct keeper_key_args args;
    struct reason why = {.code = NULL};

    (void)state;
    (void)snprintf(t.dir, sizeof(t.dir), "/tmp/keeper.XXXXXX");
    assert_non_null(mkdtemp(t.dir));
    (void)snprintf(t.cert, sizeof(t.cert), "%s/a.crt", t.dir);
    (void)snprintf(t.key, sizeof(t.key), "%s/a.key", t.dir);
    (void)snprintf(t.other_key, sizeof(t.other_key), "%s/b.key", t.dir);
    (void)snprintf(t.rsa, sizeof(t.rsa), "%s/b.crt", t.dir);
    m.cert_file = t.rsa;
    m.key_file = t.other_key;
    check_err(pki_mint_cert(NULL, &m, &why), 0);
    m.cert_file = t.cert;
    m.key_file = t.key;
    check_err(pki_mint_cert(NULL, &m, &why), 0);
    args = key_args();
    if (keeper_keys_new(&args, 1, &t.keys, &why) != 0)
        fail_msg("%s", why.detail);
    t.now_s = (uint64_t)time(NULL);
    t.log = (struct keeper_log){.lines = sbuf_make(t.lines, sizeof(t.lines))};
    t.serving = (struct keeper_serving){.keys = t.keys,
                                        .arena = arena_new(65536, 1 << 20),
                                        .log = &t.log,
                                        .now_s = t.now_s,
                                        .now_ms = 1000};
    keeper_log_time(&t.log, t.now_s);
    t.conn = mem_zalloc(sizeof(*t.conn));
    t.arena = arena_new(65536, 8 << 20);
    t.wheel = wheel_new(1000);
    assert_true(t.serving.arena && t.conn && t.arena && t.wheel);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    keeper_keys_free(t.keys);
    arena_free(t.serving.arena);
    mem_free(t.conn);
    arena_free(t.arena);
    wheel_free(t.wheel);
    (void)unlink(t.cert);
    (void)unlink(t.key);
    (void)unlink(t.other_key);
    (void)unlink(t.rsa);
    (void)rmdir(t.dir);
    t.conn = NULL;
    return 0;
}

/* A prepared token, as the edge would make it. */
static struct passport token(const char *orig, uint64_t iat)
{
    static struct passport_id dest;
    struct passport p = {.alg = JWS_ES256,
                         .type = PASSPORT_BASE,
                         .x5u = STR(URL),
                         .orig = {false, str_z(orig)},
                         .dest = &dest,
                         .n_dest = 1,
                         .iat = iat};
    struct reason why = {.code = NULL};

    dest = (struct passport_id){false, STR("sip:bob@b.example")};
    if (passport_build(t.arena, &p, &why) != 0)
        fail_msg("%s", why.detail);
    return p;
}

/* --- frames --- */

static struct str build(const struct keeper_frame *f, char *room, size_t cap)
{
    struct sbuf b = sbuf_make(room, cap);

    keeper_frame_build(&b, f);
    assert_false(b.overflow);
    assert_int_equal(b.n, keeper_frame_size(f));
    return sbuf_get(&b);
}

static void frames(void **state)
{
    const struct keeper_frame all[] = {
        {.type = KEEPER_SIGN, .id = UINT64_MAX, .name = STR("a"), .body = STR("x.y")},
        {.type = KEEPER_SIGNED, .id = 7, .status = KEEPER_DONE, .body = STR("AZaz09-_")},
        {.type = KEEPER_SIGNED, .id = 7, .status = KEEPER_REFUSED, .body = STR("")},
        {.type = KEEPER_RELOAD},
        {.type = KEEPER_STATE, .id = 3, .status = KEEPER_FAILED, .body = STR("why")},
        {.type = KEEPER_TLS, .id = 5, .name = STR("a"), .kind = 4, .scheme = 0x0807, .body = STR("\0")},
        {.type = KEEPER_TLS_SIGNED, .id = 5, .status = KEEPER_DONE, .body = STR("\0\xff;\n")},
        {.type = KEEPER_TLS_SIGNED, .id = 5, .status = KEEPER_LIMITED, .body = STR("")},
    };
    char room[256];

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(all); i++) {
        struct str text = build(&all[i], room, sizeof(room));
        struct keeper_frame f;
        size_t n;

        for (size_t k = 0; k < text.n; k++)
            check_err(keeper_frame_parse(str_make(text.p, k), &f, &n), ERR_AGAIN);
        check_err(keeper_frame_parse(text, &f, &n), 0);
        assert_int_equal(n, text.n);
        assert_int_equal(f.type, all[i].type);
        assert_true(f.id == all[i].id);
        assert_int_equal(f.status, all[i].status);
        assert_true(f.kind == all[i].kind && f.scheme == all[i].scheme);
        assert_true(str_eq(f.name, all[i].name) && str_eq(f.body, all[i].body));
    }
}

static void frames_refused(void **state)
{
    static const struct {
        const char *bytes;
        size_t n;
        int err;
    } bad[] = {
        {"\x00\x00\x80\x00\x01\x01\x00\x00", 8, ERR_LIMIT},
        {"\xff\xff\xff\xff\x01\x01\x00\x00", 8, ERR_LIMIT},
        {"\x00\x00\x00\x00\x02\x03\x00\x00", 8, ERR_SYNTAX},  /* version */
        {"\x00\x00\x00\x00\x01\x03\x00\x01", 8, ERR_SYNTAX},  /* not zero */
        {"\x00\x00\x00\x00\x01\x09\x00\x00", 8, ERR_SYNTAX},  /* type */
        {"\x00\x00\x00\x01\x01\x03\x00\x00x", 9, ERR_SYNTAX}, /* RELOAD with something */
        {"\x00\x00\x00\x09\x01\x01\x00\x00\0\0\0\0\0\0\0\0\x00", 17, ERR_SYNTAX},  /* no name */
        {"\x00\x00\x00\x0a\x01\x01\x00\x00\0\0\0\0\0\0\0\0\x01x", 18, ERR_SYNTAX}, /* no input */
        {"\x00\x00\x00\x0a\x01\x02\x00\x00\0\0\0\0\0\0\0\0\x00;", 18, ERR_SYNTAX}, /* a header? */
        {"\x00\x00\x00\x09\x01\x02\x00\x00\0\0\0\0\0\0\0\0\x00", 17,
         ERR_SYNTAX}, /* signed with nothing */
        {"\x00\x00\x00\x09\x01\x02\x00\x00\0\0\0\0\0\0\0\0\x06", 17, ERR_SYNTAX}, /* status */
        {"\x00\x00\x00\x0d\x01\x05\x00\x00\0\0\0\0\0\0\0\0\x01x\1\4\3", 21,
         ERR_SYNTAX}, /* no input */
        {"\x00\x00\x00\x09\x01\x06\x00\x00\0\0\0\0\0\0\0\0\x00", 17,
         ERR_SYNTAX}, /* signed with nothing */
        {"\x00\x00\x00\x0a\x01\x06\x00\x00\0\0\0\0\0\0\0\0\x01x", 18,
         ERR_SYNTAX}, /* refused with something */
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct keeper_frame f;
        size_t n;
        int err = keeper_frame_parse(str_make(bad[i].bytes, bad[i].n), &f, &n);

        if (err != bad[i].err)
            fail_msg("frame %zu gives %d", i, err);
    }
}

/* --- keys --- */

static void keys_refused(void **state)
{
    struct keeper_key_args args = key_args(), two[2] = {key_args(), key_args()};
    struct keeper_keys *k;
    struct reason why = {.code = NULL};

    (void)state;
    args.key = t.other_key;
    check_err(keeper_keys_new(&args, 1, &k, &why), ERR_REFUSED);
    assert_non_null(strstr(why.detail, "identity \"a\""));
    args.key = "/nonexistent";
    check_err(keeper_keys_new(&args, 1, &k, &why), ERR_IO);
    args = key_args();
    args.cert_file = t.key;
    assert_true(keeper_keys_new(&args, 1, &k, &why) < 0);
    args = key_args();
    args.key = "pkcs11:object=x?pin-value=1234&module-path=/x";
    check_err(keeper_keys_new(&args, 1, &k, &why), ERR_REFUSED);
    args.key = "pkcs11:object=x";
    check_err(keeper_keys_new(&args, 1, &k, &why), ERR_SYNTAX);
    args.key = "pkcs11:object=x;colour=blue?module-path=/x";
    check_err(keeper_keys_new(&args, 1, &k, &why), ERR_SYNTAX);
    args.key = "pkcs11:object=x?module-path=/nonexistent.so";
    check_err(keeper_keys_new(&args, 1, &k, &why), ERR_IO);
    two[1].key = t.other_key;
    check_err(keeper_keys_new(two, 2, &k, &why), ERR_REFUSED);
    assert_null(k);
    /* A key that everybody can read is no secret. */
    assert_int_equal(chmod(t.key, 0644), 0);
    args = key_args();
    check_err(keeper_keys_new(&args, 1, &k, &why), ERR_REFUSED);
    assert_non_null(strstr(why.detail, "anybody can read it"));
    assert_int_equal(chmod(t.key, 0600), 0);
}

static enum keeper_status ask(struct str input, const char *code)
{
    char signature[JWS_SIGNATURE_TEXT_MAX];
    struct keeper_key *k = keeper_keys_find(t.keys, STR("a"));
    struct passport p;
    struct reason why = {.code = NULL};
    enum keeper_status s;

    assert_non_null(k);
    s = keeper_key_sign(k, t.serving.arena, input, t.serving.now_s, t.serving.now_ms, &p, signature,
                        &why);
    if (code && (!why.code || strcmp(why.code, code) != 0))
        fail_msg("%s (%s), not %s", why.code ? why.code : "-", why.detail, code);
    arena_reset(t.serving.arena);
    return s;
}

static struct str raw(const char *header, const char *payload)
{
    char *p = arena_alloc(t.arena, 4096);
    size_t n;

    assert_non_null(p);
    check_err(str_base64_encode(p, 2048, header, strlen(header), true), 0);
    n = strlen(p);
    p[n++] = '.';
    check_err(str_base64_encode(p + n, 2048, payload, strlen(payload), true), 0);
    return str_z(p);
}

static void judged(void **state)
{
    struct passport p = token("sip:alice@a.example", t.now_s);
    char payload[256];

    (void)state;
    assert_int_equal(ask(p.input, NULL), KEEPER_DONE);
    assert_int_equal(ask(token("sip:alice@b.example", t.now_s).input, "sign-authority"),
                     KEEPER_REFUSED);
    assert_int_equal(ask(token("sip:alice@a.example", t.now_s - 61).input, "sign-date-stale"),
                     KEEPER_REFUSED);
    assert_int_equal(ask(token("sip:alice@a.example", t.now_s + 61).input, "sign-date-stale"),
                     KEEPER_REFUSED);
    p.x5u = STR("https://a.example/other");
    check_err(passport_build(t.arena, &p, NULL), 0);
    assert_int_equal(ask(p.input, "sign-x5u"), KEEPER_REFUSED);
    p = token("sip:alice@a.example", t.now_s);
    p.alg = JWS_ES384;
    check_err(passport_build(t.arena, &p, NULL), 0);
    assert_int_equal(ask(p.input, "sign-alg"), KEEPER_REFUSED);
    p = token("sip:alice@a.example", t.now_s);
    p.type = PASSPORT_MSEC; /* the user's alone */
    check_err(passport_build(t.arena, &p, NULL), 0);
    assert_int_equal(ask(p.input, "sign-msec"), KEEPER_REFUSED);
    /* Diversion: who diverts must be ours, not who called; and it may be older. */
    p = token("sip:carol@c.example", t.now_s - 600);
    p.type = PASSPORT_DIV;
    p.div = (struct passport_id){false, STR("sip:alice@a.example")};
    check_err(passport_build(t.arena, &p, NULL), 0);
    assert_int_equal(ask(p.input, NULL), KEEPER_DONE);
    p.div = (struct passport_id){false, STR("sip:carol@c.example")};
    check_err(passport_build(t.arena, &p, NULL), 0);
    assert_int_equal(ask(p.input, "sign-authority"), KEEPER_REFUSED);
    /* Never bytes that are no token, and no token with more in it than is looked at. */
    assert_int_equal(ask(STR("anything"), "passport-syntax"), KEEPER_MALFORMED);
    assert_int_equal(ask(STR(""), NULL), KEEPER_MALFORMED);
    (void)snprintf(
        payload, sizeof(payload),
        "{\"dest\":{\"uri\":[\"sip:bob@b.example\"]},\"iat\":%llu,\"orig\":{\"uri\":\"sip:alice@"
        "a.example\"},\"more\":1}",
        (unsigned long long)t.now_s);
    assert_int_equal(
        ask(raw("{\"alg\":\"ES256\",\"typ\":\"passport\",\"x5u\":\"" URL "\"}", payload),
            "passport-not-deterministic"),
        KEEPER_REFUSED);
    assert_int_equal(
        ask(raw("{\"alg\":\"none\",\"typ\":\"passport\",\"x5u\":\"" URL "\"}", payload), NULL),
        KEEPER_REFUSED);
}

static void limited(void **state)
{
    struct keeper_key_args args = key_args();
    struct keeper_keys *set, *again;
    struct passport p = token("sip:alice@a.example", t.now_s), got;
    char signature[JWS_SIGNATURE_TEXT_MAX];
    struct reason why;
    struct keeper_key *k;

    (void)state;
    args.rate = 2;
    check_err(keeper_keys_new(&args, 1, &set, &why), 0);
    k = keeper_keys_find(set, STR("a"));
#define SIGN(ms) keeper_key_sign(k, t.arena, p.input, t.now_s, ms, &got, signature, &why)
    assert_int_equal(SIGN(5000), KEEPER_DONE);
    assert_int_equal(SIGN(5001), KEEPER_DONE);
    assert_int_equal(SIGN(5002), KEEPER_LIMITED);
    assert_int_equal(SIGN(5499), KEEPER_LIMITED);
    assert_int_equal(SIGN(5500), KEEPER_DONE);
    /* A reload gives nothing for free. */
    check_err(keeper_keys_new(&args, 1, &again, &why), 0);
    keeper_keys_take_rates(again, set);
    keeper_keys_free(set);
    k = keeper_keys_find(again, STR("a"));
    assert_int_equal(SIGN(5501), KEEPER_LIMITED);
    assert_int_equal(SIGN(6600), KEEPER_DONE);
    keeper_keys_free(again);
}

/* --- a connection --- */

static void served(void **state)
{
    struct passport p = token("sip:alice@a.example", t.now_s);
    struct keeper_frame ask_a = {.type = KEEPER_SIGN, .id = 1, .name = STR("a"), .body = p.input},
                        ask_b = {.type = KEEPER_SIGN, .id = 2, .name = STR("b"), .body = p.input},
                        f;
    struct sbuf in = sbuf_make(t.conn->in, sizeof(t.conn->in));
    struct reason why;
    size_t n;

    (void)state;
    keeper_frame_build(&in, &ask_a);
    keeper_frame_build(&in, &ask_b);
    n = in.n;
    keeper_frame_build(&in, &ask_a);
    t.conn->n_in = n + 20; /* the third is not all there */
    check_err(keeper_serve(&t.serving, t.conn), 0);
    assert_int_equal(t.conn->n_in, 20);
    check_err(keeper_frame_parse(str_make(t.conn->out, t.conn->n_out), &f, &n), 0);
    assert_int_equal(f.status, KEEPER_DONE);
    assert_true(f.id == 1);
    {
        struct pki_chain *chain;
        struct identity_credential cred;

        check_err(pki_chain_load(t.cert, &chain, &why), 0);
        check_err(identity_credential_make(t.arena, chain, &cred, &why), 0);
        check_err(jws_verify(cred.key, JWS_ES256, p.input, f.body, &why), 0);
        identity_credential_done(&cred);
        pki_chain_unref(chain);
    }
    check_err(keeper_frame_parse(str_make(t.conn->out + n, t.conn->n_out - n), &f, &n), 0);
    assert_int_equal(f.status, KEEPER_NO_KEY);
    assert_true(f.id == 2);
    /* The log names who, for whom, and what became of it, and holds no signature. */
    sbuf_char(&t.log.lines, '\0');
    assert_non_null(strstr(t.lines, "\"orig\":\"sip:alice@a.example\""));
    assert_non_null(strstr(t.lines, "\"dest\":\"sip:bob@b.example\""));
    assert_non_null(strstr(t.lines, "\"result\":\"signed\"}\n"));
    assert_non_null(strstr(t.lines, "\"key\":\"b\",\"result\":\"no-key\"}\n"));
    /* Only the main thread may ask for a reload. */
    in = sbuf_make(t.conn->in, sizeof(t.conn->in));
    keeper_frame_build(&in, &(struct keeper_frame){.type = KEEPER_RELOAD});
    t.conn->n_in = in.n;
    check_err(keeper_serve(&t.serving, t.conn), ERR_SYNTAX);
    assert_false(t.serving.reload_asked);
    t.conn->may_reload = true;
    check_err(keeper_serve(&t.serving, t.conn), 0);
    assert_true(t.serving.reload_asked);
}

/* What is for identities does not wait for handshakes that were asked for before. */
static void identities_first(void **state)
{
    struct passport p = token("sip:alice@a.example", t.now_s);
    struct sbuf in = sbuf_make(t.conn->in, sizeof(t.conn->in));
    struct keeper_frame f = {.type = KEEPER_TLS, .name = STR("a"), .kind = PKI_SIGN_TLS13_SERVER, .scheme = 0x0403, .body = STR("x")};
    size_t n, at = 0;
    uint64_t id;

    (void)state;
    for (f.id = 1; f.id <= 20; f.id++)
        keeper_frame_build(&in, &f);
    keeper_frame_build(&in, &(struct keeper_frame){.type = KEEPER_SIGN, .id = 21, .name = STR("a"), .body = p.input});
    t.conn->n_in = in.n;
    check_err(keeper_serve(&t.serving, t.conn), 0);
    check_err(keeper_frame_parse(str_make(t.conn->out, t.conn->n_out), &f, &at), 0);
    assert_true(f.id == 21 && f.type == KEEPER_SIGNED && f.status == KEEPER_DONE);
    assert_true(t.conn->is_behind); /* handshakes are not all done in one turn, but all in the end */
    while (t.conn->is_behind)
        check_err(keeper_serve(&t.serving, t.conn), 0);
    for (id = 1; at < t.conn->n_out; at += n, id++) {
        check_err(keeper_frame_parse(str_make(t.conn->out + at, t.conn->n_out - at), &f, &n), 0);
        assert_true(f.id == id && f.type == KEEPER_TLS_SIGNED);
    }
    assert_true(id == 21 && t.conn->n_in == 0);
}

static void log_bounded(void **state)
{
    struct keeper_frame f = {.type = KEEPER_SIGN, .name = STR("b"), .body = STR("x.y")};
    unsigned n_lines = 0;

    (void)state;
    for (unsigned i = 0; i < 300; i++) {
        struct sbuf in = sbuf_make(t.conn->in, sizeof(t.conn->in));

        keeper_frame_build(&in, &f);
        t.conn->n_in = in.n;
        t.conn->n_out = 0;
        t.serving.now_s = t.now_s + (i >= 250);
        check_err(keeper_serve(&t.serving, t.conn), 0);
        assert_true(t.conn->n_out > 0); /* answered all the same */
    }
    for (size_t i = 0; i < t.log.lines.n; i++)
        n_lines += t.log.lines.p[i] == '\n';
    assert_int_equal(n_lines, KEEPER_LOG_REFUSALS + 50);
    assert_int_equal(t.log.lost, 150);
}

/* --- the signer --- */

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

static void prepare(struct asked *a, const char *orig)
{
    *a = (struct asked){.job = {.arena = t.arena,
                                .passport = token(orig, t.now_s),
                                .key = STR("a"),
                                .done = done,
                                .arg = a}};
}

static struct keeper_signer *signer_new(size_t max, int *ret_other)
{
    struct keeper_signer_args args = {.wheel = t.wheel, .max_waiting = max};
    struct keeper_signer *s;
    int pair[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    check_err(keeper_signer_new(&args, &s), 0);
    keeper_signer_attach(s, pair[0]);
    *ret_other = pair[1];
    return s;
}

/* The keeper's turn: reads what there is, answers. */
static void keeper_turn(int fd)
{
    ssize_t n =
        recv(fd, t.conn->in + t.conn->n_in, sizeof(t.conn->in) - t.conn->n_in, MSG_DONTWAIT);

    if (n > 0)
        t.conn->n_in += (size_t)n;
    check_err(keeper_serve(&t.serving, t.conn), 0);
    assert_int_equal(send(fd, t.conn->out, t.conn->n_out, MSG_NOSIGNAL), t.conn->n_out);
    t.conn->n_out = 0;
}

static void signed_far_away(void **state)
{
    struct asked a[40];
    struct keeper_signer_stats stats;
    int other, left = (int)ARRAY_LEN(a);
    struct keeper_signer *s = signer_new(0, &other);

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(a); i++) {
        prepare(&a[i], i == 7 ? "sip:eve@e.example" : "sip:alice@a.example");
        check_err(identity_sign_start(&a[i].job, keeper_signer_base(s)), 0);
        assert_int_equal(a[i].n_done, 0);
    }
    identity_sign_cancel(&a[9].job);
    for (unsigned rounds = 0; left > 0; rounds++) {
        assert_in_range(rounds, 0, 3); /* gathered: not one at a time */
        keeper_turn(other);
        keeper_signer_ready(s);
        left = 0;
        for (size_t i = 0; i < ARRAY_LEN(a); i++)
            left += i != 9 && a[i].n_done == 0;
    }
    for (size_t i = 0; i < ARRAY_LEN(a); i++) {
        if (i == 9) {
            assert_int_equal(a[i].n_done, 0);
            continue;
        }
        assert_int_equal(a[i].n_done, 1);
        check_err(a[i].err, i == 7 ? ERR_REFUSED : 0);
        if (i != 7)
            assert_true(str_starts_nocase(a[i].value, a[i].job.passport.input));
    }
    keeper_signer_stats(s, &stats);
    assert_int_equal(stats.asked, 40);
    assert_int_equal(stats.signed_, 38);
    assert_int_equal(stats.refused, 1);
    keeper_signer_free(s);
    (void)close(other);
}

static void too_many(void **state)
{
    struct asked a[4];
    int other;
    struct keeper_signer *s = signer_new(3, &other);

    (void)state;
    for (size_t i = 0; i < 4; i++) {
        prepare(&a[i], "sip:alice@a.example");
        check_err(identity_sign_start(&a[i].job, keeper_signer_base(s)), i < 3 ? 0 : ERR_LIMIT);
    }
    keeper_turn(other);
    keeper_signer_ready(s);
    check_err(identity_sign_start(&a[3].job, keeper_signer_base(s)), 0);
    keeper_signer_free(s); /* what waits is told */
    for (size_t i = 1; i < 4; i++) {
        assert_int_equal(a[i].n_done, 1);
        check_err(a[i].err, ERR_CLOSED);
    }
    check_err(a[0].err, 0);
    (void)close(other);
}

static void late(void **state)
{
    struct asked a[3];
    int other;
    struct keeper_signer *s = signer_new(0, &other);

    (void)state;
    prepare(&a[0], "sip:alice@a.example");
    check_err(identity_sign_start(&a[0].job, keeper_signer_base(s)), 0);
    wheel_advance(t.wheel, 1000 + LIMIT_KEEPER_MS / 2);
    prepare(&a[1], "sip:alice@a.example");
    check_err(identity_sign_start(&a[1].job, keeper_signer_base(s)), 0);
    wheel_advance(t.wheel, 1000 + LIMIT_KEEPER_MS + 2);
    check_err(a[0].err, ERR_TIMEOUT);
    assert_int_equal(a[1].n_done, 0);
    keeper_turn(other); /* too late for the first; the order still holds */
    keeper_signer_ready(s);
    assert_int_equal(a[0].n_done, 1);
    keeper_turn(other);
    keeper_signer_ready(s);
    assert_int_equal(a[1].n_done, 1);
    check_err(a[1].err, 0);
    prepare(&a[2], "sip:alice@a.example");
    check_err(identity_sign_start(&a[2].job, keeper_signer_base(s)), 0);
    wheel_advance(t.wheel, 100000);
    check_err(a[2].err, ERR_TIMEOUT);
    assert_int_equal(a[2].n_done, 1);
    keeper_signer_free(s);
    (void)close(other);
}

/* --- handshakes on the same connection --- */

struct shaken {
    struct pki_sign_job job;
    int err, n_done;
};

static void on_shaken(struct pki_sign_job *job, int err, struct str signature)
{
    struct shaken *h = job->arg;

    assert_true((err == 0) == (signature.n > 0));
    h->err = err;
    h->n_done++;
}

static struct pki_signer *shake(struct keeper_signer *s, struct shaken *h, const char *key)
{
    static const char input[] = "                                                                "
                                "TLS 1.3, server CertificateVerify\0"
                                "01234567012345670123456701234567";

    *h = (struct shaken){.job = {.request = {.key = str_z(key),
                                             .kind = PKI_SIGN_TLS13_SERVER,
                                             .scheme = 0x0403,
                                             .input = STR(input)},
                                 .done = on_shaken,
                                 .arg = h}};
    check_err(keeper_signer_tls(s)->start(keeper_signer_tls(s), &h->job), 0);
    assert_int_equal(h->n_done, 0);
    return keeper_signer_tls(s);
}

/* One connection, one order; neither can be had by asking as the other. */
static void handshakes(void **state)
{
    struct keeper_frame f = {
        .type = KEEPER_SIGNED, .id = 0, .status = KEEPER_DONE, .body = STR("AAAA")};
    struct keeper_tls_args args = {
        .name = STR("t"), .cert_file = t.rsa, .key = t.other_key, .as_server = true};
    char name[PKI_KEY_NAME + 1], room[64];
    struct shaken h[4];
    struct asked a, b;
    struct evp_pkey_st *public;
    struct str text;
    int other;
    struct keeper_signer *s = signer_new(0, &other);
    struct pki_signer *signer;

    (void)state;
    check_err(pki_cert_key_load(t.rsa, &public, NULL), 0);
    check_err(pki_key_name(public, name), 0);
    EVP_PKEY_free(public);
    check_err(keeper_tls_keys_new(&args, 1, 0, t.keys, &t.serving.tls, NULL), 0);
    (void)shake(s, &h[0], name);
    prepare(&a, "sip:alice@a.example");
    check_err(identity_sign_start(&a.job, keeper_signer_base(s)), 0);
    (void)shake(s, &h[1], "a"); /* an identity's */
    signer = shake(s, &h[2], name);
    signer->cancel(signer, &h[2].job);
    prepare(&b, "sip:alice@a.example");
    b.job.key = str_z(name); /* one of TLS */
    b.job.passport.input = token("sip:alice@a.example", t.now_s).input;
    check_err(identity_sign_start(&b.job, keeper_signer_base(s)), 0);
    (void)shake(s, &h[3], name);
    for (unsigned i = 0; i < 3; i++) {
        keeper_turn(other);
        keeper_signer_ready(s);
    }
    assert_true(h[0].n_done == 1 && h[1].n_done == 1 && h[2].n_done == 0 && h[3].n_done == 1);
    check_err(h[0].err, 0);
    check_err(a.err, 0);
    check_err(h[1].err, ERR_NOTFOUND);
    check_err(b.err, ERR_NOTFOUND);
    check_err(h[3].err, 0);
    /* Too late; an answer of another kind is not our keeper's. */
    (void)shake(s, &h[0], name);
    wheel_advance(t.wheel, wheel_now_ms(t.wheel) + LIMIT_KEEPER_MS + 2);
    check_err(h[0].err, ERR_TIMEOUT);
    keeper_turn(other);
    keeper_signer_ready(s);
    assert_int_equal(h[0].n_done, 1);
    (void)shake(s, &h[1], name);
    f.id = 7; /* those before it: six, and the one that was too late */
    text = build(&f, room, sizeof(room));
    assert_int_equal(send(other, text.p, text.n, 0), text.n);
    keeper_signer_ready(s);
    check_err(h[1].err, ERR_CLOSED);
    assert_int_equal(keeper_signer_fd(s), -1);
    check_err(keeper_signer_tls(s)->start(keeper_signer_tls(s), &h[1].job), ERR_CLOSED);
    keeper_signer_free(s);
    (void)close(other);
    keeper_tls_keys_free(t.serving.tls);
    t.serving.tls = NULL;
}

static void gone(void **state)
{
    struct asked a[3];
    int other, next[2];
    struct keeper_signer *s = signer_new(0, &other);

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        prepare(&a[i], "sip:alice@a.example");
        check_err(identity_sign_start(&a[i].job, keeper_signer_base(s)), 0);
    }
    (void)close(other);
    keeper_signer_ready(s);
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(a[i].n_done, 1);
        check_err(a[i].err, ERR_CLOSED);
    }
    assert_int_equal(keeper_signer_fd(s), -1);
    prepare(&a[2], "sip:alice@a.example");
    check_err(identity_sign_start(&a[2].job, keeper_signer_base(s)), ERR_CLOSED);
    assert_int_equal(a[2].n_done, 0);
    /* The next keeper. */
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, next), 0);
    keeper_signer_attach(s, next[0]);
    check_err(identity_sign_start(&a[2].job, keeper_signer_base(s)), 0);
    t.conn->n_in = 0;
    keeper_turn(next[1]);
    keeper_signer_ready(s);
    check_err(a[2].err, 0);
    keeper_signer_free(s);
    (void)close(next[1]);
}

/* Something that is not our keeper: nobody gets a signature from it. */
static void mad(void **state)
{
    const struct keeper_frame says[] = {
        {.type = KEEPER_SIGNED, .id = 5, .status = KEEPER_DONE, .body = STR("AAAA")},
        {.type = KEEPER_STATE, .id = 0, .status = KEEPER_DONE, .body = STR("hello")},
        {.type = KEEPER_SIGN, .id = 0, .name = STR("a"), .body = STR("x.y")},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(says); i++) {
        struct asked a;
        int other;
        struct keeper_signer *s = signer_new(0, &other);
        char room[128];
        struct str text = build(&says[i], room, sizeof(room));

        prepare(&a, "sip:alice@a.example");
        check_err(identity_sign_start(&a.job, keeper_signer_base(s)), 0);
        assert_int_equal(send(other, text.p, text.n, MSG_NOSIGNAL), text.n);
        keeper_signer_ready(s);
        assert_int_equal(a.n_done, 1);
        check_err(a.err, ERR_CLOSED);
        keeper_signer_free(s);
        (void)close(other);
    }
}

static void no_memory(void **state)
{
    struct keeper_key_args args = key_args();

    (void)state;
    OOM_SWEEP(400, {
        struct keeper_keys *k = NULL;
        struct reason why = {.code = NULL};

        if (keeper_keys_new(&args, 1, &k, &why) != 0)
            assert_non_null(why.code);
        keeper_keys_free(k);
    });
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(frames),    TEST(frames_refused), TEST(keys_refused), TEST(judged),
        TEST(limited),   TEST(served),         TEST(identities_first), TEST(log_bounded),  TEST(signed_far_away),
        TEST(too_many),  TEST(late),           TEST(gone),         TEST(mad),
        TEST(no_memory), TEST(handshakes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

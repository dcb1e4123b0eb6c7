/* Frames between the daemon and its keeper, both directions: what comes in is any bytes, in pieces.
 * Nothing may be read outside, what was understood builds the same bytes again, the keeper answers
 * each request once and in order, and the daemon's side completes each job once, whatever the other
 * side says. The first byte chooses the side. */
#include "base/mem.h"
#include "keeper/serve.h"
#include "keeper/signer.h"
#include "pki/mint.h"
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define CHECK(x)                                                                                   \
    do {                                                                                           \
        if (!(x))                                                                                  \
            abort();                                                                               \
    } while (0)
#define NOW UINT64_C(1796000000) /* what the seeds say */
#define JOBS 4

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static struct keeper_keys *keys;
static struct keeper_tls_keys *tls;
static char tls_name[PKI_KEY_NAME + 1]; /* stands in the seeds as 64 'k' */
static struct arena *arena, *job_arena;

/* RSA of 2048 bits: to make one takes as long as thousands of inputs. */
static const char rsa_pem[] = "-----BEGIN RSA PRIVATE KEY-----\n"
                              "MIIEogIBAAKCAQEAuzvNGn+HlxIKJmCbnNANaw9mopbol47/jPfMQnH/z2nv0Tsy\n"
                              "r07KHCAokfoF+0b7W2VYFejju1kXPNdWTUeQvT7hkGTSkuO49Dw3zKDJz9TwGffZ\n"
                              "FtgiTk9R+no8r1CSRvSx+eZFu4XBodmDanUoFywrG2AkD0MIUFXrlclMleakTXUm\n"
                              "+uKRAMbUSZulHpaaoNbIWKXP26tJXkvgSGoKdIM8UF3qR6eWtYowWE5oEBI4J9BK\n"
                              "+NfN8uYXUkRy4Ga/QruADn3vjFzvmB3iCD+oFFlFwutAxusVxbpuMtRKYMvHJ1fR\n"
                              "R9/CTt2hwCjK7dPV01nOP1VXcW1oFqD3WcYJ/wIDAQABAoIBAE7XQSgp0GIkVgLQ\n"
                              "BmbTUvskeo73ZczACcsF40yNbW8dCD9+Insgfcm3Hu5NLmyfeKOFOsDLFu4idz8G\n"
                              "3A/hlUijLF9dnS/+VTj/DG4NvL1XyJzeuVq9u0BndTk4dMpL7rSTQEhfFzj9+0nY\n"
                              "alaPK8kKL8Kwyq5khyEw9OlXYPjzc+VZ7jrVjDY9PsOK2CD/VOFM8vaLp24jfr1/\n"
                              "+2zkqUz4lnl0uDuppfTDY2ucYN+lsGoQYivmDSeFK2FRjPrxO3Q4BJ1EOZxJleUb\n"
                              "u3Crb9evrbt3p1UzgiihJgnzVB032OFIBE6hmsy/Kz2MidIkhChUpmj7xvB4ecDT\n"
                              "TFWkHskCgYEA5RCn7OWnSc8dmZ4NlijWHdBE9cKHpj3DzjIccHUDvqUpTqVsIocj\n"
                              "jRdzgx93nQgy3cYmCLMdzb1Pyc7DVTeFal1EkjOCrWM1nsblcUD+qIb+cs6IoiwL\n"
                              "SgCCc3ch2VJLIMUn0q1+3wa6SjxXVpMJaExeU/UMGQEaP0zFpi/OEdcCgYEA0T/t\n"
                              "8cnVe0iigh/o13lMWK+e9dsY2hrZwfPf6OUhgkCzzMzyIFujn4I3+kvQ6XLCxE7V\n"
                              "6E5OJ+q48msOgr8GpcBI0laqxF27LplVMVZFfOxm6YEpk0jIby9CtMhUCdAfcK9j\n"
                              "RkDvVZfjhPaafgKFdpi0+njfA6tqzGtRq5ealBkCgYB4o/ENH1af1OkuAsP9FbzP\n"
                              "LuVi2fU/ZMA/VL0NrVMvkSTUOuNcu/fJU1SO9n+0wKCplLZrVoqX1OC01KSjuP4X\n"
                              "Ks/2gBKO5vVSjkZBA44bjB1usb/cSX4Yl3QdA91b66+NrshueNmc9Joghu8otX/6\n"
                              "4l27sg+RC7ebJv/hqsPJOQKBgG6mv8z8TkfDQSxOc3J+UkETnZulIJ81U7GcpOsj\n"
                              "P3UBghLqzZ8O1pei5LcXIIJSjWwBxFv0DKBPHz4SHrpFCd7cr6WK7wKoDjO2IbbV\n"
                              "SCmnWURhaPrZoiQpebzfspD93aJZHMYp0GYSy92kCk5YRvtQBWPuRwBJxVAT8Dwt\n"
                              "DzEBAoGANLlrl9Qsfkmf+9UvMJziNnLYoxqpQ45ouN2v8RS4k9iOxa735bVwD84/\n"
                              "8WnU14RtIX3gGnsR5TilFGZRmfE/xw2DQQBdTSUKRyigfm1iF02M9ankJBf/+D8I\n"
                              "qTahFICL/ny24K91vKgbJ3Cu9Tab96PkbIT+fwipBubrKqqqtF0=\n"
                              "-----END RSA PRIVATE KEY-----\n";

static void rsa_files(const char *cert, const char *key)
{
    FILE *f = fopen(key, "wxe");
    X509_EXTENSION *san = X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name, "DNS:a.example");
    X509 *x = X509_new();
    EVP_PKEY *pkey;
    BIO *b = BIO_new_mem_buf(rsa_pem, -1);

    CHECK(f && san && x && b && fchmod(fileno(f), 0600) == 0 && fputs(rsa_pem, f) >= 0);
    (void)fclose(f);
    pkey = PEM_read_bio_PrivateKey(b, NULL, NULL, NULL);
    CHECK(pkey && X509_set_version(x, X509_VERSION_3) == 1 && X509_set_pubkey(x, pkey) == 1 &&
          ASN1_INTEGER_set(X509_get_serialNumber(x), 1) == 1 &&
          ASN1_TIME_set_string_X509(X509_getm_notBefore(x), "20250101000000Z") == 1 &&
          ASN1_TIME_set_string_X509(X509_getm_notAfter(x), "21250101000000Z") == 1 &&
          X509_add_ext(x, san, -1) == 1 && X509_sign(x, pkey, EVP_sha256()) > 0);
    f = fopen(cert, "wxe");
    CHECK(f && PEM_write_X509(f, x) == 1);
    (void)fclose(f);
    X509_EXTENSION_free(san);
    X509_free(x);
    EVP_PKEY_free(pkey);
    BIO_free(b);
}

/* Keys for a.example: one of this run, and one of RSA for RFC 4474; of TLS another. */
static void keys_make(void)
{
    char dir[] = "/tmp/fuzz_keeper.XXXXXX", cert[64], key[64], rsa_cert[64], rsa_key[64];
    struct str domain = STR("a.example");
    struct pki_mint_args m = {.domains = &domain,
                              .n_domains = 1,
                              .not_before = NOW - 86400,
                              .days = 3650,
                              .cert_file = cert,
                              .key_file = key};
    struct keeper_key_args args = {.name = STR("a"),
                                   .cert_file = cert,
                                   .key = key,
                                   .url = STR("https://a.example/cert"),
                                   .rfc4474_cert_file = rsa_cert,
                                   .rfc4474_key = rsa_key};

    CHECK(mkdtemp(dir));
    (void)snprintf(cert, sizeof(cert), "%s/crt", dir);
    (void)snprintf(key, sizeof(key), "%s/key", dir);
    (void)snprintf(rsa_cert, sizeof(rsa_cert), "%s/rsa.crt", dir);
    (void)snprintf(rsa_key, sizeof(rsa_key), "%s/rsa.key", dir);
    rsa_files(rsa_cert, rsa_key);
    CHECK(pki_mint_cert(NULL, &m, NULL) == 0);
    CHECK(keeper_keys_new(&args, 1, &keys, NULL) == 0);
    {
        struct keeper_tls_args one = {
            .name = STR("t"), .cert_file = cert, .key = key, .as_server = true};
        EVP_PKEY *public;

        CHECK(keeper_tls_keys_new(&one, 1, 0, keys, &tls, NULL) == ERR_CONFLICT);
        CHECK(pki_mint_cert(NULL, &m, NULL) == 0);
        CHECK(keeper_tls_keys_new(&one, 1, 0, keys, &tls, NULL) == 0);
        CHECK(pki_cert_key_load(cert, &public, NULL) == 0 && pki_key_name(public, tls_name) == 0);
        EVP_PKEY_free(public);
    }
    (void)unlink(cert);
    (void)unlink(key);
    (void)unlink(rsa_cert);
    (void)unlink(rsa_key);
    (void)rmdir(dir);
    arena = arena_new(65536, 1 << 20);
    job_arena = arena_new(65536, 1 << 20);
    CHECK(arena && job_arena);
}

static void check_frame(struct str in)
{
    struct keeper_frame f;
    size_t n = 0;

    if (keeper_frame_parse(in, &f, &n) != 0)
        return;
    CHECK(n <= in.n && n <= LIMIT_KEEPER_FRAME && n == keeper_frame_size(&f));
    {
        static char room[LIMIT_KEEPER_FRAME];
        struct sbuf b = sbuf_make(room, sizeof(room));

        keeper_frame_build(&b, &f);
        CHECK(!b.overflow && str_eq(sbuf_get(&b), str_make(in.p, n)));
    }
}

/* The keeper reads it. */
static void serve(struct str in)
{
    static struct keeper_conn c;
    static char lines[65536];
    struct keeper_log log = {.lines = sbuf_make(lines, sizeof(lines))};
    struct keeper_serving s = {
        .keys = keys, .tls = tls, .arena = arena, .log = &log, .now_s = NOW, .now_ms = 1000};
    size_t piece = in.n ? 1 + (uint8_t)in.p[in.n - 1] * 16u : 1, at = 0;

    keeper_log_time(&log, NOW);
    c = (struct keeper_conn){.may_reload = in.n & 1};
    while (at < in.n) {
        size_t n = in.n - at < piece ? in.n - at : piece, done = 0, one;
        struct keeper_frame f;
        int err;

        if (n > sizeof(c.in) - c.n_in)
            n = sizeof(c.in) - c.n_in;
        memcpy(c.in + c.n_in, in.p + at, n);
        c.n_in += n;
        at += n;
        do
            err = keeper_serve(&s, &c);
        while (err == 0 && c.is_behind && c.n_out + KEEPER_ANSWER_MAX < sizeof(c.out));
        CHECK(c.n_in <= sizeof(c.in) && c.n_out <= sizeof(c.out));
        while (done < c.n_out) { /* whole answers, each well formed */
            CHECK(keeper_frame_parse(str_make(c.out + done, c.n_out - done), &f, &one) == 0);
            CHECK((f.type == KEEPER_SIGNED || f.type == KEEPER_TLS_SIGNED ||
                   f.type == KEEPER_RFC4474_SIGNED) &&
                  one <= KEEPER_ANSWER_MAX);
            done += one;
        }
        c.n_out = 0;
        log.lines.n = 0;
        if (err != 0)
            return;
    }
}

static void on_done(struct identity_sign_job *job, int err, struct str value)
{
    unsigned *n = job->arg;

    (void)err;
    CHECK((err == 0) == (value.p != NULL));
    CHECK(++*n == 1);
}

static void on_tls_done(struct pki_sign_job *job, int err, struct str signature)
{
    unsigned *n = job->arg;

    CHECK((err == 0) == (signature.n > 0) && signature.n <= PKI_SIGNATURE_MAX);
    CHECK(++*n == 1);
}

/* The daemon reads it. */
static void answer(struct str in)
{
    struct identity_sign_job jobs[JOBS];
    unsigned n_done[JOBS] = {0}, n_tls = 0, n_old = 0;
    struct identity_sign_job old = {.arena = job_arena,
                                    .digest_string = STR("a|b"),
                                    .key = STR("a"),
                                    .done = on_done,
                                    .arg = &n_old};
    struct pki_sign_job handshake = {.request = {.key = str_z(tls_name),
                                                 .kind = PKI_SIGN_TLS13_SERVER,
                                                 .scheme = 0x0403,
                                                 .input = STR("x")},
                                     .done = on_tls_done,
                                     .arg = &n_tls};
    struct wheel *wheel = wheel_new(1000);
    struct keeper_signer_args args = {.wheel = wheel, .max_waiting = JOBS + 2};
    struct keeper_signer *s;
    size_t at = 0, n_cancelled = 0;
    int pair[2];

    CHECK(wheel && socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
    CHECK(keeper_signer_new(&args, &s) == 0);
    keeper_signer_attach(s, pair[0]);
    for (size_t i = 0; i < JOBS; i++) {
        jobs[i] = (struct identity_sign_job){
            .arena = job_arena,
            .passport = {.x5u = STR("https://a.example/cert"), .input = STR("x.y")},
            .key = STR("a"),
            .done = on_done,
            .arg = &n_done[i]};
        CHECK(identity_sign_start(&jobs[i], keeper_signer_base(s)) == 0);
    }
    CHECK(keeper_signer_tls(s)->start(keeper_signer_tls(s), &handshake) == 0);
    CHECK(identity_sign_start(&old, keeper_signer_base(s)) == 0);
    if (in.n & 1) {
        identity_sign_cancel(&jobs[1]);
        n_cancelled = 1;
    }
    while (at < in.n && keeper_signer_fd(s) >= 0) {
        size_t n = in.n - at < 4096 ? in.n - at : 4096;
        ssize_t sent = send(pair[1], in.p + at, n, MSG_NOSIGNAL | MSG_DONTWAIT);

        if (sent <= 0)
            break;
        at += (size_t)sent;
        keeper_signer_ready(s);
    }
    wheel_advance(wheel, 1000 + 2 * LIMIT_KEEPER_MS);
    keeper_signer_free(s);
    for (size_t i = 0; i < JOBS; i++)
        CHECK(n_done[i] == (i == 1 && n_cancelled ? 0 : 1));
    CHECK(n_old == 1);
    CHECK(n_tls == 1);
    (void)close(pair[1]);
    wheel_free(wheel);
    arena_reset(job_arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct str in = str_make((const char *)data, n);

    if (!keys)
        keys_make();
    if (n == 0 || n > 4 * LIMIT_KEEPER_FRAME)
        return 0;
    in = str_make(in.p + 1, n - 1);
    check_frame(in);
    if (data[0] & 1) {
        answer(in);
    } else {
        char *copy = mem_alloc(in.n + 1);
        static const char stands_for[] =
            "kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk";

        CHECK(copy && sizeof(stands_for) == sizeof(tls_name));
        memcpy(copy, in.p, in.n);
        for (char *p = copy; (p = memmem(p, (size_t)(copy + in.n - p), stands_for, PKI_KEY_NAME));)
            memcpy(p, tls_name, PKI_KEY_NAME);
        serve(str_make(copy, in.n));
        mem_free(copy);
    }
    return 0;
}

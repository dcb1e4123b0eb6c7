/* What a signature by the keeper costs beside one in the process: CPU time of both processes, by
 * how many are under way at once; then with handshakes of TLS by an RSA key under way as well,
 * whose own signatures are taken off. The keeper is the real one (another process, its judgement,
 * its log, its filter of system calls). Usage: micro_keeper SALLYPORT [signatures] */
#include "base/err.h"
#include "base/wheel.h"
#include "keeper/link.h"
#include "keeper/signer.h"
#include "pki/mint.h"
#include "pki/signing.h"
#include <fcntl.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509v3.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define MAX_JOBS 512
#define HANDSHAKES 4
#define RSA_PSS_RSAE_SHA256 0x0804 /* RFC 8446 4.2.3 */

static struct {
    char dir[64], cert[128], key[128], conf[128], rsa_cert[128], rsa_key[128];
    EVP_PKEY *rsa;
    char rsa_name[PKI_KEY_NAME + 1], rsa_input[PKI_TLS13_INPUT_MAX];
    size_t n_rsa_input;
    struct pki_signer *tls;
    struct pki_sign_job handshakes[HANDSHAKES];
    unsigned long n_handshakes;
    bool wants_handshakes;
    struct wheel *wheel;
    struct arena *token_arena, *arenas[MAX_JOBS];
    struct passport token;
    struct identity_sign_job jobs[MAX_JOBS];
    unsigned idle[MAX_JOBS], n_idle;
    unsigned long n_done, n_failed;
} t;

static double seconds(clockid_t clock)
{
    struct timespec ts;

    clock_gettime(clock, &ts);
    return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

/* Run time of all threads of another process, in seconds. */
static double cpu_of(int pid)
{
    char path[64];
    unsigned long long ns = 0;
    FILE *f;

    (void)snprintf(path, sizeof(path), "/proc/%d/schedstat", pid);
    f = fopen(path, "r");
    if (!f || fscanf(f, "%llu", &ns) != 1)
        ns = 0;
    if (f)
        fclose(f);
    return (double)ns / 1e9;
}

static void on_done(struct identity_sign_job *job, int err, struct str value)
{
    unsigned i = *(const unsigned *)job->arg;

    t.n_failed += err != 0 || !value.p;
    t.n_done++;
    t.idle[t.n_idle++] = i;
}

static void start(struct identity_signer *signer)
{
    static unsigned numbers[MAX_JOBS];
    unsigned i = t.idle[--t.n_idle];

    numbers[i] = i;
    arena_reset(t.arenas[i]);
    t.jobs[i] = (struct identity_sign_job){.arena = t.arenas[i],
                                           .passport = t.token,
                                           .key = STR("bench.example"),
                                           .done = on_done,
                                           .arg = &numbers[i]};
    if (identity_sign_start(&t.jobs[i], signer) != 0) {
        t.n_failed++;
        t.idle[t.n_idle++] = i;
        exit(1);
    }
}

/* --- handshakes: what a server with a certificate of RSA signs (RFC 8446 4.4.3) --- */

static void on_handshake(struct pki_sign_job *job, int err, struct str signature)
{
    t.n_failed += err != 0 || !signature.n;
    t.n_handshakes++;
    if (t.wants_handshakes && t.tls->start(t.tls, job) != 0)
        exit(1);
}

static int make_rsa(void)
{
    static const char context[] = "TLS 1.3, server CertificateVerify"; /* a zero ends it */
    X509 *x = X509_new();
    X509_EXTENSION *san = X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name,
                                              "DNS:bench.example,URI:sip:bench.example");
    X509_NAME *name = X509_NAME_new();
    FILE *cert = fopen(t.rsa_cert, "w"),
         *key = fdopen(open(t.rsa_key, O_WRONLY | O_CREAT | O_EXCL, 0600), "w");
    bool ok = (t.rsa = EVP_RSA_gen(2048)) != NULL && x && san && name && cert && key &&
              X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC,
                                         (const unsigned char *)"bench.example", -1, -1, 0) &&
              X509_set_version(x, 2) && ASN1_INTEGER_set(X509_get_serialNumber(x), 1) &&
              X509_gmtime_adj(X509_getm_notBefore(x), -60) &&
              X509_gmtime_adj(X509_getm_notAfter(x), 86400) && X509_set_subject_name(x, name) &&
              X509_set_issuer_name(x, name) && X509_set_pubkey(x, t.rsa) &&
              X509_add_ext(x, san, -1) && X509_sign(x, t.rsa, EVP_sha256()) > 0 &&
              PEM_write_X509(cert, x) &&
              PEM_write_PrivateKey(key, t.rsa, NULL, NULL, 0, NULL, NULL);

    if (cert)
        ok = fclose(cert) == 0 && ok;
    if (key)
        ok = fclose(key) == 0 && ok;
    X509_NAME_free(name);
    X509_EXTENSION_free(san);
    X509_free(x);
    memset(t.rsa_input, ' ', 64);
    memcpy(t.rsa_input + 64, context, sizeof(context));
    memset(t.rsa_input + 64 + sizeof(context), 0x5a, 32);
    t.n_rsa_input = 64 + sizeof(context) + 32;
    for (unsigned i = 0; i < HANDSHAKES; i++)
        t.handshakes[i] =
            (struct pki_sign_job){.request = {.key = str_make(t.rsa_name, PKI_KEY_NAME),
                                              .kind = PKI_SIGN_TLS13_SERVER,
                                              .scheme = RSA_PSS_RSAE_SHA256,
                                              .input = str_make(t.rsa_input, t.n_rsa_input)},
                                  .done = on_handshake};
    return ok && pki_key_name(t.rsa, t.rsa_name) == 0 ? 0 : -1;
}

/* The same signature in the process, in microseconds. */
static double rsa_alone(unsigned n)
{
    unsigned char signature[PKI_SIGNATURE_MAX];
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    EVP_PKEY_CTX *pctx = NULL;
    double cpu = seconds(CLOCK_PROCESS_CPUTIME_ID);

    for (unsigned i = 0; i < n; i++) {
        size_t len = sizeof(signature);
        if (!ctx || EVP_DigestSignInit(ctx, &pctx, EVP_sha256(), NULL, t.rsa) != 1 ||
            EVP_PKEY_CTX_set_rsa_padding(pctx, RSA_PKCS1_PSS_PADDING) != 1 ||
            EVP_PKEY_CTX_set_rsa_pss_saltlen(pctx, RSA_PSS_SALTLEN_DIGEST) != 1 ||
            EVP_DigestSign(ctx, signature, &len, (const unsigned char *)t.rsa_input,
                           t.n_rsa_input) != 1)
            exit(1);
    }
    EVP_MD_CTX_free(ctx);
    return (seconds(CLOCK_PROCESS_CPUTIME_ID) - cpu) / n * 1e6;
}

static void handshakes_start(void)
{
    t.wants_handshakes = true;
    for (unsigned i = 0; i < HANDSHAKES; i++)
        if (t.tls->start(t.tls, &t.handshakes[i]) != 0)
            exit(1);
}

/* --- the keeper --- */

static int make_files(void)
{
    struct str domain = STR("bench.example");
    struct pki_mint_args m = {
        .domains = &domain, .n_domains = 1, .days = 1, .cert_file = t.cert, .key_file = t.key};
    struct reason why;
    FILE *f;

    (void)snprintf(t.dir, sizeof(t.dir), "/tmp/micro_keeper.XXXXXX");
    if (!mkdtemp(t.dir))
        return -1;
    (void)snprintf(t.cert, sizeof(t.cert), "%s/crt", t.dir);
    (void)snprintf(t.key, sizeof(t.key), "%s/key", t.dir);
    (void)snprintf(t.conf, sizeof(t.conf), "%s/conf", t.dir);
    (void)snprintf(t.rsa_cert, sizeof(t.rsa_cert), "%s/rsa.crt", t.dir);
    (void)snprintf(t.rsa_key, sizeof(t.rsa_key), "%s/rsa.key", t.dir);
    f = fopen(t.conf, "w");
    if (!f || pki_mint_cert(NULL, &m, &why) != 0 || make_rsa() != 0)
        return -1;
    fprintf(
        f,
        "keeper-log = \"%s/log\"\nidentity \"bench.example\" { certificate = \"%s\"\nkey = \"%s\"\n"
        "url = \"https://bench.example/cert\"\nrate = 1000000 }\n"
        "tls-keys = keeper\ntls-keys-rate = 0\n"
        "domain \"bench.example\" { certificate = \"%s\"\nkey = \"%s\" }\n",
        t.dir, t.cert, t.key, t.rsa_cert, t.rsa_key);
    return fclose(f);
}

static int make_token(void)
{
    static const struct passport_key keys[] = {
        {{"sha-256", 7}, {"0102030405060708090A0B0C0D0E0F100102030405060708090A0B0C0D0E0F10", 64}}};
    static const struct passport_id dest = {false, {"sip:bob@elsewhere.example", 25}};
    struct reason why;

    t.token = (struct passport){.alg = JWS_ES256,
                                .x5u = STR("https://bench.example/cert"),
                                .orig = {false, STR("sip:alice@bench.example")},
                                .dest = &dest,
                                .n_dest = 1,
                                .iat = (uint64_t)time(NULL),
                                .mky = keys,
                                .n_mky = 1};
    return passport_build(t.token_arena, &t.token, &why);
}

static double run_local(unsigned long n)
{
    struct identity_local_signer signer;
    struct jws_key *key;
    struct reason why;
    FILE *f = fopen(t.key, "r");
    EVP_PKEY *pkey = f ? PEM_read_PrivateKey(f, NULL, NULL, NULL) : NULL;
    double cpu;

    if (f)
        fclose(f);
    if (!pkey || jws_key_new(pkey, true, &key, &why) != 0)
        exit(1);
    identity_local_signer_init(&signer, key, MAX_JOBS);
    t.n_done = 0;
    cpu = seconds(CLOCK_PROCESS_CPUTIME_ID);
    while (t.n_done < n) {
        for (unsigned i = 0; i < 8; i++)
            start(&signer.base);
        identity_local_signer_run(&signer);
    }
    cpu = seconds(CLOCK_PROCESS_CPUTIME_ID) - cpu;
    identity_local_signer_done(&signer);
    jws_key_free(key);
    EVP_PKEY_free(pkey);
    return cpu / (double)t.n_done * 1e6;
}

/* `width` under way at any time: what is answered is asked again at once. `rsa`: what a handshake's
 * signature costs by itself; 0: without handshakes. */
static void run_keeper(struct keeper_signer *s, int pid, unsigned width, unsigned long n,
                       double local, double rsa)
{
    double own, other, wall;

    t.n_done = t.n_handshakes = 0;
    own = seconds(CLOCK_PROCESS_CPUTIME_ID);
    other = cpu_of(pid);
    wall = seconds(CLOCK_MONOTONIC);
    if (rsa > 0)
        handshakes_start();
    for (unsigned i = 0; i < width; i++)
        start(keeper_signer_base(s));
    while (t.n_done < n) {
        struct pollfd p = {.fd = keeper_signer_fd(s), .events = POLLIN};
        unsigned long before = t.n_done;

        if (p.fd < 0)
            exit(1);
        if (keeper_signer_wants_write(s))
            p.events |= POLLOUT;
        (void)poll(&p, 1, 1000);
        keeper_signer_ready(s);
        for (unsigned long i = t.n_done - before; i > 0; i--)
            start(keeper_signer_base(s));
    }
    wall = seconds(CLOCK_MONOTONIC) - wall;
    own = (seconds(CLOCK_PROCESS_CPUTIME_ID) - own) / (double)t.n_done * 1e6;
    t.wants_handshakes = false;
    for (unsigned left = rsa > 0 ? HANDSHAKES : 0;
         MAX_JOBS - t.n_idle > 0 || left > 0;) { /* the rest */
        unsigned long before = t.n_handshakes;
        struct pollfd p = {.fd = keeper_signer_fd(s), .events = POLLIN};

        (void)poll(&p, 1, 1000);
        keeper_signer_ready(s);
        left -= (unsigned)(t.n_handshakes - before);
    }
    other = (cpu_of(pid) - other) / (double)t.n_done * 1e6 -
            rsa * (double)t.n_handshakes / (double)t.n_done;
    printf("%4u under way: %6.1f us (asking %5.1f, keeper %5.1f), %5.1f more than in the process; "
           "%.0f a second",
           width, own + other, own, other, own + other - local, (double)t.n_done / wall);
    if (rsa > 0)
        printf(", and %.0f handshakes", (double)t.n_handshakes / wall);
    printf("\n");
}

static void attach(void *arg, unsigned worker, int fd)
{
    (void)worker;
    keeper_signer_attach(arg, fd);
}

int main(int argc, char **argv)
{
    static const unsigned widths[] = {1, 2, 8, 32, 128};
    unsigned long n = argc > 2 ? strtoul(argv[2], NULL, 10) : 20000;
    struct keeper_link_args args = {
        .program = argc > 1 ? argv[1] : NULL, .config = t.conf, .n_workers = 1};
    struct keeper_signer_args sa;
    struct keeper_signer *s;
    struct keeper_link_stats stats;
    struct keeper_link *link;
    struct reason why = {.detail = ""};
    double local, rsa;

    t.wheel = wheel_new(0);
    t.token_arena = arena_new(8192, 1 << 20);
    for (unsigned i = 0; i < MAX_JOBS; i++) {
        t.arenas[i] = arena_new(4096, 1 << 20);
        t.idle[t.n_idle++] = i;
    }
    sa = (struct keeper_signer_args){.wheel = t.wheel};
    if (argc < 2 || make_files() != 0 || make_token() != 0 || keeper_signer_new(&sa, &s) != 0)
        return 1;
    if (keeper_link_start(&args, &link, &why) != 0) {
        fprintf(stderr, "%s\n", why.detail);
        return 1;
    }
    keeper_link_attach(link, attach, s);
    keeper_link_stats(link, &stats);
    (void)run_local(n / 10);
    local = run_local(n);
    printf("in the process: %.1f us\n", local);
    for (size_t i = 0; i < sizeof(widths) / sizeof(widths[0]); i++) {
        (void)make_token();
        run_keeper(s, stats.pid, widths[i], n, local, 0);
    }
    (void)rsa_alone(100);
    rsa = rsa_alone(1000);
    t.tls = keeper_signer_tls(s);
    printf("with %u handshakes under way as well, %.1f us each by itself:\n", HANDSHAKES, rsa);
    for (size_t i = 2; i < sizeof(widths) / sizeof(widths[0]); i++) {
        (void)make_token();
        run_keeper(s, stats.pid, widths[i], n, local, rsa);
    }
    if (t.n_failed)
        printf("%lu failed\n", t.n_failed);
    keeper_signer_free(s);
    keeper_link_stop(link);
    (void)unlink(t.conf);
    (void)unlink(t.cert);
    (void)unlink(t.key);
    (void)unlink(t.rsa_cert);
    (void)unlink(t.rsa_key);
    EVP_PKEY_free(t.rsa);
    (void)snprintf(t.conf, sizeof(t.conf), "%s/log", t.dir);
    (void)unlink(t.conf);
    (void)rmdir(t.dir);
    return t.n_failed != 0;
}

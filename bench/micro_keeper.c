/* What a signature by the keeper costs beside one in the process: CPU time of both processes, by
 * how many are under way at once. The keeper is the real one (another process, its judgement, its
 * log, its filter of system calls). Usage: micro_keeper SALLYPORT [signatures] */
#include "base/err.h"
#include "base/wheel.h"
#include "keeper/link.h"
#include "keeper/signer.h"
#include "pki/mint.h"
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define MAX_JOBS 512

static struct {
    char dir[64], cert[128], key[128], conf[128];
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
    f = fopen(t.conf, "w");
    if (!f || pki_mint_cert(NULL, &m, &why) != 0)
        return -1;
    fprintf(
        f,
        "keeper-log = \"%s/log\"\nidentity \"bench.example\" { certificate = \"%s\"\nkey = \"%s\"\n"
        "url = \"https://bench.example/cert\"\nrate = 1000000 }\n",
        t.dir, t.cert, t.key);
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

/* `width` under way at any time: what is answered is asked again at once. */
static void run_keeper(struct keeper_signer *s, int pid, unsigned width, unsigned long n,
                       double local)
{
    double own, other, wall;

    t.n_done = 0;
    own = seconds(CLOCK_PROCESS_CPUTIME_ID);
    other = cpu_of(pid);
    wall = seconds(CLOCK_MONOTONIC);
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
    while (MAX_JOBS - t.n_idle > 0) { /* the rest */
        struct pollfd p = {.fd = keeper_signer_fd(s), .events = POLLIN};

        (void)poll(&p, 1, 1000);
        keeper_signer_ready(s);
    }
    other = (cpu_of(pid) - other) / (double)t.n_done * 1e6;
    printf("%4u under way: %6.1f us (asking %5.1f, keeper %5.1f), %5.1f more than in the process; "
           "%.0f a second\n",
           width, own + other, own, other, own + other - local, (double)t.n_done / wall);
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
    double local;

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
        run_keeper(s, stats.pid, widths[i], n, local);
    }
    if (t.n_failed)
        printf("%lu failed\n", t.n_failed);
    keeper_signer_free(s);
    keeper_link_stop(link);
    (void)unlink(t.conf);
    (void)unlink(t.cert);
    (void)unlink(t.key);
    (void)snprintf(t.conf, sizeof(t.conf), "%s/log", t.dir);
    (void)unlink(t.conf);
    (void)rmdir(t.dir);
    return t.n_failed != 0;
}

/* What it costs a worker to find a certificate that is ready, by how many others are: certs_get and
 * certs_put, nanoseconds. A small https server in a thread hands out one certificate for any path.
 * Usage: micro_certs [rounds] */
#include "base/err.h"
#include "fetch/certs.h"
#include "pki/mint.h"
#include <openssl/ssl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define CERTS 1000

static struct {
    char dir[64], ca[96], cert[96], key[96];
    SSL_CTX *ctx;
    int listener;
    unsigned port;
    pthread_mutex_t lock;
    pthread_cond_t posted;
    struct {
        void (*fn)(void *, void *);
        void *arg;
    } posts[CERTS];
    size_t n_posts;
    struct certs_worker *worker;
    char urls[CERTS][64];
    unsigned n_told, n_bad;
} t = {.lock = PTHREAD_MUTEX_INITIALIZER, .posted = PTHREAD_COND_INITIALIZER};

static void *server_main(void *arg)
{
    char text[8192], head[128], in[4096];
    FILE *f = fopen(t.cert, "r");
    size_t n = f ? fread(text, 1, sizeof(text), f) : 0;

    (void)arg;
    if (f)
        fclose(f);
    (void)snprintf(head, sizeof(head),
                   "HTTP/1.1 200 OK\r\nCache-Control: max-age=9999\r\nContent-Length: %zu\r\n\r\n",
                   n);
    for (;;) {
        int fd = accept(t.listener, NULL, NULL);
        SSL *ssl = fd >= 0 ? SSL_new(t.ctx) : NULL;

        if (!ssl)
            return NULL;
        SSL_set_fd(ssl, fd);
        if (SSL_accept(ssl) == 1 && SSL_read(ssl, in, sizeof(in)) > 0) {
            (void)SSL_write(ssl, head, (int)strlen(head));
            (void)SSL_write(ssl, text, (int)n);
            (void)SSL_shutdown(ssl);
        }
        SSL_free(ssl);
        (void)close(fd);
    }
}

static int post(void *arg, unsigned worker, void (*fn)(void *worker, void *arg), void *item)
{
    (void)arg, (void)worker;
    pthread_mutex_lock(&t.lock);
    t.posts[t.n_posts].fn = fn;
    t.posts[t.n_posts++].arg = item;
    pthread_cond_signal(&t.posted);
    pthread_mutex_unlock(&t.lock);
    return 0;
}

static void run_posted(void)
{
    void (*fn)(void *, void *);
    void *arg;

    pthread_mutex_lock(&t.lock);
    while (t.n_posts == 0)
        pthread_cond_wait(&t.posted, &t.lock);
    fn = t.posts[--t.n_posts].fn;
    arg = t.posts[t.n_posts].arg;
    pthread_mutex_unlock(&t.lock);
    fn(NULL, arg);
}

static void on_cred(void *arg, const struct identity_credential *cred)
{
    (void)arg;
    t.n_told++;
    t.n_bad += !cred || cred->state != IDENTITY_CRED_GOOD;
    if (cred)
        certs_put(cred);
}

static int make_files(void)
{
    const struct pki_mint_san ip = {.kind = PKI_MINT_IP, .value = STR("127.0.0.1")};
    struct pki_mint_ca_args ca_args = {.cn = STR("Bench CA"), .days = 2};
    struct pki_mint_args m = {.sans = &ip,
                              .n_sans = 1,
                              .cn = STR("bench.example"),
                              .days = 1,
                              .cert_file = t.cert,
                              .key_file = t.key};
    struct pki_mint_ca *ca;

    (void)snprintf(t.dir, sizeof(t.dir), "/tmp/micro_certs.XXXXXX");
    if (!mkdtemp(t.dir))
        return -1;
    (void)snprintf(t.ca, sizeof(t.ca), "%s/ca", t.dir);
    (void)snprintf(t.cert, sizeof(t.cert), "%s/crt", t.dir);
    (void)snprintf(t.key, sizeof(t.key), "%s/key", t.dir);
    if (pki_mint_ca_new(&ca_args, &ca, NULL) != 0 || pki_mint_ca_save(ca, t.ca, NULL, NULL) != 0 ||
        pki_mint_cert(ca, &m, NULL) != 0)
        return -1;
    pki_mint_ca_free(ca);
    return 0;
}

static int start_server(pthread_t *thread)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof(a);

    t.ctx = SSL_CTX_new(TLS_server_method());
    t.listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (!t.ctx || SSL_CTX_use_certificate_chain_file(t.ctx, t.cert) != 1 ||
        SSL_CTX_use_PrivateKey_file(t.ctx, t.key, SSL_FILETYPE_PEM) != 1 ||
        bind(t.listener, (struct sockaddr *)&a, n) != 0 || listen(t.listener, 64) != 0 ||
        getsockname(t.listener, (struct sockaddr *)&a, &n) != 0)
        return -1;
    t.port = ntohs(a.sin_port);
    return pthread_create(thread, NULL, server_main, NULL);
}

static double cpu_ns(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
    return (double)ts.tv_sec * 1e9 + (double)ts.tv_nsec;
}

/* Among the first `n`, each in its turn, far from the one before. */
static double measure(size_t n, unsigned long rounds)
{
    double began = cpu_ns();
    size_t at = 0;

    for (unsigned long i = 0; i < rounds; i++) {
        const struct identity_credential *cred;
        uint64_t id;

        at = (at + 617) % n;
        if (certs_get(t.worker, str_z(t.urls[at]), on_cred, NULL, &cred, &id) != 0)
            exit(1);
        certs_put(cred);
    }
    return (cpu_ns() - began) / (double)rounds;
}

int main(int argc, char **argv)
{
    unsigned long rounds = argc > 1 ? strtoul(argv[1], NULL, 10) : 2000000;
    struct addr_net loopback;
    struct fetch_args args = {.ca_file = t.ca, .allowed = &loopback, .n_allowed = 1};
    struct certs_args certs_args = {.post = post};
    struct certs_change *change;
    struct pki_anchors *anchors;
    struct wheel *wheel;
    struct certs *certs;
    struct timespec now;
    pthread_t thread;

    (void)signal(SIGPIPE, SIG_IGN);
    clock_gettime(CLOCK_MONOTONIC, &now);
    wheel = wheel_new((uint64_t)now.tv_sec * 1000);
    if (!wheel || make_files() != 0 || start_server(&thread) != 0 ||
        addr_net_parse(&loopback, STR("127.0.0.1")) != 0 ||
        fetch_new(&args, &certs_args.fetch, NULL) != 0 || certs_new(&certs_args, &certs) != 0 ||
        pki_anchors_new(t.ca, NULL, &anchors, NULL) != 0 ||
        certs_change_new(certs, anchors, &change) != 0 || certs_worker_new(certs, 0, wheel, &t.worker) != 0)
        return 1;
    certs_change_commit(change);
    for (size_t i = 0; i < CERTS; i++) {
        const struct identity_credential *cred;
        uint64_t id;

        (void)snprintf(t.urls[i], sizeof(t.urls[i]), "https://127.0.0.1:%u/certificates/of/%zu.pem",
                       t.port, i);
        if (certs_get(t.worker, str_z(t.urls[i]), on_cred, NULL, &cred, &id) != ERR_AGAIN)
            return 1;
        run_posted();
    }
    printf("%u fetched and validated, %u of them not good\n", t.n_told, t.n_bad);
    (void)measure(1, rounds / 10);
    printf("found among    1: %5.0f ns\n", measure(1, rounds));
    printf("found among 1000: %5.0f ns\n", measure(CERTS, rounds));
    fetch_stop(certs_args.fetch);
    certs_worker_free(t.worker);
    fetch_free(certs_args.fetch);
    certs_free(certs);
    pki_anchors_unref(anchors);
    wheel_free(wheel);
    (void)unlink(t.ca);
    (void)unlink(t.cert);
    (void)unlink(t.key);
    (void)rmdir(t.dir);
    return t.n_bad != 0;
}

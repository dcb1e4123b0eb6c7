/* Credentials over real TLS: a small https server in a thread, the fetcher in its own, and this one
 * as a worker. What must not be fetched, what must not be trusted, what is asked for once. */
#include "check.h"

#include "base/limits.h"
#include "base/mem.h"
#include "fetch/certs.h"
#include "oom.h"
#include "pki/mint.h"
#include "pki/statuses.h"
#include <openssl/ssl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static struct {
    char dir[64];
    char file[8][128];
    /* the server */
    int listener;
    unsigned port;
    SSL_CTX *ctx;
    pthread_t thread;
    _Atomic bool stop;
    _Atomic unsigned n_requests;
    /* us */
    struct fetch *fetch;
    struct certs *certs;
    struct certs_worker *worker;
    struct wheel *wheel;
    pthread_mutex_t lock;
    pthread_cond_t posted;
    struct {
        void (*fn)(void *, void *);
        void *arg;
    } posts[64];
    size_t n_posts;
} t;

enum { CA, CA_KEY, TLS, TLS_KEY, SIP, SIP_KEY, ALIEN, ALIEN_KEY };

/* --- the server --- */

static void answer_file(SSL *ssl, const char *head, const char *file)
{
    char text[16384];
    FILE *f = fopen(file, "r");
    size_t n = f ? fread(text, 1, sizeof(text), f) : 0;
    char line[256];

    if (f)
        fclose(f);
    (void)snprintf(line, sizeof(line), "HTTP/1.1 200 OK\r\n%sContent-Length: %zu\r\n\r\n", head, n);
    (void)SSL_write(ssl, line, (int)strlen(line));
    (void)SSL_write(ssl, text, (int)n);
}

static void answer(SSL *ssl, const char *path)
{
    static const char no[] = "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n";
    char text[4096];

    if (strncmp(path, "/sip", 4) == 0) {
        answer_file(ssl, "Cache-Control: max-age=300\r\n", t.file[SIP]);
    } else if (strcmp(path, "/alien") == 0) {
        answer_file(ssl, "", t.file[ALIEN]);
    } else if (strcmp(path, "/junk") == 0) {
        answer_file(ssl, "", t.file[SIP_KEY]);
    } else if (strcmp(path, "/away") == 0) {
        const char *to = "HTTP/1.1 302 Found\r\nLocation: https://169.254.169.254/\r\n"
                         "Content-Length: 0\r\n\r\n";
        (void)SSL_write(ssl, to, (int)strlen(to));
    } else if (strcmp(path, "/moved") == 0) {
        const char *to = "HTTP/1.1 302 Found\r\nLocation: /sip\r\nContent-Length: 0\r\n\r\n";
        (void)SSL_write(ssl, to, (int)strlen(to));
    } else if (strcmp(path, "/endless") == 0) {
        const char *head = "HTTP/1.1 200 OK\r\n\r\n";

        (void)SSL_write(ssl, head, (int)strlen(head));
        memset(text, 'x', sizeof(text));
        while (!t.stop && SSL_write(ssl, text, sizeof(text)) > 0)
            ;
    } else if (strcmp(path, "/slow") == 0) { /* never nothing, never the end */
        const char *head = "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n";

        (void)SSL_write(ssl, head, (int)strlen(head));
        while (!t.stop && SSL_write(ssl, "x", 1) > 0)
            (void)usleep(100000);
    } else if (strcmp(path, "/large") == 0) {
        const char *head = "HTTP/1.1 200 OK\r\nContent-Length: 65537\r\n\r\n";

        (void)SSL_write(ssl, head, (int)strlen(head));
    } else {
        (void)SSL_write(ssl, no, sizeof(no) - 1);
    }
}

static void serve_one(int fd)
{
    struct timeval patience = {.tv_sec = 2};
    SSL *ssl = SSL_new(t.ctx);
    char in[4096], path[256] = "";
    size_t n = 0;
    int got;

    (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    (void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
    SSL_set_fd(ssl, fd);
    if (SSL_accept(ssl) == 1) {
        while (n < sizeof(in) - 1 && (got = SSL_read(ssl, in + n, (int)(sizeof(in) - 1 - n))) > 0) {
            n += (size_t)got;
            in[n] = '\0';
            if (strstr(in, "\r\n\r\n"))
                break;
        }
        if (n > 4 && memcmp(in, "GET ", 4) == 0) {
            struct str head;

            (void)str_cut(str_make(in + 4, n - 4), ' ', &head);
            if (str_copy_z(path, sizeof(path), head) == 0) {
                t.n_requests++;
                answer(ssl, path);
            }
        }
        (void)SSL_shutdown(ssl);
    }
    SSL_free(ssl);
    (void)close(fd);
}

static void *server_main(void *arg)
{
    (void)arg;
    while (!t.stop) {
        struct pollfd p = {.fd = t.listener, .events = POLLIN};

        if (poll(&p, 1, 50) == 1) {
            int fd = accept(t.listener, NULL, NULL);

            if (fd >= 0)
                serve_one(fd);
        }
    }
    return NULL;
}

/* --- the worker's side --- */

static int post(void *arg, unsigned worker, void (*fn)(void *worker, void *arg), void *item)
{
    int err = ERR_LIMIT;

    (void)arg;
    assert_int_equal(worker, 0);
    pthread_mutex_lock(&t.lock);
    if (t.n_posts < ARRAY_LEN(t.posts)) {
        t.posts[t.n_posts].fn = fn;
        t.posts[t.n_posts++].arg = item;
        pthread_cond_signal(&t.posted);
        err = 0;
    }
    pthread_mutex_unlock(&t.lock);
    return err;
}

/* Runs the next thing posted; waits for it as long as a loaded machine may need. */
static void worker_turn(void)
{
    struct timespec until;
    void (*fn)(void *, void *) = NULL;
    void *item = NULL;

    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += 30;
    pthread_mutex_lock(&t.lock);
    while (t.n_posts == 0)
        if (pthread_cond_timedwait(&t.posted, &t.lock, &until) != 0)
            break;
    if (t.n_posts > 0) {
        fn = t.posts[0].fn;
        item = t.posts[0].arg;
        memmove(&t.posts[0], &t.posts[1], --t.n_posts * sizeof(t.posts[0]));
    }
    pthread_mutex_unlock(&t.lock);
    if (!fn)
        fail_msg("nothing was posted");
    else
        fn(NULL, item);
}

static uint64_t now_ms(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

static void make_files(void)
{
    static const char *const names[] = {"ca.crt", "ca.key", "tls.crt",   "tls.key",
                                        "s.crt",  "s.key",  "alien.crt", "alien.key"};
    const struct str domains[] = {{"a.example", 9}};
    const struct pki_mint_san ip = {.kind = PKI_MINT_IP, .value = STR("127.0.0.1")};
    struct pki_mint_ca_args ca_args = {.cn = STR("Test CA"), .days = 30};
    struct pki_mint_args m = {.days = 30};
    struct pki_mint_ca *ca;
    struct reason why;

    (void)snprintf(t.dir, sizeof(t.dir), "/tmp/fetch.XXXXXX");
    assert_non_null(mkdtemp(t.dir));
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        (void)snprintf(t.file[i], sizeof(t.file[i]), "%s/%s", t.dir, names[i]);
    check_err(pki_mint_ca_new(&ca_args, &ca, &why), 0);
    check_err(pki_mint_ca_save(ca, t.file[CA], t.file[CA_KEY], &why), 0);
    m.sans = &ip;
    m.n_sans = 1;
    m.cn = STR("server");
    m.uses = PKI_MINT_SERVER;
    m.cert_file = t.file[TLS];
    m.key_file = t.file[TLS_KEY];
    check_err(pki_mint_cert(ca, &m, &why), 0);
    m = (struct pki_mint_args){.domains = domains,
                               .n_domains = 1,
                               .days = 30,
                               .responder = STR("http://ocsp.example/x"),
                               .cert_file = t.file[SIP],
                               .key_file = t.file[SIP_KEY]};
    check_err(pki_mint_cert(ca, &m, &why), 0);
    m.cert_file = t.file[ALIEN];
    m.key_file = t.file[ALIEN_KEY];
    check_err(pki_mint_cert(NULL, &m, &why), 0);
    pki_mint_ca_free(ca);
}

static void set_anchors(struct pki_anchors *anchors)
{
    struct certs_change *change;

    check_err(certs_change_new(t.certs, anchors, &change), 0);
    certs_change_commit(change);
}

static void start_fetcher(bool own_allowed, bool own_ca)
{
    struct addr_net loopback;
    struct fetch_args args = {.ca_file = own_ca ? t.file[CA] : NULL,
                              .allowed = &loopback,
                              .n_allowed = own_allowed ? 1 : 0};
    struct reason why = {.code = NULL};
    struct pki_anchors *anchors;

    check_err(addr_net_parse(&loopback, STR("127.0.0.1")), 0);
    if (fetch_new(&args, &t.fetch, &why) != 0)
        fail_msg("%s", why.detail);
    check_err(certs_new(&(struct certs_args){.fetch = t.fetch, .post = post}, &t.certs), 0);
    check_err(pki_anchors_new(t.file[CA], NULL, &anchors, &why), 0);
    set_anchors(anchors);
    pki_anchors_unref(anchors);
    t.wheel = wheel_new(now_ms());
    check_err(certs_worker_new(t.certs, 0, t.wheel, &t.worker), 0);
}

static void stop_fetcher(void)
{
    fetch_stop(t.fetch);
    certs_worker_free(t.worker);
    fetch_free(t.fetch);
    certs_free(t.certs);
    wheel_free(t.wheel);
    t.n_posts = 0;
}

static int group_setup(void **state)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof(a);

    (void)state;
    (void)signal(SIGPIPE, SIG_IGN);
    pthread_mutex_init(&t.lock, NULL);
    pthread_cond_init(&t.posted, NULL);
    make_files();
    t.ctx = SSL_CTX_new(TLS_server_method());
    assert_int_equal(SSL_CTX_use_certificate_chain_file(t.ctx, t.file[TLS]), 1);
    assert_int_equal(SSL_CTX_use_PrivateKey_file(t.ctx, t.file[TLS_KEY], SSL_FILETYPE_PEM), 1);
    t.listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(t.listener, (struct sockaddr *)&a, n), 0);
    assert_int_equal(listen(t.listener, 64), 0);
    assert_int_equal(getsockname(t.listener, (struct sockaddr *)&a, &n), 0);
    t.port = ntohs(a.sin_port);
    return pthread_create(&t.thread, NULL, server_main, NULL);
}

static int group_teardown(void **state)
{
    (void)state;
    t.stop = true;
    pthread_join(t.thread, NULL);
    (void)close(t.listener);
    SSL_CTX_free(t.ctx);
    for (size_t i = 0; i < ARRAY_LEN(t.file); i++)
        (void)unlink(t.file[i]);
    return rmdir(t.dir);
}

struct got {
    unsigned n;
    const struct identity_credential *cred;
};

static void on_cred(void *arg, const struct identity_credential *cred)
{
    struct got *g = arg;

    g->n++;
    g->cred = cred;
}

static struct str url_of(const char *host, const char *path, char room[128])
{
    (void)snprintf(room, 128, "https://%s:%u%s", host, t.port, path);
    return str_z(room);
}

static uint64_t ask(const char *host, const char *path, struct got *g)
{
    char room[128];
    uint64_t id = 0;

    *g = (struct got){.n = 0};
    check_err(certs_get(t.worker, url_of(host, path, room), on_cred, g, &g->cred, &id), ERR_AGAIN);
    assert_int_equal(g->n, 0);
    return id;
}

static void expect(struct got *g, enum identity_cred_state state, const char *code)
{
    assert_int_equal(g->n, 1);
    assert_non_null(g->cred);
    if (g->cred->state != state || (code && strcmp(g->cred->why.code, code) != 0))
        fail_msg("state %d, %s: %s", g->cred->state, g->cred->why.code ? g->cred->why.code : "-",
                 g->cred->why.detail);
    certs_put(g->cred);
}

static void one(const char *host, const char *path, enum identity_cred_state state,
                const char *code)
{
    struct got g;

    (void)ask(host, path, &g);
    worker_turn();
    expect(&g, state, code);
}

static void good(void **state)
{
    unsigned before = t.n_requests;
    struct got g;
    char room[128];
    uint64_t id;

    (void)state;
    start_fetcher(true, true);
    (void)ask("127.0.0.1", "/sip", &g);
    worker_turn();
    assert_int_equal(g.cred->state, IDENTITY_CRED_GOOD);
    assert_int_equal(g.cred->n_domains, 1);
    check_str(g.cred->domains[0], "a.example");
    assert_non_null(g.cred->key);
    certs_put(g.cred);
    /* Then it is there at once, and the same. */
    check_err(certs_get(t.worker, url_of("127.0.0.1", "/sip", room), on_cred, &g, &g.cred, &id), 0);
    assert_int_equal(g.cred->state, IDENTITY_CRED_GOOD);
    certs_put(g.cred);
    assert_int_equal(t.n_requests, before + 1);
    one("127.0.0.1", "/moved", IDENTITY_CRED_GOOD, NULL);
    /* Longer than the server said: asked again. */
    wheel_advance(t.wheel, now_ms() + 301000);
    (void)ask("127.0.0.1", "/sip", &g);
    worker_turn();
    expect(&g, IDENTITY_CRED_GOOD, NULL);
    stop_fetcher();
}

static void bad(void **state)
{
    (void)state;
    start_fetcher(true, true);
    one("127.0.0.1", "/none", IDENTITY_CRED_MISSING, "fetch-status");
    one("127.0.0.1", "/away", IDENTITY_CRED_MISSING, "fetch-address");
    one("127.0.0.1", "/endless", IDENTITY_CRED_MISSING, "fetch-size");
    one("127.0.0.1", "/large", IDENTITY_CRED_MISSING, "fetch-size");
    one("127.0.0.1", "/junk", IDENTITY_CRED_REFUSED, "identity-cert-syntax");
    one("127.0.0.1", "/alien", IDENTITY_CRED_REFUSED, "identity-cert-untrusted");
    one("localhost", "/sip", IDENTITY_CRED_MISSING, NULL); /* not in the server's certificate */
    stop_fetcher();
}

static void slow(void **state)
{
    uint64_t began = now_ms();

    (void)state;
    start_fetcher(true, true);
    one("127.0.0.1", "/slow", IDENTITY_CRED_MISSING, "fetch-timeout");
    assert_true(now_ms() - began >= LIMIT_HTTPS_MS - 100);
    stop_fetcher();
}

/* Every allocation of the worker's failing in turn: nobody is told twice, nothing leaks. */
static void no_memory(void **state)
{
    unsigned n = 0;

    (void)state;
    start_fetcher(true, true);
    OOM_SWEEP(100, {
        struct got g = {.n = 0};
        char path[32];
        char room[128];
        uint64_t id;
        int err;

        (void)snprintf(path, sizeof(path), "/sip?%u", n++);
        err = certs_get(t.worker, url_of("127.0.0.1", path, room), on_cred, &g, &g.cred, &id);
        if (err == ERR_AGAIN) {
            worker_turn();
            assert_int_equal(g.n, 1);
            if (g.cred)
                certs_put(g.cred);
        } else {
            check_err(err, ERR_NOMEM);
        }
    });
    stop_fetcher();
}

/* A name is no way around the rule for addresses. */
static void private_addresses(void **state)
{
    unsigned before = t.n_requests;

    (void)state;
    start_fetcher(false, true);
    one("127.0.0.1", "/sip", IDENTITY_CRED_MISSING, "fetch-address");
    one("localhost", "/sip", IDENTITY_CRED_MISSING, "fetch-address");
    one("127.1", "/sip", IDENTITY_CRED_MISSING, NULL);
    one("2130706433", "/sip", IDENTITY_CRED_MISSING, NULL);
    assert_int_equal(t.n_requests, before);
    stop_fetcher();
}

static void server_not_trusted(void **state)
{
    unsigned before = t.n_requests;

    (void)state;
    start_fetcher(true, false);
    one("127.0.0.1", "/sip", IDENTITY_CRED_MISSING, "fetch-tls");
    assert_int_equal(t.n_requests, before);
    stop_fetcher();
}

static void many(void **state)
{
    unsigned before = t.n_requests;
    struct got g[100];
    uint64_t cancelled = 0;

    (void)state;
    start_fetcher(true, true);
    for (size_t i = 0; i < ARRAY_LEN(g); i++) {
        uint64_t id = ask("127.0.0.1", "/sip?many", &g[i]);

        if (i == 50)
            cancelled = id;
    }
    certs_cancel(t.worker, cancelled);
    worker_turn();
    for (size_t i = 0; i < ARRAY_LEN(g); i++) {
        if (i == 50)
            assert_int_equal(g[i].n, 0);
        else
            expect(&g[i], IDENTITY_CRED_GOOD, NULL);
    }
    assert_int_equal(t.n_requests, before + 1);
    stop_fetcher();
}

/* Other anchors: nothing that was validated before counts, and nothing is fetched anew for it. */
static void anchors_changed(void **state)
{
    unsigned before = t.n_requests;
    struct certs_change *change;
    struct pki_anchors *none;
    char room[128];
    uint64_t id;
    struct got held, g;

    (void)state;
    start_fetcher(true, true);
    (void)ask("127.0.0.1", "/sip?anchors", &held);
    worker_turn();
    check_err(pki_anchors_new(NULL, NULL, &none, NULL), 0);
    check_err(certs_change_new(t.certs, none, &change), 0);
    certs_change_discard(change); /* it came to nothing */
    g = (struct got){.n = 1};
    check_err(
        certs_get(t.worker, url_of("127.0.0.1", "/sip?anchors", room), on_cred, &g, &g.cred, &id),
        0);
    expect(&g, IDENTITY_CRED_GOOD, NULL);
    set_anchors(none);
    pki_anchors_unref(none);
    (void)ask("127.0.0.1", "/sip?anchors", &g);
    worker_turn();
    expect(&g, IDENTITY_CRED_REFUSED, "identity-cert-untrusted");
    assert_int_equal(t.n_requests, before + 1);
    assert_non_null(held.cred->key); /* what is held stays as it is */
    expect(&held, IDENTITY_CRED_GOOD, NULL);
    stop_fetcher();
}

static void stopped(void **state)
{
    struct got g, late;
    char room[128];
    uint64_t id;

    (void)state;
    start_fetcher(true, true);
    (void)ask("127.0.0.1", "/endless?stop", &g);
    fetch_stop(t.fetch);
    check_err(certs_get(t.worker, url_of("127.0.0.1", "/x", room), on_cred, &late, &late.cred, &id),
              ERR_CLOSED);
    stop_fetcher(); /* what was posted meanwhile is not run: nothing may leak */
}

/* --- responders --- */

static struct pki_question *_Atomic question;

static void on_question(void *arg, struct pki_question *q)
{
    (void)arg;
    question = q;
}

static struct pki_question *await_question(void)
{
    for (unsigned i = 0; i < 5000 && !question; i++)
        (void)usleep(1000);
    assert_non_null(question);
    return question;
}

static void nobody_there(struct pki_question *q)
{
    struct reason why;

    question = NULL;
    reason_set(&why, "http-failed", NULL, 0, "nobody there");
    pki_question_fail(q, &why);
}

static struct pki_statuses *start_asking(enum pki_revocation revocation)
{
    struct pki_statuses *s;
    struct pki_anchors *anchors;

    start_fetcher(true, true);
    check_err(pki_statuses_new(on_question, NULL, &s), 0);
    pki_statuses_on_answer(s, certs_told, t.certs);
    check_err(pki_anchors_new(t.file[CA], NULL, &anchors, NULL), 0);
    pki_anchors_set_revocation(anchors, revocation, s);
    set_anchors(anchors);
    pki_anchors_unref(anchors);
    return s;
}

static void stop_asking(struct pki_statuses *s)
{
    pki_statuses_on_answer(s, NULL, NULL);
    stop_fetcher();
    pki_statuses_unref(s);
}

/* Who asks for a certificate waits for what its responder says, so long and once. */
static void responder(void **state)
{
    static const struct {
        enum pki_revocation revocation;
        enum identity_cred_state state;
        const char *code;
    } cases[] = {{PKI_REVOCATION_SOFT, IDENTITY_CRED_GOOD, NULL},
                 {PKI_REVOCATION_HARD, IDENTITY_CRED_REFUSED, "identity-cert-status-unknown"}};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct pki_statuses *s = start_asking(cases[i].revocation);
        struct pki_question *q;
        struct got g, other;

        (void)ask("127.0.0.1", "/sip?asked", &g);
        q = await_question();
        (void)ask("127.0.0.1", "/sip?silent", &other); /* the same, by another name */
        assert_int_equal(t.n_posts, 0);
        nobody_there(q); /* ends the waiting of both */
        worker_turn();
        if (g.n == 0 || other.n == 0)
            worker_turn();
        expect(&g, cases[i].state, cases[i].code);
        expect(&other, cases[i].state, cases[i].code);
        assert_null(question); /* nobody is asked again so soon */
        stop_asking(s);
    }
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct pki_statuses *s = start_asking(cases[i].revocation);
        uint64_t began = now_ms();

        one("127.0.0.1", "/sip?silent", cases[i].state, cases[i].code);
        assert_true(now_ms() - began >= LIMIT_OCSP_PATIENCE_MS - 100);
        nobody_there(await_question());
        stop_asking(s);
    }
    {
        struct pki_statuses *s = start_asking(PKI_REVOCATION_SOFT);
        struct got g;

        /* Ended while it is waited for. */
        (void)ask("127.0.0.1", "/sip?ended", &g);
        nobody_there((pki_statuses_on_answer(s, NULL, NULL), await_question()));
        stop_asking(s);
        assert_int_equal(g.n, 0);
    }
}

static void impatient(void **state)
{
    struct got g;

    (void)state;
    start_fetcher(true, true);
    (void)ask("127.0.0.1", "/sip?impatient", &g);
    wheel_advance(t.wheel, now_ms() + LIMIT_HTTPS_MS + LIMIT_OCSP_PATIENCE_MS + 3000);
    expect(&g, IDENTITY_CRED_MISSING, "fetch-timeout");
    stop_fetcher();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(good),
        cmocka_unit_test(responder),
        cmocka_unit_test(bad),
        cmocka_unit_test(slow),
        cmocka_unit_test(no_memory),
        cmocka_unit_test(private_addresses),
        cmocka_unit_test(server_not_trusted),
        cmocka_unit_test(many),
        cmocka_unit_test(anchors_changed),
        cmocka_unit_test(stopped),
        cmocka_unit_test(impatient),
    };

    return cmocka_run_group_tests(tests, group_setup, group_teardown);
}

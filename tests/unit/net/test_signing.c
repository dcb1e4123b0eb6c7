/* Handshakes whose key somebody else has (net/signing.c): nobody waits for them but themselves,
 * there are so many at once and no more, and whatever ends first, the connection or the answer,
 * leaves nothing behind. RFC 8446 4.4.3. */
#include "base/limits.h"
#include "pki/signing.h"
#include "tls_fixture.h"
#include <fcntl.h>
#include <openssl/err.h>
#include <stdio.h>
#include <unistd.h>

#define MORE 10
#define N (LIMIT_SIGNING_WORKER + MORE)

static struct tls_fix t;

/* Who has the key: keeps what it is asked until it is told to answer. The worker's. */
static struct keeper {
    struct pki_signer base;
    struct pki_sign_job *jobs[N];
    size_t n, n_most, n_cancelled;
    int refuse; /* what start says */
    EVP_PKEY *key;
} keeper;

static int start(struct pki_signer *self, struct pki_sign_job *job)
{
    (void)self;
    if (keeper.refuse)
        return keeper.refuse;
    assert_true(keeper.n < N);
    keeper.jobs[keeper.n++] = job;
    if (keeper.n > keeper.n_most)
        keeper.n_most = keeper.n;
    return 0;
}

static void cancel(struct pki_signer *self, struct pki_sign_job *job)
{
    size_t i = 0;

    (void)self;
    while (i < keeper.n && keeper.jobs[i] != job)
        i++;
    assert_true(i < keeper.n);
    keeper.jobs[i] = keeper.jobs[--keeper.n];
    keeper.n_cancelled++;
}

static void answer_one(struct pki_sign_job *job, int err)
{
    const struct pki_sign_request *r = &job->request;
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    uint8_t signature[PKI_SIGNATURE_MAX];
    size_t n = sizeof(signature);
    struct reason why;

    assert_int_equal(pki_sign_judge(r, &why), 0);
    assert_true(ctx && EVP_DigestSignInit(ctx, NULL, EVP_sha256(), NULL, keeper.key) == 1 &&
                EVP_DigestSign(ctx, signature, &n, (const uint8_t *)r->input.p, r->input.n) == 1);
    EVP_MD_CTX_free(ctx);
    job->done(job, err, err ? STR_NULL : str_make((const char *)signature, n));
}

/* All that there are now; arg: with this error. */
static void answer(struct fix_worker *w, void *arg)
{
    struct pki_sign_job *now[N];
    size_t n = keeper.n;

    (void)w;
    memcpy(now, keeper.jobs, sizeof(now));
    keeper.n = 0;
    for (size_t i = 0; i < n; i++)
        answer_one(now[i], *(const int *)arg);
}

static void attach(struct fix_worker *w, void *arg)
{
    (void)arg;
    w->net->tls_signer = &keeper.base;
}

/* As keeper_worker_stop does. */
static void on_stop(struct fix_worker *w)
{
    int err = ERR_CLOSED;

    answer(w, &err);
    w->net->tls_signer = NULL;
}

static void count(struct fix_worker *w, void *arg)
{
    (void)w;
    *(size_t *)arg = keeper.n;
}

static void await_jobs(struct fix *f, size_t want)
{
    size_t have = 0;

    for (unsigned i = 0; i < FIX_WAIT_MS; i++) {
        fix_call(f, 0, count, &have);
        if (have == want)
            return;
        fix_sleep(1);
    }
    fail_msg("%zu jobs, not %zu", have, want);
}

static int setup(void **state)
{
    char file[128];

    (void)state;
    tls_fix_init(&t);
    tls_fix_cert(&t, "a", "a.example");
    tls_fix_cert(&t, "b", "b.example");
    (void)snprintf(file, sizeof(file), "%s/a.key", t.dir);
    assert_int_equal(pki_private_key_load(file, &keeper.key, NULL), 0);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    EVP_PKEY_free(keeper.key);
    tls_fix_done(&t);
    return 0;
}

static struct pki_tls_options options(const struct pki_tls_identity *id)
{
    return (struct pki_tls_options){.identities = id,
                                    .n_identities = 1,
                                    .ca_pem = t.ca_pem,
                                    .client_cert = PKI_CLIENT_CERT_ASK,
                                    .remote_keys = true};
}

static void start_edge(struct fix *f, bool has_signer)
{
    char file[128];
    struct pki_tls_identity id = {.domain = STR("a.example"), .cert_pem = file};
    struct pki_tls_options o = options(&id);
    struct net_listener l;
    struct reason why;

    keeper = (struct keeper){.base = {start, cancel}, .key = keeper.key};
    (void)snprintf(file, sizeof(file), "%s/a.crt", t.dir);
    *f = (struct fix){.is_echo = true, .on_stop = on_stop};
    fix_listen(&l, TRANSPORT_TLS, "127.0.0.1:0");
    if (pki_tls_server_new(&o, &l.tls, &why) != 0)
        fail_msg("%s", why.detail);
    l.max_conns_source = 100000;
    fix_start(f, 1, &l, 1);
    pki_tls_server_unref(l.tls);
    if (has_signer)
        fix_call(f, 0, attach, NULL);
}

/* Sends its hello, and waits for nothing. */
static void begin(struct tls_peer *p, struct fix *f)
{
    struct addr to = fix_addr(f, 0);

    tls_peer_init(p, &t, &to, "a.example", NULL, 0);
    assert_int_equal(fcntl(p->fd, F_SETFL, O_NONBLOCK), 0);
    assert_int_equal(SSL_get_error(p->ssl, SSL_connect(p->ssl)), SSL_ERROR_WANT_READ);
}

static bool is_done(struct tls_peer *p)
{
    int got;

    ERR_clear_error();
    got = SSL_connect(p->ssl);
    if (got != 1 && SSL_get_error(p->ssl, got) != SSL_ERROR_WANT_READ)
        fail_msg("handshake: %s", ERR_reason_error_string(ERR_peek_error()));
    return got == 1;
}

static void echoes(struct tls_peer *p)
{
    char msg[600];

    assert_int_equal(fcntl(p->fd, F_SETFL, 0), 0);
    tls_peer_write(p, msg, fix_options(msg, sizeof(msg), "c1", 10));
    tls_peer_expect(p, msg);
}

/* More at once than there are stacks; others are served meanwhile, and in the end all of them. */
static void many(void **state)
{
    struct fix f;
    static struct tls_peer p[N];
    int ok = 0;

    (void)state;
    start_edge(&f, true);
    for (size_t i = 0; i < N; i++)
        begin(&p[i], &f);
    await_jobs(&f, LIMIT_SIGNING_WORKER);
    for (size_t left = N, rounds = 0; left; rounds++) {
        assert_true(rounds < FIX_WAIT_MS);
        fix_call(&f, 0, answer, &ok);
        left = 0;
        for (size_t i = 0; i < N; i++)
            left += !is_done(&p[i]);
        if (left)
            fix_sleep(1);
    }
    assert_int_equal(keeper.n_most, LIMIT_SIGNING_WORKER);
    for (size_t i = 0; i < N; i++) {
        echoes(&p[i]);
        tls_peer_done(&p[i]);
    }
    assert_int_equal(fix_stats(&f).tls_signed, N);
    assert_int_equal(fix_stats(&f).tls_not_signed, 0);
    fix_wait_stat(&f, conns_open[TRANSPORT_TLS], 0);
    fix_stop(&f);
}

/* Nobody to ask yet: they wait. */
static void early(void **state)
{
    struct fix f;
    struct tls_peer p[3];
    int ok = 0;

    (void)state;
    start_edge(&f, false);
    for (size_t i = 0; i < 3; i++)
        begin(&p[i], &f);
    fix_wait_stat(&f, handshakes_now, 3);
    fix_sleep(20);
    assert_int_equal(fix_stats(&f).handshakes_failed, 0);
    tls_peer_done(&p[2]); /* who goes meanwhile is noticed when its turn comes */
    fix_call(&f, 0, attach, NULL);
    for (unsigned i = 0; !(is_done(&p[0]) && is_done(&p[1])); i++) {
        assert_true(i < FIX_WAIT_MS);
        fix_call(&f, 0, answer, &ok);
        fix_sleep(1);
    }
    echoes(&p[0]);
    echoes(&p[1]);
    tls_peer_done(&p[0]);
    tls_peer_done(&p[1]);
    for (unsigned i = 0; i < FIX_WAIT_MS && fix_stats(&f).conns_open[TRANSPORT_TLS]; i++) {
        fix_call(&f, 0, answer, &ok);
        fix_sleep(1);
    }
    assert_int_equal(fix_stats(&f).conns_open[TRANSPORT_TLS], 0);
    fix_stop(&f);
}

static void refused(void **state)
{
    struct fix f;
    struct tls_peer p;
    struct addr to;
    int err = ERR_REFUSED;

    (void)state;
    start_edge(&f, true);
    log_catch();
    begin(&p, &f);
    await_jobs(&f, 1);
    fix_call(&f, 0, answer, &err);
    assert_int_equal(fcntl(p.fd, F_SETFL, 0), 0);
    assert_true(SSL_connect(p.ssl) != 1);
    assert_int_equal(ERR_GET_REASON(ERR_peek_error()), SSL_R_TLSV1_ALERT_INTERNAL_ERROR);
    tls_peer_done(&p);
    log_expect("tls-refused", "tls-key");
    keeper.refuse = ERR_CLOSED;
    to = fix_addr(&f, 0);
    tls_peer_init(&p, &t, &to, "a.example", NULL, 0);
    assert_true(SSL_connect(p.ssl) != 1);
    tls_peer_done(&p);
    log_expect("tls-refused", "the keeper of the private key: closed");
    log_release();
    fix_wait_stat(&f, conns_open[TRANSPORT_TLS], 0);
    assert_int_equal(fix_stats(&f).tls_not_signed, 2);
    assert_int_equal(fix_stats(&f).handshakes_failed, 2);
    fix_quiet(&f, FIX_CLOSED, 0);
    fix_stop(&f);
}

/* Half of them wait for answers, some for stacks, when all ends. */
static void stopped(void **state)
{
    struct fix f;
    static struct tls_peer p[N];

    (void)state;
    start_edge(&f, true);
    for (size_t i = 0; i < N; i++)
        begin(&p[i], &f);
    await_jobs(&f, LIMIT_SIGNING_WORKER);
    fix_stop(&f);
    for (size_t i = 0; i < N; i++)
        tls_peer_done(&p[i]);
}

/* --- as a client --- */

struct dial {
    struct net_connect_args args;
    flow_id flow;
    struct path path;
};

static void dial(struct fix_worker *w, void *arg)
{
    struct dial *d = arg;

    check_err(net_connect(w->net, &d->args, &d->flow, &d->path), 0);
}

static void hang_up(struct fix_worker *w, void *arg)
{
    net_close(w->net, ((struct dial *)arg)->flow, NET_CLOSE_LOCAL);
}

/* Asked for its certificate it asks; hung up on meanwhile it is asked no more. */
static void client(void **state)
{
    char file[128];
    struct pki_tls_identity id = {.cert_pem = file};
    struct pki_tls_options o = options(&id);
    struct dial d = {
        .args = {.transport = TRANSPORT_TLS, .listener = 0, .server_name = STR("b.example")}};
    struct net_listener l;
    struct fix f, other = {0};
    struct reason why;
    int ok = 0;

    (void)state;
    start_edge(&f, true);
    (void)snprintf(file, sizeof(file), "%s/a.crt", t.dir);
    fix_listen(&l, TRANSPORT_TLS, "127.0.0.1:0");
    l.tls = tls_fix_server(&t, "b", "b.example", PKI_CLIENT_CERT_REQUIRE, 0);
    fix_start(&other, 1, &l, 1);
    pki_tls_server_unref(l.tls);
    check_err(pki_tls_client_new(&o, &d.args.tls, &why), 0);
    d.args.remote = fix_addr(&other, 0);
    fix_call(&f, 0, dial, &d);
    await_jobs(&f, 1);
    fix_call(&f, 0, answer, &ok);
    fix_wait_stat(&other, handshakes_now, 0);
    fix_wait_stat(&f, handshakes_now, 0);
    assert_int_equal(fix_stats(&other).handshakes_failed, 0);
    fix_call(&f, 0, hang_up, &d);
    fix_free(fix_wait(&f, FIX_CLOSED));
    fix_call(&f, 0, dial, &d);
    await_jobs(&f, 1);
    fix_call(&f, 0, hang_up, &d);
    fix_free(fix_wait(&f, FIX_CLOSED));
    await_jobs(&f, 0);
    assert_int_equal(keeper.n_cancelled, 1);
    pki_tls_client_unref(d.args.tls);
    fix_stop(&f);
    fix_stop(&other);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(many),    cmocka_unit_test(early),  cmocka_unit_test(refused),
        cmocka_unit_test(stopped), cmocka_unit_test(client),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}

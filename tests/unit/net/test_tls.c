/* TLS through a worker: handshakes and their facts, refusals and their log lines, records in
 * pieces, much data, resumption, reuse by name, concurrent handshakes. RFC 5922; RFC 5923; RFC
 * 8446; RFC 9325. */
#include "base/limits.h"
#include "tls_fixture.h"
#include <openssl/err.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static struct tls_fix t;

static int setup(void **state)
{
    (void)state;
    tls_fix_init(&t);
    tls_fix_cert(&t, "a", "a.example");
    tls_fix_cert(&t, "b", "b.example");
    tls_fix_cert(&t, "phone", "phone.example");
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    tls_fix_done(&t);
    return 0;
}

static void start_tls(struct fix *f, unsigned n_workers, enum pki_client_cert c, unsigned tickets)
{
    struct net_listener l;
    fix_listen(&l, TRANSPORT_TLS, "127.0.0.1:0");
    l.tls = tls_fix_server(&t, "a", "a.example", c, tickets);
    l.max_conns_source = 100000;
    fix_start(f, n_workers, &l, 1);
    pki_tls_server_unref(l.tls); /* the listener has its own */
}

static void test_echo(void **state)
{
    (void)state;
    static const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};
    for (int i = 0; i < 2; i++) {
        struct fix f = {.is_echo = true};
        struct tls_peer p;
        char msg[600];
        start_tls(&f, 1, PKI_CLIENT_CERT_NONE, 0);
        struct addr to = fix_addr(&f, 0);
        tls_peer_open(&p, &t, &to, "A.Example", NULL, versions[i]);
        size_t n = fix_options(msg, sizeof(msg), "c1", 10);
        for (int k = 0; k < 3; k++) {
            tls_peer_write(&p, msg, n);
            tls_peer_expect(&p, msg);
            struct fix_event *e = fix_wait(&f, FIX_MESSAGE);
            assert_string_equal(e->text, msg);
            assert_int_equal(e->path.transport, TRANSPORT_TLS);
            assert_true(e->hop.secure);
            assert_false(e->hop.outgoing);
            assert_string_equal(e->hop.tls_version, i ? "TLSv1.3" : "TLSv1.2");
            assert_string_equal(e->hop.cipher, SSL_get_cipher_name(p.ssl));
            assert_true(e->hop.forward_secret);
            assert_false(e->hop.peer_cert);
            assert_false(e->hop.peer_verified);
            assert_int_equal(e->hop.n_peer_names, 0);
            assert_string_equal(e->server_name, "a.example");
            fix_free(e);
        }
        assert_int_equal(SSL_shutdown(p.ssl), 0);
        assert_int_equal(SSL_shutdown(p.ssl), 1); /* close_notify came back */
        struct fix_event *end = fix_wait(&f, FIX_CLOSED);
        assert_int_equal(end->why, NET_CLOSE_PEER);
        fix_free(end);
        tls_peer_done(&p);
        fix_wait_stat(&f, conns_open[TRANSPORT_TLS], 0);
        assert_int_equal(fix_stats(&f).handshakes_now, 0);
        fix_stop(&f);
    }
}

static void test_mutual(void **state)
{
    (void)state;
    static const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};
    for (int i = 0; i < 2; i++) {
        struct fix f = {.is_echo = true};
        struct tls_peer p;
        start_tls(&f, 1, PKI_CLIENT_CERT_REQUIRE, 0);
        struct addr to = fix_addr(&f, 0);
        tls_peer_open(&p, &t, &to, NULL, "phone", versions[i]);
        char msg[600];
        tls_peer_write(&p, msg, fix_options(msg, sizeof(msg), "c1", 10));
        tls_peer_expect(&p, msg);
        struct fix_event *e = fix_wait(&f, FIX_MESSAGE);
        assert_true(e->hop.peer_cert);
        assert_true(e->hop.peer_verified);
        assert_int_equal(e->hop.n_peer_names, 1);
        assert_string_equal(e->names[0], "phone.example");
        assert_null(e->hop.server_name);
        fix_free(e);
        tls_peer_done(&p);
        fix_free(fix_wait(&f, FIX_CLOSED));
        fix_stop(&f);
    }
}

/* One line for each refused handshake: who, and why. */
static void test_refused(void **state)
{
    (void)state;
    struct fix f = {0};
    struct tls_peer p;
    char c;
    start_tls(&f, 1, PKI_CLIENT_CERT_REQUIRE, 0);
    struct addr to = fix_addr(&f, 0);
    log_catch();
    tls_peer_init(&p, &t, &to, "a.example", NULL, 0);
    (void)SSL_connect(p.ssl); /* TLS 1.3: the client is done before the server has looked */
    assert_true(SSL_read(p.ssl, &c, 1) <= 0);
    assert_int_equal(ERR_GET_REASON(ERR_peek_error()),
                     SSL_R_TLSV13_ALERT_CERTIFICATE_REQUIRED); /* the alert arrives */
    tls_peer_done(&p);
    log_expect("tls-refused", "tls-cert-missing");
    log_expect("tls-refused", "sni=a.example");
    log_expect("tls-refused", "peer=127.0.0.1:");
    int fd = fix_tcp(&to);
    fix_write_z(fd, "OPTIONS sip:a SIP/2.0\r\n");
    fix_expect_eof(fd);
    close(fd);
    log_expect("tls-refused", "tls-not-tls");
    fd = fix_tcp(&to);
    fix_write(fd, "\x16\x03\x01\x02\x00\x01", 6);
    fix_sleep(20);
    close(fd);
    log_expect("tls-refused", "tls-closed");
    fix_wait_stat(&f, handshakes_failed, 3);
    fix_wait_stat(&f, conns_open[TRANSPORT_TLS], 0);
    assert_int_equal(fix_stats(&f).handshakes_now, 0);
    fix_quiet(&f, FIX_CLOSED, 0); /* the edge never heard of these */
    log_release();
    fix_stop(&f);
}

/* --- dialling --- */

struct dial {
    struct net_connect_args args;
    flow_id flow, found, found_other;
    struct path path;
    int err;
};

static void dial(struct fix_worker *w, void *arg)
{
    struct dial *d = arg;
    d->err = net_connect(w->net, &d->args, &d->flow, &d->path);
    if (d->err)
        return;
    char msg[600];
    struct buf *b = buf_copy(str_make(msg, fix_options(msg, sizeof(msg), "dialled", 3)));
    assert_non_null(b);
    check_err(net_send(w->net, &d->path, b), 0); /* waits for the handshake */
    buf_unref(b);
    d->found = net_find(w->net, TRANSPORT_TLS, &d->args.remote, d->args.server_name);
    d->found_other = net_find(w->net, TRANSPORT_TLS, &d->args.remote, STR("b.example"));
}

struct seen {
    flow_id flow;
    struct hop_facts hop;
    char name[64];
};

static void look(struct fix_worker *w, void *arg)
{
    struct seen *s = arg;
    const struct hop_facts *h = net_facts(w->net, s->flow);
    assert_non_null(h);
    s->hop = *h;
    snprintf(s->name, sizeof(s->name), "%.*s", STR_FMT(h->peer_names[0]));
}

static void test_dial(void **state)
{
    (void)state;
    struct fix f = {0};
    start_tls(&f, 1, PKI_CLIENT_CERT_ASK, 0);
    struct pki_tls_client *client = tls_fix_client(&t, "b", "b.example");
    struct dial d = {
        .args = {.transport = TRANSPORT_TLS, .tls = client, .server_name = STR("a.EXAMPLE")}};
    d.args.remote = fix_addr(&f, 0);
    fix_call(&f, 0, dial, &d);
    check_err(d.err, 0);
    assert_int_equal(d.found, d.flow); /* while it is opening */
    assert_int_equal(d.found_other, 0);
    struct fix_event *e = fix_wait(&f, FIX_MESSAGE); /* at the other end, which is us too */
    assert_true(e->hop.peer_verified);
    assert_string_equal(e->names[0], "b.example");
    assert_int_not_equal(e->path.flow, d.flow);
    struct seen s = {.flow = d.flow};
    fix_call(&f, 0, look, &s);
    assert_true(s.hop.outgoing && s.hop.secure && s.hop.peer_verified && s.hop.forward_secret);
    assert_string_equal(s.name, "a.example");
    assert_string_equal(s.hop.server_name, "a.example");
    assert_int_equal(fix_stats(&f).conns_dialled[TRANSPORT_TLS], 1);
    fix_free(e);
    pki_tls_client_unref(client);
    fix_stop(&f);
}

static void test_dial_wrong_name(void **state)
{
    (void)state;
    struct fix f = {0};
    start_tls(&f, 1, PKI_CLIENT_CERT_NONE, 0);
    struct pki_tls_client *client = tls_fix_client(&t, NULL, "");
    struct dial d = {
        .args = {.transport = TRANSPORT_TLS, .tls = client, .server_name = STR("c.example")}};
    d.args.remote = fix_addr(&f, 0);
    log_catch();
    fix_call(&f, 0, dial, &d);
    check_err(d.err, 0);
    struct fix_event *e = fix_wait(&f, FIX_CLOSED);
    assert_int_equal(e->path.flow, d.flow);
    assert_int_equal(e->why, NET_CLOSE_TLS);
    assert_string_equal(e->code, "tls-cert-name");
    fix_free(e);
    log_expect("tls-cert-name", "direction=out");
    log_expect("tls-cert-name", "expected c.example");
    log_expect("tls-cert-name", "a.example"); /* presented */
    log_expect("tls-cert-name", "sni=c.example");
    log_release();
    fix_quiet(&f, FIX_MESSAGE, 20); /* what was queued has not leaked to the wrong one */
    pki_tls_client_unref(client);
    fix_stop(&f);
}

/* RFC 5923 8.2: an aliased connection is reused only for names in its certificate. */
struct alias {
    struct path path;
    struct addr addr;
    int err;
    flow_id named, other;
};

static void alias(struct fix_worker *w, void *arg)
{
    struct alias *a = arg;
    a->err = net_alias(w->net, a->path.flow, &a->addr);
    a->named = net_find(w->net, TRANSPORT_TLS, &a->addr, STR("Phone.example"));
    a->other = net_find(w->net, TRANSPORT_TLS, &a->addr, STR("b.example"));
}

static void test_alias(void **state)
{
    (void)state;
    struct fix f = {.is_echo = true};
    struct tls_peer p;
    char msg[600];
    start_tls(&f, 1, PKI_CLIENT_CERT_ASK, 0);
    struct addr to = fix_addr(&f, 0);
    tls_peer_open(&p, &t, &to, "a.example", "phone", 0);
    tls_peer_write(&p, msg, fix_options(msg, sizeof(msg), "c1", 10));
    struct fix_event *e = fix_wait(&f, FIX_MESSAGE);
    struct alias a = {.path = e->path};
    assert_int_equal(addr_parse_hostport(&a.addr, STR("127.0.0.1:5061")), 0);
    fix_call(&f, 0, alias, &a);
    check_err(a.err, 0);
    assert_int_equal(a.named, e->path.flow);
    assert_int_equal(a.other, 0);
    fix_free(e);
    tls_peer_done(&p);
    fix_stop(&f);
}

/* TR/100 9: the listener's anchors let it in; another context's say whether its names count. */
struct vouch {
    flow_id flow;
    struct pki_tls_client *by;
    const char *name;
    bool ok;
};

static void vouch(struct fix_worker *w, void *arg)
{
    struct vouch *v = arg;
    v->ok = net_vouched(w->net, v->flow, v->by, str_z(v->name));
}

static bool is_vouched(struct fix *f, flow_id flow, struct pki_tls_client *by, const char *name)
{
    struct vouch v = {flow, by, name, false};
    fix_call(f, 0, vouch, &v);
    return v.ok;
}

static void test_vouched(void **state)
{
    (void)state;
    struct fix f = {.is_echo = true};
    struct tls_peer p;
    struct tls_fix stranger; /* another CA */
    char msg[600];
    tls_fix_init(&stranger);
    start_tls(&f, 1, PKI_CLIENT_CERT_ASK, 0);
    struct addr to = fix_addr(&f, 0);
    struct pki_tls_client *own = tls_fix_client(&t, "b", "b.example");
    struct pki_tls_client *same = tls_fix_client(&t, NULL, "");
    struct pki_tls_client *other = tls_fix_client(&stranger, NULL, "");
    tls_peer_open(&p, &t, &to, "a.example", "phone", 0);
    tls_peer_write(&p, msg, fix_options(msg, sizeof(msg), "c1", 10));
    struct fix_event *e = fix_wait(&f, FIX_MESSAGE);
    assert_true(e->hop.peer_verified);
    log_catch();
    for (int i = 0; i < 2; i++) { /* once worked out, once remembered, with others in between */
        assert_true(is_vouched(&f, e->path.flow, same, ""));
        assert_true(is_vouched(&f, e->path.flow, same, "PHONE.example"));
        assert_false(is_vouched(&f, e->path.flow, same, "b.example"));
        assert_false(is_vouched(&f, e->path.flow, other, ""));
        assert_false(is_vouched(&f, e->path.flow, other, "phone.example"));
    }
    log_expect("not-vouched-for", "tls-cert-unknown-issuer");
    assert_false(is_vouched(&f, e->path.flow ^ 1, same, "")); /* no such flow */
    log_release();
    fix_free(e);
    tls_peer_done(&p);
    fix_free(fix_wait(&f, FIX_CLOSED));

    tls_peer_open(&p, &t, &to, "a.example", NULL, 0); /* has shown nothing */
    tls_peer_write(&p, msg, fix_options(msg, sizeof(msg), "c2", 10));
    e = fix_wait(&f, FIX_MESSAGE);
    assert_false(is_vouched(&f, e->path.flow, same, ""));
    fix_free(e);
    tls_peer_done(&p);

    struct dial d = {
        .args = {.transport = TRANSPORT_TLS, .tls = own, .server_name = STR("a.example")}};
    d.args.remote = to;
    fix_call(&f, 0, dial, &d);
    check_err(d.err, 0);
    assert_true(is_vouched(&f, d.flow, own, "a.example")); /* while it is opening, too */
    e = fix_wait(&f, FIX_MESSAGE);
    fix_free(e);
    e = fix_wait(&f, FIX_MESSAGE); /* echoed: it is open at our side as well */
    assert_true(is_vouched(&f, d.flow, same, "a.example"));
    assert_false(is_vouched(&f, d.flow, other, "a.example"));
    fix_free(e);
    pki_tls_client_unref(own);
    pki_tls_client_unref(same);
    pki_tls_client_unref(other);
    fix_stop(&f);
    tls_fix_done(&stranger);
}

/* --- records --- */

/* The client's bytes one at a time, handshake included. */
static void test_bytewise(void **state)
{
    (void)state;
    struct fix f = {.is_echo = true};
    struct tls_peer p;
    char msg[600], wire[20000], got[600];
    start_tls(&f, 1, PKI_CLIENT_CERT_NONE, 0);
    struct addr to = fix_addr(&f, 0);
    tls_peer_init(&p, &t, &to, "a.example", NULL, 0);
    BIO *in = BIO_new(BIO_s_mem()), *out = BIO_new(BIO_s_mem());
    SSL_set_bio(p.ssl, in, out);
    size_t n = fix_options(msg, sizeof(msg), "c1", 10), have = 0;
    bool is_sent = false;
    while (have < n) {
        int k;
        if (SSL_do_handshake(p.ssl) == 1 && !is_sent) {
            tls_peer_write(&p, msg, n);
            is_sent = true;
        }
        while ((k = BIO_read(out, wire, sizeof(wire))) > 0) {
            for (int i = 0; i < k; i++)
                fix_write(p.fd, wire + i, 1);
        }
        size_t took;
        while (is_sent && SSL_read_ex(p.ssl, got + have, n - have, &took) == 1)
            have += took;
        if (have == n)
            break;
        ssize_t r = recv(p.fd, wire, sizeof(wire), 0);
        assert_true(r > 0);
        BIO_write(in, wire, (int)r);
    }
    assert_memory_equal(got, msg, n);
    tls_peer_done(&p);
    fix_stop(&f);
}

/* Messages of all sizes, many to a record and many records to a message, while the answers back up.
 */
static void *write_all(void *arg)
{
    struct tls_peer *p = ((void **)arg)[0];
    const char *all = ((void **)arg)[1];
    size_t n = *(size_t *)((void **)arg)[2];
    int fd = p->fd;
    (void)all;
    for (size_t at = 0; at < n;) { /* records made by the other thread beforehand */
        ssize_t k = send(fd, all + at, n - at, MSG_NOSIGNAL);
        if (k <= 0)
            return (void *)1;
        at += (size_t)k;
    }
    return NULL;
}

static void test_much(void **state)
{
    (void)state;
    struct fix f = {.is_echo = true, .is_silent = true};
    struct tls_peer p;
    static char all[600000], got[600001], wire[700000];
    char msg[66000];
    size_t n = 0, n_wire = 0;
    start_tls(&f, 1, PKI_CLIENT_CERT_NONE, 0);
    struct addr to = fix_addr(&f, 0);
    tls_peer_open(&p, &t, &to, "a.example", NULL, 0);
    for (unsigned i = 0; n < 500000; i++) {
        size_t k = fix_options(msg, sizeof(msg), "c1", i % 20 == 19 ? 50000 : i * 37 % 1500);
        memcpy(all + n, msg, k);
        n += k;
    }
    BIO *sock = SSL_get_wbio(p.ssl), *mem = BIO_new(BIO_s_mem());
    BIO_up_ref(sock);
    SSL_set0_wbio(p.ssl, mem);
    for (size_t at = 0; at < n; at += 5000)
        tls_peer_write(&p, all + at, n - at < 5000 ? n - at : 5000);
    n_wire = (size_t)BIO_read(mem, wire, sizeof(wire));
    void *arg[3] = {&p, wire, &n_wire}, *result;
    pthread_t writer;
    pthread_create(&writer, NULL, write_all, arg);
    fix_sleep(50);
    tls_peer_read(&p, got, n);
    pthread_join(writer, &result);
    assert_null(result);
    assert_memory_equal(got, all, n);
    SSL_set0_wbio(p.ssl, sock);
    tls_peer_done(&p);
    fix_stop(&f);
}

/* A flood of small records with pings and key updates. */
static void test_key_update(void **state)
{
    (void)state;
    struct fix f = {.is_echo = true};
    struct tls_peer p;
    char msg[600];
    start_tls(&f, 1, PKI_CLIENT_CERT_NONE, 0);
    struct addr to = fix_addr(&f, 0);
    tls_peer_open(&p, &t, &to, "a.example", NULL, TLS1_3_VERSION);
    size_t n = fix_options(msg, sizeof(msg), "c1", 10);
    for (int i = 0; i < 20; i++) {
        assert_int_equal(SSL_key_update(p.ssl, SSL_KEY_UPDATE_REQUESTED), 1);
        tls_peer_write(&p, msg, n);
        tls_peer_write(&p, "\r\n\r\n", 4);
        tls_peer_expect(&p, msg);
        tls_peer_expect(&p, "\r\n");
    }
    tls_peer_done(&p);
    fix_stop(&f);
}

/* A resumed session shows the certificate it was made with. */
static void test_resumption(void **state)
{
    (void)state;
    struct fix f = {.is_echo = true};
    struct tls_peer p, q;
    char msg[600];
    start_tls(&f, 1, PKI_CLIENT_CERT_ASK, 2);
    struct addr to = fix_addr(&f, 0);
    size_t n = fix_options(msg, sizeof(msg), "c1", 10);
    tls_peer_open(&p, &t, &to, "a.example", "phone", TLS1_3_VERSION);
    tls_peer_write(&p, msg, n);
    tls_peer_expect(&p, msg); /* tickets came before it */
    fix_free(fix_wait(&f, FIX_MESSAGE));
    SSL_SESSION *session = SSL_get1_session(p.ssl);
    assert_true(SSL_SESSION_is_resumable(session));
    tls_peer_init(&q, &t, &to, "a.example", NULL, TLS1_3_VERSION);
    SSL_set_session(q.ssl, session);
    assert_int_equal(SSL_connect(q.ssl), 1);
    assert_true(SSL_session_reused(q.ssl));
    tls_peer_write(&q, msg, n);
    tls_peer_expect(&q, msg);
    struct fix_event *e = fix_wait(&f, FIX_MESSAGE);
    assert_true(e->hop.peer_cert && e->hop.peer_verified && e->hop.forward_secret);
    assert_string_equal(e->names[0], "phone.example");
    fix_free(e);
    SSL_SESSION_free(session);
    tls_peer_done(&p);
    tls_peer_done(&q);
    fix_stop(&f);
}

/* --- many at once (what kills other servers) --- */

struct crowd {
    struct addr to;
    unsigned n;
    bool failed;
};

static void *crowd_run(void *arg)
{
    struct crowd *c = arg;
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    char msg[600], got[600];
    size_t n = fix_options(msg, sizeof(msg), "c1", 10);
    for (unsigned i = 0; i < c->n && !c->failed; i++) {
        SSL *ssl = SSL_new(ctx);
        int fd = fix_tcp(&c->to);
        size_t done, have = 0;
        SSL_set_fd(ssl, fd);
        c->failed = SSL_connect(ssl) != 1 || SSL_write_ex(ssl, msg, n, &done) != 1;
        while (!c->failed && have < n) {
            c->failed = SSL_read_ex(ssl, got + have, n - have, &done) != 1;
            have += done;
        }
        c->failed |= memcmp(msg, got, n) != 0;
        if (i % 3 == 0)
            SSL_shutdown(ssl);
        SSL_free(ssl);
        close(fd);
    }
    SSL_CTX_free(ctx);
    return NULL;
}

static void test_concurrent(void **state)
{
    (void)state;
    enum { THREADS = 8, EACH = 60 };
    struct fix f = {.is_echo = true, .is_silent = true};
    struct crowd c[THREADS];
    pthread_t threads[THREADS];
    start_tls(&f, 2, PKI_CLIENT_CERT_NONE, 0);
    for (int i = 0; i < THREADS; i++) {
        c[i] = (struct crowd){.to = fix_addr(&f, 0), .n = EACH};
        pthread_create(&threads[i], NULL, crowd_run, &c[i]);
    }
    for (int i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
        assert_false(c[i].failed);
    }
    fix_wait_count(&f, FIX_CLOSED, THREADS * EACH);
    fix_wait_stat(&f, conns_open[TRANSPORT_TLS], 0);
    assert_int_equal(fix_stats(&f).handshakes_failed, 0);
    fix_stop(&f);
}

/* Half-open ones do not keep others out: they are as many as one source may have, and others'
 * handshakes go on. */
static void test_half_open(void **state)
{
    (void)state;
    enum { N = 300 };
    struct fix f = {.is_echo = true};
    struct tls_peer p;
    int fds[N];
    char msg[600];
    start_tls(&f, 1, PKI_CLIENT_CERT_NONE, 0);
    struct addr to = fix_addr(&f, 0);
    for (int i = 0; i < N; i++) {
        fds[i] = fix_tcp(&to);
        if (i % 2)
            fix_write(fds[i], "\x16\x03\x01", 3);
    }
    fix_wait_stat(&f, handshakes_now, N);
    tls_peer_open(&p, &t, &to, "a.example", NULL, 0);
    tls_peer_write(&p, msg, fix_options(msg, sizeof(msg), "c1", 10));
    tls_peer_expect(&p, msg);
    tls_peer_done(&p);
    log_catch();
    for (int i = 0; i < N; i++)
        close(fds[i]);
    fix_wait_stat(&f, handshakes_now, 0);
    assert_int_equal(fix_stats(&f).handshakes_failed, N);
    log_release();
    fix_stop(&f);
}

/* Stopping in the middle of handshakes. */
static void test_stop(void **state)
{
    (void)state;
    for (int i = 0; i < 3; i++) {
        struct fix f = {.is_echo = true};
        struct tls_peer p[4];
        start_tls(&f, 2, PKI_CLIENT_CERT_NONE, 0);
        struct addr to = fix_addr(&f, 0);
        for (int k = 0; k < 4; k++) {
            if (k % 2)
                tls_peer_open(&p[k], &t, &to, "a.example", NULL, 0);
            else
                tls_peer_init(&p[k], &t, &to, "a.example", NULL, 0);
        }
        fix_stop(&f);
        char c;
        assert_int_equal(SSL_read(p[1].ssl, &c, 1), 0); /* close_notify */
        assert_int_equal(SSL_get_error(p[1].ssl, 0), SSL_ERROR_ZERO_RETURN);
        for (int k = 0; k < 4; k++)
            tls_peer_done(&p[k]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_echo),
        cmocka_unit_test(test_mutual),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_dial),
        cmocka_unit_test(test_dial_wrong_name),
        cmocka_unit_test(test_alias),
        cmocka_unit_test(test_vouched),
        cmocka_unit_test(test_bytewise),
        cmocka_unit_test(test_much),
        cmocka_unit_test(test_key_update),
        cmocka_unit_test(test_resumption),
        cmocka_unit_test(test_concurrent),
        cmocka_unit_test(test_half_open),
        cmocka_unit_test(test_stop),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}

/* Streams through a worker: framing at every split, pipelining, keep-alives, garbage, dialling,
 * queues, time limits, limits of connections, hand-over between workers. RFC 3261 18; RFC
 * 5626 3.5.1, 4.4.1; RFC 5923. */
#include "base/limits.h"
#include "fixture.h"
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

static void start_tcp(struct fix *f, unsigned n_workers)
{
    struct net_listener l;
    fix_listen(&l, TRANSPORT_TCP, "127.0.0.1:0");
    fix_start(f, n_workers, &l, 1);
}

static void test_echo(void **state)
{
    (void)state;
    struct fix f = {.is_echo = true};
    char msg[1024];
    struct addr me;
    socklen_t len = sizeof(me);
    start_tcp(&f, 1);
    struct addr to = fix_addr(&f, 0);
    int fd = fix_tcp(&to);
    assert_int_equal(getsockname(fd, &me.sa, &len), 0);
    size_t n = fix_options(msg, sizeof(msg), "c1", 10);
    fix_write(fd, msg, n);
    fix_expect(fd, msg);
    struct fix_event *e = fix_wait(&f, FIX_MESSAGE);
    assert_string_equal(e->text, msg);
    assert_int_equal(e->path.transport, TRANSPORT_TCP);
    assert_int_not_equal(e->path.flow, 0);
    assert_int_equal(flow_worker(e->path.flow), 0);
    assert_true(addr_eq(&e->path.remote, &me));
    assert_true(addr_eq(&e->path.local, &to));
    close(fd);
    struct fix_event *end = fix_wait(&f, FIX_CLOSED);
    assert_int_equal(end->path.flow, e->path.flow);
    assert_int_equal(end->why, NET_CLOSE_PEER);
    assert_string_equal(end->code, "conn-closed");
    fix_free(e);
    fix_free(end);
    fix_wait_stat(&f, conns_accepted[TRANSPORT_TCP], 1);
    fix_wait_stat(&f, conns_open[TRANSPORT_TCP], 0);
    fix_stop(&f);
}

/* Two messages and a ping, cut in two at every byte. */
static void test_splits(void **state)
{
    (void)state;
    struct fix f = {.is_echo = true};
    char one[600], all[2048], want[2048];
    start_tcp(&f, 1);
    struct addr to = fix_addr(&f, 0);
    fix_options(one, sizeof(one), "c1", 7);
    snprintf(all, sizeof(all), "\r\n%s\r\n\r\n\r\n%s", one, one);
    snprintf(want, sizeof(want), "%s\r\n%s", one, one);
    int fd = fix_tcp(&to);
    for (size_t i = 1; i < strlen(all); i++) {
        fix_write(fd, all, i);
        if (i % 7 == 0)
            fix_sleep(1);
        fix_write_z(fd, all + i);
        fix_expect(fd, want);
    }
    close(fd);
    fix_stop(&f);
}

static void test_bytewise(void **state)
{
    (void)state;
    struct fix f = {.is_echo = true};
    char one[600];
    start_tcp(&f, 1);
    struct addr to = fix_addr(&f, 0);
    size_t n = fix_options(one, sizeof(one), "c1", 20);
    int fd = fix_tcp(&to);
    for (int round = 0; round < 3; round++) {
        for (size_t i = 0; i < n; i++)
            fix_write(fd, one + i, 1);
        fix_expect(fd, one);
    }
    close(fd);
    fix_stop(&f);
}

/* Many messages in one write, of all sizes up to the largest. */
static void test_pipeline(void **state)
{
    (void)state;
    struct fix f = {.is_echo = true, .is_silent = true};
    static char all[400000], got[400001];
    size_t n = 0;
    start_tcp(&f, 1);
    struct addr to = fix_addr(&f, 0);
    for (unsigned i = 0; i < 200; i++)
        n += fix_options(all + n, sizeof(all) - n, "c1", i * i % 3000);
    n += fix_options(all + n, sizeof(all) - n, "c1", 65000);
    int fd = fix_tcp(&to);
    fix_write(fd, all, n);
    fix_read(fd, got, n);
    assert_memory_equal(all, got, n);
    close(fd);
    fix_stop(&f);
}

static void test_keepalive(void **state)
{
    (void)state;
    static const char stun[] = "\0\1\0\0\x21\x12\xa4\x42idididididid";
    struct fix f = {.is_echo = true};
    char got[8192], msg[600];
    start_tcp(&f, 1);
    struct addr to = fix_addr(&f, 0);
    int fd = fix_tcp(&to);
    fix_write_z(fd, "\r\n\r\n");
    fix_expect(fd, "\r\n");
    fix_write_z(fd, "\r\n"); /* a pong, or nothing yet */
    fix_expect_nothing(fd, 20);
    fix_write_z(fd, "\r\n");
    fix_expect(fd, "\r\n");
    fix_write(fd, stun, 20);
    fix_read(fd, got, 32);
    assert_memory_equal(got, "\1\1\0\x0c\x21\x12\xa4\x42idididididid\0\x20", 22);
    for (int i = 0; i < 4000; i++)
        memcpy(got + 2 * i, "\r\n", 2);
    fix_write(fd, got, 8000);
    fix_read(fd, got, 4000);
    for (int i = 0; i < 2000; i++)
        assert_memory_equal(got + 2 * i, "\r\n", 2);
    size_t n = fix_options(msg, sizeof(msg), "c1", 0);
    fix_write(fd, msg, n);
    fix_expect(fd, msg);
    close(fd);
    fix_stop(&f);
}

static void expect_garbage(const char *in, const char *answer, const char *code)
{
    struct fix f = {.is_echo = true};
    start_tcp(&f, 1);
    struct addr to = fix_addr(&f, 0);
    int fd = fix_tcp(&to);
    fix_write_z(fd, in);
    fix_expect(fd, answer);
    fix_expect_eof(fd);
    struct fix_event *e = fix_wait(&f, FIX_GARBAGE);
    assert_string_equal(e->code, code);
    fix_free(e);
    e = fix_wait(&f, FIX_CLOSED);
    assert_int_equal(e->why, NET_CLOSE_PROTOCOL);
    assert_string_equal(e->code, code);
    fix_free(e);
    fix_quiet(&f, FIX_MESSAGE, 0);
    assert_int_equal(fix_stats(&f).garbage, 1);
    close(fd);
    fix_stop(&f);
}

static void test_garbage(void **state)
{
    (void)state;
    expect_garbage("OPTIONS sip:a SIP/2.0\r\nVia: x\r\n\r\n", "400", "framing-no-length");
    expect_garbage("OPTIONS sip:a SIP/2.0\r\nl: 0\r\nContent-Length: 0\r\n\r\n", "400",
                   "framing-length-repeated");
    expect_garbage("OPTIONS sip:a SIP/2.0\r\nl: +1\r\n\r\nx", "400", "framing-length-syntax");
    expect_garbage("GET / HTTP/1.1\r\nHost: a\r\n\r\n", "", "framing-not-sip");
    expect_garbage("\x16\x03\x01", "", "framing-not-sip");
}

/* A message whose end never comes: what follows it in the same read is not taken for a message. */
static void test_garbage_pipelined(void **state)
{
    (void)state;
    struct fix f = {.is_echo = true};
    char msg[600], all[2000];
    start_tcp(&f, 1);
    struct addr to = fix_addr(&f, 0);
    int fd = fix_tcp(&to);
    fix_options(msg, sizeof(msg), "c1", 0);
    snprintf(all, sizeof(all), "%sOPTIONS sip:a SIP/2.0\r\nl: 1\r\nl: 2\r\n\r\n%s", msg, msg);
    fix_write_z(fd, all);
    fix_expect(fd, msg);
    fix_expect(fd, "400");
    fix_expect_eof(fd);
    fix_wait_count(&f, FIX_CLOSED, 1);
    assert_int_equal(f.counts[FIX_MESSAGE], 1);
    close(fd);
    fix_stop(&f);
}

/* --- dialling --- */

struct dial {
    struct net_connect_args args;
    flow_id flow;
    struct path path;
    int err;
    const char *send; /* at once */
    void *user;
};

static void dial(struct fix_worker *w, void *arg)
{
    struct dial *d = arg;
    d->err = net_connect(w->net, &d->args, &d->flow, &d->path);
    if (d->err)
        return;
    net_set_user(w->net, d->flow, d->user);
    assert_ptr_equal(net_get_user(w->net, d->flow), d->user);
    if (d->send) {
        struct buf *b = buf_copy(str_z(d->send));
        assert_non_null(b);
        check_err(net_send(w->net, &d->path, b), 0);
        buf_unref(b);
    }
}

static int listen_on(const char *addr, struct addr *ret)
{
    socklen_t len = sizeof(*ret);
    assert_int_equal(addr_parse_hostport(ret, str_z(addr)), 0);
    int fd = socket(ret->sa.sa_family, SOCK_STREAM, 0);
    assert_int_equal(bind(fd, &ret->sa, addr_len(ret)), 0);
    assert_int_equal(listen(fd, 16), 0);
    assert_int_equal(getsockname(fd, &ret->sa, &len), 0);
    return fd;
}

static int accept_one(int listener)
{
    struct pollfd p = {.fd = listener, .events = POLLIN};
    struct timeval t = {.tv_sec = FIX_WAIT_MS / 1000};
    assert_int_equal(poll(&p, 1, FIX_WAIT_MS), 1);
    int fd = accept(listener, NULL, NULL);
    assert_true(fd >= 0);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &t, sizeof(t));
    return fd;
}

struct find {
    struct addr remote;
    enum transport t;
    const char *name;
    flow_id flow;
};

static void find(struct fix_worker *w, void *arg)
{
    struct find *a = arg;
    a->flow = net_find(w->net, a->t, &a->remote, str_z(a->name));
}

static void test_dial(void **state)
{
    (void)state;
    static const char *const hosts[] = {"127.0.0.1:0", "[::1]:0"};
    for (int i = 0; i < 2; i++) {
        struct fix f = {0};
        struct net_listener l;
        char msg[600];
        int user;
        fix_listen(&l, TRANSPORT_TCP, hosts[i]);
        fix_start(&f, 1, &l, 1);
        struct dial d = {.args = {.transport = TRANSPORT_TCP, .server_name = STR("b.example")},
                         .send = "hello",
                         .user = &user};
        int listener = listen_on(hosts[i], &d.args.remote);
        fix_call(&f, 0, dial, &d);
        check_err(d.err, 0);
        assert_true(addr_eq(&d.path.remote, &d.args.remote));
        assert_true(addr_port(&d.path.local) != 0);
        int fd = accept_one(listener);
        fix_expect(fd, "hello");
        fix_options(msg, sizeof(msg), "c9", 3);
        fix_write_z(fd, msg);
        struct fix_event *e = fix_wait(&f, FIX_MESSAGE);
        assert_int_equal(e->path.flow, d.flow);
        assert_true(e->hop.outgoing);
        fix_free(e);
        struct find q = {.remote = d.args.remote,
                         .t = TRANSPORT_TCP,
                         .name = "c.example"}; /* TCP: the address decides */
        fix_call(&f, 0, find, &q);
        assert_int_equal(q.flow, d.flow);
        q.t = TRANSPORT_TLS;
        fix_call(&f, 0, find, &q);
        assert_int_equal(q.flow, 0);
        close(fd);
        e = fix_wait(&f, FIX_CLOSED);
        assert_int_equal(e->path.flow, d.flow);
        assert_ptr_equal(e->flow_user, &user);
        fix_free(e);
        q.t = TRANSPORT_TCP;
        fix_call(&f, 0, find, &q);
        assert_int_equal(q.flow, 0);
        close(listener);
        fix_stop(&f);
    }
}

static void test_dial_refused(void **state)
{
    (void)state;
    struct fix f = {0};
    start_tcp(&f, 1);
    struct dial d = {.args = {.transport = TRANSPORT_TCP}, .send = "lost"};
    close(listen_on("127.0.0.1:0", &d.args.remote));
    fix_call(&f, 0, dial, &d);
    check_err(d.err, 0);
    struct fix_event *e = fix_wait(&f, FIX_CLOSED);
    assert_int_equal(e->path.flow, d.flow);
    assert_int_equal(e->why, NET_CLOSE_REFUSED);
    assert_string_equal(e->code, "conn-failed");
    fix_free(e);
    d.args.transport = TRANSPORT_WS; /* accepted only */
    fix_call(&f, 0, dial, &d);
    check_err(d.err, ERR_INVALID);
    d.args.transport = TRANSPORT_TLS; /* without a context */
    fix_call(&f, 0, dial, &d);
    check_err(d.err, ERR_INVALID);
    d.args = (struct net_connect_args){
        .transport = TRANSPORT_TCP, .listener = 9, .remote = d.args.remote};
    fix_call(&f, 0, dial, &d);
    check_err(d.err, ERR_INVALID);
    fix_stop(&f);
}

/* A client listens nowhere and connects all the same. */
static void test_dial_client(void **state)
{
    (void)state;
    static const char *const addrs[] = {"127.0.0.1:0", "[::1]:0"};
    struct fix f = {.is_echo = true};
    char msg[600];
    size_t n = fix_options(msg, sizeof(msg), "c1", 3);
    fix_start(&f, 1, NULL, 0);
    for (size_t i = 0; i < ARRAY_LEN(addrs); i++) {
        struct dial d = {.args = {.transport = TRANSPORT_TCP, .listener = NET_LISTENER_GONE},
                         .send = "hello"};
        int listener = listen_on(addrs[i], &d.args.remote);
        fix_call(&f, 0, dial, &d);
        check_err(d.err, 0);
        assert_int_equal(d.path.listener, NET_LISTENER_GONE);
        int fd = accept_one(listener);
        fix_expect(fd, "hello");
        fix_write(fd, msg, n);
        fix_expect(fd, msg);
        close(fd);
        close(listener);
        struct fix_event *e = fix_wait(&f, FIX_CLOSED);
        assert_int_equal(e->path.flow, d.flow);
        fix_free(e);
    }
    struct dial d = {.args = {.transport = TRANSPORT_TCP, .listener = 0}};
    assert_int_equal(addr_parse(&d.args.remote, STR("127.0.0.1"), 9), 0);
    fix_call(&f, 0, dial, &d);
    check_err(d.err, ERR_INVALID);
    fix_stop(&f);
}

/* --- closing, stale ids --- */

struct poke {
    struct path path;
    const char *text;
    size_t n;
    int err;
    struct addr alias;
    uint64_t idle_ms;
};

static void poke_send(struct fix_worker *w, void *arg)
{
    struct poke *p = arg;
    struct buf *b = p->n ? buf_new(p->n) : buf_copy(str_z(p->text));
    assert_non_null(b);
    if (p->n) {
        memset(b->p, 'x', p->n);
        b->n = (uint32_t)p->n;
    }
    p->err = net_send(w->net, &p->path, b);
    buf_unref(b);
}

static void poke_send_close(struct fix_worker *w, void *arg)
{
    struct poke *p = arg;
    poke_send(w, arg);
    net_close(w->net, p->path.flow, NET_CLOSE_LOCAL);
    assert_null(net_facts(w->net, p->path.flow));
    struct buf *b = buf_copy(STR("late"));
    assert_non_null(b);
    check_err(net_send(w->net, &p->path, b), ERR_CLOSED);
    buf_unref(b);
}

static void test_close(void **state)
{
    (void)state;
    struct fix f = {0};
    char msg[600];
    start_tcp(&f, 1);
    struct addr to = fix_addr(&f, 0);
    for (int i = 0; i < 3;
         i++) { /* the same slot again: the old id must not name the new connection */
        int fd = fix_tcp(&to);
        fix_options(msg, sizeof(msg), "c1", 0);
        fix_write_z(fd, msg);
        struct fix_event *e = fix_wait(&f, FIX_MESSAGE);
        struct poke p = {.path = e->path, .text = "goodbye"};
        fix_call(&f, 0, poke_send_close, &p);
        check_err(p.err, 0);
        fix_expect(fd, "goodbye"); /* flushed first */
        fix_expect_eof(fd);
        struct fix_event *end = fix_wait(&f, FIX_CLOSED);
        assert_int_equal(end->why, NET_CLOSE_LOCAL);
        assert_int_equal(end->path.flow, e->path.flow);
        close(fd);
        fix_wait_stat(&f, conns_accepted[TRANSPORT_TCP], 2 * i + 1);
        fd = fix_tcp(&to);
        fix_write_z(fd, msg);
        struct fix_event *next = fix_wait(&f, FIX_MESSAGE);
        assert_int_not_equal(next->path.flow, e->path.flow);
        fix_call(&f, 0, poke_send, &p);
        check_err(p.err, ERR_CLOSED);
        fix_expect_nothing(fd, 10);
        close(fd);
        fix_free(fix_wait(&f, FIX_CLOSED));
        fix_free(next);
        fix_free(e);
        fix_free(end);
    }
    fix_stop(&f);
}

/* A peer that does not read: queued up to the limit, then closed. */
static void test_send_queue(void **state)
{
    (void)state;
    struct fix f = {0};
    char msg[600];
    start_tcp(&f, 1);
    struct addr to = fix_addr(&f, 0);
    int fd = fix_tcp(&to);
    fix_options(msg, sizeof(msg), "c1", 0);
    fix_write_z(fd, msg);
    struct fix_event *e = fix_wait(&f, FIX_MESSAGE);
    struct poke p = {.path = e->path, .n = 60000};
    unsigned sent = 0;
    while (p.err == 0 && sent < 1000) {
        fix_call(&f, 0, poke_send, &p);
        sent++;
    }
    check_err(p.err, ERR_LIMIT);
    assert_true(sent > LIMIT_STREAM_SEND_BYTES / 60000);
    struct fix_event *end = fix_wait(&f, FIX_CLOSED);
    assert_int_equal(end->why, NET_CLOSE_OVERLOAD);
    assert_string_equal(end->code, "conn-queue-full");
    assert_int_equal(fix_stats(&f).send_queue_overflows, 1);
    fix_free(end);
    fix_free(e);
    close(fd);
    fix_stop(&f);
}

/* ... and one that reads late gets everything, in order. */
static void test_backpressure(void **state)
{
    (void)state;
    struct fix f = {0};
    static char got[60001];
    char msg[600];
    start_tcp(&f, 1);
    struct addr to = fix_addr(&f, 0);
    int fd = fix_tcp(&to), small = 32768;
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
    fix_options(msg, sizeof(msg), "c1", 0);
    fix_write_z(fd, msg);
    struct fix_event *e = fix_wait(&f, FIX_MESSAGE);
    struct poke p = {.path = e->path};
    unsigned sent = 0;
    for (; sent < 15; sent++) {
        p.n = 60000 + sent;
        fix_call(&f, 0, poke_send, &p);
        check_err(p.err, 0);
        p.n = 0;
        p.text = "|";
        fix_call(&f, 0, poke_send, &p);
        check_err(p.err, 0);
    }
    for (unsigned i = 0; i < sent; i++) {
        fix_read(fd, got, 60000);
        for (unsigned k = 0; k < i; k++)
            fix_expect(fd, "x");
        fix_expect(fd, "|");
    }
    fix_free(e);
    close(fd);
    fix_stop(&f);
}

/* --- between workers --- */

static void test_cross_worker(void **state)
{
    (void)state;
    struct fix f = {0};
    char msg[600];
    start_tcp(&f, 3);
    struct addr to = fix_addr(&f, 0);
    for (int i = 0; i < 20; i++) {
        int fd = fix_tcp(&to);
        fix_options(msg, sizeof(msg), "c1", 0);
        fix_write_z(fd, msg);
        struct fix_event *e = fix_wait(&f, FIX_MESSAGE);
        assert_int_equal(flow_worker(e->path.flow), e->worker);
        struct poke p = {.path = e->path, .text = "over"};
        for (unsigned k = 0; k < 3; k++) {
            fix_call(&f, k, poke_send, &p);
            check_err(p.err, 0);
            fix_expect(fd, "over");
        }
        p.path.flow = (flow_id)7 << 56 | (p.path.flow & 0xffffffffffffff); /* no such worker */
        fix_call(&f, 0, poke_send, &p);
        check_err(p.err, ERR_CLOSED);
        fix_free(e);
        close(fd);
        fix_free(fix_wait(&f, FIX_CLOSED));
    }
    fix_stop(&f);
}

/* --- aliases --- */

static void poke_alias(struct fix_worker *w, void *arg)
{
    struct poke *p = arg;
    p->err = net_alias(w->net, p->path.flow, &p->alias);
}

static void test_alias(void **state)
{
    (void)state;
    struct fix f = {0};
    char msg[600];
    int fds[2];
    struct fix_event *e[2];
    start_tcp(&f, 1);
    struct addr to = fix_addr(&f, 0);
    fix_options(msg, sizeof(msg), "c1", 0);
    for (int i = 0; i < 2; i++) {
        fds[i] = fix_tcp(&to);
        fix_write_z(fds[i], msg);
        e[i] = fix_wait(&f, FIX_MESSAGE);
    }
    struct find q = {.t = TRANSPORT_TCP, .name = ""};
    assert_int_equal(addr_parse_hostport(&q.remote, STR("127.0.0.1:5060")), 0);
    fix_call(&f, 0, find, &q);
    assert_int_equal(q.flow, 0);
    struct poke p = {.path = e[0]->path, .alias = q.remote};
    fix_call(&f, 0, poke_alias, &p);
    check_err(p.err, 0);
    fix_call(&f, 0, poke_alias, &p); /* again: nothing new */
    check_err(p.err, 0);
    fix_call(&f, 0, find, &q);
    assert_int_equal(q.flow, e[0]->path.flow);
    p.path = e[1]->path; /* the newer one takes it over */
    fix_call(&f, 0, poke_alias, &p);
    check_err(p.err, 0);
    fix_call(&f, 0, find, &q);
    assert_int_equal(q.flow, e[1]->path.flow);
    for (unsigned i = 1; i < 8; i++) {
        addr_set_port(&p.alias, (uint16_t)(5060 + i));
        fix_call(&f, 0, poke_alias, &p);
        check_err(p.err, 0);
    }
    addr_set_port(&p.alias, 9999);
    fix_call(&f, 0, poke_alias, &p);
    check_err(p.err, ERR_LIMIT);
    close(fds[1]);
    fix_free(fix_wait(&f, FIX_CLOSED));
    fix_call(&f, 0, find, &q);
    assert_int_equal(q.flow, 0);
    fix_call(&f, 0, poke_alias, &p);
    check_err(p.err, ERR_NOTFOUND);
    close(fds[0]);
    fix_free(e[0]);
    fix_free(e[1]);
    fix_stop(&f);
}

/* --- limits --- */

static void poke_idle(struct fix_worker *w, void *arg)
{
    struct poke *p = arg;
    net_set_idle(w->net, p->path.flow, p->idle_ms);
}

static void test_idle(void **state)
{
    (void)state;
    struct fix f = {.is_echo = true};
    char msg[600];
    start_tcp(&f, 1);
    struct addr to = fix_addr(&f, 0);
    int fd = fix_tcp(&to);
    fix_options(msg, sizeof(msg), "c1", 0);
    fix_write_z(fd, msg);
    fix_expect(fd, msg);
    struct fix_event *e = fix_wait(&f, FIX_MESSAGE);
    struct poke p = {.path = e->path, .idle_ms = 150};
    fix_call(&f, 0, poke_idle, &p);
    for (int i = 0; i < 5; i++) { /* keep-alives count */
        fix_sleep(60);
        fix_write_z(fd, "\r\n\r\n");
        fix_expect(fd, "\r\n");
    }
    fix_expect_eof(fd);
    struct fix_event *end = fix_wait(&f, FIX_CLOSED);
    assert_int_equal(end->why, NET_CLOSE_IDLE);
    assert_string_equal(end->code, "conn-idle");
    assert_int_equal(fix_stats(&f).conns_closed_idle, 1);
    fix_free(e);
    fix_free(end);
    close(fd);
    fix_stop(&f);
}

static void test_source_limit(void **state)
{
    (void)state;
    struct fix f = {.is_echo = true};
    struct net_listener l;
    int fds[10];
    char msg[600];
    fix_listen(&l, TRANSPORT_TCP, "127.0.0.1:0");
    l.max_conns_source = 10;
    fix_start(&f, 3, &l, 1); /* over all workers */
    struct addr to = fix_addr(&f, 0);
    for (int i = 0; i < 10; i++)
        fds[i] = fix_tcp(&to);
    fix_wait_stat(&f, conns_accepted[TRANSPORT_TCP], 10);
    for (int i = 0; i < 5; i++) {
        int fd = fix_tcp(&to);
        fix_expect_eof(fd);
        close(fd);
    }
    fix_wait_stat(&f, conns_refused_source, 5);
    fix_options(msg, sizeof(msg), "c1", 0);
    int other = fix_tcp_from(&to, "127.0.0.2"); /* others go on */
    fix_write_z(other, msg);
    fix_expect(other, msg);
    close(fds[3]);
    fix_wait_count(&f, FIX_CLOSED, 1);
    fix_wait_stat(&f, conns_open[TRANSPORT_TCP], 10); /* its place is free once the socket is */
    fds[3] = fix_tcp(&to);
    fix_write_z(fds[3], msg);
    fix_expect(fds[3], msg);
    for (int i = 0; i < 10; i++)
        close(fds[i]);
    close(other);
    fix_stop(&f);
}

static void test_many(void **state)
{
    (void)state;
    enum { N = 5000 };
    struct fix f = {.is_echo = true, .is_silent = true};
    struct net_listener l;
    struct rlimit r;
    static int fds[N];
    char msg[600], from[32];
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &r), 0);
    r.rlim_cur = r.rlim_max;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &r), 0);
    if (r.rlim_cur < 2 * N + 200)
        skip();
    fix_listen(&l, TRANSPORT_TCP, "127.0.0.1:0");
    fix_start(&f, 2, &l, 1);
    struct addr to = fix_addr(&f, 0);
    for (int i = 0; i < N; i++) {
        snprintf(from, sizeof(from), "127.0.%d.1", 1 + i / 500);
        fds[i] = fix_tcp_from(&to, from);
    }
    fix_wait_stat(&f, conns_accepted[TRANSPORT_TCP], N);
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < N; i++) {
            snprintf(from, sizeof(from), "c%d-%d", i, round);
            fix_options(msg, sizeof(msg), from, (size_t)i % 50);
            fix_write_z(fds[i], msg);
        }
        for (int i = 0; i < N; i++) {
            snprintf(from, sizeof(from), "c%d-%d", i, round);
            fix_options(msg, sizeof(msg), from, (size_t)i % 50);
            fix_expect(fds[i], msg);
        }
    }
    for (int i = 0; i < N; i++)
        close(fds[i]);
    fix_wait_count(&f, FIX_CLOSED, N);
    fix_wait_stat(&f, conns_open[TRANSPORT_TCP], 0);
    fix_stop(&f);
}

/* Stopping with connections open and output queued. */
static void test_stop(void **state)
{
    (void)state;
    for (int i = 0; i < 3; i++) {
        struct fix f = {.is_echo = i == 1};
        char msg[600];
        start_tcp(&f, 2);
        struct addr to = fix_addr(&f, 0);
        int fds[20];
        fix_options(msg, sizeof(msg), "c1", 0);
        for (int k = 0; k < 20; k++) {
            fds[k] = fix_tcp(&to);
            fix_write_z(fds[k], msg);
        }
        if (i == 2)
            fix_wait_count(&f, FIX_MESSAGE, 20);
        fix_stop(&f);
        for (int k = 0; k < 20; k++)
            close(fds[k]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_echo),
        cmocka_unit_test(test_splits),
        cmocka_unit_test(test_bytewise),
        cmocka_unit_test(test_pipeline),
        cmocka_unit_test(test_keepalive),
        cmocka_unit_test(test_garbage),
        cmocka_unit_test(test_garbage_pipelined),
        cmocka_unit_test(test_dial),
        cmocka_unit_test(test_dial_refused),
        cmocka_unit_test(test_dial_client),
        cmocka_unit_test(test_close),
        cmocka_unit_test(test_send_queue),
        cmocka_unit_test(test_backpressure),
        cmocka_unit_test(test_cross_worker),
        cmocka_unit_test(test_alias),
        cmocka_unit_test(test_idle),
        cmocka_unit_test(test_source_limit),
        cmocka_unit_test(test_many),
        cmocka_unit_test(test_stop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

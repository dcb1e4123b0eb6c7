/* See fixture.h. */
#include "fixture.h"
#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

void fix_sleep(unsigned ms)
{
    struct timespec t = {.tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000};
    nanosleep(&t, NULL);
}

static struct timespec in_ms(unsigned ms)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    t.tv_sec += ms / 1000;
    t.tv_nsec += (long)(ms % 1000) * 1000000;
    if (t.tv_nsec >= 1000000000) {
        t.tv_sec++;
        t.tv_nsec -= 1000000000;
    }
    return t;
}

/* --- the user --- */

static void note(struct fix_worker *w, struct fix_event *e)
{
    struct fix *f = w->f;
    e->worker = w->net->worker;
    pthread_mutex_lock(&f->lock);
    f->counts[e->kind]++;
    if (f->last[e->kind])
        f->last[e->kind]->next = e;
    else
        f->first[e->kind] = e;
    f->last[e->kind] = e;
    pthread_cond_broadcast(&f->changed);
    pthread_mutex_unlock(&f->lock);
}

static void copy_z(char *dst, size_t cap, const char *src)
{
    snprintf(dst, cap, "%s", src ? src : "");
}

static struct fix_event *event_of(enum fix_kind kind, const struct path *path,
                                  const struct buf *buf, const struct hop_facts *hop,
                                  const struct reason *reason)
{
    struct fix_event *e = calloc(1, sizeof(*e));
    assert_non_null(e);
    e->kind = kind;
    e->path = *path;
    if (buf) {
        e->n = buf->n;
        memcpy(e->text, buf->p, buf->n < FIX_TEXT ? buf->n : FIX_TEXT - 1);
    }
    if (hop) {
        e->hop = *hop;
        copy_z(e->server_name, sizeof(e->server_name), hop->server_name);
        for (size_t i = 0; i < hop->n_peer_names && i < FIX_NAMES; i++)
            snprintf(e->names[i], sizeof(e->names[i]), "%.*s", STR_FMT(hop->peer_names[i]));
    }
    if (reason) {
        copy_z(e->code, sizeof(e->code), reason->code);
        e->status = reason->sip_status;
    }
    return e;
}

static void on_message(void *arg, const struct rx *rx)
{
    struct fix_worker *w = arg;
    struct fix *f = w->f;
    if (f->on_message) {
        f->on_message(w, rx);
        return;
    }
    if (f->is_echo && net_send(w->net, &rx->path, rx->buf) != 0)
        fprintf(stderr, "echo failed\n");
    if (f->is_silent) {
        pthread_mutex_lock(&f->lock);
        f->counts[FIX_MESSAGE]++;
        pthread_cond_broadcast(&f->changed);
        pthread_mutex_unlock(&f->lock);
        return;
    }
    note(w, event_of(FIX_MESSAGE, &rx->path, rx->buf, rx->hop, NULL));
}

static void on_flow_closed(void *arg, flow_id flow, const struct path *path, enum net_close_why why,
                           const struct reason *reason, void *flow_user)
{
    struct fix_worker *w = arg;
    struct fix_event *e = event_of(FIX_CLOSED, path, NULL, NULL, reason);
    e->path.flow = flow;
    e->why = why;
    e->flow_user = flow_user;
    note(w, e);
}

static void on_unreachable(void *arg, const struct path *path)
{
    note(arg, event_of(FIX_UNREACHABLE, path, NULL, NULL, NULL));
}

static void on_garbage(void *arg, const struct rx *rx, const struct reason *reason)
{
    struct fix_worker *w = arg;
    struct buf *b = buf_copy(STR("400"));
    assert_non_null(b);
    if (w->f->is_echo && reason->sip_status && net_send(w->net, &rx->path, b) != 0)
        fprintf(stderr, "400 failed\n");
    buf_unref(b);
    note(w, event_of(FIX_GARBAGE, &rx->path, rx->buf, rx->hop, reason));
}

static int worker_start(void *arg, struct net *net, struct net_user *ret_user)
{
    struct fix *f = arg;
    struct fix_worker *w = &f->workers[net->worker];
    *w = (struct fix_worker){f, net};
    *ret_user = (struct net_user){.arg = w,
                                  .on_message = on_message,
                                  .on_flow_closed = on_flow_closed,
                                  .on_unreachable = on_unreachable,
                                  .on_garbage = on_garbage};
    return net->worker == 0 ? f->start_error : 0;
}

static void worker_stop(void *arg, struct net *net, void *user_arg)
{
    struct fix *f = arg;
    (void)net;
    if (f->on_stop)
        f->on_stop(user_arg);
    pthread_mutex_lock(&f->lock);
    f->n_stopped++;
    pthread_mutex_unlock(&f->lock);
}

/* --- start and stop --- */

void fix_listen(struct net_listener *l, enum transport t, const char *addr)
{
    *l = (struct net_listener){.transport = t};
    assert_int_equal(addr_parse_hostport(&l->addr, str_z(addr)), 0);
}

void fix_start(struct fix *f, unsigned n_workers, const struct net_listener *listeners, size_t n)
{
    struct reason reason = {0};
    struct net_group_args args = {.n_workers = n_workers,
                                  .listeners = listeners,
                                  .n_listeners = n,
                                  .worker_start = worker_start,
                                  .worker_stop = worker_stop,
                                  .arg = f,
                                  .steer_mark = "mark",
                                  .dns_forward = "127.0.0.1@9"};
    pthread_mutex_init(&f->lock, NULL);
    pthread_cond_init(&f->changed, NULL);
    f->n_workers = n_workers;
    int err = net_group_start(&args, &f->g, &reason);
    if (err != f->start_error)
        fail_msg("start: %d %s %s", err, reason.code, reason.detail);
}

void fix_stop(struct fix *f)
{
    net_group_stop(f->g);
    for (int k = 0; k < FIX_KINDS; k++) {
        while (f->first[k]) {
            struct fix_event *e = f->first[k];
            f->first[k] = e->next;
            free(e);
        }
    }
    pthread_mutex_destroy(&f->lock);
    pthread_cond_destroy(&f->changed);
}

struct addr fix_addr(const struct fix *f, size_t listener)
{
    struct addr a;
    assert_int_equal(net_group_addr(f->g, listener, &a), 0);
    return a;
}

/* --- waiting --- */

static const char *const kind_names[] = {"message", "closed", "unreachable", "garbage"};

struct fix_event *fix_wait(struct fix *f, enum fix_kind kind)
{
    struct timespec end = in_ms(FIX_WAIT_MS);
    int err = 0;
    pthread_mutex_lock(&f->lock);
    while (!f->first[kind] && err == 0)
        err = pthread_cond_timedwait(&f->changed, &f->lock, &end);
    struct fix_event *e = f->first[kind];
    if (e) {
        f->first[kind] = e->next;
        if (!e->next)
            f->last[kind] = NULL;
    }
    pthread_mutex_unlock(&f->lock);
    if (!e)
        fail_msg("no %s came", kind_names[kind]);
    return e;
}

void fix_free(struct fix_event *e)
{
    free(e);
}

void fix_quiet(struct fix *f, enum fix_kind kind, unsigned ms)
{
    fix_sleep(ms);
    pthread_mutex_lock(&f->lock);
    bool is_quiet = !f->first[kind];
    pthread_mutex_unlock(&f->lock);
    if (!is_quiet)
        fail_msg("a %s came", kind_names[kind]);
}

void fix_wait_count(struct fix *f, enum fix_kind kind, size_t n)
{
    struct timespec end = in_ms(FIX_WAIT_MS);
    int err = 0;
    pthread_mutex_lock(&f->lock);
    while (f->counts[kind] < n && err == 0)
        err = pthread_cond_timedwait(&f->changed, &f->lock, &end);
    size_t have = f->counts[kind];
    pthread_mutex_unlock(&f->lock);
    if (have < n)
        fail_msg("only %zu of %zu %s came", have, n, kind_names[kind]);
}

struct call {
    void (*fn)(struct fix_worker *w, void *arg);
    void *arg;
    struct fix *f;
    bool is_done;
};

static void call_run(void *edge_worker, void *arg)
{
    struct fix_worker *w = edge_worker;
    struct call *c = arg;
    c->fn(w, c->arg);
    pthread_mutex_lock(&c->f->lock);
    c->is_done = true;
    pthread_cond_broadcast(&c->f->changed);
    pthread_mutex_unlock(&c->f->lock);
}

void fix_call(struct fix *f, unsigned worker, void (*fn)(struct fix_worker *w, void *arg),
              void *arg)
{
    struct call c = {.fn = fn, .arg = arg, .f = f};
    assert_int_equal(net_group_post(f->g, worker, call_run, &c), 0);
    pthread_mutex_lock(&f->lock);
    while (!c.is_done)
        pthread_cond_wait(&f->changed, &f->lock);
    pthread_mutex_unlock(&f->lock);
}

struct net_stats fix_stats(const struct fix *f)
{
    struct net_stats sum = {0}, one;
    for (unsigned i = 0; i < f->n_workers; i++) {
        net_group_stats(f->g, i, &one);
        const uint64_t *from = (const uint64_t *)&one;
        uint64_t *to = (uint64_t *)&sum;
        for (size_t k = 0; k < sizeof(sum) / sizeof(*to); k++)
            to[k] += from[k];
    }
    return sum;
}

/* --- clients --- */

static void set_timeout(int fd)
{
    struct timeval t = {.tv_sec = FIX_WAIT_MS / 1000};
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &t, sizeof(t)), 0);
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &t, sizeof(t)), 0);
}

int fix_udp(const char *local)
{
    struct addr a;
    assert_int_equal(addr_parse_hostport(&a, str_z(local)), 0);
    int fd = socket(a.sa.sa_family, SOCK_DGRAM, 0), bytes = 8 << 20;
    assert_true(fd >= 0);
    if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof(bytes)) != 0)
        (void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof(bytes));
    assert_int_equal(bind(fd, &a.sa, addr_len(&a)), 0);
    set_timeout(fd);
    return fd;
}

int fix_tcp_from(const struct addr *to, const char *local_host)
{
    int fd = socket(to->sa.sa_family, SOCK_STREAM, 0), one = 1;
    assert_true(fd >= 0);
    setsockopt(fd, IPPROTO_TCP, 1 /* TCP_NODELAY */, &one, sizeof(one));
    if (local_host) {
        struct addr a;
        assert_int_equal(addr_parse(&a, str_z(local_host), 0), 0);
        assert_int_equal(bind(fd, &a.sa, addr_len(&a)), 0);
    }
    set_timeout(fd);
    if (connect(fd, &to->sa, addr_len(to)) != 0)
        fail_msg("connect: %s", strerror(errno));
    return fd;
}

int fix_tcp(const struct addr *to)
{
    return fix_tcp_from(to, NULL);
}

void fix_write(int fd, const char *p, size_t n)
{
    while (n) {
        ssize_t k = send(fd, p, n, MSG_NOSIGNAL);
        if (k <= 0)
            fail_msg("write: %s", strerror(errno));
        p += k;
        n -= (size_t)k;
    }
}

void fix_write_z(int fd, const char *z)
{
    fix_write(fd, z, strlen(z));
}

void fix_read(int fd, char *dst, size_t n)
{
    size_t have = 0;
    while (have < n) {
        ssize_t k = recv(fd, dst + have, n - have, 0);
        if (k <= 0)
            fail_msg("read: %s after %zu of %zu bytes", k ? strerror(errno) : "end", have, n);
        have += (size_t)k;
    }
    dst[n] = '\0';
}

void fix_expect(int fd, const char *z)
{
    size_t n = strlen(z);
    char *got = malloc(n + 1);
    assert_non_null(got);
    fix_read(fd, got, n);
    assert_string_equal(got, z);
    free(got);
}

void fix_expect_eof(int fd)
{
    char c[256];
    ssize_t n = recv(fd, c, sizeof(c) - 1, 0);
    if (n > 0 || (n < 0 && errno != ECONNRESET))
        fail_msg("no end, but %zd %s", n, n < 0 ? strerror(errno) : (c[n] = '\0', c));
}

void fix_expect_nothing(int fd, unsigned ms)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    assert_int_equal(poll(&p, 1, (int)ms), 0);
}

size_t fix_options(char *dst, size_t cap, const char *call_id, size_t body)
{
    int n = snprintf(
        dst, cap,
        "OPTIONS sip:a.example SIP/2.0\r\nVia: SIP/2.0/TCP h;branch=z9hG4bK1\r\nFrom: "
        "<sip:a@a.example>;tag=1\r\n"
        "To: <sip:b@a.example>\r\nCall-ID: %s\r\nCSeq: 1 OPTIONS\r\nContent-Length: %zu\r\n\r\n",
        call_id, body);
    assert_true(n > 0 && (size_t)n + body < cap);
    memset(dst + n, 'b', body);
    dst[(size_t)n + body] = '\0';
    return (size_t)n + body;
}

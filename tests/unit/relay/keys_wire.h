/* Ends without sockets for the tests of relay/keys.h, and a wire between them: what is sent by one
 * is told to the sink of the other, on a media thread of its own or when the test says so. Sinks
 * change hands on that thread, as they do with real ends. */
#ifndef TESTS_UNIT_RELAY_KEYS_WIRE_H
#define TESTS_UNIT_RELAY_KEYS_WIRE_H

#include "keying/keying_fixture.h"
#include "oom.h"
#include "relay/keys.h"
#include "relay/relay_priv.h"
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

struct fake { /* stands for a struct relay_end */
    struct fake *peer;
    struct addr addr;
    struct relay_sink sink; /* the wire's thread's */
    _Atomic unsigned n_send, n_receive, n_datagrams, n_told;
    _Atomic int install_err;
    _Atomic bool cut; /* nothing leaves */
    uint64_t not_authentic;
    pthread_mutex_t lock; /* of the keys */
    struct keying_keys send[KEYING_PATHS], receive[KEYING_PATHS];
    uint8_t paths;
    pthread_t installer;
};

struct op {
    struct op *next;
    struct fake *to;
    bool is_bind;
    struct relay_sink sink;
    enum relay_event_kind kind;
    enum keying_path path;
    struct addr from;
    size_t n;
    uint8_t bytes[2048];
};

static struct wire {
    pthread_mutex_t lock;
    struct op *first, **last;
    bool is_threaded;
    _Atomic bool is_stopping;
    pthread_t thread;
} wire = {.lock = PTHREAD_MUTEX_INITIALIZER, .last = &wire.first};

static inline void wire_put(struct op *op)
{
    (void)pthread_mutex_lock(&wire.lock);
    op->next = NULL;
    *wire.last = op;
    wire.last = &op->next;
    (void)pthread_mutex_unlock(&wire.lock);
}

static inline struct op *wire_take(void)
{
    struct op *op;

    (void)pthread_mutex_lock(&wire.lock);
    op = wire.first;
    if (op != NULL && (wire.first = op->next) == NULL)
        wire.last = &wire.first;
    (void)pthread_mutex_unlock(&wire.lock);
    return op;
}

static inline void wire_tell(struct op *op)
{
    struct fake *f = op->to;
    struct relay_event event = {.kind = op->kind,
                                .path = op->path,
                                .from = op->from,
                                .is_named = true, /* nobody else is on the wire */
                                .bytes = op->bytes,
                                .n = op->n};

    if (op->is_bind) {
        struct relay_sink old = f->sink;

        f->sink = op->sink;
        if (old.unref != NULL)
            old.unref(old.arg);
    } else if (f->sink.event != NULL) {
        f->n_told++;
        f->sink.event(f->sink.arg, f->sink.section, &event);
    }
    free(op);
}

static inline bool wire_run(void)
{
    struct op *op;
    bool any = false;

    while ((op = wire_take()) != NULL) {
        wire_tell(op);
        any = true;
    }
    return any;
}

static inline void *wire_main(void *arg)
{
    (void)arg;
    while (!wire.is_stopping) {
        if (!wire_run())
            usleep(100);
    }
    (void)wire_run();
    return NULL;
}

static inline void wire_start(void)
{
    wire.is_threaded = true;
    wire.is_stopping = false;
    assert_int_equal(pthread_create(&wire.thread, NULL, wire_main, NULL), 0);
}

static inline void wire_stop(void)
{
    wire.is_stopping = true;
    assert_int_equal(pthread_join(wire.thread, NULL), 0);
    wire.is_threaded = false;
}

static inline void wire_event(struct fake *to, enum relay_event_kind kind, enum keying_path path,
                              const struct addr *from, const uint8_t *p, size_t n)
{
    struct op *op = malloc(sizeof(*op));

    assert_true(op != NULL && n <= sizeof(op->bytes));
    op->to = to;
    op->is_bind = false;
    op->kind = kind;
    op->path = path;
    op->from = *from;
    op->n = n;
    if (n > 0)
        memcpy(op->bytes, p, n);
    wire_put(op);
}

static inline struct fake *fake_of(struct relay_end *e)
{
    return (struct fake *)(void *)e;
}

static inline struct relay_end *end_of(struct fake *f)
{
    return (struct relay_end *)(void *)f;
}

static inline void fake_init(struct fake *f, const char *host, uint16_t port)
{
    memset(f, 0, sizeof(*f));
    assert_int_equal(pthread_mutex_init(&f->lock, NULL), 0);
    check_err(addr_parse(&f->addr, str_z(host), port), 0);
}

/* ---- what relay/keys.c calls ---- */

void relay_end_bind(struct relay_end *e, const struct relay_sink *sink)
{
    struct op *op = malloc(sizeof(*op));

    if (op == NULL)
        abort();
    op->to = fake_of(e);
    op->is_bind = true;
    op->sink = sink != NULL ? *sink : (struct relay_sink){.arg = NULL};
    if (sink != NULL)
        sink->ref(sink->arg);
    wire_put(op);
}

void relay_end_send(struct relay_end *e, enum keying_path path, const struct addr *to,
                    const uint8_t *bytes, size_t n)
{
    struct fake *f = fake_of(e), *peer = f->peer;
    uint16_t up = path == KEYING_RTCP; /* RTCP's port is the next one */
    struct addr from = f->addr;

    f->n_datagrams++;
    addr_set_port(&from, (uint16_t)(addr_port(&from) + up));
    if (peer == NULL || f->cut ||
        (to != NULL &&
         (!addr_eq_host(to, &peer->addr) || addr_port(to) != addr_port(&peer->addr) + up)))
        return;
    wire_event(peer, RELAY_EVENT_KEYS, path, &from, bytes, n);
}

int relay_end_install(struct relay_end *e, const struct keying_install *install)
{
    struct fake *f = fake_of(e);

    if (f->install_err != 0)
        return f->install_err;
    if (keying_keys_check(install->keys) != 0)
        return ERR_INVALID;
    (void)pthread_mutex_lock(&f->lock);
    for (int path = 0; path < KEYING_PATHS; path++) {
        if (install->paths & (1u << path))
            *(install->is_send ? &f->send[path] : &f->receive[path]) = *install->keys;
    }
    f->paths |= install->paths;
    f->installer = pthread_self();
    (void)pthread_mutex_unlock(&f->lock);
    if (install->is_send)
        f->n_send++;
    else
        f->n_receive++;
    return 0;
}

void relay_end_stats(const struct relay_end *e, struct relay_end_stats *ret)
{
    memset(ret, 0, sizeof(*ret));
    ret->not_authentic = ((const struct fake *)(const void *)e)->not_authentic;
}

static inline void check_fit(struct fake *a, struct fake *b, enum keying_path path)
{
    const struct keying_suite *suite = a->send[path].suite;

    assert_non_null(suite);
    assert_ptr_equal(suite, b->receive[path].suite);
    assert_memory_equal(a->send[path].key[0].key, b->receive[path].key[0].key, suite->key_len);
    assert_memory_equal(b->send[path].key[0].key, a->receive[path].key[0].key, suite->key_len);
    assert_memory_equal(a->send[path].key[0].salt, b->receive[path].key[0].salt, suite->salt_len);
    assert_memory_not_equal(a->send[path].key[0].key, b->send[path].key[0].key, suite->key_len);
}

#endif

/* What the tests of the network share: workers on loopback whose user writes down what it is told
 * and can echo, and plain blocking clients. Every wait ends after FIX_WAIT_MS with a failed test.
 */
#ifndef TESTS_UNIT_NET_FIXTURE_H
#define TESTS_UNIT_NET_FIXTURE_H

#include "base/err.h"
#include "check.h"
#include "net/worker.h"
#include <pthread.h>

#define FIX_WAIT_MS 8000
#define FIX_TEXT 4096
#define FIX_NAMES 4

enum fix_kind { FIX_MESSAGE, FIX_CLOSED, FIX_UNREACHABLE, FIX_GARBAGE, FIX_KINDS };

struct fix_event {
    enum fix_kind kind;
    unsigned worker;
    struct path path;
    size_t n;            /* bytes of the message */
    char text[FIX_TEXT]; /* its beginning, terminated */
    enum net_close_why why;
    char code[48]; /* reason */
    unsigned status;
    void *flow_user;
    struct hop_facts hop; /* pointers only as good as the constants behind them */
    char server_name[64], names[FIX_NAMES][64];
    struct fix_event *next;
};

struct fix_worker {
    struct fix *f;
    struct net *net;
};

struct fix {
    struct net_group *g;
    struct fix_worker workers[8];
    unsigned n_workers;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct fix_event *first[FIX_KINDS], *last[FIX_KINDS];
    size_t counts[FIX_KINDS]; /* ever, not only those waiting */
    bool is_echo;             /* messages go back where they came from, garbage gets "400" */
    bool is_silent;           /* count only */
    int start_error;          /* what worker_start returns */
    unsigned n_stopped;
    void (*on_stop)(struct fix_worker *w); /* in worker_stop */
    void *arg;                             /* for these */
    void (*on_message)(struct fix_worker *w,
                       const struct rx *rx); /* instead of all that; on the worker's thread */
};

void fix_listen(struct net_listener *l, enum transport t, const char *addr);
/* Starts; fails the test if it cannot. */
void fix_start(struct fix *f, unsigned n_workers, const struct net_listener *listeners, size_t n);
void fix_stop(struct fix *f);
struct addr fix_addr(const struct fix *f, size_t listener);
/* The next event of a kind; the caller frees it with fix_free. */
struct fix_event *fix_wait(struct fix *f, enum fix_kind kind);
void fix_free(struct fix_event *e);
/* None of this kind comes for `ms`. */
void fix_quiet(struct fix *f, enum fix_kind kind, unsigned ms);
void fix_wait_count(struct fix *f, enum fix_kind kind, size_t n);
/* Runs fn on a worker and waits until it has. */
void fix_call(struct fix *f, unsigned worker, void (*fn)(struct fix_worker *w, void *arg),
              void *arg);
/* Sum over all workers. */
struct net_stats fix_stats(const struct fix *f);
/* Waits until a counter (by its offset in net_stats) of all workers reaches a value. */
#define fix_wait_stat(f, field, want)                                                              \
    do {                                                                                           \
        uint64_t fix_have_ = fix_stats(f).field;                                                   \
        for (unsigned fix_i_ = 0; fix_i_ < FIX_WAIT_MS && fix_have_ != (uint64_t)(want);           \
             fix_i_++) {                                                                           \
            fix_sleep(1);                                                                          \
            fix_have_ = fix_stats(f).field;                                                        \
        }                                                                                          \
        assert_int_equal(fix_have_, want);                                                         \
    } while (0)
void fix_sleep(unsigned ms);

/* Blocking clients. */
int fix_udp(const char *local); /* bound to an address, connected to none */
int fix_tcp(const struct addr *to);
int fix_tcp_from(const struct addr *to, const char *local_host);
void fix_write(int fd, const char *p, size_t n);
void fix_write_z(int fd, const char *z);
/* Reads exactly n bytes into dst (and a NUL behind them). */
void fix_read(int fd, char *dst, size_t n);
void fix_expect(int fd, const char *z); /* exactly these bytes come next */
void fix_expect_eof(int fd); /* nothing more comes, and the other side has closed (or reset) */
void fix_expect_nothing(int fd, unsigned ms);

/* An OPTIONS with a body of n bytes 'b', for streams (with Content-Length). Terminated; returns its
 * length. */
size_t fix_options(char *dst, size_t cap, const char *call_id, size_t body);

#endif

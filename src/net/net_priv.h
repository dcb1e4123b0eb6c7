/* What the files of net share: the worker, its listeners and its connections.
 *
 *   group.c     workers are made, started, reloaded and stopped (main thread)
 *   worker.c    one worker: the turn of its loop, timers, messages from others, the functions of
 * net.h listener.c  sockets are bound (main thread), taken over by a worker, connections accepted
 *   udp.c       datagrams
 *   sources.c   connections counted by source address
 *   conn.c      connections: table, life, time limits, reuse
 *   stream.c    bytes of connections: read, cut into messages, queued, written
 *   tls.c       TLS between the two
 *   signing.c   handshakes whose private key another process has
 *   wsconn.c    WebSocket on top of them
 *   watch.c     descriptors of others
 *
 * A turn: libuv reports sockets, timers or messages; everything that they cause to be sent is
 * queued; before the loop waits again (uv_prepare) ended connections are announced and all queues
 * are written, one system call for each socket. System calls are what a signalling server spends
 * its time on, so there is one for all datagrams of a turn, not one each; and under load turns begin
 * a little apart (pace.h), so that there is more than one.
 *
 * Thread: everything here belongs to the worker's thread but where it says otherwise. */
#ifndef NET_NET_PRIV_H
#define NET_NET_PRIV_H

#include "base/limits.h"
#include "base/list.h"
#include "base/map.h"
#include "base/mq.h"
#include "net/framing.h"
#include "net/pace.h"
#include "net/worker.h"
#include "net/ws.h"
#include <pthread.h>
#include <uv.h>

struct ssl_st;
struct dns;
struct locator;

#define SCRATCH_BYTES 65536u /* what one read of a stream can bring */
#define PLAIN_BYTES 16384u   /* a TLS record's content */
#define WIRE_BYTES 98304u    /* TLS records on their way out */
#define UDP_BATCH 32u        /* datagrams per recvmmsg */
#define UDP_ROUNDS 4u        /* ... and how often before others get their turn */
#define UDP_SEND_BATCH 64u
#define UDP_SEND_QUEUE 4096u /* datagrams that wait for room in the socket's buffer */
#define UNREACHABLE_MAX                                                                            \
    64u /* reports kept for the end of a turn; more are dropped, timers do the rest */
#define ACCEPT_BATCH 64u
#define HANDSHAKE_BUDGET 16u /* handshake steps a turn: each costs as much as ten messages */
#define ALIASES_MAX 8u       /* RFC 5923 aliases of one connection */
#define LINGER_MS 1000u      /* how long a closed connection may take to read what was flushed */
#define DRAIN_MS 5000u       /* ... or to take it at all */
#define ACCEPT_PAUSE_MS 100u

struct worker;

/* --- group.c, sources.c --- */

/* Connections per source address, IPv6 by /64; shared by all workers, behind a lock taken at accept
 * and close only. */
struct source {
    struct map_node node;
    unsigned n;
    unsigned char key[17];
};
struct sources {
    pthread_mutex_t lock;
    struct map map;
};
MUST_USE int sources_init(struct sources *s, size_t max);
void sources_done(struct sources *s);
/* NULL: max reached, or no memory. */
struct source *sources_take(struct sources *s, const struct addr *from, unsigned max);
void sources_give(struct sources *s, struct source *source);

/* A peer's certificate of which nobody could say whether it is revoked, as it was told last (tls.c). */
struct doubt {
    uint64_t who; /* hash; 0: none */
    const char *code, *clause;
};

struct net_group {
    unsigned n_workers;
    struct worker **workers;
    struct net_group_args args;
    struct sources sources;
    pthread_mutex_t lock; /* of what follows */
    pthread_cond_t changed;
    unsigned waiting; /* workers that have not answered yet */
    int error;
    struct doubt doubts[256];
    /* main thread */
    const struct net_change *reload; /* under way; read by the workers that are asked to carry it out */
    struct bound *bound;         /* the listeners in force */
    size_t n_bound;
};
struct bound {
    struct net_listener cfg; /* as asked for */
    struct addr addr;        /* as bound */
};
void group_answer(struct net_group *g, int error); /* a worker's */

/* --- listener.c --- */

struct udp_out {
    struct buf *buf;
    struct addr to, from; /* from: only where the socket is bound to a wildcard */
};

struct listener {
    struct worker *w;
    uv_poll_t poll;
    unsigned refs; /* the worker's table, the uv handle, each connection */
    int fd;
    uint16_t index; /* NET_LISTENER_GONE once removed */
    enum transport transport;
    struct addr addr;
    bool is_any, is_polled, is_blocked, is_paused;
    bool no_segments; /* the kernel did not take several datagrams as one */
    struct pki_tls_server *tls;
    unsigned max_conns_source;
    uint64_t idle_ms;
    char *ws_origins;
    struct net_pages *pages;
    struct wheel_timer resume;
    /* UDP */
    struct udp_out *out;
    size_t n_out, cap_out;
    struct list dirty;
    uint64_t drops_checked_ms;
    uint32_t drops;
};

/* Main thread: binds n sockets for n workers. `reason` names address and cause. */
MUST_USE int listener_open(const struct net_listener *cfg, int *fds, unsigned n,
                           struct addr *ret_bound, struct reason *reason);
/* The sockets of an address, of which fd is one, were bound in the workers' order: responses with the
 * mark go to that of the worker whose number is behind it (steer.c). Where this cannot be had,
 * nothing changes. */
void steer_responses(int fd, const char *mark, unsigned n_workers);
MUST_USE struct listener *listener_new(struct worker *w, const struct net_listener *cfg,
                                       const struct addr *bound);
/* New settings for the same socket. Takes over `ws_origins`. */
void listener_set(struct listener *l, const struct net_listener *cfg, uint16_t index,
                  char *ws_origins);
void listener_poll(struct listener *l, int fd); /* owns fd from here on */
void listener_close(struct listener *l);        /* no more of it; connections live on */
void listener_unref(struct listener *l);
static inline struct listener *listener_ref(struct listener *l)
{
    l->refs++;
    return l;
}

/* --- udp.c --- */

struct udp_in;
MUST_USE int udp_init(struct worker *w);
void udp_done(struct worker *w);
void udp_readable(struct listener *l);
void udp_errors(struct listener *l); /* reads the error queue */
MUST_USE int udp_send(struct worker *w, const struct path *to, struct buf *msg);
void udp_flush(struct listener *l);
void udp_watch(struct listener *l);

/* --- conn.c --- */

enum conn_state {
    CONN_CONNECTING, /* TCP */
    CONN_HANDSHAKE,  /* TLS */
    CONN_UPGRADE,    /* waiting for the WebSocket request */
    CONN_OPEN,
    CONN_CLOSING, /* the edge is told at the end of this turn */
    CONN_DRAIN,   /* it was told; what was queued is still being written */
    CONN_LINGER,  /* all is written; the peer may still be sending */
    CONN_DEAD     /* freed at the end of this turn */
};

/* Something queued on a connection: a few bytes of our own, then perhaps a message. */
struct out {
    struct out *next;
    struct buf *buf;
    uint8_t n_own;
    char own[15];
};

/* What net_find finds a connection by. */
struct conn_key {
    struct map_node node;
    struct conn *c;
    struct conn_key *next;
    bool is_alias;
    uint8_t n;
    char bytes[];
};

struct conn {
    uv_poll_t poll;
    struct worker *w;
    struct listener *l;
    flow_id id;
    int fd;
    uint8_t transport; /* enum transport */
    uint8_t state;     /* enum conn_state */
    uint8_t mask;      /* what libuv watches */
    uint8_t why;       /* enum net_close_why, once closing */
    bool is_outgoing : 1;
    bool is_announced : 1;  /* the edge knows of it */
    bool is_polled : 1;     /* poll is a live handle */
    bool is_blocked : 1;    /* the socket takes no more now */
    bool is_counted : 1;    /* among the worker's handshakes */
    bool has_message : 1;   /* a whole message has come */
    bool has_failed : 1;    /* TLS is of no more use */
    bool is_close_sent : 1; /* TLS: close_notify or a fatal alert is queued */
    bool is_ws_open : 1;    /* upgraded, and no close frame sent */
    bool has_eof : 1;       /* the other side has closed */
    bool is_vouched : 1;    /* what it said */
    bool is_unknown_yet : 1; /* ... only because nobody has said whether it is revoked */
    struct addr local, remote;
    const struct hop_facts *hop;
    struct hop_facts *own_hop; /* hop, where it is not a shared constant */
    struct ssl_st *ssl;
    struct pki_tls_client *tls_client;
    struct signing *signing;  /* its handshake waits for a signature */
    struct list signing_node; /* ... or, among the worker's, for its turn to ask for one */
    uint64_t vouched_by; /* serial of the context that judged the certificate last; 0: none */
    uint64_t vouched_ms; /* ... and when that, or whether it is revoked since then, was looked at */
    struct buf *wire; /* TLS records that the socket did not take */
    uint32_t wire_at;
    uint32_t out_at; /* bytes of the first item that are written */
    struct out *out, *out_last;
    size_t out_n;   /* bytes queued */
    struct buf *in; /* the beginning of a message; what a handshake that waits has not read */
    struct framing framing;
    struct ws ws;
    struct list dirty;  /* has output for the end of this turn */
    struct list ending; /* CLOSING or DEAD, for the end of this turn */
    struct wheel_timer timer;
    uint64_t since_ms; /* entered its state */
    uint64_t rx_ms;    /* something came */
    uint64_t part_ms;  /* the message under way began; 0: none */
    uint64_t blocked_ms;
    uint64_t idle_ms;
    struct source *source;
    struct conn_key *keys;
    struct reason *reason;
    void *user;
};

struct slot {
    struct conn *conn;
    uint32_t generation;
    uint32_t next_free;
};

void conn_accepted(struct listener *l, int fd, const struct addr *remote); /* owns fd */
MUST_USE int conn_dial(struct worker *w, const struct net_connect_args *args, struct conn **ret);
struct conn *conn_find(struct worker *w, flow_id flow); /* NULL unless usable */
void conn_set_state(struct conn *c, enum conn_state state);
void conn_arm(struct conn *c); /* after a deadline may have moved nearer */
void conn_want(struct conn *c, unsigned mask);
void conn_watch(struct conn *c); /* for what it can do now */
void conn_opened(struct conn *c);
/* The edge hears of it at the end of the turn; what is queued is flushed where that makes sense.
 * `reason` may be NULL. */
void conn_close(struct conn *c, enum net_close_why why, const struct reason *reason);
void conn_drop(struct conn *c);    /* without a word: it is freed at the end of the turn */
void conn_end(struct conn *c);     /* end of turn: one step further towards its end */
void conn_drained(struct conn *c); /* all that was queued before the end is written */
void conn_path(const struct conn *c, struct path *ret);
void conn_each(struct net *n, bool (*fn)(void *arg, const struct net_flow_info *info),
               void *arg); /* net_ops.each_flow */
MUST_USE int conn_key_add(struct conn *c, const struct addr *addr, struct str name, bool is_alias);
struct conn *conn_lookup(struct worker *w, enum transport t, const struct addr *remote,
                         struct str name);

/* --- stream.c --- */

void stream_readable(struct conn *c);
void stream_feed(struct conn *c, const char *p,
                 size_t n); /* plain bytes of the peer, by transport and state */
MUST_USE int stream_send(struct conn *c, struct buf *msg); /* a message; takes a reference */
MUST_USE int stream_send_bytes(struct conn *c, const char *p, size_t n); /* a few of our own */
MUST_USE int stream_send_frame(struct conn *c, const char *own, size_t n_own,
                               struct buf *buf); /* with its header */
/* Appends to the partial input, which will be `need` bytes (0: not known). */
MUST_USE int stream_keep(struct conn *c, const char *p, size_t n, size_t need);
void stream_deliver(struct conn *c, struct buf *msg); /* takes over the reference */
void stream_flush(struct conn *c);
void stream_write(struct conn *c, const char *p, size_t n); /* what tls.c made, right now */
void stream_free(struct conn *c);
void stream_pool_done(struct worker *w);

/* --- tls.c --- */

MUST_USE int tls_global_init(void);
MUST_USE int tls_accept(struct conn *c);
MUST_USE int tls_dial(struct conn *c, struct str server_name);
void tls_readable(struct conn *c, const char *p, size_t n);
void tls_step(struct conn *c); /* goes on with the handshake */
/* What SSL_do_handshake has returned; why: what it failed for, if OpenSSL does not know. */
void tls_stepped(struct conn *c, int result, const struct reason *why);
void tls_read(struct conn *c);      /* records in w->rd */
void tls_write_out(struct conn *c); /* what OpenSSL has written so far */
bool tls_encrypt(struct conn *c, const char *p,
                 size_t n);     /* and writes; false: the connection has ended */
void tls_close(struct conn *c); /* queues close_notify */
bool tls_vouched(struct conn *c, struct pki_tls_client *by, struct str name);
void tls_refused(struct conn *c, const struct reason *reason);
void tls_free(struct conn *c);

/* --- signing.c --- */

struct signing;
bool signing_may_start(struct conn *c); /* false: it is not to be read from now; it will be told */
void signing_step(struct conn *c);
void signing_abort(struct conn *c); /* before its SSL object goes */
void signing_wake(struct worker *w); /* at the end of each turn with some in signing_waiting */
void signing_done(struct worker *w);

/* --- wsconn.c --- */

void wsconn_upgrade(struct conn *c, const char *p, size_t n);
void wsconn_feed(struct conn *c, const char *p, size_t n);
void wsconn_close(struct conn *c, unsigned code); /* queues a close frame, once */
MUST_USE int wsconn_send(struct conn *c, struct buf *msg);

/* --- worker.c --- */

struct worker {
    struct net net; /* first */
    struct net_group *group;
    pthread_t thread;
    bool has_thread, has_failed; /* has_failed: worker_start did */
    uv_loop_t loop;
    uv_prepare_t prepare;
    uv_idle_t idle; /* active while something is left over for the next turn */
    uv_timer_t timer;
    uv_async_t wake;
    unsigned n_handles; /* that are initialised, in this order: prepare, idle, timer, wake */
    struct mq *mq;
    uint64_t now_us, wall_s, timer_due_ms;
    struct pace pace;
    uint32_t n_read; /* messages, and steps of handshakes, of this turn */
    bool in_turn, is_wall_known;
    bool is_stopping; /* nothing new reaches the edge */
    bool is_edge_gone; /* ... nor that a connection has ended */
    bool is_done;     /* the edge has gone */
    bool is_leaving;  /* the loop ends with the last connection */
    struct listener **listeners;
    size_t n_listeners;
    struct listener *client; /* stands for none: what a client dials in the name of; no socket */
    struct udp_in *udp_in;
    struct list udp_dirty;
    struct list watch_at_end;
    struct path *unreachable;
    unsigned n_unreachable;
    struct slot *slots;
    uint32_t n_slots, cap_slots, free_slot;
    size_t n_conns;
    unsigned handshakes, handshake_budget;
    struct list dirty, ending;
    struct list signing_spare, signing_waiting;
    unsigned n_signing; /* stacks that there are */
    struct map keys;
    struct out *spare_out;
    unsigned n_spare_out;
    struct ws_pool ws_pool;
    char *scratch, *plain, *wire;
    struct str rd; /* what OpenSSL may read now */
    size_t wire_n; /* what it wrote */
    struct dns *dns;
    struct locator *locator;
    uint64_t logged_ms[4]; /* last line of each kind that is limited to one a second */
    struct net_stats stats;
};

enum worker_log { WORKER_LOG_SOURCE, WORKER_LOG_FULL, WORKER_LOG_ACCEPT, WORKER_LOG_UDP };

MUST_USE int worker_new(struct net_group *g, unsigned index, struct worker **ret);
void worker_free(struct worker *w); /* its thread has ended */
void *worker_main(void *arg);
void worker_finish(struct worker *w); /* the edge is gone: flush, close, leave the loop */
void worker_turn(struct worker *w);   /* every libuv callback begins with it: clock, due timers */
void worker_unreachable(struct worker *w, const struct path *path);
bool worker_may_log(struct worker *w, enum worker_log kind);
static inline uint64_t worker_now_ms(const struct worker *w)
{
    return w->now_us / 1000;
}

/* Counters are written by their worker only and read by anybody: no torn values, no locked
 * instructions. */
#define STAT_ADD(w, field, v)                                                                      \
    __atomic_store_n(&(w)->stats.field, (w)->stats.field + (uint64_t)(v), __ATOMIC_RELAXED)
#define STAT_SUB(w, field, v)                                                                      \
    __atomic_store_n(&(w)->stats.field, (w)->stats.field - (uint64_t)(v), __ATOMIC_RELAXED)

extern const struct hop_facts hop_clear_in, hop_clear_out;

/* --- watch.c --- */

MUST_USE int watch_start(struct worker *w, int fd, void (*fn)(void *arg), void *arg,
                         struct net_watch **ret);
void watch_want_write(struct net_watch *watch, bool want);
void watch_at_end(struct net_watch *watch);
void watch_end_turn(struct worker *w);
void watch_stop(struct net_watch *watch);

#endif

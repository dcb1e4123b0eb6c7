/* The real implementation of net.h: one thread, one libuv loop, its own UDP sockets (SO_REUSEPORT),
 * accepting sockets and connections. Workers are made together, share nothing, and talk through
 * base/mq.h. */
#ifndef NET_WORKER_H
#define NET_WORKER_H

#include "net/net.h"

struct pki_tls_server; /* pki/tls.h */
struct net_group;

#define NET_WORKERS_MAX 64u
#define NET_LISTENERS_MAX 256u
#define NET_LISTENER_GONE                                                                          \
    0xffffu /* path.listener of a flow whose listener a reload has removed, or that never had one  \
             */

struct net_listener {
    enum transport transport;
    struct addr addr;
    struct pki_tls_server
        *tls; /* TLS and WSS: certificate by SNI, client certificate policy; reference-counted */
    unsigned max_conns_source; /* 0: LIMIT_CONNS_SOURCE */
    uint64_t idle_ms;          /* 0: LIMIT_IDLE_MS */
    struct str
        ws_origins; /* reserved for browsers: comma separated allowed Origin values; empty: any */
    struct net_pages *pages; /* WS and WSS: what a plain GET gets (pages.h); counted; NULL: nothing */
};

struct net_group_args {
    unsigned n_workers;
    const struct net_listener *listeners; /* copied */
    size_t n_listeners;                   /* 0: a client that only connects, to IPv4 and IPv6 */
    /* Called on each worker's thread before it starts to receive: returns what user.arg and
     * callbacks shall be. */
    int (*worker_start)(void *arg, struct net *net, struct net_user *ret_user);
    void (*worker_stop)(void *arg, struct net *net, void *user_arg);
    void *arg;
    const char *resolv_conf; /* NULL: the system's; tests name their own forwarders */
    /* What stands in front of two hexadecimal digits, the number of the worker that a response over
     * UDP belongs to, in our Via; NULL: nobody knows. It stays the caller's. */
    const char *steer_mark;
    uint32_t batch_wait_us;  /* how long messages may gather under load (pace.h) */
    const char *dns_forward; /* "127.0.0.1@5353": use this server only (tests, split horizon); NULL:
                                resolv_conf */
};

/* Binds everything or nothing: on failure `reason` names the address and the cause. Threads run on
 * return. */
MUST_USE int net_group_start(const struct net_group_args *args, struct net_group **ret,
                             struct reason *reason);
/* A change of listeners, in two steps: with prepare everything that can fail is done, new addresses
 * are bound (and do not receive yet), and nothing has changed. Same listeners (transport and
 * address) keep their sockets and flows; missing ones are closed with commit (their flows live on
 * until they end); TLS contexts are swapped for new handshakes. Not on a worker's thread. Paths made
 * later carry the new indexes; an old path of a datagram still finds its socket by its local
 * address. The listeners are borrowed until commit or discard. */
struct net_change;
MUST_USE int net_group_prepare(struct net_group *g, const struct net_listener *listeners, size_t n,
                               struct net_change **ret, struct reason *reason);
/* Runs on_worker (NULL: nothing) on each worker with its of `args`, between its last message by the
 * old listeners and its first by the new ones. Returns when all workers have changed. */
void net_group_commit(struct net_change *change, void (*on_worker)(void *edge_worker, void *arg),
                      void **args);
void net_group_discard(struct net_change *change); /* NULL is fine */
/* What a listener is bound to (tests bind port 0). Like reload, the owner's thread only.
 * ERR_NOTFOUND. */
MUST_USE int net_group_addr(const struct net_group *g, size_t listener, struct addr *ret);
/* From any thread: run fn on a worker. */
MUST_USE int net_group_post(struct net_group *g, unsigned worker,
                            void (*fn)(void *edge_worker, void *arg), void *arg);
/* Stops accepting and receiving, then calls worker_stop on each worker (which may still send),
 * flushes, closes, joins. Flows that are open by then are not announced as closed. Nobody may use
 * the group, or post to it, any more. */
void net_group_stop(struct net_group *g);

/* Counters of one worker: written by it alone, read by anybody (relaxed atomics). */
struct net_stats {
    uint64_t msgs_in[TRANSPORT_N], msgs_out[TRANSPORT_N], bytes_in[TRANSPORT_N],
        bytes_out[TRANSPORT_N];
    uint64_t conns_open[TRANSPORT_N], conns_accepted[TRANSPORT_N], conns_dialled[TRANSPORT_N];
    uint64_t conns_refused_source, conns_refused_full, conns_closed_slow, conns_closed_idle,
        handshakes_failed;
    uint64_t tls_signed, tls_not_signed; /* by who keeps the keys */
    uint64_t handshakes_now, garbage, datagrams_dropped, send_queue_overflows, keepalives,
        posts_dropped;
    uint64_t dns_queries, dns_failures;
    uint64_t pages; /* given */
};
void net_group_stats(const struct net_group *g, unsigned worker, struct net_stats *ret);

#endif

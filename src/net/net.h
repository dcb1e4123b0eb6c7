/* net: one worker's view of the network, the clock, timers and randomness: the only seam between
 * the edge and the outside world. There are two implementations, the real one (net/worker.c, on
 * libuv, UDP batches, TCP, TLS, WebSocket) and the simulated one of the scenario player
 * (tests/scenario), which plays text files in virtual time.
 *
 * Life of a message: a datagram or a stream's bytes are framed into one message ->
 * user.on_message(rx). The edge answers with net_send along a path. Connections are made with
 * net_connect and named by flow ids; whatever happens to them comes back as user.on_flow_closed,
 * always later, never inside the call that caused it.
 *
 * Keep-alives (CRLF, RFC 5626 4.4.1; STUN, 4.4.2 and RFC 8489; WebSocket ping) are answered here
 * and never reach the edge.
 *
 * Thread: everything is called on the worker's own thread except net_post. A flow belongs to one
 * worker; net_send along a flow of another worker hands the bytes over to it. Other flow calls are
 * for own flows only. */
#ifndef NET_NET_H
#define NET_NET_H

#include "base/err.h"
#include "base/path.h"
#include "base/rand.h"
#include "base/reason.h"
#include "base/wheel.h"

struct net;
struct net_watch;
struct pki_tls_client; /* pki/tls.h */
struct pki_signer;     /* pki/signing.h */

enum net_close_why {
    NET_CLOSE_PEER,
    NET_CLOSE_IDLE,
    NET_CLOSE_PROTOCOL,
    NET_CLOSE_REFUSED,
    NET_CLOSE_UNREACHABLE,
    NET_CLOSE_TLS,
    NET_CLOSE_LOCAL,
    NET_CLOSE_OVERLOAD
};

/* What the edge gives to net. `arg` is the edge's worker. */
struct net_user {
    void *arg;
    void (*on_message)(void *arg, const struct rx *rx);
    /* Once per flow that was opened or asked for with net_connect; messages queued on it were not
     * sent. */
    void (*on_flow_closed)(void *arg, flow_id flow, const struct path *path, enum net_close_why why,
                           const struct reason *reason, void *flow_user);
    /* ICMP said that a datagram along this path could not be delivered (RFC 3261 18.4). May be
     * NULL. */
    void (*on_unreachable)(void *arg, const struct path *path);
    /* Bytes on a connection that are no message (bad Content-Length and the like): count, log; net
     * closes the flow. `head` is what can be shown of it, answered with 400 by the edge where it
     * can be (RFC 3261 18.3). May be NULL. */
    void (*on_garbage)(void *arg, const struct rx *rx, const struct reason *reason);
};

struct net_connect_args {
    enum transport transport; /* TCP, TLS (WS and WSS are accepted only, never dialled) */
    /* The listener in whose name we connect (its Via sent-by and address family).
     * NET_LISTENER_GONE: in nobody's, for a client that listens nowhere. */
    uint16_t listener;
    struct addr remote;
    /* TLS: anchors, own certificate and floor to use (borrowed until the flow is closed), and the
     * domain that the peer's certificate must name (RFC 5922 7.3, RFC 3263: the domain before any
     * DNS step), also sent as SNI. */
    struct pki_tls_client *tls;
    struct str server_name;
};

/* One lookup result in the order to try (RFC 3263 4). */
struct net_target {
    enum transport transport;
    struct addr addr;
};
struct net_locate_args {
    bool sips;          /* only TLS targets */
    struct str host;    /* name or literal, without brackets */
    uint16_t port;      /* 0: none given */
    bool has_transport; /* a transport= parameter (or one found by policy) */
    enum transport transport;
    bool prefer_tls;  /* no transport given: order TLS first, then TCP, then UDP */
    bool allow_clear; /* false: non-TLS targets are left out */
};
/* Called later on the same worker. n == 0: nothing found; `why` then says what (dns-timeout,
 * dns-nxdomain, dns-bogus...). */
typedef void (*net_locate_fn)(void *arg, const struct net_target *targets, size_t n,
                              const struct reason *why);

/* One connection as it is now. The pointers live during the call. */
struct net_flow_info {
    struct path path;
    const struct hop_facts *hop;
    void *user;               /* what net_set_user stored */
    bool is_open;             /* false: connecting, in its handshake, or closing */
    uint64_t age_ms, idle_ms; /* since it is in that state; since something came */
};

struct net_ops {
    int (*send)(struct net *n, const struct path *to, struct buf *msg);
    int (*connect)(struct net *n, const struct net_connect_args *args, flow_id *ret_flow,
                   struct path *ret_path);
    void (*close)(struct net *n, flow_id flow, enum net_close_why why);
    const struct hop_facts *(*facts)(struct net *n, flow_id flow);
    int (*flow_path)(struct net *n, flow_id flow, struct path *ret);
    void (*set_user)(struct net *n, flow_id flow, void *flow_user);
    void *(*get_user)(struct net *n, flow_id flow);
    void (*set_idle)(struct net *n, flow_id flow, uint64_t idle_ms);
    void (*each_flow)(struct net *n, bool (*fn)(void *arg, const struct net_flow_info *info),
                      void *arg);
    flow_id (*find)(struct net *n, enum transport t, const struct addr *remote,
                    struct str server_name);
    int (*alias)(struct net *n, flow_id flow, const struct addr *alias);
    bool (*vouched)(struct net *n, flow_id flow, struct pki_tls_client *by, struct str name);
    int (*locate)(struct net *n, const struct net_locate_args *args, net_locate_fn fn, void *arg,
                  uint64_t *ret_id);
    void (*locate_cancel)(struct net *n, uint64_t id);
    void (*target_failed)(struct net *n, const struct net_target *t);
    int (*post)(struct net *n, unsigned worker, void (*fn)(void *edge_worker, void *arg),
                void *arg);
    uint64_t (*now_us)(struct net *n);
    uint64_t (*wall_s)(struct net *n);
    uint64_t (*steady_s)(struct net *n);
    /* NULL in the simulation */
    int (*watch)(struct net *n, int fd, void (*fn)(void *arg), void *arg, struct net_watch **ret);
    void (*watch_want_write)(struct net *n, struct net_watch *w, bool want);
    void (*watch_at_end)(struct net *n, struct net_watch *w);
    void (*watch_stop)(struct net *n, struct net_watch *w);
};

/* The common head of both implementations. */
struct net {
    const struct net_ops *ops;
    unsigned worker, n_workers;
    struct wheel *wheel;
    struct rand_source rand;
    struct net_user user;
    struct pki_signer *tls_signer; /* who has the keys of TLS contexts with remote_keys; NULL: nobody now */
};

/* Sends one message. UDP: queued into the worker's batch and sent before it next waits. Streams:
 * queued on the flow until it is connected. Takes its own reference. ERR_CLOSED: no such flow (any
 * more); ERR_LIMIT: its queue is full (the flow is then closed); ERR_UNSUPPORTED: too large for UDP
 * (over 65,507 bytes). */
MUST_USE static inline int net_send(struct net *n, const struct path *to, struct buf *msg)
{
    return n->ops->send(n, to, msg);
}
/* Starts a connection (name checks included) and returns its flow at once; ret_path can be sent
 * along immediately. ERR_LIMIT when there are too many; everything else fails later through
 * on_flow_closed. */
MUST_USE static inline int net_connect(struct net *n, const struct net_connect_args *args,
                                       flow_id *ret_flow, struct path *ret_path)
{
    return n->ops->connect(n, args, ret_flow, ret_path);
}
static inline void net_close(struct net *n, flow_id flow,
                             enum net_close_why why) /* what is queued is flushed first */
{
    n->ops->close(n, flow, why);
}
/* Facts of an own, open flow; NULL if there is none (any more). */
static inline const struct hop_facts *net_facts(struct net *n, flow_id flow)
{
    return n->ops->facts(n, flow);
}
MUST_USE static inline int net_flow_path(struct net *n, flow_id flow,
                                         struct path *ret) /* ERR_NOTFOUND */
{
    return n->ops->flow_path(n, flow, ret);
}
/* A pointer of the edge's that lives with the flow and comes back in on_flow_closed. */
static inline void net_set_user(struct net *n, flow_id flow, void *flow_user)
{
    n->ops->set_user(n, flow, flow_user);
}
static inline void *net_get_user(struct net *n, flow_id flow)
{
    return n->ops->get_user(n, flow);
}
/* Close when nothing (keep-alives count) has come for so long. Registered flows: Flow-Timer plus
 * grace (RFC 5626 4.4). */
static inline void net_set_idle(struct net *n, flow_id flow, uint64_t idle_ms)
{
    n->ops->set_idle(n, flow, idle_ms);
}
/* The connections of this worker; it stops when `fn` returns false. `fn` opens and closes none. */
static inline void net_each_flow(struct net *n,
                                 bool (*fn)(void *arg, const struct net_flow_info *info), void *arg)
{
    n->ops->each_flow(n, fn, arg);
}
/* An own open (or opening) flow to this remote that may be reused: outgoing with the same
 * server_name, or accepted and aliased (RFC 5923). 0 if none. */
static inline flow_id net_find(struct net *n, enum transport t, const struct addr *remote,
                               struct str server_name)
{
    return n->ops->find(n, t, remote, server_name);
}
/* RFC 5923: requests for `alias` may go out on this accepted flow. The edge has checked the peer's
 * certificate against the Via sent-by before. ERR_LIMIT, ERR_NOTFOUND. */
MUST_USE static inline int net_alias(struct net *n, flow_id flow, const struct addr *alias)
{
    return n->ops->alias(n, flow, alias);
}
/* Is the peer of this own flow what a connection made with `by` would accept, and, unless that is
 * empty, one that has this name? A flow that was made with it is; the certificate that any other has
 * shown is judged by the anchors of `by`, once. A listener's anchors say only who may connect
 * (TR/100 9: one peer's CA does not vouch for another's names). */
static inline bool net_vouched(struct net *n, flow_id flow, struct pki_tls_client *by,
                               struct str name)
{
    return n->ops->vouched(n, flow, by, name);
}
/* RFC 3263 4 without ever blocking; cached. `fn` is always called later, unless cancelled.
 * ERR_LIMIT. */
MUST_USE static inline int net_locate(struct net *n, const struct net_locate_args *args,
                                      net_locate_fn fn, void *arg, uint64_t *ret_id)
{
    return n->ops->locate(n, args, fn, arg, ret_id);
}
static inline void net_locate_cancel(struct net *n, uint64_t id)
{
    n->ops->locate_cancel(n, id);
}
/* RFC 3263 4.3: a request got no answer there. For a while the other targets of a lookup come before
 * this one, so that the next request need not wait for the same time limit. What did not get that
 * far, a connection that failed or an ICMP error, has been noted already. */
static inline void net_target_failed(struct net *n, const struct net_target *t)
{
    n->ops->target_failed(n, t);
}
/* Runs fn(that worker's user.arg, arg) on another worker's thread (or later on the own one).
 * ERR_LIMIT: its queue is full. */
MUST_USE static inline int net_post(struct net *n, unsigned worker,
                                    void (*fn)(void *edge_worker, void *arg), void *arg)
{
    return n->ops->post(n, worker, fn, arg);
}
static inline uint64_t net_now_us(struct net *n) /* monotonic, cached once per loop turn */
{
    return n->ops->now_us(n);
}
/* Seconds since 1970 as the world counts them: for Date, signed times, certificates, dates of the configuration. May jump. */
static inline uint64_t net_wall_s(struct net *n)
{
    return n->ops->wall_s(n);
}
/* For whatever lasts: base/clock.h. */
static inline uint64_t net_steady_s(struct net *n)
{
    return n->ops->steady_s(n);
}
static inline uint64_t net_wall_of(struct net *n, uint64_t steady_s) /* for people */
{
    return steady_s + (net_wall_s(n) - net_steady_s(n));
}

/* A descriptor of somebody else's (a connection to another process of ours) in this worker's loop: fn
 * is called when it can be read, has ended, or, while that is wanted, can be written. It stays the
 * caller's, who stops before closing it. ERR_NOMEM, ERR_UNSUPPORTED (no real descriptors here). */
MUST_USE static inline int net_watch_start(struct net *n, int fd, void (*fn)(void *arg), void *arg,
                                           struct net_watch **ret)
{
    return n->ops->watch ? n->ops->watch(n, fd, fn, arg, ret) : ERR_UNSUPPORTED;
}
static inline void net_watch_want_write(struct net *n, struct net_watch *w, bool want)
{
    n->ops->watch_want_write(n, w, want);
}
/* fn is called at the end of this turn, too, before the loop waits: for what a whole turn has to
 * say at once. */
static inline void net_watch_at_end(struct net *n, struct net_watch *w)
{
    n->ops->watch_at_end(n, w);
}
static inline void net_watch_stop(struct net *n, struct net_watch *w)
{
    n->ops->watch_stop(n, w);
}

#endif

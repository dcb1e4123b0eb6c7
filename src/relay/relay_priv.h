/* What the files of the media plane share. A worker's objects (all below but `lock`ed parts) belong
 * to its thread; whoever asks from another thread leaves what he wants in the call's or end's
 * `wanted` part, under the call's lock, and queues the call for its worker. */
#ifndef RELAY_PRIV_H
#define RELAY_PRIV_H

#include "base/limits.h"
#include "base/list.h"
#include "base/mq.h"
#include "base/rand.h"
#include "media/source.h"
#include "media/srtp.h"
#include "relay/ice.h"
#include "relay/relay.h"
#include <pthread.h>
#include <stdatomic.h>

/* ---- the hook for relay/keys.c: who hears KEYS, MEDIA, REKEY, REFUSED instead of the user ---- */

struct relay_sink {
    void *arg;
    int section;
    /* On the worker's thread; must not wait and must not call back into relay.h. */
    void (*event)(void *arg, int section, const struct relay_event *event);
    void (*ref)(void *arg);   /* by relay_end_bind, on its caller's thread */
    void (*unref)(void *arg); /* on the worker's thread, without a lock held, when another sink has
                                 taken its place or the end is gone: no event comes after it */
};
/* NULL: nobody any more. Takes effect as everything else: soon, and in order. */
void relay_end_bind(struct relay_end *e, const struct relay_sink *sink);

/* ---- counters: written by one thread, read by any ---- */

typedef _Atomic uint64_t relay_count;

static inline void relay_tally(relay_count *c, uint64_t n)
{
    atomic_store_explicit(c, atomic_load_explicit(c, memory_order_relaxed) + n,
                          memory_order_relaxed);
}
static inline void relay_write(relay_count *c, uint64_t n)
{
    atomic_store_explicit(c, n, memory_order_relaxed);
}
static inline uint64_t relay_read(const relay_count *c)
{
    return atomic_load_explicit(c, memory_order_relaxed);
}
struct relay_flow {
    relay_count packets, bytes, dropped;
};

/* ---- ports.c: local transport addresses ---- */

/* The pairs of ports of one local address, RTP's even and RTCP's behind it. */
struct relay_ports {
    uint64_t *taken; /* a bit for each pair */
    uint32_t n, n_taken;
    uint16_t first; /* even */
    struct rand_source rand;
};
MUST_USE int relay_ports_init(struct relay_ports *p, uint16_t min, uint16_t max);
void relay_ports_done(struct relay_ports *p);
/* Takes a pair that is free, at random, and binds one socket or two (ret_fd[1] is -1 with one; both
 * are without bind). ERR_LIMIT: none is left; ERR_IO: the system says no (errno). Under the relay's
 * lock. */
MUST_USE int relay_ports_take(struct relay_ports *p, const struct addr *local, bool needs_rtcp,
                              bool dry, int ret_fd[2], uint16_t *ret_port);
void relay_ports_give(struct relay_ports *p, uint16_t port);
/* Can the address be used at all? ERR_IO. */
MUST_USE int relay_ports_probe(const struct addr *local);

/* ---- source.c: from where packets may come, and where to they go ---- */

/* One path (RTP or RTCP) of an end. */
struct relay_way {
    struct addr to;        /* in use: as signalled, or what has proven itself */
    bool is_heard;         /* something was accepted from `to` */
    bool is_decided;       /* clear: the address is settled until the next description */
    uint64_t heard_ms;     /* when something came from `to` last */
    struct addr signalled; /* as the description says */
    uint64_t until_ms;     /* clear: how long another address may still show itself */
    struct addr source;    /* is_asymmetric: from where it sends, if not from `to` */
    bool is_asymmetric;
    bool astray_told;
};
enum relay_origin {
    RELAY_ORIGIN_KNOWN,
    RELAY_ORIGIN_PROVE, /* it must authenticate */
    RELAY_ORIGIN_LATCH, /* it may become the address in use, if it is a packet at all */
    RELAY_ORIGIN_FOREIGN
};
void relay_way_set(struct relay_way *w, const struct addr *signalled, uint64_t now_ms);
enum relay_origin relay_way_judge(const struct relay_way *w, const struct addr *from,
                                  enum relay_protection protection, enum relay_latch latch,
                                  uint64_t now_ms);
/* A packet that is FOREIGN: may it be the peer, who does not send from where it says (RFC 4961)? True once. */
MUST_USE bool relay_way_is_astray(struct relay_way *w, uint64_t now_ms);
/* A packet of this origin has been accepted. Does the peer now show another address than before? */
MUST_USE bool relay_way_accept(struct relay_way *w, const struct addr *from,
                               enum relay_origin origin, uint64_t now_ms);

/* ---- quality.c: RTCP and arrival ---- */

struct relay_quality {
    struct rtp_source source;
    bool has_source;
    uint64_t source_us; /* its last packet */
    uint32_t clock_hz;
    /* The last SR that went out by this end (RFC 3550 6.4.1: LSR names it). */
    uint32_t sr_mid;
    uint64_t sr_us;
    /* For other threads. */
    _Atomic int64_t lost;
    _Atomic int32_t report_lost;
    _Atomic uint32_t jitter_16; /* 1/16 of a unit of the clock */
    _Atomic uint32_t report_jitter_us, rtt_us, hz;
    _Atomic uint8_t report_fraction;
    _Atomic bool has_report;
};
void relay_quality_clock(struct relay_quality *q, uint32_t hz);
void relay_quality_rtp(struct relay_quality *q, const uint8_t *p, uint64_t now_us);
void relay_quality_rtcp_in(struct relay_quality *q, const uint8_t *p, size_t n, uint64_t now_us);
void relay_quality_rtcp_out(struct relay_quality *q, const uint8_t *p, size_t n, uint64_t now_us);

/* ---- objects ---- */

#define RELAY_LINE 64 /* bytes of a cache line */
#define RELAY_PATHS 2 /* KEYING_RTP, KEYING_RTCP */

struct relay_end;
struct relay_port { /* one of our sockets */
    int fd;         /* -1: none */
    uint8_t path;
    bool is_connected; /* to the address in use: the kernel drops what comes from others */
    bool is_alone;     /* ... and nothing of others that came before is left */
    struct relay_end *end;
};

/* Allowance of one second, filled as time goes by. */
struct relay_bucket {
    uint64_t at_ms;
    uint64_t bytes_ms, packets_ms; /* allowance, times 1000 */
};

/* Something for an end that needs memory of its own: keys to install, or a packet to send. */
struct relay_step {
    struct relay_step *next;
    enum { RELAY_STEP_PACKET, RELAY_STEP_INSTALL, RELAY_STEP_WITHHOLD } kind;
    uint8_t paths; /* install: bits; packet: the path */
    bool is_send, drop_old;
    struct addr to;
    size_t n; /* bytes; withhold: milliseconds */
    struct keying_keys keys; /* install: wiped with the step */
    uint8_t bytes[];
};

/* ICE begun anew: our names, and the peer's. Copies. */
struct relay_restart {
    struct str ufrag, pwd, peer_ufrag;
};
void relay_restart_free(struct relay_restart *r); /* NULL is fine */

/* What other threads want of an end; under the call's lock. */
struct relay_wanted {
    bool has_setting, has_partner, has_sink, is_new;
    struct relay_end_setting setting; /* its strings are copies on the heap */
    struct relay_end *partner;        /* always true: as they see it */
    struct relay_sink sink;
    struct relay_restart *restart; /* ICE begun anew; NULL: not */
    struct relay_step *first, **last;
    uint32_t clock_hz; /* 0: nothing */
    bool has_police;
    uint32_t max_bytes_s;
    uint16_t max_packets_s;
};

/* What is gone is freed at the end of a turn: until then events may point to it. */
struct relay_grave {
    struct relay_grave *next;
    void (*bury)(struct relay_grave *g);
};

struct relay_end {
    /* What each packet needs, in the order of the cache lines: with hundreds of calls none of it is
     * in the first caches when a packet comes, so a worker asks for it ahead. */
    struct relay_worker *worker;
    struct relay_end *partner;
    struct media_srtp *srtp[2][RELAY_PATHS]; /* by enum media_srtp_dir; both paths may have one in
                                                common */
    struct relay_port port[RELAY_PATHS];
    uint8_t protection, latch; /* enum relay_protection, relay_latch */
    bool mux, sends, receives, has_rtcp_port, is_foreign;
    bool is_send_refused; /* keys to send with were refused */
    uint8_t media_told;   /* bits of paths */
    uint8_t drop_old;     /* bits of paths: when the newest keys have been used */
    bool rekey_told, silent_told;
    bool has_agent; /* ICE is in use with this peer, or may be */
    bool peer_is_lite;
    uint16_t max_packets_s;
    uint32_t max_bytes_s;
    relay_count last_in_ms;
    relay_count withheld_ms; /* until then, or until there are other keys to send with, nothing goes out; 0: it may */
    struct relay_flow in, out;
    struct relay_way way[RELAY_PATHS]; /* of RTCP the less frequent one */
    struct relay_quality quality;
    struct relay_bucket bucket;
    /* a packet that comes in by it neither */
    struct relay_call *call;
    struct relay_bucket keys_bucket[2]; /* of strangers, of the peer */
    uint64_t alone_ms;                  /* when to look whether a connected port is alone */
    uint64_t since_ms;                  /* since when it should send */
    relay_count in_rtcp, out_rtcp;
    relay_count dropped[RELAY_DROP_N]; /* by enum relay_drop */
    relay_count ice_checks, ice_refused;
    relay_count no_consent; /* 1: it had begun, and has ended */
    uint64_t cookie;
    size_t at;
    uint16_t local_port;
    struct list node;  /* of call->ends; under the call's lock */
    struct list wnode; /* of worker->ends */
    struct relay_sink sink;
    struct relay_end *next_work; /* while relay_call_run runs */
    struct relay_step *work_steps;
    struct relay_sink work_sink;
    struct relay_agent *agent; /* NULL: ICE was not asked for */
    bool is_dirty;             /* the rest under the call's lock */
    struct relay_end *next_dirty;
    struct relay_wanted wanted;
    struct addr told_remote, told_source, told_astray; /* for relay_end_stats */
    bool told_latched;
    struct mq_item free_item;
    struct relay_grave grave;
};

struct relay_call {
    struct relay *relay;
    struct relay_worker *worker;
    struct list node; /* of relay->calls; under the relay's lock */
    pthread_mutex_t lock;
    struct list ends;
    size_t n_ends, n_steps;
    bool is_queued;
    struct relay_end *dirty;
    struct mq_item item, free_item;
    struct relay_grave grave;
};

struct relay_worker {
    struct relay *relay;
    pthread_t thread;
    bool has_thread;
    int epoll_fd, wake_fd;
    struct mq *q;
    atomic_bool is_stopping;
    atomic_size_t n_calls;
    struct list ends;
    struct relay_grave *graves, **last_grave; /* ends before the calls they were of */
    uint64_t now_us, now_ms, tick_ms;
    uint64_t window_us, window_packets; /* how busy it is: see worker.c */
    bool is_busy, is_dry;
    relay_count in_packets, out_packets, in_bytes, out_bytes, dropped[16], wakeups, batches;
    relay_count followed, astray;
};

struct relay {
    struct relay_config config;
    struct relay_worker *workers;
    size_t n_running;
    pthread_mutex_t lock; /* of what follows */
    struct relay_ports ports[RELAY_ADDRESSES_MAX];
    struct list calls;
    size_t n_calls, n_ends, n_sockets;
    uint64_t refused[RELAY_REFUSALS];
    /* dry: where packets go; tests and fuzzing */
    void (*on_send)(void *arg, struct relay_end *e, unsigned path, const struct addr *to,
                    const uint8_t *p, size_t n);
    void *on_send_arg;
};

/* ---- end.c: on the worker's thread ---- */

void relay_end_change(struct relay_end *e, struct relay_wanted *wanted); /* the call's lock held */
void relay_end_steps(struct relay_end *e, struct relay_step *steps);     /* ... not held */
void relay_end_gone(struct relay_end *e); /* frees it; its place in lists, too */
void relay_end_tell(struct relay_end *e, const struct relay_event *event);
void relay_end_tick(struct relay_end *e);
void relay_call_run(struct mq_item *item, void *consumer);

/* Takes the port's connection back, so that all sources are heard again. */
void relay_end_disconnect(struct relay_end *e);
/* Strings of relay_end_args and _setting: copies. ERR_NOMEM. */
MUST_USE int relay_str_dup(struct str *to, struct str s);
void relay_str_free(struct str *s); /* wipes */

/* ---- agent.c: ICE of an end; on the worker's thread but for _new and _free ---- */

struct relay_agent {
    struct str ufrag, pwd, peer_ufrag; /* heap */
    struct relay_ice_flow flow[RELAY_PATHS];
};
MUST_USE int relay_agent_new(struct relay_end *e, struct str ufrag, struct str pwd);
void relay_agent_free(struct relay_agent *a); /* NULL is fine */
void relay_agent_restart(struct relay_end *e, struct relay_restart *r); /* takes it; the call's lock held */
void relay_agent_set(struct relay_end *e); /* the settings have changed; the call's lock held */
void relay_agent_take(struct relay_end *e, unsigned path, const struct addr *from, const uint8_t *p,
                      size_t n);
bool relay_agent_knows(const struct relay_end *e, unsigned path, const struct addr *from);
bool relay_agent_may_send(const struct relay_end *e, unsigned path);
void relay_agent_tick(struct relay_end *e);

/* ---- packet.c: on the worker's thread ---- */

/* A datagram of n bytes has come by one of its ports from there. There is room for
 * LIMIT_RELAY_PACKET + MEDIA_SRTP_GROWTH bytes at p; the contents are changed. n may be more than
 * LIMIT_RELAY_PACKET: then what is at p is not looked at. */
void relay_packet_in(struct relay_end *e, unsigned path, const struct addr *from, uint8_t *p,
                     size_t n);
/* Without a look at it. */
void relay_packet_out(struct relay_end *e, unsigned path, const struct addr *to, const uint8_t *p,
                      size_t n);

/* ---- worker.c ---- */

MUST_USE int relay_worker_start(struct relay_worker *w, struct relay *r);
void relay_worker_stop(struct relay_worker *w);
MUST_USE int relay_worker_watch(struct relay_worker *w, struct relay_port *port); /* any thread */
void relay_worker_clock(struct relay_worker *w);
void relay_worker_bury(struct relay_worker *w);

#endif

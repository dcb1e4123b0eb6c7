/* relay: the media plane. Media workers own sockets and streams and pass packets between the two
 * legs of a call: opened, checked and protected anew, or as they are. RFC 3550, 3711, 4961, 5761,
 * 7675, 7983, 8445 (lite), TR/100 8.
 *
 * Words. A *call* is the media of one SIP call; all of it lives on one media worker, so that no
 * packet takes a lock. An *end* is one medium of one leg (or of one branch of a fork): our
 * transport addresses towards one peer, its keys, and what is known of it. Two ends are *joined*:
 * what is accepted at one leaves by the other. An end that is joined to nothing takes packets (they
 * are counted and checked, early keys are proven by them) and drops them.
 *
 *     relay_call_new -> relay_end_new (ports are there at once, for the SDP)
 *       -> relay_end_set (what the peer's description says) -> relay_end_install (its keys)
 *       -> relay_join(caller's end, callee's end) ... relay_end_free, relay_call_free
 *
 * Threads. Functions may be called by any thread, for one call by one at a time; they take effect
 * on the call's worker, in the order of the calls, soon after they return. Events are told on the
 * media worker's thread: whoever hears them copies and posts, and calls nothing here.
 *
 * What is accepted from the network. Nothing is played, passed on or latched onto that is not from
 * where the signalling says, unless the packet authenticates (SRTP, or a STUN check with our
 * password), or policy says that the peer is behind a NAT (`latch`), and then only within a short
 * time and once. A packet that is not accepted changes a counter and nothing else. A forged packet
 * never ends anything. */
#ifndef RELAY_RELAY_H
#define RELAY_RELAY_H

#include "base/addr.h"
#include "base/reason.h"
#include "base/secret.h"
#include "keying/keying.h"

struct relay;
struct relay_call;
struct relay_end;

#define RELAY_ADDRESSES_MAX 8

/* A local address that media may use, and how others reach it. */
struct relay_address {
    struct addr local;      /* port not used */
    struct addr advertised; /* not set: as local */
};

/* ---- what is told ---- */

enum relay_event_kind {
    RELAY_EVENT_KEYS,    /* a packet of key management (DTLS, ZRTP): path, from, bytes */
    RELAY_EVENT_MEDIA,   /* the first accepted packet on this path since keys were installed (or
                            since relay_end_set, where there are none); then as KEYING_TELL_MEDIA */
    RELAY_EVENT_REMOTE,  /* it sends from, and (unless is_asymmetric) gets, another address than
                            before: from; described: the SDP's */
    RELAY_EVENT_ASTRAY,  /* media that nothing authenticates come from an address that the SDP does
                            not name, and where it says there is silence: from, described. None of
                            them is taken. Once for each description */
    RELAY_EVENT_REKEY,   /* media_srtp_stats.rekey_due */
    RELAY_EVENT_SILENT,  /* nothing accepted, RTCP neither, for config.silent_ms although it should send */
    RELAY_EVENT_CONSENT, /* no authentic STUN check for 30 s: it is sent nothing any more until one
                            comes (RFC 7675 5.1) */
    RELAY_EVENT_REFUSED, /* keys that relay_end_install took could not be used (err says why: as
                            media_srtp_install; is_send: which). Receiving, the older keys stay
                            good; sending, nothing goes out any more */
    RELAY_EVENT_KINDS
};
struct relay_event {
    enum relay_event_kind kind;
    enum keying_path path;
    struct addr from, described;
    bool is_named; /* KEYS: it comes from where the description says, or media have come from */
    const uint8_t *bytes; /* during the call */
    size_t n;
    int err;
    bool is_send;
};
/* An end to which keys are bound (relay/keys.h) gives KEYS, MEDIA, REKEY and REFUSED to them itself;
 * the others, and all of an end without keys but KEYS, come here. */
struct relay_user {
    void *arg;
    void (*on_event)(void *arg, uint64_t end_cookie, const struct relay_event *event);
};

struct relay_config {
    unsigned n_workers; /* media threads, 1 to 64 */
    struct relay_address at[RELAY_ADDRESSES_MAX];
    size_t n_at;
    uint16_t port_min, port_max; /* RTP at even ports, RTCP at the next (RFC 3550 11) */
    unsigned wait_us; /* how long a packet may be held up on a busy worker, so that it wakes up once
                         for several (850 keeps all under a millisecond); 0: never */
    size_t
        max_sockets; /* how many it may have open, so that others have descriptors left; 0: any */
    unsigned silent_ms; /* see RELAY_EVENT_SILENT; 0: never told */
    bool dry; /* nothing is bound and nothing runs: ports are counted, calls work. For tests in
                 virtual time */
    struct relay_user user;
};

/* ERR_INVALID, ERR_IO (the reason names address or port), ERR_NOMEM. */
MUST_USE int relay_new(const struct relay_config *config, struct relay **ret, struct reason *why);
void relay_free(struct relay *r); /* ends what is left; NULL is fine */

/* ---- calls and ends ---- */

/* ERR_NOMEM; ERR_LIMIT: LIMIT_RELAY_CALLS. */
MUST_USE int relay_call_new(struct relay *r, struct relay_call **ret);
void relay_call_free(struct relay_call *c); /* its ends too; NULL is fine */

struct relay_end_args {
    uint64_t cookie; /* comes back in events */
    size_t at;       /* index of the address in the configuration */
    bool needs_rtcp; /* a port of its own for RTCP, because the peer may not do rtcp-mux */
    struct str ice_ufrag, ice_pwd; /* ours: this end is an ICE-lite agent (RFC 8445 2.5); empty: no
                                      ICE. Copied */
};
/* Ports are bound when it returns. ERR_LIMIT: no port or no descriptor is left, or LIMIT_RELAY_ENDS
 * of the call; ERR_IO, ERR_NOMEM. `why` is set: 503. */
MUST_USE int relay_end_new(struct relay_call *c, const struct relay_end_args *args,
                           struct relay_end **ret, struct reason *why);
void relay_end_free(struct relay_end *e); /* NULL is fine */
/* What our description says: advertised address and port. *ret_rtcp is the RTP one if there is no
 * port for RTCP. */
void relay_end_local(const struct relay_end *e, struct addr *ret_rtp, struct addr *ret_rtcp);

enum relay_protection {
    RELAY_CLEAR,   /* RTP as it is */
    RELAY_PROTECT, /* SRTP with the installed keys: nothing passes until there are some */
    RELAY_OPAQUE   /* end to end: whatever it is (SRTP, DTLS, STUN) passes untouched between the
                      joined ends; source, size and rate are policed, nothing is verified */
};
/* The first seconds (LIMIT_RELAY_LATCH_MS) begin with relay_end_set, each time while nothing has
 * been accepted from the peer yet, and again when it names another address. */
enum relay_latch {
    RELAY_LATCH_AUTHENTIC, /* only an authentic packet may show another address: the first one, or
                              one that comes when the address in use has been silent for
                              LIMIT_RELAY_MOVE_MS */
    RELAY_LATCH_HOST, /* clear: within the first seconds another port of the signalled host, too */
    RELAY_LATCH_NAT   /* declared: within the first seconds any address, once */
};
/* What the exchange of descriptions has settled for this end. Called again after each. */
struct relay_end_setting {
    enum relay_protection protection;
    struct addr rtp, rtcp; /* the peer's; not set: nothing is sent there (yet) */
    bool mux;              /* RTCP by the RTP ports (RFC 5761) */
    bool is_foreign;       /* OPAQUE: no RTP but something else (T.38 by UDPTL), whose first bytes say
                              nothing */
    bool sends, receives;  /* the peer; false: held, its packets are dropped / it gets none */
    enum relay_latch latch;
    bool is_asymmetric; /* it sends from elsewhere, but gets what is for it where the description says
                           (RFC 4961 3 is not done): whom it sends as shows itself as under `latch`,
                           and is not sent to */
    struct str ice_ufrag;          /* the peer's; checks must name ours:its */
    bool ice_is_lite;              /* the peer checks nothing either (RFC 8445 8.2) */
};
void relay_end_set(struct relay_end *e, const struct relay_end_setting *s);
/* How fast the peer may send, with a second's worth in reserve; 0: as it likes. What is above is dropped
 * (RELAY_DROP_POLICED). Of protected media only what is authentic counts, so that nobody else uses it up. */
void relay_end_police(struct relay_end *e, uint32_t bytes_s, uint16_t packets_s);
/* The peer has begun ICE anew with this fragment, and so have we (RFC 8445 9, RFC 8839 4.4.1.1.1):
 * from here on checks name ours. The pair in use stays until another one is nominated. relay_end_set
 * follows. ERR_NOMEM: all is as before. */
MUST_USE int relay_end_restart(struct relay_end *e, struct str ice_ufrag, struct str ice_pwd,
                               struct str peer_ufrag);
/* Copies the keys at once (the caller wipes his); only RTP and RTCP of install->paths count: what
 * is sent leaves by the port it is received at (RFC 4961). ERR_INVALID: keying_keys_check, or none
 * of these paths; ERR_NOMEM. What goes wrong later is told as RELAY_EVENT_REFUSED. */
MUST_USE int relay_end_install(struct relay_end *e, const struct keying_install *install);
/* Others may have the keys that are sent with: nothing more goes out, RTCP neither, until others to send
 * with are installed, for `ms` at most; 0: it may again. In the order of installs. ERR_NOMEM,
 * ERR_LIMIT: as before. */
MUST_USE int relay_end_withhold(struct relay_end *e, unsigned ms);
/* Packets of key management out of this end. `to` set: at once. Not set: where the description says,
 * in the order of the calls. */
void relay_end_send(struct relay_end *e, enum keying_path path, const struct addr *to,
                    const uint8_t *bytes, size_t n);
/* Both directions; each end has at most one partner, who had others is parted from them. NULL:
 * parted. Both are of one call. Both or neither are RELAY_OPAQUE: else nothing passes. */
void relay_join(struct relay_end *e, struct relay_end *with);

/* ---- how it goes ---- */

struct relay_flow_stats { /* one direction of one end */
    uint64_t packets, bytes;
    uint64_t dropped; /* all causes */
};
struct relay_end_stats {
    struct relay_flow_stats in, out;
    uint64_t in_rtcp, out_rtcp;
    bool is_withheld; /* relay_end_withhold */
    uint64_t foreign; /* not from where it may come */
    uint64_t malformed, not_authentic, replayed, no_keys, too_many_ssrcs, policed, not_joined;
    uint64_t ice_checks, ice_refused;
    bool is_without_consent; /* RELAY_EVENT_CONSENT; no check has come since */
    uint32_t max_bytes_s; /* relay_end_police */
    uint16_t max_packets_s;
    bool is_latched;
    struct addr described; /* where the description says that it is */
    struct addr remote;    /* where it is sent to now */
    struct addr source;    /* is_asymmetric: from where it sends, if not from there */
    struct addr astray;    /* RELAY_EVENT_ASTRAY */
    uint64_t last_in_ms; /* monotonic; 0: never */
    /* RTCP and arrival (RFC 3550 6.4.1, A.3, A.8): what we see of what the peer sends, and what the
     * peer says of what it gets. */
    int64_t lost;
    uint32_t jitter_us;
    bool has_report;
    uint8_t report_fraction; /* of 256 */
    int32_t report_lost;
    uint32_t report_jitter_us, rtt_us;
    uint32_t rtp_clock; /* assumed for the above: see relay_end_set_clock */
};
/* Any thread, without waiting: counters are read as they stand. */
void relay_end_stats(const struct relay_end *e, struct relay_end_stats *ret);
/* The clock rate of the main payload format, for jitter in time; 8000 until told. */
void relay_end_set_clock(struct relay_end *e, uint32_t hz);

enum relay_refusal { /* why there was no end */
                     RELAY_REFUSED_PORTS,
                     RELAY_REFUSED_DESCRIPTORS, /* config.max_sockets, or the system has none left
                                                 */
                     RELAY_REFUSED_SYSTEM,
                     RELAY_REFUSALS
};
struct relay_stats {
    uint64_t calls, ends, ports_used, ports_free;
    uint64_t sockets, refused[RELAY_REFUSALS];
    uint64_t in_packets, out_packets, in_bytes, out_bytes, dropped[16]; /* by enum relay_drop */
    uint64_t wakeups, batches;
    uint64_t followed, astray; /* RELAY_EVENT_REMOTE, without those of ICE; RELAY_EVENT_ASTRAY */
};
enum relay_drop {
    RELAY_DROP_FOREIGN,
    RELAY_DROP_MALFORMED,
    RELAY_DROP_FORGED,
    RELAY_DROP_REPLAYED,
    RELAY_DROP_NO_KEYS,
    RELAY_DROP_SSRCS,
    RELAY_DROP_POLICED,
    RELAY_DROP_NOT_JOINED,
    RELAY_DROP_HELD,
    RELAY_DROP_SEND, /* the socket did not take it */
    RELAY_DROP_N
};
const char *relay_drop_text(enum relay_drop d); /* metric labels */
const char *relay_refusal_text(enum relay_refusal r);
void relay_stats(const struct relay *r, struct relay_stats *ret);

#endif

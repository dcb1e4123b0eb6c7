/* What the files of sipload, the signalling load generator, share: messages, links, units of work
 * and their results.
 *
 * A unit is one thing a server is asked to do: one call, one registration, one OPTIONS, one
 * connection. Units live in a ring of slots that is used in order, so that a finished unit stays
 * known for a while and can still answer a retransmission. A link is a UDP socket or one TCP or TLS
 * connection. One thread runs everything. The generator has its own message code and shares nothing
 * with the edge: it is the edge's judge. */
#ifndef BENCH_LOAD_H
#define BENCH_LOAD_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define NS_PER_MS 1000000ull
#define NS_PER_S 1000000000ull

enum {
    LOAD_SLOTS = 8192,         /* units remembered at a time; also the most in flight */
    LOAD_MESSAGE_BYTES = 4096, /* the longest message built here */
    LOAD_RECEIVE_BYTES = 8192, /* the longest datagram taken in */
    LOAD_BATCH = 64,           /* datagrams a system call */
    LOAD_LINES = 8,            /* lines of one header field name that are kept */
    LOAD_STREAM_BYTES = 1 << 20,
    LOAD_T1_MS = 500,
    LOAD_T2_MS = 4000,
};

enum proto { PROTO_UDP, PROTO_TCP, PROTO_TLS };

struct slice {
    const char *p;
    size_t len;
};

#define S(literal) ((struct slice){(literal), sizeof(literal) - 1})

static inline bool slice_eq(struct slice a, struct slice b)
{
    return a.len == b.len && memcmp(a.p, b.p, a.len) == 0;
}

static inline bool slice_starts(struct slice a, struct slice b)
{
    return a.len >= b.len && memcmp(a.p, b.p, b.len) == 0;
}

/* ---- text.c: one received message, scanned once; slices point into it ---- */

struct text {
    bool is_request;
    int status;
    struct slice method; /* of the request line, or of CSeq in a response */
    struct slice uri;
    struct slice via[LOAD_LINES];
    struct slice record_route[LOAD_LINES];
    struct slice route[LOAD_LINES];
    struct slice authenticate[LOAD_LINES];
    struct slice contact[LOAD_LINES];
    struct slice identity[LOAD_LINES];
    size_t n_via, n_record_route, n_route, n_authenticate, n_contact, n_identity;
    struct slice from, to, call_id, cseq_method, max_forwards;
    uint32_t cseq;
    bool has_length;
    size_t length;
    struct slice body;
};

/* Scans the head of a message (up to and with the empty line) and sets body to the rest; false when
 * it is not SIP. */
bool text_scan(struct text *t, const char *p, size_t len);
/* The value of ;name=value in a header field value; empty when it is not there. */
struct slice text_param(struct slice value, struct slice name);
/* The URI of a name-addr or addr-spec. */
struct slice text_uri(struct slice value);
/* The next comma-separated value of a header field line, outside quotes and <>; false at its end.
 */
bool text_next_value(struct slice *line, struct slice *ret_value);
/* The value of name=value or name="value" in a challenge. */
struct slice text_auth_param(struct slice challenge, struct slice name);
size_t text_count_values(const struct slice *lines, size_t n);

/* ---- a message being built; too long sets cut, and the message is not sent ---- */

struct out {
    char *p;
    size_t len, cap;
    bool cut;
};

static inline void out_bytes(struct out *o, const char *p, size_t len)
{
    if (o->cap - o->len < len) {
        o->cut = true;
        return;
    }
    memcpy(o->p + o->len, p, len);
    o->len += len;
}
static inline void out_slice(struct out *o, struct slice s)
{
    out_bytes(o, s.p, s.len);
}
#define out_lit(o, literal) out_bytes((o), (literal), sizeof(literal) - 1)
void out_text(struct out *o, const char *text);
void out_number(struct out *o, uint64_t n);
void out_hex(struct out *o, uint64_t n, unsigned digits);
/* Name, each line and CRLF, as received. */
void out_lines(struct out *o, struct slice name, const struct slice *lines, size_t n);

/* ---- wire.c: links ---- */

enum link_state { LINK_CONNECTING, LINK_HANDSHAKE, LINK_READY, LINK_CLOSED };
enum link_role { LINK_CLIENT, LINK_SERVER, LINK_LISTENER };

struct unit;
struct datagrams;
struct wire;

struct link {
    struct wire *wire;
    int fd;
    enum proto proto;
    enum link_role role;
    enum link_state state;
    bool dirty, awaits_write, broken;
    struct link *next_dirty, *next_dead;
    struct sockaddr_in local, peer;
    char local_text[32]; /* address:port for Via and Contact */
    void *ssl;
    char *in;
    size_t in_len, in_cap;
    char *out;
    size_t out_len, out_done, out_cap;
    struct datagrams *tx;
    struct unit *unit; /* the unit that opened this connection for itself */
};

struct wire_handlers {
    void (*message)(struct link *link, const struct text *t, const struct sockaddr_in *from);
    void (*ready)(struct link *link);
    void (*closed)(struct link *link);
};

struct wire {
    int epoll_fd;
    struct wire_handlers on;
    struct link *dirty, *dead;
    struct datagrams *rx;
    void *tls_client, *tls_server;
    unsigned lose_percent;
    uint64_t received, sent, garbage, disconnects, dropped, lost;
    bool gather; /* what is sent on a connection in one turn leaves in one write */
    char tls_version[64];
};

int wire_init(struct wire *w, struct wire_handlers on, const char *cert, const char *key);
/* A UDP socket bound to bind_to; peer is where link_send without an address goes. */
struct link *wire_udp(struct wire *w, struct sockaddr_in bind_to, const struct sockaddr_in *peer,
                      enum link_role role);
struct link *wire_connect(struct wire *w, enum proto proto, struct sockaddr_in from,
                          struct sockaddr_in peer);
struct link *wire_listen(struct wire *w, enum proto proto, struct sockaddr_in at);
void link_send(struct link *link, const char *p, size_t len, const struct sockaddr_in *to);
void link_close(struct link *link);
void wire_flush(struct wire *w);
/* Waits up to timeout_ns for something to happen, and handles what did. */
void wire_poll(struct wire *w, uint64_t timeout_ns);

/* ---- proc.c: what a server used ---- */

struct proc_use {
    uint64_t cpu_ns; /* run time of every thread of the process and its descendants */
    uint64_t wakeups;
    unsigned processes, threads;
};

int proc_use_read(int pid, struct proc_use *ret_use);
/* Proportional set size of the process and its descendants, KiB. */
int proc_pss_read(int pid, uint64_t *ret_kib);

/* ---- digest.c ---- */

enum digest_kind { DIGEST_MD5, DIGEST_SHA256, DIGEST_KINDS };
enum { DIGEST_HEX_MAX = 64 };

struct digest_challenge {
    struct slice realm, nonce, opaque, algorithm;
    bool has_qop_auth, stale;
};

int digest_init(void);
struct slice digest_name(enum digest_kind kind);
/* The first challenge of that algorithm; false when there is none. */
bool digest_challenge_find(const struct text *t, enum digest_kind kind,
                           struct digest_challenge *ret_challenge);
size_t digest_hex(enum digest_kind kind, const char *p, size_t len, char *ret_hex);

/* ---- identity.c: calls between numbers, and their Identity (RFC 8224, 8588) ---- */

struct options;
struct load;
int identity_init(const struct options *o);
void identity_caller(struct out *o); /* digits */
void identity_callee(struct out *o, const struct unit *u);
/* The header line of an INVITE, signed now; nothing if the generator is not the one who signs. */
void identity_header(struct out *o, const struct load *l, const struct unit *u);
/* There is one, and it is signed for this call. */
bool identity_is_for(const struct text *t, const struct unit *u);

/* ---- load.c, arguments.c and the scenarios ---- */

enum unit_state { UNIT_FREE, UNIT_CONNECTING, UNIT_FIRST, UNIT_SECOND, UNIT_DONE, UNIT_FAILED };

struct callee {
    uint32_t serial; /* of the unit whose INVITE this answers */
    bool acked, said_bye;
    struct link *link;
    struct sockaddr_in to;
    uint64_t resend_ns, resend_gap_ns;
    size_t ok_len;
    char ok[LOAD_MESSAGE_BYTES];
};

struct unit {
    uint32_t slot, serial;
    enum unit_state state;
    uint32_t user;
    struct link *link;
    uint64_t begun_ns, deadline_ns, resend_ns, resend_gap_ns;
    bool counted_latency;
    bool challenged;
    size_t sent_len, ack_len;
    char sent[LOAD_MESSAGE_BYTES];
    char ack[LOAD_MESSAGE_BYTES];
    struct callee callee;
};

/* Calls between telephone numbers of two domains, and who signs them. */
enum identity { IDENTITY_NONE, IDENTITY_NUMBERS, IDENTITY_EXPECT, IDENTITY_SIGN };

struct options {
    const char *scenario, *label, *domain, *from_domain, *cert, *key, *id_key, *id_url;
    enum identity identity;
    enum proto proto;
    struct sockaddr_in server, uas;
    unsigned links, in_flight, rate, users, first_user, phones, passes;
    double warm_s, seconds, hold_s;
    enum digest_kind kind;
    bool keep_nonce, callee_users, once, options_first, spread, gather;
    uint16_t bind_port;
    unsigned timeout_ms, lose_percent;
    int pid;
};

enum { LATENCY_BUCKETS = 65536 + 8192 };

struct tally {
    uint64_t done, failed, retransmissions, stray, unacked, challenged_again;
    uint64_t by_status[700];
    uint64_t timeouts, check_failures, lost_links;
    uint64_t latency[LATENCY_BUCKETS], n_latency;
};

struct load;
struct scenario {
    const char *name;
    int (*prepare)(struct load *l);
    void (*begin)(struct load *l, struct unit *u);
    /* A response to the unit's own request; kind is the letter its branch was given. */
    void (*response)(struct load *l, struct unit *u, char kind, const struct text *t);
    void (*ready)(struct load *l, struct unit *u); /* its own connection is up */
};

struct load {
    struct options opt;
    struct wire wire;
    const struct scenario *scenario;
    struct unit *units;
    struct link **links;
    uint64_t started, in_flight, next_slot;
    uint32_t run_id;
    bool measuring, stopping;
    struct tally all, window;
    uint64_t now_ns;
    uint64_t open_phones;
};

extern struct load load;

uint64_t clock_ns(void);
struct link *load_link(struct load *l, uint32_t n);
/* "z9hG4bK", kind, slot, serial and run, in hex. */
void out_branch(struct out *o, const struct load *l, const struct unit *u, char kind);
void out_call_id(struct out *o, const struct load *l, const struct unit *u);
/* Sends what o holds as the unit's request in progress, to be repeated over UDP until answered. */
void unit_send(struct load *l, struct unit *u, const struct out *o);
void unit_done(struct load *l, struct unit *u);
void unit_latency(struct load *l, struct unit *u);
void unit_fail_status(struct load *l, struct unit *u, const struct text *t);
void unit_fail_check(struct load *l, struct unit *u, const char *what, const struct text *t);
void unit_fail_timeout(struct load *l, struct unit *u);

/* arguments.c: fills l->opt and l->scenario; says what is wrong and returns false. */
bool options_scan(struct load *l, int argc, char **argv);

extern const struct scenario scenario_call, scenario_register, scenario_options, scenario_connect,
    scenario_idle;
/* The called side: a request that came from the server. */
void call_request(struct load *l, struct link *link, const struct text *t,
                  const struct sockaddr_in *from);
void call_resend(struct load *l, struct unit *u);
void register_done(void);

#endif

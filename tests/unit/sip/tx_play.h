/* A transaction layer on a table: virtual time, messages as text in, and everything that comes out of it as lines of a log,
 * "<ms> <what>", so that a test says what it expects as one text. Used by all test_tx_*.c. */
#ifndef TESTS_UNIT_SIP_TX_PLAY_H
#define TESTS_UNIT_SIP_TX_PLAY_H

#include "check.h"

#include "base/err.h"
#include "base/limits.h"
#include "sip/tx.h"
#include <stdio.h>
#include <stdlib.h>

struct play {
    struct wheel *w;
    struct rand_source rand;
    struct sip_txl *l;
    struct sip_txl_user user;
    char log[1 << 16];
    size_t n_log;
    int send_err;        /* what send returns */
    unsigned send_fails; /* ... for so many sends; 0: all */
    struct buf *sent;    /* the last message sent */
    struct path sent_to;
    unsigned n_sent, n_input;
    struct sip_stx *stx, *invite; /* of the last on_request */
    struct sip_ctx *ctx;          /* the last one started by play_start */
    /* Called inside the callbacks, after the line was logged. */
    void (*in_request)(struct play *p, struct sip_stx *tx, struct sip_msg *m);
    void (*in_response)(struct play *p, struct sip_ctx *tx, struct sip_msg *m);
    void (*in_end)(struct play *p, struct sip_ctx *tx);
    void (*in_stx_end)(struct play *p, struct sip_stx *tx);
    void (*in_send)(struct play *p);
};

static const struct hop_facts play_hop;

static inline void play_say(struct play *p, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static inline void play_say(struct play *p, const char *fmt, ...)
{
    va_list ap;

    if (sizeof p->log - p->n_log < 200)
        return;
    p->n_log += (size_t)sprintf(p->log + p->n_log, "%llu ", (unsigned long long)wheel_now_ms(p->w));
    va_start(ap, fmt);
    p->n_log += (size_t)vsnprintf(p->log + p->n_log, 150, fmt, ap);
    va_end(ap);
    p->n_log += (size_t)sprintf(p->log + p->n_log, "\n");
}

/* The log since the last check. */
#define check_log(p, expected)                                                                        \
    do {                                                                                              \
        if (strcmp((p)->log, (expected)) != 0)                                                        \
            fail_msg("the log is\n%snot\n%s", (p)->log, (expected));                                  \
        play_clear(p);                                                                                \
    } while (0)

/* Does the message sent last have this text in it? */
static inline bool play_sent_has(const struct play *p, const char *text)
{
    return p->sent && memmem(p->sent->p, p->sent->n, text, strlen(text)) != NULL;
}

static inline void play_clear(struct play *p)
{
    p->n_log = 0;
    p->log[0] = '\0';
}

static inline struct path play_path(enum transport t, const char *remote, flow_id flow)
{
    struct path to = {.transport = t, .flow = flow};

    if (addr_parse_hostport(&to.local, STR("192.0.2.100:5060")) != 0 ||
        addr_parse_hostport(&to.remote, str_z(remote)) != 0)
        fail_msg("no address: %s", remote);
    return to;
}

/* "INVITE", "200 INVITE": what a message is. */
static inline void play_what(struct str s, char *dst, size_t cap)
{
    struct str head, cseq = STR("\r\nCSeq: ");
    char *at = memmem(s.p, s.n, cseq.p, cseq.n);
    const char *method = at ? memchr(at + cseq.n, ' ', (size_t)(s.p + s.n - at) - cseq.n) : NULL;
    const char *end = method ? memchr(method, '\r', (size_t)(s.p + s.n - method)) : NULL;

    (void)str_cut(s, ' ', &head);
    if (str_eq(head, STR("SIP/2.0")))
        snprintf(dst, cap, "%.3s%.*s", s.p + 8, end ? (int)(end - method) : 0, end ? method : "");
    else
        snprintf(dst, cap, "%.*s", STR_FMT(head));
}

static inline int play_send(void *arg, const struct path *to, struct buf *msg)
{
    struct play *p = arg;
    char what[64];
    int err = p->send_err;

    play_what(buf_str(msg), what, sizeof what);
    play_say(p, "%s %s", err ? "cannot send" : "send", what);
    buf_unref(p->sent);
    p->sent = buf_ref(msg);
    p->sent_to = *to;
    p->n_sent++;
    if (p->send_fails && --p->send_fails == 0)
        p->send_err = 0;
    if (p->in_send)
        p->in_send(p);
    return err;
}

static inline void play_on_request(void *arg, struct sip_stx *tx, struct sip_stx *invite, struct sip_msg *m,
                                   const struct rx *rx)
{
    struct play *p = arg;

    (void)rx;
    p->stx = tx;
    p->invite = invite;
    play_say(p, "request %.*s%s", STR_FMT(m->method_text), invite ? " of an INVITE" : "");
    if (p->in_request)
        p->in_request(p, tx, m);
}

static inline void play_on_ack(void *arg, struct sip_msg *m, const struct rx *rx)
{
    (void)m;
    (void)rx;
    play_say(arg, "ACK up");
}

static inline void play_on_stray(void *arg, struct sip_msg *m, const struct rx *rx)
{
    (void)rx;
    play_say(arg, "stray %u", m->status);
}

static inline void play_on_stx_end(void *arg, struct sip_stx *tx, void *upper)
{
    struct play *p = arg;

    if (tx == p->stx)
        p->stx = NULL;
    play_say(p, "over%s%s", upper ? " " : "", upper ? (char *)upper : "");
    if (p->in_stx_end)
        p->in_stx_end(p, tx);
}

static inline void play_on_stx_failed(void *arg, struct sip_stx *tx, void *upper, enum sip_tx_end why)
{
    (void)tx;
    (void)upper;
    play_say(arg, "failed %s", why == SIP_TX_TIMEOUT ? "timeout" : "transport");
}

static inline void play_on_response(void *arg, struct sip_ctx *tx, struct sip_msg *m, const struct rx *rx)
{
    struct play *p = arg;

    (void)rx;
    play_say(p, "response %u", m->status);
    if (p->in_response)
        p->in_response(p, tx, m);
}

static inline void play_on_end(void *arg, struct sip_ctx *tx, enum sip_tx_end why)
{
    struct play *p = arg;

    play_say(p, "end %s", why == SIP_TX_TIMEOUT ? "timeout" : "transport");
    if (p->in_end)
        p->in_end(p, tx);
}

static inline void play_on_gone(void *arg, struct sip_ctx *tx)
{
    struct play *p = arg;

    if (tx == p->ctx)
        p->ctx = NULL;
    play_say(p, "gone");
}

static inline struct play *play_new_n(size_t max)
{
    struct play *p = calloc(1, sizeof *p);

    assert_non_null(p);
    rand_fixed_init(&p->rand, 1);
    p->user = (struct sip_txl_user){p, play_send, play_on_request, play_on_ack, play_on_stray, play_on_stx_end,
                                    play_on_stx_failed};
    p->w = wheel_new(0);
    p->l = p->w ? sip_txl_new(&p->user, p->w, &p->rand, 3, max) : NULL;
    assert_non_null(p->l);
    return p;
}

static inline struct play *play_new(void)
{
    return play_new_n(1000);
}

static inline void play_free(struct play *p)
{
    sip_txl_free(p->l);
    wheel_free(p->w);
    buf_unref(p->sent);
    free(p);
}

static inline void play_until(struct play *p, uint64_t ms)
{
    wheel_advance(p->w, ms);
}

static inline void play_for(struct play *p, uint64_t ms)
{
    wheel_advance(p->w, wheel_now_ms(p->w) + ms);
}

static inline struct sip_txl_stats play_stats(struct play *p)
{
    struct sip_txl_stats st;

    sip_txl_stats(p->l, &st);
    return st;
}

/* Every other message is warmed, so that what is found does not depend on it. */
static inline int play_parse(struct play *p, struct arena *a, struct str bytes, struct sip_msg **ret)
{
    struct reason why;
    int err;

    if (p->n_input++ % 2 == 0)
        return sip_msg_parse(a, bytes, ret, &why);
    err = sip_msg_scan(a, bytes, ret, &why);
    if (err == 0) {
        sip_txl_warm(p->l, *ret);
        err = sip_msg_fields(*ret, &why);
    }
    return err;
}

/* Bytes from the network. The result is sip_txl_receive's; parsing must succeed. */
static inline int play_input(struct play *p, const struct path *from, struct str text)
{
    struct buf *b = buf_copy(text);
    struct arena *a = sip_txl_arena(p->l);
    struct rx rx = {.path = *from, .buf = b, .hop = &play_hop};
    struct sip_msg *m;
    int err;

    if (!b || !a || play_parse(p, a, text.n ? buf_str(b) : text, &m) != 0) {
        sip_txl_arena_done(p->l, a);
        buf_unref(b);
        return ERR_NOMEM;
    }
    err = sip_txl_receive(p->l, m, &rx);
    if (err != 0)
        sip_txl_arena_done(p->l, a);
    buf_unref(b);
    return err;
}

struct play_req {
    const char *method, *via, *branch, *ruri, *to_tag, *from_tag, *call_id, *extra;
    unsigned cseq;
    const struct path *from;
};

/* The defaults: INVITE from 192.0.2.1:5060 by UDP, branch z9hG4bKa. */
static inline int play_request(struct play *p, struct play_req r)
{
    static char text[70000];
    struct path udp = play_path(TRANSPORT_UDP, "192.0.2.1:5060", 0);
    const char *m = r.method ? r.method : "INVITE";
    int n = snprintf(text, sizeof text,
                     "%s %s SIP/2.0\r\nVia: SIP/2.0/%s%s%s\r\nFrom: <sip:a@example.com>;tag=%s\r\n"
                     "To: <sip:b@example.com>%s%s\r\nCall-ID: %s\r\nCSeq: %u %s\r\nMax-Forwards: 70\r\n%s"
                     "Content-Length: 0\r\n\r\n",
                     m, r.ruri ? r.ruri : "sip:b@example.com", r.via ? r.via : "UDP 192.0.2.1;rport",
                     r.branch && !r.branch[0] ? "" : ";branch=", r.branch ? r.branch : "z9hG4bKa",
                     r.from_tag ? r.from_tag : "f", r.to_tag ? ";tag=" : "", r.to_tag ? r.to_tag : "",
                     r.call_id ? r.call_id : "c1", r.cseq ? r.cseq : 1, m, r.extra ? r.extra : "");

    assert_true(n > 0 && (size_t)n < sizeof text);
    return play_input(p, r.from ? r.from : &udp, str_make(text, (size_t)n));
}

/* A response as a proxy forwards it. */
static inline int play_respond(struct sip_stx *tx, unsigned status)
{
    char text[300];
    struct buf *b;
    int err;

    snprintf(text, sizeof text, "SIP/2.0 %u X\r\nVia: SIP/2.0/UDP 192.0.2.1\r\nFrom: <sip:a@example.com>;tag=f\r\n"
                                "To: <sip:b@example.com>;tag=t\r\nCall-ID: c1\r\nCSeq: 1 INVITE\r\nContent-Length: 0\r\n\r\n",
             status);
    b = buf_copy(str_z(text));
    if (!b)
        return ERR_NOMEM;
    err = sip_stx_respond(tx, status, b);
    buf_unref(b);
    return err;
}

/* A client transaction made and started; p->ctx. */
static inline int play_start_to(struct play *p, enum sip_method method, const struct path *to)
{
    struct sip_ctx_user u = {p, play_on_response, play_on_end, play_on_gone};
    struct sip_ctx *tx = sip_ctx_new(p->l, method, &u);
    char text[500];
    struct str branch, m = sip_method_text(method);
    struct buf *b;
    int err;

    if (!tx)
        return ERR_LIMIT;
    branch = sip_ctx_via_branch(tx);
    if (!m.n)
        m = STR("FOO");
    snprintf(text, sizeof text, "%.*s sip:b@example.net SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.100;branch=%.*s\r\n"
                                "Via: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKa\r\nRoute: <sip:r.example.net;lr>\r\n"
                                "From: <sip:a@example.com>;tag=f\r\nTo: <sip:b@example.com>\r\nCall-ID: c1\r\n"
                                "CSeq: 1 %.*s\r\nMax-Forwards: 69\r\nContent-Length: 0\r\n\r\n",
             STR_FMT(m), STR_FMT(branch), STR_FMT(m));
    b = buf_copy(str_z(text));
    if (!b) {
        sip_ctx_detach(tx);
        return ERR_NOMEM;
    }
    p->ctx = tx;
    err = sip_ctx_start(tx, b, to);
    if (err)
        p->ctx = NULL;
    buf_unref(b);
    return err;
}

static inline int play_start(struct play *p, enum sip_method method)
{
    struct path to = play_path(TRANSPORT_UDP, "192.0.2.2:5060", 0);

    return play_start_to(p, method, &to);
}

static inline int play_response_branch(struct play *p, unsigned status, const char *method, struct str branch)
{
    struct path from = play_path(TRANSPORT_UDP, "192.0.2.2:5060", 0);
    char text[600];
    int n = snprintf(text, sizeof text, "SIP/2.0 %u X\r\nVia: SIP/2.0/UDP 192.0.2.100;branch=%.*s\r\n"
                                        "Via: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKa\r\nFrom: <sip:a@example.com>;tag=f\r\n"
                                        "To: <sip:b@example.com>;tag=t\r\nCall-ID: c1\r\nCSeq: 1 %s\r\n"
                                        "Content-Length: 0\r\n\r\n",
                     status, STR_FMT(branch), method);

    return play_input(p, &from, str_make(text, (size_t)n));
}

/* A response to p->ctx. */
static inline int play_response(struct play *p, unsigned status, const char *method)
{
    char copy[SIP_BRANCH_MAX];
    struct str b = sip_ctx_via_branch(p->ctx);

    memcpy(copy, b.p, b.n);
    return play_response_branch(p, status, method, str_make(copy, b.n));
}

#endif

/* A transaction layer in a storm: what happens next is read from a stream of bytes (a random generator's in test_tx_soak.c, the
 * fuzzer's in fuzz_tx.c). The user on top does whatever the bytes say, inside callbacks too, and checks what the layer
 * promises: each transaction ends once, nobody is called for what he let go, nothing is left at the end. Aborts otherwise. */
#ifndef TESTS_UNIT_SIP_TX_STORM_H
#define TESTS_UNIT_SIP_TX_STORM_H

#include "base/err.h"
#include "base/limits.h"
#include "sip/tx.h"
#include <stdio.h>
#include <stdlib.h>

#define STORM_MAX 64 /* of each kind; the layer's limit is below that */

struct storm_stx {
    struct storm *s;
    struct sip_stx *tx; /* NULL: free */
    bool is_invite, is_final;
};
struct storm_ctx {
    struct storm *s;
    struct sip_ctx *tx;
    enum sip_method method;
    bool has_final, has_end;
    char branch[SIP_BRANCH_MAX];
    size_t n_branch;
};

struct storm {
    struct wheel *w;
    struct rand_source rand;
    struct sip_txl *l;
    uint8_t (*next)(void *arg); /* the bytes; 0 at their end */
    void *arg;
    unsigned depth;
    bool is_ending;
    struct storm_stx stx[STORM_MAX];
    struct storm_ctx ctx[STORM_MAX];
    char last_branch[SIP_BRANCH_MAX]; /* of some transaction, perhaps ended */
    size_t n_last;
};

#define STORM_CHECK(what)                                                                             \
    do {                                                                                              \
        if (!(what)) {                                                                                \
            fprintf(stderr, "storm: line %d: %s\n", __LINE__, #what);                                 \
            abort();                                                                                  \
        }                                                                                             \
    } while (0)

static void storm_step(struct storm *s);

static inline unsigned storm_byte(struct storm *s)
{
    return s->is_ending ? 0 : s->next(s->arg);
}

static inline struct path storm_path(unsigned b)
{
    static const enum transport t[] = {TRANSPORT_UDP, TRANSPORT_UDP, TRANSPORT_TCP, TRANSPORT_TLS, TRANSPORT_WSS};
    struct path p = {.transport = t[b % 5]};
    char text[40];

    snprintf(text, sizeof text, "192.0.2.%u:5060", 1 + b / 5 % 4);
    STORM_CHECK(addr_parse_hostport(&p.remote, str_z(text)) == 0);
    STORM_CHECK(addr_parse_hostport(&p.local, STR("192.0.2.100:5060")) == 0);
    if (p.transport != TRANSPORT_UDP && b / 20 % 4)
        p.flow = ((flow_id)1 << 32) + 1 + b / 5 % 4;
    return p;
}

static inline int storm_send(void *arg, const struct path *to, struct buf *msg)
{
    struct storm *s = arg;

    (void)to;
    STORM_CHECK(msg->n > 0 && msg->refs > 0);
    return storm_byte(s) % 8 == 7 ? ERR_CLOSED : 0;
}

/* More of it, inside a callback. */
static inline void storm_inside(struct storm *s)
{
    unsigned n = storm_byte(s);

    if (s->depth >= 3 || n < 128)
        return;
    s->depth++;
    for (n = n % 3 + 1; n; n--)
        storm_step(s);
    s->depth--;
}

static inline void storm_on_request(void *arg, struct sip_stx *tx, struct sip_stx *invite, struct sip_msg *m,
                                    const struct rx *rx)
{
    struct storm *s = arg;
    size_t i;

    STORM_CHECK(m->method != SIP_ACK && rx->buf && rx->hop);
    STORM_CHECK(!invite || m->method == SIP_CANCEL);
    for (i = 0; i < STORM_MAX && s->stx[i].tx; i++)
        STORM_CHECK(s->stx[i].tx != tx);
    STORM_CHECK(i < STORM_MAX);
    s->stx[i] = (struct storm_stx){s, tx, m->method == SIP_INVITE, sip_stx_is_final(tx)};
    sip_stx_set_upper(tx, &s->stx[i]);
    storm_inside(s);
    STORM_CHECK(m->via.whole.n > 0 && m->call_id.n > 0 && rx->buf->n == m->bytes.n); /* still there */
}

static inline void storm_on_ack(void *arg, struct sip_msg *m, const struct rx *rx)
{
    (void)rx;
    STORM_CHECK(m->method == SIP_ACK);
    storm_inside(arg);
}

static inline void storm_on_stray(void *arg, struct sip_msg *m, const struct rx *rx)
{
    (void)rx;
    STORM_CHECK(!m->is_request);
    storm_inside(arg);
}

static inline void storm_on_stx_end(void *arg, struct sip_stx *tx, void *upper)
{
    struct storm_stx *u = upper;

    /* Only what never came to on_request's end may have no upper; here all have one. */
    STORM_CHECK(u && u->s == arg && u->tx == tx);
    u->tx = NULL;
    storm_inside(arg);
}

static inline void storm_on_stx_failed(void *arg, struct sip_stx *tx, void *upper, enum sip_tx_end why)
{
    struct storm_stx *u = upper;

    (void)why;
    STORM_CHECK(u && u->tx == tx && u->is_invite && sip_stx_is_final(tx));
    storm_inside(arg);
}

static inline void storm_on_response(void *arg, struct sip_ctx *tx, struct sip_msg *m, const struct rx *rx)
{
    struct storm_ctx *u = arg;

    (void)rx;
    STORM_CHECK(u->tx == tx && !u->has_end);
    STORM_CHECK(m->cseq_method == u->method);
    STORM_CHECK(!u->has_final || (u->method == SIP_INVITE && m->status >= 200 && m->status < 300));
    if (m->status >= 200)
        u->has_final = true;
    storm_inside(u->s);
    STORM_CHECK(m->status >= 100 && m->via.whole.n > 0);
}

static inline void storm_on_end(void *arg, struct sip_ctx *tx, enum sip_tx_end why)
{
    struct storm_ctx *u = arg;

    (void)why;
    STORM_CHECK(u->tx == tx && !u->has_end && !u->has_final);
    u->has_end = true;
    storm_inside(u->s);
}

static inline void storm_on_gone(void *arg, struct sip_ctx *tx)
{
    struct storm_ctx *u = arg;

    STORM_CHECK(u->tx == tx && (u->has_end || u->has_final));
    u->tx = NULL;
    storm_inside(u->s);
}

/* ---- what may happen ---- */

static inline void storm_input(struct storm *s, const char *text, int n, const struct path *from)
{
    static const struct hop_facts hop;
    struct buf *b = buf_copy(str_make(text, (size_t)n));
    struct arena *a = sip_txl_arena(s->l);
    struct rx rx = {.path = *from, .buf = b, .hop = &hop};
    struct sip_msg *m;
    struct reason why;

    if (!a || !b || sip_msg_parse(a, buf_str(b), &m, &why) != 0 || sip_txl_receive(s->l, m, &rx) != 0)
        sip_txl_arena_done(s->l, a);
    buf_unref(b);
}

static inline void storm_request(struct storm *s)
{
    static const char *const methods[] = {"INVITE", "INVITE", "INVITE", "ACK", "ACK", "CANCEL", "OPTIONS", "BYE", "FOO"};
    static const char *const vias[] = {"UDP 192.0.2.1;rport;branch=z9hG4bK", "UDP 192.0.2.1:5070;branch=z9hG4bK",
                                       "TCP h;branch=z9hG4bK", "UDP 192.0.2.1;branch=", "UDP h;x=",
                                       "UDP 192.0.2.1;maddr=192.0.2.7;branch=z9hG4bKm"};
    unsigned m = storm_byte(s) % 9, v = storm_byte(s) % 6, b = storm_byte(s);
    struct path from = storm_path(storm_byte(s));
    char via[100], text[500];

    snprintf(via, sizeof via, "%s%u", vias[v], b % 8);
    storm_input(s, text,
                snprintf(text, sizeof text, "%s sip:b@x SIP/2.0\r\nVia: SIP/2.0/%s\r\nFrom: <sip:a@x>;tag=f\r\nTo: <sip:b@x>%s\r\n"
                                            "Call-ID: c\r\nCSeq: 1 %s\r\nMax-Forwards: 70\r\nContent-Length: 0\r\n\r\n",
                         methods[m], via, b & 64 ? ";tag=t" : "", methods[m]),
                &from);
}

static inline void storm_response(struct storm *s)
{
    static const unsigned status[] = {100, 180, 183, 200, 200, 202, 302, 404, 408, 486, 487, 500, 603};
    static const char *const other[] = {"INVITE", "CANCEL", "BYE"};
    struct storm_ctx *u = &s->ctx[storm_byte(s) % STORM_MAX];
    unsigned st = status[storm_byte(s) % 13], b = storm_byte(s);
    struct path from = storm_path(0);
    struct str branch = u->tx && b % 8 ? str_make(u->branch, u->n_branch) : str_make(s->last_branch, s->n_last);
    char text[500];

    if (b % 16 == 15)
        branch = STR("z9hG4bKsp00000001aaaaaaaaaaaaaaaa");
    storm_input(s, text,
                snprintf(text, sizeof text, "SIP/2.0 %u X\r\nVia: SIP/2.0/UDP h;branch=%.*s\r\nFrom: <sip:a@x>;tag=f\r\n"
                                            "To: <sip:b@x>;tag=t\r\nCall-ID: c\r\nCSeq: 1 %s\r\nContent-Length: 0\r\n\r\n",
                         st, STR_FMT(branch),
                         b % 4 == 3 || !u->tx || !sip_method_text(u->method).n ? other[b / 4 % 3]
                                                                               : sip_method_text(u->method).p),
                &from);
}

static inline void storm_start(struct storm *s)
{
    static const enum sip_method methods[] = {SIP_INVITE, SIP_INVITE, SIP_BYE, SIP_OPTIONS};
    unsigned b = storm_byte(s);
    enum sip_method method = methods[b % 4];
    struct path to = storm_path(storm_byte(s));
    struct storm_ctx *u = NULL;
    struct sip_ctx_user user = {NULL, storm_on_response, storm_on_end, storm_on_gone};
    struct sip_ctx *tx;
    struct str branch;
    char text[500];
    struct buf *msg;
    size_t i;

    for (i = 0; i < STORM_MAX && !u; i++)
        if (!s->ctx[i].tx)
            u = &s->ctx[i];
    user.arg = u;
    tx = u ? sip_ctx_new(s->l, method, &user) : NULL;
    if (!tx)
        return;
    if (b & 16)
        sip_ctx_set_loop_hash(tx, 0x1234);
    branch = sip_ctx_via_branch(tx);
    *u = (struct storm_ctx){.s = s, .tx = tx, .method = method, .n_branch = branch.n};
    memcpy(u->branch, branch.p, branch.n);
    memcpy(s->last_branch, branch.p, branch.n);
    s->n_last = branch.n;
    if (b & 32)
        sip_ctx_cancel(tx, STR("before"));
    snprintf(text, sizeof text, "%s sip:b@x SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=%.*s\r\nFrom: <sip:a@x>;tag=f\r\n"
                                "To: <sip:b@x>\r\nCall-ID: c\r\nCSeq: 1 %s\r\nMax-Forwards: 70\r\nContent-Length: 0\r\n\r\n",
             sip_method_text(method).p, STR_FMT(branch), sip_method_text(method).p);
    msg = b & 128 ? NULL : buf_copy(str_z(text));
    if (!msg) {
        u->tx = NULL;
        sip_ctx_detach(tx);
    } else if (sip_ctx_start(tx, msg, &to) != 0) {
        u->tx = NULL;
    }
    buf_unref(msg);
}

static inline void storm_answer(struct storm *s)
{
    static const unsigned status[] = {99, 100, 180, 183, 200, 202, 302, 404, 408, 487, 503, 603, 700};
    struct storm_stx *u = &s->stx[storm_byte(s) % STORM_MAX];
    unsigned st = status[storm_byte(s) % 13], b = storm_byte(s);
    struct sip_response r = {.status = st};
    char text[200];
    struct buf *msg;
    int err;

    if (!u->tx)
        return;
    if (b % 8 == 7) {
        struct sip_stx *tx = u->tx;

        u->tx = NULL;
        sip_stx_drop(tx);
        STORM_CHECK(sip_stx_is_final(tx));
        return;
    }
    if (b & 8) {
        err = sip_stx_reply(u->tx, &r);
    } else {
        snprintf(text, sizeof text, "SIP/2.0 %u X\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK1\r\nTo: <sip:b@x>;tag=t\r\n"
                                    "From: <sip:a@x>;tag=f\r\nCall-ID: c\r\nCSeq: 1 INVITE\r\n\r\n",
                 st);
        msg = buf_copy(str_z(text));
        err = msg ? sip_stx_respond(u->tx, st, msg) : ERR_NOMEM;
        buf_unref(msg);
    }
    STORM_CHECK(err <= 0);
    if (err == 0 && st >= 200)
        STORM_CHECK(sip_stx_is_final(u->tx) && !sip_stx_msg(u->tx));
    STORM_CHECK(sip_stx_is_final(u->tx) || sip_stx_msg(u->tx));
    (void)sip_stx_to_tag(u->tx);
}

static inline void storm_user(struct storm *s)
{
    struct storm_ctx *u = &s->ctx[storm_byte(s) % STORM_MAX];
    struct sip_ctx *tx = u->tx;

    if (!tx)
        return;
    if (storm_byte(s) % 4) {
        sip_ctx_cancel(tx, storm_byte(s) & 1 ? STR("SIP;cause=200") : STR_NULL);
    } else {
        u->tx = NULL;
        sip_ctx_detach(tx);
    }
}

static void storm_step(struct storm *s)
{
    unsigned b = storm_byte(s);
    struct path to;

    switch (b % 16) {
    case 0: case 1: case 2: case 3:
        storm_request(s);
        break;
    case 4: case 5: case 6:
        storm_answer(s);
        break;
    case 7: case 8:
        storm_start(s);
        break;
    case 9: case 10: case 11:
        storm_response(s);
        break;
    case 12:
        storm_user(s);
        break;
    case 13:
        to = storm_path(storm_byte(s));
        if (b & 16)
            sip_txl_path_failed(s->l, &to);
        else
            sip_txl_flow_failed(s->l, to.flow);
        break;
    default:
        if (s->depth == 0)
            wheel_advance(s->w, wheel_now_ms(s->w) + (b & 128 ? storm_byte(s) * 40u : b));
    }
}

/* Runs `steps` steps, then lets everything come to its end and checks that it did. No memory: does nothing. */
static inline void storm_run(uint8_t (*next)(void *arg), void *arg, size_t steps)
{
    struct storm *s = calloc(1, sizeof *s);
    struct sip_txl_user user = {s, storm_send, storm_on_request, storm_on_ack, storm_on_stray, storm_on_stx_end,
                                storm_on_stx_failed};
    struct sip_txl_stats st;
    unsigned how;
    size_t i;

    STORM_CHECK(s);
    s->next = next;
    s->arg = arg;
    rand_fixed_init(&s->rand, 7);
    s->w = wheel_new(1000);
    s->l = s->w ? sip_txl_new(&user, s->w, &s->rand, 0, STORM_MAX - 20) : NULL;
    how = storm_byte(s);
    if (s->l && how & 1)
        sip_txl_allow_maddr(s->l, true);
    for (i = 0; s->l && i < steps; i++)
        storm_step(s);
    if (s->l && how & 2) { /* else it is torn down in the middle */
        s->is_ending = true;
        for (i = 0; i < STORM_MAX; i++) {
            if (s->stx[i].tx && !sip_stx_is_final(s->stx[i].tx))
                sip_stx_drop(s->stx[i].tx);
            if (s->ctx[i].tx)
                sip_ctx_detach(s->ctx[i].tx);
        }
        for (i = 0; i < 3; i++)
            wheel_advance(s->w, wheel_now_ms(s->w) + 200000);
        sip_txl_stats(s->l, &st);
        STORM_CHECK(st.stx_now == 0 && st.ctx_now == 0);
        STORM_CHECK(wheel_next_ms(s->w) == UINT64_MAX);
    }
    sip_txl_free(s->l);
    wheel_free(s->w);
    free(s);
}

#endif

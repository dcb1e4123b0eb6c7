/* What the transaction layer costs a proxied call over UDP (6 messages in, 5 sent: INVITE, 180, 200, ACK up, BYE, 200),
 * in virtual time at a given rate, once as many transactions linger as will (after 32 s). Parsing and the user above are not
 * counted; the timers are. Usage: micro_tx [calls a second [seconds measured]] */
#include "base/err.h"
#include "sip/tx.h"
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static struct {
    struct sip_txl *l;
    struct wheel *w;
    struct rand_source rand;
    struct path up, down;
    struct buf *out; /* stands for everything that is sent */
    char branch[SIP_BRANCH_MAX];
    size_t n_branch;
    double spent_ns, timers_ns, clock_ns;
    unsigned long n_messages, n_strays, n_failed;
} t;

static double now_ns(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double)ts.tv_sec * 1e9 + (double)ts.tv_nsec;
}

static int send_nothing(void *arg, const struct path *to, struct buf *msg)
{
    (void)arg;
    (void)to;
    (void)msg;
    return 0;
}

static void on_response(void *arg, struct sip_ctx *tx, struct sip_msg *m, const struct rx *rx)
{
    (void)tx;
    (void)rx;
    t.n_failed += sip_stx_respond(arg, m->status, t.out) != 0;
}

static void on_end(void *arg, struct sip_ctx *tx, enum sip_tx_end why)
{
    (void)arg;
    (void)tx;
    (void)why;
    t.n_failed++;
}

static void on_gone(void *arg, struct sip_ctx *tx)
{
    (void)arg;
    (void)tx;
}

static void on_request(void *arg, struct sip_stx *tx, struct sip_stx *invite, struct sip_msg *m, const struct rx *rx)
{
    struct sip_ctx_user user = {tx, on_response, on_end, on_gone};
    struct sip_ctx *ctx = sip_ctx_new(t.l, m->method, &user);
    struct str branch;

    (void)arg;
    (void)invite;
    (void)rx;
    if (!ctx) {
        t.n_failed++;
        return;
    }
    sip_ctx_set_loop_hash(ctx, 0x123456789abcdefu);
    branch = sip_ctx_via_branch(ctx);
    memcpy(t.branch, branch.p, branch.n);
    t.n_branch = branch.n;
    t.n_failed += sip_ctx_start(ctx, t.out, &t.down) != 0;
}

static void on_ack(void *arg, struct sip_msg *m, const struct rx *rx)
{
    (void)arg;
    (void)m;
    (void)rx;
}

static void on_stray(void *arg, struct sip_msg *m, const struct rx *rx)
{
    (void)arg;
    (void)m;
    (void)rx;
    t.n_strays++;
}

static void on_stx_end(void *arg, struct sip_stx *tx, void *upper)
{
    (void)arg;
    (void)tx;
    (void)upper;
}

static void on_stx_failed(void *arg, struct sip_stx *tx, void *upper, enum sip_tx_end why)
{
    on_stx_end(arg, tx, upper);
    (void)why;
    t.n_failed++;
}

static void input(const char *text, int n, const struct path *from)
{
    static const struct hop_facts hop;
    struct buf *b = buf_copy(str_make(text, (size_t)n));
    struct arena *a = sip_txl_arena(t.l);
    struct rx rx = {.path = *from, .buf = b, .hop = &hop};
    struct sip_msg *m;
    double start;

    if (!a || !b || sip_msg_parse(a, buf_str(b), &m, NULL) != 0)
        exit(1);
    start = now_ns();
    t.n_failed += sip_txl_receive(t.l, m, &rx) != 0;
    t.spent_ns += now_ns() - start - t.clock_ns;
    t.n_messages++;
    buf_unref(b);
}

static void request(const char *method, unsigned long call, const char *suffix)
{
    char text[1000];

    input(text,
          snprintf(text, sizeof text,
                   "%s sip:bob@edge.example.com SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK-%lu%s;rport\r\n"
                   "From: <sip:alice@192.0.2.1>;tag=%lu\r\nTo: <sip:bob@edge.example.com>\r\nCall-ID: %lu@192.0.2.1\r\n"
                   "CSeq: 1 %s\r\nMax-Forwards: 70\r\nContent-Length: 0\r\n\r\n",
                   method, call, suffix, call, call, method),
          &t.up);
}

static void response(unsigned status, const char *method, unsigned long call)
{
    char text[1000];

    input(text,
          snprintf(text, sizeof text,
                   "SIP/2.0 %u X\r\nVia: SIP/2.0/UDP edge.example.com;branch=%.*s\r\nVia: SIP/2.0/UDP 192.0.2.1\r\n"
                   "From: <sip:alice@192.0.2.1>;tag=%lu\r\nTo: <sip:bob@edge.example.com>;tag=b\r\n"
                   "Call-ID: %lu@192.0.2.1\r\nCSeq: 1 %s\r\nContent-Length: 0\r\n\r\n",
                   status, (int)t.n_branch, t.branch, call, call, method),
          &t.down);
}

static void one_call(unsigned long call)
{
    request("INVITE", call, "");
    response(180, "INVITE", call);
    response(200, "INVITE", call);
    request("ACK", call, "a");
    request("BYE", call, "b");
    response(200, "BYE", call);
}

int main(int argc, char **argv)
{
    unsigned long rate = argc > 1 ? strtoul(argv[1], NULL, 10) : 10000, seconds = argc > 2 ? strtoul(argv[2], NULL, 10) : 20;
    struct sip_txl_user user = {NULL, send_nothing, on_request, on_ack, on_stray, on_stx_end, on_stx_failed};
    struct sip_txl_stats st;
    unsigned long call, n, warm;
    double start;

    if (!rate || !seconds)
        return 2;
    rand_system_init(&t.rand);
    t.w = wheel_new(0);
    t.out = buf_new(700);
    t.l = t.w ? sip_txl_new(&user, t.w, &t.rand, 0, 4000000) : NULL;
    if (!t.l || !t.out || addr_parse_hostport(&t.up.remote, STR("192.0.2.1:5060")) != 0 ||
        addr_parse_hostport(&t.down.remote, STR("192.0.2.2:5060")) != 0)
        return 1;
    start = now_ns();
    for (n = 0; n < 1000000; n++)
        t.clock_ns += now_ns() * 0;
    t.clock_ns = (now_ns() - start) / 1e6;
    warm = rate * 33;
    for (call = 0; call < warm + rate * seconds; call++) {
        if (call == warm) {
            t.spent_ns = t.timers_ns = 0;
            t.n_messages = 0;
        }
        one_call(call);
        start = now_ns();
        wheel_advance(t.w, call * 1000 / rate);
        t.timers_ns += now_ns() - start - t.clock_ns;
    }
    sip_txl_stats(t.l, &st);
    printf("%lu calls/s: %llu transactions kept; a call %.2f us (messages %.2f, timers %.2f), a message %.3f us\n", rate,
           (unsigned long long)(st.stx_now + st.ctx_now), (t.spent_ns + t.timers_ns) / (double)(rate * seconds) / 1e3,
           t.spent_ns / (double)(rate * seconds) / 1e3, t.timers_ns / (double)(rate * seconds) / 1e3,
           (t.spent_ns + t.timers_ns) / (double)t.n_messages / 1e3);
    if (t.n_failed || t.n_strays)
        printf("%lu failed, %lu strays\n", t.n_failed, t.n_strays);
    sip_txl_free(t.l);
    wheel_free(t.w);
    buf_unref(t.out);
    return t.n_failed || t.n_strays;
}

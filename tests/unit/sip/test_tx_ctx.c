/* Client transactions (RFC 3261 17.1, 9.1; RFC 6026 7.2): schedules to the millisecond, timers, ACK, CANCEL, transport. */
#include "tx_play.h"

#include "base/fault.h"

static const struct path *tcp_path(void)
{
    static struct path p;

    p = play_path(TRANSPORT_TCP, "192.0.2.2:5060", 0x100000001);
    return &p;
}

/* 17.1.1.2: T1 doubling until timer B at 64*T1. */
static void test_invite_schedule(void **state)
{
    struct play *p = play_new();

    (void)state;
    assert_int_equal(play_start(p, SIP_INVITE), 0);
    assert_int_equal(play_stats(p).ctx_open, 1);
    play_until(p, 100000);
    check_log(p, "0 send INVITE\n500 send INVITE\n1500 send INVITE\n3500 send INVITE\n7500 send INVITE\n"
                 "15500 send INVITE\n31500 send INVITE\n32000 end timeout\n32000 gone\n");
    assert_int_equal(play_stats(p).ctx_now, 0);
    assert_int_equal(play_stats(p).ctx_open, 0);
    assert_int_equal(play_stats(p).retransmits_out, 6);
    assert_int_equal(play_stats(p).timeouts, 1);
    play_free(p);
}

/* 17.1.2.2: E doubles up to T2; F. */
static void test_other_schedule(void **state)
{
    struct play *p = play_new();

    (void)state;
    assert_int_equal(play_start(p, SIP_OPTIONS), 0);
    play_until(p, 100000);
    check_log(p, "0 send OPTIONS\n500 send OPTIONS\n1500 send OPTIONS\n3500 send OPTIONS\n7500 send OPTIONS\n"
                 "11500 send OPTIONS\n15500 send OPTIONS\n19500 send OPTIONS\n23500 send OPTIONS\n27500 send OPTIONS\n"
                 "31500 send OPTIONS\n32000 end timeout\n32000 gone\n");
    play_free(p);
}

static void test_reliable_schedule(void **state)
{
    struct play *p = play_new();

    (void)state;
    assert_int_equal(play_start_to(p, SIP_INVITE, tcp_path()), 0);
    assert_int_equal(play_start_to(p, SIP_BYE, tcp_path()), 0);
    play_until(p, 100000);
    check_log(p, "0 send INVITE\n0 send BYE\n32000 end timeout\n32000 gone\n32000 end timeout\n32000 gone\n");
    play_free(p);
}

static void test_other_timers(void **state)
{
    struct play *p = play_new();
    struct sip_timers t = {100, 400, 1000, 9000};

    (void)state;
    sip_txl_set_timers(p->l, &t);
    assert_int_equal(play_start(p, SIP_OPTIONS), 0);
    play_until(p, 2000);
    check_log(p, "0 send OPTIONS\n100 send OPTIONS\n300 send OPTIONS\n700 send OPTIONS\n1100 send OPTIONS\n"
                 "1500 send OPTIONS\n1900 send OPTIONS\n");
    play_until(p, 6399);
    play_clear(p);
    play_until(p, 6400);
    check_log(p, "6400 end timeout\n6400 gone\n");
    play_free(p);
}

/* A provisional response ends timers A and B; 2xx are passed until timer M (RFC 6026 7.2). */
static void test_invite_accepted(void **state)
{
    struct play *p = play_new();

    (void)state;
    assert_int_equal(play_start(p, SIP_INVITE), 0);
    play_until(p, 600);
    assert_int_equal(play_response(p, 100, "INVITE"), 0);
    play_until(p, 50000);
    assert_int_equal(play_response(p, 180, "INVITE"), 0);
    play_until(p, 60000);
    assert_int_equal(play_response(p, 200, "INVITE"), 0);
    play_until(p, 61000);
    assert_int_equal(play_response(p, 200, "INVITE"), 0);
    assert_int_equal(play_response(p, 180, "INVITE"), 0);
    assert_int_equal(play_response(p, 486, "INVITE"), 0);
    play_until(p, 91999);
    assert_int_equal(play_response(p, 202, "INVITE"), 0);
    check_log(p, "0 send INVITE\n500 send INVITE\n600 response 100\n50000 response 180\n60000 response 200\n"
                 "61000 response 200\n91999 response 202\n");
    play_until(p, 200000);
    check_log(p, "92000 gone\n");
    assert_int_equal(play_stats(p).ctx_now, 0);
    assert_int_equal(play_stats(p).ctx_open, 0);
    play_free(p);
}

/* Figure 5: 300-699 is acknowledged at once and each time again, up once; timer D. */
static void test_invite_refused(void **state)
{
    struct play *p = play_new();

    (void)state;
    assert_int_equal(play_start(p, SIP_INVITE), 0);
    assert_int_equal(play_response(p, 486, "INVITE"), 0);
    /* 17.1.1.3: Request-URI, Call-ID, From, CSeq number, top Via and Route of the INVITE, To of the response. */
    assert_true(play_sent_has(p, "ACK sip:b@example.net SIP/2.0\r\n"));
    assert_true(play_sent_has(p, "CSeq: 1 ACK\r\n"));
    assert_true(play_sent_has(p, ";tag=t\r\n"));
    assert_true(play_sent_has(p, "r.example.net;lr>"));
    assert_false(play_sent_has(p, "z9hG4bKa"));
    assert_non_null(memmem(p->sent->p, p->sent->n, sip_ctx_via_branch(p->ctx).p, sip_ctx_via_branch(p->ctx).n));
    assert_true(addr_eq(&p->sent_to.remote, &sip_ctx_path(p->ctx)->remote));
    play_until(p, 500);
    assert_int_equal(play_response(p, 486, "INVITE"), 0);
    assert_int_equal(play_response(p, 200, "INVITE"), 0);
    assert_int_equal(play_response(p, 180, "INVITE"), 0);
    play_until(p, 31999);
    assert_int_equal(play_response(p, 603, "INVITE"), 0);
    check_log(p, "0 send INVITE\n0 send ACK\n0 response 486\n500 send ACK\n31999 send ACK\n");
    play_until(p, 32000);
    check_log(p, "32000 gone\n");
    play_free(p);
}

static void test_invite_refused_reliable(void **state)
{
    struct play *p = play_new();

    (void)state;
    assert_int_equal(play_start_to(p, SIP_INVITE, tcp_path()), 0);
    assert_int_equal(play_response(p, 404, "INVITE"), 0);
    check_log(p, "0 send INVITE\n0 send ACK\n0 response 404\n");
    play_until(p, 1);
    check_log(p, "0 gone\n");
    play_free(p);
}

/* The ACK cannot be sent: the response still goes up, then the transaction is gone (Figure 5). */
static void test_invite_ack_error(void **state)
{
    struct play *p = play_new();

    (void)state;
    assert_int_equal(play_start(p, SIP_INVITE), 0);
    p->send_err = ERR_IO;
    assert_int_equal(play_response(p, 486, "INVITE"), 0);
    check_log(p, "0 send INVITE\n0 cannot send ACK\n0 response 486\n0 gone\n");
    p->send_err = 0;
    assert_int_equal(play_start(p, SIP_INVITE), 0);
    assert_int_equal(play_response(p, 486, "INVITE"), 0);
    p->send_err = ERR_IO;
    assert_int_equal(play_response(p, 486, "INVITE"), 0);
    check_log(p, "0 send INVITE\n0 send ACK\n0 response 486\n0 cannot send ACK\n0 gone\n");
    assert_int_equal(play_stats(p).transport_errors, 2);
    play_free(p);
}

/* Figure 6: timer E goes on at T2 in Proceeding, unchanged by the way there; F; K. */
static void test_other_provisional(void **state)
{
    struct play *p = play_new();

    (void)state;
    assert_int_equal(play_start(p, SIP_OPTIONS), 0);
    play_until(p, 600);
    assert_int_equal(play_response(p, 100, "OPTIONS"), 0);
    play_until(p, 10000);
    check_log(p, "0 send OPTIONS\n500 send OPTIONS\n600 response 100\n1500 send OPTIONS\n5500 send OPTIONS\n"
                 "9500 send OPTIONS\n");
    assert_int_equal(play_response(p, 100, "OPTIONS"), 0);
    assert_int_equal(play_response(p, 200, "OPTIONS"), 0);
    assert_int_equal(play_response(p, 200, "OPTIONS"), 0);
    assert_int_equal(play_response(p, 404, "OPTIONS"), 0);
    play_until(p, 14999);
    check_log(p, "10000 response 100\n10000 response 200\n");
    play_until(p, 15000);
    check_log(p, "15000 gone\n");
    play_free(p);
}

static void test_other_timeout_proceeding(void **state)
{
    struct play *p = play_new();

    (void)state;
    assert_int_equal(play_start_to(p, SIP_OPTIONS, tcp_path()), 0);
    assert_int_equal(play_response(p, 100, "OPTIONS"), 0);
    play_until(p, 40000);
    check_log(p, "0 send OPTIONS\n0 response 100\n32000 end timeout\n32000 gone\n");
    assert_int_equal(play_start_to(p, SIP_OPTIONS, tcp_path()), 0);
    assert_int_equal(play_response(p, 404, "OPTIONS"), 0);
    play_for(p, 1);
    check_log(p, "40000 send OPTIONS\n40000 response 404\n40000 gone\n");
    play_free(p);
}

/* 9.1: CANCEL waits for a provisional response; its own transaction repeats it; 64*T1 later the INVITE is given up. */
static void test_cancel_before_provisional(void **state)
{
    struct play *p = play_new();
    struct str branch;
    char copy[SIP_BRANCH_MAX];

    (void)state;
    assert_int_equal(play_start(p, SIP_INVITE), 0);
    sip_ctx_cancel(p->ctx, STR("SIP;cause=200;text=\"Call completed elsewhere\""));
    sip_ctx_cancel(p->ctx, STR_NULL);
    play_until(p, 500);
    check_log(p, "0 send INVITE\n500 send INVITE\n");
    play_until(p, 600);
    assert_int_equal(play_response(p, 180, "INVITE"), 0);
    check_log(p, "600 response 180\n600 send CANCEL\n");
    assert_true(play_sent_has(p, "CANCEL sip:b@example.net SIP/2.0\r\n"));
    assert_true(play_sent_has(p, "CSeq: 1 CANCEL\r\n"));
    assert_true(play_sent_has(p, "Reason: SIP;cause=200;text=\"Call completed elsewhere\"\r\n"));
    assert_true(play_sent_has(p, "r.example.net;lr>"));
    assert_false(play_sent_has(p, "z9hG4bKa"));
    branch = sip_ctx_via_branch(p->ctx);
    memcpy(copy, branch.p, branch.n);
    branch.p = copy;
    assert_non_null(memmem(p->sent->p, p->sent->n, branch.p, branch.n));
    play_until(p, 1100);
    check_log(p, "1100 send CANCEL\n");
    assert_int_equal(play_response(p, 200, "CANCEL"), 0); /* the CANCEL's, nobody's business */
    play_until(p, 32599);
    sip_ctx_cancel(p->ctx, STR_NULL);
    check_log(p, "");
    play_until(p, 32600);
    check_log(p, "32600 end timeout\n32600 gone\n");
    assert_int_equal(play_stats(p).ctx_now, 0);
    assert_int_equal(play_stats(p).ctx_open, 0);
    play_free(p);
}

/* The CANCEL outlives its INVITE: its branch stays the CANCEL's until it has ended. */
static void test_cancel_after_provisional(void **state)
{
    struct play *p = play_new();
    struct str branch;
    char copy[SIP_BRANCH_MAX];

    (void)state;
    assert_int_equal(play_start(p, SIP_INVITE), 0);
    assert_int_equal(play_response(p, 180, "INVITE"), 0);
    branch = sip_ctx_via_branch(p->ctx);
    memcpy(copy, branch.p, branch.n);
    branch.p = copy;
    sip_ctx_cancel(p->ctx, STR_NULL);
    assert_false(play_sent_has(p, "Reason:"));
    assert_int_equal(play_response(p, 487, "INVITE"), 0);
    check_log(p, "0 send INVITE\n0 response 180\n0 send CANCEL\n0 send ACK\n0 response 487\n");
    assert_int_equal(play_stats(p).ctx_now, 2);
    assert_int_equal(play_stats(p).ctx_open, 1); /* the CANCEL */
    play_until(p, 31999);
    play_clear(p);
    play_until(p, 32000); /* timer D of the one, timer F of the other */
    check_log(p, "32000 gone\n");
    assert_int_equal(play_stats(p).ctx_now, 0);
    assert_int_equal(play_stats(p).ctx_open, 0);
    assert_int_equal(play_response_branch(p, 200, "CANCEL", branch), 0);
    check_log(p, "32000 stray 200\n");
    play_free(p);
}

/* Over a stream the INVITE ends with its final response, and the answer to the CANCEL comes behind. */
static void test_cancel_reliable(void **state)
{
    struct play *p = play_new();
    struct str branch;
    char copy[SIP_BRANCH_MAX];

    (void)state;
    assert_int_equal(play_start_to(p, SIP_INVITE, tcp_path()), 0);
    branch = sip_ctx_via_branch(p->ctx);
    memcpy(copy, branch.p, branch.n);
    branch.p = copy;
    assert_int_equal(play_response(p, 180, "INVITE"), 0);
    sip_ctx_cancel(p->ctx, STR_NULL);
    assert_int_equal(play_response(p, 487, "INVITE"), 0);
    play_until(p, 10);
    check_log(p, "0 send INVITE\n0 response 180\n0 send CANCEL\n0 send ACK\n0 response 487\n0 gone\n");
    assert_int_equal(play_response_branch(p, 487, "INVITE", branch), 0);
    assert_int_equal(play_start_to(p, SIP_INVITE, tcp_path()), 0); /* gets another slot */
    assert_int_not_equal(memcmp(copy, sip_ctx_via_branch(p->ctx).p, branch.n), 0);
    assert_int_equal(play_response_branch(p, 200, "CANCEL", branch), 0);
    check_log(p, "10 stray 487\n10 send INVITE\n");
    play_until(p, 20);
    assert_int_equal(play_stats(p).ctx_now, 1);
    play_free(p);
}

/* CANCEL and 200 cross: the 2xx goes up, the CANCEL changes nothing (9.1). */
static void test_cancel_race(void **state)
{
    struct play *p = play_new();

    (void)state;
    assert_int_equal(play_start(p, SIP_INVITE), 0);
    assert_int_equal(play_response(p, 180, "INVITE"), 0);
    sip_ctx_cancel(p->ctx, STR_NULL);
    assert_int_equal(play_response(p, 200, "INVITE"), 0);
    assert_int_equal(play_response(p, 481, "CANCEL"), 0);
    assert_int_equal(play_response(p, 200, "INVITE"), 0);
    check_log(p, "0 send INVITE\n0 response 180\n0 send CANCEL\n0 response 200\n0 response 200\n");
    play_until(p, 32000);
    check_log(p, "32000 gone\n");
    /* Wanted, but the final response is faster than any provisional one. */
    assert_int_equal(play_start(p, SIP_INVITE), 0);
    sip_ctx_cancel(p->ctx, STR("x"));
    assert_int_equal(play_response(p, 200, "INVITE"), 0);
    assert_int_equal(play_response(p, 180, "INVITE"), 0);
    sip_ctx_cancel(p->ctx, STR("x"));
    play_until(p, 64000);
    check_log(p, "32000 send INVITE\n32000 response 200\n64000 gone\n");
    assert_int_equal(play_start(p, SIP_INVITE), 0);
    sip_ctx_cancel(p->ctx, STR("x"));
    assert_int_equal(play_response(p, 500, "INVITE"), 0);
    sip_ctx_cancel(p->ctx, STR("x"));
    play_until(p, 96000);
    check_log(p, "64000 send INVITE\n64000 send ACK\n64000 response 500\n96000 gone\n");
    assert_int_equal(play_stats(p).ctx_now, 0);
    assert_int_equal(play_stats(p).ctx_open, 0);
    play_free(p);
}

static void test_cancel_cannot_send(void **state)
{
    struct play *p = play_new();

    (void)state;
    assert_int_equal(play_start(p, SIP_INVITE), 0);
    assert_int_equal(play_response(p, 180, "INVITE"), 0);
    p->send_err = ERR_CLOSED;
    sip_ctx_cancel(p->ctx, STR_NULL);
    p->send_err = 0;
    assert_int_equal(play_response(p, 200, "CANCEL"), 0);
    play_until(p, 100000);
    check_log(p, "0 send INVITE\n0 response 180\n0 cannot send CANCEL\n0 stray 200\n32000 end timeout\n32000 gone\n");
    assert_int_equal(play_stats(p).ctx_now, 0);
    assert_int_equal(play_stats(p).ctx_open, 0);
    /* Before the start, and for other methods. */
    assert_int_equal(play_start(p, SIP_BYE), 0);
    assert_int_equal(play_response(p, 100, "BYE"), 0);
    sip_ctx_cancel(p->ctx, STR_NULL);
    assert_int_equal(play_response(p, 200, "BYE"), 0);
    check_log(p, "100000 send BYE\n100000 response 100\n100000 response 200\n");
    play_free(p);
}

static void cancel_in_response(struct play *p, struct sip_ctx *tx, struct sip_msg *m)
{
    (void)p;
    if (m->status == 180)
        sip_ctx_cancel(tx, STR("in callback"));
}

static void test_cancel_in_callback(void **state)
{
    struct play *p = play_new();

    (void)state;
    p->in_response = cancel_in_response;
    assert_int_equal(play_start(p, SIP_INVITE), 0);
    assert_int_equal(play_response(p, 180, "INVITE"), 0);
    check_log(p, "0 send INVITE\n0 response 180\n0 send CANCEL\n");
    play_free(p);
}

/* 17.1.4: an error at once means nothing is called back; one with a retransmission ends it. */
static void test_send_error(void **state)
{
    struct play *p = play_new();

    (void)state;
    p->send_err = ERR_IO;
    check_err(play_start(p, SIP_INVITE), ERR_IO);
    check_err(play_start(p, SIP_OPTIONS), ERR_IO);
    play_until(p, 100000);
    check_log(p, "0 cannot send INVITE\n0 cannot send OPTIONS\n");
    assert_int_equal(play_stats(p).ctx_now, 0);
    assert_int_equal(play_stats(p).ctx_open, 0);
    p->send_err = 0;
    assert_int_equal(play_start(p, SIP_INVITE), 0);
    assert_int_equal(play_start(p, SIP_OPTIONS), 0);
    p->send_err = ERR_IO;
    play_until(p, 200000);
    check_log(p, "100000 send INVITE\n100000 send OPTIONS\n100500 cannot send INVITE\n100500 end transport\n100500 gone\n"
                 "100500 cannot send OPTIONS\n100500 end transport\n100500 gone\n");
    assert_int_equal(play_stats(p).ctx_now, 0);
    assert_int_equal(play_stats(p).ctx_open, 0);
    play_free(p);
}

static void test_flow_failed(void **state)
{
    struct play *p = play_new();
    struct path tls = play_path(TRANSPORT_TLS, "192.0.2.2:5061", 0x100000002);

    (void)state;
    assert_int_equal(play_start_to(p, SIP_INVITE, tcp_path()), 0);
    assert_int_equal(play_response(p, 180, "INVITE"), 0);
    assert_int_equal(play_start_to(p, SIP_BYE, tcp_path()), 0);
    assert_int_equal(play_start_to(p, SIP_INVITE, tcp_path()), 0);
    assert_int_equal(play_response(p, 200, "INVITE"), 0); /* has what it wanted */
    assert_int_equal(play_start_to(p, SIP_INFO, &tls), 0);
    play_clear(p);
    sip_txl_flow_failed(p->l, 0);
    sip_txl_flow_failed(p->l, 0x100000003);
    check_log(p, "");
    sip_txl_flow_failed(p->l, 0x100000001);
    check_log(p, "0 end transport\n0 gone\n0 end transport\n0 gone\n");
    sip_txl_flow_failed(p->l, 0x100000001);
    check_log(p, "");
    sip_txl_flow_failed(p->l, 0x100000002);
    check_log(p, "0 end transport\n0 gone\n");
    assert_int_equal(play_stats(p).ctx_now, 1);
    play_free(p);
}

static void test_path_failed(void **state)
{
    struct play *p = play_new();
    struct path to = play_path(TRANSPORT_UDP, "192.0.2.2:5060", 0), other = play_path(TRANSPORT_UDP, "192.0.2.2:5062", 0),
                stream = play_path(TRANSPORT_TCP, "192.0.2.2:5060", 0);

    (void)state;
    assert_int_equal(play_start(p, SIP_INVITE), 0);
    assert_int_equal(play_start(p, SIP_OPTIONS), 0);
    assert_int_equal(play_start(p, SIP_INVITE), 0);
    assert_int_equal(play_response(p, 180, "INVITE"), 0); /* Figure 5: sends nothing more */
    play_clear(p);
    sip_txl_path_failed(p->l, &other);
    sip_txl_path_failed(p->l, &stream);
    check_log(p, "");
    sip_txl_path_failed(p->l, &to);
    check_log(p, "0 end transport\n0 gone\n0 end transport\n0 gone\n");
    assert_int_equal(play_response(p, 200, "INVITE"), 0);
    check_log(p, "0 response 200\n");
    play_free(p);
}

/* Few buckets, many addresses: only the right one fails. */
static void test_path_failed_exact(void **state)
{
    struct play *p = play_new_n(1);
    struct path to;
    char text[32];
    unsigned port;

    (void)state;
    assert_int_equal(play_start(p, SIP_OPTIONS), 0);
    play_clear(p);
    for (port = 5061; port < 5261; port++) {
        snprintf(text, sizeof text, "192.0.2.2:%u", port);
        to = play_path(TRANSPORT_UDP, text, 0);
        sip_txl_path_failed(p->l, &to);
        to = play_path(TRANSPORT_TCP, "192.0.2.2:5060", 0);
        sip_txl_path_failed(p->l, &to);
        sip_txl_flow_failed(p->l, port);
    }
    check_log(p, "");
    to = play_path(TRANSPORT_UDP, "192.0.2.2:5060", 99); /* the flow does not count here */
    sip_txl_path_failed(p->l, &to);
    check_log(p, "0 end transport\n0 gone\n");
    play_free(p);
}

/* No memory for the ACK: it is sent when the response comes again. */
static void test_ack_without_memory(void **state)
{
    struct play *p = play_new();
    size_t n;

    (void)state;
    if (!fault_is_built())
        skip();
    for (n = 1; n < 20; n++) {
        assert_int_equal(play_start(p, SIP_INVITE), 0);
        play_clear(p);
        fault_arm_rest(n);
        (void)play_response(p, 486, "INVITE");
        if (!fault_disarm())
            break;
        if (!strstr(p->log, "response 486")) { /* not even parsed */
            sip_ctx_detach(p->ctx);
            p->ctx = NULL;
            continue;
        }
        play_clear(p);
        assert_int_equal(play_response(p, 486, "INVITE"), 0);
        check_log(p, "0 send ACK\n");
        assert_int_equal(play_response(p, 486, "INVITE"), 0);
        check_log(p, "0 send ACK\n");
    }
    assert_in_range(n, 4, 19);
    play_free(p);
}

/* New transactions to the same place, and ends of others, inside the callbacks of a failure. */
static void restart_in_end(struct play *p, struct sip_ctx *tx)
{
    (void)tx;
    if (p->n_sent < 10)
        assert_int_equal(play_start(p, SIP_OPTIONS), 0);
    else
        sip_txl_path_failed(p->l, &p->sent_to);
}

static void test_failure_in_callback(void **state)
{
    struct play *p = play_new();
    struct path to = play_path(TRANSPORT_UDP, "192.0.2.2:5060", 0);
    int i;

    (void)state;
    for (i = 0; i < 8; i++)
        assert_int_equal(play_start(p, i % 2 ? SIP_INVITE : SIP_OPTIONS), 0);
    p->in_end = restart_in_end;
    play_clear(p);
    sip_txl_path_failed(p->l, &to);
    assert_int_equal(play_stats(p).ctx_now, 0);
    assert_int_equal(play_stats(p).ctx_open, 0);
    play_free(p);
}

static void test_detach(void **state)
{
    struct play *p = play_new();
    struct sip_ctx *tx;

    (void)state;
    tx = sip_ctx_new(p->l, SIP_INVITE, NULL);
    assert_non_null(tx);
    sip_ctx_detach(tx); /* never started: given back */
    assert_int_equal(play_stats(p).ctx_now, 0);
    assert_int_equal(play_stats(p).ctx_open, 0);
    assert_null(sip_ctx_new(p->l, SIP_ACK, NULL));
    assert_int_equal(play_start(p, SIP_INVITE), 0);
    sip_ctx_detach(p->ctx);
    assert_int_equal(play_response(p, 180, "INVITE"), 0);
    play_until(p, 179999);
    check_log(p, "0 send INVITE\n");
    assert_int_equal(play_stats(p).ctx_now, 1);
    play_until(p, 180000); /* timer C */
    check_log(p, "");
    assert_int_equal(play_stats(p).ctx_now, 0);
    assert_int_equal(play_stats(p).ctx_open, 0);
    assert_int_equal(play_start(p, SIP_INVITE), 0);
    assert_int_equal(play_response(p, 180, "INVITE"), 0);
    sip_ctx_detach(p->ctx);
    assert_int_equal(play_response(p, 486, "INVITE"), 0);
    check_log(p, "180000 send INVITE\n180000 response 180\n180000 send ACK\n");
    play_until(p, 220000);
    check_log(p, "");
    assert_int_equal(play_stats(p).ctx_now, 0);
    assert_int_equal(play_stats(p).ctx_open, 0);
    play_free(p);
}

/* Ringing has no end of its own; a detached transaction's is timer C, once. */
static void test_ringing(void **state)
{
    struct play *p = play_new();

    (void)state;
    assert_int_equal(play_start(p, SIP_INVITE), 0);
    assert_int_equal(play_response(p, 180, "INVITE"), 0);
    play_until(p, 100000000);
    assert_int_equal(play_response(p, 180, "INVITE"), 0);
    check_log(p, "0 send INVITE\n0 response 180\n100000000 response 180\n");
    sip_ctx_detach(p->ctx);
    play_for(p, 1000);
    assert_int_equal(play_response(p, 180, "INVITE"), 0);
    play_for(p, 178999);
    assert_int_equal(play_stats(p).ctx_now, 1);
    play_for(p, 1);
    assert_int_equal(play_stats(p).ctx_now, 0);
    /* Detached while calling, or after CANCEL: the nearer end counts. */
    assert_int_equal(play_start(p, SIP_INVITE), 0);
    sip_ctx_detach(p->ctx);
    play_for(p, 32000);
    assert_int_equal(play_stats(p).ctx_now, 0);
    assert_int_equal(play_start(p, SIP_INVITE), 0);
    assert_int_equal(play_response(p, 180, "INVITE"), 0);
    sip_ctx_cancel(p->ctx, STR_NULL);
    sip_ctx_detach(p->ctx);
    play_for(p, 32000);
    assert_int_equal(play_stats(p).ctx_now, 0);
    play_free(p);
}

/* Buffers go back when they are not needed any more. */
static void test_given_back(void **state)
{
    struct play *p = play_new();
    struct buf *b;

    (void)state;
    assert_int_equal(play_start(p, SIP_INVITE), 0);
    b = p->sent; /* one reference ours, one the transaction's */
    assert_int_equal(b->refs, 2);
    assert_int_equal(play_response(p, 180, "INVITE"), 0);
    assert_int_equal(b->refs, 2);
    assert_int_equal(play_response(p, 200, "INVITE"), 0);
    assert_int_equal(b->refs, 1);
    assert_int_equal(play_start(p, SIP_INVITE), 0);
    b = buf_ref(p->sent);
    assert_int_equal(play_response(p, 486, "INVITE"), 0); /* now the ACK is kept and sent last */
    assert_int_equal(b->refs, 1);
    assert_int_equal(p->sent->refs, 2);
    buf_unref(b);
    assert_int_equal(play_start(p, SIP_BYE), 0);
    assert_int_equal(p->sent->refs, 2);
    assert_int_equal(play_response(p, 200, "BYE"), 0);
    assert_int_equal(p->sent->refs, 1);
    assert_int_equal(play_start_to(p, SIP_BYE, tcp_path()), 0);
    assert_int_equal(p->sent->refs, 1); /* never sent again */
    play_free(p);
}

static void test_not_started(void **state)
{
    struct play *p = play_new();
    struct sip_ctx_user u = {p, play_on_response, play_on_end, play_on_gone};
    struct sip_ctx *tx = sip_ctx_new(p->l, SIP_INVITE, &u);

    (void)state;
    assert_int_equal(play_response_branch(p, 200, "INVITE", sip_ctx_via_branch(tx)), 0);
    check_log(p, "0 stray 200\n");
    sip_ctx_detach(tx);
    play_until(p, 1);
    check_log(p, "");
    play_free(p);
}

static void detach_in_response(struct play *p, struct sip_ctx *tx, struct sip_msg *m)
{
    struct path to = *sip_ctx_path(tx);

    if (m->status == 183)
        sip_txl_path_failed(p->l, &to);
    sip_txl_flow_failed(p->l, to.flow);
    if (m->status >= 200) {
        sip_ctx_cancel(tx, STR("late"));
        sip_ctx_detach(tx);
    }
}

static void test_end_in_response(void **state)
{
    struct play *p = play_new();

    (void)state;
    p->in_response = detach_in_response;
    assert_int_equal(play_start_to(p, SIP_INVITE, tcp_path()), 0);
    sip_ctx_cancel(p->ctx, STR("r"));
    assert_int_equal(play_response(p, 180, "INVITE"), 0);
    check_log(p, "0 send INVITE\n0 response 180\n0 end transport\n0 gone\n");
    assert_int_equal(play_start_to(p, SIP_INVITE, tcp_path()), 0);
    assert_int_equal(play_response(p, 486, "INVITE"), 0);
    play_until(p, 1);
    check_log(p, "0 send INVITE\n0 send ACK\n0 response 486\n");
    assert_int_equal(play_start(p, SIP_OPTIONS), 0);
    assert_int_equal(play_response(p, 183, "OPTIONS"), 0);
    check_log(p, "1 send OPTIONS\n1 response 183\n1 end transport\n1 gone\n");
    assert_int_equal(play_stats(p).ctx_now, 0);
    assert_int_equal(play_stats(p).ctx_open, 0);
    play_free(p);
}

/* Branches: ours only with the right secret, in the right slot, for the right method; slots are reused under new names. */
static void test_branches(void **state)
{
    struct play *p = play_new();
    char copy[SIP_BRANCH_MAX + 1], first[SIP_BRANCH_MAX];
    struct str b;
    struct sip_ctx *tx;
    size_t i, n;

    (void)state;
    assert_int_equal(play_start(p, SIP_INVITE), 0);
    b = sip_ctx_via_branch(p->ctx);
    n = b.n;
    assert_int_equal(sip_branch_worker(b), 3);
    assert_true(sip_branch_loop_hash(b) == 0);
    memcpy(first, b.p, n);
    play_clear(p);
    for (i = 0; i < n; i++) { /* each byte wrong once */
        memcpy(copy, first, n);
        copy[i] = copy[i] == '0' ? '1' : '0';
        assert_int_equal(play_response_branch(p, 200, "INVITE", str_make(copy, n)), 0);
    }
    assert_int_equal(play_stats(p).strays, n);
    memcpy(copy, first, n);
    assert_int_equal(play_response_branch(p, 200, "INVITE", str_make(copy, n - 1)), 0);
    copy[n] = '0';
    assert_int_equal(play_response_branch(p, 200, "INVITE", str_make(copy, n + 1)), 0);
    assert_int_equal(play_response_branch(p, 200, "BYE", str_make(first, n)), 0);
    assert_int_equal(play_response_branch(p, 200, "CANCEL", str_make(first, n)), 0);
    memcpy(copy, "z9hG4bKsp03ffffff", 17);
    memcpy(copy + 17, first + 17, n - 17);
    assert_int_equal(play_response_branch(p, 200, "INVITE", str_make(copy, n)), 0);
    assert_int_equal(play_stats(p).strays, n + 5);
    play_clear(p);
    assert_int_equal(play_response_branch(p, 200, "INVITE", str_make(first, n)), 0);
    check_log(p, "0 response 200\n");
    play_until(p, 32000);
    play_clear(p);
    /* The slot again, under another name. */
    tx = p->ctx;
    assert_null(tx);
    assert_int_equal(play_start(p, SIP_INVITE), 0);
    b = sip_ctx_via_branch(p->ctx);
    assert_memory_equal(first, b.p, 17);
    assert_memory_not_equal(first, b.p, n);
    assert_int_equal(play_response_branch(p, 200, "INVITE", str_make(first, n)), 0);
    check_log(p, "32000 send INVITE\n32000 stray 200\n");
    play_free(p);
}

static void test_loop_hash(void **state)
{
    struct play *p = play_new();
    struct sip_ctx *tx = sip_ctx_new(p->l, SIP_INVITE, NULL);
    struct str b;

    (void)state;
    sip_ctx_set_loop_hash(tx, 0);
    assert_true(sip_branch_loop_hash(sip_ctx_via_branch(tx)) == 0);
    sip_ctx_set_loop_hash(tx, 0xfedcba9876543210u);
    b = sip_ctx_via_branch(tx);
    assert_int_equal(b.n, SIP_BRANCH_MAX);
    assert_true(sip_branch_loop_hash(b) == 0xfedcba9876543210u);
    assert_int_equal(sip_branch_worker(b), 3);
    assert_int_equal(sip_branch_worker(STR("")), -1);
    assert_int_equal(sip_branch_worker(STR_NULL), -1);
    assert_int_equal(sip_branch_worker(STR("z9hG4bKspzz0000000000000000000000")), -1);
    assert_int_equal(sip_branch_worker(STR("z9hG4bK-524287-1---abcdef01234567")), -1);
    assert_true(sip_branch_loop_hash(STR("z9hG4bKsp0300000000000000000000000123456789abcdeg")) == 0);
    sip_ctx_detach(tx);
    play_free(p);
}

static void test_limit(void **state)
{
    struct play *p = play_new_n(10);
    int i;

    (void)state;
    for (i = 0; i < 10; i++)
        assert_int_equal(play_start(p, SIP_INVITE), 0);
    check_err(play_start(p, SIP_INVITE), ERR_LIMIT);
    check_err(play_request(p, (struct play_req){.method = "INVITE"}), ERR_LIMIT);
    check_err(play_request(p, (struct play_req){.method = "ACK"}), 0);
    assert_int_equal(play_request(p, (struct play_req){.method = "CANCEL"}), 0); /* from the reserve */
    assert_int_equal(play_response(p, 180, "INVITE"), 0);
    play_clear(p);
    sip_ctx_cancel(p->ctx, STR_NULL); /* likewise */
    check_log(p, "0 send CANCEL\n");
    play_free(p);
}

/* A message read late or in one turn with its timer. */
static void test_late_clock(void **state)
{
    struct play *p = play_new();

    (void)state;
    assert_int_equal(play_start(p, SIP_INVITE), 0);
    assert_int_equal(play_response(p, 200, "INVITE"), 0);
    play_until(p, 1000000);
    check_log(p, "0 send INVITE\n0 response 200\n32000 gone\n");
    play_free(p);
}

static void test_start_twice(void **state)
{
    struct play *p = play_new();
    struct path to = play_path(TRANSPORT_UDP, "192.0.2.2:5060", 0);

    (void)state;
    assert_int_equal(play_start(p, SIP_METHOD_OTHER), 0);
    check_err(sip_ctx_start(p->ctx, p->sent, &to), ERR_INVALID);
    assert_int_equal(play_response(p, 200, "FOO"), 0);
    check_log(p, "0 send FOO\n0 response 200\n");
    play_free(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_invite_schedule),
        cmocka_unit_test(test_other_schedule),
        cmocka_unit_test(test_reliable_schedule),
        cmocka_unit_test(test_other_timers),
        cmocka_unit_test(test_invite_accepted),
        cmocka_unit_test(test_invite_refused),
        cmocka_unit_test(test_invite_refused_reliable),
        cmocka_unit_test(test_invite_ack_error),
        cmocka_unit_test(test_other_provisional),
        cmocka_unit_test(test_other_timeout_proceeding),
        cmocka_unit_test(test_cancel_before_provisional),
        cmocka_unit_test(test_cancel_after_provisional),
        cmocka_unit_test(test_cancel_reliable),
        cmocka_unit_test(test_cancel_race),
        cmocka_unit_test(test_cancel_cannot_send),
        cmocka_unit_test(test_cancel_in_callback),
        cmocka_unit_test(test_send_error),
        cmocka_unit_test(test_flow_failed),
        cmocka_unit_test(test_path_failed),
        cmocka_unit_test(test_path_failed_exact),
        cmocka_unit_test(test_ack_without_memory),
        cmocka_unit_test(test_failure_in_callback),
        cmocka_unit_test(test_detach),
        cmocka_unit_test(test_ringing),
        cmocka_unit_test(test_given_back),
        cmocka_unit_test(test_not_started),
        cmocka_unit_test(test_end_in_response),
        cmocka_unit_test(test_branches),
        cmocka_unit_test(test_loop_hash),
        cmocka_unit_test(test_limit),
        cmocka_unit_test(test_late_clock),
        cmocka_unit_test(test_start_twice),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

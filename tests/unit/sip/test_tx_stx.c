/* Server transactions (RFC 3261 17.2, 9.2; RFC 6026 7.1; RFC 4320): schedules to the millisecond, CANCEL, what is given back when.
 * Matching, and where responses go: test_tx_stx_match.c. */
#include "tx_stx_help.h"

/* 17.2.1: the layer's own 100 after 200 ms, the last provisional response for each repeated INVITE. */
static void test_invite_trying(void **state)
{
    struct play *p = play_new(), *other = play_new();

    (void)state;
    assert_int_equal(play_request(p, invite), 0);
    play_until(p, 199);
    check_log(p, "0 request INVITE\n");
    play_until(p, 200);
    check_log(p, "200 send 100 INVITE\n");
    assert_false(play_sent_has(p, "To: <sip:b@example.com>;tag"));
    assert_true(play_sent_has(p, ";received=192.0.2.1"));
    assert_true(play_sent_has(p, "rport=5060"));
    assert_int_equal(play_request(p, invite), 0);
    assert_int_equal(play_respond(p->stx, 180), 0);
    assert_int_equal(play_request(p, invite), 0);
    assert_int_equal(play_respond(p->stx, 183), 0);
    assert_int_equal(play_request(p, invite), 0);
    play_until(p, 500000);
    check_log(p, "200 send 100 INVITE\n200 send 180 INVITE\n200 send 180 INVITE\n200 send 183 INVITE\n200 send 183 INVITE\n");
    assert_false(sip_stx_is_final(p->stx));
    assert_int_equal(play_stats(p).stx_open, 1);
    assert_non_null(sip_stx_msg(p->stx));
    assert_true(sip_txl_has(p->l, sip_stx_msg(p->stx)));
    assert_false(sip_txl_has(other->l, sip_stx_msg(p->stx)));
    play_free(other);
    /* Answered in time: no 100; asked again before: one at once. */
    assert_int_equal(play_request(p, (struct play_req){.branch = "z9hG4bKb"}), 0);
    assert_int_equal(play_respond(p->stx, 180), 0);
    assert_int_equal(play_request(p, (struct play_req){.branch = "z9hG4bKc"}), 0);
    assert_int_equal(play_request(p, (struct play_req){.branch = "z9hG4bKc"}), 0);
    play_until(p, 600000);
    check_log(p, "500000 request INVITE\n500000 send 180 INVITE\n500000 request INVITE\n500000 send 100 INVITE\n");
    play_free(p);
}

/* RFC 6026 7.1: 2xx, more 2xx, INVITEs absorbed, ACKs up, timer L. */
static void test_invite_accepted(void **state)
{
    struct play *p = play_new();

    (void)state;
    assert_int_equal(play_request(p, invite), 0);
    sip_stx_set_upper(p->stx, (char[]){"call"});
    assert_int_equal(play_respond(p->stx, 200), 0);
    assert_true(sip_stx_is_final(p->stx));
    assert_int_equal(play_stats(p).stx_open, 0);
    assert_null(sip_stx_msg(p->stx));
    assert_null(sip_stx_rx(p->stx)->buf);
    assert_int_equal(play_request(p, invite), 0);
    assert_int_equal(play_respond(p->stx, 180), 0); /* ignored */
    check_err(play_respond(p->stx, 486), ERR_INVALID);
    play_until(p, 1000);
    assert_int_equal(play_respond(p->stx, 200), 0);
    assert_int_equal(play_request(p, ack), 0);
    assert_int_equal(play_request(p, ack), 0);
    play_until(p, 31999);
    check_log(p, "0 request INVITE\n0 send 200 INVITE\n1000 send 200 INVITE\n1000 ACK up\n1000 ACK up\n");
    sip_stx_set_upper(p->stx, NULL);
    play_until(p, 32000);
    check_log(p, "32000 over\n");
    assert_int_equal(play_stats(p).stx_now, 0);
    assert_int_equal(play_stats(p).stx_open, 0);
    assert_int_equal(play_request(p, ack), 0); /* of nothing any more */
    check_log(p, "32000 ACK up\n");
    play_free(p);
}

/* 17.2.1: G doubles up to T2, H ends it. */
static void test_invite_refused_no_ack(void **state)
{
    struct play *p = play_new();

    (void)state;
    assert_int_equal(play_request(p, invite), 0);
    sip_stx_set_upper(p->stx, (char[]){"call"});
    assert_int_equal(play_respond(p->stx, 486), 0);
    assert_null(sip_stx_msg(p->stx));
    play_until(p, 100000);
    check_log(p, "0 request INVITE\n0 send 486 INVITE\n500 send 486 INVITE\n1500 send 486 INVITE\n3500 send 486 INVITE\n"
                 "7500 send 486 INVITE\n11500 send 486 INVITE\n15500 send 486 INVITE\n19500 send 486 INVITE\n"
                 "23500 send 486 INVITE\n27500 send 486 INVITE\n31500 send 486 INVITE\n32000 failed timeout\n"
                 "32000 over call\n");
    assert_int_equal(play_stats(p).stx_now, 0);
    assert_int_equal(play_stats(p).stx_open, 0);
    assert_int_equal(play_stats(p).timeouts, 1);
    play_free(p);
}

/* An ACK with the INVITE's branch stops G; I absorbs; the response is repeated for a repeated INVITE. */
static void test_invite_refused(void **state)
{
    struct play *p = play_new();

    (void)state;
    assert_int_equal(play_request(p, invite), 0);
    assert_int_equal(play_respond(p->stx, 486), 0);
    check_err(play_respond(p->stx, 200), ERR_INVALID);
    check_err(play_respond(p->stx, 486), ERR_INVALID);
    assert_int_equal(play_respond(p->stx, 180), 0);
    play_until(p, 700);
    assert_int_equal(play_request(p, invite), 0);
    check_log(p, "0 request INVITE\n0 send 486 INVITE\n500 send 486 INVITE\n700 send 486 INVITE\n");
    assert_int_equal(play_request(p, ack), 0);
    assert_int_equal(play_request(p, ack), 0);
    assert_int_equal(play_request(p, invite), 0);
    play_until(p, 5699);
    assert_int_equal(play_request(p, ack), 0);
    check_log(p, "");
    play_until(p, 5700);
    check_log(p, "5700 over\n");
    play_free(p);
}

static void test_invite_refused_reliable(void **state)
{
    struct play *p = play_new();
    struct play_req i = invite, a = ack;

    (void)state;
    i.from = a.from = tcp_path();
    i.via = a.via = "TCP 192.0.2.1;rport";
    assert_int_equal(play_request(p, i), 0);
    assert_int_equal(play_respond(p->stx, 486), 0);
    play_until(p, 20000);
    check_log(p, "0 request INVITE\n0 send 486 INVITE\n");
    assert_true(p->sent_to.flow == 0x100000001);
    assert_int_equal(play_request(p, a), 0);
    play_until(p, 20001);
    check_log(p, "20000 over\n");
    assert_int_equal(play_request(p, i), 0);
    assert_int_equal(play_respond(p->stx, 486), 0);
    play_until(p, 100000);
    check_log(p, "20001 request INVITE\n20001 send 486 INVITE\n52001 failed timeout\n52001 over\n");
    play_free(p);
}

/* Figure 8 and RFC 4320 4.1: 100 when the client's timer E is at T2. */
static void test_other(void **state)
{
    struct play *p = play_new();

    (void)state;
    assert_int_equal(play_request(p, options), 0);
    play_until(p, 500);
    assert_int_equal(play_request(p, options), 0);
    play_until(p, 3499);
    check_err(play_respond(p->stx, 100), ERR_REFUSED);
    check_err(play_respond(p->stx, 183), ERR_REFUSED);
    check_err(play_respond(p->stx, 408), ERR_REFUSED);
    check_log(p, "0 request OPTIONS\n");
    play_until(p, 3500);
    assert_int_equal(play_request(p, options), 0);
    check_log(p, "3500 send 100 OPTIONS\n3500 send 100 OPTIONS\n");
    assert_int_equal(play_respond(p->stx, 100), 0);
    play_until(p, 10000);
    check_err(play_respond(p->stx, 408), ERR_REFUSED);
    assert_int_equal(play_respond(p->stx, 200), 0);
    assert_null(sip_stx_msg(p->stx));
    assert_int_equal(play_request(p, options), 0);
    check_err(play_respond(p->stx, 200), ERR_INVALID);
    check_err(play_respond(p->stx, 408), ERR_INVALID);
    assert_int_equal(play_respond(p->stx, 100), 0);
    play_until(p, 41999);
    assert_int_equal(play_request(p, options), 0);
    check_log(p, "3500 send 100 INVITE\n10000 send 200 INVITE\n10000 send 200 INVITE\n41999 send 200 INVITE\n");
    play_until(p, 42000);
    check_log(p, "42000 over\n");
    play_free(p);
}

static void test_other_reliable(void **state)
{
    struct play *p = play_new();
    struct play_req o = options;

    (void)state;
    o.from = tcp_path();
    assert_int_equal(play_request(p, o), 0);
    assert_int_equal(play_respond(p->stx, 100), 0); /* may be sent at any time */
    assert_int_equal(play_respond(p->stx, 404), 0);
    play_until(p, 1);
    check_log(p, "0 request OPTIONS\n0 send 100 INVITE\n0 send 404 INVITE\n0 over\n");
    assert_int_equal(play_request(p, o), 0);
    play_until(p, 3501);
    check_log(p, "1 request OPTIONS\n3501 send 100 OPTIONS\n");
    play_until(p, 32002);
    check_log(p, "32001 over\n");
    assert_int_equal(play_stats(p).stx_now, 0);
    assert_int_equal(play_stats(p).stx_open, 0);
    play_free(p);
}

/* 4320 4.2: unanswered after 64*T1 it is over for the user, but a straggling repetition is no new request. */
static void test_other_over(void **state)
{
    struct play *p = play_new();

    (void)state;
    assert_int_equal(play_request(p, options), 0);
    play_until(p, 32000);
    check_log(p, "0 request OPTIONS\n3500 send 100 OPTIONS\n32000 over\n");
    play_until(p, 36999);
    assert_int_equal(play_request(p, options), 0);
    check_log(p, "");
    assert_int_equal(play_stats(p).stx_now, 1);
    play_until(p, 37000);
    check_log(p, "");
    assert_int_equal(play_stats(p).stx_now, 0);
    assert_int_equal(play_stats(p).stx_open, 0);
    play_free(p);
}

static void test_drop(void **state)
{
    struct play *p = play_new();

    (void)state;
    assert_int_equal(play_request(p, options), 0);
    sip_stx_drop(p->stx);
    assert_null(sip_stx_msg(p->stx));
    assert_int_equal(play_request(p, options), 0);
    play_until(p, 31999);
    assert_int_equal(play_request(p, options), 0);
    play_until(p, 32000);
    check_log(p, "0 request OPTIONS\n");
    assert_int_equal(play_stats(p).stx_now, 0);
    assert_int_equal(play_stats(p).stx_open, 0);
    assert_int_equal(play_request(p, invite), 0);
    sip_stx_drop(p->stx);
    assert_int_equal(play_request(p, invite), 0);
    play_until(p, 64000);
    check_log(p, "32000 request INVITE\n");
    assert_int_equal(play_stats(p).stx_now, 0);
    assert_int_equal(play_stats(p).stx_open, 0);
    /* After the final response: only the news end. */
    assert_int_equal(play_request(p, invite), 0);
    assert_int_equal(play_respond(p->stx, 486), 0);
    sip_stx_drop(p->stx);
    play_until(p, 64500);
    check_log(p, "64000 request INVITE\n64000 send 486 INVITE\n64500 send 486 INVITE\n");
    play_until(p, 100000);
    assert_int_equal(play_stats(p).stx_now, 0);
    assert_int_equal(play_stats(p).stx_open, 0);
    assert_null(strstr(p->log, "over"));
    assert_null(strstr(p->log, "failed"));
    play_free(p);
}

static void test_statuses(void **state)
{
    struct play *p = play_new();

    (void)state;
    assert_int_equal(play_request(p, invite), 0);
    check_err(play_respond(p->stx, 99), ERR_INVALID);
    check_err(play_respond(p->stx, 700), ERR_INVALID);
    check_err(sip_stx_respond(p->stx, 200, NULL), ERR_INVALID);
    check_log(p, "0 request INVITE\n");
    assert_int_equal(play_respond(p->stx, 408), 0); /* an INVITE may have one */
    play_free(p);
}

static void test_reply(void **state)
{
    struct play *p = play_new();
    char tag[40];
    struct str t;

    (void)state;
    assert_int_equal(play_request(p, invite), 0);
    t = sip_stx_to_tag(p->stx);
    assert_true(t.n >= 12);
    snprintf(tag, sizeof tag, "To: <sip:b@example.com>;tag=%.*s\r\n", STR_FMT(t));
    assert_int_equal(reply(p->stx, 180), 0);
    assert_true(play_sent_has(p, "SIP/2.0 180 Ringing\r\n"));
    assert_true(play_sent_has(p, tag));
    assert_true(play_sent_has(p, ";received=192.0.2.1"));
    assert_int_equal(reply(p->stx, 404), 0);
    assert_true(play_sent_has(p, tag));
    check_err(reply(p->stx, 404), ERR_INVALID);
    assert_int_equal(play_request(p, (struct play_req){.method = "BYE", .to_tag = "mine"}), 0);
    check_err(reply(p->stx, 408), ERR_REFUSED);
    assert_int_equal(reply(p->stx, 481), 0);
    assert_true(play_sent_has(p, "To: <sip:b@example.com>;tag=mine\r\n"));
    play_free(p);
}

/* 9.2: 200 to the CANCEL with the To tag of the INVITE's responses; 481 when there is nothing to cancel. */
static void test_cancel(void **state)
{
    struct play *p = play_new();
    struct sip_stx *tx;
    char tag[40];
    struct str t;

    (void)state;
    assert_int_equal(play_request(p, invite), 0);
    tx = p->stx;
    t = sip_stx_to_tag(tx);
    snprintf(tag, sizeof tag, ";tag=%.*s\r\n", STR_FMT(t));
    assert_int_equal(play_request(p, cancel), 0);
    check_log(p, "0 request INVITE\n0 send 200 CANCEL\n0 request CANCEL of an INVITE\n");
    assert_ptr_equal(p->invite, tx);
    assert_true(sip_stx_is_final(p->stx));
    assert_true(play_sent_has(p, tag));
    assert_int_equal(play_request(p, cancel), 0); /* repeated */
    check_log(p, "0 send 200 CANCEL\n");
    assert_int_equal(reply(tx, 487), 0);
    assert_int_equal(play_request(p, ack), 0);
    check_log(p, "0 send 487 INVITE\n");
    play_until(p, 5000);
    check_log(p, "5000 over\n");
    assert_int_equal(play_request(p, (struct play_req){.method = "CANCEL", .branch = "z9hG4bKb"}), 0);
    check_log(p, "5000 send 481 CANCEL\n5000 request CANCEL\n");
    play_until(p, 100000);
    assert_int_equal(play_stats(p).stx_now, 0);
    assert_int_equal(play_stats(p).stx_open, 0);
    play_free(p);
}

/* CANCEL of what is answered already, of another method, and by a stranger (22.1: the same hop only). */
static void test_cancel_no_effect(void **state)
{
    struct play *p = play_new();
    struct path other = play_path(TRANSPORT_UDP, "192.0.2.66:5060", 0), moved = play_path(TRANSPORT_UDP, "192.0.2.1:5099", 0);
    struct play_req c = cancel;

    (void)state;
    assert_int_equal(play_request(p, invite), 0);
    c.from = &other;
    assert_int_equal(play_request(p, c), 0);
    check_log(p, "0 request INVITE\n0 send 481 CANCEL\n0 request CANCEL\n");
    play_until(p, 50000);
    play_clear(p);
    c.from = &moved;
    assert_int_equal(play_request(p, c), 0);
    check_log(p, "50000 send 200 CANCEL\n50000 request CANCEL of an INVITE\n");
    assert_int_equal(play_respond(p->invite, 200), 0);
    play_until(p, 81999);
    play_clear(p);
    assert_int_equal(play_request(p, (struct play_req){.method = "OPTIONS", .branch = "z9hG4bKb"}), 0);
    assert_int_equal(play_request(p, (struct play_req){.method = "CANCEL", .branch = "z9hG4bKb"}), 0);
    check_log(p, "81999 request OPTIONS\n81999 send 200 CANCEL\n81999 request CANCEL\n");
    assert_null(p->invite);
    play_free(p);
}

/* On streams the connection is the hop, and a new one from the same host. */
static void test_cancel_hops(void **state)
{
    static const struct {
        const char *remote;
        flow_id flow;
        enum transport t;
        bool same;
    } v[] = {
        {"192.0.2.1:33000", 0x100000001, TRANSPORT_TCP, true},  {"192.0.2.1:33001", 0x100000002, TRANSPORT_TCP, true},
        {"192.0.2.5:33000", 0x100000001, TRANSPORT_TCP, true},  {"192.0.2.5:33000", 0x100000002, TRANSPORT_TCP, false},
        {"192.0.2.1:33000", 0x100000001, TRANSPORT_TLS, false},
    };
    size_t i;

    (void)state;
    for (i = 0; i < ARRAY_LEN(v); i++) {
        struct play *p = play_new();
        struct path from = play_path(v[i].t, v[i].remote, v[i].flow);

        assert_int_equal(play_request(p, (struct play_req){.from = tcp_path()}), 0);
        assert_int_equal(play_request(p, (struct play_req){.method = "CANCEL", .from = &from}), 0);
        assert_int_equal(p->invite != NULL, v[i].same);
        assert_true(play_sent_has(p, v[i].same ? "SIP/2.0 200 " : "SIP/2.0 481 "));
        play_free(p);
    }
}

/* The response is kept only where it may have to be sent again. */
static void test_given_back(void **state)
{
    struct play *p = play_new();
    struct buf *ringing;

    (void)state;
    assert_int_equal(play_request(p, invite), 0);
    assert_int_equal(play_respond(p->stx, 180), 0);
    ringing = buf_ref(p->sent);
    assert_int_equal(ringing->refs, 3);
    assert_int_equal(play_respond(p->stx, 200), 0);
    assert_int_equal(p->sent->refs, 1);
    assert_int_equal(ringing->refs, 1);
    buf_unref(ringing);
    assert_int_equal(play_request(p, (struct play_req){.branch = "z9hG4bKb"}), 0);
    assert_int_equal(play_respond(p->stx, 486), 0);
    assert_int_equal(p->sent->refs, 2);
    assert_int_equal(play_request(p, (struct play_req){.method = "ACK", .branch = "z9hG4bKb"}), 0);
    assert_int_equal(p->sent->refs, 1);
    assert_int_equal(play_request(p, (struct play_req){.branch = "z9hG4bKc"}), 0);
    assert_int_equal(play_respond(p->stx, 180), 0);
    sip_stx_drop(p->stx);
    assert_int_equal(p->sent->refs, 1);
    assert_int_equal(play_request(p, options), 0);
    assert_int_equal(play_respond(p->stx, 200), 0);
    assert_int_equal(p->sent->refs, 2);
    assert_int_equal(play_request(p, (struct play_req){.method = "BYE", .from = tcp_path()}), 0);
    assert_int_equal(play_respond(p->stx, 100), 0);
    assert_int_equal(p->sent->refs, 2);
    assert_int_equal(play_respond(p->stx, 200), 0);
    assert_int_equal(p->sent->refs, 1);
    play_free(p);
}

static void test_cancel_after_final(void **state)
{
    struct play *p = play_new();

    (void)state;
    assert_int_equal(play_request(p, invite), 0);
    assert_int_equal(play_respond(p->stx, 200), 0);
    assert_int_equal(play_request(p, cancel), 0);
    check_log(p, "0 request INVITE\n0 send 200 INVITE\n0 send 200 CANCEL\n0 request CANCEL of an INVITE\n");
    assert_true(sip_stx_is_final(p->invite));
    play_free(p);
}

/* ---- calls from inside callbacks ---- */

static void answer_at_once(struct play *p, struct sip_stx *tx, struct sip_msg *m)
{
    char text[20];

    if (m->method != SIP_CANCEL)
        assert_int_equal(reply(tx, 404), 0);
    assert_null(sip_stx_msg(tx));
    /* The message is readable until we return, whatever happens inside. */
    assert_int_equal(play_request(p, (struct play_req){.method = "ACK", .branch = "z9hG4bKx"}), 0);
    assert_true(str_copy_z(text, sizeof text, m->call_id) == 0);
    assert_string_equal(text, "c1");
    assert_int_equal(m->via.branch.n, 8);
}

static void test_answer_inside(void **state)
{
    struct play *p = play_new();

    (void)state;
    p->in_request = answer_at_once;
    assert_int_equal(play_request(p, invite), 0);
    assert_int_equal(play_request(p, options), 0);
    assert_int_equal(play_request(p, cancel), 0);
    assert_int_equal(play_request(p, ack), 0);
    play_until(p, 50000);
    assert_int_equal(play_stats(p).stx_now, 0);
    assert_int_equal(play_stats(p).stx_open, 0);
    play_free(p);
}

static void drop_at_once(struct play *p, struct sip_stx *tx, struct sip_msg *m)
{
    (void)p;
    (void)m;
    sip_stx_drop(tx);
    sip_stx_drop(tx);
    check_err(reply(tx, 404), ERR_INVALID);
    check_err(play_respond(tx, 404), ERR_INVALID);
}

static void test_drop_inside(void **state)
{
    struct play *p = play_new();

    (void)state;
    p->in_request = drop_at_once;
    assert_int_equal(play_request(p, invite), 0);
    assert_int_equal(play_request(p, options), 0);
    assert_int_equal(play_request(p, (struct play_req){.method = "INFO", .from = tcp_path()}), 0);
    assert_int_equal(play_request(p, cancel), 0);
    play_until(p, 50000);
    check_log(p, "0 request INVITE\n0 request OPTIONS\n0 request INFO\n0 send 200 CANCEL\n0 request CANCEL of an INVITE\n");
    assert_int_equal(play_stats(p).stx_now, 0);
    assert_int_equal(play_stats(p).stx_open, 0);
    play_free(p);
}

static void forget_at_once(struct play *p, struct sip_stx *tx, struct sip_msg *m)
{
    (void)p;
    (void)m;
    sip_stx_forget(tx); /* not final yet: nothing */
    assert_false(sip_stx_is_final(tx));
    check_err(play_respond(tx, 200), 0);
    sip_stx_forget(tx);
    assert_true(sip_stx_is_final(tx));
}

/* 8.2.7: answered and gone; a repetition comes up as a new request. An INVITE is not forgotten. */
static void test_forget(void **state)
{
    struct play *p = play_new();

    (void)state;
    p->in_request = forget_at_once;
    assert_int_equal(play_request(p, options), 0);
    assert_int_equal(play_stats(p).stx_now, 0);
    assert_int_equal(play_request(p, options), 0);
    assert_int_equal(play_stats(p).stx_made, 2);
    assert_int_equal(play_stats(p).retransmits_in, 0);
    assert_int_equal(play_request(p, invite), 0);
    assert_int_equal(play_stats(p).stx_now, 1);
    play_free(p);
}

static void test_limit(void **state)
{
    struct play *p = play_new_n(3);
    char b[20];
    int i;

    (void)state;
    for (i = 0; i < 3; i++) {
        snprintf(b, sizeof b, "z9hG4bK%d", i);
        assert_int_equal(play_request(p, (struct play_req){.branch = b}), 0);
    }
    check_err(play_request(p, (struct play_req){.branch = "z9hG4bKx"}), ERR_LIMIT);
    assert_int_equal(play_request(p, (struct play_req){.branch = "z9hG4bK2"}), 0);
    assert_int_equal(play_request(p, (struct play_req){.branch = "z9hG4bK2", .method = "CANCEL"}), 0);
    assert_null(sip_ctx_new(p->l, SIP_INVITE, NULL));
    play_free(p);
}

static void test_states_text(void **state)
{
    static char text[20000];
    struct sbuf b = sbuf_make(text, sizeof text - 1);

    (void)state;
    sip_tx_states(&b);
    assert_false(b.overflow);
    text[b.n] = '\0';
    assert_non_null(strstr(text, "INVITE server      Proceeding  2xx from user      -> Accepted    send response, timer L\n"));
    assert_non_null(strstr(text, "other client       Completed   300-699            ignored\n"));
    assert_non_null(strstr(text, "INVITE client      Accepted    timer B/D/F/K/M    -> Terminated  -\n"));
}

static void test_new_bad(void **state)
{
    struct play *p = play_new();

    (void)state;
    assert_null(sip_txl_new(&p->user, p->w, &p->rand, 256, 10));
    assert_null(sip_txl_new(&p->user, p->w, &p->rand, 0, 0));
    assert_null(sip_txl_new(&p->user, p->w, &p->rand, 0, (size_t)1 << 40));
    sip_txl_free(NULL);
    play_free(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_invite_trying),
        cmocka_unit_test(test_invite_accepted),
        cmocka_unit_test(test_invite_refused_no_ack),
        cmocka_unit_test(test_invite_refused),
        cmocka_unit_test(test_invite_refused_reliable),
        cmocka_unit_test(test_other),
        cmocka_unit_test(test_other_reliable),
        cmocka_unit_test(test_other_over),
        cmocka_unit_test(test_drop),
        cmocka_unit_test(test_statuses),
        cmocka_unit_test(test_reply),
        cmocka_unit_test(test_cancel),
        cmocka_unit_test(test_cancel_no_effect),
        cmocka_unit_test(test_cancel_hops),
        cmocka_unit_test(test_given_back),
        cmocka_unit_test(test_cancel_after_final),
        cmocka_unit_test(test_answer_inside),
        cmocka_unit_test(test_drop_inside),
        cmocka_unit_test(test_forget),
        cmocka_unit_test(test_limit),
        cmocka_unit_test(test_states_text),
        cmocka_unit_test(test_new_bad),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

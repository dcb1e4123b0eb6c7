/* Server transactions (RFC 3261 17.2, 9.2, 18.2.2; RFC 6026 7.1; RFC 4320; RFC 3581): schedules to the millisecond, matching,
 * CANCEL, where responses go, what is given back when. */
#include "tx_play.h"

static const struct path *tcp_path(void)
{
    static struct path p;

    p = play_path(TRANSPORT_TCP, "192.0.2.1:33000", 0x100000001);
    return &p;
}

static const struct play_req invite = {.method = "INVITE"};
static const struct play_req ack = {.method = "ACK"};
static const struct play_req cancel = {.method = "CANCEL"};
static const struct play_req options = {.method = "OPTIONS"};

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

static int reply(struct sip_stx *tx, unsigned status)
{
    struct sip_response r = {.status = status};

    return sip_stx_reply(tx, &r);
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

/* 17.2.3: branch, sent-by (host in any case, port with its default) and method. */
static void test_matching(void **state)
{
    struct play *p = play_new();

    (void)state;
    assert_int_equal(play_request(p, (struct play_req){.via = "UDP edge.Example.com;rport"}), 0);
    assert_int_equal(play_request(p, (struct play_req){.via = "UDP EDGE.example.com:5060;rport"}), 0);
    check_log(p, "0 request INVITE\n0 send 100 INVITE\n");
    /* Other port, host, branch, method: new ones (a merged request is the user's business, 8.2.2.2). */
    assert_int_equal(play_request(p, (struct play_req){.via = "UDP edge.example.com:5061;rport"}), 0);
    assert_int_equal(play_request(p, (struct play_req){.via = "UDP edge2.example.com;rport"}), 0);
    assert_int_equal(play_request(p, (struct play_req){.via = "UDP edge.example.com;rport", .branch = "z9hG4bKA"}), 0);
    assert_int_equal(play_request(p, (struct play_req){.via = "UDP edge.example.com;rport", .method = "INFO"}), 0);
    assert_int_equal(play_request(p, (struct play_req){.via = "UDP edge.example.com;rport", .method = "FOO"}), 0);
    assert_int_equal(play_request(p, (struct play_req){.via = "UDP edge.example.com;rport", .method = "BAR"}), 0);
    assert_int_equal(play_request(p, (struct play_req){.via = "UDP edge.example.com;rport", .method = "FOO"}), 0);
    check_log(p, "0 request INVITE\n0 request INVITE\n0 request INVITE\n0 request INFO\n0 request FOO\n0 request BAR\n");
    /* What is not compared may differ. */
    assert_int_equal(play_request(p, (struct play_req){.via = "UDP edge.example.com;rport", .ruri = "sip:x@example.org",
                                                       .call_id = "c2", .cseq = 7, .from_tag = "g"}), 0);
    check_log(p, "0 send 100 INVITE\n");
    assert_int_equal(play_stats(p).stx_now, 7);
    assert_int_equal(play_stats(p).retransmits_in, 3);
    play_free(p);
}

/* The port that a sent-by leaves out is that of its transport. */
static void test_matching_default_port(void **state)
{
    struct play *p = play_new();

    (void)state;
    assert_int_equal(play_request(p, (struct play_req){.via = "TLS h.example.com", .from = tcp_path()}), 0);
    assert_int_equal(play_request(p, (struct play_req){.via = "TLS h.example.com:5061", .from = tcp_path()}), 0);
    check_log(p, "0 request INVITE\n0 send 100 INVITE\n");
    assert_int_equal(play_request(p, (struct play_req){.via = "TLS h.example.com:5060", .from = tcp_path()}), 0);
    assert_int_equal(play_request(p, (struct play_req){.via = "SCTP h.example.com", .from = tcp_path()}), 0);
    check_log(p, "0 request INVITE\n0 send 100 INVITE\n"); /* of an unknown one: 5060 */
    play_free(p);
}

/* The request stays readable after its final response, until the next message. */
static void test_request_given_back(void **state)
{
    struct play *p = play_new();
    struct path from = play_path(TRANSPORT_UDP, "192.0.2.1:5060", 0);
    struct buf *b = buf_copy(STR("OPTIONS sip:b@x SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKz\r\n"
                                 "From: <sip:a@x>;tag=f\r\nTo: <sip:b@x>\r\nCall-ID: c1\r\nCSeq: 1 OPTIONS\r\n"
                                 "Max-Forwards: 70\r\nContent-Length: 0\r\n\r\n"));
    struct rx rx = {.path = from, .buf = b, .hop = &play_hop};
    struct arena *a = sip_txl_arena(p->l);
    struct sip_msg *m;
    struct reason why;

    (void)state;
    assert_non_null(b);
    assert_int_equal(sip_msg_parse(a, buf_str(b), &m, &why), 0);
    assert_int_equal(sip_txl_receive(p->l, m, &rx), 0);
    assert_ptr_equal(sip_stx_msg(p->stx), m);
    assert_ptr_equal(sip_stx_rx(p->stx)->buf, b);
    assert_true(sip_stx_rx(p->stx)->hop != &play_hop && !sip_stx_rx(p->stx)->hop->secure);
    assert_int_equal(play_respond(p->stx, 200), 0);
    assert_int_equal(b->refs, 2);
    check_str(m->call_id, "c1");
    assert_int_equal(play_request(p, ack), 0);
    assert_int_equal(b->refs, 1);
    buf_unref(b);
    play_free(p);
}

/* A long branch and a long sent-by match exactly too. */
static void test_matching_long(void **state)
{
    struct play *p = play_new();
    char branch[2001];

    (void)state;
    memset(branch, 'x', sizeof branch);
    memcpy(branch, "z9hG4bK", 7);
    branch[2000] = '\0';
    assert_int_equal(play_request(p, (struct play_req){.branch = branch}), 0);
    assert_int_equal(play_request(p, (struct play_req){.branch = branch}), 0);
    check_log(p, "0 request INVITE\n0 send 100 INVITE\n");
    branch[1999] = 'y';
    assert_int_equal(play_request(p, (struct play_req){.branch = branch}), 0);
    check_log(p, "0 request INVITE\n");
    play_free(p);
}

/* RFC 2543 clients: no branch, a branch without the cookie, or (RFC 4475 3.2.1) with the cookie alone. */
static void test_old_clients(void **state)
{
    static const char *const branches[] = {"", "1", "z9hG4bK"};
    size_t i;

    (void)state;
    for (i = 0; i < ARRAY_LEN(branches); i++) {
        struct play *p = play_new();
        const char *b = branches[i];
        struct sip_stx *tx;

        assert_int_equal(play_request(p, (struct play_req){.branch = b}), 0);
        tx = p->stx;
        assert_int_equal(play_request(p, (struct play_req){.branch = b}), 0);
        check_log(p, "0 request INVITE\n0 send 100 INVITE\n");
        /* Each part of the key. */
        assert_int_equal(play_request(p, (struct play_req){.branch = b, .ruri = "sip:c@example.com"}), 0);
        assert_int_equal(play_request(p, (struct play_req){.branch = b, .to_tag = "x"}), 0);
        assert_int_equal(play_request(p, (struct play_req){.branch = b, .from_tag = "x"}), 0);
        assert_int_equal(play_request(p, (struct play_req){.branch = b, .call_id = "x"}), 0);
        assert_int_equal(play_request(p, (struct play_req){.branch = b, .cseq = 2}), 0);
        assert_int_equal(play_request(p, (struct play_req){.branch = b, .via = "UDP 192.0.2.7"}), 0);
        assert_int_equal(play_request(p, (struct play_req){.branch = b, .method = "BYE"}), 0);
        assert_int_equal(play_request(p, (struct play_req){.branch = b, .method = "BYE"}), 0);
        check_log(p, "0 request INVITE\n0 request INVITE\n0 request INVITE\n0 request INVITE\n0 request INVITE\n"
                     "0 request INVITE\n0 request BYE\n");
        assert_int_equal(play_request(p, (struct play_req){.branch = b, .method = "CANCEL"}), 0);
        check_log(p, "0 send 200 CANCEL\n0 request CANCEL of an INVITE\n");
        assert_ptr_equal(p->invite, tx);
        assert_int_equal(play_request(p, (struct play_req){.branch = b, .method = "CANCEL", .to_tag = "y"}), 0);
        check_log(p, "0 send 481 CANCEL\n0 request CANCEL\n");
        assert_int_equal(play_request(p, (struct play_req){.branch = b, .cseq = 3, .method = "INFO"}), 0);
        assert_int_equal(play_request(p, (struct play_req){.branch = b, .cseq = 3, .method = "CANCEL"}), 0);
        check_log(p, "0 request INFO\n0 send 200 CANCEL\n0 request CANCEL\n");
        assert_int_equal(play_respond(tx, 487), 0);
        /* The ACK: To tag of the response (play_respond gives ;tag=t). */
        assert_int_equal(play_request(p, (struct play_req){.branch = b, .method = "ACK"}), 0);
        assert_int_equal(play_request(p, (struct play_req){.branch = b, .method = "ACK", .to_tag = "other"}), 0);
        check_log(p, "0 send 487 INVITE\n0 ACK up\n0 ACK up\n");
        assert_int_equal(play_request(p, (struct play_req){.branch = b, .method = "ACK", .to_tag = "t"}), 0);
        play_clear(p);
        play_until(p, 5000); /* timer G of the INVITE is over, the others answered with 100 */
        assert_null(strstr(p->log, "487"));
        play_free(p);
    }
}

static void test_ack_strays(void **state)
{
    struct play *p = play_new();

    (void)state;
    assert_int_equal(play_request(p, ack), 0);
    check_log(p, "0 ACK up\n");
    assert_int_equal(play_request(p, invite), 0);
    assert_int_equal(play_request(p, ack), 0); /* nothing to acknowledge yet */
    check_log(p, "0 request INVITE\n");
    assert_int_equal(play_request(p, (struct play_req){.method = "ACK", .branch = "z9hG4bKb"}), 0);
    check_log(p, "0 ACK up\n");
    play_free(p);
}

/* ---- where responses go ---- */

static void check_to(struct play *p, const char *expected)
{
    char text[ADDR_TEXT_MAX];

    check_str(addr_text(&p->sent_to.remote, text), expected);
}

static void test_routing_udp(void **state)
{
    struct play *p = play_new();
    struct path nat = play_path(TRANSPORT_UDP, "192.0.2.9:40000", 0);

    (void)state;
    /* RFC 3581 4: rport. */
    assert_int_equal(play_request(p, (struct play_req){.branch = "z9hG4bKr1", .via = "UDP 10.0.0.1:5070;rport", .from = &nat}), 0);
    assert_int_equal(reply(p->stx, 404), 0);
    check_to(p, "192.0.2.9:40000");
    play_until(p, 500);
    check_to(p, "192.0.2.9:40000");
    /* 18.2.2: received and the port of the sent-by, or 5060. */
    assert_int_equal(play_request(p, (struct play_req){.branch = "z9hG4bKr2", .via = "UDP 10.0.0.1:5070", .from = &nat}), 0);
    assert_int_equal(reply(p->stx, 180), 0);
    check_to(p, "192.0.2.9:5070");
    assert_true(addr_eq(&p->sent_to.local, &nat.local));
    assert_int_equal(play_request(p, (struct play_req){.branch = "z9hG4bKr3", .via = "UDP pc.example.com", .from = &nat}), 0);
    assert_int_equal(reply(p->stx, 180), 0);
    check_to(p, "192.0.2.9:5060");
    /* maddr only where that is allowed, and never to a group. */
    assert_int_equal(play_request(p, (struct play_req){.branch = "z9hG4bKr4", .via = "UDP 10.0.0.2:5070;maddr=192.0.2.77", .from = &nat}), 0);
    assert_int_equal(reply(p->stx, 180), 0);
    check_to(p, "192.0.2.9:5070");
    sip_txl_allow_maddr(p->l, true);
    assert_int_equal(play_request(p, (struct play_req){.branch = "z9hG4bKr5", .via = "UDP 10.0.0.3:5070;maddr=192.0.2.77;rport", .from = &nat}), 0);
    assert_int_equal(reply(p->stx, 180), 0);
    check_to(p, "192.0.2.77:5070");
    assert_int_equal(play_request(p, (struct play_req){.branch = "z9hG4bKr6", .via = "UDP 10.0.0.4:5070;maddr=224.0.1.75", .from = &nat}), 0);
    assert_int_equal(reply(p->stx, 180), 0);
    check_to(p, "192.0.2.9:5070");
    assert_int_equal(play_request(p, (struct play_req){.branch = "z9hG4bKr7", .via = "UDP 10.0.0.5:5070;maddr=a.example.com", .from = &nat}), 0);
    assert_int_equal(reply(p->stx, 180), 0);
    check_to(p, "192.0.2.9:5070");
    play_free(p);
}

/* The connection is gone: another one to the source address and the sent-by port is tried (18.2.2), not for WebSocket. */
static void test_routing_streams(void **state)
{
    struct play *p = play_new();
    struct path ws = play_path(TRANSPORT_WSS, "192.0.2.1:33000", 0x100000002),
                tls = play_path(TRANSPORT_TLS, "192.0.2.1:33000", 0x100000003);

    (void)state;
    assert_int_equal(play_request(p, (struct play_req){.via = "TCP 10.0.0.1:5070", .from = tcp_path()}), 0);
    assert_int_equal(reply(p->stx, 180), 0);
    assert_true(p->sent_to.flow == tcp_path()->flow);
    check_to(p, "192.0.2.1:33000");
    p->send_err = ERR_CLOSED;
    p->send_fails = 1;
    play_clear(p);
    assert_int_equal(reply(p->stx, 486), 0);
    check_log(p, "0 cannot send 486 INVITE\n0 send 486 INVITE\n");
    assert_true(p->sent_to.flow == 0);
    check_to(p, "192.0.2.1:5070");
    assert_int_equal(play_request(p, (struct play_req){.via = "TLS 10.0.0.1", .from = &tls}), 0);
    p->send_err = ERR_CLOSED;
    p->send_fails = 1;
    assert_int_equal(reply(p->stx, 180), 0);
    check_to(p, "192.0.2.1:5061");
    assert_int_equal(play_request(p, (struct play_req){.via = "WSS df7jal23ls0d.invalid", .from = &ws}), 0);
    p->send_err = ERR_CLOSED;
    play_clear(p);
    assert_int_equal(reply(p->stx, 180), 0);
    check_log(p, "0 cannot send 180 INVITE\n");
    play_free(p);
}

/* RFC 6026 8.8: said to the user (later, once), and the transaction stays. */
static void test_send_error(void **state)
{
    struct play *p = play_new();

    (void)state;
    p->send_err = ERR_IO;
    assert_int_equal(play_request(p, invite), 0);
    assert_int_equal(play_respond(p->stx, 180), 0);
    play_until(p, 1);
    assert_int_equal(play_respond(p->stx, 486), 0);
    check_log(p, "0 request INVITE\n0 cannot send 180 INVITE\n1 cannot send 486 INVITE\n");
    play_until(p, 2);
    check_log(p, "1 failed transport\n");
    play_until(p, 501);
    check_log(p, "501 cannot send 486 INVITE\n");
    p->send_err = 0;
    assert_int_equal(play_request(p, invite), 0);
    play_until(p, 32001);
    assert_null(strstr(p->log, "failed"));
    assert_non_null(strstr(p->log, "32001 over\n"));
    play_free(p);
}

static void test_send_error_accepted(void **state)
{
    struct play *p = play_new();

    (void)state;
    assert_int_equal(play_request(p, invite), 0);
    p->send_err = ERR_IO;
    assert_int_equal(play_respond(p->stx, 200), 0);
    play_until(p, 1);
    check_log(p, "0 request INVITE\n0 cannot send 200 INVITE\n0 failed transport\n");
    assert_int_equal(play_respond(p->stx, 200), 0);
    p->send_err = 0;
    assert_int_equal(play_respond(p->stx, 200), 0);
    play_until(p, 32000);
    check_log(p, "1 cannot send 200 INVITE\n1 send 200 INVITE\n32000 over\n");
    /* Lost, but the ACK came all the same. */
    assert_int_equal(play_request(p, (struct play_req){.branch = "z9hG4bKb"}), 0);
    p->send_err = ERR_IO;
    assert_int_equal(play_respond(p->stx, 486), 0);
    p->send_err = 0;
    assert_int_equal(play_request(p, (struct play_req){.method = "ACK", .branch = "z9hG4bKb"}), 0);
    play_until(p, 40000);
    check_log(p, "32000 request INVITE\n32000 cannot send 486 INVITE\n37000 over\n");
    play_free(p);
}

static void test_flow_failed(void **state)
{
    struct play *p = play_new();
    struct path udp = play_path(TRANSPORT_UDP, "192.0.2.1:5060", 0);
    struct path nat = play_path(TRANSPORT_UDP, "192.0.2.9:40000", 0), back = play_path(TRANSPORT_UDP, "192.0.2.9:5070", 0);

    (void)state;
    assert_int_equal(play_request(p, (struct play_req){.via = "TCP 10.0.0.1", .from = tcp_path()}), 0);
    assert_int_equal(play_respond(p->stx, 486), 0);
    assert_int_equal(play_request(p, invite), 0);
    assert_int_equal(play_respond(p->stx, 486), 0);
    assert_int_equal(play_request(p, (struct play_req){.via = "UDP 10.0.0.1:5070", .from = &nat}), 0);
    assert_int_equal(play_respond(p->stx, 486), 0);
    play_clear(p);
    sip_txl_path_failed(p->l, &nat);
    sip_txl_flow_failed(p->l, 77);
    check_log(p, "");
    sip_txl_flow_failed(p->l, tcp_path()->flow);
    sip_txl_path_failed(p->l, &udp);
    sip_txl_path_failed(p->l, &back);
    check_log(p, "0 failed transport\n0 failed transport\n0 failed transport\n");
    sip_txl_flow_failed(p->l, tcp_path()->flow);
    sip_txl_path_failed(p->l, &udp);
    check_log(p, "");
    assert_int_equal(play_stats(p).stx_now, 3);
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
        cmocka_unit_test(test_matching),
        cmocka_unit_test(test_matching_default_port),
        cmocka_unit_test(test_request_given_back),
        cmocka_unit_test(test_matching_long),
        cmocka_unit_test(test_old_clients),
        cmocka_unit_test(test_ack_strays),
        cmocka_unit_test(test_routing_udp),
        cmocka_unit_test(test_routing_streams),
        cmocka_unit_test(test_send_error),
        cmocka_unit_test(test_send_error_accepted),
        cmocka_unit_test(test_flow_failed),
        cmocka_unit_test(test_answer_inside),
        cmocka_unit_test(test_drop_inside),
        cmocka_unit_test(test_forget),
        cmocka_unit_test(test_limit),
        cmocka_unit_test(test_states_text),
        cmocka_unit_test(test_new_bad),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Server transactions: which request belongs to which (RFC 3261 17.2.3, 9.2), where responses go (18.2.2,
 * RFC 3581), and what becomes of them when they cannot (17.2.4, RFC 6026). */
#include "tx_stx_help.h"

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

int main(void)
{
    const struct CMUnitTest tests[] = {
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
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

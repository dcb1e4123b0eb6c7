/* sip/build: responses (RFC 3261 8.2.6, 12.1.1, 18.2.1), ACK (17.1.1.3, 22.1), CANCEL (9.1),
 * requests (8.1.1). */
#include "msg_help.h"

#include "base/addr.h"
#include "sip/edit.h"

#define FROM "f: \"A\" <sip:a@h>;tag=1\r\n"
#define TO "To : <sip:b@h>\r\n"
#define INVITE                                                                                     \
    "INVITE sip:b@h;lr SIP/2.0\r\n"                                                                \
    "Record-Route: <sip:p1;lr>\r\n"                                                                \
    "v: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1;rport , SIP/2.0/TCP x\r\n"                           \
    "Via: SIP/2.0/UDP y\r\n"                                                                       \
    "Record-Route: <sip:p2;lr>\r\n" FROM TO "Call-ID:c@h\r\n"                                      \
    "CSeq: 7   INVITE\r\n"                                                                         \
    "Timestamp: 54\r\n"                                                                            \
    "Route: <sip:r1;lr>,\r\n <sip:r2>\r\n"                                                         \
    "Authorization: Digest x=\"y\"\r\n"                                                            \
    "Proxy-Authorization: Digest z=\"w\"\r\n"                                                      \
    "Max-Forwards: 12\r\nContent-Length: 0\r\n\r\n"

static void check_response(const struct sip_response *r, const char *expected)
{
    struct parsed p = parse(STR(INVITE));
    struct buf *out = NULL;
    assert_int_equal(p.msg->defect.sip_status, 0);
    check_err(sip_response_build(p.msg, r, &out), 0);
    check_str(buf_str(out), expected);
    struct parsed q = parse(buf_str(out));
    check_err(q.err, 0);
    assert_int_equal(q.msg->status, r->status);
    parsed_done(&q);
    buf_unref(out);
    parsed_done(&p);
}

static void test_response(void **state)
{
    (void)state;
    struct addr source;
    check_err(addr_parse(&source, STR("203.0.113.5"), 4242), 0);
    struct sip_response r = {.status = 100, .to_tag = STR("t"), .via_received = &source};
    check_response(
        &r, "SIP/2.0 100 Trying\r\n"
            "v: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1;rport=4242;received=203.0.113.5 , "
            "SIP/2.0/TCP x\r\n"
            "Via: SIP/2.0/UDP y\r\n"
            "f: \"A\" <sip:a@h>;tag=1\r\nTo: <sip:b@h>\r\nCall-ID: c@h\r\nCSeq: 7   INVITE\r\n"
            "Timestamp: 54\r\nContent-Length: 0\r\n\r\n");
    r = (struct sip_response){
        .status = 200,
        .phrase = STR("Sch\xc3\xb6n"),
        .to_tag = STR("t"),
        .content_type = STR("application/sdp"),
        .body = STR("v=0\r\n"),
        .extra = {{STR("Contact"), STR("<sip:me>")}, {STR("Server"), STR("x")}},
        .n_extra = 2};
    check_response(
        &r,
        "SIP/2.0 200 Sch\xc3\xb6n\r\n"
        "v: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1;rport , SIP/2.0/TCP x\r\nVia: SIP/2.0/UDP y\r\n"
        "Record-Route: <sip:p1;lr>\r\nRecord-Route: <sip:p2;lr>\r\n"
        "f: \"A\" <sip:a@h>;tag=1\r\nTo: <sip:b@h>;tag=t\r\nCall-ID: c@h\r\nCSeq: 7   INVITE\r\n"
        "Contact: <sip:me>\r\nServer: x\r\nContent-Type: application/sdp\r\nContent-Length: "
        "5\r\n\r\nv=0\r\n");
    r = (struct sip_response){.status = 486, .to_tag = STR("t")};
    check_response(
        &r,
        "SIP/2.0 486 Busy Here\r\n"
        "v: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1;rport , SIP/2.0/TCP x\r\nVia: SIP/2.0/UDP y\r\n"
        "f: \"A\" <sip:a@h>;tag=1\r\nTo: <sip:b@h>;tag=t\r\nCall-ID: c@h\r\nCSeq: 7   INVITE\r\n"
        "Content-Length: 0\r\n\r\n");

    /* a tag that the request has stays */
    struct parsed p = parse(STR("BYE sip:b@h SIP/2.0\r\nVia: SIP/2.0/UDP h\r\nFrom: "
                                "<sip:a>;tag=1\r\nTo: sip:b@h;tag=2;x\r\n"
                                "Call-ID: c\r\nCSeq: 8 BYE\r\nTimestamp: 5\r\n\r\n"));
    struct buf *out = NULL;
    r = (struct sip_response){.status = 481, .to_tag = STR("t")};
    check_err(sip_response_build(p.msg, &r, &out), 0);
    check_str(buf_str(out),
              "SIP/2.0 481 Call/Transaction Does Not Exist\r\nVia: SIP/2.0/UDP h\r\nFrom: "
              "<sip:a>;tag=1\r\n"
              "To: sip:b@h;tag=2;x\r\nCall-ID: c\r\nCSeq: 8 BYE\r\nContent-Length: 0\r\n\r\n");
    buf_unref(out);
    parsed_done(&p);
}

static void test_response_refused(void **state)
{
    (void)state;
    struct parsed p = parse(STR(INVITE)), q;
    struct buf *out = NULL;
    static const struct sip_response bad[] = {
        {.status = 99},
        {.status = 700},
        {.status = 200, .phrase = {"a\r\nEvil: 1", 10}},
        {.status = 200, .phrase = {"a\r\n b", 5}},
        {.status = 200, .to_tag = {"a b", 3}},
        {.status = 200, .to_tag = {"a\r\n", 3}},
        {.status = 200, .content_type = {"a/b\r\nEvil: 1", 12}},
        {.status = 200, .extra = {{{"X", 1}, {"1\r\nEvil: 1", 10}}}, .n_extra = 1},
        {.status = 200, .extra = {{{"X: 1\r\nY", 7}, {"1", 1}}}, .n_extra = 1},
        {.status = 200, .extra = {{{"", 0}, {"1", 1}}}, .n_extra = 1},
        {.status = 200, .extra = {{{"l", 1}, {"1", 1}}}, .n_extra = 1},
        {.status = 200, .n_extra = 25},
    };
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        check_err(sip_response_build(p.msg, &bad[i], &out), ERR_INVALID);
        assert_null(out);
    }
    static char big[LIMIT_MSG_BYTES];
    struct sip_response r = {.status = 200, .body = {big, sizeof(big)}};
    check_err(sip_response_build(p.msg, &r, &out), ERR_LIMIT);
    r = (struct sip_response){.status = 200};
    check_err(sip_response_build(p.msg, &r, &out), 0);
    q = parse(buf_str(out));
    buf_unref(out);
    check_err(sip_response_build(q.msg, &r, &out), ERR_INVALID); /* to a response there is none */
    parsed_done(&q);
    parsed_done(&p);
    /* what a defective header hid does not come back as a line of its own */
    p = parse(STR("INVITE sip:b SIP/2.0\r\nVia: SIP/2.0/UDP h\r\nFrom: <sip:a>\nEvil: 1\r\nTo: "
                  "<sip:b>\r\nCall-ID: c\rd\r\n"
                  "CSeq: 1 INVITE\r\n\r\n"));
    assert_int_equal(p.msg->defect.sip_status, 400);
    r = (struct sip_response){.status = 400};
    check_err(sip_response_build(p.msg, &r, &out), 0);
    check_str(buf_str(out), "SIP/2.0 400 Bad Request\r\nVia: SIP/2.0/UDP h\r\nFrom: <sip:a>\r\nTo: "
                            "<sip:b>\r\nCall-ID: c\r\n"
                            "CSeq: 1 INVITE\r\nContent-Length: 0\r\n\r\n");
    buf_unref(out);
    parsed_done(&p);
}

static void test_ack_cancel(void **state)
{
    (void)state;
    struct parsed p = parse(STR(INVITE));
    struct parsed q =
        parse(STR("SIP/2.0 486 Busy\r\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1\r\n" FROM
                  "t: <sip:b@h>;tag=zz\r\nCall-ID: c@h\r\nCSeq: 7 INVITE\r\n\r\n"));
    struct buf *out = NULL;
    check_err(sip_ack_build(p.msg, q.msg, &out), 0);
    check_str(
        buf_str(out),
        "ACK sip:b@h;lr SIP/2.0\r\nVia: SIP/2.0/UDP "
        "192.0.2.1;branch=z9hG4bK1;rport\r\nMax-Forwards: 70\r\n"
        "Route: <sip:r1;lr>,\r\n <sip:r2>\r\nf: \"A\" <sip:a@h>;tag=1\r\nt: <sip:b@h>;tag=zz\r\n"
        "Call-ID: c@h\r\nCSeq: 7 ACK\r\nAuthorization: Digest x=\"y\"\r\n"
        "Proxy-Authorization: Digest z=\"w\"\r\nContent-Length: 0\r\n\r\n");
    struct parsed ack = parse(buf_str(out));
    assert_int_equal(ack.msg->defect.sip_status, 0);
    assert_int_equal(ack.msg->method, SIP_ACK);
    struct buf *none = NULL;
    check_err(sip_ack_build(ack.msg, q.msg, &none), ERR_INVALID);
    check_err(sip_ack_build(p.msg, p.msg, &none), ERR_INVALID);
    check_err(sip_cancel_build(ack.msg, STR_NULL, &none), ERR_INVALID);
    parsed_done(&ack);
    buf_unref(out);

    check_err(
        sip_cancel_build(p.msg, STR("SIP ;cause=200 ;text=\"Call completed elsewhere\""), &out), 0);
    check_str(
        buf_str(out),
        "CANCEL sip:b@h;lr SIP/2.0\r\nVia: SIP/2.0/UDP "
        "192.0.2.1;branch=z9hG4bK1;rport\r\nMax-Forwards: 70\r\n"
        "Route: <sip:r1;lr>,\r\n <sip:r2>\r\nf: \"A\" <sip:a@h>;tag=1\r\nTo: <sip:b@h>\r\n"
        "Call-ID: c@h\r\nCSeq: 7 CANCEL\r\n"
        "Reason: SIP ;cause=200 ;text=\"Call completed elsewhere\"\r\nContent-Length: 0\r\n\r\n");
    struct parsed cancel = parse(buf_str(out));
    assert_int_equal(cancel.msg->defect.sip_status, 0);
    parsed_done(&cancel);
    buf_unref(out);
    check_err(sip_cancel_build(p.msg, STR("x\r\nEvil: 1"), &none), ERR_INVALID);
    check_err(sip_cancel_build(q.msg, STR_NULL, &none), ERR_INVALID);
    assert_null(none);
    parsed_done(&q);
    parsed_done(&p);
}

static void test_request(void **state)
{
    (void)state;
    struct sip_request r = {.method = STR("OPTIONS"),
                            .ruri = STR("sip:b@h"),
                            .hdr = {{STR("Via"), STR("SIP/2.0/UDP h;branch=z9hG4bK1")},
                                    {STR("From"), STR("<sip:a@h>;tag=1")},
                                    {STR("To"), STR("<sip:b@h>")},
                                    {STR("Call-ID"), STR("c")},
                                    {STR("CSeq"), STR("1 OPTIONS")}},
                            .n_hdr = 5,
                            .content_type = STR("a/b"),
                            .body = STR("xy")};
    struct buf *out = NULL;
    check_err(sip_request_build(&r, &out), 0);
    check_str(
        buf_str(out),
        "OPTIONS sip:b@h SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK1\r\nFrom: <sip:a@h>;tag=1\r\n"
        "To: <sip:b@h>\r\nCall-ID: c\r\nCSeq: 1 OPTIONS\r\nContent-Type: a/b\r\nContent-Length: "
        "2\r\n\r\nxy");
    struct parsed p = parse(buf_str(out));
    assert_int_equal(p.msg->defect.sip_status, 0);
    parsed_done(&p);
    buf_unref(out);
    for (int way = 0; way < 8; way++) {
        struct sip_request bad = r;
        if (way == 0)
            bad.method = STR("OPT IONS");
        else if (way == 1)
            bad.method = STR("");
        else if (way == 2)
            bad.ruri = STR("sip:b@h SIP/2.0\r\nEvil: 1");
        else if (way == 3)
            bad.hdr[1].value = STR("x\r\nEvil: 1");
        else if (way == 4)
            bad.hdr[1].name = STR("x\r\nEvil");
        else if (way == 5)
            bad.hdr[1].name = STR("Content-Length");
        else if (way == 6)
            bad.content_type = STR("a/b\r\nEvil: 1");
        else
            bad.n_hdr = 33;
        check_err(sip_request_build(&bad, &out), ERR_INVALID);
        assert_null(out);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_response),
        cmocka_unit_test(test_response_refused),
        cmocka_unit_test(test_ack_cancel),
        cmocka_unit_test(test_request),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

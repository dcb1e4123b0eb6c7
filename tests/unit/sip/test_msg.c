/* sip/msg: what is a defect, what is dropped, what is found (RFC 3261 7, 8.1.1, 18.3, 20, 25.1).
 * The messages of RFC 4475 and 5118 are in test_torture.c. */
#include "msg_help.h"

#define LINE "INVITE sip:b@h SIP/2.0\r\n"
#define VIA "Via: SIP/2.0/UDP h;branch=z9hG4bKx\r\n"
#define FROM "From: <sip:a@h>;tag=1\r\n"
#define TO "To: <sip:b@h>\r\n"
#define CALL_ID "Call-ID: c@h\r\n"
#define CSEQ "CSeq: 1 INVITE\r\n"
#define REST FROM TO CALL_ID CSEQ
#define OK LINE VIA REST

/* The status of the defect, 0 if well formed, -1 if dropped. */
static int judge_n(struct str text, const char *code)
{
    struct parsed p = parse(text);
    int got = p.err ? -1 : p.msg->defect.sip_status;
    const struct reason *why = p.err ? &p.why : &p.msg->defect;
    if (code && (why->code == NULL || strcmp(why->code, code) != 0))
        fail_msg("%.60s: %s (%s), expected %s", text.p, why->code ? why->code : "-", why->detail,
                 code);
    parsed_done(&p);
    return got;
}

static int judge(const char *text, const char *code)
{
    return judge_n(str_z(text), code);
}

static void test_good(void **state)
{
    (void)state;
    struct parsed p = parse(STR("\r\n\r\n" OK "Max-Forwards: 70\r\nl: 3\r\n\r\nabcdef"));
    struct sip_msg *m = p.msg;
    check_err(p.err, 0);
    assert_int_equal(m->defect.sip_status, 0);
    assert_true(m->is_request);
    assert_int_equal(m->method, SIP_INVITE);
    check_str(m->ruri, "sip:b@h");
    check_str(m->uri.user, "b");
    check_str(m->from_tag, "1");
    assert_int_equal(m->to_tag.n, 0);
    assert_false(sip_msg_in_dialog(m));
    assert_int_equal(m->max_forwards, 70);
    assert_int_equal(m->n_hdrs, 7);
    check_str(m->body, "abc");
    assert_int_equal(m->bytes.p[0], 'I');
    assert_ptr_equal(m->bytes.p + m->bytes.n, m->body.p + 3);
    assert_int_equal(m->head.n + 3, m->bytes.n);
    assert_true(sip_msg_has(m, SIP_H_CONTENT_LENGTH));
    assert_false(sip_msg_has(m, SIP_H_CONTACT));
    for (unsigned i = 0; i < m->n_hdrs; i++) {
        assert_int_equal(m->hdrs[i].line_end,
                         i + 1 < m->n_hdrs ? m->hdrs[i + 1].line_start : m->head.n - 2);
    }
    parsed_done(&p);

    p = parse(STR("SIP/2.0 183 Session \xc3\xbc\r\n" VIA FROM "To: <sip:b@h>;tag=2\r\n" CALL_ID
                  "CSeq: 7 PRACK\r\n\r\n"));
    m = p.msg;
    check_err(p.err, 0);
    assert_false(m->is_request);
    assert_int_equal(m->status, 183);
    check_str(m->phrase, "Session \xc3\xbc");
    assert_int_equal(m->method, SIP_PRACK);
    assert_int_equal(m->cseq, 7);
    check_str(m->to_tag, "2");
    assert_int_equal(m->max_forwards, -1);
    parsed_done(&p);
}

static void test_start_line(void **state)
{
    (void)state;
    /* not ours to answer */
    static const char *const dropped[] = {
        "",
        "\r\n",
        "INVITE sip:b@h SIP/2.0",
        "INVITE sip:b@h SIP/2.0\n" VIA REST "\r\n",
        "GET / HTTP/1.1\r\n" VIA REST "\r\n",
        "INVITE sip:b@h\r\n" VIA REST "\r\n",
        "INVITE SIP/2.0\r\n" VIA REST "\r\n",
        " INVITE sip:b@h SIP/2.0\r\n" VIA REST "\r\n",
        "INV ITE\r\n" VIA REST "\r\n",
        "IN(VITE sip:b@h SIP/2.0\r\n" VIA REST "\r\n",
        "INVITE sip:b@h SIP/2\r\n" VIA REST "\r\n",
        "INVITE sip:b@h SIP/2.x\r\n" VIA REST "\r\n",
        "\x16\x03\x01\x02\x05",
        "INVITE sip:b\rc@h SIP/2.0\r\n" VIA REST "\r\n",
        "SIP/2.0 99 x\r\n" VIA REST "\r\n",
        "SIP/2.0 700 x\r\n" VIA REST "\r\n",
        "SIP/2.0 20 x\r\n" VIA REST "\r\n",
        "SIP/2.0 2000 x\r\n" VIA REST "\r\n",
        "SIP/2.0 +20 x\r\n" VIA REST "\r\n",
        "SIP/2.0  200 x\r\n" VIA REST "\r\n",
        "SIP/3.0 200 x\r\n" VIA REST "\r\n",
        "SIP/2.0\r\n" VIA REST "\r\n",
        "SIP/2.0 abc x\r\n" VIA REST "\r\n",
    };
    for (size_t i = 0; i < ARRAY_LEN(dropped); i++) {
        if (judge(dropped[i], NULL) != -1)
            fail_msg("%zu: %.40s", i, dropped[i]);
    }
    assert_int_equal(judge("INVITE sip:b@h sip/2.0\r\n" VIA REST "\r\n", NULL),
                     0); /* 7.1: the name has no case */
    assert_int_equal(judge("SIP/2.0 200\r\n" VIA REST "\r\n", NULL), 0);
    assert_int_equal(judge("INVITE sip:b@h SIP/2.1\r\n" VIA REST "\r\n", "msg-version"), 505);
    assert_int_equal(judge("INVITE sip:b@h SIP/02.0\r\n" VIA REST "\r\n", "msg-version"), 505);
    assert_int_equal(
        judge("INVITE sip:b@h SIP/99999999999999999999.0\r\n" VIA REST "\r\n", "msg-version"), 505);
    assert_int_equal(judge("INVITE sip:b@h;x y SIP/2.0\r\n" VIA REST "\r\n", "msg-uri"), 400);
    assert_int_equal(judge("INVITE  SIP/2.0\r\n" VIA REST "\r\n", "msg-uri"), 400);
    assert_int_equal(judge("INVITE sip:b@h SIP/2.0 \r\n" VIA REST "\r\n", "msg-startline-space"),
                     400);
    assert_int_equal(judge("INVITE b@h SIP/2.0\r\n" VIA REST "\r\n", "msg-uri"), 400);
    assert_int_equal(judge("INVITE nosuch:b SIP/2.0\r\n" VIA REST "\r\n", NULL),
                     0); /* 416 is the router's */
    assert_int_equal(judge("INVITE sip:b@h?a=b SIP/2.0\r\n" VIA REST "\r\n", "msg-uri-headers"),
                     400);
    static char text[8192];
    memset(text, 'a', sizeof(text));
    snprintf(text, sizeof(text), "INVITE sip:%*s SIP/2.0\r\n" VIA REST "\r\n", 5000, "a@h");
    for (char *c = text + 11; *c == ' '; c++)
        *c = 'a';
    assert_int_equal(judge(text, "msg-uri-long"), 414);
}

static void test_lines(void **state)
{
    (void)state;
    assert_int_equal(judge(OK, "msg-truncated"), 400);
    assert_int_equal(judge(OK "\r", NULL), 400);
    assert_int_equal(judge(OK "X: y", "msg-truncated"), 400);
    assert_int_equal(judge(OK "X: y\r\n", "msg-truncated"), 400);
    assert_int_equal(judge(OK "X\r\n\r\n", "msg-header"), 400);
    assert_int_equal(judge(OK ": y\r\n\r\n", "msg-header"), 400);
    assert_int_equal(judge(OK "X y: z\r\n\r\n", "msg-header"), 400);
    assert_int_equal(judge(OK "X\r\n : z\r\n\r\n", "msg-header"), 400);
    assert_int_equal(judge(LINE " X: y\r\n" VIA REST "\r\n", "msg-header"),
                     400); /* a start line does not fold */
    assert_int_equal(judge(OK "X(: y\r\n\r\n", "msg-header"), 400);
    assert_int_equal(judge(OK "X\t :\r\n\r\n", NULL), 0);
    /* CRLF ends a line and nothing else does: no header hides behind a bare CR or LF */
    assert_int_equal(judge(OK "X: y\nZ: a\r\n\r\n", "msg-control"), 400);
    assert_int_equal(judge(OK "X: y\rZ: a\r\n\r\n", "msg-control"), 400);
    assert_int_equal(judge(OK "X: y\r\r\n\r\n", "msg-control"), 400);
    assert_int_equal(judge(OK "X: \"\\\n\"\r\n\r\n", "msg-control"), 400);
    assert_int_equal(judge(OK "X: y\x01\r\n\r\n", "msg-control"), 400);
    assert_int_equal(judge_n(STR(OK "X: y\0\r\n\r\n"), "msg-control"), 400);
    assert_int_equal(judge_n(STR(OK "X: \"\\\0\"\r\n\r\n"), NULL), 0);

    struct parsed p =
        parse(STR(OK "XA :\r\n  b\r\n\tc \r\n \r\nXD:e\r\nXF:\r\nXG: x\nXH: y\r\n\r\n"));
    check_err(p.err, 0);
    check_str(sip_msg_hdr_named(p.msg, STR("xa"), 0)->value, "b\r\n\tc");
    check_str(sip_msg_hdr_named(p.msg, STR("xd"), 0)->value, "e");
    check_str(sip_msg_hdr_named(p.msg, STR("xf"), 0)->value, "");
    check_str(sip_msg_hdr_named(p.msg, STR("xg"), 0)->value,
              "x"); /* cut at the control: safe to send back */
    assert_null(sip_msg_hdr_named(p.msg, STR("xh"), 0));
    assert_null(sip_msg_hdr_named(p.msg, STR("xa"), 1));
    parsed_done(&p);
}

static void test_fields(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int expected;
        const char *code;
    } cases[] = {
        {LINE REST "\r\n", -1, "msg-via"},
        {LINE "Via: x\r\n" REST "\r\n", -1, "msg-via"},
        {LINE "Via:\r\n" REST "\r\n", -1, "msg-via"},
        {LINE "Via: SIP/2.0/UDP h;;\r\n" REST "\r\n", 400, "msg-via"},
        {LINE "Via: SIP/2.0/UDP h;branch=z9hG4bK\r\n" REST "\r\n", 400, "msg-branch"},
        {LINE "Via: SIP/2.0/UDP h;branch=1\r\n" REST "\r\n", 0, NULL},
        {LINE VIA TO CALL_ID CSEQ "\r\n", 400, "msg-missing"},
        {LINE VIA FROM CALL_ID CSEQ "\r\n", 400, "msg-missing"},
        {LINE VIA FROM TO CSEQ "\r\n", 400, "msg-missing"},
        {LINE VIA FROM TO CALL_ID "\r\n", 400, "msg-missing"},
        {OK FROM "\r\n", 400, "msg-repeated"},
        {OK "t: <sip:b@h>\r\n\r\n", 400, "msg-repeated"},
        {OK CALL_ID "\r\n", 400, "msg-repeated"},
        {OK CSEQ "\r\n", 400, "msg-repeated"},
        {OK "Max-Forwards: 1\r\nMax-Forwards: 1\r\n\r\n", 400, "msg-repeated"},
        {OK "c: a/b\r\nContent-Type: a/b\r\n\r\n", 400, "msg-repeated"},
        {OK "Max-Forwards: 256\r\n\r\n", 400, "msg-max-forwards"},
        {OK "Max-Forwards: -1\r\n\r\n", 400, "msg-max-forwards"},
        {OK "Max-Forwards: 1 2\r\n\r\n", 400, "msg-max-forwards"},
        {OK "Max-Forwards:\r\n\r\n", 400, "msg-max-forwards"},
        {OK "Max-Forwards: 000255\r\n\r\n", 0, NULL},
        {LINE VIA FROM TO CALL_ID "CSeq: 4294967295 INVITE\r\n\r\n", 0, NULL},
        {LINE VIA FROM TO CALL_ID "CSeq: 4294967296 INVITE\r\n\r\n", 400, "msg-cseq"},
        {LINE VIA FROM TO CALL_ID "CSeq: -1 INVITE\r\n\r\n", 400, "msg-cseq"},
        {LINE VIA FROM TO CALL_ID "CSeq: 1INVITE\r\n\r\n", 400, "msg-cseq"},
        {LINE VIA FROM TO CALL_ID "CSeq: 1\r\n\r\n", 400, "msg-cseq"},
        {LINE VIA FROM TO CALL_ID "CSeq: INVITE\r\n\r\n", 400, "msg-cseq"},
        {LINE VIA FROM TO CALL_ID "CSeq: 1 INVITE x\r\n\r\n", 400, "msg-cseq"},
        {LINE VIA FROM TO CALL_ID "CSeq: 1 BYE\r\n\r\n", 400, "msg-cseq-method"},
        {LINE VIA FROM TO CALL_ID "CSeq: 1 invite\r\n\r\n", 400, "msg-cseq-method"},
        {"XX sip:h SIP/2.0\r\n" VIA FROM TO CALL_ID "CSeq: 1 YY\r\n\r\n", 501, "msg-cseq-method"},
        {"XX sip:h SIP/2.0\r\n" VIA FROM TO CALL_ID "CSeq: 1 XX\r\n\r\n", 0, NULL},
        {LINE VIA FROM TO "Call-ID:\r\n" CSEQ "\r\n", 400, "msg-call-id"},
        {LINE VIA FROM TO "Call-ID: a b\r\n" CSEQ "\r\n", 400, "msg-call-id"},
        {LINE VIA "From: *\r\n" TO CALL_ID CSEQ "\r\n", 400, "msg-from"},
        {LINE VIA FROM "To: <sip:b@h>;tag=\r\n" CALL_ID CSEQ "\r\n", 400, "msg-to"},
        {LINE VIA FROM "To: <sip:b@h>;tag=1;tag=2\r\n" CALL_ID CSEQ "\r\n", 400, "msg-to"},
        /* a malformed response is dropped, whatever it is */
        {"SIP/2.0 200 OK\r\n" VIA REST "\r\n", 0, NULL},
        {"SIP/2.0 200 OK\r\n" VIA FROM TO CALL_ID "\r\n", -1, "msg-missing"},
        {"SIP/2.0 200 OK\r\n" VIA REST CSEQ "\r\n", -1, "msg-repeated"},
        {"SIP/2.0 200 OK\r\n" VIA REST "X: y\x01\r\n\r\n", -1, "msg-control"},
        {"SIP/2.0 200 OK\r\n" VIA REST "l: 5\r\n\r\n", -1, "msg-content-length"},
        {"SIP/2.0 200 OK\r\n" VIA REST, -1, "msg-truncated"},
        {"SIP/2.0 200 O\x01K\r\n" VIA REST "\r\n", -1, "msg-startline"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        int got = judge(cases[i].text, cases[i].code);
        if (got != cases[i].expected)
            fail_msg("%s: %d", cases[i].text, got);
    }
}

static void test_content_length(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "Content-Length: 4",
        "Content-Length: -1",
        "Content-Length: +3",
        "Content-Length: 3 3",
        "Content-Length: 3, 3",
        "Content-Length: 0x3",
        "Content-Length: ",
        "Content-Length: three",
        "Content-Length: 3\r\nContent-Length: 3",
        "Content-Length: 3\r\nl: 2",
        "Content-Length: 18446744073709551619",
        "Content-Length: 4294967299",
        "Content-Length: 99999999999999999999999999999",
        "Content-Length: 3.0",
        "Content-Length: 3;x",
    };
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        char text[1024];
        snprintf(text, sizeof(text), OK "%s\r\n\r\nabc", bad[i]);
        if (judge(text, "msg-content-length") != 400)
            fail_msg("%s", bad[i]);
    }
    assert_int_equal(judge(OK "Content-Length: 003\r\n\r\nabc", NULL), 0);
    assert_int_equal(judge(OK "Content-Length:\r\n 3\r\n\r\nabc", NULL), 0);
    assert_int_equal(judge(OK "Content-Length: 0\r\n\r\nabc", NULL), 0);
    struct parsed p = parse(STR(OK "\r\nabc")); /* a datagram without length: what is left (18.3) */
    check_str(p.msg->body, "abc");
    parsed_done(&p);
}

static void test_limits(void **state)
{
    (void)state;
    static char text[LIMIT_MSG_BYTES + 100];
    for (unsigned n = LIMIT_MSG_HEADERS - 1; n <= LIMIT_MSG_HEADERS + 1; n++) {
        size_t len = (size_t)snprintf(text, sizeof(text), OK);
        for (unsigned i = 5; i < n; i++)
            len += (size_t)snprintf(text + len, sizeof(text) - len, "X-%u: %u\r\n", i, i);
        len += (size_t)snprintf(text + len, sizeof(text) - len, "\r\n");
        struct parsed p = parse(str_make(text, len));
        check_err(p.err, 0);
        assert_int_equal(p.msg->defect.sip_status, n <= LIMIT_MSG_HEADERS ? 0 : 513);
        if (n > LIMIT_MSG_HEADERS) { /* what was indexed will do for the answer */
            assert_int_equal(p.msg->n_hdrs, LIMIT_MSG_HEADERS);
            check_str(p.msg->call_id, "c@h");
        } else {
            char name[16];
            assert_int_equal(p.msg->n_hdrs, n);
            snprintf(name, sizeof(name), "x-%u", n - 1);
            assert_non_null(sip_msg_hdr_named(p.msg, str_z(name), 0));
            check_str(p.msg->call_id, "c@h");
        }
        parsed_done(&p);
    }
    /* size of the header, size of the message */
    size_t start = (size_t)snprintf(text, sizeof(text), OK "X: ");
    memset(text + start, 'y', sizeof(text) - start);
    memcpy(text + LIMIT_MSG_HEADER_BYTES - 4, "\r\n\r\n", 4);
    struct parsed p = parse(str_make(text, LIMIT_MSG_HEADER_BYTES));
    check_err(p.err, 0);
    assert_int_equal(p.msg->defect.sip_status, 0);
    parsed_done(&p);
    p = parse(str_make(text, LIMIT_MSG_BYTES));
    check_err(p.err, 0);
    assert_int_equal(p.msg->body.n, LIMIT_MSG_BYTES - LIMIT_MSG_HEADER_BYTES);
    parsed_done(&p);
    p = parse(str_make(text, LIMIT_MSG_BYTES + 1));
    check_err(p.err, ERR_LIMIT);
    parsed_done(&p);
    memset(text + LIMIT_MSG_HEADER_BYTES - 4, 'y', 4);
    memcpy(text + LIMIT_MSG_HEADER_BYTES - 3, "\r\n\r\n", 4);
    p = parse(str_make(text, LIMIT_MSG_HEADER_BYTES + 1));
    check_err(p.err, 0);
    assert_int_equal(p.msg->defect.sip_status, 513);
    check_str(p.msg->call_id, "c@h");
    parsed_done(&p);
    /* a response like that is nobody's to answer */
    memcpy(text, "SIP/2.0 200 Very Ok nd\r\n", 24);
    p = parse(str_make(text, LIMIT_MSG_HEADER_BYTES + 1));
    check_err(p.err, ERR_SYNTAX);
    parsed_done(&p);
}

static void test_lookup(void **state)
{
    (void)state;
    struct parsed p = parse(STR(OK "v: SIP/2.0/TCP x\r\nX: 1\r\nY: 2\r\nx: 3\r\n\r\n"));
    struct sip_msg *m = p.msg;
    check_str(sip_msg_hdr(m, SIP_H_VIA, 1)->value, "SIP/2.0/TCP x");
    assert_null(sip_msg_hdr(m, SIP_H_VIA, 2));
    check_str(sip_msg_hdr_named(m, STR("via"), 1)->value, "SIP/2.0/TCP x");
    check_str(sip_msg_hdr_named(m, STR("V"), 0)->value, "SIP/2.0/UDP h;branch=z9hG4bKx");
    check_str(sip_msg_hdr_named(m, STR("x"), 1)->value, "3");
    check_str(sip_msg_hdr_named(m, STR("Y"), 0)->value, "2");
    assert_null(sip_msg_hdr_named(m, STR("Z"), 0));
    parsed_done(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good),           cmocka_unit_test(test_start_line),
        cmocka_unit_test(test_lines),          cmocka_unit_test(test_fields),
        cmocka_unit_test(test_content_length), cmocka_unit_test(test_limits),
        cmocka_unit_test(test_lookup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

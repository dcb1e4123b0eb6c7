/* sip/body: parts of multipart bodies (RFC 2046 5.1, RFC 5621). */
#include "msg_help.h"

#define HEAD                                                                                       \
    "MESSAGE sip:b@h SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bKx\r\nFrom: "                      \
    "<sip:a@h>;tag=1\r\nTo: <sip:b@h>\r\n"                                                         \
    "Call-ID: c\r\nCSeq: 1 MESSAGE\r\n"

/* The parts as "depth type|body|" ..., '?' behind the type where handling is optional; NULL:
 * refused with `err`. */
static void check_parts_n(const char *type, struct str body, const char *expected, int err,
                          size_t room)
{
    static char text[LIMIT_MSG_BYTES], got[LIMIT_MSG_BYTES];
    struct sip_part part[LIMIT_BODY_PARTS + 4];
    size_t n = (size_t)snprintf(text, sizeof(text), HEAD "%s\r\n", type);
    memcpy(text + n, body.p, body.n);
    struct parsed p = parse(str_make(text, n + body.n));
    assert_int_equal(p.msg->defect.sip_status, 0);
    n = room;
    int e = sip_body_parts(p.msg, part, &n, &p.why);
    if (e != err)
        fail_msg("%.80s: %d (%s), expected %d", body.p, e, p.why.detail, err);
    if (e)
        assert_int_equal(p.why.sip_status, e == ERR_LIMIT ? 413 : 400);
    got[0] = '\0';
    for (size_t i = 0; !e && i < n; i++) {
        size_t len = strlen(got);
        snprintf(got + len, sizeof(got) - len, "%u %.*s%s|%.*s|", part[i].depth,
                 STR_FMT(part[i].content_type), part[i].required ? "" : "?", STR_FMT(part[i].body));
    }
    if (!e)
        assert_string_equal(got, expected);
    parsed_done(&p);
}

static void check_parts(const char *type, const char *body, const char *expected)
{
    check_parts_n(type, str_z(body), expected ? expected : "", expected ? 0 : ERR_SYNTAX,
                  LIMIT_BODY_PARTS);
}

#define MIXED "Content-Type: multipart/mixed;boundary=b\r\n"

static void test_simple(void **state)
{
    (void)state;
    check_parts("", "", "");
    check_parts("Content-Type: application/sdp\r\n", "v=0", "0 application/sdp|v=0|");
    check_parts("", "v=0", "0 |v=0|");
    check_parts("Content-Type: a/b\r\nContent-Disposition: render;handling=optional\r\n", "x",
                "0 a/b?|x|");
    check_parts("Content-Type: a/b\r\nContent-Disposition: unknown;handling=required\r\n", "x",
                "0 a/b|x|");
    check_parts("Content-Type: a/b\r\nContent-Disposition: unknown\r\n", "x", "0 a/b|x|");
    check_parts("Content-Type: multipart/mixed;boundary=b\r\n", "", "");
}

static void test_multipart(void **state)
{
    (void)state;
    check_parts(MIXED, "--b\r\nContent-Type: a/b\r\n\r\none\r\n--b\r\n\r\ntwo\r\n--b--\r\n",
                "1 a/b|one|1 text/plain|two|");
    /* preamble, epilogue, padding, quoted boundary, compact and folded headers */
    check_parts("c: MULTIPART/mixed ; x=\"y;boundary=z\" ; Boundary=\"b c\"\r\n",
                "pre\r\n--b c \t\r\nc\r\n :\r\n  a/b;\r\n\tx=y\r\n\r\n1\r\n--b c--  "
                "\r\nepilogue\r\n--b c\r\n",
                "1 a/b;\r\n\tx=y|1|");
    /* a part with a header and no body, one without either */
    check_parts(MIXED, "--b\r\nContent-Type: a/b\r\n\r\n--b\r\n\r\n--b--", "1 a/b||1 text/plain||");
    check_parts(MIXED, "--b\r\n\r\n\r\n--b--", "1 text/plain||");
    /* what looks like a delimiter and is not */
    check_parts(MIXED, "--b\r\n\r\n--bx\r\n--b x\r\n\r--b\r\n--b--",
                "1 text/plain|--bx\r\n--b x\r\n\r--b|");
    check_parts(MIXED, "--b\r\n\r\nx--b\r\n\r\n--bb\r\n--b--", "1 text/plain|x--b\r\n\r\n--bb|");
    check_parts(MIXED,
                "--b\r\nContent-Disposition: by-reference;handling=\"Optional\"\r\nContent-ID: "
                "<x@y>\r\n\r\n1\r\n--b--",
                "1 text/plain?|1|");

    static const char *const bad[] = {
        "x",
        "--b",
        "--b\r\n",
        "--b\r\n\r\nx",
        "--b\r\n\r\nx\r\n--b",
        "--b--\r\n",
        "--c\r\n\r\n--c--",
        "--b\r\nContent-Type: a/b\r\nx\r\n--b\r\nnoheader\r\n--b--",
        "--b\n\nx\n--b--\n",
        "--b\r\nx\r\n--b--",
    };
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        check_parts(MIXED, bad[i], NULL);
    check_parts("Content-Type: multipart/mixed\r\n", "--b\r\n\r\n--b--", NULL);
    check_parts("Content-Type: multipart/mixed;boundary=\"\"\r\n", "--\r\n\r\n----", NULL);
    check_parts(
        "Content-Type: multipart/mixed;"
        "boundary=aaaaaaaaaabbbbbbbbbbccccccccccddddddddddeeeeeeeeeeffffffffffgggggggggg1\r\n",
        "x", NULL);
}

static void test_nested(void **state)
{
    (void)state;
    check_parts(
        MIXED,
        "--b\r\n\r\n1\r\n--b\r\nContent-Type: "
        "multipart/alternative;boundary=i\r\n\r\n--i\r\n\r\n2\r\n--i\r\n\r\n3\r\n"
        "--i--\r\n--b\r\n\r\n4\r\n--b--",
        "1 text/plain|1|1 multipart/alternative;boundary=i|--i\r\n\r\n2\r\n--i\r\n\r\n3\r\n--i--|"
        "2 text/plain|2|2 text/plain|3|1 text/plain|4|");
    /* the last part is the nested one: its parts are still one deeper */
    check_parts(MIXED,
                "--b\r\nContent-Type: multipart/x;boundary=i\r\n\r\n--i\r\n\r\n2\r\n--i--\r\n--b--",
                "1 multipart/x;boundary=i|--i\r\n\r\n2\r\n--i--|2 text/plain|2|");

    char text[4096] = "", type[64];
    for (unsigned depth = 1; depth <= LIMIT_MULTIPART_DEPTH + 1; depth++) {
        /* depth multiparts in each other, the innermost with one plain part */
        char inner[4096] = "x", expected_tail[64];
        for (unsigned k = depth; k >= 1; k--) {
            char head[64] = "";
            if (k < depth)
                snprintf(head, sizeof(head), "Content-Type: multipart/m;boundary=b%u\r\n", k + 1);
            snprintf(text, sizeof(text), "--b%u\r\n%s\r\n%s\r\n--b%u--", k, head, inner, k);
            memcpy(inner, text, sizeof(inner));
        }
        snprintf(type, sizeof(type), "Content-Type: multipart/m;boundary=b1\r\n");
        snprintf(expected_tail, sizeof(expected_tail), "%u text/plain|x|", depth);
        static char message[LIMIT_MSG_BYTES];
        size_t n = (size_t)snprintf(message, sizeof(message), HEAD "%s\r\n%s", type, inner);
        struct parsed p = parse(str_make(message, n));
        struct sip_part part[LIMIT_BODY_PARTS];
        size_t count = ARRAY_LEN(part);
        check_err(sip_body_parts(p.msg, part, &count, &p.why),
                  depth <= LIMIT_MULTIPART_DEPTH ? 0 : ERR_LIMIT);
        if (depth <= LIMIT_MULTIPART_DEPTH) {
            assert_int_equal(count, depth);
            assert_int_equal(part[count - 1].depth, depth);
            check_str(part[count - 1].body, "x");
        }
        parsed_done(&p);
    }
}

static void test_limits(void **state)
{
    (void)state;
    char body[1024] = "";
    char expected[1024] = "";
    for (unsigned n = 1; n <= LIMIT_BODY_PARTS + 1; n++) {
        strcat(body, "--b\r\n\r\nx\r\n");
        strcat(expected, "1 text/plain|x|");
        char whole[1100];
        snprintf(whole, sizeof(whole), "%s--b--", body);
        check_parts_n(MIXED, str_z(whole), expected, n <= LIMIT_BODY_PARTS ? 0 : ERR_LIMIT,
                      LIMIT_BODY_PARTS + 4);
        check_parts_n(MIXED, str_z(whole), expected, n <= 5 ? 0 : ERR_LIMIT, 5);
    }
    check_parts_n("", STR("x"), "", ERR_LIMIT, 0);
}

/* The parts of an entity as "depth type|whole|"; NULL: refused. */
static void check_entity(const char *entity, const char *expected)
{
    static char got[LIMIT_MSG_BYTES];
    struct sip_part part[LIMIT_BODY_PARTS];
    size_t n = ARRAY_LEN(part);
    struct reason why = {.code = NULL};
    int err = sip_entity_parts(str_z(entity), part, &n, &why);

    assert_true((err == 0) == (expected != NULL));
    got[0] = '\0';
    for (size_t i = 0; err == 0 && i < n; i++) {
        size_t len = strlen(got);

        snprintf(got + len, sizeof(got) - len, "%u %.*s|%.*s|", part[i].depth,
                 STR_FMT(part[i].content_type), STR_FMT(sip_part_whole(&part[i])));
    }
    if (err == 0)
        assert_string_equal(got, expected);
}

static void test_entity(void **state)
{
    struct sip_part part[1];
    size_t n = 0;

    (void)state;
    check_entity("Content-Type: a/b\r\n\r\nx\r\n", "0 a/b|Content-Type: a/b\r\n\r\nx\r\n|");
    check_entity("\r\nx", "0 text/plain|\r\nx|");
    check_entity("", "0 text/plain||");
    check_entity("Content-Type: a/b", NULL);
    check_entity("Content-Type: multipart/m;boundary=b\r\n\r\n--b\r\n\r\n1\r\n--b--",
                 "0 multipart/m;boundary=b|Content-Type: "
                 "multipart/m;boundary=b\r\n\r\n--b\r\n\r\n1\r\n--b--|1 text/plain|\r\n1|");
    check_entity("Content-Type: multipart/m;boundary=b\r\n\r\nx", NULL);
    check_err(sip_entity_parts(STR("\r\nx"), part, &n, NULL), ERR_LIMIT);
    n = 1;
    check_err(sip_entity_parts(STR("Content-TYPE : A/b;c=d;smime-type=\"x\"\r\nX-y:z\r\n\r\n"), part,
                               &n, NULL),
              0);
    check_str(sip_part_header(part, STR("x-Y")), "z");
    assert_null(sip_part_header(part, STR("x-z")).p);
    assert_true(sip_type_is(part[0].content_type, STR("a/B")));
    assert_false(sip_type_is(part[0].content_type, STR("a/")));
    check_str(sip_type_param(part[0].content_type, STR("SMIME-type")), "x");
    assert_null(sip_type_param(part[0].content_type, STR("boundary")).p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_simple),
        cmocka_unit_test(test_multipart),
        cmocka_unit_test(test_entity),
        cmocka_unit_test(test_nested),
        cmocka_unit_test(test_limits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

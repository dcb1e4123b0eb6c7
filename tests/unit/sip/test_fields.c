/* sip/fields, sip/params, sip/hdr, sip/status: addresses, Via, parameters, lists, quoting, names,
 * texts (RFC 3261 7.3, 20, 25.1). */
#include "msg_help.h"

#include "base/path.h"
#include "sip/fields.h"
#include "sip/hdr.h"

static void test_addr(void **state)
{
    (void)state;
    static const struct {
        const char *value, *display, *uri, *params;
        bool brackets;
    } good[] = {
        {"sip:a@h", "", "sip:a@h", "", false},
        {"sip:a@h;tag=1;x", "", "sip:a@h", ";tag=1;x", false},
        {"<sip:a@h;lr>;x", "", "sip:a@h;lr", ";x", true},
        {"\"A \\\"B\\\" <c>\" <sip:a@h>", "A \\\"B\\\" <c>", "sip:a@h", "", true},
        {"A B <sip:a@h> ; tag = 1", "A B", "sip:a@h", "; tag = 1", true},
        {"caller<sip:a@h>", "caller", "sip:a@h", "", true},
        {"\"\"<sip:a@h>", "", "sip:a@h", "", true},
        {" \t<tel:+49>\r\n ;x=\"a;b\"", "", "tel:+49", ";x=\"a;b\"", true},
        {"\"J\xc3\xbcrgen\" <sip:a@h>", "J\xc3\xbcrgen", "sip:a@h", "", true},
        {"J\xc3\xbcrgen <sip:a@h>", "J\xc3\xbcrgen", "sip:a@h", "",
         true}, /* bare, as phones send it */
        {"<http://h/?a=b,c>", "", "http://h/?a=b,c", "", true},
        {"tel:+49;tag=x", "", "tel:+49", ";tag=x", false},
        {"isbn:2983792873", "", "isbn:2983792873", "", false},
        {"<sip:a@[::1]:5060>;tag=a/b=:c", "", "sip:a@[::1]:5060", ";tag=a/b=:c", true},
    };
    static const char *const bad[] = {
        "",
        " ",
        "a",
        "<>",
        "<a>",
        "<sip:>",
        "sip:",
        "<sip:a@h",
        "sip:a@h>",
        "< sip:a@h>",
        "<sip:a@h >",
        "<sip:a @h>",
        "\"a <sip:a@h>",
        "\"a\" sip:a@h",
        "a, b <sip:a@h>",
        "a@b <sip:a@h>",
        "sip:a@h, sip:b@h",
        "sip:a@h?x=y",
        "sip:a@h b",
        "<sip:a@h> b",
        "<sip:a@h>;",
        "<sip:a@h>;;x",
        "<sip:a@h>;x=",
        "<sip:a@h>;=x",
        "<sip:a@h>;x=\"",
        "<sip:a@h>,",
        "<sip:a@h>;tag=1;tag=2",
        "<sip:a@h>;tag",
        "<sip:a@h>;tag=\"1\"",
        "<sip:a@h>;x=a b",
        "<<sip:a@h>>",
        "*;x",
        "**",
        "sip:a;x=y@h",
        "<sip:a\"b@h>",
        "\"a\"\"b\" <sip:a@h>",
    };
    for (size_t i = 0; i < ARRAY_LEN(good); i++) {
        struct sip_addr a;
        if (sip_addr_parse(str_z(good[i].value), &a) != 0)
            fail_msg("%s", good[i].value);
        check_str(a.display, good[i].display);
        check_str(a.uri, good[i].uri);
        check_str(a.params, good[i].params);
        assert_int_equal(a.brackets, good[i].brackets);
        assert_false(a.star);
    }
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct sip_addr a;
        if (sip_addr_parse(str_z(bad[i]), &a) != ERR_SYNTAX)
            fail_msg("%s passes", bad[i]);
    }
    struct sip_addr a;
    check_err(sip_addr_parse(STR(" * "), &a), 0);
    assert_true(a.star);
    assert_int_equal(a.uri.n, 0);
}

static void test_via(void **state)
{
    (void)state;
    struct sip_via v;
    check_err(sip_via_parse(STR("SIP/2.0/TLS "
                                "h.example.com:5061;branch=z9hG4bK1;rport;alias;keep;ob;ttl=16;"
                                "maddr=224.2.0.1;x=\"y\""),
                            &v),
              0);
    check_str(v.transport, "TLS");
    assert_int_equal(v.transport_id, TRANSPORT_TLS);
    check_str(v.host, "h.example.com");
    assert_int_equal(v.port, 5061);
    check_str(v.branch, "z9hG4bK1");
    assert_true(v.has_rport && v.has_alias && v.has_keep && v.has_ob);
    assert_int_equal(v.rport, 0);
    assert_int_equal(v.ttl, 16);
    check_str(v.maddr, "224.2.0.1");
    check_err(
        sip_via_parse(
            STR(" sip / 2.0 / udp [2001:db8::1] : 5070 ; rport = 99 ; received=[2001:db8::2]"), &v),
        0);
    assert_int_equal(v.transport_id, TRANSPORT_UDP);
    check_str(v.host, "2001:db8::1");
    assert_int_equal(v.port, 5070);
    assert_int_equal(v.rport, 99);
    check_str(v.received, "2001:db8::2");
    check_err(sip_via_parse(STR("SIP/2.0/UDP h;rport=;x"), &v), ERR_SYNTAX);
    check_err(sip_via_parse(STR("SIP/2.0/SCTP h"), &v), 0);
    assert_int_equal(v.transport_id, ERR_UNSUPPORTED);
    static const char *const no_host[] = {
        "",
        "SIP/2.0/UDP",
        "SIP/2.0/UDP ",
        "SIP/2.0 h",
        "SIP/2.0/UDP;x",
        "SIP/2.0/UDP -h",
        "SIP/2.0/UDP h:",
        "SIP/2.0/UDP h:0",
        "SIP/2.0/UDP h:70000",
        "SIP/2.0/UDP [::1",
        "SIP//UDP h",
        "/2.0/UDP h",
        "SIP/2.0/UDP 2001:db8::1",
    };
    static const char *const bad_params[] = {
        "SIP/2.0/UDP h;",
        "SIP/2.0/UDP h;;x",
        "SIP/2.0/UDP h x",
        "SIP/2.0/UDP h;branch",
        "SIP/2.0/UDP h;branch=",
        "SIP/2.0/UDP h;branch=a;branch=b",
        "SIP/2.0/UDP h;branch=\"a\"",
        "SIP/2.0/UDP h;rport=0",
        "SIP/2.0/UDP h;rport=65536",
        "SIP/2.0/UDP h;rport=x",
        "SIP/2.0/UDP h;rport;rport=5",
        "SIP/2.0/UDP h;ttl=256",
        "SIP/2.0/UDP h;ttl=x",
        "SIP/2.0/UDP h;received=1.2.3.4;received=1.2.3.4",
        "SIP/2.0/UDP h;received=1.2.3",
        "SIP/2.0/UDP h;maddr=a_b",
        "SIP/2.0/UDP h;ttl",
    };
    for (size_t i = 0; i < ARRAY_LEN(no_host); i++) {
        if (sip_via_parse(str_z(no_host[i]), &v) != ERR_SYNTAX || v.host.n)
            fail_msg("%s", no_host[i]);
    }
    for (size_t i = 0; i < ARRAY_LEN(bad_params); i++) {
        if (sip_via_parse(str_z(bad_params[i]), &v) != ERR_SYNTAX || !v.host.n)
            fail_msg("%s", bad_params[i]);
    }
}

static void test_params(void **state)
{
    (void)state;
    struct str list = STR(" ;a=1 ; B = \"x;\\\"y\" ;c;a=2; d=[::1]:5 "), rest = list, n, v;
    static const char *const expected[][2] = {
        {"a", "1"}, {"B", "x;\\\"y"}, {"c", ""}, {"a", "2"}, {"d", "[::1]:5"}};
    for (size_t i = 0; i < ARRAY_LEN(expected); i++) {
        assert_true(sip_param_next(&rest, &n, &v));
        check_str(n, expected[i][0]);
        check_str(v, expected[i][1]);
    }
    assert_false(sip_param_next(&rest, &n, &v));
    assert_int_equal(rest.n, 0);
    assert_true(sip_param_find(list, STR("b"), &v));
    check_str(v, "x;\\\"y");
    assert_true(sip_param_find(list, STR("A"), &v)); /* the first of two */
    check_str(v, "1");
    assert_true(sip_param_find(list, STR("c"), NULL));
    assert_false(sip_param_find(list, STR("x"), &v));
    assert_int_equal(v.n, 0);
    rest = STR(";a;;b");
    assert_true(sip_param_next(&rest, &n, &v));
    assert_false(sip_param_next(&rest, &n, &v));
    assert_true(rest.n > 0); /* where it broke */
    check_str(rest, ";;b");
    rest = STR_NULL;
    assert_false(sip_param_next(&rest, &n, &v));
    assert_false(sip_param_find(STR_NULL, STR("a"), NULL));
}

#define HEAD                                                                                       \
    "OPTIONS sip:h SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bKx\r\nFrom: <sip:a@h>;tag=1\r\nTo: " \
    "<sip:b@h>\r\n"                                                                                \
    "Call-ID: c\r\nCSeq: 1 OPTIONS\r\n"

static void check_values(const char *lines, enum sip_hdr_id id, const char *expected, bool bad)
{
    char text[8192], got[2048] = "";
    snprintf(text, sizeof(text), HEAD "%s\r\n", lines);
    struct parsed p = parse(str_z(text));
    check_err(p.err, 0);
    struct sip_values it = sip_values_start(p.msg, id);
    while (sip_values_next(&it)) {
        snprintf(got + strlen(got), sizeof(got) - strlen(got), "[%.*s]", STR_FMT(it.value));
        assert_int_equal(p.msg->hdrs[it.hdr].id, id);
    }
    assert_false(sip_values_next(&it)); /* stays where it is */
    if (strcmp(got, expected) != 0 || it.bad != bad)
        fail_msg("%s gives %s%s", lines, got, it.bad ? " bad" : "");
    parsed_done(&p);
}

static void test_values(void **state)
{
    (void)state;
    check_values("", SIP_H_ROUTE, "", false);
    check_values("Route: <sip:a>\r\nRoute: <sip:b>,<sip:c>\r\n", SIP_H_ROUTE,
                 "[<sip:a>][<sip:b>][<sip:c>]", false);
    check_values("m: \"a,b\" <sip:a,b@h>;x=\"c,d\" , sip:e@h\r\n\t,\r\n sip:f@h\r\n", SIP_H_CONTACT,
                 "[\"a,b\" <sip:a,b@h>;x=\"c,d\"][sip:e@h][sip:f@h]", false);
    check_values("m: \"a\\\",b\" <sip:a@h>,*\r\n", SIP_H_CONTACT, "[\"a\\\",b\" <sip:a@h>][*]",
                 false);
    check_values("Supported:\r\nk: path\r\nSupported: a, b\r\n", SIP_H_SUPPORTED, "[path][a][b]",
                 false);
    check_values("Allow: A,,B\r\n", SIP_H_ALLOW, "[A]", true);
    check_values("Allow: A,\r\n", SIP_H_ALLOW, "[A]", true);
    check_values("Allow: ,A\r\n", SIP_H_ALLOW, "", true);
    check_values("m: \"a, <sip:b@h>\r\n", SIP_H_CONTACT, "", true);
    check_values("m: <sip:b@h, c\r\n", SIP_H_CONTACT, "", true);
    /* not a list: one value a line, commas and comments and all */
    check_values("Date: Sat, 13 Nov 2010 23:29:00 GMT\r\n", SIP_H_DATE,
                 "[Sat, 13 Nov 2010 23:29:00 GMT]", false);
    check_values("User-Agent: a (b, c)\r\n", SIP_H_USER_AGENT, "[a (b, c)]", false);
    check_values("Authorization: Digest a=\"b\", c=d\r\nAuthorization: Digest e=f\r\n",
                 SIP_H_AUTHORIZATION, "[Digest a=\"b\", c=d][Digest e=f]", false);
    /* parentheses mean nothing in a list of addresses */
    check_values("m: sip:a(b@h, sip:c)d@h\r\n", SIP_H_CONTACT, "[sip:a(b@h][sip:c)d@h]", false);

    char many[4096] = "Allow: A", out[4096] = "[A]";
    for (unsigned i = 1; i < LIMIT_MSG_VALUES; i++) {
        strcat(many, ",A");
        strcat(out, "[A]");
    }
    strcat(many, "\r\n");
    check_values(many, SIP_H_ALLOW, out, false);
    strcat(many, "Allow: B\r\n");
    check_values(many, SIP_H_ALLOW, out, true);
}

static void test_tokens(void **state)
{
    (void)state;
    struct parsed p =
        parse(STR(HEAD "Require: path , GRUU;x\r\nRequire: timer\r\nAllow: INVITE\r\n\r\n"));
    assert_true(sip_msg_has_token(p.msg, SIP_H_REQUIRE, STR("Path")));
    assert_true(sip_msg_has_token(p.msg, SIP_H_REQUIRE, STR("gruu")));
    assert_true(sip_msg_has_token(p.msg, SIP_H_REQUIRE, STR("timer")));
    assert_false(sip_msg_has_token(p.msg, SIP_H_REQUIRE, STR("pat")));
    assert_false(sip_msg_has_token(p.msg, SIP_H_SUPPORTED, STR("path")));
    assert_true(sip_msg_has_token(p.msg, SIP_H_ALLOW, STR("INVITE")));
    assert_false(sip_msg_has_token(p.msg, SIP_H_ALLOW, STR("invite"))); /* 7.1 */
    parsed_done(&p);
}

static void test_seconds(void **state)
{
    (void)state;
    static const struct {
        const char *value;
        int err;
        uint32_t seconds;
    } cases[] = {
        {"0", 0, 0},
        {"007", 0, 7},
        {"3600", 0, 3600},
        {"4294967295", 0, UINT32_MAX},
        {"4294967296", 0, UINT32_MAX},
        {"99999999999999999999999999999999", 0, UINT32_MAX},
        {"90;refresher=uas", 0, 90},
        {"5 (in a meeting)", 0, 5},
        {"120 ;duration=60", 0, 120},
        {"", ERR_SYNTAX, 0},
        {"-1", ERR_SYNTAX, 0},
        {"+1", ERR_SYNTAX, 0},
        {"1.5", ERR_SYNTAX, 0},
        {"5 6", ERR_SYNTAX, 0},
        {"0x10", ERR_SYNTAX, 0},
        {"five", ERR_SYNTAX, 0},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        char text[512];
        uint32_t s = 0;
        snprintf(text, sizeof(text), HEAD "Expires: %s\r\n\r\n", cases[i].value);
        struct parsed p = parse(str_z(text));
        check_err(sip_msg_seconds(p.msg, SIP_H_EXPIRES, &s), cases[i].err);
        assert_int_equal(s, cases[i].seconds);
        check_err(sip_msg_seconds(p.msg, SIP_H_MIN_EXPIRES, &s), ERR_NOTFOUND);
        parsed_done(&p);
    }
}

static void test_unquote(void **state)
{
    (void)state;
    static const struct {
        const char *in, *out; /* NULL: refused */
    } cases[] = {
        {"", ""},
        {"plain", "plain"},
        {"\"\"", ""},
        {"\"a b\"", "a b"},
        {" \"a\\\\b\\\"c\" ", "a\\b\"c"},
        {"a\\\"b", "a\"b"},
        {"a \r\n \t b", "a b"},
        {"\"a\r\n b\"", "a b"},
        {"a\r\n b\r\n c", "a b c"},
        {"\"\xc3\xbc\"", "\xc3\xbc"},
        {"a  b", "a  b"},
        {"\"", NULL},
        {"\"a", NULL},
        {"\"a\"b\"", NULL},
        {"\"a\\\"", NULL},
        {"a\\", NULL},
        {"\"a\\\r\n b\"", NULL},
    };
    struct arena *a = arena_new(1024, 65536);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct str s;
        int err = sip_unquote(a, str_z(cases[i].in), &s);
        if (err != (cases[i].out ? 0 : ERR_SYNTAX))
            fail_msg("%s: %d", cases[i].in, err);
        if (!err)
            check_str(s, cases[i].out);
    }
    arena_free(a);
}

static void test_names(void **state)
{
    (void)state;
    assert_int_equal(sip_hdr_parse(STR_NULL), SIP_H_OTHER);
    assert_int_equal(sip_hdr_parse(STR("z")), SIP_H_OTHER);
    assert_int_equal(sip_hdr_parse(STR("@")), SIP_H_OTHER);
    assert_int_equal(sip_hdr_parse(STR("P-Something")), SIP_H_OTHER);
    assert_int_equal(sip_hdr_text(SIP_H_OTHER).n, 0);
    assert_int_equal(sip_hdr_text(SIP_H_N).n, 0);
    for (unsigned id = SIP_H_OTHER + 1; id < SIP_H_N; id++) {
        struct str name = sip_hdr_text((enum sip_hdr_id)id);
        char text[64];
        assert_true(name.n > 1 && name.n < sizeof(text));
        for (size_t i = 0; i < name.n; i++) {
            bool upper = name.p[i] >= 'A' && name.p[i] <= 'Z';
            text[i] = (char)(str_lower(name.p[i]) == name.p[i] && !upper && name.p[i] >= 'a'
                                 ? name.p[i] - 32
                                 : str_lower(name.p[i]));
        }
        if (sip_hdr_parse(name) != id || sip_hdr_parse(str_make(text, name.n)) != id)
            fail_msg("%.*s is not found", STR_FMT(name));
        text[name.n - 1] = '~';
        assert_int_equal(sip_hdr_parse(str_make(text, name.n)), SIP_H_OTHER);
    }
    /* RFC 3261 7.3.3 and the registry of header fields */
    static const struct {
        const char *compact;
        enum sip_hdr_id id;
    } forms[] = {
        {"i", SIP_H_CALL_ID},
        {"m", SIP_H_CONTACT},
        {"e", SIP_H_CONTENT_ENCODING},
        {"l", SIP_H_CONTENT_LENGTH},
        {"c", SIP_H_CONTENT_TYPE},
        {"f", SIP_H_FROM},
        {"s", SIP_H_SUBJECT},
        {"k", SIP_H_SUPPORTED},
        {"t", SIP_H_TO},
        {"v", SIP_H_VIA},
        {"o", SIP_H_EVENT},
        {"r", SIP_H_REFER_TO},
        {"b", SIP_H_REFERRED_BY},
        {"x", SIP_H_SESSION_EXPIRES},
        {"u", SIP_H_ALLOW_EVENTS},
        {"a", SIP_H_ACCEPT_CONTACT},
        {"j", SIP_H_REJECT_CONTACT},
        {"d", SIP_H_REQUEST_DISPOSITION},
        {"y", SIP_H_IDENTITY},
        {"n", SIP_H_IDENTITY_INFO},
    };
    for (size_t i = 0; i < ARRAY_LEN(forms); i++) {
        char upper[2] = {(char)(forms[i].compact[0] - 32), 0};
        assert_int_equal(sip_hdr_parse(str_z(forms[i].compact)), forms[i].id);
        assert_int_equal(sip_hdr_parse(str_z(upper)), forms[i].id);
    }
    assert_true(sip_hdr_is_list(SIP_H_VIA) && sip_hdr_is_list(SIP_H_CONTACT));
    assert_false(sip_hdr_is_list(SIP_H_OTHER) || sip_hdr_is_list(SIP_H_DATE) ||
                 sip_hdr_is_list(SIP_H_FROM));
}

static void test_texts(void **state)
{
    (void)state;
    for (unsigned m = SIP_METHOD_OTHER + 1; m < SIP_METHOD_N; m++)
        assert_int_equal(sip_method_parse(sip_method_text((enum sip_method)m)), m);
    assert_int_equal(sip_method_parse(STR("invite")), SIP_METHOD_OTHER);
    assert_int_equal(sip_method_parse(STR("INVIT")), SIP_METHOD_OTHER);
    assert_int_equal(sip_method_parse(STR_NULL), SIP_METHOD_OTHER);
    assert_int_equal(sip_method_text(SIP_METHOD_OTHER).n, 0);
    check_str(sip_status_text(100), "Trying");
    check_str(sip_status_text(200), "OK");
    check_str(sip_status_text(407), "Proxy Authentication Required");
    check_str(sip_status_text(608), "Rejected");
    for (unsigned status = 0; status < 1000; status++)
        assert_true(sip_status_text(status).n > 0);
    check_str(sip_status_text(499), "Unknown Request Failure");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_addr),    cmocka_unit_test(test_via),
        cmocka_unit_test(test_params),  cmocka_unit_test(test_values),
        cmocka_unit_test(test_tokens),  cmocka_unit_test(test_seconds),
        cmocka_unit_test(test_unquote), cmocka_unit_test(test_names),
        cmocka_unit_test(test_texts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

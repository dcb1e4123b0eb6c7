/* sip/uri: RFC 3261 19.1.1 to 19.1.6 with all its examples, RFC 3966 3 to 6, RFC 5031, RFC 5954. */
#include "msg_help.h"

#include "sip/host.h"

static struct sip_uri ok(const char *text)
{
    struct sip_uri u;
    int err = sip_uri_parse(str_z(text), &u);
    if (err)
        fail_msg("%s: %d", text, err);
    return u;
}

/* RFC 3261 19.1.3 */
static void test_examples(void **state)
{
    (void)state;
    struct sip_uri u = ok("sip:alice@atlanta.com");
    assert_int_equal(u.scheme, SIP_SCHEME_SIP);
    check_str(u.user, "alice");
    check_str(u.host, "atlanta.com");
    assert_int_equal(u.port, 0);
    assert_int_equal(u.params.n + u.headers.n + u.password.n, 0);
    u = ok("sip:alice:secretword@atlanta.com;transport=tcp");
    check_str(u.password, "secretword");
    check_str(u.transport, "tcp");
    check_str(u.params, ";transport=tcp");
    u = ok("sips:alice@atlanta.com?subject=project%20x&priority=urgent");
    assert_int_equal(u.scheme, SIP_SCHEME_SIPS);
    check_str(u.headers, "subject=project%20x&priority=urgent");
    u = ok("sip:+1-212-555-1212:1234@gateway.com;user=phone");
    check_str(u.user, "+1-212-555-1212");
    check_str(u.password, "1234");
    assert_true(u.user_is_phone);
    u = ok("sips:1212@gateway.com");
    check_str(u.user, "1212");
    u = ok("sip:alice@192.0.2.4");
    check_str(u.host, "192.0.2.4");
    u = ok("sip:atlanta.com;method=REGISTER?to=alice%40atlanta.com");
    assert_false(u.has_user);
    check_str(u.method_param, "REGISTER");
    check_str(u.headers, "to=alice%40atlanta.com");
    u = ok("sip:alice;day=tuesday@atlanta.com");
    check_str(u.user, "alice;day=tuesday");
    check_str(u.params, "");
}

static void test_parts(void **state)
{
    (void)state;
    struct sip_uri u = ok(
        "SIP:a@[2001:db8::1]:5070;lr;maddr=239.255.255.1;ob;gr=urn:uuid:f81d4fae;transport=WSS;x");
    assert_int_equal(u.scheme, SIP_SCHEME_SIP);
    assert_true(u.host_is_v6 && u.lr && u.ob && u.has_gr);
    check_str(u.host, "2001:db8::1");
    assert_int_equal(u.port, 5070);
    check_str(u.maddr, "239.255.255.1");
    check_str(u.gr_value, "urn:uuid:f81d4fae");
    check_str(u.transport, "WSS");
    u = ok("sip:alice@Example.com.:5070;lr"); /* of the root's dot nothing must depend (RFC 3261 25.1) */
    check_str(u.host, "Example.com");
    assert_int_equal(u.port, 5070);
    u = ok("sip:h;gr");
    assert_true(u.has_gr);
    assert_int_equal(u.gr_value.n, 0);
    assert_true(ok("sip:h;lr=on").lr);
    assert_false(ok("sip:h;lrx").lr);
    assert_false(ok("sip:lr@h").lr);
    assert_false(ok("sip:a@h;user=ip").user_is_phone);
    u = ok("sip:a:@h"); /* an empty password is one */
    assert_non_null(u.password.p);
    u = ok("tel:+1-201-555-0123");
    assert_int_equal(u.scheme, SIP_SCHEME_TEL);
    check_str(u.user, "+1-201-555-0123");
    u = ok("tel:7042;phone-context=example.com");
    check_str(u.user, "7042");
    check_str(u.params, ";phone-context=example.com");
    u = ok("urn:service:sos.fire");
    assert_int_equal(u.scheme, SIP_SCHEME_URN);
    check_str(u.user, "service:sos.fire");
    u = ok("http://www.example.com/a?b=c");
    assert_int_equal(u.scheme, SIP_SCHEME_OTHER);
    check_str(u.scheme_text, "http");
}

static void test_malformed(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",
        "sip",
        "sip:",
        ":a@b",
        "1sip:a@b",
        "sip:@h",
        "sip::pw@h",
        "sip:a@",
        "sip:a@b@c",
        "sip:a b@h",
        "sip:a@h h",
        "sip:a@h:",
        "sip:a@h:0",
        "sip:a@h:65536",
        "sip:a@h:99999999999999999999",
        "sip:a@h:5060x",
        "sip:a@-h",
        "sip:a@h-",
        "sip:a@h..x",
        "sip:a@.h",
        "sip:a@1.2.3",
        "sip:a@1.2.3.256",
        "sip:a@h_x",
        "sip:a@[::1",
        "sip:a@[]",
        "sip:a@[1:2]",
        "sip:a@[::1]x",
        "sip:2001:db8::10",
        "sip:a@h;",
        "sip:a@h;;lr",
        "sip:a@h;lr;",
        "sip:a@h;=x",
        "sip:a@h;x=",
        "sip:a@h;lr;lr",
        "sip:a@h;x=1;%58=2",
        "tel:+49;ext=1;EXT=1",
        "sip:a@h;transport=udp;Transport=tcp",
        "sip:a@h;maddr=x;%6daddr=y",
        "sip:a@h;transport",
        "sip:a@h?",
        "sip:a@h?x",
        "sip:a@h?x=1&",
        "sip:a@h?=1",
        "sip:a@h?x=1&&y=2",
        "sip:a@h?x=1=2",
        "sip:%4@h",
        "sip:%zz@h",
        "sip:a%@h",
        "sip:a@h;x=%1",
        "sip:a@h?x=%1",
        "sip:<a>@h",
        "sip:\"a\"@h",
        "sip:a@h\r\n",
        "<sip:a@h>",
        "tel:",
        "tel:+",
        "tel:+49x",
        "tel:+-.",
        "tel:abcg",
        "tel:+49;",
        "tel:+49 30",
        "urn:",
        "x:",
        "x:a b",
        "x:<",
        "sip:\xc3\xbc@h",
        "sip:a@\xc3\xbc",
    };
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct sip_uri u;
        int err = sip_uri_parse(str_z(bad[i]), &u);
        if (err != ERR_SYNTAX)
            fail_msg("%s: %d", bad[i], err);
    }
    struct sip_uri u;
    check_err(sip_uri_parse(str_make("sip:a\0b@h", 9), &u), ERR_SYNTAX);
    static char text[LIMIT_URI_BYTES + 2];
    memset(text, 'a', sizeof(text));
    memcpy(text, "sip:", 4);
    text[LIMIT_URI_BYTES - 2] = '@';
    check_err(sip_uri_parse(str_make(text, LIMIT_URI_BYTES), &u), 0);
    check_err(sip_uri_parse(str_make(text, LIMIT_URI_BYTES + 1), &u), ERR_LIMIT);
    char params[8 + 6 * 40] = "sip:h";
    for (unsigned i = 0; i < LIMIT_URI_PARAMS; i++)
        snprintf(params + strlen(params), sizeof(params) - strlen(params), ";a%u=b", i);
    check_err(sip_uri_parse(str_z(params), &u), 0);
    strcat(params, ";a");
    check_err(sip_uri_parse(str_z(params), &u), ERR_LIMIT);
    strcpy(params, "sip:h?a=b");
    for (unsigned i = 1; i < LIMIT_URI_PARAMS; i++)
        strcat(params, "&a=b");
    check_err(sip_uri_parse(str_z(params), &u), 0);
    strcat(params, "&a=");
    check_err(sip_uri_parse(str_z(params), &u), ERR_LIMIT);
}

/* Expectations both ways round: comparison has no direction. */
static void check_eq(const char *a, const char *b, bool expected)
{
    struct sip_uri x = ok(a), y = ok(b);
    if (sip_uri_eq(&x, &y) != expected || sip_uri_eq(&y, &x) != expected)
        fail_msg("%s %s %s", a, expected ? "should equal" : "should differ from", b);
    assert_true(sip_uri_eq(&x, &x));
    assert_true(sip_uri_eq(&y, &y));
}

/* RFC 3261 19.1.4 */
static void test_equal(void **state)
{
    (void)state;
    check_eq("sip:%61lice@atlanta.com;transport=TCP", "sip:alice@AtLanTa.CoM;Transport=tcp", true);
    check_eq("sip:carol@chicago.com", "sip:carol@chicago.com;newparam=5", true);
    check_eq("sip:carol@chicago.com", "sip:carol@chicago.com;security=on", true);
    check_eq("sip:carol@chicago.com;newparam=5", "sip:carol@chicago.com;security=on", true);
    check_eq("sip:biloxi.com;transport=tcp;method=REGISTER?to=sip:bob%40biloxi.com",
             "sip:biloxi.com;method=REGISTER;transport=tcp?to=sip:bob%40biloxi.com", true);
    check_eq("sip:alice@atlanta.com?subject=project%20x&priority=urgent",
             "sip:alice@atlanta.com?priority=urgent&subject=project%20x", true);

    check_eq("SIP:ALICE@AtLanTa.CoM;Transport=udp", "sip:alice@AtLanTa.CoM;Transport=UDP", false);
    check_eq("sip:bob@biloxi.com", "sip:bob@biloxi.com:5060", false);
    check_eq("sip:bob@biloxi.com", "sip:bob@biloxi.com;transport=udp", false);
    check_eq("sip:bob@biloxi.com", "sip:bob@biloxi.com:6000;transport=tcp", false);
    check_eq("sip:carol@chicago.com", "sip:carol@chicago.com?Subject=next%20meeting", false);
    check_eq("sip:bob@phone21.boxesbybob.com", "sip:bob@192.0.2.4", false);
    check_eq("sip:carol@chicago.com", "sip:carol@chicago.com;security=off", true);
    check_eq("sip:carol@chicago.com;security=on", "sip:carol@chicago.com;security=off", false);
}

static void test_equal_rules(void **state)
{
    (void)state;
    check_eq("sip:a@h", "sips:a@h", false);
    check_eq("sip:a@h", "SIP:a@H", true);
    check_eq("sip:h", "sip:a@h", false);
    check_eq("sip:a:p@h", "sip:a@h", false);
    check_eq("sip:a:@h", "sip:a@h", false);
    check_eq("sip:a:p@h", "sip:a:P@h", false);
    check_eq("sip:a;b@h", "sip:a%3bb@h", false); /* reserved: escaping changes the meaning */
    check_eq("sip:a%3Bb@h", "sip:a%3bb@h", true);
    check_eq("sip:a%2d@h", "sip:a-@h", true);
    check_eq("sip:a%2541@h", "sip:aA@h", false);
    check_eq("sip:%00@h", "sip:%00%00@h", false);
    check_eq("sip:a@h;user=phone", "sip:a@h", false);
    check_eq("sip:a@h;ttl=1", "sip:a@h", false);
    check_eq("sip:a@h;method=INVITE", "sip:a@h", false);
    check_eq("sip:a@h;maddr=1.2.3.4", "sip:a@h", false);
    check_eq("sip:a@h;maddr=1.2.3.4", "sip:a@h;maddr=1.2.3.5", false);
    check_eq("sip:a@h;%75ser=phone", "sip:a@h", false); /* an escaped name is the name */
    check_eq("sip:a@h;lr", "sip:a@h", true);
    check_eq("sip:a@h;x=1;y=2", "sip:a@h;Y=2;X=1", true);
    check_eq("sip:a@h;x", "sip:a@h;x=1", false);
    check_eq("sip:a@h?a=1&a=2", "sip:a@h?a=2&a=1", true);
    check_eq("sip:a@h?a=1&a=1", "sip:a@h?a=1&a=2", false);
    check_eq("sip:a@h?a=1&a=2", "sip:a@h?a=1&a=1", false);
    check_eq("sip:a@h?A=1", "sip:a@h?a=1", true);
    check_eq("sip:a@h?a=x", "sip:a@h?a=X", false);
    check_eq("sip:a@[2001:db8:0:0::1]", "sip:a@[2001:DB8::1]", true); /* RFC 5954 4.2 */
    check_eq("sip:a@[2001:db8::1]", "sip:a@[2001:db8::2]", false);
    check_eq("sip:a@[::ffff:192.0.2.1]", "sip:a@192.0.2.1", false);

    /* RFC 3966 4 */
    check_eq("tel:+1-201-555-0123", "TEL:+1(201)5550123", true);
    check_eq("tel:+12015550123", "tel:+12015550124", false);
    check_eq("tel:7042;phone-context=example.com", "tel:7042;phone-context=EXAMPLE.com", true);
    check_eq("tel:7042;phone-context=example.com", "tel:7042", false);
    check_eq("tel:863-1234;phone-context=+1-914-555", "tel:8631234;phone-context=+1914555", true);
    check_eq("tel:863-1234;phone-context=+1-914-555", "tel:8631234;phone-context=+1914556", false);
    check_eq("tel:863-1234;phone-context=-+1-914-555", "tel:8631234;phone-context=+1914555", false);
    check_eq("tel:8631234;phone-context=+1914555", "tel:863-1234;phone-context=-+1-914-555", false);
    check_eq("tel:+49;ext=1-2;a=b", "tel:+49;a=B;ext=12", true);
    check_eq("tel:+49;a=b", "tel:+49", false);
    check_eq("tel:49", "tel:+49", false);
    check_eq("tel:aB;phone-context=h", "tel:Ab;phone-context=h", true);
    check_eq("tel:+49", "sip:+49@h;user=phone", false);

    check_eq("urn:service:sos", "URN:Service:SOS", true);
    check_eq("urn:service:sos", "urn:service:sos.fire", false);
    check_eq("urn:X:a", "urn:x:a", true);
    check_eq("urn:x:A", "urn:x:a", false);
    check_eq("HTTP://h/a", "http://h/a", true);
    check_eq("http://h/A", "http://h/a", false);
}

static void test_aor(void **state)
{
    (void)state;
    static const struct {
        const char *uri, *aor;
    } cases[] = {
        {"sip:Alice@Example.COM", "sip:Alice@example.com"},
        {"sips:%41lice:pw@example.com.:5061;transport=tls?a=b", "sip:Alice@example.com"},
        {"sip:example.com", "sip:example.com"},
        {"sip:a%40b@h", "sip:a%40b@h"},
        {"sip:a%3bb%3Dc@h", "sip:a%3Bb%3Dc@h"},
        {"sip:a;b@h", "sip:a;b@h"},
        {"sip:x%00@h", "sip:x%00@h"},
        {"sip:x%c3%bc@h", "sip:x%C3%BC@h"},
        {"sip:I%20have@h", "sip:I%20have@h"},
        {"sip:a@[2001:DB8:0::1]", "sip:a@[2001:db8::1]"},
        {"sip:a@[::ffff:192.0.2.1]:5060", "sip:a@[::ffff:192.0.2.1]"},
    };
    struct arena *a = arena_new(1024, 65536);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct sip_uri u = ok(cases[i].uri), again;
        struct str aor, twice;
        check_err(sip_uri_aor(a, &u, &aor), 0);
        check_str(aor, cases[i].aor);
        check_err(sip_uri_parse(aor, &again), 0); /* a key is a URI and its own key */
        check_err(sip_uri_aor(a, &again, &twice), 0);
        assert_true(str_eq(aor, twice));
    }
    struct sip_uri u = ok("tel:+49");
    struct str aor;
    check_err(sip_uri_aor(a, &u, &aor), ERR_UNSUPPORTED);
    arena_free(a);
}

static void test_number(void **state)
{
    (void)state;
    static const struct {
        const char *uri, *number;
    } cases[] = {
        {"tel:+1-201-555-0123", "+12015550123"},
        {"tel:+49(30)1.2;ext=5", "+493012"},
        {"tel:7042;phone-context=example.com", NULL},
        {"tel:+1a", NULL},
        {"sip:+1-212-555-1212:1234@gateway.com;user=phone", "+12125551212"},
        {"sip:+1-212-555-1212@gateway.com",
         NULL}, /* separators only where the user is said to be a number */
        {"sip:+12125551212@gateway.com", "+12125551212"},
        {"sip:%2B49%330@h;user=phone", "+4930"},
        {"sip:+4930;npdi@h;user=phone", "+4930"},
        {"sip:1212@gateway.com", "1212"},
        {"sip:alice@h;user=phone", NULL},
        {"sip:12alice@h", NULL},
        {"sip:12+3@h", NULL},
        {"sip:+@h;user=phone", NULL},
        {"sip:h", NULL},
        {"urn:service:sos", NULL},
        {"http:1", NULL},
    };
    struct arena *a = arena_new(1024, 65536);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct sip_uri u;
        struct str n;
        if (sip_uri_parse(str_z(cases[i].uri), &u) != 0) {
            assert_null(cases[i].number);
            continue;
        }
        int err = sip_uri_number(a, &u, &n);
        if (err != (cases[i].number ? 0 : ERR_NOTFOUND))
            fail_msg("%s: %d", cases[i].uri, err);
        if (!err)
            check_str(n, cases[i].number);
    }
    arena_free(a);
}

static void test_unescape(void **state)
{
    (void)state;
    struct arena *a = arena_new(1024, 65536);
    struct str s;
    check_err(sip_unescape(a, STR("a%20b%C3%bc"), &s), 0);
    check_str(s, "a b\xc3\xbc");
    check_err(sip_unescape(a, STR("value%25%34%31"), &s), 0);
    check_str(s, "value%41");
    check_err(sip_unescape(a, STR(""), &s), 0);
    assert_int_equal(s.n, 0);
    static const char *const bad[] = {"%00", "a%00", "%", "%1", "%g1", "%1g", "a%"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        check_err(sip_unescape(a, str_z(bad[i]), &s), ERR_SYNTAX);
    arena_free(a);
}

static void test_host(void **state)
{
    (void)state;
    static const char *const good[] = {
        "a",
        "a.b",
        "example.com.",
        "x1-y.z",
        "1.2.3.a",
        "0.0.0.0",
        "255.255.255.255",
        "::",
        "::1",
        "1::",
        "1:2:3:4:5:6:7:8",
        "1:2:3:4:5:6:1.2.3.4",
        "::1.2.3.4",
        "::ffff:192.0.2.2",
        "2001:db8:::192.0.2.1",
        "1:2:3:4:5:6:7::",
        "::2:3:4:5:6:7:8",
        "1::8",
        "abcd:EF01::",
        "a.b.c.d.e.f",
    };
    static const char *const bad[] = {
        "",
        ".",
        "a..b",
        "-a",
        "a-",
        "a-.b",
        "a.-b",
        "1",
        "a.1",
        "1.2.3",
        "1.2.3.4.5",
        "256.1.1.1",
        "1.2.3.0004",
        ":",
        ":::",
        "1:2",
        "1:2:3:4:5:6:7:8:9",
        "1::2::3",
        "::12345",
        "::g",
        "1:",
        ":1",
        "1:2:3:4:5:6:7:1.2.3.4",
        "::1.2.3",
        "a b",
        "a_b",
        "1::2:3:4:5:6:7:8",
        "fe80::1%eth0",
        "[::1]",
        "a:b",
        "2001:db8:::1",
        "1.2.3.4.",
        "::1.2.3.4:5",
    };
    for (size_t i = 0; i < ARRAY_LEN(good); i++) {
        if (!sip_host_is_valid(str_z(good[i])))
            fail_msg("%s is a host", good[i]);
    }
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        if (sip_host_is_valid(str_z(bad[i])))
            fail_msg("%s is no host", bad[i]);
    }
    assert_false(sip_host_is_valid(STR_NULL));
    char label[300];
    memset(label, 'a', sizeof(label));
    assert_true(sip_host_is_valid(str_make(label, 63)));
    assert_false(sip_host_is_valid(str_make(label, 64)));
    for (size_t i = 60; i < sizeof(label); i += 60)
        label[i] = '.';
    assert_true(sip_host_is_valid(str_make(label, 255)));
    assert_false(sip_host_is_valid(str_make(label, 256)));
    uint8_t b[16], c[16];
    assert_true(sip_ipv6_parse(STR("1::1.2.3.4"), b) &&
                sip_ipv6_parse(STR("1:0:0:0:0:0:102:304"), c));
    assert_memory_equal(b, c, 16);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_examples),    cmocka_unit_test(test_parts),
        cmocka_unit_test(test_malformed),   cmocka_unit_test(test_equal),
        cmocka_unit_test(test_equal_rules), cmocka_unit_test(test_aor),
        cmocka_unit_test(test_number),      cmocka_unit_test(test_unescape),
        cmocka_unit_test(test_host),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* The 49 messages of RFC 4475 and the 12 of RFC 5118's ten cases, from the archives in their
 * appendices, and the treatment those RFCs ask for. (The archive of RFC 5118 has bare line feeds
 * and lengths that fit neither form: its files were given CRLF, the empty line behind the header,
 * and the Content-Length of their bodies.) Where they leave a choice, ours is the strict one,
 * except that the comment says otherwise. */
#include "msg_help.h"

#include "sip/edit.h"

static const char *data_folder;

/* What becomes of a message: well formed (0), answered with a status, or dropped (DROP). */
#define DROP (-1)

struct torture {
    const char *file;
    int expected;
    const char *section;
};

static const struct torture rfc4475[] = {
    /* 3.1.1: valid */
    {"wsinv.dat", 0, "3.1.1.1"},
    {"intmeth.dat", 0, "3.1.1.2"},
    {"esc01.dat", 0, "3.1.1.3"},
    {"escnull.dat", 0, "3.1.1.4"},
    {"esc02.dat", 0, "3.1.1.5"},
    {"lwsdisp.dat", 0, "3.1.1.6"},
    {"longreq.dat", 0, "3.1.1.7"},
    {"dblreq.dat", 0, "3.1.1.8"},
    {"semiuri.dat", 0, "3.1.1.9"},
    {"transports.dat", 0, "3.1.1.10"},
    {"mpart01.dat", 0, "3.1.1.11"},
    {"unreason.dat", 0, "3.1.1.12"},
    {"noreason.dat", 0, "3.1.1.13"},
    /* 3.1.2: invalid */
    {"badinv01.dat", 400, "3.1.2.1"},
    {"clerr.dat", 400, "3.1.2.2"},
    {"ncl.dat", 400, "3.1.2.3"},
    {"scalar02.dat", 400, "3.1.2.4"},
    {"scalarlg.dat", DROP, "3.1.2.5"},
    {"quotbal.dat", 400, "3.1.2.6"},
    {"ltgtruri.dat", 400, "3.1.2.7"},
    {"lwsruri.dat", 400, "3.1.2.8"},
    {"lwsstart.dat", 400, "3.1.2.9"},
    {"trws.dat", 400, "3.1.2.10"},
    {"escruri.dat", 400, "3.1.2.11"},
    {"baddate.dat", 0, "3.1.2.12"},  /* not rejected for a Date that nothing here needs */
    {"regbadct.dat", 0, "3.1.2.13"}, /* whoever reads the Contact rejects it: test_contacts */
    {"badaspec.dat", 400, "3.1.2.14"},
    {"baddn.dat", 400, "3.1.2.15"},
    {"badvers.dat", 505, "3.1.2.16"},
    {"mismatch01.dat", 400, "3.1.2.17"},
    {"mismatch02.dat", 501, "3.1.2.18"},
    {"bigcode.dat", DROP, "3.1.2.19"},
    /* 3.2 and 3.3: what lies above the parser is decided above it */
    {"badbranch.dat", 400, "3.2.1"},
    {"insuf.dat", 400, "3.3.1"},
    {"unkscm.dat", 0, "3.3.2"}, /* 416 by whoever routes it */
    {"novelsc.dat", 0, "3.3.3"},
    {"unksm2.dat", 0, "3.3.4"},
    {"bext01.dat", 0, "3.3.5"},
    {"invut.dat", 0, "3.3.6"},
    {"regaut01.dat", 0, "3.3.7"},
    {"multi01.dat", 400, "3.3.8"},
    {"mcl01.dat", 400, "3.3.9"},
    {"bcast.dat", 0, "3.3.10"}, /* the transaction layer does not forward it */
    {"zeromf.dat", 0, "3.3.11"},
    {"cparam01.dat", 0, "3.3.12"},
    {"cparam02.dat", 0, "3.3.13"},
    {"regescrt.dat", 0, "3.3.14"},
    {"sdp01.dat", 0, "3.3.15"},
    {"inv2543.dat", 0, "3.4.1"},
    /* in the archive, not in the text: a request line without version */
    {"test.dat", DROP, "A.1"},
};

static const struct torture rfc5118[] = {
    {"ipv6-good", 0, "4.1"},
    {"ipv6-bad", 400, "4.2"},
    {"port-ambiguous", 0, "4.3"},
    {"port-unambiguous", 0, "4.4"},
    {"via-received-param-with-delim", 0, "4.5"},
    {"via-received-param-no-delim", 0, "4.5"},
    {"ipv6-in-sdp", 0, "4.6"},
    {"mult-ip-in-header", 0, "4.7"},
    {"mult-ip-in-sdp", 0, "4.8"},
    {"ipv4-mapped-ipv6", 0, "4.9"},
    {"ipv6-bug-abnf-3-colons", 0, "4.10"},
    {"ipv6-correct-abnf-2-colons", 0, "4.10"},
};

static struct parsed load(const char *sub, const char *file)
{
    char name[128];
    snprintf(name, sizeof(name), "%s/%s", sub, file);
    return parse(file_read(data_folder, name));
}

static void run_table(const char *sub, const struct torture *table, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        struct parsed p = load(sub, table[i].file);
        int got = p.err ? DROP : p.msg->defect.sip_status;
        if (got != table[i].expected) {
            fail_msg("%s (%s %s): %d, expected %d: %s %s", table[i].file, sub, table[i].section,
                     got, table[i].expected,
                     p.err                ? p.why.code
                     : p.msg->defect.code ? p.msg->defect.code
                                          : "-",
                     p.err ? p.why.detail : p.msg->defect.detail);
        }
        if (got > 0) { /* what deserves an answer can be given it, and the answer is well formed */
            struct sip_response r = {.status = (unsigned)got, .to_tag = STR("t0rture")};
            struct buf *out = NULL;
            check_err(sip_response_build(p.msg, &r, &out), 0);
            struct parsed q = parse(buf_str(out));
            bool copies_defect =
                q.err != 0; /* a malformed Via, From, To or CSeq goes back as it came (8.2.6.2) */
            if (!copies_defect)
                assert_int_equal(q.msg->status, got);
            parsed_done(&q);
            buf_unref(out);
        }
        if (got == 0) {
            struct sip_edit *e = sip_edit_new(p.arena, p.msg);
            struct buf *out = NULL;
            assert_non_null(e);
            check_err(sip_edit_build(e, &out), 0);
            if (sip_msg_has(p.msg, SIP_H_CONTENT_LENGTH))
                assert_true(str_eq(buf_str(out), p.msg->bytes)); /* not edited: byte for byte */
            buf_unref(out);
        }
        parsed_done(&p);
    }
}

static void test_rfc4475(void **state)
{
    (void)state;
    assert_int_equal(ARRAY_LEN(rfc4475), 49 + 1);
    run_table("rfc4475", rfc4475, ARRAY_LEN(rfc4475));
}

static void test_rfc5118(void **state)
{
    (void)state;
    run_table("rfc5118", rfc5118, ARRAY_LEN(rfc5118));
}

static void test_wsinv(void **state) /* 3.1.1.1 */
{
    (void)state;
    struct parsed p = load("rfc4475", "wsinv.dat");
    struct sip_msg *m = p.msg;
    assert_int_equal(m->method, SIP_INVITE);
    check_str(m->ruri, "sip:vivekg@chair-dnrc.example.com;unknownparam");
    check_str(m->to_tag, "1918181833n");
    check_str(m->from_tag, "98asjd8");
    check_str(m->from.display, "J Rosenberg \\\\\\\"");
    struct str plain;
    check_err(sip_unquote(p.arena, m->from.display, &plain), 0);
    check_str(plain, "J Rosenberg \\\"");
    assert_int_equal(m->max_forwards, 68);
    assert_int_equal(m->cseq, 9);
    assert_int_equal(m->cseq_method, SIP_INVITE);
    check_str(m->call_id, "wsinv.ndaksdj@192.0.2.1");
    assert_int_equal(m->body.n, 150);
    check_str(m->via.host, "192.0.2.2");
    check_str(m->via.branch, "390skdjuw");
    struct sip_values it = sip_values_start(m, SIP_H_VIA);
    struct sip_via v[3];
    for (int i = 0; i < 3; i++) {
        assert_true(sip_values_next(&it));
        check_err(sip_via_parse(it.value, &v[i]), 0);
    }
    assert_false(sip_values_next(&it));
    assert_false(it.bad);
    check_str(v[1].transport, "TCP");
    check_str(v[1].host, "spindle.example.com");
    check_str(v[1].branch, "z9hG4bK9ikj8");
    check_str(v[2].host, "192.168.255.111");
    check_str(v[2].branch, "z9hG4bK30239");
    const struct sip_hdr *h = sip_msg_hdr_named(m, STR("UNKNOWNheaderWithUnusualValue"), 0);
    assert_non_null(h);
    check_str(h->value, ";;,,;;,;");
    h = sip_msg_hdr(m, SIP_H_SUBJECT, 0);
    assert_non_null(h);
    assert_int_equal(h->value.n, 0);
    struct str folded;
    h = sip_msg_hdr_named(m, STR("NewFangledHeader"), 0);
    check_err(sip_unquote(p.arena, h->value, &folded), 0);
    check_str(folded, "newfangled value continued newfangled value");
    struct sip_addr contact;
    struct str param;
    it = sip_values_start(m, SIP_H_CONTACT);
    assert_true(sip_values_next(&it));
    check_err(sip_addr_parse(it.value, &contact), 0);
    check_str(contact.uri, "sip:jdrosen@example.com");
    assert_true(sip_param_find(contact.params, STR("newparam"), &param));
    check_str(param, "newvalue");
    assert_true(sip_param_find(contact.params, STR("secondparam"), &param));
    assert_int_equal(param.n, 0);
    assert_true(sip_param_find(contact.params, STR("Q"), &param));
    check_str(param, "0.33");
    parsed_done(&p);
}

static void test_intmeth(void **state) /* 3.1.1.2 */
{
    (void)state;
    struct parsed p = load("rfc4475", "intmeth.dat");
    struct sip_msg *m = p.msg;
    assert_int_equal(m->method, SIP_METHOD_OTHER);
    check_str(m->method_text, "!interesting-Method0123456789_*+`.%indeed'~");
    check_str(m->uri.user, "1_unusual.URI~(to-be!sure)&isn't+it$/crazy?,/;;*");
    check_str(m->uri.password, "&it+has=1,weird!*pas$wo~d_too.(doesn't-it)");
    check_str(m->uri.host, "example.com");
    check_str(m->via.branch, "z9hG4bK-.!%66*_+`'~");
    struct str plain;
    check_err(sip_unquote(p.arena, m->to.display, &plain), 0);
    assert_true(str_eq(plain, str_make("BEL:\x07 NUL:\x00 DEL:\x7f", 17)));
    check_str(m->from.display, "token1~` token2'+_ token3*%!.-");
    check_str(m->from_tag, "_token~1'+`*%!-.");
    struct str param;
    assert_true(sip_param_find(m->from.params, STR("fromparam''~+*_!.-%"), &param));
    assert_true(str_is_utf8(param));
    check_str(m->call_id, "intmeth.word%ZK-!.*_+'@word`~)(><:\\/\"][?}{");
    assert_int_equal(m->max_forwards, 255);
    parsed_done(&p);
}

static void test_escapes(void **state) /* 3.1.1.3 to 3.1.1.5, 3.1.1.9 */
{
    (void)state;
    struct parsed p = load("rfc4475", "esc01.dat");
    struct sip_uri u, v;
    struct sip_addr contact;
    check_str(p.msg->uri.user, "sips%3Auser%40example.com");
    check_err(sip_uri_parse(p.msg->to.uri, &u), 0);
    check_err(sip_uri_parse(STR("sip:user@example.com"), &v), 0);
    assert_true(sip_uri_eq(&u, &v));
    check_err(sip_addr_parse(sip_msg_hdr(p.msg, SIP_H_CONTACT, 0)->value, &contact), 0);
    check_err(sip_uri_parse(contact.uri, &u), 0);
    assert_true(u.lr); /* ";%6C%72" */
    check_err(sip_uri_parse(STR("sip:caller@host5.example.net;lr;name=value%2541"), &v), 0);
    assert_true(sip_uri_eq(&u, &v)); /* unescaped once, not twice */
    check_err(sip_uri_parse(STR("sip:caller@host5.example.net;lr;name=valueA"), &v), 0);
    assert_false(sip_uri_eq(&u, &v));
    parsed_done(&p);

    p = load("rfc4475", "escnull.dat");
    struct str aor;
    check_err(sip_uri_parse(p.msg->to.uri, &u), 0);
    check_err(sip_uri_aor(p.arena, &u, &aor), 0);
    check_str(aor, "sip:null-%00-null@example.com");
    check_err(sip_unescape(p.arena, u.user, &aor), ERR_SYNTAX);
    struct sip_values it = sip_values_start(p.msg, SIP_H_CONTACT);
    assert_true(sip_values_next(&it));
    check_err(sip_addr_parse(it.value, &contact), 0);
    check_err(sip_uri_parse(contact.uri, &u), 0);
    assert_true(sip_values_next(&it));
    check_err(sip_addr_parse(it.value, &contact), 0);
    check_err(sip_uri_parse(contact.uri, &v), 0);
    assert_false(sip_uri_eq(&u, &v)); /* two bindings, not one */
    parsed_done(&p);

    p = load("rfc4475", "esc02.dat");
    assert_int_equal(p.msg->method, SIP_METHOD_OTHER);
    check_str(p.msg->to.display, "%Z%45");
    it = sip_values_start(p.msg, SIP_H_CONTACT);
    assert_true(sip_values_next(&it) && sip_values_next(&it));
    assert_false(sip_values_next(&it));
    assert_non_null(sip_msg_hdr_named(p.msg, STR("C%6Fntact"), 0));
    parsed_done(&p);

    p = load("rfc4475", "semiuri.dat");
    check_str(p.msg->uri.user, "user;par=u%40example.net");
    check_str(p.msg->uri.host, "example.com");
    parsed_done(&p);
}

static void test_bodies(void **state) /* 3.1.1.8, 3.1.1.11 */
{
    (void)state;
    struct parsed p = load("rfc4475", "dblreq.dat");
    assert_int_equal(p.msg->body.n, 0);
    assert_ptr_equal(p.msg->bytes.p + p.msg->bytes.n,
                     p.msg->head.p + p.msg->head.n); /* the INVITE does not go on */
    parsed_done(&p);

    p = load("rfc4475", "mpart01.dat");
    struct sip_part part[LIMIT_BODY_PARTS];
    size_t n = ARRAY_LEN(part);
    check_err(sip_body_parts(p.msg, part, &n, &p.why), 0);
    assert_int_equal(n, 2);
    check_str(part[0].content_type, "text/plain");
    check_str(part[0].body, "Hello");
    check_str(part[1].content_type, "application/octet-stream");
    assert_true(memchr(part[1].body.p, 0, part[1].body.n) != NULL);
    assert_int_equal(part[1].body.n, 342);
    parsed_done(&p);
}

static void test_contacts(void **state) /* 3.1.2.1, 3.1.2.13, 3.3.12 to 3.3.14 */
{
    (void)state;
    static const struct {
        const char *file, *uri, *params;
    } cases[] = {
        {"badinv01.dat", NULL, NULL},
        {"regbadct.dat", NULL, NULL},
        {"cparam01.dat", "sip:+19725552222@gw1.example.net", ";unknownparam"},
        {"cparam02.dat", "sip:+19725552222@gw1.example.net;unknownparam", ""},
        {"regescrt.dat", "sip:user@example.com?Route=%3Csip:sip.example.com%3E", ""},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct parsed p = load("rfc4475", cases[i].file);
        struct sip_values it = sip_values_start(p.msg, SIP_H_CONTACT);
        struct sip_addr a;
        assert_true(sip_values_next(&it));
        int err = sip_addr_parse(it.value, &a);
        check_err(err, cases[i].uri ? 0 : ERR_SYNTAX);
        if (!err) {
            check_str(a.uri, cases[i].uri);
            check_str(a.params, cases[i].params);
        }
        parsed_done(&p);
    }
}

static void test_others(void **state)
{
    (void)state;
    struct parsed p = load("rfc4475", "lwsdisp.dat");
    check_str(p.msg->from.display, "caller");
    check_str(p.msg->from.uri, "sip:caller@example.com");
    parsed_done(&p);
    p = load("rfc4475", "longreq.dat");
    struct sip_values it = sip_values_start(p.msg, SIP_H_VIA);
    while (sip_values_next(&it)) {
    }
    assert_false(it.bad);
    assert_int_equal(it.n, 34);
    parsed_done(&p);
    p = load("rfc4475", "transports.dat");
    static const int transports[] = {0, ERR_UNSUPPORTED, 2, ERR_UNSUPPORTED, 1};
    it = sip_values_start(p.msg, SIP_H_VIA);
    for (size_t i = 0; i < ARRAY_LEN(transports); i++) {
        struct sip_via v;
        assert_true(sip_values_next(&it));
        check_err(sip_via_parse(it.value, &v), 0);
        assert_int_equal(v.transport_id, transports[i]);
    }
    parsed_done(&p);
    p = load("rfc4475", "unreason.dat");
    assert_true(str_is_utf8(p.msg->phrase));
    assert_int_equal(p.msg->phrase.n, 74);
    parsed_done(&p);
    p = load("rfc4475", "noreason.dat");
    assert_int_equal(p.msg->status, 100);
    assert_int_equal(p.msg->phrase.n, 0);
    parsed_done(&p);
    p = load("rfc4475", "unkscm.dat");
    assert_int_equal(p.msg->uri.scheme, SIP_SCHEME_OTHER);
    check_str(p.msg->uri.scheme_text, "nobodyKnowsThisScheme");
    parsed_done(&p);
    p = load("rfc4475", "bext01.dat");
    assert_true(sip_msg_has_token(p.msg, SIP_H_REQUIRE, STR("nothingsupportsthiseither")));
    assert_false(sip_msg_has_token(p.msg, SIP_H_REQUIRE, STR("nothing")));
    parsed_done(&p);
    p = load("rfc4475", "zeromf.dat");
    assert_int_equal(p.msg->max_forwards, 0);
    parsed_done(&p);
    p = load("rfc4475", "inv2543.dat");
    assert_int_equal(p.msg->max_forwards, -1);
    assert_int_equal(p.msg->from_tag.n, 0);
    assert_int_equal(p.msg->via.branch.n, 0);
    assert_int_equal(p.msg->body.n, 105);
    parsed_done(&p);
}

static void test_ipv6(void **state)
{
    (void)state;
    struct parsed p = load("rfc5118", "ipv6-good");
    assert_true(p.msg->uri.host_is_v6);
    check_str(p.msg->uri.host, "2001:db8::10");
    check_str(p.msg->via.host, "2001:db8::9:1");
    parsed_done(&p);
    p = load("rfc5118", "port-ambiguous");
    check_str(p.msg->uri.host, "2001:db8::10:5070");
    assert_int_equal(p.msg->uri.port, 0);
    parsed_done(&p);
    p = load("rfc5118", "port-unambiguous");
    check_str(p.msg->uri.host, "2001:db8::10");
    assert_int_equal(p.msg->uri.port, 5070);
    parsed_done(&p);
    p = load("rfc5118", "via-received-param-with-delim");
    check_str(p.msg->via.received, "2001:db8::9:255");
    parsed_done(&p);
    p = load("rfc5118", "via-received-param-no-delim");
    check_str(p.msg->via.received, "2001:db8::9:255");
    parsed_done(&p);
    p = load("rfc5118", "ipv4-mapped-ipv6");
    check_str(p.msg->via.host, "::ffff:192.0.2.10");
    assert_int_equal(p.msg->via.port, 19823);
    parsed_done(&p);
    struct parsed q = load("rfc5118", "ipv6-correct-abnf-2-colons");
    p = load("rfc5118", "ipv6-bug-abnf-3-colons");
    assert_true(sip_uri_eq(&p.msg->uri, &q.msg->uri));
    parsed_done(&p);
    parsed_done(&q);
}

int main(int argc, char **argv)
{
    data_folder = argc > 1 ? argv[1] : ".";
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rfc4475),  cmocka_unit_test(test_rfc5118),
        cmocka_unit_test(test_wsinv),    cmocka_unit_test(test_intmeth),
        cmocka_unit_test(test_escapes),  cmocka_unit_test(test_bodies),
        cmocka_unit_test(test_contacts), cmocka_unit_test(test_others),
        cmocka_unit_test(test_ipv6),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

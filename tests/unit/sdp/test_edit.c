/* Edits leave every other byte as it was. */
#include "check.h"

#include "oom.h"
#include "sdp/edit.h"
#include "texts.h"

static struct arena *arena;
static struct sdp *sdp;

static int setup(void **state)
{
    (void)state;
    arena = arena_new(4096, 1 << 20);
    return arena ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    arena_free(arena);
    return 0;
}

static struct sdp_edit *edit(const char *text)
{
    assert_int_equal(sdp_parse(arena, str_z(text), &sdp, NULL), 0);
    struct sdp_edit *e = sdp_edit_new(arena, sdp);
    assert_non_null(e);
    return e;
}

static void expect(struct sdp_edit *e, const char *text)
{
    struct str out;
    check_err(sdp_edit_build(e, &out), 0);
    check_str(out, text);
}

static struct addr host(const char *text)
{
    struct addr a;
    assert_int_equal(addr_parse(&a, str_z(text), 0), 0);
    return a;
}

static void nothing(void **state)
{
    (void)state;
    static const char *const texts[] = {KEYED, BROWSER, PLAIN "\r\n\r\n",
                                        "v=0\no=- 1 1 IN IP4 a\nm=audio 1 RTP/AVP   0 \ny=1",
                                        "v=0\r\no=-  1 1 IN IP4 a\ns=mixed ends\r\na=x: \n"};
    for (size_t i = 0; i < ARRAY_LEN(texts); i++)
        expect(edit(texts[i]), texts[i]);
}

/* What a relay does. */
static void relay(void **state)
{
    (void)state;
    struct sdp_edit *e = edit(
        "v=0\no=a 1 7 IN IP4 10.0.0.1\ns=x\nc=IN IP4 10.0.0.1\nt=0 0\na=q\n"
        "m=audio 40000/2 RTP/AVP 0 8\nc=IN IP4 10.0.0.2/5\nc=IN IP4 10.0.0.3\na=rtcp:5\na=y:1\n"
        "m=video 4 RTP/AVP 31\ni=v\nb=AS:1");
    struct addr a = host("192.0.2.1"), b = host("2001:db8::9");
    sdp_edit_origin(e, &a, STR("8"));
    sdp_edit_conn(e, SDP_SESSION, &a);
    sdp_edit_conn(e, 0, &a);
    sdp_edit_conn(e, 1, &a);
    sdp_edit_conn(e, 1, &b);
    sdp_edit_port(e, 0, 30000);
    sdp_edit_proto(e, 0, STR("RTP/SAVP"));
    sdp_edit_fmts(e, 1, STR("31 96"));
    sdp_edit_attr_set(e, 0, STR("rtcp"), STR("30001"));
    sdp_edit_attr_add(e, 0, STR("crypto"), STR("1 A inline:x"));
    sdp_edit_attr_add(e, 1, STR("rtcp-mux"), STR_NULL);
    expect(e, "v=0\no=a 1 8 IN IP4 192.0.2.1\ns=x\nc=IN IP4 192.0.2.1\nt=0 0\na=q\n"
              "m=audio 30000 RTP/SAVP 0 8\nc=IN IP4 192.0.2.1\na=rtcp:30001\na=y:1\na=crypto:1 A "
              "inline:x\n"
              "m=video 4 RTP/AVP 31 96\ni=v\nc=IN IP6 2001:db8::9\nb=AS:1\na=rtcp-mux\n");
}

static void attributes(void **state)
{
    (void)state;
    struct sdp_edit *e = edit(
        PLAIN
        "a=k:1\r\nm=audio 1/3 RTP/AVP 0\r\na=k:2\r\na=l\r\na=k:3\r\na=sendonly\r\na=inactive\r\n");
    sdp_edit_attr_remove(e, SDP_SESSION, STR("k"));
    sdp_edit_line_replace(e, sdp_attr_named(sdp, 0, STR("k"), 1), STR("33"));
    sdp_edit_line_remove(e, sdp_attr_named(sdp, 0, STR("l"), 0));
    sdp_edit_direction(e, 0, SDP_SENDRECV);
    sdp_edit_proto(e, 0, STR("RTP/SAVP"));
    expect(e, PLAIN "m=audio 1/3 RTP/SAVP 0\r\na=k:2\r\na=k:33\r\na=sendrecv\r\n");
    e = edit(PLAIN "m=audio 1 RTP/AVP 0\r\na=k:2\r\na=k:3\r\n");
    sdp_edit_attr_set(e, 0, STR("k"), STR("9"));
    sdp_edit_direction(e, 0, SDP_INACTIVE);
    sdp_edit_direction(e, 0, SDP_RECVONLY);
    expect(e, PLAIN "m=audio 1 RTP/AVP 0\r\na=k:9\r\na=recvonly\r\n");
    e = edit(PLAIN "m=audio 1 RTP/AVP 0\r\n");
    for (int i = 0; i < 100; i++) /* more than the first table holds */
        sdp_edit_attr_add(e, SDP_SESSION, STR("z"), STR("0"));
    struct str out;
    assert_int_equal(sdp_edit_build(e, &out), 0);
    assert_int_equal(out.n, strlen(PLAIN "m=audio 1 RTP/AVP 0\r\n") + 100 * 7);
}

static void refused(void **state)
{
    (void)state;
    struct str out;
    struct sdp_edit *e = edit(KEYED);
    sdp_edit_attr_add(e, 0, STR("x"), STR("1\r\na=crypto:1"));
    check_err(sdp_edit_build(e, &out), ERR_INVALID);
    e = edit(KEYED);
    sdp_edit_attr_add(e, 0, STR("x y"), STR("1"));
    check_err(sdp_edit_build(e, &out), ERR_INVALID);
    e = edit(KEYED);
    sdp_edit_port(e, 2, 1);
    check_err(sdp_edit_build(e, &out), ERR_INVALID);
    e = edit(KEYED);
    sdp_edit_port(e, SDP_SESSION, 1);
    check_err(sdp_edit_build(e, &out), ERR_INVALID);
    e = edit(KEYED);
    sdp_edit_fmts(e, 0, STR(" "));
    check_err(sdp_edit_build(e, &out), ERR_INVALID);
    e = edit(KEYED);
    sdp_edit_proto(e, 0, STR("RTP/AVP 0\r\n"));
    check_err(sdp_edit_build(e, &out), ERR_INVALID);
    e = edit(KEYED);
    sdp_edit_line_remove(e, &sdp->lines[0]);
    check_err(sdp_edit_build(e, &out), ERR_INVALID);
}

static void oom(void **state)
{
    (void)state;
    struct addr a = host("192.0.2.1");
    OOM_SWEEP(80, {
        struct arena *mem = arena_new(64, 1 << 20);
        struct sdp *s;
        struct str out;
        if (mem != NULL && sdp_parse(mem, STR(KEYED), &s, NULL) == 0) {
            struct sdp_edit *e = sdp_edit_new(mem, s);
            if (e != NULL) {
                sdp_edit_origin(e, &a, STR("9"));
                sdp_edit_conn(e, 1, &a);
                sdp_edit_port(e, 0, 5);
                for (int i = 0; i < 20; i++)
                    sdp_edit_attr_add(e, 0, STR("x"), STR("y"));
                sdp_edit_direction(e, 1, SDP_INACTIVE);
                (void)!sdp_edit_build(e, &out);
            }
        }
        arena_free(mem);
    });
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(relay, setup, teardown),
        cmocka_unit_test_setup_teardown(attributes, setup, teardown),
        cmocka_unit_test_setup_teardown(refused, setup, teardown),
        cmocka_unit_test(oom),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* The Identity header field: RFC 8224 4, RFC 8946 4.1, RFC 4474 9. */
#include "check.h"

#include "base/limits.h"
#include "base/sbuf.h"
#include "identity/identity_hdr.h"
#include "oom.h"
#include "vectors.h"

static struct arena *arena;

static int setup(void **state)
{
    (void)state;
    arena = arena_new(8192, 1 << 20);
    return arena ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    arena_free(arena);
    return 0;
}

static void values(void **state)
{
    struct identity_hdr h;
    struct reason why;

    (void)state;
    check_err(identity_hdr_parse(arena,
                                 STR(RFC8224_FULL ";info=<https://biloxi.example.org/biloxi.cert>"),
                                 &h, &why),
              0);
    check_str(h.token, RFC8224_FULL);
    check_str(h.info, "https://biloxi.example.org/biloxi.cert");
    assert_null(h.alg.p);
    assert_null(h.ppt.p);
    assert_false(h.is_rfc4474);
    check_err(identity_hdr_parse(arena,
                                 STR(RFC8946_DIV "; \\\r\n info=<https://a.example/c>;ppt=\"div\""),
                                 &h, &why),
              ERR_SYNTAX); /* the backslash is the RFC's line break, not the header's */
    check_err(identity_hdr_parse(
                  arena,
                  STR(RFC8946_DIV ";\r\n info = <https://a.example/c> ; PPT=\"div\" ;alg=ES256"),
                  &h, &why),
              0);
    check_str(h.ppt, "div");
    check_str(h.alg, "ES256");
    check_str(h.info, "https://a.example/c");
    check_err(identity_hdr_parse(arena,
                                 STR("..abc;info=<https://a.example/c,d;e>;x;y=z;z=\"a;\\\"b\";v="
                                     "[::1]"),
                                 &h, &why),
              0);
    check_str(h.info, "https://a.example/c,d;e");
    check_str(h.token, "..abc");
}

static void bad_values(void **state)
{
    static const char *const bad[] = {
        "",
        ";info=<https://a>",
        "a.b.c",
        "a.b.c;",
        "a.b.c;info=https://a",
        "a.b.c;info=<https://a",
        "a.b.c;info=<>",
        "a.b.c;info=<nocolon>",
        "a.b.c;info=<https://a b>",
        "a.b.c;info=<https://a>;info=<https://b>",
        "a.b.c;info=<https://a>;ppt=div;ppt=shaken",
        "a.b.c;info=<https://a>;alg",
        "a.b.c;info=<https://a>;alg=",
        "a.b.c;info=<https://a>;alg=\"\"",
        "a.b.c;info=<https://a>;alg=\"ES256",
        "a.b.c;info=<https://a>;alg=\"ES256\\",
        "a.b.c;info=<https://a>;x=[::1",
        "a.b.c;info=<https://a>;=b",
        "a.b.c;info=<https://a> x",
        "a.b.c;info=<https://a>,d.e.f;info=<https://b>",
        "a.b=.c;info=<https://a>",
        "a b.c;info=<https://a>",
        "\"abc",
        "\"abc\" x",
        "\"ab\x01c\"",
    };
    struct identity_hdr h;
    struct reason why;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        int err = identity_hdr_parse(arena, str_z(bad[i]), &h, &why);

        if (err != ERR_SYNTAX || why.sip_status != 438)
            fail_msg("%s gives %d", bad[i], err);
    }
}

static void limits(void **state)
{
    static char text[LIMIT_IDENTITY_VALUE_BYTES + 32];
    struct identity_hdr h;
    struct reason why;

    (void)state;
    memset(text, 'a', sizeof(text));
    check_err(identity_hdr_parse(arena, str_make(text, sizeof(text)), &h, &why), ERR_LIMIT);
    memcpy(text, "a.b.c;info=<https://", 20);
    text[20 + LIMIT_IDENTITY_URL_BYTES] = '>';
    check_err(identity_hdr_parse(arena, str_make(text, 21 + LIMIT_IDENTITY_URL_BYTES), &h, &why),
              ERR_LIMIT);
    assert_int_equal(why.sip_status, 436);
}

static void built(void **state)
{
    struct passport p;
    struct identity_hdr h;
    struct reason why;
    struct str text;

    (void)state;
    check_err(passport_parse(arena, STR(RFC8946_DIV), &p, &why), 0);
    text = identity_hdr_of(arena, &p, p.signature, false);
    check_str(text, RFC8946_DIV ";info=<https://www.example.com/cert.cer>;alg=ES256;ppt=div");
    check_err(identity_hdr_parse(arena, text, &h, &why), 0);
    check_str(h.token, RFC8946_DIV);
    check_str(h.ppt, "div");
    check_err(passport_parse(arena, STR(RFC8225_TOKEN), &p, &why), 0);
    text = identity_hdr_of(arena, &p, STR("c2ln"), true);
    check_str(text, "..c2ln;info=<https://cert.example.org/passport.cer>;alg=ES256");
}

static void rfc4474(void **state)
{
    struct identity_hdr h;
    struct reason why;

    (void)state;
    check_err(
        identity_hdr_parse(arena,
                           STR("\"sv5CTo05KqpSmtHt3dcEiO/1CWTSZtnG3iV+1nmurLXV/"
                               "HmtyNS7Ltrg9dlxkWzo\r\n      "
                               "eU7d7OV8HweTTDobV3itTmgPwCFjaEmMyEI3d7SyN21yNDo2ER/"
                               "Ovgtw0Lu5csIp\r\n\tpPqOg1uXndzHbG7mR6Rl9BnUhHufVRbp51Mn3w0gfUs=\""),
                           &h, &why),
        0);
    assert_true(h.is_rfc4474);
    assert_int_equal(h.token.n, 172);
    check_err(
        identity_info_parse(STR("<https://biloxi.example.org/biloxi.cer>;alg=rsa-sha1"), &h, &why),
        0);
    check_str(h.info, "https://biloxi.example.org/biloxi.cer");
    check_str(h.alg, "rsa-sha1");
    check_err(
        identity_info_parse(STR("https://biloxi.example.org/biloxi.cer;alg=rsa-sha1"), &h, &why),
        ERR_SYNTAX);
}

static void no_memory(void **state)
{
    (void)state;
    OOM_SWEEP(20, {
        struct arena *a = arena_new(64, 4096);
        struct identity_hdr h;
        struct passport p = {.x5u = STR("https://a"), .input = STR("a.b")};
        int err = a ? identity_hdr_parse(a,
                                         STR("\"abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvw"
                                             "xyzabcdefghijklmnopqrstuvwxyz\""),
                                         &h, NULL)
                    : ERR_NOMEM;

        assert_true(err == 0 || err == ERR_NOMEM);
        if (err == 0 && !identity_hdr_of(a, &p, STR("c"), false).p)
            err = ERR_NOMEM;
        arena_free(a);
    });
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values), cmocka_unit_test(bad_values), cmocka_unit_test(limits),
        cmocka_unit_test(built),  cmocka_unit_test(rfc4474),    cmocka_unit_test(no_memory),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}

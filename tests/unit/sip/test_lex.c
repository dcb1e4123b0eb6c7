/* sip/lex: the table of character classes against the grammar of RFC 3261 25.1, and the scanner. */
#include "check.h"

#include "sip/lex.h"

#define ALPHA "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
#define DIGIT "0123456789"
#define UNRESERVED ALPHA DIGIT "-_.!~*'()"

static void check_class(unsigned lex_class, const char *members, const char *name)
{
    for (unsigned c = 1; c < 0x80; c++) {
        bool expected = strchr(members, (int)c) != NULL;
        if (lex_is((char)c, lex_class) != expected)
            fail_msg("%s: character %02x", name, c);
    }
    assert_false(lex_is('\0', lex_class));
    for (unsigned c = 0x80; c < 0x100; c++)
        assert_false(lex_is((char)c, lex_class));
}

static void test_classes(void **state)
{
    (void)state;
    check_class(LEX_TOKEN, ALPHA DIGIT "-.!%*_+`'~", "token");
    check_class(LEX_WS, " \t\r\n", "white space");
    check_class(LEX_DIGIT, DIGIT, "digit");
    check_class(LEX_HEX, DIGIT "abcdefABCDEF", "hex");
    check_class(LEX_ALPHA, ALPHA, "alpha");
    check_class(LEX_USER, UNRESERVED "&=+$,;?/", "user");
    check_class(LEX_PASSWORD, UNRESERVED "&=+$,", "password");
    check_class(LEX_PARAM, UNRESERVED "[]/:&+$", "paramchar");
    check_class(LEX_HEADERS,
                UNRESERVED "[]/?:+$"
                           "=&",
                "headers");
    check_class(LEX_URIC,
                UNRESERVED ";/?:@&=+$,"
                           "[]",
                "uric");
    check_class(LEX_SCHEME, ALPHA DIGIT "+-.", "scheme");
    check_class(LEX_HOST, ALPHA DIGIT "-.", "host");
}

/* Names and values of parameters are read wider than the grammar, but never over a separator. */
static void test_param_classes(void **state)
{
    (void)state;
    for (unsigned c = 0; c < 0x100; c++) {
        bool separator = c <= 0x20 || c == 0x7f || strchr("\",;<>\\@", (int)c) != NULL;
        assert_int_equal(lex_is((char)c, LEX_PVALUE), !separator);
        assert_int_equal(lex_is((char)c, LEX_PNAME), !separator && c != '=');
        assert_int_equal(lex_is((char)c, LEX_QUOTED), c != '"' && c != '\\');
    }
}

static void test_find_control(void **state)
{
    (void)state;
    char text[100];
    /* each byte at each place of blocks with and without a tail */
    for (size_t n = 0; n <= 50; n++) {
        for (size_t at = 0; at < n; at++) {
            for (unsigned c = 0; c < 0x100; c++) {
                memset(text, 'x', sizeof(text));
                text[at] = (char)c;
                text[n] = '\r';
                const char *expected = c < 0x20 && c != '\t' ? text + at : text + n;
                assert_ptr_equal(lex_find_control(text, text + n), expected);
            }
        }
    }
}

static void test_clean(void **state)
{
    (void)state;
    assert_true(lex_value_is_clean(STR("plain \xc3\xbc\ttext")));
    assert_true(lex_value_is_clean(STR("a\r\n b\r\n\tc")));
    assert_true(lex_value_is_clean(STR("\"\\\x07\"")));
    assert_true(lex_value_is_clean(str_make("\"\\\0\"", 4)));
    static const struct str bad[] = {
        {"a\r\nVia: x", 9}, {"a\nb", 3}, {"a\rb", 3},  {"a\r\n", 3},
        {"a\r", 2},         {"\r\n", 2}, {"a\0b", 3},  {"\x01", 1},
        {"\\\n", 2},        {"\\\r", 2}, {"a\n b", 4}, {"a\r\n \r\nb", 7},
    };
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        assert_false(lex_value_is_clean(bad[i]));
}

static void test_cursor(void **state)
{
    (void)state;
    struct lex l = lex_make(STR("  ab \"q\\\"\" 12"));
    lex_ws(&l);
    check_str(lex_run1(&l, LEX_TOKEN), "ab");
    lex_ws(&l);
    check_str(lex_quoted(&l), "q\\\"");
    lex_ws(&l);
    check_str(lex_run(&l, LEX_DIGIT), "12");
    assert_true(lex_at_end(&l));
    assert_false(l.bad);
    assert_false(lex_take(&l, 'x'));
    assert_false(l.bad);
    lex_run1(&l, LEX_DIGIT);
    assert_true(l.bad);
    static const char *const open[] = {"\"", "\"abc", "\"abc\\", "\"abc\\\"", "abc"};
    for (size_t i = 0; i < ARRAY_LEN(open); i++) {
        l = lex_make(str_z(open[i]));
        lex_quoted(&l);
        assert_true(l.bad);
    }
    l = lex_make(STR_NULL);
    assert_true(lex_at_end(&l));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_classes),      cmocka_unit_test(test_param_classes),
        cmocka_unit_test(test_find_control), cmocka_unit_test(test_clean),
        cmocka_unit_test(test_cursor),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

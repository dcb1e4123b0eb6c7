/* base/sbuf: sticky overflow, numbers, JSON strings (RFC 8259 7). */
#include "check.h"

#include "base/sbuf.h"

static void test_append(void **state)
{
    (void)state;
    char p[8];
    struct sbuf b = sbuf_make(p, sizeof(p));
    sbuf_lit(&b, "abc");
    sbuf_char(&b, '-');
    sbuf_str(&b, STR("defg"));
    assert_false(b.overflow);
    check_str(sbuf_get(&b), "abc-defg");
    sbuf_str(&b, STR_NULL);
    assert_false(b.overflow);
    sbuf_char(&b, 'h');
    assert_true(b.overflow);
    check_str(sbuf_get(&b), "abc-defg");
    struct sbuf none = sbuf_make(NULL, 0);
    sbuf_fmt(&none, "x");
    assert_true(none.overflow);
}

static void test_number(void **state)
{
    (void)state;
    char p[64];
    struct sbuf b = sbuf_make(p, sizeof(p));
    sbuf_u64(&b, 0);
    sbuf_char(&b, ' ');
    sbuf_u64(&b, UINT64_MAX);
    sbuf_char(&b, ' ');
    sbuf_hex(&b, "\x00\xfe", 2);
    check_str(sbuf_get(&b), "0 18446744073709551615 00fe");
    b = sbuf_make(p, 3);
    sbuf_hex(&b, "\x00\xfe", 2);
    assert_true(b.overflow);
    assert_int_equal(b.n, 0);
}

static void test_format(void **state)
{
    (void)state;
    char p[6];
    struct sbuf b = sbuf_make(p, sizeof(p));
    sbuf_fmt(&b, "%d-%s", 12, "ab");
    check_str(sbuf_get(&b), "12-ab");
    b = sbuf_make(p, sizeof(p));
    sbuf_fmt(&b, "%s", "123456"); /* the NUL does not fit */
    assert_true(b.overflow);
    assert_int_equal(b.n, 0);
}

static void test_json(void **state)
{
    (void)state;
    char p[256];
    struct sbuf b = sbuf_make(p, sizeof(p));
    sbuf_json(&b, STR("a\"b\\c\n\r\t\x01\x1f\x7f/\xc3\xbc\xff\xe2\x82z"));
    check_str(sbuf_get(&b), "\"a\\\"b\\\\c\\n\\r\\t\\u0001\\u001f\\u007f/"
                            "\xc3\xbc\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbdz\"");
    b = sbuf_make(p, sizeof(p));
    sbuf_json(&b, STR_NULL);
    sbuf_json(&b, STR("a\0b"));
    check_str(sbuf_get(&b), "\"\"\"a\\u0000b\"");
    b = sbuf_make(p, 4);
    sbuf_json(&b, STR("abcd"));
    assert_true(b.overflow);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_append),
        cmocka_unit_test(test_number),
        cmocka_unit_test(test_format),
        cmocka_unit_test(test_json),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

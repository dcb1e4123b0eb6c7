/* base/str: comparing, numbers, hex, base64 (RFC 4648 10), UTF-8 (RFC 3629), hashes (SipHash's own
 * vectors). */
#include "check.h"

#include "base/base_priv.h"
#include "base/err.h"
#include <stdio.h>

static void test_compare(void **state)
{
    (void)state;
    char upper[300], lower[300];
    assert_true(str_eq(STR_NULL, STR("")));
    assert_true(str_eq_nocase(STR("Via"), STR("vIA")));
    assert_false(str_eq_nocase(STR("Via"), STR("Vib")));
    assert_false(str_eq_nocase(STR("Via"), STR("Vi")));
    /* All bytes, in each position of the eight a word has: only letters fold. */
    for (unsigned c = 0; c < 256; c++) {
        for (size_t at = 0; at < 20; at++) {
            memset(upper, 'x', 20);
            memset(lower, 'X', 20);
            upper[at] = (char)c;
            lower[at] = str_lower((char)c);
            assert_true(str_eq_nocase(str_make(upper, 20), str_make(lower, 20)));
            lower[at] = (char)(c ^ 0x20);
            bool is_letter = (c | 0x20) >= 'a' && (c | 0x20) <= 'z';
            assert_int_equal(str_eq_nocase(str_make(upper, 20), str_make(lower, 20)), is_letter);
        }
    }
    assert_true(str_starts_nocase(STR("Content-Length"), STR("content-")));
    assert_false(str_starts_nocase(STR("Con"), STR("content-")));
    assert_true(str_starts_nocase(STR("x"), STR_NULL));
    assert_true(str_cmp(STR("a"), STR("b")) < 0);
    assert_true(str_cmp(STR("ab"), STR("a")) > 0);
    assert_true(str_cmp(STR("\xff"), STR("a")) > 0);
    assert_int_equal(str_cmp(STR_NULL, STR("")), 0);
}

static void test_slice(void **state)
{
    (void)state;
    struct str head;
    check_str(str_trim(STR(" \t\r\n a b \r\n")), "a b");
    check_str(str_trim(STR(" \t ")), "");
    check_str(str_trim(STR_NULL), "");
    assert_int_equal(str_find_char(STR("abc"), 'c'), 2);
    assert_int_equal(str_find_char(STR("abc"), 'x'), 3);
    assert_int_equal(str_find_char(STR_NULL, 'x'), 0);
    check_str(str_cut(STR("a=b=c"), '=', &head), "b=c");
    check_str(head, "a");
    struct str rest = str_cut(STR("abc"), '=', &head);
    assert_null(rest.p);
    check_str(head, "abc");
    rest = str_cut(STR("abc="), '=', &head);
    assert_non_null(rest.p);
    assert_int_equal(rest.n, 0);
    rest = str_cut(STR_NULL, '=', &head);
    assert_null(rest.p);
}

static void test_number(void **state)
{
    (void)state;
    uint64_t v = 7;
    uint32_t w = 7;
    check_err(str_to_u64(STR("0"), UINT64_MAX, &v), 0);
    assert_int_equal(v, 0);
    check_err(str_to_u64(STR("18446744073709551615"), UINT64_MAX, &v), 0);
    assert_true(v == UINT64_MAX);
    check_err(str_to_u64(STR("18446744073709551616"), UINT64_MAX, &v), ERR_LIMIT);
    check_err(str_to_u64(STR("99999999999999999999999999"), UINT64_MAX, &v), ERR_LIMIT);
    check_err(str_to_u64(STR("000000000000000000000000000042"), 42, &v), 0);
    assert_int_equal(v, 42);
    check_err(str_to_u64(STR("43"), 42, &v), ERR_LIMIT);
    check_err(str_to_u64(STR("1"), 0, &v), ERR_LIMIT);
    static const char *const bad[] = {"",   " 1", "1 ",  "+1",
                                      "-1", "1a", "0x1", "999999999999999999999x"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        check_err(str_to_u64(str_z(bad[i]), UINT64_MAX, &v), ERR_SYNTAX);
    assert_int_equal(v, 42); /* failures leave it alone */
    check_err(str_to_u32(STR("4294967295"), UINT32_MAX, &w), 0);
    assert_true(w == UINT32_MAX);
    check_err(str_to_u32(STR("4294967296"), UINT32_MAX, &w), ERR_LIMIT);
}

static void test_copy(void **state)
{
    (void)state;
    char dst[4] = "xyz";
    check_err(str_copy_z(dst, sizeof(dst), STR("abc")), 0);
    assert_string_equal(dst, "abc");
    check_err(str_copy_z(dst, sizeof(dst), STR("abcd")), ERR_LIMIT);
    assert_string_equal(dst, "");
    check_err(str_copy_z(dst, 0, STR("")), ERR_LIMIT);
    check_err(str_copy_z(dst, 1, STR_NULL), 0);
}

static void test_hex(void **state)
{
    (void)state;
    char text[9];
    unsigned char bytes[4];
    str_hex(text, "\x00\xff\x1a\x80", 4);
    assert_string_equal(text, "00ff1a80");
    check_err(str_unhex(bytes, 4, STR("00fF1A80")), 0);
    assert_memory_equal(bytes, "\x00\xff\x1a\x80", 4);
    check_err(str_unhex(bytes, 4, STR("00ff1a8")), ERR_SYNTAX);
    check_err(str_unhex(bytes, 4, STR("00ff1a800")), ERR_SYNTAX);
    check_err(str_unhex(bytes, 4, STR("00ff1a8g")), ERR_SYNTAX);
    check_err(str_unhex(bytes, 4, STR("00ff1a8 ")), ERR_SYNTAX);
    check_err(str_unhex(bytes, 0, STR_NULL), 0);
}

static void test_base64(void **state)
{
    (void)state;
    static const struct {
        const char *raw, *plain, *url;
    } rows[] = {{"", "", ""},
                {"f", "Zg==", "Zg"},
                {"fo", "Zm8=", "Zm8"},
                {"foo", "Zm9v", "Zm9v"},
                {"foob", "Zm9vYg==", "Zm9vYg"},
                {"fooba", "Zm9vYmE=", "Zm9vYmE"},
                {"foobar", "Zm9vYmFy", "Zm9vYmFy"},
                {"\xfb\xff\xbf", "+/+/", "-_-_"}};
    char text[16], raw[16];
    size_t len;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        size_t n = strlen(rows[i].raw);
        for (int url = 0; url < 2; url++) {
            const char *want = url ? rows[i].url : rows[i].plain;
            check_err(str_base64_encode(text, strlen(want) + 1, rows[i].raw, n, url), 0);
            assert_string_equal(text, want);
            check_err(str_base64_encode(text, strlen(want), rows[i].raw, n, url), ERR_LIMIT);
            check_err(str_base64_decode(raw, n, str_z(want), url, &len), 0);
            assert_int_equal(len, n);
            assert_memory_equal(raw, rows[i].raw, n);
            if (n)
                check_err(str_base64_decode(raw, n - 1, str_z(want), url, &len), ERR_LIMIT);
        }
    }
    static const char *const bad_plain[] = {"Zg",   "Zg=",      "Zh==",  "Zm9=",   "Z===",
                                            "====", "Zg==Zg==", "Zm 9v", "Zm9v\n", "-_-_",
                                            "A",    "Zg=A",     "=",     "=AAA"};
    static const char *const bad_url[] = {"Zg==", "Zh", "Zm9", "A", "+/+/", "AAAAA", "Zm9v="};
    for (size_t i = 0; i < ARRAY_LEN(bad_plain); i++)
        check_err(str_base64_decode(raw, sizeof(raw), str_z(bad_plain[i]), false, &len),
                  ERR_SYNTAX);
    for (size_t i = 0; i < ARRAY_LEN(bad_url); i++)
        check_err(str_base64_decode(raw, sizeof(raw), str_z(bad_url[i]), true, &len), ERR_SYNTAX);
}

static void test_utf8(void **state)
{
    (void)state;
    static const char *const good[] = {"",
                                       "plain text of more than eight bytes",
                                       "\xc2\x80",
                                       "\xdf\xbf",
                                       "\xe0\xa0\x80",
                                       "\xed\x9f\xbf",
                                       "\xee\x80\x80",
                                       "\xef\xbf\xbf",
                                       "\xf0\x90\x80\x80",
                                       "\xf4\x8f\xbf\xbf",
                                       "aaaaaaaa\xc3\xbczzzzzzzz"};
    static const char *const bad[] = {
        "\x80",     "\xc0\x80",         "\xc1\xbf",         "\xc2",
        "\xc2\x41", "\xe0\x9f\xbf",     "\xed\xa0\x80",     "\xed\xbf\xbf",
        "\xe2\x82", "\xf0\x8f\xbf\xbf", "\xf4\x90\x80\x80", "\xf5\x80\x80\x80",
        "\xff",     "aaaaaaaaaaaa\xfe", "\xe2\x28\xa1",     "\xf0\x90\x28\xbc"};
    for (size_t i = 0; i < ARRAY_LEN(good); i++)
        assert_true(str_is_utf8(str_z(good[i])));
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        assert_false(str_is_utf8(str_z(bad[i])));
    assert_int_equal(str_utf8_prefix(STR("ab\xc3\xbc\xff"
                                         "cd")),
                     4);
    assert_true(str_is_utf8(STR_NULL));
}

static void test_hash(void **state)
{
    (void)state;
    /* SipHash-2-4 of 00 01 02 ... with key 00..0f: the paper's appendix A (15 bytes), and the first
     * of its vectors. */
    const uint64_t key[2] = {0x0706050403020100u, 0x0f0e0d0c0b0a0908u};
    char in[64];
    for (size_t i = 0; i < sizeof(in); i++)
        in[i] = (char)i;
    assert_true(sip_hash(key, in, 0, 2, 4, false) == 0x726fdb47dd0e0e31u);
    assert_true(sip_hash(key, in, 1, 2, 4, false) == 0x74f839c593dc67fdu);
    assert_true(sip_hash(key, in, 8, 2, 4, false) == 0x93f5f5799a932462u);
    assert_true(sip_hash(key, in, 15, 2, 4, false) == 0xa129ca6149be45e5u);
    assert_true(sip_hash(key, in, 63, 2, 4, false) == 0x958a324ceb064572u);
    /* The process key counts, and is not fixed from the start. */
    uint64_t wide[2], again[2];
    str_hash128(STR("call"), wide);
    str_hash128(STR("call"), again);
    assert_true(wide[0] == again[0] && wide[1] == again[1] && wide[0] != wide[1]);
    str_hash128(STR("calm"), again);
    assert_true(wide[0] != again[0] && wide[1] != again[1] && wide[0] != str_hash(STR("call")));

    uint64_t drawn = str_hash(STR("call"));
    str_hash_set_key(1, 2);
    uint64_t first = str_hash(STR("call"));
    assert_true(drawn != first);
    assert_true(first == str_hash(STR("call")) && first != str_hash(STR("calm")));
    str_hash_set_key(1, 3);
    assert_true(first != str_hash(STR("call")));
    for (size_t n = 0; n < 40; n++) {
        char mixed[40], low[40];
        for (size_t i = 0; i < n; i++) {
            mixed[i] = (char)("AbZ[@`{z0"[(i + n) % 9]);
            low[i] = str_lower(mixed[i]);
        }
        assert_true(str_hash_nocase(str_make(mixed, n)) == str_hash(str_make(low, n)));
    }
}

static void test_steers(void **state)
{
    static const struct {
        struct str text;
        size_t n;
    } v[] = {
        {STR(""), 0},         {STR("a\x1b"), 0},         {STR("\x1b[2J"), 1},         {STR("\x7f"), 1},
        {STR("\xc2\x9b"), 2}, {STR("\xc2\xa0"), 0},     {STR("\xc2"), 0},             {STR("\xe2\x80\xae" "x"), 3},
        {STR("\xe2\x80"), 0}, {STR("\xe2\x80\x93"), 0}, {STR("\xe2\x81\xa6"), 3},     {STR("\xe2\x81\xaa"), 0},
        {STR("\xd8\x9c"), 2}, {STR("\xe2\x80\xa8"), 3}, {STR("\xe2\x82\xac"), 0},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(v); i++)
        assert_int_equal(str_steers(v[i].text), v[i].n);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_steers),
        cmocka_unit_test(test_compare), cmocka_unit_test(test_slice), cmocka_unit_test(test_number),
        cmocka_unit_test(test_copy),    cmocka_unit_test(test_hex),   cmocka_unit_test(test_base64),
        cmocka_unit_test(test_utf8),    cmocka_unit_test(test_hash),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* CSV as spreadsheets write it (RFC 4180), and as people do. */
#include "check.h"
#include "cli/csv.h"
#include <stdio.h>

/* All records as "line:field|field;", errors as "line!syntax;". */
static const char *all(const char *text)
{
    static char out[65536];
    static struct csv c;
    struct csv_record rec;
    size_t n = 0;
    int err;

    csv_start(&c, str_z(text));
    out[0] = 0;
    while ((err = csv_next(&c, &rec)) != ERR_CLOSED) {
        n += (size_t)snprintf(out + n, sizeof(out) - n, "%u%s", c.line, err ? "!" : ":");
        if (err)
            n += (size_t)snprintf(out + n, sizeof(out) - n, "%s", err_text(err));
        for (size_t i = 0; !err && i < rec.n; i++)
            n += (size_t)snprintf(out + n, sizeof(out) - n, "%s%.*s", i ? "|" : "",
                                  STR_FMT(rec.field[i]));
        n += (size_t)snprintf(out + n, sizeof(out) - n, ";");
    }
    csv_done(&c);
    return out;
}

static void test_records(void **state)
{
    (void)state;
    assert_string_equal(all(""), "");
    assert_string_equal(all("\n\r\n\n"), "");
    assert_string_equal(all("a,b\nc,d"), "1:a|b;2:c|d;");
    assert_string_equal(all("a,b\r\n\r\nc,d\r\n"), "1:a|b;3:c|d;");
    assert_string_equal(all("\xef\xbb\xbf"
                            "a,,\n,\n"),
                        "1:a||;2:|;");
    assert_string_equal(all("\"a,b\",\"c\"\"d\"\"\",\"\"\n"), "1:a,b|c\"d\"|;");
    assert_string_equal(all("\"two\r\nlines\",x\ny,z\n"), "1:two\r\nlines|x;3:y|z;");
    assert_string_equal(all("a\rb,c\n"), "1:a\rb|c;");
    assert_string_equal(all(" a , b \n"), "1: a | b ;");
}

static void test_errors(void **state)
{
    char big[CSV_RECORD_BYTES + 64];

    (void)state;
    assert_string_equal(all("a\"b,c\nd,e\n"), "1!syntax;2:d|e;");
    assert_string_equal(all("\"a\"b,c\nd,e\n"), "1!syntax;2:d|e;");
    assert_string_equal(all("a,\"open\nd,e\n"), "1!syntax;");
    assert_string_equal(all("\""), "1!syntax;");
    assert_string_equal(all("1,2,3,4,5,6,7,8\n1,2,3,4,5,6,7,8,9\nx\n"),
                        "1:1|2|3|4|5|6|7|8;2!limit;3:x;");
    memset(big, 'x', sizeof(big));
    memcpy(big + sizeof(big) - 4, "\ny\n", 4);
    assert_string_equal(all(big), "1!limit;2:y;");
    big[0] = '"';
    assert_string_equal(all(big), "1!limit;2:y;");
    memset(big, 'x', sizeof(big));
    big[CSV_RECORD_BYTES] = 0;
    assert_int_equal(strlen(all(big)), CSV_RECORD_BYTES + 3);
}

/* No bytes, whatever they are, are read beyond the end: ASan watches a copy of the exact size. */
static void test_any_bytes(void **state)
{
    static const char alphabet[] = "a\",\n\r\",";
    static struct csv c;
    uint32_t x = 1;

    (void)state;
    for (int round = 0; round < 20000; round++) {
        char *text;
        size_t n = (size_t)round % 20;
        struct csv_record rec;
        unsigned records = 0;

        text = test_malloc(n + 1);
        for (size_t i = 0; i < n; i++) {
            x = x * 1664525 + 1013904223;
            text[i] = alphabet[(x >> 16) % 7];
        }
        csv_start(&c, str_make(text, n));
        while (csv_next(&c, &rec) != ERR_CLOSED) {
            assert_true(rec.n <= CSV_FIELDS_MAX);
            assert_true(++records <= n);
        }
        test_free(text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_records),
                                       cmocka_unit_test(test_errors),
                                       cmocka_unit_test(test_any_bytes)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}

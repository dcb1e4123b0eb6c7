/* The strict JSON reader: RFC 8259, RFC 8225 9. */
#include "check.h"

#include "base/limits.h"
#include "identity/json.h"
#include "oom.h"
#include <stdio.h>

static struct arena *arena;
static char out[65536];

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

static int parse(const char *text, struct sjson_node **ret, struct reason *why)
{
    *why = (struct reason){0};
    arena_reset(arena);
    return sjson_parse(arena, str_z(text), ret, why);
}

static void refused(const char *text, int err)
{
    struct sjson_node *node;
    struct reason why;
    int got = parse(text, &node, &why);

    if (got != err)
        fail_msg("%s gives %d, not %d", text, got, err);
    assert_non_null(why.code);
    assert_null(node);
}

/* Reads and writes the deterministic form. */
static void becomes(const char *text, const char *expected)
{
    struct sjson_node *node;
    struct reason why;
    struct sbuf b = sbuf_make(out, sizeof(out));

    check_err(parse(text, &node, &why), 0);
    sjson_build(&b, node);
    assert_false(b.overflow);
    check_str(sbuf_get(&b), expected);
}

static void values(void **state)
{
    struct sjson_node *n;
    const struct sjson_node *it;
    struct reason why;
    uint64_t v;

    (void)state;
    check_err(parse(" { \"a\" : [1, -2.5e3, \"x\"], \"b\":{\"c\":null}, \"d\":true,\"e\":false } ",
                    &n, &why),
              0);
    assert_int_equal(n->type, SJSON_OBJECT);
    assert_int_equal(n->n, 4);
    it = sjson_find(n, STR("a"));
    assert_non_null(it);
    assert_int_equal(it->n, 3);
    check_str(it->text, "[1, -2.5e3, \"x\"]");
    it = sjson_first(it);
    check_err(sjson_u64(it, 10, &v), 0);
    assert_int_equal(v, 1);
    it = sjson_next(it);
    check_str(it->text, "-2.5e3");
    check_err(sjson_u64(it, 10, &v), ERR_SYNTAX);
    it = sjson_next(it);
    check_str(it->text, "x");
    check_err(sjson_u64(it, 10, &v), ERR_SYNTAX);
    assert_non_null(sjson_find(sjson_find(n, STR("b")), STR("c")));
    assert_null(sjson_find(n, STR("c")));
    assert_null(sjson_find(NULL, STR("c")));
    assert_null(sjson_find_type(n, STR("d"), SJSON_STRING));
    assert_non_null(sjson_find_type(n, STR("d"), SJSON_TRUE));
    assert_non_null(sjson_find_type(n, STR("e"), SJSON_FALSE));
}

static void strings(void **state)
{
    struct sjson_node *n;
    struct reason why;

    (void)state;
    check_err(parse("\"a\\\"\\\\\\/\\b\\f\\n\\r\\t\\u0041\\u00e4\\u20ac\\ud83d\\ude00\"", &n, &why),
              0);
    check_str(n->text, "a\"\\/\b\f\n\r\tA\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80");
    check_err(parse("\"\"", &n, &why), 0);
    assert_int_equal(n->text.n, 0);
    refused("\"\\u0000\"", ERR_SYNTAX);
    refused("\"\\ud800\"", ERR_SYNTAX);
    refused("\"\\ud800\\u0041\"", ERR_SYNTAX);
    refused("\"\\udc00\\ud800\"", ERR_SYNTAX);
    refused("\"\\u12\"", ERR_SYNTAX);
    refused("\"\\x41\"", ERR_SYNTAX);
    refused("\"\\", ERR_SYNTAX);
    refused("\"abc", ERR_SYNTAX);
    refused("\"a\nb\"", ERR_SYNTAX);
    refused("\"\xc0\x80\"", ERR_SYNTAX);
    refused("\"\xff\"", ERR_SYNTAX);
}

static void grammar(void **state)
{
    static const char *const bad[] = {"",
                                      " ",
                                      "{",
                                      "}",
                                      "[1,]",
                                      "[,1]",
                                      "{\"a\":1,}",
                                      "{,}",
                                      "{\"a\"}",
                                      "{\"a\":}",
                                      "{a:1}",
                                      "[1 2]",
                                      "[1]x",
                                      "01",
                                      "1.",
                                      "-",
                                      "+1",
                                      "1e",
                                      ".5",
                                      "tru",
                                      "nulll",
                                      "[1}",
                                      "{\"a\":1]",
                                      "'a'",
                                      "[1]]",
                                      "{\"a\":1 \"b\":2}",
                                      "NaN",
                                      "\xef\xbb\xbf{}",
                                      "1234567890123456789012345678901234567890123"};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        refused(bad[i], ERR_SYNTAX);
    becomes("[]", "[]");
    becomes("{}", "{}");
    becomes("-0.5E+7", "-0.5E+7");
    becomes("[[],{},[{}]]", "[[],{},[{}]]");
}

/* RFC 8225 9: a name twice would make the form ambiguous; readers that take the first and readers
 * that take the last would see different callers. */
static void names_once(void **state)
{
    (void)state;
    refused("{\"orig\":1,\"orig\":2}", ERR_SYNTAX);
    refused("{\"orig\":1,\"x\":2,\"\\u006frig\":2}", ERR_SYNTAX);
    refused("{\"a\":{\"\":1,\"\":2}}", ERR_SYNTAX);
    becomes("{\"a\":{\"a\":1},\"b\":{\"a\":2}}", "{\"a\":{\"a\":1},\"b\":{\"a\":2}}");
}

static void limits(void **state)
{
    char *p = out;
    struct sjson_node *n;
    struct reason why;

    (void)state;
    becomes("[[[[[[[[1]]]]]]]]", "[[[[[[[[1]]]]]]]]");
    refused("[[[[[[[[[1]]]]]]]]]", ERR_LIMIT);
    memset(out, '[', 10000);
    out[10000] = '\0';
    refused(out, ERR_LIMIT);
    /* members of one object */
    for (unsigned i = 0; i <= LIMIT_JSON_MEMBERS; i++)
        p += snprintf(p, 32, "%c\"%u\":0", i ? ',' : '{', i);
    strcpy(p, "}");
    refused(out, ERR_LIMIT);
    /* values: one array holds itself and 511 more */
    for (unsigned i = 0; i < LIMIT_JSON_NODES; i++)
        memcpy(out + 2 * i, i ? ",1" : "[1", 2);
    strcpy(out + 2 * LIMIT_JSON_NODES, "]");
    refused(out, ERR_LIMIT);
    strcpy(out + 2 * (LIMIT_JSON_NODES - 1), "]");
    check_err(parse(out, &n, &why), 0);
    assert_int_equal(n->n, LIMIT_JSON_NODES - 1);
    memset(out, ' ', LIMIT_JSON_BYTES + 1);
    out[LIMIT_JSON_BYTES + 1] = '\0';
    refused(out, ERR_LIMIT);
}

static void deterministic(void **state)
{
    (void)state;
    becomes("{ \"orig\": {\"tn\":\"1\"}, \"iat\" : 12 ,\"dest\":{\"uri\":[\"b\",\"a\"],\"tn\":[]}}",
            "{\"dest\":{\"tn\":[],\"uri\":[\"b\",\"a\"]},\"iat\":12,\"orig\":{\"tn\":\"1\"}}");
    becomes("{\"b\":1,\"ab\":2,\"a\":3,\"\\u00e4\":4,\"B\":5}",
            "{\"B\":5,\"a\":3,\"ab\":2,\"b\":1,\"\xc3\xa4\":4}");
    becomes("\"a\\/\\u000b\\\"\"", "\"a/\\u000b\\\"\"");
}

static void no_memory(void **state)
{
    (void)state;
    OOM_SWEEP(50, {
        struct arena *a = arena_new(128, 1 << 16);
        struct sjson_node *n;
        struct reason why = {0};
        int err =
            a ? sjson_parse(a, STR("{\"a\\u0041\":[1,2,3,{\"b\":\"\\n\"}]}"), &n, &why) : ERR_NOMEM;

        assert_true(err == 0 || err == ERR_NOMEM);
        arena_free(a);
    });
    /* An arena that is full is no memory, too. */
    {
        struct arena *a = arena_new(64, 64);
        struct sjson_node *n;

        assert_non_null(a);
        check_err(sjson_parse(a, STR("[1,2,3,4,5,6,7,8]"), &n, NULL), ERR_NOMEM);
        arena_free(a);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values),     cmocka_unit_test(strings), cmocka_unit_test(grammar),
        cmocka_unit_test(names_once), cmocka_unit_test(limits),  cmocka_unit_test(deterministic),
        cmocka_unit_test(no_memory),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}

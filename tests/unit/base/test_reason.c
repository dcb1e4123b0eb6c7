/* base/reason and base/err: bounded, printable details; a text for each code. */
#include "check.h"

#include "base/err.h"
#include "base/reason.h"

static void test_set(void **state)
{
    (void)state;
    struct reason r;
    reason_set(&r, "digest-stale-nonce", "RFC 7616 3.3", 401, "user %s\n\x7f\x80", "ann");
    assert_string_equal(r.code, "digest-stale-nonce");
    assert_string_equal(r.clause, "RFC 7616 3.3");
    assert_int_equal(r.sip_status, 401);
    assert_string_equal(r.detail, "user ann???");
    reason_set(&r, "x", NULL, 0, NULL);
    assert_null(r.clause);
    assert_string_equal(r.detail, "");
    reason_set(NULL, "x", NULL, 0, NULL);
}

static void test_long(void **state)
{
    (void)state;
    struct reason r;
    char big[1000];
    memset(big, 'y', sizeof(big) - 1);
    big[sizeof(big) - 1] = '\0';
    reason_set(&r, "x", NULL, 0, "%s", big);
    assert_int_equal(strlen(r.detail), REASON_DETAIL_MAX - 1);
}

static void test_err(void **state)
{
    (void)state;
    assert_string_equal(err_text(0), "ok");
    assert_string_equal(err_text(ERR_CONFLICT), "conflict");
    assert_string_equal(err_text(1), "unknown");
    for (int code = ERR_CONFLICT; code <= ERR_NOMEM; code++)
        assert_string_not_equal(err_text(code), "unknown");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_set),
        cmocka_unit_test(test_long),
        cmocka_unit_test(test_err),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

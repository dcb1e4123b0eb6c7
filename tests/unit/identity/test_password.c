/* Which passwords may be set. */
#include "check.h"
#include "identity/digest.h"

static void test_weak(void **state)
{
    static const char *const weak[] = {
        "",
        "short",
        "Ab1!Ab1!Ab",
        "password1234",
        "Passw0rd1234!",
        "P@ssw0rd!2024",
        "abcdefghijkl",
        "Abcdefghijk1!",
        "alllowercaseletter",
        "ALICE-smith-2024!x",
        "Alice1234567!",
        "QwErTyUiOp12!",
        "1qaz2WSX3edc!",
        "aaaaaaaaaaaaaaaaaaaaaa",
        "Ab1!Ab1!Ab1!Ab1!",
        "Example.com-42",
        "Welcome2024!Welcome",
        "Admin-Secret-123!",
        "tab\there-Aa1xkd",
        "Hallo-Passwort-1",
        "\xff\xfe Aa1!kdjfhgtr",
        "\xc3\xa4\xc3\xb6\xc3\xbc\xc3\xa4\xc3\xb6\xc3\xbc",
    };
    static const char *const good[] = {
        "xK9-mPq2vTz7",
        "correct horse battery staple",
        "Tr0ub4dor&3-zeb",
        "8f3kQz!mWp0s",
        "\xc3\xa4-pfel-Kq7vTz9mP",
        "gZ4uv0wKq9mXr2bN",
        "wald fluss nebel 7 uhren kiste",
    };
    char big[200];
    struct reason why;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(weak); i++) {
        why = (struct reason){0};
        if (digest_password_check(STR("alice.smith"), STR("pbx.example.com"), str_z(weak[i]),
                                  &why) != ERR_REFUSED)
            fail_msg("taken: %s", weak[i]);
        assert_string_equal(why.code, "password-weak");
        assert_true(why.detail[0]);
    }
    for (size_t i = 0; i < ARRAY_LEN(good); i++) {
        if (digest_password_check(STR("alice.smith"), STR("pbx.example.com"), str_z(good[i]),
                                  &why) != 0)
            fail_msg("%s: %s", good[i], why.detail);
    }
    for (size_t i = 0; i < sizeof(big); i++)
        big[i] = (char)('!' + (i * 37) % 90);
    check_err(digest_password_check(STR("a"), STR("b"), str_make(big, 128), &why), 0);
    check_err(digest_password_check(STR("a"), STR("b"), str_make(big, 129), &why), ERR_REFUSED);
    /* the names count, whoever they are */
    check_err(digest_password_check(STR("zK9mPq2vTz7"), STR("b"), STR("zK9mPq2vTz7-A"), &why),
              ERR_REFUSED);
    check_err(digest_password_check(STR("other"), STR("b"), STR("zK9mPq2vTz7-A"), &why), 0);
    check_err(digest_password_check(STR(""), STR(""), STR("zK9mPq2vTz7-A"), &why), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_weak)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Canonical numbers, URIs, media keys and dates: RFC 8224 8, RFC 8225 5.2.2, RFC 3261 25.1. */
#include "check.h"

#include "base/limits.h"
#include "identity/canon.h"
#include "oom.h"

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

static const struct canon_dial berlin = {.country = {"49", 2},
                                         .national_prefix = {"0", 1},
                                         .international_prefix = {"00", 2},
                                         .area = {"30", 2},
                                         .subscriber_digits = 7,
                                         .bare_digits = true};
static const struct canon_dial chicago = {.country = {"1", 1},
                                          .national_prefix = {"1", 1},
                                          .international_prefix = {"011", 3},
                                          .area = {"312", 3},
                                          .national_digits = 10,
                                          .subscriber_digits = 7};

static void numbers(void **state)
{
    static const struct {
        const char *text;
        const struct canon_dial *dial;
        const char *number; /* NULL: none */
        bool e164;
    } cases[] = {
        {"+12155551212", NULL, "12155551212", true},
        {"12155551212", NULL, "12155551212", true},
        {"+1-215-555-1212", NULL, "12155551212", true},
        {"+1(215)555.1212", NULL, "12155551212", true},
        {"+1%20215%20555%201212", NULL, "12155551212", true},
        {"%2B12155551212", NULL, "12155551212", true},
        {"+12155551212;ext=22;phone-context=x", NULL, "12155551212", true},
        {"+12155551212;rn=+13125550000;npdi", NULL, "12155551212", true},
        {"911", NULL, "911", false},
        {"*67", NULL, "*67", false},
        {"#31#12155551212", NULL, "#31#12155551212", false},
        {"+012345678", NULL, "012345678", false},
        {"+1234567890123456", NULL, "1234567890123456", false},
        {"01234567890", NULL, "01234567890", false},
        {"1234567", NULL, "1234567", false},
        {"004930123456", &berlin, "4930123456", true},
        {"0012155551212", &berlin, "12155551212", true},
        {"030123456", &berlin, "4930123456", true},
        {"1234567", &berlin, "49301234567", true},
        {"+4930123456", &berlin, "4930123456", true},
        {"112", &berlin, "112", false},
        {"00", &berlin, "00", false},
        {"0", &berlin, "0", false},
        {"01149301234567", &chicago, "49301234567", true},
        {"13125551212", &chicago, "13125551212", true},
        {"3125551212", &chicago, "13125551212", true},
        {"5551212", &chicago, "13125551212", true},
        {"911", &chicago, "911", false},
        {"alice", NULL, NULL, false},
        {"+1a2", NULL, NULL, false},
        {"++1", NULL, NULL, false},
        {"1+1", NULL, NULL, false},
        {"", NULL, NULL, false},
        {";ext=1", NULL, NULL, false},
        {"+", NULL, NULL, false},
        {"12%", NULL, NULL, false},
        {"12%4", NULL, NULL, false},
        {"12%00", NULL, NULL, false},
        {"12\xc3\xa4", NULL, NULL, false},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct str got;
        bool e164;
        int err;

        arena_reset(arena);
        err = canon_number(arena, str_z(cases[i].text), cases[i].dial, &got, &e164);
        if (!cases[i].number) {
            if (err != ERR_SYNTAX)
                fail_msg("%s gives %d", cases[i].text, err);
            continue;
        }
        check_err(err, 0);
        check_str(got, cases[i].number);
        if (e164 != cases[i].e164)
            fail_msg("%s: e164 %d", cases[i].text, e164);
    }
    {
        struct str got;
        bool e164;

        check_err(canon_number(arena, STR("123456789012345678901234567890123"), NULL, &got, &e164),
                  ERR_LIMIT);
        /* Completing must not run over the room for a number. */
        check_err(
            canon_number(arena, STR("01234567890123456789012345678901"), &berlin, &got, &e164), 0);
        assert_false(e164);
    }
}

#define U(s, u, h)                                                                                 \
    {                                                                                              \
        .scheme = {s, sizeof(s) - 1}, .user = {u, sizeof(u) - 1}, .host = { h, sizeof(h) - 1 }     \
    }

static void uris(void **state)
{
    static const struct {
        struct canon_uri u;
        const char *text; /* NULL: refused */
    } cases[] = {
        {U("sip", "alice", "example.com"), "sip:alice@example.com"},
        {U("SIPS", "Alice", "Example.COM"), "sips:alice@example.com"},
        {U("sip", "%61lice%7E%2f", "example.com"), "sip:alice~%2F@example.com"},
        {U("sip", "a%20b", "example.com"), "sip:a%20b@example.com"},
        {U("sip", "j%c3%b6rg", "example.com"), "sip:j%C3%B6rg@example.com"},
        {U("sip", "", "example.com"), "sip:example.com"},
        {U("tel", "112;phone-context=+49", ""), "tel:112;phone-context=+49"},
        {U("sip", "a%2", "example.com"), NULL},
        {U("sip", "a\"b", "example.com"), NULL},
        {U("sip", "", ""), NULL},
        {{.whole = {"URN:service:SOS", 15}}, "urn:service:SOS"},
        {{.whole = {"nothing", 7}}, NULL},
        {{.whole = {"x:a b", 5}}, NULL},
        {{.scheme = {"sip", 3}, .user = {"a", 1}, .host = {"2001:DB8::1", 11}, .host_is_v6 = true},
         "sip:a@[2001:db8::1]"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct str got;
        int err;

        arena_reset(arena);
        err = canon_uri_text(arena, &cases[i].u, &got);
        if (!cases[i].text) {
            assert_int_not_equal(err, 0);
            continue;
        }
        check_err(err, 0);
        check_str(got, cases[i].text);
    }
}

static void identities(void **state)
{
    static const struct {
        struct canon_uri u;
        bool phone;
        const struct canon_dial *dial;
        const char *origin, *destination; /* "+..." are numbers */
    } cases[] = {
        {U("sip", "12155551212", "example.com"), true, NULL, "+12155551212", "+12155551212"},
        {U("sip", "+12155551212", "example.com"), false, NULL, "+12155551212", "+12155551212"},
        {U("sip", "12155551212", "example.com"), false, NULL, "sip:12155551212@example.com",
         "sip:12155551212@example.com"},
        {U("sip", "030123456", "example.com"), false, &berlin, "+4930123456", "+4930123456"},
        {U("sip", "4711x", "example.com"), false, &berlin, "sip:4711x@example.com",
         "sip:4711x@example.com"},
        /* 8.1: an originator that is no number of E.164 is a URI; a destination may be a service */
        {U("sip", "911", "example.com"), true, NULL, "sip:911@example.com", "+911"},
        {U("sip", "+0", "example.com"), false, NULL, "sip:+0@example.com", "+0"},
        {U("tel", "+12155551212", ""), false, NULL, "+12155551212", "+12155551212"},
        {U("tel", "911;phone-context=+1", ""), false, NULL, "+911", "+911"},
        /* RFC 3966 5.1.5: of a plan of somebody's own, whatever it looks like */
        {U("tel", "4930123456;phone-context=p.example", ""), false, NULL,
         "tel:4930123456;phone-context=p.example", "+4930123456"},
        {U("sip", "030123456;ext=1;Phone-Context=p.example", "p.example"), true, &berlin,
         "sip:030123456;ext=1;phone-context=p.example@p.example", "+4930123456"},
        {U("tel", "+12155551212;phone-context=p.example", ""), false, NULL, "+12155551212",
         "+12155551212"},
        {U("sip", "12155551212%3Bphone-context=p.example", "p.example"), true, NULL,
         "sip:12155551212%3Bphone-context=p.example@p.example",
         "sip:12155551212%3Bphone-context=p.example@p.example"},
        {U("sip", "alice", "example.com"), true, NULL, "sip:alice@example.com",
         "sip:alice@example.com"},
        {{.whole = {"urn:service:sos", 15}}, false, NULL, "urn:service:sos", "urn:service:sos"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct canon_uri u = cases[i].u;

        u.user_is_phone = cases[i].phone;
        for (int origin = 0; origin < 2; origin++) {
            const char *expected = origin ? cases[i].origin : cases[i].destination;
            struct passport_id id;

            arena_reset(arena);
            check_err(canon_identity(arena, &u, cases[i].dial, origin, &id), 0);
            assert_int_equal(id.is_tn, expected[0] == '+');
            check_str(id.text, expected + (expected[0] == '+'));
        }
    }
}

static void keys(void **state)
{
    /* RFC 8225 5.2.2 */
    const struct str values[] = {
        STR("sha-256 4A:AD:B9:B1:3F:82:18:3B:54:02:12:DF:3E:5D:49:6B:19:E5:7C:AB:3E:4B:65:2E:7D:46:"
            "3F:54:42:CD:54:F1"),
        STR("sha-256 02:1A:CC:54:27:AB:EB:9C:53:3F:3E:4B:65:2E:7D:46:3F:54:42:CD:54:F1:7A:03:A2:7D:"
            "F9:B0:7F:46:19:B2"),
        STR("SHA-256 02:1a:cc:54:27:ab:eb:9c:53:3f:3e:4b:65:2e:7d:46:3f:54:42:cd:54:f1:7a:03:a2:7d:"
            "f9:b0:7f:46:19:b2"),
        STR("sha-1 FF:00")};
    static const char *const bad[] = {"",
                                      "sha-256",
                                      "sha-256 ",
                                      "sha-256 4",
                                      "sha-256 4A:",
                                      "sha-256 4A:A",
                                      "sha-256 4AAD",
                                      "sha-256 4A-AD",
                                      "sha-256 GG",
                                      " 4A",
                                      "sha_256 4A",
                                      "sha-256 :4A",
                                      "sha-256 4A AD"};
    struct passport_key *v;
    struct reason why;
    size_t n;

    (void)state;
    arena_reset(arena);
    check_err(canon_keys(arena, values, ARRAY_LEN(values), &v, &n, &why), 0);
    assert_int_equal(n, 3);
    check_str(v[0].alg, "sha-1");
    check_str(v[0].dig, "FF00");
    check_str(v[1].dig, "021ACC5427ABEB9C533F3E4B652E7D463F5442CD54F17A03A27DF9B07F4619B2");
    check_str(v[2].dig, "4AADB9B13F82183B540212DF3E5D496B19E57CAB3E4B652E7D463F5442CD54F1");
    check_err(canon_keys(arena, values, 0, &v, &n, &why), 0);
    assert_int_equal(n, 0);
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct str value = str_z(bad[i]);
        int err = canon_keys(arena, &value, 1, &v, &n, &why);

        if (err != ERR_SYNTAX || why.sip_status != 400)
            fail_msg("\"%s\" gives %d", bad[i], err);
        assert_int_equal(n, 0);
    }
    {
        struct str many[LIMIT_IDENTITY_KEYS + 1];

        for (size_t i = 0; i < ARRAY_LEN(many); i++)
            many[i] = values[0];
        check_err(canon_keys(arena, many, ARRAY_LEN(many), &v, &n, &why), ERR_LIMIT);
        check_err(canon_keys(arena, many, ARRAY_LEN(many) - 1, &v, &n, &why), 0);
        assert_int_equal(n, 1);
    }
}

static void dates(void **state)
{
    static const struct {
        const char *text;
        uint64_t s;
        const char *normal;
    } good[] = {
        {"Fri, 25 Sep 2015 19:12:25 GMT", 1443208345, NULL}, /* RFC 8224 5.1 */
        {"Thu, 01 Jan 1970 00:00:00 GMT", 0, NULL},
        {"Tue, 29 Feb 2000 23:59:59 GMT", 951868799, NULL},
        {"Wed, 01 Mar 2000 00:00:00 GMT", 951868800, NULL},
        {"Thu, 31 Dec 2026 23:59:59 GMT", 1798761599, NULL},
        {"Fri, 31 Dec 9999 23:59:59 GMT", UINT64_C(253402300799), NULL},
        {"thu,  21\tFEB 2002 \r\n 13:02:03  gmt ", 1014296523, "Thu, 21 Feb 2002 13:02:03 GMT"},
    };
    static const char *const bad[] = {"",
                                      "Fri, 25 Sep 2015 19:12:25",
                                      "Fri, 25 Sep 2015 19:12:25 CET",
                                      "Fri, 25 Sep 2015 19:12:25 GMT x",
                                      "Fri 25 Sep 2015 19:12:25 GMT",
                                      "Xyz, 25 Sep 2015 19:12:25 GMT",
                                      "Fri, 5 Sep 2015 19:12:25 GMT",
                                      "Fri, 00 Sep 2015 19:12:25 GMT",
                                      "Fri, 31 Sep 2015 19:12:25 GMT",
                                      "Fri, 29 Feb 2015 19:12:25 GMT",
                                      "Fri, 29 Feb 2100 19:12:25 GMT",
                                      "Fri, 25 Sept 2015 19:12:25 GMT",
                                      "Fri, 25 Sep 1969 19:12:25 GMT",
                                      "Fri, 25 Sep 15 19:12:25 GMT",
                                      "Fri, 25 Sep 2015 24:12:25 GMT",
                                      "Fri, 25 Sep 2015 19:60:25 GMT",
                                      "Fri, 25 Sep 2015 19:12:61 GMT",
                                      "Fri, 25 Sep 2015 1912:25  GMT",
                                      "Fri, 25 Sep 2015 19-12-25 GMT",
                                      "Fri, 31 Dec 9999 23:59:60 GMT"};
    char text[CANON_DATE_MAX];
    uint64_t s;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(good); i++) {
        check_err(canon_date_parse(str_z(good[i].text), &s), 0);
        assert_int_equal(s, good[i].s);
        check_err(canon_date_normalise(str_z(good[i].text), text), 0);
        check_str(str_z(text), good[i].normal ? good[i].normal : good[i].text);
        canon_date_build(s, text);
        check_str(str_z(text), good[i].normal ? good[i].normal : good[i].text);
    }
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        if (canon_date_parse(str_z(bad[i]), &s) != ERR_SYNTAX)
            fail_msg("%s is taken", bad[i]);
    }
    /* RFC 4474 6.2 has a weekday that is none of that day's: it is signed as written. */
    check_err(canon_date_normalise(STR("Mon, 21 Feb 2002 13:02:03 GMT"), text), 0);
    check_str(str_z(text), "Mon, 21 Feb 2002 13:02:03 GMT");
    for (uint64_t day = 0; day < 200000; day += 97) { /* five centuries there and back */
        canon_date_build(day * 86400 + 3661, text);
        check_err(canon_date_parse(str_z(text), &s), 0);
        assert_int_equal(s, day * 86400 + 3661);
    }
    canon_date_build(UINT64_MAX, text);
    check_str(str_z(text), "Fri, 31 Dec 9999 23:59:59 GMT");
}

static void no_memory(void **state)
{
    (void)state;
    OOM_SWEEP(30, {
        struct arena *a = arena_new(16, 4096);
        struct canon_uri u = U("sip", "+0123456789012345678901", "example.com");
        struct str value = STR("sha-256 4A:AD:B9:B1:3F:82:18:3B:54:02:12:DF:3E:5D:49:6B:19:E5");
        struct passport_id id;
        struct passport_key *v;
        size_t n;
        int err = a ? canon_identity(a, &u, NULL, true, &id) : ERR_NOMEM;

        assert_true(err == 0 || err == ERR_NOMEM);
        if (err == 0)
            err = canon_keys(a, &value, 1, &v, &n, NULL);
        assert_true(err == 0 || err == ERR_NOMEM);
        arena_free(a);
    });
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers), cmocka_unit_test(uris),  cmocka_unit_test(identities),
        cmocka_unit_test(keys),    cmocka_unit_test(dates), cmocka_unit_test(no_memory),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}

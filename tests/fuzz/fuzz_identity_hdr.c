/* Identity and Identity-Info values from any bytes, and what is made canonical for a signature:
 * nothing may be read outside, nothing handed out can break out of a header line, and canonical
 * forms are fixed points. */
#include "base/limits.h"
#include "identity/canon.h"
#include "identity/identity_hdr.h"
#include <stdlib.h>

#define CHECK(x)                                                                                   \
    do {                                                                                           \
        if (!(x))                                                                                  \
            abort();                                                                               \
    } while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static char text[65536];

static bool is_clean(struct str s)
{
    for (size_t i = 0; i < s.n; i++) {
        if ((unsigned char)s.p[i] <= ' ' || s.p[i] == '>' || s.p[i] == 0x7f)
            return false;
    }
    return true;
}

static bool is_token(struct str s)
{
    for (size_t i = 0; i < s.n; i++) {
        if (!strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-.!%*_+`'~",
                    s.p[i]) ||
            !s.p[i])
            return false;
    }
    return true;
}

static void check_header(struct arena *a, struct str s)
{
    struct identity_hdr h, again;
    struct reason why = {0};
    struct sbuf b = sbuf_make(text, sizeof(text));

    if (identity_info_parse(s, &(struct identity_hdr){.alg = STR_NULL}, &why) != 0)
        CHECK(why.code);
    why = (struct reason){0};
    if (identity_hdr_parse(a, s, &h, &why) != 0) {
        CHECK(why.code);
        return;
    }
    CHECK(is_clean(h.token) && is_clean(h.info) && h.info.n <= LIMIT_IDENTITY_URL_BYTES);
    if (h.is_rfc4474)
        return;
    CHECK(h.token.n > 0 && h.info.n > 0);
    if (!is_token(h.alg) || !is_token(h.ppt)) /* are built without quotes */
        h.alg = h.ppt = STR_NULL;
    identity_hdr_build(&b, &h);
    CHECK(!b.overflow && identity_hdr_parse(a, sbuf_get(&b), &again, &why) == 0);
    CHECK(str_eq(h.token, again.token) && str_eq(h.info, again.info) && str_eq(h.alg, again.alg) &&
          str_eq(h.ppt, again.ppt));
}

static void check_canon(struct arena *a, struct str s)
{
    static const struct canon_dial dial = {.country = {"49", 2},
                                           .national_prefix = {"0", 1},
                                           .international_prefix = {"00", 2},
                                           .area = {"30", 2},
                                           .subscriber_digits = 7,
                                           .bare_digits = true};
    static const struct canon_dial other = {.country = {"1", 1}, .national_digits = 10};
    struct str host, user = str_cut(s, '@', &host);
    struct canon_uri u = {.scheme = STR("sip"), .user = user, .host = host};
    struct str one, two;
    struct passport_id id;
    bool e164;
    uint64_t date, back;
    char date_text[CANON_DATE_MAX];

    for (size_t i = 0; i < 3; i++) {
        const struct canon_dial *d = i == 0 ? &dial : i == 1 ? &other : NULL;

        if (canon_number(a, s, d, &one, &e164) == 0) {
            CHECK(one.n > 0 && one.n <= LIMIT_IDENTITY_NUMBER);
            CHECK(!e164 || one.n <= 15);
        }
    }
    if (canon_uri_text(a, &u, &one) == 0) {
        struct str rest = str_make(one.p + 4, one.n - 4);

        CHECK(is_clean(one));
        if (user.p && user.n) {
            u.host = str_cut(rest, '@', &u.user);
            if (str_find_char(user, '@') == user.n && str_find_char(host, '@') == host.n) {
                CHECK(canon_uri_text(a, &u, &two) == 0 && str_eq(one, two));
            }
        }
    }
    u = (struct canon_uri){
        .scheme = STR("sip"), .user = s, .host = STR("a"), .user_is_phone = true};
    if (canon_identity(a, &u, NULL, true, &id) == 0)
        CHECK(id.text.n > 0 && is_clean(id.text));
    u.user_is_phone = false;
    if (canon_identity(a, &u, &dial, false, &id) == 0)
        CHECK(id.text.n > 0 && is_clean(id.text));
    u = (struct canon_uri){.scheme = STR("sips"), .user = user, .host = host, .host_is_v6 = true};
    if (canon_uri_text(a, &u, &one) == 0)
        CHECK(is_clean(one));
    u = (struct canon_uri){.whole = s};
    if (canon_identity(a, &u, &dial, true, &id) == 0)
        CHECK(!id.is_tn && is_clean(id.text));
    if (canon_date_parse(s, &date) == 0) {
        canon_date_build(date, date_text);
        CHECK(canon_date_parse(str_z(date_text), &back) == 0 && back == date);
        CHECK(canon_date_normalise(s, date_text) == 0);
    }
}

static void check_keys(struct arena *a, struct str s)
{
    struct str lines[LIMIT_IDENTITY_KEYS] = {{NULL, 0}}, rest = s;
    struct passport_key *v;
    struct reason why = {0};
    size_t n = 0, n_keys;

    do
        rest = str_cut(rest, '\n', &lines[n++]);
    while (rest.p && n < ARRAY_LEN(lines));
    if (canon_keys(a, lines, n, &v, &n_keys, &why) != 0) {
        CHECK(why.code);
        return;
    }
    CHECK(n_keys > 0 && n_keys <= n);
    for (size_t i = 0; i < n_keys; i++)
        CHECK(v[i].alg.n > 0 && v[i].dig.n > 0 && v[i].dig.n % 2 == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct arena *a = arena_new(4096, 1 << 20);
    struct str s = str_make((const char *)data, n);

    if (!a)
        return 0;
    check_header(a, s);
    check_canon(a, s);
    check_keys(a, s);
    arena_free(a);
    return 0;
}

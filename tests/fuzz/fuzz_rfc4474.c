/* Digest-strings of RFC 4474, as a key holder reads them: what parses is the only form of what it
 * says, and nothing in it can be taken for another part. And its two header fields in a request, as
 * the verification service reads them: "Identity value LF Identity-Info value LF digest-string". */
#include "identity/canon.h"
#include "identity/verify.h"
#include <stdlib.h>

#define CHECK(x)                                                                                   \
    do {                                                                                           \
        if (!(x))                                                                                  \
            abort();                                                                               \
    } while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static bool has(struct str s, char c)
{
    return str_find_char(s, c) < s.n;
}

static bool check_string(struct arena *a, struct str s, struct rfc4474_parts *p)
{
    struct reason why = {.code = NULL};
    struct passport_id id;
    struct str again;
    int err = rfc4474_parse(s, p, &why);

    if (err != 0) {
        CHECK(why.code && (err == ERR_SYNTAX || err == ERR_UNSUPPORTED));
        return false;
    }
    err = rfc4474_build(a, p, &again, &why);
    CHECK(err == ERR_NOMEM || (err == 0 && str_eq(s, again)));
    CHECK(!has(p->from, '|') && !has(p->to, '|') && !has(p->call_id, '|') && !has(p->contact, '|'));
    CHECK(p->from.n && p->to.n && p->call_id.n && p->method.n && p->date.n);
    if (rfc4474_identity(a, p->from, &id, &why) == 0) {
        CHECK(!id.is_tn && id.text.n > 4);
        CHECK(identity_uri_host(id.text).n > 0 && !has(identity_uri_host(id.text), '@'));
    }
    return true;
}

static void check_headers(struct arena *a, struct str identity, struct str info,
                          const struct rfc4474_parts *p)
{
    const struct rfc4474_message shown = {.parts = *p, .info = info};
    struct identity_message m = {.to = {false, {"sip:b@b", 7}}, .rfc4474 = &shown};
    struct identity_policy policy = identity_policy_default(1014296523);
    struct identity_check *c;
    struct identity_result r;
    const struct str *urls;

    m.has_date = canon_date_parse(p->date, &m.date_s) == 0;
    if (identity_check_new(a, &identity, 1, &m, &policy, &c) != 0)
        return;
    for (size_t i = identity_check_urls(c, &urls); i > 0; i--)
        CHECK(str_starts_nocase(urls[i - 1], STR("https://")));
    if (identity_check_finish(c, NULL, NULL, &r) != 0)
        return;
    CHECK(r.verdict != IDENTITY_VALID && r.verdict != IDENTITY_CONTRADICTED && r.why.code);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct arena *a = arena_new(4096, 1 << 20);
    struct str s = str_make((const char *)data, n), identity, info, rest;
    struct rfc4474_parts p;

    if (!a)
        return 0;
    (void)check_string(a, s, &p);
    rest = str_cut(s, '\n', &identity);
    rest = str_cut(rest, '\n', &info);
    if (check_string(a, rest, &p))
        check_headers(a, identity, info, &p);
    arena_free(a);
    return 0;
}

/* Fuzz: URIs. Slices lie inside the text and in order; comparison is reflexive and has no
 * direction; the address of record is a URI and its own key. The input is one URI, or two with a
 * line feed between them. */
#include "base/arena.h"
#include "base/limits.h"
#include "sip/uri.h"
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void must(bool ok)
{
    if (!ok)
        abort();
}

static void inside(struct str whole, struct str part)
{
    must(part.n == 0 || (part.p >= whole.p && part.p + part.n <= whole.p + whole.n));
}

static void check_one(struct arena *a, const struct sip_uri *u)
{
    struct str parts[] = {u->scheme_text, u->user, u->password, u->host, u->params, u->headers};
    const char *last = u->whole.p;
    for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
        inside(u->whole, parts[i]);
        if (parts[i].n) {
            must(parts[i].p >= last);
            last = parts[i].p + parts[i].n;
        }
    }
    inside(u->params, u->transport);
    inside(u->params, u->maddr);
    inside(u->params, u->method_param);
    inside(u->params, u->gr_value);
    bool sip = u->scheme == SIP_SCHEME_SIP || u->scheme == SIP_SCHEME_SIPS;
    must(!sip || sip_host_is_valid(u->host));
    must(u->has_user || u->user.n == 0);
    must(sip_uri_eq(u, u));
    struct str s, again;
    struct sip_uri key;
    if (sip_uri_aor(a, u, &s) == 0) {
        must(sip);
        must(sip_uri_parse(s, &key) == 0);
        must(sip_uri_aor(a, &key, &again) == 0 && str_eq(s, again));
    }
    if (sip_uri_number(a, u, &s) == 0) {
        for (size_t i = 0; i < s.n; i++)
            must((s.p[i] >= '0' && s.p[i] <= '9') || (i == 0 && s.p[i] == '+' && s.n > 1));
    }
    if (sip_unescape(a, u->user, &s) == 0)
        must(s.n <= u->user.n && (s.n == 0 || memchr(s.p, 0, s.n) == NULL));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct str first, second = str_cut(str_make((const char *)data, n), '\n', &first);
    struct sip_uri u, v;
    struct arena *a = arena_new(1024, LIMIT_MSG_ARENA_BYTES);
    if (a == NULL)
        return 0;
    bool one = sip_uri_parse(first, &u) == 0, two = second.p && sip_uri_parse(second, &v) == 0;
    if (one)
        check_one(a, &u);
    if (two)
        check_one(a, &v);
    if (one && two) {
        bool eq = sip_uri_eq(&u, &v);
        struct str x, y;
        must(eq == sip_uri_eq(&v, &u));
        /* equal URIs of one scheme name the same user */
        if (eq && sip_uri_aor(a, &u, &x) == 0)
            must(sip_uri_aor(a, &v, &y) == 0 && str_eq(x, y));
    }
    arena_free(a);
    return 0;
}

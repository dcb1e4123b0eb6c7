/* Comparison of URIs: RFC 3261 19.1.4 with RFC 5954 4.2 for IPv6 literals, RFC 3966 4, RFC 5031 4.
 * Pure functions over parsed URIs; any thread. Lists are compared pair by pair by hash: they have
 * at most LIMIT_URI_PARAMS entries. */
#include "base/limits.h"
#include "sip/host.h"
#include "sip/uri_priv.h"

struct pair {
    struct str name, value;
    uint64_t hash; /* in long lists: of the name, of headers of the value too. Pairs are looked at
                      only where it agrees */
};

static bool host_eq(const struct sip_uri *a, const struct sip_uri *b)
{
    if (a->host_is_v6 != b->host_is_v6)
        return false;
    if (!a->host_is_v6)
        return str_eq_nocase(a->host, b->host);
    uint8_t x[16], y[16]; /* RFC 5954 4.2: IPv6 addresses are compared as addresses, not as text */
    return sip_ipv6_parse(a->host, x) && sip_ipv6_parse(b->host, y) && memcmp(x, y, 16) == 0;
}

static size_t params_list(struct str params, struct pair list[LIMIT_URI_PARAMS])
{
    size_t n = 0;
    while (n < LIMIT_URI_PARAMS && sip_uri_param_next(&params, &list[n].name, &list[n].value))
        n++;
    return n;
}

static size_t headers_list(struct str headers, struct pair list[LIMIT_URI_PARAMS])
{
    size_t n = 0;
    while (n < LIMIT_URI_PARAMS && sip_uri_header_next(&headers, &list[n].name, &list[n].value))
        n++;
    return n;
}

/* Both lists, or neither: short ones are compared as they are. */
static void lists_hash(struct pair *a, size_t na, struct pair *b, size_t nb, bool values)
{
    if (na + nb <= 8) {
        for (size_t i = 0; i < na; i++)
            a[i].hash = 0;
        for (size_t i = 0; i < nb; i++)
            b[i].hash = 0;
        return;
    }
    for (size_t i = 0; i < na + nb; i++) {
        struct pair *p = i < na ? &a[i] : &b[i - na];
        p->hash = sip_uri_text_hash(p->name, true) * 31 +
                  (values ? sip_uri_text_hash(p->value, false) : 0);
    }
}

/* user, ttl, method, maddr: present in one URI only means different. For transport the list
 * of 19.1.4 does not say so, but the text before it does ("the same is true for the
 * transport-parameter"), and so does its example. */
static bool param_never_ignored(struct str name)
{
    return sip_uri_name_is(name, STR("user")) || sip_uri_name_is(name, STR("ttl")) ||
           sip_uri_name_is(name, STR("method")) || sip_uri_name_is(name, STR("maddr")) ||
           sip_uri_name_is(name, STR("transport"));
}

/* Every parameter of a that b has too must match; one that must not be missing must be there. */
static bool params_agree(const struct pair *a, size_t na, const struct pair *b, size_t nb)
{
    for (size_t i = 0; i < na; i++) {
        bool found = false;
        for (size_t k = 0; k < nb; k++) {
            if (a[i].hash != b[k].hash || !sip_uri_text_eq(a[i].name, b[k].name, true))
                continue;
            if (!sip_uri_text_eq(a[i].value, b[k].value, true))
                return false;
            found = true;
        }
        if (!found && param_never_ignored(a[i].name))
            return false;
    }
    return true;
}

/* Headers are never ignored; equal as a bag of pairs. The rules of 20 differ a header; the
 * strictest fits all: names without case, values character by character. */
static bool headers_eq(struct str x, struct str y)
{
    struct pair a[LIMIT_URI_PARAMS], b[LIMIT_URI_PARAMS];
    if (x.n == 0 && y.n == 0)
        return true;
    size_t n = headers_list(x, a);
    if (n != headers_list(y, b))
        return false;
    lists_hash(a, n, b, n, true);
    uint32_t taken = 0;
    for (size_t i = 0; i < n; i++) {
        size_t k = 0;
        while (k < n && ((taken >> k & 1) || a[i].hash != b[k].hash ||
                         !sip_uri_text_eq(a[i].name, b[k].name, true) ||
                         !sip_uri_text_eq(a[i].value, b[k].value, false)))
            k++;
        if (k == n)
            return false;
        taken |= UINT32_C(1) << k;
    }
    return true;
}
_Static_assert(LIMIT_URI_PARAMS <= 32, "the set of taken headers is one word");

static bool sip_eq(const struct sip_uri *a, const struct sip_uri *b)
{
    if (a->has_user != b->has_user || a->port != b->port ||
        !sip_uri_text_eq(a->user, b->user, false))
        return false;
    if ((a->password.p != NULL) != (b->password.p != NULL) ||
        !sip_uri_text_eq(a->password, b->password, false))
        return false;
    if (!host_eq(a, b))
        return false;
    if (a->params.n || b->params.n) {
        struct pair x[LIMIT_URI_PARAMS], y[LIMIT_URI_PARAMS];
        size_t nx = params_list(a->params, x), ny = params_list(b->params, y);
        lists_hash(x, nx, y, ny, false);
        if (!params_agree(x, nx, y, ny) || !params_agree(y, ny, x, nx))
            return false;
    }
    return headers_eq(a->headers, b->headers);
}

static bool is_visual_separator(char c)
{
    return c == '-' || c == '.' || c == '(' || c == ')';
}

/* Digit by digit without visual separators, letters in any case. */
static bool number_eq(struct str a, struct str b)
{
    size_t i = 0, k = 0;
    for (;;) {
        while (i < a.n && is_visual_separator(a.p[i]))
            i++;
        while (k < b.n && is_visual_separator(b.p[k]))
            k++;
        if (i == a.n || k == b.n)
            return i == a.n && k == b.n;
        if (str_lower(a.p[i++]) != str_lower(b.p[k++]))
            return false;
    }
}

static bool tel_value_eq(struct str name, struct str a, struct str b)
{
    /* a context is a number or a domain (RFC 3966 5.1.5): a number only where both begin with "+"
     */
    bool number =
        sip_uri_name_is(name, STR("ext")) || (sip_uri_name_is(name, STR("phone-context")) && a.n &&
                                              b.n && a.p[0] == '+' && b.p[0] == '+');
    return number ? number_eq(a, b) : sip_uri_text_eq(a, b, true);
}

static bool tel_eq(const struct sip_uri *a, const struct sip_uri *b)
{
    struct pair x[LIMIT_URI_PARAMS], y[LIMIT_URI_PARAMS];
    if (!number_eq(a->user, b->user))
        return false;
    size_t n = params_list(a->params, x);
    if (n != params_list(b->params, y))
        return false;
    lists_hash(x, n, y, n, false);
    uint32_t taken = 0;
    for (size_t i = 0; i < n; i++) {
        size_t k = 0;
        while (k < n && ((taken >> k & 1) || x[i].hash != y[k].hash ||
                         !sip_uri_text_eq(x[i].name, y[k].name, true) ||
                         !tel_value_eq(x[i].name, x[i].value, y[k].value)))
            k++;
        if (k == n)
            return false;
        taken |= UINT32_C(1) << k;
    }
    return true;
}

static struct str behind_scheme(const struct sip_uri *u)
{
    return (struct str){u->whole.p + u->scheme_text.n + 1, u->whole.n - u->scheme_text.n - 1};
}

bool sip_uri_eq(const struct sip_uri *a, const struct sip_uri *b)
{
    if (str_eq(a->whole, b->whole))
        return true;
    if (a->scheme != b->scheme || !str_eq_nocase(a->scheme_text, b->scheme_text))
        return false;
    switch (a->scheme) {
    case SIP_SCHEME_SIP:
    case SIP_SCHEME_SIPS:
        return sip_eq(a, b);
    case SIP_SCHEME_TEL:
        return tel_eq(a, b);
    case SIP_SCHEME_URN:
        /* service labels have no case (RFC 5031 4); of other name spaces only the identifier has
         * none (RFC 8141 3.1) */
        if (str_starts_nocase(a->user, STR("service:")))
            return str_eq_nocase(a->user, b->user);
        {
            struct str nid_a, nid_b;
            struct str nss_a = str_cut(a->user, ':', &nid_a), nss_b = str_cut(b->user, ':', &nid_b);
            return str_eq_nocase(nid_a, nid_b) && str_eq(nss_a, nss_b);
        }
    default:
        return str_eq(behind_scheme(a), behind_scheme(b));
    }
}

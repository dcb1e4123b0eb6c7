/* URLs that are fetched, and how long answers are good: RFC 3986 3, RFC 9111 4.2, 5.2.2. */
#include "fetch/core.h"

#define FRESH_DEFAULT_S 3600u

static int refuse(struct reason *why, const char *what)
{
    reason_set(why, "fetch-url", "RFC 8224 7.2", 436, "%s", what);
    return ERR_REFUSED;
}

static bool is_host_char(char c)
{
    char l = str_lower(c);

    return (l >= 'a' && l <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '.' || c == '_';
}

/* host, host:port, [v6]:port */
static int parse_authority(struct str a, struct fetch_url *ret, struct reason *why)
{
    struct str port = STR_NULL;
    uint32_t number = 443;

    if (a.n && a.p[0] == '[') {
        size_t end = str_find_char(a, ']');

        if (end == a.n)
            return refuse(why, "no address between the brackets");
        ret->host = str_make(a.p + 1, end - 1);
        if (end + 1 < a.n && a.p[end + 1] != ':')
            return refuse(why, "something behind the brackets");
        if (end + 1 < a.n)
            port = str_make(a.p + end + 2, a.n - end - 2);
    } else {
        port = str_cut(a, ':', &ret->host);
        for (size_t i = 0; i < ret->host.n; i++)
            if (!is_host_char(ret->host.p[i]))
                return refuse(why, "the host is no name");
    }
    if (ret->host.n == 0 || ret->host.n > 253)
        return refuse(why, "no host, or one too long");
    if (port.p && (str_to_u32(port, 65535, &number) != 0 || number == 0))
        return refuse(why, "the port is no number");
    ret->port = (uint16_t)number;
    return 0;
}

int fetch_url_parse(struct str url, struct fetch_url *ret, struct reason *why)
{
    struct str rest;
    size_t end;

    *ret = (struct fetch_url){.port = 0};
    if (url.n > LIMIT_IDENTITY_URL_BYTES)
        return refuse(why, "too long");
    if (!str_starts_nocase(url, STR("https://")))
        return refuse(why, "not https");
    for (size_t i = 0; i < url.n; i++) {
        if (url.p[i] <= ' ' || url.p[i] > '~' || url.p[i] == '\\' || url.p[i] == '#')
            return refuse(why, "a character that has no business there");
    }
    rest = str_make(url.p + 8, url.n - 8);
    for (end = 0; end < rest.n && rest.p[end] != '/' && rest.p[end] != '?';)
        end++;
    if (str_find_char(str_make(rest.p, end), '@') < end)
        return refuse(why, "a user in front of the host");
    return parse_authority(str_make(rest.p, end), ret, why);
}

static bool directive(struct str one, struct str name, uint64_t *ret_s)
{
    struct str key, value = str_cut(one, '=', &key);

    if (!str_eq_nocase(str_trim(key), name))
        return false;
    value = str_trim(value);
    if (value.n >= 2 && value.p[0] == '"' && value.p[value.n - 1] == '"')
        value = str_make(value.p + 1, value.n - 2);
    if (ret_s && str_to_u64(value, LIMIT_HTTPS_FRESH_MAX_S, ret_s) != 0)
        *ret_s = value.p && value.n > 5 ? LIMIT_HTTPS_FRESH_MAX_S : 0;
    return true;
}

uint64_t fetch_fresh_s(struct str cache_control, int64_t expires_in_s, uint64_t age_s)
{
    uint64_t s = expires_in_s < 0 ? FRESH_DEFAULT_S : (uint64_t)expires_in_s, max_age;
    bool never = false;
    struct str rest = cache_control, one;

    while (rest.p) {
        rest = str_cut(rest, ',', &one);
        if (directive(one, STR("max-age"), &max_age))
            s = max_age;
        never |= directive(one, STR("no-store"), NULL) || directive(one, STR("no-cache"), NULL);
    }
    s = never || s <= age_s ? 0 : s - age_s;
    if (s < LIMIT_HTTPS_FRESH_MIN_S)
        return LIMIT_HTTPS_FRESH_MIN_S;
    return s > LIMIT_HTTPS_FRESH_MAX_S ? LIMIT_HTTPS_FRESH_MAX_S : s;
}

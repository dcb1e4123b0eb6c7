/* Host names and literals: RFC 3261 25.1 (hostname, IPv4address, IPv6reference), RFC 5954, RFC
 * 5118 4.10. Pure functions, any thread. */
#include "sip/host.h"
#include "base/err.h"
#include "sip/uri.h"

#define HOSTNAME_MAX 255 /* RFC 1035 2.3.4 */
#define LABEL_MAX 63

static bool ipv4_parse(struct str s, uint8_t ret[4])
{
    if (s.n == 0)
        return false;
    const char *p = s.p, *end = s.p + s.n;
    for (int i = 0; i < 4; i++) {
        if (i > 0 && (p == end || *p++ != '.'))
            return false;
        const char *start = p;
        unsigned v = 0;
        for (; p < end && p - start < 3 && lex_is(*p, LEX_DIGIT); p++)
            v = v * 10 + (unsigned)(*p - '0');
        if (p == start || v > 255)
            return false;
        ret[i] = (uint8_t)v;
    }
    return p == end;
}

/* One group of one to four hex digits. */
static bool ipv6_group(struct lex *l, uint8_t ret[2])
{
    struct str h = lex_run(l, LEX_HEX);
    if (h.n == 0 || h.n > 4)
        return false;
    unsigned v = 0;
    for (size_t i = 0; i < h.n; i++) {
        char c = h.p[i];
        v = v << 4 | (c <= '9' ? (unsigned)(c - '0') : (unsigned)((c | 0x20) - 'a' + 10));
    }
    ret[0] = (uint8_t)(v >> 8);
    ret[1] = (uint8_t)(v & 0xff);
    return true;
}

bool sip_ipv6_parse(struct str s, uint8_t ret[16])
{
    uint8_t out[16] = {0};
    size_t n = 0, gap = SIZE_MAX;
    struct lex l = lex_make(s);
    if (s.n < 2 || s.n > 45)
        return false;
    if (l.p[0] == ':' && l.p[1] != ':')
        return false;
    while (!lex_at_end(&l)) {
        if (*l.p == ':') { /* "::", at the start or behind a group whose own colon was taken */
            if (gap != SIZE_MAX)
                return false;
            l.p += n == 0 ? 2 : 1;
            gap = n;
            /* RFC 5118 4.10: the grammar of RFC 3261 leads to ":::" in front of an IPv4 tail */
            if (lex_peek(&l, ':') && memchr(l.p, '.', (size_t)(l.end - l.p)) != NULL)
                l.p++;
            continue;
        }
        struct str rest = {l.p, (size_t)(l.end - l.p)};
        if (memchr(rest.p, '.', rest.n) != NULL && memchr(rest.p, ':', rest.n) == NULL) {
            if (n > 12 || !ipv4_parse(rest, out + n))
                return false;
            n += 4;
            break;
        }
        if (n > 14 || !ipv6_group(&l, out + n))
            return false;
        n += 2;
        if (lex_at_end(&l))
            break;
        if (!lex_take(&l, ':') || lex_at_end(&l))
            return false; /* a group must follow, or the second colon of a gap */
    }
    if (gap == SIZE_MAX ? n != 16 : n > 14)
        return false;
    if (gap != SIZE_MAX) {
        memmove(out + 16 - (n - gap), out + gap, n - gap);
        memset(out + gap, 0, 16 - n);
    }
    memcpy(ret, out, 16);
    return true;
}

/* *( domainlabel "." ) toplabel [ "." ]; the top label begins with a letter, which tells it from an
 * IPv4 address. */
static bool hostname_is_valid(struct str s)
{
    size_t label = 0, start = 0;
    if (s.n == 0 || s.n > HOSTNAME_MAX)
        return false;
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        if (c == '.') {
            if (label == 0 || s.p[i - 1] == '-')
                return false;
            if (i + 1 == s.n)
                break; /* the root's dot */
            label = 0;
            start = i + 1;
            continue;
        }
        if (!lex_is(c, LEX_HOST) || (c == '-' && label == 0) || ++label > LABEL_MAX)
            return false;
    }
    return s.p[s.n - 1] != '-' && lex_is(s.p[start], LEX_ALPHA);
}

bool sip_host_is_valid(struct str host)
{
    uint8_t bytes[16];
    return hostname_is_valid(host) || ipv4_parse(host, bytes) || sip_ipv6_parse(host, bytes);
}

void sip_host_lex(struct lex *l, struct str *ret_host, bool *ret_v6)
{
    uint8_t bytes[16];
    *ret_v6 = false;
    if (lex_take(l, '[')) {
        const char *start = l->p, *close = memchr(start, ']', (size_t)(l->end - start));
        *ret_host = (struct str){start, close ? (size_t)(close - start) : 0};
        *ret_v6 = true;
        if (close == NULL || !sip_ipv6_parse(*ret_host, bytes))
            l->bad = true;
        else
            l->p = close + 1;
        return;
    }
    *ret_host = lex_run1(l, LEX_HOST);
    if (l->bad || (lex_is(ret_host->p[0], LEX_DIGIT) && ipv4_parse(*ret_host, bytes)))
        return;
    if (!hostname_is_valid(*ret_host))
        l->bad = true;
    else if (ret_host->p[ret_host->n - 1] == '.') /* whoever compares must not take it for another */
        ret_host->n--;
}

void sip_port_lex(struct lex *l, uint16_t *ret)
{
    struct str digits = lex_run1(l, LEX_DIGIT);
    uint32_t v = 0;
    for (size_t i = 0; i < digits.n && v <= 65535; i++)
        v = v * 10 + (uint32_t)(digits.p[i] - '0');
    if (v == 0 || v > 65535)
        l->bad = true;
    *ret = (uint16_t)(l->bad ? 0 : v);
}

int sip_hostport_lex(struct lex *l, struct str *ret_host, bool *ret_v6, uint16_t *ret_port)
{
    *ret_port = 0;
    sip_host_lex(l, ret_host, ret_v6);
    if (lex_take(l, ':'))
        sip_port_lex(l, ret_port);
    return l->bad ? ERR_SYNTAX : 0;
}

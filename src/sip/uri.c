/* URIs: sip and sips (RFC 3261 19.1, 25.1), tel (RFC 3966), urn (RFC 5031), anything else as
 * absoluteURI. Pure functions over the caller's bytes; any thread. Comparison is in uri_eq.c. */
#include "sip/uri.h"
#include "base/err.h"
#include "base/limits.h"
#include "sip/host.h"
#include "sip/lex.h"
#include "sip/uri_priv.h"
#include <arpa/inet.h>

/* A run of a class in which "%" HEXDIG HEXDIG may stand ("escaped" in the grammar). */
static struct str run_escaped(struct lex *l, unsigned classes)
{
    const char *start = l->p;
    while (!l->bad) {
        l->p = lex_skip(l->p, l->end, classes);
        if (l->p == l->end) {
            break;
        } else if (*l->p == '%') {
            if (l->end - l->p < 3 || !lex_is(l->p[1], LEX_HEX) || !lex_is(l->p[2], LEX_HEX))
                l->bad = true;
            else
                l->p += 3;
        } else {
            break;
        }
    }
    return (struct str){start, (size_t)(l->p - start)};
}

static struct str run_escaped1(struct lex *l, unsigned classes)
{
    struct str s = run_escaped(l, classes);
    if (s.n == 0)
        l->bad = true;
    return s;
}

static unsigned hex_digit(char c)
{
    return c <= '9' ? (unsigned)(c - '0') : (unsigned)((c | 0x20) - 'a' + 10);
}

int sip_uri_char(const char **p, const char *end)
{
    char c = *(*p)++;
    if (c != '%' || end - *p < 2)
        return (unsigned char)c;
    unsigned v = hex_digit((*p)[0]) << 4 | hex_digit((*p)[1]);
    *p += 2;
    return (int)(v & 0xff) | SIP_URI_ESCAPED;
}

bool sip_uri_name_is(struct str name, struct str lower)
{
    if (name.n == lower.n)
        return str_eq_nocase(name, lower);
    if (name.n < lower.n || memchr(name.p, '%', name.n) == NULL)
        return false;
    const char *p = name.p, *end = name.p + name.n;
    size_t i = 0;
    for (; p < end && i < lower.n; i++) {
        if (str_lower((char)(sip_uri_char(&p, end) & 0xff)) != lower.p[i])
            return false;
    }
    return p == end && i == lower.n;
}

bool sip_uri_text_eq(struct str a, struct str b, bool nocase)
{
    if (a.n == 0 || b.n == 0)
        return a.n == b.n;
    const char *p = a.p, *pe = a.p + a.n, *q = b.p, *qe = b.p + b.n;
    while (p < pe && q < qe) {
        int x = sip_uri_char(&p, pe), y = sip_uri_char(&q, qe);
        char cx = (char)(x & 0xff), cy = (char)(y & 0xff);
        if (nocase ? str_lower(cx) != str_lower(cy) : cx != cy)
            return false;
        if (((x ^ y) & SIP_URI_ESCAPED) && sip_uri_is_reserved(cx))
            return false;
    }
    return p == pe && q == qe;
}

uint64_t sip_uri_text_hash(struct str s, bool nocase)
{
    const uint64_t key = str_hash(STR("uri")) |
                         1; /* not known outside: names that collide cannot be made to order */
    uint64_t h = s.n ? key : 0;
    for (const char *p = s.p, *end = s.n ? s.p + s.n : s.p; p < end;) {
        int x = sip_uri_char(&p, end);
        char c = (char)(x & 0xff);
        if (!sip_uri_is_reserved(c))
            x &= 0xff;
        h = (h ^ (uint64_t)(nocase ? (x & SIP_URI_ESCAPED) | (unsigned char)str_lower(c) : x)) *
            key;
        h ^= h >> 32;
    }
    return h;
}

/* RFC 3261 19.1.1, RFC 3966 3: no parameter comes twice. A few names are compared as they are. */
#define NAMES_FEW 4u

static bool few_names_differ(const struct str *names, unsigned n)
{
    for (unsigned i = 1; i < n; i++) {
        for (unsigned k = 0; k < i; k++) {
            if (sip_uri_text_eq(names[i], names[k], true))
                return false;
        }
    }
    return true;
}

/* Many are compared by hashes first, so that a URI of long names that begin alike costs no more
 * than reading it. */
static bool many_names_differ(struct str params)
{
    struct str names[LIMIT_URI_PARAMS], value;
    uint64_t hash[LIMIT_URI_PARAMS];
    for (unsigned i = 0; i < LIMIT_URI_PARAMS && sip_uri_param_next(&params, &names[i], &value);
         i++) {
        hash[i] = sip_uri_text_hash(names[i], true);
        for (unsigned k = 0; k < i; k++) {
            if (hash[i] == hash[k] && sip_uri_text_eq(names[i], names[k], true))
                return false;
        }
    }
    return true;
}

bool sip_uri_param_next(struct str *rest, struct str *ret_name, struct str *ret_value)
{
    if (rest->n == 0)
        return false;
    struct lex l = lex_make(*rest);
    lex_expect(&l, ';');
    *ret_name = run_escaped1(&l, LEX_PARAM);
    *ret_value = lex_take(&l, '=') ? run_escaped1(&l, LEX_PARAM) : STR_NULL;
    if (l.bad)
        return false;
    *rest = (struct str){l.p, (size_t)(l.end - l.p)};
    return true;
}

/* Remembers one of the parameters that routing asks for; false if it needs a value and has none. */
static bool uri_param_store(struct sip_uri *u, struct str name, struct str value)
{
    static const struct str known[] = {
        {"transport", 9}, {"maddr", 5}, {"method", 6}, {"gr", 2}, {"lr", 2}, {"ob", 2}, {"user", 4},
    };
    size_t k = 0;
    while (k < ARRAY_LEN(known) && !sip_uri_name_is(name, known[k]))
        k++;
    switch (k) {
    case 0:
        u->transport = value;
        return value.n > 0;
    case 1:
        u->maddr = value;
        return value.n > 0;
    case 2:
        u->method_param = value;
        return value.n > 0;
    case 3:
        u->has_gr = true;
        u->gr_value = value;
        break;
    case 4:
        u->lr = true;
        break;
    case 5:
        u->ob = true;
        break;
    case 6:
        u->user_is_phone = str_eq_nocase(value, STR("phone"));
        break;
    default:
        break;
    }
    return true;
}

static int uri_params(struct sip_uri *u, struct lex *l)
{
    const char *start = l->p;
    struct str few[NAMES_FEW];
    unsigned n = 0;
    while (lex_take(l, ';')) {
        struct str name = run_escaped1(l, LEX_PARAM), value = STR_NULL;
        if (lex_take(l, '='))
            value = run_escaped1(l, LEX_PARAM);
        if (l->bad || !uri_param_store(u, name, value))
            return ERR_SYNTAX;
        if (n == LIMIT_URI_PARAMS)
            return ERR_LIMIT;
        if (n < NAMES_FEW)
            few[n] = name;
        n++;
    }
    u->params = (struct str){start, (size_t)(l->p - start)};
    bool differ = n <= NAMES_FEW ? few_names_differ(few, n) : many_names_differ(u->params);
    return differ ? 0 : ERR_SYNTAX;
}

/* headers = "?" hname "=" hvalue *( "&" hname "=" hvalue ) */
static int uri_headers(struct sip_uri *u, struct lex *l)
{
    u->headers = run_escaped(l, LEX_HEADERS);
    if (l->bad || u->headers.n == 0)
        return ERR_SYNTAX;
    struct str rest = u->headers, name, value;
    unsigned n = 0;
    while (sip_uri_header_next(&rest, &name, &value)) {
        if (++n > LIMIT_URI_PARAMS)
            return ERR_LIMIT;
    }
    return rest.n ? ERR_SYNTAX : 0;
}

bool sip_uri_header_next(struct str *rest, struct str *ret_name, struct str *ret_value)
{
    if (rest->n == 0)
        return false;
    struct str head, after = str_cut(*rest, '&', &head);
    if (after.p != NULL && after.n == 0)
        return false;
    *ret_value = str_cut(head, '=', ret_name);
    if (ret_name->n == 0 || ret_value->p == NULL || str_find_char(*ret_value, '=') < ret_value->n)
        return false;
    *rest = after;
    return true;
}

static int uri_userinfo(struct sip_uri *u, struct str info)
{
    struct lex l = lex_make(info);
    u->has_user = true;
    u->user = run_escaped1(&l, LEX_USER);
    if (lex_take(&l, ':'))
        u->password = run_escaped(&l, LEX_PASSWORD);
    return l.bad || !lex_at_end(&l) ? ERR_SYNTAX : 0;
}

/* [ userinfo "@" ] hostport uri-parameters [ headers ]. Neither host, parameters nor headers may
 * hold a bare "@", so the first one ends the userinfo whatever stands before it (RFC 4475 3.1.1.9).
 */
static int uri_sip(struct sip_uri *u, struct str rest)
{
    const char *at = rest.n ? memchr(rest.p, '@', rest.n) : NULL;
    if (at != NULL) {
        if (uri_userinfo(u, (struct str){rest.p, (size_t)(at - rest.p)}) < 0)
            return ERR_SYNTAX;
        rest = (struct str){at + 1, (size_t)(rest.p + rest.n - at - 1)};
    }
    struct lex l = lex_make(rest);
    if (sip_hostport_lex(&l, &u->host, &u->host_is_v6, &u->port) < 0)
        return ERR_SYNTAX;
    int err = lex_peek(&l, ';') ? uri_params(u, &l) : 0;
    if (!err && lex_take(&l, '?'))
        err = uri_headers(u, &l);
    if (err)
        return err;
    return lex_at_end(&l) ? 0 : ERR_SYNTAX;
}

/* phonedigit and phonedigit-hex (RFC 3966 3). */
static bool is_visual_separator(char c)
{
    return c == '-' || c == '.' || c == '(' || c == ')';
}

static bool tel_number_is_valid(struct str s)
{
    bool global = s.n && s.p[0] == '+', digit = false;
    for (size_t i = global ? 1 : 0; i < s.n; i++) {
        char c = s.p[i];
        if (is_visual_separator(c))
            continue;
        if (!lex_is(c, global ? LEX_DIGIT : LEX_HEX) && (global || (c != '*' && c != '#')))
            return false;
        digit = true;
    }
    return digit;
}

/* A local number without a phone-context breaks RFC 3966 5.1.5, but is how phones dial "tel:112":
 * it is let through here, and is no number by sip_uri_number. */
static int uri_tel(struct sip_uri *u, struct str rest)
{
    size_t n = str_find_char(rest, ';');
    u->user = (struct str){rest.p, n};
    u->has_user = true;
    if (!tel_number_is_valid(u->user))
        return ERR_SYNTAX;
    struct lex l = lex_make((struct str){rest.p + n, rest.n - n});
    int err = uri_params(u, &l);
    if (err)
        return err;
    return lex_at_end(&l) ? 0 : ERR_SYNTAX;
}

static int uri_other(struct sip_uri *u, struct str rest)
{
    struct lex l = lex_make(rest);
    run_escaped1(&l, LEX_URIC);
    if (l.bad || !lex_at_end(&l))
        return ERR_SYNTAX;
    if (u->scheme == SIP_SCHEME_URN) {
        u->user = rest;
        u->has_user = true;
    }
    return 0;
}

static enum sip_scheme scheme_parse(struct str s)
{
    if (s.n == 3 && str_eq_nocase(s, STR("sip")))
        return SIP_SCHEME_SIP;
    if (s.n == 4 && str_eq_nocase(s, STR("sips")))
        return SIP_SCHEME_SIPS;
    if (s.n == 3 && str_eq_nocase(s, STR("tel")))
        return SIP_SCHEME_TEL;
    if (s.n == 3 && str_eq_nocase(s, STR("urn")))
        return SIP_SCHEME_URN;
    return SIP_SCHEME_OTHER;
}

int sip_uri_parse(struct str text, struct sip_uri *ret)
{
    *ret = (struct sip_uri){.whole = text};
    if (text.n > LIMIT_URI_BYTES)
        return ERR_LIMIT;
    struct lex l = lex_make(text);
    if (lex_at_end(&l) || !lex_is(*l.p, LEX_ALPHA))
        return ERR_SYNTAX;
    ret->scheme_text = lex_run(&l, LEX_SCHEME);
    lex_expect(&l, ':');
    if (l.bad)
        return ERR_SYNTAX;
    ret->scheme = scheme_parse(ret->scheme_text);
    struct str rest = {l.p, (size_t)(l.end - l.p)};
    switch (ret->scheme) {
    case SIP_SCHEME_SIP:
    case SIP_SCHEME_SIPS:
        return uri_sip(ret, rest);
    case SIP_SCHEME_TEL:
        return uri_tel(ret, rest);
    default:
        return uri_other(ret, rest);
    }
}

int sip_unescape(struct arena *a, struct str s, struct str *ret)
{
    char *dst = arena_alloc(a, s.n + 1);
    if (dst == NULL)
        return ERR_NOMEM;
    size_t n = 0;
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        if (c == '%') {
            if (s.n - i < 3 || !lex_is(s.p[i + 1], LEX_HEX) || !lex_is(s.p[i + 2], LEX_HEX))
                return ERR_SYNTAX;
            c = (char)(hex_digit(s.p[i + 1]) << 4 | hex_digit(s.p[i + 2]));
            if (c == '\0')
                return ERR_SYNTAX; /* whoever reads the result as C text would see less of it (RFC
                                      4475 3.1.1.4) */
            i += 2;
        }
        dst[n++] = c;
    }
    dst[n] = '\0';
    *ret = (struct str){dst, n};
    return 0;
}

/* The user part with every escape taken off that the grammar allows to stand bare, the others in
 * upper case: one spelling for equal users, and still a URI (an escaped NUL or "@" stays escaped).
 */
static size_t user_canonical(struct str user, char *dst)
{
    static const char hex[] = "0123456789ABCDEF";
    const char *p = user.p, *end = user.p + user.n;
    size_t n = 0;
    while (p < end) {
        int c = sip_uri_char(&p, end);
        char byte = (char)(c & 0xff);
        if (!(c & SIP_URI_ESCAPED) || (lex_is(byte, LEX_USER) && !sip_uri_is_reserved(byte))) {
            dst[n++] = byte;
        } else {
            dst[n++] = '%';
            dst[n++] = hex[(c >> 4) & 15];
            dst[n++] = hex[c & 15];
        }
    }
    return n;
}

/* Lower case, without the root's dot; an IPv6 literal in the form of RFC 5952, in brackets. Room
 * for host.n + INET6_ADDRSTRLEN. */
static size_t host_canonical(const struct sip_uri *u, char *dst)
{
    uint8_t bytes[16];
    if (u->host_is_v6 && sip_ipv6_parse(u->host, bytes) &&
        inet_ntop(AF_INET6, bytes, dst + 1, INET6_ADDRSTRLEN)) {
        size_t n = strlen(dst + 1);
        dst[0] = '[';
        dst[n + 1] = ']';
        return n + 2;
    }
    size_t n = u->host.n;
    if (n > 1 && u->host.p[n - 1] == '.')
        n--;
    for (size_t i = 0; i < n; i++)
        dst[i] = str_lower(u->host.p[i]);
    return n;
}

int sip_uri_aor(struct arena *a, const struct sip_uri *u, struct str *ret)
{
    if (u->scheme != SIP_SCHEME_SIP && u->scheme != SIP_SCHEME_SIPS)
        return ERR_UNSUPPORTED;
    char *dst = arena_alloc(a, 4 + u->user.n + 1 + u->host.n + INET6_ADDRSTRLEN + 2);
    if (dst == NULL)
        return ERR_NOMEM;
    memcpy(dst, "sip:", 4);
    size_t n = 4;
    if (u->has_user) {
        n += user_canonical(u->user, dst + n);
        dst[n++] = '@';
    }
    n += host_canonical(u, dst + n);
    dst[n] = '\0';
    *ret = (struct str){dst, n};
    return 0;
}

int sip_uri_number(struct arena *a, const struct sip_uri *u, struct str *ret)
{
    struct str user = u->user;
    bool sip = u->scheme == SIP_SCHEME_SIP || u->scheme == SIP_SCHEME_SIPS;
    if (u->scheme != SIP_SCHEME_TEL && !sip)
        return ERR_NOTFOUND;
    char *dst = arena_alloc(a, user.n + 1);
    if (dst == NULL)
        return ERR_NOMEM;
    if (user.n == 0)
        return ERR_NOTFOUND;
    const char *p = user.p, *end = user.p + user.n;
    size_t n = 0;
    bool separators = u->scheme == SIP_SCHEME_TEL || u->user_is_phone;
    while (p < end) {
        char c = (char)(sip_uri_char(&p, end) & 0xff);
        if (sip && c == ';' && p[-1] == ';')
            break; /* parameters of a telephone-subscriber (RFC 3261 19.1.6) */
        if (separators && is_visual_separator(c))
            continue;
        if (!lex_is(c, LEX_DIGIT) && !(c == '+' && n == 0))
            return ERR_NOTFOUND;
        dst[n++] = c;
    }
    /* Global numbers begin with "+"; without it they are known only in a context that we do not
     * have. A user part of digits alone is taken as written: it is for the caller's dialling rules
     * to say what it means. */
    if (n == 0 || (n == 1 && dst[0] == '+') || (u->scheme == SIP_SCHEME_TEL && dst[0] != '+'))
        return ERR_NOTFOUND;
    dst[n] = '\0';
    *ret = (struct str){dst, n};
    return 0;
}

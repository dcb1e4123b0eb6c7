/* Digest credentials, challenges and Authentication-Info from text (RFC 3261 25.1, RFC 7616 3.3
 * to 3.5, RFC 8760 2.7). Takes what real clients send: quotes where there should be none and the
 * other way round, any case, white space around "=" and
 * ",", empty list elements, unknown parameters. Refuses what could be read in two ways: a parameter
 * given twice, an unterminated string, control characters. Pure; slices over the value, or over the
 * arena where escapes had to be resolved. */
#include "base/limits.h"
#include "identity/identity_priv.h"
#include <endian.h>

enum param_id {
    PARAM_UNKNOWN,
    PARAM_USERNAME,
    PARAM_USERNAME_EXT,
    PARAM_REALM,
    PARAM_NONCE,
    PARAM_URI,
    PARAM_RESPONSE,
    PARAM_CNONCE,
    PARAM_OPAQUE,
    PARAM_QOP,
    PARAM_NC,
    PARAM_ALGORITHM,
    PARAM_USERHASH,
    PARAM_DOMAIN,
    PARAM_STALE,
    PARAM_NEXTNONCE,
    PARAM_RSPAUTH,
    PARAM_N
};

static const struct str param_names[PARAM_N] = {
    [PARAM_USERNAME] = {"username", 8},
    [PARAM_USERNAME_EXT] = {"username*", 9},
    [PARAM_REALM] = {"realm", 5},
    [PARAM_NONCE] = {"nonce", 5},
    [PARAM_URI] = {"uri", 3},
    [PARAM_RESPONSE] = {"response", 8},
    [PARAM_CNONCE] = {"cnonce", 6},
    [PARAM_OPAQUE] = {"opaque", 6},
    [PARAM_QOP] = {"qop", 3},
    [PARAM_NC] = {"nc", 2},
    [PARAM_ALGORITHM] = {"algorithm", 9},
    [PARAM_USERHASH] = {"userhash", 8},
    [PARAM_DOMAIN] = {"domain", 6},
    [PARAM_STALE] = {"stale", 5},
    [PARAM_NEXTNONCE] = {"nextnonce", 9},
    [PARAM_RSPAUTH] = {"rspauth", 7},
};

/* What was read of one value: by parameter, and the names that nobody knows (to see them twice). */
struct params {
    struct str value[PARAM_N];
    bool has[PARAM_N];
    struct str unknown[LIMIT_DIGEST_PARAMS];
    size_t n, n_unknown;
};

static void params_init(struct params *ps)
{
    memset(ps, 0, offsetof(struct params, unknown));
    ps->n = ps->n_unknown = 0;
}

struct reader {
    struct arena *arena;
    struct str all;
    size_t at;
    struct reason *why;
};

enum { C_SPACE = 1, C_TOKEN = 2, C_END = 4 }; /* C_END: cannot stand in a value without quotes */

#define S (C_SPACE | C_END)
#define E C_END
#define T C_TOKEN
static const uint8_t classes[256] = {
    ['\t'] = S, ['\n'] = S, ['\r'] = S, [' '] = S, ['"'] = E, [','] = E, [0] = E,   [1] = E,
    [2] = E,    [3] = E,    [4] = E,    [5] = E,   [6] = E,   [7] = E,   [8] = E,   [11] = E,
    [12] = E,   [14] = E,   [15] = E,   [16] = E,  [17] = E,  [18] = E,  [19] = E,  [20] = E,
    [21] = E,   [22] = E,   [23] = E,   [24] = E,  [25] = E,  [26] = E,  [27] = E,  [28] = E,
    [29] = E,   [30] = E,   [31] = E,   [127] = E, ['0'] = T, ['1'] = T, ['2'] = T, ['3'] = T,
    ['4'] = T,  ['5'] = T,  ['6'] = T,  ['7'] = T, ['8'] = T, ['9'] = T, ['A'] = T, ['B'] = T,
    ['C'] = T,  ['D'] = T,  ['E'] = T,  ['F'] = T, ['G'] = T, ['H'] = T, ['I'] = T, ['J'] = T,
    ['K'] = T,  ['L'] = T,  ['M'] = T,  ['N'] = T, ['O'] = T, ['P'] = T, ['Q'] = T, ['R'] = T,
    ['S'] = T,  ['T'] = T,  ['U'] = T,  ['V'] = T, ['W'] = T, ['X'] = T, ['Y'] = T, ['Z'] = T,
    ['a'] = T,  ['b'] = T,  ['c'] = T,  ['d'] = T, ['e'] = T, ['f'] = T, ['g'] = T, ['h'] = T,
    ['i'] = T,  ['j'] = T,  ['k'] = T,  ['l'] = T, ['m'] = T, ['n'] = T, ['o'] = T, ['p'] = T,
    ['q'] = T,  ['r'] = T,  ['s'] = T,  ['t'] = T, ['u'] = T, ['v'] = T, ['w'] = T, ['x'] = T,
    ['y'] = T,  ['z'] = T,  ['-'] = T,  ['.'] = T, ['!'] = T, ['%'] = T, ['*'] = T, ['_'] = T,
    ['+'] = T,  ['`'] = T,  ['\''] = T, ['~'] = T,
};
#undef S
#undef E
#undef T

static bool is_space(char c)
{
    return (classes[(unsigned char)c] & C_SPACE) != 0;
}

/* The index of the first byte at or after `at` that is not of the class; or that is. */
static size_t class_end(struct str s, size_t at, unsigned class)
{
    while (at < s.n && (classes[(unsigned char)s.p[at]] & class))
        at++;
    return at;
}

static size_t class_find(struct str s, size_t at, unsigned class)
{
    while (at < s.n && !(classes[(unsigned char)s.p[at]] & class))
        at++;
    return at;
}

static int refuse(struct reader *r, const char *what)
{
    reason_set(r->why, "digest-syntax", "RFC 3261 25.1", 400, "%s", what);
    if (r->why)
        r->why->offset = (uint32_t)r->at;
    return ERR_SYNTAX;
}

static int refuse_memory(struct reader *r)
{
    reason_set(r->why, "no-memory", NULL, 500, NULL);
    return ERR_NOMEM;
}

static void skip_space(struct reader *r)
{
    r->at = class_end(r->all, r->at, C_SPACE);
}

/* unq() of RFC 7616 3.3: quoting slashes off; a fold inside counts as one space (RFC 3261 25.1, LWS
 * in quoted-string). */
static int unquote(struct reader *r, struct str raw, struct str *ret)
{
    char *p = arena_alloc(r->arena, raw.n + 1);
    size_t n = 0, i = 0;

    if (!p)
        return refuse_memory(r);
    while (i < raw.n) {
        if (raw.p[i] == '\\' && i + 1 < raw.n) {
            p[n++] = raw.p[i + 1];
            i += 2;
        } else if (raw.p[i] == '\r' || raw.p[i] == '\n') {
            while (i < raw.n && is_space(raw.p[i]))
                i++;
            p[n++] = ' ';
        } else {
            p[n++] = raw.p[i++];
        }
    }
    p[n] = 0;
    *ret = str_make(p, n);
    return 0;
}

/* Is there a quote, a backslash or a control character among eight bytes? Their high bits are set
 * where there is, and at bytes above such a one it may be set wrongly: to be asked of the lowest
 * only. */
static uint64_t quoted_stops(uint64_t v)
{
    const uint64_t ones = 0x0101010101010101u, high = 0x8080808080808080u;
    uint64_t quote = v ^ ones * '"', slash = v ^ ones * '\\', del = v ^ ones * 0x7f;

    return (((quote - ones) & ~quote) | ((slash - ones) & ~slash) | ((del - ones) & ~del) |
            ((v - ones * 0x20) & ~v)) &
           high;
}

/* The first of these at or after p, or end. */
static const unsigned char *quoted_plain_end(const unsigned char *p, const unsigned char *end)
{
    uint64_t v;

    while (end - p >= 8) {
        memcpy(&v, p, sizeof(v));
        if ((v = quoted_stops(le64toh(v))) != 0)
            return p + BIT_LOWEST(v) / 8;
        p += 8;
    }
    while (p < end && *p >= 0x20 && *p != '"' && *p != '\\' && *p != 0x7f)
        p++;
    return p;
}

/* A quoted-string behind its first quote. */
static int read_quoted(struct reader *r, struct str *ret)
{
    size_t start = r->at;
    bool plain = true;

    for (; r->at < r->all.n; r->at++) {
        const unsigned char *p = (const unsigned char *)r->all.p + r->at;
        const unsigned char *end = (const unsigned char *)r->all.p + r->all.n;
        unsigned char c;

        p = quoted_plain_end(p, end);
        r->at = (size_t)(p - (const unsigned char *)r->all.p);
        if (p == end || (c = *p) == '"')
            break;
        if (c == '\\') {
            plain = false;
            r->at++; /* what is escaped does not end the string */
            if (r->at < r->all.n &&
                ((unsigned char)r->all.p[r->at] < 0x20 || r->all.p[r->at] == 0x7f))
                return refuse(r, "a control character is escaped");
        } else if (c == '\r' || c == '\n') {
            plain = false;
        } else if (c != '\t') {
            return refuse(r, "control character in a quoted string");
        }
    }
    if (r->at >= r->all.n) {
        r->at = start;
        return refuse(r, "a quoted string does not end");
    }
    *ret = str_make(r->all.p + start, r->at - start);
    r->at++;
    return plain ? 0 : unquote(r, *ret, ret);
}

static int read_value(struct reader *r, struct str *ret)
{
    size_t start;

    skip_space(r);
    if (r->at < r->all.n && r->all.p[r->at] == '"') {
        r->at++;
        return read_quoted(r, ret);
    }
    start = r->at;
    r->at = class_find(r->all, start, C_END);
    if (r->at < r->all.n && r->all.p[r->at] != ',' && !is_space(r->all.p[r->at]))
        return refuse(r, "this cannot stand in a value without quotes");
    *ret = str_make(r->all.p + start, r->at - start);
    return 0;
}

static enum param_id param_find(struct str name)
{
    static const uint8_t by_len[][4] = {
        [2] = {PARAM_NC},
        [3] = {PARAM_URI, PARAM_QOP},
        [5] = {PARAM_REALM, PARAM_NONCE, PARAM_STALE},
        [6] = {PARAM_CNONCE, PARAM_OPAQUE, PARAM_DOMAIN},
        [7] = {PARAM_RSPAUTH},
        [8] = {PARAM_USERNAME, PARAM_RESPONSE, PARAM_USERHASH},
        [9] = {PARAM_ALGORITHM, PARAM_NEXTNONCE, PARAM_USERNAME_EXT},
    }; /* PARAM_UNKNOWN ends each */

    if (name.n >= ARRAY_LEN(by_len))
        return PARAM_UNKNOWN;
    for (const uint8_t *id = by_len[name.n]; *id != PARAM_UNKNOWN; id++) {
        if (str_eq_nocase(name, param_names[*id]))
            return (enum param_id) * id;
    }
    return PARAM_UNKNOWN;
}

static int params_add(struct reader *r, struct params *ps, struct str name, struct str value)
{
    enum param_id id = param_find(name);
    size_t max = id == PARAM_URI || id == PARAM_DOMAIN ? LIMIT_URI_BYTES : LIMIT_DIGEST_VALUE_BYTES;
    bool is_twice = ps->has[id];

    if (value.n > max || ++ps->n > LIMIT_DIGEST_PARAMS) {
        reason_set(r->why, "digest-too-large", NULL, 400,
                   "%.*s: more than %zu bytes, or more than %u parameters", STR_FMT(name), max,
                   LIMIT_DIGEST_PARAMS);
        return ERR_LIMIT;
    }
    if (id != PARAM_UNKNOWN) {
        ps->has[id] = true;
        ps->value[id] = value;
    } else {
        for (size_t i = 0; i < ps->n_unknown && !is_twice; i++)
            is_twice = str_eq_nocase(ps->unknown[i], name);
        ps->unknown[ps->n_unknown++] = name; /* ps->n bounds it */
    }
    if (is_twice) {
        reason_set(r->why, "digest-parameter-twice", "RFC 3261 25.1", 400,
                   "%.*s stands there twice", STR_FMT(name));
        return ERR_SYNTAX;
    }
    return 0;
}

/* name = value *( "," name = value ), from r->at to the end. */
static int params_read(struct reader *r, struct params *ps)
{
    int err;

    for (;;) {
        struct str name, value;
        size_t start;

        while (r->at < r->all.n && (is_space(r->all.p[r->at]) || r->all.p[r->at] == ','))
            r->at++;
        if (r->at >= r->all.n)
            return 0;
        start = r->at;
        r->at = class_end(r->all, start, C_TOKEN);
        name = str_make(r->all.p + start, r->at - start);
        skip_space(r);
        if (name.n == 0 || r->at >= r->all.n || r->all.p[r->at] != '=')
            return refuse(r, "a parameter is not name=value");
        r->at++;
        if ((err = read_value(r, &value)) != 0 || (err = params_add(r, ps, name, value)) != 0)
            return err;
        skip_space(r);
        if (r->at < r->all.n && r->all.p[r->at] != ',')
            return refuse(r, "no comma between parameters");
    }
}

static int read_all(struct reader *r, struct params *ps, bool has_scheme)
{
    size_t start;

    skip_space(r);
    if (has_scheme) {
        start = r->at;
        r->at = class_end(r->all, start, C_TOKEN);
        if (!str_eq_nocase(str_make(r->all.p + start, r->at - start), STR("Digest")) ||
            r->at >= r->all.n || !is_space(r->all.p[r->at])) {
            reason_set(r->why, "auth-scheme-unknown", "RFC 3261 22.4", 400,
                       "the scheme is not Digest");
            return ERR_UNSUPPORTED;
        }
    }
    return params_read(r, ps);
}

static int require(const struct params *ps, const enum param_id *ids, size_t n, struct reason *why)
{
    for (size_t i = 0; i < n; i++) {
        if (!ps->has[ids[i]]) {
            reason_set(why, "digest-parameter-missing", "RFC 7616 3.4", 400, "%.*s is missing",
                       STR_FMT(param_names[ids[i]]));
            return ERR_SYNTAX;
        }
    }
    return 0;
}

/* RFC 7616 3.3: MD5 if absent. */
static int algorithm_parse(const struct params *ps, enum digest_algo *ret, bool *ret_sess,
                           struct reason *why)
{
    struct str s = ps->value[PARAM_ALGORITHM], head = s;
    const struct str sess = STR("-sess");

    *ret = DIGEST_MD5;
    *ret_sess = false;
    if (!ps->has[PARAM_ALGORITHM])
        return 0;
    if (s.n > sess.n && str_eq_nocase(str_make(s.p + s.n - sess.n, sess.n), sess)) {
        *ret_sess = true;
        head.n -= sess.n;
    }
    for (size_t a = 0; a < DIGEST_ALGO_N; a++) {
        *ret = (enum digest_algo)a;
        if (str_eq_nocase(head, digest_algo_text(*ret)))
            return 0;
    }
    *ret = DIGEST_MD5;
    reason_set(why, "digest-algorithm-unknown", "RFC 8760 2.4", 400, "algorithm %.*s",
               (int)(s.n > 32 ? 32 : s.n), s.p);
    return ERR_UNSUPPORTED;
}

/* nc: eight hex digits (RFC 7616 3.5); fewer are taken, as the text that is hashed is the one that
 * was sent. */
static int nc_parse(struct str s, uint32_t *ret, struct reason *why)
{
    uint32_t v = 0;

    for (size_t i = 0; i < s.n; i++) {
        char c = str_lower(s.p[i]);
        unsigned digit = c >= '0' && c <= '9'   ? (unsigned)(c - '0')
                         : c >= 'a' && c <= 'f' ? (unsigned)(c - 'a') + 10
                                                : 16;

        if (digit == 16 || s.n > 8) {
            reason_set(why, "digest-syntax", "RFC 7616 3.5", 400,
                       "nc is not a number of eight hex digits");
            return ERR_SYNTAX;
        }
        v = v << 4 | digit;
    }
    *ret = v;
    return 0;
}

/* username*=UTF-8''J%C3%A4s%C3%B8n (RFC 5987 3.2.1), instead of username (RFC 7616 3.4). */
static int username_ext(struct reader *r, struct str s, struct str *ret)
{
    struct str charset, language, text = str_cut(str_cut(s, '\'', &charset), '\'', &language);
    size_t n = 0;
    char *p;

    if (!text.p || !str_eq_nocase(charset, STR("UTF-8")))
        return refuse(r, "username* is not UTF-8''...");
    if (!(p = arena_alloc(r->arena, text.n + 1)))
        return refuse_memory(r);
    for (size_t i = 0; i < text.n; i++) {
        p[n] = text.p[i];
        if (text.p[i] == '%') {
            if (text.n - i < 3 || str_unhex(&p[n], 1, str_make(text.p + i + 1, 2)) != 0)
                return refuse(r, "username* has a broken escape");
            i += 2;
        }
        if ((unsigned char)p[n] < 0x20 || p[n] == 0x7f)
            return refuse(r, "username* has a control character");
        n++;
    }
    p[n] = 0;
    *ret = str_make(p, n);
    return str_is_utf8(*ret) ? 0 : refuse(r, "username* is not UTF-8");
}

int digest_credentials_parse(struct arena *a, struct str value, struct digest_credentials *ret,
                             struct reason *why)
{
    static const enum param_id required[] = {PARAM_REALM, PARAM_NONCE, PARAM_URI, PARAM_RESPONSE};
    struct reader r = {.arena = a, .all = value, .why = why};
    NO_AUTO_INIT struct params ps; /* params_init */
    int err;

    params_init(&ps);
    *ret = (struct digest_credentials){.algo = DIGEST_MD5};
    if ((err = read_all(&r, &ps, true)) != 0 ||
        (err = require(&ps, required, ARRAY_LEN(required), why)) != 0)
        return err;
    if (ps.has[PARAM_USERNAME] == ps.has[PARAM_USERNAME_EXT])
        return refuse(&r, "username and username*: one of them is needed, not both");
    ret->username = ps.value[PARAM_USERNAME];
    if (ps.has[PARAM_USERNAME_EXT] &&
        (err = username_ext(&r, ps.value[PARAM_USERNAME_EXT], &ret->username)) != 0)
        return err;
    ret->realm = ps.value[PARAM_REALM];
    ret->nonce = ps.value[PARAM_NONCE];
    ret->uri = ps.value[PARAM_URI];
    ret->response = ps.value[PARAM_RESPONSE];
    ret->cnonce = ps.value[PARAM_CNONCE];
    ret->opaque = ps.value[PARAM_OPAQUE];
    ret->qop = ps.value[PARAM_QOP];
    ret->nc_text = ps.value[PARAM_NC];
    ret->has_algo = ps.has[PARAM_ALGORITHM];
    ret->userhash = str_eq_nocase(ps.value[PARAM_USERHASH], STR("true"));
    if ((err = nc_parse(ret->nc_text, &ret->nc, why)) != 0)
        return err;
    return algorithm_parse(&ps, &ret->algo, &ret->sess, why);
}

int digest_challenge_parse(struct arena *a, struct str value, struct digest_challenge *ret,
                           struct reason *why)
{
    static const enum param_id required[] = {PARAM_REALM, PARAM_NONCE};
    struct reader r = {.arena = a, .all = value, .why = why};
    NO_AUTO_INIT struct params ps; /* params_init */
    struct str option, rest;
    int err;

    params_init(&ps);
    *ret = (struct digest_challenge){.algo = DIGEST_MD5};
    if ((err = read_all(&r, &ps, true)) != 0 ||
        (err = require(&ps, required, ARRAY_LEN(required), why)) != 0)
        return err;
    ret->realm = ps.value[PARAM_REALM];
    ret->nonce = ps.value[PARAM_NONCE];
    ret->opaque = ps.value[PARAM_OPAQUE];
    ret->domain = ps.value[PARAM_DOMAIN];
    ret->stale = str_eq_nocase(ps.value[PARAM_STALE], STR("true"));
    ret->userhash = str_eq_nocase(ps.value[PARAM_USERHASH], STR("true"));
    for (rest = ps.value[PARAM_QOP];
         rest.p;) { /* options that we do not know are passed over (RFC 7616 3.3) */
        rest = str_cut(rest, ',', &option);
        option = str_trim(option);
        ret->qop_auth |= str_eq_nocase(option, STR("auth"));
        ret->qop_auth_int |= str_eq_nocase(option, STR("auth-int"));
    }
    if ((err = algorithm_parse(&ps, &ret->algo, &ret->sess, why)) != 0)
        return err;
    if (ps.has[PARAM_QOP] && !ret->qop_auth && !ret->qop_auth_int &&
        str_trim(ps.value[PARAM_QOP]).n) {
        reason_set(why, "digest-qop-unknown", "RFC 7616 3.3", 0, "no qop that is known is offered");
        return ERR_UNSUPPORTED;
    }
    return 0;
}

int digest_info_parse(struct arena *a, struct str value, struct digest_info *ret,
                      struct reason *why)
{
    struct reader r = {.arena = a, .all = value, .why = why};
    NO_AUTO_INIT struct params ps; /* params_init */
    int err;

    params_init(&ps);
    *ret = (struct digest_info){.nextnonce = STR_NULL};
    if ((err = read_all(&r, &ps, false)) != 0)
        return err;
    ret->nextnonce = ps.value[PARAM_NEXTNONCE];
    ret->qop = ps.value[PARAM_QOP];
    ret->rspauth = ps.value[PARAM_RSPAUTH];
    ret->cnonce = ps.value[PARAM_CNONCE];
    ret->nc_text = ps.value[PARAM_NC];
    return 0;
}

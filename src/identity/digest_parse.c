/* Digest credentials, challenges and Authentication-Info from text (RFC 3261 25.1, RFC 7616 3.3
 * to 3.5, RFC 8760 2.7). Takes what real clients send: quotes where there should be none and the
 * other way round, any case, white space around "=" and
 * ",", empty list elements, unknown parameters. Refuses what could be read in two ways: a parameter
 * given twice, an unterminated string, control characters. Pure; slices over the value, or over the
 * arena where escapes had to be resolved. */
#include "base/limits.h"
#include "identity/identity_priv.h"

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

struct reader {
    struct arena *arena;
    struct str all;
    size_t at;
    struct reason *why;
};

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static bool is_token(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           (c != 0 && strchr("-.!%*_+`'~", c) != NULL);
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
    while (r->at < r->all.n && is_space(r->all.p[r->at]))
        r->at++;
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

/* A quoted-string behind its first quote. */
static int read_quoted(struct reader *r, struct str *ret)
{
    size_t start = r->at;
    bool plain = true;

    for (; r->at < r->all.n; r->at++) {
        const unsigned char *p = (const unsigned char *)r->all.p + r->at;
        const unsigned char *end = (const unsigned char *)r->all.p + r->all.n;
        unsigned char c;

        while (p < end && *p >= 0x20 && *p != '"' && *p != '\\' && *p != 0x7f)
            p++; /* nearly all of it */
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
    for (start = r->at; r->at < r->all.n; r->at++) {
        unsigned char c = (unsigned char)r->all.p[r->at];

        if (c == ',' || is_space((char)c))
            break;
        if (c < 0x20 || c == 0x7f || c == '"')
            return refuse(r, "this cannot stand in a value without quotes");
    }
    *ret = str_make(r->all.p + start, r->at - start);
    return 0;
}

static enum param_id param_find(struct str name)
{
    for (size_t i = 1; i < PARAM_N; i++) {
        if (name.n == param_names[i].n && str_eq_nocase(name, param_names[i]))
            return (enum param_id)i;
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
        while (r->at < r->all.n && is_token(r->all.p[r->at]))
            r->at++;
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
        while (r->at < r->all.n && is_token(r->all.p[r->at]))
            r->at++;
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
    struct params ps;
    int err;

    memset(&ps, 0, offsetof(struct params, unknown));
    ps.n = ps.n_unknown = 0;
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
    struct params ps;
    struct str option, rest;
    int err;

    memset(&ps, 0, offsetof(struct params, unknown));
    ps.n = ps.n_unknown = 0;
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
    struct params ps;
    int err;

    memset(&ps, 0, offsetof(struct params, unknown));
    ps.n = ps.n_unknown = 0;
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

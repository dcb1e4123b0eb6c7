/* Identity and Identity-Info header fields: RFC 8224 4, RFC 4474 9, RFC 3261 25.1. Pure; any
 * thread. */
#include "identity/identity_hdr.h"
#include "base/limits.h"

struct reader {
    struct str all;
    size_t at;
    struct reason *why;
};

static int refuse(struct reader *r, const char *what)
{
    reason_set(r->why, "identity-header-syntax", "RFC 8224 4", 438, "%s at byte %zu", what, r->at);
    if (r->why)
        r->why->offset = (uint32_t)r->at;
    return ERR_SYNTAX;
}

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static void skip_space(struct reader *r)
{
    while (r->at < r->all.n && is_space(r->all.p[r->at]))
        r->at++;
}

static bool take(struct reader *r, char c)
{
    skip_space(r);
    if (r->at >= r->all.n || r->all.p[r->at] != c)
        return false;
    r->at++;
    skip_space(r);
    return true;
}

static bool is_token_char(char c) /* RFC 3261 25.1 token */
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           (c != '\0' && strchr("-.!%*_+`'~", c) != NULL);
}

/* base64, base64url and the dots between: RFC 8224's base64-char misses "-" and "_", which every
 * PASSporT has. A table, since each has hundreds of them. */
#define P true
static const bool passport_chars[256] = {
    ['0'] = P, ['1'] = P, ['2'] = P, ['3'] = P, ['4'] = P, ['5'] = P, ['6'] = P, ['7'] = P,
    ['8'] = P, ['9'] = P, ['A'] = P, ['B'] = P, ['C'] = P, ['D'] = P, ['E'] = P, ['F'] = P,
    ['G'] = P, ['H'] = P, ['I'] = P, ['J'] = P, ['K'] = P, ['L'] = P, ['M'] = P, ['N'] = P,
    ['O'] = P, ['P'] = P, ['Q'] = P, ['R'] = P, ['S'] = P, ['T'] = P, ['U'] = P, ['V'] = P,
    ['W'] = P, ['X'] = P, ['Y'] = P, ['Z'] = P, ['a'] = P, ['b'] = P, ['c'] = P, ['d'] = P,
    ['e'] = P, ['f'] = P, ['g'] = P, ['h'] = P, ['i'] = P, ['j'] = P, ['k'] = P, ['l'] = P,
    ['m'] = P, ['n'] = P, ['o'] = P, ['p'] = P, ['q'] = P, ['r'] = P, ['s'] = P, ['t'] = P,
    ['u'] = P, ['v'] = P, ['w'] = P, ['x'] = P, ['y'] = P, ['z'] = P, ['-'] = P, ['_'] = P,
    ['.'] = P,
};
#undef P

static bool is_passport_char(char c)
{
    return passport_chars[(unsigned char)c];
}

static bool is_base64_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '+' ||
           c == '/' || c == '=';
}

static bool is_uri_char(char c)
{
    return c > ' ' && c < 0x7f && c != '"' && c != '<' && c != '>' && c != '\\';
}

static inline struct str span(struct reader *r, bool (*is)(char))
{
    size_t start = r->at;

    while (r->at < r->all.n && is(r->all.p[r->at]))
        r->at++;
    return str_make(r->all.p + start, r->at - start);
}

static int read_uri(struct reader *r, struct str *ret)
{
    if (!take(r, '<'))
        return refuse(r, "no <URI>");
    *ret = span(r, is_uri_char);
    if (r->at >= r->all.n || r->all.p[r->at] != '>')
        return refuse(r, "a URI that does not end, or is none");
    r->at++;
    if (ret->n == 0 || str_find_char(*ret, ':') == ret->n)
        return refuse(r, "a URI without a scheme");
    if (ret->n > LIMIT_IDENTITY_URL_BYTES) {
        reason_set(r->why, "identity-header-limit", NULL, 436, "the certificate's URI is too long");
        return ERR_LIMIT;
    }
    return 0;
}

/* token or quoted text without escapes: none of what we look for needs any. */
static int read_value(struct reader *r, struct str *ret)
{
    size_t start;

    if (r->at < r->all.n && r->all.p[r->at] == '"') {
        start = ++r->at;
        while (r->at < r->all.n && r->all.p[r->at] != '"') {
            if (r->all.p[r->at] == '\\')
                r->at++;
            r->at++;
        }
        if (r->at >= r->all.n)
            return refuse(r, "a quoted text that does not end");
        *ret = str_make(r->all.p + start, r->at - start);
        r->at++;
        return 0;
    }
    if (r->at < r->all.n && r->all.p[r->at] == '[') { /* gen-value may be an IPv6 host */
        start = r->at;
        while (r->at < r->all.n && r->all.p[r->at] != ']')
            r->at++;
        if (r->at >= r->all.n)
            return refuse(r, "a value that does not end");
        r->at++;
        *ret = str_make(r->all.p + start, r->at - start);
        return 0;
    }
    *ret = span(r, is_token_char);
    return ret->n ? 0 : refuse(r, "a parameter without a value");
}

/* One of the parameters that mean something; each once. */
static int set_once(struct reader *r, struct str *member, struct str value)
{
    if (member->p)
        return refuse(r, "a parameter that is there twice");
    if (value.n == 0)
        return refuse(r, "an empty parameter");
    *member = value;
    return 0;
}

static int read_param(struct reader *r, struct identity_hdr *h)
{
    struct str name = span(r, is_token_char), value = STR_NULL;
    int err;

    if (name.n == 0)
        return refuse(r, "no name of a parameter");
    if (!take(r, '='))
        return str_eq_nocase(name, STR("info")) || str_eq_nocase(name, STR("alg")) ||
                       str_eq_nocase(name, STR("ppt"))
                   ? refuse(r, "a parameter without a value")
                   : 0;
    if (str_eq_nocase(name, STR("info"))) {
        if ((err = read_uri(r, &value)) != 0)
            return err;
        return set_once(r, &h->info, value);
    }
    if ((err = read_value(r, &value)) != 0)
        return err;
    if (str_eq_nocase(name, STR("alg")))
        return set_once(r, &h->alg, value);
    if (str_eq_nocase(name, STR("ppt")))
        return set_once(r, &h->ppt, value);
    return 0;
}

static int read_params(struct reader *r, struct identity_hdr *h)
{
    int err;

    skip_space(r);
    while (take(r, ';')) {
        if ((err = read_param(r, h)) != 0)
            return err;
        skip_space(r);
    }
    return r->at == r->all.n ? 0 : refuse(r, "something behind the parameters");
}

/* RFC 4474 10.1 folds its quoted text: the folds are not part of the signature. */
static int read_rfc4474(struct arena *a, struct reader *r, struct identity_hdr *h)
{
    char *p = arena_alloc(a, r->all.n);
    size_t n = 0;

    if (!p) {
        reason_set(r->why, "no-memory", NULL, 500, NULL);
        return ERR_NOMEM;
    }
    for (r->at++; r->at < r->all.n && r->all.p[r->at] != '"'; r->at++) {
        char c = r->all.p[r->at];

        if (is_space(c))
            continue;
        if (!is_base64_char(c))
            return refuse(r, "a signature that is no base64");
        p[n++] = c;
    }
    if (r->at >= r->all.n)
        return refuse(r, "a quoted text that does not end");
    r->at++;
    h->token = str_make(p, n);
    h->is_rfc4474 = true;
    return read_params(r, h);
}

int identity_hdr_parse(struct arena *a, struct str value, struct identity_hdr *ret,
                       struct reason *why)
{
    struct reader r = {.all = str_trim(value), .why = why};
    int err;

    *ret = (struct identity_hdr){.token = STR_NULL};
    if (value.n > LIMIT_IDENTITY_VALUE_BYTES) {
        reason_set(why, "identity-header-limit", NULL, 438, "an Identity value of %zu bytes",
                   value.n);
        return ERR_LIMIT;
    }
    if (r.all.n && r.all.p[0] == '"')
        return read_rfc4474(a, &r, ret);
    ret->token = span(&r, is_passport_char);
    if (ret->token.n == 0)
        return refuse(&r, "no token");
    if ((err = read_params(&r, ret)) != 0)
        return err;
    return ret->info.n ? 0 : refuse(&r, "no info parameter");
}

int identity_info_parse(struct str value, struct identity_hdr *ret, struct reason *why)
{
    struct reader r = {.all = str_trim(value), .why = why};
    int err;

    if ((err = read_uri(&r, &ret->info)) != 0)
        return err;
    return read_params(&r, ret);
}

void identity_hdr_build(struct sbuf *b, const struct identity_hdr *h)
{
    sbuf_str(b, h->token);
    sbuf_lit(b, ";info=<");
    sbuf_str(b, h->info);
    sbuf_char(b, '>');
    if (h->alg.n) {
        sbuf_lit(b, ";alg=");
        sbuf_str(b, h->alg);
    }
    if (h->ppt.n) {
        sbuf_lit(b, ";ppt=");
        sbuf_str(b, h->ppt);
    }
}

struct str identity_hdr_of(struct arena *a, const struct passport *p, struct str signature,
                           bool compact)
{
    struct identity_hdr h = {.info = p->x5u, .alg = jws_alg_text(p->alg), .ppt = p->ppt};
    struct str input = compact ? STR(".") : p->input;
    struct sbuf b;
    size_t room = input.n + signature.n + p->x5u.n + p->ppt.n + 64;
    char *text = arena_alloc(a, room);

    if (!text)
        return STR_NULL;
    b = sbuf_make(text, room);
    sbuf_str(&b, input);
    sbuf_char(&b, '.');
    sbuf_str(&b, signature);
    identity_hdr_build(&b, &h);
    return b.overflow ? STR_NULL : sbuf_get(&b);
}

/* Parameter lists, ";name=value" (generic-param, RFC 3261 25.1), comma separated values (7.3.1),
 * quoted strings. Pure functions, any thread. */
#include "base/err.h"
#include "base/limits.h"
#include "sip/fields.h"

bool sip_param_lex(struct lex *l, struct sip_param *ret)
{
    lex_ws(l);
    if (lex_at_end(l))
        return false;
    const char *start = l->p;
    lex_expect(l, ';');
    lex_ws(l);
    ret->name = lex_run1(l, LEX_PNAME);
    ret->value = STR_NULL;
    ret->quoted = false;
    const char *stop = l->p;
    if (l->p < l->end && *l->p != ';') {
        lex_ws(l);
        if (lex_take(l, '=')) {
            lex_ws(l);
            ret->quoted = lex_peek(l, '"');
            ret->value = ret->quoted ? lex_quoted(l) : lex_run1(l, LEX_PVALUE);
            stop = l->p;
        }
    }
    if (l->bad)
        return false;
    ret->whole = (struct str){start, (size_t)(stop - start)};
    return true;
}

bool sip_param_next(struct str *params, struct str *ret_name, struct str *ret_value)
{
    struct lex l = lex_make(*params);
    struct sip_param p;
    if (!sip_param_lex(&l, &p)) {
        if (!l.bad) /* only white space was left */
            *params = (struct str){l.end, 0};
        return false;
    }
    *params = (struct str){l.p, (size_t)(l.end - l.p)};
    *ret_name = p.name;
    *ret_value = p.value;
    return true;
}

bool sip_param_find(struct str params, struct str name, struct str *ret)
{
    struct lex l = lex_make(params);
    struct sip_param p;
    while (sip_param_lex(&l, &p)) {
        if (p.name.n == name.n && str_eq_nocase(p.name, name)) {
            if (ret)
                *ret = p.value;
            return true;
        }
    }
    if (ret)
        *ret = STR_NULL;
    return false;
}

bool sip_list_cut(struct str *rest, struct str *ret_value)
{
    struct lex l = lex_make(*rest);
    if (memchr(l.p, ',', (size_t)(l.end - l.p)) == NULL) {
        *ret_value =
            str_trim(*rest); /* one value; its own parser sees whether quotes and <> are closed */
        *rest = STR_NULL;
        return true;
    }
    while (l.p < l.end && *l.p != ',') {
        if (*l.p == '"') {
            lex_quoted(&l);
        } else if (*l.p == '<') {
            const char *close = memchr(l.p, '>', (size_t)(l.end - l.p));
            l.bad |= close == NULL;
            l.p = close ? close + 1 : l.end;
        } else {
            l.p++;
        }
        if (l.bad)
            return false;
    }
    *ret_value = str_trim((struct str){rest->p, (size_t)(l.p - rest->p)});
    *rest = l.p < l.end ? (struct str){l.p + 1, (size_t)(l.end - l.p - 1)} : STR_NULL;
    return true;
}

struct sip_values sip_values_start(const struct sip_msg *m, enum sip_hdr_id id)
{
    return (struct sip_values){.msg = m, .hdr = -1, .next_hdr = m->first[id]};
}

bool sip_values_next(struct sip_values *it)
{
    if (it->bad)
        return false;
    while (it->rest.p == NULL) { /* the next line */
        if (it->next_hdr < 0)
            return false;
        const struct sip_hdr *h = &it->msg->hdrs[it->next_hdr];
        it->hdr = it->next_hdr;
        it->next_hdr = h->next;
        if (h->value.n == 0)
            continue; /* "Supported:" alone is a list of nothing */
        if (sip_hdr_is_list((enum sip_hdr_id)h->id)) {
            it->rest = h->value;
        } else {
            it->value = h->value;
            it->bad = it->n == LIMIT_MSG_VALUES;
            it->n++;
            return !it->bad;
        }
    }
    if (it->n == LIMIT_MSG_VALUES || !sip_list_cut(&it->rest, &it->value) || it->value.n == 0) {
        it->bad =
            true; /* too many, unterminated, or nothing between two commas (RFC 4475 3.1.2.1) */
        return false;
    }
    it->n++;
    return true;
}

bool sip_msg_has_token(const struct sip_msg *m, enum sip_hdr_id id, struct str token)
{
    struct sip_values it = sip_values_start(m, id);
    while (sip_values_next(&it)) {
        struct str v = it.value;
        size_t n = 0;
        while (n < v.n && !lex_is(v.p[n], LEX_WS) && v.p[n] != ';')
            n++;
        v.n = n;
        /* methods have case (RFC 3261 7.1), other tokens have none (25.1) */
        if (id == SIP_H_ALLOW ? str_eq(v, token) : str_eq_nocase(v, token))
            return true;
    }
    return false;
}

int sip_msg_seconds(const struct sip_msg *m, enum sip_hdr_id id, uint32_t *ret)
{
    const struct sip_hdr *h = sip_msg_hdr(m, id, 0);
    if (h == NULL)
        return ERR_NOTFOUND;
    struct lex l = lex_make(h->value);
    struct str digits = lex_run1(&l, LEX_DIGIT);
    lex_ws(&l);
    /* parameters (Session-Expires), a comment (Retry-After) */
    if (l.bad || (!lex_at_end(&l) && *l.p != ';' && *l.p != '('))
        return ERR_SYNTAX;
    uint64_t v = 0;
    for (size_t i = 0; i < digits.n && v <= UINT32_MAX; i++)
        v = v * 10 + (uint64_t)(digits.p[i] - '0');
    *ret = v > UINT32_MAX ? UINT32_MAX : (uint32_t)v;
    return 0;
}

int sip_unquote(struct arena *a, struct str s, struct str *ret)
{
    s = str_trim(s);
    bool quoted = s.n > 0 && s.p[0] == '"';
    if (quoted) {
        if (s.n < 2 || s.p[s.n - 1] != '"')
            return ERR_SYNTAX;
        s = (struct str){s.p + 1, s.n - 2};
    }
    char *dst = arena_alloc(a, s.n + 1);
    if (dst == NULL)
        return ERR_NOMEM;
    size_t n = 0;
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        if (c == '\\') {
            if (++i == s.n || s.p[i] == '\r' || s.p[i] == '\n')
                return ERR_SYNTAX; /* line ends cannot be escaped (25.1) */
            c = s.p[i];
        } else if (c == '"' && quoted) {
            return ERR_SYNTAX;
        } else if (c == '\r' || c == '\n') {
            /* a fold counts as one space together with the white space around it (RFC 3261 7.3.1)
             */
            while (n > 0 && (dst[n - 1] == ' ' || dst[n - 1] == '\t'))
                n--;
            while (i + 1 < s.n && lex_is(s.p[i + 1], LEX_WS))
                i++;
            c = ' ';
        }
        dst[n++] = c;
    }
    dst[n] = '\0';
    *ret = (struct str){dst, n};
    return 0;
}

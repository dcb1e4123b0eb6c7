/* Addresses (From, To, Contact, Route ...: RFC 3261 20.10, 25.1) and Via (20.42, 18.2.1; RFC 3581,
 * 5626, 5923). Pure functions over one value each; any thread. */
#include "sip/fields.h"
#include "base/err.h"
#include "base/path.h"
#include "sip/host.h"

/* A URI between < and >, or bare: "scheme:" and no white space, quotes or brackets. Its parts are
 * sip_uri_parse's. */
static bool addr_uri_is_plausible(struct str uri)
{
    struct lex l = lex_make(uri);
    if (uri.n == 0 || !lex_is(uri.p[0], LEX_ALPHA))
        return false;
    lex_run(&l, LEX_SCHEME);
    lex_expect(&l, ':');
    lex_run1(&l, LEX_URIC | LEX_PNAME);
    return !l.bad && lex_at_end(&l);
}

/* name-addr: [ display-name ] "<" addr-spec ">". RFC 4475 3.1.1.6: no white space is needed in
 * front of "<". */
static void addr_name(struct lex *l, struct sip_addr *ret)
{
    const char *start = l->p;
    if (lex_peek(l, '"')) {
        ret->display = lex_quoted(l);
        lex_ws(l);
    } else {
        const char *open = memchr(start, '<', (size_t)(l->end - start));
        l->p = open ? open : l->end;
        ret->display = str_trim((struct str){start, (size_t)(l->p - start)});
    }
    lex_expect(l, '<');
    if (l->bad)
        return;
    const char *uri = l->p, *close = memchr(uri, '>', (size_t)(l->end - uri));
    if (close == NULL) {
        l->bad = true;
        return;
    }
    ret->uri = (struct str){uri, (size_t)(close - uri)};
    ret->brackets = true;
    l->p = close + 1;
}

/* Is the value a name-addr? A quote or "<" comes before any character that only an addr-spec has.
 * Words of a display name are tokens (25.1), to which we add what is not ASCII, as many phones send
 * it bare. */
static bool addr_is_name(struct str v)
{
    for (size_t i = 0; i < v.n; i++) {
        char c = v.p[i];
        if (c == '<' || (c == '"' && i == 0))
            return true;
        if (!lex_is(c, LEX_TOKEN | LEX_WS) && (unsigned char)c < 0x80)
            return false;
    }
    return false;
}

int sip_addr_parse_tag(struct str value, struct sip_addr *ret, struct str *ret_tag)
{
    value = str_trim(value);
    *ret = (struct sip_addr){.whole = value};
    *ret_tag = STR_NULL;
    if (value.n == 1 && value.p[0] == '*') {
        ret->star = true;
        return 0;
    }
    struct lex l = lex_make(value);
    if (addr_is_name(value)) {
        addr_name(&l, ret);
    } else {
        /* bare: parameters belong to the header, and the URI may hold neither ",", "?" nor ";"
         * (20.10) */
        size_t n = 0;
        while (n < value.n && value.p[n] != ';' && value.p[n] != '?' && value.p[n] != ',' &&
               !lex_is(value.p[n], LEX_WS))
            n++;
        ret->uri = (struct str){value.p, n};
        l.p += n;
    }
    if (l.bad || !addr_uri_is_plausible(ret->uri))
        return ERR_SYNTAX;
    lex_ws(&l);
    ret->params = (struct str){l.p, (size_t)(l.end - l.p)};
    struct sip_param p;
    while (sip_param_lex(&l, &p)) {
        if (p.name.n == 3 && str_eq_nocase(p.name, STR("tag"))) {
            if (ret_tag->n || p.value.n == 0 || p.quoted)
                return ERR_SYNTAX; /* tag-param = "tag" EQUAL token, once */
            *ret_tag = p.value;
        }
    }
    return l.bad ? ERR_SYNTAX : 0;
}

int sip_addr_parse(struct str value, struct sip_addr *ret)
{
    struct str tag;
    return sip_addr_parse_tag(value, ret, &tag);
}

/* sent-protocol = protocol-name SLASH protocol-version SLASH transport */
static void via_protocol(struct lex *l, struct sip_via *v)
{
    if (l->end - l->p > 8 && memcmp(l->p, "SIP/2.0/", 8) == 0) { /* as nearly all write it */
        l->p += 8;
    } else {
        lex_run1(l, LEX_TOKEN);
        lex_ws(l);
        lex_expect(l, '/');
        lex_ws(l);
        lex_run1(l, LEX_TOKEN);
        lex_ws(l);
        lex_expect(l, '/');
    }
    lex_ws(l);
    v->transport = lex_run1(l, LEX_TOKEN);
    if (l->bad || lex_at_end(l) || !lex_is(*l->p, LEX_WS)) {
        l->bad = true;
        return;
    }
    lex_ws(l);
    if (str_eq(v->transport, STR("UDP"))) {
        v->transport_id = TRANSPORT_UDP;
        return;
    }
    enum transport t;
    int err = transport_parse(&t, v->transport);
    v->transport_id = err ? err : (int)t;
}

static struct str without_brackets(struct str s)
{
    /* RFC 5118 4.5: received is taken with and without them */
    if (s.n >= 2 && s.p[0] == '[' && s.p[s.n - 1] == ']')
        return (struct str){s.p + 1, s.n - 2};
    return s;
}

/* A parameter that may come once and needs a value. */
static bool via_once(struct str *field, struct str value)
{
    bool ok = field->p == NULL && value.n > 0;
    *field = value;
    return ok;
}

static bool via_number(struct str s, uint32_t max, uint32_t *ret)
{
    uint32_t v = 0;
    for (size_t i = 0; i < s.n; i++) {
        if (!lex_is(s.p[i], LEX_DIGIT))
            return false;
        v = v * 10 + (uint32_t)(s.p[i] - '0');
        if (v > max)
            return false;
    }
    *ret = v;
    return s.n > 0;
}

/* False if a parameter we act on is malformed or repeated. */
static bool via_param(struct sip_via *v, const struct sip_param *p)
{
    struct str name = p->name;
    uint32_t n;
    switch (name.n) {
    case 2:
        v->has_ob |= str_eq_nocase(name, STR("ob"));
        break;
    case 3:
        if (str_eq_nocase(name, STR("ttl"))) {
            if (!via_number(p->value, 255, &n))
                return false;
            v->ttl = (uint8_t)n;
        }
        break;
    case 4:
        v->has_keep |= str_eq_nocase(name, STR("keep"));
        break;
    case 5:
        if (str_eq_nocase(name, STR("rport"))) {
            if (v->has_rport || (p->value.n && (!via_number(p->value, 65535, &n) || n == 0)))
                return false;
            v->has_rport = true;
            v->rport = (uint16_t)(p->value.n ? n : 0);
        } else if (str_eq_nocase(name, STR("maddr"))) {
            return via_once(&v->maddr, without_brackets(p->value)) && sip_host_is_valid(v->maddr);
        } else if (str_eq_nocase(name, STR("alias"))) {
            v->has_alias = true;
        }
        break;
    case 6:
        if (str_eq_nocase(name, STR("branch")))
            return via_once(&v->branch, p->value) && !p->quoted;
        break;
    case 8:
        if (str_eq_nocase(name, STR("received")))
            return via_once(&v->received, without_brackets(p->value)) &&
                   sip_host_is_valid(v->received);
        break;
    default:
        break;
    }
    return true;
}

int sip_via_parse(struct str value, struct sip_via *ret)
{
    value = str_trim(value);
    *ret = (struct sip_via){.whole = value, .transport_id = ERR_SYNTAX};
    struct lex l = lex_make(value);
    bool v6;
    struct str host = STR_NULL;
    via_protocol(&l, ret);
    if (!l.bad)
        sip_host_lex(&l, &host, &v6);
    if (l.bad)
        return ERR_SYNTAX;
    lex_ws(&l);
    if (lex_take(&l, ':')) {
        lex_ws(&l);
        sip_port_lex(&l, &ret->port);
        lex_ws(&l);
    }
    if (l.bad)
        return ERR_SYNTAX;
    ret->host = host; /* set: the sender can be told what is wrong with the rest */
    ret->params = (struct str){l.p, (size_t)(l.end - l.p)};
    struct sip_param p;
    bool ok = true;
    while (sip_param_lex(&l, &p))
        ok &= via_param(ret, &p);
    return ok && !l.bad ? 0 : ERR_SYNTAX;
}

/* What the mirror may show of a message; see redact.h. Pure; any thread. */
#include "edge/mirror/redact.h"
#include "base/err.h"
#include "base/sbuf.h"
#include "sip/msg.h"

#define MARK "*" /* in place of a value */
#define NOTE_MAX 64

/* ---- authentication (RFC 3261 25.1 challenge, credentials; RFC 7616 3) ---- */

/* Parameters whose values stay, and others whose names may be shown. What is in neither list is left out, name and all: it may be
 * a token that has the shape of a name. */
struct auth_names {
    const char *stay[12], *masked[12];
    bool has_schemes; /* several challenges may stand in one line */
};

static const struct auth_names credentials = {
    {"username", "realm", "algorithm", "qop", "nc", "userhash"},
    {"nonce", "response", "cnonce", "opaque", "uri", "auts"},
    false,
};
static const struct auth_names challenge = {
    {"realm", "algorithm", "qop", "stale", "domain", "userhash", "charset", "authz_server", "scope", "error"},
    {"nonce", "opaque", "ik", "ck"},
    true,
};
static const struct auth_names info = {
    {"qop", "nc"},
    {"nextnonce", "rspauth", "cnonce"},
    false,
};

static const char *const schemes[] = {"Digest", "Bearer", "Basic", "NTLM", "Negotiate"};

static bool is_in(const char *const *names, size_t cap, struct str name)
{
    size_t i;

    for (i = 0; i < cap && names[i]; i++)
        if (str_eq_nocase(str_z(names[i]), name))
            return true;
    return false;
}

static bool is_token_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           (c != 0 && strchr("-.!%*_+`'~", c) != NULL);
}

static struct str take_token(struct str *s)
{
    struct str t = {s->p, 0};

    while (t.n < s->n && is_token_char(s->p[t.n]))
        t.n++;
    s->p += t.n;
    s->n -= t.n;
    return t;
}

/* What may follow "=": a token or a quoted string, and nothing behind it. Empty if it is neither. */
static struct str take_param_value(struct str s)
{
    size_t i;

    if (!s.n || s.p[0] != '"')
        return take_token(&s);
    for (i = 1; i < s.n; i++) {
        if (s.p[i] == '\\')
            i++;
        else if (s.p[i] == '"')
            return str_make(s.p, i + 1);
    }
    return STR_NULL;
}

static void auth_param(struct sbuf *b, const struct auth_names *names, struct str name, struct str value, bool *first)
{
    bool stays = is_in(names->stay, ARRAY_LEN(names->stay), name);

    if (!stays && !is_in(names->masked, ARRAY_LEN(names->masked), name))
        return;
    if (!*first)
        sbuf_lit(b, ", ");
    *first = false;
    sbuf_str(b, name);
    sbuf_char(b, '=');
    value = stays ? take_param_value(value) : STR_NULL;
    if (value.n)
        sbuf_str(b, value);
    else
        sbuf_lit(b, "\"" MARK "\"");
}

static void scheme_redact(struct sbuf *b, struct str scheme)
{
    if (is_in(schemes, ARRAY_LEN(schemes), scheme))
        sbuf_str(b, scheme);
    else
        sbuf_lit(b, MARK);
}

/* "[scheme] name=value, name=value, scheme name=value ...": schemes are known by a name behind them that has a "=". */
static void auth_params(struct sbuf *b, const struct auth_names *names, struct str rest)
{
    struct str e, name, next;
    bool first = true;

    while (rest.p && sip_list_cut(&rest, &e)) {
        name = take_token(&e);
        e = str_trim(e);
        if (names->has_schemes && name.n && e.n && e.p[0] != '=') {
            next = take_token(&e);
            e = str_trim(e);
            if (!first)
                sbuf_lit(b, ", ");
            scheme_redact(b, name);
            sbuf_char(b, ' ');
            first = true;
            name = next;
        }
        if (name.n && e.n && e.p[0] == '=')
            auth_param(b, names, name, str_trim(str_make(e.p + 1, e.n - 1)), &first);
    }
}

/* Only of Digest can we say which part is secret: of Bearer (RFC 8898), Basic and others nothing stays but the scheme. */
static void auth_credentials(struct sbuf *b, struct str value)
{
    struct str scheme = take_token(&value);

    scheme_redact(b, scheme);
    sbuf_char(b, ' ');
    if (str_eq_nocase(scheme, STR("Digest")))
        auth_params(b, &credentials, str_trim(value));
    else
        sbuf_lit(b, MARK);
}

/* ---- URIs ---- */

/* http and the like: `scheme://user@host/path?query`, of which user information and query go (RFC 3986 3). */
static void uri_other(struct sbuf *b, struct str uri)
{
    size_t scheme = str_find_char(uri, ':'), host, end, at;
    struct str path;

    if (uri.n < scheme + 3 || memcmp(uri.p + scheme, "://", 3) != 0) {
        end = str_find_char(uri, '?');
        sbuf_add(b, uri.p, end);
        if (end < uri.n)
            sbuf_lit(b, "?" MARK);
        return;
    }
    host = scheme + 3;
    for (end = host; end < uri.n && uri.p[end] != '/' && uri.p[end] != '?' && uri.p[end] != '#'; end++)
        continue;
    sbuf_add(b, uri.p, host);
    for (at = end; at > host && uri.p[at - 1] != '@'; at--)
        continue;
    if (at > host)
        sbuf_lit(b, MARK "@");
    sbuf_add(b, uri.p + at, end - at);
    path = str_make(uri.p + end, uri.n - end);
    at = str_find_char(path, '?');
    sbuf_add(b, path.p, at);
    if (at < path.n)
        sbuf_lit(b, "?" MARK);
}

static void uri_redact(struct sbuf *b, struct str uri)
{
    struct sip_uri u;
    const char *at = uri.p;

    if (sip_uri_parse(uri, &u) != 0) {
        sbuf_lit(b, MARK);
        return;
    }
    if (u.scheme == SIP_SCHEME_OTHER) {
        uri_other(b, uri);
        return;
    }
    if (u.password.p && u.has_user) {
        sbuf_add(b, at, (size_t)(u.password.p - at));
        sbuf_lit(b, MARK);
        at = u.password.p + u.password.n;
    }
    if (u.headers.n) {
        sbuf_add(b, at, (size_t)(u.headers.p - at));
        sbuf_lit(b, MARK);
        at = u.headers.p + u.headers.n;
    }
    sbuf_add(b, at, (size_t)(uri.p + uri.n - at));
}

static bool has_uris(enum sip_hdr_id id)
{
    static const uint16_t ids[] = {
        SIP_H_FROM,         SIP_H_TO,           SIP_H_CONTACT,    SIP_H_ROUTE,
        SIP_H_RECORD_ROUTE, SIP_H_PATH,         SIP_H_REFER_TO,   SIP_H_REFERRED_BY,
        SIP_H_REPLY_TO,     SIP_H_HISTORY_INFO, SIP_H_DIVERSION,  SIP_H_CALL_INFO,
        SIP_H_ALERT_INFO,   SIP_H_ERROR_INFO,   SIP_H_GEOLOCATION, SIP_H_SERVICE_ROUTE,
        SIP_H_IDENTITY_INFO, SIP_H_P_ASSERTED_IDENTITY, SIP_H_P_PREFERRED_IDENTITY, SIP_H_P_ASSOCIATED_URI,
        SIP_H_P_CALLED_PARTY_ID,
    };
    size_t i;

    for (i = 0; i < ARRAY_LEN(ids); i++)
        if (ids[i] == id)
            return true;
    return false;
}

/* One value of an address header: display name and parameters as they are, the URI redacted. */
static void addr_redact(struct sbuf *b, struct str value)
{
    struct sip_addr a;

    if (sip_addr_parse(value, &a) != 0) {
        sbuf_lit(b, MARK);
        return;
    }
    if (a.star || !a.uri.n) {
        sbuf_str(b, value);
        return;
    }
    sbuf_add(b, value.p, (size_t)(a.uri.p - value.p));
    uri_redact(b, a.uri);
    sbuf_add(b, a.uri.p + a.uri.n, (size_t)(value.p + value.n - a.uri.p - a.uri.n));
}

static void addrs_redact(struct sbuf *b, enum sip_hdr_id id, struct str value)
{
    struct str v;

    if (!sip_hdr_is_list(id)) {
        addr_redact(b, value);
        return;
    }
    while (value.p) {
        if (!sip_list_cut(&value, &v)) {
            sbuf_lit(b, MARK);
            return;
        }
        if (v.n)
            addr_redact(b, v);
        if (value.p)
            sbuf_lit(b, ", ");
    }
}

/* ---- the message ---- */

static void header_redact(struct sbuf *b, const struct sip_msg *m, const struct sip_hdr *h, struct str note)
{
    enum sip_hdr_id id = (enum sip_hdr_id)h->id;
    uint64_t n;

    sbuf_str(b, h->name);
    sbuf_lit(b, ": ");
    switch (id) {
    case SIP_H_AUTHORIZATION:
    case SIP_H_PROXY_AUTHORIZATION:
        auth_credentials(b, h->value);
        break;
    case SIP_H_WWW_AUTHENTICATE:
    case SIP_H_PROXY_AUTHENTICATE:
        auth_params(b, &challenge, h->value);
        break;
    case SIP_H_AUTHENTICATION_INFO:
    case SIP_H_PROXY_AUTHENTICATION_INFO:
        auth_params(b, &info, h->value);
        break;
    case SIP_H_USER_TO_USER:
        sbuf_lit(b, MARK);
        break;
    case SIP_H_CONTENT_LENGTH:
        if (note.n && str_to_u64(h->value, UINT32_MAX, &n) == 0 && n == m->body.n)
            sbuf_u64(b, note.n);
        else
            sbuf_str(b, h->value);
        break;
    default:
        if (has_uris(id))
            addrs_redact(b, id, h->value);
        else
            sbuf_str(b, h->value);
        break;
    }
    sbuf_lit(b, "\r\n");
}

static void start_line_redact(struct sbuf *b, const struct sip_msg *m)
{
    if (m->is_request) {
        sbuf_str(b, m->method_text);
        sbuf_char(b, ' ');
        uri_redact(b, m->ruri);
        sbuf_lit(b, " SIP/2.0\r\n");
        return;
    }
    sbuf_fmt(b, "SIP/2.0 %u ", m->status);
    sbuf_str(b, m->phrase);
    sbuf_lit(b, "\r\n");
}

int redact_message(struct arena *a, struct str bytes, struct buf **ret, struct reason *why)
{
    char note_text[NOTE_MAX];
    struct sbuf note = sbuf_make(note_text, sizeof note_text), b;
    struct sip_msg *m;
    struct buf *out;
    unsigned i;
    int err;

    if ((err = sip_msg_parse(a, bytes, &m, why)) != 0)
        return err;
    /* What is put in place of a value is hardly longer than the shortest value: twice the message and a note always suffice. */
    out = buf_new(2 * m->head.n + NOTE_MAX + 64);
    if (!out)
        return ERR_NOMEM;
    if (m->body.n)
        sbuf_fmt(&note, "[a body of %zu bytes is left out]\r\n", m->body.n);
    b = sbuf_make(out->p, out->cap);
    start_line_redact(&b, m);
    for (i = 0; i < m->n_hdrs; i++)
        header_redact(&b, m, &m->hdrs[i], sbuf_get(&note));
    sbuf_lit(&b, "\r\n");
    sbuf_str(&b, sbuf_get(&note));
    if (b.overflow) {
        buf_unref(out);
        return ERR_LIMIT;
    }
    out->n = (uint32_t)b.n;
    *ret = out;
    return 0;
}

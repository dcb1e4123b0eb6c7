/* The index of a message: start line and header lines found in one pass, then the fields every
 * message needs (RFC 3261 7, 8.1.1, 20, 25.1; treatment of odd messages by RFC 4475 and 5118).
 * Lines end in CRLF and in nothing else. A bare CR or LF is a defect, never a line end: what the
 * next hop might take for a header must not be hidden in a value. Owner of everything: the caller's
 * arena. Pure; any thread. */
#include "base/err.h"
#include "base/limits.h"
#include "sip/fields.h"
#include "sip/hdr.h"

#define HDRS_FIRST 24u /* header lines an ordinary message has at most */

struct scan {
    struct sip_msg *m;
    const char *base, *p, *end;
    uint16_t cap;
    bool is_over; /* the empty line was seen */
};

static void defect(struct sip_msg *m, const char *code, const char *clause, unsigned status,
                   const char *at, const char *text)
{
    if (m->defect.sip_status)
        return; /* the first one counts */
    reason_set(&m->defect, code, clause, status, "%s", text);
    if (at)
        m->defect.offset = (uint32_t)(at - m->bytes.p);
}

/* ---- start line (7.1, 7.2) ---- */

/* "SIP/2.0" exactly, in any case (7.1); *ret_known: it is SIP/digits.digits at least. */
static bool version_is_ours(struct str v, bool *ret_known)
{
    *ret_known = true;
    if (v.n == 7 && memcmp(v.p, "SIP/2.0", 7) == 0)
        return true;
    struct lex l = lex_make(v);
    *ret_known = str_starts_nocase(v, STR("SIP/"));
    if (!*ret_known)
        return false;
    l.p += 4;
    struct str major = lex_run1(&l, LEX_DIGIT);
    lex_expect(&l, '.');
    struct str minor = lex_run1(&l, LEX_DIGIT);
    *ret_known = !l.bad && lex_at_end(&l);
    return *ret_known && str_eq(major, STR("2")) && str_eq(minor, STR("0"));
}

/* Status-Line = SIP-Version SP 3DIGIT SP Reason-Phrase; the last SP may be missing (RFC
 * 4475 3.1.1.13). */
static int status_line(struct sip_msg *m, struct str line, struct reason *why)
{
    bool known;
    struct str version, after = str_cut(line, ' ', &version);
    if (!version_is_ours(version, &known)) {
        reason_set(why, "msg-version", "RFC 3261 7.2", 0,
                   "response of an unknown protocol version");
        return ERR_SYNTAX;
    }
    struct str code, phrase = str_cut(after, ' ', &code);
    uint32_t status;
    if (code.n != 3 || str_to_u32(code, 699, &status) != 0 || status < 100) {
        reason_set(why, "msg-status", "RFC 3261 7.2", 0,
                   "status code out of range"); /* RFC 4475 3.1.2.19 */
        return ERR_SYNTAX;
    }
    m->status = status;
    m->phrase = phrase;
    return 0;
}

static void request_uri(struct sip_msg *m)
{
    int err = sip_uri_parse(m->ruri, &m->uri);
    if (err == ERR_LIMIT)
        defect(m, "msg-uri-long", "RFC 3261 21.4.12", 414, m->ruri.p, "Request-URI is too long");
    else if (err)
        defect(m, "msg-uri", "RFC 3261 25.1", 400, m->ruri.p, "Request-URI is malformed");
    else if (m->uri.headers.n)
        defect(m, "msg-uri-headers", "RFC 3261 19.1.1", 400, m->uri.headers.p,
               "Request-URI has headers");
}

/* Request-Line = Method SP Request-URI SP SIP-Version. Where the version is recognised at the end,
 * the sender spoke SIP and is told what is wrong; a line without it is not ours to answer. */
static int request_line(struct sip_msg *m, struct str line, struct reason *why)
{
    struct lex l = lex_make(line);
    m->method_text = lex_run(&l, LEX_TOKEN);
    struct str trimmed = str_trim(line);
    size_t version_at = trimmed.n;
    while (version_at > 0 && trimmed.p[version_at - 1] != ' ')
        version_at--;
    struct str version = {trimmed.p + version_at, trimmed.n - version_at};
    bool known, ours = version_is_ours(version, &known);
    if (m->method_text.n == 0 || !lex_take(&l, ' ') || !known || version.p <= l.p) {
        reason_set(why, "msg-startline", "RFC 3261 7.1", 0, "not a SIP request or response");
        return ERR_SYNTAX;
    }
    m->is_request = true;
    m->method = sip_method_parse(m->method_text);
    m->ruri = (struct str){l.p, (size_t)(version.p - 1 - l.p)};
    if (!ours)
        defect(m, "msg-version", "RFC 3261 21.5.6", 505, version.p,
               "protocol version is not SIP/2.0");
    else if (trimmed.n != line.n)
        defect(m, "msg-startline-space", "RFC 3261 7.1", 400, trimmed.p + trimmed.n,
               "white space behind the version");
    request_uri(m);
    return 0;
}

/* ---- header lines (7.3) ---- */

/* The value from p on: to the CRLF that no white space follows. Sets s->p behind the line. A
 * control character that cannot stand there ends the value (so that nothing we copy from it carries
 * a line end) but not the line. */
static struct str scan_value(struct scan *s, const char *p)
{
    const char *start = p, *bad = NULL, *stop;
    for (;;) {
        stop = p = lex_find_control(p, s->end);
        if (p == s->end) {
            s->p = p;
            defect(s->m, "msg-truncated", "RFC 3261 7", 400, p, "no empty line behind the header");
            break;
        }
        if (*p == '\r' && s->end - p >= 2 && p[1] == '\n') {
            p += 2;
            if (p < s->end && (*p == ' ' || *p == '\t'))
                continue;
            s->p = p;
            break;
        }
        /* NUL and other controls are lawful only as a quoted-pair (25.1, RFC 4475 3.1.1.2) */
        if (bad == NULL && (*p == '\r' || *p == '\n' || p == start || p[-1] != '\\')) {
            bad = p;
            defect(s->m, "msg-control", "RFC 3261 25.1", 400, p, "control character in a header");
        }
        p++;
    }
    if (bad)
        stop = bad;
    while (stop > start && lex_is(stop[-1], LEX_WS))
        stop--;
    while (start < stop && lex_is(*start, LEX_WS))
        start++;
    return (struct str){start, (size_t)(stop - start)};
}

static int hdrs_grow(struct scan *s)
{
    struct sip_msg *m = s->m;
    struct sip_hdr *more = arena_alloc(m->arena, LIMIT_MSG_HEADERS * sizeof(*more));
    if (more == NULL)
        return ERR_NOMEM;
    memcpy(more, m->hdrs, m->n_hdrs * sizeof(*more));
    m->hdrs = more;
    s->cap = LIMIT_MSG_HEADERS;
    return 0;
}

/* One header line with its folds. */
static int scan_header(struct scan *s)
{
    struct sip_msg *m = s->m;
    const char *line = s->p;
    struct lex l = {line, s->end, false};
    struct str name = lex_run(&l, LEX_TOKEN);
    while (l.p < s->end && (*l.p == ' ' || *l.p == '\t'))
        l.p++; /* HCOLON allows white space in front, but no fold */
    if (name.n == 0 || !lex_take(&l, ':')) {
        defect(m, "msg-header", "RFC 3261 25.1", 400, line, "not a header line");
        scan_value(s, l.p);
        return 0;
    }
    if (UNLIKELY(m->n_hdrs == LIMIT_MSG_HEADERS)) {
        /* what to answer by is most often in front (7.3.1), so there is no need to be silent */
        defect(m, "msg-header-large", "RFC 3261 21.5.7", 513, line, "too many header lines");
        scan_value(s, l.p);
        return 0;
    }
    if (UNLIKELY(m->n_hdrs == s->cap)) {
        int err = hdrs_grow(s);
        if (err)
            return err;
    }
    struct sip_hdr *h = &m->hdrs[m->n_hdrs++];
    h->name = name;
    h->value = scan_value(s, l.p);
    h->line_start = (uint32_t)(line - s->base);
    h->line_end = (uint32_t)(s->p - s->base);
    h->id = (uint16_t)sip_hdr_parse(name);
    return 0;
}

static int scan_headers(struct scan *s)
{
    while (s->p < s->end) {
        if (s->end - s->p >= 2 && s->p[0] == '\r' && s->p[1] == '\n') {
            s->p += 2;
            s->is_over = true;
            return 0;
        }
        int err = scan_header(s);
        if (err)
            return err;
    }
    defect(s->m, "msg-truncated", "RFC 3261 7", 400, s->end, "no empty line behind the header");
    return 0;
}

/* Chains headers of one id; one that may come once only and does not is a defect (RFC
 * 4475 3.3.8, 3.3.9). */
static void link_headers(struct sip_msg *m)
{
    memset(m->first, 0xff, sizeof(m->first)); /* -1 */
    for (int i = m->n_hdrs - 1; i >= 0; i--) {
        struct sip_hdr *h = &m->hdrs[i];
        h->next = m->first[h->id];
        m->first[h->id] = (int16_t)i;
        if (h->next >= 0 && sip_hdr_is_single((enum sip_hdr_id)h->id)) {
            defect(m, h->id == SIP_H_CONTENT_LENGTH ? "msg-content-length" : "msg-repeated",
                   "RFC 3261 7.3.1", 400, m->hdrs[h->next].name.p, "header may appear once only");
        }
    }
}

/* ---- the fields every message needs (8.1.1) ---- */

static const struct sip_hdr *need(struct sip_msg *m, enum sip_hdr_id id)
{
    if (m->first[id] >= 0)
        return &m->hdrs[m->first[id]];
    if (m->defect.sip_status == 0)
        reason_set(&m->defect, "msg-missing", "RFC 3261 8.1.1", 400, "%.*s is missing",
                   STR_FMT(sip_hdr_text(id)));
    return NULL;
}

static void take_cseq(struct sip_msg *m)
{
    const struct sip_hdr *h = need(m, SIP_H_CSEQ);
    if (h == NULL)
        return;
    struct lex l = lex_make(h->value);
    struct str number = lex_run1(&l, LEX_DIGIT);
    const char *gap = l.p;
    lex_ws(&l);
    struct str method = lex_run1(&l, LEX_TOKEN);
    if (l.bad || !lex_at_end(&l) || gap == method.p ||
        str_to_u32(number, UINT32_MAX, &m->cseq) != 0) {
        defect(m, "msg-cseq", "RFC 3261 20.16", 400, h->value.p, "CSeq is malformed");
        return;
    }
    m->cseq_method_text = method;
    m->cseq_method = sip_method_parse(method);
    if (!m->is_request) {
        m->method = m->cseq_method;
        m->method_text = method;
    } else if (!str_eq(method, m->method_text)) {
        /* RFC 4475 3.1.2.17 and .18: 400, but 501 if the method is one we do not know either */
        defect(m, "msg-cseq-method", "RFC 3261 8.1.1.5", m->method == SIP_METHOD_OTHER ? 501 : 400,
               method.p, "method of CSeq is not that of the request");
    }
}

static void take_addr(struct sip_msg *m, enum sip_hdr_id id, struct sip_addr *ret,
                      struct str *ret_tag)
{
    const struct sip_hdr *h = need(m, id);
    if (h == NULL)
        return;
    if (sip_addr_parse_tag(h->value, ret, ret_tag) != 0 || ret->star)
        defect(m, id == SIP_H_FROM ? "msg-from" : "msg-to", "RFC 3261 25.1", 400, h->value.p,
               "address is malformed");
}

static void take_call_id(struct sip_msg *m)
{
    const struct sip_hdr *h = need(m, SIP_H_CALL_ID);
    if (h == NULL)
        return;
    struct lex l = lex_make(h->value);
    m->call_id = h->value;
    while (!lex_at_end(&l) && !lex_is(*l.p, LEX_WS))
        l.p++;
    if (h->value.n == 0 || !lex_at_end(&l))
        defect(m, "msg-call-id", "RFC 3261 25.1", 400, h->value.p, "Call-ID is malformed");
}

static void take_max_forwards(struct sip_msg *m)
{
    const struct sip_hdr *h = sip_msg_hdr(m, SIP_H_MAX_FORWARDS, 0);
    uint32_t v;
    if (h == NULL)
        return; /* optional in practice: RFC 3261 16.3 step 3 adds it */
    if (str_to_u32(h->value, 255, &v) != 0)
        defect(m, "msg-max-forwards", "RFC 3261 20.22", 400, h->value.p,
               "Max-Forwards is not 0 to 255");
    else
        m->max_forwards = (int)v;
}

/* Where the body ends (18.3): Content-Length bytes, what follows them in a datagram is ignored (RFC
 * 4475 3.1.1.8). */
static void take_body(struct sip_msg *m, const char *body, const char *end)
{
    size_t left = (size_t)(end - body);
    const struct sip_hdr *h = sip_msg_hdr(m, SIP_H_CONTENT_LENGTH, 0);
    m->body = (struct str){body, left};
    if (h == NULL || h->next >= 0)
        return;
    uint64_t n;
    if (str_to_u64(h->value, UINT32_MAX, &n) != 0)
        defect(m, "msg-content-length", "RFC 3261 20.14", 400, h->value.p,
               "Content-Length is no number");
    else if (n > left)
        defect(m, "msg-content-length", "RFC 3261 18.3", 400, h->value.p,
               "Content-Length is larger than the message");
    else
        m->body.n = (size_t)n;
    m->bytes.n = (size_t)(m->body.p + m->body.n - m->bytes.p);
}

/* The top Via: without a sent-by there is nobody to answer. */
static int take_via(struct sip_msg *m, struct reason *why)
{
    struct sip_values it = sip_values_start(m, SIP_H_VIA);
    bool has = sip_values_next(&it);
    int err = has ? sip_via_parse(it.value, &m->via) : ERR_SYNTAX;
    if (m->via.host.n == 0) {
        reason_set(why, "msg-via", "RFC 3261 8.1.1.7", 0, has ? "top Via is malformed" : "no Via");
        return ERR_SYNTAX;
    }
    if (err)
        defect(m, "msg-via", "RFC 3261 25.1", 400, it.value.p, "top Via is malformed");
    else if (str_eq(m->via.branch, STR("z9hG4bK")))
        defect(m, "msg-branch", "RFC 3261 8.1.1.7", 400, m->via.branch.p,
               "branch has nothing behind its cookie");
    return 0; /* RFC 4475 3.2.1 for the last */
}

int sip_msg_fields(struct sip_msg *m, struct reason *why)
{
    take_cseq(m);
    take_addr(m, SIP_H_FROM, &m->from, &m->from_tag);
    take_addr(m, SIP_H_TO, &m->to, &m->to_tag);
    take_call_id(m);
    take_max_forwards(m);
    if (!m->is_request && m->defect.sip_status) {
        /* a malformed response is dropped (RFC 4475 3.1.2.5) */
        if (why)
            *why = m->defect;
        return ERR_SYNTAX;
    }
    return 0;
}

static int scan_start_line(struct scan *s, struct reason *why)
{
    struct sip_msg *m = s->m;
    const char *stop = lex_find_control(s->p, s->end);
    if (s->end - stop < 2 || stop[0] != '\r' || stop[1] != '\n') {
        reason_set(why, "msg-startline", "RFC 3261 7.1", 0, "start line does not end in CRLF");
        return ERR_SYNTAX;
    }
    struct str line = {s->p, (size_t)(stop - s->p)};
    s->p = stop + 2;
    return str_starts_nocase(line, STR("SIP/")) ? status_line(m, line, why)
                                                : request_line(m, line, why);
}

static int scan_new(struct arena *a, struct str bytes, struct scan *ret, struct reason *why)
{
    if (bytes.n > LIMIT_MSG_BYTES) {
        reason_set(why, "msg-large", "RFC 3261 21.5.7", 513, "message of %zu bytes", bytes.n);
        return ERR_LIMIT;
    }
    struct sip_msg *m = arena_zalloc(a, sizeof(*m));
    struct sip_hdr *hdrs = m ? arena_alloc(a, HDRS_FIRST * sizeof(*hdrs)) : NULL;
    struct sip_memo *memo = hdrs ? arena_zalloc(a, sizeof(*memo)) : NULL;
    if (memo == NULL) {
        reason_set(why, "no-memory", NULL, 0, NULL);
        return ERR_NOMEM;
    }
    m->bytes = bytes;
    m->memo = memo;
    m->hdrs = hdrs;
    m->max_forwards = -1;
    m->arena = a;
    *ret = (struct scan){
        .m = m, .base = bytes.p, .p = bytes.p, .end = bytes.p + bytes.n, .cap = HDRS_FIRST};
    return 0;
}

/* From behind the start line to the body. */
static int scan_rest(struct scan *s, struct reason *why)
{
    struct sip_msg *m = s->m;
    int err = scan_headers(s);
    if (err) {
        reason_set(why, "no-memory", NULL, 0, NULL);
        return err;
    }
    if ((size_t)(s->p - s->base) > LIMIT_MSG_HEADER_BYTES)
        defect(m, "msg-header-large", "RFC 3261 21.5.7", 513, s->p, "header above what is taken");
    m->head = (struct str){m->bytes.p, (size_t)(s->p - s->base)};
    link_headers(m);
    take_body(m, s->p, s->end);
    return 0;
}

int sip_msg_scan(struct arena *a, struct str bytes, struct sip_msg **ret, struct reason *why)
{
    struct scan s;
    *ret = NULL;
    while (bytes.n >= 2 && bytes.p[0] == '\r' && bytes.p[1] == '\n') {
        bytes.p += 2; /* CRLF in front of the start line is ignored (7.5) */
        bytes.n -= 2;
    }
    int err = scan_new(a, bytes, &s, why);
    if (err == 0)
        err = scan_start_line(&s, why);
    if (err == 0)
        err = scan_rest(&s, why);
    if (err == 0)
        err = take_via(s.m, why);
    if (err)
        return err;
    *ret = s.m;
    return 0;
}

int sip_msg_parse(struct arena *a, struct str bytes, struct sip_msg **ret, struct reason *why)
{
    int err = sip_msg_scan(a, bytes, ret, why);
    if (err == 0 && (err = sip_msg_fields(*ret, why)) != 0)
        *ret = NULL;
    return err;
}

/* Without a body a fragment needs no empty line, and its last line no end (RFC 3420 2): here they
 * are put there. */
static int frag_close(struct arena *a, struct str *bytes)
{
    static const char ends[] = "\r\n\r\n";
    size_t n = sizeof(ends) - 1;
    char *p;

    if (bytes->n > LIMIT_MSG_BYTES || memmem(bytes->p, bytes->n, ends, n) ||
        (bytes->n >= 2 && memcmp(bytes->p, ends, 2) == 0))
        return 0;
    p = arena_alloc(a, bytes->n + n);
    if (!p)
        return ERR_NOMEM;
    if (bytes->n)
        memcpy(p, bytes->p, bytes->n);
    memcpy(p + bytes->n, ends, n);
    if (bytes->n == 0 || (bytes->n >= 2 && memcmp(p + bytes->n - 2, ends, 2) == 0))
        n -= 2;
    *bytes = (struct str){p, bytes->n + n};
    return 0;
}

static bool begins_with_header(struct str bytes)
{
    struct lex l = lex_make(bytes);
    struct str name = lex_run(&l, LEX_TOKEN);
    while (lex_peek(&l, ' ') || lex_peek(&l, '\t'))
        l.p++;
    return bytes.n == 0 || lex_peek(&l, '\r') || (name.n > 0 && lex_peek(&l, ':'));
}

int sip_frag_parse(struct arena *a, struct str bytes, struct sip_msg **ret, struct reason *why)
{
    struct scan s;
    *ret = NULL;
    int err = frag_close(a, &bytes);
    if (err) {
        reason_set(why, "no-memory", NULL, 0, NULL);
        return err;
    }
    err = scan_new(a, bytes, &s, why);
    if (err == 0 && !begins_with_header(bytes))
        err = scan_start_line(&s, why);
    if (err == 0)
        err = scan_rest(&s, why);
    if (err)
        return err;
    if (sip_msg_has(s.m, SIP_H_CSEQ))
        take_cseq(s.m);
    if (sip_msg_has(s.m, SIP_H_FROM))
        take_addr(s.m, SIP_H_FROM, &s.m->from, &s.m->from_tag);
    if (sip_msg_has(s.m, SIP_H_TO))
        take_addr(s.m, SIP_H_TO, &s.m->to, &s.m->to_tag);
    if (sip_msg_has(s.m, SIP_H_CALL_ID))
        take_call_id(s.m);
    *ret = s.m;
    return 0;
}

const struct sip_hdr *sip_msg_hdr(const struct sip_msg *m, enum sip_hdr_id id, unsigned i)
{
    int k = m->first[id];
    while (k >= 0 && i-- > 0)
        k = m->hdrs[k].next;
    return k >= 0 ? &m->hdrs[k] : NULL;
}

size_t sip_msg_lines(const struct sip_msg *m, enum sip_hdr_id id, struct str *ret, size_t cap)
{
    const struct sip_hdr *h;
    size_t n = 0;

    while (n < cap && (h = sip_msg_hdr(m, id, (unsigned)n)) != NULL)
        ret[n++] = h->value;
    return n;
}

const struct sip_hdr *sip_msg_hdr_named(const struct sip_msg *m, struct str name, unsigned i)
{
    enum sip_hdr_id id = sip_hdr_parse(name);
    if (id != SIP_H_OTHER)
        return sip_msg_hdr(m, id, i);
    for (int k = m->first[SIP_H_OTHER]; k >= 0; k = m->hdrs[k].next) {
        if (str_eq_nocase(m->hdrs[k].name, name) && i-- == 0)
            return &m->hdrs[k];
    }
    return NULL;
}

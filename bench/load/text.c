/* Scans received SIP messages and builds sent ones, for the load generator only: strict enough to
 * judge a server's answers, and no more. RFC 3261 7, 20. One thread. */
#include "load.h"

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

static struct slice slice_trim(const char *p, const char *end)
{
    while (p < end && is_blank(*p))
        p++;
    while (end > p && (is_blank(end[-1]) || end[-1] == '\r'))
        end--;
    return (struct slice){p, (size_t)(end - p)};
}

static bool name_is(struct slice name, struct slice lower)
{
    if (name.len != lower.len)
        return false;
    for (size_t i = 0; i < name.len; i++)
        if ((name.p[i] | 0x20) != lower.p[i] && name.p[i] != lower.p[i])
            return false;
    return true;
}

static bool number_scan(struct slice s, uint64_t *ret_n)
{
    uint64_t n = 0;

    if (s.len == 0 || s.len > 10)
        return false;
    for (size_t i = 0; i < s.len; i++) {
        if (s.p[i] < '0' || s.p[i] > '9')
            return false;
        n = n * 10 + (uint64_t)(s.p[i] - '0');
    }
    *ret_n = n;
    return true;
}

static void line_add(struct slice *lines, size_t *n, struct slice value)
{
    if (*n < LOAD_LINES)
        lines[(*n)++] = value;
}

static bool cseq_scan(struct text *t, struct slice v)
{
    const char *gap = memchr(v.p, ' ', v.len);
    uint64_t n;

    if (gap == NULL || !number_scan((struct slice){v.p, (size_t)(gap - v.p)}, &n))
        return false;
    t->cseq = (uint32_t)n;
    t->cseq_method = slice_trim(gap, v.p + v.len);
    return true;
}

static bool header_scan(struct text *t, struct slice name, struct slice v)
{
    uint64_t n;

    switch (name.p[0] | 0x20) {
    case 'v':
        if (name.len == 1 || name_is(name, S("via")))
            line_add(t->via, &t->n_via, v);
        break;
    case 'f':
        if (name.len == 1 || name_is(name, S("from")))
            t->from = v;
        break;
    case 't':
        if (name.len == 1 || name_is(name, S("to")))
            t->to = v;
        break;
    case 'i':
        if (name.len == 1)
            t->call_id = v;
        else if (name_is(name, S("identity")))
            line_add(t->identity, &t->n_identity, v);
        break;
    case 'm':
        if (name.len == 1)
            line_add(t->contact, &t->n_contact, v);
        else if (name_is(name, S("max-forwards")))
            t->max_forwards = v;
        break;
    case 'c':
        if (name_is(name, S("call-id")))
            t->call_id = v;
        else if (name_is(name, S("cseq")))
            return cseq_scan(t, v);
        else if (name_is(name, S("contact")))
            line_add(t->contact, &t->n_contact, v);
        else if (name_is(name, S("content-length"))) {
            if (t->has_length || !number_scan(v, &n))
                return false;
            t->has_length = true;
            t->length = (size_t)n;
        }
        break;
    case 'l':
        if (name.len == 1) {
            if (t->has_length || !number_scan(v, &n))
                return false;
            t->has_length = true;
            t->length = (size_t)n;
        }
        break;
    case 'r':
        if (name_is(name, S("record-route")))
            line_add(t->record_route, &t->n_record_route, v);
        else if (name_is(name, S("route")))
            line_add(t->route, &t->n_route, v);
        break;
    case 'w':
        if (name_is(name, S("www-authenticate")))
            line_add(t->authenticate, &t->n_authenticate, v);
        break;
    case 'p':
        if (name_is(name, S("proxy-authenticate")))
            line_add(t->authenticate, &t->n_authenticate, v);
        break;
    default:
        break;
    }
    return true;
}

static bool first_line_scan(struct text *t, struct slice line)
{
    const char *a, *b;

    if (slice_starts(line, S("SIP/2.0 "))) {
        if (line.len < 11)
            return false;
        t->status = (line.p[8] - '0') * 100 + (line.p[9] - '0') * 10 + (line.p[10] - '0');
        return t->status >= 100 && t->status <= 699;
    }
    a = memchr(line.p, ' ', line.len);
    if (a == NULL || line.len < 12 || memcmp(line.p + line.len - 8, " SIP/2.0", 8) != 0)
        return false;
    b = line.p + line.len - 8;
    if (b <= a)
        return false;
    t->is_request = true;
    t->method = (struct slice){line.p, (size_t)(a - line.p)};
    t->uri = (struct slice){a + 1, (size_t)(b - a - 1)};
    return true;
}

bool text_scan(struct text *t, const char *p, size_t len)
{
    const char *end = p + len;
    bool first = true;

    memset(t, 0, sizeof(*t));
    while (p < end) {
        const char *nl = memchr(p, '\n', (size_t)(end - p));
        if (nl == NULL)
            return false;
        struct slice line = slice_trim(p, nl);
        if (first) {
            if (!first_line_scan(t, line))
                return false;
            first = false;
        } else if (line.len == 0) {
            t->body = (struct slice){nl + 1, (size_t)(end - nl - 1)};
            break;
        } else {
            const char *colon = memchr(line.p, ':', line.len);
            if (colon == NULL || is_blank(*p))
                return false; /* nobody here folds lines */
            struct slice name = slice_trim(line.p, colon);
            if (name.len == 0 || !header_scan(t, name, slice_trim(colon + 1, nl)))
                return false;
        }
        p = nl + 1;
    }
    if (!t->is_request)
        t->method = t->cseq_method;
    return t->body.p != NULL && t->n_via > 0 && t->from.len > 0 && t->to.len > 0 &&
           t->call_id.len > 0 && t->cseq_method.len > 0;
}

struct slice text_param(struct slice value, struct slice name)
{
    const char *p = value.p, *end = value.p + value.len;
    const char *close = memchr(value.p, '>', value.len);

    if (close != NULL)
        p = close;
    while (p < end && (p = memchr(p, ';', (size_t)(end - p))) != NULL) {
        p++;
        while (p < end && is_blank(*p))
            p++;
        if ((size_t)(end - p) > name.len && memcmp(p, name.p, name.len) == 0 &&
            p[name.len] == '=') {
            const char *v = p + name.len + 1, *q = v;
            while (q < end && *q != ';' && *q != ',' && !is_blank(*q))
                q++;
            return (struct slice){v, (size_t)(q - v)};
        }
    }
    return (struct slice){value.p, 0};
}

struct slice text_uri(struct slice value)
{
    const char *open = memchr(value.p, '<', value.len), *close;

    if (open != NULL) {
        close = memchr(open, '>', (size_t)(value.p + value.len - open));
        if (close == NULL)
            return (struct slice){value.p, 0};
        return (struct slice){open + 1, (size_t)(close - open - 1)};
    }
    close = memchr(value.p, ';', value.len);
    return close == NULL ? value : (struct slice){value.p, (size_t)(close - value.p)};
}

bool text_next_value(struct slice *line, struct slice *ret_value)
{
    const char *p = line->p, *end = line->p + line->len;
    bool quoted = false;
    int depth = 0;

    while (p < end && (is_blank(*p) || *p == ','))
        p++;
    if (p == end)
        return false;
    const char *start = p;
    for (; p < end; p++) {
        if (quoted) {
            if (*p == '\\' && p + 1 < end)
                p++;
            else if (*p == '"')
                quoted = false;
        } else if (*p == '"') {
            quoted = true;
        } else if (*p == '<') {
            depth++;
        } else if (*p == '>') {
            depth--;
        } else if (*p == ',' && depth == 0) {
            break;
        }
    }
    *ret_value = slice_trim(start, p);
    *line = (struct slice){p, (size_t)(end - p)};
    return true;
}

size_t text_count_values(const struct slice *lines, size_t n)
{
    size_t count = 0;

    for (size_t i = 0; i < n; i++) {
        struct slice line = lines[i], value;
        while (text_next_value(&line, &value))
            count++;
    }
    return count;
}

struct slice text_auth_param(struct slice challenge, struct slice name)
{
    const char *p = challenge.p, *end = challenge.p + challenge.len;

    while (p < end && !is_blank(*p)) /* the scheme */
        p++;
    while (p < end) {
        while (p < end && (is_blank(*p) || *p == ','))
            p++;
        const char *key = p;
        while (p < end && *p != '=' && *p != ',')
            p++;
        struct slice k = slice_trim(key, p), v = {p, 0};
        if (p < end && *p == '=') {
            p++;
            if (p < end && *p == '"') {
                const char *q = ++p;
                while (q < end && *q != '"')
                    q += *q == '\\' && q + 1 < end ? 2 : 1;
                if (q > end)
                    q = end;
                v = (struct slice){p, (size_t)(q - p)};
                p = q < end ? q + 1 : end;
            } else {
                const char *q = p;
                while (q < end && *q != ',')
                    q++;
                v = slice_trim(p, q);
                p = q;
            }
        }
        if (name_is(k, name))
            return v;
    }
    return (struct slice){challenge.p, 0};
}

void out_text(struct out *o, const char *text)
{
    out_bytes(o, text, strlen(text));
}

void out_number(struct out *o, uint64_t n)
{
    char digits[20];
    size_t i = sizeof(digits);

    do {
        digits[--i] = (char)('0' + n % 10);
        n /= 10;
    } while (n > 0);
    out_bytes(o, digits + i, sizeof(digits) - i);
}

void out_hex(struct out *o, uint64_t n, unsigned digits)
{
    char hex[16];

    for (unsigned i = 0; i < digits && i < sizeof(hex); i++)
        hex[i] = "0123456789abcdef"[(n >> (4 * (digits - 1 - i))) & 15];
    out_bytes(o, hex, digits);
}

void out_lines(struct out *o, struct slice name, const struct slice *lines, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        out_slice(o, name);
        out_lit(o, ": ");
        out_slice(o, lines[i]);
        out_lit(o, "\r\n");
    }
}

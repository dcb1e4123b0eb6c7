/* Stream framing: see framing.h for what is accepted and why. RFC 3261 7.3.1 (folding, white
 * space), 7.3.3 (compact form), 7.5, 18.3; RFC 5626 3.5.1. Pure; no owner, any thread. */
#include "net/framing.h"
#include "base/err.h"
#include "net/stun.h"

enum framing_bad { BAD_NONE, BAD_LENGTH_REPEATED, BAD_LENGTH_SYNTAX, BAD_LENGTH_LARGE };

static enum framing_kind bad(struct reason *reason, size_t shown, size_t *ret_n, const char *code,
                             const char *clause, unsigned status, const char *detail)
{
    reason_set(reason, code, clause, status, "%s", detail);
    *ret_n = shown;
    return FRAMING_BAD;
}

static enum framing_kind more(size_t need, size_t *ret_n)
{
    *ret_n = need;
    return FRAMING_MORE;
}

/* token characters, RFC 3261 25.1: how a method and "SIP/2.0" begin */
static bool is_token_char(char c)
{
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
           (c != '\0' && strchr("-.!%*_+`'~", c));
}

/* A start line has "SIP/" in front (status line) or behind a space (request line). Whether the
 * version is ours is the parser's question; here only what is no SIP at all (HTTP, SMTP, noise) is
 * told apart, before its body is waited for. */
static bool is_sip_line(struct str line)
{
    size_t i;
    line = str_trim(line);
    if (str_starts_nocase(line, STR("SIP/")))
        return true;
    for (i = line.n; i > 0 && line.p[i - 1] != ' '; i--)
        continue;
    return i > 0 && str_starts_nocase(str_make(line.p + i, line.n - i), STR("SIP/"));
}

/* A whole header field, folds included: remembers it if it is the Content-Length. */
static void take_field(struct framing *f, struct str field)
{
    char c = str_lower(field.p[0]);
    if (c != 'c' && c != 'l')
        return;
    struct str name;
    struct str value = str_cut(field, ':', &name);
    name = str_trim(name);
    if (!value.p || (!str_eq_nocase(name, STR("l")) && !str_eq_nocase(name, STR("Content-Length"))))
        return;
    if (f->has_length) {
        f->bad = BAD_LENGTH_REPEATED;
        return;
    }
    f->has_length = true;
    int err = str_to_u32(str_trim(value), LIMIT_MSG_BYTES, &f->length);
    if (err && !f->bad)
        f->bad = err == ERR_LIMIT ? BAD_LENGTH_LARGE : BAD_LENGTH_SYNTAX;
}

/* One line without its CRLF. False: not the line of a SIP message. */
static bool take_line(struct framing *f, const char *p, size_t end)
{
    struct str line = str_make(p + f->line, end - f->line);
    if (f->line == 0)
        return is_sip_line(line);
    if (line.n && (line.p[0] == ' ' || line.p[0] == '\t'))
        return f->field != 0; /* a continuation, but nothing continues the start line */
    if (f->field)
        take_field(f, str_make(p + f->field, f->line - f->field));
    f->field = f->line;
    return true;
}

static enum framing_kind finish_head(struct framing *f, size_t n, size_t *ret_n,
                                     struct reason *reason)
{
    size_t head = f->head;
    switch (f->bad) {
    case BAD_LENGTH_REPEATED:
        return bad(reason, head, ret_n, "framing-length-repeated", "RFC 3261 20.14", 400,
                   "more than one Content-Length");
    case BAD_LENGTH_SYNTAX:
        return bad(reason, head, ret_n, "framing-length-syntax", "RFC 3261 20.14", 400,
                   "Content-Length is not a number");
    case BAD_LENGTH_LARGE:
        return bad(reason, head, ret_n, "framing-too-large", "RFC 3261 21.4.11", 413,
                   "Content-Length above what is taken");
    default:
        break;
    }
    if (!f->has_length)
        return bad(reason, head, ret_n, "framing-no-length", "RFC 3261 18.3", 400,
                   "no Content-Length on a stream");
    size_t total = head + f->length;
    if (total > LIMIT_MSG_BYTES)
        return bad(reason, head, ret_n, "framing-too-large", "RFC 3261 21.4.11", 413,
                   "body above what is taken");
    if (n < total)
        return more(total, ret_n);
    *f = (struct framing){0};
    *ret_n = total;
    return FRAMING_MESSAGE;
}

static enum framing_kind next_message(struct framing *f, const char *p, size_t n, size_t *ret_n,
                                      struct reason *reason)
{
    while (!f->head) {
        const char *lf = f->scanned < n ? memchr(p + f->scanned, '\n', n - f->scanned) : NULL;
        size_t end = lf ? (size_t)(lf - p) : n;
        if (end > LIMIT_MSG_HEADER_BYTES)
            return bad(reason, LIMIT_MSG_HEADER_BYTES, ret_n, "framing-header-too-large",
                       "RFC 3261 21.5.7", 513,
                       "header above what is taken");
        if (!lf) {
            f->scanned = (uint32_t)n;
            return more(0, ret_n);
        }
        /* A CR or LF on its own would be a line end to some and not to others. */
        if (end == f->line || lf[-1] != '\r' || memchr(p + f->line, '\r', end - 1 - f->line))
            return bad(reason, end, ret_n, "framing-line-end", "RFC 3261 7", 400,
                       "CR and LF not together");
        if (!take_line(f, p, end - 1))
            return bad(reason, end, ret_n, "framing-not-sip", "RFC 3261 7", 0,
                       "not the line of a SIP message");
        if (end - 1 == f->line)
            f->head = (uint32_t)end + 1;
        f->line = f->scanned = (uint32_t)end + 1;
    }
    return finish_head(f, n, ret_n, reason);
}

static enum framing_kind next_stun(const char *p, size_t n, size_t *ret_n, struct reason *reason)
{
    size_t total;
    int err = stun_frame(p, n, &total);
    if (err == ERR_AGAIN)
        return more(total, ret_n);
    if (err)
        return bad(reason, n, ret_n, "framing-not-sip", "RFC 8489 5", 0, "neither SIP nor STUN");
    *ret_n = total;
    return FRAMING_STUN;
}

enum framing_kind framing_next(struct framing *f, const char *p, size_t n, size_t *ret_n,
                               struct reason *reason)
{
    if (n == 0)
        return more(0, ret_n);
    if (f->scanned)
        return next_message(f, p, n, ret_n, reason);
    if (p[0] == '\r') {
        if (n == 1)
            return more(2, ret_n);
        if (p[1] != '\n')
            return bad(reason, n, ret_n, "framing-line-end", "RFC 3261 7", 0, "CR without LF");
        bool is_second = f->is_crlf_pending;
        f->is_crlf_pending = !is_second;
        *ret_n = 2;
        return is_second ? FRAMING_PING : FRAMING_SKIP;
    }
    if ((unsigned char)p[0] <= 1) { /* Binding of any class, RFC 5626 8 */
        enum framing_kind kind = next_stun(p, n, ret_n, reason);
        if (kind == FRAMING_STUN)
            *f = (struct framing){0};
        return kind;
    }
    if (!is_token_char(p[0]))
        return bad(reason, n, ret_n, "framing-not-sip", "RFC 3261 7", 0,
                   "no message begins like this");
    return next_message(f, p, n, ret_n, reason);
}

/* One event as one line of text (log.h). Pure. */
#include "base/base_priv.h"

static const char *const level_names[] = {"debug", "info", "notice", "warn", "error"};

/* Text that needs no quotes; no spaces, so that a line can be cut into words. */
static bool is_bare(struct str s)
{
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i], low = str_lower(c);
        if (!((low >= 'a' && low <= 'z') || (c >= '0' && c <= '9') || (c && strchr("-._:@/+", c))))
            return false;
    }
    return s.n > 0;
}

static void add_quoted(struct sbuf *out, struct str s)
{
    sbuf_char(out, '"');
    size_t from = 0;
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];
        if (c >= 0x20 && c < 0x7f && c != '"' && c != '\\')
            continue;
        sbuf_add(out, s.p + from, i - from);
        from = i + 1;
        if (c == '"' || c == '\\') {
            sbuf_char(out, '\\');
            sbuf_char(out, (char)c);
        } else {
            sbuf_lit(out, "\\x");
            sbuf_hex(out, &c, 1);
        }
    }
    if (s.n)
        sbuf_add(out, s.p + from, s.n - from);
    sbuf_char(out, '"');
}

static void add_value(struct sbuf *out, struct str s)
{
    bool is_cut = s.n > LOG_VALUE_MAX;
    if (is_cut)
        s.n = LOG_VALUE_MAX;
    if (is_bare(s) && !is_cut)
        sbuf_str(out, s);
    else
        add_quoted(out, s);
    if (is_cut)
        sbuf_lit(out, "...");
}

static void add_field(struct sbuf *out, const struct log_field *f)
{
    sbuf_char(out, ' ');
    sbuf_str(out, str_z(f->key));
    sbuf_char(out, '=');
    switch (f->type) {
    case LOG_F_STR:
        add_value(out, f->s);
        break;
    case LOG_F_INT:
        if (f->i < 0)
            sbuf_char(out, '-');
        sbuf_u64(out, f->i < 0 ? 0 - (uint64_t)f->i : (uint64_t)f->i);
        break;
    case LOG_F_UINT:
        sbuf_u64(out, (uint64_t)f->i);
        break;
    }
}

void log_line_build(struct sbuf *out, struct str time, enum log_level level, const char *event,
                    const struct log_field *fields, size_t n)
{
    static const struct str dots = {" ...", 4};
    out->cap -= dots.n; /* kept for the end */
    sbuf_str(out, time);
    sbuf_char(out, ' ');
    sbuf_str(out, str_z((size_t)level < ARRAY_LEN(level_names) ? level_names[level] : "unknown"));
    sbuf_char(out, ' ');
    sbuf_str(out, str_z(event));
    for (size_t i = 0; i < n && !out->overflow; i++) {
        size_t whole = out->n;
        add_field(out, &fields[i]);
        if (out->overflow)
            out->n = whole;
    }
    out->cap += dots.n;
    if (out->overflow)
        sbuf_str(out, dots);
}

/* RFC 3339 5.6, in UTC, to the millisecond. */
struct str log_time_text(char dst[LOG_TIME_MAX], int64_t sec, long nsec)
{
    /* Days to a civil date by counting from 0000-03-01 in eras of 400 years, so that leap days end
     * the year; the log takes a time often enough that gmtime's lock and tables would be seen. */
    int64_t day = sec / 86400, rest = sec % 86400;
    if (rest < 0) {
        rest += 86400;
        day--;
    }
    day += 719468;
    int64_t era = (day >= 0 ? day : day - 146096) / 146097;
    unsigned of_era = (unsigned)(day - era * 146097);
    unsigned year = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
    unsigned of_year = of_era - (365 * year + year / 4 - year / 100);
    unsigned month = (5 * of_year + 2) / 153, mday = of_year - (153 * month + 2) / 5 + 1;
    month = month < 10 ? month + 3 : month - 9;
    unsigned parts[7] = {(unsigned)(era * 400 + year + (month <= 2)),
                         month,
                         mday,
                         (unsigned)(rest / 3600),
                         (unsigned)(rest / 60 % 60),
                         (unsigned)(rest % 60),
                         (unsigned)(nsec / 1000000)};
    static const struct {
        char width, after;
    } form[7] = {{4, '-'}, {2, '-'}, {2, 'T'}, {2, ':'}, {2, ':'}, {2, '.'}, {3, 'Z'}};
    char *at = dst;
    for (int i = 0; i < 7; i++) {
        for (int k = form[i].width; k-- > 0; parts[i] /= 10)
            at[k] = (char)('0' + parts[i] % 10);
        at += form[i].width;
        *at++ = form[i].after;
    }
    return str_make(dst, (size_t)(at - dst));
}

/* Events as lines (out.h). One thread: the phone's. */
#include "phone/out.h"
#include "base/sbuf.h"
#include <stdarg.h>

#define LINE_MAX_BYTES 8192

static uint64_t now_ms(const struct phone_out *o)
{
    return o->now_us ? o->now_us(o->arg) / 1000 : 0;
}

static void put_json(struct sbuf *b, const struct log_field *f)
{
    sbuf_char(b, ',');
    sbuf_json(b, str_z(f->key));
    sbuf_char(b, ':');
    if (f->type == LOG_F_STR && f->i == 1) {
        sbuf_str(b, f->s);
    } else if (f->type == LOG_F_STR && f->s.p == NULL) {
        sbuf_lit(b, "null");
    } else if (f->type == LOG_F_STR) {
        sbuf_json(b, f->s);
    } else {
        uint64_t v = (uint64_t)f->i;
        if (f->type == LOG_F_INT && f->i < 0) {
            sbuf_char(b, '-');
            v = 0 - v;
        }
        sbuf_u64(b, v);
    }
}

static void event_json(struct phone_out *o, const char *event, const struct log_field *fields,
                       size_t n)
{
    char line[LINE_MAX_BYTES];
    struct sbuf b = sbuf_make(line, sizeof(line));
    sbuf_lit(&b, "{\"event\":");
    sbuf_json(&b, str_z(event));
    sbuf_lit(&b, ",\"ms\":");
    sbuf_u64(&b, now_ms(o));
    for (size_t i = 0; i < n; i++) {
        size_t before = b.n;
        put_json(&b, &fields[i]);
        if (b.overflow || sizeof(line) - b.n < 8) { /* a field that does not fit is left out */
            b.n = before;
            b.overflow = false;
        }
    }
    sbuf_lit(&b, "}\n");
    (void)fwrite(b.p, 1, b.n, o->file);
}

/* No control character of the network reaches a terminal. */
static void put_clean(FILE *f, struct str s)
{
    for (size_t i = 0, left = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];
        if (!left)
            left = str_steers(str_make(s.p + i, s.n - i));
        if (left)
            fprintf(f, "\\x%02x", c);
        else
            (void)fputc(c, f);
        left -= left != 0;
    }
}

void phone_out_event(struct phone_out *o, const char *event, const struct log_field *fields,
                     size_t n, const char *fmt, ...)
{
    char line[LINE_MAX_BYTES];
    va_list ap;
    if (o->file == NULL)
        return;
    if (o->json) {
        event_json(o, event, fields, n);
    } else {
        va_start(ap, fmt);
        int len = vsnprintf(line, sizeof(line), fmt, ap);
        va_end(ap);
        if (len < 0)
            return;
        size_t used = (size_t)len < sizeof(line) ? (size_t)len : sizeof(line) - 1;
        put_clean(o->file, str_make(line, str_utf8_prefix(str_make(line, used))));
        (void)fputc('\n', o->file);
    }
    (void)fflush(o->file);
}

/* What gives a password or a media key away to those who guess or listen. */
static bool is_secret(struct str line)
{
    return str_starts_nocase(line, STR("Authorization:")) ||
           str_starts_nocase(line, STR("Proxy-Authorization:")) ||
           str_starts_nocase(line, STR("a=crypto:")) || str_starts_nocase(line, STR("a=key-mgmt:"));
}

void phone_out_message(struct phone_out *o, bool is_sent, struct str message)
{
    struct str rest = message, line;
    if (o->trace == NULL)
        return;
    fprintf(o->trace, "---- %s %llu ms\n", is_sent ? "sent" : "received",
            (unsigned long long)now_ms(o));
    while (rest.p != NULL) {
        rest = str_cut(rest, '\n', &line);
        line = str_trim(line);
        put_clean(o->trace,
                  is_secret(line) ? str_make(line.p, str_find_char(line, ':') + 1) : line);
        (void)fputc('\n', o->trace);
    }
    (void)fflush(o->trace);
}

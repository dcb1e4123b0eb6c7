/* Text builder (sbuf.h): numbers, hex, printf and JSON strings (RFC 8259 7). Pure; any thread. */
#include "base/sbuf.h"
#include <stdio.h>

void sbuf_u64(struct sbuf *b, uint64_t v)
{
    char text[20];
    size_t at = sizeof(text);
    do {
        text[--at] = (char)('0' + v % 10);
        v /= 10;
    } while (v);
    sbuf_add(b, text + at, sizeof(text) - at);
}

void sbuf_hex(struct sbuf *b, const void *src, size_t n)
{
    static const char digits[16] = "0123456789abcdef";
    const unsigned char *p = src;
    if (n > (b->cap - b->n) / 2) {
        b->overflow = true;
        return;
    }
    for (size_t i = 0; i < n; i++) {
        b->p[b->n++] = digits[p[i] >> 4];
        b->p[b->n++] = digits[p[i] & 15];
    }
}

void sbuf_fmt(struct sbuf *b, const char *fmt, ...)
{
    va_list ap;
    size_t room = b->cap - b->n;
    va_start(ap, fmt);
    int len = vsnprintf(room ? b->p + b->n : NULL, room, fmt, ap);
    va_end(ap);
    if (len < 0 || (size_t)len >= room)
        b->overflow = true;
    else
        b->n += (size_t)len;
}

static void json_escape(struct sbuf *b, unsigned char c)
{
    static const char digits[16] = "0123456789abcdef";
    switch (c) {
    case '"':
        sbuf_lit(b, "\\\"");
        break;
    case '\\':
        sbuf_lit(b, "\\\\");
        break;
    case '\n':
        sbuf_lit(b, "\\n");
        break;
    case '\r':
        sbuf_lit(b, "\\r");
        break;
    case '\t':
        sbuf_lit(b, "\\t");
        break;
    default: {
        char text[6] = {'\\', 'u', '0', '0', digits[c >> 4], digits[c & 15]};
        sbuf_add(b, text, sizeof(text));
    }
    }
}

static bool json_is_plain(unsigned char c)
{
    return c >= 0x20 && c != '"' && c != '\\' && c != 0x7f;
}

void sbuf_json(struct sbuf *b, struct str s)
{
    sbuf_char(b, '"');
    while (s.n) {
        size_t good = str_utf8_prefix(s), from = 0;
        for (size_t i = 0; i < good; i++) {
            if (json_is_plain((unsigned char)s.p[i]))
                continue;
            sbuf_add(b, s.p + from, i - from);
            json_escape(b, (unsigned char)s.p[i]);
            from = i + 1;
        }
        sbuf_add(b, s.p + from, good - from);
        s.p += good;
        s.n -= good;
        if (s.n) {
            sbuf_lit(b, "\xef\xbf\xbd");
            s.p++;
            s.n--;
        }
    }
    sbuf_char(b, '"');
}

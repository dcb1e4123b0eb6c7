/* The scanner under the parsers of this room: character classes of RFC 3261 25.1, and a cursor with
 * a sticky failure flag. Values may hold folds: CR and LF count as white space here, because the
 * index has checked that they are part of one. */
#ifndef SIP_LEX_H
#define SIP_LEX_H

#include "base/str.h"

enum lex_class {
    LEX_TOKEN = 1u << 0,
    LEX_WS = 1u << 1,
    LEX_DIGIT = 1u << 2,
    LEX_HEX = 1u << 3,
    LEX_ALPHA = 1u << 4,
    LEX_USER = 1u << 5,     /* unreserved, user-unreserved */
    LEX_PASSWORD = 1u << 6, /* of a userinfo */
    LEX_PARAM = 1u << 7,    /* param-unreserved, unreserved */
    LEX_HEADERS = 1u << 8,  /* hnv-unreserved, unreserved, "=" and "&" between them */
    LEX_URIC = 1u << 9,     /* uric, and the brackets of RFC 3986 */
    LEX_SCHEME = 1u << 10,
    LEX_HOST = 1u << 11,
    LEX_PNAME =
        1u << 12, /* name of a parameter as we read it: what cannot be mistaken for a separator */
    LEX_PVALUE =
        1u << 13, /* its unquoted value; wider than gen-value, since tags like "a/b=" are common */
    LEX_QUOTED = 1u << 14, /* inside quotes, but for the quote and the backslash */
};

extern const uint16_t lex_table[256];

static inline bool lex_is(char c, unsigned classes)
{
    return (lex_table[(unsigned char)c] & classes) != 0;
}

/* The first control character other than HTAB in [p, end), else end. */
const char *lex_find_control(const char *p, const char *end);
/* May the bytes stand in a header value that we write? No line end outside a fold, other controls
 * only quoted. */
bool lex_value_is_clean(struct str s);

struct lex {
    const char *p, *end;
    bool bad; /* sticky: nothing is consumed once it is set */
};

static inline struct lex lex_make(struct str s)
{
    const char *p = s.p ? s.p : ""; /* no arithmetic on NULL */
    return (struct lex){p, p + s.n, false};
}
static inline bool lex_at_end(const struct lex *l)
{
    return l->p == l->end;
}
static inline bool lex_peek(const struct lex *l, char c)
{
    return l->p < l->end && *l->p == c;
}
/* The first byte from p on that is of none of the classes, else end. Loops over a pointer of their
 * own: a cursor that is moved in memory would be stored before each byte that is read. */
static inline const char *lex_skip(const char *p, const char *end, unsigned classes)
{
    while (p < end && lex_is(*p, classes))
        p++;
    return p;
}
static inline void lex_ws(struct lex *l)
{
    l->p = lex_skip(l->p, l->end, LEX_WS);
}
/* Takes c if it is next. */
static inline bool lex_take(struct lex *l, char c)
{
    if (l->bad || !lex_peek(l, c))
        return false;
    l->p++;
    return true;
}
/* c must be next. */
static inline void lex_expect(struct lex *l, char c)
{
    if (!lex_take(l, c))
        l->bad = true;
}
/* The longest run of a class, may be empty. */
static inline struct str lex_run(struct lex *l, unsigned classes)
{
    const char *start = l->p;
    if (!l->bad)
        l->p = lex_skip(start, l->end, classes);
    return (struct str){start, (size_t)(l->p - start)};
}
/* A run that must not be empty. */
static inline struct str lex_run1(struct lex *l, unsigned classes)
{
    struct str s = lex_run(l, classes);
    if (s.n == 0)
        l->bad = true;
    return s;
}
/* What is between double quotes (the cursor stands on the first); quoted-pairs stay. */
static inline struct str lex_quoted(struct lex *l)
{
    lex_expect(l, '"');
    const char *start = l->p;
    while (!l->bad) {
        l->p = lex_skip(l->p, l->end, LEX_QUOTED);
        if (l->p == l->end) {
            l->bad = true;
        } else if (*l->p == '"') {
            l->p++;
            return (struct str){start, (size_t)(l->p - 1 - start)};
        } else if (l->end - l->p < 2) {
            l->bad = true; /* a backslash at the end */
        } else {
            l->p += 2;
        }
    }
    return (struct str){start, 0};
}

#endif

/* SIP dates (RFC 3261 20.17, 25.1; RFC 1123) to seconds and back (canon.h), by arithmetic: no time
 * zone, no locale. Pure; any thread. */
#include "identity/canon.h"

static const char days[7][4] = {"Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"};
static const char months[12][4] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                   "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};

#define LAST_SECOND UINT64_C(253402300799) /* of the year 9999 */

struct date {
    unsigned wday, day, month, hour, minute, second; /* wday from Monday, month from 0 */
    uint32_t year;
};

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* The next word: up to white space. */
static struct str word(struct str *rest)
{
    struct str s = *rest;
    size_t start = 0, end;

    while (start < s.n && is_space(s.p[start]))
        start++;
    for (end = start; end < s.n && !is_space(s.p[end]); end++)
        ;
    *rest = str_make(s.p + end, s.n - end);
    return str_make(s.p + start, end - start);
}

static bool name_find(struct str s, const char (*names)[4], unsigned n, unsigned *ret)
{
    for (*ret = 0; *ret < n; (*ret)++) {
        if (str_eq_nocase(s, str_make(names[*ret], 3)))
            return true;
    }
    return false;
}

static bool digits(struct str s, size_t n, uint32_t max, uint32_t *ret)
{
    return s.n == n && str_to_u32(s, max, ret) == 0;
}

static unsigned month_days(uint32_t year, unsigned month)
{
    static const uint8_t n[12] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);

    return n[month] + (month == 1 && leap);
}

/* Days since 1 March of year 0, in which leap days come last. */
static uint64_t days_of(uint32_t year, unsigned month, unsigned day)
{
    uint64_t y = month < 2 ? year - 1 : year;
    unsigned m = (month + 10) % 12; /* from March */

    return 365 * y + y / 4 - y / 100 + y / 400 + (153 * m + 2) / 5 + day - 1;
}

static uint64_t seconds_of(const struct date *d)
{
    return (days_of(d->year, d->month, d->day) - days_of(1970, 0, 1)) * 86400 + d->hour * 3600 +
           d->minute * 60 + d->second;
}

static int date_read(struct str text, struct date *d)
{
    struct str rest = text, wday = word(&rest), day = word(&rest), month = word(&rest),
               year = word(&rest), clock = word(&rest), zone = word(&rest);
    uint32_t v;

    if (wday.n != 4 || wday.p[3] != ',' || !name_find(str_make(wday.p, 3), days, 7, &d->wday) ||
        !digits(day, 2, 31, &v) || v == 0)
        return ERR_SYNTAX;
    d->day = v;
    if (!name_find(month, months, 12, &d->month) || !digits(year, 4, 9999, &d->year) ||
        d->year < 1970 || d->day > month_days(d->year, d->month))
        return ERR_SYNTAX;
    if (clock.n != 8 || clock.p[2] != ':' || clock.p[5] != ':' ||
        !digits(str_make(clock.p, 2), 2, 23, &d->hour) ||
        !digits(str_make(clock.p + 3, 2), 2, 59, &d->minute) ||
        !digits(str_make(clock.p + 6, 2), 2, 60, &d->second))
        return ERR_SYNTAX;
    if (!str_eq_nocase(zone, STR("GMT")) || str_trim(rest).n)
        return ERR_SYNTAX;
    if (seconds_of(d) > LAST_SECOND) /* a leap second there would be in a year of five digits */
        return ERR_SYNTAX;
    return 0;
}

int canon_date_parse(struct str text, uint64_t *ret_s)
{
    struct date d;

    if (date_read(text, &d) != 0)
        return ERR_SYNTAX;
    *ret_s = seconds_of(&d);
    return 0;
}

static void date_write(const struct date *d, char ret[CANON_DATE_MAX])
{
    struct sbuf b = sbuf_make(ret, CANON_DATE_MAX);

    sbuf_fmt(&b, "%s, %02u %s %04u %02u:%02u:%02u GMT", days[d->wday], d->day, months[d->month],
             d->year, d->hour, d->minute, d->second);
    ret[b.n] = '\0';
}

int canon_date_normalise(struct str text, char ret[CANON_DATE_MAX])
{
    struct date d;

    if (date_read(text, &d) != 0)
        return ERR_SYNTAX;
    date_write(&d, ret);
    return 0;
}

void canon_date_build(uint64_t s, char ret[CANON_DATE_MAX])
{
    struct date d = {.wday = 0};
    uint64_t left;

    s = s > LAST_SECOND ? LAST_SECOND : s;
    left = s / 86400;
    d.wday = (unsigned)((left + 3) % 7); /* 1 January 1970 was a Thursday */
    d.year = 1970 + (uint32_t)(left / 366);
    left += days_of(1970, 0, 1);
    while (days_of(d.year + 1, 0, 1) <= left)
        d.year++;
    left -= days_of(d.year, 0, 1);
    while (left >= month_days(d.year, d.month))
        left -= month_days(d.year, d.month++);
    d.day = (unsigned)left + 1;
    d.hour = (unsigned)(s / 3600 % 24);
    d.minute = (unsigned)(s / 60 % 60);
    d.second = (unsigned)(s % 60);
    date_write(&d, ret);
}

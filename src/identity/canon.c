/* Canonical numbers, URIs and media keys: RFC 8224 8.1, 8.3, 8.5; RFC 8225 5.2.2; RFC 3986 2.3,
 * 6.2.2. Pure; any thread. */
#include "identity/canon.h"
#include "base/limits.h"
#include "identity/passport_priv.h"

#define E164_MIN 7u  /* the shortest there are, with country code */
#define E164_MAX 15u /* digits with country code (E.164 6.2.1) */
#define PLAIN_MIN                                                                                  \
    8u /* fewer digits without "+" are an extension or a service, not a global number */

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static int hex_value(char c)
{
    c = str_lower(c);
    return is_digit(c) ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* --- numbers --- */

struct number {
    char digits[LIMIT_IDENTITY_NUMBER];
    size_t n;
    bool plus;
};

/* The next character of a user part with its escape resolved; -1: broken, or at the end. */
static int next_char(struct str s, size_t *at)
{
    int high, low;

    if (*at >= s.n)
        return -1;
    if (s.p[*at] != '%')
        return (unsigned char)s.p[(*at)++];
    if (s.n - *at < 3 || (high = hex_value(s.p[*at + 1])) < 0 ||
        (low = hex_value(s.p[*at + 2])) < 0)
        return -1;
    *at += 3;
    return high << 4 | low;
}

/* RFC 8224 8.3 first step: only digits, "#" and "*" stay. Letters make it no number: dropping them
 * would turn "b0b" into somebody else. Parameters of a telephone-subscriber (RFC 3966 3, RFC 4904)
 * are no part of it. */
static int number_read(struct str text, struct number *ret)
{
    size_t at = 0;

    *ret = (struct number){.n = 0};
    while (at < text.n && text.p[at] != ';') {
        int c = next_char(text, &at);

        if (c == '+' && ret->n == 0 && !ret->plus) {
            ret->plus = true;
            continue;
        }
        if (c == '-' || c == '.' || c == '(' || c == ')' || c == ' ' || c == '/')
            continue;
        if (c < 0 || c > 0x7e || (!is_digit((char)c) && c != '#' && c != '*'))
            return ERR_SYNTAX;
        if (ret->n == sizeof(ret->digits))
            return ERR_LIMIT;
        ret->digits[ret->n++] = (char)c;
    }
    return ret->n ? 0 : ERR_SYNTAX;
}

static bool number_is_digits(const struct number *n)
{
    for (size_t i = 0; i < n->n; i++) {
        if (!is_digit(n->digits[i]))
            return false;
    }
    return true;
}

static bool number_starts(const struct number *n, struct str prefix)
{
    return prefix.n && n->n > prefix.n && memcmp(n->digits, prefix.p, prefix.n) == 0;
}

/* Takes `cut` digits off and puts two prefixes before the rest. False: too long. */
static bool number_replace(struct number *n, size_t cut, struct str first, struct str second)
{
    char out[LIMIT_IDENTITY_NUMBER];
    struct sbuf b = sbuf_make(out, sizeof(out));

    sbuf_str(&b, first);
    sbuf_str(&b, second);
    sbuf_add(&b, n->digits + cut, n->n - cut);
    if (b.overflow)
        return false;
    memcpy(n->digits, out, b.n);
    n->n = b.n;
    return true;
}

static bool number_is_e164(const struct number *n, size_t min)
{
    return n->n >= min && n->n <= E164_MAX && n->digits[0] != '0';
}

/* RFC 8224 8.3 second step, for a number that is dialled as `d` says. The international prefix is
 * looked for first: in most of the world it begins with the national one. False: no rule fits. */
static bool number_complete(struct number *n, const struct canon_dial *d)
{
    if (number_starts(n, d->international_prefix))
        return number_replace(n, d->international_prefix.n, STR_NULL, STR_NULL);
    if (d->country.n == 0)
        return false;
    if (number_starts(n, d->national_prefix))
        return number_replace(n, d->national_prefix.n, d->country, STR_NULL);
    if (d->national_digits && n->n == d->national_digits)
        return number_replace(n, 0, d->country, STR_NULL);
    if (d->subscriber_digits && n->n == d->subscriber_digits)
        return number_replace(n, 0, d->country, d->area);
    return false;
}

/* True: it is a global number now. If it cannot be made one it stays as it was ("this step may be
 * skipped", for service numbers). */
static bool number_globalise(struct number *n, const struct canon_dial *d)
{
    struct number whole = *n;

    if (!number_is_digits(n))
        return false;
    if (n->plus)
        return number_is_e164(n, E164_MIN);
    if (d && number_complete(&whole, d) && number_is_e164(&whole, E164_MIN)) {
        *n = whole;
        return true;
    }
    return number_is_e164(n, PLAIN_MIN);
}

int canon_number(struct arena *a, struct str text, const struct canon_dial *dial, struct str *ret,
                 bool *ret_e164)
{
    struct number n;
    int err = number_read(text, &n);

    *ret = STR_NULL;
    *ret_e164 = false;
    if (err != 0)
        return err;
    *ret_e164 = number_globalise(&n, dial);
    *ret = arena_str(a, str_make(n.digits, n.n));
    return ret->p ? 0 : ERR_NOMEM;
}

/* --- URIs --- */

static bool is_unreserved(int c) /* RFC 3986 2.3 */
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '.' || c == '_' || c == '~';
}

/* RFC 3986 6.2.2: escapes of unreserved characters are resolved, the others' digits are upper case;
 * 8224 8.5: everything else in lower case. */
static int put_normalised(struct sbuf *b, struct str s)
{
    static const char digits[] = "0123456789ABCDEF";

    for (size_t at = 0; at < s.n;) {
        bool escaped = s.p[at] == '%';
        int c = next_char(s, &at);

        if (c < 0 || (!escaped && (c <= ' ' || c == 0x7f || strchr("\"<>\\", c))))
            return ERR_SYNTAX;
        if (!escaped || is_unreserved(c)) {
            sbuf_char(b, str_lower((char)c));
        } else {
            sbuf_char(b, '%');
            sbuf_char(b, digits[c >> 4]);
            sbuf_char(b, digits[c & 15]);
        }
    }
    return 0;
}

static int put_lower(struct sbuf *b, struct str s)
{
    for (size_t i = 0; i < s.n; i++) {
        if ((unsigned char)s.p[i] <= ' ' || s.p[i] == 0x7f || strchr("\"<>\\", s.p[i]))
            return ERR_SYNTAX;
        sbuf_char(b, str_lower(s.p[i]));
    }
    return 0;
}

static int put_uri(struct sbuf *b, const struct canon_uri *u)
{
    int err;

    if (u->whole.p) { /* another scheme: its own rules are not ours to know (3986 6.2.2.1) */
        struct str scheme, rest = str_cut(u->whole, ':', &scheme);

        if (!rest.p || scheme.n == 0)
            return ERR_UNSUPPORTED;
        if ((err = put_lower(b, scheme)) != 0)
            return err;
        sbuf_char(b, ':');
        sbuf_str(b, rest);
        return 0;
    }
    if (u->scheme.n == 0)
        return ERR_UNSUPPORTED;
    if ((err = put_lower(b, u->scheme)) != 0)
        return err;
    sbuf_char(b, ':');
    if (u->user.n) {
        if ((err = put_normalised(b, u->user)) != 0)
            return err;
        if (u->host.n)
            sbuf_char(b, '@');
    }
    if (u->host_is_v6)
        sbuf_char(b, '[');
    if ((err = put_lower(b, u->host)) != 0)
        return err;
    if (u->host_is_v6)
        sbuf_char(b, ']');
    return u->user.n + u->host.n ? 0 : ERR_SYNTAX;
}

int canon_uri_text(struct arena *a, const struct canon_uri *u, struct str *ret)
{
    size_t room = u->scheme.n + u->user.n + u->host.n + u->whole.n + 4;
    struct sbuf b;
    char *p;
    int err;

    *ret = STR_NULL;
    if (room > LIMIT_URI_BYTES)
        return ERR_LIMIT;
    p = arena_alloc(a, room);
    if (!p)
        return ERR_NOMEM;
    b = sbuf_make(p, room);
    if ((err = put_uri(&b, u)) != 0)
        return err;
    if (!passport_id_is_valid((struct passport_id){false, sbuf_get(&b)}))
        return ERR_SYNTAX;
    *ret = sbuf_get(&b);
    return 0;
}

/* RFC 8224 8.1: is the user part to be read as a number? */
static bool may_be_number(const struct canon_uri *u, const struct canon_dial *dial)
{
    if (u->whole.p || u->user.n == 0)
        return false;
    if (u->user_is_phone || str_eq_nocase(u->scheme, STR("tel")) || u->user.p[0] == '+')
        return true;
    if (!dial || !dial->bare_digits)
        return false;
    for (size_t i = 0; i < u->user.n; i++) {
        if (!is_digit(u->user.p[i]))
            return false;
    }
    return true;
}

/* RFC 3966 5.1.5: digits of a domain's own plan, which are no number of E.164 even where they look
 * like one. */
static bool is_of_private_plan(struct str user)
{
    struct str rest, name, value;
    size_t at = 0;

    if (next_char(user, &at) == '+')
        return false;
    rest = str_cut(user, ';', &name);
    while (rest.n) {
        rest = str_cut(rest, ';', &value);
        value = str_cut(value, '=', &name);
        if (str_eq_nocase(name, STR("phone-context")))
            return value.n > 0 && value.p[0] != '+';
    }
    return false;
}

int canon_identity(struct arena *a, const struct canon_uri *u, const struct canon_dial *dial,
                   bool is_origin, struct passport_id *ret)
{
    *ret = (struct passport_id){false, STR_NULL};
    if (may_be_number(u, dial) && !(is_origin && is_of_private_plan(u->user))) {
        bool e164, is_tel = str_eq_nocase(u->scheme, STR("tel"));
        int err = canon_number(a, u->user, dial, &ret->text, &e164);

        if (err == ERR_NOMEM)
            return err;
        if (err == 0 && (e164 || !is_origin || is_tel)) {
            ret->is_tn = true;
            return 0;
        }
    }
    return canon_uri_text(a, u, &ret->text);
}

/* --- media keys --- */

static int bad_fingerprint(struct reason *why, struct str value)
{
    reason_set(why, "sdp-fingerprint", "RFC 8122 5", 400, "a=fingerprint:%.*s",
               (int)(value.n > 80 ? 80 : value.n), value.p);
    return ERR_SYNTAX;
}

/* "sha-256 4A:AD:..." (RFC 8122 5). */
static int key_read(struct arena *a, struct str value, struct passport_key *ret, struct reason *why)
{
    struct str alg, hex = str_cut(str_trim(value), ' ', &alg);
    char *p = arena_alloc(a, value.n + 1);
    size_t n = 0, start;

    if (!p) {
        reason_set(why, "no-memory", NULL, 500, NULL);
        return ERR_NOMEM;
    }
    for (size_t i = 0; i < alg.n; i++) {
        char c = str_lower(alg.p[i]);

        if (!is_digit(c) && (c < 'a' || c > 'z') && c != '-')
            return bad_fingerprint(why, value);
        p[n++] = c;
    }
    ret->alg = str_make(p, n);
    start = n;
    hex = str_trim(hex);
    for (size_t i = 0; i < hex.n; i += 3) {
        if (hex.n - i < 2 || hex_value(hex.p[i]) < 0 || hex_value(hex.p[i + 1]) < 0 ||
            (hex.n - i > 2 && hex.p[i + 2] != ':') || hex.n - i == 3)
            return bad_fingerprint(why, value);
        for (size_t k = 0; k < 2; k++)
            p[n++] = (char)"0123456789ABCDEF"[hex_value(hex.p[i + k])];
    }
    ret->dig = str_make(p + start, n - start);
    return ret->alg.n && ret->dig.n ? 0 : bad_fingerprint(why, value);
}

int canon_keys(struct arena *a, const struct str *values, size_t n, struct passport_key **ret,
               size_t *ret_n, struct reason *why)
{
    struct passport_key *v;
    int err;

    *ret = NULL;
    *ret_n = 0;
    if (n > LIMIT_IDENTITY_KEYS) {
        reason_set(why, "sdp-fingerprints", NULL, 400, "more than %u fingerprints",
                   LIMIT_IDENTITY_KEYS);
        return ERR_LIMIT;
    }
    if (n == 0)
        return 0;
    v = arena_alloc(a, n * sizeof(*v));
    if (!v) {
        reason_set(why, "no-memory", NULL, 500, NULL);
        return ERR_NOMEM;
    }
    for (size_t i = 0; i < n; i++) {
        if ((err = key_read(a, values[i], &v[i], why)) != 0)
            return err;
    }
    *ret = v;
    *ret_n = passport_keys_sort(v, n);
    return 0;
}

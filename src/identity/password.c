/* Which passwords may be set. Whoever sees one digest answer can try passwords against it at
 * leisure (RFC 7616 5.1, 5.7), so what can be guessed is refused: the measure is what is left when
 * everything predictable is taken away. Pure. */
#include "identity/identity_priv.h"

#define PASSWORD_CHARS_MIN 12
#define PASSWORD_CHARS_PHRASE 20 /* so many may be of fewer kinds */
#define PASSWORD_BYTES_MAX 128
#define PASSWORD_LEFT_MIN 8 /* not predictable */
#define PASSWORD_DIFFERENT_MIN 6
#define RUN_MIN 3 /* "abc", "321", "zzz", "qwe" */

/* Compared in lower case and with the usual digits and signs read as letters. Whole passwords of
 * the usual lists are shorter than the minimum; these are the parts that longer ones are made of.
 */
static const char *const common[] = {
    "password",      "passwort",   "passwd",   "passw",    "kennwort",  "secret",   "geheim",
    "welcome",       "willkommen", "letmein",  "iloveyou", "monkey",    "dragon",   "sunshine",
    "princess",      "football",   "baseball", "master",   "shadow",    "superman", "batman",
    "michael",       "jennifer",   "trustno",  "whatever", "freedom",   "login",    "admin",
    "administrator", "root",       "guest",    "default",  "changeme",  "change",   "access",
    "hello",         "hallo",      "test",     "temp",     "user",      "phone",    "telefon",
    "voip",          "asterisk",   "kamailio", "sip",      "sallyport", "company",  "firma",
    "summer",        "sommer",     "winter",   "spring",   "autumn",    "herbst",   "monday",
    "montag",        "january",    "februar",  "march",    "april",     "august",   "september",
    "oktober",       "october",    "november", "december", "dezember",  "hunter",   "ninja",
    "mustang",       "harley",     "ranger",   "thomas",   "charlie",   "andrew",   "daniel",
    "jordan",        "killer",     "soccer",   "hockey",   "cheese",    "pepper",   "ginger",
    "cookie",        "banana",     "computer", "internet", "server",    "abc",      "qwerty",
    "qwertz",        "azerty",
};

/* Keys that lie side by side, as they are typed. */
static const char *const rows[] = {"qwertyuiop", "qwertzuiop", "asdfghjkl",    "zxcvbnm",
                                   "yxcvbnm",    "azertyuiop", "1qaz2wsx3edc", "1234567890",
                                   "!@#$%^&*()", "!\"$%&/()="};

struct text {
    size_t n;
    char lower[PASSWORD_BYTES_MAX];
    char letters[PASSWORD_BYTES_MAX]; /* and digits read as letters */
    bool is_guessable[PASSWORD_BYTES_MAX];
};

static char as_letter(char c)
{
    static const char from[] = "01345789@$!|+", to[] = "oleastbgasilt";
    const char *at = c ? strchr(from, c) : NULL;

    return at ? to[at - from] : c;
}

static void mark_word(struct text *t, const char *in, struct str word)
{
    if (word.n < RUN_MIN || word.n > t->n)
        return;
    for (size_t i = 0; i + word.n <= t->n; i++) {
        size_t k = 0;

        while (k < word.n && in[i + k] == str_lower(word.p[k]))
            k++;
        if (k == word.n)
            memset(t->is_guessable + i, true, k);
    }
}

static bool is_beside(const char *row, char a, char b)
{
    const char *p = a ? strchr(row, a) : NULL, *q = b ? strchr(row, b) : NULL;

    return p && q && (q == p + 1 || p == q + 1);
}

/* Does b carry on from a: the same, the next or the one before in the alphabet, or beside it on the
 * keyboard? */
static bool is_run(char a, char b)
{
    if (b == a || b == a + 1 || b == a - 1)
        return true;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        if (is_beside(rows[i], a, b))
            return true;
    }
    return false;
}

static void mark_runs(struct text *t)
{
    size_t start = 0;

    for (size_t i = 1; i <= t->n; i++) {
        if (i < t->n && is_run(t->lower[i - 1], t->lower[i]))
            continue;
        if (i - start >= RUN_MIN)
            memset(t->is_guessable + start, true, i - start);
        start = i;
    }
}

/* Years are what people add when asked for digits. */
static void mark_years(struct text *t)
{
    for (size_t i = 0; i + 4 <= t->n; i++) {
        const char *p = t->lower + i;

        if (((p[0] == '1' && p[1] == '9') || (p[0] == '2' && p[1] == '0')) && p[2] >= '0' &&
            p[2] <= '9' && p[3] >= '0' && p[3] <= '9')
            memset(t->is_guessable + i, true, 4);
    }
}

/* The words of a name: "alice.smith", "pbx.example.com" fall into parts at what is no letter and no
 * digit. */
static void mark_name(struct text *t, struct str name)
{
    size_t start = 0;

    mark_word(t, t->lower, name);
    mark_word(t, t->letters, name);
    for (size_t i = 0; i <= name.n; i++) {
        char c = i < name.n ? str_lower(name.p[i]) : '.';

        if ((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || (unsigned char)c >= 0x80)
            continue;
        mark_word(t, t->lower, str_make(name.p + start, i - start));
        mark_word(t, t->letters, str_make(name.p + start, i - start));
        start = i + 1;
    }
}

static unsigned kinds(struct str s)
{
    bool lower = false, upper = false, digit = false, other = false;

    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];

        lower |= c >= 'a' && c <= 'z';
        upper |= c >= 'A' && c <= 'Z';
        digit |= c >= '0' && c <= '9';
        other |= !((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9'));
    }
    return (unsigned)lower + upper + digit + other;
}

/* Characters, not bytes: the continuation bytes of UTF-8 do not count. */
static size_t chars(struct str s)
{
    size_t n = 0;

    for (size_t i = 0; i < s.n; i++)
        n += ((unsigned char)s.p[i] & 0xc0) != 0x80;
    return n;
}

static size_t chars_left(const struct text *t, size_t *ret_different)
{
    bool seen[256] = {false};
    size_t n = 0;

    *ret_different = 0;
    for (size_t i = 0; i < t->n; i++) {
        unsigned char c = (unsigned char)t->lower[i];

        if (!seen[c])
            ++*ret_different;
        seen[c] = true;
        n += !t->is_guessable[i] && (c & 0xc0) != 0x80;
    }
    return n;
}

static int weak(struct reason *why, const char *what)
{
    reason_set(why, "password-weak", "RFC 7616 5.7", 0, "%s", what);
    return ERR_REFUSED;
}

int digest_password_check(struct str user, struct str domain, struct str password,
                          struct reason *why)
{
    struct text t = {.n = password.n};
    size_t n, different;

    if (password.n > PASSWORD_BYTES_MAX)
        return weak(why, "longer than 128 bytes");
    if (!str_is_utf8(password))
        return weak(why, "not UTF-8");
    for (size_t i = 0; i < password.n; i++) {
        if ((unsigned char)password.p[i] < 0x20 || password.p[i] == 0x7f)
            return weak(why, "has a control character");
        t.lower[i] = str_lower(password.p[i]);
        t.letters[i] = as_letter(t.lower[i]);
    }
    n = chars(password);
    if (n < PASSWORD_CHARS_MIN)
        return weak(why, "shorter than 12 characters");
    if (n < PASSWORD_CHARS_PHRASE && kinds(password) < 3)
        return weak(why, "mix three of small letters, capitals, digits and signs, or take 20 "
                         "characters or more");
    mark_runs(&t);
    mark_years(&t);
    mark_name(&t, user);
    mark_name(&t, domain);
    for (size_t i = 0; i < ARRAY_LEN(common); i++) {
        mark_word(&t, t.lower, str_z(common[i]));
        mark_word(&t, t.letters, str_z(common[i]));
    }
    if (chars_left(&t, &different) < PASSWORD_LEFT_MIN)
        return weak(
            why, "too much of it can be guessed: names, common words, years, runs like abc or 123");
    if (different < PASSWORD_DIFFERENT_MIN)
        return weak(why, "fewer than 6 different characters");
    return 0;
}

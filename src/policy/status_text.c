/* A status in one line, and in the headers of phones (status_text.h). RFC 3261 25.1 for the forms.
 * Pure. */
#include "policy/status_text.h"
#include "policy/policy_priv.h"

/* --- What came from a network --- */

static uint32_t code_point(struct str s, size_t *ret_n)
{
    const unsigned char *p = (const unsigned char *)s.p;

    if (p[0] < 0x80) {
        *ret_n = 1;
        return p[0];
    }
    if (p[0] < 0xe0) {
        *ret_n = 2;
        return (p[0] & 0x1fu) << 6 | (p[1] & 0x3fu);
    }
    if (p[0] < 0xf0) {
        *ret_n = 3;
        return (p[0] & 0x0fu) << 12 | (p[1] & 0x3fu) << 6 | (p[2] & 0x3fu);
    }
    *ret_n = 4;
    return (p[0] & 0x07u) << 18 | (p[1] & 0x3fu) << 12 | (p[2] & 0x3fu) << 6 | (p[3] & 0x3fu);
}

/* Controls, what turns the direction of writing, what cannot be seen (Unicode TR 36, 2.5). */
static bool is_unfit(uint32_t c)
{
    static const uint32_t ranges[][2] = {
        {0x0000, 0x001f}, {0x007f, 0x009f}, {0x00ad, 0x00ad},   {0x034f, 0x034f}, {0x061c, 0x061c},
        {0x115f, 0x1160}, {0x17b4, 0x17b5}, {0x180b, 0x180f},   {0x200b, 0x200f}, {0x2028, 0x202e},
        {0x2060, 0x206f}, {0x3164, 0x3164}, {0xfe00, 0xfe0f},   {0xfeff, 0xfeff}, {0xffa0, 0xffa0},
        {0xfff0, 0xfffb}, {0xe000, 0xf8ff}, {0xe0000, 0xe0fff},
    };

    for (size_t i = 0; i < ARRAY_LEN(ranges); i++) {
        if (c >= ranges[i][0] && c <= ranges[i][1])
            return true;
    }
    return c > 0xeffff; /* planes for private use */
}

size_t policy_fit_next(struct str s, struct str *ret)
{
    size_t n = 1;

    *ret = STR("?");
    if (str_utf8_prefix(str_make(s.p, s.n < 4 ? s.n : 4)) == 0)
        return 1;
    if (!is_unfit(code_point(s, &n)))
        *ret = str_make(s.p, n);
    return n;
}

void policy_text_person(struct sbuf *b, struct str text)
{
    size_t at = 0, n;
    struct str c;

    while (at < text.n) {
        n = policy_fit_next(str_make(text.p + at, text.n - at), &c);
        if (at + n > POLICY_PERSON_MAX) {
            sbuf_lit(b, "...");
            return;
        }
        sbuf_str(b, c);
        at += n;
    }
}

void policy_text_party(struct sbuf *b, unsigned party)
{
    if (party == POLICY_CALLER)
        sbuf_lit(b, "caller");
    else if (party == POLICY_CALLEE)
        sbuf_lit(b, "callee");
    else
        sbuf_fmt(b, "party %u", party);
}

/* --- One line --- */

void policy_text_who(struct sbuf *b, const struct policy_facts *f, unsigned party)
{
    const struct policy_identity *id = &f->parties[party].identity;

    if (str_is_empty(id->address)) {
        sbuf_lit(b, "the ");
        policy_text_party(b, party);
    } else {
        policy_text_person(b, id->address);
    }
    if (!str_is_empty(id->via)) {
        sbuf_lit(b, " via ");
        policy_text_person(b, id->via);
    }
}

static void add_by(struct sbuf *b, const char *words, struct str by, const char *nobody)
{
    sbuf_str(b, str_z(words));
    if (str_is_empty(by))
        sbuf_str(b, str_z(nobody));
    else
        policy_text_person(b, by);
}

/* How a party is known, to follow its address. */
static void add_known(struct sbuf *b, const struct policy_identity *id)
{
    switch (id->known) {
    case POLICY_ID_VERIFIED:
        if (id->verdict != IDENTITY_VALID && id->smime != POLICY_SMIME_NAMES)
            sbuf_lit(b, ", with a signature that does not hold");
        else if (id->by_user)
            sbuf_lit(b, ", signed by the user");
        else
            add_by(b, ", signed by ", id->by, "its domain");
        break;
    case POLICY_ID_AUTHENTICATED:
        sbuf_lit(b, ", authenticated by us");
        break;
    case POLICY_ID_SITE:
        add_by(b, ", of the site ", id->by, "that called");
        break;
    case POLICY_ID_ASSERTED:
        if (str_is_empty(id->asserted) || str_eq(id->asserted, id->address)) {
            add_by(b, ", as asserted by ", id->by, "a trusted system");
            break;
        }
        add_by(b, ", asserted by ", id->by, "a trusted system");
        sbuf_lit(b, " to be ");
        policy_text_person(b, id->asserted);
        break;
    case POLICY_ID_CLAIMED:
        sbuf_lit(b, ", as it says itself");
        break;
    case POLICY_ID_NONE:
        sbuf_lit(b, ", who is not known");
        break;
    }
    if (!str_is_empty(id->diverted_by)) {
        sbuf_lit(b, ", diverted by ");
        policy_text_person(b, id->diverted_by);
    }
}

static void add_first_reason(struct sbuf *b, const struct policy_status *s,
                             enum policy_level keeps_from)
{
    unsigned n = 0;

    for (unsigned i = 0; i < s->n_reasons; i++) {
        const struct policy_why_info *w = policy_why_info((enum policy_why)s->reasons[i].why);

        if (w->keeps_from != keeps_from)
            continue;
        if (n++ == 0)
            sbuf_str(b, str_z(w->text));
    }
    if (n > 1)
        sbuf_fmt(b, " (%u more.)", n - 1);
}

static const char *level_inside(enum policy_level level) /* in a sentence */
{
    return level == POLICY_END_TO_END ? "end to end" : policy_level_code(level);
}

void policy_text_line(struct sbuf *b, const struct policy_facts *f, const struct policy_status *s)
{
    unsigned other = s->towards == POLICY_CALLER ? POLICY_CALLEE : POLICY_CALLER;

    sbuf_str(b, str_z(policy_level_text(s->level)));
    sbuf_lit(b, ": ");
    if (other < f->n_parties) {
        policy_text_who(b, f, other);
        add_known(b, &f->parties[other].identity);
        sbuf_lit(b, ".");
    } else {
        sbuf_lit(b, "nobody at the other end.");
    }
    if (s->level == POLICY_ATTACKED) {
        sbuf_lit(b, " ");
        add_first_reason(b, s, POLICY_OPEN);
    } else if (s->level < POLICY_END_TO_END) {
        sbuf_fmt(b, " Not %s: ", level_inside((enum policy_level)(s->level + 1)));
        add_first_reason(b, s, (enum policy_level)(s->level + 1));
    }
    if (s->expected != s->level)
        sbuf_fmt(b, " Once keys are agreed as offered: %s.", level_inside(s->expected));
    else if (s->level >= POLICY_SECURE && !s->is_proven)
        sbuf_lit(b, " Agreed, not yet proven.");
}

/* --- Headers --- */

void policy_text_header(struct sbuf *b, const struct policy_status *s)
{
    unsigned n = 0;

    sbuf_str(b, str_z(policy_level_code(s->level)));
    if (s->expected != s->level) {
        sbuf_lit(b, ";expected=");
        sbuf_str(b, str_z(policy_level_code(s->expected)));
    }
    sbuf_str(b, s->is_proven ? STR(";proven=yes") : STR(";proven=no"));
    for (unsigned i = 0; i < s->n_reasons; i++) {
        const struct policy_why_info *w = policy_why_info((enum policy_why)s->reasons[i].why);

        if (w->keeps_from == POLICY_LEVELS)
            continue;
        sbuf_str(b, n++ == 0 ? STR(";reasons=\"") : STR(","));
        sbuf_str(b, str_z(w->code));
    }
    if (n > 0)
        sbuf_lit(b, "\"");
}

void policy_text_call_info(struct sbuf *b, const struct policy_status *s)
{
    struct str value = STR("NotAuthenticated");

    if (s->level > POLICY_OPEN && policy_status_has(s, POLICY_MEDIA_NOT_AGREED))
        value = STR("Unknown");
    else if (s->level >= POLICY_SECURE)
        value = STR("Encrypted");
    else if (s->level == POLICY_PROTECTED)
        value = STR("Authenticated");
    sbuf_lit(b, "<urn:x-cisco-remotecc:callinfo>; security= ");
    sbuf_str(b, value);
}

/* --- Display names --- */

struct name {
    char text[POLICY_PERSON_MAX];
    size_t n;
    bool has_brackets, has_level;
};

/* Of a bracket, or what a person may take for a square one (Unicode TR 36, 2.2): the parenthesis
 * that stands for it. 0: it is none. */
static char parenthesis(uint32_t c)
{
    static const struct {
        uint32_t from, to;
        char is; /* 0: opening and closing in turn */
    } ranges[] = {
        {'[', '[', '('},       {']', ']', ')'},       {0x2045, 0x2046, 0},   {0x2308, 0x230b, 0},
        {0x23a1, 0x23a3, '('}, {0x23a4, 0x23a6, ')'}, {0x2772, 0x2773, 0},   {0x27e6, 0x27e7, 0},
        {0x27ec, 0x27ed, 0},   {0x298b, 0x2990, 0},   {0x2997, 0x2998, 0},   {0x2e22, 0x2e25, 0},
        {0x2e55, 0x2e5c, 0},   {0x300c, 0x300f, 0},   {0x3010, 0x3011, 0},   {0x3014, 0x301b, 0},
        {0xfe17, 0xfe18, 0},   {0xfe39, 0xfe3c, 0},   {0xfe41, 0xfe44, 0},   {0xfe47, 0xfe48, 0},
        {0xfe5d, 0xfe5e, 0},   {0xff3b, 0xff3b, '('}, {0xff3d, 0xff3d, ')'}, {0xff62, 0xff63, 0},
    };

    for (size_t i = 0; i < ARRAY_LEN(ranges); i++)
        if (c >= ranges[i].from && c <= ranges[i].to)
            return ranges[i].is ? ranges[i].is : (c - ranges[i].from) % 2 ? ')' : '(';
    return 0;
}

static bool is_space(uint32_t c)
{
    return c == '\t' || c == ' ' || c == 0xa0 || c == 0x1680 || (c >= 0x2000 && c <= 0x200a) ||
           c == 0x202f || c == 0x205f || c == 0x2800 || c == 0x3000;
}

/* What stands in brackets in front is a level of ours, if one takes away what cannot be seen. */
static bool is_level(struct str inside)
{
    char text[16];
    size_t n = 0;

    for (size_t i = 0; i < inside.n; i++) {
        if (inside.p[i] == ' ' || inside.p[i] == '?')
            continue;
        if (n == sizeof(text))
            return false;
        text[n++] = inside.p[i];
    }
    for (unsigned i = 0; i < POLICY_LEVELS; i++)
        if (str_eq_nocase(str_make(text, n), str_z(policy_level_code((enum policy_level)i))))
            return true;
    return false;
}

static struct str without_levels(struct name *name)
{
    struct str s = str_trim(str_make(name->text, name->n)), inside, rest;
    size_t at;

    for (;;) {
        at = 0;
        while (at < s.n && (s.p[at] == '?' || s.p[at] == ' '))
            at++;
        if (at == s.n || s.p[at] != '(')
            return s;
        rest = str_cut(str_make(s.p + at + 1, s.n - at - 1), ')', &inside);
        if (!rest.p || !is_level(inside))
            return s;
        name->has_level = true;
        s = str_trim(rest); /* each round makes it shorter */
    }
}

static struct str name_read(struct name *ret, struct str raw)
{
    size_t n;
    struct str c;
    uint32_t code;
    char paren;

    for (size_t at = 0; at < raw.n; at += n) {
        if (raw.p[at] == '\\' && at + 1 < raw.n)
            at++;
        n = policy_fit_next(str_make(raw.p + at, raw.n - at), &c);
        if (raw.p[at] == '\t')
            c = STR(" ");
        code = code_point(c, &(size_t){0});
        paren = parenthesis(code);
        if (paren)
            c = paren == '(' ? STR("(") : STR(")");
        else if (is_space(code))
            c = STR(" ");
        ret->has_brackets |= paren != 0;
        if (ret->n + c.n > sizeof(ret->text))
            break;
        memcpy(ret->text + ret->n, c.p, c.n);
        ret->n += c.n;
    }
    return without_levels(ret);
}

/* Of a quoted-string: two characters are escaped. */
static void add_quoted(struct sbuf *b, struct str text)
{
    for (size_t i = 0; i < text.n; i++) {
        if (text.p[i] == '"' || text.p[i] == '\\')
            sbuf_char(b, '\\');
        sbuf_char(b, text.p[i]);
    }
}

void policy_text_display(struct sbuf *b, enum policy_level level, struct str name)
{
    struct name read = {.n = 0};
    struct str plain = name_read(&read, name);

    sbuf_lit(b, "\"[");
    sbuf_str(b, str_z(policy_level_code(level)));
    sbuf_lit(b, "]");
    if (plain.n)
        sbuf_lit(b, " ");
    add_quoted(b, plain);
    sbuf_lit(b, "\"");
}

bool policy_text_display_plain(struct sbuf *b, struct str name, bool *ret_has_level)
{
    struct name read = {.n = 0};
    struct str plain = name_read(&read, name);

    sbuf_lit(b, "\"");
    add_quoted(b, plain);
    sbuf_lit(b, "\"");
    *ret_has_level = read.has_level;
    return read.has_level || read.has_brackets;
}

/* The status of a call, as the edge has told it, in words (status.h). Pure. */
#include "phone/status.h"
#include "base/err.h"

static bool is_codes(struct str s)
{
    for (size_t i = 0; i < s.n; i++)
        if (!((s.p[i] >= 'a' && s.p[i] <= 'z') || s.p[i] == '-' || s.p[i] == ','))
            return false;
    return true;
}

static int parse_param(struct str param, struct phone_status *ret)
{
    struct str name, value = str_cut(param, '=', &name);

    if (str_eq(name, STR("expected")))
        return policy_level_parse(value, &ret->expected);
    if (str_eq(name, STR("proven")))
        ret->is_proven = str_eq(value, STR("yes"));
    if (!str_eq(name, STR("reasons")))
        return 0; /* later versions may say more */
    if (value.n < 2 || value.p[0] != '"' || value.p[value.n - 1] != '"')
        return ERR_SYNTAX;
    ret->reasons = str_make(value.p + 1, value.n - 2);
    return is_codes(ret->reasons) ? 0 : ERR_SYNTAX;
}

int phone_status_parse(struct str value, struct phone_status *ret)
{
    struct str level, param, rest = str_cut(value, ';', &level);

    *ret = (struct phone_status){0};
    if (policy_level_parse(level, &ret->level) != 0)
        return ERR_SYNTAX;
    ret->expected = ret->level;
    while (rest.n) {
        rest = str_cut(rest, ';', &param);
        if (parse_param(param, ret) != 0)
            return ERR_SYNTAX;
    }
    return 0;
}

static const char *text_of(struct str code)
{
    for (unsigned w = 0; w < POLICY_WHYS; w++)
        if (str_eq(str_z(policy_why_info((enum policy_why)w)->code), code))
            return policy_why_info((enum policy_why)w)->text;
    return NULL;
}

void phone_status_words(struct sbuf *b, const struct phone_status *s)
{
    struct str rest = s->reasons, code;
    const char *text;

    sbuf_str(b, str_z(policy_level_text(s->level)));
    if (s->expected != s->level)
        sbuf_fmt(b, " (expected: %s)", policy_level_text(s->expected));
    if (!s->is_proven && s->level > POLICY_OPEN)
        sbuf_lit(b, ", as agreed, not proven");
    sbuf_char(b, '.');
    while (rest.n) {
        rest = str_cut(rest, ',', &code);
        text = text_of(code);
        sbuf_char(b, ' ');
        sbuf_str(b, text ? str_z(text) : code);
    }
}

/* What the configuration makes of a status (rules.h). Pure. */
#include "policy/rules.h"
#include "base/err.h"

struct policy_rule policy_rule_stricter(struct policy_rule a, struct policy_rule b)
{
    return (struct policy_rule){a.require > b.require ? a.require : b.require,
                                a.on_attack < b.on_attack ? a.on_attack : b.on_attack};
}

/* The gravest reason that keeps the call from `level`; NULL: none does. */
static const struct policy_reason *first_below(const struct policy_status *s,
                                               enum policy_level level, bool skip_not_agreed)
{
    for (unsigned i = 0; i < s->n_reasons; i++) {
        enum policy_why why = (enum policy_why)s->reasons[i].why;

        if (skip_not_agreed && why == POLICY_MEDIA_NOT_AGREED)
            continue;
        if (policy_why_info(why)->keeps_from <= level)
            return &s->reasons[i];
    }
    return NULL;
}

/* RFC 8224 6.2.2 for identities; RFC 3261 21.4.26 for media; else 403. */
static unsigned sip_status(enum policy_why why)
{
    if (why == POLICY_IDENTITY_CONTRADICTED)
        return 438;
    return (why >= POLICY_MEDIA_CLEAR && why <= POLICY_MEDIA_CONTROL_UNENCRYPTED) ||
                   (why >= POLICY_MEDIA_BID_DOWN && why <= POLICY_MEDIA_CLEAR_BELOW) ||
                   (why >= POLICY_MEDIA_REENCRYPTED && why <= POLICY_MEDIA_SHARED_SECRET) ||
                   why == POLICY_MEDIA_FINGERPRINT_WRONG || why == POLICY_MEDIA_SAS_DIFFERS
               ? 488
               : 403;
}

static int refuse(const struct policy_reason *r, const char *what, enum policy_level level,
                  struct reason *why)
{
    const struct policy_why_info *info;

    if (r == NULL) { /* the least that was asked for is not there, and no single reason says why */
        reason_set(why, "status-too-low", "TR/100 10", 403, "%s", what);
        return ERR_REFUSED;
    }
    info = policy_why_info((enum policy_why)r->why);
    reason_set(why, info->code, info->clause, sip_status((enum policy_why)r->why), "%s %s", what,
               policy_level_code(level));
    return ERR_REFUSED;
}

int policy_rule_check(const struct policy_rule *rule, const struct policy_facts *f,
                      const struct policy_status *s, bool *ret_alarm, struct reason *why)
{
    bool is_early = policy_status_has(s, POLICY_MEDIA_NOT_AGREED);

    *ret_alarm = s->level == POLICY_ATTACKED;
    if (f->is_emergency)
        return 0;
    if (s->level == POLICY_ATTACKED && rule->on_attack == POLICY_ATTACK_REJECT)
        return refuse(first_below(s, POLICY_OPEN, false), "the call is", s->level, why);
    if (rule->require <= POLICY_OPEN || (is_early ? s->expected : s->level) >= rule->require)
        return 0;
    return refuse(first_below(s, rule->require, is_early), "the call is not", rule->require, why);
}

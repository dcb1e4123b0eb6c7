/* What the configuration makes of a status: the least that a peer, domain or user requires
 * (`require-status`), and what happens to a call that is attacked. TR/100 6.3, 10. Pure. */
#ifndef POLICY_RULES_H
#define POLICY_RULES_H

#include "policy/status.h"

enum policy_on_attack { POLICY_ATTACK_REJECT, POLICY_ATTACK_ALARM };

/* All zero is the strict rule for attacks and requires nothing else. */
struct policy_rule {
    enum policy_level require; /* POLICY_ATTACKED, POLICY_OPEN: nothing */
    enum policy_on_attack on_attack;
};
/* Of two rules that apply (peer and domain) the stricter in each respect. */
struct policy_rule policy_rule_stricter(struct policy_rule a, struct policy_rule b);

/* 0, or ERR_REFUSED with the reason: code and clause of the first thing in the way, and the SIP
 * status for a request that is not answered yet (438 for an identity, 488 for media, 403). Until
 * keys are agreed `expected` counts. *ret_alarm: an attack was seen, whether it is refused or not.
 * Emergency calls are never refused (RFC 6881). */
MUST_USE int policy_rule_check(const struct policy_rule *rule, const struct policy_facts *f,
                               const struct policy_status *s, bool *ret_alarm, struct reason *why);

#endif

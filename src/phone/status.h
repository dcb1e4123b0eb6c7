/* What the phone's own edge says of the security of a call: the value of X-Sallyport-Status
 * (docs/security-status.md). TR/100 10. Pure. */
#ifndef PHONE_STATUS_H
#define PHONE_STATUS_H

#include "base/sbuf.h"
#include "policy/status.h"

struct phone_status {
    enum policy_level level, expected;
    bool is_proven;
    struct str reasons; /* codes with commas between; of the value's bytes */
};
/* ERR_SYNTAX: none of that form, which says nothing. */
MUST_USE int phone_status_parse(struct str value, struct phone_status *ret);
/* One sentence, then why it is no better. Codes that we do not know are shown as they are. */
void phone_status_words(struct sbuf *b, const struct phone_status *s);

#endif

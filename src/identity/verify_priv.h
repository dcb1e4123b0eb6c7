/* What the files of the verification service share. */
#ifndef IDENTITY_VERIFY_PRIV_H
#define IDENTITY_VERIFY_PRIV_H

#include "base/limits.h"
#include "identity/verify.h"

struct identity_check {
    struct arena *arena;
    const struct identity_message *m;
    const struct identity_policy *policy;
    struct identity_token *tokens; /* move where more are added */
    size_t n_tokens, max_tokens;
    bool has_too_many;
    struct str urls[LIMIT_IDENTITY_TOKENS];
    const struct identity_credential *creds[LIMIT_IDENTITY_TOKENS];
    size_t n_urls;
};

/* A worse verdict replaces a better one; the first of equals stays. */
void token_fail(struct identity_token *t, enum identity_verdict v, const struct reason *why);
static inline bool token_diverts(const struct identity_token *t)
{
    return t->p.type == PASSPORT_DIV || t->p.type == PASSPORT_DIV_O;
}
/* Too long ago or too far ahead? `max_age_s` is the window to the past. */
bool token_is_stale(const struct identity_check *c, const struct identity_token *t,
                    uint32_t max_age_s);

/* --- verify_chain.c --- */

/* RFC 8946 4.2: from the token at `base`, whose signature holds, along signed diversions to where
 * the message goes. Marks the steps; *ret_n is their number. */
enum identity_reached chain_follow(struct identity_check *c, size_t base, size_t *ret_n);

#endif

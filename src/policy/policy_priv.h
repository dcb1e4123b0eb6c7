/* What the files of policy that write text share. */
#ifndef POLICY_POLICY_PRIV_H
#define POLICY_POLICY_PRIV_H

#include "policy/status_text.h"

/* The first character of a text that is not empty, or "?" in its place; returns its bytes. */
size_t policy_fit_next(struct str s, struct str *ret);
/* A party's address, and the domain that rewrote it; "the caller" if it has none. */
void policy_text_who(struct sbuf *b, const struct policy_facts *f, unsigned party);

#endif

/* Between gate.c and login.c. */
#ifndef EDGE_ADMIT_GATE_PRIV_H
#define EDGE_ADMIT_GATE_PRIV_H

#include "edge/edge_priv.h"

/* Answers with a reason; always ERR_REFUSED. */
int gate_refuse(struct edge_req *r, const char *code, const char *clause, unsigned status, const char *detail);
/* Whom the request says to be from, From or To of a REGISTER to us, as it says it; NULL: that is no URI. */
const struct sip_uri *gate_claimed(struct edge_req *r);
/* Its address of record under the domain's own name. Empty: nobody (RFC 3323), or no user of ours can be meant. ERR_NOMEM, ERR_SYNTAX. */
MUST_USE int gate_claimed_aor(struct edge_req *r, struct str *ret, bool *ret_anonymous);
/* From of a caller that hides (RFC 3323 4.1.1.3)? */
static inline bool login_is_anonymous(const struct sip_uri *u)
{
    return str_eq_nocase(u->host, STR("anonymous.invalid"));
}

#endif

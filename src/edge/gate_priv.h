/* Between gate.c and login.c. */
#ifndef EDGE_GATE_PRIV_H
#define EDGE_GATE_PRIV_H

#include "edge/edge_priv.h"

/* Answers with a reason; always ERR_REFUSED. */
int gate_refuse(struct edge_req *r, const char *code, const char *clause, unsigned status, const char *detail);
/* From of a caller that hides (RFC 3323 4.1.1.3)? */
static inline bool login_is_anonymous(const struct sip_uri *u)
{
    return str_eq_nocase(u->host, STR("anonymous.invalid"));
}

#endif

/* What request.c offers to the other files of the edge. */
#ifndef EDGE_REQUEST_PRIV_H
#define EDGE_REQUEST_PRIV_H

#include "edge/edge_priv.h"

/* Does it name a listener, or a domain of ours at a listener's port? `local`: where the request came in; may be NULL. */
bool request_uri_is_ours(const struct config *cfg, const struct sip_uri *u, const struct addr *local);
/* The domain of ours that it names; NULL: another's. */
const struct config_domain *request_domain(const struct config *cfg, const struct sip_uri *u, const struct addr *local);
/* Does this URI mean the emergency service? `is_ours`: its domain is one of ours. */
bool request_is_for_psap(const struct config *cfg, const struct sip_uri *u, bool is_ours);
/* RFC 5393 4.2.1, of the request as received; worked out when it is first asked for. Never 0. */
uint64_t request_loop_hash(struct edge_req *r);
MUST_USE int request_q(struct str s, unsigned *ret_milli); /* a q value in thousandths; empty: 1000. ERR_SYNTAX */

#endif

/* What request.c offers to the other files of the edge. */
#ifndef EDGE_REQUEST_PRIV_H
#define EDGE_REQUEST_PRIV_H

#include "edge/edge_priv.h"

bool request_uri_is_ours(const struct config *cfg, const struct sip_uri *u); /* a listener, or a bare domain of ours */
const struct config_domain *request_domain(const struct config *cfg, const struct sip_uri *u); /* NULL: another's */
uint64_t request_loop_hash(const struct edge_req *r);
MUST_USE int request_q(struct str s, unsigned *ret_milli); /* a q value in thousandths; empty: 1000. ERR_SYNTAX */

#endif

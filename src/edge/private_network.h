/* Traffic of private networks and of everybody, told apart (RFC 7316; TR/100 6.5). */
#ifndef EDGE_PRIVATE_NETWORK_H
#define EDGE_PRIVATE_NETWORK_H

#include "edge/edge_priv.h"

/* What the copy that leaves to `t` says of it. */
void private_network_edit(struct sip_edit *e, const struct edge_req *r,
                          const struct edge_target *t);

#endif

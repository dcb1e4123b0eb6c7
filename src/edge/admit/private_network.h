/* Traffic of private networks and of everybody, told apart (RFC 7316; TR/100 6.5). */
#ifndef EDGE_ADMIT_PRIVATE_NETWORK_H
#define EDGE_ADMIT_PRIVATE_NETWORK_H

#include "edge/edge_priv.h"

/* Is a request that came from a peer traffic of its private network? And is what leaves to `t`? */
bool private_network_is_from(const struct edge_req *r);
bool private_network_is_to(const struct edge_req *r, const struct edge_target *t);
/* May a request go to this peer, as far as its `carries` says? */
bool private_network_may_carry(const struct edge_req *r, const struct config_peer *p);
/* What the peer's stanza says for the one traffic or the other (TR/100 recommendation 1): of a request from who sent it, and to `t`. */
enum config_verify private_network_verify(const struct edge_req *r);
enum config_sign private_network_sign(const struct edge_req *r, const struct edge_target *t);
struct config_status private_network_status(const struct config_peer *p, bool is_private);

/* What the copy that leaves to `t` says of it. */
void private_network_edit(struct sip_edit *e, const struct edge_req *r,
                          const struct edge_target *t);

#endif

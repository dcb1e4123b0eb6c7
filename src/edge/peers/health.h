/* Are the peers there? Peers with check-interval are asked by OPTIONS (RFC 3261 11), one worker
 * asks for all of them, and what it finds is in edge/peers/peers.h. Any answer but 408 and 503 is one of
 * a peer that works. Owner: worker 0. */
#ifndef EDGE_PEERS_HEALTH_H
#define EDGE_PEERS_HEALTH_H

#include "edge/edge_priv.h"

/* Begins with the configuration in force, in place of what was asked before. */
MUST_USE int health_start(struct edge_worker *w);
void health_stop(struct edge_worker *w);
/* The URI by which a peer is reached; empty: its stanza does not say where it is. In `a`. */
struct str health_next_hop(const struct config_peer *p, struct arena *a);

#endif

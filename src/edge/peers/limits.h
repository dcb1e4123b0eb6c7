/* What a peer may take of us: calls under way at once (max-calls), in either direction, and new
 * requests a second (max-requests), of its own (TR/100 6.2: nobody is to use up what is there for
 * all). One count for all workers, in the table of peers: to count and to compare is one step, so
 * that no two workers both find the last place. Whoever has
 * counted one call gives one back; the calls of a peer that a reload has renamed or taken out count
 * where they began. Any thread. */
#ifndef EDGE_PEERS_LIMITS_H
#define EDGE_PEERS_LIMITS_H

#include "edge/edge_priv.h"

struct peer_state;

/* False: it has max_calls of them. `is_forced`: it is a call for help, which counts and is never
 * one too many. *ret: what to give back; NULL: there is no room to count it, and no limit either.
 */
MUST_USE bool peer_calls_take(struct edge *e, const struct config_peer *p, bool is_forced,
                              struct peer_state **ret);
void peer_calls_give(struct peer_state *s); /* NULL is fine */
/* For whoever looks on: it may be another number already. */
uint64_t peer_calls(struct edge *e, const struct config_peer *p);

/* A new request of it. False: it is one too many in this second, and is counted; the first of a
 * burst is logged. */
MUST_USE bool peer_requests_take(struct edge *e, const struct config_peer *p, uint64_t now_us);

#endif

/* What edge.c and the scenario player need of one worker beyond edge_priv.h: its making and its end. */
#ifndef EDGE_WORKER_H
#define EDGE_WORKER_H

#include "edge/edge_priv.h"

#define EDGE_REPLAY_NONCES 262144u /* nonces whose counts one worker remembers */

/* Everything of the edge but sockets: keys, store, location. */
MUST_USE int edge_init(struct edge *e, struct config *cfg, struct reason *why);
void edge_done(struct edge *e);
bool edge_busy(struct edge *e); /* are transactions under way? (status.c) */
MUST_USE int edge_worker_start(struct edge *e, struct net *net, struct net_user *ret_user);
void edge_worker_stop(struct edge_worker *w);
void edge_worker_reload(void *edge_worker, void *snapshot); /* takes it over; on the worker's thread */

#endif

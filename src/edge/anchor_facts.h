/* What is known of an anchored call, for status: its legs, their media, keys and quality, and the
 * security status that follows (TR/100 10). On the worker's thread. */
#ifndef EDGE_ANCHOR_FACTS_H
#define EDGE_ANCHOR_FACTS_H

#include "edge/edge_priv.h"
#include <jansson.h>

/* Adds "mode", "legs" and "status" to a call's row. False: no memory. A call that is not anchored
 * any more stays as it is. */
bool anchor_facts_add(const struct edge_worker *w, uint32_t slot, uint32_t gen, json_t *row);

#endif

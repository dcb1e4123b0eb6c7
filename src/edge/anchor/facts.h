/* What is known of an anchored call, for status: its legs, their media, keys and quality
 * (TR/100 10). On the worker's thread. */
#ifndef EDGE_ANCHOR_FACTS_H
#define EDGE_ANCHOR_FACTS_H

#include "edge/edge_priv.h"
#include "policy/facts.h"
#include <jansson.h>

struct anchor_branch;

/* The media of one side (POLICY_CALLER, POLICY_CALLEE), as agreed, or as offered to a branch `b`
 * (NULL: the one that there is) while nothing is; but for what they are bound by. Returns how many;
 * at most LIMIT_POLICY_MEDIA. */
uint8_t anchor_facts_media(const struct edge_worker *w, uint32_t slot, uint32_t gen,
                           const struct anchor_branch *b, unsigned side, struct arena *a,
                           struct policy_medium *ret);
/* Adds "media" (the mode) and "legs" to a call's row; `f`: what facts_make made of it. False: no
 * memory. A call that is not anchored any more stays as it is. */
bool anchor_facts_add(const struct edge_worker *w, uint32_t slot, uint32_t gen,
                      const struct policy_facts *f, json_t *row);

#endif

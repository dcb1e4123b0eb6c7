/* What status.c and metrics.c share: the numbers of all workers, added up. */
#ifndef EDGE_STATUS_STATUS_PRIV_H
#define EDGE_STATUS_STATUS_PRIV_H

#include "edge/edge_priv.h"
#include <jansson.h>

struct edge_numbers {
    uint64_t counters[EC_N];
    uint64_t responses[7]; /* by class */
    struct net_stats net;
    struct location_stats location;
    struct store_health store;
    unsigned silent; /* workers that did not answer: the following are without them */
    struct sip_txl_stats tx;
    uint64_t calls;
    unsigned clock_sets;
};
MUST_USE int edge_numbers_get(struct edge *e, struct edge_numbers *ret);

/* A text from outside, whatever bytes it has; NULL on no memory. */
json_t *status_json_text(struct str s);
json_t *status_peers_json(struct edge *e); /* status/peers.c: a row each; NULL on no memory */
extern const char *const edge_counter_names[EC_N]; /* "requests", ...: in JSON */
const char *edge_how_text(unsigned how);           /* enum principal_how for people and scripts */

#endif

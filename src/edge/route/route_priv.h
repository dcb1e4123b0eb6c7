/* Between route.c and route_dialog.c. */
#ifndef EDGE_ROUTE_ROUTE_PRIV_H
#define EDGE_ROUTE_ROUTE_PRIV_H

#include "edge/edge_priv.h"

struct edge_target *route_target_add(struct edge_req *r, struct edge_targets *ts); /* NULL: no room, no memory */
int route_no_memory(struct reason *why);                                           /* ERR_NOMEM */
/* The peer whose next hop, source or domain has this host: so that what goes there is secured as its stanza says. */
const struct config_peer *route_peer_of_contact(const struct edge_req *r, struct str host);
void route_target_peer(struct edge_req *r, struct edge_target *t, const struct config_peer *p);
MUST_USE int route_emergency(struct edge_req *r, struct edge_targets *ts, struct reason *why);
/* Takes over what a binding says, in the scheme of the request (RFC 5630 5.3). False: it is not to be used. */
bool route_use_binding(struct edge_req *r, struct str aor, const struct location_target *b, struct edge_target *t);

/* route_peers.c: the peers that a destination has, at most LIMIT_PEER_CHOICE. */
struct route_choice {
    const struct config_peer *v[LIMIT_PEER_CHOICE];
    size_t n;
};
void route_choice_of_host(const struct edge_req *r, struct str host, struct route_choice *ret);
/* Of a request to a telephone number, if its sender may have it routed. *ret_e164: the number with country code, empty: it has none. */
MUST_USE int route_choice_of_number(struct edge_req *r, struct route_choice *ret, struct str *ret_e164);
void route_choice_order(struct edge_req *r, struct route_choice *c);
/* As targets that are tried one after the other. */
MUST_USE int route_choice_add(struct edge_req *r, struct edge_targets *ts, struct route_choice *c, struct str e164, struct reason *why);

/* route_dialog.c: to the other side of a dialog of ours. */
MUST_USE int route_in_dialog(struct edge_req *r, struct edge_targets *ts, struct reason *why);
/* The peer that a sealed side of a dialog names: its stanza counts whatever address its Contact has. NULL: none, or no more. */
const struct config_peer *route_peer_of_side(const struct config *cfg, const struct token_side *side);

/* A Contact's URI as request-URI: without what only a Contact may have (RFC 3261 16.6 step 2). NULL: no memory. */
struct str route_contact_uri(struct arena *a, struct str uri);

#endif

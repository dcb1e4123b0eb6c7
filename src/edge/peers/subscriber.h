/* Subscribers: enterprises that have an account with us, whose carrier we are (TR/100 7.6,
 * requirements 1 and 2; the other side of edge/peers/trunk.h). An account is a user of a domain of
 * ours, registered and challenged as any user is; its peer's stanza says which numbers are its own.
 * One registration is for all of them (RFC 6140): calls to a number go to the contacts of the
 * account, with the number before their address. Its callers are whoever has one of its numbers, in
 * From or in P-Asserted-Identity (RFC 3325); others are refused, or go on with what we assert of
 * them (foreign-callers). Who of the enterprise it was only the enterprise knows. Worker thread. */
#ifndef EDGE_PEERS_SUBSCRIBER_H
#define EDGE_PEERS_SUBSCRIBER_H

#include "edge/edge_priv.h"

/* Whose account this address of record is, or the hash of it in a token (principal_id); NULL: a
 * mere user's. */
const struct config_peer *subscriber_of(const struct config *cfg, struct str aor);
const struct config_peer *subscriber_of_id(const struct config *cfg, uint64_t id);
/* Its address of record. */
struct str subscriber_aor(struct arena *a, const struct config_peer *p); /* p == NULL: no memory */

/* A request of r->who.peer: sets what we assert of who sends it. ERR_REFUSED, ERR_NOMEM: `why`. */
MUST_USE int subscriber_screen(struct edge_req *r, struct reason *why);
/* Is From one of its numbers, or its account? */
bool subscriber_is_caller(struct edge_req *r);

/* The contacts that a request to this number of its goes to; none is no error. */
MUST_USE int subscriber_targets(struct edge_req *r, struct edge_targets *ts,
                                const struct config_peer *p, struct str e164, struct reason *why);

/* The same within a dialog with it: the public GRUU that one of its phones has as Contact (7.1.1),
 * resolved to the contact that it is of, the one at `path` if there are several. False: it is none
 * of its. */
bool subscriber_gruu_target(struct edge_req *r, const struct config_peer *p,
                            const struct path *path, struct edge_target *t);

/* A contact that is for all numbers (RFC 6140 5.1)? */
bool subscriber_is_bulk(struct str contact);
/* The public GRUU of such a contact (7.1.1), out of that of the account; empty: none. */
struct str subscriber_gruu(struct arena *a, struct str pub_gruu);

#endif

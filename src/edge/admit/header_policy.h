/* Headers that a peer's stanza takes off: of what comes from it before anybody gets that, and of
 * what goes to it (remove-headers-from, remove-headers-to; TR/100 7.6); and those that requests to it
 * get (set-headers-to), which no signature covers (RFC 8224 and 4474 have their own). For what tells too much of
 * the inside, or what phones are not to be told from outside; what SIP, or a policy with a line of
 * its own, needs the configuration does not let be named here. Calls for help keep all. Worker
 * thread. */
#ifndef EDGE_ADMIT_HEADER_POLICY_H
#define EDGE_ADMIT_HEADER_POLICY_H

#include "edge/edge_priv.h"

/* Before anything of ours is added. Sticky on the edit. */
void header_policy_request(struct sip_edit *e, const struct edge_req *r,
                           const struct edge_target *t);
/* `from`: the peer that has answered; `to`: the list of who gets it; either may be NULL. */
void header_policy_response(struct sip_edit *e, const struct sip_msg *m,
                            const struct config_peer *from, const struct config_strs *to);

#endif

/* The level of a call before its caller's name, for phones that show nothing else: TR/100 10 and
 * its gap 3; domains with status-prefix. What stands in square brackets there we have said and
 * nobody else: towards such phones no name has them, wherever it comes from, and what we have said
 * goes no further than to the phone. Dialogs are known by tags alone (RFC 3261 12), so that a
 * display name may differ on both sides of us. Worker thread; memory of the message's arena. */
#ifndef EDGE_STATUS_NAME_H
#define EDGE_STATUS_NAME_H

#include "edge/proxy/proxy_priv.h"
#include "policy/status.h"

/* From with the level in it. Empty: none is put there, because a signature in the body may be over
 * From, or there is no memory. */
struct str status_name_from(const struct sip_msg *m, enum policy_level level);
/* Of a request that leaves for `t`. `has_from`: From was made above. */
void status_name_request(struct sip_edit *e, const struct edge_req *r, const struct edge_target *t,
                         bool has_from);
/* Of a response of `b` that goes back. */
void status_name_response(struct sip_edit *e, const struct branch *b, const struct sip_msg *m);
/* Does whoever sends this have such a phone? */
bool status_name_is_for(const struct edge_req *r);

#endif

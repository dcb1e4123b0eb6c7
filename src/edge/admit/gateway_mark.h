/* The mark of calls to and from the telephone network (TR/100 7.7, gap 2: SIP has none). A request
 * that came in by a gateway of ours, and a response from one, leave with `X-Sallyport-Gateway:
 * pstn`: whatever secures the call ends there. It is believed of whoever it comes from, since all
 * it does is to lower the status; phones of ours, who are no gateways, have it taken off. In
 * requests SHAKEN's attestation C says the same under a signature (edge/identity/sign.c). Worker thread.
 */
#ifndef EDGE_ADMIT_GATEWAY_MARK_H
#define EDGE_ADMIT_GATEWAY_MARK_H

#include "edge/edge_priv.h"

bool gateway_is_marked(const struct sip_msg *m);
void gateway_mark_request(struct sip_edit *e, const struct edge_req *r);
/* `from`: the peer that answers, NULL: none. */
void gateway_mark_response(struct sip_edit *e, const struct sip_msg *m,
                           const struct config_peer *from, bool is_phone);

#endif

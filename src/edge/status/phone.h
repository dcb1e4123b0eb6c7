/* What phones of ours are told of the security of their calls, and what the configuration requires
 * of it: TR/100 10 and its gap 3. Before it is answered a call's status rests on the offer; the
 * caller is told with the first answer. Nobody else may say such things to a phone: whatever comes
 * in loses them. Worker thread. */
#ifndef EDGE_STATUS_PHONE_H
#define EDGE_STATUS_PHONE_H

#include "edge/proxy/proxy_priv.h"

/* X-Sallyport-Status, Cisco's Call-Info, "verstat" in what is asserted: taken off. */
void status_phone_strip(struct sip_edit *e, const struct sip_msg *m);
/* "verstat" in From of a request for a phone of ours: the address stays, and what is changed is changed
 * back in what the phone answers (status/name.h). */
struct str status_without_verstat(struct arena *a, struct str value); /* NULL: no memory */
bool status_phone_changes_from(const struct edge_req *r, const struct edge_target *t);
MUST_USE int status_phone_from(struct sip_edit *e, const struct edge_req *r,
                               const struct edge_target *t);

/* An INVITE that begins a call is about to leave along `out`: what its phone is told, into *ret;
 * may it go? ERR_REFUSED: `why`, with the SIP status. */
MUST_USE int status_check_request(struct branch *b, const struct path *out,
                                  struct forward_changes *ret, struct reason *why);
/* A response to it is about to be passed: what the calling phone is told, into *ret. An answer that
 * is less than what is required is said in the log; a proxy cannot take it back (RFC 3261 16.7). */
void status_tell_caller(struct branch *b, const struct sip_msg *m, struct forward_changes *ret);

#endif

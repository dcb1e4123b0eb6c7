/* Trunks: accounts of ours with carriers (peers of kind subscription; TR/100 7.6, 8.5, requirements
 * 1 and 3). The carrier is known by TLS, we by a password: one worker registers (RFC 3261 10.2),
 * refreshes in time, tries again ever more seldom (RFC 5626 4.5), and every worker answers the
 * carrier's challenges to calls. With bulk-numbers one registration is for all numbers of the
 * enterprise (RFC 6140). What comes along the connection that was registered on is the carrier's.
 * Owner: the worker. */
#ifndef EDGE_PEERS_TRUNK_H
#define EDGE_PEERS_TRUNK_H

#include "edge/edge_priv.h"
#include "identity/digest_client.h"

enum trunk_state { TRUNK_NONE, TRUNK_TRYING, TRUNK_REGISTERED, TRUNK_FAILED };
const char *trunk_state_text(unsigned state);

/* By the configuration in force, in place of what there was: accounts that are in it no more are
 * taken back at their carriers, as far as two seconds are enough. */
MUST_USE int trunks_start(struct edge_worker *w);
void trunks_stop(struct edge_worker *w);
void trunks_flow_closed(struct edge_worker *w, flow_id flow);

/* Is it a peer that we have an account with? */
static inline bool trunk_is(const struct config_peer *p)
{
    return p && p->kind == CONFIG_SUBSCRIPTION && p->trunk_user.n > 0;
}
/* The peer whose account was registered along the connection of this request; NULL. */
const struct config_peer *trunk_of_flow(const struct edge_req *r);
/* The connection that it was registered on, of this worker; 0: none. */
flow_id trunk_flow(const struct edge_worker *w, const struct config_peer *p);

/* Is what goes to this target along this path on its way to the carrier itself? Credentials are for nobody else, and where a request
 * goes a Route or Contact may say that the carrier has never seen (RFC 3261 22, 26.1.2). */
bool trunk_is_at(const struct edge_worker *w, const struct config_peer *p,
                 const struct edge_target *t, const struct path *path);
/* A challenge of the carrier to a request of ours. 0: it is worth sending again. ERR_REFUSED:
 * `why`. */
MUST_USE int trunk_challenged(struct edge_worker *w, const struct config_peer *p,
                              const struct sip_msg *m, bool was_answered, struct reason *why);
/* Credentials for a request; none before the first challenge. In `a`. */
MUST_USE int trunk_answer(struct edge_worker *w, const struct config_peer *p, struct arena *a,
                          enum sip_method method, struct str ruri, struct str body,
                          struct digest_client_cred ret[DIGEST_CLIENT_CREDS_MAX], unsigned *ret_n);

/* The process stops: registrations are taken back, along their connections, as far as there is time
 * (RFC 3261 10.2.2). On worker 0; nothing is registered any more. */
void trunks_leave(struct edge_worker *w);

/* trunk_names.c: who calls, as the carrier wants it said (from-user; SIPconnect 2.0 with accounts that
 * are registered). Is From of a request to this target another than it came with? */
bool trunk_renames(const struct edge_req *r, const struct edge_target *t);
/* What we assert of the caller to this carrier; p == NULL: no memory. */
struct str trunk_asserts(const struct edge_req *r, const struct config_peer *p);
MUST_USE int trunk_edit_request(struct sip_edit *e, struct edge_req *r, const struct edge_target *t);
void trunk_edit_response(struct sip_edit *e, const struct edge_req *r); /* to that request */

/* The passwords of a snapshot, an entry a peer. ERR_IO, ERR_INVALID: `why`. */
MUST_USE int trunk_logins_load(const struct config *cfg, struct digest_login **ret,
                               struct reason *why);
void trunk_logins_free(const struct config *cfg, struct digest_login *v); /* NULL is fine */

#endif

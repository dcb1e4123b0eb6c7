/* Phones of ours are told when the status of a call of theirs changes while it lasts (TR/100 10,
 * gap 3): keys are changed, or were seen to be used, somebody else is at the other end, what was
 * signed is contradicted. By an event package of our own (RFC 6665), since a proxy has no number of
 * its own in the dialogs that it forwards, and of anchored calls as well, so that a phone has one
 * way to learn it and no dialog is burdened by an UPDATE.
 *
 *     SUBSCRIBE sip:example.com      by a user of ours, as every request authenticated; about its
 * own Event: x-sallyport-status      calls, and nobody else's. The domain has `status-header`; the
 * 200 to a REGISTER says so by Allow-Events NOTIFY                         application/json, what
 * has changed since the last one:
 *     {"version":1,"calls":[{"call_id":"...","side":"callee","status":"secure;proven=yes;..."}]}
 *
 * `status` is the value of X-Sallyport-Status. The first NOTIFY has all answered calls of the user
 * that are known by then, those of other workers follow. At most one NOTIFY is under way; what
 * changes meanwhile goes together. Many calls go in parts, each when the one before has been taken, and
 * what does not fit is made up for by telling all calls once more: what a phone can cause at once
 * is to look at sixteen calls of its user, found by an index (calls_of_user). A subscription is bound to the connection, or the datagram
 * source, that it came by, and to the worker that read it; other workers post what concerns it. A
 * phone that cannot keep up loses it, and begins anew. Not told here: what a message of the call
 * says itself. Worker thread. */
#ifndef EDGE_STATUS_EVENTS_H
#define EDGE_STATUS_EVENTS_H

#include "edge/edge_priv.h"

#define STATUS_EVENT STR("x-sallyport-status")

MUST_USE int status_events_start(struct edge_worker *w);
void status_events_stop(struct edge_worker *w);
/* May this user subscribe? */
bool status_events_offered(const struct config *cfg, struct str aor);
/* A SUBSCRIBE to the domain itself, which the gate has let in: answered. */
void status_events_subscribe(struct edge_req *r);
/* A connection is gone that carried a registration of this user (principal_id). */
void status_events_flow_closed(struct edge_worker *w, flow_id flow, uint64_t user);

/* What is known of a call of this worker has changed (calls_changed, calls.c): told to whom it
 * concerns, if it makes another status. */
struct call_info;
struct facts_call;
void status_events_tell(struct edge_worker *w, const struct call_info *c, struct facts_call *f);
/* Does anybody want to know of this user's calls? (principal_id; now and then true for another's.)
 */
bool status_events_wanted(const struct edge *e, uint64_t user);

/* How many subscriptions there are in the process, by user: what is asked for no call in vain. */
struct status_watched;
MUST_USE struct status_watched *status_watched_new(void);
void status_watched_free(struct status_watched *s); /* NULL is fine */

#endif

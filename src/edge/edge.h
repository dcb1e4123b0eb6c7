/* edge: the product. It joins the rooms below into one secure session edge: registrar and proxy of the enterprise's domains.
 *
 * One INVITE:  net -> edge_worker.c (parse) -> sip/txl.c (transaction) -> request.c (RFC 3261 16.3 checks) -> gate.c (who is it,
 * may it) -> route.c (where to) -> proxy.c (fork, forward 16.6, answer 16.7) -> hop.c (RFC 3263, which connection) -> net.
 *
 * Thread: everything runs on signalling workers, each with its own transactions, connections and calls; what the process shares is the
 * location service and the user table (location.c, locks inside, held only to copy rows), the store behind it, and the
 * configuration snapshot (immutable, swapped by a posted message). */
#ifndef EDGE_EDGE_H
#define EDGE_EDGE_H

#include "base/reason.h"
#include "base/sbuf.h"
#include "config/config.h"

struct edge;
struct keeper_link; /* keeper/link.h */

/* Opens the store, loads users and bindings, makes TLS contexts, binds, starts the workers. Takes its own reference to cfg. */
MUST_USE int edge_start(struct config *cfg, struct edge **ret, struct reason *why);
/* A new configuration, without dropping a flow or a call. With prepare all that can fail is done and nothing has changed; commit puts it
 * in force and logs what is in force until when. Others may do their part in between. Main thread. */
struct edge_change;
MUST_USE int edge_reload_prepare(struct edge *e, struct config *cfg, struct edge_change **ret, struct reason *why);
void edge_reload_commit(struct edge_change *change);
void edge_reload_discard(struct edge_change *change); /* NULL is fine */
/* How many signalling workers there will be. */
unsigned edge_worker_count(const struct config *cfg);
/* What is known of hops that are declared to be protected by IPsec (TR/100 7.2.2): looks at the kernel's policies, as far as this process
 * may; `x`: as they were at `at_s`, before it gave up its rights, NULL: not even then. Main thread; at start and after each reload. */
struct net_xfrm;
void edge_check_protection(struct edge *e, const struct net_xfrm *x, uint64_t at_s);
/* Who keeps the keys of identities, for all workers; borrowed until edge_stop. Main thread, once, after the start. */
void edge_set_keeper(struct edge *e, struct keeper_link *link);
/* New requests get 503 with Retry-After, what is under way is finished for at most grace_ms, then everything is closed. */
void edge_stop(struct edge *e, unsigned grace_ms);

/* For the command line and monitoring. Main thread; waits for workers, which are asked by message, a second at most. A malloc'd text
 * that the caller frees; NULL on no memory. `what`: "summary", "counters", "config", "certificates", "peers", "call ID",
 * "explain ID", or one of "registrations", "flows",
 * "calls" with a text behind it that rows must have. {"error": "..."} if it is none of these. */
char *edge_status_json(struct edge *e, struct str what);
/* Prometheus text format, malloc'd. */
char *edge_metrics_text(struct edge *e);
/* Logs a warning for each certificate, of a listener or shown to a peer, and each file of anchors that ends within the configured time,
 * and for each CRL that has ended. Main thread, at start and reload, and now and then. */
void edge_certificates_warn(struct edge *e);
/* Asks again for what is stapled, where it is time, and says what has just ended. Main thread, every few seconds. */
void edge_certificates_tick(struct edge *e);

#endif

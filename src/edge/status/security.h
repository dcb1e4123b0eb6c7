/* The security status of calls, from their facts (facts.h) to those who are to know it: `status`,
 * `explain`, the log and the counters, phones, and the rules of the configuration. TR/100 10 and
 * its gap 3. What a status says is policy's (policy/status.h). Worker thread, but where it says
 * otherwise. */
#ifndef EDGE_STATUS_SECURITY_H
#define EDGE_STATUS_SECURITY_H

#include "edge/status/calls.h"
#include "edge/status/facts.h"
#include "policy/status.h"
#include <jansson.h>

/* The facts of a call, in `a`. ERR_NOMEM. */
MUST_USE int security_facts(const struct edge_worker *w, const struct call_info *c, struct arena *a,
                            struct policy_facts **ret);
/* The lower of what caller and callee have, and which of them it is. */
enum policy_level security_level(const struct policy_facts *f, unsigned *ret_lower);

/* Adds "security": the status towards caller and callee; of anchored calls "media" and "legs".
 * False: no memory. */
bool security_add(const struct edge_worker *w, const struct call_info *c, json_t *row);
/* Adds "level" alone. */
bool security_add_level(const struct edge_worker *w, const struct call_info *c, json_t *row);

/* The end of a call: counted, logged, and kept for a while among the last LIMIT_CALLS_TOLD. */
void security_ended(struct edge_worker *w, const struct call_info *c);
MUST_USE int security_start(struct edge_worker *w);
void security_stop(struct edge_worker *w);
/* The story of each call with this Call-ID, under way or ended: rows with "call_id", "state",
 * "text". */
void security_explain(struct edge_worker *w, struct str call_id, bool (*fn)(void *arg, json_t *row),
                      void *arg);

#endif

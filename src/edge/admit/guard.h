/* What slows those who guess passwords without locking out those they guess at: failures are counted by source and by source and
 * user name together, in a fixed table; a pair (or a source with many pairs) that failed too often is not looked at for a while that
 * doubles. Whoever is already authenticated on its flow is never asked about here. One worker's; pure. */
#ifndef EDGE_ADMIT_GUARD_H
#define EDGE_ADMIT_GUARD_H

#include "base/addr.h"

struct edge_guard;
MUST_USE struct edge_guard *guard_new(unsigned limit); /* failures before it begins; 0: 5 */
void guard_free(struct edge_guard *g);
/* Seconds for which credentials of this source for this user are not looked at; 0: go on. */
unsigned guard_wait_s(struct edge_guard *g, const struct addr *source, struct str user, uint64_t now_s);
void guard_failed(struct edge_guard *g, const struct addr *source, struct str user, uint64_t now_s);
void guard_succeeded(struct edge_guard *g, const struct addr *source, struct str user); /* forgets the pair */

#endif

/* Who calls, behind what domains on the way have made of the address, and whether they may
 * (TR/100 7.5.3): transit domains put their own name into it (`john_example1.com@example2.com`, a
 * number at another domain), as a peer's stanza says of it; lists of a domain match the address as
 * it was, and what they let in is verified. Worker thread; memory of the request. */
#ifndef EDGE_ADMIT_CALLERS_H
#define EDGE_ADMIT_CALLERS_H

#include "edge/edge_priv.h"

struct caller_origin {
    struct str address; /* From, as it was; p == NULL: no memory */
    struct str via;     /* the domain that rewrote it; empty: none */
};
/* As it stands there: for whoever compares it with what is signed. */
void caller_origin_claimed(const struct edge_req *r, struct caller_origin *ret);
/* As it is to be believed: behind its own name a peer may put whomever it likes, but for users of ours,
 * for whom it does not speak (7.5.3), unless a signature of theirs says that it was one. */
void caller_origin(const struct edge_req *r, struct caller_origin *ret);

/* May this caller reach users of r->domain? After its signatures were judged. ERR_REFUSED,
 * ERR_NOMEM: `why`. */
MUST_USE int callers_check(const struct edge_req *r, struct reason *why);

#endif

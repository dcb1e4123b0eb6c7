/* Between proxy.c (the response context), ack.c, and forward.c (the making of a forwarded request). */
#ifndef EDGE_PROXY_PRIV_H
#define EDGE_PROXY_PRIV_H

#include "edge/edge_priv.h"

/* RFC 3261 16.6 steps 1 to 10: the copy that leaves along `out` to `t`, with `branch` in its Via. `breadth`: Max-Breadth for it
 * (RFC 5393 5.3.3), 0: none to set. `call_*`: which call record the dialog token names. */
struct forward_args {
    const struct edge_target *t;
    const struct path *out;
    struct str branch;
    unsigned breadth;
    uint32_t call_slot, call_gen;
};
MUST_USE int forward_build(struct edge_req *r, const struct forward_args *f, struct buf **ret);
/* A branch for what is forwarded without a transaction: the same for retransmissions (16.11). */
void forward_stateless_branch(const struct edge_req *r, char ret[40]);

#endif

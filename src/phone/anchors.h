/* Certificates of those who have signed, for a phone that verifies itself (verify.h): fetched and
 * validated as the edge does it (fetch/certs.h), against anchors of the phone's own. */
#ifndef PHONE_ANCHORS_H
#define PHONE_ANCHORS_H

#include "base/addr.h"
#include "base/err.h"
#include "base/reason.h"
#include "net/worker.h"
#include "phone/verify.h"

struct phone_anchors;

struct phone_anchors_args {
    const char *ca; /* PEM: whom we believe about users and domains */
    const char
        *fetch_ca; /* ... about the servers that have their certificates; NULL: the system's */
    const struct addr_net *allowed; /* special-purpose addresses that these may have */
    size_t n_allowed;
};
/* Main thread. ERR_IO, ERR_SYNTAX, ERR_NOMEM. */
MUST_USE int phone_anchors_new(const struct phone_anchors_args *args, struct phone_anchors **ret,
                               struct reason *why);
void phone_anchors_set_group(struct phone_anchors *a, struct net_group *g);
struct phone_verifier *phone_anchors_verifier(struct phone_anchors *a);
/* On the worker's thread, around its life. */
MUST_USE int phone_anchors_worker_start(struct phone_anchors *a, struct net *net);
void phone_anchors_worker_stop(struct phone_anchors *a);
/* Before the worker ends, and after it. NULL is fine. */
void phone_anchors_stop(struct phone_anchors *a);
void phone_anchors_free(struct phone_anchors *a);

#endif

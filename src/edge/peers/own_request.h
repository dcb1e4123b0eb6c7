/* Requests of our own outside any dialog: OPTIONS that ask a peer how it is, REGISTER of a trunk
 * (RFC 3261 8.1, 10.2, 11). Such a request finds its way as a forwarded one does (hop.c: RFC 3263,
 * the peer's TLS context and name), goes on to the next server when one fails (RFC 3263 4.3),
 * answers challenges with the credentials of its peer (RFC 3261 22.2), and tells its owner once
 * what came of it. Bounded in time and tries; gone with the worker.
 *
 * Owner: the worker's list; the owner's slot is cleared when it goes. Worker thread. */
#ifndef EDGE_PEERS_OWN_REQUEST_H
#define EDGE_PEERS_OWN_REQUEST_H

#include "edge/edge_priv.h"
#include "identity/digest_client.h"

struct own_request;

/* What came of it. Lives during the call. */
struct own_request_result {
    unsigned status;         /* of the response; 408, 503 and the like where there was none */
    const struct sip_msg *m; /* NULL: there was none */
    struct path path;        /* the one that it went by at last */
    struct str contact;      /* the URI in our own Contact, as it went out */
    struct reason why;       /* code NULL: the status says it all */
};
typedef void (*own_request_fn)(void *arg, const struct own_request_result *result);

#define OWN_REQUEST_EXTRA_MAX 8u
struct own_request_args {
    enum sip_method method;
    struct str uri, from, to; /* URIs; the tag is made */
    struct str call_id;       /* empty: made */
    uint32_t *cseq;           /* counted on for each try; NULL: from 1 */
    const struct config_peer *peer;
    struct edge_snapshot *snap; /* that the peer is of; NULL: the one in force */
    struct str next_hop; /* URI */
    flow_id flow;        /* of this worker, to go along instead; 0: none */
    bool has_contact;    /* one that leads here, along the path that it goes by */
    struct str contact_user, contact_params; /* "alice", ";bnc" */
    struct {
        struct str name, value;
    } extra[OWN_REQUEST_EXTRA_MAX];
    unsigned n_extra;
    struct digest_client *auth; /* NULL: challenges are answers like others */
    uint32_t limit_ms;          /* for all of it */
    own_request_fn fn;
    void *arg;
};

/* `fn` is called later, once, unless it is cancelled before. Texts are copied; auth and cseq are
 * borrowed. */
MUST_USE int own_request_start(struct edge_worker *w, const struct own_request_args *args,
                               struct own_request **slot);
void own_request_cancel(struct own_request *o); /* NULL is fine; nothing is told any more */
void own_requests_stop(struct edge_worker *w);

#endif

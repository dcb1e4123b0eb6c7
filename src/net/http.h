/* Questions by HTTP POST to places that strangers name: the responders in certificates (RFC 6960
 * A.1). A thread of its own asks, and everything is bounded: how many wait, how many are under way,
 * how long one may take, how much it may say. No redirects, no proxy, http only, and no connection
 * to a special-purpose address (base/addr.h) unless its network is allowed: it is the address
 * connected to that is looked at, whatever a name stands for.
 *
 * Any thread may ask; answers come on the thread of the asker. */
#ifndef NET_HTTP_H
#define NET_HTTP_H

#include "base/addr.h"
#include "base/err.h"
#include "base/reason.h"

struct net_http;

/* Once for each question. why NULL: a 200, with its body. */
typedef void net_http_fn(void *arg, const void *body, size_t n, const struct reason *why);

struct net_http_question {
    const char *url;
    const char *type, *accept; /* media types */
    const void *body;
    size_t n;
    size_t answer_max; /* bytes */
    net_http_fn *fn;
    void *arg;
};

MUST_USE int net_http_new(struct net_http **ret, struct reason *why);
/* Those under way and waiting are ended, each with a reason. */
void net_http_free(struct net_http *h); /* NULL is fine */
/* Networks of special-purpose addresses that may be asked; copied, in force from the next
 * connection on. */
MUST_USE int net_http_allow(struct net_http *h, const struct addr_net *nets, size_t n);
/* Copies what it is given. ERR_LIMIT: too many wait; ERR_NOMEM: then fn is not called. */
MUST_USE int net_http_post(struct net_http *h, const struct net_http_question *q);

#endif

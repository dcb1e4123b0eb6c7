/* What a WSS (or WS) listener gives to a plain GET: a few small pages that are known beforehand,
 * such as the certificates that our signed identities name ("x5u", RFC 8224 7.3). No server beside
 * the one there is: the same TLS, limits and timeouts. A set is constant and counted; any thread.
 */
#ifndef NET_PAGES_H
#define NET_PAGES_H

#include "base/err.h"
#include "base/str.h"

#define NET_PAGES_MAX 320u
#define NET_PAGE_BYTES (256u << 10)

struct net_page {
    struct str path; /* "/stir/example.com.pem", as it stands in a request */
    struct str type; /* Content-Type */
    struct str body;
    uint32_t max_age_s; /* Cache-Control: how long others may keep it */
};

struct net_pages;

/* Copies. ERR_LIMIT, ERR_NOMEM; ERR_INVALID: a path that does not begin with "/" or cannot stand in
 * a request line. */
MUST_USE int net_pages_new(const struct net_page *pages, size_t n, struct net_pages **ret);
struct net_pages *net_pages_ref(struct net_pages *p);
void net_pages_unref(struct net_pages *p); /* NULL is fine */
/* The page of a request target ("?" and what follows is not looked at); NULL. `p` may be NULL. */
const struct net_page *net_pages_find(const struct net_pages *p, struct str target);

#endif

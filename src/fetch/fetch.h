/* Fetching what a stranger's message names (RFC 8224 6.2 step 2: "x5u"), without being led anywhere
 * or held up by anybody:
 *
 *   - https only, certificates verified, TLS 1.2 at least, GET only, no proxy, no cookies, no login
 *   - no connection to special-purpose addresses (base/addr.h) unless they are on the list of one's
 *     own: literals are refused before anything is done, and of names it is the address connected
 * to that counts; so with each redirect, of which there are LIMIT_HTTPS_REDIRECTS at most
 *   - LIMIT_HTTPS_BYTES, and LIMIT_HTTPS_MS for all of it, waiting for a turn counted in
 *   - LIMIT_HTTPS_RUNNING transfers at once, and _RUNNING_HOST from one host; the others wait
 *   - one transfer for all who ask for an address meanwhile
 *   - answers are kept as long as the server says (Cache-Control, Expires), within bounds of ours
 * both ways; failures LIMIT_HTTPS_BAD_S; nothing is used that is older; the least used goes first
 *
 * A thread of its own does it. Everything here but fetch_post belongs to that thread: whoever asks
 * from elsewhere (fetch/certs.h) posts an item to it and has the answer posted back. */
#ifndef FETCH_FETCH_H
#define FETCH_FETCH_H

#include "base/addr.h"
#include "base/err.h"
#include "base/mq.h"
#include "base/reason.h"

struct fetch;

struct fetch_args {
    const char *ca_file;            /* anchors for the servers; NULL: the system's */
    const struct addr_net *allowed; /* special-purpose addresses of one's own; copied */
    size_t n_allowed;
};
MUST_USE int fetch_new(const struct fetch_args *args, struct fetch **ret, struct reason *why);
/* Ends the thread: whoever waits gets ERR_CLOSED (here), and so does who posts later. */
void fetch_stop(struct fetch *f);
void fetch_free(struct fetch *f); /* NULL is fine */

/* From any thread: item->run(item, f) on the fetcher's. ERR_CLOSED, ERR_LIMIT: not; the caller
 * keeps it. */
MUST_USE int fetch_post(struct fetch *f, struct mq_item *item);

/* On its thread: fn is called each time round, and then in so many ms as it returns at the latest;
 * fetch_wake, from any thread, makes that at once. NULL: nobody any more. */
void fetch_on_turn(struct fetch *f, uint64_t (*fn)(void *arg), void *arg);
void fetch_wake(struct fetch *f);

bool fetch_is_stopping(const struct fetch *f); /* any thread */

/* err 0: `bytes` live during the call, and may be kept for fresh_ms. Else `why` says why not, and
 * the same will be said for fresh_ms. Called later, once, on the fetcher's thread. */
typedef void fetch_fn(void *arg, int err, struct str bytes, uint64_t fresh_ms,
                      const struct reason *why);
/* ERR_LIMIT: too many are waited for, or too many wait; ERR_NOMEM; ERR_CLOSED: it is ending.
 * Whether the URL is one that is fetched is told by `fn`. */
MUST_USE int fetch_get(struct fetch *f, struct str url, fetch_fn *fn, void *arg);

struct fetch_stats {
    uint64_t asked, hits, transfers, redirects, failed, refused, timeouts, evicted;
    uint64_t running, cached, cached_bytes;
};
void fetch_stats(struct fetch *f, struct fetch_stats *ret); /* any thread */

#endif

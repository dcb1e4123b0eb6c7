/* The fetcher's judgement, without network, clock or thread: which addresses, how many at once, for
 * whom, how long answers are good. Inside the room, and for its tests, which bring a transport of
 * their own. One thread. */
#ifndef FETCH_CORE_H
#define FETCH_CORE_H

#include "base/limits.h"
#include "base/list.h"
#include "base/map.h"
#include "fetch/fetch.h"

/* An https URL in parts; slices. */
struct fetch_url {
    struct str host; /* without brackets */
    uint16_t port;
};
/* ERR_REFUSED: not https, or with a user, a fragment, or bytes that no URL has. */
MUST_USE int fetch_url_parse(struct str url, struct fetch_url *ret, struct reason *why);
/* How long an answer may be kept: "max-age" of Cache-Control (RFC 9111 5.2.2) less Age, else what
 * Expires leaves (negative: not given), else an hour; within our bounds. */
uint64_t fetch_fresh_s(struct str cache_control, int64_t expires_in_s, uint64_t age_s);

struct fetch_entry;

/* One transfer, of one URL; what it leads to is another. */
struct fetch_transfer {
    struct list node;
    struct fetch_entry *entry;
    unsigned redirects;
    char url[LIMIT_IDENTITY_URL_BYTES + 1];
    char host[256];
    void *handle; /* the transport's */
};

struct fetch_outcome {
    int err; /* 0: an answer came */
    const struct reason *why;
    unsigned status;
    struct str body, location; /* location: absolute; of a redirect */
    uint64_t fresh_s;
};

struct fetch_transport {
    /* Fills t->handle. Ends by fetch_core_done, never from inside. */
    int (*start)(void *arg, struct fetch_transfer *t, uint64_t timeout_ms);
    void (*cancel)(void *arg, struct fetch_transfer *t);
    void *arg;
};

struct fetch_core {
    struct fetch_transport transport;
    const struct addr_net *allowed;
    size_t n_allowed;
    struct map entries;
    struct list asked;   /* entries that wait for a turn */
    struct list running; /* transfers */
    struct list ready;   /* entries whose waiters are to be told */
    struct list kept;    /* entries with an answer, the least used first */
    size_t n_running, n_pending, n_waiters;
    struct fetch_stats stats;
    bool is_closed;
};

MUST_USE int fetch_core_init(struct fetch_core *c, const struct fetch_transport *t,
                             const struct addr_net *allowed, size_t n_allowed);
void fetch_core_done_all(struct fetch_core *c); /* tells whoever waits ERR_CLOSED; frees all */
MUST_USE int fetch_core_get(struct fetch_core *c, struct str url, fetch_fn *fn, void *arg,
                            uint64_t now_ms);
/* A transfer has ended; it is freed. */
void fetch_core_done(struct fetch_core *c, struct fetch_transfer *t, const struct fetch_outcome *o,
                     uint64_t now_ms);
/* Ends what is late, starts what may start, tells those who wait. Returns milliseconds until it is
 * to be called again at the latest; UINT64_MAX. */
uint64_t fetch_core_turn(struct fetch_core *c, uint64_t now_ms);

#endif

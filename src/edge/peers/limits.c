/* Counting for edge/peers/limits.h, without locks: a call costs two atomic additions, a request one
 * exchange. */
#include "edge/peers/limits.h"
#include "base/log.h"
#include "edge/peers/peers.h"

/* ERR_AGAIN: the place has become free under our hands (peer_states_sweep), or another's. */
static int take_at(struct peer_state *s, uint64_t name, uint64_t max)
{
    uint64_t n = __atomic_load_n(&s->calls, __ATOMIC_RELAXED);

    do {
        if (n == PEER_CALLS_GONE)
            return ERR_AGAIN;
        if (max && n >= max)
            return ERR_LIMIT;
    } while (!__atomic_compare_exchange_n(&s->calls, &n, n + 1, true, __ATOMIC_ACQ_REL,
                                          __ATOMIC_RELAXED));
    if (__atomic_load_n(&s->name, __ATOMIC_ACQUIRE) == name)
        return 0; /* counted, and stays the peer's as long as it is */
    peer_calls_give(s);
    return ERR_AGAIN;
}

bool peer_calls_take(struct edge *e, const struct config_peer *p, bool is_forced,
                     struct peer_state **ret)
{
    uint64_t max = is_forced ? 0 : p->max_calls;
    int err = ERR_AGAIN;

    for (*ret = NULL; err == ERR_AGAIN;) {
        if ((*ret = peer_state_get(e, p)) == NULL)
            return !max; /* LIMIT_PEER_STATES others have calls */
        err = take_at(*ret, peer_state_name(p), max);
    }
    if (err != 0)
        *ret = NULL;
    return err == 0;
}

void peer_calls_give(struct peer_state *s)
{
    if (s)
        (void)__atomic_fetch_sub(&s->calls, 1, __ATOMIC_ACQ_REL);
}

uint64_t peer_calls(struct edge *e, const struct config_peer *p)
{
    const struct peer_state *s = peer_state_get(e, p);
    uint64_t n = s ? __atomic_load_n(&s->calls, __ATOMIC_RELAXED) : 0;

    return n == PEER_CALLS_GONE ? 0 : n;
}

/* ---- requests ---- */

#define SECOND_NS 1000000000u

/* A bucket that holds a second's worth, as one number: each request moves the time at which all
 * that was taken is used up by its share of a second, and that time is never more than a second
 * ahead. */
bool peer_requests_take(struct edge *e, const struct config_peer *p, uint64_t now_us)
{
    struct peer_state *s = p->max_requests ? peer_state_get(e, p) : NULL;
    uint64_t share = p->max_requests ? SECOND_NS / p->max_requests : 0, now = now_us * 1000;
    uint64_t due, from;

    if (!s)
        return true; /* no limit; or so many peers that it cannot be counted: better than to refuse
                        all */
    due = __atomic_load_n(&s->due_ns, __ATOMIC_RELAXED);
    do {
        from = due > now ? due : now;
        if (from + share > now + SECOND_NS) {
            (void)__atomic_fetch_add(&s->refused, 1, __ATOMIC_RELAXED);
            if (__atomic_exchange_n(&s->is_over, 1, __ATOMIC_RELAXED) == 0) {
                (void)__atomic_fetch_add(&s->bursts, 1, __ATOMIC_RELAXED);
                LOG(LOG_WARN, "peer-requests", LS("peer", p->name),
                    LU("max_requests", p->max_requests));
            }
            return false;
        }
    } while (!__atomic_compare_exchange_n(&s->due_ns, &due, from + share, true, __ATOMIC_RELAXED,
                                          __ATOMIC_RELAXED));
    if (due <= now && __atomic_load_n(&s->is_over, __ATOMIC_RELAXED))
        __atomic_store_n(&s->is_over, 0, __ATOMIC_RELAXED);
    return true;
}

/* The view of a worker's calls (calls.c), for status and evidence. On the worker's thread. */
#ifndef EDGE_STATUS_CALLS_H
#define EDGE_STATUS_CALLS_H

#include "base/path.h"

struct edge_worker;
struct facts_call;

enum call_state { CALL_TRYING, CALL_RINGING, CALL_ANSWERED };

struct call_info {
    enum call_state state;
    struct str call_id, from, to, target;
    struct str caller; /* principal: AOR or name of the peer; empty: nobody (emergency) */
    unsigned how;      /* enum principal_how */
    enum transport in_transport;
    bool emergency;
    uint32_t anchor_slot, anchor_gen; /* its media pass through us; 0: they do not */
    uint64_t begun_s; /* steady: net_wall_of for people */
    uint64_t seconds; /* since it was answered, or else has begun */
    bool is_answered;
    const struct facts_call *facts;
};

uint32_t calls_count(const struct edge_worker *w);
void calls_each(const struct edge_worker *w, bool (*fn)(void *arg, const struct call_info *info), void *arg);

/* A user's answered calls (principal_id) behind `*after` (0: from the first), in an order that lasts;
 * *after becomes what `fn` has last taken. True: these were all. */
bool calls_of_user(const struct edge_worker *w, uint64_t user, uint64_t *after,
                   bool (*fn)(void *arg, const struct call_info *info, unsigned side), void *arg);

/* What is known of a call has changed: whoever has subscribed to that is told a moment later
 * (status/events.h). Nothing, where another worker has the call, or nobody asks. */
void calls_changed(struct edge_worker *w, uint32_t slot, uint32_t gen);

/* ... and a message of the call itself says so to that side; `status` empty: it does not. */
void calls_told(struct edge_worker *w, uint32_t slot, uint32_t gen, unsigned side,
                struct str status);

#endif

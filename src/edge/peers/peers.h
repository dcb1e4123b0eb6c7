/* What the process knows of its peers beyond the configuration: whether each answers, since when,
 * and why not, and how much of its limits is used (limits.h). One small table for all workers:
 * whoever finds something out writes a word of it, everybody reads. A peer is found by its name, so
 * that a reload keeps what is known. */
#ifndef EDGE_PEERS_PEERS_H
#define EDGE_PEERS_PEERS_H

#include "edge/edge_priv.h"

enum peer_health { PEER_UNKNOWN, PEER_UP, PEER_DOWN };

/* Its protected-by = ipsec, against the kernel. */
enum peer_below { PEER_BELOW_NOT_CHECKED, PEER_BELOW_NO_PERMISSION, PEER_BELOW_NO_ADDRESS, PEER_BELOW_CHECKED, PEER_BELOW_MISSING };

#define PEER_TRUNK_PLACES 8u

/* Every member is read and written as a whole (relaxed). */
struct peer_state {
    uint64_t name;      /* hash; 0: free */
    unsigned health;    /* enum peer_health */
    uint64_t since_s;   /* of `health` */
    const char *reason; /* a constant: why it is down */
    uint64_t checks, failures;
    unsigned below;           /* enum peer_below */
    uint64_t below_s;         /* when it was looked at */
    unsigned trunk;           /* enum trunk_state of trunk.h */
    uint64_t trunk_until_s;   /* of the registration; steady */
    const char *trunk_reason; /* a constant: why it is not registered */
    uint64_t trunk_at[PEER_TRUNK_PLACES]; /* addresses that its names have led to, hashed
                                             (trunk_is_at) */
    uint64_t trunk_at_next;
    /* limits.h, all workers' */
    uint64_t calls;           /* under way */
    uint64_t due_ns;          /* the time at which what was taken of max-requests is used up */
    uint64_t is_over;         /* more has come, and was told of; until nothing is used */
    uint64_t refused, bursts; /* requests; and how often that began */
};
#define PEER_NAME_NONE 2u       /* a place that was somebody's and is free again; names are odd */
#define PEER_CALLS_GONE (~0ull) /* `calls` of such a place: nothing is counted there */
struct peer_states;

MUST_USE struct peer_states *peer_states_new(void); /* NULL: no memory */
void peer_states_free(struct peer_states *s);       /* NULL is fine */
/* The peer's place, made if there is none; NULL: no more room, nothing is known of it. */
struct peer_state *peer_state_get(struct edge *e, const struct config_peer *p);
/* After a reload: places of peers that are in no configuration and have no calls become free. */
void peer_states_sweep(struct peer_states *s, const struct config *cfg);
uint64_t peer_state_name(const struct config_peer *p); /* what a place of it has as `name` */
void peer_state_read(const struct peer_state *s, struct peer_state *ret);
/* What a check has found. True: that is news, and has been logged. */
bool peer_state_set(struct edge *e, const struct config_peer *p, bool is_up, const char *reason,
                    uint64_t now_s);
/* What became of its registration. True: that is news. */
bool peer_trunk_set(struct edge *e, const struct config_peer *p, unsigned state, const char *reason,
                    uint64_t until_s);
bool peer_is_down(struct edge *e, const struct config_peer *p);
const char *peer_health_text(unsigned health);

#endif

/* What is known of peers (edge/peers/peers.h). Any thread. */
#include "edge/peers/peers.h"
#include "base/log.h"
#include "base/mem.h"
#include "edge/peers/trunk.h"

struct peer_states {
    struct peer_state v[LIMIT_PEER_STATES];
};

struct peer_states *peer_states_new(void)
{
    return mem_zalloc(sizeof(struct peer_states));
}

void peer_states_free(struct peer_states *s)
{
    mem_free(s);
}

/* Open addressing, nothing is ever taken out: a place that is somebody's stays so. */
struct peer_state *peer_state_get(struct edge *e, const struct config_peer *p)
{
    uint64_t name = str_hash(p->name) | 1, found;
    size_t i;

    for (i = 0; e->peers && i < LIMIT_PEER_STATES; i++) {
        struct peer_state *s = &e->peers->v[(name + i) % LIMIT_PEER_STATES];

        found = __atomic_load_n(&s->name, __ATOMIC_RELAXED);
        if (found == 0 && __atomic_compare_exchange_n(&s->name, &found, name, false,
                                                      __ATOMIC_RELAXED, __ATOMIC_RELAXED))
            return s;
        if (found == name)
            return s;
    }
    return NULL;
}

void peer_state_read(const struct peer_state *s, struct peer_state *ret)
{
    *ret = (struct peer_state){
        .name = __atomic_load_n(&s->name, __ATOMIC_RELAXED),
        .health = __atomic_load_n(&s->health, __ATOMIC_RELAXED),
        .since_s = __atomic_load_n(&s->since_s, __ATOMIC_RELAXED),
        .reason = __atomic_load_n(&s->reason, __ATOMIC_RELAXED),
        .checks = __atomic_load_n(&s->checks, __ATOMIC_RELAXED),
        .failures = __atomic_load_n(&s->failures, __ATOMIC_RELAXED),
        .below = __atomic_load_n(&s->below, __ATOMIC_RELAXED),
        .below_s = __atomic_load_n(&s->below_s, __ATOMIC_RELAXED),
        .trunk = __atomic_load_n(&s->trunk, __ATOMIC_RELAXED),
        .trunk_until_s = __atomic_load_n(&s->trunk_until_s, __ATOMIC_RELAXED),
        .trunk_reason = __atomic_load_n(&s->trunk_reason, __ATOMIC_RELAXED),
    };
}

bool peer_state_set(struct edge *e, const struct config_peer *p, bool is_up, const char *reason,
                    uint64_t now_s)
{
    struct peer_state *s = peer_state_get(e, p);
    unsigned is = is_up ? PEER_UP : PEER_DOWN;

    if (!s)
        return false;
    __atomic_fetch_add(&s->checks, 1, __ATOMIC_RELAXED);
    if (!is_up)
        __atomic_fetch_add(&s->failures, 1, __ATOMIC_RELAXED);
    __atomic_store_n(&s->reason, is_up ? NULL : reason, __ATOMIC_RELAXED);
    if (__atomic_exchange_n(&s->health, is, __ATOMIC_RELAXED) == is)
        return false;
    __atomic_store_n(&s->since_s, now_s, __ATOMIC_RELAXED);
    LOG(is_up ? LOG_NOTICE : LOG_WARN, "peer-health", LS("peer", p->name),
        LZ("state", peer_health_text(is)), LZ("reason", is_up ? NULL : reason));
    return true;
}

bool peer_trunk_set(struct edge *e, const struct config_peer *p, unsigned state, const char *reason,
                    uint64_t until_s)
{
    struct peer_state *s = peer_state_get(e, p);

    if (!s)
        return false;
    __atomic_store_n(&s->trunk_until_s, until_s, __ATOMIC_RELAXED);
    __atomic_store_n(&s->trunk_reason, reason, __ATOMIC_RELAXED);
    return __atomic_exchange_n(&s->trunk, state, __ATOMIC_RELAXED) != state;
}

/* It does not answer, or does not let us register. */
bool peer_is_down(struct edge *e, const struct config_peer *p)
{
    bool is_checked = p->check_interval_s > 0, is_trunk = trunk_is(p);
    const struct peer_state *s = is_checked || is_trunk ? peer_state_get(e, p) : NULL;

    return s && ((is_checked && __atomic_load_n(&s->health, __ATOMIC_RELAXED) == PEER_DOWN) ||
                 (is_trunk && __atomic_load_n(&s->trunk, __ATOMIC_RELAXED) == TRUNK_FAILED));
}

const char *peer_health_text(unsigned health)
{
    static const char *const texts[] = {
        [PEER_UNKNOWN] = "not checked", [PEER_UP] = "up", [PEER_DOWN] = "down"};

    return health < ARRAY_LEN(texts) ? texts[health] : "?";
}

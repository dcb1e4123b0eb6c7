/* What is known of peers (edge/peers/peers.h). Any thread. */
#include "edge/peers/peers.h"
#include "base/log.h"
#include "base/mem.h"
#include "edge/peers/trunk.h"

struct peer_states {
    pthread_mutex_t lock; /* of those who take a place or free one; to find one needs none */
    struct peer_state v[LIMIT_PEER_STATES];
};

struct peer_states *peer_states_new(void)
{
    struct peer_states *s = mem_zalloc(sizeof *s);

    if (s)
        (void)pthread_mutex_init(&s->lock, NULL);
    return s;
}

void peer_states_free(struct peer_states *s)
{
    if (s)
        (void)pthread_mutex_destroy(&s->lock);
    mem_free(s);
}

uint64_t peer_state_name(const struct config_peer *p)
{
    return str_hash(p->name) | 1;
}

/* Open addressing: a search ends at a place that was never anybody's. *ret_free: the first that can
 * be taken, NULL: none. */
static struct peer_state *place_find(struct peer_states *t, uint64_t name,
                                     struct peer_state **ret_free)
{
    *ret_free = NULL;
    for (size_t i = 0; i < LIMIT_PEER_STATES; i++) {
        struct peer_state *s = &t->v[(name + i) % LIMIT_PEER_STATES];
        uint64_t found = __atomic_load_n(&s->name, __ATOMIC_ACQUIRE);

        if (found == name)
            return s;
        if ((found == 0 || found == PEER_NAME_NONE) && !*ret_free)
            *ret_free = s;
        if (found == 0)
            return NULL;
    }
    return NULL;
}

struct peer_state *peer_state_get(struct edge *e, const struct config_peer *p)
{
    uint64_t name = peer_state_name(p);
    struct peer_state *s, *to_take;

    if (!e->peers || (s = place_find(e->peers, name, &to_take)) != NULL)
        return e->peers ? s : NULL;
    (void)pthread_mutex_lock(&e->peers->lock);
    s = place_find(e->peers, name, &to_take);
    if (!s && to_take) {
        s = to_take;
        __atomic_store_n(&s->calls, 0, __ATOMIC_RELAXED);
        __atomic_store_n(&s->name, name, __ATOMIC_RELEASE);
    }
    (void)pthread_mutex_unlock(&e->peers->lock);
    return s;
}

static bool is_in(const struct config *cfg, uint64_t name)
{
    for (size_t i = 0; i < cfg->n_peers; i++)
        if (peer_state_name(&cfg->peers[i]) == name)
            return true;
    return false;
}

/* Whoever has found the place and has not counted yet finds PEER_CALLS_GONE, or another's name, and
 * looks again; what others write into it just then is an opinion, and gets old. */
static void place_free(struct peer_state *s)
{
    uint64_t none = 0;

    if (!__atomic_compare_exchange_n(&s->calls, &none, PEER_CALLS_GONE, false, __ATOMIC_ACQ_REL,
                                     __ATOMIC_RELAXED))
        return;
    __atomic_store_n(&s->name, PEER_NAME_NONE, __ATOMIC_RELEASE);
    __atomic_store_n(&s->health, PEER_UNKNOWN, __ATOMIC_RELAXED);
    __atomic_store_n(&s->since_s, 0, __ATOMIC_RELAXED);
    __atomic_store_n(&s->reason, NULL, __ATOMIC_RELAXED);
    __atomic_store_n(&s->checks, 0, __ATOMIC_RELAXED);
    __atomic_store_n(&s->failures, 0, __ATOMIC_RELAXED);
    __atomic_store_n(&s->below, 0, __ATOMIC_RELAXED);
    __atomic_store_n(&s->below_s, 0, __ATOMIC_RELAXED);
    __atomic_store_n(&s->trunk, TRUNK_NONE, __ATOMIC_RELAXED);
    __atomic_store_n(&s->trunk_until_s, 0, __ATOMIC_RELAXED);
    __atomic_store_n(&s->trunk_reason, NULL, __ATOMIC_RELAXED);
    for (size_t i = 0; i < PEER_TRUNK_PLACES; i++)
        __atomic_store_n(&s->trunk_at[i], 0, __ATOMIC_RELAXED);
    __atomic_store_n(&s->due_ns, 0, __ATOMIC_RELAXED);
    __atomic_store_n(&s->is_over, 0, __ATOMIC_RELAXED);
    __atomic_store_n(&s->refused, 0, __ATOMIC_RELAXED);
    __atomic_store_n(&s->bursts, 0, __ATOMIC_RELAXED);
}

void peer_states_sweep(struct peer_states *t, const struct config *cfg)
{
    (void)pthread_mutex_lock(&t->lock);
    for (size_t i = 0; i < LIMIT_PEER_STATES; i++) {
        uint64_t name = __atomic_load_n(&t->v[i].name, __ATOMIC_RELAXED);

        if (name != 0 && name != PEER_NAME_NONE && !is_in(cfg, name))
            place_free(&t->v[i]);
    }
    (void)pthread_mutex_unlock(&t->lock);
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
        .calls = __atomic_load_n(&s->calls, __ATOMIC_RELAXED),
        .refused = __atomic_load_n(&s->refused, __ATOMIC_RELAXED),
        .bursts = __atomic_load_n(&s->bursts, __ATOMIC_RELAXED),
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

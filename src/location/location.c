/* The rows of the location service: who is in the table, what is bound to them, which flows lead
 * there, what has expired (RFC 3261 10.3, RFC 5626 7). location_register.c and location_lookup.c
 * are the ways in.
 *
 * Any thread; see location_priv.h for the locks. */
#include "base/mem.h"
#include "base/secret.h"
#include "location/location_priv.h"
#include "sip/uri.h"

#define MAX_DEFAULT 1000000u
#define CLOSED_AT_ONCE 16u /* addresses of record of a closed flow that are handled in one go */

/* ---- rows; the stripe's lock is held ---- */

struct loc_stripe *loc_stripe_of_hash(struct location *l, uint64_t hash)
{
    return &l->stripes[hash >> 32 & (LOC_STRIPES - 1)]; /* the map uses the low bits */
}

struct loc_stripe *loc_stripe_of(struct location *l, struct str aor, uint64_t *ret_hash)
{
    uint64_t hash = str_hash(aor);

    if (ret_hash)
        *ret_hash = hash;
    return loc_stripe_of_hash(l, hash);
}

void loc_row_warm(const struct loc_row *row)
{
    const char *b = (const char *)row->bindings.next - offsetof(struct loc_binding, link);

    for (size_t i = 0; row->n_bindings && i < sizeof(struct loc_binding) + 128; i += 64)
        PREFETCH(b + i);
}

static struct loc_row *row_of(struct map_node *node)
{
    return CONTAINER_OF(node, struct loc_row, node);
}

struct loc_row *loc_row_find(struct loc_stripe *s, struct str aor, uint64_t hash)
{
    struct map_node *node = map_find_hashed(&s->rows, aor, hash);

    return node ? row_of(node) : NULL;
}

int loc_row_get(struct loc_stripe *s, struct str aor, uint64_t hash, struct loc_row **ret)
{
    struct loc_row *row = loc_row_find(s, aor, hash);
    char *key;
    int err;

    *ret = row;
    if (row)
        return 0;
    if (str_is_empty(aor) || aor.n > LOCATION_AOR_MAX)
        return ERR_LIMIT;
    row = mem_zalloc(sizeof(*row) + aor.n);
    if (!row)
        return ERR_NOMEM;
    list_init(&row->bindings);
    key = (char *)(row + 1);
    memcpy(key, aor.p, aor.n);
    if ((err = map_add(&s->rows, &row->node, str_make(key, aor.n))) != 0) {
        mem_free(row);
        return err;
    }
    *ret = row;
    return 0;
}

void loc_row_drop_if_empty(struct loc_stripe *s, struct loc_row *row)
{
    if (row->user || row->n_bindings)
        return;
    map_remove(&s->rows, &row->node);
    mem_free(row);
}

/* ---- the index of flows ---- */

static struct loc_binding **flow_slot(struct location *l, flow_id flow, pthread_mutex_t **ret_lock)
{
    uint64_t h = flow * 0x9e3779b97f4a7c15u; /* ids are ours: nobody can choose collisions */
    struct loc_flow_stripe *f = &l->flows[h >> 58];

    *ret_lock = &f->lock;
    return &f->slots[h >> 40 & (LOC_FLOW_SLOTS - 1)];
}

static void flow_link(struct location *l, struct loc_binding *b)
{
    struct loc_binding **slot;
    pthread_mutex_t *lock;

    if (!b->has_path || !b->path.flow)
        return;
    slot = flow_slot(l, b->path.flow, &lock);
    pthread_mutex_lock(lock);
    b->flow_next = *slot;
    if (b->flow_next)
        b->flow_next->flow_at = &b->flow_next;
    b->flow_at = slot;
    *slot = b;
    pthread_mutex_unlock(lock);
}

static void flow_unlink(struct location *l, struct loc_binding *b)
{
    pthread_mutex_t *lock;

    if (!b->flow_at)
        return;
    (void)flow_slot(l, b->path.flow, &lock);
    pthread_mutex_lock(lock);
    *b->flow_at = b->flow_next;
    if (b->flow_next)
        b->flow_next->flow_at = b->flow_at;
    b->flow_at = NULL;
    b->flow_next = NULL;
    pthread_mutex_unlock(lock);
}

/* ---- bindings; the stripe's lock is held ---- */

struct loc_binding *loc_binding_new(const struct str texts[LOC_TEXTS])
{
    struct loc_binding *b;
    size_t n = 0;

    for (size_t i = 0; i < LOC_TEXTS; i++)
        n += texts[i].n;
    b = mem_zalloc(sizeof(*b) + n);
    if (!b)
        return NULL;
    list_init(&b->link);
    n = 0;
    for (size_t i = 0; i < LOC_TEXTS; i++) {
        if (texts[i].n)
            memcpy(b->text + n, texts[i].p, texts[i].n);
        n += texts[i].n;
        b->ends[i] = (uint16_t)n; /* LIMIT_CONTACT_BYTES and the like keep it below 65,536 */
    }
    return b;
}

static void stats_count(struct loc_stripe *s, const struct loc_binding *b, int n)
{
    s->stats.bindings += (uint64_t)(int64_t)n;
    s->stats.by_transport[b->path.transport] += (uint64_t)(int64_t)n;
    if (b->secure)
        s->stats.secure += (uint64_t)(int64_t)n;
}

void loc_binding_add(struct location *l, struct loc_stripe *s, struct loc_row *row,
                     struct loc_binding *b, struct loc_binding *before)
{
    b->row = row;
    list_append(before ? &before->link : &row->bindings, &b->link);
    if (row->n_bindings++ == 0)
        s->stats.aors_bound++;
    stats_count(s, b, 1);
    __atomic_fetch_add(&l->n_bindings, 1, __ATOMIC_RELAXED);
    flow_link(l, b);
}

void loc_binding_remove(struct location *l, struct loc_stripe *s, struct loc_binding *b)
{
    flow_unlink(l, b);
    list_remove(&b->link);
    if (--b->row->n_bindings == 0)
        s->stats.aors_bound--;
    stats_count(s, b, -1);
    __atomic_fetch_sub(&l->n_bindings, 1, __ATOMIC_RELAXED);
    mem_free(b);
}

void loc_binding_repath(struct location *l, struct loc_stripe *s, struct loc_binding *b,
                        const struct path *path, bool is_secure)
{
    bool same_flow = b->has_path && path && b->path.flow == path->flow;

    if (!same_flow)
        flow_unlink(l, b);
    stats_count(s, b, -1);
    b->has_path = path != NULL;
    if (path)
        b->path = *path;
    b->secure = is_secure;
    stats_count(s, b, 1);
    if (!same_flow)
        flow_link(l, b);
}

bool loc_can_dial(struct str contact, uint32_t reg_id, struct str route, const struct path *path)
{
    struct sip_uri u;
    struct addr a;

    if (path->transport != TRANSPORT_TCP || reg_id || route.n || sip_uri_parse(contact, &u) != 0 ||
        u.scheme != SIP_SCHEME_SIP || u.maddr.n || !str_eq_nocase(u.transport, STR("tcp")))
        return false;
    return addr_parse(&a, u.host, u.port ? u.port : 5060) == 0 && addr_eq_host(&a, &path->remote) &&
           addr_port(&a) != addr_port(&path->remote);
}

void loc_row_unbind_all(struct location *l, struct loc_stripe *s, struct loc_row *row)
{
    LIST_EACH(b, &row->bindings, struct loc_binding, link)
    {
        s->stats.removed++;
        loc_store_del(l, s, b);
        loc_binding_remove(l, s, b);
    }
}

void loc_row_expire(struct location *l, struct loc_stripe *s, struct loc_row *row, uint64_t now_s)
{
    LIST_EACH(b, &row->bindings, struct loc_binding, link)
    {
        if (b->expires_s > now_s)
            continue;
        s->stats.expired++;
        loc_store_del(l, s, b);
        loc_binding_remove(l, s, b);
    }
}

/* ---- flows that close ---- */

struct aor_copy {
    size_t n;
    char p[LOCATION_AOR_MAX];
};

/* Whose bindings are reached by a flow: some of them, copied, so that no two locks are needed. */
static size_t flow_aors(struct location *l, flow_id flow, struct aor_copy ret[CLOSED_AT_ONCE])
{
    pthread_mutex_t *lock;
    struct loc_binding **slot = flow_slot(l, flow, &lock);
    size_t n = 0;

    pthread_mutex_lock(lock);
    for (struct loc_binding *b = *slot; b && n < CLOSED_AT_ONCE; b = b->flow_next) {
        struct str aor = b->row->node.key;

        if (b->path.flow != flow ||
            (n && str_eq(aor, str_make(ret[n - 1].p, ret[n - 1].n)))) /* several of one phone */
            continue;
        memcpy(ret[n].p, aor.p, aor.n);
        ret[n++].n = aor.n;
    }
    pthread_mutex_unlock(lock);
    return n;
}

static void row_flow_closed(struct location *l, struct loc_stripe *s, struct loc_row *row,
                            flow_id flow)
{
    LIST_EACH(b, &row->bindings, struct loc_binding, link)
    {
        if (!b->has_path || b->path.flow != flow)
            continue;
        s->stats.flows_lost++;
        if (b->can_dial || loc_text(b, LOC_ROUTE).n) {
            loc_binding_repath(l, s, b, NULL, b->secure);
        } else {
            loc_store_del(l, s, b);
            loc_binding_remove(l, s, b);
        }
    }
}

void location_flow_closed(struct location *l, flow_id flow)
{
    struct aor_copy aors[CLOSED_AT_ONCE];
    size_t n;

    while (flow && (n = flow_aors(l, flow, aors)) > 0) {
        for (size_t i = 0; i < n; i++) {
            struct str aor = str_make(aors[i].p, aors[i].n);
            uint64_t hash;
            struct loc_stripe *s = loc_stripe_of(l, aor, &hash);
            struct loc_row *row;

            pthread_mutex_lock(&s->lock);
            if ((row = loc_row_find(s, aor, hash)) != NULL)
                row_flow_closed(l, s, row, flow);
            pthread_mutex_unlock(&s->lock);
        }
    }
}

/* ---- housekeeping ---- */

struct sweep {
    struct location *l;
    struct loc_stripe *s;
    uint64_t now_s;
};

static bool sweep_row(struct map_node *node, void *arg)
{
    struct sweep *sw = arg;
    struct loc_row *row = row_of(node);

    if (row->n_bindings)
        loc_row_expire(sw->l, sw->s, row, sw->now_s);
    loc_row_drop_if_empty(sw->s, row);
    return true;
}

void location_sweep(struct location *l, uint64_t now_s)
{
    unsigned part = __atomic_fetch_add(&l->sweep_at, 1, __ATOMIC_RELAXED) % LOC_SWEEP_PARTS;

    for (unsigned i = part; i < LOC_STRIPES; i += LOC_SWEEP_PARTS) {
        struct sweep sw = {l, &l->stripes[i], now_s};

        pthread_mutex_lock(&sw.s->lock);
        map_each(&sw.s->rows, sweep_row, &sw);
        pthread_mutex_unlock(&sw.s->lock);
    }
}

void location_stats_get(struct location *l, struct location_stats *ret)
{
    *ret = (struct location_stats){.users = 0};
    for (unsigned i = 0; i < LOC_STRIPES; i++) {
        struct loc_stripe *s = &l->stripes[i];
        const uint64_t *from = (const uint64_t *)&s->stats;
        uint64_t *to = (uint64_t *)ret;

        pthread_mutex_lock(&s->lock);
        for (size_t k = 0; k < sizeof(*ret) / sizeof(uint64_t); k++)
            to[k] += from[k];
        pthread_mutex_unlock(&s->lock);
    }
}

/* ---- life ---- */

static bool free_row(struct map_node *node, void *arg)
{
    struct sweep *sw = arg;
    struct loc_row *row = row_of(node);

    LIST_EACH(b, &row->bindings, struct loc_binding, link)
    loc_binding_remove(sw->l, sw->s, b);
    loc_user_free(row->user);
    map_remove(&sw->s->rows, node);
    mem_free(row);
    return true;
}

void location_free(struct location *l)
{
    if (!l)
        return;
    if (l->store && l->is_watching)
        (void)!store_watch_users(l->store, NULL, NULL);
    for (unsigned i = 0; i < LOC_STRIPES; i++) {
        struct sweep sw = {l, &l->stripes[i], 0};

        if (sw.s->rows.slots)
            map_each(&sw.s->rows, free_row, &sw);
        map_done(&sw.s->rows);
        pthread_mutex_destroy(&sw.s->lock);
    }
    for (unsigned i = 0; i < LOC_FLOW_STRIPES; i++) {
        mem_free(l->flows[i].slots);
        pthread_mutex_destroy(&l->flows[i].lock);
    }
    secret_wipe(l->gruu_key, sizeof(l->gruu_key));
    mem_free(l);
}

static int tables_new(struct location *l, size_t max_aors)
{
    int err = 0;

    for (unsigned i = 0; i < LOC_STRIPES; i++) {
        struct loc_stripe *s = &l->stripes[i];

        pthread_mutex_init(&s->lock, NULL);
        /* twice the even share: users do not fall evenly */
        if (!err)
            err = map_init(&s->rows, max_aors / LOC_STRIPES * 2 + 64);
    }
    for (unsigned i = 0; i < LOC_FLOW_STRIPES; i++) {
        struct loc_flow_stripe *f = &l->flows[i];

        pthread_mutex_init(&f->lock, NULL);
        f->slots = err ? NULL : mem_zalloc_array(LOC_FLOW_SLOTS, sizeof(*f->slots));
        if (!f->slots)
            err = ERR_NOMEM;
    }
    return err;
}

int location_new(const struct location_args *args, struct location **ret, struct reason *why)
{
    struct location *l = mem_zalloc(sizeof(*l));
    int err;

    *ret = NULL;
    if (!l) {
        reason_set(why, "no-memory", NULL, 0, NULL);
        return ERR_NOMEM;
    }
    l->store = args->store;
    l->max_bindings = args->max_bindings ? args->max_bindings : MAX_DEFAULT;
    l->path_restore = args->path_restore;
    l->path_arg = args->path_arg;
    memcpy(l->gruu_key, args->gruu_key, sizeof(l->gruu_key));
    if ((err = tables_new(l, args->max_aors ? args->max_aors : MAX_DEFAULT)) != 0)
        reason_set(why, "no-memory", NULL, 0, NULL);
    else if (l->store)
        err = loc_restore(l, why);
    if (err) {
        location_free(l);
        return err;
    }
    *ret = l;
    return 0;
}

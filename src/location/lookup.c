/* Where a user is: copies of the bindings, for requests (RFC 3261 16.5, RFC 5626 7, RFC 5627 6.1)
 * and for those who look on. Any thread. */
#include "base/mem.h"
#include "location/location_priv.h"

static struct str text_move(struct str s, char **at)
{
    struct str copy = str_make(*at, s.n);

    if (s.n)
        memcpy(*at, s.p, s.n);
    *at += s.n;
    return copy;
}

void loc_binding_copy(const struct loc_binding *b, struct str aor, uint64_t now_s, char **at,
                      struct location_binding *ret)
{
    *ret = (struct location_binding){
        .aor = aor,
        .uri = text_move(loc_text(b, LOC_URI), at),
        .params = text_move(loc_text(b, LOC_PARAMS), at),
        .call_id = text_move(loc_text(b, LOC_CALL_ID), at),
        .route = text_move(loc_text(b, LOC_ROUTE), at),
        .instance = text_move(loc_text(b, LOC_INSTANCE), at),
        .user_agent = text_move(loc_text(b, LOC_AGENT), at),
        .cseq = b->cseq,
        .reg_id = b->reg_id,
        .q_milli = b->q_milli,
        .expires_s = (uint32_t)(b->expires_s > now_s ? b->expires_s - now_s : 0),
        .registered_s = b->registered_s,
        .has_path = b->has_path,
        .can_dial = b->can_dial,
        .secure = b->secure,
        .path = b->path,
    };
}

void loc_count_gruus(struct location *l, struct str aor, uint64_t n)
{
    struct loc_stripe *s = loc_stripe_of(l, aor, NULL);

    pthread_mutex_lock(&s->lock);
    s->stats.gruus += n;
    pthread_mutex_unlock(&s->lock);
}

/* ---- targets ---- */

/* Which bindings of a row a query means. */
struct filter {
    struct str instance; /* of a public GRUU */
    uint64_t epoch;      /* of a temporary one */
};

static bool is_meant(const struct filter *f, const struct loc_binding *b)
{
    if (f->epoch)
        return b->gruu_epoch == f->epoch;
    return f->instance.n == 0 || str_eq_nocase(loc_text(b, LOC_INSTANCE), f->instance);
}

static void target_copy(const struct loc_binding *b, char **at, struct location_target *ret)
{
    *ret = (struct location_target){
        .uri = text_move(loc_text(b, LOC_URI), at),
        .route = text_move(loc_text(b, LOC_ROUTE), at),
        .params = text_move(loc_text(b, LOC_PARAMS), at),
        .instance = text_move(loc_text(b, LOC_INSTANCE), at),
        .user_agent = text_move(loc_text(b, LOC_AGENT), at),
        .has_path = b->has_path,
        .path = b->path,
        .secure = b->secure,
        .q_milli = b->q_milli,
        .reg_id = b->reg_id,
        .registered_s = b->registered_s,
        .expires_s = b->expires_s,
    };
}

/* Highest q first (RFC 3261 16.6); the newest first as the row has them among equals. */
static void sort_by_q(struct location_target *v, size_t n)
{
    for (size_t i = 1; i < n; i++) {
        struct location_target t = v[i];
        size_t k = i;

        for (; k > 0 && v[k - 1].q_milli < t.q_milli; k--)
            v[k] = v[k - 1];
        v[k] = t;
    }
}

/* The stripe's lock is held. */
static int targets_copy(struct loc_row *row, const struct filter *f, struct arena *a,
                        struct location_targets *ret)
{
    size_t n = 0, bytes = row->node.key.n, n_meant = 0;
    char *at;

    LIST_EACH(b, &row->bindings, struct loc_binding, link)
    {
        if (!is_meant(f, b))
            continue;
        n_meant++;
        n += loc_is_reachable(b);
        bytes += b->ends[LOC_TEXTS - 1];
    }
    if (f->epoch && n_meant == 0)
        return ERR_NOTFOUND; /* a temporary GRUU that is valid no more (RFC 5627 5.1, 5.3) */
    ret->n_lost = n_meant - n;
    ret->v = arena_alloc(a, n * sizeof(*ret->v) + 1);
    at = arena_alloc(a, bytes);
    if (!ret->v || !at)
        return ERR_NOMEM;
    ret->aor = text_move(row->node.key, &at);
    LIST_EACH(b, &row->bindings, struct loc_binding, link)
    {
        if (is_meant(f, b) && loc_is_reachable(b))
            target_copy(b, &at, &ret->v[ret->n++]);
    }
    return 0;
}

int location_lookup(struct location *l, const struct location_query *q, struct arena *a,
                    struct location_targets *ret)
{
    struct filter f = {.instance = q->has_gr ? q->gr : STR_NULL};
    struct str aor = q->aor;
    struct loc_stripe *s;
    struct loc_row *row;
    uint64_t hash;
    int err;

    *ret = (struct location_targets){.v = NULL};
    if (q->has_gr && str_is_empty(q->gr) &&
        (err = loc_gruu_open(l, a, q->aor, &aor, &f.epoch)) != 0)
        return err;
    s = loc_stripe_of(l, aor, &hash);
    pthread_mutex_lock(&s->lock);
    row = loc_row_find(s, aor, hash);
    if (!row || !row->user) {
        err = ERR_NOTFOUND;
    } else {
        loc_row_expire(l, s, row, q->now_s);
        err = targets_copy(row, &f, a, ret);
    }
    pthread_mutex_unlock(&s->lock);
    sort_by_q(ret->v, ret->n);
    return err;
}

/* ---- looking on ---- */

struct copies {
    uint64_t now_s;
    size_t n, bytes, at_n;
    struct location_binding *v;
    char *text;
};

static bool measure_row(struct map_node *node, void *arg)
{
    struct loc_row *row = CONTAINER_OF(node, struct loc_row, node);
    struct copies *c = arg;

    if (row->n_bindings == 0)
        return true;
    c->n += row->n_bindings;
    c->bytes += row->node.key.n;
    LIST_EACH(b, &row->bindings, struct loc_binding, link)
    c->bytes += b->ends[LOC_TEXTS - 1];
    return true;
}

static bool copy_row(struct map_node *node, void *arg)
{
    struct loc_row *row = CONTAINER_OF(node, struct loc_row, node);
    struct copies *c = arg;
    struct str aor;

    if (row->n_bindings == 0)
        return true;
    aor = text_move(row->node.key, &c->text);
    LIST_EACH(b, &row->bindings, struct loc_binding, link)
    {
        if (b->expires_s > c->now_s)
            loc_binding_copy(b, aor, c->now_s, &c->text, &c->v[c->at_n++]);
    }
    return true;
}

/* All bindings of a stripe in one block; NULL: no memory, or none (then c->n is 0). */
static void *stripe_copy(struct loc_stripe *s, struct copies *c)
{
    char *block = NULL;

    pthread_mutex_lock(&s->lock);
    map_each(&s->rows, measure_row, c);
    if (c->n && (block = mem_alloc(c->n * sizeof(*c->v) + c->bytes)) != NULL) {
        c->v = (struct location_binding *)(void *)block;
        c->text = block + c->n * sizeof(*c->v);
        map_each(&s->rows, copy_row, c);
    }
    pthread_mutex_unlock(&s->lock);
    return block;
}

int location_each(struct location *l, uint64_t now_s,
                  bool (*fn)(void *arg, const struct location_binding *b), void *arg)
{
    bool goes_on = true;

    for (unsigned i = 0; i < LOC_STRIPES && goes_on; i++) {
        struct copies c = {.now_s = now_s};
        void *block = stripe_copy(&l->stripes[i], &c);

        if (!block && c.n)
            return ERR_NOMEM;
        for (size_t k = 0; k < c.at_n && goes_on; k++)
            goes_on = fn(arg, &c.v[k]);
        mem_free(block);
    }
    return 0;
}

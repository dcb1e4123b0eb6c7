/* The transaction layer: entry and dispatch (RFC 3261 18.1.2, 18.2.1 as amended by RFC 6026 8.9
 * and 8.10), the memory of transactions, and transport news (17.1.4, 16.9, RFC 6026 8.8).
 *
 * Nothing that a caller further down the stack may still hold is freed under it: client
 * transactions that ended wait in `dead` until the outermost call returns, requests that were
 * answered wait in `dying` until the next message or timer.
 *
 * Owner: one worker, which alone calls it. */
#include "base/limits.h"
#include "base/mem.h"
#include "sip/tx_priv.h"

#ifdef ASAN_ENABLED
#include <sanitizer/asan_interface.h>
#define TX_POISON(p, n) __asan_poison_memory_region((p), (n))
#define TX_UNPOISON(p, n) __asan_unpoison_memory_region((p), (n))
#else
#define TX_POISON(p, n) ((void)(p), (void)(n))
#define TX_UNPOISON(p, n) ((void)(p), (void)(n))
#endif

#define DEST_SLOTS_MAX 65536u
#define EVICT_T1 8u /* a remnant that matters is kept this many T1 in any case */
#define EVICT_AT_ONCE 4u
#define WORKER_MAX 255u     /* what two digits of a branch hold */
#define SLOT_MAX (1u << 24) /* what six hold */

/* ---- pools ---- */

/* Slabs of 256 byte objects, grown on demand and never given back, so that the number of a slot
 * always names an object. The head of a free one stays readable. */

static struct tx_head *chunk_object(void *chunk, size_t i)
{
    uintptr_t first = ((uintptr_t)chunk + 63) & ~(uintptr_t)63;

    return (struct tx_head *)(first + i * TX_OBJECT_BYTES);
}

static struct tx_head *pool_at(const struct tx_pool *p, size_t index)
{
    return index / TX_CHUNK < p->n_chunks
               ? chunk_object(p->chunks[index / TX_CHUNK], index % TX_CHUNK)
               : NULL;
}

static int pool_init(struct tx_pool *p, size_t max)
{
    p->max_chunks = (max + TX_CHUNK - 1) / TX_CHUNK;
    p->chunks = mem_zalloc_array(p->max_chunks, sizeof *p->chunks);
    return p->chunks ? 0 : ERR_NOMEM;
}

static void pool_put(struct tx_pool *p, struct tx_head *h)
{
    TX_POISON(h + 1, TX_OBJECT_BYTES - sizeof *h);
    h->state = 0;
    h->link.next = p->free;
    p->free = &h->link;
}

static bool pool_grow(struct tx_pool *p)
{
    size_t i;
    void *chunk;

    if (p->n_chunks == p->max_chunks || !(chunk = mem_alloc(TX_CHUNK * TX_OBJECT_BYTES + 63)))
        return false;
    p->chunks[p->n_chunks++] = chunk;
    for (i = TX_CHUNK; i-- > 0;) {
        struct tx_head *h = chunk_object(chunk, i);

        h->index = (uint32_t)((p->n_chunks - 1) * TX_CHUNK + i);
        pool_put(p, h);
    }
    return true;
}

/* Zeroed but for its index. */
static struct tx_head *pool_get(struct tx_pool *p)
{
    struct tx_head *h;
    uint32_t index;

    if (!p->free && !pool_grow(p))
        return NULL;
    h = CONTAINER_OF(p->free, struct tx_head, link);
    p->free = h->link.next;
    /* With half a minute's transactions in memory a free one is in no cache: the next one will be. */
    if (p->free)
        for (size_t at = 0; at < TX_OBJECT_BYTES; at += 64)
            PREFETCH((const char *)CONTAINER_OF(p->free, struct tx_head, link) + at);
    TX_UNPOISON(h + 1, TX_OBJECT_BYTES - sizeof *h);
    index = h->index;
    memset(h, 0, TX_OBJECT_BYTES);
    h->index = index;
    return h;
}

static void pool_done(struct tx_pool *p)
{
    while (p->n_chunks) {
        void *chunk = p->chunks[--p->n_chunks];

        TX_UNPOISON(chunk, TX_CHUNK * TX_OBJECT_BYTES + 63);
        mem_free(chunk);
    }
    mem_free(p->chunks);
}

struct sip_ctx *txl_ctx_get(struct sip_txl *l)
{
    struct tx_head *h = pool_get(&l->ctxs);

    if (!h)
        return NULL;
    l->st.ctx_now++;
    l->st.ctx_made++;
    return CONTAINER_OF(h, struct sip_ctx, head);
}

struct sip_stx *txl_stx_get(struct sip_txl *l)
{
    struct tx_head *h = pool_get(&l->stxs);

    if (!h)
        return NULL;
    l->st.stx_now++;
    l->st.stx_made++;
    return CONTAINER_OF(h, struct sip_stx, head);
}

void txl_ctx_put(struct sip_ctx *tx)
{
    tx->l->st.ctx_now--;
    tx->head.link.next = tx->l->dead;
    tx->l->dead = &tx->head.link;
}

void txl_stx_put(struct sip_stx *tx)
{
    tx->l->st.stx_now--;
    pool_put(&tx->l->stxs, &tx->head);
}

struct sip_ctx *txl_ctx_at(const struct sip_txl *l, uint32_t slot)
{
    struct tx_head *h = pool_at(&l->ctxs, slot);

    return h ? CONTAINER_OF(h, struct sip_ctx, head) : NULL;
}

struct sip_stx *txl_stx_at(const struct sip_txl *l, uint32_t number)
{
    return number ? CONTAINER_OF(pool_at(&l->stxs, number - 1), struct sip_stx, head) : NULL;
}

bool txl_has_room(const struct sip_txl *l, bool reserve)
{
    return l->st.stx_now + l->st.ctx_now < l->max + (reserve || l->uses_reserve ? l->reserve : 0);
}

/* ---- timers ---- */

void txl_timer_stop(struct sip_txl *l, struct tx_head *h, struct wheel_timer *t)
{
    if (h->flags & TX_F_QUEUED) {
        h->flags &= (uint8_t)~TX_F_QUEUED;
        list_remove(&t->node);
    } else {
        wheel_cancel(l->wheel, t);
    }
}

void txl_timer_start(struct sip_txl *l, struct tx_head *h, struct wheel_timer *t, uint64_t ms)
{
    if (h->flags & TX_F_QUEUED)
        txl_timer_stop(l, h, t);
    wheel_start(l->wheel, t, ms);
}

static struct wheel_timer *queue_first(struct tx_queue *q)
{
    return LIST_FIRST(&q->list, struct wheel_timer, node);
}

void txl_timer_linger(struct sip_txl *l, struct tx_head *h, struct wheel_timer *t, uint64_t ms)
{
    struct tx_queue *q = l->queues;
    uint64_t due = txl_now(l) + ms;

    while (q < l->queues + TX_QUEUE_N && q->ms != ms)
        q++;
    /* Out of order only if the timers have been changed in between. */
    if (ms == 0 || q == l->queues + TX_QUEUE_N ||
        (!list_is_empty(&q->list) &&
         CONTAINER_OF(q->list.prev, struct wheel_timer, node)->due_ms > due)) {
        txl_timer_start(l, h, t, ms);
        return;
    }
    txl_timer_stop(l, h, t);
    if (list_is_empty(&q->list))
        wheel_start(l->wheel, &q->timer, ms);
    t->due_ms = due;
    list_append(&q->list, &t->node);
    h->flags |= TX_F_QUEUED;
}

bool txl_timer_is_end(struct sip_txl *l, struct tx_head *h, uint64_t end_ms)
{
    bool is_end = l->is_evicting || txl_now(l) >= end_ms;

    l->is_evicting = false;
    h->flags &= (uint8_t)~TX_F_QUEUED;
    return is_end;
}

static void queue_timer(struct wheel_timer *timer)
{
    struct tx_queue *q = CONTAINER_OF(timer, struct tx_queue, timer);
    uint64_t now = wheel_now_ms(q->wheel);
    struct wheel_timer *t;

    while ((t = queue_first(q)) && t->due_ms <= now) {
        const char *next = (const char *)t->node.next;

        list_remove(&t->node);
        for (int at = -64; at <= 64; at += 64) /* it has been left alone for half a minute */
            PREFETCH(next + at);
        t->fn(t);
    }
    if (t)
        wheel_start(q->wheel, timer, t->due_ms - now);
}

static bool evict_oldest(struct sip_txl *l, struct tx_queue *q, uint64_t min_age_ms)
{
    struct wheel_timer *t = queue_first(q);

    if (!t || t->due_ms + min_age_ms > txl_now(l) + q->ms)
        return false;
    list_remove(&t->node);
    l->is_evicting = true;
    l->st.evicted++;
    t->fn(t);
    return true;
}

/* First those that wait for T4: all they do is to swallow a late repetition, which finds no other use without them (timers I
 * and K). Then those that a repetition would make work twice for, once its sender has had time for several. */
void txl_evict(struct sip_txl *l)
{
    unsigned n;

    for (n = 0; n < EVICT_AT_ONCE && l->st.stx_now + l->st.ctx_now + l->max / 32 >= l->max; n++) {
        if (!evict_oldest(l, &l->queues[TX_QUEUE_T4], 0) &&
            !evict_oldest(l, &l->queues[TX_QUEUE_64T1], EVICT_T1 * (uint64_t)l->t.t1_ms))
            return;
    }
}

/* ---- arenas ---- */

struct arena *sip_txl_arena(struct sip_txl *l)
{
    return l->n_arenas ? l->arenas[--l->n_arenas]
                       : arena_new(TX_ARENA_FIRST, LIMIT_MSG_ARENA_BYTES);
}

void sip_txl_arena_done(struct sip_txl *l, struct arena *a)
{
    if (!a)
        return;
    if (l->n_arenas == TX_ARENAS) {
        arena_free(a);
        return;
    }
    arena_reset(a);
    l->arenas[l->n_arenas++] = a;
}

/* ---- the stack of calls ---- */

static void dead_flush(struct sip_txl *l)
{
    while (l->dead) {
        struct tx_head *h = CONTAINER_OF(l->dead, struct tx_head, link);

        l->dead = h->link.next;
        pool_put(&l->ctxs, h);
    }
}

static void dying_flush(struct sip_txl *l)
{
    while (l->dying) {
        struct stx_live *v = l->dying;
        struct buf *buf = v->buf;

        l->dying = v->next;
        sip_txl_arena_done(l, v->m->arena); /* v is in there */
        buf_unref(buf);
    }
}

void txl_enter(struct sip_txl *l)
{
    if (l->depth++ == 0) {
        dying_flush(l);
        dead_flush(l);
    }
}

void txl_leave(struct sip_txl *l)
{
    if (--l->depth == 0)
        dead_flush(l);
}

int txl_send(struct sip_txl *l, const struct path *to, struct buf *msg)
{
    int err = l->user.send(l->user.arg, to, msg);

    if (UNLIKELY(err < 0))
        l->st.transport_errors++;
    return err < 0 ? err : 0;
}

/* ---- tables ---- */

void txl_table_add(struct sip_stx *tx)
{
    struct tx_bucket *b = &tx->l->table[tx->key[0] & tx->l->table_mask];

    tx->next = b->first;
    b->first = tx->head.index + 1;
    b->seen |= tx_bucket_bit(tx->key[0]);
}

void txl_table_remove(struct sip_stx *tx)
{
    struct tx_bucket *b = &tx->l->table[tx->key[0] & tx->l->table_mask];
    uint32_t *at = &b->first;

    while (*at != tx->head.index + 1)
        at = &txl_stx_at(tx->l, *at)->next;
    *at = tx->next;
    if (!b->first)
        b->seen = 0;
}

void tx_unlink(struct tx_link *link)
{
    if (!link->where)
        return;
    *link->where = link->next;
    if (link->next)
        link->next->where = link->where;
    link->where = NULL;
}

static void link_into(struct tx_link **bucket, struct tx_link *link)
{
    link->next = *bucket;
    link->where = bucket;
    if (link->next)
        link->next->where = &link->next;
    *bucket = link;
}

/* A flow is its id; what has none is its transport and remote address. */
static size_t dest_slot(const struct sip_txl *l, const struct path *p)
{
    uint64_t h = p->flow ? p->flow : addr_hash(&p->remote) + p->transport;

    return (size_t)((h * 0x9e3779b97f4a7c15u) >> 32) & l->dest_mask;
}

static bool dest_is(const struct path *p, const struct path *to)
{
    if (p->flow || to->flow)
        return p->flow == to->flow;
    return p->transport == to->transport && addr_eq(&p->remote, &to->remote);
}

void txl_ctx_wait(struct sip_ctx *tx)
{
    if (!tx->head.link.where)
        link_into(&tx->l->ctx_dest[dest_slot(tx->l, &tx->path)], &tx->head.link);
}

void txl_stx_wait(struct sip_stx *tx)
{
    struct path scratch;

    if (!tx->head.link.where)
        link_into(&tx->l->stx_dest[dest_slot(tx->l, stx_path(tx, &scratch))], &tx->head.link);
}

/* ---- transport news ---- */

static void ctxs_failed(struct sip_txl *l, const struct path *to, enum ctx_event ev)
{
    struct tx_link *hit = NULL, *at = l->ctx_dest[dest_slot(l, to)];

    /* First aside with all of them: callbacks start new ones to there, which have not failed. */
    while (at) {
        struct sip_ctx *tx = CONTAINER_OF(at, struct sip_ctx, head.link);

        at = at->next;
        if (dest_is(&tx->path, to)) {
            tx_unlink(&tx->head.link);
            link_into(&hit, &tx->head.link);
        }
    }
    while (hit) {
        struct sip_ctx *tx = CONTAINER_OF(hit, struct sip_ctx, head.link);

        tx_unlink(hit);
        txl_ctx_wait(tx); /* the machine takes it out again if this ends the waiting */
        ctx_event(tx, ev, NULL);
    }
}

static void stxs_failed(struct sip_txl *l, const struct path *to)
{
    struct tx_link *hit = NULL, *at = l->stx_dest[dest_slot(l, to)];
    struct path scratch;

    while (at) {
        struct sip_stx *tx = CONTAINER_OF(at, struct sip_stx, head.link);

        at = at->next;
        if (dest_is(stx_path(tx, &scratch), to)) {
            tx_unlink(&tx->head.link);
            link_into(&hit, &tx->head.link);
        }
    }
    while (hit) {
        struct sip_stx *tx = CONTAINER_OF(hit, struct sip_stx, head.link);

        tx_unlink(hit);
        (void)stx_event(tx, STX_E_SEND_ERROR, NULL);
    }
}

void sip_txl_flow_failed(struct sip_txl *l, flow_id flow)
{
    struct path to = {.flow = flow};

    if (!flow)
        return;
    txl_enter(l);
    ctxs_failed(l, &to, CTX_E_FLOW_GONE);
    stxs_failed(l, &to);
    txl_leave(l);
}

void sip_txl_path_failed(struct sip_txl *l, const struct path *path)
{
    struct path to = *path;

    to.flow = 0;
    txl_enter(l);
    ctxs_failed(l, &to, CTX_E_SEND_ERROR);
    stxs_failed(l, &to);
    txl_leave(l);
}

/* ---- entry ---- */

void sip_txl_warm(struct sip_txl *l, struct sip_msg *m)
{
    struct tx_key k;
    struct sip_ctx *tx;
    int64_t slot;

    if (!m->is_request) {
        slot = sip_branch_worker(m->via.branch) == (int)l->worker ? tx_branch_slot(m->via.branch) : -1;
        tx = slot >= 0 ? txl_ctx_at(l, (uint32_t)slot) : NULL;
        for (size_t at = 0; tx && at < sizeof *tx; at += 64)
            PREFETCH((const char *)tx + at);
        return;
    }
    if (tx_key_is_old(m->via.branch) || tx_key_make(m, &k) != 0)
        return;
    memcpy(m->key, k.v, sizeof m->key);
    m->has_key = true;
    PREFETCH(&l->table[k.v[0] & l->table_mask]);
}

int sip_txl_receive(struct sip_txl *l, struct sip_msg *m, const struct rx *rx)
{
    struct arena *a = m->arena;
    int err = 0;

    txl_enter(l);
    if (m->is_request) {
        err = stx_receive(l, m, rx);
    } else {
        ctx_receive(l, m, rx);
        sip_txl_arena_done(l, a);
    }
    txl_leave(l);
    return err;
}

/* ---- life ---- */

void sip_txl_set_timers(struct sip_txl *l, const struct sip_timers *t)
{
    uint64_t e, sum = 0;

    l->t = *t;
    l->queues[TX_QUEUE_64T1].ms = txl_64t1(l);
    l->queues[TX_QUEUE_T4].ms = t->t4_ms;
    l->queues[TX_QUEUE_D].ms = t->t_udp_d_ms;
    for (e = t->t1_ms; e && e < t->t2_ms; e *= 2)
        sum += e;
    l->trying_ms = (uint32_t)sum;
}

void sip_txl_use_reserve(struct sip_txl *l, bool on)
{
    l->uses_reserve = on;
}

void sip_txl_allow_maddr(struct sip_txl *l, bool allow)
{
    l->maddr = allow;
}

static size_t power_of_two(size_t n)
{
    size_t p = 16;

    while (p < n)
        p *= 2;
    return p;
}

struct sip_txl *sip_txl_new(const struct sip_txl_user *user, struct wheel *wheel,
                            struct rand_source *rand, unsigned worker, size_t max_transactions)
{
    struct sip_txl *l;
    size_t n_table, n_dest, i;

    if (worker > WORKER_MAX || max_transactions < 1 || max_transactions > SLOT_MAX / 2)
        return NULL;
    l = mem_zalloc(sizeof *l);
    if (!l)
        return NULL;
    n_table = power_of_two(max_transactions);
    for (i = 0; i < TX_QUEUE_N; i++) {
        list_init(&l->queues[i].list);
        wheel_timer_init(&l->queues[i].timer, queue_timer);
        l->queues[i].wheel = wheel;
    }
    l->user = *user;
    l->wheel = wheel;
    l->rand = rand;
    l->worker = worker;
    l->max = max_transactions;
    l->reserve = max_transactions / 8 + 8;
    sip_txl_set_timers(l, &(struct sip_timers){500, 4000, 5000, 32000});
    n_dest = n_table < DEST_SLOTS_MAX ? n_table : DEST_SLOTS_MAX;
    l->table_mask = n_table - 1;
    l->dest_mask = n_dest - 1;
    l->table = mem_zalloc_array(n_table, sizeof *l->table);
    l->ctx_dest = mem_zalloc_array(n_dest, sizeof *l->ctx_dest);
    l->stx_dest = mem_zalloc_array(n_dest, sizeof *l->stx_dest);
    if (!l->table || !l->ctx_dest || !l->stx_dest ||
        pool_init(&l->ctxs, l->max + l->reserve) != 0 ||
        pool_init(&l->stxs, l->max + l->reserve) != 0) {
        sip_txl_free(l);
        return NULL;
    }
    return l;
}

void sip_txl_free(struct sip_txl *l)
{
    size_t i;

    if (!l)
        return;
    dying_flush(l);
    dead_flush(l);
    for (i = 0; i < TX_QUEUE_N; i++)
        wheel_cancel(l->wheel, &l->queues[i].timer);
    for (i = 0; i < l->ctxs.n_chunks * TX_CHUNK; i++) {
        struct sip_ctx *tx = CONTAINER_OF(pool_at(&l->ctxs, i), struct sip_ctx, head);

        if (tx->head.state == CTX_FREE)
            continue;
        txl_timer_stop(l, &tx->head, &tx->timer);
        ctx_drop_buf(tx);
    }
    for (i = 0; i < l->stxs.n_chunks * TX_CHUNK; i++) {
        struct sip_stx *tx = CONTAINER_OF(pool_at(&l->stxs, i), struct sip_stx, head);

        if (tx->head.state == STX_FREE)
            continue;
        txl_timer_stop(l, &tx->head, &tx->timer);
        stx_give_back(tx);
        stx_keep(tx, NULL);
        buf_unref(tx->dest);
    }
    dying_flush(l);
    while (l->n_arenas)
        arena_free(l->arenas[--l->n_arenas]);
    pool_done(&l->ctxs);
    pool_done(&l->stxs);
    mem_free(l->table);
    mem_free(l->ctx_dest);
    mem_free(l->stx_dest);
    mem_free(l);
}

void sip_txl_stats(const struct sip_txl *l, struct sip_txl_stats *ret)
{
    *ret = l->st;
}

/* Credentials by their address; see certs.h. Three parts: what workers share, what happens on the
 * fetcher's thread, and a worker's own table. */
#include "fetch/certs.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/map.h"
#include "base/mem.h"
#include <pthread.h>
#include <stdatomic.h>
#include <time.h>

#define WORKERS_MAX 64u
#define PATIENCE_MS                                                                                \
    (LIMIT_HTTPS_MS + LIMIT_OCSP_PATIENCE_MS + 2000u) /* of a worker, if it is never answered */
#define WAITS_MAX 65536u
#define ARENA_FIRST 512u
#define ARENA_CAP 65536u

/* --- what workers share --- */

/* What is known of an address. Immutable. */
struct known {
    unsigned refs; /* atomic */
    unsigned generation;
    enum identity_cred_state state;
    struct reason why;
    struct pki_chain *chain; /* GOOD */
    uint64_t until_ms;       /* CLOCK_MONOTONIC */
};

struct certs {
    struct fetch *fetch;
    struct certs_args args;
    _Atomic unsigned generation; /* of the anchors */
    pthread_mutex_t lock;
    struct list answers;                       /* on their way to workers */
    struct certs_worker *workers[WORKERS_MAX]; /* each member is its worker's alone */
    /* the fetcher's thread */
    struct pki_anchors *anchors;
    unsigned anchors_generation;
    struct map entries;
    struct list used;    /* entries, the least used first */
    struct list waiting; /* ... that wait for responders, the first to lose patience first */
    _Atomic bool is_told;
    struct mq_item begin;
};

static struct known *known_ref(struct known *k)
{
    __atomic_add_fetch(&k->refs, 1, __ATOMIC_RELAXED);
    return k;
}

static void known_unref(struct known *k)
{
    if (!k || __atomic_sub_fetch(&k->refs, 1, __ATOMIC_ACQ_REL) != 0)
        return;
    pki_chain_unref(k->chain);
    mem_free(k);
}

static uint64_t now_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

/* --- the fetcher's thread --- */

struct entry {
    struct map_node node;
    struct list used;
    struct certs *c;
    struct known *known; /* NULL: not yet */
    uint64_t workers;    /* bits: who waits for it */
    bool is_fetching;
    bool has_waited;       /* for a responder, if it is not waiting */
    bool is_doubted;       /* told: nobody says whether it is revoked */
    struct list waiting;
    uint64_t patience_ms;  /* until then */
    char url[];
};

struct answer {
    struct list node;
    struct certs *c;
    struct known *known;
    unsigned worker;
    size_t n_url;
    char url[];
};

static void answer_free(struct answer *a)
{
    pthread_mutex_lock(&a->c->lock);
    list_remove(&a->node);
    pthread_mutex_unlock(&a->c->lock);
    known_unref(a->known);
    mem_free(a);
}

static void on_answer(void *worker, void *arg);

/* If this fails the worker loses patience by itself. */
static void answer(struct certs *c, unsigned worker, const struct entry *e)
{
    size_t n = e->node.key.n;
    struct answer *a = mem_alloc(sizeof(*a) + n);

    if (!a)
        return;
    a->c = c;
    a->worker = worker;
    a->known = known_ref(e->known);
    a->n_url = n;
    memcpy(a->url, e->url, n);
    list_init(&a->node);
    pthread_mutex_lock(&c->lock);
    list_append(&c->answers, &a->node);
    pthread_mutex_unlock(&c->lock);
    if (c->args.post(c->args.post_arg, worker, on_answer, a) != 0)
        answer_free(a);
}

static void answer_all(struct certs *c, struct entry *e)
{
    uint64_t workers = e->workers;

    e->workers = 0;
    while (workers) {
        unsigned worker = BIT_LOWEST(workers);

        workers &= workers - 1;
        answer(c, worker, e);
    }
}

static void entry_free(struct certs *c, struct entry *e)
{
    list_remove(&e->used);
    list_remove(&e->waiting);
    map_remove(&c->entries, &e->node);
    known_unref(e->known);
    mem_free(e);
}

static struct known *known_new(struct certs *c, int err, const struct reason *why,
                               uint64_t fresh_ms)
{
    struct known *k = mem_zalloc(sizeof(*k));

    if (!k)
        return NULL;
    k->refs = 1;
    k->generation = c->anchors_generation;
    k->until_ms = now_ms() + fresh_ms;
    k->state = err == 0 ? IDENTITY_CRED_GOOD : IDENTITY_CRED_MISSING;
    if (why)
        k->why = *why;
    return k;
}

/* Accepted without anybody's saying whether it is revoked (soft): told once, and when that is over. */
static void tell_doubt(struct entry *e, const struct pki_chain_facts *f)
{
    const struct log_field fields[] = {LS("url", e->node.key)};
    bool is_doubted = f->standing == CERT_UNKNOWN;

    if (is_doubted && !e->is_doubted)
        log_reason(LOG_NOTICE, "revocation-unknown", f->doubt, fields, ARRAY_LEN(fields));
    else if (e->is_doubted && f->standing == CERT_GOOD)
        LOG(LOG_NOTICE, "revocation-known", LS("url", e->node.key));
    e->is_doubted = is_doubted;
}

/* Once an address; then what is not known yet is judged so. */
static bool may_wait(struct entry *e)
{
    uint64_t now = now_ms();

    if (e->has_waited)
        return e->patience_ms > now;
    e->has_waited = true;
    e->patience_ms = now + LIMIT_OCSP_PATIENCE_MS;
    return true;
}

/* Not longer than the chain is in force; what is not good is looked at again soon. false: a responder is being asked, and that is
 * waited for. */
static bool validate(struct certs *c, struct entry *e, struct known *k, struct str bytes)
{
    uint64_t now_s = (uint64_t)time(NULL), soon = now_ms() + LIMIT_HTTPS_BAD_S * 1000u, left_s;
    uint64_t look = now_ms() + LIMIT_STATUS_LOOK_MS;
    int err = pki_chain_new(bytes, c->anchors, now_s, &k->chain, &k->why);

    if ((err == ERR_AGAIN || (err == 0 && pki_chain_facts(k->chain)->is_asked)) && may_wait(e))
        return false;
    if (pki_anchors_look(c->anchors) && k->until_ms > look)
        k->until_ms = look;

    if (err != 0) {
        k->state = err == ERR_NOMEM ? IDENTITY_CRED_MISSING : IDENTITY_CRED_REFUSED;
        if (k->until_ms > soon)
            k->until_ms = soon;
        return true;
    }
    tell_doubt(e, pki_chain_facts(k->chain));
    left_s = pki_chain_facts(k->chain)->not_after_s;
    left_s = left_s > now_s ? left_s - now_s : 0;
    if (left_s < LIMIT_HTTPS_FRESH_MAX_S && k->until_ms > now_ms() + left_s * 1000)
        k->until_ms = now_ms() + left_s * 1000;
    return true;
}

static void wait_for_responder(struct certs *c, struct entry *e)
{
    known_unref(e->known);
    e->known = NULL;
    e->is_fetching = true; /* whoever asks meanwhile is answered with the others */
    list_append(&c->waiting, &e->waiting);
}

static void on_fetched(void *arg, int err, struct str bytes, uint64_t fresh_ms,
                       const struct reason *why)
{
    struct entry *e = arg;
    struct certs *c = e->c;

    e->is_fetching = false;
    known_unref(e->known);
    e->known = known_new(c, err, why, fresh_ms);
    if (e->known && err == 0 && !validate(c, e, e->known, bytes)) {
        wait_for_responder(c, e);
        return;
    }
    if (e->known)
        answer_all(c, e);
    else
        entry_free(c, e);
}

static void busy(struct reason *why)
{
    reason_set(why, "fetch-busy", "TR/100 6.2", 436, "too much is being fetched already");
}

/* Each time round: those whose time is over, or all if a responder has answered, are looked at again. */
static uint64_t on_turn(void *arg)
{
    struct certs *c = arg;
    bool is_told = atomic_exchange(&c->is_told, false);
    struct reason why;
    uint64_t now = now_ms();

    LIST_EACH(e, &c->waiting, struct entry, waiting)
    {
        if (!is_told && e->patience_ms > now)
            return e->patience_ms - now;
        list_remove(&e->waiting);
        if (fetch_get(c->fetch, e->node.key, on_fetched, e) != 0) { /* the bytes are there */
            busy(&why);
            on_fetched(e, ERR_LIMIT, STR_NULL, 1000, &why);
        }
    }
    return UINT64_MAX;
}

static void on_begin(struct mq_item *item, void *consumer)
{
    fetch_on_turn(consumer, on_turn, CONTAINER_OF(item, struct certs, begin));
}

void certs_told(void *certs)
{
    struct certs *c = certs;

    c->is_told = true;
    fetch_wake(c->fetch);
}

static void make_room(struct certs *c)
{
    LIST_EACH(e, &c->used, struct entry, used)
    {
        if (c->entries.n < c->entries.max)
            return;
        if (!e->is_fetching)
            entry_free(c, e);
    }
}

static struct entry *entry_get(struct certs *c, struct str url)
{
    struct map_node *node = map_find(&c->entries, url);
    struct entry *e;

    if (node)
        return CONTAINER_OF(node, struct entry, node);
    make_room(c);
    e = mem_zalloc(sizeof(*e) + url.n);
    if (!e)
        return NULL;
    e->c = c;
    memcpy(e->url, url.p, url.n);
    list_init(&e->used);
    list_init(&e->waiting);
    if (map_add(&c->entries, &e->node, str_make(e->url, url.n)) != 0) {
        mem_free(e);
        return NULL;
    }
    return e;
}

struct question {
    struct mq_item item;
    struct certs *c;
    unsigned worker;
    size_t n_url;
    char url[];
};

static void on_question(struct mq_item *item, void *consumer)
{
    struct question *q = CONTAINER_OF(item, struct question, item);
    struct certs *c = q->c;
    struct entry *e = fetch_is_stopping(consumer) ? NULL : entry_get(c, str_make(q->url, q->n_url));

    if (e) {
        list_remove(&e->used);
        list_append(&c->used, &e->used);
        e->workers |= UINT64_C(1) << q->worker;
        if (e->is_fetching) {
            /* answered with the others */
        } else if (e->known && now_ms() < e->known->until_ms &&
                   e->known->generation == c->anchors_generation) {
            answer_all(c, e);
        } else if (fetch_get(c->fetch, e->node.key, on_fetched, e) == 0) {
            e->is_fetching = true;
        } else {
            struct reason why = {.code = NULL};

            busy(&why);
            known_unref(e->known);
            e->known = known_new(c, ERR_LIMIT, &why, 1000);
            if (e->known)
                answer_all(c, e);
            else
                entry_free(c, e);
        }
    }
    mem_free(q);
}

struct certs_change {
    struct mq_item item;
    struct certs *c;
    struct pki_anchors *anchors;
    unsigned generation;
};

static void on_change(struct mq_item *item, void *consumer)
{
    struct certs_change *change = CONTAINER_OF(item, struct certs_change, item);

    (void)consumer;
    pki_anchors_unref(change->c->anchors);
    change->c->anchors = change->anchors;
    change->c->anchors_generation = change->generation;
    mem_free(change);
}

int certs_change_new(struct certs *c, struct pki_anchors *anchors, struct certs_change **ret)
{
    struct certs_change *change = mem_zalloc(sizeof(*change));

    *ret = change;
    if (!change)
        return ERR_NOMEM;
    *change = (struct certs_change){
        .item.run = on_change, .c = c, .anchors = pki_anchors_ref(anchors)};
    return 0;
}

void certs_change_discard(struct certs_change *change)
{
    if (!change)
        return;
    pki_anchors_unref(change->anchors);
    mem_free(change);
}

void certs_change_commit(struct certs_change *change)
{
    const struct timespec pause = {.tv_nsec = 1000000};
    struct certs *c = change->c;
    int err;

    change->generation = ++c->generation;
    while ((err = fetch_post(c->fetch, &change->item)) == ERR_LIMIT)
        nanosleep(&pause, NULL); /* full: it is being emptied */
    if (err != 0)
        certs_change_discard(change); /* it stops: nobody asks any more */
}

int certs_new(const struct certs_args *args, struct certs **ret)
{
    struct certs *c = mem_zalloc(sizeof(*c));

    *ret = NULL;
    if (!c)
        return ERR_NOMEM;
    c->fetch = args->fetch;
    c->args = *args;
    list_init(&c->answers);
    list_init(&c->used);
    list_init(&c->waiting);
    c->begin.run = on_begin;
    pthread_mutex_init(&c->lock, NULL);
    if (map_init(&c->entries, LIMIT_HTTPS_CACHED) != 0 ||
        pki_anchors_new(NULL, NULL, &c->anchors, NULL) != 0) {
        certs_free(c);
        return ERR_NOMEM;
    }
    if (fetch_post(c->fetch, &c->begin) != 0) {
        certs_free(c);
        return ERR_CLOSED;
    }
    *ret = c;
    return 0;
}

static bool drop_entry(struct map_node *node, void *arg)
{
    entry_free(arg, CONTAINER_OF(node, struct entry, node));
    return true;
}

void certs_free(struct certs *c)
{
    struct answer *a;

    if (!c)
        return;
    while ((a = LIST_FIRST(&c->answers, struct answer, node)) != NULL)
        answer_free(a);
    if (c->entries.slots) {
        map_each(&c->entries, drop_entry, c);
        map_done(&c->entries);
    }
    pki_anchors_unref(c->anchors);
    pthread_mutex_destroy(&c->lock);
    mem_free(c);
}

/* --- a worker --- */

/* A credential of this worker's: known to the table, or only to those who got it before a newer one
 * took its place. */
struct view {
    struct map_node node;
    struct list used;
    struct known *known;
    struct arena *arena;
    struct identity_credential cred;
    unsigned holders;
    bool is_listed;
    char url[];
};

struct wait {
    struct list node;
    struct pending *pending;
    certs_fn *fn;
    void *arg;
};

/* An address that this worker has asked for. */
struct pending {
    struct map_node node;
    struct certs_worker *w;
    struct list waits;
    struct wheel_timer patience;
    char url[];
};

struct certs_worker {
    struct certs *c;
    unsigned worker;
    struct wheel *wheel;
    struct map views, pendings;
    struct list used; /* views, the least used first */
    size_t n_waits;
};

static void view_free(struct view *v)
{
    identity_credential_done(&v->cred);
    arena_free(v->arena);
    known_unref(v->known);
    mem_free(v);
}

static void view_unlist(struct certs_worker *w, struct view *v)
{
    map_remove(&w->views, &v->node);
    list_remove(&v->used);
    v->is_listed = false;
    if (v->holders == 0)
        view_free(v);
}

static void fill(struct view *v)
{
    struct known *k = v->known;
    struct reason why = k->why;
    int err = 0;

    if (k->state == IDENTITY_CRED_GOOD) {
        err = v->arena ? identity_credential_make(v->arena, k->chain, &v->cred, &why) : ERR_NOMEM;
        if (err == 0)
            return;
        identity_credential_done(&v->cred);
        if (err == ERR_NOMEM)
            reason_set(&why, "no-memory", NULL, 500, NULL);
    }
    v->cred = (struct identity_credential){.state = err == ERR_UNSUPPORTED ? IDENTITY_CRED_REFUSED
                                                    : err != 0             ? IDENTITY_CRED_MISSING
                                                                           : k->state,
                                           .why = why};
}

/* Replaces what was known of the address. NULL: no memory. */
static struct view *view_new(struct certs_worker *w, struct str url, struct known *k)
{
    struct map_node *old = map_find(&w->views, url);
    struct view *v = mem_zalloc(sizeof(*v) + url.n);

    if (!v)
        return NULL;
    if (old)
        view_unlist(w, CONTAINER_OF(old, struct view, node));
    else if (w->views.n >= w->views.max)
        view_unlist(w, LIST_FIRST(&w->used, struct view, used));
    memcpy(v->url, url.p, url.n);
    v->known = known_ref(k);
    v->arena = arena_new(ARENA_FIRST, ARENA_CAP);
    list_init(&v->used);
    fill(v);
    if (map_add(&w->views, &v->node, str_make(v->url, url.n)) != 0) {
        view_free(v);
        return NULL;
    }
    list_append(&w->used, &v->used);
    v->is_listed = true;
    return v;
}

/* Each of those who wait holds it from then on. */
static void pending_tell(struct certs_worker *w, struct pending *p, struct view *v)
{
    struct wait *wait;

    map_remove(&w->pendings, &p->node);
    wheel_cancel(w->wheel, &p->patience);
    v->holders++; /* ours: nothing that they do may free it meanwhile */
    while ((wait = LIST_FIRST(&p->waits, struct wait, node)) != NULL) {
        certs_fn *fn = wait->fn;
        void *arg = wait->arg;

        list_remove(&wait->node);
        mem_free(wait);
        w->n_waits--;
        v->holders++;
        fn(arg, &v->cred);
    }
    certs_put(&v->cred);
    mem_free(p);
}

/* When nothing can be allocated any more: not to be had, of nobody's table. */
static void pending_give_up(struct certs_worker *w, struct pending *p, const char *code,
                            const char *what)
{
    struct known none = {.refs = 1, .state = IDENTITY_CRED_MISSING};
    struct view *v = mem_zalloc(sizeof(*v));
    struct wait *wait;

    reason_set(&none.why, code, "RFC 8224 6.2.2", 436, "%s", what);
    if (v) {
        v->cred = (struct identity_credential){.state = none.state, .why = none.why};
        list_init(&v->used);
        pending_tell(w, p, v);
        return;
    }
    map_remove(&w->pendings, &p->node);
    wheel_cancel(w->wheel, &p->patience);
    while ((wait = LIST_FIRST(&p->waits, struct wait, node)) != NULL) {
        certs_fn *fn = wait->fn;
        void *arg = wait->arg;

        list_remove(&wait->node);
        mem_free(wait);
        w->n_waits--;
        fn(arg, NULL);
    }
    mem_free(p);
}

static void on_answer(void *worker, void *arg)
{
    struct answer *a = arg;
    struct str url = str_make(a->url, a->n_url);
    struct certs_worker *w;
    struct map_node *node;
    struct view *v;

    (void)worker;
    w = a->c->workers[a->worker]; /* it need not be there any more */
    if (w) {
        v = view_new(w, url, a->known);
        node = map_find(&w->pendings, url);
        if (node && v)
            pending_tell(w, CONTAINER_OF(node, struct pending, node), v);
        else if (node)
            pending_give_up(w, CONTAINER_OF(node, struct pending, node), "no-memory", "no memory");
    }
    answer_free(a);
}

static void on_impatient(struct wheel_timer *t)
{
    struct pending *p = CONTAINER_OF(t, struct pending, patience);

    pending_give_up(p->w, p, "fetch-timeout", "the fetcher did not answer in time");
}

static int ask(struct certs_worker *w, struct str url)
{
    struct question *q = mem_alloc(sizeof(*q) + url.n);
    int err;

    if (!q)
        return ERR_NOMEM;
    q->item.run = on_question;
    q->c = w->c;
    q->worker = w->worker;
    q->n_url = url.n;
    memcpy(q->url, url.p, url.n);
    err = fetch_post(w->c->fetch, &q->item);
    if (err != 0)
        mem_free(q);
    return err;
}

static int pending_new(struct certs_worker *w, struct str url, struct pending **ret)
{
    struct pending *p = mem_zalloc(sizeof(*p) + url.n);
    int err;

    if (!p)
        return ERR_NOMEM;
    p->w = w;
    memcpy(p->url, url.p, url.n);
    list_init(&p->waits);
    wheel_timer_init(&p->patience, on_impatient);
    err = map_add(&w->pendings, &p->node, str_make(p->url, url.n));
    if (err == 0 && (err = ask(w, url)) != 0)
        map_remove(&w->pendings, &p->node);
    if (err != 0) {
        mem_free(p);
        return err;
    }
    wheel_start(w->wheel, &p->patience, PATIENCE_MS);
    *ret = p;
    return 0;
}

static int wait_for(struct certs_worker *w, struct str url, certs_fn *fn, void *arg,
                    uint64_t *ret_id)
{
    struct map_node *node = map_find(&w->pendings, url);
    struct pending *p = node ? CONTAINER_OF(node, struct pending, node) : NULL;
    struct wait *wait;
    int err;

    if (w->n_waits >= WAITS_MAX)
        return ERR_LIMIT;
    wait = mem_alloc(sizeof(*wait));
    if (!wait)
        return ERR_NOMEM;
    if (!p && (err = pending_new(w, url, &p)) != 0) {
        mem_free(wait);
        return err;
    }
    *wait = (struct wait){.pending = p, .fn = fn, .arg = arg};
    list_append(&p->waits, &wait->node);
    w->n_waits++;
    *ret_id = (uint64_t)(uintptr_t)wait;
    return ERR_AGAIN;
}

int certs_get(struct certs_worker *w, struct str url, certs_fn *fn, void *arg,
              const struct identity_credential **ret, uint64_t *ret_id)
{
    struct map_node *node = map_find(&w->views, url);
    struct view *v = node ? CONTAINER_OF(node, struct view, node) : NULL;

    if (url.n > LIMIT_IDENTITY_URL_BYTES)
        return ERR_LIMIT;
    if (!v || wheel_now_ms(w->wheel) >= v->known->until_ms ||
        v->known->generation != w->c->generation)
        return wait_for(w, url, fn, arg, ret_id);
    list_remove(&v->used);
    list_append(&w->used, &v->used);
    v->holders++;
    *ret = &v->cred;
    return 0;
}

void certs_put(const struct identity_credential *cred)
{
    struct view *v = (struct view *)((uintptr_t)cred - offsetof(struct view, cred));

    if (--v->holders == 0 && !v->is_listed)
        view_free(v);
}

void certs_cancel(struct certs_worker *w, uint64_t id)
{
    struct wait *wait = (struct wait *)(uintptr_t)id;

    list_remove(&wait->node); /* what was asked for is used by the next who asks */
    mem_free(wait);
    w->n_waits--;
}

/* --- its life --- */

int certs_worker_new(struct certs *c, unsigned worker, struct wheel *wheel,
                     struct certs_worker **ret)
{
    struct certs_worker *w = worker < WORKERS_MAX ? mem_zalloc(sizeof(*w)) : NULL;

    *ret = NULL;
    if (!w)
        return worker < WORKERS_MAX ? ERR_NOMEM : ERR_INVALID;
    w->c = c;
    w->worker = worker;
    w->wheel = wheel;
    list_init(&w->used);
    if (map_init(&w->views, LIMIT_CREDENTIALS) != 0 ||
        map_init(&w->pendings, LIMIT_HTTPS_ASKED) != 0) {
        map_done(&w->views);
        mem_free(w);
        return ERR_NOMEM;
    }
    c->workers[worker] = w;
    *ret = w;
    return 0;
}

static bool drop_pending(struct map_node *node, void *arg)
{
    struct pending *p = CONTAINER_OF(node, struct pending, node);
    struct certs_worker *w = arg;
    struct wait *wait;

    map_remove(&w->pendings, node);
    wheel_cancel(w->wheel, &p->patience);
    while ((wait = LIST_FIRST(&p->waits, struct wait, node)) != NULL) {
        list_remove(&wait->node);
        mem_free(wait);
    }
    mem_free(p);
    return true;
}

void certs_worker_free(struct certs_worker *w)
{
    struct view *v;

    if (!w)
        return;
    w->c->workers[w->worker] = NULL;
    map_each(&w->pendings, drop_pending, w);
    while ((v = LIST_FIRST(&w->used, struct view, used)) != NULL)
        view_unlist(w, v);
    map_done(&w->pendings);
    map_done(&w->views);
    mem_free(w);
}

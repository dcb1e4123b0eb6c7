/* Who waits for what, what runs, what is kept; see core.h. */
#include "fetch/core.h"
#include "base/mem.h"

enum state { ASKED, RUNNING, KEPT };

struct waiter {
    struct list node;
    fetch_fn *fn;
    void *arg;
};

struct fetch_entry {
    struct map_node node;
    struct list place; /* in asked or kept; none while running */
    struct list ready;
    struct list waiters;
    enum state state;
    struct fetch_transfer *transfer;
    uint64_t due_ms;   /* ASKED, RUNNING: the end of patience */
    uint64_t until_ms; /* KEPT */
    int err;
    struct reason why;
    char *body;
    size_t n_body;
    char url[];
};

int fetch_core_init(struct fetch_core *c, const struct fetch_transport *t,
                    const struct addr_net *allowed, size_t n_allowed)
{
    *c = (struct fetch_core){.transport = *t, .allowed = allowed, .n_allowed = n_allowed};
    list_init(&c->asked);
    list_init(&c->running);
    list_init(&c->ready);
    list_init(&c->kept);
    return map_init(&c->entries, LIMIT_HTTPS_CACHED + LIMIT_HTTPS_ASKED);
}

/* --- what is kept --- */

static void entry_clear(struct fetch_core *c, struct fetch_entry *e)
{
    c->stats.cached_bytes -= e->n_body;
    mem_free(e->body);
    e->body = NULL;
    e->n_body = 0;
}

static void entry_free(struct fetch_core *c, struct fetch_entry *e)
{
    entry_clear(c, e);
    list_remove(&e->place);
    list_remove(&e->ready);
    map_remove(&c->entries, &e->node);
    mem_free(e);
}

/* The least used go until there is room for one more. Those that somebody waits for stay. */
static void evict(struct fetch_core *c, size_t n_more, size_t bytes_more)
{
    LIST_EACH(e, &c->kept, struct fetch_entry, place)
    {
        if (c->stats.cached + n_more <= LIMIT_HTTPS_CACHED &&
            c->stats.cached_bytes + bytes_more <= LIMIT_HTTPS_CACHED_BYTES)
            return;
        if (!list_is_empty(&e->waiters))
            continue;
        c->stats.cached--;
        c->stats.evicted++;
        entry_free(c, e);
    }
}

static void keep(struct fetch_core *c, struct fetch_entry *e, int err, const struct reason *why,
                 struct str body, uint64_t fresh_s, uint64_t now_ms)
{
    char *copy = NULL;

    evict(c, 1, body.n);
    if (err == 0 && !(copy = mem_alloc(body.n))) {
        static const struct reason none = {.code = "no-memory", .sip_status = 500};

        err = ERR_NOMEM;
        why = &none;
        fresh_s = 0;
    }
    if (copy && body.n)
        memcpy(copy, body.p, body.n);
    e->body = copy;
    e->n_body = copy ? body.n : 0;
    c->stats.cached_bytes += e->n_body;
    e->err = err;
    e->why = (struct reason){.code = NULL};
    if (err != 0 && why)
        e->why = *why;
    e->until_ms = now_ms + fresh_s * 1000;
    e->state = KEPT;
    e->transfer = NULL;
    c->n_pending--;
    c->stats.cached++;
    c->stats.failed += err != 0;
    list_remove(&e->place);
    list_append(&c->kept, &e->place);
    list_remove(&e->ready);
    list_append(&c->ready, &e->ready);
}

static void fail(struct fetch_core *c, struct fetch_entry *e, int err, const struct reason *why,
                 uint64_t now_ms)
{
    keep(c, e, err, why, STR_NULL, LIMIT_HTTPS_BAD_S, now_ms);
}

/* --- transfers --- */

static int check_place(const struct fetch_core *c, struct str url, struct fetch_url *ret,
                       struct reason *why)
{
    struct addr a;
    int err = fetch_url_parse(url, ret, why);

    if (err != 0 || addr_parse(&a, ret->host, ret->port) != 0 ||
        addr_may_fetch(&a, c->allowed, c->n_allowed))
        return err;
    reason_set(why, "fetch-address", "RFC 6890", 436, "nothing is fetched from %s addresses",
               addr_special(&a));
    return ERR_REFUSED;
}

static unsigned running_from(const struct fetch_core *c, const char *host)
{
    unsigned n = 0;

    LIST_EACH(t, &c->running, struct fetch_transfer, node)
    n += str_eq_nocase(str_z(t->host), str_z(host));
    return n;
}

static void transfer_free(struct fetch_core *c, struct fetch_transfer *t)
{
    list_remove(&t->node);
    c->n_running--;
    mem_free(t);
}

static void start(struct fetch_core *c, struct fetch_entry *e, struct str url,
                  const struct fetch_url *parts, unsigned redirects, uint64_t now_ms)
{
    struct fetch_transfer *t = mem_zalloc(sizeof(*t));
    struct reason why = {.code = "no-memory", .sip_status = 500};
    int err = ERR_NOMEM;

    if (t && str_copy_z(t->url, sizeof(t->url), url) == 0 &&
        str_copy_z(t->host, sizeof(t->host), parts->host) == 0) {
        t->entry = e;
        t->redirects = redirects;
        list_append(&c->running, &t->node);
        c->n_running++;
        err = c->transport.start(c->transport.arg, t, e->due_ms > now_ms ? e->due_ms - now_ms : 1);
        if (err == 0) {
            c->stats.transfers++;
            list_remove(&e->place);
            e->state = RUNNING;
            e->transfer = t;
            return;
        }
        transfer_free(c, t);
        t = NULL;
    }
    mem_free(t);
    fail(c, e, err, &why, now_ms);
}

static void redirect(struct fetch_core *c, struct fetch_entry *e, struct str location,
                     unsigned redirects, uint64_t now_ms)
{
    struct reason why = {.code = NULL};
    struct fetch_url parts;
    int err;

    if (redirects > LIMIT_HTTPS_REDIRECTS) {
        reason_set(&why, "fetch-redirects", "RFC 9110 15.4", 436, "more than %u redirects",
                   LIMIT_HTTPS_REDIRECTS);
        fail(c, e, ERR_LIMIT, &why, now_ms);
        return;
    }
    c->stats.redirects++;
    err = check_place(c, location, &parts, &why);
    if (err != 0) {
        c->stats.refused++;
        fail(c, e, err, &why, now_ms);
        return;
    }
    start(c, e, location, &parts, redirects, now_ms);
}

void fetch_core_done(struct fetch_core *c, struct fetch_transfer *t, const struct fetch_outcome *o,
                     uint64_t now_ms)
{
    struct fetch_entry *e = t->entry;
    unsigned redirects = t->redirects;
    struct reason why = {.code = NULL};

    transfer_free(c, t);
    e->transfer = NULL;
    if (o->err != 0) {
        c->stats.refused += o->err == ERR_REFUSED;
        c->stats.timeouts += o->err == ERR_TIMEOUT;
        fail(c, e, o->err, o->why, now_ms);
    } else if (o->status >= 300 && o->status < 400 && o->location.n) {
        redirect(c, e, o->location, redirects + 1, now_ms);
    } else if (o->status != 200) {
        reason_set(&why, "fetch-status", "RFC 8224 6.2.2", 436, "the server answers %u", o->status);
        fail(c, e, ERR_NOTFOUND, &why, now_ms);
    } else if (o->body.n > LIMIT_HTTPS_BYTES) {
        reason_set(&why, "fetch-size", NULL, 436, "more than %u bytes", LIMIT_HTTPS_BYTES);
        fail(c, e, ERR_LIMIT, &why, now_ms);
    } else {
        keep(c, e, 0, NULL, o->body, o->fresh_s, now_ms);
    }
}

/* --- asking --- */

static struct fetch_entry *entry_new(struct fetch_core *c, struct str url)
{
    struct fetch_entry *e = mem_zalloc(sizeof(*e) + url.n + 1);

    if (!e)
        return NULL;
    memcpy(e->url, url.p, url.n);
    list_init(&e->place);
    list_init(&e->ready);
    list_init(&e->waiters);
    if (map_add(&c->entries, &e->node, str_make(e->url, url.n)) != 0) {
        mem_free(e);
        return NULL;
    }
    return e;
}

static void put_in_line(struct fetch_core *c, struct fetch_entry *e, uint64_t now_ms)
{
    if (e->state == KEPT)
        c->stats.cached--;
    entry_clear(c, e);
    e->state = ASKED;
    e->due_ms = now_ms + LIMIT_HTTPS_MS;
    c->n_pending++;
    list_remove(&e->place);
    list_append(&c->asked, &e->place);
}

int fetch_core_get(struct fetch_core *c, struct str url, fetch_fn *fn, void *arg, uint64_t now_ms)
{
    struct map_node *node = c->is_closed ? NULL : map_find(&c->entries, url);
    struct fetch_entry *e = node ? CONTAINER_OF(node, struct fetch_entry, node) : NULL;
    bool is_fresh = e && (e->state != KEPT || now_ms < e->until_ms);
    struct waiter *w;

    if (c->is_closed)
        return ERR_CLOSED;
    if (c->n_waiters >= LIMIT_HTTPS_WAITERS || (!is_fresh && c->n_pending >= LIMIT_HTTPS_ASKED) ||
        url.n > LIMIT_IDENTITY_URL_BYTES)
        return ERR_LIMIT;
    w = mem_alloc(sizeof(*w));
    if (w && !e) {
        e = entry_new(c, url);
        if (e)
            put_in_line(c, e, now_ms);
    } else if (w && !is_fresh) {
        put_in_line(c, e, now_ms);
    }
    if (!w || !e) {
        mem_free(w);
        return ERR_NOMEM;
    }
    *w = (struct waiter){.fn = fn, .arg = arg};
    list_append(&e->waiters, &w->node);
    c->n_waiters++;
    c->stats.asked++;
    if (e->state == KEPT) {
        c->stats.hits++;
        list_remove(&e->place);
        list_append(&c->kept, &e->place);
        list_remove(&e->ready);
        list_append(&c->ready, &e->ready);
    }
    return 0;
}

/* --- a turn --- */

static void end_late(struct fetch_core *c, struct fetch_entry *e, uint64_t now_ms)
{
    struct reason why = {.code = NULL};

    if (e->transfer) {
        c->transport.cancel(c->transport.arg, e->transfer);
        transfer_free(c, e->transfer);
    }
    c->stats.timeouts++;
    reason_set(&why, "fetch-timeout", "RFC 8224 6.2.2", 436, "no answer within %u ms",
               LIMIT_HTTPS_MS);
    fail(c, e, ERR_TIMEOUT, &why, now_ms);
}

static uint64_t end_all_late(struct fetch_core *c, uint64_t now_ms)
{
    uint64_t next = UINT64_MAX;

    LIST_EACH(t, &c->running, struct fetch_transfer, node)
    {
        if (t->entry->due_ms <= now_ms)
            end_late(c, t->entry, now_ms);
        else if (t->entry->due_ms - now_ms < next)
            next = t->entry->due_ms - now_ms;
    }
    LIST_EACH(e, &c->asked, struct fetch_entry, place)
    { /* in the order of their times */
        if (e->due_ms > now_ms) {
            if (e->due_ms - now_ms < next)
                next = e->due_ms - now_ms;
            break;
        }
        end_late(c, e, now_ms);
    }
    return next;
}

static void start_all(struct fetch_core *c, uint64_t now_ms)
{
    LIST_EACH(e, &c->asked, struct fetch_entry, place)
    {
        struct reason why = {.code = NULL};
        struct fetch_url parts;
        char host[256];
        int err;

        if (c->n_running >= LIMIT_HTTPS_RUNNING)
            return;
        err = check_place(c, str_z(e->url), &parts, &why);
        if (err != 0 || str_copy_z(host, sizeof(host), parts.host) != 0) {
            c->stats.refused++;
            fail(c, e, err ? err : ERR_LIMIT, &why, now_ms);
        } else if (running_from(c, host) < LIMIT_HTTPS_RUNNING_HOST) {
            start(c, e, str_z(e->url), &parts, 0, now_ms);
        }
    }
}

static void tell(struct fetch_core *c, struct fetch_entry *e, uint64_t now_ms)
{
    uint64_t fresh_ms = e->until_ms > now_ms ? e->until_ms - now_ms : 0;
    struct list now;
    struct waiter *w;

    list_remove(&e->ready);
    list_init(&now); /* who asks again when told is told in the next round */
    while ((w = LIST_FIRST(&e->waiters, struct waiter, node)) != NULL) {
        list_remove(&w->node);
        list_append(&now, &w->node);
    }
    while ((w = LIST_FIRST(&now, struct waiter, node)) != NULL) {
        list_remove(&w->node);
        c->n_waiters--;
        w->fn(w->arg, e->err, str_make(e->body, e->n_body), fresh_ms, e->err == 0 ? NULL : &e->why);
        mem_free(w);
    }
}

uint64_t fetch_core_turn(struct fetch_core *c, uint64_t now_ms)
{
    struct fetch_entry *e;
    uint64_t next;

    next = end_all_late(c, now_ms);
    start_all(c, now_ms);
    for (size_t n = c->n_waiters; n > 0; n--) {
        e = LIST_FIRST(&c->ready, struct fetch_entry, ready);
        if (!e)
            break;
        tell(c, e, now_ms);
    }
    if (!list_is_empty(&c->ready))
        next = 0;
    c->stats.running = c->n_running;
    return next;
}

static bool drop(struct map_node *node, void *arg)
{
    struct fetch_core *c = arg;
    struct fetch_entry *e = CONTAINER_OF(node, struct fetch_entry, node);
    struct reason why = {.code = NULL};
    struct waiter *w;

    reason_set(&why, "fetch-closed", NULL, 436, "the daemon is stopping");
    while ((w = LIST_FIRST(&e->waiters, struct waiter, node)) != NULL) {
        list_remove(&w->node);
        w->fn(w->arg, ERR_CLOSED, STR_NULL, 0, &why);
        mem_free(w);
    }
    if (e->transfer) {
        c->transport.cancel(c->transport.arg, e->transfer);
        transfer_free(c, e->transfer);
    }
    entry_free(c, e);
    return true;
}

void fetch_core_done_all(struct fetch_core *c)
{
    c->is_closed = true;
    map_each(&c->entries, drop, c);
    map_done(&c->entries);
}

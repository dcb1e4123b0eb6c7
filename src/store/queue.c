/* The queue in front of the database, and the one thread that empties it: callers copy a change and
 * go on. Changes of one key replace each other while they wait; the thread gathers for a moment,
 * then writes many in one transaction.
 *
 * When writing fails everything stays queued, and is tried again after 250 ms, 500 ms ... 30 s;
 * queue and health are what others see of it. The same thread looks for changed users
 * (store_watch_users). */
#include "base/log.h"
#include "base/mem.h"
#include "store/store_priv.h"
#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

static uint64_t now_ms(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

/* ---- changes ---- */

static const size_t text_members[] = {
    offsetof(struct store_binding, contact), offsetof(struct store_binding, path),
    offsetof(struct store_binding, call_id), offsetof(struct store_binding, instance),
    offsetof(struct store_binding, source),  offsetof(struct store_binding, remote),
    offsetof(struct store_binding, local),   offsetof(struct store_binding, user_agent),
};

static struct str *text_member(struct store_binding *b, size_t i)
{
    return (struct str *)(void *)((char *)b + text_members[i]);
}

static char *text_copy(char *at, struct str *s)
{
    if (s->n)
        memcpy(at, s->p, s->n);
    s->p = at;
    return at + s->n;
}

/* One allocation: the struct, then aor NUL key (together the map's key), then the other texts. */
static struct store_change *change_new(const struct store_binding *b, bool is_del)
{
    struct store_binding copy = *b;
    struct store_change *c;
    size_t n = copy.aor.n + 1 + copy.key.n;
    char *at;

    for (size_t i = 0; i < ARRAY_LEN(text_members); i++)
        n += text_member(&copy, i)->n;
    c = mem_alloc(sizeof(*c) + n);
    if (!c)
        return NULL;
    c->b = copy;
    c->is_del = is_del;
    c->bytes = sizeof(*c) + n;
    list_init(&c->link);
    at = (char *)(c + 1);
    c->node.key = str_make(at, copy.aor.n + 1 + copy.key.n);
    at = text_copy(at, &c->b.aor);
    *at++ = 0;
    at = text_copy(at, &c->b.key);
    for (size_t i = 0; i < ARRAY_LEN(text_members); i++)
        at = text_copy(at, text_member(&c->b, i));
    return c;
}

/* ---- the queue; queue_lock is held ---- */

static struct store_change *change_of(struct map_node *node)
{
    return CONTAINER_OF(node, struct store_change, node);
}

static void queue_remove(struct store *s, struct store_change *c)
{
    map_remove(&s->waiting, &c->node);
    list_remove(&c->link);
    s->queue_bytes -= c->bytes;
    s->health.queued--;
}

static int queue_add(struct store *s, struct store_change *c, bool at_front)
{
    int err = map_add(&s->waiting, &c->node, c->node.key);

    if (err)
        return err;
    if (at_front)
        list_prepend(&s->order, &c->link);
    else
        list_append(&s->order, &c->link);
    s->queue_bytes += c->bytes;
    s->health.queued++;
    return 0;
}

static int queue_change(struct store *s, const struct store_binding *b, bool is_del)
{
    struct store_change *c = change_new(b, is_del);
    struct map_node *old;
    int err = 0;

    if (!c)
        return ERR_NOMEM;
    pthread_mutex_lock(&s->queue_lock);
    old = map_find(&s->waiting, c->node.key);
    if (old) {
        struct store_change *gone = change_of(old);

        queue_remove(s, gone);
        mem_free(gone);
    }
    if (s->health.queued >= STORE_QUEUE_CHANGES || s->queue_bytes + c->bytes > STORE_QUEUE_BYTES)
        err = ERR_LIMIT;
    else if ((err = queue_start_thread(s)) == 0)
        err = queue_add(s, c, false);
    if (err) {
        s->health.dropped++;
        mem_free(c);
    } else if (s->health.queued == 1) {
        pthread_cond_signal(&s->wake);
    }
    pthread_mutex_unlock(&s->queue_lock);
    return err;
}

int store_put_binding(struct store *s, const struct store_binding *b)
{
    return queue_change(s, b, false);
}

int store_del_binding(struct store *s, struct str aor, struct str key)
{
    return queue_change(s, &(struct store_binding){.aor = aor, .key = key}, true);
}

void store_clock_set(struct store *s, int64_t ahead_s)
{
    pthread_mutex_lock(&s->queue_lock);
    s->ahead_s = ahead_s;
    s->is_clock_due = queue_start_thread(s) == 0;
    pthread_cond_signal(&s->wake);
    pthread_mutex_unlock(&s->queue_lock);
}

/* Is there anything to write? queue_lock is held. */
static bool has_work(const struct store *s)
{
    return !list_is_empty(&s->order) || s->is_clock_due;
}

/* Takes up to a batch off the queue. */
static void batch_take(struct store *s, struct list *batch, int64_t *ret_ahead_s)
{
    list_init(batch);
    pthread_mutex_lock(&s->queue_lock);
    *ret_ahead_s = s->ahead_s;
    for (unsigned n = 0; n < STORE_BATCH && !list_is_empty(&s->order); n++) {
        struct store_change *c = LIST_FIRST(&s->order, struct store_change, link);

        queue_remove(s, c);
        list_append(batch, &c->link);
        s->in_hand++;
    }
    pthread_mutex_unlock(&s->queue_lock);
}

/* What could not be written goes back to the front, unless a newer change of its key has come
 * meanwhile. The queue may for a moment hold one batch more than its maximum. */
static void batch_return(struct store *s, struct list *batch)
{
    pthread_mutex_lock(&s->queue_lock);
    while (!list_is_empty(batch)) {
        struct store_change *c = CONTAINER_OF(batch->prev, struct store_change, link);

        list_remove(&c->link);
        if (map_find(&s->waiting, c->node.key)) {
            mem_free(c);
        } else if (queue_add(s, c, true) != 0) {
            s->health.dropped++;
            mem_free(c);
        }
    }
    s->in_hand = 0;
    pthread_mutex_unlock(&s->queue_lock);
}

static void batch_done(struct store *s, struct list *batch, int64_t ahead_s)
{
    uint64_t n = 0;

    while (!list_is_empty(batch)) {
        struct store_change *c = LIST_FIRST(batch, struct store_change, link);

        list_remove(&c->link);
        mem_free(c);
        n++;
    }
    pthread_mutex_lock(&s->queue_lock);
    s->health.written += n;
    s->in_hand = 0;
    s->is_clock_due = s->is_clock_due && s->ahead_s != ahead_s; /* set again meanwhile */
    pthread_mutex_unlock(&s->queue_lock);
}

/* ---- health ---- */

void queue_health_writable(struct store *s, bool is_writable, const char *error)
{
    bool was;

    pthread_mutex_lock(&s->queue_lock);
    was = s->health.writable;
    s->health.writable = is_writable;
    if (error) {
        struct str text = str_z(error);

        if (text.n >= sizeof(s->health.last_error))
            text.n = sizeof(s->health.last_error) - 1;
        (void)!str_copy_z(s->health.last_error, sizeof(s->health.last_error), text);
    }
    pthread_mutex_unlock(&s->queue_lock);
    if (was && !is_writable)
        LOG(LOG_ERROR, "store-cannot-write", LZ("file", s->file), LZ("error", error));
    else if (!was && is_writable)
        LOG(LOG_NOTICE, "store-writes-again", LZ("file", s->file));
}

void store_health_get(struct store *s, struct store_health *ret)
{
    pthread_mutex_lock(&s->queue_lock);
    *ret = s->health;
    ret->queued += s->in_hand + s->is_clock_due;
    pthread_mutex_unlock(&s->queue_lock);
}

/* ---- the thread ---- */

/* Writes one batch. */
static int batch_write(struct store *s)
{
    struct reason why = {0};
    struct list batch;
    int64_t ahead_s;
    int err;

    batch_take(s, &batch, &ahead_s);
    pthread_mutex_lock(&s->db_lock);
    err = db_write_changes(s, &batch, ahead_s, &why);
    pthread_mutex_unlock(&s->db_lock);
    if (err) {
        batch_return(s, &batch);
        pthread_mutex_lock(&s->queue_lock);
        s->health.failed++;
        pthread_mutex_unlock(&s->queue_lock);
        queue_health_writable(s, false, why.detail[0] ? why.detail : err_text(err));
        return err;
    }
    queue_health_writable(s, true, NULL); /* first: who sees that all is written sees this, too */
    batch_done(s, &batch, ahead_s);
    return 0;
}

static void users_watch(struct store *s)
{
    struct reason why = {0};
    int err = 0;

    pthread_mutex_lock(&s->watch_lock);
    if (s->watch_fn) {
        pthread_mutex_lock(&s->db_lock);
        err = db_watch(s, &why);
        pthread_mutex_unlock(&s->db_lock);
    }
    pthread_mutex_unlock(&s->watch_lock);
    if (err && err != ERR_AGAIN)
        LOG(LOG_DEBUG, "store-watch", LZ("error", why.detail));
}

/* Sleeps until `until_ms`, or until there is work or an end; queue_lock is held. */
static void thread_sleep(struct store *s, uint64_t until_ms)
{
    struct timespec ts = {.tv_sec = (time_t)(until_ms / 1000),
                          .tv_nsec = (long)(until_ms % 1000) * 1000000};

    (void)pthread_cond_timedwait(&s->wake, &s->queue_lock, &ts);
}

struct pace {
    uint64_t write_at, poll_at; /* when to write and to look for changed users next */
    uint64_t retry_ms;          /* 0: the last write worked */
    uint64_t close_by;          /* 0: not closing */
};

/* What is due: true when something is, false to wait on; queue_lock is held. */
static bool thread_is_due(struct store *s, struct pace *p, uint64_t now, uint64_t *ret_until)
{
    bool is_due = has_work(s);

    if (s->is_closing && p->close_by == 0) {
        p->close_by = now + STORE_CLOSE_MS;
        p->write_at = now;
    }
    if (is_due && p->write_at == 0)
        p->write_at = now + (s->is_closing ? 0 : STORE_GATHER_MS);
    if (is_due && s->health.queued >= STORE_BATCH && p->retry_ms == 0)
        p->write_at = now;
    *ret_until = p->poll_at;
    if (is_due && p->write_at < *ret_until)
        *ret_until = p->write_at;
    return now >= *ret_until || s->is_closing;
}

static void thread_write(struct store *s, struct pace *p)
{
    int err = batch_write(s);

    p->write_at = 0;
    if (!err) {
        p->retry_ms = 0;
        return;
    }
    p->retry_ms = p->retry_ms ? p->retry_ms * 2 : STORE_RETRY_MIN_MS;
    if (p->retry_ms > STORE_RETRY_MAX_MS)
        p->retry_ms = STORE_RETRY_MAX_MS;
    p->write_at = now_ms() + (p->close_by ? STORE_RETRY_MIN_MS : p->retry_ms);
}

static void *thread_main(void *arg)
{
    struct store *s = arg;
    struct pace p = {.poll_at = now_ms() + STORE_POLL_MS};
    uint64_t now, until;

    for (;;) {
        bool is_empty, is_closing;

        pthread_mutex_lock(&s->queue_lock);
        while (!thread_is_due(s, &p, now_ms(), &until))
            thread_sleep(s, until);
        is_empty = !has_work(s);
        is_closing = s->is_closing;
        now = now_ms();
        if (is_closing && !is_empty && now < p.write_at) /* the last tries come in steps as well */
            thread_sleep(s, p.write_at);
        pthread_mutex_unlock(&s->queue_lock);
        if (is_closing && (is_empty || now_ms() >= p.close_by))
            return NULL;
        if (!is_empty && now_ms() >= p.write_at)
            thread_write(s, &p);
        if (now_ms() >= p.poll_at) {
            users_watch(s);
            p.poll_at = now_ms() + STORE_POLL_MS;
        }
    }
}

int queue_start_thread(struct store *s)
{
    if (s->has_thread)
        return 0;
    if (pthread_create(&s->thread, NULL, thread_main, s) != 0)
        return ERR_NOMEM;
    s->has_thread = true;
    return 0;
}

void queue_stop(struct store *s)
{
    bool has_thread;

    pthread_mutex_lock(&s->queue_lock);
    s->is_closing = true;
    has_thread = s->has_thread;
    pthread_cond_signal(&s->wake);
    pthread_mutex_unlock(&s->queue_lock);
    if (has_thread)
        pthread_join(s->thread, NULL);
    if (s->health.queued)
        LOG(LOG_ERROR, "store-lost", LZ("file", s->file), LU("changes", s->health.queued),
            LZ("error", s->health.last_error));
    while (!list_is_empty(&s->order)) {
        struct store_change *c = LIST_FIRST(&s->order, struct store_change, link);

        queue_remove(s, c);
        mem_free(c);
    }
}

int store_watch_users(struct store *s,
                      void (*fn)(void *arg, const struct store_user *u, bool deleted), void *arg)
{
    int err = 0;

    pthread_mutex_lock(&s->watch_lock); /* waits for a callback that is running */
    s->watch_fn = fn;
    s->watch_arg = arg;
    pthread_mutex_unlock(&s->watch_lock);
    if (fn) {
        pthread_mutex_lock(&s->queue_lock);
        err = queue_start_thread(s);
        pthread_mutex_unlock(&s->queue_lock);
    }
    return err;
}

/* ---- life ---- */

int store_open(const char *file, bool read_only, struct store **ret, struct reason *why)
{
    struct store *s = mem_zalloc(sizeof(*s));
    pthread_condattr_t attr;
    int err;

    *ret = NULL;
    if (!s)
        return ERR_NOMEM;
    list_init(&s->order);
    s->read_only = read_only;
    s->claim_fd = -1;
    s->health.writable = !read_only;
    pthread_mutex_init(&s->db_lock, NULL);
    pthread_mutex_init(&s->queue_lock, NULL);
    pthread_mutex_init(&s->watch_lock, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&s->wake, &attr);
    pthread_condattr_destroy(&attr);
    s->file = mem_alloc(strlen(file) + 1);
    if (!s->file || map_init(&s->waiting, STORE_QUEUE_CHANGES + STORE_BATCH) != 0) {
        reason_set(why, "no-memory", NULL, 0, NULL);
        err = ERR_NOMEM;
        goto fail;
    }
    memcpy(s->file, file, strlen(file) + 1);
    if ((err = db_open(s, why)) != 0)
        goto fail;
    if (s->is_db_read_only && !read_only)
        queue_health_writable(s, false, "the file cannot be written");
    *ret = s;
    return 0;
fail:
    store_close(s);
    return err;
}

int store_claim(struct store *s, struct reason *why)
{
    int fd = open(s->file, O_RDONLY | O_CLOEXEC);

    if (fd < 0) {
        reason_set(why, "store-open", NULL, 0, "%s: %s", s->file, strerror(errno));
        return ERR_IO;
    }
    if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
        bool is_taken = errno == EWOULDBLOCK;

        if (is_taken)
            reason_set(why, "store-in-use", NULL, 0, "another sallyport runs with the store %s", s->file);
        else
            reason_set(why, "store-lock", NULL, 0, "%s: %s", s->file, strerror(errno));
        close(fd);
        return is_taken ? ERR_EXISTS : ERR_IO;
    }
    s->claim_fd = fd;
    return 0;
}

void store_close(struct store *s)
{
    if (!s)
        return;
    queue_stop(s);
    db_close(s);
    if (s->claim_fd >= 0) /* not before: closing any descriptor of a file ends SQLite's locks on it */
        close(s->claim_fd);
    map_done(&s->waiting);
    pthread_cond_destroy(&s->wake);
    pthread_mutex_destroy(&s->db_lock);
    pthread_mutex_destroy(&s->queue_lock);
    pthread_mutex_destroy(&s->watch_lock);
    mem_free(s->file);
    mem_free(s);
}

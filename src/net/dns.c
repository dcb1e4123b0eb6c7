/* The real DNS behind dns.h: libunbound in a thread of its own, its pipe watched by the worker's
 * loop, and in front of it a small table of answers and of questions under way. The table saves a
 * trip to the other thread for every message sent to a domain, and lets everybody who asks the same
 * thing wait for one answer. RFC 1035, RFC 2308 (negative answers), RFC 4035.
 *
 * An entry of the table: asked (no answer yet, waiters) -> known (until its time is over) -> gone.
 * It goes early when the table is full: the one used longest ago first, never one that is asked.
 * Owned by one worker. */
#include "net/dns.h"
#include "base/err.h"
#include "base/map.h"
#include "base/mem.h"
#include <errno.h>
#include <sys/stat.h>
#include <unbound.h>
#include <uv.h>

#define ENTRIES_MAX 4096u
#define CACHE_BYTES_MAX (4u << 20) /* RDATA of all entries */
#define ANSWER_BYTES_MAX 16384u    /* RDATA of one answer; what is beyond is left out */
#define TTL_MAX_S 3600u            /* kept at most, whatever the TTL */
#define TTL_NEGATIVE_MAX_S 60u
#define TTL_FAILURE_MS 2000u /* RFC 2308 7: so that a dead server is not asked for each message */
#define CLASS_IN 1

struct entry {
    struct map_node node; /* key: two bytes of type, then the name in lower case */
    struct list lru;      /* known ones only */
    struct list waiters;  /* of struct dns_query */
    struct dns_real *dns;
    bool is_known, is_pinned;
    uint64_t until_ms;
    struct dns_answer answer;
    struct str *rdata; /* one block: slices, then bytes */
    size_t bytes;
    char key[2 + DNS_NAME_TEXT_MAX];
};

struct dns_real {
    struct dns base;
    struct ub_ctx *ub;
    uv_poll_t *poll; /* on the heap: it outlives us by one turn of the loop */
    struct wheel *wheel;
    struct map entries;
    struct list lru; /* oldest first */
    size_t bytes;
    uint64_t n_asked, n_failed;
};

static struct dns_real *real(struct dns *d)
{
    return CONTAINER_OF(d, struct dns_real, base);
}

/* --- table --- */

static void entry_free(struct entry *e)
{
    map_remove(&e->dns->entries, &e->node);
    list_remove(&e->lru);
    e->dns->bytes -= e->bytes;
    while (!list_is_empty(&e->waiters))
        list_remove(e->waiters.next);
    mem_free(e->rdata);
    mem_free(e);
}

/* The one used longest ago; false if none can go. */
static bool evict(struct dns_real *d)
{
    LIST_EACH(e, &d->lru, struct entry, lru)
    {
        if (!e->is_pinned) {
            entry_free(e);
            return true;
        }
    }
    return false;
}

static size_t make_key(char *key, struct str name, enum dns_type type)
{
    if (name.n && name.p[name.n - 1] == '.')
        name.n--;
    key[0] = (char)(type >> 8);
    key[1] = (char)(type & 0xff);
    for (size_t i = 0; i < name.n; i++)
        key[2 + i] = str_lower(name.p[i]);
    key[2 + name.n] = '\0';
    return 2 + name.n;
}

static struct entry *entry_find(struct dns_real *d, struct str key)
{
    struct map_node *node = map_find(&d->entries, key);
    if (!node)
        return NULL;
    struct entry *e = CONTAINER_OF(node, struct entry, node);
    if (e->is_known && !e->is_pinned && wheel_now_ms(d->wheel) >= e->until_ms) {
        entry_free(e);
        return NULL;
    }
    return e;
}

static int entry_add(struct dns_real *d, struct str key, struct entry **ret)
{
    if (d->entries.n >= ENTRIES_MAX && !evict(d))
        return ERR_LIMIT;
    struct entry *e = mem_zalloc(sizeof(*e));
    if (!e)
        return ERR_NOMEM;
    e->dns = d;
    list_init(&e->lru);
    list_init(&e->waiters);
    memcpy(e->key, key.p, key.n + 1);
    int err = map_add(&d->entries, &e->node, str_make(e->key, key.n));
    if (err) {
        mem_free(e);
        return err;
    }
    *ret = e;
    return 0;
}

/* --- answers --- */

static enum dns_status status_of(int err, const struct ub_result *r)
{
    if (err || !r)
        return DNS_SERVFAIL;
    if (r->bogus)
        return DNS_BOGUS;
    if (r->rcode != 0 && r->rcode != 3)
        return DNS_SERVFAIL;
    if (r->nxdomain || r->rcode == 3)
        return DNS_NXDOMAIN;
    return r->havedata ? DNS_OK : DNS_NODATA;
}

/* Copies what fits; false: no memory. */
static bool copy_records(struct entry *e, const struct ub_result *r)
{
    size_t n = 0, bytes = 0;
    while (n < LIMIT_DNS_RECORDS && r->data[n] && bytes + (size_t)r->len[n] <= ANSWER_BYTES_MAX)
        bytes += (size_t)r->len[n++];
    e->bytes = n * sizeof(struct str) + bytes;
    e->rdata = mem_alloc(e->bytes);
    if (!e->rdata) {
        e->bytes = 0;
        return false;
    }
    char *p = (char *)(e->rdata + n);
    for (size_t i = 0; i < n; i++) {
        size_t len = (size_t)r->len[i];
        memcpy(p, r->data[i], len);
        e->rdata[i] = str_make(p, len);
        p += len;
    }
    e->answer.rdata = e->rdata;
    e->answer.n = n;
    e->dns->bytes += e->bytes;
    return true;
}

static uint64_t keep_ms(enum dns_status status, const struct ub_result *r)
{
    if (status == DNS_SERVFAIL || status == DNS_BOGUS)
        return TTL_FAILURE_MS;
    uint32_t max = status == DNS_OK ? TTL_MAX_S : TTL_NEGATIVE_MAX_S;
    uint32_t ttl = r->ttl < 0 ? 0 : (uint32_t)r->ttl;
    return (uint64_t)(ttl < max ? ttl : max) * 1000;
}

/* Callbacks may ask again, for the same name as well, and cancel others that wait here. */
static void tell(struct entry *e)
{
    struct list waiters;
    list_init(&waiters);
    while (!list_is_empty(&e->waiters)) {
        struct list *node = e->waiters.next;
        list_remove(node);
        list_append(&waiters, node);
    }
    e->is_pinned = true;
    while (!list_is_empty(&waiters)) {
        struct dns_query *q = CONTAINER_OF(waiters.next, struct dns_query, node);
        list_remove(&q->node);
        q->fn(q->arg, &e->answer);
    }
    e->is_pinned = false;
}

static void on_result(void *arg, int err, struct ub_result *r)
{
    struct entry *e = arg;
    struct dns_real *d = e->dns;
    e->answer.status = status_of(err, r);
    if (e->answer.status == DNS_OK && (!copy_records(e, r) || e->answer.n == 0))
        e->answer.status = DNS_SERVFAIL;
    e->answer.secure = r && r->secure;
    if (e->answer.status == DNS_SERVFAIL || e->answer.status == DNS_BOGUS)
        d->n_failed++;
    uint64_t keep = keep_ms(e->answer.status, r);
    ub_resolve_free(r);
    e->is_known = true;
    e->until_ms = wheel_now_ms(d->wheel) + keep;
    list_append(&d->lru, &e->lru);
    tell(e);
    while (d->bytes > CACHE_BYTES_MAX && evict(d))
        ;
}

static int ask(struct dns *base, struct str name, enum dns_type type, struct dns_query *q,
               const struct dns_answer **ret_now)
{
    struct dns_real *d = real(base);
    char key[2 + DNS_NAME_TEXT_MAX + 1];
    *ret_now = NULL;
    if (!dns_name_is_valid(name))
        return ERR_SYNTAX;
    size_t n = make_key(key, name, type);
    struct entry *e = entry_find(d, str_make(key, n));
    if (e && e->is_known) {
        list_remove(&e->lru);
        list_append(&d->lru, &e->lru);
        *ret_now = &e->answer;
        return 0;
    }
    if (!e) {
        int err = entry_add(d, str_make(key, n), &e);
        if (err)
            return err;
        d->n_asked++;
        int ub = ub_resolve_async(d->ub, e->key + 2, (int)type, CLASS_IN, e, on_result, NULL);
        if (ub != 0) {
            entry_free(e);
            return ub == UB_NOMEM ? ERR_NOMEM : ERR_IO;
        }
    }
    list_append(&e->waiters, &q->node);
    return 0;
}

/* --- set-up --- */

static void on_readable(uv_poll_t *handle, int status, int events)
{
    struct dns_real *d = handle->data;
    (void)events;
    if (d && status == 0)
        ub_process(d->ub);
}

static void on_poll_closed(uv_handle_t *handle)
{
    mem_free(handle);
}

static bool free_entry(struct map_node *node, void *arg)
{
    (void)arg;
    entry_free(CONTAINER_OF(node, struct entry, node));
    return true;
}

static void real_free(struct dns *base)
{
    struct dns_real *d = real(base);
    if (d->poll) {
        d->poll->data = NULL;
        uv_close((uv_handle_t *)d->poll, on_poll_closed);
    }
    if (d->ub)
        ub_ctx_delete(d->ub); /* ends its thread; nothing is called back */
    map_each(&d->entries, free_entry, NULL);
    map_done(&d->entries);
    mem_free(d);
}

/* What is unlike libunbound's defaults, each for a reason. */
static int set_options(struct ub_ctx *ub, const char **ret_failed)
{
    static const char *const options[][2] = {
        {"do-not-query-localhost:",
         "no"}, /* forwarders on loopback are common: systemd-resolved, dnsmasq */
        {"num-queries-per-thread:", "1024"}, /* the library's 16 would drop the rest of a burst */
        {"outgoing-range:", "256"},
        {"unblock-lan-zones:", "yes"}, /* an enterprise's own addresses */
        {"insecure-lan-zones:", "yes"},
        {"infra-host-ttl:", "30"}, /* how long a server counts as dead: its default is 15 minutes */
        {"infra-keep-probing:", "yes"},
        {"cache-max-negative-ttl:", "60"},
        {"msg-cache-size:", "1m"}, /* the table in front holds what is asked often */
        {"rrset-cache-size:", "2m"},
        {"key-cache-size:", "1m"},
        {"neg-cache-size:", "256k"},
        {"msg-cache-slabs:", "1"}, /* one thread: nobody to contend with */
        {"rrset-cache-slabs:", "1"},
        {"infra-cache-slabs:", "1"},
        {"key-cache-slabs:", "1"},
        {"use-syslog:", "no"},
    };
    for (size_t i = 0; i < ARRAY_LEN(options); i++) {
        int err = ub_ctx_set_option(ub, options[i][0], options[i][1]);
        if (err) {
            *ret_failed = options[i][0];
            return err;
        }
    }
    ub_ctx_debuglevel(ub, 0);
    return ub_ctx_debugout(ub, NULL);
}

/* The system's own files may be missing, as in containers; any other that is named must be there.
 */
static bool is_missing(const char *file)
{
    struct stat st;
    bool is_system = strcmp(file, "/etc/hosts") == 0 || strcmp(file, "/etc/resolv.conf") == 0;
    return is_system && stat(file, &st) != 0 && errno == ENOENT;
}

static int set_sources(struct ub_ctx *ub, const struct dns_args *args, const char **ret_failed)
{
    int err = 0;
    const char *resolv_conf = args->resolv_conf ? args->resolv_conf : "/etc/resolv.conf";
    if (args->forward) {
        *ret_failed = args->forward;
        err = ub_ctx_set_fwd(ub, args->forward);
    } else if (!is_missing(resolv_conf)) {
        *ret_failed = resolv_conf;
        err = ub_ctx_resolvconf(ub, resolv_conf);
    }
    if (!err && args->hosts && !is_missing(args->hosts)) {
        *ret_failed = args->hosts;
        err = ub_ctx_hosts(ub, args->hosts);
    }
    if (!err && args->trust_anchor) {
        *ret_failed = args->trust_anchor;
        err = ub_ctx_add_ta_file(ub, args->trust_anchor);
    }
    /* Last, since either call fixes the settings, and only then are anchors read. The library
     * answers "test." by itself (RFC 6761 6.2); whoever names a server means that server. */
    if (!err && args->forward)
        err = ub_ctx_zone_add(ub, "test.", "nodefault");
    else if (!err)
        err = ub_ctx_zone_remove(ub, "sallyport.invalid.");
    return err;
}

static int watch(struct dns_real *d, struct uv_loop_s *loop)
{
    d->poll = mem_zalloc(sizeof(*d->poll));
    if (!d->poll)
        return ERR_NOMEM;
    if (uv_poll_init(loop, d->poll, ub_fd(d->ub)) != 0) {
        mem_free(d->poll); /* not in the loop yet */
        d->poll = NULL;
        return ERR_IO;
    }
    d->poll->data = d;
    return uv_poll_start(d->poll, UV_READABLE, on_readable) == 0 ? 0 : ERR_IO;
}

int dns_new(const struct dns_args *args, struct dns **ret, struct reason *reason)
{
    static const struct dns_ops ops = {ask, real_free};
    struct dns_real *d = mem_zalloc(sizeof(*d));
    if (!d || map_init(&d->entries, ENTRIES_MAX) != 0) {
        mem_free(d);
        reason_set(reason, "no-memory", NULL, 0, "out of memory");
        return ERR_NOMEM;
    }
    d->base.ops = &ops;
    d->wheel = args->wheel;
    list_init(&d->lru);
    const char *failed = "libunbound";
    int err = ERR_NOMEM;
    d->ub = ub_ctx_create();
    if (!d->ub) {
        reason_set(reason, "no-memory", NULL, 0, "out of memory");
        goto out;
    }
    int ub = ub_ctx_async(d->ub, 1);
    if (!ub)
        ub = set_options(d->ub, &failed);
    if (!ub)
        ub = set_sources(d->ub, args, &failed);
    err = ub ? ERR_INVALID : watch(d, args->loop);
    if (err)
        reason_set(reason, "dns-setup", NULL, 0, "%s: %s", failed,
                   ub ? ub_strerror(ub) : err_text(err));
out:
    if (err) {
        real_free(&d->base);
        return err;
    }
    *ret = &d->base;
    return 0;
}

void dns_counts(const struct dns *d, uint64_t *ret_asked, uint64_t *ret_failed)
{
    const struct dns_real *r = (const struct dns_real *)(const void *)d; /* its first member */
    *ret_asked = r->n_asked;
    *ret_failed = r->n_failed;
}

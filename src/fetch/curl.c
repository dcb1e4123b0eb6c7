/* The fetcher's thread: libcurl's multi interface under fetch/core.h. */
#include "base/log.h"
#include "base/mem.h"
#include "fetch/core.h"
#include <curl/curl.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <time.h>

#define POSTS_MAX 65536u
#define POLL_MAX_MS 1000
#define CA_BYTES_MAX (4u << 20)

struct fetch {
    struct fetch_core core;
    struct addr_net *allowed;
    struct curl_blob ca; /* data NULL: the system's anchors */
    CURLM *multi;
    struct mq *mq;
    pthread_t thread;
    bool has_thread;
    _Atomic bool is_stopping;
    uint64_t (*on_turn)(void *arg); /* the thread's */
    void *on_turn_arg;
    /* of the last turn, for other threads */
    pthread_mutex_t lock;
    struct fetch_stats stats;
};

struct request {
    struct fetch *f;
    CURL *easy;
    bool address_refused, too_long;
    const char *special;
    size_t n;
    char body[LIMIT_HTTPS_BYTES];
};

static uint64_t now_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

/* --- one transfer --- */

static size_t on_body(char *p, size_t size, size_t n, void *arg)
{
    struct request *r = arg;

    n *= size;
    if (n > sizeof(r->body) - r->n) {
        r->too_long = true;
        return 0;
    }
    memcpy(r->body + r->n, p, n);
    r->n += n;
    return n;
}

/* Asked for the very address that is connected to, whatever name led here. */
static curl_socket_t on_socket(void *arg, curlsocktype purpose, struct curl_sockaddr *address)
{
    struct request *r = arg;
    struct addr a = {.sa = {.sa_family = AF_UNSPEC}};

    (void)purpose;
    if (address->addrlen <= sizeof(a.v6))
        memcpy(&a, &address->addr, address->addrlen);
    if ((a.sa.sa_family != AF_INET && a.sa.sa_family != AF_INET6) ||
        !addr_may_fetch(&a, r->f->allowed, r->f->core.n_allowed)) {
        r->address_refused = true;
        r->special = addr_special(&a);
        return CURL_SOCKET_BAD;
    }
    return socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
}

static void request_free(struct request *r)
{
    if (r->easy)
        curl_easy_cleanup(r->easy);
    mem_free(r);
}

static bool set_options(struct request *r, const struct fetch_transfer *t, uint64_t timeout_ms)
{
    CURL *e = r->easy;
    bool ok = true;

#define SET(option, value) ok = ok && curl_easy_setopt(e, option, value) == CURLE_OK
    SET(CURLOPT_URL, t->url);
    SET(CURLOPT_PROTOCOLS_STR, "https");
    SET(CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    SET(CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    SET(CURLOPT_SSL_VERIFYPEER, 1L);
    SET(CURLOPT_SSL_VERIFYHOST, 2L);
    if (r->f->ca.data) {
        SET(CURLOPT_CAINFO_BLOB, &r->f->ca);
        SET(CURLOPT_CAINFO, NULL);
        SET(CURLOPT_CAPATH, NULL);
    }
    SET(CURLOPT_FOLLOWLOCATION, 0L);
    SET(CURLOPT_PROXY, "");
    SET(CURLOPT_NETRC, (long)CURL_NETRC_IGNORED);
    SET(CURLOPT_FORBID_REUSE, 1L); /* what was allowed once is looked at again */
    SET(CURLOPT_DNS_CACHE_TIMEOUT, 0L);
    SET(CURLOPT_NOSIGNAL, 1L);
    SET(CURLOPT_QUICK_EXIT, 1L); /* a resolver that hangs holds up nobody */
    SET(CURLOPT_TIMEOUT_MS, (long)timeout_ms);
    SET(CURLOPT_MAXFILESIZE, (long)LIMIT_HTTPS_BYTES);
    SET(CURLOPT_BUFFERSIZE, 16384L);
    SET(CURLOPT_ACCEPT_ENCODING, NULL);
    SET(CURLOPT_OPENSOCKETFUNCTION, on_socket);
    SET(CURLOPT_OPENSOCKETDATA, r);
    SET(CURLOPT_WRITEFUNCTION, on_body);
    SET(CURLOPT_WRITEDATA, r);
#undef SET
    return ok;
}

static int transport_start(void *arg, struct fetch_transfer *t, uint64_t timeout_ms)
{
    struct fetch *f = arg;
    struct request *r = mem_alloc(sizeof(*r));

    if (!r)
        return ERR_NOMEM;
    r->f = f;
    r->easy = curl_easy_init();
    r->address_refused = r->too_long = false;
    r->special = NULL;
    r->n = 0;
    t->handle = r;
    if (!r->easy || !set_options(r, t, timeout_ms) ||
        curl_easy_setopt(r->easy, CURLOPT_PRIVATE, t) != CURLE_OK ||
        curl_multi_add_handle(f->multi, r->easy) != CURLM_OK) {
        request_free(r);
        return ERR_NOMEM;
    }
    return 0;
}

static void transport_cancel(void *arg, struct fetch_transfer *t)
{
    struct fetch *f = arg;
    struct request *r = t->handle;

    (void)curl_multi_remove_handle(f->multi, r->easy);
    request_free(r);
}

static struct str header(CURL *e, const char *name)
{
    struct curl_header *h;

    return curl_easy_header(e, name, 0, CURLH_HEADER, -1, &h) == CURLHE_OK ? str_z(h->value)
                                                                           : STR_NULL;
}

static uint64_t fresh_s(CURL *e)
{
    struct str expires = header(e, "Expires"), date = header(e, "Date");
    int64_t in_s = -1;
    uint64_t age;

    if (expires.p) {
        time_t end = curl_getdate(expires.p, NULL);
        time_t from = date.p ? curl_getdate(date.p, NULL) : time(NULL);

        in_s = end > 0 && from > 0 && end > from ? (int64_t)(end - from) : 0;
    }
    if (str_to_u64(str_trim(header(e, "Age")), UINT32_MAX, &age) != 0)
        age = 0;
    return fetch_fresh_s(header(e, "Cache-Control"), in_s, age);
}

static int judge(const struct request *r, CURLcode code, struct reason *why)
{
    if (code == CURLE_OK)
        return 0;
    if (r->address_refused) {
        reason_set(why, "fetch-address", "RFC 6890", 436, "nothing is fetched from %s addresses",
                   r->special ? r->special : "such");
        return ERR_REFUSED;
    }
    if (r->too_long || code == CURLE_FILESIZE_EXCEEDED) {
        reason_set(why, "fetch-size", NULL, 436, "more than %u bytes", LIMIT_HTTPS_BYTES);
        return ERR_LIMIT;
    }
    switch (code) {
    case CURLE_OPERATION_TIMEDOUT:
        reason_set(why, "fetch-timeout", "RFC 8224 6.2.2", 436, "no answer within %u ms",
                   LIMIT_HTTPS_MS);
        return ERR_TIMEOUT;
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CONNECT_ERROR:
        reason_set(why, "fetch-tls", "RFC 9110 4.3.4", 436, "%s", curl_easy_strerror(code));
        return ERR_REFUSED;
    case CURLE_OUT_OF_MEMORY:
        reason_set(why, "no-memory", NULL, 500, NULL);
        return ERR_NOMEM;
    default:
        reason_set(why, "fetch-failed", "RFC 8224 6.2.2", 436, "%s", curl_easy_strerror(code));
        return ERR_IO;
    }
}

static void on_end(struct fetch *f, CURL *easy, CURLcode code)
{
    struct fetch_transfer *t = NULL;
    struct fetch_outcome o = {.err = 0};
    struct reason why = {.code = NULL};
    struct request *r;
    char *location = NULL;
    long status = 0;

    (void)curl_easy_getinfo(easy, CURLINFO_PRIVATE, (char **)&t);
    r = t->handle;
    o.err = judge(r, code, &why);
    o.why = &why;
    if (o.err == 0) {
        (void)curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
        (void)curl_easy_getinfo(easy, CURLINFO_REDIRECT_URL, &location);
        o.status = (unsigned)status;
        o.location = str_z(location);
        o.body = str_make(r->body, r->n);
        o.fresh_s = fresh_s(easy);
    }
    (void)curl_multi_remove_handle(f->multi, easy);
    fetch_core_done(&f->core, t, &o, now_ms());
    request_free(r);
}

/* --- the thread --- */

static void wake(void *arg)
{
    (void)curl_multi_wakeup(((struct fetch *)arg)->multi);
}

static void copy_stats(struct fetch *f)
{
    pthread_mutex_lock(&f->lock);
    f->stats = f->core.stats;
    pthread_mutex_unlock(&f->lock);
}

static void *thread_main(void *arg)
{
    struct fetch *f = arg;

    while (!f->is_stopping) {
        uint64_t next, turn;
        CURLMsg *m;
        int n;

        (void)mq_drain(f->mq, f, SIZE_MAX);
        (void)curl_multi_perform(f->multi, &n);
        while ((m = curl_multi_info_read(f->multi, &n)) != NULL) {
            if (m->msg == CURLMSG_DONE)
                on_end(f, m->easy_handle, m->data.result);
        }
        turn = f->on_turn ? f->on_turn(f->on_turn_arg) : UINT64_MAX;
        next = fetch_core_turn(&f->core, now_ms());
        next = turn < next ? turn : next;
        if (f->core.n_running && f->core.stats.transfers != f->stats.transfers)
            (void)curl_multi_perform(f->multi, &n); /* what was just started */
        copy_stats(f);
        (void)curl_multi_poll(f->multi, NULL, 0, next < POLL_MAX_MS ? (int)next : POLL_MAX_MS,
                              NULL);
    }
    return NULL;
}

/* --- its life --- */

/* Once: later we may be somebody who cannot read it any more. */
static int read_ca(struct fetch *f, const char *file, struct reason *why)
{
    size_t n = 0;
    FILE *in;

    errno = 0;
    in = fopen(file, "re");
    if (in && (f->ca.data = mem_alloc(CA_BYTES_MAX)) != NULL)
        n = fread(f->ca.data, 1, CA_BYTES_MAX, in);
    if (!in || (f->ca.data && (ferror(in) || n == 0))) {
        reason_set(why, "fetch-ca", NULL, 0, "%s: %s", file, errno ? strerror(errno) : "is empty");
        if (in)
            fclose(in);
        return ERR_IO;
    }
    fclose(in);
    f->ca.len = n;
    f->ca.flags = CURL_BLOB_NOCOPY;
    if (n == CA_BYTES_MAX)
        reason_set(why, "fetch-ca", NULL, 0, "%s: too large", file);
    return !f->ca.data ? ERR_NOMEM : n == CA_BYTES_MAX ? ERR_LIMIT : 0;
}

static int copy_allowed(struct fetch *f, const struct fetch_args *args)
{
    f->allowed = mem_zalloc_array(args->n_allowed, sizeof(*f->allowed));
    if (!f->allowed)
        return ERR_NOMEM;
    if (args->n_allowed)
        memcpy(f->allowed, args->allowed, args->n_allowed * sizeof(*f->allowed));
    return 0;
}

int fetch_new(const struct fetch_args *args, struct fetch **ret, struct reason *why)
{
    struct fetch *f = mem_zalloc(sizeof(*f));
    struct fetch_transport t = {.start = transport_start, .cancel = transport_cancel, .arg = f};
    int err;

    *ret = NULL;
    if (!f)
        return ERR_NOMEM;
    pthread_mutex_init(&f->lock, NULL);
    if (args->ca_file && (err = read_ca(f, args->ca_file, why)) != 0) {
        fetch_free(f);
        return err;
    }
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != 0 || copy_allowed(f, args) != 0 ||
        !(f->mq = mq_new(POSTS_MAX, wake, f)) || !(f->multi = curl_multi_init()) ||
        fetch_core_init(&f->core, &t, f->allowed, args->n_allowed) != 0 ||
        pthread_create(&f->thread, NULL, thread_main, f) != 0) {
        reason_set(why, "no-memory", NULL, 0, "the fetcher cannot be started");
        fetch_free(f);
        return ERR_NOMEM;
    }
    f->has_thread = true;
    *ret = f;
    return 0;
}

void fetch_stop(struct fetch *f)
{
    if (!f || !f->has_thread)
        return;
    f->is_stopping = true;
    wake(f);
    pthread_join(f->thread, NULL);
    f->has_thread = false;
    f->core.is_closed = true;
    (void)mq_drain(f->mq, f, SIZE_MAX); /* they find it closed */
    fetch_core_done_all(&f->core);
}

void fetch_free(struct fetch *f)
{
    if (!f)
        return;
    fetch_stop(f);
    if (f->mq)
        (void)mq_drain(f->mq, f, SIZE_MAX);
    mq_free(f->mq);
    if (f->multi)
        (void)curl_multi_cleanup(f->multi);
    pthread_mutex_destroy(&f->lock);
    mem_free(f->allowed);
    mem_free(f->ca.data);
    mem_free(f);
}

int fetch_post(struct fetch *f, struct mq_item *item)
{
    return f->is_stopping ? ERR_CLOSED : mq_push(f->mq, item);
}

void fetch_on_turn(struct fetch *f, uint64_t (*fn)(void *arg), void *arg)
{
    f->on_turn = fn;
    f->on_turn_arg = arg;
}

void fetch_wake(struct fetch *f)
{
    wake(f);
}

bool fetch_is_stopping(const struct fetch *f)
{
    return f->is_stopping;
}

int fetch_get(struct fetch *f, struct str url, fetch_fn *fn, void *arg)
{
    return fetch_core_get(&f->core, url, fn, arg, now_ms());
}

void fetch_stats(struct fetch *f, struct fetch_stats *ret)
{
    pthread_mutex_lock(&f->lock);
    *ret = f->stats;
    pthread_mutex_unlock(&f->lock);
}

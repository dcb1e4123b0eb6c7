/* HTTP POST on a thread of its own (http.h), by libcurl's multi interface. RFC 9110 9.3.3. The
 * queue is under the lock; handles belong to the thread. */
#include "net/http.h"
#include "base/limits.h"
#include "base/list.h"
#include "base/mem.h"
#include <curl/curl.h>
#include <errno.h>
#include <pthread.h>
#include <sys/socket.h>
#include <unistd.h>

struct transfer {
    struct list list; /* waiting, or running */
    struct net_http *h;
    net_http_fn *fn;
    void *arg;
    char *url;
    unsigned char *body;
    size_t n_body;
    struct curl_slist *headers;
    CURL *easy;
    unsigned char *answer;
    size_t n_answer, answer_max;
    bool is_too_long;
    const char *special; /* the kind of address that was not connected to */
};

struct net_http {
    pthread_t thread;
    CURLM *multi;
    struct list running; /* the thread's */
    unsigned n_running;
    pthread_mutex_t lock; /* of what follows */
    struct list waiting;
    unsigned n_waiting;
    struct addr_net *allowed;
    size_t n_allowed;
    bool is_ending;
};

/* --- one transfer --- */

static void transfer_free(struct transfer *t)
{
    list_remove(&t->list);
    curl_easy_cleanup(t->easy);
    curl_slist_free_all(t->headers);
    mem_free(t->url);
    mem_free(t->body);
    mem_free(t->answer);
    mem_free(t);
}

static void transfer_fail(struct transfer *t, const char *what)
{
    struct reason why;

    reason_set(&why, "http-failed", "RFC 6960 A.1", 0, "%s", what);
    t->fn(t->arg, NULL, 0, &why);
    transfer_free(t);
}

static bool add_header(struct transfer *t, const char *name, const char *value)
{
    char line[128];
    struct curl_slist *longer;

    if (!value)
        return true;
    if ((size_t)snprintf(line, sizeof line, "%s%s", name, value) >= sizeof line)
        return false;
    longer = curl_slist_append(t->headers, line);
    if (longer)
        t->headers = longer;
    return longer != NULL;
}

static size_t on_body(char *p, size_t size, size_t n, void *arg)
{
    struct transfer *t = arg;
    unsigned char *longer;

    n *= size;
    if (n > t->answer_max - t->n_answer) {
        t->is_too_long = true;
        return 0; /* ends it */
    }
    longer = mem_realloc(t->answer, t->n_answer + n);
    if (!longer)
        return 0;
    t->answer = longer;
    memcpy(t->answer + t->n_answer, p, n);
    t->n_answer += n;
    return n;
}

/* The one place through which every connection goes, whichever name was looked up and whenever. */
static curl_socket_t on_open(void *arg, curlsocktype purpose, struct curl_sockaddr *to)
{
    struct transfer *t = arg;
    struct addr a = {0};
    bool ok;

    (void)purpose;
    if (to->addrlen > sizeof a)
        return CURL_SOCKET_BAD;
    memcpy(&a, &to->addr, to->addrlen);
    pthread_mutex_lock(&t->h->lock);
    ok = addr_may_fetch(&a, t->h->allowed, t->h->n_allowed);
    pthread_mutex_unlock(&t->h->lock);
    if (!ok) {
        t->special = addr_special(&a);
        return CURL_SOCKET_BAD;
    }
    return socket(to->family, to->socktype | SOCK_CLOEXEC, to->protocol);
}

static bool transfer_set(struct transfer *t)
{
    CURL *e = t->easy = curl_easy_init();

    return e && curl_easy_setopt(e, CURLOPT_URL, t->url) == CURLE_OK &&
           curl_easy_setopt(e, CURLOPT_PROTOCOLS_STR, "http") == CURLE_OK &&
           curl_easy_setopt(e, CURLOPT_FOLLOWLOCATION, 0L) == CURLE_OK &&
           curl_easy_setopt(e, CURLOPT_PROXY, "") == CURLE_OK &&
           curl_easy_setopt(e, CURLOPT_NOSIGNAL, 1L) == CURLE_OK &&
           curl_easy_setopt(e, CURLOPT_QUICK_EXIT, 1L) ==
               CURLE_OK && /* net_http_free waits for no resolver */
           curl_easy_setopt(e, CURLOPT_TIMEOUT_MS, (long)LIMIT_OCSP_MS) == CURLE_OK &&
           curl_easy_setopt(e, CURLOPT_FORBID_REUSE, 1L) == CURLE_OK &&
           curl_easy_setopt(e, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1) == CURLE_OK &&
           curl_easy_setopt(e, CURLOPT_POSTFIELDSIZE, (long)t->n_body) == CURLE_OK &&
           curl_easy_setopt(e, CURLOPT_POSTFIELDS, t->body) == CURLE_OK &&
           curl_easy_setopt(e, CURLOPT_HTTPHEADER, t->headers) == CURLE_OK &&
           curl_easy_setopt(e, CURLOPT_WRITEFUNCTION, on_body) == CURLE_OK &&
           curl_easy_setopt(e, CURLOPT_WRITEDATA, t) == CURLE_OK &&
           curl_easy_setopt(e, CURLOPT_OPENSOCKETFUNCTION, on_open) == CURLE_OK &&
           curl_easy_setopt(e, CURLOPT_OPENSOCKETDATA, t) == CURLE_OK &&
           curl_easy_setopt(e, CURLOPT_PRIVATE, t) == CURLE_OK;
}

static void transfer_end(struct transfer *t, CURLcode code)
{
    struct reason why;
    long status = 0;

    (void)curl_easy_getinfo(t->easy, CURLINFO_RESPONSE_CODE, &status);
    if (code == CURLE_OK && status == 200) {
        t->fn(t->arg, t->answer, t->n_answer, NULL);
        return;
    }
    if (t->special)
        reason_set(&why, "http-address", "RFC 6890", 0,
                   "its address is for special purposes (%s); allow-fetch-from can allow it",
                   t->special);
    else if (t->is_too_long)
        reason_set(&why, "http-too-long", NULL, 0, "more than %zu bytes", t->answer_max);
    else if (code != CURLE_OK)
        reason_set(&why, "http-failed", "RFC 6960 A.1", 0, "%s", curl_easy_strerror(code));
    else
        reason_set(&why, "http-status", "RFC 9110 15", 0, "status %ld", status);
    t->fn(t->arg, NULL, 0, &why);
}

/* --- the thread --- */

/* Takes what waits, as far as there is room. False: it is time to end. */
static bool take_waiting(struct net_http *h)
{
    bool go_on;

    pthread_mutex_lock(&h->lock);
    while (!h->is_ending && h->n_running < LIMIT_OCSP_AT_ONCE && !list_is_empty(&h->waiting)) {
        struct transfer *t = CONTAINER_OF(h->waiting.next, struct transfer, list);

        list_remove(&t->list);
        h->n_waiting--;
        pthread_mutex_unlock(&h->lock);
        if (!transfer_set(t) || curl_multi_add_handle(h->multi, t->easy) != CURLM_OK) {
            transfer_fail(t, "out of memory");
        } else {
            list_append(&h->running, &t->list);
            h->n_running++;
        }
        pthread_mutex_lock(&h->lock);
    }
    go_on = !h->is_ending;
    pthread_mutex_unlock(&h->lock);
    return go_on;
}

static void end_finished(struct net_http *h)
{
    CURLMsg *m;
    int n;

    while ((m = curl_multi_info_read(h->multi, &n)) != NULL) {
        CURLcode code = m->data.result;
        CURL *easy = m->easy_handle;
        char *p = NULL;

        if (m->msg != CURLMSG_DONE)
            continue;
        (void)curl_easy_getinfo(easy, CURLINFO_PRIVATE, &p);
        (void)curl_multi_remove_handle(h->multi, easy); /* m is gone with it */
        h->n_running--;
        transfer_end((struct transfer *)(void *)p, code);
        transfer_free((struct transfer *)(void *)p);
    }
}

static void *http_main(void *arg)
{
    struct net_http *h = arg;
    int n;

    (void)pthread_setname_np(pthread_self(), "http");
    while (take_waiting(h)) {
        (void)curl_multi_perform(h->multi, &n);
        end_finished(h);
        (void)curl_multi_poll(h->multi, NULL, 0, 60000,
                              NULL); /* ends early for sockets, timers, and curl_multi_wakeup */
    }
    while (!list_is_empty(&h->running)) {
        struct transfer *t = CONTAINER_OF(h->running.next, struct transfer, list);

        (void)curl_multi_remove_handle(h->multi, t->easy);
        transfer_fail(t, "ended");
    }
    return NULL;
}

/* --- from other threads --- */

static bool has_curl;

static void curl_init_once(void)
{
    has_curl = curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK;
}

int net_http_new(struct net_http **ret, struct reason *why)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    struct net_http *h = mem_zalloc(sizeof *h);

    (void)pthread_once(&once, curl_init_once);
    reason_set(why, "no-memory", NULL, 0, "out of memory");
    if (!h || !has_curl || (h->multi = curl_multi_init()) == NULL) {
        mem_free(h);
        return ERR_NOMEM;
    }
    (void)pthread_mutex_init(&h->lock, NULL);
    list_init(&h->running);
    list_init(&h->waiting);
    if (pthread_create(&h->thread, NULL, http_main, h) != 0) {
        (void)curl_multi_cleanup(h->multi);
        pthread_mutex_destroy(&h->lock);
        mem_free(h);
        return ERR_NOMEM;
    }
    *ret = h;
    return 0;
}

void net_http_free(struct net_http *h)
{
    if (!h)
        return;
    pthread_mutex_lock(&h->lock);
    h->is_ending = true;
    pthread_mutex_unlock(&h->lock);
    (void)curl_multi_wakeup(h->multi);
    (void)pthread_join(h->thread, NULL);
    while (!list_is_empty(&h->waiting))
        transfer_fail(CONTAINER_OF(h->waiting.next, struct transfer, list), "ended");
    (void)curl_multi_cleanup(h->multi);
    pthread_mutex_destroy(&h->lock);
    mem_free(h->allowed);
    mem_free(h);
}

int net_http_allow(struct net_http *h, const struct addr_net *nets, size_t n)
{
    struct addr_net *own = mem_zalloc_array(n, sizeof *own), *old;

    if (!own)
        return ERR_NOMEM;
    if (n)
        memcpy(own, nets, n * sizeof *own);
    pthread_mutex_lock(&h->lock);
    old = h->allowed;
    h->allowed = own;
    h->n_allowed = n;
    pthread_mutex_unlock(&h->lock);
    mem_free(old);
    return 0;
}

int net_http_post(struct net_http *h, const struct net_http_question *q)
{
    struct transfer *t = mem_zalloc(sizeof *t);
    size_t n_url = strlen(q->url);
    int err = ERR_NOMEM;

    if (!t)
        return ERR_NOMEM;
    list_init(&t->list);
    t->h = h;
    t->fn = q->fn;
    t->arg = q->arg;
    t->answer_max = q->answer_max;
    t->n_body = q->n;
    t->url = mem_alloc(n_url + 1);
    t->body = mem_alloc(q->n);
    if (t->url && t->body && add_header(t, "Content-Type: ", q->type) &&
        add_header(t, "Accept: ", q->accept) && add_header(t, "Expect:", "")) {
        memcpy(t->url, q->url, n_url + 1);
        memcpy(t->body, q->body, q->n);
        pthread_mutex_lock(&h->lock);
        err = h->is_ending || h->n_waiting >= LIMIT_OCSP_WAITING ? ERR_LIMIT : 0;
        if (err == 0) {
            list_append(&h->waiting, &t->list);
            h->n_waiting++;
        }
        pthread_mutex_unlock(&h->lock);
    }
    if (err != 0)
        transfer_free(t);
    else
        (void)curl_multi_wakeup(h->multi);
    return err;
}

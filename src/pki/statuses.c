/* The store of certificate statuses (statuses.h). RFC 6960 2.4, 2.5; RFC 5019 6.1: kept until
 * nextUpdate, asked again at half of the time, so that an answer is there when it is needed. Any
 * thread, under the lock. */
#include "pki/statuses.h"
#include "base/limits.h"
#include "base/list.h"
#include "base/log.h"
#include "base/map.h"
#include "base/mem.h"
#include "pki/names.h"
#include <openssl/crypto.h>
#include <openssl/x509.h>
#include <pthread.h>
#include <stdatomic.h>

#define RETRY_MIN_S 60 /* after an answer that did not come; doubled each time */
#define RETRY_MAX_S 3600
#define REFRESH_MIN_S 60 /* however short-lived a responder's answers are */
#define NAMES_MAX 128u

struct entry {
    struct map_node node; /* by id */
    struct list list;     /* most recently used last */
    struct pki_cert_id id;
    X509 *cert, *issuer;
    char url[PKI_URL_MAX], names[NAMES_MAX];
    struct pki_ocsp_answer answer; /* next_update 0: none yet */
    int64_t ask_at;                /* not before */
    unsigned n_failed;
    bool is_asked;         /* a question is under way */
    bool is_own, is_named; /* is_named: since own_begin */
    char *file;
    unsigned char *staple;
    size_t n_staple;
    struct reason failure; /* code NULL: none */
};

struct pki_statuses {
    atomic_uint refs;
    pthread_mutex_t lock; /* of everything below */
    pki_ask_fn *ask;
    void *arg;
    void (*on_answer)(void *arg);
    void *on_answer_arg;
    struct map map;
    struct list all;
};

struct pki_question {
    struct pki_statuses *s;
    struct pki_cert_id id;
    X509 *cert, *issuer;
    char url[PKI_URL_MAX];
    unsigned char *der;
    size_t n;
};

/* --- entries; the lock is held --- */

static struct str id_key(const struct pki_cert_id *id)
{
    return str_make((const char *)id->b, sizeof id->b);
}

static struct entry *entry_find(struct pki_statuses *s, const struct pki_cert_id *id)
{
    struct map_node *n = map_find(&s->map, id_key(id));
    struct entry *e = n ? CONTAINER_OF(n, struct entry, node) : NULL;

    if (e) {
        list_remove(&e->list);
        list_append(&s->all, &e->list);
    }
    return e;
}

static void entry_free(struct pki_statuses *s, struct entry *e)
{
    map_remove(&s->map, &e->node);
    list_remove(&e->list);
    X509_free(e->cert);
    X509_free(e->issuer);
    mem_free(e->file);
    mem_free(e->staple);
    mem_free(e);
}

/* Room for one more: what was not used for longest goes, but for our own and what is being asked.
 */
static void make_room(struct pki_statuses *s)
{
    struct list *l = s->all.next;

    while (s->map.n >= LIMIT_STATUS_ENTRIES && l != &s->all) {
        struct entry *e = CONTAINER_OF(l, struct entry, list);

        l = l->next;
        if (!e->is_own && !e->is_asked)
            entry_free(s, e);
    }
}

static struct entry *entry_new(struct pki_statuses *s, const struct pki_cert_id *id, X509 *cert,
                               X509 *issuer, const char *url)
{
    struct entry *e;
    struct sbuf b;

    make_room(s);
    e = mem_zalloc(sizeof *e);
    if (!e)
        return NULL;
    list_init(&e->list);
    e->id = *id;
    memcpy(e->url, url, strlen(url) + 1);
    b = sbuf_make(e->names, sizeof e->names - 1);
    pki_cert_describe(cert, &b);
    e->names[b.n] = '\0';
    if (map_add(&s->map, &e->node, id_key(&e->id)) != 0) {
        mem_free(e);
        return NULL;
    }
    (void)X509_up_ref(cert);
    (void)X509_up_ref(issuer);
    e->cert = cert;
    e->issuer = issuer;
    list_append(&s->all, &e->list);
    return e;
}

/* A question to be sent once the lock is free; NULL: not now. */
static struct pki_question *question_make(struct pki_statuses *s, struct entry *e, int64_t now)
{
    struct pki_question *q;

    if (!s->ask || e->is_asked || now < e->ask_at)
        return NULL;
    q = mem_zalloc(sizeof *q);
    if (!q || pki_ocsp_request(e->cert, e->issuer, &q->der, &q->n) != 0) {
        mem_free(q);
        return NULL;
    }
    q->s = pki_statuses_ref(s);
    q->id = e->id;
    memcpy(q->url, e->url, sizeof q->url);
    (void)X509_up_ref(e->cert);
    (void)X509_up_ref(e->issuer);
    q->cert = e->cert;
    q->issuer = e->issuer;
    e->is_asked = true;
    return q;
}

static void question_free(struct pki_question *q)
{
    X509_free(q->cert);
    X509_free(q->issuer);
    mem_free(q->der);
    pki_statuses_unref(q->s);
    mem_free(q);
}

/* Outside of the lock, since `ask` may answer on another thread at once. */
static void question_send(pki_ask_fn *ask, void *arg, struct pki_question *q)
{
    if (q)
        ask(arg, q);
}

/* --- life --- */

int pki_statuses_new(pki_ask_fn *ask, void *arg, struct pki_statuses **ret)
{
    struct pki_statuses *s = mem_zalloc(sizeof *s);

    if (!s || map_init(&s->map, LIMIT_STATUS_ENTRIES) != 0) {
        mem_free(s);
        return ERR_NOMEM;
    }
    (void)pthread_mutex_init(&s->lock, NULL);
    list_init(&s->all);
    atomic_init(&s->refs, 1);
    s->ask = ask;
    s->arg = arg;
    *ret = s;
    return 0;
}

struct pki_statuses *pki_statuses_ref(struct pki_statuses *s)
{
    atomic_fetch_add_explicit(&s->refs, 1, memory_order_relaxed);
    return s;
}

void pki_statuses_unref(struct pki_statuses *s)
{
    if (!s || atomic_fetch_sub_explicit(&s->refs, 1, memory_order_acq_rel) != 1)
        return;
    while (!list_is_empty(&s->all))
        entry_free(s, CONTAINER_OF(s->all.next, struct entry, list));
    map_done(&s->map);
    pthread_mutex_destroy(&s->lock);
    mem_free(s);
}

void pki_statuses_stop(struct pki_statuses *s)
{
    pthread_mutex_lock(&s->lock);
    s->ask = NULL;
    pthread_mutex_unlock(&s->lock);
}

/* --- questions of handshakes --- */

enum pki_status pki_statuses_find(struct pki_statuses *s, const struct pki_cert_id *id, int64_t now,
                                  struct pki_ocsp_answer *ret)
{
    struct entry *e;

    *ret = (struct pki_ocsp_answer){.status = PKI_STATUS_UNKNOWN};
    pthread_mutex_lock(&s->lock);
    e = entry_find(s, id);
    /* Once revoked is revoked for good, whatever the age of the answer. */
    if (e && (now <= e->answer.next_update || e->answer.status == PKI_STATUS_REVOKED))
        *ret = e->answer;
    pthread_mutex_unlock(&s->lock);
    return ret->status;
}

bool pki_statuses_want(struct pki_statuses *s, X509 *cert, X509 *issuer, int64_t now)
{
    bool is_asked;

    struct pki_question *q = NULL;
    struct pki_cert_id id;
    char url[PKI_URL_MAX];
    struct entry *e;
    pki_ask_fn *ask;
    void *arg;

    if (pki_cert_id_make(cert, issuer, &id) != 0 || pki_ocsp_responder(cert, url) != 0)
        return false;
    pthread_mutex_lock(&s->lock);
    ask = s->ask;
    arg = s->arg;
    if ((e = entry_find(s, &id)) != NULL || (e = entry_new(s, &id, cert, issuer, url)) != NULL)
        q = question_make(s, e, now);
    is_asked = e && e->is_asked;
    pthread_mutex_unlock(&s->lock);
    question_send(ask, arg, q);
    return is_asked;
}

void pki_statuses_on_answer(struct pki_statuses *s, void (*fn)(void *arg), void *arg)
{
    pthread_mutex_lock(&s->lock);
    s->on_answer = fn;
    s->on_answer_arg = arg;
    pthread_mutex_unlock(&s->lock);
}

/* --- our own --- */

void pki_statuses_own_begin(struct pki_statuses *s)
{
    pthread_mutex_lock(&s->lock);
    for (struct list *l = s->all.next; l != &s->all; l = l->next)
        CONTAINER_OF(l, struct entry, list)->is_named = false;
    pthread_mutex_unlock(&s->lock);
}

int pki_statuses_own(struct pki_statuses *s, X509 *cert, X509 *issuer, struct str file, int64_t now)
{
    struct pki_question *q = NULL;
    struct pki_cert_id id;
    char url[PKI_URL_MAX];
    struct entry *e;
    pki_ask_fn *ask;
    void *arg;
    int err = pki_ocsp_responder(cert, url);

    if (err == 0)
        err = pki_cert_id_make(cert, issuer, &id);
    if (err != 0)
        return err;
    pthread_mutex_lock(&s->lock);
    ask = s->ask;
    arg = s->arg;
    if ((e = entry_find(s, &id)) == NULL)
        e = entry_new(s, &id, cert, issuer, url);
    if (e && !e->file && (e->file = mem_alloc(file.n + 1)) != NULL) {
        memcpy(e->file, file.p, file.n);
        e->file[file.n] = '\0';
    }
    if (e && e->file) {
        if (!e->is_own && !e->staple)
            e->ask_at = 0; /* what was asked before did not keep the answer itself */
        e->is_own = e->is_named = true;
        q = question_make(s, e, now);
    } else {
        err = ERR_NOMEM;
    }
    pthread_mutex_unlock(&s->lock);
    question_send(ask, arg, q);
    return err;
}

void pki_statuses_own_end(struct pki_statuses *s)
{
    pthread_mutex_lock(&s->lock);
    for (struct list *l = s->all.next; l != &s->all; l = l->next) {
        struct entry *e = CONTAINER_OF(l, struct entry, list);

        if (e->is_own && !e->is_named) {
            e->is_own = false;
            mem_free(e->file);
            e->file = NULL;
        }
    }
    pthread_mutex_unlock(&s->lock);
}

void pki_statuses_tick(struct pki_statuses *s, int64_t now)
{
    struct pki_question *due;
    pki_ask_fn *ask;
    void *arg;

    do { /* one a round: the lock is not held while it is sent, and is_asked keeps it from coming
            again */
        due = NULL;
        pthread_mutex_lock(&s->lock);
        ask = s->ask;
        arg = s->arg;
        for (struct list *l = s->all.next; l != &s->all && !due; l = l->next)
            if (CONTAINER_OF(l, struct entry, list)->is_own)
                due = question_make(s, CONTAINER_OF(l, struct entry, list), now);
        pthread_mutex_unlock(&s->lock);
        question_send(ask, arg, due);
    } while (due);
}

void pki_statuses_clock_set(struct pki_statuses *s)
{
    pthread_mutex_lock(&s->lock);
    for (struct list *l = s->all.next; l != &s->all; l = l->next)
        CONTAINER_OF(l, struct entry, list)->ask_at = 0;
    pthread_mutex_unlock(&s->lock);
}

unsigned char *pki_statuses_staple(struct pki_statuses *s, const struct pki_cert_id *id,
                                   int64_t now, size_t *ret_n)
{
    unsigned char *copy = NULL;
    struct entry *e;

    pthread_mutex_lock(&s->lock);
    e = entry_find(s, id);
    if (e && e->staple && now <= e->answer.next_update &&
        (copy = OPENSSL_malloc(e->n_staple)) != NULL) {
        memcpy(copy, e->staple, e->n_staple);
        *ret_n = e->n_staple;
    }
    pthread_mutex_unlock(&s->lock);
    return copy;
}

/* --- answers --- */

const char *pki_question_url(const struct pki_question *q)
{
    return q->url;
}

const unsigned char *pki_question_body(const struct pki_question *q, size_t *ret_n)
{
    *ret_n = q->n;
    return q->der;
}

static void failed(struct entry *e, const struct reason *why, int64_t now)
{
    int64_t wait = RETRY_MIN_S << (e->n_failed < 6 ? e->n_failed : 6);

    e->n_failed++;
    e->failure = *why;
    e->ask_at = now + (wait > RETRY_MAX_S ? RETRY_MAX_S : wait);
}

static void answered(struct entry *e, const struct pki_ocsp_answer *answer, const void *der,
                     size_t n, int64_t now)
{
    int64_t half = answer->this_update + (answer->next_update - answer->this_update) / 2;

    if (e->answer.status == PKI_STATUS_REVOKED && answer->this_update < e->answer.this_update)
        return; /* an older answer, replayed */
    e->n_failed = 0;
    e->failure = (struct reason){0};
    e->answer = *answer;
    e->ask_at = half > now + REFRESH_MIN_S ? half : now + REFRESH_MIN_S;
    if (!e->is_own)
        return;
    mem_free(e->staple);
    e->staple = mem_alloc(n);
    e->n_staple = e->staple ? n : 0;
    if (e->staple)
        memcpy(e->staple, der, n);
}

static void log_answer(const struct entry *e)
{
    const struct log_field fields[] = {
        LZ("file", e->file ? e->file : ""),
        LZ("names", e->names),
        LZ("responder", e->url),
    };
    struct reason why;

    if (e->failure.code) {
        log_reason(LOG_WARN, "ocsp-failed", &e->failure, fields, ARRAY_LEN(fields));
    } else if (e->answer.status == PKI_STATUS_REVOKED) {
        reason_set(&why, "cert-revoked", "RFC 6960 2.2", 0, "%s",
                   e->answer.cause ? e->answer.cause : "no cause is given");
        log_reason(e->is_own ? LOG_ERROR : LOG_WARN, "certificate-revoked", &why, fields,
                   ARRAY_LEN(fields));
    }
}

static void question_end(struct pki_question *q, const struct pki_ocsp_answer *answer,
                         const void *der, size_t n, const struct reason *why, int64_t now)
{
    struct entry *e;

    pthread_mutex_lock(&q->s->lock);
    if ((e = entry_find(q->s, &q->id)) != NULL) {
        e->is_asked = false;
        if (answer)
            answered(e, answer, der, n, now);
        else
            failed(e, why, now);
        log_answer(e);
    }
    if (q->s->on_answer)
        q->s->on_answer(q->s->on_answer_arg);
    pthread_mutex_unlock(&q->s->lock);
    question_free(q);
}

void pki_question_answer(struct pki_question *q, const void *der, size_t n, int64_t now)
{
    struct pki_ocsp_answer answer;
    struct reason why;
    int err = pki_ocsp_check(der, n, q->cert, q->issuer, now, &answer, &why);

    question_end(q, err == 0 ? &answer : NULL, der, n, &why, now);
}

void pki_question_fail(struct pki_question *q, const struct reason *why)
{
    question_end(q, NULL, NULL, 0, why, (int64_t)time(NULL));
}

/* --- for people --- */

void pki_statuses_each(struct pki_statuses *s,
                       void (*fn)(void *arg, const struct pki_status_info *i), void *arg)
{
    pthread_mutex_lock(&s->lock);
    for (struct list *l = s->all.next; l != &s->all; l = l->next) {
        const struct entry *e = CONTAINER_OF(l, struct entry, list);
        const struct pki_status_info i = {
            .file = e->file,
            .names = e->names,
            .url = e->url,
            .status = e->answer.status,
            .next_update = e->answer.next_update,
            .failure = e->failure.code ? e->failure.detail : NULL,
        };

        fn(arg, &i);
    }
    pthread_mutex_unlock(&s->lock);
}

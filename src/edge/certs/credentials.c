/* The certificates that signed identities name, for verification (RFC 8224 6.2 step 2): fetch/certs.h behind
 * edge_credentials. Made and ended by the main thread; asked by workers. */
#include "base/log.h"
#include "base/mem.h"
#include "edge/edge_worker.h"
#include "edge/identity/service.h"
#include "fetch/certs.h"
#include "pki/statuses.h"

struct fetched {
    struct edge_credentials base;
    struct fetch *fetch;
    struct certs *certs;
    pthread_mutex_t lock;        /* held for one look */
    struct pki_anchors *anchors; /* in force, for workers that validate themselves */
    struct pki_anchors *next;    /* of a configuration that is being prepared; main thread */
};

static int get(struct edge_credentials *self, struct edge_worker *w, struct str url,
               void (*fn)(void *arg, const struct identity_credential *cred), void *arg,
               const struct identity_credential **ret, uint64_t *ret_id)
{
    (void)self;
    return certs_get(w->certs, url, fn, arg, ret, ret_id);
}

static void put(struct edge_credentials *self, const struct identity_credential *cred)
{
    (void)self;
    certs_put(cred);
}

static void cancel(struct edge_credentials *self, struct edge_worker *w, uint64_t id)
{
    (void)self;
    certs_cancel(w->certs, id);
}

static struct pki_anchors *anchors(struct edge_credentials *self)
{
    struct fetched *f = CONTAINER_OF(self, struct fetched, base);
    struct pki_anchors *a;

    (void)pthread_mutex_lock(&f->lock);
    a = pki_anchors_ref(f->anchors);
    (void)pthread_mutex_unlock(&f->lock);
    return a;
}

static int post(void *arg, unsigned worker, void (*fn)(void *worker, void *arg), void *item)
{
    const struct edge *e = arg;

    return e->group ? net_group_post(e->group, worker, fn, item) : ERR_AGAIN;
}

static int anchors_prepare(struct fetched *f, struct edge *e, const struct config *cfg, struct certs_change **ret, struct reason *why)
{
    int err;

    pki_anchors_unref(f->next);
    err = pki_anchors_new(cfg->identity_ca.n ? cfg->identity_ca.p : NULL,
                          cfg->identity_crl.n ? cfg->identity_crl.p : NULL, &f->next, why);
    if (err != 0)
        return err;
    pki_anchors_set_revocation(f->next, cfg->identity_crl.n ? PKI_REVOCATION_HARD : (enum pki_revocation)cfg->identity_revocation,
                               edge_certs_statuses(e->certificates));
    return certs_change_new(f->certs, f->next, ret);
}

static void anchors_commit(struct fetched *f, struct certs_change *change)
{
    struct pki_anchors *old;

    certs_change_commit(change);
    (void)pthread_mutex_lock(&f->lock);
    old = f->anchors;
    f->anchors = f->next;
    f->next = NULL;
    (void)pthread_mutex_unlock(&f->lock);
    pki_anchors_unref(old);
}

void credentials_commit(struct edge *e, struct certs_change *change)
{
    anchors_commit(CONTAINER_OF(e->credentials, struct fetched, base), change);
}

int credentials_start(struct edge *e, const struct config *cfg, struct reason *why)
{
    struct fetch_args args = {.ca_file = cfg->fetch_ca.n ? cfg->fetch_ca.p : NULL,
                              .allowed = cfg->fetch_from,
                              .n_allowed = cfg->n_fetch_from};
    struct certs_change *change;
    struct fetched *f;
    int err;

    if (!cfg->identity_ca.n)
        return 0;
    f = mem_zalloc(sizeof *f);
    if (!f)
        return ERR_NOMEM;
    f->base = (struct edge_credentials){.get = get, .put = put, .cancel = cancel, .anchors = anchors};
    (void)pthread_mutex_init(&f->lock, NULL);
    err = fetch_new(&args, &f->fetch, why);
    if (err == 0)
        err = certs_new(&(struct certs_args){.fetch = f->fetch, .post = post, .post_arg = e}, &f->certs);
    if (err == 0)
        pki_statuses_on_answer(edge_certs_statuses(e->certificates), certs_told, f->certs);
    if (err == 0 && (err = anchors_prepare(f, e, cfg, &change, why)) == 0)
        anchors_commit(f, change);
    e->credentials = &f->base;
    if (err != 0)
        credentials_free(e);
    return err;
}

int credentials_prepare(struct edge *e, const struct config *cfg, struct certs_change **ret, struct reason *why)
{
    *ret = NULL;
    if (e->credentials)
        return anchors_prepare(CONTAINER_OF(e->credentials, struct fetched, base), e, cfg, ret, why);
    if (cfg->identity_ca.n)
        LOG(LOG_WARN, "restart-needed", LZ("option", "identity-ca"));
    return 0;
}

void credentials_stop(struct edge *e)
{
    if (e->credentials)
        fetch_stop(CONTAINER_OF(e->credentials, struct fetched, base)->fetch);
}

void credentials_free(struct edge *e)
{
    struct fetched *f = e->credentials ? CONTAINER_OF(e->credentials, struct fetched, base) : NULL;

    e->credentials = NULL;
    if (!f)
        return;
    pki_statuses_on_answer(edge_certs_statuses(e->certificates), NULL, NULL);
    fetch_free(f->fetch);
    certs_free(f->certs);
    pki_anchors_unref(f->anchors);
    pki_anchors_unref(f->next);
    (void)pthread_mutex_destroy(&f->lock);
    mem_free(f);
}

int credentials_worker_start(struct edge_worker *w)
{
    const struct edge_credentials *c = w->edge->credentials;

    if (!c || c->get != get)
        return 0;
    return certs_worker_new(CONTAINER_OF(w->edge->credentials, struct fetched, base)->certs, w->id,
                            w->net->wheel, &w->certs);
}

void credentials_worker_stop(struct edge_worker *w)
{
    certs_worker_free(w->certs);
    w->certs = NULL;
}

bool credentials_stats(const struct edge *e, struct fetch_stats *ret)
{
    if (!e->credentials || e->credentials->get != get)
        return false;
    fetch_stats(CONTAINER_OF(e->credentials, struct fetched, base)->fetch, ret);
    return true;
}

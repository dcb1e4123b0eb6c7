/* See anchors.h. RFC 8224 6.2 step 2, RFC 8862 4.1. Made and ended by the main thread; asked by the
 * phone's. */
#include "phone/anchors.h"
#include "base/mem.h"
#include "fetch/certs.h"

#define SEEN_MAX 1024u /* signatures that are remembered: a phone has few calls in a minute */

struct phone_anchors {
    struct phone_verifier base;
    struct fetch *fetch;
    struct certs *certs;
    struct certs_worker *worker;
    struct net_group *group;
};

static struct phone_anchors *anchors_of(struct phone_verifier *v)
{
    return CONTAINER_OF(v, struct phone_anchors, base);
}

static int get(struct phone_verifier *self, struct str url, certs_fn *fn, void *arg,
               const struct identity_credential **ret, uint64_t *ret_id)
{
    return certs_get(anchors_of(self)->worker, url, fn, arg, ret, ret_id);
}

static void put(struct phone_verifier *self, const struct identity_credential *cred)
{
    (void)self;
    certs_put(cred);
}

static void cancel(struct phone_verifier *self, uint64_t id)
{
    certs_cancel(anchors_of(self)->worker, id);
}

static int post(void *arg, unsigned worker, void (*fn)(void *worker, void *arg), void *item)
{
    const struct phone_anchors *a = arg;
    return a->group ? net_group_post(a->group, worker, fn, item) : ERR_AGAIN;
}

static int load(struct phone_anchors *a, const struct phone_anchors_args *args, struct reason *why)
{
    const struct fetch_args fetch = {
        .ca_file = args->fetch_ca, .allowed = args->allowed, .n_allowed = args->n_allowed};
    struct pki_anchors *anchors;
    struct certs_change *change;
    struct rand_source rand;
    uint8_t key[16];
    rand_system_init(&rand);
    rand_fill(&rand, key, sizeof(key));
    if ((a->base.seen = identity_replay_new(SEEN_MAX, key)) == NULL)
        return ERR_NOMEM;
    int err = fetch_new(&fetch, &a->fetch, why);
    if (!err)
        err = certs_new(&(struct certs_args){.fetch = a->fetch, .post = post, .post_arg = a},
                        &a->certs);
    if (!err)
        err = pki_anchors_new(args->ca, NULL, &anchors, why);
    if (err)
        return err;
    err = certs_change_new(a->certs, anchors, &change);
    if (!err)
        certs_change_commit(change);
    pki_anchors_unref(anchors);
    return err;
}

int phone_anchors_new(const struct phone_anchors_args *args, struct phone_anchors **ret,
                      struct reason *why)
{
    struct phone_anchors *a = mem_zalloc(sizeof(*a));
    *ret = NULL;
    if (a == NULL)
        return ERR_NOMEM;
    a->base = (struct phone_verifier){.get = get, .put = put, .cancel = cancel};
    int err = load(a, args, why);
    if (err) {
        phone_anchors_stop(a);
        phone_anchors_free(a);
        return err;
    }
    *ret = a;
    return 0;
}

void phone_anchors_set_group(struct phone_anchors *a, struct net_group *g)
{
    a->group = g;
}

struct phone_verifier *phone_anchors_verifier(struct phone_anchors *a)
{
    return &a->base;
}

int phone_anchors_worker_start(struct phone_anchors *a, struct net *net)
{
    return certs_worker_new(a->certs, net->worker, net->wheel, &a->worker);
}

void phone_anchors_worker_stop(struct phone_anchors *a)
{
    certs_worker_free(a->worker);
    a->worker = NULL;
}

void phone_anchors_stop(struct phone_anchors *a)
{
    if (a && a->fetch)
        fetch_stop(a->fetch);
}

void phone_anchors_free(struct phone_anchors *a)
{
    if (a == NULL)
        return;
    fetch_free(a->fetch);
    certs_free(a->certs);
    identity_replay_free(a->base.seen);
    mem_free(a);
}

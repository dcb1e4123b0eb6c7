/* The keeper's connections on their way to the workers that sign by them (RFC 8224 6.1, TLS). The main
 * thread learns of a connection and posts it; everything else is the worker's. */
#include "base/limits.h"
#include "base/log.h"
#include "base/mem.h"
#include "edge/edge_worker.h"
#include "edge/identity/service.h"
#include "identity/cred_chain.h"
#include "keeper/link.h"
#include "keeper/signer.h"
#include <unistd.h>

struct connection {
    int fd;
};

static void attach_here(void *edge_worker, void *arg)
{
    struct edge_worker *w = edge_worker;
    struct connection *c = arg;
    struct keeper_signer_args args = {.net = w->net, .wheel = w->net->wheel};

    if (w->keeper || keeper_signer_new(&args, &w->keeper) == 0) {
        keeper_signer_attach(w->keeper, c->fd);
        w->signer = keeper_signer_base(w->keeper);
        w->net->tls_signer = keeper_signer_tls(w->keeper);
    } else {
        (void)close(c->fd);
        LOG(LOG_ERROR, "keeper-connection", LU("worker", w->id), LZ("cause", "out of memory"));
    }
    mem_free(c);
}

static void attach(void *arg, unsigned worker, int fd)
{
    struct edge *e = arg;
    struct connection *c = mem_alloc(sizeof *c);

    if (c) {
        c->fd = fd;
        if (net_group_post(e->group, worker, attach_here, c) == 0)
            return;
    }
    LOG(LOG_ERROR, "keeper-connection", LU("worker", worker),
        LZ("cause", "the worker could not be told"));
    mem_free(c);
    (void)close(fd);
}

void edge_set_keeper(struct edge *e, struct keeper_link *link)
{
    e->keeper = link;
    if (link)
        keeper_link_attach(link, attach, e);
}

/* ---- the certificates of the keys ---- */

struct identity_own_set {
    struct arena *arena;
    size_t n;
    struct identity_own own[LIMIT_KEEPER_KEYS];
    struct identity_credential credentials[LIMIT_KEEPER_KEYS], old_credentials[LIMIT_KEEPER_KEYS];
    struct pki_chain *chains[LIMIT_KEEPER_KEYS], *old_chains[LIMIT_KEEPER_KEYS];
};

void identity_own_unload(struct edge_snapshot *s)
{
    struct identity_own_set *set = s->own_set;
    size_t i;

    s->own_set = NULL;
    for (i = 0; set && i < set->n; i++) {
        identity_credential_done(&set->credentials[i]);
        identity_credential_done(&set->old_credentials[i]);
        pki_chain_unref(set->chains[i]);
        pki_chain_unref(set->old_chains[i]);
    }
    if (set)
        arena_free(set->arena);
    mem_free(set);
}

/* The texts live as long as the snapshot's configuration. */
static int own_load(struct identity_own_set *set, const struct config_identity *d,
                    struct reason *why)
{
    size_t i = set->n++;
    int err = pki_chain_load(d->certificate.p, &set->chains[i], why);

    if (err == 0)
        err = identity_credential_make(set->arena, set->chains[i], &set->credentials[i], why);
    if (err == 0 && d->rfc4474_certificate.n &&
        (err = pki_chain_load(d->rfc4474_certificate.p, &set->old_chains[i], why)) == 0)
        err =
            identity_credential_make(set->arena, set->old_chains[i], &set->old_credentials[i], why);
    if (err != 0)
        return err;
    set->credentials[i].prefixes = d->numbers.v;
    set->credentials[i].n_prefixes = d->numbers.n;
    set->own[i] = (struct identity_own){
        .domain = d->name, .key = d->name, .url = d->url, .credential = &set->credentials[i]};
    if (d->rfc4474_certificate.n) {
        set->own[i].rfc4474_url = d->rfc4474_url;
        set->own[i].rfc4474 = &set->old_credentials[i];
    }
    return 0;
}

int identity_own_load(const struct config *cfg, struct edge_snapshot *s, struct reason *why)
{
    size_t i;
    int err = 0;

    if (!cfg->n_identities)
        return 0;
    s->own_set = mem_zalloc(sizeof *s->own_set);
    if (!s->own_set || !(s->own_set->arena = arena_new(2048, 1 << 20)))
        err = ERR_NOMEM;
    for (i = 0; i < cfg->n_identities && i < LIMIT_KEEPER_KEYS && err == 0; i++)
        err = own_load(s->own_set, &cfg->identities[i], why);
    if (err != 0) {
        identity_own_unload(s);
        return err;
    }
    s->own = s->own_set->own;
    s->n_own = s->own_set->n;
    return 0;
}

void keeper_worker_stop(struct edge_worker *w)
{
    w->signer = NULL;
    keeper_signer_free(w->keeper);
    w->net->tls_signer = NULL;
    w->keeper = NULL;
}

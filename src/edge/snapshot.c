/* What a worker works by: one configuration and the TLS client contexts made from it. A reload puts another one in place; what is
 * under way keeps the one it began with, since targets and principals point into it (TR/100 9: reload without dropping a call).
 * Owner: the worker, which alone counts the references; gone with the last request of its time. */
#include "base/log.h"
#include "base/mem.h"
#include "edge/anchor/anchor.h"
#include "edge/peers/trunk.h"

int snapshot_peer_tls(const struct config *cfg, const struct config_peer *p, struct pki_statuses *statuses, bool remote_keys,
                      struct pki_tls_client **ret, struct reason *why)
{
    const struct config_domain *d = cfg->n_domains ? &cfg->domains[0] : NULL;
    struct pki_tls_identity id = {0};
    struct pki_tls_options o = {.identities = &id, .revocation = PKI_REVOCATION_SOFT, .statuses = statuses, .remote_keys = remote_keys};

    if (p && p->certificate.n) {
        id = (struct pki_tls_identity){.cert_pem = p->certificate.p, .key_pem = p->key.p};
        o.n_identities = 1;
    } else if (d && d->certificate.n) {
        id = (struct pki_tls_identity){.domain = d->name, .cert_pem = d->certificate.p, .key_pem = d->key.p};
        o.n_identities = 1;
    }
    if (p) {
        o.ca_pem = p->ca.n ? p->ca.p : NULL;
        o.revocation = (enum pki_revocation)p->revocation;
        o.crl_pem = p->crl.n ? p->crl.p : NULL;
        o.client_usage = (enum pki_client_usage)p->client_usage;
        o.min_version = p->tls_min;
        o.ciphers12 = p->ciphers;
        o.insecure_no_verify = p->allow_unverified;
    }
    return pki_tls_client_new(&o, ret, why);
}

static void snapshot_free(struct edge_snapshot *s)
{
    size_t i;

    for (i = 0; s->tls_peer && i < s->cfg->n_peers; i++)
        pki_tls_client_unref(s->tls_peer[i]);
    pki_tls_client_unref(s->tls_any);
    identity_own_unload(s);
    mem_free(s->tls_peer);
    anchor_policies_free(s->media);
    trunk_logins_free(s->cfg, s->logins);
    config_unref(s->cfg);
    mem_free(s);
}

int snapshot_new(struct config *cfg, struct pki_statuses *statuses, struct edge_snapshot **ret, struct reason *why)
{
    struct edge_snapshot *s = mem_zalloc(sizeof *s);
    bool kept = cfg->tls_keys == CONFIG_TLS_KEYS_KEEPER;
    size_t i;
    int err;

    if (!s)
        return ERR_NOMEM;
    s->refs = 1;
    s->cfg = config_ref(cfg);
    s->tls_peer = mem_zalloc_array(cfg->n_peers ? cfg->n_peers : 1, sizeof *s->tls_peer);
    err = s->tls_peer ? snapshot_peer_tls(cfg, NULL, statuses, kept, &s->tls_any, why) : ERR_NOMEM;
    for (i = 0; err == 0 && i < cfg->n_peers; i++)
        err = snapshot_peer_tls(cfg, &cfg->peers[i], statuses, kept, &s->tls_peer[i], why);
    if (err == 0)
        err = identity_own_load(cfg, s, why);
    if (err == 0)
        err = anchor_policies_new(cfg, &s->media);
    if (err == 0)
        err = trunk_logins_load(cfg, &s->logins, why);
    if (err != 0) {
        snapshot_free(s);
        return err;
    }
    *ret = s;
    return 0;
}

struct edge_snapshot *snapshot_ref(struct edge_snapshot *s)
{
    s->refs++;
    return s;
}

void snapshot_unref(struct edge_snapshot *s)
{
    if (s && --s->refs == 0)
        snapshot_free(s); /* open connections hold their own references to contexts */
}

struct pki_tls_client *snapshot_tls(const struct edge_snapshot *s, const struct config_peer *p)
{
    return p ? s->tls_peer[p - s->cfg->peers] : s->tls_any;
}

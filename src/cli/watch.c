/* Which files a configuration names for TLS, and whether they are the same as before: by device, inode, size and time of change.
 * Called every few seconds; a stat of each costs microseconds. */
#include "cli/run_priv.h"
#include <sys/stat.h>

static uint64_t mix(uint64_t h, uint64_t v)
{
    h = (h ^ v) * 0x9e3779b97f4a7c15u;
    return h ^ (h >> 29);
}

static uint64_t file(uint64_t h, struct str name)
{
    struct stat st;

    if (!name.n)
        return h;
    if (stat(name.p, &st) != 0)
        return mix(h, 1);
    h = mix(h, (uint64_t)st.st_dev);
    h = mix(h, (uint64_t)st.st_ino);
    h = mix(h, (uint64_t)st.st_size);
    h = mix(h, (uint64_t)st.st_mtim.tv_sec);
    h = mix(h, (uint64_t)st.st_mtim.tv_nsec);
    return mix(h, (uint64_t)st.st_ctim.tv_nsec);
}

uint64_t watch_files(const struct config *cfg)
{
    uint64_t h = 0;
    size_t i;

    for (i = 0; i < cfg->n_domains; i++)
        h = file(file(h, cfg->domains[i].certificate), cfg->domains[i].key);
    for (i = 0; i < cfg->n_listens; i++)
        h = file(file(h, cfg->listens[i].client_ca), cfg->listens[i].client_crl);
    for (i = 0; i < cfg->n_identities; i++)
        h = file(file(h, cfg->identities[i].certificate), cfg->identities[i].rfc4474_certificate);
    h = file(file(file(h, cfg->identity_ca), cfg->identity_crl), cfg->fetch_ca);
    for (i = 0; i < cfg->user_certificates.n; i++)
        h = file(h, cfg->user_certificates.v[i]);
    for (i = 0; i < cfg->n_peers; i++)
        h = file(file(file(file(h, cfg->peers[i].ca), cfg->peers[i].crl), cfg->peers[i].certificate), cfg->peers[i].key);
    return h;
}

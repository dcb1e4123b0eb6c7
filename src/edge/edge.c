/* The life of the edge: keys, store, location service, TLS contexts and workers are made here, swapped by a reload, and taken
 * down in order. Main thread only, except where edge.h says otherwise. */
#include "edge/edge.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/secret.h"
#include "edge/mirror/tap.h"
#include "edge/peers/trunk.h"
#include "fetch/certs.h"
#include "edge/anchor/anchor.h"
#include "edge/edge_worker.h"
#include "edge/peers/peers.h"
#include "edge/status/events.h"
#include "identity/replay.h"
#include "net/pace.h"
#include "net/pages.h"
#include "pki/chain.h"
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* ---- keys of the process (TR/100 7.1: what makes nonces and tokens ours) ---- */

static int keys_write(const char *file, const struct edge_keys *k, struct reason *why)
{
    char tmp[4096];
    int fd;
    ssize_t n;

    if ((size_t)snprintf(tmp, sizeof tmp, "%s.new", file) >= sizeof tmp)
        return ERR_LIMIT;
    fd = open(tmp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0) {
        reason_set(why, "keys-write", NULL, 0, "%s: %s", tmp, strerror(errno));
        return ERR_IO;
    }
    n = write(fd, k, sizeof *k);
    if (n != (ssize_t)sizeof *k || fsync(fd) != 0 || rename(tmp, file) != 0) {
        reason_set(why, "keys-write", NULL, 0, "%s: %s", file, strerror(errno));
        close(fd);
        unlink(tmp);
        return ERR_IO;
    }
    close(fd);
    return 0;
}

/* Reads state-dir/keys, or makes it on the first start. A file of another size or owned by others is refused, not replaced. */
static int keys_load(const struct config *cfg, struct edge_keys *k, bool *ret_is_first, struct reason *why)
{
    char file[4096];
    struct rand_source rnd;
    struct stat st;
    ssize_t n;
    int fd;

    if ((size_t)snprintf(file, sizeof file, "%.*s/keys", STR_FMT(cfg->state_dir)) >= sizeof file)
        return ERR_LIMIT;
    fd = open(file, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    *ret_is_first = fd < 0 && errno == ENOENT;
    if (*ret_is_first) {
        rand_system_init(&rnd);
        rand_fill(&rnd, k, sizeof *k);
        return keys_write(file, k, why);
    }
    if (fd < 0) {
        reason_set(why, "keys-read", NULL, 0, "%s: %s", file, strerror(errno));
        return ERR_IO;
    }
    if (fstat(fd, &st) != 0 || (st.st_mode & 077) != 0) {
        reason_set(why, "keys-mode", NULL, 0, "%s can be read by others; chmod 600 it", file);
        close(fd);
        return ERR_REFUSED;
    }
    n = read(fd, k, sizeof *k);
    close(fd);
    if (n != (ssize_t)sizeof *k || st.st_size != (off_t)sizeof *k) {
        reason_set(why, "keys-size", NULL, 0, "%s is damaged; remove it and phones will register again", file);
        return ERR_INVALID;
    }
    return 0;
}

/* ---- listeners ---- */

#define PEER_ANCHORS_MAX 256

/* Who may connect where client-ca does not say: whoever one of the peers' anchors vouches for. The gate then asks for the peer's own.
 * Browsers are asked for no certificate. */
static size_t peers_anchors(const struct config *cfg, const struct config_listen *l, const char *ret[PEER_ANCHORS_MAX])
{
    size_t i, n = 0;

    for (i = 0; l->transport == TRANSPORT_TLS && !l->client_ca.n && i < cfg->n_peers && n < PEER_ANCHORS_MAX; i++)
        if (cfg->peers[i].ca.n)
            ret[n++] = cfg->peers[i].ca.p;
    return n;
}

/* What a handshake must let pass so that the gate can judge by the rule of each peer. */
static enum pki_client_usage least_usage(const struct config *cfg)
{
    size_t i;

    for (i = 0; i < cfg->n_peers; i++)
        if (cfg->peers[i].client_usage == PKI_USAGE_IGNORE)
            return PKI_USAGE_IGNORE;
    return PKI_USAGE_ANY_TLS;
}

static int listener_tls(const struct config *cfg, const struct config_listen *l, struct pki_statuses *statuses,
                        struct pki_tls_server **ret, struct reason *why)
{
    struct pki_tls_identity ids[64];
    const char *anchors[PEER_ANCHORS_MAX];
    struct pki_tls_options o = {
        .identities = ids,
        .ca_pem = l->client_ca.n ? l->client_ca.p : NULL,
        .more_ca_pem = anchors,
        .n_more_ca_pem = peers_anchors(cfg, l, anchors),
        .revocation = (enum pki_revocation)l->client_revocation,
        .crl_pem = l->client_crl.n ? l->client_crl.p : NULL,
        .client_usage = least_usage(cfg),
        .statuses = statuses,
        .min_version = l->tls_min,
        .ciphers12 = l->ciphers,
        .remote_keys = cfg->tls_keys == CONFIG_TLS_KEYS_KEEPER,
    };
    size_t i;

    if (o.ca_pem || o.n_more_ca_pem)
        o.client_cert = (enum pki_client_cert)l->client_cert;
    for (i = 0; i < cfg->n_domains && o.n_identities < ARRAY_LEN(ids); i++) {
        const struct config_domain *d = &cfg->domains[i];

        if (!d->certificate.n)
            continue;
        ids[o.n_identities++] =
            (struct pki_tls_identity){.domain = d->name, .cert_pem = d->certificate.p, .key_pem = d->key.p};
    }
    return pki_tls_server_new(&o, ret, why);
}

static void listeners_free(struct net_listener *ls, size_t n)
{
    size_t i;

    for (i = 0; ls && i < n; i++) {
        pki_tls_server_unref(ls[i].tls);
        net_pages_unref(ls[i].pages);
    }
    mem_free(ls);
}

static int listeners_make(const struct config *cfg, struct pki_statuses *statuses, struct net_listener **ret, struct reason *why)
{
    struct net_listener *ls = mem_zalloc((cfg->n_listens ? cfg->n_listens : 1) * sizeof *ls);
    struct net_pages *pages;
    size_t i;
    int err;

    if (!ls)
        return ERR_NOMEM;
    if ((err = pages_make(cfg, &pages, why)) != 0) {
        mem_free(ls);
        return err;
    }
    for (i = 0; i < cfg->n_listens; i++) {
        const struct config_listen *l = &cfg->listens[i];

        ls[i].transport = l->transport;
        ls[i].addr = l->addr;
        ls[i].max_conns_source = l->max_conns_source;
        ls[i].idle_ms = l->idle_s * 1000;
        ls[i].ws_origins = l->ws_origins;
        if (!transport_is_secure(l->transport))
            continue;
        if (l->transport == TRANSPORT_WSS)
            ls[i].pages = pages ? net_pages_ref(pages) : NULL;
        if ((err = listener_tls(cfg, l, statuses, &ls[i].tls, why)) != 0) {
            net_pages_unref(pages);
            listeners_free(ls, cfg->n_listens);
            return err;
        }
    }
    net_pages_unref(pages);
    *ret = ls;
    return 0;
}

/* One line per certificate: what is in force until when (TR/100 9). Also kept for status and warnings. */
static void listeners_log(struct edge *e, const struct config *cfg, const struct net_listener *ls, const struct edge_snapshot *snap)
{
    size_t i;

    memset(e->certs, 0, sizeof e->certs);
    for (i = 0; i < cfg->n_listens && i < ARRAY_LEN(e->certs); i++) {
        char until[32] = "";
        int64_t not_after;
        struct str file;
        struct tm tm;
        time_t t;

        if (!ls[i].tls)
            continue;
        pki_tls_server_expiry(ls[i].tls, &not_after, &file);
        e->certs[i].not_after = not_after;
        snprintf(e->certs[i].file, sizeof e->certs[i].file, "%.*s", STR_FMT(file));
        t = (time_t)not_after;
        if (gmtime_r(&t, &tm))
            strftime(until, sizeof until, "%Y-%m-%dT%H:%M:%SZ", &tm);
        LOG(LOG_NOTICE, "certificate", LS("listen", cfg->listens[i].title), LS("file", file), LZ("until", until));
    }
    edge_certs_loaded(e->certificates, cfg, ls, snap);
    edge_certificates_warn(e);
}

static void allow_log(const struct config *cfg)
{
    size_t i;

    for (i = 0; i < cfg->n_allow; i++)
        LOG(LOG_WARN, "weakened", LS("where", cfg->allow[i].where), LS("option", cfg->allow[i].option),
            LU("line", cfg->allow[i].line));
}

/* ---- start, reload, stop ---- */

#define WORKER_HEAP_BYTES (32u << 20) /* some ten thousand transactions */

static int worker_start_cb(void *arg, struct net *net, struct net_user *ret_user)
{
    mem_thread_reserve(WORKER_HEAP_BYTES);
    return edge_worker_start(arg, net, ret_user);
}

static void worker_stop_cb(void *arg, struct net *net, void *user_arg)
{
    (void)arg;
    (void)net;
    edge_worker_stop(user_arg);
}

unsigned edge_worker_count(const struct config *cfg)
{
    long n = cfg->workers ? (long)cfg->workers : sysconf(_SC_NPROCESSORS_ONLN);

    if (n < 1)
        n = 1;
    return n > EDGE_WORKERS_MAX ? EDGE_WORKERS_MAX : (unsigned)n;
}

/* A phone that registered by UDP before a restart is reached through the listener it used, whatever its number is now. */
static bool path_restore(void *arg, struct path *p)
{
    const struct config *cfg = arg;
    size_t i;

    for (i = 0; i < cfg->n_listens; i++) {
        const struct config_listen *l = &cfg->listens[i];

        if (l->transport == p->transport && addr_is_v6(&l->addr) == addr_is_v6(&p->local) &&
            addr_port(&l->addr) == addr_port(&p->local) && (addr_is_any(&l->addr) || addr_eq_host(&l->addr, &p->local))) {
            p->listener = (uint16_t)i;
            return true;
        }
    }
    return false;
}

/* Which signatures were used only memory knows: what was signed before this start may have been, unless it is the first. */
static int seen_new(struct edge *e, bool is_first)
{
    e->identity_seen = identity_replay_new(LIMIT_IDENTITY_SEEN, (const uint8_t *)e->keys.hash);
    e->smime_seen = identity_replay_new(LIMIT_SMIME_SEEN, (const uint8_t *)e->keys.hash);
    if (!e->identity_seen || !e->smime_seen)
        return ERR_NOMEM;
    if (!is_first) {
        identity_replay_forget(e->identity_seen, e->started_s);
        identity_replay_forget(e->smime_seen, e->started_s);
    }
    return 0;
}

/* What a file, a database and memory hold; shared by the real start and the scenario player. */
int edge_init(struct edge *e, struct config *cfg, struct reason *why)
{
    struct location_args la;
    bool is_first;
    int err;

    e->cfg = config_ref(cfg);
    e->started_s = clock_steady_s();
    e->n_workers = edge_worker_count(cfg);
    if (mkdir(cfg->state_dir.p, 0700) != 0 && errno != EEXIST) {
        reason_set(why, "state-dir", NULL, 0, "%s: %s", cfg->state_dir.p, strerror(errno));
        return ERR_IO;
    }
    if ((err = keys_load(cfg, &e->keys, &is_first, why)) != 0)
        return err;
    if (!(e->peers = peer_states_new()))
        return ERR_NOMEM;
    if (!(e->watched = status_watched_new()))
        return ERR_NOMEM;
    if ((err = seen_new(e, is_first)) != 0)
        return err;
    str_hash_set_key(e->keys.hash[0], e->keys.hash[1]); /* tokens name principals by this hash: the same after a restart */
    if ((err = store_open(cfg->store_file.p, false, &e->store, why)) != 0 || (err = store_claim(e->store, why)) != 0)
        return err;
    la = (struct location_args){
        .store = e->store, .gruu_key = e->keys.gruu, .path_restore = path_restore, .path_arg = cfg};
    return location_new(&la, &e->loc, why);
}

void edge_done(struct edge *e)
{
    anchor_plane_stop(e);
    edge_tap_free(e->tap);
    edge_certs_free(e->certificates);
    identity_replay_free(e->identity_seen);
    identity_replay_free(e->smime_seen);
    status_watched_free(e->watched);
    location_free(e->loc);
    peer_states_free(e->peers);
    if (e->store)
        store_close(e->store);
    config_unref(e->cfg);
    secret_wipe(&e->keys, sizeof e->keys);
}

int edge_start(struct config *cfg, struct edge **ret, struct reason *why)
{
    struct edge *e = mem_zalloc(sizeof *e);
    struct net_listener *ls = NULL;
    struct edge_snapshot *trial = NULL; /* of what each worker makes for itself */
    struct net_group_args ga;
    int err;

    if (!e)
        return ERR_NOMEM;
    /* TLS buffers and calls come and go: without this glibc gives memory back to the system and asks for it again all the time. */
    (void)mallopt(M_TOP_PAD, 1 << 20);
    (void)mallopt(M_TRIM_THRESHOLD, 64 << 20);
    if ((err = edge_init(e, cfg, why)) != 0 || (err = edge_certs_new(cfg, &e->certificates, why)) != 0 ||
        (err = snapshot_new(cfg, edge_certs_statuses(e->certificates), &trial, why)) != 0 ||
        (err = listeners_make(cfg, edge_certs_statuses(e->certificates), &ls, why)) != 0 ||
        (err = anchor_plane_start(e, false, why)) != 0 || (err = credentials_start(e, cfg, why)) != 0)
        goto out;
    if (cfg->hep.allow_mirror && (err = edge_tap_new(&cfg->hep, &e->tap, why)) != 0)
        goto out;
    ga = (struct net_group_args){
        .n_workers = e->n_workers,
        .listeners = ls,
        .n_listeners = cfg->n_listens,
        .worker_start = worker_start_cb,
        .worker_stop = worker_stop_cb,
        .arg = e,
        .batch_wait_us = pace_longest(cfg->batch_wait_us, e->n_workers),
        .steer_mark = SIP_BRANCH_MARK,
        .dns_forward = cfg->dns_server.n ? cfg->dns_server.p : NULL,
    };
    __atomic_store_n(&e->is_starting, true, __ATOMIC_RELAXED);
    if ((err = net_group_start(&ga, &e->group, why)) != 0)
        goto out;
    __atomic_store_n(&e->is_starting, false, __ATOMIC_RELAXED);
    listeners_log(e, cfg, ls, trial);
    allow_log(cfg);
    *ret = e;
out:
    snapshot_unref(trial);
    listeners_free(ls, cfg->n_listens);
    if (err) {
        credentials_free(e);
        edge_done(e);
        mem_free(e);
    }
    return err;
}

struct edge_change {
    struct edge *e;
    struct config *cfg;
    struct edge_snapshot *trial; /* what is said and watched is read from it */
    struct net_listener *listeners;
    struct certs_change *anchors;
    struct net_change *net;
    void *snapshots[EDGE_WORKERS_MAX]; /* of each worker its own: it counts their references alone */
};

void edge_reload_discard(struct edge_change *ch)
{
    unsigned i;

    if (!ch)
        return;
    net_group_discard(ch->net);
    certs_change_discard(ch->anchors);
    for (i = 0; i < ARRAY_LEN(ch->snapshots); i++)
        snapshot_unref(ch->snapshots[i]);
    snapshot_unref(ch->trial);
    listeners_free(ch->listeners, ch->cfg->n_listens);
    config_unref(ch->cfg);
    mem_free(ch);
}

int edge_reload_prepare(struct edge *e, struct config *cfg, struct edge_change **ret, struct reason *why)
{
    struct pki_statuses *statuses = edge_certs_statuses(e->certificates);
    struct edge_change *ch = mem_zalloc(sizeof *ch);
    unsigned i;
    int err;

    *ret = NULL;
    if (!ch)
        return ERR_NOMEM;
    ch->e = e;
    ch->cfg = config_ref(cfg);
    err = snapshot_new(cfg, statuses, &ch->trial, why);
    for (i = 0; i < e->n_workers && err == 0; i++) {
        struct edge_snapshot *s;

        if ((err = snapshot_new(cfg, statuses, &s, why)) == 0)
            ch->snapshots[i] = s;
    }
    if (err != 0 || (err = listeners_make(cfg, statuses, &ch->listeners, why)) != 0 ||
        (err = credentials_prepare(e, cfg, &ch->anchors, why)) != 0 ||
        (err = net_group_prepare(e->group, ch->listeners, cfg->n_listens, &ch->net, why)) != 0) {
        edge_reload_discard(ch);
        return err;
    }
    *ret = ch;
    return 0;
}

void edge_reload_commit(struct edge_change *ch)
{
    struct edge *e = ch->e;

    if (ch->anchors)
        credentials_commit(e, ch->anchors);
    net_group_commit(ch->net, edge_worker_reload, ch->snapshots);
    ch->anchors = NULL;
    ch->net = NULL;
    memset(ch->snapshots, 0, sizeof ch->snapshots);
    config_unref(e->cfg);
    e->cfg = config_ref(ch->cfg);
    peer_states_sweep(e->peers, e->cfg);
    log_threshold = e->cfg->log_level;
    listeners_log(e, e->cfg, ch->listeners, ch->trial);
    allow_log(e->cfg);
    edge_reload_discard(ch);
}

static void leave_run(void *edge_worker, void *arg)
{
    (void)arg;
    trunks_leave(edge_worker);
}

void edge_stop(struct edge *e, unsigned grace_ms)
{
    unsigned waited;

    if (!e)
        return;
    __atomic_store_n(&e->draining, true, __ATOMIC_RELAXED);
    if (grace_ms && net_group_post(e->group, 0, leave_run, NULL) != 0)
        LOG(LOG_WARN, "trunks-not-left", LZ("reason", "queue-full")); /* they end by themselves */
    for (waited = 0; waited < grace_ms && edge_busy(e); waited += 50)
        usleep(50000);
    credentials_stop(e);
    anchor_plane_mute(e);
    net_group_stop(e->group);
    credentials_free(e);
    edge_done(e);
    mem_free(e);
}

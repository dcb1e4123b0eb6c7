/* See tryout.h: a worker of net that listens nowhere, one lookup, connections until one is open or
 * none is left. What the caller waits for is set by the worker's thread under the lock. */
#include "edge/peers/tryout.h"
#include "base/mem.h"
#include "edge/edge_priv.h"
#include "net/worker.h"
#include "pki/names.h"
#include "pki/statuses.h"
#include <pthread.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#define LOOK_MS 20u
#define LIMIT_S 30
#define TARGETS_MAX 8u

struct attempt {
    const struct config_peer *p;
    struct pki_tls_client *tls;
    struct str name;
    struct net_locate_args locate;
    struct net *net;
    struct net_target targets[TARGETS_MAX];
    size_t n, next;
    flow_id flow;
    struct wheel_timer look;
    struct edge_tryout *ret;
    struct reason why;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool is_done, is_ok;
};

/* ---- on the worker ---- */

static void finish(struct attempt *a, bool ok)
{
    wheel_cancel(a->net->wheel, &a->look);
    pthread_mutex_lock(&a->lock);
    a->is_ok = ok;
    a->is_done = true;
    pthread_cond_signal(&a->changed);
    pthread_mutex_unlock(&a->lock);
}

static void connect_next(struct attempt *a)
{
    struct net_connect_args ca = {.transport = TRANSPORT_TLS,
                                  .listener = NET_LISTENER_GONE,
                                  .tls = a->tls,
                                  .server_name = a->name};
    struct path path;

    while (a->next < a->n) {
        const struct net_target *t = &a->targets[a->next++];

        if (t->transport != TRANSPORT_TLS)
            continue;
        ca.remote = t->addr;
        (void)addr_text(&t->addr, a->ret->remote);
        if (net_connect(a->net, &ca, &a->flow, &path) == 0) {
            wheel_start(a->net->wheel, &a->look, LOOK_MS);
            return;
        }
    }
    if (!a->why.code)
        reason_set(&a->why, "no-next-hop", "RFC 3263 4.3", 0,
                   "no address of it is to be reached by TLS");
    finish(a, false);
}

static void on_look(struct wheel_timer *t)
{
    struct attempt *a = CONTAINER_OF(t, struct attempt, look);
    const struct hop_facts *h = net_facts(a->net, a->flow);
    struct sbuf b = sbuf_make(a->ret->names, sizeof a->ret->names - 1);
    size_t i;

    if (!h) {
        wheel_start(a->net->wheel, t, LOOK_MS);
        return;
    }
    snprintf(a->ret->tls, sizeof a->ret->tls, "%s", h->tls_version ? h->tls_version : "");
    snprintf(a->ret->cipher, sizeof a->ret->cipher, "%s", h->cipher ? h->cipher : "");
    for (i = 0; i < h->n_peer_names; i++)
        sbuf_fmt(&b, "%s%.*s", i ? ", " : "", STR_FMT(h->peer_names[i]));
    a->ret->names[b.n] = '\0';
    a->ret->standing = h->peer_verified ? h->standing : CERT_UNCHECKED;
    finish(a, true);
}

static void on_closed(void *arg, flow_id flow, const struct path *path, enum net_close_why why,
                      const struct reason *reason, void *user)
{
    struct attempt *a = arg;

    (void)path;
    (void)why;
    (void)user;
    if (a->is_done || flow != a->flow)
        return;
    wheel_cancel(a->net->wheel, &a->look);
    if (reason)
        a->why = *reason;
    connect_next(a);
}

static void on_message(void *arg, const struct rx *rx)
{
    (void)arg;
    (void)rx;
}

static void on_located(void *arg, const struct net_target *targets, size_t n,
                       const struct reason *why)
{
    struct attempt *a = arg;

    a->n = n < TARGETS_MAX ? n : TARGETS_MAX;
    if (a->n)
        memcpy(a->targets, targets, a->n * sizeof *targets);
    if (why)
        a->why = *why;
    connect_next(a);
}

static void begin(void *user, void *arg)
{
    struct attempt *a = arg;
    struct addr literal;
    uint64_t id;

    (void)user;
    if (addr_parse(&literal, a->locate.host, 0) == 0) {
        addr_set_port(&literal,
                      a->locate.port ? a->locate.port : transport_default_port(TRANSPORT_TLS));
        a->targets[0] = (struct net_target){.transport = TRANSPORT_TLS, .addr = literal};
        a->n = 1;
        connect_next(a);
    } else if (net_locate(a->net, &a->locate, on_located, a, &id) != 0) {
        connect_next(a);
    }
}

static int worker_start(void *arg, struct net *net, struct net_user *ret)
{
    struct attempt *a = arg;

    a->net = net;
    *ret = (struct net_user){.arg = a, .on_message = on_message, .on_flow_closed = on_closed};
    return 0;
}

static void worker_stop(void *arg, struct net *net, void *user)
{
    (void)user;
    wheel_cancel(net->wheel, &((struct attempt *)arg)->look);
}

/* ---- on the caller's thread ---- */

static void await(struct attempt *a)
{
    struct timespec until;

    (void)clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += LIMIT_S;
    pthread_mutex_lock(&a->lock);
    while (!a->is_done)
        if (pthread_cond_timedwait(&a->changed, &a->lock, &until) != 0) {
            reason_set(&a->why, "timeout", NULL, 0, "no connection within %d seconds", LIMIT_S);
            break;
        }
    pthread_mutex_unlock(&a->lock);
}

static int attempt_run(struct attempt *a, const struct config *cfg, struct reason *why)
{
    const struct net_group_args args = {.n_workers = 1,
                                        .worker_start = worker_start,
                                        .worker_stop = worker_stop,
                                        .arg = a,
                                        .dns_forward =
                                            cfg->dns_server.n ? cfg->dns_server.p : NULL};
    pthread_condattr_t attr;
    struct net_group *g;
    int err;

    a->is_done = a->is_ok = false;
    a->n = a->next = 0;
    a->why = (struct reason){0};
    wheel_timer_init(&a->look, on_look);
    (void)pthread_mutex_init(&a->lock, NULL);
    (void)pthread_condattr_init(&attr);
    (void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&a->changed, &attr);
    (void)pthread_condattr_destroy(&attr);
    if ((err = net_group_start(&args, &g, why)) == 0) {
        if ((err = net_group_post(g, 0, begin, a)) == 0)
            await(a);
        net_group_stop(g);
    }
    pthread_cond_destroy(&a->changed);
    pthread_mutex_destroy(&a->lock);
    if (err == 0 && !a->is_ok) {
        *why = a->why;
        err = ERR_REFUSED;
    }
    return err;
}

struct waiting {
    unsigned n, asked;
    struct reason failure;
};

static void on_status(void *arg, const struct pki_status_info *i)
{
    struct waiting *w = arg;

    w->asked++;
    if (!i->next_update && !i->failure)
        w->n++;
    if (i->failure)
        reason_set(&w->failure, "ocsp-failed", "RFC 6960 2", 0, "%s: %s", i->url, i->failure);
}

/* Responders are asked in the background; here somebody waits for them. Was one asked? */
static bool await_answers(struct pki_statuses *s, struct reason *ret_failure)
{
    struct waiting w;
    int left = (int)LIMIT_OCSP_MS + 1000;

    do {
        w = (struct waiting){0};
        pki_statuses_each(s, on_status, &w);
        if (!w.n)
            break;
        usleep(LOOK_MS * 1000);
        left -= (int)LOOK_MS;
    } while (left > 0);
    *ret_failure = w.failure;
    return w.asked > 0;
}

static int next_hop_of(const struct config_peer *p, struct sip_uri *ret, char *text, size_t cap,
                       struct reason *why)
{
    struct str hop = p->next_hop_secure.n ? p->next_hop_secure : p->next_hop;

    if (!hop.n && p->domains.n && !str_eq(p->domains.v[0], STR("*"))) {
        snprintf(text, cap, "sips:%.*s", STR_FMT(p->domains.v[0]));
        hop = str_z(text);
    }
    if (hop.n && hop_uri(hop, ret) == 0)
        return 0;
    reason_set(why, "no-next-hop", "RFC 3263 4", 0, "this peer has no next hop: it connects to us");
    return ERR_NOTFOUND;
}

static bool is_asked(const struct config_peer *p, const struct edge_tryout *t)
{
    return p->revocation != PKI_REVOCATION_OFF && !p->allow_unverified && t->standing != CERT_GOOD;
}

int edge_try_connect(const struct config *cfg, const struct config_peer *p, struct edge_tryout *ret,
                     struct reason *why)
{
    struct attempt a = {.p = p, .ret = ret};
    struct edge_certs *certs = NULL;
    struct reason failure = {0};
    char text[300];
    struct sip_uri u;
    int err;

    *ret = (struct edge_tryout){.expected = ""};
    if ((err = next_hop_of(p, &u, text, sizeof text, why)) != 0 ||
        (err = edge_certs_new(cfg, &certs, why)) != 0)
        return err;
    a.name = hop_expected_name(p, u.host);
    snprintf(ret->expected, sizeof ret->expected, "%.*s", STR_FMT(a.name));
    a.locate = (struct net_locate_args){
        .sips = true, .host = u.maddr.n ? u.maddr : u.host, .port = u.port};
    /* As whoever may read the key, if it is a file: there is no keeper here. */
    err = snapshot_peer_tls(cfg, p, edge_certs_statuses(certs), false, &a.tls, why);
    if (err == 0) {
        err = attempt_run(&a, cfg, why);
        /* On first contact nothing is known yet; what counts is what is known afterwards. */
        if (is_asked(p, ret) && await_answers(edge_certs_statuses(certs), &failure))
            err = attempt_run(&a, cfg, why);
        if (ret->standing == CERT_UNKNOWN)
            ret->doubt = failure;
    }
    pki_tls_client_unref(a.tls);
    edge_certs_free(certs);
    return err;
}

/* RFC 5922 7.4: one of the names that the stanza gives. */
static int check_names(const struct config_peer *p, const char *file, struct edge_tryout *ret,
                       struct reason *why)
{
    const struct config_strs *want = p->certificate_names.n ? &p->certificate_names : &p->domains;
    struct str names[PKI_NAMES_MAX];
    struct arena *a = arena_new(4096, 65536);
    struct sbuf b = sbuf_make(ret->names, sizeof ret->names - 1);
    int i, n = a ? pki_file_names(file, a, names, why) : ERR_NOMEM, err = n < 0 ? n : ERR_REFUSED;
    size_t k;

    for (i = 0; i < n; i++)
        sbuf_fmt(&b, "%s%.*s", i ? ", " : "", STR_FMT(names[i]));
    ret->names[b.n] = '\0';
    for (k = 0; n >= 0 && k < want->n && err != 0; k++)
        err = pki_names_check(names, (size_t)n, want->v[k], why);
    if (n >= 0 && !want->n)
        reason_set(why, "tls-cert-name", "RFC 5922 7.4", 0,
                   "the stanza has neither certificate-names nor domains");
    arena_free(a);
    return err;
}

/* ---- from a file ---- */

struct judging {
    const struct config *cfg;
    const struct config_peer *p;
    const char *file;
    struct edge_certs *certs;
    struct edge_tryout *ret;
};

static int judge_by(const struct judging *j, struct pki_tls_client *tls, struct str name,
                    struct reason *why)
{
    struct reason failure = {0};
    int err = pki_tls_client_judge_file(tls, j->file, name, &j->ret->standing, why);

    if (is_asked(j->p, j->ret) && await_answers(edge_certs_statuses(j->certs), &failure))
        err = pki_tls_client_judge_file(tls, j->file, name, &j->ret->standing, why);
    if (j->ret->standing == CERT_UNKNOWN)
        j->ret->doubt = failure.code ? failure : *why;
    return err;
}

/* By the stanza's own anchors and rules. */
static int judge_by_peer(const struct judging *j, struct str name, struct reason *why)
{
    struct pki_tls_client *tls = NULL;
    int err = snapshot_peer_tls(j->cfg, j->p, edge_certs_statuses(j->certs), true, &tls,
                                why); /* nothing is signed */

    if (err == 0)
        err = judge_by(j, tls, name, why);
    pki_tls_client_unref(tls);
    return err;
}

/* By what a listener asks of those who connect; where the stanza has no anchors, its other rules
 * hold of what the listener found (edge/admit/gate.c). */
static int judge_by_listener(const struct judging *j, const struct config_listen *l,
                             struct reason *why)
{
    struct pki_tls_options o = {.ca_pem = l->client_ca.p,
                                .crl_pem = l->client_crl.n ? l->client_crl.p : NULL,
                                .revocation = (enum pki_revocation)l->client_revocation,
                                .client_usage = (enum pki_client_usage)j->p->client_usage,
                                .statuses = edge_certs_statuses(j->certs)};
    struct pki_tls_client *tls = NULL;
    int err;

    if (!j->p->ca.n && j->p->revocation == PKI_REVOCATION_HARD)
        o.revocation = PKI_REVOCATION_HARD;
    if (o.revocation != (enum pki_revocation)l->client_revocation &&
        l->client_revocation == PKI_REVOCATION_OFF) {
        reason_set(why, "tls-cert-status-unknown", "RFC 5280 6.3", 0,
                   "the listener does not look at revocation, and the stanza asks for it");
        return ERR_REFUSED;
    }
    if ((err = pki_tls_client_new(&o, &tls, why)) == 0)
        err = judge_by(j, tls, STR_NULL, why);
    pki_tls_client_unref(tls);
    return err;
}

/* Whoever connects has to get in at a listener first: by its client-ca, or where it has none by the
 * anchors of all peers. */
static int judge_client(const struct judging *j, struct reason *why)
{
    struct reason refused = {0};
    int err;

    reason_set(&refused, "no-client-ca", "TR/100 9", 0,
               "no tls listener asks those who connect for a certificate by anchors (client-ca) "
               "that could be this one's");
    if (j->p->ca.n && (err = judge_by_peer(j, STR_NULL, why)) != 0)
        return err;
    for (size_t i = 0; i < j->cfg->n_listens; i++) {
        const struct config_listen *l = &j->cfg->listens[i];

        if (!transport_is_secure(l->transport) || l->client_cert == PKI_CLIENT_CERT_NONE)
            continue;
        if (!l->client_ca.n && j->p->ca.n && l->transport == TRANSPORT_TLS)
            return 0;
        if (l->client_ca.n && (err = judge_by_listener(j, l, &refused)) == 0)
            return 0;
    }
    *why = refused;
    return ERR_REFUSED;
}

int edge_try_file(const struct config *cfg, const struct config_peer *p, const char *file,
                  bool is_client, struct edge_tryout *ret, struct reason *why)
{
    struct judging j = {.cfg = cfg, .p = p, .file = file, .ret = ret};
    struct reason names_why;
    struct str name = STR_NULL;
    char text[300];
    struct sip_uri u;
    int err;

    *ret = (struct edge_tryout){.expected = ""};
    if (!is_client) {
        if ((err = next_hop_of(p, &u, text, sizeof text, why)) != 0)
            return err;
        name = hop_expected_name(p, u.host);
        snprintf(ret->expected, sizeof ret->expected, "%.*s", STR_FMT(name));
    }
    if ((err = edge_certs_new(cfg, &j.certs, why)) != 0)
        return err;
    err = is_client ? judge_client(&j, why) : judge_by_peer(&j, name, why);
    if (err == 0) {
        int names_err = check_names(p, file, ret, &names_why);

        if (is_client && names_err != 0) {
            *why = names_why;
            err = names_err;
        }
    }
    edge_certs_free(j.certs);
    return err;
}

/* Certificates of the process (TR/100 9): which files are in force until when, warnings before they
 * end, whose revocation status is known, what is stapled with our own. Handshakes note in
 * pki/statuses.h what should be asked; the asker of net/http.h asks it, on a thread of its own; the
 * main thread's timer (edge_certificates_tick) keeps our own answers fresh. Main thread, but for
 * on_ask and on_answer. */
#include "base/limits.h"
#include "base/log.h"
#include "base/mem.h"
#include "edge/edge.h"
#include "edge/edge_priv.h"
#include "net/http.h"
#include "pki/statuses.h"
#include <jansson.h>
#include <stdlib.h>
#include <time.h>

#define DAY_S 86400

/* One file that TLS rests on. */
struct edge_end {
    const char *whose; /* "listen", "peer", "identity", "top" */
    const char *kind;  /* "certificate", "anchors", "crl" */
    char *name, *file;
    int64_t not_after;
    bool is_told; /* that it has ended */
};

struct edge_certs {
    struct pki_statuses *statuses;
    struct net_http *http;
    struct edge_end *ends;
    size_t n_ends, cap_ends;
    unsigned clock_sets; /* as of the last look */
};

/* ---- asking responders ---- */

static void on_answer(void *arg, const void *body, size_t n, const struct reason *why)
{
    if (why)
        pki_question_fail(arg, why);
    else
        pki_question_answer(arg, body, n, (int64_t)time(NULL));
}

static void on_ask(void *arg, struct pki_question *q)
{
    struct net_http_question h = {.url = pki_question_url(q),
                                  .type = "application/ocsp-request",
                                  .accept = "application/ocsp-response",
                                  .answer_max = LIMIT_OCSP_BYTES,
                                  .fn = on_answer,
                                  .arg = q};
    struct reason why;
    int err;

    h.body = pki_question_body(q, &h.n);
    if ((err = net_http_post(arg, &h)) == 0)
        return;
    reason_set(&why, "http-failed", NULL, 0, "%s",
               err == ERR_LIMIT ? "too many questions wait" : "out of memory");
    pki_question_fail(q, &why);
}

int edge_certs_new(const struct config *cfg, struct edge_certs **ret, struct reason *why)
{
    struct edge_certs *c = mem_zalloc(sizeof *c);
    int err = c ? net_http_new(&c->http, why) : ERR_NOMEM;

    if (err == 0)
        err = net_http_allow(c->http, cfg->fetch_from, cfg->n_fetch_from);
    if (err == 0)
        err = pki_statuses_new(on_ask, c->http, &c->statuses);
    if (err != 0) {
        edge_certs_free(c);
        return err;
    }
    *ret = c;
    return 0;
}

static void ends_clear(struct edge_certs *c)
{
    size_t i;

    for (i = 0; i < c->n_ends; i++) {
        mem_free(c->ends[i].name);
        mem_free(c->ends[i].file);
    }
    c->n_ends = 0;
}

void edge_certs_free(struct edge_certs *c)
{
    if (!c)
        return;
    if (c->statuses)
        pki_statuses_stop(c->statuses);
    net_http_free(c->http); /* gives back all questions */
    pki_statuses_unref(c->statuses);
    ends_clear(c);
    mem_free(c->ends);
    mem_free(c);
}

struct pki_statuses *edge_certs_statuses(const struct edge_certs *c)
{
    return c ? c->statuses : NULL;
}

/* ---- what is in force ---- */

struct gather {
    struct edge_certs *c;
    const char *whose;
    struct str name;
    bool is_own_told; /* it is shown our first domain's, which a listener has as well */
    bool failed;
};

static char *copy(struct str s)
{
    char *p = mem_alloc(s.n + 1);

    if (p && s.n)
        memcpy(p, s.p, s.n);
    if (p)
        p[s.n] = 0;
    return p;
}

static void on_end(void *arg, const char *kind, struct str file, int64_t not_after)
{
    struct gather *g = arg;
    struct edge_certs *c = g->c;
    struct edge_end *e;

    if (g->is_own_told && strcmp(kind, "certificate") == 0)
        return;
    if (c->n_ends == c->cap_ends) {
        size_t cap = c->cap_ends ? 2 * c->cap_ends : 16;
        struct edge_end *more = mem_realloc(c->ends, cap * sizeof *more);

        if (!more) {
            g->failed = true;
            return;
        }
        c->ends = more;
        c->cap_ends = cap;
    }
    e = &c->ends[c->n_ends];
    *e = (struct edge_end){.whose = g->whose,
                           .kind = kind,
                           .name = copy(g->name),
                           .file = copy(file),
                           .not_after = not_after};
    if (e->name && e->file) {
        c->n_ends++;
        return;
    }
    mem_free(e->name);
    mem_free(e->file);
    g->failed = true;
}

/* Files that no context of TLS has. */
static void add_file(struct gather *g, const char *whose, struct str name, const char *kind, struct str file)
{
    int64_t not_after;
    struct reason why;

    g->whose = whose;
    g->name = name;
    g->is_own_told = false;
    if (file.n && (strcmp(kind, "crl") == 0 ? pki_crl_file_end(file.p, &not_after, &why)
                                            : pki_file_end(file.p, &not_after, &why)) == 0)
        on_end(g, kind, file, not_after);
}

/* Called once nothing can fail any more. */
void edge_certs_loaded(struct edge_certs *c, const struct config *cfg,
                       const struct net_listener *ls, const struct edge_snapshot *snap)
{
    struct gather g = {.c = c};
    int64_t now = (int64_t)time(NULL);
    size_t i;

    ends_clear(c);
    pki_statuses_own_begin(c->statuses);
    for (i = 0; i < cfg->n_listens; i++) {
        g.whose = "listen";
        g.name = cfg->listens[i].title;
        if (!ls[i].tls)
            continue;
        pki_tls_server_ends(ls[i].tls, on_end, &g);
        pki_tls_server_staples(ls[i].tls, now);
    }
    pki_statuses_own_end(c->statuses);
    for (i = 0; i < cfg->n_peers; i++) {
        g.whose = "peer";
        g.name = cfg->peers[i].name;
        g.is_own_told = cfg->peers[i].certificate.n == 0;
        pki_tls_client_ends(snapshot_tls(snap, &cfg->peers[i]), on_end, &g);
    }
    for (i = 0; i < cfg->n_identities; i++) {
        add_file(&g, "identity", cfg->identities[i].name, "certificate", cfg->identities[i].certificate);
        add_file(&g, "identity", cfg->identities[i].name, "rfc4474-certificate", cfg->identities[i].rfc4474_certificate);
    }
    add_file(&g, "top", STR("identity-ca"), "anchors", cfg->identity_ca);
    add_file(&g, "top", STR("identity-crl"), "crl", cfg->identity_crl);
    add_file(&g, "top", STR("fetch-ca"), "anchors", cfg->fetch_ca);
    for (i = 0; i < cfg->user_certificates.n; i++)
        add_file(&g, "top", STR("user-certificates"), "certificate", cfg->user_certificates.v[i]);
    if (g.failed)
        LOG(LOG_ERROR, "certificates", LZ("cause", "out of memory: not all of them are watched"));
}

/* ---- warnings ---- */

static void warn_of(const struct edge_end *e, int64_t now)
{
    int64_t left = e->not_after - now;

    if (strcmp(e->kind, "crl") == 0)
        LOG(LOG_WARN, "crl-expired", LZ(e->whose, e->name), LZ("file", e->file),
            LI("hours", -left / 3600));
    else
        LOG(LOG_WARN, "certificate-expires", LZ(e->whose, e->name), LZ("file", e->file),
            LI("days", left / DAY_S), LZ("kind", e->kind));
}

/* A CRL is replaced shortly before its end, whenever that is: no warning until it has come. */
static bool is_due(const struct edge_end *e, const struct config *cfg, int64_t now)
{
    return e->not_after - now <
           (strcmp(e->kind, "crl") == 0 ? 0 : (int64_t)cfg->expiry_warn_days * DAY_S);
}

void edge_certificates_warn(struct edge *e)
{
    int64_t now = (int64_t)time(NULL);
    size_t i;

    for (i = 0; e->certificates && i < e->certificates->n_ends; i++)
        if (is_due(&e->certificates->ends[i], e->cfg, now)) {
            warn_of(&e->certificates->ends[i], now);
            e->certificates->ends[i].is_told = e->certificates->ends[i].not_after < now;
        }
}

void edge_certificates_tick(struct edge *e)
{
    int64_t now = (int64_t)time(NULL);
    unsigned clock_sets = __atomic_load_n(&e->clock_sets, __ATOMIC_ACQUIRE);
    size_t i;

    if (!e->certificates)
        return;
    if (clock_sets != e->certificates->clock_sets) {
        e->certificates->clock_sets = clock_sets;
        pki_statuses_clock_set(e->certificates->statuses);
        for (i = 0; i < e->certificates->n_ends; i++)
            e->certificates->ends[i].is_told = false;
    }
    pki_statuses_tick(e->certificates->statuses, now);
    for (i = 0; i < e->certificates->n_ends; i++) {
        struct edge_end *end = &e->certificates->ends[i];

        if (end->is_told || end->not_after >= now)
            continue;
        warn_of(end, now);
        end->is_told = true;
    }
}

/* ---- for people ---- */

static json_t *when(int64_t s)
{
    char t[32] = "";
    time_t at = (time_t)s;
    struct tm tm;

    if (s && gmtime_r(&at, &tm))
        strftime(t, sizeof t, "%Y-%m-%dT%H:%M:%SZ", &tm);
    return json_string(t);
}

static void on_status(void *arg, const struct pki_status_info *i)
{
    static const char *const words[] = {[PKI_STATUS_UNKNOWN] = "unknown",
                                        [PKI_STATUS_GOOD] = "good",
                                        [PKI_STATUS_REVOKED] = "revoked"};

    (void)json_array_append_new(
        arg, json_pack("{s:s, s:s, s:s, s:s, s:s, s:o, s:s}", "whose", i->file ? "own" : "theirs",
                       "kind", "status", "file", i->file ? i->file : i->names, "state",
                       words[i->status], "responder", i->url, "until", when(i->next_update),
                       "failure", i->failure ? i->failure : ""));
}

/* Rows, not yet serialised; NULL on no memory. */
json_t *edge_certs_json(const struct edge_certs *c)
{
    json_t *rows = json_array();
    int64_t now = (int64_t)time(NULL);
    size_t i;

    for (i = 0; c && rows && i < c->n_ends; i++) {
        const struct edge_end *e = &c->ends[i];

        (void)json_array_append_new(rows, json_pack("{s:s, s:s, s:s, s:s, s:s, s:o, s:I}", "whose",
                                                    e->whose, "name", e->name, "kind", e->kind,
                                                    "file", e->file, "state",
                                                    e->not_after < now ? "expired" : "in force",
                                                    "until", when(e->not_after), "days_left",
                                                    (json_int_t)((e->not_after - now) / DAY_S)));
    }
    if (c && rows)
        pki_statuses_each(c->statuses, on_status, rows);
    return rows;
}

void edge_certs_each_end(const struct edge_certs *c,
                         void (*fn)(void *arg, const char *kind, struct str file,
                                    int64_t not_after),
                         void *arg)
{
    size_t i, k;

    for (i = 0; c && i < c->n_ends; i++) {
        for (k = 0; k < i && strcmp(c->ends[k].file, c->ends[i].file) != 0; k++)
            ;
        if (k == i)
            fn(arg, c->ends[i].kind, str_z(c->ends[i].file), c->ends[i].not_after);
    }
}

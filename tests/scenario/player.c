/* The scenario player: plays a text file against the real edge on the simulated net, in virtual time. README.md says the language.
 * Exit status 0 when every step held; else the file, line and what was seen instead. */
#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"
#include "edge/edge_worker.h"
#include "pki/mint.h"
#include "sim.h"
#include <dirent.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define LINES_MAX 4000
#define VARS_MAX 128

struct var {
    char name[64];
    char value[2048];
};

struct dialog { /* what a party knows of its one call at a time */
    char call_id[128], local_tag[64], remote_tag[128], remote_uri[512], local_uri[256], routes[4096], target[512];
    unsigned cseq;
    char last_request[16384]; /* as sent, for `again`, `auth`, `cancel` */
    char last_method[32];
    char invite[16384];
    unsigned invite_cseq;
};

struct player {
    const char *file;
    char *lines[LINES_MAX];
    unsigned n_lines, at;
    struct sim sim;
    struct edge edge;
    struct edge_worker *w;
    bool started;
    struct var vars[VARS_MAX];
    unsigned n_vars, n_users;
    struct dialog dialog[SIM_PARTIES];
    char password[SIM_PARTIES][64], login[SIM_PARTIES][64];
    char received[SIM_PARTIES][16384]; /* the last message each party took */
    char received_request[SIM_PARTIES][16384];
    struct { /* the last one of each method, for answers that come later */
        char method[16], text[16384];
    } received_method[SIM_PARTIES][8];
    char dir[64];
    char config[16384];
    unsigned serial;
    struct arena *scratch[8]; /* memory of the step that runs */
    bool is_trial;            /* a step that does not hold ends the trial, not the program */
    jmp_buf end_of_trial;
};

static struct player P;

/* What nobody has looked at yet, since the cause is often there. */
static void show_waiting(void)
{
    unsigned i, k;

    for (i = 0; i < P.sim.n_parties; i++)
        for (k = 0; k < P.sim.party[i].n && k < 3; k++) {
            const struct buf *b = P.sim.party[i].queue[(P.sim.party[i].head + k) % SIM_QUEUE].buf;

            fprintf(stderr, "    waiting at %s: %.*s\n", P.sim.party[i].name, (int)strcspn(b->p, "\r\n"), b->p);
        }
}

static struct arena *scratch_new(void)
{
    unsigned i;

    for (i = 0; i < ARRAY_LEN(P.scratch) - 1 && P.scratch[i]; i++)
        ;
    P.scratch[i] = arena_new(16384, 1 << 20);
    if (!P.scratch[i])
        abort();
    return P.scratch[i];
}

static void scratch_free(struct arena *a)
{
    unsigned i;

    for (i = 0; i < ARRAY_LEN(P.scratch); i++)
        if (P.scratch[i] == a)
            P.scratch[i] = NULL;
    arena_free(a);
}

__attribute__((noreturn)) static void fail(const char *fmt, ...) PRINTF_LIKE(1, 2);
static void fail(const char *fmt, ...)
{
    va_list ap;

    if (P.is_trial)
        longjmp(P.end_of_trial, 1);
    fprintf(stderr, "%s:%u: ", P.file, P.at);
    va_start(ap, fmt);
    vfprintf(stderr, fmt, ap);
    va_end(ap);
    fprintf(stderr, "\n");
    show_waiting();
    exit(1);
}

/* ---- variables ---- */

static struct var *var_find(const char *name)
{
    unsigned i;

    for (i = 0; i < P.n_vars; i++)
        if (strcmp(P.vars[i].name, name) == 0)
            return &P.vars[i];
    return NULL;
}

static void var_set(const char *name, struct str value)
{
    struct var *v = var_find(name);

    if (!v) {
        if (P.n_vars == VARS_MAX)
            fail("too many variables");
        v = &P.vars[P.n_vars++];
        snprintf(v->name, sizeof v->name, "%s", name);
    }
    snprintf(v->value, sizeof v->value, "%.*s", STR_FMT(value));
}

static void expand(char *dst, size_t cap, const char *src)
{
    size_t n = 0;

    while (*src && n + 1 < cap) {
        const char *end;
        char name[64];
        struct var *v;

        if (src[0] != '$' || src[1] != '{' || !(end = strchr(src, '}'))) {
            dst[n++] = *src++;
            continue;
        }
        snprintf(name, sizeof name, "%.*s", (int)(end - src - 2), src + 2);
        v = var_find(name);
        if (!v)
            fail("no variable %s", name);
        n += (size_t)snprintf(dst + n, cap - n, "%s", v->value);
        if (n >= cap)
            fail("line too long");
        src = end + 1;
    }
    dst[n] = 0;
}

/* ---- small helpers ---- */

static unsigned party_index(const struct sim_party *p)
{
    return (unsigned)(p - P.sim.party);
}

static struct sim_party *party(const char *name)
{
    struct sim_party *p = sim_find(&P.sim, name);

    if (!p)
        fail("there is no party %s", name);
    return p;
}

static struct sip_msg *parse(struct arena *a, const char *text)
{
    struct sip_msg *m;
    struct reason why = {0};

    if (sip_msg_parse(a, str_z(text), &m, &why) != 0)
        fail("a message of the scenario cannot be parsed: %s %s", why.code, why.detail);
    return m;
}

static uint64_t duration(const char *t)
{
    char *end;
    unsigned long v = strtoul(t, &end, 10);

    if (strcmp(end, "ms") == 0)
        return v;
    if (strcmp(end, "s") == 0)
        return v * 1000;
    fail("a duration is 500ms or 32s, not %s", t);
}

static const char *next_line(void)
{
    if (P.at >= P.n_lines)
        return NULL;
    return P.lines[P.at++];
}

/* Lines up to one with a single dot, joined with CRLF. */
static void block(char *dst, size_t cap)
{
    const char *l;
    size_t n = 0;
    char line[2048];

    dst[0] = 0;
    while ((l = next_line()) != NULL && strcmp(l, ".") != 0) {
        while (*l == ' ')
            l++;
        expand(line, sizeof line, l);
        n += (size_t)snprintf(dst + n, cap - n, "%s\r\n", line);
        if (n >= cap)
            fail("block too long");
    }
    if (!l)
        fail("a block ends with a line that is a single dot");
}

/* Extra header lines of a step, if its line ends with ':'. */
static void extra_lines(char *words_end, char *dst, size_t cap)
{
    size_t n = strlen(words_end);

    dst[0] = 0;
    if (n && words_end[n - 1] == ':') {
        words_end[n - 1] = 0;
        block(dst, cap);
    }
}

/* ---- start ---- */

static void on_problem(void *arg, struct str line)
{
    (void)arg;
    fprintf(stderr, "%.*s\n", STR_FMT(line));
}

/* A folder of the scenario's own with a certificate for example.com: ${dir}/crt and ${dir}/key. */
static void make_dir(void)
{
    static const struct str domain = {"example.com", 11};
    struct pki_mint_args args = {.domains = &domain, .n_domains = 1, .uses = PKI_MINT_SERVER | PKI_MINT_CLIENT, .days = 36500};
    struct reason why = {0};
    char crt[96], key[96];

    snprintf(P.dir, sizeof P.dir, "/tmp/scenario.XXXXXX");
    if (!mkdtemp(P.dir))
        fail("mkdtemp");
    snprintf(crt, sizeof crt, "%s/crt", P.dir);
    snprintf(key, sizeof key, "%s/key", P.dir);
    args.cert_file = crt;
    args.key_file = key;
    if (pki_mint_cert(NULL, &args, &why) != 0)
        fail("pki_mint_cert: %s", why.detail);
    var_set("dir", str_z(P.dir));
}

static void start(void)
{
    struct config *cfg;
    struct reason why = {0};
    size_t i;

    if (P.started)
        return;
    snprintf(P.config + strlen(P.config), sizeof P.config - strlen(P.config), "\nstate-dir = \"%s\"\nworkers = 1\n", P.dir);
    if (config_parse(str_z(P.config), on_problem, NULL, &cfg) != 0)
        fail("the configuration is refused");
    if (sim_init(&P.sim) != 0)
        fail("no memory");
    if (edge_init(&P.edge, cfg, &why) != 0)
        fail("edge_init: %s %s", why.code, why.detail);
    for (i = 0; i < cfg->n_listens; i++) {
        P.sim.listener_addr[i] = cfg->listens[i].addr;
        P.sim.listener_transport[i] = cfg->listens[i].transport;
    }
    P.sim.n_listeners = (unsigned)cfg->n_listens;
    if (edge_worker_start(&P.edge, &P.sim.net, &P.sim.net.user) != 0)
        fail("edge_worker_start");
    P.w = P.sim.net.user.arg;
    config_unref(cfg);
    P.started = true;
}

/* reload ... . : a new configuration in force, as after SIGHUP. Listeners stay as they are. */
static void step_reload(void)
{
    struct config *cfg;
    char text[16384];

    start();
    block(text, sizeof text - 256);
    snprintf(text + strlen(text), sizeof text - strlen(text), "\nstate-dir = \"%s\"\nworkers = 1\n", P.dir);
    if (config_parse(str_z(text), on_problem, NULL, &cfg) != 0)
        fail("the configuration is refused");
    edge_worker_reload(P.w, config_ref(cfg));
    config_unref(P.edge.cfg);
    P.edge.cfg = cfg;
}

static void stop(void)
{
    char cmd[128];

    if (P.started) {
        edge_worker_stop(P.w);
        sim_done(&P.sim);
        edge_done(&P.edge);
    }
    snprintf(cmd, sizeof cmd, "rm -rf %s", P.dir);
    if (system(cmd) != 0)
        fprintf(stderr, "cannot remove %s\n", P.dir);
    P.started = false;
}

/* user alice@example.com PASSWORD [md5] */
static void step_user(char *aor, const char *password, bool md5)
{
    struct store_user u = {0};
    struct str user, host;
    struct digest_ha1 h;
    char text[300];
    unsigned k;

    start();
    host = str_cut(str_z(aor), '@', &user);
    snprintf(text, sizeof text, "sip:%s", aor);
    u.aor = str_z(text);
    u.username = user;
    u.realm = host;
    u.allow_md5 = md5;
    for (k = 0; k < DIGEST_ALGO_N; k++) {
        if (k == DIGEST_MD5 && !md5)
            continue;
        if (digest_ha1_make((enum digest_algo)k, user, host, str_z(password), &h) != 0)
            fail("digest_ha1_make");
        u.ha1_len[k] = h.n;
        memcpy(u.ha1[k], h.bytes, h.n);
    }
    if (account_put(P.edge.loc, &u) != 0)
        fail("account_put");
}

/* party alice udp 192.0.2.10:5060 [listener N] [waits] [refuses] [silent] [cert NAME] [password PW] [user alice@example.com] */
static void step_party(char **word, unsigned n)
{
    struct sim_party *p;
    struct dialog *d;
    unsigned i;

    start();
    if (n < 4 || P.sim.n_parties == SIM_PARTIES)
        fail("party NAME TRANSPORT ADDRESS:PORT [options]");
    p = &P.sim.party[P.sim.n_parties++];
    d = &P.dialog[party_index(p)];
    snprintf(p->name, sizeof p->name, "%s", word[1]);
    if (transport_parse(&p->transport, str_z(word[2])) != 0 || addr_parse_hostport(&p->addr, str_z(word[3])) != 0)
        fail("bad transport or address");
    for (i = 0; i < P.sim.n_listeners; i++)
        if (P.sim.listener_transport[i] == p->transport) {
            p->listener = (uint16_t)i;
            break;
        }
    snprintf(d->local_uri, sizeof d->local_uri, "sip:%s@example.com", word[1]);
    for (i = 4; i < n; i++) {
        if (strcmp(word[i], "waits") == 0)
            p->dialled = true;
        else if (strcmp(word[i], "refuses") == 0)
            p->refuses = p->dialled = true;
        else if (strcmp(word[i], "silent") == 0)
            p->silent = true;
        else if (strcmp(word[i], "tls12") == 0)
            p->is_tls12 = true;
        else if (strcmp(word[i], "cert") == 0 && i + 1 < n) {
            snprintf(p->cert_text, sizeof p->cert_text, "%s", word[++i]);
            p->cert_names[0] = str_z(p->cert_text);
            p->hop.peer_names = p->cert_names;
            p->hop.n_peer_names = 1;
            p->hop.peer_cert = p->hop.peer_verified = true;
        } else if (strcmp(word[i], "password") == 0 && i + 1 < n)
            snprintf(P.password[party_index(p)], sizeof P.password[0], "%s", word[++i]);
        else if (strcmp(word[i], "as") == 0 && i + 1 < n)
            snprintf(d->local_uri, sizeof d->local_uri, "%s", word[++i]);
        else
            fail("unknown option %s", word[i]);
    }
    i = (unsigned)strcspn(d->local_uri + 4, "@");
    if (i >= sizeof P.login[0])
        fail("the name is too long");
    memcpy(P.login[party_index(p)], d->local_uri + 4, i);
    if (p->transport != TRANSPORT_UDP && !p->dialled)
        sim_open(&P.sim, p);
}

/* ---- sending ---- */

static void deliver(struct sim_party *p, const char *text)
{
    if (p->transport != TRANSPORT_UDP && !p->flow)
        sim_open(&P.sim, p);
    sim_deliver(&P.sim, p, str_z(text));
}

static void add_via(struct sim_party *p, char *dst, size_t cap)
{
    char a[ADDR_TEXT_MAX];

    addr_text(&p->addr, a);
    snprintf(dst, cap, "Via: SIP/2.0/%s %s;branch=z9hG4bK-%s-%u;rport\r\n", transport_text(p->transport).p, a, p->name, ++P.serial);
}

static bool has_header(const char *lines, const char *name)
{
    size_t n = strlen(name);
    const char *l;

    for (l = lines; *l; l = strstr(l, "\r\n") + 2)
        if (strncasecmp(l, name, n) == 0 && l[n] == ':')
            return true;
    return false;
}

/* Builds and sends a request of the party's dialog; `extra` may replace any header by bringing it. */
static void send_request(struct sim_party *p, const char *method, const char *uri, bool in_dialog, const char *extra)
{
    struct dialog *d = &P.dialog[party_index(p)];
    char msg[16384], via[256], a[ADDR_TEXT_MAX];
    const char *body = strstr(extra, "\r\n\r\n");
    size_t n = 0, nb = body ? strlen(body + 4) : 0;
    const char *transport = p->transport == TRANSPORT_UDP ? "udp" : p->transport == TRANSPORT_TCP ? "tcp" : p->transport == TRANSPORT_TLS ? "tls" : "ws";

    addr_text(&p->addr, a);
    if (!in_dialog) {
        memset(d->remote_tag, 0, sizeof d->remote_tag);
        d->routes[0] = 0;
        snprintf(d->remote_uri, sizeof d->remote_uri, "%s", strcmp(method, "REGISTER") == 0 ? d->local_uri : uri);
        snprintf(d->call_id, sizeof d->call_id, "call-%s-%u", p->name, ++P.serial);
        snprintf(d->local_tag, sizeof d->local_tag, "tag-%s-%u", p->name, ++P.serial);
    }
    if (strcmp(method, "ACK") != 0)
        d->cseq++;
    add_via(p, via, sizeof via);
#define PUT(...) (n += (size_t)snprintf(msg + n, sizeof msg - n, __VA_ARGS__))
    PUT("%s %s SIP/2.0\r\n%s", method, uri, has_header(extra, "Via") ? "" : via);
    if (!has_header(extra, "Max-Forwards"))
        PUT("Max-Forwards: 70\r\n");
    PUT("%s", in_dialog ? d->routes : "");
    if (!has_header(extra, "From"))
        PUT("From: <%s>;tag=%s\r\n", d->local_uri, d->local_tag);
    if (!has_header(extra, "To"))
        PUT("To: <%s>%s%s\r\n", d->remote_uri, d->remote_tag[0] ? ";tag=" : "", d->remote_tag);
    if (!has_header(extra, "Call-ID"))
        PUT("Call-ID: %s\r\n", d->call_id);
    if (!has_header(extra, "CSeq"))
        PUT("CSeq: %u %s\r\n", strcmp(method, "ACK") == 0 ? d->invite_cseq : d->cseq, method);
    if (!has_header(extra, "Contact") && strcmp(method, "BYE") != 0 && strcmp(method, "ACK") != 0 && strcmp(method, "MESSAGE") != 0)
        PUT("Contact: <sip:%s@%s;transport=%s>\r\n", p->name, a, transport);
    if (body)
        PUT("%.*s\r\nContent-Length: %zu\r\n\r\n%s", (int)(body - extra), extra, nb, body + 4);
    else
        PUT("%sContent-Length: 0\r\n\r\n", extra);
#undef PUT
    if (n >= sizeof msg)
        fail("message too long");
    if (strcmp(method, "ACK") != 0) {
        snprintf(d->last_request, sizeof d->last_request, "%s", msg);
        snprintf(d->last_method, sizeof d->last_method, "%s", method);
    }
    if (strcmp(method, "INVITE") == 0) {
        snprintf(d->invite, sizeof d->invite, "%s", msg);
        d->invite_cseq = d->cseq;
    }
    deliver(p, msg);
}

/* Repeats the last request with an answer to the last challenge, a new branch and the next CSeq. */
static void step_auth(struct sim_party *p, char **word, unsigned n)
{
    unsigned i = party_index(p);
    struct dialog *d = &P.dialog[i];
    struct arena *a = scratch_new();
    struct sip_msg *challenge = parse(a, P.received[i]), *req = parse(a, d->last_request);
    struct sip_edit *e = sip_edit_new(a, req);
    enum sip_hdr_id from = challenge->status == 401 ? SIP_H_WWW_AUTHENTICATE : SIP_H_PROXY_AUTHENTICATE;
    const struct sip_hdr *h = sip_msg_hdr(challenge, from, 0);
    struct digest_challenge c;
    struct digest_ha1 ha1;
    struct reason why = {0};
    char text[2048], cseq[64], via[256], user[64];
    struct sbuf b = sbuf_make(text, sizeof text);
    struct digest_answer_args args = {.nc = 1, .cnonce = STR("0a4f113b")};
    struct buf *out;
    unsigned k;

    snprintf(user, sizeof user, "%s", P.login[i]);
    for (k = 3; k + 1 < n; k += 2) {
        if (strcmp(word[k], "password") == 0)
            snprintf(P.password[i], sizeof P.password[i], "%s", word[k + 1]);
        else if (strcmp(word[k], "user") == 0)
            snprintf(user, sizeof user, "%s", word[k + 1]);
        else if (strcmp(word[k], "qop") == 0)
            args.prefer_int = strcmp(word[k + 1], "auth-int") == 0;
        else if (strcmp(word[k], "nc") == 0)
            args.nc = (uint32_t)strtoul(word[k + 1], NULL, 10);
        else if (strcmp(word[k], "challenge") == 0)
            h = sip_msg_hdr(challenge, from, (unsigned)strtoul(word[k + 1], NULL, 10));
        else
            fail("auth [user NAME] [password PW] [nc N] [challenge I] [qop auth-int]");
    }
    if (!h || digest_challenge_parse(a, h->value, &c, &why) != 0)
        fail("the last message of %s has no such challenge", p->name);
    if (digest_ha1_make(c.algo, str_z(user), c.realm, str_z(P.password[i]), &ha1) != 0)
        fail("digest_ha1_make");
    args.challenge = &c;
    args.username = str_z(user);
    args.method = req->method_text;
    args.uri = req->ruri;
    args.body = req->body;
    args.ha1 = &ha1;
    if (digest_answer_build(&b, &args) != 0)
        fail("digest_answer_build");
    sip_edit_remove(e, challenge->status == 401 ? SIP_H_AUTHORIZATION : SIP_H_PROXY_AUTHORIZATION);
    sip_edit_add_last(e, challenge->status == 401 ? SIP_H_AUTHORIZATION : SIP_H_PROXY_AUTHORIZATION, sbuf_get(&b));
    snprintf(cseq, sizeof cseq, "%u %.*s", ++d->cseq, STR_FMT(req->method_text));
    sip_edit_set(e, SIP_H_CSEQ, str_z(cseq));
    add_via(p, via, sizeof via);
    sip_edit_replace_value(e, SIP_H_VIA, 0, str_make(via + 5, strlen(via) - 7));
    if (sip_edit_build(e, &out) != 0)
        fail("cannot build the request");
    snprintf(d->last_request, sizeof d->last_request, "%.*s", (int)out->n, out->p);
    if (req->method == SIP_INVITE) {
        memcpy(d->invite, d->last_request, sizeof d->invite);
        d->invite_cseq = d->cseq;
    }
    buf_unref(out);
    scratch_free(a);
    deliver(p, d->last_request);
}

/* The last request again with its credentials as they were, but as a new transaction: what a replay looks like. */
static void step_reuse(struct sim_party *p)
{
    struct dialog *d = &P.dialog[party_index(p)];
    struct arena *a = scratch_new();
    struct sip_msg *req = parse(a, d->last_request);
    struct sip_edit *e = sip_edit_new(a, req);
    char cseq[64], via[256];
    struct buf *out;

    snprintf(cseq, sizeof cseq, "%u %.*s", ++d->cseq, STR_FMT(req->method_text));
    sip_edit_set(e, SIP_H_CSEQ, str_z(cseq));
    add_via(p, via, sizeof via);
    sip_edit_set(e, SIP_H_VIA, str_make(via + 5, strlen(via) - 7));
    if (sip_edit_build(e, &out) != 0)
        fail("cannot build the request");
    snprintf(d->last_request, sizeof d->last_request, "%.*s", (int)out->n, out->p);
    buf_unref(out);
    scratch_free(a);
    deliver(p, d->last_request);
}

/* A dialog, as its callee (RFC 3261 12.1.1). */
static void join(struct sim_party *p, const struct sip_msg *req)
{
    struct dialog *d = &P.dialog[party_index(p)];
    struct sip_values it = sip_values_start(req, SIP_H_RECORD_ROUTE);
    const struct sip_hdr *h = sip_msg_hdr(req, SIP_H_CONTACT, 0);
    struct sip_addr c;

    if ((req->method != SIP_INVITE && req->method != SIP_SUBSCRIBE && req->method != SIP_REFER) || req->to_tag.n)
        return;
    snprintf(d->call_id, sizeof d->call_id, "%.*s", STR_FMT(req->call_id));
    snprintf(d->remote_tag, sizeof d->remote_tag, "%.*s", STR_FMT(req->from_tag));
    snprintf(d->remote_uri, sizeof d->remote_uri, "%.*s", STR_FMT(req->from.uri));
    snprintf(d->local_uri, sizeof d->local_uri, "%.*s", STR_FMT(req->to.uri));
    d->routes[0] = 0;
    while (sip_values_next(&it)) {
        size_t at = strlen(d->routes);

        snprintf(d->routes + at, sizeof d->routes - at, "Route: %.*s\r\n", STR_FMT(it.value));
    }
    if (h && sip_addr_parse(h->value, &c) == 0)
        snprintf(d->target, sizeof d->target, "%.*s", STR_FMT(c.uri));
}

/* The tag by which the party goes in answers to this request. */
static void own_tag(struct sim_party *p, const struct sip_msg *req)
{
    struct dialog *d = &P.dialog[party_index(p)];

    if (!d->local_tag[0] || !str_eq(req->call_id, str_z(d->call_id)))
        snprintf(d->local_tag, sizeof d->local_tag, "tag-%s-%u", p->name, ++P.serial);
}

static const char *request_to_answer(unsigned i, char **word, unsigned n)
{
    unsigned k;

    if (n < 6 || strcmp(word[4], "to") != 0)
        return P.received_request[i];
    for (k = 0; k < ARRAY_LEN(P.received_method[i]); k++)
        if (strcmp(P.received_method[i][k].method, word[5]) == 0)
            return P.received_method[i][k].text;
    fail("no %s was received", word[5]);
}

static void remember_request(unsigned i, struct str method, const char *text)
{
    unsigned k;

    snprintf(P.received_request[i], sizeof P.received_request[i], "%s", text);
    for (k = 0; k < ARRAY_LEN(P.received_method[i]) - 1; k++)
        if (!P.received_method[i][k].method[0] || str_eq(method, str_z(P.received_method[i][k].method)))
            break;
    snprintf(P.received_method[i][k].method, sizeof P.received_method[i][k].method, "%.*s", STR_FMT(method));
    snprintf(P.received_method[i][k].text, sizeof P.received_method[i][k].text, "%s", text);
}

/* A response to the last request the party took. */
static void step_reply(struct sim_party *p, char **word, unsigned n, const char *extra)
{
    unsigned i = party_index(p), status;
    struct dialog *d = &P.dialog[i];
    struct arena *a = scratch_new();
    struct sip_msg *req;
    struct sip_response r = {0};
    char contact[256], addr[ADDR_TEXT_MAX];
    const char *l, *body = strstr(extra, "\r\n\r\n");
    struct buf *out;
    char text[16384];

    if (n < 4)
        fail("PARTY > reply STATUS");
    status = (unsigned)strtoul(word[3], NULL, 10);
    if (!P.received_request[i][0])
        fail("%s has received no request", p->name);
    req = parse(a, request_to_answer(i, word, n));
    own_tag(p, req);
    r.status = status;
    r.to_tag = str_z(d->local_tag);
    for (l = extra; *l && strncmp(l, "\r\n", 2) != 0; l = strstr(l, "\r\n") + 2) {
        const char *colon = strchr(l, ':'), *end = strstr(l, "\r\n");

        r.extra[r.n_extra].name = str_make(l, (size_t)(colon - l));
        r.extra[r.n_extra++].value = str_trim(str_make(colon + 1, (size_t)(end - colon - 1)));
    }
    if (body) {
        r.body = str_z(body + 4);
        r.content_type = STR("application/sdp");
    }
    if (status > 100 && status < 300 && !has_header(extra, "Contact") && req->method != SIP_BYE) {
        addr_text(&p->addr, addr);
        snprintf(contact, sizeof contact, "<sip:%s@%s>", p->name, addr);
        r.extra[r.n_extra].name = STR("Contact");
        r.extra[r.n_extra++].value = str_z(contact);
    }
    if (sip_response_build(req, &r, &out) != 0)
        fail("cannot build the response");
    if (status > 100 && status < 300)
        join(p, req);
    snprintf(text, sizeof text, "%.*s", (int)out->n, out->p);
    buf_unref(out);
    scratch_free(a);
    deliver(p, text);
}

static void step_ack(struct sim_party *p, const char *extra)
{
    struct dialog *d = &P.dialog[party_index(p)];
    struct arena *a = scratch_new();
    struct sip_msg *resp = parse(a, P.received[party_index(p)]);
    struct buf *out;
    char text[16384];

    if (resp->is_request)
        fail("%s has no final response to acknowledge", p->name);
    if (resp->status < 300) {
        send_request(p, "ACK", d->target[0] ? d->target : d->remote_uri, true, extra);
    } else {
        if (sip_ack_build(parse(a, d->invite), resp, &out) != 0)
            fail("cannot build the ACK");
        snprintf(text, sizeof text, "%.*s", (int)out->n, out->p);
        buf_unref(out);
        deliver(p, text);
    }
    scratch_free(a);
}

/* CANCEL of its INVITE, by itself or from elsewhere. */
static void step_cancel(struct sim_party *p, struct sim_party *from)
{
    struct arena *a = scratch_new();
    struct buf *out;
    char text[16384];

    if (sip_cancel_build(parse(a, P.dialog[party_index(p)].invite), STR_NULL, &out) != 0)
        fail("cannot build the CANCEL");
    snprintf(text, sizeof text, "%.*s", (int)out->n, out->p);
    buf_unref(out);
    scratch_free(a);
    deliver(from, text);
}

/* ---- expecting ---- */

static bool take(struct sim_party *p, char *dst, size_t cap)
{
    struct sim_msg *m;

    if (!p->n)
        return false;
    m = &p->queue[p->head];
    snprintf(dst, cap, "%.*s", (int)m->buf->n, m->buf->p);
    buf_unref(m->buf);
    p->head = (p->head + 1) % SIM_QUEUE;
    p->n--;
    return true;
}

static const char *first_line(const char *text)
{
    static char line[256];

    snprintf(line, sizeof line, "%.*s", (int)strcspn(text, "\r\n"), text);
    return line;
}

/* A party that called learns its route set and target from a response that makes the dialog (RFC 3261 12.1.2). */
static void learn(struct sim_party *p, const struct sip_msg *m)
{
    struct dialog *d = &P.dialog[party_index(p)];
    struct str v[16];
    struct sip_values it;
    struct sip_addr c;
    const struct sip_hdr *h = sip_msg_hdr(m, SIP_H_CONTACT, 0);
    unsigned n = 0;

    if (m->is_request || m->status <= 100 || m->status >= 300 || m->cseq_method != SIP_INVITE || !m->to_tag.n)
        return;
    if (h && sip_addr_parse(h->value, &c) == 0)
        snprintf(d->target, sizeof d->target, "%.*s", STR_FMT(c.uri));
    if (d->routes[0] && str_eq(m->to_tag, str_z(d->remote_tag)))
        return; /* the route set stays (12.2.1.2) */
    snprintf(d->remote_tag, sizeof d->remote_tag, "%.*s", STR_FMT(m->to_tag));
    d->routes[0] = 0;
    for (it = sip_values_start(m, SIP_H_RECORD_ROUTE); n < 16 && sip_values_next(&it); n++)
        v[n] = it.value;
    while (n-- > 0) {
        size_t at = strlen(d->routes);

        snprintf(d->routes + at, sizeof d->routes - at, "Route: %.*s\r\n", STR_FMT(v[n]));
    }
}

/* Checks under an expectation: `has HEADER TEXT`, `no HEADER`, `is HEADER TEXT`, `count HEADER N`, `save VAR HEADER [PARAM]`,
 * `uri TEXT`, `body TEXT`. */
static void check_line(const struct sip_msg *m, char *line)
{
    char full[2048], *verb, *name, *rest;
    const struct sip_hdr *h;
    struct str v;
    unsigned i;

    expand(full, sizeof full, line);
    verb = strtok_r(full, " ", &rest);
    if (strcmp(verb, "uri") == 0 || strcmp(verb, "body") == 0) {
        v = verb[0] == 'u' ? m->ruri : m->body;
        if (!memmem(v.p, v.n, rest, strlen(rest)))
            fail("%s is \"%.*s\", expected \"%s\"", verb, STR_FMT(v), rest);
        return;
    }
    name = strtok_r(NULL, " ", &rest);
    if (!name)
        fail("a check needs a header");
    if (strcmp(verb, "save") == 0) {
        char *header = strtok_r(NULL, " ", &rest), *param = strtok_r(NULL, " ", &rest);
        struct sip_addr a;

        h = header ? sip_msg_hdr_named(m, str_z(header), 0) : NULL;
        if (!h)
            fail("no header %s to save", header ? header : "");
        v = h->value;
        if (param && strcmp(param, "uri") == 0) {
            if (sip_addr_parse(v, &a) != 0)
                fail("no address in %s", header);
            v = a.uri;
        } else if (param) {
            const char *semi = memchr(v.p, ';', v.n);

            if (sip_addr_parse(v, &a) != 0 || !sip_param_find(a.params, str_z(param), &v)) {
                v = h->value;
                if (!semi || !sip_param_find(str_make(semi, v.n - (size_t)(semi - v.p)), str_z(param), &v))
                    fail("no parameter %s in %s", param, header);
            }
        }
        var_set(name, v);
        return;
    }
    h = sip_msg_hdr_named(m, str_z(name), 0);
    if (strcmp(verb, "no") == 0) {
        if (h)
            fail("%s is there: %.*s", name, STR_FMT(h->value));
        return;
    }
    if (strcmp(verb, "count") == 0) {
        for (i = 0; sip_msg_hdr_named(m, str_z(name), i); i++)
            ;
        if (i != strtoul(rest, NULL, 10))
            fail("%u headers %s, expected %s", i, name, rest);
        return;
    }
    if (!h)
        fail("no header %s", name);
    for (i = 0; (h = sip_msg_hdr_named(m, str_z(name), i)) != NULL; i++)
        if (strcmp(verb, "is") == 0 ? str_eq(h->value, str_z(rest)) : memmem(h->value.p, h->value.n, rest, strlen(rest)) != NULL)
            return;
    h = sip_msg_hdr_named(m, str_z(name), 0);
    fail("%s is \"%.*s\", expected \"%s\"", name, STR_FMT(h->value), rest);
}

/* PARTY < STATUS [METHOD]   or   PARTY < METHOD */
static void step_expect(struct sim_party *p, char **word, unsigned n)
{
    unsigned i = party_index(p), status = (unsigned)strtoul(word[2], NULL, 10);
    struct arena *a = scratch_new();
    struct sip_msg *m;

    if (!take(p, P.received[i], sizeof P.received[i]))
        fail("%s received nothing, expected %s", p->name, word[2]);
    m = parse(a, P.received[i]);
    if (m->defect.sip_status)
        fail("%s received a malformed message (%s): %s", p->name, m->defect.code, first_line(P.received[i]));
    if (status ? m->is_request || m->status != status || (n > 3 && !str_eq(m->cseq_method_text, str_z(word[3])))
               : !m->is_request || !str_eq(m->method_text, str_z(word[2])))
        fail("%s received \"%s\" (%.*s), expected %s", p->name, first_line(P.received[i]), STR_FMT(m->cseq_method_text), word[2]);
    if (m->is_request && m->method != SIP_ACK && m->method != SIP_CANCEL)
        remember_request(i, m->method_text, P.received[i]);
    learn(p, m);
    while (P.at < P.n_lines && P.lines[P.at][0] == ' ') {
        char *l = P.lines[P.at++];

        while (*l == ' ')
            l++;
        if (*l && *l != '#')
            check_line(m, l);
    }
    scratch_free(a);
}

static void step_counter(char **word, unsigned n)
{
    static const struct {
        const char *name;
        enum edge_counter c;
    } names[] = {
        {"requests", EC_REQUESTS}, {"dropped", EC_PARSE_DROPPED}, {"refused", EC_BAD_REQUESTS}, {"challenges", EC_CHALLENGES},
        {"auth-ok", EC_AUTH_OK}, {"auth-failed", EC_AUTH_FAILED}, {"stale", EC_AUTH_STALE}, {"replay", EC_AUTH_REPLAY},
        {"slowed", EC_GUESSES_SLOWED}, {"registers", EC_REGISTERS_OK}, {"started", EC_CALLS_STARTED},
        {"answered", EC_CALLS_ANSWERED}, {"ended", EC_CALLS_ENDED}, {"failed", EC_CALLS_FAILED}, {"forged", EC_TOKENS_FORGED},
        {"loops", EC_LOOPS}, {"emergency", EC_EMERGENCY}, {"strays", EC_STRAYS}, {"forwarded", EC_FORWARDED}};
    size_t i;

    if (n < 3)
        fail("counter NAME VALUE");
    for (i = 0; i < ARRAY_LEN(names); i++)
        if (strcmp(names[i].name, word[1]) == 0) {
            if (P.w->counters[names[i].c] != strtoull(word[2], NULL, 10))
                fail("counter %s is %llu, expected %s", word[1], (unsigned long long)P.w->counters[names[i].c], word[2]);
            return;
        }
    fail("no counter %s", word[1]);
}

/* dns HOST TRANSPORT ADDRESS:PORT ... | dns HOST dead | dns HOST none */
static void step_dns(char **word, unsigned n)
{
    struct sim_dns *d;
    unsigned i;

    start();
    if (n < 3 || P.sim.n_dns == ARRAY_LEN(P.sim.dns))
        fail("dns HOST TRANSPORT ADDRESS:PORT ...");
    d = &P.sim.dns[P.sim.n_dns++];
    snprintf(d->host, sizeof d->host, "%s", word[1]);
    d->dead = strcmp(word[2], "dead") == 0;
    for (i = 2; i + 1 < n && d->n < ARRAY_LEN(d->v); i += 2, d->n++)
        if (transport_parse(&d->v[d->n].transport, str_z(word[i])) != 0 ||
            addr_parse_hostport(&d->v[d->n].addr, str_z(word[i + 1])) != 0)
            fail("bad transport or address");
}

/* The dialog of the last request, before it is answered. */
static void step_joins(struct sim_party *p)
{
    struct arena *a = scratch_new();
    struct sip_msg *req = parse(a, P.received_request[party_index(p)]);

    own_tag(p, req);
    join(p, req);
    scratch_free(a);
}

/* NAME registers, NAME sends METHOD URI: with the challenge in between, which must come. */
static void step_sends(struct sim_party *p, const char *method, const char *uri, const char *extra)
{
    unsigned i = party_index(p);
    struct arena *a = scratch_new();
    struct sip_msg *m;

    send_request(p, method, uri, false, extra);
    if (!take(p, P.received[i], sizeof P.received[i]))
        fail("%s received nothing, expected a challenge", p->name);
    m = parse(a, P.received[i]);
    if (m->is_request || (m->status != 401 && m->status != 407))
        fail("%s received \"%s\", expected a challenge", p->name, first_line(P.received[i]));
    scratch_free(a);
    if (strcmp(method, "INVITE") == 0)
        step_ack(p, "");
    step_auth(p, NULL, 0);
}

static void step_registers(struct sim_party *p, const char *uri, const char *extra)
{
    unsigned i = party_index(p);

    step_sends(p, "REGISTER", uri, extra);
    if (!take(p, P.received[i], sizeof P.received[i]) || strncmp(P.received[i], "SIP/2.0 200", 11) != 0)
        fail("%s is not registered: %s", p->name, first_line(P.received[i]));
}

/* ---- the file ---- */

static void step_party_verb(struct sim_party *p, char **word, unsigned n, char *line_end)
{
    struct dialog *d = &P.dialog[party_index(p)];
    char extra[8192];
    bool in_dialog;

    if (strcmp(word[1], "<") == 0) {
        if (n < 3)
            fail("PARTY < STATUS or METHOD");
        step_expect(p, word, n);
        return;
    }
    if (strcmp(word[1], "registers") == 0 && n <= 3) {
        extra_lines(line_end, extra, sizeof extra);
        step_registers(p, n > 2 ? word[2] : "sip:example.com", extra);
        return;
    }
    if (strcmp(word[1], "sends") == 0 && n == 4) {
        extra_lines(line_end, extra, sizeof extra);
        step_sends(p, word[2], word[3], extra);
        return;
    }
    if (strcmp(word[1], ">") != 0 || n < 3)
        fail("PARTY > what, or PARTY < what");
    extra_lines(line_end, extra, sizeof extra);
    in_dialog = n > 3 && strcmp(word[n - 1], "in-dialog") == 0;
    if (strcmp(word[2], "raw") == 0) {
        char text[32768];
        size_t k;

        block(text, sizeof text);
        k = strlen(text);
        if (!strstr(text, "\r\n\r\n"))
            snprintf(text + k, sizeof text - k, "\r\n");
        deliver(p, text);
    } else if (strcmp(word[2], "auth") == 0)
        step_auth(p, word, n);
    else if (strcmp(word[2], "again") == 0)
        deliver(p, d->last_request);
    else if (strcmp(word[2], "echo") == 0)
        deliver(p, P.received_request[party_index(p)]);
    else if (strcmp(word[2], "reuse") == 0)
        step_reuse(p);
    else if (strcmp(word[2], "ack") == 0)
        step_ack(p, extra);
    else if (strcmp(word[2], "cancel") == 0)
        step_cancel(p, p);
    else if (strcmp(word[2], "cancel-from") == 0 && n > 3)
        step_cancel(p, party(word[3]));
    else if (strcmp(word[2], "joins") == 0)
        step_joins(p);
    else if (strcmp(word[2], "reply") == 0)
        step_reply(p, word, n, extra);
    else if (in_dialog)
        send_request(p, word[2], n > 4 ? word[3] : d->target, true, extra);
    else if (n > 3)
        send_request(p, word[2], word[3], false, extra);
    else
        fail("PARTY > METHOD URI");
}

static void step(char *line)
{
    char full[4096], *word[24], *save, *w, *end;
    unsigned n = 0;

    expand(full, sizeof full, line);
    end = full + strlen(full);
    while (end > full && end[-1] == ' ')
        *--end = 0;
    if (end > full && end[-1] == ':' && strchr(full, ' ')) { /* extra lines follow: seen by extra_lines */
        static char mark[2];

        end[-1] = 0;
        snprintf(mark, sizeof mark, ":");
        end = mark;
    } else {
        static char none[1];

        end = none;
    }
    for (w = strtok_r(full, " ", &save); w && n < ARRAY_LEN(word); w = strtok_r(NULL, " ", &save))
        word[n++] = w;
    if (!n)
        return;
    if (strcmp(word[0], "config") == 0)
        block(P.config, sizeof P.config - 256);
    else if (strcmp(word[0], "reload") == 0)
        step_reload();
    else if (strcmp(word[0], "user") == 0 && n >= 3)
        step_user(word[1], word[2], n > 3 && strcmp(word[3], "md5") == 0);
    else if (strcmp(word[0], "no-user") == 0 && n == 2) {
        char aor[300];

        snprintf(aor, sizeof aor, "sip:%s", word[1]);
        account_remove(P.edge.loc, str_z(aor));
    } else if (strcmp(word[0], "party") == 0)
        step_party(word, n);
    else if (strcmp(word[0], "dns") == 0)
        step_dns(word, n);
    else if (strcmp(word[0], "wait") == 0 && n == 2)
        sim_advance(&P.sim, duration(word[1]));
    else if (strcmp(word[0], "lose") == 0 && n == 3)
        party(word[2])->lose = (unsigned)strtoul(word[1], NULL, 10);
    else if (strcmp(word[0], "close") == 0 && n == 2)
        sim_close(&P.sim, party(word[1]));
    else if (strcmp(word[0], "quiet") == 0 && n == 2) {
        char text[16384];

        if (take(party(word[1]), text, sizeof text))
            fail("%s received \"%s\", expected nothing", word[1], first_line(text));
    } else if (strcmp(word[0], "flush") == 0 && n == 2) {
        char text[16384];

        while (take(party(word[1]), text, sizeof text))
            ;
    } else if (strcmp(word[0], "counter") == 0)
        step_counter(word, n);
    else if (strcmp(word[0], "set") == 0 && n >= 3)
        var_set(word[1], str_z(word[2]));
    else if (n >= 2)
        step_party_verb(party(word[0]), word, n, end);
    else
        fail("cannot be understood: %s", line);
}

static void on_log(void *arg, enum log_level level, struct str line)
{
    (void)arg;
    (void)level;
    if (getenv("SCENARIO_LOG"))
        fprintf(stderr, "    %.*s\n", STR_FMT(line));
}

static void play_from(unsigned at)
{
    for (P.at = at; P.at < P.n_lines;) {
        char *l = P.lines[P.at++];

        if (*l && *l != '#' && !(at && strncmp(l, "counter ", 8) == 0))
            step(l);
    }
}

/* ---- every allocation failing in turn ---- */

static bool is_preparation(const char *l)
{
    static const char *const verbs[] = {"config", "user ", "party ", "dns ", "set "};
    size_t i;

    for (i = 0; i < ARRAY_LEN(verbs); i++)
        if (strncmp(l, verbs[i], strlen(verbs[i])) == 0)
            return true;
    return !*l || *l == '#';
}

/* config, users and parties are made once, without faults. */
static unsigned prepare(void)
{
    P.at = 0;
    while (P.at < P.n_lines && is_preparation(P.lines[P.at])) {
        char *l = P.lines[P.at++];

        if (*l && *l != '#')
            step(l);
    }
    return P.at;
}

/* Whatever is still under way comes to its end; then nothing may be left of it. */
static void settle(unsigned n)
{
    struct sip_txl_stats st;
    char text[16384];
    unsigned i;

    sim_advance(&P.sim, 400000);
    for (i = 0; i < ARRAY_LEN(P.scratch); i++)
        if (P.scratch[i])
            scratch_free(P.scratch[i]);
    for (i = 0; i < P.sim.n_parties; i++)
        while (take(&P.sim.party[i], text, sizeof text))
            ;
    sip_txl_stats(P.w->txl, &st);
    if (st.stx_now || st.ctx_now || !list_is_empty(&P.w->proxies) || !list_is_empty(&P.w->acks)) {
        fprintf(stderr, "%s: with allocation %u failing, %llu and %llu transactions%s%s are left\n", P.file, n,
                (unsigned long long)st.stx_now, (unsigned long long)st.ctx_now,
                list_is_empty(&P.w->proxies) ? "" : ", forwarding contexts", list_is_empty(&P.w->acks) ? "" : ", ACKs");
        exit(1);
    }
}

/* The scenario again and again, each time with one more allocation of the edge working before one fails. What it expects need not
 * come then; but nothing crashes, leaks or stays, and the next run without a fault holds. */
static void play_faults(void)
{
    struct dialog fresh[SIM_PARTIES];
    unsigned body = prepare();
    volatile size_t n;

    memcpy(fresh, P.dialog, sizeof fresh);
    for (n = 1;; n++) {
        memcpy(P.dialog, fresh, sizeof fresh);
        P.sim.has_faults = P.is_trial = true;
        P.sim.has_fired = false;
        P.sim.fault_at = n;
        P.sim.fault_n = 0;
        if (setjmp(P.end_of_trial) == 0)
            play_from(body);
        sim_faults_off(&P.sim);
        P.sim.has_faults = P.is_trial = false;
        settle((unsigned)n);
        if (!P.sim.has_fired)
            break; /* and it holds without one, as the run before has shown */
        memcpy(P.dialog, fresh, sizeof fresh);
        play_from(body);
        settle((unsigned)n);
    }
    printf("%s: %zu allocations failed\n", P.file, n - 1);
}

int main(int argc, char **argv)
{
    bool faults = argc == 3 && strcmp(argv[1], "--faults") == 0;
    FILE *f;
    char *line = NULL;
    size_t cap = 0;
    ssize_t k;

    if ((argc != 2 && !faults) || !(f = fopen(argv[argc - 1], "r"))) {
        fprintf(stderr, "usage: scenario [--faults] FILE\n");
        return 2;
    }
    if (faults && !fault_is_built())
        return 77; /* meson: skipped */
    P.file = argv[argc - 1];
    while ((k = getline(&line, &cap, f)) >= 0 && P.n_lines < LINES_MAX) {
        while (k && (line[k - 1] == '\n' || line[k - 1] == '\r'))
            line[--k] = 0;
        P.lines[P.n_lines++] = strdup(line);
    }
    free(line);
    fclose(f);
    log_threshold = getenv("SCENARIO_LOG") ? LOG_DEBUG : LOG_ERROR;
    log_set_sink(on_log, NULL);
    make_dir();
    if (faults)
        play_faults();
    else
        play_from(0);
    stop();
    for (P.at = 0; P.at < P.n_lines; P.at++)
        free(P.lines[P.at]);
    printf("%s: held\n", P.file);
    return 0;
}

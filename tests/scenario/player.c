/* The scenario player: plays a text file against the real edge on the simulated net, in virtual time. README.md says the language.
 * Exit status 0 when every step held; else the file, line and what was seen instead. */
#include "player.h"
#include "base/log.h"
#include "base/mem.h"
#include "edge/anchor/anchor.h"
#include "edge/status/calls.h"
#include "edge/status/security.h"
#include "pki/mint.h"
#include <sys/stat.h>
#include <unistd.h>


struct player P;

/* What nobody has looked at yet, since the cause is often there. */
static void show_waiting(void)
{
    unsigned i, k;

    for (i = 0; i < P.sim.n_parties; i++)
        for (k = 0; k < P.sim.party[i].n && k < 3; k++) {
            const struct buf *b = P.sim.party[i].queue[(P.sim.party[i].head + k) % SIM_QUEUE].buf;

            size_t n = str_find_char(buf_str(b), '\r');

            fprintf(stderr, "    waiting at %s: %.*s\n", P.sim.party[i].name, (int)n, b->p);
        }
}

struct arena *scratch_new(void)
{
    unsigned i;

    for (i = 0; i < ARRAY_LEN(P.scratch) - 1 && P.scratch[i]; i++)
        ;
    P.scratch[i] = arena_new(16384, 1 << 20);
    if (!P.scratch[i])
        abort();
    return P.scratch[i];
}

void scratch_free(struct arena *a)
{
    unsigned i;

    for (i = 0; i < ARRAY_LEN(P.scratch); i++)
        if (P.scratch[i] == a)
            P.scratch[i] = NULL;
    arena_free(a);
}

void fail(const char *fmt, ...)
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

void var_set(const char *name, struct str value)
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

void expand(char *dst, size_t cap, const char *src)
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

struct sim_party *party(const char *name)
{
    struct sim_party *p = sim_find(&P.sim, name);

    if (!p)
        fail("there is no party %s", name);
    return p;
}

uint64_t duration(const char *t)
{
    char *end;
    unsigned long v = strtoul(t, &end, 10);

    if (strcmp(end, "ms") == 0)
        return v;
    if (strcmp(end, "s") == 0)
        return v * 1000;
    fail("a duration is 500ms or 32s, not %s", t);
}

/* The wall's clock is set: +3h, -90s. */
static void step_wall(const char *by)
{
    char *end;
    long v = strtol(by, &end, 10);

    if ((*by != '+' && *by != '-') || (strcmp(end, "s") != 0 && strcmp(end, "h") != 0))
        fail("the wall's clock is set by +3h or -90s, not by %s", by);
    P.sim.wall_jump_s += *end == 'h' ? v * 3600 : v;
}

static const char *next_line(void)
{
    if (P.at >= P.n_lines)
        return NULL;
    return P.lines[P.at++];
}

/* Lines up to one with a single dot, joined with CRLF. */
void block(char *dst, size_t cap)
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
void extra_lines(char *words_end, char *dst, size_t cap)
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

/* A folder of the scenario's own with a certificate for example.com: ${dir}/crt and ${dir}/key; and a password. */
static void make_dir(void)
{
    static const struct str domain = {"example.com", 11};
    struct pki_mint_args args = {.domains = &domain, .n_domains = 1, .uses = PKI_MINT_SERVER | PKI_MINT_CLIENT, .days = 36500};
    struct reason why = {0};
    char crt[96], key[96];
    FILE *f;

    snprintf(P.dir, sizeof P.dir, "/tmp/scenario.XXXXXX");
    if (!mkdtemp(P.dir))
        fail("mkdtemp");
    snprintf(crt, sizeof crt, "%s/crt", P.dir);
    snprintf(key, sizeof key, "%s/key", P.dir);
    args.cert_file = crt;
    args.key_file = key;
    if (pki_mint_cert(NULL, &args, &why) != 0)
        fail("pki_mint_cert: %s", why.detail);
    snprintf(key, sizeof key, "%s/password", P.dir);
    if ((f = fopen(key, "w")) == NULL || fputs("correct-horse-7\n", f) < 0 || fclose(f) != 0 || chmod(key, 0600) != 0)
        fail("%s cannot be written", key);
    var_set("dir", str_z(P.dir));
}

/* What the player settles itself, whatever the scenario configures. */
static void add_own_lines(char *config, size_t cap)
{
    char dir[sizeof P.dir];
    size_t n = strlen(config);

    memcpy(dir, P.dir, sizeof dir); /* `config` may be in P, too */
    snprintf(config + n, cap - n, "\nstate-dir = \"%s\"\nworkers = 1\n", dir);
}

static void start(void)
{
    struct config *cfg;
    struct reason why = {0};

    if (P.started)
        return;
    add_own_lines(P.config, sizeof P.config);
    if (config_parse(str_z(P.config), on_problem, NULL, &cfg) != 0)
        fail("the configuration is refused");
    if (sim_init(&P.sim) != 0)
        fail("no memory");
    if (edge_init(&P.edge, cfg, &why) != 0)
        fail("edge_init: %s %s", why.code, why.detail);
    if (anchor_plane_start(&P.edge, true, &why) != 0)
        fail("anchor_plane_start: %s %s", why.code, why.detail);
    sim_relisten(&P.sim, cfg->listens, cfg->n_listens);
    if (edge_worker_start(&P.edge, &P.sim.net, &P.sim.net.user) != 0)
        fail("edge_worker_start");
    P.w = P.sim.net.user.arg;
    config_unref(cfg);
    P.started = true;
}

/* reload ... . : a new configuration in force, as after SIGHUP. */
static void step_reload(void)
{
    struct edge_snapshot *snap;
    struct reason why = {0};
    struct config *cfg;
    char text[16384];

    start();
    block(text, sizeof text - 256);
    add_own_lines(text, sizeof text);
    if (config_parse(str_z(text), on_problem, NULL, &cfg) != 0)
        fail("the configuration is refused");
    if (snapshot_new(cfg, NULL, &snap, &why) != 0)
        fail("snapshot_new: %s %s", why.code, why.detail);
    sim_relisten(&P.sim, cfg->listens, cfg->n_listens);
    edge_worker_reload(P.w, snap);
    config_unref(P.edge.cfg);
    P.edge.cfg = cfg;
}

static void stop(void)
{
    char cmd[128];

    if (P.started) {
        edge_worker_stop(P.w);
        identity_none_left();
        sim_done(&P.sim);
        edge_done(&P.edge);
    }
    identity_stop();
    smime_stop();
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
        else if (strcmp(word[i], "foreign-ca") == 0)
            p->is_foreign_ca = true;
        else if (strcmp(word[i], "for-servers") == 0)
            p->hop.client_use = CERT_USE_SERVER_ONLY;
        else if (strcmp(word[i], "for-code") == 0)
            p->hop.client_use = CERT_USE_OTHER;
        else if (strcmp(word[i], "not-revoked") == 0)
            p->hop.standing = CERT_GOOD;
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

/* ---- surroundings ---- */

static bool find_call(void *arg, const struct call_info *c)
{
    struct call_info *found = arg;

    if (str_eq(c->call_id, found->call_id))
        *found = *c;
    return true;
}

/* call-has PARTY TEXT, call-lacks PARTY TEXT: what status shows of the party's call has this text in it, or not. */
static void step_call_has(char **word, const char *rest, bool has)
{
    struct dialog *d = &P.dialog[party_index(party(word[1]))];
    struct call_info c = {.call_id = str_z(d->call_id)};
    json_t *row = json_object();
    static char text[16384]; /* a step that does not hold does not come back */
    size_t len;

    calls_each(P.w, find_call, &c);
    len = c.facts && security_add(P.w, &c, row) ? json_dumpb(row, text, sizeof text - 1, JSON_COMPACT) : 0;
    json_decref(row);
    if (!len || len >= sizeof text)
        fail("no memory");
    text[len] = 0;
    if ((strstr(text, rest) != NULL) != has)
        fail("status shows %s", text);
}

/* What status shows of a peer. */
#define EXPLAINED 16384u

static void step_peer_has(char **word, const char *rest)
{
    char *text = edge_status_json(P.w->edge, STR("peers"));
    json_t *all = text ? json_loads(text, 0, NULL) : NULL, *row;
    static char found[4096];
    size_t i, len = 0;

    free(text);
    json_array_foreach(json_object_get(all, "rows"), i, row)
        if (strcmp(json_string_value(json_object_get(row, "peer")), word[1]) == 0)
            len = json_dumpb(row, found, sizeof found - 1, JSON_COMPACT);
    json_decref(all);
    if (!len || len >= sizeof found)
        fail("status has no peer %s", word[1]);
    found[len] = 0;
    if (!strstr(found, rest))
        fail("status shows %s", found);
}

static bool add_row(void *arg, json_t *row)
{
    char *text = row ? json_dumps(row, JSON_COMPACT) : NULL;
    char *found = arg;
    size_t n = strlen(found);

    snprintf(found + n, EXPLAINED - n, "%s", text ? text : "");
    free(text);
    json_decref(row);
    return true;
}

/* What `sallyport explain` says of the party's last call. */
static void step_explain_has(char **word, const char *rest)
{
    static char found[EXPLAINED];

    found[0] = 0;
    security_explain(P.w, str_z(P.dialog[party_index(party(word[1]))].call_id), add_row, found);
    if (!strstr(found, rest))
        fail("it is explained by %s", found);
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
        {"loops", EC_LOOPS}, {"emergency", EC_EMERGENCY}, {"strays", EC_STRAYS}, {"identity-valid", EC_IDENTITY_VALID},
        {"identity-broken", EC_IDENTITY_BROKEN}, {"identity-contradicted", EC_IDENTITY_CONTRADICTED},
        {"identity-signed", EC_IDENTITY_SIGNED}, {"identity-unsigned", EC_IDENTITY_UNSIGNED}, {"forwarded", EC_FORWARDED},
        {"level-attacked", EC_LEVEL_ATTACKED}, {"level-open", EC_LEVEL_OPEN}, {"level-protected", EC_LEVEL_PROTECTED},
        {"smime-names", EC_SMIME_NAMES}, {"smime-signed", EC_SMIME_SIGNED}, {"smime-encrypted", EC_SMIME_ENCRYPTED},
        {"smime-unverifiable", EC_SMIME_UNVERIFIABLE}, {"smime-stale", EC_SMIME_STALE}, {"smime-broken", EC_SMIME_BROKEN},
        {"smime-contradicted", EC_SMIME_CONTRADICTED}, {"level-secure", EC_LEVEL_SECURE}, {"level-end-to-end", EC_LEVEL_END_TO_END}, {"attacks", EC_ATTACKS}, {"status-refused", EC_STATUS_REFUSED}};
    size_t i;

    if (n < 3)
        fail("counter NAME VALUE");
    if (strcmp(word[1], "clock-sets") == 0) {
        if (P.edge.clock_sets != strtoul(word[2], NULL, 10))
            fail("the clock was seen to be set %u times", P.edge.clock_sets);
        return;
    }
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

/* ---- the file ---- */

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
    else if (strcmp(word[0], "wall") == 0 && n == 2)
        step_wall(word[1]);
    else if (strcmp(word[0], "lose") == 0 && n == 3)
        party(word[2])->lose = (unsigned)strtoul(word[1], NULL, 10);
    else if (strcmp(word[0], "close") == 0 && n == 2)
        sim_close(&P.sim, party(word[1]));
    else if (strcmp(word[0], "closed") == 0 && n == 2) {
        if (party(word[1])->flow)
            fail("the connection of %s is open", word[1]);
    } else if (strcmp(word[0], "quiet") == 0 && n == 2) {
        char text[16384];

        if (take(party(word[1]), text, sizeof text))
            fail("%s received \"%s\", expected nothing", word[1], first_line(text));
    } else if (strcmp(word[0], "flush") == 0 && n == 2) {
        char text[16384];

        while (take(party(word[1]), text, sizeof text))
            ;
    } else if ((strcmp(word[0], "call-has") == 0 || strcmp(word[0], "call-lacks") == 0) && n >= 3) {
        char copy[4096];

        expand(copy, sizeof copy, line);
        step_call_has(word, strchr(strchr(copy, ' ') + 1, ' ') + 1, strcmp(word[0], "call-has") == 0);
    } else if (strcmp(word[0], "explain-has") == 0 && n >= 3) {
        char copy[4096];

        expand(copy, sizeof copy, line);
        step_explain_has(word, strchr(strchr(copy, ' ') + 1, ' ') + 1);
    } else if (strcmp(word[0], "peer-has") == 0 && n >= 3) {
        char copy[4096];

        expand(copy, sizeof copy, line);
        step_peer_has(word, strchr(strchr(copy, ' ') + 1, ' ') + 1);
    } else if (strcmp(word[0], "counter") == 0)
        step_counter(word, n);
    else if (strcmp(word[0], "media") == 0)
        step_media(word, n);
    else if (strcmp(word[0], "ice-check") == 0)
        step_ice_check(word, n);
    else if (strcmp(word[0], "media-later") == 0 && n == 2)
        step_media_later(word[1]);
    else if (strcmp(word[0], "credential") == 0)
        step_credential(word, n);
    else if (strcmp(word[0], "smime-user") == 0)
        step_smime_user(word, n);
    else if (strcmp(word[0], "smime") == 0)
        step_smime(word, n);
    else if (strcmp(word[0], "date") == 0)
        step_date(word, n);
    else if (strcmp(word[0], "next-call") == 0)
        step_next_call(word, n);
    else if (strcmp(word[0], "own") == 0)
        step_own(word, n);
    else if (strcmp(word[0], "signer") == 0)
        step_signer(word, n);
    else if (strcmp(word[0], "passport") == 0)
        step_passport(word, n);
    else if (strcmp(word[0], "rfc4474") == 0)
        step_rfc4474(word, n, end);
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

/* "repeat N" to "again": these lines N times. */
static void repeat_lines(void)
{
    unsigned from = P.n_lines - 1, n;

    while (from > 0 && strncmp(P.lines[from - 1], "repeat ", 7) != 0)
        from--;
    free(P.lines[--P.n_lines]); /* "again" */
    if (from == 0 || (n = (unsigned)strtoul(P.lines[from - 1] + 7, NULL, 10)) == 0) {
        fprintf(stderr, "%s: \"again\" without \"repeat\"\n", P.file);
        exit(2);
    }
    P.lines[from - 1][0] = 0;
    for (unsigned end = P.n_lines; n > 1; n--)
        for (unsigned i = from; i < end && P.n_lines < LINES_MAX; i++)
            P.lines[P.n_lines++] = strdup(P.lines[i]);
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
    static const char *const verbs[] = {"config", "user ", "party ", "dns ", "set ", "credential ", "own ", "smime-user "};
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

static void settle_for(uint64_t ms)
{
    char text[16384];
    unsigned i;

    identity_signer_on();
    sim_advance(&P.sim, ms);
    for (i = 0; i < ARRAY_LEN(P.scratch); i++)
        if (P.scratch[i])
            scratch_free(P.scratch[i]);
    for (i = 0; i < P.sim.n_parties; i++)
        while (take(&P.sim.party[i], text, sizeof text))
            ;
    identity_none_left();
}

static bool is_under_way(struct sip_txl_stats *ret)
{
    sip_txl_stats(P.w->txl, ret);
    return ret->stx_now || ret->ctx_now || !list_is_empty(&P.w->proxies) || !list_is_empty(&P.w->acks);
}

/* Whatever is still under way comes to its end; then nothing may be left of it. Calls that a run before has left may just end by their
 * own time. */
static void settle(unsigned n)
{
    struct sip_txl_stats st;
    struct relay_stats rs = {0};

    settle_for(400000);
    if (is_under_way(&st))
        settle_for(100000);
    if (P.edge.relay)
        relay_stats(P.edge.relay, &rs);
    if (rs.calls) { /* what nobody ends any more ends with its media (TR/100 6.2) */
        step_media_later("1000s");
        settle_for(100000);
        relay_stats(P.edge.relay, &rs);
    }
    if (rs.calls || rs.ports_used) {
        fprintf(stderr, "%s: with allocation %u failing, %llu calls and %llu ports of the media plane are left\n", P.file, n,
                (unsigned long long)rs.calls, (unsigned long long)rs.ports_used);
        exit(1);
    }
    if (is_under_way(&st)) {
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
        if (strcmp(line, "again") == 0)
            repeat_lines();
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

/* sallyport run: the daemon. The main thread starts the edge, then serves signals, the control socket, metrics and changed
 * certificate files from one loop until it is told to stop. Everything it says goes to the log. */
#include "base/log.h"
#include "base/mem.h"
#include "cli/cli.h"
#include "cli/run_priv.h"
#include "console/console.h"
#include "edge/edge.h"
#include "keeper/confine.h"
#include "keeper/link.h"
#include "net/xfrm.h"
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <linux/capability.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include <uv.h>

#define GRACE_MS 5000u      /* for what is under way when the daemon is told to stop */
#define WATCH_MS 2000u      /* between two looks at certificate files */
#define WARN_MS (12u * 3600 * 1000) /* between two warnings of certificates that end soon */
#define NEEDS_RESTART_MAX 32

struct daemon {
    const char *file;
    struct config *cfg;     /* in force */
    struct config *started; /* with which the process started: what cannot be reloaded is still this */
    struct edge *edge;
    struct console *console;
    struct keeper_link *keeper; /* NULL: no identities */
    bool is_root; /* at the start */
    const struct net_xfrm *ipsec; /* what the kernel said last, and when; NULL: nothing */
    uint64_t ipsec_s;
    uv_loop_t loop;
    uv_signal_t hup, term, interrupt;
    uv_timer_t watch, warn;
    uv_poll_t keeper_news;
    uint64_t files_loaded, files_seen; /* watch_files: of the last reload, of the last look */
};

/* Only where somebody says that IPsec protects a hop (TR/100 7.2.2). Afterwards we mostly may not: then what was seen stays, with its time. */
static void look_at_ipsec(struct daemon *d)
{
    static struct net_xfrm now, seen;
    struct reason why = {0};
    bool is_asked = false;
    size_t i;

    for (i = 0; i < d->cfg->n_peers; i++)
        is_asked |= d->cfg->peers[i].protected_by == CONFIG_PROTECTED_IPSEC;
    if (is_asked && net_xfrm_read(&now, &why) == 0) {
        seen = now;
        d->ipsec = &seen;
        d->ipsec_s = (uint64_t)time(NULL);
    }
    if (d->edge)
        edge_check_protection(d->edge, d->ipsec, d->ipsec_s);
}

/* ---- reload ---- */

struct reload {
    json_t *problems, *restart;
    unsigned n_problems;
};

static void on_problem(void *arg, struct str line)
{
    struct reload *r = arg;

    LOG(LOG_ERROR, "configuration-problem", LS("problem", line));
    r->n_problems++;
    (void)json_array_append_new(r->problems, json_stringn(line.p, line.n));
}

static void note_restart(struct daemon *d, const struct config *cfg, struct reload *r)
{
    struct str names[NEEDS_RESTART_MAX];
    size_t i, n = config_not_reloadable(d->started, cfg, names, ARRAY_LEN(names));

    for (i = 0; i < n; i++) {
        LOG(LOG_WARN, "restart-needed", LS("option", names[i]));
        (void)json_array_append_new(r->restart, json_stringn(names[i].p, names[i].n));
    }
}

/* The keeper reads the file itself. One that does not answer has failed; without one there is nothing to be done: a new one will read what is in force then. */
static bool reload_keeper(struct daemon *d, const struct config *cfg, struct reload *r)
{
    struct reason why = {0};
    int err;

    if (!d->keeper) {
        if (cfg->tls_keys == CONFIG_TLS_KEYS_KEEPER) { /* no handshake could be made */
            LOG(LOG_ERROR, "restart-needed", LZ("option", "tls-keys"));
            (void)json_array_append_new(r->problems, json_string("tls-keys = keeper needs a restart: there is no keeper"));
            return false;
        }
        if (!cfg->n_identities)
            return true;
        LOG(LOG_WARN, "restart-needed", LZ("option", "identity"));
        (void)json_array_append_new(r->restart, json_string("identity"));
        return true;
    }
    err = keeper_link_reload(d->keeper, &why);
    if (err == 0)
        return true;
    log_reason(LOG_ERROR, "keeper-reload", &why, NULL, 0);
    if (err == ERR_CLOSED)
        return true;
    (void)json_array_append_new(r->problems, json_string(why.detail[0] ? why.detail : why.code));
    return false;
}

/* All or nothing: what can fail comes first, the keeper's all or nothing last of it. What happened is in the log and in *r. */
static bool daemon_reload(struct daemon *d, struct reload *r)
{
    struct reason why = {0};
    struct edge_change *change;
    struct config *cfg;

    d->files_loaded = d->files_seen = watch_files(d->cfg);
    if (config_load(d->file, on_problem, r, &cfg) != 0) {
        LOG(LOG_ERROR, "reload-refused", LZ("file", d->file), LU("problems", r->n_problems),
            LZ("effect", "the old configuration stays in force"));
        return false;
    }
    if (edge_reload_prepare(d->edge, cfg, &change, &why) != 0) {
        const struct log_field more[] = {LZ("effect", "the old configuration stays in force")};

        log_reason(LOG_ERROR, "reload-refused", &why, more, ARRAY_LEN(more));
        (void)json_array_append_new(r->problems, json_string(why.detail[0] ? why.detail : why.code));
        config_unref(cfg);
        return false;
    }
    if (!reload_keeper(d, cfg, r)) {
        LOG(LOG_ERROR, "reload-refused", LZ("file", d->file), LZ("effect", "the old configuration stays in force"));
        edge_reload_discard(change);
        config_unref(cfg);
        return false;
    }
    edge_reload_commit(change);
    note_restart(d, cfg, r);
    config_unref(d->cfg);
    d->cfg = cfg;
    look_at_ipsec(d);
    d->files_loaded = d->files_seen = watch_files(cfg); /* it may name others now */
    LOG(LOG_NOTICE, "reloaded", LZ("file", d->file), LU("listeners", cfg->n_listens), LU("domains", cfg->n_domains),
        LU("peers", cfg->n_peers), LU("weakenings", cfg->n_allow));
    return true;
}

static char *reload_json(struct daemon *d)
{
    struct reload r = {.problems = json_array(), .restart = json_array()};
    bool done;
    json_t *root;
    char *text;

    notify_systemd("RELOADING=1");
    done = daemon_reload(d, &r);
    notify_systemd("READY=1");
    root = json_pack("{s:b, s:o, s:o}", "reloaded", done, "problems", r.problems, "restart_needed", r.restart);
    text = root ? json_dumps(root, JSON_COMPACT) : NULL;
    json_decref(root);
    return text;
}

/* ---- what the console asks ---- */

static char *on_status(void *daemon, struct str what)
{
    return edge_status_json(((struct daemon *)daemon)->edge, what);
}

static char *on_metrics(void *daemon)
{
    return edge_metrics_text(((struct daemon *)daemon)->edge);
}

static char *on_reload(void *daemon)
{
    return reload_json(daemon);
}

/* ---- events of the loop ---- */

static void on_hup(uv_signal_t *s, int signum)
{
    (void)signum;
    free(reload_json(s->data));
}

/* A certificate and its key are replaced one after the other: only what has not changed between two looks is loaded. */
static void on_watch(uv_timer_t *t)
{
    struct daemon *d = t->data;
    uint64_t now = watch_files(d->cfg);

    edge_certificates_tick(d->edge);
    if (now != d->files_loaded && now == d->files_seen) {
        LOG(LOG_NOTICE, "certificate-files-changed", LZ("file", d->file));
        free(reload_json(d));
        return;
    }
    d->files_seen = now;
}

static void on_warn(uv_timer_t *t)
{
    edge_certificates_warn(((struct daemon *)t->data)->edge);
}

static void on_keeper(uv_poll_t *poll, int status, int events)
{
    (void)status;
    (void)events;
    keeper_link_dispatch(((struct daemon *)poll->data)->keeper);
}

/* Closes everything that keeps the loop running. Signals get their defaults back: a second one ends the process at once. */
static void on_stop(uv_signal_t *s, int signum)
{
    struct daemon *d = s->data;

    LOG(LOG_NOTICE, "stopping", LZ("signal", signum == SIGINT ? "SIGINT" : "SIGTERM"), LU("grace_ms", GRACE_MS));
    notify_systemd("STOPPING=1");
    console_stop(d->console);
    d->console = NULL;
    uv_close((uv_handle_t *)&d->hup, NULL);
    uv_close((uv_handle_t *)&d->term, NULL);
    uv_close((uv_handle_t *)&d->interrupt, NULL);
    uv_close((uv_handle_t *)&d->watch, NULL);
    uv_close((uv_handle_t *)&d->warn, NULL);
    if (d->keeper)
        uv_close((uv_handle_t *)&d->keeper_news, NULL);
}

static void daemon_listen(struct daemon *d)
{
    struct console_args args = {
        .loop = &d->loop,
        .socket = d->cfg->control_socket.p,
        .metrics = d->cfg->has_metrics ? &d->cfg->metrics : NULL,
        .status = on_status,
        .metrics_text = on_metrics,
        .reload = on_reload,
        .arg = d,
    };
    struct reason why = {0};

    /* Calls matter more than their being shown: without a control socket (a read-only state folder) the edge runs on. */
    if (console_start(&args, &d->console, &why) != 0)
        log_reason(LOG_ERROR, "console-unavailable", &why, NULL, 0);
    (void)uv_signal_init(&d->loop, &d->hup);
    (void)uv_signal_init(&d->loop, &d->term);
    (void)uv_signal_init(&d->loop, &d->interrupt);
    (void)uv_timer_init(&d->loop, &d->watch);
    (void)uv_timer_init(&d->loop, &d->warn);
    d->hup.data = d->term.data = d->interrupt.data = d->watch.data = d->warn.data = d;
    (void)uv_signal_start(&d->hup, on_hup, SIGHUP);
    (void)uv_signal_start(&d->term, on_stop, SIGTERM);
    (void)uv_signal_start(&d->interrupt, on_stop, SIGINT);
    (void)uv_timer_start(&d->watch, on_watch, WATCH_MS, WATCH_MS);
    (void)uv_timer_start(&d->warn, on_warn, WARN_MS, WARN_MS);
    if (d->keeper && uv_poll_init(&d->loop, &d->keeper_news, keeper_link_fd(d->keeper)) == 0) {
        d->keeper_news.data = d;
        (void)uv_poll_start(&d->keeper_news, UV_READABLE, on_keeper);
    }
}

/* ---- the life of the process ---- */

/* One daemon a state folder: keys and control socket are its own; the store, which may be elsewhere, has a lock of its own
 * (store_claim). The lock goes with the process. */
static int state_lock(const struct config *cfg, int *ret_fd, struct reason *why)
{
    int fd;

    (void)mkdir(cfg->state_dir.p, 0700);
    fd = open(cfg->state_dir.p, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) {
        reason_set(why, "state-dir", NULL, 0, "state-dir %s: %s", cfg->state_dir.p, strerror(errno));
        return ERR_IO;
    }
    if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
        reason_set(why, "state-in-use", NULL, 0, "another sallyport runs with state-dir %s", cfg->state_dir.p);
        close(fd);
        return ERR_EXISTS;
    }
    *ret_fd = fd;
    return 0;
}

/* Connections are descriptors: as many as the system lets us have. */
static void raise_limits(void)
{
    struct rlimit r;

    if (getrlimit(RLIMIT_NOFILE, &r) == 0 && r.rlim_cur < r.rlim_max) {
        r.rlim_cur = r.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &r);
    }
}

/* Before anything else is opened, and while we may still become somebody else than the keeper is. */
static int keeper_start(struct daemon *d, struct reason *why)
{
    struct keeper_link_args args = {.config = d->file, .n_workers = edge_worker_count(d->cfg)};
    bool same = !d->is_root || !d->cfg->run_as.n || str_eq(d->cfg->run_as, d->cfg->keeper_run_as);

    if (!d->cfg->n_identities && d->cfg->tls_keys != CONFIG_TLS_KEYS_KEEPER)
        return 0;
    if (same)
        LOG(LOG_WARN, "keeper-not-apart", LZ("cause", "the daemon runs as the user who can read the keys"),
            LZ("cure", "start it as root with run-as"));
    return keeper_link_start(&args, &d->keeper, why);
}

/* A sanitizer looks for leaks with calls that nobody else needs. */
static enum confine_mode seccomp_mode(const struct config *cfg)
{
#ifdef SALLYPORT_SANITIZED
    if (cfg->seccomp == CONFINE_ENFORCE)
        return CONFINE_LOG;
#endif
    return (enum confine_mode)cfg->seccomp;
}

static int daemon_start(struct daemon *d, int *ret_lock, struct reason *why)
{
    int err;

    if ((err = keeper_start(d, why)) != 0 || (err = become_begin(d->cfg, why)) != 0 || (err = state_lock(d->cfg, ret_lock, why)) != 0)
        return err;
    d->files_loaded = d->files_seen = watch_files(d->cfg);
    if ((err = edge_start(d->cfg, &d->edge, why)) != 0)
        return err;
    if ((err = become_finish(d->cfg, why)) != 0) {
        edge_stop(d->edge, 0);
        return err;
    }
    if ((err = confine_calls(CONFINE_EDGE, seccomp_mode(d->cfg), why)) != 0) {
        edge_stop(d->edge, 0);
        return err;
    }
    edge_check_protection(d->edge, d->ipsec, d->ipsec_s);
    edge_set_keeper(d->edge, d->keeper);
    if (access(d->file, R_OK) != 0)
        LOG(LOG_WARN, "reload-impossible", LZ("file", d->file), LS("run-as", d->cfg->run_as), LZ("cause", strerror(errno)));
    return 0;
}

static int daemon_run(struct daemon *d)
{
    char text[CLI_LIMIT_TEXT];
    struct reason why = {0};
    int lock = -1, err = daemon_start(d, &lock, &why);

    if (err == 0) {
        daemon_listen(d);
        if (cli_descriptors_short(d->cfg, text))
            LOG(LOG_WARN, "descriptors-few", LZ("detail", text));
        LOG(LOG_NOTICE, "started", LZ("version", SALLYPORT_VERSION), LZ("file", d->file),
            LU("listeners", d->cfg->n_listens), LU("weakenings", d->cfg->n_allow));
        notify_systemd("READY=1");
        uv_run(&d->loop, UV_RUN_DEFAULT);
        edge_stop(d->edge, GRACE_MS);
        LOG(LOG_NOTICE, "stopped", LU("log_lines_lost", log_dropped()));
    } else {
        if (!why.code)
            reason_set(&why, "start-failed", NULL, 0, "%s", err_text(err));
        log_reason(LOG_ERROR, "start-failed", &why, NULL, 0);
    }
    keeper_link_stop(d->keeper);
    if (lock >= 0)
        close(lock);
    return err == 0 ? CLI_OK : CLI_FAILED;
}

/* For all threads that will be. What is left of root's powers until become_finish: to bind low ports, to become the user of run-as,
 * and files. A sanitizer must be able to look into its own process for leaks. */
static bool give_up(void)
{
    static const unsigned needed[] = {CAP_NET_BIND_SERVICE, CAP_SETUID, CAP_SETGID, CAP_CHOWN, CAP_FOWNER,
                                      CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH, CAP_KILL};
    struct reason why = {0};
    uint64_t keep = 0;
    size_t i;

    for (i = 0; i < ARRAY_LEN(needed); i++)
        keep |= UINT64_C(1) << needed[i];
#ifndef SALLYPORT_SANITIZED
    confine_memory();
#endif
    if (confine_capabilities(keep, &why) == 0)
        return true;
    cli_error_reason("capabilities", &why);
    return false;
}

int cli_run(int argc, char **argv)
{
    struct cli_options o = {.config = CLI_CONFIG_FILE};
    struct daemon d = {0};
    int status = CLI_FAILED;

    if (cli_options(argc, argv, NULL, &o) != CLI_OK)
        return CLI_USAGE;
    if (o.first != argc)
        return cli_usage(argv[0]);
    if (cli_config_load(o.config, &d.cfg) != CLI_OK)
        return CLI_FAILED;
    d.file = o.config;
    d.started = config_ref(d.cfg);
    umask(077);
    d.is_root = geteuid() == 0;
    look_at_ipsec(&d); /* while we may */
    if (!give_up())
        return CLI_FAILED;
    (void)signal(SIGPIPE, SIG_IGN);
    raise_limits();
    log_threshold = d.cfg->log_level;
    if (uv_loop_init(&d.loop) != 0 || log_start() != 0) {
        cli_error("out of memory");
    } else {
        status = daemon_run(&d);
        (void)uv_loop_close(&d.loop);
        log_stop();
    }
    config_unref(d.cfg);
    config_unref(d.started);
    return status;
}

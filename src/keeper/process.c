/* The keeper and its parent: process.h says who is who. */
#include "keeper/process.h"
#include "base/mem.h"
#include "base/secret.h"
#include "keeper/serve.h"
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define REQUEST_ARENA (1u << 20)
#define LOG_BYTES 65536u
#define LOG_WRITE 4096 /* PIPE_BUF: a pipe that polls as writable takes so much without waiting */
#define BACKOFF_MIN_MS 100
#define BACKOFF_MAX_MS 10000
#define STEADY_S 60 /* a keeper that lived so long is not in a loop of crashes */
#define COUNTS_S 60 /* between two lines of what handshakes had signed */

/* --- the keeper --- */

struct keeper {
    const struct keeper_process_args *args;
    struct keeper_serving serving;
    struct keeper_log log;
    int log_fd;
    uint64_t counted_s; /* when signatures for TLS were told last */
    bool has_tokens;
    size_t n_conns;
    int fds[KEEPER_CONNS_MAX];
    struct keeper_conn *conns[KEEPER_CONNS_MAX];
};

static void clock_read(struct keeper *k)
{
    struct timespec t;

    clock_gettime(CLOCK_REALTIME, &t);
    k->serving.now_s = (uint64_t)t.tv_sec;
    clock_gettime(CLOCK_MONOTONIC, &t);
    k->serving.now_ms = (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
    keeper_log_time(&k->log, k->serving.now_s);
}

/* Never waits for a reader that has stopped reading: lines are lost then, and counted. */
static void log_flush(struct keeper *k)
{
    size_t done = 0;

    if (k->log.lost && k->log.lines.cap - k->log.lines.n > 256) {
        sbuf_fmt(&k->log.lines, "{\"time\":\"%s\",\"event\":\"log-lost\",\"lines\":%llu}\n",
                 k->log.time, (unsigned long long)k->log.lost);
        k->log.lost = 0;
    }
    while (done < k->log.lines.n) {
        struct pollfd p = {.fd = k->log_fd, .events = POLLOUT};
        size_t n = k->log.lines.n - done;
        ssize_t w;

        if (poll(&p, 1, 0) != 1 || !(p.revents & POLLOUT))
            break;
        w = write(k->log_fd, k->log.lines.p + done, n > LOG_WRITE ? LOG_WRITE : n);
        if (w <= 0)
            break;
        done += (size_t)w;
    }
    memmove(k->log.lines.p, k->log.lines.p + done, k->log.lines.n - done);
    k->log.lines.n -= done;
}

static void log_event(struct keeper *k, const char *event, const struct reason *why, size_t n_keys)
{
    struct sbuf *b = &k->log.lines;

    if (b->cap - b->n < 1024) {
        k->log.lost++;
        return;
    }
    sbuf_fmt(b, "{\"time\":\"%s\",\"event\":\"%s\",\"keys\":%zu", k->log.time, event, n_keys);
    if (why && why->code) {
        sbuf_lit(b, ",\"detail\":");
        sbuf_json(b, str_z(why->detail));
    }
    sbuf_lit(b, "}\n");
}

static void log_count(void *arg, struct str name, uint64_t n_signed, uint64_t n_refused)
{
    struct keeper *k = arg;
    struct sbuf *b = &k->log.lines;

    if (b->cap - b->n < 1024) {
        k->log.lost++;
        return;
    }
    sbuf_fmt(b, "{\"time\":\"%s\",\"event\":\"tls-signed\",\"key\":", k->log.time);
    sbuf_json(b, name);
    sbuf_fmt(b, ",\"signed\":%llu,\"refused\":%llu}\n", (unsigned long long)n_signed,
             (unsigned long long)n_refused);
}

/* What is due of TLS keys; returns when the next is, in ms, or -1. */
static int tls_tick(struct keeper *k)
{
    struct keeper_tls_keys *tls = k->serving.tls;
    uint64_t next, left;

    if (!tls)
        return -1;
    next = keeper_tls_keys_tick(tls, k->serving.now_ms);
    if (k->serving.now_s - k->counted_s >= COUNTS_S && keeper_tls_counts(tls, log_count, k))
        k->counted_s = k->serving.now_s;
    left = 1000 * (COUNTS_S - (k->serving.now_s - k->counted_s));
    if (keeper_tls_counts(tls, NULL, NULL) && left < next)
        next = left;
    return next == UINT64_MAX ? -1 : (int)next;
}

static int keys_load(struct keeper *k, struct keeper_setup *ret, struct reason *why)
{
    struct keeper_keys *keys = NULL;
    struct keeper_tls_keys *tls = NULL;
    int err = k->args->load(k->args->arg, ret, why);

    if (err == 0 && k->serving.keys && ret->has_tokens && !k->has_tokens) {
        reason_set(why, "keeper-restart", NULL, 0,
                   "the first PKCS#11 key needs a restart: the keeper has given up what it needs");
        err = ERR_UNSUPPORTED;
    }
    if (err == 0)
        err = keeper_keys_new(ret->keys, ret->n_keys, &keys, why);
    if (err == 0 && ret->n_tls)
        err = keeper_tls_keys_new(ret->tls, ret->n_tls, ret->tls_rate, keys, &tls, why);
    if (err != 0) {
        keeper_keys_free(keys);
        return err;
    }
    if (k->serving.keys)
        keeper_keys_take_rates(keys, k->serving.keys);
    keeper_keys_free(k->serving.keys);
    k->serving.keys = keys;
    if (tls)
        keeper_tls_keys_follow(tls, k->serving.tls, k->serving.now_ms);
    else
        keeper_tls_keys_free(k->serving.tls);
    k->serving.tls = tls;
    return 0;
}

static void say_state(struct keeper *k, int err, const struct reason *why)
{
    struct keeper_conn *c = k->conns[k->n_conns - 1];
    struct sbuf out = {c->out, c->n_out, sizeof(c->out), false};
    const char *text = err == 0 ? "" : why->detail[0] ? why->detail : err_text(err);
    size_t n = (k->serving.keys ? keeper_keys_count(k->serving.keys) : 0) +
               (k->serving.tls ? keeper_tls_keys_count(k->serving.tls) : 0);

    keeper_frame_build(&out,
                       &(struct keeper_frame){.type = KEEPER_STATE,
                                              .id = n,
                                              .status = err == 0 ? KEEPER_DONE : KEEPER_FAILED,
                                              .body = str_z(text)});
    c->n_out = out.n;
    log_event(k, err == 0 ? "keys-loaded" : "keys-refused", err == 0 ? NULL : why, n);
}

/* false: this connection has ended. */
static bool conn_write(struct keeper *k, size_t i)
{
    struct keeper_conn *c = k->conns[i];

    while (c->n_written < c->n_out) {
        ssize_t n = send(k->fds[i], c->out + c->n_written, c->n_out - c->n_written,
                         MSG_NOSIGNAL | MSG_DONTWAIT);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return errno == EAGAIN;
        c->n_written += (size_t)n;
    }
    c->n_written = c->n_out = 0;
    return true;
}

static bool conn_read(struct keeper *k, size_t i)
{
    struct keeper_conn *c = k->conns[i];
    ssize_t n;

    if (c->n_in == sizeof(c->in)) /* answers do not go out: no more until they do */
        return true;
    n = recv(k->fds[i], c->in + c->n_in, sizeof(c->in) - c->n_in, MSG_DONTWAIT);
    if (n < 0)
        return errno == EAGAIN || errno == EINTR;
    c->n_in += (size_t)n;
    return n > 0;
}

/* false: the daemon has gone, or speaks something else. */
static bool conn_turn(struct keeper *k, size_t i, short events)
{
    struct keeper_conn *c = k->conns[i];

    if ((events & (POLLIN | POLLHUP | POLLERR)) && !conn_read(k, i))
        return false;
    if (c->n_out > 0 && !conn_write(k, i))
        return false;
    if (c->n_out == 0 && keeper_serve(&k->serving, c) != 0) {
        log_event(k, "malformed-frame", NULL, 0);
        return false;
    }
    if (k->serving.reload_asked) {
        struct keeper_setup setup;
        struct reason why = {.code = NULL};
        int err = keys_load(k, &setup, &why);

        for (; k->serving.reload_asked; k->serving.reload_asked--) /* each has its answer */
            say_state(k, err, &why);
    }
    return conn_write(k, i);
}

static void serve_all(struct keeper *k)
{
    struct pollfd p[KEEPER_CONNS_MAX];
    size_t i;

    for (;;) {
        int wait_ms = tls_tick(k);

        if (k->log.lines.n && (wait_ms < 0 || wait_ms > 200))
            wait_ms = 200;
        for (i = 0; i < k->n_conns; i++) {
            struct keeper_conn *c = k->conns[i];
            short want = c->n_in < sizeof(c->in) ? POLLIN : 0;

            if (c->is_behind && c->n_out == 0 && k->fds[i] >= 0)
                wait_ms = 0;
            p[i] = (struct pollfd){.fd = k->fds[i],
                                   .events = (short)(want | (c->n_out ? POLLOUT : 0))};
        }
        if (poll(p, (nfds_t)k->n_conns, wait_ms) < 0 && errno != EINTR)
            return;
        clock_read(k);
        for (i = 0; i < k->n_conns; i++) {
            bool is_behind = k->conns[i]->is_behind && k->fds[i] >= 0;

            if ((p[i].revents == 0 && !is_behind) || conn_turn(k, i, p[i].revents))
                continue;
            if (i == k->n_conns - 1) /* the main thread's: the daemon has ended */
                return;
            (void)close(k->fds[i]);
            k->fds[i] = -1;
        }
        log_flush(k);
    }
}

static int become(const char *name, struct reason *why)
{
    char text[4096];
    struct passwd pw, *found = NULL;

    if (!name || geteuid() != 0)
        return 0;
    if (getpwnam_r(name, &pw, text, sizeof(text), &found) != 0 || !found) {
        reason_set(why, "keeper-run-as", NULL, 0, "keeper-run-as: there is no user %s", name);
        return ERR_NOTFOUND;
    }
    if (initgroups(name, pw.pw_gid) != 0 || setresgid(pw.pw_gid, pw.pw_gid, pw.pw_gid) != 0 ||
        setresuid(pw.pw_uid, pw.pw_uid, pw.pw_uid) != 0) {
        reason_set(why, "keeper-run-as", NULL, 0, "keeper-run-as %s: %s", name, strerror(errno));
        return ERR_IO;
    }
    return 0;
}

static int log_open(struct keeper *k, const char *file, struct reason *why)
{
    k->log_fd = STDERR_FILENO;
    if (!file)
        return 0;
    k->log_fd = open(file, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (k->log_fd >= 0)
        return 0;
    reason_set(why, "keeper-log", NULL, 0, "keeper-log %s: %s", file, strerror(errno));
    return ERR_IO;
}

/* In this order: the user first, so that what can be read now can be read at a reload; what is
 * given up for good last. */
static int prepare(struct keeper *k, struct reason *why)
{
    struct keeper_setup setup = {.n_keys = 0};
    int err;

    confine_memory();
    clock_read(k);
    if ((err = k->args->load(k->args->arg, &setup, why)) != 0 ||
        (err = log_open(k, setup.log_file, why)) != 0 || (err = become(setup.run_as, why)) != 0 ||
        (err = confine_capabilities(0, why)) != 0)
        return err;
    confine_memory(); /* a change of user has made it dumpable again */
    if ((err = keys_load(k, &setup, why)) != 0)
        return err;
    k->has_tokens = setup.has_tokens;
    return confine_calls(setup.has_tokens ? CONFINE_KEEPER_TOKENS : CONFINE_KEEPER, setup.seccomp,
                         why);
}

static int keeper_run(const struct keeper_process_args *args, const int *fds)
{
    struct keeper *k = mem_zalloc(sizeof(*k));
    struct reason why = {.code = NULL};
    char *lines = mem_alloc(LOG_BYTES);
    int err;

    if (!k || !lines)
        return 1;
    k->args = args;
    k->n_conns = args->n_workers + 1;
    k->log.lines = sbuf_make(lines, LOG_BYTES);
    k->serving.log = &k->log;
    k->serving.arena = arena_new(65536, REQUEST_ARENA);
    for (size_t i = 0; i < k->n_conns; i++) {
        k->fds[i] = fds[i];
        k->conns[i] = mem_zalloc(sizeof(*k->conns[i]));
        if (!k->conns[i] || !k->serving.arena)
            return 1;
        k->conns[i]->worker = (unsigned)i;
        k->conns[i]->may_reload = i == k->n_conns - 1;
    }
    err = prepare(k, &why);
    say_state(k, err, &why);
    (void)conn_write(k, k->n_conns - 1);
    log_flush(k);
    if (err != 0)
        return 1;
    serve_all(k);
    clock_read(k);
    if (k->serving.tls)
        (void)keeper_tls_counts(k->serving.tls, log_count, k);
    log_event(k, "ended", NULL, 0);
    log_flush(k);
    keeper_tls_keys_free(k->serving.tls);
    keeper_keys_free(k->serving.keys);
    return 0;
}

/* --- its parent --- */

static int make_pairs(size_t n, int *ours, int *theirs)
{
    size_t i;

    for (i = 0; i < n; i++) {
        int pair[2];

        if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0)
            break;
        ours[i] = pair[0];
        theirs[i] = pair[1];
    }
    if (i == n)
        return 0;
    while (i-- > 0) {
        (void)close(ours[i]);
        (void)close(theirs[i]);
    }
    return ERR_IO;
}

static bool tell(const struct keeper_notice *notice, const int *fds, size_t n)
{
    union {
        struct cmsghdr head;
        char room[CMSG_SPACE(KEEPER_CONNS_MAX * sizeof(int))];
    } control = {.room = {0}};
    struct keeper_notice copy = *notice;
    struct iovec iov = {&copy, sizeof(copy)};
    struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1};

    if (n) {
        struct cmsghdr *c;

        m.msg_control = control.room;
        m.msg_controllen = CMSG_SPACE(n * sizeof(int));
        c = CMSG_FIRSTHDR(&m);
        *c = (struct cmsghdr){.cmsg_len = CMSG_LEN(n * sizeof(int)),
                              .cmsg_level = SOL_SOCKET,
                              .cmsg_type = SCM_RIGHTS};
        memcpy(CMSG_DATA(c), fds, n * sizeof(int));
    }
    return sendmsg(KEEPER_FD, &m, MSG_NOSIGNAL) == (ssize_t)sizeof(copy);
}

/* true: the child has ended, or `timeout_ms` have passed; false: the daemon has gone. */
static bool wait_for(int signals, int timeout_ms)
{
    struct pollfd p[2] = {{.fd = KEEPER_FD, .events = POLLIN}, {.fd = signals, .events = POLLIN}};
    struct signalfd_siginfo info;

    for (;;) {
        int n = poll(p, signals >= 0 ? 2 : 1, timeout_ms);

        if (n == 0)
            return true;
        if (n < 0 && errno != EINTR)
            return false;
        if (n > 0 && p[0].revents) /* nothing is ever sent to us: it is the end */
            return false;
        if (n > 0 && signals >= 0 && p[1].revents)
            return read(signals, &info, sizeof(info)) > 0;
    }
}

static pid_t start_keeper(const struct keeper_process_args *args, int signals)
{
    int ours[KEEPER_CONNS_MAX], theirs[KEEPER_CONNS_MAX];
    size_t n = args->n_workers + 1;
    pid_t pid;

    if (make_pairs(n, ours, theirs) != 0)
        return -1;
    pid = fork();
    if (pid == 0) {
        sigset_t none;

        sigemptyset(&none);
        (void)sigprocmask(SIG_SETMASK, &none, NULL);
        (void)close(KEEPER_FD);
        (void)close(signals);
        for (size_t i = 0; i < n; i++)
            (void)close(theirs[i]);
        _exit(keeper_run(args, ours));
    }
    if (pid > 0 && !tell(&(struct keeper_notice){KEEPER_VERSION, (int32_t)pid, 0}, theirs, n)) {
        (void)kill(pid, SIGKILL);
        (void)waitpid(pid, NULL, 0);
        pid = -1;
    }
    for (size_t i = 0; i < n; i++) {
        (void)close(ours[i]);
        (void)close(theirs[i]);
    }
    return pid;
}

static int64_t now_s(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec;
}

/* As the keepers, that is by what the configuration says now; what they do in the beginning this must allow. One that cannot be
 * read no keeper can read either, and the first one says so. */
static int confine_parent(const struct keeper_process_args *args)
{
    struct keeper_setup setup = {.n_keys = 0};
    struct reason why = {.code = NULL};

    if (args->load(args->arg, &setup, &why) != 0)
        return 0;
#ifdef SALLYPORT_SANITIZED /* which looks for leaks with calls that nobody else needs */
    if (setup.seccomp == CONFINE_ENFORCE)
        setup.seccomp = CONFINE_LOG;
#endif
    return confine_calls(CONFINE_KEEPER_PARENT, setup.seccomp, &why);
}

/* One keeper from its start to its end; false: the daemon has gone. */
static bool watch_keeper(const struct keeper_process_args *args, int signals, bool *ret_steady)
{
    int64_t began = now_s();
    pid_t pid = start_keeper(args, signals);
    int status = 0;

    *ret_steady = false;
    if (pid < 0)
        return wait_for(-1, 0);
    do {
        if (!wait_for(signals, -1)) {
            /* It sees the same end, and stops by itself; but it must not outlive us. */
            if (!wait_for(signals, 0))
                (void)usleep(50000);
            (void)kill(pid, SIGKILL);
            (void)waitpid(pid, NULL, 0);
            return false;
        }
    } while (waitpid(pid, &status, WNOHANG) != pid);
    *ret_steady = now_s() - began >= STEADY_S;
    return tell(&(struct keeper_notice){KEEPER_VERSION, 0, (int32_t)status}, NULL, 0);
}

int keeper_process_run(const struct keeper_process_args *args)
{
    int signals, backoff = BACKOFF_MIN_MS;
    struct stat st;
    sigset_t set;
    bool steady;

    if (args->n_workers + 1 > KEEPER_CONNS_MAX || fstat(KEEPER_FD, &st) != 0 ||
        !S_ISSOCK(st.st_mode))
        return ERR_INVALID;
    (void)fcntl(KEEPER_FD, F_SETFD, FD_CLOEXEC);
    confine_memory();
    /* What a terminal sends to all of its processes is the daemon's to answer. */
    (void)signal(SIGINT, SIG_IGN);
    (void)signal(SIGHUP, SIG_IGN);
    (void)signal(SIGTERM, SIG_IGN);
    (void)signal(SIGPIPE, SIG_IGN);
    sigemptyset(&set);
    sigaddset(&set, SIGCHLD);
    (void)sigprocmask(SIG_BLOCK, &set, NULL);
    signals = signalfd(-1, &set, SFD_CLOEXEC);
    if (signals < 0 || confine_parent(args) != 0)
        return ERR_IO;
    while (watch_keeper(args, signals, &steady)) {
        if (steady)
            backoff = BACKOFF_MIN_MS;
        if (!wait_for(-1, backoff))
            break;
        backoff = backoff * 2 > BACKOFF_MAX_MS ? BACKOFF_MAX_MS : backoff * 2;
    }
    return 0;
}

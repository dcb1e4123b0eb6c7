/* The daemon's end of the keeper; see link.h. */
#include "keeper/link.h"
#include "base/log.h"
#include "base/mem.h"
#include "keeper/frame.h"
#include "keeper/process.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define START_MS 10000
#define RELOAD_MS 5000

extern char **environ;

struct keeper_link {
    unsigned n_workers;
    int control; /* to the parent; -1: it has ended */
    int epoll;
    pid_t parent;
    int conn; /* to the keeper; -1: there is none */
    int fds[KEEPER_CONNS_MAX];
    keeper_attach_fn *attach;
    void *attach_arg;
    unsigned n_asked;  /* reloads that it has not answered yet, in their order */
    bool has_given_up; /* ... and nobody waits for any more */
    bool was_told; /* what it said about its keys, since somebody last waited for that */
    int told;
    struct reason told_why;
    size_t n_in;
    char in[4096];
    /* read by all threads */
    _Atomic bool is_up, is_lost;
    _Atomic int pid;
    _Atomic unsigned keys;
    _Atomic uint64_t ended;
};

static int64_t now_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static void close_fd(int *fd)
{
    if (*fd >= 0)
        (void)close(*fd);
    *fd = -1;
}

static void watch(struct keeper_link *l, int fd)
{
    struct epoll_event e = {.events = EPOLLIN, .data.fd = fd};

    (void)epoll_ctl(l->epoll, EPOLL_CTL_ADD, fd, &e);
}

static void forget_keeper(struct keeper_link *l)
{
    l->is_up = false;
    l->n_in = 0;
    l->n_asked = 0;
    l->has_given_up = false;
    close_fd(&l->conn);
    for (unsigned i = 0; i < l->n_workers; i++)
        close_fd(&l->fds[i]);
}

static void hand_out(struct keeper_link *l)
{
    for (unsigned i = 0; l->attach && l->is_up && i < l->n_workers; i++) {
        int fd = l->fds[i];

        l->fds[i] = -1;
        if (fd >= 0)
            l->attach(l->attach_arg, i, fd);
    }
}

/* --- what the parent says --- */

static bool read_notice(struct keeper_link *l, struct keeper_notice *ret, int *fds, size_t *ret_n)
{
    union {
        struct cmsghdr head;
        char room[CMSG_SPACE(KEEPER_CONNS_MAX * sizeof(int))];
    } control;
    struct iovec iov = {ret, sizeof(*ret)};
    struct msghdr m = {.msg_iov = &iov,
                       .msg_iovlen = 1,
                       .msg_control = control.room,
                       .msg_controllen = sizeof(control.room)};
    ssize_t n = recvmsg(l->control, &m, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);

    *ret_n = 0;
    if (n < 0)
        return errno == EAGAIN || errno == EINTR;
    for (struct cmsghdr *c = CMSG_FIRSTHDR(&m); c; c = CMSG_NXTHDR(&m, c)) {
        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
            continue;
        *ret_n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        memcpy(fds, CMSG_DATA(c), *ret_n * sizeof(int));
    }
    return n == (ssize_t)sizeof(*ret) && ret->version == KEEPER_VERSION;
}

static void keeper_is_new(struct keeper_link *l, int pid, const int *fds)
{
    forget_keeper(l);
    memcpy(l->fds, fds, l->n_workers * sizeof(int));
    l->conn = fds[l->n_workers];
    l->pid = pid;
    watch(l, l->conn);
}

static void keeper_has_ended(struct keeper_link *l, int status)
{
    l->ended++;
    l->pid = 0;
    forget_keeper(l);
    LOG(LOG_ERROR, "keeper-ended", LZ("how", WIFSIGNALED(status) ? "signal" : "exit"),
        LI("status", WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status)),
        LZ("effect", "nothing is signed until there is a new one"));
}

static void on_control(struct keeper_link *l)
{
    struct keeper_notice notice = {.version = 0};
    int fds[KEEPER_CONNS_MAX];
    size_t n;

    if (read_notice(l, &notice, fds, &n)) {
        if (notice.version == 0)
            return; /* nothing was there */
        if (notice.pid > 0 && n == l->n_workers + 1) {
            keeper_is_new(l, notice.pid, fds);
            return;
        }
        if (notice.pid == 0 && n == 0) {
            keeper_has_ended(l, notice.status);
            return;
        }
    }
    for (size_t i = 0; i < n; i++)
        (void)close(fds[i]);
    l->is_lost = true;
    close_fd(&l->control);
    LOG(LOG_ERROR, "keeper-lost",
        LZ("effect", l->is_up ? "the keeper goes on; there will be no other until the daemon is restarted"
                              : "nothing is signed until the daemon is restarted"));
}

/* --- what the keeper says --- */

static void on_state(struct keeper_link *l, const struct keeper_frame *f)
{
    bool is_late = l->has_given_up && l->n_asked == 1;

    l->was_told = true;
    l->n_asked -= l->n_asked > 0;
    if (is_late) {
        l->has_given_up = false;
        LOG(LOG_WARN, "keeper-reload-late", LZ("effect", "it has read the configuration after its reload counted as failed: reload again"));
    }
    l->told = f->status == KEEPER_DONE ? 0 : ERR_REFUSED;
    l->told_why = (struct reason){.code = NULL};
    if (l->told == 0) {
        l->keys = (unsigned)f->id;
        l->is_up = true;
        LOG(LOG_NOTICE, "keeper-ready", LI("pid", l->pid), LU("keys", f->id));
        hand_out(l);
        return;
    }
    reason_set(&l->told_why, "keeper-keys", NULL, 0, "%.*s", STR_FMT(f->body));
    log_reason(LOG_ERROR, "keeper-refused", &l->told_why, NULL, 0);
}

/* Why, its parent says, if there is one. */
static void conn_ended(struct keeper_link *l)
{
    forget_keeper(l);
    if (l->control >= 0)
        return;
    l->ended++;
    l->pid = 0;
    LOG(LOG_ERROR, "keeper-ended", LZ("how", "unknown"),
        LZ("effect", "nothing is signed until the daemon is restarted"));
}

static void on_conn(struct keeper_link *l)
{
    ssize_t got = recv(l->conn, l->in + l->n_in, sizeof(l->in) - l->n_in, MSG_DONTWAIT);
    size_t done = 0, n;
    int err = 0;

    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (got <= 0) {
        conn_ended(l);
        return;
    }
    l->n_in += (size_t)got;
    while (err == 0) {
        struct keeper_frame f;

        err = keeper_frame_parse(str_make(l->in + done, l->n_in - done), &f, &n);
        if (err != 0)
            break;
        if (f.type == KEEPER_STATE)
            on_state(l, &f);
        done += n;
    }
    memmove(l->in, l->in + done, l->n_in - done);
    l->n_in -= done;
    if (err != ERR_AGAIN || l->n_in == sizeof(l->in))
        conn_ended(l);
}

void keeper_link_dispatch(struct keeper_link *l)
{
    struct epoll_event e[2];
    int n = epoll_wait(l->epoll, e, 2, 0);

    /* What a keeper said before it ended comes before the news of its end. */
    for (int i = 0; i < n; i++)
        if (e[i].data.fd == l->conn && l->conn >= 0)
            on_conn(l);
    for (int i = 0; i < n; i++)
        if (e[i].data.fd == l->control && l->control >= 0)
            on_control(l);
}

/* Until it has said something about its keys, or the time is over. */
static int wait_told(struct keeper_link *l, int timeout_ms)
{
    int64_t end = now_ms() + timeout_ms, left;

    while ((!l->was_told || l->n_asked) && (l->control >= 0 || l->conn >= 0) && (left = end - now_ms()) > 0) {
        struct pollfd p = {.fd = l->epoll, .events = POLLIN};

        (void)poll(&p, 1, (int)left);
        keeper_link_dispatch(l);
    }
    if (l->was_told && !l->n_asked)
        return l->told;
    return l->control >= 0 || l->conn >= 0 ? ERR_TIMEOUT : ERR_CLOSED;
}

/* --- its life --- */

static int spawn(struct keeper_link *l, const struct keeper_link_args *args, int fd,
                 struct reason *why)
{
    char workers[16], name[] = "sallyport", command[] = "keeper", dash_c[] = "-c";
    char *config = mem_alloc(strlen(args->config) + 1);
    char *argv[] = {name, command, dash_c, config, workers, NULL};
    posix_spawn_file_actions_t actions;
    int err;

    if (!config)
        return ERR_NOMEM;
    memcpy(config, args->config, strlen(args->config) + 1);
    (void)snprintf(workers, sizeof(workers), "%u", args->n_workers);
    posix_spawn_file_actions_init(&actions);
    err = posix_spawn_file_actions_adddup2(&actions, fd, KEEPER_FD);
    if (err == 0)
        err = posix_spawn(&l->parent, args->program ? args->program : "/proc/self/exe", &actions,
                          NULL, argv, environ);
    posix_spawn_file_actions_destroy(&actions);
    mem_free(config);
    if (err == 0)
        return 0;
    reason_set(why, "keeper-start", NULL, 0, "the keeper cannot be started: %s", strerror(err));
    return ERR_IO;
}

int keeper_link_start(const struct keeper_link_args *args, struct keeper_link **ret,
                      struct reason *why)
{
    struct keeper_link *l = mem_zalloc(sizeof(*l));
    int pair[2], err = ERR_NOMEM;

    *ret = NULL;
    if (!l || args->n_workers + 1 > KEEPER_CONNS_MAX) {
        mem_free(l);
        return l ? ERR_INVALID : ERR_NOMEM;
    }
    l->n_workers = args->n_workers;
    l->control = l->epoll = l->conn = -1;
    l->parent = -1;
    for (size_t i = 0; i < ARRAY_LEN(l->fds); i++)
        l->fds[i] = -1;
    l->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (l->epoll < 0 || socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0) {
        reason_set(why, "keeper-start", NULL, 0, "%s", strerror(errno));
        keeper_link_stop(l);
        return ERR_IO;
    }
    l->control = pair[0];
    watch(l, l->control);
    err = spawn(l, args, pair[1], why);
    (void)close(pair[1]);
    if (err == 0 && (err = wait_told(l, START_MS)) != 0) {
        if (l->was_told && why)
            *why = l->told_why;
        else
            reason_set(why, "keeper-start", NULL, 0, "the keeper has not started: %s",
                       err_text(err));
    }
    if (err != 0) {
        keeper_link_stop(l);
        return err;
    }
    *ret = l;
    return 0;
}

void keeper_link_stop(struct keeper_link *l)
{
    if (!l)
        return;
    l->attach = NULL;
    forget_keeper(l);
    close_fd(&l->control); /* the parent sees it, and ends with its child */
    close_fd(&l->epoll);
    if (l->parent > 0)
        (void)waitpid(l->parent, NULL, 0);
    mem_free(l);
}

int keeper_link_fd(const struct keeper_link *l)
{
    return l->epoll;
}

void keeper_link_attach(struct keeper_link *l, keeper_attach_fn *fn, void *arg)
{
    l->attach = fn;
    l->attach_arg = arg;
    hand_out(l);
}

int keeper_link_reload(struct keeper_link *l, struct reason *why)
{
    char head[KEEPER_HEAD];
    struct sbuf b = sbuf_make(head, sizeof(head));
    int err;

    keeper_frame_build(&b, &(struct keeper_frame){.type = KEEPER_RELOAD});
    if (l->conn < 0 || !l->is_up ||
        send(l->conn, b.p, b.n, MSG_NOSIGNAL | MSG_DONTWAIT) != (ssize_t)b.n) {
        reason_set(why, "keeper-down", NULL, 0, "there is no keeper at the moment");
        return ERR_CLOSED;
    }
    l->was_told = l->has_given_up = false;
    l->n_asked++;
    err = wait_told(l, RELOAD_MS);
    l->has_given_up = err == ERR_TIMEOUT && l->n_asked > 0;
    if (err == ERR_REFUSED && why)
        *why = l->told_why;
    else if (err != 0)
        reason_set(why, "keeper-reload", NULL, 0, "the keeper did not answer: %s", err_text(err));
    return err;
}

void keeper_link_stats(const struct keeper_link *l, struct keeper_link_stats *ret)
{
    *ret = (struct keeper_link_stats){
        .is_up = l->is_up, .is_lost = l->is_lost, .pid = l->pid, .keys = l->keys, .ended = l->ended};
}

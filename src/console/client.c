/* The command's side of the control socket: one question, one answer, bounded in time and size. Blocking; any process. */
#include "base/err.h"
#include "base/mem.h"
#include "console/console.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define ANSWER_MAX (64u << 20)
#define ANSWER_FIRST (64u << 10)

static int failed(const char *path, struct reason *why)
{
    int e = errno;

    if (e == EAGAIN) {
        reason_set(why, "control-timeout", NULL, 0, "%s: no answer within %u seconds", path, CONSOLE_IDLE_MS / 1000);
        return ERR_TIMEOUT;
    }
    reason_set(why, "control-socket", NULL, 0, "%s: %s", path, strerror(e));
    return e == ENOENT || e == ECONNREFUSED ? ERR_CLOSED : ERR_IO;
}

static int dial(const char *path, int *ret_fd, struct reason *why)
{
    struct timeval tv = {.tv_sec = CONSOLE_IDLE_MS / 1000};
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    int fd, err;

    if (str_copy_z(a.sun_path, sizeof a.sun_path, str_z(path)) != 0) {
        reason_set(why, "control-socket", NULL, 0, "%s: the path is too long", path);
        return ERR_LIMIT;
    }
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return failed(path, why);
    if (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof tv) != 0 ||
        setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof tv) != 0 ||
        connect(fd, (const struct sockaddr *)&a, sizeof a) != 0) {
        err = failed(path, why);
        close(fd);
        return err;
    }
    *ret_fd = fd;
    return 0;
}

static int send_all(int fd, const char *p, size_t n)
{
    while (n) {
        ssize_t k = send(fd, p, n, MSG_NOSIGNAL);

        if (k < 0 && errno == EINTR)
            continue;
        if (k <= 0)
            return ERR_IO;
        p += k;
        n -= (size_t)k;
    }
    return 0;
}

/* Up to the first newline, which becomes the end. */
static int read_line(int fd, const char *path, char **ret, struct reason *why)
{
    size_t n = 0, cap = ANSWER_FIRST;
    char *text = mem_alloc(cap), *more;
    ssize_t k;
    int err = ERR_NOMEM;

    while (text) {
        if (n == cap) {
            if (cap >= ANSWER_MAX || (more = mem_realloc(text, cap * 2)) == NULL)
                break;
            text = more;
            cap *= 2;
        }
        k = read(fd, text + n, cap - n);
        if (k < 0 && errno == EINTR)
            continue;
        if (k <= 0) {
            if (k == 0)
                errno = ECONNRESET;
            err = failed(path, why);
            break;
        }
        n += (size_t)k;
        if (text[n - 1] == '\n') {
            text[n - 1] = 0;
            *ret = text;
            return 0;
        }
    }
    mem_free(text);
    return err;
}

int console_ask(const char *socket, struct str line, char **ret, struct reason *why)
{
    int fd, err;

    if (line.n >= CONSOLE_LINE_MAX || memchr(line.p, '\n', line.n)) {
        reason_set(why, "control-line", NULL, 0, "the request is too long");
        return ERR_LIMIT;
    }
    if ((err = dial(socket, &fd, why)) != 0)
        return err;
    if (send_all(fd, line.p, line.n) != 0 || send_all(fd, "\n", 1) != 0)
        err = failed(socket, why);
    else
        err = read_line(fd, socket, ret, why);
    close(fd);
    return err;
}

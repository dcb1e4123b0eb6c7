/* The control socket (console.h). Owner of a client: the console's list; a client is freed by the loop when both of its handles are
 * closed. Main thread. */
#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"
#include "console/console_priv.h"
#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

struct client {
    struct list node;
    struct console *c;
    uv_pipe_t pipe;
    uv_timer_t timer;
    uv_write_t write;
    char in[CONSOLE_LINE_MAX];
    size_t n;
    char *out; /* being written */
    unsigned n_open;
    bool is_closing;
};

static void client_read(struct client *cl);
static void client_lines(struct client *cl);

/* ---- the end of things ---- */

void console_handle_closed(struct console *c)
{
    if (--c->n_handles == 0 && c->is_stopping)
        mem_free(c);
}

static void on_client_closed(uv_handle_t *h)
{
    struct client *cl = h->data;

    if (--cl->n_open > 0)
        return;
    free(cl->out);
    console_handle_closed(cl->c);
    mem_free(cl);
}

static void client_close(struct client *cl)
{
    if (cl->is_closing)
        return;
    cl->is_closing = true;
    list_remove(&cl->node);
    cl->c->n_clients--;
    uv_close((uv_handle_t *)&cl->pipe, on_client_closed);
    uv_close((uv_handle_t *)&cl->timer, on_client_closed);
}

static void on_idle(uv_timer_t *t)
{
    client_close(t->data);
}

/* ---- answers ---- */

static void on_written(uv_write_t *w, int status)
{
    struct client *cl = w->data;

    free(cl->out);
    cl->out = NULL;
    if (status != 0) {
        client_close(cl);
        return;
    }
    client_lines(cl);
}

static void client_answer(struct client *cl, char *text)
{
    static char newline[] = "\n", no_memory[] = "{\"error\":\"out of memory\"}";
    uv_buf_t v[2];

    cl->out = text;
    v[0] = text ? uv_buf_init(text, (unsigned)strlen(text)) : uv_buf_init(no_memory, sizeof no_memory - 1);
    v[1] = uv_buf_init(newline, 1);
    cl->write.data = cl;
    uv_timer_start(&cl->timer, on_idle, CONSOLE_IDLE_MS, 0);
    if (uv_write(&cl->write, (uv_stream_t *)&cl->pipe, v, 2, on_written) != 0)
        client_close(cl);
}

static char *copy_of(const char *text)
{
    size_t n = strlen(text) + 1;
    char *copy = mem_alloc(n);

    if (copy)
        memcpy(copy, text, n);
    return copy;
}

static char *answer_to(struct console *c, struct str line)
{
    struct str word, rest = str_cut(str_trim(line), ' ', &word);

    if (str_eq(word, STR("status")))
        return c->args.status(c->args.arg, str_trim(rest));
    if (str_eq(word, STR("reload")) && !str_trim(rest).n)
        return c->args.reload(c->args.arg);
    return copy_of("{\"error\":\"there is no such command\"}");
}

/* ---- lines ---- */

/* Answers the first whole line, if there is one; the next follows when the answer is written. */
static void client_lines(struct client *cl)
{
    struct str line, rest;
    char *text;

    if (cl->is_closing)
        return;
    rest = str_cut(str_make(cl->in, cl->n), '\n', &line);
    if (!rest.p) {
        if (cl->n == sizeof cl->in)
            client_close(cl);
        else
            client_read(cl);
        return;
    }
    text = answer_to(cl->c, line);
    cl->n = rest.n;
    memmove(cl->in, rest.p, rest.n);
    client_answer(cl, text);
}

static void on_alloc(uv_handle_t *h, size_t suggested, uv_buf_t *buf)
{
    struct client *cl = h->data;

    (void)suggested;
    *buf = uv_buf_init(cl->in + cl->n, (unsigned)(sizeof cl->in - cl->n));
}

static void on_read(uv_stream_t *s, ssize_t n, const uv_buf_t *buf)
{
    struct client *cl = s->data;

    (void)buf;
    if (n < 0) {
        client_close(cl);
        return;
    }
    if (n == 0)
        return;
    cl->n += (size_t)n;
    uv_read_stop(s);
    client_lines(cl);
}

static void client_read(struct client *cl)
{
    uv_timer_start(&cl->timer, on_idle, CONSOLE_IDLE_MS, 0);
    if (uv_read_start((uv_stream_t *)&cl->pipe, on_alloc, on_read) != 0)
        client_close(cl);
}

/* ---- clients ---- */

static void on_connection(uv_stream_t *listener, int status)
{
    struct console *c = listener->data;
    struct client *cl;

    if (status != 0 || (cl = mem_zalloc(sizeof *cl)) == NULL)
        return;
    cl->c = c;
    list_append(&c->clients, &cl->node);
    c->n_clients++;
    c->n_handles++;
    cl->n_open = 2;
    (void)uv_timer_init(c->args.loop, &cl->timer);
    (void)uv_pipe_init(c->args.loop, &cl->pipe, 0);
    cl->timer.data = cl->pipe.data = cl;
    if (uv_accept(listener, (uv_stream_t *)&cl->pipe) != 0 || c->n_clients > CONSOLE_CLIENTS)
        client_close(cl);
    else
        client_read(cl);
}

/* ---- start and stop ---- */

/* A bound socket of mode 0600; what a daemon that was killed left there is removed. */
static int socket_bind(const char *path, int *ret_fd, struct reason *why)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    struct stat st;
    mode_t mask;
    int fd, err;

    if (str_copy_z(a.sun_path, sizeof a.sun_path, str_z(path)) != 0) {
        reason_set(why, "control-socket", NULL, 0, "%s: the path of a socket has at most %zu bytes", path,
                   sizeof a.sun_path - 1);
        return ERR_LIMIT;
    }
    if (lstat(path, &st) == 0 && S_ISSOCK(st.st_mode))
        (void)unlink(path);
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    mask = umask(0177);
    err = fd < 0 || bind(fd, (const struct sockaddr *)&a, sizeof a) != 0 ? errno : 0;
    umask(mask);
    if (err) {
        reason_set(why, "control-socket", NULL, 0, "%s: %s", path, strerror(err));
        if (fd >= 0)
            close(fd);
        return ERR_IO;
    }
    *ret_fd = fd;
    return 0;
}

static void on_listener_closed(uv_handle_t *h)
{
    console_handle_closed(h->data);
}

int console_start(const struct console_args *args, struct console **ret, struct reason *why)
{
    struct console *c = mem_zalloc(sizeof *c);
    int fd, err;

    if (!c)
        return ERR_NOMEM;
    c->args = *args;
    list_init(&c->clients);
    if ((err = socket_bind(args->socket, &fd, why)) != 0) {
        mem_free(c);
        return err;
    }
    if ((err = str_copy_z(c->socket, sizeof c->socket, str_z(args->socket))) != 0) { /* cannot be: it is bound */
        close(fd);
        mem_free(c);
        return err;
    }
    (void)uv_pipe_init(args->loop, &c->listener, 0);
    c->n_handles = 1;
    c->is_listening = true;
    c->listener.data = c;
    if ((err = uv_pipe_open(&c->listener, fd)) != 0 ||
        (err = uv_listen((uv_stream_t *)&c->listener, CONSOLE_CLIENTS, on_connection)) != 0) {
        reason_set(why, "control-socket", NULL, 0, "%s: %s", args->socket, uv_strerror(err));
        console_stop(c);
        return ERR_IO;
    }
    if (args->metrics && (err = metrics_start(c, args->metrics, &c->metrics, why)) != 0) {
        console_stop(c);
        return err;
    }
    *ret = c;
    return 0;
}

void console_stop(struct console *c)
{
    if (!c || c->is_stopping)
        return;
    c->is_stopping = true;
    LIST_EACH (cl, &c->clients, struct client, node)
        client_close(cl);
    metrics_stop(c->metrics);
    c->metrics = NULL;
    (void)unlink(c->socket);
    uv_close((uv_handle_t *)&c->listener, on_listener_closed);
}

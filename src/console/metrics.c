/* GET /metrics (console.h): libmicrohttpd without a thread of its own; its epoll descriptor is watched by the main loop. Whoever
 * asks often gets the text of the last second, so that workers are not asked more often than that. Main thread. */
#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"
#include "console/console_priv.h"
#include <microhttpd.h>
#include <stdlib.h>

#define METRICS_CLIENTS 32u
#define METRICS_CLIENTS_SOURCE 8u
#define METRICS_IDLE_S 10u
#define METRICS_REQUEST_BYTES 16384u

struct metrics {
    struct console *c;
    struct MHD_Daemon *daemon;
    uv_poll_t poll;
    uv_timer_t timer;
    unsigned n_open;
    struct MHD_Response *text, *not_found, *not_allowed, *no_memory;
    uint64_t made_ms;
};

static struct MHD_Response *constant(const char *text)
{
    return MHD_create_response_from_buffer(strlen(text), (void *)(uintptr_t)text, MHD_RESPMEM_PERSISTENT); /* only read */
}

/* The metrics, at most a second old; NULL on no memory. */
static struct MHD_Response *metrics_text(struct metrics *m)
{
    uint64_t now = uv_now(m->c->args.loop);
    char *text;

    if (m->text && now - m->made_ms < CONSOLE_METRICS_MS)
        return m->text;
    text = m->c->args.metrics_text(m->c->args.arg);
    if (!text)
        return NULL;
    if (m->text)
        MHD_destroy_response(m->text); /* lives on while it is being sent */
    m->text = MHD_create_response_from_buffer(strlen(text), text, MHD_RESPMEM_MUST_FREE);
    if (!m->text) {
        free(text);
        return NULL;
    }
    (void)MHD_add_response_header(m->text, MHD_HTTP_HEADER_CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8");
    m->made_ms = now;
    return m->text;
}

static enum MHD_Result on_request(void *arg, struct MHD_Connection *conn, const char *url, const char *method,
                                  const char *version, const char *body, size_t *body_n, void **state)
{
    static int seen;
    struct metrics *m = arg;
    struct MHD_Response *r;

    (void)version;
    (void)body;
    if (!*state) { /* first call: only the head is there */
        *state = &seen;
        return MHD_YES;
    }
    if (*body_n) { /* a body is read and thrown away */
        *body_n = 0;
        return MHD_YES;
    }
    if (strcmp(url, "/metrics") != 0)
        return MHD_queue_response(conn, MHD_HTTP_NOT_FOUND, m->not_found);
    if (strcmp(method, MHD_HTTP_METHOD_GET) != 0 && strcmp(method, MHD_HTTP_METHOD_HEAD) != 0)
        return MHD_queue_response(conn, MHD_HTTP_METHOD_NOT_ALLOWED, m->not_allowed);
    r = metrics_text(m);
    return r ? MHD_queue_response(conn, MHD_HTTP_OK, r)
             : MHD_queue_response(conn, MHD_HTTP_SERVICE_UNAVAILABLE, m->no_memory);
}

/* ---- the loop ---- */

static void metrics_run(struct metrics *m);

static void on_timer(uv_timer_t *t)
{
    metrics_run(t->data);
}

static void metrics_run(struct metrics *m)
{
    MHD_UNSIGNED_LONG_LONG ms;

    (void)MHD_run(m->daemon);
    if (MHD_get_timeout(m->daemon, &ms) == MHD_YES)
        uv_timer_start(&m->timer, on_timer, ms ? ms : 1, 0);
    else
        uv_timer_stop(&m->timer);
}

static void on_poll(uv_poll_t *p, int status, int events)
{
    (void)status;
    (void)events;
    metrics_run(p->data);
}

static void on_closed(uv_handle_t *h)
{
    struct metrics *m = h->data;

    if (--m->n_open > 0)
        return;
    MHD_stop_daemon(m->daemon);
    if (m->text)
        MHD_destroy_response(m->text);
    MHD_destroy_response(m->not_found);
    MHD_destroy_response(m->not_allowed);
    MHD_destroy_response(m->no_memory);
    console_handle_closed(m->c);
    mem_free(m);
}

static void free_early(struct metrics *m)
{
    if (m->not_found)
        MHD_destroy_response(m->not_found);
    if (m->not_allowed)
        MHD_destroy_response(m->not_allowed);
    if (m->no_memory)
        MHD_destroy_response(m->no_memory);
    if (m->daemon)
        MHD_stop_daemon(m->daemon);
    mem_free(m);
}

static int responses_make(struct metrics *m)
{
    m->not_found = constant("only /metrics is here\n");
    m->not_allowed = constant("only GET and HEAD\n");
    m->no_memory = constant("out of memory\n");
    if (!m->not_found || !m->not_allowed || !m->no_memory)
        return ERR_NOMEM;
    return MHD_add_response_header(m->not_allowed, MHD_HTTP_HEADER_ALLOW, "GET, HEAD") == MHD_YES ? 0 : ERR_NOMEM;
}

int metrics_start(struct console *c, const struct addr *addr, struct metrics **ret, struct reason *why)
{
    unsigned flags = MHD_USE_EPOLL | (addr_is_v6(addr) ? MHD_USE_IPv6 : 0);
    struct metrics *m = mem_zalloc(sizeof *m);
    const union MHD_DaemonInfo *info;
    char text[ADDR_TEXT_MAX];

    if (!m)
        return ERR_NOMEM;
    m->c = c;
    if (responses_make(m) != 0) {
        free_early(m);
        return ERR_NOMEM;
    }
    m->daemon = MHD_start_daemon(flags, addr_port(addr), NULL, NULL, on_request, m, MHD_OPTION_SOCK_ADDR, &addr->sa,
                                 MHD_OPTION_CONNECTION_LIMIT, METRICS_CLIENTS, MHD_OPTION_PER_IP_CONNECTION_LIMIT,
                                 METRICS_CLIENTS_SOURCE, MHD_OPTION_CONNECTION_TIMEOUT, METRICS_IDLE_S,
                                 MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)METRICS_REQUEST_BYTES, MHD_OPTION_END);
    info = m->daemon ? MHD_get_daemon_info(m->daemon, MHD_DAEMON_INFO_EPOLL_FD) : NULL;
    if (!info) {
        reason_set(why, "metrics-listen", NULL, 0, "metrics cannot listen on %.*s", STR_FMT(addr_text(addr, text)));
        free_early(m);
        return ERR_IO;
    }
    if (uv_poll_init(c->args.loop, &m->poll, info->epoll_fd) != 0) {
        reason_set(why, "metrics-loop", NULL, 0, "metrics: the loop takes no further descriptor");
        free_early(m);
        return ERR_IO;
    }
    (void)uv_timer_init(c->args.loop, &m->timer);
    m->poll.data = m->timer.data = m;
    m->n_open = 2;
    c->n_handles++;
    if (uv_poll_start(&m->poll, UV_READABLE, on_poll) != 0) {
        reason_set(why, "metrics-loop", NULL, 0, "metrics: the loop takes no further descriptor");
        metrics_stop(m);
        return ERR_IO;
    }
    *ret = m;
    return 0;
}

void metrics_stop(struct metrics *m)
{
    if (!m)
        return;
    uv_close((uv_handle_t *)&m->poll, on_closed);
    uv_close((uv_handle_t *)&m->timer, on_closed);
}

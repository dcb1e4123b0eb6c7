/* How an operator's programs talk to a running edge: a control socket for the command `sallyport`, and /metrics for Prometheus.
 *
 * Control: a Unix stream socket, mode 0600, so that only the daemon's user and root can speak. A line in, a line of JSON out, as
 * often as the client likes:
 *     status VIEW [FILTER]   edge_status_json
 *     reload                 {"reloaded": true|false, "problems": [...], "restart_needed": [...]}
 * A line that is none of these gets {"error": "..."}. At most CONSOLE_CLIENTS at once, a line of CONSOLE_LINE_MAX bytes at most;
 * who says nothing, or does not read, for CONSOLE_IDLE_MS is cut off.
 *
 * Metrics: HTTP/1.1 (libmicrohttpd), GET and HEAD of /metrics only, on the configured address. The text is made once a second at
 * most, however many ask.
 *
 * Thread: the main thread's libuv loop runs all of it, together with signals and reload, so nothing here needs a lock. */
#ifndef CONSOLE_CONSOLE_H
#define CONSOLE_CONSOLE_H

#include "base/addr.h"
#include "base/reason.h"

#define CONSOLE_CLIENTS 16u
#define CONSOLE_LINE_MAX 1024u
#define CONSOLE_IDLE_MS 10000u
#define CONSOLE_METRICS_MS 1000u

struct uv_loop_s;
struct console;

struct console_args {
    struct uv_loop_s *loop;
    const char *socket;         /* path; a socket that is there already is replaced, so there must be no other daemon */
    const struct addr *metrics; /* NULL: none */
    /* Each returns a malloc'd text, which the console frees; NULL: no memory. */
    char *(*status)(void *arg, struct str what);
    char *(*metrics_text)(void *arg);
    char *(*reload)(void *arg);
    void *arg;
};
MUST_USE int console_start(const struct console_args *args, struct console **ret, struct reason *why);
/* Begins to close; the memory is freed by the loop, which has to run once more. NULL is fine. */
void console_stop(struct console *c);

/* The other side: sends one line, waits CONSOLE_IDLE_MS at most, returns the answer without its newline, malloc'd.
 * ERR_CLOSED: nobody listens there. ERR_TIMEOUT, ERR_IO, ERR_LIMIT (`line` is too long), ERR_NOMEM. */
MUST_USE int console_ask(const char *socket, struct str line, char **ret, struct reason *why);

#endif

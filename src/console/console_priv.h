/* What the files of the console share. */
#ifndef CONSOLE_CONSOLE_PRIV_H
#define CONSOLE_CONSOLE_PRIV_H

#include "base/list.h"
#include "console/console.h"
#include <uv.h>

struct metrics;

struct console {
    struct console_args args;
    char socket[108];
    uv_pipe_t listener;
    bool is_listening;
    struct list clients;
    unsigned n_clients;
    struct metrics *metrics;
    unsigned n_handles; /* that the loop still has to close; 0 after console_stop: gone */
    bool is_stopping;
};

void console_handle_closed(struct console *c);

/* metrics.c */
MUST_USE int metrics_start(struct console *c, const struct addr *addr, struct metrics **ret, struct reason *why);
void metrics_stop(struct metrics *m); /* NULL is fine */

#endif

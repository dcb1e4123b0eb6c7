/* The daemon's main thread and its keeper: starts the keeper's processes (keeper/process.h) before
 * anything else is opened, hands each worker its connection, again whenever there is a new keeper,
 * and asks for reloads. Main thread only, but for keeper_link_stats. */
#ifndef KEEPER_LINK_H
#define KEEPER_LINK_H

#include "base/err.h"
#include "base/reason.h"
#include <stdbool.h>

struct keeper_link;

struct keeper_link_args {
    const char *program; /* NULL: this very program */
    const char *config;  /* file, for `keeper -c FILE` */
    unsigned n_workers;
};
/* Returns when the keeper has all of its keys, or says why it has not (ten seconds at most). */
MUST_USE int keeper_link_start(const struct keeper_link_args *args, struct keeper_link **ret,
                               struct reason *why);
void keeper_link_stop(struct keeper_link *l); /* both processes end; NULL is fine */

/* Something to wait for in a loop (it becomes readable), and what to call then. */
int keeper_link_fd(const struct keeper_link *l);
void keeper_link_dispatch(struct keeper_link *l);
/* Who gets the workers' connections: those that are there at once, others from dispatch. `fn` takes
 * the descriptor over (keeper_signer_attach on the worker's thread). */
typedef void keeper_attach_fn(void *arg, unsigned worker, int fd);
void keeper_link_attach(struct keeper_link *l, keeper_attach_fn *fn, void *arg);
/* The keeper reads the configuration anew, all or nothing. Waits five seconds at most. ERR_REFUSED:
 * it goes on with what it had; ERR_CLOSED: there is none now (a new one reads it anyhow);
 * ERR_TIMEOUT: nobody knows; if it answers later, the log says so. */
MUST_USE int keeper_link_reload(struct keeper_link *l, struct reason *why);

struct keeper_link_stats {
    bool is_up;
    bool is_lost; /* its parent has ended: there will be no other before the daemon is restarted, */
                  /* but what is_up goes on signing */
    int pid;
    unsigned keys;
    uint64_t ended; /* keepers that ended while the daemon went on */
};
void keeper_link_stats(const struct keeper_link *l, struct keeper_link_stats *ret); /* any thread */

#endif

/* The keeper's processes, `sallyport keeper`, which the daemon starts before it opens anything that
 * a stranger can reach:
 *
 *     daemon --- descriptors of new connections --- parent --- forks --- keeper
 *        \___________ one connection a worker, one for the main thread ______/
 *
 * The parent has no keys and reads nothing that anybody sends; it makes the connections, hands the
 * daemon its ends, and starts a new keeper when one has ended, waiting longer each time. The keeper
 * reads the configuration and the keys itself, so that nothing the daemon says decides what is
 * signed with what. Both end with the daemon. If the parent ends before, the keeper goes on, for the
 * daemon has connections to it, but there will be no other. One thread each. */
#ifndef KEEPER_PROCESS_H
#define KEEPER_PROCESS_H

#include "keeper/confine.h"
#include "keeper/keys.h"
#include "keeper/tls_keys.h"

#define KEEPER_FD 3 /* where `sallyport keeper` finds the socket to the daemon */
#define KEEPER_CONNS_MAX 65u

/* Told to the daemon for each new keeper (with the descriptors), and for each that ended. */
struct keeper_notice {
    uint32_t version;
    int32_t pid;    /* of a new one; 0: it has ended, */
    int32_t status; /* so (waitpid) */
};

struct keeper_setup {
    const struct keeper_key_args *keys; /* live until the next call of load */
    size_t n_keys;
    const struct keeper_tls_args *tls; /* likewise */
    size_t n_tls;
    unsigned tls_rate;
    const char *log_file; /* NULL: standard error */
    const char *run_as;   /* NULL: stay */
    enum confine_mode seccomp;
    bool has_tokens;
};

struct keeper_process_args {
    unsigned n_workers;
    /* Reads the configuration, at the start of each keeper and when the daemon asks. */
    int (*load)(void *arg, struct keeper_setup *ret, struct reason *why);
    void *arg;
};
/* Does not return before the daemon has ended or given up. */
int keeper_process_run(const struct keeper_process_args *args);

#endif

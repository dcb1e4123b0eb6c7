/* What a process gives up for good: TR/100 6.2. Called by the keeper for itself and by the daemon
 * once it has bound its addresses. Linux only; main thread, for all threads of the process. */
#ifndef KEEPER_CONFINE_H
#define KEEPER_CONFINE_H

#include "base/err.h"
#include "base/reason.h"

enum confine_mode { CONFINE_OFF, CONFINE_LOG, CONFINE_ENFORCE };

/* No core dumps, not to be traced or read by others of the same user, no new privileges. */
void confine_memory(void);
/* Of capabilities only those of the mask (1 << CAP_...), for good. ERR_IO. */
MUST_USE int confine_capabilities(uint64_t keep, struct reason *why);

enum confine_as {
    CONFINE_KEEPER,        /* reads files, talks on what it has open */
    CONFINE_KEEPER_TOKENS, /* besides, what PKCS#11 modules do: files, Unix and TCP sockets, threads
                            */
    CONFINE_KEEPER_PARENT, /* forks keepers, and all that they do before they confine themselves */
    CONFINE_EDGE,          /* the daemon */
};
/* System calls outside of the list end the process (ENFORCE; the daemon is told that the system has no
 * such call), or are but reported in the kernel's audit log (LOG), which has them in either case.
 * ERR_IO. */
MUST_USE int confine_calls(enum confine_as as, enum confine_mode mode, struct reason *why);

#endif

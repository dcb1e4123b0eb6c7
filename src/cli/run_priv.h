/* What `sallyport run` is made of besides run.c. */
#ifndef CLI_RUN_PRIV_H
#define CLI_RUN_PRIV_H

#include "base/reason.h"
#include "config/config.h"

/* --- become.c: from root to the user of run-as --- */

/* Before anything is opened: from here on files are opened and made as that user (and only those it can read are), while root's
 * right to bind low ports is still there. Does nothing without run-as. */
MUST_USE int become_begin(const struct config *cfg, struct reason *why);
/* After all addresses are bound: for good, for all threads. */
MUST_USE int become_finish(const struct config *cfg, struct reason *why);

/* What root has made (a folder, or a file that has no other name) goes to this user; never what a link leads to. False: it could not be. */
bool become_give(const char *path, uid_t uid, gid_t gid);

/* For `sallyport check` by root: becomes, for good, the user of run-as, or else the one whose state-dir is (a systemd unit names its user
 * itself). Says so; stays who it is if there is no such user, which is a problem of the configuration. */
void become_to_check(const struct config *cfg);

/* --- watch.c: have certificate files changed? --- */

/* A number that differs when any file that the configuration names for TLS has been replaced or written. */
uint64_t watch_files(const struct config *cfg);

/* --- notify.c: systemd's readiness protocol, sd_notify(3), without its library --- */

void notify_systemd(const char *state); /* "READY=1"; nothing happens when nobody asked for it */

#endif

/* Asking for a password. */
#ifndef CLI_PASSWORD_H
#define CLI_PASSWORD_H

#include "base/err.h"
#include "base/reason.h"
#include "base/str.h"

#define PASSWORD_MAX 256

/* From a terminal: asked for twice, without echo. Otherwise the first line of standard input. *ret
 * lies in buf; wipe it. ERR_CONFLICT: the two differ; ERR_LIMIT: too long; ERR_CLOSED: nothing
 * there, or interrupted. */
MUST_USE int password_read(struct str whose, char *buf, size_t cap, struct str *ret,
                           struct reason *why);

#endif

/* A stack on which a function can be interrupted and gone on with later: for a library that calls
 * back and cannot be told to come again (a TLS handshake that needs a signature of another
 * process). Each stack ends in a page that nobody may touch. A fiber belongs to one thread, and so
 * does whatever runs on it. Not pure: it maps memory. */
#ifndef BASE_FIBER_H
#define BASE_FIBER_H

#include "base/attr.h"
#include "base/err.h"
#include <stdbool.h>
#include <stddef.h>

struct fiber;

MUST_USE int fiber_new(size_t stack_bytes, struct fiber **ret);
void fiber_free(struct fiber *f); /* never one that is under way; NULL is fine */
/* Runs fn(arg) there, until it returns (true: the fiber can be started again) or pauses (false). */
bool fiber_start(struct fiber *f, void (*fn)(void *arg), void *arg);
/* Goes on where it has paused; returns as start does. */
bool fiber_resume(struct fiber *f);
/* From fn, and nobody else. */
void fiber_pause(struct fiber *f);

#endif

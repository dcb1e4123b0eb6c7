/* A question to all workers, asked on the main thread and answered by each on its own; nobody waits longer than ASK_MS. What a
 * worker has not answered by then is left out: its answer, when it comes, is thrown away by the worker itself. */
#ifndef EDGE_ASK_H
#define EDGE_ASK_H

#include "edge/edge_priv.h"

#define ASK_MS 1000u
#define ASK_TEXT_MAX 256u

struct ask;

struct ask_args {
    /* Runs on each worker's thread; `answer` is its own, zeroed, `text` the copy of `text` below. */
    void (*fn)(struct edge_worker *w, void *answer, struct str text);
    void (*done)(void *answer); /* frees what an answer holds; any thread; may be NULL */
    size_t answer_size;
    struct str text; /* at most ASK_TEXT_MAX bytes */
};
/* ERR_NOMEM, ERR_LIMIT. Otherwise *ret is set even if no worker answers. */
MUST_USE int ask_workers(struct edge *e, const struct ask_args *args, struct ask **ret);
void *ask_answer(struct ask *a, unsigned worker); /* NULL: it did not answer in time */
unsigned ask_silent(const struct ask *a);         /* how many did not */
void ask_free(struct ask *a);                     /* NULL is fine */

#endif

/* Arena: what one message (or one configuration) needs, in one place with a hard cap, freed together.
 * Owned by one thread at a time. First chunk is embedded in the arena block, further chunks
 * are doubled. Blocks come from the same per-thread free lists as those of buf.h. */
#ifndef BASE_ARENA_H
#define BASE_ARENA_H

#include "base/str.h"

struct arena;

/* `first` bytes are available without a further allocation; never more than `cap` in all. NULL if out of memory. */
MUST_USE struct arena *arena_new(size_t first, size_t cap);
void arena_free(struct arena *a); /* NULL is fine */
void arena_reset(struct arena *a); /* frees further chunks, keeps the first one for reuse */
/* Aligned for any type, not zeroed. NULL if the cap is reached or memory is out. */
MUST_USE void *arena_alloc(struct arena *a, size_t n);
MUST_USE void *arena_zalloc(struct arena *a, size_t n);
/* A copy of s (NUL-terminated behind its end); p == NULL on failure. */
MUST_USE struct str arena_str(struct arena *a, struct str s);
MUST_USE struct str arena_fmt(struct arena *a, const char *fmt, ...) PRINTF_LIKE(2, 3);
size_t arena_used(const struct arena *a); /* bytes handed out since arena_new or arena_reset, padding included */

#endif

/* JSON as strangers sign it (RFC 8259), read strictly and within hard limits.
 *
 * Why not jansson, which the configuration of the program's own pages uses: it follows nesting by
 * recursion to a depth fixed when it was compiled (2048), allocates each value by itself with no
 * bound on their number, and takes its allocator for the whole process, so that neither an arena
 * nor a failing allocation in a test can be given to one caller.
 *
 * Refused: names that occur twice in an object (also by an escape), text that is not UTF-8, NUL and
 * lone surrogates by escape, anything behind the value, and what goes beyond LIMIT_JSON_*. The
 * result is one array in document order, so that walking it needs no recursion either. Pure. */
#ifndef IDENTITY_JSON_H
#define IDENTITY_JSON_H

#include "base/arena.h"
#include "base/err.h"
#include "base/reason.h"
#include "base/sbuf.h"

enum sjson_type {
    SJSON_NULL,
    SJSON_FALSE,
    SJSON_TRUE,
    SJSON_NUMBER,
    SJSON_STRING,
    SJSON_ARRAY,
    SJSON_OBJECT
};

struct sjson_node {
    struct str key;  /* in an object: the member's name, escapes resolved; else p == NULL */
    struct str text; /* a string's contents, escapes resolved; anything else as it is written */
    uint16_t type;
    uint16_t n;    /* members or elements */
    uint16_t size; /* nodes of this value, itself included: the next sibling is at node + size */
};

/* ERR_SYNTAX, ERR_LIMIT, ERR_NOMEM. Slices over `text` and the arena. */
MUST_USE int sjson_parse(struct arena *a, struct str text, struct sjson_node **ret,
                         struct reason *why);
/* A member of an object; NULL if there is none, or if `node` is NULL or no object. */
const struct sjson_node *sjson_find(const struct sjson_node *node, struct str key);
/* As find, of that type only. */
const struct sjson_node *sjson_find_type(const struct sjson_node *node, struct str key,
                                         enum sjson_type type);
/* First member or element; valid while fewer than node->n were seen. Next: it + it->size. */
static inline const struct sjson_node *sjson_first(const struct sjson_node *node)
{
    return node + 1;
}
static inline const struct sjson_node *sjson_next(const struct sjson_node *it)
{
    return it + it->size;
}
/* A number that is written as an unsigned integer (RFC 8225 9 item 4). */
MUST_USE int sjson_u64(const struct sjson_node *node, uint64_t max, uint64_t *ret);
/* The deterministic form of RFC 8225 9: no white space, members by name. Numbers as written. */
void sjson_build(struct sbuf *b, const struct sjson_node *node);

#endif

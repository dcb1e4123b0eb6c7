/* Helpers of the message tests: files, and parsing into a fresh arena. */
#ifndef TESTS_UNIT_SIP_MSG_HELP_H
#define TESTS_UNIT_SIP_MSG_HELP_H

#include "check.h"

#include "base/arena.h"
#include "base/err.h"
#include "base/limits.h"
#include "sip/msg.h"
#include <stdio.h>
#include <stdlib.h>

struct parsed {
    struct arena *arena;
    struct sip_msg *msg; /* NULL if err */
    int err;
    struct reason why;
    char *copy; /* the bytes, in a block of just their size: reads past the end are seen */
};

static inline struct parsed parse(struct str bytes)
{
    struct parsed p = {.arena = arena_new(4096, LIMIT_MSG_ARENA_BYTES)};
    p.copy = malloc(bytes.n ? bytes.n : 1);
    assert_non_null(p.arena);
    assert_non_null(p.copy);
    if (bytes.n)
        memcpy(p.copy, bytes.p, bytes.n);
    p.err = sip_msg_parse(p.arena, (struct str){p.copy, bytes.n}, &p.msg, &p.why);
    return p;
}

static inline void parsed_done(struct parsed *p)
{
    arena_free(p->arena);
    free(p->copy);
    *p = (struct parsed){0};
}

/* A file under a folder, in a static buffer that the next call overwrites. */
static inline struct str file_read(const char *folder, const char *name)
{
    static char p[LIMIT_MSG_BYTES];
    char path[1024];
    snprintf(path, sizeof(path), "%s/%s", folder, name);
    FILE *f = fopen(path, "rb");
    if (f == NULL)
        fail_msg("cannot open %s", path);
    size_t n = fread(p, 1, sizeof(p), f);
    fclose(f);
    return (struct str){p, n};
}

#endif

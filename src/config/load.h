/* A load under way: private to the room. */
#ifndef CONFIG_LOAD_PRIV_H
#define CONFIG_LOAD_PRIV_H

#include "base/limits.h"
#include "base/sbuf.h"
#include "config/rows.h"
#include <errno.h>

struct cfg_t;

struct load_mark { /* where an option was set */
    const void *section;
    const char *name;
    unsigned line;
};

struct load {
    struct config *c;
    const char *file, *folder;
    bool files; /* look at files: not when reading from memory */
    void (*become)(const struct config *c); /* `sallyport check`: before files are looked at */
    void (*problem)(void *arg, struct str line);
    void *problem_arg;
    unsigned n_problems;
    bool no_memory, value_problem;
    size_t cap_allow;
    struct load_mark marks[4096];
    size_t n_marks;
};

void load_problem(struct load *l, unsigned line, const char *fmt, ...) PRINTF_LIKE(3, 4);
/* The line on which an option of a section was set (NULL: its last option); 0 if it was not. */
unsigned load_line(const struct load *l, const void *section, const char *name);
/* check.c: what no single value shows. */
void check_all(struct load *l, struct cfg_t *root);
/* places.c: files and folders. Is there one that we can read? */
bool check_file(struct load *l, const struct cfg_t *sec, const char *option, struct str file);
/* Users, folders and files that we write, keys that only the keeper reads. Comes first: it may change who we are. */
void check_places(struct load *l, struct cfg_t *root);
/* media.c */
void check_media_side(struct load *l, const struct cfg_t *sec, const struct config_media_side *m);
void check_media(struct load *l, const struct cfg_t *sec);

#endif

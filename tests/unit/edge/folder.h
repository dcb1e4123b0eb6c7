/* The state-dir of an edge that a test has started, and what may be in it. */
#ifndef TESTS_UNIT_EDGE_FOLDER_H
#define TESTS_UNIT_EDGE_FOLDER_H

#include "base/attr.h"
#include <stdio.h>
#include <unistd.h>

/* 0, or -1: the edge has left something else there. */
static inline int folder_remove(const char *folder)
{
    static const char *const names[] = {"sallyport.db", "sallyport.db-wal", "sallyport.db-shm",
                                        "keys", "ca"};
    char path[64];

    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        snprintf(path, sizeof path, "%s/%s", folder, names[i]);
        unlink(path);
    }
    return rmdir(folder);
}

#endif

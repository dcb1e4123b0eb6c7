/* What a server used: processor time from /proc/PID/task/TID/schedstat (nanoseconds of run time)
 * summed over the process and its descendants, and memory as the proportional set size of
 * smaps_rollup. Threads that ended between two readings take their time with them; servers here
 * keep theirs. One thread. */
#include "load.h"

#include <ctype.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>

enum { TREE_MAX = 256 };

static int ppid_read(int pid)
{
    char path[64], line[512];
    int ppid = -1;

    snprintf(path, sizeof(path), "/proc/%d/stat", pid);
    FILE *f = fopen(path, "re");
    if (f == NULL)
        return -1;
    if (fgets(line, sizeof(line), f) != NULL) {
        char *p = strrchr(line, ')');
        if (p == NULL || sscanf(p + 1, " %*c %d", &ppid) != 1)
            ppid = -1;
    }
    fclose(f);
    return ppid;
}

/* The process and its descendants; each round over /proc adds one generation. */
static unsigned tree_read(int pid, int *tree)
{
    static int pids[32768], ppids[32768];
    unsigned n = 0, n_tree = 1, before;
    struct dirent *e;

    tree[0] = pid;
    DIR *d = opendir("/proc");
    if (d == NULL)
        return 1;
    while ((e = readdir(d)) != NULL && n < 32768)
        if (isdigit((unsigned char)e->d_name[0]) && (pids[n] = atoi(e->d_name)) >= pid) {
            ppids[n] = ppid_read(pids[n]);
            n++;
        }
    closedir(d);
    do {
        before = n_tree;
        for (unsigned i = 0; i < n; i++) {
            bool known = false, child = false;
            for (unsigned k = 0; k < n_tree; k++) {
                known |= tree[k] == pids[i];
                child |= tree[k] == ppids[i];
            }
            if (child && !known && n_tree < TREE_MAX)
                tree[n_tree++] = pids[i];
        }
    } while (n_tree > before);
    return n_tree;
}

static void tasks_add(int pid, struct proc_use *use)
{
    char path[128];
    struct dirent *e;

    snprintf(path, sizeof(path), "/proc/%d/task", pid);
    DIR *d = opendir(path);
    if (d == NULL)
        return;
    while ((e = readdir(d)) != NULL) {
        unsigned long long run, wait, slices;
        if (!isdigit((unsigned char)e->d_name[0]))
            continue;
        snprintf(path, sizeof(path), "/proc/%d/task/%.16s/schedstat", pid, e->d_name);
        FILE *f = fopen(path, "re");
        if (f == NULL)
            continue;
        if (fscanf(f, "%llu %llu %llu", &run, &wait, &slices) == 3) {
            use->cpu_ns += run;
            use->wakeups += slices;
            use->threads++;
        }
        fclose(f);
    }
    closedir(d);
}

int proc_use_read(int pid, struct proc_use *ret_use)
{
    int tree[TREE_MAX];
    unsigned n = tree_read(pid, tree);

    memset(ret_use, 0, sizeof(*ret_use));
    for (unsigned i = 0; i < n; i++)
        tasks_add(tree[i], ret_use);
    ret_use->processes = n;
    return ret_use->threads > 0 ? 0 : -1;
}

int proc_pss_read(int pid, uint64_t *ret_kib)
{
    int tree[TREE_MAX];
    unsigned n = tree_read(pid, tree);
    char path[64], line[256];
    unsigned long long kib;

    *ret_kib = 0;
    for (unsigned i = 0; i < n; i++) {
        snprintf(path, sizeof(path), "/proc/%d/smaps_rollup", tree[i]);
        FILE *f = fopen(path, "re");
        if (f == NULL)
            continue;
        while (fgets(line, sizeof(line), f) != NULL)
            if (sscanf(line, "Pss: %llu kB", &kib) == 1)
                *ret_kib += kib;
        fclose(f);
    }
    return *ret_kib > 0 ? 0 : -1;
}

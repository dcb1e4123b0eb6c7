/* Replays fuzz inputs without libFuzzer: each argument is a file, or a folder whose files are taken
 * (one level deep). Linked to a target's LLVMFuzzerTestOneInput. Fails when an input cannot be
 * read; crashes are the target's own. */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define INPUT_MAX (4u << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static size_t n_inputs;

static int replay_file(const char *path)
{
    FILE *f = fopen(path, "rb");
    if (!f) {
        perror(path);
        return -1;
    }
    int ret = -1;
    uint8_t *scratch = malloc(INPUT_MAX), *exact = NULL;
    size_t n = scratch ? fread(scratch, 1, INPUT_MAX, f) : 0;
    if (scratch && !ferror(f) && n < INPUT_MAX) {
        /* A block of just this size, so that a read past the end is seen by ASan. */
        exact = malloc(n ? n : 1);
        if (exact) {
            memcpy(exact, scratch, n);
            LLVMFuzzerTestOneInput(exact, n);
            n_inputs++;
            ret = 0;
        }
    }
    if (ret != 0)
        fprintf(stderr, "%s: cannot be read, or is too large\n", path);
    free(exact);
    free(scratch);
    fclose(f);
    return ret;
}

static int replay_dir(const char *path)
{
    DIR *d = opendir(path);
    if (!d) {
        perror(path);
        return -1;
    }
    int ret = 0;
    for (struct dirent *e; (e = readdir(d));) {
        char full[4096];
        struct stat st;
        int len = snprintf(full, sizeof(full), "%s/%s", path, e->d_name);
        if (e->d_name[0] == '.' || len < 0 || (size_t)len >= sizeof(full))
            continue;
        if (stat(full, &st) == 0 && S_ISREG(st.st_mode) && replay_file(full) != 0)
            ret = -1;
    }
    closedir(d);
    return ret;
}

int main(int argc, char **argv)
{
    int ret = 0;
    for (int i = 1; i < argc; i++) {
        struct stat st;
        if (argv[i][0] == '-') /* libFuzzer's options mean nothing here */
            continue;
        if (stat(argv[i], &st) != 0) {
            perror(argv[i]);
            ret = 1;
        } else if ((S_ISDIR(st.st_mode) ? replay_dir(argv[i]) : replay_file(argv[i])) != 0) {
            ret = 1;
        }
    }
    printf("%zu inputs\n", n_inputs);
    return n_inputs == 0 ? 1 : ret;
}

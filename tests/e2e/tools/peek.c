/* Where is a private key, and who gets at it?
 *
 *   peek find PID KEYFILE          is the key's scalar in the memory of the process? Asked by root,
 * who may look: exit 0 yes, 1 no, 2 it could not be looked at peek try UID PID FILE          what
 * root's and the keeper's neighbour may do: becomes UID without any capability and tries to read
 * the file, to read the memory of the process in three ways, to trace and to kill it. A line for
 * each that worked; exit 0 if none did */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#define BLOCK (1u << 20)
#define REGION_MAX                                                                                 \
    (UINT64_C(1) << 32) /* the sanitizers reserve terabytes that nobody ever wrote to */
#define SCALAR 32

static int scalar_read(const char *file, unsigned char big[SCALAR], unsigned char little[SCALAR])
{
    FILE *f = fopen(file, "r");
    EVP_PKEY *key = f ? PEM_read_PrivateKey(f, NULL, NULL, NULL) : NULL;
    BIGNUM *d = NULL;
    int ok = key && EVP_PKEY_get_bn_param(key, OSSL_PKEY_PARAM_PRIV_KEY, &d) == 1 &&
             BN_bn2binpad(d, big, SCALAR) == SCALAR && BN_bn2lebinpad(d, little, SCALAR) == SCALAR;

    BN_free(d);
    EVP_PKEY_free(key);
    if (f)
        fclose(f);
    return ok ? 0 : -1;
}

/* As bytes of DER and PEM's content, or as OpenSSL's words. */
static bool block_has(const unsigned char *p, size_t n, const unsigned char *big,
                      const unsigned char *little)
{
    return memmem(p, n, big, SCALAR) || memmem(p, n, little, SCALAR);
}

static int find(const char *pid, const char *file)
{
    unsigned char big[SCALAR], little[SCALAR];
    unsigned char *block = malloc(BLOCK + SCALAR);
    char path[64], line[512];
    unsigned long long from, to;
    uint64_t looked = 0;
    bool found = false;
    FILE *maps;
    int mem;

    (void)snprintf(path, sizeof(path), "/proc/%s/maps", pid);
    maps = fopen(path, "r");
    (void)snprintf(path, sizeof(path), "/proc/%s/mem", pid);
    mem = open(path, O_RDONLY);
    if (!block || scalar_read(file, big, little) != 0 || !maps || mem < 0) {
        perror("peek");
        return 2;
    }
    while (fgets(line, sizeof(line), maps)) {
        char *end, mode;

        from = strtoull(line, &end, 16);
        to = strtoull(end + 1, &end, 16);
        mode = end[1];
        if (mode != 'r' || to - from > REGION_MAX)
            continue;
        for (unsigned long long at = from; at < to; at += BLOCK) {
            size_t want = to - at < BLOCK + SCALAR ? (size_t)(to - at) : BLOCK + SCALAR;
            ssize_t n = pread(mem, block, want, (off_t)at);

            if (n > 0) {
                looked += (uint64_t)n;
                found = found || block_has(block, (size_t)n, big, little);
            }
        }
    }
    free(block);
    fclose(maps);
    (void)close(mem);
    printf("%s in %llu KiB\n", found ? "found" : "not found", (unsigned long long)(looked / 1024));
    if (looked < 1u << 20)
        return 2;
    return found ? 0 : 1;
}

static int n_worked;

static void worked(bool it, const char *what)
{
    if (!it)
        return;
    printf("%s\n", what);
    n_worked++;
}

static void *some_address(pid_t pid)
{
    char path[64];
    FILE *maps;
    void *p = NULL;

    (void)snprintf(path, sizeof(path), "/proc/%d/maps", (int)pid);
    maps = fopen(path, "r");
    worked(maps != NULL, "opened its map");
    if (maps) {
        char line[64];

        if (fgets(line, sizeof(line), maps))
            p = (void *)(uintptr_t)strtoull(line, NULL, 16);
        fclose(maps);
    }
    return p;
}

static int try(uid_t uid, pid_t pid, const char *file)
{
    struct iovec here, there;
    char path[64], byte;
    int fd;

    if (setgroups(0, NULL) != 0 || setresgid(uid, uid, uid) != 0 || setresuid(uid, uid, uid) != 0) {
        perror("peek");
        return 2;
    }
    (void)prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    worked(open(file, O_RDONLY) >= 0, "read the key file");
    (void)snprintf(path, sizeof(path), "/proc/%d/mem", (int)pid);
    fd = open(path, O_RDONLY);
    worked(fd >= 0, "opened its memory");
    here = (struct iovec){&byte, 1};
    there = (struct iovec){some_address(pid), 1};
    if (!there.iov_base)
        there.iov_base = &byte; /* refused before it is looked at */
    worked(process_vm_readv(pid, &here, 1, &there, 1, 0) >= 0 || errno == EFAULT,
           "read its memory (process_vm_readv)");
    if (ptrace(PTRACE_ATTACH, pid, NULL, NULL) == 0) {
        worked(true, "traced it");
        (void)waitpid(pid, NULL, 0);
        (void)ptrace(PTRACE_DETACH, pid, NULL, NULL);
    }
    worked(kill(pid, 0) == 0, "may kill it");
    return n_worked ? 1 : 0;
}

int main(int argc, char **argv)
{
    if (argc == 4 && strcmp(argv[1], "find") == 0)
        return find(argv[2], argv[3]);
    if (argc == 5 && strcmp(argv[1], "try") == 0)
        return try((uid_t)strtoul(argv[2], NULL, 10), (pid_t)strtol(argv[3], NULL, 10), argv[4]);
    fprintf(stderr, "usage: peek find PID KEYFILE | peek try UID PID FILE\n");
    return 2;
}

/* Giving up capabilities, core dumps and system calls: capabilities(7), prctl(2), seccomp(2). */
#include "keeper/confine.h"
#include "base/attr.h"
#include <asm/ioctls.h>
#include <asm/termbits.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <sched.h>
#include <seccomp.h>
#include <stdbool.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

void confine_memory(void)
{
    struct rlimit none = {0, 0};

    (void)setrlimit(RLIMIT_CORE, &none);
    (void)prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
    (void)prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
}

int confine_capabilities(uint64_t keep, struct reason *why)
{
    struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[2], now[2];
    bool too_many = false;

    if (syscall(SYS_capget, &head, now) != 0)
        goto failed;
    for (unsigned i = 0; i < 2; i++) {
        uint32_t mask = now[i].permitted & (uint32_t)(keep >> (32 * i));

        data[i] = (struct __user_cap_data_struct){.effective = mask, .permitted = mask};
        too_many = too_many || now[i].permitted != mask || now[i].inheritable;
    }
    /* Needs CAP_SETPCAP, which goes with the rest below; without it nothing can be gained anyhow,
     * for there are no new privileges. */
    for (unsigned long cap = 0; prctl(PR_CAPBSET_READ, cap, 0, 0, 0) >= 0; cap++) {
        if (cap >= 64 || !(keep >> cap & 1))
            (void)prctl(PR_CAPBSET_DROP, cap, 0, 0, 0);
    }
    if (!too_many || syscall(SYS_capset, &head, data) == 0)
        return 0; /* what is not inheritable any more is not ambient either */
failed:
    reason_set(why, "capabilities", NULL, 0, "%s", strerror(errno));
    return ERR_IO;
}

/* --- system calls --- */

/* What every process does that computes and has descriptors. */
#define CALLS_COMMON                                                                               \
    "read", "write", "readv", "writev", "close", "poll", "ppoll", "brk", "mmap", "munmap",         \
        "mremap", "madvise", "futex", "clock_gettime", "clock_getres", "gettimeofday", "time",     \
        "getrandom", "exit", "exit_group", "rt_sigreturn", "rt_sigprocmask", "restart_syscall",    \
        "sigaltstack", "getpid", "gettid", "sendto", "recvfrom", "sendmsg", "recvmsg", "fstat",    \
        "newfstatat", "lseek", "sched_yield", "clock_nanosleep", "nanosleep", "rseq", "membarrier"

static const char *const keeper_calls[] = {CALLS_COMMON};

static const char *const keeper_token_calls[] = {
    CALLS_COMMON, "openat",     "open",        "access",          "faccessat",
    "faccessat2", "stat",       "lstat",       "statx",           "fcntl",
    "flock",      "getdents64", "readlink",    "readlinkat",      "pread64",
    "pwrite64",   "ftruncate",  "fsync",       "fdatasync",       "unlink",
    "unlinkat",   "rename",     "renameat",    "renameat2",       "mkdir",
    "mkdirat",    "umask",      "getcwd",      "getuid",          "geteuid",
    "getgid",     "getegid",    "getgroups",   "uname",           "sysinfo",
    "prlimit64",  "socket",     "connect",     "getsockname",     "getpeername",
    "getsockopt", "setsockopt", "shutdown",    "ioctl",           "rt_sigaction",
    "mprotect",   "clone",      "clone3",      "set_robust_list", "sched_getaffinity",
    "statfs",     "fstatfs",    "dup",         "pipe2",           "epoll_create1",
    "epoll_ctl",  "epoll_wait", "epoll_pwait", "eventfd2",        "getppid",
    "tgkill"};

/* What a keeper does from its fork until it confines itself (users and groups, capabilities, its log, keys, modules), and what
 * its parent does. No exec, no ptrace, no process_vm_*, no mount, no module, no keyring, nothing that listens. */
static const char *const parent_calls[] = {"fork",         "vfork",     "wait4",       "waitid",
                                           "kill",         "prctl",     "seccomp",     "socketpair",
                                           "signalfd4",    "capget",    "capset",      "setuid",
                                           "setgid",       "setgroups", "setresuid",   "setresgid",
                                           "getresuid",    "getresgid", "setrlimit",   "getrlimit",
                                           "dup2",         "dup3",      "set_tid_address", "pipe",
                                           "mlock",        "munlock",   "getcpu",      "arch_prctl",
                                           "sched_getparam", "sched_getscheduler", "setsid", "chmod", "fchmod", "fchown", "link", "pselect6", "select", "times", "getrusage"};

/* Found with strace while the end-to-end tests run, completed by what the same libraries do
 * elsewhere. No exec, no ptrace, no process_vm_*, no mount, no module, no keyring, no setuid. */
static const char *const edge_calls[] = {CALLS_COMMON,
                                         "accept4",
                                         "accept",
                                         "access",
                                         "bind",
                                         "capget",
                                         "chmod",
                                         "clone",
                                         "clone3",
                                         "connect",
                                         "dup",
                                         "dup2",
                                         "dup3",
                                         "epoll_create1",
                                         "epoll_ctl",
                                         "epoll_pwait",
                                         "epoll_pwait2",
                                         "epoll_wait",
                                         "eventfd2",
                                         "faccessat",
                                         "faccessat2",
                                         "fallocate",
                                         "fchmod",
                                         "fchmodat",
                                         "fchown",
                                         "fcntl",
                                         "fdatasync",
                                         "flock",
                                         "fstatfs",
                                         "fsync",
                                         "ftruncate",
                                         "getcwd",
                                         "getdents64",
                                         "getegid",
                                         "geteuid",
                                         "getgid",
                                         "getgroups",
                                         "getpeername",
                                         "getppid",
                                         "getrlimit",
                                         "getrusage",
                                         "getsockname",
                                         "getsockopt",
                                         "getuid",
                                         "inotify_add_watch",
                                         "inotify_init1",
                                         "ioctl",
                                         "kill",
                                         "link",
                                         "listen",
                                         "lstat",
                                         "mkdir",
                                         "mkdirat",
                                         "mlock",
                                         "mprotect",
                                         "msync",
                                         "munlock",
                                         "open",
                                         "openat",
                                         "pipe2",
                                         "prctl",
                                         "pread64",
                                         "preadv",
                                         "prlimit64",
                                         "pselect6",
                                         "pwrite64",
                                         "pwritev",
                                         "readlink",
                                         "readlinkat",
                                         "recvmmsg",
                                         "rename",
                                         "renameat",
                                         "renameat2",
                                         "rmdir",
                                         "rt_sigaction",
                                         "rt_sigpending",
                                         "rt_sigtimedwait",
                                         "sched_getaffinity",
                                         "sched_setaffinity",
                                         "sched_getparam",
                                         "sched_getscheduler",
                                         "select",
                                         "sendfile",
                                         "sendmmsg",
                                         "set_robust_list",
                                         "setpriority",
                                         "setrlimit",
                                         "setsockopt",
                                         "shutdown",
                                         "signalfd4",
                                         "socket",
                                         "socketpair",
                                         "stat",
                                         "statfs",
                                         "statx",
                                         "symlink",
                                         "sysinfo",
                                         "tgkill",
                                         "timer_create",
                                         "timer_delete",
                                         "timer_settime",
                                         "timerfd_create",
                                         "timerfd_settime",
                                         "umask",
                                         "uname",
                                         "unlink",
                                         "unlinkat",
                                         "utimensat",
                                         "wait4",
                                         "getcpu",
                                         "io_uring_setup"};

static int allow(scmp_filter_ctx ctx, const char *const *names, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        int nr = seccomp_syscall_resolve_name(names[i]);

        if (nr == __NR_SCMP_ERROR) /* this machine has no such call */
            continue;
        if (seccomp_rule_add(ctx, SCMP_ACT_ALLOW, nr, 0) < 0)
            return -1;
    }
    return 0;
}

/* Reading keys and configuration anew: only reading, and no memory that can be run. */
static int allow_reading(scmp_filter_ctx ctx)
{
    static const char *const paths[] = {"readlink", "getcwd"}; /* realpath(3) */
    const struct scmp_arg_cmp only_read = {
        .arg = 2,
        .op = SCMP_CMP_MASKED_EQ,
        .datum_a = O_WRONLY | O_RDWR | O_CREAT | O_TRUNC | O_APPEND,
        .datum_b = 0,
    };
    const struct scmp_arg_cmp is_terminal = {/* flex asks that of what it reads */
                                             .arg = 1,
                                             .op = SCMP_CMP_EQ,
                                             .datum_a = TCGETS,
                                             .datum_b = 0};
    const struct scmp_arg_cmp only_ask = {
        .arg = 1, .op = SCMP_CMP_EQ, .datum_a = F_GETFL, .datum_b = 0};

    if (seccomp_rule_add_array(ctx, SCMP_ACT_ALLOW, SCMP_SYS(openat), 1, &only_read) < 0 ||
        seccomp_rule_add_array(ctx, SCMP_ACT_ALLOW, SCMP_SYS(fcntl), 1, &only_ask) < 0 ||
        seccomp_rule_add_array(ctx, SCMP_ACT_ALLOW, SCMP_SYS(ioctl), 1, &is_terminal) < 0)
        return -1;
    return allow(ctx, paths, ARRAY_LEN(paths));
}

/* New processes and threads, but no new namespaces; what clone3 asks for cannot be seen, and libraries then use clone. */
static int allow_forks(scmp_filter_ctx ctx)
{
    const struct scmp_arg_cmp no_namespace = {
        .arg = 0,
        .op = SCMP_CMP_MASKED_EQ,
        .datum_a = CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWIPC |
                   CLONE_NEWUTS | CLONE_NEWCGROUP,
        .datum_b = 0,
    };

    if (seccomp_rule_add_array(ctx, SCMP_ACT_ALLOW, SCMP_SYS(clone), 1, &no_namespace) < 0 ||
        seccomp_rule_add(ctx, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0) < 0)
        return -1;
    return 0;
}

static int allow_parent(scmp_filter_ctx ctx)
{
    for (size_t i = 0; i < ARRAY_LEN(keeper_token_calls); i++) {
        const char *name = keeper_token_calls[i];

        if (strcmp(name, "clone") != 0 && strcmp(name, "clone3") != 0 && allow(ctx, &name, 1) != 0)
            return -1;
    }
    return allow(ctx, parent_calls, ARRAY_LEN(parent_calls)) != 0 ? -1 : allow_forks(ctx);
}

int confine_calls(enum confine_as as, enum confine_mode mode, struct reason *why)
{
    scmp_filter_ctx ctx;
    uint32_t refused = SCMP_ACT_KILL_PROCESS;
    int err = 0;

    if (mode == CONFINE_OFF)
        return 0;
    /* The keeper knows all that it does. The daemon's libraries may try a call of a newer kernel first: they
     * are told that there is none, and go on with the older one. */
    if (as == CONFINE_EDGE)
        refused = SCMP_ACT_ERRNO(ENOSYS);
    ctx = seccomp_init(mode == CONFINE_ENFORCE ? refused : SCMP_ACT_LOG);
    if (!ctx)
        err = -ENOMEM;
    if (err == 0 && as == CONFINE_EDGE)
        err = allow(ctx, edge_calls, ARRAY_LEN(edge_calls));
    else if (err == 0 && as == CONFINE_KEEPER_PARENT)
        err = allow_parent(ctx);
    else if (err == 0 && as == CONFINE_KEEPER_TOKENS)
        err = allow(ctx, keeper_token_calls, ARRAY_LEN(keeper_token_calls));
    else if (err == 0 && (err = allow(ctx, keeper_calls, ARRAY_LEN(keeper_calls))) == 0)
        err = allow_reading(ctx);
    if (err == 0)
        err = seccomp_attr_set(ctx, SCMP_FLTATR_CTL_TSYNC, 1);
    if (err == 0)
        (void)seccomp_attr_set(ctx, SCMP_FLTATR_CTL_LOG, 1); /* where the kernel can */
    if (err == 0)
        err = seccomp_load(ctx);
    if (ctx)
        seccomp_release(ctx);
    if (err == 0)
        return 0;
    reason_set(why, "seccomp", NULL, 0, "system calls cannot be confined (%s); seccomp = off starts without", strerror(-err));
    return ERR_IO;
}

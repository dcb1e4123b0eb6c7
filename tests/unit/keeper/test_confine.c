/* What a confined process can do no more; each try in a child of its own, which tells by how it
 * ends. */
#include "check.h"

#include "keeper/confine.h"
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { ENDED_WELL = 7 };

/* Without the wrappers of sanitizers. */
static bool try_socket(void)
{
    return syscall(SYS_socket, AF_INET, SOCK_STREAM, 0) >= 0;
}
static bool try_exec(void)
{
    static char name[] = "/bin/true";
    char *argv[] = {name, NULL};

    (void)syscall(SYS_execve, name, argv, NULL);
    return errno != ENOSYS;
}
static bool try_read(void)
{
    return syscall(SYS_openat, AT_FDCWD, "/dev/null", O_RDONLY | O_CLOEXEC) >= 0;
}
static bool try_write(void)
{
    return syscall(SYS_openat, AT_FDCWD, "/dev/null", O_WRONLY) >= 0;
}
static bool try_create(void)
{
    return syscall(SYS_openat, AT_FDCWD, "/tmp/confined", O_RDONLY | O_CREAT, 0600) >= 0;
}
static bool try_trace(void)
{
    return syscall(SYS_ptrace, PTRACE_TRACEME, 0, 0, 0) == 0;
}
static bool try_fork(void)
{
    return syscall(SYS_fork) >= 0;
}
static bool try_peek(void)
{
    return syscall(SYS_process_vm_readv, getpid(), NULL, 0, NULL, 0, 0) == 0;
}
static bool try_clock(void)
{
    struct timespec t;

    return syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &t) == 0;
}

/* The status of a child that tries it. */
static int status_of(enum confine_as as, enum confine_mode mode, bool (*it)(void))
{
    pid_t pid = fork();
    int status;

    assert_true(pid >= 0);
    if (pid == 0) {
        confine_memory();
        if (confine_calls(as, mode, NULL) != 0)
            _exit(2);
        _exit(it() ? ENDED_WELL : 1);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return status;
}

static void may(enum confine_as as, bool (*it)(void))
{
    int status = status_of(as, CONFINE_ENFORCE, it);

    if (!WIFEXITED(status) || WEXITSTATUS(status) != ENDED_WELL)
        fail_msg("status %x", (unsigned)status);
}

static void ends(enum confine_as as, bool (*it)(void))
{
    int status = status_of(as, CONFINE_ENFORCE, it);

    if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGSYS)
        fail_msg("status %x", (unsigned)status);
}

static void fails(enum confine_as as, bool (*it)(void))
{
    int status = status_of(as, CONFINE_ENFORCE, it);

    if (!WIFEXITED(status) || WEXITSTATUS(status) != 1)
        fail_msg("status %x", (unsigned)status);
}

static void keeper(void **state)
{
    (void)state;
    may(CONFINE_KEEPER, try_clock);
    may(CONFINE_KEEPER, try_read);
    ends(CONFINE_KEEPER, try_write);
    ends(CONFINE_KEEPER, try_create);
    ends(CONFINE_KEEPER, try_socket);
    ends(CONFINE_KEEPER, try_exec);
    ends(CONFINE_KEEPER, try_fork);
    ends(CONFINE_KEEPER, try_trace);
    ends(CONFINE_KEEPER, try_peek);
}

static void keeper_with_tokens(void **state)
{
    (void)state;
    may(CONFINE_KEEPER_TOKENS, try_write);
    may(CONFINE_KEEPER_TOKENS, try_socket);
    ends(CONFINE_KEEPER_TOKENS, try_exec);
    ends(CONFINE_KEEPER_TOKENS, try_trace);
    ends(CONFINE_KEEPER_TOKENS, try_peek);
}

static bool try_fork_libc(void)
{
    int status = 0;
    pid_t pid = fork();

    if (pid == 0)
        _exit(ENDED_WELL);
    return waitpid(pid, &status, 0) == pid && WIFEXITED(status) &&
           WEXITSTATUS(status) == ENDED_WELL;
}
static bool try_namespace(void)
{
    return syscall(SYS_clone, CLONE_NEWUSER | SIGCHLD, 0, 0, 0, 0) >= 0;
}
static bool try_unshare(void)
{
    return syscall(SYS_unshare, CLONE_NEWUSER) == 0;
}
static bool try_listen(void)
{
    return syscall(SYS_listen, 0, 1) == 0;
}
/* What a keeper does with itself in the beginning, to be one that is confined further. */
static bool try_confine_more(void)
{
    return confine_capabilities(0, NULL) == 0 &&
           confine_calls(CONFINE_KEEPER, CONFINE_ENFORCE, NULL) == 0 && try_read();
}

static void keeper_parent(void **state)
{
    (void)state;
    may(CONFINE_KEEPER_PARENT, try_clock);
    may(CONFINE_KEEPER_PARENT, try_write);
    may(CONFINE_KEEPER_PARENT, try_fork_libc);
    may(CONFINE_KEEPER_PARENT, try_confine_more);
    ends(CONFINE_KEEPER_PARENT, try_exec);
    ends(CONFINE_KEEPER_PARENT, try_trace);
    ends(CONFINE_KEEPER_PARENT, try_peek);
    ends(CONFINE_KEEPER_PARENT, try_namespace);
    ends(CONFINE_KEEPER_PARENT, try_unshare);
    ends(CONFINE_KEEPER_PARENT, try_listen);
}

static void edge(void **state)
{
    (void)state;
    may(CONFINE_EDGE, try_socket);
    may(CONFINE_EDGE, try_write);
    fails(CONFINE_EDGE, try_exec);
    fails(CONFINE_EDGE, try_trace);
    fails(CONFINE_EDGE, try_peek);
}

static void not_enforced(void **state)
{
    int status = status_of(CONFINE_EDGE, CONFINE_OFF, try_trace);

    (void)state;
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == ENDED_WELL);
    status = status_of(CONFINE_KEEPER, CONFINE_LOG, try_socket);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == ENDED_WELL);
}

static bool is_closed_to_others(void)
{
    return prctl(PR_GET_DUMPABLE) == 0 && prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1;
}

static bool has_no_capability(void)
{
    return confine_capabilities(0, NULL) == 0 && confine_capabilities(0, NULL) == 0 &&
           setuid(geteuid() + 1) != 0;
}

static void given_up(void **state)
{
    int status = status_of(CONFINE_EDGE, CONFINE_OFF, is_closed_to_others);

    (void)state;
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == ENDED_WELL);
    status = status_of(CONFINE_EDGE, CONFINE_OFF, has_no_capability);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == ENDED_WELL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keeper),        cmocka_unit_test(keeper_with_tokens),
        cmocka_unit_test(keeper_parent), cmocka_unit_test(edge),
        cmocka_unit_test(not_enforced),  cmocka_unit_test(given_up),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

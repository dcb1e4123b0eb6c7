/* Asking for a password (password.h). A signal while the echo is off puts the terminal back before
 * it takes effect. */
#include "cli/password.h"
#include "base/secret.h"
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <termios.h>
#include <unistd.h>

static const int watched[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGTSTP};
static volatile sig_atomic_t caught;

static void on_signal(int number)
{
    caught = number;
}

/* Waits for input with the signals let in: blocked before and after, so that none comes between looking at `caught` and waiting. */
static bool wait_input(const sigset_t *open)
{
    struct pollfd p = {.fd = STDIN_FILENO, .events = POLLIN};

    while (!caught)
        if (ppoll(&p, 1, NULL, open) > 0)
            return true;
        else if (errno != EINTR)
            return true; /* read will say what is wrong */
    return false;
}

/* A line without its end. `open`: the mask to wait with at a terminal; NULL: it is none. */
static int read_line(const sigset_t *open, char *buf, size_t cap, size_t *ret_n, struct reason *why)
{
    size_t n = 0;
    char c;

    for (;;) {
        ssize_t got = open && !wait_input(open) ? -1 : read(STDIN_FILENO, &c, 1);

        if (got < 0 && errno == EINTR && !caught)
            continue;
        if (got < 0 || (got == 0 && n == 0)) {
            reason_set(why, "password-none", NULL, 0, "no password was given on standard input");
            return ERR_CLOSED;
        }
        if (got == 0 || c == '\n')
            break;
        if (n == cap) {
            reason_set(why, "password-long", NULL, 0, "the password is longer than %d bytes",
                       PASSWORD_MAX);
            return ERR_LIMIT;
        }
        buf[n++] = c;
    }
    if (n && buf[n - 1] == '\r')
        n--;
    *ret_n = n;
    return 0;
}

static int ask_twice(const sigset_t *open, struct str whose, char *buf, size_t cap, size_t *ret_n, struct reason *why)
{
    char again[PASSWORD_MAX + 1];
    size_t n_again = 0;
    int err;

    fprintf(stderr, "Password for %.*s: ", STR_FMT(whose));
    err = read_line(open, buf, cap, ret_n, why);
    fputc('\n', stderr);
    if (!err) {
        fputs("The same again: ", stderr);
        err = read_line(open, again, cap, &n_again, why);
        fputc('\n', stderr);
    }
    if (!err && (*ret_n != n_again || !secret_bytes_eq(buf, again, n_again))) {
        reason_set(why, "password-differs", NULL, 0, "the two passwords are not the same");
        err = ERR_CONFLICT;
    }
    secret_wipe(again, sizeof(again));
    return err;
}

int password_read(struct str whose, char *buf, size_t cap, struct str *ret, struct reason *why)
{
    struct sigaction on = {.sa_handler = on_signal}, before[ARRAY_LEN(watched)];
    struct termios as_it_was, silent;
    sigset_t closed, open;
    size_t n = 0;
    int err;

    cap = cap > PASSWORD_MAX ? PASSWORD_MAX : cap;
    if (!isatty(STDIN_FILENO) || tcgetattr(STDIN_FILENO, &as_it_was) != 0) {
        err = read_line(NULL, buf, cap, &n, why);
        *ret = str_make(buf, n);
        return err;
    }
    caught = 0;
    sigemptyset(&closed);
    for (size_t i = 0; i < ARRAY_LEN(watched); i++)
        sigaddset(&closed, watched[i]);
    (void)sigprocmask(SIG_BLOCK, &closed, &open);
    for (size_t i = 0; i < ARRAY_LEN(watched); i++) {
        (void)sigaction(watched[i], &on, &before[i]);
        sigdelset(&open, watched[i]);
    }
    silent = as_it_was;
    silent.c_lflag &= ~(tcflag_t)(ECHO | ECHOE | ECHOK | ECHONL);
    (void)tcsetattr(STDIN_FILENO, TCSAFLUSH, &silent);
    err = ask_twice(&open, whose, buf, cap, &n, why);
    (void)tcsetattr(STDIN_FILENO, TCSAFLUSH, &as_it_was);
    for (size_t i = 0; i < ARRAY_LEN(watched); i++)
        (void)sigaction(watched[i], &before[i], NULL);
    (void)sigprocmask(SIG_UNBLOCK, &closed, NULL);
    if (caught) {
        secret_wipe(buf, n);
        (void)raise(caught);
    }
    *ret = str_make(buf, n);
    return err;
}

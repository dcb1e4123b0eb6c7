/* Leaving root behind (TR/100 6.2). Between the two steps the main thread has the user's rights to files (setfsuid(2)) and root's to
 * bind addresses; threads made meanwhile inherit both. The second step takes everything from all threads: setresuid(2) by glibc. */
#include "base/err.h"
#include "cli/cli.h"
#include "cli/run_priv.h"
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <sys/fsuid.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

struct user {
    uid_t uid;
    gid_t gid;
};

static int user_find(const char *name, struct user *ret, struct reason *why)
{
    char text[4096];
    struct passwd pw, *found = NULL;

    if (getpwnam_r(name, &pw, text, sizeof text, &found) != 0 || !found) {
        reason_set(why, "run-as", NULL, 0, "run-as: there is no user %s", name);
        return ERR_NOTFOUND;
    }
    *ret = (struct user){found->pw_uid, found->pw_gid};
    return 0;
}

bool become_give(const char *path, uid_t uid, gid_t gid)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    bool is_given = true;
    struct stat st;

    if (fd < 0)
        return false;
    /* Whose folder it is in can put another of root's files under its name. */
    if (fstat(fd, &st) == 0 && st.st_uid == 0 && (S_ISDIR(st.st_mode) || (S_ISREG(st.st_mode) && st.st_nlink == 1)))
        is_given = fchown(fd, uid, gid) == 0;
    close(fd);
    return is_given;
}

/* What root made for the daemon before (`sallyport user add`, an earlier start without run-as) goes to its user. */
static void hand_over(const char *path, struct user u)
{
    (void)become_give(path, u.uid, u.gid);
}

static void hand_over_state(const struct config *cfg, struct user u)
{
    static const char *const behind[] = {"", "-wal", "-shm"};
    char path[4096];
    size_t i;

    if (mkdir(cfg->state_dir.p, 0700) == 0 || errno == EEXIST)
        hand_over(cfg->state_dir.p, u);
    for (i = 0; i < ARRAY_LEN(behind); i++)
        if ((size_t)snprintf(path, sizeof path, "%s%s", cfg->store_file.p, behind[i]) < sizeof path)
            hand_over(path, u);
    if ((size_t)snprintf(path, sizeof path, "%s/keys", cfg->state_dir.p) < sizeof path)
        hand_over(path, u);
}

int become_begin(const struct config *cfg, struct reason *why)
{
    struct user u;
    int err;

    (void)prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); /* of this thread and all that it will make */
    if (!cfg->run_as.n)
        return 0;
    if ((err = user_find(cfg->run_as.p, &u, why)) != 0)
        return err;
    if (geteuid() == u.uid)
        return 0;
    if (geteuid() != 0) {
        reason_set(why, "run-as", NULL, 0, "run-as: only root can become %s", cfg->run_as.p);
        return ERR_REFUSED;
    }
    hand_over_state(cfg, u);
    if (initgroups(cfg->run_as.p, u.gid) != 0) {
        reason_set(why, "run-as", NULL, 0, "run-as %s: %s", cfg->run_as.p, strerror(errno));
        return ERR_IO;
    }
    setfsgid(u.gid);
    setfsuid(u.uid);
    if ((uid_t)setfsuid((uid_t)-1) != u.uid) { /* asks: it never says whether it worked */
        reason_set(why, "run-as", NULL, 0, "run-as %s: the system does not let us", cfg->run_as.p);
        return ERR_IO;
    }
    return 0;
}

int become_finish(const struct config *cfg, struct reason *why)
{
    struct user u;
    int err;

    if (!cfg->run_as.n)
        return 0;
    if ((err = user_find(cfg->run_as.p, &u, why)) != 0)
        return err;
    if (geteuid() == u.uid)
        return 0;
    if (setresgid(u.gid, u.gid, u.gid) != 0 || setresuid(u.uid, u.uid, u.uid) != 0 || setuid(0) == 0) {
        reason_set(why, "run-as", NULL, 0, "run-as %s: root could not be left behind", cfg->run_as.p);
        return ERR_IO;
    }
    return 0;
}

void become_to_check(const struct config *cfg)
{
    const struct passwd *pw = NULL;
    struct stat st;

    if (geteuid() != 0)
        return;
    if (cfg->run_as.n)
        pw = getpwnam(cfg->run_as.p);
    else if (stat(cfg->state_dir.p, &st) == 0 && st.st_uid != 0)
        pw = getpwuid(st.st_uid);
    if (!pw || pw->pw_uid == 0)
        return;
    if (initgroups(pw->pw_name, pw->pw_gid) != 0 || setresgid(pw->pw_gid, pw->pw_gid, pw->pw_gid) != 0 ||
        setresuid(pw->pw_uid, pw->pw_uid, pw->pw_uid) != 0) {
        cli_error("check: cannot become user %s, as whom the daemon runs: %s", pw->pw_name, strerror(errno));
    } else {
        printf("%s: files are looked at as user %s\n", cfg->file.p, pw->pw_name);
    }
}

/* Files and folders that a configuration names: is there what is to be read, can we write where we will, and do the users exist. Who
 * "we" are is decided here: `sallyport check` is mostly run by root, and the daemon is somebody else (TR/100 6.2). */
#include "config/load.h"
#include <confuse.h>
#include <pwd.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

static const char *my_name(void)
{
    const struct passwd *pw = getpwuid(geteuid());

    return pw ? pw->pw_name : "this user";
}

bool check_file(struct load *l, const cfg_t *sec, const char *option, struct str file)
{
    unsigned line = load_line(l, sec, option);

    if (!file.n || !l->files)
        return file.n != 0;
    if (access(file.p, R_OK) == 0)
        return true;
    if (errno == EACCES)
        load_problem(l, line, "%s: user %s may not read %s; let it, as owner root:%s, mode 0640, and enter the folders above", option,
                     my_name(), file.p, my_name());
    else
        load_problem(l, line, "%s: %s: %s; put the file there or correct the name", option, file.p, strerror(errno));
    return false;
}

/* The folder that a name is in; false: the one where we are. */
static bool folder_of(struct str path, char *ret, size_t cap)
{
    size_t n = path.n;

    while (n > 1 && path.p[n - 1] == '/')
        n--;
    while (n > 0 && path.p[n - 1] != '/')
        n--;
    while (n > 1 && path.p[n - 1] == '/')
        n--;
    if (!n || n >= cap)
        return false;
    memcpy(ret, path.p, n);
    ret[n] = 0;
    return true;
}

static void check_writable(struct load *l, unsigned line, const char *option, const char *path, int mode)
{
    const char *why = access(path, mode) == 0 ? NULL : strerror(errno);

    if (why)
        load_problem(l, line, "%s: user %s cannot write to %s: %s; give it to that user, or correct the name", option, my_name(), path, why);
}

enum ours {
    OURS_FOLDER = 1,
    OURS_GIVEN = 2, /* started as root with run-as the daemon makes it, or takes it from root, for its user (become.c) */
    OURS_KEPT = 4,  /* where it is there nothing is made beside it */
};

/* Where we write: a file of ours must not be a folder, the folder must be one, or one that can be made (the last name of state-dir). */
static void check_ours(struct load *l, cfg_t *root, const char *option, struct str path, unsigned what)
{
    unsigned line = load_line(l, root, option);
    bool is_folder = (what & OURS_FOLDER) != 0, is_given = (what & OURS_GIVEN) != 0, is_there;
    char above[1024];
    struct stat st;

    if (!l->files || !path.n)
        return;
    is_there = stat(path.p, &st) == 0;
    if (!is_there && errno == EACCES) {
        load_problem(l, line, "%s: user %s may not enter a folder above %s; let it, or correct the name", option, my_name(), path.p);
        return;
    }
    if (is_there && S_ISDIR(st.st_mode) != is_folder) {
        load_problem(l, line, "%s: %s is %s; name %s", option, path.p,
                     is_folder ? "no folder" : S_ISDIR(st.st_mode) ? "a folder" : "no file", is_folder ? "a folder" : "a file in a folder");
        return;
    }
    if (is_there && l->become && !(is_given && st.st_uid == 0))
        check_writable(l, line, option, path.p, is_folder ? W_OK | X_OK : W_OK);
    if ((is_there && what & (OURS_FOLDER | OURS_KEPT)) || !folder_of(path, above, sizeof above) || str_eq(str_z(above), l->c->state_dir))
        return; /* state-dir is looked at by itself, and can be made */
    if (stat(above, &st) != 0)
        load_problem(l, line, "%s: %s: %s; make that folder, or correct the name", option, above, strerror(errno));
    else if (!S_ISDIR(st.st_mode))
        load_problem(l, line, "%s: %s is no folder; correct the name", option, above);
    else if (l->become && !(is_folder && is_given))
        check_writable(l, line, option, above, W_OK | X_OK);
}

static void check_user(struct load *l, cfg_t *root, const char *option, struct str name)
{
    if (l->files && name.n && getpwnam(name.p) == NULL)
        load_problem(l, load_line(l, root, option), "%s: no user %s on this machine; make it, as share/sallyport.sysusers does", option, name.p);
}

static void check_key(struct load *l, cfg_t *sec, const char *option, struct str key)
{
    if (key.n && !str_starts_nocase(key, STR("pkcs11:")))
        (void)check_file(l, sec, option, key);
}

/* What the keeper opens as who it was started as. */
static void check_keeper(struct load *l, cfg_t *root)
{
    const struct config *c = l->c;
    size_t i;

    for (i = 0; i < c->n_identities && !c->keeper_run_as.n; i++) {
        cfg_t *sec = cfg_getnsec(root, "identity", (unsigned)i);

        check_key(l, sec, "key", c->identities[i].key);
        check_key(l, sec, "rfc4474-key", c->identities[i].rfc4474_key);
    }
    for (i = 0; i < c->n_domains && c->tls_keys == CONFIG_TLS_KEYS_KEEPER && !c->keeper_run_as.n; i++)
        check_key(l, cfg_getnsec(root, "domain", (unsigned)i), "key", c->domains[i].key);
    for (i = 0; i < c->n_peers && c->tls_keys == CONFIG_TLS_KEYS_KEEPER && !c->keeper_run_as.n; i++)
        check_key(l, cfg_getnsec(root, "peer", (unsigned)i), "key", c->peers[i].key);
    if (c->n_identities || c->tls_keys == CONFIG_TLS_KEYS_KEEPER)
        check_ours(l, root, "keeper-log", c->keeper_log, OURS_KEPT);
}

void check_places(struct load *l, cfg_t *root)
{
    const struct config *c = l->c;
    unsigned given = c->run_as.n ? OURS_GIVEN : 0;
    bool is_root = geteuid() == 0;
    char keys[1024];

    check_user(l, root, "run-as", c->run_as);
    check_user(l, root, "keeper-run-as", c->keeper_run_as);
    /* With run-as the daemon is started as root, and so is the keeper, unless we are not root ourselves: then nobody can tell. Without it
     * both are the same. */
    if (l->become && given && is_root)
        check_keeper(l, root);
    if (l->become)
        l->become(c);
    if (l->become && !given)
        check_keeper(l, root);
    check_ours(l, root, "state-dir", c->state_dir, OURS_FOLDER | given);
    check_ours(l, root, cfg_size(root, "store") ? "store" : "state-dir", c->store_file, given);
    if ((size_t)snprintf(keys, sizeof keys, "%s/keys", c->state_dir.p) < sizeof keys)
        check_ours(l, root, "state-dir", str_z(keys), OURS_KEPT | given);
    if (c->control_socket.n >= sizeof((struct sockaddr_un *)0)->sun_path)
        load_problem(l, load_line(l, root, cfg_size(root, "control") ? "control" : "state-dir"),
                     "control: a socket's name has %zu characters at most; set control to a shorter one", sizeof((struct sockaddr_un *)0)->sun_path - 1);
    else if (cfg_size(root, "control"))
        check_ours(l, root, "control", c->control_socket, 0);
}

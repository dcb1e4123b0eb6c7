/* sallyport user: who may log in. Writes the store beside a running daemon, which sees it within
 * two seconds. Only hashes of passwords are kept (RFC 7616 5.2): SHA-256 and SHA-512/256 for
 * everybody, MD5 for those who are to be asked for nothing else. */
#include "base/mem.h"
#include "base/secret.h"
#include "cli/cli.h"
#include "cli/csv.h"
#include "cli/password.h"
#include "cli/run_priv.h"
#include "config/config.h"
#include "identity/digest.h"
#include "sip/uri.h"
#include "store/store.h"
#include <errno.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define USER_AOR_MAX 255u     /* as the location service has room for */
#define IMPORT_ERRORS_MAX 20u /* that are told */
#define IMPORT_BYTES (256u << 20)

enum { FLAG_MD5 = 1, FLAG_WEAK = 2 };
static const char *const flag_names[] = {"allow-md5", "allow-weak-password", NULL};

struct job {
    struct config *cfg;
    struct store *store;
    struct arena *arena;
    unsigned flags;
};

/* ---- names ---- */

struct name {
    struct str aor, username;
    const struct config_domain *domain;
};

/* "alice@example.com" or "sip:alice@example.com" as an address of record of a domain of ours. */
static int name_parse(struct job *j, struct str text, struct name *ret, struct reason *why)
{
    struct sip_uri u;
    bool has_scheme = str_starts_nocase(text, STR("sip:")) || str_starts_nocase(text, STR("sips:"));
    struct str uri = has_scheme ? text : arena_fmt(j->arena, "sip:%.*s", STR_FMT(text));

    if (!uri.p)
        goto no_memory;
    if (sip_uri_parse(uri, &u) != 0 || !u.has_user || str_is_empty(u.user) || u.password.n ||
        u.port || u.params.n || u.headers.n) {
        reason_set(why, "user-name", NULL, 0, "'%.*s' is not user@domain", STR_FMT(text));
        return ERR_SYNTAX;
    }
    ret->domain = config_domain_find(j->cfg, u.host);
    if (!ret->domain) {
        reason_set(why, "user-domain", NULL, 0,
                   "there is no domain \"%.*s\" in %s; add it there first", STR_FMT(u.host),
                   j->cfg->file.p);
        return ERR_NOTFOUND;
    }
    u.host = ret->domain->name;
    if (sip_uri_aor(j->arena, &u, &ret->aor) != 0)
        goto no_memory;
    if (ret->aor.n > USER_AOR_MAX) {
        reason_set(why, "user-name", NULL, 0, "the name is longer than %u bytes", USER_AOR_MAX);
        return ERR_LIMIT;
    }
    ret->username = str_make(ret->aor.p + 4, ret->aor.n - 4 - 1 - ret->domain->name.n);
    return 0;
no_memory:
    reason_set(why, "no-memory", NULL, 0, "out of memory");
    return ERR_NOMEM;
}

/* ---- a user's row ---- */

/* Fills in what is made of the password. */
static int row_make(struct job *j, const struct name *n, struct str password, bool allow_md5,
                    struct store_user *ret, struct reason *why)
{
    static const enum digest_algo algos[STORE_HA1_N] = {DIGEST_MD5, DIGEST_SHA256,
                                                        DIGEST_SHA512_256};
    bool is_weak_allowed = (j->flags & FLAG_WEAK) || n->domain->allow_weak_passwords;
    struct digest_ha1 ha1;
    int err;

    if (allow_md5 && !n->domain->allow_md5) {
        reason_set(why, "user-md5", "RFC 8760 3", 0,
                   "domain \"%.*s\" has no allow-md5 in %s; add it, or leave allow-md5 out here",
                   STR_FMT(n->domain->name), j->cfg->file.p);
        return ERR_REFUSED;
    }
    if (str_is_empty(password)) {
        reason_set(why, "password-empty", NULL, 0, "the password is empty");
        return ERR_REFUSED;
    }
    if (!is_weak_allowed &&
        (err = digest_password_check(n->username, n->domain->name, password, why)) != 0)
        return err;
    *ret = (struct store_user){
        .aor = n->aor, .username = n->username, .realm = n->domain->realm, .allow_md5 = allow_md5};
    for (size_t i = 0; i < STORE_HA1_N; i++) {
        if (algos[i] == DIGEST_MD5 && !allow_md5)
            continue;
        if ((err = digest_ha1_make(algos[i], n->username, n->domain->realm, password, &ha1)) != 0) {
            reason_set(why, "password-hash", NULL, 0, "OpenSSL has no %.*s here",
                       STR_FMT(digest_algo_text(algos[i])));
            return err;
        }
        ret->ha1_len[i] = ha1.n;
        memcpy(ret->ha1[i], ha1.bytes, ha1.n);
        secret_wipe(&ha1, sizeof(ha1));
    }
    return 0;
}

static int fail(const char *what, const struct reason *why)
{
    cli_error_reason(what, why);
    return CLI_FAILED;
}

/* ---- one user ---- */

static int set_password(struct job *j, const struct name *n, bool allow_md5, bool disabled,
                        const char *done)
{
    char buf[PASSWORD_MAX + 1];
    struct store_user u;
    struct str password;
    struct reason why = {0};
    int err = password_read(n->aor, buf, sizeof(buf), &password, &why);

    if (err == 0 && (err = row_make(j, n, password, allow_md5, &u, &why)) == 0) {
        u.disabled = disabled;
        err = store_put_user(j->store, &u, &why);
        secret_wipe(&u, sizeof(u));
    }
    secret_wipe(buf, sizeof(buf));
    if (err) {
        if (why.code && strcmp(why.code, "password-weak") == 0)
            cli_error("the password is refused: %s; --allow-weak-password takes it all the same",
                      why.detail);
        else
            cli_error_reason("user", &why);
        return CLI_FAILED;
    }
    printf("%.*s %s\n", STR_FMT(n->aor), done);
    return cli_flush();
}

static int user_add(struct job *j, const struct name *n)
{
    struct store_user old;
    struct reason why = {0};
    int err = store_get_user(j->store, j->arena, n->aor, &old, &why);

    if (err == 0) {
        cli_error(
            "user: there is a user %.*s already; `sallyport user passwd` changes the password",
            STR_FMT(n->aor));
        return CLI_FAILED;
    }
    if (err != ERR_NOTFOUND)
        return fail("user", &why);
    return set_password(j, n, j->flags & FLAG_MD5, false, "added");
}

static int user_passwd(struct job *j, const struct name *n)
{
    struct store_user old;
    struct reason why = {0};

    if (store_get_user(j->store, j->arena, n->aor, &old, &why) != 0)
        return fail("user", &why);
    return set_password(j, n, old.allow_md5 || (j->flags & FLAG_MD5), old.disabled,
                        "has a new password");
}

static int user_del(struct job *j, const struct name *n)
{
    struct reason why = {0};

    if (store_begin(j->store, &why) != 0)
        return fail("user", &why);
    if (store_del_user(j->store, n->aor, &why) != 0) {
        store_rollback(j->store);
        return fail("user", &why);
    }
    if (store_commit(j->store, &why) != 0)
        return fail("user", &why);
    printf("%.*s removed\n", STR_FMT(n->aor));
    return cli_flush();
}

static int set_disabled(struct job *j, const struct name *n, bool disabled)
{
    struct store_user u;
    struct reason why = {0};

    if (store_get_user(j->store, j->arena, n->aor, &u, &why) != 0)
        return fail("user", &why);
    u.disabled = disabled;
    if (store_put_user(j->store, &u, &why) != 0)
        return fail("user", &why);
    printf("%.*s %s\n", STR_FMT(n->aor), disabled ? "disabled" : "enabled");
    return cli_flush();
}

static int user_disable(struct job *j, const struct name *n)
{
    return set_disabled(j, n, true);
}

static int user_enable(struct job *j, const struct name *n)
{
    return set_disabled(j, n, false);
}

/* ---- list ---- */

static int list_one(void *arg, const struct store_user *u)
{
    const struct config_domain *only = arg;
    struct str at = str_make(u->aor.p, u->aor.n), domain = STR_NULL;

    for (struct str head; at.p;) {
        at = str_cut(at, '@', &head);
        if (at.p)
            domain = at;
    }
    if (only && !str_eq(domain, only->name))
        return 0;
    printf("%-40.*s %s%s\n", STR_FMT(u->aor), u->allow_md5 ? "MD5" : "SHA-256, SHA-512-256",
           u->disabled ? ", disabled" : "");
    return 0;
}

static int user_list(struct job *j, const char *domain)
{
    const struct config_domain *only = NULL;

    if (domain && !(only = config_domain_find(j->cfg, str_z(domain)))) {
        cli_error("user: there is no domain \"%s\" in %s", domain, j->cfg->file.p);
        return CLI_FAILED;
    }
    union {
        const struct config_domain *in;
        void *out;
    } arg = {.in = only};
    if (store_each_user(j->store, list_one, arg.out) != 0) {
        cli_error("user: %s cannot be read", j->cfg->store_file.p);
        return CLI_FAILED;
    }
    return cli_flush();
}

/* ---- import ---- */

struct import {
    struct job *j;
    const char *file;
    struct csv csv;
    unsigned n_users, n_errors;
};

static void import_error(struct import *im, const char *what)
{
    if (++im->n_errors <= IMPORT_ERRORS_MAX)
        cli_error("%s:%u: %s", im->file, im->csv.line, what);
}

static const char *csv_error(int err)
{
    return err == ERR_LIMIT
               ? "too long, or more than 8 fields; a line has user,domain,password,options"
               : "a quote is out of place; put the field in quotes and write each quote in it "
                 "twice";
}

static bool import_header(struct import *im)
{
    static const char *const names[] = {"user", "domain", "password", "options"};
    struct csv_record rec;
    int err = csv_next(&im->csv, &rec);
    bool ok = err == 0 && (rec.n == 3 || rec.n == ARRAY_LEN(names));

    for (size_t i = 0; ok && i < rec.n; i++)
        ok = str_eq_nocase(str_trim(rec.field[i]), str_z(names[i]));
    if (!ok)
        import_error(im, "the first line must be user,domain,password,options");
    return ok;
}

/* "allow-md5"; several are separated by spaces. */
static bool import_options(struct import *im, struct str text, bool *ret_md5)
{
    struct str word;

    *ret_md5 = false;
    while (text.p) {
        text = str_cut(text, ' ', &word);
        if (str_eq(word, STR("allow-md5")))
            *ret_md5 = true;
        else if (word.n) {
            import_error(im, "unknown option; there is only allow-md5");
            return false;
        }
    }
    return true;
}

static void import_record(struct import *im, const struct csv_record *rec)
{
    struct reason why = {0};
    struct store_user u;
    struct name n;
    struct str text;
    bool md5;

    if (rec->n < 3 || rec->n > 4) {
        import_error(im, "a line has user,domain,password and perhaps options: quote a password "
                         "that has a comma");
        return;
    }
    if (!import_options(im, rec->n > 3 ? str_trim(rec->field[3]) : STR_NULL, &md5))
        return;
    text = arena_fmt(im->j->arena, "%.*s@%.*s", STR_FMT(str_trim(rec->field[0])),
                     STR_FMT(str_trim(rec->field[1])));
    if (!text.p) {
        import_error(im, "out of memory");
        return;
    }
    if (name_parse(im->j, text, &n, &why) != 0 ||
        row_make(im->j, &n, rec->field[2], md5 || (im->j->flags & FLAG_MD5), &u, &why) != 0) {
        if (why.code && strcmp(why.code, "password-weak") == 0) {
            text = arena_fmt(
                im->j->arena,
                "the password is refused: %s; --allow-weak-password takes it all the same",
                why.detail);
            import_error(im, text.p ? text.p : why.detail);
            return;
        }
        import_error(im, why.detail);
        return;
    }
    if (im->n_errors == 0 && store_put_user(im->j->store, &u, &why) != 0)
        import_error(im, why.detail);
    secret_wipe(&u, sizeof(u));
    im->n_users++;
}

static int import_all(struct import *im)
{
    struct csv_record rec;
    struct reason why = {0};
    int err;

    if (!import_header(im))
        return CLI_FAILED;
    if (store_begin(im->j->store, &why) != 0)
        return fail("user", &why);
    while ((err = csv_next(&im->csv, &rec)) != ERR_CLOSED) {
        if (err)
            import_error(im, csv_error(err));
        else
            import_record(im, &rec);
        arena_reset(im->j->arena);
    }
    if (im->n_errors) {
        store_rollback(im->j->store);
        if (im->n_errors > IMPORT_ERRORS_MAX)
            cli_error("%s: %u more lines are wrong", im->file, im->n_errors - IMPORT_ERRORS_MAX);
        cli_error("%s: nothing was imported", im->file);
        return CLI_FAILED;
    }
    if (store_commit(im->j->store, &why) != 0)
        return fail("user", &why);
    printf("%u users imported\n", im->n_users);
    return cli_flush();
}

/* The whole file in memory; "-" is standard input. Freed and wiped by the caller. */
static int file_read(const char *file, char **ret, size_t *ret_n)
{
    FILE *f = strcmp(file, "-") == 0 ? stdin : fopen(file, "re");
    size_t cap = 0, n = 0, got = 1;
    char *p = NULL;
    int err = 0;

    while (f && got && !err) {
        if (n == cap) {
            char *bigger = cap < IMPORT_BYTES ? mem_alloc(cap ? cap * 2 : 65536) : NULL;

            if (!bigger) {
                err = ENOMEM;
                break;
            }
            if (p) {
                memcpy(bigger, p, n);
                secret_wipe(p, n);
                mem_free(p);
            }
            p = bigger;
            cap = cap ? cap * 2 : 65536;
        }
        got = fread(p + n, 1, cap - n, f);
        n += got;
    }
    if (!f || (!err && ferror(f)))
        err = errno;
    if (f && f != stdin)
        fclose(f);
    *ret = p;
    *ret_n = n;
    if (err)
        cli_error("%s: %s", file, strerror(err));
    return err ? CLI_FAILED : CLI_OK;
}

static int user_import(struct job *j, const char *file)
{
    static struct import im;
    char *text = NULL;
    size_t n = 0;
    int exit_code = file_read(file, &text, &n);

    if (exit_code == CLI_OK) {
        im = (struct import){.j = j, .file = strcmp(file, "-") == 0 ? "standard input" : file};
        csv_start(&im.csv, str_make(text, n));
        exit_code = import_all(&im);
        csv_done(&im.csv);
    }
    if (text)
        secret_wipe(text, n);
    mem_free(text);
    return exit_code;
}

/* ---- the command ---- */

/* Run by root for a daemon that is not: what is made here must be the daemon's, who is named by run-as, or has the folder. */
static void give_to_daemon(const struct config *cfg, const char *path)
{
    const struct passwd *pw = cfg->run_as.n && geteuid() == 0 ? getpwnam(cfg->run_as.p) : NULL;
    struct stat st;

    if (geteuid() != 0 || (!pw && stat(cfg->state_dir.p, &st) != 0))
        return;
    if (!become_give(path, pw ? pw->pw_uid : st.st_uid, pw ? pw->pw_gid : st.st_gid))
        cli_error("%s: %s", path, strerror(errno));
}

static int job_start(struct job *j, const char *config_file, bool read_only)
{
    struct reason why = {0};
    bool is_new;

    if (cli_config_load(config_file, &j->cfg) != CLI_OK)
        return CLI_FAILED;
    j->arena = arena_new(8192, 1 << 20);
    if (!j->arena) {
        cli_error("out of memory");
        return CLI_FAILED;
    }
    if (mkdir(j->cfg->state_dir.p, 0700) == 0) {
        give_to_daemon(j->cfg, j->cfg->state_dir.p);
    } else if (errno != EEXIST) {
        cli_error("%s: %s", j->cfg->state_dir.p, strerror(errno));
        return CLI_FAILED;
    }
    is_new = access(j->cfg->store_file.p, F_OK) != 0;
    if (store_open(j->cfg->store_file.p, read_only && !is_new, &j->store, &why) != 0)
        return fail("user", &why);
    if (is_new)
        give_to_daemon(j->cfg, j->cfg->store_file.p);
    return CLI_OK;
}

static const struct {
    const char *name;
    int (*run)(struct job *j, const struct name *n);
} verbs[] = {
    {"add", user_add},         {"passwd", user_passwd}, {"del", user_del},
    {"disable", user_disable}, {"enable", user_enable},
};

static int run_verb(struct job *j, const char *verb, const char *arg)
{
    struct reason why = {0};
    struct name n;

    if (strcmp(verb, "list") == 0)
        return user_list(j, arg);
    if (strcmp(verb, "import") == 0)
        return user_import(j, arg);
    if (name_parse(j, str_z(arg), &n, &why) != 0)
        return fail("user", &why);
    for (size_t i = 0; i < ARRAY_LEN(verbs); i++) {
        if (strcmp(verb, verbs[i].name) == 0)
            return verbs[i].run(j, &n);
    }
    return CLI_USAGE;
}

/* Are there as many arguments as the verb needs? */
static bool verb_fits(const char *verb, const char *arg)
{
    if (strcmp(verb, "list") == 0)
        return true;
    if (strcmp(verb, "import") == 0)
        return arg != NULL;
    for (size_t i = 0; i < ARRAY_LEN(verbs); i++) {
        if (strcmp(verb, verbs[i].name) == 0)
            return arg != NULL;
    }
    return false;
}

int cli_user(int argc, char **argv)
{
    struct cli_options o = {.config = CLI_CONFIG_FILE};
    struct job j = {.cfg = NULL};
    const char *verb, *arg;
    int exit_code;

    if (cli_options(argc, argv, flag_names, &o) != CLI_OK)
        return CLI_USAGE;
    verb = o.first < argc ? argv[o.first] : NULL;
    arg = o.first + 1 < argc ? argv[o.first + 1] : NULL;
    if (!verb || o.first + 2 < argc || !verb_fits(verb, arg))
        return cli_usage(argv[0]);
    j.flags = o.flags;
    exit_code = job_start(&j, o.config, strcmp(verb, "list") == 0);
    if (exit_code == CLI_OK)
        exit_code = run_verb(&j, verb, arg);
    store_close(j.store);
    arena_free(j.arena);
    if (j.cfg)
        config_unref(j.cfg);
    return exit_code;
}

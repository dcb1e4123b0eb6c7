/* The embedded store on SQLite: write-ahead log, synchronous=NORMAL. A transaction that was
 * committed survives the end of the process at any moment; only a power failure may lose the last
 * ones, never consistency.
 *
 * Users carry a log of changes, kept by triggers, so that a running daemon sees what the command
 * line tool (or an administrator's own SQL) does: PRAGMA data_version says cheaply that another
 * connection has written, the log says what.
 *
 * Owner of everything here: struct store, under db_lock. */

#include "base/mem.h"
#include "base/sbuf.h"
#include "base/secret.h"
#include "store/store_priv.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define STORE_APPLICATION_ID 0x53505354 /* "SPST" */
#define STORE_VERSION 2

/* Each entry brings a store from the version of its index to the next one. */
static const char *const migrations[STORE_VERSION] = {
    "CREATE TABLE users("
    " aor TEXT PRIMARY KEY NOT NULL, username TEXT NOT NULL, realm TEXT NOT NULL,"
    " ha1_md5 BLOB, ha1_sha256 BLOB, ha1_sha512_256 BLOB,"
    " allow_md5 INTEGER NOT NULL DEFAULT 0, disabled INTEGER NOT NULL DEFAULT 0) WITHOUT ROWID;"
    "CREATE TABLE bindings("
    " aor TEXT NOT NULL, key TEXT NOT NULL, contact TEXT NOT NULL, path TEXT NOT NULL, call_id "
    "TEXT NOT NULL,"
    " cseq INTEGER NOT NULL, q_milli INTEGER NOT NULL, reg_id INTEGER NOT NULL, instance TEXT NOT "
    "NULL,"
    " expires_s INTEGER NOT NULL, registered_s INTEGER NOT NULL, gruu_epoch INTEGER NOT NULL, "
    "source TEXT NOT NULL,"
    " transport INTEGER NOT NULL, secure INTEGER NOT NULL, listener INTEGER NOT NULL, remote TEXT "
    "NOT NULL,"
    " local TEXT NOT NULL, user_agent TEXT NOT NULL, PRIMARY KEY(aor, key)) WITHOUT ROWID;"
    "CREATE TABLE user_changes(n INTEGER PRIMARY KEY AUTOINCREMENT, aor TEXT NOT NULL);"
    "CREATE TRIGGER user_added AFTER INSERT ON users BEGIN"
    " INSERT INTO user_changes(aor) VALUES(new.aor); END;"
    "CREATE TRIGGER user_changed AFTER UPDATE ON users BEGIN"
    " INSERT INTO user_changes(aor) VALUES(old.aor);"
    " INSERT INTO user_changes(aor) SELECT new.aor WHERE new.aor <> old.aor; END;"
    "CREATE TRIGGER user_removed AFTER DELETE ON users BEGIN"
    " INSERT INTO user_changes(aor) VALUES(old.aor); END;",
    /* Who registered by the old password is not known any more, also where no daemon runs meanwhile. */
    "CREATE TRIGGER user_rehashed AFTER UPDATE ON users WHEN old.ha1_md5 IS NOT new.ha1_md5 OR old.ha1_sha256 IS NOT new.ha1_sha256"
    " OR old.ha1_sha512_256 IS NOT new.ha1_sha512_256 OR old.username IS NOT new.username OR old.realm IS NOT new.realm OR new.disabled"
    " BEGIN DELETE FROM bindings WHERE aor=old.aor; END;",
};

static const char *const stmt_sql[STMT_N] = {
    [STMT_PUT_BINDING] =
        "INSERT OR REPLACE INTO bindings(aor, key, contact, path, call_id, cseq, q_milli, reg_id, "
        "instance, expires_s,"
        " registered_s, gruu_epoch, source, transport, secure, listener, remote, local, user_agent)"
        " VALUES(?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11,?12,?13,?14,?15,?16,?17,?18,?19)",
    [STMT_DEL_BINDING] = "DELETE FROM bindings WHERE aor=?1 AND key=?2",
    [STMT_PUT_USER] = "INSERT INTO users(aor, username, realm, ha1_md5, ha1_sha256, "
                      "ha1_sha512_256, allow_md5, disabled)"
                      " VALUES(?1,?2,?3,?4,?5,?6,?7,?8) ON CONFLICT(aor) DO UPDATE SET "
                      "username=?2, realm=?3, ha1_md5=?4, ha1_sha256=?5,"
                      " ha1_sha512_256=?6, allow_md5=?7, disabled=?8",
    [STMT_DEL_USER] = "DELETE FROM users WHERE aor=?1",
    [STMT_DEL_USER_BINDINGS] = "DELETE FROM bindings WHERE aor=?1",
    [STMT_GET_USER] = "SELECT aor, username, realm, ha1_md5, ha1_sha256, ha1_sha512_256, "
                      "allow_md5, disabled FROM users"
                      " WHERE aor=?1",
    /* Left join: a user who is gone comes with NULLs. */
    [STMT_CHANGES] = "SELECT c.n, c.aor, u.username, u.realm, u.ha1_md5, u.ha1_sha256, "
                     "u.ha1_sha512_256, u.allow_md5,"
                     " u.disabled FROM user_changes c LEFT JOIN users u ON u.aor = c.aor WHERE c.n "
                     "> ?1 ORDER BY c.n",
    [STMT_CLEAR_CHANGES] = "DELETE FROM user_changes WHERE n <= ?1",
    [STMT_MOVE_TIMES] = "UPDATE bindings SET expires_s = max(0, expires_s + ?1), registered_s = max(0, registered_s + ?1)",
    [STMT_DATA_VERSION] = "PRAGMA data_version",
};

/* ---- errors ---- */

static bool is_cured_by_reopening(int rc)
{
    switch (rc & 0xff) {
    case SQLITE_IOERR:
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
    case SQLITE_READONLY:
    case SQLITE_CANTOPEN:
        return true;
    default:
        return false;
    }
}

static const char *code_name(int rc)
{
    switch (rc & 0xff) {
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return "store-busy";
    case SQLITE_FULL:
        return "store-full";
    case SQLITE_READONLY:
        return "store-read-only";
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
        return "store-damaged";
    case SQLITE_NOMEM:
        return "no-memory";
    default:
        return "store-io";
    }
}

static int db_failed(struct store *s, int rc, struct reason *why)
{
    if (is_cured_by_reopening(rc))
        s->must_reopen = true;
    reason_set(why, code_name(rc), NULL, 0, "%s: %s", s->file,
               s->db ? sqlite3_errmsg(s->db) : sqlite3_errstr(rc));
    switch (rc & 0xff) {
    case SQLITE_NOMEM:
        return ERR_NOMEM;
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return ERR_AGAIN;
    default:
        return ERR_IO;
    }
}

int db_exec(struct store *s, const char *sql, struct reason *why)
{
    int rc = sqlite3_exec(s->db, sql, NULL, NULL, NULL);

    return rc == SQLITE_OK ? 0 : db_failed(s, rc, why);
}

static int db_number(struct store *s, const char *sql, int64_t *ret, struct reason *why)
{
    sqlite3_stmt *st;
    int rc = sqlite3_prepare_v2(s->db, sql, -1, &st, NULL);

    *ret = 0;
    if (rc == SQLITE_OK && (rc = sqlite3_step(st)) == SQLITE_ROW) {
        *ret = sqlite3_column_int64(st, 0);
        rc = SQLITE_OK;
    } else if (rc == SQLITE_DONE) {
        rc = SQLITE_OK;
    }
    sqlite3_finalize(st);
    return rc == SQLITE_OK ? 0 : db_failed(s, rc, why);
}

/* ---- opening ---- */

/* Makes the file before SQLite does, so that it never exists with a wider mode; looks at the one
 * that is there. */
static int file_prepare(struct store *s, bool *ret_is_new, struct reason *why)
{
    struct stat st;
    int fd = -1;

    if (!s->read_only)
        fd = open(s->file, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    *ret_is_new = fd >= 0;
    if (fd >= 0) {
        close(fd);
        return 0;
    }
    if (stat(s->file, &st) != 0) {
        reason_set(why, "store-open", NULL, 0, "%s: %s", s->file, strerror(errno));
        return ERR_IO;
    }
    if (!S_ISREG(st.st_mode)) {
        reason_set(why, "store-open", NULL, 0, "%s is not a regular file", s->file);
        return ERR_INVALID;
    }
    if ((st.st_mode & 077) != 0) {
        reason_set(why, "store-mode", NULL, 0,
                   "%s has password hashes and can be read by others; chmod 600 it", s->file);
        return ERR_REFUSED;
    }
    return 0;
}

static int db_prepare_all(struct store *s, struct reason *why)
{
    for (size_t i = 0; i < STMT_N; i++) {
        int rc = sqlite3_prepare_v3(s->db, stmt_sql[i], -1, SQLITE_PREPARE_PERSISTENT, &s->stmts[i],
                                    NULL);

        if (rc != SQLITE_OK)
            return db_failed(s, rc, why);
    }
    return 0;
}

static int db_migrate(struct store *s, struct reason *why)
{
    int64_t version, application, n_tables;
    char sql[64];
    int err;

    if ((err = db_number(s, "PRAGMA user_version", &version, why)) != 0 ||
        (err = db_number(s, "PRAGMA application_id", &application, why)) != 0 ||
        (err = db_number(s, "SELECT count(*) FROM sqlite_master", &n_tables, why)) != 0)
        return err;
    if (application != STORE_APPLICATION_ID && (n_tables > 0 || version != 0)) {
        reason_set(why, "store-foreign", NULL, 0, "%s is a database of another program", s->file);
        return ERR_INVALID;
    }
    if (version > STORE_VERSION) {
        reason_set(why, "store-newer", NULL, 0,
                   "%s was written by a newer version (%d, this one knows %d)", s->file,
                   (int)version, STORE_VERSION);
        return ERR_UNSUPPORTED;
    }
    if (version == STORE_VERSION)
        return 0;
    if (s->is_db_read_only) {
        reason_set(why, "store-older", NULL, 0,
                   "%s has to be brought up to date and cannot be written", s->file);
        return ERR_IO;
    }
    if ((err = db_exec(s, "BEGIN IMMEDIATE", why)) != 0)
        return err;
    /* Two processes may have come here at once: only who finds the old version under the lock goes
     * on. */
    if ((err = db_number(s, "PRAGMA user_version", &version, why)) != 0)
        goto out;
    for (; version < STORE_VERSION; version++) {
        if ((err = db_exec(s, migrations[version], why)) != 0)
            goto out;
    }
    snprintf(sql, sizeof(sql), "PRAGMA application_id=%d; PRAGMA user_version=%d",
             STORE_APPLICATION_ID, STORE_VERSION);
    if ((err = db_exec(s, sql, why)) == 0)
        err = db_exec(s, "COMMIT", why);
out:
    if (err)
        (void)sqlite3_exec(s->db, "ROLLBACK", NULL, NULL, NULL);
    return err;
}

/* A file that we may not write: SQLite's shared memory beside it would get the same mode and be in
 * the way later, or cannot be made at all. Without a log beside it the file alone is the whole
 * truth. */
static int open_immutable(struct store *s)
{
    char uri[4096 + 32], wal[4096];
    struct stat st;
    struct sbuf b = sbuf_make(uri, sizeof(uri) - 1);

    if ((size_t)snprintf(wal, sizeof(wal), "%s-wal", s->file) >= sizeof(wal) ||
        (stat(wal, &st) == 0 && st.st_size > 0))
        return SQLITE_CANTOPEN;
    sbuf_lit(&b, "file:");
    for (const char *p = s->file; *p; p++) {
        if (*p == '?' || *p == '#' || *p == '%') {
            sbuf_char(&b, '%');
            sbuf_hex(&b, p, 1);
        } else {
            sbuf_char(&b, *p);
        }
    }
    sbuf_lit(&b, "?immutable=1");
    if (b.overflow)
        return SQLITE_CANTOPEN;
    uri[b.n] = 0;
    return sqlite3_open_v2(uri, &s->db,
                           SQLITE_OPEN_READONLY | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_URI, NULL);
}

/* Does the connection really read? Opening alone touches nothing. */
static int db_touch(struct store *s)
{
    return sqlite3_exec(s->db, "SELECT count(*) FROM sqlite_master", NULL, NULL, NULL);
}

static int open_connection(struct store *s, struct reason *why)
{
    int rc;

    s->is_db_read_only = s->read_only;
    if (!s->read_only) {
        rc = sqlite3_open_v2(s->file, &s->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL);
        if (rc == SQLITE_OK && sqlite3_db_readonly(s->db, "main") == 0 &&
            (rc = db_touch(s)) == SQLITE_OK)
            return 0;
        if (rc != SQLITE_OK && !is_cured_by_reopening(rc))
            return db_failed(s, rc, why);
        sqlite3_close(s->db);
        s->db = NULL;
        s->is_db_read_only = true;
    }
    if (!s->read_only) {
        rc = open_immutable(s);
        if (rc == SQLITE_OK && (rc = db_touch(s)) == SQLITE_OK)
            return 0;
        sqlite3_close(s->db);
        s->db = NULL;
    }
    rc = sqlite3_open_v2(s->file, &s->db, SQLITE_OPEN_READONLY | SQLITE_OPEN_NOMUTEX, NULL);
    if (rc == SQLITE_OK && (rc = db_touch(s)) == SQLITE_OK)
        return 0;
    return db_failed(s, rc, why);
}

int db_open(struct store *s, struct reason *why)
{
    bool is_new;
    int err;

    if ((err = file_prepare(s, &is_new, why)) != 0)
        return err;
    if ((err = open_connection(s, why)) != 0)
        goto fail;
    sqlite3_busy_timeout(s->db, STORE_BUSY_MS);
    sqlite3_extended_result_codes(s->db, 1);
    (void)sqlite3_db_config(s->db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
    if ((err = db_exec(
             s, "PRAGMA trusted_schema=OFF; PRAGMA cell_size_check=ON; PRAGMA temp_store=MEMORY",
             why)) != 0)
        goto fail;
    /* secure_delete: hashes of users who are gone do not stay in free pages. */
    if (!s->is_db_read_only &&
        (err =
             db_exec(s,
                     "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA secure_delete=ON;"
                     " PRAGMA journal_size_limit=16777216",
                     why)) != 0)
        goto fail;
    if ((err = db_migrate(s, why)) != 0 || (err = db_prepare_all(s, why)) != 0)
        goto fail;
    s->must_reopen = false;
    s->seen_version = -1;
    return 0;
fail:
    db_close(s);
    if (is_new)
        unlink(s->file);
    return err;
}

void db_close(struct store *s)
{
    for (size_t i = 0; i < STMT_N; i++) {
        sqlite3_finalize(s->stmts[i]);
        s->stmts[i] = NULL;
    }
    sqlite3_close(s->db);
    s->db = NULL;
}

/* ---- values ---- */

static void bind_str(sqlite3_stmt *st, int i, struct str s)
{
    (void)sqlite3_bind_text(st, i, s.p ? s.p : "", (int)s.n, SQLITE_STATIC);
}

static void bind_u64(sqlite3_stmt *st, int i, uint64_t v)
{
    (void)sqlite3_bind_int64(st, i, (int64_t)v);
}

static struct str column_str(sqlite3_stmt *st, int i)
{
    const unsigned char *p = sqlite3_column_text(st, i);

    return str_make((const char *)p, p ? (size_t)sqlite3_column_bytes(st, i) : 0);
}

/* Runs a statement that gives no rows. */
static int stmt_run(struct store *s, enum store_stmt which, struct reason *why)
{
    sqlite3_stmt *st = s->stmts[which];
    int rc = sqlite3_step(st);
    int err = rc == SQLITE_DONE || rc == SQLITE_ROW ? 0 : db_failed(s, rc, why);

    (void)sqlite3_reset(st);
    (void)sqlite3_clear_bindings(st);
    return err;
}

static void user_read(sqlite3_stmt *st, int first, struct store_user *u)
{
    u->username = column_str(st, first);
    u->realm = column_str(st, first + 1);
    for (int i = 0; i < STORE_HA1_N; i++) {
        const void *p = sqlite3_column_blob(st, first + 2 + i);
        int n = sqlite3_column_bytes(st, first + 2 + i);

        u->ha1_len[i] = 0;
        if (!p || n <= 0 || (size_t)n > sizeof(u->ha1[i]))
            continue;
        memcpy(u->ha1[i], p, (size_t)n);
        u->ha1_len[i] = (uint8_t)n;
    }
    u->allow_md5 = sqlite3_column_int(st, first + 5) != 0;
    u->disabled = sqlite3_column_int(st, first + 6) != 0;
}

static void binding_read(sqlite3_stmt *st, struct store_binding *b)
{
    *b = (struct store_binding){
        .aor = column_str(st, 0),
        .key = column_str(st, 1),
        .contact = column_str(st, 2),
        .path = column_str(st, 3),
        .call_id = column_str(st, 4),
        .cseq = (uint32_t)sqlite3_column_int64(st, 5),
        .q_milli = (uint32_t)sqlite3_column_int64(st, 6),
        .reg_id = (uint32_t)sqlite3_column_int64(st, 7),
        .instance = column_str(st, 8),
        .expires_s = (uint64_t)sqlite3_column_int64(st, 9),
        .registered_s = (uint64_t)sqlite3_column_int64(st, 10),
        .gruu_epoch = (uint64_t)sqlite3_column_int64(st, 11),
        .source = column_str(st, 12),
        .transport = (uint8_t)sqlite3_column_int(st, 13),
        .secure = (uint8_t)sqlite3_column_int(st, 14),
        .listener = (uint16_t)sqlite3_column_int(st, 15),
        .remote = column_str(st, 16),
        .local = column_str(st, 17),
        .user_agent = column_str(st, 18),
    };
}

/* An end that lies before the year 1970 is one that has passed. */
static uint64_t wall_of(uint64_t steady_s, int64_t ahead_s)
{
    return ahead_s < 0 && (uint64_t)-ahead_s > steady_s ? 0 : steady_s + (uint64_t)ahead_s;
}

static void binding_bind(sqlite3_stmt *st, const struct store_binding *b, int64_t ahead_s)
{
    bind_str(st, 1, b->aor);
    bind_str(st, 2, b->key);
    bind_str(st, 3, b->contact);
    bind_str(st, 4, b->path);
    bind_str(st, 5, b->call_id);
    bind_u64(st, 6, b->cseq);
    bind_u64(st, 7, b->q_milli);
    bind_u64(st, 8, b->reg_id);
    bind_str(st, 9, b->instance);
    bind_u64(st, 10, wall_of(b->expires_s, ahead_s));
    bind_u64(st, 11, wall_of(b->registered_s, ahead_s));
    bind_u64(st, 12, b->gruu_epoch);
    bind_str(st, 13, b->source);
    bind_u64(st, 14, b->transport);
    bind_u64(st, 15, b->secure);
    bind_u64(st, 16, b->listener);
    bind_str(st, 17, b->remote);
    bind_str(st, 18, b->local);
    bind_str(st, 19, b->user_agent);
}

/* ---- writing ---- */

static int change_write(struct store *s, const struct store_change *c, int64_t ahead_s, struct reason *why)
{
    if (!c->is_del) {
        binding_bind(s->stmts[STMT_PUT_BINDING], &c->b, ahead_s);
        return stmt_run(s, STMT_PUT_BINDING, why);
    }
    bind_str(s->stmts[STMT_DEL_BINDING], 1, c->b.aor);
    bind_str(s->stmts[STMT_DEL_BINDING], 2, c->b.key);
    return stmt_run(s, STMT_DEL_BINDING, why);
}

/* A connection that can write, made anew if the last error asks for it. */
static int db_writable(struct store *s, struct reason *why)
{
    int err;

    if (s->read_only) {
        reason_set(why, "store-read-only", NULL, 0, "%s was opened for reading", s->file);
        return ERR_IO;
    }
    if (!s->db || s->must_reopen || s->is_db_read_only) {
        db_close(s);
        if ((err = db_open(s, why)) != 0)
            return err;
    }
    if (s->is_db_read_only) {
        reason_set(why, "store-read-only", NULL, 0, "%s cannot be written", s->file);
        return ERR_IO;
    }
    return 0;
}

int db_write_changes(struct store *s, struct list *changes, int64_t ahead_s, struct reason *why)
{
    int64_t by_s = ahead_s - s->file_ahead_s;
    int err;

    if (s->db && !sqlite3_get_autocommit(s->db)) {
        reason_set(why, "store-busy", NULL, 0, "%s: users are being changed", s->file);
        return ERR_AGAIN; /* store_begin without its store_commit */
    }
    if ((err = db_writable(s, why)) != 0 || (err = db_exec(s, "BEGIN IMMEDIATE", why)) != 0)
        return err;
    if (by_s) {
        (void)sqlite3_bind_int64(s->stmts[STMT_MOVE_TIMES], 1, by_s);
        err = stmt_run(s, STMT_MOVE_TIMES, why);
    }
    LIST_EACH(c, changes, struct store_change, link)
    {
        if (err || (err = change_write(s, c, ahead_s, why)) != 0)
            break;
    }
    if (!err)
        err = db_exec(s, "COMMIT", why);
    if (err)
        (void)sqlite3_exec(s->db, "ROLLBACK", NULL, NULL, NULL);
    else
        s->file_ahead_s = ahead_s;
    return err;
}

/* ---- reading ---- */

int store_each_user(struct store *s, int (*fn)(void *arg, const struct store_user *u), void *arg)
{
    sqlite3_stmt *st = NULL;
    struct store_user u;
    struct reason why;
    int rc, err = 0;

    pthread_mutex_lock(&s->db_lock);
    if (!s->db) {
        err = ERR_IO;
        goto out;
    }
    /* One view of both: what is changed after it will be seen by the watch. */
    if ((err = db_exec(s, "BEGIN", &why)) != 0)
        goto out;
    rc = sqlite3_prepare_v2(s->db,
                            "SELECT aor, username, realm, ha1_md5, ha1_sha256, ha1_sha512_256, "
                            "allow_md5, disabled FROM users",
                            -1, &st, NULL);
    while (rc == SQLITE_OK || rc == SQLITE_ROW) {
        if ((rc = sqlite3_step(st)) != SQLITE_ROW)
            break;
        u.aor = column_str(st, 0);
        user_read(st, 1, &u);
        if ((err = fn(arg, &u)) < 0)
            break;
        err = 0;
    }
    sqlite3_finalize(st);
    if (!err && rc != SQLITE_DONE)
        err = db_failed(s, rc, &why);
    if (!err)
        err = db_number(
            s, "SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name='user_changes'",
            &s->seen_change, &why);
    (void)sqlite3_exec(s->db, "COMMIT", NULL, NULL, NULL);
    secret_wipe(&u, sizeof(u));
out:
    pthread_mutex_unlock(&s->db_lock);
    return err;
}

int store_each_binding(struct store *s, int (*fn)(void *arg, const struct store_binding *b),
                       void *arg)
{
    sqlite3_stmt *st = NULL;
    struct store_binding b;
    struct reason why;
    int rc, err = 0;

    pthread_mutex_lock(&s->db_lock);
    if (!s->db) {
        err = ERR_IO;
        goto out;
    }
    rc = sqlite3_prepare_v2(
        s->db,
        "SELECT aor, key, contact, path, call_id, cseq, q_milli, reg_id, instance, expires_s, "
        "registered_s,"
        " gruu_epoch, source, transport, secure, listener, remote, local, user_agent FROM bindings",
        -1, &st, NULL);
    while (rc == SQLITE_OK || rc == SQLITE_ROW) {
        if ((rc = sqlite3_step(st)) != SQLITE_ROW)
            break;
        binding_read(st, &b);
        if ((err = fn(arg, &b)) < 0)
            break;
        err = 0;
    }
    if (!err && rc != SQLITE_DONE)
        err = db_failed(s, rc, &why);
    sqlite3_finalize(st);
out:
    pthread_mutex_unlock(&s->db_lock);
    return err;
}

/* ---- users ---- */

int store_put_user(struct store *s, const struct store_user *u, struct reason *why)
{
    sqlite3_stmt *st;
    int err;

    pthread_mutex_lock(&s->db_lock);
    if ((err = sqlite3_get_autocommit(s->db) ? db_writable(s, why) : 0) != 0)
        goto out;
    st = s->stmts[STMT_PUT_USER];
    bind_str(st, 1, u->aor);
    bind_str(st, 2, u->username);
    bind_str(st, 3, u->realm);
    for (int i = 0; i < STORE_HA1_N; i++) {
        if (u->ha1_len[i])
            (void)sqlite3_bind_blob(st, 4 + i, u->ha1[i], u->ha1_len[i], SQLITE_STATIC);
    }
    bind_u64(st, 7, u->allow_md5);
    bind_u64(st, 8, u->disabled);
    err = stmt_run(s, STMT_PUT_USER, why);
out:
    pthread_mutex_unlock(&s->db_lock);
    return err;
}

int store_get_user(struct store *s, struct arena *a, struct str aor, struct store_user *ret,
                   struct reason *why)
{
    sqlite3_stmt *st;
    int rc, err = 0;

    pthread_mutex_lock(&s->db_lock);
    *ret = (struct store_user){.aor = STR_NULL};
    if (!s->db) {
        reason_set(why, "store-io", NULL, 0, "%s is not open", s->file);
        err = ERR_IO;
        goto out;
    }
    st = s->stmts[STMT_GET_USER];
    bind_str(st, 1, aor);
    rc = sqlite3_step(st);
    if (rc == SQLITE_ROW) {
        user_read(st, 1, ret);
        ret->aor = arena_str(a, column_str(st, 0));
        ret->username = arena_str(a, ret->username);
        ret->realm = arena_str(a, ret->realm);
        err = ret->aor.p && ret->username.p && ret->realm.p ? 0 : ERR_NOMEM;
    } else if (rc == SQLITE_DONE) {
        reason_set(why, "user-unknown", NULL, 0, "there is no user %.*s", STR_FMT(aor));
        err = ERR_NOTFOUND;
    } else {
        err = db_failed(s, rc, why);
    }
    (void)sqlite3_reset(st);
    (void)sqlite3_clear_bindings(st);
out:
    pthread_mutex_unlock(&s->db_lock);
    return err;
}

int store_del_user(struct store *s, struct str aor, struct reason *why)
{
    int err;

    pthread_mutex_lock(&s->db_lock);
    if ((err = sqlite3_get_autocommit(s->db) ? db_writable(s, why) : 0) != 0)
        goto out;
    bind_str(s->stmts[STMT_DEL_USER_BINDINGS], 1, aor);
    if ((err = stmt_run(s, STMT_DEL_USER_BINDINGS, why)) != 0)
        goto out;
    bind_str(s->stmts[STMT_DEL_USER], 1, aor);
    if ((err = stmt_run(s, STMT_DEL_USER, why)) == 0 && sqlite3_changes(s->db) == 0) {
        reason_set(why, "user-unknown", NULL, 0, "there is no user %.*s", STR_FMT(aor));
        err = ERR_NOTFOUND;
    }
out:
    pthread_mutex_unlock(&s->db_lock);
    return err;
}

int store_begin(struct store *s, struct reason *why)
{
    int err;

    pthread_mutex_lock(&s->db_lock);
    if ((err = db_writable(s, why)) == 0)
        err = db_exec(s, "BEGIN IMMEDIATE", why);
    pthread_mutex_unlock(&s->db_lock);
    return err;
}

int store_commit(struct store *s, struct reason *why)
{
    int err;

    pthread_mutex_lock(&s->db_lock);
    if ((err = db_exec(s, "COMMIT", why)) != 0)
        (void)sqlite3_exec(s->db, "ROLLBACK", NULL, NULL, NULL);
    pthread_mutex_unlock(&s->db_lock);
    return err;
}

void store_rollback(struct store *s)
{
    pthread_mutex_lock(&s->db_lock);
    if (s->db && !sqlite3_get_autocommit(s->db))
        (void)sqlite3_exec(s->db, "ROLLBACK", NULL, NULL, NULL);
    pthread_mutex_unlock(&s->db_lock);
}

/* ---- the watch ---- */

static int data_version(struct store *s, int64_t *ret, struct reason *why)
{
    sqlite3_stmt *st = s->stmts[STMT_DATA_VERSION];
    int rc = sqlite3_step(st), err = 0;

    if (rc == SQLITE_ROW)
        *ret = sqlite3_column_int64(st, 0);
    else
        err = db_failed(s, rc, why);
    (void)sqlite3_reset(st);
    return err;
}

static int changes_hand_on(struct store *s, struct reason *why)
{
    sqlite3_stmt *st = s->stmts[STMT_CHANGES];
    int64_t before = s->seen_change;
    struct store_user u;
    int rc, err = 0;

    (void)sqlite3_bind_int64(st, 1, s->seen_change);
    while ((rc = sqlite3_step(st)) == SQLITE_ROW) {
        bool is_deleted = sqlite3_column_type(st, 2) == SQLITE_NULL;

        u = (struct store_user){.aor = column_str(st, 1)};
        if (!is_deleted)
            user_read(st, 2, &u);
        s->watch_fn(s->watch_arg, &u, is_deleted);
        s->seen_change = sqlite3_column_int64(st, 0);
    }
    secret_wipe(&u, sizeof(u));
    if (rc != SQLITE_DONE)
        err = db_failed(s, rc, why);
    (void)sqlite3_reset(st);
    if (err || s->seen_change == before || s->is_db_read_only)
        return err;
    (void)sqlite3_bind_int64(s->stmts[STMT_CLEAR_CHANGES], 1, s->seen_change);
    return stmt_run(s, STMT_CLEAR_CHANGES, why);
}

int db_watch(struct store *s, struct reason *why)
{
    int64_t version = 0;
    int err;

    /* What was missed meanwhile is in the log of changes. A file that cannot be written may be open
     * as one that never changes. */
    if (!s->db || s->must_reopen || s->is_db_read_only) {
        db_close(s);
        if ((err = db_open(s, why)) != 0)
            return err;
    }
    if ((err = data_version(s, &version, why)) != 0 || version == s->seen_version)
        return err;
    if ((err = changes_hand_on(s, why)) == 0)
        s->seen_version = version;
    return err;
}

/* Bad days of the store: no way of dying or of running out of something loses more than it must, and
 * files that are damaged, foreign, busy or read-only are met as store.h says. */
#include "store_help.h"

/* Runs fn in a child process that is no longer root, so that file modes count; its exit status
 * comes back. */
static int as_nobody(int (*fn)(void))
{
    pid_t pid = fork();
    int status = -1;

    if (pid == 0) {
        if (geteuid() == 0 &&
            (setresgid(65534, 65534, 65534) != 0 || setresuid(65534, 65534, 65534) != 0))
            _exit(99);
        _exit(fn());
    }
    assert_true(pid > 0);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static int child_read_only(void)
{
    struct store *s;
    struct store_binding b = binding("sip:new@b", "k");
    struct store_user u = user("sip:c@d");
    struct reason why = {0};
    struct seen seen = {0};

    if (store_open(file, false, &s, &why) != 0)
        return 1;
    if (health(s).writable)
        return 2;
    if (store_each_user(s, see_user, &seen) != 0 || seen.n != 1)
        return 3;
    if (store_put_user(s, &u, &why) == 0 || strcmp(why.code, "store-read-only") != 0)
        return 4;
    if (store_put_binding(s, &b) != 0)
        return 5;
    for (int i = 0; i < 500 && health(s).failed == 0; i++)
        usleep(10000);
    if (health(s).failed == 0 || health(s).writable || health(s).queued != 1)
        return 6;
    /* then it becomes writable */
    if (chmod(dir, 0700) != 0 || chmod(file, 0600) != 0)
        return 7;
    for (int i = 0; i < 500 && !health(s).writable; i++)
        usleep(10000);
    if (!health(s).writable || health(s).queued != 0)
        return 8;
    if (store_put_user(s, &u, &why) != 0)
        return 9;
    store_close(s);
    return 0;
}

static void test_read_only(void **state)
{
    struct store *s = open_ok(false);
    struct store_user u = user("sip:a@b");
    struct reason why;

    (void)state;
    check_err(store_put_user(s, &u, &why), 0);
    store_close(s);
    if (geteuid() == 0) {
        assert_int_equal(chown(dir, 65534, 65534), 0);
        assert_int_equal(chown(file, 65534, 65534), 0);
    }
    /* the file, then the file and its folder */
    assert_int_equal(chmod(file, 0400), 0);
    assert_int_equal(as_nobody(child_read_only), 0);
    sql("DELETE FROM users WHERE aor='sip:c@d'; DELETE FROM bindings");
    assert_int_equal(chmod(file, 0400), 0);
    assert_int_equal(chmod(dir, 0500), 0);
    assert_int_equal(as_nobody(child_read_only), 0);
    if (geteuid() == 0)
        assert_int_equal(chown(dir, 0, 0), 0);
    assert_int_equal(sql_number("SELECT count(*) FROM bindings"), 1);
}

/* Another process holds the write lock for longer than we wait. */
static void test_busy(void **state)
{
    struct store *s = open_ok(false);
    struct store_binding b = binding("sip:a@b", "k");
    struct store_user u = user("sip:a@b");
    struct reason why = {0};
    sqlite3 *other;

    (void)state;
    sqlite3_busy_timeout(s->db, 50);
    assert_int_equal(sqlite3_open(file, &other), SQLITE_OK);
    assert_int_equal(sqlite3_exec(other, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
    check_err(store_put_user(s, &u, &why), ERR_AGAIN);
    assert_string_equal(why.code, "store-busy");
    check_err(store_begin(s, &why), ERR_AGAIN);
    check_err(store_put_binding(s, &b), 0);
    /* waiting or on its way: never neither queued nor written */
    wait_for((assert_int_equal(health(s).queued, 1), !health(s).writable));
    assert_int_equal(sqlite3_exec(other, "COMMIT", NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(other);
    wait_for(health(s).writable && health(s).queued == 0);
    store_close(s);
    assert_int_equal(sql_number("SELECT count(*) FROM bindings"), 1);
}

static void damage(off_t at, const char *bytes, size_t n)
{
    int fd = open(file, O_WRONLY);

    assert_true(fd >= 0);
    assert_int_equal(pwrite(fd, bytes, n, at), (ssize_t)n);
    close(fd);
}

/* A damaged file: no crash, an error that says so, changes kept; when a good file takes its place,
 * they are written. */
static void test_damaged(void **state)
{
    char junk[4096], good[2048];
    struct store *s = open_ok(false);
    struct store_binding b = binding("sip:a@b", "k");
    struct reason why = {0};

    (void)state;
    memset(junk, 0x5a, sizeof(junk));
    check_err(store_put_binding(s, &b), 0);
    store_close(s);
    snprintf(good, sizeof(good), "cp %s %s.good", file, file);
    assert_int_equal(system(good), 0);
    damage(0, junk, 100);
    check_err(store_open(file, false, &s, &why), ERR_IO);
    assert_null(s);
    assert_string_equal(why.code, "store-damaged");
    snprintf(good, sizeof(good), "cp %s.good %s", file, file);
    assert_int_equal(system(good), 0);

    /* damage under an open store: the pages of the tables, not the first one */
    s = open_ok(false);
    damage(4096, junk, sizeof(junk));
    damage(8192, junk, sizeof(junk));
    damage(12288, junk, sizeof(junk));
    damage(16384, junk, sizeof(junk));
    b = binding("sip:a@b", "k2");
    check_err(store_put_binding(s, &b), 0);
    wait_for(!health(s).writable);
    assert_int_equal(health(s).queued, 1);
    snprintf(good, sizeof(good), "rm -f %s-wal %s-shm; mv %s.good %s", file, file, file, file);
    assert_int_equal(system(good), 0);
    wait_for(health(s).writable && health(s).queued == 0);
    store_close(s);
    assert_int_equal(sql_number("SELECT count(*) FROM bindings"), 2);
}

static void test_foreign(void **state)
{
    struct store *s;
    struct reason why = {0};
    char path[320];

    (void)state;
    sql("CREATE TABLE t(x)");
    assert_int_equal(chmod(file, 0644), 0);
    check_err(store_open(file, false, &s, &why), ERR_REFUSED);
    assert_string_equal(why.code, "store-mode");
    assert_int_equal(chmod(file, 0600), 0);
    check_err(store_open(file, false, &s, &why), ERR_INVALID);
    assert_string_equal(why.code, "store-foreign");
    assert_int_equal(sql_number("SELECT count(*) FROM sqlite_master"), 1); /* untouched */
    unlink(file);
    s = open_ok(false);
    store_close(s);
    sql("PRAGMA user_version=99");
    check_err(store_open(file, false, &s, &why), ERR_UNSUPPORTED);
    assert_string_equal(why.code, "store-newer");
    check_err(store_open(dir, false, &s, &why), ERR_INVALID);
    snprintf(path, sizeof(path), "%s/no/such/folder.db", dir);
    check_err(store_open(path, false, &s, &why), ERR_IO);
    snprintf(path, sizeof(path), "%s/absent.db", dir);
    check_err(store_open(path, true, &s, &why), ERR_IO);
    assert_int_equal(access(path, F_OK), -1);
}

/* Looking beside a running daemon. */
static void test_read_beside(void **state)
{
    struct store *s = open_ok(false), *r;
    struct store_binding b = binding("sip:a@b", "k");
    struct store_user u = user("sip:a@b");
    struct reason why;

    (void)state;
    check_err(store_put_binding(s, &b), 0);
    wait_for(health(s).written == 1);
    r = open_ok(true);
    assert_int_equal(count_bindings(r), 1);
    assert_false(health(r).writable);
    check_err(store_put_user(r, &u, &why), ERR_IO);
    store_close(r);
    store_close(s);
}
/* ---- dying ---- */

/* Writes numbered rows until it is killed; tells each second row's number when it is known to be
 * written. */
static void child_write(int out)
{
    struct store *s;
    struct reason why;

    if (store_open(file, false, &s, &why) != 0)
        _exit(1);
    for (unsigned i = 0;; i++) {
        char key[16];
        struct store_binding b = binding("sip:a@b", key);
        struct store_health h;
        uint64_t written;

        snprintf(key, sizeof(key), "k%u", i);
        b.key = str_z(key);
        b.cseq = i;
        if (store_put_binding(s, &b) != 0)
            _exit(2);
        store_health_get(s, &h);
        written = h.written;
        if (i % 64 == 0 && write(out, &written, sizeof(written)) != sizeof(written))
            _exit(3);
        if (i % 256 == 0)
            usleep(2000);
    }
}

static void test_killed(void **state)
{
    uint64_t written_before = 0;

    (void)state;
    for (int round = 0; round < 8; round++) {
        int fds[2], status;
        uint64_t written = 0, last = 0;
        int64_t rows;
        pid_t pid;

        assert_int_equal(pipe(fds), 0);
        pid = fork();
        if (pid == 0) {
            close(fds[0]);
            child_write(fds[1]);
        }
        close(fds[1]);
        /* somewhere in the middle: a little later each time after the first was written */
        for (uint64_t end = 0; (end == 0 || now_ms() < end) && read(fds[0], &written, sizeof(written)) == sizeof(written);)
            if ((last = written) > 0 && end == 0)
                end = now_ms() + 37 * (uint64_t)round;
        assert_int_equal(kill(pid, SIGKILL), 0);
        while (read(fds[0], &written, sizeof(written)) == sizeof(written))
            last = written;
        close(fds[0]);
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFSIGNALED(status));
        /* whole, and everything is there that was said to be written */
        assert_int_equal(
            sql_number("SELECT count(*) FROM pragma_integrity_check WHERE integrity_check <> 'ok'"),
            0);
        rows = sql_number("SELECT count(*) FROM bindings");
        assert_true((uint64_t)rows >= last);
        /* batches are whole: no gaps between the rows of one run */
        assert_int_equal(sql_number("SELECT count(*) - max(cseq) - 1 FROM bindings"), 0);
        written_before += last;
        sql("DELETE FROM bindings");
        store_close(open_ok(false));
    }
    assert_true(written_before > 0);
}

/* A folder that really is full, in a name space of its own; needs root. */
static int child_disk_full(void)
{
    struct store *s;
    struct reason why = {0};
    char path[320], filler[320];
    struct store_binding b;
    int fd;

    if (unshare(CLONE_NEWNS) != 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
        mount("tmpfs", dir, "tmpfs", 0, "size=512k") != 0)
        return 77;
    snprintf(path, sizeof(path), "%s/s.db", dir);
    snprintf(filler, sizeof(filler), "%s/filler", dir);
    if (store_open(path, false, &s, &why) != 0)
        return 1;
    fd = open(filler, O_CREAT | O_WRONLY, 0600);
    memset(path, 0, sizeof(path));
    while (fd >= 0 && write(fd, path, sizeof(path)) > 0)
        ;
    if (fd < 0 || errno != ENOSPC)
        return 2;
    for (int i = 0; i < 100; i++) {
        char key[16];

        snprintf(key, sizeof(key), "k%d", i);
        b = binding("sip:a@b", key);
        if (store_put_binding(s, &b) != 0)
            return 3;
    }
    for (int i = 0; i < 500 && health(s).writable; i++)
        usleep(10000);
    if (health(s).writable || health(s).queued != 100)
        return 4;
    if (ftruncate(fd, 0) != 0)
        return 5;
    for (int i = 0; i < 1000 && health(s).queued; i++)
        usleep(10000);
    if (!health(s).writable || health(s).queued || health(s).written != 100 ||
        count_bindings(s) != 100)
        return 6;
    store_close(s);
    close(fd);
    return 0;
}

static void test_disk_full(void **state)
{
    pid_t pid = fork();
    int status;

    (void)state;
    if (pid == 0)
        _exit(child_disk_full());
    assert_int_equal(waitpid(pid, &status, 0), pid);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
        skip();
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}
/* ---- memory ---- */

static void *sql_malloc(int n)
{
    size_t *p = fault_hit() ? NULL : malloc((size_t)n + 16);

    if (!p)
        return NULL;
    *p = (size_t)n;
    return p + 2;
}

static void sql_free(void *p)
{
    if (p)
        free((size_t *)p - 2);
}

static void *sql_realloc(void *p, int n)
{
    size_t *q = fault_hit() ? NULL : realloc((size_t *)p - 2, (size_t)n + 16);

    if (!q)
        return NULL;
    *q = (size_t)n;
    return q + 2;
}

static int sql_size(void *p)
{
    return p ? (int)((size_t *)p)[-2] : 0;
}

static int sql_roundup(int n)
{
    return (n + 7) & ~7;
}

static int sql_init(void *p)
{
    (void)p;
    return SQLITE_OK;
}

static void sql_shutdown(void *p)
{
    (void)p;
}

static void test_no_memory(void **state)
{
    struct store *keep = open_ok(false); /* so that the file and its log stay */
    struct reason why;

    (void)state;
    OOM_SWEEP(3000, {
        struct store *s;
        struct store_user u = user("sip:a@b");
        struct seen seen = {0};
        int err = store_open(file, false, &s, &why);

        if (err == 0) {
            err = store_put_user(s, &u, &why);
            if (err == 0)
                err = store_each_user(s, see_user, &seen);
            if (err == 0 && seen.n != 1)
                fail_msg("%zu users", seen.n);
            store_close(s);
        }
        if (err != 0 && err != ERR_NOMEM)
            fail_msg("%s %s", why.code, why.detail);
    });
    OOM_SWEEP(50, {
        struct store_binding b = binding("sip:a@b", "k");
        int err = store_put_binding(keep, &b);

        if (err != 0 && err != ERR_NOMEM)
            fail_msg("%d", err);
    });
    store_close(keep);
    assert_int_equal(
        sql_number("SELECT count(*) FROM pragma_integrity_check WHERE integrity_check <> 'ok'"), 0);
}

int main(void)
{
    static const sqlite3_mem_methods methods = {sql_malloc,  sql_free, sql_realloc,  sql_size,
                                                sql_roundup, sql_init, sql_shutdown, NULL};
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_read_only, setup, teardown),
        cmocka_unit_test_setup_teardown(test_busy, setup, teardown),
        cmocka_unit_test_setup_teardown(test_damaged, setup, teardown),
        cmocka_unit_test_setup_teardown(test_foreign, setup, teardown),
        cmocka_unit_test_setup_teardown(test_read_beside, setup, teardown),
        cmocka_unit_test_setup_teardown(test_killed, setup, teardown),
        cmocka_unit_test_setup_teardown(test_disk_full, setup, teardown),
        cmocka_unit_test_setup_teardown(test_no_memory, setup, teardown),
    };

    if (sqlite3_config(SQLITE_CONFIG_MALLOC, &methods) != SQLITE_OK)
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}

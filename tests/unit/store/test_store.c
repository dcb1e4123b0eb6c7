/* The store on real files: what is written comes back, nothing waits for the disk, and no way of
 * dying or of running out of something loses more than it must. `test_store bench` measures. */
#include "check.h"
#include "oom.h"
#include "store/store_priv.h"
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static char dir[256], file[288];

static int setup(void **state)
{
    const char *tmp = getenv("TMPDIR");

    (void)state;
    snprintf(dir, sizeof(dir), "%.200s/sallyport-store-XXXXXX", tmp ? tmp : "/tmp");
    if (!mkdtemp(dir))
        return -1;
    snprintf(file, sizeof(file), "%s/store.db", dir);
    return 0;
}

static int teardown(void **state)
{
    static const char *const suffixes[] = {"", "-wal", "-shm", "-journal"};
    char path[320];

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(suffixes); i++) {
        snprintf(path, sizeof(path), "%s%s", file, suffixes[i]);
        unlink(path);
    }
    return rmdir(dir);
}

static struct store *open_ok(bool read_only)
{
    struct store *s;
    struct reason why = {0};

    if (store_open(file, read_only, &s, &why) != 0)
        fail_msg("store_open: %s %s", why.code, why.detail);
    return s;
}

static uint64_t now_ms(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

/* Waits until a condition holds, at most 10 s. */
#define wait_for(condition)                                                                        \
    do {                                                                                           \
        uint64_t wait_end_ = now_ms() + 10000;                                                     \
        while (!(condition)) {                                                                     \
            if (now_ms() > wait_end_)                                                              \
                fail_msg("never came true: %s", #condition);                                       \
            usleep(10000);                                                                         \
        }                                                                                          \
    } while (0)

static struct store_health health(struct store *s)
{
    struct store_health h;

    store_health_get(s, &h);
    return h;
}

static void sql(const char *text)
{
    sqlite3 *db;
    char *error = NULL;

    assert_int_equal(sqlite3_open(file, &db), SQLITE_OK);
    sqlite3_busy_timeout(db, 5000);
    if (sqlite3_exec(db, text, NULL, NULL, &error) != SQLITE_OK)
        fail_msg("%s: %s", text, error);
    sqlite3_close(db);
}

static int64_t sql_number(const char *text)
{
    sqlite3 *db;
    sqlite3_stmt *st;
    int64_t n;

    assert_int_equal(sqlite3_open(file, &db), SQLITE_OK);
    sqlite3_busy_timeout(db, 5000);
    assert_int_equal(sqlite3_prepare_v2(db, text, -1, &st, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_step(st), SQLITE_ROW);
    n = sqlite3_column_int64(st, 0);
    sqlite3_finalize(st);
    sqlite3_close(db);
    return n;
}

/* ---- rows ---- */

static struct store_user user(const char *aor)
{
    return (struct store_user){.aor = str_z(aor),
                               .username = STR("alice"),
                               .realm = STR("example.com"),
                               .ha1_len = {0, 32, 32},
                               .ha1 = {{0}, {1, 2, 3}, {4, 5, 6}}};
}

static struct store_binding binding(const char *aor, const char *key)
{
    return (struct store_binding){.aor = str_z(aor),
                                  .key = str_z(key),
                                  .contact = STR("<sip:alice@192.0.2.1:5060>;methods=\"INVITE\""),
                                  .path = STR("<sip:edge.example.com;lr>"),
                                  .call_id = STR("c1"),
                                  .cseq = UINT32_MAX,
                                  .q_milli = 700,
                                  .reg_id = 2,
                                  .instance = STR("urn:uuid:1"),
                                  .expires_s = 2000000000,
                                  .registered_s = 1999999000,
                                  .gruu_epoch = UINT64_MAX - 5,
                                  .source = STR("UDP 192.0.2.1:5060"),
                                  .transport = 4,
                                  .secure = 1,
                                  .listener = 65535,
                                  .remote = STR("192.0.2.1:5060"),
                                  .local = STR("192.0.2.9:5060"),
                                  .user_agent = STR("phone\xc3\xa4 1.0")};
}

struct seen {
    size_t n, n_deleted;
    char aor[64], key[64];
    struct store_binding last;
    struct store_user user;
    char texts[1024];
    int stop_with;
};

static int see_user(void *arg, const struct store_user *u)
{
    struct seen *seen = arg;

    seen->n++;
    seen->user = *u;
    snprintf(seen->texts, sizeof(seen->texts), "%.*s|%.*s|%.*s", STR_FMT(u->aor),
             STR_FMT(u->username), STR_FMT(u->realm));
    return seen->stop_with;
}

static int see_binding(void *arg, const struct store_binding *b)
{
    struct seen *seen = arg;

    seen->n++;
    seen->last = *b;
    snprintf(seen->aor, sizeof(seen->aor), "%.*s", STR_FMT(b->aor));
    snprintf(seen->key, sizeof(seen->key), "%.*s", STR_FMT(b->key));
    snprintf(seen->texts, sizeof(seen->texts), "%.*s|%.*s|%.*s|%.*s|%.*s|%.*s|%.*s|%.*s",
             STR_FMT(b->contact), STR_FMT(b->path), STR_FMT(b->call_id), STR_FMT(b->instance),
             STR_FMT(b->source), STR_FMT(b->remote), STR_FMT(b->local), STR_FMT(b->user_agent));
    return seen->stop_with;
}

static size_t count_bindings(struct store *s)
{
    struct seen seen = {0};

    check_err(store_each_binding(s, see_binding, &seen), 0);
    return seen.n;
}

/* ---- tests ---- */

static void test_users(void **state)
{
    struct store *s = open_ok(false);
    struct arena *a = arena_new(1024, 4096);
    struct store_user u = user("sip:alice@example.com"), got;
    struct reason why = {0};
    struct seen seen = {0};
    struct stat st;

    (void)state;
    assert_non_null(a);
    assert_int_equal(stat(file, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    check_err(store_get_user(s, a, u.aor, &got, &why), ERR_NOTFOUND);
    check_err(store_del_user(s, u.aor, &why), ERR_NOTFOUND);
    assert_string_equal(why.code, "user-unknown");
    check_err(store_put_user(s, &u, &why), 0);
    check_err(store_get_user(s, a, u.aor, &got, &why), 0);
    check_str(got.username, "alice");
    assert_int_equal(got.ha1_len[0], 0);
    assert_int_equal(got.ha1_len[1], 32);
    assert_memory_equal(got.ha1[2], u.ha1[2], 32);
    u.ha1_len[0] = 16;
    u.ha1[0][15] = 9;
    u.allow_md5 = u.disabled = true;
    u.realm = STR("other");
    check_err(store_put_user(s, &u, &why), 0);
    store_close(s);
    s = open_ok(false);
    check_err(store_each_user(s, see_user, &seen), 0);
    assert_int_equal(seen.n, 1);
    assert_string_equal(seen.texts, "sip:alice@example.com|alice|other");
    assert_int_equal(seen.user.ha1_len[0], 16);
    assert_int_equal(seen.user.ha1[0][15], 9);
    assert_true(seen.user.allow_md5 && seen.user.disabled);
    u = user("sip:bob@example.com");
    check_err(store_put_user(s, &u, &why), 0);
    seen = (struct seen){.stop_with = ERR_NOMEM};
    check_err(store_each_user(s, see_user, &seen), ERR_NOMEM);
    assert_int_equal(seen.n, 1);
    check_err(store_del_user(s, STR("sip:alice@example.com"), &why), 0);
    check_err(store_get_user(s, a, STR("sip:alice@example.com"), &got, &why), ERR_NOTFOUND);
    store_close(s);
    store_close(NULL);
    arena_free(a);
}

static void test_transaction(void **state)
{
    struct store *s = open_ok(false);
    struct store_user u = user("sip:a@b");
    struct reason why;

    (void)state;
    check_err(store_begin(s, &why), 0);
    check_err(store_put_user(s, &u, &why), 0);
    assert_int_equal(sql_number("SELECT count(*) FROM users"), 0);
    store_rollback(s);
    store_rollback(s);
    check_err(store_begin(s, &why), 0);
    check_err(store_put_user(s, &u, &why), 0);
    check_err(store_commit(s, &why), 0);
    check_err(store_commit(s, &why), ERR_IO);
    store_close(s);
    assert_int_equal(sql_number("SELECT count(*) FROM users"), 1);
}

static void test_bindings(void **state)
{
    struct store *s = open_ok(false);
    struct store_binding b = binding("sip:alice@example.com", "k1");
    struct seen seen = {0};

    (void)state;
    check_err(store_put_binding(s, &b), 0);
    store_close(s); /* writes it */
    s = open_ok(false);
    check_err(store_each_binding(s, see_binding, &seen), 0);
    assert_int_equal(seen.n, 1);
    assert_string_equal(seen.aor, "sip:alice@example.com");
    assert_string_equal(seen.key, "k1");
    assert_string_equal(
        seen.texts,
        "<sip:alice@192.0.2.1:5060>;methods=\"INVITE\"|<sip:edge.example.com;lr>|c1|urn:uuid:1|"
        "UDP 192.0.2.1:5060|192.0.2.1:5060|192.0.2.9:5060|phone\xc3\xa4 1.0");
    assert_true(seen.last.cseq == b.cseq && seen.last.q_milli == 700 && seen.last.reg_id == 2);
    assert_true(seen.last.expires_s == b.expires_s && seen.last.registered_s == b.registered_s);
    assert_true(seen.last.gruu_epoch == b.gruu_epoch && seen.last.transport == 4 &&
                seen.last.secure == 1);
    assert_true(seen.last.listener == 65535);
    /* same AOR and key: replaced; an empty text stays empty */
    b.path = b.instance = STR_NULL;
    b.cseq = 7;
    check_err(store_put_binding(s, &b), 0);
    b = binding("sip:alice@example.com", "k2");
    check_err(store_put_binding(s, &b), 0);
    b = binding("sip:bob@example.com", "k1");
    check_err(store_put_binding(s, &b), 0);
    check_err(store_del_binding(s, STR("sip:bob@example.com"), STR("k1")), 0);
    check_err(store_del_binding(s, STR("sip:nobody@example.com"), STR("k1")), 0);
    wait_for(health(s).queued == 0 && health(s).written > 0);
    wait_for(count_bindings(s) == 2);
    assert_int_equal(
        sql_number("SELECT cseq FROM bindings WHERE key='k1' AND path='' AND instance=''"), 7);
    store_close(s);
    /* whoever is removed takes his bindings along */
    s = open_ok(false);
    {
        struct store_user u = user("sip:alice@example.com");
        struct reason why;

        check_err(store_put_user(s, &u, &why), 0);
        check_err(store_del_user(s, u.aor, &why), 0);
    }
    assert_int_equal(count_bindings(s), 0);
    store_close(s);
}

/* Changes of one key replace each other while they wait: one row, the last value, however many
 * there were. */
static void test_coalescing(void **state)
{
    struct store *s = open_ok(false);
    struct store_health h;

    (void)state;
    pthread_mutex_lock(&s->db_lock); /* the thread cannot write now */
    for (unsigned i = 1; i <= 10000; i++) {
        char key[16];
        struct store_binding b = binding("sip:a@b", key);

        snprintf(key, sizeof(key), "k%u", i % 10);
        b.key = str_z(key);
        b.cseq = i;
        check_err(i % 1000 == 3 ? store_del_binding(s, b.aor, b.key) : store_put_binding(s, &b), 0);
        if (i % 2000 == 0)
            usleep(300000); /* lets the thread take a batch and wait with it */
    }
    h = health(s);
    assert_true(h.queued <= 10);
    pthread_mutex_unlock(&s->db_lock);
    store_close(s);
    assert_int_equal(sql_number("SELECT count(*) FROM bindings"), 10);
    assert_int_equal(sql_number("SELECT min(cseq) FROM bindings"), 9991);
}

/* A batch that could not be written does not come back over what is newer. */
static void test_newer_wins(void **state)
{
    struct store *s = open_ok(false);
    struct store_binding b = binding("sip:a@b", "k");

    (void)state;
    pthread_mutex_lock(&s->db_lock);
    b.cseq = 1;
    check_err(store_put_binding(s, &b), 0);
    wait_for(health(s).queued == 0); /* it is in the thread's hands */
    b.cseq = 2;
    check_err(store_put_binding(s, &b), 0);
    s->read_only = true;
    pthread_mutex_unlock(&s->db_lock);
    wait_for(health(s).failed > 0);
    assert_int_equal(health(s).queued, 1);
    assert_int_equal(health(s).dropped, 0);
    pthread_mutex_lock(&s->db_lock);
    s->read_only = false;
    pthread_mutex_unlock(&s->db_lock);
    wait_for(health(s).written == 1);
    store_close(s);
    assert_int_equal(sql_number("SELECT cseq FROM bindings"), 2);
}

static void test_bounded(void **state)
{
    struct store *s = open_ok(false);
    struct store_binding b;
    char *big = malloc(1 << 20), key[16];
    unsigned n = 0;
    int err = 0;

    (void)state;
    assert_non_null(big);
    memset(big, 'x', 1 << 20);
    pthread_mutex_lock(&s->db_lock);
    b = binding("sip:a@b", "");
    b.contact = str_make(big, 1 << 20);
    /* one batch may be in the thread's hands */
    while (err == 0 && n < STORE_BATCH + 300) {
        snprintf(key, sizeof(key), "k%u", n++);
        b.key = str_z(key);
        err = store_put_binding(s, &b);
    }
    check_err(err, ERR_LIMIT);
    assert_true(health(s).dropped == 1);
    assert_true(s->queue_bytes <= STORE_QUEUE_BYTES);
    b.contact = STR("<sip:a@b>"); /* a smaller one in place of one that waits goes in */
    snprintf(key, sizeof(key), "k%u", n - 2);
    check_err(store_put_binding(s, &b), 0);
    /* the rest is thrown away: 256 MiB need not go to the disk in a test */
    pthread_mutex_lock(&s->queue_lock);
    while (!list_is_empty(&s->order)) {
        struct store_change *c = LIST_FIRST(&s->order, struct store_change, link);

        map_remove(&s->waiting, &c->node);
        list_remove(&c->link);
        s->queue_bytes -= c->bytes;
        s->health.queued--;
        free(c);
    }
    assert_int_equal(s->queue_bytes, 0);
    pthread_mutex_unlock(&s->queue_lock);
    pthread_mutex_unlock(&s->db_lock);
    store_close(s);
    free(big);
}

/* The store says it cannot write, keeps what waits, and writes it when it can. */
static void test_full(void **state)
{
    struct store *s = open_ok(false);
    struct store_binding b;
    struct reason why = {0};
    char sql_text[64];

    (void)state;
    pthread_mutex_lock(&s->db_lock);
    snprintf(sql_text, sizeof(sql_text), "PRAGMA max_page_count=%d", 12);
    check_err(db_exec(s, sql_text, &why), 0);
    pthread_mutex_unlock(&s->db_lock);
    for (int i = 0; i < 500; i++) {
        char key[16];

        snprintf(key, sizeof(key), "k%d", i);
        b = binding("sip:a@b", key);
        check_err(store_put_binding(s, &b), 0);
    }
    wait_for(!health(s).writable);
    assert_true(health(s).failed >= 1);
    assert_non_null(strstr(health(s).last_error, "full"));
    assert_int_equal(health(s).written, 0);
    wait_for(health(s).queued == 500);
    /* still takes changes, and reads */
    b = binding("sip:a@b", "late");
    check_err(store_put_binding(s, &b), 0);
    assert_int_equal(count_bindings(s), 0);
    pthread_mutex_lock(&s->db_lock);
    check_err(db_exec(s, "PRAGMA max_page_count=1000000", &why), 0);
    pthread_mutex_unlock(&s->db_lock);
    wait_for(health(s).writable && health(s).queued == 0);
    assert_int_equal(health(s).written, 501);
    assert_int_equal(health(s).dropped, 0);
    store_close(s);
    assert_int_equal(sql_number("SELECT count(*) FROM bindings"), 501);
}

/* Closing while nothing can be written: gives up after its five seconds, and the file is as before.
 */
static void test_close_when_full(void **state)
{
    struct store *s = open_ok(false);
    struct store_binding b = binding("sip:a@b", "k");
    struct reason why;
    char *big = calloc(1, 100000);
    uint64_t start;

    (void)state;
    assert_non_null(big);
    memset(big, 'x', 99999);
    b.user_agent = str_z(big);
    pthread_mutex_lock(&s->db_lock);
    check_err(db_exec(s, "PRAGMA max_page_count=12", &why), 0);
    pthread_mutex_unlock(&s->db_lock);
    check_err(store_put_binding(s, &b), 0);
    start = now_ms();
    store_close(s);
    assert_in_range(now_ms() - start, STORE_CLOSE_MS - 100, STORE_CLOSE_MS + 3000);
    free(big);
    assert_int_equal(sql_number("SELECT count(*) FROM bindings"), 0);
}

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
    wait_for(!health(s).writable);
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

/* ---- the watch ---- */

struct watched {
    pthread_mutex_t lock;
    unsigned n, n_deleted;
    char last[64];
    bool last_disabled;
    uint8_t last_ha1;
};

static void on_user(void *arg, const struct store_user *u, bool deleted)
{
    struct watched *w = arg;

    pthread_mutex_lock(&w->lock);
    w->n++;
    w->n_deleted += deleted;
    snprintf(w->last, sizeof(w->last), "%.*s", STR_FMT(u->aor));
    w->last_disabled = u->disabled;
    w->last_ha1 = deleted ? 0 : u->ha1[1][0];
    pthread_mutex_unlock(&w->lock);
}

static struct watched watched(struct watched *w)
{
    struct watched copy;

    pthread_mutex_lock(&w->lock);
    copy = *w;
    pthread_mutex_unlock(&w->lock);
    return copy;
}

static void test_watch(void **state)
{
    struct store *s = open_ok(false), *cli;
    struct watched w = {.lock = PTHREAD_MUTEX_INITIALIZER};
    struct store_user u = user("sip:before@b");
    struct reason why;
    struct seen seen = {0};
    uint64_t start;

    (void)state;
    cli = open_ok(false);
    check_err(store_put_user(cli, &u, &why), 0);
    check_err(store_each_user(s, see_user, &seen), 0);
    u = user("sip:between@b"); /* between loading and watching */
    check_err(store_put_user(cli, &u, &why), 0);
    check_err(store_watch_users(s, on_user, &w), 0);
    wait_for(watched(&w).n == 1);
    assert_string_equal(watched(&w).last, "sip:between@b");
    start = now_ms();
    u.disabled = true;
    u.ha1[1][0] = 77;
    check_err(store_put_user(cli, &u, &why), 0);
    wait_for(watched(&w).n == 2);
    assert_true(now_ms() - start <= 2000);
    assert_true(watched(&w).last_disabled);
    assert_int_equal(watched(&w).last_ha1, 77);
    check_err(store_del_user(cli, u.aor, &why), 0);
    wait_for(watched(&w).n == 3);
    assert_int_equal(watched(&w).n_deleted, 1);
    assert_string_equal(watched(&w).last, "sip:between@b");
    /* an administrator's own SQL counts as well; a change of key is one going and one coming */
    sql("UPDATE users SET aor='sip:after@b' WHERE aor='sip:before@b'");
    wait_for(watched(&w).n == 5);
    assert_int_equal(watched(&w).n_deleted, 2);
    assert_string_equal(watched(&w).last, "sip:after@b");
    /* nothing is handed on twice, and the log is cleared */
    usleep(1500000);
    assert_int_equal(watched(&w).n, 5);
    assert_int_equal(sql_number("SELECT count(*) FROM user_changes"), 0);
    check_err(store_watch_users(s, NULL, NULL), 0);
    check_err(store_del_user(cli, STR("sip:after@b"), &why), 0);
    usleep(1500000);
    assert_int_equal(watched(&w).n, 5);
    store_close(cli);
    store_close(s);
    /* what happened while nobody watched is not news after a start */
    s = open_ok(false);
    check_err(store_each_user(s, see_user, &seen), 0);
    check_err(store_watch_users(s, on_user, &w), 0);
    usleep(1500000);
    assert_int_equal(watched(&w).n, 5);
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
        /* somewhere in the middle: a little later each time */
        for (uint64_t end = now_ms() + 450 + 37 * (uint64_t)round;
             now_ms() < end && read(fds[0], &written, sizeof(written)) == sizeof(written);)
            last = written;
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

/* ---- many threads ---- */

struct writer {
    struct store *s;
    unsigned id;
};

static void *writer_main(void *arg)
{
    struct writer *w = arg;

    for (unsigned i = 0; i < 5000; i++) {
        char key[16];
        struct store_binding b = binding("sip:a@b", key);

        snprintf(key, sizeof(key), "k%u",
                 i % 50 + w->id * 25); /* half of them shared with the neighbour */
        b.key = str_z(key);
        if ((i % 7 == 3 ? store_del_binding(w->s, b.aor, b.key) : store_put_binding(w->s, &b)) != 0)
            return w;
    }
    return NULL;
}

static void test_threads(void **state)
{
    struct store *s = open_ok(false);
    struct writer w[4];
    pthread_t t[4];

    (void)state;
    for (unsigned i = 0; i < 4; i++) {
        w[i] = (struct writer){s, i};
        assert_int_equal(pthread_create(&t[i], NULL, writer_main, &w[i]), 0);
    }
    for (unsigned i = 0; i < 4; i++) {
        void *failed;

        (void)count_bindings(s);
        pthread_join(t[i], &failed);
        assert_null(failed);
    }
    store_close(s);
    assert_int_equal(
        sql_number("SELECT count(*) FROM pragma_integrity_check WHERE integrity_check <> 'ok'"), 0);
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

/* ---- figures ---- */

static void bench_fill(struct store *s, unsigned n)
{
    struct reason why;

    for (unsigned i = 0; i < n; i++) {
        char aor[64], key[64];
        struct store_user u;
        struct store_binding b;

        snprintf(aor, sizeof(aor), "sip:u%u@bench.test", i);
        u = user(aor);
        if (i % 10000 == 0 && ((i && store_commit(s, &why) != 0) || store_begin(s, &why) != 0))
            exit(1);
        if (store_put_user(s, &u, &why) != 0)
            exit(1);
        snprintf(key, sizeof(key), "sip:u%u@192.0.2.1:5060", i);
        b = binding(aor, key);
        if (store_put_binding(s, &b) != 0)
            exit(1);
    }
    if (store_commit(s, &why) != 0)
        exit(1);
}

static void bench(void)
{
    void *none = NULL;
    struct store *s;
    struct reason why;
    struct seen seen = {0};
    uint64_t start;
    struct timespec cpu;

    if (setup(&none) != 0 || store_open(file, false, &s, &why) != 0)
        exit(1);
    start = now_ms();
    bench_fill(s, 10000);
    printf("10,000 users put: %llu ms\n", (unsigned long long)(now_ms() - start));
    start = now_ms();
    bench_fill(s, 200000);
    printf("200,000 users put: %llu ms\n", (unsigned long long)(now_ms() - start));
    while (health(s).queued)
        usleep(10000);
    printf("... and as many bindings written behind: %llu ms\n",
           (unsigned long long)(now_ms() - start));
    store_close(s);
    if (store_open(file, false, &s, &why) != 0)
        exit(1);
    start = now_ms();
    if (store_each_user(s, see_user, &seen) != 0 || store_each_binding(s, see_binding, &seen) != 0)
        exit(1);
    printf("%zu rows read: %llu ms\n", seen.n, (unsigned long long)(now_ms() - start));
    /* what a registration pays for it */
    start = now_ms();
    for (unsigned i = 0; i < 500000; i++) {
        char aor[64];
        struct store_binding b;

        snprintf(aor, sizeof(aor), "sip:u%u@bench.test", i % 50000);
        b = binding(aor, "sip:u@192.0.2.1:5060");
        if (store_put_binding(s, &b) != 0)
            exit(1);
    }
    printf("queueing a change: %.0f ns\n", (double)(now_ms() - start) * 2.0);
    while (health(s).queued)
        usleep(10000);
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &cpu);
    printf("%llu of 500,000 changes to 50,000 keys were written; CPU in all %.1f s\n",
           (unsigned long long)health(s).written, (double)cpu.tv_sec + (double)cpu.tv_nsec / 1e9);
    store_close(s);
    teardown(&none);
}

int main(int argc, char **argv)
{
    static const sqlite3_mem_methods methods = {sql_malloc,  sql_free, sql_realloc,  sql_size,
                                                sql_roundup, sql_init, sql_shutdown, NULL};
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_users, setup, teardown),
        cmocka_unit_test_setup_teardown(test_transaction, setup, teardown),
        cmocka_unit_test_setup_teardown(test_bindings, setup, teardown),
        cmocka_unit_test_setup_teardown(test_coalescing, setup, teardown),
        cmocka_unit_test_setup_teardown(test_newer_wins, setup, teardown),
        cmocka_unit_test_setup_teardown(test_bounded, setup, teardown),
        cmocka_unit_test_setup_teardown(test_full, setup, teardown),
        cmocka_unit_test_setup_teardown(test_close_when_full, setup, teardown),
        cmocka_unit_test_setup_teardown(test_read_only, setup, teardown),
        cmocka_unit_test_setup_teardown(test_busy, setup, teardown),
        cmocka_unit_test_setup_teardown(test_damaged, setup, teardown),
        cmocka_unit_test_setup_teardown(test_foreign, setup, teardown),
        cmocka_unit_test_setup_teardown(test_read_beside, setup, teardown),
        cmocka_unit_test_setup_teardown(test_watch, setup, teardown),
        cmocka_unit_test_setup_teardown(test_killed, setup, teardown),
        cmocka_unit_test_setup_teardown(test_disk_full, setup, teardown),
        cmocka_unit_test_setup_teardown(test_threads, setup, teardown),
        cmocka_unit_test_setup_teardown(test_no_memory, setup, teardown),
    };

    if (argc > 1 && strcmp(argv[1], "bench") == 0) {
        bench();
        return 0;
    }
    if (sqlite3_config(SQLITE_CONFIG_MALLOC, &methods) != SQLITE_OK)
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* What the tests of the store share: a folder with one file in it, and rows. */
#ifndef TESTS_UNIT_STORE_HELP_H
#define TESTS_UNIT_STORE_HELP_H

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

static inline int setup(void **state)
{
    const char *tmp = getenv("TMPDIR");

    (void)state;
    snprintf(dir, sizeof(dir), "%.200s/sallyport-store-XXXXXX", tmp ? tmp : "/tmp");
    if (!mkdtemp(dir))
        return -1;
    snprintf(file, sizeof(file), "%s/store.db", dir);
    return 0;
}

static inline int teardown(void **state)
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

static inline struct store *open_ok(bool read_only)
{
    struct store *s;
    struct reason why = {0};

    if (store_open(file, read_only, &s, &why) != 0)
        fail_msg("store_open: %s %s", why.code, why.detail);
    return s;
}

static inline uint64_t now_ms(void)
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

static inline struct store_health health(struct store *s)
{
    struct store_health h;

    store_health_get(s, &h);
    return h;
}

static inline void sql(const char *text)
{
    sqlite3 *db;
    char *error = NULL;

    assert_int_equal(sqlite3_open(file, &db), SQLITE_OK);
    sqlite3_busy_timeout(db, 5000);
    if (sqlite3_exec(db, text, NULL, NULL, &error) != SQLITE_OK)
        fail_msg("%s: %s", text, error);
    sqlite3_close(db);
}

static inline int64_t sql_number(const char *text)
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

static inline struct store_user user(const char *aor)
{
    return (struct store_user){.aor = str_z(aor),
                               .username = STR("alice"),
                               .realm = STR("example.com"),
                               .ha1_len = {0, 32, 32},
                               .ha1 = {{0}, {1, 2, 3}, {4, 5, 6}}};
}

static inline struct store_binding binding(const char *aor, const char *key)
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

static inline int see_user(void *arg, const struct store_user *u)
{
    struct seen *seen = arg;

    seen->n++;
    seen->user = *u;
    snprintf(seen->texts, sizeof(seen->texts), "%.*s|%.*s|%.*s", STR_FMT(u->aor),
             STR_FMT(u->username), STR_FMT(u->realm));
    return seen->stop_with;
}

static inline int see_binding(void *arg, const struct store_binding *b)
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

static inline size_t count_bindings(struct store *s)
{
    struct seen seen = {0};

    check_err(store_each_binding(s, see_binding, &seen), 0);
    return seen.n;
}

#endif

/* Inside the store: the database under a lock (sqlite.c), and the queue in front of it with its
 * thread (queue.c).
 *
 * Locks, in the order in which they may be taken together: watch_lock, db_lock, whatever the
 * callbacks take, queue_lock. The functions that other threads call while they hold locks of their
 * own (store_put_binding, store_del_binding) take queue_lock alone. */
#ifndef STORE_STORE_PRIV_H
#define STORE_STORE_PRIV_H

#include "base/list.h"
#include "base/map.h"
#include "store/store.h"
#include <pthread.h>
#include <sqlite3.h>

#define STORE_QUEUE_CHANGES 400000u /* different keys waiting */
#define STORE_QUEUE_BYTES (256u << 20)
#define STORE_BATCH 2000u    /* changes of one transaction */
#define STORE_GATHER_MS 400u /* how long the first change waits for company */
#define STORE_POLL_MS 1000u  /* between looks for changed users */
#define STORE_RETRY_MIN_MS 250u
#define STORE_RETRY_MAX_MS 30000u
#define STORE_CLOSE_MS 5000u
#define STORE_BUSY_MS 5000 /* patience with another process that writes */

enum store_stmt {
    STMT_PUT_BINDING,
    STMT_DEL_BINDING,
    STMT_PUT_USER,
    STMT_DEL_USER,
    STMT_DEL_USER_BINDINGS,
    STMT_GET_USER,
    STMT_MOVE_TIMES,
    STMT_CHANGES,
    STMT_CLEAR_CHANGES,
    STMT_DATA_VERSION,
    STMT_N
};

/* A queued change; the text behind it. */
struct store_change {
    struct map_node node; /* key: aor, a NUL, binding key */
    struct list link;
    bool is_del;
    size_t bytes;
    struct store_binding b;
};

struct store {
    char *file;
    bool read_only; /* asked for */
    int claim_fd;   /* -1: no claim */

    pthread_mutex_t db_lock;
    sqlite3 *db;          /* NULL: could not be opened again yet */
    bool is_db_read_only; /* the file cannot be written now */
    bool must_reopen;     /* after errors that a fresh connection may cure */
    sqlite3_stmt *stmts[STMT_N];
    int64_t seen_change;  /* the last user change that was handed on */
    int64_t seen_version; /* PRAGMA data_version at that time */
    int64_t file_ahead_s; /* of the steady clock are the times in the file */

    pthread_mutex_t queue_lock;
    pthread_cond_t wake; /* the thread: something to do */
    struct map waiting;
    struct list order; /* of waiting, oldest first */
    size_t queue_bytes;
    unsigned in_hand; /* changes taken off the queue that are being written */
    int64_t ahead_s;  /* what file_ahead_s is to be, and is not yet: */
    bool is_clock_due;
    bool is_closing, has_thread;
    pthread_t thread;
    struct store_health health; /* under queue_lock */

    pthread_mutex_t watch_lock; /* held while fn runs */
    void (*watch_fn)(void *arg, const struct store_user *u, bool deleted);
    void *watch_arg;
};

/* sqlite.c; db_lock is held by the caller. They return result codes (base/err.h), and say in `why`
 * what SQLite said. */
MUST_USE int db_open(struct store *s, struct reason *why);
void db_close(struct store *s);
MUST_USE int db_exec(struct store *s, const char *sql, struct reason *why);
/* Writes the changes in one transaction, all or none; `ahead_s` is store_clock_set's. */
MUST_USE int db_write_changes(struct store *s, struct list *changes, int64_t ahead_s, struct reason *why);
/* Hands on what changed since the last time. */
MUST_USE int db_watch(struct store *s, struct reason *why);

/* queue.c */
MUST_USE int queue_start_thread(struct store *s); /* queue_lock is held */
void queue_stop(struct store *s);
void queue_health_writable(struct store *s, bool is_writable, const char *error);

#endif

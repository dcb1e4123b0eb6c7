/* Store: users and registrations that outlive the process. One interface; the embedded
 * implementation is SQLite (store/sqlite.c). Calls never wait for it: reading happens at start,
 * writing is queued (bounded) and done by one thread of the store's, in batches. When the store
 * cannot write (read-only, full) changes stay queued and are tried again, newer ones replace older
 * ones of the same key, and store_health says so; what is in memory keeps working.
 *
 * Passwords are kept as digest HA1 hashes only. */
#ifndef STORE_STORE_H
#define STORE_STORE_H

#include "base/arena.h"
#include "base/err.h"
#include "base/reason.h"
#include "base/str.h"

struct store;

#define STORE_HA1_N 3 /* order of enum digest_algo: MD5, SHA-256, SHA-512-256 */
struct store_user {
    struct str aor;               /* "sip:alice@example.com", the key */
    struct str username, realm;   /* digest */
    uint8_t ha1_len[STORE_HA1_N]; /* 0: not there */
    uint8_t ha1[STORE_HA1_N][32];
    bool allow_md5; /* challenge with MD5 and nothing else */
    bool disabled;
};

/* One binding (RFC 3261 10.3, RFC 5626 6). All text is what the registrar needs to rebuild it. */
struct store_binding {
    struct str aor;
    struct str key;     /* unique within the AOR: instance+reg-id, or the contact URI */
    struct str contact; /* the Contact value: <uri>;params */
    struct str path;    /* Path values as received, comma separated; may be empty */
    struct str call_id;
    uint32_t cseq;
    uint32_t q_milli;    /* 0..1000 */
    uint32_t reg_id;     /* 0: none */
    struct str instance; /* +sip.instance, may be empty */
    uint64_t expires_s;  /* as registered_s: steady (base/clock.h); in the file it is the wall's clock */
    uint64_t registered_s;
    uint64_t gruu_epoch; /* which temporary GRUUs are valid (location/gruu.c); 0: none */
    struct str source;   /* "transport address" for people */
    uint8_t transport;   /* enum transport */
    uint8_t secure;      /* came over TLS all the way that we see */
    uint16_t listener;
    struct str remote; /* where it came from, if that is of use after a restart: of a datagram, or of
                          a connection whose Contact can be connected to; else empty */
    struct str local;  /* and our side of it */
    struct str user_agent;
};

/* Opens or creates; runs migrations. The file is made with mode 0600; one that others may read is
 * refused (ERR_REFUSED), as is one of a newer version or of another program. A file that exists and
 * cannot be written is opened all the same, as it can be read and may become writable later:
 * store_health says so. read_only: for looking at it beside a running daemon. */
MUST_USE int store_open(const char *file, bool read_only, struct store **ret, struct reason *why);
/* From here to store_close this process is the daemon of this file, however many folders and names
 * lead to it. ERR_EXISTS: another one is. */
MUST_USE int store_claim(struct store *s, struct reason *why);
void store_close(
    struct store *s); /* writes what is queued (at most 5 s), then closes; NULL is fine */

/* Reading, at start only (blocking). Rows are valid during the callback, which must not call the
 * store except to queue; return negative to stop, it is handed back. */
MUST_USE int store_each_user(struct store *s, int (*fn)(void *arg, const struct store_user *u),
                             void *arg);
MUST_USE int store_each_binding(struct store *s,
                                int (*fn)(void *arg, const struct store_binding *b), void *arg);

/* Queue a change; copies. Any thread. ERR_LIMIT only if the bounded queue is full even after
 * replacing. */
MUST_USE int store_put_binding(struct store *s, const struct store_binding *b);
MUST_USE int store_del_binding(struct store *s, struct str aor, struct str key);

/* The wall's clock was set, and is by so much ahead of the steady one now: rows are written so from here on, and what is in the file
 * already is moved along. Until this is called first, they are the same. Any thread. */
void store_clock_set(struct store *s, int64_t ahead_s);

/* Watches for users changed by the command line tool (another process) since store_each_user: `fn`
 * runs on the store's thread within about 2 s of the change; `deleted` rows carry the aor only.
 * NULL ends it: afterwards `fn` does not run any more. One daemon per store: it also clears the
 * list of changes. ERR_NOMEM: no thread could be started. */
MUST_USE int store_watch_users(struct store *s,
                               void (*fn)(void *arg, const struct store_user *u, bool deleted),
                               void *arg);

/* For the command line tool (blocking, own process). Put replaces. Many: inside store_begin/commit.
 * ERR_NOTFOUND from del and get; ERR_AGAIN: another process is writing for longer than 5 s. Text
 * that get returns lives in the arena. */
MUST_USE int store_put_user(struct store *s, const struct store_user *u, struct reason *why);
MUST_USE int store_get_user(struct store *s, struct arena *a, struct str aor,
                            struct store_user *ret, struct reason *why);
MUST_USE int store_del_user(struct store *s, struct str aor, struct reason *why);
MUST_USE int store_begin(struct store *s, struct reason *why);
MUST_USE int store_commit(struct store *s, struct reason *why);
void store_rollback(struct store *s);

struct store_health {
    bool writable;
    uint64_t queued; /* changes that are not in the file yet, those being written among them */
    uint64_t written, failed, dropped;
    char last_error[160];
};
void store_health_get(struct store *s, struct store_health *ret);

#endif

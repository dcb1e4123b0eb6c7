/* Structured log: one line an event, `time level event-id key=value ...`. Values from the network are quoted, escaped
 * and capped. Lines go to standard error (or the journal behind it) through a bounded queue per process: when it is full
 * lines are dropped and counted, callers never wait. Pure rooms do not log.
 * A value stands bare if it is made of letters, digits and -._:@/+ only; otherwise in double quotes, where \" and \\ are
 * themselves and every byte that is not printable ASCII is \xNN. Longer ones end in "...". */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include "base/err.h"
#include "base/reason.h"
#include "base/str.h"

enum log_level { LOG_DEBUG, LOG_INFO, LOG_NOTICE, LOG_WARN, LOG_ERROR };

struct log_field {
    const char *key; /* constant */
    enum { LOG_F_STR, LOG_F_INT, LOG_F_UINT } type;
    struct str s;
    int64_t i;
};

#define LS(k, v) ((struct log_field){.key = (k), .type = LOG_F_STR, .s = (v)})        /* struct str */
#define LZ(k, v) ((struct log_field){.key = (k), .type = LOG_F_STR, .s = str_z(v)})   /* char * */
#define LI(k, v) ((struct log_field){.key = (k), .type = LOG_F_INT, .i = (int64_t)(v)})
#define LU(k, v) ((struct log_field){.key = (k), .type = LOG_F_UINT, .i = (int64_t)(v)})

extern _Atomic(enum log_level) log_threshold; /* set at start and by reload only */

void log_write(enum log_level level, const char *event, const struct log_field *fields, size_t n);
#define LOG(level, event, ...)                                                                        \
    do {                                                                                              \
        if ((level) >= log_threshold) {                                                               \
            const struct log_field log_fields_[] = {__VA_ARGS__};                                     \
            log_write((level), (event), log_fields_, ARRAY_LEN(log_fields_));                         \
        }                                                                                             \
    } while (0)
/* Writes `event` with the reason's code, clause and detail in front of the fields given. */
void log_reason(enum log_level level, const char *event, const struct reason *r, const struct log_field *fields,
                size_t n);
/* Where lines go instead of standard error (tests, `sallyport check`); NULL restores it. `line` has no newline. The sink is
 * called at once, by one thread at a time; what it logs itself is dropped. */
void log_set_sink(void (*sink)(void *arg, enum log_level level, struct str line), void *arg);
uint64_t log_dropped(void);

#define LOG_VALUE_MAX 512  /* bytes of a value that are shown, before escaping */
#define LOG_LINE_MAX 4096  /* bytes of a line; fields that do not fit are left out, and the line ends in "..." */

/* Starts the writer thread: from now on log_write only queues. Before, and after log_stop, lines are written by the caller
 * at once. ERR_NOMEM; ERR_EXISTS if it runs. Call after fork, not before. */
MUST_USE int log_start(void);
void log_stop(void); /* writes out what is queued and ends the thread; harmless when it does not run */

#endif

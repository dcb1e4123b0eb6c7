/* Structured log: one line an event, `time level event-id key=value ...`. Values from the network are quoted, escaped
 * and capped. Lines go to standard error (or the journal behind it) through a bounded queue per process: when it is full
 * lines are dropped and counted, callers never wait. Pure rooms do not log. */
#ifndef BASE_LOG_H
#define BASE_LOG_H

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

extern enum log_level log_threshold; /* set at start and by reload only */

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
/* Where lines go instead of standard error (tests, `sallyport check`); NULL restores it. `line` has no newline. */
void log_set_sink(void (*sink)(void *arg, enum log_level level, struct str line), void *arg);
uint64_t log_dropped(void);

#endif

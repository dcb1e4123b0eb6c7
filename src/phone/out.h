/* What the phone tells on standard output: one event a line, as words for people or as JSON for
 * scripts. Values from the network are escaped in both. One thread. */
#ifndef PHONE_OUT_H
#define PHONE_OUT_H

#include "base/log.h"
#include <stdio.h>

struct phone_out {
    FILE *file; /* NULL: silence */
    bool json;
    FILE *trace; /* messages as they go and come, credentials masked; NULL: none */
    uint64_t (*now_us)(void *arg); /* for the time stamps; may be NULL */
    void *arg;
};

/* JSON: {"event":"...","ms":...,fields}. Words: the sentence that fmt makes. */
void phone_out_event(struct phone_out *o, const char *event, const struct log_field *fields,
                     size_t n, const char *fmt, ...) PRINTF_LIKE(5, 6);
#define PHONE_SAY(o, event, fields, ...)                                                           \
    phone_out_event((o), (event), (fields), ARRAY_LEN(fields), __VA_ARGS__)
/* JSON true and false. */
#define LB(k, v)                                                                                   \
    ((struct log_field){                                                                           \
        .key = (k), .type = LOG_F_STR, .s = (v) ? STR("true") : STR("false"), .i = 1})
void phone_out_message(struct phone_out *o, bool is_sent, struct str message);

#endif

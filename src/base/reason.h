/* Why something was refused: the one record that reaches the SIP response, the log, the evidence, the metric label and
 * `sallyport explain`. All strings are constants of the program except `detail`, which is a bounded copy. */
#ifndef BASE_REASON_H
#define BASE_REASON_H

#include "base/attr.h"
#include <stddef.h>
#include <stdint.h>

#define REASON_DETAIL_MAX 160

struct reason {
    const char *code;               /* stable id, lower-case with dashes: "digest-stale-nonce" */
    const char *clause;             /* "RFC 8224 6.2.2", "TR/100 7.2.3"; NULL if none applies */
    uint16_t sip_status;            /* the SIP response this asks for, 0 if none */
    uint32_t offset;                /* where in the input, 0 if not known */
    char detail[REASON_DETAIL_MAX]; /* printable, no secrets, NUL-terminated */
};

/* Fills `r` (may be NULL: then nothing happens). `fmt` may be NULL for an empty detail; unprintable bytes become '?'. */
void reason_set(struct reason *r, const char *code, const char *clause, unsigned sip_status, const char *fmt, ...)
    PRINTF_LIKE(5, 6);

#endif

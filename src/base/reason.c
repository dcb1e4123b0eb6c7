/* Filling in why something was refused (reason.h). Pure; any thread. */
#include "base/reason.h"
#include <stdarg.h>
#include <stdio.h>

void reason_set(struct reason *r, const char *code, const char *clause, unsigned sip_status,
                const char *fmt, ...)
{
    if (!r)
        return;
    r->code = code;
    r->clause = clause;
    r->sip_status = (uint16_t)sip_status;
    r->offset = 0;
    r->detail[0] = '\0';
    if (!fmt)
        return;
    va_list ap;
    va_start(ap, fmt);
    if (vsnprintf(r->detail, sizeof(r->detail), fmt, ap) < 0)
        r->detail[0] = '\0';
    va_end(ap);
    /* The detail quotes what a peer sent, and ends up in logs and header fields. */
    for (char *c = r->detail; *c; c++) {
        if (*c < 0x20 || *c > 0x7e)
            *c = '?';
    }
}

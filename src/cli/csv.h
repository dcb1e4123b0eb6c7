/* Comma separated values (RFC 4180), a record at a time, over text in memory. Pure. */
#ifndef CLI_CSV_H
#define CLI_CSV_H

#include "base/err.h"
#include "base/str.h"

#define CSV_FIELDS_MAX 8u
#define CSV_RECORD_BYTES 4096u

struct csv {
    struct str rest;
    unsigned line; /* of the record that was read last, from 1 */
    unsigned next_line;
    char text[CSV_RECORD_BYTES]; /* its fields, unquoted */
};

struct csv_record {
    struct str field[CSV_FIELDS_MAX];
    size_t n;
};

void csv_start(struct csv *c, struct str text);
/* The next record that is not an empty line; its fields are valid until the next call. ERR_CLOSED
 * at the end. ERR_SYNTAX: a quote where none may be, or one that is not closed. ERR_LIMIT: too many
 * fields, or too long. After an error it goes on behind that line. */
MUST_USE int csv_next(struct csv *c, struct csv_record *ret);
void csv_done(struct csv *c); /* wipes the text: there are passwords in it */

#endif

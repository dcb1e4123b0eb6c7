/* Secrets: wiped when done with, compared in constant time, with no way to print them. */
#ifndef BASE_SECRET_H
#define BASE_SECRET_H

#include "base/str.h"

#define SECRET_MAX 128

struct secret {
    size_t n;
    unsigned char p[SECRET_MAX];
};

MUST_USE int secret_set(struct secret *s, const void *p, size_t n); /* ERR_LIMIT above SECRET_MAX */
void secret_done(struct secret *s);                                 /* wipes; may be called again */
/* Constant time in the contents (not in the lengths). */
bool secret_eq(const struct secret *a, const struct secret *b);
bool secret_bytes_eq(const void *a, const void *b, size_t n);
void secret_wipe(void *p, size_t n); /* never optimised away */

#endif

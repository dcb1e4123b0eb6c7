/* A certificate in words: what it claims, what Sallyport would use it for, and what is wrong with
 * it (RFC 5280 4, RFC 5922 7.1, RFC 5924, RFC 7633, RFC 8226). For `sallyport cert inspect`. */
#ifndef PKI_INSPECT_H
#define PKI_INSPECT_H

#include "base/reason.h"
#include "base/str.h"

struct x509_st;

/* Once for each thing that can be said; "problem" is the label of what is wrong. Text is printable.
 */
typedef void pki_say_fn(void *arg, const char *label, struct str text);

/* One certificate; now_s is seconds since 1970. Returns how many problems were told. */
unsigned pki_inspect_cert(struct x509_st *cert, int64_t now_s, pki_say_fn *say, void *arg);
/* A PEM file: each certificate after a line "certificate" that says which one it is, then what is
 * wrong with their order. ERR_IO, ERR_SYNTAX and the like if it cannot be read. */
MUST_USE int pki_inspect_file(const char *file, int64_t now_s, pki_say_fn *say, void *arg,
                              unsigned *ret_problems, struct reason *why);

#endif

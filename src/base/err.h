/* Result codes: every fallible function returns 0 or one of these negative codes, and is MUST_USE. */
#ifndef BASE_ERR_H
#define BASE_ERR_H

enum err {
    ERR_OK = 0,
    ERR_NOMEM = -1000,   /* an allocation failed, or a cap was reached while allocating */
    ERR_INVALID = -1001, /* the caller passed something that cannot be (our bug or bad configuration) */
    ERR_SYNTAX = -1002,  /* bytes from outside do not follow the grammar */
    ERR_LIMIT = -1003,   /* a named limit (base/limits.h) would be exceeded */
    ERR_NOTFOUND = -1004,
    ERR_EXISTS = -1005,
    ERR_AGAIN = -1006, /* not now: more input or a later try is needed */
    ERR_CLOSED = -1007,
    ERR_TIMEOUT = -1008,
    ERR_REFUSED = -1009,     /* policy or peer said no; a struct reason says why */
    ERR_UNSUPPORTED = -1010, /* well formed, but not something we do */
    ERR_IO = -1011,          /* the system said no; errno is logged where it happened */
    ERR_CRYPTO = -1012,      /* the cryptographic library failed, or a check did not hold */
    ERR_CONFLICT = -1013,    /* the object changed under the caller (e.g. a newer CSeq is stored) */
};

/* A short constant text for a code ("syntax", "limit", ...); never NULL. */
const char *err_text(int code);

#endif

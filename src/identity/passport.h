/* PASSporT, the signed token of SIP Identity: RFC 8225, with the types "shaken" (RFC 8588), "div"
 * and "div-o" (RFC 8946), "rph" (RFC 8443, 9027), "msec" (RFC 8862), "msg" (RFC 9475) and "rsp"
 * (RFC 9970).
 *
 * A token is HEADER.PAYLOAD.SIGNATURE, each in base64url; what is signed is "HEADER.PAYLOAD" as it
 * was sent, the *input*. The compact form "..SIGNATURE" leaves the first two to be rebuilt from the
 * message (8225 7), which works because both are written in one way only (8225 9): passport_build.
 * Parsing keeps the bytes that were signed and takes the claims out of them; what they are worth is
 * judged in identity/verify.h. Pure; everything in the caller's arena. */
#ifndef IDENTITY_PASSPORT_H
#define IDENTITY_PASSPORT_H

#include "base/arena.h"
#include "identity/json.h"
#include "identity/jws.h"

/* "ppt" (8225 8.1). NONE: the baseline token. UNKNOWN: any other text. */
enum passport_type {
    PASSPORT_BASE,
    PASSPORT_SHAKEN,
    PASSPORT_DIV,
    PASSPORT_DIV_O,
    PASSPORT_RPH,
    PASSPORT_MSEC,
    PASSPORT_MSG,
    PASSPORT_RSP,
    PASSPORT_UNKNOWN,
    PASSPORT_TYPE_N
};
#define PASSPORT_BIT(type) (1u << (type))
struct str passport_type_text(enum passport_type t);    /* empty for BASE and UNKNOWN */
enum passport_type passport_type_parse(struct str ppt); /* case counts; empty gives BASE */
/* Can what the token says be rebuilt from the message (8225 7, 8.1)? Not for the types that carry
 * claims of their own, and 8946 3 and 8588 3 say so themselves. */
bool passport_type_may_be_compact(enum passport_type t);

/* Who: a canonical number, digits without "+" (8224 8.3), or a canonical URI (8224 8.5).
 * text.p == NULL: nobody. */
struct passport_id {
    bool is_tn;
    struct str text;
};
bool passport_id_eq(struct passport_id a, struct passport_id b); /* bytewise: both are canonical */
bool passport_id_in(struct passport_id id, const struct passport_id *list, size_t n);

/* One element of "mky" (8225 5.2.2): hash name in lower case, value in upper-case hex. */
struct passport_key {
    struct str alg, dig;
};
bool passport_keys_eq(const struct passport_key *a, size_t na, const struct passport_key *b,
                      size_t nb); /* both sorted, without repetition */

struct passport {
    /* header */
    enum jws_alg alg;
    enum passport_type type;
    struct str ppt; /* as written; empty for BASE */
    struct str x5u;
    /* claims of every token */
    struct passport_id orig;
    const struct passport_id *dest; /* numbers first; each sorted and once when built */
    size_t n_dest;
    uint64_t iat;
    const struct passport_key *mky; /* sorted */
    size_t n_mky;                   /* 0: no such claim; an empty one is refused */
    /* claims of one type */
    char attest;            /* shaken: 'A', 'B', 'C'; 0: none */
    struct str origid;      /* shaken */
    struct passport_id div; /* div, div-o */
    struct str div_hi;      /* History-Info index (8946 8); may be empty */
    struct str opt;         /* div-o: the inner token in full form */
    struct str msgi;        /* msg: "sha256-..." of the body */

    struct str input;     /* "HEADER.PAYLOAD" */
    struct str signature; /* base64url; empty while not signed */
    /* Of parsed ones: all claims, for those that only policy or a certificate's constraints ask for
     * ("rph", "rcd", ...). NULL in built ones. */
    const struct sjson_node *claims;
    /* iat as text, or a dest that is no array: RFC 8224 4.1, 8588 6 and 8946 5 print such, so they
     * are read, but never written. */
    bool is_loose;
};

/* Is it the compact form (a token beginning with "..")? */
bool passport_is_compact(struct str token);
/* The full form. Fills everything, nothing verified. ERR_SYNTAX: not a PASSporT, or without what
 * its type requires. ERR_REFUSED: "alg" that cannot be a signature (jws_alg_parse), or "crit" or
 * unencoded payloads, which nobody here understands (RFC 7515 4.1.11, 7797). ERR_UNSUPPORTED: an
 * algorithm we have not got (437). ERR_LIMIT, ERR_NOMEM. A type we do not know is no error. */
MUST_USE int passport_parse(struct arena *a, struct str token, struct passport *ret,
                            struct reason *why);
/* The same for what is yet to be signed, "HEADER.PAYLOAD" alone; for whoever holds the key. */
MUST_USE int passport_parse_input(struct arena *a, struct str input, struct passport *ret,
                                  struct reason *why);
/* Sets p->input from the other members, in the deterministic form (8225 9): dest and mky are sorted
 * and freed of repetitions first. Sets p->ppt. ERR_INVALID: something that the type requires is
 * missing or cannot be written. ERR_NOMEM, ERR_LIMIT. */
MUST_USE int passport_build(struct arena *a, struct passport *p, struct reason *why);
/* Is the input the very text that passport_build makes of its claims? A key holder signs nothing
 * else, so that it knows all that it signs. ERR_REFUSED: not. */
MUST_USE int passport_check_deterministic(struct arena *a, const struct passport *p,
                                          struct reason *why);

/* "msgi" (RFC 9475): integrity of a message body as hash name, "-", base64. */
#define PASSPORT_MSGI_MAX 104
MUST_USE int passport_msgi_make(struct str body, char ret[PASSPORT_MSGI_MAX]); /* SHA-256 */
/* 0: it is this body's. ERR_REFUSED: it is not. ERR_UNSUPPORTED: not sha256, sha384 or sha512 in
 * that form. */
MUST_USE int passport_msgi_check(struct str msgi, struct str body);

#endif

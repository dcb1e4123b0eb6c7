/* What a signature is over, made from what a message shows: canonical numbers (RFC 8224 8.1, 8.3),
 * canonical URIs (8.5), media keys (RFC 8225 5.2.2) and dates (RFC 3261 25.1 SIP-date).
 *
 * Signer and verifier must come to the same bytes from messages that intermediaries have rewritten
 * in between; so everything here is a pure function of parsed parts. The caller takes these parts
 * from the parsed header that counts as the identity field (8224 8): From, or P-Asserted-Identity
 * where local policy says so; To and Request-URI for the destination. Pure; results in the caller's
 * arena or slices over the input. */
#ifndef IDENTITY_CANON_H
#define IDENTITY_CANON_H

#include "identity/passport.h"

/* The parts of a URI that identify, as written. tel: `user` is the number with its parameters. */
struct canon_uri {
    struct str scheme, user, host;
    bool host_is_v6; /* host is without its brackets */
    bool user_is_phone;
    struct str whole; /* of other schemes than sip, sips and tel: the URI */
};

/* How numbers are dialled where the message comes from (8224 8.3: "adding a country code if
 * necessary", "removing any national or international dialing prefixes"). Digits only, empty: none.
 */
struct canon_dial {
    struct str country;              /* "49" */
    struct str national_prefix;      /* "0" */
    struct str international_prefix; /* "00" */
    struct str area;                 /* "30": what subscriber numbers are completed with */
    uint8_t national_digits; /* numbers without prefix, of this length, are national; 0: none are */
    uint8_t subscriber_digits; /* likewise: local to `area` */
    bool bare_digits; /* user parts of digits alone are numbers, without user=phone (8.1) */
};

/* The identity of a URI. A telephone number where it is marked as one (tel, user=phone), or begins
 * with "+", or by dial->bare_digits; else the URI. As originator (`is_origin`) what does not come
 * out as a number of E.164 counts as a URI (8.1), as does a number of a domain's own plan (RFC 3966
 * 5.1.5); as destination it may also be a service number.
 * `dial` may be NULL: then digits are taken as they stand. ERR_SYNTAX, ERR_UNSUPPORTED (no scheme),
 * ERR_LIMIT, ERR_NOMEM. */
MUST_USE int canon_identity(struct arena *a, const struct canon_uri *u,
                            const struct canon_dial *dial, bool is_origin, struct passport_id *ret);
/* Number text ("+1 (215) 555-1212;ext=7") to "12155551212". *ret_e164: it is a number of E.164.
 * ERR_SYNTAX: holds what no number holds. */
MUST_USE int canon_number(struct arena *a, struct str text, const struct canon_dial *dial,
                          struct str *ret, bool *ret_e164);
/* canon-uri of 8224 8.5: "sip:user@host" in lower case, escapes normalised (RFC 3986 6.2.2),
 * nothing else. Without user "sip:host". */
MUST_USE int canon_uri_text(struct arena *a, const struct canon_uri *u, struct str *ret);

/* "mky" from the values of every a=fingerprint line of the session description, session and media
 * level, in any order: equal ones once, sorted. No value gives n = 0: then there is no such claim.
 * ERR_SYNTAX: one of them is no fingerprint (a peer that cannot be judged must not pass for one
 * without keys). ERR_LIMIT, ERR_NOMEM. */
MUST_USE int canon_keys(struct arena *a, const struct str *values, size_t n,
                        struct passport_key **ret, size_t *ret_n, struct reason *why);

/* "Thu, 21 Feb 2002 13:02:03 GMT" to seconds since 1970. Any case and any white space between the
 * parts, as RFC 4474 9 expects of senders; the weekday must be one but need not be the right one.
 * ERR_SYNTAX. */
MUST_USE int canon_date_parse(struct str text, uint64_t *ret_s);
#define CANON_DATE_MAX 30
/* SIP-date, NUL-terminated; years to 9999. */
void canon_date_build(uint64_t s, char ret[CANON_DATE_MAX]);
/* The same date as RFC 4474 9 signs it: one blank between the parts, letters as in the grammar, the
 * weekday that was written. */
MUST_USE int canon_date_normalise(struct str text, char ret[CANON_DATE_MAX]);

#endif

/* The Identity header field: RFC 8224 4, 8946 4.1; and, recognised, that of RFC 4474 9.
 *
 * A message may have several, and RFC 8224's grammar has no comma, so each line is one value; since
 * senders exist that join lines all the same, callers cut at commas first (sip_list_cut), which
 * nothing in a value but a quoted text or <...> may hold. Pure slices over the value. */
#ifndef IDENTITY_IDENTITY_HDR_H
#define IDENTITY_IDENTITY_HDR_H

#include "base/arena.h"
#include "identity/passport.h"

struct identity_hdr {
    struct str token; /* the PASSporT, or RFC 4474's signature in base64 (white space taken out) */
    struct str info;  /* URI of the certificate, without <>; empty in RFC 4474's */
    struct str alg;   /* empty: not given, which means ES256 */
    struct str ppt;   /* empty: not given */
    bool is_rfc4474;  /* a quoted text: its info stands in Identity-Info */
};
/* Quotes around parameters are taken off: RFC 8946 4.1 prints ppt="div", the grammar of 8224 says
 * ppt=div, and both are sent. ERR_SYNTAX, ERR_LIMIT, ERR_NOMEM. */
MUST_USE int identity_hdr_parse(struct arena *a, struct str value, struct identity_hdr *ret,
                                struct reason *why);
/* "TOKEN;info=<URI>;alg=ES256;ppt=div". What is empty is left out. */
void identity_hdr_build(struct sbuf *b, const struct identity_hdr *h);
/* The value for a signed token, in full form or "..SIGNATURE" (8225 7). p == NULL: no memory. */
MUST_USE struct str identity_hdr_of(struct arena *a, const struct passport *p, struct str signature,
                                    bool compact);

/* Identity-Info: <URI>;alg=rsa-sha1 (RFC 4474 9). */
MUST_USE int identity_info_parse(struct str value, struct identity_hdr *ret, struct reason *why);

#endif

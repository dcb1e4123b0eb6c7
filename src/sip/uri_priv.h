/* What uri.c and uri_eq.c share. */
#ifndef SIP_URI_PRIV_H
#define SIP_URI_PRIV_H

#include "sip/uri.h"

#define SIP_URI_ESCAPED 0x100

/* The next character of URI text that has been parsed: its byte, with SIP_URI_ESCAPED if it was
 * written "%HH". */
int sip_uri_char(const char **p, const char *end);
/* RFC 2396 2.2: the characters whose escaped form means something else than the bare one. */
static inline bool sip_uri_is_reserved(char c)
{
    return c != '\0' && strchr(";/?:@&=+$,", c) != NULL;
}
/* Equal character by character; an escaped character equals the bare one unless it is reserved (RFC
 * 3261 19.1.4). */
bool sip_uri_text_eq(struct str a, struct str b, bool nocase);
/* The same for texts that are equal in this sense. */
uint64_t sip_uri_text_hash(struct str s, bool nocase);
/* Does a name of a parameter or header, escapes resolved, equal `lower` (in lower case)? */
bool sip_uri_name_is(struct str name, struct str lower);
/* Next ";name=value" of struct sip_uri.params; false at the end or if malformed (then rest->n > 0).
 */
bool sip_uri_param_next(struct str *rest, struct str *ret_name, struct str *ret_value);
/* Next "name=value" of struct sip_uri.headers; likewise. */
bool sip_uri_header_next(struct str *rest, struct str *ret_name, struct str *ret_value);

#endif

/* URIs: sip, sips (RFC 3261 19.1), tel (RFC 3966), urn:service (RFC 5031); others are kept as scheme and rest.
 * Pure slices over the caller's bytes. Comparison follows RFC 3261 19.1.4 and RFC 3966 4. */
#ifndef SIP_URI_H
#define SIP_URI_H

#include "base/arena.h"
#include "base/str.h"

enum sip_scheme { SIP_SCHEME_OTHER, SIP_SCHEME_SIP, SIP_SCHEME_SIPS, SIP_SCHEME_TEL, SIP_SCHEME_URN };

struct sip_uri {
    enum sip_scheme scheme;
    struct str whole;
    struct str scheme_text;
    struct str user;     /* as written (escapes kept); tel: the number as written; urn: everything behind "urn:" */
    struct str password;
    struct str host;     /* as written, brackets and the root's dot off */
    bool host_is_v6, has_user;
    uint16_t port;       /* 0: none */
    struct str params;   /* from the first ';' on, without headers; empty if none */
    struct str headers;  /* behind '?' */
    /* parameters that routing asks for, empty/false if absent */
    struct str transport, maddr, method_param, gr_value;
    bool lr, has_gr, ob, user_is_phone;
};

/* ERR_SYNTAX, ERR_LIMIT. A scheme we do not know is not an error (scheme OTHER): 416 is the caller's decision. */
MUST_USE int sip_uri_parse(struct str text, struct sip_uri *ret);
/* RFC 3261 19.1.4 for sip/sips (IPv6 literals by value, RFC 5954 4.2), RFC 3966 4 for tel, RFC 5031 for urn:service (no case),
 * bytewise (scheme and urn namespace case-insensitive) for others. */
bool sip_uri_eq(const struct sip_uri *a, const struct sip_uri *b);
/* Address of record (RFC 3261 10.3 step 5): "sip:user@host" with user unescaped where that is allowed (what may not stand bare or
 * is reserved stays escaped, so %00 does), host in lower case and without the root's dot, IPv6 literals by RFC 5952, no password,
 * port, parameters and headers. The key of every table of users. sips gives the same key as sip. In the arena.
 * ERR_UNSUPPORTED for other schemes. */
MUST_USE int sip_uri_aor(struct arena *a, const struct sip_uri *u, struct str *ret);
/* Digits of a global number ("+4930...", visual separators off) from a tel URI or a user=phone / all-digit user part;
 * ERR_NOTFOUND if it is not one. The user part of a sip URI may be digits without "+": they come back so, and it is the caller's
 * dialling rules that know what they mean; a tel URI without "+" is a local number and no result. */
MUST_USE int sip_uri_number(struct arena *a, const struct sip_uri *u, struct str *ret);
/* %-unescape into the arena; ERR_SYNTAX on %00 or a broken escape. */
MUST_USE int sip_unescape(struct arena *a, struct str s, struct str *ret);
/* Is it a host name or IPv4 literal by RFC 3261's grammar (or an IPv6 literal without brackets)? */
bool sip_host_is_valid(struct str host);

#endif

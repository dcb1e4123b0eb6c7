/* A copy of a SIP message without what must not be seen by those who watch (TR/100 7.1): passwords, answers to challenges, nonces,
 * keys, bodies. What goes and what stays is decided for each header by its parsed identity, and only parsed values are written:
 * bytes that the parser did not understand are not in the copy. Pure; used by the mirror (tap.c).
 *
 * - Authorization, Proxy-Authorization: scheme, username, realm, algorithm, qop and nc stay; tokens of other schemes go.
 * - WWW-Authenticate, Proxy-Authenticate: realm, algorithm, qop, stale, domain and the like stay; nonce, opaque, keys go.
 * - Authentication-Info, Proxy-Authentication-Info: qop and nc stay.
 * - URIs, the Request-URI too: passwords and the headers behind "?" go (a Refer-To can carry credentials and bodies there), of
 *   other schemes user information and query.
 * - User-to-User goes. Identity stays: whoever gets the call can read it, and it is no secret.
 * - A body becomes a note with its length, and Content-Length that of the note, so that the copy is a well-formed message. */
#ifndef EDGE_MIRROR_REDACT_H
#define EDGE_MIRROR_REDACT_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/reason.h"

/* ERR_SYNTAX: what is no message cannot be redacted. ERR_LIMIT, ERR_NOMEM. `a` is for the parser. */
MUST_USE int redact_message(struct arena *a, struct str bytes, struct buf **ret, struct reason *why);

#endif

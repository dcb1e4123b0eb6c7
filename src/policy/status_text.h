/* A status, and the facts behind it, as text: for a person, for programs, for phones. TR/100 10 and
 * its gap 3. Pure; everything goes into the caller's sbuf, whose overflow flag is looked at once.
 *
 * What came from a network is bounded wherever it appears, and cannot change how a line reads:
 * control characters, those that turn the direction of writing, invisible ones, and bytes that are
 * no UTF-8 become '?'. Headers carry nothing of a network's at all, only codes of ours. */
#ifndef POLICY_STATUS_TEXT_H
#define POLICY_STATUS_TEXT_H

#include "base/sbuf.h"
#include "policy/status.h"

#define POLICY_LINE_MAX 1536   /* room for a line */
#define POLICY_HEADER_MAX 4096 /* ... for a header's value */
#define POLICY_PERSON_MAX 160u /* bytes of one text from a network in what a person reads */

/* One text from a network, for a person. */
void policy_text_person(struct sbuf *b, struct str text);
/* "caller", "callee", "party 2". */
void policy_text_party(struct sbuf *b, unsigned party);
/* "Secure: sip:bob@example2.com, signed by example2.com. Not end to end: ..." No line end. */
void policy_text_line(struct sbuf *b, const struct policy_facts *f, const struct policy_status *s);
/* The story of the call: who called whom, how they are known, hops, media. Lines, each ended. */
void policy_text_story(struct sbuf *b, const struct policy_facts *f);
/* What a status says: level, each reason under the level that it keeps from, answers, and what
 * would make it better. Lines, each ended. */
void policy_text_verdict(struct sbuf *b, const struct policy_facts *f,
                         const struct policy_status *s);
/* Story and the verdicts towards caller and callee: `sallyport explain`. */
void policy_text_explain(struct sbuf *b, const struct policy_facts *f);

/* Objects with stable keys, no white space: the status, and the facts. */
void policy_text_json(struct sbuf *b, const struct policy_facts *f, const struct policy_status *s);
void policy_text_facts_json(struct sbuf *b, const struct policy_facts *f);

/* The value of X-Sallyport-Status, for phones that want it: level, what is expected if that is
 * another, whether it is proven, and the codes of all reasons that keep it from a higher level:
 * secure;proven=yes;reasons="media-bound-by-domain" */
void policy_text_header(struct sbuf *b, const struct policy_status *s);
/* The value of Call-Info for phones that know Cisco's four values: Encrypted from secure upwards,
 * Authenticated if it is protected, NotAuthenticated below, Unknown before keys are agreed. */
void policy_text_call_info(struct sbuf *b, const struct policy_status *s);

/* A display name with the level before it, as a quoted-string (RFC 3261 25.1): "[secure] Bob". Square
 * brackets are ours alone in it: a level that somebody else has put there is taken off, whatever its
 * case and white space, and other brackets, with what looks like them, become parentheses. `name` as
 * in sip_addr: without the outer quotes, escapes still in it. */
void policy_text_display(struct sbuf *b, enum policy_level level, struct str name);
/* The same without a level. True: the name had something in it that is ours; *ret_has_level: a level
 * in front. */
bool policy_text_display_plain(struct sbuf *b, struct str name, bool *ret_has_level);

#endif

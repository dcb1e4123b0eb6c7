/* The negotiator of one leg: asks the methods of key management that policy allows for their part
 * of an offer, keeps what was offered, gives an answer to the method that it belongs to, refuses
 * what was not offered. RFC 3264, RFC 4567 4.1.4, RFC 4568 5, 7.5, RFC 5763 5, RFC 8643,
 * TR/100 8.2.
 *
 * One for each dialog (or branch). Sections are numbered as in the description. The preference is
 * the policy's: DTLS-SRTP in its own profile first; SDES in RTP/SAVP, over private hops only; all
 * together in RTP/AVP where policy says best effort (OSRTP). A section that has settled on a method
 * stays with it.
 *
 * Calls and events are those of keying.h. Of one thread at a time. */
#ifndef KEYING_LEG_H
#define KEYING_LEG_H

#include "keying/keying.h"

/* The policy must outlive the leg. ERR_NOMEM. */
MUST_USE int keying_leg_new(struct keying_leg **ret, const struct keying_policy *policy);
void keying_leg_free(struct keying_leg *leg); /* NULL is fine */
/* Another answer to the offers that are out, or to those that were answered last (a downstream
 * fork): a leg that has made the same ones. Until KEYING_TELL_NO_BRANCHES, or the next offer or
 * answer, a leg keeps what such a one may take. */
MUST_USE int keying_leg_fork(struct keying_leg *leg, struct keying_leg **ret);

/* What our next offer says in a section, and by which profile. wish->policy may be NULL: the leg's.
 * ERR_REFUSED: no method that is allowed can be offered here, and clear media is not allowed; the
 * reason says why. */
MUST_USE int keying_leg_offer(struct keying_leg *leg, int section, const struct keying_at *at,
                              const struct keying_wish *wish, bool has_feedback,
                              struct keying_said *said, enum sdp_proto *ret_proto,
                              struct reason *why);
/* What our answer says to a section of an offer. ERR_REFUSED: reject the section, with the reason.
 */
MUST_USE int keying_leg_answer(struct keying_leg *leg, int section, const struct keying_at *at,
                               const struct keying_wish *wish, const struct keying_heard *offer,
                               struct keying_said *said, struct reason *why);
/* The answer came. ERR_REFUSED: it does not fit what was offered; the facts say whether that looks
 * like an attack. */
MUST_USE int keying_leg_accept(struct keying_leg *leg, int section, const struct keying_at *at,
                               const struct keying_wish *wish, const struct keying_heard *answer,
                               struct reason *why);
/* The last offer was refused, or the last answer did not go: back to before, in all sections or in
 * one. */
void keying_leg_rollback(struct keying_leg *leg);
void keying_leg_close(struct keying_leg *leg,
                      int section); /* rejected, or its port became 0: its keys are over */

/* A packet of some method's protocol, told by its first byte (RFC 7983; 16 to 19 are ZRTP's).
 * is_named: see struct keying_method. */
void keying_leg_packet(struct keying_leg *leg, int section, const struct keying_at *at,
                       enum keying_path path, const struct addr *from, bool is_named,
                       const uint8_t *p, size_t n);
void keying_leg_tick(struct keying_leg *leg, const struct keying_at *at);
uint64_t
keying_leg_timer(const struct keying_leg *leg); /* now_ms of the next tick; UINT64_MAX: none */
/* section -1: all. */
void keying_leg_tell(struct keying_leg *leg, int section, const struct keying_at *at,
                     const struct keying_tell *tell);
bool keying_leg_next(struct keying_leg *leg, struct keying_event *ret);

/* Of a section, clear if it has no keys; never NULL. */
const struct keying_facts *keying_leg_facts(const struct keying_leg *leg, int section);
/* The least of all sections that have settled; false: none has. */
bool keying_leg_facts_all(const struct keying_leg *leg, struct keying_facts *ret);

#endif

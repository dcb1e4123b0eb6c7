/* Between an offer and its answer (RFC 3264, 8843): which formats fit, what an answer's section
 * begins as, and whether an answer that came is one to the offer that went, so that nobody on the
 * way has bid us down unnoticed. What an answer may say of keys is each method's own to check (RFC
 * 4568 5.1.3, 4567 3.1, 8842 5). Pure; any thread.
 *
 *   offer:   sdp_build -> sent ... answer comes: sdp_parse, sdp_answer_check,
 * sdp_codecs_match(answer), sdp_media_target answer:  offer comes: sdp_parse; each section:
 * sdp_answer_media (a rejection), filled in where we take it -> sdp_build */
#ifndef SDP_ANSWER_H
#define SDP_ANSWER_H

#include "sdp/build.h"

/* A format that both sides have. */
struct sdp_agreed {
    const struct sdp_codec *codec; /* of ours */
    uint8_t pt;      /* the number that the other side gave it: what we put into packets to it */
    struct str fmtp; /* the other side's */
};
/* The formats of an m= section that are among `codecs`, in the section's order (RFC 3264 6.1: which
 * an answer keeps). Name without case, clock rate and channels must be equal. Returns how many, at
 * most `cap`. */
size_t sdp_codecs_match(const struct sdp *s, int media, const struct sdp_codec *codecs, size_t n,
                        struct sdp_agreed *ret, size_t cap);

/* Begins the answer to a section: refused, with media, protocol, formats and mid of the offer (RFC
 * 3264 6, 8843 7.3.3). Who accepts sets port, codecs (with the offer's numbers), direction and the
 * rest, and clears fmts. Slices of the offer are borrowed. */
void sdp_answer_media(const struct sdp *offer, int media, struct sdp_new_media *ret);
/* What of `wanted` (by the answerer) an offered direction leaves (RFC 3264 6.1). */
static inline enum sdp_dir sdp_answer_direction(enum sdp_dir offered, enum sdp_dir wanted)
{
    return (enum sdp_dir)((unsigned)sdp_dir_reverse(offered) & (unsigned)wanted);
}

/* Is this an answer to that offer? Sections one to one, same media and protocol; formats out of the
 * offered ones where the protocol is not RTP; rtcp-mux and BUNDLE only where offered. Its directions
 * count as far as the offer leaves them (sdp_answer_direction): many phones answer a hold as if it
 * were none (RFC 3264 6.1). ERR_REFUSED: the reason (488) names section and cause. */
MUST_USE int sdp_answer_check(const struct sdp *offer, const struct sdp *answer,
                              struct reason *why);
/* May `next` follow `before` as the same side's description in a session (RFC 3264 8)? No section is
 * taken away. What a medium is may change (8.3.3: voice becomes fax), and o= is not looked at: who
 * puts two calls together (RFC 3725) passes on the line of another phone. *ret_same: it is the same
 * description again. ERR_REFUSED. */
MUST_USE int sdp_next_check(const struct sdp *before, const struct sdp *next, bool *ret_same,
                            struct reason *why);

#endif

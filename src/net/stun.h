/* STUN keep-alives: Binding requests and their answers. RFC 5626 4.4.2, 8; RFC 8489 5, 6, 14. Pure.
 */
#ifndef NET_STUN_H
#define NET_STUN_H

#include "net/stun_wire.h"

#define STUN_REQUEST_MAX 1280 /* longer ones are no keep-alives */
#define STUN_ANSWER_MAX 128   /* dst of stun_answer */

enum stun_kind {
    STUN_NOT, /* no STUN message of today (RFC 3489's have no cookie and are not answered, RFC 5626
                 8), or a broken one */
    STUN_REQUEST,    /* a Binding request that was answered */
    STUN_INDICATION, /* a Binding indication: traffic, nothing to answer */
    STUN_OTHER       /* a well-formed message of another kind: ignored */
};

/* On a stream: length of the message that begins at p. ERR_AGAIN: incomplete, *ret_total bytes are
 * needed as far as is known. ERR_SYNTAX: no STUN message begins here. */
MUST_USE int stun_frame(const char *p, size_t n, size_t *ret_total);
/* Judges one whole message from `from` and writes what has to be answered; *ret_n is 0 if nothing.
 */
enum stun_kind stun_answer(const char *p, size_t n, const struct addr *from,
                           char dst[STUN_ANSWER_MAX], size_t *ret_n);

#endif

/* Cuts a byte stream into SIP messages, keep-alives and STUN messages. RFC 3261 7.3.1, 7.5, 18.3;
 * RFC 5626 3.5.1, 4.4.1.
 *
 * A wrong cut lets a sender smuggle one message inside another, so nothing is guessed: lines end in
 * CRLF, there is exactly one Content-Length (or its compact form `l`), it is a plain number, and it
 * is present. Everything else is FRAMING_BAD and the connection is closed. Pure: bytes in, verdict
 * out. Split input costs no more than whole input. */
#ifndef NET_FRAMING_H
#define NET_FRAMING_H

#include "base/limits.h"
#include "base/reason.h"
#include "base/str.h"

enum framing_kind {
    FRAMING_MORE,    /* what is there is the beginning of something */
    FRAMING_MESSAGE, /* a SIP message */
    FRAMING_PING,    /* the second CRLF of a keep-alive: answer with one CRLF (RFC 5626 3.5.1) */
    FRAMING_SKIP,    /* a single CRLF: a pong, or leading white space (RFC 3261 7.5) */
    FRAMING_STUN,    /* a STUN message (its first two bits are 0, which no SIP message's are) */
    FRAMING_BAD      /* no message; `reason` says why. Answerable if reason.sip_status is not 0 */
};

/* Zero it before a stream's first byte; framing_next does so after each piece. */
struct framing {
    uint32_t scanned; /* no line ends before here that has not been looked at */
    uint32_t line;    /* start of the line under way */
    uint32_t field;   /* start of the header field under way, 0: still in the start line */
    uint32_t head;    /* length of start line and header; 0: not complete */
    uint32_t length;  /* of the body, once has_length */
    bool has_length;
    bool is_crlf_pending; /* one CRLF has been skipped right before */
    uint8_t bad;          /* enum framing_bad, reported when the header is complete */
};

/* Looks at p[0..n), which begins where the last piece ended and has grown only at its end since the
 * last call with the same `f`. *ret_n: bytes of the piece; for FRAMING_MORE how many are needed in
 * all (0: not known); for FRAMING_BAD how many can be shown as the message's head. */
enum framing_kind framing_next(struct framing *f, const char *p, size_t n, size_t *ret_n,
                               struct reason *reason);

#endif

/* Writing message text inside the room. */
#ifndef SIP_OUT_H
#define SIP_OUT_H

#include "base/addr.h"
#include "base/buf.h"
#include "base/sbuf.h"
#include "sip/msg.h"

static inline void out_line(struct sbuf *b, struct str name, struct str value)
{
    sbuf_str(b, name);
    sbuf_lit(b, ": ");
    sbuf_str(b, value);
    sbuf_lit(b, "\r\n");
}
static inline void out_number(struct sbuf *b, struct str name, uint64_t v)
{
    sbuf_str(b, name);
    sbuf_lit(b, ": ");
    sbuf_u64(b, v);
    sbuf_lit(b, "\r\n");
}
/* May `s` be written as a header's value, reason phrase, name, URI of the start line? */
bool out_value_ok(struct str s);
bool out_phrase_ok(struct str s);
bool out_name_ok(struct str s);
bool out_uri_ok(struct str s);
/* What out_via_received may add to the length of a Via. */
#define OUT_VIA_MORE (ADDR_TEXT_MAX + 32)
/* The top Via as the receiver notes its source in it (RFC 3261 18.2.1, RFC 3581 4); as it came if
 * nothing is to be noted. */
void out_via_received(struct sbuf *b, const struct sip_via *v, const struct addr *source);
bool out_via_wants_received(const struct sip_via *v, const struct addr *source);
/* A buffer for at most `max` bytes behind an sbuf; NULL with *ret_err set. */
MUST_USE struct buf *out_begin(size_t max, struct sbuf *ret, int *ret_err);
/* Closes it: ERR_LIMIT (and the buffer given back) if the text overflowed or is larger than a
 * message may be. */
MUST_USE int out_end(struct buf *buf, const struct sbuf *b, struct buf **ret);

#endif

/* What the files of sdp share: character classes of RFC 8866 9 and cutting words off a value. */
#ifndef SDP_SDP_PRIV_H
#define SDP_SDP_PRIV_H

#include "base/limits.h"
#include "sdp/sdp.h"

#define SDP_NAME(lit)                                                                              \
    {                                                                                              \
        (lit), sizeof(lit) - 1                                                                     \
    } /* a struct str in a constant table */

bool sdp_is_token(struct str s); /* 1*(token-char) */
bool sdp_is_text(struct str s);  /* no NUL, CR, LF; may be empty */
bool sdp_is_word(struct str s);  /* non-ws-string */
bool sdp_is_proto(struct str s); /* token *("/" token) */
/* Takes the next word (up to SP or HTAB) off *rest; false if there is none. Several blanks count as
 * one. */
bool sdp_word(struct str *rest, struct str *ret);
bool sdp_at_end(struct str rest); /* only blanks are left */
/* "IN IP4 host[/ttl[/n]]" */
MUST_USE int sdp_conn_parse(struct str value, bool with_ttl, struct sdp_conn *ret);

#endif

/* What a request shows of who calls whom, in the canonical form that SIP Identity signs: RFC 8224
 * 4.1, 8; RFC 8225 5.2.2. Made from parsed headers; the same for signing and for verifying. Pure;
 * memory from the arena. */
#ifndef EDGE_IDENTITY_SHOW_H
#define EDGE_IDENTITY_SHOW_H

#include "identity/canon.h"
#include "identity/verify.h"
#include "sip/msg.h"

struct identity_shown {
    struct identity_message m;
    struct rfc4474_message rfc4474;
    bool has_fingerprints;
    struct str content_type; /* of the session description; empty: there is none */
};

/* `ruri`: where it goes, as it will (or did) stand in the Request-URI. `body` and its type: as the
 * message leaves or came; p == NULL: the message's own. `dial`: how bare digits are dialled here;
 * NULL: not at all. `by_pai`: who calls is taken from P-Asserted-Identity where there is one
 * (8224 8, by local policy). ERR_SYNTAX: From, To, Date or the session description cannot be read;
 * ERR_LIMIT, ERR_NOMEM. */
MUST_USE int identity_show(struct arena *a, const struct sip_msg *m, struct str ruri,
                           struct str content_type, struct str body, const struct canon_dial *dial,
                           bool by_pai, struct identity_shown *ret, struct reason *why);
/* The same of a response. `orig`: the URI of who answers, where it is to be signed; of who was
 * called, where it is to be verified. */
MUST_USE int identity_show_answer(struct arena *a, const struct sip_msg *m, struct str orig,
                                  const struct canon_dial *dial, struct identity_shown *ret,
                                  struct reason *why);
/* What a signature of RFC 4474 is over, of a request as it came: slices. What leaves otherwise is
 * for the caller to put in its place. */
void identity_show_rfc4474(const struct sip_msg *m, struct rfc4474_message *ret);
/* The identity of one URI. */
MUST_USE int identity_show_uri(struct arena *a, struct str uri, const struct canon_dial *dial,
                               bool is_origin, struct passport_id *ret);

#endif

/* Asserted identity in and out of trust domains (asserted.c). */
#ifndef EDGE_ADMIT_ASSERTED_H
#define EDGE_ADMIT_ASSERTED_H

#include "edge/edge_priv.h"

/* Who sent the request asserts somebody, and may: it belongs to our trust domain, and nobody in what
 * it asserts is of a domain that it may not speak for. */
bool asserted_is_believed(const struct edge_req *r);
/* Whom it, or an answer of `from`, asserts: the first address; without one of RFC 3325 that in Remote-Party-ID, if it may go on. Empty: nobody, or it is not believed. */
struct str asserted_who(const struct edge_req *r);
struct str asserted_who_answers(const struct sip_msg *m, const struct config *cfg,
                                const struct config_peer *from, const struct addr *local);
/* May a phone be shown what `from` asserts here? And is that domain's name one of its own? */
bool asserted_is_shown(const struct sip_msg *m);
bool asserted_is_of_peer(const struct config_peer *from, struct str who);
/* Of a request that leaves for `t`: what others asserted stays or goes, what we assert is added
 * (RFC 3325 5, 6). Sticky on the edit. */
void asserted_edit_request(struct sip_edit *e, const struct edge_req *r,
                           const struct edge_target *t);
/* Of a response, by the same rule. `from`: the peer that it comes from, NULL: from nobody that we
 * believe; `local`: the address of ours that it came to. `told`: who gets it is a peer of our trust
 * domain; `is_phone`: it is a user's phone. */
void asserted_edit_response(struct sip_edit *e, const struct sip_msg *m, const struct config *cfg,
                            const struct config_peer *from, const struct addr *local, bool told,
                            bool is_phone);
/* RFC 3323 5: a request that insists on privacy that only a B2BUA could give may not leave our
 * domain as it is. ERR_REFUSED: `why` says what to answer. */
MUST_USE int asserted_check_privacy(const struct edge_req *r, const struct edge_targets *ts,
                                    struct reason *why);

#endif

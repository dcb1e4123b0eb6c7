/* From a certificate chain to what identity makes of it (RFC 8224 7, 8.2; RFC 8862 4.1). The chain
 * can be shared by threads, the credential belongs to one, as its key does. Pure. */
#ifndef IDENTITY_CRED_CHAIN_H
#define IDENTITY_CRED_CHAIN_H

#include "identity/credential.h"
#include "pki/chain.h"

/* *ret is good, borrows from the chain, and is undone by identity_credential_done; `a` holds the
 * users' canonical URIs. ERR_UNSUPPORTED: a key for neither RFC 8225 nor RFC 4474; ERR_NOMEM. */
MUST_USE int identity_credential_make(struct arena *a, const struct pki_chain *chain,
                                      struct identity_credential *ret, struct reason *why);
/* Its names alone, whatever kind of key it has: for signatures that were checked elsewhere. Of S/MIME
 * also a user's e-mail address, if it has no URI of a user (RFC 3261 23.1: "an email address of the
 * form bob@biloxi.com, most commonly corresponding to a user's address-of-record"). ERR_NOMEM. */
MUST_USE int identity_credential_names(struct arena *a, const struct pki_chain *chain,
                                       struct identity_credential *ret);
void identity_credential_done(struct identity_credential *c); /* harmless on zeros, and twice */

#endif

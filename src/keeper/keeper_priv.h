/* What the files of the keeper share: keys on a token. */
#ifndef KEEPER_KEEPER_PRIV_H
#define KEEPER_KEEPER_PRIV_H

#include "identity/jws.h"

/* --- pkcs11.c --- */

struct token_key;

bool token_uri_is(const char *key); /* "pkcs11:..." */
/* Opens a session with the token and finds the key. ERR_SYNTAX: not a URI that says enough;
 * ERR_NOTFOUND, ERR_REFUSED (the PIN), ERR_IO (the module). */
MUST_USE int token_key_open(const char *uri, struct token_key **ret, struct reason *why);
void token_key_close(struct token_key *k); /* NULL is fine */
/* R || S of `half` bytes each, over a digest. ERR_CRYPTO. */
MUST_USE int token_key_sign(struct token_key *k, const uint8_t *digest, size_t n_digest,
                            size_t half, uint8_t ret[JWS_SIGNATURE_MAX]);

#endif

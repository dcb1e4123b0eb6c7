/* What the files of the keeper share: keys on a token, rates. */
#ifndef KEEPER_KEEPER_PRIV_H
#define KEEPER_KEEPER_PRIV_H

#include "identity/jws.h"
#include "pki/signing.h"

/* --- keys.c --- */

/* A bucket that holds what one second allows: thousandths of signatures that may be made at once. */
struct keeper_rate {
    uint64_t tokens_m, filled_ms;
};
bool keeper_rate_take(struct keeper_rate *r, unsigned a_second, uint64_t now_ms); /* 0: no limit */

/* --- pkcs11.c --- */

struct token_key;

bool token_uri_is(const char *key); /* "pkcs11:..." */
/* Opens a session with the token and finds the key. ERR_SYNTAX: not a URI that says enough;
 * ERR_NOTFOUND, ERR_REFUSED (the PIN), ERR_IO (the module). */
enum token_key_type { TOKEN_EC, TOKEN_RSA };
MUST_USE int token_key_open(const char *uri, enum token_key_type type, struct token_key **ret,
                            struct reason *why);
void token_key_close(struct token_key *k); /* NULL is fine */
/* R || S of `half` bytes each, over a digest. ERR_CRYPTO. */
MUST_USE int token_key_sign(struct token_key *k, const uint8_t *digest, size_t n_digest,
                            size_t half, uint8_t ret[JWS_SIGNATURE_MAX]);
/* RSASSA-PSS (salt as long as the digest) or PKCS #1 v1.5, by the digest of the scheme. ERR_CRYPTO. */
MUST_USE int token_key_sign_rsa(struct token_key *k, const struct pki_sign_scheme *scheme,
                                const uint8_t *digest, size_t n_digest,
                                uint8_t ret[PKI_SIGNATURE_MAX], size_t *ret_n);

#endif

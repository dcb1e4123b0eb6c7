/* What the files of the keeper share: keys on a token, rates. */
#ifndef KEEPER_KEEPER_PRIV_H
#define KEEPER_KEEPER_PRIV_H

#include "keeper/keys.h"
#include "pki/signing.h"

/* --- keys.c --- */

/* A bucket that holds what one second allows: thousandths of signatures that may be made at once. */
struct keeper_rate {
    uint64_t tokens_m, filled_ms;
};
bool keeper_rate_take(struct keeper_rate *r, unsigned a_second, uint64_t now_ms); /* 0: no limit */

enum keeper_status keeper_status_of(int err);

/* --- rfc4474.c --- */

/* A key that signs as RFC 4474 has it, if there is one. */
struct keeper_rfc4474 {
    struct pki_chain *chain; /* NULL: there is none */
    struct identity_credential cred;
    struct rfc4474_key *file_key;
    struct token_key *token;
    unsigned min_bits;
};
MUST_USE int keeper_rfc4474_load(struct keeper_rfc4474 *k, struct arena *a,
                                 const struct keeper_key_args *args, struct reason *why);
void keeper_rfc4474_done(struct keeper_rfc4474 *k); /* harmless on zeros */
MUST_USE int keeper_rfc4474_sign(struct keeper_rfc4474 *k, struct arena *a, struct str input,
                                 uint64_t now_s, struct rfc4474_parts *ret_p,
                                 char signature[RFC4474_SIGNATURE_TEXT_MAX], struct reason *why);

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
/* RSASSA-PSS (salt as long as the digest) or PKCS #1 v1.5, by the digest of the scheme; the latter also
 * by SHA1. ERR_CRYPTO. */
MUST_USE int token_key_sign_rsa(struct token_key *k, const struct pki_sign_scheme *scheme,
                                const uint8_t *digest, size_t n_digest,
                                uint8_t ret[PKI_SIGNATURE_MAX], size_t *ret_n);

#endif

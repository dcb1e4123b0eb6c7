/* The signature of a PASSporT: JWS compact serialization's algorithms (RFC 7515 5, RFC 7518 3) as
 * far as RFC 8225 4.2 lets them in, and keys made ready for them.
 *
 * Which algorithm: ES256 is the one that everybody must support (RFC 8225 4.2, RFC 8224 4.1). ES384
 * and ES512 are of the same kind and can be allowed. RSA and EdDSA are registered for JWS but no
 * certificate policy for SIP identity knows them: they count as unsupported. "none" and the HMAC
 * algorithms are refused outright: nobody's certificate can stand behind them, and a verifier that
 * took the public key as an HMAC secret would believe everybody (RFC 8725 2.1, 3.1). A key has one
 * algorithm, that of its curve; a token that names another one is refused before any arithmetic.
 *
 * Signatures are not deterministic (RFC 8225 4.2 would prefer RFC 6979), because OpenSSL before 3.2
 * cannot. Pure; a key belongs to one thread. */
#ifndef IDENTITY_JWS_H
#define IDENTITY_JWS_H

#include "base/err.h"
#include "base/reason.h"
#include "base/str.h"

struct evp_pkey_st;

enum jws_alg { JWS_ES256, JWS_ES384, JWS_ES512, JWS_ALG_N };
#define JWS_BIT(alg) (1u << (alg))

#define JWS_SIGNATURE_MAX 132      /* R || S of ES512 */
#define JWS_SIGNATURE_TEXT_MAX 177 /* as base64url, with a NUL */

struct str jws_alg_text(enum jws_alg alg);
/* By name; case counts (RFC 7515 4.1.1). ERR_REFUSED: "none" or HMAC. ERR_UNSUPPORTED: any other
 * that is not in the table. */
MUST_USE int jws_alg_parse(struct str name, enum jws_alg *ret, struct reason *why);

struct jws_key;

/* Takes its own reference to the key. NULL with ERR_UNSUPPORTED: not an EC key on a curve of the
 * table (a certificate with it is a 437, RFC 8224 6.2.2); ERR_NOMEM. With can_sign it must have its
 * private half. */
MUST_USE int jws_key_new(struct evp_pkey_st *pkey, bool can_sign, struct jws_key **ret,
                         struct reason *why);
void jws_key_free(struct jws_key *k);
enum jws_alg jws_key_alg(const struct jws_key *k);

/* ret: base64url, NUL-terminated. ERR_CRYPTO, ERR_NOMEM. */
MUST_USE int jws_sign(struct jws_key *k, struct str input, char ret[JWS_SIGNATURE_TEXT_MAX]);
/* 0: `signature` (base64url) is one by that key over `input`. ERR_REFUSED: it is not. ERR_SYNTAX:
 * it has not the form of one by `alg`. ERR_CONFLICT: the key is of another algorithm than `alg`.
 * ERR_NOMEM. */
MUST_USE int jws_verify(struct jws_key *k, enum jws_alg alg, struct str input, struct str signature,
                        struct reason *why);

/* R || S of fixed length (RFC 7518 3.4) from and to the DER that OpenSSL and PKCS#11's users speak
 * (RFC 3279 2.2.3). `half` is the length of each, up to 66. Strict: minimal, positive integers. */
#define JWS_DER_MAX 141 /* 3 + 2 * (3 + 66) */
MUST_USE int jws_der_from_raw(const uint8_t *raw, size_t half, uint8_t ret[JWS_DER_MAX],
                              size_t *ret_len);
MUST_USE int jws_raw_from_der(const uint8_t *der, size_t n, size_t half,
                              uint8_t ret[JWS_SIGNATURE_MAX]);

#endif

/* Signatures of RFC 4474, which RFC 8224 has replaced: RSA with SHA-1 over From, To, Call-ID, CSeq,
 * Date, Contact and the whole body of a request (RFC 4474 9). For peers that speak nothing newer.
 *
 *     digest-string  = from "|" to "|" call-id "|" number SP method "|" date "|" [contact] "|" body
 *     Identity:        "BASE64"
 *     Identity-Info:   <https://...>;alg=rsa-sha1
 *
 * The addr-specs are signed as they stand, so whoever rewrites an address, a Contact or a byte of
 * the body on the way breaks the signature; and since the body is under it, so are media keys of
 * all kinds. Requests only; not REGISTER, whose Contacts are many (RFC 4474 9 leaves it to later
 * study), and not CANCEL (9). Contact "*" has no addr-spec and counts as none.
 *
 * Two texts that SHA-1 takes for one can be made by whoever chooses parts of both (chosen prefixes,
 * 2020, for the price of a car). A user of a domain could have the one signed, to use the other
 * with another's name in From. Such pairs hold some hundred bytes that their maker cannot choose;
 * so that there is no place for them, all that is signed here is text: printable ASCII before the
 * body, and in it UTF-8 without control characters. It is asked of both what we sign and what we
 * verify.
 *
 * Pure; a key belongs to one thread. */
#ifndef IDENTITY_RFC4474_H
#define IDENTITY_RFC4474_H

#include "base/arena.h"
#include "base/limits.h"
#include "identity/passport.h"

#define RFC4474_ALG "rsa-sha1"
#define RFC4474_RSA_BITS 2048u     /* RFC 4474 9 asks for 1024, which nobody should any more */
#define RFC4474_RSA_BITS_MAX LIMIT_RSA_BITS
#define RFC4474_SIGNATURE_BYTES (RFC4474_RSA_BITS_MAX / 8)
#define RFC4474_SIGNATURE_TEXT_MAX (4 * ((RFC4474_SIGNATURE_BYTES + 2) / 3) + 1)
#define RFC4474_HASH 20u /* bytes of SHA-1 */

/* What is signed of a request. */
struct rfc4474_parts {
    struct str from, to; /* addr-spec */
    struct str call_id;
    uint32_t cseq;
    struct str method;
    struct str date;    /* as written; of a parsed one in the form that is signed */
    struct str contact; /* addr-spec; empty: there is none */
    struct str body;
};

/* A request that may be signed so, as its reader shows it. */
struct rfc4474_message {
    struct rfc4474_parts parts;
    struct str info; /* of its Identity-Info, when it has that once; p == NULL: it has not */
    bool has_other_contacts; /* more than one: which of them was signed? */
};

/* The digest-string. ERR_SYNTAX: not what a request has in these places, or no Date.
 * ERR_UNSUPPORTED: the body is no text. ERR_NOMEM. */
MUST_USE int rfc4474_build(struct arena *a, const struct rfc4474_parts *p, struct str *ret,
                           struct reason *why);
/* The other way, for who has the key and signs nothing that it does not understand: slices of the
 * text. Everything that parses is what rfc4474_build makes of the parts. ERR_SYNTAX,
 * ERR_UNSUPPORTED as above. */
MUST_USE int rfc4474_parse(struct str digest_string, struct rfc4474_parts *ret, struct reason *why);
/* Whom From names, as the domain signs for it: a URI, also where it holds a number (RFC 4474 11).
 * ERR_UNSUPPORTED: a tel URI, for which nobody is known to speak. ERR_SYNTAX, ERR_LIMIT, ERR_NOMEM.
 */
MUST_USE int rfc4474_identity(struct arena *a, struct str from, struct passport_id *ret,
                              struct reason *why);
/* May requests of this method be signed? */
bool rfc4474_method_may(struct str method);

struct rfc4474_key;

/* Takes its own reference. ERR_UNSUPPORTED: not RSA, or with more than RFC4474_RSA_BITS_MAX bits
 * or a long exponent (pki/key_cost.h); ERR_NOMEM, ERR_CRYPTO. That a key has enough bits is the caller's to ask. */
MUST_USE int rfc4474_key_new(struct evp_pkey_st *pkey, bool can_sign, struct rfc4474_key **ret,
                             struct reason *why);
void rfc4474_key_free(struct rfc4474_key *k); /* NULL is fine */
unsigned rfc4474_key_bits(const struct rfc4474_key *k);

MUST_USE int rfc4474_hash(struct str digest_string, uint8_t ret[RFC4474_HASH]);
/* ret: base64, NUL-terminated. ERR_CRYPTO, ERR_NOMEM. */
MUST_USE int rfc4474_sign(struct rfc4474_key *k, struct str digest_string,
                          char ret[RFC4474_SIGNATURE_TEXT_MAX]);
/* 0: `signature` (base64) is by that key over the text. ERR_REFUSED: it is not. ERR_SYNTAX: it is
 * no base64 of the key's length. ERR_NOMEM. */
MUST_USE int rfc4474_verify(struct rfc4474_key *k, struct str digest_string, struct str signature,
                            struct reason *why);

/* Values of the two header fields, in the arena; p == NULL: no memory. */
MUST_USE struct str rfc4474_identity_value(struct arena *a, struct str signature);
MUST_USE struct str rfc4474_info_value(struct arena *a, struct str url);

#endif

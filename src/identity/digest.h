/* Digest access authentication for SIP: RFC 3261 22, RFC 7616, RFC 8760. Pure arithmetic and
 * parsing: takes header values and bytes, returns values; the server's nonce is a MAC, not a table.
 * Both roles (the edge challenges; the phone and trunks answer). */
#ifndef IDENTITY_DIGEST_H
#define IDENTITY_DIGEST_H

#include "base/arena.h"
#include "base/err.h"
#include "base/reason.h"
#include "base/sbuf.h"

enum digest_algo { DIGEST_MD5, DIGEST_SHA256, DIGEST_SHA512_256, DIGEST_ALGO_N };
#define DIGEST_BYTES_MAX 32

struct str digest_algo_text(enum digest_algo a); /* "MD5", "SHA-256", "SHA-512-256" */

/* Username, realm and password hashed (RFC 7616 3.4.2), before any -sess step. The only form in
 * which the store keeps passwords. */
struct digest_ha1 {
    enum digest_algo algo;
    uint8_t n;
    uint8_t bytes[DIGEST_BYTES_MAX];
};
MUST_USE int digest_ha1_make(enum digest_algo a, struct str user, struct str realm,
                             struct str password, struct digest_ha1 *ret);

/* One Authorization / Proxy-Authorization value, or one challenge. Slices over the value, quotes
 * off, escapes resolved in the arena. */
struct digest_credentials {
    struct str username, realm, nonce, uri, response, cnonce, opaque, qop, nc_text;
    enum digest_algo algo;
    bool sess;     /* -sess variant */
    bool has_algo; /* absent means MD5 */
    bool userhash;
    uint32_t nc; /* 0: none */
};
/* ERR_UNSUPPORTED: another scheme or algorithm (of the latter realm and nonce are set, so that the
 * caller can tell whose they are). ERR_SYNTAX, ERR_LIMIT, ERR_NOMEM. The response may be empty (RFC
 * 8760 2.7): digest_check refuses that. */
MUST_USE int digest_credentials_parse(struct arena *a, struct str value,
                                      struct digest_credentials *ret, struct reason *why);

struct digest_challenge {
    struct str realm, nonce, opaque, domain;
    enum digest_algo algo;
    bool sess, stale, qop_auth, qop_auth_int, userhash;
};
MUST_USE int digest_challenge_parse(struct arena *a, struct str value, struct digest_challenge *ret,
                                    struct reason *why);
void digest_challenge_build(struct sbuf *b,
                            const struct digest_challenge *c); /* always offers what qop_* says */

/* Server: is `response` right? Constant time in the comparison. ERR_REFUSED with reason: wrong
 * response, qop missing (stricter than RFC 8760 2.6 item 8: without qop there is no nonce count, so
 * nothing would stop a replay), another algorithm than the hash is of. That `uri` is the
 * Request-URI is for the caller to check (sip_uri_eq). `body` is hashed for auth-int. */
MUST_USE int digest_check(const struct digest_credentials *c, const struct digest_ha1 *ha1,
                          struct str method, struct str body, struct reason *why);
/* The same; of an answer that is right also the rspauth for a response without a body (RFC 7616 3.5),
 * which costs little more: most of what is hashed is shared. ret_hex may be NULL. */
MUST_USE int digest_check_rspauth(const struct digest_credentials *c, const struct digest_ha1 *ha1,
                                  struct str method, struct str body,
                                  char ret_hex[2 * DIGEST_BYTES_MAX + 1], struct reason *why);
/* Client: the Authorization value for a challenge. qop auth-int if only that is offered or
 * `prefer_int`, else auth, else the RFC 2069 form; cnonce is the caller's randomness. */
struct digest_answer_args {
    const struct digest_challenge *challenge;
    struct str username, method, uri, body, cnonce;
    const struct digest_ha1 *ha1;
    uint32_t nc;
    bool prefer_int;
};
/* ERR_LIMIT: b is too small. ERR_UNSUPPORTED: -sess without qop (RFC 3261 22.4 item 8).
 * ERR_INVALID: ha1 of another algorithm. */
MUST_USE int digest_answer_build(struct sbuf *b, const struct digest_answer_args *args);
/* rspauth for Authentication-Info (RFC 7616 3.5): server makes, client checks. */
MUST_USE int digest_rspauth(const struct digest_credentials *c, const struct digest_ha1 *ha1,
                            struct str body, char ret_hex[2 * DIGEST_BYTES_MAX + 1]);

/* One (Proxy-)Authentication-Info value (RFC 7616 3.5); members that were not there are empty. */
struct digest_info {
    struct str nextnonce, qop, rspauth, cnonce, nc_text;
};
MUST_USE int digest_info_parse(struct arena *a, struct str value, struct digest_info *ret,
                               struct reason *why);
void digest_info_build(struct sbuf *b,
                       const struct digest_info *info); /* what is empty is left out */
/* Client: does rspauth show that the server knows the password? `c`: our own credentials, parsed.
 * ERR_REFUSED. */
MUST_USE int digest_info_check(const struct digest_info *info, const struct digest_credentials *c,
                               const struct digest_ha1 *ha1, struct str body, struct reason *why);

/* ---- the stateless nonce (RFC 7616 5.4) ----
 * base64url of: version, time (s), random id, and a MAC over these, the realm and `binding` (what
 * it shall be usable for: the flow id of a connection, or the source address of a datagram). */
#define DIGEST_NONCE_TEXT_MAX 80
struct digest_nonce_key {
    /* The current and the previous key, so that a key change does not break what is under way. All
     * zeros: none. */
    uint8_t now[32], before[32];
};
struct digest_nonce_info {
    uint64_t issued_s;
    uint64_t id; /* random, names the nonce in the replay window */
};
MUST_USE int digest_nonce_make(const struct digest_nonce_key *key, uint64_t now_s,
                               uint64_t random_id, struct str realm, struct str binding,
                               char ret[DIGEST_NONCE_TEXT_MAX]);
/* ERR_REFUSED: not ours or not for this binding (reason digest-nonce-foreign); ERR_TIMEOUT: too
 * old, or from before the clock was set back (answer stale=true). Constant time in the comparison.
 */
MUST_USE int digest_nonce_check(const struct digest_nonce_key *key, uint64_t now_s,
                                uint64_t max_age_s, struct str realm, struct str binding,
                                struct str nonce, struct digest_nonce_info *ret,
                                struct reason *why);

/* ---- the nonce-count window (RFC 7616 5.5): at the owner of the flow, bounded, one owner thread
 * ---- */
struct digest_replay;
MUST_USE struct digest_replay *digest_replay_new(size_t max_nonces);
void digest_replay_free(struct digest_replay *r);
/* To be asked last, of answers that are right, so that only those who know a password can fill the
 * table. Accepts each (nonce id, nc) once; counts up to 64 behind the highest may come late.
 * ERR_CONFLICT: seen before, or too far behind. The oldest nonces are forgotten at the maximum:
 * what was forgotten is refused with ERR_TIMEOUT (stale), never accepted (nonces issued before the
 * forgetting line are stale). */
void digest_replay_warm(const struct digest_replay *r, const struct digest_nonce_info *nonce); /* it will be asked soon */
MUST_USE int digest_replay_check(struct digest_replay *r, const struct digest_nonce_info *nonce,
                                 uint32_t nc);

/* Passwords that may be set: 12 characters or more, of three kinds (or 20 of any), and enough of
 * them left when the parts that can be guessed are taken away: names of user and domain, common
 * words, runs. ERR_REFUSED with what to do in the reason. */
MUST_USE int digest_password_check(struct str user, struct str domain, struct str password,
                                   struct reason *why);

#endif

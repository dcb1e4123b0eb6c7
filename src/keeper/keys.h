/* The keys that a keeper has: each with its own copy of the certificate, against which it judges
 * what it is asked to sign, and with its rate. In the keeper's process only; one thread. */
#ifndef KEEPER_KEYS_H
#define KEEPER_KEYS_H

#include "identity/cred_chain.h"
#include "identity/sign.h"
#include "keeper/frame.h"

/* One key of the configuration. */
struct keeper_key_args {
    struct str name;
    const char *cert_file; /* PEM: leaf, then issuers */
    const char *key;       /* a PEM file, or a URI of RFC 7512: "pkcs11:token=...;object=...
                            * ?module-path=FILE&pin-source=file:FILE" */
    struct str url;        /* where others fetch the certificate: the only "x5u" that is signed */
    unsigned rate;         /* signatures a second; 0: no limit */
    const struct str *prefixes; /* numbers that it may speak for besides ("4930123") */
    size_t n_prefixes;
    bool allow_any_number; /* its provider code is authority enough for all numbers (RFC 8588) */
    /* Another pair for signatures of RFC 4474, under the same name and rate; NULL: none */
    const char *rfc4474_cert_file, *rfc4474_key;
    unsigned rfc4474_min_bits; /* 0: RFC4474_RSA_BITS */
};

struct keeper_keys;
struct keeper_key;

/* All or nothing: `why` names the key and what is wrong with it. */
MUST_USE int keeper_keys_new(const struct keeper_key_args *args, size_t n, struct keeper_keys **ret,
                             struct reason *why);
void keeper_keys_free(struct keeper_keys *k); /* NULL is fine */
size_t keeper_keys_count(const struct keeper_keys *k);
/* What was used of rates goes over to the new set, so that nobody gets more by asking for a reload.
 */
void keeper_keys_take_rates(struct keeper_keys *k, const struct keeper_keys *old);
struct keeper_key *keeper_keys_find(struct keeper_keys *k, struct str name); /* NULL */
/* Is one of them, of either kind, that with this name of its public key (pki_key_name), and whose? */
bool keeper_keys_have(const struct keeper_keys *k, const char name[PKI_KEY_NAME + 1],
                      struct str *ret_identity);

/* Signs `input` if it is a PASSporT that this key may sign now. *ret_p tells the log what was in
 * it, as far as it was understood. `signature` is filled with KEEPER_DONE only. */
enum keeper_status keeper_key_sign(struct keeper_key *k, struct arena *a, struct str input,
                                   uint64_t now_s, uint64_t now_ms, struct passport *ret_p,
                                   char signature[JWS_SIGNATURE_TEXT_MAX], struct reason *why);
/* The same of the digest-string of a request (RFC 4474 9). */
enum keeper_status keeper_key_sign_rfc4474(struct keeper_key *k, struct arena *a, struct str input,
                                           uint64_t now_s, uint64_t now_ms,
                                           struct rfc4474_parts *ret_p,
                                           char signature[RFC4474_SIGNATURE_TEXT_MAX],
                                           struct reason *why);

#endif

/* The keys of TLS that a keeper has, apart from those of identities: each signs what handshakes
 * sign and nothing else, and none of them is one of an identity (keys.h). Named by what the
 * daemon's certificates say of them (pki/signing.h), so that neither side can be told to use one
 * with another's certificate. In the keeper's process only; one thread. */
#ifndef KEEPER_TLS_KEYS_H
#define KEEPER_TLS_KEYS_H

#include "keeper/frame.h"
#include "keeper/keys.h"

/* One key of the configuration. The same may stand in it several times. */
struct keeper_tls_args {
    struct str name;       /* for people: domain "example.com" */
    const char *cert_file; /* PEM: leaf first */
    const char *key;       /* as in keeper_key_args */
    bool as_server;        /* may it be a server's, too? */
};

struct keeper_tls_keys;
struct keeper_tls_key;

/* All or nothing: `why` names the key and what is wrong with it: it is not its certificate's, or
 * one of `identities` as well. rate: signatures a second and key; 0: no limit. */
MUST_USE int keeper_tls_keys_new(const struct keeper_tls_args *args, size_t n, unsigned rate,
                                 const struct keeper_keys *identities, struct keeper_tls_keys **ret,
                                 struct reason *why);
void keeper_tls_keys_free(struct keeper_tls_keys *k); /* NULL is fine */
size_t keeper_tls_keys_count(const struct keeper_tls_keys *k);
/* Rates and counts go over to the new set. So do, for LIMIT_HANDSHAKE_MS, the keys that it does not
 * have any more: handshakes that began with the old certificates end. Takes `old` over. */
void keeper_tls_keys_follow(struct keeper_tls_keys *k, struct keeper_tls_keys *old,
                            uint64_t now_ms);
/* Lets go of them when it is time; returns in how many ms that is, UINT64_MAX: never. */
uint64_t keeper_tls_keys_tick(struct keeper_tls_keys *k, uint64_t now_ms);

/* NO_KEY, or what the request comes to; `signature` is filled with KEEPER_DONE only. *ret_name: the
 * key's for people; empty if there is none. */
enum keeper_status keeper_tls_sign(struct keeper_tls_keys *k, const struct pki_sign_request *r,
                                   uint64_t now_ms, uint8_t signature[PKI_SIGNATURE_MAX],
                                   size_t *ret_n, struct str *ret_name, struct reason *why);

/* Signatures are not logged one by one, for a flood of handshakes would be a flood of lines, but
 * counted: gives the counts since the last time, a key each that has any; without fn, says whether
 * any has. */
typedef void keeper_tls_count_fn(void *arg, struct str name, uint64_t n_signed, uint64_t n_refused);
bool keeper_tls_counts(struct keeper_tls_keys *k, keeper_tls_count_fn *fn, void *arg);

#endif

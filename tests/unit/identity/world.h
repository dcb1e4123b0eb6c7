/* Two domains, a carrier and their certificates, for tests of signing and verifying. */
#ifndef TESTS_UNIT_IDENTITY_WORLD_H
#define TESTS_UNIT_IDENTITY_WORLD_H

#include "identity/sign.h"
#include "keys.h"

#define NOW UINT64_C(1700000000)
#define URL_A "https://a.example/cert"
#define URL_B "https://b.example/cert"
#define URL_C "https://c.example/cert"
#define URL_USER "https://a.example/alice"

enum who { A, B, C, USER, WHO_N }; /* a.example, b.example, a carrier, alice herself */

struct world {
    struct arena *arena;
    EVP_PKEY *pkey[WHO_N];
    struct jws_key *signer[WHO_N], *verifier[WHO_N];
    struct identity_credential cred[WHO_N];
    struct identity_policy policy;
    struct identity_message m; /* alice@a.example calls bob@b.example, with two fingerprints */
    struct passport_key mky[2], other_mky[1];
};

void world_init(struct world *w);
void world_done(struct world *w);
extern const char *const world_urls[WHO_N];

struct passport_id uri(const char *text);
struct passport_id tn(const char *digits);

/* Signs what m shows; fails the test if it cannot. */
struct str world_sign(struct world *w, enum who by, struct identity_sign_args args,
                      struct passport *ret_p);
/* Signs claims that nobody would let pass: whatever `p` says. */
struct str world_forge(struct world *w, enum who by, struct passport p, struct passport *ret_p);
/* Any text as payload under a header of `by`. */
struct str world_forge_text(struct world *w, enum who by, const char *header, const char *payload);
/* All steps of verification, with the world's certificates found by their addresses. */
struct identity_result world_verify(struct world *w, const struct str *values, size_t n);
struct identity_result world_verify_use(struct world *w, const struct str *values, size_t n,
                                        struct identity_replay *replay,
                                        const struct identity_use *use);
/* Verdict and reason code; the code may be NULL for VALID. */
void world_expect(const struct identity_result *r, enum identity_verdict v, const char *code);

#endif

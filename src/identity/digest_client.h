/* The client of digest access authentication: which challenge is answered, with which password,
 * counted how often (RFC 3261 22, RFC 7616 3.3 to 3.6, RFC 8760 2.4). Phones have one for all they
 * ask; the edge has one for each carrier it has an account with. Values of headers go in and come
 * out; requests and responses are the caller's. Pure: randomness is the caller's source. One owner,
 * one thread. */
#ifndef IDENTITY_DIGEST_CLIENT_H
#define IDENTITY_DIGEST_CLIENT_H

#include "base/rand.h"
#include "base/secret.h"
#include "identity/digest.h"

/* A password and the realm it is for; it is never used for another (RFC 3261 22.1). */
struct digest_login {
    struct str realm, user;
    struct secret password;
};

#define DIGEST_CLIENT_ENTRIES 8u
#define DIGEST_CLIENT_CREDS_MAX 4u /* credentials in one request */
struct digest_client_entry {
    struct arena *arena;        /* NULL: unused */
    bool is_proxy, is_register; /* 407 or 401; 401s count for the method they came with */
    struct digest_challenge challenge;
    const struct digest_login *login;
    struct digest_ha1 ha1;
    uint32_t nc;
};
struct digest_client {
    const struct digest_login *logins; /* borrowed */
    unsigned n_logins;
    bool allow_md5;
    struct digest_client_entry entries[DIGEST_CLIENT_ENTRIES];
    unsigned at;
    struct str algo; /* of the last answer */
    bool proved;     /* the server has answered with a right rspauth */
};

/* What a response says: WWW-Authenticate and Proxy-Authenticate, or Authentication-Info and
 * Proxy-Authentication-Info. */
#define DIGEST_CLIENT_VALUES_MAX 16u
struct digest_client_values {
    struct str own[DIGEST_CLIENT_VALUES_MAX], proxy[DIGEST_CLIENT_VALUES_MAX];
    size_t n_own, n_proxy;
};
/* One answer in a request. */
struct digest_client_cred {
    struct str name, value;
    struct digest_ha1 ha1;
};

void digest_client_init(struct digest_client *c, const struct digest_login *logins,
                        unsigned n_logins, bool allow_md5);
void digest_client_done(struct digest_client *c);
void digest_client_forget(struct digest_client *c); /* nonces are bound to the flow */
/* Takes the challenges of a 401 or 407, in their order. 0: worth trying (again). ERR_REFUSED and
 * the reason: no credentials for the realm, wrong password (challenged again for the same nonce's
 * sake, not stale), only algorithms that are not to be used. */
MUST_USE int digest_client_challenged(struct digest_client *c, struct arena *mem,
                                      const struct digest_client_values *v, bool is_register,
                                      bool was_answered, struct reason *why);
/* Answers for a request, of every challenge that applies to it. Values live in the arena. */
MUST_USE int digest_client_answer(struct digest_client *c, struct arena *mem,
                                  struct rand_source *rand, bool is_register, struct str method,
                                  struct str ruri, struct str body,
                                  struct digest_client_cred ret[DIGEST_CLIENT_CREDS_MAX],
                                  unsigned *ret_n);
/* What came with a 2xx to a request with `creds`: does the server know the password? ERR_REFUSED:
 * it claims to and does not. Takes the next nonce from it. */
MUST_USE int digest_client_check_info(struct digest_client *c, struct arena *mem,
                                      const struct digest_client_values *info, bool is_register,
                                      const struct digest_client_cred *creds, unsigned n_creds,
                                      struct str body, struct reason *why);

#endif

/* One round of DTLS-SRTP: what two descriptions said of an association, and the association itself,
 * on each path of the medium. RFC 8842 3.1: a new round begins when the roles, the fingerprints or
 * the tls-id change. Of one thread. */
#ifndef KEYING_DTLS_ROUND_H
#define KEYING_DTLS_ROUND_H

#include "keying/dtls_priv.h"

#define DTLS_TLS_ID 24 /* letters of 6 bits: RFC 8842 4 asks for 20 and 120 bits */

/* Keys on their way to the media plane. */
struct dtls_install {
    struct dtls_install *next;
    uint8_t paths;
    bool is_send;
    struct keying_keys keys;
};
void dtls_install_free(struct dtls_install *install); /* wipes; NULL is fine */

struct dtls_line {
    struct dtls_assoc *assoc; /* client: the attempt under way. Later: kept for its last flight */
    uint64_t until_ms;        /* kept: not longer */
    uint64_t again_ms;        /* ... and not sent again before */
    uint64_t retry_ms;        /* client: when to begin, again; 0: nothing planned */
    uint64_t alert_ms;        /* client: after an alert, when it is taken for real */
    unsigned n_attempts;
};

struct dtls_round {
    const struct keying_policy *policy;
    struct keying_dtls_identity *identity;
    char tls_id[DTLS_TLS_ID + 1];
    uint64_t peer_tls_id; /* its hash; 0: none said */
    struct dtls_peer peer;
    bool is_client;
    struct dtls_hall *hall; /* server: where the peer arrives; given up when it has */
    uint8_t paths;          /* bits of those that need an association */
    uint8_t established;    /* bits of those that have one */
    bool may_fork;          /* our offer may have other answers yet: strangers may be theirs */
    struct addr named[KEYING_PATHS]; /* where the description says that its sender is */
    struct addr at[KEYING_PATHS];    /* may_fork: the same, of the answer */
    bool stranger_seen;              /* somebody from elsewhere has shown another certificate */
    uint64_t anywhere_ms; /* server, may_fork: until then he must come from there, for another
                             answer may announce the same certificate */
    bool is_over;         /* failed, and said so */
    uint64_t deadline_ms;
    int alert;         /* what the peer, or somebody, says is wrong; -1: nothing */
    unsigned n_alerts; /* client: attempts that ended with one */
    const char *error;
    uint32_t failures;        /* client */
    uint32_t failures_before; /* of earlier rounds */
    SSL_SESSION *session;     /* the first association's, for the others */
    struct dtls_line line[KEYING_PATHS];
    struct dtls_queue queue;
    struct dtls_install *installs;
    char profiles[160];
    struct keying_facts *facts; /* the medium's */
    bool facts_changed;
};

MUST_USE int dtls_round_new(struct dtls_round **ret, const struct keying_policy *policy,
                            struct keying_dtls_identity *identity, struct keying_facts *facts);
void dtls_round_free(struct dtls_round *r); /* NULL is fine */
/* Roles and peer are known: begins. session: of another medium of the leg, to resume; may be NULL.
 * Server: `hall` has been where our offer let clients in, or NULL for a new one. */
MUST_USE int dtls_round_start(struct dtls_round *r, uint64_t now_ms, bool is_client, uint8_t paths,
                              struct dtls_hall *hall, SSL_SESSION *session);
void dtls_round_input(struct dtls_round *r, uint64_t now_ms, enum keying_path path,
                      const struct addr *from, bool is_named, const uint8_t *p, size_t n,
                      int alert);
void dtls_round_tick(struct dtls_round *r, uint64_t now_ms);
uint64_t dtls_round_wait_ms(const struct dtls_round *r, uint64_t now_ms);
/* The peer has sent media under the keys: it needs our last flight no more. */
void dtls_round_proved(struct dtls_round *r, enum keying_path path);
/* No other answers will come: who is here and is not the peer is no branch's. */
void dtls_round_no_branches(struct dtls_round *r);
static inline bool dtls_round_is_complete(const struct dtls_round *r)
{
    return (r->established & r->paths) == r->paths;
}
static inline bool dtls_round_has_failed(const struct dtls_round *r, uint64_t now_ms)
{
    return !dtls_round_is_complete(r) && !r->is_over && now_ms >= r->deadline_ms;
}
void dtls_round_why(const struct dtls_round *r, struct reason *why);

#endif

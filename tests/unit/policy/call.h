/* A call whose facts tests make worse, one at a time: Alice, a user of ours, and Bob at another
 * domain, both on TLS, media passed through under DTLS-SRTP, everything signed by users. */
#ifndef TESTS_UNIT_POLICY_CALL_H
#define TESTS_UNIT_POLICY_CALL_H

#include "check.h"
#include "policy/status.h"

struct call {
    struct policy_facts f;
    struct policy_party party[4];
    struct policy_hop hop[4][2];
    struct policy_medium medium[4][2];
};

static inline struct policy_hop call_tls(const char *peer)
{
    return (struct policy_hop){.transport = TRANSPORT_TLS,
                               .secure = true,
                               .authenticated = true,
                               .forward_secret = true,
                               .version = "TLSv1.3",
                               .cipher = "TLS_AES_256_GCM_SHA384",
                               .peer = str_z(peer)};
}

static inline struct keying_facts call_dtls(void)
{
    return (struct keying_facts){.method = KEYING_DTLS,
                                 .mode = "dtls-1.2",
                                 .suite = keying_suite_get(KEYING_AES_128_GCM),
                                 .known_to = KEYING_KNOWN_ENDS,
                                 .forward_secret = true,
                                 .excludes_passive = true,
                                 .middle = KEYING_MIDDLE_IF_SDP_OK,
                                 .peer_had_certificate = true,
                                 .fingerprint_hash = "sha-256",
                                 .proof = KEYING_PROOF_MEDIA};
}

static inline struct keying_facts call_sdes(void)
{
    return (struct keying_facts){.method = KEYING_SDES,
                                 .mode = "sdes",
                                 .suite = keying_suite_get(KEYING_AES_128_CM_80),
                                 .known_to = KEYING_KNOWN_HOPS,
                                 .middle = KEYING_MIDDLE_CAN,
                                 .is_interim = true,
                                 .proof = KEYING_PROOF_MEDIA};
}

static inline struct keying_facts call_zrtp(bool sas_compared)
{
    return (struct keying_facts){.method = KEYING_ZRTP,
                                 .mode = "zrtp-dh",
                                 .suite = keying_suite_get(KEYING_AES_128_CM_80),
                                 .known_to = KEYING_KNOWN_ENDS,
                                 .forward_secret = true,
                                 .excludes_passive = true,
                                 .middle = sas_compared ? KEYING_MIDDLE_EXCLUDED
                                                        : KEYING_MIDDLE_IF_SAS_OK,
                                 .sas_compared = sas_compared,
                                 .proof = KEYING_PROOF_MEDIA};
}

/* The pointers of a copy show into the copy. */
static inline void call_link(struct call *c)
{
    c->f.parties = c->party;
    for (unsigned i = 0; i < ARRAY_LEN(c->party); i++) {
        c->party[i].hops = c->hop[i];
        c->party[i].media = c->medium[i];
    }
}

static inline struct policy_identity call_verified(const char *address, const char *by)
{
    return (struct policy_identity){.known = POLICY_ID_VERIFIED,
                                    .verdict = IDENTITY_VALID,
                                    .worst = IDENTITY_VALID,
                                    .authority = IDENTITY_BY_DOMAIN,
                                    .reached = IDENTITY_REACHED_SAME,
                                    .address = str_z(address),
                                    .by = str_z(by)};
}

/* End to end both ways: each side has signed with a certificate of its user. */
static inline void call_init(struct call *c)
{
    static const char *const address[] = {"sip:alice@example1.com", "sip:bob@example2.com"};
    static const char *const domain[] = {"example1.com", "example2.com"};

    *c = (struct call){.f.n_parties = 2};
    for (unsigned i = 0; i < 2; i++) {
        c->party[i] = (struct policy_party){.ends_at = POLICY_ENDS_USER,
                                            .identity = call_verified(address[i], domain[i]),
                                            .beyond = POLICY_BEYOND_NONE,
                                            .n_hops = 1,
                                            .n_media = 1};
        c->party[i].identity.by_user = true;
        c->hop[i][0] = call_tls(domain[i]);
        c->medium[i][0] = (struct policy_medium){.kind = POLICY_MEDIA_AUDIO,
                                                 .bound = POLICY_BOUND_USER,
                                                 .relay = POLICY_RELAY_PASSED,
                                                 .bound_by = str_z(domain[i]),
                                                 .keys = call_dtls()};
    }
    call_link(c);
}

/* What the demonstration shows: both domains sign, a carrier between them, nothing more. */
static inline void call_init_domains(struct call *c)
{
    call_init(c);
    for (unsigned i = 0; i < 2; i++) {
        c->party[i].identity.by_user = false;
        c->medium[i][0].bound = POLICY_BOUND_DOMAIN;
    }
    /* Alice is ours: her phone is at the end of our hop. */
    c->party[POLICY_CALLER].identity = (struct policy_identity){
        .known = POLICY_ID_AUTHENTICATED,
        .how = POLICY_BY_DIGEST,
        .verdict = IDENTITY_ABSENT,
        .worst = IDENTITY_VALID,
        .reached = IDENTITY_REACHED_SAME,
        .address = STR("sip:alice@example1.com"),
    };
    c->medium[POLICY_CALLER][0].bound = POLICY_BOUND_US;
    c->party[POLICY_CALLEE].beyond = POLICY_BEYOND_UNKNOWN;
}

#define check_level(c, towards, expected_level)                                                    \
    do {                                                                                           \
        struct policy_status check_s_;                                                             \
        policy_status(&(c)->f, (towards), &check_s_);                                              \
        if (check_s_.level != (expected_level))                                                    \
            fail_msg("towards %u: %s, not %s", (unsigned)(towards),                                \
                     policy_level_code(check_s_.level), policy_level_code(expected_level));        \
    } while (0)
#define check_has(c, towards, why)                                                                 \
    do {                                                                                           \
        struct policy_status check_s_;                                                             \
        policy_status(&(c)->f, (towards), &check_s_);                                              \
        if (!policy_status_has(&check_s_, (why)))                                                  \
            fail_msg("towards %u: %s is not told", (unsigned)(towards),                            \
                     policy_why_info(why)->code);                                                  \
    } while (0)

#endif

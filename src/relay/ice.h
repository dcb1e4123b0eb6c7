/* ICE for an agent that is lite: it has one candidate for each component, answers checks, and
 * checks nothing itself. RFC 8445 2.5, 5.1.1, 5.3, 6.1.1, 7.3, 8.2, 12; RFC 8839 (descriptions);
 * RFC 8489 (STUN); RFC 7675 (consent). Pure: bytes and the time in, answers and verdicts out. Of
 * one thread at a time.
 *
 * Who may show an address. Only a check with our password, and only what it says before its
 * MESSAGE-INTEGRITY. A lite agent has no way to see whether the source of a check receives what is
 * sent there, and whoever can take an authentic check off the network may send it again from
 * elsewhere: the media that then go there are protected by keys that he has not got.
 *
 * Roles. A lite agent is controlled by a full one, whoever began (RFC 8445 6.1.1). So a check by
 * somebody who says that it is controlled as well is answered by 487, whatever the tie-breakers
 * are, and the peer changes its role; ours cannot. */
#ifndef RELAY_ICE_H
#define RELAY_ICE_H

#include "base/limits.h"
#include "base/rand.h"
#include "base/sbuf.h"
#include "sdp/sdp.h"

/* ---- checks ---- */

#define RELAY_ICE_ANSWER_MAX 160

struct relay_ice_names {
    struct str ufrag, pwd; /* ours */
    struct str peer_ufrag; /* empty: not known yet. RFC 8445 7.3: checks are answered before */
};

enum relay_ice_verdict {
    RELAY_ICE_NOT,       /* no STUN message of ICE's, or a broken one */
    RELAY_ICE_IGNORED,   /* an indication, a response, or not authentic and not to be answered */
    RELAY_ICE_REFUSED,   /* a request; the answer is an error */
    RELAY_ICE_ELSEWHERE, /* an authentic check by somebody whose fragment is not the peer's: another
                            branch that has our offer. It is answered, and nothing else */
    RELAY_ICE_VALID,     /* an authentic check */
    RELAY_ICE_NOMINATED  /* ... which nominates its pair (USE-CANDIDATE) */
};
struct relay_ice_answer {
    uint8_t bytes[RELAY_ICE_ANSWER_MAX];
    size_t n;          /* 0: nothing is to be answered */
    unsigned error;    /* STUN's code, 0: none */
    struct str theirs; /* authentic: whose fragment it was; in the datagram */
};
/* Judges a datagram and writes what has to be answered. What is not authentic never gets an answer
 * longer than itself. */
enum relay_ice_verdict relay_ice_check(const struct relay_ice_names *names, const struct addr *from,
                                       const uint8_t *p, size_t n, struct relay_ice_answer *ret);

/* ---- what follows from them, for one component ---- */

#define RELAY_ICE_CONSENT_MS 30000u /* RFC 7675 5.1 */

struct relay_ice_flow {
    struct addr to; /* the selected pair's other end; not set: none yet */
    uint64_t heard_ms;
    struct relay_ice_source { /* those that have shown that they know our password */
        struct addr addr;
        uint64_t heard_ms;
        uint64_t peer; /* a hash of its fragment */
        bool is_nominated;
    } source[LIMIT_ICE_SOURCES];
};
/* A check was VALID or NOMINATED. Is another pair selected now? */
MUST_USE bool relay_ice_flow_check(struct relay_ice_flow *f, enum relay_ice_verdict verdict,
                                   struct str theirs, const struct addr *from, uint64_t now_ms);
/* The peer's fragment has become known: what others have shown before that is forgotten, and what
 * it has itself counts. */
void relay_ice_flow_settle(struct relay_ice_flow *f, struct str peer_ufrag);
/* The peer has begun anew by this fragment (RFC 8445 9): packets go where they went until a check of
 * it nominates another pair; others that were known are not any more. */
void relay_ice_flow_restart(struct relay_ice_flow *f, struct str peer_ufrag);
/* Both agents are lite: no checks come, the pair follows from the descriptions (RFC 8445 8.2), and
 * so does consent. */
void relay_ice_flow_select(struct relay_ice_flow *f, const struct addr *to);
/* Has a check come from there within the consent's time? Then keys and media may, too. */
bool relay_ice_flow_knows(const struct relay_ice_flow *f, const struct addr *from, uint64_t now_ms);
/* A pair is selected, and its other end has asked for it lately: a lite agent makes no checks of
 * its own, so the peer's stand for its consent (it sends them for as long as it sends media, RFC
 * 7675 5.1). */
bool relay_ice_flow_may_send(const struct relay_ice_flow *f, uint64_t now_ms);
/* When that ends by itself; UINT64_MAX: not. */
uint64_t relay_ice_flow_ends_ms(const struct relay_ice_flow *f);

/* ---- descriptions ---- */

/* RFC 8839 5.4: 4 and 22 characters are the least, 32 of the fragment the most. */
#define RELAY_ICE_UFRAG 8
#define RELAY_ICE_PWD 24

void relay_ice_draw(struct rand_source *rand, char ufrag[RELAY_ICE_UFRAG + 1],
                    char pwd[RELAY_ICE_PWD + 1]);
/* The value of a=candidate for an address of ours. component: 1 RTP, 2 RTCP; index: of the address
 * among several (RFC 8445 5.1.2.2). */
void relay_ice_candidate(struct sbuf *b, unsigned component, unsigned index, const struct addr *at);

struct relay_ice_candidate {
    unsigned component;
    uint32_t priority;
    struct addr addr;
};
enum relay_ice_support {
    RELAY_ICE_NONE,     /* the peer does not speak ICE here */
    RELAY_ICE_REJECTS,  /* it does, but has said ice-mismatch: without ICE, by RFC 3264 */
    RELAY_ICE_MISMATCH, /* its default address is none of its candidates: somebody has changed the
                           description. We say ice-mismatch, and go on without ICE */
    RELAY_ICE_USE
};
struct relay_ice_peer {
    enum relay_ice_support support;
    bool is_lite;
    struct str ufrag, pwd; /* in the description; USE only */
    size_t n;              /* candidates that are addresses, over UDP */
    struct relay_ice_candidate candidate[LIMIT_ICE_CANDIDATES];
};
/* One section of the peer's description. mux: RTCP comes by the RTP port. ERR_SYNTAX: fragment or
 * password are malformed, or one is missing. */
MUST_USE int relay_ice_read(const struct sdp *sdp, int section, bool mux,
                            struct relay_ice_peer *ret, struct reason *why);
/* Both are lite: where this component's packets go; false: nothing fits. */
bool relay_ice_pick(const struct relay_ice_peer *peer, unsigned component, const struct addr *ours,
                    struct addr *ret);
/* Has the peer begun anew (RFC 8839 4.4.1.1.1: both have changed)? Then so must we. */
bool relay_ice_is_restart(const struct relay_ice_peer *peer, struct str ufrag_before,
                          struct str pwd_before);

#endif

/* The security status of a call as one of its parties is to see it: a pure function of its facts.
 * TR/100 10 and its gap 3, 7.7, 8.3, 8.5. No owner, no thread, no state.
 *
 *     end to end   the other side is verified, the keys are known to nobody else, and the user's
 * own signature (RFC 8862) or a compared string of ZRTP vouches for them secure       from domain
 * to domain: who is at the other end is verified or authenticated by us, the end domains vouch for
 * the keys, no intermediary that we can see has them, and the call does not end at a gateway (8.5)
 *     protected    everything that we can see is encrypted and authenticated hop by hop
 *     open         something that we can see is not
 *     attacked     something signed or fingerprinted is contradicted
 *
 * How it is found: each fact that falls short gives one reason; a reason has one row in the table
 * of status_table.c, with the level that it keeps the call from and, for each expectation of clause
 * 10, the best answer that it leaves. The level is what no reason keeps the call from, and an
 * answer is the least of what the reasons leave. So the least of all media, legs, hops and members
 * counts, all reasons are told, and making a fact worse cannot raise anything.
 *
 * Towards whom: the identity and the keys of the *others* are what a party has to be sure of; its
 * own side of a call whose media is passed through proves nothing to it. So the status towards the
 * caller and the callee may differ. Whatever is open or attacked is so for everybody.
 *
 * What is not an attack: packets that are not authentic (anybody can send them), handshakes that
 * fail, signatures that are absent, stale or broken by a network that changes messages; an answer
 * that takes what was not offered keeps the call from secure. A diversion that is signed but leads
 * elsewhere keeps it from secure, too: one honest domain that does not sign its own is enough.
 *
 * Before keys are agreed the level is at most protected, and `expected` says what it will be if all
 * turns out as offered. Agreed is not proven: `is_proven` says whether handshakes or authentic
 * packets were seen on all media. */
#ifndef POLICY_STATUS_H
#define POLICY_STATUS_H

#include "policy/facts.h"

enum policy_level {
    POLICY_ATTACKED,
    POLICY_OPEN,
    POLICY_PROTECTED,
    POLICY_SECURE,
    POLICY_END_TO_END,
    POLICY_LEVELS
};

/* Every reason, the gravest first. Codes are in status_table.c and docs/security-status.md. */
enum policy_why {
    /* attacked */
    POLICY_IDENTITY_CONTRADICTED,
    POLICY_MEDIA_FINGERPRINT_WRONG,
    POLICY_MEDIA_SAS_DIFFERS,
    /* keeps from protected */
    POLICY_HOP_CLEAR,
    POLICY_HOP_PROTECTION_GONE,
    POLICY_HOP_UNSEEN,
    POLICY_HOP_NOT_AUTHENTICATED,
    POLICY_HOP_OLD_TLS,
    POLICY_BEYOND_IS_CLEAR,
    POLICY_MEDIA_CLEAR,
    POLICY_MEDIA_CLEAR_INSIDE,
    POLICY_MEDIA_PROTECTION_GONE,
    POLICY_MEDIA_UNENCRYPTED,
    POLICY_MEDIA_UNAUTHENTICATED,
    POLICY_MEDIA_CONTROL_UNENCRYPTED,
    /* keeps from secure: who */
    POLICY_IDENTITY_NONE,
    POLICY_IDENTITY_CLAIMED,
    POLICY_IDENTITY_ASSERTED,
    POLICY_IDENTITY_SITE_ONLY,
    POLICY_IDENTITY_BY_ADDRESS,
    POLICY_IDENTITY_BROKEN,
    POLICY_IDENTITY_STALE,
    POLICY_IDENTITY_UNVERIFIABLE,
    POLICY_IDENTITY_ATTEST,
    POLICY_IDENTITY_REWRITTEN,
    POLICY_IDENTITY_OPEN_HOP,
    POLICY_IDENTITY_ASSERTED_OTHER,
    POLICY_REACHED_CONTRADICTORY,
    POLICY_REACHED_UNPROVEN,
    POLICY_ANSWER_UNSIGNED,
    /* ... where it ends */
    POLICY_ENDS_AT_GATEWAY,
    POLICY_MAY_END_AT_GATEWAY,
    POLICY_ENDS_AT_CONFERENCE,
    POLICY_END_UNKNOWN,
    /* ... the keys */
    POLICY_MEDIA_BID_DOWN,
    POLICY_MEDIA_SEEN_BY_BRANCHES,
    POLICY_MEDIA_NOT_AGREED,
    POLICY_MEDIA_KNOWN_TO_HOPS,
    POLICY_MEDIA_NOT_BOUND,
    POLICY_MEDIA_BOUND_BY_HOPS,
    POLICY_MEDIA_OPEN_HOP,
    POLICY_MEDIA_CLEAR_BELOW,
    POLICY_MESSAGE_IN_SIGNALLING,
    POLICY_MESSAGE_NOT_SIGNED,
    /* keeps from end to end */
    POLICY_IDENTITY_BY_US,
    POLICY_IDENTITY_WEAK_HASH,
    POLICY_MEDIA_REENCRYPTED,
    POLICY_MEDIA_BOUND_BY_DOMAIN,
    POLICY_MEDIA_SHARED_SECRET,
    POLICY_RECORDED,
    /* remarks: keep from nothing */
    POLICY_IDENTITY_BY_DOMAIN,
    POLICY_IDENTITY_BY_FLOW,
    POLICY_IDENTITY_OTHER_WRONG,
    POLICY_SMIME_NOT_VALID,
    POLICY_BODY_ENCRYPTED,
    POLICY_REACHED_DIVERTED,
    POLICY_HOP_DECLARED,
    POLICY_HOP_CHECKED,
    POLICY_HOP_NO_FORWARD_SECRECY,
    POLICY_BEYOND_IS_UNKNOWN,
    POLICY_BEYOND_IS_CLAIMED,
    POLICY_BEYOND_IS_PROVISIONED,
    POLICY_MEDIA_NOT_PROVEN,
    POLICY_MEDIA_NO_FORWARD_SECRECY,
    POLICY_MEDIA_TAG_SHORT,
    POLICY_MEDIA_INTERIM,
    POLICY_MEDIA_FORGED_PACKETS,
    POLICY_MEDIA_FAILED_HANDSHAKES,
    POLICY_WHYS
};

/* The expectations of TR/100 10, in its order. Its second and third (sent only to, received only
 * from, a device of the other party) rest on the same facts and have one answer. */
enum policy_question {
    POLICY_Q_WHO,       /* is the other party the one that is shown? */
    POLICY_Q_DEVICE,    /* does what is sent and heard go to and come from its device only? */
    POLICY_Q_CHANGED,   /* is it excluded that somebody changes it on the way? */
    POLICY_Q_HEARD,     /* is it excluded that somebody listens on the way? */
    POLICY_Q_SIGNALLED, /* is the signalling private? */
    POLICY_Q_SECRET,    /* is it assured that nobody learns of the call? Never. */
    POLICY_QUESTIONS
};
enum policy_answer {
    POLICY_NO,         /* it is seen not to be so */
    POLICY_NOT_KNOWN,  /* nothing proves it */
    POLICY_BY_HOPS,    /* as far as every system on the way is honest */
    POLICY_BY_DOMAINS, /* as far as the two end domains are */
    POLICY_BY_USERS    /* yes */
};

#define POLICY_NO_INDEX 0xffu /* this reason is of no hop, or medium */

struct policy_reason {
    uint8_t why;         /* enum policy_why */
    uint8_t party;       /* where it is found first */
    uint8_t hop, medium; /* indices there */
    uint16_t n;          /* in how many places */
};
struct policy_status {
    enum policy_level level;
    enum policy_level expected; /* once keys are agreed as offered; else the level */
    bool is_proven;             /* handshake or authentic packets on all media */
    uint8_t towards;            /* the party that it is for */
    uint8_t n_reasons;
    struct policy_reason reasons[POLICY_WHYS]; /* each kind once, the gravest first */
    uint8_t answers[POLICY_QUESTIONS];         /* enum policy_answer */
    uint8_t because[POLICY_QUESTIONS]; /* enum policy_why that leaves no better answer; POLICY_WHYS:
                                          none, or it lies in the question */
};

/* `towards`: POLICY_CALLER, POLICY_CALLEE or the index of another party. */
void policy_status(const struct policy_facts *f, unsigned towards, struct policy_status *ret);
/* Its level alone. */
enum policy_level policy_level(const struct policy_facts *f, unsigned towards);

/* A reason, as data. Texts are constant and without names. */
struct policy_why_info {
    const char *code;   /* stable: "media-not-bound" */
    const char *clause; /* "TR/100 8.3" */
    const char *text;   /* a sentence for a person */
    const char *remedy; /* what would make it better; NULL: nothing that a person can do */
    enum policy_level keeps_from;                /* POLICY_LEVELS: nothing */
    enum policy_answer leaves[POLICY_QUESTIONS]; /* the best answer to each */
};
const struct policy_why_info *policy_why_info(enum policy_why why);
bool policy_status_has(const struct policy_status *s, enum policy_why why);

const char *policy_level_code(enum policy_level level); /* "end-to-end", "secure", ... */
const char *policy_level_text(enum policy_level level); /* "End to end", "Secure", ... */
MUST_USE int policy_level_parse(struct str code, enum policy_level *ret); /* ERR_NOTFOUND */
const char *policy_question_code(enum policy_question q);                 /* "who", ... */
const char *policy_question_text(enum policy_question q);
const char *policy_answer_code(enum policy_answer a); /* "no", "not-known", "by-hops", ... */
/* The answer in words. */
const char *policy_answer_text(enum policy_question q, enum policy_answer a);

#endif

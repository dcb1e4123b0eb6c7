/* What is known about the keys of one medium of one leg: the facts from which the security status
 * of a call is computed (TR/100 10, 8.2, 8.5). A key management method fills them; nobody works
 * them out again. What a method cannot know is not here: whether the SDP that carried a fingerprint
 * was signed, and by whom, is the identity room's, and it is combined with these facts where the
 * status is made. Plain data, no secrets; pure. */
#ifndef KEYING_FACTS_H
#define KEYING_FACTS_H

#include "keying/suite.h"

enum keying_method_id {
    KEYING_CLEAR,
    KEYING_SDES,
    KEYING_MIKEY,
    KEYING_DTLS,
    KEYING_ZRTP,
    KEYING_METHODS
};

/* Who can have known the key, the widest circle first. */
enum keying_known_to {
    KEYING_KNOWN_ANYBODY, /* there is none */
    KEYING_KNOWN_HOPS,    /* every system that the signalling passed (SDES, MIKEY-null) */
    KEYING_KNOWN_SHARED,  /* all who hold a secret shared beforehand (MIKEY-PSK) */
    KEYING_KNOWN_ENDS     /* the two ends of this leg, and nobody else */
};

/* What has to hold so that nobody in the middle can have put himself between the two ends. */
enum keying_middle {
    KEYING_MIDDLE_CAN,       /* nothing excludes him */
    KEYING_MIDDLE_IF_SDP_OK, /* excluded if the SDP of both sides arrived unchanged: fingerprints,
                                zrtp-hash */
    KEYING_MIDDLE_IF_SAS_OK, /* excluded if the users compare the short authentication string */
    KEYING_MIDDLE_EXCLUDED   /* by signatures or a shared secret of the ends, a compared SAS, key
                                continuity */
};

enum keying_proof {
    KEYING_PROOF_NONE,       /* nothing agreed yet */
    KEYING_PROOF_NEGOTIATED, /* agreed in the signalling */
    KEYING_PROOF_HANDSHAKE,  /* the peer has shown that it holds what its SDP promised */
    KEYING_PROOF_MEDIA       /* and packets under these keys have been authentic */
};

/* What somebody seems to have tried. Bits. */
enum {
    KEYING_ATTACK_NOT_OFFERED =
        1, /* the answer takes what was not offered, or changes what it takes */
    KEYING_ATTACK_STRIPPED = 2, /* the answer keeps the secure profile but has no keys (or the list
                                   of methods is not ours) */
    KEYING_ATTACK_FINGERPRINT =
        4, /* a complete handshake with a certificate that the SDP does not announce */
    KEYING_ATTACK_SAS =
        8 /* the users say that their strings differ; a stored secret does not fit */
};

struct keying_facts {
    enum keying_method_id method;
    const char *mode; /* of the method: "mikey-rsa", "zrtp-dh", "dtls-1.2", ...; constant text */
    const struct keying_suite *suite; /* NULL: clear, or not agreed yet */
    bool unencrypted_rtp, unencrypted_rtcp,
        unauthenticated_rtp; /* weakenings that were negotiated */
    bool rtcp_tag_32;        /* SRTCP with a tag of 32 bits: a known fault of many peers */
    enum keying_known_to known_to;
    bool seen_by_branches; /* other branches of a fork have seen our key (TR/100 8.2.1.3): re-key at
                              once */
    bool forward_secret;   /* who gets the long-term secrets later cannot read what was recorded */
    bool excludes_passive; /* a listener on signalling and media learns nothing */
    enum keying_middle middle;
    bool peer_had_certificate;    /* and it fits (DTLS), or signed (MIKEY) */
    const char *fingerprint_hash; /* "sha-256"; NULL: no fingerprint */
    bool is_resumed; /* the association took over the keys of an earlier one (8.2.2.1) */
    bool is_interim; /* a method that policy allows for the time being only (recommendation 7) */
    bool sas_compared;
    char sas[16]; /* ZRTP's string, terminated; empty: none */
    enum keying_proof proof;
    unsigned attacks;            /* KEYING_ATTACK_... */
    uint32_t handshake_failures; /* attempts that came to nothing, whoever made them */
    uint32_t auth_failures;      /* packets that were not authentic, from the media plane */
};

/* No keys: what a medium begins with, and stays at if it is clear. */
static inline struct keying_facts keying_facts_clear(void)
{
    return (struct keying_facts){.method = KEYING_CLEAR, .known_to = KEYING_KNOWN_ANYBODY};
}
const char *keying_method_text(enum keying_method_id id); /* "sdes", ... "clear" */
const char *keying_known_to_text(enum keying_known_to v);
const char *keying_middle_text(enum keying_middle v);
const char *keying_proof_text(enum keying_proof v);
/* What can be said of two media (or legs) together: of each fact the weaker, of each count the sum
 * (TR/100 10). */
void keying_facts_least(struct keying_facts *all, const struct keying_facts *one);

#endif

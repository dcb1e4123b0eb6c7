/* What key management hands to the media plane: the keys of one direction of one RTP session and
 * the rules that go with them. RFC 3711 8.2, RFC 4568 6, RFC 3830 6.10, RFC 5764 4.2, RFC 6189 4.5.
 *
 * Made by a key management method, passed on by whoever owns the call, read once by
 * media_srtp_install (which copies what it needs), then wiped. Plain data; holds secrets: never log
 * it, always keying_keys_wipe it. */
#ifndef KEYING_KEYS_H
#define KEYING_KEYS_H

#include "base/limits.h"
#include "keying/suite.h"

#define KEYING_MKI_MAX 128 /* RFC 4568 6.1 */
#define KEYING_KDR_MAX 24  /* RFC 3711 4.3.1: rates up to 2^24 */

struct keying_key {
    uint8_t key[KEYING_MASTER_KEY_MAX];   /* suite->key_len bytes */
    uint8_t salt[KEYING_MASTER_SALT_MAX]; /* suite->salt_len bytes */
    uint8_t mki_len;                      /* 0: no MKI in the packets */
    uint8_t mki[KEYING_MKI_MAX];
    uint64_t max_rtp; /* packets this key may protect; 0: what the suite allows */
    uint64_t max_rtcp;
};

/* What happens to the rollover counters when new keys follow others (RFC 3711 3.3.1: "MUST NOT be
 * reset"; many do). */
enum keying_roc {
    KEYING_ROC_KEEP,  /* they go on */
    KEYING_ROC_RESET, /* they begin anew with each new master key (RFC 4568 7.1.4, new address or
                         port; some peers always) */
    KEYING_ROC_PROBE  /* receiving only: both are tried until a packet authenticates. Sending: as
                         KEEP */
};

/* The tag of SRTCP where the suite's RTP tag has 32 bits. */
enum keying_rtcp_tag {
    KEYING_RTCP_TAG_80,    /* what the RFCs say */
    KEYING_RTCP_TAG_32,    /* what FreeSWITCH, Asterisk, baresip and others do */
    KEYING_RTCP_TAG_DETECT /* receiving: either, until the first packet has shown which. Sending: 80
                            */
};

struct keying_keys {
    const struct keying_suite *suite;
    size_t n; /* keys, 1 or more; more than one only if all have an MKI, of the same length */
    struct keying_key key[LIMIT_SRTP_KEYS];

    /* Weakenings, each only where policy allows it by name. GCM has none of the first and third
     * (RFC 7714 8.2, 9). */
    bool unencrypted_rtp;
    bool unencrypted_rtcp;    /* then the E bit is 0 in every packet, else 1 in every packet: RFC
                                 4568 6.3.2 */
    bool unauthenticated_rtp; /* RTCP always is authenticated */

    uint8_t kdr; /* session keys are derived anew every 2^kdr packets; 0: once */
    enum keying_roc roc;
    enum keying_rtcp_tag rtcp_tag;
    uint32_t roc_start; /* of SSRCs not listed below; 0 but for late joiners */
    size_t n_ssrcs;     /* those of which key management has told the counter (RFC 3830 6.1.1) */
    struct {
        uint32_t ssrc;
        uint32_t roc;
    } ssrc[LIMIT_SRTP_SSRCS_TOLD];
};

/* Is it complete and free of contradictions? ERR_INVALID. Methods check what they received
 * themselves, with a reason. */
MUST_USE int keying_keys_check(const struct keying_keys *keys);
void keying_keys_wipe(struct keying_keys *keys);

#endif

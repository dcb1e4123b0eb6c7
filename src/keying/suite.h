/* The protection suites of SRTP as data: what each is called in SDP, DTLS-SRTP and MIKEY, and what
 * it consists of. RFC 3711 5, RFC 4568 6.2, RFC 5764 4.1.2, RFC 6188, RFC 7714 12 to 15. Constant;
 * for any thread.
 *
 * One table serves every key management method and the media plane, so that no two places can hold
 * different opinions of a suite. */
#ifndef KEYING_SUITE_H
#define KEYING_SUITE_H

#include "base/str.h"

enum keying_cipher { KEYING_NULL, KEYING_AES_CM, KEYING_AES_F8, KEYING_AES_GCM };

enum keying_suite_id {
    KEYING_AES_256_GCM, /* in the order in which we prefer them */
    KEYING_AES_128_GCM,
    KEYING_AES_256_CM_80,
    KEYING_AES_192_CM_80,
    KEYING_AES_128_CM_80,
    KEYING_F8_128_80,
    KEYING_AES_256_CM_32,
    KEYING_AES_192_CM_32,
    KEYING_AES_128_CM_32,
    KEYING_NULL_80, /* no encryption: by MIKEY only, and only where policy allows it by name */
    KEYING_NULL_32,
    KEYING_SUITES
};

#define KEYING_MASTER_KEY_MAX 32
#define KEYING_MASTER_SALT_MAX 14
#define KEYING_TAG_MAX 16

struct keying_suite {
    enum keying_suite_id id;
    const char *name;  /* crypto-suite in SDP; a name of ours in brackets where SDP has none */
    const char *alias; /* another spelling that peers use for it, or NULL */
    enum keying_cipher cipher;
    uint8_t key_len;      /* master and session encryption key, bytes */
    uint8_t salt_len;     /* master and session salt */
    uint8_t auth_key_len; /* 0 for GCM */
    uint8_t rtp_tag_len;  /* the AEAD's tag for GCM */
    uint8_t rtcp_tag_len; /* never below 10: RFC 3711 5.2, RFC 4568 6.2, RFC 5764 4.1.2 */
    uint8_t mikey_cipher; /* RFC 3830 6.10.1.b, RFC 7714 14.3 */
    uint16_t profile;     /* SRTP protection profile of DTLS-SRTP, 0 if it has none */
    const char *openssl;  /* OpenSSL's name of that profile; NULL if it does not know it */
    uint64_t max_rtp;     /* packets that one master key may protect: RFC 3711 9.2 */
    uint64_t max_rtcp;
};

const struct keying_suite *keying_suite_get(enum keying_suite_id id);
/* By its name in SDP, or by the other spelling (names are case-sensitive, RFC 4568 9.1); NULL if it
 * is not known. */
const struct keying_suite *keying_suite_find(struct str name);
const struct keying_suite *keying_suite_find_profile(uint16_t profile);
/* By what it consists of: how MIKEY and ZRTP name it. NULL if there is none. */
const struct keying_suite *keying_suite_find_parts(enum keying_cipher cipher, unsigned key_len,
                                                   unsigned rtp_tag_len);
/* Is what is sent hidden and authenticated with a tag of at least 80 bits? */
bool keying_suite_is_full(const struct keying_suite *suite);

#endif

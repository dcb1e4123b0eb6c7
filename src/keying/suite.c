/* The table of protection suites. RFC 3711 5, RFC 4568 6.2, RFC 5764 4.1.2, RFC 6188, RFC 7714 12
 * to 15. Constant; for any thread. */
#include "keying/suite.h"

#define MAX_RTP (1ull << 48)
#define MAX_RTCP (1ull << 31)

/* clang-format off */
static const struct keying_suite suites[KEYING_SUITES] = {
    /* DTLS-SRTP's two NULL profiles (RFC 5764 4.1.2) have a master key of no bytes, OpenSSL does not know them, and we
     * offer no hop without encryption by DTLS: so they have no number here.
     * id, name, alias, cipher, key, salt, auth key, RTP tag, RTCP tag, MIKEY, profile, OpenSSL */
    {KEYING_AES_256_GCM, "AEAD_AES_256_GCM", NULL, KEYING_AES_GCM, 32, 12, 0, 16, 16, 6,
     0x0008, "SRTP_AEAD_AES_256_GCM", MAX_RTP, MAX_RTCP},
    {KEYING_AES_128_GCM, "AEAD_AES_128_GCM", NULL, KEYING_AES_GCM, 16, 12, 0, 16, 16, 6,
     0x0007, "SRTP_AEAD_AES_128_GCM", MAX_RTP, MAX_RTCP},
    {KEYING_AES_256_CM_80, "AES_256_CM_HMAC_SHA1_80", "AES_CM_256_HMAC_SHA1_80", KEYING_AES_CM, 32, 14, 20, 10, 10, 1,
     0, NULL, MAX_RTP, MAX_RTCP},
    {KEYING_AES_192_CM_80, "AES_192_CM_HMAC_SHA1_80", "AES_CM_192_HMAC_SHA1_80", KEYING_AES_CM, 24, 14, 20, 10, 10, 1,
     0, NULL, MAX_RTP, MAX_RTCP},
    {KEYING_AES_128_CM_80, "AES_CM_128_HMAC_SHA1_80", NULL, KEYING_AES_CM, 16, 14, 20, 10, 10, 1,
     0x0001, "SRTP_AES128_CM_SHA1_80", MAX_RTP, MAX_RTCP},
    {KEYING_F8_128_80, "F8_128_HMAC_SHA1_80", NULL, KEYING_AES_F8, 16, 14, 20, 10, 10, 2,
     0, NULL, MAX_RTP, MAX_RTCP},
    {KEYING_AES_256_CM_32, "AES_256_CM_HMAC_SHA1_32", "AES_CM_256_HMAC_SHA1_32", KEYING_AES_CM, 32, 14, 20, 4, 10, 1,
     0, NULL, MAX_RTP, MAX_RTCP},
    {KEYING_AES_192_CM_32, "AES_192_CM_HMAC_SHA1_32", "AES_CM_192_HMAC_SHA1_32", KEYING_AES_CM, 24, 14, 20, 4, 10, 1,
     0, NULL, MAX_RTP, MAX_RTCP},
    {KEYING_AES_128_CM_32, "AES_CM_128_HMAC_SHA1_32", NULL, KEYING_AES_CM, 16, 14, 20, 4, 10, 1,
     0x0002, "SRTP_AES128_CM_SHA1_32", MAX_RTP, MAX_RTCP},
    {KEYING_NULL_80, "(NULL_HMAC_SHA1_80)", NULL, KEYING_NULL, 16, 14, 20, 10, 10, 0,
     0, NULL, MAX_RTP, MAX_RTCP},
    {KEYING_NULL_32, "(NULL_HMAC_SHA1_32)", NULL, KEYING_NULL, 16, 14, 20, 4, 10, 0,
     0, NULL, MAX_RTP, MAX_RTCP},
};
/* clang-format on */

const struct keying_suite *keying_suite_get(enum keying_suite_id id)
{
    return &suites[id < KEYING_SUITES ? id : KEYING_AES_128_CM_80];
}

const struct keying_suite *keying_suite_find(struct str name)
{
    for (size_t i = 0; i < KEYING_SUITES; i++) {
        if (str_eq(name, str_z(suites[i].name)) ||
            (suites[i].alias != NULL && str_eq(name, str_z(suites[i].alias))))
            return &suites[i];
    }
    return NULL;
}

const struct keying_suite *keying_suite_find_profile(uint16_t profile)
{
    for (size_t i = 0; profile != 0 && i < KEYING_SUITES; i++) {
        if (suites[i].profile == profile)
            return &suites[i];
    }
    return NULL;
}

const struct keying_suite *keying_suite_find_parts(enum keying_cipher cipher, unsigned key_len,
                                                   unsigned rtp_tag_len)
{
    for (size_t i = 0; i < KEYING_SUITES; i++) {
        if (suites[i].cipher == cipher && suites[i].key_len == key_len &&
            suites[i].rtp_tag_len == rtp_tag_len)
            return &suites[i];
    }
    return NULL;
}

bool keying_suite_is_full(const struct keying_suite *suite)
{
    return suite->cipher != KEYING_NULL && suite->rtp_tag_len >= 10;
}

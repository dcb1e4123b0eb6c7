/* What the files of SRTP share. Names begin with msrtp_: libsrtp2, beside which the tests run this,
 * has taken srtp_. The objects belong to one media_srtp, and it to one thread at a time. */
#ifndef MEDIA_SRTP_PRIV_H
#define MEDIA_SRTP_PRIV_H

#include "media/srtp.h"
#include <openssl/evp.h>

#define SRTP_LINE 64 /* bytes of a cache line */

static inline void msrtp_warm(const void *p, size_t n)
{
    const char *end = (const char *)p + n;

    for (const char *at = p; at < end; at += SRTP_LINE)
        PREFETCH(at);
    PREFETCH(end - 1); /* it may begin anywhere in a line */
}

/* ---- srtp_cipher.c, srtp_mb.c: one session key, scheduled; nothing is allocated once it is set
 * ---- */

/* How much memory a key has. RTCP comes seldom: a key that is scheduled anew for each of its
 * packets (AES-CM 25 ns, GCM 260) takes 16 or 32 bytes, the schedule 176 or 1,008. */
enum msrtp_room { SRTP_ROOM_SCHEDULE, SRTP_ROOM_KEY };

struct msrtp_cipher {
    enum keying_cipher kind;
    uint8_t key_len;
    bool is_sender; /* GCM: seal or open */
    bool is_key;    /* mb is a key */
    void *mb;       /* ipsec-mb: schedule or key, in the owner's memory. NULL: OpenSSL does it */
    EVP_CIPHER_CTX *evp;
    EVP_CIPHER_CTX *f8; /* F8: the cipher that makes IV' */
};

/* How many bytes a new key wants; 0: OpenSSL does it. */
size_t msrtp_cipher_room(const struct keying_suite *suite, enum msrtp_room room);
/* Gives it that many, at an address that is a multiple of 16. */
void msrtp_cipher_place(struct msrtp_cipher *c, const struct keying_suite *suite,
                        enum msrtp_room room, void *at);
/* Schedules a key, again as often as needed; a new one needs no memory. */
MUST_USE int msrtp_cipher_set(struct msrtp_cipher *c, const struct keying_suite *suite,
                              bool is_sender, const uint8_t *key, const uint8_t *salt);
void msrtp_cipher_done(struct msrtp_cipher *c);
/* Keystream over n bytes at p: AES-CM with the IV of RFC 3711 4.1.1, F8 with that of 4.1.2. */
MUST_USE bool msrtp_cipher_xor(struct msrtp_cipher *c, const uint8_t iv[16], uint8_t *p, size_t n);
MUST_USE bool msrtp_cipher_seal(struct msrtp_cipher *c, const uint8_t iv[12], const uint8_t *aad,
                                size_t n_aad, uint8_t *p, size_t n, uint8_t tag[16]);
/* If the tag does not fit, p is left as it was; *ret_ok says whether it did. False: the library
 * failed. */
MUST_USE bool msrtp_cipher_open(struct msrtp_cipher *c, const uint8_t iv[12], const uint8_t *aad,
                                size_t n_aad, uint8_t *p, size_t n, const uint8_t tag[16],
                                bool *ret_ok);
/* Tests: whether new keys may use ipsec-mb (they do where it is built in and the processor has AES
 * and CLMUL). */
void msrtp_cipher_allow_mb(bool allow);
bool msrtp_mb_is_there(void);
#define SRTP_MB_MAX 1024                                         /* bytes of the largest schedule */
size_t msrtp_mb_size(enum keying_cipher kind, unsigned key_len); /* of a schedule */
/* Asks the processor for the parts of a schedule that a short packet needs. */
void msrtp_mb_warm(const void *mb, enum keying_cipher kind, unsigned key_len);
void msrtp_mb_set(void *mb, enum keying_cipher kind, const uint8_t *key, unsigned key_len);
void msrtp_mb_ctr(const void *mb, unsigned key_len, const uint8_t iv[16], uint8_t *p, size_t n);
void msrtp_mb_gcm(const void *mb, unsigned key_len, bool seal, const uint8_t iv[12],
                  const uint8_t *aad, size_t n_aad, uint8_t *p, size_t n, uint8_t tag[16]);

/* ---- srtp_kdf.c: RFC 3711 4.3 ---- */

enum msrtp_label {
    SRTP_LABEL_KEY,
    SRTP_LABEL_AUTH,
    SRTP_LABEL_SALT,
    SRTP_LABELS /* of RTP; RTCP's follow */
};

/* The generator keyed with a master key. NULL: no memory, or the library failed. */
MUST_USE EVP_CIPHER_CTX *msrtp_kdf_new(const uint8_t *master_key, unsigned key_len);
/* n bytes for one label; r is index DIV kdr. */
MUST_USE bool msrtp_kdf(EVP_CIPHER_CTX *prf, const uint8_t *master_salt, unsigned salt_len,
                        unsigned label, uint64_t r, uint8_t *dst, size_t n);

/* ---- srtp_hmac.c: HMAC-SHA1 with the states after the padded keys kept ---- */

struct msrtp_hmac {
    uint32_t inner[5], outer[5];
};

void msrtp_hmac_set(struct msrtp_hmac *h, const uint8_t *key, size_t n); /* n <= 64 */
/* Of the n bytes at p and `n_more` (at most 8) at `more`. */
void msrtp_hmac(const struct msrtp_hmac *h, const uint8_t *p, size_t n, const uint8_t *more,
                size_t n_more, uint8_t ret[20]);

/* ---- srtp_replay.h has the windows ---- */

#define SRTP_WINDOW_WORDS 8  /* 448 packets: RFC 3711 3.3.2 asks for 64 */
#define SRTCP_WINDOW_WORDS 4 /* 192 */

/* ---- srtp.c: keys, epochs, SSRCs ---- */

/* The keys of one kind of packet derived for one r (RFC 3711 4.3.1). The cipher's room is behind
 * it, or behind the msrtp_key that it is a part of. */
struct msrtp_session {
    uint64_t r;
    struct msrtp_cipher cipher;
    struct msrtp_hmac hmac;
    uint8_t salt[16]; /* with zeros behind it: what IVs begin with */
    bool is_ready;
};

/* What is known of an SSRC's index before its first packet under a key. */
enum msrtp_hint {
    SRTP_HINT_NONE,
    SRTP_HINT_ROC,  /* key management told its counter */
    SRTP_HINT_INDEX /* where it was under the keys before (KEYING_ROC_PROBE) */
};

/* One SSRC. Indices are not reduced: bits 16 to 47 of `index` are the rollover counter. */
struct msrtp_ssrc {
    uint32_t ssrc;
    bool has_rtp; /* index, first and window are set */
    bool has_rtcp;
    enum msrtp_hint hint; /* while there is no RTP yet */
    uint64_t index;       /* the highest so far */
    uint64_t first; /* sending: the first under the present key; 2^48 from there it would come round
                       again */
    uint64_t rtcp_index; /* receiving: the highest; sending: the next */
    uint64_t window[SRTP_WINDOW_WORDS];
    uint64_t rtcp_window[SRTCP_WINDOW_WORDS];
};

/* Keys that share one run of indices share an epoch: those with MKIs of one installation, and those
 * of the next where the counters go on. Where they begin anew, so does an epoch. */
struct msrtp_epoch {
    unsigned refs; /* keys */
    uint32_t n, cap;
    uint32_t roc_start;
    struct msrtp_ssrc *ssrcs; /* `first` until there are more: nearly every stream has one */
    struct msrtp_ssrc first;
};

/* With the cipher's room behind it; in the order in which packets need it. */
struct msrtp_key {
    const struct keying_suite *suite;
    struct msrtp_epoch *epoch;
    uint64_t n_rtp, max_rtp;
    bool encrypts_rtp, encrypts_rtcp, authenticates_rtp;
    uint8_t kdr;
    uint8_t rtp_tag, rtcp_tag;
    bool detects_tag; /* rtcp_tag is a guess so far */
    uint8_t mki_len;
    /* Two, so that reordering around a change of r does not derive again and again; without changes
     * there is never a second. rtp[0] is `first`, the others are made when first needed. */
    struct msrtp_session *rtp[2];
    struct msrtp_session first;
    /* what RTP needs ends here */
    struct msrtp_session *rtcp[2];
    uint64_t n_rtcp, max_rtcp;
    EVP_CIPHER_CTX *prf; /* kept only if kdr is not 0 */
    uint8_t id[16];      /* a digest of key and salt: tells whether two are the same */
    uint8_t master[KEYING_MASTER_KEY_MAX];
    uint8_t salt[KEYING_MASTER_SALT_MAX];
    uint8_t mki[];
};

#define SRTP_IDS 16 /* keys that were used to send and must not come back */

struct media_srtp {
    uint8_t n_now, n_all; /* keys */
    uint8_t at;           /* sending: which of them */
    uint8_t cap_used;
    uint16_t n_probes; /* extra attempts that may still be made */
    enum media_srtp_dir dir;
    uint64_t n_ok[2]; /* packets of RTP, of RTCP */
    struct media_srtp_stats stats;
    struct msrtp_key *keys[2 * LIMIT_SRTP_KEYS]; /* the present ones, then the old ones */
    unsigned n_used;
    uint8_t (*used)[16]; /* sending: the last SRTP_IDS of them */
    uint64_t (*n_refused)[MEDIA_SRTP_VERDICTS]; /* as n_ok; NULL: none yet */
};

/* What has become of a packet. */
enum media_srtp_verdict msrtp_count_refused(struct media_srtp *s, bool is_rtcp,
                                            enum media_srtp_verdict v);
static inline enum media_srtp_verdict msrtp_count(struct media_srtp *s, bool is_rtcp,
                                                  enum media_srtp_verdict v)
{
    if (UNLIKELY(v != MEDIA_SRTP_OK))
        return msrtp_count_refused(s, is_rtcp, v);
    s->n_ok[is_rtcp]++;
    return v;
}

/* The session keys for a packet's index; NULL: no memory, or the library failed. */
struct msrtp_session *msrtp_key_rtp(const struct media_srtp *s, struct msrtp_key *key,
                                    uint64_t index);
struct msrtp_session *msrtp_key_rtcp(const struct media_srtp *s, struct msrtp_key *key,
                                     uint32_t index);
struct msrtp_ssrc *msrtp_epoch_find(const struct msrtp_epoch *epoch,
                                    uint32_t ssrc); /* NULL if it has none */
/* Finds or makes it. MEDIA_SRTP_OK, _SSRC_LIMIT or _FAILED. */
enum media_srtp_verdict msrtp_epoch_get(struct media_srtp *s, struct msrtp_epoch *epoch,
                                        uint32_t ssrc, struct msrtp_ssrc **ret);
/* Sending: the key to use now, the next one if the present one is used up; NULL: there is none. */
struct msrtp_key *msrtp_key_to_send(struct media_srtp *s, bool is_rtcp,
                                    enum media_srtp_verdict *ret_why);
void msrtp_key_count_rtp(struct media_srtp *s, struct msrtp_key *key);
void msrtp_key_count_rtcp(struct media_srtp *s, struct msrtp_key *key);

static inline uint16_t msrtp_get16(const uint8_t *p)
{
    return (uint16_t)(p[0] << 8 | p[1]);
}
static inline uint32_t msrtp_get32(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}
static inline void msrtp_put32(uint8_t *p, uint32_t v)
{
    p[0] = (uint8_t)(v >> 24);
    p[1] = (uint8_t)(v >> 16);
    p[2] = (uint8_t)(v >> 8);
    p[3] = (uint8_t)v;
}
static inline void msrtp_xor32(uint8_t *p, uint32_t v)
{
    msrtp_put32(p, msrtp_get32(p) ^ v);
}

/* (k_s * 2^16) XOR (SSRC * 2^64) XOR (i * 2^16): RFC 3711 4.1.1. Index: 48 bits. */
static inline void msrtp_iv_cm(const struct msrtp_session *k, uint32_t ssrc, uint64_t index,
                               uint8_t iv[16])
{
    memcpy(iv, k->salt, 16);
    msrtp_xor32(iv + 4, ssrc);
    msrtp_xor32(iv + 8, (uint32_t)(index >> 16));
    iv[12] ^= (uint8_t)(index >> 8);
    iv[13] ^= (uint8_t)index;
}
/* (0 || SSRC || i) XOR salt: RFC 7714 8.1, and 9.1 with the 31-bit index. */
static inline void msrtp_iv_gcm(const struct msrtp_session *k, uint32_t ssrc, uint64_t index,
                                uint8_t iv[12])
{
    memcpy(iv, k->salt, 12);
    msrtp_xor32(iv + 2, ssrc);
    msrtp_xor32(iv + 6, (uint32_t)(index >> 16));
    iv[10] ^= (uint8_t)(index >> 8);
    iv[11] ^= (uint8_t)index;
}

#endif

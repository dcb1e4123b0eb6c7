/* Protecting and opening RTCP packets. RFC 3711 3.4, 4.1, 4.2, RFC 7714 9, RFC 4568 6.3.2. A
 * media_srtp belongs to one thread at a time.
 *
 *     header | rest, encrypted | E, index | MKI | tag         AES-CM, F8, NULL with HMAC-SHA1
 *     header | rest, encrypted | tag | E, index | MKI         AES-GCM
 */
#include "base/secret.h"
#include "media/srtp_priv.h"
#include "media/srtp_replay.h"

#define INDEX_BYTES 4
#define E_BIT 0x80000000u
#define INDEX_MASK 0x7fffffffu

/* NULL has nothing to encrypt with: its E bit is 0. */
static bool encrypts(const struct msrtp_key *key)
{
    return key->encrypts_rtcp && key->suite->cipher != KEYING_NULL;
}

static bool rtcp_xor(struct msrtp_session *k, uint32_t word, uint8_t *p, size_t n)
{
    uint8_t iv[16] = {0};

    if (k->cipher.kind == KEYING_AES_F8) {
        /* 0..0 || E || SRTCP index || V || P || RC || PT || length || SSRC: RFC 3711 4.1.2.4 */
        msrtp_put32(iv + 4, word);
        memcpy(iv + 8, p, MEDIA_RTCP_HEADER);
    } else {
        msrtp_iv_cm(k, msrtp_get32(p + 4), word & INDEX_MASK, iv);
    }
    return msrtp_cipher_xor(&k->cipher, iv, p + MEDIA_RTCP_HEADER, n - MEDIA_RTCP_HEADER);
}

/* GCM's associated data: all that stays readable, and the word with the E bit. It must be in one
 * piece: the header and the word, or, unencrypted, the packet and the word behind it (where the tag
 * goes, or was). */
static const uint8_t *gcm_aad(uint8_t *p, size_t n, uint32_t word, uint8_t small[12], size_t *ret_n)
{
    if (word & E_BIT) {
        memcpy(small, p, MEDIA_RTCP_HEADER);
        msrtp_put32(small + MEDIA_RTCP_HEADER, word);
        *ret_n = 12;
        return small;
    }
    msrtp_put32(p + n, word);
    *ret_n = n + INDEX_BYTES;
    return p;
}

static enum media_srtp_verdict rtcp_seal_gcm(const struct msrtp_key *key, struct msrtp_session *k,
                                             uint32_t word, uint8_t *p, size_t n)
{
    uint8_t iv[12], small[12], tag[16];
    size_t n_aad, n_secret = word & E_BIT ? n - MEDIA_RTCP_HEADER : 0;
    const uint8_t *aad = gcm_aad(p, n, word, small, &n_aad);

    msrtp_iv_gcm(k, msrtp_get32(p + 4), word & INDEX_MASK, iv);
    if (!msrtp_cipher_seal(&k->cipher, iv, aad, n_aad, p + n - n_secret, n_secret, tag))
        return MEDIA_SRTP_FAILED;
    memcpy(p + n, tag, sizeof(tag));
    msrtp_put32(p + n + sizeof(tag), word);
    memcpy(p + n + sizeof(tag) + INDEX_BYTES, key->mki, key->mki_len);
    return MEDIA_SRTP_OK;
}

static enum media_srtp_verdict rtcp_seal(const struct msrtp_key *key, struct msrtp_session *k,
                                         uint32_t word, uint8_t *p, size_t n)
{
    uint8_t mac[20];

    if (key->suite->cipher == KEYING_AES_GCM)
        return rtcp_seal_gcm(key, k, word, p, n);
    if ((word & E_BIT) && !rtcp_xor(k, word, p, n))
        return MEDIA_SRTP_FAILED;
    msrtp_put32(p + n, word);
    memcpy(p + n + INDEX_BYTES, key->mki, key->mki_len);
    msrtp_hmac(&k->hmac, p, n + INDEX_BYTES, NULL, 0, mac);
    memcpy(p + n + INDEX_BYTES + key->mki_len, mac, key->rtcp_tag);
    return MEDIA_SRTP_OK;
}

static enum media_srtp_verdict rtcp_protect(struct media_srtp *s, uint8_t *p, size_t *n, size_t cap)
{
    enum media_srtp_verdict v;
    struct msrtp_key *key = msrtp_key_to_send(s, true, &v);
    struct msrtp_session *k;
    struct msrtp_ssrc *ssrc;
    size_t trailer;
    uint32_t index;

    if (*n < MEDIA_RTCP_HEADER || p[0] >> 6 != 2)
        return MEDIA_SRTP_MALFORMED;
    if (key == NULL)
        return v;
    trailer = (size_t)key->rtcp_tag + key->mki_len + INDEX_BYTES;
    if (cap < *n || cap - *n < trailer)
        return MEDIA_SRTP_NO_ROOM;
    v = msrtp_epoch_get(s, key->epoch, msrtp_get32(p + 4), &ssrc);
    if (v != MEDIA_SRTP_OK)
        return v;
    /* Modulo 2^31 (RFC 3711 3.4): no index comes twice under one key, for a key protects at most
     * 2^31 packets. */
    index = (uint32_t)ssrc->rtcp_index & INDEX_MASK;
    k = msrtp_key_rtcp(s, key, index);
    if (k == NULL)
        return MEDIA_SRTP_FAILED;
    ssrc->rtcp_index++;
    msrtp_key_count_rtcp(s, key);
    v = rtcp_seal(key, k, index | (encrypts(key) ? E_BIT : 0), p, *n);
    *n += trailer;
    return v;
}

enum media_srtp_verdict media_srtcp_protect(struct media_srtp *s, uint8_t *p, size_t *n, size_t cap)
{
    return msrtp_count(s, true, rtcp_protect(s, p, n, cap));
}

/* ---- receiving ---- */

/* The index with the times it has wrapped (a re-key does not reset it): near 2^31, what is near 0
 * is ahead, and the reverse. */
static uint64_t index_unwrap(const struct msrtp_ssrc *ssrc, uint32_t index)
{
    const uint64_t round = (uint64_t)INDEX_MASK + 1;
    uint64_t top = ssrc->rtcp_index & INDEX_MASK,
             unwrapped = (ssrc->rtcp_index & ~(uint64_t)INDEX_MASK) | index;

    if (top >= INDEX_MASK - 0xffff && index <= 0xffff)
        return unwrapped + round;
    if (top <= 0xffff && index >= INDEX_MASK - 0xffff && unwrapped >= round)
        return unwrapped - round;
    return unwrapped;
}

/* Is the packet authentic? With GCM it is decrypted then (if it was encrypted). */
static enum media_srtp_verdict rtcp_try(const struct msrtp_key *key, struct msrtp_session *k,
                                        uint32_t word, uint8_t *p, size_t n, unsigned tag_len,
                                        size_t body)
{
    uint8_t iv[12], small[12], tag[16], mac[20];
    const uint8_t *aad;
    size_t n_aad, n_secret;
    bool fits = false;

    if (key->suite->cipher != KEYING_AES_GCM) {
        msrtp_hmac(&k->hmac, p, body + INDEX_BYTES, NULL, 0, mac);
        return secret_bytes_eq(mac, p + n - tag_len, tag_len) ? MEDIA_SRTP_OK : MEDIA_SRTP_FORGED;
    }
    memcpy(tag, p + body, sizeof(tag));
    n_secret = word & E_BIT ? body - MEDIA_RTCP_HEADER : 0;
    aad = gcm_aad(p, body, word, small, &n_aad);
    msrtp_iv_gcm(k, msrtp_get32(p + 4), word & INDEX_MASK, iv);
    if (!msrtp_cipher_open(&k->cipher, iv, aad, n_aad, p + body - n_secret, n_secret, tag, &fits))
        return MEDIA_SRTP_FAILED;
    memcpy(p + body, tag, INDEX_BYTES); /* where gcm_aad may have put the word */
    return fits ? MEDIA_SRTP_OK : MEDIA_SRTP_FORGED;
}

static enum media_srtp_verdict rtcp_accept(struct media_srtp *s, struct msrtp_key *key,
                                           struct msrtp_session *k, uint32_t word, uint8_t *p,
                                           size_t body)
{
    struct msrtp_ssrc *ssrc = NULL;
    enum msrtp_replay seen = SRTP_REPLAY_NEW;
    uint64_t index;
    enum media_srtp_verdict v;

    /* RFC 4568 6.3.2: the E bit does not override what was agreed. */
    if (key->suite->cipher != KEYING_NULL && ((word & E_BIT) != 0) != key->encrypts_rtcp)
        return MEDIA_SRTP_CLEAR;
    v = msrtp_epoch_get(s, key->epoch, msrtp_get32(p + 4), &ssrc);
    if (v != MEDIA_SRTP_OK)
        return v;
    index = ssrc->has_rtcp ? index_unwrap(ssrc, word & INDEX_MASK) : word & INDEX_MASK;
    if (ssrc->has_rtcp)
        seen = msrtp_replay_check(ssrc->rtcp_window, SRTCP_WINDOW_WORDS, ssrc->rtcp_index, index);
    if (seen != SRTP_REPLAY_NEW)
        return seen == SRTP_REPLAY_SEEN ? MEDIA_SRTP_REPLAYED : MEDIA_SRTP_OLD;
    if (key->suite->cipher != KEYING_AES_GCM && (word & E_BIT) && !rtcp_xor(k, word, p, body))
        return MEDIA_SRTP_FAILED;
    if (!ssrc->has_rtcp)
        ssrc->rtcp_index = index;
    ssrc->has_rtcp = true;
    ssrc->rtcp_index =
        msrtp_replay_mark(ssrc->rtcp_window, SRTCP_WINDOW_WORDS, ssrc->rtcp_index, index);
    msrtp_key_count_rtcp(s, key);
    return MEDIA_SRTP_OK;
}

/* Under one key, with a tag of tag_len bytes. */
static enum media_srtp_verdict rtcp_open_by(struct media_srtp *s, struct msrtp_key *key, uint8_t *p,
                                            size_t *n, unsigned tag_len)
{
    bool is_gcm = key->suite->cipher == KEYING_AES_GCM;
    size_t trailer = (size_t)tag_len + key->mki_len + INDEX_BYTES, body, mki_at;
    struct msrtp_session *k;
    enum media_srtp_verdict v;
    uint32_t word;

    if (*n < MEDIA_RTCP_HEADER + trailer)
        return MEDIA_SRTP_MALFORMED;
    body = *n - trailer;
    mki_at = *n - key->mki_len - (is_gcm ? 0 : tag_len);
    if (key->mki_len > 0 && memcmp(p + mki_at, key->mki, key->mki_len) != 0)
        return MEDIA_SRTP_NO_KEY;
    if (UNLIKELY(key->n_rtcp >= key->max_rtcp))
        return MEDIA_SRTP_EXPIRED;
    word = msrtp_get32(p + mki_at - INDEX_BYTES);
    k = msrtp_key_rtcp(s, key, word & INDEX_MASK);
    if (k == NULL)
        return MEDIA_SRTP_FAILED;
    v = rtcp_try(key, k, word, p, *n, tag_len, body);
    if (v != MEDIA_SRTP_OK)
        return v;
    v = rtcp_accept(s, key, k, word, p, body);
    if (v != MEDIA_SRTP_OK) {
        if (is_gcm)
            secret_wipe(p + MEDIA_RTCP_HEADER, body - MEDIA_RTCP_HEADER);
        return v;
    }
    key->detects_tag = false;
    key->rtcp_tag = (uint8_t)tag_len;
    s->stats.rtcp_tag_seen = (uint8_t)tag_len;
    *n = body;
    return MEDIA_SRTP_OK;
}

static bool may_be_other(enum media_srtp_verdict v)
{
    return v == MEDIA_SRTP_FORGED || v == MEDIA_SRTP_NO_KEY || v == MEDIA_SRTP_MALFORMED ||
           v == MEDIA_SRTP_EXPIRED;
}

enum media_srtp_verdict media_srtcp_open(struct media_srtp *s, uint8_t *p, size_t *n)
{
    enum media_srtp_verdict verdict = MEDIA_SRTP_NO_KEY, v;

    if (*n < MEDIA_RTCP_HEADER || p[0] >> 6 != 2)
        return msrtp_count(s, true, MEDIA_SRTP_MALFORMED);
    for (unsigned i = 0; i < s->n_all; i++) {
        struct msrtp_key *key = s->keys[i];

        v = rtcp_open_by(s, key, p, n, key->rtcp_tag);
        if (key->detects_tag && may_be_other(v))
            v = rtcp_open_by(s, key, p, n, 4);
        verdict = verdict == MEDIA_SRTP_NO_KEY || v == MEDIA_SRTP_FORGED || !may_be_other(v)
                      ? v
                      : verdict;
        if (!may_be_other(v))
            break;
    }
    return msrtp_count(s, true, verdict);
}

/* Protecting and opening RTP packets. RFC 3711 3.1, 3.3, 4.1, 4.2, RFC 7714 8. A media_srtp belongs
 * to one thread at a time.
 *
 *     header | payload, encrypted                       | MKI | tag        AES-CM, F8, NULL with
 * HMAC-SHA1 header | payload, encrypted               | tag   | MKI              AES-GCM
 */
#include "base/secret.h"
#include "media/srtp_priv.h"
#include "media/srtp_replay.h"

struct rtp_view {
    size_t header; /* bytes, with CSRCs and extension */
    uint32_t ssrc;
    uint16_t seq;
};

static bool rtp_parse(const uint8_t *p, size_t n, struct rtp_view *ret)
{
    size_t header;

    if (n < MEDIA_RTP_HEADER || p[0] >> 6 != 2)
        return false;
    header = MEDIA_RTP_HEADER + 4 * (size_t)(p[0] & 15);
    if (p[0] & 0x10) {
        if (n < header + 4)
            return false;
        header += 4 + 4 * (size_t)msrtp_get16(p + header + 2);
    }
    *ret =
        (struct rtp_view){.header = header, .ssrc = msrtp_get32(p + 8), .seq = msrtp_get16(p + 2)};
    return header <= n;
}

/* The index nearest to the highest one so far: RFC 3711 3.3.1, appendix A. Before the counter's
 * zero there is nothing, so what would lie there is ahead. */
static uint64_t index_estimate(uint64_t top, uint16_t seq)
{
    uint64_t index = (top & ~0xffffull) | seq;

    if (index > top + 0x8000)
        return index >= 0x10000 ? index - 0x10000 : index;
    return index + 0x8000 < top ? index + 0x10000 : index;
}

/* The F8 IV: 0x00 || M || PT || SEQ || TS || SSRC || ROC, RFC 3711 4.1.2.2. */
static void iv_f8(const uint8_t *p, uint64_t index, uint8_t iv[16])
{
    memcpy(iv, p, 12);
    iv[0] = 0;
    msrtp_put32(iv + 12, (uint32_t)(index >> 16));
}

static bool rtp_xor(struct msrtp_session *k, uint64_t index, uint8_t *p,
                    const struct rtp_view *view, size_t n)
{
    uint8_t iv[16];

    if (k->cipher.kind == KEYING_AES_F8)
        iv_f8(p, index, iv);
    else
        msrtp_iv_cm(k, view->ssrc, index, iv);
    return msrtp_cipher_xor(&k->cipher, iv, p + view->header, n - view->header);
}

/* The Authenticated Portion and the rollover counter: RFC 3711 4.2. */
static void rtp_hmac(const struct msrtp_session *k, uint64_t index, const uint8_t *p, size_t n,
                     uint8_t ret[20])
{
    uint8_t roc[4];

    msrtp_put32(roc, (uint32_t)(index >> 16));
    msrtp_hmac(&k->hmac, p, n, roc, sizeof(roc), ret);
}

/* ---- sending ---- */

static enum media_srtp_verdict rtp_seal(const struct msrtp_key *key, struct msrtp_session *k,
                                        uint64_t index, uint8_t *p, const struct rtp_view *view,
                                        size_t n)
{
    uint8_t iv[12], mac[20];

    if (key->suite->cipher == KEYING_AES_GCM) {
        msrtp_iv_gcm(k, view->ssrc, index, iv);
        if (!msrtp_cipher_seal(&k->cipher, iv, p, view->header, p + view->header, n - view->header,
                               p + n))
            return MEDIA_SRTP_FAILED;
        memcpy(p + n + 16, key->mki, key->mki_len);
        return MEDIA_SRTP_OK;
    }
    if (key->encrypts_rtp && !rtp_xor(k, index, p, view, n))
        return MEDIA_SRTP_FAILED;
    memcpy(p + n, key->mki, key->mki_len);
    if (key->rtp_tag > 0) {
        rtp_hmac(k, index, p, n, mac);
        memcpy(p + n + key->mki_len, mac, key->rtp_tag);
    }
    return MEDIA_SRTP_OK;
}

/* May this index still be used with the present key? */
static enum media_srtp_verdict index_is_free(const struct msrtp_ssrc *ssrc, uint64_t index)
{
    if (!ssrc->has_rtp)
        return MEDIA_SRTP_OK;
    if (index > ssrc->first && index - ssrc->first >= (1ull << 48) - 0x20000)
        return MEDIA_SRTP_EXPIRED;
    switch (msrtp_replay_check(ssrc->window, SRTP_WINDOW_WORDS, ssrc->index, index)) {
    case SRTP_REPLAY_NEW:
        return MEDIA_SRTP_OK;
    case SRTP_REPLAY_SEEN:
        return MEDIA_SRTP_REPLAYED;
    case SRTP_REPLAY_OLD:
        break;
    }
    return MEDIA_SRTP_OLD;
}

static void rtp_commit(struct msrtp_ssrc *ssrc, uint64_t index)
{
    if (UNLIKELY(!ssrc->has_rtp)) {
        ssrc->has_rtp = true;
        ssrc->hint = SRTP_HINT_NONE;
        ssrc->index = ssrc->first = index;
    }
    ssrc->index = msrtp_replay_mark(ssrc->window, SRTP_WINDOW_WORDS, ssrc->index, index);
}

static enum media_srtp_verdict rtp_protect(struct media_srtp *s, uint8_t *p, size_t *n, size_t cap)
{
    struct rtp_view view;
    struct msrtp_key *key;
    struct msrtp_session *k;
    struct msrtp_ssrc *ssrc;
    uint64_t index;
    enum media_srtp_verdict v;

    if (!rtp_parse(p, *n, &view))
        return MEDIA_SRTP_MALFORMED;
    key = msrtp_key_to_send(s, false, &v);
    if (key == NULL)
        return v;
    if (cap < *n || cap - *n < (size_t)key->rtp_tag + key->mki_len)
        return MEDIA_SRTP_NO_ROOM;
    v = msrtp_epoch_get(s, key->epoch, view.ssrc, &ssrc);
    if (v != MEDIA_SRTP_OK)
        return v;
    if (ssrc->has_rtp || ssrc->hint == SRTP_HINT_INDEX)
        index = index_estimate(ssrc->index, view.seq);
    else
        index =
            (ssrc->hint == SRTP_HINT_ROC ? ssrc->index : (uint64_t)key->epoch->roc_start << 16) |
            view.seq;
    v = index_is_free(ssrc, index);
    if (v != MEDIA_SRTP_OK)
        return v;
    k = msrtp_key_rtp(s, key, index);
    if (k == NULL)
        return MEDIA_SRTP_FAILED;
    /* Before the packet is touched: should it fail half way, the index is spent all the same. */
    rtp_commit(ssrc, index);
    msrtp_key_count_rtp(s, key);
    v = rtp_seal(key, k, index, p, &view, *n);
    *n += (size_t)key->rtp_tag + key->mki_len;
    return v;
}

enum media_srtp_verdict media_srtp_protect(struct media_srtp *s, uint8_t *p, size_t *n, size_t cap)
{
    return msrtp_count(s, false, rtp_protect(s, p, n, cap));
}

/* ---- receiving ---- */

/* Is the packet authentic under this key and index? GCM has decrypted it then. */
static enum media_srtp_verdict rtp_try(const struct msrtp_key *key, struct msrtp_session *k,
                                       uint64_t index, uint8_t *p, const struct rtp_view *view,
                                       size_t n)
{
    size_t body = n - key->rtp_tag - key->mki_len;
    uint8_t iv[12], mac[20];
    bool fits = false;

    if (key->suite->cipher == KEYING_AES_GCM) {
        msrtp_iv_gcm(k, view->ssrc, index, iv);
        if (!msrtp_cipher_open(&k->cipher, iv, p, view->header, p + view->header,
                               body - view->header, p + body, &fits))
            return MEDIA_SRTP_FAILED;
        return fits ? MEDIA_SRTP_OK : MEDIA_SRTP_FORGED;
    }
    if (key->rtp_tag == 0)
        return MEDIA_SRTP_OK;
    rtp_hmac(k, index, p, body, mac);
    return secret_bytes_eq(mac, p + n - key->rtp_tag, key->rtp_tag) ? MEDIA_SRTP_OK
                                                                    : MEDIA_SRTP_FORGED;
}

/* The indices that a packet may have, the likeliest first. While nothing of an SSRC has been
 * authentic, its counter may have gone on or begun anew with the key, and it has moved by one if
 * all packets up to the first wrap were lost. */
static unsigned rtp_guess(const struct msrtp_epoch *epoch, const struct msrtp_ssrc *ssrc,
                          uint16_t seq, uint64_t ret[3])
{
    uint64_t roc = epoch->roc_start;
    unsigned n = 0;

    if (LIKELY(ssrc != NULL && ssrc->has_rtp)) {
        ret[0] = index_estimate(ssrc->index, seq);
        return 1;
    }
    if (ssrc != NULL && ssrc->hint == SRTP_HINT_INDEX)
        ret[n++] = index_estimate(ssrc->index, seq);
    else if (ssrc != NULL && ssrc->hint == SRTP_HINT_ROC)
        roc = ssrc->index >> 16;
    if (n == 0 || ret[0] != (roc << 16 | seq))
        ret[n++] = roc << 16 | seq;
    if (seq < 0x8000 && ret[0] != ((roc + 1) << 16 | seq))
        ret[n++] = (roc + 1) << 16 | seq;
    return n;
}

/* An authentic packet: was it there already? If not, its SSRC moves on. */
static enum media_srtp_verdict rtp_accept(struct media_srtp *s, struct msrtp_key *key,
                                          struct msrtp_ssrc *ssrc, struct msrtp_session *k,
                                          uint64_t index, uint8_t *p, const struct rtp_view *view,
                                          size_t body)
{
    enum media_srtp_verdict v = MEDIA_SRTP_OK;

    if (ssrc == NULL)
        v = msrtp_epoch_get(s, key->epoch, view->ssrc, &ssrc);
    else if (ssrc->has_rtp)
        v = index_is_free(ssrc, index);
    if (v == MEDIA_SRTP_OK && key->suite->cipher != KEYING_AES_GCM && key->encrypts_rtp &&
        !rtp_xor(k, index, p, view, body))
        v = MEDIA_SRTP_FAILED;
    if (v == MEDIA_SRTP_OK) {
        if (ssrc->hint == SRTP_HINT_INDEX && index != index_estimate(ssrc->index, view->seq))
            s->stats.roc_was_reset = true;
        rtp_commit(ssrc, index);
        msrtp_key_count_rtp(s, key);
    } else if (key->suite->cipher == KEYING_AES_GCM) {
        secret_wipe(p + view->header, body - view->header);
    }
    return v;
}

static enum media_srtp_verdict rtp_open_by(struct media_srtp *s, struct msrtp_key *key, uint8_t *p,
                                           size_t *n, const struct rtp_view *view)
{
    size_t trailer = (size_t)key->rtp_tag + key->mki_len, mki_at;
    struct msrtp_ssrc *ssrc;
    uint64_t guesses[3];
    unsigned n_guesses;

    if (*n < view->header + trailer)
        return MEDIA_SRTP_MALFORMED;
    mki_at = *n - (key->suite->cipher == KEYING_AES_GCM ? key->mki_len : trailer);
    if (key->mki_len > 0 && memcmp(p + mki_at, key->mki, key->mki_len) != 0)
        return MEDIA_SRTP_NO_KEY;
    if (UNLIKELY(key->n_rtp >= key->max_rtp)) /* RFC 4568 6.1: receivers, too, obey the lifetime */
        return MEDIA_SRTP_EXPIRED;
    ssrc = msrtp_epoch_find(key->epoch, view->ssrc);
    n_guesses = rtp_guess(key->epoch, ssrc, view->seq, guesses);
    for (unsigned i = 0; i < n_guesses; i++) {
        struct msrtp_session *k = msrtp_key_rtp(s, key, guesses[i]);
        enum media_srtp_verdict v;

        if (i > 0 && s->n_probes == 0)
            break;
        s->n_probes = (uint16_t)(s->n_probes - (i > 0));
        v = k != NULL ? rtp_try(key, k, guesses[i], p, view, *n) : MEDIA_SRTP_FAILED;
        if (v == MEDIA_SRTP_FORGED)
            continue;
        if (v == MEDIA_SRTP_OK)
            v = rtp_accept(s, key, ssrc, k, guesses[i], p, view, *n - trailer);
        *n -= v == MEDIA_SRTP_OK ? trailer : 0;
        return v;
    }
    return MEDIA_SRTP_FORGED;
}

/* How much a verdict under one key says against those under the others: an attempt that got as far
 * as the tag counts more than one that ended at the MKI. */
static enum media_srtp_verdict weigh(enum media_srtp_verdict so_far, enum media_srtp_verdict v)
{
    return so_far == MEDIA_SRTP_NO_KEY || v == MEDIA_SRTP_FORGED ? v : so_far;
}

enum media_srtp_verdict media_srtp_open(struct media_srtp *s, uint8_t *p, size_t *n)
{
    enum media_srtp_verdict verdict = MEDIA_SRTP_NO_KEY;
    struct rtp_view view;

    if (!rtp_parse(p, *n, &view))
        return msrtp_count(s, false, MEDIA_SRTP_MALFORMED);
    for (unsigned i = 0; i < s->n_all; i++) {
        enum media_srtp_verdict v = rtp_open_by(s, s->keys[i], p, n, &view);
        bool may_be_other = v == MEDIA_SRTP_FORGED || v == MEDIA_SRTP_NO_KEY ||
                            v == MEDIA_SRTP_MALFORMED || v == MEDIA_SRTP_EXPIRED;

        verdict = weigh(verdict, v);
        if (!may_be_other) {
            verdict = v;
            break;
        }
    }
    return msrtp_count(s, false, verdict);
}

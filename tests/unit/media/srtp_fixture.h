/* What the tests of SRTP share: keys, packets, hexadecimal. */
#ifndef TESTS_UNIT_MEDIA_SRTP_FIXTURE_H
#define TESTS_UNIT_MEDIA_SRTP_FIXTURE_H

#include "base/err.h"
#include "check.h"
#include "media/srtp_priv.h"

#define ROOM 2048 /* of every packet buffer */

/* Hexadecimal, with any white space in it, to bytes. */
static inline size_t unhex(const char *hex, uint8_t *dst, size_t cap)
{
    char digits[2 * ROOM];
    size_t n = 0;

    for (const char *p = hex; *p != '\0'; p++) {
        if (*p != ' ' && *p != '\n') {
            assert_true(n < sizeof(digits));
            digits[n++] = *p;
        }
    }
    assert_true(n / 2 <= cap);
    check_err(str_unhex(dst, n / 2, str_make(digits, n)), 0);
    return n / 2;
}

static inline void check_hex(const uint8_t *p, size_t n, const char *hex)
{
    uint8_t expected[ROOM];

    assert_int_equal(n, unhex(hex, expected, sizeof(expected)));
    assert_memory_equal(p, expected, n);
}

/* Keys made of `seed`, without MKI. */
static inline struct keying_keys keys_make(enum keying_suite_id suite, uint8_t seed)
{
    struct keying_keys keys = {.suite = keying_suite_get(suite), .n = 1};

    for (size_t i = 0; i < KEYING_MASTER_KEY_MAX; i++)
        keys.key[0].key[i] = (uint8_t)(seed + 7 * i);
    for (size_t i = 0; i < KEYING_MASTER_SALT_MAX; i++)
        keys.key[0].salt[i] = (uint8_t)(seed ^ (0x5a + i));
    return keys;
}

static inline struct media_srtp *msrtp_make(enum media_srtp_dir dir, const struct keying_keys *keys)
{
    struct media_srtp *s = NULL;

    check_err(media_srtp_new(&s, dir), 0);
    if (keys != NULL)
        check_err(media_srtp_install(s, keys), 0);
    return s;
}

/* An RTP packet of n bytes in all (12 or more), its payload counting up from seq. */
static inline size_t rtp_make(uint8_t *p, uint32_t ssrc, uint16_t seq, size_t n)
{
    memset(p, 0, 12);
    p[0] = 0x80;
    p[1] = 8;
    p[2] = (uint8_t)(seq >> 8);
    p[3] = (uint8_t)seq;
    msrtp_put32(p + 4, (uint32_t)seq * 160);
    msrtp_put32(p + 8, ssrc);
    for (size_t i = 12; i < n; i++)
        p[i] = (uint8_t)(seq + i);
    return n;
}

/* A receiver report with n bytes in all (8 or more). */
static inline size_t rtcp_make(uint8_t *p, uint32_t ssrc, uint8_t fill, size_t n)
{
    memset(p, fill, n);
    p[0] = 0x80;
    p[1] = 201;
    p[2] = 0;
    p[3] = (uint8_t)(n / 4 - 1);
    msrtp_put32(p + 4, ssrc);
    return n;
}

#define check_verdict(actual, expected)                                                            \
    do {                                                                                           \
        enum media_srtp_verdict check_verdict_ = (actual);                                         \
        if (check_verdict_ != (expected))                                                          \
            fail_msg("%s gives %s, not %s", #actual, media_srtp_verdict_text(check_verdict_),      \
                     media_srtp_verdict_text(expected));                                           \
    } while (0)

/* ---- a sender and a receiver ---- */

struct both {
    struct media_srtp *tx, *rx;
};

static inline struct both both_make(const struct keying_keys *keys)
{
    return (struct both){msrtp_make(MEDIA_SRTP_SEND, keys), msrtp_make(MEDIA_SRTP_RECEIVE, keys)};
}

static inline struct both both_of(enum keying_suite_id suite)
{
    struct keying_keys keys = keys_make(suite, 3);

    return both_make(&keys);
}

static inline void both_free(struct both *b)
{
    media_srtp_free(b->tx);
    media_srtp_free(b->rx);
}

static inline size_t sealed(struct both *b, uint8_t *p, uint32_t ssrc, uint16_t seq)
{
    size_t n = rtp_make(p, ssrc, seq, 60);

    check_verdict(media_srtp_protect(b->tx, p, &n, ROOM), MEDIA_SRTP_OK);
    return n;
}

/* A packet that was protected as `seq` of `ssrc`: is it opened, and as what? */
static inline enum media_srtp_verdict opened(struct both *b, const uint8_t *packet, size_t n,
                                             uint32_t ssrc, uint16_t seq)
{
    uint8_t p[ROOM], plain[ROOM];
    enum media_srtp_verdict v;

    memcpy(p, packet, n);
    v = media_srtp_open(b->rx, p, &n);
    if (v == MEDIA_SRTP_OK) {
        assert_int_equal(n, rtp_make(plain, ssrc, seq, 60));
        assert_memory_equal(p, plain, n);
    }
    return v;
}

static inline enum media_srtp_verdict passes(struct both *b, uint32_t ssrc, uint16_t seq)
{
    uint8_t p[ROOM];
    size_t n = sealed(b, p, ssrc, seq);

    return opened(b, p, n, ssrc, seq);
}

static inline enum media_srtp_verdict rtcp_passes(struct both *b, uint32_t ssrc)
{
    uint8_t p[ROOM], plain[ROOM];
    size_t n = rtcp_make(p, ssrc, 9, 64), n_plain = rtcp_make(plain, ssrc, 9, 64);
    enum media_srtp_verdict v;

    check_verdict(media_srtcp_protect(b->tx, p, &n, ROOM), MEDIA_SRTP_OK);
    v = media_srtcp_open(b->rx, p, &n);
    if (v == MEDIA_SRTP_OK) {
        assert_int_equal(n, n_plain);
        assert_memory_equal(p, plain, n);
    }
    return v;
}

static inline struct keying_keys keys_with_mkis(enum keying_suite_id suite, size_t n,
                                                uint64_t max_rtp)
{
    struct keying_keys keys = keys_make(suite, 20);

    keys.n = n;
    for (size_t i = 0; i < n; i++) {
        struct keying_keys more = keys_make(suite, (uint8_t)(20 + 40 * i));

        keys.key[i] = more.key[0];
        keys.key[i].mki_len = 2;
        keys.key[i].mki[1] = (uint8_t)(i + 1);
        keys.key[i].max_rtp = keys.key[i].max_rtcp = max_rtp;
    }
    return keys;
}

#endif

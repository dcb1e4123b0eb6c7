/* SRTP's state: what moves it and what must not. RFC 3711 3.3, 8.1, 9.2, RFC 4568 6, 7.1.4. */
#include "oom.h"
#include "srtp_fixture.h"

/* Every suite, every length, at every alignment. */
static void test_round_trip(void **state)
{
    uint8_t room[ROOM + 16], plain[ROOM];

    (void)state;
    for (unsigned suite = 0; suite < 2 * KEYING_SUITES; suite++) {
        struct both b;

        msrtp_cipher_allow_mb(suite >= KEYING_SUITES);
        b = both_of(suite % KEYING_SUITES);
        for (size_t len = 12; len < 300; len++) {
            uint8_t *p = room + len % 16;
            size_t n = rtp_make(p, 1, (uint16_t)len, len);

            check_verdict(media_srtp_protect(b.tx, p, &n, ROOM), MEDIA_SRTP_OK);
            assert_int_equal(n, len + b.tx->keys[0]->rtp_tag);
            check_verdict(media_srtp_open(b.rx, p, &n), MEDIA_SRTP_OK);
            assert_int_equal(n, rtp_make(plain, 1, (uint16_t)len, len));
            assert_memory_equal(p, plain, n);
        }
        for (size_t len = 8; len < 200; len += 4) {
            uint8_t *p = room + len % 16;
            size_t n = rtcp_make(p, 1, (uint8_t)len, len);

            check_verdict(media_srtcp_protect(b.tx, p, &n, ROOM), MEDIA_SRTP_OK);
            assert_int_equal(n, len + 4 +
                                    (b.tx->keys[0]->suite->cipher == KEYING_AES_GCM ? 16u : 10u));
            check_verdict(media_srtcp_open(b.rx, p, &n), MEDIA_SRTP_OK);
            assert_int_equal(n, rtcp_make(plain, 1, (uint8_t)len, len));
            assert_memory_equal(p, plain, n);
        }
        both_free(&b);
    }
}

/* F8 by its definition, a block at a time: RFC 3711 4.1.2. */
static void f8_by_hand(const uint8_t key[16], const uint8_t salt[14], const uint8_t iv[16],
                       uint8_t *p, size_t n)
{
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    uint8_t masked[16], masked_iv[16], s[16] = {0}, x[16];
    int len;

    for (size_t i = 0; i < 16; i++)
        masked[i] = (uint8_t)(key[i] ^ (i < 14 ? salt[i] : 0x55));
    assert_int_equal(EVP_EncryptInit_ex(ctx, EVP_aes_128_ecb(), NULL, masked, NULL), 1);
    assert_int_equal(EVP_EncryptUpdate(ctx, masked_iv, &len, iv, 16), 1);
    assert_int_equal(EVP_EncryptInit_ex(ctx, EVP_aes_128_ecb(), NULL, key, NULL), 1);
    for (size_t j = 0; 16 * j < n; j++) {
        for (size_t i = 0; i < 16; i++)
            x[i] = masked_iv[i] ^ s[i];
        msrtp_xor32(x + 12, (uint32_t)j);
        assert_int_equal(EVP_EncryptUpdate(ctx, s, &len, x, 16), 1);
        for (size_t i = 0; i < 16 && 16 * j + i < n; i++)
            p[16 * j + i] ^= s[i];
    }
    EVP_CIPHER_CTX_free(ctx);
}

static void session_keys(const struct keying_keys *keys, unsigned first, uint8_t key[16],
                         uint8_t salt[14])
{
    EVP_CIPHER_CTX *prf = msrtp_kdf_new(keys->key[0].key, 16);

    assert_true(msrtp_kdf(prf, keys->key[0].salt, 14, first, 0, key, 16));
    assert_true(msrtp_kdf(prf, keys->key[0].salt, 14, first + 2, 0, salt, 14));
    EVP_CIPHER_CTX_free(prf);
}

static void test_f8_packets(void **state)
{
    struct keying_keys keys = keys_make(KEYING_F8_128_80, 3);
    struct both b;
    uint8_t p[ROOM], expected[ROOM], key[16], salt[14], iv[16] = {0};
    size_t n = rtp_make(p, 0xcafe, 7, 1000), n_rtcp;

    (void)state;
    keys.roc_start = 0x01020304;
    b = both_make(&keys);
    rtp_make(expected, 0xcafe, 7, 1000);
    memcpy(iv, p, 12);
    iv[0] = 0;
    msrtp_put32(iv + 12, 0x01020304);
    session_keys(&keys, 0, key, salt);
    f8_by_hand(key, salt, iv, expected + 12, 988);
    check_verdict(media_srtp_protect(b.tx, p, &n, ROOM), MEDIA_SRTP_OK);
    assert_memory_equal(p, expected, 1000);
    check_verdict(media_srtp_open(b.rx, p, &n), MEDIA_SRTP_OK);

    n_rtcp = rtcp_make(p, 0xcafe, 5, 100);
    rtcp_make(expected, 0xcafe, 5, 100);
    memset(iv, 0, 16);
    iv[4] = 0x80;
    memcpy(iv + 8, p, 8);
    session_keys(&keys, 3, key, salt);
    f8_by_hand(key, salt, iv, expected + 8, 92);
    check_verdict(media_srtcp_protect(b.tx, p, &n_rtcp, ROOM), MEDIA_SRTP_OK);
    assert_memory_equal(p, expected, 100);
    both_free(&b);
}

/* Forged packets, whatever their source, leave nothing behind but a count. */
static void test_forged(void **state)
{
    struct both b = both_of(KEYING_AES_128_CM_80);
    uint8_t p[ROOM];
    uint64_t index = 0;
    size_t n;

    (void)state;
    for (uint32_t ssrc = 0; ssrc < 5000; ssrc++) {
        n = rtp_make(p, ssrc, (uint16_t)(ssrc * 77), 60);
        check_verdict(media_srtp_open(b.rx, p, &n), MEDIA_SRTP_FORGED);
        n = rtcp_make(p, ssrc, 0x80, 60);
        check_verdict(media_srtcp_open(b.rx, p, &n), MEDIA_SRTP_FORGED);
    }
    assert_int_equal(media_srtp_stats(b.rx)->n_ssrcs, 0);
    assert_int_equal(media_srtp_count(b.rx, false, MEDIA_SRTP_FORGED), 5000);
    assert_int_equal(media_srtp_count(b.rx, true, MEDIA_SRTP_FORGED), 5000);
    check_verdict(passes(&b, 1, 10), MEDIA_SRTP_OK);
    /* A forged packet that looks like a jump ahead does not move the counter. */
    n = rtp_make(p, 1, 30000, 60);
    check_verdict(media_srtp_open(b.rx, p, &n), MEDIA_SRTP_FORGED);
    assert_true(media_srtp_index(b.rx, 1, &index));
    assert_int_equal(index, 10);
    check_verdict(passes(&b, 1, 11), MEDIA_SRTP_OK);
    assert_false(media_srtp_index(b.rx, 2, &index));
    assert_int_equal(media_srtp_stats(b.rx)->n_ssrcs, 1);
    both_free(&b);
}

/* Each bit of a packet counts. */
static void test_each_bit(void **state)
{
    static const enum keying_suite_id suites[] = {KEYING_AES_128_CM_80, KEYING_AES_128_GCM,
                                                  KEYING_F8_128_80, KEYING_NULL_80};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(suites); i++) {
        struct both b = both_of(suites[i]);
        uint8_t rtp[ROOM], rtcp[ROOM], p[ROOM];
        size_t n_rtp = sealed(&b, rtp, 1, 1), n_rtcp = rtcp_make(rtcp, 1, 3, 40), n;

        check_verdict(media_srtcp_protect(b.tx, rtcp, &n_rtcp, ROOM), MEDIA_SRTP_OK);
        for (size_t bit = 0; bit < 8 * n_rtp; bit++) {
            memcpy(p, rtp, n = n_rtp);
            p[bit / 8] ^= (uint8_t)(1u << bit % 8);
            assert_int_not_equal(media_srtp_open(b.rx, p, &n), MEDIA_SRTP_OK);
        }
        for (size_t bit = 0; bit < 8 * n_rtcp; bit++) {
            memcpy(p, rtcp, n = n_rtcp);
            p[bit / 8] ^= (uint8_t)(1u << bit % 8);
            assert_int_not_equal(media_srtcp_open(b.rx, p, &n), MEDIA_SRTP_OK);
        }
        check_verdict(opened(&b, rtp, n_rtp, 1, 1), MEDIA_SRTP_OK);
        check_verdict(media_srtcp_open(b.rx, rtcp, &n_rtcp), MEDIA_SRTP_OK);
        both_free(&b);
    }
}

/* An authentic packet of the past is refused, and GCM's does not stay decrypted in the buffer. */
static void test_replay(void **state)
{
    static const enum keying_suite_id suites[] = {KEYING_AES_128_CM_80, KEYING_AES_256_GCM};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(suites); i++) {
        struct both b = both_of(suites[i]);
        uint8_t p[ROOM], again[ROOM], plain[ROOM];
        size_t n = sealed(&b, p, 1, 100), n_again = n;

        rtp_make(plain, 1, 100, 60);
        check_verdict(opened(&b, p, n, 1, 100), MEDIA_SRTP_OK);
        memcpy(again, p, n);
        check_verdict(media_srtp_open(b.rx, again, &n_again), MEDIA_SRTP_REPLAYED);
        assert_memory_not_equal(again + 12, plain + 12, 48);
        check_verdict(passes(&b, 1, 100 + 447), MEDIA_SRTP_OK);
        check_verdict(opened(&b, p, n, 1, 100), MEDIA_SRTP_REPLAYED);
        check_verdict(passes(&b, 1, 1000), MEDIA_SRTP_OK);
        check_verdict(opened(&b, p, n, 1, 100), MEDIA_SRTP_OLD);
        both_free(&b);
    }
}

/* The window: each index within it once, in any order; RFC 3711 3.3.2 asks for 64. */
static void test_window(void **state)
{
    struct both b = both_of(KEYING_AES_128_CM_80);
    static uint8_t p[448][ROOM];
    size_t n[448];

    (void)state;
    for (uint16_t i = 0; i < 448; i++)
        n[i] = sealed(&b, p[i], 1, (uint16_t)(65300 + i)); /* over the wrap */
    for (uint16_t i = 448; i-- > 0;) {
        check_verdict(opened(&b, p[i], n[i], 1, (uint16_t)(65300 + i)), MEDIA_SRTP_OK);
        check_verdict(opened(&b, p[i], n[i], 1, (uint16_t)(65300 + i)), MEDIA_SRTP_REPLAYED);
    }
    both_free(&b);
}

/* The counter rolls over again and again, with packets lost and late around it. */
static void test_wrap(void **state)
{
    struct both b = both_of(KEYING_AES_128_GCM);
    uint8_t late[ROOM];
    uint64_t index = 0;
    uint16_t seq = 0;

    (void)state;
    for (unsigned round = 0; round < 40; round++) {
        size_t n;

        for (unsigned i = 0; i < 4; i++) {
            seq = (uint16_t)(seq + 16000); /* losses in between */
            check_verdict(passes(&b, 1, seq), MEDIA_SRTP_OK);
        }
        seq = (uint16_t)(seq + 1537);
        n = sealed(&b, late, 1, (uint16_t)(seq - 1));
        check_verdict(passes(&b, 1, seq), MEDIA_SRTP_OK);
        check_verdict(opened(&b, late, n, 1, (uint16_t)(seq - 1)), MEDIA_SRTP_OK);
    }
    assert_true(media_srtp_index(b.rx, 1, &index));
    assert_int_equal(index, 40ull * 65537);
    assert_true(media_srtp_index(b.tx, 1, &index));
    assert_int_equal(index, 40ull * 65537);
    both_free(&b);
}

/* The packets up to the first wrap were all lost: the counter is tried one ahead (mediasoup 1437
 * and others). */
static void test_lost_start(void **state)
{
    struct both b = both_of(KEYING_AES_128_CM_80);
    uint8_t p[ROOM];
    size_t n;

    (void)state;
    sealed(&b, p, 1, 65530);
    n = sealed(&b, p, 1, 3);
    check_verdict(opened(&b, p, n, 1, 3), MEDIA_SRTP_OK);
    check_verdict(passes(&b, 1, 4), MEDIA_SRTP_OK);

    /* A flood of forged packets uses up the extra attempts, but no others. */
    for (unsigned i = 0; i < LIMIT_SRTP_PROBES; i++) {
        size_t n_forged = rtp_make(p, 99, 5, 60);

        check_verdict(media_srtp_open(b.rx, p, &n_forged), MEDIA_SRTP_FORGED);
    }
    assert_int_equal(b.rx->n_probes, 0);
    sealed(&b, p, 2, 65530);
    n = sealed(&b, p, 2, 3);
    check_verdict(opened(&b, p, n, 2, 3), MEDIA_SRTP_FORGED);
    check_verdict(passes(&b, 3, 65530), MEDIA_SRTP_OK);
    both_free(&b);
}

static void test_ssrc_limit(void **state)
{
    struct both b = both_of(KEYING_AES_128_CM_80);
    uint8_t p[ROOM];
    size_t n = rtp_make(p, LIMIT_SRTP_SSRCS, 1, 60);

    (void)state;
    for (uint32_t ssrc = 0; ssrc < LIMIT_SRTP_SSRCS; ssrc++)
        check_verdict(passes(&b, ssrc, 1), MEDIA_SRTP_OK);
    assert_int_equal(media_srtp_stats(b.rx)->n_ssrcs, LIMIT_SRTP_SSRCS);
    check_verdict(media_srtp_protect(b.tx, p, &n, ROOM), MEDIA_SRTP_SSRC_LIMIT);
    b.tx->keys[0]->epoch->n = 0; /* a sender without limits */
    check_verdict(passes(&b, LIMIT_SRTP_SSRCS, 1), MEDIA_SRTP_SSRC_LIMIT);
    check_verdict(passes(&b, 5, 2), MEDIA_SRTP_OK);
    check_verdict(rtcp_passes(&b, 5), MEDIA_SRTP_OK);
    both_free(&b);
}

/* ---- malformed packets and buffers that are too small ---- */

static void test_malformed(void **state)
{
    struct both b = both_of(KEYING_AES_128_GCM);
    uint8_t p[ROOM];
    size_t n;

    (void)state;
    for (size_t len = 0; len < 12; len++) {
        rtp_make(p, 1, 1, 12);
        n = len;
        check_verdict(media_srtp_protect(b.tx, p, &n, ROOM), MEDIA_SRTP_MALFORMED);
        check_verdict(media_srtp_open(b.rx, p, &n), MEDIA_SRTP_MALFORMED);
    }
    for (size_t len = 12; len < 28; len++) { /* a header, but no room for the tag */
        rtp_make(p, 1, 1, 28);
        n = len;
        check_verdict(media_srtp_open(b.rx, p, &n), MEDIA_SRTP_MALFORMED);
    }
    for (size_t len = 0; len < 8; len++) {
        rtcp_make(p, 1, 1, 8);
        n = len;
        check_verdict(media_srtcp_protect(b.tx, p, &n, ROOM), MEDIA_SRTP_MALFORMED);
    }
    for (size_t len = 0; len < 8 + 20; len++) {
        rtcp_make(p, 1, 1, 28);
        n = len;
        check_verdict(media_srtcp_open(b.rx, p, &n), MEDIA_SRTP_MALFORMED);
    }
    for (unsigned version = 0; version < 4; version++) {
        n = rtp_make(p, 1, 1, 60);
        p[0] = (uint8_t)(version << 6);
        check_verdict(media_srtp_open(b.rx, p, &n),
                      version == 2 ? MEDIA_SRTP_FORGED : MEDIA_SRTP_MALFORMED);
        n = rtcp_make(p, 1, 1, 60);
        p[0] = (uint8_t)(version << 6);
        check_verdict(media_srtcp_open(b.rx, p, &n),
                      version == 2 ? MEDIA_SRTP_FORGED : MEDIA_SRTP_MALFORMED);
    }
    /* CSRCs and extension that do not fit into the packet */
    n = rtp_make(p, 1, 1, 60);
    p[0] |= 13;
    check_verdict(media_srtp_protect(b.tx, p, &n, ROOM), MEDIA_SRTP_MALFORMED);
    n = rtp_make(p, 1, 1, 60);
    p[0] |= 0x10;
    p[14] = 0;
    p[15] = 12;
    check_verdict(media_srtp_protect(b.tx, p, &n, ROOM), MEDIA_SRTP_MALFORMED);
    p[15] = 11;
    check_verdict(media_srtp_protect(b.tx, p, &n, ROOM), MEDIA_SRTP_OK);
    check_verdict(media_srtp_open(b.rx, p, &n), MEDIA_SRTP_OK);
    assert_int_equal(n, 60);
    both_free(&b);
}

static void test_no_room(void **state)
{
    struct both b = both_of(KEYING_AES_128_CM_80);
    uint8_t p[ROOM];
    size_t n = rtp_make(p, 1, 1, 60);

    (void)state;
    for (size_t cap = 0; cap < 70; cap++)
        check_verdict(media_srtp_protect(b.tx, p, &n, cap), MEDIA_SRTP_NO_ROOM);
    check_verdict(media_srtp_protect(b.tx, p, &n, 70), MEDIA_SRTP_OK); /* the index was not spent */
    n = rtcp_make(p, 1, 1, 60);
    for (size_t cap = 0; cap < 74; cap++)
        check_verdict(media_srtcp_protect(b.tx, p, &n, cap), MEDIA_SRTP_NO_ROOM);
    check_verdict(media_srtcp_protect(b.tx, p, &n, 74), MEDIA_SRTP_OK);
    both_free(&b);
}

static void test_without_keys(void **state)
{
    struct both b = both_make(NULL);
    uint8_t p[ROOM];
    size_t n = rtp_make(p, 1, 1, 60);

    (void)state;
    check_verdict(media_srtp_protect(b.tx, p, &n, ROOM), MEDIA_SRTP_NO_KEY);
    check_verdict(media_srtp_open(b.rx, p, &n), MEDIA_SRTP_NO_KEY);
    n = rtcp_make(p, 1, 1, 60);
    check_verdict(media_srtcp_protect(b.tx, p, &n, ROOM), MEDIA_SRTP_NO_KEY);
    check_verdict(media_srtcp_open(b.rx, p, &n), MEDIA_SRTP_NO_KEY);
    media_srtp_drop_old(b.rx);
    both_free(&b);
}

/* ---- session parameters ---- */

/* Session keys change every 2^kdr packets, in order or not. RFC 3711 4.3.1 */
static void test_kdr(void **state)
{
    static const enum keying_suite_id suites[] = {KEYING_AES_128_CM_80, KEYING_AES_128_GCM,
                                                  KEYING_F8_128_80};

    (void)state;
    for (size_t i = 0; i < 2 * ARRAY_LEN(suites); i++) {
        struct keying_keys keys = keys_make(suites[i / 2], 1);
        struct both b;
        uint8_t late[ROOM];
        size_t n = 0;

        keys.kdr = 4;
        msrtp_cipher_allow_mb(i % 2 == 1);
        b = both_make(&keys);
        for (uint32_t seq = 0; seq < 70000; seq += seq % 16 == 14 ? 2 : 1) {
            if (seq > 200 && seq < 65000)
                seq = 65000; /* over the wrap without all that is before it */
            if (seq % 16 == 14)
                n = sealed(&b, late, 1, (uint16_t)(seq + 1));
            check_verdict(passes(&b, 1, (uint16_t)seq), MEDIA_SRTP_OK);
            if (seq % 16 == 0 && seq > 0 && seq != 65008)
                assert_int_equal(media_srtp_count(b.rx, false, MEDIA_SRTP_FORGED), 0);
            if (seq % 16 == 14)
                check_verdict(opened(&b, late, n, 1, (uint16_t)(seq + 1)), MEDIA_SRTP_OK);
            if (seq > 66000)
                break;
        }
        for (int k = 0; k < 40; k++)
            check_verdict(rtcp_passes(&b, 1), MEDIA_SRTP_OK);
        both_free(&b);
    }
}

/* The first packet of the second run is under other keys than kdr 0 would use. */
static void test_kdr_differs(void **state)
{
    struct keying_keys keys = keys_make(KEYING_AES_128_CM_80, 1);
    struct both b;
    uint8_t p[ROOM];
    size_t n;

    (void)state;
    b.rx = msrtp_make(MEDIA_SRTP_RECEIVE, &keys);
    keys.kdr = 4;
    b.tx = msrtp_make(MEDIA_SRTP_SEND, &keys);
    for (uint16_t seq = 0; seq < 16; seq++)
        check_verdict(passes(&b, 1, seq), MEDIA_SRTP_OK);
    n = sealed(&b, p, 1, 16);
    check_verdict(opened(&b, p, n, 1, 16), MEDIA_SRTP_FORGED);
    both_free(&b);
}

/* Unencrypted: what is sent is readable, but authenticated. RFC 4568 6.3.2 */
static void test_unencrypted(void **state)
{
    struct keying_keys keys = keys_make(KEYING_AES_128_CM_80, 1);
    struct both b, strict;
    uint8_t p[ROOM], plain[ROOM];
    size_t n;

    (void)state;
    strict = both_make(&keys);
    keys.unencrypted_rtp = keys.unencrypted_rtcp = true;
    b = both_make(&keys);
    n = sealed(&b, p, 1, 1);
    rtp_make(plain, 1, 1, 60);
    assert_memory_equal(p, plain, 60);
    check_verdict(opened(&b, p, n, 1, 1), MEDIA_SRTP_OK);
    p[20] ^= 1;
    check_verdict(media_srtp_open(b.rx, p, &n), MEDIA_SRTP_FORGED);
    n = rtcp_make(p, 1, 7, 60);
    rtcp_make(plain, 1, 7, 60);
    check_verdict(media_srtcp_protect(b.tx, p, &n, ROOM), MEDIA_SRTP_OK);
    assert_memory_equal(p, plain, 60);
    assert_int_equal(p[60] >> 7, 0); /* the E bit */
    check_verdict(media_srtcp_open(strict.rx, p, &n), MEDIA_SRTP_CLEAR);
    check_verdict(media_srtcp_open(b.rx, p, &n), MEDIA_SRTP_OK);
    n = rtcp_make(p, 1, 7, 60);
    check_verdict(media_srtcp_protect(strict.tx, p, &n, ROOM), MEDIA_SRTP_OK);
    check_verdict(media_srtcp_open(b.rx, p, &n), MEDIA_SRTP_CLEAR);
    assert_int_equal(media_srtp_stats(strict.rx)->n_ssrcs, 0);
    both_free(&b);
    both_free(&strict);
}

/* Unauthenticated: no tag on RTP, one on RTCP all the same. RFC 4568 6.3.3 */
static void test_unauthenticated(void **state)
{
    struct keying_keys keys = keys_make(KEYING_AES_128_CM_80, 1);
    struct both b;
    uint8_t p[ROOM];
    size_t n;

    (void)state;
    keys.unauthenticated_rtp = true;
    b = both_make(&keys);
    n = sealed(&b, p, 1, 1);
    assert_int_equal(n, 60);
    check_verdict(opened(&b, p, n, 1, 1), MEDIA_SRTP_OK);
    n = rtcp_make(p, 1, 7, 60);
    check_verdict(media_srtcp_protect(b.tx, p, &n, ROOM), MEDIA_SRTP_OK);
    assert_int_equal(n, 74);
    p[30] ^= 1;
    check_verdict(media_srtcp_open(b.rx, p, &n), MEDIA_SRTP_FORGED);
    both_free(&b);
}

/* SRTCP's tag has 80 bits with the _32 suites; peers that send 32 can be told or found out. */
static void test_rtcp_tag(void **state)
{
    struct keying_keys keys = keys_make(KEYING_AES_128_CM_32, 1);
    struct both right = both_make(&keys), quirk, found;
    uint8_t p[ROOM];
    size_t n = rtcp_make(p, 1, 7, 60);

    (void)state;
    check_verdict(media_srtcp_protect(right.tx, p, &n, ROOM), MEDIA_SRTP_OK);
    assert_int_equal(n, 60 + 4 + 10);
    keys.rtcp_tag = KEYING_RTCP_TAG_32;
    quirk = both_make(&keys);
    keys.rtcp_tag = KEYING_RTCP_TAG_DETECT;
    found = both_make(&keys);
    n = rtcp_make(p, 1, 7, 60);
    check_verdict(media_srtcp_protect(quirk.tx, p, &n, ROOM), MEDIA_SRTP_OK);
    assert_int_equal(n, 60 + 4 + 4);
    check_verdict(media_srtcp_open(right.rx, p, &n), MEDIA_SRTP_FORGED);
    assert_int_equal(media_srtp_stats(found.rx)->rtcp_tag_seen, 0);
    check_verdict(media_srtcp_open(found.rx, p, &n), MEDIA_SRTP_OK);
    assert_int_equal(media_srtp_stats(found.rx)->rtcp_tag_seen, 4);
    /* Once it is known, the other length is forged. */
    check_verdict(rtcp_passes(&(struct both){right.tx, found.rx}, 2), MEDIA_SRTP_FORGED);
    check_verdict(rtcp_passes(&(struct both){right.tx, quirk.rx}, 2), MEDIA_SRTP_FORGED);
    check_verdict(rtcp_passes(&quirk, 2), MEDIA_SRTP_OK);
    media_srtp_set_rtcp_tag(right.tx, 4);
    check_verdict(rtcp_passes(&(struct both){right.tx, quirk.rx}, 3), MEDIA_SRTP_OK);
    media_srtp_set_rtcp_tag(right.tx, 10);
    check_verdict(rtcp_passes(&right, 3), MEDIA_SRTP_OK);
    both_free(&found);
    found = both_make(&keys);
    check_verdict(rtcp_passes(&(struct both){right.tx, found.rx}, 4), MEDIA_SRTP_OK);
    assert_int_equal(media_srtp_stats(found.rx)->rtcp_tag_seen, 10);
    both_free(&right);
    both_free(&quirk);
    both_free(&found);
    keys = keys_make(KEYING_AES_128_CM_80, 1); /* nothing to choose */
    keys.rtcp_tag = KEYING_RTCP_TAG_32;
    right = both_make(&keys);
    media_srtp_set_rtcp_tag(right.tx, 4);
    n = rtcp_make(p, 1, 7, 60);
    check_verdict(media_srtcp_protect(right.tx, p, &n, ROOM), MEDIA_SRTP_OK);
    assert_int_equal(n, 74);
    both_free(&right);
}

/* ---- what cannot be installed ---- */

static void test_invalid_keys(void **state)
{
    struct media_srtp *s = msrtp_make(MEDIA_SRTP_RECEIVE, NULL);
    struct keying_keys good = keys_with_mkis(KEYING_AES_128_CM_80, 2, 0), keys;

    (void)state;
    keys = good;
    keys.suite = NULL;
    check_err(media_srtp_install(s, &keys), ERR_INVALID);
    keys = good;
    keys.n = 0;
    check_err(media_srtp_install(s, &keys), ERR_INVALID);
    keys.n = LIMIT_SRTP_KEYS + 1;
    check_err(media_srtp_install(s, &keys), ERR_INVALID);
    keys = good;
    keys.key[1].mki_len = 1; /* lengths differ */
    check_err(media_srtp_install(s, &keys), ERR_INVALID);
    keys = good;
    keys.key[0].mki_len = keys.key[1].mki_len = 0; /* two keys without MKI */
    check_err(media_srtp_install(s, &keys), ERR_INVALID);
    keys = good;
    memcpy(keys.key[1].mki, keys.key[0].mki, 2);
    check_err(media_srtp_install(s, &keys), ERR_INVALID);
    keys = good;
    memcpy(keys.key[1].key, keys.key[0].key, 16);
    memcpy(keys.key[1].salt, keys.key[0].salt, 14);
    check_err(media_srtp_install(s, &keys), ERR_INVALID);
    keys = good;
    keys.key[0].max_rtp = (1ull << 48) + 1;
    check_err(media_srtp_install(s, &keys), ERR_INVALID);
    keys = good;
    keys.kdr = 25;
    check_err(media_srtp_install(s, &keys), ERR_INVALID);
    keys = keys_make(KEYING_AES_128_GCM, 1);
    keys.unauthenticated_rtp = true;
    check_err(media_srtp_install(s, &keys), ERR_INVALID);
    keys = keys_make(KEYING_AES_128_GCM, 1);
    keys.unencrypted_rtp = true;
    check_err(media_srtp_install(s, &keys), ERR_INVALID);
    assert_int_equal(media_srtp_stats(s)->n_keys, 0);
    check_err(media_srtp_install(s, &good), 0);
    media_srtp_free(s);
}

static void test_no_memory(void **state)
{
    struct keying_keys keys = keys_with_mkis(KEYING_AES_128_GCM, 3, 0),
                       next = keys_make(KEYING_AES_128_CM_80, 99);

    (void)state;
    next.roc = KEYING_ROC_PROBE;
    OOM_SWEEP(100, {
        struct media_srtp *s = NULL;
        uint8_t p[ROOM];
        size_t n = rtp_make(p, 1, 1, 60);
        int err = media_srtp_new(&s, MEDIA_SRTP_SEND);

        if (err == 0)
            err = media_srtp_install(s, &keys);
        if (err == 0) {
            enum media_srtp_verdict v = media_srtp_protect(s, p, &n, ROOM);

            assert_true(v == MEDIA_SRTP_OK || v == MEDIA_SRTP_FAILED);
            n = rtcp_make(p, 1, 1, 60);
            v = media_srtcp_protect(s, p, &n, ROOM);
            assert_true(v == MEDIA_SRTP_OK || v == MEDIA_SRTP_FAILED);
            err = media_srtp_install(s, &next);
            assert_true(err == 0 || err == ERR_NOMEM || err == ERR_CRYPTO);
        }
        media_srtp_free(s);
    });
}

static void test_suites(void **state)
{
    (void)state;
    for (unsigned i = 0; i < KEYING_SUITES; i++) {
        const struct keying_suite *suite = keying_suite_get(i);

        assert_int_equal(suite->id, i);
        assert_ptr_equal(keying_suite_find(str_z(suite->name)), suite);
        assert_ptr_equal(keying_suite_find_parts(suite->cipher, suite->key_len, suite->rtp_tag_len),
                         suite);
        if (suite->profile != 0)
            assert_ptr_equal(keying_suite_find_profile(suite->profile), suite);
        assert_true(suite->rtcp_tag_len >= 10);
    }
    assert_ptr_equal(keying_suite_find(STR("AES_CM_256_HMAC_SHA1_80")),
                     keying_suite_get(KEYING_AES_256_CM_80));
    assert_null(keying_suite_find(STR("aes_cm_128_hmac_sha1_80")));
    assert_null(keying_suite_find_profile(0));
    assert_null(keying_suite_find_profile(9));
    assert_false(keying_suite_is_full(keying_suite_get(KEYING_AES_128_CM_32)));
    assert_true(keying_suite_is_full(keying_suite_get(KEYING_F8_128_80)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),  cmocka_unit_test(test_f8_packets),
        cmocka_unit_test(test_forged),      cmocka_unit_test(test_each_bit),
        cmocka_unit_test(test_replay),      cmocka_unit_test(test_window),
        cmocka_unit_test(test_wrap),        cmocka_unit_test(test_lost_start),
        cmocka_unit_test(test_ssrc_limit),  cmocka_unit_test(test_malformed),
        cmocka_unit_test(test_no_room),     cmocka_unit_test(test_without_keys),
        cmocka_unit_test(test_kdr),         cmocka_unit_test(test_kdr_differs),
        cmocka_unit_test(test_unencrypted), cmocka_unit_test(test_unauthenticated),
        cmocka_unit_test(test_rtcp_tag),    cmocka_unit_test(test_invalid_keys),
        cmocka_unit_test(test_no_memory),   cmocka_unit_test(test_suites),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

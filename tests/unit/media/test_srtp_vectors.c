/* The test vectors of RFC 3711 appendix B, RFC 6188 7, RFC 7714 16 and 17, by OpenSSL and, where it
 * is built in, by ipsec-mb. */
#include "base/mem.h"
#include "srtp_fixture.h"

static int with_openssl(void **state)
{
    (void)state;
    msrtp_cipher_allow_mb(false);
    return 0;
}

static int with_mb(void **state)
{
    (void)state;
    msrtp_cipher_allow_mb(true);
    return 0;
}

/* RFC 3711 B.1 */
static void test_f8(void **state)
{
    struct msrtp_cipher c = {.kind = KEYING_NULL};
    uint8_t key[16], salt[4], header[12], iv[16], payload[39];
    struct keying_suite suite = *keying_suite_get(KEYING_F8_128_80);

    (void)state;
    unhex("234829008467be186c3de14aae72d62c", key, sizeof(key));
    unhex("32f2870d", salt, sizeof(salt));
    unhex("806e5cba50681de55c621599", header, sizeof(header));
    assert_int_equal(
        unhex("70736575646f72616e646f6d6e65737320697320746865206e6578742062657374207468696e67",
              payload, sizeof(payload)),
        39);
    suite.salt_len = 4; /* the vector's */
    check_err(msrtp_cipher_set(&c, &suite, true, key, salt), 0);
    memcpy(iv, header, 12);
    iv[0] = 0;
    msrtp_put32(iv + 12, 0xd462564a);
    assert_true(msrtp_cipher_xor(&c, iv, payload, sizeof(payload)));
    check_hex(payload, sizeof(payload),
              "019ce7a26e7854014a6366aa95d4eefd 1ad4172a14f9faf455b7f1d4b62bd08f 562c0eef7c4802");
    msrtp_cipher_done(&c);
}

/* The keystream of 65282 blocks: the first three and the last three are printed. */
static void check_cm(enum keying_suite_id id, const char *key_hex, const char *first,
                     const char *last)
{
    size_t n = 1044512;
    uint8_t *stream = mem_zalloc(n), key[32], iv[16];
    _Alignas(SRTP_LINE) uint8_t room[SRTP_MB_MAX];
    struct msrtp_cipher c = {.kind = KEYING_NULL};

    assert_non_null(stream);
    unhex(key_hex, key, sizeof(key));
    unhex("f0f1f2f3f4f5f6f7f8f9fafbfcfd0000", iv, sizeof(iv));
    if (msrtp_cipher_room(keying_suite_get(id), SRTP_ROOM_SCHEDULE) > 0)
        msrtp_cipher_place(&c, keying_suite_get(id), SRTP_ROOM_SCHEDULE, room);
    check_err(msrtp_cipher_set(&c, keying_suite_get(id), true, key, iv), 0);
    assert_true(msrtp_cipher_xor(&c, iv, stream, n));
    check_hex(stream, 48, first);
    check_hex(stream + n - 48, 48, last);
    msrtp_cipher_done(&c);
    mem_free(stream);
}

/* RFC 3711 B.2, RFC 6188 7.1 and 7.3 */
static void test_cm(void **state)
{
    (void)state;
    check_cm(KEYING_AES_128_CM_80, "2b7e151628aed2a6abf7158809cf4f3c",
             "e03ead0935c95e80e166b16dd92b4eb4 d23513162b02d0f72a43a2fe4a5f97ab "
             "41e95b3bb0a2e8dd477901e4fca894c0",
             "ec8cdf7398607cb0f2d21675ea9ea1e4 362b7c3c6773516318a077d7fc5073ae "
             "6a2cc3787889374fbeb4c81b17ba6c44");
    check_cm(KEYING_AES_256_CM_80,
             "57f82fe3613fd170a85ec93c40b1f092 2ec4cb0dc025b58272147cc438944a98",
             "92bdd28a93c3f52511c677d08b5515a4 9da71b2378a854f67050756ded165bac "
             "63c4868b7096d88421b563b8c94c9a31",
             "cea518c90fd91ced9cbb18c078a54711 3dbc4814f4da5f00a08772b63c6a046d "
             "6eb246913062a16891433e97dd01a57f");
    check_cm(KEYING_AES_192_CM_80, "eab234764e517b2d3d160d587d8c8621 9740f65f99b6bcf7",
             "35096cba4610028dc1b57503804ce37c 5de986291dcce161d5165ec4568f5c9a "
             "474a40c77894bc17180202272a4c264d",
             "d108d1a31a00bad6367ec23eb044b415 c8f57129fdeb970b59f917b257662d4c "
             "a5dab625811034e8cebdfeb6dc158dd3");
}

static void check_kdf(const char *master, const char *salt_hex, const char *enc, const char *salt,
                      const char *auth)
{
    uint8_t key[32], master_salt[14], out[94];
    unsigned n_key = (unsigned)unhex(master, key, sizeof(key));
    EVP_CIPHER_CTX *prf = msrtp_kdf_new(key, n_key);
    size_t n_auth = unhex(auth, out, sizeof(out));

    assert_non_null(prf);
    unhex(salt_hex, master_salt, sizeof(master_salt));
    assert_true(msrtp_kdf(prf, master_salt, 14, SRTP_LABEL_KEY, 0, out, n_key));
    check_hex(out, n_key, enc);
    assert_true(msrtp_kdf(prf, master_salt, 14, SRTP_LABEL_SALT, 0, out, 14));
    check_hex(out, 14, salt);
    assert_true(msrtp_kdf(prf, master_salt, 14, SRTP_LABEL_AUTH, 0, out, n_auth));
    check_hex(out, n_auth, auth);
    EVP_CIPHER_CTX_free(prf);
}

/* RFC 3711 B.3, RFC 6188 7.2 and 7.4 */
static void test_kdf(void **state)
{
    (void)state;
    check_kdf("e1f97a0d3e018be0d64fa32c06de4139", "0ec675ad498afeebb6960b3aabe6",
              "c61e7a93744f39ee10734afe3ff7a087", "30cbbc08863d8c85d49db34a9ae1",
              "cebe321f6ff7716b6fd4ab49af256a15 6d38baa48f0a0acf3c34e2359e6cdbce "
              "e049646c43d9327ad175578ef7227098"
              "6371c10c9a369ac2f94a8c5fbcdddc25 6d6e919a48b610ef17c2041e47403576 "
              "6b68642c59bbfc2f34db60dbdfb2");
    check_kdf("f0f04914b513f2763a1b1fa130f10e29 98f6f6e43e4309d1e622a0e332b9f1b6",
              "3b04803de51ee7c96423ab5b78d2",
              "5ba1064e30ec51613cad926c5a28ef73 1ec7fb397f70a960653caf06554cd8c4",
              "fa31791685ca444a9e07c6c64e93", "fd9c32d39ed5fbb5a9dc96b30818454d 1313dc05");
    check_kdf("73edc66c4fa15776fb57f9505c171365 50ffda71f3e8e5f1", "c8522f3acd4ce86d5add78edbb11",
              "31874736a8f1143870c26e4857d8a5b2 c4a354407faadabb", "2372b82d639b6d8503a47adc0a6c",
              "355b10973cd95b9eacf4061c7e1a7151 e7cfbfcb");
}

/* The label and r are XORed into different bytes of the salt: RFC 3711 4.3.1. */
static void test_kdf_rate(void **state)
{
    uint8_t key[16] = {1}, salt[14] = {0}, other[14] = {[7] = 5, 1, 2, 3, 4, 5, 6}, a[16], b[16];
    EVP_CIPHER_CTX *prf = msrtp_kdf_new(key, 16);

    (void)state;
    assert_non_null(prf);
    assert_true(msrtp_kdf(prf, salt, 14, 5, 0x010203040506, a, 16));
    assert_true(msrtp_kdf(prf, other, 14, 0, 0, b, 16));
    assert_memory_equal(a, b, 16);
    EVP_CIPHER_CTX_free(prf);
}

/* RFC 2202 3: test cases 1, 2 and 6's shorter relatives, with the message in two parts. */
static void test_hmac(void **state)
{
    uint8_t key[20], mac[20];
    struct msrtp_hmac h;

    (void)state;
    memset(key, 0x0b, sizeof(key));
    msrtp_hmac_set(&h, key, 20);
    msrtp_hmac(&h, (const uint8_t *)"Hi T", 4, (const uint8_t *)"here", 4, mac);
    check_hex(mac, 20, "b617318655057264e28bc0b6fb378c8ef146be00");
    msrtp_hmac_set(&h, (const uint8_t *)"Jefe", 4);
    msrtp_hmac(&h, (const uint8_t *)"what do ya want for nothing?", 28, NULL, 0, mac);
    check_hex(mac, 20, "effcdf6ae5eb2fa2d27416d5f184df9c259a7c79");
}

/* Every length around the block size, against OpenSSL's own HMAC. */
static void test_hmac_lengths(void **state)
{
    uint8_t key[20] = {9, 8, 7}, data[300], ours[20], theirs[20];
    struct msrtp_hmac h;
    size_t n_theirs = 0;

    (void)state;
    for (size_t i = 0; i < sizeof(data); i++)
        data[i] = (uint8_t)(i * 31);
    msrtp_hmac_set(&h, key, sizeof(key));
    for (size_t n = 0; n + 8 <= sizeof(data); n++) {
        for (size_t more = 0; more <= 8; more += 4) {
            msrtp_hmac(&h, data, n, data + n, more, ours);
            assert_non_null(EVP_Q_mac(NULL, "HMAC", NULL, "SHA1", NULL, key, sizeof(key), data,
                                      n + more, theirs, sizeof(theirs), &n_theirs));
            assert_memory_equal(ours, theirs, 20);
        }
    }
}

/* ---- RFC 7714: its keys are session keys, so they replace the derived ones ---- */

static struct media_srtp *gcm_make(enum keying_suite_id id, enum media_srtp_dir dir)
{
    struct keying_keys keys = keys_make(id, 1);
    struct media_srtp *s = msrtp_make(dir, &keys);
    struct msrtp_key *key = s->keys[0];
    struct msrtp_session *both[2] = {msrtp_key_rtp(s, key, 0), msrtp_key_rtcp(s, key, 0)};
    uint8_t bytes[32];

    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (uint8_t)i;
    for (size_t i = 0; i < 2; i++) {
        assert_non_null(both[i]);
        memset(both[i]->salt, 0, sizeof(both[i]->salt));
        memcpy(both[i]->salt, "Quid pro quo", 12);
        check_err(msrtp_cipher_set(&both[i]->cipher, key->suite, dir == MEDIA_SRTP_SEND, bytes,
                                   both[i]->salt),
                  0);
    }
    return s;
}

static void check_gcm(enum keying_suite_id id, bool is_rtcp, bool is_clear, const char *plain,
                      const char *sealed)
{
    struct media_srtp *tx = gcm_make(id, MEDIA_SRTP_SEND), *rx = gcm_make(id, MEDIA_SRTP_RECEIVE);
    struct msrtp_ssrc *ssrc;
    uint8_t p[ROOM];
    size_t n = unhex(plain, p, sizeof(p));

    if (is_rtcp) {
        tx->keys[0]->encrypts_rtcp = rx->keys[0]->encrypts_rtcp = !is_clear;
        check_verdict(msrtp_epoch_get(tx, tx->keys[0]->epoch, 0x4d617273, &ssrc), MEDIA_SRTP_OK);
        ssrc->rtcp_index = 0x5d4;
        check_verdict(media_srtcp_protect(tx, p, &n, sizeof(p)), MEDIA_SRTP_OK);
        check_hex(p, n, sealed);
        check_verdict(media_srtcp_open(rx, p, &n), MEDIA_SRTP_OK);
    } else {
        check_verdict(media_srtp_protect(tx, p, &n, sizeof(p)), MEDIA_SRTP_OK);
        check_hex(p, n, sealed);
        check_verdict(media_srtp_open(rx, p, &n), MEDIA_SRTP_OK);
    }
    check_hex(p, n, plain);
    media_srtp_free(tx);
    media_srtp_free(rx);
}

#define RTP_PLAIN                                                                                  \
    "8040f17b 8041f8d3 5501a0b2 47616c6c 69612065 7374206f 6d6e6973 20646976 69736120 696e2070 "   \
    "61727465 73207472 6573"
#define RTCP_PLAIN                                                                                 \
    "81c8000d 4d617273 4e545031 4e545032 52545020 0000042a 0000e930 4c756e61 deadbeef deadbeef "   \
    "deadbeef deadbeef "                                                                           \
    "deadbeef"

static void test_gcm(void **state)
{
    (void)state;
    /* 16.1.1, 16.1.2 */
    check_gcm(KEYING_AES_128_GCM, false, false, RTP_PLAIN,
              "8040f17b 8041f8d3 5501a0b2 f24de3a3 fb34de6c acba861c 9d7e4bca be633bd5 0d294e6f "
              "42a5f47a 51c7d19b"
              "36de3adf 8833899d 7f27beb1 6a9152cf 765ee439 0cce");
    /* 16.2.1, 16.2.2 */
    check_gcm(KEYING_AES_256_GCM, false, false, RTP_PLAIN,
              "8040f17b 8041f8d3 5501a0b2 32b1de78 a822fe12 ef9f78fa 332e33aa b1801238 9a58e2f3 "
              "b50b2a02 76ffae0f"
              "1ba63799 b87b7aa3 db36dfff d6b0f9bb 7878d7a7 6c13");
    /* 17.1 */
    check_gcm(KEYING_AES_128_GCM, true, false, RTCP_PLAIN,
              "81c8000d 4d617273 63e94885 dcdab67c a727d766 2f6b7e99 7ff5c0f7 6c06f32d c676a5f1 "
              "730d6fda 4ce09b46"
              "86303ded 0bb9275b c84aa458 96cf4d2f c5abf872 45d9eade 800005d4");
    /* 17.2 */
    check_gcm(KEYING_AES_256_GCM, true, false, RTCP_PLAIN,
              "81c8000d 4d617273 d50ae4d1 f5ce5d30 4ba297e4 7d470c28 2c3ece5d bffe0a50 a2eaa5c1 "
              "110555be 8415f658"
              "c61de047 6f1b6fad 1d1eb30c 4446839f 57ff6f6c b26ac3be 800005d4");
    /* 17.3 */
    check_gcm(KEYING_AES_128_GCM, true, true, RTCP_PLAIN,
              RTCP_PLAIN "841dd968 3dd78ec9 2ae58790 125f62b3 000005d4");
    /* 17.4 */
    check_gcm(KEYING_AES_256_GCM, true, true, RTCP_PLAIN,
              RTCP_PLAIN "91db4afb feee5a97 8fab4393 ed2615fe 000005d4");
}

/* 16.1.3, 16.2.3: a packet that is authenticated only. SRTP never sends one with GCM (8.2), so the
 * cipher is asked. */
static void test_gcm_tag_only(void **state)
{
    static const char *const tags[2] = {"22493f82 d2bce397 e9d79e3b 19aa4216",
                                        "a866d591 0f887463 067ceefe c45215d4"};
    uint8_t p[ROOM], tag[16], iv[12];
    size_t n = unhex(RTP_PLAIN, p, sizeof(p));

    (void)state;
    for (int i = 0; i < 2; i++) {
        struct media_srtp *s =
            gcm_make(i == 0 ? KEYING_AES_128_GCM : KEYING_AES_256_GCM, MEDIA_SRTP_SEND);
        struct msrtp_session *k = msrtp_key_rtp(s, s->keys[0], 0);

        msrtp_iv_gcm(k, 0x5501a0b2, 0xf17b, iv);
        assert_true(msrtp_cipher_seal(&k->cipher, iv, p, n, p + n, 0, tag));
        check_hex(tag, 16, tags[i]);
        media_srtp_free(s);
    }
}

/* If it is built in it must be what is tested here. */
static void test_mb_is_used(void **state)
{
    struct keying_keys keys = keys_make(KEYING_AES_128_GCM, 1);
    struct media_srtp *s = msrtp_make(MEDIA_SRTP_SEND, &keys);
    const struct msrtp_session *rtcp = msrtp_key_rtcp(s, s->keys[0], 0);

    (void)state;
    assert_non_null(rtcp);
    if (msrtp_mb_is_there()) {
        assert_non_null(s->keys[0]->rtp[0]->cipher.mb);
        assert_false(s->keys[0]->rtp[0]->cipher.is_key);
        assert_true(rtcp->cipher.is_key);
    } else {
        assert_non_null(s->keys[0]->rtp[0]->cipher.evp);
    }
    media_srtp_free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_f8),
        cmocka_unit_test_setup(test_cm, with_openssl),
        cmocka_unit_test_setup(test_gcm, with_openssl),
        cmocka_unit_test_setup(test_gcm_tag_only, with_openssl),
        cmocka_unit_test_setup(test_mb_is_used, with_mb),
        cmocka_unit_test_setup(test_cm, with_mb),
        cmocka_unit_test_setup(test_gcm, with_mb),
        cmocka_unit_test_setup(test_gcm_tag_only, with_mb),
        cmocka_unit_test(test_kdf),
        cmocka_unit_test(test_kdf_rate),
        cmocka_unit_test(test_hmac),
        cmocka_unit_test(test_hmac_lengths),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Ours against libsrtp2: random packets, both ways, with reordering, losses, wrapping sequence
 * numbers, several sources, replays and forgeries; with and without MKI. Both must produce the same
 * bytes and come to the same verdict. (RFC 3711, RFC 6188, RFC 7714; libsrtp2 has no F8 and no key
 * derivation rate.) */
#include "base/rand.h"
#include "srtp_fixture.h"
#include <srtp2/srtp.h>
#include <stdio.h>

struct pair {
    struct media_srtp *tx, *rx;
    srtp_t their_tx, their_rx;
    bool has_mki;
};

struct variant {
    const char *name;
    enum keying_suite_id suite;
    void (*set)(srtp_crypto_policy_t *p);
    bool unencrypted, unauthenticated, clear_rtcp;
};

static const struct variant variants[] = {
    {"CM-128-80", KEYING_AES_128_CM_80, srtp_crypto_policy_set_rtp_default, false, false, false},
    {"CM-128-32", KEYING_AES_128_CM_32, srtp_crypto_policy_set_aes_cm_128_hmac_sha1_32, false,
     false, false},
    {"CM-256-80", KEYING_AES_256_CM_80, srtp_crypto_policy_set_aes_cm_256_hmac_sha1_80, false,
     false, false},
    {"CM-256-32", KEYING_AES_256_CM_32, srtp_crypto_policy_set_aes_cm_256_hmac_sha1_32, false,
     false, false},
    {"GCM-128", KEYING_AES_128_GCM, srtp_crypto_policy_set_aes_gcm_128_16_auth, false, false,
     false},
    {"GCM-256", KEYING_AES_256_GCM, srtp_crypto_policy_set_aes_gcm_256_16_auth, false, false,
     false},
    {"NULL-80", KEYING_NULL_80, srtp_crypto_policy_set_null_cipher_hmac_sha1_80, false, false,
     true},
    {"CM-128-80 unencrypted", KEYING_AES_128_CM_80, srtp_crypto_policy_set_rtp_default, true, false,
     true},
    {"CM-128 unauthenticated", KEYING_AES_128_CM_80, srtp_crypto_policy_set_aes_cm_128_null_auth,
     false, true, false},
    {"GCM-128 clear RTCP", KEYING_AES_128_GCM, srtp_crypto_policy_set_aes_gcm_128_16_auth, false,
     false, true},
};

static srtp_t their_make(const struct variant *v, const struct keying_keys *keys,
                         srtp_ssrc_type_t type)
{
    const struct keying_key *from = &keys->key[0];
    unsigned char bytes[KEYING_MASTER_KEY_MAX + KEYING_MASTER_SALT_MAX], mki[KEYING_MKI_MAX];
    srtp_master_key_t key = {.key = bytes, .mki_id = mki, .mki_size = from->mki_len};
    srtp_master_key_t *list[1] = {&key};
    srtp_policy_t policy;
    srtp_t s = NULL;

    memset(&policy, 0, sizeof(policy));
    memcpy(bytes, from->key, keys->suite->key_len);
    memcpy(bytes + keys->suite->key_len, from->salt, keys->suite->salt_len);
    memcpy(mki, from->mki, from->mki_len);
    v->set(&policy.rtp);
    v->set(&policy.rtcp);
    policy.rtcp.auth_tag_len = keys->suite->rtcp_tag_len;
    if (v->unauthenticated)
        srtp_crypto_policy_set_rtcp_default(&policy.rtcp);
    if (v->unencrypted)
        policy.rtp.sec_serv = sec_serv_auth;
    if (v->clear_rtcp)
        policy.rtcp.sec_serv = sec_serv_auth;
    policy.ssrc.type = type;
    policy.window_size = 448;
    policy.keys = list;
    policy.num_master_keys = 1;
    assert_int_equal(srtp_create(&s, &policy), srtp_err_status_ok);
    return s;
}

static struct pair pair_make(const struct variant *v, uint8_t seed, bool has_mki)
{
    struct keying_keys keys = keys_make(v->suite, seed);
    struct pair pair = {.has_mki = has_mki};

    if (has_mki) {
        keys.key[0].mki_len = 4;
        memcpy(keys.key[0].mki, "\1\2\3\4", 4);
    }
    keys.unencrypted_rtp = v->unencrypted;
    keys.unauthenticated_rtp = v->unauthenticated;
    keys.unencrypted_rtcp = v->clear_rtcp && keys.suite->cipher != KEYING_NULL;
    pair.tx = msrtp_make(MEDIA_SRTP_SEND, &keys);
    pair.rx = msrtp_make(MEDIA_SRTP_RECEIVE, &keys);
    pair.their_tx = their_make(v, &keys, ssrc_any_outbound);
    pair.their_rx = their_make(v, &keys, ssrc_any_inbound);
    return pair;
}

static void pair_free(struct pair *pair)
{
    media_srtp_free(pair->tx);
    media_srtp_free(pair->rx);
    srtp_dealloc(pair->their_tx);
    srtp_dealloc(pair->their_rx);
}

static srtp_err_status_t their_protect(struct pair *pair, bool is_rtcp, uint8_t *p, size_t *n)
{
    int len = (int)*n;
    srtp_err_status_t status =
        is_rtcp ? srtp_protect_rtcp_mki(pair->their_tx, p, &len, pair->has_mki, 0)
                : srtp_protect_mki(pair->their_tx, p, &len, pair->has_mki, 0);

    *n = (size_t)len;
    return status;
}

static srtp_err_status_t their_open(struct pair *pair, bool is_rtcp, uint8_t *p, size_t *n)
{
    int len = (int)*n;
    srtp_err_status_t status = is_rtcp
                                   ? srtp_unprotect_rtcp_mki(pair->their_rx, p, &len, pair->has_mki)
                                   : srtp_unprotect_mki(pair->their_rx, p, &len, pair->has_mki);

    *n = (size_t)len;
    return status;
}

/* A random but well-formed RTP packet: CSRCs, extension, padding bit, any length of payload. */
static size_t random_rtp(struct rand_source *r, uint8_t *p, uint32_t ssrc, uint16_t seq)
{
    size_t payload = rand_u64(r) % 4 == 0 ? rand_u64(r) % 1300 : rand_u64(r) % 200;
    size_t n = 12;

    rand_fill(r, p, ROOM - MEDIA_SRTP_GROWTH);
    p[0] = (uint8_t)(0x80 | (p[0] & 0x3f));
    if (rand_u64(r) % 2)
        p[0] &= 0xe0;
    p[2] = (uint8_t)(seq >> 8);
    p[3] = (uint8_t)seq;
    msrtp_put32(p + 8, ssrc);
    n += 4 * (size_t)(p[0] & 15);
    if (p[0] & 0x10) {
        p[n + 2] = 0;
        p[n + 3] &= 15;
        n += 4 + 4 * (size_t)p[n + 3];
    }
    return n + payload;
}

static void check_same_bytes(const struct variant *v, bool is_rtcp, const uint8_t *ours,
                             size_t n_ours, const uint8_t *theirs, size_t n_theirs)
{
    if (n_ours != n_theirs || memcmp(ours, theirs, n_ours) != 0)
        fail_msg("%s: %s of %zu and %zu bytes differs", v->name, is_rtcp ? "SRTCP" : "SRTP", n_ours,
                 n_theirs);
}

/* libsrtp2 counts SRTCP packets from 1, RFC 3711 3.4 from 0. */
static void begin_at_one(struct media_srtp *s, uint32_t ssrc_id)
{
    struct msrtp_ssrc *ssrc;

    check_verdict(msrtp_epoch_get(s, s->keys[0]->epoch, ssrc_id, &ssrc), MEDIA_SRTP_OK);
    if (ssrc->rtcp_index == 0)
        ssrc->rtcp_index = 1;
}

/* The same packet to both senders; the results must be equal. One is then opened by the other's
 * receiver each. */
static void cross_one(struct pair *pair, const struct variant *v, bool is_rtcp,
                      const uint8_t *plain, size_t n)
{
    uint8_t ours[ROOM], theirs[ROOM];
    size_t n_ours = n, n_theirs = n;

    memcpy(ours, plain, n);
    memcpy(theirs, plain, n);
    if (is_rtcp)
        begin_at_one(pair->tx, msrtp_get32(plain + 4));
    check_verdict(is_rtcp ? media_srtcp_protect(pair->tx, ours, &n_ours, ROOM)
                          : media_srtp_protect(pair->tx, ours, &n_ours, ROOM),
                  MEDIA_SRTP_OK);
    assert_int_equal(their_protect(pair, is_rtcp, theirs, &n_theirs), srtp_err_status_ok);
    check_same_bytes(v, is_rtcp, ours, n_ours, theirs, n_theirs);
    check_verdict(is_rtcp ? media_srtcp_open(pair->rx, theirs, &n_theirs)
                          : media_srtp_open(pair->rx, theirs, &n_theirs),
                  MEDIA_SRTP_OK);
    check_same_bytes(v, is_rtcp, theirs, n_theirs, plain, n);
    /* libsrtp2 before 2.7.0 looks for SRTCP's MKI where it would be with SRTP's tag (its issue
     * 733). */
    if (is_rtcp && pair->has_mki && pair->tx->keys[0]->rtcp_tag != pair->tx->keys[0]->rtp_tag)
        return;
    assert_int_equal(their_open(pair, is_rtcp, ours, &n_ours), srtp_err_status_ok);
    check_same_bytes(v, is_rtcp, ours, n_ours, plain, n);
}

static void cross(const struct variant *v, bool has_mki)
{
    struct pair pair = pair_make(v, (uint8_t)(v->suite * 16 + 1), has_mki);
    uint8_t p[ROOM];
    uint16_t seq[3] = {0, 1000, 65000};
    struct rand_source r;

    rand_fixed_init(&r, 1000 + v->suite);
    for (int i = 0; i < 3000; i++) {
        unsigned who = (unsigned)(rand_u64(&r) % 3);

        if (rand_u64(&r) % 8 == 0) {
            cross_one(&pair, v, true, p,
                      rtcp_make(p, 0xabcd0000 + who, (uint8_t)i, 8 + 4 * (rand_u64(&r) % 100)));
        } else {
            /* now and then a jump, so that counters roll over often */
            seq[who] =
                (uint16_t)(seq[who] + 1 + (rand_u64(&r) % 16 == 0 ? rand_u64(&r) % 30000 : 0));
            cross_one(&pair, v, false, p, random_rtp(&r, p, 0xabcd0000 + who, seq[who]));
        }
    }
    pair_free(&pair);
}

static void test_same_bytes(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(variants); i++) {
        for (int backend = 0; backend < 2; backend++) {
            msrtp_cipher_allow_mb(backend == 1);
            cross(&variants[i], false);
            cross(&variants[i], true);
        }
    }
}

/* ---- receivers: the same stream, mistreated, to both ---- */

#define KEPT 1024 /* packets that may still come late or again */

struct kept {
    size_t n;
    bool is_rtcp;
    uint8_t p[ROOM];
};

static void receive_both(struct pair *pair, const struct variant *v, const struct kept *packet,
                         bool is_damaged)
{
    uint8_t ours[ROOM], theirs[ROOM];
    size_t n_ours = packet->n, n_theirs = packet->n;
    enum media_srtp_verdict verdict;
    srtp_err_status_t status;

    memcpy(ours, packet->p, packet->n);
    memcpy(theirs, packet->p, packet->n);
    verdict = packet->is_rtcp ? media_srtcp_open(pair->rx, ours, &n_ours)
                              : media_srtp_open(pair->rx, ours, &n_ours);
    status = their_open(pair, packet->is_rtcp, theirs, &n_theirs);
    if ((verdict == MEDIA_SRTP_OK) != (status == srtp_err_status_ok))
        fail_msg("%s: %s of ours, %d of theirs", v->name, media_srtp_verdict_text(verdict),
                 (int)status);
    if (verdict == MEDIA_SRTP_OK) {
        assert_false(is_damaged);
        check_same_bytes(v, packet->is_rtcp, ours, n_ours, theirs, n_theirs);
    } else if (!is_damaged) {
        /* an authentic packet that is refused was there before */
        assert_true(verdict == MEDIA_SRTP_REPLAYED || verdict == MEDIA_SRTP_OLD);
        assert_true(status == srtp_err_status_replay_fail || status == srtp_err_status_replay_old);
    }
}

static void mistreat(const struct variant *v)
{
    static struct kept kept[KEPT];
    struct pair pair = pair_make(v, (uint8_t)(v->suite * 16 + 3), false);
    unsigned n_sent = 0, accepted;
    uint16_t seq = 65300;
    struct rand_source r;

    rand_fixed_init(&r, 77 + v->suite);
    for (int i = 0; i < 4000; i++) {
        struct kept *packet = &kept[n_sent % KEPT], other;
        unsigned age;

        packet->is_rtcp = rand_u64(&r) % 10 == 0;
        seq = (uint16_t)(seq + 1);
        if (i % 500 == 499)
            seq = (uint16_t)(seq + 15000);
        packet->n = packet->is_rtcp ? rtcp_make(packet->p, 0x1234, (uint8_t)i, 32)
                                    : random_rtp(&r, packet->p, 0x1234, seq);
        assert_int_equal(their_protect(&pair, packet->is_rtcp, packet->p, &packet->n),
                         srtp_err_status_ok);
        n_sent++;
        /* One of the last 100 (losses, reordering, repetitions), sometimes one of long ago,
         * sometimes damaged. */
        age = (unsigned)(rand_u64(&r) % 8 == 0 ? rand_u64(&r) % 100 : rand_u64(&r) % 2);
        if (rand_u64(&r) % 32 == 0)
            age = 700 + (unsigned)(rand_u64(&r) % 300);
        if (age >= n_sent)
            continue;
        other = kept[(n_sent - 1 - age) % KEPT];
        if (rand_u64(&r) % 16 == 0) {
            size_t at = rand_u64(&r) % other.n;
            struct kept whole = other;

            other.p[at] ^= (uint8_t)(1u << (rand_u64(&r) % 8));
            receive_both(&pair, v, &other, true);
            other = whole;
        }
        receive_both(&pair, v, &other, false);
    }
    accepted = (unsigned)media_srtp_count(pair.rx, false, MEDIA_SRTP_OK);
    assert_true(accepted > 1500);
    assert_true(media_srtp_count(pair.rx, false, MEDIA_SRTP_REPLAYED) > 100);
    assert_true(media_srtp_count(pair.rx, false, MEDIA_SRTP_OLD) > 10);
    assert_true(media_srtp_count(pair.rx, false, MEDIA_SRTP_FORGED) > 50);
    assert_true(media_srtp_count(pair.rx, true, MEDIA_SRTP_OK) > 100);
    pair_free(&pair);
}

static void test_same_verdicts(void **state)
{
    (void)state;
    msrtp_cipher_allow_mb(true);
    for (size_t i = 0; i < ARRAY_LEN(variants); i++) {
        if (!variants[i].unauthenticated) /* those take anything */
            mistreat(&variants[i]);
    }
}

/* A sender that is handed a sequence number twice, or one far back, refuses in both. */
static void test_sender_refuses(void **state)
{
    const struct variant *v = &variants[0];
    struct pair pair = pair_make(v, 9, false);
    static const uint16_t seqs[] = {100, 101, 101, 99, 99, 2000, 1999, 100, 1600, 1600};
    static const enum media_srtp_verdict expected[] = {
        MEDIA_SRTP_OK, MEDIA_SRTP_OK, MEDIA_SRTP_REPLAYED, MEDIA_SRTP_OK, MEDIA_SRTP_REPLAYED,
        MEDIA_SRTP_OK, MEDIA_SRTP_OK, MEDIA_SRTP_OLD,      MEDIA_SRTP_OK, MEDIA_SRTP_REPLAYED};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(seqs); i++) {
        uint8_t ours[ROOM], theirs[ROOM];
        size_t n = rtp_make(ours, 5, seqs[i], 100), n_theirs = rtp_make(theirs, 5, seqs[i], 100);

        check_verdict(media_srtp_protect(pair.tx, ours, &n, ROOM), expected[i]);
        assert_int_equal(their_protect(&pair, false, theirs, &n_theirs) == srtp_err_status_ok,
                         expected[i] == MEDIA_SRTP_OK);
    }
    pair_free(&pair);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_same_bytes),
        cmocka_unit_test(test_same_verdicts),
        cmocka_unit_test(test_sender_refuses),
    };

    assert_int_equal(srtp_init(), srtp_err_status_ok);
    return cmocka_run_group_tests(tests, NULL, NULL);
}

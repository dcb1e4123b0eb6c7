/* New keys, several keys, the end of a key. RFC 3711 3.3.1, 8.1, 9.2, RFC 4568 6.1, 7.1.4, RFC
 * 3830 6.1.1. */
#include "oom.h"
#include "srtp_fixture.h"

static void both_install(struct both *b, const struct keying_keys *keys, enum keying_roc tx,
                         enum keying_roc rx)
{
    struct keying_keys mine = *keys;

    mine.roc = tx;
    check_err(media_srtp_install(b->tx, &mine), 0);
    mine.roc = rx;
    check_err(media_srtp_install(b->rx, &mine), 0);
}

/* Rolls SSRC 1 over twice, up to the index ROLLED. */
#define ROLLED 140000
#define AT(k) ((uint16_t)(ROLLED + (k)))

static struct both both_rolled(enum keying_suite_id suite)
{
    struct both b = both_of(suite);

    for (unsigned i = 0; i <= ROLLED; i += 20000)
        check_verdict(passes(&b, 1, (uint16_t)i), MEDIA_SRTP_OK);
    return b;
}

static uint64_t index_of(const struct media_srtp *s)
{
    uint64_t index = 0;

    assert_true(media_srtp_index(s, 1, &index));
    return index;
}

/* RFC 3711 3.3.1: "MUST NOT be reset". Packets under the old keys are good until they are dropped.
 */
static void test_rekey_keep(void **state)
{
    struct both b = both_rolled(KEYING_AES_128_CM_80);
    struct keying_keys next = keys_make(KEYING_AES_256_GCM, 50); /* another suite, too */
    uint8_t old[2][ROOM];
    size_t n[2] = {sealed(&b, old[0], 1, AT(1)), sealed(&b, old[1], 1, AT(2))};

    (void)state;
    assert_int_equal(index_of(b.tx), ROLLED + 2);
    both_install(&b, &next, KEYING_ROC_KEEP, KEYING_ROC_KEEP);
    check_verdict(passes(&b, 1, AT(3)), MEDIA_SRTP_OK);
    assert_int_equal(index_of(b.rx), ROLLED + 3);
    assert_int_equal(media_srtp_stats(b.rx)->n_keys, 2);
    check_verdict(opened(&b, old[0], n[0], 1, AT(1)), MEDIA_SRTP_OK);
    check_verdict(opened(&b, old[0], n[0], 1, AT(1)), MEDIA_SRTP_REPLAYED);
    media_srtp_drop_old(b.rx);
    assert_int_equal(media_srtp_stats(b.rx)->n_keys, 1);
    check_verdict(opened(&b, old[1], n[1], 1, AT(2)), MEDIA_SRTP_FORGED);
    check_verdict(passes(&b, 1, AT(4)), MEDIA_SRTP_OK);
    both_free(&b);
}

static void test_rekey_reset(void **state)
{
    struct both b = both_rolled(KEYING_AES_128_CM_80);
    struct keying_keys next = keys_make(KEYING_AES_128_CM_80, 50);
    uint8_t old[ROOM];
    size_t n = sealed(&b, old, 1, AT(2));

    (void)state;
    check_verdict(rtcp_passes(&b, 1), MEDIA_SRTP_OK);
    both_install(&b, &next, KEYING_ROC_RESET, KEYING_ROC_RESET);
    check_verdict(passes(&b, 1, AT(3)), MEDIA_SRTP_OK);
    assert_int_equal(index_of(b.rx), AT(3));
    check_verdict(rtcp_passes(&b, 1), MEDIA_SRTP_OK); /* SRTCP begins anew as well */
    check_verdict(opened(&b, old, n, 1, AT(2)), MEDIA_SRTP_OK);
    both_free(&b);
}

/* One side keeps, the other resets: nothing is heard. Unless the receiver finds out. */
static void test_rekey_probe(void **state)
{
    struct keying_keys next = keys_make(KEYING_AES_128_GCM, 50),
                       third = keys_make(KEYING_AES_128_GCM, 90);
    static const enum keying_roc sends[] = {KEYING_ROC_KEEP, KEYING_ROC_RESET};
    struct both b;

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        b = both_rolled(KEYING_AES_128_CM_80);
        both_install(&b, &next, sends[i], sends[1 - i]);
        check_verdict(passes(&b, 1, AT(3)), MEDIA_SRTP_FORGED);
        both_free(&b);

        b = both_rolled(KEYING_AES_128_CM_80);
        both_install(&b, &next, sends[i], KEYING_ROC_PROBE);
        check_verdict(passes(&b, 1, AT(3)), MEDIA_SRTP_OK);
        check_verdict(passes(&b, 1, AT(4)), MEDIA_SRTP_OK);
        check_verdict(rtcp_passes(&b, 1), MEDIA_SRTP_OK);
        assert_int_equal(index_of(b.rx), index_of(b.tx));
        assert_int_equal(media_srtp_stats(b.rx)->roc_was_reset, i == 1);
        media_srtp_drop_old(b.rx);
        check_verdict(passes(&b, 1, AT(5)), MEDIA_SRTP_OK);
        /* silent during one installation: what was known of it is handed on */
        both_install(&b, &third, KEYING_ROC_KEEP, KEYING_ROC_PROBE);
        next = keys_make(KEYING_AES_128_GCM, 130);
        both_install(&b, &next, KEYING_ROC_KEEP, KEYING_ROC_PROBE);
        check_verdict(passes(&b, 1, AT(6)), MEDIA_SRTP_OK);
        assert_int_equal(index_of(b.rx), index_of(b.tx));
        next = keys_make(KEYING_AES_128_GCM, 50);
        both_free(&b);
    }
}

/* The third installation drops the first keys. */
static void test_rekey_thrice(void **state)
{
    struct both b = both_of(KEYING_AES_128_CM_80);
    struct keying_keys next = keys_make(KEYING_AES_128_CM_80, 50),
                       third = keys_make(KEYING_AES_128_CM_80, 90);
    uint8_t first[ROOM], second[ROOM];
    size_t n_first = sealed(&b, first, 1, 1), n_second;

    (void)state;
    both_install(&b, &next, KEYING_ROC_KEEP, KEYING_ROC_KEEP);
    n_second = sealed(&b, second, 1, 2);
    both_install(&b, &third, KEYING_ROC_KEEP, KEYING_ROC_KEEP);
    assert_int_equal(media_srtp_stats(b.rx)->n_keys, 2);
    assert_int_equal(media_srtp_stats(b.tx)->n_keys, 1);
    check_verdict(opened(&b, first, n_first, 1, 1), MEDIA_SRTP_FORGED);
    check_verdict(opened(&b, second, n_second, 1, 2), MEDIA_SRTP_OK);
    check_verdict(passes(&b, 1, 3), MEDIA_SRTP_OK);
    both_free(&b);
}

/* An offer that repeats its key is no re-key: counters and windows stay, even if the policy would
 * reset them. */
static void test_same_keys(void **state)
{
    struct both b = both_rolled(KEYING_AES_128_CM_80);
    struct keying_keys same = keys_make(KEYING_AES_128_CM_80, 3),
                       other = keys_make(KEYING_AES_128_CM_80, 4);
    uint8_t p[ROOM];
    size_t n = sealed(&b, p, 1, AT(2));

    (void)state;
    check_verdict(opened(&b, p, n, 1, AT(2)), MEDIA_SRTP_OK);
    both_install(&b, &same, KEYING_ROC_RESET, KEYING_ROC_RESET);
    assert_int_equal(index_of(b.tx), ROLLED + 2);
    assert_int_equal(media_srtp_stats(b.rx)->n_keys, 1);
    check_verdict(opened(&b, p, n, 1, AT(2)), MEDIA_SRTP_REPLAYED);
    n = rtp_make(p, 1, AT(2), 60);
    check_verdict(media_srtp_protect(b.tx, p, &n, ROOM), MEDIA_SRTP_REPLAYED);
    check_verdict(passes(&b, 1, AT(3)), MEDIA_SRTP_OK);
    /* A key that was given up must not be sent with again (RFC 3711 9.2), nor this one under
     * another suite. */
    both_install(&b, &other, KEYING_ROC_RESET, KEYING_ROC_RESET);
    check_err(media_srtp_install(b.tx, &same), ERR_REFUSED);
    other.suite = keying_suite_get(KEYING_AES_128_CM_32);
    check_err(media_srtp_install(b.tx, &other), ERR_REFUSED);
    check_verdict(passes(&b, 1, AT(4)), MEDIA_SRTP_OK);
    assert_int_equal(media_srtp_stats(b.tx)->n_keys, 1);
    /* Receiving, the peer may say the same key with another suite; it is one run of indices. */
    check_err(media_srtp_install(b.rx, &other), 0);
    check_verdict(passes(&b, 1, AT(5)), MEDIA_SRTP_OK);
    assert_int_equal(index_of(b.rx), AT(5));
    both_free(&b);
}

/* Several keys at once: any of them opens, indices are common. RFC 4568 6.1 */
static void test_mki(void **state)
{
    static const enum keying_suite_id suites[] = {KEYING_AES_128_CM_32, KEYING_AES_256_GCM};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(suites); i++) {
        struct keying_keys keys = keys_with_mkis(suites[i], 3, 0);
        struct both b = both_make(&keys);
        uint8_t p[ROOM];
        size_t n;

        for (uint16_t seq = 0; seq < 30; seq++) {
            b.tx->at = seq % 3;
            n = sealed(&b, p, 1, (uint16_t)(seq * 9000));
            assert_int_equal(n, 60 + 2 + b.tx->keys[0]->rtp_tag);
            check_verdict(opened(&b, p, n, 1, (uint16_t)(seq * 9000)), MEDIA_SRTP_OK);
            check_verdict(opened(&b, p, n, 1, (uint16_t)(seq * 9000)), MEDIA_SRTP_REPLAYED);
            check_verdict(rtcp_passes(&b, 1), MEDIA_SRTP_OK);
        }
        assert_int_equal(index_of(b.rx), index_of(b.tx));
        n = sealed(&b, p, 1, (uint16_t)(29 * 9000 + 1));
        p[n - 1 - (suites[i] == KEYING_AES_256_GCM ? 0 : 4)] = 9; /* the MKI's last byte */
        check_verdict(media_srtp_open(b.rx, p, &n), MEDIA_SRTP_NO_KEY);
        both_free(&b);
    }
}

/* A key's lifetime ends; the next of several takes its place, the last asks for a re-key in time.
 * RFC 3711 9.2 */
static void test_lifetime(void **state)
{
    struct keying_keys keys = keys_with_mkis(KEYING_AES_128_CM_80, 2, 100);
    struct both b = both_make(&keys);
    struct keying_keys next = keys_make(KEYING_AES_128_CM_80, 200);
    uint8_t p[ROOM];
    size_t n;
    uint16_t seq = 0;

    (void)state;
    for (; seq < 174; seq++)
        check_verdict(passes(&b, 1, seq), MEDIA_SRTP_OK);
    assert_false(media_srtp_stats(b.tx)->rekey_due);
    check_verdict(passes(&b, 1, seq++), MEDIA_SRTP_OK);
    assert_true(media_srtp_stats(b.tx)->rekey_due);
    for (; seq < 200; seq++)
        check_verdict(passes(&b, 1, seq), MEDIA_SRTP_OK);
    n = rtp_make(p, 1, seq, 60);
    check_verdict(media_srtp_protect(b.tx, p, &n, ROOM), MEDIA_SRTP_EXPIRED);
    check_verdict(rtcp_passes(&b, 1), MEDIA_SRTP_OK); /* SRTCP is counted apart */
    /* Receivers do not take more either (RFC 4568 6.1). */
    b.tx->keys[1]->n_rtp = 0;
    check_verdict(passes(&b, 1, seq++), MEDIA_SRTP_EXPIRED);
    both_install(&b, &next, KEYING_ROC_KEEP, KEYING_ROC_KEEP);
    assert_false(media_srtp_stats(b.tx)->rekey_due);
    check_verdict(passes(&b, 1, seq), MEDIA_SRTP_OK);
    both_free(&b);
}

/* The same for SRTCP, and for the index as such: no sender may come round to an index again. */
static void test_limits(void **state)
{
    struct keying_keys keys = keys_make(KEYING_AES_128_CM_80, 1);
    struct both b;
    uint8_t p[ROOM];
    size_t n;

    (void)state;
    keys.key[0].max_rtcp = 4;
    b = both_make(&keys);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(media_srtp_stats(b.tx)->rekey_due, i == 3);
        check_verdict(rtcp_passes(&b, 1), MEDIA_SRTP_OK);
    }
    n = rtcp_make(p, 1, 1, 60);
    check_verdict(media_srtcp_protect(b.tx, p, &n, ROOM), MEDIA_SRTP_EXPIRED);
    check_verdict(passes(&b, 1, 1), MEDIA_SRTP_OK);
    b.tx->keys[0]->epoch->ssrcs[0].index = (1ull << 48) - 0x20000;
    n = rtp_make(p, 1, 2, 60);
    check_verdict(media_srtp_protect(b.tx, p, &n, ROOM), MEDIA_SRTP_EXPIRED);
    keys = keys_make(KEYING_AES_128_CM_80, 9); /* another key: the indices may go on */
    both_install(&b, &keys, KEYING_ROC_KEEP, KEYING_ROC_KEEP);
    check_verdict(media_srtp_protect(b.tx, p, &n, ROOM), MEDIA_SRTP_OK);
    both_free(&b);
}

/* Key management told where the counters are: RFC 3830 6.1.1. The counter is 32 bits and wraps. */
static void test_told_counter(void **state)
{
    struct keying_keys keys = keys_make(KEYING_AES_128_CM_80, 1);
    struct both b;
    uint64_t index = 0;

    (void)state;
    keys.n_ssrcs = 2;
    keys.ssrc[0].ssrc = 1;
    keys.ssrc[0].roc = 0xffffffff;
    keys.ssrc[1].ssrc = 7;
    keys.ssrc[1].roc = 5;
    keys.roc_start = 77;
    b = both_make(&keys);
    check_verdict(passes(&b, 1, 40000), MEDIA_SRTP_OK);
    check_verdict(passes(&b, 1, 65535), MEDIA_SRTP_OK);
    check_verdict(passes(&b, 1, 0), MEDIA_SRTP_OK);
    check_verdict(passes(&b, 1, 30000), MEDIA_SRTP_OK);
    assert_true(media_srtp_index(b.rx, 1, &index));
    assert_int_equal(index, 30000);
    check_verdict(passes(&b, 7, 1), MEDIA_SRTP_OK);
    assert_true(media_srtp_index(b.rx, 7, &index));
    assert_int_equal(index, 5 << 16 | 1);
    check_verdict(passes(&b, 8, 1), MEDIA_SRTP_OK);
    assert_true(media_srtp_index(b.rx, 8, &index));
    assert_int_equal(index, 77 << 16 | 1);
    both_free(&b);
}

/* A SRTCP index wraps at 2^31, under another key. */
static void test_rtcp_wrap(void **state)
{
    struct both b = both_of(KEYING_AES_128_CM_80);
    uint8_t p[ROOM], again[ROOM];
    size_t n, n_again;

    (void)state;
    check_verdict(rtcp_passes(&b, 1), MEDIA_SRTP_OK);
    b.tx->keys[0]->epoch->ssrcs[0].rtcp_index = 0x7fffffff;
    n = rtcp_make(p, 1, 1, 60);
    check_verdict(media_srtcp_protect(b.tx, p, &n, ROOM), MEDIA_SRTP_OK);
    memcpy(again, p, n_again = n);
    check_verdict(media_srtcp_open(b.rx, p, &n), MEDIA_SRTP_OK);
    check_verdict(rtcp_passes(&b, 1), MEDIA_SRTP_OK);
    check_verdict(rtcp_passes(&b, 1), MEDIA_SRTP_OK);
    check_verdict(media_srtcp_open(b.rx, again, &n_again), MEDIA_SRTP_REPLAYED);
    both_free(&b);
}

/* A failed installation changes nothing. */
static void test_no_memory_rekey(void **state)
{
    struct keying_keys next = keys_make(KEYING_AES_256_GCM, 99);
    struct both b = both_rolled(KEYING_AES_128_CM_80);
    uint16_t seq = AT(3);

    (void)state;
    next.roc = KEYING_ROC_PROBE;
    for (size_t at = 1; fault_is_built() && at < 20; at++) {
        int err;

        fault_arm(at);
        err = media_srtp_install(b.rx, &next);
        if (!fault_disarm())
            break;
        assert_int_not_equal(err, 0);
        assert_int_equal(media_srtp_stats(b.rx)->n_keys, 1);
        check_verdict(passes(&b, 1, seq++), MEDIA_SRTP_OK);
    }
    both_free(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rekey_keep),      cmocka_unit_test(test_rekey_reset),
        cmocka_unit_test(test_rekey_probe),     cmocka_unit_test(test_rekey_thrice),
        cmocka_unit_test(test_same_keys),       cmocka_unit_test(test_mki),
        cmocka_unit_test(test_lifetime),        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_told_counter),    cmocka_unit_test(test_rtcp_wrap),
        cmocka_unit_test(test_no_memory_rekey),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

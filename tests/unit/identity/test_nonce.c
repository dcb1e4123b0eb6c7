/* Nonces without a table, and the window of counts. */
#include "check.h"
#include "base/mac.h"
#include "identity/identity_priv.h"
#include "oom.h"

static const struct digest_nonce_key key = {.now = {1, 2, 3}};

/* The first vectors of the authors' reference code for SipHash-2-4 with 128 bits: key 00..0f, input
 * 00, 01, ... */
static void test_siphash(void **state)
{
    static const uint8_t expected[][16] = {
        {0xa3, 0x81, 0x7f, 0x04, 0xba, 0x25, 0xa8, 0xe6, 0x6d, 0xf6, 0x72, 0x14, 0xc7, 0x55, 0x02,
         0x93},
        {0xda, 0x87, 0xc1, 0xd8, 0x6b, 0x99, 0xaf, 0x44, 0x34, 0x76, 0x59, 0x11, 0x9b, 0x22, 0xfc,
         0x45},
        {0x81, 0x77, 0x22, 0x8d, 0xa4, 0xa4, 0x5d, 0xc7, 0xfc, 0xa3, 0x8b, 0xde, 0xf6, 0x0a, 0xff,
         0xe4},
        {0x9c, 0x70, 0xb6, 0x0c, 0x52, 0x67, 0xa9, 0x4e, 0x5f, 0x33, 0xb6, 0xb0, 0x29, 0x85, 0xed,
         0x51},
    };
    static const uint8_t last[16] = {0x51, 0x50, 0xd1, 0x77, 0x2f, 0x50, 0x83, 0x4a,
                                     0x50, 0x3e, 0x06, 0x9a, 0x97, 0x3f, 0xbd, 0x7c};
    uint8_t k[16], in[64], out[16];

    (void)state;
    for (size_t i = 0; i < sizeof(in); i++) {
        in[i] = (uint8_t)i;
        k[i % 16] = (uint8_t)(i % 16);
    }
    for (size_t n = 0; n < ARRAY_LEN(expected); n++) {
        mac_siphash128(k, in, n, out);
        assert_memory_equal(out, expected[n], 16);
    }
    mac_siphash128(k, in, 63, out);
    assert_memory_equal(out, last, 16);
}

static void test_mac_pieces(void **state)
{
    static const uint8_t k[16] = {1, 2, 3};
    uint8_t in[40], whole[16], pieces[16];

    (void)state;
    for (size_t i = 0; i < sizeof(in); i++)
        in[i] = (uint8_t)(200 + i * 7);
    for (size_t n = 0; n <= sizeof(in); n++) {
        mac_siphash128(k, in, n, whole);
        for (size_t a = 0; a <= n; a++) {
            for (size_t b = a; b <= n; b++) {
                struct mac m;

                mac_start(&m, k);
                mac_add(&m, in, a);
                mac_add(&m, in + a, b - a);
                mac_add(&m, in + b, n - b);
                mac_finish(&m, pieces);
                assert_memory_equal(pieces, whole, 16);
            }
        }
    }
}

static int check_at(uint64_t now, const char *realm, const char *binding, struct str nonce,
                    struct digest_nonce_info *info)
{
    struct reason why = {0};

    return digest_nonce_check(&key, now, 300, str_z(realm), str_z(binding), nonce, info, &why);
}

static void test_nonce(void **state)
{
    char text[DIGEST_NONCE_TEXT_MAX], other[DIGEST_NONCE_TEXT_MAX];
    struct digest_nonce_info info;
    struct reason why;

    (void)state;
    check_err(digest_nonce_make(&key, 1000, 0x1122334455667788u, STR("r"), STR("flow 1"), text), 0);
    assert_int_equal(strlen(text), 44);
    check_err(check_at(1000, "r", "flow 1", str_z(text), &info), 0);
    assert_int_equal(info.issued_s, 1000);
    assert_int_equal(info.id, 0x1122334455667788u);
    check_err(check_at(1300, "r", "flow 1", str_z(text), &info), 0);
    check_err(check_at(1301, "r", "flow 1", str_z(text), &info), ERR_TIMEOUT);
    assert_int_equal(info.issued_s, 1000); /* whose it was is known all the same */
    check_err(check_at(999, "r", "flow 1", str_z(text), &info),
              ERR_TIMEOUT); /* the clock was set back */
    check_err(check_at(1000, "r", "flow 2", str_z(text), &info), ERR_REFUSED);
    check_err(check_at(1000, "R", "flow 1", str_z(text), &info), ERR_REFUSED);
    check_err(check_at(1000, "rf", "low 1", str_z(text), &info), ERR_REFUSED);
    /* each bit counts */
    for (size_t i = 0; i < strlen(text); i++) {
        strcpy(other, text);
        other[i] = other[i] == 'A' ? 'B' : 'A';
        check_err(check_at(1000, "r", "flow 1", str_z(other), &info), ERR_REFUSED);
    }
    for (size_t n = 0; n < strlen(text); n++)
        check_err(check_at(1000, "r", "flow 1", str_make(text, n), &info), ERR_REFUSED);
    strcpy(other, text);
    strcat(other, "AAAA");
    check_err(check_at(1000, "r", "flow 1", str_z(other), &info), ERR_REFUSED);
    check_err(check_at(1000, "r", "flow 1", STR_NULL, &info), ERR_REFUSED);
    /* other id, other nonce */
    check_err(digest_nonce_make(&key, 1000, 1, STR("r"), STR("flow 1"), other), 0);
    assert_string_not_equal(text, other);
    /* far from now the difference must not wrap round */
    check_err(digest_nonce_make(&key, UINT64_MAX, 1, STR("r"), STR("b"), other), 0);
    check_err(check_at(5, "r", "b", str_z(other), &info), ERR_TIMEOUT);
    check_err(digest_nonce_check(&key, UINT64_MAX, UINT64_MAX, STR("r"), STR("b"), str_z(other),
                                 &info, &why),
              0);
}

static void test_key_change(void **state)
{
    struct digest_nonce_key next = {.now = {9}}, none = {.now = {0}};
    char text[DIGEST_NONCE_TEXT_MAX];
    struct digest_nonce_info info;
    struct reason why = {0};

    (void)state;
    memcpy(next.before, key.now, sizeof(next.before));
    check_err(digest_nonce_make(&key, 1000, 7, STR("r"), STR("b"), text), 0);
    check_err(digest_nonce_check(&next, 1000, 60, STR("r"), STR("b"), str_z(text), &info, &why), 0);
    memset(next.before, 0, sizeof(next.before));
    check_err(digest_nonce_check(&next, 1000, 60, STR("r"), STR("b"), str_z(text), &info, &why),
              ERR_REFUSED);
    assert_string_equal(why.code, "digest-nonce-foreign");
    /* the second half of the key counts as well */
    next = key;
    next.now[31] = 1;
    check_err(digest_nonce_check(&next, 1000, 60, STR("r"), STR("b"), str_z(text), &info, &why),
              ERR_REFUSED);
    /* a key that was never set signs nothing that is accepted */
    check_err(digest_nonce_make(&none, 1000, 7, STR("r"), STR("b"), text), 0);
    check_err(digest_nonce_check(&key, 1000, 60, STR("r"), STR("b"), str_z(text), &info, &why),
              ERR_REFUSED);
    check_err(digest_nonce_check(&none, 1000, 60, STR("r"), STR("b"), str_z(text), &info, &why),
              ERR_REFUSED);
}

static int use(struct digest_replay *r, uint64_t id, uint64_t issued, uint32_t nc)
{
    return digest_replay_check(r, &(struct digest_nonce_info){.issued_s = issued, .id = id}, nc);
}

static void test_window(void **state)
{
    struct digest_replay *r = digest_replay_new(16);

    (void)state;
    assert_non_null(r);
    check_err(use(r, 1, 100, 0), ERR_CONFLICT);
    check_err(use(r, 1, 100, 1), 0);
    check_err(use(r, 1, 100, 1), ERR_CONFLICT);
    check_err(use(r, 1, 100, 2), 0);
    check_err(use(r, 1, 100, 5), 0);
    check_err(use(r, 1, 100, 3), 0); /* late, but the first time */
    check_err(use(r, 1, 100, 3), ERR_CONFLICT);
    check_err(use(r, 1, 100, 5), ERR_CONFLICT);
    check_err(use(r, 1, 100, 4), 0);
    check_err(use(r, 1, 100, 68), 0); /* 63 further: 5 is the last that is remembered */
    check_err(use(r, 1, 100, 5), ERR_CONFLICT);
    check_err(use(r, 1, 100, 4), ERR_CONFLICT);
    check_err(use(r, 1, 100, 6), 0);
    check_err(use(r, 1, 100, 69), 0);
    check_err(use(r, 1, 100, 5), ERR_CONFLICT);
    check_err(use(r, 1, 100, 6), ERR_CONFLICT);
    check_err(use(r, 1, 100, UINT32_MAX), 0);
    check_err(use(r, 1, 100, UINT32_MAX), ERR_CONFLICT);
    check_err(use(r, 1, 100, 70), ERR_CONFLICT);
    check_err(use(r, 1, 100, UINT32_MAX - 63), 0);
    check_err(use(r, 1, 100, UINT32_MAX - 64), ERR_CONFLICT);
    /* another nonce, and the same id issued at another time, are others */
    check_err(use(r, 2, 100, 1), 0);
    check_err(use(r, 1, 101, 1), 0);
    digest_replay_free(r);
    digest_replay_free(NULL);
}

/* At the maximum the one that was unused longest goes, and nothing that may have been known is
 * taken for new. */
static void test_forgetting(void **state)
{
    struct digest_replay *r = digest_replay_new(4);

    (void)state;
    assert_non_null(r);
    for (uint64_t id = 1; id <= 4; id++)
        check_err(use(r, id, 100 + id, 1), 0);
    check_err(use(r, 1, 101, 2), 0); /* now 2 is the oldest */
    check_err(use(r, 5, 110, 1), 0); /* forgets 2, issued at 102 */
    check_err(use(r, 2, 102, 1), ERR_TIMEOUT);
    check_err(use(r, 2, 102, 2), ERR_TIMEOUT);
    check_err(use(r, 9, 102, 1), ERR_TIMEOUT); /* never seen, but nobody can know */
    check_err(use(r, 9, 1, 1), ERR_TIMEOUT);
    check_err(use(r, 1, 101, 2), ERR_CONFLICT); /* still known, though from before the line */
    check_err(use(r, 1, 101, 3), 0);
    check_err(use(r, 9, 103, 1), 0); /* forgets 3, issued at 103 */
    check_err(use(r, 10, 103, 1), ERR_TIMEOUT);
    check_err(use(r, 10, 104, 1), 0); /* forgets 4 */
    check_err(use(r, 9, 103, 1), ERR_CONFLICT);
    digest_replay_free(r);
}

/* Against a plain list, at random. */
static void test_model(void **state)
{
    enum { MAX = 32, IDS = 48, COUNTS = 100, STEPS = 200000 };
    static bool used[IDS][COUNTS];
    struct digest_replay *r = digest_replay_new(MAX);
    uint64_t x = 88172645463325252u;
    unsigned accepted = 0, stale = 0;

    (void)state;
    assert_non_null(r);
    for (int i = 0; i < STEPS; i++) {
        unsigned id, nc;

        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        id = (unsigned)(x >> 20) % IDS;
        nc = (unsigned)(x >> 40) % (COUNTS - 1) + 1;
        /* ids collide in their slots on purpose */
        switch (use(r, (uint64_t)id * 64, 1000 + id, nc)) {
        case 0:
            assert_false(used[id][nc]);
            used[id][nc] = true;
            accepted++;
            break;
        case ERR_TIMEOUT:
            stale++;
            break;
        case ERR_CONFLICT:
            break;
        default:
            fail();
        }
    }
    assert_true(accepted > IDS && stale > 0);
    digest_replay_free(r);
}

static void test_no_memory(void **state)
{
    (void)state;
    OOM_SWEEP(10, {
        struct digest_replay *r = digest_replay_new(100);

        if (r && digest_replay_check(r, &(struct digest_nonce_info){.id = 1}, 1) != 0)
            fail();
        digest_replay_free(r);
    });
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_siphash),    cmocka_unit_test(test_mac_pieces), cmocka_unit_test(test_nonce),
        cmocka_unit_test(test_key_change), cmocka_unit_test(test_window),
        cmocka_unit_test(test_forgetting), cmocka_unit_test(test_model),
        cmocka_unit_test(test_no_memory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* An end that is an ICE agent, lite: nobody but whom checks have shown is heard or sent to. RFC
 * 8445 7.3, 8.2, RFC 7675. */
#include "fixture.h"

#include "net/stun_wire.h"
#include <openssl/evp.h>
#include <openssl/hmac.h>

#define BOTH (1u << KEYING_RTP | 1u << KEYING_RTCP)
#define GCM KEYING_AES_128_GCM

static struct dry d;
static struct relay_end *e; /* joined to b instead of a */
static struct addr browser, elsewhere;
static const char pwd[] = "VOkJxbRl1RmTxUk/WvJxBt";

static int start(void **state)
{
    (void)state;
    struct relay_end_args args = {
        .cookie = 3, .needs_rtcp = false, .ice_ufrag = STR("evtj"), .ice_pwd = str_z(pwd)};
    dry_start(&d);
    browser = fixture_addr("203.0.113.7", 50000);
    elsewhere = fixture_addr("203.0.113.7", 50001);
    check_err(relay_end_new(d.call, &args, &e, NULL), 0);
    relay_join(e, d.b);
    return 0;
}
static int stop(void **state)
{
    (void)state;
    dry_stop(&d);
    return 0;
}

static void settle(bool has_ice)
{
    struct relay_end_setting s = {.protection = RELAY_PROTECT,
                                  .mux = true,
                                  .sends = true,
                                  .receives = true,
                                  .ice_ufrag = has_ice ? STR("h6vY") : STR_NULL};
    if (!has_ice)
        s.rtp = browser;
    relay_end_set(e, &s);
    fixture_install(e, BOTH, true, false, GCM, 1);
    fixture_install(e, BOTH, false, false, GCM, 2);
}

static void check_by(const struct addr *from, const char *name, const char *password,
                     bool nominates)
{
    uint8_t p[200] = {0,   1,   0,   0,   0x21, 0x12, 0xa4, 0x42, 'a', 'b',
                      'c', 'd', 'e', 'f', 'g',  'h',  'i',  'j',  'k', 'l'};
    struct stun_out o = {.p = p, .n = STUN_HEADER_BYTES, .cap = sizeof(p)};
    unsigned len = 0;
    memcpy(stun_out_attr(&o, STUN_USERNAME, 9), name, 9);
    memcpy(stun_out_attr(&o, STUN_PRIORITY, 4), "\x6e\0\1\xff", 4);
    memcpy(stun_out_attr(&o, STUN_ICE_CONTROLLING, 8), "12345678", 8);
    if (nominates)
        (void)stun_out_attr(&o, STUN_USE_CANDIDATE, 0);
    size_t n = o.n;
    uint8_t *mac = stun_out_attr(&o, STUN_MESSAGE_INTEGRITY, 20);
    assert_non_null(HMAC(EVP_sha1(), password, (int)strlen(password), p, n, mac, &len));
    stun_out_fingerprint(&o);
    assert_false(o.overflow);
    dry_in(&d, e, KEYING_RTP, from, p, o.n);
}

static void check_from(const struct addr *from, const char *password, bool nominates)
{
    check_by(from, "evtj:h6vY", password, nominates);
}

static void media_from(const struct addr *from)
{
    static uint16_t seq;
    static struct media_srtp *tx;
    uint8_t p[RTP_BYTES + MEDIA_SRTP_GROWTH];
    size_t n = RTP_BYTES;
    tx = fixture_srtp(MEDIA_SRTP_SEND, GCM, 2);
    fixture_rtp(p, 1, ++seq);
    check_err(media_srtp_protect(tx, p, &n, sizeof(p)), 0);
    media_srtp_free(tx);
    dry_in(&d, e, KEYING_RTP, from, p, n);
}

/* Does what b's peer sends go out, and where to? */
static void goes_to(const struct addr *to)
{
    static uint16_t seq;
    uint8_t p[RTP_BYTES];
    size_t n = d.n_out;
    fixture_rtp(p, 9, ++seq);
    dry_in(&d, d.b, KEYING_RTP, &d.peer_b, p, RTP_BYTES);
    assert_int_equal(d.n_out, n + (to != NULL));
    if (to != NULL)
        assert_true(addr_eq(&d.out[n].to, to));
}

static void by_checks_alone(void **state)
{
    (void)state;
    static const uint8_t hello[] = {22, 254, 255, 1, 2, 3};
    settle(true);
    media_from(&browser); /* authentic, but from where no check came */
    assert_int_equal(d.n_out, 0);
    goes_to(NULL);
    check_from(&browser, "wrongwrongwrongwrongwr", true);
    goes_to(NULL);
    assert_int_equal(relay_read(&e->ice_checks), 0);
    assert_int_equal(relay_read(&e->ice_refused), 1);
    d.n_out = 0;
    check_from(&browser, pwd, true);
    assert_int_equal(d.n_out, 1); /* the answer */
    assert_true(addr_eq(&d.out[0].to, &browser));
    assert_int_equal(rtp_demux(d.out[0].p, d.out[0].n), RTP_DEMUX_STUN);
    assert_int_equal(dry_count(&d, RELAY_EVENT_REMOTE, 3), 1);
    goes_to(&browser);
    media_from(&browser);
    assert_int_equal(d.n_out, 3);
    assert_ptr_equal(d.out[2].end, d.b);
    media_from(&elsewhere);
    dry_in(&d, e, KEYING_RTP, &elsewhere, hello, sizeof(hello));
    assert_int_equal(d.n_out, 3);
    assert_int_equal(relay_read(&e->dropped[RELAY_DROP_FOREIGN]), 3);
    struct relay_end_stats st;
    relay_end_stats(e, &st);
    assert_int_equal(st.ice_checks, 1);
    assert_true(addr_eq(&st.remote, &browser));
    /* Another pair is nominated. */
    check_from(&elsewhere, pwd, true);
    goes_to(&elsewhere);
}

static void consent_ends(void **state)
{
    (void)state;
    settle(true);
    check_from(&browser, pwd, true);
    goes_to(&browser);
    dry_later(&d, RELAY_ICE_CONSENT_MS - 1);
    relay_end_tick(e);
    assert_int_equal(dry_count(&d, RELAY_EVENT_CONSENT, 3), 0);
    goes_to(&browser);
    dry_later(&d, 1);
    relay_end_tick(e);
    relay_end_tick(e);
    assert_int_equal(dry_count(&d, RELAY_EVENT_CONSENT, 3), 1);
    struct relay_end_stats st;
    relay_end_stats(e, &st);
    assert_true(st.is_without_consent);
    goes_to(NULL);
    uint64_t n_out = d.n_out;
    media_from(&browser);
    assert_int_equal(d.n_out, n_out);
    check_from(&browser, pwd, false);
    goes_to(&browser);
}

static void peer_without_ice(void **state)
{
    (void)state;
    settle(false);
    goes_to(&browser);
    uint64_t n_out = d.n_out;
    check_from(&browser, pwd, true);
    assert_int_equal(d.n_out, n_out);
    media_from(&browser);
    assert_int_equal(d.n_out, n_out + 1);
}

static void before_the_answer(void **state)
{
    (void)state;
    check_from(&browser, pwd, true); /* answered, and remembered */
    assert_int_equal(d.n_out, 1);
    settle(true);
    goes_to(&browser);
}

static void both_lite(void **state)
{
    (void)state;
    struct relay_end_setting s = {.protection = RELAY_PROTECT,
                                  .rtp = browser,
                                  .sends = true,
                                  .receives = true,
                                  .ice_ufrag = STR("h6vY"),
                                  .ice_is_lite = true};
    relay_end_set(e, &s);
    fixture_install(e, BOTH, true, false, GCM, 1);
    fixture_install(e, BOTH, false, false, GCM, 2);
    goes_to(&browser);
    media_from(&browser);
    assert_int_equal(d.n_out, 2);
    media_from(&elsewhere);
    assert_int_equal(d.n_out, 2);
}

/* ICE anew (RFC 8445 9): media go on by the old pair, checks name the new fragment and password,
 * and the pair that they nominate takes the old one's place. */
static void restart(void **state)
{
    (void)state;
    struct relay_end_setting s = {.protection = RELAY_PROTECT,
                                  .mux = true,
                                  .sends = true,
                                  .receives = true,
                                  .ice_ufrag = STR("n3wY")};
    static const char fresh[] = "AbCdEfGhIjKlMnOpQrStUv";
    uint64_t n_out;

    settle(true);
    check_from(&browser, pwd, true);
    goes_to(&browser);
    check_err(relay_end_restart(e, STR("0urs"), str_z(fresh), STR("n3wY")), 0);
    relay_end_set(e, &s);
    goes_to(&browser);
    n_out = d.n_out;
    media_from(&browser);
    assert_int_equal(d.n_out, n_out + 1);

    check_from(&elsewhere, pwd, true); /* what was before is known no more */
    goes_to(&browser);
    check_by(&elsewhere, "0urs:h6vY", fresh, true); /* ... nor who was */
    goes_to(&browser);
    check_by(&elsewhere, "0urs:n3wY", fresh, false);
    goes_to(&browser);
    check_by(&elsewhere, "0urs:n3wY", fresh, true);
    goes_to(&elsewhere);
}

static void flood_of_checks(void **state)
{
    (void)state;
    settle(true);
    d.relay->on_send = NULL;
    for (unsigned i = 0; i < 3 * LIMIT_RELAY_KEYS_RATE; i++)
        check_from(&elsewhere, "wrongwrongwrongwrongwr", true);
    assert_int_equal(relay_read(&e->dropped[RELAY_DROP_POLICED]), 2 * LIMIT_RELAY_KEYS_RATE);
    assert_int_equal(relay_read(&e->ice_refused), LIMIT_RELAY_KEYS_RATE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(by_checks_alone, start, stop),
        cmocka_unit_test_setup_teardown(consent_ends, start, stop),
        cmocka_unit_test_setup_teardown(peer_without_ice, start, stop),
        cmocka_unit_test_setup_teardown(before_the_answer, start, stop),
        cmocka_unit_test_setup_teardown(both_lite, start, stop),
        cmocka_unit_test_setup_teardown(restart, start, stop),
        cmocka_unit_test_setup_teardown(flood_of_checks, start, stop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

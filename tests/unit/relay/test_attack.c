/* Hostile packets: each is refused and counted, and the call goes on. RFC 3711 3.3, RFC 7362,
 * CVE-2017-14099 and CVE-2025-53399 (RTP bleed), TR/100 6.2. */
#include "fixture.h"

#define BOTH (1u << KEYING_RTP | 1u << KEYING_RTCP)
#define CM80 KEYING_AES_128_CM_80

static struct dry d;
static struct media_srtp *tx; /* the peer at a */

static int start(void **state)
{
    (void)state;
    dry_start(&d);
    tx = fixture_srtp(MEDIA_SRTP_SEND, CM80, 1);
    return 0;
}
static int stop(void **state)
{
    (void)state;
    media_srtp_free(tx);
    dry_stop(&d);
    return 0;
}

static void protect_a(void)
{
    struct relay_end_setting s = dry_setting(&d, true);
    s.protection = RELAY_PROTECT;
    s.latch = RELAY_LATCH_NAT; /* makes no difference to what must authenticate */
    relay_end_set(d.a, &s);
    fixture_install(d.a, BOTH, false, false, CM80, 1);
    fixture_install(d.a, BOTH, true, false, CM80, 2);
}

static uint64_t drops(const struct relay_end *e, enum relay_drop why)
{
    return relay_read(&e->dropped[why]);
}

static size_t sealed(uint8_t p[RTP_BYTES + MEDIA_SRTP_GROWTH], uint32_t ssrc, uint16_t seq)
{
    size_t n = RTP_BYTES;
    fixture_rtp(p, ssrc, seq);
    assert_int_equal(media_srtp_protect(tx, p, &n, RTP_BYTES + MEDIA_SRTP_GROWTH), MEDIA_SRTP_OK);
    return n;
}

static size_t heard_named;

static void count_named(void *arg, int section, const struct relay_event *event)
{
    (void)arg;
    (void)section;
    heard_named += event->kind == RELAY_EVENT_KEYS && event->is_named;
}
static void no_reference(void *arg)
{
    (void)arg;
}

static void rtp_from(const struct addr *from, struct relay_end *e, uint16_t seq)
{
    uint8_t p[RTP_BYTES];
    fixture_rtp(p, 1, seq);
    dry_in(&d, e, KEYING_RTP, from, p, RTP_BYTES);
}

static void where_a_is_sent(const struct addr *expected)
{
    static uint16_t seq = 100; /* SRTP sends no index twice */
    size_t n = d.n_out;
    rtp_from(&d.peer_b, d.b, seq++);
    assert_int_equal(d.n_out, n + 1);
    assert_true(addr_eq(&d.out[n].to, expected));
}

static void injected(void **state)
{
    (void)state;
    rtp_from(&d.peer_a, d.a, 1);
    assert_int_equal(d.n_out, 1);
    struct addr neighbour = d.peer_a;
    addr_set_port(&neighbour, 4002);
    const struct addr *from[] = {&d.stranger, &neighbour, &d.peer_b, &d.peer_a_rtcp};
    for (unsigned i = 0; i < ARRAY_LEN(from); i++)
        rtp_from(from[i], d.a, (uint16_t)(2 + i));
    assert_int_equal(d.n_out, 1);
    assert_int_equal(drops(d.a, RELAY_DROP_FOREIGN), 4);
    where_a_is_sent(&d.peer_a);
    rtp_from(&d.peer_a, d.a, 3);
    assert_int_equal(d.n_out, 3);
}

/* Nobody shows an address but within the window, once, and by the rule of the end. */
static void latch_of_the_host(void **state)
{
    (void)state;
    struct addr other = d.peer_a, third = d.peer_a;
    addr_set_port(&other, 7000);
    addr_set_port(&third, 7002);
    rtp_from(&d.stranger, d.a, 1);
    assert_int_equal(d.n_out, 0);
    rtp_from(&other, d.a, 1);
    assert_int_equal(d.n_out, 1);
    assert_int_equal(dry_count(&d, RELAY_EVENT_REMOTE, 1), 1);
    where_a_is_sent(&other);
    rtp_from(&third, d.a, 2);
    assert_int_equal(drops(d.a, RELAY_DROP_FOREIGN), 2);
    rtp_from(&d.peer_a, d.a, 2); /* the signalled address is better than any other */
    where_a_is_sent(&d.peer_a);
    struct relay_end_stats s;
    relay_end_stats(d.a, &s);
    assert_false(s.is_latched);
    rtp_from(&other, d.a, 3);
    assert_int_equal(drops(d.a, RELAY_DROP_FOREIGN), 3);
    /* The same description again opens nothing. */
    struct relay_end_setting again = dry_setting(&d, true);
    relay_end_set(d.a, &again);
    rtp_from(&other, d.a, 3);
    assert_int_equal(drops(d.a, RELAY_DROP_FOREIGN), 4);
    again.rtp = third; /* another one does */
    relay_end_set(d.a, &again);
    rtp_from(&other, d.a, 3);
    where_a_is_sent(&other);
}

static void latch_is_late(void **state)
{
    (void)state;
    struct addr other = d.peer_a;
    addr_set_port(&other, 7000);
    dry_later(&d, LIMIT_RELAY_LATCH_MS);
    rtp_from(&other, d.a, 1);
    assert_int_equal(d.n_out, 0);
    assert_int_equal(drops(d.a, RELAY_DROP_FOREIGN), 1);
    rtp_from(&d.peer_a, d.a, 1); /* who is named comes when he likes */
    assert_int_equal(d.n_out, 1);
}

static void latch_behind_nat(void **state)
{
    (void)state;
    struct relay_end_setting s = dry_setting(&d, true);
    struct addr outside = fixture_addr("203.0.113.5", 33333);
    uint8_t junk[RTP_BYTES] = {0x80, 0, 0, 1};
    s.latch = RELAY_LATCH_NAT;
    relay_end_set(d.a, &s);
    junk[0] = 0xb0; /* an extension that is longer than the packet */
    junk[14] = 0xff;
    dry_in(&d, d.a, KEYING_RTP, &d.stranger, junk, 40);
    assert_int_equal(drops(d.a, RELAY_DROP_MALFORMED), 1);
    where_a_is_sent(&d.peer_a); /* what is no RTP shows nothing */
    rtp_from(&outside, d.a, 1);
    where_a_is_sent(&outside);
    rtp_from(&d.stranger, d.a, 2);
    assert_int_equal(drops(d.a, RELAY_DROP_FOREIGN), 1);
    where_a_is_sent(&outside);
}

static void latch_never(void **state)
{
    (void)state;
    struct relay_end_setting s = dry_setting(&d, true);
    struct addr other = d.peer_a;
    addr_set_port(&other, 7000);
    s.latch = RELAY_LATCH_AUTHENTIC;
    relay_end_set(d.a, &s);
    rtp_from(&other, d.a, 1);
    rtp_from(&d.stranger, d.a, 1);
    assert_int_equal(drops(d.a, RELAY_DROP_FOREIGN), 2);
    where_a_is_sent(&d.peer_a);
}

/* CVE-2025-53399: an end that learns addresses must not do so from packets it has not
 * authenticated. */
static void bleed(void **state)
{
    (void)state;
    uint8_t p[RTP_BYTES + MEDIA_SRTP_GROWTH];
    size_t n;
    protect_a();
    for (uint16_t i = 0; i < 50; i++) { /* clear, and sealed with other keys */
        rtp_from(&d.stranger, d.a, i);
        n = sealed(p, 1, i);
        p[n - 1] ^= 1;
        dry_in(&d, d.a, KEYING_RTP, &d.stranger, p, n);
    }
    assert_int_equal(d.n_out, 0);
    assert_int_equal(drops(d.a, RELAY_DROP_FORGED), 100);
    where_a_is_sent(&d.peer_a);
    struct relay_end_stats s;
    relay_end_stats(d.a, &s);
    assert_int_equal(s.not_authentic, 100);
    assert_int_equal(media_srtp_stats(d.a->srtp[MEDIA_SRTP_RECEIVE][0])->n_ssrcs, 0);
}

/* Without authentication (UNAUTHENTICATED_SRTP) every packet opens: it shows no address, whenever it
 * comes, and is not played. */
static void unauthenticated(void **state)
{
    (void)state;
    struct keying_keys keys = fixture_keys(CM80, 7);
    struct keying_install install = {.paths = 1u << KEYING_RTP | 1u << KEYING_RTCP, .keys = &keys};
    struct relay_end_setting s = dry_setting(&d, true);
    uint8_t p[RTP_BYTES];
    protect_a();
    s.protection = RELAY_PROTECT;
    s.latch = RELAY_LATCH_AUTHENTIC;
    relay_end_set(d.a, &s);
    keys.unauthenticated_rtp = true;
    check_err(relay_end_install(d.a, &install), 0);
    media_srtp_drop_old(d.a->srtp[MEDIA_SRTP_RECEIVE][0]);
    fixture_rtp(p, 1, 1);
    dry_in(&d, d.a, KEYING_RTP, &d.stranger, p, RTP_BYTES);
    dry_later(&d, LIMIT_RELAY_MOVE_MS + 1);
    fixture_rtp(p, 1, 2);
    dry_in(&d, d.a, KEYING_RTP, &d.stranger, p, RTP_BYTES);
    assert_int_equal(d.n_out, 0);
    assert_int_equal(drops(d.a, RELAY_DROP_FOREIGN), 2);
    where_a_is_sent(&d.peer_a);
    d.n_out = 0;
    fixture_rtp(p, 1, 3);
    dry_in(&d, d.a, KEYING_RTP, &d.peer_a, p, RTP_BYTES);
    assert_int_equal(d.n_out, 1);
}

/* An authentic packet shows another address if nothing came from the one in use; a copy of one
 * shows nothing. */
static void authentic_latch(void **state)
{
    (void)state;
    uint8_t p[RTP_BYTES + MEDIA_SRTP_GROWTH];
    struct addr moved = fixture_addr("203.0.113.5", 33333);
    protect_a();
    size_t n = sealed(p, 1, 1);
    dry_in(&d, d.a, KEYING_RTP, &moved, p, n);
    assert_int_equal(d.n_out, 1);
    where_a_is_sent(&moved);
    dry_in(&d, d.a, KEYING_RTP, &d.stranger, p, n); /* the same, by another way */
    assert_int_equal(drops(d.a, RELAY_DROP_REPLAYED), 1);
    where_a_is_sent(&moved);
    n = sealed(p, 1, 2);
    dry_in(&d, d.a, KEYING_RTP, &d.stranger, p, n); /* overtaken: it is played, but moves nothing */
    assert_int_equal(d.n_out, 4);
    where_a_is_sent(&moved);
    dry_later(&d, LIMIT_RELAY_MOVE_MS);
    n = sealed(p, 1, 3);
    dry_in(&d, d.a, KEYING_RTP, &d.peer_a, p, n);
    where_a_is_sent(&d.peer_a);
    assert_int_equal(dry_count(&d, RELAY_EVENT_REMOTE, 1), 2);
}

/* RFC 4961: a peer that does not send from where it says. Clear: refused, said once for each
 * description, and only where it is silent; keyed: taken, and said. Declared: nothing goes but where
 * the description says. */
static void not_symmetric(void **state)
{
    (void)state;
    uint8_t p[RTP_BYTES + MEDIA_SRTP_GROWTH];
    struct addr other = d.peer_a;
    struct relay_end_stats s;
    struct relay_stats all;
    struct relay_end_setting setting = dry_setting(&d, true);
    addr_set_port(&other, 7000);
    rtp_from(&d.stranger, d.a, 1); /* the window is open: it may come yet */
    assert_int_equal(dry_count(&d, RELAY_EVENT_ASTRAY, 1), 0);
    dry_later(&d, LIMIT_RELAY_LATCH_MS);
    rtp_from(&other, d.a, 2);
    rtp_from(&d.stranger, d.a, 3);
    assert_int_equal(d.n_out, 0);
    assert_int_equal(drops(d.a, RELAY_DROP_FOREIGN), 3);
    assert_int_equal(dry_count(&d, RELAY_EVENT_ASTRAY, 1), 1);
    assert_true(addr_eq(&d.told[d.n_told - 1].from, &other));
    relay_end_stats(d.a, &s);
    assert_true(addr_eq(&s.astray, &other));
    assert_true(addr_eq(&s.described, &d.peer_a));
    relay_stats(d.relay, &all);
    assert_int_equal(all.astray, 1);
    assert_int_equal(all.followed, 0);
    /* Who speaks from where it says has strangers, and nothing is said of them. */
    rtp_from(&d.peer_b, d.b, 1);
    dry_later(&d, LIMIT_RELAY_LATCH_MS);
    rtp_from(&d.peer_b, d.b, 2);
    rtp_from(&d.stranger, d.b, 3);
    assert_int_equal(dry_count(&d, RELAY_EVENT_ASTRAY, 2), 0);
    /* Keys. */
    protect_a();
    size_t n = sealed(p, 1, 1);
    dry_in(&d, d.a, KEYING_RTP, &other, p, n);
    where_a_is_sent(&other);
    relay_stats(d.relay, &all);
    assert_int_equal(all.followed, 1);
    relay_end_stats(d.a, &s);
    assert_true(addr_eq(&s.remote, &other));
    assert_false(addr_is_set(&s.astray));
    /* Declared. */
    setting.protection = RELAY_PROTECT;
    setting.is_asymmetric = true;
    setting.rtp = fixture_addr("192.0.2.1", 4010);
    relay_end_set(d.a, &setting);
    size_t before = d.n_out;
    n = sealed(p, 1, 2);
    dry_in(&d, d.a, KEYING_RTP, &other, p, n);
    n = sealed(p, 1, 3);
    dry_in(&d, d.a, KEYING_RTP, &other, p, n);
    assert_int_equal(d.n_out, before + 2);
    where_a_is_sent(&setting.rtp);
    relay_end_stats(d.a, &s);
    assert_true(addr_eq(&s.source, &other) && addr_eq(&s.remote, &setting.rtp));
    /* ... and in clear, by the rule of the end. */
    setting.protection = RELAY_CLEAR;
    setting.latch = RELAY_LATCH_HOST;
    setting.rtp = fixture_addr("192.0.2.1", 4020);
    relay_end_set(d.a, &setting);
    before = d.n_out;
    rtp_from(&d.stranger, d.a, 1);
    assert_int_equal(d.n_out, before);
    rtp_from(&other, d.a, 1);
    dry_later(&d, LIMIT_RELAY_LATCH_MS);
    rtp_from(&other, d.a, 2);
    rtp_from(&d.stranger, d.a, 3);
    assert_int_equal(d.n_out, before + 2);
    where_a_is_sent(&setting.rtp);
}

/* A copy of the first packet overtakes it: what is for the peer goes to the copyist until the next
 * packet, and no longer. Later only silence moves anything. */
static void overtaken(void **state)
{
    (void)state;
    uint8_t p[RTP_BYTES + MEDIA_SRTP_GROWTH], copy[RTP_BYTES + MEDIA_SRTP_GROWTH];
    protect_a();
    size_t n = sealed(p, 1, 1);
    memcpy(copy, p, n);
    dry_in(&d, d.a, KEYING_RTP, &d.stranger, copy, n);
    dry_in(&d, d.a, KEYING_RTP, &d.peer_a, p, n);
    assert_int_equal(drops(d.a, RELAY_DROP_REPLAYED), 1);
    n = sealed(p, 1, 2);
    dry_in(&d, d.a, KEYING_RTP, &d.peer_a, p, n);
    where_a_is_sent(&d.peer_a);
    n = sealed(p, 1, 3);
    dry_in(&d, d.a, KEYING_RTP, &d.stranger, p, n);
    where_a_is_sent(&d.peer_a);
    dry_later(&d, LIMIT_RELAY_LATCH_MS);
    n = sealed(p, 1, 4);
    dry_in(&d, d.a, KEYING_RTP, &d.stranger, p, n); /* it has moved */
    where_a_is_sent(&d.stranger);
    n = sealed(p, 1, 5);
    dry_in(&d, d.a, KEYING_RTP, &d.peer_a, p, n);
    where_a_is_sent(&d.stranger);
}

static void replayed_and_reordered(void **state)
{
    (void)state;
    uint8_t p[10][RTP_BYTES + MEDIA_SRTP_GROWTH];
    size_t n = 0;
    protect_a();
    for (uint16_t i = 0; i < 10; i++)
        n = sealed(p[i], 1, (uint16_t)(65530 + i)); /* round the end of the sequence numbers */
    const unsigned order[] = {1, 0, 2, 4, 3, 5, 8, 7, 9, 6};
    for (unsigned i = 0; i < 10; i++)
        dry_in(&d, d.a, KEYING_RTP, &d.peer_a, p[order[i]], n);
    assert_int_equal(d.n_out, 10);
    for (unsigned i = 0; i < 10; i++)
        dry_in(&d, d.a, KEYING_RTP, &d.peer_a, p[i], n);
    assert_int_equal(d.n_out, 10);
    assert_int_equal(drops(d.a, RELAY_DROP_REPLAYED), 10);
}

/* Round the sequence numbers twice, with forged packets that would like to move the rollover
 * counter. */
static void roc_wraps(void **state)
{
    (void)state;
    uint8_t p[RTP_BYTES + MEDIA_SRTP_GROWTH], forged[RTP_BYTES];
    protect_a();
    d.relay->on_send = NULL; /* too many to keep */
    for (uint32_t i = 0; i < 3 * 65536; i += 64) {
        size_t n = sealed(p, 1, (uint16_t)i);
        dry_in(&d, d.a, KEYING_RTP, &d.peer_a, p, n);
        fixture_rtp(forged, 1, (uint16_t)(i + 40000));
        dry_in(&d, d.a, KEYING_RTP, &d.peer_a, forged, RTP_BYTES);
    }
    assert_int_equal(relay_read(&d.b->out.packets), 3 * 65536 / 64);
    assert_int_equal(drops(d.a, RELAY_DROP_FORGED), 3 * 65536 / 64);
}

static void ssrc_floods(void **state)
{
    (void)state;
    uint8_t p[RTP_BYTES + MEDIA_SRTP_GROWTH];
    size_t n;
    protect_a();
    n = sealed(p, 1, 1);
    dry_in(&d, d.a, KEYING_RTP, &d.peer_a, p, n);
    d.relay->on_send = NULL;
    for (uint32_t i = 0; i < 10000; i++) { /* forged: no state for any */
        fixture_rtp(p, 1000 + i, 1);
        dry_in(&d, d.a, KEYING_RTP, &d.peer_a, p, RTP_BYTES);
    }
    assert_int_equal(media_srtp_stats(d.a->srtp[MEDIA_SRTP_RECEIVE][0])->n_ssrcs, 1);
    /* From a clear leg into a protected one: those that were there go on. */
    rtp_from(&d.peer_b, d.b, 1);
    for (uint32_t i = 0; i < 1000; i++) {
        fixture_rtp(p, 5000 + i, 1);
        dry_in(&d, d.b, KEYING_RTP, &d.peer_b, p, RTP_BYTES);
    }
    assert_int_equal(drops(d.a, RELAY_DROP_SSRCS), 1000 - (LIMIT_SRTP_SSRCS - 1));
    uint64_t before = relay_read(&d.a->out.packets);
    rtp_from(&d.peer_b, d.b, 2);
    assert_int_equal(relay_read(&d.a->out.packets), before + 1);
    n = sealed(p, 1, 2);
    before = relay_read(&d.b->out.packets);
    dry_in(&d, d.a, KEYING_RTP, &d.peer_a, p, n);
    assert_int_equal(relay_read(&d.b->out.packets), before + 1);
}

static void forged_bye(void **state)
{
    (void)state;
    uint8_t p[RTP_BYTES + MEDIA_SRTP_GROWTH];
    struct rtcp_builder b = {.p = p, .cap = sizeof(p)};
    rtcp_put_report(&b, 1, NULL, NULL, 0);
    rtcp_put_bye(&b, 1);
    protect_a();
    dry_in(&d, d.a, KEYING_RTCP, &d.stranger, p, b.n);
    dry_in(&d, d.a, KEYING_RTCP, &d.peer_a_rtcp, p, b.n); /* spoofed */
    dry_in(&d, d.b, KEYING_RTCP, &d.stranger, p, b.n);
    assert_int_equal(d.n_out, 0);
    assert_int_equal(drops(d.a, RELAY_DROP_FORGED) + drops(d.a, RELAY_DROP_MALFORMED), 2);
    assert_int_equal(drops(d.b, RELAY_DROP_FOREIGN), 1);
    size_t n = sealed(p, 1, 1);
    dry_in(&d, d.a, KEYING_RTP, &d.peer_a, p, n);
    assert_int_equal(d.n_out, 1);
    /* One of the peer's own passes on, and ends nothing here. */
    b.n = 0;
    rtcp_put_report(&b, 1, NULL, NULL, 0);
    rtcp_put_bye(&b, 1);
    relay_end_set(d.a,
                  &(struct relay_end_setting){
                      .rtp = d.peer_a, .rtcp = d.peer_a_rtcp, .sends = true, .receives = true});
    dry_in(&d, d.a, KEYING_RTCP, &d.peer_a_rtcp, p, b.n);
    assert_int_equal(d.n_out, 2);
    rtp_from(&d.peer_a, d.a, 5);
    assert_int_equal(d.n_out, 3);
}

static void sizes(void **state)
{
    (void)state;
    uint8_t p[LIMIT_RELAY_PACKET + 1], small[RTP_BYTES + MEDIA_SRTP_GROWTH];
    uint64_t n_bad = 0;
    memset(p, 0, sizeof(p));
    fixture_rtp(p, 1, 1);
    dry_in(&d, d.a, KEYING_RTP, &d.peer_a, p, LIMIT_RELAY_PACKET);
    assert_int_equal(d.n_out, 1);
    dry_in(&d, d.a, KEYING_RTP, &d.peer_a, p, LIMIT_RELAY_PACKET + 1);
    dry_in(&d, d.a, KEYING_RTP, &d.peer_a, p, 65000);
    dry_in(&d, d.a, KEYING_RTP, &d.peer_a, p, 0);
    n_bad = 3;
    for (size_t n = 1; n < RTP_HEADER_BYTES; n++, n_bad++)
        dry_in(&d, d.a, KEYING_RTP, &d.peer_a, p, n);
    size_t n_rtcp = fixture_rtcp(p, 1);
    for (size_t n = 1; n < n_rtcp; n++) {
        if (n != 28) /* the report alone is whole */
            n_bad++;
        else
            n_bad += 0;
        dry_in(&d, d.a, KEYING_RTCP, &d.peer_a_rtcp, p, n);
    }
    assert_int_equal(d.n_out, 2);
    assert_int_equal(drops(d.a, RELAY_DROP_MALFORMED), n_bad);
    for (unsigned first = 0; first < 256; first++) { /* what is no protocol of media */
        if (first >= 128 && first <= 191)
            continue;
        p[0] = (uint8_t)first;
        dry_in(&d, d.a, KEYING_RTP, &d.peer_a, p, 100);
    }
    assert_int_equal(d.n_out, 2);
    /* The largest that may come leaves longer than it came, in its own room. */
    protect_a();
    fixture_rtp(p, 1, 2);
    dry_in(&d, d.b, KEYING_RTP, &d.peer_b, p, LIMIT_RELAY_PACKET);
    assert_int_equal(d.n_out, 3);
    assert_int_equal(d.out[2].n, LIMIT_RELAY_PACKET + 10);
    size_t n = sealed(small, 1, 3);
    for (size_t cut = 0; cut < n; cut++)
        dry_in(&d, d.a, KEYING_RTP, &d.peer_a, small, cut);
    assert_int_equal(d.n_out, 3);
    dry_in(&d, d.a, KEYING_RTP, &d.peer_a, small, n);
    assert_int_equal(d.n_out, 4);
}

static void opaque(void **state)
{
    (void)state;
    static const uint8_t hello[] = {22, 254, 253, 0}, stun[] = {0, 1, 0, 0}, zrtp[] = {16, 0, 1, 2},
                         other[] = {200, 1, 2, 3}, turn[] = {64, 1, 2, 3};
    struct relay_end_setting s = dry_setting(&d, true);
    uint8_t p[RTP_BYTES];

    s.protection = RELAY_OPAQUE;
    relay_end_set(d.a, &s);
    rtp_from(&d.peer_a, d.a, 1); /* the other end is not */
    rtp_from(&d.peer_b, d.b, 1);
    assert_int_equal(d.n_out, 0);
    assert_int_equal(drops(d.a, RELAY_DROP_NOT_JOINED) + drops(d.b, RELAY_DROP_NOT_JOINED), 2);
    s = dry_setting(&d, false);
    s.protection = RELAY_OPAQUE;
    relay_end_set(d.b, &s);
    dry_in(&d, d.a, KEYING_RTP, &d.peer_a, hello, sizeof(hello));
    dry_in(&d, d.a, KEYING_RTP, &d.peer_a, stun, sizeof(stun));
    dry_in(&d, d.a, KEYING_RTP, &d.peer_a, zrtp, sizeof(zrtp));
    rtp_from(&d.peer_a, d.a, 2);
    assert_int_equal(d.n_out, 4);
    assert_memory_equal(d.out[0].p, hello, sizeof(hello));
    assert_int_equal(d.n_told,
                     dry_count(&d, RELAY_EVENT_MEDIA, 1) + dry_count(&d, RELAY_EVENT_MEDIA, 2));
    dry_in(&d, d.a, KEYING_RTP, &d.peer_a, other, sizeof(other));
    dry_in(&d, d.a, KEYING_RTP, &d.peer_a, turn, sizeof(turn));
    dry_in(&d, d.a, KEYING_RTP, &d.stranger, hello, sizeof(hello));
    rtp_from(&d.stranger, d.a, 3);
    assert_int_equal(d.n_out, 4);
    assert_int_equal(drops(d.a, RELAY_DROP_FOREIGN), 2);
    /* DTLS for RTCP stays on RTCP's ports. */
    dry_in(&d, d.a, KEYING_RTCP, &d.peer_a_rtcp, hello, sizeof(hello));
    assert_int_equal(d.out[4].path, KEYING_RTCP);
    s = dry_setting(&d, true);
    s.protection = RELAY_OPAQUE;
    s.sends = false;
    relay_end_set(d.a, &s);
    fixture_rtp(p, 1, 4);
    dry_in(&d, d.a, KEYING_RTP, &d.peer_a, p, RTP_BYTES);
    assert_int_equal(d.n_out, 5);
}

static void policed(void **state)
{
    (void)state;
    struct relay_end_stats st;

    relay_end_police(d.a, 60 * RTP_BYTES, 60);
    relay_end_stats(d.a, &st);
    assert_int_equal(st.max_packets_s, 60);
    assert_int_equal(st.max_bytes_s, 60 * RTP_BYTES);
    for (uint16_t i = 0; i < 100; i++)
        rtp_from(&d.peer_a, d.a, i);
    assert_int_equal(d.n_out, 60);
    assert_int_equal(drops(d.a, RELAY_DROP_POLICED), 40);
    dry_later(&d, 500);
    for (uint16_t i = 0; i < 100; i++)
        rtp_from(&d.peer_a, d.a, i);
    assert_int_equal(d.n_out, 90);
    for (uint16_t i = 0; i < 50; i++) { /* strangers do not use it up */
        dry_later(&d, 20);
        rtp_from(&d.stranger, d.a, i);
        rtp_from(&d.peer_a, d.a, i);
    }
    assert_int_equal(d.n_out, 140);
    /* By bytes: large packets. */
    uint8_t p[LIMIT_RELAY_PACKET] = {0};
    fixture_rtp(p, 1, 1);
    dry_later(&d, 1000);
    for (unsigned i = 0; i < 20; i++)
        dry_in(&d, d.a, KEYING_RTP, &d.peer_a, p, 1720);
    assert_int_equal(d.n_out, 146);
}

/* In the peer's name, from its address even: what does not authenticate takes none of what it may send. */
static void policed_protected(void **state)
{
    (void)state;
    uint8_t p[RTP_BYTES + MEDIA_SRTP_GROWTH], forged[RTP_BYTES + MEDIA_SRTP_GROWTH];
    size_t n = 0;

    protect_a();
    relay_end_police(d.a, 0, 60);
    for (uint16_t i = 0; i < 100; i++) {
        fixture_rtp(forged, 7, i);
        dry_in(&d, d.a, KEYING_RTP, &d.peer_a, forged, sizeof(forged));
    }
    assert_int_equal(drops(d.a, RELAY_DROP_FORGED), 100);
    for (uint16_t i = 0; i < 100; i++) {
        n = sealed(p, 1, i);
        dry_in(&d, d.a, KEYING_RTP, &d.peer_a, p, n);
    }
    assert_int_equal(d.n_out, 60);
    assert_int_equal(drops(d.a, RELAY_DROP_POLICED), 40);
}

/* Hellos from anywhere, as many as come: the peer's own packets still get to key management. */
static void keys_flood(void **state)
{
    uint8_t hello[64] = {22, 0xfe, 0xff}, mine[64] = {22, 0xfe, 0xfd};
    struct addr from = d.stranger;
    size_t n_mine = 0;

    (void)state;
    protect_a();
    for (unsigned i = 0; i < 3 * LIMIT_RELAY_KEYS_RATE; i++) {
        addr_set_port(&from, (uint16_t)(1024 + i));
        dry_in(&d, d.a, KEYING_RTP, &from, hello, sizeof(hello));
    }
    assert_true(drops(d.a, RELAY_DROP_POLICED) >= LIMIT_RELAY_KEYS_RATE);
    heard_named = 0;
    relay_end_bind(d.a, &(struct relay_sink){
                            .event = count_named, .ref = no_reference, .unref = no_reference});
    for (; n_mine < 20; n_mine++)
        dry_in(&d, d.a, KEYING_RTP, &d.peer_a, mine, sizeof(mine));
    assert_int_equal(heard_named, n_mine);
    relay_end_bind(d.a, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(injected, start, stop),
        cmocka_unit_test_setup_teardown(latch_of_the_host, start, stop),
        cmocka_unit_test_setup_teardown(latch_is_late, start, stop),
        cmocka_unit_test_setup_teardown(latch_behind_nat, start, stop),
        cmocka_unit_test_setup_teardown(latch_never, start, stop),
        cmocka_unit_test_setup_teardown(bleed, start, stop),
        cmocka_unit_test_setup_teardown(unauthenticated, start, stop),
        cmocka_unit_test_setup_teardown(authentic_latch, start, stop),
        cmocka_unit_test_setup_teardown(not_symmetric, start, stop),
        cmocka_unit_test_setup_teardown(overtaken, start, stop),
        cmocka_unit_test_setup_teardown(replayed_and_reordered, start, stop),
        cmocka_unit_test_setup_teardown(roc_wraps, start, stop),
        cmocka_unit_test_setup_teardown(ssrc_floods, start, stop),
        cmocka_unit_test_setup_teardown(forged_bye, start, stop),
        cmocka_unit_test_setup_teardown(sizes, start, stop),
        cmocka_unit_test_setup_teardown(opaque, start, stop),
        cmocka_unit_test_setup_teardown(policed, start, stop),
        cmocka_unit_test_setup_teardown(policed_protected, start, stop),
        cmocka_unit_test_setup_teardown(keys_flood, start, stop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

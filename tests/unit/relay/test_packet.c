/* What passes between two joined ends, and what is told of it. RFC 3550, 3711, 4961, 5761. */
#include "fixture.h"

#include "oom.h"

#define BOTH (1u << KEYING_RTP | 1u << KEYING_RTCP)
#define CM80 KEYING_AES_128_CM_80
#define GCM KEYING_AES_128_GCM

static struct dry d;

static int start(void **state)
{
    (void)state;
    dry_start(&d);
    return 0;
}
static int stop(void **state)
{
    (void)state;
    dry_stop(&d);
    return 0;
}

static void clear_both_ways(void **state)
{
    (void)state;
    uint8_t p[256];
    fixture_rtp(p, 1, 1);
    dry_in(&d, d.a, KEYING_RTP, &d.peer_a, p, RTP_BYTES);
    assert_int_equal(d.n_out, 1);
    assert_ptr_equal(d.out[0].end, d.b);
    assert_true(addr_eq(&d.out[0].to, &d.peer_b));
    assert_int_equal(d.out[0].n, RTP_BYTES);
    assert_memory_equal(d.out[0].p, p, RTP_BYTES);
    dry_in(&d, d.b, KEYING_RTP, &d.peer_b, p, RTP_BYTES);
    assert_int_equal(d.n_out, 2);
    assert_true(addr_eq(&d.out[1].to, &d.peer_a));
    size_t n = fixture_rtcp(p, 1);
    dry_in(&d, d.a, KEYING_RTCP, &d.peer_a_rtcp, p, n);
    assert_int_equal(d.n_out, 3);
    assert_int_equal(d.out[2].path, KEYING_RTCP);
    assert_true(addr_eq(&d.out[2].to, &d.peer_b_rtcp));

    struct relay_end_stats s;
    relay_end_stats(d.a, &s);
    assert_int_equal(s.in.packets, 2);
    assert_int_equal(s.in_rtcp, 1);
    assert_int_equal(s.out.packets, 1);
    assert_int_equal(s.in.bytes, RTP_BYTES + n);
    assert_true(addr_eq(&s.remote, &d.peer_a));
    assert_false(s.is_latched);
    assert_int_equal(dry_count(&d, RELAY_EVENT_MEDIA, 1), 2); /* by path */
    assert_int_equal(dry_count(&d, RELAY_EVENT_MEDIA, 2), 1);
    assert_int_equal(dry_count(&d, RELAY_EVENT_REMOTE, 1), 0);
    struct relay_stats all;
    relay_stats(d.relay, &all);
    assert_int_equal(all.in_packets, 3);
    assert_int_equal(all.out_packets, 3);
    assert_int_equal(all.ends, 2);
    assert_int_equal(all.ports_used, 4);
    assert_int_equal(all.ports_free, 96);
}

static void muxed_to_two_ports(void **state)
{
    (void)state;
    uint8_t p[256];
    size_t n = fixture_rtcp(p, 1);
    dry_in(&d, d.a, KEYING_RTP, &d.peer_a, p, n); /* RTCP where it was not agreed */
    assert_int_equal(d.n_out, 0);
    struct relay_end_setting s = dry_setting(&d, true);
    s.mux = true;
    relay_end_set(d.a, &s);
    dry_in(&d, d.a, KEYING_RTP, &d.peer_a, p, n);
    assert_int_equal(d.n_out, 1);
    assert_int_equal(d.out[0].path, KEYING_RTCP);
    dry_in(&d, d.b, KEYING_RTCP, &d.peer_b_rtcp, p, n);
    assert_int_equal(d.n_out, 2);
    assert_int_equal(d.out[1].path, KEYING_RTP);
    assert_true(addr_eq(&d.out[1].to, &d.peer_a));
    fixture_rtp(p, 1, 1); /* RTP never comes by RTCP's port */
    dry_in(&d, d.b, KEYING_RTCP, &d.peer_b_rtcp, p, RTP_BYTES);
    assert_int_equal(d.n_out, 2);
}

static void held(void **state)
{
    (void)state;
    uint8_t p[256];
    struct relay_end_setting s = dry_setting(&d, true);
    s.sends = false;
    relay_end_set(d.a, &s);
    s = dry_setting(&d, false);
    s.receives = true;
    relay_end_set(d.b, &s);
    fixture_rtp(p, 1, 1);
    dry_in(&d, d.a, KEYING_RTP, &d.peer_a, p, RTP_BYTES);
    assert_int_equal(d.n_out, 0);
    size_t n = fixture_rtcp(p, 1);
    dry_in(&d, d.a, KEYING_RTCP, &d.peer_a_rtcp, p, n);
    assert_int_equal(d.n_out, 1);
    s = dry_setting(&d, true);
    s.receives = false;
    relay_end_set(d.a, &s);
    fixture_rtp(p, 1, 1);
    dry_in(&d, d.b, KEYING_RTP, &d.peer_b, p, RTP_BYTES);
    assert_int_equal(d.n_out, 1);
    s.receives = true;
    s.rtp = (struct addr){.sa.sa_family = AF_UNSPEC}; /* its address is not known yet */
    relay_end_set(d.a, &s);
    dry_in(&d, d.b, KEYING_RTP, &d.peer_b, p, RTP_BYTES);
    assert_int_equal(d.n_out, 1);
    assert_int_equal(relay_read(&d.a->dropped[RELAY_DROP_HELD]), 3);
}

/* Nothing by keys that others may have: until others to send with are there, or the time is over. */
static void withheld(void **state)
{
    (void)state;
    uint8_t p[256];
    struct relay_end_stats st;
    struct relay_end_setting s = dry_setting(&d, false);
    s.protection = RELAY_PROTECT;
    relay_end_set(d.b, &s);
    fixture_install(d.b, BOTH, true, false, CM80, 1);
    check_err(relay_end_withhold(d.b, 2000), 0);
    fixture_rtp(p, 1, 1);
    dry_in(&d, d.a, KEYING_RTP, &d.peer_a, p, RTP_BYTES);
    size_t n = fixture_rtcp(p, 1);
    dry_in(&d, d.a, KEYING_RTCP, &d.peer_a_rtcp, p, n);
    assert_int_equal(d.n_out, 0);
    relay_end_stats(d.b, &st);
    assert_true(st.is_withheld);
    fixture_install(d.b, BOTH, false, false, CM80, 3); /* to receive with: not of these */
    fixture_rtp(p, 1, 2);
    dry_in(&d, d.a, KEYING_RTP, &d.peer_a, p, RTP_BYTES);
    assert_int_equal(d.n_out, 0);
    fixture_install(d.b, BOTH, true, false, CM80, 2);
    dry_in(&d, d.a, KEYING_RTP, &d.peer_a, p, RTP_BYTES);
    assert_int_equal(d.n_out, 1);
    struct media_srtp *rx = fixture_srtp(MEDIA_SRTP_RECEIVE, CM80, 2);
    n = d.out[0].n;
    assert_int_equal(media_srtp_open(rx, d.out[0].p, &n), MEDIA_SRTP_OK);
    media_srtp_free(rx);
    relay_end_stats(d.b, &st);
    assert_false(st.is_withheld);

    check_err(relay_end_withhold(d.b, 2000), 0);
    fixture_rtp(p, 1, 3);
    dry_in(&d, d.a, KEYING_RTP, &d.peer_a, p, RTP_BYTES);
    assert_int_equal(d.n_out, 1);
    dry_later(&d, 2000);
    dry_in(&d, d.a, KEYING_RTP, &d.peer_a, p, RTP_BYTES);
    assert_int_equal(d.n_out, 2);
    check_err(relay_end_withhold(d.b, 2000), 0);
    check_err(relay_end_withhold(d.b, 0), 0);
    fixture_rtp(p, 1, 4);
    dry_in(&d, d.a, KEYING_RTP, &d.peer_a, p, RTP_BYTES);
    assert_int_equal(d.n_out, 3);
}

static void parted(void **state)
{
    (void)state;
    uint8_t p[RTP_BYTES];
    struct relay_end *c;
    struct relay_end_args args = {.cookie = 3};
    struct relay_end_setting s = dry_setting(&d, false);
    fixture_rtp(p, 1, 1);
    check_err(relay_end_new(d.call, &args, &c, NULL), 0);
    s.rtp = fixture_addr("192.0.2.3", 6000);
    relay_end_set(c, &s);
    relay_join(c, d.a); /* b is parted from it */
    dry_in(&d, d.b, KEYING_RTP, &d.peer_b, p, RTP_BYTES);
    assert_int_equal(d.n_out, 0);
    assert_int_equal(relay_read(&d.b->dropped[RELAY_DROP_NOT_JOINED]), 1);
    dry_in(&d, d.a, KEYING_RTP, &d.peer_a, p, RTP_BYTES);
    assert_int_equal(d.n_out, 1);
    assert_ptr_equal(d.out[0].end, c);
    relay_end_free(c);
    dry_in(&d, d.a, KEYING_RTP, &d.peer_a, p, RTP_BYTES);
    assert_int_equal(d.n_out, 1);
    relay_join(d.b, d.a);
    dry_in(&d, d.a, KEYING_RTP, &d.peer_a, p, RTP_BYTES);
    assert_int_equal(d.n_out, 2);
    relay_join(d.a, NULL);
    dry_in(&d, d.a, KEYING_RTP, &d.peer_a, p, RTP_BYTES);
    assert_int_equal(d.n_out, 2);
}

/* a: SDES, b: clear, then b GCM as well. */
static void protected(void **state)
{
    (void)state;
    uint8_t p[RTP_BYTES + MEDIA_SRTP_GROWTH], plain[RTP_BYTES];
    size_t n = RTP_BYTES;
    struct media_srtp *tx = fixture_srtp(MEDIA_SRTP_SEND, CM80, 1);
    struct media_srtp *rx = fixture_srtp(MEDIA_SRTP_RECEIVE, CM80, 2);
    struct media_srtp *rx_b = fixture_srtp(MEDIA_SRTP_RECEIVE, GCM, 3);
    struct relay_end_setting s = dry_setting(&d, true);

    s.protection = RELAY_PROTECT;
    s.latch = RELAY_LATCH_AUTHENTIC;
    relay_end_set(d.a, &s);
    fixture_rtp(p, 1, 1);
    memcpy(plain, p, RTP_BYTES);
    dry_in(&d, d.b, KEYING_RTP, &d.peer_b, p, n); /* no keys: nothing goes out */
    dry_in(&d, d.a, KEYING_RTP, &d.peer_a, p, n); /* and nothing is taken */
    assert_int_equal(d.n_out, 0);
    assert_int_equal(relay_read(&d.a->dropped[RELAY_DROP_NO_KEYS]), 2);
    assert_int_equal(dry_count(&d, RELAY_EVENT_MEDIA, 1), 0);

    fixture_install(d.a, BOTH, false, false, CM80, 1);
    fixture_install(d.a, BOTH, true, false, CM80, 2);
    check_err(media_srtp_protect(tx, p, &n, sizeof(p)), 0);
    for (unsigned step = 0; step < MEDIA_SRTP_WARM_STEPS; step++) { /* before the first packet */
        media_srtp_warm(d.a->srtp[MEDIA_SRTP_RECEIVE][KEYING_RTP], step);
        media_srtp_warm(d.b->srtp[MEDIA_SRTP_SEND][KEYING_RTP], step);
    }
    dry_in(&d, d.a, KEYING_RTP, &d.peer_a, p, n);
    assert_int_equal(d.n_out, 1);
    assert_int_equal(d.out[0].n, RTP_BYTES);
    assert_memory_equal(d.out[0].p, plain, RTP_BYTES);
    assert_int_equal(dry_count(&d, RELAY_EVENT_MEDIA, 1), 1);
    dry_in(&d, d.b, KEYING_RTP, &d.peer_b, plain, RTP_BYTES);
    assert_int_equal(d.n_out, 2);
    assert_memory_not_equal(d.out[1].p + 12, plain + 12, RTP_BYTES - 12);
    n = d.out[1].n;
    assert_int_equal(media_srtp_open(rx, d.out[1].p, &n), MEDIA_SRTP_OK);
    assert_memory_equal(d.out[1].p, plain, RTP_BYTES);

    s = dry_setting(&d, false);
    s.protection = RELAY_PROTECT;
    relay_end_set(d.b, &s);
    fixture_install(d.b, BOTH, true, false, GCM, 3);
    fixture_rtp(p, 1, 2);
    memcpy(plain, p, n = RTP_BYTES);
    check_err(media_srtp_protect(tx, p, &n, sizeof(p)), 0);
    dry_in(&d, d.a, KEYING_RTP, &d.peer_a, p, n);
    assert_int_equal(d.n_out, 3);
    n = d.out[2].n;
    assert_int_equal(n, RTP_BYTES + 16);
    assert_int_equal(media_srtp_open(rx_b, d.out[2].p, &n), MEDIA_SRTP_OK);
    assert_memory_equal(d.out[2].p, plain, RTP_BYTES);

    uint8_t rtcp[256 + MEDIA_SRTP_GROWTH];
    n = fixture_rtcp(rtcp, 1);
    check_err(media_srtcp_protect(tx, rtcp, &n, sizeof(rtcp)), 0);
    dry_in(&d, d.a, KEYING_RTCP, &d.peer_a_rtcp, rtcp, n);
    assert_int_equal(d.n_out, 4);
    n = d.out[3].n;
    assert_int_equal(media_srtcp_open(rx_b, d.out[3].p, &n), MEDIA_SRTP_OK);
    media_srtp_free(tx);
    media_srtp_free(rx);
    media_srtp_free(rx_b);
}

/* DTLS-SRTP without rtcp-mux: each path has keys of its own. */
static void keys_of_each_path(void **state)
{
    (void)state;
    uint8_t rtp[RTP_BYTES + MEDIA_SRTP_GROWTH], rtcp[256 + MEDIA_SRTP_GROWTH];
    struct media_srtp *tx_rtp = fixture_srtp(MEDIA_SRTP_SEND, GCM, 1);
    struct media_srtp *tx_rtcp = fixture_srtp(MEDIA_SRTP_SEND, GCM, 2);
    struct relay_end_setting s = dry_setting(&d, true);
    size_t n = RTP_BYTES, n_rtcp = fixture_rtcp(rtcp, 1);

    s.protection = RELAY_PROTECT;
    relay_end_set(d.a, &s);
    fixture_install(d.a, 1u << KEYING_RTP, false, false, GCM, 1);
    fixture_rtp(rtp, 1, 1);
    check_err(media_srtp_protect(tx_rtp, rtp, &n, sizeof(rtp)), 0);
    check_err(media_srtcp_protect(tx_rtcp, rtcp, &n_rtcp, sizeof(rtcp)), 0);
    dry_in(&d, d.a, KEYING_RTP, &d.peer_a, rtp, n);
    assert_int_equal(d.n_out, 1);
    dry_in(&d, d.a, KEYING_RTCP, &d.peer_a_rtcp, rtcp, n_rtcp);
    assert_int_equal(d.n_out, 1);
    fixture_install(d.a, 1u << KEYING_RTCP, false, false, GCM, 2);
    dry_in(&d, d.a, KEYING_RTCP, &d.peer_a_rtcp, rtcp, n_rtcp);
    assert_int_equal(d.n_out, 2);
    dry_in(&d, d.a, KEYING_RTP, &d.peer_a, rtp,
           n); /* a replay still: RTP's keys are as they were */
    assert_int_equal(relay_read(&d.a->dropped[RELAY_DROP_REPLAYED]), 1);
    media_srtp_free(tx_rtp);
    media_srtp_free(tx_rtcp);
}

static void rekeyed(void **state)
{
    (void)state;
    uint8_t p[RTP_BYTES + MEDIA_SRTP_GROWTH];
    struct media_srtp *first = fixture_srtp(MEDIA_SRTP_SEND, CM80, 1);
    struct media_srtp *second = fixture_srtp(MEDIA_SRTP_SEND, CM80, 2);
    struct relay_end_setting s = dry_setting(&d, true);
    uint16_t seq = 1;

    s.protection = RELAY_PROTECT;
    relay_end_set(d.a, &s);
    fixture_install(d.a, BOTH, false, false, CM80, 1);
    fixture_install(d.a, BOTH, false, true, CM80, 2);
    struct media_srtp *order[] = {first, second, first};
    const size_t expect_out[] = {1, 2, 2}; /* the old keys go when the new ones have been used */
    const size_t expect_media[] = {0, 1, 1};
    for (unsigned i = 0; i < 3; i++) {
        size_t n = RTP_BYTES;
        fixture_rtp(p, 1, seq++);
        check_err(media_srtp_protect(order[i], p, &n, sizeof(p)), 0);
        dry_in(&d, d.a, KEYING_RTP, &d.peer_a, p, n);
        assert_int_equal(d.n_out, expect_out[i]);
        assert_int_equal(dry_count(&d, RELAY_EVENT_MEDIA, 1), expect_media[i]);
    }
    media_srtp_free(first);
    media_srtp_free(second);
}

static void rekey_is_asked_for(void **state)
{
    (void)state;
    uint8_t p[RTP_BYTES];
    struct keying_keys keys = fixture_keys(CM80, 1);
    struct keying_install install = {.paths = BOTH, .is_send = true, .keys = &keys};
    struct relay_end_setting s = dry_setting(&d, false);

    keys.key[0].max_rtp = 20;
    s.protection = RELAY_PROTECT;
    relay_end_set(d.b, &s);
    check_err(relay_end_install(d.b, &install), 0);
    for (uint16_t i = 0; i < 30; i++) {
        fixture_rtp(p, 1, i);
        dry_in(&d, d.a, KEYING_RTP, &d.peer_a, p, RTP_BYTES);
    }
    assert_int_equal(d.n_out, 20);
    assert_int_equal(dry_count(&d, RELAY_EVENT_REKEY, 2), 1);
    assert_int_equal(relay_read(&d.b->dropped[RELAY_DROP_NO_KEYS]), 10);
    fixture_install(d.b, BOTH, true, false, CM80, 2);
    fixture_rtp(p, 1, 40);
    dry_in(&d, d.a, KEYING_RTP, &d.peer_a, p, RTP_BYTES);
    assert_int_equal(d.n_out, 21);
    /* Keys that were used before never come back (RFC 3711 9.2); then nothing goes out. */
    check_err(relay_end_install(d.b, &install), 0);
    assert_int_equal(dry_count(&d, RELAY_EVENT_REFUSED, 2), 1);
    assert_int_equal(d.told[d.n_told - 1].err, ERR_REFUSED);
    fixture_rtp(p, 1, 41);
    dry_in(&d, d.a, KEYING_RTP, &d.peer_a, p, RTP_BYTES);
    assert_int_equal(d.n_out, 21);
    install.paths = 1u << KEYING_RTP_BACK;
    check_err(relay_end_install(d.b, &install), ERR_INVALID);
}

static void silence(void **state)
{
    (void)state;
    uint8_t p[RTP_BYTES];
    fixture_rtp(p, 1, 1);
    relay_end_tick(d.a);
    dry_later(&d, 9000);
    dry_in(&d, d.a, KEYING_RTP, &d.peer_a, p, RTP_BYTES);
    dry_later(&d, 9000);
    relay_end_tick(d.a);
    assert_int_equal(dry_count(&d, RELAY_EVENT_SILENT, 1), 0);
    dry_later(&d, 1000);
    relay_end_tick(d.a);
    relay_end_tick(d.a);
    assert_int_equal(dry_count(&d, RELAY_EVENT_SILENT, 1), 1); /* once */
    dry_in(&d, d.a, KEYING_RTP, &d.stranger, p, RTP_BYTES);    /* is no sign of life */
    relay_end_tick(d.a);
    dry_in(&d, d.a, KEYING_RTP, &d.peer_a, p, RTP_BYTES);
    relay_end_tick(d.a);
    dry_later(&d, 10000);
    relay_end_tick(d.a);
    assert_int_equal(dry_count(&d, RELAY_EVENT_SILENT, 1), 2);
    struct relay_end_setting s = dry_setting(&d, false);
    s.sends = false; /* who is held need not send */
    relay_end_set(d.b, &s);
    dry_later(&d, 60000);
    relay_end_tick(d.b);
    assert_int_equal(dry_count(&d, RELAY_EVENT_SILENT, 2), 0);
}

/* ---- what others hear and send ---- */

struct heard {
    int refs;
    unsigned n;
    struct relay_event last;
    uint8_t bytes[64];
};
static void heard_ref(void *arg)
{
    ((struct heard *)arg)->refs++;
}
static void heard_unref(void *arg)
{
    ((struct heard *)arg)->refs--;
}
static void heard_event(void *arg, int section, const struct relay_event *event)
{
    struct heard *h = arg;
    assert_int_equal(section, 7);
    h->n++;
    h->last = *event;
    if (event->n <= sizeof(h->bytes) && event->n > 0)
        memcpy(h->bytes, event->bytes, event->n);
}

static void key_management(void **state)
{
    (void)state;
    static const uint8_t hello[] = {22, 254, 255, 1, 2, 3};
    struct heard heard = {0}, other = {0};
    struct relay_sink sink = {&heard, 7, heard_event, heard_ref, heard_unref};
    struct relay_end_setting s = dry_setting(&d, true);

    s.protection = RELAY_PROTECT;
    relay_end_set(d.a, &s);
    dry_in(&d, d.a, KEYING_RTP, &d.peer_a, hello, sizeof(hello)); /* nobody to hear it */
    assert_int_equal(d.n_told, 0);
    relay_end_bind(d.a, &sink);
    assert_int_equal(heard.refs, 1);
    dry_in(&d, d.a, KEYING_RTCP, &d.stranger, hello, sizeof(hello));
    assert_int_equal(heard.n, 1);
    assert_int_equal(heard.last.kind, RELAY_EVENT_KEYS);
    assert_int_equal(heard.last.path, KEYING_RTCP);
    assert_true(addr_eq(&heard.last.from, &d.stranger));
    assert_memory_equal(heard.bytes, hello, sizeof(hello));
    relay_end_send(d.a, KEYING_RTP, NULL, hello, sizeof(hello));
    relay_end_send(d.a, KEYING_RTCP, &d.stranger, hello, sizeof(hello));
    assert_int_equal(d.n_out, 2);
    assert_true(addr_eq(&d.out[0].to, &d.peer_a));
    assert_true(addr_eq(&d.out[1].to, &d.stranger));
    assert_int_equal(d.out[1].path, KEYING_RTCP);
    /* No more than a handshake needs. */
    for (unsigned i = 0; i < 2 * LIMIT_RELAY_KEYS_RATE; i++)
        dry_in(&d, d.a, KEYING_RTP, &d.stranger, hello, sizeof(hello));
    assert_true(heard.n <= LIMIT_RELAY_KEYS_RATE + 2);
    assert_true(relay_read(&d.a->dropped[RELAY_DROP_POLICED]) >= LIMIT_RELAY_KEYS_RATE);
    /* Keys that turn out to be unusable: the method's business. */
    fixture_install(d.a, BOTH, true, false, CM80, 1);
    fixture_install(d.a, BOTH, true, false, CM80, 2);
    heard.last.kind = RELAY_EVENT_KEYS;
    fixture_install(d.a, BOTH, true, false, CM80, 1);
    assert_int_equal(heard.last.kind, RELAY_EVENT_REFUSED);
    assert_int_equal(heard.last.err, ERR_REFUSED);
    assert_true(heard.last.is_send);
    assert_int_equal(d.n_told, 0);
    sink.arg = &other;
    relay_end_bind(d.a, &sink);
    assert_int_equal(heard.refs, 0);
    relay_end_bind(d.a, NULL);
    assert_int_equal(other.refs, 0);
    relay_end_bind(d.b, &sink); /* the end goes with it bound */
    assert_int_equal(other.refs, 1);
    relay_end_free(d.b);
    assert_int_equal(other.refs, 0);
}

static void figures(void **state)
{
    (void)state;
    uint8_t p[256], report[256]; /* as fixture_rtcp wants it */
    struct rtcp_builder b = {.p = report, .cap = sizeof(report)};
    struct rtcp_report block = {
        .fraction = 64, .lost = 5, .jitter = 80, .lsr = 0x33445566, .dlsr = 65536 / 2};
    struct relay_end_stats s;
    size_t n;

    for (uint16_t i = 0; i < 100; i++) {
        if (i == 50) /* lost */
            continue;
        fixture_rtp(p, 9, i);
        dry_in(&d, d.a, KEYING_RTP, &d.peer_a, p, RTP_BYTES);
        dry_later(&d, i % 2 ? 10 : 30);
    }
    relay_end_stats(d.a, &s);
    assert_int_equal(s.lost, 1);
    assert_in_range(s.jitter_us, 5000, 20000);
    assert_int_equal(s.rtp_clock, 8000);
    assert_false(s.has_report);
    /* An SR goes out to b; b says 0.6 s later when it came, 0.5 s before. */
    n = fixture_rtcp(p, 9);
    dry_in(&d, d.a, KEYING_RTCP, &d.peer_a_rtcp, p, n);
    dry_later(&d, 600);
    rtcp_put_report(&b, 10, NULL, &block, 1);
    dry_in(&d, d.b, KEYING_RTCP, &d.peer_b_rtcp, report, b.n);
    relay_end_stats(d.b, &s);
    assert_true(s.has_report);
    assert_int_equal(s.report_fraction, 64);
    assert_int_equal(s.report_lost, 5);
    assert_int_equal(s.report_jitter_us, 10000);
    assert_in_range(s.rtt_us, 99000, 101000);
    relay_end_set_clock(d.b, 48000);
    relay_end_stats(d.b, &s);
    assert_int_equal(s.rtp_clock, 48000);
}

/* ---- ports and limits ---- */

static void ports_run_out(void **state)
{
    (void)state;
    struct relay_end *ends[50];
    struct relay_end_args args = {0};
    struct addr rtp, rtcp;
    struct reason why;
    bool seen[100] = {false};

    for (unsigned i = 0; i < 48; i++) {
        check_err(relay_end_new(d.call, &args, &ends[i], &why), 0);
        relay_end_local(ends[i], &rtp, &rtcp);
        assert_true(addr_eq(&rtp, &rtcp));
        assert_in_range(addr_port(&rtp), 20000, 20099);
        assert_int_equal(addr_port(&rtp) % 2, 0);
        assert_false(seen[addr_port(&rtp) - 20000]);
        seen[addr_port(&rtp) - 20000] = true;
    }
    check_err(relay_end_new(d.call, &args, &ends[48], &why), ERR_LIMIT);
    assert_string_equal(why.code, "media-ports");
    relay_end_free(ends[3]);
    check_err(relay_end_new(d.call, &args, &ends[3], &why), 0);
    args.at = 1;
    check_err(relay_end_new(d.call, &args, &ends[48], &why), ERR_INVALID);
    relay_end_local(d.a, &rtp, &rtcp);
    assert_int_equal(addr_port(&rtcp), addr_port(&rtp) + 1);
}

static void descriptors_run_out(void **state)
{
    (void)state;
    struct relay_end_args args = {.needs_rtcp = true};
    struct relay_end *one, *two;
    struct reason why;
    struct relay_stats st;

    relay_stats(d.relay, &st);
    assert_int_equal(st.sockets, 4);
    d.relay->config.max_sockets = 7;
    check_err(relay_end_new(d.call, &args, &one, &why), 0);
    check_err(relay_end_new(d.call, &args, &two, &why), ERR_LIMIT);
    assert_string_equal(why.code, "media-descriptors");
    assert_int_equal(why.sip_status, 503);
    args.needs_rtcp = false;
    check_err(relay_end_new(d.call, &args, &two, &why), 0);
    relay_stats(d.relay, &st);
    assert_int_equal(st.sockets, 7);
    assert_int_equal(st.refused[RELAY_REFUSED_DESCRIPTORS], 1);
    assert_int_equal(st.refused[RELAY_REFUSED_PORTS], 0);
    relay_end_free(one);
    relay_end_free(two);
    relay_stats(d.relay, &st);
    assert_int_equal(st.sockets, 4);
}

static void no_memory(void **state)
{
    (void)state;
    OOM_SWEEP(100, {
        static struct dry o;
        struct relay_config config = {
            .n_workers = 2, .n_at = 1, .port_min = 1000, .port_max = 1100, .dry = true};
        struct relay_end_args args = {.ice_ufrag = STR("abcd"), .ice_pwd = STR("secretsecret")};
        struct keying_keys keys = fixture_keys(CM80, 1);
        struct keying_install install = {.paths = BOTH, .is_send = true, .keys = &keys};
        config.at[0].local = d.peer_a;
        memset(&o, 0, sizeof(o));
        if (relay_new(&config, &o.relay, NULL) == 0 && relay_call_new(o.relay, &o.call) == 0 &&
            relay_end_new(o.call, &args, &o.a, NULL) == 0) {
            struct relay_end_setting s = dry_setting(&d, true);
            s.ice_ufrag = STR("efgh");
            relay_end_set(o.a, &s);
            relay_end_set(o.a, &s);
            (void)!relay_end_install(o.a, &install);
            relay_end_send(o.a, KEYING_RTP, NULL, (const uint8_t *)"x", 1);
        }
        relay_free(o.relay);
    });
}

/* T.38 by UDPTL begins with a sequence number, which tells no protocol (RFC 7983 knows none of it). */
/* A packet of video: as long as they come, with a marker, a contributor and header extensions. Of its frames and of text in red
 * (RFC 4103, which repeats itself) nothing changes but the protection. */
static void video_and_text(void **state)
{
    (void)state;
    static const uint8_t text[] = {0xe4, 0x00, 0x01, 0x00, 0x64, 0xe2, 0x82, 0xac, 'h', 'i'};
    struct media_srtp *tx = fixture_srtp(MEDIA_SRTP_SEND, CM80, 1);
    struct media_srtp *rx = fixture_srtp(MEDIA_SRTP_RECEIVE, GCM, 2);
    struct relay_end_setting s = dry_setting(&d, true);
    uint8_t p[LIMIT_RELAY_PACKET + MEDIA_SRTP_GROWTH], was[LIMIT_RELAY_PACKET];
    s.protection = RELAY_PROTECT;
    relay_end_set(d.a, &s);
    fixture_install(d.a, BOTH, false, false, CM80, 1);
    s = dry_setting(&d, false);
    s.protection = RELAY_PROTECT;
    relay_end_set(d.b, &s);
    fixture_install(d.b, BOTH, true, false, GCM, 2);
    for (uint16_t seq = 1; seq <= 40; seq++) {
        size_t n_was = seq % 2 ? 1200 + seq : 12 + sizeof(text), n = n_was;
        for (size_t i = 0; i < n; i++)
            p[i] = (uint8_t)(i * 7 + seq);
        p[0] = seq % 2 ? 0x91 : 0x80; /* one CSRC and an extension of two words */
        p[1] = seq % 2 ? 0xe0 : 0x64; /* the last packet of a frame; text in red */
        rtp_put16(p + 2, seq);
        rtp_put32(p + 8, seq % 2 ? 0x1111 : 0x2222);
        if (seq % 2) {
            rtp_put16(p + 16, 0xbede);
            rtp_put16(p + 18, 2);
        } else {
            memcpy(p + 12, text, sizeof(text));
        }
        memcpy(was, p, n);
        assert_int_equal(media_srtp_protect(tx, p, &n, sizeof(p)), MEDIA_SRTP_OK);
        dry_in(&d, d.a, KEYING_RTP, &d.peer_a, p, n);
        assert_int_equal(d.n_out, seq);
        struct caught *out = &d.out[seq - 1];
        assert_ptr_equal(out->end, d.b);
        n = out->n;
        assert_int_equal(media_srtp_open(rx, out->p, &n), MEDIA_SRTP_OK);
        assert_int_equal(n, n_was);
        assert_memory_equal(out->p, was, n);
    }
    media_srtp_free(tx);
    media_srtp_free(rx);
}

static void fax(void **state)
{
    (void)state;
    struct relay_end_setting a = dry_setting(&d, true), b = dry_setting(&d, false);
    uint8_t p[256] = {0};
    size_t n_rtp = 0;

    a.protection = b.protection = RELAY_OPAQUE;
    relay_end_set(d.a, &a);
    relay_end_set(d.b, &b);
    for (unsigned first = 0; first < 256; first++) {
        p[0] = (uint8_t)first;
        d.n_out = 0;
        dry_in(&d, d.a, KEYING_RTP, &d.peer_a, p, 60);
        n_rtp += d.n_out;
    }
    assert_int_equal(n_rtp, 4 + 4 + 44 + 64); /* STUN, ZRTP, DTLS, RTP */
    a.is_foreign = b.is_foreign = true;
    relay_end_set(d.a, &a);
    relay_end_set(d.b, &b);
    for (unsigned first = 0; first < 256; first++) {
        p[0] = (uint8_t)first;
        p[1] = (uint8_t)(first + 100); /* 200 would be RTCP's */
        d.n_out = 0;
        dry_in(&d, d.a, KEYING_RTP, &d.peer_a, p, 60);
        assert_int_equal(d.n_out, 1);
        assert_ptr_equal(d.out[0].end, d.b);
        assert_int_equal(d.out[0].path, KEYING_RTP);
        assert_memory_equal(d.out[0].p, p, 60);
    }
    d.n_out = 0;
    dry_in(&d, d.a, KEYING_RTP, &d.stranger, p, 60);
    assert_int_equal(d.n_out, 0);
    /* Never what was decrypted, whatever is said of it. */
    a.protection = RELAY_PROTECT;
    relay_end_set(d.a, &a);
    dry_in(&d, d.a, KEYING_RTP, &d.peer_a, p, 60);
    assert_int_equal(d.n_out, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(clear_both_ways, start, stop),
        cmocka_unit_test_setup_teardown(muxed_to_two_ports, start, stop),
        cmocka_unit_test_setup_teardown(held, start, stop),
        cmocka_unit_test_setup_teardown(withheld, start, stop),
        cmocka_unit_test_setup_teardown(video_and_text, start, stop),
        cmocka_unit_test_setup_teardown(parted, start, stop),
        cmocka_unit_test_setup_teardown(protected, start, stop),
        cmocka_unit_test_setup_teardown(keys_of_each_path, start, stop),
        cmocka_unit_test_setup_teardown(rekeyed, start, stop),
        cmocka_unit_test_setup_teardown(rekey_is_asked_for, start, stop),
        cmocka_unit_test_setup_teardown(fax, start, stop),
        cmocka_unit_test_setup_teardown(silence, start, stop),
        cmocka_unit_test_setup_teardown(key_management, start, stop),
        cmocka_unit_test_setup_teardown(figures, start, stop),
        cmocka_unit_test_setup_teardown(ports_run_out, start, stop),
        cmocka_unit_test_setup_teardown(descriptors_run_out, start, stop),
        cmocka_unit_test_setup_teardown(no_memory, start, stop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* The jitter buffer: order, loss, lateness, jumps, and its delay; digits (RFC 4733 2.5). */
#include "check.h"

#include "media/dtmf.h"
#include "media/jitter.h"

static struct jitter j;

static int setup(void **state)
{
    (void)state;
    jitter_init(&j);
    return 0;
}

static int put(uint16_t seq)
{
    uint8_t b = (uint8_t)seq;
    return jitter_put(&j, seq, seq * 160u, 8, &b, 1);
}

/* Next packet's byte, -1 lost, -2 wait. */
static int get(void)
{
    const struct jitter_slot *s;
    switch (jitter_get(&j, &s)) {
    case JITTER_PACKET:
        return s->payload[0];
    case JITTER_LOST:
        return -1;
    default:
        return -2;
    }
}

static void order(void **state)
{
    (void)state;
    assert_int_equal(get(), -2);
    assert_int_equal(put(65535), 0);
    assert_int_equal(get(), -2); /* waits for a second one */
    assert_int_equal(put(1), 0);
    assert_int_equal(put(0), 0);
    check_err(put(0), ERR_EXISTS);
    assert_int_equal(get(), 255);
    assert_int_equal(get(), 0);
    check_err(put(65535), ERR_TIMEOUT);
    assert_int_equal(put(3), 0);
    assert_int_equal(get(), 1);
    assert_int_equal(get(), -1); /* 2 is lost */
    check_err(put(2), ERR_TIMEOUT);
    assert_int_equal(get(), 3);
    assert_int_equal(get(), -2);
    assert_int_equal(j.late, 2);
    assert_int_equal(j.duplicate, 1);
    assert_int_equal(j.underruns, 1);
    assert_int_equal(j.target, JITTER_TARGET_MIN + 1);
}

/* An earlier packet may still come in front before the first is given out. */
static void first_out_of_order(void **state)
{
    (void)state;
    assert_int_equal(put(11), 0);
    assert_int_equal(put(10), 0);
    assert_int_equal(get(), 10);
    assert_int_equal(get(), 11);
}

static void alone(void **state)
{
    (void)state;
    assert_int_equal(put(5), 0); /* a single packet is not kept for ever */
    unsigned i = 0;
    while (get() == -2)
        assert_true(++i < 10);
}

static void jump(void **state)
{
    (void)state;
    assert_int_equal(put(5), 0);
    assert_int_equal(put(30000), 0); /* another stream */
    assert_int_equal(put(30001), 0);
    assert_int_equal(get(), 30000 & 255);
    assert_int_equal(put(7), 0);
    assert_int_equal(put(8), 0);
    assert_int_equal(get(), 7);
}

static void shrinks(void **state)
{
    (void)state;
    uint16_t seq = 0;
    for (; seq < 6; seq++)
        assert_int_equal(put(seq), 0); /* four more than needed */
    for (int i = 0; i < 1000; i++) {
        assert_int_equal(put(seq++), 0);
        assert_true(get() >= 0);
    }
    assert_int_equal(j.n, JITTER_TARGET_MIN - 1); /* when one has just been taken */
    assert_int_equal(j.skipped, 5);
}

static void grows(void **state)
{
    (void)state;
    uint16_t seq = 0;
    for (int i = 0; i < 400; i++) { /* every 400 ms nothing comes for 100 ms, then all at once */
        if (i % 20 < 15)
            (void)!put(seq++);
        if (i % 20 == 19) {
            for (int k = 0; k < 5; k++)
                (void)!put(seq++);
        }
        (void)get();
    }
    uint64_t before = j.underruns;
    assert_in_range(before, 1, 5);
    for (int i = 0; i < 80; i++) {
        if (i % 20 < 15)
            (void)!put(seq++);
        if (i % 20 == 19) {
            for (int k = 0; k < 5; k++)
                (void)!put(seq++);
        }
        (void)get();
    }
    assert_int_equal(j.underruns, before);
}

static void too_long(void **state)
{
    (void)state;
    static uint8_t big[RTP_PACKET_MAX + 1];
    check_err(jitter_put(&j, 1, 1, 0, big, sizeof(big)), ERR_LIMIT);
    check_err(jitter_put(&j, 1, 1, 0, big, RTP_PACKET_MAX), 0);
}

static void digits(void **state)
{
    (void)state;
    struct dtmf_sender s = {0};
    struct dtmf_receiver r = {0};
    char got[8];
    unsigned n = 0, packets = 0, ends = 0, markers = 0;
    check_err(dtmf_dial(&s, STR("1x")), ERR_SYNTAX);
    assert_int_equal(dtmf_dial(&s, STR("15d")), 0);
    assert_int_equal(dtmf_dial(&s, STR("5")), 0);
    for (uint32_t ts = 4294967000u; dtmf_is_busy(&s); ts += 160) { /* the clock wraps meanwhile */
        uint8_t p[DTMF_PAYLOAD_BYTES], event;
        uint32_t at;
        bool marker;
        if (!dtmf_frame(&s, ts, 160, 8000, p, &marker, &at))
            continue;
        packets++;
        ends += p[1] >> 7;
        markers += marker;
        assert_true(rtp_get16(p + 2) <= 800);
        if (packets % 2 && dtmf_receive(&r, at, p, sizeof(p), &event)) /* half of them are lost */
            got[n++] = dtmf_char_of(event);
    }
    assert_int_equal(n, 4);
    assert_memory_equal(got, "15D5", 4);
    assert_int_equal(markers, 4);
    assert_int_equal(ends, 12); /* three for each (2.5.1.4) */
    assert_int_equal(packets, 4 * 7);
    char many[DTMF_QUEUE_MAX + 1];
    memset(many, '1', sizeof(many));
    check_err(dtmf_dial(&s, str_make(many, sizeof(many))), ERR_LIMIT);
    assert_int_equal(dtmf_event_of('#'), 11);
    assert_int_equal(dtmf_event_of('\0'), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(order, setup),    cmocka_unit_test_setup(first_out_of_order, setup),
        cmocka_unit_test_setup(alone, setup),    cmocka_unit_test_setup(jump, setup),
        cmocka_unit_test_setup(shrinks, setup),  cmocka_unit_test_setup(grows, setup),
        cmocka_unit_test_setup(too_long, setup), cmocka_unit_test(digits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

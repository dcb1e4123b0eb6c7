/* How well the media of an end arrive, here (RFC 3550 A.3, A.8) and at the peer (6.4.1, 6.4.2: its
 * reports). Of an end with several sources the figures are of the one that spoke last. What is read
 * has been accepted before: it authenticated, or came from where it may. On the worker's thread;
 * the atomic parts are for others to read. */
#include "relay/relay_priv.h"

#define SOURCE_GONE_US 1000000u /* silence of the source that is followed, until another is */
#define RTP_UNITS_S 65536u      /* DLSR and the middle of NTP times count in these */

static void set_u32(_Atomic uint32_t *to, uint32_t v)
{
    atomic_store_explicit(to, v, memory_order_relaxed);
}

void relay_quality_clock(struct relay_quality *q, uint32_t hz)
{
    q->clock_hz = hz;
    q->has_source = false; /* its jitter was in other units */
    set_u32(&q->hz, hz);
}

void relay_quality_rtp(struct relay_quality *q, const uint8_t *p, uint64_t now_us)
{
    uint16_t seq = rtp_get16(p + 2);
    uint32_t ts = rtp_get32(p + 4), ssrc = rtp_get32(p + 8);

    if (!q->has_source || q->source.ssrc != ssrc) {
        if (q->has_source && now_us < q->source_us + SOURCE_GONE_US)
            return;
        rtp_source_init(&q->source, ssrc, seq);
        q->has_source = true;
    }
    q->source_us = now_us;
    (void)!rtp_source_update(&q->source, seq, ts, (uint32_t)(now_us * q->clock_hz / 1000000));
    atomic_store_explicit(&q->lost, rtp_source_lost(&q->source), memory_order_relaxed);
    set_u32(&q->jitter_16, q->source.jitter); /* in time only for who asks */
}

static void report_in(struct relay_quality *q, const struct rtcp_report *r, uint64_t now_us)
{
    uint64_t delay_us = (uint64_t)r->dlsr * 1000000 / RTP_UNITS_S;

    atomic_store_explicit(&q->report_fraction, r->fraction, memory_order_relaxed);
    atomic_store_explicit(&q->report_lost, r->lost, memory_order_relaxed);
    set_u32(&q->report_jitter_us,
            (uint32_t)((uint64_t)r->jitter * 1000000 / q->clock_hz & UINT32_MAX));
    if (r->lsr != 0 && r->lsr == q->sr_mid && now_us >= q->sr_us + delay_us)
        set_u32(&q->rtt_us, (uint32_t)(now_us - q->sr_us - delay_us));
    atomic_store_explicit(&q->has_report, true, memory_order_relaxed);
}

void relay_quality_rtcp_in(struct relay_quality *q, const uint8_t *p, size_t n, uint64_t now_us)
{
    struct rtcp_reader reader;
    struct rtcp_packet packet;
    struct rtcp_report report;
    uint32_t from;

    if (rtcp_start(&reader, p, n, true) != 0)
        return;
    while (rtcp_next(&reader, &packet)) {
        for (unsigned i = 0; rtcp_report_get(&packet, i, &from, &report); i++)
            report_in(q, &report, now_us);
    }
}

void relay_quality_rtcp_out(struct relay_quality *q, const uint8_t *p, size_t n, uint64_t now_us)
{
    struct rtcp_reader reader;
    struct rtcp_packet packet;
    struct rtcp_sender sender;

    if (rtcp_start(&reader, p, n, true) != 0)
        return;
    while (rtcp_next(&reader, &packet)) {
        if (rtcp_sender_parse(&packet, &sender) == 0) {
            q->sr_mid = (uint32_t)(sender.ntp >> 16);
            q->sr_us = now_us;
        }
    }
}

/* One source of RTP (RFC 3550 A.1 validity, A.3 loss, A.8 jitter). Pure; one thread. */
#include "media/source.h"

#define SEQ_MOD 65536u
#define MAX_DROPOUT 3000u
#define MAX_MISORDER 100u
#define MIN_SEQUENTIAL 2u

static void restart(struct rtp_source *s, uint16_t seq)
{
    s->base_seq = seq;
    s->max_seq = seq;
    s->bad_seq = SEQ_MOD + 1; /* no sequence number */
    s->cycles = 0;
    s->received = s->received_prior = s->expected_prior = 0;
    s->has_transit = false;
}

void rtp_source_init(struct rtp_source *s, uint32_t ssrc, uint16_t seq)
{
    *s = (struct rtp_source){.ssrc = ssrc};
    restart(s, seq);
    s->max_seq = (uint16_t)(seq - 1);
    s->probation = MIN_SEQUENTIAL;
}

static void update_jitter(struct rtp_source *s, uint32_t ts, uint32_t arrival)
{
    uint32_t transit = arrival - ts;
    int32_t d = (int32_t)(transit - s->transit);
    if (s->has_transit) {
        uint32_t change = (uint32_t)(d < 0 ? -(int64_t)d : d);
        s->jitter += change - ((s->jitter + 8) >> 4);
    }
    s->transit = transit;
    s->has_transit = true;
}

static bool update_seq(struct rtp_source *s, uint16_t seq)
{
    uint16_t delta = (uint16_t)(seq - s->max_seq);
    if (s->probation) {
        if (seq != (uint16_t)(s->max_seq + 1)) {
            s->probation = MIN_SEQUENTIAL - 1;
            s->max_seq = seq;
            return false;
        }
        s->max_seq = seq;
        if (--s->probation)
            return false;
        restart(s, seq);
        return true;
    }
    if (delta < MAX_DROPOUT) {
        if (seq < s->max_seq)
            s->cycles += SEQ_MOD;
        s->max_seq = seq;
        return true;
    }
    if (delta <=
        SEQ_MOD -
            MAX_MISORDER) { /* a very large jump: only if the next packet goes on from there */
        if (seq != s->bad_seq) {
            s->bad_seq = (seq + 1u) & (SEQ_MOD - 1);
            return false;
        }
        restart(s, seq);
    }
    return true; /* a duplicate, or out of order */
}

bool rtp_source_update(struct rtp_source *s, uint16_t seq, uint32_t ts, uint32_t arrival)
{
    if (!update_seq(s, seq))
        return false;
    s->received++;
    update_jitter(s, ts, arrival);
    return true;
}

void rtp_source_sender_report(struct rtp_source *s, const struct rtcp_sender *sr, uint64_t now_us)
{
    s->lsr = (uint32_t)(sr->ntp >> 16);
    s->lsr_us = now_us;
}

static uint32_t highest(const struct rtp_source *s)
{
    return s->cycles + s->max_seq;
}

int64_t rtp_source_lost(const struct rtp_source *s)
{
    if (s->probation)
        return 0;
    return (int64_t)highest(s) - s->base_seq + 1 - s->received;
}

void rtp_source_report(struct rtp_source *s, uint64_t now_us, struct rtcp_report *ret)
{
    uint32_t expected = highest(s) - s->base_seq + 1;
    uint32_t expected_now = expected - s->expected_prior;
    int64_t lost_now = (int64_t)expected_now - (s->received - s->received_prior);
    s->expected_prior = expected;
    s->received_prior = s->received;
    int64_t lost = rtp_source_lost(s);
    *ret = (struct rtcp_report){
        .ssrc = s->ssrc, .highest = highest(s), .jitter = s->jitter >> 4, .lsr = s->lsr};
    ret->lost = (int32_t)(lost > 0x7fffff ? 0x7fffff : lost < -0x800000 ? -0x800000 : lost);
    if (expected_now && lost_now > 0)
        ret->fraction =
            (uint8_t)((lost_now << 8) / expected_now > 255 ? 255 : (lost_now << 8) / expected_now);
    if (s->lsr)
        ret->dlsr = (uint32_t)((now_us - s->lsr_us) * 65536 / 1000000);
}

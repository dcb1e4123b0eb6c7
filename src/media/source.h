/* What is known of one source of RTP packets (RFC 3550 A.1, A.3, A.8): is it one, what of it was
 * lost, how unevenly did it come. Pure; owned by one thread. */
#ifndef MEDIA_SOURCE_H
#define MEDIA_SOURCE_H

#include "media/rtcp.h"

struct rtp_source {
    uint32_t ssrc;
    uint16_t max_seq;
    uint32_t cycles, base_seq, bad_seq;
    uint32_t probation; /* packets in sequence it still has to show */
    uint32_t received, expected_prior, received_prior;
    bool has_transit;
    uint32_t transit;
    uint32_t jitter; /* 1/16 of a unit */
    uint32_t lsr;    /* middle of the NTP time in its last SR; 0: none */
    uint64_t lsr_us; /* when that came */
};
/* seq is of the first packet, which is then given to rtp_source_update as well. */
void rtp_source_init(struct rtp_source *s, uint32_t ssrc, uint16_t seq);
/* Is this packet a valid one of the source? Arrival in units of the RTP clock. */
bool rtp_source_update(struct rtp_source *s, uint16_t seq, uint32_t ts, uint32_t arrival);
void rtp_source_sender_report(struct rtp_source *s, const struct rtcp_sender *sr, uint64_t now_us);
/* Packets lost since the beginning; negative with duplicates. */
int64_t rtp_source_lost(const struct rtp_source *s);
/* The report block about it, and the beginning of the next interval. */
void rtp_source_report(struct rtp_source *s, uint64_t now_us, struct rtcp_report *ret);

#endif

/* RTCP packets (RFC 3550 6): compound packets read one by one, reports and goodbyes written. Pure;
 * any thread. */
#ifndef MEDIA_RTCP_H
#define MEDIA_RTCP_H

#include "base/str.h"
#include "media/rtp.h"

enum { RTCP_SR = 200, RTCP_RR, RTCP_SDES, RTCP_BYE, RTCP_APP, RTCP_RTPFB, RTCP_PSFB, RTCP_XR };

/* One packet of a compound. */
struct rtcp_packet {
    uint8_t type, count;
    const uint8_t *body; /* behind the common 4 bytes, padding off */
    size_t n;
};
struct rtcp_reader {
    const uint8_t *p;
    size_t n;
};
/* Checks a whole compound by RFC 3550 A.2: versions, lengths that add up, padding in the last
 * packet alone, and that it begins with a report; with `reduced` it need not (RFC 5506 4.1).
 * ERR_SYNTAX. */
MUST_USE int rtcp_start(struct rtcp_reader *r, const uint8_t *p, size_t n, bool reduced);
bool rtcp_next(struct rtcp_reader *r, struct rtcp_packet *ret);

struct rtcp_sender {
    uint64_t ntp; /* 32.32 */
    uint32_t ssrc, rtp_ts, packets, octets;
};
struct rtcp_report {
    uint32_t ssrc;    /* whom it is about */
    uint8_t fraction; /* of 256 */
    int32_t lost;
    uint32_t highest; /* cycles and sequence number */
    uint32_t jitter;  /* in units of the RTP clock */
    uint32_t lsr, dlsr;
};
/* Of an SR. ERR_SYNTAX: too short, or another type. */
MUST_USE int rtcp_sender_parse(const struct rtcp_packet *p, struct rtcp_sender *ret);
/* The i-th report of an SR or RR; false behind the last. *ret_from: who reports. */
bool rtcp_report_get(const struct rtcp_packet *p, unsigned i, uint32_t *ret_from,
                     struct rtcp_report *ret);
/* The i-th SSRC of a BYE (6.6); false behind the last. */
bool rtcp_bye_get(const struct rtcp_packet *p, unsigned i, uint32_t *ret_ssrc);

/* A builder over a fixed array, sticky when it overflows: append packets, then look at `overflow`.
 */
struct rtcp_builder {
    uint8_t *p;
    size_t n, cap;
    bool overflow;
};
/* SR with `sender`, or RR from `from` without; n reports, 31 at most. */
void rtcp_put_report(struct rtcp_builder *b, uint32_t from, const struct rtcp_sender *sender,
                     const struct rtcp_report *reports, unsigned n);
void rtcp_put_cname(struct rtcp_builder *b, uint32_t ssrc,
                    struct str cname); /* SDES with that one item; cut at 255 bytes */
void rtcp_put_bye(struct rtcp_builder *b, uint32_t ssrc);

#endif

/* RTP packets (RFC 3550 5, 5.3.1; RFC 8285 header extensions as bytes), and which protocol a
 * datagram on a media port speaks (RFC 7983, 5761 4). Views over the caller's bytes; nothing is
 * copied. What a relay, SRTP and the phone's own stream share. Pure; any thread. */
#ifndef MEDIA_RTP_H
#define MEDIA_RTP_H

#include "base/attr.h"
#include "base/err.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RTP_HEADER_BYTES 12u
#define RTP_PACKET_MAX 1500u /* what we send, and the most that is kept of what comes */

struct rtp_packet {
    bool marker, has_extension;
    uint8_t pt; /* 0 to 127 */
    uint8_t n_csrc;
    uint16_t seq;
    uint32_t ts, ssrc;
    const uint8_t *csrc; /* n_csrc times 4 bytes */
    uint16_t ext_profile;
    const uint8_t *ext; /* behind its own 4 bytes of header */
    size_t n_ext;
    const uint8_t *payload; /* without padding */
    size_t n_payload;
    size_t n_header; /* up to the payload: what SRTP leaves clear */
    uint8_t n_padding;
};
/* ERR_SYNTAX: not version 2, or shorter than it says. */
MUST_USE int rtp_parse(const uint8_t *p, size_t n, struct rtp_packet *ret);
/* Reads only what stands before the payload: of an SRTP packet padding and payload are encrypted.
 * n_payload then counts up to the end of the packet, authentication tag and MKI included. */
MUST_USE int rtp_parse_header(const uint8_t *p, size_t n, struct rtp_packet *ret);
/* Writes header, CSRCs, extension and payload (which may already stand in its place). Padding is
 * not written. ERR_LIMIT: cap; ERR_INVALID: pt, n_csrc or an extension that is no multiple of 4. */
MUST_USE int rtp_build(uint8_t *dst, size_t cap, const struct rtp_packet *packet, size_t *ret_len);

/* How far `a` is ahead of `b`, modulo 2^16 and 2^32. */
static inline int16_t rtp_seq_diff(uint16_t a, uint16_t b)
{
    return (int16_t)(uint16_t)(a - b);
}
static inline int32_t rtp_ts_diff(uint32_t a, uint32_t b)
{
    return (int32_t)(a - b);
}

/* By the first bytes. */
enum rtp_demux {
    RTP_DEMUX_OTHER,
    RTP_DEMUX_STUN,
    RTP_DEMUX_ZRTP,
    RTP_DEMUX_DTLS,
    RTP_DEMUX_TURN,
    RTP_DEMUX_RTP,
    RTP_DEMUX_RTCP
};
enum rtp_demux rtp_demux(const uint8_t *p, size_t n);

/* Numbers in network order. */
static inline uint16_t rtp_get16(const uint8_t *p)
{
    return (uint16_t)(p[0] << 8 | p[1]);
}
static inline uint32_t rtp_get32(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}
static inline void rtp_put16(uint8_t *p, unsigned v)
{
    p[0] = (uint8_t)(v >> 8);
    p[1] = (uint8_t)v;
}
static inline void rtp_put32(uint8_t *p, uint32_t v)
{
    rtp_put16(p, v >> 16);
    rtp_put16(p + 2, v & 0xffff);
}

#endif

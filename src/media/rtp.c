/* RTP packets (RFC 3550 5.1, 5.3.1) and the demultiplexing of RFC 7983 7. Pure; any thread. */
#include "media/rtp.h"
#include <string.h>

int rtp_parse_header(const uint8_t *p, size_t n, struct rtp_packet *ret)
{
    size_t at = RTP_HEADER_BYTES;
    *ret = (struct rtp_packet){0};
    if (n < at || p[0] >> 6 != 2)
        return ERR_SYNTAX;
    ret->n_csrc = p[0] & 15;
    ret->has_extension = (p[0] & 0x10) != 0;
    ret->marker = (p[1] & 0x80) != 0;
    ret->pt = p[1] & 0x7f;
    ret->seq = rtp_get16(p + 2);
    ret->ts = rtp_get32(p + 4);
    ret->ssrc = rtp_get32(p + 8);
    ret->csrc = p + at;
    at += 4u * ret->n_csrc;
    if (n < at)
        return ERR_SYNTAX;
    if (ret->has_extension) {
        if (n < at + 4)
            return ERR_SYNTAX;
        ret->ext_profile = rtp_get16(p + at);
        ret->n_ext = 4u * rtp_get16(p + at + 2);
        ret->ext = p + at + 4;
        at += 4 + ret->n_ext;
        if (n < at)
            return ERR_SYNTAX;
    }
    ret->n_header = at;
    ret->payload = p + at;
    ret->n_payload = n - at;
    return 0;
}

int rtp_parse(const uint8_t *p, size_t n, struct rtp_packet *ret)
{
    int err = rtp_parse_header(p, n, ret);
    if (err)
        return err;
    if (p[0] & 0x20) {
        ret->n_padding = p[n - 1];
        if (ret->n_padding == 0 || ret->n_padding > ret->n_payload)
            return ERR_SYNTAX;
        ret->n_payload -= ret->n_padding;
    }
    return 0;
}

int rtp_build(uint8_t *dst, size_t cap, const struct rtp_packet *packet, size_t *ret_len)
{
    size_t at = RTP_HEADER_BYTES + 4u * packet->n_csrc,
           n_ext = packet->has_extension ? 4 + packet->n_ext : 0;
    if (packet->pt > 127 || packet->n_csrc > 15 || packet->n_ext % 4 ||
        packet->n_ext / 4 > UINT16_MAX)
        return ERR_INVALID;
    if (cap < at + n_ext || cap - at - n_ext < packet->n_payload)
        return ERR_LIMIT;
    dst[0] = (uint8_t)(0x80 | (packet->has_extension ? 0x10 : 0) | packet->n_csrc);
    dst[1] = (uint8_t)((packet->marker ? 0x80 : 0) | packet->pt);
    rtp_put16(dst + 2, packet->seq);
    rtp_put32(dst + 4, packet->ts);
    rtp_put32(dst + 8, packet->ssrc);
    if (packet->n_csrc)
        memcpy(dst + RTP_HEADER_BYTES, packet->csrc, 4u * packet->n_csrc);
    if (packet->has_extension) {
        rtp_put16(dst + at, packet->ext_profile);
        rtp_put16(dst + at + 2, (unsigned)(packet->n_ext / 4));
        if (packet->n_ext)
            memcpy(dst + at + 4, packet->ext, packet->n_ext);
        at += n_ext;
    }
    if (packet->n_payload && packet->payload != dst + at)
        memmove(dst + at, packet->payload, packet->n_payload);
    *ret_len = at + packet->n_payload;
    return 0;
}

enum rtp_demux rtp_demux(const uint8_t *p, size_t n)
{
    if (n < 2)
        return RTP_DEMUX_OTHER;
    if (p[0] <= 3)
        return RTP_DEMUX_STUN;
    if (p[0] >= 16 && p[0] <= 19)
        return RTP_DEMUX_ZRTP;
    if (p[0] >= 20 && p[0] <= 63)
        return RTP_DEMUX_DTLS;
    if (p[0] >= 64 && p[0] <= 79)
        return RTP_DEMUX_TURN;
    if (p[0] >= 128 && p[0] <= 191) /* RFC 5761 4: packet types 192 to 223 are RTCP's */
        return p[1] >= 192 && p[1] <= 223 ? RTP_DEMUX_RTCP : RTP_DEMUX_RTP;
    return RTP_DEMUX_OTHER;
}

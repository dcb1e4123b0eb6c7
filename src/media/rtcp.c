/* RTCP (RFC 3550 6.4 to 6.6, A.2; RFC 5506). Pure; any thread. */
#include "media/rtcp.h"

#define REPORT_BYTES 24u
#define SENDER_BYTES 20u

/* ---- reading ---- */

int rtcp_start(struct rtcp_reader *r, const uint8_t *p, size_t n, bool reduced)
{
    size_t at = 0;
    *r = (struct rtcp_reader){p, 0};
    if (n < 4 || (!reduced && p[1] != RTCP_SR && p[1] != RTCP_RR))
        return ERR_SYNTAX;
    while (n - at >= 4) {
        size_t len = 4u * (rtp_get16(p + at + 2) + 1u);
        if (p[at] >> 6 != 2 || p[at + 1] < 192 || p[at + 1] > 223 || len > n - at)
            return ERR_SYNTAX;
        if (p[at] & 0x20) {
            uint8_t padding = p[at + len - 1];
            if (at + len != n || padding == 0 || padding % 4 || padding > len - 4)
                return ERR_SYNTAX;
        }
        at += len;
    }
    if (at != n)
        return ERR_SYNTAX;
    r->n = n;
    return 0;
}

bool rtcp_next(struct rtcp_reader *r, struct rtcp_packet *ret)
{
    if (r->n < 4)
        return false;
    size_t len = 4u * (rtp_get16(r->p + 2) + 1u);
    *ret = (struct rtcp_packet){
        .type = r->p[1], .count = r->p[0] & 31, .body = r->p + 4, .n = len - 4};
    if (r->p[0] & 0x20)
        ret->n -= r->p[len - 1];
    r->p += len;
    r->n -= len;
    return true;
}

int rtcp_sender_parse(const struct rtcp_packet *p, struct rtcp_sender *ret)
{
    if (p->type != RTCP_SR || p->n < 4 + SENDER_BYTES)
        return ERR_SYNTAX;
    ret->ssrc = rtp_get32(p->body);
    ret->ntp = (uint64_t)rtp_get32(p->body + 4) << 32 | rtp_get32(p->body + 8);
    ret->rtp_ts = rtp_get32(p->body + 12);
    ret->packets = rtp_get32(p->body + 16);
    ret->octets = rtp_get32(p->body + 20);
    return 0;
}

bool rtcp_report_get(const struct rtcp_packet *p, unsigned i, uint32_t *ret_from,
                     struct rtcp_report *ret)
{
    size_t at = 4 + (p->type == RTCP_SR ? SENDER_BYTES : 0) + (size_t)i * REPORT_BYTES;
    if ((p->type != RTCP_SR && p->type != RTCP_RR) || i >= p->count || p->n < at + REPORT_BYTES)
        return false;
    const uint8_t *b = p->body + at;
    uint32_t lost = rtp_get32(b + 4) & 0xffffff;
    *ret_from = rtp_get32(p->body);
    *ret = (struct rtcp_report){.ssrc = rtp_get32(b),
                                .fraction = b[4],
                                .lost = lost & 0x800000 ? (int32_t)lost - 0x1000000 : (int32_t)lost,
                                .highest = rtp_get32(b + 8),
                                .jitter = rtp_get32(b + 12),
                                .lsr = rtp_get32(b + 16),
                                .dlsr = rtp_get32(b + 20)};
    return true;
}

bool rtcp_bye_get(const struct rtcp_packet *p, unsigned i, uint32_t *ret_ssrc)
{
    if (p->type != RTCP_BYE || i >= p->count || p->n < 4u * (i + 1))
        return false;
    *ret_ssrc = rtp_get32(p->body + 4u * (size_t)i);
    return true;
}

/* ---- writing ---- */

/* Room for a packet of `len` bytes (a multiple of 4) with its common header; NULL: there is none.
 */
static uint8_t *begin(struct rtcp_builder *b, unsigned type, unsigned count, size_t len)
{
    if (b->overflow || b->cap - b->n < len || count > 31) {
        b->overflow = true;
        return NULL;
    }
    uint8_t *p = b->p + b->n;
    p[0] = (uint8_t)(0x80 | count);
    p[1] = (uint8_t)type;
    rtp_put16(p + 2, (unsigned)(len / 4 - 1));
    b->n += len;
    return p + 4;
}

void rtcp_put_report(struct rtcp_builder *b, uint32_t from, const struct rtcp_sender *sender,
                     const struct rtcp_report *reports, unsigned n)
{
    uint8_t *p =
        begin(b, sender ? RTCP_SR : RTCP_RR, n, 8 + (sender ? SENDER_BYTES : 0) + n * REPORT_BYTES);
    if (p == NULL)
        return;
    rtp_put32(p, from);
    p += 4;
    if (sender) {
        rtp_put32(p, (uint32_t)(sender->ntp >> 32));
        rtp_put32(p + 4, (uint32_t)sender->ntp);
        rtp_put32(p + 8, sender->rtp_ts);
        rtp_put32(p + 12, sender->packets);
        rtp_put32(p + 16, sender->octets);
        p += SENDER_BYTES;
    }
    for (unsigned i = 0; i < n; i++, p += REPORT_BYTES) {
        int32_t lost = reports[i].lost; /* 24 bits, clamped (A.3) */
        if (lost > 0x7fffff)
            lost = 0x7fffff;
        if (lost < -0x800000)
            lost = -0x800000;
        rtp_put32(p, reports[i].ssrc);
        rtp_put32(p + 4, (uint32_t)reports[i].fraction << 24 | ((uint32_t)lost & 0xffffff));
        rtp_put32(p + 8, reports[i].highest);
        rtp_put32(p + 12, reports[i].jitter);
        rtp_put32(p + 16, reports[i].lsr);
        rtp_put32(p + 20, reports[i].dlsr);
    }
}

void rtcp_put_cname(struct rtcp_builder *b, uint32_t ssrc, struct str cname)
{
    size_t n = cname.n < 255 ? cname.n : 255;
    size_t len = 8 + (2 + n + 1 + 3) / 4 * 4; /* item, then at least one zero byte (6.5) */
    uint8_t *p = begin(b, RTCP_SDES, 1, len);
    if (p == NULL)
        return;
    memset(p, 0, len - 4);
    rtp_put32(p, ssrc);
    p[4] = 1; /* CNAME */
    p[5] = (uint8_t)n;
    if (n)
        memcpy(p + 6, cname.p, n);
}

void rtcp_put_bye(struct rtcp_builder *b, uint32_t ssrc)
{
    uint8_t *p = begin(b, RTCP_BYE, 1, 8);
    if (p != NULL)
        rtp_put32(p, ssrc);
}

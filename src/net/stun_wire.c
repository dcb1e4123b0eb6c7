/* The coding of STUN messages. RFC 8489 5 (header), 14.1, 14.2, 14.7, 14.8, 14.13 (attributes).
 * Pure; any thread. */
#include "net/stun_wire.h"

#define FINGERPRINT_XOR 0x5354554eu

/* CRC-32 of ISO 3309, four bits at a time: keep-alives are short, and a table of 64 bytes stays in
 * the cache. */
static uint32_t crc32_of(const uint8_t *p, size_t n)
{
    static const uint32_t table[16] = {0x00000000, 0x1db71064, 0x3b6e20c8, 0x26d930ac,
                                       0x76dc4190, 0x6b6b51f4, 0x4db26158, 0x5005713c,
                                       0xedb88320, 0xf00f9344, 0xd6d6a3e8, 0xcb61b38c,
                                       0x9b64c2b0, 0x86d3d2d4, 0xa00ae278, 0xbdbdf21c};
    uint32_t c = 0xffffffff;

    for (size_t i = 0; i < n; i++) {
        c = table[(c ^ p[i]) & 15] ^ c >> 4;
        c = table[(c ^ p[i] >> 4) & 15] ^ c >> 4;
    }
    return ~c;
}

static size_t padded(size_t n)
{
    return (n + 3u) & ~(size_t)3;
}

bool stun_attr_next(const uint8_t *p, size_t n, size_t *at, struct stun_attr *ret, bool *ret_broken)
{
    *ret_broken = false;
    if (*at >= n)
        return false;
    *ret_broken = n - *at < 4 || padded(stun_get16(p + *at + 2)) > n - *at - 4;
    if (*ret_broken)
        return false;
    *ret = (struct stun_attr){
        .type = stun_get16(p + *at), .at = *at, .p = p + *at + 4, .n = stun_get16(p + *at + 2)};
    *at += 4 + padded(ret->n);
    return true;
}

bool stun_fingerprint_fits(const uint8_t *p, const struct stun_attr *fingerprint)
{
    return fingerprint->n == 4 &&
           stun_get32(fingerprint->p) == (crc32_of(p, fingerprint->at) ^ FINGERPRINT_XOR);
}

void stun_out_start(struct stun_out *o, uint8_t *dst, size_t cap, enum stun_type type,
                    const uint8_t *request)
{
    *o = (struct stun_out){.p = dst, .cap = cap, .overflow = cap < STUN_HEADER_BYTES};
    if (o->overflow)
        return;
    stun_put16(dst, type);
    stun_put16(dst + 2, 0);
    memcpy(dst + 4, request + 4, STUN_HEADER_BYTES - 4); /* cookie and transaction id */
    o->n = STUN_HEADER_BYTES;
}

uint8_t *stun_out_attr(struct stun_out *o, enum stun_attr_type type, size_t n)
{
    uint8_t *p = o->p + o->n;

    if (o->overflow || o->cap - o->n < 4 + padded(n)) {
        o->overflow = true;
        return NULL;
    }
    stun_put16(p, type);
    stun_put16(p + 2, (unsigned)n);
    memset(p + 4, 0, padded(n));
    o->n += 4 + padded(n);
    stun_put16(o->p + 2, (unsigned)(o->n - STUN_HEADER_BYTES));
    return p + 4;
}

/* Port and address are xored with the cookie (and, for IPv6, the transaction id), so that no NAT
 * rewrites them. */
void stun_out_mapped(struct stun_out *o, const struct addr *from)
{
    const uint8_t *key = o->p + 4; /* cookie and transaction id */
    size_t len = addr_is_v6(from) ? 16 : 4;
    const uint8_t *ip =
        addr_is_v6(from) ? from->v6.sin6_addr.s6_addr : (const uint8_t *)&from->v4.sin_addr;
    uint8_t *p = stun_out_attr(o, STUN_XOR_MAPPED_ADDRESS, 4 + len);

    if (p == NULL)
        return;
    p[1] = addr_is_v6(from) ? 2 : 1;
    stun_put16(p + 2, addr_port(from) ^ (STUN_COOKIE >> 16));
    for (size_t i = 0; i < len; i++)
        p[4 + i] = ip[i] ^ key[i];
}

void stun_out_error(struct stun_out *o, unsigned code, struct str phrase)
{
    uint8_t *p = stun_out_attr(o, STUN_ERROR_CODE, 4 + phrase.n);

    if (p == NULL)
        return;
    stun_put32(p, code / 100 << 8 | code % 100);
    memcpy(p + 4, phrase.p, phrase.n);
}

void stun_out_unknown(struct stun_out *o, const uint16_t *types, size_t n)
{
    uint8_t *p = stun_out_attr(o, STUN_UNKNOWN_ATTRIBUTES, 2 * n);

    for (size_t i = 0; p != NULL && i < n; i++)
        stun_put16(p + 2 * i, types[i]);
}

void stun_out_fingerprint(struct stun_out *o)
{
    uint8_t *p = stun_out_attr(o, STUN_FINGERPRINT, 4);

    /* The length in the header counts the attribute already, as it has to. */
    if (p != NULL)
        stun_put32(p, crc32_of(o->p, (size_t)(p - 4 - o->p)) ^ FINGERPRINT_XOR);
}

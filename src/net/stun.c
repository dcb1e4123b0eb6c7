/* STUN Binding answers, stateless. RFC 8489 5 (header), 6.3.1
 * (requests), 14.1, 14.2, 14.7, 14.8, 14.13 (attributes); RFC 5626 8 (this usage: no credentials,
 * XOR-MAPPED-ADDRESS only). Pure; any thread. */
#include "net/stun.h"
#include "base/err.h"

enum {
    TYPE_REQUEST = 0x0001,
    TYPE_INDICATION = 0x0011,
    TYPE_SUCCESS = 0x0101,
    TYPE_ERROR = 0x0111,
    ATTR_ERROR_CODE = 0x0009,
    ATTR_UNKNOWN_ATTRIBUTES = 0x000a,
    ATTR_XOR_MAPPED_ADDRESS = 0x0020,
    ATTR_FINGERPRINT = 0x8028,
    COOKIE = 0x2112a442,
    FINGERPRINT_XOR = 0x5354554e,
    UNKNOWN_MAX = 16
};

static unsigned get16(const unsigned char *p)
{
    return (unsigned)p[0] << 8 | p[1];
}

static uint32_t get32(const unsigned char *p)
{
    return (uint32_t)get16(p) << 16 | get16(p + 2);
}

static void put16(unsigned char *p, unsigned v)
{
    p[0] = (unsigned char)(v >> 8);
    p[1] = (unsigned char)v;
}

static void put32(unsigned char *p, uint32_t v)
{
    put16(p, v >> 16);
    put16(p + 2, v & 0xffff);
}

/* CRC-32 of ISO 3309, four bits at a time: keep-alives are short, and a table of 64 bytes stays in
 * the cache. */
static uint32_t crc32_of(const unsigned char *p, size_t n)
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

int stun_frame(const char *p, size_t n, size_t *ret_total)
{
    const unsigned char *b = (const unsigned char *)p;
    static const unsigned char cookie[4] = {0x21, 0x12, 0xa4, 0x42};
    *ret_total = STUN_HEADER_BYTES;
    if ((n >= 1 && (b[0] & 0xc0)) || (n >= 4 && (b[3] & 3)) ||
        (n >= 4 && get16(b + 2) > STUN_REQUEST_MAX))
        return ERR_SYNTAX;
    for (size_t i = 4; i < 8 && i < n; i++) {
        if (b[i] != cookie[i - 4])
            return ERR_SYNTAX;
    }
    if (n < STUN_HEADER_BYTES)
        return ERR_AGAIN;
    *ret_total = STUN_HEADER_BYTES + get16(b + 2);
    return n < *ret_total ? ERR_AGAIN : 0;
}

struct attrs {
    bool has_fingerprint;
    unsigned n_unknown;
    uint16_t unknown[UNKNOWN_MAX];
};

/* Comprehension-required attributes of RFC 8489 18.3: known, whatever they are for. */
static bool is_known(unsigned type)
{
    return type >= 0x8000 || type == 0x0001 || type == 0x0006 ||
           (type >= 0x0008 && type <= 0x000a) || type == 0x0014 || type == 0x0015 ||
           (type >= 0x001c && type <= 0x001e) || type == 0x0020;
}

static bool parse_attrs(const unsigned char *p, size_t n, struct attrs *ret)
{
    *ret = (struct attrs){0};
    for (size_t i = STUN_HEADER_BYTES; i < n;) {
        if (n - i < 4)
            return false;
        unsigned type = get16(p + i), len = get16(p + i + 2);
        size_t padded = (len + 3u) & ~(size_t)3;
        if (padded > n - i - 4 || ret->has_fingerprint) /* FINGERPRINT is the last one, 14.7 */
            return false;
        if (type == ATTR_FINGERPRINT) {
            if (len != 4 || get32(p + i + 4) != (crc32_of(p, i) ^ FINGERPRINT_XOR))
                return false;
            ret->has_fingerprint = true;
        } else if (!is_known(type) && ret->n_unknown < UNKNOWN_MAX) {
            ret->unknown[ret->n_unknown++] = (uint16_t)type;
        }
        i += 4 + padded;
    }
    return true;
}

/* 14.2: port and address are xored with the cookie (and, for IPv6, the transaction id), so that no
 * NAT rewrites them. */
static size_t put_mapped(unsigned char *p, const unsigned char *header, const struct addr *from)
{
    const unsigned char *key = header + 4; /* cookie and transaction id */
    size_t len = addr_is_v6(from) ? 16 : 4;
    const unsigned char *ip =
        addr_is_v6(from) ? from->v6.sin6_addr.s6_addr : (const unsigned char *)&from->v4.sin_addr;
    put16(p, ATTR_XOR_MAPPED_ADDRESS);
    put16(p + 2, (unsigned)len + 4);
    p[4] = 0;
    p[5] = addr_is_v6(from) ? 2 : 1;
    put16(p + 6, addr_port(from) ^ (COOKIE >> 16));
    for (size_t i = 0; i < len; i++)
        p[8 + i] = ip[i] ^ key[i];
    return 8 + len;
}

static size_t put_unknown(unsigned char *p, const struct attrs *a)
{
    static const char phrase[] = "Unknown Attribute"; /* 17 bytes, padded to 20 */
    const unsigned phrase_len = sizeof(phrase) - 1;
    put16(p, ATTR_ERROR_CODE);
    put16(p + 2, 4 + phrase_len);
    put32(p + 4, 4 << 8 | 20);
    memset(p + 8, 0, 20);
    memcpy(p + 8, phrase, phrase_len);
    unsigned char *q = p + 28;
    put16(q, ATTR_UNKNOWN_ATTRIBUTES);
    put16(q + 2, 2 * a->n_unknown);
    memset(q + 4, 0, (2 * a->n_unknown + 3) & ~3u);
    for (unsigned i = 0; i < a->n_unknown; i++)
        put16(q + 4 + 2 * i, a->unknown[i]);
    return 28 + 4 + ((2 * a->n_unknown + 3) & ~3u);
}

enum stun_kind stun_answer(const char *p, size_t n, const struct addr *from,
                           char dst[STUN_ANSWER_MAX], size_t *ret_n)
{
    const unsigned char *b = (const unsigned char *)p;
    unsigned char *d = (unsigned char *)dst;
    struct attrs a;
    size_t total;
    *ret_n = 0;
    if (stun_frame(p, n, &total) != 0 || total != n || !parse_attrs(b, n, &a))
        return STUN_NOT;
    unsigned type = get16(b);
    if (type != TYPE_REQUEST)
        return type == TYPE_INDICATION && a.n_unknown == 0 ? STUN_INDICATION : STUN_OTHER;
    memcpy(d, b, STUN_HEADER_BYTES);
    put16(d, a.n_unknown ? TYPE_ERROR : TYPE_SUCCESS);
    size_t at = STUN_HEADER_BYTES;
    at += a.n_unknown ? put_unknown(d + at, &a) : put_mapped(d + at, b, from);
    /* The length covers FINGERPRINT when its checksum is taken (14.7). It is sent where the other
     * side uses it. */
    put16(d + 2, (unsigned)(at - STUN_HEADER_BYTES) + (a.has_fingerprint ? 8 : 0));
    if (a.has_fingerprint) {
        put16(d + at, ATTR_FINGERPRINT);
        put16(d + at + 2, 4);
        put32(d + at + 4, crc32_of(d, at) ^ FINGERPRINT_XOR);
        at += 8;
    }
    *ret_n = at;
    return STUN_REQUEST;
}

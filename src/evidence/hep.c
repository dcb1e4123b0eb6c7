/* HEP version 3, written and read. Chunk: vendor (2 bytes, 0 for the generic ones), type (2), length with these six bytes (2),
 * value; all in network byte order. Pure; any thread. */
#include "evidence/hep.h"
#include "base/err.h"

enum chunk_type {
    CHUNK_FAMILY = 1,
    CHUNK_IP_PROTOCOL = 2,
    CHUNK_V4_FROM = 3,
    CHUNK_V4_TO = 4,
    CHUNK_V6_FROM = 5,
    CHUNK_V6_TO = 6,
    CHUNK_PORT_FROM = 7,
    CHUNK_PORT_TO = 8,
    CHUNK_SECONDS = 9,
    CHUNK_MICROSECONDS = 10,
    CHUNK_PROTOCOL_TYPE = 11,
    CHUNK_CAPTURE_ID = 12,
    CHUNK_AUTH_KEY = 14,
    CHUNK_PAYLOAD = 15
};

#define FAMILY_V4 2
#define FAMILY_V6 10
#define PROTOCOL_SIP 1
#define CHUNK_HEAD 6u

/* ---- writing ---- */

static void put(struct sbuf *b, uint64_t v, unsigned n_bytes)
{
    while (n_bytes-- > 0)
        sbuf_char(b, (char)(v >> (8 * n_bytes)));
}

static void chunk_head(struct sbuf *b, enum chunk_type type, size_t n)
{
    put(b, 0, 2);
    put(b, type, 2);
    put(b, CHUNK_HEAD + n, 2);
}

static void chunk_number(struct sbuf *b, enum chunk_type type, uint64_t v, unsigned n_bytes)
{
    chunk_head(b, type, n_bytes);
    put(b, v, n_bytes);
}

static void chunk_bytes(struct sbuf *b, enum chunk_type type, const void *p, size_t n)
{
    chunk_head(b, type, n);
    sbuf_add(b, p, n);
}

/* The four bytes of an IPv4 address, v4-mapped ones too; all zeros if it is not set. NULL: it is an IPv6 one. */
static const uint8_t *v4_bytes(const struct addr *a)
{
    static const uint8_t none[4];

    if (!addr_is_set(a))
        return none;
    if (!addr_is_v6(a))
        return (const uint8_t *)&a->v4.sin_addr;
    return IN6_IS_ADDR_V4MAPPED(&a->v6.sin6_addr) ? a->v6.sin6_addr.s6_addr + 12 : NULL;
}

static void v6_bytes(const struct addr *a, uint8_t ret[16])
{
    const uint8_t *v4 = v4_bytes(a);

    memset(ret, 0, 16);
    if (!addr_is_set(a))
        return;
    if (!v4) {
        memcpy(ret, &a->v6.sin6_addr, 16);
        return;
    }
    ret[10] = ret[11] = 0xff;
    memcpy(ret + 12, v4, 4);
}

static void chunk_addresses(struct sbuf *b, const struct hep_packet *p)
{
    const uint8_t *from4 = v4_bytes(&p->from), *to4 = v4_bytes(&p->to);
    uint8_t v6[16];

    if (from4 && to4) {
        chunk_number(b, CHUNK_FAMILY, FAMILY_V4, 1);
        chunk_number(b, CHUNK_IP_PROTOCOL, p->ip_protocol, 1);
        chunk_bytes(b, CHUNK_V4_FROM, from4, 4);
        chunk_bytes(b, CHUNK_V4_TO, to4, 4);
    } else {
        chunk_number(b, CHUNK_FAMILY, FAMILY_V6, 1);
        chunk_number(b, CHUNK_IP_PROTOCOL, p->ip_protocol, 1);
        v6_bytes(&p->from, v6);
        chunk_bytes(b, CHUNK_V6_FROM, v6, sizeof v6);
        v6_bytes(&p->to, v6);
        chunk_bytes(b, CHUNK_V6_TO, v6, sizeof v6);
    }
    chunk_number(b, CHUNK_PORT_FROM, addr_is_set(&p->from) ? addr_port(&p->from) : 0, 2);
    chunk_number(b, CHUNK_PORT_TO, addr_is_set(&p->to) ? addr_port(&p->to) : 0, 2);
}

int hep_head_build(struct sbuf *b, const struct hep_packet *p)
{
    size_t start = b->n, total;

    if (p->auth_key.n > HEP_KEY_MAX || p->payload_n > HEP_PACKET_MAX)
        return ERR_LIMIT;
    sbuf_lit(b, "HEP3");
    put(b, 0, 2);
    chunk_addresses(b, p);
    chunk_number(b, CHUNK_SECONDS, p->wall_us / 1000000, 4);
    chunk_number(b, CHUNK_MICROSECONDS, p->wall_us % 1000000, 4);
    chunk_number(b, CHUNK_PROTOCOL_TYPE, PROTOCOL_SIP, 1);
    chunk_number(b, CHUNK_CAPTURE_ID, p->capture_id, 4);
    if (p->auth_key.n)
        chunk_bytes(b, CHUNK_AUTH_KEY, p->auth_key.p, p->auth_key.n);
    chunk_head(b, CHUNK_PAYLOAD, p->payload_n);
    total = b->n - start + p->payload_n;
    if (b->overflow || total > HEP_PACKET_MAX)
        return ERR_LIMIT;
    b->p[start + 4] = (char)(total >> 8);
    b->p[start + 5] = (char)total;
    return 0;
}

/* ---- reading ---- */

static uint64_t number(struct str s)
{
    uint64_t v = 0;
    size_t i;

    for (i = 0; i < s.n; i++)
        v = v << 8 | (uint8_t)s.p[i];
    return v;
}

static void set_addr(struct addr *a, struct str v)
{
    memset(a, 0, sizeof *a);
    if (v.n == 4) {
        a->v4.sin_family = AF_INET;
        memcpy(&a->v4.sin_addr, v.p, 4);
    } else {
        a->v6.sin6_family = AF_INET6;
        memcpy(&a->v6.sin6_addr, v.p, 16);
    }
}

/* The size that a chunk's value must have; 0: any. */
static size_t chunk_size(unsigned type)
{
    switch (type) {
    case CHUNK_FAMILY:
    case CHUNK_IP_PROTOCOL:
    case CHUNK_PROTOCOL_TYPE:
        return 1;
    case CHUNK_PORT_FROM:
    case CHUNK_PORT_TO:
        return 2;
    case CHUNK_V4_FROM:
    case CHUNK_V4_TO:
    case CHUNK_SECONDS:
    case CHUNK_MICROSECONDS:
    case CHUNK_CAPTURE_ID:
        return 4;
    case CHUNK_V6_FROM:
    case CHUNK_V6_TO:
        return 16;
    default:
        return 0;
    }
}

static void take_chunk(struct hep_parsed *r, unsigned type, struct str v, uint16_t ports[2])
{
    switch (type) {
    case CHUNK_IP_PROTOCOL:
        r->ip_protocol = (uint8_t)v.p[0];
        break;
    case CHUNK_V4_FROM:
    case CHUNK_V6_FROM:
        set_addr(&r->from, v);
        break;
    case CHUNK_V4_TO:
    case CHUNK_V6_TO:
        set_addr(&r->to, v);
        break;
    case CHUNK_PORT_FROM:
        ports[0] = (uint16_t)number(v);
        break;
    case CHUNK_PORT_TO:
        ports[1] = (uint16_t)number(v);
        break;
    case CHUNK_SECONDS:
        r->wall_us += number(v) * 1000000;
        break;
    case CHUNK_MICROSECONDS:
        r->wall_us += number(v);
        break;
    case CHUNK_PROTOCOL_TYPE:
        r->protocol_type = (uint8_t)v.p[0];
        break;
    case CHUNK_CAPTURE_ID:
        r->capture_id = (uint32_t)number(v);
        break;
    case CHUNK_AUTH_KEY:
        r->auth_key = v;
        break;
    case CHUNK_PAYLOAD:
        r->payload = v;
        break;
    default:
        break;
    }
}

int hep_parse(struct str bytes, struct hep_parsed *ret)
{
    uint16_t ports[2] = {0, 0};
    size_t at = CHUNK_HEAD;

    memset(ret, 0, sizeof *ret);
    if (bytes.n < CHUNK_HEAD || memcmp(bytes.p, "HEP3", 4) != 0 || number(str_make(bytes.p + 4, 2)) != bytes.n)
        return ERR_SYNTAX;
    while (at < bytes.n) {
        unsigned vendor, type;
        struct str v;
        size_t n;

        if (bytes.n - at < CHUNK_HEAD)
            return ERR_SYNTAX;
        vendor = (unsigned)number(str_make(bytes.p + at, 2));
        type = (unsigned)number(str_make(bytes.p + at + 2, 2));
        n = (size_t)number(str_make(bytes.p + at + 4, 2));
        if (n < CHUNK_HEAD || n > bytes.n - at)
            return ERR_SYNTAX;
        v = str_make(bytes.p + at + CHUNK_HEAD, n - CHUNK_HEAD);
        at += n;
        if (vendor != 0)
            continue;
        if (chunk_size(type) && v.n != chunk_size(type))
            return ERR_SYNTAX;
        take_chunk(ret, type, v, ports);
    }
    if (!addr_is_set(&ret->from) || !addr_is_set(&ret->to) || !ret->payload.p)
        return ERR_SYNTAX;
    addr_set_port(&ret->from, ports[0]);
    addr_set_port(&ret->to, ports[1]);
    return 0;
}

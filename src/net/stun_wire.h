/* The coding of STUN messages, for all who speak STUN. RFC 8489 5, 14. Pure. */
#ifndef NET_STUN_WIRE_H
#define NET_STUN_WIRE_H

#include "base/addr.h"

#define STUN_HEADER_BYTES 20
#define STUN_COOKIE 0x2112a442u
#define STUN_FINGERPRINT_BYTES 8 /* with its header */

enum stun_type {
    STUN_BINDING_REQUEST = 0x0001,
    STUN_BINDING_INDICATION = 0x0011,
    STUN_BINDING_SUCCESS = 0x0101,
    STUN_BINDING_ERROR = 0x0111
};
/* Those from 0x8000 need not be understood. */
enum stun_attr_type {
    STUN_USERNAME = 0x0006,
    STUN_MESSAGE_INTEGRITY = 0x0008,
    STUN_ERROR_CODE = 0x0009,
    STUN_UNKNOWN_ATTRIBUTES = 0x000a,
    STUN_MESSAGE_INTEGRITY_SHA256 = 0x001c,
    STUN_XOR_MAPPED_ADDRESS = 0x0020,
    STUN_PRIORITY = 0x0024,      /* RFC 8445 16.1 */
    STUN_USE_CANDIDATE = 0x0025, /* RFC 8445 16.1 */
    STUN_FINGERPRINT = 0x8028,
    STUN_ICE_CONTROLLED = 0x8029, /* RFC 8445 16.1 */
    STUN_ICE_CONTROLLING = 0x802a /* RFC 8445 16.1 */
};

static inline unsigned stun_get16(const uint8_t *p)
{
    return (unsigned)p[0] << 8 | p[1];
}
static inline uint32_t stun_get32(const uint8_t *p)
{
    return (uint32_t)stun_get16(p) << 16 | stun_get16(p + 2);
}
static inline void stun_put16(uint8_t *p, unsigned v)
{
    p[0] = (uint8_t)(v >> 8);
    p[1] = (uint8_t)v;
}
static inline void stun_put32(uint8_t *p, uint32_t v)
{
    stun_put16(p, v >> 16);
    stun_put16(p + 2, v & 0xffff);
}

/* One attribute of a message. */
struct stun_attr {
    unsigned type;
    size_t at; /* where its header is */
    const uint8_t *p;
    size_t n;
};
/* The attribute at *at (the first: STUN_HEADER_BYTES), which then is the next one's place. False at
 * the end of the message; *ret_broken: there is no attribute, and something. */
bool stun_attr_next(const uint8_t *p, size_t n, size_t *at, struct stun_attr *ret,
                    bool *ret_broken);
/* Does the attribute's checksum fit the message before it? */
bool stun_fingerprint_fits(const uint8_t *p, const struct stun_attr *fingerprint);

/* ---- writing ---- */

/* An answer to the request whose header this is; bounded by the room that the caller has. */
struct stun_out {
    uint8_t *p;
    size_t n, cap;
    bool overflow;
};
void stun_out_start(struct stun_out *o, uint8_t *dst, size_t cap, enum stun_type type,
                    const uint8_t *request);
/* Adds an attribute with room for n bytes, padded with zeros, and counts it in the header. NULL: no
 * room. */
uint8_t *stun_out_attr(struct stun_out *o, enum stun_attr_type type, size_t n);
void stun_out_mapped(struct stun_out *o, const struct addr *from);          /* 14.2 */
void stun_out_error(struct stun_out *o, unsigned code, struct str phrase);  /* 14.8 */
void stun_out_unknown(struct stun_out *o, const uint16_t *types, size_t n); /* 14.13 */
/* The last one: 14.7. */
void stun_out_fingerprint(struct stun_out *o);

#endif

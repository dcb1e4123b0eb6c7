/* STUN Binding answers, stateless. RFC 8489 6.3.1 (requests), RFC 5626 8 (this usage: no
 * credentials, XOR-MAPPED-ADDRESS only). Pure; any thread. */
#include "net/stun.h"
#include "base/err.h"
#include "net/stun_wire.h"

#define UNKNOWN_MAX 16u

int stun_frame(const char *p, size_t n, size_t *ret_total)
{
    const uint8_t *b = (const uint8_t *)p;
    static const unsigned char cookie[4] = {0x21, 0x12, 0xa4, 0x42};
    *ret_total = STUN_HEADER_BYTES;
    if ((n >= 1 && (b[0] & 0xc0)) || (n >= 4 && (b[3] & 3)) ||
        (n >= 4 && stun_get16(b + 2) > STUN_REQUEST_MAX))
        return ERR_SYNTAX;
    for (size_t i = 4; i < 8 && i < n; i++) {
        if (b[i] != cookie[i - 4])
            return ERR_SYNTAX;
    }
    if (n < STUN_HEADER_BYTES)
        return ERR_AGAIN;
    *ret_total = STUN_HEADER_BYTES + stun_get16(b + 2);
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

static bool parse_attrs(const uint8_t *p, size_t n, struct attrs *ret)
{
    size_t at = STUN_HEADER_BYTES;
    struct stun_attr a;
    bool broken;

    *ret = (struct attrs){0};
    while (stun_attr_next(p, n, &at, &a, &broken)) {
        if (ret->has_fingerprint) /* FINGERPRINT is the last one, 14.7 */
            return false;
        if (a.type == STUN_FINGERPRINT) {
            if (!stun_fingerprint_fits(p, &a))
                return false;
            ret->has_fingerprint = true;
        } else if (!is_known(a.type) && ret->n_unknown < UNKNOWN_MAX) {
            ret->unknown[ret->n_unknown++] = (uint16_t)a.type;
        }
    }
    return !broken;
}

enum stun_kind stun_answer(const char *p, size_t n, const struct addr *from,
                           char dst[STUN_ANSWER_MAX], size_t *ret_n)
{
    const uint8_t *b = (const uint8_t *)p;
    struct stun_out o;
    struct attrs a;
    size_t total;

    *ret_n = 0;
    if (stun_frame(p, n, &total) != 0 || total != n || !parse_attrs(b, n, &a))
        return STUN_NOT;
    if (stun_get16(b) != STUN_BINDING_REQUEST)
        return stun_get16(b) == STUN_BINDING_INDICATION && a.n_unknown == 0 ? STUN_INDICATION
                                                                            : STUN_OTHER;
    stun_out_start(&o, (uint8_t *)dst, STUN_ANSWER_MAX,
                   a.n_unknown ? STUN_BINDING_ERROR : STUN_BINDING_SUCCESS, b);
    if (a.n_unknown) {
        stun_out_error(&o, 420, STR("Unknown Attribute"));
        stun_out_unknown(&o, a.unknown, a.n_unknown);
    } else {
        stun_out_mapped(&o, from);
    }
    if (a.has_fingerprint) /* sent where the other side uses it */
        stun_out_fingerprint(&o);
    *ret_n = o.n;
    return STUN_REQUEST;
}

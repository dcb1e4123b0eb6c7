/* RDATA of SRV (RFC 2782) and NAPTR (RFC 3403 4.1) records, and names in text form (RFC 1035 3.1).
 * Pure. */
#include "base/err.h"
#include "net/dns.h"

#define NAME_MAX_TEXT (DNS_NAME_TEXT_MAX - 1)
#define LABEL_MAX 63u

/* Hosts and services are all that RFC 3263 asks for; anything else in a name is a trick or a
 * mistake. */
static bool is_name_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '_';
}

bool dns_name_is_valid(struct str name)
{
    if (name.n && name.p[name.n - 1] == '.')
        name.n--;
    if (name.n == 0 || name.n > NAME_MAX_TEXT)
        return false;
    size_t label = 0;
    for (size_t i = 0; i < name.n; i++) {
        if (name.p[i] != '.') {
            if (!is_name_char(name.p[i]) || ++label > LABEL_MAX)
                return false;
        } else if (label == 0) {
            return false;
        } else {
            label = 0;
        }
    }
    return label > 0;
}

/* Reads forward, never behind the end; after the first failure everything is 0. */
struct reader {
    const unsigned char *p;
    size_t n;
    bool failed;
};

static struct str read_bytes(struct reader *r, size_t n)
{
    if (r->failed || n > r->n) {
        r->failed = true;
        return STR_NULL;
    }
    struct str s = str_make((const char *)r->p, n);
    r->p += n;
    r->n -= n;
    return s;
}

static unsigned read_u8(struct reader *r)
{
    struct str s = read_bytes(r, 1);
    return s.p ? (unsigned char)s.p[0] : 0;
}

static uint16_t read_u16(struct reader *r)
{
    unsigned high = read_u8(r), low = read_u8(r);
    return (uint16_t)(high << 8 | low);
}

/* Lower-case text without final dot; the root is empty. A compression pointer is no label here. */
static void read_name(struct reader *r, char dst[DNS_NAME_TEXT_MAX])
{
    size_t n = 0;
    for (;;) {
        unsigned len = read_u8(r);
        if (r->failed || len == 0)
            break;
        struct str label = read_bytes(r, len);
        if (len > LABEL_MAX || !label.p || n + (n > 0) + len > NAME_MAX_TEXT) {
            r->failed = true;
            break;
        }
        if (n)
            dst[n++] = '.';
        for (size_t i = 0; i < len; i++) {
            if (!is_name_char(label.p[i]))
                r->failed = true;
            dst[n++] = str_lower(label.p[i]);
        }
    }
    dst[r->failed ? 0 : n] = '\0';
}

static int reader_end(const struct reader *r)
{
    return r->failed || r->n ? ERR_SYNTAX : 0;
}

int dns_srv_parse(struct str rdata, struct dns_srv *ret)
{
    struct reader r = {(const unsigned char *)rdata.p, rdata.n, false};
    ret->priority = read_u16(&r);
    ret->weight = read_u16(&r);
    ret->port = read_u16(&r);
    read_name(&r, ret->target);
    return reader_end(&r);
}

int dns_naptr_parse(struct str rdata, struct dns_naptr *ret)
{
    struct reader r = {(const unsigned char *)rdata.p, rdata.n, false};
    ret->order = read_u16(&r);
    ret->preference = read_u16(&r);
    ret->flags = read_bytes(&r, read_u8(&r));
    ret->services = read_bytes(&r, read_u8(&r));
    ret->regexp = read_bytes(&r, read_u8(&r));
    read_name(&r, ret->replacement);
    return reader_end(&r);
}

int dns_addr_parse(struct str rdata, enum dns_type type, uint16_t port, struct addr *ret)
{
    memset(ret, 0, sizeof(*ret));
    if (type == DNS_A && rdata.n == 4) {
        ret->v4.sin_family = AF_INET;
        memcpy(&ret->v4.sin_addr, rdata.p, 4);
    } else if (type == DNS_AAAA && rdata.n == 16) {
        ret->v6.sin6_family = AF_INET6;
        memcpy(&ret->v6.sin6_addr, rdata.p, 16);
    } else {
        return ERR_SYNTAX;
    }
    addr_set_port(ret, port);
    return 0;
}

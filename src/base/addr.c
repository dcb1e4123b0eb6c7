/* Transport addresses (addr.h): text forms of RFC 3261 25.1 and RFC 5952, v4-mapped IPv6 (RFC
 * 4291 2.5.5.2) taken as the IPv4 address it stands for. Pure; any thread. */
#include "base/addr.h"
#include "base/err.h"
#include "base/sbuf.h"
#include <arpa/inet.h>

/* The address as 16 bytes; an IPv4 one in its v4-mapped form. */
struct addr_bytes {
    unsigned char b[16];
    bool is_v4;
};

static const unsigned char mapped_prefix[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

static struct addr_bytes bytes_of(const struct addr *a)
{
    struct addr_bytes ret = {{0}, false};
    if (a->sa.sa_family == AF_INET) {
        memcpy(ret.b, mapped_prefix, sizeof(mapped_prefix));
        memcpy(ret.b + 12, &a->v4.sin_addr, 4);
        ret.is_v4 = true;
    } else if (a->sa.sa_family == AF_INET6) {
        memcpy(ret.b, &a->v6.sin6_addr, 16);
        ret.is_v4 = memcmp(ret.b, mapped_prefix, sizeof(mapped_prefix)) == 0;
    }
    return ret;
}

static bool is_link_local(const unsigned char b[16])
{
    return b[0] == 0xfe && (b[1] & 0xc0) == 0x80;
}

/* --- Text to address --- */

/* Four numbers without leading zeros, as inet_pton has it. */
static bool parse_v4(struct str s, unsigned char ret[4])
{
    size_t i = 0;
    for (unsigned k = 0; k < 4; k++) {
        unsigned v = 0;
        size_t begin = k && i < s.n && s.p[i] == '.' ? ++i : i;
        for (; i < s.n && i - begin < 3 && s.p[i] >= '0' && s.p[i] <= '9'; i++)
            v = v * 10 + (unsigned)(s.p[i] - '0');
        if (i == begin || (k && s.p[begin - 1] != '.') || v > 255 ||
            (s.p[begin] == '0' && i - begin > 1))
            return false;
        ret[k] = (unsigned char)v;
    }
    return i == s.n;
}

int addr_parse(struct addr *ret, struct str host, uint16_t port)
{
    char text[INET6_ADDRSTRLEN];
    struct str scope = STR_NULL;
    struct addr a;
    memset(&a, 0, sizeof(a));
    if (host.n >= 2 && host.p[0] == '[') {
        if (host.p[host.n - 1] != ']')
            return ERR_SYNTAX;
        host = str_make(host.p + 1, host.n - 2);
        if (str_find_char(host, ':') == host.n) /* brackets are for IPv6 only */
            return ERR_SYNTAX;
    }
    if (str_find_char(host, ':') < host.n) {
        uint32_t id = 0;
        scope = str_cut(host, '%', &host);
        if (str_find_char(host, '\0') < host.n || str_copy_z(text, sizeof(text), host) != 0)
            return ERR_SYNTAX;
        if (inet_pton(AF_INET6, text, &a.v6.sin6_addr) != 1)
            return ERR_SYNTAX;
        if (scope.p &&
            (!is_link_local(a.v6.sin6_addr.s6_addr) || str_to_u32(scope, UINT32_MAX, &id) != 0))
            return ERR_SYNTAX;
        a.v6.sin6_scope_id = id;
        a.v6.sin6_family = AF_INET6;
        a.v6.sin6_port = htons(port);
    } else {
        unsigned char bytes[4];
        if (!parse_v4(host, bytes))
            return ERR_SYNTAX;
        memcpy(&a.v4.sin_addr, bytes, sizeof(bytes));
        a.v4.sin_family = AF_INET;
        a.v4.sin_port = htons(port);
    }
    *ret = a;
    return 0;
}

int addr_parse_hostport(struct addr *ret, struct str hostport)
{
    size_t colon = hostport.n;
    uint32_t port;
    while (colon && hostport.p[colon - 1] != ':')
        colon--;
    if (colon == 0)
        return ERR_SYNTAX;
    struct str host = {hostport.p, colon - 1}, digits = {hostport.p + colon, hostport.n - colon};
    if (digits.n > 5 || str_to_u32(digits, 65535, &port) != 0)
        return ERR_SYNTAX;
    if (str_find_char(host, ':') < host.n && host.p[0] != '[') /* "::1:5060" would be ambiguous */
        return ERR_SYNTAX;
    return addr_parse(ret, host, (uint16_t)port);
}

/* --- Questions --- */

bool addr_is_set(const struct addr *a)
{
    return a->sa.sa_family == AF_INET || a->sa.sa_family == AF_INET6;
}

bool addr_is_v6(const struct addr *a)
{
    return a->sa.sa_family == AF_INET6;
}

bool addr_is_loopback(const struct addr *a)
{
    struct addr_bytes b = bytes_of(a);
    return b.is_v4 ? b.b[12] == 127 : addr_is_v6(a) && memcmp(b.b, &in6addr_loopback, 16) == 0;
}

bool addr_is_any(const struct addr *a)
{
    static const unsigned char zero[16];
    struct addr_bytes b = bytes_of(a);
    return b.is_v4 ? memcmp(b.b + 12, zero, 4) == 0 : addr_is_v6(a) && memcmp(b.b, zero, 16) == 0;
}

socklen_t addr_len(const struct addr *a)
{
    return addr_is_v6(a) ? sizeof(a->v6) : sizeof(a->v4);
}

uint16_t addr_port(const struct addr *a)
{
    if (a->sa.sa_family == AF_INET)
        return ntohs(a->v4.sin_port);
    return addr_is_v6(a) ? ntohs(a->v6.sin6_port) : 0;
}

void addr_set_port(struct addr *a, uint16_t port)
{
    if (addr_is_v6(a))
        a->v6.sin6_port = htons(port);
    else
        a->v4.sin_port = htons(port);
}

/* The interface a link-local address belongs to; 0 for all others, where the kernel may fill in
 * anything. */
static uint32_t scope_of(const struct addr *a)
{
    return addr_is_v6(a) && is_link_local(a->v6.sin6_addr.s6_addr) ? a->v6.sin6_scope_id : 0;
}

bool addr_eq_host(const struct addr *a, const struct addr *b)
{
    if (a->sa.sa_family == AF_INET && b->sa.sa_family == AF_INET)
        return a->v4.sin_addr.s_addr == b->v4.sin_addr.s_addr;
    struct addr_bytes x = bytes_of(a), y = bytes_of(b);
    return addr_is_set(a) == addr_is_set(b) && memcmp(x.b, y.b, 16) == 0 &&
           scope_of(a) == scope_of(b);
}

bool addr_eq(const struct addr *a, const struct addr *b)
{
    return addr_port(a) == addr_port(b) && addr_eq_host(a, b);
}

uint64_t addr_hash(const struct addr *a)
{
    char key[22];
    struct addr_bytes b = bytes_of(a);
    uint16_t port = addr_port(a);
    uint32_t scope = scope_of(a);
    memcpy(key, b.b, 16);
    memcpy(key + 16, &port, 2);
    memcpy(key + 18, &scope, 4);
    return str_hash(str_make(key, sizeof(key)));
}

/* --- Address to text --- */

static void text_v4(struct sbuf *out, const unsigned char b[4])
{
    for (int i = 0; i < 4; i++) {
        if (i)
            sbuf_char(out, '.');
        char text[3] = {(char)('0' + b[i] / 100), (char)('0' + b[i] / 10 % 10), (char)('0' + b[i] % 10)};
        size_t skip = b[i] < 10 ? 2 : b[i] < 100 ? 1 : 0;
        sbuf_add(out, text + skip, sizeof(text) - skip);
    }
}

static void text_group(struct sbuf *out, unsigned v)
{
    static const char digits[16] = "0123456789abcdef";
    bool has_begun = false;
    for (int shift = 12; shift >= 0; shift -= 4) {
        unsigned digit = v >> shift & 15;
        if (digit || has_begun || shift == 0) {
            sbuf_char(out, digits[digit]);
            has_begun = true;
        }
    }
}

/* RFC 5952 4: lower case, no leading zeros, the longest (of equals the first) run of two or more
 * zero groups as "::"; 5: a v4-mapped address ends in dotted form. */
static void text_v6(struct sbuf *out, const unsigned char b[16])
{
    unsigned group[8];
    int run_at = -1, run_len = 1;
    if (memcmp(b, mapped_prefix, sizeof(mapped_prefix)) == 0) {
        sbuf_lit(out, "::ffff:");
        text_v4(out, b + 12);
        return;
    }
    for (int i = 0; i < 8; i++)
        group[i] = (unsigned)b[2 * i] << 8 | b[2 * i + 1];
    for (int i = 0; i < 8; i++) {
        int len = 0;
        while (i + len < 8 && group[i + len] == 0)
            len++;
        if (len > run_len) {
            run_at = i;
            run_len = len;
        }
        i += len;
    }
    for (int i = 0; i < 8; i++) {
        if (i == run_at) {
            sbuf_lit(out, "::");
            i += run_len - 1;
            continue;
        }
        if (i && i != run_at + run_len)
            sbuf_char(out, ':');
        text_group(out, group[i]);
    }
}

static void text_host(struct sbuf *out, const struct addr *a)
{
    if (addr_is_v6(a)) {
        sbuf_char(out, '[');
        text_v6(out, a->v6.sin6_addr.s6_addr);
        if (scope_of(a)) {
            sbuf_char(out, '%');
            sbuf_u64(out, scope_of(a));
        }
        sbuf_char(out, ']');
    } else if (addr_is_set(a)) {
        unsigned char b[4];
        memcpy(b, &a->v4.sin_addr, 4);
        text_v4(out, b);
    } else {
        sbuf_lit(out, "unset");
    }
}

struct str addr_text_host(const struct addr *a, char dst[ADDR_TEXT_MAX])
{
    struct sbuf out = sbuf_make(dst, ADDR_TEXT_MAX - 1);
    text_host(&out, a);
    dst[out.n] = '\0';
    return sbuf_get(&out);
}

struct str addr_text(const struct addr *a, char dst[ADDR_TEXT_MAX])
{
    struct sbuf out = sbuf_make(dst, ADDR_TEXT_MAX - 1);
    text_host(&out, a);
    if (addr_is_set(a)) {
        sbuf_char(&out, ':');
        sbuf_u64(&out, addr_port(a));
    }
    dst[out.n] = '\0';
    return sbuf_get(&out);
}

/* --- Networks --- */

/* Are bits `from`.. of the 128 all zero? */
static bool is_zero_from(const unsigned char b[16], unsigned from)
{
    for (unsigned i = from; i < 128; i++) {
        if (b[i / 8] >> (7 - i % 8) & 1)
            return false;
    }
    return true;
}

int addr_net_parse(struct addr_net *ret, struct str text)
{
    struct addr_net net;
    struct str host, digits = str_cut(text, '/', &host);
    uint32_t bits;
    memset(&net, 0, sizeof(net));
    if (addr_parse(&net.base, host, 0) != 0)
        return ERR_SYNTAX;
    unsigned width = addr_is_v6(&net.base) ? 128 : 32;
    bits = width;
    if (digits.p && (digits.n > 3 || str_to_u32(digits, width, &bits) != 0))
        return ERR_SYNTAX;
    struct addr_bytes b = bytes_of(&net.base);
    if (!is_zero_from(b.b, 128 - width + bits))
        return ERR_SYNTAX;
    net.bits = (uint8_t)bits;
    *ret = net;
    return 0;
}

bool addr_net_has(const struct addr_net *net, const struct addr *a)
{
    struct addr_bytes x = bytes_of(&net->base), y = bytes_of(a);
    unsigned bits = net->bits + (addr_is_v6(&net->base) ? 0u : 96u);
    bool is_v4_net = x.is_v4 && bits >= 96;
    if (!addr_is_set(a) || !addr_is_set(&net->base) || is_v4_net != y.is_v4)
        return false;
    for (unsigned i = 0; i < bits / 8; i++) {
        if (x.b[i] != y.b[i])
            return false;
    }
    unsigned rest = bits % 8;
    return rest == 0 || (x.b[bits / 8] ^ y.b[bits / 8]) >> (8 - rest) == 0;
}

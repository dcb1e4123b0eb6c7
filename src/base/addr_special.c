/* Addresses that are no place on the Internet: IANA's registries of special-purpose addresses (RFC
 * 6890 and what has been added since), and multicast. Pure; any thread. */
#include "base/addr.h"

struct block {
    const char *base;
    uint8_t bits;
    const char *what;
};

static const struct block blocks[] = {
    {"0.0.0.0", 8, "this network"},
    {"10.0.0.0", 8, "private use"},
    {"100.64.0.0", 10, "shared address space"},
    {"127.0.0.0", 8, "loopback"},
    {"169.254.0.0", 16, "link local"},
    {"172.16.0.0", 12, "private use"},
    {"192.0.0.0", 24, "protocol assignments"},
    {"192.0.2.0", 24, "documentation"},
    {"192.88.99.0", 24, "6to4 relay"},
    {"192.168.0.0", 16, "private use"},
    {"198.18.0.0", 15, "benchmarking"},
    {"198.51.100.0", 24, "documentation"},
    {"203.0.113.0", 24, "documentation"},
    {"224.0.0.0", 4, "multicast"},
    {"240.0.0.0", 4, "reserved"},
    {"64:ff9b:1::", 48, "local translation"},
    {"100::", 64, "discard only"},
    {"2001::", 23, "protocol assignments"},
    {"2001:db8::", 32, "documentation"},
    {"3fff::", 20, "documentation"},
    {"5f00::", 16, "segment routing"},
    {"fc00::", 7, "unique local"},
    {"fe80::", 10, "link local"},
    {"fec0::", 10, "site local"},
    {"ff00::", 8, "multicast"},
    {"::", 128, "unspecified"},
    {"::1", 128, "loopback"},
    {"::", 96, "IPv4 compatible"},
};

/* IPv6 addresses that lead to the IPv4 address inside of them: translators (RFC 6052 2.1), 6to4
 * (RFC 3056 2). */
static bool inner_v4(const struct addr *a, struct addr *ret)
{
    static const unsigned char nat64[12] = {0, 0x64, 0xff, 0x9b};
    const unsigned char *b = a->v6.sin6_addr.s6_addr, *inner = NULL;

    if (!addr_is_v6(a))
        return false;
    if (memcmp(b, nat64, sizeof nat64) == 0)
        inner = b + 12;
    else if (b[0] == 0x20 && b[1] == 0x02)
        inner = b + 2;
    if (!inner)
        return false;
    memset(ret, 0, sizeof *ret);
    ret->v4.sin_family = AF_INET;
    memcpy(&ret->v4.sin_addr, inner, 4);
    return true;
}

const char *addr_special(const struct addr *a)
{
    struct addr v4;
    size_t i;

    if (!addr_is_set(a))
        return "no address";
    if (inner_v4(a, &v4))
        return addr_special(&v4);
    for (i = 0; i < ARRAY_LEN(blocks); i++) {
        struct addr_net net = {.bits = blocks[i].bits};

        if (addr_parse(&net.base, str_z(blocks[i].base), 0) == 0 && addr_net_has(&net, a))
            return blocks[i].what;
    }
    return NULL;
}

bool addr_may_fetch(const struct addr *a, const struct addr_net *allowed, size_t n)
{
    size_t i;

    for (i = 0; i < n; i++)
        if (addr_net_has(&allowed[i], a))
            return true;
    return addr_is_set(a) && !addr_special(a);
}

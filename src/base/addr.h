/* IP transport addresses. Value type; text forms per RFC 3261 25.1 (IPv6 in brackets) and RFC 5952. */
#ifndef BASE_ADDR_H
#define BASE_ADDR_H

#include "base/str.h"
#include <netinet/in.h>
#include <sys/socket.h>

struct addr {
    union {
        struct sockaddr sa;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
    };
};

#define ADDR_TEXT_MAX 64 /* "[ipv6%scope]:65535" and the NUL */

/* Host is a literal, IPv6 with or without brackets; no names are looked up. A link-local IPv6 address may have a numeric
 * scope ("fe80::1%2"). ERR_SYNTAX. */
MUST_USE int addr_parse(struct addr *ret, struct str host, uint16_t port);
/* "host:port" or "[v6]:port"; the port is required. */
MUST_USE int addr_parse_hostport(struct addr *ret, struct str hostport);
bool addr_is_set(const struct addr *a);
bool addr_is_v6(const struct addr *a);
bool addr_is_loopback(const struct addr *a);
bool addr_is_any(const struct addr *a);
socklen_t addr_len(const struct addr *a);
uint16_t addr_port(const struct addr *a);
void addr_set_port(struct addr *a, uint16_t port);
bool addr_eq(const struct addr *a, const struct addr *b);      /* address and port; v4-mapped v6 equals v4 */
bool addr_eq_host(const struct addr *a, const struct addr *b); /* address only */
uint64_t addr_hash(const struct addr *a);
/* Terminated text. addr_text gives "1.2.3.4:5060" or "[::1]:5060", addr_text_host the host alone in SIP form. */
struct str addr_text(const struct addr *a, char dst[ADDR_TEXT_MAX]);
struct str addr_text_host(const struct addr *a, char dst[ADDR_TEXT_MAX]);

/* A network in CIDR form ("10.0.0.0/8", "::1", "127.0.0.1"). Bits of the base behind the prefix length must be 0
 * (ERR_SYNTAX): "10.1.2.3/8" is more likely a mistake than a wish. A v4-mapped IPv6 address counts as the IPv4 one; apart
 * from that an IPv6 network, "::/0" as well, has no IPv4 address in it. */
struct addr_net {
    struct addr base;
    uint8_t bits;
};
MUST_USE int addr_net_parse(struct addr_net *ret, struct str text);
bool addr_net_has(const struct addr_net *net, const struct addr *a);

/* What kind of special-purpose address it is ("loopback", "private use"; RFC 6890), with what translators and tunnels carry inside
 * looked at; NULL for one that is a place on the Internet. */
const char *addr_special(const struct addr *a);
/* May something be fetched from there, though a stranger named the place? Not from special-purpose addresses, unless a network of
 * the list has them. To be asked about the address that a connection goes to, not about what a name once resolved to. */
bool addr_may_fetch(const struct addr *a, const struct addr_net *allowed, size_t n);

#endif

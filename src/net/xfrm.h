/* The kernel's IPsec policies (RFC 4301 4.4.1), as NETLINK_XFRM tells them: does one protect what
 * goes between this host and a peer? For hops that are declared to be protected below SIP
 * (TR/100 7.2.2). Needs CAP_NET_ADMIN. Parsing is pure; reading blocks for a moment. */
#ifndef NET_XFRM_H
#define NET_XFRM_H

#include "base/addr.h"
#include "base/err.h"
#include "base/reason.h"

#define NET_XFRM_MAX 1024u /* policies that are looked at */

struct net_xfrm_policy {
    struct addr_net from, to; /* selector; 0 bits: any address of the family */
    uint16_t from_port, from_port_mask, to_port, to_port_mask;
    uint8_t proto; /* 0: any */
    bool is_in, is_out;
    bool protects; /* allowed, and by a template that is not optional */
};
struct net_xfrm {
    struct net_xfrm_policy v[NET_XFRM_MAX];
    size_t n;
    bool has_more; /* than there is room for */
};

/* One piece of the kernel's answer, after others. 0; ERR_AGAIN: more comes; ERR_REFUSED: the kernel
 * does not tell us; ERR_SYNTAX. */
MUST_USE int net_xfrm_parse(const void *bytes, size_t n, struct net_xfrm *ret);
/* Asks the kernel. ERR_REFUSED: no permission; ERR_UNSUPPORTED: it has no IPsec; ERR_IO. */
MUST_USE int net_xfrm_read(struct net_xfrm *ret, struct reason *why);
/* Are both directions between a port of ours and all of these addresses protected? */
bool net_xfrm_covers(const struct net_xfrm *x, const struct addr *ours,
                     const struct addr_net *peer);

#endif

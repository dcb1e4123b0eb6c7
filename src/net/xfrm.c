/* The kernel's IPsec policies (net/xfrm.h): linux/xfrm.h, XFRM_MSG_GETPOLICY as a dump. */
#include "net/xfrm.h"
#include <errno.h>
#include <linux/netlink.h>
#include <linux/xfrm.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#define PIECE 32768u
#define PIECES_MAX 4096u /* an endless answer ends here */
#define WAIT_S 2

/* ---- parsing ---- */

static int net_of(const xfrm_address_t *a, unsigned family, unsigned bits, struct addr_net *ret)
{
    struct sockaddr_in v4 = {.sin_family = AF_INET};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6};

    memset(ret, 0, sizeof *ret);
    if (bits > (family == AF_INET ? 32u : 128u))
        return ERR_SYNTAX;
    memcpy(&v4.sin_addr, &a->a4, sizeof v4.sin_addr);
    memcpy(&v6.sin6_addr, a->a6, sizeof v6.sin6_addr);
    if (family == AF_INET)
        memcpy(&ret->base, &v4, sizeof v4);
    else
        memcpy(&ret->base, &v6, sizeof v6);
    ret->bits = (uint8_t)bits;
    return 0;
}

/* Does it ask for ESP (RFC 4303) in each case? AH and IPComp keep nothing secret. */
static bool templates_protect(const char *p, size_t n)
{
    struct xfrm_user_tmpl t;
    bool any = false;

    for (; n >= sizeof t; p += sizeof t, n -= sizeof t) {
        memcpy(&t, p, sizeof t);
        any = any || (t.id.proto == IPPROTO_ESP && !t.optional);
    }
    return any;
}

static bool attributes_protect(const char *p, size_t n)
{
    struct nlattr a;
    size_t len;

    while (n >= sizeof a) {
        memcpy(&a, p, sizeof a);
        if (a.nla_len < sizeof a || a.nla_len > n)
            return false;
        if ((a.nla_type & NLA_TYPE_MASK) == XFRMA_TMPL &&
            templates_protect(p + NLA_HDRLEN, a.nla_len - NLA_HDRLEN))
            return true;
        len = NLA_ALIGN(a.nla_len);
        if (len > n)
            return false;
        p += len;
        n -= len;
    }
    return false;
}

static int policy_parse(const char *p, size_t n, struct net_xfrm *ret)
{
    struct xfrm_userpolicy_info info;
    struct net_xfrm_policy *to = &ret->v[ret->n];

    if (n < sizeof info)
        return ERR_SYNTAX;
    memcpy(&info, p, sizeof info);
    if (info.sel.family != AF_INET && info.sel.family != AF_INET6)
        return 0; /* of no address: says nothing of a peer's */
    if (ret->n == NET_XFRM_MAX) {
        ret->has_more = true;
        return 0;
    }
    if (net_of(&info.sel.saddr, info.sel.family, info.sel.prefixlen_s, &to->from) != 0 ||
        net_of(&info.sel.daddr, info.sel.family, info.sel.prefixlen_d, &to->to) != 0)
        return ERR_SYNTAX;
    to->from_port = ntohs(info.sel.sport);
    to->from_port_mask = ntohs(info.sel.sport_mask);
    to->to_port = ntohs(info.sel.dport);
    to->to_port_mask = ntohs(info.sel.dport_mask);
    to->proto = info.sel.proto;
    to->is_in = info.dir == XFRM_POLICY_IN;
    to->is_out = info.dir == XFRM_POLICY_OUT;
    to->protects =
        info.action == XFRM_POLICY_ALLOW &&
        attributes_protect(p + NLMSG_ALIGN(sizeof info),
                           n < NLMSG_ALIGN(sizeof info) ? 0 : n - NLMSG_ALIGN(sizeof info));
    ret->n++;
    return 0;
}

static int error_of(const char *p, size_t n)
{
    struct nlmsgerr e;

    if (n < sizeof e.error)
        return ERR_SYNTAX;
    memcpy(&e.error, p, sizeof e.error);
    return e.error == 0 ? 0 : ERR_REFUSED;
}

int net_xfrm_parse(const void *bytes, size_t n, struct net_xfrm *ret)
{
    const char *p = bytes;
    struct nlmsghdr h;
    size_t len;
    int err;

    while (n >= sizeof h) {
        memcpy(&h, p, sizeof h);
        if (h.nlmsg_len < NLMSG_HDRLEN || h.nlmsg_len > n)
            return ERR_SYNTAX;
        if (h.nlmsg_type == NLMSG_DONE)
            return 0;
        if (h.nlmsg_type == NLMSG_ERROR)
            return error_of(p + NLMSG_HDRLEN, h.nlmsg_len - NLMSG_HDRLEN);
        if (h.nlmsg_type == XFRM_MSG_NEWPOLICY &&
            (err = policy_parse(p + NLMSG_HDRLEN, h.nlmsg_len - NLMSG_HDRLEN, ret)) != 0)
            return err;
        len = NLMSG_ALIGN(h.nlmsg_len);
        if (len > n)
            len = n;
        p += len;
        n -= len;
    }
    return n ? ERR_SYNTAX : ERR_AGAIN;
}

/* ---- asking ---- */

static int ask(int fd)
{
    struct {
        struct nlmsghdr h;
        struct xfrm_userpolicy_id id;
    } q = {.h = {.nlmsg_len = sizeof q,
                 .nlmsg_type = XFRM_MSG_GETPOLICY,
                 .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP,
                 .nlmsg_seq = 1}};
    const struct sockaddr_nl kernel = {.nl_family = AF_NETLINK};
    const struct timeval wait = {.tv_sec = WAIT_S};

    if (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait) != 0)
        return ERR_IO;
    return sendto(fd, &q, sizeof q, 0, (const struct sockaddr *)&kernel, sizeof kernel) ==
                   (ssize_t)sizeof q
               ? 0
               : ERR_IO;
}

static int take(int fd, struct net_xfrm *ret)
{
    static char piece[PIECE]; /* main thread alone */
    struct sockaddr_nl from;
    socklen_t len;
    unsigned i;
    ssize_t n;
    int err = ERR_AGAIN;

    for (i = 0; i < PIECES_MAX && err == ERR_AGAIN; i++) {
        len = sizeof from;
        n = recvfrom(fd, piece, sizeof piece, 0, (struct sockaddr *)&from, &len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return ERR_IO;
        if (len == sizeof from && from.nl_pid == 0) /* the kernel, and nobody else */
            err = net_xfrm_parse(piece, (size_t)n, ret);
    }
    return err == ERR_AGAIN ? ERR_LIMIT : err;
}

int net_xfrm_read(struct net_xfrm *ret, struct reason *why)
{
    int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_XFRM), err;

    ret->n = 0;
    ret->has_more = false;
    if (fd < 0) {
        reason_set(why, "no-ipsec", "TR/100 7.2.2", 0, "%s", strerror(errno));
        return ERR_UNSUPPORTED;
    }
    err = ask(fd);
    if (err == 0)
        err = take(fd, ret);
    close(fd);
    if (err != 0)
        reason_set(why, err == ERR_REFUSED ? "no-permission" : "netlink", "TR/100 7.2.2", 0, "%s",
                   err_text(err));
    return err;
}

/* ---- judging ---- */

static bool net_in(const struct addr_net *outer, const struct addr_net *inner)
{
    if (addr_is_v6(&outer->base) != addr_is_v6(&inner->base) || outer->bits > inner->bits)
        return false;
    return outer->bits == 0 || addr_net_has(outer, &inner->base);
}

static bool port_in(uint16_t port, uint16_t selected, uint16_t mask)
{
    return ((port ^ selected) & mask) == 0;
}

static bool covers(const struct net_xfrm *x, bool out, const struct addr_net *own, uint16_t port,
                   const struct addr_net *peer)
{
    size_t i;

    for (i = 0; i < x->n; i++) {
        const struct net_xfrm_policy *p = &x->v[i];

        if (!(out ? p->is_out : p->is_in) || !p->protects ||
            (p->proto != 0 && p->proto != IPPROTO_UDP && p->proto != IPPROTO_TCP))
            continue;
        if (out ? net_in(&p->from, own) && net_in(&p->to, peer) &&
                      port_in(port, p->from_port, p->from_port_mask) && !p->to_port_mask
                : net_in(&p->to, own) && net_in(&p->from, peer) &&
                      port_in(port, p->to_port, p->to_port_mask) && !p->from_port_mask)
            return true;
    }
    return false;
}

bool net_xfrm_covers(const struct net_xfrm *x, const struct addr *ours, const struct addr_net *peer)
{
    const struct addr_net own = {.base = *ours, .bits = addr_is_v6(ours) ? 128 : 32};

    return covers(x, true, &own, addr_port(ours), peer) &&
           covers(x, false, &own, addr_port(ours), peer);
}

/* Hops that are declared to be protected by IPsec, against the policies of the kernel
 * (TR/100 7.2.2): each address of the peer that the configuration names, with each of our listeners
 * in clear of its family. Main thread. */
#include "base/log.h"
#include "edge/edge_priv.h"
#include "edge/peers/peers.h"
#include "net/xfrm.h"
#include "sip/uri.h"

static bool is_clear(const struct config_listen *l)
{
    return l->transport == TRANSPORT_UDP || l->transport == TRANSPORT_TCP;
}

/* Is it protected along all listeners that it may be spoken with by? One on all addresses cannot be
 * told apart: not checked. */
static enum peer_below check_net(const struct config *cfg, const struct net_xfrm *x,
                                 const struct addr_net *peer)
{
    enum peer_below ret = PEER_BELOW_NO_ADDRESS;
    size_t i;

    for (i = 0; i < cfg->n_listens; i++) {
        const struct config_listen *l = &cfg->listens[i];

        if (!is_clear(l) || addr_is_v6(&l->addr) != addr_is_v6(&peer->base) ||
            (addr_is_loopback(&l->addr) && !addr_is_loopback(&peer->base)))
            continue;
        if (addr_is_any(&l->addr))
            return PEER_BELOW_NO_ADDRESS;
        if (!net_xfrm_covers(x, &l->addr, peer))
            return PEER_BELOW_MISSING;
        ret = PEER_BELOW_CHECKED;
    }
    return ret;
}

static bool next_hop_net(const struct config_peer *p, struct addr_net *ret)
{
    struct sip_uri u;

    return p->next_hop.n && sip_uri_parse(p->next_hop, &u) == 0 && addr_net_parse(ret, u.host) == 0;
}

static enum peer_below check_peer(const struct config *cfg, const struct net_xfrm *x,
                                  const struct config_peer *p)
{
    enum peer_below ret = PEER_BELOW_NO_ADDRESS, one;
    struct addr_net hop;
    size_t i;

    if (!x)
        return PEER_BELOW_NO_PERMISSION;
    if (p->next_hop.n && !next_hop_net(p, &hop))
        return PEER_BELOW_NO_ADDRESS; /* a name, and wherever that leads */
    if (p->next_hop.n)
        ret = check_net(cfg, x, &hop);
    for (i = 0; i < p->n_sources && (!p->next_hop.n || ret == PEER_BELOW_CHECKED); i++) {
        one = check_net(cfg, x, &p->sources[i]);
        if (one != PEER_BELOW_CHECKED)
            return one;
        ret = one;
    }
    return ret;
}

void edge_check_protection(struct edge *e, const struct net_xfrm *x, uint64_t at_s)
{
    size_t i;

    for (i = 0; i < e->cfg->n_peers; i++) {
        const struct config_peer *p = &e->cfg->peers[i];
        struct peer_state *s =
            p->protected_by == CONFIG_PROTECTED_IPSEC ? peer_state_get(e, p) : NULL;
        enum peer_below is;

        if (!s)
            continue;
        is = check_peer(e->cfg, x, p);
        __atomic_store_n(&s->below_s, at_s, __ATOMIC_RELAXED);
        __atomic_store_n(&s->below, is, __ATOMIC_RELAXED);
        if (is == PEER_BELOW_MISSING)
            LOG(LOG_WARN, "ipsec-missing", LS("peer", p->name), LS("says", p->protected_says));
    }
}

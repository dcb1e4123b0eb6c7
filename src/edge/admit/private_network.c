/* Private network traffic: P-Private-Network-Indication, RFC 7316; TR/100 6.5, recommendation 1.
 *
 * A request is traffic of a private network where it comes from a user of ours, or from a peer of
 * that network that says so itself; it is marked where it leaves to a peer of the same network.
 * From anybody else the mark is worth nothing, and nobody else is told (RFC 7316 5, 8): it is taken
 * off. Worker thread. */
#include "edge/admit/private_network.h"

#define NAME STR("P-Private-Network-Indication")

/* The network that its sender may say it is traffic of, and says; empty: none. */
static struct str network_of(const struct edge_req *r)
{
    const struct sip_hdr *h = sip_msg_hdr(r->m, SIP_H_P_PRIVATE_NETWORK_INDICATION, 0);
    struct str value;

    if (!h || !r->who.peer || !r->who.peer->private_network.n ||
        h->next >= 0)
        return STR_NULL;
    (void)str_cut(h->value, ';', &value);
    value = str_trim(value);
    return str_eq_nocase(value, r->who.peer->private_network) ? value : STR_NULL;
}

static bool is_of_user(const struct edge_req *r)
{
    return r->who.kind == PRINCIPAL_USER && !r->who.peer;
}

static bool is_of(const struct edge_req *r, const struct config_peer *p)
{
    return p && p->private_network.n &&
           (is_of_user(r) || str_eq_nocase(network_of(r), p->private_network));
}

bool private_network_is_from(const struct edge_req *r)
{
    return network_of(r).n > 0;
}

bool private_network_is_to(const struct edge_req *r, const struct edge_target *t)
{
    return is_of(r, t->peer);
}

bool private_network_may_carry(const struct edge_req *r, const struct config_peer *p)
{
    switch ((enum config_carries)p->carries) {
    case CONFIG_CARRIES_PRIVATE:
        return is_of(r, p);
    case CONFIG_CARRIES_PUBLIC:
        return !private_network_is_from(r);
    case CONFIG_CARRIES_ANY:
        break;
    }
    return true;
}

enum config_verify private_network_verify(const struct edge_req *r)
{
    const struct config_peer *p = r->who.peer;

    if (!p)
        return CONFIG_VERIFY_PREFER;
    return p->private.verify && private_network_is_from(r)
               ? (enum config_verify)(p->private.verify - 1)
               : p->verify_identity;
}

enum config_sign private_network_sign(const struct edge_req *r, const struct edge_target *t)
{
    if (!t->peer)
        return CONFIG_SIGN_BASE;
    return t->peer->private.sign && private_network_is_to(r, t)
               ? (enum config_sign)(t->peer->private.sign - 1)
               : t->peer->sign_identity;
}

struct config_status private_network_status(const struct config_peer *p, bool is_private)
{
    struct config_status s = p->status;

    if (is_private && p->private.require)
        s.require = p->private.require;
    if (is_private && p->private.on_attack)
        s.on_attack = p->private.on_attack - 1;
    return s;
}

void private_network_edit(struct sip_edit *e, const struct edge_req *r, const struct edge_target *t)
{
    struct str out = t->peer ? t->peer->private_network : STR_NULL;

    if (sip_msg_has(r->m, SIP_H_P_PRIVATE_NETWORK_INDICATION))
        sip_edit_remove(e, SIP_H_P_PRIVATE_NETWORK_INDICATION);
    if (is_of(r, t->peer) && !sip_msg_in_dialog(r->m) && r->m->method != SIP_REGISTER &&
        r->m->method != SIP_ACK && r->m->method != SIP_CANCEL)
        sip_edit_add_named(e, NAME, out);
}

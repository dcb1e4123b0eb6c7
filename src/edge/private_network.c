/* Private network traffic: P-Private-Network-Indication, RFC 7316; TR/100 6.5, recommendation 1.
 *
 * A request is traffic of a private network where it comes from a user of ours, or from a peer of
 * that network that says so itself; it is marked where it leaves to a peer of the same network.
 * From anybody else the mark is worth nothing, and nobody else is told (RFC 7316 5, 8): it is taken
 * off. Worker thread. */
#include "edge/private_network.h"

#define NAME STR("P-Private-Network-Indication")

/* The network that its sender may say it is traffic of, and says; empty: none. */
static struct str network_of(const struct edge_req *r)
{
    const struct sip_hdr *h = sip_msg_hdr_named(r->m, NAME, 0);
    struct str value;

    if (!h || !r->who.peer || !r->who.peer->private_network.n ||
        sip_msg_hdr_named(r->m, NAME, 1) != NULL)
        return STR_NULL;
    (void)str_cut(h->value, ';', &value);
    value = str_trim(value);
    return str_eq_nocase(value, r->who.peer->private_network) ? value : STR_NULL;
}

void private_network_edit(struct sip_edit *e, const struct edge_req *r, const struct edge_target *t)
{
    struct str out = t->peer ? t->peer->private_network : STR_NULL, in = network_of(r);
    bool is_user = r->who.kind == PRINCIPAL_USER && !r->who.peer;
    bool is_of_it = out.n && (is_user || str_eq_nocase(in, out));

    if (sip_msg_hdr_named(r->m, NAME, 0))
        sip_edit_remove_named(e, NAME);
    if (is_of_it && !sip_msg_in_dialog(r->m) && r->m->method != SIP_REGISTER &&
        r->m->method != SIP_ACK && r->m->method != SIP_CANCEL)
        sip_edit_add_named(e, NAME, out);
}

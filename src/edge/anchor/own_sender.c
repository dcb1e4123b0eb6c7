/* For whom a request of our own within an anchored call is: it is written as one side of the dialog
 * would send it, and signed and asserted as if that side had sent it (RFC 8224 6.1, RFC 4916 4.4;
 * TR/100 recommendation 4). Who the side is was settled by the gate when the dialog was made, and
 * is in its sealed token as a hash: whoever From names counts only if it is that one (RFC
 * 8224 12.1.1: of a diverted call it is not). Memory of the request. Worker thread. */
#include "edge/admit/gate_priv.h"
#include "edge/anchor/anchor_priv.h"
#include "edge/peers/subscriber.h"
#include "edge/route/route_priv.h"

static void set_user(struct edge_req *r, const struct token_side *side)
{
    struct principal who = {.kind = PRINCIPAL_USER, .peer = subscriber_of_id(r->cfg, side->who)};
    bool is_anonymous;

    if (who.peer)
        who.name = subscriber_aor(r->m->arena, who.peer);
    else if (gate_claimed_aor(r, &who.name, &is_anonymous) != 0 || is_anonymous)
        return;
    if (who.name.n && principal_id(&who) == side->who)
        r->who = who;
}

void anchor_own_sender(struct edge_req *r)
{
    const struct token_side *side = r->from_caller ? &r->token.caller : &r->token.callee;
    const struct config_peer *p;

    r->who = (struct principal){0};
    if (side->kind == PRINCIPAL_USER)
        set_user(r, side);
    else if (side->kind == PRINCIPAL_PEER && (p = route_peer_of_side(r->cfg, side)) != NULL)
        r->who = (struct principal){.kind = PRINCIPAL_PEER, .name = p->name, .peer = p};
}

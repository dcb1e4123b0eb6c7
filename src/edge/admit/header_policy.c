/* What stanzas take off of messages (edge/admit/header_policy.h). */
#include "edge/admit/header_policy.h"

static void take_off(struct sip_edit *e, const struct sip_msg *m, const struct config_strs *l)
{
    for (size_t i = 0; l && i < l->n; i++)
        if (sip_msg_hdr_named(m, l->v[i], 0))
            sip_edit_remove_named(e, l->v[i]);
}

void header_policy_request(struct sip_edit *e, const struct edge_req *r,
                           const struct edge_target *t)
{
    if (r->emergency || t->emergency)
        return;
    take_off(e, r->m, r->who.peer ? &r->who.peer->remove_from : NULL);
    take_off(e, r->m, t->peer ? &t->peer->remove_to : NULL);
}

void header_policy_response(struct sip_edit *e, const struct sip_msg *m,
                            const struct config_peer *from, const struct config_strs *to)
{
    take_off(e, m, from ? &from->remove_from : NULL);
    take_off(e, m, to);
}

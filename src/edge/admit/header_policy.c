/* What stanzas take off of messages, and put into them (edge/admit/header_policy.h). */
#include "edge/admit/header_policy.h"

static void take_off(struct sip_edit *e, const struct sip_msg *m, const struct config_strs *l)
{
    for (size_t i = 0; l && i < l->n; i++)
        if (sip_msg_hdr_named(m, l->v[i], 0))
            sip_edit_remove_named(e, l->v[i]);
}

static struct str name_of(struct str line)
{
    struct str name;

    (void)str_cut(line, ':', &name);
    return name;
}

static void put(struct sip_edit *e, const struct sip_msg *m, const struct config_strs *l)
{
    struct str name;

    for (size_t i = 0; i < l->n; i++) /* all first: a name may be there twice */
        if (sip_msg_hdr_named(m, name_of(l->v[i]), 0))
            sip_edit_remove_named(e, name_of(l->v[i]));
    for (size_t i = 0; i < l->n; i++) {
        struct str value = str_trim(str_cut(l->v[i], ':', &name));

        sip_edit_add_named(e, name, value);
    }
}

void header_policy_request(struct sip_edit *e, const struct edge_req *r,
                           const struct edge_target *t)
{
    if (r->emergency || t->emergency)
        return;
    take_off(e, r->m, r->who.peer ? &r->who.peer->remove_from : NULL);
    take_off(e, r->m, t->peer ? &t->peer->remove_to : NULL);
    if (t->peer)
        put(e, r->m, &t->peer->set_to);
}

void header_policy_response(struct sip_edit *e, const struct sip_msg *m,
                            const struct config_peer *from, const struct config_strs *to)
{
    take_off(e, m, from ? &from->remove_from : NULL);
    take_off(e, m, to);
}

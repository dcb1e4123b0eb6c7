/* The mark of calls to and from the telephone network (edge/admit/gateway_mark.h). */
#include "edge/admit/gateway_mark.h"

#define NAME STR("X-Sallyport-Gateway")

static bool is_gateway(const struct config_peer *p)
{
    return p && p->kind == CONFIG_GATEWAY;
}

static void mark(struct sip_edit *e, const struct sip_msg *m, bool is_wanted, bool is_believed)
{
    bool has = sip_msg_hdr_named(m, NAME, 0) != NULL;

    if (has && !is_believed)
        sip_edit_remove_named(e, NAME);
    else if (!has && is_wanted)
        sip_edit_add_named(e, NAME, STR("pstn"));
}

bool gateway_is_marked(const struct sip_msg *m)
{
    return sip_msg_hdr_named(m, NAME, 0) != NULL;
}

/* What begins something says it; what follows belongs to that. */
void gateway_mark_request(struct sip_edit *e, const struct edge_req *r)
{
    mark(e, r->m,
         is_gateway(r->who.peer) && !sip_msg_in_dialog(r->m) && r->m->method != SIP_ACK &&
             r->m->method != SIP_CANCEL,
         r->who.kind != PRINCIPAL_USER || r->who.peer);
}

void gateway_mark_response(struct sip_edit *e, const struct sip_msg *m,
                           const struct config_peer *from, bool is_phone)
{
    mark(e, m, is_gateway(from) && m->status > 100 && m->status < 300, !is_phone);
}

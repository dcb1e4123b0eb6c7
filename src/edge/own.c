/* Requests whose end is this server itself: OPTIONS (RFC 3261 11.2); for all others what a UAS says that has no such service
 * (8.2.1, 8.2.2). The gate has seen the sender. Worker thread. */
#include "edge/request_priv.h"
#include "edge/status/events.h"

#define OWN_ALLOW "OPTIONS, REGISTER, INVITE, ACK, CANCEL, BYE, PRACK, UPDATE, MESSAGE, REFER, SUBSCRIBE, NOTIFY, PUBLISH, INFO"

static void reply_options(struct edge_req *r)
{
    struct sip_response resp = {.status = 200, .to_tag = edge_stateless_tag(r)};

    resp.extra[0].name = STR("Allow");
    resp.extra[0].value = STR(OWN_ALLOW);
    resp.extra[1].name = STR("Accept");
    resp.extra[1].value = STR("application/sdp");
    resp.extra[2].name = STR("Supported");
    resp.extra[2].value = STR("path, outbound, gruu");
    resp.n_extra = 3;
    if (r->cfg->server_header.n) {
        resp.extra[resp.n_extra].name = STR("Server");
        resp.extra[resp.n_extra++].value = r->cfg->server_header;
    }
    if (r->auth_info.n) {
        resp.extra[resp.n_extra].name = STR("Authentication-Info");
        resp.extra[resp.n_extra++].value = r->auth_info;
    }
    r->w->responses_by_class[2]++;
    if (sip_stx_reply(r->tx, &resp) == 0)
        sip_stx_forget(r->tx); /* a repetition gets the same answer anew (8.2.7) */
    else if (!sip_stx_is_final(r->tx))
        sip_stx_drop(r->tx);
}

void own_handle(struct edge_req *r)
{
    struct reason why = {0};
    struct sip_values it = sip_values_start(r->m, SIP_H_REQUIRE);

    if (r->m->method == SIP_SUBSCRIBE) {
        status_events_subscribe(r);
        return;
    }
    if (r->m->method == SIP_OPTIONS) {
        while (sip_values_next(&it)) /* 8.2.2.3 */
            if (!str_eq_nocase(it.value, STR("path")) && !str_eq_nocase(it.value, STR("outbound")) &&
                !str_eq_nocase(it.value, STR("gruu"))) {
                reason_set(&why, "require", "RFC 3261 8.2.2.3", 420, "%.*s", STR_FMT(it.value));
                edge_refuse(r, &why);
                return;
            }
        reply_options(r);
        return;
    }
    if (r->m->method == SIP_METHOD_OTHER)
        reason_set(&why, "method-unknown", "RFC 3261 8.2.1", 501, "%.*s", STR_FMT(r->m->method_text));
    else if (sip_msg_in_dialog(r->m))
        reason_set(&why, "no-such-dialog", "RFC 3261 12.2.2", 481, NULL);
    else
        reason_set(&why, "no-user-here", "RFC 3261 8.2.2.1", 404, "the request names the domain, not a user of it");
    edge_refuse(r, &why);
}

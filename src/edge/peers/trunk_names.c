/* Who calls, as a carrier wants it said (edge/peers/trunk.h): accounts that are registered call by
 * numbers at the carrier's domain (SIPconnect 2.0, RFC 6140 for what they are called by). From is
 * changed between us and the carrier only: what comes back, and what comes from the carrier within
 * the dialog, shows the phone its own (RFC 3261 12.2.1.1: dialogs are known by their tags). Foreign
 * callers, whose calls are forwarded, stay who they are in From. Worker thread; memory of the
 * request. */
#include "edge/anchor/anchor.h"
#include "edge/admit/gate_priv.h"
#include "edge/identity/show.h"
#include "edge/request_priv.h"
#include "edge/peers/trunk.h"

/* The number of a user of ours, with country code; empty: it has none. */
static struct str number_of(const struct edge_req *r, struct str address)
{
    const struct config_domain *d;
    struct passport_id id;
    struct sip_uri u;

    if (sip_uri_parse(address, &u) != 0 || (d = request_domain(r->cfg, &u, NULL)) == NULL ||
        identity_show_uri(r->m->arena, address, &d->dial, true, &id) != 0 || !id.is_tn)
        return STR_NULL;
    return arena_fmt(r->m->arena, "+%.*s", STR_FMT(id.text));
}

static struct str address_of(const struct edge_req *r, const struct config_peer *p,
                             struct str caller)
{
    struct str number = caller.n ? number_of(r, caller) : STR_NULL,
               user = number.n ? number : p->from_user;

    return arena_fmt(r->m->arena, "sip:%.*s@%.*s%s", STR_FMT(user),
                     STR_FMT(p->registrar.n ? p->registrar : p->domains.v[0]),
                     user.p[0] == '+' ? ";user=phone" : "");
}

struct str trunk_asserts(const struct edge_req *r, const struct config_peer *p)
{
    return address_of(r, p,
                      r->who.kind != PRINCIPAL_USER ? STR_NULL
                      : r->asserts.n                ? r->asserts
                                                    : r->who.name);
}

bool trunk_renames(const struct edge_req *r, const struct edge_target *t)
{
    bool in_dialog = sip_msg_in_dialog(r->m);
    struct sip_uri from;

    if (!trunk_is(t->peer) || !t->peer->from_user.n || sip_uri_parse(r->m->from.uri, &from) != 0 ||
        login_is_anonymous(&from))
        return false;
    return in_dialog ? r->has_token && r->from_caller && r->token.caller.kind == PRINCIPAL_USER
                     : r->who.kind == PRINCIPAL_USER && !r->is_screened;
}

/* A From value with another address in it. */
static struct str with_address(struct arena *a, struct str value, const struct sip_addr *was,
                               struct str address)
{
    size_t at = (size_t)(was->uri.p - value.p), end = at + was->uri.n;

    if (str_find_char(value, '<') < at)
        return arena_fmt(a, "%.*s%.*s%.*s", (int)at, value.p, STR_FMT(address),
                         (int)(value.n - end), value.p + end);
    return arena_fmt(a, "<%.*s>%.*s", STR_FMT(address), STR_FMT(was->params));
}

static int change_from(struct sip_edit *e, struct edge_req *r, const struct config_peer *p)
{
    const struct sip_hdr *h = sip_msg_hdr(r->m, SIP_H_FROM, 0);
    struct str address = address_of(r, p, r->m->from.uri), value;
    struct sip_addr a;

    if (!address.p)
        return ERR_NOMEM;
    if (!h || sip_addr_parse(h->value, &a) != 0)
        return 0;
    value = with_address(r->m->arena, h->value, &a, address);
    if (!value.p)
        return ERR_NOMEM;
    sip_edit_set(e, SIP_H_FROM, value);
    r->from_changed = true;
    return 0;
}

int trunk_edit_request(struct sip_edit *e, struct edge_req *r, const struct edge_target *t)
{
    struct str was;

    if (trunk_renames(r, t))
        return change_from(e, r, t->peer);
    if (!r->has_token || r->from_caller || !sip_msg_in_dialog(r->m) ||
        (was = anchor_renamed(r)).n == 0)
        return 0;
    was = arena_str(r->m->arena, was);
    if (!was.p)
        return ERR_NOMEM;
    sip_edit_set(e, SIP_H_TO, was);
    r->to_changed = true;
    return 0;
}

void trunk_edit_response(struct sip_edit *e, const struct edge_req *r)
{
    if (r->from_changed)
        sip_edit_set(e, SIP_H_FROM, sip_msg_hdr(r->m, SIP_H_FROM, 0)->value);
    if (r->to_changed)
        sip_edit_set(e, SIP_H_TO, sip_msg_hdr(r->m, SIP_H_TO, 0)->value);
}

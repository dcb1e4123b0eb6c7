/* The making of a forwarded request: RFC 3261 16.6 steps 1 to 10, RFC 5658 double Record-Route, RFC 5626 5.3 flow tokens,
 * RFC 5630 5.3 schemes, RFC 5393 5.3.3 Max-Breadth. What none of these touches leaves byte for byte as it came.
 * Memory: the arena of the request. Worker thread. */
#include "edge/admit/asserted.h"
#include "edge/admit/gateway_mark.h"
#include "edge/admit/header_policy.h"
#include "edge/admit/private_network.h"
#include "edge/proxy/proxy_priv.h"
#include "edge/request_priv.h"
#include "edge/status/name.h"
#include "edge/status/phone.h"
#include "edge/peers/trunk.h"

#define RR_TEXT_MAX (TOKEN_TEXT_MAX + 384)

/* In sip: URIs of hops over TLS we write transport=tls, which RFC 5630 3.1.4 deprecates: phones in the field need it to come back
 * by TLS, and sips would promise what other hops do not keep. ARCHITECTURE.md lists it. The transport is the listener's, since that
 * is where others reach us, whatever a connection that we made ourselves speaks. */
void forward_own_uri(struct sbuf *b, const struct edge_worker *w, const struct path *p, struct str token, bool sips,
                     struct str params)
{
    unsigned listener = listener_of(w, p);

    sbuf_str(b, sips ? STR("<sips:") : STR("<sip:"));
    if (token.n) {
        sbuf_str(b, token);
        sbuf_char(b, '@');
    }
    sbuf_str(b, w->sent_by[listener]);
    switch (w->cfg->listens[listener].transport) {
    case TRANSPORT_TCP:
        sbuf_lit(b, ";transport=tcp");
        break;
    case TRANSPORT_TLS:
        if (!sips)
            sbuf_lit(b, ";transport=tls");
        break;
    case TRANSPORT_WS:
    case TRANSPORT_WSS:
        sbuf_lit(b, ";transport=ws");
        break;
    case TRANSPORT_UDP:
    case TRANSPORT_N:
        break;
    }
    sbuf_lit(b, ";lr");
    sbuf_str(b, params);
    sbuf_char(b, '>');
}

/* A user as a side: enough to know which realm and algorithm to ask for, and which phone it was. */
static void side_user(const struct edge_req *r, struct token_side *s, struct str aor, struct str instance)
{
    const struct config_domain *d;
    struct str user, domain = str_cut(aor, '@', &user);
    struct account acc;

    s->domain = (uint32_t)str_hash(domain);
    s->instance = instance.n ? (uint32_t)str_hash(instance) : 0;
    d = config_domain_find(r->cfg, domain);
    if (!d || !d->allow_md5 || account_find(r->w->edge->loc, aor, &acc) != 0)
        return;
    s->md5 = acc.allow_md5;
    account_done(&acc);
}

/* Where requests from the other side are to go: along the flow (or datagram source) that this side uses; to peers, by their Contact
 * or Record-Route. Who calls for help unknown can be reached by nothing else. */
static void side_of_sender(const struct edge_req *r, struct token_side *s)
{
    const struct edge_flow *f = flow_find(r);

    s->kind = r->who.kind;
    s->who = principal_id(&r->who);
    s->has_path = r->who.kind == PRINCIPAL_USER || r->who.kind == PRINCIPAL_NONE;
    s->path = r->rx.path;
    if (r->who.kind != PRINCIPAL_USER)
        return;
    side_user(r, s, r->who.name, STR_NULL);
    if (f && str_eq(f->user, r->who.name))
        s->instance = f->instance;
}

static void side_of_target(const struct edge_req *r, const struct edge_target *t, const struct path *out,
                           struct token_side *s)
{
    struct principal p = {0};
    struct sip_uri u;

    if (t->is_flow_side) {
        *s = r->flow_side;
        return;
    }
    if (t->aor.n)
        p = (struct principal){.kind = PRINCIPAL_USER, .name = t->aor};
    else if (t->peer)
        p = (struct principal){.kind = PRINCIPAL_PEER, .name = t->peer->name};
    else if (!t->to_user && hop_uri(t->next_hop, &u) == 0) /* the name that its certificate must have (RFC 5922 7.3) */
        p = (struct principal){.kind = PRINCIPAL_DOMAIN, .name = u.host};
    s->kind = p.kind;
    s->who = principal_id(&p);
    s->has_path = t->to_user;
    s->path = *out;
    if (p.kind == PRINCIPAL_USER)
        side_user(r, s, t->aor, t->group);
}

static bool forms_dialog(const struct sip_msg *m)
{
    return !sip_msg_in_dialog(m) && (m->method == SIP_INVITE || m->method == SIP_SUBSCRIBE || m->method == SIP_REFER);
}

/* Two values where the two sides differ in transport or listener, so that each side sees the one it can use (RFC 5658). */
static int add_record_route(struct sip_edit *e, struct edge_req *r, const struct forward_args *f)
{
    struct dialog_token t = {.worker = r->w->id, .call_slot = f->call_slot, .call_gen = f->call_gen,
                             .anchor_slot = f->anchor_slot, .anchor_gen = f->anchor_gen,
                             .caller_tag = (uint32_t)str_hash(r->m->from_tag),
                             .caller_from = edge_from_hash(r->m->arena, r->m->from.uri),
                             .callee_from = edge_from_hash(r->m->arena, r->m->to.uri), .emergency = r->emergency};
    bool sips = r->ruri.scheme == SIP_SCHEME_SIPS;
    bool two = r->rx.path.transport != f->out->transport || listener_of(r->w, &r->rx.path) != listener_of(r->w, f->out);
    char token[TOKEN_TEXT_MAX];
    char *text = arena_alloc(r->m->arena, 2 * RR_TEXT_MAX);
    struct sbuf in, out;
    int err;

    if (!text)
        return ERR_NOMEM;
    side_of_sender(r, &t.caller);
    side_of_target(r, f->t, f->out, &t.callee);
    t.is_no_call = r->m->method != SIP_INVITE;
    t.is_spaced = trunk_is(f->t->peer) && !f->anchor_gen && r->m->method != SIP_INVITE;
    t.first_cseq = r->m->cseq;
    if ((err = token_dialog_seal(&r->w->edge->keys, &t, r->m->call_id, token)) != 0)
        return err;
    in = sbuf_make(text, RR_TEXT_MAX);
    forward_own_uri(&in, r->w, &r->rx.path, str_z(token), sips, STR_NULL);
    if (in.overflow)
        return ERR_LIMIT;
    sip_edit_add_first(e, SIP_H_RECORD_ROUTE, sbuf_get(&in));
    if (!two)
        return 0;
    out = sbuf_make(text + RR_TEXT_MAX, RR_TEXT_MAX);
    forward_own_uri(&out, r->w, f->out, str_z(token), sips, STR_NULL);
    if (out.overflow)
        return ERR_LIMIT;
    sip_edit_add_first(e, SIP_H_RECORD_ROUTE, sbuf_get(&out));
    return 0;
}

/* RFC 5626 5.1, RFC 3327 5.2: a registration elsewhere that passes us shall be reached through us, along the flow that it came by;
 * `ob` only where its sender is the phone itself. */
static int add_path(struct sip_edit *e, struct edge_req *r)
{
    struct sip_values via = sip_values_start(r->m, SIP_H_VIA);
    bool is_first_hop = sip_values_next(&via) && !sip_values_next(&via);
    char token[TOKEN_TEXT_MAX], *text = arena_alloc(r->m->arena, RR_TEXT_MAX);
    struct token_side side = {0};
    struct sbuf b;
    int err;

    if (!sip_msg_has_token(r->m, SIP_H_SUPPORTED, STR("path")) && !sip_msg_has_token(r->m, SIP_H_SUPPORTED, STR("outbound")))
        return 0;
    if (!text)
        return ERR_NOMEM;
    side_of_sender(r, &side);
    side.has_path = true;
    if ((err = token_flow_seal(&r->w->edge->keys, &side, token)) != 0)
        return err;
    b = sbuf_make(text, RR_TEXT_MAX);
    forward_own_uri(&b, r->w, &r->rx.path, str_z(token), r->ruri.scheme == SIP_SCHEME_SIPS, is_first_hop ? STR(";ob") : STR_NULL);
    if (b.overflow)
        return ERR_LIMIT;
    sip_edit_add_first(e, SIP_H_PATH, sbuf_get(&b));
    return 0;
}

static int add_via(struct sip_edit *e, struct edge_req *r, const struct path *out, struct str branch)
{
    char *text = arena_alloc(r->m->arena, 256);
    struct sbuf b;

    if (!text)
        return ERR_NOMEM;
    b = sbuf_make(text, 256);
    sbuf_lit(&b, "SIP/2.0/");
    sbuf_str(&b, transport_text(out->transport));
    sbuf_char(&b, ' ');
    sbuf_str(&b, listener_sent_by(r->w, out));
    sbuf_lit(&b, ";branch=");
    sbuf_str(&b, branch);
    sbuf_lit(&b, ";rport");
    if (out->transport == TRANSPORT_TLS)
        sbuf_lit(&b, ";alias"); /* RFC 5923 7.2: the connection may carry requests back to us */
    if (b.overflow)
        return ERR_LIMIT;
    sip_edit_add_first(e, SIP_H_VIA, sbuf_get(&b));
    return 0;
}

static int set_number(struct sip_edit *e, struct arena *a, enum sip_hdr_id id, unsigned n)
{
    char *text = arena_alloc(a, 16);
    struct sbuf b;

    if (!text)
        return ERR_NOMEM;
    b = sbuf_make(text, 16);
    sbuf_u64(&b, n);
    sip_edit_set(e, id, sbuf_get(&b));
    return 0;
}

/* The value of Route that leaves first: what the target asks for, else what the request brought. Empty: none. */
static struct str first_route(const struct edge_req *r, const struct edge_target *t, struct str *ret_rest)
{
    struct str rest = t->route, v = STR_NULL;

    *ret_rest = STR_NULL;
    if (!t->route.n)
        return t->has_path ? STR_NULL : r->next_route;
    if (!sip_list_cut(&rest, &v))
        return t->route;
    *ret_rest = str_trim(rest);
    return v;
}

/* 16.6 step 6: a next hop that is a strict router gets its own URI as request-URI; what stood there goes to the end of the routes. */
static int edit_strict(struct sip_edit *e, struct edge_req *r, const struct edge_target *t)
{
    struct str rest, first = first_route(r, t, &rest), last;
    struct sip_addr a;
    struct sip_uri u;

    if (!first.n || sip_addr_parse(first, &a) != 0 || sip_uri_parse(a.uri, &u) != 0 || u.lr) {
        if (t->route.n)
            sip_edit_add_first(e, SIP_H_ROUTE, t->route);
        if (!str_eq(t->uri, r->m->ruri))
            sip_edit_ruri(e, t->uri);
        return 0;
    }
    last = arena_fmt(r->m->arena, "<%.*s>", STR_FMT(t->uri));
    if (!last.p)
        return ERR_NOMEM;
    if (!t->route.n)
        sip_edit_remove_value(e, SIP_H_ROUTE, r->routes_used);
    else if (rest.n)
        sip_edit_add_first(e, SIP_H_ROUTE, rest);
    sip_edit_add_last(e, SIP_H_ROUTE, last);
    sip_edit_ruri(e, a.uri);
    return 0;
}

/* 16.4 and 16.6 steps 2, 5 and 6: what named us goes, what the target asks for comes in front. */
static int edit_routes(struct sip_edit *e, struct edge_req *r, const struct edge_target *t)
{
    unsigned i;

    for (i = 0; i < r->routes_used; i++)
        sip_edit_remove_value(e, SIP_H_ROUTE, i);
    if (r->strict_route)
        sip_edit_remove_value(e, SIP_H_ROUTE, r->n_routes - 1);
    return edit_strict(e, r, t);
}

/* RFC 3261 22.3: what was meant for our realm has done its work, in ACK too; what others asked for stays. */
static void remove_own_credentials(struct sip_edit *e, const struct edge_req *r)
{
    const struct sip_hdr *h;
    unsigned i;

    for (i = 0; (h = sip_msg_hdr(r->m, SIP_H_PROXY_AUTHORIZATION, i)) != NULL; i++)
        if (login_is_ours(r, h->value))
            sip_edit_remove_value(e, SIP_H_PROXY_AUTHORIZATION, i);
}

static int change_cseq(struct sip_edit *e, const struct sip_msg *m, uint32_t cseq)
{
    struct str text = arena_fmt(m->arena, "%u %.*s", cseq, STR_FMT(m->cseq_method_text));

    if (!text.p)
        return ERR_NOMEM;
    sip_edit_set(e, SIP_H_CSEQ, text);
    return 0;
}

int forward_change(struct sip_edit *e, const struct sip_msg *m, const struct forward_changes *c, bool is_transit)
{
    int err;

    if (c->has_cseq && (err = change_cseq(e, m, c->cseq)) != 0)
        return err;
    if (c->rack.n)
        sip_edit_set(e, SIP_H_RACK, c->rack);
    if (c->event.n)
        sip_edit_set(e, SIP_H_EVENT, c->event);
    if (c->date.n)
        sip_edit_set(e, SIP_H_DATE, c->date);
    if (c->has_other_keys && !is_transit && sip_msg_has(m, SIP_H_IDENTITY))
        sip_edit_remove(e, SIP_H_IDENTITY); /* whoever compared would take us for an attacker */
    if (c->identity.n)
        sip_edit_add_last(e, SIP_H_IDENTITY, c->identity);
    if (c->from.n)
        sip_edit_set(e, SIP_H_FROM, c->from);
    if (c->status.n)
        sip_edit_add_last(e, SIP_H_X_SALLYPORT_STATUS, c->status);
    if (c->call_info.n)
        sip_edit_add_last(e, SIP_H_CALL_INFO, c->call_info);
    if (!c->has_body)
        return 0;
    sip_edit_body(e, c->content_type, c->body);
    if (!c->body.n || c->is_unwrapped) {
        sip_edit_remove(e, SIP_H_CONTENT_DISPOSITION);
        sip_edit_remove_named(e, STR("Content-Transfer-Encoding"));
    }
    return 0;
}

int forward_build(struct edge_req *r, const struct forward_args *f, struct buf **ret)
{
    struct sip_msg *m = r->m;
    struct sip_edit *e = sip_edit_new(m->arena, m);
    unsigned hops = m->max_forwards < 0 ? 70 : (unsigned)m->max_forwards - 1;
    int err;

    if (!e)
        return ERR_NOMEM;
    if ((err = set_number(e, m->arena, SIP_H_MAX_FORWARDS, hops)) != 0)
        return err;
    if (f->breadth && (err = set_number(e, m->arena, SIP_H_MAX_BREADTH, f->breadth)) != 0)
        return err;
    if ((err = edit_routes(e, r, f->t)) != 0)
        return err;
    if (forms_dialog(m) && (err = add_record_route(e, r, f)) != 0)
        return err;
    if (m->method == SIP_REGISTER && (err = add_path(e, r)) != 0)
        return err;
    header_policy_request(e, r, f->t);
    status_phone_strip(e, m); /* only we may say this (TR/100 10: a status from outside is worth nothing) */
    if ((err = status_phone_from(e, r, f->t)) != 0)
        return err;
    status_name_request(e, r, f->t, f->changes && f->changes->from.n);
    if (f->changes && (err = forward_change(e, m, f->changes, r->who.peer && !r->domain && (f->t->peer || !f->t->to_user))) != 0)
        return err;
    remove_own_credentials(e, r);
    asserted_edit_request(e, r, f->t);
    if ((err = trunk_edit_request(e, r, f->t)) != 0)
        return err;
    private_network_edit(e, r, f->t);
    gateway_mark_request(e, r);
    if (private_network_verify(r) == CONFIG_VERIFY_STRIP) {
        sip_edit_remove(e, SIP_H_IDENTITY);
        sip_edit_remove(e, SIP_H_IDENTITY_INFO);
    }
    if (f->date.n)
        sip_edit_set(e, SIP_H_DATE, f->date);
    for (struct str rest = f->identity, line; rest.n;) {
        rest = str_cut(rest, '\n', &line);
        sip_edit_add_last(e, SIP_H_IDENTITY, line);
    }
    if (f->identity_info.n)
        sip_edit_add_last(e, SIP_H_IDENTITY_INFO, f->identity_info);
    for (unsigned i = 0; i < f->n_creds; i++)
        sip_edit_add_named(e, f->creds[i].name, f->creds[i].value);
    for (struct str rest = f->ack_creds, line, name; rest.n;) {
        rest = str_cut(rest, '\n', &line);
        line = str_cut(line, ':', &name);
        sip_edit_add_named(e, name, str_trim(line));
    }
    if (f->is_own)
        sip_edit_remove(e, SIP_H_VIA);
    else
        sip_edit_via_received(e, m, &r->rx.path.remote);
    if ((err = add_via(e, r, f->out, f->branch)) != 0)
        return err;
    return sip_edit_build(e, ret);
}

void forward_stateless_branch(const struct edge_req *r, char ret[40])
{
    uint64_t h[2] = {str_hash(r->m->via.branch) ^ str_hash(r->m->from_tag),
                     str_hash(r->m->call_id) ^ ((uint64_t)r->m->cseq << 32) ^ str_hash(r->m->to_tag)};
    struct sbuf b = sbuf_make(ret, 39);

    sbuf_lit(&b, "z9hG4bK-a");
    sbuf_hex(&b, h, 8);
    sbuf_hex(&b, &h[1], 6);
    ret[b.n] = 0;
}

/* Hanging up on who has answered and is not to be believed (answer.h): ACK, if it was an INVITE, and BYE
 * as the caller would send them, along the hop that the INVITE took (RFC 3261 13.2.2.4, 12.2.1.1, 15.1.1). The
 * caller never learns of the dialog, so that its numbers are ours to choose: well above what it may
 * have used before the answer (PRACK, UPDATE). Calls whose media pass through us know their dialogs
 * better and do it themselves (anchor.h). Worker thread. */
#include "base/log.h"
#include "base/mem.h"
#include "edge/identity/answer.h"

#define CSEQ_AHEAD 64u

/* Values of Record-Route in front of ours are those behind us, in the callee's order: the way there
 * is the other way round (RFC 3261 12.1.2). Ours is known by its token; without it nobody is behind
 * us who wants to stay. */
static struct str routes_of(const struct proxy *p, const struct sip_msg *m)
{
    struct sip_values it = sip_values_start(m, SIP_H_RECORD_ROUTE);
    struct str v[LIMIT_MSG_VALUES];
    struct dialog_token token;
    struct sip_addr addr;
    struct sip_uri u;
    struct sbuf b;
    size_t n = 0, cap = 1;
    char *text;

    while (n < ARRAY_LEN(v) && sip_values_next(&it)) {
        if (sip_addr_parse(it.value, &addr) != 0 || sip_uri_parse(addr.uri, &u) != 0)
            return STR_NULL;
        if (u.user.n && token_dialog_open(&p->w->edge->keys, u.user, m->call_id, &token) == 0)
            break;
        cap += it.value.n + 2;
        v[n++] = it.value;
    }
    if (!n || (text = arena_alloc(m->arena, cap)) == NULL)
        return STR_NULL;
    b = sbuf_make(text, cap);
    while (n-- > 0) {
        sbuf_str(&b, v[n]);
        if (n)
            sbuf_lit(&b, ", ");
    }
    return sbuf_get(&b);
}

/* Within a dialog the routes are those that its requests came with (12.2.1.1). */
static struct str routes_in_dialog(const struct edge_req *r)
{
    struct sip_values it = sip_values_start(r->m, SIP_H_ROUTE);
    struct str v[LIMIT_MSG_VALUES];
    size_t n = 0, cap = 1, i;
    struct sbuf b;
    char *text;

    while (n < ARRAY_LEN(v) && sip_values_next(&it)) {
        cap += it.value.n + 2;
        v[n++] = it.value;
    }
    if (n <= r->routes_used || (text = arena_alloc(r->m->arena, cap)) == NULL)
        return STR_NULL;
    b = sbuf_make(text, cap);
    for (i = r->routes_used; i < n; i++) {
        sbuf_str(&b, v[i]);
        if (i + 1 < n)
            sbuf_lit(&b, ", ");
    }
    return sbuf_get(&b);
}

struct parts {
    struct str to_uri, routes, via, reason;
    uint32_t cseq;
};

static int build(const struct sip_msg *m, enum sip_method method, const struct parts *x,
                 struct buf **ret)
{
    struct str name = sip_method_text(method);
    struct sip_request q = {.method = name, .ruri = x->to_uri};
    const struct sip_hdr *from = sip_msg_hdr(m, SIP_H_FROM, 0), *to = sip_msg_hdr(m, SIP_H_TO, 0);
    struct str cseq = arena_fmt(m->arena, "%u %.*s", x->cseq, STR_FMT(name));

    if (!x->via.p || !cseq.p || !from || !to)
        return ERR_NOMEM;
#define ADD(n, v) (q.hdr[q.n_hdr].name = (n), q.hdr[q.n_hdr++].value = (v))
    ADD(STR("Via"), x->via);
    ADD(STR("Max-Forwards"), STR("70"));
    if (x->routes.n)
        ADD(STR("Route"), x->routes);
    ADD(STR("From"), from->value);
    ADD(STR("To"), to->value);
    ADD(STR("Call-ID"), m->call_id);
    ADD(STR("CSeq"), cseq);
    if (x->reason.n)
        ADD(STR("Reason"), x->reason);
#undef ADD
    return sip_request_build(&q, ret);
}

static struct str via_of(const struct proxy *p, const struct sip_msg *m, const struct path *path,
                         struct str branch)
{
    return arena_fmt(m->arena, "SIP/2.0/%s %.*s;branch=%.*s;rport%s",
                     transport_text(path->transport).p, STR_FMT(listener_sent_by(p->w, path)),
                     STR_FMT(branch), path->transport == TRANSPORT_TLS ? ";alias" : "");
}

static int send_ack(struct proxy *p, const struct sip_msg *m, const struct path *path,
                    struct parts *x)
{
    char id[16];
    struct str branch;
    struct buf *msg;
    int err;

    rand_token(&p->w->net->rand, id, sizeof id);
    branch = arena_fmt(m->arena, "z9hG4bK-h%.*s", (int)sizeof id, id);
    x->via = via_of(p, m, path, branch);
    x->cseq = m->cseq;
    if (!branch.p || (err = build(m, SIP_ACK, x, &msg)) != 0)
        return ERR_NOMEM;
    tap_message(p->w, true, path, buf_str(msg));
    err = net_send(p->w->net, path, msg);
    buf_unref(msg);
    return err;
}

static int send_bye(struct proxy *p, const struct sip_msg *m, const struct path *path,
                    struct parts *x)
{
    struct sip_ctx *tx = sip_ctx_new(p->w->txl, SIP_BYE, NULL);
    struct buf *msg;
    int err;

    if (!tx)
        return ERR_LIMIT;
    x->via = via_of(p, m, path, sip_ctx_via_branch(tx));
    x->cseq = m->cseq + CSEQ_AHEAD;
    if ((err = build(m, SIP_BYE, x, &msg)) != 0) {
        sip_ctx_detach(tx);
        return err;
    }
    err = sip_ctx_start(tx, msg,
                        path); /* repeated until it is answered; nobody asks what came of it */
    buf_unref(msg);
    return err;
}

void hang_up(struct branch *b, const struct sip_msg *m, bool is_repeated, const struct reason *why)
{
    struct proxy *p = b->p;
    const struct sip_hdr *h = sip_msg_hdr(m, SIP_H_CONTACT, 0);
    struct parts x = {0};
    struct sip_addr contact;
    struct path path;

    if (p->anchor) {
        anchor_refuse_answer(p, b, m, why);
        return;
    }
    if (!branch_way(b))
        return;
    if (h && sip_addr_parse(h->value, &contact) == 0 && !contact.star)
        x.to_uri = contact.uri;
    else if (p->method == SIP_PRACK && b->t) /* whose answer needs none (RFC 3262 4) */
        x.to_uri = b->t->uri;
    else
        return; /* nobody to be told */
    path = *branch_way(b);
    x.routes = p->r && sip_msg_in_dialog(p->r->m) ? routes_in_dialog(p->r) : routes_of(p, m);
    if (p->method == SIP_INVITE && send_ack(p, m, &path, &x) != 0)
        LOG(LOG_WARN, "ack-not-sent", LS("call", m->call_id));
    if (is_repeated)
        return;
    if (why->code)
        x.reason = arena_fmt(m->arena, "SIP;cause=502;text=\"%s\"", why->code);
    if (send_bye(p, m, &path, &x) != 0)
        LOG(LOG_WARN, "bye-not-sent", LS("call", m->call_id));
}

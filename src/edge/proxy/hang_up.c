/* Hanging up on who has answered and is not to be believed (answer.h): ACK, if it was an INVITE,
 * and BYE as the caller would send them, along the hop that the INVITE took (RFC
 * 3261 13.2.2.4, 12.2.1.1, 15.1.1). The caller never learns of the dialog, so that its numbers are
 * ours to choose: well above what it may have used before the answer (PRACK, UPDATE). Calls whose
 * media pass through us know their dialogs better and do it themselves (anchor.h).
 *
 * The BYE is signed as if its caller had sent it (RFC 8224 6.1; TR/100 recommendation 4), and waits
 * for whoever has the key as long as he may take (LIMIT_KEEPER_MS). Who the caller is says the
 * sealed token in the answer's Record-Route, since the request may be gone. Owner: the worker, in
 * its list `hang_ups` while it waits; then its transaction. Worker thread. */
#include "base/log.h"
#include "base/mem.h"
#include "edge/anchor/anchor_priv.h"
#include "edge/identity/answer.h"
#include "edge/peers/trunk.h"
#include "edge/request_priv.h"

#define CSEQ_AHEAD 64u

/* A BYE of ours that is being signed. */
struct hang_up {
    struct list node;
    struct arena *arena; /* everything, this too */
    struct edge_req r;   /* as the caller would have sent it */
    struct edge_target t;
    struct path path;
    struct identity_signing *signing; /* under way */
};

/* Values of Record-Route in front of ours are those behind us, in the callee's order: the way there
 * is the other way round (RFC 3261 12.1.2). Ours is known by its token; without it nobody is behind
 * us who wants to stay. */
static struct str routes_of(const struct proxy *p, const struct sip_msg *m,
                            struct dialog_token *ret, bool *ret_has_token)
{
    struct sip_values it = sip_values_start(m, SIP_H_RECORD_ROUTE);
    struct str v[LIMIT_MSG_VALUES];
    struct sip_addr addr;
    struct sip_uri u;
    struct sbuf b;
    size_t n = 0, cap = 1;
    char *text;

    while (n < ARRAY_LEN(v) && sip_values_next(&it)) {
        if (sip_addr_parse(it.value, &addr) != 0 || sip_uri_parse(addr.uri, &u) != 0)
            return STR_NULL;
        *ret_has_token =
            u.user.n && token_dialog_open(&p->w->edge->keys, u.user, m->call_id, ret) == 0;
        if (*ret_has_token)
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
    struct dialog_token token; /* says who its sides are ... */
    bool has_token;
    bool from_caller; /* ... and which of them would send this */
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
    ADD(STR("Max-Forwards"),
        method == SIP_ACK ? STR("70") : STR("71")); /* BYE goes the way of what is forwarded */
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

/* ---- BYE ---- */

static void hang_up_free(struct hang_up *h)
{
    identity_signing_cancel(h->signing);
    list_remove(&h->node);
    snapshot_unref(h->r.snap);
    arena_free(h->arena);
}

void hang_ups_stop(struct edge_worker *w)
{
    LIST_EACH(h, &w->hang_ups, struct hang_up, node)
    {
        hang_up_free(h);
    }
}

static int bye_build(struct hang_up *h, struct str branch, const struct identity_signed *s,
                     struct buf **ret)
{
    struct digest_client_cred creds[DIGEST_CLIENT_CREDS_MAX];
    struct forward_args f = {
        .t = &h->t, .out = &h->path, .branch = branch, .creds = creds, .is_own = true};
    int err = 0;

    if (s) {
        f.identity = s->identity;
        f.identity_info = s->info;
        f.date = s->date;
    }
    if (trunk_is(h->t.peer) && trunk_is_at(h->r.w, h->t.peer, &h->t, &h->path))
        err = trunk_answer(h->r.w, h->t.peer, h->arena, SIP_BYE, h->t.uri, STR_NULL, creds,
                           &f.n_creds);
    if (err == 0)
        err = forward_build(&h->r, &f, ret);
    secret_wipe(creds, sizeof creds);
    return err;
}

/* Repeated until it is answered; nobody asks what came of it. */
static void bye_leave(struct hang_up *h, const struct identity_signed *s)
{
    struct sip_ctx *tx;
    struct buf *msg;
    int err = ERR_LIMIT;

    sip_txl_use_reserve(h->r.w->txl, true);
    tx = sip_ctx_new(h->r.w->txl, SIP_BYE, NULL);
    sip_txl_use_reserve(h->r.w->txl, false);
    if (tx && (err = bye_build(h, sip_ctx_via_branch(tx), s, &msg)) == 0) {
        err = sip_ctx_start(tx, msg, &h->path);
        buf_unref(msg);
    } else if (tx) {
        sip_ctx_detach(tx);
    }
    if (err != 0)
        LOG(LOG_WARN, "bye-not-sent", LS("call", h->r.m->call_id), LZ("error", err_text(err)));
    hang_up_free(h);
}

/* Signed or not, as a forwarded request leaves that could not be. */
static void bye_signed(void *arg, const struct identity_signed *s)
{
    struct hang_up *h = arg;

    h->signing = NULL;
    bye_leave(h, s);
}

/* A peer that has lost our Record-Route has not said who the caller is; the request may still do.
 */
static int bye_sender(struct hang_up *h, const struct proxy *p, const struct parts *x)
{
    struct edge_req *r = &h->r;

    r->token = x->token; /* From is what has left, which is not to be changed again (trunk_names.c):
                            so much for the token */
    r->from_caller = x->from_caller;
    if (x->has_token) {
        anchor_own_sender(r);
    } else if (p->r) {
        r->who = p->r->who;
        r->is_screened = p->r->is_screened;
        r->who.name = arena_str(h->arena, p->r->who.name);
        if (p->r->who.name.n && !r->who.name.p)
            return ERR_NOMEM;
    }
    return 0;
}

/* The request as it would have come from the caller. */
static int bye_read(struct hang_up *h, const struct branch *b, const struct sip_msg *m,
                    const struct parts *x)
{
    struct edge_req *r = &h->r;
    struct sip_values it;
    struct reason why = {0};
    struct str text;
    struct buf *buf;
    int err = build(m, SIP_BYE, x, &buf);

    if (err != 0)
        return err;
    text = arena_str(h->arena, buf_str(buf));
    buf_unref(buf);
    if (!text.p)
        return ERR_NOMEM;
    if ((err = sip_msg_parse(h->arena, text, &r->m, &why)) != 0)
        return err;
    if (r->m->defect.sip_status)
        return ERR_SYNTAX;
    r->w = b->p->w;
    r->cfg = b->p->snap->cfg;
    r->ruri = r->m->uri;
    r->uri = r->m->ruri;
    r->domain = request_domain(r->cfg, &r->ruri, NULL);
    r->hop_secure = r->is_own = true;
    it = sip_values_start(r->m, SIP_H_ROUTE);
    if (sip_values_next(&it))
        r->next_route = it.value;
    h->t = (struct edge_target){.uri = r->uri,
                                .next_hop = r->next_route.n ? r->next_route : r->uri,
                                .peer = b->peer,
                                .to_user = b->may_sign};
    return bye_sender(h, b->p, x);
}

static int send_bye(struct branch *b, const struct sip_msg *m, const struct path *path,
                    struct parts *x)
{
    static const struct forward_changes as_it_is;
    struct edge_worker *w = b->p->w;
    struct arena *arena = arena_new(4096, LIMIT_MSG_ARENA_BYTES);
    struct hang_up *h = arena ? arena_zalloc(arena, sizeof *h) : NULL;
    int err = ERR_NOMEM;

    if (!h)
        goto fail;
    h->arena = arena;
    h->path = *path;
    h->r.snap = b->p->snap;
    x->via = STR(
        "SIP/2.0/TCP own.invalid;branch=z9hG4bK-own"); /* a message needs one; it does not leave */
    x->cseq = m->cseq + CSEQ_AHEAD;
    if ((err = bye_read(h, b, m, x)) != 0)
        goto fail;
    snapshot_ref(h->r.snap);
    list_append(&w->hang_ups, &h->node);
    if (!identity_sign(&h->r, &h->t, &as_it_is, bye_signed, h, &h->signing))
        bye_leave(h, NULL);
    return 0;
fail:
    arena_free(arena);
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
    x.from_caller = !p->in_dialog || p->from_caller;
    if (p->r && sip_msg_in_dialog(p->r->m)) {
        x.routes = routes_in_dialog(p->r);
        x.has_token = p->r->has_token;
        x.token = p->r->token;
    } else {
        x.routes = routes_of(p, m, &x.token, &x.has_token);
    }
    if (p->method == SIP_INVITE && send_ack(p, m, &path, &x) != 0)
        LOG(LOG_WARN, "ack-not-sent", LS("call", m->call_id));
    if (is_repeated)
        return;
    if (why->code)
        x.reason = arena_fmt(m->arena, "SIP;cause=502;text=\"%s\"", why->code);
    if (send_bye(b, m, &path, &x) != 0)
        LOG(LOG_WARN, "bye-not-sent", LS("call", m->call_id));
}

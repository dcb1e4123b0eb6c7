/* Requests of our own within anchored calls: ACK and BYE for an answer that is not passed on, BYE
 * for a call that is dead, a new offer when keys have to change. RFC 3261 12.2, 13.2.2.4, 14.1, 15;
 * RFC 3311; RFC 3326.
 *
 * A request of our own is written as the other side would send it, without the way it would take to
 * us, and goes out as a forwarded one does: route_in_dialog knows where to, hop.c how, it is signed
 * where it leaves for another domain (RFC 8224 6.1, RFC 4916 4.4; TR/100 recommendation 4), for
 * which it waits as long as the keeper may take (LIMIT_KEEPER_MS), and forward_build adds our Via. What
 * another request of its direction has overtaken meanwhile takes the next number (12.2.1.1).
 * What a peer answers is judged as an answer that we pass on (RFC 9970; answer.h), before its keys
 * are taken. Owner: the anchor's list `own`; each holds a reference to the call until its
 * transaction ends. Worker thread. */
#include "base/log.h"
#include "base/mem.h"
#include "edge/anchor/anchor_priv.h"
#include "edge/identity/service.h"
#include "edge/identity/smime.h"
#include "edge/peers/trunk.h"
#include "edge/request_priv.h"
#include "edge/route/route_priv.h"
#include "edge/status/calls.h"
#include "edge/status/facts.h"

struct anchor_own {
    struct list node;
    struct anchor_dialog *d;
    struct arena *arena; /* everything, this too */
    struct edge_req *r;
    struct edge_targets *targets;
    struct hop *hop;
    struct path path;                      /* where it goes when it is signed */
    struct identity_signing *signing;      /* under way */
    const struct identity_signed *signed_; /* NULL: it leaves unsigned */
    struct sip_ctx *ctx;
    const struct sip_msg *answer; /* a 2xx whose signature is being judged; NULL: none */
    struct identity_vouch vouch;
    const struct smime_vouch *smime; /* what its body says, signed; NULL: nothing */
    bool is_answered;                /* a 2xx was judged, and whatever follows repeats it */
    struct identity_verification *verification;
    enum sip_method method;
    bool to_callee, is_again;
    bool is_gone; /* nothing more is to come of it */
    unsigned depth;
    uint32_t cseq;
    struct anchor_number number; /* the same, of all but ACK */
    struct forward_changes changes; /* it has another one by now */
    bool is_signed_again;           /* for that: a whole request was signed (RFC 4474) */
    struct wheel_timer limit; /* of an INVITE that is being worked on */
};

static void own_free(struct anchor_own *o)
{
    struct anchor *a = o->d->a;

    wheel_cancel(a->w->net->wheel, &o->limit);
    hop_cancel(o->hop);
    identity_signing_cancel(o->signing);
    identity_verification_cancel(&o->verification);
    if (o->ctx)
        sip_ctx_detach(o->ctx);
    list_remove(&o->node);
    snapshot_unref(o->r->snap);
    arena_free(o->arena);
    anchor_unref(a);
}

static struct anchor_count *own_count(const struct anchor_own *o)
{
    return o->to_callee ? &o->d->to_callee : &o->d->to_caller;
}

static void own_enter(struct anchor_own *o)
{
    o->depth++;
}

static void own_leave(struct anchor_own *o)
{
    if (--o->depth == 0 && o->is_gone && !o->answer)
        own_free(o);
}

static void own_done(struct anchor_own *o, unsigned status, const struct sip_msg *m);

/* ---- what is answered to it ---- */

/* What it says of who has answered, and by which keys (note_sides in proxy_facts.c does so for what
 * is passed on). `v`: what its signature is worth; NULL: it has none. */
static void own_note(const struct anchor_own *o, const struct sip_msg *m,
                     const struct identity_vouch *v)
{
    const struct anchor *a = o->d->a;
    const struct call_info *c = calls_find(a->w, a->call_slot, a->call_gen);
    struct facts_call *f = calls_facts(a->w, a->call_slot, a->call_gen);

    if (!c || !f || !f->has_callee)
        return;
    facts_in_dialog(f, o->to_callee ? POLICY_CALLEE : POLICY_CALLER, m, v,
                    o->to_callee ? c->to : c->from, c->to);
    facts_smime_later(f, o->to_callee ? POLICY_CALLEE : POLICY_CALLER, o->smime, m->arena);
    facts_later(a->w, a->call_slot, a->call_gen, m, !o->to_callee);
    calls_changed(a->w, a->call_slot, a->call_gen);
}

/* Its keys are not taken, and the call is over: the two sides do not agree on what they have. */
static void own_refuse(struct anchor_own *o, const struct sip_msg *m,
                       const struct identity_vouch *v, const struct reason *why)
{
    struct anchor_dialog *d = o->d;

    LOG(LOG_NOTICE, "answer-refused", LS("call", m->call_id), LU("status", m->status),
        LZ("reason", why->code), LZ("clause", why->clause), LZ("detail", why->detail));
    own_note(o, m, v);
    if (o->method == SIP_INVITE)
        anchor_own_ack(d, o->to_callee, o->cseq, STR_NULL);
    if (!d->a->is_ended)
        anchor_hang_up(d->a, why);
}

static void own_judged(void *arg, const struct reason *why)
{
    struct anchor_own *o = arg;
    const struct sip_msg *m = o->answer;

    own_enter(o);
    o->answer = NULL;
    if (why) {
        own_refuse(o, m, &o->vouch, why);
    } else {
        own_note(o, m, &o->vouch);
        own_done(o, m->status, m);
    }
    own_leave(o);
}

/* A copy, which lives as long as it may have to wait. */
static void own_judge(struct anchor_own *o, const struct sip_msg *m, const struct config_peer *peer)
{
    struct identity_answer a = {.cfg = o->r->cfg, .peer = peer};
    struct str bytes = arena_str(o->arena, m->bytes);
    struct reason why = {0};
    struct sip_msg *copy;
    int err;

    if (!bytes.p || sip_msg_parse(o->arena, bytes, &copy, &why) != 0) {
        own_done(o, 500, NULL);
        return;
    }
    o->answer = a.m = copy;
    if (smime_judge_answer(o->r->w, &a, &o->smime, &why) != 0) {
        own_judged(o, &why);
        return;
    }
    err = identity_verify_answer(o->r->w, &a, own_judged, o, &o->vouch, &o->verification, &why);
    if (err != ERR_AGAIN)
        own_judged(o, err == 0 ? NULL : &why);
}

/* An answer that counts: its description tells keys. Somebody else's is judged, and what a user of ours
 * has signed, in the answer or its body (RFC 9970, RFC 3893 6; TR/100 7.5.4). */
static void own_answered(struct anchor_own *o, const struct sip_msg *m)
{
    static const struct identity_vouch absent = {.result = {.verdict = IDENTITY_ABSENT}};
    const struct edge_target *t = o->targets->v[0];
    const struct identity_answer a = {.m = m, .cfg = o->r->cfg, .peer = t->peer};
    bool is_foreign = (!t->to_user || t->peer) && !t->is_flow_side;
    bool may_be_judged = !t->emergency && !t->is_flow_side && !o->r->emergency;
    enum config_verify mode = t->peer ? t->peer->verify_answers : CONFIG_VERIFY_PREFER;
    struct reason why = {0};

    if (o->answer || (o->method != SIP_INVITE && o->method != SIP_UPDATE))
        return; /* a repetition of what waits; BYE, whatever they say */
    if (o->is_answered) {
        own_done(o, m->status, m);
        return;
    }
    o->is_answered = true;
    if (may_be_judged && mode != CONFIG_VERIFY_STRIP && sip_msg_has(m, SIP_H_IDENTITY)) {
        own_judge(o, m, t->peer);
        return;
    }
    if (may_be_judged && is_foreign && mode == CONFIG_VERIFY_REQUIRE && m->body.n) {
        edge_count(o->r->w, EC_IDENTITY_ABSENT);
        reason_set(&why, "answer-not-signed", "RFC 9970", 502, "no Identity header in the answer");
        own_refuse(o, m, &absent, &why);
    } else if (may_be_judged && smime_judge_answer(o->r->w, &a, &o->smime, &why) != 0) {
        own_refuse(o, m, NULL, &why);
    } else {
        own_note(o, m, NULL);
        own_done(o, m->status, m);
    }
    o->smime = NULL; /* it lived as long as the response */
}

static void own_response(void *arg, struct sip_ctx *tx, struct sip_msg *m, const struct rx *rx)
{
    struct anchor_own *o = arg;

    (void)tx;
    (void)rx;
    if (m->status < 200)
        return;
    own_enter(o);
    if (m->status < 300)
        own_answered(o, m);
    else
        own_done(o, m->status, m);
    own_leave(o);
}

static void own_end(void *arg, struct sip_ctx *tx, enum sip_tx_end why)
{
    struct anchor_own *o = arg;

    (void)tx;
    own_enter(o);
    own_done(o, why == SIP_TX_TIMEOUT ? 408 : 503, NULL);
    own_leave(o);
}

static void own_gone(void *arg, struct sip_ctx *tx)
{
    struct anchor_own *o = arg;

    (void)tx;
    own_enter(o);
    o->ctx = NULL;
    o->is_gone = true;
    own_leave(o);
}

/* Nobody is asked longer than a branch would be (RFC 3261 16.8): what CANCEL brings, or its
 * silence, is the answer. */
static void own_limit(struct wheel_timer *t)
{
    struct anchor_own *o = CONTAINER_OF(t, struct anchor_own, limit);

    if (o->ctx)
        sip_ctx_cancel(o->ctx, STR_NULL);
}

/* True: another request of this direction has left meanwhile, and it has the next number now. */
static bool own_renumber(struct anchor_own *o)
{
    struct anchor_count *c = own_count(o);
    bool is_offer;

    if (o->method == SIP_ACK || !anchor_count_is_overtaken(c, &o->number))
        return false;
    is_offer = o->d->ex.is_own && o->d->ex.cseq == o->cseq && o->d->ex.method == o->method;
    o->cseq = anchor_count_own(c);
    if (is_offer)
        o->d->ex.cseq = o->cseq;
    o->number = (struct anchor_number){o->cseq, c->left};
    o->changes.has_cseq = true;
    o->changes.cseq = o->cseq;
    return true;
}

static int own_send(struct anchor_own *o, const struct path *path)
{
    static const struct sip_ctx_user callbacks = {
        .on_response = own_response, .on_end = own_end, .on_gone = own_gone};
    struct edge_worker *w = o->r->w;
    struct digest_client_cred creds[DIGEST_CLIENT_CREDS_MAX];
    struct forward_args f = {.t = o->targets->v[0],
                             .out = path,
                             .creds = creds,
                             .changes = &o->changes,
                             .is_own = true};
    struct sip_ctx_user u = callbacks;
    char branch[40];
    struct buf *msg;
    bool may_prove;
    int err = 0;

    if (!transport_is_secure(path->transport) && o->r->m->body.n &&
        memmem(o->r->m->body.p, o->r->m->body.n, "a=crypto:", 9))
        return ERR_REFUSED; /* its hop was private when it was written (RFC 4568 8) */
    if (o->signed_) {
        f.identity = o->signed_->identity;
        f.identity_info = o->signed_->info;
        f.date = o->signed_->date;
    }
    u.arg = o;
    if (o->method == SIP_ACK) {
        forward_stateless_branch(o->r, branch);
        f.branch = str_z(branch);
    } else {
        o->ctx = sip_ctx_new(w->txl, o->method, &u);
        if (!o->ctx)
            return ERR_LIMIT;
        f.branch = sip_ctx_via_branch(o->ctx);
    }
    may_prove = trunk_is(f.t->peer) && trunk_is_at(w, f.t->peer, f.t, path);
    if (o->method == SIP_ACK)
        f.ack_creds = may_prove ? anchor_ack_creds(o->r) : STR_NULL;
    else if (may_prove)
        err = trunk_answer(w, f.t->peer, o->arena, o->method, f.t->uri, o->r->m->body, creds,
                           &f.n_creds);
    if (err == 0)
        err = forward_build(o->r, &f, &msg);
    if (err == 0 && o->method == SIP_INVITE && o->to_callee)
        anchor_keep_creds(NULL, o->d, creds, f.n_creds);
    secret_wipe(creds, sizeof creds);
    if (err != 0)
        return err;
    if (o->method == SIP_ACK) {
        tap_message(w, true, path, buf_str(msg));
        err = net_send(w->net, path, msg);
        o->is_gone = true;
    } else {
        err = sip_ctx_start(o->ctx, msg, path);
        if (err != 0)
            o->ctx = NULL;
        else
            anchor_count_left(own_count(o), o->cseq);
        if (err == 0 && o->method == SIP_INVITE)
            wheel_start(w->net->wheel, &o->limit, (uint64_t)w->cfg->timer_c_s * 1000);
    }
    buf_unref(msg);
    return err;
}

static void own_fail(struct anchor_own *o, const char *code)
{
    LOG(LOG_INFO, "own-request-failed", LS("method", sip_method_text(o->method)),
        LS("call", o->r->m->call_id), LZ("reason", code));
    own_done(o, 503, NULL);
    o->is_gone = true;
}

static void own_signed(void *arg, const struct identity_signed *s);

static bool own_sign(struct anchor_own *o)
{
    return identity_sign(o->r, o->targets->v[0], &o->changes, own_signed, o, &o->signing);
}

/* Signed or not, as a forwarded request leaves that could not be: a call is worth more than its
 * signature. What has been overtaken by the end of the call does not leave at all. */
static void own_signed(void *arg, const struct identity_signed *s)
{
    struct anchor_own *o = arg;
    bool is_outdated;

    own_enter(o);
    o->signing = NULL;
    is_outdated = own_renumber(o) && s->info.n; /* which names the number; once more, not for ever */
    o->signed_ = is_outdated ? NULL : s;
    if (is_outdated && !o->is_signed_again) {
        o->is_signed_again = true;
        if (own_sign(o)) {
            own_leave(o);
            return;
        }
    }
    if (o->method != SIP_BYE && o->d->a->is_ended)
        o->is_gone = true;
    else if (own_send(o, &o->path) != 0)
        own_fail(o, "transport-error");
    own_leave(o);
}

static void own_path(void *arg, const struct path *path, const struct reason *why)
{
    struct anchor_own *o = arg;

    own_enter(o);
    if (!path) {
        own_fail(o, why ? why->code : "transport-error");
    } else if (o->method == SIP_ACK) { /* nobody can answer it with 4xx */
        if (own_send(o, path) != 0)
            own_fail(o, "transport-error");
    } else {
        o->path = *path;
        (void)own_renumber(o); /* its way may have been looked for */
        if (!own_sign(o) && own_send(o, path) != 0)
            own_fail(o, "transport-error");
    }
    own_leave(o);
}

struct own_args {
    enum sip_method method;
    bool to_callee;
    uint32_t cseq;
    struct str body, reason; /* empty: none */
    bool is_again;           /* the carrier has challenged it once */
};

/* The request as the other side would send it, from here on. */
static int own_text(struct anchor_dialog *d, const struct own_args *args, struct arena *a,
                    struct str *ret)
{
    const struct anchor *c = d->a;
    bool to = args->to_callee;
    struct str method = sip_method_text(args->method), far_uri = anchor_text_get(&d->contact[to]);
    struct str own = anchor_text_get(&d->contact[!to]),
               routes = anchor_text_get(to ? &d->routes[1] : &c->routes);
    struct str from = anchor_text_get(&c->from), callee = anchor_text_get(&c->to),
               tag = anchor_text_get(&d->tag), tagged;
    struct sip_request q = {.method = method, .ruri = far_uri, .body = args->body};
    struct str cseq = arena_fmt(a, "%u %.*s", args->cseq, STR_FMT(method)),
               contact = arena_fmt(a, "<%.*s>", STR_FMT(own));
    struct buf *buf;
    int err;

    tagged = d->name[1].p ? anchor_text_get(&d->name[1])
                          : arena_fmt(a, "%.*s;tag=%.*s", STR_FMT(callee), STR_FMT(tag));
    if (d->name[0].p)
        from = anchor_text_get(&d->name[0]);
    if (!tagged.p || !cseq.p || !contact.p)
        return ERR_NOMEM;
    if (!far_uri.n || !tag.n)
        return ERR_NOTFOUND;
#define ADD(n, v) (q.hdr[q.n_hdr].name = (n), q.hdr[q.n_hdr++].value = (v))
    ADD(STR("Via"), STR("SIP/2.0/TCP own.invalid;branch=z9hG4bK-own")); /* a message needs one; it
                                                                           does not leave */
    ADD(STR("Max-Forwards"), STR("71"));
    if (routes.n)
        ADD(STR("Route"), routes);
    ADD(STR("From"), to ? from : tagged);
    ADD(STR("To"), to ? tagged : from);
    ADD(STR("Call-ID"), anchor_text_get(&c->call_id));
    ADD(STR("CSeq"), cseq);
    if (args->method != SIP_BYE && args->method != SIP_ACK && own.n)
        ADD(STR("Contact"), contact);
    if (args->reason.n)
        ADD(STR("Reason"), args->reason);
#undef ADD
    if (args->body.n)
        q.content_type = STR("application/sdp");
    if ((err = sip_request_build(&q, &buf)) != 0)
        return err;
    *ret = arena_str(a, buf_str(buf));
    buf_unref(buf);
    return ret->p ? 0 : ERR_NOMEM;
}

static int own_fill(struct anchor_own *o, struct anchor_dialog *d, const struct own_args *args)
{
    struct edge_req *r = o->r;
    struct sip_values it;
    struct reason why = {0};
    struct str text;
    int err = own_text(d, args, o->arena, &text);

    if (err != 0 || (err = sip_msg_parse(o->arena, text, &r->m, &why)) != 0)
        return err;
    if (r->m->defect.sip_status)
        return ERR_SYNTAX;
    r->w = d->a->w;
    r->snap = d->a->snap;
    r->cfg = r->snap->cfg;
    r->ruri = r->m->uri;
    r->uri = r->m->ruri;
    r->domain = request_domain(r->cfg, &r->ruri, NULL);
    r->has_token = true;
    r->token = d->token;
    r->from_caller = args->to_callee;
    r->emergency = d->a->emergency;
    r->hop_secure = true;
    r->is_own = true;
    anchor_own_sender(r);
    it = sip_values_start(r->m, SIP_H_ROUTE);
    if (sip_values_next(&it))
        r->next_route = it.value;
    err = route_in_dialog(r, o->targets, &why);
    return err != 0 ? err : o->targets->n ? 0 : ERR_NOTFOUND;
}

static int own_start(struct anchor_dialog *d, const struct own_args *args)
{
    struct arena *arena = arena_new(8192, LIMIT_MSG_ARENA_BYTES);
    struct anchor_own *o = arena ? arena_zalloc(arena, sizeof *o) : NULL;
    int err = ERR_NOMEM;

    if (!o || (o->r = arena_zalloc(arena, sizeof *o->r)) == NULL ||
        (o->targets = arena_zalloc(arena, sizeof *o->targets)) == NULL)
        goto fail;
    o->arena = arena;
    o->d = d;
    o->method = args->method;
    o->to_callee = args->to_callee;
    o->is_again = args->is_again;
    o->cseq = args->cseq;
    o->number = (struct anchor_number){args->cseq, own_count(o)->left};
    wheel_timer_init(&o->limit, own_limit);
    if (!d->has_token) {
        err = ERR_NOTFOUND;
        goto fail;
    }
    if ((err = own_fill(o, d, args)) != 0)
        goto fail;
    snapshot_ref(o->r->snap);
    d->a->refs++;
    list_append(&d->a->own, &o->node);
    own_enter(o);
    err = hop_start(o->r, arena, o->targets->v[0], o->r->ruri.scheme == SIP_SCHEME_SIPS, own_path,
                    o, &o->hop);
    if (err != 0) {
        own_done(o, 503, NULL);
        o->is_gone = true;
    }
    own_leave(o);
    return 0;
fail:
    LOG(LOG_WARN, "own-request", LS("method", sip_method_text(args->method)),
        LZ("error", err_text(err)));
    arena_free(arena);
    return err;
}

void anchor_own_stop(struct anchor *a)
{
    LIST_EACH(o, &a->own, struct anchor_own, node)
    {
        o->is_gone = true;
        if (!o->depth)
            own_free(o);
    }
}

/* ---- BYE and ACK ---- */

/* RFC 3326 2: why, for whoever reads the trace. */
static struct str reason_value(const struct reason *why, char text[256])
{
    struct sbuf b = sbuf_make(text, 255);

    if (!why || !why->code)
        return STR_NULL;
    sbuf_fmt(&b, "SIP;cause=%u;text=\"%s\"", why->sip_status ? why->sip_status : 480u, why->code);
    return sbuf_get(&b);
}

void anchor_own_bye(struct anchor_dialog *d, bool to_callee, const struct reason *why)
{
    struct anchor_count *c = to_callee ? &d->to_callee : &d->to_caller;
    char text[256];
    struct own_args args = {.method = SIP_BYE,
                            .to_callee = to_callee,
                            .cseq = anchor_count_own(c),
                            .reason = reason_value(why, text)};

    if (own_start(d, &args) != 0)
        LOG(LOG_WARN, "bye-not-sent", LS("call", anchor_text_get(&d->a->call_id)));
}

void anchor_own_ack(struct anchor_dialog *d, bool to_callee, uint32_t cseq, struct str body)
{
    struct own_args args = {.method = SIP_ACK, .to_callee = to_callee, .cseq = cseq, .body = body};

    if (own_start(d, &args) != 0)
        LOG(LOG_WARN, "ack-not-sent", LS("call", anchor_text_get(&d->a->call_id)));
}

void anchor_hang_up(struct anchor *a, const struct reason *why)
{
    struct anchor_dialog *d = a->answered;

    LOG(LOG_NOTICE, "call-ended", LS("call", anchor_text_get(&a->call_id)), LZ("reason", why->code),
        LZ("clause", why->clause), LZ("detail", why->detail));
    a->refs++;
    calls_event(a->w, a->call_slot, a->call_gen, 200, SIP_BYE, 0, 0);
    if (d && d->state == ANCHOR_CONFIRMED) {
        d->state = ANCHOR_OVER;
        anchor_own_bye(d, true, why);
        anchor_own_bye(d, false, why);
    }
    anchor_end(a);
    anchor_unref(a);
}

/* ---- a new offer of our own ---- */

#define REKEY_AGAIN_MS 3000u /* for what is under way, or an ACK */

static void rekey_later(struct anchor_dialog *d, bool to_callee, uint64_t ms)
{
    d->wants_rekey[to_callee] = true;
    wheel_start(d->a->w->net->wheel, &d->timer, ms);
}

/* Both sides have asked at once (RFC 3261 14.1, RFC 3311 5.1): whoever made the Call-ID waits longer, and
 * neither always as long, or two of us would meet again each time. */
uint64_t anchor_glare_ms(bool is_owner, uint64_t random)
{
    return is_owner ? 2100 + random % 191 * 10 : random % 201 * 10;
}

void anchor_rekey_timer(struct wheel_timer *t)
{
    struct anchor_dialog *d = CONTAINER_OF(t, struct anchor_dialog, timer);

    for (int to = 0; to < 2; to++)
        if (d->wants_rekey[to])
            anchor_own_rekey(d, to);
}

void anchor_own_rekey(struct anchor_dialog *d, bool to_callee)
{
    struct anchor_leg *y = to_callee ? d->far : d->near, *x = to_callee ? d->near : d->far;
    /* Nobody has to be asked for new keys, so the answer may come at once (RFC 3311 5.1, 5.2). */
    struct own_args args = {.method = d->allows_update[to_callee] ? SIP_UPDATE : SIP_INVITE,
                            .to_callee = to_callee};
    struct arena *a;
    struct reason why = {0};
    struct sdp *s;
    struct str out;
    int err;

    d->wants_rekey[to_callee] = false;
    if (d->a->is_ended || d->state != ANCHOR_CONFIRMED || !x || !y || !x->in.p)
        return;
    if (d->ex.state == ANCHOR_EX_OFFERED || !d->is_acked) {
        rekey_later(d, to_callee, REKEY_AGAIN_MS);
        return;
    }
    a = arena_new(16384, LIMIT_MSG_ARENA_BYTES);
    err = a ? sdp_parse(a, anchor_text_get(&x->in), &s, &why) : ERR_NOMEM;
    if (err == 0)
        err = anchor_offer_make(y, x, s, true, a, &out, &why);
    if (err == 0) {
        anchor_exchange_done(&d->ex);
        args.cseq = anchor_count_own(to_callee ? &d->to_callee : &d->to_caller);
        args.body = out;
        d->ex = (struct anchor_exchange){.state = ANCHOR_EX_OFFERED,
                                         .is_own = true,
                                         .from_caller = to_callee,
                                         .method = args.method,
                                         .cseq = args.cseq};
        err = own_start(d, &args);
    }
    if (err != 0) {
        LOG(LOG_WARN, "rekey-failed", LS("call", anchor_text_get(&d->a->call_id)),
            LZ("reason", why.code ? why.code : err_text(err)));
        anchor_rollback(NULL, y);
        if (d->ex.is_own)
            anchor_exchange_done(&d->ex);
        if (to_callee)
            anchor_withhold(d, 0);
    }
    arena_free(a);
}

/* The answer to an offer of our own: nobody else hears of it. */
static void rekey_answer(struct anchor_own *o, const struct sip_msg *m)
{
    struct anchor_dialog *d = o->d;
    struct anchor_leg *y = o->to_callee ? d->far : d->near;
    struct reason why = {0};
    struct sdp *s;
    struct str text;
    int err;

    if (o->method == SIP_INVITE)
        anchor_own_ack(d, o->to_callee, o->cseq, STR_NULL);
    if (d->a->is_ended || !d->ex.is_own || d->ex.state != ANCHOR_EX_OFFERED || !y)
        return; /* a repetition of the 2xx */
    err = anchor_body_find(m, &text, &why);
    if (err == 0 && !text.n) {
        reason_set(&why, "no-description", "RFC 3264 4", 488, "a 2xx without the answer");
        err = ERR_REFUSED;
    }
    if (err == 0)
        err = sdp_parse(m->arena, text, &s, &why);
    if (err == 0)
        err = anchor_answer_take(y, NULL, s, &why);
    anchor_exchange_done(&d->ex);
    if (err == 0)
        return;
    if (!why.code)
        reason_set(&why, "rekey-answer", "RFC 3264 6", 488, "%s", err_text(err));
    anchor_hang_up(d->a, &why);
}

/* A carrier challenges it (RFC 3261 22.2): once more, with the next number. */
static bool own_again(struct anchor_own *o, unsigned status, const struct sip_msg *m)
{
    const struct config_peer *p = o->targets->n ? o->targets->v[0]->peer : NULL;
    struct anchor_dialog *d = o->d;
    struct own_args args = {
        .method = o->method, .to_callee = o->to_callee, .is_again = true, .body = o->r->m->body};
    struct reason why = {0};
    struct sip_hdr const *h;

    if ((status != 401 && status != 407) || !m || o->is_again || !trunk_is(p) ||
        !trunk_is_at(o->r->w, p, o->targets->v[0], &o->path) ||
        trunk_challenged(o->r->w, p, m, false, &why) != 0 ||
        (o->method != SIP_BYE && d->a->is_ended)) /* there is nothing to be asked any more */
        return false;
    if ((h = sip_msg_hdr(o->r->m, SIP_H_REASON, 0)) != NULL)
        args.reason = h->value;
    args.cseq = anchor_count_own(o->to_callee ? &d->to_callee : &d->to_caller);
    if (o->method == SIP_INVITE || o->method == SIP_UPDATE)
        d->ex.cseq = args.cseq;
    return own_start(d, &args) == 0;
}

static void own_done(struct anchor_own *o, unsigned status, const struct sip_msg *m)
{
    struct anchor_dialog *d = o->d;
    struct reason why = {0};

    if (own_again(o, status, m))
        return;
    if (o->method != SIP_INVITE && o->method != SIP_UPDATE)
        return; /* BYE: whatever they say, it is over */
    if (status < 300) {
        rekey_answer(o, m);
        return;
    }
    if (!d->ex.is_own || d->ex.state != ANCHOR_EX_OFFERED)
        return;
    LOG(LOG_INFO, "rekey-refused", LS("call", anchor_text_get(&d->a->call_id)),
        LU("status", status));
    anchor_exchange_done(&d->ex);
    if (!d->a->is_ended)
        anchor_rollback(NULL, o->to_callee ? d->far : d->near);
    if (d->a->is_ended)
        return;
    if (status == 481 ||
        status == 408) { /* it is not there any more: RFC 3261 12.2.1.2, RFC 5057 5.1 */
        reason_set(&why, "dialog-gone", "RFC 3261 12.2.1.2", status, NULL);
        anchor_hang_up(d->a, &why);
    } else if (status == 491) {
        rekey_later(d, o->to_callee, anchor_glare_ms(o->to_callee, rand_u64(&d->a->w->net->rand)));
    } else if (o->method == SIP_UPDATE) { /* it does not do what it says */
        d->allows_update[o->to_callee] = false;
        anchor_own_rekey(d, o->to_callee);
    } else if (o->to_callee) {
        anchor_withhold(d, 0);
    }
}

/* The stateful proxy: one response context per server transaction, one branch per target (RFC 3261 16.6 to 16.10, RFC 6026 8,
 * RFC 4320 4, RFC 5393 5.3.3).
 *
 * Life: proxy_forward makes the context and starts the branches of the highest q; each branch asks hop.c for a path, makes its
 * client transaction, and comes back with responses. Groups of lower q follow when all of a group have failed. The first 2xx (or a
 * 6xx) cancels the others; when none is under way any more the best response goes back. After the final response the request and
 * its arena are gone (r is NULL); the context of an INVITE stays for late 2xx until its transactions end, that of any other request
 * goes too.
 *
 * Owner: the worker. What comes from other rooms runs between proxy_enter and proxy_leave; only the outermost leave frees, so that
 * whoever is further up the stack still finds the context. */
#include "base/log.h"
#include "base/mem.h"
#include "edge/identity/answer.h"
#include "edge/admit/callers.h"
#include "edge/proxy/proxy_priv.h"
#include "edge/identity/smime.h"
#include "edge/status/name.h"

static void proxy_free(struct proxy *p)
{
    unsigned i;

    for (i = 0; i < p->n; i++) {
        wheel_cancel(p->w->net->wheel, &branch_at(p, i)->timer_c);
        branch_uncount(branch_at(p, i), false);
        if (p->r) {
            hop_cancel(branch_at(p, i)->hop);
            identity_signing_cancel(branch_at(p, i)->signing);
        }
    }
    if (p->r)
        identity_verify_cancel(p->r);
    answer_done(p);
    list_remove(&p->node);
    anchor_unref(p->anchor);
    buf_unref(p->best);
    snapshot_unref(p->snap);
    mem_free(p->more);
    mem_free(p);
}

/* Only an INVITE can have a second final response (16.7 step 5); of another request nothing more is to be heard. */
static void proxy_detach(struct proxy *p)
{
    unsigned i;

    for (i = 0; i < p->n; i++) {
        struct sip_ctx *tx = branch_at(p, i)->ctx;

        branch_at(p, i)->ctx = NULL;
        if (tx)
            sip_ctx_detach(tx);
    }
    if (p->stx)
        sip_stx_drop(p->stx); /* answered: it goes on without us */
    p->stx = NULL;
}

void proxy_enter(struct proxy *p)
{
    p->depth++;
}

void proxy_leave(struct proxy *p)
{
    unsigned i;

    if (--p->depth)
        return;
    if (p->final_sent && p->method != SIP_INVITE)
        proxy_detach(p);
    if (p->stx)
        return;
    for (i = 0; i < p->n; i++)
        if (branch_at(p, i)->ctx)
            return;
    proxy_free(p);
}

/* The worker's end: what is left of each context, while the requests in the transactions are still there. */
void proxy_worker_stop(struct edge_worker *w)
{
    LIST_EACH(p, &w->proxies, struct proxy, node)
    {
        proxy_free(p);
    }
}

/* The request and everything in its arena are about to go: nothing may look at them afterwards. */
static void proxy_forget_request(struct proxy *p)
{
    unsigned i;

    p->final_sent = true;
    p->is_verifying = false;
    identity_verify_cancel(p->r);
    for (i = 0; i < p->n; i++) {
        hop_cancel(branch_at(p, i)->hop);
        identity_signing_cancel(branch_at(p, i)->signing);
        branch_at(p, i)->signing = NULL;
        branch_at(p, i)->hop = NULL;
        branch_at(p, i)->way = NULL;
        branch_at(p, i)->t = NULL;
        if (branch_at(p, i)->state == BRANCH_LOCATING)
            branch_at(p, i)->state = BRANCH_DONE;
    }
    p->r = NULL;
}

#define NO_ANSWER_US 31000000u /* 64*T1, less what the request spent here before it went on */

/* The server transaction of a request other than INVITE ends with its client's patience, a moment before the timers of those that were
 * called: they have failed as well (RFC 3263 4.3). */
static void note_silent_servers(struct proxy *p)
{
    unsigned i;

    for (i = 0; i < p->n; i++) {
        const struct branch *b = branch_at(p, i);

        if (b->state == BRANCH_CALLING && b->hop && b->t && !b->t->has_path &&
            net_now_us(p->w->net) - b->called_us >= NO_ANSWER_US)
            hop_failed(b->hop);
    }
}

/* After its last response, or because nobody waited for one any more (RFC 4320 4.2). */
void proxy_stx_gone(void *upper)
{
    struct proxy *p = upper;

    proxy_enter(p);
    p->stx = NULL;
    if (!p->final_sent) {
        note_silent_servers(p);
        proxy_forget_request(p);
    }
    answer_stop(p);
    proxy_leave(p);
}

/* RFC 3261 15.1.1: who sends BYE is done with the call, if there is no answer, or 481, as well; who gets it is not where it refuses
 * the request for what is wrong with it: it would be a way to be counted no more (max-calls). What passes through us ends with us. */
static bool bye_ends(struct proxy *p, unsigned status)
{
    unsigned i;

    if (p->anchor || status < 300 || status == 481)
        return true;
    for (i = 0; i < p->n; i++)
        if (branch_at(p, i)->started && branch_at(p, i)->code) /* nobody was reached */
            return true;
    return status == 404 || status == 408 || status == 410 || status == 480 || p->best_status == 503;
}

/* The request has its final answer, or gets none. */
static void proxy_over(struct proxy *p, unsigned status, uint32_t session_s)
{
    if (p->method != SIP_BYE || (anchor_is_call(p) && bye_ends(p, status)))
        calls_event(p->w, p->call_slot, p->call_gen, status, p->method, p->callee_tag, session_s);
    anchor_request_over(p, status);
}

/* Nobody is answered any more: the transaction calls nothing back for a dropped one. */
static void proxy_drop(struct proxy *p)
{
    struct sip_stx *tx = p->stx;

    if (!tx)
        return;
    if (!p->final_sent) {
        proxy_over(p, 408, 0);
        proxy_forget_request(p);
    }
    p->stx = NULL;
    sip_stx_drop(tx);
    answer_stop(p);
}

void proxy_send(struct proxy *p, unsigned status, struct buf *msg, uint32_t session_s)
{
    if (!p->stx)
        return;
    if (status >= 300)
        answer_overtaken(p);
    if (status >= 200) {
        proxy_over(p, status, session_s);
        if (!p->final_sent) {
            identity_verify_answered(p->r, status);
            smime_answered(p->r, status);
            proxy_forget_request(p);
        }
    }
    p->w->responses_by_class[status / 100]++;
    if (sip_stx_respond(p->stx, status, msg) != 0 && status >= 200 && !sip_stx_is_final(p->stx))
        proxy_drop(p);
}

/* A final answer of our own making, with the reason. */
static void proxy_reply_with(struct proxy *p, unsigned status, const char *code, const char *clause, struct str reason_value)
{
    struct sip_response resp = {.status = status};
    struct sip_stx *tx = p->stx;
    char warning[160], retry[16];
    struct sbuf b = sbuf_make(warning, sizeof warning), rb = sbuf_make(retry, sizeof retry);

    if (!tx || p->final_sent)
        return;
    LOG(LOG_INFO, "forward-failed", LU("status", status), LZ("reason", code), LZ("clause", clause),
        LS("method", p->r->m->method_text), LS("call", p->r->m->call_id));
    if (code) {
        edge_warning(&b, edge_warn_code(code), code, clause);
        resp.extra[0].name = STR("Warning");
        resp.extra[0].value = sbuf_get(&b);
        resp.n_extra = 1;
    }
    if (reason_value.n) {
        resp.extra[resp.n_extra].name = STR("Reason");
        resp.extra[resp.n_extra++].value = reason_value;
    }
    if (status == 500 && p->anchor && code && strcmp(code, "offer-pending") == 0) { /* RFC 3311 5.2: up to 10 s */
        resp.extra[resp.n_extra].name = STR("Retry-After");
        resp.extra[resp.n_extra++].value = STR("3");
    }
    if (status == 503 && p->cannot) {
        sbuf_u64(&rb, edge_retry_after(p->r));
        resp.extra[resp.n_extra].name = STR("Retry-After");
        resp.extra[resp.n_extra++].value = sbuf_get(&rb);
    }
    answer_overtaken(p);
    proxy_over(p, status, 0);
    identity_verify_answered(p->r, status);
    smime_answered(p->r, status);
    proxy_forget_request(p);
    p->w->responses_by_class[status / 100]++;
    if (sip_stx_reply(tx, &resp) != 0 && !sip_stx_is_final(tx))
        proxy_drop(p);
}

static void proxy_reply(struct proxy *p, unsigned status, const char *code, const char *clause)
{
    proxy_reply_with(p, status, code, clause, STR_NULL);
}

/* ---- groups ---- */

static bool group_is_busy(struct proxy *p, struct str group)
{
    unsigned i;

    if (!group.n)
        return false;
    for (i = 0; i < p->n; i++)
        if (branch_at(p, i)->started && branch_at(p, i)->state != BRANCH_DONE && branch_at(p, i)->t && str_eq(branch_at(p, i)->t->group, group))
            return true;
    return false;
}

/* RFC 5626 6: another flow of an instance is tried only when the first one did not reach it. */
static bool group_is_answered(struct proxy *p, struct str group)
{
    unsigned i;

    if (!group.n)
        return false;
    for (i = 0; i < p->n; i++)
        if (branch_at(p, i)->started && branch_at(p, i)->state == BRANCH_DONE && branch_at(p, i)->t && str_eq(branch_at(p, i)->t->group, group) &&
            branch_at(p, i)->status != 430 && branch_at(p, i)->status != 408 && branch_at(p, i)->status != 503)
            return true;
    return false;
}

/* Starts what is next: all unstarted branches of the highest q, one flow of an instance at a time, within Max-Breadth.
 * False: nothing left. */
static bool start_group(struct proxy *p)
{
    unsigned i, q = 0, n = 0, allowed;
    bool any = false;

    for (i = 0; i < p->n; i++)
        if (!branch_at(p, i)->started && !group_is_answered(p, branch_at(p, i)->t->group) && (!any || branch_at(p, i)->t->q_milli > q)) {
            q = branch_at(p, i)->t->q_milli;
            any = true;
        }
    if (!any)
        return false;
    allowed = p->r->max_breadth;
    for (i = 0; i < p->n; i++)
        n += !branch_at(p, i)->started && branch_at(p, i)->t->q_milli == q;
    if (n > allowed)
        n = allowed; /* the rest follows one after the other (RFC 5393 5.3.3.2) */
    p->breadth = allowed / n; /* at least 1 */
    p->running = true;
    for (i = 0; i < p->n && n && !p->final_sent; i++) {
        struct branch *b = branch_at(p, i);

        if (b->started || b->t->q_milli != q || group_is_busy(p, b->t->group) || group_is_answered(p, b->t->group))
            continue;
        n--;
        branch_start(b);
    }
    p->running = false;
    return true;
}

static bool is_under_way(struct proxy *p)
{
    unsigned i;

    for (i = 0; i < p->n; i++)
        if (branch_at(p, i)->started && branch_at(p, i)->state != BRANCH_DONE)
            return true;
    return false;
}

/* The branch whose end says best why there is no answer; NULL: none was tried. */
static const struct branch *own_best(struct proxy *p)
{
    const struct branch *best = NULL;
    unsigned i;

    for (i = 0; i < p->n; i++)
        if (branch_at(p, i)->status >= 300 && (!best || best_rank(branch_at(p, i)->status) < best_rank(best->status)))
            best = branch_at(p, i);
    return best;
}

/* What others met is not always what we should say (16.7 step 6: a 503 would mean that all of us is out of service; RFC 5626 11.5:
 * 430 is for the proxy that looked up the flow, never for a phone). */
static unsigned status_upstream(const struct proxy *p, unsigned status)
{
    if (status == 503)
        return 500;
    if (status == 430 && !p->r->has_flow_path)
        return 480;
    return status;
}

static void proxy_answer(struct proxy *p)
{
    const struct branch *own = own_best(p);
    unsigned status = own ? own->status : 480;
    struct buf *out = p->best;

    if (out && best_rank(p->best_status) <= best_rank(status)) {
        status = status_upstream(p, p->best_status);
        p->best = NULL;
        if (status == p->best_status)
            proxy_send(p, status, out, 0);
        else
            proxy_reply(p, status, status == 500 ? "server-unavailable" : "flow-failed",
                        status == 500 ? "RFC 3261 16.7" : "RFC 5626 11.5");
        buf_unref(out);
    } else if (p->canceled) {
        proxy_reply(p, 487, NULL, NULL);
    } else if (status == 408 && p->method != SIP_INVITE) {
        proxy_drop(p); /* RFC 4320 4.2: nobody waits for this any more */
    } else {
        proxy_reply(p, status_upstream(p, status), own ? own->code : NULL, own ? own->clause : NULL);
    }
}

/* When nothing is under way any more: the next group, or the best response (16.7 steps 5 to 9). */
void proxy_conclude(struct proxy *p)
{
    if (p->running || p->final_sent || p->is_answered || !p->stx || (p->is_verifying && !p->canceled))
        return;
    while (!is_under_way(p) && !p->canceled && (!p->best || p->best_status < 600) && start_group(p))
        ;
    if (!is_under_way(p))
        proxy_answer(p);
}

/* ---- entry ---- */

static unsigned max_breadth(const struct sip_msg *m)
{
    const struct sip_hdr *h = sip_msg_hdr(m, SIP_H_MAX_BREADTH, 0);
    uint32_t v;

    if (!h || str_to_u32(h->value, LIMIT_MAX_BREADTH, &v) != 0)
        return LIMIT_MAX_BREADTH;
    return v;
}

/* Contexts, the newest first. Others' traffic may push one out of sight, and gains nothing by it: whoever is asked about here has shown
 * credentials that were used already and is refused in any case. The late fork is challenged then instead of told 482. */
#define MERGED_LOOK 256u

bool proxy_is_under_way(const struct edge_req *r)
{
    struct list *at = r->w->proxies.prev;
    unsigned n;

    for (n = 0; at != &r->w->proxies && n < MERGED_LOOK; n++, at = at->prev) {
        const struct proxy *p = CONTAINER_OF(at, struct proxy, node);

        if (p->r && p->cseq == r->m->cseq && p->method == r->m->method && str_eq(p->r->m->call_id, r->m->call_id) &&
            str_eq(p->r->m->from_tag, r->m->from_tag) && str_eq(p->r->m->to_tag, r->m->to_tag))
            return true;
    }
    return false;
}

struct branch *proxy_branch_add(struct proxy *p, const struct edge_target *t)
{
    struct branch *b;

    if (p->n == p->n_first && !p->more)
        p->more = mem_alloc(LIMIT_REDIRECTS * sizeof *p->more);
    if (!p->more || p->n == p->n_first + LIMIT_REDIRECTS)
        return NULL;
    b = branch_at(p, p->n++);
    branch_init(b, p, t);
    return b;
}

/* RFC 8224 6.2.2: the status says which step failed; Reason says so to those that look there (RFC 9410). */
static void proxy_refuse(struct proxy *p, const struct reason *why)
{
    struct str value = identity_reason_value(p->r->m->arena, why->sip_status);

    LOG(LOG_NOTICE, "refused", LU("status", why->sip_status), LZ("reason", why->code), LZ("clause", why->clause),
        LZ("detail", why->detail), LS("method", p->r->m->method_text), LS("call", p->r->m->call_id));
    proxy_reply_with(p, why->sip_status ? why->sip_status : 500, why->code, why->clause, value);
}

/* Its sender is judged: the first group, or what stands in the way. */
static void proxy_go(struct proxy *p)
{
    if (p->cannot)
        proxy_refuse(p, p->cannot);
    else
        proxy_conclude(p);
}

static void on_verified(void *arg, const struct reason *refuse)
{
    struct proxy *p = arg;
    struct reason why = {0};

    proxy_enter(p);
    p->is_verifying = false;
    proxy_note_vouch(p);
    if (refuse || callers_check(p->r, &why) != 0)
        proxy_refuse(p, refuse ? refuse : &why);
    else
        proxy_go(p);
    proxy_leave(p);
}

/* Who calls is settled before anybody is called. */
static void proxy_start(struct proxy *p)
{
    struct reason why = {0};
    int err = smime_judge(p->r, &why);

    if (err == 0)
        err = identity_verify(p->r, on_verified, p, &why);
    if (err == ERR_AGAIN) {
        p->is_verifying = true;
        return;
    }
    proxy_note_vouch(p);
    if (err != 0 || callers_check(p->r, &why) != 0)
        proxy_refuse(p, &why);
    else
        proxy_go(p);
}

/* Media of the call pass through us, or will: the call that this begins or belongs to. ERR_REFUSED, ERR_NOMEM: `why`. */
static int find_anchor(struct edge_req *r, const struct edge_targets *targets, struct anchor **ret, struct anchor_dialog **ret_dialog,
                       struct reason *why)
{
    *ret = NULL;
    *ret_dialog = NULL;
    if (!sip_msg_in_dialog(r->m))
        return r->m->method == SIP_INVITE ? anchor_begin(r, targets, ret, why) : 0;
    if (!r->has_token || !r->token.anchor_gen)
        return 0;
    *ret = anchor_of(r, ret_dialog);
    if (*ret || (r->m->method != SIP_INVITE && r->m->method != SIP_UPDATE))
        return 0; /* what ends it may still pass */
    reason_set(why, "call-ended", "RFC 3261 12.2.2", 481, "media of this call do not pass through us any more");
    return ERR_REFUSED;
}

static struct proxy *proxy_new(struct edge_req *r, size_t n_targets)
{
    struct proxy *p = mem_zalloc(sizeof *p + n_targets * sizeof p->first[0]);

    if (!p)
        return NULL;
    p->from_caller = r->from_caller;
    p->cseq = r->m->cseq;
    list_append(&r->w->proxies, &p->node);
    p->w = r->w;
    p->snap = snapshot_ref(r->snap);
    p->r = r;
    p->stx = r->tx;
    p->method = r->m->method;
    p->tells_sender = r->who.peer && r->who.peer->assert_identity;
    p->sender_loses = r->who.peer && !r->emergency ? &r->who.peer->remove_to : NULL;
    p->sender_is_phone = r->who.kind == PRINCIPAL_USER && !r->who.peer;
    p->shows_levels = status_name_is_for(r);
    sip_stx_set_upper(r->tx, p);
    return p;
}

static const struct reason *cannot_keep(const struct edge_req *r, const struct reason *why)
{
    static const struct reason none = {.code = "no-memory", .sip_status = 500};
    struct reason *copy = arena_alloc(r->m->arena, sizeof *copy);

    if (copy)
        *copy = *why;
    return copy ? copy : &none;
}

void proxy_cannot(struct edge_req *r, const struct reason *why)
{
    struct proxy *p = identity_is_judged_first(r) ? proxy_new(r, 0) : NULL;

    if (!p) {
        edge_refuse(r, why);
        return;
    }
    p->cannot = cannot_keep(r, why);
    edge_count(p->w, EC_BAD_REQUESTS);
    proxy_enter(p);
    proxy_start(p);
    proxy_leave(p);
}

void proxy_forward(struct edge_req *r, const struct edge_targets *targets)
{
    struct anchor_dialog *dialog;
    struct anchor *anchor;
    struct proxy *p;
    struct reason why = {0};

    r->max_breadth = max_breadth(r->m);
    if (!r->max_breadth) {
        reason_set(&why, "max-breadth", "RFC 5393 5.3.3", 440, NULL);
        proxy_cannot(r, &why);
        return;
    }
    if (find_anchor(r, targets, &anchor, &dialog, &why) != 0) {
        proxy_cannot(r, &why);
        return;
    }
    p = proxy_new(r, targets->n);
    if (!p) {
        anchor_discard(anchor, dialog);
        edge_reply(r, 500);
        return;
    }
    p->anchor = anchor;
    p->dialog = dialog;
    answer_context(p);
    for (; p->n < targets->n; p->n++)
        branch_init(&p->first[p->n], p, targets->v[p->n]);
    p->n_first = p->n;
    if (p->method == SIP_INVITE && !sip_msg_in_dialog(r->m)) {
        if (calls_begin(r, &p->call_slot, &p->call_gen, &why) != 0)
            p->cannot = cannot_keep(r, &why);
        if (anchor)
            anchor_set_call(anchor, p->call_slot, p->call_gen);
    } else if (r->has_token) {
        p->call_slot = r->token.call_slot;
        p->call_gen = r->token.call_gen;
        p->in_dialog = sip_msg_in_dialog(r->m);
        p->callee_tag = (uint32_t)str_hash(r->from_caller ? r->m->to_tag : r->m->from_tag);
    }
    proxy_enter(p);
    proxy_start(p);
    proxy_leave(p);
}

/* RFC 3261 16.10: the transaction layer has answered the CANCEL; now the branches. */
void proxy_cancel(struct edge_worker *w, struct sip_stx *invite, struct sip_msg *cancel)
{
    struct proxy *p = sip_stx_upper(invite);
    const struct sip_hdr *h = sip_msg_hdr(cancel, SIP_H_REASON, 0);

    (void)w;
    if (!p || p->final_sent)
        return;
    proxy_enter(p);
    p->canceled = true;
    branches_cancel(p, NULL, h ? h->value : STR_NULL);
    proxy_conclude(p);
    proxy_leave(p);
}

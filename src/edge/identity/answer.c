/* Answers of ours that are signed as they leave: see answer.h. RFC 9970, RFC 8224 6.1; the order of
 * responses is that of RFC 3261 16.7. Owner: the response context; what waits has an arena of its
 * own. Worker thread. */
#include "edge/identity/answer.h"
#include "base/log.h"
#include "base/mem.h"
#include "edge/request_priv.h"

struct answer_out {
    struct list node;
    struct proxy *p;
    const struct branch *b;
    struct arena *arena; /* everything, this too */
    unsigned status;
    uint32_t session_s;
    struct buf *buf;
    struct sip_msg *m;                       /* buf, parsed; NULL: it is not signed */
    struct identity_answer_signing *signing; /* NULL: it may leave */
    uint32_t tag;
    uint64_t name;
};

/* ---- what a context keeps ---- */

struct answers *answers_get(struct proxy *p)
{
    if (!p->answers && (p->answers = mem_zalloc(sizeof *p->answers)) != NULL) {
        list_init(&p->answers->out);
        list_init(&p->answers->in);
    }
    return p->answers;
}

const struct answer_seen *answer_seen_find(const struct proxy *p, uint64_t name)
{
    for (unsigned i = 0; p->answers && i < p->answers->n_seen; i++)
        if (p->answers->seen[i].name == name)
            return &p->answers->seen[i];
    return NULL;
}

struct answer_seen *answer_seen_add(struct proxy *p, uint64_t name)
{
    struct answers *a = answers_get(p);
    struct answer_seen *s;

    if (!a)
        return NULL;
    if (a->n_seen == ARRAY_LEN(a->seen)) {
        mem_free(a->seen[0].identity);
        memmove(&a->seen[0], &a->seen[1], (ARRAY_LEN(a->seen) - 1) * sizeof a->seen[0]);
        a->n_seen--;
    }
    s = &a->seen[a->n_seen++];
    *s = (struct answer_seen){.name = name};
    return s;
}

/* ---- whose answers are signed ---- */

/* In answers to all of them there may be a session description (RFC 3261 13, RFC 3311, RFC 3262 5). */
static bool has_answers(enum sip_method m)
{
    return m == SIP_INVITE || m == SIP_UPDATE || m == SIP_PRACK;
}

static bool is_foreign(const struct config_peer *p)
{
    return !p || p->kind == CONFIG_PEERING || p->kind == CONFIG_SUBSCRIPTION;
}

void answer_context(struct proxy *p)
{
    const struct edge_req *r = p->r;
    const struct config_peer *peer = r->who.peer;
    bool is_told = !peer || (peer->sign_answers && peer->sign_identity != CONFIG_SIGN_NONE &&
                             peer->sign_identity != CONFIG_SIGN_RFC4474); /* which has none in responses */

    if (!has_answers(p->method) || r->emergency)
        return;
    if (r->who.kind != PRINCIPAL_DOMAIN && (r->who.kind != PRINCIPAL_PEER || !is_foreign(peer)))
        return;
    p->signs_answers = is_told && r->snap->n_own;
    p->strips_answers = !is_told;
}

/* Within a dialog the other side is known by its sealed name; To has it, unless the call was
 * diverted (RFC 8224 12.1.1), and then there is nobody whom we could name. */
static struct str answerer_in_dialog(const struct edge_req *r)
{
    const struct token_side *side = r->from_caller ? &r->token.callee : &r->token.caller;
    struct principal who = {.kind = PRINCIPAL_USER};
    const struct config_domain *d;
    struct sip_uri u;

    if (!r->has_token || side->kind != PRINCIPAL_USER || sip_uri_parse(r->m->to.uri, &u) != 0 ||
        (d = request_domain(r->cfg, &u, &r->rx.path.local)) == NULL)
        return STR_NULL;
    u.host = d->name;
    u.host_is_v6 = false;
    if (sip_uri_aor(r->m->arena, &u, &who.name) != 0 || principal_id(&who) != side->who)
        return STR_NULL;
    return who.name;
}

/* A user of ours, or somebody of our domain behind a site or server of the enterprise. A gateway
 * answers for nobody (TR/100 7.7). */
static struct str answerer_of(const struct edge_req *r, const struct edge_target *t)
{
    if (sip_msg_in_dialog(r->m))
        return answerer_in_dialog(r);
    if (t->aor.n) /* a subscriber's own exchange answers for more than its account */
        return t->peer ? STR_NULL : t->aor;
    return t->peer && (t->peer->kind == CONFIG_SITE || t->peer->kind == CONFIG_SERVER) ? t->uri
                                                                                       : STR_NULL;
}

void answer_branch(struct branch *b)
{
    struct proxy *p = b->p;
    const struct edge_target *t = b->t;
    struct str who = STR_NULL;

    b->peer = t->peer;
    b->is_judged = has_answers(p->method) && (!t->to_user || t->peer) && !t->emergency && !t->is_flow_side;
    b->may_sign = has_answers(p->method) && t->to_user && !t->peer && !t->emergency;
    if (p->signs_answers)
        who = answerer_of(p->r, t);
    if (!who.n || b->answerer || !identity_signs_for(p->snap, who))
        return;
    if ((b->answerer = mem_alloc(who.n + 1)) == NULL) {
        edge_count(p->w, EC_IDENTITY_UNSIGNED);
        return;
    }
    memcpy(b->answerer, who.p, who.n);
    b->answerer[who.n] = 0;
}

void answer_strip(const struct branch *b, struct sip_edit *e, const struct sip_msg *m)
{
    bool is_foreign_one = b->is_judged && b->peer && b->peer->verify_answers == CONFIG_VERIFY_STRIP;

    if (!is_foreign_one && !b->p->strips_answers)
        return;
    if (sip_msg_has(m, SIP_H_IDENTITY))
        sip_edit_remove(e, SIP_H_IDENTITY);
    if (sip_msg_has(m, SIP_H_IDENTITY_INFO))
        sip_edit_remove(e, SIP_H_IDENTITY_INFO);
}

/* ---- the row ---- */

static void out_free(struct answer_out *o)
{
    identity_answer_signing_cancel(o->signing);
    list_remove(&o->node);
    buf_unref(o->buf);
    arena_free(o->arena);
}

static void leave(struct proxy *p, unsigned status, uint32_t tag, struct buf *buf,
                  uint32_t session_s)
{
    if (!p->in_dialog && status >= 200)
        p->callee_tag = tag;
    proxy_send(p, status, buf, session_s);
}

/* Whatever is ready, up to the first that is not. */
static void out_flush(struct proxy *p)
{
    struct answer_out *o;

    while (p->answers && (o = LIST_FIRST(&p->answers->out, struct answer_out, node)) != NULL &&
           !o->signing) {
        list_remove(&o->node);
        if (!p->final_sent || o->status >= 200)
            leave(p, o->status, o->tag, o->buf, o->session_s);
        out_free(o);
    }
}

/* The same answer again is known by who gives it, in which dialog, and the description in it. */
static uint64_t out_name(const struct branch *b, struct str to_tag, struct str body)
{
    uint64_t v[3] = {(uintptr_t)b, str_hash(to_tag), str_hash(body)};

    return str_hash(str_make((const char *)v, sizeof v));
}

static void keep_signature(struct answer_out *o, struct str value, struct str date)
{
    struct answer_seen *s;
    char *text = mem_alloc(value.n + date.n + 2);

    if (!text || (s = answer_seen_add(o->p, o->name)) == NULL) {
        mem_free(text); /* it is signed anew, then */
        return;
    }
    s->identity = text;
    memcpy(text, value.p, value.n);
    text[value.n] = 0;
    s->date = text + value.n + 1;
    if (date.n)
        memcpy(s->date, date.p, date.n);
    s->date[date.n] = 0;
}

static void on_signed(void *arg, struct str value, struct str date, const struct reason *why)
{
    struct answer_out *o = arg;
    struct proxy *p = o->p;
    struct forward_changes c = {.identity = value, .date = date};
    struct sip_edit *e = value.n ? sip_edit_new(o->arena, o->m) : NULL;
    struct buf *out;

    (void)why; /* said and counted where it was found */
    proxy_enter(p);
    o->signing = NULL;
    if (value.n && e && forward_change(e, o->m, &c, false) == 0 && sip_edit_build(e, &out) == 0) {
        buf_unref(o->buf);
        o->buf = out;
        keep_signature(o, value, date);
    }
    out_flush(p);
    proxy_leave(p);
}

/* A copy that lives until it is signed. */
static struct answer_out *out_new(struct branch *b, unsigned status, struct buf *buf,
                                  uint32_t session_s)
{
    struct arena *arena = answers_get(b->p) ? arena_new(4096, LIMIT_MSG_ARENA_BYTES) : NULL;
    struct answer_out *o = arena ? arena_zalloc(arena, sizeof *o) : NULL;

    if (!o) {
        arena_free(arena);
        return NULL;
    }
    o->arena = arena;
    o->p = b->p;
    o->b = b;
    o->status = status;
    o->session_s = session_s;
    o->buf = buf_ref(buf);
    list_append(&b->p->answers->out, &o->node);
    return o;
}

static bool is_waiting(const struct proxy *p)
{
    return p->answers && !list_is_empty(&p->answers->out);
}

static bool is_repeated(const struct proxy *p, unsigned status, uint64_t name)
{
    LIST_EACH(o, &p->answers->out, struct answer_out, node)
    {
        if (o->name == name && o->status == status)
            return true;
    }
    return false;
}

static struct str body_leaving(const struct branch *b, const struct sip_msg *m)
{
    return b->changes && b->changes->has_body ? b->changes->body : m->body;
}

static bool is_to_be_signed(const struct branch *b, const struct sip_msg *m)
{
    if (!b->answerer || m->status <= 100 || m->status >= 300 || !m->to_tag.n)
        return false;
    return !(b->changes && b->changes->identity.n) &&
           ((b->p->method == SIP_INVITE && m->status >= 200) || body_leaving(b, m).n > 0);
}

void answer_recall(const struct branch *b, const struct sip_msg *m, struct forward_changes *ret)
{
    struct str body = ret->has_body ? ret->body : m->body;
    const struct answer_seen *s;

    if (!b->answerer || m->status <= 100 || m->status >= 300 || (m->status < 200 && !body.n) ||
        (s = answer_seen_find(b->p, out_name(b, m->to_tag, body))) == NULL || !s->identity)
        return;
    ret->identity = str_z(s->identity);
    ret->date = str_z(s->date);
}

/* How many wait is bounded by what a phone of ours can say at once: beyond that it leaves unsigned
 * if it begins the row, and is said again otherwise. */
static bool is_full(const struct proxy *p, unsigned status)
{
    unsigned n = 0;

    LIST_EACH(o, &p->answers->out, struct answer_out, node)
    {
        n++;
    }
    return n >= (status >= 200 ? 2 * LIMIT_ANSWERS : LIMIT_ANSWERS);
}

void answer_pass(struct branch *b, const struct sip_msg *m, struct buf *out, uint32_t session_s)
{
    struct proxy *p = b->p;
    bool sign = is_to_be_signed(b, m);
    uint64_t name;
    struct answer_out *o;
    struct reason why;

    if (!sign && !is_waiting(p)) {
        leave(p, m->status, (uint32_t)str_hash(m->to_tag), out, session_s);
        return;
    }
    name = out_name(b, m->to_tag, body_leaving(b, m));
    if (is_waiting(p) && (is_repeated(p, m->status, name) || is_full(p, m->status)))
        return; /* it waits already; or its sender says it again */
    if ((o = out_new(b, m->status, out, session_s)) == NULL) {
        if (m->status >= 200 && !p->is_answered)
            answer_overtaken(p); /* it need not come again, and nothing else would end the call */
        if (!is_waiting(p)) {
            edge_count(p->w, EC_IDENTITY_UNSIGNED);
            leave(p, m->status, (uint32_t)str_hash(m->to_tag), out, session_s);
        }
        return;
    }
    o->tag = (uint32_t)str_hash(m->to_tag);
    o->name = name;
    p->is_answered = p->is_answered || m->status >= 200;
    if (sign &&
        (sip_msg_parse(o->arena, buf_str(out), &o->m, &why) != 0 ||
         !identity_sign_answer(p->w, p->snap, o->m, str_z(b->answerer), on_signed, o, &o->signing)))
        o->signing = NULL;
    out_flush(p);
}

void answer_overtaken(struct proxy *p)
{
    if (p->answers)
        LIST_EACH(o, &p->answers->out, struct answer_out, node)
        {
            out_free(o);
        }
}

/* ---- the end ---- */

void answer_stop(struct proxy *p)
{
    answer_overtaken(p);
    for (unsigned i = 0; i < p->n; i++)
        answer_forget(branch_at(p, i));
}

void answer_done(struct proxy *p)
{
    answer_stop(p);
    for (unsigned i = 0; i < p->n; i++)
        mem_free(branch_at(p, i)->answerer);
    for (unsigned i = 0; p->answers && i < p->answers->n_seen; i++)
        mem_free(p->answers->seen[i].identity);
    mem_free(p->answers);
    p->answers = NULL;
}

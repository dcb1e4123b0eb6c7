/* Answers of others, judged before they are believed: see answer.h. RFC 9970, RFC 8224 6.2; TR/100
 * 7.5.4, recommendation 6. A branch holds back one 18x at most, and 2xx of different forks; what an
 * 18x loses by that is said again by the 2xx, or was not reliable (RFC 3261 13.2.1, RFC 3262).
 * Owner: the response context; what waits is a copy, in an arena of its own. Worker thread. */
#include "base/log.h"
#include "edge/identity/answer.h"
#include "edge/status/calls.h"
#include "edge/status/facts.h"
#include "edge/identity/smime.h"

struct answer_in {
    struct list node;
    struct branch *b;
    struct arena *arena; /* everything, this too */
    struct sip_msg *m;
    struct rx rx;
    uint64_t name;
    struct identity_vouch vouch;
    struct identity_verification *verification; /* while it waits */
    const struct smime_vouch *smime;
};

static void in_free(struct answer_in *in)
{
    identity_verification_cancel(&in->verification);
    list_remove(&in->node);
    arena_free(in->arena);
}

void answer_forget(struct branch *b)
{
    if (b->p->answers)
        LIST_EACH(in, &b->p->answers->in, struct answer_in, node)
        {
            if (in->b == b)
                in_free(in);
        }
}

bool answer_waits(const struct branch *b)
{
    if (b->p->answers)
        LIST_EACH(in, &b->p->answers->in, struct answer_in, node)
        {
            if (in->b == b)
                return true;
        }
    return false;
}

/* ---- what is one and the same ---- */

/* Whatever of it the verdict rests on: a repetition in which any of it is another is judged again.
 */
static uint64_t in_name(const struct branch *b, const struct sip_msg *m)
{
    uint64_t v[5] = {(uintptr_t)b, str_hash(m->to_tag), str_hash(m->body), m->status >= 200, 0};
    const struct sip_hdr *h;

    for (unsigned i = 0; (h = sip_msg_hdr(m, SIP_H_IDENTITY, i)) != NULL; i++)
        v[4] = v[4] * 31 + str_hash(h->value);
    return str_hash(str_make((const char *)v, sizeof v));
}

/* Another response of this branch has come while one waits. True: it is not looked at. */
static bool is_held_up(const struct branch *b, const struct sip_msg *m, uint64_t name)
{
    bool held = false, repeated = false;
    unsigned n = 0;

    LIST_EACH(in, &b->p->answers->in, struct answer_in, node)
    {
        n++;
        held = held || in->b == b;
        repeated = repeated || in->name == name;
    }
    return repeated || (held && m->status < 200) || n >= LIMIT_ANSWERS;
}

/* A 2xx, or a failure, has overtaken an 18x. */
static void forget_early(const struct branch *b)
{
    if (b->p->answers)
        LIST_EACH(in, &b->p->answers->in, struct answer_in, node)
        {
            if (in->b == b && in->m->status < 200)
                in_free(in);
        }
}

/* ---- the verdict ---- */

static void refuse(struct branch *b, const struct sip_msg *m, uint64_t name,
                   const struct identity_vouch *vouch, const struct rx *rx,
                   const struct reason *why)
{
    struct answer_seen *s = m->status >= 200 ? answer_seen_add(b->p, name) : NULL;

    LOG(LOG_NOTICE, "answer-refused", LS("call", m->call_id), LU("status", m->status),
        LZ("reason", why->code), LZ("clause", why->clause), LZ("detail", why->detail),
        LS("peer", b->peer ? b->peer->name : STR_NULL));
    if (s)
        s->is_refused = true;
    b->vouch = vouch;
    proxy_note_answer(b, m, rx); /* it is the story of the call, too */
    b->vouch = NULL;
    b->is_refused = true;
    if (m->status >= 200)
        hang_up(b, m, false, why);
    branch_answer_refused(b, m, why);
}

static void pass(struct branch *b, uint64_t name)
{
    (void)answer_seen_add(b->p, name); /* without memory it is judged again: with the same result */
}

static void on_judged(void *arg, const struct reason *why)
{
    struct answer_in *in = arg;
    struct branch *b = in->b;
    struct proxy *p = b->p;

    proxy_enter(p);
    list_remove(&in->node); /* from here on it is nobody's but ours */
    if (why && why->code && strcmp(why->code, "no-memory") == 0) {
        branch_answer_lost(b);
        proxy_leave(p);
        in_free(in);
        return;
    }
    if (!in->rx.hop && in->rx.path.flow)
        in->rx.hop = net_facts(p->w->net, in->rx.path.flow);
    if (why) {
        refuse(b, in->m, in->name, &in->vouch, &in->rx, why);
    } else {
        pass(b, in->name);
        b->vouch = &in->vouch;
        b->smime = in->smime;
        branch_judged(b, in->m, &in->rx);
        b->vouch = NULL;
        b->smime = NULL;
    }
    proxy_leave(p);
    in_free(in);
}

/* ---- entry ---- */

/* The connection that it came by is looked up again when it is needed. */
static struct answer_in *in_new(struct branch *b, const struct sip_msg *m, const struct rx *rx)
{
    struct arena *arena = answers_get(b->p) ? arena_new(4096, LIMIT_MSG_ARENA_BYTES) : NULL;
    struct answer_in *in = arena ? arena_zalloc(arena, sizeof *in) : NULL;
    struct str bytes = in ? arena_str(arena, m->bytes) : STR_NULL;
    struct reason why;

    if (!bytes.p || sip_msg_parse(arena, bytes, &in->m, &why) != 0) {
        arena_free(arena);
        return NULL;
    }
    in->arena = arena;
    in->b = b;
    in->rx.path = rx->path;
    in->rx.when_us = rx->when_us;
    list_append(&b->p->answers->in, &in->node);
    return in;
}

/* A response without a signature. */
static bool judge_absent(struct branch *b, const struct sip_msg *m, const struct rx *rx,
                         uint64_t name)
{
    static const struct identity_vouch absent = {.result = {.verdict = IDENTITY_ABSENT}};
    struct reason why;

    if (((m->status < 200 || b->p->method != SIP_INVITE) && !m->body.n) || !b->peer ||
        b->peer->verify_answers != CONFIG_VERIFY_REQUIRE)
        return false; /* a description counts at once, and what comes later does not undo it */
    edge_count(b->p->w, EC_IDENTITY_ABSENT);
    reason_set(&why, "answer-not-signed", "RFC 9970", 502, "no Identity header in the answer");
    refuse(b, m, name, &absent, rx, &why);
    return true;
}

/* ... whose body may be signed all the same: that is known at once, and told of the response until it
 * has passed (b->smime). */
static bool judge_body(struct branch *b, const struct sip_msg *m, const struct rx *rx, uint64_t name)
{
    static const struct identity_vouch absent = {.result = {.verdict = IDENTITY_ABSENT}};
    const struct identity_answer a = {.m = m, .cfg = b->p->snap->cfg, .peer = b->peer};
    struct reason why = {0};

    if (smime_judge_answer(b->p->w, &a, &b->smime, &why) != 0) {
        refuse(b, m, name, &absent, rx, &why);
        return true;
    }
    if (b->smime)
        pass(b, name);
    return false;
}

/* Taken apart in an arena of its own, since it may have to wait. */
static bool judge(struct branch *b, const struct sip_msg *m, const struct rx *rx, uint64_t name)
{
    struct proxy *p = b->p;
    struct answer_in *in = in_new(b, m, rx);
    struct identity_answer a = {.cfg = p->snap->cfg, .peer = b->peer};
    struct reason why = {0};
    int err;

    if (!in)
        return true; /* no memory: its sender says it again */
    in->name = name;
    a.m = in->m;
    if ((err = smime_judge_answer(p->w, &a, &in->smime, &why)) != 0) {
        in->rx.hop = rx->hop;
        b->smime = in->smime;
        on_judged(in, &why);
        return true;
    }
    err = identity_verify_answer(p->w, &a, on_judged, in, &in->vouch, &in->verification, &why);
    if (err == ERR_AGAIN) {
        branch_heard(b);
        return true;
    }
    in->rx.hop = rx->hop;
    on_judged(in, err == 0 ? NULL : &why);
    return true;
}

/* After one that was refused no other is taken: of the same phone it is acknowledged again (its ACK
 * was lost), any other is hung up on, too; so many as a fork may make, and no more: each costs a
 * transaction of ours, and who sends them costs nothing (RFC 3261 13.2.2.4 knows no bound). */
static void refuse_again(struct branch *b, const struct sip_msg *m, uint64_t name)
{
    const struct answer_seen *seen = answer_seen_find(b->p, name);
    struct answer_seen *s;
    struct reason why;

    if (m->status < 200)
        return;
    reason_set(&why, "answer-refused", "RFC 9970", 502, NULL);
    if (!seen && b->p->answers && b->p->answers->n_late >= LIMIT_CALL_LATE)
        return;
    if (!seen && b->p->answers)
        b->p->answers->n_late++;
    if (!seen && (s = answer_seen_add(b->p, name)) != NULL)
        s->is_refused = true;
    hang_up(b, m, seen != NULL, &why);
}

bool answer_judge(struct branch *b, const struct sip_msg *m, const struct rx *rx)
{
    uint64_t name;

    if (m->status >= 300)
        answer_forget(b);
    if (m->status <= 100 || m->status >= 300 || !m->to_tag.n)
        return false;
    name = in_name(b, m);
    if (b->is_refused) {
        refuse_again(b, m, name);
        return true;
    }
    if (b->p->answers && is_held_up(b, m, name))
        return true;
    if (m->status >= 200)
        forget_early(b);
    if (!sip_msg_has(m, SIP_H_IDENTITY) ||
        (b->peer && b->peer->verify_answers == CONFIG_VERIFY_STRIP))
        return judge_absent(b, m, rx, name) ||
               (!answer_seen_find(b->p, name) && judge_body(b, m, rx, name));
    if (answer_seen_find(b->p, name))
        return false;
    return judge(b, m, rx, name);
}

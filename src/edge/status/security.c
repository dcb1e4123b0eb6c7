/* The security status of calls, as people are shown it: see security.h. Worker thread. */
#include "edge/status/security.h"
#include "base/log.h"
#include "base/mem.h"
#include "edge/anchor/facts.h"
#include "edge/status/status_priv.h"
#include "policy/status_text.h"

#define ARENA_FIRST 12288u
#define JSON_MAX 16384u  /* of a status */
#define STORY_MAX 32768u /* of an explanation */

int security_facts(const struct edge_worker *w, const struct call_info *c, struct arena *a,
                   struct policy_facts **ret)
{
    const struct facts_ask ask = {.anchor_slot = c->anchor_slot, .anchor_gen = c->anchor_gen};

    return facts_make(w, c->facts, &ask, a, ret);
}

enum policy_level security_level(const struct policy_facts *f, unsigned *ret_lower)
{
    enum policy_level caller = policy_level(f, POLICY_CALLER),
                      callee = policy_level(f, POLICY_CALLEE);

    *ret_lower = callee < caller ? POLICY_CALLEE : POLICY_CALLER;
    return callee < caller ? callee : caller;
}

/* ---- status ---- */

static json_t *status_json(const struct policy_facts *f, unsigned towards, struct arena *a)
{
    char *text = arena_alloc(a, JSON_MAX);
    struct policy_status st;
    struct sbuf b;

    if (!text)
        return NULL;
    b = sbuf_make(text, JSON_MAX);
    policy_status(f, towards, &st);
    policy_text_json(&b, f, &st);
    return b.overflow ? NULL : json_loadb(b.p, b.n, 0, NULL);
}

bool security_add(const struct edge_worker *w, const struct call_info *c, json_t *row)
{
    struct arena *a = arena_new(ARENA_FIRST, LIMIT_MSG_ARENA_BYTES);
    struct policy_facts *f;
    bool ok = a && security_facts(w, c, a, &f) == 0;

    ok = ok && (!c->anchor_gen || anchor_facts_add(w, c->anchor_slot, c->anchor_gen, f, row));
    ok = ok && json_object_set_new(row, "security",
                                   json_pack("[o, o]", status_json(f, POLICY_CALLER, a),
                                             status_json(f, POLICY_CALLEE, a))) == 0;
    arena_free(a);
    return ok;
}

bool security_add_level(const struct edge_worker *w, const struct call_info *c, json_t *row)
{
    struct arena *a = arena_new(ARENA_FIRST, LIMIT_MSG_ARENA_BYTES);
    struct policy_facts *f;
    unsigned lower;
    bool ok = a && security_facts(w, c, a, &f) == 0 &&
              json_object_set_new(row, "level",
                                  json_string(policy_level_code(security_level(f, &lower)))) == 0;

    arena_free(a);
    return ok;
}

/* ---- the end of a call ---- */

struct told_call {
    struct policy_facts *facts; /* NULL: nothing here */
    char *call_id;
    size_t call_id_len;
    bool is_answered;
};
struct security_told {
    unsigned next;
    struct told_call v[LIMIT_CALLS_TOLD];
};

int security_start(struct edge_worker *w)
{
    w->told = mem_zalloc(sizeof(*w->told));
    return w->told ? 0 : ERR_NOMEM;
}

static void told_done(struct told_call *t)
{
    policy_facts_free(t->facts);
    mem_free(t->call_id);
    *t = (struct told_call){0};
}

void security_stop(struct edge_worker *w)
{
    for (size_t i = 0; w->told && i < LIMIT_CALLS_TOLD; i++)
        told_done(&w->told->v[i]);
    mem_free(w->told);
    w->told = NULL;
}

static void keep(struct security_told *told, const struct call_info *c,
                 const struct policy_facts *f)
{
    struct told_call *t = &told->v[told->next];

    told_done(t);
    t->call_id = mem_alloc(c->call_id.n);
    if (!t->call_id || policy_facts_copy(f, &t->facts) != 0) {
        told_done(t);
        return;
    }
    memcpy(t->call_id, c->call_id.p, c->call_id.n);
    t->call_id_len = c->call_id.n;
    t->is_answered = c->is_answered;
    told->next = (told->next + 1) % LIMIT_CALLS_TOLD;
}

static void log_end(const struct call_info *c, const struct policy_facts *f, unsigned towards)
{
    struct policy_status st;
    char text[1024];
    struct sbuf b = sbuf_make(text, sizeof(text));

    policy_status(f, towards, &st);
    for (unsigned i = 0; i < st.n_reasons; i++) {
        const struct policy_why_info *w = policy_why_info((enum policy_why)st.reasons[i].why);

        if (w->keeps_from == POLICY_LEVELS)
            continue; /* a remark */
        if (b.n)
            sbuf_char(&b, ',');
        sbuf_str(&b, str_z(w->code));
    }
    LOG(st.level == POLICY_ATTACKED ? LOG_WARN : LOG_INFO, "call-security", LS("call", c->call_id),
        LS("from", c->from), LS("target", c->target), LZ("level", policy_level_code(st.level)),
        LZ("proven", st.is_proven ? "yes" : "no"), LS("reasons", sbuf_get(&b)),
        LU("seconds", c->is_answered ? c->seconds : 0));
}

void security_ended(struct edge_worker *w, const struct call_info *c)
{
    struct arena *a = arena_new(ARENA_FIRST, LIMIT_MSG_ARENA_BYTES);
    struct policy_facts *f;
    enum policy_level level;
    unsigned lower;

    if (a && security_facts(w, c, a, &f) == 0) {
        level = security_level(f, &lower);
        if (level == POLICY_ATTACKED)
            edge_count(w, EC_ATTACKS);
        if (c->is_answered)
            edge_count(w, (enum edge_counter)(EC_LEVEL_ATTACKED + (int)level));
        if (LOG_INFO >= log_threshold || level == POLICY_ATTACKED)
            log_end(c, f, lower);
        keep(w->told, c, f);
    }
    arena_free(a);
}

/* ---- explain ---- */

static json_t *story(struct str call_id, const char *state, const struct policy_facts *f)
{
    char *text = mem_alloc(STORY_MAX);
    struct sbuf b = sbuf_make(text, text ? STORY_MAX : 0);
    json_t *row = NULL;

    policy_text_explain(&b, f);
    if (text) /* a story that is cut is still one */
        row = json_pack("{s:o, s:s, s:o}", "call_id", status_json_text(call_id), "state", state,
                        "text", status_json_text(sbuf_get(&b)));
    mem_free(text);
    return row;
}

struct explaining {
    struct edge_worker *w;
    struct str call_id;
    bool (*fn)(void *arg, json_t *row);
    void *arg;
    bool is_over;
};

static bool explain_one(void *arg, const struct call_info *c)
{
    static const char *const states[] = {
        [CALL_TRYING] = "trying", [CALL_RINGING] = "ringing", [CALL_ANSWERED] = "answered"};
    struct explaining *e = arg;
    struct arena *a;
    struct policy_facts *f;

    if (!str_eq(c->call_id, e->call_id))
        return true;
    a = arena_new(ARENA_FIRST, LIMIT_MSG_ARENA_BYTES);
    e->is_over = !e->fn(e->arg, a && security_facts(e->w, c, a, &f) == 0
                                    ? story(c->call_id, states[c->state], f)
                                    : NULL);
    arena_free(a);
    return !e->is_over;
}

void security_explain(struct edge_worker *w, struct str call_id, bool (*fn)(void *arg, json_t *row),
                      void *arg)
{
    struct explaining e = {.w = w, .call_id = call_id, .fn = fn, .arg = arg};

    calls_each(w, explain_one, &e);
    for (size_t i = 0; i < LIMIT_CALLS_TOLD && !e.is_over; i++) {
        const struct told_call *t = &w->told->v[i];

        if (t->facts && str_eq(str_make(t->call_id, t->call_id_len), call_id))
            e.is_over = !fn(arg, story(call_id, t->is_answered ? "ended" : "failed", t->facts));
    }
}

/* See verify.h. RFC 8224 6.2, RFC 8862 4.4. Thread: the phone's. */
#include "phone/verify.h"
#include "base/limits.h"
#include "edge/identity/show.h"

struct wait { /* for one certificate */
    struct phone_check *c;
    size_t i;
    uint64_t id; /* 0: not waiting */
    const struct identity_credential *cred;
};

struct phone_check {
    struct phone_verifier *v;
    struct arena *arena; /* everything, this too */
    struct sip_msg *m;
    struct identity_shown shown;
    struct identity_policy policy;
    struct identity_check *check;
    struct identity_result result;
    phone_check_fn *fn;
    void *arg;
    bool is_starting;
    size_t n, n_waiting;
    struct wait waits[LIMIT_IDENTITY_TOKENS];
};

static size_t values_of(const struct sip_msg *m, struct str v[LIMIT_IDENTITY_HEADERS])
{
    const struct sip_hdr *h;
    size_t n = 0;
    for (unsigned i = 0;
         n < LIMIT_IDENTITY_HEADERS && (h = sip_msg_hdr(m, SIP_H_IDENTITY, i)) != NULL; i++)
        v[n++] = h->value;
    return n;
}

static void put_all(struct phone_check *c)
{
    for (size_t i = 0; i < c->n; i++) {
        if (c->waits[i].id)
            c->v->cancel(c->v, c->waits[i].id);
        if (c->waits[i].cred)
            c->v->put(c->v, c->waits[i].cred);
        c->waits[i].id = 0;
        c->waits[i].cred = NULL;
    }
}

static void finish(struct phone_check *c)
{
    const struct identity_use use = {c->m->call_id,
                                     c->m->is_request ? c->m->from_tag : c->m->to_tag, c->m->cseq,
                                     .is_in_dialog = sip_msg_in_dialog(c->m)};
    if (identity_check_finish(c->check, c->v->seen, &use, &c->result) != 0) {
        c->result = (struct identity_result){.verdict = IDENTITY_UNVERIFIABLE,
                                             .worst = IDENTITY_UNVERIFIABLE};
        reason_set(&c->result.why, "no-memory", NULL, 500, NULL);
    }
    put_all(c);
}

static void on_credential(void *arg, const struct identity_credential *cred)
{
    struct wait *w = arg;
    struct phone_check *c = w->c;
    w->id = 0;
    w->cred = cred;
    if (cred)
        identity_check_set_credential(c->check, w->i, cred);
    if (--c->n_waiting || c->is_starting)
        return;
    finish(c);
    c->fn(c->arg, &c->result);
}

static void ask(struct phone_check *c, size_t i, struct str url)
{
    struct wait *w = &c->waits[i];
    *w = (struct wait){.c = c, .i = i};
    c->n_waiting++;
    int err = c->v->get(c->v, url, on_credential, w, &w->cred, &w->id);
    if (err == ERR_AGAIN)
        return;
    c->n_waiting--;
    if (err == 0)
        identity_check_set_credential(c->check, i, w->cred);
    else
        w->cred = NULL; /* not to be had: 436 */
}

static int show(struct arena *a, const struct sip_msg *m, struct identity_shown *ret)
{
    struct reason why = {0};
    return m->is_request
               ? identity_show(a, m, m->ruri, STR_NULL, STR_NULL, NULL, false, ret, &why)
               : identity_show_answer(a, m, m->to.uri, NULL, ret, &why);
}

int phone_check_keys(const struct sip_msg *m, const struct passport_key **ret, size_t *ret_n)
{
    struct identity_shown shown = {0};
    int err = show(m->arena, m, &shown);
    *ret = shown.m.mky;
    *ret_n = shown.m.n_mky;
    return err;
}

static int start(struct phone_check *c, const struct sip_msg *m, uint64_t now_s)
{
    struct str *values = arena_alloc(c->arena, LIMIT_IDENTITY_HEADERS * sizeof(*values));
    struct str bytes = arena_str(c->arena, m->bytes);
    const struct str *urls;
    struct reason why;
    if (values == NULL || bytes.p == NULL)
        return ERR_NOMEM;
    int err = sip_msg_parse(c->arena, bytes, &c->m, &why);
    if (!err)
        err = show(c->arena, c->m, &c->shown);
    if (err)
        return err == ERR_NOMEM ? err : ERR_SYNTAX;
    c->policy = identity_policy_default(now_s);
    err = identity_check_new(c->arena, values, values_of(c->m, values), &c->shown.m, &c->policy,
                             &c->check);
    if (err)
        return err;
    size_t n = identity_check_urls(c->check, &urls);
    c->is_starting = true;
    for (size_t i = 0; i < n && i < LIMIT_IDENTITY_TOKENS; i++) {
        c->n = i + 1;
        ask(c, i, urls[i]);
    }
    c->is_starting = false;
    if (c->n_waiting)
        return ERR_AGAIN;
    finish(c);
    return 0;
}

int phone_check_new(struct phone_verifier *v, const struct sip_msg *m, uint64_t now_s,
                    phone_check_fn *fn, void *arg, struct phone_check **ret)
{
    *ret = NULL;
    if (!sip_msg_has(m, SIP_H_IDENTITY))
        return ERR_NOTFOUND;
    struct arena *a = arena_new(16u << 10, LIMIT_MSG_ARENA_BYTES);
    struct phone_check *c = a ? arena_zalloc(a, sizeof(*c)) : NULL;
    if (c == NULL) {
        arena_free(a);
        return ERR_NOMEM;
    }
    c->v = v;
    c->arena = a;
    c->fn = fn;
    c->arg = arg;
    int err = start(c, m, now_s);
    if (err != 0 && err != ERR_AGAIN) {
        phone_check_free(c);
        return err;
    }
    *ret = c;
    return err;
}

const struct identity_result *phone_check_result(const struct phone_check *c)
{
    return &c->result;
}

struct str phone_check_who(const struct phone_check *c)
{
    return c->result.verdict == IDENTITY_VALID ? c->result.token->p.orig.text : STR_NULL;
}

void phone_check_free(struct phone_check *c)
{
    if (c == NULL)
        return;
    put_all(c);
    arena_free(c->arena);
}

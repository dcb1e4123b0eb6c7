/* A response of ours, signed for who answers: RFC 9970, RFC 8224 6.1; TR/100 7.5.4,
 * recommendation 6. The claims are made here, of the response as it leaves; the key is the
 * keeper's. As with requests (edge/identity/sign.c) what cannot be signed is logged and counted, and
 * leaves without. Worker thread. */
#include "base/log.h"
#include "edge/identity/service.h"
#include "identity/sign.h"

struct identity_answer_signing {
    struct identity_sign_job job;
    struct edge_worker *w;
    const struct sip_msg *m;
    struct str who;
    struct identity_shown shown;
    identity_signed_fn *fn;
    void *arg;
    char date[CANON_DATE_MAX]; /* empty: the response has its own */
};

static const struct config_domain *domain_of(const struct edge_snapshot *snap, struct str uri)
{
    struct sip_uri u;

    return sip_uri_parse(uri, &u) == 0 ? config_domain_find(snap->cfg, u.host) : NULL;
}

static const struct identity_own *own_of(const struct edge_snapshot *snap, struct str uri)
{
    const struct config_domain *d = domain_of(snap, uri);

    for (size_t i = 0; d && i < snap->n_own; i++)
        if (str_eq_nocase(snap->own[i].domain, d->name))
            return &snap->own[i];
    return NULL;
}

bool identity_signs_for(const struct edge_snapshot *snap, struct str uri)
{
    return own_of(snap, uri) != NULL;
}

static void say_unsigned(struct edge_worker *w, const struct sip_msg *m, struct str who,
                         const struct reason *why)
{
    edge_count(w, EC_IDENTITY_UNSIGNED);
    LOG(LOG_WARN, "answer-not-signed", LZ("reason", why->code), LZ("clause", why->clause),
        LZ("detail", why->detail), LS("call", m->call_id), LS("for", who));
}

/* The fingerprints are those that the caller will see. */
static int prepare(struct identity_answer_signing *s, const struct edge_snapshot *snap,
                   const struct identity_own *own, struct reason *why)
{
    const struct config_domain *d = domain_of(snap, s->who);
    struct identity_policy policy;
    struct identity_sign_args args = {.type = PASSPORT_RSP, .m = &s->shown.m, .x5u = own->url};
    int err = identity_show_answer(s->m->arena, s->m, s->who, d ? &d->dial : NULL, &s->shown, why);

    if (err != 0)
        return err;
    policy = identity_sign_policy(s->w, snap->cfg, &s->shown.m, s->date);
    return identity_sign_prepare(s->m->arena, &args, own->credential, &policy, &s->job.passport,
                                 why);
}

static void say_signer(struct identity_answer_signing *s, int err, struct reason *why)
{
    if (!why->code)
        reason_set(why, "identity-signer", "RFC 8224 6.1", 500, "the keeper of the key: %s",
                   err_text(err));
    say_unsigned(s->w, s->m, s->who, why);
}

static void on_done(struct identity_sign_job *job, int err, struct str value)
{
    struct identity_answer_signing *s = job->arg;
    struct reason why = {0};

    if (err == 0) {
        edge_count(s->w, EC_IDENTITY_SIGNED);
        s->fn(s->arg, value, str_z(s->date), NULL);
        return;
    }
    say_signer(s, err, &why);
    s->fn(s->arg, STR_NULL, STR_NULL, &why);
}

bool identity_sign_answer(struct edge_worker *w, const struct edge_snapshot *snap,
                          const struct sip_msg *m, struct str answerer, identity_signed_fn *fn,
                          void *arg, struct identity_answer_signing **ret)
{
    const struct identity_own *own = own_of(snap, answerer);
    struct identity_answer_signing *s;
    struct reason why = {0};
    int err;

    *ret = NULL;
    if (!own)
        return false;
    if ((s = arena_zalloc(m->arena, sizeof *s)) == NULL) {
        reason_set(&why, "no-memory", NULL, 500, NULL);
        say_unsigned(w, m, answerer, &why);
        return false;
    }
    *s = (struct identity_answer_signing){.w = w, .m = m, .who = answerer, .fn = fn, .arg = arg};
    s->job =
        (struct identity_sign_job){.arena = m->arena, .key = own->key, .done = on_done, .arg = s};
    err = w->signer ? prepare(s, snap, own, &why) : ERR_CLOSED;
    if (err == 0)
        err = identity_sign_start(&s->job, w->signer);
    if (err == 0) {
        *ret = s;
        return true;
    }
    say_signer(s, err, &why);
    return false;
}

void identity_answer_signing_cancel(struct identity_answer_signing *s)
{
    if (s)
        identity_sign_cancel(&s->job);
}

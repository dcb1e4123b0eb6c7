/* The verification service: RFC 8224 6.2, with the policy of who sends (TR/100 7.4.2,
 * recommendation 4, gap 1). Values are judged by identity/verify.h; certificates come from
 * edge->credentials, now or later; nothing waits. One verification a request, in its arena; it
 * holds credentials only while it runs, so that a verdict keeps nothing alive.
 *
 * Policy of a peer (verify-identity): `require` refuses whatever is not valid; `prefer` refuses
 * what is contradicted, since only that is an attack (unless on-attack says that it only alarms), and lets the rest pass as what it is;
 * `tolerate` lets all pass and reports; `strip` takes the headers off unseen. */
#include "base/log.h"
#include "edge/identity_service.h"
#include "edge/private_network.h"
#include "policy/rules.h"

struct wait { /* for one certificate */
    struct identity_verification *v;
    size_t i;
    uint64_t id; /* 0: not waiting */
    const struct identity_credential *cred;
};

struct identity_verification {
    struct edge_req *r;
    struct identity_vouch *vouch;
    struct identity_policy policy;
    struct identity_check *check;
    identity_verified_fn *fn;
    void *arg;
    bool is_starting;
    size_t n, n_waiting;
    struct wait waits[LIMIT_IDENTITY_TOKENS];
};

static enum config_verify mode_of(const struct edge_req *r)
{
    return private_network_verify(r);
}

/* RFC 8224 6.2.2: what begins something must be signed where policy says so; within a dialog its
 * beginning was. */
static bool must_be_signed(const struct edge_req *r)
{
    return mode_of(r) == CONFIG_VERIFY_REQUIRE && !sip_msg_in_dialog(r->m) &&
           (r->who.kind != PRINCIPAL_USER || r->who.peer);
}

/* Each line is one value; lines that somebody has joined are cut (identity/identity_hdr.h). */
static size_t values_of(const struct sip_msg *m, struct str v[LIMIT_IDENTITY_HEADERS])
{
    const struct sip_hdr *h;
    size_t n = 0;
    for (unsigned i = 0; (h = sip_msg_hdr(m, SIP_H_IDENTITY, i)) != NULL; i++) {
        struct str rest = h->value, value;
        while (rest.n && n < LIMIT_IDENTITY_HEADERS) {
            if (!sip_list_cut(&rest, &value)) {
                value = rest;
                rest = STR_NULL;
            }
            v[n++] = str_trim(value);
        }
    }
    return n;
}

/* `on-attack = alarm`: it goes on, and is shown and logged as what it is. */
static bool only_alarms(const struct edge_req *r)
{
    const struct config_domain *d;
    struct str user, host = str_cut(r->who.name, '@', &user);

    if (r->who.peer)
        return private_network_status(r->who.peer, private_network_is_from(r)).on_attack ==
               POLICY_ATTACK_ALARM;
    d = r->who.kind == PRINCIPAL_USER ? config_domain_find(r->cfg, host) : NULL;
    return d && d->status.on_attack == POLICY_ATTACK_ALARM;
}

static bool decide(const struct edge_req *r, const struct identity_result *res, struct reason *why)
{
    enum config_verify mode = mode_of(r);
    bool is_diverted = res->verdict == IDENTITY_VALID && res->reached >= IDENTITY_REACHED_UNPROVEN;
    bool refuse = res->verdict == IDENTITY_CONTRADICTED
                      ? mode != CONFIG_VERIFY_TOLERATE && !only_alarms(r)
                      : res->verdict != IDENTITY_VALID && must_be_signed(r);
    if (res->verdict == IDENTITY_CONTRADICTED)
        LOG(LOG_WARN, "identity-contradicted", LZ("reason", res->why.code),
            LZ("clause", res->why.clause), LZ("detail", res->why.detail), LS("call", r->m->call_id),
            LS("from", r->m->from.uri), LS("peer", r->who.name),
            LZ("then", refuse ? "refused" : "passed"));
    if (refuse)
        *why = res->why;
    if (is_diverted && r->who.peer && r->who.peer->require_diversion_proof) {
        reason_set(why, "diversion-unproven", "RFC 8946 4.2", 438,
                   "it is signed for somebody else than it goes to (require-diversion-proof)");
        refuse = true;
    }
    return !refuse;
}

static void count(const struct edge_req *r, enum identity_verdict v)
{
    static const enum edge_counter of[] = {
        [IDENTITY_VALID] = EC_IDENTITY_VALID,
        [IDENTITY_ABSENT] = EC_IDENTITY_ABSENT,
        [IDENTITY_UNVERIFIABLE] = EC_IDENTITY_UNVERIFIABLE,
        [IDENTITY_STALE] = EC_IDENTITY_STALE,
        [IDENTITY_BROKEN] = EC_IDENTITY_BROKEN,
        [IDENTITY_CONTRADICTED] = EC_IDENTITY_CONTRADICTED,
    };
    edge_count(r->w, of[v]);
}

static void put_credentials(struct identity_verification *v)
{
    struct edge_credentials *source = v->r->w->edge->credentials;
    for (size_t i = 0; i < v->n; i++) {
        if (v->waits[i].id)
            source->cancel(source, v->r->w, v->waits[i].id);
        if (v->waits[i].cred)
            source->put(source, v->waits[i].cred);
        v->waits[i].id = 0;
        v->waits[i].cred = NULL;
    }
}

/* 0, or ERR_REFUSED with the reason. */
static int finish(struct identity_verification *v, struct reason *why)
{
    struct edge_req *r = v->r;
    const struct identity_use use = {r->m->call_id, r->m->from_tag, r->m->cseq};
    struct identity_result *res = &v->vouch->result;
    int err = identity_check_finish(v->check, r->w->edge->identity_seen, &use, res);
    put_credentials(v);
    r->verification = NULL;
    if (err != 0) {
        reason_set(why, "no-memory", NULL, 500, NULL);
        return ERR_REFUSED;
    }
    count(r, res->verdict);
    return decide(r, res, why) ? 0 : ERR_REFUSED;
}

static void on_credential(void *arg, const struct identity_credential *cred)
{
    struct wait *wait = arg;
    struct identity_verification *v = wait->v;
    struct reason why = {0};
    wait->id = 0;
    wait->cred = cred;
    if (cred)
        identity_check_set_credential(v->check, wait->i, cred);
    if (--v->n_waiting || v->is_starting)
        return;
    int err = finish(v, &why);
    v->fn(v->arg, err == 0 ? NULL : &why);
}

static void ask(struct identity_verification *v, size_t i, struct str url)
{
    struct edge_credentials *source = v->r->w->edge->credentials;
    struct wait *wait = &v->waits[i];
    *wait = (struct wait){.v = v, .i = i};
    v->n_waiting++;
    int err = source->get(source, v->r->w, url, on_credential, wait, &wait->cred, &wait->id);
    if (err == ERR_AGAIN)
        return;
    v->n_waiting--;
    if (err == 0)
        identity_check_set_credential(v->check, i, wait->cred);
    else
        wait->cred = NULL; /* not to be had: 436 */
}

/* A verdict that needs no certificate. */
static int conclude(struct edge_req *r, enum identity_verdict verdict, const struct reason *what,
                    struct reason *why)
{
    struct identity_result *res = &r->vouch->result;
    res->verdict = res->worst = verdict;
    res->why = res->worst_why = *what;
    count(r, verdict);
    return decide(r, res, why) ? 0 : ERR_REFUSED;
}

static struct identity_policy policy_of(const struct edge_req *r)
{
    struct identity_policy p = identity_policy_default(net_wall_s(r->w->net));
    p.max_age_s = p.max_ahead_s = r->cfg->identity_freshness_s;
    p.allow_provider = r->who.peer && r->who.peer->allow_provider_identity;
    return p;
}

static int start(struct identity_verification *v, const struct str *values, size_t n,
                 struct reason *why)
{
    const struct str *urls;
    if (identity_check_new(v->r->m->arena, values, n, &v->vouch->shown.m, &v->policy, &v->check) !=
        0) {
        reason_set(why, "no-memory", NULL, 500, NULL);
        return ERR_REFUSED;
    }
    size_t n_urls = identity_check_urls(v->check, &urls);
    v->is_starting = true;
    for (size_t i = 0; i < n_urls && i < LIMIT_IDENTITY_TOKENS; i++) {
        v->n = i + 1;
        ask(v, i, urls[i]);
    }
    v->is_starting = false;
    if (v->n_waiting) {
        v->r->verification = v;
        return ERR_AGAIN;
    }
    return finish(v, why);
}

int identity_verify(struct edge_req *r, identity_verified_fn *fn, void *arg, struct reason *why)
{
    struct str *values;
    struct reason what = {0};
    if (r->emergency || mode_of(r) == CONFIG_VERIFY_STRIP || r->m->method == SIP_CANCEL)
        return 0;
    if (!sip_msg_has(r->m, SIP_H_IDENTITY) && !must_be_signed(r))
        return 0; /* the common case costs nothing: absent, as it may be */
    struct identity_verification *v = arena_zalloc(r->m->arena, sizeof(*v));
    r->vouch = arena_zalloc(r->m->arena, sizeof(*r->vouch));
    values = arena_alloc(r->m->arena, LIMIT_IDENTITY_HEADERS * sizeof(*values));
    if (!v || !r->vouch || !values) {
        reason_set(why, "no-memory", NULL, 500, NULL);
        return ERR_REFUSED;
    }
    r->vouch->is_looked_at = true;
    size_t n = values_of(r->m, values);
    *v = (struct identity_verification){.r = r, .vouch = r->vouch, .fn = fn, .arg = arg};
    v->policy = policy_of(r);
    if (!n) {
        reason_set(&what, "identity-absent", "RFC 8224 6.2.2", 428, "no Identity header");
        return conclude(r, IDENTITY_ABSENT, &what, why);
    }
    if (!r->w->edge->credentials) {
        reason_set(&what, "identity-no-anchors", "RFC 8224 6.2.2", 437,
                   "no anchors for identity certificates are configured");
        return conclude(r, IDENTITY_UNVERIFIABLE, &what, why);
    }
    int err = identity_show(r->m->arena, r->m, r->m->ruri, STR_NULL, STR_NULL,
                            r->domain ? &r->domain->dial : NULL, false, &r->vouch->shown, &what);
    if (err == ERR_NOMEM) {
        reason_set(why, "no-memory", NULL, 500, NULL);
        return ERR_REFUSED;
    }
    if (err != 0) {
        what.sip_status = 438;
        return conclude(r, IDENTITY_BROKEN, &what, why);
    }
    return start(v, values, n, why);
}

void identity_verify_cancel(struct edge_req *r)
{
    if (r->verification)
        put_credentials(r->verification);
    r->verification = NULL;
}

void identity_verify_answered(const struct edge_req *r, unsigned status)
{
    static const struct identity_tag none;
    const struct identity_use use = {r->m->call_id, r->m->from_tag, r->m->cseq};
    bool repairable = status == 403 || status == 428 || (status >= 436 && status <= 438);
    if (!r->vouch || !r->w->edge->identity_seen)
        return;
    for (size_t i = 0; i < r->vouch->result.n_tokens; i++) {
        const struct identity_token *t = &r->vouch->result.tokens[i];
        if (memcmp(&t->tag, &none, sizeof(none)) != 0)
            identity_replay_answered(r->w->edge->identity_seen, &t->tag, &use, repairable);
    }
}

struct str identity_reason_value(struct arena *a, unsigned status)
{
    if (status != 403 && status != 428 && (status < 436 || status > 438))
        return STR_NULL;
    struct str phrase = status == 403 ? STR("Stale Date") : sip_status_text(status);
    return arena_fmt(a, "STIR;cause=%u;text=\"%.*s\"", status, STR_FMT(phrase));
}

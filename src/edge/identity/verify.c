/* The verification service: RFC 8224 6.2, RFC 9970 for answers, RFC 4474 6 for peers that know nothing
 * newer, with the policy of who sends
 * (TR/100 7.4.2, 7.5.4, recommendations 4 and 6, gap 1). Values are judged by identity/verify.h;
 * certificates come from edge->credentials, now or later; nothing waits. One verification a
 * message, in its arena; it holds credentials only while it runs, so that a verdict keeps nothing
 * alive.
 *
 * Policy of a peer (verify-identity, and verify-answers for its responses): `require` refuses
 * whatever is not valid; `prefer` refuses what is contradicted, since only that is an attack
 * (unless on-attack says that it only alarms), and lets the rest pass as what it is; `tolerate`
 * lets all pass and reports; `strip` takes the headers off unseen. */
#include "base/log.h"
#include "edge/admit/callers.h"
#include "edge/admit/gate_priv.h"
#include "edge/identity/service.h"
#include "edge/admit/private_network.h"
#include "policy/rules.h"

struct wait { /* for one certificate */
    struct identity_verification *v;
    size_t i;
    uint64_t id; /* 0: not waiting */
    const struct identity_credential *cred;
};

/* What is made of a verdict. */
struct rule {
    enum config_verify mode;
    bool is_required; /* mode REQUIRE, and this message may not be without */
    bool only_alarms;
    bool needs_diversion_proof;
    struct str who; /* for the log */
};

struct identity_verification {
    struct edge_worker *w;
    const struct sip_msg *m;
    struct rule rule;
    struct identity_use use;
    struct identity_verification **slot; /* its owner's, while it waits */
    struct identity_vouch *vouch;
    struct identity_policy policy;
    struct identity_check *check;
    identity_verified_fn *fn;
    void *arg;
    bool is_starting;
    size_t n, n_waiting;
    struct wait *waits; /* n */
};

static enum config_verify mode_of(const struct edge_req *r)
{
    return private_network_verify(r);
}

/* Within a dialog: does it say that its sender is another than the dialog began with (RFC 4916)? A side whose
 * beginning had to be signed, the INVITE or its answer, says that signed as well. What ends a call or
 * only acknowledges may say what it likes, as at the gate. */
static bool says_anew(const struct edge_req *r)
{
    uint32_t was = r->from_caller ? r->token.caller_from : r->token.callee_from;
    struct sip_uri from;

    if (!r->has_token || r->token.emergency || !was || r->m->method == SIP_BYE ||
        r->m->method == SIP_PRACK || edge_from_hash(r->m->arena, r->m->from.uri) == was ||
        (sip_uri_parse(r->m->from.uri, &from) == 0 && login_is_anonymous(&from)))
        return false;
    return r->from_caller || (r->who.peer && r->who.peer->verify_answers == CONFIG_VERIFY_REQUIRE);
}

/* RFC 8224 6.2.2: what begins something must be signed where policy says so; within a dialog its
 * beginning was. */
static bool must_be_signed(const struct edge_req *r)
{
    return mode_of(r) == CONFIG_VERIFY_REQUIRE && (r->who.kind != PRINCIPAL_USER || r->who.peer) &&
           (!sip_msg_in_dialog(r->m) || says_anew(r));
}

bool identity_is_judged_first(const struct edge_req *r)
{
    return must_be_signed(r) && !r->emergency && r->m->method != SIP_CANCEL;
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

bool identity_claims_user(const struct sip_msg *m)
{
    struct str v[LIMIT_IDENTITY_HEADERS];
    struct identity_hdr h;
    struct reason why;

    for (size_t i = 0, n = values_of(m, v); i < n; i++)
        if (identity_hdr_parse(m->arena, v[i], &h, &why) == 0 && !h.is_rfc4474 &&
            passport_type_parse(h.ppt) == PASSPORT_MSEC)
            return true;
    return false;
}

bool identity_only_alarms(const struct edge_req *r)
{
    const struct config_domain *d;
    struct str user, host = str_cut(r->who.name, '@', &user);

    if (r->who.peer)
        return private_network_status(r->who.peer, private_network_is_from(r)).on_attack ==
               POLICY_ATTACK_ALARM;
    d = r->who.kind == PRINCIPAL_USER ? config_domain_find(r->cfg, host) : NULL;
    return d && d->status.on_attack == POLICY_ATTACK_ALARM;
}

static struct rule rule_of(const struct edge_req *r)
{
    return (struct rule){.mode = mode_of(r),
                         .is_required = must_be_signed(r),
                         .only_alarms = identity_only_alarms(r),
                         .needs_diversion_proof =
                             r->who.peer && r->who.peer->require_diversion_proof,
                         .who = r->who.name};
}

static bool decide(const struct identity_verification *v, const struct identity_result *res,
                   struct reason *why)
{
    bool is_diverted = res->verdict == IDENTITY_VALID && res->reached >= IDENTITY_REACHED_UNPROVEN;
    bool refuse = res->verdict == IDENTITY_CONTRADICTED
                      ? v->rule.mode != CONFIG_VERIFY_TOLERATE && !v->rule.only_alarms
                      : res->verdict != IDENTITY_VALID && v->rule.is_required;
    if (res->verdict == IDENTITY_CONTRADICTED)
        LOG(LOG_WARN, "identity-contradicted", LZ("reason", res->why.code),
            LZ("clause", res->why.clause), LZ("detail", res->why.detail), LS("call", v->m->call_id),
            LS("from", v->m->is_request ? v->m->from.uri : v->m->to.uri), LS("peer", v->rule.who),
            LZ("in", v->m->is_request ? "request" : "response"),
            LZ("then", refuse ? "refused" : "passed"));
    if (refuse)
        *why = res->why;
    if (is_diverted && v->rule.needs_diversion_proof) {
        reason_set(why, "diversion-unproven", "RFC 8946 4.2", 438,
                   "it is signed for somebody else than it goes to (require-diversion-proof)");
        refuse = true;
    }
    return !refuse;
}

static void count(struct edge_worker *w, enum identity_verdict v)
{
    static const enum edge_counter of[] = {
        [IDENTITY_VALID] = EC_IDENTITY_VALID,
        [IDENTITY_ABSENT] = EC_IDENTITY_ABSENT,
        [IDENTITY_UNVERIFIABLE] = EC_IDENTITY_UNVERIFIABLE,
        [IDENTITY_STALE] = EC_IDENTITY_STALE,
        [IDENTITY_BROKEN] = EC_IDENTITY_BROKEN,
        [IDENTITY_CONTRADICTED] = EC_IDENTITY_CONTRADICTED,
    };
    edge_count(w, of[v]);
}

static void put_credentials(struct identity_verification *v)
{
    struct edge_credentials *source = v->w->edge->credentials;
    for (size_t i = 0; i < v->n; i++) {
        if (v->waits[i].id)
            source->cancel(source, v->w, v->waits[i].id);
        if (v->waits[i].cred)
            source->put(source, v->waits[i].cred);
        v->waits[i].id = 0;
        v->waits[i].cred = NULL;
    }
}

/* Until there is a verdict, or for want of memory there will be none. */
static const struct identity_result undecided = {.verdict = IDENTITY_UNVERIFIABLE,
                                                 .worst = IDENTITY_UNVERIFIABLE};

/* 0, or ERR_REFUSED with the reason. */
static int finish(struct identity_verification *v, struct reason *why)
{
    struct identity_result *res = &v->vouch->result;
    int err = identity_check_finish(v->check, v->w->edge->identity_seen, &v->use, res);
    put_credentials(v);
    if (v->slot)
        *v->slot = NULL;
    v->slot = NULL;
    if (err != 0) {
        *res = undecided;
        reason_set(why, "no-memory", NULL, 500, NULL);
        return ERR_REFUSED;
    }
    count(v->w, res->verdict);
    return decide(v, res, why) ? 0 : ERR_REFUSED;
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
    struct edge_credentials *source = v->w->edge->credentials;
    struct wait *wait = &v->waits[i];
    *wait = (struct wait){.v = v, .i = i};
    v->n_waiting++;
    int err = source->get(source, v->w, url, on_credential, wait, &wait->cred, &wait->id);
    if (err == ERR_AGAIN)
        return;
    v->n_waiting--;
    if (err == 0)
        identity_check_set_credential(v->check, i, wait->cred);
    else
        wait->cred = NULL; /* not to be had: 436 */
}

/* A verdict that needs no certificate. */
static int conclude(struct identity_verification *v, enum identity_verdict verdict,
                    const struct reason *what, struct reason *why)
{
    struct identity_result *res = &v->vouch->result;
    res->verdict = res->worst = verdict;
    res->why = res->worst_why = *what;
    count(v->w, verdict);
    return decide(v, res, why) ? 0 : ERR_REFUSED;
}

static struct identity_policy policy_of(const struct edge_worker *w, const struct config *cfg,
                                        const struct config_peer *peer)
{
    struct identity_policy p = identity_policy_default(net_wall_s(w->net));
    p.max_age_s = p.max_ahead_s = cfg->identity_freshness_s;
    p.rsa_min_bits = cfg->rfc4474_rsa_bits;
    p.allow_provider = peer && peer->allow_provider_identity;
    return p;
}

static int no_memory(struct reason *why)
{
    reason_set(why, "no-memory", NULL, 500, NULL);
    return ERR_REFUSED;
}

static int start(struct identity_verification *v, const struct str *values, size_t n,
                 struct identity_verification **slot, struct reason *why)
{
    const struct str *urls;
    if (identity_check_new(v->m->arena, values, n, &v->vouch->shown.m, &v->policy, &v->check) != 0)
        return no_memory(why);
    size_t n_urls = identity_check_urls(v->check, &urls);
    if (n_urls && !(v->waits = arena_alloc(v->m->arena, n_urls * sizeof(*v->waits))))
        return no_memory(why);
    v->is_starting = true;
    for (size_t i = 0; i < n_urls; i++) {
        v->n = i + 1;
        ask(v, i, urls[i]);
    }
    v->is_starting = false;
    if (v->n_waiting) {
        v->slot = slot;
        *slot = v;
        return ERR_AGAIN;
    }
    return finish(v, why);
}

/* What the originator was before a domain on the way rewrote it (TR/100 7.5.3). */
static int show_origin(struct edge_req *r, struct reason *why)
{
    struct caller_origin o;
    caller_origin_claimed(r, &o);
    if (o.address.p && (!o.via.n || identity_show_uri(r->m->arena, o.address, NULL, true,
                                                      &r->vouch->shown.m.orig_also) != ERR_NOMEM))
        return 0;
    return no_memory(why);
}

/* Only of peers whose stanza says so: the hash is weak. */
static void show_rfc4474(struct edge_req *r)
{
    struct identity_shown *shown = &r->vouch->shown;

    if (!r->who.peer || !r->who.peer->allow_rfc4474)
        return;
    identity_show_rfc4474(r->m, &shown->rfc4474);
    shown->m.rfc4474 = &shown->rfc4474;
}

/* What can be said without a look at the values; 0: nothing. */
static bool is_settled(struct identity_verification *v, size_t n_values, int *ret,
                       struct reason *why)
{
    struct reason what = {0};
    if (!n_values) {
        reason_set(&what, "identity-absent", "RFC 8224 6.2.2", 428, "no Identity header");
        *ret = conclude(v, IDENTITY_ABSENT, &what, why);
        return true;
    }
    if (!v->w->edge->credentials) {
        reason_set(&what, "identity-no-anchors", "RFC 8224 6.2.2", 437,
                   "no anchors for identity certificates are configured");
        *ret = conclude(v, IDENTITY_UNVERIFIABLE, &what, why);
        return true;
    }
    return false;
}

/* `err`: of what the message shows. */
static int judge(struct identity_verification *v, int err, const struct str *values, size_t n,
                 struct identity_verification **slot, struct reason *what, struct reason *why)
{
    if (err == ERR_NOMEM)
        return no_memory(why);
    if (err == 0)
        return start(v, values, n, slot, why);
    what->sip_status = 438;
    return conclude(v, IDENTITY_BROKEN, what, why);
}

static struct identity_use use_of(const struct edge_req *r)
{
    return (struct identity_use){.call_id = r->m->call_id,
                                 .from_tag = r->m->from_tag,
                                 .cseq = r->m->cseq,
                                 .is_in_dialog = sip_msg_in_dialog(r->m)};
}

int identity_verify(struct edge_req *r, identity_verified_fn *fn, void *arg, struct reason *why)
{
    const struct sip_msg *m = r->m;
    struct str *values;
    struct reason what = {0};
    int ret;
    if (r->emergency || mode_of(r) == CONFIG_VERIFY_STRIP || m->method == SIP_CANCEL)
        return 0;
    if (!sip_msg_has(m, SIP_H_IDENTITY) && !must_be_signed(r))
        return 0; /* the common case costs nothing: absent, as it may be */
    struct identity_verification *v = arena_alloc(m->arena, sizeof(*v));
    struct identity_vouch *vouch = arena_alloc(m->arena, sizeof(*vouch));
    values = arena_alloc(m->arena, LIMIT_IDENTITY_HEADERS * sizeof(*values));
    if (!v || !vouch || !values)
        return no_memory(why);
    r->vouch = vouch;
    *vouch = (struct identity_vouch){.result = undecided, .is_looked_at = true};
    size_t n = values_of(m, values);
    *v = (struct identity_verification){.w = r->w,
                                        .m = m,
                                        .rule = rule_of(r),
                                        .use = use_of(r),
                                        .vouch = vouch,
                                        .policy = policy_of(r->w, r->cfg, r->who.peer),
                                        .fn = fn,
                                        .arg = arg};
    if (is_settled(v, n, &ret, why))
        return ret;
    int err = identity_show(m->arena, m, m->ruri, STR_NULL, STR_NULL,
                            r->domain ? &r->domain->dial : NULL, false, &r->vouch->shown, &what);
    if (err == 0 && show_origin(r, why) != 0)
        return ERR_REFUSED;
    show_rfc4474(r);
    return judge(v, err, values, n, &r->verification, &what, why);
}

int identity_verify_answer(struct edge_worker *w, const struct identity_answer *a,
                           identity_verified_fn *fn, void *arg, struct identity_vouch *vouch,
                           struct identity_verification **slot, struct reason *why)
{
    const struct sip_msg *m = a->m;
    enum config_verify mode = a->peer ? a->peer->verify_answers : CONFIG_VERIFY_PREFER;
    struct identity_verification *v = arena_alloc(m->arena, sizeof(*v));
    struct str *values = arena_alloc(m->arena, LIMIT_IDENTITY_HEADERS * sizeof(*values));
    const struct config_domain *d = NULL;
    struct reason what = {0};
    struct sip_uri from;
    int ret;
    if (!v || !values)
        return no_memory(why);
    *vouch = (struct identity_vouch){.result = undecided, .is_looked_at = true};
    *v = (struct identity_verification){
        .w = w,
        .m = m,
        .rule = {.mode = mode,
                 .is_required = mode == CONFIG_VERIFY_REQUIRE && ((m->cseq_method == SIP_INVITE && m->status >= 200) || m->body.n),
                 .only_alarms = a->peer && a->peer->status.on_attack == POLICY_ATTACK_ALARM,
                 .who = a->peer ? a->peer->name : STR_NULL},
        .use = {m->call_id, m->to_tag, m->cseq, .is_in_dialog = true}, /* of one fork, and no other */
        .vouch = vouch,
        .policy = policy_of(w, a->cfg, a->peer),
        .fn = fn,
        .arg = arg};
    size_t n = values_of(m, values);
    if (is_settled(v, n, &ret, why))
        return ret;
    if (sip_uri_parse(m->from.uri, &from) == 0)
        d = config_domain_find(a->cfg, from.host);
    int err =
        identity_show_answer(m->arena, m, m->to.uri, d ? &d->dial : NULL, &vouch->shown, &what);
    return judge(v, err, values, n, slot, &what, why);
}

void identity_verification_cancel(struct identity_verification **slot)
{
    if (*slot)
        put_credentials(*slot);
    *slot = NULL;
}

void identity_verify_cancel(struct edge_req *r)
{
    identity_verification_cancel(&r->verification);
}

void identity_verify_answered(const struct edge_req *r, unsigned status)
{
    static const struct identity_tag none;
    const struct identity_use use = use_of(r);
    if (!r->vouch || !r->w->edge->identity_seen)
        return;
    for (size_t i = 0; i < r->vouch->result.n_tokens; i++) {
        const struct identity_token *t = &r->vouch->result.tokens[i];
        if (memcmp(&t->tag, &none, sizeof(none)) != 0)
            identity_replay_answered(r->w->edge->identity_seen, &t->tag, &use, status);
    }
}

struct str identity_reason_value(struct arena *a, unsigned status)
{
    if (status != 403 && status != 428 && (status < 436 || status > 438))
        return STR_NULL;
    struct str phrase = status == 403 ? STR("Stale Date") : sip_status_text(status);
    return arena_fmt(a, "STIR;cause=%u;text=\"%.*s\"", status, STR_FMT(phrase));
}

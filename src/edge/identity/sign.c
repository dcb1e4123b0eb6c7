/* The authentication service: RFC 8224 6.1, RFC 8588 for carriers; TR/100 7.4.2, recommendation 4,
 * 7.7 for gateways; RFC 8946 4.1 for what is diverted; RFC 4474 5 for those who speak nothing
 * newer. What is signed is what leaves: From and To as they stand (7.5.3: the domain of From is
 * never rewritten), the Date that goes with them, the fingerprints of the body that is sent.
 *
 * We sign for users that we have authenticated, and for sites, servers and gateways of the
 * enterprise, whose callers a site of it has: SHAKEN's attestation says which (A, B, C), a baseline
 * PASSporT cannot. We never sign "msec": that is the phone's (RFC 8862 4.1). What cannot be signed
 * leaves unsigned, is logged and counted: a call is worth more than its signature, and the other
 * side has its own policy for calls without one. */
#include "base/log.h"
#include "edge/anchor/anchor.h"
#include "edge/admit/gate_priv.h"
#include "edge/identity/service.h"
#include "edge/admit/private_network.h"
#include "edge/peers/subscriber.h"
#include "edge/peers/trunk.h"
#include "identity/sign.h"

#define UUID_TEXT 36

/* In this order. What is diverted rests on the first; RFC 4474's rests on none. */
enum { JOB_FIRST, JOB_DIVERSION, JOB_RFC4474, N_JOBS };

struct identity_signing {
    struct identity_sign_job jobs[N_JOBS]; /* without a key: there is none */
    unsigned at;
    struct edge_req *r;
    struct identity_shown shown;
    struct identity_message diverted;
    const struct identity_own *own;
    struct identity_signed signed_;
    identity_request_signed_fn *fn;
    void *arg;
    char date[CANON_DATE_MAX]; /* empty: the request has its own */
};

static void say_unsigned(const struct edge_req *r, const struct reason *why)
{
    edge_count(r->w, EC_IDENTITY_UNSIGNED);
    LOG(LOG_WARN, "identity-not-signed", LZ("reason", why->code), LZ("clause", why->clause),
        LZ("detail", why->detail), LS("call", r->m->call_id), LS("from", r->m->from.uri));
}

/* ---- whether, and by which certificate ---- */

static bool leaves_us(const struct edge_target *t)
{
    if ((t->to_user && !t->peer) || t->emergency || t->is_flow_side)
        return false;
    return !t->peer || t->peer->kind == CONFIG_PEERING || t->peer->kind == CONFIG_SUBSCRIPTION;
}

static bool may_be_signed_for(const struct edge_req *r)
{
    if (r->who.kind == PRINCIPAL_USER)
        return true;
    return r->who.peer && (r->who.peer->kind == CONFIG_SITE || r->who.peer->kind == CONFIG_SERVER ||
                           r->who.peer->kind == CONFIG_GATEWAY);
}

/* Within a dialog the gate knows the sender by its sealed name, and From may say anything (RFC 3261
 * 12.2.1.1 asks that it does not): it is signed only where the sender may be who it says. */
static bool is_from_sender(struct edge_req *r)
{
    struct str claimed;
    struct sip_uri from;
    bool is_anonymous;

    if (!sip_msg_in_dialog(r->m))
        return true; /* the gate has seen to it */
    if (r->who.kind != PRINCIPAL_USER)
        return sip_uri_parse(r->m->from.uri, &from) == 0 && r->who.peer &&
               gate_peer_speaks_for(r->cfg, r->who.peer, &from, &r->rx.path.local);
    if (r->who.peer)
        return subscriber_is_caller(r);
    return gate_claimed_aor(r, &claimed, &is_anonymous) == 0 && !is_anonymous &&
           str_eq(claimed, r->who.name);
}

/* A number alone is the first domain's, as it is elsewhere (request_domain): its certificate has it, or not. */
static const struct config_domain *from_domain(const struct edge_req *r)
{
    struct sip_uri from;

    if (sip_uri_parse(r->m->from.uri, &from) != 0)
        return NULL;
    return from.scheme == SIP_SCHEME_TEL && r->cfg->n_domains ? &r->cfg->domains[0]
                                                              : config_domain_find(r->cfg, from.host);
}

static bool is_from_gateway(const struct edge_req *r)
{
    return r->who.peer && r->who.peer->kind == CONFIG_GATEWAY;
}

/* By whose certificate: that of From's domain; of the enterprise's first one where a gateway of it
 * brings in a number that has no domain of ours. */
static const struct config_domain *signing_domain(const struct edge_req *r)
{
    const struct config_domain *d = from_domain(r);
    return d || !is_from_gateway(r) ? d : &r->cfg->domains[0];
}

static const struct identity_own *own_of(const struct edge_req *r, const struct config_domain *d)
{
    for (size_t i = 0; d && i < r->snap->n_own; i++)
        if (str_eq_nocase(r->snap->own[i].domain, d->name))
            return &r->snap->own[i];
    return NULL;
}

/* RFC 8224 6.1 is for requests that somebody can answer with 4xx; ACK and CANCEL go with what they
 * belong to. */
static bool is_wanted(struct edge_req *r, const struct edge_target *t)
{
    return (r->tx || r->is_own) && !r->emergency && leaves_us(t) && may_be_signed_for(r) && r->snap->n_own &&
           private_network_sign(r, t) != CONFIG_SIGN_NONE && is_from_sender(r) &&
           !trunk_renames(
               r,
               t); /* the caller is the carrier's customer there, and the carrier's to sign for */
}

static bool has_passports(enum config_sign how)
{
    return how != CONFIG_SIGN_NONE && how != CONFIG_SIGN_RFC4474;
}

/* A signed request of somebody else's that one of ours was called by, and that goes elsewhere from
 * here: we were the ones it was signed for, and say who it is for now. What we have not found valid
 * we do not lead on. */
static bool is_diverted(const struct edge_req *r, const struct edge_target *t)
{
    return r->tx && !r->emergency && leaves_us(t) && !may_be_signed_for(r) && r->snap->n_own &&
           r->domain && !sip_msg_in_dialog(r->m) && r->vouch && r->vouch->is_looked_at &&
           r->vouch->result.verdict == IDENTITY_VALID &&
           has_passports(private_network_sign(r, t)) && (!t->peer || t->peer->sign_diversions);
}

/* By whose certificate; NULL: nothing is to be signed. */
static const struct identity_own *wanted_by(struct edge_req *r, const struct edge_target *t,
                                            bool *ret_diverts)
{
    *ret_diverts = is_diverted(r, t);
    return is_wanted(r, t) ? own_of(r, signing_domain(r))
           : *ret_diverts  ? own_of(r, r->domain)
                           : NULL;
}

static bool has_rfc4474(enum config_sign how)
{
    return how == CONFIG_SIGN_RFC4474 || how == CONFIG_SIGN_BOTH;
}

bool identity_signs(struct edge_req *r, const struct edge_target *t, bool *ret_whole)
{
    bool diverts;

    *ret_whole = has_rfc4474(private_network_sign(r, t));
    return wanted_by(r, t, &diverts) != NULL;
}

/* ---- what ---- */

/* RFC 8588 5: an UUID that names where calls of this kind enter; made anew for each, so that it
 * says nothing of who calls. */
static struct str make_origid(struct arena *a, struct rand_source *rand)
{
    uint8_t b[16];
    char *text = arena_alloc(a, UUID_TEXT + 1);
    if (!text)
        return STR_NULL;
    rand_fill(rand, b, sizeof(b));
    b[6] = (uint8_t)((b[6] & 0x0f) | 0x40);
    b[8] = (uint8_t)((b[8] & 0x3f) | 0x80);
    struct sbuf s = sbuf_make(text, UUID_TEXT + 1);
    for (size_t i = 0; i < sizeof(b); i++) {
        if (i == 4 || i == 6 || i == 8 || i == 10)
            sbuf_char(&s, '-');
        sbuf_hex(&s, &b[i], 1);
    }
    return s.overflow ? STR_NULL : sbuf_get(&s);
}

/* RFC 8588 4: A where we know the caller and its right to the number, B where we know the customer,
 * C where it came to us from elsewhere (TR/100 7.7: the telephone network proves nothing); since
 * nothing but SHAKEN can say that, it does so to everybody. */
static char attestation(const struct edge_req *r)
{
    if (r->who.kind == PRINCIPAL_USER)
        return r->is_screened ? 'B' : 'A';
    return r->who.peer->kind == CONFIG_GATEWAY ? 'C' : 'B';
}

struct identity_policy identity_sign_policy(const struct edge_worker *w, const struct config *cfg,
                                            struct identity_message *m, char date[CANON_DATE_MAX])
{
    struct identity_policy policy = identity_policy_default(net_wall_s(w->net));

    if (!m->has_date) {
        m->has_date = true;
        m->date_s = policy.now_s;
        canon_date_build(policy.now_s, date);
    }
    policy.max_age_s = policy.max_ahead_s = cfg->identity_freshness_s;
    policy.rsa_min_bits = cfg->rfc4474_rsa_bits;
    policy.allow_provider = true; /* our own certificate: what it may say, it says for us */
    return policy;
}

/* What RFC 4474 signs is what leaves: our number, our Date, the body after our own changes. It
 * knows no attestation, so that it is for callers of ours alone. */
static int prepare_rfc4474(struct identity_signing *s, const struct forward_changes *as,
                           const struct identity_policy *policy, struct reason *why)
{
    struct edge_req *r = s->r;
    struct rfc4474_message *m = &s->shown.rfc4474;

    identity_show_rfc4474(r->m, m);
    if (as->has_cseq)
        m->parts.cseq = as->cseq;
    if (as->has_body)
        m->parts.body = as->body;
    if (s->date[0])
        m->parts.date = str_z(s->date);
    if (is_from_gateway(r) || r->is_screened || !from_domain(r)) {
        reason_set(why, "caller-not-ours", "RFC 4474 5 step 1", 403,
                   "whoever calls comes from elsewhere; only SHAKEN can say so");
        return ERR_REFUSED;
    }
    if (m->has_other_contacts || sip_msg_has(r->m, SIP_H_IDENTITY_INFO)) {
        reason_set(why, "rfc4474-request", "RFC 4474 9", 403,
                   "it has several Contacts, or a signature of RFC 4474 already");
        return ERR_REFUSED;
    }
    return identity_sign_prepare_rfc4474(r->m->arena, &m->parts, s->own->rfc4474, policy,
                                         &s->jobs[JOB_RFC4474].digest_string, why);
}

/* The PASSporT of a request of our own. */
static int prepare_passport(struct identity_signing *s, const struct edge_target *t,
                            const struct identity_policy *policy, struct reason *why)
{
    struct edge_req *r = s->r;
    struct arena *a = r->m->arena;
    struct identity_sign_args args = {.m = &s->shown.m, .x5u = s->own->url};

    if (s->shown.m.orig.is_tn &&
        (is_from_gateway(r) || private_network_sign(r, t) == CONFIG_SIGN_SHAKEN)) {
        args.type = PASSPORT_SHAKEN;
        args.attest = attestation(r);
        args.origid = make_origid(a, &r->w->net->rand);
    }
    if (is_from_gateway(r) && !from_domain(r) && args.type != PASSPORT_SHAKEN) {
        reason_set(why, "caller-no-number", "RFC 8224 6.1", 403,
                   "what a gateway brings in is no number, and of no domain of ours");
        return ERR_REFUSED;
    }
    if (r->is_screened && args.type != PASSPORT_SHAKEN) {
        reason_set(why, "caller-not-its-number", "RFC 8224 6.1", 403,
                   "the subscriber that calls does not have this number; only SHAKEN can say so");
        return ERR_REFUSED;
    }
    return identity_sign_prepare(a, &args, s->own->credential, policy, &s->jobs[JOB_FIRST].passport,
                                 why);
}

static void want(struct identity_signing *s, unsigned job, const struct identity_own *own)
{
    s->jobs[job].key = own->key;
}

/* One of two that cannot be made does not keep the other one from being made. */
static int prepare(struct identity_signing *s, const struct edge_target *t,
                   const struct forward_changes *as, struct reason *why)
{
    struct edge_req *r = s->r;
    enum config_sign how = private_network_sign(r, t);
    struct str body = !as->has_body ? STR_NULL : as->body.p ? as->body : STR("");
    struct identity_policy policy;
    int err = identity_show(r->m->arena, r->m, t->uri, as->content_type, body,
                            &signing_domain(r)->dial, false, &s->shown, why);

    if (err != 0)
        return err;
    policy = identity_sign_policy(r->w, r->cfg, &s->shown.m, s->date);
    if (has_passports(how) && (err = prepare_passport(s, t, &policy, why)) == 0)
        want(s, JOB_FIRST, s->own);
    if (!has_rfc4474(how))
        return err;
    if (err != 0)
        say_unsigned(r, why);
    *why = (struct reason){0};
    if (!s->own->rfc4474) {
        reason_set(why, "no-rfc4474-key", "RFC 4474 5", 500, "its domain has no key for RFC 4474");
        err = ERR_NOTFOUND;
    } else if ((err = prepare_rfc4474(s, as, &policy, why)) == 0) {
        want(s, JOB_RFC4474, s->own);
    }
    if (err == 0 || !s->jobs[JOB_FIRST].key.n)
        return err;
    say_unsigned(r, why);
    return 0;
}

/* What is diverted: the token that is for whom the request came to, the last one of its chain (RFC
 * 8946 4.1). */
static const struct passport *diverted_of(const struct identity_vouch *v, struct passport_id *ret)
{
    const struct identity_result *res = &v->result;
    const struct passport_id *who[] = {&v->shown.m.target, &v->shown.m.to};
    for (size_t i = 0; i < ARRAY_LEN(who); i++) {
        const struct passport *found = NULL;
        for (size_t k = 0; k < res->n_tokens; k++) {
            const struct identity_token *t = &res->tokens[k];
            if ((t != res->token && !t->in_chain) || t->is_rfc4474 || !who[i]->text.n ||
                !passport_id_in(*who[i], t->p.dest, t->p.n_dest))
                continue;
            if (!found || t->in_chain)
                found = &t->p;
        }
        *ret = *who[i];
        if (found)
            return found;
    }
    return NULL;
}

/* ERR_EXISTS: it is still for whom it was signed for (RFC 8946 3), or not for us to divert. */
static int prepare_diversion(struct identity_signing *s, const struct edge_target *t,
                             const struct identity_own *own, const struct passport *original,
                             struct passport_id div, struct passport *ret, struct reason *why)
{
    struct edge_req *r = s->r;
    struct arena *a = r->m->arena;
    struct identity_policy policy = identity_policy_default(net_wall_s(r->w->net));
    struct identity_message *m = &s->diverted;
    struct identity_sign_args args = {
        .type = PASSPORT_DIV, .m = m, .x5u = own->url, .original = original, .div = div};
    int err;
    if (!original || !passport_id_in(div, original->dest, original->n_dest))
        return ERR_EXISTS;
    if ((err = identity_show_uri(a, t->uri, &r->domain->dial, false, &m->target)) != 0)
        return err;
    m->has_date = true; /* its own date is the original's */
    m->date_s = policy.now_s;
    policy.allow_provider = true;
    return identity_sign_prepare(a, &args, own->credential, &policy, ret, why);
}

/* With other keys the original is not in it any more (forward.c), and a diversion by itself says
 * nothing (RFC 8946 4.2). */
static int prepare_foreign(struct identity_signing *s, const struct edge_target *t,
                           const struct forward_changes *as, struct reason *why)
{
    struct passport_id div = {0};
    if (as->has_other_keys) {
        reason_set(why, "diverted-keys-changed", "RFC 8224 6.1", 403,
                   "its media get keys of ours, which its caller's domain has not signed");
        return ERR_REFUSED;
    }
    const struct passport *original = diverted_of(s->r->vouch, &div);
    int err = prepare_diversion(s, t, s->own, original, div, &s->jobs[JOB_FIRST].passport, why);

    if (err == 0)
        want(s, JOB_FIRST, s->own);
    return err;
}

/* A call of ours that has come to one of ours and goes elsewhere: both signatures are our own. */
static void prepare_second(struct identity_signing *s, const struct edge_target *t)
{
    struct edge_req *r = s->r;
    const struct identity_own *own = r->domain ? own_of(r, r->domain) : NULL;
    struct passport_id div = {0};
    struct reason why = {0};
    if (!s->jobs[JOB_FIRST].key.n || !own || sip_msg_in_dialog(r->m) ||
        (t->peer && !t->peer->sign_diversions) ||
        identity_show_uri(r->m->arena, r->m->ruri, &r->domain->dial, false, &div) != 0)
        return;
    int err = prepare_diversion(s, t, own, &s->jobs[JOB_FIRST].passport, div,
                                &s->jobs[JOB_DIVERSION].passport, &why);
    if (err == 0)
        want(s, JOB_DIVERSION, own);
    else if (err != ERR_EXISTS)
        say_unsigned(r, &why);
}

/* ---- by whom ---- */

static void say_signer(struct identity_signing *s, int err, struct reason *why)
{
    if (!why->code)
        reason_set(why, "identity-signer", "RFC 8224 6.1", 500, "the keeper of the key: %s",
                   err_text(err));
    say_unsigned(s->r, why);
}

static int keep(struct identity_signing *s, struct str value)
{
    struct arena *a = s->r->m->arena;
    struct identity_signed *to = &s->signed_;
    struct str info = STR_NULL;

    if (s->at == JOB_RFC4474 && !(info = rfc4474_info_value(a, s->own->rfc4474_url)).p)
        return ERR_NOMEM;
    if (to->identity.n)
        value = arena_fmt(a, "%.*s\n%.*s", STR_FMT(to->identity), STR_FMT(value));
    if (!value.p)
        return ERR_NOMEM;
    edge_count(s->r->w, EC_IDENTITY_SIGNED);
    to->identity = value;
    to->info = info;
    to->date = str_z(s->date);
    return 0;
}

/* The next one that there is; ERR_EXISTS: there is none left. */
static int start_next(struct identity_signing *s)
{
    while (s->at < N_JOBS && !s->jobs[s->at].key.n)
        s->at++;
    return s->at == N_JOBS ? ERR_EXISTS : identity_sign_start(&s->jobs[s->at], s->r->w->signer);
}

/* Where one is not to be had it leaves with those before it. */
static void on_done(struct identity_sign_job *job, int err, struct str value)
{
    struct identity_signing *s = job->arg;
    struct reason why = {0};

    if (err == 0)
        err = keep(s, value);
    if (err == 0) {
        s->at++;
        err = start_next(s);
    }
    if (err == 0)
        return;
    if (err != ERR_EXISTS)
        say_signer(s, err, &why);
    s->fn(s->arg, &s->signed_);
}

bool identity_sign(struct edge_req *r, const struct edge_target *t,
                   const struct forward_changes *as, identity_request_signed_fn *fn, void *arg,
                   struct identity_signing **ret)
{
    bool diverts;
    const struct identity_own *own = wanted_by(r, t, &diverts);
    struct reason why = {0};
    struct identity_signing *s;
    int err;

    *ret = NULL;
    if (!own)
        return false;
    if (!(s = arena_zalloc(r->m->arena, sizeof(*s)))) {
        reason_set(&why, "no-memory", NULL, 500, NULL);
        say_unsigned(r, &why);
        return false;
    }
    s->r = r;
    s->own = own;
    s->fn = fn;
    s->arg = arg;
    for (size_t i = 0; i < N_JOBS; i++)
        s->jobs[i] = (struct identity_sign_job){.arena = r->m->arena, .done = on_done, .arg = s};
    err = !r->w->signer ? ERR_CLOSED
          : diverts     ? prepare_foreign(s, t, as, &why)
                        : prepare(s, t, as, &why);
    if (diverts && err == ERR_EXISTS)
        return false;
    if (err == 0 && !diverts)
        prepare_second(s, t);
    if (err == 0)
        err = start_next(s);
    if (err == 0) {
        *ret = s;
        return true;
    }
    say_signer(s, err, &why);
    return false;
}

void identity_signing_cancel(struct identity_signing *s)
{
    for (size_t i = 0; s && i < N_JOBS; i++)
        identity_sign_cancel(&s->jobs[i]);
}

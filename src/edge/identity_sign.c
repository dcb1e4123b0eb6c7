/* The authentication service: RFC 8224 6.1, RFC 8588 for carriers; TR/100 7.4.2, recommendation 4,
 * 7.7 for gateways. What is signed is what leaves: From and To as they stand (7.5.3: the domain of
 * From is never rewritten), the Date that goes with them, the fingerprints of the body that is
 * sent.
 *
 * We sign for users that we have authenticated, and for sites, servers and gateways of the
 * enterprise, whose callers a site of it has: SHAKEN's attestation says which (A, B, C), a baseline
 * PASSporT cannot. We never sign "msec": that is the phone's (RFC 8862 4.1). What cannot be signed
 * leaves unsigned, is logged and counted: a call is worth more than its signature, and the other
 * side has its own policy for calls without one. */
#include "base/log.h"
#include "edge/identity_service.h"
#include "edge/trunk.h"
#include "identity/sign.h"

#define UUID_TEXT 36

struct identity_signing {
    struct identity_sign_job job;
    struct edge_req *r;
    struct identity_shown shown;
    identity_signed_fn *fn;
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

static const struct config_domain *from_domain(const struct edge_req *r)
{
    struct sip_uri from;
    return sip_uri_parse(r->m->from.uri, &from) == 0 ? config_domain_find(r->cfg, from.host) : NULL;
}

static const struct identity_own *own_of(const struct edge_req *r)
{
    const struct config_domain *d = from_domain(r);
    for (size_t i = 0; d && i < r->snap->n_own; i++)
        if (str_eq_nocase(r->snap->own[i].domain, d->name))
            return &r->snap->own[i];
    return NULL;
}

/* RFC 8224 6.1 is for requests that somebody can answer with 4xx; ACK and CANCEL go with what they
 * belong to. */
static bool is_wanted(const struct edge_req *r, const struct edge_target *t)
{
    return r->tx && !r->emergency && leaves_us(t) && may_be_signed_for(r) && r->snap->n_own &&
           (!t->peer || t->peer->sign_identity != CONFIG_SIGN_NONE) &&
           !trunk_renames(r, t); /* the caller is the carrier's customer there, and the carrier's to sign for */
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
 * C where it came to us from elsewhere (TR/100 7.7: the telephone network proves nothing). */
static char attestation(const struct edge_req *r)
{
    if (r->who.kind == PRINCIPAL_USER)
        return r->is_screened ? 'B' : 'A';
    return r->who.peer->kind == CONFIG_GATEWAY ? 'C' : 'B';
}

static int prepare(struct identity_signing *s, const struct edge_target *t,
                   const struct identity_own *own, struct str content_type, struct str body,
                   struct reason *why)
{
    struct edge_req *r = s->r;
    struct arena *a = r->m->arena;
    struct identity_policy policy = identity_policy_default(net_wall_s(r->w->net));
    struct identity_sign_args args = {.m = &s->shown.m, .x5u = own->url};
    int err = identity_show(a, r->m, t->uri, content_type, body, &from_domain(r)->dial, false,
                            &s->shown, why);
    if (err != 0)
        return err;
    if (!s->shown.m.has_date) {
        s->shown.m.has_date = true;
        s->shown.m.date_s = policy.now_s;
        canon_date_build(policy.now_s, s->date);
    }
    policy.max_age_s = policy.max_ahead_s = r->cfg->identity_freshness_s;
    policy.allow_provider = true; /* our own certificate: what it may say, it says for us */
    if (t->peer && t->peer->sign_identity == CONFIG_SIGN_SHAKEN && s->shown.m.orig.is_tn) {
        args.type = PASSPORT_SHAKEN;
        args.attest = attestation(r);
        args.origid = make_origid(a, &r->w->net->rand);
    }
    if (r->is_screened && args.type != PASSPORT_SHAKEN) {
        reason_set(why, "caller-not-its-number", "RFC 8224 6.1", 403,
                   "the subscriber that calls does not have this number; only SHAKEN can say so");
        return ERR_REFUSED;
    }
    return identity_sign_prepare(a, &args, own->credential, &policy, &s->job.passport, why);
}

/* ---- by whom ---- */

static void on_done(struct identity_sign_job *job, int err, struct str value)
{
    struct identity_signing *s = job->arg;
    struct reason why = {0};
    if (err == 0) {
        edge_count(s->r->w, EC_IDENTITY_SIGNED);
        s->fn(s->arg, value, str_z(s->date), NULL);
        return;
    }
    reason_set(&why, "identity-signer", "RFC 8224 6.1", 500, "the keeper of the key: %s",
               err_text(err));
    say_unsigned(s->r, &why);
    s->fn(s->arg, STR_NULL, STR_NULL, &why);
}

bool identity_sign(struct edge_req *r, const struct edge_target *t, struct str content_type,
                   struct str body, identity_signed_fn *fn, void *arg,
                   struct identity_signing **ret)
{
    const struct identity_own *own = is_wanted(r, t) ? own_of(r) : NULL;
    struct reason why = {0};
    struct identity_signing *s;
    *ret = NULL;
    if (!own)
        return false;
    if (!(s = arena_zalloc(r->m->arena, sizeof(*s)))) {
        reason_set(&why, "no-memory", NULL, 500, NULL);
        say_unsigned(r, &why);
        return false;
    }
    s->r = r;
    s->fn = fn;
    s->arg = arg;
    s->job = (struct identity_sign_job){
        .arena = r->m->arena, .key = own->key, .done = on_done, .arg = s};
    int err = r->w->signer ? prepare(s, t, own, content_type, body, &why) : ERR_CLOSED;
    if (err == 0)
        err = identity_sign_start(&s->job, r->w->signer);
    if (err == 0) {
        *ret = s;
        return true;
    }
    if (!why.code)
        reason_set(&why, "identity-signer", "RFC 8224 6.1", 500, "the keeper of the key: %s",
                   err_text(err));
    say_unsigned(r, &why);
    return false;
}

void identity_signing_cancel(struct identity_signing *s)
{
    if (s)
        identity_sign_cancel(&s->job);
}

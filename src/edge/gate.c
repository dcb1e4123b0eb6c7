/* The gate: who sends this request, how do we know, and may it (TR/100 6.3, 7.1, 7.2.3; RFC 3261 22; RFC 5922 7.4)?
 *
 * In this order: emergency calls pass; the side of a dialog of ours must be who the sealed token says; a peer is known by its
 * certificate (or, by an allow-sources line, its address); everybody else is a user of ours and answers a digest challenge, on every
 * request of every method but ACK and CANCEL. A TLS flow counts for its registered user only where the domain has allow-flow-auth.
 * Worker thread. */
#include "base/log.h"
#include "edge/guard.h"
#include "edge/request_priv.h"

int gate_start(struct edge_worker *w)
{
    w->guard = guard_new(w->cfg->guess_limit);
    return w->guard ? 0 : ERR_NOMEM;
}

void gate_stop(struct edge_worker *w)
{
    guard_free(w->guard);
    w->guard = NULL;
}

static int refuse(struct edge_req *r, const char *code, const char *clause, unsigned status, const char *detail)
{
    struct reason why = {0};

    reason_set(&why, code, clause, status, "%s", detail);
    edge_refuse(r, &why);
    return ERR_REFUSED;
}

/* ---- peers ---- */

static bool list_has(const struct config_strs *l, struct str s)
{
    size_t i;

    for (i = 0; i < l->n; i++)
        if (str_eq_nocase(l->v[i], s))
            return true;
    return false;
}

/* RFC 5922 7.4: one of the names in its verified certificate is one that the stanza (or its domains) gives. */
static const struct config_peer *peer_by_certificate(const struct edge_req *r)
{
    const struct hop_facts *hop = r->rx.hop;
    size_t i, k;

    if (!hop->peer_verified || !hop->n_peer_names)
        return NULL;
    for (i = 0; i < r->cfg->n_peers; i++) {
        const struct config_peer *p = &r->cfg->peers[i];
        const struct config_strs *names = p->certificate_names.n ? &p->certificate_names : &p->domains;

        for (k = 0; k < hop->n_peer_names; k++)
            if (list_has(names, hop->peer_names[k]))
                return p;
    }
    return NULL;
}

static const struct config_peer *peer_by_source(const struct edge_req *r)
{
    size_t i, k;

    for (i = 0; i < r->cfg->n_peers; i++) {
        const struct config_peer *p = &r->cfg->peers[i];

        for (k = 0; k < p->n_sources; k++)
            if (addr_net_has(&p->sources[k], &r->rx.path.remote))
                return p;
    }
    return NULL;
}

static bool find_peer(struct edge_req *r)
{
    const struct config_peer *p = peer_by_certificate(r);
    enum principal_how how = AUTH_CERTIFICATE;

    if (!p) {
        p = peer_by_source(r);
        how = AUTH_SOURCE;
    }
    if (!p)
        return false;
    r->who = (struct principal){.kind = PRINCIPAL_PEER, .how = how, .name = p->name, .peer = p};
    return true;
}

/* A peer speaks for its own domains, not for ours (TR/100 7.5.3); servers, sites and gateways of the enterprise may. */
static int check_peer_from(struct edge_req *r)
{
    const struct config_peer *p = r->who.peer;
    struct sip_uri from;

    if (sip_uri_parse(r->m->from.uri, &from) != 0)
        return refuse(r, "bad-from", "RFC 3261 20.20", 400, "");
    if (p->identities.n && !list_has(&p->identities, from.host))
        return refuse(r, "from-not-peers", "TR/100 7.5.3", 403, "this peer may not speak for the domain in From");
    if ((p->kind == CONFIG_PEERING || p->kind == CONFIG_SUBSCRIPTION) && !p->identities.n &&
        config_domain_find(r->cfg, from.host))
        return refuse(r, "from-is-ours", "TR/100 7.5.3", 403, "a foreign peer may not speak for our domain");
    if (!r->hop_secure && !p->allow_clear)
        return refuse(r, "clear-refused", "TR/100 7.2", 403, "this peer has no allow-clear line");
    return 0;
}

/* ---- digest ---- */

/* What a nonce may be used for: this worker (whose window counts its uses) and this flow or source. */
static struct str nonce_binding(const struct edge_req *r, char dst[ADDR_TEXT_MAX + 32])
{
    struct sbuf b = sbuf_make(dst, ADDR_TEXT_MAX + 32);
    char addr[ADDR_TEXT_MAX];

    sbuf_u64(&b, r->w->id);
    if (r->rx.path.flow) {
        sbuf_char(&b, 'f');
        sbuf_hex(&b, &r->rx.path.flow, sizeof r->rx.path.flow);
    } else {
        sbuf_char(&b, 'd');
        sbuf_str(&b, addr_text_host(&r->rx.path.remote, addr));
    }
    return sbuf_get(&b);
}

static bool asks_us(const struct edge_req *r) /* as registrar or UAS: 401; else as proxy: 407 (RFC 3261 22.2, 22.3) */
{
    return r->m->method == SIP_REGISTER || (r->domain && !r->ruri.has_user && !r->has_token && !r->next_route.n) || r->to_us;
}

/* One challenge: MD5 alone for users that are configured for it, else SHA-256 and SHA-512-256 (RFC 8760 2.4; packaged clients
 * fail on a list that begins with what they do not know). Unknown users are challenged like any other. */
static int challenge(struct edge_req *r, const struct config_domain *d, const struct account *acc, bool stale)
{
    static const enum digest_algo strong[] = {DIGEST_SHA256, DIGEST_SHA512_256}, weak[] = {DIGEST_MD5};
    bool md5 = acc && acc->allow_md5 && d->allow_md5;
    const enum digest_algo *algos = md5 ? weak : strong;
    size_t n = md5 ? 1 : 2, i;
    struct sip_response resp = {.status = asks_us(r) ? 401 : 407, .to_tag = edge_stateless_tag(r)};
    struct str name = asks_us(r) ? STR("WWW-Authenticate") : STR("Proxy-Authenticate");
    char nonce[DIGEST_NONCE_TEXT_MAX], text[2][512], binding[ADDR_TEXT_MAX + 32];

    if (digest_nonce_make(&r->w->edge->keys.nonce, net_wall_s(r->w->net), rand_u64(&r->w->net->rand), d->realm,
                          nonce_binding(r, binding), nonce) != 0)
        return refuse(r, "nonce", NULL, 500, "");
    for (i = 0; i < n; i++) {
        struct digest_challenge c = {.realm = d->realm, .nonce = str_z(nonce), .algo = algos[i], .stale = stale,
                                     .qop_auth = true, .qop_auth_int = true};
        struct sbuf b = sbuf_make(text[i], sizeof text[i]);

        digest_challenge_build(&b, &c);
        if (b.overflow)
            return refuse(r, "challenge", NULL, 500, "realm too long");
        resp.extra[resp.n_extra].name = name;
        resp.extra[resp.n_extra++].value = sbuf_get(&b);
    }
    edge_count(r->w, stale ? EC_AUTH_STALE : EC_CHALLENGES);
    r->w->responses_by_class[4]++;
    if (sip_stx_reply(r->tx, &resp) == 0)
        sip_stx_forget(r->tx); /* a repetition gets a challenge of its own (8.2.7); nothing is kept for strangers */
    else if (!sip_stx_is_final(r->tx))
        sip_stx_drop(r->tx);
    return ERR_REFUSED;
}

/* The credentials for our realm among all that the request carries; remembers where, so that they can be taken off. */
static bool find_credentials(struct edge_req *r, struct str realm, struct digest_credentials *ret)
{
    enum sip_hdr_id id = asks_us(r) ? SIP_H_AUTHORIZATION : SIP_H_PROXY_AUTHORIZATION;
    const struct sip_hdr *h;
    struct reason why;
    unsigned i;

    for (i = 0; i < 8 && (h = sip_msg_hdr(r->m, id, i)) != NULL; i++) {
        if (digest_credentials_parse(r->m->arena, h->value, ret, &why) != 0 || !str_eq(ret->realm, realm))
            continue;
        r->has_credentials = true;
        r->credentials_hdr = id;
        r->credentials_index = i;
        return true;
    }
    return false;
}

/* RFC 7616 3.4.6: the answer is for this request-URI and no other. Or it names no user, only a host of ours: what clients like
 * sipp put there for every request. RFC 3261 22.4 item 6 lets that pass; a credential made for one user's URI cannot be moved
 * to another's all the same. */
static bool uri_matches(const struct edge_req *r, struct str uri)
{
    struct sip_uri a, b;

    if (str_eq(uri, r->m->ruri))
        return true;
    if (sip_uri_parse(uri, &a) != 0)
        return false;
    if ((a.scheme == SIP_SCHEME_SIP || a.scheme == SIP_SCHEME_SIPS) && !a.has_user &&
        request_domain(r->cfg, &a, &r->rx.path.local))
        return true;
    return sip_uri_parse(r->m->ruri, &b) == 0 && sip_uri_eq(&a, &b);
}

static int aor_of_username(struct edge_req *r, const struct config_domain *d, struct str username, struct str *ret)
{
    struct str user, rest = str_cut(username, '@', &user);
    struct sip_uri u;
    struct str text;

    if (rest.p && !config_domain_find(r->cfg, rest))
        return ERR_NOTFOUND;
    text = arena_fmt(r->m->arena, "sip:%.*s@%.*s", STR_FMT(user), STR_FMT(d->name));
    if (!text.p)
        return ERR_NOMEM;
    return sip_uri_parse(text, &u) != 0 ? ERR_NOTFOUND : sip_uri_aor(r->m->arena, &u, ret);
}

static void wrong_password(struct edge_req *r, const struct digest_credentials *c, const char *code)
{
    char addr[ADDR_TEXT_MAX];

    edge_count(r->w, EC_AUTH_FAILED);
    guard_failed(r->w->guard, &r->rx.path.remote, c->username, net_wall_s(r->w->net));
    LOG(LOG_NOTICE, "login-failed", LZ("reason", code), LS("user", c->username), LS("realm", c->realm),
        LS("remote", addr_text(&r->rx.path.remote, addr)), LS("method", r->m->method_text));
}

/* Is the answer right? 0, or a negative code with *ret_stale. The account may be NULL: the arithmetic is done all the same, so that
 * time does not tell which users there are. */
static int verify(struct edge_req *r, const struct config_domain *d, const struct digest_credentials *c,
                  const struct account *acc, bool *ret_stale)
{
    static const struct digest_ha1 nobody = {.algo = DIGEST_SHA256, .n = 32};
    const struct digest_ha1 *ha1 = acc && acc->ha1[c->algo].n ? &acc->ha1[c->algo] : &nobody;
    struct digest_nonce_info info;
    struct digest_ha1 dummy;
    struct reason why = {0};
    char binding[ADDR_TEXT_MAX + 32];
    int err;

    *ret_stale = false;
    err = digest_nonce_check(&r->w->edge->keys.nonce, net_wall_s(r->w->net), d->nonce_lifetime_s, d->realm,
                             nonce_binding(r, binding), c->nonce, &info, &why);
    if (err != 0) {
        *ret_stale = true; /* too old, or made for another flow: the same answer to a new nonce will do */
        return err;
    }
    if (ha1 == &nobody) {
        dummy = nobody;
        dummy.algo = c->algo;
        dummy.n = c->algo == DIGEST_MD5 ? 16 : 32;
        ha1 = &dummy;
    }
    err = digest_check(c, ha1, r->m->method_text, r->m->body, &why);
    if (err != 0 || ha1 == &dummy || (c->algo == DIGEST_MD5 && !(acc->allow_md5 && d->allow_md5)))
        return ERR_REFUSED;
    err = digest_replay_check(r->w->replay, &info, c->nc);
    if (err != 0) {
        edge_count(r->w, EC_AUTH_REPLAY);
        *ret_stale = true;
    }
    return err;
}

/* RFC 3261 22.1: the user in From (To for REGISTER) must be the one that answered; anonymous callers stay hidden (RFC 3323). */
static int check_user_from(struct edge_req *r, struct str aor)
{
    struct str claimed;
    struct sip_uri u;

    if (r->has_token && sip_msg_in_dialog(r->m))
        return 0; /* bound by the token instead: a diverted callee's From is the address that was dialled (12.2.1.1) */
    if (sip_uri_parse(r->m->method == SIP_REGISTER ? r->m->to.uri : r->m->from.uri, &u) != 0)
        return refuse(r, "bad-from", "RFC 3261 20.20", 400, "");
    if (r->m->method != SIP_REGISTER && str_eq_nocase(u.host, STR("anonymous.invalid")))
        return 0;
    if (config_domain_find(r->cfg, u.host))
        u.host = config_domain_find(r->cfg, u.host)->name;
    if (sip_uri_aor(r->m->arena, &u, &claimed) != 0)
        return refuse(r, "no-memory", NULL, 500, "");
    if (!str_eq(claimed, aor))
        return refuse(r, "identity-mismatch", "RFC 3261 10.3", 403,
                      r->m->method == SIP_REGISTER ? "a user registers only its own address of record"
                                                   : "From is not the authenticated user");
    return 0;
}

static int admit_user(struct edge_req *r, const struct config_domain *d)
{
    struct digest_credentials c = {0};
    struct account acc = {0};
    struct str aor = STR_NULL;
    bool known = false, stale;
    unsigned wait;
    int err;

    if (!r->hop_secure && !d->allow_clear_digest)
        return refuse(r, "clear-digest", "TR/100 7.2.3", 403, "register and call over TLS; this domain has no allow-clear-digest");
    if (!find_credentials(r, d->realm, &c)) {
        struct sip_uri u;

        /* Which algorithm to ask for depends on who says to ask: From, or To for REGISTER. */
        if (sip_uri_parse(r->m->method == SIP_REGISTER ? r->m->to.uri : r->m->from.uri, &u) == 0) {
            u.host = d->name;
            known = sip_uri_aor(r->m->arena, &u, &aor) == 0 && account_find(r->w->edge->loc, aor, &acc) == 0;
        }
        err = challenge(r, d, known ? &acc : NULL, false);
        account_done(&acc);
        return err;
    }
    wait = guard_wait_s(r->w->guard, &r->rx.path.remote, c.username, net_wall_s(r->w->net));
    if (wait) {
        edge_count(r->w, EC_GUESSES_SLOWED);
        return refuse(r, "too-many-guesses", "TR/100 6.2", 503, "too many wrong passwords from this address");
    }
    if (!uri_matches(r, c.uri))
        return refuse(r, "digest-uri", "RFC 3261 22.4", 400, "the digest answer is for another URI");
    known = aor_of_username(r, d, c.username, &aor) == 0 && account_find(r->w->edge->loc, aor, &acc) == 0 &&
            str_eq(str_z(acc.username), c.username);
    err = verify(r, d, &c, known ? &acc : NULL, &stale);
    if (err != 0) {
        if (!stale)
            wrong_password(r, &c, "wrong-response");
        err = challenge(r, d, known ? &acc : NULL, stale);
        account_done(&acc);
        return err;
    }
    account_done(&acc);
    guard_succeeded(r->w->guard, &r->rx.path.remote, c.username);
    edge_count(r->w, EC_AUTH_OK);
    r->who = (struct principal){.kind = PRINCIPAL_USER, .how = AUTH_DIGEST, .name = aor, .algo = c.algo};
    return check_user_from(r, aor);
}

/* ---- flows ---- */

static const struct edge_flow *flow_of(const struct edge_req *r)
{
    if (!r->rx.path.flow || flow_worker(r->rx.path.flow) != r->w->id)
        return NULL;
    return net_get_user(r->w->net, r->rx.path.flow);
}

/* TR/100 7.2.3: a flow proves its user only where the UA is bound to it: TLS, registered on by an answered challenge, and the domain
 * says that this shall count. Registering itself is always challenged. */
static bool flow_counts(struct edge_req *r, const struct config_domain *d)
{
    const struct edge_flow *f = flow_of(r);

    if (!d->allow_flow_auth || !r->hop_secure || !f || !f->registered || r->m->method == SIP_REGISTER)
        return false;
    r->who = (struct principal){.kind = PRINCIPAL_USER, .how = AUTH_FLOW, .name = arena_str(r->m->arena, f->user)};
    return r->who.name.p != NULL;
}

/* The domain of ours whose user this may be: that of From (To for REGISTER), in a dialog that of the flow, else the only one. */
static const struct config_domain *user_domain(const struct edge_req *r)
{
    const struct config_domain *d = NULL;
    const struct edge_flow *f;
    struct str host;
    struct sip_uri u;

    if (sip_uri_parse(r->m->method == SIP_REGISTER ? r->m->to.uri : r->m->from.uri, &u) == 0)
        d = request_domain(r->cfg, &u, &r->rx.path.local);
    if (d)
        return d;
    f = flow_of(r);
    if (f && f->user.n && (host = str_cut(f->user, '@', &host)).p)
        d = config_domain_find(r->cfg, host);
    if (!d && r->cfg->n_domains && (r->has_token || str_eq_nocase(u.host, STR("anonymous.invalid"))))
        d = &r->cfg->domains[0];
    return d;
}

/* ---- dialogs ---- */

static int admit_in_dialog(struct edge_req *r)
{
    const struct token_side *side = r->from_caller ? &r->token.caller : &r->token.callee;
    const struct config_domain *d;
    int err;

    if (r->token.emergency)
        return 0;
    if (find_peer(r) && principal_id(&r->who) == side->who)
        return 0;
    if (side->who == 0) { /* a domain without a stanza, reached by TLS with its name checked (RFC 5922) */
        if (r->hop_secure && (r->hop_peer_verified || r->rx.hop->outgoing)) {
            r->who = (struct principal){.kind = PRINCIPAL_NONE, .how = AUTH_CERTIFICATE};
            return 0;
        }
        return refuse(r, "dialog-side", "TR/100 7.2.3", 403, "not from the hop this dialog was made with");
    }
    r->who = (struct principal){0};
    d = user_domain(r);
    if (!d)
        return refuse(r, "dialog-side", "TR/100 7.2.3", 403, "not a side of this dialog");
    if (!flow_counts(r, d) && (err = admit_user(r, d)) != 0)
        return err;
    if (principal_id(&r->who) != side->who)
        return refuse(r, "dialog-side", "TR/100 7.2.3", 403, "authenticated, but as somebody else than this side of the dialog");
    return 0;
}

bool gate_ack_ok(struct edge_req *r)
{
    return r->has_token && sip_msg_in_dialog(r->m); /* sealed for this Call-ID: only those in the dialog have it */
}

int gate_admit(struct edge_req *r)
{
    const struct config_domain *d;
    int err;

    if (r->has_token && sip_msg_in_dialog(r->m))
        return admit_in_dialog(r);
    if (r->emergency && r->m->method != SIP_REGISTER) {
        r->who = (struct principal){0}; /* RFC 6881: no challenge may stop it */
        (void)find_peer(r);
        return 0;
    }
    d = user_domain(r);
    if (r->m->method == SIP_REGISTER && d)
        return admit_user(r, d);
    if (d && flow_counts(r, d))
        return check_user_from(r, r->who.name);
    if (find_peer(r) && (err = check_peer_from(r)) != 0)
        return err;
    if (r->who.kind == PRINCIPAL_PEER)
        return 0;
    if (d)
        return admit_user(r, d);
    return refuse(r, "sender-unknown", "TR/100 6.3", 403, "neither a user of ours nor a configured peer");
}

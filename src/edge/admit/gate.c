/* The gate: who sends this request, how do we know, and may it (TR/100 6.3, 7.1, 7.2.3; RFC 3261 22; RFC 5922 7.4)?
 *
 * In this order: emergency calls pass; the side of a dialog of ours must be who the sealed token says; a peer is known by its
 * certificate (or, by an allow-sources line, its address); everybody else is a user of ours and answers a digest challenge, on every
 * request of every method but ACK and CANCEL. A TLS flow counts for its registered user only where the domain has allow-flow-auth.
 * Worker thread. */
#include "base/log.h"
#include "edge/admit/gate_priv.h"
#include "edge/admit/guard.h"
#include "edge/request_priv.h"
#include "edge/peers/subscriber.h"
#include "edge/peers/trunk.h"

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

int gate_refuse(struct edge_req *r, const char *code, const char *clause, unsigned status, const char *detail)
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

/* What the listener's handshake let pass, by the rules of the stanza (RFC 5924 5, RFC 5280 6.3). */
static bool is_by_rules(const struct edge_req *r, const struct config_peer *p)
{
    const struct hop_facts *hop = r->rx.hop;
    struct reason why;
    char from[ADDR_TEXT_MAX];

    if (p->client_usage != PKI_USAGE_IGNORE && hop->client_use != CERT_USE_CLIENT &&
        (p->client_usage == PKI_USAGE_REQUIRED || hop->client_use == CERT_USE_OTHER))
        reason_set(&why, "tls-cert-use", "RFC 5924 5", 403, "its certificate is not made for clients (client-usage)");
    else if (p->revocation == PKI_REVOCATION_HARD && hop->standing != CERT_GOOD)
        reason_set(&why, "tls-cert-status-unknown", "RFC 5280 6.3", 403, "nobody said whether its certificate is revoked (revocation)");
    else
        return true;
    if (LOG_NOTICE >= log_threshold) {
        const struct log_field fields[] = {LS("peer", addr_text(&r->rx.path.remote, from)), LS("name", p->name)};

        log_reason(LOG_NOTICE, "not-vouched-for", &why, fields, ARRAY_LEN(fields));
    }
    return false;
}

/* The anchors of a listener say who may connect. For a peer's name to count, those of its own stanza must hold as well: one peer's CA
 * does not vouch for another's names (TR/100 9). Where a stanza has none, the listener's are its own. */
static bool is_vouched(const struct edge_req *r, const struct config_peer *p)
{
    const struct path *path = &r->rx.path;
    const struct principal peer = {.kind = PRINCIPAL_PEER, .name = p->name};

    if (r->handed.is_handed)
        return r->handed.peer == principal_id(&peer);
    if (!p->ca.n && !r->rx.hop->outgoing && path->listener < r->cfg->n_listens && r->cfg->listens[path->listener].client_ca.n)
        return is_by_rules(r, p);
    return net_vouched(r->w->net, path->flow, snapshot_tls(r->snap, p), STR_NULL);
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
            if (list_has(names, hop->peer_names[k]) && is_vouched(r, p))
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

/* Whose account was registered along its connection, which only the worker of the connection knows. */
static const struct config_peer *peer_by_account(const struct edge_req *r)
{
    size_t i;

    if (!r->handed.is_handed)
        return trunk_of_flow(r);
    for (i = 0; r->handed.trunk && i < r->cfg->n_peers; i++) {
        const struct principal p = {.kind = PRINCIPAL_PEER, .name = r->cfg->peers[i].name};

        if (trunk_is(&r->cfg->peers[i]) && principal_id(&p) == r->handed.trunk)
            return &r->cfg->peers[i];
    }
    return NULL;
}

const struct config_peer *gate_peer(const struct edge_req *r, enum principal_how *ret_how)
{
    const struct config_peer *p = peer_by_account(r);

    if (p) { /* we made the connection, and proved ourselves along it; who is there its certificate has said then */
        *ret_how = r->hop_secure && r->hop_peer_verified ? AUTH_CERTIFICATE : AUTH_FLOW;
        return p;
    }
    p = peer_by_certificate(r);
    *ret_how = p ? AUTH_CERTIFICATE : AUTH_SOURCE;
    return p ? p : peer_by_source(r);
}

static bool find_peer(struct edge_req *r)
{
    enum principal_how how;
    const struct config_peer *p = gate_peer(r, &how);

    if (!p)
        return false;
    r->who = (struct principal){.kind = PRINCIPAL_PEER, .how = how, .name = p->name, .peer = p};
    return true;
}

/* What its stanza asks of the hop, on every request (TR/100 7.2, 7.3: a floor for each peer). */
static int check_peer_hop(struct edge_req *r)
{
    const struct config_peer *p = r->who.peer;
    const char *version = r->rx.hop->tls_version;

    if (!r->hop_secure && !config_peer_may_clear(p, net_wall_s(r->w->net)))
        return gate_refuse(r, "clear-refused", "TR/100 7.2", 403, "this peer has no allow-clear line, nor one that its hop is protected now");
    if (r->hop_secure && p->tls_min >= 13 && (!version || strcmp(version, "TLSv1.3") != 0))
        return gate_refuse(r, "tls-floor", "TR/100 7.3", 403, "this peer's tls-min is 1.3");
    return 0;
}

bool gate_peer_speaks_for(const struct config *cfg, const struct config_peer *p, const struct sip_uri *u, const struct addr *local)
{
    if (p->identities.n)
        return list_has(&p->identities, u->host);
    return (p->kind != CONFIG_PEERING && p->kind != CONFIG_SUBSCRIPTION) || u->scheme == SIP_SCHEME_TEL ||
           !request_domain(cfg, u, local);
}

/* A peer speaks for its own domains, not for ours (TR/100 7.5.3); servers, sites and gateways of the enterprise may. Whoever hides
 * speaks for nobody (RFC 3323). */
static int check_peer_from(struct edge_req *r)
{
    const struct config_peer *p = r->who.peer;
    struct sip_uri from;

    if (sip_uri_parse(r->m->from.uri, &from) != 0)
        return gate_refuse(r, "bad-from", "RFC 3261 20.20", 400, "");
    if (login_is_anonymous(&from))
        return 0;
    if (gate_peer_speaks_for(r->cfg, p, &from, &r->rx.path.local))
        return 0;
    if (p->identities.n)
        return gate_refuse(r, "from-not-peers", "TR/100 7.5.3", 403, "this peer may not speak for the domain in From");
    return gate_refuse(r, "from-is-ours", "TR/100 7.5.3", 403, "a foreign peer may not speak for our domain");
}

void gate_vouch(struct edge_worker *w, const struct rx *rx, struct gate_vouch *ret)
{
    const struct edge_req r = {.w = w, .snap = w->snap, .cfg = w->cfg, .rx = *rx};
    struct principal peer = {.kind = PRINCIPAL_PEER};
    const struct edge_flow *f;

    *ret = (struct gate_vouch){.is_handed = true};
    if ((f = flow_find(&r)) != NULL && f->user.n)
        ret->user = principal_id(&(struct principal){.kind = PRINCIPAL_USER, .name = f->user});
    if ((peer.peer = trunk_of_flow(&r)) != NULL) {
        peer.name = peer.peer->name;
        ret->trunk = principal_id(&peer);
    }
    if (!rx->hop->peer_verified)
        return;
    ret->as_domain = net_vouched(w->net, rx->path.flow, snapshot_tls(w->snap, NULL), STR_NULL);
    if ((peer.peer = peer_by_certificate(&r)) == NULL)
        return;
    peer.name = peer.peer->name;
    ret->peer = principal_id(&peer);
}

/* ---- users ---- */

static bool registers_here(const struct edge_req *r)
{
    return r->m->method == SIP_REGISTER && r->for_us;
}

const struct sip_uri *gate_claimed(struct edge_req *r)
{
    if (!r->claimed.is_read) {
        r->claimed.is_read = true;
        r->claimed.is_uri = sip_uri_parse(registers_here(r) ? r->m->to.uri : r->m->from.uri, &r->claimed.uri) == 0;
        if (r->claimed.is_uri)
            r->claimed.domain = request_domain(r->cfg, &r->claimed.uri, &r->rx.path.local);
    }
    return r->claimed.is_uri ? &r->claimed.uri : NULL;
}

int gate_claimed_aor(struct edge_req *r, struct str *ret, bool *ret_anonymous)
{
    const struct sip_uri *claimed = gate_claimed(r);
    struct sip_uri u;
    int err;

    *ret = STR_NULL;
    *ret_anonymous = false;
    if (!claimed)
        return ERR_SYNTAX;
    if (!registers_here(r) && login_is_anonymous(claimed)) {
        *ret_anonymous = true;
        return 0;
    }
    if (!r->claimed.aor.n) {
        u = *claimed;
        if (r->claimed.domain) {
            u.host = r->claimed.domain->name;
            u.host_is_v6 = false;
        }
        err = sip_uri_aor(r->m->arena, &u, &r->claimed.aor);
        if (err != 0)
            return err == ERR_UNSUPPORTED ? 0 : err; /* a tel URI names no user */
    }
    *ret = r->claimed.aor;
    return 0;
}

/* RFC 3261 22.1: the user in From (To for REGISTER) must be the one that answered; anonymous callers stay hidden. */
static int check_user_from(struct edge_req *r)
{
    struct str claimed;
    bool is_anonymous;
    int err = gate_claimed_aor(r, &claimed, &is_anonymous);

    if (err == ERR_SYNTAX)
        return gate_refuse(r, "bad-from", "RFC 3261 20.20", 400, "");
    if (err != 0)
        return gate_refuse(r, "no-memory", NULL, 500, "");
    if (is_anonymous || str_eq(claimed, r->who.name))
        return 0;
    return gate_refuse(r, "identity-mismatch", "RFC 3261 10.3", 403,
                       r->m->method == SIP_REGISTER ? "a user registers only its own address of record"
                                                    : "From is not the authenticated user");
}

/* The enterprise is who answered; its callers are whoever has one of its numbers. */
static int check_subscriber(struct edge_req *r)
{
    struct reason why = {0};

    if (subscriber_screen(r, &why) == 0)
        return 0;
    edge_refuse(r, &why);
    return ERR_REFUSED;
}

/* ---- flows ---- */

static struct str domain_part(struct str aor)
{
    struct str user;

    return str_cut(aor, '@', &user);
}

/* TR/100 7.2.3: a flow proves its user only where the UA is bound to it: TLS, registered on by an answered challenge, the account is
 * still there with the same password, and its domain says that this shall count. Registering itself is always challenged, and so is who claims to be
 * somebody else than the flow's user: several may share a connection. */
static bool flow_counts(struct edge_req *r)
{
    const struct edge_flow *f = flow_find(r);
    const struct config_domain *d;
    struct str claimed;
    bool is_anonymous;

    if (!r->hop_secure || !f || !f->user.n || registers_here(r))
        return false;
    d = config_domain_find(r->cfg, domain_part(f->user));
    if (!d || !d->allow_flow_auth || !f->version || account_version(r->w->edge->loc, f->user) != f->version)
        return false;
    if (!(r->has_token && sip_msg_in_dialog(r->m)) &&
        (gate_claimed_aor(r, &claimed, &is_anonymous) != 0 || (!is_anonymous && !str_eq(claimed, f->user))))
        return false;
    r->who = (struct principal){.kind = PRINCIPAL_USER, .how = AUTH_FLOW, .name = arena_str(r->m->arena, f->user), .peer = subscriber_of(r->cfg, f->user)};
    return r->who.name.p != NULL;
}

/* The domain of ours whose user this may be: that of From (To for REGISTER), of the flow's user for who hides (or is a subscriber, whose
 * callers are who they are), else the only one. */
static const struct config_domain *user_domain(struct edge_req *r)
{
    const struct edge_flow *f = flow_find(r);
    const struct sip_uri *u = gate_claimed(r);
    const struct config_domain *d = r->claimed.domain;

    if (d || (!(u && login_is_anonymous(u)) && !(f && !registers_here(r) && subscriber_of(r->cfg, f->user))))
        return d;
    if (f && f->user.n)
        d = config_domain_find(r->cfg, domain_part(f->user));
    return d || !r->cfg->n_domains ? d : &r->cfg->domains[0];
}

/* ---- dialogs ---- */

static const struct config_domain *domain_of_side(const struct edge_req *r, const struct token_side *side)
{
    size_t i;

    for (i = 0; i < r->cfg->n_domains; i++)
        if ((uint32_t)str_hash(r->cfg->domains[i].name) == side->domain)
            return &r->cfg->domains[i];
    return NULL;
}

static int refuse_side(struct edge_req *r, const char *detail)
{
    return gate_refuse(r, "dialog-side", "TR/100 7.2.3", 403, detail);
}

static int admit_user_side(struct edge_req *r, const struct token_side *side)
{
    const struct config_domain *d = domain_of_side(r, side);
    int err;

    if (!d)
        return refuse_side(r, "the domain of this side of the dialog is no longer ours");
    if (flow_counts(r) && principal_id(&r->who) == side->who)
        return 0;
    if ((err = login_user(r, d, side->md5)) != 0)
        return err;
    return principal_id(&r->who) == side->who
               ? 0
               : refuse_side(r, "authenticated, but as somebody else than this side of the dialog");
}

/* A domain without a stanza: a hop whose certificate has the name that was checked when the dialog was made (RFC 5922 7). */
static bool is_domain_side(struct edge_req *r, const struct token_side *side)
{
    const struct hop_facts *hop = r->rx.hop;
    size_t i;

    for (i = 0; r->hop_secure && hop->peer_verified && i < hop->n_peer_names; i++) {
        r->who = (struct principal){.kind = PRINCIPAL_DOMAIN, .how = AUTH_CERTIFICATE, .name = hop->peer_names[i]};
        if (principal_id(&r->who) == side->who)
            return r->handed.is_handed ? r->handed.as_domain : net_vouched(r->w->net, r->rx.path.flow, snapshot_tls(r->snap, NULL), STR_NULL);
    }
    return false;
}

/* Who a side is was settled when the dialog was made; From says nothing about it (a diverted callee's is the address that was dialled,
 * RFC 3261 12.2.1.1). */
static int admit_in_dialog(struct edge_req *r)
{
    const struct token_side *side = r->from_caller ? &r->token.caller : &r->token.callee;

    r->who = (struct principal){0};
    switch (side->kind) {
    case PRINCIPAL_USER:
        if (!r->token.emergency)
            return admit_user_side(r, side);
        break;
    case PRINCIPAL_PEER:
        if (find_peer(r) && principal_id(&r->who) == side->who)
            return r->token.emergency ? 0 : check_peer_hop(r);
        break;
    case PRINCIPAL_DOMAIN:
        if (is_domain_side(r, side))
            return 0;
        break;
    case PRINCIPAL_NONE:
        break;
    }
    r->who = (struct principal){0};
    return r->token.emergency ? 0 : refuse_side(r, "not from the hop this dialog was made with");
}

/* RFC 4916 4.4, 4.6: a side may say that it is somebody else than the dialog's beginning had it: a user of ours the one that it has
 * authenticated as (or nobody), a peer whom it may speak for. What ends a call or only acknowledges may say what it likes. */
static int check_changed_from(struct edge_req *r)
{
    uint32_t was = r->from_caller ? r->token.caller_from : r->token.callee_from;

    if (r->token.emergency || r->m->method == SIP_BYE || r->m->method == SIP_PRACK || !was || edge_from_hash(r->m->arena, r->m->from.uri) == was)
        return 0;
    if (r->who.kind == PRINCIPAL_PEER)
        return check_peer_from(r);
    if (r->who.kind != PRINCIPAL_USER)
        return 0;
    return r->who.peer ? check_subscriber(r) : check_user_from(r);
}

/* ---- ACK to a 2xx, which cannot be challenged (RFC 3261 22.1) ---- */

/* The connection carries a registration of this user, who proved it when it was made. */
static bool is_flow_of_user(const struct edge_req *r, uint64_t who)
{
    const struct edge_flow *f = r->handed.is_handed ? NULL : flow_find(r);
    const struct principal p = {.kind = PRINCIPAL_USER, .name = f ? f->user : STR_NULL};

    return r->handed.is_handed ? r->handed.user == who : p.name.n && principal_id(&p) == who;
}

/* From where the phone called or is called, along a connection of its user, or with the credentials of the INVITE, which it has to repeat. */
static bool is_users_ack(struct edge_req *r, const struct token_side *side)
{
    const struct path *from = &r->rx.path, *known = &side->path;
    const struct config_domain *d;

    if (side->has_path && (known->flow ? from->flow == known->flow : addr_eq_host(&from->remote, &known->remote)))
        return true;
    if (is_flow_of_user(r, side->who))
        return true;
    d = domain_of_side(r, side);
    return d && login_ack(r, d, side->who);
}

bool gate_ack_ok(struct edge_req *r)
{
    const struct token_side *side = r->from_caller ? &r->token.caller : &r->token.callee;
    bool is_ok = false;

    if (!r->has_token || !sip_msg_in_dialog(r->m))
        return false;
    if (r->token.emergency)
        return true;
    switch (side->kind) {
    case PRINCIPAL_USER:
        is_ok = is_users_ack(r, side);
        break;
    case PRINCIPAL_PEER:
        is_ok = find_peer(r) && principal_id(&r->who) == side->who && check_peer_hop(r) == 0;
        break;
    case PRINCIPAL_DOMAIN:
        is_ok = is_domain_side(r, side);
        break;
    case PRINCIPAL_NONE:
        break;
    }
    r->who = (struct principal){0};
    return is_ok || refuse_side(r, "an ACK not from the hop this dialog was made with") == 0;
}

int gate_admit(struct edge_req *r)
{
    const struct config_domain *d;
    int err;

    if (r->has_token && sip_msg_in_dialog(r->m))
        return (err = admit_in_dialog(r)) != 0 ? err : check_changed_from(r);
    if (r->emergency) {
        (void)find_peer(r); /* RFC 6881: no challenge may stop it */
        return 0;
    }
    d = user_domain(r);
    if (!registers_here(r)) {
        if (flow_counts(r))
            return r->who.peer ? check_subscriber(r) : 0;
        if (find_peer(r))
            return (err = check_peer_hop(r)) != 0 ? err : check_peer_from(r);
    }
    if (!d)
        return registers_here(r) ? gate_refuse(r, "aor-not-ours", "RFC 3261 10.3", 404, "To names no domain of ours")
                                 : gate_refuse(r, "sender-unknown", "TR/100 6.3", 403,
                                               "neither a user of ours nor a configured peer");
    if ((err = login_user(r, d, false)) != 0)
        return err;
    return r->who.peer && !registers_here(r) ? check_subscriber(r) : check_user_from(r);
}

/* Users prove who they are by digest (RFC 3261 22, RFC 7616, RFC 8760): on every request of every method but ACK and CANCEL
 * (TR/100 7.2.3), with nonces that are bound to the flow and counted, and with the same work for names that there are not.
 * Worker thread. */
#include "base/log.h"
#include "edge/admit/gate_priv.h"
#include "edge/admit/guard.h"
#include "edge/request_priv.h"
#include "edge/peers/subscriber.h"

#define CREDENTIALS_MAX 8u /* of one request that are looked at */

/* What a nonce may be used for: this worker (whose window counts its uses) and this flow or source. */
struct binding {
    char p[32];
};

static struct str nonce_binding(const struct edge_req *r, struct binding *dst)
{
    const struct addr *a = &r->rx.path.remote;
    uint32_t worker = r->w->id;
    struct sbuf b = sbuf_make(dst->p, sizeof dst->p);

    sbuf_add(&b, &worker, sizeof worker);
    if (r->rx.path.flow) {
        sbuf_char(&b, 'f');
        sbuf_add(&b, &r->rx.path.flow, sizeof r->rx.path.flow);
    } else if (addr_is_v6(a)) {
        sbuf_char(&b, '6');
        sbuf_add(&b, &a->v6.sin6_addr, sizeof a->v6.sin6_addr);
        sbuf_add(&b, &a->v6.sin6_scope_id, sizeof a->v6.sin6_scope_id);
    } else {
        sbuf_char(&b, '4');
        sbuf_add(&b, &a->v4.sin_addr, sizeof a->v4.sin_addr);
    }
    return sbuf_get(&b);
}

/* Has what is known of the user that the request is from brought nearer by a step. */
static void warm_account(struct edge_req *r)
{
    struct str aor;
    bool is_anonymous;

    if (gate_claimed_aor(r, &aor, &is_anonymous) == 0 && aor.n && r->claimed.domain)
        account_warm(r->w->edge->loc, aor, &r->claimed.warm);
}

static bool asks_md5(struct edge_req *r, const struct config_domain *d);
enum ask { ASK_STRONG, ASK_MD5, ASK_AS_FROM /* as the account in From, or To of REGISTER, has it */ };

/* One challenge: MD5 alone for users that are configured for it, else SHA-256 and SHA-512-256 (RFC 8760 2.4; packaged clients
 * fail on a list that begins with what they do not know). Unknown users are challenged like any other. */
static int challenge(struct edge_req *r, const struct config_domain *d, enum ask ask, bool stale)
{
    static const enum digest_algo strong[] = {DIGEST_SHA256, DIGEST_SHA512_256}, weak[] = {DIGEST_MD5};
    const enum digest_algo *algos = strong;
    size_t n = ARRAY_LEN(strong), i;
    struct sip_response resp = {.status = r->for_us ? 401 : 407, .to_tag = edge_stateless_tag(r)};
    struct str name = r->for_us ? STR("WWW-Authenticate") : STR("Proxy-Authenticate");
    NO_AUTO_INIT char text[2][512];
    char nonce[DIGEST_NONCE_TEXT_MAX];
    struct binding binding;

    if (ask == ASK_AS_FROM)
        warm_account(r);
    if (digest_nonce_make(&r->w->edge->keys.nonce, net_steady_s(r->w->net), rand_u64(&r->w->net->rand), d->realm,
                          nonce_binding(r, &binding), nonce) != 0)
        return gate_refuse(r, "nonce", NULL, 500, "");
    if (ask == ASK_MD5 || (ask == ASK_AS_FROM && asks_md5(r, d))) {
        algos = weak;
        n = ARRAY_LEN(weak);
    }
    for (i = 0; i < n; i++) {
        struct digest_challenge c = {.realm = d->realm, .nonce = str_z(nonce), .algo = algos[i], .stale = stale,
                                     .qop_auth = true, .qop_auth_int = true};
        struct sbuf b = sbuf_make(text[i], sizeof text[i]);

        digest_challenge_build(&b, &c);
        if (b.overflow)
            return gate_refuse(r, "challenge", NULL, 500, "realm too long");
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

/* The credentials for our realm among all that the request carries. */
static bool find_credentials(struct edge_req *r, struct str realm, struct digest_credentials *ret)
{
    enum sip_hdr_id id = r->for_us ? SIP_H_AUTHORIZATION : SIP_H_PROXY_AUTHORIZATION;
    const struct sip_hdr *h;
    struct reason why;
    unsigned i;

    for (i = 0; i < CREDENTIALS_MAX && (h = sip_msg_hdr(r->m, id, i)) != NULL; i++)
        if (digest_credentials_parse(r->m->arena, h->value, ret, &why) == 0 && str_eq(ret->realm, realm))
            return true;
    return false;
}

bool login_is_ours(const struct edge_req *r, struct str credentials)
{
    struct digest_credentials c = {0};
    struct reason why;
    int err = digest_credentials_parse(r->m->arena, credentials, &c, &why);
    size_t i;

    for (i = 0; (err == 0 || err == ERR_UNSUPPORTED) && c.realm.n && i < r->cfg->n_domains; i++)
        if (str_eq(c.realm, r->cfg->domains[i].realm))
            return true;
    return false;
}

/* RFC 7616 3.4.6: the answer is for this request-URI and no other. Or it names no user, only a host of ours: what clients like
 * sipp put there for every request. RFC 3261 22.4 item 6 lets that pass; a credential made for one user's URI cannot be moved
 * to another's all the same. */
static bool uri_matches(const struct edge_req *r, struct str uri)
{
    NO_AUTO_INIT struct sip_uri a, b;

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
    const struct sip_uri *claimed = gate_claimed(r);
    size_t cap = user.n + d->name.n + 8;
    NO_AUTO_INIT struct sip_uri u;
    struct sbuf b;
    bool is_anonymous;
    char *text;

    if (rest.p && !config_domain_find(r->cfg, rest))
        return ERR_NOTFOUND;
    if (claimed && r->claimed.domain == d && user.n && str_eq(claimed->user, user) &&
        gate_claimed_aor(r, ret, &is_anonymous) == 0 && ret->n)
        return 0; /* the user that it is from, as nearly always */
    text = arena_alloc(r->m->arena, cap);
    if (!text)
        return ERR_NOMEM;
    b = sbuf_make(text, cap);
    sbuf_lit(&b, "sip:");
    sbuf_str(&b, user);
    sbuf_char(&b, '@');
    sbuf_str(&b, d->name);
    return sip_uri_parse(sbuf_get(&b), &u) != 0 ? ERR_NOTFOUND : sip_uri_aor(r->m->arena, &u, ret);
}

static void wrong_password(struct edge_req *r, const struct digest_credentials *c, const char *code)
{
    char addr[ADDR_TEXT_MAX];

    edge_count(r->w, EC_AUTH_FAILED);
    guard_failed(r->w->guard, &r->rx.path.remote, c->username, net_steady_s(r->w->net));
    LOG(LOG_NOTICE, "login-failed", LZ("reason", code), LS("user", c->username), LS("realm", c->realm),
        LS("remote", addr_text(&r->rx.path.remote, addr)), LS("method", r->m->method_text));
}

/* Is the answer right? 0, or a negative code with *ret_stale. The account may be NULL: the arithmetic is done all the same, so that
 * time does not tell which users there are. */
static int verify(struct edge_req *r, const struct config_domain *d, const struct digest_credentials *c,
                  const struct account *acc, bool *ret_stale, uint64_t *ret_issued_s, char rspauth[2 * DIGEST_BYTES_MAX + 1])
{
    static const struct digest_ha1 nobody = {.algo = DIGEST_SHA256, .n = 32};
    const struct digest_ha1 *ha1 = acc && acc->ha1[c->algo].n ? &acc->ha1[c->algo] : &nobody;
    struct digest_nonce_info info;
    struct digest_ha1 dummy;
    struct reason why = {0};
    struct binding binding;
    int err;

    rspauth[0] = 0;
    *ret_stale = false;
    *ret_issued_s = 0;
    err = digest_nonce_check(&r->w->edge->keys.nonce, net_steady_s(r->w->net), d->nonce_lifetime_s, d->realm,
                             nonce_binding(r, &binding), c->nonce, &info, &why);
    if (err != 0) {
        *ret_stale = true; /* too old, or made for another flow: the same answer to a new nonce will do */
        return err;
    }
    *ret_issued_s = info.issued_s;
    digest_replay_warm(r->w->replay, &info);
    if (ha1 == &nobody) {
        dummy = nobody;
        dummy.algo = c->algo;
        dummy.n = c->algo == DIGEST_MD5 ? 16 : 32;
        ha1 = &dummy;
    }
    err = digest_check_rspauth(c, ha1, r->m->method_text, r->m->body, r->for_us ? rspauth : NULL, &why);
    if (err != 0 || ha1 == &dummy || (c->algo == DIGEST_MD5 && !(acc->allow_md5 && d->allow_md5)))
        return ERR_REFUSED;
    err = digest_replay_check(r->w->replay, &info, c->nc);
    if (err != 0) {
        edge_count(r->w, EC_AUTH_REPLAY);
        *ret_stale = true;
    }
    return err;
}

/* The answer is refused for what it is, whoever gives it; no attempt at a password is made. */
static int check_form(struct edge_req *r, const struct digest_credentials *c)
{
    if (c->userhash) /* never offered: names of users are no secret to their own registrar */
        return gate_refuse(r, "digest-userhash", "RFC 7616 3.4.4", 400, "the challenge offers no userhash");
    if (!uri_matches(r, c->uri))
        return gate_refuse(r, "digest-uri", "RFC 3261 22.4", 400, "the digest answer is for another URI");
    return 0;
}

/* The account that says to ask, as far as can be told before it answers: From's, or To's for REGISTER; of a caller that hides its
 * name, the user of its Contact. It decides about nothing but the algorithm that is asked for. */
static bool asks_md5(struct edge_req *r, const struct config_domain *d)
{
    bool is_claimed = r->m->method != SIP_REGISTER || r->for_us, is_anonymous;
    const struct sip_hdr *h = sip_msg_hdr(r->m, SIP_H_CONTACT, 0);
    const struct sip_uri *claimed = is_claimed ? gate_claimed(r) : NULL;
    struct sip_addr a = r->m->method == SIP_REGISTER ? r->m->to : r->m->from;
    NO_AUTO_INIT struct sip_uri u;
    struct str aor;

    if (!d->allow_md5)
        return false;
    if (claimed && r->claimed.domain == d && gate_claimed_aor(r, &aor, &is_anonymous) == 0 && aor.n)
        return account_allows_md5(r->w->edge->loc, aor);
    if (sip_uri_parse(a.uri, &u) != 0)
        return false;
    if (login_is_anonymous(&u) && (!h || sip_addr_parse(h->value, &a) != 0 || sip_uri_parse(a.uri, &u) != 0))
        return false;
    u.host = d->name;
    return sip_uri_aor(r->m->arena, &u, &aor) == 0 && account_allows_md5(r->w->edge->loc, aor);
}

/* RFC 7616 3.5: in a 2xx of ours we show that we know the password as well, and past half of its time hand out the next nonce. Our own
 * answers to these methods have no body. Without memory the client does without. */
static void note_info(struct edge_req *r, const struct config_domain *d, const struct digest_credentials *c, const char *rspauth,
                      uint64_t issued_s)
{
    struct digest_info info = {.qop = c->qop, .cnonce = c->cnonce, .nc_text = c->nc_text, .rspauth = str_z(rspauth)};
    char nonce[DIGEST_NONCE_TEXT_MAX];
    struct binding binding;
    uint64_t now_s = net_steady_s(r->w->net);
    size_t cap = info.rspauth.n + sizeof nonce + 2 * c->cnonce.n + 96;
    struct sbuf b;
    char *text;

    if (!info.rspauth.n || (text = arena_alloc(r->m->arena, cap)) == NULL)
        return;
    if (now_s > issued_s + d->nonce_lifetime_s / 2 &&
        digest_nonce_make(&r->w->edge->keys.nonce, now_s, rand_u64(&r->w->net->rand), d->realm, nonce_binding(r, &binding), nonce) == 0)
        info.nextnonce = str_z(nonce);
    b = sbuf_make(text, cap);
    digest_info_build(&b, &info);
    if (!b.overflow)
        r->auth_info = sbuf_get(&b);
}

int login_user(struct edge_req *r, const struct config_domain *d, bool md5)
{
    struct digest_credentials c = {0};
    NO_AUTO_INIT struct account acc;
    char rspauth[2 * DIGEST_BYTES_MAX + 1];
    struct str aor = STR_NULL;
    bool known, stale;
    uint64_t issued_s;
    unsigned wait;
    int err;

    if (!r->hop_secure && !d->allow_clear_digest)
        return gate_refuse(r, "clear-digest", "TR/100 7.2.3", 403,
                           "register and call over TLS; this domain has no allow-clear-digest");
    warm_account(r);
    if (!find_credentials(r, d->realm, &c))
        return challenge(r, d, !md5 ? ASK_AS_FROM : d->allow_md5 ? ASK_MD5 : ASK_STRONG, false);
    warm_account(r);
    if ((err = check_form(r, &c)) != 0)
        return err;
    wait = guard_wait_s(r->w->guard, &r->rx.path.remote, c.username, net_steady_s(r->w->net));
    if (wait) {
        edge_count(r->w, EC_GUESSES_SLOWED);
        r->retry_after_s = wait;
        return gate_refuse(r, "too-many-guesses", "TR/100 6.2", 503, "too many wrong passwords from this address");
    }
    known = aor_of_username(r, d, c.username, &aor) == 0;
    if (known && (d->allow_flow_auth || (r->rx.path.flow && r->m->method == SIP_REGISTER))) /* before it is looked at: a change in between makes it another one's */
        r->account_version = account_version(r->w->edge->loc, aor);
    known = known && account_find(r->w->edge->loc, aor, &acc) == 0 &&
            str_eq(str_z(acc.username), c.username);
    err = verify(r, d, &c, known ? &acc : NULL, &stale, &issued_s, rspauth);
    if (err == 0 && r->for_us)
        note_info(r, d, &c, rspauth, issued_s);
    md5 = known && acc.allow_md5 && d->allow_md5;
    account_done(&acc);
    if (err != 0 && stale && issued_s && proxy_is_under_way(r)) /* a fork behind its sender, no replay: another nonce is of no use */
        return gate_refuse(r, "merged-request", "RFC 3261 8.2.2.2", 482, "the same request is under way by another branch");
    if (err != 0) {
        if (!stale)
            wrong_password(r, &c, "wrong-response");
        return challenge(r, d, md5 ? ASK_MD5 : ASK_STRONG, stale);
    }
    guard_succeeded(r->w->guard, &r->rx.path.remote, c.username);
    edge_count(r->w, EC_AUTH_OK);
    r->who = (struct principal){.kind = PRINCIPAL_USER, .how = AUTH_DIGEST, .name = aor, .algo = c.algo, .peer = subscriber_of(r->cfg, aor)};
    return 0;
}

/* RFC 3261 22.1: an ACK has the credentials of its INVITE. They are counted already and for another URI; what they prove here is who was
 * asked along this flow, or at this source. Of an answer with auth-int nothing can be told without the INVITE's body. */
bool login_ack(struct edge_req *r, const struct config_domain *d, uint64_t who)
{
    struct principal p = {.kind = PRINCIPAL_USER};
    struct digest_credentials c = {0};
    struct digest_nonce_info info;
    struct account acc = {0};
    struct reason why = {0};
    struct binding binding;
    uint64_t now_s = net_steady_s(r->w->net);
    bool is_ok;

    if (!find_credentials(r, d->realm, &c) || guard_wait_s(r->w->guard, &r->rx.path.remote, c.username, now_s) ||
        aor_of_username(r, d, c.username, &p.name) != 0 || principal_id(&p) != who ||
        digest_nonce_check(&r->w->edge->keys.nonce, now_s, d->nonce_lifetime_s, d->realm, nonce_binding(r, &binding), c.nonce, &info,
                           &why) != 0 ||
        account_find(r->w->edge->loc, p.name, &acc) != 0)
        return false;
    is_ok = acc.ha1[c.algo].n && (c.algo != DIGEST_MD5 || (acc.allow_md5 && d->allow_md5)) && str_eq(str_z(acc.username), c.username) &&
            digest_check(&c, &acc.ha1[c.algo], STR("INVITE"), STR(""), &why) == 0;
    account_done(&acc);
    if (!is_ok)
        wrong_password(r, &c, "wrong-response");
    return is_ok;
}

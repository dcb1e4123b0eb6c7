/* One request's way through the edge: the checks of RFC 3261 16.3 (with RFC 5393 4 and RFC 5630 5.3), what in it names us (16.4),
 * who sent it (gate.c), and then to the registrar, to ourselves, or on to the proxy.
 * Everything made here lives in the message's arena. Worker thread. */
#include "base/log.h"
#include "edge/admit/asserted.h"
#include "edge/edge_priv.h"
#include "edge/peers/limits.h"
#include "edge/request_priv.h"

/* ---- answers ---- */

void edge_reply(struct edge_req *r, unsigned status)
{
    struct sip_response resp = {.status = status};
    int err;

    if (!r->tx)
        return;
    if ((err = sip_stx_reply(r->tx, &resp)) != 0) {
        LOG(LOG_WARN, "reply-failed", LU("status", status), LZ("error", err_text(err)));
        if (!sip_stx_is_final(r->tx))
            sip_stx_drop(r->tx);
    }
}

struct str edge_stateless_tag(const struct edge_req *r)
{
    char *text = arena_alloc(r->m->arena, 17);
    uint64_t h = str_hash(r->m->call_id) ^ (str_hash(r->m->from_tag) << 1) ^ (str_hash(r->m->via.branch) << 2);

    if (!text)
        return STR("sallyport");
    str_hex(text, &h, sizeof h);
    return str_z(text);
}

void edge_warning(struct sbuf *b, unsigned warn_code, const char *code, const char *clause)
{
    sbuf_fmt(b, "%u sallyport \"%s", warn_code, code);
    if (clause)
        sbuf_fmt(b, " (%s)", clause);
    sbuf_char(b, '"');
}

unsigned edge_warn_code(const char *code)
{
    return strcmp(code, "sips-not-allowed") == 0 ? 380 : strcmp(code, "sips-required") == 0 ? 381 : 399;
}

unsigned edge_retry_after(const struct edge_req *r)
{
    return r->retry_after_s ? r->retry_after_s : r->w->cfg->overload_retry_s ? r->w->cfg->overload_retry_s : 5;
}

static void answer_refused(struct edge_req *r, const struct reason *why)
{
    struct edge_worker *w = r->w;
    char warning[REASON_DETAIL_MAX + 96], retry[16];
    struct sbuf b = sbuf_make(warning, sizeof warning), rb = sbuf_make(retry, sizeof retry);
    unsigned status = why->sip_status ? why->sip_status : 500;
    struct sip_response resp = {.status = status};

    if (!r->tx)
        return;
    /* Warning 399 carries the reason to whoever reads the trace (RFC 3261 20.43); 380 and 381 are RFC 5630's own. */
    edge_warning(&b, edge_warn_code(why->code), why->code, why->clause);
    resp.extra[resp.n_extra].name = STR("Warning");
    resp.extra[resp.n_extra++].value = sbuf_get(&b);
    if (status == 420 && why->detail[0]) {
        resp.extra[resp.n_extra].name = STR("Unsupported");
        resp.extra[resp.n_extra++].value = str_z(why->detail);
    }
    if (status == 503) {
        sbuf_u64(&rb, edge_retry_after(r));
        resp.extra[resp.n_extra].name = STR("Retry-After");
        resp.extra[resp.n_extra++].value = sbuf_get(&rb);
    }
    edge_count(w, EC_BAD_REQUESTS);
    if (sip_stx_reply(r->tx, &resp) != 0 && !sip_stx_is_final(r->tx))
        sip_stx_drop(r->tx);
}

void edge_refuse(struct edge_req *r, const struct reason *why)
{
    unsigned status = why->sip_status ? why->sip_status : 500;
    char addr[ADDR_TEXT_MAX];

    LOG(status == 403 || status == 400 ? LOG_NOTICE : LOG_INFO, "refused", LU("status", status),
        LZ("reason", why->code), LZ("clause", why->clause), LZ("detail", why->detail), LS("method", r->m->method_text),
        LS("remote", addr_text(&r->rx.path.remote, addr)), LS("call", r->m->call_id));
    answer_refused(r, why);
}

/* ---- what names us ---- */

/* What a listener advertises, "host" or "host:port", IPv6 in brackets; port 0: its own. */
static struct str advertised(const struct config_listen *l, uint16_t *ret_port)
{
    struct str host = l->advertise, rest;
    uint32_t port = 0;

    *ret_port = addr_port(&l->addr);
    if (!host.n)
        return host;
    if (host.p[0] == '[') {
        rest = str_cut(str_make(host.p + 1, host.n - 1), ']', &host);
        if (rest.n)
            rest = str_make(rest.p + 1, rest.n - 1); /* the colon */
    } else {
        rest = str_cut(host, ':', &host);
    }
    if (str_to_u32(rest, UINT16_MAX, &port) == 0 && port)
        *ret_port = (uint16_t)port;
    return host;
}

/* Is host:port one of our listeners or what they advertise? Port 0 means any of them. `local`: where a message came in, which tells
 * the addresses of a listener that has all; may be NULL. */
static bool names_listener(const struct config *cfg, struct str host, uint16_t port, const struct addr *local)
{
    struct addr a;
    bool is_literal = addr_parse(&a, host, port) == 0;
    size_t i;

    for (i = 0; i < cfg->n_listens; i++) {
        const struct config_listen *l = &cfg->listens[i];
        uint16_t adv_port;
        struct str name = advertised(l, &adv_port);

        if (name.n && str_eq_nocase(name, host) && (!port || port == adv_port))
            return true;
        if (!is_literal || (port && port != addr_port(&l->addr)))
            continue;
        if (addr_eq_host(&a, &l->addr))
            return true;
        if (addr_is_any(&l->addr) && (addr_is_loopback(&a) || (local && addr_eq_host(&a, local))))
            return true;
    }
    return false;
}

/* The name of a domain stands for whichever of our listeners its port is of. */
static bool names_domain(const struct config *cfg, struct str host, uint16_t port)
{
    uint16_t adv_port;
    size_t i;

    if (!config_domain_find(cfg, host))
        return false;
    for (i = 0; port && i < cfg->n_listens; i++) {
        (void)advertised(&cfg->listens[i], &adv_port);
        if (port == addr_port(&cfg->listens[i].addr) || port == adv_port)
            return true;
    }
    return !port;
}

bool request_uri_is_ours(const struct config *cfg, const struct sip_uri *u, const struct addr *local)
{
    if (u->scheme != SIP_SCHEME_SIP && u->scheme != SIP_SCHEME_SIPS)
        return false;
    return names_listener(cfg, u->host, u->port, local) || names_domain(cfg, u->host, u->port);
}

const struct config_domain *request_domain(const struct config *cfg, const struct sip_uri *u, const struct addr *local)
{
    const struct config_domain *d;

    if (u->scheme == SIP_SCHEME_TEL)
        return cfg->n_domains ? &cfg->domains[0] : NULL; /* numbers are the first domain's to resolve */
    if (u->scheme != SIP_SCHEME_SIP && u->scheme != SIP_SCHEME_SIPS)
        return NULL;
    d = config_domain_find(cfg, u->host);
    if (!d && names_listener(cfg, u->host, u->port, local) && cfg->n_domains)
        d = &cfg->domains[0];
    return d;
}

/* The token in the user part of a URI that we put into a message ourselves; the first one counts. False: none that is ours, for this
 * call. */
static bool open_token(struct edge_req *r, const struct sip_uri *u)
{
    struct dialog_token t;

    if (token_dialog_open(&r->w->edge->keys, u->user, r->m->call_id, &t) == 0) {
        if (!r->has_token)
            r->token = t;
        r->has_token = true;
        return true;
    }
    if (token_flow_open(&r->w->edge->keys, u->user, &r->flow_side) != 0)
        return false;
    r->has_flow_path = true;
    return true;
}

/* A Route value (or request-URI) that names us. */
static void open_own_route(struct edge_req *r, const struct sip_uri *u)
{
    if (!u->user.n || r->has_token || open_token(r, u))
        return;
    edge_count(r->w, EC_TOKENS_FORGED);
    r->bad_token = true;
}

/* One that names us by what was ours when the dialog was made: a reload has taken that listener, the seal is still good. */
static bool was_ours(struct edge_req *r, const struct sip_uri *u)
{
    return u->user.n && u->lr && (u->scheme == SIP_SCHEME_SIP || u->scheme == SIP_SCHEME_SIPS) && open_token(r, u);
}

/* How many Route values there are, and the URIs of the first and the last of them. ERR_SYNTAX. */
static int count_routes(struct edge_req *r, struct str *ret_first_uri, struct str *ret_last_uri)
{
    struct sip_values it = sip_values_start(r->m, SIP_H_ROUTE);
    struct sip_addr a;

    *ret_first_uri = *ret_last_uri = STR_NULL;
    for (r->n_routes = 0; sip_values_next(&it); r->n_routes++) {
        if (sip_addr_parse(it.value, &a) != 0)
            return ERR_SYNTAX;
        if (!r->n_routes)
            *ret_first_uri = a.uri;
        *ret_last_uri = a.uri;
    }
    return it.bad ? ERR_SYNTAX : 0;
}

/* A strict router put our Record-Route value into the request-URI: the last Route value is what it was before. */
static int undo_strict_routing(struct edge_req *r, struct str last_uri)
{
    if (!r->ruri.has_user || !r->ruri.lr || !r->n_routes || !request_uri_is_ours(r->cfg, &r->ruri, &r->rx.path.local))
        return 0;
    open_own_route(r, &r->ruri);
    r->uri = last_uri;
    r->strict_route = true;
    return sip_uri_parse(r->uri, &r->ruri);
}

/* A maddr that names us has brought the request here and has done its work. */
static int strip_maddr(struct edge_req *r)
{
    struct str rest = r->ruri.params, name, value;
    struct sbuf b;
    char *text;

    if (!r->ruri.maddr.n || (!names_listener(r->cfg, r->ruri.maddr, r->ruri.port, &r->rx.path.local) &&
                             !config_domain_find(r->cfg, r->ruri.maddr)))
        return 0;
    text = arena_alloc(r->m->arena, r->uri.n + 1);
    if (!text)
        return ERR_NOMEM;
    b = sbuf_make(text, r->uri.n + 1);
    sbuf_fmt(&b, "%.*s:%.*s", STR_FMT(r->ruri.scheme_text), STR_FMT(r->ruri.user));
    if (r->ruri.has_user)
        sbuf_char(&b, '@');
    sbuf_fmt(&b, r->ruri.host_is_v6 ? "[%.*s]" : "%.*s", STR_FMT(r->ruri.host));
    while (sip_param_next(&rest, &name, &value)) {
        if (str_eq_nocase(name, STR("maddr")) || str_eq_nocase(name, STR("transport")))
            continue;
        sbuf_fmt(&b, value.p ? ";%.*s=%.*s" : ";%.*s", STR_FMT(name), STR_FMT(value));
    }
    r->uri = sbuf_get(&b);
    return b.overflow ? ERR_LIMIT : sip_uri_parse(r->uri, &r->ruri);
}

/* RFC 3261 16.4: what a strict router upstream did, a maddr of ours, then every leading Route value that names us. */
static int preprocess_routes(struct edge_req *r, struct reason *why)
{
    struct sip_values it = sip_values_start(r->m, SIP_H_ROUTE);
    struct str first_uri, last_uri;
    struct sip_addr a;
    struct sip_uri u;
    unsigned i, n;

    if (count_routes(r, &first_uri, &last_uri) != 0 || undo_strict_routing(r, last_uri) != 0 || strip_maddr(r) != 0)
        goto bad;
    n = r->n_routes - (r->strict_route ? 1 : 0);
    for (i = 0; i < n && sip_values_next(&it); i++) {
        if ((i && sip_addr_parse(it.value, &a) != 0) || sip_uri_parse(i ? a.uri : first_uri, &u) != 0)
            goto bad;
        if (r->routes_used == i)
            r->sips_route |= u.scheme == SIP_SCHEME_SIPS; /* those that name us, and the next hop's */
        if (r->routes_used == i && request_uri_is_ours(r->cfg, &u, &r->rx.path.local)) {
            r->routes_used++;
            open_own_route(r, &u);
        } else if (r->routes_used == i && was_ours(r, &u)) {
            r->routes_used++;
        } else if (!r->next_route.n) {
            r->next_route = it.value;
            r->next_is_sips = u.scheme == SIP_SCHEME_SIPS;
        }
    }
    return 0;
bad:
    reason_set(why, "bad-route", "RFC 3261 16.4", 400, NULL);
    return ERR_REFUSED;
}

/* RFC 3261 25.1, qvalue */
int request_q(struct str s, unsigned *ret)
{
    unsigned v = 0, digits = 0;
    size_t i;

    *ret = 1000;
    if (!s.n)
        return 0;
    if (s.p[0] != '0' && s.p[0] != '1')
        return ERR_SYNTAX;
    if (s.n == 1) {
        *ret = s.p[0] == '1' ? 1000 : 0;
        return 0;
    }
    if (s.p[1] != '.' || s.n > 5)
        return ERR_SYNTAX;
    for (i = 2; i < s.n; i++, digits++) {
        if (s.p[i] < '0' || s.p[i] > '9')
            return ERR_SYNTAX;
        v = v * 10 + (unsigned)(s.p[i] - '0');
    }
    for (; digits < 3; digits++)
        v *= 10;
    if (s.p[0] == '1' && v)
        return ERR_SYNTAX;
    *ret = s.p[0] == '1' ? 1000 : v;
    return 0;
}

/* ---- checks ---- */

static bool is_for_us(const struct edge_req *r)
{
    if (r->to_us)
        return true;
    if (r->next_route.n || r->has_token || r->has_flow_path || !r->domain)
        return false;
    if (r->ruri.scheme == SIP_SCHEME_TEL || (r->to_psap && r->m->method != SIP_REGISTER))
        return false;
    return r->m->method == SIP_REGISTER || !r->ruri.user.n;
}

/* Everything that routing looks at, and nothing that the method changes (RFC 5393 4.2.1). */
uint64_t request_loop_hash(struct edge_req *r)
{
    uint64_t h, v;
    int16_t i;

    if (r->loop_hash)
        return r->loop_hash;
    h = str_hash(r->m->ruri);
    for (i = r->m->first[SIP_H_ROUTE]; i >= 0; i = r->m->hdrs[i].next)
        h = h * 0x9e3779b97f4a7c15u + str_hash(r->m->hdrs[i].value);
    v = str_hash(r->m->from.uri) ^ (str_hash(r->m->call_id) << 1) ^ (str_hash(r->m->from_tag) << 2) ^
        (str_hash(r->m->to_tag) << 3) ^ ((uint64_t)r->m->cseq << 7);
    h = h * 0x9e3779b97f4a7c15u + v;
    r->loop_hash = h ? h : 1;
    return r->loop_hash;
}

/* Only a Via that we wrote carries the hash, and the topmost one is parsed already. */
static bool is_looping(struct edge_req *r, struct str value, bool is_first)
{
    struct sip_via via;

    uint64_t hash = 0;

    if (is_first)
        hash = sip_branch_loop_hash(r->m->via.branch);
    else if (sip_branch_may_be_in(value) && sip_via_parse(value, &via) == 0)
        hash = sip_branch_loop_hash(via.branch);
    return hash && hash == request_loop_hash(r);
}

static int check_loop(struct edge_req *r, struct reason *why)
{
    struct sip_values it = sip_values_start(r->m, SIP_H_VIA);
    unsigned n = 0;

    while (sip_values_next(&it)) {
        if (++n > LIMIT_VIAS) {
            reason_set(why, "too-many-hops", "RFC 3261 16.3", 483, "more than %u Via", LIMIT_VIAS);
            return ERR_REFUSED;
        }
        if (is_looping(r, it.value, n == 1)) {
            edge_count(r->w, EC_LOOPS);
            reason_set(why, "loop", "RFC 5393 4.2.2", 482, NULL);
            return ERR_REFUSED;
        }
    }
    return 0;
}

/* A transport that we do not speak at all: SIP over DTLS, SCTP (out of scope). Where it is only how the request came to us, as it may
 * be with our own domains, it does not matter. */
static int check_transport(struct edge_req *r, struct reason *why)
{
    enum transport t;

    if (r->domain || r->next_route.n || !r->ruri.transport.n || transport_parse(&t, r->ruri.transport) == 0)
        return 0;
    reason_set(why, "transport-unsupported", "RFC 3261 18", 501, "%.*s is not spoken here", STR_FMT(r->ruri.transport));
    return ERR_REFUSED;
}

static int check_max_forwards(struct edge_req *r, struct reason *why)
{
    if (r->m->max_forwards != 0)
        return 0;
    if (r->m->method == SIP_OPTIONS) {
        r->to_us = true; /* 16.3 step 3: whoever it was for, it ends here, and OPTIONS may be answered */
        return 0;
    }
    reason_set(why, "max-forwards", "RFC 3261 16.3", 483, NULL);
    return ERR_REFUSED;
}

/* RFC 3261 16.3 step 5: the extensions that a proxy must know. We know those that need nothing of us, and outbound; of the others all
 * are listed. */
static int check_proxy_require(struct edge_req *r, struct reason *why)
{
    struct sip_values it = sip_values_start(r->m, SIP_H_PROXY_REQUIRE);
    char unknown[REASON_DETAIL_MAX];
    struct sbuf b = sbuf_make(unknown, sizeof unknown);

    while (sip_values_next(&it))
        if (!str_eq_nocase(it.value, STR("outbound")) && !str_eq_nocase(it.value, STR("path")) &&
            !str_eq_nocase(it.value, STR("gin"))) /* RFC 6140 5.1: path is what it needs of proxies */
            sbuf_fmt(&b, b.n ? ", %.*s" : "%.*s", STR_FMT(it.value));
    if (!b.n)
        return 0;
    reason_set(why, "proxy-require", "RFC 3261 16.3", 420, "%.*s", (int)b.n, unknown);
    return ERR_REFUSED;
}

/* For the emergency service: its URN (RFC 5031), or what the configuration says means it. */
bool request_is_for_psap(const struct config *cfg, const struct sip_uri *u, bool is_ours)
{
    struct str dialled;
    size_t i;

    (void)str_cut(u->user, ';', &dialled); /* "112;phone-context=+49" (RFC 3261 19.1.6) */
    if (u->scheme == SIP_SCHEME_URN && str_starts_nocase(u->user, STR("service:sos")))
        return u->user.n == 11 || u->user.p[11] == '.';
    for (i = 0; i < cfg->emergency.urns.n; i++) {
        struct str e = cfg->emergency.urns.v[i];

        if (str_eq_nocase(e, u->whole) || (is_ours && u->has_user && str_eq(e, dialled)) ||
            (u->scheme == SIP_SCHEME_TEL && str_eq(e, u->user)))
            return true;
    }
    return false;
}

/* Calls and messages for help are stopped by nothing (RFC 6881 ED-58), nor is what follows in their dialogs; other methods to the same
 * address help nobody in need and are asked who they are. */
static void find_emergency(struct edge_req *r)
{
    r->to_psap = request_is_for_psap(r->cfg, &r->ruri, r->domain != NULL);
    if (r->has_token && sip_msg_in_dialog(r->m))
        r->emergency = r->token.emergency;
    else
        r->emergency = r->to_psap && (r->m->method == SIP_INVITE || r->m->method == SIP_MESSAGE || r->m->method == SIP_ACK);
}

static bool refreshes_target(enum sip_method m)
{
    return m == SIP_INVITE || m == SIP_SUBSCRIBE || m == SIP_REFER || m == SIP_UPDATE;
}

/* RFC 5630: a sips request, or one along a sips route, comes over TLS and has a sips Contact where it makes or refreshes a dialog
 * (RFC 3261 8.1.1.8, RFC 5630 5.1.1, 5.3). A peer of RFC 3261's time may be excused (3.1.3, allow-last-hop-exception). */
static int check_sips(struct edge_req *r, struct reason *why)
{
    struct sip_values it;
    struct sip_addr a;
    enum principal_how how;
    const struct config_peer *p;

    if (r->ruri.scheme != SIP_SCHEME_SIPS && !r->sips_route)
        return 0;
    p = gate_peer(r, &how);
    if (p && p->allow_last_hop_exception)
        return 0;
    if (!r->hop_secure) {
        reason_set(why, "sips-over-clear", "RFC 5630 5.3", 403, "a sips request came over %s",
                   transport_text(r->rx.path.transport).p);
        return ERR_REFUSED;
    }
    if (!refreshes_target(r->m->method) || (r->ruri.scheme != SIP_SCHEME_SIPS && !r->next_is_sips))
        return 0;
    for (it = sip_values_start(r->m, SIP_H_CONTACT); sip_values_next(&it);) {
        if (sip_addr_parse(it.value, &a) != 0 || a.star || str_starts_nocase(a.uri, STR("sips:")))
            continue;
        reason_set(why, "sips-contact", "RFC 5630 5.3", 400, "request-URI is sips, Contact is not");
        return ERR_REFUSED;
    }
    return 0;
}

static int check_request(struct edge_req *r, struct reason *why)
{
    int err;

    if (r->m->defect.sip_status) {
        *why = r->m->defect;
        return ERR_REFUSED;
    }
    r->ruri = r->m->uri;
    r->uri = r->m->ruri;
    if (r->ruri.scheme == SIP_SCHEME_OTHER) {
        reason_set(why, "uri-scheme", "RFC 3261 16.3", 416, "%.*s", STR_FMT(r->ruri.scheme_text));
        return ERR_REFUSED;
    }
    if ((err = preprocess_routes(r, why)) != 0)
        return err;
    r->domain = request_domain(r->cfg, &r->ruri, &r->rx.path.local);
    find_emergency(r);
    r->for_us = is_for_us(r);
    if (!r->for_us && ((err = check_transport(r, why)) != 0 || (err = check_max_forwards(r, why)) != 0))
        return err;
    if ((err = check_loop(r, why)) != 0 || (!r->emergency && (err = check_proxy_require(r, why)) != 0))
        return err;
    if (r->bad_token && !r->emergency) {
        reason_set(why, "token-forged", "RFC 5626 5.3", 403, "Route carries a token that is not ours for this call");
        return ERR_REFUSED;
    }
    return r->emergency ? 0 : check_sips(r, why);
}

/* ---- entry ---- */

static void fill_req(struct edge_req *r, struct edge_worker *w, struct sip_msg *m, const struct rx *rx)
{
    r->w = w;
    r->snap = w->snap;
    r->cfg = w->cfg;
    r->m = m;
    r->rx = *rx;
    r->hop_secure = rx->hop->secure;
    r->hop_peer_verified = rx->hop->peer_verified;
    r->handed = w->vouch;
}

/* Which side of its dialog sends this? Only the token's memory of the caller's tag tells (RFC 3261 12.2.1.1). */
static void find_direction(struct edge_req *r)
{
    if (r->has_token && sip_msg_in_dialog(r->m))
        r->from_caller = (uint32_t)str_hash(r->m->from_tag) == r->token.caller_tag;
}

/* Whoever has a dialog through us has our token in its route set (RFC 3261 12.2.1.1). Without one a To tag proves nothing, and would
 * spare its sender whatever is asked of who begins something: a signature, lists of callers, the least status, max-calls. BYE begins
 * nothing, and comes so from simple systems that know no route sets. */
static bool is_of_no_dialog(const struct edge_req *r)
{
    return sip_msg_in_dialog(r->m) && r->m->method != SIP_BYE && !r->has_token && !r->emergency;
}

/* It begins a call where there is none, in a dialog that has begun as something else: nothing would be asked of it as above, and what
 * follows could not be told to be a call's, since the route set with our token stays as it is (RFC 3261 12.2). 603 is what leaves the
 * dialog alone (RFC 5057 5.6). */
static bool is_call_in_other_dialog(const struct edge_req *r)
{
    return r->m->method == SIP_INVITE && sip_msg_in_dialog(r->m) && r->has_token && r->token.is_no_call;
}

static void request_route(struct edge_req *r)
{
    struct edge_targets *targets = arena_zalloc(r->m->arena, sizeof *targets);
    struct reason why = {0};

    if (is_of_no_dialog(r)) {
        reason_set(&why, "dialog-unknown", "RFC 3261 12.2.2", 481, "a To tag, and no Route of a dialog of ours");
        edge_refuse(r, &why);
        return;
    }
    if (is_call_in_other_dialog(r)) {
        reason_set(&why, "call-in-other-dialog", "RFC 5057 5.6", 603, "a call begins with an INVITE outside of any dialog");
        edge_refuse(r, &why);
        return;
    }
    if (!targets) {
        edge_reply(r, 500);
        return;
    }
    if (route_targets(r, targets, &why) != 0 || asserted_check_privacy(r, targets, &why) != 0 || calls_admit(r, targets, &why) != 0) {
        proxy_cannot(r, &why);
        return;
    }
    proxy_forward(r, targets);
}

/* More than a peer's max-requests are refused before anything else is done for them, and without a line each. What belongs to a dialog of
 * ours, ends a call, or asks for help passes and counts for nothing; ACK and CANCEL do not come this way. */
static bool is_too_many(struct edge_req *r)
{
    const struct config_peer *p = r->who.peer;
    struct reason why = {0};

    if (!p || !p->max_requests || r->emergency || r->m->method == SIP_BYE || (r->has_token && sip_msg_in_dialog(r->m)) ||
        peer_requests_take(r->w->edge, p, net_now_us(r->w->net)))
        return false;
    reason_set(&why, "peer-too-many-requests", "TR/100 6.2", 503, "max-requests of this peer is %u a second", p->max_requests);
    r->retry_after_s = 1; /* by then there is room again */
    answer_refused(r, &why);
    return true;
}

/* Nothing stopped it, so it must be seen afterwards who sent it and how (RFC 6881 SP-31). */
static void log_emergency(const struct edge_req *r)
{
    char addr[ADDR_TEXT_MAX];

    LOG(LOG_NOTICE, "emergency", LS("method", r->m->method_text), LS("call", r->m->call_id), LS("from", r->m->from.uri),
        LS("to", r->uri), LS("remote", addr_text(&r->rx.path.remote, addr)),
        LS("transport", transport_text(r->rx.path.transport)), LS("known", r->who.name));
}

void request_receive(struct edge_worker *w, struct sip_stx *tx, struct sip_stx *invite, struct sip_msg *m,
                     const struct rx *rx)
{
    struct edge_req *r;
    struct reason why = {0};

    if (m->method == SIP_CANCEL) {
        if (invite)
            proxy_cancel(w, invite, m);
        return;
    }
    r = arena_zalloc(m->arena, sizeof *r);
    if (!r) {
        struct edge_req tmp = {.w = w, .m = m, .tx = tx};

        edge_reply(&tmp, 500);
        return;
    }
    fill_req(r, w, m, rx);
    r->tx = tx;
    if (check_request(r, &why) != 0) {
        edge_refuse(r, &why);
        return;
    }
    find_direction(r);
    if (r->emergency)
        edge_count(w, EC_EMERGENCY);
    if (gate_admit(r) != 0)
        return; /* answered */
    if (r->emergency)
        log_emergency(r);
    if (r->who.kind == PRINCIPAL_PEER && r->rx.path.flow)
        flow_note_peer(r);
    if (is_too_many(r))
        return;
    if (r->for_us) {
        if (m->method == SIP_REGISTER)
            registrar_handle(r);
        else
            own_handle(r);
        return;
    }
    request_route(r);
}

/* ACK to a 2xx: no transaction, no answer, no challenge (RFC 3261 13.2.2.4, 22.1); passes only inside a dialog that is ours. */
void request_ack(struct edge_worker *w, struct sip_msg *m, const struct rx *rx)
{
    struct edge_targets *targets;
    struct edge_req *r = arena_zalloc(m->arena, sizeof *r);
    struct reason why = {0};

    if (!r)
        return;
    fill_req(r, w, m, rx);
    if (check_request(r, &why) != 0) {
        LOG(LOG_DEBUG, "ack-dropped", LZ("reason", why.code));
        edge_count(w, EC_BAD_REQUESTS);
        return;
    }
    find_direction(r);
    targets = arena_zalloc(m->arena, sizeof *targets);
    if (!targets || !gate_ack_ok(r) || route_targets(r, targets, &why) != 0 || targets->n == 0) {
        LOG(LOG_DEBUG, "ack-dropped", LZ("reason", why.code ? why.code : "not in a dialog of ours"));
        return;
    }
    proxy_ack(r, targets->v[0]);
}

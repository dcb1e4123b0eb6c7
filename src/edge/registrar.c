/* The registrar: RFC 3261 10.3, outbound (RFC 5626 6), GRUU (RFC 5627 5), Path (RFC 3327 5.3), Service-Route (RFC 3608), sips
 * contacts (RFC 5630 5.2). The gate has let in only the user whose address of record it is. Nothing is changed before everything has
 * been checked; then it is one call of the location service. Worker thread. */
#include "base/log.h"
#include "base/mem.h"
#include "edge/request_priv.h"
#include "edge/status/events.h"
#include "edge/peers/subscriber.h"
#include <time.h>

struct reg {
    struct edge_req *r;
    const struct config_domain *d;
    struct location_register lr;
    struct location_contact contacts[LIMIT_CONTACTS_AOR + LIMIT_FLOWS_CONTACT];
    bool uses_outbound, removes_only;
    bool has_gin;        /* one registration for all numbers (RFC 6140) */
    bool ignores_reg_id; /* a proxy in between does not support outbound (RFC 5626 6) */
    bool has_sips;       /* some Contact that is added is sips, */
    bool has_other;      /* some is not */
    unsigned n_added, n_flows;
};

static void refuse(struct reg *g, const char *code, const char *clause, unsigned status, const char *detail)
{
    struct reason why = {0};

    reason_set(&why, code, clause, status, "%s", detail);
    edge_count(g->r->w, EC_REGISTERS_REFUSED);
    edge_refuse(g->r, &why);
}

/* 423 tells the least that would do (10.3 step 7). */
static void refuse_brief(struct reg *g)
{
    char text[16];
    struct sbuf b = sbuf_make(text, sizeof text);
    struct sip_response resp = {.status = 423};

    sbuf_u64(&b, g->d->expires_min_s);
    resp.extra[0].name = STR("Min-Expires");
    resp.extra[0].value = sbuf_get(&b);
    resp.n_extra = 1;
    edge_count(g->r->w, EC_REGISTERS_REFUSED);
    g->r->w->responses_by_class[4]++;
    if (sip_stx_reply(g->r->tx, &resp) != 0 && !sip_stx_is_final(g->r->tx))
        sip_stx_drop(g->r->tx);
}

/* ---- reading ---- */

/* Header parameters that the location service does not keep by themselves, as they were written. */
static struct str other_params(struct arena *a, struct str params)
{
    static const struct str own[] = {{"expires", 7}, {"q", 1}, {"+sip.instance", 13}, {"reg-id", 6},
                                     {"pub-gruu", 8}, {"temp-gruu", 9}};
    char *text = arena_alloc(a, params.n + 1);
    struct str rest = params, name, value;
    struct sbuf b;
    size_t i;

    if (!text)
        return STR_NULL;
    b = sbuf_make(text, params.n + 1);
    while (sip_param_next(&rest, &name, &value)) {
        for (i = 0; i < ARRAY_LEN(own) && !str_eq_nocase(name, own[i]); i++)
            ;
        if (i < ARRAY_LEN(own))
            continue;
        sbuf_char(&b, ';');
        sbuf_str(&b, name);
        if (value.p && value.n) {
            bool quoted = value.p > params.p && value.p[-1] == '"';

            sbuf_str(&b, quoted ? STR("=\"") : STR("="));
            sbuf_str(&b, value);
            if (quoted)
                sbuf_char(&b, '"');
        }
    }
    return b.overflow ? STR_NULL : sbuf_get(&b);
}

/* What the registrar grants: the contact's own wish, else the Expires header, else the default; bounded above silently, below by 423. */
static int grant(struct reg *g, struct str params, uint32_t *ret)
{
    uint32_t s, header = 0;
    struct str text;
    int err = sip_msg_seconds(g->r->m, SIP_H_EXPIRES, &header);

    s = err == 0 ? header : g->d->expires_default_s;
    if (sip_param_find(params, STR("expires"), &text) && str_to_u32(text, UINT32_MAX, &s) != 0)
        s = g->d->expires_default_s; /* malformed counts as absent: 3600 in 10.3 step 7, our default here */
    if (s > g->d->expires_max_s)
        s = g->d->expires_max_s;
    *ret = s;
    return s != 0 && s < g->d->expires_min_s ? ERR_LIMIT : 0;
}

static int read_contact(struct reg *g, struct str value, struct location_contact *c)
{
    struct sip_uri *u = arena_alloc(g->r->m->arena, sizeof(*u));
    struct sip_addr a;
    struct str text;
    int err;

    if (!u)
        return ERR_NOMEM;
    if (sip_addr_parse(value, &a) != 0 || sip_uri_parse(a.uri, u) != 0)
        return ERR_SYNTAX;
    if (u->scheme != SIP_SCHEME_SIP && u->scheme != SIP_SCHEME_SIPS)
        return ERR_UNSUPPORTED;
    if (request_uri_is_ours(g->r->cfg, u, &g->r->rx.path.local))
        return ERR_REFUSED; /* a binding that points at us is a loop */
    if (sip_param_find(u->params, STR("bnc"), NULL) && (!g->has_gin || u->has_user || u->user_is_phone || sip_param_find(u->params, STR("user"), NULL)))
        return ERR_SYNTAX; /* RFC 6140 5.1 to 5.3 */
    *c = (struct location_contact){.uri = a.uri, .parsed = u};
    if (!sip_param_find(a.params, STR("q"), &text))
        text = STR_NULL;
    if (request_q(text, &c->q_milli) != 0)
        return ERR_SYNTAX;
    if ((err = grant(g, a.params, &c->expires_s)) != 0)
        return err;
    if (sip_param_find(a.params, STR("+sip.instance"), &text) && text.n > 2 && text.p[0] == '<' &&
        text.p[text.n - 1] == '>')
        c->instance = str_make(text.p + 1, text.n - 2);
    if (c->instance.n && !g->ignores_reg_id && sip_param_find(a.params, STR("reg-id"), &text) &&
        (str_to_u32(text, INT32_MAX, &c->reg_id) != 0 || c->reg_id == 0))
        return ERR_SYNTAX;
    c->params = other_params(g->r->m->arena, a.params);
    if (!c->params.p && a.params.n)
        return ERR_NOMEM;
    if (!c->expires_s)
        return 0;
    g->removes_only = false;
    g->n_added++;
    g->n_flows += c->reg_id != 0;
    if (u->scheme == SIP_SCHEME_SIPS)
        g->has_sips = true;
    else
        g->has_other = true;
    return 0;
}

static int read_contacts(struct reg *g)
{
    struct sip_values it = sip_values_start(g->r->m, SIP_H_CONTACT);
    uint32_t expires;
    int err;

    g->removes_only = true;
    while (sip_values_next(&it)) {
        if (str_eq(it.value, STR("*"))) {
            if (g->lr.n_contacts || sip_msg_seconds(g->r->m, SIP_H_EXPIRES, &expires) != 0 || expires != 0)
                return ERR_SYNTAX; /* 10.3 step 6 */
            g->lr.remove_all = true;
            continue;
        }
        if (g->lr.remove_all)
            return ERR_SYNTAX;
        if (g->lr.n_contacts == ARRAY_LEN(g->contacts))
            return ERR_EXISTS; /* told apart from 423 below */
        err = read_contact(g, it.value, &g->contacts[g->lr.n_contacts]);
        if (err != 0)
            return err;
        g->lr.n_contacts++;
    }
    g->lr.contacts = g->contacts;
    g->uses_outbound = g->n_flows && sip_msg_has_token(g->r->m, SIP_H_SUPPORTED, STR("outbound"));
    /* RFC 5626 6: a flow is registered by a request of its own. */
    return it.bad || (g->n_flows && g->n_added > 1) ? ERR_SYNTAX : 0;
}

/* All Path values as one list (RFC 3327 5.3). *ret_ob: one of them is of an edge proxy that supports outbound; *ret_sips: all are
 * sips. */
static int read_path(struct reg *g, bool *ret_ob, bool *ret_sips)
{
    struct sip_values it = sip_values_start(g->r->m, SIP_H_PATH);
    struct sip_addr a;
    struct sip_uri u;
    char *text;
    struct sbuf b;

    *ret_ob = false;
    *ret_sips = true;
    if (!sip_msg_has(g->r->m, SIP_H_PATH))
        return 0;
    text = arena_alloc(g->r->m->arena, LIMIT_PATH_BYTES);
    if (!text)
        return ERR_NOMEM;
    b = sbuf_make(text, LIMIT_PATH_BYTES);
    while (sip_values_next(&it)) {
        if (sip_addr_parse(it.value, &a) != 0 || sip_uri_parse(a.uri, &u) != 0)
            return ERR_SYNTAX;
        *ret_ob = *ret_ob || u.ob;
        *ret_sips = *ret_sips && u.scheme == SIP_SCHEME_SIPS;
        if (b.n)
            sbuf_lit(&b, ", ");
        sbuf_str(&b, it.value);
    }
    if (it.bad)
        return ERR_SYNTAX;
    g->lr.route = sbuf_get(&b);
    return b.overflow ? ERR_LIMIT : 0;
}

/* ---- answering ---- */

/* The GRUU of a sips contact is sips (RFC 5630 5.2.1). */
static void put_gruu(struct sbuf *b, const char *name, struct str gruu, bool sips)
{
    if (!gruu.n)
        return;
    if (sips && str_starts_nocase(gruu, STR("sip:")))
        sbuf_fmt(b, ";%s=\"sips:%.*s\"", name, (int)(gruu.n - 4), gruu.p + 4);
    else
        sbuf_fmt(b, ";%s=\"%.*s\"", name, STR_FMT(gruu));
}

static void put_contact(struct sbuf *b, struct arena *a, const struct location_binding *c)
{
    bool is_bulk = subscriber_is_bulk(c->uri); /* its temporary GRUUs would be another mechanism's (RFC 6140 7.1.2): none are given */
    bool sips = str_starts_nocase(c->uri, STR("sips:"));

    sbuf_char(b, '<');
    sbuf_str(b, c->uri);
    sbuf_char(b, '>');
    sbuf_str(b, c->params);
    if (c->q_milli < 1000)
        sbuf_fmt(b, ";q=0.%03u", c->q_milli);
    if (c->instance.n)
        sbuf_fmt(b, ";+sip.instance=\"<%.*s>\"", STR_FMT(c->instance));
    if (c->reg_id)
        sbuf_fmt(b, ";reg-id=%u", c->reg_id);
    put_gruu(b, "pub-gruu", is_bulk ? subscriber_gruu(a, c->pub_gruu) : c->pub_gruu, sips);
    put_gruu(b, "temp-gruu", is_bulk ? STR_NULL : c->temp_gruu, sips);
    sbuf_lit(b, ";expires=");
    sbuf_u64(b, c->expires_s);
}

static void extra(struct sip_response *resp, struct str name, struct str value)
{
    if (resp->n_extra < ARRAY_LEN(resp->extra)) {
        resp->extra[resp->n_extra].name = name;
        resp->extra[resp->n_extra++].value = value;
    }
}

static struct str date_text(const struct edge_req *r)
{
    struct edge_worker *w = r->w;
    time_t t = (time_t)net_wall_s(w->net);
    struct tm tm;

    if (w->date_n && w->date_s == (uint64_t)t)
        return str_make(w->date, w->date_n); /* made once a second */
    w->date_n = gmtime_r(&t, &tm) ? strftime(w->date, sizeof w->date, "%a, %d %b %Y %H:%M:%S GMT", &tm) : 0;
    w->date_s = (uint64_t)t;
    return str_make(w->date, w->date_n);
}

#define CONTACT_LINES 14u /* what does not fit is joined into the last of them */

/* All current bindings (10.3 step 8): a line each, since many phones read no further than a comma. */
static int put_contacts(struct reg *g, struct sip_response *resp, const struct location_bindings *bs)
{
    size_t i, cap = 64, from = 0;
    struct sbuf b;
    char *text;

    for (i = 0; i < bs->n; i++)
        cap += bs->v[i].uri.n + bs->v[i].params.n + bs->v[i].instance.n + bs->v[i].pub_gruu.n + bs->v[i].temp_gruu.n + 128;
    text = arena_alloc(g->r->m->arena, cap);
    if (!text)
        return ERR_NOMEM;
    b = sbuf_make(text, cap);
    for (i = 0; i < bs->n; i++) {
        if (i < CONTACT_LINES)
            from = b.n;
        else
            sbuf_lit(&b, ", ");
        put_contact(&b, g->r->m->arena, &bs->v[i]);
        if (i < CONTACT_LINES - 1 || i == bs->n - 1)
            extra(resp, STR("Contact"), str_make(text + from, b.n - from));
    }
    return b.overflow ? ERR_LIMIT : 0;
}

/* RFC 3608 6.3: the way that requests of this phone shall take, which is through us; sip, so that it may be used for both schemes
 * (RFC 5630 5.2). */
static struct str service_route(const struct edge_req *r)
{
    char *text = arena_alloc(r->m->arena, 320);
    struct sbuf b;

    if (!text)
        return STR_NULL;
    b = sbuf_make(text, 320);
    forward_own_uri(&b, r->w, &r->rx.path, STR_NULL, false, STR_NULL);
    return b.overflow ? STR_NULL : sbuf_get(&b);
}

static void answer(struct reg *g, const struct location_bindings *bs)
{
    struct edge_req *r = g->r;
    struct sip_response resp = {.status = 200};
    struct str text;

    if (put_contacts(g, &resp, bs) != 0) {
        edge_reply(r, 500);
        return;
    }
    if (g->lr.route.n)
        extra(&resp, STR("Path"), g->lr.route);
    if (g->d->service_route && (text = service_route(r)).n)
        extra(&resp, STR("Service-Route"), text);
    if (g->uses_outbound) {
        extra(&resp, STR("Require"), STR("outbound")); /* RFC 5626 6 */
        extra(&resp, STR("Supported"), STR("path, outbound"));
        if (g->d->flow_timer_s && !g->lr.route.n)
            extra(&resp, STR("Flow-Timer"), arena_fmt(r->m->arena, "%u", g->d->flow_timer_s));
    }
    if (!g->lr.route.n && !r->who.peer && status_events_offered(r->cfg, r->who.name))
        extra(&resp, STR("Allow-Events"), STATUS_EVENT);
    text = date_text(r);
    if (text.n)
        extra(&resp, STR("Date"), text);
    if (r->auth_info.n)
        extra(&resp, STR("Authentication-Info"), r->auth_info);
    edge_count(r->w, EC_REGISTERS_OK);
    r->w->responses_by_class[2]++;
    if (sip_stx_reply(r->tx, &resp) != 0 && !sip_stx_is_final(r->tx))
        sip_stx_drop(r->tx);
}

/* Does the one Via say where the request came from? Then no NAT has changed it (RFC 3581 4). */
static bool via_is_source(const struct edge_req *r)
{
    const struct sip_via *v = &r->m->via;
    struct addr a;

    return addr_parse(&a, v->host, v->port ? v->port : 5060) == 0 && addr_eq(&a, &r->rx.path.remote);
}

/* As long as a binding uses this flow it is known as the user's (RFC 5626 6, TR/100 7.2.3), and stays open while it is kept alive. */
static void bind_flow(struct reg *g, const struct location_bindings *bs)
{
    struct edge_req *r = g->r;
    flow_id flow = r->rx.path.flow;
    struct edge_flow *f;
    size_t i;

    for (i = 0; flow && i < bs->n && (!bs->v[i].has_path || bs->v[i].path.flow != flow || bs->v[i].route.n); i++)
        ;
    if (!flow || i == bs->n) {
        f = flow_find(r);
        if (f && str_eq(f->user, r->who.name))
            flow_bind(f, STR_NULL, STR_NULL);
        return;
    }
    f = flow_get(r);
    if (!f)
        return;
    flow_bind(f, r->who.name, bs->v[i].instance);
    f->version = r->account_version;
    f->registered = true;
    net_set_idle(r->w->net, flow,
                 g->uses_outbound && g->d->flow_timer_s ? (uint64_t)g->d->flow_timer_s * 1000 + 30000
                                                        : (uint64_t)g->d->expires_max_s * 1000 + 30000);
}

/* Option tags in Require that a registrar must know (10.3 step 2). */
static bool check_require(struct reg *g)
{
    struct sip_values it = sip_values_start(g->r->m, SIP_H_REQUIRE);
    char unknown[REASON_DETAIL_MAX];
    struct sbuf b = sbuf_make(unknown, sizeof unknown);

    while (sip_values_next(&it))
        if (!str_eq_nocase(it.value, STR("path")) && !str_eq_nocase(it.value, STR("outbound")) &&
            !str_eq_nocase(it.value, STR("gruu")) && !str_eq_nocase(it.value, STR("gin")))
            sbuf_fmt(&b, b.n ? ", %.*s" : "%.*s", STR_FMT(it.value));
    g->has_gin = sip_msg_has_token(g->r->m, SIP_H_REQUIRE, STR("gin"));
    if (!b.n && g->has_gin && !subscriber_of(g->r->cfg, g->r->who.name)) {
        refuse(g, "no-bulk-numbers", "RFC 6140 5.2", 403, "no numbers belong to this account");
        return false;
    }
    if (!b.n)
        return true;
    unknown[b.n < sizeof unknown ? b.n : sizeof unknown - 1] = 0;
    refuse(g, "require", "RFC 3261 10.3", 420, unknown);
    return false;
}

static bool check_contacts(struct reg *g)
{
    switch (read_contacts(g)) {
    case 0:
        return true;
    case ERR_LIMIT:
        refuse_brief(g);
        return false;
    case ERR_EXISTS:
        refuse(g, "too-many-contacts", "RFC 3261 10.3", 403, "in one REGISTER");
        return false;
    case ERR_REFUSED:
        refuse(g, "contact-loop", "RFC 3261 10.3", 403, "a Contact names this server");
        return false;
    case ERR_NOMEM:
        refuse(g, "no-memory", NULL, 500, "");
        return false;
    case ERR_UNSUPPORTED:
        refuse(g, "contact-scheme", "RFC 3261 10.2.1", 403, "only sip and sips contacts can be reached");
        return false;
    default:
        refuse(g, "bad-contact", "RFC 3261 10.3", 400, "");
        return false;
    }
}

/* RFC 5630 5.2: a sips Contact is taken only where request-URI, all Contacts and Path are sips; and a domain may take nothing that
 * comes in clear. */
static bool check_schemes(struct reg *g, bool path_is_sips)
{
    if (g->has_sips && (g->has_other || g->r->ruri.scheme != SIP_SCHEME_SIPS || !path_is_sips)) {
        refuse(g, "sips-mixed", "RFC 5630 5.2", 400, "a sips Contact asks for sips in request-URI, all Contacts and Path");
        return false;
    }
    if (!g->d->sips_only || g->removes_only || g->r->hop_secure)
        return true;
    refuse(g, "sips-required", "RFC 5630 5.2", 403, "this domain registers over TLS only");
    return false;
}

/* Path, and whether the first hop knows outbound (RFC 3327 5.3, RFC 5626 6). */
static bool check_path(struct reg *g, bool *ret_sips)
{
    struct sip_values via = sip_values_start(g->r->m, SIP_H_VIA);
    bool is_first_hop = sip_values_next(&via) && !sip_values_next(&via), has_ob;
    struct str text;
    struct sip_addr a;

    if (read_path(g, &has_ob, ret_sips) != 0) {
        refuse(g, "bad-path", "RFC 3327 5.3", 400, "");
        return false;
    }
    if (g->lr.route.n && !sip_msg_has_token(g->r->m, SIP_H_SUPPORTED, STR("path"))) {
        refuse(g, "path-unsupported", "RFC 3327 5.3", 420, "path");
        return false;
    }
    g->ignores_reg_id = !is_first_hop && !has_ob;
    if (!g->ignores_reg_id || !sip_msg_has_token(g->r->m, SIP_H_SUPPORTED, STR("outbound")))
        return true;
    for (via = sip_values_start(g->r->m, SIP_H_CONTACT); sip_values_next(&via);)
        if (sip_addr_parse(via.value, &a) == 0 && sip_param_find(a.params, STR("reg-id"), &text)) {
            refuse(g, "first-hop-outbound", "RFC 5626 6", 439, "the first proxy does not support outbound");
            return false;
        }
    return true;
}

/* RFC 3261 10.3 steps 1 and 5: To's domain is the request-URI's, unless that is only an address of ours. */
static bool find_domain(struct reg *g)
{
    const struct config_domain *asked = config_domain_find(g->r->cfg, g->r->ruri.host);
    struct str user, host = str_cut(g->r->who.name, '@', &user);

    g->d = config_domain_find(g->r->cfg, host);
    if (g->d && (!asked || asked == g->d))
        return true;
    refuse(g, "aor-not-here", "RFC 3261 10.3", 404, "To is not of the domain in the request-URI");
    return false;
}

void registrar_handle(struct edge_req *r)
{
    struct reg *g = arena_zalloc(r->m->arena, sizeof *g);
    struct location_bindings bs;
    struct reason why = {0};
    const struct sip_hdr *ua = sip_msg_hdr(r->m, SIP_H_USER_AGENT, 0);
    bool path_is_sips;
    int err;

    if (!g) {
        edge_reply(r, 500);
        return;
    }
    g->r = r;
    if (!find_domain(g) || !check_require(g) || !check_path(g, &path_is_sips) || !check_contacts(g) ||
        !check_schemes(g, path_is_sips))
        return;
    g->lr.aor = r->who.name;
    g->lr.call_id = r->m->call_id;
    g->lr.cseq = r->m->cseq;
    g->lr.path = &r->rx.path;
    g->lr.is_direct = via_is_source(r);
    g->lr.secure = r->hop_secure;
    g->lr.user_agent = ua ? ua->value : STR_NULL;
    g->lr.wants_gruu = sip_msg_has_token(r->m, SIP_H_SUPPORTED, STR("gruu"));
    g->lr.max_contacts = g->d->max_contacts;
    g->lr.now_s = net_steady_s(r->w->net);
    g->lr.rand = &r->w->net->rand;
    err = location_register(r->w->edge->loc, &g->lr, r->m->arena, &bs, &why);
    if (err != 0) {
        if (!why.sip_status)
            reason_set(&why, "register", "RFC 3261 10.3", err == ERR_NOTFOUND ? 404 : err == ERR_SYNTAX ? 400 : 500, "%s",
                       err_text(err));
        edge_count(r->w, EC_REGISTERS_REFUSED);
        edge_refuse(r, &why);
        return;
    }
    bind_flow(g, &bs);
    answer(g, &bs);
}

/* The registrar: RFC 3261 10.3, outbound (RFC 5626 6), GRUU (RFC 5627 5), Path (RFC 3327 5.3), Service-Route (RFC 3608), sips
 * contacts (RFC 5630 5.2). The gate has let in only the user whose address of record it is. Nothing is changed before everything has
 * been checked; then it is one call of the location service. Worker thread. */
#include "base/log.h"
#include "base/mem.h"
#include "edge/request_priv.h"
#include <time.h>

struct reg {
    struct edge_req *r;
    const struct config_domain *d;
    struct location_register lr;
    struct location_contact contacts[LIMIT_CONTACTS_AOR + LIMIT_FLOWS_CONTACT];
    bool uses_outbound, removes_only;
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
    struct sip_addr a;
    struct sip_uri u;
    struct str text;
    int err;

    if (sip_addr_parse(value, &a) != 0 || sip_uri_parse(a.uri, &u) != 0)
        return ERR_SYNTAX;
    if (u.scheme != SIP_SCHEME_SIP && u.scheme != SIP_SCHEME_SIPS)
        return ERR_UNSUPPORTED;
    if (request_uri_is_ours(g->r->cfg, &u, &g->r->rx.path.local))
        return ERR_REFUSED; /* a binding that points at us is a loop */
    *c = (struct location_contact){.uri = a.uri};
    if (!sip_param_find(a.params, STR("q"), &text))
        text = STR_NULL;
    if (request_q(text, &c->q_milli) != 0)
        return ERR_SYNTAX;
    if ((err = grant(g, a.params, &c->expires_s)) != 0)
        return err;
    if (sip_param_find(a.params, STR("+sip.instance"), &text) && text.n > 2 && text.p[0] == '<' &&
        text.p[text.n - 1] == '>')
        c->instance = str_make(text.p + 1, text.n - 2);
    if (c->instance.n && sip_param_find(a.params, STR("reg-id"), &text) &&
        (str_to_u32(text, INT32_MAX, &c->reg_id) != 0 || c->reg_id == 0))
        return ERR_SYNTAX;
    c->params = other_params(g->r->m->arena, a.params);
    if (c->reg_id && c->expires_s)
        g->uses_outbound = true;
    if (c->expires_s)
        g->removes_only = false;
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
    return it.bad ? ERR_SYNTAX : 0;
}

/* All Path values as one list; with Path the phone must support it (RFC 3327 5.3). */
static int read_path(struct reg *g)
{
    struct sip_values it = sip_values_start(g->r->m, SIP_H_PATH);
    char *text;
    struct sbuf b;

    if (!sip_msg_has(g->r->m, SIP_H_PATH))
        return 0;
    text = arena_alloc(g->r->m->arena, 2048);
    if (!text)
        return ERR_NOMEM;
    b = sbuf_make(text, 2048);
    while (sip_values_next(&it)) {
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

static void put_contact(struct sbuf *b, const struct location_binding *c)
{
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
    if (c->pub_gruu.n)
        sbuf_fmt(b, ";pub-gruu=\"%.*s\"", STR_FMT(c->pub_gruu));
    if (c->temp_gruu.n)
        sbuf_fmt(b, ";temp-gruu=\"%.*s\"", STR_FMT(c->temp_gruu));
    sbuf_fmt(b, ";expires=%u", c->expires_s);
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
    char text[40];
    time_t t = (time_t)net_wall_s(r->w->net);
    struct tm tm;

    if (!gmtime_r(&t, &tm) || !strftime(text, sizeof text, "%a, %d %b %Y %H:%M:%S GMT", &tm))
        return STR_NULL;
    return arena_str(r->m->arena, str_z(text));
}

static void answer(struct reg *g, const struct location_bindings *bs)
{
    struct edge_req *r = g->r;
    struct sip_response resp = {.status = 200};
    size_t i, cap = 64, n = bs->n < 16 ? bs->n : 16;
    struct str path_text = g->lr.route, date;
    struct sbuf b;
    char *text;

    for (i = 0; i < n; i++)
        cap += bs->v[i].uri.n + bs->v[i].params.n + bs->v[i].instance.n + bs->v[i].pub_gruu.n + bs->v[i].temp_gruu.n + 128;
    text = arena_alloc(r->m->arena, cap);
    if (!text) {
        edge_reply(r, 500);
        return;
    }
    b = sbuf_make(text, cap);
    for (i = 0; i < n; i++) {
        size_t from = b.n;

        put_contact(&b, &bs->v[i]);
        extra(&resp, STR("Contact"), str_make(text + from, b.n - from));
    }
    if (path_text.n)
        extra(&resp, STR("Path"), path_text);
    if (g->uses_outbound) {
        extra(&resp, STR("Require"), STR("outbound")); /* RFC 5626 6 */
        extra(&resp, STR("Supported"), STR("path, outbound, gruu"));
        if (g->d->flow_timer_s)
            extra(&resp, STR("Flow-Timer"), arena_fmt(r->m->arena, "%u", g->d->flow_timer_s));
    }
    date = date_text(r);
    if (date.n)
        extra(&resp, STR("Date"), date);
    if (b.overflow) {
        edge_reply(r, 500);
        return;
    }
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

/* From here on this flow is known as the user's (RFC 5626 6, TR/100 7.2.3), and stays open as long as it is kept alive. */
static void bind_flow(struct reg *g)
{
    struct edge_req *r = g->r;
    flow_id flow = r->rx.path.flow;
    struct edge_flow *f;
    size_t n = r->who.name.n;

    if (!flow || g->lr.route.n || n >= sizeof f->text)
        return;
    f = net_get_user(r->w->net, flow);
    if (!f) {
        f = mem_zalloc(sizeof *f);
        if (!f)
            return;
        net_set_user(r->w->net, flow, f);
    }
    if (g->removes_only && (g->lr.n_contacts || g->lr.remove_all))
        return; /* it still carries bindings, or will idle out */
    memcpy(f->text, r->who.name.p, n);
    f->user = str_make(f->text, n);
    f->user_id = principal_id(&r->who);
    f->registered = true;
    net_set_idle(r->w->net, flow,
                 g->uses_outbound && g->d->flow_timer_s ? (uint64_t)g->d->flow_timer_s * 1000 + 30000
                                                        : (uint64_t)g->d->expires_max_s * 1000 + 30000);
}

/* Option tags in Require that a registrar must know (10.3 step 2). */
static bool check_require(struct reg *g)
{
    struct sip_values it = sip_values_start(g->r->m, SIP_H_REQUIRE);
    struct reason why = {0};

    while (sip_values_next(&it)) {
        if (str_eq_nocase(it.value, STR("path")) || str_eq_nocase(it.value, STR("outbound")) ||
            str_eq_nocase(it.value, STR("gruu")))
            continue;
        reason_set(&why, "require", "RFC 3261 10.3", 420, "%.*s", STR_FMT(it.value));
        edge_count(g->r->w, EC_REGISTERS_REFUSED);
        edge_refuse(g->r, &why);
        return false;
    }
    return true;
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
    case ERR_UNSUPPORTED:
        refuse(g, "contact-scheme", "RFC 3261 10.2.1", 403, "only sip and sips contacts can be reached");
        return false;
    default:
        refuse(g, "bad-contact", "RFC 3261 10.3", 400, "");
        return false;
    }
}

static bool check_sips_only(struct reg *g)
{
    if (!g->d->sips_only || g->removes_only || g->r->hop_secure)
        return true;
    refuse(g, "sips-required", "RFC 5630 5.2", 403, "this domain registers over TLS only");
    return false;
}

void registrar_handle(struct edge_req *r)
{
    struct reg *g = arena_zalloc(r->m->arena, sizeof *g);
    struct location_bindings bs;
    struct reason why = {0};
    const struct sip_hdr *ua = sip_msg_hdr(r->m, SIP_H_USER_AGENT, 0);
    int err;

    if (!g) {
        edge_reply(r, 500);
        return;
    }
    g->r = r;
    g->d = r->domain;
    if (!check_require(g) || !check_contacts(g) || !check_sips_only(g))
        return;
    if (read_path(g) != 0) {
        refuse(g, "bad-path", "RFC 3327 5.3", 400, "");
        return;
    }
    if (g->lr.route.n && !sip_msg_has_token(r->m, SIP_H_SUPPORTED, STR("path"))) {
        refuse(g, "path-unsupported", "RFC 3327 5.3", 421, "Path without Supported: path");
        return;
    }
    g->lr.aor = r->who.name;
    g->lr.call_id = r->m->call_id;
    g->lr.cseq = r->m->cseq;
    g->lr.path = &r->rx.path;
    g->lr.is_direct = via_is_source(r);
    g->lr.secure = r->hop_secure;
    g->lr.user_agent = ua ? ua->value : STR_NULL;
    g->lr.wants_gruu = sip_msg_has_token(r->m, SIP_H_SUPPORTED, STR("gruu"));
    g->lr.max_contacts = g->d->max_contacts;
    g->lr.now_s = net_wall_s(r->w->net);
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
    bind_flow(g);
    answer(g, &bs);
}

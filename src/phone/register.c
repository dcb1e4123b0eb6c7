/* The registration (RFC 3261 10.2, RFC 5626 4): from the server's name to a flow with a binding on
 * it, and back after a loss.
 *
 *              START            LOCATED            OK
 *      IDLE ---------> LOCATING -------> TRYING ---------> UP --. TIMER: refresh
 *                        |  ^              |  `- FAILED,   | ^--'
 *                NOWHERE |  | TIMER        |     LOST:     |
 *                        v  |      NOWHERE |     next      | FAILED, LOST
 *                       WAITING <----------'     target    |
 *                        ^---------------------------------'
 *      TRYING, UP -- REFUSED --> ENDED      UP -- LEAVE --> LEAVING -- any answer, TIMER --> ENDED
 *      IDLE, LOCATING, TRYING, WAITING -- LEAVE --> ENDED
 *
 * WAITING lasts as RFC 5626 4.5 says: the base time doubled with each failure in a row, half of it
 * to all of it at random, half an hour at most. A refusal that trying again cannot heal (a wrong
 * password, an unknown user) ends it at once. Owner: the phone; its thread. */
#include "phone/phone_priv.h"
#include "pki/tls.h"
#include <sys/socket.h>
#include <unistd.h>

#define RETRY_MAX_S 1800u
#define PONG_MS 10000u /* RFC 5626 4.4.1 */
#define LEAVE_MS 3000u /* nobody waits longer for a goodbye */
#define REG_BYTES 4096u

static void start_timer(struct phone *p, uint64_t ms)
{
    wheel_start(p->net->wheel, &p->reg.timer, ms);
}

static uint64_t random_ms(struct phone *p, uint64_t from, uint64_t to)
{
    return from + rand_u64(&p->net->rand) % (to - from + 1);
}

static void cannot(struct phone *p, unsigned status, const struct reason *why)
{
    p->reg.status = status;
    if (why && why->code)
        p->reg.why = *why;
    else
        reason_set(&p->reg.why, "no-answer", NULL, 0,
                   status ? "the server answered %u" : "no connection to the server", status);
}

/* ---- where to ---- */

static void on_located(void *arg, const struct net_target *targets, size_t n,
                       const struct reason *why)
{
    struct phone *p = arg;
    p->reg.locate_id = 0;
    p->reg.n_targets = 0;
    for (size_t i = 0; i < n && i < PHONE_TARGETS_MAX; i++)
        p->reg.targets[p->reg.n_targets++] = targets[i];
    p->reg.at_target = 0;
    if (n == 0)
        cannot(p, 0, why);
    reg_event(p, n ? REG_E_LOCATED : REG_E_NOWHERE);
}

static void act_locate(struct phone *p)
{
    const struct phone_config *cfg = p->cfg;
    struct net_locate_args args = {.host = cfg->server.n ? cfg->server : cfg->domain,
                                   .port = cfg->port,
                                   .has_transport = cfg->has_transport,
                                   .transport = cfg->transport,
                                   .prefer_tls = true};
    struct net_target literal = {.transport = cfg->has_transport ? cfg->transport : TRANSPORT_TLS};
    struct reason why = {0};
    args.allow_clear = cfg->has_transport && cfg->transport != TRANSPORT_TLS;
    if (addr_parse(&literal.addr, args.host,
                   cfg->port ? cfg->port : transport_default_port(literal.transport)) == 0) {
        on_located(p, &literal, 1, NULL);
        return;
    }
    int err = net_locate(p->net, &args, on_located, p, &p->reg.locate_id);
    if (err) {
        reason_set(&why, "locate", "RFC 3263 4", 0, "%s", err_text(err));
        on_located(p, NULL, 0, &why);
    }
}

/* Our own address on the way to a remote one: what the system's routes say. The port is the
 * listener's. */
static struct addr local_for(const struct addr *bound, const struct addr *remote)
{
    struct addr local = *bound;
    socklen_t len = sizeof(local);
    if (!addr_is_any(bound))
        return local;
    int fd = socket(remote->sa.sa_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return local;
    if (connect(fd, &remote->sa, addr_len(remote)) != 0 || getsockname(fd, &local.sa, &len) != 0)
        local = *bound;
    close(fd);
    addr_set_port(&local, addr_port(bound));
    return local;
}

static int connect_to(struct phone *p, const struct net_target *t)
{
    const struct phone_config *cfg = p->cfg;
    struct path path = {.transport = t->transport, .listener = cfg->listener, .remote = t->addr};
    struct addr unused;
    flow_id flow;
    if (t->transport == TRANSPORT_UDP) {
        path.local = local_for(&cfg->local, &t->addr);
        return phone_flow_set(p, &path);
    }
    struct net_connect_args args = {.transport = t->transport,
                                    .listener = cfg->listener,
                                    .remote = t->addr,
                                    .server_name = cfg->server_name};
    if (t->transport == TRANSPORT_TLS) {
        if (cfg->tls == NULL)
            return ERR_UNSUPPORTED;
        args.tls = cfg->tls;
        if (args.server_name.n == 0) /* RFC 5922 7.3: the name that was asked for, before any DNS */
            args.server_name = cfg->server.n && addr_parse(&unused, cfg->server, 0) != 0
                                   ? cfg->server
                                   : cfg->domain;
    }
    int err = net_connect(p->net, &args, &flow, &path);
    if (err)
        return err;
    err = phone_flow_set(p, &path);
    if (err)
        net_close(p->net, flow, NET_CLOSE_LOCAL);
    return err;
}

/* The flow is of no more use. */
static void drop_flow(struct phone *p)
{
    flow_id flow = p->has_path ? p->path.flow : 0;
    wheel_cancel(p->net->wheel, &p->reg.keepalive);
    phone_request_forget(p->reg.request);
    phone_flow_unset(p);
    if (flow)
        net_close(p->net, flow, NET_CLOSE_LOCAL);
}

void reg_flow_closed(struct phone *p, enum net_close_why why, const struct reason *reason)
{
    static const char *const texts[] = {
        [NET_CLOSE_PEER] = "the server closed the connection",
        [NET_CLOSE_IDLE] = "the server did not answer a keep-alive",
        [NET_CLOSE_PROTOCOL] = "what came is no SIP",
        [NET_CLOSE_REFUSED] = "connection refused",
        [NET_CLOSE_UNREACHABLE] = "the server is not reached",
        [NET_CLOSE_TLS] = "the TLS handshake failed",
        [NET_CLOSE_LOCAL] = "closed by us",
        [NET_CLOSE_OVERLOAD] = "the connection is stuck",
    };
    p->reg.status = 0;
    if (reason && reason->code)
        p->reg.why = *reason;
    else
        reason_set(&p->reg.why, why == NET_CLOSE_TLS ? "tls" : "flow-closed", "RFC 5626 4.5", 0,
                   "%s", texts[why]);
    reg_event(p, REG_E_LOST);
}

/* ---- REGISTER ---- */

static int send_register(struct phone *p, uint32_t expires_s);

/* What the registrar grants our contact: its expires parameter (10.2.4), or Expires; 0 if the
 * contact is not in the list. */
static uint32_t granted(struct phone *p, const struct sip_msg *m)
{
    struct sip_values it = sip_values_start(m, SIP_H_CONTACT);
    struct sip_addr a;
    struct sip_uri u;
    struct str text;
    uint32_t s;
    while (sip_values_next(&it)) {
        if (sip_addr_parse(it.value, &a) != 0 || sip_uri_parse(a.uri, &u) != 0 ||
            !str_eq(u.user, p->contact_user))
            continue;
        if (sip_param_find(a.params, STR("expires"), &text) &&
            str_to_u32(text, UINT32_MAX, &s) == 0)
            return s;
        if (sip_msg_seconds(m, SIP_H_EXPIRES, &s) == 0)
            return s;
        return p->reg.expires_s;
    }
    return 0;
}

static void take_service_route(struct phone *p, const struct sip_msg *m)
{
    const struct sip_hdr *h;
    struct registration *g = &p->reg;
    char *text;
    arena_free(g->arena);
    g->service_route = STR_NULL;
    g->arena = arena_new(512, REG_BYTES);
    if (g->arena == NULL || (text = arena_alloc(g->arena, 2048)) == NULL)
        return;
    struct sbuf b = sbuf_make(text, 2048);
    for (unsigned i = 0; (h = sip_msg_hdr(m, SIP_H_SERVICE_ROUTE, i)) != NULL; i++) {
        if (b.n)
            sbuf_lit(&b, ", ");
        sbuf_str(&b, h->value);
    }
    if (!b.overflow)
        g->service_route = sbuf_get(&b);
}

/* How often, and whether an answer can be expected: a registrar that knows RFC 5626 says Require:
 * outbound (4.2.1). */
static void plan_keepalive(struct phone *p, const struct sip_msg *m)
{
    struct registration *g = &p->reg;
    bool is_stream = p->path.transport != TRANSPORT_UDP;
    bool answers = is_stream && sip_msg_has_token(m, SIP_H_REQUIRE, STR("outbound"));
    uint32_t s = p->cfg->keepalive_s;
    uint64_t low = is_stream ? 95000 : 24000, high = is_stream ? 120000 : 29000; /* 4.4.1, 4.4.2 */
    if (s == 0 && sip_msg_seconds(m, SIP_H_FLOW_TIMER, &s) != 0)
        s = 0;
    if (s) {
        high = (uint64_t)(s < 7200 ? s : 7200) * 1000;
        low = high * 8 / 10;
    }
    g->keepalive_ms = random_ms(p, low, high);
    wheel_start(p->net->wheel, &g->keepalive, g->keepalive_ms);
    if (is_stream)
        net_set_idle(p->net, p->path.flow,
                     answers ? g->keepalive_ms + PONG_MS : (uint64_t)g->granted_s * 1000 + 60000);
}

static void on_keepalive(struct wheel_timer *t)
{
    struct phone *p = CONTAINER_OF(t, struct phone, reg.keepalive);
    unsigned char stun[20] = {
        0,    1,    0,    0,
        0x21, 0x12, 0xa4, 0x42}; /* a Binding request; its answer matters to NATs alone */
    bool is_udp = p->path.transport == TRANSPORT_UDP;
    rand_fill(&p->net->rand, stun + 8, 12);
    struct buf *b = buf_copy(is_udp ? str_make((char *)stun, sizeof(stun)) : STR("\r\n\r\n"));
    if (b != NULL && p->has_path)
        (void)!net_send(p->net, &p->path, b);
    buf_unref(b);
    wheel_start(p->net->wheel, &p->reg.keepalive, p->reg.keepalive_ms);
}

static bool is_temporary(unsigned status)
{
    return status == 408 || status == 430 || status == 480 ||
           (status >= 500 && status < 600 && status != 501 && status != 505);
}

static void on_answer(void *arg, struct request *r, struct sip_msg *m, const struct rx *rx,
                      enum sip_tx_end why)
{
    struct phone *p = arg;
    struct registration *g = &p->reg;
    uint32_t least;
    (void)rx;
    if (m != NULL && m->status < 200)
        return;
    struct reason cause = r->why;
    phone_request_forget(r);
    if (m == NULL) {
        if (why == SIP_TX_TIMEOUT)
            reason_set(&cause, "register-timeout", "RFC 3261 10.2.7", 0,
                       "the server does not answer");
        cannot(p, 0, &cause);
        reg_event(p, REG_E_FAILED);
    } else if (m->status == 423 && sip_msg_seconds(m, SIP_H_MIN_EXPIRES, &least) == 0 &&
               least > g->expires_s && g->state != REG_LEAVING) {
        g->expires_s = least; /* 10.2.8 */
        if (send_register(p, g->expires_s) != 0)
            reg_event(p, REG_E_FAILED);
    } else if (m->status < 300 && g->state != REG_LEAVING && (g->granted_s = granted(p, m)) == 0) {
        reason_set(&cause, "register-binding", "RFC 3261 10.2.4", 0,
                   "the answer does not have our contact");
        cannot(p, m->status, &cause);
        reg_event(p, REG_E_FAILED);
    } else if (m->status < 300) {
        if (cause.code) { /* a wrong rspauth: somebody who does not know the password answered */
            cannot(p, m->status, &cause);
            reg_event(p, REG_E_REFUSED);
            return;
        }
        if (g->state != REG_LEAVING) {
            take_service_route(p, m);
            plan_keepalive(p, m);
        }
        reg_event(p, REG_E_OK);
        if (g->state == REG_UP)
            phone_watch_start(p, m);
    } else {
        if (cause.code == NULL)
            reason_set(&cause, "register-refused", "RFC 3261 10.2", 0, "%u %.*s", m->status,
                       STR_FMT(m->phrase));
        cannot(p, m->status, &cause);
        reg_event(p, is_temporary(m->status) ? REG_E_FAILED : REG_E_REFUSED);
    }
}

static int send_register(struct phone *p, uint32_t expires_s)
{
    struct registration *g = &p->reg;
    struct arena *a = arena_new(2048, 16u << 10);
    if (a == NULL)
        return ERR_NOMEM;
    struct request_args args = {.method = SIP_REGISTER,
                                .is_register = true,
                                .cseq_counter = &g->cseq,
                                .fn = on_answer,
                                .arg = p,
                                .has_contact = true};
    args.call_id = str_make(g->call_id, sizeof(g->call_id));
    args.ruri = arena_fmt(a, "sip:%.*s", STR_FMT(p->cfg->domain));
    args.from = arena_fmt(a, "<%.*s>;tag=%.*s", STR_FMT(p->aor), (int)sizeof(g->tag), g->tag);
    args.to = arena_fmt(a, "<%.*s>", STR_FMT(p->aor));
    args.contact = arena_fmt(a, "%.*s;reg-id=1;+sip.instance=\"<%.*s>\";expires=%u",
                             STR_FMT(p->contact), STR_FMT(p->instance), expires_s);
    args.extra[0].name = STR("Supported");
    args.extra[0].value = STR("path, outbound");
    args.extra[1].name = STR("Expires");
    args.extra[1].value = arena_fmt(a, "%u", expires_s);
    args.extra[2].name = STR("Allow");
    args.extra[2].value = PHONE_ALLOW;
    args.n_extra = 3;
    int err = ERR_NOMEM;
    if (args.ruri.p && args.from.p && args.to.p && args.contact.p && args.extra[1].value.p) {
        phone_request_forget(g->request);
        err = phone_request_start(p, &args, &g->request);
    }
    arena_free(a);
    return err;
}

/* ---- what the events do ---- */

static void act_try(struct phone *p)
{
    struct registration *g = &p->reg;
    if (g->at_target >= g->n_targets) {
        reg_event(p, REG_E_NOWHERE);
        return;
    }
    int err = connect_to(p, &g->targets[g->at_target++]);
    if (!err && p->cfg->no_register) {
        g->granted_s = 0;
        reg_event(p, REG_E_OK);
        return;
    }
    if (!err)
        err = send_register(p, g->expires_s);
    if (err) {
        struct reason why = {0};
        reason_set(&why, "connect", "RFC 5626 4.2", 0, "%s", err_text(err));
        cannot(p, 0, &why);
        reg_event(p, REG_E_FAILED);
    }
}

static void act_next(struct phone *p)
{
    drop_flow(p);
    act_try(p);
}

static void act_up(struct phone *p)
{
    struct registration *g = &p->reg;
    g->failures = 0;
    g->was_up = true;
    if (g->granted_s) /* well before its end, and early enough for a second try */
        start_timer(
            p, (g->granted_s > 1200 ? (uint64_t)g->granted_s - 600 : (uint64_t)g->granted_s / 2) *
                   1000);
    if (p->user.on_registered)
        p->user.on_registered(p->user.arg, g->granted_s);
}

static void act_refresh(struct phone *p)
{
    if (send_register(p, p->reg.expires_s) != 0)
        reg_event(p, REG_E_FAILED);
}

static void act_refreshed(struct phone *p)
{
    struct registration *g = &p->reg;
    start_timer(p,
                (g->granted_s > 1200 ? (uint64_t)g->granted_s - 600 : (uint64_t)g->granted_s / 2) *
                    1000);
}

/* RFC 5626 4.5. */
static void act_wait(struct phone *p)
{
    struct registration *g = &p->reg;
    uint64_t s = p->cfg->retry_s ? p->cfg->retry_s : 30;
    drop_flow(p);
    for (unsigned i = 0; i < g->failures && s < RETRY_MAX_S; i++)
        s *= 2;
    if (s > RETRY_MAX_S)
        s = RETRY_MAX_S;
    g->failures++;
    g->again_ms = random_ms(p, s * 500, s * 1000);
    start_timer(p, g->again_ms);
    if (p->user.on_unregistered)
        p->user.on_unregistered(p->user.arg, g->status, &g->why, false, g->again_ms);
}

static void act_refused(struct phone *p)
{
    drop_flow(p);
    wheel_cancel(p->net->wheel, &p->reg.timer);
    if (p->user.on_unregistered)
        p->user.on_unregistered(p->user.arg, p->reg.status, &p->reg.why, true, 0);
}

static void act_leave(struct phone *p)
{
    start_timer(p, LEAVE_MS);
    if (p->cfg->no_register || send_register(p, 0) != 0)
        reg_event(p, REG_E_GONE);
}

static void act_left(struct phone *p)
{
    struct registration *g = &p->reg;
    wheel_cancel(p->net->wheel, &g->timer);
    if (g->locate_id)
        net_locate_cancel(p->net, g->locate_id);
    g->locate_id = 0;
    drop_flow(p);
    if (p->user.on_left)
        p->user.on_left(p->user.arg);
}

static void
act_told(struct phone *p) /* it has ended before; who leaves still hears that it is done */
{
    if (p->user.on_left)
        p->user.on_left(p->user.arg);
}

const struct reg_cell reg_table[REG_STATES][REG_EVENTS] = {
    [REG_IDLE] =
        {[REG_E_START] = {act_locate, REG_LOCATING}, [REG_E_LEAVE] = {act_left, REG_ENDED}},
    [REG_LOCATING] = {[REG_E_LOCATED] = {act_try, REG_TRYING},
                      [REG_E_NOWHERE] = {act_wait, REG_WAITING},
                      [REG_E_LEAVE] = {act_left, REG_ENDED}},
    [REG_TRYING] = {[REG_E_OK] = {act_up, REG_UP},
                    [REG_E_REFUSED] = {act_refused, REG_ENDED},
                    [REG_E_FAILED] = {act_next, REG_TRYING},
                    [REG_E_LOST] = {act_next, REG_TRYING},
                    [REG_E_NOWHERE] = {act_wait, REG_WAITING},
                    [REG_E_LEAVE] = {act_left, REG_ENDED}},
    [REG_UP] = {[REG_E_OK] = {act_refreshed, REG_UP},
                [REG_E_REFUSED] = {act_refused, REG_ENDED},
                [REG_E_FAILED] = {act_wait, REG_WAITING},
                [REG_E_LOST] = {act_wait, REG_WAITING},
                [REG_E_TIMER] = {act_refresh, REG_UP},
                [REG_E_LEAVE] = {act_leave, REG_LEAVING}},
    [REG_WAITING] =
        {[REG_E_TIMER] = {act_locate, REG_LOCATING}, [REG_E_LEAVE] = {act_left, REG_ENDED}},
    [REG_LEAVING] = {[REG_E_OK] = {act_left, REG_ENDED},
                     [REG_E_REFUSED] = {act_left, REG_ENDED},
                     [REG_E_FAILED] = {act_left, REG_ENDED},
                     [REG_E_LOST] = {act_left, REG_ENDED},
                     [REG_E_TIMER] = {act_left, REG_ENDED},
                     [REG_E_GONE] = {act_left, REG_ENDED}},
    [REG_ENDED] = {[REG_E_LEAVE] = {act_told, REG_ENDED}},
};

void reg_event(struct phone *p, enum reg_event e)
{
    const struct reg_cell *cell = &reg_table[p->reg.state][e];
    if (cell->act == NULL)
        return;
    p->reg.state = cell->next;
    cell->act(p);
}

static void on_timer(struct wheel_timer *t)
{
    reg_event(CONTAINER_OF(t, struct phone, reg.timer), REG_E_TIMER);
}

void reg_init(struct phone *p)
{
    struct registration *g = &p->reg;
    rand_token(&p->net->rand, g->call_id, sizeof(g->call_id));
    rand_token(&p->net->rand, g->tag, sizeof(g->tag));
    g->expires_s = p->cfg->expires_s ? p->cfg->expires_s : 3600;
    wheel_timer_init(&g->timer, on_timer);
    wheel_timer_init(&g->keepalive, on_keepalive);
}

void reg_done(struct phone *p)
{
    struct registration *g = &p->reg;
    wheel_cancel(p->net->wheel, &g->timer);
    wheel_cancel(p->net->wheel, &g->keepalive);
    if (g->locate_id)
        net_locate_cancel(p->net, g->locate_id);
    phone_request_forget(g->request);
    arena_free(g->arena);
    g->arena = NULL;
}

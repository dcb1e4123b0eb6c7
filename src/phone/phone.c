/* struct phone: what net and the transaction layer call, and which requests are for us (RFC
 * 3261 8.2; RFC 5626 4). What does not come along the flow we registered on is dropped unread:
 * nobody else has business with this phone. Thread: the worker's. */
#include "base/mem.h"
#include "identity/canon.h"
#include "identity/identity_hdr.h"
#include "phone/phone_priv.h"

#define FLOW_BYTES 4096u

/* ---- life ---- */

static int txl_send(void *arg, const struct path *to, struct buf *msg);
static void txl_request(void *arg, struct sip_stx *tx, struct sip_stx *invite, struct sip_msg *m,
                        const struct rx *rx);
static void txl_ack(void *arg, struct sip_msg *m, const struct rx *rx);
static void txl_stray(void *arg, struct sip_msg *m, const struct rx *rx);
static void txl_stx_end(void *arg, struct sip_stx *tx, void *upper);
static void txl_stx_failed(void *arg, struct sip_stx *tx, void *upper, enum sip_tx_end why);

static int names_make(struct phone *p)
{
    char token[12];
    uint8_t u[16];
    p->aor = arena_fmt(p->arena, "sip:%.*s@%.*s", STR_FMT(p->cfg->user), STR_FMT(p->cfg->domain));
    /* Not the user's name: requests for a contact that nobody was told are no mistake of ours. */
    rand_token(&p->net->rand, token, sizeof(token));
    p->contact_user =
        arena_fmt(p->arena, "%.*s-%.*s", STR_FMT(p->cfg->user), (int)sizeof(token), token);
    if (p->cfg->instance.n) {
        p->instance = arena_str(p->arena, p->cfg->instance);
    } else {
        rand_fill(&p->net->rand, u, sizeof(u)); /* RFC 9562 5.4 */
        u[6] = (uint8_t)((u[6] & 15) | 0x40);
        u[8] = (uint8_t)((u[8] & 63) | 0x80);
        p->instance = arena_fmt(
            p->arena,
            "urn:uuid:%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x", u[0],
            u[1], u[2], u[3], u[4], u[5], u[6], u[7], u[8], u[9], u[10], u[11], u[12], u[13], u[14],
            u[15]);
    }
    return p->aor.p && p->contact_user.p && p->instance.p ? 0 : ERR_NOMEM;
}

int phone_new(struct net *net, const struct phone_config *cfg, const struct phone_user *user,
              struct phone_out *out, struct phone **ret)
{
    struct phone *p = mem_zalloc(sizeof(*p));
    *ret = NULL;
    if (p == NULL)
        return ERR_NOMEM;
    p->net = net;
    p->cfg = cfg;
    p->user = *user;
    p->out = out;
    list_init(&p->requests);
    list_init(&p->calls);
    list_init(&p->judging);
    digest_client_init(&p->auth, cfg->logins, cfg->n_logins, cfg->allow_md5);
    reg_init(p);
    phone_watch_init(p);
    p->arena = arena_new(1024, 64u << 10);
    const struct sip_txl_user tu = {.arg = p,
                                    .send = txl_send,
                                    .on_request = txl_request,
                                    .on_ack = txl_ack,
                                    .on_stray = txl_stray,
                                    .on_stx_end = txl_stx_end,
                                    .on_stx_failed = txl_stx_failed};
    p->txl = sip_txl_new(&tu, net->wheel, &net->rand, net->worker, 1024);
    int err = p->arena && p->txl ? names_make(p) : ERR_NOMEM;
    if (err) {
        phone_free(p);
        return err;
    }
    *ret = p;
    return 0;
}

void phone_free(struct phone *p)
{
    if (p == NULL)
        return;
    p->user = (struct phone_user){0};
    phone_watch_stop(p);
    reg_done(p);
    LIST_EACH(c, &p->calls, struct call, node)
    call_free(c);
    call_in_gone(p, NULL);
    phone_requests_done(p);
    sip_txl_free(p->txl);
    digest_client_done(&p->auth);
    phone_flow_unset(p);
    arena_free(p->arena);
    mem_free(p);
}

/* ---- the flow ---- */

int phone_flow_set(struct phone *p, const struct path *path)
{
    char host[ADDR_TEXT_MAX];
    phone_flow_unset(p);
    p->flow_arena = arena_new(512, FLOW_BYTES);
    if (p->flow_arena == NULL)
        return ERR_NOMEM;
    struct str at = addr_text(&path->local, host);
    /* ";ob": requests within dialogs come along this flow as well (RFC 5626 4.3). */
    p->contact = arena_fmt(p->flow_arena, "<sip:%.*s@%.*s;transport=%s;ob>",
                           STR_FMT(p->contact_user), STR_FMT(at),
                           path->transport == TRANSPORT_TLS   ? "tls"
                           : path->transport == TRANSPORT_TCP ? "tcp"
                                                              : "udp");
    if (p->contact.p == NULL)
        return ERR_NOMEM;
    p->path = *path;
    p->has_path = true;
    return 0;
}

void phone_flow_unset(struct phone *p)
{
    phone_watch_stop(p);
    arena_free(p->flow_arena);
    p->flow_arena = NULL;
    p->contact = STR_NULL;
    p->has_path = false;
    digest_client_forget(&p->auth);
}

static bool is_ours(const struct phone *p, const struct path *path)
{
    if (!p->has_path || path->transport != p->path.transport)
        return false;
    if (path->transport == TRANSPORT_UDP)
        return addr_eq(&path->remote, &p->path.remote);
    return path->flow == p->path.flow;
}

const struct hop_facts *phone_hop(const struct phone *p)
{
    return p->has_path && p->path.flow ? net_facts(p->net, p->path.flow) : NULL;
}

/* RFC 4568 8.3: keys go in a description only over a hop that hides it and proves who is there. */
bool phone_hop_is_private(const struct phone *p)
{
    const struct hop_facts *h = phone_hop(p);
    return h != NULL && h->secure && h->peer_verified;
}

const struct reason *phone_call_why(const struct phone *p)
{
    return &p->call_why;
}

const struct path *phone_path(const struct phone *p)
{
    return p->has_path ? &p->path : NULL;
}

struct str phone_digest(const struct phone *p)
{
    return p->auth.algo;
}

bool phone_server_proved_itself(const struct phone *p)
{
    return p->auth.proved;
}

/* ---- from net ---- */

static void on_message(void *arg, const struct rx *rx)
{
    struct phone *p = arg;
    struct reason why = {0};
    struct sip_msg *m;
    if (!is_ours(p, &rx->path))
        return;
    phone_out_message(p->out, false, buf_str(rx->buf));
    struct arena *a = sip_txl_arena(p->txl);
    if (a == NULL || sip_msg_parse(a, buf_str(rx->buf), &m, &why) != 0 ||
        sip_txl_receive(p->txl, m, rx) != 0)
        sip_txl_arena_done(
            p->txl, a); /* what cannot be read is not answered; nor what there is no memory for */
}

static void on_flow_closed(void *arg, flow_id flow, const struct path *path, enum net_close_why why,
                           const struct reason *reason, void *flow_user)
{
    struct phone *p = arg;
    (void)path;
    (void)flow_user;
    bool is_present = p->has_path && p->path.flow == flow;
    if (is_present) {
        /* The REGISTER under way is not to report a failure of its own: the flow's says more. */
        phone_request_forget(p->reg.request);
        p->has_path = false;
    }
    sip_txl_flow_failed(p->txl, flow);
    if (is_present)
        reg_flow_closed(p, why, reason);
}

static void on_unreachable(void *arg, const struct path *path)
{
    struct phone *p = arg;
    if (is_ours(p, path))
        sip_txl_path_failed(p->txl, path);
}

void phone_net_user(struct phone *p, struct net_user *ret)
{
    *ret = (struct net_user){.arg = p,
                             .on_message = on_message,
                             .on_flow_closed = on_flow_closed,
                             .on_unreachable = on_unreachable};
}

static int txl_send(void *arg, const struct path *to, struct buf *msg)
{
    struct phone *p = arg;
    if (to->transport != TRANSPORT_UDP && to->flow == 0)
        return ERR_CLOSED; /* RFC 3261 18.2.2 would connect: not this phone */
    phone_out_message(p->out, true, buf_str(msg));
    return net_send(p->net, to, msg);
}

/* ---- the user's own signature ---- */

struct str phone_date(const struct phone *p, struct arena *a)
{
    char text[CANON_DATE_MAX];
    canon_date_build(net_wall_s(p->net), text);
    return arena_str(a, str_z(text));
}

int phone_sign(struct phone *p, struct arena *a, struct str message, struct str *ret)
{
    struct reason why = {0};
    int err = phone_signer_sign(p->cfg->signer, a, message, net_wall_s(p->net), ret, &why);
    if (err != 0 && err != ERR_NOTFOUND && p->user.on_not_signed)
        p->user.on_not_signed(p->user.arg, &why);
    return err;
}

bool phone_claims_user(const struct sip_msg *m)
{
    struct identity_hdr h;
    struct reason why;
    const struct sip_hdr *v;
    for (unsigned i = 0; i < LIMIT_IDENTITY_HEADERS &&
                         (v = sip_msg_hdr(m, SIP_H_IDENTITY, i)) != NULL; i++) {
        if (identity_hdr_parse(m->arena, v->value, &h, &why) == 0 && !h.is_rfc4474 &&
            passport_type_parse(h.ppt) == PASSPORT_MSEC)
            return true;
    }
    return false;
}

/* ---- requests to us ---- */

void phone_reply_with(struct phone *p, struct sip_stx *tx, struct sip_response *r)
{
    (void)p;
    if (sip_stx_reply(tx, r) != 0 && !sip_stx_is_final(tx) && r->status >= 200)
        sip_stx_drop(tx);
}

void phone_reply(struct phone *p, struct sip_stx *tx, unsigned status)
{
    struct sip_response r = {.status = status};
    if (status == 405 || status == 501)
        phone_add(&r, STR("Allow"), PHONE_ALLOW);
    if (status == 415)
        phone_add(&r, STR("Accept"), STR("application/sdp, text/plain"));
    phone_reply_with(p, tx, &r);
}

void phone_put_why(struct sbuf *b, const struct reason *why)
{
    size_t at = b->n;
    sbuf_fmt(b, "%s%s%s", why->code, why->detail[0] ? ": " : "", why->detail);
    for (; at < b->n; at++) {
        if (b->p[at] == '"' || b->p[at] == '\\')
            b->p[at] = '\'';
    }
}

void phone_reply_why(struct phone *p, struct sip_stx *tx, unsigned status, const struct reason *why)
{
    struct sip_response r = {.status = status};
    char text[REASON_DETAIL_MAX + 64];
    struct sbuf b = sbuf_make(text, sizeof(text));
    if (why->code == NULL || status < 300) {
        phone_reply(p, tx, status);
        return;
    }
    sbuf_lit(&b, "399 phone \"");
    phone_put_why(&b, why);
    sbuf_char(&b, '"');
    phone_add(&r, STR("Warning"), sbuf_get(&b));
    phone_reply_with(p, tx, &r);
}

/* 8.2.2.3: an extension that is required and that we do not have. */
static bool check_require(struct phone *p, struct sip_stx *tx, struct sip_msg *m)
{
    const struct str known[] = {STR("100rel"), STR("timer"), STR("outbound"), STR("path")};
    struct sip_values it = sip_values_start(m, SIP_H_REQUIRE);
    while (sip_values_next(&it)) {
        bool is_known = false;
        for (size_t i = 0; i < ARRAY_LEN(known); i++)
            is_known |= str_eq_nocase(it.value, known[i]);
        if (is_known)
            continue;
        struct sip_response r = {.status = 420};
        phone_add(&r, STR("Unsupported"), it.value);
        phone_reply_with(p, tx, &r);
        return false;
    }
    return true;
}

/* The Request-URI is our contact, or our address of record. */
static bool is_for_us(const struct phone *p, const struct sip_msg *m)
{
    if (m->uri.scheme != SIP_SCHEME_SIP && m->uri.scheme != SIP_SCHEME_SIPS)
        return false;
    return str_eq(m->uri.user, p->contact_user) ||
           (str_eq(m->uri.user, p->cfg->user) && str_eq_nocase(m->uri.host, p->cfg->domain));
}

static void take_text(struct phone *p, struct sip_stx *tx, struct sip_msg *m)
{
    const struct sip_hdr *type = sip_msg_hdr(m, SIP_H_CONTENT_TYPE, 0);
    struct str media;
    (void)str_cut(type ? type->value : STR(""), ';', &media);
    if (!str_eq_nocase(str_trim(media), STR("text/plain")) ||
        sip_msg_has(m, SIP_H_CONTENT_ENCODING)) {
        phone_reply(p, tx, 415);
        return;
    }
    if (p->user.on_text)
        p->user.on_text(p->user.arg, m->from.uri, m->body);
    phone_reply(p, tx, 200);
}

static void take_options(struct phone *p, struct sip_stx *tx)
{
    struct sip_response r = {
        .status = p->n_calls >= (p->cfg->max_calls ? p->cfg->max_calls : 1) ? 486 : 200}; /* 11.2 */
    phone_add(&r, STR("Allow"), PHONE_ALLOW);
    phone_add(&r, STR("Accept"), STR("application/sdp, text/plain"));
    phone_add(&r, STR("Supported"), PHONE_SUPPORTED);
    phone_reply_with(p, tx, &r);
}

static void request_alone(struct phone *p, struct sip_stx *tx, struct sip_msg *m,
                          const struct rx *rx)
{
    if (!is_for_us(p, m)) {
        phone_reply(p, tx, 404);
        return;
    }
    switch (m->method) {
    case SIP_INVITE:
        call_in(p, tx, m, rx);
        return;
    case SIP_OPTIONS:
        take_options(p, tx);
        return;
    case SIP_MESSAGE:
        take_text(p, tx, m);
        return;
    case SIP_BYE:
    case SIP_PRACK:
    case SIP_UPDATE:
    case SIP_NOTIFY:
        phone_reply(p, tx, 481);
        return;
    case SIP_REFER:
        phone_reply(p, tx,
                    603); /* nobody may make us call somebody without a call to talk about it */
        return;
    case SIP_SUBSCRIBE:
        phone_reply(p, tx, 489);
        return;
    default:
        phone_reply(p, tx, 405);
    }
}

static struct call *call_of_stx(struct phone *p, const struct sip_stx *tx)
{
    LIST_EACH(c, &p->calls, struct call, node)
    {
        if (c->stx == tx)
            return c;
    }
    return NULL;
}

static void txl_request(void *arg, struct sip_stx *tx, struct sip_stx *invite, struct sip_msg *m,
                        const struct rx *rx)
{
    struct phone *p = arg;
    struct call *c;
    if (m->method == SIP_CANCEL) { /* the layer has answered it */
        c = invite ? call_of_stx(p, invite) : NULL;
        if (c == NULL && invite != NULL && call_in_cancelled(p, invite))
            return;
        if (c != NULL)
            call_event(c, CALL_E_THEIR_CANCEL, m);
        return;
    }
    if (m->defect.sip_status) {
        phone_reply(p, tx, m->defect.sip_status);
        return;
    }
    if (!check_require(p, tx, m))
        return;
    if (!sip_msg_in_dialog(m)) {
        request_alone(p, tx, m, rx);
        return;
    }
    c = call_of_dialog(p, m);
    if (c != NULL)
        call_in_dialog(c, tx, m, rx);
    else if (!phone_watch_notified(p, tx, m))
        phone_reply(p, tx, 481); /* 12.2.2 */
}

static void txl_ack(void *arg, struct sip_msg *m, const struct rx *rx)
{
    struct call *c = call_of_dialog(arg, m);
    (void)rx;
    if (c != NULL && m->cseq == c->invite_cseq)
        call_event(c, CALL_E_ACK, m);
}

/* A 2xx that comes again, after its transaction has ended: its ACK was lost. */
static void txl_stray(void *arg, struct sip_msg *m, const struct rx *rx)
{
    struct phone *p = arg;
    (void)rx;
    if (m->cseq_method != SIP_INVITE || m->status < 200 || m->status > 299)
        return;
    LIST_EACH(c, &p->calls, struct call, node)
    {
        if (c->ack && c->dlg.arena && str_eq(c->dlg.call_id, m->call_id) &&
            str_eq(c->dlg.remote_tag, m->to_tag) && p->has_path)
            (void)!txl_send(p, &p->path,
                            m->cseq == c->change_cseq && c->change_ack ? c->change_ack : c->ack);
    }
}

static void txl_stx_end(void *arg, struct sip_stx *tx, void *upper)
{
    struct call *c = upper;
    call_in_gone(arg, tx);
    if (c != NULL && c->stx == tx)
        c->stx = NULL;
}

static void txl_stx_failed(void *arg, struct sip_stx *tx, void *upper, enum sip_tx_end why)
{
    (void)arg;
    (void)tx;
    (void)upper;
    (void)why; /* the timer of the 200 sees to it (13.3.1.4) */
}

/* ---- for the user ---- */

bool phone_is_registered(const struct phone *p)
{
    return p->reg.state == REG_UP;
}

void phone_start(struct phone *p)
{
    reg_event(p, REG_E_START);
}

void phone_leave(struct phone *p)
{
    p->is_leaving = true;
    reg_event(p, REG_E_LEAVE);
}

int phone_call(struct phone *p, struct str uri, phone_call_id *ret)
{
    struct call *c;
    *ret = 0;
    p->call_why = (struct reason){0};
    if (!p->has_path)
        return ERR_CLOSED;
    int err = call_out(p, uri, 0, STR_NULL, &c);
    if (!err)
        *ret = c->id;
    return err;
}

static int ringing(struct phone *p, phone_call_id id, struct call **ret)
{
    *ret = call_find(p, id);
    if (*ret == NULL)
        return ERR_NOTFOUND;
    return (*ret)->state == CALL_RINGING ? 0 : ERR_INVALID;
}

int phone_answer(struct phone *p, phone_call_id id)
{
    struct call *c;
    int err = ringing(p, id, &c);
    if (!err)
        call_event(c, CALL_E_ANSWER, NULL);
    return err;
}

int phone_refuse(struct phone *p, phone_call_id id, unsigned status)
{
    struct call *c;
    int err = ringing(p, id, &c);
    if (err || status < 300 || status > 699)
        return err ? err : ERR_INVALID;
    call_because(c, status, NULL);
    call_event(c, CALL_E_HANG_UP, NULL);
    return 0;
}

void phone_hang_up(struct phone *p, phone_call_id id)
{
    struct call *c = call_find(p, id);
    if (c != NULL)
        call_event(c, CALL_E_HANG_UP, NULL);
}

int phone_hold(struct phone *p, phone_call_id id, bool hold)
{
    struct call *c = call_find(p, id);
    return c == NULL ? ERR_NOTFOUND : c->state != CALL_UP ? ERR_INVALID : call_offer(c, hold);
}

int phone_dial(struct phone *p, phone_call_id id, struct str digits)
{
    struct call *c = call_find(p, id);
    return c && c->session.media ? p->cfg->media->dial(c->session.media, digits) : ERR_NOTFOUND;
}

int phone_refer(struct phone *p, phone_call_id id, struct str uri)
{
    struct call *c = call_find(p, id);
    return c == NULL ? ERR_NOTFOUND : c->state != CALL_UP ? ERR_INVALID : call_refer(c, uri);
}

struct phone_media *phone_call_media(struct phone *p, phone_call_id id)
{
    LIST_EACH(c, &p->calls, struct call, node)
    {
        if (c->id == id) /* of one that is ending, too: its figures are asked for then */
            return c->session.media;
    }
    return NULL;
}

bool phone_call_is_dialling(struct phone *p, phone_call_id id)
{
    struct phone_media *m = phone_call_media(p, id);
    return m && p->cfg->media->is_dialling(m);
}

/* ---- MESSAGE and OPTIONS of ours ---- */

static void on_sent(void *arg, struct request *r, struct sip_msg *m, const struct rx *rx,
                    enum sip_tx_end why)
{
    struct phone *p = arg;
    (void)rx;
    if (m != NULL && m->status < 200)
        return;
    phone_request_forget(r);
    if (p->user.on_sent == NULL)
        return;
    if (m == NULL)
        p->user.on_sent(p->user.arg, why == SIP_TX_TIMEOUT ? 408 : 503, NULL);
    else
        p->user.on_sent(p->user.arg, m->status, r->why.code ? &r->why : NULL);
}

static int send_alone(struct phone *p, enum sip_method method, struct str to, struct str type,
                      struct str body)
{
    char call_id[PHONE_CALL_ID_BYTES], tag[PHONE_TAG_BYTES];
    struct arena *a = arena_new(1024, 16u << 10);
    struct request *slot = NULL;
    struct str uri;
    int err = a ? phone_uri(p, a, to, &uri) : ERR_NOMEM;
    if (err == 0 && !p->has_path)
        err = ERR_CLOSED;
    if (err) {
        arena_free(a);
        return err;
    }
    rand_token(&p->net->rand, call_id, sizeof(call_id));
    rand_token(&p->net->rand, tag, sizeof(tag));
    struct request_args args = {.method = method,
                                .ruri = uri,
                                .cseq_counter = &p->text_cseq,
                                .content_type = type,
                                .body = body,
                                .fn = on_sent,
                                .arg = p};
    args.call_id = str_make(call_id, sizeof(call_id));
    args.from = arena_fmt(a, "<%.*s>;tag=%.*s", STR_FMT(p->aor), (int)sizeof(tag), tag);
    args.to = arena_fmt(a, "<%.*s>", STR_FMT(uri));
    if (args.from.p == NULL || args.to.p == NULL)
        err = ERR_NOMEM;
    else
        err = phone_request_start(p, &args, &slot);
    if (!err && slot)
        slot->slot = NULL; /* nobody keeps it */
    arena_free(a);
    return err;
}

int phone_send_text(struct phone *p, struct str to, struct str text)
{
    if (text.n > 1300) /* RFC 3428 8: nobody knows what transports are on the way */
        return ERR_LIMIT;
    return send_alone(p, SIP_MESSAGE, to, STR("text/plain;charset=UTF-8"), text);
}

int phone_ping(struct phone *p, struct str to)
{
    return send_alone(p, SIP_OPTIONS, to, STR_NULL, STR_NULL);
}

int phone_uri(const struct phone *p, struct arena *a, struct str text, struct str *ret)
{
    struct sip_uri u;
    if (sip_uri_parse(text, &u) == 0) {
        if (u.scheme == SIP_SCHEME_OTHER)
            return ERR_UNSUPPORTED;
        *ret = arena_str(a, text);
        return ret->p ? 0 : ERR_NOMEM;
    }
    if (str_find_char(text, '@') < text.n)
        *ret = arena_fmt(a, "sip:%.*s", STR_FMT(text));
    else
        *ret = arena_fmt(a, "sip:%.*s@%.*s", STR_FMT(text), STR_FMT(p->cfg->domain));
    if (ret->p == NULL)
        return ERR_NOMEM;
    return sip_uri_parse(*ret, &u) == 0 &&
                   (u.scheme == SIP_SCHEME_SIP || u.scheme == SIP_SCHEME_SIPS)
               ? 0
               : ERR_SYNTAX;
}

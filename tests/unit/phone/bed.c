#include "bed.h"
#include "base/mem.h"
#include <stdio.h>
#include <stdlib.h>

struct bed bed;

/* ---- what the phone tells ---- */

static void note(const char *fmt, ...) PRINTF_LIKE(1, 2);
static void note(const char *fmt, ...)
{
    va_list ap;
    size_t n = strlen(bed.log);
    va_start(ap, fmt);
    vsnprintf(bed.log + n, sizeof(bed.log) - n, fmt, ap);
    va_end(ap);
}

static void on_registered(void *arg, uint32_t expires_s)
{
    (void)arg;
    note("registered %u;", expires_s);
}

static void on_unregistered(void *arg, unsigned status, const struct reason *why, bool final,
                            uint64_t again_ms)
{
    (void)arg;
    note("unregistered %u %s%s;", status, why->code, final ? " final" : "");
    (void)again_ms;
}

static void on_left(void *arg)
{
    (void)arg;
    note("left;");
}

static void on_incoming(void *arg, phone_call_id call, struct str from, struct str to)
{
    (void)arg;
    (void)to;
    bed.call = call;
    note("incoming %.*s;", STR_FMT(from));
}

static void on_ringing(void *arg, phone_call_id call, unsigned status)
{
    (void)arg;
    (void)call;
    note("ringing %u;", status);
}

static void on_call_up(void *arg, phone_call_id call)
{
    (void)arg;
    bed.call = call;
    note("up;");
}

static void on_offered_less(void *arg, phone_call_id call, unsigned status)
{
    (void)arg;
    (void)call;
    note("less %u;", status);
}

static void on_call_end(void *arg, phone_call_id call, unsigned status, const struct reason *why)
{
    (void)arg;
    (void)call;
    note("end %u%s%s;", status, why ? " " : "", why ? why->code : "");
}

static void on_held(void *arg, phone_call_id call, bool by_them, bool is_held)
{
    (void)arg;
    (void)call;
    (void)by_them;
    note(is_held ? "held;" : "resumed;");
}

static void on_referred(void *arg, phone_call_id old, phone_call_id call)
{
    (void)arg;
    (void)old;
    bed.call = call;
    note("referred;");
}

static void on_refer_done(void *arg, phone_call_id call, unsigned status)
{
    (void)arg;
    (void)call;
    note("refer %u;", status);
}

static void on_changed(void *arg, phone_call_id call, unsigned status)
{
    (void)arg;
    (void)call;
    note("changed %u;", status);
}

static void on_digit(void *arg, phone_call_id call, char digit)
{
    (void)arg;
    (void)call;
    note("digit %c;", digit);
}

static void on_media(void *arg, phone_call_id call)
{
    (void)arg;
    (void)call;
    note("media;");
}

static void on_security(void *arg, phone_call_id call)
{
    (void)arg;
    (void)call;
    note("security;");
}

static void on_text(void *arg, struct str from, struct str text)
{
    (void)arg;
    note("text %.*s %.*s;", STR_FMT(from), STR_FMT(text));
}

static void on_sent(void *arg, unsigned status, const struct reason *why)
{
    (void)arg;
    note("sent %u%s%s;", status, why ? " " : "", why ? why->code : "");
}

static void on_verified(void *arg, phone_call_id call, struct str who,
                        const struct identity_result *r)
{
    (void)arg;
    (void)call;
    note("verified %.*s%s %.*s;", STR_FMT(identity_verdict_text(r->verdict)),
         r->by_user ? " user" : "", STR_FMT(who));
}

static void on_not_signed(void *arg, const struct reason *why)
{
    (void)arg;
    note("not-signed %s;", why->code);
}

static const struct phone_user user = {.on_verified = on_verified,
                                       .on_not_signed = on_not_signed,
                                       .on_registered = on_registered,
                                       .on_unregistered = on_unregistered,
                                       .on_left = on_left,
                                       .on_incoming = on_incoming,
                                       .on_ringing = on_ringing,
                                       .on_call_up = on_call_up,
                                       .on_offered_less = on_offered_less,
                                       .on_call_end = on_call_end,
                                       .on_held = on_held,
                                       .on_referred = on_referred,
                                       .on_refer_done = on_refer_done,
                                       .on_changed = on_changed,
                                       .on_digit = on_digit,
                                       .on_media = on_media,
                                       .on_security = on_security,
                                       .on_text = on_text,
                                       .on_sent = on_sent};

/* ---- media ---- */

struct phone_media {
    int unused;
};

static const struct sdp_codec pcma = {{"PCMA", 4}, 8000, 1, 8, {NULL, 0}};
static const struct sdp_new_attr print = {{"fingerprint", 11}, {"sha-256 AA:BB", 13}};

static int media_open(void *arg, const struct addr *local, struct rand_source *rand,
                      const struct phone_media_user *u, struct phone_media **ret,
                      struct reason *why)
{
    (void)arg;
    (void)local;
    (void)rand;
    (void)why;
    if (bed.open_error)
        return bed.open_error;
    *ret = mem_zalloc(sizeof(**ret));
    if (*ret == NULL)
        return ERR_NOMEM;
    bed.media_user = *u;
    bed.n_open++;
    return 0;
}

static void media_close(struct phone_media *m)
{
    bed.n_open--;
    mem_free(m);
}

static int media_offer(struct phone_media *m, struct arena *a, bool is_hop_private,
                       struct sdp_new_media *ret, struct reason *why)
{
    (void)m;
    (void)a;
    (void)is_hop_private;
    (void)why;
    *ret = (struct sdp_new_media){.kind = STR("audio"),
                                  .proto = STR("RTP/AVP"),
                                  .port = 7000,
                                  .codecs = &pcma,
                                  .n_codecs = 1,
                                  .attrs = &print,
                                  .n_attrs = bed.has_print};
    return 0;
}

static int media_answer(struct phone_media *m, struct arena *a, const struct sdp *offer, int media,
                        bool is_hop_private, struct sdp_new_media *ret, struct reason *why)
{
    (void)m;
    (void)a;
    (void)is_hop_private;
    (void)why;
    if (bed.answer_error || offer->media[media].kind != SDP_AUDIO)
        return ERR_UNSUPPORTED;
    ret->port = 7000;
    ret->codecs = &pcma;
    ret->n_codecs = 1;
    ret->fmts = STR_NULL;
    ret->attrs = &print;
    ret->n_attrs = bed.has_print;
    return 0;
}

static int media_check(struct phone_media *m, const struct sdp *offer, int media,
                       bool is_hop_private, struct reason *why)
{
    (void)m;
    (void)is_hop_private;
    if (bed.check_error)
        reason_set(why, "media-test", "RFC 3264 6", 488, "not \"this\" media");
    return offer->media[media].kind != SDP_AUDIO ? ERR_UNSUPPORTED : bed.check_error;
}

static int media_agreed(struct phone_media *m, const struct phone_media_exchange *x,
                        struct reason *why)
{
    (void)m;
    if (bed.agree_error) {
        reason_set(why, "media-test", NULL, 488, NULL);
        return bed.agree_error;
    }
    bed.n_agreed++;
    bed.dir = x->dir;
    bed.branch = x->branch;
    snprintf(bed.remote, sizeof(bed.remote), "%.*s", STR_FMT(x->remote->text));
    return 0;
}

static void media_rollback(struct phone_media *m)
{
    (void)m;
    bed.n_rollback++;
}

static void media_settled(struct phone_media *m)
{
    (void)m;
    bed.n_settled++;
}

static bool media_next_way(struct phone_media *m)
{
    (void)m;
    if (bed.ways_left == 0)
        return false;
    bed.ways_left--;
    return true;
}

static bool media_failure(struct phone_media *m, struct reason *ret)
{
    (void)m;
    if (bed.has_failed)
        reason_set(ret, "media-failed", "RFC 5763 5", 488, "no keys");
    return bed.has_failed;
}

static int media_dial(struct phone_media *m, struct str digits)
{
    (void)m;
    return str_copy_z(bed.dialled, sizeof(bed.dialled), digits);
}

static bool media_is_dialling(struct phone_media *m)
{
    (void)m;
    return bed.is_dialling;
}

static void media_figures(struct phone_media *m, struct phone_media_figures *ret)
{
    (void)m;
    *ret = (struct phone_media_figures){.codec = "PCMA"};
}

static void media_security(struct phone_media *m, struct phone_media_security *ret)
{
    (void)m;
    *ret = (struct phone_media_security){.method = "none"};
}

static const struct phone_media_ops media_ops = {.open = media_open,
                                                 .close = media_close,
                                                 .offer = media_offer,
                                                 .answer = media_answer,
                                                 .check = media_check,
                                                 .agreed = media_agreed,
                                                 .rollback = media_rollback,
                                                 .settled = media_settled,
                                                 .next_way = media_next_way,
                                                 .failure = media_failure,
                                                 .dial = media_dial,
                                                 .is_dialling = media_is_dialling,
                                                 .figures = media_figures,
                                                 .security = media_security};

/* ---- life ---- */

static void party_add(const char *name, enum transport t, const char *addr)
{
    struct sim_party *p = &bed.sim.party[bed.sim.n_parties++];
    memset(p, 0, sizeof(*p));
    snprintf(p->name, sizeof(p->name), "%s", name);
    p->transport = t;
    assert_int_equal(addr_parse_hostport(&p->addr, str_z(addr)), 0);
    p->dialled = true;
}

int bed_setup(void **state)
{
    (void)state;
    memset(&bed, 0, sizeof(bed));
    assert_int_equal(sim_init(&bed.sim), 0);
    bed.sim.n_listeners = 1;
    bed.sim.listener_transport[0] = TRANSPORT_TCP;
    assert_int_equal(addr_parse_hostport(&bed.sim.listener_addr[0], STR("192.0.2.50:5062")), 0);
    party_add("server", TRANSPORT_TCP, "192.0.2.1:5060");
    party_add("stranger", TRANSPORT_TCP, "192.0.2.66:5060");
    party_add("datagram", TRANSPORT_UDP, "192.0.2.1:5060");
    bed.server = &bed.sim.party[0];
    bed.arena = arena_new(65536, 16 << 20);
    bed.cfg = (struct phone_config){.user = STR("alice"),
                                    .domain = STR("example.com"),
                                    .server = STR("192.0.2.1"),
                                    .has_transport = true,
                                    .transport = TRANSPORT_TCP,
                                    .media = &media_ops,
                                    .n_logins = 1};
    bed.cfg.logins[0].realm = STR("example.com");
    bed.cfg.logins[0].user = STR("alice");
    bed.cfg.local = bed.sim.listener_addr[0];
    return bed.arena && secret_set(&bed.cfg.logins[0].password, "secret", 6) == 0 ? 0 : -1;
}

int bed_teardown(void **state)
{
    (void)state;
    phone_free(bed.phone);
    assert_int_equal(bed.n_open, 0);
    sim_done(&bed.sim);
    arena_free(bed.arena);
    return 0;
}

void bed_start(void)
{
    phone_free(bed.phone);
    assert_int_equal(phone_new(&bed.sim.net, &bed.cfg, &user, &bed.out, &bed.phone), 0);
    phone_net_user(bed.phone, &bed.sim.net.user);
    phone_start(bed.phone);
    sim_settle(&bed.sim);
}

void bed_register(void)
{
    bed_start();
    bed_reply(bed_take("REGISTER"), 401, BED_CHALLENGE, NULL);
    struct sip_msg *m = bed_take("REGISTER");
    assert_true(bed_knows(m, "Authorization", "secret"));
    char extra[512];
    snprintf(extra, sizeof(extra), "Contact: %s\nRequire: outbound\n", bed_header(m, "Contact"));
    bed_reply(m, 200, extra, NULL);
    bed_told("registered 3600;");
}

/* ---- messages ---- */

/* Keep-alives are no messages; a test that wants one looks into the queue before it asks. */
bool bed_has(void)
{
    while (bed.server->n) {
        struct buf *b = bed.server->queue[bed.server->head % SIM_QUEUE].buf;
        if (b->n >= 30)
            return true;
        buf_unref(b);
        bed.server->head = (bed.server->head + 1) % SIM_QUEUE;
        bed.server->n--;
    }
    return false;
}

void bed_nothing(void)
{
    if (bed_has()) {
        struct buf *b = bed.server->queue[bed.server->head % SIM_QUEUE].buf;
        fail_msg("there is a message: %.*s", (int)b->n, b->p);
    }
}

struct sip_msg *bed_take(const char *method)
{
    struct sip_msg *m;
    struct reason why = {0};
    if (!bed_has())
        fail_msg("no %s is there", method ? method : "message");
    struct buf *b = bed.server->queue[bed.server->head % SIM_QUEUE].buf;
    bed.server->head = (bed.server->head + 1) % SIM_QUEUE;
    bed.server->n--;
    struct str bytes = arena_str(bed.arena, buf_str(b));
    buf_unref(b);
    if (sip_msg_parse(bed.arena, bytes, &m, &why) != 0 || m->defect.sip_status)
        fail_msg("%s %s: %.*s", why.detail, m ? m->defect.detail : "", STR_FMT(bytes));
    if (method && m->is_request && !str_eq(m->method_text, str_z(method)))
        fail_msg("%.*s, not %s", STR_FMT(m->method_text), method);
    if (method && !m->is_request && (unsigned)atol(method) != m->status)
        fail_msg("%u, not %s", m->status, method);
    return m;
}

const char *bed_header(const struct sip_msg *m, const char *name)
{
    const struct sip_hdr *h = sip_msg_hdr_named(m, str_z(name), 0);
    return h ? arena_str(bed.arena, h->value).p : "";
}

void bed_deliver(const char *text)
{
    char out[16384];
    size_t n = 0;
    for (; *text && n + 2 < sizeof(out); text++) {
        if (*text == '\n')
            out[n++] = '\r';
        out[n++] = *text;
    }
    sim_deliver(&bed.sim, bed.server, str_make(out, n));
}

static size_t crlf_len(const char *body)
{
    size_t n = 0;
    for (; body && *body; body++)
        n += *body == '\n' ? 2 : 1;
    return n;
}

static void put_body(char *dst, size_t cap, const char *extra, const char *body)
{
    snprintf(dst, cap, "%s%sContent-Length: %zu\n\n%s", extra ? extra : "",
             body && (extra == NULL || strstr(extra, "Content-Type") == NULL)
                 ? "Content-Type: application/sdp\n"
                 : "",
             crlf_len(body), body ? body : "");
}

void bed_reply_tag(const struct sip_msg *m, unsigned status, const char *tag, const char *extra,
                   const char *body)
{
    char text[12288], tail[8192], to[512];
    put_body(tail, sizeof(tail), extra, body);
    snprintf(to, sizeof(to), "%s%s%s", bed_header(m, "To"),
             m->to_tag.n || status == 100 ? "" : ";tag=", m->to_tag.n || status == 100 ? "" : tag);
    snprintf(text, sizeof(text),
             "SIP/2.0 %u X\nVia: %s\nFrom: %s\nTo: %s\nCall-ID: %s\nCSeq: %s\n%s", status,
             bed_header(m, "Via"), bed_header(m, "From"), to, bed_header(m, "Call-ID"),
             bed_header(m, "CSeq"), tail);
    bed_deliver(text);
}

void bed_reply(const struct sip_msg *m, unsigned status, const char *extra, const char *body)
{
    bed_reply_tag(m, status, "srv", extra, body);
}

void bed_request(const char *method, unsigned cseq, const char *branch, const char *to_tag,
                 const char *extra, const char *body)
{
    char text[12288], tail[8192];
    put_body(tail, sizeof(tail), extra, body);
    snprintf(
        text, sizeof(text),
        "%s sip:%.*s@192.0.2.50:5062 SIP/2.0\nVia: SIP/2.0/TCP 192.0.2.1:5060;branch=z9hG4bK%s\n"
        "Max-Forwards: 70\nFrom: <sip:bob@example.com>;tag=bob\nTo: <sip:alice@example.com>%s%s\n"
        "Call-ID: in1\nCSeq: %u %s\nContact: <sip:bob@192.0.2.9>\n%s",
        method, STR_FMT(bed.phone->contact_user), branch, to_tag ? ";tag=" : "",
        to_tag ? to_tag : "", cseq, method, tail);
    bed_deliver(text);
}

void bed_in_dialog(const struct sip_msg *invite, const char *method, unsigned cseq,
                   const char *branch, const char *extra, const char *body)
{
    char text[12288], tail[8192];
    put_body(tail, sizeof(tail), extra, body);
    snprintf(
        text, sizeof(text),
        "%s sip:%.*s@192.0.2.50:5062 SIP/2.0\nVia: SIP/2.0/TCP 192.0.2.1:5060;branch=z9hG4bK%s\n"
        "Max-Forwards: 70\nFrom: <sip:bob@example.com>;tag=srv\nTo: %s\nCall-ID: %s\nCSeq: %u %s\n"
        "Contact: <sip:bob@192.0.2.9>\n%s",
        method, STR_FMT(bed.phone->contact_user), branch, bed_header(invite, "From"),
        bed_header(invite, "Call-ID"), cseq, method, tail);
    bed_deliver(text);
}

void bed_wait(uint64_t ms)
{
    sim_advance(&bed.sim, ms);
}

void bed_told(const char *expected)
{
    assert_string_equal(bed.log, expected);
    bed.log[0] = '\0';
}

bool bed_was_told(const char *part)
{
    bool is = strstr(bed.log, part) != NULL;
    bed.log[0] = '\0';
    return is;
}

bool bed_knows(const struct sip_msg *m, const char *header, const char *password)
{
    struct digest_credentials c;
    struct digest_ha1 ha1;
    struct reason why = {0};
    const char *v = bed_header(m, header);
    if (*v == '\0')
        return false;
    assert_int_equal(digest_credentials_parse(bed.arena, str_z(v), &c, &why), 0);
    assert_int_equal(digest_ha1_make(c.algo, c.username, c.realm, str_z(password), &ha1), 0);
    check_str(c.uri, arena_str(bed.arena, m->ruri).p);
    return digest_check(&c, &ha1, m->method_text, m->body, &why) == 0;
}

/* ---- the null net ---- */

static int null_send(struct net *n, const struct path *to, struct buf *msg)
{
    (void)n;
    (void)to;
    (void)msg;
    return 0;
}

static int null_connect(struct net *n, const struct net_connect_args *args, flow_id *ret_flow,
                        struct path *ret_path)
{
    (void)n;
    *ret_flow = 7;
    *ret_path = (struct path){.transport = args->transport,
                              .flow = 7,
                              .local = bed.sim.listener_addr[0],
                              .remote = args->remote};
    return 0;
}

static void null_close(struct net *n, flow_id flow, enum net_close_why why)
{
    (void)n;
    (void)flow;
    (void)why;
}

static void null_set_idle(struct net *n, flow_id flow, uint64_t ms)
{
    (void)n;
    (void)flow;
    (void)ms;
}

static const struct hop_facts *null_facts(struct net *n, flow_id flow)
{
    static const struct hop_facts facts = {.outgoing = true};
    (void)n;
    (void)flow;
    return &facts;
}

static int null_post(struct net *n, unsigned worker, void (*fn)(void *, void *), void *arg)
{
    (void)n;
    (void)worker;
    (void)fn;
    (void)arg;
    return 0;
}

void bed_net_null(struct net *ret)
{
    static const struct net_ops ops = {.send = null_send,
                                       .connect = null_connect,
                                       .close = null_close,
                                       .facts = null_facts,
                                       .set_idle = null_set_idle,
                                       .post = null_post};
    *ret = bed.sim.net;
    ret->ops = &ops;
}

/* The proxied call: a caller and the called phone behind the server, INVITE, 180, 200, ACK, BYE,
 * 200. Requests within the dialog follow the route set that Record-Route made, and each end checks
 * that what reaches it is what a proxy may make of what the other end sent. RFC 3261 12, 13,
 * 15, 16.6, 16.7, 16.12. One thread. */
#include "load.h"

#include <stdio.h>

#define SDP                                                                                        \
    "v=0\r\no=- 3724394400 3724394405 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n"  \
    "m=audio 30000 RTP/AVP 8 0 101\r\na=rtpmap:8 PCMA/8000\r\na=rtpmap:0 PCMU/8000\r\n"            \
    "a=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15\r\na=ptime:20\r\na=sendrecv\r\n"

static struct slice proto_name(enum proto proto)
{
    return proto == PROTO_UDP ? S("UDP") : proto == PROTO_TCP ? S("TCP") : S("TLS");
}

static struct slice proto_param(enum proto proto)
{
    return proto == PROTO_UDP   ? S("")
           : proto == PROTO_TCP ? S(";transport=tcp")
                                : S(";transport=tls");
}

static void call_via(struct out *o, const struct load *l, const struct unit *u, char kind)
{
    out_lit(o, "Via: SIP/2.0/");
    out_slice(o, proto_name(u->link->proto));
    out_lit(o, " ");
    out_text(o, u->link->local_text);
    out_lit(o, ";rport;branch=");
    out_branch(o, l, u, kind);
    out_lit(o, "\r\n");
}

static void call_target(struct out *o, const struct load *l, const struct unit *u)
{
    out_lit(o, "sip:");
    if (l->opt.identity != IDENTITY_NONE) {
        out_lit(o, "+");
        identity_callee(o, u);
    } else {
        if (l->opt.callee_users)
            out_lit(o, "u");
        else
            out_lit(o, "callee");
        out_number(o, u->user);
    }
    out_lit(o, "@");
    out_text(o, l->opt.domain);
}

static void call_from(struct out *o, const struct load *l, const struct unit *u)
{
    out_lit(o, "From: \"Load\" <sip:");
    if (l->opt.identity != IDENTITY_NONE) {
        out_lit(o, "+");
        identity_caller(o);
    } else {
        out_lit(o, "caller");
    }
    out_lit(o, "@");
    out_text(o, l->opt.from_domain);
    out_lit(o, ">;tag=c");
    out_hex(o, u->serial, 8);
    out_hex(o, l->run_id, 8);
    out_lit(o, "\r\n");
}

static int call_prepare(struct load *l)
{
    struct sockaddr_in any = l->opt.uas;

    if (l->opt.proto == PROTO_UDP)
        return wire_udp(&l->wire, any, NULL, LINK_SERVER) == NULL ? -1 : 0;
    return wire_listen(&l->wire, l->opt.proto, any) == NULL ? -1 : 0;
}

static void call_begin(struct load *l, struct unit *u)
{
    struct out o = {u->sent, 0, sizeof(u->sent), false};

    out_lit(&o, "INVITE ");
    call_target(&o, l, u);
    out_lit(&o, " SIP/2.0\r\n");
    call_via(&o, l, u, 'i');
    out_lit(&o, "Max-Forwards: 70\r\n");
    call_from(&o, l, u);
    out_lit(&o, "To: <");
    call_target(&o, l, u);
    out_lit(&o, ">\r\nCall-ID: ");
    out_call_id(&o, l, u);
    out_lit(&o, "\r\nCSeq: 1 INVITE\r\n");
    identity_header(&o, l, u);
    out_lit(&o, "Contact: <sip:caller@");
    out_text(&o, u->link->local_text);
    out_slice(&o, proto_param(u->link->proto));
    out_lit(&o, ">\r\nAllow: INVITE, ACK, CANCEL, BYE, OPTIONS\r\nSupported: replaces\r\n"
                "User-Agent: sipload\r\nContent-Type: application/sdp\r\nContent-Length: ");
    out_number(&o, sizeof(SDP) - 1);
    out_lit(&o, "\r\n\r\n" SDP);
    u->state = UNIT_FIRST;
    u->callee.serial = 0;
    unit_send(l, u, &o);
}

/* RFC 3261 12.1.2: the caller's route set is the Record-Route values in reverse order. */
static bool call_route(struct out *o, const struct text *t)
{
    struct slice values[LOAD_LINES];
    size_t n = 0;

    for (size_t i = 0; i < t->n_record_route; i++) {
        struct slice line = t->record_route[i], value;
        while (text_next_value(&line, &value)) {
            if (n == LOAD_LINES)
                return false;
            values[n++] = value;
        }
    }
    if (n == 0 || memmem(values[n - 1].p, values[n - 1].len, ";lr", 3) == NULL)
        return false;
    while (n > 0) {
        out_lit(o, "Route: ");
        out_slice(o, values[--n]);
        out_lit(o, "\r\n");
    }
    return true;
}

static bool call_in_dialog(struct load *l, struct unit *u, struct out *o, struct slice method,
                           char kind, uint32_t cseq, const struct text *ok)
{
    out_slice(o, method);
    out_lit(o, " ");
    out_slice(o, text_uri(ok->contact[0]));
    out_lit(o, " SIP/2.0\r\n");
    call_via(o, l, u, kind);
    out_lit(o, "Max-Forwards: 70\r\n");
    if (!call_route(o, ok))
        return false;
    call_from(o, l, u);
    out_lit(o, "To: ");
    out_slice(o, ok->to);
    out_lit(o, "\r\nCall-ID: ");
    out_call_id(o, l, u);
    out_lit(o, "\r\nCSeq: ");
    out_number(o, cseq);
    out_lit(o, " ");
    out_slice(o, method);
    out_lit(o, "\r\nContent-Length: 0\r\n\r\n");
    return !o->cut;
}

/* RFC 3261 17.1.1.3: the ACK of a refusal belongs to the INVITE's transaction. */
static void call_ack_refusal(struct load *l, struct unit *u, const struct text *t)
{
    char bytes[LOAD_MESSAGE_BYTES];
    struct out o = {bytes, 0, sizeof(bytes), false};

    out_lit(&o, "ACK ");
    call_target(&o, l, u);
    out_lit(&o, " SIP/2.0\r\n");
    call_via(&o, l, u, 'i');
    out_lit(&o, "Max-Forwards: 70\r\n");
    call_from(&o, l, u);
    out_lit(&o, "To: ");
    out_slice(&o, t->to);
    out_lit(&o, "\r\nCall-ID: ");
    out_call_id(&o, l, u);
    out_lit(&o, "\r\nCSeq: 1 ACK\r\nContent-Length: 0\r\n\r\n");
    link_send(u->link, o.p, o.len, NULL);
}

static void call_answered(struct load *l, struct unit *u, const struct text *t)
{
    struct out ack = {u->ack, 0, sizeof(u->ack), false};
    struct out bye = {u->sent, 0, sizeof(u->sent), false};

    unit_latency(l, u);
    if (t->n_contact != 1 || memmem(t->contact[0].p, t->contact[0].len, "callee@", 7) == NULL) {
        unit_fail_check(l, u, "Contact of the 200 is not the callee's", t);
        return;
    }
    if (!slice_eq(t->body, S(SDP))) {
        unit_fail_check(l, u, "body of the 200 was changed", t);
        return;
    }
    if (!call_in_dialog(l, u, &ack, S("ACK"), 'a', 1, t)) {
        unit_fail_check(l, u, "no usable route set in the 200", t);
        return;
    }
    u->ack_len = ack.len;
    link_send(u->link, u->ack, u->ack_len, NULL);
    if (!call_in_dialog(l, u, &bye, S("BYE"), 'b', 2, t))
        return;
    u->state = UNIT_SECOND;
    unit_send(l, u, &bye);
}

static void call_response(struct load *l, struct unit *u, char kind, const struct text *t)
{
    if (text_count_values(t->via, t->n_via) != 1 || t->max_forwards.len > 0) {
        unit_fail_check(l, u, "Via of a response", t);
        return;
    }
    if (kind == 'b') {
        if (u->state != UNIT_SECOND || t->status < 200)
            return;
        if (t->status == 200)
            unit_done(l, u);
        else
            unit_fail_status(l, u, t);
        return;
    }
    if (kind != 'i')
        return;
    if (t->status < 200) {
        if (u->state == UNIT_FIRST)
            u->resend_ns = UINT64_MAX;
    } else if (t->status == 200) {
        if (u->state == UNIT_FIRST)
            call_answered(l, u, t);
        else if (u->ack_len > 0)
            link_send(u->link, u->ack, u->ack_len, NULL); /* RFC 3261 13.2.2.4 */
    } else {
        call_ack_refusal(l, u, t);
        if (u->state == UNIT_FIRST)
            unit_fail_status(l, u, t);
    }
}

const struct scenario scenario_call = {
    .name = "call", .prepare = call_prepare, .begin = call_begin, .response = call_response};

/* ---- the called side ---- */

/* The unit a request at the called side belongs to, by the Call-ID the caller made. */
static struct unit *callee_unit(struct load *l, const struct text *t)
{
    char want[64];
    uint64_t slot = 0;

    if (t->call_id.len < 8)
        return NULL;
    for (int i = 0; i < 4; i++) {
        char c = t->call_id.p[i];
        slot = slot * 16 + (uint64_t)(c >= 'a' ? c - 'a' + 10 : c - '0');
    }
    if (slot >= LOAD_SLOTS)
        return NULL;
    struct out o = {want, 0, sizeof(want), false};
    out_call_id(&o, l, &l->units[slot]);
    return slice_eq(t->call_id, (struct slice){want, o.len}) ? &l->units[slot] : NULL;
}

static void callee_reply(struct out *o, const struct text *t, struct slice status,
                         const struct unit *u, bool makes_dialog)
{
    out_lit(o, "SIP/2.0 ");
    out_slice(o, status);
    out_lit(o, "\r\n");
    out_lines(o, S("Via"), t->via, t->n_via);
    if (makes_dialog)
        out_lines(o, S("Record-Route"), t->record_route, t->n_record_route);
    out_lit(o, "From: ");
    out_slice(o, t->from);
    out_lit(o, "\r\nTo: ");
    out_slice(o, t->to);
    if (text_param(t->to, S("tag")).len == 0) {
        out_lit(o, ";tag=d");
        out_hex(o, u->serial, 8);
    }
    out_lit(o, "\r\nCall-ID: ");
    out_slice(o, t->call_id);
    out_lit(o, "\r\nCSeq: ");
    out_number(o, t->cseq);
    out_lit(o, " ");
    out_slice(o, t->method);
    out_lit(o, "\r\n");
}

static void callee_contact(struct out *o, const struct load *l)
{
    out_lit(o, "Contact: <sip:callee@127.0.0.1:");
    out_number(o, ntohs(l->opt.uas.sin_port));
    out_slice(o, proto_param(l->opt.proto));
    out_lit(o, ">\r\n");
}

static void callee_invite(struct load *l, struct unit *u, struct link *link, const struct text *t,
                          const struct sockaddr_in *from)
{
    struct callee *c = &u->callee;
    char bytes[LOAD_MESSAGE_BYTES];
    struct out ringing = {bytes, 0, sizeof(bytes), false};
    struct out ok = {c->ok, 0, sizeof(c->ok), false};

    if (c->serial == u->serial) { /* a retransmission */
        if (!c->acked)
            link_send(link, c->ok, c->ok_len, from);
        return;
    }
    if (t->n_record_route == 0 || text_count_values(t->via, t->n_via) != 2 ||
        !slice_eq(t->max_forwards, S("69")) || !slice_eq(t->body, S(SDP)) || t->n_route > 0) {
        unit_fail_check(l, u, "INVITE at the callee: Record-Route, Via, Max-Forwards, body", t);
        return;
    }
    if (l->opt.identity >= IDENTITY_EXPECT && !identity_is_for(t, u)) {
        unit_fail_check(l, u, "INVITE at the callee: no Identity, or of another call", t);
        return;
    }
    callee_reply(&ringing, t, S("180 Ringing"), u, true);
    callee_contact(&ringing, l);
    out_lit(&ringing, "Content-Length: 0\r\n\r\n");
    callee_reply(&ok, t, S("200 OK"), u, true);
    callee_contact(&ok, l);
    out_lit(&ok, "Allow: INVITE, ACK, CANCEL, BYE, OPTIONS\r\nSupported: replaces\r\n"
                 "Content-Type: application/sdp\r\nContent-Length: ");
    out_number(&ok, sizeof(SDP) - 1);
    out_lit(&ok, "\r\n\r\n" SDP);
    if (ringing.cut || ok.cut) {
        unit_fail_check(l, u, "INVITE at the callee is too long", t);
        return;
    }
    c->serial = u->serial;
    c->acked = c->said_bye = false;
    c->link = link;
    c->to = *from;
    c->ok_len = ok.len;
    c->resend_gap_ns = LOAD_T1_MS * NS_PER_MS;
    c->resend_ns = l->now_ns + c->resend_gap_ns;
    link_send(link, ringing.p, ringing.len, from);
    link_send(link, ok.p, ok.len, from);
}

static bool callee_target_ok(const struct load *l, const struct text *t)
{
    char want[128];
    struct out o = {want, 0, sizeof(want), false};

    out_lit(&o, "sip:callee@127.0.0.1:");
    out_number(&o, ntohs(l->opt.uas.sin_port));
    out_slice(&o, proto_param(l->opt.proto));
    return slice_eq(t->uri, (struct slice){want, o.len}) && t->n_route == 0;
}

void call_request(struct load *l, struct link *link, const struct text *t,
                  const struct sockaddr_in *from)
{
    struct unit *u = callee_unit(l, t);
    char bytes[LOAD_MESSAGE_BYTES];
    struct out o = {bytes, 0, sizeof(bytes), false};

    if (slice_eq(t->method, S("OPTIONS"))) { /* a server that asks whether its next hop is alive */
        callee_reply(&o, t, S("200 OK"), &l->units[0], false);
        out_lit(&o, "Content-Length: 0\r\n\r\n");
        link_send(link, o.p, o.len, from);
        return;
    }
    if (u == NULL) {
        l->all.stray++;
    } else if (slice_eq(t->method, S("INVITE"))) {
        callee_invite(l, u, link, t, from);
    } else if (u->callee.serial != u->serial) {
        l->all.stray++;
    } else if (slice_eq(t->method, S("ACK"))) {
        if (!callee_target_ok(l, t))
            unit_fail_check(l, u, "ACK at the callee: Request-URI or Route", t);
        u->callee.acked = true;
        u->callee.resend_ns = UINT64_MAX;
    } else if (slice_eq(t->method, S("BYE"))) {
        if (!callee_target_ok(l, t)) {
            unit_fail_check(l, u, "BYE at the callee: Request-URI or Route", t);
            return;
        }
        if (l->opt.identity == IDENTITY_EXPECT && !identity_is_for(t, u)) {
            unit_fail_check(l, u, "BYE at the callee: no Identity, or of another call", t);
            return;
        }
        u->callee.said_bye = true;
        callee_reply(&o, t, S("200 OK"), u, false);
        out_lit(&o, "Content-Length: 0\r\n\r\n");
        link_send(link, o.p, o.len, from);
    }
}

/* RFC 3261 13.3.1.4: the 200 is repeated until the ACK comes. */
void call_resend(struct load *l, struct unit *u)
{
    struct callee *c = &u->callee;

    if (c->serial != u->serial || c->serial == 0 || c->acked || l->now_ns < c->resend_ns ||
        c->link == NULL || c->link->proto != PROTO_UDP)
        return;
    c->resend_gap_ns *= 2;
    if (c->resend_gap_ns > LOAD_T2_MS * NS_PER_MS)
        c->resend_ns = UINT64_MAX;
    else
        c->resend_ns = l->now_ns + c->resend_gap_ns;
    l->all.retransmissions++;
    link_send(c->link, c->ok, c->ok_len, &c->to);
}

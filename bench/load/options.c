/* OPTIONS to the server's own domain: RFC 3261 11. One thread. */
#include "load.h"

static void options_begin(struct load *l, struct unit *u)
{
    struct out o = {u->sent, 0, sizeof(u->sent), false};

    out_lit(&o, "OPTIONS sip:");
    out_text(&o, l->opt.domain);
    out_lit(&o, " SIP/2.0\r\nVia: SIP/2.0/");
    out_text(&o, u->link->proto == PROTO_UDP   ? "UDP "
                 : u->link->proto == PROTO_TCP ? "TCP "
                                               : "TLS ");
    out_text(&o, u->link->local_text);
    out_lit(&o, ";rport;branch=");
    out_branch(&o, l, u, 'o');
    out_lit(&o, "\r\nMax-Forwards: 70\r\nFrom: <sip:ping@trunk.bench.test>;tag=o");
    out_hex(&o, u->serial, 8);
    out_lit(&o, "\r\nTo: <sip:");
    out_text(&o, l->opt.domain);
    out_lit(&o, ">\r\nCall-ID: ");
    out_call_id(&o, l, u);
    out_lit(&o, "\r\nCSeq: 1 OPTIONS\r\nAccept: application/sdp\r\nUser-Agent: sipload\r\n"
                "Content-Length: 0\r\n\r\n");
    u->state = UNIT_FIRST;
    unit_send(l, u, &o);
}

static void options_response(struct load *l, struct unit *u, char kind, const struct text *t)
{
    char want[64];
    struct out o = {want, 0, sizeof(want), false};

    if (kind != 'o' || t->status < 200)
        return;
    out_call_id(&o, l, u);
    if (t->status != 200) {
        unit_fail_status(l, u, t);
    } else if (!slice_eq(t->call_id, (struct slice){want, o.len}) || t->cseq != 1 ||
               !slice_eq(t->method, S("OPTIONS")) || text_param(t->to, S("tag")).len == 0 ||
               text_count_values(t->via, t->n_via) != 1) {
        unit_fail_check(l, u, "Call-ID, CSeq, To tag or Via of the 200", t);
    } else {
        unit_latency(l, u);
        unit_done(l, u);
    }
}

const struct scenario scenario_options = {
    .name = "options", .begin = options_begin, .response = options_response};

/* Descriptions of calls that are not anchored, on their way through the proxy. Two things it does
 * not let pass, whatever the phones have agreed on: a key over a hop that others can read (RFC 4568
 * 8), and media without keys between our domain and another one, unless policy says so (TR/100 8:
 * "essential when transmitting media over the public Internet"). All else is untouched (RFC
 * 3261 16.6). What cannot be read is refused where one of the two might be in it. Worker thread. */
#include "base/log.h"
#include "edge/anchor/anchor_priv.h"
#include "pki/cms.h"
#include "sip/smime.h"

static bool may_describe(enum sip_method m)
{
    return m == SIP_INVITE || m == SIP_ACK || m == SIP_PRACK || m == SIP_UPDATE;
}

static bool is_foreign(const struct config_peer *p)
{
    return !p || p->kind == CONFIG_PEERING || p->kind == CONFIG_SUBSCRIPTION;
}

/* May media between the two sides go without keys? What is said of the outer one counts; of one
 * that nothing is said of, our own domain's line. Within the enterprise, its sites, servers and
 * gateways included, phones decide. */
bool anchor_direct_may_be_clear(const struct edge_req *r, const struct edge_target *t)
{
    bool out = (t->peer || !t->to_user) && !t->is_flow_side && is_foreign(t->peer);
    bool in = r->who.kind == PRINCIPAL_DOMAIN || (r->who.peer && is_foreign(r->who.peer));
    struct anchor_side caller, target;

    if (r->emergency || t->emergency || (!out && !in))
        return true;
    anchor_side_caller(r, &caller);
    anchor_side_target(r, t, &target);
    if (out && target.cfg)
        return target.cfg->allow_clear;
    if (in && caller.cfg)
        return caller.cfg->allow_clear;
    return (caller.domain && caller.domain->media.allow_clear) ||
           (target.domain && target.domain->media.allow_clear);
}

static bool is_clear_hop(const struct path *in, const struct path *out)
{
    return !transport_is_secure(in->transport) || !transport_is_secure(out->transport);
}

struct guarded {
    bool hop_is_clear, may_be_clear;
    bool must_strip, must_close; /* nobody could be told that it is refused */
};

/* Looked at before anything is parsed: most descriptions that cross a clear hop have no keys. What
 * is not plain text may have some (RFC 3261 7.4.1). */
static bool may_have_keys(const struct sip_msg *m)
{
    const struct sip_hdr *type = sip_msg_hdr(m, SIP_H_CONTENT_TYPE, 0);

    return memmem(m->body.p, m->body.n, "crypto", 6) || memmem(m->body.p, m->body.n, "key-mgmt", 8) ||
           !type || sip_msg_has(m, SIP_H_CONTENT_ENCODING) ||
           !str_starts_nocase(type->value, STR("application/sdp"));
}

/* Enveloped for its recipient: nobody on the way has what is in it (RFC 8551 3.3). It must say so, and
 * not be what everybody can read after all. */
static bool is_enveloped(const struct sip_msg *m)
{
    const struct sip_hdr *type = sip_msg_hdr(m, SIP_H_CONTENT_TYPE, 0);
    struct sip_smime layer;
    struct str text, inside;
    size_t n = 1;

    if (!type || !sip_type_param(type->value, STR("smime-type")).p ||
        sip_smime_find(m, &layer, &n, NULL) != 0 || n != 1 || layer.kind != SIP_SMIME_ENCRYPTED)
        return false;
    text = layer.cms;
    if (layer.is_base64 && sip_base64_lines(m->arena, text, &text) != 0)
        return true;
    return pki_cms_content(text, m->arena, &inside, NULL) != 0;
}

/* One that cannot be read, where it matters what is in it: refused, or its body is taken away. */
static int guard_unread(const struct sip_msg *m, const struct guarded *g,
                        struct forward_changes *ret, struct reason *why)
{
    if (g->may_be_clear && is_enveloped(m))
        return 0;
    if (!why->sip_status || why->sip_status == 400)
        why->sip_status = 488;
    LOG(LOG_NOTICE, "description-unread", LS("call", m->call_id), LZ("reason", why->code),
        LZ("detail", why->detail), LZ("then", g->must_close ? "removed" : "refused"));
    if (!g->must_close)
        return ERR_REFUSED;
    return anchor_body_replace(m, STR_NULL, STR_NULL, ret);
}

/* What may pass of a description. */
static int guard(const struct sip_msg *m, const struct guarded *g, struct forward_changes *ret,
                 struct reason *why)
{
    struct str text, is = STR_NULL;
    bool has_keys = g->hop_is_clear && m->body.n && may_have_keys(m);
    struct sdp *s;
    int err = 0;

    if (!m->body.n || !may_describe(m->cseq_method) || (!has_keys && g->may_be_clear))
        return 0;
    err = anchor_body_find(m, &text, why);
    if (err == 0 && !text.n)
        return 0;
    if (err == 0)
        err = sdp_parse(m->arena, text, &s, why);
    if (err != 0 && err != ERR_NOMEM)
        return guard_unread(m, g, ret, why);
    if (err == 0 && has_keys)
        err = anchor_sdp_strip(m->arena, s, g->must_strip, &is, why);
    if (err == 0 && is.n) {
        LOG(LOG_INFO, "keys-stripped", LS("call", m->call_id), LZ("clause", "RFC 4568 8"));
        err = sdp_parse(m->arena, is, &s, why);
    }
    if (err == 0 && !g->may_be_clear && anchor_sdp_has_clear(s)) {
        LOG(LOG_NOTICE, "clear-media", LS("call", m->call_id), LZ("clause", "TR/100 8"),
            LZ("then", g->must_close ? "closed" : "refused"));
        if (!g->must_close) {
            reason_set(why, "clear-media", "TR/100 8", 488,
                       "media without keys, and no allow-clear-media line");
            return ERR_REFUSED;
        }
        err = anchor_sdp_close_clear(m->arena, s, &is);
    }
    if (err == 0 && is.n && !g->must_close && anchor_body_is_wrapped(m, text)) {
        reason_set(why, "body-signed", "RFC 3261 23.3", 488,
                   "keys over a hop in clear, in a body that nobody may change");
        return ERR_REFUSED;
    }
    if (err == 0 && is.n)
        err = anchor_body_replace(m, text, is, ret);
    if (err != 0 && err != ERR_REFUSED)
        reason_set(why, "no-memory", NULL, 500, NULL);
    return err;
}

int anchor_direct_request(const struct edge_req *r, const struct edge_target *t,
                          const struct path *out, struct forward_changes *ret, struct reason *why)
{
    enum sip_method method = r->m->method;
    const bool emergency = r->emergency || t->emergency; /* nothing stops it (RFC 6881 ED-58) */
    const struct guarded g = {.hop_is_clear = !emergency && is_clear_hop(&r->rx.path, out),
                              .may_be_clear = !r->m->body.n || anchor_direct_may_be_clear(r, t),
                              .must_strip = method == SIP_ACK,
                              .must_close = method != SIP_INVITE && method != SIP_UPDATE};

    return guard(r->m, &g, ret, why);
}

int anchor_direct_response(const struct sip_msg *m, const struct path *in, const struct path *out,
                           bool may_be_clear, bool emergency, struct forward_changes *ret)
{
    const struct guarded g = {.hop_is_clear = !emergency && is_clear_hop(in, out),
                              .may_be_clear = may_be_clear,
                              .must_strip = true,
                              .must_close = true};
    struct reason why = {0};

    return guard(m, &g, ret, &why);
}

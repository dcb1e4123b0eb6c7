/* Which calls are anchored, and how: what policy says of the caller and of whoever may be called,
 * and what a redirection makes of that. RFC 7092; RFC 8862 6; TR/100 8.4. Worker thread. */
#include "base/log.h"
#include "edge/anchor/anchor_priv.h"
#include "edge/identity/service.h"
#include "edge/proxy/proxy_priv.h"

/* Is every medium of its offer keyed by DTLS-SRTP, so that nothing is lost if packets pass as they
 * are? */
static bool offers_dtls_alone(const struct sip_msg *m)
{
    struct reason why = {0};
    struct str text;
    struct sdp *s;
    bool any = false;
    int i;

    if (anchor_body_find(m, &text, &why) != 0 || !text.n ||
        sdp_parse(m->arena, text, &s, &why) != 0)
        return false;
    for (i = 0; i < (int)s->n_media; i++) {
        if (sdp_media_is_rejected(s, i))
            continue;
        if (!sdp_proto_is_dtls(s->media[i].proto) ||
            !sdp_attr_inherited(s, i, SDP_A_FINGERPRINT, 0))
            return false;
        any = true;
    }
    return any;
}

/* The caller has signed its keys itself (RFC 8862): keys of our own would break that, and media
 * that pass as they are are protected from end to end. Where policy wants them in clear inside, or
 * a browser is called that could not be reached otherwise, the signature ends here. */
static enum anchor_mode mode_for_user(const struct sip_msg *m, bool is_needed)
{
    if (!is_needed && offers_dtls_alone(m))
        return ANCHOR_RELAY;
    LOG(LOG_NOTICE, "user-signature-ends", LS("call", m->call_id), LS("from", m->from.uri),
        LZ("clause", "RFC 8862 6"),
        LZ("detail", "media of this call get keys of our own, which its caller has not signed"));
    return ANCHOR_PROTECT;
}

static bool wants_clear_inside(const struct anchor_side *s, bool crosses)
{
    return crosses && s->cfg && s->cfg->mode == CONFIG_MEDIA_CLEAR_INSIDE;
}

static enum anchor_mode wishes_of(const struct edge_req *r, const struct edge_targets *ts,
                                  const struct anchor_side *caller, bool *ret_crosses,
                                  bool *ret_needed)
{
    enum anchor_mode mode = ANCHOR_DIRECT, m;
    struct anchor_side side;
    bool crosses;
    size_t i;

    *ret_crosses = *ret_needed = false;
    for (i = 0; i < ts->n; i++) {
        anchor_side_target(r, ts->v[i], &side);
        crosses = anchor_sides_cross(caller, &side);
        *ret_crosses |= crosses;
        *ret_needed |= caller->is_web != side.is_web || wants_clear_inside(&side, crosses) ||
                       wants_clear_inside(caller, crosses);
        if (caller->is_web != side.is_web)
            return ANCHOR_PROTECT; /* a browser speaks with nobody who has no ICE and DTLS-SRTP (RFC
                                      8827, 8834) */
        if (r->emergency)
            continue; /* nothing that is not needed stands in its way */
        m = anchor_side_wish(&side, crosses);
        mode = m > mode ? m : mode;
        m = anchor_side_wish(caller, crosses);
        mode = m > mode ? m : mode;
    }
    return mode;
}

enum anchor_mode anchor_mode_of(const struct edge_req *r, const struct edge_targets *ts,
                                const struct anchor_side *caller, bool *ret_crosses)
{
    bool is_needed;
    enum anchor_mode mode = wishes_of(r, ts, caller, ret_crosses, &is_needed);

    return mode == ANCHOR_PROTECT && sip_msg_has(r->m, SIP_H_IDENTITY) && identity_claims_user(r->m)
               ? mode_for_user(r->m, is_needed)
               : mode;
}

static bool is_under_way(struct proxy *p)
{
    for (unsigned i = 0; i < p->n; i++)
        if (branch_at(p, i)->started && branch_at(p, i)->state != BRANCH_DONE)
            return true;
    return false;
}

/* What began as a call between phones may become one by a redirection that has to pass through us
 * (a carrier's challenges, keys of its own): it does, as long as nobody else is being called, who
 * might answer what the caller has said to all. */
bool anchor_may_redirect(struct proxy *p, struct edge_target *t)
{
    const struct edge_targets ts = {.v = {t}, .n = 1};
    struct anchor_side side;
    struct reason why = {0};
    enum anchor_mode mode;
    bool crosses;

    if (!p->w->edge->relay || p->method != SIP_INVITE || sip_msg_in_dialog(p->r->m))
        return true;
    anchor_side_caller(p->r, &side);
    mode = anchor_mode_of(p->r, &ts, &side, &crosses);
    if (mode <= (p->anchor ? p->anchor->mode : ANCHOR_DIRECT))
        return true;
    if (p->anchor || is_under_way(p))
        return false;
    if (anchor_begin(p->r, &ts, &p->anchor, &why) != 0) {
        LOG(LOG_INFO, "not-followed", LS("call", p->r->m->call_id), LZ("reason", why.code),
            LZ("detail", why.detail));
        return false;
    }
    if (p->anchor)
        anchor_set_call(p->anchor, p->call_slot, p->call_gen);
    return true;
}

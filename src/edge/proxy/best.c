/* The choice among final responses (RFC 3261 16.7 steps 3, 4, 6 and 7). Worker thread. */
#include "base/log.h"
#include "edge/identity/answer.h"
#include "edge/admit/asserted.h"
#include "edge/admit/gateway_mark.h"
#include "edge/admit/header_policy.h"
#include "edge/proxy/proxy_priv.h"
#include "edge/status/name.h"
#include "edge/status/phone.h"
#include "edge/peers/trunk.h"

unsigned best_rank(unsigned status)
{
    if (status >= 600)
        return status;
    if (status < 400)
        return 1000 + status;
    switch (status) {
    case 401:
    case 407:
        return 2000;
    case 415:
    case 420:
    case 484:
    case 488:
        return 2001;
    case 408:
    case 430:
    case 480:
        return 2900;
    case 487:
        return 2950;
    default:
        return status < 500 ? 2100 + status - 400 : 3000 + status;
    }
}

static bool is_challenge(unsigned status)
{
    return status == 401 || status == 407;
}

/* 401 and 407 of all branches go back together (16.7 step 7): the challenges of the later one are added to the kept one. */
static struct buf *challenges_merge(const struct buf *best, const struct sip_msg *m)
{
    static const enum sip_hdr_id ids[] = {SIP_H_WWW_AUTHENTICATE, SIP_H_PROXY_AUTHENTICATE};
    struct arena *a = arena_new(8192, LIMIT_MSG_ARENA_BYTES);
    struct reason why;
    struct sip_msg *kept;
    struct sip_edit *e;
    struct buf *out = NULL;
    const struct sip_hdr *h;
    size_t k;
    unsigned i;

    if (!a)
        return NULL;
    if (sip_msg_parse(a, buf_str(best), &kept, &why) == 0 && (e = sip_edit_new(a, kept)) != NULL) {
        for (k = 0; k < ARRAY_LEN(ids); k++)
            for (i = 0; (h = sip_msg_hdr(m, ids[k], i)) != NULL; i++)
                sip_edit_add_last(e, ids[k], h->value);
        if (sip_edit_build(e, &out) != 0)
            out = NULL;
    }
    arena_free(a);
    return out;
}

/* 16.7 step 3: with our own Via off, one must be left, or the response was meant for us. */
static bool has_second_via(const struct sip_msg *m)
{
    struct sip_values it = sip_values_start(m, SIP_H_VIA);

    return sip_values_next(&it) && sip_values_next(&it);
}

static struct buf *response_build(const struct branch *b, const struct sip_msg *m, uint64_t taken)
{
    struct sip_edit *e = has_second_via(m) ? sip_edit_new(m->arena, m) : NULL;
    struct buf *out;
    unsigned i;

    if (!e)
        return NULL;
    sip_edit_remove_value(e, SIP_H_VIA, 0);
    header_policy_response(e, m, b->t && b->t->emergency ? NULL : b->peer, b->p->sender_loses);
    status_phone_strip(e, m);
    status_name_response(e, b, m);
    if (b->p->r)
        trunk_edit_response(e, b->p->r);
    answer_strip(b, e, m);
    asserted_edit_response(e, m, b->p->snap->cfg, b->peer, branch_way(b) ? &branch_way(b)->local : NULL, b->p->tells_sender,
                           b->p->sender_is_phone);
    if (b->t)
        gateway_mark_response(e, m, b->t->peer, b->t->to_user && !b->t->peer);
    for (i = 0; taken; i++, taken >>= 1)
        if (taken & 1)
            sip_edit_remove_value(e, SIP_H_CONTACT, i);
    if (b->changes && forward_change(e, m, b->changes, b->peer && b->p->r && !b->p->r->domain && !b->p->sender_is_phone) != 0)
        return NULL;
    return sip_edit_build(e, &out) == 0 ? out : NULL;
}

struct buf *best_response_build(const struct branch *b, const struct sip_msg *m)
{
    return response_build(b, m, 0);
}

void best_keep(const struct branch *b, const struct sip_msg *m, uint64_t taken)
{
    struct proxy *p = b->p;
    struct buf *out;

    if (is_challenge(m->status) && p->best && is_challenge(p->best_status)) {
        out = challenges_merge(p->best, m);
        if (out) {
            buf_unref(p->best);
            p->best = out;
        }
        return;
    }
    if (p->best && best_rank(m->status) >= best_rank(p->best_status))
        return;
    out = response_build(b, m, taken);
    if (!out)
        return; /* its status is still known to the branch */
    buf_unref(p->best);
    p->best = out;
    p->best_status = m->status;
}

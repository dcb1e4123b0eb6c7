/* Dialogs of anchored calls: the numbers of each direction, what is known of the two ends, and which of
 * them the call is. RFC 3261 12.2, 13.2.2.4; RFC 3262 4; RFC 4916. Worker thread. */
#include "base/log.h"
#include "base/mem.h"
#include "edge/anchor/anchor_priv.h"

/* ---- numbers ---- */

uint32_t anchor_count_map(struct anchor_count *c, uint32_t in, enum sip_method method)
{
    int64_t out = (int64_t)in + c->offset;

    if (!c->has_in || in > c->last_in) { /* repetitions and what comes late keep their place */
        if (c->has_out && out <= c->last_out)
            out = (int64_t)c->last_out + 1;
        c->offset = out - in;
        c->has_in = c->has_out = true;
        c->last_in = in;
        c->last_out = (uint32_t)out;
    }
    if (method == SIP_INVITE) {
        c->invite_in = in;
        c->invite_out = (uint32_t)out;
    }
    return (uint32_t)out;
}

uint32_t anchor_count_own(struct anchor_count *c)
{
    c->last_out = c->has_out ? c->last_out + 1 : 1;
    c->has_out = true;
    return c->last_out;
}

uint32_t anchor_count_again(struct anchor_count *c, uint32_t in, enum sip_method method)
{
    uint32_t out = anchor_count_own(c);

    if (c->has_in && in == c->last_in)
        c->offset = (int64_t)out - in;
    if (method == SIP_INVITE && in == c->invite_in)
        c->invite_out = out;
    return out;
}

bool anchor_count_is_overtaken(const struct anchor_count *c, const struct anchor_number *n)
{
    return n->out > n->after && n->out < c->left;
}

void anchor_count_left(struct anchor_count *c, uint32_t out)
{
    if (out > c->left)
        c->left = out;
}

/* ---- what messages show ---- */

void anchor_learn_target(struct anchor_dialog *d, bool is_callee, const struct sip_msg *m)
{
    const struct sip_hdr *h = sip_msg_hdr(m, SIP_H_CONTACT, 0);
    struct sip_addr a;

    if (sip_msg_has(m, SIP_H_ALLOW))
        d->allows_update[is_callee] = sip_msg_has_token(m, SIP_H_ALLOW, STR("UPDATE"));
    if (h && sip_addr_parse(h->value, &a) == 0 && !a.star &&
        anchor_text_set(&d->contact[is_callee], a.uri) != 0)
        LOG(LOG_WARN, "anchor-target",
            LZ("error", err_text(ERR_NOMEM))); /* the old one may still do */
}

void anchor_learn_name(struct anchor_dialog *d, bool is_callee, const struct sip_msg *request)
{
    const struct sip_hdr *h = sip_msg_hdr(request, SIP_H_FROM, 0);
    uint32_t was = is_callee ? d->token.callee_from : d->token.caller_from;

    if (!h || !d->has_token || !was ||
        (!d->name[is_callee].p && edge_from_hash(request->arena, request->from.uri) == was))
        return;
    if (anchor_text_set(&d->name[is_callee], h->value) != 0)
        LOG(LOG_WARN, "anchor-target", LZ("error", err_text(ERR_NOMEM))); /* it is who it was */
}

/* Values above our own in a response's Record-Route are those behind us, in the callee's order: the
 * way there is the other way round (RFC 3261 12.1.2). Ours is known by its token. */
void anchor_learn_routes(struct anchor_dialog *d, const struct sip_msg *m)
{
    struct sip_values it = sip_values_start(m, SIP_H_RECORD_ROUTE);
    struct str v[LIMIT_MSG_VALUES];
    struct arena *a;
    size_t n = 0, cap = 1;
    struct sip_addr addr;
    struct sip_uri u;
    struct sbuf b;
    char *text;

    while (!d->has_token && n < ARRAY_LEN(v) && sip_values_next(&it)) {
        if (sip_addr_parse(it.value, &addr) != 0 || sip_uri_parse(addr.uri, &u) != 0)
            return;
        if (u.user.n && token_dialog_open(&d->a->w->edge->keys, u.user, m->call_id, &d->token) == 0)
            d->has_token = true;
        else
            v[n++] = it.value;
    }
    if (!d->has_token || d->routes[1].p)
        return;
    for (size_t i = 0; i < n; i++)
        cap += v[i].n + 2;
    a = arena_new(cap + 64, LIMIT_MSG_ARENA_BYTES);
    text = a ? arena_alloc(a, cap) : NULL;
    if (text) {
        b = sbuf_make(text, cap);
        while (n-- > 0) {
            sbuf_str(&b, v[n]);
            if (n)
                sbuf_lit(&b, ", ");
        }
        if (anchor_text_set(&d->routes[1], sbuf_get(&b)) != 0)
            d->has_token = false; /* the next response says it again */
    }
    arena_free(a);
}

/* ---- which of them the call is ---- */

#define REKEY_WITHHOLD_MS 2000u /* from the answer on: the ACK, and an offer of ours that is answered */

void anchor_tell_branched(struct anchor_dialog *d)
{
    struct keying_tell branched = {.kind = KEYING_TELL_BRANCHED};

    if (d->is_branched || !d->a->offer.p || !d->far || !d->far->keys)
        return;
    d->is_branched = true;
    relay_keys_tell(d->far->keys, -1, &branched);
}

/* May proxies behind it have forked, and nothing of that have come here? Phones and gateways do not
 * fork; of all else it cannot be known. */
static bool may_fork_unseen(const struct anchor_side *s)
{
    if (s->kind == ANCHOR_POLICY_EMERGENCY || (s->cfg && s->cfg->allow_unseen_forks))
        return false;
    return s->peer ? s->peer->kind != CONFIG_GATEWAY : !s->domain;
}

/* What goes to the callee by keys in SDP that others have as well waits until they are changed, for a
 * time that a call can do without (`ms`); 0: it waits no longer. Without memory for that it goes as it
 * would. */
void anchor_withhold(struct anchor_dialog *d, unsigned ms)
{
    struct keying_facts f;
    unsigned i;
    int err;

    for (i = 0; d->far && d->far->keys && i < d->far->place->n; i++) {
        if (!d->far->place->v[i].end || i >= d->far->n_sec || !d->far->sec[i].is_settled)
            continue;
        relay_keys_facts(d->far->keys, (int)i, &f);
        if (f.method != KEYING_SDES || (ms != 0 && !f.seen_by_branches))
            continue;
        err = relay_end_withhold(d->far->place->v[i].end, ms);
        if (err != 0)
            LOG(LOG_WARN, "rekey-failed", LS("call", anchor_text_get(&d->a->call_id)),
                LI("section", (int)i), LZ("reason", err_text(err)));
    }
}

void anchor_settle_on(struct anchor_dialog *d)
{
    struct anchor *a = d->a;
    struct keying_tell no_more = {.kind = KEYING_TELL_NO_BRANCHES};
    bool seen_by_others = may_fork_unseen(&d->b->side), has_keys;

    a->answered = d;
    d->state = ANCHOR_CONFIRMED;
    LIST_EACH(o, &a->dialogs, struct anchor_dialog, node)
    {
        if (o == d)
            continue;
        seen_by_others |= o->b == d->b;
        o->state = ANCHOR_OVER;
        if (o->far && o->far != d->far && o->far != o->b->far)
            anchor_leg_free(o->far);
        if (o->near && o->near != d->near && o->near != o->b->near)
            anchor_leg_free(o->near);
        o->far = o->near = NULL;
    }
    has_keys = d->far && d->far->keys &&
               (d->ex.state == ANCHOR_EX_ANSWERED || (a->offer.p && !d->ex.is_first));
    if (has_keys && seen_by_others)
        anchor_tell_branched(d);
    if (has_keys && d->is_branched)
        anchor_withhold(d, REKEY_WITHHOLD_MS);
    if (d->near && d->far)
        anchor_legs_join(d->near, d->far);
    if (d->near && d->far && d->ex.is_first && d->ex.from_caller && d->ex.state == ANCHOR_EX_ANSWERED)
        anchor_ex_trim(d->near, d->far);
    if (has_keys)
        relay_keys_tell(d->far->keys, -1, &no_more);
}

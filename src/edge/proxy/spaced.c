/* Dialogs that a SUBSCRIBE or REFER of ours has begun with a carrier that challenges us (RFC
 * 3261 22.2): the caller's numbers leave with room between them (token_cseq), so that what is
 * challenged can be sent again with the next one. What names a REFER by its number is changed as
 * that was (RFC 3515 2.4.6). Anchored calls have tables for this (anchor/dialog.c, anchor/refer.c);
 * here everything is in the dialog's token. Worker thread. */
#include "edge/proxy/proxy_priv.h"
#include "edge/proxy/refer_id.h"

static bool is_of_one(const struct proxy *p)
{
    return !p->anchor && p->r->has_token && p->r->token.is_spaced && sip_msg_in_dialog(p->r->m);
}

bool spaced_is(const struct proxy *p)
{
    return is_of_one(p) && p->r->from_caller;
}

/* Of the first REFER, whose number within its room the token does not know, the subscription needs
 * no id: whoever asks for it does so without. */
int spaced_event(const struct proxy *p, struct forward_changes *ret)
{
    const struct sip_msg *m = p->r->m;
    uint32_t first = p->r->token.first_cseq, is;
    struct refer_id was;

    if (!is_of_one(p) || !refer_id_find(m, &was) || was.n < first)
        return 0;
    is = first + (was.n - first) / TOKEN_CSEQ_ROOM;
    if (m->method == SIP_NOTIFY && !p->r->from_caller && is != was.n)
        return refer_id_change(m, &was, &is, &ret->event);
    if (m->method == SIP_SUBSCRIBE && p->r->from_caller && was.n == first)
        return refer_id_change(m, &was, NULL, &ret->event);
    return 0;
}

/* Dialogs that a SUBSCRIBE or REFER of ours has begun with a carrier that challenges us (RFC
 * 3261 22.2): the caller's numbers leave with room between them (token_cseq), so that what is
 * challenged can be sent again with the next one. What names a REFER by its number is changed as
 * that was (RFC 3515 2.4.6). Anchored calls have tables for this (anchor/dialog.c, anchor/refer.c);
 * here everything is in the dialog's token. Worker thread. */
#include "edge/proxy/proxy_priv.h"

static bool is_of_one(const struct proxy *p)
{
    return !p->anchor && p->r->has_token && p->r->token.is_spaced && sip_msg_in_dialog(p->r->m);
}

bool spaced_is(const struct proxy *p)
{
    return is_of_one(p) && p->r->from_caller;
}

/* The value of Event with `id`, a slice of it, gone, or `is` in its place. */
static int change_id(const struct sip_msg *m, struct str event, struct str id, const uint32_t *is,
                     struct str *ret)
{
    const char *from = id.p, *to = id.p + id.n, *end = event.p + event.n;

    if (is) {
        *ret = arena_fmt(m->arena, "%.*s%u%.*s", (int)(from - event.p), event.p, *is,
                         (int)(end - to), to);
    } else {
        while (*from != ';')
            from--;
        *ret = arena_fmt(m->arena, "%.*s%.*s", (int)(from - event.p), event.p, (int)(end - to), to);
    }
    return ret->p ? 0 : ERR_NOMEM;
}

/* Of the first REFER, whose number within its room the token does not know, the subscription needs
 * no id: whoever asks for it does so without. */
int spaced_event(const struct proxy *p, struct forward_changes *ret)
{
    const struct sip_msg *m = p->r->m;
    const struct sip_hdr *h = sip_msg_hdr(m, SIP_H_EVENT, 0);
    struct str name = STR_NULL, params = h ? str_cut(h->value, ';', &name) : STR_NULL, id;
    uint32_t first = p->r->token.first_cseq, was, is;

    if (!is_of_one(p) || !params.p || !str_eq_nocase(str_trim(name), STR("refer")) ||
        !sip_param_find(str_make(params.p - 1, params.n + 1), STR("id"), &id) ||
        str_to_u32(id, UINT32_MAX, &was) != 0 || was < first)
        return 0;
    is = first + (was - first) / TOKEN_CSEQ_ROOM;
    if (m->method == SIP_NOTIFY && !p->r->from_caller && is != was)
        return change_id(m, h->value, id, &is, &ret->event);
    if (m->method == SIP_SUBSCRIBE && p->r->from_caller && was == first)
        return change_id(m, h->value, id, NULL, &ret->event);
    return 0;
}

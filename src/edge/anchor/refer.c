/* Transfers within anchored calls (RFC 3515): where numbers of a direction differ on both sides of
 * us, what names a REFER by its number (Event: refer;id=, 2.4.6) has to be changed as the number
 * was; and the subscription that a REFER begins may outlive the call (RFC 5057 4), with the numbers
 * of its dialog. Owner: the dialog. Worker thread. */
#include "edge/anchor/anchor_priv.h"

void anchor_refer_note(struct anchor_dialog *d, bool by_caller, uint32_t in, uint32_t out)
{
    struct anchor_refer *r = NULL;

    for (unsigned i = 0; i < ARRAY_LEN(d->refer) && i < d->n_refers; i++)
        if (d->refer[i].by_caller == by_caller && d->refer[i].in == in)
            r = &d->refer[i]; /* to the next server, or with credentials */
    if (!r)
        r = &d->refer[d->n_refers++ % ARRAY_LEN(d->refer)];
    *r = (struct anchor_refer){by_caller, in, out};
}

/* Whoever has sent the REFER says its own number of it, the other one what it got. */
static bool find(const struct anchor_dialog *d, bool from_caller, bool is_notify, uint32_t id,
                 uint32_t *ret)
{
    for (unsigned i = 0; i < ARRAY_LEN(d->refer) && i < d->n_refers; i++) {
        const struct anchor_refer *r = &d->refer[i];

        if (r->by_caller != (from_caller != is_notify) || (is_notify ? r->out : r->in) != id)
            continue;
        *ret = is_notify ? r->in : r->out;
        return *ret != id;
    }
    return false;
}

int anchor_refer_map(const struct anchor_dialog *d, bool from_caller, const struct sip_msg *m,
                     struct forward_changes *ret)
{
    const struct sip_hdr *h = sip_msg_hdr(m, SIP_H_EVENT, 0);
    struct str name = STR_NULL, params = h ? str_cut(h->value, ';', &name) : STR_NULL, id;
    uint32_t was, is;
    const char *at;

    if (params.p) /* with the semicolon */
        params = str_make(params.p - 1, params.n + 1);
    if ((m->method != SIP_NOTIFY && m->method != SIP_SUBSCRIBE) || !d->n_refers ||
        !str_eq_nocase(str_trim(name), STR("refer")) || !sip_param_find(params, STR("id"), &id) ||
        str_to_u32(id, UINT32_MAX, &was) != 0 ||
        !find(d, from_caller, m->method == SIP_NOTIFY, was, &is))
        return 0;
    at = id.p + id.n; /* what stands around it stays */
    ret->event = arena_fmt(m->arena, "%.*s%u%.*s", (int)(id.p - h->value.p), h->value.p, is,
                           (int)(h->value.p + h->value.n - at), at);
    return ret->event.p ? 0 : ERR_NOMEM;
}

static bool is_shifted(const struct anchor_count *c)
{
    return c->has_out && (!c->has_in || c->offset != 0 || c->last_out != c->last_in);
}

bool anchor_refer_lasts(const struct anchor *a)
{
    const struct anchor_dialog *d = a->answered;

    return d && d->n_refers && (is_shifted(&d->to_callee) || is_shifted(&d->to_caller));
}

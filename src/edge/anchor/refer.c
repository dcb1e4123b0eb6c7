/* Transfers within anchored calls (RFC 3515): where numbers of a direction differ on both sides of
 * us, what names a REFER by its number (Event: refer;id=, 2.4.6) has to be changed as the number
 * was; and the subscription that a REFER begins may outlive the call (RFC 5057 4), with the numbers
 * of its dialog. Owner: the dialog. Worker thread. */
#include "edge/anchor/anchor_priv.h"
#include "edge/proxy/refer_id.h"

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
    struct refer_id was;
    uint32_t is;

    if (!d->n_refers || !refer_id_find(m, &was) ||
        !find(d, from_caller, m->method == SIP_NOTIFY, was.n, &is))
        return 0;
    return refer_id_change(m, &was, &is, &ret->event);
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

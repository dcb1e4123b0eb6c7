/* See refer_id.h. Pure. */
#include "edge/proxy/refer_id.h"
#include "base/err.h"

bool refer_id_find(const struct sip_msg *m, struct refer_id *ret)
{
    const struct sip_hdr *h = sip_msg_hdr(m, SIP_H_EVENT, 0);
    struct str name = STR_NULL, params;

    if (!h || (m->method != SIP_NOTIFY && m->method != SIP_SUBSCRIBE))
        return false;
    ret->event = h->value;
    params = str_cut(h->value, ';', &name);
    return params.p && str_eq_nocase(str_trim(name), STR("refer")) &&
           sip_param_find(str_make(params.p - 1, params.n + 1), STR("id"), &ret->id) &&
           str_to_u32(ret->id, UINT32_MAX, &ret->n) == 0;
}

int refer_id_change(const struct sip_msg *m, const struct refer_id *was, const uint32_t *is,
                    struct str *ret)
{
    const char *from = was->id.p, *end = was->event.p + was->event.n;
    const char *to = was->id.p + was->id.n;
    struct str event = was->event;

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

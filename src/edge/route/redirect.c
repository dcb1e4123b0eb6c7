/* Recursion on 3xx (RFC 3261 16.5, 16.7 step 4): only for requests to domains that are ours, only to where the caller, or a
 * user of ours who may forward, might have gone itself, and never from sips to sip or back (RFC 5630 5.3). Worker thread. */
#include "edge/proxy/proxy_priv.h"
#include "edge/request_priv.h"

#define CONTACTS_MAX 64u /* of one 3xx that are looked at */

/* 16.5: what is a target already does not become one again, whatever order loops come in. */
static bool is_known(struct proxy *p, struct str uri)
{
    struct sip_uri a, b;
    unsigned i;

    if (sip_uri_parse(uri, &a) != 0)
        return true;
    for (i = 0; i < p->n; i++)
        if (str_eq(branch_at(p, i)->t->uri, uri) || (sip_uri_parse(branch_at(p, i)->t->uri, &b) == 0 && sip_uri_eq(&a, &b)))
            return true;
    return false;
}

/* RFC 5630 5.3: such a response is for the caller to act on, all of it. */
static bool changes_scheme(const struct proxy *p, const struct sip_msg *m)
{
    bool sips = p->r->ruri.scheme == SIP_SCHEME_SIPS;
    struct sip_values it = sip_values_start(m, SIP_H_CONTACT);
    struct sip_addr a;

    while (sip_values_next(&it))
        if (sip_addr_parse(it.value, &a) == 0 && !a.star && str_starts_nocase(a.uri, sips ? STR("sip:") : STR("sips:")))
            return true;
    return it.bad;
}

static unsigned contact_q(struct str contact)
{
    struct sip_addr a;
    struct str text;
    unsigned q;

    if (sip_addr_parse(contact, &a) != 0 || !sip_param_find(a.params, STR("q"), &text) || request_q(text, &q) != 0)
        return 1000;
    return q;
}

bool redirect_follow(const struct branch *b, const struct sip_msg *m)
{
    struct proxy *p = b->p;
    struct sip_values it = sip_values_start(m, SIP_H_CONTACT);
    bool has_added = false, has_rest = false;
    uint64_t taken = 0;
    unsigned i;

    /* 305 names a proxy and 380 another service: what to do with them is the caller's to know (21.3.4, 21.3.5). */
    if (m->status > 302 || !p->r->domain || p->canceled || (p->best && p->best_status >= 600) || changes_scheme(p, m))
        return false;
    for (i = 0; i < CONTACTS_MAX && sip_values_next(&it); i++) {
        struct edge_target *t = p->n - p->n_first < LIMIT_REDIRECTS ? route_redirect(p->r, b->t, it.value) : NULL;

        if (t && !is_known(p, t->uri)) {
            if (!anchor_may_redirect(p, t)) {
                has_rest = true;
                continue;
            }
            t->q_milli = contact_q(it.value);
            if (!proxy_branch_add(p, t)) {
                has_rest = true;
                continue;
            }
            has_added = true;
        } else if (!t) {
            has_rest = true;
            continue;
        }
        taken |= (uint64_t)1 << i;
    }
    if (has_added && has_rest)
        best_keep(b, m, taken);
    return has_added;
}

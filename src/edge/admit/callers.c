/* Who calls, and whether they may (edge/admit/callers.h). */
#include "edge/admit/callers.h"
#include "edge/identity/service.h"
#include "edge/identity/smime.h"
#include "edge/request_priv.h"

/* ---- what the address was ---- */

static bool is_of_peer(const struct config_peer *p, struct str host)
{
    const struct config_strs *lists[] = {&p->domains, &p->identities};
    size_t i, k;

    for (k = 0; k < ARRAY_LEN(lists); k++)
        for (i = 0; i < lists[k]->n; i++)
            if (str_eq_nocase(lists[k]->v[i], host))
                return true;
    return false;
}

/* "john_example1.com": the last "_" is the one that was put there, since host names have none. */
static bool take_apart(struct str user, struct str *ret_user, struct str *ret_host)
{
    size_t at = user.n;

    while (at > 0 && user.p[at - 1] != '_')
        at--;
    if (at < 2)
        return false;
    *ret_user = str_make(user.p, at - 1);
    *ret_host = str_make(user.p + at, user.n - at);
    return sip_host_is_valid(*ret_host) && str_find_char(*ret_host, '.') < ret_host->n;
}

void caller_origin_claimed(const struct edge_req *r, struct caller_origin *ret)
{
    const struct config_peer *p = r->who.peer;
    struct str user, host;
    struct passport_id id;
    struct sip_uri u;

    *ret = (struct caller_origin){.address = r->m->from.uri};
    if (!p || (!p->rewrites_embedded && !p->rewrites_numbers) ||
        sip_uri_parse(r->m->from.uri, &u) != 0 || !is_of_peer(p, u.host))
        return;
    if (p->rewrites_embedded && take_apart(u.user, &user, &host)) {
        ret->address = arena_fmt(r->m->arena, "%.*s:%.*s@%.*s", STR_FMT(u.scheme_text),
                                 STR_FMT(user), STR_FMT(host));
        ret->via = u.host;
    } else if (p->rewrites_numbers &&
               identity_show_uri(r->m->arena, r->m->from.uri, NULL, true, &id) == 0 && id.is_tn) {
        ret->via = u.host;
    }
}

/* Signed as it was, and not as the domain on the way has it. */
static bool is_proven(const struct edge_req *r)
{
    const struct identity_vouch *v = r->vouch && r->vouch->is_looked_at ? r->vouch : NULL;

    return (v && v->result.verdict == IDENTITY_VALID && v->result.token &&
            v->shown.m.orig_also.text.p &&
            passport_id_eq(v->result.token->p.orig, v->shown.m.orig_also)) ||
           (r->smime && r->smime->state == POLICY_SMIME_NAMES);
}

void caller_origin(const struct edge_req *r, struct caller_origin *ret)
{
    struct sip_uri u;

    caller_origin_claimed(r, ret);
    if (ret->via.n && ret->address.p && sip_uri_parse(ret->address, &u) == 0 &&
        request_domain(r->cfg, &u, &r->rx.path.local) && !is_proven(r))
        *ret = (struct caller_origin){.address = r->m->from.uri};
}

/* ---- lists ---- */

static bool has_prefix(struct str entry, const struct passport_id *id)
{
    return id->is_tn && str_starts_nocase(id->text, str_make(entry.p + 1, entry.n - 1));
}

/* `accepts`: a domain has not signed for numbers, which are nobody's address there; it is refused with
 * all that it says of itself. */
static bool is_listed(const struct edge_req *r, const struct config_strs *l, bool accepts,
                      const struct passport_id *id, const struct sip_uri *u)
{
    struct str aor = STR_NULL, entry_aor;
    struct sip_uri e;
    size_t i;

    if (sip_uri_aor(r->m->arena, u, &aor) != 0)
        aor = STR_NULL;
    for (i = 0; i < l->n; i++) {
        struct str entry = l->v[i];

        if (entry.p[0] == '+' ? has_prefix(entry, id)
                                : str_eq_nocase(entry, u->host) && !(accepts && id->is_tn))
            return true;
        if (aor.n && sip_uri_parse(entry, &e) == 0 &&
            sip_uri_aor(r->m->arena, &e, &entry_aor) == 0 && str_eq(aor, entry_aor))
            return true;
    }
    return false;
}

/* TR/100 7.5.3: a list that anybody's claim could match would be worth nothing. */
static bool is_verified(const struct edge_req *r)
{
    return (r->vouch && r->vouch->is_looked_at && r->vouch->result.verdict == IDENTITY_VALID) ||
           (r->smime && r->smime->state == POLICY_SMIME_NAMES);
}

/* By RFC 4474 (11), and in bodies (RFC 3893 7), a domain or user signs for an address of its own, with a
 * number in it or not: the number is nobody's for that. Nor is it for a signer who says that it knows its
 * customer alone (B), or where it came in (C: RFC 8588 4). */
static bool is_number_verified(const struct edge_req *r)
{
    const struct identity_result *res =
        r->vouch && r->vouch->is_looked_at ? &r->vouch->result : NULL;

    return (res && res->verdict == IDENTITY_VALID && !res->by_rfc4474 &&
            (!res->attest || res->attest == 'A')) ||
           (r->smime && r->smime->state == POLICY_SMIME_NAMES &&
            r->smime->authority < IDENTITY_BY_DOMAIN);
}

static bool accepts(const struct edge_req *r, struct passport_id id, const struct sip_uri *u)
{
    if (!is_verified(r))
        return false;
    id.is_tn &= is_number_verified(r);
    return is_listed(r, &r->domain->accept_callers, true, &id, u);
}

int callers_check(const struct edge_req *r, struct reason *why)
{
    const struct config_domain *d = r->domain;
    struct caller_origin o;
    struct passport_id id = {0};
    struct sip_uri u;
    bool is_known;

    if (!d || (!d->accept_callers.n && !d->refuse_callers.n) ||
        (r->who.kind == PRINCIPAL_USER && !r->who.peer) || r->emergency || sip_msg_in_dialog(r->m))
        return 0;
    caller_origin(r, &o);
    if (!o.address.p) {
        reason_set(why, "no-memory", NULL, 500, NULL);
        return ERR_NOMEM;
    }
    is_known = sip_uri_parse(o.address, &u) == 0 &&
               identity_show_uri(r->m->arena, o.address, &d->dial, true, &id) == 0;
    if (is_known && is_listed(r, &d->refuse_callers, false, &id, &u)) {
        reason_set(why, "caller-refused", "TR/100 7.5.3", 403, "refuse-callers has the caller");
        return ERR_REFUSED;
    }
    if (!d->accept_callers.n || (is_known && accepts(r, id, &u)))
        return 0;
    reason_set(why, "caller-not-listed", "TR/100 7.5.3", is_verified(r) ? 403 : 428,
               is_verified(r) ? "accept-callers does not have the caller"
                              : "accept-callers is for callers that are verified by a signature");
    return ERR_REFUSED;
}

/* Dialogs (RFC 3261 12). Each has an arena of its own; targets that change are kept beside it.
 * Owner: a call; the phone's thread. */
#include "base/mem.h"
#include "phone/phone_priv.h"

#define DIALOG_BYTES (64u << 10)

void dialog_done(struct dialog *d)
{
    arena_free(d->arena);
    mem_free(d->target_buf);
    *d = (struct dialog){0};
}

/* A From or To value without its tag: "display <uri>" with its other parameters. */
static struct str without_tag(struct arena *a, const struct sip_addr *addr)
{
    struct str params = addr->params, name, value;
    char *p = arena_alloc(a, addr->whole.n + 4);
    if (p == NULL)
        return STR_NULL;
    struct sbuf b = sbuf_make(p, addr->whole.n + 4);
    struct str head = str_make(addr->whole.p, addr->whole.n - addr->params.n);
    head = str_trim(head);
    if (!addr->brackets)
        sbuf_char(&b, '<');
    sbuf_str(&b, head);
    if (!addr->brackets)
        sbuf_char(&b, '>');
    while (params.n) {
        const char *start = params.p;
        if (!sip_param_next(&params, &name, &value))
            break;
        if (!str_eq_nocase(name, STR("tag")))
            sbuf_add(&b, start, (size_t)(params.p - start));
    }
    return b.overflow ? STR_NULL : sbuf_get(&b);
}

/* The Contact's URI; empty if there is none that can be used (12.1.1, 8.1.1.8). */
static struct str contact_uri(const struct sip_msg *m)
{
    struct sip_values it = sip_values_start(m, SIP_H_CONTACT);
    struct sip_addr a;
    struct sip_uri u;
    if (!sip_values_next(&it) || sip_addr_parse(it.value, &a) != 0 || a.star ||
        sip_uri_parse(a.uri, &u) != 0 ||
        (u.scheme != SIP_SCHEME_SIP && u.scheme != SIP_SCHEME_SIPS))
        return STR_NULL;
    return a.uri;
}

static int routes_take(struct dialog *d, const struct sip_msg *m, bool reverse)
{
    struct sip_values it = sip_values_start(m, SIP_H_RECORD_ROUTE);
    while (sip_values_next(&it)) {
        if (d->n_routes == PHONE_ROUTES_MAX)
            return ERR_LIMIT;
        struct str v = arena_str(d->arena, it.value);
        if (v.p == NULL)
            return ERR_NOMEM;
        d->routes[d->n_routes++] = v;
    }
    for (unsigned i = 0; reverse && i < d->n_routes / 2; i++) {
        struct str t = d->routes[i];
        d->routes[i] = d->routes[d->n_routes - 1 - i];
        d->routes[d->n_routes - 1 - i] = t;
    }
    return it.bad ? ERR_SYNTAX : 0;
}

static int dialog_make(struct dialog *d, const struct sip_msg *m, const struct sip_addr *local,
                       const struct sip_addr *remote, struct str local_tag, struct str remote_tag,
                       bool reverse)
{
    struct str target = contact_uri(m);
    *d = (struct dialog){0};
    if (target.n == 0 || local_tag.n == 0)
        return ERR_SYNTAX;
    d->arena = arena_new(2048, DIALOG_BYTES);
    if (d->arena == NULL)
        return ERR_NOMEM;
    d->call_id = arena_str(d->arena, m->call_id);
    d->local_tag = arena_str(d->arena, local_tag);
    d->remote_tag = remote_tag.n ? arena_str(d->arena, remote_tag)
                                 : STR_NULL; /* RFC 2543 peers have none (12.1.1) */
    d->local = without_tag(d->arena, local);
    d->remote = without_tag(d->arena, remote);
    d->target = arena_str(d->arena, target);
    d->peer_allows_update = sip_msg_has_token(m, SIP_H_ALLOW, STR("UPDATE"));
    d->peer_takes_from_change = sip_msg_has_token(m, SIP_H_SUPPORTED, STR("from-change"));
    int err = routes_take(d, m, reverse);
    if (!err && (!d->call_id.p || !d->local_tag.p || !d->local.p || !d->remote.p || !d->target.p ||
                 (remote_tag.n && !d->remote_tag.p)))
        err = ERR_NOMEM;
    if (err)
        dialog_done(d);
    return err;
}

int dialog_from_response(struct dialog *d, const struct sip_msg *response, uint32_t local_cseq)
{
    int err = dialog_make(d, response, &response->from, &response->to, response->from_tag,
                          response->to_tag, true);
    if (!err)
        d->local_cseq = local_cseq;
    return err;
}

int dialog_from_request(struct dialog *d, const struct sip_msg *invite, struct str local_tag)
{
    int err =
        dialog_make(d, invite, &invite->to, &invite->from, local_tag, invite->from_tag, false);
    if (err)
        return err;
    d->local_cseq = 0;
    d->remote_cseq = invite->cseq;
    d->has_remote_cseq = true;
    return 0;
}

bool dialog_take_from(struct dialog *d, const struct sip_msg *m)
{
    struct sip_addr now;
    if (sip_addr_parse(d->remote, &now) == 0 && str_eq(now.uri, m->from.uri))
        return false;
    struct str remote = without_tag(d->arena, &m->from);
    if (remote.p == NULL)
        return false; /* it has changed it too often */
    d->remote = remote;
    return true;
}

void dialog_refresh(struct dialog *d, const struct sip_msg *m)
{
    struct str uri = contact_uri(m);
    if (sip_msg_has(m, SIP_H_ALLOW))
        d->peer_allows_update = sip_msg_has_token(m, SIP_H_ALLOW, STR("UPDATE"));
    if (uri.n == 0 || str_eq(uri, d->target))
        return;
    char *copy = mem_alloc(uri.n);
    if (copy == NULL)
        return; /* the old target is as good as before */
    memcpy(copy, uri.p, uri.n);
    mem_free(d->target_buf);
    d->target_buf = copy;
    d->target = str_make(copy, uri.n);
}

bool dialog_is_of_request(const struct dialog *d, const struct sip_msg *m)
{
    return d->arena && str_eq(d->call_id, m->call_id) && str_eq(d->local_tag, m->to_tag) &&
           str_eq(d->remote_tag, m->from_tag);
}

int dialog_take_cseq(struct dialog *d, const struct sip_msg *m)
{
    if (d->has_remote_cseq && m->cseq < d->remote_cseq)
        return ERR_CONFLICT;
    d->remote_cseq = m->cseq;
    d->has_remote_cseq = true;
    return 0;
}

int dialog_route(const struct dialog *d, struct arena *a, struct str *ret_ruri,
                 struct str *ret_route)
{
    size_t cap = d->target.n + 8;
    struct sip_addr first;
    struct sip_uri u;
    *ret_ruri = d->target;
    *ret_route = STR_NULL;
    if (d->n_routes == 0)
        return 0;
    if (sip_addr_parse(d->routes[0], &first) != 0 || sip_uri_parse(first.uri, &u) != 0)
        return ERR_SYNTAX;
    for (unsigned i = 0; i < d->n_routes; i++)
        cap += d->routes[i].n + 2;
    char *p = arena_alloc(a, cap);
    if (p == NULL)
        return ERR_NOMEM;
    struct sbuf b = sbuf_make(p, cap);
    for (unsigned i = u.lr ? 0 : 1; i < d->n_routes; i++) {
        if (b.n)
            sbuf_lit(&b, ", ");
        sbuf_str(&b, d->routes[i]);
    }
    if (!u.lr) { /* a strict router becomes the Request-URI, the target the last route */
        *ret_ruri = first.uri;
        if (b.n)
            sbuf_lit(&b, ", ");
        sbuf_char(&b, '<');
        sbuf_str(&b, d->target);
        sbuf_char(&b, '>');
    }
    *ret_route = sbuf_get(&b);
    return b.overflow ? ERR_LIMIT : 0;
}

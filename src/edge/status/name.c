/* Levels before names: see status/name.h. RFC 3261 20.10, 25.1; RFC 3325 9.1. Worker thread. */
#include "edge/status/name.h"
#include "edge/status/phone.h"
#include "policy/status_text.h"

#define NAME_MAX_TEXT (2 * POLICY_PERSON_MAX + 32) /* each character may be escaped */

static size_t find_nocase(struct str s, struct str part)
{
    for (size_t i = 0; i + part.n <= s.n; i++)
        if (str_starts_nocase(str_make(s.p + i, s.n - i), part))
            return i;
    return s.n;
}

/* ---- values ---- */

/* The address with another name before it. */
static struct str with_name(struct arena *a, struct str value, const struct sip_addr *addr,
                            struct str name)
{
    struct str rest = addr->params;

    if (addr->brackets) {
        const char *end = addr->uri.p + addr->uri.n + 1; /* behind the ">" */
        rest = str_make(end, (size_t)(value.p + value.n - end));
    }
    value = arena_fmt(a, "%.*s%s<%.*s>%.*s", STR_FMT(name), name.n ? " " : "", STR_FMT(addr->uri),
                      STR_FMT(rest));
    return value.p ? status_without_verstat(a, value) : STR_NULL;
}

/* The value with a name that has nothing of ours. Empty: it has none, or only a level would be
 * taken off (`only_levels`) and there is none. */
static struct str cleaned(struct arena *a, struct str value, bool only_levels)
{
    char text[NAME_MAX_TEXT];
    struct sbuf b = sbuf_make(text, sizeof text);
    struct sip_addr addr;
    bool has_level;

    if (sip_addr_parse(value, &addr) != 0 || addr.star || !addr.display.n ||
        !policy_text_display_plain(&b, addr.display, &has_level) || b.overflow ||
        (only_levels && !has_level))
        return STR_NULL;
    return with_name(a, value, &addr, b.n > 2 ? sbuf_get(&b) : STR_NULL);
}

static void clean(struct sip_edit *e, const struct sip_msg *m, enum sip_hdr_id id, bool only_levels)
{
    const struct sip_hdr *h = sip_msg_hdr(m, id, 0);
    struct str v = h ? cleaned(m->arena, h->value, only_levels) : STR_NULL;

    if (v.p)
        sip_edit_set(e, id, v);
}

/* Names that phones show instead of From's. Remote-Party-ID nobody has checked (it never became a
 * standard), so that it goes. */
static void clean_others(struct sip_edit *e, const struct sip_msg *m)
{
    struct sip_values it = sip_values_start(m, SIP_H_P_ASSERTED_IDENTITY);
    struct str v;

    for (unsigned i = 0; sip_values_next(&it); i++) {
        v = cleaned(m->arena, it.value, false);
        if (!v.p)
            continue;
        sip_edit_replace_value(e, SIP_H_P_ASSERTED_IDENTITY, i, v);
    }
    sip_edit_remove_named(e, STR("Remote-Party-ID"));
}

/* ---- whom it concerns ---- */

static const struct config_domain *domain_of(const struct config *cfg, struct str aor)
{
    struct str user, host = str_cut(aor, '@', &user);

    return aor.n ? config_domain_find(cfg, host) : NULL;
}

bool status_name_is_for(const struct edge_req *r)
{
    const struct config_domain *d =
        r->who.kind == PRINCIPAL_USER && !r->who.peer ? domain_of(r->cfg, r->who.name) : NULL;

    return d && d->status_prefix;
}

/* Within a dialog only the token knows of which domain the other side is. */
static bool is_to_such(const struct edge_req *r, const struct edge_target *t)
{
    const struct config_domain *d = domain_of(r->cfg, t->aor);
    const struct token_side *side;

    if (!t->to_user || t->peer)
        return false;
    if (d || !r->has_token || !sip_msg_in_dialog(r->m))
        return d && d->status_prefix;
    side = r->from_caller ? &r->token.callee : &r->token.caller;
    for (size_t i = 0; side->kind == PRINCIPAL_USER && i < r->cfg->n_domains; i++)
        if ((uint32_t)str_hash(r->cfg->domains[i].name) == side->domain)
            return r->cfg->domains[i].status_prefix;
    return false;
}

/* ---- signatures that a phone checks ---- */

/* RFC 8224 and RFC 4474 sign the address in From and no name. S/MIME may sign a copy of the whole
 * header (RFC 3261 23.4, RFC 3893), and a PASSporT the name that From shows ("rcd", RFC 9795). */
static bool may_be_signed(const struct sip_msg *m)
{
    static const char *const kinds[] = {"pkcs7", "multipart/signed", "message/sip"};
    const struct sip_hdr *type = sip_msg_hdr(m, SIP_H_CONTENT_TYPE, 0), *h;
    struct str ppt;

    for (size_t i = 0; type && i < ARRAY_LEN(kinds); i++)
        if (find_nocase(type->value, str_z(kinds[i])) < type->value.n ||
            (str_starts_nocase(type->value, STR("multipart/")) &&
             find_nocase(m->body, str_z(kinds[i])) < m->body.n))
            return true;
    for (unsigned i = 0; (h = sip_msg_hdr(m, SIP_H_IDENTITY, i)) != NULL; i++) {
        size_t at = find_nocase(h->value, STR("ppt="));
        ppt = str_make(h->value.p + at, h->value.n - at);
        if (str_starts_nocase(ppt, STR("ppt=rcd")) || str_starts_nocase(ppt, STR("ppt=\"rcd")))
            return true;
    }
    return false;
}

/* ---- entry ---- */

struct str status_name_from(const struct sip_msg *m, enum policy_level level)
{
    const struct sip_hdr *h = sip_msg_hdr(m, SIP_H_FROM, 0);
    char text[NAME_MAX_TEXT];
    struct sbuf b = sbuf_make(text, sizeof text);
    struct sip_addr addr;
    struct sip_uri u;
    struct str name;

    if (!h || may_be_signed(m) || sip_addr_parse(h->value, &addr) != 0)
        return STR_NULL;
    name = addr.display;
    if (!name.n && sip_uri_parse(addr.uri, &u) == 0) /* else the phone shows the level alone */
        name = u.user.n ? u.user : u.host;
    policy_text_display(&b, level, name);
    return b.overflow ? STR_NULL : with_name(m->arena, h->value, &addr, sbuf_get(&b));
}

void status_name_request(struct sip_edit *e, const struct edge_req *r, const struct edge_target *t,
                         bool has_from)
{
    if (is_to_such(r, t)) {
        if (!has_from)
            clean(e, r->m, SIP_H_FROM, false);
        clean_others(e, r->m);
    }
    if (r->who.peer)
        return;
    clean(e, r->m, SIP_H_TO,
          true); /* a phone calls back, or goes on, by the name that it was shown */
    clean(e, r->m, SIP_H_REFER_TO, true);
}

void status_name_response(struct sip_edit *e, const struct branch *b, const struct sip_msg *m)
{
    const struct edge_req *r = b->p->r;

    if (b->has_level && r && !r->from_changed) /* RFC 3261 8.2.6.2: as it came */
        sip_edit_set(e, SIP_H_FROM, sip_msg_hdr(r->m, SIP_H_FROM, 0)->value);
    else if (b->has_level && !r)
        clean(e, m, SIP_H_FROM, true);
    if (!b->p->shows_levels)
        return;
    if (!r || !r->to_changed)
        clean(e, m, SIP_H_TO, false);
    clean_others(e, m);
}

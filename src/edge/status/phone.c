/* The status as phones are told it, and the rules: see status/phone.h. Worker thread; memory of the
 * request's arena. */
#include "edge/status/phone.h"
#include "base/log.h"
#include "edge/status/calls.h"
#include "edge/status/facts.h"
#include "edge/admit/private_network.h"
#include "edge/status/name.h"
#include "policy/rules.h"
#include "policy/status_text.h"

#define CALL_INFO_URN "urn:x-cisco-remotecc:callinfo"

/* ---- what others may not say ---- */

static size_t find_nocase(struct str s, struct str part)
{
    for (size_t i = 0; i + part.n <= s.n; i++)
        if (str_starts_nocase(str_make(s.p + i, s.n - i), part))
            return i;
    return s.n;
}

/* TS 24.229 7.2A.20: how a network has verified the number, as a parameter of the address; in a name it is text. */
static struct str address_of(struct str value)
{
    struct sip_addr a;

    return sip_addr_parse(value, &a) == 0 && !a.star ? str_make(a.uri.p, (size_t)(value.p + value.n - a.uri.p)) : value;
}

/* RFC 3261 25.1: SEMI and EQUAL may have white space around them, names of a URI's parameters are
 * escaped at will. */
static size_t skip_space(struct str s, size_t at)
{
    while (at < s.n && (s.p[at] == ' ' || s.p[at] == '\t' || s.p[at] == '\r' || s.p[at] == '\n'))
        at++;
    return at;
}

static int hex_of(char c)
{
    c = str_lower(c);
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The character there, and where the next one is. */
static char unescaped(struct str s, size_t *at)
{
    int hi = s.p[*at] == '%' && *at + 2 < s.n ? hex_of(s.p[*at + 1]) : -1,
        lo = hi >= 0 ? hex_of(s.p[*at + 2]) : -1;
    char c = lo >= 0 ? (char)(hi << 4 | lo) : s.p[*at];

    *at += lo >= 0 ? 3 : 1;
    return str_lower(c);
}

/* Behind the ";": where the parameter ends if it is that one; 0: it is another. */
static size_t verstat_end(struct str s, size_t at)
{
    static const struct str name = {"verstat", 7};
    size_t i = 0;

    for (at = skip_space(s, at); i < name.n && at < s.n; i++)
        if (unescaped(s, &at) != name.p[i])
            return 0;
    at = skip_space(s, at);
    if (i < name.n || at >= s.n || s.p[at] != '=')
        return 0;
    at = skip_space(s, at + 1);
    if (at < s.n && s.p[at] == '"') {
        for (at++; at < s.n && s.p[at] != '"'; at++)
            at += s.p[at] == '\\' && at + 1 < s.n;
        return at < s.n ? at + 1 : at;
    }
    while (at < s.n && !strchr(";>@?, \t\r\n", s.p[at]))
        at++;
    return at;
}

/* Where it begins, with its ";"; s.n: nowhere. */
static size_t verstat_find(struct str s, size_t *ret_end)
{
    for (size_t i = 0; i < s.n; i++)
        if (s.p[i] == ';' && (*ret_end = verstat_end(s, i + 1)) != 0)
            return i;
    return s.n;
}

static bool has_verstat(struct str value)
{
    struct str v = address_of(value);
    size_t end;

    return verstat_find(v, &end) < v.n;
}

struct str status_without_verstat(struct arena *a, struct str value)
{
    struct str rest = address_of(value);
    char *p = arena_alloc(a, value.n + 1);
    size_t n = (size_t)(rest.p - value.p), at, end;

    if (!p)
        return STR_NULL;
    memcpy(p, value.p, n);
    while ((at = verstat_find(rest, &end)) < rest.n) {
        memcpy(p + n, rest.p, at);
        n += at;
        rest = str_make(rest.p + end, rest.n - end);
    }
    memcpy(p + n, rest.p, rest.n);
    return str_make(p, n + rest.n);
}

static void strip_verstat(struct sip_edit *e, const struct sip_msg *m)
{
    struct sip_values it = sip_values_start(m, SIP_H_P_ASSERTED_IDENTITY);

    for (unsigned i = 0; sip_values_next(&it); i++) {
        struct str v = has_verstat(it.value) ? status_without_verstat(m->arena, it.value) : STR_NULL;

        if (v.p)
            sip_edit_replace_value(e, SIP_H_P_ASSERTED_IDENTITY, i, v);
        else if (has_verstat(it.value))
            sip_edit_remove_value(e, SIP_H_P_ASSERTED_IDENTITY, i);
    }
}

bool status_phone_changes_from(const struct edge_req *r, const struct edge_target *t)
{
    const struct sip_hdr *h = sip_msg_hdr(r->m, SIP_H_FROM, 0);

    return t->to_user && !t->peer && h && has_verstat(h->value);
}

int status_phone_from(struct sip_edit *e, const struct edge_req *r, const struct edge_target *t)
{
    struct str v;

    if (!status_phone_changes_from(r, t))
        return 0;
    v = status_without_verstat(r->m->arena, sip_msg_hdr(r->m, SIP_H_FROM, 0)->value);
    if (!v.p)
        return ERR_NOMEM; /* as it is it would be believed */
    sip_edit_set(e, SIP_H_FROM, v);
    return 0;
}

void status_phone_strip(struct sip_edit *e, const struct sip_msg *m)
{
    struct sip_values it;

    if (sip_msg_has(m, SIP_H_X_SALLYPORT_STATUS))
        sip_edit_remove(e, SIP_H_X_SALLYPORT_STATUS);
    if (sip_msg_has(m, SIP_H_P_ASSERTED_IDENTITY))
        strip_verstat(e, m);
    if (!sip_msg_has(m, SIP_H_CALL_INFO))
        return;
    it = sip_values_start(m, SIP_H_CALL_INFO);
    for (unsigned i = 0; sip_values_next(&it); i++)
        if (find_nocase(it.value, STR(CALL_INFO_URN)) < it.value.n)
            sip_edit_remove_value(e, SIP_H_CALL_INFO, i);
}

/* ---- whom it concerns ---- */

static const struct config_domain *domain_of(const struct config *cfg, struct str aor)
{
    struct str user, host = str_cut(aor, '@', &user);

    return aor.n ? config_domain_find(cfg, host) : NULL;
}

static bool is_told(const struct config_domain *d)
{
    return d && (d->status_header || d->status_call_info || d->status_prefix);
}

/* Of both sides the stricter requirement. What happens to attacked calls a peer's line says, where
 * there is a peer: they come from outside. `tolerate` has said it before (edge/identity/verify.c). */
static struct policy_rule rule_of(const struct edge_req *r, const struct edge_target *t)
{
    const struct config_domain *ours[] = {
        r->who.kind == PRINCIPAL_USER ? domain_of(r->cfg, r->who.name) : NULL,
        domain_of(r->cfg, t->aor)}; /* of a subscriber its own line counts */
    const struct config_peer *peers[] = {r->who.peer, t->peer};
    const bool is_private[] = {private_network_is_from(r), private_network_is_to(r, t)};
    const enum config_verify verify[] = {private_network_verify(r),
                                         t->peer ? t->peer->verify_identity : CONFIG_VERIFY_PREFER};
    struct policy_rule all = {.require = POLICY_OPEN, .on_attack = POLICY_ATTACK_ALARM};
    bool has_peer = peers[0] || peers[1], any = false;

    for (size_t i = 0; i < 2; i++) {
        const struct config_status its = peers[i] ? private_network_status(peers[i], is_private[i])
                                                  : (struct config_status){0};
        const struct config_status *s = peers[i] ? &its : ours[i] ? &ours[i]->status : NULL;
        struct policy_rule rule;

        if (!s)
            continue;
        rule = (struct policy_rule){.require = (enum policy_level)s->require,
                                    .on_attack = (enum policy_on_attack)s->on_attack};
        if (peers[i] ? verify[i] == CONFIG_VERIFY_TOLERATE : has_peer)
            rule.on_attack = POLICY_ATTACK_ALARM;
        all = policy_rule_stricter(all, rule);
        any = true;
    }
    if (!any)
        all.on_attack = POLICY_ATTACK_REJECT;
    return all;
}

/* ---- what is said ---- */

static struct str build(struct arena *a, const struct policy_status *st,
                        void (*fn)(struct sbuf *b, const struct policy_status *s))
{
    char *text = arena_alloc(a, POLICY_HEADER_MAX);
    struct sbuf b;

    if (!text)
        return STR_NULL;
    b = sbuf_make(text, POLICY_HEADER_MAX);
    fn(&b, st);
    return b.overflow ? STR_NULL : sbuf_get(&b);
}

static void tell(const struct config_domain *d, struct arena *a, const struct policy_facts *f,
                 unsigned towards, struct forward_changes *ret)
{
    struct policy_status st;

    policy_status(f, towards, &st);
    if (d->status_header)
        ret->status = build(a, &st, policy_text_header);
    if (d->status_call_info)
        ret->call_info = build(a, &st, policy_text_call_info);
}

/* What a person is to see throughout the call is the least that may come of the offer, as rules
 * count it: From does not change any more. `f` is the weakest; where nothing is offered that we
 * could see (`is_unknown`) anything may come. */
static void tell_by_name(const struct config_domain *d, const struct sip_msg *m,
                         const struct policy_facts *f, bool is_unknown, struct forward_changes *ret)
{
    struct policy_status st;
    enum policy_level level;

    if (!d || !d->status_prefix)
        return;
    policy_status(f, POLICY_CALLEE, &st);
    level = policy_status_has(&st, POLICY_MEDIA_NOT_AGREED) ? st.expected : st.level;
    ret->from = status_name_from(m, is_unknown && level > POLICY_OPEN ? POLICY_OPEN : level);
}

/* Of both sides: what is required is required of the call. */
static int check(const struct policy_rule *rule, const struct policy_facts *f, struct reason *why)
{
    struct policy_status st;
    bool is_attacked;

    for (unsigned towards = POLICY_CALLER; towards <= POLICY_CALLEE; towards++) {
        policy_status(f, towards, &st);
        if (policy_rule_check(rule, f, &st, &is_attacked, why) != 0)
            return ERR_REFUSED;
    }
    return 0;
}

static bool is_suspect(const struct facts_call *f)
{
    return f->party[POLICY_CALLER].identity.verdict == IDENTITY_CONTRADICTED ||
           f->party[POLICY_CALLER].identity.smime == POLICY_SMIME_CONTRADICTED;
}

static struct facts_ask ask_of(const struct branch *b, const struct facts_party *callee)
{
    struct facts_ask ask = {.callee = callee};

    if (b->p->anchor)
        anchor_name(b->p->anchor, &ask.anchor_slot, &ask.anchor_gen);
    return ask;
}

int status_check_request(struct branch *b, const struct path *out, struct forward_changes *ret,
                         struct reason *why)
{
    const struct proxy *p = b->p;
    struct edge_req *r = p->r;
    struct policy_rule rule = rule_of(r, b->t);
    const struct config_domain *d = b->t->peer ? NULL : domain_of(r->cfg, b->t->aor);
    const struct facts_call *f = calls_facts(p->w, p->call_slot, p->call_gen);
    struct facts_party callee;
    struct policy_facts *pf;
    struct facts_ask ask;

    if (!is_told(d) && rule.require <= POLICY_OPEN && !(f && is_suspect(f)))
        return 0; /* the common case costs nothing */
    if (!f) {     /* no memory for its record: what cannot be judged is not let pass */
        reason_set(why, "no-memory", NULL, 500, NULL);
        return rule.require > POLICY_OPEN && !r->emergency ? ERR_REFUSED : 0;
    }
    facts_callee(&callee, r, b->t, out, NULL, branch_is_redirected(b));
    ask = ask_of(b, &callee);
    ask.branch = b->anchored;
    if (facts_make(p->w, f, &ask, r->m->arena, &pf) != 0) {
        reason_set(why, "no-memory", NULL, 500, NULL);
        return r->emergency ? 0 : ERR_REFUSED;
    }
    if (is_told(d))
        tell(d, r->m->arena, pf, POLICY_CALLEE, ret);
    calls_told(p->w, p->call_slot, p->call_gen, POLICY_CALLEE, ret->status);
    ask.is_weakest = true; /* what the phones may make of it: once they have, it is too late */
    if (facts_make(p->w, f, &ask, r->m->arena, &pf) != 0) {
        reason_set(why, "no-memory", NULL, 500, NULL);
        return r->emergency ? 0 : ERR_REFUSED;
    }
    tell_by_name(d, r->m, pf, !p->anchor && !f->offer.n, ret);
    if (rule.require > POLICY_OPEN && !p->anchor && !f->offer.n && !r->emergency) {
        reason_set(why, "media-not-agreed", "TR/100 8.2", 488,
                   "nothing is offered that could be judged before it is answered");
        edge_count(p->w, EC_STATUS_REFUSED);
        return ERR_REFUSED;
    }
    if (check(&rule, pf, why) == 0)
        return 0;
    edge_count(p->w, EC_STATUS_REFUSED);
    return ERR_REFUSED;
}

void status_tell_caller(struct branch *b, const struct sip_msg *m, struct forward_changes *ret)
{
    const struct proxy *p = b->p;
    const struct edge_req *r = p->r;
    const struct config_domain *d =
        r->who.kind == PRINCIPAL_USER && !r->who.peer ? domain_of(r->cfg, r->who.name) : NULL;
    const struct facts_call *f;
    struct policy_rule rule;
    struct policy_facts *pf;
    struct reason why = {0};
    struct facts_ask ask;

    if (m->status <= 100 || m->status >= 300 || !b->t)
        return;
    rule = rule_of(r, b->t);
    if (!is_told(d) && (m->status < 200 || rule.require <= POLICY_OPEN))
        return;
    f = calls_facts(p->w, p->call_slot, p->call_gen);
    ask = ask_of(b, NULL);
    if (!f || facts_make(p->w, f, &ask, m->arena, &pf) != 0)
        return;
    if (is_told(d))
        tell(d, m->arena, pf, POLICY_CALLER, ret);
    calls_told(p->w, p->call_slot, p->call_gen, POLICY_CALLER, ret->status);
    if (m->status >= 200 && check(&rule, pf, &why) != 0)
        LOG(LOG_WARN, "status-below", LZ("reason", why.code), LZ("clause", why.clause),
            LZ("detail", why.detail), LS("call", m->call_id));
}

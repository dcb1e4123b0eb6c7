/* Asserted identity at the borders of trust domains: RFC 3325, RFC 5876, the "id" and "none" of RFC
 * 3323, the "history" of RFC 7044; TR/100 7.5.1.
 *
 * Spec(T) in short. Whom we believe: peers with allow-asserted-identity, of their own users (they are
 * as little believed of ours as in From, TR/100 7.5.3), nobody else; a phone's own assertion is taken off. What we assert: the user that we authenticated, by its address of record.
 * Whom we tell: peers with assert-identity, whatever privacy was asked for, since they keep it as
 * we do, of a subscriber the number of its that the gate has found; phones get what believed peers asserted, unless privacy was asked for; everybody else gets
 * nothing, unless the caller said that it wants no privacy at all. A preferred identity is a hint
 * to us, who know one address of a user and need none, and goes no further (RFC 3325 6). Decided on parsed headers, value by value.
 *
 * Worker thread; memory of the request's arena. */
#include "edge/admit/asserted.h"
#include "edge/peers/trunk.h"

/* "header;session;id" (RFC 3323 4.2). A comma is no separator there; who writes one means one. */
static bool privacy_next(struct str *rest, struct str *ret)
{
    size_t n = 0;

    if (!rest->n)
        return false;
    while (n < rest->n && rest->p[n] != ';' && rest->p[n] != ',')
        n++;
    *ret = str_trim(str_make(rest->p, n));
    n += n < rest->n;
    *rest = str_make(rest->p + n, rest->n - n);
    return true;
}

static bool asks_privacy(const struct sip_msg *m, struct str wanted)
{
    const struct sip_hdr *h;
    for (unsigned i = 0; (h = sip_msg_hdr(m, SIP_H_PRIVACY, i)) != NULL; i++) {
        struct str rest = h->value, token;
        while (privacy_next(&rest, &token))
            if (str_eq_nocase(token, wanted))
                return true;
    }
    return false;
}

/* May what a believed side asserted go on? */
static bool may_pass(const struct sip_msg *m, bool told, bool is_phone)
{
    if (told)
        return true;
    if (asks_privacy(m, STR("id")))
        return false;
    return is_phone || asks_privacy(m, STR("none")); /* RFC 3325 7: that one forbids to remove it */
}

bool asserted_is_shown(const struct sip_msg *m)
{
    return may_pass(m, false, true);
}

bool asserted_is_of_peer(const struct config_peer *from, struct str who)
{
    struct sip_uri u;
    size_t i = 0;

    if (!from || sip_uri_parse(who, &u) != 0)
        return false;
    while (i < from->domains.n && !str_eq_nocase(from->domains.v[i], u.host))
        i++;
    return u.host.n && i < from->domains.n;
}

/* ";privacy=full", also "name" and "uri": as Remote-Party-ID and Diversion ask for it, each for itself (RFC 5806 4). */
static bool is_private_value(struct str value)
{
    struct sip_addr a;
    struct str privacy;

    return sip_addr_parse(value, &a) != 0 ||
           (sip_param_find(a.params, STR("privacy"), &privacy) && !str_eq_nocase(privacy, STR("off")));
}

static bool has_private_named(const struct sip_msg *m, struct str name)
{
    const struct sip_hdr *h;
    bool is_private = false;

    for (unsigned i = 0; !is_private && (h = sip_msg_hdr_named(m, name, i)) != NULL; i++)
        is_private = is_private_value(h->value);
    return is_private;
}

/* What assertions were before RFC 3325, and phones show before From: nobody can say of it whom it may
 * be of. It comes from within the enterprise or not at all. */
static bool is_remote_party_believed(const struct config_peer *from)
{
    return from && from->allow_asserted_identity && !from->identities.n &&
           from->kind != CONFIG_PEERING && from->kind != CONFIG_SUBSCRIPTION;
}

static struct str remote_party(const struct sip_msg *m, const struct config_peer *from)
{
    const struct sip_hdr *h = is_remote_party_believed(from) ? sip_msg_hdr_named(m, STR("Remote-Party-ID"), 0) : NULL;
    struct sip_addr a;

    return h && sip_addr_parse(h->value, &a) == 0 && !a.star ? a.uri : STR_NULL;
}

static void edit_remote_party(struct sip_edit *e, const struct sip_msg *m,
                              const struct config_peer *from, bool told, bool is_phone)
{
    static const struct str name = {"Remote-Party-ID", 15};

    if (sip_msg_hdr_named(m, name, 0) &&
        !(is_remote_party_believed(from) && may_pass(m, told, is_phone) && (told || !has_private_named(m, name))))
        sip_edit_remove_named(e, name);
}

/* RFC 7044 10.1.2: where a call has been, if that is to stay private. Whose entries these are nobody can say, so that all of them go
 * that are asked for, into the form of 4.1.1.3 of RFC 3323; their index stays. `Privacy` itself stays as well, for what others behind
 * us add. */
static bool is_private_entry(const struct sip_addr *a)
{
    struct str rest = a->uri, one, name, values, token;

    rest = str_cut(rest, '?', &one); /* "sip:bob@example.com?Reason=SIP%3Bcause%3D302&Privacy=history" */
    while (rest.n) {
        rest = str_cut(rest, '&', &one);
        values = str_cut(one, '=', &name);
        if (!str_eq_nocase(name, STR("Privacy")))
            continue;
        while (privacy_next(&values, &token))
            if (token.n >= 7 && str_eq_nocase(str_make(token.p, 7), STR("history")))
                return true;
        /* What is escaped in it, or says otherwise, is not worth a guess. */
        if (str_find_char(one, '%') < one.n)
            return true;
    }
    return false;
}

static void edit_history(struct sip_edit *e, const struct sip_msg *m, bool told)
{
    struct sip_values it;
    struct sip_addr a;
    bool is_all;

    if (told || (!sip_msg_has(m, SIP_H_HISTORY_INFO) && !sip_msg_has(m, SIP_H_DIVERSION)))
        return;
    is_all = asks_privacy(m, STR("history")) || asks_privacy(m, STR("header"));
    it = sip_values_start(m, SIP_H_DIVERSION);
    for (unsigned i = 0; sip_values_next(&it); i++)
        if (is_all || is_private_value(it.value))
            sip_edit_remove_value(e, SIP_H_DIVERSION, i);
    it = sip_values_start(m, SIP_H_HISTORY_INFO);
    for (unsigned i = 0; sip_values_next(&it); i++) {
        bool is_address = sip_addr_parse(it.value, &a) == 0 && !a.star;
        struct str v;

        if (!is_all && !(is_address && is_private_entry(&a)))
            continue;
        v = is_address ? arena_fmt(m->arena, "<sip:anonymous@anonymous.invalid>%.*s", STR_FMT(a.params)) : STR_NULL;
        if (v.p)
            sip_edit_replace_value(e, SIP_H_HISTORY_INFO, i, v);
        else
            sip_edit_remove_value(e, SIP_H_HISTORY_INFO, i);
    }
}

/* ---- requests ---- */

static bool is_told(const struct edge_target *t)
{
    return t->emergency || (t->peer && t->peer->assert_identity);
}

/* RFC 3325 9.1 and RFC 5876 3: not in what is not answered, nor where identity is what the request
 * itself settles. */
static bool may_carry(enum sip_method m)
{
    return m != SIP_ACK && m != SIP_CANCEL && m != SIP_REGISTER && m != SIP_PRACK;
}

/* A carrier knows our callers by numbers of its account, whoever they are to us (trunk_names.c). */
static bool is_renamed(const struct edge_target *t)
{
    return trunk_is(t->peer) && t->peer->from_user.n && is_told(t);
}

/* The address alone: who it is we know, and by what name it goes is its own word, which From has. */
static void assert_user(struct sip_edit *e, const struct edge_req *r, const struct edge_target *t)
{
    struct str who = is_renamed(t)  ? trunk_asserts(r, t->peer)
                     : r->asserts.n ? r->asserts
                                    : r->who.name;
    struct str v = who.p ? arena_fmt(r->m->arena, "<%.*s>", STR_FMT(who)) : STR_NULL;

    if (v.p)
        sip_edit_add_last(e, SIP_H_P_ASSERTED_IDENTITY, v);
}

/* RFC 5876 4.5: one SIP or SIPS URI and one TEL URI count, the first of each; what else stands there is ignored, and goes no further. */
struct counted {
    struct sip_values it;
    bool has_sip, has_tel;
};

static bool counts(struct counted *c, struct str value, struct sip_addr *ret, struct sip_uri *ret_uri)
{
    bool is_tel, *has;

    if (sip_addr_parse(value, ret) != 0 || ret->star || sip_uri_parse(ret->uri, ret_uri) != 0)
        return false;
    is_tel = ret_uri->scheme == SIP_SCHEME_TEL;
    has = is_tel ? &c->has_tel : &c->has_sip;
    if (*has || (!is_tel && ret_uri->scheme != SIP_SCHEME_SIP && ret_uri->scheme != SIP_SCHEME_SIPS))
        return false;
    *has = true;
    return true;
}

static struct counted counted_start(const struct sip_msg *m)
{
    return (struct counted){.it = sip_values_start(m, SIP_H_P_ASSERTED_IDENTITY)};
}

static bool counted_next(struct counted *c, struct sip_addr *ret, struct sip_uri *ret_uri)
{
    while (sip_values_next(&c->it))
        if (counts(c, c->it.value, ret, ret_uri))
            return true;
    return false;
}

static void remove_uncounted(struct sip_edit *e, const struct sip_msg *m)
{
    struct counted c = counted_start(m);
    struct sip_addr a;
    struct sip_uri u;

    for (unsigned i = 0; sip_values_next(&c.it); i++)
        if (!counts(&c, c.it.value, &a, &u))
            sip_edit_remove_value(e, SIP_H_P_ASSERTED_IDENTITY, i);
}

/* One rule for requests and responses. */
static bool is_believed(const struct config *cfg, const struct config_peer *p,
                        const struct sip_msg *m, const struct addr *local)
{
    struct counted c = counted_start(m);
    struct sip_addr a;
    struct sip_uri u;
    bool has_one = false;

    if (!p || !p->allow_asserted_identity || p->account.n)
        return false; /* of an account what the gate has found in it is asserted, and nothing else */
    for (; counted_next(&c, &a, &u); has_one = true)
        if (u.scheme != SIP_SCHEME_TEL && !gate_peer_speaks_for(cfg, p, &u, local))
            return false;
    /* Whoever may speak for some domains alone says a number of one of its users, or of nobody's, as in From (9.1). */
    return c.has_sip || (has_one && !p->identities.n);
}

bool asserted_is_believed(const struct edge_req *r)
{
    return is_believed(r->cfg, r->who.peer, r->m, &r->rx.path.local);
}

struct str asserted_who_answers(const struct sip_msg *m, const struct config *cfg,
                                const struct config_peer *from, const struct addr *local)
{
    struct counted c = counted_start(m);
    struct sip_addr a;
    struct sip_uri u;

    return is_believed(cfg, from, m, local) && counted_next(&c, &a, &u) ? a.uri : remote_party(m, from);
}

struct str asserted_who(const struct edge_req *r)
{
    return asserted_who_answers(r->m, r->cfg, r->who.peer, &r->rx.path.local);
}

void asserted_edit_request(struct sip_edit *e, const struct edge_req *r,
                           const struct edge_target *t)
{
    if (sip_msg_has(r->m, SIP_H_P_PREFERRED_IDENTITY))
        sip_edit_remove(e, SIP_H_P_PREFERRED_IDENTITY);
    if (sip_msg_has(r->m, SIP_H_P_ASSERTED_IDENTITY) &&
        !(asserted_is_believed(r) && !r->asserts.n && !is_renamed(t) && may_carry(r->m->method) &&
          may_pass(r->m, is_told(t), t->to_user && !t->peer)))
        sip_edit_remove(e, SIP_H_P_ASSERTED_IDENTITY);
    else
        remove_uncounted(e, r->m);
    edit_remote_party(e, r->m, r->who.peer, is_told(t), t->to_user && !t->peer);
    edit_history(e, r->m, is_told(t));
    if (((r->who.kind == PRINCIPAL_USER && (r->asserts.n || !r->who.peer)) ||
         (is_renamed(t) && r->who.kind != PRINCIPAL_NONE)) &&
        is_told(t) && may_carry(r->m->method))
        assert_user(e, r, t);
}

/* ---- responses ---- */

void asserted_edit_response(struct sip_edit *e, const struct sip_msg *m, const struct config *cfg,
                            const struct config_peer *from, const struct addr *local, bool told,
                            bool is_phone)
{
    if (sip_msg_has(m, SIP_H_P_PREFERRED_IDENTITY))
        sip_edit_remove(e, SIP_H_P_PREFERRED_IDENTITY);
    if (sip_msg_has(m, SIP_H_P_ASSERTED_IDENTITY) &&
        !(is_believed(cfg, from, m, local) && may_pass(m, told, is_phone)))
        sip_edit_remove(e, SIP_H_P_ASSERTED_IDENTITY);
    else
        remove_uncounted(e, m);
    edit_remote_party(e, m, from, told, is_phone);
    edit_history(e, m, told);
}

/* ---- privacy that we cannot give ---- */

/* "header", "session" and "user" would take a B2BUA; what comes after RFC 7044 nobody here knows. */
static bool is_given(struct str level)
{
    static const char *const given[] = {"id", "history", "none", "critical", ""};

    for (size_t i = 0; i < ARRAY_LEN(given); i++)
        if (str_eq_nocase(level, str_z(given[i])))
            return true;
    return false;
}

int asserted_check_privacy(const struct edge_req *r, const struct edge_targets *ts,
                           struct reason *why)
{
    const struct sip_hdr *h;
    bool leaves = false;

    if (r->emergency || !sip_msg_has(r->m, SIP_H_PRIVACY) || !asks_privacy(r->m, STR("critical")))
        return 0;
    for (size_t i = 0; i < ts->n; i++)
        leaves = leaves || !ts->v[i]->to_user || ts->v[i]->peer;
    for (unsigned i = 0; leaves && (h = sip_msg_hdr(r->m, SIP_H_PRIVACY, i)) != NULL; i++) {
        struct str rest = h->value, token;
        while (privacy_next(&rest, &token))
            if (!is_given(token)) {
                bool is_plain = token.n <= 32 && str_find_char(token, '"') == token.n &&
                                str_find_char(token, '\\') == token.n;
                reason_set(why, "privacy-not-given", "RFC 3323 5", 500,
                           "this edge cannot give the privacy \"%.*s\" that the caller insists on",
                           STR_FMT(is_plain ? token : STR("?")));
                return ERR_REFUSED;
            }
    }
    return 0;
}

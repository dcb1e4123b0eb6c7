/* The facts of a call: see facts.h; facts_media.c for what descriptions show. RFC 8588, TR/100 7.7
 * and gap 2 for hints of a gateway. */
#include "edge/status/facts.h"
#include "base/mem.h"
#include "edge/anchor/facts.h"
#include "edge/anchor/anchor_priv.h"
#include "edge/admit/asserted.h"
#include "edge/admit/callers.h"
#include "edge/admit/gate_priv.h"
#include "edge/admit/gateway_mark.h"
#include "edge/identity/service.h"
#include "edge/peers/peers.h"
#include "sip/smime.h"

#define BIT(m) ((uint8_t)(1u << (m)))

static void unbind(struct facts_party *p, uint64_t keys, uint64_t other_keys)
{
    if (p->signed_keys != keys)
        p->signed_bound = POLICY_BOUND_NONE;
    if (p->signed_other != other_keys)
        p->body_bound = POLICY_BOUND_NONE;
}

void facts_said(struct facts_call *f, enum facts_said said, const struct facts_media *media)
{
    switch (said) {
    case FACTS_OFFER:
        f->offer = *media;
        break;
    case FACTS_ANSWER:
        facts_agree(&f->offer, media, &f->media);
        break;
    case FACTS_AGREED:
        f->media = *media;
        break;
    case FACTS_KEYS_CALLER:
    case FACTS_KEYS_CALLEE:
        unbind(&f->party[said == FACTS_KEYS_CALLER ? POLICY_CALLER : POLICY_CALLEE], media->keys,
               media->other_keys);
        break;
    }
}

/* ---- who ---- */

static enum policy_how how_of(enum principal_how how)
{
    switch (how) {
    case AUTH_DIGEST:
        return POLICY_BY_DIGEST;
    case AUTH_FLOW:
        return POLICY_BY_FLOW;
    case AUTH_CERTIFICATE:
        return POLICY_BY_CERTIFICATE;
    case AUTH_SOURCE:
        return POLICY_BY_SOURCE;
    case AUTH_NONE:
        break;
    }
    return POLICY_BY_NOTHING;
}

static void party_of_kind(struct facts_party *p, enum principal_kind kind,
                          const struct config_peer *peer, enum policy_how how)
{
    p->identity.how = how;
    p->identity.verdict = p->identity.worst = IDENTITY_ABSENT;
    if (kind == PRINCIPAL_USER) {
        p->identity.known = POLICY_ID_AUTHENTICATED;
        p->beyond = POLICY_BEYOND_NONE;
        p->ends_at = POLICY_ENDS_USER;
        return;
    }
    p->identity.known = kind == PRINCIPAL_NONE ? POLICY_ID_CLAIMED : POLICY_ID_SITE;
    p->beyond = POLICY_BEYOND_UNKNOWN;
    p->ends_at = peer && peer->kind == CONFIG_GATEWAY ? POLICY_ENDS_GATEWAY : POLICY_ENDS_UNKNOWN;
}

/* "TLS", "WSS", "TLS-SCTP": whatever is over TLS says so in its name (RFC 3261 20.42, RFC 4168 5, RFC 7118 5.2). */
static bool is_secure_via(const struct sip_via *v)
{
    struct str rest = v->transport, part;

    while (rest.n) {
        rest = str_cut(rest, '-', &part);
        if (str_eq_nocase(part, STR("TLS")) || str_eq_nocase(part, STR("DTLS")) || str_eq_nocase(part, STR("WSS")))
            return true;
    }
    return false;
}

/* TR/100 7.3: of hops behind our own a request shows what each one wrote of itself. That one was in the clear
 * nobody would pretend; that all were secured is no more than said. A user of ours is at the end of our hop if
 * there was no other. */
static enum policy_beyond beyond_of(const struct edge_req *r, bool is_user)
{
    struct sip_values it = sip_values_start(r->m, SIP_H_VIA);
    struct sip_via via;
    unsigned n = 0;

    if (r->who.peer && r->who.peer->hops_beyond)
        return POLICY_BEYOND_PROVISIONED;
    while (sip_values_next(&it))
        if (n++ > 0 && (sip_via_parse(it.value, &via) != 0 || !is_secure_via(&via)))
            return POLICY_BEYOND_CLEAR;
    if (n > 1)
        return POLICY_BEYOND_CLAIMED;
    if (is_user)
        return POLICY_BEYOND_NONE;
    return r->ruri.scheme == SIP_SCHEME_SIPS ? POLICY_BEYOND_CLAIMED : POLICY_BEYOND_UNKNOWN;
}

/* Says the sender that it is the focus of a conference (RFC 4579 5.1)? Others are there than can be seen. */
static bool is_focus(const struct sip_msg *m, bool was)
{
    const struct sip_hdr *h = sip_msg_hdr(m, SIP_H_CONTACT, 0);
    struct sip_addr a;

    if (!h)
        return was;
    return sip_addr_parse(h->value, &a) == 0 && !a.star && sip_param_find(a.params, STR("isfocus"), NULL);
}

/* Whom the edge lets in along this hop has proven who it is there, too (admit_in_dialog). */
void facts_hop(struct facts_call *f, unsigned side, const struct policy_hop *hop)
{
    struct policy_hop *own = &f->party[side].hop, was = *own;

    *own = *hop;
    own->authenticated |= own->secure && (was.authenticated || f->user[side]);
    own->peer = was.peer;
    own->below = was.below;
}

void facts_focus(struct facts_call *f, unsigned side, const struct sip_msg *m)
{
    f->party[side].is_focus = is_focus(m, f->party[side].is_focus);
}

/* "tel:...", "sip:+4930...@host", "...;user=phone". */
static bool is_number(struct str uri)
{
    struct sip_uri u;

    if (sip_uri_parse(uri, &u) != 0)
        return false;
    return u.scheme == SIP_SCHEME_TEL || u.user_is_phone || (u.user.n && u.user.p[0] == '+');
}

/* Gap 2: a number at a carrier's may be a telephone behind a gateway that does not say so. */
static void hint_of_carrier(struct facts_party *p, const struct config_peer *peer, struct str uri)
{
    if (peer && peer->kind == CONFIG_SUBSCRIPTION && !peer->account.n && is_number(uri))
        p->hints |= POLICY_HINT_CARRIER;
}

static struct str host_of(struct str uri)
{
    struct sip_uri u;

    return sip_uri_parse(uri, &u) == 0 ? u.host : STR_NULL;
}

static bool is_anonymous(struct str uri)
{
    return str_eq_nocase(host_of(uri), STR("anonymous.invalid"));
}

/* TR/100 7.2.2: what is declared of the peer's hop. Who says so is not kept here, since its text goes
 * with the configuration. */
static void below_of(const struct edge_worker *w, struct facts_party *p, const struct config_peer *peer)
{
    uint64_t now_s = net_wall_s(w->net);
    static const enum policy_below_kind kinds[] = {
        [CONFIG_PROTECTED_NO] = POLICY_BELOW_NONE,
        [CONFIG_PROTECTED_IPSEC] = POLICY_BELOW_IPSEC,
        [CONFIG_PROTECTED_VPN] = POLICY_BELOW_VPN,
        [CONFIG_PROTECTED_LOCK] = POLICY_BELOW_LOCK,
        [CONFIG_PROTECTED_8021X] = POLICY_BELOW_8021X,
    };
    const struct peer_state *at;
    struct peer_state s = {0};
    uint64_t until_s;
    if (!peer || peer->protected_by == CONFIG_PROTECTED_NO)
        return;
    p->hop.below.kind = kinds[peer->protected_by];
    at = peer->protected_by == CONFIG_PROTECTED_IPSEC ? peer_state_get(w->edge, peer) : NULL;
    if (at)
        peer_state_read(at, &s);
    p->hop.below.check = !config_peer_is_protected(peer, now_s) || s.below == PEER_BELOW_MISSING
                             ? POLICY_BELOW_GONE
                         : s.below == PEER_BELOW_CHECKED ? POLICY_BELOW_CHECKED
                                                         : POLICY_BELOW_DECLARED;
    p->hop.below.until_s = config_date_parse(peer->protected_until, &until_s) ? until_s : 0;
}

static struct str keep(char **at, struct str s)
{
    struct str r = {*at, s.n < LIMIT_POLICY_TEXT ? s.n : LIMIT_POLICY_TEXT};

    if (r.n)
        memcpy(*at, s.p, r.n);
    *at += r.n;
    return r;
}

/* Texts that are the request's, which goes before the call: without memory they are not told. */
static void keep_caller(struct facts_party *p, struct policy_identity *id)
{
    char *old = p->text, *at;

    if (!id->via.n && !id->diverted_by.n && !id->asserted.n)
        return;
    p->text = at = mem_alloc(4 * LIMIT_POLICY_TEXT);
    if (id->via.n) /* else it is the record's */
        id->address = at ? keep(&at, id->address) : STR_NULL;
    id->via = at ? keep(&at, id->via) : STR_NULL;
    id->diverted_by = at ? keep(&at, id->diverted_by) : STR_NULL;
    id->asserted = at ? keep(&at, id->asserted) : STR_NULL;
    mem_free(old);
}

void facts_caller(struct facts_call *f, const struct edge_req *r, struct str from, struct str by)
{
    struct facts_party *p = &f->party[POLICY_CALLER];
    const struct config_peer *peer = r->who.peer;

    bool is_user = r->who.kind == PRINCIPAL_USER &&
                   !peer; /* behind an account of an enterprise is who knows whom */

    struct caller_origin o;

    f->is_emergency = r->emergency;
    f->user[POLICY_CALLER] = is_user ? principal_id(&r->who) : 0;
    party_of_kind(p, r->who.kind == PRINCIPAL_USER && peer ? PRINCIPAL_PEER : r->who.kind, peer,
                  how_of(r->who.how));
    p->beyond = beyond_of(r, r->who.kind == PRINCIPAL_USER && !peer);
    p->is_focus = is_focus(r->m, false);
    p->identity.asserted = asserted_who(r);
    p->is_shown = asserted_is_shown(r->m);
    p->is_of_peer = asserted_is_of_peer(peer, p->identity.asserted);
    if (p->identity.asserted.n)
        p->identity.known = POLICY_ID_ASSERTED;
    else if (is_anonymous(from)) /* whoever we know it is: nobody is shown (RFC 3323 4.1.1.3) */
        p->identity.known = POLICY_ID_NONE;
    if (!is_user && gateway_is_marked(r->m))
        p->ends_at = POLICY_ENDS_GATEWAY;
    hint_of_carrier(p, peer, from);
    caller_origin(r, &o);
    p->identity.address = o.via.n && o.address.p ? o.address : from;
    p->identity.via = o.via;
    keep_caller(p, &p->identity);
    p->identity.by = is_user ? STR_NULL : by;
    p->hop = policy_hop_from(r->rx.hop, r->rx.path.transport, p->identity.by);
    p->hop.authenticated |= r->who.kind == PRINCIPAL_USER && r->hop_secure;
    below_of(r->w, p, peer);
    (void)facts_describe(r->m, &f->offer);
}

struct str facts_signer(enum identity_authority a, struct str from)
{
    switch (a) {
    case IDENTITY_BY_NUMBER:
        return STR("the holder of the number");
    case IDENTITY_BY_POLICY:
    case IDENTITY_BY_PROVIDER:
        return STR("a service provider");
    case IDENTITY_NO_AUTHORITY:
    case IDENTITY_BY_DOMAIN:
    case IDENTITY_BY_USER:
        break;
    }
    return host_of(from);
}

/* Is the address as it was signed, and not what a domain on the way has made of it? */
static bool is_of_origin(const struct identity_vouch *v)
{
    return v->result.token && v->shown.m.orig_also.text.p &&
           passport_id_eq(v->result.token->p.orig, v->shown.m.orig_also);
}

void facts_vouched(struct facts_call *f, const struct edge_req *r, struct str from)
{
    struct facts_party *p = &f->party[POLICY_CALLER];
    const struct identity_vouch *v = r->vouch;
    struct policy_identity id;
    struct caller_origin o;
    bool is_tn;

    if (!v || !v->is_looked_at || v->result.verdict == IDENTITY_ABSENT)
        return;
    is_tn = v->shown.m.orig.is_tn; /* policy tells numbers from addresses by their form */
    p->hints |=
        policy_identity_from(&v->result, is_tn ? STR("+") : from, STR_NULL,
                             v->shown.has_fingerprints, &id);
    p->signed_bound = policy_bound_from(&v->result);
    p->signed_keys = facts_fingerprints_of(r->m);
    p->body_bound = policy_body_bound_from(&v->result);
    p->signed_other = facts_other_keys_of(r->m);
    caller_origin(r, &o); /* what is proven now may not have been when the call began */
    id.address = o.via.n && o.address.p ? o.address : p->identity.address;
    id.via = o.via.n ? o.via : p->identity.via;
    id.asserted = p->identity.asserted;
    keep_caller(p, &id);
    id.by = facts_signer(v->result.authority, is_of_origin(v) ? id.address : from);
    id.how = p->identity.how;
    if (id.known < p->identity.known) {
        id.known = p->identity.known;
        id.by = p->identity.by;
    }
    p->identity = id;
    /* Who is signed for by name is who calls; a gateway would be marked, or hinted at. */
    if (id.known == POLICY_ID_VERIFIED && p->ends_at == POLICY_ENDS_UNKNOWN)
        p->ends_at = p->hints ? POLICY_ENDS_MAYBE_GATEWAY : POLICY_ENDS_USER;
}

void facts_answered(struct facts_party *p, const struct identity_vouch *v, struct str called,
                    struct arena *a)
{
    bool is_valid = v->result.verdict == IDENTITY_VALID;
    struct policy_identity id;
    struct str who = p->identity.address;

    if (!v->is_looked_at || v->result.verdict == IDENTITY_ABSENT)
        return;
    if (is_valid)
        who = v->result.token->p.orig.text;
    if (is_valid && v->result.token->p.orig.is_tn)
        who = arena_fmt(a, "+%.*s", STR_FMT(who));
    p->hints |= policy_identity_from(&v->result, who, facts_signer(v->result.authority, who),
                                     v->shown.has_fingerprints, &id);
    p->signed_bound = policy_bound_from(&v->result);
    p->body_bound = policy_body_bound_from(&v->result);
    id.how = p->identity.how;
    id.asserted = p->identity.asserted;
    if (id.known < p->identity.known) {
        id.known = p->identity.known;
        id.by = p->identity.by;
    }
    if (!is_valid)
        id.reached = p->identity.reached;
    else if (id.reached != IDENTITY_REACHED_SAME)
        id.called = called;
    p->identity = id;
    if (id.known == POLICY_ID_VERIFIED && p->ends_at == POLICY_ENDS_UNKNOWN)
        p->ends_at = p->hints ? POLICY_ENDS_MAYBE_GATEWAY : POLICY_ENDS_USER;
}

/* A connection of another worker, or one that is only being made: what our configuration asks of it
 * at least. */
static struct hop_facts hop_at_least(const struct edge_worker *w, const struct edge_target *t,
                                     const struct path *out)
{
    const struct config_listen *l = &w->cfg->listens[listener_of(w, out)];
    int min = t->peer ? t->peer->tls_min : l->tls_min;
    bool is_usual = t->peer ? !t->peer->ciphers.n : !l->ciphers.n;

    if (!transport_is_secure(out->transport))
        return (struct hop_facts){0};
    return (struct hop_facts){.secure = true,
                              .tls_version = min >= 13 ? "TLSv1.3" : "TLSv1.2",
                              .forward_secret = min >= 13 || is_usual,
                              .peer_verified =
                                  !t->to_user && !(t->peer && t->peer->allow_unverified)};
}

void facts_callee(struct facts_party *p, const struct edge_req *r, const struct edge_target *t,
                  const struct path *out, const struct hop_facts *hop, bool is_redirected)
{
    struct edge_worker *w = r->w;
    struct hop_facts least = hop_at_least(w, t, out);
    bool is_flow = t->to_user && t->has_path && !t->route.n;
    enum principal_kind kind = t->aor.n && !t->peer ? PRINCIPAL_USER
                               : t->is_flow_side    ? r->flow_side.kind
                               : t->peer            ? PRINCIPAL_PEER
                                                    : PRINCIPAL_DOMAIN;

    *p = (struct facts_party){0};
    if (!hop && out->flow)
        hop = net_facts(w->net, out->flow);
    /* A user of ours is known by the connection that it registered on; by an address alone else. */
    party_of_kind(p, kind, t->peer,
                  is_flow && transport_is_secure(t->path.transport) ? POLICY_BY_FLOW
                                                                    : POLICY_BY_SOURCE);
    if (kind != PRINCIPAL_USER && t->peer && t->peer->hops_beyond)
        p->beyond = POLICY_BEYOND_PROVISIONED;
    if (kind == PRINCIPAL_USER && t->route.n)
        p->beyond = POLICY_BEYOND_UNKNOWN; /* a proxy is between us (RFC 3327) */
    if (is_redirected)
        p->identity.reached = IDENTITY_REACHED_UNPROVEN;
    hint_of_carrier(p, t->peer, t->uri);
    if (p->hints && p->ends_at == POLICY_ENDS_UNKNOWN)
        p->ends_at = POLICY_ENDS_MAYBE_GATEWAY;
    p->identity.address = kind == PRINCIPAL_USER ? t->aor : t->uri;
    p->identity.by = t->peer ? t->peer->name : STR_NULL;
    p->hop =
        policy_hop_from(hop && hop->tls_version ? hop : &least, out->transport, p->identity.by);
    if (kind != PRINCIPAL_USER && !t->aor.n && p->hop.secure && p->hop.authenticated)
        p->identity.how = POLICY_BY_CERTIFICATE;
    p->hop.authenticated |= t->aor.n && transport_is_secure(out->transport);
    below_of(w, p, t->peer);
}

/* Its texts are copied, for what they are slices of may go. */
static void set_party(struct facts_call *f, unsigned side, const struct facts_party *p)
{
    struct facts_party *to = &f->party[side], set = *p;
    char *text = mem_alloc(7 * LIMIT_POLICY_TEXT), *at = text;

    set.text = text;
    set.identity.address = text ? keep(&at, p->identity.address) : STR_NULL;
    set.identity.by = text ? keep(&at, p->identity.by) : STR_NULL;
    set.identity.called = text ? keep(&at, p->identity.called) : STR_NULL;
    set.identity.diverted_by = text ? keep(&at, p->identity.diverted_by) : STR_NULL;
    set.identity.via = text ? keep(&at, p->identity.via) : STR_NULL;
    set.identity.asserted = text ? keep(&at, p->identity.asserted) : STR_NULL;
    set.hop.peer = text ? keep(&at, p->hop.peer) : STR_NULL;
    mem_free(to->text);
    *to = set;
}

void facts_set_callee(struct facts_call *f, const struct facts_party *p)
{
    f->has_callee = true;
    set_party(f, POLICY_CALLEE, p);
}

void facts_asserted(struct facts_call *f, unsigned side, struct str who, bool is_shown, bool is_of_peer)
{
    struct facts_party next = f->party[side];

    next.identity.asserted = who;
    next.is_shown = is_shown;
    next.is_of_peer = is_of_peer;
    if (next.identity.known == POLICY_ID_SITE)
        next.identity.known = POLICY_ID_ASSERTED;
    set_party(f, side, &next);
}

/* ---- within the call ---- */

/* A body in which there may be keys that cannot be seen here (an encoding, RFC 3261 20.12; a part that
 * has one; more descriptions than one): it has keys, and none that are known. What S/MIME has in it
 * smime.c knows. */
static bool is_unreadable(const struct sip_msg *m)
{
    const struct sip_hdr *type = sip_msg_hdr(m, SIP_H_CONTENT_TYPE, 0);
    struct reason why = {0};
    struct str text;

    return m->body.n && !(type && str_starts_nocase(type->value, STR("application/pkcs7-mime"))) &&
           anchor_body_find(m, &text, &why) != 0;
}

uint64_t facts_fingerprints_of(const struct sip_msg *m)
{
    return is_unreadable(m) ? str_hash(m->body) | 1 : facts_fingerprints(m->body);
}

uint64_t facts_other_keys_of(const struct sip_msg *m)
{
    return is_unreadable(m) ? str_hash(m->body) | 1 : facts_other_keys(m->body);
}

void facts_later(struct edge_worker *w, uint32_t slot, uint32_t gen, const struct sip_msg *m,
                 bool by_caller)
{
    struct facts_media media = {.keys = facts_fingerprints_of(m),
                                .other_keys = facts_other_keys_of(m)};

    /* Inside of a signature they stand in no line of it, and who judges that may be elsewhere. */
    if (!media.keys && !media.other_keys && m->body.n && sip_smime_is_possible(m))
        media.keys = media.other_keys = str_hash(m->body) | 1;
    if (media.keys || media.other_keys)
        calls_said(w, slot, gen, by_caller ? FACTS_KEYS_CALLER : FACTS_KEYS_CALLEE, &media);
}

/* Who the other side is now, of a request of its own (RFC 4916): the one that it was called as, or
 * another, for whom the domain that was called has signed or not. */
static void reached_by_request(struct policy_identity *id, const struct identity_vouch *v,
                               struct str called, struct arena *a)
{
    struct passport_id to;

    id->called = STR_NULL;
    id->reached = IDENTITY_REACHED_SAME;
    if (identity_show_uri(a, called, NULL, false, &to) != 0 || passport_id_eq(to, v->shown.m.orig))
        return;
    id->called = called;
    id->reached =
        id->authority == IDENTITY_BY_DOMAIN && str_eq_nocase(host_of(called), host_of(id->address))
            ? IDENTITY_REACHED_PROVEN
            : IDENTITY_REACHED_UNPROVEN;
}

/* What the user has signed is no less so because its domain alone signs the same keys, or none, for the
 * same user: a refresh, an answer (RFC 8862 4.4). `next`: as that signature would have it. */
static bool is_signed_better(const struct facts_party *was, const struct facts_party *next,
                             const struct identity_vouch *v, bool has_others)
{
    return v->result.verdict == IDENTITY_VALID && !has_others &&
           was->signed_bound == POLICY_BOUND_USER && next->signed_bound != POLICY_BOUND_USER &&
           str_eq(was->identity.address, next->identity.address);
}

/* Does a request say that its sender is somebody else than is known, and than the call began with (RFC 4916)?
 * Users of ours say nothing but who they have authenticated as (gate.c), and who hides says no name. */
static bool says_another(const struct facts_call *f, unsigned side, const struct sip_msg *m,
                         struct str first)
{
    struct str named = f->party[side].identity.address;
    struct passport_id from, one;
    struct sip_uri u;

    if (!m->is_request || f->user[side] || sip_uri_parse(m->from.uri, &u) != 0 ||
        login_is_anonymous(&u) ||
        identity_show_uri(m->arena, m->from.uri, NULL, true, &from) != 0)
        return false;
    if (identity_show_uri(m->arena, first, NULL, true, &one) == 0 && passport_id_eq(one, from))
        return false;
    if (named.n && named.p[0] == '+') /* as a token has a number */
        return !from.is_tn || !str_eq(from.text, str_make(named.p + 1, named.n - 1));
    return identity_show_uri(m->arena, named, NULL, true, &one) != 0 || !passport_id_eq(one, from);
}

/* It has been taken, and is shown: it is a claim, whoever was signed for before, and whatever keys. */
static void claim_anew(struct facts_party *p, unsigned side, const struct sip_msg *m,
                       const struct identity_vouch *v, struct str called)
{
    const struct policy_identity was = p->identity;
    bool is_looked_at = v && v->is_looked_at && v->result.verdict != IDENTITY_ABSENT;

    p->identity = (struct policy_identity){
        .known = was.known > POLICY_ID_SITE ? POLICY_ID_SITE : was.known,
        .how = was.how,
        .verdict = is_looked_at ? v->result.verdict : IDENTITY_ABSENT,
        .worst = IDENTITY_ABSENT,
        .why = is_looked_at ? v->result.why.code : NULL,
        .address = m->from.uri,
        .by = p->hop.peer,
        .asserted = was.asserted,
        .reached = side == POLICY_CALLEE ? IDENTITY_REACHED_UNPROVEN : was.reached,
        .called = side == POLICY_CALLEE ? called : was.called,
    };
    p->signed_bound = p->body_bound = POLICY_BOUND_NONE;
    if (p->ends_at == POLICY_ENDS_USER) /* who was signed for by name */
        p->ends_at = POLICY_ENDS_UNKNOWN;
}

void facts_in_dialog(struct facts_call *f, unsigned side, const struct sip_msg *m,
                     const struct identity_vouch *v, struct str first, struct str called)
{
    struct facts_party next = f->party[side];
    uint64_t keys = facts_fingerprints_of(m), other = facts_other_keys_of(m);

    if (!(v && v->is_looked_at && v->result.verdict == IDENTITY_VALID) &&
        says_another(f, side, m, first)) {
        claim_anew(&next, side, m, v, called);
        set_party(f, side, &next);
        return;
    }

    if (v && v->is_looked_at && v->result.verdict != IDENTITY_ABSENT) {
        facts_answered(&next, v, called, m->arena);
        if (m->is_request && side == POLICY_CALLEE && v->result.verdict == IDENTITY_VALID)
            reached_by_request(&next.identity, v, called, m->arena);
        if (side == POLICY_CALLER) { /* its requests go to a Contact (RFC 3261 12.2.1.1): whom the call has reached, the INVITE said */
            next.identity.reached = f->party[side].identity.reached;
            next.identity.called = f->party[side].identity.called;
            next.identity.diverted_by = f->party[side].identity.diverted_by;
        }
        if (is_signed_better(&f->party[side], &next, v,
                             m->body.n && (keys != f->party[side].signed_keys ||
                                           other != f->party[side].signed_other)))
            return;
        next.signed_keys = keys;
        next.signed_other = other;
        if (!m->body.n && str_eq(next.identity.by, f->party[side].identity.by)) {
            next.signed_bound = f->party[side].signed_bound; /* of keys it says nothing */
            next.signed_keys = f->party[side].signed_keys;
            next.body_bound = f->party[side].body_bound;
            next.signed_other = f->party[side].signed_other;
        }
        set_party(f, side, &next);
    } else if (m->body.n) {
        unbind(&f->party[side], keys, other); /* what was signed may not be what is used now */
    }
}

void facts_done(struct facts_call *f)
{
    mem_free(f->party[POLICY_CALLER].text);
    mem_free(f->party[POLICY_CALLEE].text);
}

/* ---- policy's form ---- */

enum policy_bound facts_bound(const struct facts_party *p, const struct keying_facts *keys)
{
    if (keys->method == KEYING_CLEAR)
        return POLICY_BOUND_NONE;
    if (keys->method == KEYING_DTLS && p->signed_bound > POLICY_BOUND_US)
        return p->signed_bound;
    if (keys->method != KEYING_DTLS && p->body_bound > POLICY_BOUND_US)
        return p->body_bound;
    return p->hop.secure && p->hop.authenticated && p->beyond == POLICY_BEYOND_NONE
               ? POLICY_BOUND_US
               : POLICY_BOUND_NONE;
}

/* What may come of an offer: the weakest method in it, or none where the profile does not need one
 * (RFC 8643). */
static struct facts_medium weakest(const struct facts_medium *m)
{
    static const enum keying_method_id order[] = {KEYING_ZRTP, KEYING_SDES, KEYING_MIKEY,
                                                  KEYING_DTLS};
    struct facts_medium ret = *m;

    if (m->is_agreed)
        return ret;
    ret.method = KEYING_CLEAR;
    for (size_t i = 0; m->is_secure && ret.method == KEYING_CLEAR && i < ARRAY_LEN(order); i++)
        if (m->methods & BIT(order[i]))
            ret.method = (uint8_t)order[i];
    return ret;
}

static uint8_t put_media(const struct facts_media *from, bool is_weakest, struct policy_medium *ret)
{
    uint8_t n = 0;

    for (unsigned i = 0; i < from->n; i++) {
        const struct facts_medium one = is_weakest ? weakest(&from->v[i]) : from->v[i];

        if (!one.is_off)
            ret[n++] = (struct policy_medium){.kind = (enum policy_media_kind)one.kind,
                                              .section = (uint8_t)i,
                                              .relay = POLICY_RELAY_PASSED,
                                              .keys = facts_keys(&one)};
    }
    return n;
}

/* What a phone shows of an assertion is as good as the assertion, whoever has signed From: unless both name the same, or the same
 * domain, which then says both. */
static bool is_asserted_other(const struct facts_party *p, struct arena *a)
{
    const struct policy_identity *id = &p->identity;
    struct str who = id->address;
    struct passport_id proven, shown;

    if (id->known != POLICY_ID_VERIFIED || !id->asserted.n || !p->is_shown)
        return false;
    if (who.n && who.p[0] == '+')
        who = arena_fmt(a, "tel:%.*s", STR_FMT(who));
    if (identity_show_uri(a, who, NULL, true, &proven) == 0 && identity_show_uri(a, id->asserted, NULL, true, &shown) == 0 &&
        passport_id_eq(proven, shown))
        return false;
    return !(p->is_of_peer && str_eq_nocase(host_of(who), host_of(id->asserted)));
}

static int put_party(const struct edge_worker *w, const struct facts_call *f,
                     const struct facts_ask *ask, const struct facts_party *p, unsigned side,
                     struct arena *a, struct policy_party *ret)
{
    const struct facts_media *said = f->media.n && !ask->callee ? &f->media : &f->offer;
    size_t max = ask->anchor_gen ? LIMIT_POLICY_MEDIA : LIMIT_FACTS_MEDIA;
    struct policy_medium *media = arena_alloc(a, max * sizeof(*media));
    struct policy_hop *hop = arena_alloc(a, sizeof(*hop));
    uint8_t n;

    if (!media || !hop)
        return ERR_NOMEM;
    n = ask->anchor_gen
            ? anchor_facts_media(w, ask->anchor_slot, ask->anchor_gen, ask->branch, side, a, media)
            : put_media(said, ask->is_weakest, media);
    for (unsigned i = 0; i < n; i++) {
        media[i].bound = facts_bound(p, &media[i].keys);
        media[i].bound_by = media[i].bound > POLICY_BOUND_US ? p->identity.by : STR_NULL;
        /* RFC 6189 8.1: the hash of ZRTP's first message, come unchanged, does what the users' strings do. */
        if (media[i].bound > POLICY_BOUND_US && media[i].keys.middle == KEYING_MIDDLE_IF_SAS_OK)
            media[i].keys.middle = KEYING_MIDDLE_IF_SDP_OK;
    }
    *hop = p->hop;
    if (hop->below.until_s && net_wall_s(w->net) >= hop->below.until_s)
        hop->below.check = POLICY_BELOW_GONE; /* since the call began */
    *ret = (struct policy_party){.ends_at = p->is_focus && (p->ends_at == POLICY_ENDS_USER ||
                                                            p->ends_at == POLICY_ENDS_UNKNOWN)
                                                ? POLICY_ENDS_CONFERENCE
                                                : p->ends_at,
                                 .hints = p->hints,
                                 .identity = p->identity,
                                 .beyond = p->beyond,
                                 .n_hops = 1,
                                 .n_media = n,
                                 .hops = hop,
                                 .media = media};
    ret->identity.is_asserted_other = is_asserted_other(p, a);
    return 0;
}

int facts_make(const struct edge_worker *w, const struct facts_call *f, const struct facts_ask *ask,
               struct arena *a, struct policy_facts **ret)
{
    const struct facts_party *callee = ask->callee ? ask->callee : &f->party[POLICY_CALLEE];
    struct policy_facts *pf = arena_zalloc(a, sizeof(*pf));

    if (!pf || !(pf->parties = arena_zalloc(a, 2 * sizeof(*pf->parties))))
        return ERR_NOMEM;
    pf->subject = POLICY_CALL;
    pf->is_emergency = f->is_emergency;
    pf->n_parties = ask->callee || f->has_callee ? 2 : 1;
    *ret = pf;
    for (unsigned i = 0; i < pf->n_parties; i++)
        if (put_party(w, f, ask, i == POLICY_CALLER ? &f->party[POLICY_CALLER] : callee, i, a,
                      &pf->parties[i]) != 0)
            return ERR_NOMEM;
    return 0;
}

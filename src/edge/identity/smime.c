/* Judging S/MIME: RFC 3261 23.2 to 23.4, RFC 3893 2, 5 to 7, 10, RFC 8551; policy as for
 * RFC 8224 (edge/identity/verify.c). Costs some 300 us a signature and its chain, so that one worker
 * looks at LIMIT_SMIME_RATE a second and no more; most messages cost a look at their type. */
#include "edge/identity/smime.h"
#include "base/log.h"
#include "edge/anchor/anchor_priv.h"
#include "edge/admit/callers.h"
#include "edge/identity/service.h"
#include "edge/admit/private_network.h"
#include "identity/cred_chain.h"
#include "pki/cms.h"
#include "policy/rules.h"
#include "sip/smime.h"

struct judge {
    struct edge_worker *w;
    const struct sip_msg *m;
    const struct edge_req *r; /* NULL: of an answer */
    const struct config_peer *peer;
    const struct canon_dial *dial; /* how bare digits are dialled; NULL: not at all */
    uint64_t now_s;
    struct pki_anchors *anchors; /* NULL: none */
    struct str description;      /* the one that is used; empty: none */
};

/* One layer, when its signature holds. */
struct layer {
    struct pki_cms cms;
    struct sip_part parts[LIMIT_BODY_PARTS];
    size_t n_parts;
    const struct sip_msg *frag; /* what says who calls; NULL: nothing does */
    bool is_aib;                /* message/sipfrag (RFC 3893), else message/sip */
    struct str who;             /* who calls, or answers, as is signed; or as the message says */
    struct smime_vouch v;
};

static void say(struct layer *l, enum policy_smime state, const char *code, const char *clause,
                const char *what)
{
    l->v.state = state;
    reason_set(&l->v.why, code, clause, 403, "%s", what);
}

static void broken(struct layer *l, const char *what)
{
    say(l, POLICY_SMIME_BROKEN, "smime-differs", "RFC 3261 23.4.1.1", what);
}

/* ---- what is signed ---- */

static bool is_of_type(const struct sip_part *p, const char *type)
{
    return sip_type_is(p->content_type, str_z(type));
}

static bool is_encoded(const struct sip_part *p)
{
    struct str how = sip_part_header(p, STR("Content-Transfer-Encoding"));

    return str_eq_nocase(how, STR("base64")) || str_eq_nocase(how, STR("quoted-printable"));
}

/* RFC 3893 2: "MUST have a Content-Disposition disposition-type of 'aib'". */
static bool is_aib(const struct sip_part *p)
{
    struct str disposition;

    (void)str_cut(p->content_disposition, ';', &disposition);
    return is_of_type(p, "message/sipfrag") && str_eq_nocase(str_trim(disposition), STR("aib"));
}

/* The first that says who calls; others may speak for third parties (RFC 3893 4). */
static int find_frag(struct judge *j, struct layer *l)
{
    struct reason why = {0};
    struct sip_msg *m;

    for (size_t i = 0; i < l->n_parts; i++) {
        const struct sip_part *p = &l->parts[i];
        int err;

        if ((!is_aib(p) && !is_of_type(p, "message/sip")) || is_encoded(p))
            continue;
        err = sip_frag_parse(j->m->arena, p->body, &m, &why);
        if (err == ERR_NOMEM)
            return err;
        if (err != 0 || m->defect.sip_status) {
            broken(l, "the headers that are signed cannot be read");
            return 0;
        }
        l->frag = m;
        l->is_aib = is_aib(p);
        return 0;
    }
    return 0;
}

static bool has_encrypted(const struct layer *l)
{
    for (size_t i = 0; i < l->n_parts; i++)
        if (is_of_type(&l->parts[i], "application/pkcs7-mime"))
            return true;
    return false;
}

/* ---- compared with the message ---- */

/* 0: the same; ERR_CONFLICT: others, or one that cannot be read; ERR_NOMEM. */
static int compare_ids(const struct judge *j, struct str a, struct str b, bool is_origin)
{
    struct passport_id ids[2];
    int err = identity_show_uri(j->m->arena, a, j->dial, is_origin, &ids[0]);

    if (err == 0)
        err = identity_show_uri(j->m->arena, b, j->dial, is_origin, &ids[1]);
    if (err == ERR_NOMEM)
        return err;
    return err == 0 && passport_id_eq(ids[0], ids[1]) ? 0 : ERR_CONFLICT;
}

/* From as it is, or as it was before a domain on the way rewrote it (TR/100 7.5.3). */
static int compare_from(const struct judge *j, const struct layer *l)
{
    struct caller_origin o;
    int err = 0;

    if (j->r || !l->is_aib) /* of an answer it is who answers (RFC 3893 6) */
        err = compare_ids(j, l->frag->from.uri, j->m->from.uri, true);
    if (err != ERR_CONFLICT || !j->r)
        return err;
    caller_origin_claimed(j->r, &o);
    if (!o.address.p)
        return ERR_NOMEM;
    return o.via.n ? compare_ids(j, l->frag->from.uri, o.address, true) : err;
}

static struct str contact_of(const struct sip_msg *m)
{
    struct sip_values it = sip_values_start(m, SIP_H_CONTACT);
    struct sip_addr a;

    return sip_values_next(&it) && sip_addr_parse(it.value, &a) == 0 && !a.star ? a.uri : STR_NULL;
}

static bool is_same_contact(const struct layer *l, const struct sip_msg *m)
{
    struct str signed_one = contact_of(l->frag), shown = contact_of(m);
    struct sip_uri a, b;

    return str_eq(signed_one, shown) || (sip_uri_parse(signed_one, &a) == 0 &&
                                         sip_uri_parse(shown, &b) == 0 && sip_uri_eq(&a, &b));
}

/* One body may serve for all of a dialog: then it has the CSeq of its INVITE (RFC 3893 10). */
static bool is_same_cseq(const struct layer *l, const struct sip_msg *m)
{
    const struct sip_msg *f = l->frag;

    if (!sip_msg_has(f, SIP_H_CSEQ) ||
        (f->cseq == m->cseq && str_eq(f->cseq_method_text, m->cseq_method_text)))
        return true;
    return sip_msg_in_dialog(m) && f->cseq_method == SIP_INVITE && f->cseq < m->cseq;
}

/* RFC 3893 2: From, Date, Call-ID and Contact must be there, where there can be one (RFC 3428 5 has
 * none); of message/sip RFC 3261 23.4.2 asks for To, From, Call-ID and CSeq. */
static bool is_complete(const struct layer *l, const struct sip_msg *m)
{
    const struct sip_msg *f = l->frag;

    if (!sip_msg_has(f, SIP_H_FROM) || !sip_msg_has(f, SIP_H_CALL_ID))
        return false;
    if (!l->is_aib)
        return sip_msg_has(f, SIP_H_TO) && sip_msg_has(f, SIP_H_CSEQ);
    return sip_msg_has(f, SIP_H_DATE) &&
           (sip_msg_has(f, SIP_H_CONTACT) || !sip_msg_has(m, SIP_H_CONTACT));
}

/* Where it is the same in both, the date is the signer's (RFC 3261 23.4.1.2). */
static bool is_same_date(const struct layer *l, const struct sip_msg *m, uint64_t *ret_s)
{
    const struct sip_hdr *is = sip_msg_hdr(l->frag, SIP_H_DATE, 0),
                         *shown = sip_msg_hdr(m, SIP_H_DATE, 0);
    uint64_t shown_s;

    if (!is)
        return true;
    return canon_date_parse(is->value, ret_s) == 0 &&
           (!shown || (canon_date_parse(shown->value, &shown_s) == 0 && shown_s == *ret_s));
}

/* What is signed against what the message shows (RFC 3893 7, 10). */
static int compare(const struct judge *j, struct layer *l, uint64_t *ret_s)
{
    const struct sip_msg *m = j->m, *f = l->frag;
    int err;

    if (!is_complete(l, m)) {
        broken(l, "the headers that are signed are not all that must be");
        return 0;
    }
    if ((err = compare_from(j, l)) != 0) {
        if (err == ERR_CONFLICT)
            broken(l, "From is not the signed one");
        return err == ERR_CONFLICT ? 0 : err;
    }
    if (sip_msg_has(f, SIP_H_TO) && (err = compare_ids(j, f->to.uri, m->to.uri, false)) != 0) {
        if (err == ERR_CONFLICT)
            broken(l, "To is not the signed one");
        return err == ERR_CONFLICT ? 0 : err;
    }
    if (!str_eq(f->call_id, m->call_id) || !is_same_cseq(l, m))
        broken(l, "Call-ID or CSeq is not the signed one");
    else if (sip_msg_has(f, SIP_H_CONTACT) && !is_same_contact(l, m))
        broken(l, "Contact is not the signed one");
    else if (!is_same_date(l, m, ret_s))
        broken(l, "Date is not the signed one");
    return 0;
}

/* Signed for whom? Without To it may have been for anybody. Of an answer: is it who was called (RFC
 * 3893 6: another one "is not necessarily an indication of a security breach")? */
static int find_reached(const struct judge *j, struct layer *l)
{
    int err = 0;

    if (!j->r)
        err = compare_ids(j, l->who, j->m->to.uri, false);
    else if (!sip_msg_has(l->frag, SIP_H_TO))
        err = ERR_CONFLICT;
    else if (!sip_msg_in_dialog(j->m))
        err = compare_ids(j, l->frag->to.uri, j->m->ruri, false);
    l->v.reached = err == 0 ? IDENTITY_REACHED_SAME : IDENTITY_REACHED_UNPROVEN;
    return err == ERR_CONFLICT ? 0 : err;
}

/* ---- who has signed ---- */

/* An address with a number in it is one of its domain as well: that may sign for it, and so may its
 * user; whose the number is, that does not say (RFC 3893 7 compares domains). */
static int find_as_address(const struct judge *j, const struct layer *l,
                           const struct identity_credential *c, enum identity_authority *ret)
{
    struct passport_id address = {.is_tn = false};
    struct canon_uri u = {.scheme = STR("sip")};
    struct sip_uri uri;
    int err;

    if (sip_uri_parse(l->who, &uri) != 0 || uri.scheme == SIP_SCHEME_TEL)
        return 0;
    u.user = uri.user;
    u.host = uri.host;
    err = canon_uri_text(j->m->arena, &u, &address.text);
    if (err == 0)
        *ret = identity_authority_of(c, address);
    return err == ERR_NOMEM ? err : 0;
}

static int find_authority(const struct judge *j, const struct layer *l,
                          enum identity_authority *ret, bool *ret_is_tn)
{
    struct identity_credential c;
    struct passport_id who = {.is_tn = false};
    int err = identity_credential_names(j->m->arena, l->cms.chain, &c);

    *ret = IDENTITY_NO_AUTHORITY;
    if (err != 0)
        return err;
    err = identity_show_uri(j->m->arena, l->who, j->dial, true, &who);
    if (err == 0)
        *ret = identity_authority_of(&c, who);
    *ret_is_tn = who.is_tn;
    if (*ret == IDENTITY_BY_PROVIDER && !(j->peer && j->peer->allow_provider_identity))
        *ret = IDENTITY_NO_AUTHORITY;
    if (err == 0 && who.is_tn && *ret == IDENTITY_NO_AUTHORITY)
        err = find_as_address(j, l, &c, ret);
    return err == ERR_NOMEM ? err : 0;
}

/* Who calls stands in From; who answers in To, and in From of what says so by itself. */
static struct str who_of(const struct judge *j, const struct layer *l)
{
    const struct sip_msg *m = l->frag ? l->frag : j->m;

    return j->r || (l->frag && l->is_aib) ? m->from.uri : m->to.uri;
}

/* RFC 3893 7: the signer and From "should correspond exactly". What nobody has signed may be a
 * network's doing: then it is no attack. */
static int judge_signer(struct judge *j, struct layer *l)
{
    bool is_tn = false;
    int err;

    l->who = who_of(j, l);
    if ((err = find_authority(j, l, &l->v.authority, &is_tn)) != 0 ||
        l->v.authority != IDENTITY_NO_AUTHORITY)
        return err;
    if (is_tn) /* networks rewrite the domains of numbers (TR/100 7.5.3) */
        say(l, POLICY_SMIME_UNVERIFIABLE, "smime-authority", "RFC 3893 7",
            "nothing says that its signer may speak for this number");
    else if (l->frag)
        say(l, POLICY_SMIME_CONTRADICTED, "smime-authority", "RFC 3893 7",
            "its signer may not speak for who it says it is");
    else
        say(l, POLICY_SMIME_BROKEN, "smime-differs", "RFC 3261 23.2",
            "its signer is not the one that the message names");
    return 0;
}

/* ---- of now, and of this call alone ---- */

static void judge_time(const struct judge *j, struct layer *l, uint64_t s)
{
    if (!s)
        say(l, POLICY_SMIME_UNVERIFIABLE, "smime-undated", "RFC 3893 10",
            "nobody knows of when it is");
    else if (s + LIMIT_SMIME_AGE_S < j->now_s || s > j->now_s + LIMIT_SMIME_AGE_S)
        say(l, POLICY_SMIME_STALE, "smime-stale", "RFC 3893 10",
            "it is dated more than an hour ago, or ahead");
}

/* What says who it is once for a dialog, or says nothing of the kind, comes as often as it likes in
 * there. */
static bool is_for_dialog(const struct judge *j, const struct layer *l)
{
    return sip_msg_in_dialog(j->m) && (!l->frag || !sip_msg_has(l->frag, SIP_H_CSEQ) ||
                                       l->frag->cseq != j->m->cseq);
}

static void judge_replay(const struct judge *j, struct layer *l, uint64_t s)
{
    struct identity_replay *seen = j->w->edge->smime_seen;
    const struct identity_use use = {.call_id = j->m->call_id,
                                     .from_tag = j->r ? j->m->from_tag : j->m->to_tag,
                                     .cseq = j->m->cseq,
                                     .is_for_dialog = is_for_dialog(j, l),
                                     .is_in_dialog = sip_msg_in_dialog(j->m)};
    int err;

    if (!seen)
        return;
    l->v.tag = identity_replay_tag(seen, l->cms.content, l->cms.fixed);
    l->v.has_tag = true;
    err = identity_replay_check(seen, &l->v.tag, &use, s, s + LIMIT_SMIME_AGE_S, j->now_s);
    if (err == ERR_CONFLICT)
        say(l, POLICY_SMIME_CONTRADICTED, "smime-replay", "RFC 3893 10",
            "it was seen before, in another call");
    else if (err == ERR_TIMEOUT)
        say(l, POLICY_SMIME_STALE, "smime-stale", "RFC 3893 10",
            "too old for anybody to tell whether it was seen before");
}

/* ---- what it is worth ---- */

/* The description that is used, among what is signed: in a part, or in the message inside. There is
 * one in the whole body (anchor_body_find), so that the same text is the same description. */
static bool covers(const struct judge *j, const struct layer *l)
{
    if (!j->description.n)
        return false;
    if (l->frag && str_eq(l->frag->body, j->description))
        return true;
    for (size_t i = 0; i < l->n_parts; i++)
        if (is_of_type(&l->parts[i], "application/sdp") && str_eq(l->parts[i].body, j->description))
            return true;
    return false;
}

static void judge_worth(const struct judge *j, struct layer *l)
{
    l->v.state = l->frag ? POLICY_SMIME_NAMES : POLICY_SMIME_SIGNED;
    l->v.who = l->who;
    if (!covers(j, l))
        return;
    l->v.bound = l->v.authority == IDENTITY_BY_USER ? POLICY_BOUND_USER : POLICY_BOUND_DOMAIN;
    if (l->frag)
        l->v.body_bound = l->v.bound;
}

static int judge_content(struct judge *j, struct layer *l)
{
    struct reason why = {0};
    uint64_t s = l->cms.signed_s;
    int err;

    l->n_parts = ARRAY_LEN(l->parts);
    if (sip_entity_parts(l->cms.content, l->parts, &l->n_parts, &why) != 0) {
        broken(l, "what is signed cannot be read");
        return 0;
    }
    err = find_frag(j, l);
    if (err == 0 && !l->v.state && !l->frag && has_encrypted(l))
        say(l, POLICY_SMIME_ENCRYPTED, "smime-encrypted", "RFC 8551 3.6",
            "what is signed is encrypted for its recipient");
    if (err == 0 && !l->v.state)
        err = judge_signer(j, l);
    if (err == 0 && !l->v.state && l->frag)
        err = compare(j, l, &s);
    if (err == 0 && !l->v.state)
        judge_time(j, l, s);
    if (err == 0 && !l->v.state)
        judge_replay(j, l, s);
    if (err == 0 && !l->v.state && l->frag)
        err = find_reached(j, l);
    if (err == 0 && !l->v.state)
        judge_worth(j, l);
    return err;
}

/* ---- layers ---- */

static bool is_too_much(struct edge_worker *w, uint64_t now_s)
{
    if (w->smime_s != now_s) {
        w->smime_s = now_s;
        w->smime_n = 0;
    }
    return w->smime_n++ >= LIMIT_SMIME_RATE;
}

/* Of a signature that does not hold, or of nobody. */
static void say_unheld(struct layer *l, int err, const struct reason *why)
{
    l->v.state =
        err == ERR_SYNTAX || err == ERR_CRYPTO ? POLICY_SMIME_BROKEN : POLICY_SMIME_UNVERIFIABLE;
    l->v.why = *why;
    l->v.why.sip_status = 403;
}

static int judge_signature(struct judge *j, const struct sip_smime *s, struct layer *l)
{
    struct pki_cms_args args = {
        .cms = s->cms, .content = s->entity, .anchors = j->anchors, .now_s = j->now_s};
    struct reason why = {0};
    int err = s->is_base64 ? sip_base64_lines(j->m->arena, s->cms, &args.cms) : 0;

    if (err == ERR_NOMEM)
        return err;
    if (err != 0 || !s->cms.p) {
        say(l, POLICY_SMIME_BROKEN, "cms-syntax", "RFC 3261 23.3",
            "there is no signature that can be read");
        return 0;
    }
    if (!j->anchors) {
        say(l, POLICY_SMIME_UNVERIFIABLE, "smime-no-anchors", "RFC 3261 23.2",
            "no anchors for identity certificates are configured");
        return 0;
    }
    if (is_too_much(j->w, j->now_s)) {
        say(l, POLICY_SMIME_UNVERIFIABLE, "smime-too-many", "RFC 3261 23.2",
            "more signed bodies at a time than are looked at");
        return 0;
    }
    err = pki_cms_verify(&args, j->m->arena, &l->cms, &why);
    if (err == 0)
        err = judge_content(j, l);
    else if (err != ERR_NOMEM)
        say_unheld(l, err, &why);
    else
        return err;
    pki_chain_unref(l->cms.chain);
    return err == ERR_NOMEM ? err : 0;
}

static int judge_layer(struct judge *j, const struct sip_smime *s, struct layer *l)
{
    switch (s->kind) {
    case SIP_SMIME_DETACHED:
    case SIP_SMIME_OPAQUE:
        return judge_signature(j, s, l);
    case SIP_SMIME_ENCRYPTED:
        say(l, POLICY_SMIME_ENCRYPTED, "smime-encrypted", "RFC 8551 3.3",
            "it is encrypted for its recipient");
        break;
    case SIP_SMIME_OTHER:
        break;
    }
    return 0;
}

/* What is contradicted counts, else the best; what one of them binds is bound. */
static void add(struct smime_vouch *all, const struct smime_vouch *one)
{
    struct smime_vouch was = *all;

    if (was.state == POLICY_SMIME_NONE || one->state == POLICY_SMIME_CONTRADICTED ||
        (was.state != POLICY_SMIME_CONTRADICTED && one->state > was.state))
        *all = *one;
    if (was.bound > all->bound)
        all->bound = was.bound;
    if (one->bound > all->bound)
        all->bound = one->bound;
    if (all->state == POLICY_SMIME_CONTRADICTED)
        all->bound = all->body_bound = POLICY_BOUND_NONE;
}

/* RFC 3893 2: who has one and does not sign it is told so. */
static bool has_unsigned_aib(const struct sip_msg *m)
{
    struct sip_part parts[LIMIT_BODY_PARTS];
    size_t n = ARRAY_LEN(parts);

    if (sip_body_parts(m, parts, &n, NULL) != 0)
        return false;
    for (size_t i = 0; i < n; i++)
        if (is_aib(&parts[i]))
            return true;
    return false;
}

static int judge_body(struct judge *j, struct smime_vouch *ret)
{
    struct sip_smime found[LIMIT_SMIME_LAYERS];
    size_t n = ARRAY_LEN(found);
    struct reason why = {0};
    struct layer *l = arena_alloc(j->m->arena, sizeof(*l));
    int err = 0;

    if (!l)
        return ERR_NOMEM;
    if (sip_smime_find(j->m, found, &n, &why) != 0)
        return 0; /* who has to know what it says refuses it (anchor/direct.c) */
    if (anchor_body_find(j->m, &j->description, &why) != 0)
        j->description = STR_NULL;
    for (size_t i = 0; i < n && err == 0; i++) {
        l->cms = (struct pki_cms){.chain = NULL};
        l->frag = NULL;
        l->v = (struct smime_vouch){.state = POLICY_SMIME_NONE};
        err = judge_layer(j, &found[i], l);
        add(ret, &l->v);
    }
    if (err == 0 && ret->state == POLICY_SMIME_NONE && has_unsigned_aib(j->m)) {
        ret->state = POLICY_SMIME_BROKEN;
        reason_set(&ret->why, "smime-unsigned", "RFC 3893 2", 403, "it says who calls, unsigned");
    }
    return err;
}

/* ---- entry ---- */

static void count(struct edge_worker *w, enum policy_smime state)
{
    static const enum edge_counter of[] = {
        [POLICY_SMIME_CONTRADICTED] = EC_SMIME_CONTRADICTED,
        [POLICY_SMIME_BROKEN] = EC_SMIME_BROKEN,
        [POLICY_SMIME_STALE] = EC_SMIME_STALE,
        [POLICY_SMIME_UNVERIFIABLE] = EC_SMIME_UNVERIFIABLE,
        [POLICY_SMIME_ENCRYPTED] = EC_SMIME_ENCRYPTED,
        [POLICY_SMIME_SIGNED] = EC_SMIME_SIGNED,
        [POLICY_SMIME_NAMES] = EC_SMIME_NAMES,
    };

    edge_count(w, of[state]);
}

/* As of a signature of RFC 8224: what is contradicted is refused, unless it is only reported. */
static int decide(const struct judge *j, const struct smime_vouch *v, bool is_tolerated,
                  struct reason *why)
{
    if (v->state != POLICY_SMIME_CONTRADICTED)
        return 0;
    LOG(LOG_WARN, "smime-contradicted", LZ("reason", v->why.code), LZ("clause", v->why.clause),
        LZ("detail", v->why.detail), LS("call", j->m->call_id),
        LS("from", j->r ? j->m->from.uri : j->m->to.uri),
        LS("peer", j->r      ? j->r->who.name
                   : j->peer ? j->peer->name
                             : STR_NULL),
        LZ("in", j->r ? "request" : "response"), LZ("then", is_tolerated ? "passed" : "refused"));
    if (is_tolerated)
        return 0;
    *why = v->why;
    return ERR_REFUSED;
}

/* 0: *ret says how it stands, NULL: there is nothing. ERR_NOMEM. */
static int judge_message(struct judge *j, struct smime_vouch **ret)
{
    struct edge_credentials *source = j->w->edge->credentials;
    struct smime_vouch *v = arena_zalloc(j->m->arena, sizeof(*v));
    int err;

    *ret = NULL;
    j->now_s = net_wall_s(j->w->net);
    j->anchors = source ? source->anchors(source) : NULL;
    err = v ? judge_body(j, v) : ERR_NOMEM;
    pki_anchors_unref(j->anchors);
    if (err != 0 || v->state == POLICY_SMIME_NONE)
        return err;
    count(j->w, v->state);
    v->description = j->description;
    *ret = v;
    return 0;
}

int smime_judge(struct edge_req *r, struct reason *why)
{
    struct judge j = {.w = r->w,
                      .m = r->m,
                      .r = r,
                      .peer = r->who.peer,
                      .dial = r->domain ? &r->domain->dial : NULL};
    enum config_verify mode = private_network_verify(r);

    if (!r->cfg->verify_smime || r->emergency || r->m->method == SIP_CANCEL ||
        mode == CONFIG_VERIFY_STRIP || !sip_smime_is_possible(r->m))
        return 0;
    if (judge_message(&j, &r->smime) != 0) {
        reason_set(why, "no-memory", NULL, 500, NULL);
        return ERR_REFUSED;
    }
    return r->smime ? decide(&j, r->smime,
                             mode == CONFIG_VERIFY_TOLERATE || identity_only_alarms(r), why)
                    : 0;
}

int smime_judge_answer(struct edge_worker *w, const struct identity_answer *a,
                       const struct smime_vouch **ret, struct reason *why)
{
    struct judge j = {.w = w, .m = a->m, .peer = a->peer};
    enum config_verify mode = a->peer ? a->peer->verify_answers : CONFIG_VERIFY_PREFER;
    bool only_alarms = a->peer && a->peer->status.on_attack == POLICY_ATTACK_ALARM;
    struct smime_vouch *v;

    *ret = NULL;
    if (!a->cfg->verify_smime || mode == CONFIG_VERIFY_STRIP || !sip_smime_is_possible(a->m) ||
        judge_message(&j, &v) !=
            0) /* without memory nobody knows, and it is no reason to hang up */
        return 0;
    *ret = v;
    return v ? decide(&j, v, mode == CONFIG_VERIFY_TOLERATE || only_alarms, why) : 0;
}

void smime_answered(const struct edge_req *r, unsigned status)
{
    const struct identity_use use = {
        r->m->call_id, r->m->from_tag, r->m->cseq, .is_in_dialog = sip_msg_in_dialog(r->m)};

    if (r->smime && r->smime->has_tag)
        identity_replay_answered(r->w->edge->smime_seen, &r->smime->tag, &use, status);
}

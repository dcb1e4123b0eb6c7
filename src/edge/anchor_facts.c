/* The facts of anchored calls (TR/100 8, 10): who is on each side and how that is known, the hops,
 * and for each medium of each leg its keys and how its packets fare. Gathered when somebody asks;
 * the security status is policy's to compute. Worker thread. */
#include "edge/anchor_facts.h"
#include "base/mem.h"
#include "edge/anchor_priv.h"
#include "edge/identity_service.h"
#include "edge/status_priv.h"
#include "policy/status.h"

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

/* A status without a name, when there is no memory for it, is still one. */
static void party_texts(struct anchor_party *p, struct str address, struct str by)
{
    bool has_all = anchor_text_set(&p->address, address) == 0 && anchor_text_set(&p->by, by) == 0;

    p->identity.address = has_all ? anchor_text_get(&p->address) : STR_NULL;
    p->identity.by = has_all ? anchor_text_get(&p->by) : STR_NULL;
}

static void party_of_kind(struct anchor_party *p, enum principal_kind kind,
                          const struct config_peer *peer, enum policy_how how)
{
    p->identity.how = how;
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

void anchor_party_caller(struct anchor_party *p, const struct edge_req *r)
{
    struct str user, host = str_cut(r->m->from.uri, '@', &user);

    (void)user;
    party_of_kind(p, r->who.kind, r->who.peer, how_of(r->who.how));
    p->hop = policy_hop_from(r->rx.hop, r->rx.path.transport, STR_NULL);
    p->hop.authenticated |= r->who.kind == PRINCIPAL_USER && r->hop_secure;
    party_texts(p, r->m->from.uri, r->who.kind == PRINCIPAL_USER ? STR_NULL : r->who.name);
    if (r->vouch && r->vouch->is_looked_at && r->vouch->result.verdict != IDENTITY_ABSENT) {
        struct policy_identity id = {0};

        p->hints = policy_identity_from(&r->vouch->result, p->identity.address,
                                        host.p ? host : STR_NULL, r->vouch->result.keys_bound, &id);
        p->signed_bound = policy_bound_from(&r->vouch->result);
        if (id.known == POLICY_ID_VERIFIED || id.verdict != IDENTITY_VALID) {
            id.address = p->identity.address;
            id.how = p->identity.how;
            if (id.known < p->identity.known)
                id.known = p->identity.known;
            if (anchor_text_set(&p->by, host.p ? host : STR_NULL) == 0)
                id.by = anchor_text_get(&p->by);
            p->identity = id;
        }
    }
}

void anchor_party_callee(struct anchor_party *p, struct edge_worker *w, const struct edge_target *t,
                         const struct path *out)
{
    const struct hop_facts *hop = out->flow ? net_facts(w->net, out->flow) : NULL;
    enum principal_kind kind = t->aor.n  ? PRINCIPAL_USER
                               : t->peer ? PRINCIPAL_PEER
                                         : PRINCIPAL_DOMAIN;
    struct hop_facts other = {.secure = transport_is_secure(out->transport)};

    party_of_kind(p, kind, t->peer, t->aor.n ? POLICY_BY_DIGEST : POLICY_BY_CERTIFICATE);
    p->hop = policy_hop_from(hop ? hop : &other, out->transport, STR_NULL);
    p->hop.authenticated |= kind == PRINCIPAL_USER && transport_is_secure(out->transport);
    party_texts(p, t->aor.n ? t->aor : t->uri, t->peer ? t->peer->name : STR_NULL);
}

void anchor_party_done(struct anchor_party *p)
{
    anchor_text_done(&p->address);
    anchor_text_done(&p->by);
}

/* ---- media ---- */

static enum policy_media_kind media_kind(enum sdp_kind k)
{
    switch (k) {
    case SDP_AUDIO:
        return POLICY_MEDIA_AUDIO;
    case SDP_VIDEO:
        return POLICY_MEDIA_VIDEO;
    case SDP_TEXT:
        return POLICY_MEDIA_TEXT;
    case SDP_IMAGE:
        return POLICY_MEDIA_IMAGE;
    case SDP_OTHER:
    case SDP_APPLICATION:
    case SDP_MESSAGE:
        break;
    }
    return POLICY_MEDIA_OTHER;
}

/* Where packets only pass, the description is all that there is to be known. */
static struct keying_facts facts_of_description(const struct sdp *s, unsigned i)
{
    struct keying_facts f = keying_facts_clear();

    if (sdp_attr_inherited(s, (int)i, SDP_A_FINGERPRINT, 0) &&
        sdp_proto_is_dtls(s->media[i].proto)) {
        f.method = KEYING_DTLS;
        f.known_to = KEYING_KNOWN_ENDS;
        f.middle = KEYING_MIDDLE_IF_SDP_OK;
        f.forward_secret = f.excludes_passive = true;
        f.proof = KEYING_PROOF_NEGOTIATED;
    } else if (sdp_has(s, (int)i, SDP_A_CRYPTO)) {
        f.method = KEYING_SDES;
        f.known_to = KEYING_KNOWN_HOPS;
        f.is_interim = true;
        f.proof = KEYING_PROOF_NEGOTIATED;
    }
    return f;
}

static enum policy_relay relay_of(const struct anchor_leg *leg, const struct keying_facts *f)
{
    if (!leg->keys)
        return POLICY_RELAY_PASSED;
    return f->method == KEYING_CLEAR ? POLICY_RELAY_CLEAR : POLICY_RELAY_REENCRYPTED;
}

static enum policy_bound bound_of(const struct anchor_party *p, const struct keying_facts *f)
{
    if (f->method == KEYING_CLEAR)
        return POLICY_BOUND_NONE;
    if (f->method == KEYING_DTLS && p->signed_bound > POLICY_BOUND_US)
        return p->signed_bound;
    return p->hop.secure && p->hop.authenticated && p->beyond == POLICY_BEYOND_NONE
               ? POLICY_BOUND_US
               : POLICY_BOUND_NONE;
}

/* The media of a leg as far as there are any. Returns how many. */
static uint8_t leg_media(const struct anchor_leg *leg, const struct anchor_party *p,
                         struct arena *a, struct policy_medium *ret)
{
    struct reason why = {0};
    struct sdp *s = NULL;
    uint8_t n = 0;

    if (!leg || !leg->in.p || sdp_parse(a, anchor_text_get(&leg->in), &s, &why) != 0)
        return 0;
    for (unsigned i = 0; i < leg->n && i < s->n_media && n < LIMIT_POLICY_MEDIA; i++) {
        struct policy_medium *m = &ret[n];

        if (!leg->sec[i].is_taken)
            continue;
        *m = (struct policy_medium){.kind = media_kind(s->media[i].kind), .section = (uint8_t)i};
        if (leg->keys)
            relay_keys_facts(leg->keys, (int)i, &m->keys);
        else
            m->keys = facts_of_description(s, i);
        m->relay = relay_of(leg, &m->keys);
        m->bound = bound_of(p, &m->keys);
        n++;
    }
    return n;
}

static void fill_party(struct policy_party *ret, struct anchor_party *p,
                       struct policy_medium *media, uint8_t n)
{
    *ret = (struct policy_party){.ends_at = p->ends_at,
                                 .hints = p->hints,
                                 .identity = p->identity,
                                 .beyond = p->beyond,
                                 .n_hops = 1,
                                 .n_media = n,
                                 .hops = &p->hop,
                                 .media = media};
}

/* ---- JSON ---- */

static json_t *addr_json(const struct addr *a)
{
    char t[ADDR_TEXT_MAX];
    struct str s = addr_is_set(a) ? addr_text(a, t) : STR_NULL;

    return json_stringn(s.n ? s.p : "", s.n);
}

static json_t *quality_json(const struct anchor_end *e)
{
    struct relay_end_stats st;
    struct addr rtp, rtcp;

    relay_end_stats(e->end, &st);
    relay_end_local(e->end, &rtp, &rtcp);
    return json_pack("{s:o, s:o, s:b, s:b, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, "
                     "s:I, s:i, s:b, s:i, s:i, s:i, s:i}",
                     "local", addr_json(&rtp), "remote", addr_json(&st.remote), "rtcp_mux", e->mux,
                     "ice", e->is_ice, "packets_in", (json_int_t)st.in.packets, "bytes_in",
                     (json_int_t)st.in.bytes, "dropped_in", (json_int_t)st.in.dropped,
                     "packets_out", (json_int_t)st.out.packets, "bytes_out",
                     (json_int_t)st.out.bytes, "foreign", (json_int_t)st.foreign, "malformed",
                     (json_int_t)st.malformed, "not_authentic", (json_int_t)st.not_authentic,
                     "replayed", (json_int_t)st.replayed, "policed", (json_int_t)st.policed,
                     "no_keys", (json_int_t)st.no_keys, "lost", (json_int_t)st.lost, "jitter_us",
                     (int)st.jitter_us, "has_report", st.has_report, "report_fraction_256",
                     (int)st.report_fraction, "report_lost", (int)st.report_lost,
                     "report_jitter_us", (int)st.report_jitter_us, "rtt_us", (int)st.rtt_us);
}

static json_t *keys_json(const struct policy_medium *m)
{
    const struct keying_facts *f = &m->keys;

    return json_pack(
        "{s:s, s:s, s:s, s:s, s:s, s:s, s:b, s:b, s:b, s:b, s:s, s:s, s:i, s:I, s:I}", "method",
        keying_method_text(f->method), "mode", f->mode ? f->mode : "", "suite",
        f->suite ? f->suite->name : "", "known_to", keying_known_to_text(f->known_to), "middle",
        keying_middle_text(f->middle), "proof", keying_proof_text(f->proof), "forward_secret",
        f->forward_secret, "seen_by_branches", f->seen_by_branches, "interim", f->is_interim,
        "srtcp_tag_32", f->rtcp_tag_32, "bound", policy_bound_text(m->bound), "here",
        policy_relay_text(m->relay), "attacks", (int)f->attacks, "auth_failures",
        (json_int_t)f->auth_failures, "handshake_failures", (json_int_t)f->handshake_failures);
}

static json_t *medium_json(const struct anchor_leg *leg, const struct policy_medium *m)
{
    const struct anchor_end *e = &leg->place->v[m->section];

    return json_pack("{s:i, s:s, s:s, s:o, s:o}", "section", (int)m->section, "kind",
                     policy_media_kind_text(m->kind), "direction", sdp_dir_text(e->dir).p, "keys",
                     keys_json(m), "packets", e->end ? quality_json(e) : json_object());
}

static json_t *leg_json(const char *side, const struct anchor_leg *leg,
                        const struct policy_party *p)
{
    json_t *media = json_array();
    int i;

    for (i = 0; i < p->n_media; i++)
        if (json_array_append_new(media, medium_json(leg, &p->media[i])) != 0) {
            json_decref(media);
            return NULL;
        }
    return json_pack("{s:s, s:s, s:s, s:s, s:o, s:b, s:s, s:o}", "side", side, "identity",
                     policy_known_text(p->identity.known), "how", policy_how_text(p->identity.how),
                     "ends_at", policy_ends_at_text(p->ends_at), "address",
                     status_json_text(p->identity.address), "hop_secure", p->hops[0].secure,
                     "hop_tls", p->hops[0].version ? p->hops[0].version : "", "media", media);
}

static json_t *status_json(const struct policy_facts *f, unsigned towards)
{
    json_t *reasons = json_array(), *answers = json_object();
    struct policy_status st;
    unsigned i;

    policy_status(f, towards, &st);
    for (i = 0; i < st.n_reasons; i++) {
        const struct policy_why_info *w = policy_why_info((enum policy_why)st.reasons[i].why);

        json_array_append_new(
            reasons,
            json_pack("{s:s, s:s, s:s, s:s, s:i}", "code", w->code, "clause",
                      w->clause ? w->clause : "", "text", w->text, "party",
                      st.reasons[i].party == POLICY_CALLER ? "caller" : "callee", "medium",
                      st.reasons[i].medium == POLICY_NO_INDEX ? -1 : (int)st.reasons[i].medium));
    }
    for (i = 0; i < POLICY_QUESTIONS; i++)
        json_object_set_new(answers, policy_question_code((enum policy_question)i),
                            json_string(policy_answer_code((enum policy_answer)st.answers[i])));
    return json_pack("{s:s, s:s, s:s, s:b, s:o, s:o}", "towards",
                     towards == POLICY_CALLER ? "caller" : "callee", "level",
                     policy_level_code(st.level), "expected", policy_level_code(st.expected),
                     "proven", st.is_proven, "reasons", reasons, "answers", answers);
}

bool anchor_facts_add(const struct edge_worker *w, uint32_t slot, uint32_t gen, json_t *row)
{
    static const char *const modes[] = {
        [ANCHOR_DIRECT] = "direct", [ANCHOR_RELAY] = "relay", [ANCHOR_PROTECT] = "protect"};
    struct anchor *a = anchor_find(w, slot, gen);
    struct anchor_dialog *d = a ? a->answered : NULL;
    struct policy_party parties[2];
    struct policy_facts f = {.subject = POLICY_CALL,
                             .is_emergency = a && a->emergency,
                             .n_parties = 2,
                             .parties = parties};
    struct policy_medium *media;
    struct arena *arena;
    bool ok;

    if (!a || json_object_set_new(row, "media", json_string(modes[a->mode])) != 0)
        return a == NULL;
    if (!d || !d->near || !d->far)
        return true; /* nothing is agreed yet */
    arena = arena_new(16384, LIMIT_MSG_ARENA_BYTES);
    media = arena ? arena_alloc(arena, 2 * LIMIT_POLICY_MEDIA * sizeof *media) : NULL;
    if (!media) {
        arena_free(arena);
        return false;
    }
    fill_party(&parties[0], &a->party, media, leg_media(d->near, &a->party, arena, media));
    fill_party(&parties[1], &d->b->party, media + LIMIT_POLICY_MEDIA,
               leg_media(d->far, &d->b->party, arena, media + LIMIT_POLICY_MEDIA));
    ok = json_object_set_new(row, "legs",
                             json_pack("[o, o]", leg_json("caller", d->near, &parties[0]),
                                       leg_json("callee", d->far, &parties[1]))) == 0 &&
         json_object_set_new(row, "security",
                             json_pack("[o, o]", status_json(&f, POLICY_CALLER),
                                       status_json(&f, POLICY_CALLEE))) == 0;
    arena_free(arena);
    return ok;
}

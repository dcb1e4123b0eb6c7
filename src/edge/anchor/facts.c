/* The media of anchored calls (TR/100 8, 10): for each medium of each leg its keys and how its
 * packets fare. Gathered when somebody asks; who is there is the call record's to know (facts.h).
 * Worker thread. */
#include "edge/anchor/facts.h"
#include "base/mem.h"
#include "edge/anchor/anchor_priv.h"
#include "edge/status/facts.h"
#include "edge/status/status_priv.h"
#include "policy/status.h"

/* ---- media ---- */

static enum policy_relay relay_of(const struct anchor_leg *leg, const struct keying_facts *f)
{
    if (!leg->keys)
        return POLICY_RELAY_PASSED;
    return f->method == KEYING_CLEAR ? POLICY_RELAY_CLEAR : POLICY_RELAY_REENCRYPTED;
}

/* Where packets only pass, the descriptions are all that there is to be known; `other`: the other side's,
 * NULL while nothing is agreed. */
static struct keying_facts keys_of(const struct anchor_leg *leg, const struct sdp *s,
                                   const struct sdp *other, unsigned i, bool is_agreed)
{
    struct facts_medium shown, too;
    struct keying_facts keys = keying_facts_clear();

    if (leg->keys)
        relay_keys_facts(leg->keys, (int)i, &keys);
    if (leg->keys && (is_agreed || keys.method != KEYING_CLEAR || leg->sec[i].is_settled))
        return keys;
    facts_read(s, (int)i, &shown); /* of what is only offered as well */
    if (other && i < other->n_media) {
        facts_read(other, (int)i, &too);
        facts_both(&shown, &too);
    }
    shown.is_agreed = is_agreed;
    return facts_keys(&shown);
}

/* `text`: the description that the leg's media are in; `other`: the other leg's, once they are agreed.
 * Returns how many there are. */
static uint8_t leg_media(const struct anchor_leg *leg, struct str text, struct str other_text,
                         bool is_agreed, struct arena *a, struct policy_medium *ret)
{
    struct reason why = {0};
    struct sdp *s = NULL, *other = NULL;
    uint8_t n = 0;

    if (!leg || !text.n || sdp_parse(a, text, &s, &why) != 0)
        return 0;
    if (!leg->keys && other_text.n && sdp_parse(a, other_text, &other, &why) != 0)
        other = NULL;
    for (unsigned i = 0; i < s->n_media && n < LIMIT_POLICY_MEDIA; i++) {
        struct policy_medium *m = &ret[n];
        struct facts_medium shown;

        if (is_agreed ? i >= leg->n || !leg->sec[i].is_taken : sdp_media_is_rejected(s, (int)i))
            continue;
        facts_read(s, (int)i, &shown);
        *m = (struct policy_medium){.kind = (enum policy_media_kind)shown.kind,
                                    .section = (uint8_t)i};
        m->keys = keys_of(leg, s, other, i, is_agreed);
        m->relay = relay_of(leg, &m->keys);
        n++;
    }
    return n;
}

static const struct anchor_branch *only_branch(const struct anchor *a)
{
    const struct anchor_branch *only = NULL;

    LIST_EACH(b, &a->branches, struct anchor_branch, node)
    {
        if (only)
            return NULL;
        only = b;
    }
    return only;
}

uint8_t anchor_facts_media(const struct edge_worker *w, uint32_t slot, uint32_t gen,
                           const struct anchor_branch *b, unsigned side, struct arena *arena,
                           struct policy_medium *ret)
{
    const struct anchor *a = anchor_find(w, slot, gen);
    const struct anchor_dialog *d = a ? a->answered : NULL;
    const struct anchor_leg *leg, *other;

    if (!a)
        return 0;
    if (!b && d) {
        leg = side == POLICY_CALLER ? d->near : d->far;
        other = side == POLICY_CALLER ? d->far : d->near;
        return leg ? leg_media(leg, anchor_text_get(&leg->in),
                               other ? anchor_text_get(&other->in) : STR_NULL, true, arena, ret)
                   : 0;
    }
    if (!b && (b = only_branch(a)) == NULL)
        return 0;
    if (side == POLICY_CALLER)
        return leg_media(b->near, anchor_text_get(&a->offer), STR_NULL, false, arena, ret);
    return leg_media(b->far, anchor_text_get(&b->offer_out), STR_NULL, false, arena, ret);
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
    return json_pack("{s:o, s:o, s:o, s:o, s:o, s:b, s:b, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, "
                     "s:I, s:I, s:I, s:I, s:i, s:b, s:i, s:i, s:i, s:i, s:b, s:i, s:I}",
                     "local", addr_json(&rtp), "described", addr_json(&st.described), "remote",
                     addr_json(&st.remote), "source", addr_json(&st.source), "astray", addr_json(&st.astray), "rtcp_mux", e->mux,
                     "ice", e->is_ice, "packets_in", (json_int_t)st.in.packets, "bytes_in",
                     (json_int_t)st.in.bytes, "dropped_in", (json_int_t)st.in.dropped,
                     "packets_out", (json_int_t)st.out.packets, "bytes_out",
                     (json_int_t)st.out.bytes, "foreign", (json_int_t)st.foreign, "malformed",
                     (json_int_t)st.malformed, "not_authentic", (json_int_t)st.not_authentic,
                     "replayed", (json_int_t)st.replayed, "policed", (json_int_t)st.policed,
                     "no_keys", (json_int_t)st.no_keys, "too_many_ssrcs",
                     (json_int_t)st.too_many_ssrcs, "ice_checks", (json_int_t)st.ice_checks,
                     "ice_refused", (json_int_t)st.ice_refused, "lost", (json_int_t)st.lost, "jitter_us",
                     (int)st.jitter_us, "has_report", st.has_report, "report_fraction_256",
                     (int)st.report_fraction, "report_lost", (int)st.report_lost,
                     "report_jitter_us", (int)st.report_jitter_us, "rtt_us", (int)st.rtt_us,
                     "withheld", st.is_withheld, "max_packets_s", (int)st.max_packets_s,
                     "max_kbit_s", (json_int_t)st.max_bytes_s / 125);
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

bool anchor_facts_add(const struct edge_worker *w, uint32_t slot, uint32_t gen,
                      const struct policy_facts *f, json_t *row)
{
    static const char *const modes[] = {
        [ANCHOR_DIRECT] = "direct", [ANCHOR_RELAY] = "relay", [ANCHOR_PROTECT] = "protect"};
    struct anchor *a = anchor_find(w, slot, gen);
    struct anchor_dialog *d = a ? a->answered : NULL;

    if (!a || json_object_set_new(row, "media", json_string(modes[a->mode])) != 0)
        return a == NULL;
    if (!d || !d->near || !d->far || f->n_parties < 2)
        return true; /* nothing is agreed yet */
    return json_object_set_new(row, "legs",
                               json_pack("[o, o]", leg_json("caller", d->near, &f->parties[0]),
                                         leg_json("callee", d->far, &f->parties[1]))) == 0;
}

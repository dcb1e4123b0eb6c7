/* Offers and answers of anchored calls: from the one who offers (x) to the other side (y), and the
 * answer back. Each section is taken by itself; what neither we nor y can take is refused there.
 * RFC 3264 5 to 8, RFC 4568 5 to 7, RFC 5763 5, RFC 7879 6, RFC 8842 5. Worker thread. */
#include "base/log.h"
#include "base/mem.h"
#include "edge/anchor/anchor_priv.h"
#include "edge/status/facts.h"
#include "sdp/answer.h"

#define SAID_BYTES 6144u /* key management's attributes of one section */

static int no_memory(struct reason *why)
{
    reason_set(why, "no-memory", NULL, 500, NULL);
    return ERR_NOMEM;
}

/* Is there a port of its own for RTCP? Not where rtcp-mux was agreed from the start, should the peer say
 * nothing of it any more. */
static bool has_rtcp_port(const struct anchor_end *e)
{
    struct addr rtp, rtcp;

    relay_end_local(e->end, &rtp, &rtcp);
    return addr_port(&rtp) != addr_port(&rtcp);
}

static struct keying_wish wish_of(const struct anchor_leg *leg, bool has_rtcp)
{
    struct keying_wish w = {.is_hop_private = leg->side.is_private,
                            .without = (uint8_t)(leg->side.without | leg->without),
                            .paths = 1u << KEYING_RTP};

    if (has_rtcp)
        w.paths |= 1u << KEYING_RTCP;
    return w;
}

static struct keying_heard heard_of(const struct anchor_leg *leg, unsigned i, const struct sdp *s)
{
    return (struct keying_heard){.sdp = s,
                                 .section = (int)i,
                                 .is_hop_private = leg->side.is_private,
                                 .is_moved = anchor_leg_is_moved(leg, i, s)};
}

/* ---- saying ---- */

/* Our description for a leg; its version grows with what it says (RFC 3264 8). */
static int leg_say(struct anchor_leg *leg, const struct sdp *src,
                   const struct anchor_sdp_section *sections, struct arena *a, struct str *ret,
                   struct reason *why)
{
    struct anchor_sdp_new n = {.sess_id = leg->sess_id,
                               .version = leg->version ? leg->version : 1,
                               .is_opaque = !leg->keys,
                               .sections = sections,
                               .host = leg->a->w->edge->relay_at[0].local};
    int err = anchor_sdp_build(a, src, &n, ret);

    if (err == 0 && leg->version && !str_eq(*ret, anchor_text_get(&leg->out))) {
        n.version++;
        err = anchor_sdp_build(a, src, &n, ret);
    }
    if (err == 0)
        err = anchor_text_set(&leg->out, *ret);
    if (err == 0) {
        leg->version = n.version;
        anchor_leg_police(leg, src, *ret, a);
    } else
        reason_set(why, "sdp-build", "RFC 3264 5", 500, "%s", err_text(err));
    return err;
}

static void section_ends(const struct anchor_leg *leg, unsigned i, struct anchor_sdp_section *ret)
{
    const struct anchor_end *e = &leg->place->v[i];

    relay_end_local(e->end, &ret->rtp, &ret->rtcp);
    if (e->is_ice) {
        ret->ice_ufrag = str_z(e->ufrag);
        ret->ice_pwd = str_z(e->pwd);
    }
}

static int said_keep(struct anchor_section *s, const struct keying_said *said)
{
    struct anchor_said *kept = mem_zalloc(sizeof *kept + said->n * sizeof kept->attr[0]);
    size_t i;

    if (!kept || anchor_text_set(&kept->text, sbuf_get(&said->text)) != 0) {
        mem_free(kept);
        return ERR_NOMEM;
    }
    for (i = 0; i < said->n; i++) {
        kept->attr[i] = said->attr[i];
        if (said->attr[i].value.p && said->attr[i].value.n)
            kept->attr[i].value.p = kept->text.p + (said->attr[i].value.p - said->text.p);
    }
    kept->n = said->n;
    anchor_said_free(s->said);
    s->said = kept;
    return 0;
}

/* ---- an offer comes in ---- */

static int take_keys(struct anchor_leg *x, unsigned i, const struct sdp *offer, struct reason *why)
{
    struct keying_wish wish = wish_of(x, !x->place->v[i].mux && has_rtcp_port(&x->place->v[i]));
    struct keying_heard heard = heard_of(x, i, offer);
    struct keying_said said;
    char text[SAID_BYTES];
    int err;

    keying_said_init(&said, text, sizeof text);
    x->sec[i].is_settled = false;
    anchor_leg_set(x, i, offer); /* a first flight must know where to go */
    err = relay_keys_answer(x->keys, (int)i, &wish, &heard, &said, why);
    if (err == 0 && said.overflow)
        err = ERR_LIMIT;
    if (err == 0)
        err = said_keep(&x->sec[i], &said);
    keying_said_done(&said);
    if (err != 0)
        return err;
    x->sec[i].is_settled = true;
    anchor_leg_set(x, i, offer);
    return 0;
}

/* One section: 0, or why it cannot be taken. */
static int take_section(struct anchor_leg *x, unsigned i, const struct sdp *offer,
                        struct reason *why)
{
    struct anchor_section *s = &x->sec[i];
    const struct sdp_line *mid = sdp_attr(offer, (int)i, SDP_A_MID, 0);
    bool mux = sdp_has(offer, (int)i, SDP_A_RTCP_MUX);
    int err;

    s->is_taken = false;
    s->offers_mux = mux;
    s->may = SDP_SENDRECV;
    s->proto = offer->media[i].proto;
    if (anchor_text_set(&s->mid, mid ? str_trim(mid->arg) : STR_NULL) != 0)
        return no_memory(why);
    switch (anchor_sdp_kind(offer, (int)i, !x->keys, why)) {
    case ANCHOR_SDP_OFF:
        return ERR_NOTFOUND;
    case ANCHOR_SDP_REFUSE:
        return ERR_REFUSED;
    case ANCHOR_SDP_TAKE:
        break;
    }
    if ((err = anchor_leg_end(x, i, offer, !mux || !x->keys, why)) != 0)
        return err;
    x->place->v[i].mux = mux && x->keys;
    if ((err = anchor_leg_hear_restart(x, i, offer)) != 0)
        return err;
    if (!x->keys)
        anchor_leg_set(x, i, offer);
    else if ((err = take_keys(x, i, offer, why)) != 0)
        return err;
    s->is_taken = true;
    return 0;
}

int anchor_offer_take(struct anchor_leg *x, const struct sdp *offer, struct reason *why)
{
    struct reason first = {0}, one;
    bool any = false, any_off = false;
    unsigned i;

    if (x->in.p && offer->n_media < x->n) {
        reason_set(why, "sdp-offer", "RFC 3264 8", 488, "fewer m= lines than before");
        return ERR_REFUSED;
    }
    if (anchor_leg_room(x, offer->n_media) != 0)
        return no_memory(why);
    x->n = offer->n_media;
    for (i = 0; i < x->n; i++) {
        int err;

        one = (struct reason){0};
        err = take_section(x, i, offer, &one);
        if (err == ERR_NOMEM || err == ERR_LIMIT) {
            if (!one.code)
                reason_set(&one, "no-memory", NULL, 500, "%s", err_text(err));
            *why = one;
            return err;
        }
        any |= err == 0;
        any_off |= err == ERR_NOTFOUND;
        if (err != 0 && one.code && !first.code)
            first = one;
    }
    if (any || (any_off && x->in.p && !first.code))
        return 0; /* all sections ended in the middle of a call: that may be (RFC 3264 8.2) */
    *why = first;
    if (!why->code)
        reason_set(why, "no-media", "RFC 3264 5", 488, "no media that we could pass");
    return ERR_REFUSED;
}

/* ---- ... and goes out ---- */

static bool wants_feedback(const struct anchor_leg *y, const struct anchor_leg *x, unsigned i)
{
    return y->side.is_web || (!x->side.is_web && sdp_proto_has_feedback(x->sec[i].proto));
}

/* Bits of the methods that attributes speak of. */
static unsigned methods_said(const struct keying_said *said)
{
    unsigned bits = 0;
    size_t i;

    for (i = 0; i < said->n; i++) {
        if (str_eq(said->attr[i].name, STR("crypto")))
            bits |= 1u << KEYING_SDES;
        if (str_eq(said->attr[i].name, STR("fingerprint")))
            bits |= 1u << KEYING_DTLS;
    }
    return bits ? bits : 1u << KEYING_CLEAR;
}

static int make_keys(struct anchor_leg *y, struct anchor_leg *x, unsigned i, bool rekey,
                     struct arena *a, struct anchor_sdp_section *ret, struct reason *why)
{
    struct keying_wish wish = wish_of(y, !ret->mux || !y->side.is_web);
    char *text = arena_alloc(a, SAID_BYTES);
    struct keying_said *said = arena_alloc(a, sizeof *said);
    int err;

    if (!text || !said)
        return no_memory(why);
    wish.rekey = rekey;
    if (y->side.kind == ANCHOR_POLICY_INSIDE) /* offered in clear; what it offers itself is its choice */
        wish.without = (uint8_t)~(1u << KEYING_CLEAR);
    keying_said_init(said, text, SAID_BYTES);
    err = relay_keys_offer(y->keys, (int)i, &wish, wants_feedback(y, x, i), said, &ret->proto, why);
    if (err != 0)
        return err;
    if (said->overflow)
        return ERR_LIMIT;
    y->sec[i].proto = ret->proto;
    y->offered |= methods_said(said);
    ret->attrs = said->attr;
    ret->n_attrs = said->n;
    return 0;
}

static int make_section(struct anchor_leg *y, struct anchor_leg *x, unsigned i, bool rekey,
                        struct arena *a, struct anchor_sdp_section *ret, struct reason *why)
{
    int err;

    y->sec[i].is_taken = false;
    ret->is_refused = true;
    if (!x->sec[i].is_taken)
        return ERR_NOTFOUND;
    if ((err = anchor_leg_end(y, i, NULL, !y->side.is_web || !y->keys, why)) != 0)
        return err;
    /* What the other side does with its RTCP is its own affair once this one has agreed on it. */
    ret->mux = y->keys && (y->side.is_web || x->sec[i].offers_mux || (y->in.p && y->place->v[i].mux));
    if (y->keys && (err = make_keys(y, x, i, rekey, a, ret, why)) != 0)
        return err;
    ret->is_refused = false;
    section_ends(y, i, ret);
    y->sec[i].is_taken = true;
    return 0;
}

/* Keys that are the phones' own pass no hop where others read them (RFC 4568 8). `must`: nobody could
 * be told that it is refused. */
static int for_hops(const struct anchor_leg *x, const struct anchor_leg *y, bool must,
                    const struct sdp **s, struct reason *why)
{
    struct str text;
    struct sdp *is;
    int err;

    if (x->keys || y->keys || (x->side.is_private && y->side.is_private))
        return 0;
    err = anchor_sdp_strip((*s)->arena, *s, must, &text, why);
    if (err == 0 && text.n) {
        LOG(LOG_INFO, "keys-stripped", LS("call", anchor_text_get(&x->a->call_id)),
            LZ("clause", "RFC 4568 8"));
        err = sdp_parse((*s)->arena, text, &is, why);
        if (err == 0)
            *s = is;
    }
    return err;
}

int anchor_offer_make(struct anchor_leg *y, struct anchor_leg *x, const struct sdp *offer,
                      bool rekey, struct arena *a, struct str *ret, struct reason *why)
{
    struct anchor_sdp_section *sections = arena_zalloc(a, (offer->n_media + 1u) * sizeof *sections);
    struct reason one;
    bool any = false, any_wanted = false;
    unsigned i;
    int err;

    if (!sections || anchor_leg_room(y, offer->n_media) != 0)
        return no_memory(why);
    if ((err = for_hops(x, y, false, &offer, why)) != 0) {
        if (!why->code)
            (void)no_memory(why);
        return err;
    }
    y->n = offer->n_media;
    y->offered = 0;
    for (i = 0; i < y->n; i++) {
        one = (struct reason){0};
        err = make_section(y, x, i, rekey, a, &sections[i], &one);
        if (err == ERR_NOMEM || err == ERR_LIMIT) {
            *why = one;
            if (!why->code)
                reason_set(why, "no-memory", NULL, 500, "%s", err_text(err));
            return err;
        }
        any |= err == 0;
        any_wanted |= err != ERR_NOTFOUND;
        if (err != 0 && one.code && !why->code)
            *why = one;
    }
    if (!any && (any_wanted || !y->out.p)) {
        if (!why->code)
            reason_set(why, "no-media", "RFC 3264 5", 488, "no media that we could pass");
        if (!why->sip_status)
            why->sip_status = 488;
        return ERR_REFUSED;
    }
    return leg_say(y, offer, sections, a, ret, why);
}

/* ---- an answer comes in ---- */

static int take_answer_section(struct anchor_leg *y, unsigned i, const struct sdp *offer,
                               const struct sdp *answer, struct reason *why)
{
    struct keying_wish wish;
    struct keying_heard heard;
    int err;

    y->place->v[i].mux =
        sdp_has(answer, (int)i, SDP_A_RTCP_MUX) && sdp_has(offer, (int)i, SDP_A_RTCP_MUX);
    y->sec[i].is_settled = false;
    y->sec[i].may = sdp_answer_direction(sdp_direction(offer, (int)i), SDP_SENDRECV);
    if (y->keys) {
        wish = wish_of(y, !y->place->v[i].mux && has_rtcp_port(&y->place->v[i]));
        heard = heard_of(y, i, answer);
        anchor_leg_set(y, i, answer);
        err = relay_keys_accept(y->keys, (int)i, &wish, &heard, why);
        if (err != 0)
            return err;
        y->sec[i].is_settled = true;
    }
    anchor_leg_set(y, i, answer);
    return 0;
}

int anchor_answer_take(struct anchor_leg *y, struct anchor_leg *x, const struct sdp *answer,
                       struct reason *why)
{
    struct sdp *offer;
    unsigned i;
    int err = sdp_parse(answer->arena, anchor_text_get(&y->out), &offer, why);

    if (err != 0 || (err = sdp_answer_check(offer, answer, why)) != 0)
        return err;
    anchor_leg_bind(y);
    for (i = 0; i < y->n; i++) {
        if (sdp_media_is_rejected(answer, (int)i) || !y->sec[i].is_taken) {
            y->sec[i].is_taken = false;
            continue;
        }
        err = take_answer_section(y, i, offer, answer, why);
        if (err != 0) {
            if (!why->code)
                reason_set(why, "sdp-answer", "RFC 3264 6", 488, "%s", err_text(err));
            return err;
        }
        if (x && !x->keys)
            x->place->v[i].mux = y->place->v[i].mux;
    }
    return anchor_text_set(&y->in, answer->text);
}

int anchor_answer_make(struct anchor_leg *x, struct anchor_leg *y, const struct sdp *answer,
                       struct arena *a, struct str *ret, struct reason *why)
{
    struct anchor_sdp_section *sections =
        arena_zalloc(a, (answer->n_media + 1u) * sizeof *sections);
    unsigned i;

    if (!sections || for_hops(x, y, true, &answer, why) != 0)
        return no_memory(why);
    for (i = 0; i < x->n && i < answer->n_media; i++) {
        const struct anchor_section *s = &x->sec[i];
        struct anchor_sdp_section *n = &sections[i];

        n->is_answer = true;
        n->mid = anchor_text_get(&s->mid);
        n->is_refused = !s->is_taken || !y->sec[i].is_taken;
        n->proto = x->keys ? s->proto : SDP_PROTO_OTHER;
        if (n->is_refused)
            continue;
        n->mux = x->place->v[i].mux;
        if (anchor_leg_restart(x, i) != 0)
            return no_memory(why);
        if (x->keys && s->said) {
            n->attrs = s->said->attr;
            n->n_attrs = s->said->n;
        }
        section_ends(x, i, n);
    }
    return leg_say(x, answer, sections, a, ret, why);
}

/* ---- it comes to nothing ---- */

/* Ends of sections that the last agreed descriptions do not have go; the others are as these say.
 */
static void leg_restore(struct anchor_leg *leg)
{
    struct arena *a = leg->in.p ? arena_new(8192, LIMIT_MSG_ARENA_BYTES) : NULL;
    struct sdp *s;
    struct reason why = {0};
    unsigned i;

    if (leg->keys)
        relay_keys_rollback(leg->keys);
    if (a && sdp_parse(a, anchor_text_get(&leg->in), &s, &why) == 0) {
        for (i = 0; i < leg->n; i++) {
            bool is_there = i < s->n_media && !sdp_media_is_rejected(s, (int)i) &&
                            i < leg->place->n && leg->place->v[i].end;

            leg->sec[i].is_taken = leg->sec[i].is_settled = is_there;
            if (i < leg->place->n)
                leg->place->v[i].is_restarting = false;
            if (is_there)
                anchor_leg_set(leg, i, s);
        }
        leg->n = s->n_media;
        anchor_leg_police(leg, s, STR_NULL, a); /* what was said before is not kept */
    }
    arena_free(a);
}

void anchor_rollback(struct anchor_leg *x, struct anchor_leg *y)
{
    if (x)
        leg_restore(x);
    leg_restore(y);
}

/* Legs of anchored calls: their ends in the media plane and the keys of these. RFC 3264 5 to 8, RFC
 * 4961, RFC 5761, RFC 8445 2.5, TR/100 8.2. Owner: the anchor; worker thread. */
#include "base/mem.h"
#include "base/secret.h"
#include "edge/anchor/anchor_priv.h"
#include "relay/ice.h"

_Static_assert(LIMIT_CALL_LEGS < 1u << ANCHOR_COOKIE_LEG, "a cookie names any of them");

/* ---- text ---- */

int anchor_text_set(struct anchor_text *t, struct str s)
{
    char *p = mem_alloc(s.n + 1);

    if (!p)
        return ERR_NOMEM;
    if (s.n)
        memcpy(p, s.p, s.n);
    p[s.n] = 0;
    anchor_text_done(t);
    *t = (struct anchor_text){p, s.n};
    return 0;
}

void anchor_text_done(struct anchor_text *t)
{
    if (t->p)
        secret_wipe(t->p, t->n);
    mem_free(t->p);
    *t = (struct anchor_text){0};
}

/* ---- places ---- */

static void end_done(struct anchor_end *e)
{
    relay_end_free(e->end);
    anchor_text_done(&e->peer_ufrag);
    anchor_text_done(&e->peer_pwd);
    anchor_text_done(&e->next_ufrag);
    anchor_text_done(&e->next_pwd);
    *e = (struct anchor_end){0};
}

static void end_free(struct anchor_leg *leg, unsigned i)
{
    struct anchor_end *e = &leg->place->v[i];

    if (!e->end)
        return;
    if (e->bound)
        relay_keys_bind(e->bound->keys, (int)i, NULL);
    end_done(e);
}

static void place_unref(struct anchor_place *p)
{
    unsigned i;

    if (!p || --p->refs)
        return;
    for (i = 0; i < p->n; i++)
        end_done(&p->v[i]);
    if (p->v)
        secret_wipe(p->v, p->n * sizeof *p->v); /* passwords of ICE */
    mem_free(p->v);
    mem_free(p);
}

/* ---- legs ---- */

static struct anchor_leg *leg_alloc(struct anchor *a, const struct anchor_side *side)
{
    struct anchor_leg *leg = a->next_leg < LIMIT_CALL_LEGS ? mem_zalloc(sizeof *leg) : NULL;

    if (!leg)
        return NULL;
    leg->a = a;
    leg->id = a->next_leg++;
    leg->side = *side;
    list_append(&a->legs, &leg->node);
    return leg;
}

struct anchor_leg *anchor_leg_new(struct anchor *a, const struct anchor_side *side)
{
    struct anchor_leg *leg = leg_alloc(a, side);

    if (!leg)
        return NULL;
    leg->sess_id = rand_u64(&a->w->net->rand) >> 1; /* many read it as a signed number */
    leg->place = mem_zalloc(sizeof *leg->place);
    if (leg->place) {
        leg->place->refs = 1;
        leg->place->policy = *side->policy;
        leg->place->policy.identity = a->identity;
    }
    if (!leg->place ||
        (a->mode == ANCHOR_PROTECT && relay_keys_new(a->w->edge->keyring, &leg->place->policy,
                                                     anchor_cookie(a, leg->id), &leg->keys) != 0)) {
        anchor_leg_free(leg);
        return NULL;
    }
    return leg;
}

static void unbind_all(struct anchor_leg *leg)
{
    unsigned i;

    for (i = 0; leg->keys && leg->place && i < leg->place->n; i++)
        if (leg->place->v[i].bound == leg) {
            relay_keys_bind(leg->keys, (int)i, NULL);
            leg->place->v[i].bound = NULL;
        }
}

int anchor_leg_room(struct anchor_leg *leg, unsigned n)
{
    struct anchor_place *p = leg->place;
    struct anchor_section *sec;
    struct anchor_end *v;

    if (n > leg->n_sec) {
        if ((sec = mem_realloc(leg->sec, n * sizeof *sec)) == NULL)
            return ERR_NOMEM;
        memset(sec + leg->n_sec, 0, (n - leg->n_sec) * sizeof *sec);
        leg->sec = sec;
        leg->n_sec = n;
    }
    if (n > p->n) {
        if ((v = mem_realloc(p->v, n * sizeof *v)) == NULL)
            return ERR_NOMEM;
        memset(v + p->n, 0, (n - p->n) * sizeof *v);
        p->v = v;
        p->n = n;
    }
    return 0;
}

struct anchor_leg *anchor_leg_fork(struct anchor_leg *leg)
{
    struct anchor_leg *twin = leg_alloc(leg->a, &leg->side);
    unsigned i;

    if (!twin)
        return NULL;
    twin->sess_id = leg->sess_id;
    twin->version = leg->version;
    twin->offered = leg->offered;
    twin->place = leg->place;
    twin->place->refs++;
    if (anchor_leg_room(twin, leg->n) != 0) {
        anchor_leg_free(twin);
        return NULL;
    }
    twin->n = leg->n;
    for (i = 0; i < leg->n; i++)
        twin->sec[i] =
            (struct anchor_section){.is_taken = leg->sec[i].is_taken, .proto = leg->sec[i].proto};
    if ((leg->keys &&
         relay_keys_fork(leg->keys, anchor_cookie(leg->a, twin->id), &twin->keys) != 0) ||
        anchor_text_set(&twin->out, anchor_text_get(&leg->out)) != 0) {
        anchor_leg_free(twin);
        return NULL;
    }
    return twin;
}

void anchor_said_free(struct anchor_said *s)
{
    if (s)
        anchor_text_done(&s->text);
    mem_free(s);
}

void anchor_leg_free(struct anchor_leg *leg)
{
    unsigned i;

    if (!leg)
        return;
    unbind_all(leg);
    relay_keys_free(leg->keys);
    place_unref(leg->place);
    for (i = 0; i < leg->n_sec; i++) {
        anchor_said_free(leg->sec[i].said);
        anchor_text_done(&leg->sec[i].mid);
    }
    mem_free(leg->sec);
    anchor_text_done(&leg->in);
    anchor_text_done(&leg->out);
    list_remove(&leg->node);
    mem_free(leg);
}

/* Whose keys an end has: the leg that was bound last. */
static void end_bind(struct anchor_leg *leg, unsigned i)
{
    struct anchor_end *e = &leg->place->v[i];

    if (!e->end || !leg->keys || e->bound == leg)
        return;
    if (e->bound)
        relay_keys_bind(e->bound->keys, (int)i, NULL);
    relay_keys_bind(leg->keys, (int)i, e->end);
    e->bound = leg;
}

void anchor_leg_bind(struct anchor_leg *leg)
{
    unsigned i;

    for (i = 0; i < leg->place->n; i++)
        end_bind(leg, i);
}

/* ---- ends ---- */

/* An address of the family that the side is reached by; any if there is none. */
static size_t address_for(const struct anchor_leg *leg, bool is_v6)
{
    const struct edge *e = leg->a->w->edge;
    size_t i;

    for (i = 0; i < e->n_relay_at; i++)
        if (addr_is_v6(&e->relay_at[i].local) == is_v6)
            return i;
    return 0;
}

static void draw_names(const struct anchor_leg *leg, struct anchor_end *e)
{
    rand_token(&leg->a->w->net->rand, e->ufrag, sizeof e->ufrag - 1);
    rand_token(&leg->a->w->net->rand, e->pwd, sizeof e->pwd - 1);
}

int anchor_leg_end(struct anchor_leg *leg, unsigned i, const struct sdp *hint, bool needs_rtcp,
                   struct reason *why)
{
    struct anchor_end *e = &leg->place->v[i];
    struct relay_end_args args = {.cookie = anchor_cookie(leg->a, leg->id),
                                  .needs_rtcp = needs_rtcp};
    struct sdp_target target;
    struct str ufrag, pwd;
    int err;

    if (e->end) {
        end_bind(leg, i);
        return 0;
    }
    *e = (struct anchor_end){0};
    args.at = address_for(leg, leg->side.is_v6);
    /* ICE as its lite half: where a browser needs it, and where the peer has offered it. */
    e->is_ice =
        leg->keys && (leg->side.is_web || (hint && anchor_sdp_ice(hint, (int)i, &ufrag, &pwd)));
    if (e->is_ice) {
        draw_names(leg, e);
        args.ice_ufrag = str_z(e->ufrag);
        args.ice_pwd = str_z(e->pwd);
    } else if (hint && sdp_media_target(hint, (int)i, false, &target) == 0 && !target.is_null) {
        args.at = address_for(leg, addr_is_v6(&target.rtp));
    }
    if ((err = relay_end_new(leg->a->media, &args, &e->end, why)) != 0) {
        e->end = NULL;
        if (!why->code)
            reason_set(why, "no-media-port", "RFC 3261 21.5.4", 503, "%s", err_text(err));
        return err;
    }
    end_bind(leg, i);
    return 0;
}

void anchor_leg_close(struct anchor_leg *leg, unsigned i)
{
    if (leg->keys)
        relay_keys_close(leg->keys, (int)i);
    if (i < leg->place->n)
        end_free(leg, i);
    if (i < leg->n_sec)
        leg->sec[i].is_taken = false;
}

/* The clock of the first format, for jitter in time. */
static void set_clock(struct relay_end *end, const struct sdp *s, unsigned i)
{
    const struct sdp_media *m = &s->media[i];
    struct sdp_rtpmap map;
    uint32_t pt;

    if (m->n_fmts && str_to_u32(m->fmt[0], 127, &pt) == 0 && sdp_rtpmap(s, (int)i, pt, &map) == 0)
        relay_end_set_clock(end, map.rate);
}

static enum relay_latch latch_of(const struct anchor_leg *leg, enum relay_protection p)
{
    if (leg->side.cfg && leg->side.cfg->nat)
        return RELAY_LATCH_NAT;
    return p == RELAY_PROTECT ? RELAY_LATCH_AUTHENTIC : RELAY_LATCH_HOST;
}

static enum relay_protection protection_of(struct anchor_leg *leg, unsigned i)
{
    struct keying_facts f;

    if (!leg->keys)
        return RELAY_OPAQUE;
    if (!leg->sec[i].is_settled)
        return RELAY_PROTECT; /* nothing passes until it is clear that it may be clear */
    relay_keys_facts(leg->keys, (int)i, &f);
    return f.method == KEYING_CLEAR ? RELAY_CLEAR : RELAY_PROTECT;
}

int anchor_leg_hear_restart(struct anchor_leg *leg, unsigned i, const struct sdp *offer)
{
    struct anchor_end *e = &leg->place->v[i];
    struct relay_ice_peer peer;

    e->is_restarting = false;
    if (!e->is_ice || !e->peer_ufrag.p || relay_ice_read(offer, (int)i, e->mux, &peer, NULL) != 0 ||
        !peer.ufrag.p ||
        !relay_ice_is_restart(&peer, anchor_text_get(&e->peer_ufrag),
                              anchor_text_get(&e->peer_pwd)))
        return 0;
    if (anchor_text_set(&e->next_ufrag, peer.ufrag) != 0 ||
        anchor_text_set(&e->next_pwd, peer.pwd) != 0)
        return ERR_NOMEM;
    e->is_restarting = true;
    return 0;
}

int anchor_leg_restart(struct anchor_leg *leg, unsigned i)
{
    struct anchor_end *e = &leg->place->v[i];
    int err;

    if (!e->end || !e->is_restarting)
        return 0;
    draw_names(leg, e);
    err = relay_end_restart(e->end, str_z(e->ufrag), str_z(e->pwd),
                            anchor_text_get(&e->next_ufrag));
    if (err == 0)
        err = anchor_text_set(&e->peer_ufrag, anchor_text_get(&e->next_ufrag));
    if (err == 0)
        err = anchor_text_set(&e->peer_pwd, anchor_text_get(&e->next_pwd));
    e->is_restarting = false;
    return err;
}

/* What a description says of ICE; false: it is not in use with this peer. While the peer's restart
 * has not been answered, what it was before counts. Where both are lite nobody checks, and the
 * candidates say where packets go (RFC 8445 8.2). */
static bool ice_set(struct anchor_leg *leg, unsigned i, const struct sdp *heard,
                    struct relay_end_setting *s)
{
    struct anchor_end *e = &leg->place->v[i];
    struct relay_ice_peer peer;
    struct addr rtp, rtcp;

    if (!e->is_ice)
        return false;
    if (e->is_restarting) {
        s->ice_ufrag = anchor_text_get(&e->peer_ufrag);
        return true;
    }
    if (relay_ice_read(heard, (int)i, e->mux, &peer, NULL) != 0 || !peer.ufrag.p ||
        peer.support == RELAY_ICE_REJECTS)
        return false;
    s->ice_ufrag = peer.ufrag;
    if (anchor_text_set(&e->peer_ufrag, peer.ufrag) != 0 ||
        anchor_text_set(&e->peer_pwd, peer.pwd) != 0)
        anchor_text_done(&e->peer_ufrag); /* a restart will not be seen as one */
    relay_end_local(e->end, &rtp, &rtcp);
    s->ice_is_lite = peer.is_lite && relay_ice_pick(&peer, 1, &rtp, &s->rtp);
    if (s->ice_is_lite && !e->mux)
        (void)relay_ice_pick(&peer, 2, &rtcp, &s->rtcp);
    return true;
}

void anchor_leg_set(struct anchor_leg *leg, unsigned i, const struct sdp *heard)
{
    struct anchor_end *e = &leg->place->v[i];
    struct relay_end_setting s = {.protection = protection_of(leg, i), .mux = e->mux};
    struct sdp_target t = {0};
    enum sdp_dir dir = sdp_direction(heard, (int)i) & leg->sec[i].may;

    if (!e->end)
        return;
    s.is_foreign = !sdp_proto_is_rtp(heard->media[i].proto);
    s.latch = latch_of(leg, s.protection);
    s.sends = dir & SDP_SENDONLY;
    s.receives = dir & SDP_RECVONLY;
    s.is_asymmetric = leg->side.cfg && leg->side.cfg->asymmetric;
    if (ice_set(leg, i, heard, &s)) {
        /* Checks say where it is (RFC 8445 7.3); what c= says may be a mere placeholder. */
    } else if (sdp_media_target(heard, (int)i, e->mux, &t) == 0) {
        if (t.is_null) /* RFC 3264 8.4: the old form of hold */
            s.receives = false;
        else {
            s.rtp = e->remote = t.rtp;
            s.rtcp = t.rtcp;
        }
    }
    e->is_clear = s.protection == RELAY_CLEAR;
    e->dir = dir;
    relay_end_set(e->end, &s);
    set_clock(e->end, heard, i);
}

/* A bandwidth in a description is what who describes would like to get (RFC 3264 5.1), so the one that
 * the peer has been told counts. Twice that, and something for headers: TIAS has none (RFC 3890 6.2),
 * and encoders go over it for a while. */
static uint32_t rate_limit(unsigned kbit, const struct sdp *told, unsigned i)
{
    uint64_t limit = (uint64_t)kbit * 125, bits, by_told;

    if (told && i < told->n_media && sdp_bandwidth(told, (int)i, &bits)) {
        by_told = bits / 4 + 16000;
        if (!kbit || by_told < limit)
            limit = by_told;
    }
    return limit < UINT32_MAX ? (uint32_t)limit : UINT32_MAX;
}

void anchor_leg_police(struct anchor_leg *leg, const struct sdp *like, struct str said,
                       struct arena *a)
{
    const struct config_media *m = &leg->a->snap->cfg->media;
    struct reason why = {0};
    struct sdp *told = NULL;
    unsigned i;

    if (said.n && memmem(said.p, said.n, "\nb=", 3) && sdp_parse(a, said, &told, &why) != 0)
        told = NULL;
    for (i = 0; i < leg->place->n && i < like->n_media; i++) {
        enum sdp_kind kind = like->media[i].kind;
        bool is_small = kind == SDP_AUDIO || kind == SDP_TEXT || kind == SDP_IMAGE;

        if (leg->place->v[i].end)
            relay_end_police(leg->place->v[i].end,
                             rate_limit(is_small ? m->audio_kbit : m->video_kbit, told, i),
                             (uint16_t)(is_small ? m->audio_packets : m->video_packets));
    }
}

bool anchor_leg_is_moved(const struct anchor_leg *leg, unsigned i, const struct sdp *heard)
{
    const struct anchor_end *e = &leg->place->v[i];
    struct sdp_target t;

    if (i >= leg->place->n || !addr_is_set(&e->remote) ||
        sdp_media_target(heard, (int)i, false, &t) != 0 || t.is_null)
        return false;
    return !addr_eq(&t.rtp, &e->remote);
}

void anchor_legs_join(struct anchor_leg *x, struct anchor_leg *y)
{
    unsigned i;

    anchor_leg_bind(y);
    for (i = 0; i < x->place->n && i < y->place->n; i++)
        if (x->place->v[i].end && y->place->v[i].end)
            relay_join(x->place->v[i].end, y->place->v[i].end);
}

/* The life of anchored calls: which calls are anchored, what is kept of them, and how they end
 * (story in anchor.h). TR/100 8.2.1.3, 8.4; RFC 7092 3.2; RFC 7879. Owner: the worker; a record is
 * named by worker, slot and generation. It is in the table until its media end; who still has a
 * reference (proxy.c's contexts, requests of our own) keeps the rest. */
#include "edge/anchor/anchor.h"
#include "base/log.h"
#include "base/mem.h"
#include "edge/anchor/anchor_priv.h"
#include "edge/status/calls.h"
#include "edge/identity/service.h"
#include "keying/dtls.h"

static void keep_no_more(struct anchor *a);

/* ---- the table ---- */

int anchors_start(struct edge_worker *w)
{
    struct anchors *t = mem_zalloc(sizeof *t);

    if (!t)
        return ERR_NOMEM;
    t->w = w;
    list_init(&t->all);
    slots_init(&t->slots, 64, LIMIT_RELAY_CALLS * 2, 0xffffffu); /* as much as anchor_cookie says */
    w->anchors = t;
    return 0;
}

void anchors_stop(struct edge_worker *w)
{
    struct anchors *t = w->anchors;

    if (!t)
        return;
    LIST_EACH(a, &t->all, struct anchor, node)
    {
        a->refs++;
        anchor_own_stop(a);
        anchor_end(a);
        keep_no_more(a);
        anchor_unref(a);
    }
    slots_done(&t->slots);
    mem_free(t);
    w->anchors = NULL;
}

static int table_add(struct anchors *t, struct anchor *a)
{
    int err = slots_room(&t->slots, &t->w->net->rand);

    if (err != 0)
        return err;
    slots_put(&t->slots, a, &a->slot, &a->gen);
    list_append(&t->all, &a->node);
    return 0;
}

static void table_remove(struct anchors *t, struct anchor *a)
{
    if (a->gen && slots_get(&t->slots, a->slot) == a)
        slots_remove(&t->slots, a->slot);
}

struct anchor *anchor_find(const struct edge_worker *w, uint32_t slot, uint32_t gen)
{
    struct anchor *a = gen ? slots_get(&w->anchors->slots, slot) : NULL;

    return a && a->gen == gen ? a : NULL;
}

void anchor_name(const struct anchor *a, uint32_t *ret_slot, uint32_t *ret_gen)
{
    *ret_slot = a->slot;
    *ret_gen = a->gen;
}

static void on_wrong(struct wheel_timer *t);
static void on_lonely(struct wheel_timer *t);
static void on_consent(struct wheel_timer *t);
static void on_refers(struct wheel_timer *t);

void anchor_set_call(struct anchor *a, uint32_t slot, uint32_t gen)
{
    a->call_slot = slot;
    a->call_gen = gen;
    calls_anchor(a->w, slot, gen, a->slot, a->gen);
}

/* ---- records ---- */

void anchor_exchange_done(struct anchor_exchange *x)
{
    anchor_text_done(&x->offer_in);
    anchor_text_done(&x->offer_out);
    anchor_text_done(&x->answer_in);
    anchor_text_done(&x->answer_out);
    *x = (struct anchor_exchange){0};
}

static void dialog_free(struct anchor_dialog *d)
{
    int i;

    wheel_cancel(d->a->w->net->wheel, &d->timer);
    anchor_exchange_done(&d->ex);
    anchor_text_done(&d->first_in);
    anchor_text_done(&d->first_out);
    anchor_text_done(&d->tag);
    anchor_text_done(&d->name[0]);
    anchor_text_done(&d->name[1]);
    for (i = 0; i < 2; i++) {
        anchor_text_done(&d->contact[i]);
        anchor_text_done(&d->routes[i]);
    }
    list_remove(&d->node);
    mem_free(d);
}

static void branch_free(struct anchor_branch *b)
{
    anchor_text_done(&b->offer_out);
    anchor_text_done(&b->creds);
    list_remove(&b->node);
    mem_free(b);
}

static void anchor_free(struct anchor *a)
{
    LIST_EACH(d, &a->dialogs, struct anchor_dialog, node)
    {
        dialog_free(d);
    }
    LIST_EACH(b, &a->branches, struct anchor_branch, node)
    {
        branch_free(b);
    }
    anchor_text_done(&a->call_id);
    anchor_text_done(&a->from_tag);
    anchor_text_done(&a->from);
    anchor_text_done(&a->to);
    anchor_text_done(&a->offer);
    anchor_text_done(&a->contact);
    anchor_text_done(&a->routes);
    list_remove(&a->node);
    keying_dtls_identity_unref(a->identity);
    snapshot_unref(a->snap);
    mem_free(a);
}

void anchor_unref(struct anchor *a)
{
    if (a && --a->refs == 0)
        anchor_free(a);
}

static void let_go(struct anchor *a)
{
    table_remove(a->w->anchors, a);
    anchor_unref(a); /* the table's */
}

#define REFERS_MS 300000u /* whom a REFER leads to may ring for three minutes (RFC 3261 16.6 step 11) */

static void keep_no_more(struct anchor *a)
{
    if (!a->is_kept)
        return;
    a->is_kept = false;
    a->w->anchors->n_kept--;
    wheel_cancel(a->w->net->wheel, &a->refers);
    let_go(a);
}

static void on_refers(struct wheel_timer *t)
{
    keep_no_more(CONTAINER_OF(t, struct anchor, refers));
}

void anchor_end(struct anchor *a)
{
    if (a->is_ended)
        return;
    a->is_ended = true;
    wheel_cancel(a->w->net->wheel, &a->wrong);
    wheel_cancel(a->w->net->wheel, &a->lonely);
    wheel_cancel(a->w->net->wheel, &a->consent);
    LIST_EACH(d, &a->dialogs, struct anchor_dialog, node)
    {
        wheel_cancel(a->w->net->wheel, &d->timer);
        d->near = d->far = NULL;
        d->state = ANCHOR_OVER;
    }
    LIST_EACH(b, &a->branches, struct anchor_branch, node)
    {
        b->near = b->far = NULL;
    }
    LIST_EACH(leg, &a->legs, struct anchor_leg, node)
    {
        anchor_leg_free(leg);
    }
    a->caller = NULL;
    relay_call_free(a->media);
    a->media = NULL;
    if (anchor_refer_lasts(a) && a->w->anchors->n_kept < LIMIT_ANCHORS_KEPT) {
        a->is_kept = true;
        a->w->anchors->n_kept++;
        wheel_start(a->w->net->wheel, &a->refers, REFERS_MS);
        return;
    }
    let_go(a);
}

/* ---- a new one ---- */

static int anchor_texts(struct anchor *a, const struct sip_msg *m)
{
    const struct sip_hdr *from = sip_msg_hdr(m, SIP_H_FROM, 0), *to = sip_msg_hdr(m, SIP_H_TO, 0);
    const struct sip_hdr *contact = sip_msg_hdr(m, SIP_H_CONTACT, 0);
    struct sip_values it = sip_values_start(m, SIP_H_RECORD_ROUTE);
    struct str routes = STR_NULL;
    struct sip_addr addr;
    int err;

    while (sip_values_next(&it)) {
        routes = routes.p ? arena_fmt(m->arena, "%.*s, %.*s", STR_FMT(routes), STR_FMT(it.value))
                          : it.value;
        if (!routes.p)
            return ERR_NOMEM;
    }
    if ((err = anchor_text_set(&a->call_id, m->call_id)) != 0 ||
        (err = anchor_text_set(&a->from_tag, m->from_tag)) != 0 ||
        (err = anchor_text_set(&a->from, from ? from->value : STR_NULL)) != 0 ||
        (err = anchor_text_set(&a->to, to ? to->value : STR_NULL)) != 0 ||
        (err = anchor_text_set(&a->routes, routes)) != 0)
        return err;
    a->allows_update = sip_msg_has_token(m, SIP_H_ALLOW, STR("UPDATE"));
    if (contact && sip_addr_parse(contact->value, &addr) == 0 && !addr.star)
        err = anchor_text_set(&a->contact, addr.uri);
    return err;
}

static int anchor_new(struct edge_req *r, enum anchor_mode mode, const struct anchor_side *side,
                      struct anchor **ret, struct reason *why)
{
    struct edge *e = r->w->edge;
    struct anchor *a = mem_zalloc(sizeof *a);
    int err = ERR_NOMEM;

    if (!a)
        goto fail;
    list_init(&a->node);
    list_init(&a->legs);
    list_init(&a->branches);
    list_init(&a->dialogs);
    list_init(&a->own);
    a->refs = 1;
    wheel_timer_init(&a->wrong, on_wrong);
    wheel_timer_init(&a->lonely, on_lonely);
    wheel_timer_init(&a->consent, on_consent);
    wheel_timer_init(&a->refers, on_refers);
    a->w = r->w;
    a->mode = mode;
    a->side = *side;
    a->emergency = r->emergency;
    a->snap = snapshot_ref(r->snap);
    a->invite_cseq = r->m->cseq;
    if ((a->identity = relay_keyring_identity(e->keyring)) == NULL ||
        (err = anchor_texts(a, r->m)) != 0 || (err = relay_call_new(e->relay, &a->media)) != 0 ||
        (err = table_add(r->w->anchors, a)) != 0)
        goto fail;
    *ret = a;
    return 0;
fail:
    reason_set(why, err == ERR_LIMIT ? "too-many-calls" : "no-memory", "RFC 3261 21.5.4",
               err == ERR_LIMIT ? 503 : 500, "media of the call cannot be passed");
    if (a) {
        relay_call_free(a->media);
        anchor_free(a);
    }
    return err;
}

/* The caller's offer, once for all branches: nobody is called for what cannot be. */
static int take_first_offer(struct anchor *a, const struct sip_msg *m, struct reason *why)
{
    struct str text;
    struct sdp *s;
    int err = anchor_body_find(m, &text, why);

    if (err != 0 || !text.n)
        return err;
    if (anchor_text_set(&a->offer, text) != 0) {
        reason_set(why, "no-memory", NULL, 500, NULL);
        return ERR_NOMEM;
    }
    if ((err = sdp_parse(m->arena, text, &s, why)) != 0 || a->mode != ANCHOR_PROTECT)
        return err;
    a->caller = anchor_leg_new(a, &a->side);
    if (!a->caller) {
        reason_set(why, "no-memory", NULL, 500, NULL);
        return ERR_NOMEM;
    }
    return anchor_offer_take(a->caller, s, why);
}

int anchor_begin(struct edge_req *r, const struct edge_targets *ts, struct anchor **ret,
                 struct reason *why)
{
    struct anchor_side side;
    enum anchor_mode mode;
    struct anchor *a;
    bool crosses;
    int err;

    *ret = NULL;
    if (!r->w->edge->relay)
        return 0;
    anchor_side_caller(r, &side);
    mode = anchor_mode_of(r, ts, &side, &crosses);
    if (mode == ANCHOR_DIRECT)
        return 0;
    anchor_side_settle(&side, r->snap, crosses, r->emergency, net_wall_s(r->w->net));
    if ((err = anchor_new(r, mode, &side, &a, why)) != 0)
        return err;
    a->crosses = crosses;
    if ((err = take_first_offer(a, r->m, why)) != 0) {
        anchor_end(a);
        return err;
    }
    a->refs++;
    *ret = a;
    return 0;
}

void anchor_discard(struct anchor *a, const struct anchor_dialog *d)
{
    if (a && !d && list_is_empty(&a->branches))
        anchor_end(a);
    anchor_unref(a);
}

struct anchor_dialog *anchor_dialog_find(struct anchor *a, struct str callee_tag)
{
    LIST_EACH(d, &a->dialogs, struct anchor_dialog, node)
    {
        if (str_eq(anchor_text_get(&d->tag), callee_tag))
            return d;
    }
    return NULL;
}

struct anchor *anchor_of(const struct edge_req *r, struct anchor_dialog **ret_dialog)
{
    struct anchor *a;

    *ret_dialog = NULL;
    if (!r->has_token || !r->token.anchor_gen || r->token.worker != r->w->id ||
        !sip_msg_in_dialog(r->m))
        return NULL;
    a = anchor_find(r->w, r->token.anchor_slot, r->token.anchor_gen);
    if (!a || !str_eq(anchor_text_get(&a->call_id), r->m->call_id))
        return NULL;
    *ret_dialog = anchor_dialog_find(a, r->from_caller ? r->m->to_tag : r->m->from_tag);
    a->refs++;
    return a;
}

void anchor_set_renamed(struct anchor *a)
{
    a->is_renamed = true;
}

struct str anchor_renamed(const struct edge_req *r)
{
    const struct anchor *a = anchor_find(r->w, r->token.anchor_slot, r->token.anchor_gen);

    return a && a->is_renamed && str_eq(anchor_text_get(&a->call_id), r->m->call_id) ? anchor_text_get(&a->from) : STR_NULL;
}

void anchor_keep_creds(const struct branch *b, struct anchor_dialog *d, const struct digest_client_cred *v, unsigned n)
{
    struct anchor_branch *ab = d ? d->b : b->anchored;
    struct arena *a = ab && n ? arena_new(1024, 16384) : NULL;
    struct str text = STR_NULL;
    unsigned i;

    for (i = 0; a && i < n; i++)
        text = arena_fmt(a, "%.*s%.*s: %.*s\n", STR_FMT(text), STR_FMT(v[i].name), STR_FMT(v[i].value));
    if (ab && (text.p || ab->creds.n) && anchor_text_set(&ab->creds, text) != 0)
        anchor_text_done(&ab->creds); /* the ACK goes without */
    arena_free(a);
}

struct str anchor_ack_creds(const struct edge_req *r)
{
    struct anchor *a = r->from_caller ? anchor_find(r->w, r->token.anchor_slot, r->token.anchor_gen) : NULL;
    struct anchor_dialog *d = a ? anchor_dialog_find(a, r->m->to_tag) : NULL;

    return d && d->b && str_eq(anchor_text_get(&a->call_id), r->m->call_id) ? anchor_text_get(&d->b->creds) : STR_NULL;
}

int anchor_owner(const struct edge_worker *w, const struct sip_msg *m)
{
    const struct sip_hdr *h = sip_msg_hdr(m, SIP_H_ROUTE, 0);
    struct str rest, value;
    struct dialog_token t;
    struct sip_addr a;
    struct sip_uri u;

    if (!m->to_tag.n || !w->edge->relay || !h)
        return -1;
    rest = h->value;
    if (!sip_list_cut(&rest, &value) || sip_addr_parse(value, &a) != 0 ||
        sip_uri_parse(a.uri, &u) != 0 || !u.user.n ||
        token_dialog_open(&w->edge->keys, u.user, m->call_id, &t) != 0 || !t.anchor_gen ||
        t.worker >= w->edge->n_workers)
        return -1;
    return (int)t.worker;
}

/* ---- news of the media plane ---- */

static struct anchor *find_by_cookie(const struct edge_worker *w, uint64_t cookie)
{
    return anchor_find(w, (uint32_t)(cookie >> 36) & 0xfffffu,
                       (uint32_t)(cookie >> 12) & 0xffffffu);
}

/* Of a leg's ends that should send: is there one, and have all of them been silent for the time? What
 * came since it was said is seen by the count; RTCP counts as well, so who is merely mute is not. */
static void leg_silence(const struct anchor_leg *leg, bool *ret_any, bool *ret_all)
{
    *ret_any = false;
    *ret_all = true;
    for (unsigned i = 0; i < leg->place->n; i++) {
        const struct anchor_end *e = &leg->place->v[i];
        struct relay_end_stats st;

        if (!e->end || !(e->dir & SDP_SENDONLY))
            continue;
        relay_end_stats(e->end, &st);
        *ret_any = true;
        *ret_all = *ret_all && e->is_silent && st.in.packets == e->silent_at;
    }
}

static bool is_leg_silent(const struct anchor_leg *leg)
{
    bool any, all;

    leg_silence(leg, &any, &all);
    return any && all;
}

static bool is_dead(const struct anchor *a)
{
    bool any = false, some, all;

    LIST_EACH(leg, &a->legs, struct anchor_leg, node)
    {
        leg_silence(leg, &some, &all);
        if (!all)
            return false;
        any = any || some;
    }
    return any;
}

static bool is_answered(const struct anchor *a)
{
    return a->answered && a->answered->state == ANCHOR_CONFIRMED && a->answered->near &&
           a->answered->far;
}

static void on_lonely(struct wheel_timer *t)
{
    struct anchor *a = CONTAINER_OF(t, struct anchor, lonely);
    struct reason why = {0};
    bool is_caller;

    if (!is_answered(a))
        return;
    is_caller = is_leg_silent(a->answered->near);
    if (!is_caller && !is_leg_silent(a->answered->far))
        return;
    reason_set(&why, "media-one-sided", "TR/100 6.2", 480,
               "the %s has sent neither media nor RTCP for %u s", is_caller ? "caller" : "callee",
               a->snap->cfg->media.one_sided_s);
    anchor_hang_up(a, &why);
}

#define CONSENT_MS 30000u /* for a browser to come back by another network, after RFC 7675's 30 s */

/* Is there nobody any more where ICE was? Each section has checks of its own. */
static bool is_leg_gone(const struct anchor_leg *leg)
{
    bool any = false;

    for (unsigned i = 0; i < leg->place->n; i++) {
        const struct anchor_end *e = &leg->place->v[i];
        struct relay_end_stats st;

        if (!e->end || !e->is_ice)
            continue;
        relay_end_stats(e->end, &st);
        if (!st.is_without_consent)
            return false;
        any = true;
    }
    return any;
}

static void on_consent(struct wheel_timer *t)
{
    struct anchor *a = CONTAINER_OF(t, struct anchor, consent);
    struct reason why = {0};
    bool is_caller;

    if (!is_answered(a))
        return;
    is_caller = is_leg_gone(a->answered->near);
    if (!is_caller && !is_leg_gone(a->answered->far))
        return;
    reason_set(&why, "media-consent-lost", "RFC 7675 5.1", 480,
               "no check of the %s has come for a minute", is_caller ? "caller" : "callee");
    anchor_hang_up(a, &why);
}

static void on_silent(struct anchor *a, unsigned leg_id)
{
    const struct config_media *m = &a->snap->cfg->media;
    struct reason why = {0};
    bool is_lonely = false;

    LIST_EACH(leg, &a->legs, struct anchor_leg, node)
    {
        for (unsigned i = 0; leg->id == leg_id && i < leg->place->n; i++) {
            struct anchor_end *e = &leg->place->v[i];
            struct relay_end_stats st;

            if (!e->end)
                continue;
            relay_end_stats(e->end, &st);
            e->is_silent = true;
            e->silent_at = st.in.packets;
        }
        is_lonely = is_lonely || (leg->id == leg_id && is_leg_silent(leg));
    }
    if (!is_answered(a))
        return;
    if (!is_dead(a)) {
        if (is_lonely && m->one_sided_s)
            wheel_start(a->w->net->wheel, &a->lonely,
                        m->one_sided_s > m->silence_s ? (m->one_sided_s - m->silence_s) * 1000ull
                                                      : 0);
        return;
    }
    reason_set(&why, "media-timeout", "TR/100 6.2", 480, "neither side has sent media for %u s",
               m->silence_s);
    anchor_hang_up(a, &why);
}

/* Media come from another address than the leg's description names: a NAT, a phone that has moved, or one
 * that sends and receives by different ports (RFC 4961). Said once for each leg. */
static void on_elsewhere(struct anchor *a, unsigned leg_id, const struct anchor_event *ev)
{
    bool is_refused = ev->event == RELAY_EVENT_ASTRAY;
    char from[ADDR_TEXT_MAX], described[ADDR_TEXT_MAX];

    LIST_EACH(leg, &a->legs, struct anchor_leg, node)
    {
        bool *said = is_refused ? &leg->is_astray : &leg->is_elsewhere;

        if (leg->id != leg_id || *said)
            continue;
        *said = true;
        LOG(is_refused ? LOG_NOTICE : LOG_INFO, "media-elsewhere", LS("call", anchor_text_get(&a->call_id)),
            LZ("then", is_refused                                     ? "refused"
                       : leg->side.cfg && leg->side.cfg->asymmetric ? "accepted"
                                                                      : "followed"),
            LZ("reason", "rtp-not-symmetric"), LZ("clause", "RFC 4961 3"),
            LS("described", addr_text(&ev->described, described)), LS("from", addr_text(&ev->from, from)));
    }
}

/* Have packets come since the last time this was asked? */
static bool has_moved(struct anchor *a)
{
    bool moved = false;

    LIST_EACH(leg, &a->legs, struct anchor_leg, node)
    {
        for (unsigned i = 0; i < leg->place->n; i++) {
            struct anchor_end *e = &leg->place->v[i];
            struct relay_end_stats st;

            if (!e->end)
                continue;
            relay_end_stats(e->end, &st);
            moved |= st.in.packets != e->seen;
            e->seen = st.in.packets;
        }
    }
    return moved;
}

bool anchor_expire(struct edge_worker *w, uint32_t slot, uint32_t gen, bool has_timer)
{
    struct anchor *a = anchor_find(w, slot, gen);
    struct reason why = {0};

    if (!a || a->is_ended)
        return true;
    if (!has_timer && has_moved(a))
        return false;
    reason_set(&why, has_timer ? "session-expired" : "media-timeout",
               has_timer ? "RFC 4028 10" : "TR/100 6.2", 480, NULL);
    a->call_gen = 0; /* whoever asks is about to end the record */
    anchor_hang_up(a, &why);
    return true;
}

/* If it is not answered yet, the answer comes too late. */
static void leg_failed(struct anchor *a, unsigned leg_id, const struct reason *why)
{
    LIST_EACH(leg, &a->legs, struct anchor_leg, node)
    {
        if (leg->id == leg_id && !leg->failure.code)
            leg->failure = *why;
    }
}

#define WRONG_MS 5000u /* for the right one to come, where a wrong one was first */

/* Has a leg met a certificate that its side has not announced, and no other one since (RFC 8122 5)?
 */
static bool is_wrong(struct anchor_leg *leg, int section)
{
    struct keying_facts f;

    if (!leg || !leg->keys)
        return false;
    relay_keys_facts(leg->keys, section, &f);
    return (f.attacks & KEYING_ATTACK_FINGERPRINT) && f.proof < KEYING_PROOF_HANDSHAKE;
}

/* Anybody can do a handshake who gets at a port, so a wrong one alone ends nothing; that no right
 * one follows does (RFC 5763 5). */
static void on_wrong(struct wheel_timer *t)
{
    struct anchor *a = CONTAINER_OF(t, struct anchor, wrong);
    struct anchor_dialog *d = a->answered;
    struct reason why = {0};
    bool is_near, is_far = false;
    unsigned i;

    for (i = 0; d && d->state == ANCHOR_CONFIRMED && d->near && d->far && i < d->far->n && !is_far;
         i++) {
        is_near = d->near->sec[i].is_taken && is_wrong(d->near, (int)i);
        is_far = is_near || (d->far->sec[i].is_taken && is_wrong(d->far, (int)i));
    }
    if (!is_far)
        return;
    reason_set(&why, "dtls-fingerprint", "RFC 8122 5", 488,
               "the certificate is not the one that its description announces");
    anchor_hang_up(a, &why);
}

static void on_facts(struct anchor *a, unsigned leg_id, int section)
{
    LIST_EACH(leg, &a->legs, struct anchor_leg, node)
    {
        if (leg->id != leg_id || leg->is_wrong || !is_wrong(leg, section))
            continue;
        leg->is_wrong = true;
        LOG(LOG_NOTICE, "media-attack", LS("call", anchor_text_get(&a->call_id)),
            LI("section", section), LZ("reason", "dtls-fingerprint"), LZ("clause", "RFC 8122 5"));
        wheel_start(a->w->net->wheel, &a->wrong, WRONG_MS);
    }
}

static void on_keys(struct anchor *a, unsigned leg_id, const struct anchor_event *ev)
{
    struct anchor_dialog *d = a->answered;
    bool is_far = d && d->far && d->far->id == leg_id;

    if (ev->change == RELAY_KEYS_FACTS) {
        on_facts(a, leg_id, ev->section);
        return;
    }
    LOG(LOG_INFO, "media-keys", LS("call", anchor_text_get(&a->call_id)),
        LI("section", ev->section), LZ("what", ev->change == RELAY_KEYS_REKEY ? "rekey" : "failed"),
        LZ("reason", ev->reason.code), LZ("detail", ev->reason.detail));
    if (ev->change == RELAY_KEYS_FAILED)
        leg_failed(a, leg_id, &ev->reason);
    if (!d || d->state != ANCHOR_CONFIRMED || (!is_far && !(d->near && d->near->id == leg_id)))
        return; /* a branch that is not the answered one, or too early to act: nothing passes
                   without keys */
    if (ev->change == RELAY_KEYS_REKEY)
        anchor_own_rekey(d, is_far);
    else if (ev->change == RELAY_KEYS_FAILED)
        anchor_hang_up(a,
                       &ev->reason); /* RFC 5763 5: media that cannot be secured end the session */
}

void anchor_event(struct edge_worker *w, const struct anchor_event *ev)
{
    struct anchor *a = find_by_cookie(w, ev->cookie);
    unsigned leg_id = ev->cookie & 0xfffu;

    if (!a || a->is_ended)
        return;
    a->refs++;
    if (ev->is_keys) {
        on_keys(a, leg_id, ev);
        calls_changed(w, a->call_slot, a->call_gen);
    } else if (ev->event == RELAY_EVENT_SILENT) {
        on_silent(a, leg_id);
    } else if (ev->event == RELAY_EVENT_REMOTE || ev->event == RELAY_EVENT_ASTRAY) {
        on_elsewhere(a, leg_id, ev);
    } else if (ev->event == RELAY_EVENT_CONSENT && a->snap->cfg->media.silence_s) {
        wheel_start(a->w->net->wheel, &a->consent, CONSENT_MS);
    }
    anchor_unref(a);
}

/* Offers and answers of a call (RFC 3264, 6337): one section of audio that the media writes and
 * reads, every other section refused. Each description of ours is parsed again, so that what we
 * later compare with is what was really sent. Owner: the call. */
#include "phone/phone_priv.h"

#define SESSION_BYTES (256u << 10)
#define TEXT_BYTES 8192u

static void on_first(void *arg, uint32_t call);
static void on_digit(void *arg, uint32_t call, char digit);
static void on_news(void *arg, uint32_t call, enum phone_media_news what);

int session_init(struct session *s, struct phone *p, uint32_t call, struct reason *why)
{
    const struct phone_media_user user = {
        .arg = p, .call = call, .on_first = on_first, .on_digit = on_digit, .on_news = on_news};
    *s = (struct session){
        .p = p, .audio = -1, .want = p->cfg->no_media ? SDP_INACTIVE : SDP_SENDRECV};
    s->id =
        rand_u64(&p->net->rand) >> 2; /* RFC 3264 5: it fits into 63 bits, and has room to count */
    s->version = s->id;
    return p->cfg->media->open(p->cfg->media_arg, &p->path.local, &p->net->rand, &user, &s->media,
                               why);
}

void session_done(struct session *s)
{
    if (s->media)
        s->p->cfg->media->close(s->media);
    arena_free(s->local_arena);
    arena_free(s->remote_arena);
    arena_free(s->offer_arena);
    *s = (struct session){.p = s->p, .audio = -1};
}

/* ---- from the media's thread: a number and a letter fit into the pointer, so nothing has to be
 * allocated ---- */

static void tell_first(void *phone, void *arg)
{
    struct phone *p = phone;
    phone_call_id id = (phone_call_id)(uintptr_t)arg;
    if (call_find(p, id) && p->user.on_media)
        p->user.on_media(p->user.arg, id);
}

static void tell_digit(void *phone, void *arg)
{
    struct phone *p = phone;
    uintptr_t v = (uintptr_t)arg;
    phone_call_id id = (phone_call_id)(v >> 8);
    if (call_find(p, id) && p->user.on_digit)
        p->user.on_digit(p->user.arg, id, (char)(v & 0x7f));
}

static void tell_news(void *phone, void *arg)
{
    struct phone *p = phone;
    uintptr_t v = (uintptr_t)arg;
    struct call *c = call_find(p, (phone_call_id)(v >> 8));
    if (c != NULL)
        call_media_news(c, (enum phone_media_news)(v & 0xff));
}

static void on_first(void *arg, uint32_t call)
{
    struct phone *p = arg;
    (void)!net_post(p->net, p->net->worker, tell_first, (void *)(uintptr_t)call);
}

static void on_digit(void *arg, uint32_t call, char digit)
{
    struct phone *p = arg;
    (void)!net_post(p->net, p->net->worker, tell_digit,
                    (void *)((uintptr_t)call << 8 | (uintptr_t)(unsigned char)digit));
}

static void on_news(void *arg, uint32_t call, enum phone_media_news what)
{
    struct phone *p = arg;
    (void)!net_post(p->net, p->net->worker, tell_news,
                    (void *)((uintptr_t)call << 8 | (uintptr_t)what));
}

/* ---- writing ---- */

/* Builds from sections and reads it back. */
static int build(struct session *s, struct arena *a, struct sdp_new_media *media, size_t n,
                 struct sdp **ret)
{
    char *text = arena_alloc(a, TEXT_BYTES);
    if (text == NULL)
        return ERR_NOMEM;
    struct sbuf b = sbuf_make(text, TEXT_BYTES);
    struct sdp_new d = {.sess_id = s->id,
                        .sess_version = ++s->version,
                        .host = &s->p->path.local,
                        .media = media,
                        .n_media = n};
    int err = sdp_build(&b, &d);
    return err ? err : sdp_parse(a, sbuf_get(&b), ret, NULL);
}

int session_offer(struct session *s, struct str *ret, struct reason *why)
{
    struct sdp_new_media media[LIMIT_SDP_MEDIA];
    size_t n = s->local ? s->local->n_media : 1;
    if (s->offered)
        return ERR_AGAIN;
    struct arena *a = arena_new(TEXT_BYTES * 2, SESSION_BYTES);
    if (a == NULL)
        return ERR_NOMEM;
    for (size_t i = 0; s->local && i < n; i++) /* sections never go away (8) */
        sdp_answer_media(s->local, (int)i, &media[i]);
    if (s->audio < 0)
        s->audio = 0;
    struct sdp_new_media *m = &media[s->audio];
    struct str mid = s->local ? m->mid : STR_NULL;
    *m = (struct sdp_new_media){0};
    int err = s->p->cfg->media->offer(s->media, a, phone_hop_is_private(s->p), m, why);
    m->mid = mid;
    m->has_dir = true;
    m->dir = s->want;
    if (!err) {
        err = build(s, a, media, n, &s->offered);
        if (err)
            s->p->cfg->media->rollback(s->media);
    }
    if (err) {
        s->offered = NULL;
        arena_free(a);
        return err;
    }
    arena_free(s->offer_arena);
    s->offer_arena = a;
    *ret = s->offered->text;
    return 0;
}

/* ---- an exchange is through ---- */

static int agree(struct session *s, struct reason *why)
{
    bool has_audio = s->audio >= 0 && s->audio < s->remote->n_media &&
                     !sdp_media_is_rejected(s->remote, s->audio);
    s->dir = has_audio ? sdp_answer_direction(sdp_direction(s->remote, s->audio),
                                              sdp_direction(s->local, s->audio))
                       : SDP_INACTIVE;
    s->is_held =
        !((unsigned)sdp_direction(s->remote, s->audio < 0 ? SDP_SESSION : s->audio) & SDP_RECVONLY);
    if (!has_audio) {
        reason_set(why, "no-audio", "RFC 3264 6", 488, "audio was refused");
        return ERR_UNSUPPORTED;
    }
    const struct phone_media_exchange x = {.remote = s->remote,
                                           .media = s->audio,
                                           .we_offered = s->we_offered,
                                           .is_hop_private = phone_hop_is_private(s->p),
                                           .branch = s->branch,
                                           .dir = s->dir};
    return s->p->cfg->media->agreed(s->media, &x, why);
}

static void take(struct arena **slot, struct arena *a)
{
    if (*slot != a)
        arena_free(*slot);
    *slot = a;
}

int session_branch(struct session *s, struct str tag, struct reason *why)
{
    for (unsigned i = 0; i < s->n_tags; i++) {
        if (str_eq(str_z(s->tags[i]), tag)) {
            s->branch = i;
            return 0;
        }
    }
    if (s->n_tags == PHONE_MEDIA_BRANCHES ||
        str_copy_z(s->tags[s->n_tags], sizeof(s->tags[0]), tag) != 0) {
        reason_set(why, "answers", "RFC 3261 13.2.2.4", 488, "too many answers to one offer");
        return ERR_LIMIT;
    }
    s->branch = s->n_tags++;
    return 0;
}

void session_settled(struct session *s)
{
    s->p->cfg->media->settled(s->media);
}

int session_answered(struct session *s, struct str text, struct reason *why)
{
    struct sdp *offer = s->offered ? s->offered : s->we_offered ? s->local : NULL, *answer;
    if (offer == NULL)
        return ERR_INVALID;
    struct arena *a = arena_new(TEXT_BYTES * 2, SESSION_BYTES);
    struct str copy = a ? arena_str(a, text) : STR_NULL;
    int err = copy.p ? sdp_parse(a, copy, &answer, why) : ERR_NOMEM;
    if (!err)
        err = sdp_answer_check(offer, answer, why);
    if (err) {
        arena_free(a);
        return err;
    }
    if (s->offered) {
        take(&s->local_arena, s->offer_arena);
        s->local = s->offered;
        s->offer_arena = NULL;
        s->offered = NULL;
    }
    take(&s->remote_arena, a);
    s->remote = answer;
    s->we_offered = true;
    return agree(s, why);
}

void session_rollback(struct session *s)
{
    if (s->offered)
        s->p->cfg->media->rollback(s->media);
    arena_free(s->offer_arena);
    s->offer_arena = NULL;
    s->offered = NULL;
}

/* Refusals for every section, and the media's own answer for the one it takes. */
static int answer_sections(struct session *s, struct arena *a, const struct sdp *offer,
                           struct sdp_new_media *media, struct reason *why)
{
    int audio = -1, err = ERR_UNSUPPORTED;
    for (int i = 0; i < offer->n_media; i++)
        sdp_answer_media(offer, i, &media[i]);
    for (int i = 0; i < offer->n_media && audio < 0; i++) {
        if (sdp_media_is_rejected(offer, i) || (s->audio >= 0 && i != s->audio))
            continue;
        struct sdp_new_media mine = media[i];
        err =
            s->p->cfg->media->answer(s->media, a, offer, i, phone_hop_is_private(s->p), &mine, why);
        if (err == 0) {
            mine.has_dir = true;
            mine.dir = sdp_answer_direction(sdp_direction(offer, i), s->want);
            media[i] = mine;
            audio = i;
        } else if (err != ERR_UNSUPPORTED) {
            return err;
        }
    }
    if (audio < 0) {
        if (why->code == NULL)
            reason_set(why, "no-audio", "RFC 3264 6", 488,
                       "nothing in the offer is audio that we speak");
        return ERR_UNSUPPORTED;
    }
    s->audio = audio;
    return 0;
}

int session_answer(struct session *s, struct str text, struct str *ret, struct reason *why)
{
    struct sdp_new_media media[LIMIT_SDP_MEDIA];
    struct sdp *offer = NULL, *answer = NULL;
    bool is_same;
    struct arena *theirs = arena_new(TEXT_BYTES * 2, SESSION_BYTES),
                 *ours = arena_new(TEXT_BYTES * 2, SESSION_BYTES);
    struct str copy = theirs ? arena_str(theirs, text) : STR_NULL;
    int err = copy.p && ours ? sdp_parse(theirs, copy, &offer, why) : ERR_NOMEM;
    if (!err && offer->has_unknown) { /* RFC 8866 5 */
        reason_set(why, "sdp-unknown-type", "RFC 8866 5", 488, "a line of unknown type");
        err = ERR_UNSUPPORTED;
    }
    if (!err && s->remote)
        err = sdp_next_check(s->remote, offer, &is_same, why);
    if (!err)
        err = answer_sections(s, ours, offer, media, why);
    if (!err) {
        err = build(s, ours, media, offer->n_media, &answer);
        if (err)
            s->p->cfg->media->rollback(s->media);
    }
    if (err) {
        arena_free(theirs);
        arena_free(ours);
        return err;
    }
    take(&s->remote_arena, theirs);
    take(&s->local_arena, ours);
    s->remote = offer;
    s->local = answer;
    s->we_offered = false;
    *ret = answer->text;
    return agree(s, why);
}

int session_check(struct session *s, struct str text, struct reason *why)
{
    struct sdp *offer;
    struct arena *a = arena_new(TEXT_BYTES * 2, SESSION_BYTES);
    struct str copy = a ? arena_str(a, text) : STR_NULL;
    int err = copy.p ? sdp_parse(a, copy, &offer, why) : ERR_NOMEM;
    if (!err) {
        reason_set(why, "no-audio", "RFC 3264 6", 488,
                   "nothing in the offer is audio that we speak");
        err = ERR_UNSUPPORTED;
        for (int i = 0; i < offer->n_media && err == ERR_UNSUPPORTED; i++) {
            if (!sdp_media_is_rejected(offer, i))
                err = s->p->cfg->media->check(s->media, offer, i, phone_hop_is_private(s->p), why);
        }
    }
    arena_free(a);
    return err;
}

int session_text(const struct sip_msg *m, struct str *ret)
{
    struct sip_part parts[LIMIT_BODY_PARTS];
    size_t n = LIMIT_BODY_PARTS;
    struct reason why;
    struct str media;
    *ret = STR_NULL;
    if (m->body.n == 0)
        return ERR_NOTFOUND;
    if (sip_msg_has(m, SIP_H_CONTENT_ENCODING) || sip_body_parts(m, parts, &n, &why) != 0)
        return ERR_UNSUPPORTED;
    for (size_t i = 0; i < n; i++) {
        (void)str_cut(parts[i].content_type, ';', &media);
        if (str_eq_nocase(str_trim(media), STR("application/sdp"))) {
            *ret = parts[i].body;
            return 0;
        }
        if (parts[i].required && parts[i].depth < 2 &&
            !str_starts_nocase(str_trim(media), STR("multipart/")))
            return ERR_UNSUPPORTED; /* RFC 5621 8.2: what must be understood and is not */
    }
    return ERR_UNSUPPORTED;
}

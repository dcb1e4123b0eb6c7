/* The codecs of a call (media_codecs.h; RFC 3264 6.1, RFC 3551, RFC 4733). */
#include "phone/media_codecs.h"

#define PT_EVENT_8K 101u
#define PT_EVENT_48K 102u
#define PT_DYNAMIC 96u

static void codec_add(struct media_codecs *m, const struct sdp_codec *c)
{
    for (size_t i = 0; i < m->n; i++) {
        if (m->codec[i].pt == c->pt)
            return;
    }
    if (m->n < MEDIA_CODECS_MAX)
        m->codec[m->n++] = *c;
}

static void codec_offer(struct media_codecs *m, const struct codec_info *info)
{
    struct sdp_codec c = {.name = str_z(info->name),
                          .rate = info->clock,
                          .channels = (uint8_t)info->channels,
                          .pt = info->pt < 0 ? PT_DYNAMIC : (uint8_t)info->pt,
                          .fmtp = str_z(info->fmtp)};
    codec_add(m, &c);
}

/* The codecs asked for, in their order, and digits for each clock that they use (RFC 4733 7.1). */
int media_codecs_make(struct media_codecs *m, struct str names, struct reason *why)
{
    struct str rest = names, name;
    const struct codec_info *info;
    bool has_8k = false, has_48k = false;
    for (size_t i = 0; rest.n == 0 && (info = codec_at(i)) != NULL; i++)
        codec_offer(m, info);
    while (rest.n) {
        rest = str_cut(rest, ',', &name);
        info = codec_find(str_trim(name));
        if (info == NULL) {
            reason_set(why, "codec", NULL, 0, "there is no codec \"%.*s\"", STR_FMT(name));
            return ERR_UNSUPPORTED;
        }
        codec_offer(m, info);
    }
    for (size_t i = 0; i < m->n; i++) {
        has_8k |= m->codec[i].rate == 8000;
        has_48k |= m->codec[i].rate == 48000;
    }
    struct sdp_codec event = {.name = STR("telephone-event"), .channels = 1, .fmtp = STR("0-15")};
    event.rate = 8000;
    event.pt = PT_EVENT_8K;
    if (has_8k)
        codec_add(m, &event);
    event.rate = 48000;
    event.pt = PT_EVENT_48K;
    if (has_48k)
        codec_add(m, &event);
    return 0;
}

static bool is_event(const struct sdp_codec *c)
{
    return str_eq(c->name, STR("telephone-event"));
}

/* The codec that both speak, first in the other side's order, and digits with its clock; -1 where
 * there is none. */
static void choose(const struct sdp_agreed *agreed, size_t n, int *ret_audio, int *ret_event)
{
    *ret_audio = *ret_event = -1;
    for (size_t i = 0; i < n && *ret_audio < 0; i++) {
        if (!is_event(agreed[i].codec))
            *ret_audio = (int)i;
    }
    for (size_t i = 0; i < n && *ret_audio >= 0 && *ret_event < 0; i++) {
        if (is_event(agreed[i].codec) && agreed[i].codec->rate == agreed[*ret_audio].codec->rate)
            *ret_event = (int)i;
    }
}

static int none_in_common(struct reason *why)
{
    reason_set(why, "media-codec", "RFC 3264 6.1", 488, "no codec in common");
    return ERR_UNSUPPORTED;
}

int media_codecs_answer(const struct media_codecs *m, struct arena *a, const struct sdp *offer,
                        int media, struct sdp_new_media *ret, struct reason *why)
{
    struct sdp_agreed agreed[MEDIA_CODECS_MAX];
    struct sdp_codec *codecs;
    int audio, event;
    choose(agreed, sdp_codecs_match(offer, media, m->codec, m->n, agreed, MEDIA_CODECS_MAX), &audio,
           &event);
    if (audio < 0)
        return none_in_common(why);
    codecs = arena_alloc(a, 2 * sizeof(*codecs));
    if (codecs == NULL)
        return ERR_NOMEM;
    codecs[0] = *agreed[audio].codec;
    codecs[0].pt = agreed[audio].pt; /* the offer's numbers (6.1) */
    if (event >= 0) {
        codecs[1] = *agreed[event].codec;
        codecs[1].pt = agreed[event].pt;
    }
    ret->fmts = STR_NULL;
    ret->codecs = codecs;
    ret->n_codecs = event >= 0 ? 2 : 1;
    return 0;
}

int media_codecs_agreed(const struct media_codecs *m, const struct sdp *remote, int media,
                        bool we_offered, struct media_stream_args *ret, struct reason *why)
{
    struct sdp_agreed agreed[MEDIA_CODECS_MAX];
    int audio, event;
    size_t n = sdp_codecs_match(remote, media, m->codec, m->n, agreed, MEDIA_CODECS_MAX);
    choose(agreed, n, &audio, &event);
    if (audio < 0)
        return none_in_common(why);
    *ret = (struct media_stream_args){.codec = codec_find(agreed[audio].codec->name),
                                      .pt = agreed[audio].pt,
                                      .event_pt_send = -1,
                                      .event_pt_recv = -1};
    /* What comes has the numbers of the offer if it was ours, else those of theirs, which our
     * answer has too. */
    for (size_t i = 0; i < n && ret->n_recv < MEDIA_STREAM_CODECS; i++) {
        if (is_event(agreed[i].codec) || (!we_offered && (int)i != audio))
            continue;
        ret->recv[ret->n_recv].codec = codec_find(agreed[i].codec->name);
        ret->recv[ret->n_recv++].pt = we_offered ? agreed[i].codec->pt : agreed[i].pt;
    }
    if (event >= 0) {
        ret->event_pt_send = agreed[event].pt;
        ret->event_pt_recv = we_offered ? agreed[event].codec->pt : agreed[event].pt;
    }
    return 0;
}

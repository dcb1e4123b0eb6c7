/* The rules between offer and answer (clauses in answer.h). Pure; any thread. */
#include "sdp/answer.h"
#include "sdp/sdp_priv.h"
#include "sdp/values.h"

static const struct sdp_codec *codec_find(const struct sdp_rtpmap *r,
                                          const struct sdp_codec *codecs, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (str_eq_nocase(codecs[i].name, r->name) && codecs[i].rate == r->rate &&
            codecs[i].channels == r->channels)
            return &codecs[i];
    }
    return NULL;
}

size_t sdp_codecs_match(const struct sdp *s, int media, const struct sdp_codec *codecs, size_t n,
                        struct sdp_agreed *ret, size_t cap)
{
    const struct sdp_media *m = &s->media[media];
    size_t found = 0;
    for (unsigned i = 0; i < m->n_fmts && found < cap; i++) {
        struct sdp_rtpmap r;
        uint32_t pt;
        if (str_to_u32(m->fmt[i], 127, &pt) != 0 || sdp_rtpmap(s, media, pt, &r) != 0)
            continue;
        const struct sdp_codec *c = codec_find(&r, codecs, n);
        if (c != NULL)
            ret[found++] =
                (struct sdp_agreed){.codec = c, .pt = r.pt, .fmtp = sdp_fmtp(s, media, pt)};
    }
    return found;
}

void sdp_answer_media(const struct sdp *offer, int media, struct sdp_new_media *ret)
{
    const struct sdp_media *m = &offer->media[media];
    const struct sdp_line *mid = sdp_attr(offer, media, SDP_A_MID, 0);
    *ret = (struct sdp_new_media){.kind = m->kind_text, .proto = m->proto_text, .fmts = m->fmts};
    if (mid != NULL)
        ret->mid = str_trim(mid->arg);
}

/* ---- is it an answer? ---- */

static int refuse(struct reason *why, const char *clause, int media, const char *what)
{
    if (media < 0)
        reason_set(why, "sdp-answer", clause, 488, "%s", what);
    else
        reason_set(why, "sdp-answer", clause, 488, "m= line %d: %s", media + 1, what);
    return ERR_REFUSED;
}

static bool has_fmt(const struct sdp_media *m, struct str fmt)
{
    for (unsigned i = 0; i < m->n_fmts; i++) {
        if (str_eq(m->fmt[i], fmt))
            return true;
    }
    return false;
}

static int media_check(const struct sdp *offer, const struct sdp *answer, int i, struct reason *why)
{
    const struct sdp_media *o = &offer->media[i], *a = &answer->media[i];
    if (!str_eq(o->kind_text, a->kind_text))
        return refuse(why, "RFC 3264 6", i, "another medium than was offered");
    if (sdp_media_is_rejected(answer, i))
        return 0;
    if (sdp_media_is_rejected(offer, i))
        return refuse(why, "RFC 3264 6", i, "a medium is accepted that was offered with port 0");
    if (!str_eq_nocase(
            o->proto_text,
            a->proto_text)) /* RFC 3264 6.1, 8643 4: best effort does not change it either */
        return refuse(why, "RFC 3264 6.1", i, "another protocol than was offered");
    for (unsigned k = 0; !sdp_proto_is_rtp(a->proto) && k < a->n_fmts; k++) {
        if (!has_fmt(o, a->fmt[k]))
            return refuse(why, "RFC 3264 6.1", i, "a format that was not offered");
    }
    if (sdp_has(answer, i, SDP_A_RTCP_MUX) && !sdp_has(offer, i, SDP_A_RTCP_MUX))
        return refuse(why, "RFC 5761 5.1.1", i, "rtcp-mux was not offered");
    return 0;
}

/* Every section of a BUNDLE group in the answer must have been in one group of the offer (RFC
 * 8843 7.3). */
static int bundle_check(const struct sdp *offer, const struct sdp *answer, struct reason *why)
{
    int of[LIMIT_SDP_MEDIA];
    for (int i = 0; i < answer->n_media; i++)
        of[i] = sdp_bundle_of(answer, i);
    for (int i = 0; i < answer->n_media; i++) {
        if (of[i] < 0 || of[i] == i)
            continue;
        int mine = sdp_bundle_of(offer, i);
        if (mine < 0 || mine != sdp_bundle_of(offer, of[i]))
            return refuse(why, "RFC 8843 7.3", i, "a BUNDLE group that was not offered");
    }
    return 0;
}

int sdp_answer_check(const struct sdp *offer, const struct sdp *answer, struct reason *why)
{
    if (answer->n_media != offer->n_media)
        return refuse(why, "RFC 3264 6", -1, "not as many m= lines as were offered");
    for (int i = 0; i < answer->n_media; i++) {
        int err = media_check(offer, answer, i, why);
        if (err)
            return err;
    }
    return bundle_check(offer, answer, why);
}

/* ---- the next one in a session ---- */

int sdp_next_check(const struct sdp *before, const struct sdp *next, bool *ret_same,
                   struct reason *why)
{
    *ret_same = str_eq(before->text, next->text);
    if (next->n_media < before->n_media)
        return refuse(why, "RFC 3264 8", -1, "fewer m= lines than before");
    return 0;
}

/* The codecs that a call of ours offers, and what of them the other side has. Pure. */
#ifndef PHONE_MEDIA_CODECS_H
#define PHONE_MEDIA_CODECS_H

#include "media/stream.h"
#include "sdp/answer.h"

#define MEDIA_CODECS_MAX 8u

struct media_codecs {
    struct sdp_codec codec[MEDIA_CODECS_MAX];
    size_t n;
};

/* By their names, comma separated, in that order (empty: all), and digits for each clock that they
 * use. ERR_UNSUPPORTED: there is no such codec. */
MUST_USE int media_codecs_make(struct media_codecs *m, struct str names, struct reason *why);
/* The formats of our answer. ERR_UNSUPPORTED: none in common. */
MUST_USE int media_codecs_answer(const struct media_codecs *m, struct arena *a,
                                 const struct sdp *offer, int media, struct sdp_new_media *ret,
                                 struct reason *why);
/* What an exchange means for the stream. ERR_UNSUPPORTED: none in common. */
MUST_USE int media_codecs_agreed(const struct media_codecs *m, const struct sdp *remote, int media,
                                 bool we_offered, struct media_stream_args *ret,
                                 struct reason *why);

#endif

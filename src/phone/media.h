/* What a call wants of its media, and the facts it gives back. The phone's calls know only this
 * table; media_rtp.c fills it with clear RTP. Whatever secures media comes in here: `offer` and
 * `answer` write the section's protocol and attributes (crypto, fingerprint, setup, ...), `agreed`
 * reads the other side's, and `security` says what came of it.
 *
 * Calls come on the phone's thread. Digits and the first packet are told by phone_media_user from
 * any thread. */
#ifndef PHONE_MEDIA_H
#define PHONE_MEDIA_H

#include "base/rand.h"
#include "base/reason.h"
#include "media/stream.h"
#include "sdp/answer.h"

struct phone_media;

struct phone_media_user {
    void *arg;
    uint32_t call;
    /* Any thread; must not call back into the media. */
    void (*on_first)(void *arg, uint32_t call);
    void (*on_digit)(void *arg, uint32_t call, char digit);
};

/* What protects the audio, for people (DESIGN.md, security status). */
struct phone_media_security {
    const char *method; /* "none", later "SDES", "DTLS-SRTP", ... */
    const char *suite;  /* NULL: none */
    bool is_encrypted, is_authenticated, is_forward_secret;
    bool is_proven;      /* packets under these keys have been seen, not only negotiated */
    const char *exposed; /* who can listen: "anybody on the path", ... */
};

struct phone_media_figures {
    struct media_quality q;
    const char *codec;  /* NULL: nothing negotiated */
    struct addr remote; /* where it is sent; unset: nowhere */
    bool has_expected;  /* a tone was asked for ... */
    bool is_heard;      /* ... and heard */
    unsigned tonal_ms, loud_ms;
    uint64_t foreign; /* datagrams from elsewhere, not looked at */
};

struct phone_media_ops {
    /* Sockets at this address (its port is not used), for one call. */
    int (*open)(void *arg, const struct addr *local, struct rand_source *rand,
                const struct phone_media_user *user, struct phone_media **ret, struct reason *why);
    void (*close)(struct phone_media *m); /* says goodbye (RTCP BYE), frees */
    /* The section of an offer: everything but direction and mid. Slices live in the arena. */
    int (*offer)(struct phone_media *m, struct arena *a, struct sdp_new_media *ret);
    /* The section that answers `offer`'s, filled over sdp_answer_media's refusal. ERR_UNSUPPORTED:
     * this one is not for us. */
    int (*answer)(struct phone_media *m, struct arena *a, const struct sdp *offer, int media,
                  struct sdp_new_media *ret, struct reason *why);
    /* Offer and answer are through: from here on this holds. `remote` is the other side's
     * description, `ours` our section in the last exchange, `dir` what is left for us to do. Also
     * after every later exchange. ERR_UNSUPPORTED and the reason where it cannot be (no common
     * format, a key that is missing): the call is then ended. */
    int (*agreed)(struct phone_media *m, const struct sdp *remote, int media, bool we_offered,
                  enum sdp_dir dir, struct reason *why);
    int (*dial)(struct phone_media *m, struct str digits);
    bool (*is_dialling)(struct phone_media *m);
    void (*figures)(struct phone_media *m, struct phone_media_figures *ret);
    void (*security)(struct phone_media *m, struct phone_media_security *ret);
};

/* Clear RTP. */
struct sound_config;
struct phone_media_rtp {
    const struct sound_config *sound; /* what is played, recorded, expected */
    struct str codecs; /* names in the order to offer them, comma separated; empty: all */
};
extern const struct phone_media_ops phone_media_rtp_ops; /* its arg: struct phone_media_rtp */

#endif

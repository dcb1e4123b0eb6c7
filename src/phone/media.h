/* What a call wants of its media, and the facts it gives back. The phone's calls know only this
 * table; media_rtp.c fills it with RTP, media_keys.c with what protects it (SDES, DTLS-SRTP). A
 * section's protocol and its attributes of key management are written by `offer` and `answer`, read
 * by `answer` and `agreed`; `security` says what came of it.
 *
 * An INVITE that forks has several answers: each has a number of its own (`branch`), keys of its
 * own, and the one that `agreed` was called for last is the one that is heard, until `settled` says
 * that it is the only one.
 *
 * Calls come on the phone's thread. Digits, the first packet and news of the keys are told by
 * phone_media_user from any thread. */
#ifndef PHONE_MEDIA_H
#define PHONE_MEDIA_H

#include "base/rand.h"
#include "base/reason.h"
#include "keying/facts.h"
#include "media/stream.h"
#include "sdp/answer.h"

struct phone_media;

#define PHONE_MEDIA_BRANCHES 8u /* answers to one offer */

enum phone_media_news {
    PHONE_MEDIA_SECURITY, /* what `security` says has changed */
    PHONE_MEDIA_REKEY,    /* an offer with new keys is due */
    PHONE_MEDIA_FAILED    /* there are no keys, and none will come: `failure` */
};

struct phone_media_user {
    void *arg;
    uint32_t call;
    /* Any thread; must not call back into the media. */
    void (*on_first)(void *arg, uint32_t call);
    void (*on_digit)(void *arg, uint32_t call, char digit);
    void (*on_news)(void *arg, uint32_t call, enum phone_media_news what);
};

/* What protects the audio, in words for people (media_words.c, TR/100 10). All texts are constant.
 */
struct phone_media_security {
    const char *method; /* "none", "SDES", "DTLS-SRTP" */
    const char *suite;  /* NULL: none, or not agreed yet */
    bool is_encrypted, is_authenticated, is_forward_secret;
    bool is_pending;     /* agreed, but keys are not there: nothing is sent or heard until then */
    bool is_interim;     /* TR/100 recommendation 7 */
    const char *proof;   /* "nothing", "negotiated", "handshake", "media" */
    bool is_proven;      /* more than negotiated */
    const char *exposed; /* who can know the key: "anybody on its way", ... */
    const char *middle;  /* what keeps others from having put themselves between the ends */
    const char *sas;     /* "none": there are no strings to compare */
    const char *attack;  /* NULL: nothing of that kind was seen */
    uint64_t forged;     /* packets that were not authentic; not heard */
};
void phone_media_words(const struct keying_facts *facts, struct phone_media_security *ret);
/* "protected", "open", "attacked" (DESIGN: the security status), NULL: not known yet.
 * is_hop_private: our own signalling hop is encrypted and authenticated. */
const char *phone_media_level(const struct phone_media_security *s, bool is_hop_private);
/* All of it as a sentence. */
void phone_media_sentence(const struct phone_media_security *s, bool is_hop_private, char *dst,
                          size_t cap);

struct phone_media_figures {
    struct media_quality q;
    const char *codec;  /* NULL: nothing negotiated */
    struct addr remote; /* where it is sent; unset: nowhere */
    bool has_expected;  /* a tone was asked for ... */
    bool is_heard;      /* ... and heard */
    unsigned tonal_ms, loud_ms;
    uint64_t foreign; /* datagrams from elsewhere, or not authentic: not heard */
};

/* An exchange of offer and answer that is through. */
struct phone_media_exchange {
    const struct sdp *remote; /* the other side's description */
    int media;                /* its section */
    bool we_offered;
    bool is_hop_private; /* it came encrypted and authenticated (RFC 4568 8.3) */
    unsigned branch;     /* whose answer it is, if we_offered */
    enum sdp_dir dir;    /* what is left for us to do */
};

struct phone_media_ops {
    /* Sockets at this address (its port is not used), for one call. */
    int (*open)(void *arg, const struct addr *local, struct rand_source *rand,
                const struct phone_media_user *user, struct phone_media **ret, struct reason *why);
    void (*close)(struct phone_media *m); /* says goodbye (RTCP BYE), frees */
    /* The section of an offer: everything but direction and mid. Slices live in the arena.
     * ERR_REFUSED and the reason: policy has nothing that could be offered here. */
    int (*offer)(struct phone_media *m, struct arena *a, bool is_hop_private,
                 struct sdp_new_media *ret, struct reason *why);
    /* The section that answers `offer`'s, filled over sdp_answer_media's refusal. ERR_UNSUPPORTED:
     * this one is not for us. */
    int (*answer)(struct phone_media *m, struct arena *a, const struct sdp *offer, int media,
                  bool is_hop_private, struct sdp_new_media *ret, struct reason *why);
    /* What `answer` would say of the first offer of a call, without any effect. */
    int (*check)(struct phone_media *m, const struct sdp *offer, int media, bool is_hop_private,
                 struct reason *why);
    /* Offer and answer are through: from here on this holds. Also after every later exchange.
     * ERR_UNSUPPORTED or ERR_REFUSED and the reason where it cannot be (no common format, a key
     * that is missing): the call is then ended. */
    int (*agreed)(struct phone_media *m, const struct phone_media_exchange *x, struct reason *why);
    void (*rollback)(struct phone_media *m); /* our offer was refused, or our answer never went */
    /* No other answer to the INVITE's offer counts any more. */
    void (*settled)(struct phone_media *m);
    /* The first offer was refused: is there another way to offer? The next `offer` takes it. */
    bool (*next_way)(struct phone_media *m);
    int (*dial)(struct phone_media *m, struct str digits);
    bool (*is_dialling)(struct phone_media *m);
    void (*figures)(struct phone_media *m, struct phone_media_figures *ret);
    void (*security)(struct phone_media *m, struct phone_media_security *ret);
    bool (*failure)(struct phone_media *m, struct reason *ret); /* false: it has not failed */
};

/* RTP, protected by what policy allows. */
struct sound_config;
struct keying_policy;
struct phone_media_rtp {
    const struct sound_config *sound; /* what is played, recorded, expected */
    struct str codecs; /* names in the order to offer them, comma separated; empty: all */
    const struct keying_policy *keying;
};
extern const struct phone_media_ops phone_media_rtp_ops; /* its arg: struct phone_media_rtp */

#endif

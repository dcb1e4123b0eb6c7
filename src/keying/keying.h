/* Key management: one interface for every method that gives a leg its media keys. RFC 4567, RFC
 * 4568, RFC 3830, RFC 5763, RFC 5764, RFC 6189, TR/100 8.2.
 *
 * A method is a set of functions (struct keying_method) over a state machine of its own, one for
 * each medium of each leg. What goes in: the parsed description of an offer or an answer, packets
 * of the method's own protocol, the time, randomness. What comes out: attributes for our
 * description, packets to send, the time of the next tick, and keys to install with the facts that
 * say what they are worth. A method opens no socket, edits no SDP, and knows no other method.
 *
 * Around the methods of a leg stands the negotiator (struct keying_leg, leg.h): it asks those that
 * policy allows for their part of an offer, remembers what was offered, gives an answer to the
 * method that it belongs to, and refuses what was not offered. Callers talk to the leg.
 *
 * A leg is one dialog, or one branch of a fork: never do two branches share keys (TR/100 8.2.1.3).
 * What the media of a leg have in common (a session to resume, a ZRTP session key, a MIKEY exchange
 * for all media at once) a method keeps at the leg.
 *
 *   offering:  offer -> attributes ... answer came: accept;        refused: rollback
 *   answering: answer -> attributes;                               never sent: rollback
 *   any time:  packet, tick, tell;   after each call: next, until it gives nothing; then timer
 *
 * Ownership: a leg and all its methods' objects belong to one thread at a time. Handshakes cost up
 * to a millisecond: the owner may hand the leg to a pool for one call. */
#ifndef KEYING_KEYING_H
#define KEYING_KEYING_H

#include "base/addr.h"
#include "base/rand.h"
#include "base/sbuf.h"
#include "keying/facts.h"
#include "keying/keys.h"
#include "sdp/edit.h"

struct keying_leg;
struct keying_dtls_identity;

/* The world at the time of a call: the only clock and the only randomness. */
struct keying_at {
    uint64_t now_ms;  /* monotonic */
    uint64_t wall_ms; /* since 1970: MIKEY's timestamps, validity of certificates */
    struct rand_source *rand;
};

/* Where a packet came from or goes to: a flow of the medium. Without rtcp-mux RTP and RTCP have
 * each their own; with RTP that is not symmetric (RFC 4961), so has each direction
 * (TR/100 8.2.2.1). Bits of keying_install.paths. */
enum keying_path { KEYING_RTP, KEYING_RTCP, KEYING_RTP_BACK, KEYING_RTCP_BACK, KEYING_PATHS };

/* What policy says for one peer. Constant while a leg uses it. The zero value is the strictest that
 * offers nothing: see keying_policy_init. */
struct keying_policy {
    uint8_t methods[KEYING_METHODS]; /* enum keying_method_id, those allowed, the preferred first */
    size_t n_methods;
    uint8_t suites[KEYING_SUITES]; /* enum keying_suite_id, those allowed, the preferred first */
    size_t n_suites;
    bool best_effort;       /* OSRTP: keys if the peer has them, clear media if not (RFC 8643) */
    bool allow_unencrypted; /* session parameters of SDES and MIKEY that weaken: refused unless
                               named here */
    bool allow_unauthenticated;
    bool allow_sha1; /* fingerprints by SHA-1 alone */
    enum keying_roc roc;
    enum keying_rtcp_tag rtcp_tag;
    bool sdes_is_interim;   /* recommendation 7 */
    uint64_t sdes_lifetime; /* packets, said with our keys; 0: nothing is said */
    uint8_t sdes_mki_len;   /* 0: no MKI */
    uint8_t sdes_n_keys;    /* keys in each line; more than 1 needs an MKI */
    bool sdes_mki_mirror;   /* answer with an MKI, of the same length, exactly where the offer has
                               one: some peers insist */
    bool dtls_passive;      /* answer actpass with passive; otherwise active (RFC 5763 5) */
    uint32_t dtls_first_ms; /* first retransmission; doubles */
    uint32_t handshake_ms;  /* a handshake that takes longer has failed */
    struct keying_dtls_identity *identity;
};
/* DTLS-SRTP first, then SDES, as interim; suites of full strength; nothing weakened. identity stays
 * NULL: without one there is no DTLS-SRTP. */
void keying_policy_init(struct keying_policy *policy);
bool keying_policy_allows(const struct keying_policy *policy, enum keying_suite_id suite);

/* ---- between descriptions and methods ---- */

/* One section of a description that came. */
struct keying_heard {
    const struct sdp *sdp;
    int section;
    bool is_hop_private; /* it came encrypted and authenticated: RFC 4568 8.3 */
    bool is_moved; /* the peer's address or port differs from its last description's (RFC 8842 4) */
};

#define KEYING_ATTRS_MAX 24

/* Attributes for a section of our description. They may hold keys: wiped by keying_said_done. */
struct keying_said {
    struct sbuf text;
    struct sdp_new_attr attr[KEYING_ATTRS_MAX];
    size_t n;
    bool overflow;
};
static inline void keying_said_init(struct keying_said *said, char *buf, size_t cap)
{
    said->text = sbuf_make(buf, cap);
    said->n = 0;
    said->overflow = false;
}
void keying_said_done(struct keying_said *said);
/* Adds a=name:value; name is constant text, the value is copied. */
void keying_said_add(struct keying_said *said, const char *name, struct str value);

/* What our side wants of an offer or answer, beyond the policy. */
struct keying_wish {
    const struct keying_policy *policy;
    bool
        is_hop_private; /* it goes encrypted and authenticated: else no keys in it (RFC 4568 8.3) */
    bool rekey;         /* new keys, please, even if the old ones would do */
    bool is_moved;   /* our address or port differs from the last description's (RFC 4568 7.1.4, RFC
                        8842 3.2) */
    uint8_t paths;   /* bits of the paths that this medium has, as far as is known */
    uint8_t without; /* bits of methods (1 << id) not to be used this time: refused before */
    uint32_t ssrc;   /* of what we send, 0 if not known: MIKEY, ZRTP */
    struct str key_mgmt; /* the list of key-mgmt protocols offered, "mikey;...": RFC 4567 4.1.4 */
};

/* ---- what comes out ---- */

enum keying_event_kind {
    KEYING_EVENT_NONE,
    KEYING_EVENT_SEND,    /* a packet: path, to (if set), bytes */
    KEYING_EVENT_INSTALL, /* keys for the media plane */
    KEYING_EVENT_FACTS,   /* keying_facts have changed */
    KEYING_EVENT_ASK,     /* something that only the world knows: answer with keying tell */
    KEYING_EVENT_REKEY,   /* a new offer with wish.rekey is due: a key was seen by others, or nears
                             its limit */
    KEYING_EVENT_FAILED   /* no keys will come: reason */
};

enum keying_ask {
    KEYING_ASK_SIGN,    /* MIKEY: a signature by our key */
    KEYING_ASK_DECRYPT, /* MIKEY-RSA: the envelope */
    KEYING_ASK_VERIFY,  /* MIKEY: is this chain good for that identity? */
    KEYING_ASK_SECRETS, /* MIKEY-PSK, ZRTP: what we share with this peer */
    KEYING_ASK_STORE    /* ZRTP: keep this for the next call */
};

struct keying_install {
    uint8_t paths; /* bits: these keys protect RTP, RTCP or both */
    bool is_send;  /* what we send; else what we receive */
    bool drop_old; /* receiving: older keys are good no more, as soon as these have been used */
    const struct keying_keys *keys; /* the method's: good until the next call */
};

struct keying_event {
    enum keying_event_kind kind;
    int section;
    enum keying_path path;
    struct addr to;       /* not set: where the signalling says */
    const uint8_t *bytes; /* good until the next call into the leg */
    size_t n;
    struct keying_install install;
    enum keying_ask ask;
    uint32_t ask_id;
    struct reason reason; /* FAILED */
};

/* ---- what goes in besides descriptions and packets ---- */

enum keying_tell_kind {
    KEYING_TELL_MEDIA,     /* the first authentic SRTP packet on this path: the peer has the keys */
    KEYING_TELL_REKEY_DUE, /* media_srtp_stats.rekey_due */
    KEYING_TELL_BRANCHED,  /* another branch has answered: the keys of the offer are known to it */
    KEYING_TELL_NO_BRANCHES, /* no more answers to this offer will come */
    KEYING_TELL_ANSWERED,    /* our answer is on its way: no rollback any more */
    KEYING_TELL_SAS_SAME,    /* the users have compared */
    KEYING_TELL_SAS_DIFFERS,
    KEYING_TELL_ANSWER /* to KEYING_EVENT_ASK */
};

struct keying_tell {
    enum keying_tell_kind kind;
    enum keying_path path;
    uint32_t ask_id; /* ANSWER */
    int err;         /* ANSWER: 0, or why there is none */
    const uint8_t *bytes;
    size_t n;
};

/* ---- a method ---- */

/* Of every method's object the first member. */
struct keying_medium {
    const struct keying_method *method;
    struct keying_leg *leg;
    int section;
};

/* All functions may be called in any state; what does not fit is ERR_INVALID. `why` is filled
 * whenever the peer is to blame. After a failure of offer, answer or accept the state is as before
 * the call. */
struct keying_method {
    enum keying_method_id id;
    const char *name;
    bool keys_in_sdp; /* its attributes are secret: never over a hop that is not private */
    uint8_t first_byte_min, first_byte_max; /* its packets, RFC 7983; 0, 0: it has none */

    MUST_USE int (*new)(struct keying_medium **ret, struct keying_leg *leg, int section);
    void (*free)(struct keying_medium *m);
    void (*free_shared)(void *shared); /* what keying_leg_shared points to; NULL if the method keeps
                                          nothing there */
    /* Another answer to the same offer came (8842 8, 4568 7.3): a twin that has offered the same
     * and has no answer yet. */
    MUST_USE int (*fork)(struct keying_medium *m, struct keying_leg *leg,
                         struct keying_medium **ret);

    /* Is anything of this method in the section? The negotiator chooses by it. */
    bool (*is_heard)(const struct keying_heard *heard);
    MUST_USE int (*offer)(struct keying_medium *m, const struct keying_at *at,
                          const struct keying_wish *wish, struct keying_said *said,
                          struct reason *why);
    /* ERR_REFUSED: nothing in it that we take. ERR_AGAIN: an ask comes first; call again after its
     * answer. */
    MUST_USE int (*answer)(struct keying_medium *m, const struct keying_at *at,
                           const struct keying_wish *wish, const struct keying_heard *offer,
                           struct keying_said *said, struct reason *why);
    MUST_USE int (*accept)(struct keying_medium *m, const struct keying_at *at,
                           const struct keying_wish *wish, const struct keying_heard *answer,
                           struct reason *why);
    void (*rollback)(struct keying_medium *m); /* to before the last offer or answer */

    /* is_named: it comes from where the peer is known to be, by ICE or by media of before; of what the
     * descriptions name a method knows itself. */
    void (*packet)(struct keying_medium *m, const struct keying_at *at, enum keying_path path,
                   const struct addr *from, bool is_named, const uint8_t *p, size_t n);
    void (*tick)(struct keying_medium *m, const struct keying_at *at);
    uint64_t (*timer)(
        const struct keying_medium *m); /* now_ms of the next tick; UINT64_MAX: none */
    void (*tell)(struct keying_medium *m, const struct keying_at *at,
                 const struct keying_tell *tell);
    bool (*next)(struct keying_medium *m, struct keying_event *ret); /* false: nothing more */
    const struct keying_facts *(*facts)(const struct keying_medium *m);
};

/* A place at the leg for what its media have in common, one for each method. NULL: there is no leg
 * (tests). */
void **keying_leg_shared(struct keying_leg *leg, enum keying_method_id id);

/* Those that are built in; NULL for the others. */
const struct keying_method *keying_method_get(enum keying_method_id id);
extern const struct keying_method keying_sdes;
extern const struct keying_method keying_dtls;

#endif

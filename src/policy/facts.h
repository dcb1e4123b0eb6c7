/* The facts of one call, or of one message, from which its security status is computed: who is at
 * each end and how that is known, what is known of the signalling, and for each medium of each side
 * its keys and what vouches for them. TR/100 10, 7.3, 7.5, 7.7, 8.3, 8.5. Plain data; pure.
 *
 * A call has parties: 0 called, 1 was called, others are recorders and members of a conference that
 * we mix. Each party has one leg, which is what lies between it and us. Whoever learns something
 * writes it here and nobody works it out again; policy/status.h judges.
 *
 * Enumerations begin with the weakest, so that what nobody filled in is never taken for security
 * (those of identity/verify.h begin with the best: they count only beside POLICY_ID_VERIFIED, which
 * nothing but a verified signature sets).
 *
 * An edge gathers facts in a struct of its own with slices over the message, makes one block of its
 * own size of it with policy_facts_copy, and keeps that with the call. What changes in mid-call
 * without a new text or medium (keys, proof, a hop) is written into that block; else it fills in a
 * struct from the block, copies again and frees the old one. One thread at a time. */
#ifndef POLICY_FACTS_H
#define POLICY_FACTS_H

#include "base/limits.h"
#include "base/path.h"
#include "identity/verify.h"
#include "keying/facts.h"

/* --- Who --- */

enum policy_known {
    POLICY_ID_NONE,          /* nobody says who it is, or it wants to be anonymous */
    POLICY_ID_CLAIMED,       /* the party says so itself (From, Contact) */
    POLICY_ID_ASSERTED,      /* a system that we trust for it says so (RFC 3325) */
    POLICY_ID_SITE,          /* the site has authenticated to us, not its user (TR/100 7.6) */
    POLICY_ID_AUTHENTICATED, /* the user has authenticated to us */
    POLICY_ID_VERIFIED       /* signed by who may speak for it (RFC 8224; RFC 4474; RFC 3893) */
};
/* How it authenticated to us; the first two prove nothing. */
enum policy_how {
    POLICY_BY_NOTHING,
    POLICY_BY_SOURCE, /* its address alone */
    POLICY_BY_FLOW,   /* an earlier request on this connection was authenticated (TR/100 7.2.3) */
    POLICY_BY_DIGEST,
    POLICY_BY_BEARER, /* RFC 8898 */
    POLICY_BY_AKA,    /* RFC 3310, 4169 */
    POLICY_BY_CERTIFICATE
};

/* What a signed body says (S/MIME: RFC 3261 23, RFC 3893); edge/identity/smime.h has it in full. */
enum policy_smime {
    POLICY_SMIME_NONE,
    POLICY_SMIME_CONTRADICTED,
    POLICY_SMIME_BROKEN,
    POLICY_SMIME_STALE,
    POLICY_SMIME_UNVERIFIABLE,
    POLICY_SMIME_ENCRYPTED, /* for its recipient alone: nobody else can say */
    POLICY_SMIME_SIGNED,    /* it holds, and says nothing of who calls */
    POLICY_SMIME_NAMES      /* it holds, and says who calls */
};

struct policy_identity {
    enum policy_known known;
    enum policy_how how;
    enum identity_verdict verdict; /* of its signature, whatever else is known */
    enum identity_verdict worst;   /* of signatures beside a valid one (8224 6.2) */
    enum identity_authority authority;
    enum identity_reached reached; /* caller: is it for the one it goes to? Others: who was reached,
                                      against who was called (TR/100 7.5.4) */
    char attest;                   /* 'A', 'B', 'C' (RFC 8588), or 0 */
    bool by_user;                  /* signed with the user's own certificate (RFC 8862 4) */
    bool body_bound;               /* the whole body is under the signature */
    bool by_sha1;                  /* signed as RFC 4474 does it */
    bool is_unsigned_answer; /* has answered from another domain, and nobody has signed that (7.5.4) */
    const char *why;               /* code of the reason, unless valid or absent; constant text */
    enum policy_smime smime;
    const char *smime_why; /* the same of that one */
    struct str address;            /* "sip:alice@example1.com", "+4930..." */
    struct str by;                 /* who signed, asserted, or is the site */
    struct str diverted_by; /* who diverted it last, and has signed that (RFC 8946); empty: nobody */
    struct str called; /* who was called, where it is known to be another; empty: the same */
    struct str via; /* domain that rewrote the address (TR/100 7.5.3); empty: nobody */
    struct str asserted; /* who it is by the word of a peer that is believed (RFC 3325); empty: no such word */
    bool is_asserted_other; /* ... which phones are shown, and which is not who is verified */
};

/* --- Signalling --- */

/* Protection below SIP: TR/100 7.2.2. What is declared and what was seen are two things. */
enum policy_below_kind {
    POLICY_BELOW_NONE,
    POLICY_BELOW_LOCK, /* a locked room */
    POLICY_BELOW_8021X,
    POLICY_BELOW_VPN,
    POLICY_BELOW_IPSEC
};
enum policy_below_check {
    POLICY_BELOW_GONE,     /* the declaration has ended, or looking showed that it is not so */
    POLICY_BELOW_DECLARED, /* cannot be looked at */
    POLICY_BELOW_CHECKED   /* the kernel's policy was seen */
};
struct policy_below {
    enum policy_below_kind kind;
    enum policy_below_check check;
    struct str by;    /* who declared it */
    uint64_t until_s; /* seconds since 1970; 0: no end */
};

/* A hop of ours: what we have seen ourselves. */
struct policy_hop {
    enum transport transport;
    bool secure;        /* TLS, WSS */
    bool authenticated; /* both ends know each other: certificate with its name, or the phone
                           checked ours and has authenticated */
    bool forward_secret;
    const char *version, *cipher; /* as in struct hop_facts; constant texts, NULL if clear */
    struct policy_below below;
    struct str peer; /* who is at its other end */
};

/* What is known of the hops behind our own: TR/100 7.3. */
enum policy_beyond {
    POLICY_BEYOND_CLEAR,       /* one of them is, as its Via or our configuration says */
    POLICY_BEYOND_UNKNOWN,     /* there may be some */
    POLICY_BEYOND_CLAIMED,     /* sips, or Via: others say that they are secured */
    POLICY_BEYOND_PROVISIONED, /* our configuration says so, for that domain */
    POLICY_BEYOND_NONE         /* there is none: the party is at the end of our hop */
};

/* --- Media --- */

enum policy_media_kind {
    POLICY_MEDIA_OTHER,
    POLICY_MEDIA_AUDIO,
    POLICY_MEDIA_VIDEO,
    POLICY_MEDIA_TEXT,
    POLICY_MEDIA_IMAGE
};
/* What vouches that the keys on this leg are the party's: TR/100 8.3. A compared SAS is in the
 * keying facts. */
enum policy_bound {
    POLICY_BOUND_NONE,
    POLICY_BOUND_US,     /* its description came from it along hops that we authenticated, alone */
    POLICY_BOUND_DOMAIN, /* under the signature of its domain ("mky", RFC 4474, S/MIME) */
    POLICY_BOUND_USER    /* under the user's own signature */
};
/* What we do with what arrives on this leg. */
enum policy_relay {
    POLICY_RELAY_CLEAR,       /* this leg is in the clear behind us (TR/100 8.4 approach 1) */
    POLICY_RELAY_REENCRYPTED, /* other keys on each side of us (approach 2) */
    POLICY_RELAY_PASSED       /* untouched, or not by us at all: the parties have the keys */
};

struct policy_medium {
    enum policy_media_kind kind;
    uint8_t section; /* index of its m= line */
    enum policy_bound bound;
    enum policy_relay relay;
    struct str bound_by; /* the domain or user that signed */
    struct policy_below below;
    struct keying_facts keys;
};

/* --- The whole --- */

enum policy_ends_at {
    POLICY_ENDS_UNKNOWN,
    POLICY_ENDS_GATEWAY,       /* the telephone network, where nothing is known (TR/100 7.7) */
    POLICY_ENDS_MAYBE_GATEWAY, /* there are hints */
    POLICY_ENDS_CONFERENCE,    /* whose members we do not see */
    POLICY_ENDS_RECORDER,      /* ours (TR/100 8.4) */
    POLICY_ENDS_USER
};
/* Hints of a gateway that does not say so (gap 2). Bits. */
enum {
    POLICY_HINT_ATTEST_C = 1, /* RFC 8588: gateway attestation */
    POLICY_HINT_NO_KEYS = 2,  /* a number is signed, its media keys are not */
    POLICY_HINT_CARRIER = 4   /* a number in a carrier's domain */
};

struct policy_party {
    enum policy_ends_at ends_at;
    unsigned hints; /* POLICY_HINT_... */
    struct policy_identity identity;
    enum policy_beyond beyond;
    uint8_t n_hops, n_media;
    struct policy_hop *hops;
    struct policy_medium *media;
};

enum policy_subject {
    POLICY_CALL,
    POLICY_MESSAGE
};                                     /* MESSAGE: what is said is in the signalling */
enum { POLICY_CALLER, POLICY_CALLEE }; /* the first two parties */

struct policy_facts {
    enum policy_subject subject;
    bool is_emergency; /* RFC 6881: nothing here may stop it */
    uint8_t n_parties;
    struct policy_party *parties;
};

/* Facts from what other rooms found. The hop's other end counts as authenticated if its certificate
 * is good; set it as well where a phone authenticated along it. Slices stay slices. */
struct policy_hop policy_hop_from(const struct hop_facts *hop, enum transport transport,
                                  struct str peer);
/* VERIFIED if the verdict is VALID; else CLAIMED, with the verdict. `address`: what the message
 * shows; `signer`: the domain or number range that the certificate speaks for. Hints of a gateway
 * that lie in the result are returned (`has_keys`: the message has media keys). */
unsigned policy_identity_from(const struct identity_result *result, struct str address,
                              struct str signer, bool has_keys, struct policy_identity *ret);
/* What of `bound` a result is worth for the fingerprints of its message; and for keys of every other
 * kind in it, which nothing vouches for but a signature over the whole body. */
enum policy_bound policy_bound_from(const struct identity_result *result);
enum policy_bound policy_body_bound_from(const struct identity_result *result);

/* One block of memory with everything in it; texts are cut at LIMIT_POLICY_TEXT. ERR_NOMEM, and
 * ERR_LIMIT beyond LIMIT_POLICY_PARTIES, _HOPS or _MEDIA. */
MUST_USE int policy_facts_copy(const struct policy_facts *f, struct policy_facts **ret);
void policy_facts_free(struct policy_facts *f); /* NULL is fine */

const char *policy_known_text(enum policy_known v); /* "verified" ... */
const char *policy_how_text(enum policy_how v);
const char *policy_smime_text(enum policy_smime v); /* "names" ... */
const char *policy_below_kind_text(enum policy_below_kind v);
const char *policy_below_check_text(enum policy_below_check v);
const char *policy_beyond_text(enum policy_beyond v);
const char *policy_media_kind_text(enum policy_media_kind v);
const char *policy_bound_text(enum policy_bound v);
const char *policy_relay_text(enum policy_relay v);
const char *policy_ends_at_text(enum policy_ends_at v);

#endif

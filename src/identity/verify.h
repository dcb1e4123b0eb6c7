/* The verification service: RFC 8224 6.2, RFC 8946 4.2 and 5.1, RFC 8588, RFC 8862 4.4, RFC 9475,
 * RFC 9970, RFC 4474 6; what its verdicts mean for the call is TR/100 7.4.2, 7.5.3 and gap 1.
 *
 * Three steps, because certificates have to be fetched in between and nothing here waits:
 *
 *     identity_check_new(...)             parses every Identity value, decides what needs no key
 *     identity_check_urls(...)            the certificates that are asked for
 *     identity_check_set_credential(...)  each of them, when it was found or was not
 *     identity_check_finish(...)          verdict, reasons and facts
 *
 * Every value is judged by itself; one valid one is enough (8224 6.2.1), and the worst of the
 * others is told beside it; but what a user has signed with its own certificate about its keys is
 * not outweighed by anybody who signs others (8862 4.4), nor what a number's holder has by a
 * provider. The verdicts:
 *
 *   VALID         signed by somebody who may speak for the originator, over what the message shows
 *   ABSENT        no Identity value, or none of a kind that we know (8224 6.2 step 1): says nothing
 *   UNVERIFIABLE  the certificate was not to be had (436), or is not trusted or not supported (437)
 *   STALE         signed too long ago, or too far in the future (403)
 *   BROKEN        the signature does not hold, or holds over other addresses than the message now
 *                 shows, or the value is malformed (438): SBCs do such things
 *   CONTRADICTED  the signature holds, and the message contradicts it where no honest network does:
 *                 other media keys, another body, a certificate that may not speak for the
 *                 originator or may not make the claim, a replay (438). The only one that is an
 *                 attack
 *
 * A compact token that does not hold is BROKEN whatever the cause, since nobody can tell what was
 * signed; signers who want a changed fingerprint to be recognised as an attack send the full form.
 *
 * Of a response ("rsp") nothing but the token says who answers. It is compared with who was called:
 * the same; another, and the signer may speak for who was called as well, so that the very domain
 * that was called says who answers for it (PROVEN); another, and no more than that (UNPROVEN). A
 * response takes no other type, and a request does not take this one: else the one could be cut out
 * and pasted into the other.
 *
 * A signature of RFC 4474 is looked at where the message comes with what it needs (`rfc4474`) and
 * there is no PASSporT to go by. Who changes an address, a Contact or a byte of the body breaks it, as
 * B2BUAs do; that is BROKEN and no attack. Its domain signs for the address in From as a URI, for a
 * number in it as well (RFC 4474 11): that the number is somebody's it does not say.
 *
 * Where it deviates: the destination may be found in To (8224 4.1) or in the Request-URI, since
 * many networks rewrite To; which of them it was is a fact. Claims are compared with the message
 * instead of rebuilding a full token from it (8224 6.2.4 allows both orders): the signature is over
 * the bytes that were sent. Pure; one thread per check; everything in the caller's arena. */
#ifndef IDENTITY_VERIFY_H
#define IDENTITY_VERIFY_H

#include "identity/credential.h"
#include "identity/identity_hdr.h"
#include "identity/replay.h"

enum identity_verdict { /* from best to worst */
                        IDENTITY_VALID,
                        IDENTITY_ABSENT,
                        IDENTITY_UNVERIFIABLE,
                        IDENTITY_STALE,
                        IDENTITY_BROKEN,
                        IDENTITY_CONTRADICTED,
};
struct str identity_verdict_text(enum identity_verdict v);

/* Who is reached, against who was called when it was signed (8224 12.1.1, 8946). */
enum identity_reached {
    IDENTITY_REACHED_SAME,     /* signed for the one the request now goes to */
    IDENTITY_REACHED_PROVEN,   /* diverted, each step signed by the one who diverted */
    IDENTITY_REACHED_UNPROVEN, /* signed for To; the request goes elsewhere and nobody says why */
    IDENTITY_REACHED_CONTRADICTORY, /* diversions are signed, but not by those who may, or elsewhere
                                     */
};
struct str identity_reached_text(enum identity_reached r);

/* What the message shows, in canonical form (identity/canon.h), from parsed headers. */
struct identity_message {
    bool is_response;
    struct passport_id orig; /* From; or PAI, by policy. Of a response: To, who was called (when it
                                is signed: who answers) */
    struct passport_id orig_also; /* what it was before a domain on the way rewrote it (TR/100 7.5.3),
                                     as policy says; text.p == NULL: it did not */
    struct passport_id to;   /* To. Of a response: From, who called */
    struct passport_id target;      /* Request-URI; text.p == NULL in responses */
    const struct passport_id *also; /* other names of the one it is for (8946 4.2 item 1) */
    size_t n_also;
    bool has_date;
    uint64_t date_s;
    const struct passport_key *mky; /* canon_keys of the session description */
    size_t n_mky;
    struct str body; /* for "msg" */
    /* What a signature of RFC 4474 is over; NULL: policy does not want to know of such */
    const struct rfc4474_message *rfc4474;
};

struct identity_policy {
    uint64_t now_s;
    uint32_t max_age_s;       /* 8224 4.1: 60 recommended */
    uint32_t max_ahead_s;     /* the same the other way, for clocks that are fast */
    uint32_t inner_max_age_s; /* what was diverted since: 8946 4.2 item 4, up to three hours */
    unsigned algs;            /* JWS_BIT()s */
    unsigned types;           /* PASSPORT_BIT()s; others are ignored */
    bool allow_unsigned_keys; /* fingerprints in the message, but no "mky": tolerated, not bound */
    bool allow_provider;      /* IDENTITY_BY_PROVIDER is authority enough (SHAKEN) */
    unsigned rsa_min_bits;    /* of keys for RFC 4474 */
};
/* 60 seconds both ways, ES256, every type but "rph", which says nothing of who calls; RSA keys of
 * RFC4474_RSA_BITS. */
struct identity_policy identity_policy_default(uint64_t now_s);

/* One PASSporT, of a header or from the "opt" of another. */
struct identity_token {
    struct passport p; /* RFC 4474: as if there were one; its input is the digest-string */
    bool is_compact, is_rfc4474;
    int inner;  /* index of the token in its "opt"; -1: none */
    int outer;  /* index of the token that it was found in; -1: of a header */
    int header; /* index of the Identity value */
    int url;    /* index of its certificate; -1: not asked for */
    enum identity_verdict verdict;
    struct reason why;                 /* unless VALID */
    enum identity_authority authority; /* of the signer over orig, or over div */
    bool signature_holds;
    bool in_chain;           /* a diversion that leads from the token it rests on to the target */
    bool is_decided;         /* inside: no key can change the verdict */
    bool needs_chain;        /* inside: too old for itself, not for the innermost of a chain */
    struct identity_tag tag; /* of the signature, once it was checked for replay */
};

struct identity_result {
    enum identity_verdict verdict;
    struct reason why; /* unless VALID: code, clause and SIP status (428, 436, 437, 438, 403) */
    enum identity_verdict worst; /* of those that were not needed; VALID: none of them is wrong */
    struct reason worst_why;
    const struct identity_token
        *token; /* what VALID rests on; else the one that `why` is of, or NULL */
    const struct identity_token *tokens;
    size_t n_tokens;
    bool has_too_many; /* values or tokens beyond LIMIT_IDENTITY_* were not looked at */
    /* Facts, if VALID: */
    enum identity_authority authority;
    enum identity_reached reached;
    size_t n_diversions;
    bool keys_bound;   /* the message has media keys, and they are the signed ones */
    bool body_bound;   /* the whole body is signed ("msgi", RFC 4474) */
    bool by_rfc4474;   /* with SHA-1 */
    bool by_user; /* "msec" or "rsp", signed with the user's own certificate (8862 4, 4.3) */
    bool date_differs; /* Date was changed on the way, or is not there */
    char attest;       /* 'A', 'B', 'C', or 0 */
};

struct identity_check;

/* `values`: of the Identity headers, in any order; n may be 0. `m`, `policy` and what they point to
 * must live as long as the check. ERR_NOMEM only: what is wrong with a value becomes its verdict.
 */
MUST_USE int identity_check_new(struct arena *a, const struct str *values, size_t n,
                                const struct identity_message *m,
                                const struct identity_policy *policy, struct identity_check **ret);
/* The addresses of certificates that a verdict depends on, each once. Those that are not https were
 * sorted out. */
size_t identity_check_urls(const struct identity_check *c, const struct str **ret);
/* What was found at the i-th of them. It must live as long as the check. */
void identity_check_set_credential(struct identity_check *c, size_t i,
                                   const struct identity_credential *cred);
/* Addresses without a credential count as not to be had. `replay` may be NULL: then replays are not
 * looked for. ERR_NOMEM. */
MUST_USE int identity_check_finish(struct identity_check *c, struct identity_replay *replay,
                                   const struct identity_use *use, struct identity_result *ret);

#endif

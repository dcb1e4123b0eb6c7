/* The facts of a call as its messages show them, kept with its record (calls.c): who is on each
 * side and how that is known, our hops both ways, and what offer and answer agree on. TR/100 10,
 * 7.2, 7.3, 7.5, 7.7, 8.2. Kept small, since every call has them; policy's own form
 * (policy/facts.h) is made of them when somebody asks: a header for a phone, a rule, `status`,
 * `explain`, the end of the call. Of anchored calls the media's facts are those of the media plane
 * (anchor/facts.h). Worker thread. */
#ifndef EDGE_STATUS_FACTS_H
#define EDGE_STATUS_FACTS_H

#include "edge/edge_priv.h"
#include "policy/facts.h"

/* One m= line, of one description or of an offer and its answer. */
struct facts_medium {
    uint8_t kind;    /* enum policy_media_kind */
    uint8_t methods; /* bits of enum keying_method_id: what there are lines for */
    uint8_t method;  /* enum keying_method_id: agreed, or the best one offered */
    uint8_t attacks; /* KEYING_ATTACK_... */
    bool is_off;     /* port 0 */
    bool is_secure;  /* its profile needs keys */
    bool is_agreed;
    uint8_t weak;                     /* FACTS_... of the SDES line that was taken */
    const struct keying_suite *suite; /* of SDES; NULL: not known here */
};
enum { FACTS_RTP_PLAIN = 1, FACTS_RTCP_PLAIN = 2, FACTS_RTP_UNSIGNED = 4 };
struct facts_media {
    uint64_t keys, other_keys; /* of a side (facts_fingerprints): FACTS_KEYS_CALLER, FACTS_KEYS_CALLEE */
    uint8_t n; /* 0: no description, or none that can be read */
    struct facts_medium v[LIMIT_FACTS_MEDIA];
};
/* One section of a description; its keys as keying says it. */
struct sdp;
void facts_read(const struct sdp *s, int section, struct facts_medium *ret);
struct keying_facts facts_keys(const struct facts_medium *m);
/* What is left of its methods where the other side has only these. */
void facts_both(struct facts_medium *m, const struct facts_medium *other);
/* The description in a message's body. False: there is none. */
bool facts_describe(const struct sip_msg *m, struct facts_media *ret);
/* What an answer makes of an offer (RFC 3264 6). */
void facts_agree(const struct facts_media *offer, const struct facts_media *answer,
                 struct facts_media *ret);
/* What descriptions of one transaction, or its ACK, mean. */
enum facts_said { FACTS_OFFER, FACTS_ANSWER, FACTS_AGREED, FACTS_KEYS_CALLER, FACTS_KEYS_CALLEE };

struct facts_party {
    struct policy_identity identity; /* texts: of the call's record, or of `text` */
    struct policy_hop hop;
    enum policy_beyond beyond;
    enum policy_ends_at ends_at;
    enum policy_bound signed_bound; /* what its signature is worth for fingerprints */
    uint64_t signed_keys;           /* ... which are these (facts_fingerprints) */
    enum policy_bound body_bound;   /* ... and for keys of other kinds, since the whole body is signed */
    uint64_t signed_other;          /* (facts_other_keys) */
    unsigned hints;
    bool is_shown; /* what is asserted of it, to the other side's phone */
    bool is_of_peer; /* ... by the domain that it names */
    bool is_focus; /* it has said last that it is a conference (RFC 4579) */
    char *text; /* what is not the record's */
};
struct facts_call {
    bool is_emergency, has_callee;
    struct facts_party party[2]; /* POLICY_CALLER, POLICY_CALLEE */
    uint64_t answer_tag, answer_said; /* To tag and body that the callee's signature came with; 0: none */
    uint64_t unsigned_tag, unsigned_said; /* of a description without one that the caller has got; 0: none */
    bool has_unsigned;                    /* ... and of another one */
    uint64_t user[2]; /* principal_id of a user of ours on that side; 0: somebody else */
    uint64_t told[2]; /* hash of the status that its phone was told last (status/events.h) */
    const void *callee_of;    /* names the branch that the callee is of, once all is known of it */
    struct facts_media offer; /* of calls that are not anchored: the last offer, ... */
    struct facts_media media; /* ... and what it was agreed on; none yet: n is 0 */
};
void facts_said(struct facts_call *f, enum facts_said said, const struct facts_media *media);
/* The same for a call's record, whatever worker has it (calls.c). */
void calls_said(struct edge_worker *w, uint32_t slot, uint32_t gen, enum facts_said said,
                const struct facts_media *media);

/* The hop that a side's part of an exchange within the call came along: it may have moved. Texts of the hop stay. */
void facts_hop(struct facts_call *f, unsigned side, const struct policy_hop *hop);
void calls_hop(struct edge_worker *w, uint32_t slot, uint32_t gen, unsigned side, const struct hop_facts *hop,
               enum transport transport);

/* The caller, as the request shows; texts as `from` and `by` (the record's copies of From's URI and
 * of the principal). */
void facts_caller(struct facts_call *f, const struct edge_req *r, struct str from, struct str by);
/* Who is on that side by the word of a peer that is believed. */
void facts_asserted(struct facts_call *f, unsigned side, struct str who, bool is_shown, bool is_of_peer);
/* The caller once its signatures have been judged: r->vouch. */
void facts_vouched(struct facts_call *f, const struct edge_req *r, struct str from);
/* Who has signed for this URI, in words or as its host. */
struct str facts_signer(enum identity_authority a, struct str uri);
/* smime_facts.c: ... and what its body says, signed: r->smime, whatever else is known. */
void facts_smime(struct facts_call *f, const struct edge_req *r, struct str from);
/* The same of who has answered; `called`: whom the call was to. */
struct smime_vouch;
void facts_smime_answered(struct facts_party *p, const struct smime_vouch *v, struct str called,
                          struct arena *a);
/* Within the call: what its sender's keys are bound by now. NULL: its body is not signed. */
void facts_smime_later(struct facts_call *f, unsigned side, const struct smime_vouch *v,
                       struct arena *a);
/* Who has answered, once the answer's signature has been judged; `called`: whom the call was to.
 * New texts are in `a`. */
void facts_answered(struct facts_party *p, const struct identity_vouch *v, struct str called,
                    struct arena *a);
/* Who is called along a path, or has answered: then `hop` is what the answer came by. */
void facts_callee(struct facts_party *p, const struct edge_req *r, const struct edge_target *t,
                  const struct path *out, const struct hop_facts *hop, bool is_redirected);
/* The same for good: its texts are copied. A callee without a name, for want of memory, is still
 * one. */
/* What a message of this side says of itself besides: that it is a conference, or none any more. */
void facts_focus(struct facts_call *f, unsigned side, const struct sip_msg *m);
void facts_set_callee(struct facts_call *f, const struct facts_party *p);
/* Within the call one side has said something that was accepted, signed (`v`) or not: who it is now
 * (RFC 4916), and whether its keys are still signed ones. `first`: the side's address when the call
 * began; `called`: whom the call was to. */
void facts_in_dialog(struct facts_call *f, unsigned side, const struct sip_msg *m,
                     const struct identity_vouch *v, struct str first, struct str called);
/* Names the fingerprints in a body; the lines about keys of other kinds; 0: there are none. */
uint64_t facts_fingerprints(struct str body);
uint64_t facts_other_keys(struct str body);
/* The same of a message; of a body in which keys may be that cannot be read here: never those of
 * one that can, nor of another. */
uint64_t facts_fingerprints_of(const struct sip_msg *m);
uint64_t facts_other_keys_of(const struct sip_msg *m);
/* A message within the dialog, of one of its sides, whatever worker has the call: fingerprints, or
 * other keys, that are not the signed ones are bound to nobody. */
void facts_later(struct edge_worker *w, uint32_t slot, uint32_t gen, const struct sip_msg *m,
                 bool by_caller);
void facts_done(struct facts_call *f);

/* What of the keys of a medium the party's description is bound by (TR/100 8.3). */
enum policy_bound facts_bound(const struct facts_party *p, const struct keying_facts *keys);

struct anchor_branch;
struct facts_ask {
    const struct facts_party *callee;   /* instead of the one that has answered; NULL: that one */
    uint32_t anchor_slot, anchor_gen;   /* whose media pass through us; 0: they do not */
    const struct anchor_branch *branch; /* ... that has not answered yet; NULL: the call's */
    bool is_weakest; /* of what is offered, the weakest that may come of it; else the best */
};
/* policy's form; everything in the arena. ERR_NOMEM. */
MUST_USE int facts_make(const struct edge_worker *w, const struct facts_call *f,
                        const struct facts_ask *ask, struct arena *a, struct policy_facts **ret);

#endif

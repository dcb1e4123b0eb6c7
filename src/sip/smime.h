/* S/MIME in the body of a SIP message: what is signed, by what, and what is encrypted (RFC 3261 23,
 * RFC 8551 3, RFC 1847 2.1; RFC 3893 for the bodies that say who calls). Here it is only found and
 * taken apart; pki/cms.h verifies. Pure; slices of the message, or in the caller's arena. */
#ifndef SIP_SMIME_H
#define SIP_SMIME_H

#include "sip/msg.h"

enum sip_smime_kind {
    SIP_SMIME_DETACHED,  /* multipart/signed: the signature stands beside what it is over */
    SIP_SMIME_OPAQUE,    /* application/pkcs7-mime of smime-type signed-data: it is inside */
    SIP_SMIME_ENCRYPTED, /* for its recipient alone: enveloped-data, authEnveloped-data */
    SIP_SMIME_OTHER      /* certificates alone, compressed: nothing that concerns us */
};

struct sip_smime {
    enum sip_smime_kind kind;
    struct str entity; /* DETACHED: the very bytes that are signed, header and body */
    struct str cms;    /* as it stands; p == NULL: DETACHED with no signature of this kind in it */
    bool is_base64;    /* else it is binary, as is the rule in SIP (RFC 3261 7.4.1) */
};

/* The layers of S/MIME in a body, in its order; the outermost of each alone (RFC 3261 23.3: "the
 * outermost signature should be treated as the single certificate for this body"). *ret_n holds the
 * capacity in, the number out; what there is no room for is left out. ERR_SYNTAX, ERR_LIMIT: the
 * body cannot be read; `why`. */
MUST_USE int sip_smime_find(const struct sip_msg *m, struct sip_smime *ret, size_t *ret_n,
                            struct reason *why);
/* Could there be any? A look at the type alone, for the many that have none. */
bool sip_smime_is_possible(const struct sip_msg *m);
/* The bytes of base64 text as MIME writes it, in lines (RFC 2045 6.8). ERR_SYNTAX, ERR_NOMEM. */
MUST_USE int sip_base64_lines(struct arena *a, struct str text, struct str *ret);

#endif

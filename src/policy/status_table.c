/* The reasons of status.h as data: code, clause, words, the level that each keeps a call from, and
 * the best answer to each expectation of TR/100 10 that it leaves. Pure. */
#include "base/err.h"
#include "policy/status.h"

/* Answers in the order of enum policy_question: who, device, changed, heard, signalled, secret. */
#define NO POLICY_NO
#define UN POLICY_NOT_KNOWN
#define HO POLICY_BY_HOPS
#define DO POLICY_BY_DOMAINS
#define US POLICY_BY_USERS

#define ROW(id, code_, level, clause_, who, device, changed, heard, signalled, text_, remedy_)     \
    [id] = {code_, clause_, text_, remedy_, level, {who, device, changed, heard, signalled, US}}

static const struct policy_why_info whys[POLICY_WHYS] = {
    /* attacked: who tampers with one part is believed in none */
    ROW(POLICY_IDENTITY_CONTRADICTED, "identity-contradicted", POLICY_OPEN, "RFC 8224 6.2.2", NO,
        NO, NO, NO, UN,
        "A signature holds, and the message contradicts what was signed: somebody on the way has "
        "changed it, or pretends to be somebody else.",
        "Hang up. Tell whoever runs the network which call it was."),
    ROW(POLICY_MEDIA_FINGERPRINT_WRONG, "media-fingerprint-wrong", POLICY_OPEN, "RFC 5763 5", UN,
        NO, NO, NO, UN,
        "The other end of the media has shown another certificate than the signalling announced: "
        "somebody has put himself in between.",
        "Hang up. Tell whoever runs the network which call it was."),
    ROW(POLICY_MEDIA_SAS_DIFFERS, "media-sas-differs", POLICY_OPEN, "RFC 6189 7", UN, NO, NO, NO,
        UN,
        "The short strings that both users see differ, or a key kept from an earlier call does "
        "not fit: somebody may have put himself in between.",
        "Hang up and call again; compare the strings."),

    /* keeps from protected */
    ROW(POLICY_HOP_CLEAR, "hop-clear", POLICY_PROTECTED, "TR/100 7.2.1", US, US, US, US, NO,
        "The signalling crosses a hop without encryption.",
        "Use TLS on that hop, or declare how it is protected otherwise."),
    ROW(POLICY_HOP_PROTECTION_GONE, "hop-protection-gone", POLICY_PROTECTED, "TR/100 7.2.2", US, US,
        US, US, NO,
        "The signalling crosses a hop without TLS whose declared protection has ended or was not "
        "found.",
        "Put the declared protection in place again, or use TLS."),
    ROW(POLICY_HOP_UNSEEN, "hop-unseen", POLICY_PROTECTED, "TR/100 7.3", US, US, US, US, UN,
        "Nothing is known of the signalling to one of the parties.", NULL),
    ROW(POLICY_HOP_NOT_AUTHENTICATED, "hop-not-authenticated", POLICY_PROTECTED, "TR/100 7.2.1", US,
        US, US, US, UN,
        "A hop of the signalling is encrypted, but who is at its other end was not checked.",
        "Trust a certificate of that system, and check its name."),
    ROW(POLICY_HOP_OLD_TLS, "hop-old-tls", POLICY_PROTECTED, "RFC 9325 3.1.1", US, US, US, US, UN,
        "A hop of the signalling uses a version of TLS that is no longer safe.",
        "Let that system speak TLS 1.2 or 1.3."),
    ROW(POLICY_BEYOND_IS_CLEAR, "beyond-clear", POLICY_PROTECTED, "TR/100 7.3", US, US, US, US, NO,
        "Behind our own hops the signalling crosses one without encryption.",
        "Ask the peer to use TLS throughout."),
    ROW(POLICY_MEDIA_CLEAR, "media-clear", POLICY_PROTECTED, "TR/100 8", US, NO, NO, NO, US,
        "Media is not encrypted.", "Use a phone, and a peer, that speak SRTP."),
    ROW(POLICY_MEDIA_CLEAR_INSIDE, "media-clear-inside", POLICY_PROTECTED, "TR/100 8.4", US, NO, NO,
        NO, US, "Media is decrypted at our edge and goes on inside without encryption.",
        "Let the edge encrypt it again on the inside."),
    ROW(POLICY_MEDIA_PROTECTION_GONE, "media-protection-gone", POLICY_PROTECTED, "TR/100 8", US, NO,
        NO, NO, US,
        "Media is not encrypted, and the declared protection of its path has ended or was not "
        "found.",
        "Put the declared protection in place again, or use SRTP."),
    ROW(POLICY_MEDIA_UNENCRYPTED, "media-unencrypted", POLICY_PROTECTED, "TR/100 8.1", US, US, US,
        NO, US, "Media is authenticated, but not encrypted.",
        "Take UNENCRYPTED_SRTP and NULL ciphers out of what is allowed."),
    ROW(POLICY_MEDIA_UNAUTHENTICATED, "media-unauthenticated", POLICY_PROTECTED, "RFC 3711 9.5", US,
        NO, NO, US, US,
        "Media is encrypted, but not authenticated: what is heard may come from anybody.",
        "Take UNAUTHENTICATED_SRTP out of what is allowed."),
    ROW(POLICY_MEDIA_CONTROL_UNENCRYPTED, "media-control-unencrypted", POLICY_PROTECTED,
        "RFC 3711 3.4", US, US, US, HO, US,
        "The reports beside the media (RTCP) are not encrypted: who listens learns who sends how "
        "much, and what the reports name.",
        "Take UNENCRYPTED_SRTCP out of what is allowed."),

    /* keeps from secure: who */
    ROW(POLICY_IDENTITY_NONE, "identity-none", POLICY_SECURE, "TR/100 7.5", UN, UN, US, US, US,
        "Nobody says who the other party is.", NULL),
    ROW(POLICY_IDENTITY_CLAIMED, "identity-claimed", POLICY_SECURE, "TR/100 7.5", UN, UN, US, US,
        US, "The other party only claims its identity; nothing proves it.",
        "Let its domain sign its calls (RFC 8224)."),
    ROW(POLICY_IDENTITY_ASSERTED, "identity-asserted", POLICY_SECURE, "TR/100 7.5.1", HO, HO, US,
        US, US,
        "The identity of the other party is asserted by a system that we trust, and by nobody "
        "that could be held to it: there is no signature.",
        "Let its domain sign its calls (RFC 8224)."),
    ROW(POLICY_IDENTITY_SITE_ONLY, "identity-site-only", POLICY_SECURE, "TR/100 7.6", HO, HO, US,
        US, US, "The site is authenticated, its user is not.",
        "Let the site sign its calls (RFC 8224)."),
    ROW(POLICY_IDENTITY_BY_ADDRESS, "identity-by-address", POLICY_SECURE, "TR/100 7.1", UN, UN, US,
        US, US, "The other party is known by its network address alone.",
        "Let it authenticate: by certificate or by digest."),
    ROW(POLICY_IDENTITY_BROKEN, "identity-broken", POLICY_SECURE, "RFC 8224 6.2.2", US, US, US, US,
        US,
        "A signature of the identity does not hold: a network on the way has changed the message, "
        "or the signature was never good.",
        "Ask networks on the way to leave signed calls as they are."),
    ROW(POLICY_IDENTITY_STALE, "identity-stale", POLICY_SECURE, "RFC 8224 6.2 step 4", US, US, US,
        US, US, "The signature of the identity is too old, or dated too far in the future.",
        "Check that the clocks at both ends are right."),
    ROW(POLICY_IDENTITY_UNVERIFIABLE, "identity-unverifiable", POLICY_SECURE, "RFC 8224 6.2 step 3",
        US, US, US, US, US,
        "The identity is signed, but its certificate was not to be had, or nothing of ours trusts "
        "it.",
        "Trust the signer's certification authority for identities."),
    ROW(POLICY_IDENTITY_ATTEST, "identity-partial-attest", POLICY_SECURE, "RFC 8588 4", HO, HO, US,
        US, US,
        "The signer does not say that the other party may use this number: only that it knows its "
        "customer, or where the call came in.",
        NULL),
    ROW(POLICY_IDENTITY_REWRITTEN, "identity-rewritten", POLICY_SECURE, "TR/100 7.5.3", HO, HO, US,
        US, US, "A domain on the way has put its own name into the other party's address.",
        "Ask that domain to leave addresses as they are."),
    ROW(POLICY_IDENTITY_OPEN_HOP, "identity-over-open-hop", POLICY_SECURE, "TR/100 7.3", UN, UN, US,
        US, US,
        "Who the other party is was said along a hop on which anybody could have changed it.",
        "Use TLS on that hop."),
    ROW(POLICY_IDENTITY_ASSERTED_OTHER, "identity-asserted-other", POLICY_SECURE, "TR/100 7.5.1", HO,
        HO, US, US, US,
        "A system that we trust asserts another address than the one that is signed, and phones may "
        "show that one.",
        "Take away allow-asserted-identity of that system, or let what it asserts be signed."),
    ROW(POLICY_REACHED_CONTRADICTORY, "reached-contradictory", POLICY_SECURE, "RFC 8946 4.2", UN,
        UN, US, US, US,
        "The call was diverted, and what is signed of the diversions does not lead to who was "
        "reached.",
        "Let every domain that diverts sign it (RFC 8946)."),
    ROW(POLICY_REACHED_UNPROVEN, "reached-unproven", POLICY_SECURE, "TR/100 7.5.4", HO, HO, US, US,
        US, "The call has reached another party than was called, and nobody proves why.",
        "Let every domain that diverts sign it (RFC 8946)."),

    ROW(POLICY_ANSWER_UNSIGNED, "answer-not-signed", POLICY_SECURE, "TR/100 7.5.4", UN, UN, US, US,
        US,
        "Who has answered has proven nothing: the answer came from another domain, and nobody has "
        "signed it.",
        "Let that domain sign its answers (RFC 9970), or say by UPDATE who is there (RFC 4916)."),

    /* ... where it ends */
    ROW(POLICY_ENDS_AT_GATEWAY, "ends-at-gateway", POLICY_SECURE, "TR/100 7.7", HO, HO, HO, HO, UN,
        "The call goes on into the telephone network, where nothing is known of its security.",
        "Call an address of the other party that does not lead through a gateway."),
    ROW(POLICY_MAY_END_AT_GATEWAY, "may-end-at-gateway", POLICY_SECURE, "TR/100 7.7", HO, HO, HO,
        HO, UN,
        "The call may go on into the telephone network: there are hints, and nothing that tells.",
        "Call an address of the other party that does not lead through a gateway."),
    ROW(POLICY_ENDS_AT_CONFERENCE, "ends-at-conference", POLICY_SECURE, "TR/100 10", HO, HO, HO, HO,
        US, "The call ends at a conference whose other members cannot be seen from here.", NULL),
    ROW(POLICY_END_UNKNOWN, "end-unknown", POLICY_SECURE, "TR/100 7.7", HO, HO, HO, HO, US,
        "It is not known where the call ends.", NULL),

    /* ... the keys */
    ROW(POLICY_MEDIA_BID_DOWN, "media-bid-down", POLICY_SECURE, "TR/100 8.2", US, HO, HO, HO, US,
        "The answer took what was not offered, or lacked what was: somebody may have weakened it "
        "on the way.",
        NULL),
    ROW(POLICY_MEDIA_SEEN_BY_BRANCHES, "media-seen-by-branches", POLICY_SECURE, "TR/100 8.2.1.3",
        US, UN, UN, UN, US, "Other phones that rang have seen the media keys.",
        "Wait until the keys have been changed."),
    ROW(POLICY_MEDIA_NOT_AGREED, "media-not-agreed", POLICY_SECURE, "TR/100 8.2", US, UN, UN, UN,
        US, "No media keys are agreed yet.", NULL),
    ROW(POLICY_MEDIA_KNOWN_TO_HOPS, "media-known-to-hops", POLICY_SECURE, "TR/100 8.2.1.3", US, HO,
        HO, HO, US, "Every system that the signalling passes has seen the media keys.",
        "Use DTLS-SRTP in place of keys in the signalling."),
    ROW(POLICY_MEDIA_NOT_BOUND, "media-not-bound", POLICY_SECURE, "TR/100 8.3", US, HO, HO, HO, US,
        "Nothing that is signed says whose the media keys are: a system on the way could have put "
        "itself in between.",
        "Let the other domain sign the fingerprints of its calls and answers (RFC 8224, 4916)."),
    ROW(POLICY_MEDIA_BOUND_BY_HOPS, "media-bound-by-hops", POLICY_SECURE, "TR/100 7.4", US, HO, HO,
        HO, US,
        "Hops of the signalling alone vouch for the media keys, and not all of them were seen and "
        "checked.",
        "Use TLS on that hop, or sign what goes along it (RFC 8224)."),
    ROW(POLICY_MEDIA_OPEN_HOP, "media-over-open-hop", POLICY_SECURE, "TR/100 7.3", US, UN, UN, UN, US,
        "What the media keys rest on crossed a hop on which anybody could have read or changed it.",
        "Use TLS on that hop."),
    ROW(POLICY_MEDIA_CLEAR_BELOW, "media-clear-below", POLICY_SECURE, "TR/100 8", US, HO, HO, HO,
        US, "Media is not encrypted itself; its path is protected by other means.",
        "Use SRTP there as well."),
    ROW(POLICY_MESSAGE_IN_SIGNALLING, "message-in-signalling", POLICY_SECURE, "TR/100 7.4", US, HO,
        US, HO, US, "Every system that the signalling passes can read the message.", NULL),
    ROW(POLICY_MESSAGE_NOT_SIGNED, "message-not-signed", POLICY_SECURE, "RFC 9475", US, HO, HO, US,
        US, "Nothing signed covers the text of the message.",
        "Let its domain sign messages (RFC 9475)."),

    /* keeps from end to end */
    ROW(POLICY_IDENTITY_BY_US, "identity-by-us", POLICY_END_TO_END, "TR/100 7.1", DO, DO, US, US,
        US, "The other party has authenticated to its domain, which is ours, and has not signed.",
        NULL),
    ROW(POLICY_IDENTITY_WEAK_HASH, "identity-weak-hash", POLICY_END_TO_END, "RFC 6194 3.1", DO, US,
        DO, US, US,
        "The identity is signed as RFC 4474 does it, with SHA-1: a user of that domain with money "
        "to spend might have made it sign something else.",
        "Let its domain sign its calls as RFC 8224 does it."),
    ROW(POLICY_MEDIA_REENCRYPTED, "media-reencrypted", POLICY_END_TO_END, "TR/100 8.4", US, DO, DO,
        DO, US, "Our edge decrypts the media and encrypts it again.",
        "Let the edge pass the media through where both phones can do the same."),
    ROW(POLICY_MEDIA_BOUND_BY_DOMAIN, "media-bound-by-domain", POLICY_END_TO_END, "TR/100 7.4.2",
        US, DO, DO, DO, US,
        "The domain of the other party vouches for the media keys, not the party itself.",
        "Compare the short strings (ZRTP), or use phones with certificates of their users."),
    ROW(POLICY_MEDIA_SHARED_SECRET, "media-shared-secret", POLICY_END_TO_END, "TR/100 8.2.1.1", US,
        DO, DO, DO, US, "All who hold a secret that was shared beforehand can have the media keys.",
        NULL),
    ROW(POLICY_RECORDED, "recorded", POLICY_END_TO_END, "TR/100 8.4", US, DO, US, DO, US,
        "The call is recorded.", NULL),

    /* remarks */
    ROW(POLICY_IDENTITY_BY_DOMAIN, "identity-by-domain", POLICY_LEVELS, "TR/100 7.5.3", DO, US, US,
        US, US, "The domain of the other party vouches for its identity, not the party itself.",
        NULL),
    ROW(POLICY_IDENTITY_BY_FLOW, "identity-by-flow", POLICY_LEVELS, "TR/100 7.2.3", DO, DO, US, US,
        US, "The other party has authenticated earlier on the same connection, not for this call.",
        "Take away allow-flow-auth."),
    ROW(POLICY_IDENTITY_OTHER_WRONG, "identity-other-wrong", POLICY_LEVELS, "RFC 8224 6.2", US, US,
        US, US, US, "Beside the signature that holds there is another that does not.", NULL),
    ROW(POLICY_SMIME_NOT_VALID, "smime-not-valid", POLICY_LEVELS, "RFC 3261 23.2", US, US, US, US, US,
        "The body is signed (S/MIME), and that signature proves nothing here: it cannot be "
        "verified, is not of now, or does not hold.",
        NULL),
    ROW(POLICY_BODY_ENCRYPTED, "body-encrypted", POLICY_LEVELS, "RFC 8551 3.3", US, US, US, US, US,
        "The body is encrypted for its recipient (S/MIME): nobody on the way, us included, knows "
        "what it says of media.",
        NULL),
    ROW(POLICY_REACHED_DIVERTED, "reached-diverted", POLICY_LEVELS, "RFC 8946 4.2", US, US, US, US,
        US, "The call was diverted, and who diverted it has signed that.", NULL),
    ROW(POLICY_HOP_DECLARED, "hop-declared", POLICY_LEVELS, "TR/100 7.2.2", US, US, US, US, HO,
        "A hop of the signalling has no TLS that counts; that its path is protected otherwise is "
        "declared and cannot be checked.",
        "Use TLS on that hop as well."),
    ROW(POLICY_HOP_CHECKED, "hop-checked", POLICY_LEVELS, "TR/100 7.2.2", US, US, US, US, HO,
        "A hop of the signalling has no TLS that counts; the protection of its path was checked.",
        NULL),
    ROW(POLICY_HOP_NO_FORWARD_SECRECY, "hop-no-forward-secrecy", POLICY_LEVELS, "RFC 9325 4.1", US,
        US, US, US, HO,
        "Who gets the private key of a hop later can read what was signalled on it today.",
        "Let that system speak TLS 1.3."),
    ROW(POLICY_BEYOND_IS_UNKNOWN, "beyond-unknown", POLICY_LEVELS, "TR/100 7.3", US, US, US, US, UN,
        "Nothing is known of the hops of the signalling behind our own.", NULL),
    ROW(POLICY_BEYOND_IS_CLAIMED, "beyond-claimed", POLICY_LEVELS, "TR/100 7.3", US, US, US, US, UN,
        "Others say that the hops behind our own are secured; that cannot be checked.", NULL),
    ROW(POLICY_BEYOND_IS_PROVISIONED, "beyond-provisioned", POLICY_LEVELS, "TR/100 7.3", US, US, US,
        US, HO, "The hops behind our own are secured by agreement with that domain.", NULL),
    ROW(POLICY_MEDIA_NOT_PROVEN, "media-not-proven", POLICY_LEVELS, "TR/100 8.2", US, US, US, US,
        US, "Media keys are agreed; that they are used was not seen from here.", NULL),
    ROW(POLICY_MEDIA_NO_FORWARD_SECRECY, "media-no-forward-secrecy", POLICY_LEVELS, "TR/100 8.2",
        US, US, US, US, US,
        "Who gets the keys of the signalling later can decrypt media that was recorded today.",
        "Use DTLS-SRTP or ZRTP."),
    ROW(POLICY_MEDIA_TAG_SHORT, "media-tag-short", POLICY_LEVELS, "RFC 3711 7.5", US, US, US, US,
        US, "Packets are authenticated with 32 bits only.", "Prefer suites with 80 bits or more."),
    ROW(POLICY_MEDIA_INTERIM, "media-interim", POLICY_LEVELS, "TR/100 recommendation 7", US, US, US,
        US, US, "The way that the media keys were agreed is a solution for the time being.",
        "Use DTLS-SRTP."),
    ROW(POLICY_MEDIA_FORGED_PACKETS, "media-forged-packets", POLICY_LEVELS, "RFC 3711 3.3", US, US,
        US, US, US, "Packets that are not authentic came in and were thrown away.", NULL),
    ROW(POLICY_MEDIA_FAILED_HANDSHAKES, "media-failed-handshakes", POLICY_LEVELS, "RFC 5764 4", US,
        US, US, US, US, "Attempts to agree on keys came to nothing, whoever made them.", NULL),
};

#undef NO
#undef UN
#undef HO
#undef DO
#undef US

const struct policy_why_info *policy_why_info(enum policy_why why)
{
    return (unsigned)why < POLICY_WHYS ? &whys[why] : NULL;
}

static const struct {
    const char *code, *text;
} levels[POLICY_LEVELS] = {
    [POLICY_ATTACKED] = {"attacked", "Attacked"},       [POLICY_OPEN] = {"open", "Open"},
    [POLICY_PROTECTED] = {"protected", "Protected"},    [POLICY_SECURE] = {"secure", "Secure"},
    [POLICY_END_TO_END] = {"end-to-end", "End to end"},
};

const char *policy_level_code(enum policy_level level)
{
    return (unsigned)level < POLICY_LEVELS ? levels[level].code : "?";
}

const char *policy_level_text(enum policy_level level)
{
    return (unsigned)level < POLICY_LEVELS ? levels[level].text : "?";
}

int policy_level_parse(struct str code, enum policy_level *ret)
{
    for (unsigned i = 0; i < POLICY_LEVELS; i++) {
        if (str_eq(code, str_z(levels[i].code))) {
            *ret = (enum policy_level)i;
            return 0;
        }
    }
    return ERR_NOTFOUND;
}

static const struct {
    const char *code, *text;
    const char *answers[POLICY_BY_USERS + 1];
} questions[POLICY_QUESTIONS] = {
    [POLICY_Q_WHO] = {"who",
                      "Is the other party the one that is shown?",
                      {"No: what is shown is contradicted.", "Nothing proves it.",
                       "As far as every system on the way can be trusted.",
                       "Yes, as far as its domain can be trusted.", "Yes, it has signed itself."}},
    [POLICY_Q_DEVICE] =
        {"device",
         "Is what I say and hear sent to, and received from, a device of that party only?",
         {"No.", "Nothing proves it.", "As far as every system on the way can be trusted.",
          "Yes, as far as the two domains at the ends can be trusted.", "Yes."}},
    [POLICY_Q_CHANGED] = {"unchanged",
                          "Is it excluded that somebody changes on the way what is said?",
                          {"No.", "Nothing proves it.",
                           "As far as every system on the way can be trusted.",
                           "Yes, as far as the two domains at the ends can be trusted.", "Yes."}},
    [POLICY_Q_HEARD] = {"unheard",
                        "Is it excluded that somebody listens on the way?",
                        {"No.", "Nothing proves it.",
                         "As far as every system on the way can be trusted.",
                         "Yes, as far as the two domains at the ends can be trusted.", "Yes."}},
    [POLICY_Q_SIGNALLED] = {"signalling",
                            "Is the signalling private?",
                            {"No.", "On our own hops at most; nothing proves it for the others.",
                             "On the way between systems; each of them can read it.",
                             "Between the two domains at the ends.", "Yes."}},
    [POLICY_Q_SECRET] = {"secret",
                         "Is it assured that nobody learns of the call?",
                         {"No: every system on the way knows of it, and whoever has its records.",
                          "Nothing proves it.", "", "", ""}},
};

const char *policy_question_code(enum policy_question q)
{
    return (unsigned)q < POLICY_QUESTIONS ? questions[q].code : "?";
}

const char *policy_question_text(enum policy_question q)
{
    return (unsigned)q < POLICY_QUESTIONS ? questions[q].text : "?";
}

const char *policy_answer_code(enum policy_answer a)
{
    static const char *const codes[] = {"no", "not-known", "by-hops", "by-domains", "yes"};

    return (unsigned)a < ARRAY_LEN(codes) ? codes[a] : "?";
}

const char *policy_answer_text(enum policy_question q, enum policy_answer a)
{
    return (unsigned)q < POLICY_QUESTIONS && (unsigned)a <= POLICY_BY_USERS
               ? questions[q].answers[a]
               : "?";
}

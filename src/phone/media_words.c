/* What is known of a call's keys (keying/facts.h) in words for people. TR/100 10. Pure. */
#include "base/sbuf.h"
#include "phone/media.h"

static const char *method_words(enum keying_method_id id)
{
    static const char *const words[KEYING_METHODS] = {"none", "SDES", "MIKEY", "DTLS-SRTP", "ZRTP"};
    return words[id];
}

static const char *exposed_words(enum keying_known_to known_to)
{
    switch (known_to) {
    case KEYING_KNOWN_ENDS:
        return "nobody but the two ends";
    case KEYING_KNOWN_SHARED:
        return "all who share the secret";
    case KEYING_KNOWN_HOPS:
        return "every server that the signalling passes";
    case KEYING_KNOWN_ANYBODY:
        break;
    }
    return "anybody on its way";
}

static const char *middle_words(enum keying_middle middle)
{
    switch (middle) {
    case KEYING_MIDDLE_EXCLUDED:
        return "nobody is in between";
    case KEYING_MIDDLE_IF_SAS_OK:
        return "nobody is in between if both read the same string";
    case KEYING_MIDDLE_IF_SDP_OK:
        return "nobody is in between if the servers passed the signalling on unchanged";
    case KEYING_MIDDLE_CAN:
        break;
    }
    return "somebody may be in between";
}

static const char *proof_words(enum keying_proof proof)
{
    static const char *const words[] = {"nothing", "negotiated", "handshake", "media"};
    return words[proof];
}

static const char *attack_words(unsigned attacks)
{
    if (attacks & KEYING_ATTACK_FINGERPRINT)
        return "somebody answered with another certificate than the signalling announced";
    if (attacks & KEYING_ATTACK_SAS)
        return "the strings differ";
    if (attacks & KEYING_ATTACK_NOT_OFFERED)
        return "the answer takes what was not offered";
    if (attacks & KEYING_ATTACK_STRIPPED)
        return "the keys were taken out of the answer";
    return NULL;
}

void phone_media_words(const struct keying_facts *f, struct phone_media_security *ret)
{
    bool has_suite = f->suite != NULL, is_pending = f->method != KEYING_CLEAR && !has_suite;
    *ret = (struct phone_media_security){
        .method = method_words(f->method),
        .suite = has_suite ? f->suite->name : NULL,
        .is_encrypted = has_suite && f->suite->cipher != KEYING_NULL && !f->unencrypted_rtp,
        .is_authenticated = has_suite && !f->unauthenticated_rtp,
        .is_forward_secret = f->forward_secret,
        .is_pending = is_pending,
        .is_interim = f->is_interim,
        .proof = proof_words(f->proof),
        .is_proven = f->proof >= KEYING_PROOF_HANDSHAKE,
        .exposed = is_pending ? "nobody yet" : exposed_words(f->known_to),
        .middle = is_pending ? "not known yet" : middle_words(f->middle),
        .sas = f->sas[0] == '\0' ? "none"
               : f->sas_compared ? "compared"
                                 : "not compared",
        .attack = attack_words(f->attacks),
        .forged = f->auth_failures};
}

const char *phone_media_level(const struct phone_media_security *s, bool is_hop_private)
{
    if (s->attack != NULL)
        return "attacked";
    if (s->is_pending)
        return NULL;
    return s->is_encrypted && s->is_authenticated && is_hop_private ? "protected" : "open";
}

static void put_keys(struct sbuf *b, const struct phone_media_security *s)
{
    sbuf_fmt(b, "%s with %s, %sforward secret, %s", s->method, s->suite,
             s->is_forward_secret ? "" : "not ",
             s->is_proven ? "proven" : "negotiated but not proven yet");
    if (s->is_proven)
        sbuf_fmt(b, " by %s", strcmp(s->proof, "media") == 0 ? "what is heard" : "the handshake");
    sbuf_fmt(b, "; the key is known to %s; %s", s->exposed, s->middle);
    if (strcmp(s->sas, "none") == 0)
        sbuf_lit(b, " (there is no string to compare)");
    if (s->is_interim)
        sbuf_lit(b, "; an interim method");
}

void phone_media_sentence(const struct phone_media_security *s, bool is_hop_private, char *dst,
                          size_t cap)
{
    struct sbuf b = sbuf_make(dst, cap - 1);
    const char *level = phone_media_level(s, is_hop_private);
    if (s->attack != NULL)
        sbuf_fmt(&b, "ATTACKED, %s; ", s->attack);
    if (s->is_pending)
        sbuf_fmt(&b, "%s agreed, no keys yet; no sound until there are", s->method);
    else if (s->is_encrypted)
        put_keys(&b, s);
    else if (s->suite != NULL)
        sbuf_fmt(&b, "%s without encryption, %s can listen", s->method, "anybody on its way");
    else
        sbuf_fmt(&b, "clear RTP, %s can listen", s->exposed);
    if (s->attack == NULL && level != NULL)
        sbuf_fmt(&b, "; the call is %s%s", level,
                 s->is_encrypted ? is_hop_private ? "" : ", since its signalling is clear"
                                 : ", whatever the signalling");
    dst[b.n] = '\0';
}

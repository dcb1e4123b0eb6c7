/* What descriptions show of a call's media and their keys (facts.h). RFC 3264 6; RFC 4568 8, RFC
 * 5763 5, RFC 6189 8.1, RFC 8643. Worker thread. */
#include "edge/anchor/anchor_priv.h"
#include "edge/status/facts.h"
#include "keying/sdes_line.h"

#define BIT(m) ((uint8_t)(1u << (m)))

/* ---- descriptions ---- */

static enum policy_media_kind media_kind(enum sdp_kind k)
{
    switch (k) {
    case SDP_AUDIO:
        return POLICY_MEDIA_AUDIO;
    case SDP_VIDEO:
        return POLICY_MEDIA_VIDEO;
    case SDP_TEXT:
        return POLICY_MEDIA_TEXT;
    case SDP_IMAGE:
        return POLICY_MEDIA_IMAGE;
    case SDP_OTHER:
    case SDP_APPLICATION:
    case SDP_MESSAGE:
        break;
    }
    return POLICY_MEDIA_OTHER;
}

/* Of a profile that is not known here: is it one over TLS or DTLS ("TCP/TLS/MSRP",
 * "UDP/DTLS/SCTP")? */
static bool is_over_tls(struct str proto)
{
    struct str part;

    while (proto.n) {
        proto = str_cut(proto, '/', &part);
        if (str_eq_nocase(part, STR("TLS")) || str_eq_nocase(part, STR("DTLS")))
            return true;
    }
    return false;
}

/* A fingerprint of the whole description is of those sections whose profile uses it: where the
 * profile has no keys, only the section's own lines tell (RFC 8643 3.1), and what is no RTP then
 * has none at all. */
static uint8_t methods_of(const struct sdp *s, int i)
{
    const struct sdp_media *sm = &s->media[i];
    bool is_secure = sdp_proto_is_secure(sm->proto) ||
                     (sm->proto == SDP_PROTO_OTHER && is_over_tls(sm->proto_text));
    uint8_t m = 0;

    if (!is_secure && !sdp_proto_is_rtp(sm->proto))
        return 0;
    if (sdp_has(s, i, SDP_A_FINGERPRINT) ||
        (is_secure && sdp_has(s, SDP_SESSION, SDP_A_FINGERPRINT)))
        m |= BIT(KEYING_DTLS);
    if (sdp_has(s, i, SDP_A_CRYPTO))
        m |= BIT(KEYING_SDES);
    if (sdp_has(s, i, SDP_A_KEY_MGMT) || (is_secure && sdp_has(s, SDP_SESSION, SDP_A_KEY_MGMT)))
        m |= BIT(KEYING_MIKEY);
    if (sdp_has(s, i, SDP_A_ZRTP_HASH))
        m |= BIT(KEYING_ZRTP);
    return m;
}

static enum keying_method_id first_of(const enum keying_method_id *order, uint8_t methods)
{
    for (size_t i = 0; i < 4; i++)
        if (methods & BIT(order[i]))
            return order[i];
    return KEYING_CLEAR;
}

/* The best of several; a profile of DTLS takes nothing else (RFC 5764 8). */
static enum keying_method_id best_of(uint8_t methods)
{
    static const enum keying_method_id order[] = {KEYING_DTLS, KEYING_MIKEY, KEYING_SDES,
                                                  KEYING_ZRTP};

    return first_of(order, methods);
}

/* Of several that an answer leaves open the one that proves least: which of them is used nobody
 * sees here. */
static enum keying_method_id least_of(uint8_t methods)
{
    static const enum keying_method_id order[] = {KEYING_SDES, KEYING_MIKEY, KEYING_ZRTP,
                                                  KEYING_DTLS};

    return first_of(order, methods);
}

void facts_both(struct facts_medium *m, const struct facts_medium *other)
{
    m->methods &= other->methods;
    m->method = (uint8_t)least_of(m->methods);
}

/* An answer has one line; of an offer the first one is what is preferred. */
static void read_crypto(const struct sdp *s, int i, struct facts_medium *m)
{
    const struct sdp_line *l = sdp_attr(s, i, SDP_A_CRYPTO, 0);
    struct sdes_line line;
    struct reason why = {0};

    if (!l || sdes_line_parse(l->arg, &line, &why) != 0)
        return;
    m->suite = line.keys.suite;
    m->weak = (uint8_t)((line.keys.unencrypted_rtp ? FACTS_RTP_PLAIN : 0) |
                        (line.keys.unencrypted_rtcp ? FACTS_RTCP_PLAIN : 0) |
                        (line.keys.unauthenticated_rtp ? FACTS_RTP_UNSIGNED : 0));
    sdes_line_wipe(&line);
}

void facts_read(const struct sdp *s, int i, struct facts_medium *m)
{
    const struct sdp_media *sm = &s->media[i];

    *m = (struct facts_medium){.kind = (uint8_t)media_kind(sm->kind),
                               .methods = methods_of(s, i),
                               .is_off = sdp_media_is_rejected(s, i),
                               .is_secure = sdp_proto_is_secure(sm->proto)};
    if (sdp_proto_is_dtls(sm->proto))
        m->methods &= BIT(KEYING_DTLS);
    if (m->methods & BIT(KEYING_SDES))
        read_crypto(s, i, m);
    m->method = (uint8_t)best_of(m->methods);
}

/* The least of all media counts: those that there is no room for are judged with the last one. */
static void fold(struct facts_medium *last, const struct facts_medium *one)
{
    if (last->is_off) {
        *last = *one;
        return;
    }
    last->methods &= one->methods;
    last->method = (uint8_t)best_of(last->methods);
    last->weak |= one->weak;
}

/* m=KIND PORT PROFILE of a description without a line about keys. */
static bool glance_medium(struct str line, struct facts_medium *ret)
{
    struct str kind, port, proto, rest = str_cut(line, ' ', &kind);
    uint32_t n;

    rest = str_cut(rest, ' ', &port);
    if (!str_cut(rest, ' ', &proto).n || str_to_u32(port, UINT16_MAX, &n) != 0 ||
        (!str_eq(proto, STR("RTP/AVP")) && !str_eq(proto, STR("RTP/AVPF"))))
        return false;
    *ret = (struct facts_medium){.is_off = n == 0, .method = KEYING_CLEAR};
    if (str_eq(kind, STR("audio")))
        ret->kind = POLICY_MEDIA_AUDIO;
    else if (str_eq(kind, STR("video")))
        ret->kind = POLICY_MEDIA_VIDEO;
    else
        return false;
    return true;
}

/* Does the attribute change what is known of the keys, or of whether the medium is on? */
static bool is_telling(struct str attribute)
{
    static const struct {
        char name[12];
        uint8_t n;
    } telling[] = {
        {"crypto", 6}, {"fingerprint", 11}, {"key-mgmt", 8}, {"zrtp-hash", 9}, {"bundle-only", 11}};

    for (size_t i = 0; i < ARRAY_LEN(telling); i++)
        if (attribute.n >= telling[i].n && attribute.p[0] == telling[i].name[0] &&
            memcmp(attribute.p, telling[i].name, telling[i].n) == 0)
            return true;
    return false;
}

/* Most calls through here whose media we do not touch have plain RTP: what there is to know of such
 * a description, an index of its lines is not needed for. False: it has to be parsed. */
static bool glance(struct str text, struct facts_media *ret)
{
    struct str line;

    ret->n = 0;
    if (text.n < 5 || memcmp(text.p, "v=0", 3) != 0)
        return false;
    while (text.n) {
        text = str_cut(text, '\n', &line);
        if (line.n < 2 || line.p[1] != '=')
            return line.n < 2 && !text.n && ret->n > 0;
        line = str_make(line.p + 2, line.n - 2);
        if (line.p[-2] == 'm' &&
            (ret->n == LIMIT_FACTS_MEDIA || !glance_medium(line, &ret->v[ret->n++])))
            return false;
        if (line.p[-2] == 'a' && is_telling(line))
            return false;
    }
    return ret->n > 0;
}

bool facts_describe(const struct sip_msg *m, struct facts_media *ret)
{
    struct reason why = {0};
    struct str text;
    struct sdp *s;

    ret->n = 0;
    if (!m->body.n || anchor_body_find(m, &text, &why) != 0 || !text.n)
        return false;
    if (glance(text, ret))
        return true;
    ret->n = 0;
    if (sdp_parse(m->arena, text, &s, &why) != 0)
        return false;
    for (unsigned i = 0; i < s->n_media; i++) {
        struct facts_medium one;

        facts_read(s, (int)i, &one);
        if (ret->n < LIMIT_FACTS_MEDIA)
            ret->v[ret->n++] = one;
        else if (!one.is_off)
            fold(&ret->v[LIMIT_FACTS_MEDIA - 1], &one);
    }
    return ret->n > 0;
}

static void agree_one(const struct facts_medium *o, const struct facts_medium *a,
                      struct facts_medium *ret)
{
    /* RFC 3264 6.1: the answer has the profile of the offer. One without keys says that there are none, whatever lines
     * are left in it; a signature over fingerprints does not cover it (RFC 8225 5.2.2). */
    bool is_stripped = o->is_secure && !a->is_secure;
    uint8_t both = is_stripped ? 0 : o->methods & a->methods;

    *ret = *a;
    ret->is_agreed = true;
    facts_both(ret, o);
    if (is_stripped)
        ret->method = KEYING_CLEAR;
    if (a->is_off)
        return;
    if (!both && a->methods && !is_stripped)
        ret->attacks = KEYING_ATTACK_NOT_OFFERED;
    else if (!both && (a->is_secure || is_stripped))
        ret->attacks = KEYING_ATTACK_STRIPPED;
    if (ret->method != KEYING_SDES) {
        ret->suite = NULL;
        ret->weak = 0;
    }
}

void facts_agree(const struct facts_media *offer, const struct facts_media *answer,
                 struct facts_media *ret)
{
    struct facts_media both = {.n = offer->n < answer->n ? offer->n : answer->n};

    for (unsigned i = 0; i < both.n; i++)
        agree_one(&offer->v[i], &answer->v[i], &both.v[i]);
    *ret = both;
}

struct keying_facts facts_keys(const struct facts_medium *m)
{
    struct keying_facts f = keying_facts_clear();

    f.method = (enum keying_method_id)m->method;
    f.attacks = m->attacks;
    if (f.method == KEYING_CLEAR)
        return f;
    f.suite = m->suite;
    f.unencrypted_rtp = (m->weak & FACTS_RTP_PLAIN) != 0;
    f.unencrypted_rtcp = (m->weak & FACTS_RTCP_PLAIN) != 0;
    f.unauthenticated_rtp = (m->weak & FACTS_RTP_UNSIGNED) != 0;
    f.proof = m->is_agreed ? KEYING_PROOF_NEGOTIATED : KEYING_PROOF_NONE;
    if (f.method == KEYING_DTLS || f.method == KEYING_ZRTP) {
        f.known_to = KEYING_KNOWN_ENDS;
        f.forward_secret = f.excludes_passive = true;
        f.middle = f.method == KEYING_DTLS ? KEYING_MIDDLE_IF_SDP_OK : KEYING_MIDDLE_IF_SAS_OK;
    } else { /* of MIKEY we do not look inside: it may be without encryption */
        f.known_to = KEYING_KNOWN_HOPS;
        f.is_interim = f.method == KEYING_SDES;
    }
    if (f.method == KEYING_ZRTP) /* both can; whether they do is settled in the media */
        f.proof = KEYING_PROOF_NONE;
    return f;
}

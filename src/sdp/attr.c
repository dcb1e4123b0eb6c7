/* Names: attributes, profiles (RFC 8866 6, 8.2.3; each attribute's own RFC), and the character
 * classes of RFC 8866 9. Pure functions, any thread. */
#include "sdp/sdp_priv.h"

static const struct str names[SDP_A_N] = {
    [SDP_A_RTPMAP] = SDP_NAME("rtpmap"),
    [SDP_A_FMTP] = SDP_NAME("fmtp"),
    [SDP_A_PTIME] = SDP_NAME("ptime"),
    [SDP_A_MAXPTIME] = SDP_NAME("maxptime"),
    [SDP_A_SENDRECV] = SDP_NAME("sendrecv"),
    [SDP_A_SENDONLY] = SDP_NAME("sendonly"),
    [SDP_A_RECVONLY] = SDP_NAME("recvonly"),
    [SDP_A_INACTIVE] = SDP_NAME("inactive"),
    [SDP_A_CRYPTO] = SDP_NAME("crypto"),           /* RFC 4568 */
    [SDP_A_FINGERPRINT] = SDP_NAME("fingerprint"), /* RFC 8122 */
    [SDP_A_SETUP] = SDP_NAME("setup"),             /* RFC 4145, 8842 */
    [SDP_A_CONNECTION] = SDP_NAME("connection"),   /* RFC 4145 */
    [SDP_A_TLS_ID] = SDP_NAME("tls-id"),           /* RFC 8842 */
    [SDP_A_KEY_MGMT] = SDP_NAME("key-mgmt"),       /* RFC 4567 */
    [SDP_A_ZRTP_HASH] = SDP_NAME("zrtp-hash"),     /* RFC 6189 8 */
    [SDP_A_ICE_UFRAG] = SDP_NAME("ice-ufrag"),     /* RFC 8839 */
    [SDP_A_ICE_PWD] = SDP_NAME("ice-pwd"),
    [SDP_A_ICE_OPTIONS] = SDP_NAME("ice-options"),
    [SDP_A_ICE_LITE] = SDP_NAME("ice-lite"),
    [SDP_A_ICE_MISMATCH] = SDP_NAME("ice-mismatch"),
    [SDP_A_ICE_PACING] = SDP_NAME("ice-pacing"),
    [SDP_A_CANDIDATE] = SDP_NAME("candidate"),
    [SDP_A_END_OF_CANDIDATES] = SDP_NAME("end-of-candidates"), /* RFC 8840 */
    [SDP_A_REMOTE_CANDIDATES] = SDP_NAME("remote-candidates"),
    [SDP_A_RTCP] = SDP_NAME("rtcp"),                   /* RFC 3605 */
    [SDP_A_RTCP_MUX] = SDP_NAME("rtcp-mux"),           /* RFC 5761 */
    [SDP_A_RTCP_MUX_ONLY] = SDP_NAME("rtcp-mux-only"), /* RFC 8858 */
    [SDP_A_RTCP_RSIZE] = SDP_NAME("rtcp-rsize"),       /* RFC 5506 */
    [SDP_A_RTCP_FB] = SDP_NAME("rtcp-fb"),             /* RFC 4585 */
    [SDP_A_GROUP] = SDP_NAME("group"),                 /* RFC 5888, 8843 */
    [SDP_A_MID] = SDP_NAME("mid"),
    [SDP_A_BUNDLE_ONLY] = SDP_NAME("bundle-only"), /* RFC 8843 */
    [SDP_A_MSID] = SDP_NAME("msid"),
    [SDP_A_SSRC] = SDP_NAME("ssrc"), /* RFC 5576 */
    [SDP_A_SSRC_GROUP] = SDP_NAME("ssrc-group"),
    [SDP_A_EXTMAP] = SDP_NAME("extmap"), /* RFC 8285 */
    [SDP_A_EXTMAP_ALLOW_MIXED] = SDP_NAME("extmap-allow-mixed"),
    [SDP_A_RID] = SDP_NAME("rid"),
    [SDP_A_SIMULCAST] = SDP_NAME("simulcast"),
    [SDP_A_LABEL] = SDP_NAME("label"), /* RFC 4574, 7866 */
    [SDP_A_CONTENT] = SDP_NAME("content"),
    [SDP_A_IDENTITY] = SDP_NAME("identity"), /* RFC 8827 */
    [SDP_A_RECORD] = SDP_NAME("record"),     /* RFC 7866 */
    [SDP_A_RECORDPREF] = SDP_NAME("recordpref"),
    [SDP_A_ACAP] = SDP_NAME("acap"), /* RFC 5939 */
    [SDP_A_TCAP] = SDP_NAME("tcap"),
    [SDP_A_PCFG] = SDP_NAME("pcfg"),
    [SDP_A_ACFG] = SDP_NAME("acfg"),
};

enum sdp_attr_id sdp_attr_parse(struct str name)
{
    for (unsigned i = 1; i < SDP_A_N; i++) {
        if (names[i].n == name.n && memcmp(names[i].p, name.p, name.n) == 0)
            return (enum sdp_attr_id)i;
    }
    return SDP_A_OTHER;
}

struct str sdp_attr_text(enum sdp_attr_id id)
{
    return (unsigned)id < SDP_A_N ? names[id] : STR_NULL;
}

static const struct {
    struct str text;
    bool rtp, secure, dtls, feedback;
} protos[SDP_PROTO_N] = {
    [SDP_RTP_AVP] = {SDP_NAME("RTP/AVP"), true, false, false, false},
    [SDP_RTP_AVPF] = {SDP_NAME("RTP/AVPF"), true, false, false, true},
    [SDP_RTP_SAVP] = {SDP_NAME("RTP/SAVP"), true, true, false, false},
    [SDP_RTP_SAVPF] = {SDP_NAME("RTP/SAVPF"), true, true, false, true},
    [SDP_UDP_TLS_RTP_SAVP] = {SDP_NAME("UDP/TLS/RTP/SAVP"), true, true, true, false},
    [SDP_UDP_TLS_RTP_SAVPF] = {SDP_NAME("UDP/TLS/RTP/SAVPF"), true, true, true, true},
    [SDP_UDPTL] = {SDP_NAME("udptl"), false, false, false, false},
    [SDP_UDP_TLS_UDPTL] = {SDP_NAME("UDP/TLS/UDPTL"), false, true, true, false},
};

enum sdp_proto sdp_proto_parse(struct str text)
{
    for (unsigned i = 1; i < SDP_PROTO_N; i++) {
        if (str_eq_nocase(protos[i].text, text))
            return (enum sdp_proto)i;
    }
    return SDP_PROTO_OTHER;
}

struct str sdp_proto_text(enum sdp_proto p)
{
    return (unsigned)p < SDP_PROTO_N ? protos[p].text : STR_NULL;
}

bool sdp_proto_is_rtp(enum sdp_proto p)
{
    return (unsigned)p < SDP_PROTO_N && protos[p].rtp;
}

bool sdp_proto_is_secure(enum sdp_proto p)
{
    return (unsigned)p < SDP_PROTO_N && protos[p].secure;
}

bool sdp_proto_is_dtls(enum sdp_proto p)
{
    return (unsigned)p < SDP_PROTO_N && protos[p].dtls;
}

bool sdp_proto_has_feedback(enum sdp_proto p)
{
    return (unsigned)p < SDP_PROTO_N && protos[p].feedback;
}

/* ---- character classes ---- */

static bool is_token_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           (c != '\0' && strchr("!#$%&'*+-.^_`{|}~", c) != NULL);
}

bool sdp_is_token(struct str s)
{
    for (size_t i = 0; i < s.n; i++) {
        if (!is_token_char(s.p[i]))
            return false;
    }
    return s.n > 0;
}

bool sdp_is_proto(struct str s)
{
    bool want = true; /* a token has to follow */
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] == '/' ? want : !is_token_char(s.p[i]))
            return false;
        want = s.p[i] == '/';
    }
    return !want;
}

bool sdp_is_text(struct str s)
{
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] == '\0' || s.p[i] == '\r' || s.p[i] == '\n')
            return false;
    }
    return true;
}

bool sdp_is_word(struct str s)
{
    for (size_t i = 0; i < s.n; i++) {
        if ((unsigned char)s.p[i] <= ' ' || s.p[i] == 0x7f)
            return false;
    }
    return s.n > 0;
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

bool sdp_word(struct str *rest, struct str *ret)
{
    size_t i = 0, start;
    while (i < rest->n && is_blank(rest->p[i]))
        i++;
    start = i;
    while (i < rest->n && !is_blank(rest->p[i]))
        i++;
    if (i == start)
        return false;
    *ret = str_make(rest->p + start, i - start);
    *rest = str_make(rest->p + i, rest->n - i);
    return true;
}

bool sdp_at_end(struct str rest)
{
    struct str word;
    return !sdp_word(&rest, &word);
}

/* Questions to a parsed description: attributes of a section and their levels, direction, ports,
 * BUNDLE, payload formats. Pure functions over struct sdp; any thread. */
#include "sdp/sdp_priv.h"

const struct sdp_section *sdp_section(const struct sdp *s, int section)
{
    return section < 0 ? &s->session : &s->media[section].s;
}

const struct sdp_line *sdp_attr(const struct sdp *s, int section, enum sdp_attr_id id, unsigned i)
{
    if (id <= SDP_A_OTHER || id >= SDP_A_N)
        return NULL;
    int at = sdp_section(s, section)->first[id];
    while (at >= 0 && i-- > 0)
        at = s->lines[at].next;
    return at < 0 ? NULL : &s->lines[at];
}

const struct sdp_line *sdp_attr_inherited(const struct sdp *s, int section, enum sdp_attr_id id,
                                          unsigned i)
{
    return sdp_attr(s, sdp_has(s, section, id) ? section : SDP_SESSION, id, i);
}

const struct sdp_line *sdp_attr_named(const struct sdp *s, int section, struct str name, unsigned i)
{
    const struct sdp_section *sec = sdp_section(s, section);
    for (unsigned k = 0; k < sec->n_lines; k++) {
        const struct sdp_line *l = &s->lines[sec->line + k];
        if (l->type == 'a' && str_eq(l->name, name) && i-- == 0)
            return l;
    }
    return NULL;
}

const struct sdp_conn *sdp_media_conn(const struct sdp *s, int media)
{
    const struct sdp_section *sec = sdp_section(s, media);
    if (sec->n_conns == 0)
        sec = &s->session;
    return sec->n_conns ? &sec->conn : NULL;
}

/* ---- direction ---- */

static const enum sdp_attr_id dir_ids[] = {[SDP_INACTIVE] = SDP_A_INACTIVE,
                                           [SDP_SENDONLY] = SDP_A_SENDONLY,
                                           [SDP_RECVONLY] = SDP_A_RECVONLY,
                                           [SDP_SENDRECV] = SDP_A_SENDRECV};

struct str sdp_dir_text(enum sdp_dir d)
{
    return sdp_attr_text(dir_ids[d & 3]);
}

/* The first of the four in a section; contradicting ones behind it do not count. */
static bool dir_of(const struct sdp *s, int section, enum sdp_dir *ret)
{
    int at = -1;
    for (unsigned d = 0; d < ARRAY_LEN(dir_ids); d++) {
        int i = sdp_section(s, section)->first[dir_ids[d]];
        if (i >= 0 && (at < 0 || i < at)) {
            at = i;
            *ret = (enum sdp_dir)d;
        }
    }
    return at >= 0;
}

enum sdp_dir sdp_direction(const struct sdp *s, int media)
{
    enum sdp_dir d;
    if ((media >= 0 && dir_of(s, media, &d)) || dir_of(s, SDP_SESSION, &d))
        return d;
    return SDP_SENDRECV;
}

bool sdp_media_is_rejected(const struct sdp *s, int media)
{
    return s->media[media].port == 0 && !sdp_has(s, media, SDP_A_BUNDLE_ONLY);
}

/* ---- addresses ---- */

static bool is_multicast(const struct addr *a)
{
    if (addr_is_v6(a))
        return a->v6.sin6_addr.s6_addr[0] == 0xff;
    return (ntohl(a->v4.sin_addr.s_addr) >> 28) == 14;
}

/* a=rtcp:port [network type address] (RFC 3605 2.1). False if it is malformed or names no address
 * of the Internet. */
static bool rtcp_line(const struct sdp_line *l, struct addr *rtcp)
{
    struct str rest = l->arg, port;
    struct sdp_conn c;
    uint32_t v;
    if (rest.p == NULL || !sdp_word(&rest, &port) || str_to_u32(port, UINT16_MAX, &v) != 0 ||
        v == 0)
        return false;
    if (!sdp_at_end(rest)) {
        if (sdp_conn_parse(str_trim(rest), false, &c) != 0 || !addr_is_set(&c.addr) ||
            is_multicast(&c.addr))
            return false;
        *rtcp = c.addr;
    }
    addr_set_port(rtcp, (uint16_t)v);
    return true;
}

int sdp_media_target(const struct sdp *s, int media, bool mux, struct sdp_target *ret)
{
    const struct sdp_media *m = &s->media[media];
    const struct sdp_conn *c = sdp_media_conn(s, media);
    const struct sdp_line *l = sdp_attr(s, media, SDP_A_RTCP, 0);
    if (c == NULL || m->port == 0)
        return ERR_NOTFOUND;
    if (!addr_is_set(&c->addr) || is_multicast(&c->addr))
        return ERR_UNSUPPORTED;
    *ret = (struct sdp_target){.rtp = c->addr, .is_null = addr_is_any(&c->addr)};
    addr_set_port(&ret->rtp, m->port);
    ret->rtcp = ret->rtp;
    if (mux)
        return 0;
    /* Without a=rtcp, or with a broken one, the next port (RFC 3605 2.1); there is none behind
     * 65535. */
    if (l == NULL || !rtcp_line(l, &ret->rtcp)) {
        ret->rtcp = ret->rtp;
        addr_set_port(&ret->rtcp, m->port < UINT16_MAX ? (uint16_t)(m->port + 1) : m->port);
    }
    return 0;
}

/* ---- grouping ---- */

int sdp_media_of_mid(const struct sdp *s, struct str mid)
{
    for (int i = 0; i < s->n_media; i++) {
        const struct sdp_line *l = sdp_attr(s, i, SDP_A_MID, 0);
        if (l != NULL && l->arg.n && str_eq(str_trim(l->arg), mid))
            return i;
    }
    return -1;
}

int sdp_bundle_of(const struct sdp *s, int media)
{
    for (unsigned k = 0; k < LIMIT_SDP_MEDIA; k++) {
        const struct sdp_line *l = sdp_attr(s, SDP_SESSION, SDP_A_GROUP, k);
        struct str rest, word;
        int tagged = -1;
        bool is_in = false;
        if (l == NULL)
            return -1;
        rest = l->arg;
        if (rest.p == NULL || !sdp_word(&rest, &word) || !str_eq(word, STR("BUNDLE")))
            continue;
        for (unsigned n = 0; n < LIMIT_SDP_MEDIA && sdp_word(&rest, &word); n++) {
            int i = sdp_media_of_mid(s, word);
            is_in |= i == media;
            if (tagged < 0 && i >= 0 && !sdp_media_is_rejected(s, i))
                tagged = i;
        }
        if (is_in)
            return sdp_media_is_rejected(s, media) ? -1 : tagged;
    }
    return -1;
}

/* ---- payload formats ---- */

/* RFC 3551 6, Tables 4 and 5: the static types of audio that are still met, and of video. */
static const struct sdp_rtpmap statics[] = {
    {0, SDP_NAME("PCMU"), 8000, 1},   {3, SDP_NAME("GSM"), 8000, 1},
    {4, SDP_NAME("G723"), 8000, 1},   {5, SDP_NAME("DVI4"), 8000, 1},
    {6, SDP_NAME("DVI4"), 16000, 1},  {7, SDP_NAME("LPC"), 8000, 1},
    {8, SDP_NAME("PCMA"), 8000, 1},   {9, SDP_NAME("G722"), 8000, 1},
    {10, SDP_NAME("L16"), 44100, 2},  {11, SDP_NAME("L16"), 44100, 1},
    {12, SDP_NAME("QCELP"), 8000, 1}, {13, SDP_NAME("CN"), 8000, 1},
    {14, SDP_NAME("MPA"), 90000, 1},  {15, SDP_NAME("G728"), 8000, 1},
    {16, SDP_NAME("DVI4"), 11025, 1}, {17, SDP_NAME("DVI4"), 22050, 1},
    {18, SDP_NAME("G729"), 8000, 1},  {25, SDP_NAME("CelB"), 90000, 1},
    {26, SDP_NAME("JPEG"), 90000, 1}, {28, SDP_NAME("nv"), 90000, 1},
    {31, SDP_NAME("H261"), 90000, 1}, {32, SDP_NAME("MPV"), 90000, 1},
    {33, SDP_NAME("MP2T"), 90000, 1}, {34, SDP_NAME("H263"), 90000, 1},
};

/* "pt rest" of a rtpmap or fmtp line for this payload type. */
static bool pt_line(const struct sdp_line *l, unsigned pt, struct str *ret_rest)
{
    struct str rest = l->arg, word;
    uint32_t v;
    if (rest.p == NULL || !sdp_word(&rest, &word) || str_to_u32(word, 127, &v) != 0 || v != pt)
        return false;
    *ret_rest = str_trim(rest);
    return true;
}

static int rtpmap_value(struct str v, struct sdp_rtpmap *ret)
{
    struct str rate, channels;
    uint32_t n;
    rate = str_cut(v, '/', &ret->name);
    if (!sdp_is_token(ret->name) || rate.p == NULL)
        return ERR_SYNTAX;
    channels = str_cut(rate, '/', &rate);
    if (str_to_u32(rate, UINT32_MAX, &ret->rate) != 0 || ret->rate == 0)
        return ERR_SYNTAX;
    ret->channels = 1;
    if (channels.p != NULL) {
        if (str_to_u32(channels, UINT8_MAX, &n) != 0 || n == 0)
            return ERR_SYNTAX;
        ret->channels = (uint8_t)n;
    }
    return 0;
}

int sdp_rtpmap(const struct sdp *s, int media, unsigned pt, struct sdp_rtpmap *ret)
{
    struct str v;
    for (int i = sdp_section(s, media)->first[SDP_A_RTPMAP]; i >= 0; i = s->lines[i].next) {
        if (pt_line(&s->lines[i], pt, &v)) {
            *ret = (struct sdp_rtpmap){.pt = (uint8_t)pt};
            return rtpmap_value(v, ret);
        }
    }
    for (size_t i = 0; i < ARRAY_LEN(statics); i++) {
        if (statics[i].pt == pt) {
            *ret = statics[i];
            return 0;
        }
    }
    return ERR_NOTFOUND;
}

struct str sdp_fmtp(const struct sdp *s, int media, unsigned pt)
{
    struct str v;
    for (int i = sdp_section(s, media)->first[SDP_A_FMTP]; i >= 0; i = s->lines[i].next) {
        if (pt_line(&s->lines[i], pt, &v))
            return v;
    }
    return STR_NULL;
}

bool sdp_bandwidth(const struct sdp *s, int media, uint64_t *ret_bits_s)
{
    const int at[] = {media, SDP_SESSION};
    unsigned i, k;

    for (i = 0; i < 2; i++) {
        const struct sdp_section *sec = sdp_section(s, at[i]);
        bool has_as = false;

        for (k = 0; k < sec->n_lines; k++) {
            const struct sdp_line *l = &s->lines[sec->line + k];
            struct str type, n;
            uint64_t v;

            if (l->type != 'b')
                continue;
            n = str_cut(l->value, ':', &type);
            if (!n.p || str_to_u64(n, SDP_BANDWIDTH_MAX, &v) != 0)
                continue;
            if (str_eq(type, STR("TIAS"))) {
                *ret_bits_s = v;
                return true;
            }
            if (str_eq(type, STR("AS")) && v <= SDP_BANDWIDTH_MAX / 1000) {
                *ret_bits_s = v * 1000;
                has_as = true;
            }
        }
        if (has_as)
            return true;
    }
    return false;
}

unsigned sdp_ptime(const struct sdp *s, int media)
{
    const struct sdp_line *l = sdp_attr(s, media, SDP_A_PTIME, 0);
    struct str text;
    uint32_t v;
    if (l == NULL || l->arg.p == NULL)
        return 0;
    (void)str_cut(str_trim(l->arg), '.', &text); /* RFC 8866 allows fractions */
    return str_to_u32(text, 1000, &v) == 0 ? v : 0;
}

/* Descriptions of anchored calls (story and clauses in anchor/sdp.h). Pure. */
#include "edge/anchor/sdp.h"

/* ---- reading ---- */

static bool is_relayable(enum sdp_proto p)
{
    return sdp_proto_is_rtp(p) || p == SDP_UDPTL || p == SDP_UDP_TLS_UDPTL;
}

enum anchor_sdp_kind anchor_sdp_kind(const struct sdp *s, int media, bool is_opaque,
                                     struct reason *why)
{
    const struct sdp_media *m = &s->media[media];

    if (m->port == 0 && sdp_has(s, media, SDP_A_BUNDLE_ONLY)) {
        reason_set(why, "bundle-only", "RFC 8843 7.3.2", 488, "m= line %d: BUNDLE is not taken",
                   media + 1);
        return ANCHOR_SDP_REFUSE;
    }
    if (m->port == 0)
        return ANCHOR_SDP_OFF;
    if (is_opaque ? is_relayable(m->proto) : sdp_proto_is_rtp(m->proto))
        return ANCHOR_SDP_TAKE;
    reason_set(why, "media-not-rtp", "RFC 3264 6", 488, "m= line %d: %.*s cannot be %s", media + 1,
               STR_FMT(m->proto_text), is_opaque ? "relayed" : "protected");
    return ANCHOR_SDP_REFUSE;
}

bool anchor_sdp_ice(const struct sdp *s, int media, struct str *ret_ufrag, struct str *ret_pwd)
{
    const struct sdp_line *ufrag = sdp_attr_inherited(s, media, SDP_A_ICE_UFRAG, 0);
    const struct sdp_line *pwd = sdp_attr_inherited(s, media, SDP_A_ICE_PWD, 0);

    if (!ufrag || !pwd)
        return false;
    *ret_ufrag = str_trim(ufrag->arg);
    *ret_pwd = str_trim(pwd->arg);
    return ret_ufrag->n >= 4 && ret_pwd->n >= 22 && ret_ufrag->n <= 256 &&
           ret_pwd->n <= 256; /* RFC 8839 5.4 */
}

/* ---- writing ---- */

/* What describes the describer's own transport and keys, which end at us. */
static const enum sdp_attr_id keyed_removed[] = {
    SDP_A_CRYPTO,   SDP_A_FINGERPRINT,  SDP_A_SETUP,      SDP_A_CONNECTION, SDP_A_TLS_ID,
    SDP_A_KEY_MGMT, SDP_A_ZRTP_HASH,    SDP_A_ICE_UFRAG,  SDP_A_ICE_PWD,    SDP_A_ICE_OPTIONS,
    SDP_A_ICE_LITE, SDP_A_ICE_MISMATCH, SDP_A_ICE_PACING, SDP_A_IDENTITY,   SDP_A_ACAP,
    SDP_A_TCAP,     SDP_A_PCFG,         SDP_A_ACFG,       SDP_A_RTCP_MUX,   SDP_A_RTCP_MUX_ONLY,
};
static const enum sdp_attr_id always_removed[] = {
    SDP_A_CANDIDATE, SDP_A_END_OF_CANDIDATES, SDP_A_REMOTE_CANDIDATES,
    SDP_A_RTCP,      SDP_A_BUNDLE_ONLY,
};

static void remove_all(struct sdp_edit *e, int section, const enum sdp_attr_id *ids, size_t n)
{
    for (size_t i = 0; i < n; i++)
        sdp_edit_attr_remove(e, section, sdp_attr_text(ids[i]));
}

/* BUNDLE is not taken, and not offered: every section has ports of its own. Other groups stay. */
static void remove_bundle(struct sdp_edit *e, const struct sdp *s)
{
    const struct sdp_line *l;
    struct str semantics, mids;

    for (unsigned i = 0; (l = sdp_attr(s, SDP_SESSION, SDP_A_GROUP, i)) != NULL; i++)
        if (sdp_group_parse(l->arg, &semantics, &mids) == 0 && str_eq(semantics, STR("BUNDLE")))
            sdp_edit_line_remove(e, l);
}

static void add_u64(struct sdp_edit *e, struct arena *a, int section, const char *name, uint64_t v)
{
    struct str text = arena_fmt(a, "%llu", (unsigned long long)v);

    sdp_edit_attr_set(e, section, str_z(name),
                      text.p ? text : STR("\n")); /* no memory: the edit fails */
}

/* One host candidate for each component: an agent with an address that everybody reaches needs no
 * others (RFC 8445 2.5, 5.2). */
static void add_candidates(struct sdp_edit *e, struct arena *a, int section,
                           const struct anchor_sdp_section *m, bool has_rtcp)
{
    for (uint32_t component = 1; component <= (has_rtcp ? 2u : 1u); component++) {
        struct sdp_candidate c = {.foundation = STR("1"),
                                  .transport = STR("UDP"),
                                  .type = STR("host"),
                                  .component = component,
                                  .priority = (126u << 24) | (65535u << 8) |
                                              (256 - component), /* RFC 8445 5.1.2.1 */
                                  .addr = component == 1 ? m->rtp : m->rtcp};
        char text[160];
        struct sbuf b = sbuf_make(text, sizeof text);
        struct str kept;

        c.port = addr_port(&c.addr);
        sdp_candidate_build(&b, &c);
        kept = arena_str(a, sbuf_get(&b));
        sdp_edit_attr_add(e, section, STR("candidate"), kept.p && !b.overflow ? kept : STR("\n"));
    }
}

static bool has_candidates(const struct sdp *s, int media)
{
    struct str ufrag, pwd;

    return anchor_sdp_ice(s, media, &ufrag, &pwd) || sdp_has(s, media, SDP_A_CANDIDATE);
}

static void write_mid(struct sdp_edit *e, const struct sdp *s, int i,
                      const struct anchor_sdp_section *m)
{
    if (!m->is_answer)
        return;
    if (m->mid.n)
        sdp_edit_attr_set(e, i, STR("mid"), m->mid);
    else if (sdp_has(s, i, SDP_A_MID))
        sdp_edit_attr_remove(e, i, STR("mid"));
}

static void write_section(struct sdp_edit *e, struct arena *a, const struct sdp *s, int i,
                          const struct anchor_sdp_new *n)
{
    const struct anchor_sdp_section *m = &n->sections[i];
    enum sdp_proto proto = m->proto == SDP_PROTO_OTHER ? s->media[i].proto : m->proto;
    bool has_rtcp = !m->mux && sdp_proto_is_rtp(proto) && addr_port(&m->rtcp) != addr_port(&m->rtp);

    remove_all(e, i, always_removed, ARRAY_LEN(always_removed));
    if (!n->is_opaque || m->is_refused)
        remove_all(e, i, keyed_removed, ARRAY_LEN(keyed_removed));
    write_mid(e, s, i, m);
    if (m->proto != SDP_PROTO_OTHER)
        sdp_edit_proto(e, i, sdp_proto_text(m->proto));
    sdp_edit_port(e, i, m->is_refused ? 0 : addr_port(&m->rtp));
    if (m->is_refused)
        return;
    if (!sdp_proto_has_feedback(proto))
        sdp_edit_attr_remove(e, i, STR("rtcp-fb")); /* RFC 4585 4.2 */
    if (has_rtcp && addr_port(&m->rtcp) != addr_port(&m->rtp) + 1)
        add_u64(e, a, i, "rtcp", addr_port(&m->rtcp));
    if (n->is_opaque) {
        if (has_candidates(s, i))
            add_candidates(e, a, i, m, has_rtcp);
        return;
    }
    if (m->mux)
        sdp_edit_attr_add(e, i, STR("rtcp-mux"), STR_NULL);
    for (size_t k = 0; k < m->n_attrs; k++)
        sdp_edit_attr_add(e, i, m->attrs[k].name, m->attrs[k].value);
    if (!m->ice_ufrag.n)
        return;
    sdp_edit_attr_add(e, i, STR("ice-ufrag"), m->ice_ufrag);
    sdp_edit_attr_add(e, i, STR("ice-pwd"), m->ice_pwd);
    add_candidates(e, a, i, m, has_rtcp);
    sdp_edit_attr_add(e, i, STR("end-of-candidates"), STR_NULL); /* RFC 8840 8.2 */
}

/* The addresses: of the session that of the first section we take; each section's own where it has
 * one or another. */
static void write_hosts(struct sdp_edit *e, const struct sdp *s, const struct anchor_sdp_new *n,
                        const struct addr *host)
{
    bool in_session = s->session.conn_line >= 0;

    if (in_session)
        sdp_edit_conn(e, SDP_SESSION, host);
    for (int i = 0; i < s->n_media; i++) {
        const struct addr *own = n->sections[i].is_refused ? host : &n->sections[i].rtp;

        if (s->media[i].s.conn_line >= 0 || !in_session || !addr_eq_host(own, host))
            sdp_edit_conn(e, i, own);
    }
}

int anchor_sdp_build(struct arena *a, const struct sdp *s, const struct anchor_sdp_new *n,
                     struct str *ret)
{
    struct sdp_edit *e = sdp_edit_new(a, s);
    const struct addr *host = &n->host;
    bool is_lite = false;

    if (!e)
        return ERR_NOMEM;
    for (int i = s->n_media - 1; i >= 0; i--) {
        if (n->sections[i].is_refused)
            continue;
        host = &n->sections[i].rtp;
        is_lite |= n->sections[i].ice_ufrag.n > 0;
    }
    sdp_edit_session(e, n->sess_id, n->version, host);
    write_hosts(e, s, n, host);
    remove_bundle(e, s);
    remove_all(e, SDP_SESSION, always_removed, ARRAY_LEN(always_removed));
    if (!n->is_opaque)
        remove_all(e, SDP_SESSION, keyed_removed, ARRAY_LEN(keyed_removed));
    if (is_lite)
        sdp_edit_attr_add(e, SDP_SESSION, STR("ice-lite"), STR_NULL);
    for (int i = 0; i < s->n_media; i++)
        write_section(e, a, s, i, n);
    return sdp_edit_build(e, ret);
}

/* ---- keys that whoever reads a description has ---- */

/* MIKEY's messages by their data type (RFC 3830 6.1, RFC 4650 3, RFC 4738 3): those of Diffie-Hellman,
 * and those that only verify, hold no key that could be read. In the others it is encrypted if their
 * sender cared to (RFC 3830 6.2 has a NULL algorithm for it), which is not ours to find out. */
static bool is_open_mikey(struct str arg)
{
    struct str name, text = str_trim(str_cut(str_trim(arg), ' ', &name));
    uint8_t head[3];
    size_t n;

    if (!str_eq_nocase(name, STR("mikey")) || text.n < 4 ||
        str_base64_decode(head, sizeof head, str_make(text.p, 4), false, &n) != 0 || n < 2 ||
        head[0] != 1)
        return true; /* whatever it is */
    switch (head[1]) {
    case 1: /* verifies what was pre-shared */
    case 3: /* ... or public-key */
    case 4: /* DH */
    case 5:
    case 6: /* an error */
    case 7: /* DHHMAC */
    case 8:
        return false;
    default:
        return true;
    }
}

/* An attribute that is offered by number (RFC 5939 3.3.2): "1 crypto:1 ..." */
static bool is_open_capability(struct str arg)
{
    struct str number, attr = str_trim(str_cut(str_trim(arg), ' ', &number)), name;
    struct str value = str_cut(attr, ':', &name);

    return str_eq(name, STR("crypto")) || (str_eq(name, STR("key-mgmt")) && is_open_mikey(value));
}

static bool is_open_key(const struct sdp_line *l)
{
    switch (l->attr) {
    case SDP_A_CRYPTO:
        return true;
    case SDP_A_KEY_MGMT:
        return is_open_mikey(l->arg);
    case SDP_A_ACAP:
        return is_open_capability(l->arg);
    default:
        return false;
    }
}

static const enum sdp_attr_id may_be_open[] = {SDP_A_CRYPTO, SDP_A_KEY_MGMT, SDP_A_ACAP};

static bool has_open_keys(const struct sdp *s, int section)
{
    const struct sdp_line *l;

    for (size_t k = 0; k < ARRAY_LEN(may_be_open); k++)
        for (unsigned i = 0; (l = sdp_attr(s, section, may_be_open[k], i)) != NULL; i++)
            if (is_open_key(l))
                return true;
    return false;
}

static void remove_open_keys(struct sdp_edit *e, const struct sdp *s, int section)
{
    const struct sdp_line *l;

    for (size_t k = 0; k < ARRAY_LEN(may_be_open); k++)
        for (unsigned i = 0; (l = sdp_attr(s, section, may_be_open[k], i)) != NULL; i++)
            if (is_open_key(l))
                sdp_edit_line_remove(e, l);
}

/* Keys that nobody can read there. */
static bool has_closed_keys(const struct sdp *s, int i)
{
    const struct sdp_line *l;

    if (sdp_attr_inherited(s, i, SDP_A_FINGERPRINT, 0) || sdp_has(s, i, SDP_A_ZRTP_HASH))
        return true;
    for (unsigned k = 0; (l = sdp_attr_inherited(s, i, SDP_A_KEY_MGMT, k)) != NULL; k++)
        if (!is_open_mikey(l->arg))
            return true;
    return false;
}

int anchor_sdp_strip(struct arena *a, const struct sdp *s, bool must, struct str *ret,
                     struct reason *why)
{
    struct sdp_edit *e = NULL;
    bool in_session = has_open_keys(s, SDP_SESSION);

    *ret = STR_NULL;
    for (int i = in_session ? SDP_SESSION : 0; i < s->n_media; i++) {
        bool has = has_open_keys(s, i);

        if (!has && !(in_session && i >= 0))
            continue;
        if (i >= 0 && !must && !sdp_media_is_rejected(s, i) &&
            sdp_proto_is_secure(s->media[i].proto) && !has_closed_keys(s, i)) {
            reason_set(why, "keys-over-clear", "RFC 4568 8", 488,
                       "m= line %d: its keys would pass a hop in clear", i + 1);
            return ERR_REFUSED;
        }
        if (!has)
            continue;
        if (!e && (e = sdp_edit_new(a, s)) == NULL)
            return ERR_NOMEM;
        remove_open_keys(e, s, i);
    }
    return e ? sdp_edit_build(e, ret) : 0;
}

/* ---- media without keys ---- */

static bool is_clear(const struct sdp *s, int i)
{
    return !sdp_media_is_rejected(s, i) && sdp_proto_is_rtp(s->media[i].proto) &&
           !sdp_attr_inherited(s, i, SDP_A_FINGERPRINT, 0) &&
           !sdp_attr_inherited(s, i, SDP_A_KEY_MGMT, 0) && !sdp_has(s, i, SDP_A_ZRTP_HASH) &&
           !sdp_has(s, i, SDP_A_CRYPTO);
}

bool anchor_sdp_has_clear(const struct sdp *s)
{
    for (int i = 0; i < s->n_media; i++)
        if (is_clear(s, i))
            return true;
    return false;
}

int anchor_sdp_close_clear(struct arena *a, const struct sdp *s, struct str *ret)
{
    struct sdp_edit *e = sdp_edit_new(a, s);

    if (!e)
        return ERR_NOMEM;
    for (int i = 0; i < s->n_media; i++)
        if (is_clear(s, i))
            sdp_edit_port(e, i, 0);
    return sdp_edit_build(e, ret);
}

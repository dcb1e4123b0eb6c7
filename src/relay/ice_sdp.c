/* ICE in descriptions: what we say, and what the peer's says. RFC 8839 4.2.5, 5.1, 5.3, 5.4;
 * RFC 8445 5.1.2, 5.3, 8.2. Pure. */
#include "relay/ice.h"
#include "sdp/values.h"

#define TYPE_PREFERENCE 126u /* host, RFC 8445 5.1.2.2 */
#define UFRAG_MIN 4
#define PWD_MIN 22
#define BOTH_MAX 256
#define PORT_DISCARD 9 /* RFC 8839 4.2.5, 2: no default address yet */

static void draw(struct rand_source *rand, char *dst, size_t n)
{
    static const char letters[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

    rand_fill(rand, dst, n);
    for (size_t i = 0; i < n; i++)
        dst[i] = letters[(uint8_t)dst[i] & 63];
    dst[n] = '\0';
}

void relay_ice_draw(struct rand_source *rand, char ufrag[RELAY_ICE_UFRAG + 1],
                    char pwd[RELAY_ICE_PWD + 1])
{
    draw(rand, ufrag, RELAY_ICE_UFRAG);
    draw(rand, pwd, RELAY_ICE_PWD);
}

void relay_ice_candidate(struct sbuf *b, unsigned component, unsigned index, const struct addr *at)
{
    char foundation[12];
    struct sbuf f = sbuf_make(foundation, sizeof(foundation));
    struct sdp_candidate c = {.transport = STR("UDP"),
                              .type = STR("host"),
                              .component = component,
                              .priority = TYPE_PREFERENCE << 24 | (65535u - index) << 8 |
                                          (256u - component),
                              .addr = *at,
                              .port = addr_port(at)};

    sbuf_fmt(&f, "%u", index + 1);
    c.foundation = str_make(foundation, f.n);
    sdp_candidate_build(b, &c);
}

/* ---- the peer's ---- */

static bool is_ice_chars(struct str s, size_t min)
{
    if (s.n < min || s.n > BOTH_MAX)
        return false;
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];

        if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
              c == '+' || c == '/'))
            return false;
    }
    return true;
}

/* The line that counts for the section; an empty slice with p NULL if there is none. */
static struct str value_of(const struct sdp *sdp, int section, enum sdp_attr_id id)
{
    const struct sdp_line *line = sdp_attr_inherited(sdp, section, id, 0);

    return line != NULL ? str_trim(line->arg) : STR_NULL;
}

/* Malformed candidates, those with host names and those that are not UDP are passed over (RFC 8839
 * 5.1: extensions). */
static void read_candidates(const struct sdp *sdp, int section, struct relay_ice_peer *ret)
{
    const struct sdp_line *line;

    for (unsigned i = 0; (line = sdp_attr(sdp, section, SDP_A_CANDIDATE, i)) != NULL &&
                         ret->n < LIMIT_ICE_CANDIDATES;
         i++) {
        struct sdp_candidate c;

        if (sdp_candidate_parse(line->arg, &c) != 0 || !addr_is_set(&c.addr) ||
            !str_eq_nocase(c.transport, STR("UDP")))
            continue;
        ret->candidate[ret->n++] = (struct relay_ice_candidate){
            .component = c.component, .priority = c.priority, .addr = c.addr};
    }
}

static bool has_candidate(const struct relay_ice_peer *peer, unsigned component,
                          const struct addr *addr)
{
    for (size_t i = 0; i < peer->n; i++) {
        if (peer->candidate[i].component == component && addr_eq(&peer->candidate[i].addr, addr))
            return true;
    }
    return false;
}

/* RFC 8839 4.2.5: the default destination of each component must be a candidate; a name, or an
 * address that says that there is none yet, is no mismatch. */
static bool is_mismatch(const struct sdp *sdp, int section, bool mux,
                        const struct relay_ice_peer *peer)
{
    const struct sdp_conn *conn = sdp_media_conn(sdp, section);
    struct sdp_target target;

    if (conn == NULL || !addr_is_set(&conn->addr))
        return false; /* a name */
    if (addr_is_any(&conn->addr) && sdp->media[section].port == PORT_DISCARD)
        return false;
    if (sdp_media_target(sdp, section, mux, &target) != 0)
        return false; /* rejected, or nowhere: nothing to compare */
    if (!has_candidate(peer, 1, &target.rtp))
        return true;
    return !mux && !has_candidate(peer, 2, &target.rtcp);
}

int relay_ice_read(const struct sdp *sdp, int section, bool mux, struct relay_ice_peer *ret,
                   struct reason *why)
{
    struct str ufrag = value_of(sdp, section, SDP_A_ICE_UFRAG),
               pwd = value_of(sdp, section, SDP_A_ICE_PWD);

    *ret = (struct relay_ice_peer){.support = RELAY_ICE_NONE};
    if (ufrag.p == NULL && pwd.p == NULL)
        return 0;
    if (!is_ice_chars(ufrag, UFRAG_MIN) || !is_ice_chars(pwd, PWD_MIN)) {
        reason_set(why, "ice-credentials", "RFC 8839 5.4", 488,
                   "ice-ufrag or ice-pwd is missing or malformed");
        return ERR_SYNTAX;
    }
    ret->ufrag = ufrag;
    ret->pwd = pwd;
    ret->is_lite = sdp_has(sdp, SDP_SESSION, SDP_A_ICE_LITE);
    if (sdp_has(sdp, section, SDP_A_ICE_MISMATCH)) {
        ret->support = RELAY_ICE_REJECTS;
        return 0;
    }
    read_candidates(sdp, section, ret);
    ret->support = is_mismatch(sdp, section, mux, ret) ? RELAY_ICE_MISMATCH : RELAY_ICE_USE;
    return 0;
}

bool relay_ice_pick(const struct relay_ice_peer *peer, unsigned component, const struct addr *ours,
                    struct addr *ret)
{
    const struct relay_ice_candidate *best = NULL;

    for (size_t i = 0; i < peer->n; i++) {
        const struct relay_ice_candidate *c = &peer->candidate[i];

        if (c->component == component && addr_is_v6(&c->addr) == addr_is_v6(ours) &&
            addr_port(&c->addr) != 0 && (best == NULL || c->priority > best->priority))
            best = c;
    }
    if (best != NULL)
        *ret = best->addr;
    return best != NULL;
}

bool relay_ice_is_restart(const struct relay_ice_peer *peer, struct str ufrag_before,
                          struct str pwd_before)
{
    return !str_eq(peer->ufrag, ufrag_before) && !str_eq(peer->pwd, pwd_before);
}

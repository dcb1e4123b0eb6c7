/* What becomes of a description on its way through an anchored call: addresses, ports, keys and ICE
 * are ours, everything else leaves byte for byte as it came. RFC 3264, RFC 7092 3.2, RFC 7879 6,
 * RFC 8839, RFC 8843 7.3, RFC 8866. Pure: memory from the arena. */
#ifndef EDGE_ANCHOR_SDP_H
#define EDGE_ANCHOR_SDP_H

#include "sdp/edit.h"
#include "sdp/values.h"

/* What the describer says of a section, and what we can do for it. */
enum anchor_sdp_kind {
    ANCHOR_SDP_OFF,    /* its port is 0 */
    ANCHOR_SDP_REFUSE, /* `why` */
    ANCHOR_SDP_TAKE
};
/* `is_opaque`: packets are relayed as they are, so that it need not be RTP. */
enum anchor_sdp_kind anchor_sdp_kind(const struct sdp *s, int media, bool is_opaque,
                                     struct reason *why);
/* Has it ICE attributes that say how to check (RFC 8839 5.4)? Where it has, c= and m= need not name
 * where media come from. */
bool anchor_sdp_ice(const struct sdp *s, int media, struct str *ret_ufrag, struct str *ret_pwd);

/* Our part of one section. */
struct anchor_sdp_section {
    bool is_refused;
    struct addr rtp, rtcp;            /* ours, as others reach them; equal ports: none for RTCP */
    bool mux;                         /* say a=rtcp-mux */
    enum sdp_proto proto;             /* OTHER: as it came */
    const struct sdp_new_attr *attrs; /* of key management */
    size_t n_attrs;
    struct str ice_ufrag, ice_pwd; /* ours; empty: no ICE */
    bool is_answer;                /* a=mid is then the offer's ... */
    struct str mid;                /* ... which may have none */
};
struct anchor_sdp_new {
    uint64_t sess_id, version;
    struct addr host; /* in o= and c= where no section is taken */
    bool is_opaque;   /* keys and ICE of the describer stay; candidates become one, ours */
    const struct anchor_sdp_section *sections; /* as many as the description has */
};
/* ERR_NOMEM, ERR_LIMIT, ERR_INVALID (an attribute that may not be written). */
MUST_USE int anchor_sdp_build(struct arena *a, const struct sdp *s, const struct anchor_sdp_new *n,
                              struct str *ret);

/* Does any section of RTP media come without any keys at all: neither a=crypto, fingerprint,
 * key-mgmt nor zrtp-hash? */
bool anchor_sdp_has_clear(const struct sdp *s);
/* What a description may not say over a clear hop (RFC 4568 8): keys that whoever reads it has, which
 * are a=crypto, MIKEY's where it is not Diffie-Hellman, and either as a capability. *ret is the text
 * without; STR_NULL if there is nothing to be taken away. ERR_REFUSED: a section has no
 * other method and its profile needs one; not if it `must` be taken away all the same. */
MUST_USE int anchor_sdp_strip(struct arena *a, const struct sdp *s, bool must, struct str *ret,
                              struct reason *why);
/* Sections of RTP media without any keys get port 0. ERR_NOMEM. */
MUST_USE int anchor_sdp_close_clear(struct arena *a, const struct sdp *s, struct str *ret);

#endif

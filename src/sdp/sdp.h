/* Session descriptions: immutable bytes and an index of lines over them (RFC 8866 5, 9), in the
 * terms of offer and answer (RFC 3264). sdp_parse walks the bytes once, splits them into the
 * session's own section and one for each m= line, names each attribute that something in the
 * program asks for, and parses what every description needs: origin, connection addresses, m=
 * lines. Everything else is parsed when asked for (sdp/values.h). What nobody asks for is kept and
 * leaves byte for byte as it came (sdp/edit.h). sdp/build.h writes new descriptions, sdp/answer.h
 * has the rules between an offer and its answer.
 *
 * How it serves the media plane. A method of key management sees one m= section at a time, as
 * struct sdp and the section's index: it asks with sdp_attr or sdp_attr_inherited for its own
 * attributes, parses each with its function of sdp/values.h, and gives back attributes to add
 * (struct sdp_new_attr), never text. A relay changes addresses and ports by sdp/edit.h and leaves
 * the rest alone. Both may be used on one description: an edit keeps every line that it was not
 * told to change.
 *
 * Levels. Which attribute counts where it stands at both levels is the attribute's own rule; the
 * two that exist are two functions: sdp_attr looks in one section only (crypto, zrtp-hash,
 * candidate, mid: RFC 4568 5, 6189 8), sdp_attr_inherited takes the session's where the m= section
 * has none (fingerprint, setup, ice-ufrag, key-mgmt, direction: RFC 8122 5, 4567 3, 8839 5.4).
 *
 * Pure: no I/O, no clock, all memory from the caller's arena. A struct sdp and all slices live as
 * long as text and arena. */
#ifndef SDP_SDP_H
#define SDP_SDP_H

#include "base/addr.h"
#include "base/arena.h"
#include "base/err.h"
#include "base/reason.h"

#define SDP_SESSION (-1) /* the section above the first m= line; others are numbered from 0 */

/* Attributes that something asks for by name; one table in attr.c. */
enum sdp_attr_id {
    SDP_A_OTHER,
    SDP_A_RTPMAP,
    SDP_A_FMTP,
    SDP_A_PTIME,
    SDP_A_MAXPTIME,
    SDP_A_SENDRECV,
    SDP_A_SENDONLY,
    SDP_A_RECVONLY,
    SDP_A_INACTIVE,
    SDP_A_CRYPTO,
    SDP_A_FINGERPRINT,
    SDP_A_SETUP,
    SDP_A_CONNECTION,
    SDP_A_TLS_ID,
    SDP_A_KEY_MGMT,
    SDP_A_ZRTP_HASH,
    SDP_A_ICE_UFRAG,
    SDP_A_ICE_PWD,
    SDP_A_ICE_OPTIONS,
    SDP_A_ICE_LITE,
    SDP_A_ICE_MISMATCH,
    SDP_A_ICE_PACING,
    SDP_A_CANDIDATE,
    SDP_A_END_OF_CANDIDATES,
    SDP_A_REMOTE_CANDIDATES,
    SDP_A_RTCP,
    SDP_A_RTCP_MUX,
    SDP_A_RTCP_MUX_ONLY,
    SDP_A_RTCP_RSIZE,
    SDP_A_RTCP_FB,
    SDP_A_GROUP,
    SDP_A_MID,
    SDP_A_BUNDLE_ONLY,
    SDP_A_MSID,
    SDP_A_SSRC,
    SDP_A_SSRC_GROUP,
    SDP_A_EXTMAP,
    SDP_A_EXTMAP_ALLOW_MIXED,
    SDP_A_RID,
    SDP_A_SIMULCAST,
    SDP_A_LABEL,
    SDP_A_CONTENT,
    SDP_A_IDENTITY,
    SDP_A_RECORD,
    SDP_A_RECORDPREF,
    SDP_A_ACAP,
    SDP_A_TCAP,
    SDP_A_PCFG,
    SDP_A_ACFG,
    SDP_A_N
};
enum sdp_attr_id
sdp_attr_parse(struct str name); /* names have case (RFC 8866 9); OTHER if there is no such row */
struct str sdp_attr_text(enum sdp_attr_id id); /* empty for OTHER */

enum sdp_kind {
    SDP_OTHER,
    SDP_AUDIO,
    SDP_VIDEO,
    SDP_TEXT,
    SDP_APPLICATION,
    SDP_MESSAGE,
    SDP_IMAGE
};

enum sdp_proto {
    SDP_PROTO_OTHER,
    SDP_RTP_AVP,
    SDP_RTP_AVPF,
    SDP_RTP_SAVP,
    SDP_RTP_SAVPF,
    SDP_UDP_TLS_RTP_SAVP,
    SDP_UDP_TLS_RTP_SAVPF,
    SDP_UDPTL,
    SDP_UDP_TLS_UDPTL,
    SDP_PROTO_N
};
enum sdp_proto
sdp_proto_parse(struct str text);            /* any case, since peers write "udp/tls/rtp/savp" */
struct str sdp_proto_text(enum sdp_proto p); /* empty for OTHER */
bool sdp_proto_is_rtp(enum sdp_proto p);
bool sdp_proto_is_secure(
    enum sdp_proto p); /* SRTP or DTLS in the profile itself; OSRTP (RFC 8643) is not */
bool sdp_proto_is_dtls(enum sdp_proto p);      /* RFC 5764 8, 7345 */
bool sdp_proto_has_feedback(enum sdp_proto p); /* ...F (RFC 4585, 5124) */

struct sdp_line {
    struct str value;    /* behind "x=", without the line end */
    struct str name;     /* a= lines: the attribute's name ... */
    struct str arg;      /* ... and what is behind its colon; p == NULL if it has none */
    uint32_t start, end; /* the whole line in the text, line end included */
    int16_t next;        /* next line with the same attribute id in this section, -1 at the end */
    uint16_t attr;       /* enum sdp_attr_id; OTHER for lines that are no attributes as well */
    char type;
};

struct sdp_conn {                              /* c=, and the address of o= and a=rtcp */
    struct str whole, nettype, addrtype, host; /* host: without ttl and count */
    struct addr
        addr; /* port 0; not set (addr_is_set) where the host is a name or another network */
    unsigned ttl, count; /* 0: not given */
};

struct sdp_section {
    uint16_t line, n_lines; /* where its lines are; an m= section begins with the m= line */
    int16_t first[SDP_A_N]; /* first line of an attribute id, -1: absent */
    int16_t conn_line;      /* its first c= line, -1: none */
    struct sdp_conn conn;
    uint8_t n_conns;
};

struct sdp_media {
    struct sdp_section s;
    enum sdp_kind kind;
    enum sdp_proto proto;
    struct str kind_text, proto_text, fmts; /* as written; fmts: the whole list */
    struct str *fmt;
    uint16_t n_fmts;
    uint16_t port, n_ports; /* n_ports: 1 unless written as port/number */
};

struct sdp_origin {
    struct str username, sess_id, sess_version;
    struct sdp_conn conn; /* without c='s ttl and count */
};

struct sdp {
    struct str text;
    struct sdp_origin origin;
    struct str name; /* s= */
    struct sdp_section session;
    struct sdp_media *media;
    struct sdp_line *lines;
    uint16_t n_media, n_lines;
    bool has_crlf;    /* the first line ends in CRLF: what we add ends the same way */
    bool has_unknown; /* a type letter that RFC 8866 does not know: an endpoint refuses the
                         description (RFC 8866 5) */
    struct arena *arena;
};

/* ERR_SYNTAX (sip_status 400 in `why`), ERR_LIMIT (413), ERR_NOMEM (500). Lenient only where it
 * changes no meaning: line ends may be LF alone (RFC 8866 5), s= and t= may be missing, session
 * lines may stand in another order, empty lines at the end. */
MUST_USE int sdp_parse(struct arena *a, struct str text, struct sdp **ret, struct reason *why);

const struct sdp_section *sdp_section(const struct sdp *s, int section);
/* The i-th line of an attribute in that section alone; NULL. */
const struct sdp_line *sdp_attr(const struct sdp *s, int section, enum sdp_attr_id id, unsigned i);
/* The i-th of the section if it has any, else the i-th of the session. */
const struct sdp_line *sdp_attr_inherited(const struct sdp *s, int section, enum sdp_attr_id id,
                                          unsigned i);
const struct sdp_line *sdp_attr_named(const struct sdp *s, int section, struct str name,
                                      unsigned i);
static inline bool sdp_has(const struct sdp *s, int section, enum sdp_attr_id id)
{
    return sdp_attr(s, section, id, 0) != NULL;
}
/* The address that counts for an m= section: its own first c=, else the session's; NULL if there is
 * neither. */
const struct sdp_conn *sdp_media_conn(const struct sdp *s, int media);

/* ---- what follows from the lines of one m= section ---- */

enum sdp_dir {
    SDP_INACTIVE = 0,
    SDP_SENDONLY = 1,
    SDP_RECVONLY = 2,
    SDP_SENDRECV = 3
}; /* bits: sends, receives */
static inline enum sdp_dir sdp_dir_reverse(enum sdp_dir d)
{
    return d == SDP_SENDONLY ? SDP_RECVONLY : d == SDP_RECVONLY ? SDP_SENDONLY : d;
}
struct str sdp_dir_text(enum sdp_dir d);
enum sdp_dir sdp_direction(const struct sdp *s,
                           int media); /* own, else the session's, else sendrecv (RFC 8866 6.7) */

/* Port 0 and not there only for BUNDLE (RFC 3264 6, 8843 6). */
bool sdp_media_is_rejected(const struct sdp *s, int media);

/* Where RTP and RTCP to the describer go: its addresses and ports, a=rtcp (RFC 3605) or the next
 * port, one for both where `mux` says that both sides have a=rtcp-mux (RFC 5761 5.1.1). is_null:
 * the old form of hold, c=0.0.0.0 (RFC 3264 8.4). ERR_NOTFOUND: no c= or port 0; ERR_UNSUPPORTED: a
 * host name, multicast, or a network that is not the Internet. */
struct sdp_target {
    struct addr rtp, rtcp;
    bool is_null;
};
MUST_USE int sdp_media_target(const struct sdp *s, int media, bool mux, struct sdp_target *ret);

/* The m= section whose transport this one shares by BUNDLE: the first of its group that is not
 * rejected (RFC 8843 7.2 to 7.4), possibly itself; -1 if it is in no such group. */
int sdp_bundle_of(const struct sdp *s, int media);
/* By a=mid; -1. */
int sdp_media_of_mid(const struct sdp *s, struct str mid);

/* A payload format: a=rtpmap, or what RFC 3551 6 says of a static type. ERR_NOTFOUND, ERR_SYNTAX.
 */
struct sdp_rtpmap {
    uint8_t pt;
    struct str name;
    uint32_t rate;
    uint8_t channels; /* 1 where nothing is said */
};
MUST_USE int sdp_rtpmap(const struct sdp *s, int media, unsigned pt, struct sdp_rtpmap *ret);
struct str sdp_fmtp(const struct sdp *s, int media, unsigned pt); /* empty: none */
/* b=, the section's own or else the session's, in bits per second: TIAS before AS (RFC 3890 6.2, RFC 8866 5.8);
 * false: neither is given, or it is beyond all reason. */
#define SDP_BANDWIDTH_MAX 100000000000ull
bool sdp_bandwidth(const struct sdp *s, int media, uint64_t *ret_bits_s);
unsigned sdp_ptime(const struct sdp *s, int media); /* milliseconds, 0: not given or out of range */

#endif

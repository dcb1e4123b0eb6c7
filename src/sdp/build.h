/* New descriptions from plain structs: an offer of our own, or an answer prepared by sdp/answer.h.
 * Lines come in the order of RFC 8866 5; whatever a caller passes is checked before it is written,
 * no value brings a line of its own. Pure; allocates nothing. */
#ifndef SDP_BUILD_H
#define SDP_BUILD_H

#include "base/sbuf.h"
#include "sdp/edit.h"

/* A format of RTP: what a=rtpmap and a=fmtp say. */
struct sdp_codec {
    struct str name; /* "PCMA" */
    uint32_t rate;   /* of the RTP clock */
    uint8_t channels;
    uint8_t pt;
    struct str fmtp; /* empty: none */
};

struct sdp_new_media {
    struct str kind, proto;  /* "audio", "RTP/AVP" */
    uint16_t port;           /* 0: rejected */
    const struct addr *host; /* NULL: the session's */
    const struct sdp_codec *codecs;
    size_t n_codecs;
    struct str fmts; /* in place of codecs: written as they are, without rtpmap (rejected sections,
                        other protocols) */
    bool has_dir;
    enum sdp_dir dir;
    unsigned ptime_ms;  /* 0: nothing said */
    uint16_t rtcp_port; /* 0: nothing said, the port above */
    bool rtcp_mux;
    struct str mid;                   /* empty: none */
    const struct sdp_new_attr *attrs; /* whatever key management and ICE add */
    size_t n_attrs;
};

struct sdp_new {
    struct str username; /* empty: "-" */
    uint64_t sess_id, sess_version;
    const struct addr *host; /* of o= and c= */
    struct str name;         /* empty: "-" */
    struct str bundle;       /* mids in one BUNDLE group, blank separated; empty: none */
    const struct sdp_new_attr *attrs;
    size_t n_attrs;
    const struct sdp_new_media *media;
    size_t n_media;
};
/* ERR_INVALID: something that may not be written; ERR_LIMIT: b is too small. */
MUST_USE int sdp_build(struct sbuf *b, const struct sdp_new *n);

/* "IN IP4 192.0.2.1" */
void sdp_put_host(struct sbuf *b, const struct addr *a);

#endif

/* Attribute values with a structure, each parsed from what stands behind the attribute's colon and
 * written back by its own function: what key management, ICE and the relay work with. Slices over
 * the value; nothing is copied, no key is decoded here (the owner decodes into a struct secret).
 * All parsers: ERR_SYNTAX, or ERR_UNSUPPORTED where said. Pure; any thread. */
#ifndef SDP_VALUES_H
#define SDP_VALUES_H

#include "base/sbuf.h"
#include "sdp/sdp.h"

/* ---- a=crypto (RFC 4568 9.1): tag, suite, key parameters, session parameters ---- */
struct sdp_crypto {
    uint32_t tag; /* 1 to 9 digits */
    struct str suite;
    struct str keys;   /* "inline:...;inline:..." */
    struct str params; /* session parameters, blank separated; empty: none */
};
MUST_USE int sdp_crypto_parse(struct str value, struct sdp_crypto *ret);
/* Next key of `keys`: method ("inline") and info. False at the end, or when malformed (then *keys.n
 * > 0). */
bool sdp_crypto_key_next(struct str *keys, struct str *ret_method, struct str *ret_info);
/* Next session parameter, name and value ("KDR=3"; value.p NULL: none). */
bool sdp_crypto_param_next(struct str *params, struct str *ret_name, struct str *ret_value);
/* The info of an inline key (RFC 4568 9.2): key and salt in base64, lifetime in packets, MKI. */
struct sdp_inline_key {
    struct str key_salt;
    uint64_t lifetime; /* 0: not given; 2^n is resolved, more than 2^63 is ERR_SYNTAX */
    struct str mki;    /* decimal; empty: none */
    unsigned mki_len;  /* bytes, 1 to 128 */
};
MUST_USE int sdp_inline_key_parse(struct str info, struct sdp_inline_key *ret);

/* ---- a=fingerprint (RFC 8122 5) ---- */
#define SDP_FINGERPRINT_MAX 64
struct sdp_fingerprint {
    struct str hash; /* "sha-256", any case */
    uint8_t n;
    uint8_t bytes[SDP_FINGERPRINT_MAX];
};
MUST_USE int sdp_fingerprint_parse(struct str value, struct sdp_fingerprint *ret);
void sdp_fingerprint_build(struct sbuf *b,
                           const struct sdp_fingerprint *f); /* value with upper-case hex */

/* ---- a=setup (RFC 4145 4) ---- */
enum sdp_setup {
    SDP_SETUP_NONE,
    SDP_SETUP_ACTIVE,
    SDP_SETUP_PASSIVE,
    SDP_SETUP_ACTPASS,
    SDP_SETUP_HOLDCONN
};
/* NONE: absent or malformed. Own, else the session's. */
enum sdp_setup sdp_setup(const struct sdp *s, int media);
struct str sdp_setup_text(enum sdp_setup v); /* empty for NONE */

/* ---- a=key-mgmt (RFC 4567 3.1): protocol and base64 data ---- */
struct sdp_key_mgmt {
    struct str protocol, data;
};
MUST_USE int sdp_key_mgmt_parse(struct str value, struct sdp_key_mgmt *ret);

/* ---- a=zrtp-hash (RFC 6189 8): version and hex of the Hello's hash ---- */
struct sdp_zrtp_hash {
    struct str version, hex;
};
MUST_USE int sdp_zrtp_hash_parse(struct str value, struct sdp_zrtp_hash *ret);

/* ---- a=candidate (RFC 8839 5.1) ---- */
struct sdp_candidate {
    struct str foundation, transport, type,
        host; /* host as written; addr is set where it is an address (not mDNS names) */
    struct str extensions; /* name value pairs behind the known ones; may be empty */
    uint32_t component;    /* 1 RTP, 2 RTCP; to 256 */
    uint32_t priority;
    struct addr addr; /* with port */
    uint16_t port;
    struct str rel_host; /* empty: none */
    uint16_t rel_port;
};
MUST_USE int sdp_candidate_parse(struct str value, struct sdp_candidate *ret);
void sdp_candidate_build(struct sbuf *b,
                         const struct sdp_candidate *c); /* addr where set, else host and port */

/* ---- a=group (RFC 5888 5): semantics; then words of `mids` ---- */
MUST_USE int sdp_group_parse(struct str value, struct str *ret_semantics, struct str *ret_mids);
bool sdp_word_next(struct str *rest, struct str *ret);

#endif

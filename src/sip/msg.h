/* SIP messages: immutable bytes and an index of header slices over them (RFC 3261 7, 25.1; RFC 4475 and 5118 say how to
 * treat the odd ones). sip_msg_parse walks the bytes once, names each header (compact forms and folding included), and
 * parses what every message needs: start line, top Via, From, To, Call-ID, CSeq, Max-Forwards, Content-Length. Everything
 * else is parsed when asked for. Pure: no I/O, no clock, all memory from the caller's arena.
 *
 * Ownership: a sip_msg and all slices live as long as the bytes and the arena it was parsed into. */
#ifndef SIP_MSG_H
#define SIP_MSG_H

#include "base/arena.h"
#include "base/reason.h"
#include "sip/uri.h"

enum sip_method {
    SIP_METHOD_OTHER, SIP_INVITE, SIP_ACK, SIP_BYE, SIP_CANCEL, SIP_OPTIONS, SIP_REGISTER, SIP_PRACK, SIP_SUBSCRIBE,
    SIP_NOTIFY, SIP_PUBLISH, SIP_INFO, SIP_REFER, SIP_MESSAGE, SIP_UPDATE, SIP_METHOD_N
};
enum sip_method sip_method_parse(struct str s); /* case-sensitive (RFC 3261 7.1) */
struct str sip_method_text(enum sip_method m);  /* empty for OTHER */

/* Headers that something in the program asks for by name. One table in hdr.c gives names, compact forms and whether the
 * header is a comma separated list. */
enum sip_hdr_id {
    SIP_H_OTHER, SIP_H_VIA, SIP_H_FROM, SIP_H_TO, SIP_H_CALL_ID, SIP_H_CSEQ, SIP_H_CONTACT, SIP_H_MAX_FORWARDS,
    SIP_H_ROUTE, SIP_H_RECORD_ROUTE, SIP_H_CONTENT_LENGTH, SIP_H_CONTENT_TYPE, SIP_H_CONTENT_DISPOSITION,
    SIP_H_CONTENT_ENCODING, SIP_H_EXPIRES, SIP_H_MIN_EXPIRES, SIP_H_REQUIRE, SIP_H_PROXY_REQUIRE, SIP_H_SUPPORTED,
    SIP_H_UNSUPPORTED, SIP_H_ALLOW, SIP_H_ACCEPT, SIP_H_AUTHORIZATION, SIP_H_PROXY_AUTHORIZATION,
    SIP_H_WWW_AUTHENTICATE, SIP_H_PROXY_AUTHENTICATE, SIP_H_AUTHENTICATION_INFO, SIP_H_PROXY_AUTHENTICATION_INFO,
    SIP_H_PATH, SIP_H_SERVICE_ROUTE, SIP_H_FLOW_TIMER, SIP_H_DATE, SIP_H_WARNING, SIP_H_RETRY_AFTER,
    SIP_H_TIMESTAMP, SIP_H_USER_AGENT, SIP_H_SERVER, SIP_H_SUBJECT, SIP_H_PRIORITY, SIP_H_REPLY_TO,
    SIP_H_IDENTITY, SIP_H_IDENTITY_INFO, SIP_H_P_ASSERTED_IDENTITY, SIP_H_P_PREFERRED_IDENTITY, SIP_H_PRIVACY,
    SIP_H_REFER_TO, SIP_H_REFERRED_BY, SIP_H_REPLACES, SIP_H_JOIN, SIP_H_EVENT, SIP_H_SUBSCRIPTION_STATE,
    SIP_H_ALLOW_EVENTS, SIP_H_SESSION_EXPIRES, SIP_H_MIN_SE, SIP_H_RACK, SIP_H_RSEQ, SIP_H_MAX_BREADTH,
    SIP_H_REASON, SIP_H_HISTORY_INFO, SIP_H_DIVERSION, SIP_H_CALL_INFO, SIP_H_ALERT_INFO, SIP_H_GEOLOCATION,
    SIP_H_GEOLOCATION_ROUTING, SIP_H_RESOURCE_PRIORITY, SIP_H_P_ACCESS_NETWORK_INFO, SIP_H_P_ASSOCIATED_URI,
    SIP_H_P_CHARGING_VECTOR, SIP_H_P_CALLED_PARTY_ID, SIP_H_P_PRIVATE_NETWORK_INDICATION, SIP_H_SECURITY_CLIENT,
    SIP_H_SECURITY_SERVER, SIP_H_SECURITY_VERIFY, SIP_H_ACCEPT_CONTACT, SIP_H_REJECT_CONTACT,
    SIP_H_REQUEST_DISPOSITION, SIP_H_ERROR_INFO, SIP_H_MIME_VERSION, SIP_H_ORGANIZATION, SIP_H_USER_TO_USER,
    SIP_H_SIP_ETAG, SIP_H_SIP_IF_MATCH, SIP_H_IN_REPLY_TO, SIP_H_X_SALLYPORT_STATUS, SIP_H_N
};

/* By name or compact form, any case; SIP_H_OTHER if there is no such row. */
enum sip_hdr_id sip_hdr_parse(struct str name);
struct str sip_hdr_text(enum sip_hdr_id id); /* the long form; empty for OTHER */
bool sip_hdr_is_list(enum sip_hdr_id id);    /* comma separated values (RFC 3261 7.3.1) */

struct sip_hdr {
    struct str name;  /* as written */
    struct str value; /* without leading and trailing white space; folds inside are left as they are */
    uint32_t line_start, line_end; /* offsets of the whole line(s) in the message, CRLF included */
    uint16_t id;      /* enum sip_hdr_id */
    int16_t next;     /* index of the next header of the same id, -1 at the end */
};

struct sip_via { /* RFC 3261 20.42 */
    struct str whole;
    struct str transport; /* as written; also parsed: */
    int transport_id;     /* enum transport (base/path.h), or negative ERR_ code */
    struct str host;      /* without brackets */
    uint16_t port;        /* 0: none */
    struct str branch, received, maddr, params; /* params: everything behind the sent-by, from the first ';' */
    bool has_rport, has_alias, has_keep, has_ob;
    uint16_t rport; /* 0 when empty or absent */
    uint8_t ttl;
};

struct sip_addr { /* From, To, Contact, Route, Refer-To ...: name-addr or addr-spec with header parameters */
    struct str whole;   /* one value */
    struct str display; /* unquoted is not done: as written, without the outer quotes */
    struct str uri;     /* addr-spec, without <> */
    struct str params;  /* behind the address: ";tag=..." or empty */
    bool brackets;
    bool star;          /* Contact: * */
};

/* What somebody has found out of a message once and will ask for again, as what is in its body takes long to read; a message itself
 * does not change. Filled by who finds it. */
struct sip_memo {
    bool is_known;
    int err;
    struct str description;
    const struct reason *why; /* of err */
};

struct sip_msg {
    struct str bytes;    /* the whole message */
    struct str head;     /* start line and headers, up to and including the empty line */
    struct str body;     /* Content-Length bytes where given, else the rest of the datagram */
    bool is_request;
    enum sip_method method;  /* of the request line, or of CSeq in a response */
    struct str method_text;
    struct str ruri;         /* requests */
    struct sip_uri uri;      /* ruri parsed; meaningful while defect.sip_status is 0 */
    unsigned status;         /* responses */
    struct str phrase;
    struct sip_hdr *hdrs;
    uint16_t n_hdrs;
    int16_t first[SIP_H_N]; /* index of the first header of an id, -1: absent */
    struct sip_via via;     /* the top Via */
    struct str call_id;
    uint32_t cseq;
    enum sip_method cseq_method;
    struct str cseq_method_text;
    struct sip_addr from, to;
    struct str from_tag, to_tag; /* empty: none */
    int max_forwards;            /* -1: absent */
    /* The first thing wrong with a message that can still be answered: defect.sip_status is the response it deserves
     * (400, 413, 416, 505 ...); 0 when it is well formed. */
    struct reason defect;
    struct sip_memo *memo;
    struct arena *arena;
    uint64_t key[2]; /* what sip_txl_warm has worked out; has_key: it has */
    bool has_key;
};

/* Parses one whole message (the framing is done: for streams `bytes` ends where Content-Length says).
 * 0: *ret is set; the caller still looks at defect.sip_status before acting on it. ERR_SYNTAX: not even answerable (no start
 * line, no Via, a response that is malformed): drop and count, `why` says what. ERR_LIMIT, ERR_NOMEM likewise. */
MUST_USE int sip_msg_parse(struct arena *a, struct str bytes, struct sip_msg **ret, struct reason *why);
/* The same in two steps: lines, start line and the top Via, which tell whose message it is; then the other fields. What belongs to it
 * can be asked of memory in between. */
MUST_USE int sip_msg_scan(struct arena *a, struct str bytes, struct sip_msg **ret, struct reason *why);
MUST_USE int sip_msg_fields(struct sip_msg *m, struct reason *why);

/* A fragment of a message (RFC 3420), or a message inside of another one (RFC 3261 23.4): header fields, in front of them a start line
 * or none, behind them a body or none. Nothing must be there; what is there and cannot be read is in `defect`. */
MUST_USE int sip_frag_parse(struct arena *a, struct str bytes, struct sip_msg **ret, struct reason *why);

/* The i-th header line of an id, NULL if absent. */
const struct sip_hdr *sip_msg_hdr(const struct sip_msg *m, enum sip_hdr_id id, unsigned i);
/* The values of its lines, the first `cap` of them; how many. */
size_t sip_msg_lines(const struct sip_msg *m, enum sip_hdr_id id, struct str *ret, size_t cap);
/* Any header by name (case-insensitive, compact forms known); NULL if absent. */
const struct sip_hdr *sip_msg_hdr_named(const struct sip_msg *m, struct str name, unsigned i);
static inline bool sip_msg_has(const struct sip_msg *m, enum sip_hdr_id id)
{
    return m->first[id] >= 0;
}

/* Walks the comma separated values of all lines of a header in order, respecting quotes, <> and comments.
 *     struct sip_values it = sip_values_start(m, SIP_H_ROUTE);
 *     while (sip_values_next(&it)) use(it.value, it.hdr);
 *     if (it.bad) ... */
struct sip_values {
    const struct sip_msg *msg;
    int16_t hdr; /* index of the line the value is in */
    int16_t next_hdr;
    uint16_t n;  /* values so far */
    struct str value, rest;
    bool bad;
};
struct sip_values sip_values_start(const struct sip_msg *m, enum sip_hdr_id id);
bool sip_values_next(struct sip_values *it);

/* Cuts the first value off a comma separated list: *rest is what follows its comma (p == NULL: nothing follows). False if a
 * quoted string or <> does not end. */
bool sip_list_cut(struct str *rest, struct str *ret_value);

MUST_USE int sip_addr_parse(struct str value, struct sip_addr *ret);
MUST_USE int sip_via_parse(struct str value, struct sip_via *ret);
/* A ;name=value parameter list (also URI parameters): value of `name` (case-insensitive); quotes are taken off, escapes inside
 * stay. An unquoted value is read up to the next separator and may hold what a token may not (":", "/", "=": many tags do). True if present; ret may be NULL, and is empty for a flag. */
bool sip_param_find(struct str params, struct str name, struct str *ret);
/* Next parameter of a list; false at the end or when malformed (then *params.p stays where it broke and params.n > 0). */
bool sip_param_next(struct str *params, struct str *ret_name, struct str *ret_value);
/* Is an option tag or token in any line of the header (Require, Supported, Allow ...)? */
bool sip_msg_has_token(const struct sip_msg *m, enum sip_hdr_id id, struct str token);
/* Delta seconds of a header (Expires, Min-Expires, Session-Expires...): ERR_NOTFOUND, ERR_SYNTAX; over 2^32-1 is capped. */
MUST_USE int sip_msg_seconds(const struct sip_msg *m, enum sip_hdr_id id, uint32_t *ret);
/* Removes folds and outer quotes and resolves quoted-pairs; the result lives in the arena. */
MUST_USE int sip_unquote(struct arena *a, struct str s, struct str *ret);
/* The default reason phrase of a status, "Unknown" class texts otherwise. Never empty. */
struct str sip_status_text(unsigned status);

/* One part of a multipart body (RFC 5621, 2046); walking is bounded by LIMIT_BODY_PARTS and never nests by recursion. */
struct sip_part {
    struct str content_type, content_disposition, content_id, headers, body;
    bool required; /* handling is not optional (RFC 5621 8.2: default for session and unknown dispositions) */
    unsigned depth;
};
/* Parts of the body in document order. *ret_n holds the capacity in, the number out. A simple body is one part of depth 0. Of a
 * multipart body come its parts, depth 1; a part that is a multipart itself comes first, then its parts with one more depth.
 * ERR_SYNTAX (400), ERR_LIMIT (413) with `why`. */
MUST_USE int sip_body_parts(const struct sip_msg *m, struct sip_part *ret, size_t *ret_n, struct reason *why);
/* The same of a MIME entity, its header in front: the entity is the first part, depth 0, and of a multipart come its parts behind it. */
MUST_USE int sip_entity_parts(struct str entity, struct sip_part *ret, size_t *ret_n, struct reason *why);
/* A part from the first byte of its header to the last of its body: what a signature over it is over (RFC 1847 2.1). Not of a body
 * that is no multipart. */
struct str sip_part_whole(const struct sip_part *part);
struct str sip_part_header(const struct sip_part *part, struct str name); /* p == NULL: it has none */
/* Is a Content-Type of this "type/subtype"? One of its parameters; p == NULL: there is none. */
bool sip_type_is(struct str content_type, struct str wanted);
struct str sip_type_param(struct str content_type, struct str name);

/* Does the message's From-tag/Call-ID/CSeq/To-tag look like an in-dialog request? */
static inline bool sip_msg_in_dialog(const struct sip_msg *m)
{
    return m->to_tag.n > 0;
}

#endif

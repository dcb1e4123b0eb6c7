/* Making messages: edits over a received one (what is not edited leaves byte for byte as it came, RFC 3261 16.6), responses,
 * and new requests. Edits are visible at once through sip_edit_value; nothing is queued or applied later.
 * Pure; memory from the message's arena; the result is one fresh buffer. */
#ifndef SIP_EDIT_H
#define SIP_EDIT_H

#include "base/buf.h"
#include "sip/msg.h"

struct sip_edit;

MUST_USE struct sip_edit *sip_edit_new(struct arena *a, const struct sip_msg *m); /* NULL: no memory */
/* All of these are sticky on failure: the first error comes back from sip_edit_build. Slices are borrowed until then.
 * ERR_INVALID: a message with a defect is not edited; a value with a line end outside a fold, or a control character outside a
 * quoted-pair, is not written, nor a name that is no token; Content-Length is not for callers to change. */
void sip_edit_ruri(struct sip_edit *e, struct str uri);
/* In front of all lines of its kind (Via, Record-Route, Route, Path), or at the top if there are none. */
void sip_edit_add_first(struct sip_edit *e, enum sip_hdr_id id, struct str value);
/* Behind the last header. `name` for headers without an id. */
void sip_edit_add_last(struct sip_edit *e, enum sip_hdr_id id, struct str value);
void sip_edit_add_named(struct sip_edit *e, struct str name, struct str value);
/* Replaces the value of all lines of a header by one line (added if absent). */
void sip_edit_set(struct sip_edit *e, enum sip_hdr_id id, struct str value);
void sip_edit_remove(struct sip_edit *e, enum sip_hdr_id id);              /* all lines */
void sip_edit_remove_named(struct sip_edit *e, struct str name);           /* all lines, any spelling */
/* The i-th value, counted before edits. One that never was is ERR_NOTFOUND, and so is replacing one that is gone; removing one
 * that is gone is fine. A line loses its values one by one and goes with the last. */
void sip_edit_remove_value(struct sip_edit *e, enum sip_hdr_id id, unsigned i);
void sip_edit_replace_value(struct sip_edit *e, enum sip_hdr_id id, unsigned i, struct str value);
/* Replaces body and Content-Type (empty type: none) and Content-Length; other Content-* headers are the caller's to remove. */
void sip_edit_body(struct sip_edit *e, struct str content_type, struct str body);
/* The i-th value of a header as it will be sent; false if there is none. */
bool sip_edit_value(const struct sip_edit *e, enum sip_hdr_id id, unsigned i, struct str *ret);
/* Writes the message. A missing Content-Length is added (streams need it, 18.3). ERR_LIMIT, ERR_NOMEM, or the first error. */
MUST_USE int sip_edit_build(struct sip_edit *e, struct buf **ret);

/* A response by RFC 3261 8.2.6: Via, From, To (with `to_tag` added if the request has none and the status is not 100),
 * Call-ID, CSeq, Timestamp for 100; Record-Route too for 1xx above 100 and 2xx (12.1.1). `via_received` (may be NULL) is the
 * source address: adds received and fills rport where RFC 3261 18.2.1 and RFC 3581 4 ask for it. */
struct sip_response {
    unsigned status;
    struct str phrase; /* empty: sip_status_text */
    struct str to_tag;
    const struct addr *via_received;
    struct str content_type, body;
    struct {
        struct str name, value;
    } extra[24]; /* in order; used up to n_extra */
    size_t n_extra;
};
MUST_USE int sip_response_build(const struct sip_msg *req, const struct sip_response *r, struct buf **ret);

/* Adds received and rport to the top Via of a request that is forwarded or kept (RFC 3261 18.2.1, RFC 3581 4): an edit on `e`. */
void sip_edit_via_received(struct sip_edit *e, const struct sip_msg *m, const struct addr *source);

/* ACK to a final non-2xx response (17.1.1.3) and CANCEL (9.1) from the request as it was sent. */
MUST_USE int sip_ack_build(const struct sip_msg *sent_invite, const struct sip_msg *response, struct buf **ret);
MUST_USE int sip_cancel_build(const struct sip_msg *sent_invite, struct str reason_value, struct buf **ret);

/* A new request from parts (our phone, our own OPTIONS, NOTIFY): lines in the order given. */
struct sip_request {
    struct str method, ruri;
    struct {
        struct str name, value;
    } hdr[32];
    size_t n_hdr;
    struct str content_type, body;
};
MUST_USE int sip_request_build(const struct sip_request *r, struct buf **ret);

#endif

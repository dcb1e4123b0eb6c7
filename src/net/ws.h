/* WebSocket, server side: the upgrade request and the frames of a client, for the subprotocol
 * `sip`. RFC 6455 4.2, 5, 7; RFC 7118 4, 5. Pure but for memory: bytes in, events and bytes to send
 * out. Framing is libwslay's, whose 4 KiB of state is lent to a connection only while a frame is
 * incomplete, so that an idle one costs a few words.
 *
 * Owner: one connection each; thread: its worker's. */
#ifndef NET_WS_H
#define NET_WS_H

#include "base/buf.h"
#include "base/reason.h"
#include "net/pages.h"

#define WS_UPGRADE_MAX 8192u /* bytes of an upgrade request (browsers send cookies) */
#define WS_ANSWER_MAX 512u   /* dst of ws_upgrade */
#define WS_CONTROL_MAX 125u  /* RFC 6455 5.5 */
#define WS_HEADER_MAX 10u    /* of an unmasked frame */
#define WS_SPARE_MAX 64u     /* reader states kept for reuse */

/* Judges an upgrade request at the start of `in` and writes the HTTP answer to it into dst.
 * `origins`: comma separated Origin values that are let in, any if empty; requests without Origin
 * do not come from a browser and pass (RFC 6455 4.2.1). 0: upgraded, send the answer; frames follow
 * after *ret_used bytes. 0 and *ret_page set: no upgrade, but a plain GET for one of `pages` (may
 * be NULL): send the answer, its body, and close. ERR_AGAIN: more is needed. ERR_REFUSED: send the
 * answer and close. */
MUST_USE int ws_upgrade(struct str in, struct str origins, const struct net_pages *pages,
                        char dst[WS_ANSWER_MAX], size_t *ret_n, size_t *ret_used,
                        const struct net_page **ret_page, struct reason *reason);

enum ws_opcode {
    WS_TEXT = 1,
    WS_BINARY = 2,
    WS_CLOSE_FRAME = 8,
    WS_PING_FRAME = 9,
    WS_PONG_FRAME = 10
};
/* Header of an unfragmented frame of n bytes; returns its length. */
size_t ws_header_build(char dst[WS_HEADER_MAX], enum ws_opcode opcode, size_t n);

/* Reader states not in use; one a worker. Zero it. */
struct ws_pool {
    struct ws_reader *spare;
    unsigned n;
};
void ws_pool_done(struct ws_pool *pool);

/* The receiving side of one connection. Zero it. */
struct ws {
    struct ws_reader *reader; /* NULL between frames */
    struct buf *msg;          /* fragments so far */
    bool is_fragmented;       /* a message is under way */
    bool is_text;
};
void ws_done(struct ws *ws, struct ws_pool *pool);

enum ws_kind {
    WS_MORE,    /* all input is used up */
    WS_MESSAGE, /* ret->msg: one whole message, the caller's to unref */
    WS_PING,    /* ret->data, valid until the next call: send it back in a pong (RFC 6455 5.5.2) */
    WS_PONG,
    WS_CLOSE, /* ret->code: send it back in a close frame, then close (RFC 6455 5.5.1); 1005: the
                 frame was empty */
    WS_BAD    /* ret->code: send it in a close frame, then close; `reason` says what was wrong */
};
struct ws_event {
    struct buf *msg;
    struct str data;
    uint16_t code;
};
/* The next event in *in, which is advanced over what was used. Call until WS_MORE, WS_CLOSE or
 * WS_BAD. */
enum ws_kind ws_next(struct ws *ws, struct ws_pool *pool, struct str *in, struct ws_event *ret,
                     struct reason *reason);

#endif

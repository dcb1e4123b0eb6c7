/* SIP over WebSocket on a connection: upgrade, messages, pings, close. RFC 6455 4.2, 5.5, 7.1; RFC
 * 7118 4, 5, 6. Thread: the worker's. */
#include "base/err.h"
#include "base/log.h"
#include "net/net_priv.h"

static void refused(struct conn *c, const struct reason *reason)
{
    char text[ADDR_TEXT_MAX];
    LOG(LOG_INFO, "ws-refused", LS("peer", addr_text(&c->remote, text)), LZ("reason", reason->code),
        LZ("clause", reason->clause), LZ("detail", reason->detail));
    STAT_ADD(c->w, handshakes_failed, 1);
    conn_close(c, NET_CLOSE_PROTOCOL, reason);
}

void wsconn_upgrade(struct conn *c, const char *p, size_t n)
{
    char answer[WS_ANSWER_MAX];
    const struct net_page *page;
    struct reason reason;
    size_t len, used;
    struct str all = {p, n};
    if (c->in) {
        reason_set(&reason, "ws-too-large", "RFC 6585 5", 0, "upgrade request above what is taken");
        if (stream_keep(c, p, n, 0) != 0) {
            refused(c, &reason);
            return;
        }
        all = buf_str(c->in);
    }
    int err = ws_upgrade(all, str_z(c->l->ws_origins), c->l->pages, answer, &len, &used, &page,
                         &reason);
    if (err == ERR_AGAIN) {
        if (!c->in && stream_keep(c, p, n, 0) != 0)
            conn_close(c, NET_CLOSE_OVERLOAD, NULL);
        return;
    }
    if (stream_send_bytes(c, answer, len) != 0) {
        conn_close(c, NET_CLOSE_OVERLOAD, NULL);
        return;
    }
    if (err) {
        refused(c, &reason);
        return;
    }
    if (page) {
        STAT_ADD(c->w, pages, 1);
        (void)!stream_send_bytes(c, page->body.p, page->body.n);
        conn_close(c, NET_CLOSE_LOCAL, NULL);
        return;
    }
    struct buf *in = c->in;
    c->in = NULL;
    c->is_ws_open = true;
    conn_opened(c);
    if (used < all.n)
        wsconn_feed(c, all.p + used, all.n - used);
    buf_unref(in);
}

/* A frame of our own. */
static void send_control(struct conn *c, enum ws_opcode opcode, struct str data)
{
    char frame[WS_HEADER_MAX + WS_CONTROL_MAX];
    size_t n = ws_header_build(frame, opcode, data.n);
    if (data.n)
        memcpy(frame + n, data.p, data.n);
    if (c->is_ws_open && stream_send_bytes(c, frame, n + data.n) == ERR_NOMEM)
        conn_close(c, NET_CLOSE_OVERLOAD, NULL);
}

void wsconn_close(struct conn *c, unsigned code)
{
    char data[2] = {(char)(code >> 8), (char)code};
    send_control(c, WS_CLOSE_FRAME, str_make(data, code == 1005 ? 0 : 2));
    c->is_ws_open = false;
}

/* RFC 7118 6: the CRLF keep-alive of RFC 5626 works here too, as a message of its own. */
static void take_message(struct conn *c, struct buf *msg)
{
    struct str s = buf_str(msg);
    if (str_trim(s).n) {
        stream_deliver(c, msg);
        return;
    }
    STAT_ADD(c->w, keepalives, 1);
    if (str_eq(s, STR("\r\n\r\n")))
        send_control(c, WS_TEXT, STR("\r\n"));
    buf_unref(msg);
}

void wsconn_feed(struct conn *c, const char *p, size_t n)
{
    struct worker *w = c->w;
    struct str in = {p, n};
    while (c->state == CONN_OPEN) {
        struct ws_event e;
        struct reason reason;
        enum ws_kind kind = ws_next(&c->ws, &w->ws_pool, &in, &e, &reason);
        if (kind == WS_MORE)
            break;
        switch (kind) {
        case WS_MESSAGE:
            take_message(c, e.msg);
            break;
        case WS_PING:
            STAT_ADD(w, keepalives, 1);
            send_control(c, WS_PONG_FRAME, e.data);
            break;
        case WS_PONG:
            STAT_ADD(w, keepalives, 1);
            break;
        case WS_CLOSE:
            wsconn_close(c, e.code);
            reason_set(&reason, "ws-closed", "RFC 6455 5.5.1", 0, "close code %u", e.code);
            conn_close(c, NET_CLOSE_PEER, &reason);
            break;
        default:
            STAT_ADD(w, garbage, 1);
            wsconn_close(c, e.code);
            conn_close(c, NET_CLOSE_PROTOCOL, &reason);
            break;
        }
    }
    bool is_inside = c->ws.reader || c->ws.msg;
    if (!is_inside) {
        c->part_ms = 0;
    } else if (!c->part_ms) {
        c->part_ms = worker_now_ms(w);
        conn_arm(c);
    }
}

/* RFC 7118 5: text or binary. Text must be UTF-8 (RFC 6455 8.1), which a SIP message need not be
 * throughout. */
int wsconn_send(struct conn *c, struct buf *msg)
{
    char header[WS_HEADER_MAX];
    size_t n = ws_header_build(header, str_is_utf8(buf_str(msg)) ? WS_TEXT : WS_BINARY, msg->n);
    return c->is_ws_open ? stream_send_frame(c, header, n, msg) : ERR_CLOSED;
}

/* WebSocket frames of a client, by libwslay's frame reader. RFC 6455 5 (framing, masking,
 * fragments, control frames), 7.4 (close codes), 8.1 (UTF-8); RFC 7118 5 (one message a WebSocket
 * message). See ws.h. */
#include "net/ws.h"
#include "base/err.h"
#include "base/limits.h"
#include "base/mem.h"
#include <wslay/wslay.h>

struct ws_reader {
    struct ws_reader *next;
    wslay_frame_context_ptr ctx;
    struct str in;      /* lent by ws_next */
    uint64_t taken;     /* bytes that libwslay took */
    uint64_t accounted; /* ... of which belong to frames that are complete, or to the payload seen
                           of this one */
    uint64_t offset;    /* payload bytes of the current frame seen */
    bool is_inside;     /* the header of the current frame has been judged */
    unsigned n_control;
    char control[WS_CONTROL_MAX];
};

/* --- readers --- */

static ssize_t reader_take(uint8_t *dst, size_t n, int flags, void *arg)
{
    struct ws_reader *r = arg;
    (void)flags;
    if (r->in.n == 0)
        return -1;
    if (n > r->in.n)
        n = r->in.n;
    memcpy(dst, r->in.p, n);
    r->in.p += n;
    r->in.n -= n;
    r->taken += n;
    return (ssize_t)n;
}

static struct ws_reader *reader_get(struct ws_pool *pool)
{
    static const struct wslay_frame_callbacks callbacks = {.recv_callback = reader_take};
    struct ws_reader *r = pool->spare;
    if (r) {
        pool->spare = r->next;
        pool->n--;
        return r;
    }
    r = mem_zalloc(sizeof(*r));
    if (r && wslay_frame_context_init(&r->ctx, &callbacks, r) != 0) {
        mem_free(r);
        r = NULL;
    }
    return r;
}

static void reader_free(struct ws_reader *r)
{
    wslay_frame_context_free(r->ctx);
    mem_free(r);
}

/* Only a reader between two frames may serve another connection. */
static void reader_put(struct ws_pool *pool, struct ws_reader *r, bool is_clean)
{
    if (!is_clean || pool->n >= WS_SPARE_MAX) {
        reader_free(r);
        return;
    }
    r->taken = r->accounted = 0;
    r->next = pool->spare;
    pool->spare = r;
    pool->n++;
}

void ws_pool_done(struct ws_pool *pool)
{
    while (pool->spare) {
        struct ws_reader *r = pool->spare;
        pool->spare = r->next;
        reader_free(r);
    }
    pool->n = 0;
}

void ws_done(struct ws *ws, struct ws_pool *pool)
{
    if (ws->reader)
        reader_put(pool, ws->reader, false);
    buf_unref(ws->msg);
    *ws = (struct ws){0};
}

/* --- frames --- */

size_t ws_header_build(char dst[WS_HEADER_MAX], enum ws_opcode opcode, size_t n)
{
    unsigned char *d = (unsigned char *)dst;
    d[0] = (unsigned char)(0x80 | opcode);
    if (n < 126) {
        d[1] = (unsigned char)n;
        return 2;
    }
    unsigned bytes = n <= 0xffff ? 2 : 8;
    d[1] = bytes == 2 ? 126 : 127;
    for (unsigned i = 0; i < bytes; i++)
        d[2 + i] = (unsigned char)((uint64_t)n >> 8 * (bytes - 1 - i));
    return 2 + bytes;
}

static enum ws_kind bad(struct ws_event *ret, unsigned code, struct reason *reason, const char *id,
                        const char *clause, const char *detail)
{
    ret->code = (uint16_t)code;
    reason_set(reason, id, clause, 0, "%s", detail);
    return WS_BAD;
}

/* The header of a frame, before any of its payload is taken. */
static enum ws_kind judge_header(const struct ws *ws, const struct wslay_frame_iocb *f,
                                 struct ws_event *ret, struct reason *reason)
{
    if (!f->mask)
        return bad(ret, WSLAY_CODE_PROTOCOL_ERROR, reason, "ws-not-masked", "RFC 6455 5.1",
                   "frame without mask");
    if (f->rsv)
        return bad(ret, WSLAY_CODE_PROTOCOL_ERROR, reason, "ws-reserved-bits", "RFC 6455 5.2",
                   "reserved bits without an extension");
    switch (f->opcode) {
    case WSLAY_CONNECTION_CLOSE:
    case WSLAY_PING:
    case WSLAY_PONG:
        if (!f->fin || f->payload_length > WS_CONTROL_MAX)
            return bad(ret, WSLAY_CODE_PROTOCOL_ERROR, reason, "ws-control", "RFC 6455 5.5",
                       "control frame too long or in fragments");
        return WS_MORE;
    case WSLAY_TEXT_FRAME:
    case WSLAY_BINARY_FRAME:
    case WSLAY_CONTINUATION_FRAME:
        if (ws->is_fragmented != (f->opcode == WSLAY_CONTINUATION_FRAME))
            return bad(ret, WSLAY_CODE_PROTOCOL_ERROR, reason, "ws-fragment", "RFC 6455 5.4",
                       "fragment out of sequence");
        if (f->payload_length > LIMIT_MSG_BYTES - (ws->msg ? ws->msg->n : 0))
            return bad(ret, WSLAY_CODE_MESSAGE_TOO_BIG, reason, "ws-too-large", "RFC 6455 7.4.1",
                       "message above what is taken");
        return WS_MORE;
    default:
        return bad(ret, WSLAY_CODE_PROTOCOL_ERROR, reason, "ws-opcode", "RFC 6455 5.2",
                   "unknown opcode");
    }
}

/* Appends to the message under way. The buffer grows with what has come, not with what was
 * announced. */
static bool append(struct ws *ws, const uint8_t *p, size_t n, size_t rest)
{
    size_t have = ws->msg ? ws->msg->n : 0;
    if (!ws->msg || n > ws->msg->cap - have) {
        size_t want = have + n > 2 * have ? have + n : 2 * have;
        if (have == 0 && rest < 2048) /* the usual case: one frame, its length known, no growth */
            want = n + rest;
        struct buf *b = buf_new(want);
        if (!b)
            return false;
        if (have)
            memcpy(b->p, ws->msg->p, have);
        b->n = (uint32_t)have;
        buf_unref(ws->msg);
        ws->msg = b;
    }
    if (n)
        memcpy(ws->msg->p + have, p, n);
    ws->msg->n += (uint32_t)n;
    return true;
}

/* RFC 6455 7.4: what a peer may say. */
static bool is_close_code(unsigned code)
{
    return (code >= 1000 && code <= 1003) || (code >= 1007 && code <= 1014) ||
           (code >= 3000 && code <= 4999);
}

static enum ws_kind finish_close(const struct ws_reader *r, struct ws_event *ret,
                                 struct reason *reason)
{
    const unsigned char *p = (const unsigned char *)r->control;
    ret->code = WSLAY_CODE_NO_STATUS_RCVD;
    if (r->n_control == 0)
        return WS_CLOSE;
    unsigned code = r->n_control >= 2 ? (unsigned)p[0] << 8 | p[1] : 0;
    if (!is_close_code(code))
        return bad(ret, WSLAY_CODE_PROTOCOL_ERROR, reason, "ws-close-code", "RFC 6455 7.4",
                   "impossible close code");
    if (!str_is_utf8(str_make(r->control + 2, r->n_control - 2)))
        return bad(ret, WSLAY_CODE_INVALID_FRAME_PAYLOAD_DATA, reason, "ws-not-utf8",
                   "RFC 6455 8.1", "close reason is not UTF-8");
    ret->code = (uint16_t)code;
    return WS_CLOSE;
}

static enum ws_kind finish_frame(struct ws *ws, const struct wslay_frame_iocb *f,
                                 struct ws_event *ret, struct reason *reason)
{
    struct ws_reader *r = ws->reader;
    ret->data = str_make(r->control, r->n_control);
    switch (f->opcode) {
    case WSLAY_PING:
        return WS_PING;
    case WSLAY_PONG:
        return WS_PONG;
    case WSLAY_CONNECTION_CLOSE:
        return finish_close(r, ret, reason);
    default:
        break;
    }
    ws->is_fragmented = !f->fin;
    if (!f->fin)
        return WS_MORE;
    ret->data = STR_NULL;
    ret->msg = ws->msg;
    ws->msg = NULL;
    if (ws->is_text && !str_is_utf8(buf_str(ret->msg))) {
        buf_unref(ret->msg);
        ret->msg = NULL;
        return bad(ret, WSLAY_CODE_INVALID_FRAME_PAYLOAD_DATA, reason, "ws-not-utf8",
                   "RFC 6455 8.1", "text that is not UTF-8");
    }
    return WS_MESSAGE;
}

/* What libwslay read of the current frame: `n` bytes of its payload. */
static enum ws_kind take_payload(struct ws *ws, const struct wslay_frame_iocb *f,
                                 struct ws_event *ret, struct reason *reason)
{
    struct ws_reader *r = ws->reader;
    if (!r->is_inside) {
        enum ws_kind kind = judge_header(ws, f, ret, reason);
        if (kind != WS_MORE)
            return kind;
        r->is_inside = true;
        r->n_control = 0;
        r->offset = 0;
        /* libwslay refuses lengths that are not in the shortest form, so this is what the header
         * took (RFC 6455 5.2). */
        r->accounted += 6u + (f->payload_length > 0xffff ? 8u : f->payload_length > 125 ? 2u : 0u);
        if (f->opcode == WSLAY_TEXT_FRAME || f->opcode == WSLAY_BINARY_FRAME)
            ws->is_text = f->opcode == WSLAY_TEXT_FRAME;
    }
    r->offset += f->data_length;
    r->accounted += f->data_length;
    if (wslay_is_ctrl_frame(f->opcode)) {
        if (f->data_length)
            memcpy(r->control + r->n_control, f->data, f->data_length);
        r->n_control += (unsigned)f->data_length;
    } else if (!append(ws, f->data, f->data_length, (size_t)(f->payload_length - r->offset))) {
        return bad(ret, WSLAY_CODE_INTERNAL_SERVER_ERROR, reason, "no-memory", NULL,
                   "out of memory");
    }
    if (r->offset < f->payload_length)
        return WS_MORE;
    r->is_inside = false;
    return finish_frame(ws, f, ret, reason);
}

enum ws_kind ws_next(struct ws *ws, struct ws_pool *pool, struct str *in, struct ws_event *ret,
                     struct reason *reason)
{
    *ret = (struct ws_event){0};
    if (!ws->reader) {
        if (in->n == 0)
            return WS_MORE;
        ws->reader = reader_get(pool);
        if (!ws->reader)
            return bad(ret, WSLAY_CODE_INTERNAL_SERVER_ERROR, reason, "no-memory", NULL,
                       "out of memory");
    }
    struct ws_reader *r = ws->reader;
    enum ws_kind kind = WS_MORE;
    r->in = *in;
    while (kind == WS_MORE) {
        struct wslay_frame_iocb f = {0};
        ssize_t n = wslay_frame_recv(r->ctx, &f);
        if (n == WSLAY_ERR_WANT_READ)
            break;
        if (n < 0)
            kind = bad(ret, WSLAY_CODE_PROTOCOL_ERROR, reason, "ws-frame", "RFC 6455 5.2",
                       "malformed frame");
        else
            kind = take_payload(ws, &f, ret, reason);
    }
    *in = r->in;
    r->in = STR_NULL;
    if (kind == WS_MORE && !r->is_inside && r->accounted == r->taken) {
        ws->reader = NULL;
        reader_put(pool, r, true);
    }
    return kind;
}

/* Bytes of connections: read, cut into messages, handed up; queued, gathered, written. RFC
 * 3261 7.5, 18.3; RFC 5626 4.4.1, 3.5.1. One read and one write a turn and connection; a message
 * that came whole is copied once, from the worker's common read area into its own buffer; idle
 * connections own no buffer. Thread: the worker's. */
#include "base/err.h"
#include "base/mem.h"
#include "net/net_priv.h"
#include "net/stun.h"
#include <errno.h>
#include <sys/socket.h>

#define KEEP_FIRST_BYTES 2048u
#define IOV_MAX_OURS 64u
#define SPARE_OUT_MAX 4096u
#define WIRE_REST_MAX (256u << 10) /* TLS records kept for a peer that does not read */

/* --- receiving --- */

static void read_ended(struct conn *c, int error)
{
    struct reason reason;
    if (c->state >= CONN_DRAIN) {
        conn_drop(c);
        return;
    }
    c->has_failed |= error != 0;
    c->has_eof = true;
    reason_set(&reason, c->state == CONN_HANDSHAKE ? "tls-closed" : "conn-closed", NULL, 0, "%s",
               error ? strerror(error) : "closed by the other side");
    if (c->state == CONN_HANDSHAKE)
        tls_refused(c, &reason);
    conn_close(c, NET_CLOSE_PEER, &reason);
}

void stream_readable(struct conn *c)
{
    struct worker *w = c->w;
    if (c->signing)
        return; /* the end of a connection is noticed when there is an answer */
    if (c->state == CONN_HANDSHAKE) {
        if (w->handshake_budget == 0 || !signing_may_start(c))
            return; /* libuv reports it again next turn */
        w->handshake_budget--;
        w->n_read++;
    }
    ssize_t n = recv(c->fd, w->scratch, SCRATCH_BYTES, MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0) {
        read_ended(c, n < 0 ? errno : 0);
        return;
    }
    if (c->state >= CONN_CLOSING || w->is_stopping)
        return; /* read and forgotten, so that closing does not reset */
    c->rx_ms = worker_now_ms(w);
    STAT_ADD(w, bytes_in[c->transport], n);
    if (c->ssl)
        tls_readable(c, w->scratch, (size_t)n);
    else
        stream_feed(c, w->scratch, (size_t)n);
}

int stream_keep(struct conn *c, const char *p, size_t n, size_t need)
{
    size_t have = c->in ? c->in->n : 0;
    if (have + n > LIMIT_STREAM_RECV_BYTES)
        return ERR_LIMIT;
    size_t cap = c->in ? c->in->cap : 0;
    if (!c->in || have + n > cap || need > cap) {
        size_t want = 2 * cap < KEEP_FIRST_BYTES ? KEEP_FIRST_BYTES : 2 * cap;
        want = want < have + n ? have + n : want;
        want = need ? (need < have + n ? have + n : need) : want;
        struct buf *b = buf_new(want);
        if (!b)
            return ERR_NOMEM;
        if (have)
            memcpy(b->p, c->in->p, have);
        b->n = (uint32_t)have;
        buf_unref(c->in);
        c->in = b;
    }
    if (n)
        memcpy(c->in->p + have, p, n);
    c->in->n += (uint32_t)n;
    return 0;
}

void stream_deliver(struct conn *c, struct buf *msg)
{
    struct worker *w = c->w;
    struct rx rx = {.buf = msg, .hop = c->hop, .when_us = w->now_us};
    conn_path(c, &rx.path);
    c->has_message = true;
    w->n_read++;
    STAT_ADD(w, msgs_in[c->transport], 1);
    w->net.user.on_message(w->net.user.arg, &rx);
    buf_unref(msg);
}

static void out_of_memory(struct conn *c)
{
    struct reason reason;
    reason_set(&reason, "no-memory", NULL, 0, "out of memory");
    conn_close(c, NET_CLOSE_OVERLOAD, &reason);
}

static void garbage(struct conn *c, const char *p, size_t n, const struct reason *reason)
{
    struct worker *w = c->w;
    STAT_ADD(w, garbage, 1);
    if (w->net.user.on_garbage) {
        struct buf *b = buf_copy(str_make(p, n));
        struct rx rx = {.buf = b, .hop = c->hop, .when_us = w->now_us};
        conn_path(c, &rx.path);
        if (b)
            w->net.user.on_garbage(w->net.user.arg, &rx, reason);
        buf_unref(b);
    }
    conn_close(c, NET_CLOSE_PROTOCOL, reason);
}

static void answer_stun(struct conn *c, const char *p, size_t n)
{
    char answer[STUN_ANSWER_MAX];
    size_t len;
    STAT_ADD(c->w, keepalives, 1);
    (void)stun_answer(p, n, &c->remote, answer, &len);
    if (len && stream_send_bytes(c, answer, len) == ERR_NOMEM)
        out_of_memory(c);
}

/* One piece at p has been recognised; `msg` is its buffer if it is a message. */
static void take_piece(struct conn *c, enum framing_kind kind, const char *p, size_t n,
                       struct buf *msg, const struct reason *reason)
{
    switch (kind) {
    case FRAMING_MESSAGE:
        if (msg)
            stream_deliver(c, msg);
        else
            out_of_memory(c);
        break;
    case FRAMING_PING:
        STAT_ADD(c->w, keepalives, 1);
        if (stream_send_bytes(c, "\r\n", 2) == ERR_NOMEM)
            out_of_memory(c);
        break;
    case FRAMING_STUN:
        answer_stun(c, p, n);
        break;
    case FRAMING_BAD:
        garbage(c, p, n, reason);
        break;
    case FRAMING_SKIP:
    case FRAMING_MORE:
        break;
    }
}

static void keep_part(struct conn *c, const char *p, size_t n, size_t need)
{
    if (stream_keep(c, p, n, need) != 0) {
        out_of_memory(c);
        return;
    }
    if (!c->part_ms) {
        c->part_ms = worker_now_ms(c->w);
        conn_arm(c);
    }
}

/* Nothing was left over: the pieces are looked at where they were read. Returns how many bytes were
 * used. */
static size_t feed_fresh(struct conn *c, const char *p, size_t n)
{
    struct reason reason;
    size_t len;
    enum framing_kind kind = framing_next(&c->framing, p, n, &len, &reason);
    if (kind == FRAMING_MORE) {
        keep_part(c, p, n, len);
        return n;
    }
    struct buf *msg = kind == FRAMING_MESSAGE ? buf_copy(str_make(p, len)) : NULL;
    take_piece(c, kind, p, len, msg, &reason);
    return len;
}

/* Goes on with what was left over. */
static size_t feed_rest(struct conn *c, const char *p, size_t n)
{
    struct reason reason;
    size_t len, room = c->in->cap - c->in->n;
    if (room && n > room)
        n = room; /* the buffer has been made for the rest of the message, if its length is known */
    if (c->in->n + n > LIMIT_STREAM_RECV_BYTES)
        n = LIMIT_STREAM_RECV_BYTES - c->in->n;
    keep_part(c, p, n, 0);
    if (c->state != CONN_OPEN)
        return n;
    enum framing_kind kind = framing_next(&c->framing, c->in->p, c->in->n, &len, &reason);
    if (kind == FRAMING_MORE) {
        if (len > c->in->cap)
            keep_part(c, NULL, 0, len);
        return n;
    }
    struct buf *in = c->in;
    size_t used =
        n - (in->n -
             (kind == FRAMING_BAD ? in->n : len)); /* what is behind the piece is looked at again */
    c->in = NULL;
    c->part_ms = 0;
    in->n = (uint32_t)len;
    take_piece(c, kind, in->p, len, kind == FRAMING_MESSAGE ? buf_ref(in) : NULL, &reason);
    buf_unref(in);
    return used;
}

void stream_feed(struct conn *c, const char *p, size_t n)
{
    if (c->state == CONN_UPGRADE) {
        wsconn_upgrade(c, p, n);
        return;
    }
    if (c->transport == TRANSPORT_WS || c->transport == TRANSPORT_WSS) {
        wsconn_feed(c, p, n);
        return;
    }
    while (n && c->state == CONN_OPEN) {
        size_t used = c->in ? feed_rest(c, p, n) : feed_fresh(c, p, n);
        p += used;
        n -= used;
    }
}

/* --- the queue --- */

static struct out *out_new(struct worker *w)
{
    struct out *o = w->spare_out;
    if (!o)
        return mem_alloc(sizeof(*o));
    w->spare_out = o->next;
    w->n_spare_out--;
    return o;
}

static void out_free(struct worker *w, struct out *o)
{
    buf_unref(o->buf);
    if (w->n_spare_out >= SPARE_OUT_MAX) {
        mem_free(o);
        return;
    }
    o->next = w->spare_out;
    w->spare_out = o;
    w->n_spare_out++;
}

void stream_pool_done(struct worker *w)
{
    while (w->spare_out) {
        struct out *o = w->spare_out;
        w->spare_out = o->next;
        mem_free(o);
    }
    w->n_spare_out = 0;
}

static bool has_room(struct conn *c, size_t n)
{
    struct reason reason;
    if (c->out_n + n <= LIMIT_STREAM_SEND_BYTES)
        return true;
    STAT_ADD(c->w, send_queue_overflows, 1);
    reason_set(&reason, "conn-queue-full", NULL, 0, "%zu bytes wait for a peer that does not read",
               c->out_n);
    conn_close(c, NET_CLOSE_OVERLOAD, &reason);
    return false;
}

static void queued(struct conn *c, size_t n)
{
    c->out_n += n;
    if (c->state >= CONN_UPGRADE && !c->is_blocked && list_is_empty(&c->dirty))
        list_append(&c->w->dirty, &c->dirty);
}

int stream_send_frame(struct conn *c, const char *own, size_t n_own, struct buf *buf)
{
    size_t n = n_own + (buf ? buf->n : 0);
    if (!has_room(c, n))
        return ERR_LIMIT;
    struct out *o = out_new(c->w);
    if (!o)
        return ERR_NOMEM;
    *o = (struct out){.buf = buf ? buf_ref(buf) : NULL, .n_own = (uint8_t)n_own};
    if (n_own)
        memcpy(o->own, own, n_own);
    if (c->out)
        c->out_last->next = o;
    else
        c->out = o;
    c->out_last = o;
    queued(c, n);
    return 0;
}

int stream_send_bytes(struct conn *c, const char *p, size_t n)
{
    struct out *last = c->out ? c->out_last : NULL;
    if (n <= sizeof(last->own) && (!last || last->buf || last->n_own + n > sizeof(last->own)))
        return stream_send_frame(c, p, n, NULL);
    if (n <= sizeof(last->own)) { /* many small ones, as of a peer that sends nothing but pings */
        if (!has_room(c, n))
            return ERR_LIMIT;
        memcpy(last->own + last->n_own, p, n);
        last->n_own = (uint8_t)(last->n_own + n);
        queued(c, n);
        return 0;
    }
    struct buf *b = buf_copy(str_make(p, n));
    int err = b ? stream_send_frame(c, NULL, 0, b) : ERR_NOMEM;
    buf_unref(b);
    return err;
}

int stream_send(struct conn *c, struct buf *msg)
{
    int err = c->transport == TRANSPORT_WS || c->transport == TRANSPORT_WSS
                  ? wsconn_send(c, msg)
                  : stream_send_frame(c, NULL, 0, msg);
    if (!err) {
        STAT_ADD(c->w, msgs_out[c->transport], 1);
        STAT_ADD(c->w, bytes_out[c->transport], msg->n);
    }
    return err;
}

/* --- writing --- */

static void blocked(struct conn *c)
{
    c->is_blocked = true;
    c->blocked_ms = worker_now_ms(c->w);
    conn_watch(c);
    conn_arm(c);
}

static void write_failed(struct conn *c, int error)
{
    struct reason reason;
    c->has_failed = true;
    if (c->state >= CONN_DRAIN) {
        conn_drop(c);
        return;
    }
    reason_set(&reason, "conn-closed", NULL, 0, "%s", strerror(error));
    conn_close(c, NET_CLOSE_PEER, &reason);
}

/* n bytes of the queue are done with. */
static void advance(struct conn *c, size_t n)
{
    c->out_n -= n;
    n += c->out_at;
    while (c->out) {
        struct out *o = c->out;
        size_t len = o->n_own + (o->buf ? o->buf->n : 0u);
        if (n < len)
            break;
        n -= len;
        c->out = o->next;
        out_free(c->w, o);
    }
    c->out_at = (uint32_t)n;
}

static unsigned gather_iov(const struct conn *c, struct iovec *iov)
{
    unsigned n = 0;
    size_t skip = c->out_at;
    for (struct out *o = c->out; o && n + 2 <= IOV_MAX_OURS; o = o->next) {
        if (skip < o->n_own)
            iov[n++] = (struct iovec){o->own + skip, o->n_own - skip};
        skip = skip < o->n_own ? 0 : skip - o->n_own;
        if (o->buf && skip < o->buf->n)
            iov[n++] = (struct iovec){o->buf->p + skip, o->buf->n - skip};
        skip = 0; /* only the first item can be partly written */
    }
    return n;
}

static void write_plain(struct conn *c)
{
    while (c->out) {
        struct iovec iov[IOV_MAX_OURS];
        struct msghdr h = {.msg_iov = iov, .msg_iovlen = gather_iov(c, iov)};
        size_t want = 0;
        for (size_t i = 0; i < h.msg_iovlen; i++)
            want += iov[i].iov_len;
        ssize_t n = sendmsg(c->fd, &h, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN) {
            blocked(c);
            return;
        }
        if (n < 0) {
            write_failed(c, errno);
            return;
        }
        advance(c, (size_t)n);
        if ((size_t)n < want) {
            blocked(c);
            return;
        }
    }
}

/* Copies up to `cap` bytes of the queue, for one TLS record. */
static size_t gather_copy(const struct conn *c, char *dst, size_t cap)
{
    struct iovec iov[IOV_MAX_OURS];
    unsigned n_iov = gather_iov(c, iov);
    size_t n = 0;
    for (unsigned i = 0; i < n_iov && n < cap; i++) {
        size_t len = iov[i].iov_len < cap - n ? iov[i].iov_len : cap - n;
        memcpy(dst + n, iov[i].iov_base, len);
        n += len;
    }
    return n;
}

/* Records that the socket did not take earlier. False: it still does not. */
static bool write_rest(struct conn *c)
{
    while (c->wire && c->wire_at < c->wire->n) {
        ssize_t n = send(c->fd, c->wire->p + c->wire_at, c->wire->n - c->wire_at,
                         MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN) {
            blocked(c);
            return false;
        }
        if (n < 0) {
            write_failed(c, errno);
            return false;
        }
        c->wire_at += (uint32_t)n;
    }
    buf_unref(c->wire);
    c->wire = NULL;
    c->wire_at = 0;
    return true;
}

static void write_tls(struct conn *c)
{
    struct worker *w = c->w;
    while (write_rest(c) && c->out && !c->has_failed && !c->is_blocked) {
        struct out *o = c->out;
        bool is_alone =
            !o->next && o->n_own == 0 && c->out_at == 0 && o->buf && o->buf->n <= PLAIN_BYTES;
        size_t n = is_alone ? o->buf->n : gather_copy(c, w->plain, PLAIN_BYTES);
        if (!tls_encrypt(c, is_alone ? o->buf->p : w->plain, n))
            return;
        advance(c, n);
    }
}

void stream_write(struct conn *c, const char *p, size_t n)
{
    while (n && !c->wire) {
        ssize_t sent = send(c->fd, p, n, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR)
            continue;
        if (sent < 0 && errno != EAGAIN) {
            write_failed(c, errno);
            return;
        }
        if (sent < 0)
            break;
        p += sent;
        n -= (size_t)sent;
    }
    if (n == 0)
        return;
    size_t have = c->wire ? c->wire->n - c->wire_at : 0;
    struct buf *b = have + n <= WIRE_REST_MAX ? buf_new(have + n) : NULL;
    if (!b) {
        c->has_failed = true; /* records are missing: nothing can follow them */
        out_of_memory(c);
        return;
    }
    if (have)
        memcpy(b->p, c->wire->p + c->wire_at, have);
    memcpy(b->p + have, p, n);
    b->n = (uint32_t)(have + n);
    buf_unref(c->wire);
    c->wire = b;
    c->wire_at = 0;
    if (!c->is_blocked)
        blocked(c);
}

void stream_flush(struct conn *c)
{
    if (c->is_blocked || c->state == CONN_DEAD)
        return;
    if (c->ssl && (c->state == CONN_HANDSHAKE || c->has_failed))
        (void)write_rest(c);
    else if (c->ssl)
        write_tls(c);
    else if (c->state >= CONN_UPGRADE)
        write_plain(c);
    if (c->state == CONN_DRAIN && !c->out && !c->wire && !c->is_blocked)
        conn_drained(c);
}

void stream_free(struct conn *c)
{
    while (c->out) {
        struct out *o = c->out;
        c->out = o->next;
        out_free(c->w, o);
    }
    ws_done(&c->ws, &c->w->ws_pool);
    buf_unref(c->in);
    buf_unref(c->wire);
}

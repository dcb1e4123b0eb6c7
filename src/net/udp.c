/* Datagrams: read and sent in batches, one system call for as many as there are. RFC
 * 3261 18.1.1, 18.2.1, 18.4 (ICMP); RFC 5626 4.4.2, 8 (STUN on the SIP port). Thread: the worker's.
 */
#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"
#include "net/net_priv.h"
#include "net/stun.h"
#include <errno.h>
#include <linux/errqueue.h>
#include <netinet/icmp6.h>
#include <netinet/ip_icmp.h>
#include <netinet/udp.h>
#include <sys/mman.h>

#define FIRST_BYTES 2048u  /* nearly every message fits */
#define SPILL_BYTES 65536u /* the rest of one that does not */
#define CONTROL_BYTES (CMSG_SPACE(sizeof(struct in6_pktinfo)) + CMSG_SPACE(sizeof(uint16_t)))
#define SEGMENT_MAX 1200u /* fits the least MTU of IPv6 with its headers */
#define SEGMENTS_MAX 40u  /* the kernel takes 64, and 64 KiB in all */
#define RUN_WINDOW 16u    /* how far down the queue others for the same place are looked for */
#define UDP_PAYLOAD_MAX 65507u
#define DROPS_EVERY_MS 1000u

struct send_batch {
    struct mmsghdr hdr[UDP_SEND_BATCH];
    struct iovec iov[UDP_SEND_BATCH];
    uint8_t order[UDP_SEND_BATCH];  /* which datagram of the queue each iov is */
    uint8_t n_msgs[UDP_SEND_BATCH]; /* how many of them each hdr has */
    unsigned n, n_hdr;
    _Alignas(struct cmsghdr) char control[UDP_SEND_BATCH][CONTROL_BYTES];
};

/* Where a batch is received into. The spill area is never touched, hence never in memory, unless a
 * message needs it. */
struct udp_in {
    struct mmsghdr hdr[UDP_BATCH];
    struct iovec iov[UDP_BATCH][2];
    struct addr from[UDP_BATCH];
    struct buf *buf[UDP_BATCH];
    char *spill;
    struct send_batch out;
    _Alignas(struct cmsghdr) char control[UDP_BATCH][CONTROL_BYTES];
};

int udp_init(struct worker *w)
{
    struct udp_in *in = mem_zalloc(sizeof(*in));
    if (!in)
        return ERR_NOMEM;
    void *spill = mmap(NULL, (size_t)UDP_BATCH * SPILL_BYTES, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (spill == MAP_FAILED) {
        mem_free(in);
        return ERR_NOMEM;
    }
    in->spill = spill;
    for (size_t i = 0; i < UDP_BATCH; i++) {
        in->iov[i][1] = (struct iovec){in->spill + i * SPILL_BYTES, SPILL_BYTES};
        in->hdr[i].msg_hdr =
            (struct msghdr){.msg_name = &in->from[i], .msg_iov = in->iov[i], .msg_iovlen = 2};
    }
    w->udp_in = in;
    return 0;
}

void udp_done(struct worker *w)
{
    struct udp_in *in = w->udp_in;
    if (!in)
        return;
    for (unsigned i = 0; i < UDP_BATCH; i++)
        buf_unref(in->buf[i]);
    munmap(in->spill, (size_t)UDP_BATCH * SPILL_BYTES);
    mem_free(in);
    w->udp_in = NULL;
}

/* --- receiving --- */

/* Buffers that nobody kept are used again. Returns how many messages can be received. */
static unsigned prepare(struct udp_in *in, const struct listener *l, unsigned used)
{
    for (unsigned i = 0; i < used; i++) {
        if (!in->buf[i]) {
            in->buf[i] = buf_new(FIRST_BYTES);
            if (!in->buf[i])
                return i;
            in->iov[i][0] = (struct iovec){in->buf[i]->p, in->buf[i]->cap};
        }
        struct msghdr *h = &in->hdr[i].msg_hdr;
        h->msg_namelen = sizeof(in->from[i]);
        h->msg_control = l->is_any ? in->control[i] : NULL;
        h->msg_controllen = l->is_any ? sizeof(in->control[i]) : 0;
    }
    return used;
}

/* The address a datagram was sent to, where the socket has them all. */
static void local_addr(struct msghdr *h, struct addr *ret)
{
    for (struct cmsghdr *c = CMSG_FIRSTHDR(h); c; c = CMSG_NXTHDR(h, c)) {
        if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO) {
            struct in_pktinfo info;
            memcpy(&info, CMSG_DATA(c), sizeof(info));
            ret->v4.sin_addr = info.ipi_spec_dst;
        } else if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_PKTINFO) {
            struct in6_pktinfo info;
            memcpy(&info, CMSG_DATA(c), sizeof(info));
            ret->v6.sin6_addr = info.ipi6_addr;
            if (IN6_IS_ADDR_LINKLOCAL(&info.ipi6_addr))
                ret->v6.sin6_scope_id = info.ipi6_ifindex;
        }
    }
}

static void answer_stun(struct listener *l, const struct path *path, const char *p, size_t n)
{
    struct worker *w = l->w;
    char out[STUN_ANSWER_MAX];
    size_t len;
    enum stun_kind kind = stun_answer(p, n, &path->remote, out, &len);
    if (kind == STUN_REQUEST || kind == STUN_INDICATION)
        STAT_ADD(w, keepalives, 1);
    else
        STAT_ADD(w, datagrams_dropped, 1);
    struct buf *b = len ? buf_copy(str_make(out, len)) : NULL;
    if (b && udp_send(w, path, b) != 0)
        STAT_ADD(w, datagrams_dropped, 1);
    buf_unref(b);
}

/* White space and zeros alone hold a NAT binding open: common, if no standard. What is in front of
 * a message is skipped (RFC 3261 7.5). Returns how many bytes to skip; n: nothing else is there. */
static size_t skip_space(const char *p, size_t n)
{
    size_t i = 0;
    while (i < n && (p[i] == '\r' || p[i] == '\n' || p[i] == ' ' || p[i] == '\0'))
        i++;
    return i;
}

static void deliver(struct listener *l, struct path *path, struct buf *b)
{
    struct worker *w = l->w;
    unsigned char first = b->n ? (unsigned char)b->p[0] : 0;
    if (UNLIKELY(first < 4 && b->n >= STUN_HEADER_BYTES)) {
        answer_stun(l, path, b->p, b->n);
        return;
    }
    if (UNLIKELY(first <= ' ')) {
        size_t skip = skip_space(b->p, b->n);
        b->n -= (uint32_t)skip;
        if (b->n == 0) {
            STAT_ADD(w, keepalives, 1);
            return;
        }
        memmove(b->p, b->p + skip, b->n);
        first = (unsigned char)b->p[0];
    }
    if (UNLIKELY(first < ' ' || first >= 0x7f ||
                 w->is_stopping)) { /* no token begins like this, RFC 3261 25.1 */
        STAT_ADD(w, datagrams_dropped, 1);
        return;
    }
    w->n_read++;
    STAT_ADD(w, msgs_in[TRANSPORT_UDP], 1);
    STAT_ADD(w, bytes_in[TRANSPORT_UDP], b->n);
    struct rx rx = {.path = *path, .buf = b, .hop = &hop_clear_in, .when_us = w->now_us};
    w->net.user.on_message(w->net.user.arg, &rx);
}

/* A datagram above the first buffer: whole in a new one. */
static struct buf *join(const struct udp_in *in, unsigned i, size_t n)
{
    size_t head = in->iov[i][0].iov_len;
    struct buf *b = buf_new(n);
    if (!b)
        return NULL;
    memcpy(b->p, in->buf[i]->p, head);
    memcpy(b->p + head, in->iov[i][1].iov_base, n - head);
    b->n = (uint32_t)n;
    return b;
}

static void take(struct listener *l, struct udp_in *in, unsigned i)
{
    struct path path = {
        .transport = TRANSPORT_UDP, .listener = l->index, .local = l->addr, .remote = in->from[i]};
    size_t n = in->hdr[i].msg_len;
    if (l->is_any)
        local_addr(&in->hdr[i].msg_hdr, &path.local);
    if (UNLIKELY((in->hdr[i].msg_hdr.msg_flags & MSG_TRUNC) || addr_port(&path.remote) == 0)) {
        STAT_ADD(l->w, datagrams_dropped, 1);
        return;
    }
    if (UNLIKELY(n > in->iov[i][0].iov_len)) {
        struct buf *b = join(in, i, n);
        if (b)
            deliver(l, &path, b);
        else
            STAT_ADD(l->w, datagrams_dropped, 1);
        buf_unref(b);
        return;
    }
    struct buf *b = in->buf[i];
    b->n = (uint32_t)n;
    deliver(l, &path, b);
    if (!buf_is_sole(b)) { /* somebody keeps it */
        buf_unref(b);
        in->buf[i] = NULL;
    }
}

/* What the kernel had no room for, about once a second while there is traffic. */
static void count_drops(struct listener *l)
{
    struct worker *w = l->w;
    uint32_t info[16]; /* SK_MEMINFO_VARS and some more */
    socklen_t len = sizeof(info);
    if (worker_now_ms(w) - l->drops_checked_ms < DROPS_EVERY_MS)
        return;
    l->drops_checked_ms = worker_now_ms(w);
    const unsigned drops = 8; /* SK_MEMINFO_DROPS, linux/sock_diag.h */
    if (getsockopt(l->fd, SOL_SOCKET, SO_MEMINFO, info, &len) != 0 ||
        len <= drops * sizeof(info[0]))
        return;
    uint32_t more = info[drops] - l->drops;
    l->drops = info[drops];
    if (more == 0)
        return;
    STAT_ADD(w, datagrams_dropped, more);
    if (worker_may_log(w, WORKER_LOG_UDP))
        LOG(LOG_WARN, "datagrams-dropped", LU("number", more), LU("worker", w->net.worker));
}

/* No memory for a single buffer: the datagrams are lost, but not the loop. */
static void discard(struct listener *l)
{
    while (recv(l->fd, l->w->scratch, SCRATCH_BYTES, MSG_DONTWAIT) >= 0)
        STAT_ADD(l->w, datagrams_dropped, 1);
}

void udp_readable(struct listener *l)
{
    struct udp_in *in = l->w->udp_in;
    for (unsigned round = 0; round < UDP_ROUNDS; round++) {
        unsigned room = prepare(in, l, UDP_BATCH);
        if (room == 0) {
            discard(l);
            return;
        }
        int n = recvmmsg(l->fd, in->hdr, room, MSG_DONTWAIT, NULL);
        if (n < 0) {
            if (errno != EAGAIN && errno != EINTR)
                udp_errors(l);
            return;
        }
        for (int i = 0; i < n; i++)
            take(l, in, (unsigned)i);
        if ((unsigned)n < room)
            break;
    }
    count_drops(l);
}

/* --- ICMP errors --- */

/* RFC 3261 18.4: host, network, port or protocol unreachable, and parameter problem; not source
 * quench or time exceeded. */
static bool is_unreachable(const struct sock_extended_err *e)
{
    if (e->ee_origin == SO_EE_ORIGIN_ICMP)
        return (e->ee_type == ICMP_DEST_UNREACH && e->ee_code != ICMP_FRAG_NEEDED) ||
               e->ee_type == ICMP_PARAMETERPROB;
    if (e->ee_origin == SO_EE_ORIGIN_ICMP6)
        return e->ee_type == ICMP6_DST_UNREACH || e->ee_type == ICMP6_PARAM_PROB;
    return false;
}

void udp_errors(struct listener *l)
{
    for (unsigned i = 0; i < UNREACHABLE_MAX; i++) {
        _Alignas(struct cmsghdr) char control[512];
        struct path path = {.transport = TRANSPORT_UDP, .listener = l->index, .local = l->addr};
        char none;
        struct iovec iov = {&none, 1};
        struct msghdr h = {.msg_name = &path.remote,
                           .msg_namelen = sizeof(path.remote),
                           .msg_iov = &iov,
                           .msg_iovlen = 1,
                           .msg_control = control,
                           .msg_controllen = sizeof(control)};
        if (recvmsg(l->fd, &h, MSG_ERRQUEUE | MSG_DONTWAIT) < 0)
            break;
        for (struct cmsghdr *c = CMSG_FIRSTHDR(&h); c; c = CMSG_NXTHDR(&h, c)) {
            struct sock_extended_err e;
            if (!(c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_RECVERR) &&
                !(c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_RECVERR))
                continue;
            memcpy(&e, CMSG_DATA(c), sizeof(e));
            if (is_unreachable(&e))
                worker_unreachable(l->w, &path);
        }
    }
    int error;
    socklen_t len = sizeof(
        error); /* a pending error would fail the next call, which it has nothing to do with */
    (void)getsockopt(l->fd, SOL_SOCKET, SO_ERROR, &error, &len);
}

/* --- sending --- */

/* The socket that a path names. Indexes may have changed by a reload: then the local address
 * decides. */
static struct listener *find(struct worker *w, const struct path *to)
{
    struct listener *l = to->listener < w->n_listeners ? w->listeners[to->listener] : NULL;
    if (LIKELY(l && l->transport == TRANSPORT_UDP &&
               addr_is_v6(&l->addr) == addr_is_v6(&to->remote) &&
               (!addr_is_set(&to->local) || addr_port(&to->local) == addr_port(&l->addr)) &&
               (l->is_any || !addr_is_set(&to->local) || addr_eq_host(&to->local, &l->addr))))
        return l;
    for (size_t i = 0; addr_is_set(&to->local) && i < w->n_listeners; i++) {
        l = w->listeners[i];
        if (l->transport == TRANSPORT_UDP && addr_is_v6(&l->addr) == addr_is_v6(&to->remote) &&
            addr_port(&to->local) == addr_port(&l->addr) &&
            (l->is_any || addr_eq_host(&to->local, &l->addr)))
            return l;
    }
    return NULL;
}

int udp_send(struct worker *w, const struct path *to, struct buf *msg)
{
    struct listener *l = find(w, to);
    if (!l || l->fd < 0)
        return ERR_CLOSED;
    if (msg->n > UDP_PAYLOAD_MAX)
        return ERR_UNSUPPORTED;
    if (l->n_out >= UDP_SEND_BATCH && !l->is_blocked)
        udp_flush(l);
    if (l->n_out == l->cap_out) {
        size_t cap = l->cap_out ? 2 * l->cap_out : UDP_SEND_BATCH;
        struct udp_out *out =
            cap <= UDP_SEND_QUEUE ? mem_realloc(l->out, cap * sizeof(*out)) : NULL;
        if (!out) {
            STAT_ADD(w, send_queue_overflows, 1);
            return cap <= UDP_SEND_QUEUE ? ERR_NOMEM : ERR_LIMIT;
        }
        l->out = out;
        l->cap_out = cap;
    }
    struct udp_out *o = &l->out[l->n_out++];
    o->buf = buf_ref(msg);
    o->to = to->remote;
    if (l->is_any)
        o->from = to->local;
    if (!l->is_blocked && list_is_empty(&l->dirty))
        list_append(&w->udp_dirty, &l->dirty);
    return 0;
}

/* Appends a control message to what h carries in `control`. */
static void add_control(struct msghdr *h, char *control, int level, int type, const void *data,
                        size_t n)
{
    struct cmsghdr c = {.cmsg_level = level, .cmsg_type = type, .cmsg_len = CMSG_LEN(n)};
    char *at = control + h->msg_controllen;
    memset(at, 0, CMSG_SPACE(n));
    memcpy(at, &c, sizeof(c));
    memcpy(CMSG_DATA((struct cmsghdr *)(void *)at), data, n);
    h->msg_control = control;
    h->msg_controllen += CMSG_SPACE(n);
}

/* The answer leaves from the address the question came to. */
static void set_source(struct msghdr *h, char *control, const struct addr *from)
{
    if (addr_is_v6(from)) {
        struct in6_pktinfo info = {.ipi6_addr = from->v6.sin6_addr,
                                   .ipi6_ifindex = from->v6.sin6_scope_id};
        add_control(h, control, IPPROTO_IPV6, IPV6_PKTINFO, &info, sizeof(info));
    } else {
        struct in_pktinfo info = {.ipi_spec_dst = from->v4.sin_addr};
        add_control(h, control, IPPROTO_IP, IP_PKTINFO, &info, sizeof(info));
    }
}

static bool is_same_way(const struct listener *l, const struct udp_out *a, const struct udp_out *b)
{
    return a->to.v4.sin_port == b->to.v4.sin_port && addr_eq(&a->to, &b->to) &&
           (!l->is_any || addr_eq(&a->from, &b->from));
}

/* Datagrams to one place that are of one size, but for the last, which may be shorter, are given to
 * the kernel as one, which cuts it up below IP (UDP_SEGMENT): that saves most of what a datagram
 * costs. Those to one place stay in their order. Returns which of the queue's q[0] to q[n - 1] go
 * together, as bits; q[first] is among them. */
static uint64_t run_find(const struct listener *l, const struct udp_out *q, unsigned n,
                         unsigned first, uint64_t taken)
{
    uint64_t run = (uint64_t)1 << first;
    unsigned len = 1, stop = first + RUN_WINDOW < n ? first + RUN_WINDOW : n;
    if (l->no_segments || q[first].buf->n > SEGMENT_MAX)
        return run;
    for (unsigned i = first + 1; i < stop && len < SEGMENTS_MAX; i++) {
        if ((taken >> i & 1) || !is_same_way(l, &q[first], &q[i]))
            continue;
        if (q[i].buf->n > q[first].buf->n || q[i].buf->n == 0)
            break;
        run |= (uint64_t)1 << i;
        len++;
        if (q[i].buf->n < q[first].buf->n)
            break;
        stop = i + 1 + RUN_WINDOW < n ? i + 1 + RUN_WINDOW : n;
    }
    return run;
}

static void fill_batch(struct send_batch *b, struct listener *l, size_t from)
{
    struct udp_out *q = &l->out[from];
    size_t left = l->n_out - from;
    unsigned n = left < UDP_SEND_BATCH ? (unsigned)left : UDP_SEND_BATCH;
    uint64_t taken = 0;
    b->n = b->n_hdr = 0;
    for (unsigned i = 0; i < n; i++) {
        if (taken >> i & 1)
            continue;
        struct msghdr *h = &b->hdr[b->n_hdr].msg_hdr;
        char *control = b->control[b->n_hdr];
        uint64_t run = run_find(l, q, n, i, taken);
        unsigned len = 0;
        *h = (struct msghdr){
            .msg_name = &q[i].to, .msg_namelen = addr_len(&q[i].to), .msg_iov = &b->iov[b->n]};
        taken |= run;
        for (; run; run &= run - 1, len++, b->n++) {
            unsigned at = (unsigned)__builtin_ctzll(run);
            b->order[b->n] = (uint8_t)at;
            b->iov[b->n] = (struct iovec){q[at].buf->p, q[at].buf->n};
        }
        h->msg_iovlen = len;
        if (l->is_any && addr_is_set(&q[i].from) && !addr_is_any(&q[i].from))
            set_source(h, control, &q[i].from);
        if (len > 1) {
            uint16_t size = (uint16_t)q[i].buf->n;
            add_control(h, control, IPPROTO_UDP, UDP_SEGMENT, &size, sizeof(size));
        }
        b->n_msgs[b->n_hdr++] = (uint8_t)len;
    }
}

/* The first datagram of a batch could not be sent, for a reason of its own. */
static void undeliverable(struct listener *l, const struct udp_out *o)
{
    struct path path = {
        .transport = TRANSPORT_UDP, .listener = l->index, .local = l->addr, .remote = o->to};
    STAT_ADD(l->w, datagrams_dropped, 1);
    worker_unreachable(l->w, &path);
}

/* The first n_hdr of the batch are gone; those of its datagrams that are not stay, in their order.
 * Returns how many went. */
static unsigned take_sent(struct listener *l, const struct send_batch *b, size_t from,
                          unsigned n_hdr)
{
    struct worker *w = l->w;
    struct udp_out *q = &l->out[from];
    unsigned sent = 0;
    for (unsigned i = 0; i < n_hdr; i++) {
        for (unsigned end = sent + b->n_msgs[i]; sent < end; sent++) {
            struct udp_out *o = &q[b->order[sent]];
            STAT_ADD(w, msgs_out[TRANSPORT_UDP], 1);
            STAT_ADD(w, bytes_out[TRANSPORT_UDP], o->buf->n);
            buf_unref(o->buf);
            o->buf = NULL;
        }
    }
    for (unsigned i = b->n, to = b->n; sent < b->n && i-- > 0;) {
        if (q[i].buf)
            q[--to] = q[i];
    }
    return sent;
}

/* Nothing of the batch went. */
static size_t send_failed(struct listener *l, const struct send_batch *b, size_t from,
                          bool *is_second_try)
{
    if (errno == EINTR)
        return 0;
    if (b->n_msgs[0] > 1 &&
        (errno == EINVAL || errno == EIO || errno == EMSGSIZE || errno == EOPNOTSUPP)) {
        l->no_segments = true; /* no checksums by this device, IPsec, a small MTU: one by one */
        return 0;
    }
    /* An ICMP error about something sent earlier fails this call too, once. */
    *is_second_try = !*is_second_try;
    if (*is_second_try) {
        udp_errors(l);
        return 0;
    }
    undeliverable(l, &l->out[from]);
    buf_unref(l->out[from].buf);
    return 1;
}

void udp_flush(struct listener *l)
{
    struct send_batch *b = &l->w->udp_in->out;
    size_t done = 0;
    bool is_second_try = false;
    while (done < l->n_out) {
        fill_batch(b, l, done);
        int sent = sendmmsg(l->fd, b->hdr, b->n_hdr, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (sent < 0 && errno == EAGAIN) {
            l->is_blocked = true;
            break;
        }
        if (sent < 0) {
            done += send_failed(l, b, done, &is_second_try);
            continue;
        }
        done += take_sent(l, b, done, (unsigned)sent);
        is_second_try = false;
    }
    l->n_out -= done;
    if (l->n_out)
        memmove(l->out, l->out + done, l->n_out * sizeof(*l->out));
    if (l->is_blocked)
        udp_watch(l);
}

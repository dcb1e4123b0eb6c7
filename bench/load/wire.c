/* The load generator's links: UDP in batches (recvmmsg, sendmmsg), TCP and TLS connections with
 * what is sent within one turn of the loop gathered into one write. Every link belongs to the one
 * thread; a closed link is freed at the end of the turn, so that events still queued for it find
 * it. */
#include "load.h"

#include <arpa/inet.h>
#include <errno.h>
#include <malloc.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

struct datagrams {
    unsigned n;
    struct mmsghdr msgs[LOAD_BATCH];
    struct iovec iovs[LOAD_BATCH];
    struct sockaddr_in addrs[LOAD_BATCH];
    char bytes[LOAD_BATCH][LOAD_RECEIVE_BYTES];
};

static struct datagrams *datagrams_new(void)
{
    struct datagrams *d = calloc(1, sizeof(*d));

    if (d == NULL)
        return NULL;
    for (unsigned i = 0; i < LOAD_BATCH; i++) {
        d->iovs[i] = (struct iovec){d->bytes[i], LOAD_RECEIVE_BYTES};
        d->msgs[i].msg_hdr = (struct msghdr){.msg_name = &d->addrs[i],
                                             .msg_namelen = sizeof(d->addrs[i]),
                                             .msg_iov = &d->iovs[i],
                                             .msg_iovlen = 1};
    }
    return d;
}

static SSL_CTX *tls_new(const SSL_METHOD *method)
{
    SSL_CTX *ctx = SSL_CTX_new(method);

    if (ctx == NULL)
        return NULL;
    SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION);
    SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
                              SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_CTX_set_read_ahead(ctx, 1);
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_verify(ctx, SSL_VERIFY_NONE, NULL);
    return ctx;
}

int wire_init(struct wire *w, struct wire_handlers on, const char *cert, const char *key)
{
    /* Connection buffers come and go with each message: without this the heap's top goes back to
     * the kernel each time. */
    mallopt(M_TRIM_THRESHOLD, 64 << 20);
    mallopt(M_TOP_PAD, 1 << 20);
    w->on = on;
    w->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    w->rx = datagrams_new();
    w->tls_client = tls_new(TLS_client_method());
    if (w->epoll_fd < 0 || w->rx == NULL || w->tls_client == NULL)
        return -1;
    if (cert == NULL)
        return 0;
    w->tls_server = tls_new(TLS_server_method());
    if (w->tls_server == NULL || SSL_CTX_use_certificate_chain_file(w->tls_server, cert) != 1 ||
        SSL_CTX_use_PrivateKey_file(w->tls_server, key, SSL_FILETYPE_PEM) != 1) {
        fprintf(stderr, "sipload: cannot use certificate %s with key %s\n", cert, key);
        return -1;
    }
    return 0;
}

static void link_address(struct link *link)
{
    socklen_t len = sizeof(link->local);
    char text[INET_ADDRSTRLEN];

    if (getsockname(link->fd, (struct sockaddr *)&link->local, &len) != 0)
        return;
    inet_ntop(AF_INET, &link->local.sin_addr, text, sizeof(text));
    snprintf(link->local_text, sizeof(link->local_text), "%s:%u", text,
             (unsigned)ntohs(link->local.sin_port));
}

static int link_watch(struct link *link, int op, bool write)
{
    struct epoll_event e = {.events = EPOLLIN | (write ? (uint32_t)EPOLLOUT : 0u),
                            .data.ptr = link};

    link->awaits_write = write;
    return epoll_ctl(link->wire->epoll_fd, op, link->fd, &e);
}

static struct link *link_new(struct wire *w, enum proto proto, enum link_role role, int fd)
{
    struct link *link = calloc(1, sizeof(*link));

    if (link == NULL) {
        close(fd);
        return NULL;
    }
    link->wire = w;
    link->fd = fd;
    link->proto = proto;
    link->role = role;
    return link;
}

static struct link *link_refuse(struct link *link, const char *what)
{
    fprintf(stderr, "sipload: %s: %s\n", what, strerror(errno));
    close(link->fd);
    free(link->tx);
    free(link);
    return NULL;
}

struct link *wire_udp(struct wire *w, struct sockaddr_in bind_to, const struct sockaddr_in *peer,
                      enum link_role role)
{
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), size = 4 << 20;
    struct link *link = fd < 0 ? NULL : link_new(w, PROTO_UDP, role, fd);

    if (link == NULL)
        return NULL;
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
    setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
    link->state = LINK_READY;
    link->tx = datagrams_new();
    if (peer != NULL)
        link->peer = *peer;
    if (link->tx == NULL || bind(fd, (struct sockaddr *)&bind_to, sizeof(bind_to)) != 0 ||
        link_watch(link, EPOLL_CTL_ADD, false) != 0)
        return link_refuse(link, "UDP socket");
    link_address(link);
    return link;
}

struct link *wire_connect(struct wire *w, enum proto proto, struct sockaddr_in from,
                          struct sockaddr_in peer)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), one = 1;
    struct link *link = fd < 0 ? NULL : link_new(w, proto, LINK_CLIENT, fd);

    if (link == NULL) {
        fprintf(stderr, "sipload: socket: %s\n", strerror(errno));
        return NULL;
    }
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof(one));
    link->peer = peer;
    link->state = LINK_CONNECTING;
    if (bind(fd, (struct sockaddr *)&from, sizeof(from)) != 0)
        return link_refuse(link, "bind");
    if (connect(fd, (struct sockaddr *)&peer, sizeof(peer)) != 0 && errno != EINPROGRESS)
        return link_refuse(link, "connect");
    link_address(link);
    if (link_watch(link, EPOLL_CTL_ADD, true) != 0)
        return link_refuse(link, "epoll");
    return link;
}

struct link *wire_listen(struct wire *w, enum proto proto, struct sockaddr_in at)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), one = 1;
    struct link *link = fd < 0 ? NULL : link_new(w, proto, LINK_LISTENER, fd);

    if (link == NULL)
        return NULL;
    link->state = LINK_READY;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    if (bind(fd, (struct sockaddr *)&at, sizeof(at)) != 0 || listen(fd, 1024) != 0 ||
        link_watch(link, EPOLL_CTL_ADD, false) != 0)
        return link_refuse(link, "listen");
    link_address(link);
    return link;
}

static void link_dirty(struct link *link)
{
    if (!link->dirty) {
        link->dirty = true;
        link->next_dirty = link->wire->dirty;
        link->wire->dirty = link;
    }
}

static void udp_flush(struct link *link)
{
    struct datagrams *d = link->tx;
    unsigned done = 0;

    while (done < d->n) {
        int n = sendmmsg(link->fd, d->msgs + done, d->n - done, 0);
        if (n > 0) {
            done += (unsigned)n;
        } else if (errno == EAGAIN || errno == ENOBUFS) {
            struct pollfd p = {.fd = link->fd, .events = POLLOUT};
            if (poll(&p, 1, 20) <= 0) {
                link->wire->dropped += d->n - done; /* retransmission makes up for it */
                break;
            }
        } else if (errno != EINTR) {
            done++; /* ECONNREFUSED of an earlier datagram, and the like */
            link->wire->dropped++;
        }
    }
    d->n = 0;
}

static void stream_append(struct link *link, const char *p, size_t len)
{
    if (link->out_cap - link->out_len < len) {
        size_t cap = link->out_cap == 0 ? 8192 : link->out_cap;
        while (cap - link->out_len < len)
            cap *= 2;
        char *grown = cap > LOAD_STREAM_BYTES ? NULL : realloc(link->out, cap);
        if (grown == NULL) {
            link->broken = true;
            return;
        }
        link->out = grown;
        link->out_cap = cap;
    }
    memcpy(link->out + link->out_len, p, len);
    link->out_len += len;
}

/* > 0 bytes moved, 0 nothing possible now, < 0 the connection is over. */
static ssize_t stream_read(struct link *link, char *p, size_t len)
{
    ssize_t n;

    if (link->proto == PROTO_TCP) {
        n = recv(link->fd, p, len, 0);
        if (n > 0)
            return n;
        return n < 0 && (errno == EAGAIN || errno == EINTR) ? 0 : -1;
    }
    int got = SSL_read(link->ssl, p, (int)len);
    if (got > 0)
        return got;
    int e = SSL_get_error(link->ssl, got);
    if (e == SSL_ERROR_WANT_READ || e == SSL_ERROR_WANT_WRITE)
        return 0;
    ERR_clear_error();
    return -1;
}

static ssize_t stream_write(struct link *link, const char *p, size_t len)
{
    if (link->proto == PROTO_TCP) {
        ssize_t n = send(link->fd, p, len, MSG_NOSIGNAL);
        return n >= 0 ? n : (errno == EAGAIN || errno == EINTR ? 0 : -1);
    }
    int put = SSL_write(link->ssl, p, (int)len);
    if (put > 0)
        return put;
    int e = SSL_get_error(link->ssl, put);
    if (e == SSL_ERROR_WANT_READ || e == SSL_ERROR_WANT_WRITE)
        return 0;
    ERR_clear_error();
    return -1;
}

/* A message a write, as phones and most servers send; what the connection does not take is kept for
 * the flush. */
static void stream_send(struct link *link, const char *p, size_t len)
{
    if (!link->wire->gather && link->state == LINK_READY && link->out_len == 0) {
        ssize_t n = stream_write(link, p, len);
        if (n < 0) {
            link->broken = true;
            return;
        }
        p += n;
        len -= (size_t)n;
    }
    if (len > 0)
        stream_append(link, p, len);
}

void link_send(struct link *link, const char *p, size_t len, const struct sockaddr_in *to)
{
    if (link->state == LINK_CLOSED || link->broken || len > LOAD_RECEIVE_BYTES)
        return;
    link->wire->sent++;
    link_dirty(link);
    if (link->proto != PROTO_UDP) {
        stream_send(link, p, len);
        return;
    }
    struct datagrams *d = link->tx;
    if (d->n == LOAD_BATCH)
        udp_flush(link);
    memcpy(d->bytes[d->n], p, len);
    d->iovs[d->n].iov_len = len;
    d->addrs[d->n] = to != NULL ? *to : link->peer;
    d->n++;
}

void link_close(struct link *link)
{
    if (link->state == LINK_CLOSED)
        return;
    if (link->ssl != NULL) {
        if (link->state == LINK_READY && !link->broken)
            SSL_shutdown(link->ssl);
        ERR_clear_error();
        SSL_free(link->ssl);
        link->ssl = NULL;
    }
    link->state = LINK_CLOSED;
    close(link->fd);
    link->fd = -1;
    link->next_dead = link->wire->dead;
    link->wire->dead = link;
}

static void link_lost(struct link *link)
{
    struct wire *w = link->wire;

    if (link->state == LINK_CLOSED)
        return;
    link->broken = true;
    w->disconnects++;
    if (w->on.closed != NULL)
        w->on.closed(link);
    link_close(link);
}

static void stream_flush(struct link *link)
{
    if (link->state != LINK_READY)
        return;
    if (link->broken) {
        link_lost(link);
        return;
    }
    while (link->out_done < link->out_len) {
        ssize_t n = stream_write(link, link->out + link->out_done, link->out_len - link->out_done);
        if (n < 0) {
            link_lost(link);
            return;
        }
        if (n == 0) {
            if (!link->awaits_write)
                link_watch(link, EPOLL_CTL_MOD, true);
            return;
        }
        link->out_done += (size_t)n;
    }
    link->out_len = link->out_done = 0;
    free(link->out); /* thousands of idle phones keep no buffers */
    link->out = NULL;
    link->out_cap = 0;
    if (link->awaits_write)
        link_watch(link, EPOLL_CTL_MOD, false);
}

void wire_flush(struct wire *w)
{
    while (w->dirty != NULL) {
        struct link *link = w->dirty;
        w->dirty = link->next_dirty;
        link->dirty = false;
        if (link->state == LINK_CLOSED)
            continue;
        if (link->proto == PROTO_UDP)
            udp_flush(link);
        else
            stream_flush(link);
    }
    while (w->dead != NULL) {
        struct link *link = w->dead;
        w->dead = link->next_dead;
        free(link->in);
        free(link->out);
        free(link->tx);
        free(link);
    }
}

static void message_in(struct link *link, const char *p, size_t len, const struct sockaddr_in *from)
{
    struct text t;

    if (link->wire->lose_percent > 0 && (unsigned)(random() % 100) < link->wire->lose_percent) {
        link->wire->lost++;
        return;
    }
    link->wire->received++;
    if (!text_scan(&t, p, len)) {
        if (link->wire->garbage++ < 3)
            fprintf(stderr, "sipload: not understood: %.*s\n", (int)len, p);
        return;
    }
    link->wire->on.message(link, &t, from);
}

static void udp_in(struct link *link)
{
    struct datagrams *d = link->wire->rx;

    for (int rounds = 0; rounds < 4; rounds++) {
        for (unsigned i = 0; i < LOAD_BATCH; i++)
            d->msgs[i].msg_hdr.msg_namelen = sizeof(d->addrs[i]);
        int n = recvmmsg(link->fd, d->msgs, LOAD_BATCH, MSG_DONTWAIT, NULL);
        for (int i = 0; i < n; i++)
            if (d->msgs[i].msg_len > 4)
                message_in(link, d->bytes[i], d->msgs[i].msg_len, &d->addrs[i]);
        if (n < LOAD_BATCH)
            break;
    }
}

/* RFC 3261 18.3: takes each complete message out of the stream buffer. */
static bool stream_frames(struct link *link)
{
    size_t at = 0;

    while (at < link->in_len && link->state == LINK_READY) {
        char *p = link->in + at;
        size_t left = link->in_len - at;
        if (left >= 4 && memcmp(p, "\r\n\r\n", 4) == 0) { /* RFC 5626 3.5.1: ping */
            link_send(link, "\r\n", 2, NULL);
            at += 4;
            continue;
        }
        if (*p == '\r' || *p == '\n') {
            if (left < 4 && *p == '\r' && link->role == LINK_SERVER)
                break;
            at++;
            continue;
        }
        char *end = memmem(p, left, "\r\n\r\n", 4);
        if (end == NULL)
            break;
        size_t head = (size_t)(end - p) + 4;
        struct text t;
        if (!text_scan(&t, p, head) || !t.has_length) {
            link->wire->garbage++;
            fprintf(stderr, "sipload: not understood: %.*s\n", (int)head, p);
            return false;
        }
        if (left - head < t.length)
            break;
        t.body.len = t.length;
        link->wire->received++;
        link->wire->on.message(link, &t, &link->peer);
        at += head + t.length;
    }
    if (link->in == NULL)
        return true;
    memmove(link->in, link->in + at, link->in_len - at);
    link->in_len -= at;
    return true;
}

static void stream_in(struct link *link)
{
    for (;;) {
        if (link->in_cap - link->in_len < 4096) {
            size_t cap = link->in_cap == 0 ? 32768 : link->in_cap * 2;
            char *grown = cap > LOAD_STREAM_BYTES ? NULL : realloc(link->in, cap);
            if (grown == NULL) {
                link_lost(link);
                return;
            }
            link->in = grown;
            link->in_cap = cap;
        }
        ssize_t n = stream_read(link, link->in + link->in_len, link->in_cap - link->in_len);
        if (n < 0) {
            link_lost(link);
            return;
        }
        if (n == 0)
            break;
        link->in_len += (size_t)n;
        if (!stream_frames(link)) {
            link_lost(link);
            return;
        }
        if (link->state != LINK_READY)
            return;
        /* A short read took everything: asking again would only cost a system call. */
        if (link->proto == PROTO_TLS ? !SSL_has_pending(link->ssl)
                                     : link->in_len + 4096 <= link->in_cap)
            break;
    }
    if (link->in_len == 0) {
        free(link->in);
        link->in = NULL;
        link->in_cap = 0;
    }
}

static void link_ready(struct link *link)
{
    link->state = LINK_READY;
    link_watch(link, EPOLL_CTL_MOD, false);
    if (link->ssl != NULL && link->wire->tls_version[0] == '\0')
        snprintf(link->wire->tls_version, sizeof(link->wire->tls_version), "%s %s",
                 SSL_get_version(link->ssl), SSL_get_cipher_name(link->ssl));
    if (link->wire->on.ready != NULL)
        link->wire->on.ready(link);
    if (link->out_len > 0)
        link_dirty(link);
}

static void tls_step(struct link *link)
{
    int n = SSL_do_handshake(link->ssl);

    if (n == 1) {
        link_ready(link);
        if (link->state == LINK_READY)
            stream_in(link);
        return;
    }
    int e = SSL_get_error(link->ssl, n);
    if (e == SSL_ERROR_WANT_READ) {
        if (link->awaits_write)
            link_watch(link, EPOLL_CTL_MOD, false);
    } else if (e == SSL_ERROR_WANT_WRITE) {
        link_watch(link, EPOLL_CTL_MOD, true);
    } else {
        ERR_clear_error();
        link_lost(link);
    }
}

static void tls_begin(struct link *link)
{
    static char server_name[] = "bench.test"; /* OpenSSL's macro casts const away */
    struct wire *w = link->wire;

    link->ssl = SSL_new(link->role == LINK_CLIENT ? w->tls_client : w->tls_server);
    if (link->ssl == NULL || SSL_set_fd(link->ssl, link->fd) != 1) {
        link_lost(link);
        return;
    }
    if (link->role == LINK_CLIENT) {
        SSL_set_tlsext_host_name(link->ssl, server_name);
        SSL_set_connect_state(link->ssl);
    } else {
        SSL_set_accept_state(link->ssl);
    }
    link->state = LINK_HANDSHAKE;
    tls_step(link);
}

static void connect_done(struct link *link)
{
    int error = 0;
    socklen_t len = sizeof(error);

    if (getsockopt(link->fd, SOL_SOCKET, SO_ERROR, &error, &len) != 0 || error != 0) {
        link_lost(link);
        return;
    }
    link_address(link);
    if (link->proto == PROTO_TLS)
        tls_begin(link);
    else
        link_ready(link);
}

static void accept_in(struct link *listener)
{
    for (;;) {
        struct sockaddr_in peer;
        socklen_t len = sizeof(peer);
        int one = 1;
        int fd =
            accept4(listener->fd, (struct sockaddr *)&peer, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0)
            return;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
        struct link *link = link_new(listener->wire, listener->proto, LINK_SERVER, fd);
        if (link == NULL)
            return;
        link->peer = peer;
        link_address(link);
        link_watch(link, EPOLL_CTL_ADD, false);
        if (link->proto == PROTO_TLS)
            tls_begin(link);
        else
            link_ready(link);
    }
}

static void link_event(struct link *link, uint32_t events)
{
    if (link->state == LINK_CLOSED)
        return;
    if (link->role == LINK_LISTENER) {
        accept_in(link);
    } else if (link->proto == PROTO_UDP) {
        udp_in(link);
    } else if (link->state == LINK_CONNECTING) {
        connect_done(link);
    } else if (link->state == LINK_HANDSHAKE) {
        tls_step(link);
    } else {
        if (events & EPOLLOUT)
            link_dirty(link);
        if (events & (EPOLLIN | EPOLLHUP | EPOLLERR))
            stream_in(link);
    }
}

void wire_poll(struct wire *w, uint64_t timeout_ns)
{
    struct epoll_event events[256];
    struct timespec ts = {.tv_sec = (time_t)(timeout_ns / NS_PER_S),
                          .tv_nsec = (long)(timeout_ns % NS_PER_S)};
    int n = epoll_pwait2(w->epoll_fd, events, 256, &ts, NULL);

    for (int i = 0; i < n; i++)
        link_event(events[i].data.ptr, events[i].events);
}

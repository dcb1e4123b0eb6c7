/* Listeners: sockets are bound by the main thread before any worker is told of them, so that a
 * configuration is taken whole or not at all; each worker has its own socket for the same address
 * (SO_REUSEPORT) and accepts on it. Owner: the worker's table, the uv handle and each connection
 * hold a reference. Thread: the worker's, but for listener_open and listener_new. */
#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"
#include "net/net_priv.h"
#include "pki/tls.h"
#include <errno.h>
#include <netinet/tcp.h>
#include <unistd.h>

#define BACKLOG 4096
#define UDP_BUFFER_BYTES (4 << 20) /* a burst of some thousand requests while the worker is busy   \
                                    */

/* --- main thread --- */

static int set_on(int fd, int level, int option)
{
    int one = 1;
    return setsockopt(fd, level, option, &one, sizeof(one));
}

static int set_options(int fd, const struct net_listener *cfg, bool share)
{
    bool v6 = addr_is_v6(&cfg->addr);
    if ((share && set_on(fd, SOL_SOCKET, SO_REUSEPORT) != 0) ||
        (v6 && set_on(fd, IPPROTO_IPV6, IPV6_V6ONLY) != 0))
        return -1;
    if (cfg->transport != TRANSPORT_UDP) {
        unsigned stall = LIMIT_SEND_STALL_MS; /* what nobody acknowledges ends the connection;
                                                 accepted ones inherit it */
        return set_on(fd, SOL_SOCKET, SO_REUSEADDR) || set_on(fd, IPPROTO_TCP, TCP_NODELAY) ||
               setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &stall, sizeof(stall));
    }
    int bytes = UDP_BUFFER_BYTES;
    if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof(bytes)) !=
        0) /* else as much as the system lets us */
        (void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof(bytes));
    if (setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &bytes, sizeof(bytes)) != 0)
        (void)setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof(bytes));
    /* ICMP errors, RFC 3261 18.4 */
    if ((v6 ? set_on(fd, IPPROTO_IPV6, IPV6_RECVERR) : set_on(fd, IPPROTO_IP, IP_RECVERR)) != 0)
        return -1;
    if (!addr_is_any(&cfg->addr))
        return 0;
    return v6 ? set_on(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO) : set_on(fd, IPPROTO_IP, IP_PKTINFO);
}

/* -1 and errno on failure. */
static int bind_one(const struct net_listener *cfg, const struct addr *addr, bool share)
{
    bool udp = cfg->transport == TRANSPORT_UDP;
    int fd = socket(addr->sa.sa_family,
                    (udp ? SOCK_DGRAM : SOCK_STREAM) | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    if (set_options(fd, cfg, share) != 0 || bind(fd, &addr->sa, addr_len(addr)) != 0 ||
        (!udp && share && listen(fd, BACKLOG) != 0)) {
        int saved = errno;
        close(fd);
        errno = saved;
        return -1;
    }
    return fd;
}

int listener_open(const struct net_listener *cfg, int *fds, unsigned n, struct addr *ret_bound,
                  struct reason *reason)
{
    struct addr addr = cfg->addr;
    unsigned done = 0;
    /* With SO_REUSEPORT another program of the same user could hold the address without our
     * noticing: ask without it. */
    int probe = addr_port(&addr) ? bind_one(cfg, &addr, false) : -1;
    bool ok = probe >= 0 || addr_port(&addr) == 0;
    int saved = errno;
    if (probe >= 0)
        close(probe);
    while (ok && done < n) {
        socklen_t len = sizeof(addr);
        fds[done] = bind_one(cfg, &addr, true);
        saved = errno;
        ok = fds[done] >= 0;
        if (!ok)
            break;
        if (done++ == 0 &&
            getsockname(fds[0], &addr.sa, &len) != 0) /* port 0: all take what the first one got */
            ok = false;
    }
    if (ok) {
        *ret_bound = addr;
        return 0;
    }
    while (done-- > 0)
        close(fds[done]);
    char text[ADDR_TEXT_MAX];
    addr_text(&cfg->addr, text);
    reason_set(reason, "listen", NULL, 0, "%.*s %s: %s", STR_FMT(transport_text(cfg->transport)),
               text, strerror(saved));
    return ERR_IO;
}

struct listener *listener_new(struct worker *w, const struct net_listener *cfg,
                              const struct addr *bound)
{
    struct listener *l = mem_zalloc(sizeof(*l));
    if (!l)
        return NULL;
    l->w = w;
    l->refs = 1;
    l->fd = -1;
    l->transport = cfg->transport;
    l->addr = *bound;
    l->is_any = addr_is_any(bound);
    list_init(&l->dirty);
    return l;
}

/* --- the worker's thread --- */

static void listener_done(struct listener *l)
{
    pki_tls_server_unref(l->tls);
    net_pages_unref(l->pages);
    mem_free(l->ws_origins);
    mem_free(l->out);
    mem_free(l);
}

void listener_unref(struct listener *l)
{
    if (--l->refs == 0)
        listener_done(l);
}

void listener_set(struct listener *l, const struct net_listener *cfg, uint16_t index,
                  char *ws_origins)
{
    struct pki_tls_server *old = l->tls;
    l->tls = cfg->tls ? pki_tls_server_ref(cfg->tls) : NULL;
    pki_tls_server_unref(old);
    net_pages_unref(l->pages);
    l->pages = cfg->pages ? net_pages_ref(cfg->pages) : NULL;
    l->index = index;
    l->max_conns_source = cfg->max_conns_source ? cfg->max_conns_source : LIMIT_CONNS_SOURCE;
    l->idle_ms = cfg->idle_ms ? cfg->idle_ms : LIMIT_IDLE_MS;
    mem_free(l->ws_origins);
    l->ws_origins = ws_origins;
}

static void accept_some(struct listener *l);

static void on_resume(struct wheel_timer *timer)
{
    struct listener *l = CONTAINER_OF(timer, struct listener, resume);
    l->is_paused = false;
    listener_poll(l, l->fd);
}

/* Out of descriptors or memory: what waits in the backlog is taken up a little later, when some may
 * be free again. */
static void accept_pause(struct listener *l, int error)
{
    struct worker *w = l->w;
    l->is_paused = true;
    (void)uv_poll_stop(&l->poll);
    wheel_start(w->net.wheel, &l->resume, ACCEPT_PAUSE_MS);
    if (worker_may_log(w, WORKER_LOG_ACCEPT))
        LOG(LOG_ERROR, "accept-paused", LZ("error", strerror(error)),
            LU("connections", w->n_conns));
}

static void accept_some(struct listener *l)
{
    for (unsigned i = 0; i < ACCEPT_BATCH; i++) {
        struct addr remote;
        socklen_t len = sizeof(remote);
        int fd = accept4(l->fd, &remote.sa, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0 && (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM)) {
            accept_pause(l, errno);
            return;
        }
        if (fd < 0 && errno == EAGAIN)
            return;
        if (fd >= 0) /* other errors are of connections that were gone before we came */
            conn_accepted(l, fd, &remote);
    }
}

static void on_poll(uv_poll_t *poll, int status, int events)
{
    struct listener *l = poll->data;
    worker_turn(l->w);
    (void)events;
    if (l->fd < 0)
        return;
    if (l->transport != TRANSPORT_UDP) {
        accept_some(l);
    } else {
        if (status < 0) /* libuv has stopped watching: an ICMP error is waiting */
            udp_errors(l);
        if (l->is_blocked && (events & UV_WRITABLE)) {
            l->is_blocked = false;
            udp_flush(l);
            udp_watch(l);
        }
        udp_readable(l);
    }
    if (status < 0 && l->fd >= 0)
        listener_poll(l, l->fd);
}

void listener_poll(struct listener *l, int fd)
{
    l->fd = fd;
    if (!l->is_polled) {
        wheel_timer_init(&l->resume, on_resume);
        int err = uv_poll_init(&l->w->loop, &l->poll, fd);
        if (err) {
            LOG(LOG_ERROR, "listen", LZ("error", uv_strerror(err)));
            return;
        }
        l->poll.data = l;
        l->is_polled = true;
        listener_ref(l);
    }
    (void)uv_poll_start(&l->poll, UV_READABLE | (l->is_blocked ? UV_WRITABLE : 0), on_poll);
}

void udp_watch(struct listener *l)
{
    listener_poll(l, l->fd);
}

static void on_closed(uv_handle_t *handle)
{
    listener_unref(handle->data);
}

void listener_close(struct listener *l)
{
    if (l->is_polled) {
        if (l->is_paused)
            wheel_cancel(l->w->net.wheel, &l->resume);
        if (l->n_out)
            udp_flush(l);
        uv_close((uv_handle_t *)&l->poll, on_closed);
        l->is_polled = false;
    }
    if (l->fd >= 0)
        close(l->fd);
    l->fd = -1;
    l->index = NET_LISTENER_GONE;
    list_remove(&l->dirty);
    for (size_t i = 0; i < l->n_out; i++)
        buf_unref(l->out[i].buf);
    l->n_out = 0;
}
